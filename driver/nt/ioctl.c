#include "driver/nt/ioctl.h"
#include "driver/nt/attach.h"
#include "driver/nt/hold.h"
#include "driver/nt/pass.h"
#include "driver/nt/requests.h"
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

static enum requests_effect
effect_of(IRP *irp, struct requests_ranges *r)
{
	IO_STACK_LOCATION *s = IoGetCurrentIrpStackLocation(irp);
	uint32_t code = s->Parameters.DeviceIoControl.IoControlCode;
	uint32_t in = s->Parameters.DeviceIoControl.InputBufferLength;

	/* Only METHOD_BUFFERED's bytes are the I/O manager's copy: what was judged stays
	   so. */
	if ((code & 3) != METHOD_BUFFERED)
		return requests_judge(code, NULL, 0, r);
	return requests_judge(code, irp->AssociatedIrp.SystemBuffer, in, r);
}

/*
 * Asks for every range.  While one is counted in flight no cut can come between, so one
 * count stands for all; where a range must wait none may stay, or the gate would wait for
 * us and we for it.  Then that range is held, and all are asked again when it comes back.
 */
enum answer { MAY_PASS, HELD, NO_RANGE };

/* For one, piece by piece. */
static enum answer
ask_range(struct filter *f, IRP *irp, uint64_t offset, uint64_t length, bool counted)
{
	uint64_t piece;

	for (; length > 0; offset += piece, length -= piece) {
		enum volume_verdict verdict;

		piece = length < VOLUME_RANGE_MAX ? length : VOLUME_RANGE_MAX;
		verdict = volume_range_begin(f->volume, offset, piece);
		if (counted)
			volume_write_done(f->volume);
		if (verdict == VOLUME_HOLD) {
			write_hold(f, irp, offset, piece);
			return HELD;
		}
		counted = true;
	}
	return MAY_PASS;
}

static enum answer
ask(struct filter *f, IRP *irp, const struct requests_ranges *r)
{
	uint64_t size = volume_length(f->volume), offset, length;
	enum answer answer = NO_RANGE;

	for (uint32_t i = 0; i < r->count; i++) {
		if (!requests_range(r, i, size, &offset, &length))
			continue;
		answer = ask_range(f, irp, offset, length, answer == MAY_PASS);
		if (answer == HELD)
			break;
	}
	return answer;
}

static NTSTATUS
ranged(struct filter *f, IRP *irp, const struct requests_ranges *r)
{
	switch (ask(f, irp, r)) {
	case HELD:
		return STATUS_PENDING;
	case MAY_PASS:
		return write_send(f, irp);
	case NO_RANGE:
		break;
	}
	/* Not by pass_request: it may have been held, and what is marked pending must not
	   give its stack location away. */
	if (volume_write_begin(f->volume, 0, 0) == VOLUME_HOLD)
		return write_hold(f, irp, 0, 0);
	return write_send(f, irp);
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
	struct requests_ranges r;

	if (effect_of(irp, &r) == REQUESTS_UNKNOWN_WRITE) {
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
	enum requests_effect effect;
	struct requests_ranges r;

	if (code == HOTCOPY_IOCTL_ATTACHED)
		return attached(f, irp);
	effect = effect_of(irp, &r);
	if (effect == REQUESTS_PASS || nt_changed(f) == NULL)
		return pass_request(f, irp);
	switch (effect) {
	case REQUESTS_RANGES:
		return ranged(f, irp, &r);
	case REQUESTS_UNKNOWN_WRITE:
		return anywhere(f, irp);
	case REQUESTS_RESIZE:
		if (KeGetCurrentIrql() == PASSIVE_LEVEL)
			return resizing(f, irp);
		break;
	case REQUESTS_HOLD:
		return hold_request(f, irp);
	case REQUESTS_PASS:
		break;
	}
	return pass_request(f, irp);
}
