#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/cursor.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/tree.h"
#include "proto/chunk/tree_format.h"

static int
all_zero(const uint8_t *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0)
		n--;
	return n == 0;
}

static void
load_child(const uint8_t *p, struct tree_child *out)
{
	memcpy(out->id.b, p, CHUNK_ID_LEN);
	out->sums.hole = load_le64(p + CHUNK_ID_LEN);
	out->sums.zero = load_le64(p + CHUNK_ID_LEN + 8);
	out->sums.excluded = load_le64(p + CHUNK_ID_LEN + 16);
	out->sums.data = load_le64(p + CHUNK_ID_LEN + 24);
}

/* A name is padded with zeros to its end. */
static int
load_name(const uint8_t *p, char out[TREE_NAME_MAX])
{
	memcpy(out, p, TREE_NAME_MAX);
	return all_zero(
	    p + strnlen(out, TREE_NAME_MAX), TREE_NAME_MAX - strnlen(out, TREE_NAME_MAX));
}

int
tree_parse_root(const uint8_t *p, size_t len, struct tree_root *out, struct err *err)
{
	struct err why = ERR_INIT;
	struct tree_root r;
	int padded;

	if (len < ROOT_LEN || len > ROOT_LEN + TREE_FIELDS_MAX ||
	    load_le32(p) != TREE_ROOT_MAGIC)
		return err_set(
		    err, ERR_CORRUPT, "the %zu bytes are not the root of a tree", len);
	if (feature_check(load_le16(p + ROOT_REQUIRED), TREE_FEATURES, "root of a tree",
		err) == -1 ||
	    feature_check_fields(
		p + ROOT_LEN, len - ROOT_LEN, NULL, 0, "root of a tree", err) == -1)
		return -1;
	memset(&r, 0, sizeof(r));
	r.sector_size = load_le32(p + ROOT_SECTOR);
	r.size = load_le64(p + ROOT_SIZE);
	padded = load_name(p + ROOT_FS, r.fs) & load_name(p + ROOT_PROVIDER, r.provider);
	if (p[ROOT_GRADE] > TREE_CRASH || !padded ||
	    !all_zero(p + ROOT_RESERVED, ROOT_REQUIRED - ROOT_RESERVED))
		return err_set(
		    err, ERR_CORRUPT, "root of a tree with values we do not know");
	r.grade = (enum tree_grade)p[ROOT_GRADE];
	if (tree_root_ok(&r, &why) == -1)
		return err_set(err, ERR_CORRUPT, "root: %s", why.text);
	r.levels = p[ROOT_LEVELS];
	r.optional = load_le16(p + ROOT_OPTIONAL);
	r.fields_len = (uint32_t)(len - ROOT_LEN);
	r.generation = load_le64(p + ROOT_GENERATION);
	memcpy(r.nonce, p + ROOT_NONCE, sizeof(r.nonce));
	load_child(p + ROOT_TOP, &r.top);
	if (r.levels != tree_levels(r.size))
		return err_set(err, ERR_CORRUPT,
		    "root of %llu bytes with a top node of level %u",
		    (unsigned long long)r.size, (unsigned)r.levels);
	if (!tree_sums_total(&r.top.sums, r.size))
		return err_set(err, ERR_CORRUPT, "root whose sums are not its %llu bytes",
		    (unsigned long long)r.size);
	*out = r;
	return 0;
}

/* What inner nodes and leaves have in common.  Returns the count, or 0. */
static uint32_t
node_count(const uint8_t *p, size_t len, uint32_t magic)
{
	if (len < TREE_NODE_HEADER_LEN || load_le32(p) != magic ||
	    load_le16(p + TREE_NODE_RESERVED) != 0)
		return 0;
	return load_le16(p + TREE_NODE_COUNT);
}

