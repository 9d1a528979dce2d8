/*
 * Offset	Size	A piece, as a sorter's record
 * 0		4	LCN of the block's lowest piece
 * 4		1	which piece of the block, in the order of the file
 * 5		4	LCN of this piece
 * 9		2	its bytes less one
 *
 * A cluster is smaller than a block, so a piece begins where a cluster does.
 */
#include "agent/volmap_blocks.h"

#include <assert.h>
#include <stdlib.h>

#include "agent/sorter.h"
#include "agent/volmap.h"
#include "agent/volmap_marks.h"
#include "proto/base/bytes.h"

#define PIECE_LEN 11u

struct piece {
	uint32_t first, lcn, len;
};

struct volmap_blocks {
	uint32_t cluster_size;
	struct sorter *sorter;

	/* While they come in: the block that may get more pieces. */
	struct volmap_run owner;
	uint64_t block;
	uint32_t count; /* Pieces; one more than VOLMAP_PIECES_MAX: too many. */
	struct piece piece[VOLMAP_PIECES_MAX];

	/* While they go out. */
	int has_next;
	struct piece next;
};

struct volmap_blocks *
volmap_blocks_new(uint32_t cluster_size, size_t memory, const struct spill *spill)
{
	struct volmap_blocks *b = calloc(1, sizeof(*b));

	assert(cluster_size < VOLMAP_BLOCK && (cluster_size & (cluster_size - 1)) == 0);
	if (b == NULL || (b->sorter = sorter_new(PIECE_LEN, memory, spill)) == NULL) {
		free(b);
		return NULL;
	}
	b->cluster_size = cluster_size;
	return b;
}

void
volmap_blocks_free(struct volmap_blocks *b)
{
	if (b == NULL)
		return;
	sorter_free(b->sorter);
	free(b);
}

/* The block has all its pieces: keep it if they are several. */
static int
close_block(struct volmap_blocks *b, struct err *err)
{
	uint8_t record[PIECE_LEN];
	uint32_t first = UINT32_MAX;

	if (b->count < 2 || b->count > VOLMAP_PIECES_MAX)
		return 0;
	for (uint32_t i = 0; i < b->count; i++)
		if (b->piece[i].lcn < first)
			first = b->piece[i].lcn;
	for (uint32_t i = 0; i < b->count; i++) {
		store_be32(record, first);
		record[4] = (uint8_t)i;
		store_be32(record + 5, b->piece[i].lcn);
		store_be16(record + 9, (uint16_t)(b->piece[i].len - 1));
		if (sorter_add(b->sorter, record, err) == -1)
			return -1;
	}
	return 0;
}

/* Bytes [from, to) of the run, from its start, are a piece of block `block`. */
static int
add_piece(struct volmap_blocks *b, const struct volmap_run *run, uint64_t block,
    uint64_t from, uint64_t to, struct err *err)
{
	if (b->count > 0 && (b->block != block || !volmap_marks_same(&b->owner, run))) {
		if (close_block(b, err) == -1)
			return -1;
		b->count = 0;
	}
	b->owner = *run;
	b->block = block;
	if (b->count < VOLMAP_PIECES_MAX) {
		b->piece[b->count].lcn = run->lcn + (uint32_t)(from / b->cluster_size);
		b->piece[b->count].len = (uint32_t)(to - from);
	}
	if (b->count <= VOLMAP_PIECES_MAX)
		b->count++;
	return 0;
}

int
volmap_blocks_add(struct volmap_blocks *b, const struct volmap_run *run, uint64_t valid,
    struct err *err)
{
	uint64_t start = (uint64_t)run->vcn * b->cluster_size, end = start + valid;
	uint64_t block = start / VOLMAP_BLOCK, last = (end - 1) / VOLMAP_BLOCK, to;

	to = block < last ? (block + 1) * VOLMAP_BLOCK : end;
	if (add_piece(b, run, block, 0, to - start, err) == -1)
		return -1;
	/* Those between lie in this run alone. */
	if (block == last)
		return 0;
	return add_piece(b, run, last, last * VOLMAP_BLOCK - start, valid, err);
}

static int
fetch(struct volmap_blocks *b, struct err *err)
{
	const uint8_t *p;

	if ((b->has_next = sorter_next(b->sorter, &p, err)) == -1)
		return -1;
	if (b->has_next) {
		b->next.first = load_be32(p);
		b->next.lcn = load_be32(p + 5);
		b->next.len = load_be16(p + 9) + 1u;
	}
	return 0;
}

int
volmap_blocks_finish(struct volmap_blocks *b, struct err *err)
{
	if (close_block(b, err) == -1 || sorter_finish(b->sorter, err) == -1)
		return -1;
	return fetch(b, err);
}

int
volmap_blocks_at(struct volmap_blocks *b, uint32_t lcn, struct volmap_piece *out,
    uint32_t *count, struct err *err)
{
	*count = 0;
	while (b->has_next && b->next.first < lcn)
		if (fetch(b, err) == -1)
			return -1;
	while (b->has_next && b->next.first == lcn) {
		assert(*count < VOLMAP_PIECES_MAX);
		out[*count].offset = (uint64_t)b->next.lcn * b->cluster_size;
		out[*count].len = b->next.len;
		++*count;
		if (fetch(b, err) == -1)
			return -1;
	}
	return 0;
}

const struct sorter *
volmap_blocks_sorter(const struct volmap_blocks *b)
{
	return b->sorter;
}
