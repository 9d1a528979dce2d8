#include <stdlib.h>
#include <string.h>

#include "agent/backup/cache.h"
#include "agent/backup/pipeline.h"
#include "agent/backup/pipeline_stages.h"
#include "agent/map/volmap.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"

/* A chunk's pieces may be cut again where spans meet. */
#define PARTS_MAX (2 * PIPELINE_CARRY_PIECES)

/* Where bytes of a missing chunk were found. */
struct part {
	uint64_t offset;
	uint32_t chunk_offset, len;
	size_t next; /* Of the same chunk: its number plus 1; 0: none. */
};

/* A missing data chunk. */
struct lost {
	struct chunk_id id;
	uint32_t len; /* 0: not met yet. */
	uint32_t parts_n;
	size_t parts; /* The number of its first part plus 1; 0: none. */
};

struct resend {
	const struct pipeline_job *job;
	struct lost *lost; /* Sorted by id. */
	size_t lost_n;
	struct part *parts;
	size_t parts_n, parts_room;
	int no_memory;	       /* For one more part. */
	struct chunk_id *meta; /* Sorted. */
	size_t meta_n;
	uint64_t span;
	struct group_builder *builder[3]; /* By enum chunk_kind. */
	struct codec *codec;
	struct buf group;
	size_t sent;
	int differs; /* What was read is another chunk. */
};

static int
cmp_ids(const void *a, const void *b)
{
	return chunk_id_cmp(a, b);
}

/* Pack what has been collected of a kind and see it stored. */
static int
flush(struct resend *r, enum chunk_kind kind, struct err *err)
{
	const struct uplink *up = &r->job->up;
	uint64_t request;

	if (group_builder_count(r->builder[kind]) == 0)
		return 0;
	if (group_builder_finish(
		r->builder[kind], r->codec, r->job->level, &r->group, err) != 0 ||
	    up->ops->put(up->arg, r->group.p, r->group.len, &request, err) != 0)
		return -1;
	return up->ops->put_wait(up->arg, request, err);
}

static int
add(struct resend *r, enum chunk_kind kind, const struct chunk_id *id, const uint8_t *p,
    size_t len, struct err *err)
{
	if (group_builder_full(r->builder[kind], len) && flush(r, kind, err) != 0)
		return -1;
	r->sent++;
	return group_builder_add(r->builder[kind], id, p, len, err);
}

static struct part *
new_part(struct resend *r)
{
	size_t room = 2 * r->parts_room + 256;
	struct part *grown;

	if (r->parts_n < r->parts_room)
		return &r->parts[r->parts_n++];
	if ((grown = realloc(r->parts, room * sizeof(*grown))) == NULL)
		return NULL;
	r->parts = grown;
	r->parts_room = room;
	return &r->parts[r->parts_n++];
}

/* An extent of the tree: is it a part of a lost chunk that we still lack? */
static int
on_extent(void *arg, const struct extent *e)
{
	struct resend *r = arg;
	struct part *p;
	struct lost *l;
	size_t i;

	if (e->kind != EXTENT_DATA || r->lost_n == 0 ||
	    (l = bsearch(&e->id, r->lost, r->lost_n, sizeof(*l), cmp_ids)) == NULL)
		return 0;
	l->len = e->chunk_len;
	for (i = l->parts; i != 0; i = r->parts[i - 1].next)
		if (r->parts[i - 1].chunk_offset == e->chunk_offset &&
		    r->parts[i - 1].len == e->len)
			return 0;
	if (l->parts_n == PARTS_MAX)
		return 0;
	if ((p = new_part(r)) == NULL)
		return r->no_memory = 1;
	*p = (struct part){ e->offset, e->chunk_offset, e->len, l->parts };
	l->parts = r->parts_n;
	l->parts_n++;
	return 0;
}

static int
on_node(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p, size_t len,
    struct err *err)
{
	struct resend *r = arg;

	if (r->meta_n > 0 &&
	    bsearch(id, r->meta, r->meta_n, sizeof(*id), cmp_ids) != NULL &&
	    add(r, CHUNK_META, id, p, len, err) != 0)
		return -1;
	if (span == CACHE_NO_SPAN || r->lost_n == 0)
		return 0;
	if (tree_parse_leaf(p, len, span * TREE_SPAN_LEN,
		tree_covers(r->job->root.size, 0, span), on_extent, r, err) < 0)
		return -1;
	return r->no_memory ? err_set(err, ERR_NOMEM, "out of memory") : 0;
}

