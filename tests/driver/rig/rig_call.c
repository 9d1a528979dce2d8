/* rig_call.c - handles of the control device, and the calls of driver/abi/hotcopy.h. */
#include "tests/driver/rig/rig.h"

#include <stdlib.h>
#include "driver/abi/names.h"

static NTSTATUS
simple(struct rig_file *f, UCHAR major)
{
	struct rig_request q;
	PIO_STACK_LOCATION at = rig_begin(&q, f->device, major, 0);
	IO_SECURITY_CONTEXT security = { .DesiredAccess = GENERIC_READ | GENERIC_WRITE };

	at->FileObject = &f->object;
	if (major == IRP_MJ_CREATE) {
		at->Parameters.Create.SecurityContext = &security;
		q.irp->RequestorMode = UserMode;
	}
	rig_send(&q);
	return rig_wait(&q, NULL);
}

NTSTATUS
rig_open(struct rig_file *f)
{
	NTSTATUS status;

	memset(f, 0, sizeof(*f));
	f->device = shim_device_by_name(HOTCOPY_LINK);
	if (f->device == NULL)
		return STATUS_OBJECT_NAME_NOT_FOUND;
	f->object.DeviceObject = f->device;
	status = simple(f, IRP_MJ_CREATE);
	if (!NT_SUCCESS(status))
		f->device = NULL;
	return status;
}

void
rig_cleanup(struct rig_file *f)
{
	simple(f, IRP_MJ_CLEANUP);
}

void
rig_close(struct rig_file *f)
{
	simple(f, IRP_MJ_CLOSE);
	f->device = NULL;
}

void
rig_call_begin(struct rig_request *q, struct rig_file *f, ULONG code, void *buffer,
    uint32_t in, uint32_t room)
{
	PIO_STACK_LOCATION at = rig_begin(q, f->device, IRP_MJ_DEVICE_CONTROL, 0);

	rig_system_buffer(q, buffer, in, room);
	q->irp->RequestorMode = UserMode;
	at->FileObject = &f->object;
	at->Parameters.DeviceIoControl.IoControlCode = code;
	at->Parameters.DeviceIoControl.InputBufferLength = in;
	at->Parameters.DeviceIoControl.OutputBufferLength = room;
	rig_send(q);
}

NTSTATUS
rig_call(struct rig_file *f, ULONG code, void *buffer, uint32_t in, uint32_t room,
    uint32_t *out)
{
	struct rig_request q;

	rig_call_begin(&q, f, code, buffer, in, room);
	return rig_wait(&q, out);
}

NTSTATUS
rig_image(struct rig_file *f, uint64_t offset, void *out, uint32_t length)
{
	struct rig_request q;
	PIO_STACK_LOCATION at = rig_begin(&q, f->device, IRP_MJ_READ, 0);
	NTSTATUS status;
	uint32_t got;

	if (f->device->Flags & DO_DIRECT_IO)
		rig_buffer(&q, out, length);
	else
		rig_system_buffer(&q, out, 0, length);
	q.irp->RequestorMode = UserMode;
	at->FileObject = &f->object;
	at->Parameters.Read.Length = length;
	at->Parameters.Read.ByteOffset.QuadPart = (LONGLONG)offset;
	rig_send(&q);
	status = rig_wait(&q, &got);
	if (NT_SUCCESS(status) && got != length)
		shim_bugcheck(
		    "%u bytes of an image read of %u, and success", got, length);
	return status;
}

/* ---- Calls ---- */
uint64_t
rig_volume(struct rig_disk *d)
{
	struct hotcopy_attached a;
	uint32_t got;

	memset(&a, 0, sizeof(a));
	if (rig_ioctl(d, HOTCOPY_IOCTL_ATTACHED, &a, 0, sizeof(a), &got) !=
	    STATUS_SUCCESS)
		return 0;
	if (got != sizeof(a) || a.h.size != sizeof(a) || a.h.abi != HOTCOPY_ABI)
		shim_bugcheck("ATTACHED gives no such structure");
	return a.volume;
}

void
rig_nonce(uint8_t nonce[HOTCOPY_NONCE], uint64_t seed)
{
	for (unsigned i = 0; i < HOTCOPY_NONCE; i++)
		nonce[i] = (uint8_t)(seed >> i % 8 * 8) ^ (uint8_t)(i * 37 + 1);
}

