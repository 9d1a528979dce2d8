#include "driver/nt/lower.h"
#include "driver/core/env.h"

/* Pages that a buffer of VOLUME_IO_MAX can touch, wherever it begins. */
#define PAGES_MAX (VOLUME_IO_MAX / 4096 + 2)

struct lower {
	struct env_mutex mutex; /* of the two below */
	IRP *irp;
	MDL *mdl;
	struct env_mutex moving; /* of this one, held across the other */
	uint8_t *aligned;	 /* VOLUME_IO_MAX, at the begin of a page */
};

struct lower *
lower_make(struct filter *f)
{
	struct lower *io = env_alloc(sizeof(*io));

	if (io == NULL)
		return NULL;
	env_mutex_init(&io->mutex);
	env_mutex_init(&io->moving);
	io->aligned = env_alloc(VOLUME_IO_MAX);
	io->irp = IoAllocateIrp(f->lower->StackSize, FALSE);
	/* As large as MmSizeOfMdl says: the structure and one number a page.  Never given
	   to IoFreeMdl. */
	io->mdl = env_alloc(sizeof(*io->mdl) + PAGES_MAX * sizeof(ULONG_PTR));
	if (io->irp != NULL && io->mdl != NULL && io->aligned != NULL)
		return io;
	lower_free(io);
	return NULL;
}

void
lower_free(struct lower *io)
{
	if (io == NULL)
		return;
	if (io->irp != NULL)
		IoFreeIrp(io->irp);
	env_free(io->mdl);
	env_free(io->aligned);
	env_mutex_done(&io->mutex);
	env_mutex_done(&io->moving);
	env_free(io);
}

static NTSTATUS NTAPI
done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	(void)irp;
	KeSetEvent(context, IO_DISK_INCREMENT, FALSE);
	return STATUS_MORE_PROCESSING_REQUIRED;
}

/* Sends and waits; the IRP is the caller's again.  true: all of it was done. */
static bool
send(struct filter *f, IRP *irp, uint32_t length)
{
	IO_STACK_LOCATION *s = IoGetNextIrpStackLocation(irp);
	KEVENT event;

	/* Of a mounted volume's sectors Windows lets only its file system write since NT
	   6.0, and whoever says that he means it.  Older kernels do not know the bit. */
	if (s->MajorFunction == IRP_MJ_WRITE)
		s->Flags |= SL_FORCE_DIRECT_WRITE;
	/* A disk that asks to be verified asks the file system, not us. */
	if (s->MajorFunction != IRP_MJ_FLUSH_BUFFERS)
		s->Flags |= SL_OVERRIDE_VERIFY_VOLUME;
	irp->Tail.Overlay.Thread = PsGetCurrentThread();
	KeInitializeEvent(&event, NotificationEvent, FALSE);
	IoSetCompletionRoutine(irp, done, &event, TRUE, TRUE, TRUE);
	if (IoCallDriver(f->lower, irp) == STATUS_PENDING)
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
	return NT_SUCCESS(irp->IoStatus.Status) && irp->IoStatus.Information >= length;
}

/* A disk without a cache may have no flush. */
static bool
needless(const IRP *irp)
{
	return irp->IoStatus.Status == STATUS_INVALID_DEVICE_REQUEST ||
	       irp->IoStatus.Status == STATUS_NOT_SUPPORTED ||
	       irp->IoStatus.Status == STATUS_NOT_IMPLEMENTED;
}

/*
 * IoBuildAsynchronousFsdRequest, not IoBuildSynchronousFsdRequest: the latter's IRP hangs
 * on its thread, completes by an APC and so not in a critical region, and dies with the
 * thread.  Its builder has to undo the MDL itself ("IoBuildAsynchronousFsdRequest").
 */
static int
by_pool(struct filter *f, UCHAR major, uint64_t offset, void *buffer, uint32_t length,
    UCHAR flags, bool *sent)
{
	LARGE_INTEGER at;
	IO_STATUS_BLOCK unused;
	IRP *irp;
	MDL *mdl;
	bool ok;

	at.QuadPart = (LONGLONG)offset;
	irp =
	    IoBuildAsynchronousFsdRequest(major, f->lower, buffer, length, &at, &unused);
	*sent = irp != NULL;
	if (irp == NULL)
		return -1;
	IoGetNextIrpStackLocation(irp)->Flags |= flags;
	ok = send(f, irp, length) || (major == IRP_MJ_FLUSH_BUFFERS && needless(irp));
	while ((mdl = irp->MdlAddress) != NULL) {
		irp->MdlAddress = mdl->Next;
		if ((mdl->MdlFlags & MDL_PAGES_LOCKED) != 0)
			MmUnlockPages(mdl);
		IoFreeMdl(mdl);
	}
	IoFreeIrp(irp);
	return ok ? 0 : -1;
}

