#include "agent/backup/prior.h"

#include <stdlib.h>
#include <string.h>

#include "agent/backup/cache.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"

#define NO_SPAN UINT64_MAX
#define SLOTS 6u /* Spans at hand. */

/* The extents of one span. */
struct span {
	uint64_t n;
	int failed; /* No memory for one more. */
	size_t count, room;
	struct extent *extents;
};

struct prior {
	struct cache *cache;
	struct tree_walk *walk;
	struct buf leaf;
	int damaged; /* The cache gave something else than the tree has. */
	struct span span[SLOTS];
	unsigned next; /* That which is filled next. */
};

int
prior_open(const char *path, const struct chunk_id *root, const struct chunk_keys *keys,
    struct prior **out, struct err *err)
{
	struct prior *p = calloc(1, sizeof(*p));
	struct err why = ERR_INIT;
	int found;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	p->leaf.max = CHUNK_META_MAX;
	for (unsigned i = 0; i < SLOTS; i++)
		p->span[i].n = NO_SPAN;
	found = cache_open(path, root, keys, &p->cache, err);
	if (found == 1 &&
	    tree_walk_open(root, cache_inner, p->cache, &p->walk, &why) != 0)
		found =
		    why.code == ERR_NOMEM ? err_set(err, ERR_NOMEM, "out of memory") : 0;
	if (found != 1) {
		prior_close(p);
		return found;
	}
	*out = p;
	return 1;
}

void
prior_close(struct prior *p)
{
	if (p == NULL)
		return;
	tree_walk_close(p->walk);
	cache_close(p->cache);
	buf_free(&p->leaf);
	for (unsigned i = 0; i < SLOTS; i++)
		free(p->span[i].extents);
	free(p);
}

const struct tree_root *
prior_root(const struct prior *p)
{
	return tree_walk_root(p->walk);
}

static int
add(void *arg, const struct extent *e)
{
	struct span *s = arg;
	struct extent *more;

	if (s->count == s->room) {
		size_t room = s->room == 0 ? 512 : s->room * 2;

		if ((more = realloc(s->extents, room * sizeof(*more))) == NULL) {
			s->failed = 1;
			return 1;
		}
		s->extents = more;
		s->room = room;
	}
	s->extents[s->count++] = *e;
	return 0;
}

/* Fill `s` with span `n`: 1, 0 if the cache cannot tell, -1. */
static int
load(struct prior *p, struct span *s, uint64_t n, struct err *err)
{
	struct err why = ERR_INIT;
	struct tree_child leaf;

	s->n = NO_SPAN;
	s->count = 0;
	if (tree_walk_leaf(p->walk, n, &leaf, &why) != 0 ||
	    !cache_leaf_is(p->cache, n, &leaf.id) ||
	    cache_leaf(p->cache, n, &p->leaf) == 0 ||
	    tree_parse_leaf(p->leaf.p, p->leaf.len, n * TREE_SPAN_LEN,
		tree_covers(prior_root(p)->size, 0, n), add, s, &why) < 0) {
		p->damaged = 1;
		return why.code == ERR_NOMEM ? err_set(err, ERR_NOMEM, "out of memory")
					     : 0;
	}
	if (s->failed)
		return err_set(err, ERR_NOMEM, "out of memory");
	s->n = n;
	return 1;
}

/* Span `n` among those at hand: 1, 0 if the cache cannot tell, -1. */
static int
have(struct prior *p, uint64_t n, struct span **out, struct err *err)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (p->span[i].n == n) {
			*out = &p->span[i];
			return 1;
		}
	if (p->damaged)
		return 0;
	*out = &p->span[p->next];
	p->next = (p->next + 1) % SLOTS;
	return load(p, *out, n, err);
}

int
prior_extent(struct prior *p, uint64_t offset, struct extent *out, struct err *err)
{
	uint64_t n = offset / TREE_SPAN_LEN;
	size_t low = 0, high, middle;
	struct span *s;
	uint32_t skip;
	int rc;

	if (offset >= prior_root(p)->size)
		return 0;
	if ((rc = have(p, n, &s, err)) != 1)
		return rc;
	/* The last extent that begins at or before the offset. */
	for (high = s->count; high - low > 1;) {
		middle = low + (high - low) / 2;
		if (s->extents[middle].offset <= offset)
			low = middle;
		else
			high = middle;
	}
	*out = s->extents[low];
	skip = (uint32_t)(offset - out->offset);
	out->offset += skip;
	out->len -= skip;
	if (out->kind == EXTENT_DATA)
		out->chunk_offset += skip;
	return 1;
}

int
prior_at(struct prior *p, uint64_t offset, uint64_t most, enum prior_what *what,
    uint64_t *len, struct chunk_id *id, struct err *err)
{
	struct extent first, e;
	uint64_t done;
	int rc;

	*what = PRIOR_NOTHING;
	if ((rc = prior_extent(p, offset, &first, err)) != 1)
		return rc;
	if (first.kind == EXTENT_DATA && first.chunk_offset == 0)
		most = first.chunk_len;
	else if (first.kind != EXTENT_ZERO)
		return 0;
	for (done = first.len; done < most; done += e.len) {
		if ((rc = prior_extent(p, offset + done, &e, err)) == -1)
			return -1;
		if (rc == 1 && e.kind == first.kind &&
		    (e.kind == EXTENT_ZERO ||
			(e.chunk_offset == done && chunk_id_cmp(&e.id, &first.id) == 0)))
			continue;
		if (first.kind == EXTENT_DATA)
			return 0;
		break;
	}
	*what = first.kind == EXTENT_ZERO ? PRIOR_ZERO : PRIOR_CHUNK;
	*len = done < most ? done : most;
	*id = first.id;
	return 0;
}
