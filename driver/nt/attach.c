#include "driver/nt/attach.h"
#include "driver/core/control.h"
#include "driver/nt/boot.h"
#include "driver/nt/ctl.h"
#include "driver/nt/lower.h"
#include "driver/nt/tracked.h"
#include "driver/nt/write.h"

static const struct volume_ops ops = { lower_read, lower_write, write_forward };
static uint32_t numbers; /* of volumes, until the next start of the machine */

/*
 * "Writing an AddDevice Routine": create, attach, take over the flags and the type of the
 * device below, clear DO_DEVICE_INITIALIZING last.
 */
NTSTATUS NTAPI
attach_device(DRIVER_OBJECT *driver, DEVICE_OBJECT *pdo)
{
	DEVICE_OBJECT *device;
	struct filter *f;
	NTSTATUS status;

	/* What is not there cannot do harm. */
	if (boot_mode() == BOOT_SAFE_MODE)
		return STATUS_SUCCESS;
	status = IoCreateDevice(driver, sizeof(*f), NULL, pdo->DeviceType,
	    FILE_DEVICE_SECURE_OPEN, FALSE, &device);
	if (!NT_SUCCESS(status)) {
		tracked_missed(NULL);
		return STATUS_SUCCESS;
	}
	f = device->DeviceExtension;
	RtlZeroMemory(f, sizeof(*f));
	f->self = device;
	f->pdo = pdo;
	KeInitializeEvent(&f->left, NotificationEvent, FALSE);
	KeInitializeEvent(&f->usage, SynchronizationEvent, TRUE);
	env_mutex_init(&f->learning);
	f->lower = IoAttachDeviceToDeviceStack(device, pdo);
	if (f->lower == NULL) {
		IoDeleteDevice(device);
		tracked_missed(NULL);
		return STATUS_SUCCESS;
	}
	device->DeviceType = f->lower->DeviceType;
	device->Characteristics |= f->lower->Characteristics;
	device->Flags |= f->lower->Flags & (DO_BUFFERED_IO | DO_DIRECT_IO |
					       DO_POWER_PAGABLE | DO_POWER_INRUSH);
	f->pagable = (f->lower->Flags & DO_POWER_PAGABLE) != 0;
	device->Flags &= ~DO_DEVICE_INITIALIZING;
	return STATUS_SUCCESS;
}

/* A medium that can be changed under us is none to remember bytes of; and our own I/O
   has MDLs. */
static bool
suits(const struct filter *f)
{
	return (f->lower->Characteristics & FILE_REMOVABLE_MEDIA) == 0 &&
	       (f->lower->Flags & DO_DIRECT_IO) != 0;
}

static void
put_length(struct filter *f, uint64_t length)
{
	atomic_put(&f->length_low, (uint32_t)length);
	atomic_put(&f->length_high, (uint32_t)(length >> 32));
}

int
attach_learn(struct filter *f)
{
	uint64_t length;
	uint32_t sector;
	int rc;

	env_mutex_take(&f->learning);
	rc = lower_facts(f, &length, &sector);
	if (rc == 0 && length != volume_length(f->volume)) {
		/* The core first: what is asked about meanwhile is asked again. */
		volume_resized(f->volume, length);
		put_length(f, length);
	}
	env_mutex_give(&f->learning);
	return rc;
}

/* The volume of a device that suits; false: it is passed on to. */
static bool
make(struct filter *f)
{
	uint64_t length;
	uint32_t sector;

	if (lower_facts(f, &length, &sector) != 0)
		return false;
	f->io = lower_make(f);
	if (f->io == NULL)
		return false;
	f->volume =
	    volume_make(&ops, f, (uint64_t)atomic_add(&numbers, 1) + 1, length, sector);
	if (f->volume == NULL)
		return false;
	if (boot_mode() != BOOT_WORKS)
		volume_pass_only(f->volume);
	else
		tracked_start(f);
	put_length(f, length);
	return ctl_join(f->volume) == 0;
}

static void
unmake(struct filter *f)
{
	if (f->volume != NULL) {
		volume_gone(f->volume);
		tracked_leave(f);
		volume_free(f->volume);
	}
	lower_free(f->io);
	f->volume = NULL;
	f->io = NULL;
}

void
attach_volume(struct filter *f)
{
	if (f->volume != NULL) { /* started again after a stop */
		attach_learn(f);
		return;
	}
	if (!suits(f))
		return;
	if (!make(f)) {
		unmake(f);
		tracked_missed(f);
		return;
	}
	/* Switched off: known to those who ask, and asked by no request. */
	if (boot_mode() != BOOT_WORKS)
		return;
	atomic_put(&f->ready, 1);
	if (atomic_get(&f->early) != 0)
		volume_unknown_write(f->volume, HOTCOPY_WHY_FOREIGN);
}

void
attach_gone(struct filter *f)
{
	if (f->volume != NULL)
		volume_gone(f->volume);
}

void
attach_end(struct filter *f)
{
	if (f->volume != NULL) {
		volume_gone(f->volume);
		ctl_leave(f->volume);
	}
	atomic_or(&f->users, NT_CLOSED);
	if (atomic_sub(&f->users, 1) != (NT_CLOSED | 1))
		KeWaitForSingleObject(&f->left, Executive, KernelMode, FALSE, NULL);
	if (f->volume != NULL) {
		tracked_leave(f);
		volume_free(f->volume);
		lower_free(f->io);
		f->volume = NULL;
		f->io = NULL;
	}
}
