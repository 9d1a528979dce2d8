/*
 * index_run.h - one immutable sorted run of the index: bytes, file, search.
 *
 * A run is blocks of entries in order, then one fence per block (the first
 * entry's leading bytes), a filter, and a footer.  Fences and filter are kept
 * in memory, so that a look-up reads one block or, for what is not there,
 * mostly none.  Bytes: storage/FORMAT.md, "Index".  Private to storage/index*.c.
 */
#ifndef STORAGE_INDEX_RUN_H
#define STORAGE_INDEX_RUN_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/pack.h"

struct err;
struct fs;
struct fs_file;

/* Required features of manifests and runs that this program knows. */
#define INDEX_FEATURES 0u

#define INDEX_BLOCK_LEN 4096u
#define INDEX_BLOCK_HEAD 24u
#define INDEX_ENTRY_LEN 44u
#define INDEX_BLOCK_ENTRIES 92u
#define INDEX_FENCE_LEN 8u
#define INDEX_LINE_LEN 64u
#define INDEX_FOOTER_LEN 96u

/* ------------------------------------------------------------- the bytes -- */

/* One entry as it lies in blocks and in memory tables. */
void index_run_encode(const struct pack_entry *e, uint8_t out[INDEX_ENTRY_LEN]);
void index_run_decode(const uint8_t p[INDEX_ENTRY_LEN], struct pack_entry *out);

/* The order of entries: id, pack, offset, place.  As memcmp(). */
int index_run_order(const uint8_t *a, const uint8_t *b);

/* The leading bytes of an id as a number that orders like it. */
static inline uint64_t
index_run_prefix(const uint8_t *id)
{
	uint64_t v = 0;

	for (int i = 0; i < 8; i++)
		v = v << 8 | id[i];
	return v;
}

/* Complete a block that holds `count` entries. */
void index_run_seal_block(uint8_t block[INDEX_BLOCK_LEN], uint32_t no, uint32_t count);

/*
 * Is this block `no`, whole?  `*count` is 1..INDEX_BLOCK_ENTRIES.  The hash costs
 * more than all the rest of a look-up: `known` leaves it out, for a block that
 * held it before.  ERR_CORRUPT.
 */
int index_run_check_block(const uint8_t block[INDEX_BLOCK_LEN], uint32_t no, int known,
    uint32_t *count, struct err *err);

struct index_run_footer {
	uint8_t store[PACK_STORE_ID_LEN];
	uint32_t no;	 /* Of the run. */
	uint32_t blocks; /* > 0 */
	uint32_t lines;	 /* Of the filter, > 0. */
	uint64_t entries;
	uint32_t optional; /* Features; what we write has none. */
};

void index_run_format_footer(const struct index_run_footer *f, const uint8_t *fences,
    const uint8_t *filter, uint8_t out[INDEX_FOOTER_LEN]);

/* Check a footer, the end of a file of `file_len` bytes, but not its hash. */
int index_run_parse_footer(const uint8_t p[INDEX_FOOTER_LEN], uint64_t file_len,
    struct index_run_footer *out, struct err *err);

/*
 * Check everything behind the blocks: `tail` is fences, filter and footer.
 * Hash, and that the fences rise.
 */
int index_run_check_tail(const uint8_t *tail, size_t len, uint64_t file_len,
    struct index_run_footer *out, struct err *err);

/* The filter: 12 bits a key in 64-byte lines, one line looked at per question. */
uint32_t index_run_filter_lines(uint64_t entries);
void index_run_filter_add(uint8_t *filter, uint32_t lines, const uint8_t *id);

static inline const uint8_t *
index_run_filter_line(const uint8_t *filter, uint32_t lines, const uint8_t *id)
{
	uint64_t h = (uint64_t)id[8] | (uint64_t)id[9] << 8 | (uint64_t)id[10] << 16 |
		     (uint64_t)id[11] << 24;

	return filter + (size_t)(h * lines >> 32) * INDEX_LINE_LEN;
}

/* Non-zero: perhaps in the run.  Zero: certainly not. */
int index_run_filter_has(const uint8_t *line, const uint8_t *id);

/* -------------------------------------------------------------- the file -- */

struct index_run {
	atomic_uint refs;
	struct fs_file *file;
	struct index_run_footer f;
	uint64_t *fences;   /* f.blocks of them. */
	uint8_t *filter;    /* f.lines lines, aligned to one. */
	atomic_uint *known; /* A bit per block whose hash held since opening. */
};

/* "index/0000002a.run" */
void index_run_name(uint32_t no, char *out);

/* Open run `no`, checking its tail.  ERR_CORRUPT, ERR_NOTFOUND, ERR_IO. */
int index_run_open(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    struct index_run **out, struct err *err);
void index_run_ref(struct index_run *r);
void index_run_unref(struct index_run *r); /* The last one closes and frees. */
uint64_t index_run_ram(const struct index_run *r);
uint64_t index_run_disk(const struct index_run *r);

/*
 * The first entry of `id` for which `usable` says yes, into `out`: 1; 0 if
 * there is none; -1 with err.
 */
int index_run_find(const struct index_run *r, const struct chunk_id *id,
    int (*usable)(const void *arg, const struct pack_entry *e), const void *arg,
    struct pack_entry *out, struct err *err);

/* Reads a run from its start. */
struct index_run_reader {
	const struct index_run *run;
	uint8_t *blocks;	   /* Some blocks read ahead. */
	uint32_t first, have;	   /* Number of the first of them, and how many. */
	uint32_t block, at, count; /* The next entry: in blocks[block], number at. */
};

int index_run_reader_open(
    struct index_run_reader *rd, const struct index_run *r, struct err *err);
void index_run_reader_close(struct index_run_reader *rd);

/* The next entry, borrowed until the next call; NULL at the end.  -1 with err. */
int index_run_reader_next(
    struct index_run_reader *rd, const uint8_t **entry, struct err *err);

/* Writes a run; entries come in order. */
struct index_run_writer;

/* Start run `no` for at most `most` entries, replacing such a file. */
int
index_run_writer_open(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    uint64_t most, struct index_run_writer **out, struct err *err);
int index_run_writer_add(
    struct index_run_writer *w, const uint8_t entry[INDEX_ENTRY_LEN], struct err *err);
uint64_t index_run_writer_len(const struct index_run_writer *w); /* Bytes so far. */

/*
 * Complete the file (at least one entry), make its bytes durable, and turn the
 * writer into a run with one reference.  Frees the writer also on failure; the
 * file stays for index_open() to remove.
 */
int index_run_writer_finish(
    struct index_run_writer *w, struct index_run **out, struct err *err);
void index_run_writer_abort(struct index_run_writer *w);

#endif /* STORAGE_INDEX_RUN_H */
