#include "agent/tree/tree_nodes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/tree/tree_link.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/wire/msg.h"

#define BUCKETS 4096u
#define RUN_MAX 16u /* Leaves in one request. */
#define FETCHES_MAX 64u

struct node {
	struct tree_node out; /* First: what is given out is this. */
	const struct tree_of *of;
	uint64_t index;
	struct node *newer, *older, *next;
	unsigned refs; /* The cache itself has one. */
	size_t bytes;
	void *p;
};

/* Nodes that a thread is asking for; others wait for it. */
struct fetch {
	const struct tree_of *of;
	uint32_t level, count; /* No count: unused. */
	uint64_t first;
};

struct tree_nodes {
	struct tree_link *link;
	pthread_mutex_t lock; /* Guards all below and in nodes. */
	pthread_cond_t done;
	struct node *buckets[BUCKETS];
	struct node *newest, *oldest;
	struct fetch fetches[FETCHES_MAX];
	size_t bytes, max, most;
	uint64_t fetched;
};

struct tree_nodes *
tree_nodes_new(struct tree_link *l, size_t max)
{
	struct tree_nodes *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return NULL;
	t->link = l;
	t->max = max;
	pthread_mutex_init(&t->lock, NULL);
	pthread_cond_init(&t->done, NULL);
	return t;
}

static void
node_free(struct node *n)
{
	free(n->p);
	free(n);
}

