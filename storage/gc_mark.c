#include "storage/gc_cycle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/gc_mutant.h"
#include "storage/index.h"
#include "storage/store_reader.h"

/* -------------------------------------------------------------------- roots -- */

static int
push_root(struct store_gc *gc, const struct chunk_id *id, uint64_t sequence,
    const char *host, const char *volume, struct err *err)
{
	struct gc_root *r;
	size_t cap;

	if (gc->n_roots == gc->roots_cap) {
		cap = gc->roots_cap == 0 ? 64 : 2 * gc->roots_cap;
		if ((r = realloc(gc->roots, cap * sizeof(*r))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for trees to walk");
		gc->roots = r;
		gc->roots_cap = cap;
	}
	r = &gc->roots[gc->n_roots++];
	r->id = *id;
	r->sequence = sequence;
	(void)snprintf(r->host, sizeof(r->host), "%s", host);
	(void)snprintf(r->volume, sizeof(r->volume), "%s", volume);
	return 0;
}

/* Does this lease's tree count as a root? */
static int
counts(const struct store_lease *l)
{
	if (atomic_load(&l->revoked))
		return 0;
	return l->purpose == STORE_BACKUP ? GC_HOLDS(GC_BASE_ROOTS)
					  : GC_HOLDS(GC_READER_ROOTS);
}

/* What leases pinned: the bases of backups, the points being read. */
static int
push_pinned(struct store_gc *gc, struct err *err)
{
	struct store *s = gc->s;
	int ret = 0;

	pthread_mutex_lock(&s->leases_lock);
	for (struct store_lease *l = s->leases; ret == 0 && l != NULL; l = l->next)
		for (uint32_t i = 0; ret == 0 && counts(l) && i < l->n_held; i++)
			ret = push_root(gc, &l->held[i].root_id, l->held[i].sequence,
			    l->held[i].host, l->held[i].volume, err);
	pthread_mutex_unlock(&s->leases_lock);
	return ret;
}

void
gc_cycle_list(struct store_gc *gc)
{
	gc->listing = 1;
	gc->leases_listed = 0;
	gc->before = INT64_MAX;
	gc->newest = gc->floor;
}

/*
 * A page of points.  Times of points rise as they come, so that who lists from the
 * newest down to the newest of the time before has all that came between.  One that
 * is pruned before it is listed is missed; what may still rest on it is pinned, marked
 * by HAVE, or part of a newer point.
 */
static int
list_points(struct store_gc *gc, struct err *err)
{
	uint32_t n;

	if (catalog_points(gc->s->catalog, NULL, gc->before, gc->page, GC_POINTS_AT_ONCE,
		&n, err) != 0)
		return -1;
	gc->listing = n == GC_POINTS_AT_ONCE;
	for (uint32_t i = 0; i < n; i++) {
		const struct store_point *p = &gc->page[i];

		if (p->time_us > gc->newest)
			gc->newest = p->time_us;
		if (p->time_us <= gc->floor) {
			gc->listing = 0;
			break;
		}
		gc->before = p->time_us;
		gc->report.points++;
		for (uint32_t v = 0; v < p->volumes_count; v++)
			if (push_root(gc, &p->volumes[v].root_id, p->sequence, p->host,
				p->volumes[v].name, err) != 0)
				return -1;
	}
	return 0;
}

static int
is_marked(struct store_gc *gc, const struct chunk_id *id, struct err *err)
{
	struct tree_sums ignored;
	struct index_hit hit;
	int is;

	if (index_lookup(gc->s->index, id, 1, &hit, err) != 0)
		return -1;
	if (hit.loc.pack == 0)
		return 0;
	if ((is = gc_marks_is_walked(gc->marks, &hit.loc)) >= 0)
		return is;
	return store_nodes_get(gc->seen_roots, id, 0, 0, &ignored);
}

int
gc_cycle_new_roots(struct store_gc *gc, struct err *err)
{
	struct store *s = gc->s;
	uint32_t n;
	int is = 1;

	if (!GC_HOLDS(GC_NEW_ROOTS))
		return 0;
	if (catalog_points(s->catalog, NULL, INT64_MAX, gc->page, 1, &n, err) != 0)
		return -1;
	if (n > 0 && gc->page[0].time_us > gc->floor)
		return 1;
	pthread_mutex_lock(&s->leases_lock);
	for (struct store_lease *l = s->leases; is == 1 && l != NULL; l = l->next)
		for (uint32_t i = 0; is == 1 && counts(l) && i < l->n_held; i++)
			is = is_marked(gc, &l->held[i].root_id, err);
	pthread_mutex_unlock(&s->leases_lock);
	return is < 0 ? -1 : !is;
}

/* ------------------------------------------------------------------- chunks -- */

/* The first quarantined copy of a chunk. */
static const struct pack_entry *
find_bad(const struct store_gc *gc, const struct chunk_id *id)
{
	size_t lo = 0, hi = gc->n_bad;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (chunk_id_cmp(&gc->bad[mid].id, id) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < gc->n_bad && chunk_id_cmp(&gc->bad[lo].id, id) == 0 ? &gc->bad[lo]
									: NULL;
}

/* A live tree wants it and nobody has it: what is left of it stays for repair. */
static void
keep_bad(struct store_gc *gc, const struct chunk_id *id)
{
	const struct pack_entry *e = find_bad(gc, id), *end = gc->bad + gc->n_bad;

	gc->report.missing++;
	for (; e != NULL && e < end && chunk_id_cmp(&e->id, id) == 0; e++) {
		struct gc_pack *p = gc_marks_pack(gc->marks, e->loc.pack);

		if (p == NULL)
			continue;
		gc->report.packs_bad += p->damaged == 0;
		p->damaged = 1;
		(void)gc_marks_live(gc->marks, &e->loc);
	}
}

static int
mark_chunks(struct store_gc *gc, struct err *err)
{
	struct index_hit hits[GC_LOOKUP_AT_ONCE];

	if (gc->n_ids > 0 &&
	    index_lookup(gc->s->index, gc->ids, gc->n_ids, hits, err) != 0)
		return -1;
	for (uint32_t i = 0; i < gc->n_ids; i++) {
		if (hits[i].loc.pack == 0 || hits[i].kind != CHUNK_DATA)
			keep_bad(gc, &gc->ids[i]);
		else
			gc->report.chunks += gc_marks_live(gc->marks, &hits[i].loc) != 1;
	}
	gc->n_ids = 0;
	return 0;
}

struct leaf {
	struct store_gc *gc;
	struct err *err;
};

static int
take_extent(void *arg, const struct extent *e)
{
	struct leaf *l = arg;
	struct store_gc *gc = l->gc;

	if (e->kind != EXTENT_DATA ||
	    (gc->n_ids > 0 && chunk_id_cmp(&gc->ids[gc->n_ids - 1], &e->id) == 0))
		return 0;
	gc->ids[gc->n_ids++] = e->id;
	return gc->n_ids == GC_LOOKUP_AT_ONCE ? mark_chunks(gc, l->err) : 0;
}

/* -------------------------------------------------------------------- nodes -- */

static int
push_node(struct store_gc *gc, const struct chunk_id *id, uint32_t level, uint64_t index,
    struct err *err)
{
	struct gc_node *n;
	size_t cap;

	if (gc->depth == gc->stack_cap) {
		cap = gc->stack_cap == 0 ? 256 : 2 * gc->stack_cap;
		if ((n = realloc(gc->stack, cap * sizeof(*n))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory to walk a tree");
		gc->stack = n;
		gc->stack_cap = cap;
	}
	n = &gc->stack[gc->depth++];
	n->id = *id;
	n->level = level;
	n->index = index;
	return 0;
}

/* The children of an inner node, the first on top. */
static int
push_children(struct store_gc *gc, const struct gc_node *n, struct err *err)
{
	struct tree_child *children = malloc(TREE_FANOUT * sizeof(*children));
	uint32_t count = 0;
	int ret;

	if (children == NULL)
		return err_set(err, ERR_NOMEM, "no memory to walk a tree");
	ret = tree_parse_inner(gc->node.p, gc->node.len,
	    tree_covers(gc->size, n->level, n->index),
	    tree_covers(TREE_SIZE_MAX, n->level - 1, 0), children, &count, err);
	for (uint32_t i = count; ret == 0 && i-- > 0;)
		ret = push_node(
		    gc, &children[i].id, n->level - 1, n->index * TREE_FANOUT + i, err);
	free(children);
	return ret;
}

static int
parse_node(struct store_gc *gc, const struct gc_node *n, struct err *err)
{
	struct leaf leaf = { gc, err };
	struct tree_root root;

	if (n->level == GC_ROOT_LEVEL) {
		if (tree_parse_root(gc->node.p, gc->node.len, &root, err) != 0)
			return -1;
		gc->size = root.size;
		return push_node(gc, &root.top.id, root.levels, 0, err);
	}
	if (n->level > 0)
		return push_children(gc, n, err);
	if (tree_parse_leaf(gc->node.p, gc->node.len, n->index * (uint64_t)TREE_SPAN_LEN,
		tree_covers(gc->size, 0, n->index), take_extent, &leaf, err) != 0)
		return -1;
	return mark_chunks(gc, err);
}

/* Was it met before?  From now on it was. */
static int
met(struct store_gc *gc, const struct gc_node *n, const struct pack_loc *loc)
{
	struct tree_sums sums = { 0, 0, 0, 0 };
	struct store_nodes *seen = n->level == GC_ROOT_LEVEL ? gc->seen_roots : gc->seen;
	int live = gc_marks_live(gc->marks, loc);
	int walked = GC_HOLDS(GC_WALKED_APART) ? gc_marks_walked(gc->marks, loc) : live;

	if (walked >= 0)
		return walked;
	if (store_nodes_get(seen, &n->id, 0, 0, &sums))
		return 1;
	store_nodes_add(seen, &n->id, 0, 0, &sums);
	return 0;
}

static int
visit(struct store_gc *gc, const struct gc_node *n, struct err *err)
{
	struct err ignored = ERR_INIT;
	char hex[2 * CHUNK_ID_LEN + 1];
	struct index_hit hit;

	if (index_lookup(gc->s->index, &n->id, 1, &hit, err) != 0)
		return -1;
	if (hit.loc.pack == 0 || hit.kind != CHUNK_META) {
		chunk_id_hex(&n->id, hex);
		return err_set(
		    err, ERR_NOTFOUND, "tree node %.16s is not in the store", hex);
	}
	if (met(gc, n, &hit.loc))
		return 0;
	gc->report.nodes++;
	if (store_reader_node(gc->s->reader, &hit.loc, &n->id, &gc->node, err) != 0) {
		if (err->code == ERR_CORRUPT)
			(void)store_quarantine(
			    gc->s, hit.loc.pack, hit.loc.offset, &ignored);
		return -1;
	}
	gc->report.bytes_read += gc->node.len;
	return parse_node(gc, n, err);
}

int
gc_cycle_mark(struct store_gc *gc, uint32_t nodes, struct err *err)
{
	struct gc_node n;

	for (uint32_t i = 0; i < nodes; i++) {
		if (gc->depth > 0) {
			n = gc->stack[--gc->depth];
			if (visit(gc, &n, err) != 0)
				return err_context(err, "%s point %llu volume %s",
				    gc->root.host, (unsigned long long)gc->root.sequence,
				    gc->root.volume);
		} else if (gc->n_roots > 0) {
			gc->root = gc->roots[--gc->n_roots];
			if (push_node(gc, &gc->root.id, GC_ROOT_LEVEL, 0, err) != 0)
				return -1;
		} else if (gc->listing) {
			if (list_points(gc, err) != 0)
				return -1;
		} else if (!gc->leases_listed) {
			gc->leases_listed = 1;
			if (push_pinned(gc, err) != 0)
				return -1;
		} else {
			gc->floor = gc->newest;
			return 1;
		}
	}
	return 0;
}
