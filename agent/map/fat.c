#include "agent/map/fat.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/changes.h"
#include "agent/map/volmap.h"
#include "agent/map/volmap_plan.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* Bytes of the table held at a time, a multiple of 4; a FAT12 fits whole. */
#define WINDOW 65536u

/* Beyond this no chains are followed: one bit a cluster is 8 MiB. */
#define CHAIN_CLUSTERS_MAX (64u << 20)

/* What machines are started from is not larger; nobody here knows where its files lie. */
#define LOADERS_MAX (UINT64_C(1) << 30)

/* Windows read to follow chains, for each window there is; honest chains need 1 or 2. */
#define THRASH_MAX 64u

struct fat {
	const struct volmap_source *src;
	struct fat_boot boot;
	uint64_t at;	/* Byte of the table where the window begins. */
	uint32_t len;	/* Bytes in the window; 0: nothing read yet. */
	uint64_t loads; /* Windows read, and how many may be. */
	uint64_t loads_max;
	uint8_t *linked; /* While chains are made: bit n: some entry names cluster n. */
	uint8_t window[WINDOW];
};

enum link { FREE, NEXT, LAST, BAD, WILD };

static void
fat_free(void *arg)
{
	struct fat *f = arg;

	free(f->linked);
	free(f);
}

static int
load(struct fat *f, uint64_t at, struct err *err)
{
	uint64_t left = f->boot.table_size - at;

	f->len = 0;
	if (f->src->read(f->src->arg, f->boot.table_at + at, f->window,
		left < WINDOW ? (size_t)left : WINDOW, err) == -1)
		return -1;
	f->at = at;
	f->len = left < WINDOW ? (uint32_t)left : WINDOW;
	f->loads++;
	return 0;
}

/* The raw entry `n` (cluster number n, from 0). */
static int
entry(struct fat *f, uint32_t n, uint32_t *out, struct err *err)
{
	uint64_t byte = f->boot.bits == 12 ? n + n / 2 : (uint64_t)n * (f->boot.bits / 8);
	const uint8_t *p;

	if ((f->len == 0 || byte / WINDOW * WINDOW != f->at) &&
	    load(f, byte / WINDOW * WINDOW, err) == -1)
		return -1;
	p = f->window + (byte - f->at);
	if (f->boot.bits == 12)
		*out = n % 2 != 0 ? load_le16(p) >> 4 : load_le16(p) & 0xfffu;
	else
		*out = f->boot.bits == 16 ? load_le16(p) : load_le32(p) & 0x0fffffffu;
	return 0;
}

/* What entry `n` says; NEXT gives the cluster number that follows. */
static int
follow(struct fat *f, uint32_t n, enum link *link, uint32_t *next, struct err *err)
{
	uint32_t last = f->boot.bits == 12   ? 0xff8
			: f->boot.bits == 16 ? 0xfff8
					     : 0x0ffffff8;

	if (entry(f, n, next, err) == -1)
		return -1;
	if (*next == 0)
		*link = FREE;
	else if (*next >= last)
		*link = LAST;
	else if (*next == last - 1)
		*link = BAD;
	else
		*link = *next >= 2 && *next - 2 < f->boot.clusters ? NEXT : WILD;
	return 0;
}

/* volmap_plan's state(): cluster `first` of the data area has entry first + 2. */
static int
fat_state(void *arg, uint32_t first, uint32_t *count, struct err *err)
{
	struct fat *f = arg;
	uint32_t value, n;
	int used;

	if (entry(f, first + 2, &value, err) == -1)
		return -1;
	used = value != 0;
	/* At most a window at a time, so that one call stays short. */
	for (n = 1; n < *count && n < WINDOW; n++) {
		if (entry(f, first + n + 2, &value, err) == -1)
			return -1;
		if ((value != 0) != used)
			break;
	}
	*count = n;
	return used;
}

