#include "agent/backup/shape.h"

#include <stdlib.h>
#include <string.h>

#include "agent/backup/ahead.h"
#include "agent/backup/proof.h"
#include "agent/backup/spans.h"
#include "agent/map/chunker.h"
#include "agent/map/volmap.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/chunk_id.h"
#include "proto/chunk/tree.h"

#define ENTRY_LEN 16u
#define SLOTS 8u /* Spans at hand. */
#define NO_SPAN UINT64_MAX

/* What an entry says. */
enum { IS_BLOCK = 0, IS_PART = 1, IS_END = 3 };
#define WHAT_BITS 2u

/* Of the owner's bytes in the header. */
enum { AT_SLICES = 0, AT_NEXT = 4, AT_POINTS = 8 };

static const struct spans_kind kind = {
	.magic = { 'H', 'F', 'S', 'H', 'A', 'P', 'E', '2' },
	.bag = "cuts",
	.settled = "=shape",
};

struct shape_writer {
	struct spans_writer *out;
	struct spans *base;  /* NULL: none. */
	struct buf was;	     /* A record of it. */
	struct ahead *ahead; /* Entries of pieces that lie ahead. */
	uint64_t span;	     /* Whose entries are in `entries`. */
	struct buf entries;
};

struct slot {
	uint64_t span;
	struct buf entries;
};

struct shape {
	struct spans *spans;
	struct slot slot[SLOTS];
	unsigned next; /* The slot that is filled next. */
};

/* ---------------------------------------------------------------- writing -- */

int
shape_create(const char *path, const char *old, const struct chunk_id *base,
    struct shape_writer **out, struct err *err)
{
	struct shape_writer *w = calloc(1, sizeof(*w));
	struct err ignored = ERR_INIT;
	int found = 0;

	if (w == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	w->was.max = w->entries.max = SPANS_RECORD_MAX;
	if (old != NULL && base != NULL)
		found = spans_open(old, &kind, base, &w->base, err);
	if (found == -1 || (w->ahead = ahead_new(2 * VOLMAP_AHEAD_MAX)) == NULL ||
	    spans_create(path, &kind, w->base, &w->out, err) != 0) {
		if (found != -1 && w->ahead == NULL)
			err_set(err, ERR_NOMEM, "out of memory");
		(void)shape_finish(w, &ignored);
		return -1;
	}
	*out = w;
	return 0;
}

/* The span's entries have come. */
static int
end_span(struct shape_writer *w, struct err *err)
{
	uint64_t at = w->base == NULL || !spans_keeps(w->out) || w->entries.len == 0
			  ? 0
			  : spans_at(w->base, w->span);

	if (w->entries.len == 0)
		return 0;
	if (at != 0 && spans_get(w->base, at, &w->was) && w->was.len == w->entries.len &&
	    memcmp(w->was.p, w->entries.p, w->was.len) == 0)
		spans_keep(w->out, w->was.len);
	else if (spans_add(w->out, NULL, 0, w->entries.p, w->entries.len, &at, err) != 0)
		return -1;
	buf_clear(&w->entries);
	return spans_put(w->out, w->span, at, err);
}

static int
put(struct shape_writer *w, uint64_t offset, uint64_t what, struct err *err)
{
	if (offset / TREE_SPAN_LEN != w->span) {
		if (end_span(w, err) != 0)
			return -1;
		w->span = offset / TREE_SPAN_LEN;
	}
	return buf_add_le64(&w->entries, offset, err) == 0 &&
		       buf_add_le64(&w->entries, what, err) == 0
		   ? 0
		   : -1;
}

/* What lies ahead of `offset` no more. */
static int
catch_up(struct shape_writer *w, uint64_t offset, struct err *err)
{
	struct extent e;

	while (ahead_pop(w->ahead, offset, &e))
		if (put(w, e.offset, (uint64_t)e.len << WHAT_BITS | e.chunk_offset,
			err) != 0)
			return -1;
	return 0;
}

static uint64_t
within_span(uint64_t offset, uint64_t len)
{
	uint64_t room = TREE_SPAN_LEN - offset % TREE_SPAN_LEN;

	return len < room ? len : room;
}

/* A range in one piece: nothing that waits lies before its end. */
static int
put_range(struct shape_writer *w, uint64_t at, uint64_t len, struct err *err)
{
	uint64_t n;

	for (; len > 0; at += n, len -= n) {
		n = within_span(at, len);
		if (put(w, at, n << WHAT_BITS | (n == len ? IS_END : IS_PART), err) != 0)
			return -1;
	}
	return 0;
}

static int
put_pieces(struct shape_writer *w, const struct volmap_cut *cut, struct err *err)
{
	struct extent e = { .kind = EXTENT_ZERO };

	for (uint32_t i = 0; i < cut->count; i++) {
		uint64_t at = cut->piece[i].offset, left = cut->piece[i].len;

		for (; left > 0; at += e.len, left -= e.len) {
			e.offset = at;
			e.len = (uint32_t)within_span(at, left);
			e.chunk_offset =
			    i + 1 == cut->count && e.len == left ? IS_END : IS_PART;
			if (ahead_push(w->ahead, &e, err) != 0)
				return -1;
		}
	}
	return 0;
}

static uint64_t
block_hash(const struct volmap_cut *cut)
{
	uint8_t b[12], hash[8];
	struct blake3 h;

	blake3_init(&h, NULL);
	for (uint32_t i = 0; i < cut->count; i++) {
		store_le64(b, cut->piece[i].offset);
		store_le32(b + 8, cut->piece[i].len);
		blake3_update(&h, b, sizeof(b));
	}
	blake3_final(&h, hash, sizeof(hash));
	return load_le64(hash) << WHAT_BITS | IS_BLOCK;
}

int
shape_add(struct shape_writer *w, const struct volmap_cut *cut, struct err *err)
{
	if (catch_up(w, cut->offset, err) != 0)
		return -1;
	switch (cut->kind) {
	case VOLMAP_DATA:
		return cut->count > 1 ? put(w, cut->offset, block_hash(cut), err) : 0;
	case VOLMAP_REGION:
	case VOLMAP_STREAM:
		if (cut->len <= CHUNKER_MIN)
			return 0;
		return cut->count > 1 ? put_pieces(w, cut, err)
				      : put_range(w, cut->offset, cut->len, err);
	case VOLMAP_HOLE:
	case VOLMAP_EXCLUDED:
		break;
	}
	return 0;
}

int
shape_finish(struct shape_writer *w, struct err *err)
{
	struct err ignored = ERR_INIT;
	int rc = 0;

	if (w == NULL)
		return 0;
	if (w->out != NULL &&
	    (catch_up(w, UINT64_MAX, err) != 0 || end_span(w, err) != 0))
		rc = -1;
	if (spans_finish(w->out, NULL, rc == 0 ? err : &ignored) != 0)
		rc = -1;
	spans_close(w->base);
	ahead_free(w->ahead);
	buf_free(&w->was);
	buf_free(&w->entries);
	free(w);
	return rc;
}

int
shape_seal(const char *path, const struct chunk_id *root, const struct proof *proof,
    struct err *err)
{
	uint8_t own[SPANS_OWNED] = { 0 };

