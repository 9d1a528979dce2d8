#include "tests/unit/storage/gc/explore.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "storage/fs.h"
#include "storage/index.h"
#include "storage/store_packs.h"

static int64_t now_us;

static int64_t
tick(void)
{
	return now_us += 1000;
}

uint32_t
world_draw(struct world *w, uint32_t n)
{
	w->random ^= w->random << 13;
	w->random ^= w->random >> 7;
	w->random ^= w->random << 17;
	return (uint32_t)((w->random * 0x2545f4914f6cdd1du) >> 33) % n;
}

void
world_wrong(struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (w->wrong[0] != '\0')
		return;
	va_start(ap, fmt);
	(void)vsnprintf(w->wrong, sizeof(w->wrong), fmt, ap);
	va_end(ap);
}

void
world_tell(const struct world *w, const char *fmt, ...)
{
	va_list ap;

	if (!w->telling)
		return;
	va_start(ap, fmt);
	(void)printf("%*s", 2 * w->nested, "");
	(void)vprintf(fmt, ap);
	(void)printf("\n");
	va_end(ap);
}

const char *
world_host(uint32_t host)
{
	static const char *const names[HOSTS] = { "alpha", "beta", "gamma" };

	return names[host];
}

void
world_failed(struct world *w, const char *what)
{
	if (fs_fault_fired(w->ff))
		w->dead = 1;
	else
		world_wrong(w, "%s: %s", what, w->err.text);
	err_clear(&w->err);
}

/* ------------------------------------------------------------------- images -- */

static void
block_bytes(uint32_t seed, uint8_t out[BLOCK_LEN])
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (uint32_t i = 0; i < BLOCK_LEN; i += 8) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		memcpy(out + i, &x, 8);
	}
}

static int
add_item(struct image *im, enum chunk_kind kind, const struct chunk_id *id,
    const uint8_t *p, size_t len)
{
	struct item *it = &im->items[im->n];

	for (uint32_t i = 0; i < im->n; i++)
		if (chunk_id_cmp(&im->items[i].id, id) == 0)
			return 0;
	if (im->n == ITEMS_MAX || len > sizeof(it->bytes))
		abort();
	it->id = *id;
	it->kind = kind;
	it->len = (uint32_t)len;
	memcpy(it->bytes, p, len);
	im->n++;
	return 0;
}

static int
take_node(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	(void)err;
	return add_item(arg, CHUNK_META, id, p, len);
}

static void
make_image(struct world *w, const uint8_t spans[SPANS], struct image *out)
{
	struct tree_root root = { .size = 2 * (uint64_t)TREE_SPAN_LEN + 4096,
		.sector_size = 512,
		.fs = "raw",
		.provider = "offline" };
	struct tree_builder *b;
	struct err err = ERR_INIT;
	uint8_t bytes[BLOCK_LEN];
	int failed = 0;

	memset(out, 0, sizeof(*out));
	memcpy(out->spans, spans, SPANS);
	b = tree_builder_new(store_keys(w->s), &root, take_node, out);
	for (uint32_t i = 0; i < SPANS; i++) {
		uint64_t at = (uint64_t)i * TREE_SPAN_LEN;
		struct extent e = { .kind = EXTENT_DATA };

		for (uint32_t k = 0; k < BLOCKS; k++) {
			/* Patterns share chunks with their neighbours. */
			block_bytes(spans[i] + k * 3, bytes);
			chunk_id_of(
			    store_keys(w->s), CHUNK_DATA, bytes, BLOCK_LEN, &e.id);
			(void)add_item(out, CHUNK_DATA, &e.id, bytes, BLOCK_LEN);
			e.offset = at + k * BLOCK_LEN;
			e.len = e.chunk_len = BLOCK_LEN;
			failed |= tree_builder_add(b, &e, &err);
		}
		memset(&e, 0, sizeof(e));
		e.offset = at + BLOCKS * BLOCK_LEN;
		e.len = (uint32_t)(tree_covers(root.size, 0, i) - BLOCKS * BLOCK_LEN);
		failed |= tree_builder_add(b, &e, &err);
	}
	if (failed || tree_builder_finish(b, &out->root_id, &err) != 0)
		abort();
	tree_builder_free(b);
}

