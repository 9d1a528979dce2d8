/*
 * Offset	Size	A piece, or a run of a dense file, as a sorter's record
 * 0		4	LCN of the block's lowest piece, or of the run
 * 4		2	which piece of the block, in the order of the file, plus 1;
 *			0: a run of a dense file, and nothing more
 * 6		4	LCN of this piece
 * 10		3	its bytes less one
 *
 * A cluster is not larger than what is cut, so a piece begins where a cluster does.
 */
#include "agent/map/volmap_blocks.h"

#include <assert.h>
#include <stdlib.h>

#include "agent/map/sorter.h"
#include "agent/map/volmap.h"
#include "agent/map/volmap_marks.h"
#include "proto/base/bytes.h"

#define PIECE_LEN 13u

struct piece {
	uint32_t first, lcn, len;
};

struct volmap_blocks {
	uint32_t cluster_size;
	struct sorter *sorter;

	/* While they come in: the block that may get more pieces. */
	struct volmap_run owner;
	uint64_t block;
	int dense;
	uint32_t count; /* Pieces; one more than VOLMAP_REGION_PIECES_MAX: too many. */
	struct piece piece[VOLMAP_REGION_PIECES_MAX];

	/* While they go out. */
	int has_next;
	struct piece next;
	int next_is_run; /* Of a dense file. */
};

struct volmap_blocks *
volmap_blocks_new(uint32_t cluster_size, size_t memory, const struct spill *spill)
{
	struct volmap_blocks *b = calloc(1, sizeof(*b));

	assert(
	    cluster_size < VOLMAP_REGION_LEN && (cluster_size & (cluster_size - 1)) == 0);
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

static int
put(struct volmap_blocks *b, uint32_t first, uint32_t place, const struct piece *p,
    struct err *err)
{
	uint8_t record[PIECE_LEN];

	store_be32(record, first);
	store_be16(record + 4, (uint16_t)place);
	store_be32(record + 6, p->lcn);
	record[10] = (uint8_t)((p->len - 1) >> 16);
	store_be16(record + 11, (uint16_t)(p->len - 1));
	return sorter_add(b->sorter, record, err);
}

/* May it come as one?  Where the sizes of a stream are lies, a piece may be short. */
static int
is_sound(const struct volmap_blocks *b)
{
	if (b->count > (b->dense ? VOLMAP_REGION_PIECES_MAX : VOLMAP_PIECES_MAX))
		return 0;
	for (uint32_t i = 1; b->dense && i + 1 < b->count; i++)
		if (b->piece[i].len < VOLMAP_GRAIN)
			return 0;
	return 1;
}

/* The block has all its pieces: keep it if they are several. */
static int
close_block(struct volmap_blocks *b, struct err *err)
{
	uint32_t first = UINT32_MAX;

	if (b->count < 2 || !is_sound(b))
		return 0;
	for (uint32_t i = 0; i < b->count; i++)
		if (b->piece[i].lcn < first)
			first = b->piece[i].lcn;
	for (uint32_t i = 0; i < b->count; i++)
		if (put(b, first, i + 1, &b->piece[i], err) == -1)
			return -1;
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
	if (b->count < VOLMAP_REGION_PIECES_MAX) {
		b->piece[b->count].lcn = run->lcn + (uint32_t)(from / b->cluster_size);
		b->piece[b->count].len = (uint32_t)(to - from);
	}
	if (b->count <= VOLMAP_REGION_PIECES_MAX)
		b->count++;
	return 0;
}

int
volmap_blocks_add(struct volmap_blocks *b, const struct volmap_run *run, uint64_t valid,
    int dense, struct err *err)
{
	const struct piece none = { 0, 0, 1 };
	uint64_t start = (uint64_t)run->vcn * b->cluster_size, end = start + valid;
	uint64_t size = dense ? VOLMAP_REGION_LEN : VOLMAP_BLOCK;
	uint64_t block = start / size, last = (end - 1) / size, to;

	if (dense && put(b, run->lcn, 0, &none, err) == -1)
		return -1;
	/* A block of a large cluster lies in one piece. */
	if (b->cluster_size >= size)
		return 0;
	to = block < last ? (block + 1) * size : end;
	if (add_piece(b, run, block, 0, to - start, err) == -1)
		return -1;
	b->dense = dense;
	/* Those between lie in this run alone. */
	if (block == last)
		return 0;
	return add_piece(b, run, last, last * size - start, valid, err);
}

static int
fetch(struct volmap_blocks *b, struct err *err)
{
	const uint8_t *p;

	if ((b->has_next = sorter_next(b->sorter, &p, err)) == -1)
		return -1;
	if (b->has_next) {
		b->next.first = load_be32(p);
		b->next_is_run = load_be16(p + 4) == 0;
		b->next.lcn = load_be32(p + 6);
		b->next.len = ((uint32_t)p[10] << 16 | load_be16(p + 11)) + 1;
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

/* Pass what lies below `lcn`. */
static int
pass(struct volmap_blocks *b, uint32_t lcn, struct err *err)
{
	while (b->has_next && b->next.first < lcn)
		if (fetch(b, err) == -1)
			return -1;
	return 0;
}

int
volmap_blocks_dense(struct volmap_blocks *b, uint32_t lcn, struct err *err)
{
	if (pass(b, lcn, err) == -1)
		return -1;
	if (!b->has_next || b->next.first != lcn || !b->next_is_run)
		return 0;
	return fetch(b, err) == -1 ? -1 : 1;
}

int
volmap_blocks_at(struct volmap_blocks *b, uint32_t lcn, struct volmap_piece *out,
    uint32_t *count, struct err *err)
{
	*count = 0;
	if (pass(b, lcn, err) == -1)
		return -1;
	while (b->has_next && b->next.first == lcn) {
		assert(!b->next_is_run && *count < VOLMAP_REGION_PIECES_MAX);
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
