#include "storage/gc_cycle.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "storage/gc_mutant.h"
#include "storage/store_packs.h"

#define LEVEL 3

/* ------------------------------------------------------------------- choosing -- */

uint64_t
gc_cycle_dead(const struct store_gc *gc, const struct gc_pack *p)
{
	const struct gc_group *g = gc_marks_groups(gc->marks, p);
	uint64_t dead = 0;

	for (uint32_t i = 0; i < p->groups; i++) {
		uint64_t stored = g[i + 1].offset - g[i].offset;
		uint32_t n = g[i + 1].first - g[i].first;

		dead += stored * (n - gc_marks_count_group(gc->marks, p, i)) / n;
	}
	return dead;
}

/* Bytes that a copy would leave behind: mostly live groups are copied whole. */
static uint64_t
gain(const struct store_gc *gc, const struct gc_pack *p)
{
	const struct gc_group *g = gc_marks_groups(gc->marks, p);
	uint64_t saved = 0;

	for (uint32_t i = 0; i < p->groups; i++) {
		uint64_t stored = g[i + 1].offset - g[i].offset;
		uint32_t n = g[i + 1].first - g[i].first;
		uint32_t live = gc_marks_count_group(gc->marks, p, i);

		if (2 * live < n)
			saved += stored * (n - live) / n;
	}
	return saved;
}

int
gc_cycle_worth(const struct store_gc *gc, const struct gc_pack *p)
{
	if (!p->candidate || p->damaged || p->optional != 0 || p->stored == 0 ||
	    gc_marks_count(gc->marks, p) == 0)
		return 0;
	return (double)gain(gc, p) > gc->config.max_dead * (double)p->stored;
}

int
gc_cycle_pinned(struct store_gc *gc, uint32_t no)
{
	struct store *s = gc->s;
	int is = 0;

	if (!GC_HOLDS(GC_PINNED_STAYS))
		return 0;
	pthread_mutex_lock(&s->leases_lock);
	for (struct store_lease *l = s->leases; !is && l != NULL; l = l->next) {
		if (l->born >= gc->epoch)
			continue;
		pthread_mutex_lock(&l->pins_lock);
		is = pack_set_has(&l->pins, no);
		pthread_mutex_unlock(&l->pins_lock);
	}
	pthread_mutex_unlock(&s->leases_lock);
	return is;
}

/* ------------------------------------------------------------------- copying -- */

/* All packs that were read to their end are in packs of ours, if no builder has any. */
static void
settle(struct store_gc *gc)
{
	uint32_t n;
	struct gc_pack *p = gc_marks_packs(gc->marks, &n);

	for (int kind = CHUNK_DATA; kind <= CHUNK_META; kind++)
		if (gc->builders[kind] != NULL &&
		    group_builder_count(gc->builders[kind]) > 0)
			return;
	for (uint32_t i = 0; i < n && i < gc->pack_at; i++)
		if (p[i].rewritten == GC_COPYING)
			p[i].rewritten = GC_COPIED;
}

/* What is copied and not yet durable for sure counts as not copied. */
static void
give_up(struct store_gc *gc, int all)
{
	uint32_t n;
	struct gc_pack *p = gc_marks_packs(gc->marks, &n);

	for (uint32_t i = 0; i < n; i++)
		if (p[i].rewritten == GC_COPYING || all)
			p[i].rewritten = GC_NOT_COPIED;
}