/* Do all copies of the table agree?  1 yes, 0 no, -1. */
static int
copies_agree(struct fat *f, struct err *err)
{
	uint8_t *other = malloc(WINDOW);
	uint64_t at = 0, place;
	int same = 1;

	if (other == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the allocation table");
	for (; same == 1 && f->boot.tables > 1 && at < f->boot.table_size; at += f->len) {
		if (load(f, at, err) == -1)
			same = -1;
		for (uint32_t i = 1; same == 1 && i < f->boot.tables; i++) {
			place = f->boot.table_at + i * f->boot.table_size + at;
			if (f->src->read(f->src->arg, place, other, f->len, err) == -1)
				same = -1;
			else if (memcmp(other, f->window, f->len) != 0)
				same = 0;
		}
	}
	free(other);
	return same;
}

/* Entry 1 keeps two bits: left clean, and no hard error; a FAT12 has none. */
static int
says_clean(struct fat *f, struct err *err)
{
	uint32_t value, need;

	if (f->boot.bits == 12)
		return !f->boot.dirty;
	if (entry(f, 1, &value, err) == -1)
		return -1;
	need = f->boot.bits == 16 ? 0xc000 : 0x0c000000;
	return !f->boot.dirty && (value & need) == need;
}

/* ------------------------------------------------------------------- chains -- */

/* Mark every cluster that another names: 1; 0 if the table makes no sense; -1. */
static int
find_links(struct fat *f, uint32_t *used, struct err *err)
{
	uint32_t next;
	enum link link;

	*used = 0;
	for (uint32_t n = 2; n < f->boot.clusters + 2; n++) {
		if (follow(f, n, &link, &next, err) == -1)
			return -1;
		if (link == WILD)
			return 0;
		*used += link == NEXT || link == LAST;
		if (link != NEXT)
			continue;
		if ((f->linked[next / 8] >> next % 8 & 1) != 0)
			return 0;
		f->linked[next / 8] |= (uint8_t)(1u << next % 8);
	}
	/* What is named must be used, also where chains are not followed to the end. */
	for (uint32_t n = 2; n < f->boot.clusters + 2; n++) {
		if ((f->linked[n / 8] >> n % 8 & 1) == 0)
			continue;
		if (follow(f, n, &link, &next, err) == -1)
			return -1;
		if (link != NEXT && link != LAST)
			return 0;
	}
	return 1;
}

/* The chain that begins at cluster `n` becomes a file: 1, 0, -1. */
static int
add_chain(
    struct fat *f, struct volmap_runs *runs, uint32_t n, uint32_t *seen, struct err *err)
{
	struct volmap_run run = { .owner = n, .len = 1, .flags = VOLMAP_RUN_FILE };
	enum link link = NEXT;
	uint32_t next = n;

	for (; link == NEXT; run.vcn++) {
		n = next;
		if (follow(f, n, &link, &next, err) == -1)
			return -1;
		if (link != NEXT && link != LAST)
			return 0;
		run.lcn = n - 2;
		if (f->loads > f->loads_max)
			volmap_runs_drop(runs, NULL);
		if (volmap_runs_add(runs, &run, err) == -1)
			return -1;
		if (runs->overflow)
			return 1;
		++*seen;
	}
	return 1;
}

/*
 * Every cluster has at most one predecessor (find_links), so a chain from one
 * that has none ends, and meets no other; what no chain reaches is a ring.
 */
static int
add_chains(struct fat *f, struct volmap_runs *runs, struct err *err)
{
	uint32_t used, seen = 0, next;
	enum link link;
	int got;

	if ((got = find_links(f, &used, err)) != 1)
		return got;
	f->loads = 0;
	f->loads_max = (f->boot.table_size / WINDOW + 1) * THRASH_MAX;
	for (uint32_t n = 2; n < f->boot.clusters + 2; n++) {
		if ((f->linked[n / 8] >> n % 8 & 1) != 0)
			continue;
		if (follow(f, n, &link, &next, err) == -1)
			return -1;
		if (link != NEXT && link != LAST)
			continue;
		if ((got = add_chain(f, runs, n, &seen, err)) != 1 || runs->overflow)
			return got;
	}
	return seen == used;
}

static int
make_chains(struct fat *f, struct volmap_plan *p, struct err *err)
{
	uint64_t clashes;
	int got;

	if (f->boot.clusters > CHAIN_CLUSTERS_MAX) {
		volmap_plan_note(
		    p, "more clusters than fit the map: files are not told apart");
		return 0;
	}
	if ((f->linked = calloc(1, f->boot.clusters / 8 + 2)) == NULL)
		return err_set(
		    err, ERR_NOMEM, "no memory for the chains of a FAT volume");
	got = add_chains(f, &p->runs, err);
	free(f->linked);
	f->linked = NULL;
	if (got == -1)
		return -1;
	if (got == 0)
		volmap_plan_doubt(
		    p, "the allocation table makes no sense: all clusters are kept");
	if (got == 0)
		volmap_runs_free(&p->runs);
	if (volmap_runs_sort(&p->runs, NULL, NULL, &clashes, err) == -1 ||
	    volmap_runs_join(&p->runs, err) == -1)
		return -1;
	volmap_plan_note_runs(p);
	return 0;
}

static int
judge(struct fat *f, struct volmap_plan *p, struct err *err)
{
	int good;

	if ((good = copies_agree(f, err)) == -1)
		return -1;
	if (!good)
		volmap_plan_doubt(
		    p, "the allocation tables differ: all clusters are kept");
	if ((good = says_clean(f, err)) == -1)
		return -1;
	if (!good && !f->src->flushed)
		volmap_plan_doubt(
		    p, "the volume was not left clean: all clusters are kept");
	return 0;
}

int
fat_plan(const struct volmap_source *src, unsigned flags, struct volmap_plan *p,
    struct err *err)
{
	uint8_t sector[512];
	struct fat_boot boot;
	struct fat *f;

	if (src->size < sizeof(sector))
		return 0;
	if (src->read(src->arg, 0, sector, sizeof(sector), err) == -1)
		return -1;
	if (!fat_boot_parse(sector, src->size, &boot))
		return 0;
	if ((f = calloc(1, sizeof(*f))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	if (src->unheard != NULL && src->size <= LOADERS_MAX)
		changes_add(src->unheard, 0, src->size);
	f->src = src;
	f->boot = boot;
	p->fs = boot.bits == 12 ? "fat12" : boot.bits == 16 ? "fat16" : "fat32";
	p->base = boot.data_at;
	p->clusters = boot.clusters;
	p->cluster_size = boot.cluster_size;
	p->state = fat_state;
	p->state_arg = f;
	p->state_free = fat_free;
	volmap_runs_init(&p->runs, boot.clusters, boot.cluster_size, &p->limits);
	p->runs.source = (flags & VOLMAP_PLAIN) == 0 ? src : NULL;
	p->runs.base = p->base;
	return judge(f, p, err) == -1 || make_chains(f, p, err) == -1 ? -1 : 1;
}
