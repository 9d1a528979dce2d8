/*
 * control_check.c - every field of every call, once.
 *
 * A request is judged from its bytes alone: first that there is one, its ABI, its size
 * to the byte, then its fields.  What needs the machine's state (is there such a volume,
 * does the extent fit it) is asked where that state is held still.
 */
#include "driver/core/control_parts.h"

#include <stddef.h>
#include "driver/core/volume.h"

enum tail { TAIL_NONE, TAIL_EXTENTS, TAIL_BITS };

/* What the bytes of a call must be. */
struct shape {
	uint32_t code;
	uint32_t in;   /* without the tail; 0: no request */
	uint32_t room; /* at least, for the answer */
	enum tail tail;
	enum set_result (*fields)(const void *request, uint32_t *tail);
};

static enum set_result
ok(bool right)
{
	return right ? SET_OK : SET_BAD;
}

static enum set_result
track_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_track *t = request;

	*tail = t->extents;
	return ok(
	    (t->flags & ~HOTCOPY_TRACK_CREATE) == 0 && t->extents <= HOTCOPY_EXTENTS_MAX);
}

static enum set_result
untrack_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_untrack *u = request;

	(void)tail;
	return ok((u->flags & ~HOTCOPY_UNTRACK_INVALIDATE) == 0 && u->reserved == 0);
}

static enum set_result
prepare_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_prepare *p = request;

	(void)tail;
	if (p->volumes == 0 || p->volumes > HOTCOPY_VOLUMES_MAX)
		return SET_BAD;
	if (p->chunk_shift != 0 && (p->chunk_shift < HOTCOPY_CHUNK_SHIFT_MIN ||
				       p->chunk_shift > HOTCOPY_CHUNK_SHIFT_MAX))
		return SET_BAD;
	if (p->full > HOTCOPY_FULL_THROTTLE || p->throttle_ms > HOTCOPY_THROTTLE_MS_MAX ||
	    p->memory < 1u << 20 || p->memory > HOTCOPY_MEMORY_MAX)
		return SET_BAD;
	if (p->volumes < HOTCOPY_VOLUMES_MAX && p->only_changed >> p->volumes != 0)
		return SET_BAD;
	for (uint32_t i = 0; i < HOTCOPY_VOLUMES_MAX; i++) {
		if (i >= p->volumes && p->volume[i] != 0)
			return SET_BAD;
		for (uint32_t k = 0; k < i && i < p->volumes; k++)
			if (p->volume[k] == p->volume[i])
				return SET_BAD;
	}
	return SET_OK;
}

static enum set_result
extents_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_extents *e = request;

	*tail = e->extents;
	return ok(
	    e->extents > 0 && e->extents <= HOTCOPY_EXTENTS_MAX && e->reserved == 0);
}

static enum set_result
freeze_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_freeze *f = request;
	uint32_t known =
	    HOTCOPY_FREEZE_AT_HOLD | HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION;

	(void)tail;
	return ok((f->flags & ~known) == 0 && f->timeout_ms <= HOTCOPY_HOLD_MS_MAX &&
		  f->hold_ms <= HOTCOPY_HOLD_MS_MAX && f->reserved == 0);
}

static enum set_result
bind_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_bind *b = request;

	(void)tail;
	return ok(b->index < HOTCOPY_VOLUMES_MAX && b->reserved == 0);
}

static enum set_result
bits_fields(const struct hotcopy_bits *b, uint32_t flags)
{
	return ok((b->flags & ~flags) == 0 && b->reserved == 0 && b->bits > 0 &&
		  b->bits <= HOTCOPY_BITS_MAX && b->first <= UINT64_MAX - b->bits &&
		  b->index < HOTCOPY_VOLUMES_MAX);
}

static enum set_result
unneeded_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_bits *b = request;

	*tail = b->bits;
	return bits_fields(b, 0);
}

static enum set_result
changed_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_bits *b = request;

	(void)tail;
	return (b->first & 7) != 0 ? SET_BAD : bits_fields(b, HOTCOPY_BITS_NOW);
}

static enum set_result
range_fields(const void *request, uint32_t *tail)
{
	const struct hotcopy_range *r = request;

	(void)tail;
	return ok(r->index < HOTCOPY_VOLUMES_MAX && r->reserved == 0 && r->length > 0 &&
		  r->offset <= UINT64_MAX - r->length);
}

static enum set_result
no_fields(const void *request, uint32_t *tail)
{
	(void)request;
	(void)tail;
	return SET_OK;
}

