#include "agent/map/ntfs_paging.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/ntfs.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"

/* Blocks of the root's index that are looked at: some hundred thousand names. */
#define BLOCKS_MAX 4096u
#define BLOCK_MAX 65536u
#define INDEX_ROOT 0x90u
#define INDEX_ALLOCATION 0xa0u
#define DIRECTORY 2u
#define SHORT 2u /* Of a name: NTFS made it of the long one ("$HOLDF~1.TRA"). */
#define FILES 4u

/* One of the names, as the index has it. */
struct found {
	const char *name;
	uint8_t reason;
	unsigned seen;	    /* Entries of it. */
	uint64_t reference; /* With its sequence number. */
};

struct search {
	struct ntfs v;
	struct ntfs_stream blocks; /* Of the index, as ntfs_stream. */
	uint32_t block_size, vcn_size;
	uint8_t *seen;		    /* A bit for each block. */
	uint64_t *todo;		    /* Blocks, by their place in the stream. */
	uint32_t todo_count, count; /* Waiting; blocks of the stream. */
	struct found file[FILES];
};

/* Each answers 1, 0 if it makes no sense, -1. */

/* ----------------------------------------------------------------- the index -- */

/* A child of an entry: once, and inside the index. */
static int
push(struct search *s, uint64_t vcn)
{
	uint64_t at, n;

	if (vcn > UINT32_MAX)
		return 0;
	at = vcn * s->vcn_size;
	n = at / s->block_size;
	if (at % s->block_size != 0 || n >= s->count || (s->seen[n / 8] >> n % 8 & 1))
		return 0;
	s->seen[n / 8] |= (uint8_t)(1u << n % 8);
	s->todo[s->todo_count++] = n;
	return 1;
}

static void
take_name(struct search *s, uint64_t reference, const uint8_t *name, size_t units)
{
	for (unsigned i = 0; i < FILES; i++) {
		struct found *f = &s->file[i];

		if (!ntfs_name_is(name, units, f->name))
			continue;
		f->seen++;
		f->reference = reference;
	}
}

/*
 * Offset	Size	Index entry
 * 0		8	reference of the file
 * 8		2	bytes of the entry
 * 10		2	bytes of the key
 * 12		2	1: has a child, named in its last 8 bytes; 2: the last, without key
 * 16			the key, a $FILE_NAME: 0 parent, 64 units of the name, 66 the name
 */
static int
take_entry(struct search *s, const uint8_t *p, uint32_t left, uint32_t *len, int *last)
{
	uint32_t key, flags, units;

	if (left < 16)
		return 0;
	*len = load_le16(p + 8);
	key = load_le16(p + 10);
	flags = load_le16(p + 12);
	if (*len < 16 || *len % 8 != 0 || *len > left || key > *len - 16)
		return 0;
	*last = (flags & 2) != 0;
	if ((flags & 1) != 0 && (*len < 24 || (!*last && key > *len - 24) ||
				    push(s, load_le64(p + *len - 8)) != 1))
		return 0;
	if (*last)
		return 1;
	if (key < 66)
		return 0;
	units = p[16 + 64];
	if (66 + 2 * units > key)
		return 0;
	if (ntfs_ref(load_le64(p + 16)) == NTFS_ROOT)
		take_name(s, load_le64(p), p + 16 + 66, units);
	return 1;
}

/* A node, whose header (0: where entries begin, 4: bytes in use) is at `p`. */
static int
take_node(struct search *s, const uint8_t *p, uint32_t room)
{
	uint32_t at, used, len = 0;
	int last = 0;

	if (room < 16)
		return 0;
	at = load_le32(p);
	used = load_le32(p + 4);
	if (used > room || at < 16 || at > used)
		return 0;
	for (; !last; at += len)
		if (at >= used || take_entry(s, p + at, used - at, &len, &last) != 1)
			return 0;
	return 1;
}

/* Offset 16 of a block: its own VCN; 24: the node. */
static int
take_block(struct search *s, uint64_t n, uint8_t *p, struct err *err)
{
	uint64_t at = n * s->block_size;
	int got = ntfs_stream_read(&s->v, &s->blocks, at, p, s->block_size, err);

	if (got != 1)
		return got;
	if (memcmp(p, "INDX", 4) != 0 || load_le64(p + 16) * s->vcn_size != at ||
	    !ntfs_fixup(p, s->block_size))
		return 0;
	return take_node(s, p + 24, s->block_size - 24);
}

static int
take_blocks(struct search *s, struct err *err)
{
	uint8_t *p = malloc(BLOCK_MAX);
	int got = 1;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a directory");
	while (got == 1 && s->todo_count > 0)
		got = take_block(s, s->todo[--s->todo_count], p, err);
	free(p);
	return got;
}

