#include <assert.h>
#include <string.h>

#include "agent/backup/pipeline_stages.h"
#include "proto/base/queue.h"

struct hasher {
	struct pipeline *p;
	uint32_t carry_len; /* The end of a range's bytes so far, not cut yet, */
	uint32_t carry_n;   /* and of a region's pieces. */
	struct volmap_piece piece[PIPELINE_CARRY_PIECES];
	uint8_t carry[CHUNKER_MAX];
};

/* Three looks rule out nearly all; then every byte must equal the one before it. */
static int
all_zero(const uint8_t *p, size_t len)
{
	return p[0] == 0 && p[len / 2] == 0 && p[len - 1] == 0 &&
	       memcmp(p, p + 1, len - 1) == 0;
}

static void
name(struct hasher *h, struct pipeline_slab *s, struct pipeline_chunk *c)
{
	const uint8_t *p = s->mem + c->at;

	if (all_zero(p, (size_t)c->len)) {
		c->kind = CHUNK_IS_ZERO;
		return;
	}
	c->kind = CHUNK_IS_DATA;
	chunk_id_of(h->p->job->keys, CHUNK_DATA, p, (size_t)c->len, &c->id);
}

/* Where the bytes to be cut lie on the volume: pieces, the first in part. */
struct places {
	struct volmap_piece carried[PIPELINE_CARRY_PIECES];
	uint32_t carried_n;
	const struct volmap_piece *piece; /* Those that come after. */
	uint32_t count;
	uint32_t next, done; /* The first not passed, and its bytes that were. */
};

static const struct volmap_piece *
place(const struct places *p, uint32_t i)
{
	return i < p->carried_n ? &p->carried[i] : &p->piece[i - p->carried_n];
}

/* The next `len` bytes: their places to `out`, those that touch joined.  How many. */
static uint32_t
pass(struct places *p, uint32_t len, struct volmap_piece *out)
{
	const struct volmap_piece *from;
	uint32_t n = 0, part;
	uint64_t offset;

	for (; len > 0; len -= part) {
		from = place(p, p->next);
		offset = from->offset + p->done;
		part = from->len - p->done < len ? from->len - p->done : len;
		p->done += part;
		if (p->done == from->len) {
			p->next++;
			p->done = 0;
		}
		if (n > 0 && out[n - 1].offset + out[n - 1].len == offset)
			out[n - 1].len += part;
		else
			out[n++] = (struct volmap_piece){ offset, part };
	}
	return n;
}

/* What was carried, before what `it` has. */
static void
begin_places(struct hasher *h, const struct pipeline_slab *s,
    const struct pipeline_item *it, struct places *p)
{
	p->next = p->done = p->carried_n = 0;
	if (it->goes_on) {
		p->carried_n = h->carry_n;
		memcpy(p->carried, h->piece, h->carry_n * sizeof(h->piece[0]));
	}
	p->piece = &s->pieces[it->piece];
	p->count = it->count;
	h->carry_n = 0;
}

/*
 * Cut a range of no known owner, a region, or the part of either that this slab
 * has.  A region's chunks all stand at its position; their pieces lie where they lie.
 */
static void
cut_range(struct hasher *h, struct pipeline_slab *s, const struct pipeline_item *it)
{
	struct volmap_piece one = { it->offset, (uint32_t)it->len };
	uint32_t at = it->at, left = (uint32_t)it->len, len;
	struct places places;
	struct pipeline_chunk *c;

	begin_places(h, s, it, &places);
	if (it->kind == VOLMAP_STREAM) {
		places.piece = &one;
		places.count = 1;
	}
	if (it->goes_on && h->carry_len > 0) {
		at -= h->carry_len;
		left += h->carry_len;
		memcpy(s->mem + at, h->carry, h->carry_len);
	}
	h->carry_len = 0;
	for (; left > 0; left -= len, at += len) {
		if (!it->last && left < CHUNKER_MAX) {
			memcpy(h->carry, s->mem + at, left);
			h->carry_len = left;
			h->carry_n = pass(&places, left, h->piece);
			assert(h->carry_n <= PIPELINE_CARRY_PIECES);
			return;
		}
		len = (uint32_t)chunker_cut(s->mem + at, left, it->last);
		c = &s->chunks[s->chunks_n++];
		c->kept = 0;
		c->len = len;
		c->at = at;
		c->piece = s->pieces_n;
		c->count = pass(&places, len, &s->pieces[s->pieces_n]);
		c->offset =
		    it->kind == VOLMAP_STREAM ? s->pieces[c->piece].offset : it->offset;
		s->pieces_n += c->count;
		name(h, s, c);
	}
}

/* A chunk as it stands: one of the base, or to be compared with it, or neither. */
static void
take_block(struct hasher *h, struct pipeline_slab *s, const struct pipeline_item *it,
    struct pipeline_chunk *c)
{
	c->kept = it->keep == KEEP_IT;
	if (c->kept) {
		c->kind = it->kept.zero ? CHUNK_IS_ZERO : CHUNK_IS_DATA;
		c->id = it->kept.id;
		return;
	}
	name(h, s, c);
	if (it->keep == KEEP_PROVE &&
	    (c->kind == CHUNK_IS_ZERO
		    ? !it->kept.zero
		    : it->kept.zero || chunk_id_cmp(&c->id, &it->kept.id) != 0))
		pipeline_fail_stale(h->p, it->offset);
}

static void
take_slab(struct hasher *h, struct pipeline_slab *s)
{
	const struct pipeline_item *it;
	struct pipeline_chunk *c;
	uint32_t i;

	for (i = 0; i < s->items_n; i++) {
		it = &s->items[i];
		if (it->kind == VOLMAP_REGION ||
		    (it->kind == VOLMAP_STREAM && !it->replay)) {
			cut_range(h, s, it);
			continue;
		}
		c = &s->chunks[s->chunks_n++];
		c->offset = it->offset;
		c->len = it->len;
		c->at = it->at;
		c->piece = it->piece;
		c->count = it->count;
		c->kind = it->kind == VOLMAP_HOLE ? CHUNK_IS_HOLE : CHUNK_IS_EXCLUDED;
		c->reason = it->reason;
		c->kept = 0;
		if (it->replay)
			c->kind = CHUNK_IS_REPLAY;
		else if (it->kind == VOLMAP_DATA)
			take_block(h, s, it, c);
	}
}

void *
pipeline_hasher(void *arg)
{
	struct hasher h = { .p = arg };
	void *item;

	while (queue_get(h.p->read, &item) == QUEUE_OK) {
		take_slab(&h, item);
		if (queue_put(h.p->hashed, item, 1) != QUEUE_OK)
			break;
	}
	queue_finish(h.p->hashed);
	pipeline_done(h.p, PIPELINE_HASH);
	return NULL;
}
