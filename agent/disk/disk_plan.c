#include "agent/disk/disk_plan.h"

#include <string.h>

#include "agent/disk/disk_table.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define GPT_ENTRIES 128u
#define MBR_SWAP 0x82u
#define MBR_SECTORS_MAX UINT64_C(0xffffffff)

static uint64_t
end_of(const struct disk_plan_part *p)
{
	return p->from + p->from_length;
}

/* How many bytes what lies at `x` is moved: what the partitions before it grew. */
static int64_t
shift(const struct disk_plan *p, const int64_t *growth, uint64_t x)
{
	int64_t sum = 0;

	for (unsigned i = 0; i < p->count; i++)
		if (end_of(&p->parts[i]) <= x)
			sum += growth[i];
	return sum;
}

/* An extended partition is as long as what is in it: it has no growth of its own. */
static int64_t
growth_of(const struct disk_plan_part *p)
{
	return p->role == LAYOUT_EXTENDED ? 0 : (int64_t)(p->length - p->from_length);
}

uint64_t
disk_plan_place(const struct disk_plan *p, uint64_t offset)
{
	int64_t growth[LAYOUT_PARTITIONS_MAX];

	for (unsigned i = 0; i < p->count; i++)
		growth[i] = growth_of(&p->parts[i]);
	return offset + (uint64_t)shift(p, growth, offset);
}

const struct disk_plan_part *
disk_plan_part(const struct disk_plan *p, unsigned partition)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->parts[i].partition == partition)
			return &p->parts[i];
	return NULL;
}

/* Does it hold data of people, so that its size may change? */
static int
is_elastic(const struct layout_disk *d, const struct layout_partition *p)
{
	if (p->volume == LAYOUT_NO_VOLUME || disk_table_dynamic(d->table, p))
		return 0;
	if (d->table == LAYOUT_MBR)
		return (p->role == LAYOUT_DATA || p->role == LAYOUT_BOOT) &&
		       p->type[0] != MBR_SWAP;
	return p->role == LAYOUT_DATA && memcmp(p->type, disk_table_swap, 16) != 0;
}

int
disk_plan_elastic(const struct layout *l, unsigned disk)
{
	int found = -1;

	for (unsigned i = 0; i < l->partitions_count && disk < l->disks_count; i++)
		if (l->partitions[i].disk == disk &&
		    is_elastic(&l->disks[disk], &l->partitions[i]))
			found = (int)i;
	return found;
}

/* ------------------------------------------------------------------- making -- */

/* Bytes of a GPT's entries that hold every partition's number. */
static uint64_t
array_len(const struct layout *l, unsigned disk)
{
	uint32_t ss = l->disks[disk].sector_size;
	uint64_t n = GPT_ENTRIES;

	for (unsigned i = 0; i < l->partitions_count; i++)
		if (l->partitions[i].disk == disk && l->partitions[i].number > n)
			n = l->partitions[i].number;
	return (n * DISK_TABLE_ENTRY_LEN + ss - 1) / ss * ss;
}

/* The parts as they were, and the ends that are table. */
static int
take_parts(const struct layout *l, unsigned disk, struct disk_plan *out, struct err *err)
{
	const struct layout_disk *d = &l->disks[disk];

	out->head = out->sector_size;
	if (d->table == LAYOUT_GPT) {
		out->tail = array_len(l, disk) + out->sector_size;
		out->head += out->tail;
	}
	for (unsigned i = 0; i < l->partitions_count; i++) {
		const struct layout_partition *q = &l->partitions[i];
		struct disk_plan_part *p = &out->parts[out->count];

		if (q->disk != disk)
			continue;
		if (d->table == LAYOUT_NO_TABLE || q->offset < out->sector_size ||
		    (q->role == LAYOUT_EXTENDED && q->volume != LAYOUT_NO_VOLUME))
			return err_set(err, ERR_CORRUPT,
			    "partition %u of disk %.60s lies where none can be",
			    q->number, d->name);
		*p = (struct disk_plan_part){ .partition = i,
			.role = q->role,
			.volume = q->volume,
			.from = q->offset,
			.from_length = q->length,
			.to = q->offset,
			.length = q->length };
		if (q->offset < out->head)
			out->head = q->offset;
		if (d->size - out->tail < end_of(p))
			out->tail = d->size - end_of(p);
		out->count++;
	}
	return 0;
}

