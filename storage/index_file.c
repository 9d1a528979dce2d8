#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/index.h"
#include "storage/index_run.h"

/* Blocks read or written at once by merges: 256 KiB. */
#define AHEAD 64u

/*
 * Blocks written between syncs: 16 MiB.  All of a merge at its end would stand
 * before every other sync of the disk, and before reads.
 */
#define SYNC_BLOCKS 4096u

void
index_run_name(uint32_t no, char *out)
{
	(void)snprintf(out, FS_NAME_MAX, INDEX_DIR "/%08x.run", (unsigned)no);
}

/* --------------------------------------------------------------- opening -- */

static uint8_t *
alloc_filter(uint32_t lines)
{
	uint8_t *p = aligned_alloc(INDEX_LINE_LEN, (size_t)lines * INDEX_LINE_LEN);

	if (p != NULL)
		memset(p, 0, (size_t)lines * INDEX_LINE_LEN);
	return p;
}

void
index_run_ref(struct index_run *r)
{
	(void)atomic_fetch_add(&r->refs, 1);
}

void
index_run_unref(struct index_run *r)
{
	if (r == NULL || atomic_fetch_sub(&r->refs, 1) != 1)
		return;
	fs_close(r->file);
	free(r->fences);
	free(r->filter);
	free(r->known);
	free(r);
}

uint64_t
index_run_ram(const struct index_run *r)
{
	return sizeof(*r) + (uint64_t)r->f.blocks * INDEX_FENCE_LEN +
	       (uint64_t)r->f.lines * INDEX_LINE_LEN +
	       (r->f.blocks / 32 + 1) * sizeof(*r->known);
}

uint64_t
index_run_disk(const struct index_run *r)
{
	return (uint64_t)r->f.blocks * (INDEX_BLOCK_LEN + INDEX_FENCE_LEN) +
	       (uint64_t)r->f.lines * INDEX_LINE_LEN + INDEX_FOOTER_LEN;
}

/* Read and check what is behind the blocks. */
static int
load_tail(struct index_run *r, struct err *err)
{
	uint8_t footer[INDEX_FOOTER_LEN], *tail = NULL;
	uint64_t len;
	size_t n, fences_len;
	int ret = -1;

	if (fs_size(r->file, &len, err) != 0)
		return -1;
	if (len < INDEX_FOOTER_LEN)
		return err_set(err, ERR_CORRUPT, "too short for a run");
	if (fs_read_all(r->file, footer, sizeof(footer), len - sizeof(footer), err) !=
		0 ||
	    index_run_parse_footer(footer, len, &r->f, err) != 0)
		return -1;
	n = (size_t)(len - (uint64_t)r->f.blocks * INDEX_BLOCK_LEN);
	fences_len = (size_t)r->f.blocks * INDEX_FENCE_LEN;
	if ((tail = malloc(n)) == NULL || (r->fences = malloc(fences_len)) == NULL ||
	    (r->filter = alloc_filter(r->f.lines)) == NULL ||
	    (r->known = calloc(r->f.blocks / 32 + 1, sizeof(*r->known))) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for the filter of a run");
		goto done;
	}
	if (fs_read_all(r->file, tail, n, len - n, err) != 0 ||
	    index_run_check_tail(tail, n, len, &r->f, err) != 0)
		goto done;
	for (uint32_t i = 0; i < r->f.blocks; i++)
		r->fences[i] = load_le64(tail + (size_t)i * INDEX_FENCE_LEN);
	memcpy(r->filter, tail + fences_len, (size_t)r->f.lines * INDEX_LINE_LEN);
	ret = 0;
done:
	free(tail);
	return ret;
}

