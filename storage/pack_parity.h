/*
 * pack_parity.h - the parity that a sealed pack may carry, to be mended from.
 *
 * Private to storage/pack*.c, the head for fuzzers too.  Bytes: storage/FORMAT.md,
 * "Parity".  What is covered is the pack without its parity: groups and footer, as if
 * they stood behind one another, in blocks.  A hash of each block says which are
 * damaged; Reed and Solomon's code gives as many of each stripe as it has parity blocks.
 */
#ifndef STORAGE_PACK_PARITY_H
#define STORAGE_PACK_PARITY_H

#include <stddef.h>
#include <stdint.h>

#include "storage/pack.h"

struct err;
struct fs_file;

#define PARITY_HEAD_LEN 160u
#define PARITY_HASH_LEN 8u /* Of a block, in the table. */
#define PARITY_BLOCK 4096u /* What our writer takes; readers take 512 to 65536. */

struct parity_head {
	uint32_t no;
	uint8_t store[PACK_STORE_ID_LEN];
	uint32_t block;	   /* Bytes. */
	uint32_t stripes;  /* Block i is of stripe i % stripes. */
	uint32_t k, m;	   /* Data and parity blocks of a stripe. */
	uint32_t data_end; /* Where the parity begins. */
	uint32_t len;	   /* Of the parity, with heads and tables. */
	uint32_t foot_len; /* Entries and trailer. */
	uint8_t table[32]; /* Hash of the table. */
	uint8_t sum[32];   /* Hash of the data blocks' whole hashes. */
};

/* Data blocks, and all. */
static inline uint32_t
parity_data_blocks(const struct parity_head *h)
{
	return (h->data_end + h->foot_len + h->block - 1) / h->block;
}

static inline uint32_t
parity_blocks(const struct parity_head *h)
{
	return parity_data_blocks(h) + h->m * h->stripes;
}

static inline uint32_t
parity_table_len(const struct parity_head *h)
{
	return parity_blocks(h) * PARITY_HASH_LEN;
}

/* Where parity block 0 lies, from the start of the parity. */
static inline uint32_t
parity_blocks_at(const struct parity_head *h)
{
	return PARITY_HEAD_LEN + parity_table_len(h);
}

/*
 * Lay out `percent` (1..PACK_PARITY_PERCENT_MAX) of parity for a pack whose data_end and
 * foot_len are set in `h`.  0, or -1 if that is more than a pack may have.
 */
int pack_parity_plan(struct parity_head *h, uint32_t percent);

void pack_parity_format_head(const struct parity_head *h, uint8_t out[PARITY_HEAD_LEN]);

/* ERR_CORRUPT, also for a version or lengths that this program does not know. */
int pack_parity_parse_head(
    const uint8_t p[PARITY_HEAD_LEN], struct parity_head *out, struct err *err);

/* The m * k factors, row by row. */
void pack_parity_factors(const struct parity_head *h, uint8_t *out);

/*
 * Write the parity of `f`, whose groups end at h->data_end and are read back, and of
 * the footer `foot`, which is not written.  Sets `table` and `sum`.
 */
int pack_parity_write(
    struct fs_file *f, struct parity_head *h, const uint8_t *foot, struct err *err);

/*
 * Is the parity of `f`, at `at` with `len` bytes, all that it was?  1, 0 if it is of a
 * kind that we do not know, -1 with ERR_CORRUPT, ERR_IO, ERR_NOMEM.
 */
int pack_parity_check(struct fs_file *f, const struct pack_header *of, uint32_t at,
    uint32_t len, struct err *err);

#endif /* STORAGE_PACK_PARITY_H */