static int
by_reserve(struct filter *f, UCHAR major, uint64_t offset, void *buffer, uint32_t length,
    UCHAR flags)
{
	struct lower *io = f->io;
	IO_STACK_LOCATION *s;
	bool ok;

	env_mutex_take(&io->mutex);
	IoReuseIrp(io->irp, STATUS_SUCCESS);
	if (buffer != NULL) {
		MmInitializeMdl(io->mdl, buffer, length);
		MmBuildMdlForNonPagedPool(io->mdl);
		io->irp->MdlAddress = io->mdl;
	}
	s = IoGetNextIrpStackLocation(io->irp);
	s->MajorFunction = major;
	s->Flags = flags;
	if (major != IRP_MJ_FLUSH_BUFFERS) {
		/* Read and Write have the same layout. */
		s->Parameters.Write.Length = length;
		s->Parameters.Write.ByteOffset.QuadPart = (LONGLONG)offset;
	}
	ok = send(f, io->irp, length) ||
	     (major == IRP_MJ_FLUSH_BUFFERS && needless(io->irp));
	io->irp->MdlAddress = NULL;
	env_mutex_give(&io->mutex);
	return ok ? 0 : -1;
}

static int
transfer(struct filter *f, UCHAR major, uint64_t offset, void *buffer, uint32_t length,
    UCHAR flags)
{
	bool sent;
	int rc = by_pool(f, major, offset, buffer, length, flags, &sent);

	return sent ? rc : by_reserve(f, major, offset, buffer, length, flags);
}

/*
 * Where a device wants addresses of its own (AlignmentRequirement, "DEVICE_OBJECT
 * structure") the I/O manager sees to that for who calls it, and nobody for us: a buffer
 * of an image's reader may begin at any byte, and a controller that takes the low bits for
 * zeros would put the bytes elsewhere.
 */
static int
transfer_aligned(struct filter *f, UCHAR major, uint64_t offset, void *buffer,
    uint32_t length, UCHAR flags)
{
	struct lower *io = f->io;
	int rc;

	if (((ULONG_PTR)buffer & f->lower->AlignmentRequirement) == 0)
		return transfer(f, major, offset, buffer, length, flags);
	env_mutex_take(&io->moving);
	if (major == IRP_MJ_WRITE)
		memcpy(io->aligned, buffer, length);
	rc = transfer(f, major, offset, io->aligned, length, flags);
	if (major == IRP_MJ_READ && rc == 0)
		memcpy(buffer, io->aligned, length);
	env_mutex_give(&io->moving);
	return rc;
}

int
lower_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	return transfer_aligned(device, IRP_MJ_READ, offset, buffer, length, 0);
}

int
lower_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	void *bytes = (void *)(uintptr_t)buffer;

	if (!through)
		return transfer_aligned(device, IRP_MJ_WRITE, offset, bytes, length, 0);
	/* The flag makes disks that know it write through; those that do not are flushed.
	 */
	if (transfer_aligned(
		device, IRP_MJ_WRITE, offset, bytes, length, SL_WRITE_THROUGH) != 0)
		return -1;
	return transfer(device, IRP_MJ_FLUSH_BUFFERS, 0, NULL, 0, 0);
}

/* One question of the drivers below.  The answer lies in "out". */
static bool
question(struct filter *f, ULONG code, void *out, ULONG bytes)
{
	IO_STATUS_BLOCK status = { 0 };
	KEVENT event;
	NTSTATUS called;
	IRP *irp;

	KeInitializeEvent(&event, NotificationEvent, FALSE);
	/* Same buffer in and out: Wine takes the one for the other. */
	irp = IoBuildDeviceIoControlRequest(
	    code, f->lower, out, bytes, out, bytes, FALSE, &event, &status);
	if (irp == NULL)
		return false;
	called = IoCallDriver(f->lower, irp);
	if (called == STATUS_PENDING) {
		KeWaitForSingleObject(&event, Executive, KernelMode, FALSE, NULL);
		called = status.Status;
	}
	return NT_SUCCESS(called);
}

int
lower_facts(struct filter *f, uint64_t *length, uint32_t *sector)
{
	GET_LENGTH_INFORMATION info = { 0 };
	DISK_GEOMETRY geometry = { 0 };
	uint32_t bytes;

	if (!question(f, IOCTL_DISK_GET_LENGTH_INFO, &info, sizeof(info)) ||
	    !question(f, IOCTL_DISK_GET_DRIVE_GEOMETRY, &geometry, sizeof(geometry)))
		return -1;
	bytes = geometry.BytesPerSector;
	if (bytes < 512 || bytes > VOLUME_IO_MAX || (bytes & (bytes - 1)) != 0 ||
	    info.Length.QuadPart <= 0 ||
	    ((uint64_t)info.Length.QuadPart & (bytes - 1)) != 0)
		return -1;
	*length = (uint64_t)info.Length.QuadPart;
	*sector = bytes;
	return 0;
}
