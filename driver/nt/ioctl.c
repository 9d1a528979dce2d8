#include "driver/nt/ioctl.h"
#include "driver/nt/attach.h"
#include "driver/nt/pass.h"
#include "driver/nt/write.h"

/* \\.\C:, who is there?  No driver below may see this. */
static NTSTATUS
attached(struct filter *f, IRP *irp)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	struct hotcopy_attached *out = irp->AssociatedIrp.SystemBuffer;
	struct volume *v = nt_volume(f);
	NTSTATUS status = STATUS_SUCCESS;

	if (v == NULL)
		status = STATUS_INVALID_DEVICE_STATE;
	else if (s->Parameters.DeviceIoControl.InputBufferLength != 0 ||
		 s->Parameters.DeviceIoControl.OutputBufferLength < sizeof(*out))
		status = STATUS_INFO_LENGTH_MISMATCH;
	else {
		RtlZeroMemory(out, sizeof(*out));
		out->h.size = sizeof(*out);
		out->h.abi = HOTCOPY_ABI;
		out->volume = volume_number(v);
	}
	nt_complete(irp, status, NT_SUCCESS(status) ? sizeof(*out) : 0);
	nt_leave(f);
	return status;
}

/*
 * The ranges of a request that changes some, as the caller's buffer has them: it is the
 * I/O manager's copy (METHOD_BUFFERED), so what was checked stays so.
 */
struct ranges {
	const uint8_t *at; /* of DEVICE_DATA_SET_RANGE, aligned or not */
	uint32_t count;
	bool all; /* the whole volume */
};

enum effect { NO_CHANGE, IN_RANGES, ANYWHERE };

static enum effect
data_set(IRP *irp, struct ranges *r)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	const uint8_t *buffer = irp->AssociatedIrp.SystemBuffer;
	uint32_t in = s->Parameters.DeviceIoControl.InputBufferLength;
	DEVICE_MANAGE_DATA_SET_ATTRIBUTES a;

	if (buffer == NULL || in < sizeof(a))
		return NO_CHANGE; /* fails below */
	memcpy(&a, buffer, sizeof(a));
	if ((a.Action & DeviceDsmActionFlag_NonDestructive) != 0)
		return NO_CHANGE;
	if ((a.Flags & DEVICE_DSM_FLAG_ENTIRE_DATA_SET_RANGE) != 0) {
		r->all = true;
		return IN_RANGES;
	}
	if (a.DataSetRangesOffset > in ||
	    a.DataSetRangesLength > in - a.DataSetRangesOffset)
		return ANYWHERE;
	r->at = buffer + a.DataSetRangesOffset;
	r->count = a.DataSetRangesLength / sizeof(DEVICE_DATA_SET_RANGE);
	return r->count != 0 ? IN_RANGES : NO_CHANGE;
}

static enum effect
effect_of(IRP *irp, struct ranges *r)
{
	r->at = NULL;
	r->count = 0;
	r->all = false;
	switch (
	    IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode) {
	case IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES:
		return data_set(irp, r);
	default:
		return NO_CHANGE;
	}
}

/* Range i, cut to what the volume has; false: nothing of it. */
static bool
range_at(
    const struct ranges *r, uint32_t i, uint64_t size, uint64_t *offset, uint64_t *length)
{
	DEVICE_DATA_SET_RANGE range;

	if (r->all) {
		*offset = 0;
		*length = size;
		return i == 0 && size != 0;
	}
	memcpy(&range, r->at + (size_t)i * sizeof(range), sizeof(range));
	*offset = (uint64_t)range.StartingOffset;
	*length = range.LengthInBytes;
	if (*offset >= size)
		return false;
	if (*length > size - *offset)
		*length = size - *offset;
	return *length != 0;
}

/*
 * Asks for every range.  While one is counted in flight no cut can come between, so one
 * count stands for all; where a range must wait none may stay, or the gate would wait for
 * us and we for it.  Then that range is held, and all are asked again when it comes back.
 */