/* All there can be, made when first needed; names are by the store's key. */
static struct image made[PATTERNS * PATTERNS * PATTERNS];

void
world_image(struct world *w, const uint8_t spans[SPANS], struct image *out)
{
	struct image *m = &made[(spans[0] * PATTERNS + spans[1]) * PATTERNS + spans[2]];

	if (m->n == 0)
		make_image(w, spans, m);
	*out = *m;
}

void
world_put_group(struct world *w, struct store_lease *l, enum chunk_kind kind,
    const struct item *const *items, uint32_t n)
{
	struct group_builder *b = group_builder_new(kind);
	struct group g;

	for (uint32_t i = 0; i < n; i++)
		if (group_builder_add(
			b, &items[i]->id, items[i]->bytes, items[i]->len, &w->err) != 0)
			abort();
	if (group_builder_finish(b, w->codec, 1, &w->bytes, &w->err) != 0 ||
	    group_parse(w->bytes.p, w->bytes.len, &g, &w->err) != 0)
		abort();
	group_builder_free(b);
	if (store_put(l, &g, &w->err) != 0)
		world_failed(w, "put");
}

/* ----------------------------------------------------------- opening, closing -- */

static void
between(void *arg, enum store_pause where)
{
	struct world *w = arg;
	struct err outer = w->err;

	/* In the middle of a step of the collection no other can be made. */
	if (where == STORE_PAUSE_REMOVE || w->nested || world_draw(w, 3) != 0)
		return;
	err_clear(&w->err);
	w->nested = 1;
	for (uint32_t n = 1 + world_draw(w, 6); n > 0 && !w->dead && w->wrong[0] == '\0';
	     n--)
		act(w, 1, where != STORE_PAUSE_COMMIT);
	w->nested = 0;
	w->err = outer;
}

static int
open_store(struct world *w)
{
	if (store_open_fs(fs_fault_fs(w->ff), NULL, tick, &w->s, &w->err) != 0)
		return -1;
	w->s->pause = between;
	w->s->pause_arg = w;
	if (w->s->lost_packs > 0)
		world_wrong(w, "opening: %s", store_opened(w->s));
	return 0;
}

int
world_start(struct world *w, uint64_t seed)
{
	memset(w, 0, sizeof(*w));
	memset(made, 0, sizeof(made));
	w->telling = getenv("EXPLORE_TELL") != NULL;
	w->seed = seed;
	w->random = seed * 0x9e3779b97f4a7c15u + 88172645463325252u;
	now_us = 1700000000000000;
	w->ff = fs_fault_new(seed);
	w->p = calloc(1, sizeof(*w->p));
	w->codec = codec_new();
	w->data.max = w->meta.max = w->bad.max = 4096;
	w->bytes.max = GROUP_LEN_MAX;
	for (uint32_t i = 0; i < READERS; i++)
		w->readers[i].point = -1;
	if (w->ff == NULL || w->p == NULL || w->codec == NULL ||
	    store_init_fs(fs_fault_fs(w->ff), &w->err) != 0 || open_store(w) != 0)
		return -1;
	return 0;
}

/* The process's things go; what the disk does is another matter. */
static void
drop_all(struct world *w)
{
	store_gc_end(w->gc);
	w->gc = NULL;
	for (uint32_t i = 0; i < SESSIONS; i++)
		store_lease_close(w->sessions[i].lease);
	for (uint32_t i = 0; i < READERS; i++)
		store_lease_close(w->readers[i].lease);
	memset(w->sessions, 0, sizeof(w->sessions));
	memset(w->readers, 0, sizeof(w->readers));
	for (uint32_t i = 0; i < READERS; i++)
		w->readers[i].point = -1;
	if (w->s != NULL)
		w->s->pause = NULL;
	store_close(w->s);
	w->s = NULL;
}

void
world_end(struct world *w)
{
	drop_all(w);
	if (w->ff != NULL)
		fs_fault_free(w->ff);
	free(w->p);
	codec_free(w->codec);
	buf_free(&w->data);
	buf_free(&w->meta);
	buf_free(&w->bad);
	buf_free(&w->bytes);
}