NTSTATUS
rig_prepare(
    struct rig *r, struct rig_set *s, unsigned volumes, const struct rig_wish *wish)
{
	union {
		struct hotcopy_prepare in;
		struct hotcopy_prepared out;
	} u;
	struct hotcopy_prepare p;
	NTSTATUS status;
	uint32_t got;

	memset(&u, 0, sizeof(u));
	memset(&p, 0, sizeof(p));
	p.h.size = sizeof(p);
	p.h.abi = HOTCOPY_ABI;
	p.volumes = volumes;
	p.memory = wish->memory;
	p.chunk_shift = wish->chunk_shift;
	p.full = wish->full;
	p.throttle_ms = wish->throttle_ms;
	p.only_changed = wish->only_changed;
	for (unsigned i = 0; i < volumes; i++)
		p.volume[i] = s->volume[i] = rig_volume(&r->disk[i]);
	u.in = p;
	status = rig_call(
	    &s->file, HOTCOPY_IOCTL_PREPARE, &u, sizeof(u.in), sizeof(u.out), &got);
	if (!NT_SUCCESS(status))
		return status;
	if (got != sizeof(u.out) || u.out.h.size != sizeof(u.out))
		shim_bugcheck("PREPARE gives no such structure");
	s->number = u.out.set;
	s->chunk_shift = u.out.chunk_shift;
	s->volumes = volumes;
	return status;
}

NTSTATUS
rig_extents(struct rig_set *s, ULONG code, unsigned at, uint64_t offset, uint64_t length)
{
	struct {
		struct hotcopy_extents e;
		struct hotcopy_extent extent;
	} in;

	memset(&in, 0, sizeof(in));
	in.e.h.size = sizeof(in);
	in.e.h.abi = HOTCOPY_ABI;
	in.e.set = s->number;
	in.e.at = s->volume[at];
	in.e.extents = 1;
	in.extent.offset = offset;
	in.extent.length = length;
	return rig_call(&s->file, code, &in, sizeof(in), 0, NULL);
}

NTSTATUS
rig_freeze(struct rig_set *s, uint32_t flags, uint32_t timeout_ms, uint64_t nonce)
{
	union {
		struct hotcopy_freeze in;
		struct hotcopy_frozen out;
	} u;
	struct hotcopy_freeze f;
	NTSTATUS status;

	memset(&f, 0, sizeof(f));
	f.h.size = sizeof(f);
	f.h.abi = HOTCOPY_ABI;
	f.set = s->number;
	f.flags = flags;
	f.timeout_ms = timeout_ms;
	rig_nonce(f.nonce, nonce);
	memset(&u, 0, sizeof(u));
	u.in = f;
	status = rig_call(
	    &s->file, HOTCOPY_IOCTL_FREEZE, &u, sizeof(u.in), sizeof(u.out), NULL);
	if (NT_SUCCESS(status))
		s->frozen = u.out;
	return status;
}

NTSTATUS
rig_bind(struct rig_set *s, struct rig_file *f, unsigned index)
{
	struct hotcopy_bind b;

	memset(&b, 0, sizeof(b));
	b.h.size = sizeof(b);
	b.h.abi = HOTCOPY_ABI;
	b.set = s->number;
	b.index = index;
	return rig_call(f, HOTCOPY_IOCTL_BIND, &b, sizeof(b), 0, NULL);
}

static struct hotcopy_bits *
bits(struct rig_set *s, unsigned index, uint64_t first, uint32_t n, bool tail)
{
	uint32_t bytes = sizeof(struct hotcopy_bits) + (n + 7) / 8;
	struct hotcopy_bits *b = calloc(1, bytes);

	if (b == NULL)
		abort();
	b->h.size = tail ? bytes : sizeof(*b);
	b->h.abi = HOTCOPY_ABI;
	b->set = s->number;
	b->index = index;
	b->first = first;
	b->bits = n;
	return b;
}

NTSTATUS
rig_unneeded(
    struct rig_set *s, unsigned index, uint64_t first, uint32_t n, const uint8_t *bit)
{
	struct hotcopy_bits *b = bits(s, index, first, n, true);
	NTSTATUS status;

	memcpy(b->bit, bit, (n + 7) / 8);
	status = rig_call(&s->file, HOTCOPY_IOCTL_UNNEEDED, b, b->h.size, 0, NULL);
	free(b);
	return status;
}

