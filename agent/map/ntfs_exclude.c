/*
 * What is left out of a backup: files whose content means nothing after a
 * restore.  Only where everything speaks for it: a wrong guess would be zeros in
 * somebody's file.
 */
#include "agent/map/ntfs.h"

#include <string.h>

#include "agent/map/changes.h"
#include "agent/map/metacache.h"
#include "agent/map/volmap.h"
#include "agent/map/volmap_plan.h"
#include "agent/map/volmap_runs.h"
#include "agent/map/volmap_split.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"

/* What hiberfil.sys begins with is one page. */
#define PAGE 4096u

static enum ntfs_kind
kind_of(uint64_t parent, const uint8_t *name, size_t units)
{
	if (parent != NTFS_ROOT)
		return ntfs_name_of_vss(name, units) == 2 ? NTFS_AREA : NTFS_PLAIN;
	if (ntfs_name_is(name, units, "hiberfil.sys"))
		return NTFS_MEMORY;
	if (ntfs_name_is(name, units, "pagefile.sys"))
		return NTFS_PAGE;
	return ntfs_name_is(name, units, "swapfile.sys") ? NTFS_SWAP : NTFS_PLAIN;
}

/*
 * Offset	Size	File name
 * 0		8	reference of the directory
 * 64		1	units of the name
 * 65		1	2: the short name of a file that has a long one too
 * 66		-	the name, UTF-16
 *
 * What the names in a record say; 1 if the one long name is that of
 * \System Volume Information.
 */
static int
look_at_names(const struct ntfs_record *r, struct ntfs_candidate *c)
{
	struct ntfs_attr a;
	uint32_t at = r->attrs;
	unsigned longs = 0, is_dir = 0;
	enum ntfs_kind kind;
	uint64_t parent;

	while (ntfs_attr_next(r, &at, &a) == 1) {
		if (a.type != NTFS_FILE_NAME || !a.resident || a.value_len < 66 ||
		    66 + 2u * a.value[64] > a.value_len)
			continue;
		c->names++;
		if (a.value[65] == 2)
			continue;
		longs++;
		parent = ntfs_ref(load_le64(a.value));
		is_dir = parent == NTFS_ROOT && ntfs_name_is(a.value + 66, a.value[64],
						    "system volume information");
		kind = kind_of(parent, a.value + 66, a.value[64]);
		if (kind > c->kind && parent <= UINT32_MAX) {
			c->kind = kind;
			c->parent = (uint32_t)parent;
		}
	}
	if (longs != 1 || (!c->names_away && c->names < r->links))
		c->names = 0;
	return is_dir && c->names > 0;
}

void
ntfs_candidate_look(struct ntfs_scan *s, uint32_t n, const struct ntfs_record *r)
{
	struct ntfs_candidate c = { .record = r->is_extension ? (uint32_t)r->base : n,
		.names_away = r->is_extension != 0 };
	uint32_t at;

	if (look_at_names(r, &c) && !r->is_extension)
		s->restore_dir = n;
	if (c.kind == NTFS_PLAIN || (c.kind == NTFS_AREA && c.names == 0))
		return;
	s->in_root[c.kind]++;
	if (s->count == NTFS_CANDIDATES_MAX && c.kind != NTFS_MEMORY)
		return;
	s->count -= s->count == NTFS_CANDIDATES_MAX;
	for (at = s->count; at > 0 && s->candidate[at - 1].record > c.record; at--)
		continue;
	memmove(&s->candidate[at + 1], &s->candidate[at],
	    (s->count - at) * sizeof(s->candidate[0]));
	s->candidate[at] = c;
	s->count++;
}

/*
 * Does the first page speak of a system that sleeps, or (`wake`, `rstr`) of one
 * that may still be resumed?  The latter stay behind after a good resume, too, so
 * a system that is awake to flush its volumes overrules them.
 */
static int
is_asleep(const uint8_t *magic, int awake)
{
	static const char *const words[] = { "hibr", "HIBR", "wake", "WAKE", "rstr",
		"RSTR" };

	for (size_t i = 0; i < (awake ? 2 : 6); i++)
		if (memcmp(magic, words[i], 4) == 0)
			return 1;
	return 0;
}

/* Was what the content begins with not kept? */
static int
is_unkept(const struct ntfs *v, const struct ntfs_stream *content)
{
	return content->count > 0 &&
	       volmap_split_touches(v->src->unkept, v->src->unkept_count,
		   (uint64_t)content->run[0].lcn * v->boot.cluster_size, PAGE);
}

/*
 * What the content begins with.  It is written around every filter, so no list of changes
 * tells of it: what is kept of the volume's tables must not have it.
 */
static int
read_magic(const struct ntfs *v, const struct ntfs_stream *content, uint8_t magic[4],
    struct err *err)
{
	struct volmap_source src = *v->src;
	struct ntfs past = *v;

	if (src.metacache != NULL) {
		src.read = metacache_read_past;
		src.arg = src.metacache;
	}
	past.src = &src;
	return ntfs_stream_read(&past, content, 0, magic, 4, err);
}

/*
 * 1: hiberfil.sys holds a system that sleeps, or cannot be looked at; 0: not; -1.  Less
 * than a page of it lies on volumes of a sleeping system that are not the one it
 * sleeps on.
 */