/* What was under way may have happened or not; what was answered has. */
static void
compare_points(struct world *w)
{
	for (uint32_t i = 0; i < w->n_points; i++) {
		struct point *pt = &w->points[i];
		int open = pt == w->committing || pt == w->pruning, is;

		/* A commit that came to nothing. */
		if (pt->sequence == 0)
			continue;
		is = store_point_get(
			 w->s, world_host(pt->host), pt->sequence, w->p, &w->err) == 0;
		err_clear(&w->err);
		if (!open && is != pt->live)
			world_wrong(w, "%s point %llu %s after a restart",
			    world_host(pt->host), (unsigned long long)pt->sequence,
			    is ? "is back" : "is lost");
		pt->live = is;
		if (pt == w->committing && !is)
			pt->sequence = 0;
	}
	w->committing = w->pruning = NULL;
}

void
world_restart(struct world *w, int power_cut)
{
	w->crashes += (uint64_t)(w->dead != 0);
	world_tell(w, "restart, %s, power cut %d", w->dead ? "died" : "clean", power_cut);
	drop_all(w);
	fs_fault_restart(w->ff, power_cut);
	w->dead = 0;
	if (open_store(w) != 0) {
		world_wrong(w, "cannot open: %s", w->err.text);
		return;
	}
	compare_points(w);
	if (w->quarantining)
		act_excuse(w);
	w->quarantining = 0;
	world_check(w, 1);
}

/* ------------------------------------------------------------------ checking -- */

struct seeker {
	const struct chunk_id *id;
	const struct store *s;
};

static int
seek_entry(void *arg, const struct pack_entry *e)
{
	const struct seeker *s = arg;

	if (chunk_id_cmp(&e->id, s->id) != 0)
		return 0;
	/* A copy that is bad itself comes back as nothing. */
	for (size_t i = 0; i < s->s->bad_count; i++)
		if (s->s->bad[i].loc.pack == e->loc.pack &&
		    s->s->bad[i].loc.offset == e->loc.offset)
			return 0;
	return 1;
}

int
world_excused(struct world *w, const struct chunk_id *id)
{
	struct seeker seeker = { id, w->s };
	int found = 0;

	for (uint32_t i = 0; i < w->n_lost; i++)
		if (chunk_id_cmp(&w->lost[i], id) == 0)
			return 1;
	/* Only a quarantine makes one of these matter. */
	for (const struct store_condemned *c = w->s->condemned;
	     !found && c != NULL && atomic_load(&w->s->quarantines) > 0; c = c->next) {
		struct err err = ERR_INIT;
		struct pack *p = NULL;

		if (pack_open(w->s->fs, c->no, w->s->of.store, &p, &err) == 0)
			found = pack_each_entry(p, seek_entry, &seeker, NULL, &err) == 1;
		pack_close(p);
	}
	return found;
}

static int
read_item(struct world *w, const struct item *it, const struct index_hit *hit)
{
	struct group_entry e;
	struct err err = ERR_INIT;
	uint8_t *plain;
	struct group g;
	struct pack *p = NULL;
	int same = 0;

	/* Not by the store's reader, which keeps what it read. */
	if (pack_open(w->s->fs, hit->loc.pack, w->s->of.store, &p, &err) != 0 ||
	    pack_read_group(p, &hit->loc, &it->id, 1, &w->bytes, &g, &err) != 0) {
		pack_close(p);
		return 0;
	}
	plain = malloc(g.plain_len);
	if (plain != NULL && group_decode(w->codec, &g, plain, &err) == 0) {
		group_entry(&g, hit->loc.place, &e);
		same =
		    e.len == it->len && memcmp(plain + e.offset, it->bytes, e.len) == 0;
	}
	free(plain);
	pack_close(p);
	return same;
}

/* All chunks of an image, or (known not NULL) those that a session was told of. */
static void
check_image(struct world *w, const struct image *im, const enum known *known, int deep,
    const char *whose)
{
	struct chunk_id ids[ITEMS_MAX];
	struct index_hit hits[ITEMS_MAX];

	for (uint32_t i = 0; i < im->n; i++)
		ids[i] = im->items[i].id;
	if (index_lookup(w->s->index, ids, im->n, hits, &w->err) != 0) {
		world_failed(w, "look-up");
		return;
	}
	for (uint32_t i = 0; i < im->n && w->wrong[0] == '\0'; i++) {
		const char *what = im->items[i].kind == CHUNK_META ? "node" : "chunk";

		if (known != NULL && known[i] != HAVE && known[i] != BASE)
			continue;
		if (hits[i].loc.pack == 0 && !world_excused(w, &ids[i]))
			world_wrong(w, "%s: %s %u is gone (known as %d)", whose, what, i,
			    known != NULL ? (int)known[i] : -1);
		else if (hits[i].loc.pack != 0 && deep &&
			 !read_item(w, &im->items[i], &hits[i]))
			world_wrong(w, "%s: %s %u cannot be read", whose, what, i);
	}
}