static int
note_copy(struct store_gc *gc, uint32_t no, struct err *err)
{
	uint32_t *more;
	size_t cap;

	for (size_t i = 0; i < gc->n_copies; i++)
		if (gc->copies[i] == no)
			return 0;
	if (gc->n_copies == gc->copies_cap) {
		cap = gc->copies_cap == 0 ? 16 : 2 * gc->copies_cap;
		if ((more = realloc(gc->copies, cap * sizeof(*more))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory to rewrite packs");
		gc->copies = more;
		gc->copies_cap = cap;
	}
	gc->copies[gc->n_copies++] = no;
	return 0;
}

static int
put(struct store_gc *gc, const struct group *g, struct err *err)
{
	uint32_t no = 0;

	if (store_packs_put(gc->s->packs, gc->owner, g, &no, err) != 0 ||
	    note_copy(gc, no, err) != 0)
		return -1;
	gc->report.bytes_rewritten += g->len;
	return 0;
}

/* Store what a builder has collected. */
static int
flush(struct store_gc *gc, struct group_builder *b, struct err *err)
{
	struct group g;

	if (b == NULL || group_builder_count(b) == 0)
		return 0;
	if (group_builder_finish(b, gc->codec, LEVEL, &gc->encoded, err) != 0 ||
	    group_parse(gc->encoded.p, gc->encoded.len, &g, err) != 0)
		return -1;
	return put(gc, &g, err);
}

static struct group_builder *
builder_of(struct store_gc *gc, enum chunk_kind kind, struct err *err)
{
	if (gc->builders[kind] == NULL)
		gc->builders[kind] = group_builder_new(kind);
	if (gc->builders[kind] == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory for a group");
	return gc->builders[kind];
}

/* Take the live chunks out of a group that we understand, proven, as they lie. */
static int
collect(struct store_gc *gc, const struct gc_pack *p, uint32_t i, const struct group *g,
    struct err *err)
{
	struct group_builder *b = builder_of(gc, g->kind, err);
	struct group_entry e;
	uint32_t at = 0;

	if (gc->codec == NULL && (gc->codec = codec_new()) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a codec");
	free(gc->plain);
	if (b == NULL || (gc->plain = malloc(g->plain_len)) == NULL)
		return b == NULL ? -1 : err_set(err, ERR_NOMEM, "no memory for a group");
	if (group_decode(gc->codec, g, gc->plain, err) != 0 ||
	    group_prove(g, &gc->s->keys, gc->plain, err) != 0)
		return -1;
	for (uint32_t k = 0; k < g->count; k++, at += e.len) {
		const uint8_t *entry =
		    g->bytes + GROUP_HEADER_LEN + (size_t)k * GROUP_ENTRY_LEN;

		memcpy(e.id.b, entry, CHUNK_ID_LEN);
		e.len = load_le32(entry + CHUNK_ID_LEN);
		if (!gc_marks_is_live(gc->marks, p, i, k))
			continue;
		if (group_builder_full(b, e.len)) {
			if (flush(gc, b, err) != 0)
				return -1;
			settle(gc);
		}
		if (group_builder_add(b, &e.id, gc->plain + at, e.len, err) != 0)
			return -1;
	}
	return 0;
}

/* Copy group `i` of the pack that is open, or what lives of it. */
static int
copy_group(struct store_gc *gc, struct gc_pack *p, uint32_t i, struct err *err)
{
	uint32_t offset = gc_marks_groups(gc->marks, p)[i].offset;
	uint32_t live = gc_marks_count_group(gc->marks, p, i);
	struct err why = ERR_INIT;
	struct group g;
	int ret;

	if (live == 0)
		return 0;
	ret = pack_copy_group(gc->from, offset, &gc->group, &g, err);
	if (ret == 0) {
		gc->report.bytes_read += g.len;
		/* What has something that we do not know goes as it is, or stays. */
		if (2 * live < g.count && group_known(&g, &why) == 0 &&
		    group_plain(&g, &why) == 0 && g.cipher == GROUP_CLEAR)
			ret = collect(gc, p, i, &g, err);
		else
			ret = put(gc, &g, err);
	}
	if (ret != 0 && err->code == ERR_CORRUPT) {
		err_clear(&why);
		(void)store_quarantine(gc->s, p->no, offset, &why);
	}
	return ret;
}

/* Open the next pack that is worth it; 1, 0 if there is none, -1. */
static int
next_pack(struct store_gc *gc, struct err *err)
{
	uint32_t n;
	struct gc_pack *p = gc_marks_packs(gc->marks, &n);

	for (; gc->pack_at < n; gc->pack_at++) {
		struct gc_pack *it = &p[gc->pack_at];

		if (!gc_cycle_worth(gc, it) || gc_cycle_pinned(gc, it->no))
			continue;
		if (pack_open(gc->s->fs, it->no, gc->s->of.store, &gc->from, err) != 0)
			return -1;
		it->live_then = gc_marks_count(gc->marks, it);
		it->rewritten = GC_COPYING;
		gc->group_at = 0;
		return 1;
	}
	return 0;
}

/* All is copied: make it durable, and be sure that nothing of it was given up. */
static int
finish(struct store_gc *gc, struct err *err)
{
	int failed = 0;

	for (int kind = CHUNK_DATA; !failed && kind <= CHUNK_META; kind++)
		failed = flush(gc, gc->builders[kind], err) != 0;
	if (failed)
		return -1;
	settle(gc);
	if (GC_HOLDS(GC_COPIES_SYNCED) && store_packs_sync(gc->s->packs, err) != 0)
		return -1;
	if (store_packs_failures(gc->s->packs) != gc->failures)
		give_up(gc, 1);
	return 0;
}

/* No room for copies: what wholly died still goes, which makes some. */
static int
is_full(struct store_gc *gc, struct err *err)
{
	struct err why = ERR_INIT;

	if (err->code != ERR_NOSPACE)
		return -1;
	err_clear(err);
	gc->report.rewrite_full = 1;
	give_up(gc, 0);
	if (store_packs_sync(gc->s->packs, &why) != 0 ||
	    store_packs_failures(gc->s->packs) != gc->failures)
		give_up(gc, 1);
	gc_cycle_write_end(gc);
	return 1;
}

int
gc_cycle_write(struct store_gc *gc, struct err *err)
{
	uint32_t n;
	struct gc_pack *p = gc_marks_packs(gc->marks, &n);
	int ret;

	if (gc->owner == 0) {
		pthread_mutex_lock(&gc->s->leases_lock);
		gc->owner = gc->s->next_reader++;
		pthread_mutex_unlock(&gc->s->leases_lock);
		gc->failures = store_packs_failures(gc->s->packs);
	}
	if (gc->from == NULL) {
		if ((ret = next_pack(gc, err)) != 0)
			return ret < 0 ? -1 : 0;
		if (finish(gc, err) == 0)
			return 1;
		return is_full(gc, err);
	}
	/* Groups that are wholly dead cost nothing. */
	p += gc->pack_at;
	while (gc->group_at < p->groups &&
	       gc_marks_count_group(gc->marks, p, gc->group_at) == 0)
		gc->group_at++;
	if (gc->group_at < p->groups) {
		if (copy_group(gc, p, gc->group_at, err) != 0)
			return is_full(gc, err);
		gc->group_at++;
		return 0;
	}
	pack_close(gc->from);
	gc->from = NULL;
	gc->pack_at++;
	return 0;
}

void
gc_cycle_write_end(struct store_gc *gc)
{
	pack_close(gc->from);
	gc->from = NULL;
	for (int kind = CHUNK_DATA; kind <= CHUNK_META; kind++) {
		group_builder_free(gc->builders[kind]);
		gc->builders[kind] = NULL;
	}
	codec_free(gc->codec);
	gc->codec = NULL;
	free(gc->plain);
	gc->plain = NULL;
	buf_free(&gc->group);
	buf_free(&gc->encoded);
}
