#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"
#include "proto/chunk/tree_format.h"

/* The node being filled on one level, and the one before it. */
struct level {
	struct buf node;
	uint32_t count; /* Extents or children in it. */
	struct tree_sums sums;
	struct buf last;
	struct tree_child last_child;
};

struct tree_builder {
	struct chunk_keys keys;
	struct tree_root root;
	int (*emit)(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len,
	    struct err *err);
	void *arg;
	uint64_t at; /* The next extent starts here. */
	uint64_t span_end;
	struct extent open; /* May still grow; of this span if count > 0. */
	struct extent data; /* The last data extent written into this leaf. */
	int any_data;
	struct level level[TREE_LEVELS_MAX];
	struct err failed;
};

struct tree_builder *
tree_builder_new(const struct chunk_keys *keys, const struct tree_root *root,
    int (*emit)(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len,
	struct err *err),
    void *arg)
{
	struct tree_builder *b;
	unsigned i;

	if ((b = calloc(1, sizeof(*b))) == NULL)
		return NULL;
	b->keys = *keys;
	b->root = *root;
	b->emit = emit;
	b->arg = arg;
	for (i = 0; i < TREE_LEVELS_MAX; i++)
		b->level[i].node.max = b->level[i].last.max = CHUNK_META_MAX;
	/* A bad root is told at the first call that can. */
	if (tree_root_ok(root, &b->failed) == 0)
		b->root.levels = tree_levels(root->size);
	b->span_end = tree_covers(root->size, 0, 0);
	return b;
}

void
tree_builder_free(struct tree_builder *b)
{
	unsigned i;

	if (b == NULL)
		return;
	for (i = 0; i < TREE_LEVELS_MAX; i++) {
		buf_free(&b->level[i].node);
		buf_free(&b->level[i].last);
	}
	free(b);
}

/* ----------------------------------------------------------------- nodes -- */

static void
store_child(uint8_t *p, const struct tree_child *c)
{
	memcpy(p, c->id.b, CHUNK_ID_LEN);
	store_le64(p + CHUNK_ID_LEN, c->sums.hole);
	store_le64(p + CHUNK_ID_LEN + 8, c->sums.zero);
	store_le64(p + CHUNK_ID_LEN + 16, c->sums.excluded);
	store_le64(p + CHUNK_ID_LEN + 24, c->sums.data);
}

/* Room for `n` bytes in the node of a level, after a header if it is new. */
static uint8_t *
node_room(struct level *l, size_t n, struct err *err)
{
	if (l->node.len == 0) {
		if (buf_room(&l->node, TREE_NODE_HEADER_LEN, err) == NULL)
			return NULL;
		memset(l->node.p, 0, TREE_NODE_HEADER_LEN);
		l->node.len = TREE_NODE_HEADER_LEN;
	}
	return buf_room(&l->node, n, err);
}

/* The node on level `n` is full: name it, and emit it unless it was just emitted. */
static int
close_node(struct tree_builder *b, uint32_t n, struct tree_child *out, struct err *err)
{
	struct level *l = &b->level[n];
	struct buf swap;

	store_le32(l->node.p, n == 0 ? TREE_LEAF_MAGIC : TREE_INNER_MAGIC);
	store_le16(l->node.p + TREE_NODE_COUNT, (uint16_t)l->count);
	if (l->node.len != l->last.len ||
	    memcmp(l->node.p, l->last.p, l->node.len) != 0) {
		chunk_id_of(
		    &b->keys, CHUNK_META, l->node.p, l->node.len, &l->last_child.id);
		l->last_child.sums = l->sums;
		if (b->emit(b->arg, &l->last_child.id, l->node.p, l->node.len, err) == -1)
			return -1;
		swap = l->last;
		l->last = l->node;
		l->node = swap;
	}
	buf_clear(&l->node);
	memset(&l->sums, 0, sizeof(l->sums));
	l->count = 0;
	*out = l->last_child;
	return 0;
}

/*
 * Close the node on level `n` and hand it to the one above, and so on as far as
 * nodes are full; at the volume's end, as far as the top.
 */
static int
climb(struct tree_builder *b, uint32_t n, int at_end, struct err *err)
{
	for (;; n++) {
		struct level *up = &b->level[n + 1];
		struct tree_child child;
		uint8_t *p;

		if (close_node(b, n, &child, err) == -1)
			return -1;
		if (n == b->root.levels) {
			b->root.top = child;
			return 0;
		}
		if ((p = node_room(up, TREE_CHILD_LEN, err)) == NULL)
			return -1;
		store_child(p, &child);
		up->node.len += TREE_CHILD_LEN;
		up->count++;
		up->sums.hole += child.sums.hole;
		up->sums.zero += child.sums.zero;
		up->sums.excluded += child.sums.excluded;
		up->sums.data += child.sums.data;
		if (up->count < TREE_FANOUT && !at_end)
			return 0;
	}
}

/* --------------------------------------------------------------- extents -- */