/* What the old disk has in use: to the end of the last partition. */
static uint64_t
used(const struct layout *l, const struct disk_plan *p)
{
	uint64_t end = p->head;

	if (l->disks[p->disk].table == LAYOUT_NO_TABLE)
		return p->old_size;
	for (unsigned i = 0; i < p->count; i++)
		if (end_of(&p->parts[i]) > end)
			end = end_of(&p->parts[i]);
	return end;
}

/* Where the last partition must end on the new disk; 0: not even the table fits. */
static uint64_t
usable(const struct layout *l, const struct disk_plan *p)
{
	const struct layout_disk *d = &l->disks[p->disk];
	uint64_t size = p->size / p->sector_size * p->sector_size, table, most;

	if (d->table == LAYOUT_MBR) {
		/* One that begins below the limit may end above it, and stays so. */
		most = MBR_SECTORS_MAX * p->sector_size;
		most = used(l, p) > most ? used(l, p) : most;
		return size < most ? size : most;
	}
	if (d->table != LAYOUT_GPT)
		return size;
	/* The same disk keeps what it has, however little that leaves the table. */
	table = p->size == p->old_size ? p->tail : array_len(l, p->disk) + p->sector_size;
	return size > table ? size - table : 0;
}

static void
grow(const struct layout *l, const struct disk_plan *p, uint64_t room, int64_t *growth)
{
	int e = disk_plan_elastic(l, p->disk);

	room -= room % DISK_PLAN_GRAIN;
	for (unsigned i = 0; i < p->count && e >= 0; i++)
		if (p->parts[i].partition == (unsigned)e)
			growth[i] = (int64_t)room;
}

/* Take `*lack` bytes from those that may give, the last first; 0: it was enough. */
static void
shrink(const struct layout *l, const struct disk_plan *p,
    const struct disk_plan_wish *wish, uint64_t *lack, int64_t *growth)
{
	for (unsigned i = p->count; i-- > 0 && *lack > 0;) {
		const struct disk_plan_part *q = &p->parts[i];
		uint64_t least = wish->smallest[q->partition], give, need;

		if (least == 0 || least >= q->from_length ||
		    !is_elastic(&l->disks[p->disk], &l->partitions[q->partition]))
			continue;
		give = (q->from_length - least) / DISK_PLAN_GRAIN * DISK_PLAN_GRAIN;
		need = (*lack + DISK_PLAN_GRAIN - 1) / DISK_PLAN_GRAIN * DISK_PLAN_GRAIN;
		if (give > need)
			give = need;
		growth[i] = -(int64_t)give;
		*lack = give >= *lack ? 0 : *lack - give;
	}
}

static void
place_parts(struct disk_plan *p, const int64_t *growth)
{
	for (unsigned i = 0; i < p->count; i++) {
		struct disk_plan_part *q = &p->parts[i];

		q->to = q->from + (uint64_t)shift(p, growth, q->from);
		q->length = end_of(q) + (uint64_t)shift(p, growth, end_of(q)) - q->to;
	}
}

static int
too_small(const struct layout *l, const struct disk_plan *p, uint64_t lack,
    uint64_t *missing, struct err *err)
{
	if (missing != NULL)
		*missing = lack;
	return err_set(err, ERR_LIMIT,
	    "too small for disk %.60s: %llu bytes, %llu are missing",
	    l->disks[p->disk].name, (unsigned long long)p->size,
	    (unsigned long long)lack);
}

/* Bytes that a disk lacks which has room for partitions up to `p->end`. */
static uint64_t
lacking(const struct layout *l, const struct disk_plan *p, uint64_t needed)
{
	struct disk_plan enough = *p;

	if (needed <= p->end)
		return 0;
	/* Counted from the size, since the last sector may be a part of one. */
	enough.size = needed;
	if (l->disks[p->disk].table == LAYOUT_GPT)
		enough.size += array_len(l, p->disk) + p->sector_size;
	return enough.size > p->size ? enough.size - p->size : needed - p->end;
}

/* Bytes of entries that the partitions' numbers ask for. */
static uint64_t
numbers(const struct layout *l, const struct disk_plan *p)
{
	uint64_t most = 0;

	for (unsigned i = 0; i < p->count; i++) {
		unsigned n = l->partitions[p->parts[i].partition].number;

		most = n > most ? n : most;
		/* There is no number 0. */
		if (n == 0)
			return UINT64_MAX;
	}
	return most * DISK_TABLE_ENTRY_LEN;
}