	store_le32(own + AT_SLICES, proof->slices);
	store_le32(own + AT_NEXT, proof->next);
	for (unsigned i = 0; i < PROOF_SLICES_MAX; i++)
		store_le64(own + AT_POINTS + 8 * (size_t)i, proof->point[i]);
	return spans_seal(path, &kind, root, own, err);
}

int
shape_settle(const char *path, const char *settled, struct err *err)
{
	return spans_settle(path, settled, &kind, err);
}

void
shape_tidy(const char *settled)
{
	spans_tidy(settled, &kind);
}

/* ---------------------------------------------------------------- reading -- */

static int
parse(const uint8_t *own, struct proof *out)
{
	out->slices = load_le32(own + AT_SLICES);
	out->next = load_le32(own + AT_NEXT);
	for (unsigned i = 0; i < PROOF_SLICES_MAX; i++)
		out->point[i] = load_le64(own + AT_POINTS + 8 * (size_t)i);
	return out->slices > 0 && out->slices <= PROOF_SLICES_MAX &&
	       out->next < out->slices;
}

int
shape_open(const char *path, const struct chunk_id *root, struct shape **out,
    struct proof *proof, struct err *err)
{
	struct shape *s = calloc(1, sizeof(*s));
	struct proof said;
	int found;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (unsigned i = 0; i < SLOTS; i++) {
		s->slot[i].span = NO_SPAN;
		s->slot[i].entries.max = SPANS_RECORD_MAX;
	}
	if ((found = spans_open(path, &kind, root, &s->spans, err)) == 1)
		found = parse(spans_header(s->spans) + SPANS_OWNER, &said);
	if (found != 1) {
		shape_close(s);
		return found;
	}
	if (proof != NULL)
		*proof = said;
	*out = s;
	return 1;
}

void
shape_close(struct shape *s)
{
	if (s == NULL)
		return;
	spans_close(s->spans);
	for (unsigned i = 0; i < SLOTS; i++)
		buf_free(&s->slot[i].entries);
	free(s);
}

/* The entries of the span that has `offset`. */
static const struct buf *
entries_of(struct shape *s, uint64_t offset)
{
	uint64_t n = offset / TREE_SPAN_LEN;
	struct slot *slot;

	for (unsigned i = 0; i < SLOTS; i++)
		if (s->slot[i].span == n)
			return &s->slot[i].entries;
	slot = &s->slot[s->next];
	s->next = (s->next + 1) % SLOTS;
	slot->span = n;
	if (!spans_get(s->spans, spans_at(s->spans, n), &slot->entries))
		buf_clear(&slot->entries);
	return &slot->entries;
}

/* The last entry at or before `offset`, in its span: 1, or 0 where there is none. */
static int
find(struct shape *s, uint64_t offset, uint64_t *at, uint64_t *what)
{
	const struct buf *b = entries_of(s, offset);
	size_t low = 0, high = b->len / ENTRY_LEN, middle;

	if (high == 0 || load_le64(b->p) > offset)
		return 0;
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (load_le64(b->p + ENTRY_LEN * middle) <= offset)
			low = middle;
		else
			high = middle;
	}
	*at = load_le64(b->p + ENTRY_LEN * low);
	*what = load_le64(b->p + ENTRY_LEN * low + 8);
	return 1;
}

int
shape_has(struct shape *s, const struct volmap_cut *cut)
{
	uint64_t at, what;

	return find(s, cut->offset, &at, &what) && at == cut->offset &&
	       what == block_hash(cut);
}

uint64_t
shape_part_end(struct shape *s, uint64_t offset, int *ends)
{
	uint64_t at, what, len;

	if (!find(s, offset, &at, &what) || (what & IS_PART) == 0)
		return 0;
	*ends = (what & IS_END) == IS_END;
	len = what >> WHAT_BITS;
	return offset - at < len ? at + len : 0;
}