/* Check an inner node; `out` (may be NULL) and `sums` are only set if it is good. */
static int
inner(const uint8_t *p, size_t len, uint64_t covered, uint64_t child_covers,
    struct tree_child *out, uint32_t *count, struct tree_sums *sums, struct err *err)
{
	uint32_t n = node_count(p, len, TREE_INNER_MAGIC), i;
	struct tree_sums all = { 0, 0, 0, 0 };
	struct tree_child child;

	if (n == 0 || n > TREE_FANOUT ||
	    len != TREE_NODE_HEADER_LEN + (size_t)n * TREE_CHILD_LEN)
		return err_set(
		    err, ERR_CORRUPT, "the %zu bytes are not an inner node", len);
	if (covered == 0 || (covered - 1) / child_covers + 1 != n)
		return err_set(err, ERR_CORRUPT,
		    "inner node of %u children for %llu bytes", (unsigned)n,
		    (unsigned long long)covered);
	for (i = 0; i < n; i++) {
		uint64_t part = i < n - 1 ? child_covers : covered - i * child_covers;

		load_child(p + TREE_NODE_HEADER_LEN + (size_t)i * TREE_CHILD_LEN, &child);
		if (!tree_sums_total(&child.sums, part))
			return err_set(err, ERR_CORRUPT,
			    "inner node whose child %u has sums that are not its %llu "
			    "bytes",
			    (unsigned)i, (unsigned long long)part);
		all.hole += child.sums.hole;
		all.zero += child.sums.zero;
		all.excluded += child.sums.excluded;
		all.data += child.sums.data;
	}
	for (i = 0; out != NULL && i < n; i++)
		load_child(
		    p + TREE_NODE_HEADER_LEN + (size_t)i * TREE_CHILD_LEN, &out[i]);
	*count = n;
	*sums = all;
	return 0;
}

int
tree_parse_inner(const uint8_t *p, size_t len, uint64_t covered, uint64_t child_covers,
    struct tree_child *out, uint32_t *count, struct err *err)
{
	struct tree_sums sums;

	return inner(p, len, covered, child_covers, out, count, &sums, err);
}

/* ---------------------------------------------------------------- leaves -- */

/* Reading a leaf's extents one after another. */
struct leaf {
	struct cursor c;
	uint64_t offset;    /* Of the next extent. */
	struct extent last; /* The one before. */
	struct extent data; /* The last of kind data. */
	int any, any_data;  /* Are these two set? */
};

/* Seven bits a byte, lowest first, in as few bytes as can be; 0 is never meant. */
static uint32_t
varint(struct cursor *c)
{
	uint32_t v = 0;
	unsigned shift;

	for (shift = 0; shift < 28; shift += 7) {
		uint8_t b = cursor_u8(c);

		v |= (uint32_t)(b & 0x7f) << shift;
		if ((b & 0x80) == 0) {
			if (b == 0 && shift > 0)
				c->bad = 1;
			return v;
		}
	}
	c->bad = 1;
	return 0;
}

/* The part of a data extent that follows its length. */
static int
read_data(struct leaf *l, unsigned flags, struct extent *e)
{
	if ((flags & TREE_SAME_CHUNK) != 0) {
		if (!l->any_data)
			return -1;
		e->chunk_len = l->data.chunk_len;
		e->id = l->data.id;
	} else {
		e->chunk_len = (flags & TREE_WHOLE_CHUNK) != 0 ? e->len : varint(&l->c);
		cursor_copy(&l->c, e->id.b, sizeof(e->id.b));
	}
	e->chunk_offset = (flags & TREE_WHOLE_CHUNK) != 0 ? 0 : varint(&l->c);
	if (!tree_data_ok(e))
		return -1;
	/* What can be left out must be. */
	if (((flags & TREE_WHOLE_CHUNK) != 0) != (e->len == e->chunk_len))
		return -1;
	if (((flags & TREE_SAME_CHUNK) != 0) !=
	    (l->any_data && tree_same_chunk(&l->data, e)))
		return -1;
	l->data = *e;
	l->any_data = 1;
	return 0;
}