/* Read a lost chunk's bytes from wherever they were met. */
static int
restore_bytes(struct resend *r, struct lost *l, uint8_t *out, struct err *err)
{
	const struct volmap_source *src = &r->job->source;
	const struct part *p = NULL;
	struct chunk_id real;
	uint32_t have, from, n;
	size_t i;

	for (have = 0; have < l->len; have += n) {
		n = 0;
		for (i = l->parts; i != 0 && n == 0; i = p->next) {
			p = &r->parts[i - 1];
			if (p->chunk_offset > have || p->chunk_offset + p->len <= have)
				continue;
			from = have - p->chunk_offset;
			n = p->len - from;
			if (src->read(src->arg, p->offset + from, out + have, n, err) !=
			    0)
				return -1;
		}
		if (n == 0)
			return err_set(err, ERR_NOTFOUND,
			    "a chunk that the server lacks is not whole on the volume");
	}
	chunk_id_of(r->job->keys, CHUNK_DATA, out, l->len, &real);
	r->differs = chunk_id_cmp(&real, &l->id) != 0;
	if (r->differs)
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "byte %llu changed while it was read",
		    (unsigned long long)r->parts[l->parts - 1].offset);
	return 0;
}

static int
send_lost(struct resend *r, struct err *err)
{
	uint8_t *bytes = malloc(CHUNK_DATA_MAX);
	size_t i;
	int rc = 0;

	if (bytes == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (i = 0; i < r->lost_n && rc == 0; i++)
		if (r->lost[i].len > 0 &&
		    (rc = restore_bytes(r, &r->lost[i], bytes, err)) == 0)
			rc = add(
			    r, CHUNK_DATA, &r->lost[i].id, bytes, r->lost[i].len, err);
	free(bytes);
	return rc;
}

static int
resend_start(
    struct resend *r, const struct chunk_id *data_ids, size_t data_n, struct err *err)
{
	size_t i;

	r->lost = calloc(data_n + 1, sizeof(*r->lost));
	r->builder[CHUNK_DATA] = group_builder_new(CHUNK_DATA);
	r->builder[CHUNK_META] = group_builder_new(CHUNK_META);
	r->codec = codec_new();
	r->group.max = GROUP_LEN_MAX;
	if (r->lost == NULL || r->builder[CHUNK_DATA] == NULL ||
	    r->builder[CHUNK_META] == NULL || r->codec == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (i = 0; i < data_n; i++)
		r->lost[i].id = data_ids[i];
	r->lost_n = data_n;
	return 0;
}

int
pipeline_resend(const struct pipeline_job *job, struct chunk_id *data_ids, size_t data_n,
    struct chunk_id *meta_ids, size_t meta_n, const struct chunk_id *root_id,
    size_t *sent, int *differs, struct err *err)
{
	struct resend r = { .job = job, .meta = meta_ids, .meta_n = meta_n };
	struct cache *tree = NULL;
	int found, rc = -1;

	*sent = 0;
	*differs = 0;
	if (data_n > 0)
		qsort(data_ids, data_n, sizeof(*data_ids), cmp_ids);
	if (meta_n > 0)
		qsort(meta_ids, meta_n, sizeof(*meta_ids), cmp_ids);
	if (resend_start(&r, data_ids, data_n, err) != 0)
		goto out;
	if ((found = cache_open(job->new_cache, root_id, job->keys, &tree, err)) < 0)
		goto out;
	if (found == 0) {
		err_set(err, ERR_CORRUPT, "%s: the tree just made cannot be read again",
		    job->new_cache);
		goto out;
	}
	if (cache_each(tree, on_node, &r, err) == 0 && send_lost(&r, err) == 0 &&
	    flush(&r, CHUNK_DATA, err) == 0 && flush(&r, CHUNK_META, err) == 0)
		rc = 0;
	*sent = r.sent;
	*differs = r.differs;
out:
	cache_close(tree);
	group_builder_free(r.builder[CHUNK_DATA]);
	group_builder_free(r.builder[CHUNK_META]);
	codec_free(r.codec);
	buf_free(&r.group);
	free(r.lost);
	free(r.parts);
	return rc;
}
