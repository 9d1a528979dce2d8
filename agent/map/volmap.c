#include "agent/map/volmap.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/chunker.h"
#include "agent/map/metacache.h"
#include "agent/map/volmap_plan.h"
#include "agent/map/volmap_split.h"
#include "agent/map/volmap_walk.h"
#include "proto/base/err.h"

struct volmap {
	struct volmap_source source;
	struct volmap_plan plan;
	struct volmap_walk *walk;
	struct volmap_split split;
	uint64_t at; /* Of a disk: where its walk stands. */
	unsigned hole;
};

void
volmap_plan_note(struct volmap_plan *p, const char *why)
{
	if (p->note[0] == '\0')
		(void)snprintf(p->note, sizeof(p->note), "%s", why);
}

void
volmap_plan_doubt(struct volmap_plan *p, const char *why)
{
	p->whole = 1;
	volmap_plan_note(p, why);
}

void
volmap_plan_note_runs(struct volmap_plan *p)
{
	const char *what = p->runs.overflow ? "files are not told apart"
			   : p->runs.alone  ? "scattered files are cut in pieces"
			   : p->runs.blind  ? "scattered files are cut at offsets"
					    : NULL;
	char text[sizeof(p->note)];

	if (what == NULL)
		return;
	(void)snprintf(text, sizeof(text), "%s: %.100s", what, p->runs.why.text);
	volmap_plan_note(p, text);
}

void
volmap_plan_free(struct volmap_plan *p)
{
	volmap_runs_free(&p->runs);
	if (p->state_arg != NULL)
		p->state_free(p->state_arg);
	p->state_arg = NULL;
	p->state = NULL;
}

/* One stream of everything: no clusters at all. */
static void
plan_raw(struct volmap_plan *p)
{
	p->fs = "raw";
	p->base = 0;
	p->clusters = 0;
	p->cluster_size = 512;
	p->whole = 1;
}

static int
plan(struct volmap *m, unsigned flags, struct err *err)
{
	static int (*const parsers[])(const struct volmap_source *, unsigned,
	    struct volmap_plan *, struct err *) = { ntfs_plan, fat_plan };
	int got;

	for (size_t i = 0; i < 2 && (flags & VOLMAP_WHOLE) == 0 && !m->source.is_disk;
	     i++) {
		if ((got = parsers[i](&m->source, flags, &m->plan, err)) != 0)
			return got;
		assert(m->plan.state_arg == NULL && m->plan.runs.count == 0);
	}
	plan_raw(&m->plan);
	if (m->source.is_disk)
		m->plan.fs = "disk";
	return 0;
}

int
volmap_open(const struct volmap_source *source, const struct volmap_limits *limits,
    unsigned flags, struct volmap **out, struct err *err)
{
	static const struct volmap_limits usual = { VOLMAP_MEMORY, NULL };
	struct volmap *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	m->source = *source;
	if (source->metacache != NULL) {
		m->source.read = metacache_read;
		m->source.arg = source->metacache;
	}
	m->plan.limits = limits != NULL ? *limits : usual;
	m->plan.unkept = m->split.range = source->unkept;
	m->plan.unkept_count = m->split.count = source->unkept_count;
	if (plan(m, flags, err) == -1) {
		volmap_close(m);
		return -1;
	}
	if ((m->walk = volmap_walk_new(&m->plan, source->size)) == NULL) {
		volmap_close(m);
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	}
	*out = m;
	return 0;
}

/* What lies between the holes, and these. */
static int
disk_next(struct volmap *m, struct volmap_cut *out)
{
	const struct volmap_range *hole = m->source.holes + m->hole;
	int left = m->hole < m->source.holes_count;

	if (m->at == m->source.size)
		return 0;
	memset(out, 0, sizeof(*out));
	out->offset = m->at;
	if (left && hole->offset == m->at) {
		out->kind = VOLMAP_HOLE;
		out->len = hole->len;
		m->hole++;
	} else {
		out->kind = VOLMAP_STREAM;
		out->len = (left ? hole->offset : m->source.size) - m->at;
	}
	m->at += out->len;
	return 1;
}

static int
walk_next(void *arg, struct volmap_cut *out, struct err *err)
{
	struct volmap *m = arg;

	if (m->source.is_disk)
		return disk_next(m, out);
	return volmap_walk_next(m->walk, out, err);
}

int
volmap_next(struct volmap *m, struct volmap_cut *out, struct err *err)
{
	if (m->split.count == 0)
		return walk_next(m, out, err);
	return volmap_split_next(&m->split, walk_next, m, out, err);
}

uint32_t
volmap_ahead(enum volmap_kind kind, uint32_t len)
{
	/* At either end of it a chunk may begin or end short of its least. */
	return kind == VOLMAP_REGION ? len / CHUNKER_MIN + 2 : 1;
}

const char *
volmap_fs(const struct volmap *m)
{
	return m->plan.fs;
}

const char *
volmap_note(const struct volmap *m)
{
	return m->plan.note;
}

int
volmap_hibernated(const struct volmap *m)
{
	return m->plan.hibernated;
}

void
volmap_stats(const struct volmap *m, struct volmap_stats *out)
{
	const struct volmap_runs *r = &m->plan.runs;

	out->runs = r->count;
	out->spilled = volmap_runs_spilled(r);
	out->memory = sizeof(*m) + volmap_runs_memory(r) + volmap_walk_memory(m->walk);
}

void
volmap_close(struct volmap *m)
{
	if (m == NULL)
		return;
	volmap_walk_free(m->walk);
	volmap_plan_free(&m->plan);
	free(m);
}