void
world_check(struct world *w, int deep)
{
	struct image im;
	char whose[64];

	for (uint32_t i = 0; i < w->n_points && !w->dead && w->wrong[0] == '\0'; i++) {
		const struct point *pt = &w->points[i];
		int pinned = 0;

		for (uint32_t k = 0; k < READERS; k++)
			pinned |= w->readers[k].point == (int)i && !w->readers[k].revoked;
		if (!pt->live && !pinned)
			continue;
		world_image(w, pt->spans, &im);
		(void)snprintf(whose, sizeof(whose), "%s %s point %llu",
		    pt->live ? "live" : "pinned", world_host(pt->host),
		    (unsigned long long)pt->sequence);
		check_image(w, &im, NULL, deep, whose);
	}
	for (uint32_t i = 0; i < SESSIONS && !w->dead && w->wrong[0] == '\0'; i++) {
		const struct session *se = &w->sessions[i];

		if (se->lease == NULL || !se->begun || se->revoked)
			continue;
		(void)snprintf(whose, sizeof(whose), "told to a session of %s",
		    world_host(se->host));
		check_image(w, &se->image, se->known, 0, whose);
	}
}

/* ------------------------------------------------------------------ the end -- */

/* Does any live point need this chunk? */
static int
is_needed(struct world *w, const struct chunk_id *id)
{
	struct image im;

	for (uint32_t i = 0; i < w->n_points; i++) {
		if (!w->points[i].live)
			continue;
		world_image(w, w->points[i].spans, &im);
		for (uint32_t k = 0; k < im.n; k++)
			if (chunk_id_cmp(&im.items[k].id, id) == 0)
				return 1;
	}
	return 0;
}

struct rest {
	struct world *w;
	uint32_t needed;
};

static int
count_needed(void *arg, const struct pack_entry *e)
{
	struct rest *r = arg;

	r->needed += (uint32_t)is_needed(r->w, &e->id);
	return 0;
}

static int
check_rest(void *arg, uint32_t no, int sealed)
{
	struct rest r = { arg, 0 };
	struct err err = ERR_INIT;
	struct pack *p = NULL;

	if (!sealed)
		return 0;
	if (pack_open(r.w->s->fs, no, r.w->s->of.store, &p, &err) == 0 &&
	    pack_each_entry(p, count_needed, &r, NULL, &err) == 0 && r.needed == 0)
		world_wrong(r.w, "pack %u stays and nobody needs it", no);
	pack_close(p);
	return 0;
}

void
world_drain(struct world *w)
{
	struct store_gc_config config = { .max_dead = 0.01, .lease_keep_us = 1 };
	struct store_gc_report report;

	fs_fault_arm(w->ff, 0, FS_FAULT_NONE);
	world_restart(w, 0);
	if (w->wrong[0] != '\0')
		return;
	w->s->pause = NULL;
	if (store_packs_seal(w->s->packs, &w->err) != 0) {
		world_failed(w, "seal");
		return;
	}
	/* With a node lost to quarantine no cycle may run. */
	if (store_gc(w->s, &config, NULL, NULL, &report, &w->err) != 0) {
		if (w->n_lost == 0)
			world_failed(w, "the last cycle");
		err_clear(&w->err);
		world_check(w, 1);
		return;
	}
	if (report.state != STORE_GC_DONE)
		world_wrong(w, "the last cycle waits though nobody holds anything");
	world_check(w, 1);
	if (w->n_lost == 0 && w->wrong[0] == '\0' &&
	    pack_list(w->s->fs, check_rest, w, &w->err) < 0)
		world_failed(w, "list");
	/* Once more from the disk alone. */
	if (w->wrong[0] == '\0')
		world_restart(w, 1);
}
