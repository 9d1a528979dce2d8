#include "agent/disk/disk_table_parts.h"

#include <string.h>

#include "proto/base/bytes.h"

/* Logical partitions that are followed; each costs a read. */
#define CHAIN_MAX LAYOUT_PARTITIONS_MAX
#define FIRST_LOGICAL 5u

int
disk_table_extended(uint8_t type)
{
	return type == 0x05 || type == 0x0f || type == 0x85;
}

int
disk_table_logical(const struct layout_partition *p)
{
	return p->number >= FIRST_LOGICAL;
}

struct entry {
	uint8_t active, type;
	uint64_t start, len; /* Bytes; the start from where the entry counts. */
};

static struct entry
entry_at(const uint8_t *sector, unsigned i, uint32_t sector_size)
{
	const uint8_t *p = sector + DISK_TABLE_MBR_ENTRIES + DISK_TABLE_MBR_ENTRY_LEN * i;
	struct entry e = { .active = p[0] == 0x80,
		.type = p[4],
		.start = (uint64_t)load_le32(p + 8) * sector_size,
		.len = (uint64_t)load_le32(p + 12) * sector_size };

	return e;
}

static int
used(const struct entry *e)
{
	return e->type != 0 && e->len > 0;
}

static struct layout_partition
partition_of(const struct entry *e, unsigned number, uint64_t base)
{
	struct layout_partition p;

	memset(&p, 0, sizeof(p));
	p.number = (uint16_t)number;
	p.volume = LAYOUT_NO_VOLUME;
	p.offset = base + e->start;
	p.length = e->len;
	p.type[0] = e->type;
	p.attributes = e->active;
	p.role = disk_table_extended(e->type) ? LAYOUT_EXTENDED
		 : e->type == 0x27	      ? LAYOUT_RECOVERY
		 : e->type == 0xef	      ? LAYOUT_ESP
		 : e->active		      ? LAYOUT_BOOT
					      : LAYOUT_DATA;
	return p;
}

/*
 * One link: its partition is added and numbered, `*next` becomes the next one, 0 at the
 * end.  A link without a partition has no number, one with two has two.
 */
static int
link_of(const struct disk_table_source *src, const struct layout_partition *extended,
    uint64_t at, unsigned *number, struct disk_table *t, uint64_t *next, struct err *err)
{
	uint64_t end = extended->offset + extended->length;
	uint8_t sector[DISK_TABLE_MBR_LEN];
	struct layout_partition p;
	struct entry e;

	*next = 0;
	if (src->read(src->arg, at, sector, sizeof(sector), err) != 0)
		return -1;
	if (sector[510] != 0x55 || sector[511] != 0xaa) {
		disk_table_doubt(t, "the chain of logical partitions is broken");
		return 0;
	}
	for (unsigned i = 0; i < 2; i++) {
		e = entry_at(sector, i, t->sector_size);
		if (!used(&e))
			continue;
		if (disk_table_extended(e.type)) {
			*next = extended->offset + e.start;
			continue;
		}
		p = partition_of(&e, (*number)++, at);
		if (e.start == 0)
			disk_table_doubt(t, "a logical partition lies over its table");
		else
			disk_table_add(t, &p, extended->offset, end);
	}
	if (*next != 0 && (*next <= extended->offset || *next > end - t->sector_size)) {
		disk_table_doubt(t, "the chain of logical partitions leads out of it");
		*next = 0;
	}
	return 0;
}

/* A link in a partition might be free space there: all of the chain stays one piece. */
static void
apart(struct disk_table *t, unsigned first, const uint64_t *links, unsigned n)
{
	for (unsigned i = first; i < t->count; i++)
		for (unsigned k = 0; k < n; k++)
			if (links[k] >= t->partitions[i].offset &&
			    links[k] - t->partitions[i].offset <
				t->partitions[i].length) {
				disk_table_doubt(
				    t, "a logical partition lies over a table");
				t->count = first;
				return;
			}
}

static int
chain(const struct disk_table_source *src, const struct layout_partition *extended,
    struct disk_table *t, struct err *err)
{
	uint64_t seen[CHAIN_MAX], at = extended->offset, next;
	unsigned n, i, number = FIRST_LOGICAL, first = t->count;

	for (n = 0; at != 0; n++) {
		if (n == CHAIN_MAX) {
			disk_table_doubt(
			    t, "more logical partitions than a host may have");
			break;
		}
		seen[n] = at;
		if (link_of(src, extended, at, &number, t, &next, err) != 0)
			return -1;
		for (i = 0; i <= n && next != 0; i++)
			if (seen[i] == next) {
				disk_table_doubt(
				    t, "the chain of logical partitions is a ring");
				next = 0;
			}
		at = next;
	}
	apart(t, first, seen, n);
	return 0;
}

int
disk_table_mbr(const struct disk_table_source *src, const uint8_t *sector,
    struct disk_table *out, struct err *err)
{
	const struct layout_partition *extended = NULL;
	unsigned before;

	out->kind = LAYOUT_MBR;
	memcpy(out->id, sector + DISK_TABLE_MBR_ID, 4);
	for (unsigned i = 0; i < 4; i++) {
		struct entry e = entry_at(sector, i, out->sector_size);
		struct layout_partition p = partition_of(&e, i + 1, 0);

		if (!used(&e))
			continue;
		before = out->count;
		disk_table_add(out, &p, out->sector_size, src->size);
		if (p.role != LAYOUT_EXTENDED || out->count == before)
			continue;
		if (extended != NULL) {
			disk_table_doubt(out, "two extended partitions");
			out->count--;
			continue;
		}
		extended = &out->partitions[before];
	}
	return extended != NULL ? chain(src, extended, out, err) : 0;
}
