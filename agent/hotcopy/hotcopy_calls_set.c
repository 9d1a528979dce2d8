#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_answer.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

/* Of one UNNEEDED or CHANGED: 128 KiB of bits, 64 GiB of a volume's changes. */
#define BITS_A_CALL (1u << 20)
_Static_assert(BITS_A_CALL <= HOTCOPY_BITS_MAX && BITS_A_CALL % 8 == 0, "bits of a call");

static int
do_call(struct hotcopy_link *l, uint32_t code, const void *in, size_t len, void *out,
    size_t room, const char *what, struct err *err)
{
	return hotcopy_error(hotcopy_answer(l, code, in, len, out, room), what, err);
}

int
hotcopy_prepare(struct hotcopy_link *l, const uint64_t *volume, unsigned count,
    const struct hotcopy_wishes *wishes, struct hotcopy_prepared *out, struct err *err)
{
	struct hotcopy_prepare p = { .volumes = count,
		.chunk_shift = wishes->chunk_shift,
		.full =
		    wishes->throttle_ms > 0 ? HOTCOPY_FULL_THROTTLE : HOTCOPY_FULL_DROP,
		.throttle_ms = wishes->throttle_ms,
		.memory = wishes->memory };
	const char *what = "preparing a snapshot set";

	if (count == 0 || count > HOTCOPY_VOLUMES_MAX)
		return err_set(err, ERR_UNSUPPORTED,
		    "a snapshot set of %u volumes: the driver takes 1 to %u", count,
		    HOTCOPY_VOLUMES_MAX);
	hotcopy_ask(&p.h, sizeof(p));
	memcpy(p.volume, volume, count * sizeof(*volume));
	if (do_call(l, HOTCOPY_IOCTL_PREPARE, &p, sizeof(p), out, sizeof(*out), what,
		err) != 0)
		return -1;
	if (out->set == 0 || out->chunk_shift < HOTCOPY_CHUNK_SHIFT_MIN ||
	    out->chunk_shift > HOTCOPY_CHUNK_SHIFT_MAX)
		return hotcopy_error(HOTCOPY_ANSWER_WRONG, what, err);
	return 0;
}

/* --------------------------------------------------------------------- extents -- */

static int
add_extents(struct hotcopy_link *l, uint32_t code, uint64_t set, uint64_t at,
    const struct hotcopy_extent *extent, unsigned extents, const char *what,
    struct err *err)
{
	unsigned most = extents < HOTCOPY_EXTENTS_MAX ? extents : HOTCOPY_EXTENTS_MAX;
	struct hotcopy_extents *e = calloc(1, sizeof(*e) + most * sizeof(*extent));
	unsigned n;
	int rc = 0;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u extents", extents);
	for (; rc == 0 && extents > 0; extents -= n, extent += n) {
		n = extents < most ? extents : most;
		hotcopy_ask(&e->h, sizeof(*e) + n * sizeof(*extent));
		e->set = set;
		e->at = at;
		e->extents = n;
		memcpy(e->extent, extent, n * sizeof(*extent));
		rc = do_call(l, code, e, e->h.size, NULL, 0, what, err);
	}
	free(e);
	return rc;
}

int
hotcopy_add_room(struct hotcopy_link *l, uint64_t set, uint64_t at,
    const struct hotcopy_extent *extent, unsigned extents, struct err *err)
{
	return add_extents(l, HOTCOPY_IOCTL_DIFF_ADD, set, at, extent, extents,
	    "giving room for copies", err);
}

int
hotcopy_exclude(struct hotcopy_link *l, uint64_t set, uint64_t at,
    const struct hotcopy_extent *extent, unsigned extents, struct err *err)
{
	return add_extents(l, HOTCOPY_IOCTL_EXCLUDE, set, at, extent, extents,
	    "leaving out page files", err);
}

/* ---------------------------------------------------------------------- the cut -- */

int
hotcopy_freeze(struct hotcopy_link *l, uint64_t set, uint32_t flags, uint32_t timeout_ms,
    uint32_t hold_ms, const uint8_t nonce[HOTCOPY_NONCE], struct hotcopy_frozen *out,
    struct err *err)
{
	struct hotcopy_freeze f = {
		.set = set, .flags = flags, .timeout_ms = timeout_ms, .hold_ms = hold_ms
	};
	const char *what = "freezing the volumes";

	hotcopy_ask(&f.h, sizeof(f));
	memcpy(f.nonce, nonce, sizeof(f.nonce));
	if (do_call(l, HOTCOPY_IOCTL_FREEZE, &f, sizeof(f), out, sizeof(*out), what,
		err) != 0)
		return -1;
	if (out->set != set || out->volumes > HOTCOPY_VOLUMES_MAX)
		return hotcopy_error(HOTCOPY_ANSWER_WRONG, what, err);
	return 0;
}

static struct hotcopy_bind
which(uint64_t set, unsigned index)
{
	struct hotcopy_bind b = { .set = set, .index = index };

	hotcopy_ask(&b.h, sizeof(b));
	return b;
}

int
hotcopy_bind(struct hotcopy_link *l, uint64_t set, unsigned index, struct err *err)
{
	struct hotcopy_bind b = which(set, index);

	return do_call(l, HOTCOPY_IOCTL_BIND, &b, sizeof(b), NULL, 0,
	    "opening the frozen view", err);
}

int
hotcopy_stats(struct hotcopy_link *l, uint64_t set, unsigned index,
    struct hotcopy_stats *out, struct err *err)
{
	struct hotcopy_bind b = which(set, index);

