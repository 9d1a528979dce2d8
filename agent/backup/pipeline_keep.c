#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/cache.h"
#include "agent/backup/pipeline_reader.h"
#include "agent/backup/prior.h"
#include "agent/backup/shape.h"
#include "agent/map/changes.h"
#include "agent/map/ntfs_compare.h"

/* A range that changed is read so many bytes at a time, until its cuts are the old ones.
 */
#define STEP 65536u

struct pipeline_keep {
	struct changes *changes;
	struct prior *prior;
	struct shape *shape;
	uint32_t zero_len; /* How long the chunker lets a chunk of zeros be. */
};

/* ----------------------------------------------------------- opening, closing -- */

static int
zero_len(uint32_t *out, struct err *err)
{
	uint8_t *zeros = calloc(1, CHUNKER_MAX);

	if (zeros == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	*out = (uint32_t)chunker_cut(zeros, CHUNKER_MAX, 1);
	free(zeros);
	return 0;
}

/* Open tree and shape of the base: 1, 0 if there is a doubt, -1. */
static int
open_base(struct pipeline *p, struct pipeline_keep *k, struct err *err)
{
	const struct pipeline_job *job = p->job;
	int found;

	if (!job->base.known || job->old_cache == NULL || job->old_shape == NULL) {
		changes_doubt(k->changes, "there is no point to compare with");
		return 0;
	}
	if ((found = prior_open(
		 job->old_cache, &job->base.root_id, job->keys, &k->prior, err)) == 1)
		found =
		    shape_open(job->old_shape, &job->base.root_id, &k->shape, NULL, err);
	if (found == 0)
		changes_doubt(
		    k->changes, "the tree of the newest point is not kept here");
	if (found != 1)
		return found;
	if (job->source.compare != NULL && changes_are_only_owned(k->changes) &&
	    !ntfs_compare_done(job->source.compare))
		changes_doubt(k->changes, "there is no NTFS whose records could tell");
	if (prior_root(k->prior)->size != job->root.size ||
	    prior_root(k->prior)->sector_size != job->root.sector_size)
		changes_doubt(k->changes, "the volume has another size");
	else if (strcmp(prior_root(k->prior)->fs, volmap_fs(p->map)) != 0)
		changes_doubt(k->changes, "the volume has another file system");
	/* Who owns what is not known as it was: so neither is what was written. */
	else if ((changes_are_only_owned(k->changes) ||
		     changes_do_need_map(k->changes)) &&
		 volmap_note(p->map)[0] != '\0')
		changes_doubt(k->changes, volmap_note(p->map));
	else if (changes_do_need_map(k->changes) &&
		 strcmp(volmap_fs(p->map), "ntfs") != 0)
		changes_doubt(k->changes, "only of an NTFS is known what its shadow copy "
					  "has of its own");
	return changes_why(k->changes)[0] == '\0';
}

int
pipeline_keep_open(struct pipeline *p, struct pipeline_keep **out, struct err *err)
{
	struct changes *c = p->job->changes;
	struct pipeline_keep *k;
	int rc;

	*out = NULL;
	if (c == NULL || changes_why(c)[0] != '\0')
		return 0;
	if ((k = calloc(1, sizeof(*k))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	k->changes = c;
	if ((rc = open_base(p, k, err)) == 1 && zero_len(&k->zero_len, err) == 0) {
		*out = k;
		return 0;
	}
	pipeline_keep_close(k);
	return rc == 0 ? 0 : -1;
}

void
pipeline_keep_close(struct pipeline_keep *k)
{
	if (k == NULL)
		return;
	prior_close(k->prior);
	shape_close(k->shape);
	free(k);
}

/* --------------------------------------------------------------------- blocks -- */

static enum pipeline_keep_what
keep_or_prove(const struct pipeline_keep *k, uint64_t offset)
{
	return changes_due(k->changes, offset) ? KEEP_PROVE : KEEP_IT;
}

/*
 * A block in several pieces: the map asked for this very one, so what the tree says of
 * its lowest piece it says of all.
 */
static int
scattered(struct pipeline_keep *k, const struct volmap_cut *cut,
    enum pipeline_keep_what *what, struct pipeline_kept *out, struct err *err)
{
	uint32_t before = 0;
	struct extent e;
	int rc;

	if (!shape_has(k->shape, cut))
		return 0;
	for (uint32_t i = 0; cut->piece[i].offset != cut->offset; i++)
		before += cut->piece[i].len;
	if ((rc = prior_extent(k->prior, cut->offset, &e, err)) != 1)
		return rc;
	out->zero = e.kind == EXTENT_ZERO;
	if (!out->zero && (e.kind != EXTENT_DATA || e.chunk_len != cut->len ||
			      e.chunk_offset != before))
		return 0;
	out->id = e.id;
	*what = keep_or_prove(k, cut->offset);
	return 0;
}

int
pipeline_keep_block(struct pipeline_keep *k, const struct volmap_cut *cut,
    enum pipeline_keep_what *what, struct pipeline_kept *out, struct err *err)
{
	enum prior_what was;
	uint64_t len;

	*what = KEEP_NOTHING;
	for (uint32_t i = 0; i < cut->count; i++)
		if (changes_touch(k->changes, cut->piece[i].offset, cut->piece[i].len))
			return 0;
	if (cut->count > 1)
		return scattered(k, cut, what, out, err);
	if (prior_at(k->prior, cut->offset, cut->len, &was, &len, &out->id, err) != 0)
		return -1;
	if (was == PRIOR_NOTHING || len != cut->len)
		return 0;
	out->zero = was == PRIOR_ZERO;
	*what = keep_or_prove(k, cut->offset);
	return 0;
}

/* --------------------------------------------------------------------- ranges -- */

int
pipeline_keep_may(const struct pipeline_keep *k, const struct volmap_cut *cut)
{
	return cut->kind != VOLMAP_STREAM || cut->owned ||
	       !changes_are_only_owned(k->changes);
}

/* A range as a file or the volume has it: places are bytes of the range. */
struct range {
	const struct volmap_cut *cut;
	uint64_t at;	/* Where we stand. */
	uint32_t piece; /* In this one, which begins there: */
	uint64_t begin;
	uint32_t parts_n; /* Where the chunk at `at` lies. */
	struct volmap_piece parts[PIPELINE_CARRY_PIECES];
};

static uint64_t
piece_len(const struct range *g, uint32_t i)
{
	return g->cut->count > 0 ? g->cut->piece[i].len : g->cut->len;
}

/* Where place `at`, not before where we stand, is on the volume; bytes from there on. */
static uint64_t
place(const struct range *g, uint64_t at, uint64_t *room)
{
	uint64_t begin = g->begin;
	uint32_t i = g->piece;

	for (; at - begin >= piece_len(g, i); i++)
		begin += piece_len(g, i);
	*room = piece_len(g, i) - (at - begin);
	return (g->cut->count > 0 ? g->cut->piece[i].offset : g->cut->offset) +
	       (at - begin);
}

static void
advance(struct range *g, uint64_t len)
{
	g->at += len;
	while (g->at < g->cut->len && g->at - g->begin >= piece_len(g, g->piece))
		g->begin += piece_len(g, g->piece++);
}

/* Of the `len` bytes where we stand: parts that touch are one. */
static void
find_parts(struct range *g, uint32_t len)
{
	uint64_t offset, room;
	uint32_t done, n;

	g->parts_n = 0;
	for (done = 0; done < len; done += n) {
		offset = place(g, g->at + done, &room);
		n = room < len - done ? (uint32_t)room : len - done;
		if (g->parts_n > 0 &&
		    g->parts[g->parts_n - 1].offset + g->parts[g->parts_n - 1].len ==
			offset) {
			g->parts[g->parts_n - 1].len += n;
			continue;
		}
		assert(g->parts_n < PIPELINE_CARRY_PIECES);
		g->parts[g->parts_n++] = (struct volmap_piece){ offset, n };
	}
}

/*
 * Does the base have, in all parts, these zeros or this chunk, in the order of the
 * range?  1, 0, -1.
 */
static int
base_has(struct pipeline_keep *k, const struct range *g, const struct pipeline_kept *want,
    uint32_t chunk_len, struct err *err)
{
	uint32_t done = 0, part, n;
	struct extent e;
	int rc;

	for (uint32_t i = 0; i < g->parts_n; i++) {
		for (part = 0; part < g->parts[i].len; part += n, done += n) {
			if ((rc = prior_extent(
				 k->prior, g->parts[i].offset + part, &e, err)) != 1)
				return rc;
			if (want->zero
				? e.kind != EXTENT_ZERO
				: e.kind != EXTENT_DATA || e.chunk_len != chunk_len ||
				      e.chunk_offset != done ||
				      chunk_id_cmp(&e.id, &want->id) != 0)
				return 0;
			n = g->parts[i].len - part;
			if (e.len < n)
				n = e.len;
		}
	}
	return 1;
}

/*
 * Would the chunker make a chunk of these parts, `len` bytes as the base has them?  It
 * would where the chunk ends with the range, or where it ended by its content: that is,
 * within a range of then.
 */
static int
same_cut(struct pipeline_keep *k, const struct range *g, uint64_t len)
{
	uint64_t at, end, to;
	int ends = 0;

	if (len <= CHUNKER_MIN)
		return g->at + len == g->cut->len;
	for (uint32_t i = 0; i < g->parts_n; i++) {
		end = g->parts[i].offset + g->parts[i].len;
		for (at = g->parts[i].offset; at < end; at = to) {
			if (ends || (to = shape_part_end(k->shape, at, &ends)) == 0)
				return 0;
			if (to > end) {
				to = end;
				ends = 0;
			}
		}
	}
	return !ends || g->at + len == g->cut->len;
}

static int
is_touched(const struct pipeline_keep *k, const struct range *g)
{
	for (uint32_t i = 0; i < g->parts_n; i++)
		if (changes_touch(k->changes, g->parts[i].offset, g->parts[i].len))
			return 1;
	return 0;
}

/* The chunk where we stand, where the new cuts begin one: may it be kept? */
static int
keep_chunk(struct pipeline_keep *k, struct range *g, uint32_t *len,
    enum pipeline_keep_what *what, struct pipeline_kept *out, struct err *err)
{
	uint64_t left = g->cut->len - g->at, room, offset = place(g, g->at, &room);
	struct extent e;
	int rc;

	*what = KEEP_NOTHING;
	if (changes_touch(k->changes, offset, 1))
		return 0;
	if ((rc = prior_extent(k->prior, offset, &e, err)) != 1)
		return rc;
	out->zero = e.kind == EXTENT_ZERO;
	out->id = e.id;
	*len = left < k->zero_len ? (uint32_t)left : k->zero_len;
	if (!out->zero) {
		if (e.kind != EXTENT_DATA || e.chunk_offset != 0 || e.chunk_len > left)
			return 0;
		*len = e.chunk_len;
	}
	find_parts(g, *len);
	if (is_touched(k, g) || (!out->zero && !same_cut(k, g, *len)))
		return 0;
	if ((rc = base_has(k, g, out, *len, err)) == 1)
		*what = keep_or_prove(k, offset);
	return rc == -1 ? -1 : 0;
}

/* An item of the parts, for which there is room. */
static struct pipeline_item *
put_item(struct reader *r, const struct range *g, uint32_t len)
{
	struct pipeline_slab *s = r->slab;
	struct pipeline_item *it = pipeline_reader_item(
	    r, VOLMAP_DATA, g->cut->count > 1 ? g->cut->offset : g->parts[0].offset, len);

	it->piece = s->pieces_n;
	it->count = g->parts_n;
	memcpy(&s->pieces[s->pieces_n], g->parts, g->parts_n * sizeof(g->parts[0]));
	s->pieces_n += g->parts_n;
	return it;
}

/* Hand on a chunk that is known, or is to be proven. */
static int
put_chunk(struct reader *r, const struct range *g, uint32_t len,
    enum pipeline_keep_what what, const struct pipeline_kept *kept, struct err *err)
{
	int rc = pipeline_reader_room(r, g->parts_n, what == KEEP_PROVE ? len : 0, err);

	if (rc != 1)
		return rc;
	pipeline_reader_keep(r, put_item(r, g, len), what, kept);
	for (uint32_t i = 0; i < g->parts_n && what == KEEP_PROVE; i++)
		if (pipeline_reader_plan(r, g->parts[i].offset, g->parts[i].len, err) !=
		    0)
			return -1;
	return 1;
}

/* How much to read at place `at`, at most `most`: as far as it is known to be new. */
static uint32_t
step_at(const struct reader *r, const struct range *g, uint64_t at, uint32_t most)
{
	uint64_t offset, room;
	uint32_t n = STEP;

	for (; n < most; n += STEP) {
		offset = place(g, at + n, &room);
		if (!changes_touch(r->keep->changes, offset, room < STEP ? room : STEP))
			break;
	}
	return n < most ? n : most;
}

/* Read `len` bytes from place `at` to `to` in the slab. */
static int
read_places(struct reader *r, const struct range *g, uint64_t at, uint32_t to,
    uint32_t len, struct err *err)
{
	uint64_t offset, room;
	uint32_t done, n;

	for (done = 0; done < len; done += n) {
		offset = place(g, at + done, &room);
		n = room < len - done ? (uint32_t)room : len - done;
		if (pipeline_reader_now(r, offset, to + done, n, err) != 0)
			return -1;
	}
	return 0;
}

/*
 * Read and cut the chunk where we stand; `*have` bytes of it are in the slab already,
 * where the next item's go, and so many of the next one are afterwards.
 */
static int
cut_chunk(
    struct reader *r, struct range *g, uint32_t *have, uint32_t *len, struct err *err)
{
	uint64_t left = g->cut->len - g->at;
	uint32_t most = left < CHUNKER_MAX ? (uint32_t)left : CHUNKER_MAX, step;
	const uint64_t slabs = r->slabs;
	struct pipeline_slab *s;
	int rc;

	if ((rc = pipeline_reader_room(r, PIPELINE_CARRY_PIECES, most, err)) != 1)
		return rc;
	if (r->slabs != slabs)
		*have = 0;
	s = r->slab;
	for (*len = 0;;) {
		if (*have > 0)
			*len = (uint32_t)chunker_cut(s->mem + s->used, *have, 1);
		if (*have >= most || *len < *have)
			break;
		step = step_at(r, g, g->at + *have, most - *have);
		if (read_places(r, g, g->at + *have, s->used + *have, step, err) != 0)
			return -1;
		*have += step;
	}
	find_parts(g, *len);
	(void)put_item(r, g, *len);
	s->used += *len;
	*have -= *len;
	return 1;
}

int
pipeline_keep_range(struct reader *r, const struct volmap_cut *cut, struct err *err)
{
	struct range g = { .cut = cut };
	enum pipeline_keep_what what;
	struct pipeline_kept kept;
	uint32_t have = 0, len = 0;
	int rc = 1;

	while (rc == 1 && g.at < cut->len) {
		if (keep_chunk(r->keep, &g, &len, &what, &kept, err) != 0)
			return -1;
		if (what != KEEP_NOTHING) {
			have = 0;
			rc = put_chunk(r, &g, len, what, &kept, err);
		} else {
			rc = cut_chunk(r, &g, &have, &len, err);
		}
		advance(&g, len);
	}
	return rc;
}