void
tree_nodes_free(struct tree_nodes *t)
{
	struct node *n, *older;

	if (t == NULL)
		return;
	for (n = t->newest; n != NULL; n = older) {
		older = n->older;
		node_free(n);
	}
	pthread_cond_destroy(&t->done);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* ------------------------------------------------------------------ keeping -- */

static struct node **
bucket(struct tree_nodes *t, const struct tree_of *of, uint32_t level, uint64_t index)
{
	uint64_t h = index * 4 + level + (uint64_t)of->volume * 1021;

	return &t->buckets[(h ^ h >> 12) % BUCKETS];
}

static struct node *
lookup(struct tree_nodes *t, const struct tree_of *of, uint32_t level, uint64_t index)
{
	struct node *n = *bucket(t, of, level, index);

	while (n != NULL && (n->of != of || n->out.level != level || n->index != index))
		n = n->next;
	return n;
}

static void
unlink_node(struct tree_nodes *t, struct node *n)
{
	*(n->newer != NULL ? &n->newer->older : &t->newest) = n->older;
	*(n->older != NULL ? &n->older->newer : &t->oldest) = n->newer;
}

static void
link_newest(struct tree_nodes *t, struct node *n)
{
	n->older = t->newest;
	n->newer = NULL;
	*(t->newest != NULL ? &t->newest->newer : &t->oldest) = n;
	t->newest = n;
}

static void
evict(struct tree_nodes *t, struct node *n)
{
	struct node **at = bucket(t, n->of, n->out.level, n->index);

	while (*at != n)
		at = &(*at)->next;
	*at = n->next;
	unlink_node(t, n);
	t->bytes -= n->bytes;
	if (--n->refs == 0)
		node_free(n);
}

/* Found and held, or NULL. */
static struct node *
hold(struct tree_nodes *t, const struct tree_of *of, uint32_t level, uint64_t index)
{
	struct node *n = lookup(t, of, level, index);

	if (n == NULL)
		return NULL;
	n->refs++;
	unlink_node(t, n);
	link_newest(t, n);
	return n;
}

static void
keep(struct tree_nodes *t, struct node *n)
{
	struct node **at = bucket(t, n->of, n->out.level, n->index);

	pthread_mutex_lock(&t->lock);
	t->fetched++;
	if (lookup(t, n->of, n->out.level, n->index) != NULL) {
		node_free(n);
	} else {
		while (t->oldest != NULL && t->bytes + n->bytes > t->max)
			evict(t, t->oldest);
		at = bucket(t, n->of, n->out.level, n->index);
		n->next = *at;
		*at = n;
		n->refs = 1;
		link_newest(t, n);
		t->bytes += n->bytes;
		if (t->bytes > t->most)
			t->most = t->bytes;
	}
	pthread_mutex_unlock(&t->lock);
}

void
tree_nodes_drop(struct tree_nodes *t, const struct tree_node *node)
{
	struct node *n = (struct node *)(uintptr_t)node;

	if (n == NULL)
		return;
	pthread_mutex_lock(&t->lock);
	if (--n->refs == 0)
		node_free(n);
	pthread_mutex_unlock(&t->lock);
}

/* ----------------------------------------------------------------- fetching -- */

static uint64_t
width(uint32_t levels)
{
	uint64_t n = 1;

	for (; levels > 0; levels--)
		n *= TREE_FANOUT;
	return n;
}

/* One request for nodes. */
struct asking {
	struct tree_nodes *t;
	const struct tree_of *of;
	uint32_t level, count, got;
	uint64_t first;
	const struct tree_child *children; /* What the nodes must be. */
};

struct extents {
	struct extent *p;
	uint32_t count, cap;
};

static int
add_extent(void *arg, const struct extent *e)
{
	struct extents *x = arg;

	if (x->count == x->cap) {
		uint32_t cap = x->cap == 0 ? 64 : x->cap * 2;
		struct extent *p = realloc(x->p, cap * sizeof(*p));

		if (p == NULL)
			return 1;
		x->p = p;
		x->cap = cap;
	}
	x->p[x->count++] = *e;
	return 0;
}

static int
parse_leaf(struct node *n, const struct channel_frame *f, struct err *err)
{
	struct extents x = { NULL, 0, 0 };
	int rc = tree_parse_leaf(f->payload, f->len, n->index * TREE_SPAN_LEN,
	    tree_covers(n->of->root.size, 0, n->index), add_extent, &x, err);

	n->p = x.p;
	if (rc > 0)
		return err_set(err, ERR_NOMEM, "out of memory");
	n->out.extents = x.p;
	n->out.count = x.count;
	n->bytes += x.cap * sizeof(*x.p);
	return rc;
}

static int
parse_inner(struct node *n, const struct channel_frame *f, struct err *err)
{
	struct tree_child *children = calloc(TREE_FANOUT, sizeof(*children));

	n->p = children;
	if (children == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	n->out.children = children;
	n->bytes += TREE_FANOUT * sizeof(*children);
	return tree_parse_inner(f->payload, f->len,
	    tree_covers(n->of->root.size, n->out.level, n->index),
	    width(n->out.level - 1) * TREE_SPAN_LEN, children, &n->out.count, err);
}

static int
prove(const struct tree_link *l, const struct channel_frame *f, const struct chunk_id *id,
    struct err *err)
{
	struct chunk_id real;

	if (f->kind != MSG_NODE || f->len == 0)
		return err_set(
		    err, ERR_PROTOCOL, "%s where a node was due", msg_name(f->kind));
	chunk_id_of(tree_link_keys(l), CHUNK_META, f->payload, f->len, &real);
	if (chunk_id_cmp(&real, id) != 0)
		return err_set(
		    err, ERR_CORRUPT, "the server gave a node that is not the one named");
	return 0;
}

static int
on_node(void *arg, const struct channel_frame *f, struct err *err)
{
	struct asking *a = arg;
	struct node *n;
	int rc;

	if (f == NULL) {
		a->got = 0;
		return 1;
	}
	if (prove(a->t->link, f, &a->children[a->got].id, err) != 0)
		return -1;
	if ((n = calloc(1, sizeof(*n))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	n->of = a->of;
	n->out.level = a->level;
	n->index = a->first + a->got;
	n->bytes = sizeof(*n);
	rc = a->level == 0 ? parse_leaf(n, f, err) : parse_inner(n, f, err);
	if (rc != 0) {
		node_free(n);
		return -1;
	}
	keep(a->t, n);
	return ++a->got < a->count;
}

/* Whoever asks for it now, or NULL. */
static struct fetch *
fetch_of(struct tree_nodes *t, const struct tree_of *of, uint32_t level, uint64_t index)
{
	for (unsigned i = 0; i < FETCHES_MAX; i++) {
		struct fetch *f = &t->fetches[i];

		if (f->count > 0 && f->of == of && f->level == level &&
		    index >= f->first && index - f->first < f->count)
			return f;
	}
	return NULL;
}

/* Say that these are being asked for; NULL if too many are (ask all the same). */
static struct fetch *
fetch_begin(struct tree_nodes *t, const struct asking *a)
{
	for (unsigned i = 0; i < FETCHES_MAX; i++)
		if (t->fetches[i].count == 0) {
			t->fetches[i] =
			    (struct fetch){ a->of, a->level, a->count, a->first };
			return &t->fetches[i];
		}
	return NULL;
}

static int
ask(struct asking *a, int ahead, struct err *err)
{
	Wire__GetNodes m = WIRE__GET_NODES__INIT;

	m.host = (char *)(uintptr_t)a->of->host;
	m.sequence = a->of->sequence;
	m.volume = a->of->volume;
	m.level = a->level;
	m.first = a->first;
	m.count = a->count;
	return tree_link_ask(a->t->link, ahead, &m.base, on_node, a, err);
}

/* A node whose parent's children are known, from the cache or the server. */
static int
get(struct tree_nodes *t, struct asking *a, int ahead, struct node **out, struct err *err)
{
	struct fetch *mine = NULL;
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	/* A node may be evicted again before it is looked for: then it is asked for anew.
	 */
	while (rc == 0 && (*out = hold(t, a->of, a->level, a->first)) == NULL) {
		if (fetch_of(t, a->of, a->level, a->first) != NULL) {
			pthread_cond_wait(&t->done, &t->lock);
			continue;
		}
		mine = fetch_begin(t, a);
		pthread_mutex_unlock(&t->lock);
		rc = ask(a, ahead, err);
		pthread_mutex_lock(&t->lock);
		if (mine != NULL)
			mine->count = 0;
		pthread_cond_broadcast(&t->done);
		a->count = 1; /* However little memory there is, one has room. */
	}
	pthread_mutex_unlock(&t->lock);
	return rc;
}

/*
 * Node `index` of `level` and the child of its parent that names it, or with an empty
 * child and `skip` only that.  The parents are walked down from the top, held one by
 * one.
 */
static int
descend(struct tree_nodes *t, const struct tree_of *of, uint64_t span, uint32_t level,
    int ahead, struct node **out, struct tree_child *child, struct err *err)
{
	struct node *parent = NULL;
	uint32_t k = of->root.levels;
	int rc = 0;

	*child = of->root.top;
	*out = NULL;
	while (rc == 0 && k > level && child->sums.data > 0) {
		struct asking a = { t, of, k, 1, 0, span / width(k), child };
		struct tree_child self = *child;
		uint64_t at = span / width(k - 1) % TREE_FANOUT;

		a.children = &self;
		if ((rc = get(t, &a, ahead, &parent, err)) != 0)
			break;
		if (at >= parent->out.count)
			rc = err_set(err, ERR_CORRUPT, "an inner node lacks a child");
		else
			*child = parent->out.children[at];
		k--;
		if (k == level && rc == 0)
			*out = parent;
		else
			tree_nodes_drop(t, &parent->out);
	}
	return rc;
}

int
tree_nodes_leaf(struct tree_nodes *t, const struct tree_of *of, uint64_t n, int ahead,
    int more, const struct tree_node **out, struct err *err)
{
	struct tree_child child;
	struct node *parent, *leaf;
	struct asking a = { t, of, 0, 1, 0, n, &child };
	int rc;

	*out = NULL;
	if (descend(t, of, n, 0, ahead, &parent, &child, err) != 0)
		return -1;
	if (child.sums.data == 0) {
		if (parent != NULL)
			tree_nodes_drop(t, &parent->out);
		return 0;
	}
	if (parent != NULL) {
		uint32_t at = n % TREE_FANOUT;

		a.children = &parent->out.children[at];
		if (more)
			a.count = parent->out.count - at;
		if (a.count > RUN_MAX)
			a.count = RUN_MAX;
	}
	if ((rc = get(t, &a, ahead, &leaf, err)) == 0)
		*out = &leaf->out;
	if (parent != NULL)
		tree_nodes_drop(t, &parent->out);
	return rc;
}

int
tree_nodes_empty(struct tree_nodes *t, const struct tree_of *of, uint64_t n,
    uint64_t *bytes, struct err *err)
{
	struct tree_child child = of->root.top;
	struct node *parent;
	uint64_t begin;

	*bytes = 0;
	for (uint32_t level = of->root.levels + 1; level-- > 0;) {
		if (descend(t, of, n, level, 0, &parent, &child, err) != 0)
			return -1;
		if (parent != NULL)
			tree_nodes_drop(t, &parent->out);
		if (child.sums.data > 0)
			continue;
		begin = n / width(level) * width(level) * TREE_SPAN_LEN;
		*bytes = begin + tree_covers(of->root.size, level, n / width(level)) -
			 n * TREE_SPAN_LEN;
		return 0;
	}
	return 0;
}

/* --------------------------------------------------------------------- root -- */

struct rooting {
	struct tree_nodes *t;
	struct tree_of *of;
	const struct chunk_id *id;
};

static int
on_root(void *arg, const struct channel_frame *f, struct err *err)
{
	struct rooting *r = arg;

	if (f == NULL)
		return 1;
	if (prove(r->t->link, f, r->id, err) != 0)
		return -1;
	return tree_parse_root(f->payload, f->len, &r->of->root, err);
}

int
tree_nodes_root(
    struct tree_nodes *t, struct tree_of *of, const struct chunk_id *id, struct err *err)
{
	Wire__GetNodes m = WIRE__GET_NODES__INIT;
	struct rooting r = { t, of, id };

	m.host = (char *)(uintptr_t)of->host;
	m.sequence = of->sequence;
	m.volume = of->volume;
	m.level = MSG_NODE_LEVEL_ROOT;
	m.count = 1;
	return tree_link_ask(t->link, 0, &m.base, on_root, &r, err);
}

void
tree_nodes_counts(struct tree_nodes *t, uint64_t *fetched, size_t *most)
{
	pthread_mutex_lock(&t->lock);
	*fetched = t->fetched;
	*most = t->most;
	pthread_mutex_unlock(&t->lock);
}
