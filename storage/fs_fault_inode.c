#include "storage/fs_fault_inode.h"

#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

uint64_t
fs_fault_draw(uint64_t *rng, uint64_t below)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return below == 0 ? 0 : (*rng >> 11) % below;
}

/* What a test changed behind our back has rotted on the disk. */
void
fs_fault_inode_rot(struct fs_fault_inode *n)
{
	if (n->shown && n->live_len == n->safe_len && n->live_len > 0)
		memcpy(n->safe, n->live, n->live_len);
	n->shown = 0;
}

static int
is_lost(const struct fs_fault_inode *n, size_t sector)
{
	return sector < n->n_lost && n->lost[sector];
}

/* Sector `i` as it is durable, or zeros; `to` has room for `take` bytes. */
static void
durable_sector(const struct fs_fault_inode *n, size_t i, uint8_t *to, size_t take)
{
	size_t at = i * SECTOR, have = at < n->safe_len ? n->safe_len - at : 0;

	memset(to, 0, take);
	if (have > 0)
		memcpy(to, n->safe + at, have < take ? have : take);
}

/* Make the bytes as written the durable ones. */
void
fs_fault_inode_harden(struct fs_fault_inode *n)
{
	uint8_t *safe;
	int left = 0;

	if (!n->dirty)
		return;
	if ((safe = malloc(n->live_len + 1)) == NULL)
		abort();
	for (size_t i = 0; i * SECTOR < n->live_len; i++) {
		size_t at = i * SECTOR, take = n->live_len - at;

		if (take > SECTOR)
			take = SECTOR;
		if (is_lost(n, i)) {
			durable_sector(n, i, safe + at, take);
			left = 1;
		} else {
			memcpy(safe + at, n->live + at, take);
		}
	}
	free(n->safe);
	n->safe = safe;
	n->safe_len = n->live_len;
	n->dirty = left;
}

/* A sync has failed: what it was about is taken for clean, and is not durable. */
void
fs_fault_inode_lose(struct fs_fault_inode *n)
{
	size_t sectors = (n->live_len + SECTOR - 1) / SECTOR;
	uint8_t was[SECTOR];

	if (sectors > n->n_lost) {
		if ((n->lost = realloc(n->lost, sectors)) == NULL)
			abort();
		memset(n->lost + n->n_lost, 0, sectors - n->n_lost);
		n->n_lost = sectors;
	}
	for (size_t i = 0; i < sectors; i++) {
		size_t at = i * SECTOR, take = n->live_len - at;

		if (take > SECTOR)
			take = SECTOR;
		durable_sector(n, i, was, take);
		if (at + take > n->safe_len || memcmp(was, n->live + at, take) != 0)
			n->lost[i] = 1;
	}
}

/* Written anew, they are dirty anew. */
void
fs_fault_inode_regain(struct fs_fault_inode *n, size_t offset, size_t len)
{
	for (size_t i = offset / SECTOR; i * SECTOR < offset + len && i < n->n_lost; i++)
		n->lost[i] = 0;
}

void
fs_fault_inode_forget(struct fs_fault_inode *n)
{
	free(n->lost);
	n->lost = NULL;
	n->n_lost = 0;
}

uint8_t *
fs_fault_copy_bytes(const uint8_t *p, size_t len)
{
	uint8_t *to = malloc(len + 1);

	if (to == NULL)
		abort();
	if (len > 0)
		memcpy(to, p, len);
	return to;
}

void
fs_fault_inode_free(struct fs_fault_inode *n)
{
	free(n->live);
	free(n->safe);
	free(n->lost);
	free(n);
}

/* What the disk holds of a file after the power came back. */
void
fs_fault_inode_cut(uint64_t *rng, struct fs_fault_inode *n)
{
	size_t lo = n->safe_len, hi = n->live_len, len;
	uint64_t mode =
	    fs_fault_draw(rng, 4); /* 0 nothing, 1 a prefix, else any sectors. */
	size_t prefix = (size_t)fs_fault_draw(rng, hi + 1);
	uint8_t *p;

	if (lo > hi) {
		lo = n->live_len;
		hi = n->safe_len;
	}
	len = mode == 0		      ? n->safe_len
	      : fs_fault_draw(rng, 2) ? n->live_len
				      : lo + (size_t)fs_fault_draw(rng, hi - lo + 1);
	if ((p = calloc(1, len + 1)) == NULL)
		abort();
	for (size_t at = 0; at < len; at += SECTOR) {
		int newer = mode == 0	? 0
			    : mode == 1 ? at < prefix
					: fs_fault_draw(rng, 2) != 0;
		const uint8_t *from = newer ? n->live : n->safe;
		size_t end = newer ? n->live_len : n->safe_len, take = len - at;

		if (take > SECTOR)
			take = SECTOR;
		if (at < end)
			memcpy(p + at, from + at, take < end - at ? take : end - at);
	}
	free(n->live);
	n->live = p;
	n->live_cap = len + 1;
	n->live_len = len;
}
