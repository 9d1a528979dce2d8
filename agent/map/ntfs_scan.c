#include "agent/map/ntfs.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/ntfs_compare.h"
#include "agent/map/volmap_plan.h"
#include "agent/map/volmap_runs.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* Bytes of MFT read at a time; a whole number of records of any size. */
#define PIECE (256u * 1024)

/*
 * Whose run is it?  A stream that lies whole in the base record is known by its
 * place there, the main content by its record.  Of others there may be more than
 * `stream` can tell apart: they get an owner of their own, hashed above all record
 * numbers.  Should two be equal all the same, they clash and are streamed.
 */
static void
set_owner(struct volmap_run *run, uint32_t base, const struct ntfs_attr *a,
    int whole_in_base, unsigned place)
{
	uint64_t h = ((uint64_t)base << 32 | a->type) * 0x9e3779b97f4a7c15u;

	run->owner = base;
	run->stream = whole_in_base ? (uint8_t)(place & 0x7f) : 0x80;
	if (whole_in_base || (a->type == NTFS_DATA && a->name_len == 0))
		return;
	for (size_t i = 0; i < 2u * a->name_len; i++)
		h = (h ^ h >> 29 ^ a->name[i]) * 0x9e3779b97f4a7c15u;
	run->owner = 0x80000000u | (uint32_t)(h >> 33);
	run->stream = (uint8_t)(0x80 | (h >> 20 & 0x7f));
}

/* Add clusters of a stream whose valid data ends at byte `valid` of it. */
static int
add_run(struct volmap_runs *runs, struct volmap_run run, uint64_t valid, struct err *err)
{
	uint64_t size = runs->cluster_size, start = run.vcn * size;
	uint64_t end = start + run.len * size, unit = volmap_runs_unit(runs), rest;
	struct volmap_run tail = run;

	tail.flags |= VOLMAP_RUN_TAIL;
	if (valid <= start)
		return volmap_runs_add(runs, &tail, err);
	if (valid < end) {
		run.len = (uint32_t)((valid - start - 1) / size + 1);
		rest = (valid - start) - (run.len - 1) * size;
		run.valid = (uint16_t)((rest + unit - 1) / unit % (size / unit));
		tail.lcn += run.len;
		tail.vcn += run.len;
		tail.len -= run.len;
	} else {
		tail.len = 0;
	}
	if (volmap_runs_add(runs, &run, err) == -1)
		return -1;
	return tail.len > 0 ? volmap_runs_add(runs, &tail, err) : 0;
}

/* The runs of one attribute: 1, 0 if they make no sense, -1. */
static int
add_attr(const struct ntfs *v, struct volmap_plan *plan, uint32_t owner, int in_base,
    unsigned place, const struct ntfs_attr *a, struct err *err)
{
	struct volmap_run run = { 0 };
	struct ntfs_runs it;
	struct ntfs_run got;
	uint64_t valid = UINT64_MAX;
	int whole, more;

	whole = a->lowest == 0 && a->highest + 1 == a->allocated / v->boot.cluster_size;
	/* Of a compressed stream, bytes on the disk are not bytes of the file. */
	if (whole && (a->flags & 0xff) == 0)
		valid = a->valid < a->size ? a->valid : a->size;
	set_owner(&run, owner, a, whole && in_base, place);
	if (a->type == NTFS_DATA && a->name_len == 0 && a->flags == 0 &&
	    owner >= NTFS_FIRST_OTHER)
		run.flags = VOLMAP_RUN_FILE;
	ntfs_runs_begin(&it, a, v->boot.clusters);
	while ((more = ntfs_runs_next(&it, &got)) == 1) {
		if (got.lcn == -1)
			continue;
		if (got.vcn + got.len >= UINT32_MAX)
			return 0;
		run.lcn = (uint32_t)got.lcn;
		run.len = (uint32_t)got.len;
		run.vcn = (uint32_t)got.vcn;
		if (add_run(&plan->runs, run, valid, err) == -1)
			return -1;
	}
	return more == 0;
}

/* Everything an in-use record owns. */
static int
add_record(const struct ntfs *v, struct volmap_plan *plan, struct ntfs_scan *s,
    uint32_t n, const struct ntfs_record *r, struct err *err)
{
	uint32_t at = r->attrs, owner = r->is_extension ? (uint32_t)r->base : n;
	struct ntfs_attr a;
	unsigned place = 0;
	int more, good;

	for (; (more = ntfs_attr_next(r, &at, &a)) == 1; place++) {
		if (a.resident)
			continue;
		/* "All bad clusters": claims the whole volume, and owns nothing. */
		if (owner == NTFS_BADCLUS && ntfs_name_is(a.name, a.name_len, "$bad"))
			continue;
		if ((good = add_attr(v, plan, owner, !r->is_extension, place, &a, err)) ==
		    -1)
			return -1;
		s->damaged += good == 0;
	}
	s->damaged += more == -1;
	return 0;
}

static int
look_at_record(const struct ntfs *v, struct volmap_plan *plan, struct ntfs_scan *s,
    uint32_t n, uint8_t *p, struct err *err)
{
	struct ntfs_compare *compare = v->src->compare;
	struct ntfs_record r;

	if (compare != NULL)
		ntfs_compare_raw(compare, p, v->boot.record_size);
	if (load_le32(p) == 0)
		return 0; /* Never used. */
	if (memcmp(p, "FILE", 4) == 0 && (load_le16(p + 22) & 1) == 0)
		return 0; /* Deleted. */
	if (memcmp(p, "FILE", 4) != 0 || !ntfs_fixup(p, v->boot.record_size) ||
	    !ntfs_record_parse(p, v->boot.record_size, &r) || r.base > UINT32_MAX) {
		s->damaged++;
		return 0;
	}
	if (compare != NULL)
		ntfs_compare_record(compare, v, n, &r);
	ntfs_candidate_look(s, n, &r);
	if (v->src->unheard != NULL && ntfs_unheard(v, s, n, &r, err) == -1)
		return -1;
	return add_record(v, plan, s, n, &r, err);
}

int
ntfs_scan(const struct ntfs *v, struct volmap_plan *plan, struct ntfs_scan *out,
    struct err *err)
{
	uint32_t size = v->boot.record_size, n = 0, some;
	uint8_t *p = malloc(PIECE);
	int got = 1;

	memset(out, 0, sizeof(*out));
	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the MFT");
	if (v->src->compare != NULL && ntfs_compare_begin(v->src->compare, v, err) != 0)
		got = -1;
	for (; got == 1 && n < v->records; n += some) {
		some = v->records - n < PIECE / size ? v->records - n : PIECE / size;
		got = ntfs_stream_read(
		    v, &v->mft, (uint64_t)n * size, p, (size_t)some * size, err);
		if (got == 0) {
			out->damaged++;
			break;
		}
		for (uint32_t i = 0; got == 1 && i < some; i++)
			if (look_at_record(
				v, plan, out, n + i, p + (size_t)i * size, err) == -1)
				got = -1;
	}
	free(p);
	if (got != -1 && v->src->compare != NULL)
		ntfs_compare_end(v->src->compare, out->damaged > 0);
	return got == -1 ? -1 : 0;
}
