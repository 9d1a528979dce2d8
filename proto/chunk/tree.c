#include "proto/chunk/tree.h"

#include "proto/base/err.h"
#include "proto/chunk/tree_format.h"

/* Powers of two: a span and the children of a node. */
#define SPAN_BITS 24u
#define FANOUT_BITS 10u

_Static_assert(TREE_SPAN_LEN == 1u << SPAN_BITS, "a span");
_Static_assert(TREE_FANOUT == 1u << FANOUT_BITS, "children of a node");

static unsigned
width_bits(uint32_t level)
{
	return SPAN_BITS + FANOUT_BITS * level;
}

uint32_t
tree_levels(uint64_t size)
{
	uint32_t level = 0;

	while (level < TREE_LEVELS_MAX - 1 && size > (uint64_t)1 << width_bits(level))
		level++;
	return level;
}

uint64_t
tree_spans(uint64_t size)
{
	return size / TREE_SPAN_LEN + (size % TREE_SPAN_LEN != 0);
}

uint64_t
tree_covers(uint64_t size, uint32_t level, uint64_t index)
{
	uint64_t width, from;

	if (level >= TREE_LEVELS_MAX || index > size >> width_bits(level))
		return 0;
	width = (uint64_t)1 << width_bits(level);
	from = index << width_bits(level);
	return size - from < width ? size - from : width;
}

const char *
tree_reason_name(unsigned reason)
{
	static const char *const names[EXTENT_REASONS] = { "other", "page file",
		"swap file", "hibernation file", "shadow copies", "hot-copy area",
		"policy", "unreadable" };

	return reason < EXTENT_REASONS ? names[reason] : NULL;
}

int
tree_same_chunk(const struct extent *a, const struct extent *b)
{
	return a->chunk_len == b->chunk_len && chunk_id_cmp(&a->id, &b->id) == 0;
}

int
tree_continues(const struct extent *e, const struct extent *next)
{
	if (e->kind != next->kind)
		return 0;
	if (e->kind != EXTENT_DATA)
		return e->reason == next->reason;
	return tree_same_chunk(e, next) && e->chunk_offset + e->len == next->chunk_offset;
}

int
tree_data_ok(const struct extent *e)
{
	return e->chunk_len > 0 && e->chunk_len <= CHUNK_DATA_MAX &&
	       e->chunk_offset < e->chunk_len && e->len <= e->chunk_len - e->chunk_offset;
}

void
tree_sums_add(struct tree_sums *sums, enum extent_kind kind, uint64_t len)
{
	switch (kind) {
	case EXTENT_HOLE:
		sums->hole += len;
		break;
	case EXTENT_ZERO:
		sums->zero += len;
		break;
	case EXTENT_EXCLUDED:
		sums->excluded += len;
		break;
	case EXTENT_DATA:
		sums->data += len;
		break;
	}
}

int
tree_sums_total(const struct tree_sums *sums, uint64_t len)
{
	const uint64_t part[] = { sums->hole, sums->zero, sums->excluded, sums->data };
	unsigned i;

	for (i = 0; i < 4; i++) {
		if (part[i] > len)
			return 0;
		len -= part[i];
	}
	return len == 0;
}

/* Graphic ASCII up to a NUL, and nothing after it. */
static int
name_ok(const char name[TREE_NAME_MAX])
{
	unsigned i = 0;

	while (i < TREE_NAME_MAX && name[i] > 0x20 && name[i] < 0x7f)
		i++;
	return i < TREE_NAME_MAX && name[i] == '\0';
}

int
tree_root_ok(const struct tree_root *root, struct err *err)
{
	uint32_t sector = root->sector_size;

	if (sector < 512 || sector > 4096 || (sector & (sector - 1)) != 0)
		return err_set(
		    err, ERR_PROTOCOL, "tree of sectors of %u bytes", (unsigned)sector);
	if (root->size == 0 || root->size > TREE_SIZE_MAX || root->size % sector != 0)
		return err_set(err, ERR_PROTOCOL, "tree of %llu bytes in sectors of %u",
		    (unsigned long long)root->size, (unsigned)sector);
	if (!name_ok(root->fs) || !name_ok(root->provider))
		return err_set(err, ERR_PROTOCOL,
		    "tree whose file system or provider has no proper name");
	if ((unsigned)root->grade > TREE_CRASH)
		return err_set(
		    err, ERR_PROTOCOL, "tree of grade %u", (unsigned)root->grade);
	return 0;
}
