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

/*
 * Would the chunker make a chunk of the `len` bytes at `offset`, as the base has it, in
 * a range that ends at `end`?  It would where the chunk ends with the range, or where it
 * ended by its content: that is, within a range of then.
 */
static int
same_cut(struct pipeline_keep *k, uint64_t offset, uint64_t len, uint64_t end)
{
	uint64_t was;

	if (len <= CHUNKER_MIN)
		return offset + len == end;
	was = shape_range_end(k->shape, offset);
	if (offset + len > was)
		return 0;
	return offset + len == end || (offset + len < end && offset + len < was);
}

/* The chunk at `offset`, where the new cuts begin one: may it be kept? */
static int
keep_chunk(struct pipeline_keep *k, uint64_t offset, uint64_t end, uint64_t *len,
    enum pipeline_keep_what *what, struct pipeline_kept *out, struct err *err)
{
	uint64_t zeros = end - offset < k->zero_len ? end - offset : k->zero_len;
	enum prior_what was;

	*what = KEEP_NOTHING;
	if (changes_touch(k->changes, offset, 1))
		return 0;
	if (prior_at(k->prior, offset, zeros, &was, len, &out->id, err) != 0)
		return -1;
	out->zero = was == PRIOR_ZERO;
	if (was == PRIOR_NOTHING || changes_touch(k->changes, offset, *len) ||
	    (out->zero ? *len != zeros : !same_cut(k, offset, *len, end)))
		return 0;
	*what = keep_or_prove(k, offset);
	return 0;
}

/* Hand on a chunk that is known, or is to be proven. */
static int
put_chunk(struct reader *r, uint64_t offset, uint32_t len, enum pipeline_keep_what what,
    const struct pipeline_kept *kept, struct err *err)
{
	struct pipeline_item *it;
	int rc = pipeline_reader_room(r, 1, what == KEEP_PROVE ? len : 0, err);

	if (rc != 1)
		return rc;
	it = pipeline_reader_item(r, VOLMAP_DATA, offset, len);
	pipeline_reader_keep(r, it, what, kept);
	it->piece = r->slab->pieces_n;
	it->count = 1;
	r->slab->pieces[r->slab->pieces_n++] = (struct volmap_piece){ offset, len };
	if (what == KEEP_PROVE && pipeline_reader_plan(r, offset, len, err) != 0)
		return -1;
	return 1;
}

/*
 * Read and cut the chunk at `offset`; `*have` bytes of it are in the slab already, where
 * the next item's go, and so many of the next one are afterwards.
 */
static int
cut_chunk(struct reader *r, uint64_t offset, uint64_t end, uint32_t *have, uint32_t *len,
    struct err *err)
{
	uint32_t most =
	    end - offset < CHUNKER_MAX ? (uint32_t)(end - offset) : CHUNKER_MAX;
	struct pipeline_slab *s = r->slab;
	struct pipeline_item *it;
	uint32_t step;
	int rc;

	if ((rc = pipeline_reader_room(r, 0, most, err)) != 1)
		return rc;
	if (r->slab != s)
		*have = 0;
	s = r->slab;
	for (*len = 0;;) {
		if (*have > 0)
			*len = (uint32_t)chunker_cut(s->mem + s->used, *have, 1);
		if (*have >= most || *len < *have)
			break;
		step = most - *have < STEP ? most - *have : STEP;
		if (pipeline_reader_now(r, offset + *have, s->used + *have, step, err) !=
		    0)
			return -1;
		*have += step;
	}
	it = pipeline_reader_item(r, VOLMAP_STREAM, offset, *len);
	it->last = 1;
	s->used += *len;
	*have -= *len;
	return 1;
}

int
pipeline_keep_range(struct reader *r, const struct volmap_cut *cut, struct err *err)
{
	uint64_t at = cut->offset, end = cut->offset + cut->len, len;
	enum pipeline_keep_what what;
	struct pipeline_kept kept;
	uint32_t have = 0, cut_len;
	int rc = 1;

	for (; rc == 1 && at < end; at += len) {
		if (keep_chunk(r->keep, at, end, &len, &what, &kept, err) != 0)
			return -1;
		if (what != KEEP_NOTHING) {
			have = 0;
			rc = put_chunk(r, at, (uint32_t)len, what, &kept, err);
			continue;
		}
		rc = cut_chunk(r, at, end, &have, &cut_len, err);
		len = cut_len;
	}
	return rc;
}