int
disk_plan_has_room(const struct layout *l, const struct disk_plan *p)
{
	uint64_t ss = p->sector_size, size = p->size / ss * ss, len;

	if (size < 3 * ss || p->end > size - ss)
		return 0;
	len = size - ss - p->end;
	return p->head >= 2 * ss + len && len >= numbers(l, p) &&
	       len <= DISK_TABLE_ARRAY_MAX;
}

int
disk_plan_make(const struct layout *l, unsigned disk, const struct disk_plan_wish *wish,
    struct disk_plan *out, uint64_t *missing, struct err *err)
{
	int64_t growth[LAYOUT_PARTITIONS_MAX] = { 0 };
	uint64_t need, lack;

	memset(out, 0, sizeof(*out));
	if (disk >= l->disks_count)
		return err_set(err, ERR_NOTFOUND, "the point has no such disk");
	out->disk = disk;
	out->old_size = l->disks[disk].size;
	out->size = wish->size;
	out->sector_size = l->disks[disk].sector_size;
	if (wish->sector_size != 0 && wish->sector_size != out->sector_size)
		return err_set(err, ERR_UNSUPPORTED,
		    "disk %.60s has sectors of %u bytes, the target of %u: its "
		    "partitions cannot be laid out there",
		    l->disks[disk].name, out->sector_size, wish->sector_size);
	if (take_parts(l, disk, out, err) != 0)
		return -1;
	out->end = usable(l, out);
	need = used(l, out);
	lack = need > out->end ? need - out->end : 0;
	if (lack > 0 && (wish->flags & DISK_PLAN_SHRINK) != 0)
		shrink(l, out, wish, &lack, growth);
	if (lack > 0)
		return too_small(l, out,
		    lacking(l, out, need + (uint64_t)shift(out, growth, need)), missing,
		    err);
	if (need <= out->end && (wish->flags & DISK_PLAN_EXTEND) != 0)
		grow(l, out, out->end - need, growth);
	place_parts(out, growth);
	out->same = out->size == out->old_size;
	for (unsigned i = 0; i < out->count; i++)
		out->same &= growth[i] == 0;
	if (!out->same && l->disks[disk].table == LAYOUT_GPT &&
	    !disk_plan_has_room(l, out))
		return err_set(err, ERR_UNSUPPORTED,
		    "disk %.60s has a partition where the table of a disk of another "
		    "size must lie",
		    l->disks[disk].name);
	return 0;
}

/* ------------------------------------------------------------------- pieces -- */

unsigned
disk_plan_pieces(const struct disk_plan *p, const struct layout *l,
    struct disk_plan_piece out[DISK_PLAN_PIECES_MAX])
{
	uint64_t at = p->head, end = p->old_size - p->tail, limit = p->size, next;
	unsigned n = 0, i = 0;

	if (l->disks[p->disk].table == LAYOUT_GPT && !p->same)
		limit = p->end;
	while (at < end) {
		while (i < p->count && p->parts[i].volume == LAYOUT_NO_VOLUME)
			i++;
		next = i < p->count ? p->parts[i].from : end;
		if (next > at) {
			out[n].from = at;
			out[n].to = disk_plan_place(p, at);
			out[n].length = next - at;
			if (out[n].to >= limit)
				break;
			if (out[n].length > limit - out[n].to)
				out[n].length = limit - out[n].to;
			n++;
		}
		if (i == p->count)
			break;
		if (end_of(&p->parts[i]) > at)
			at = end_of(&p->parts[i]);
		i++;
	}
	return n;
}

/* ----------------------------------------------------------- hidden sectors -- */

#define HIDDEN 28u

int
disk_plan_hidden(uint8_t *sector, uint32_t sector_size, uint64_t from, uint64_t to)
{
	if (sector[510] != 0x55 || sector[511] != 0xaa ||
	    (memcmp(sector + 3, "NTFS    ", 8) != 0 &&
		memcmp(sector + 54, "FAT1", 4) != 0 &&
		memcmp(sector + 82, "FAT32", 5) != 0))
		return 0;
	if (load_le32(sector + HIDDEN) != from / sector_size || from == to ||
	    to / sector_size > UINT32_MAX)
		return 0;
	store_le32(sector + HIDDEN, (uint32_t)(to / sector_size));
	return 1;
}