static int
sleeps(const struct ntfs *v, const struct ntfs_candidate *c, struct err *err)
{
	uint8_t magic[4];
	struct ntfs_stream content;
	/* Who flushed it for us does not sleep. */
	int awake = v->src->flushed || v->src->written != NULL;
	int got = ntfs_stream_open(v, c->record, NTFS_DATA, &content, err);

	if (got == 1 && (content.size < PAGE || is_unkept(v, &content)))
		got = 0;
	if (got == 1)
		got = read_magic(v, &content, magic, err);
	ntfs_stream_free(&content);
	if (got != 1)
		return got == -1 ? -1 : !awake;
	return is_asleep(magic, awake);
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

/*
 * Do the file's own records tell of exactly these clusters, and are all its names
 * known?  Else an extension record that it does not list has a hand in it.
 */
static int
is_told(const struct ntfs *v, const struct ntfs_candidate *c, uint64_t clusters,
    struct err *err)
{
	uint8_t buf[NTFS_RECORD_MAX];
	struct ntfs_record r;
	struct ntfs_stream content;
	int got = ntfs_record_read(v, c->record, buf, &r, err);

	if (got != 1 || (c->names_away && r.links > c->names))
		return got == -1 ? -1 : 0;
	if ((got = ntfs_stream_open(v, c->record, NTFS_DATA, &content, err)) != 1)
		return got;
	got = content.next_vcn == clusters;
	ntfs_stream_free(&content);
	return got;
}

/* Which is the first candidate of this record?  s->count: there is none. */
static uint32_t
find(const struct ntfs_scan *s, uint32_t record)
{
	uint32_t low = 0, high = s->count, middle;

	while (low < high) {
		middle = low + (high - low) / 2;
		if (s->candidate[middle].record < record)
			low = middle + 1;
		else
			high = middle;
	}
	return low < s->count && s->candidate[low].record == record ? low : s->count;
}

int
ntfs_candidate_run(struct ntfs_scan *s, const struct volmap_plan *plan,
    const struct volmap_run *run, struct err *err)
{
	struct ntfs_candidate *c;
	uint32_t at;
	int set = 1;

	if ((run->flags & VOLMAP_RUN_FILE) == 0 || (at = find(s, run->owner)) == s->count)
		return 0;
	c = &s->candidate[at];
	if (c->clusters == 0)
		c->stream = run->stream;
	c->clusters += run->len;
	if ((run->flags & VOLMAP_RUN_CLASH) != 0 || run->stream != c->stream)
		c->shared = 1;
	/* What clashes is not looked up: runs of lies may all be long. */
	if (!c->shared && plan->written != NULL)
		c->written |= (uint8_t)changes_touch(plan->written,
		    (uint64_t)run->lcn * plan->cluster_size,
		    (uint64_t)run->len * plan->cluster_size);
	if (!c->shared && plan->state != NULL && (set = all_set(plan, run, err)) == -1)
		return -1;
	c->shared |= !set;
	return 0;
}

/*
 * In doubt only what would wake old memory over a restored disk is left out.  A log that is
 * not clean may have given the clusters to another file; but what volsnap writes itself
 * nobody hears of, so an area that was written to is somebody else's by now, and one that
 * was not is not.
 */
static int
may_go(const struct volmap_plan *plan, const struct ntfs_candidate *c,
    const struct ntfs_candidate *first, uint32_t asleep)
{
	if (c->names == 0)
		return 0;
	if (c->record == asleep)
		return 1;
	return !plan->whole &&
	       (plan->written == NULL || (c->kind == NTFS_AREA && !first->written));
}

/* Leave the content of a file out if all of it is its own and allocated. */
static int
leave_out(const struct ntfs *v, struct volmap_plan *plan, const struct ntfs_candidate *c,
    const struct ntfs_candidate *first, struct err *err)
{
	static const uint8_t reason[] = { [NTFS_PLAIN] = EXTENT_OTHER,
		[NTFS_AREA] = EXTENT_SHADOW,
		[NTFS_PAGE] = EXTENT_PAGEFILE,
		[NTFS_SWAP] = EXTENT_SWAPFILE,
		[NTFS_MEMORY] = EXTENT_HIBERFIL };
	int good;

	if (first->clusters == 0 || first->shared)
		return 0;
	if ((good = is_told(v, c, first->clusters, err)) != 1)
		return good;
	return volmap_runs_leave_out(&plan->runs, c->record, reason[c->kind], err);
}

int
ntfs_exclude(const struct ntfs *v, struct volmap_plan *plan, const struct ntfs_scan *s,
    int keep_all, struct err *err)
{
	const struct ntfs_candidate *c, *first;
	uint32_t asleep = 0;
	int got;

	for (c = s->candidate; c < s->candidate + s->count; c++) {
		if (c->kind != NTFS_MEMORY)
			continue;
		if ((got = sleeps(v, c, err)) == -1)
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
		if (c->kind == NTFS_AREA
			? s->restore_dir == 0 || c->parent != s->restore_dir
			: s->in_root[c->kind] != 1)
			continue;
		first = &s->candidate[find(s, c->record)];
		if (may_go(plan, c, first, asleep) &&
		    leave_out(v, plan, c, first, err) == -1)
			return -1;
	}
	return 0;
}