	return do_call(l, HOTCOPY_IOCTL_STATS, &b, sizeof(b), out, sizeof(*out),
	    "asking how a snapshot set is", err);
}

int
hotcopy_done_read(struct hotcopy_link *l, uint64_t set, unsigned index, uint64_t offset,
    uint64_t len, struct err *err)
{
	struct hotcopy_range r = {
		.set = set, .index = index, .offset = offset, .length = len
	};

	hotcopy_ask(&r.h, sizeof(r));
	return do_call(l, HOTCOPY_IOCTL_DONE_READ, &r, sizeof(r), NULL, 0,
	    "giving up what was read", err);
}

int
hotcopy_release(struct hotcopy_link *l, uint64_t set, struct err *err)
{
	struct hotcopy_release r = { .set = set };

	hotcopy_ask(&r.h, sizeof(r));
	return do_call(l, HOTCOPY_IOCTL_RELEASE, &r, sizeof(r), NULL, 0,
	    "releasing a snapshot set", err);
}

/* ------------------------------------------------------------------------- bits -- */

static struct hotcopy_bits *
make_bits(uint64_t set, unsigned index, uint64_t count, struct err *err)
{
	size_t room = count < BITS_A_CALL ? (size_t)(count + 7) / 8 : BITS_A_CALL / 8;
	struct hotcopy_bits *b = calloc(1, sizeof(*b) + room);

	if (b == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for bits of a volume");
		return NULL;
	}
	b->set = set;
	b->index = index;
	return b;
}

int
hotcopy_unneeded(struct hotcopy_link *l, uint64_t set, unsigned index, uint64_t first,
    uint64_t count, const uint8_t *bits, struct err *err)
{
	struct hotcopy_bits *b = make_bits(set, index, count, err);
	int rc = 0;

	if (b == NULL)
		return -1;
	while (rc == 0 && count > 0) {
		size_t bytes;

		b->first = first;
		b->bits = count < BITS_A_CALL ? (uint32_t)count : BITS_A_CALL;
		bytes = (b->bits + 7) / 8;
		hotcopy_ask(&b->h, sizeof(*b) + bytes);
		memcpy(b->bit, bits, bytes);
		rc = do_call(l, HOTCOPY_IOCTL_UNNEEDED, b, b->h.size, NULL, 0,
		    "telling what of the frozen view is free", err);
		first += b->bits;
		count -= b->bits;
		bits += bytes;
	}
	free(b);
	return rc;
}

/* A range that has begun and not ended yet: from `at`; `end` 0: none. */
struct run {
	uint64_t at, end; /* Blocks. */
	uint64_t length;  /* Of the volume, bytes. */
	int (*each)(void *arg, uint64_t offset, uint64_t len);
	void *arg;
};

static int
run_tell(struct run *r)
{
	uint64_t at = r->at << HOTCOPY_TRACK_SHIFT, end = r->end << HOTCOPY_TRACK_SHIFT;

	if (r->end == 0)
		return 0;
	r->end = 0;
	return r->each(r->arg, at, (end < r->length ? end : r->length) - at);
}

static int
run_bits(struct run *r, uint64_t first, uint32_t bits, const uint8_t *bit)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < bits; i++) {
		if (i % 8 == 0 && bit[i / 8] == 0) {
			i += 7;
			continue;
		}
		if ((bit[i / 8] >> i % 8 & 1) == 0)
			continue;
		if (r->end != first + i) {
			rc = run_tell(r);
			r->at = first + i;
		}
		r->end = first + i + 1;
	}
	return rc;
}

/* The next bits, into `b`, whose answer is of the same form. */
static int
ask_changed(struct hotcopy_link *l, struct hotcopy_bits *b, uint64_t first, uint32_t bits,
    struct err *err)
{
	struct hotcopy_bits asked = { .set = b->set,
		.index = b->index,
		.flags = b->flags,
		.first = first,
		.bits = bits };
	const char *what = "asking what changed";

	hotcopy_ask(&asked.h, sizeof(asked));
	if (do_call(l, HOTCOPY_IOCTL_CHANGED, &asked, sizeof(asked), b,
		sizeof(*b) + (bits + 7) / 8, what, err) != 0)
		return -1;
	if (b->set != asked.set || b->index != asked.index || b->first != first ||
	    b->bits != bits || b->flags != asked.flags)
		return hotcopy_error(HOTCOPY_ANSWER_WRONG, what, err);
	return 0;
}

int
hotcopy_changed(struct hotcopy_link *l, uint64_t set, unsigned index, uint64_t length,
    int now, int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg,
    struct err *err)
{
	uint64_t blocks = (length >> HOTCOPY_TRACK_SHIFT) +
			  ((length & ((1u << HOTCOPY_TRACK_SHIFT) - 1)) != 0);
	struct run r = { .length = length, .each = each, .arg = arg };
	struct hotcopy_bits *b = make_bits(set, index, blocks, err);
	int rc = 0;

	if (b == NULL)
		return -1;
	b->flags = now ? HOTCOPY_BITS_NOW : 0;
	for (uint64_t first = 0, n; rc == 0 && first < blocks; first += n) {
		n = blocks - first < BITS_A_CALL ? blocks - first : BITS_A_CALL;
		rc = ask_changed(l, b, first, (uint32_t)n, err);
		if (rc == 0)
			rc = run_bits(&r, first, (uint32_t)n, b->bit);
	}
	if (rc == 0)
		rc = run_tell(&r);
	free(b);
	return rc;
}