int
index_run_open(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    struct index_run **out, struct err *err)
{
	char name[FS_NAME_MAX];
	struct index_run *r;

	index_run_name(no, name);
	if ((r = calloc(1, sizeof(*r))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to open %s", name);
	atomic_init(&r->refs, 1);
	if (fs_open(fs, name, FS_READ, &r->file, err) != 0)
		goto fail;
	if (load_tail(r, err) != 0) {
		(void)err_context(err, "%s", name);
		goto fail;
	}
	if (r->f.no != no || memcmp(r->f.store, store, PACK_STORE_ID_LEN) != 0) {
		(void)err_set(
		    err, ERR_CORRUPT, "%s is another run, or of another store", name);
		goto fail;
	}
	*out = r;
	return 0;
fail:
	index_run_unref(r);
	return -1;
}

/* ---------------------------------------------------------------- search -- */

/*
 * The last block that starts below `key`, or 0: where an entry of such an id
 * may first be.  Ids are spread evenly, so the first guess is close; the steps
 * double, so uneven ones cost a logarithm.
 */
static uint32_t
find_block(const struct index_run *r, uint64_t key)
{
	const uint64_t *fences = r->fences;
	uint32_t n = r->f.blocks, lo, hi, mid, step = 1;
	uint32_t guess = (uint32_t)((double)key * 0x1p-64 * n);

	if (guess >= n)
		guess = n - 1;
	/* Afterwards: fences[lo] < key or lo is 0; fences[hi] >= key or hi is n. */
	if (fences[guess] < key) {
		lo = guess;
		hi = guess + 1;
		while (hi < n && fences[hi] < key) {
			lo = hi;
			hi = n - hi > step ? hi + step : n;
			step *= 2;
		}
	} else {
		hi = guess;
		lo = guess > 0 ? guess - 1 : 0;
		while (lo > 0 && fences[lo] >= key) {
			hi = lo;
			lo = lo > step ? lo - step : 0;
			step *= 2;
		}
	}
	while (hi - lo > 1) {
		mid = lo + (hi - lo) / 2;
		if (fences[mid] < key)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

/* Number of the first entry in a block that is not below `id`. */
static uint32_t
lower_bound(const uint8_t *block, uint32_t count, const uint8_t *id)
{
	uint32_t lo = 0, hi = count;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (memcmp(block + INDEX_BLOCK_HEAD + (size_t)mid * INDEX_ENTRY_LEN, id,
			CHUNK_ID_LEN) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

int
index_run_find(const struct index_run *r, const struct chunk_id *id,
    int (*usable)(const void *arg, const struct pack_entry *e), const void *arg,
    struct pack_entry *out, struct err *err)
{
	uint8_t block[INDEX_BLOCK_LEN];
	uint64_t key = index_run_prefix(id->b);
	uint32_t count, at;
	int known;

	for (uint32_t b = find_block(r, key); b < r->f.blocks; b++) {
		if (fs_read_all(r->file, block, sizeof(block),
			(uint64_t)b * sizeof(block), err) != 0)
			return -1;
		known = atomic_load_explicit(&r->known[b / 32], memory_order_relaxed) >>
			    b % 32 &
			1;
		if (index_run_check_block(block, b, known, &count, err) != 0)
			return err_context(err, "%s", r->file->name);
		if (!known)
			(void)atomic_fetch_or_explicit(
			    &r->known[b / 32], 1u << b % 32, memory_order_relaxed);

		for (at = lower_bound(block, count, id->b); at < count; at++) {
			const uint8_t *e =
			    block + INDEX_BLOCK_HEAD + (size_t)at * INDEX_ENTRY_LEN;

			if (memcmp(e, id->b, CHUNK_ID_LEN) != 0)
				return 0;
			index_run_decode(e, out);
			if (usable(arg, out))
				return 1;
		}
		/* It, or another copy of it, may be first in the next block. */
		if (b + 1 < r->f.blocks && r->fences[b + 1] > key)
			return 0;
	}
	return 0;
}

/* --------------------------------------------------------------- reading -- */

int
index_run_reader_open(
    struct index_run_reader *rd, const struct index_run *r, struct err *err)
{
	memset(rd, 0, sizeof(*rd));
	rd->run = r;
	if ((rd->blocks = malloc((size_t)AHEAD * INDEX_BLOCK_LEN)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a run");
	return 0;
}

void
index_run_reader_close(struct index_run_reader *rd)
{
	free(rd->blocks);
	rd->blocks = NULL;
}

int
index_run_reader_next(struct index_run_reader *rd, const uint8_t **entry, struct err *err)
{
	const struct index_run *r = rd->run;
	const uint8_t *block;

	if (rd->at == rd->count) {
		if (rd->count > 0)
			rd->block++;
		if (rd->block == rd->have) {
			rd->first += rd->have;
			rd->block = 0;
			rd->have = r->f.blocks - rd->first < AHEAD
				       ? r->f.blocks - rd->first
				       : AHEAD;
			rd->count = rd->at = 0;
			if (rd->have == 0) {
				*entry = NULL;
				return 0;
			}
			if (fs_read_all(r->file, rd->blocks,
				(size_t)rd->have * INDEX_BLOCK_LEN,
				(uint64_t)rd->first * INDEX_BLOCK_LEN, err) != 0)
				return -1;
		}
		if (index_run_check_block(
			rd->blocks + (size_t)rd->block * INDEX_BLOCK_LEN,
			rd->first + rd->block, 0, &rd->count, err) != 0)
			return err_context(err, "%s", r->file->name);
		rd->at = 0;
	}
	block = rd->blocks + (size_t)rd->block * INDEX_BLOCK_LEN;
	*entry = block + INDEX_BLOCK_HEAD + (size_t)rd->at++ * INDEX_ENTRY_LEN;
	return 0;
}

/* --------------------------------------------------------------- writing -- */

struct index_run_writer {
	struct index_run *run; /* What it becomes. */
	uint8_t *blocks;       /* AHEAD of them. */
	uint32_t ready;	       /* Sealed blocks in blocks[]. */
	uint32_t count;	       /* Entries in the block behind them. */
	uint32_t synced;       /* Blocks of the file. */
	uint32_t fences_cap;
	uint64_t most;
};

int
index_run_writer_open(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    uint64_t most, struct index_run_writer **out, struct err *err)
{
	char name[FS_NAME_MAX];
	struct index_run_writer *w;
	struct index_run *r;

	index_run_name(no, name);
	if ((w = calloc(1, sizeof(*w))) == NULL || (r = calloc(1, sizeof(*r))) == NULL) {
		free(w);
		return err_set(err, ERR_NOMEM, "no memory to write a run");
	}
	w->run = r;
	w->most = most;
	atomic_init(&r->refs, 1);
	r->f.no = no;
	r->f.lines = index_run_filter_lines(most);
	memcpy(r->f.store, store, PACK_STORE_ID_LEN);
	w->fences_cap = (uint32_t)(most / INDEX_BLOCK_ENTRIES + 1);
	if ((w->blocks = malloc((size_t)AHEAD * INDEX_BLOCK_LEN)) == NULL ||
	    (r->filter = alloc_filter(r->f.lines)) == NULL ||
	    (r->fences = malloc((size_t)w->fences_cap * sizeof(*r->fences))) == NULL ||
	    (r->known = calloc(w->fences_cap / 32 + 1, sizeof(*r->known))) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory to write a run");
		goto fail;
	}
	if (fs_open(fs, name, FS_WRITE | FS_CREATE, &r->file, err) != 0 ||
	    fs_truncate(r->file, 0, err) != 0)
		goto fail;
	*out = w;
	return 0;
fail:
	index_run_writer_abort(w);
	return -1;
}

void
index_run_writer_abort(struct index_run_writer *w)
{
	if (w == NULL)
		return;
	index_run_unref(w->run);
	free(w->blocks);
	free(w);
}

uint64_t
index_run_writer_len(const struct index_run_writer *w)
{
	return (uint64_t)w->run->f.blocks * INDEX_BLOCK_LEN;
}

/* Write the sealed blocks. */
static int
push_blocks(struct index_run_writer *w, struct err *err)
{
	uint64_t at = (uint64_t)(w->run->f.blocks - w->ready) * INDEX_BLOCK_LEN;

	if (w->ready == 0)
		return 0;
	if (fs_pwrite(w->run->file, w->blocks, (size_t)w->ready * INDEX_BLOCK_LEN, at,
		err) != 0)
		return -1;
	w->ready = 0;
	if (w->run->f.blocks - w->synced < SYNC_BLOCKS)
		return 0;
	w->synced = w->run->f.blocks;
	return fs_datasync(w->run->file, err);
}

static int
end_block(struct index_run_writer *w, struct err *err)
{
	struct index_run *r = w->run;
	uint8_t *block = w->blocks + (size_t)w->ready * INDEX_BLOCK_LEN;

	r->fences[r->f.blocks] = index_run_prefix(block + INDEX_BLOCK_HEAD);
	index_run_seal_block(block, r->f.blocks, w->count);
	w->count = 0;
	r->f.blocks++;
	return ++w->ready == AHEAD ? push_blocks(w, err) : 0;
}

int
index_run_writer_add(
    struct index_run_writer *w, const uint8_t entry[INDEX_ENTRY_LEN], struct err *err)
{
	struct index_run *r = w->run;
	uint8_t *block = w->blocks + (size_t)w->ready * INDEX_BLOCK_LEN;

	assert(r->f.entries < w->most);
	memcpy(block + INDEX_BLOCK_HEAD + (size_t)w->count * INDEX_ENTRY_LEN, entry,
	    INDEX_ENTRY_LEN);
	index_run_filter_add(r->filter, r->f.lines, entry);
	r->f.entries++;
	return ++w->count == INDEX_BLOCK_ENTRIES ? end_block(w, err) : 0;
}

int
index_run_writer_finish(
    struct index_run_writer *w, struct index_run **out, struct err *err)
{
	struct index_run *r = w->run;
	uint8_t footer[INDEX_FOOTER_LEN], *fences = NULL;
	uint64_t at;
	size_t len;
	int ret = -1;

	assert(r->f.entries > 0);
	if ((w->count > 0 && end_block(w, err) != 0) || push_blocks(w, err) != 0)
		goto done;
	len = (size_t)r->f.blocks * INDEX_FENCE_LEN;
	if ((fences = malloc(len)) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory to write a run");
		goto done;
	}
	for (uint32_t i = 0; i < r->f.blocks; i++)
		store_le64(fences + (size_t)i * INDEX_FENCE_LEN, r->fences[i]);
	index_run_format_footer(&r->f, fences, r->filter, footer);
	at = (uint64_t)r->f.blocks * INDEX_BLOCK_LEN;
	if (fs_pwrite(r->file, fences, len, at, err) != 0 ||
	    fs_pwrite(r->file, r->filter, (size_t)r->f.lines * INDEX_LINE_LEN, at + len,
		err) != 0 ||
	    fs_pwrite(r->file, footer, sizeof(footer),
		at + len + (uint64_t)r->f.lines * INDEX_LINE_LEN, err) != 0 ||
	    fs_sync(r->file, err) != 0)
		goto done;
	*out = r;
	index_run_ref(r);
	ret = 0;
done:
	free(fences);
	index_run_writer_abort(w);
	return ret;
}
