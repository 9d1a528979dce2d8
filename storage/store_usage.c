#include "storage/store_usage.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/index.h"
#include "storage/store_gc.h"
#include "storage/store_state.h"

/* A slot of the table: who uses the chunk in the low bits, above them its mark. */
#define OWNER_BITS 20u
#define OWNER_MASK ((UINT64_C(1) << OWNER_BITS) - 1)
#define OWNER_SHARED OWNER_MASK /* More than one does; 0 is an empty slot. */
#define OWNERS_MAX (OWNER_SHARED - 2)
#define NODES_MAX (1u << 20)

/* Stored bytes for a plain byte in a pack. */
struct ratio {
	uint32_t pack;
	float stored;
};

struct counting {
	struct store *s;
	struct store_usage *u;
	struct store_point pinned; /* The point that is walked. */
	struct err *err;

	struct store_use *uses; /* By owner - 1. */
	uint32_t n;
	struct ratio *ratios; /* By pack. */
	size_t ratios_n;
	float ratio; /* Of all. */

	uint64_t *slots, mask, used;
	uint32_t pass, passes;
	uint64_t owner; /* Who is being walked. */
	int only_known; /* Chunks that are not in the table are not put there. */

	const char *host;  /* Whose points are walked: all if NULL. */
	uint64_t sequence; /* This one alone, or not this one. */
	int but;
	struct store_nodes *nodes;
	struct buf data, meta;
	uint64_t done, total;
	int stopped;
};

static float
ratio_of(const struct counting *c, uint32_t pack)
{
	size_t lo = 0, hi = c->ratios_n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (c->ratios[mid].pack == pack)
			return c->ratios[mid].stored;
		if (c->ratios[mid].pack < pack)
			lo = mid + 1;
		else
			hi = mid;
	}
	return c->ratio;
}

/* ------------------------------------------------------------------- a chunk -- */

static void
add(struct counting *c, uint64_t owner, const struct index_hit *h, int sign)
{
	struct store_use *use;
	uint64_t stored = (uint64_t)((float)h->len * ratio_of(c, h->loc.pack));

	if (owner > c->n)
		return; /* Who only asks whether others use it too. */
	use = &c->uses[owner - 1];
	use->chunks += (uint64_t)(int64_t)sign;
	use->bytes += (uint64_t)((int64_t)h->len * sign);
	use->stored += (uint64_t)((int64_t)stored * sign);
}

/* One chunk of a tree: the first who uses it has it alone, until another comes. */
static void
meet(void *arg, const struct chunk_id *id, const struct index_hit *h)
{
	struct counting *c = arg;
	uint64_t mark = load_le64(id->b + 8) & ~OWNER_MASK, at = load_le64(id->b);
	uint64_t *slot, owner;

	if (load_le32(id->b + 16) % c->passes != c->pass)
		return;
	for (at &= c->mask;; at = (at + 1) & c->mask) {
		slot = &c->slots[at];
		owner = *slot & OWNER_MASK;
		if (owner == 0 || (*slot & ~OWNER_MASK) == mark)
			break;
	}
	if (owner == 0) {
		/* The last slot stays empty: it ends the search. */
		if (c->only_known || c->used == c->mask)
			return;
		c->used++;
		*slot = mark | c->owner;
		add(c, c->owner, h, 1);
	} else if (owner != c->owner && owner != OWNER_SHARED) {
		*slot = mark | OWNER_SHARED;
		add(c, owner, h, -1);
	}
}

/* -------------------------------------------------------------------- walking -- */

/* Walk the trees of a point that cannot go meanwhile. */
static int
walk_trees(struct counting *c, struct store_lease *lease)
{
	struct store_check check = { .lease = lease,
		.checked = c->nodes,
		.data_ids = &c->data,
		.meta_ids = &c->meta,
		.found = meet,
		.arg = c };
	struct store_volume v;

	for (uint32_t i = 0; i < c->pinned.volumes_count; i++) {
		buf_clear(&c->data);
		buf_clear(&c->meta);
		if (store_check_tree(&check, &c->pinned.volumes[i].root_id, &v, c->err) !=
		    0) {
			/* A tree that is broken is verify's to report. */
			if (c->err->code != ERR_CORRUPT)
				return -1;
			err_clear(c->err);
			c->u->missing++;
		}
		if (c->pass == 0)
			c->u->missing += (c->data.len + c->meta.len) / CHUNK_ID_LEN;
	}
	return 0;
}

static int
walk_point(void *arg, const struct store_point *p)
{
	struct counting *c = arg;
	struct store_lease *lease = NULL;
	int named = c->host != NULL && strcmp(p->host, c->host) == 0 &&
		    (c->sequence == 0 || p->sequence == c->sequence);
	int ret;

	if (c->host != NULL && named == c->but)
		return 0;
	ret = store_lease_open(c->s, p->host, STORE_READ, &lease, c->err);
	if (ret == 0)
		ret = store_lease_point(lease, p->host, p->sequence, &c->pinned, c->err);
	if (ret == 0) {
		ret = walk_trees(c, lease);
	} else if (lease != NULL && c->err->code == ERR_NOTFOUND) {
		/* It was pruned since it was listed. */
		err_clear(c->err);
		ret = 0;
	}
	store_lease_close(lease);
	c->done++;
	if (ret == 0 && c->u->tell != NULL &&
	    c->u->tell(c->u->arg, c->done, c->total) != 0)
		c->stopped = 1;
	return ret != 0 ? -1 : c->stopped;
}

