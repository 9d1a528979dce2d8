#include "agent/map/volmap_marks.h"

#include "agent/map/sorter.h"
#include "proto/base/bytes.h"

/*
 * Offset along files	along the volume
 * 0	4	owner	lcn
 * 4	1	stream	len (4)
 * 5	4	vcn	-
 * 8	4	-	owner
 * 9	4	lcn	-
 * 12	1	-	stream
 * 13	4	len	vcn
 * 17	1	flags	flags
 * 18	2	valid	valid
 */
void
volmap_marks_store(enum volmap_order order, const struct volmap_run *run, uint8_t *out)
{
	if (order == VOLMAP_ALONG_FILES) {
		store_be32(out, run->owner);
		out[4] = run->stream;
		store_be32(out + 5, run->vcn);
		store_be32(out + 9, run->lcn);
		store_be32(out + 13, run->len);
	} else {
		store_be32(out, run->lcn);
		store_be32(out + 4, run->len);
		store_be32(out + 8, run->owner);
		out[12] = run->stream;
		store_be32(out + 13, run->vcn);
	}
	out[17] = (uint8_t)run->flags;
	store_be16(out + 18, run->valid);
}

void
volmap_marks_load(enum volmap_order order, const uint8_t *p, struct volmap_run *out)
{
	if (order == VOLMAP_ALONG_FILES) {
		out->owner = load_be32(p);
		out->stream = p[4];
		out->vcn = load_be32(p + 5);
		out->lcn = load_be32(p + 9);
		out->len = load_be32(p + 13);
	} else {
		out->lcn = load_be32(p);
		out->len = load_be32(p + 4);
		out->owner = load_be32(p + 8);
		out->stream = p[12];
		out->vcn = load_be32(p + 13);
	}
	out->flags = p[17];
	out->valid = load_be16(p + 18);
}

int
volmap_marks_same(const struct volmap_run *a, const struct volmap_run *b)
{
	return a->owner == b->owner && a->stream == b->stream;
}

static int
fetch(struct volmap_marks *m, struct err *err)
{
	const uint8_t *p;

	if ((m->has_next = sorter_next(m->sorter, &p, err)) == 1)
		volmap_marks_load(m->order, p, &m->next);
	return m->has_next == -1 ? -1 : 0;
}

int
volmap_marks_begin(struct volmap_marks *m, struct sorter *sorter, enum volmap_order order,
    struct err *err)
{
	m->sorter = sorter;
	m->order = order;
	m->end = 0;
	return sorter_rewind(sorter, err) == -1 ? -1 : fetch(m, err);
}

static uint64_t
start_of(const struct volmap_marks *m, const struct volmap_run *run)
{
	return m->order == VOLMAP_ALONG_FILES ? run->vcn : run->lcn;
}

int
volmap_marks_next(struct volmap_marks *m, struct volmap_run *out, struct err *err)
{
	uint64_t start, end;
	int related;

	if (m->has_next != 1)
		return m->has_next;
	*out = m->next;
	start = start_of(m, out);
	end = start + out->len;
	if (fetch(m, err) == -1)
		return -1;
	related = m->has_next == 1 &&
		  (m->order == VOLMAP_ALONG_VOLUME || volmap_marks_same(out, &m->next));
	if (start < m->end || (related && start_of(m, &m->next) < end))
		out->flags |= VOLMAP_RUN_CLASH;
	if (end > m->end)
		m->end = end;
	if (m->order == VOLMAP_ALONG_FILES && !related)
		m->end = 0;
	return 1;
}
