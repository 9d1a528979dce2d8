/*
 * Sending what is stored: nodes of a tree, groups of chunks.
 *
 * Both are answered in rounds of about SESSION_ROUND bytes.  A round is read on
 * a worker while the loop encrypts the one before, and no round begins while
 * the conn's output is full: that is the read-ahead, and its limit.
 */
#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk/group.h"

/* ---------------------------------------------------------------------- nodes -- */

/* Where GetNodes is, and the inner nodes on the way there. */
struct nodes {
	uint64_t next, end;
	uint32_t level;
	struct buf buf;
	struct {
		int held;
		uint64_t index;
		uint32_t count;
		struct tree_child children[TREE_FANOUT];
	} way[TREE_LEVELS_MAX];
};

static void
nodes_free(void *state)
{
	struct nodes *n = state;

	buf_free(&n->buf);
	free(n);
}

/* Spans below one node of `level`, as a power of the fan-out. */
static uint64_t
width(uint32_t level)
{
	uint64_t w = 1;

	while (level-- > 0)
		w *= TREE_FANOUT;
	return w;
}

/* The id of node `index` of `level`: down from the top, keeping what was read. */
static int
node_id(struct nodes *n, const struct session_view *v, uint32_t level, uint64_t index,
    struct chunk_id *out, struct err *err)
{
	const struct tree_root *root = tree_walk_root(v->walk);
	struct chunk_id id = root->top.id;

	for (uint32_t k = root->levels; k > level; k--) {
		uint64_t here = index / width(k - level);
		uint64_t child = index / width(k - level - 1) % TREE_FANOUT;

		if (!n->way[k].held || n->way[k].index != here) {
			n->way[k].held = 0;
			if (store_node(v->lease, &id, &n->buf, err) != 0 ||
			    tree_parse_inner(n->buf.p, n->buf.len,
				tree_covers(root->size, k, here),
				width(k - 1) * TREE_SPAN_LEN, n->way[k].children,
				&n->way[k].count, err) != 0)
				return -1;
			n->way[k].held = 1;
			n->way[k].index = here;
		}
		if (child >= n->way[k].count)
			return err_set(err, ERR_CORRUPT, "an inner node lacks a child");
		id = n->way[k].children[child].id;
	}
	*out = id;
	return 0;
}

static int
nodes_start(struct session_job *j, const Wire__GetNodes *m, const struct session_view *v)
{
	const struct tree_root *root = tree_walk_root(v->walk);
	uint64_t spans = tree_spans(root->size), there;
	struct nodes *n;

	if (m->level != MSG_NODE_LEVEL_ROOT && m->level > root->levels)
		return err_set(&j->err, ERR_NOTFOUND,
		    "level %u: this tree's top is level %u", m->level, root->levels);
	there = m->level == MSG_NODE_LEVEL_ROOT
		    ? 1
		    : (spans + width(m->level) - 1) / width(m->level);
	if (m->count == 0 || m->count > MSG_NODES_MAX || m->first >= there ||
	    m->count > there - m->first)
		return err_set(&j->err, ERR_NOTFOUND,
		    "nodes %llu and %u on: level %u has %llu, one request %u",
		    (unsigned long long)m->first, m->count, m->level,
		    (unsigned long long)there, MSG_NODES_MAX);
	n = calloc(1, sizeof(*n));
	if (n == NULL)
		return err_set(&j->err, ERR_NOMEM, "no memory to read nodes");
	n->level = m->level;
	n->next = m->first;
	n->end = m->first + m->count;
	n->buf.max = CHUNK_META_MAX;
	j->state = n;
	j->state_free = nodes_free;
	return 0;
}

static void
send_nodes(struct session_job *j)
{
	const Wire__GetNodes *m = (const Wire__GetNodes *)j->msg;
	struct session_view *v;
	struct nodes *n;
	struct chunk_id id;

	if (session_view_open(j->s, m->host, m->sequence, m->volume, &v, &j->err) != 0 ||
	    (j->state == NULL && nodes_start(j, m, v) != 0))
		return;
	n = j->state;
	while (
	    n->next < n->end && j->out_bytes < SESSION_ROUND && j->err.code == ERR_NONE) {
		if (n->level == MSG_NODE_LEVEL_ROOT)
			id = v->point.volumes[m->volume].root_id;
		else if (node_id(n, v, n->level, n->next, &id, &j->err) != 0)
			return;
		if (store_node(v->lease, &id, &n->buf, &j->err) != 0)
			return;
		session_reply_raw(j, MSG_NODE, n->buf.p, n->buf.len);
		n->next++;
	}
	j->more = n->next < n->end;
}