static size_t
store_varint(uint8_t *p, uint32_t v)
{
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* The open extent will not grow any more: write it. */
static int
write_open(struct tree_builder *b, struct err *err)
{
	const struct extent *e = &b->open;
	struct level *leaf = &b->level[0];
	unsigned flags = 0;
	size_t n = 1;
	uint8_t *p;

	if ((p = node_room(leaf, TREE_EXTENT_LEN_MAX, err)) == NULL)
		return -1;
	n += store_varint(p + n, e->len);
	if (e->kind == EXTENT_DATA) {
		if (b->any_data && tree_same_chunk(&b->data, e))
			flags |= TREE_SAME_CHUNK;
		if (e->len == e->chunk_len)
			flags |= TREE_WHOLE_CHUNK;
		if (flags == 0)
			n += store_varint(p + n, e->chunk_len);
		if ((flags & TREE_SAME_CHUNK) == 0) {
			memcpy(p + n, e->id.b, CHUNK_ID_LEN);
			n += CHUNK_ID_LEN;
		}
		if ((flags & TREE_WHOLE_CHUNK) == 0)
			n += store_varint(p + n, e->chunk_offset);
		b->data = *e;
		b->any_data = 1;
	}
	if (e->kind == EXTENT_EXCLUDED)
		flags = (unsigned)e->reason << TREE_REASON_SHIFT;
	p[0] = (uint8_t)((unsigned)e->kind | flags);
	leaf->node.len += n;
	tree_sums_add(&leaf->sums, e->kind, e->len);
	return 0;
}

/* Add a piece that lies within the span that is being filled. */
static int
add_piece(struct tree_builder *b, const struct extent *e, struct err *err)
{
	struct level *leaf = &b->level[0];

	if (leaf->count > 0 && tree_continues(&b->open, e)) {
		b->open.len += e->len;
	} else {
		if (leaf->count == TREE_LEAF_EXTENTS_MAX)
			return err_set(err, ERR_LIMIT,
			    "more than %u extents before byte %llu",
			    TREE_LEAF_EXTENTS_MAX, (unsigned long long)b->span_end);
		if (leaf->count > 0 && write_open(b, err) == -1)
			return -1;
		b->open = *e;
		leaf->count++;
	}
	b->at += e->len;
	if (b->at < b->span_end)
		return 0;
	if (write_open(b, err) == -1)
		return -1;
	b->any_data = 0;
	b->span_end += tree_covers(b->root.size, 0, b->at / TREE_SPAN_LEN);
	return climb(b, 0, b->at == b->root.size, err);
}

static int
check_extent(const struct tree_builder *b, const struct extent *e, struct err *err)
{
	if (e->offset != b->at)
		return err_set(err, ERR_PROTOCOL,
		    "extent at byte %llu where %llu comes next",
		    (unsigned long long)e->offset, (unsigned long long)b->at);
	if (e->len == 0 || e->len > b->root.size - b->at ||
	    (unsigned)e->kind > EXTENT_DATA)
		return err_set(err, ERR_PROTOCOL,
		    "extent of kind %u, %u bytes at byte %llu of %llu", (unsigned)e->kind,
		    (unsigned)e->len, (unsigned long long)e->offset,
		    (unsigned long long)b->root.size);
	if (e->reason > (e->kind == EXTENT_EXCLUDED ? EXTENT_REASON_MAX : 0))
		return err_set(err, ERR_PROTOCOL, "extent of kind %u with reason %u",
		    (unsigned)e->kind, (unsigned)e->reason);
	if (e->kind == EXTENT_DATA && !tree_data_ok(e))
		return err_set(err, ERR_PROTOCOL,
		    "extent of %u bytes from byte %u of a chunk of %u", (unsigned)e->len,
		    (unsigned)e->chunk_offset, (unsigned)e->chunk_len);
	return 0;
}

static int
add(struct tree_builder *b, const struct extent *e, struct err *err)
{
	struct extent piece = *e;
	uint32_t left = e->len;

	if (check_extent(b, e, err) == -1)
		return -1;
	while (left > 0) {
		uint64_t room = b->span_end - b->at;

		piece.len = left < room ? left : (uint32_t)room;
		if (add_piece(b, &piece, err) == -1)
			return -1;
		left -= piece.len;
		piece.offset += piece.len;
		piece.chunk_offset += piece.len;
	}
	return 0;
}

int
tree_builder_add(struct tree_builder *b, const struct extent *e, struct err *err)
{
	if (b->failed.code == ERR_NONE && add(b, e, &b->failed) == 0)
		return 0;
	*err = b->failed;
	return -1;
}

uint32_t
tree_builder_span_extents(const struct tree_builder *b)
{
	return b->level[0].count;
}

/* -------------------------------------------------------------- the root -- */

static void
store_name(uint8_t *p, const char *name)
{
	memcpy(p, name, strnlen(name, TREE_NAME_MAX));
}

static int
finish(struct tree_builder *b, struct chunk_id *root_id, struct err *err)
{
	const struct tree_root *r = &b->root;
	uint8_t p[ROOT_LEN] = { 0 };

	if (b->at != r->size)
		return err_set(err, ERR_PROTOCOL, "the tree ends at byte %llu of %llu",
		    (unsigned long long)b->at, (unsigned long long)r->size);
	store_le32(p, TREE_ROOT_MAGIC);
	store_le32(p + ROOT_SECTOR, r->sector_size);
	store_le64(p + ROOT_SIZE, r->size);
	store_name(p + ROOT_FS, r->fs);
	store_name(p + ROOT_PROVIDER, r->provider);
	p[ROOT_GRADE] = (uint8_t)r->grade;
	p[ROOT_LEVELS] = (uint8_t)r->levels;
	store_le64(p + ROOT_GENERATION, r->generation);
	memcpy(p + ROOT_NONCE, r->nonce, sizeof(r->nonce));
	store_child(p + ROOT_TOP, &r->top);
	chunk_id_of(&b->keys, CHUNK_META, p, sizeof(p), root_id);
	return b->emit(b->arg, root_id, p, sizeof(p), err);
}

int
tree_builder_finish(struct tree_builder *b, struct chunk_id *root_id, struct err *err)
{
	if (b->failed.code == ERR_NONE && finish(b, root_id, &b->failed) == 0)
		return 0;
	*err = b->failed;
	return -1;
}
