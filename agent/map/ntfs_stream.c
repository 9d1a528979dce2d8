#include "agent/map/ntfs.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/volmap.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

/* Longest attribute list (Windows' own limit), and runs of one stream we follow. */
#define LIST_MAX (256u * 1024)
#define STREAM_RUNS_MAX 65536u

int
ntfs_boot_read(const struct volmap_source *src, struct ntfs_boot *out, const char **why,
    struct err *err)
{
	uint8_t sector[512];

	*why = NULL;
	if (src->size < sizeof(sector))
		return 0;
	if (src->read(src->arg, 0, sector, sizeof(sector), err) == -1)
		return -1;
	return ntfs_boot_parse(sector, src->size, out, why) == 1;
}

void
ntfs_stream_free(struct ntfs_stream *s)
{
	free(s->bytes);
	free(s->run);
	memset(s, 0, sizeof(*s));
}

static int
add_run(struct ntfs_stream *s, const struct ntfs_run *run, struct err *err)
{
	struct ntfs_run *grown;
	uint32_t room;

	if (s->count == STREAM_RUNS_MAX)
		return 0;
	if (s->count == s->room) {
		room = s->room * 2 + 16;
		if ((grown = realloc(s->run, room * sizeof(*grown))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for a run list");
		s->run = grown;
		s->room = room;
	}
	s->run[s->count++] = *run;
	return 1;
}

/* Add the next part of a stream; the first brings its sizes. */
static int
add_part(const struct ntfs *v, struct ntfs_stream *s, const struct ntfs_attr *a,
    struct err *err)
{
	struct ntfs_runs it;
	struct ntfs_run run;
	int got;

	if (a->resident) {
		if (s->next_vcn != 0 || s->bytes != NULL)
			return 0;
		if ((s->bytes = malloc(a->value_len + 1)) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for an attribute");
		memcpy(s->bytes, a->value, a->value_len);
		s->size = s->valid = a->value_len;
		return 1;
	}
	if (s->bytes != NULL || a->lowest != s->next_vcn || (a->flags & 0x40ff) != 0)
		return 0;
	if (a->lowest == 0) {
		s->size = a->size;
		s->valid = a->valid < a->size ? a->valid : a->size;
	}
	ntfs_runs_begin(&it, a, v->boot.clusters);
	while ((got = ntfs_runs_next(&it, &run)) == 1) {
		/* None of the streams read here may be sparse: zeros would be a lie. */
		if (run.lcn == -1)
			return 0;
		if ((got = add_run(s, &run, err)) != 1)
			return got;
	}
	s->next_vcn = it.vcn;
	return got == 0;
}

int
ntfs_stream_place(const struct ntfs *v, const struct ntfs_stream *s, uint64_t offset,
    uint64_t *at, uint64_t *room)
{
	uint64_t size = v->boot.cluster_size, skip;
	uint32_t low = 0, high = s->count, middle;

	/* The last run that begins at or below the offset. */
	while (high - low > 1) {
		middle = low + (high - low) / 2;
		if (s->run[middle].vcn <= offset / size)
			low = middle;
		else
			high = middle;
	}
	if (s->count == 0 || s->run[low].vcn > offset / size)
		return 0;
	skip = offset - s->run[low].vcn * size;
	if (s->run[low].len <= skip / size)
		return 0;
	*at = (uint64_t)s->run[low].lcn * size + skip;
	*room = s->run[low].len * size - skip;
	return 1;
}

int
ntfs_stream_read(const struct ntfs *v, const struct ntfs_stream *s, uint64_t offset,
    void *buf, size_t len, struct err *err)
{
	uint64_t at, room;
	uint8_t *p = buf;
	size_t n;

	if (offset > s->size || len > s->size - offset)
		return 0;
	if (s->bytes != NULL) {
		memcpy(p, s->bytes + offset, len);
		return 1;
	}
	for (; len > 0; p += n, offset += n, len -= n) {
		if (!ntfs_stream_place(v, s, offset, &at, &room))
			return 0;
		n = len < room ? len : (size_t)room;
		if (v->src->read(v->src->arg, at, p, n, err) == -1)
			return -1;
	}
	return 1;
}

int
ntfs_record_read(const struct ntfs *v, uint64_t n, uint8_t *buf, struct ntfs_record *out,
    struct err *err)
{
	uint32_t len = v->boot.record_size;
	int got;

	if (n > UINT32_MAX)
		return 0;
	if ((got = ntfs_stream_read(v, &v->mft, n * len, buf, len, err)) != 1)
		return got;
	return ntfs_fixup(buf, len) && ntfs_record_parse(buf, len, out);
}

/* The part of the unnamed attribute `type` in `r` that begins at `lowest`. */
static int
find_part(
    const struct ntfs_record *r, uint32_t type, uint64_t lowest, struct ntfs_attr *out)
{
	uint32_t at = r->attrs;

	while (ntfs_attr_next(r, &at, out) == 1)
		if (out->type == type && out->name_len == 0 && out->lowest == lowest)
			return 1;
	return 0;
}

/*
 * Offset	Size	Entry of an attribute list, ordered by type, name, VCN
 * 0		4	type
 * 4		2	length of the entry
 * 6		1	units of the name
 * 8		8	lowest VCN of the part
 * 16		8	reference of the record that holds it
 */
static int
follow_list(const struct ntfs *v, uint64_t n, const struct ntfs_record *base,
    const uint8_t *p, size_t len, uint32_t type, struct ntfs_stream *out, struct err *err)
{
	uint8_t buf[NTFS_RECORD_MAX];
	struct ntfs_record other;
	struct ntfs_attr a;
	uint64_t holder;
	uint32_t entry;
	int got, parts = 0;

	for (; len >= 26; p += entry, len -= entry) {
		entry = load_le16(p + 4);
		if (entry < 26 || entry > len)
			return 0;
		if (load_le32(p) != type || p[6] != 0)
			continue;
		holder = ntfs_ref(load_le64(p + 16));
		if (holder == n) {
			other = *base;
		} else {
			if ((got = ntfs_record_read(v, holder, buf, &other, err)) != 1)
				return got;
			if (!other.is_extension || other.base != n)
				return 0;
		}
		if (!find_part(&other, type, load_le64(p + 8), &a))
			return 0;
		if ((got = add_part(v, out, &a, err)) != 1)
			return got;
		parts++;
	}
	return parts > 0;
}

/* As ntfs_stream_open(), of a record already read. */
static int
open_in_record(const struct ntfs *v, uint64_t n, const struct ntfs_record *r,
    uint32_t type, struct ntfs_stream *out, struct err *err)
{
	struct ntfs_stream list = { 0 };
	struct ntfs_attr a;
	uint8_t *p = NULL;
	int got;

	if (!find_part(r, NTFS_ATTRIBUTE_LIST, 0, &a))
		return find_part(r, type, 0, &a) ? add_part(v, out, &a, err) : 0;
	if ((got = add_part(v, &list, &a, err)) == 1 && list.size > LIST_MAX)
		got = 0;
	if (got == 1 && (p = malloc((size_t)list.size + 1)) == NULL)
		got = err_set(err, ERR_NOMEM, "no memory for an attribute list");
	if (got == 1)
		got = ntfs_stream_read(v, &list, 0, p, (size_t)list.size, err);
	if (got == 1)
		got = follow_list(v, n, r, p, (size_t)list.size, type, out, err);
	free(p);
	ntfs_stream_free(&list);
	return got;
}

int
ntfs_stream_open(const struct ntfs *v, uint64_t n, uint32_t type, struct ntfs_stream *out,
    struct err *err)
{
	uint8_t buf[NTFS_RECORD_MAX];
	struct ntfs_record r;
	int got;

	memset(out, 0, sizeof(*out));
	if ((got = ntfs_record_read(v, n, buf, &r, err)) != 1 || r.is_extension)
		return got == -1 ? -1 : 0;
	if ((got = open_in_record(v, n, &r, type, out, err)) != 1)
		ntfs_stream_free(out);
	return got;
}

/*
 * The MFT is described by its own record 0, which the boot sector places; the
 * records that hold later parts of its run list lie in earlier parts.
 */
int
ntfs_mft_open(struct ntfs *v, struct err *err)
{
	uint8_t buf[NTFS_RECORD_MAX];
	struct ntfs_record r;
	uint64_t at = v->boot.mft_lcn * v->boot.cluster_size, records;
	int got;

	if (at + v->boot.record_size > v->src->size)
		return 0;
	if (v->src->read(v->src->arg, at, buf, v->boot.record_size, err) == -1)
		return -1;
	if (!ntfs_fixup(buf, v->boot.record_size) ||
	    !ntfs_record_parse(buf, v->boot.record_size, &r) || r.is_extension)
		return 0;
	if ((got = open_in_record(v, NTFS_MFT, &r, NTFS_DATA, &v->mft, err)) != 1)
		return got;
	records = v->mft.valid / v->boot.record_size;
	if (v->mft.bytes != NULL || v->mft.count == 0 || records <= NTFS_BADCLUS ||
	    records > UINT32_MAX ||
	    v->mft.next_vcn < (v->mft.valid - 1) / v->boot.cluster_size + 1)
		return 0;
	v->records = (uint32_t)records;
	return 1;
}