/* ------------------------------------------------------- the root's attributes -- */

static int
is_index(const struct ntfs_attr *a)
{
	return ntfs_name_is(a->name, a->name_len, "$i30");
}

/* The runs of a non-resident attribute, all of it in this record. */
static int
take_runs(struct search *s, const struct ntfs_attr *a, struct err *err)
{
	struct ntfs_stream *b = &s->blocks;
	struct ntfs_runs it;
	struct ntfs_run run;
	int got;

	if (a->resident || a->lowest != 0 || a->flags != 0 || b->run != NULL)
		return 0;
	if ((b->run = malloc(NTFS_RECORD_MAX * sizeof(*b->run))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a directory");
	b->size = a->size;
	b->valid = a->valid;
	ntfs_runs_begin(&it, a, s->v.boot.clusters);
	/* A run takes a byte of the record at least. */
	while ((got = ntfs_runs_next(&it, &run)) == 1) {
		if (run.lcn == -1 || b->count == NTFS_RECORD_MAX)
			return 0;
		b->run[b->count++] = run;
	}
	return got == 0;
}

/* Offset 8 of $INDEX_ROOT: bytes of a block; 16: the node. */
static int
measure(struct search *s, const struct ntfs_attr *a)
{
	uint32_t cluster = s->v.boot.cluster_size;

	if (a->value_len < 32)
		return 0;
	s->block_size = load_le32(a->value + 8);
	if (s->block_size < 512 || s->block_size > BLOCK_MAX ||
	    (s->block_size & (s->block_size - 1)) != 0)
		return 0;
	s->vcn_size = cluster <= s->block_size ? cluster : 512;
	return 1;
}

static int
make_lists(struct search *s, struct err *err)
{
	uint64_t count = s->blocks.size / s->block_size;

	if (count > BLOCKS_MAX || s->blocks.valid != s->blocks.size)
		return 0;
	s->count = (uint32_t)count;
	s->seen = calloc(1, BLOCKS_MAX / 8);
	s->todo = calloc(BLOCKS_MAX, sizeof(*s->todo));
	if (s->seen == NULL || s->todo == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a directory");
	return 1;
}

static int
read_root(struct search *s, uint8_t *record, struct err *err)
{
	struct ntfs_attr a, root = { .value = NULL };
	struct ntfs_record r;
	uint32_t at;
	int got = ntfs_record_read(&s->v, NTFS_ROOT, record, &r, err);

	if (got != 1)
		return got;
	if (r.is_extension || (load_le16(r.p + 22) & DIRECTORY) == 0)
		return 0;
	for (at = r.attrs; (got = ntfs_attr_next(&r, &at, &a)) == 1;) {
		if (a.type == NTFS_ATTRIBUTE_LIST)
			return 0;
		if (a.type == INDEX_ROOT && a.resident && is_index(&a)) {
			if (root.value != NULL)
				return 0;
			root = a;
		}
		if (a.type == INDEX_ALLOCATION && is_index(&a) &&
		    (got = take_runs(s, &a, err)) != 1)
			return got;
	}
	if (got != 0 || root.value == NULL || measure(s, &root) != 1)
		return 0;
	if ((got = make_lists(s, err)) != 1)
		return got;
	if (take_node(s, root.value + 16, root.value_len - 16) != 1)
		return 0;
	return take_blocks(s, err);
}

/* ------------------------------------------------------------------ the files -- */

/* A name in the root: its own, or (1 to `*is_short`) the short one of a long name. */
static int
is_own_name(const struct found *f, const struct ntfs_attr *a, unsigned *is_short)
{
	if (!a->resident || a->value_len < 66 || 66 + 2u * a->value[64] > a->value_len ||
	    ntfs_ref(load_le64(a->value)) != NTFS_ROOT)
		return 0;
	*is_short = a->value[65] == SHORT;
	return *is_short || ntfs_name_is(a->value + 66, a->value[64], f->name);
}

/* Its own name in the root, and plain content; `data` is that. */
static int
is_plain(const struct found *f, const struct ntfs_record *r, struct ntfs_attr *data)
{
	unsigned names = 0, shorts = 0, is_short, contents = 0;
	struct ntfs_attr a;
	uint32_t at;
	int got;

	if (r->is_extension || (load_le16(r->p + 22) & DIRECTORY) != 0 ||
	    load_le16(r->p + 16) != f->reference >> 48)
		return 0;
	for (at = r->attrs; (got = ntfs_attr_next(r, &at, &a)) == 1;) {
		if (a.type == NTFS_ATTRIBUTE_LIST)
			return 0;
		if (a.type == NTFS_FILE_NAME) {
			if (!is_own_name(f, &a, &is_short))
				return 0;
			*(is_short ? &shorts : &names) += 1;
		}
		if (a.type == NTFS_DATA) {
			*data = a;
			contents++;
		}
	}
	return got == 0 && names == 1 && shorts <= 1 && r->links == 1 + shorts &&
	       contents == 1 && !data->resident && data->name_len == 0 &&
	       data->flags == 0 && data->lowest == 0;
}

static int
add_extent(struct ntfs_paging *out, uint64_t offset, uint64_t len, uint8_t reason)
{
	struct volmap_unkept *before =
	    out->count > 0 ? &out->extent[out->count - 1] : NULL;

	if (before != NULL && before->reason == reason &&
	    before->offset + before->len == offset) {
		before->len += len;
		return 1;
	}
	if (out->count == NTFS_PAGING_EXTENTS)
		return 0;
	out->extent[out->count++] = (struct volmap_unkept){ offset, len, reason };
	return 1;
}

static int
take_file(struct search *s, const struct found *f, uint8_t *record,
    struct ntfs_paging *out, struct err *err)
{
	uint64_t size = s->v.boot.cluster_size, clusters = 0;
	struct ntfs_record r;
	struct ntfs_attr data = { .value = NULL };
	struct ntfs_runs it;
	struct ntfs_run run;
	int got = ntfs_record_read(&s->v, ntfs_ref(f->reference), record, &r, err);

	if (got != 1)
		return got;
	if (!is_plain(f, &r, &data))
		return 0;
	ntfs_runs_begin(&it, &data, s->v.boot.clusters);
	while ((got = ntfs_runs_next(&it, &run)) == 1) {
		if (run.lcn == -1 ||
		    !add_extent(out, (uint64_t)run.lcn * size, run.len * size, f->reason))
			return 0;
		clusters += run.len;
	}
	return got == 0 && clusters * size == data.allocated;
}

static int
by_offset(const void *a, const void *b)
{
	const struct volmap_unkept *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* In order; what overlaps has two owners, and then nothing can be told. */
static void
arrange(struct ntfs_paging *out)
{
	unsigned n = 0;

	qsort(out->extent, out->count, sizeof(out->extent[0]), by_offset);
	for (unsigned i = 1; i < out->count; i++)
		if (out->extent[i].offset - out->extent[i - 1].offset <
		    out->extent[i - 1].len) {
			out->count = 0;
			return;
		}
	for (unsigned i = 0; i < out->count; i++)
		if (out->extent[i].len >= VOLMAP_GRAIN)
			out->extent[n++] = out->extent[i];
	out->count = n;
}

static int
search(struct search *s, struct ntfs_paging *out, struct err *err)
{
	uint8_t record[NTFS_RECORD_MAX];
	int got;

	if ((got = ntfs_mft_open(&s->v, err)) != 1 ||
	    (got = read_root(s, record, err)) != 1)
		return got;
	for (unsigned i = 0; i < FILES; i++) {
		unsigned before = out->count;

		if (s->file[i].seen != 1)
			continue;
		if ((got = take_file(s, &s->file[i], record, out, err)) == -1)
			return -1;
		if (got == 0)
			out->count = before;
	}
	arrange(out);
	return 1;
}

int
ntfs_paging_find(
    const struct volmap_source *src, struct ntfs_paging *out, struct err *err)
{
	struct search s = { .v = { .src = src },
		.file = { { "pagefile.sys", EXTENT_PAGEFILE, 0, 0 },
		    { "swapfile.sys", EXTENT_SWAPFILE, 0, 0 },
		    { "hiberfil.sys", EXTENT_HIBERFIL, 0, 0 },
		    { "$holdfast.track", EXTENT_HOTCOPY, 0, 0 } } };
	const char *why;
	int got;

	out->count = 0;
	if ((got = ntfs_boot_read(src, &s.v.boot, &why, err)) != 1)
		return got;
	got = search(&s, out, err);
	if (got != 1)
		out->count = 0;
	ntfs_stream_free(&s.v.mft);
	ntfs_stream_free(&s.blocks);
	free(s.seen);
	free(s.todo);
	return got;
}

int
ntfs_paging_same(const struct ntfs_paging *a, const struct ntfs_paging *b)
{
	if (a->count != b->count)
		return 0;
	for (unsigned i = 0; i < a->count; i++)
		if (a->extent[i].offset != b->extent[i].offset ||
		    a->extent[i].len != b->extent[i].len ||
		    a->extent[i].reason != b->extent[i].reason)
			return 0;
	return 1;
}