void
session_nodes_run(struct session_job *j)
{
	send_nodes(j);
	session_view_renew(j);
}

/* --------------------------------------------------------------------- groups -- */

/* A wanted chunk and where it lies. */
struct want {
	struct store_place place;
	struct chunk_id id;
};

struct groups {
	struct want *wants; /* By place. */
	size_t count, cap, next;
	struct buf missing; /* Ids. */
	struct buf group;
	int last; /* All groups are on their way. */
};

static void
groups_free(void *state)
{
	struct groups *g = state;

	free(g->wants);
	buf_free(&g->missing);
	buf_free(&g->group);
	free(g);
}

static int
by_id(const void *a, const void *b)
{
	return chunk_id_cmp(&((const struct want *)a)->id, &((const struct want *)b)->id);
}

static int
by_place(const void *a, const void *b)
{
	const struct store_place *x = &((const struct want *)a)->place;
	const struct store_place *y = &((const struct want *)b)->place;

	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int
add_want(struct groups *g, const uint8_t *id, struct err *err)
{
	if (g->count == g->cap) {
		size_t cap = g->cap == 0 ? 1024 : g->cap * 2;
		struct want *more = realloc(g->wants, cap * sizeof(*more));

		if (more == NULL)
			return err_set(err, ERR_NOMEM, "no memory for %zu chunks", cap);
		g->wants = more;
		g->cap = cap;
	}
	memset(&g->wants[g->count], 0, sizeof(g->wants[0]));
	memcpy(g->wants[g->count++].id.b, id, CHUNK_ID_LEN);
	return 0;
}

static void
sort_unique(struct groups *g)
{
	size_t n = 0;

	if (g->count == 0)
		return;
	qsort(g->wants, g->count, sizeof(*g->wants), by_id);
	for (size_t i = 0; i < g->count; i++) {
		if (n == 0 || by_id(&g->wants[n - 1], &g->wants[i]) != 0)
			g->wants[n++] = g->wants[i];
	}
	g->count = n;
}

struct gather {
	struct groups *g;
	struct err *err;
	int failed;
};

static int
gather_extent(void *arg, const struct extent *e)
{
	struct gather *t = arg;

	if (e->kind != EXTENT_DATA)
		return 0;
	/* Extents of one chunk mostly stand together. */
	if (t->g->count > 0 &&
	    chunk_id_cmp(&t->g->wants[t->g->count - 1].id, &e->id) == 0)
		return 0;
	t->failed = add_want(t->g, e->id.b, t->err) != 0;
	return t->failed;
}

/* Keep only what was asked for, all of which must be in the spans. */
static int
only_asked(struct groups *g, const ProtobufCBinaryData *ids, struct err *err)
{
	struct groups asked = { 0 };
	int rc = 0;

	for (size_t i = 0; i + CHUNK_ID_LEN <= ids->len && rc == 0; i += CHUNK_ID_LEN)
		rc = add_want(&asked, ids->data + i, err);
	sort_unique(&asked);
	for (size_t i = 0; i < asked.count && rc == 0; i++) {
		if (g->count == 0 || bsearch(&asked.wants[i], g->wants, g->count,
					 sizeof(*g->wants), by_id) == NULL) {
			char hex[2 * CHUNK_ID_LEN + 1];

			chunk_id_hex(&asked.wants[i].id, hex);
			rc = err_set(err, ERR_NOTFOUND,
			    "chunk %.16s... is not in those spans", hex);
		}
	}
	if (rc == 0) {
		free(g->wants);
		g->wants = asked.wants;
		g->count = asked.count;
		g->cap = asked.cap;
	} else {
		free(asked.wants);
	}
	return rc;
}

/* Ask where all of them lie; what lies nowhere goes to `missing`. */
static int
locate(struct groups *g, struct session_view *v, struct err *err)
{
	enum { BATCH = 1024 };
	struct chunk_id ids[BATCH];
	struct store_place places[BATCH];
	uint8_t found[BATCH];
	size_t kept = 0;

	for (size_t at = 0; at < g->count;) {
		size_t n = g->count - at < BATCH ? g->count - at : BATCH;

		for (size_t i = 0; i < n; i++)
			ids[i] = g->wants[at + i].id;
		if (store_locate(v->lease, CHUNK_DATA, ids, n, places, found, err) != 0)
			return -1;
		for (size_t i = 0; i < n; i++) {
			if (!found[i]) {
				if (buf_add(&g->missing, ids[i].b, CHUNK_ID_LEN, err) !=
				    0)
					return -1;
				continue;
			}
			g->wants[kept].id = ids[i];
			g->wants[kept++].place = places[i];
		}
		at += n;
	}
	g->count = kept;
	if (kept > 0)
		qsort(g->wants, kept, sizeof(*g->wants), by_place);
	return 0;
}

static int
groups_start(struct session_job *j, const Wire__GetGroups *m, struct session_view *v)
{
	uint64_t spans = tree_spans(tree_walk_root(v->walk)->size);
	struct groups *g;
	struct gather t;

	if (m->spans == 0 || m->spans > MSG_SPANS_MAX || m->first_span >= spans ||
	    m->spans > spans - m->first_span)
		return err_set(&j->err, ERR_NOTFOUND,
		    "spans %llu and %u on: the volume has %llu, one request %u",
		    (unsigned long long)m->first_span, m->spans,
		    (unsigned long long)spans, MSG_SPANS_MAX);
	if (m->ids.len % CHUNK_ID_LEN != 0)
		return err_set(
		    &j->err, ERR_PROTOCOL, "GetGroups: %zu bytes of ids", m->ids.len);
	g = calloc(1, sizeof(*g));
	if (g == NULL)
		return err_set(&j->err, ERR_NOMEM, "no memory to read groups");
	j->state = g;
	j->state_free = groups_free;
	g->missing.max = (size_t)MSG_SPANS_MAX * TREE_LEAF_EXTENTS_MAX * CHUNK_ID_LEN;
	g->group.max = GROUP_LEN_MAX;

	t = (struct gather){ g, &j->err, 0 };
	for (uint64_t n = m->first_span; n < m->first_span + m->spans; n++) {
		if (tree_walk_span(v->walk, n, gather_extent, &t, &j->err) < 0 ||
		    t.failed)
			return -1;
	}
	sort_unique(g);
	if (m->ids.len > 0 && only_asked(g, &m->ids, &j->err) != 0)
		return -1;
	return locate(g, v, &j->err);
}

/* Send the group at `next`, or note that its chunks are lost; go past them. */
static int
send_group(struct session_job *j, struct groups *g, struct session_view *v)
{
	const struct store_place place = g->wants[g->next].place;
	struct err why = ERR_INIT;
	int lost = store_group(v->lease, &place, &g->group, &why) != 0;

	if (lost && why.code != ERR_CORRUPT && why.code != ERR_NOTFOUND) {
		j->err = why;
		return -1;
	}
	if (lost)
		session_log(j->s, LOG_ERROR, "a group is lost: %s", why.text);
	else
		session_reply_raw(j, MSG_GROUP, g->group.p, g->group.len);
	while (g->next < g->count && g->wants[g->next].place.pack == place.pack &&
	       g->wants[g->next].place.offset == place.offset) {
		if (lost && buf_add(&g->missing, g->wants[g->next].id.b, CHUNK_ID_LEN,
				&j->err) != 0)
			return -1;
		g->next++;
	}
	return 0;
}

static void
send_groups(struct session_job *j)
{
	const Wire__GetGroups *m = (const Wire__GetGroups *)j->msg;
	const size_t most = (size_t)MSG_IDS_MAX * CHUNK_ID_LEN;
	Wire__GroupsEnd end = WIRE__GROUPS_END__INIT;
	struct session_view *v;
	struct groups *g;

	if (session_view_open(j->s, m->host, m->sequence, m->volume, &v, &j->err) != 0 ||
	    (j->state == NULL && groups_start(j, m, v) != 0))
		return;
	g = j->state;
	while (g->next < g->count && j->out_bytes < SESSION_ROUND &&
	       j->err.code == ERR_NONE) {
		if (send_group(j, g, v) != 0)
			return;
	}
	if (g->next < g->count) {
		j->more = 1;
		return;
	}
	/* A chunk that did not come is missing, even if the list has no room for it. */
	end.missing_ids.data = g->missing.p;
	end.missing_ids.len = g->missing.len < most ? g->missing.len : most;
	session_reply(j, &end.base, 0);
}

void
session_groups_run(struct session_job *j)
{
	send_groups(j);
	session_view_renew(j);
}