NTSTATUS
rig_done_read(struct rig_set *s, unsigned index, uint64_t offset, uint64_t length)
{
	struct hotcopy_range r;

	memset(&r, 0, sizeof(r));
	r.h.size = sizeof(r);
	r.h.abi = HOTCOPY_ABI;
	r.set = s->number;
	r.index = index;
	r.offset = offset;
	r.length = length;
	return rig_call(&s->file, HOTCOPY_IOCTL_DONE_READ, &r, sizeof(r), 0, NULL);
}

NTSTATUS
rig_changed(struct rig_set *s, unsigned index, uint32_t flags, uint64_t first, uint32_t n,
    uint8_t *bit)
{
	struct hotcopy_bits *b = bits(s, index, first, n, false);
	uint32_t room = sizeof(*b) + (n + 7) / 8;
	NTSTATUS status;

	b->flags = flags;
	status = rig_call(&s->file, HOTCOPY_IOCTL_CHANGED, b, sizeof(*b), room, NULL);
	if (NT_SUCCESS(status))
		memcpy(bit, b->bit, (n + 7) / 8);
	free(b);
	return status;
}

NTSTATUS
rig_stats(struct rig_set *s, unsigned index, struct hotcopy_stats *stats)
{
	union {
		struct hotcopy_bind in;
		struct hotcopy_stats out;
	} u;
	NTSTATUS status;

	memset(&u, 0, sizeof(u));
	u.in.h.size = sizeof(u.in);
	u.in.h.abi = HOTCOPY_ABI;
	u.in.set = s->number;
	u.in.index = index;
	status = rig_call(
	    &s->file, HOTCOPY_IOCTL_STATS, &u, sizeof(u.in), sizeof(u.out), NULL);
	if (NT_SUCCESS(status))
		*stats = u.out;
	return status;
}

NTSTATUS
rig_release(struct rig_set *s)
{
	struct hotcopy_release r;

	memset(&r, 0, sizeof(r));
	r.h.size = sizeof(r);
	r.h.abi = HOTCOPY_ABI;
	r.set = s->number;
	return rig_call(&s->file, HOTCOPY_IOCTL_RELEASE, &r, sizeof(r), 0, NULL);
}

NTSTATUS
rig_track(struct rig_file *f, uint64_t volume, bool create, uint64_t offset,
    uint64_t length, uint64_t nonce)
{
	struct {
		struct hotcopy_track t;
		struct hotcopy_extent extent;
	} in;

	memset(&in, 0, sizeof(in));
	in.t.h.size = length > 0 ? sizeof(in) : sizeof(in.t);
	in.t.h.abi = HOTCOPY_ABI;
	in.t.volume = volume;
	in.t.flags = create ? HOTCOPY_TRACK_CREATE : 0;
	in.t.extents = length > 0;
	rig_nonce(in.t.guid, volume);
	rig_nonce(in.t.nonce, nonce);
	in.extent.offset = offset;
	in.extent.length = length;
	return rig_call(f, HOTCOPY_IOCTL_TRACK, &in, in.t.h.size, 0, NULL);
}

NTSTATUS
rig_generation(
    struct rig_file *f, ULONG code, uint64_t volume, uint64_t generation, uint64_t nonce)
{
	struct hotcopy_generation g;

	memset(&g, 0, sizeof(g));
	g.h.size = sizeof(g);
	g.h.abi = HOTCOPY_ABI;
	g.volume = volume;
	g.generation = generation;
	rig_nonce(g.nonce, nonce);
	return rig_call(f, code, &g, sizeof(g), 0, NULL);
}

bool
rig_facts(struct rig_file *f, uint64_t volume, struct hotcopy_volume *out)
{
	uint32_t room = sizeof(struct hotcopy_volumes) + RIG_DISKS * sizeof(*out);
	struct hotcopy_volumes *v = calloc(1, room);
	bool found = false;

	if (v == NULL)
		abort();
	if (NT_SUCCESS(rig_call(f, HOTCOPY_IOCTL_ENUM, v, 0, room, NULL))) {
		for (uint32_t i = 0; i < v->given && !found; i++) {
			found = v->volume[i].volume == volume;
			*out = v->volume[i];
		}
	}
	free(v);
	return found;
}