static int
read_extent(struct leaf *l, struct extent *e)
{
	unsigned first = cursor_u8(&l->c), flags = first & ~TREE_KIND_MASK;

	memset(e, 0, sizeof(*e));
	e->kind = (enum extent_kind)(first & TREE_KIND_MASK);
	e->offset = l->offset;
	e->len = varint(&l->c);
	if (e->len == 0 || e->len > TREE_SPAN_LEN)
		return -1;
	if (e->kind == EXTENT_DATA) {
		if ((flags & ~(TREE_SAME_CHUNK | TREE_WHOLE_CHUNK)) != 0 ||
		    read_data(l, flags, e) == -1)
			return -1;
	} else if (e->kind == EXTENT_EXCLUDED) {
		e->reason = (uint8_t)(first >> TREE_REASON_SHIFT);
	} else if (flags != 0) {
		return -1;
	}
	if (l->c.bad || (l->any && tree_continues(&l->last, e)))
		return -1;
	l->last = *e;
	l->any = 1;
	l->offset += e->len;
	return 0;
}

static void
leaf_start(struct leaf *l, const uint8_t *p, size_t len, uint64_t offset)
{
	memset(l, 0, sizeof(*l));
	cursor_init(&l->c, p + TREE_NODE_HEADER_LEN, len - TREE_NODE_HEADER_LEN);
	l->offset = offset;
}

/* Check a whole leaf and sum it up. */
static int
leaf_check(const uint8_t *p, size_t len, uint64_t offset, uint64_t covered,
    uint32_t *count, struct tree_sums *sums, struct err *err)
{
	uint32_t n = node_count(p, len, TREE_LEAF_MAGIC), i;
	struct leaf l;
	struct extent e;

	memset(sums, 0, sizeof(*sums));
	if (n == 0 || n > TREE_LEAF_EXTENTS_MAX)
		return err_set(err, ERR_CORRUPT, "the %zu bytes are not a leaf", len);
	leaf_start(&l, p, len, offset);
	for (i = 0; i < n; i++) {
		if (read_extent(&l, &e) == -1)
			return err_set(err, ERR_CORRUPT,
			    "leaf whose extent %u makes no sense", (unsigned)i);
		tree_sums_add(sums, e.kind, e.len);
	}
	if (l.c.left != 0)
		return err_set(
		    err, ERR_CORRUPT, "leaf with %zu bytes after its end", l.c.left);
	if (l.offset - offset != covered)
		return err_set(err, ERR_CORRUPT, "leaf of %llu bytes where %llu belong",
		    (unsigned long long)(l.offset - offset), (unsigned long long)covered);
	*count = n;
	return 0;
}

int
tree_parse_leaf(const uint8_t *p, size_t len, uint64_t offset, uint64_t covered,
    int (*each)(void *arg, const struct extent *e), void *arg, struct err *err)
{
	struct tree_sums sums;
	struct extent e;
	struct leaf l;
	uint32_t n, i;
	int r;

	if (leaf_check(p, len, offset, covered, &n, &sums, err) == -1)
		return -1;
	leaf_start(&l, p, len, offset);
	for (i = 0; i < n; i++) {
		(void)read_extent(&l, &e);
		if ((r = each(arg, &e)) != 0)
			return r;
	}
	return 0;
}

int
tree_node_sums(const uint8_t *p, size_t len, uint32_t level, uint64_t offset,
    uint64_t covered, struct tree_sums *out, struct err *err)
{
	struct tree_sums sums;
	uint32_t count;
	int r;

	if (level == 0)
		r = leaf_check(p, len, offset, covered, &count, &sums, err);
	else
		r = inner(p, len, covered, tree_covers(TREE_SIZE_MAX, level - 1, 0), NULL,
		    &count, &sums, err);
	if (r == 0)
		*out = sums;
	return r;
}