enum answer { MAY_PASS, HELD, NO_RANGE };

static enum answer
ask(struct filter *f, IRP *irp, const struct ranges *r)
{
	struct volume *v = f->volume;
	uint64_t size = volume_length(v), offset, length;
	uint32_t i, n = r->all ? 1 : r->count;
	bool counted = false;

	for (i = 0; i < n; i++) {
		enum volume_verdict verdict;

		if (!range_at(r, i, size, &offset, &length))
			continue;
		verdict = volume_range_begin(v, offset, length);
		if (counted)
			volume_write_done(v);
		if (verdict == VOLUME_HOLD) {
			write_hold(f, irp, offset, length);
			return HELD;
		}
		counted = true;
	}
	return counted ? MAY_PASS : NO_RANGE;
}

static NTSTATUS
ranged(struct filter *f, IRP *irp, const struct ranges *r)
{
	switch (ask(f, irp, r)) {
	case HELD:
		return STATUS_PENDING;
	case MAY_PASS:
		return write_send(f, irp);
	default:
		return pass_request(f, irp);
	}
}

/*
 * It changes what nobody knows.  The core is told before it goes down, and it counts as
 * in flight meanwhile (a write of no length), so that a cut waits for it.
 */
static NTSTATUS
anywhere(struct filter *f, IRP *irp)
{
	/* Without a thread nothing is kept or known that could be spoilt. */
	if (volume_state(f->volume) == HOTCOPY_PASSING)
		return pass_request(f, irp);
	/* Telling may wait; where that is not allowed a thread does it (ioctl_forward).
	 */
	if (KeGetCurrentIrql() != PASSIVE_LEVEL)
		return write_hold(f, irp, 0, 0);
	if (volume_write_begin(f->volume, 0, 0) == VOLUME_HOLD)
		return write_hold(f, irp, 0, 0);
	/* Not before: a cut in between would not see it. */
	volume_unknown_write(f->volume, HOTCOPY_WHY_UNKNOWN_WRITE);
	return write_send(f, irp);
}

void
ioctl_forward(struct filter *f, IRP *irp)
{
	struct ranges r;

	if (effect_of(irp, &r) == ANYWHERE) {
		/* Once more, perhaps: a cut may have come since. */
		volume_unknown_write(f->volume, HOTCOPY_WHY_UNKNOWN_WRITE);
		write_send(f, irp);
		return;
	}
	volume_write_done(f->volume);
	ranged(f, irp, &r);
}

/* The length may be another afterwards: ask below once more. */
static NTSTATUS
resizing(struct filter *f, IRP *irp)
{
	NTSTATUS status = pass_and_wait(f, irp);

	if (NT_SUCCESS(status))
		attach_learn(f);
	IoCompleteRequest(irp, IO_NO_INCREMENT);
	nt_leave(f);
	return status;
}

NTSTATUS
ioctl_request(struct filter *f, IRP *irp)
{
	ULONG code =
	    IoGetCurrentIrpStackLocation(irp)->Parameters.DeviceIoControl.IoControlCode;
	struct ranges r;

	if (code == HOTCOPY_IOCTL_ATTACHED)
		return attached(f, irp);
	if (nt_volume(f) == NULL)
		return pass_request(f, irp);
	if ((code == IOCTL_DISK_GROW_PARTITION || code == IOCTL_DISK_UPDATE_DRIVE_SIZE ||
		code == IOCTL_DISK_UPDATE_PROPERTIES) &&
	    KeGetCurrentIrql() == PASSIVE_LEVEL)
		return resizing(f, irp);
	switch (effect_of(irp, &r)) {
	case NO_CHANGE:
		break;
	case IN_RANGES:
		return ranged(f, irp, &r);
	case ANYWHERE:
		return anywhere(f, irp);
	}
	return pass_request(f, irp);
}