#define SIZE(name) (uint32_t)sizeof(struct hotcopy_##name)
static const struct shape shapes[] = {
	{ HOTCOPY_IOCTL_VERSION, 0, SIZE(version), TAIL_NONE, no_fields },
	{ HOTCOPY_IOCTL_ENUM, 0, SIZE(volumes), TAIL_NONE, no_fields },
	{ HOTCOPY_IOCTL_TRACK, SIZE(track), 0, TAIL_EXTENTS, track_fields },
	{ HOTCOPY_IOCTL_UNTRACK, SIZE(untrack), 0, TAIL_NONE, untrack_fields },
	{ HOTCOPY_IOCTL_PREPARE, SIZE(prepare), SIZE(prepared), TAIL_NONE,
	    prepare_fields },
	{ HOTCOPY_IOCTL_DIFF_ADD, SIZE(extents), 0, TAIL_EXTENTS, extents_fields },
	{ HOTCOPY_IOCTL_EXCLUDE, SIZE(extents), 0, TAIL_EXTENTS, extents_fields },
	{ HOTCOPY_IOCTL_FREEZE, SIZE(freeze), SIZE(frozen), TAIL_NONE, freeze_fields },
	{ HOTCOPY_IOCTL_BIND, SIZE(bind), 0, TAIL_NONE, bind_fields },
	{ HOTCOPY_IOCTL_UNNEEDED, SIZE(bits), 0, TAIL_BITS, unneeded_fields },
	{ HOTCOPY_IOCTL_DONE_READ, SIZE(range), 0, TAIL_NONE, range_fields },
	{ HOTCOPY_IOCTL_CHANGED, SIZE(bits), SIZE(bits), TAIL_NONE, changed_fields },
	{ HOTCOPY_IOCTL_COMMIT, SIZE(generation), 0, TAIL_NONE, no_fields },
	{ HOTCOPY_IOCTL_ABORT, SIZE(generation), 0, TAIL_NONE, no_fields },
	{ HOTCOPY_IOCTL_RELEASE, SIZE(release), 0, TAIL_NONE, no_fields },
	{ HOTCOPY_IOCTL_WAIT_EVENT, 0, SIZE(event), TAIL_NONE, no_fields },
	{ HOTCOPY_IOCTL_STATS, SIZE(bind), SIZE(stats), TAIL_NONE, bind_fields },
};
#undef SIZE

static const struct shape *
shape_of(uint32_t code)
{
	for (uint32_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		if (shapes[i].code == code)
			return &shapes[i];
	return NULL;
}

static uint32_t
tail_bytes(enum tail tail, uint32_t count)
{
	switch (tail) {
	case TAIL_EXTENTS:
		return count * (uint32_t)sizeof(struct hotcopy_extent);
	case TAIL_BITS:
		return (count + 7) >> 3;
	case TAIL_NONE:
		break;
	}
	return 0;
}

enum set_result
control_check(uint32_t code, const void *buffer, uint32_t in, uint32_t room)
{
	const struct shape *s = shape_of(code);
	const struct hotcopy_header *h = buffer;
	enum set_result result;
	uint32_t tail = 0;

	if (s == NULL)
		return SET_NO_CALL;
	if (s->in == 0)
		return in == 0 && room >= s->room ? SET_OK : SET_SIZE;
	if (buffer == NULL || in < sizeof(*h))
		return SET_SIZE;
	/* Another ABI may have other sizes. */
	if (h->abi != HOTCOPY_ABI)
		return SET_ABI;
	if (h->size != in || in < s->in || room < s->room)
		return SET_SIZE;
	result = s->fields(buffer, &tail);
	if (result != SET_OK)
		return result;
	if (in != s->in + tail_bytes(s->tail, tail))
		return SET_SIZE;
	if (code == HOTCOPY_IOCTL_CHANGED &&
	    room - s->room <
		tail_bytes(TAIL_BITS, ((const struct hotcopy_bits *)buffer)->bits))
		return SET_SIZE;
	return SET_OK;
}

enum set_result
control_check_extents(
    const struct volume *v, const struct hotcopy_extent *extent, uint32_t extents)
{
	uint64_t length = volume_length(v), end = 0;
	uint32_t sector = volume_sector(v);

	for (uint32_t i = 0; i < extents; i++) {
		const struct hotcopy_extent *e = &extent[i];

		if (e->length == 0 || ((e->offset | e->length) & (sector - 1)) != 0 ||
		    e->offset < end || e->offset > length ||
		    e->length > length - e->offset)
			return SET_BAD;
		end = e->offset + e->length;
	}
	return SET_OK;
}
