#include <string.h>

#include "agent/pipeline_stages.h"
#include "proto/base/queue.h"

struct hasher {
	struct pipeline *p;
	uint32_t carry_len; /* The end of a range's bytes so far, not cut yet. */
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

/* Cut a range of no known owner, or the part of it that this slab has. */
static void
cut_stream(struct hasher *h, struct pipeline_slab *s, const struct pipeline_item *it)
{
	uint32_t at = it->at, left = (uint32_t)it->len, len;
	uint64_t offset = it->offset;
	struct pipeline_chunk *c;

	if (it->goes_on && h->carry_len > 0) {
		at -= h->carry_len;
		left += h->carry_len;
		offset -= h->carry_len;
		memcpy(s->mem + at, h->carry, h->carry_len);
	}
	h->carry_len = 0;
	for (; left > 0; left -= len, at += len, offset += len) {
		if (!it->last && left < CHUNKER_MAX) {
			memcpy(h->carry, s->mem + at, left);
			h->carry_len = left;
			return;
		}
		len = (uint32_t)chunker_cut(s->mem + at, left, it->last);
		c = &s->chunks[s->chunks_n++];
		c->offset = offset;
		c->len = len;
		c->at = at;
		c->piece = s->pieces_n;
		c->count = 1;
		s->pieces[s->pieces_n++] = (struct volmap_piece){ offset, len };
		name(h, s, c);
	}
}

static void
take_slab(struct hasher *h, struct pipeline_slab *s)
{
	const struct pipeline_item *it;
	struct pipeline_chunk *c;
	uint32_t i;

	for (i = 0; i < s->items_n; i++) {
		it = &s->items[i];
		if (it->kind == VOLMAP_STREAM && !it->replay) {
			cut_stream(h, s, it);
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
		if (it->replay)
			c->kind = CHUNK_IS_REPLAY;
		else if (it->kind == VOLMAP_DATA)
			name(h, s, c);
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
