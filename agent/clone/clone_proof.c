#include "agent/clone/clone_proof.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

struct clone_proof {
	uint64_t unit;
	struct blake3 hash; /* Of the unit under way, */
	uint64_t filled;    /* of which so many bytes are in it. */
	size_t units, room; /* Of the source; room for them. */
	size_t checked;
	uint64_t from, to; /* Of the volume: where the unit under way lies in the copy. */
	uint8_t (*digest)[BLAKE3_OUT_LEN];
};

struct clone_proof *
clone_proof_new(uint64_t bytes)
{
	struct clone_proof *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->unit = CLONE_PROOF_UNIT_MIN;
	while (bytes / p->unit >= CLONE_PROOF_UNITS_MAX)
		p->unit *= 2;
	p->room = (size_t)(bytes / p->unit) + 1;
	if ((p->digest = calloc(p->room, sizeof(*p->digest))) == NULL) {
		free(p);
		return NULL;
	}
	blake3_init(&p->hash, NULL);
	return p;
}

void
clone_proof_free(struct clone_proof *p)
{
	if (p == NULL)
		return;
	free(p->digest);
	free(p);
}

uint64_t
clone_proof_unit(const struct clone_proof *p)
{
	return p->unit;
}

/* As many of `len` bytes as the unit under way still takes: non-zero if it is full then. */
static int
fill(struct clone_proof *p, const uint8_t *bytes, size_t len, size_t *taken)
{
	*taken = len < p->unit - p->filled ? len : (size_t)(p->unit - p->filled);
	blake3_update(&p->hash, bytes, *taken);
	p->filled += *taken;
	return p->filled == p->unit;
}

static void
finish_unit(struct clone_proof *p, uint8_t digest[BLAKE3_OUT_LEN])
{
	blake3_final(&p->hash, digest, BLAKE3_OUT_LEN);
	blake3_init(&p->hash, NULL);
	p->filled = 0;
}

void
clone_proof_add(struct clone_proof *p, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t n; len > 0; b += n, len -= n)
		/* More than was said is not proven; clone_proof_end() will say so. */
		if (fill(p, b, len, &n) && p->units < p->room)
			finish_unit(p, p->digest[p->units++]);
}

void
clone_proof_begin(struct clone_proof *p)
{
	if (p->filled > 0 && p->units < p->room)
		finish_unit(p, p->digest[p->units++]);
	p->checked = 0;
}

static int
compare(struct clone_proof *p, struct err *err)
{
	uint8_t digest[BLAKE3_OUT_LEN];

	finish_unit(p, digest);
	if (p->checked < p->units &&
	    memcmp(digest, p->digest[p->checked], sizeof(digest)) == 0) {
		p->checked++;
		return 0;
	}
	return err_set(err, ERR_CORRUPT,
	    "between bytes %llu and %llu is not what was written when it is read back",
	    (unsigned long long)p->from, (unsigned long long)p->to);
}

int
clone_proof_check(struct clone_proof *p, uint64_t offset, const void *bytes, size_t len,
    struct err *err)
{
	const uint8_t *b = bytes;
	int full;

	for (size_t n; len > 0; offset += n, b += n, len -= n) {
		if (p->filled == 0)
			p->from = offset;
		full = fill(p, b, len, &n);
		p->to = offset + n;
		if (full && compare(p, err) != 0)
			return -1;
	}
	return 0;
}

int
clone_proof_end(struct clone_proof *p, struct err *err)
{
	if (p->filled > 0 && compare(p, err) != 0)
		return -1;
	if (p->checked != p->units)
		return err_set(err, ERR_CORRUPT, "%zu of %zu units were read back",
		    p->checked, p->units);
	return 0;
}