/* Walk those points of `host` (NULL: of all) that are wanted, as `owner`'s. */
static int
walk(struct counting *c, const char *host, uint64_t owner)
{
	int ret;

	c->owner = owner;
	if ((c->nodes = store_nodes_new(NODES_MAX)) == NULL)
		return err_set(c->err, ERR_NOMEM, "no memory to walk trees");
	ret = store_points(c->s, host, INT64_MAX, walk_point, c, c->err);
	store_nodes_free(c->nodes);
	if (c->stopped)
		return err_set(c->err, ERR_CANCELED, "counting was stopped");
	return ret < 0 ? -1 : 0;
}

/* What one alone uses: its chunks first, then all others' cross theirs out. */
static int
count_one(struct counting *c)
{
	c->host = c->u->host;
	c->sequence = c->u->sequence;
	c->only_known = 0;
	c->but = 0;
	if (walk(c, c->host, 1) != 0)
		return -1;
	c->only_known = 1;
	c->but = 1;
	return walk(c, NULL, 2);
}

static int
count_all(struct counting *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (walk(c, c->uses[i].host, i + 1) != 0)
			return -1;
	return 0;
}

/* ------------------------------------------------------------------- preparing -- */

static int
load_ratios(struct counting *c)
{
	struct journal_pack page[64];
	uint32_t after = 0, n = 64;
	uint64_t plain = 0, stored = 0;
	size_t cap = 0;
	struct ratio *more;

	while (n == 64) {
		if (catalog_packs(c->s->catalog, after, page, 64, &n, c->err) != 0)
			return -1;
		if (c->ratios_n + n > cap) {
			cap = cap * 2 + 64;
			more = realloc(c->ratios, cap * sizeof(*more));
			if (more == NULL)
				return err_set(
				    c->err, ERR_NOMEM, "no memory for %zu packs", cap);
			c->ratios = more;
		}
		for (uint32_t i = 0; i < n; i++) {
			after = page[i].no;
			plain += page[i].plain;
			stored += page[i].stored;
			c->ratios[c->ratios_n].pack = page[i].no;
			c->ratios[c->ratios_n++].stored =
			    page[i].plain > 0
				? (float)page[i].stored / (float)page[i].plain
				: 1;
		}
	}
	c->ratio = plain > 0 ? (float)stored / (float)plain : 1;
	return 0;
}

/* A host or point that is counted, among those before. */
static int
list_point(void *arg, const struct store_point *p)
{
	struct counting *c = arg;
	struct store_use *use = NULL, *more;

	c->total++;
	if (c->u->host != NULL &&
	    (strcmp(p->host, c->u->host) != 0 ||
		(c->u->sequence != 0 && p->sequence != c->u->sequence)))
		return 0;
	for (uint32_t i = 0; i < c->n && use == NULL; i++)
		if (strcmp(c->uses[i].host, p->host) == 0)
			use = &c->uses[i];
	if (use == NULL) {
		more = realloc(c->uses, (c->n + 1) * sizeof(*more));
		if (more == NULL || c->n == OWNERS_MAX)
			return err_set(c->err, ERR_LIMIT, "too many hosts to count");
		c->uses = more;
		use = memset(&c->uses[c->n++], 0, sizeof(*use));
		memcpy(use->host, p->host, sizeof(use->host));
	}
	use->points++;
	for (uint32_t i = 0; i < p->volumes_count; i++)
		use->logical_bytes += p->volumes[i].data_bytes;
	return 0;
}

static int
cmp_use(const void *a, const void *b)
{
	const struct store_use *x = a, *y = b;

	return strcmp(x->host, y->host);
}

static int
prepare(struct counting *c)
{
	uint64_t memory = c->u->memory != 0 ? c->u->memory : STORE_USAGE_MEMORY;
	struct store_stats stats;
	uint64_t slots = 1024;

	if (store_points(c->s, NULL, INT64_MAX, list_point, c, c->err) != 0 ||
	    load_ratios(c) != 0 || store_stats(c->s, &stats, c->err) != 0)
		return -1;
	if (c->u->host != NULL && c->n == 0)
		return err_set(c->err, ERR_NOTFOUND,
		    c->u->sequence != 0 ? "'%.63s' has no point %llu"
					: "'%.63s' has no points",
		    c->u->host, (unsigned long long)c->u->sequence);
	if (c->n > 0)
		qsort(c->uses, c->n, sizeof(*c->uses), cmp_use);
	/* Three quarters full at most. */
	while (slots * 2 * sizeof(*c->slots) <= memory && slots * 3 / 4 < stats.chunks)
		slots *= 2;
	c->passes = (uint32_t)(stats.chunks / (slots * 3 / 4) + 1);
	c->mask = slots - 1;
	c->u->passes = c->passes;
	c->total *= c->passes;
	if ((c->slots = malloc(slots * sizeof(*c->slots))) == NULL)
		return err_set(c->err, ERR_NOMEM, "no memory to count chunks");
	return 0;
}

int
store_usage(struct store *s, struct store_usage *u,
    void (*each)(void *arg, const struct store_use *use), void *arg, struct err *err)
{
	struct counting *c = calloc(1, sizeof(*c));
	int ret;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "no memory to count chunks");
	c->s = s;
	c->u = u;
	c->err = err;
	c->data.max = c->meta.max = 1u << 20;
	u->missing = 0;
	ret = prepare(c);
	for (; ret == 0 && c->pass < c->passes; c->pass++) {
		memset(c->slots, 0, (c->mask + 1) * sizeof(*c->slots));
		c->used = 0;
		ret = u->host != NULL ? count_one(c) : count_all(c);
	}
	for (uint32_t i = 0; ret == 0 && i < c->n; i++)
		each(arg, &c->uses[i]);
	free(c->slots);
	free(c->ratios);
	free(c->uses);
	buf_free(&c->data);
	buf_free(&c->meta);
	free(c);
	return ret;
}
