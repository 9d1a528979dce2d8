/*
 * What is left out of a backup: files whose content means nothing after a
 * restore.  Only where everything speaks for it: a wrong guess would be zeros in
 * somebody's file.
 */
#include "agent/ntfs.h"

#include <string.h>

#include "agent/volmap.h"
#include "agent/volmap_plan.h"
#include "agent/volmap_runs.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* VSS keeps a difference area in {of the snapshot}{of VSS}: 38 characters each. */
static const char vss_guid[] = "{3808876b-c176-4e48-b7ae-04046e6cc752}";
#define GUID_LEN 38

static int
is_difference_area(const uint8_t *name, size_t units)
{
	return units == 2 * GUID_LEN && load_le16(name) == '{' &&
	       load_le16(name + 2 * (GUID_LEN - 1)) == '}' &&
	       ntfs_name_is(name + 2 * GUID_LEN, GUID_LEN, vss_guid);
}

/*
 * Offset	Size	File name
 * 0		8	reference of the directory
 * 64		1	units of the name
 * 65		1	2: the short name of a file that has a long one too
 * 66		-	the name, UTF-16
 *
 * The one long name of a record; 0 if it has none or several, or if some of its
 * names are elsewhere.
 */
static int
only_name(
    const struct ntfs_record *r, uint64_t *parent, const uint8_t **name, size_t *units)
{
	struct ntfs_attr a;
	uint32_t at = r->attrs;
	unsigned all = 0, longs = 0;

	while (ntfs_attr_next(r, &at, &a) == 1) {
		if (a.type != NTFS_FILE_NAME || !a.resident || a.value_len < 66 ||
		    66 + 2u * a.value[64] > a.value_len)
			continue;
		all++;
		if (a.value[65] == 2)
			continue;
		longs++;
		*parent = ntfs_ref(load_le64(a.value));
		*name = a.value + 66;
		*units = a.value[64];
	}
	return longs == 1 && all >= r->links;
}

void
ntfs_candidate_look(struct ntfs_scan *s, uint32_t n, const struct ntfs_record *r)
{
	struct ntfs_candidate c = { .record = n };
	const uint8_t *name = NULL;
	uint64_t parent = 0;
	size_t units = 0;

	if (!only_name(r, &parent, &name, &units) || parent > UINT32_MAX)
		return;
	c.parent = (uint32_t)parent;
	if (parent == NTFS_ROOT) {
		if (ntfs_name_is(name, units, "system volume information"))
			s->restore_dir = n;
		c.hibernation = ntfs_name_is(name, units, "hiberfil.sys");
		if (!c.hibernation && !ntfs_name_is(name, units, "pagefile.sys") &&
		    !ntfs_name_is(name, units, "swapfile.sys"))
			return;
	} else if (!is_difference_area(name, units)) {
		return;
	}
	if (s->count < NTFS_CANDIDATES_MAX)
		s->candidate[s->count++] = c;
}

/* 1: hiberfil.sys holds a system that sleeps; 0: not; -1. */
static int
sleeps(const struct ntfs *v, const struct volmap_runs *runs, uint32_t record,
    struct err *err)
{
	uint8_t magic[4];
	uint32_t i = volmap_runs_find(runs, record);

	for (; i < runs->count && runs->run[i].owner == record; i++) {
		if (runs->run[i].vcn != 0 || (runs->run[i].flags & VOLMAP_RUN_FILE) == 0)
			continue;
		if (v->src->read(v->src->arg,
			(uint64_t)runs->run[i].lcn * v->boot.cluster_size, magic,
			sizeof(magic), err) == -1)
			return -1;
		return memcmp(magic, "hibr", 4) == 0 || memcmp(magic, "HIBR", 4) == 0;
	}
	return 0;
}

/* Are all clusters of the run set in the bitmap? */
static int
all_set(const struct volmap_plan *plan, const struct volmap_run *run, struct err *err)
{
	uint32_t at = run->lcn, end = run->lcn + run->len, count;
	int set = 1;

	for (; set == 1 && at < end; at += count) {
		count = end - at;
		set = plan->state(plan->state_arg, at, &count, err);
	}
	return set;
}

/* Leave the content of `record` out if all of it is its own and allocated. */
static int
leave_out(struct volmap_plan *plan, uint32_t record, struct err *err)
{
	struct volmap_runs *runs = &plan->runs;
	struct volmap_run *run, *first = NULL;
	uint32_t begin = volmap_runs_find(runs, record), i;
	int set;

	for (i = begin; i < runs->count && runs->run[i].owner == record; i++) {
		run = &runs->run[i];
		if ((run->flags & VOLMAP_RUN_FILE) == 0)
			continue;
		if (first == NULL)
			first = run;
		if ((run->flags & VOLMAP_RUN_CLASH) != 0 || !volmap_runs_same(first, run))
			return 0;
		if ((set = all_set(plan, run, err)) != 1)
			return set;
	}
	for (i = begin; i < runs->count && runs->run[i].owner == record; i++)
		if ((runs->run[i].flags & VOLMAP_RUN_FILE) != 0)
			runs->run[i].flags |= VOLMAP_RUN_EXCLUDED;
	return 0;
}

int
ntfs_exclude(const struct ntfs *v, struct volmap_plan *plan, const struct ntfs_scan *s,
    int keep_all, struct err *err)
{
	const struct ntfs_candidate *c;
	uint32_t asleep = 0;
	int got;

	for (c = s->candidate; c < s->candidate + s->count; c++) {
		if (!c->hibernation)
			continue;
		if ((got = sleeps(v, &plan->runs, c->record, err)) == -1)
			return -1;
		if (got == 1)
			asleep = c->record;
	}
	if (asleep != 0) {
		plan->hibernated = 1;
		if (!v->src->flushed)
			volmap_plan_doubt(plan, "the system hibernates: all clusters are "
						"kept, but not its memory");
	}
	if (keep_all || s->damaged > 0 || plan->state == NULL)
		return 0;
	for (c = s->candidate; c < s->candidate + s->count; c++) {
		if (c->parent != NTFS_ROOT &&
		    (s->restore_dir == 0 || c->parent != s->restore_dir))
			continue;
		/* In doubt only what would wake old memory over a restored disk. */
		if (plan->whole && c->record != asleep)
			continue;
		if (leave_out(plan, c->record, err) == -1)
			return -1;
	}
	return 0;
}
