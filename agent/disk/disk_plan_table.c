#include "agent/disk/disk_plan.h"

#include <stdlib.h>
#include <string.h>

#include "agent/disk/disk_table_parts.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define LINKS_MAX LAYOUT_PARTITIONS_MAX

/* What the functions below work on. */
struct making {
	const struct layout *l;
	const struct disk_plan *p;
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	struct disk_plan_table *out;
	struct err *err;
};

/* `len` zeros that will be written at `offset`; NULL. */
static uint8_t *
add(struct making *m, uint64_t offset, uint64_t len)
{
	struct disk_plan_sectors *s = &m->out->at[m->out->count];

	if (m->out->count == DISK_PLAN_SECTORS_MAX || len > DISK_TABLE_ARRAY_MAX ||
	    (s->p = calloc(1, len)) == NULL) {
		err_set(m->err, ERR_NOMEM, "no memory for a partition table");
		return NULL;
	}
	s->offset = offset;
	s->len = (uint32_t)len;
	m->out->count++;
	return s->p;
}

/* Bytes of the image as they are. */
static uint8_t *
copy(struct making *m, uint64_t from, uint64_t to, uint64_t len)
{
	uint8_t *p = add(m, to, len);

	return p != NULL && m->read(m->arg, from, p, len, m->err) == 0 ? p : NULL;
}

/* The same disk: its own bytes, the sector that makes it bootable last. */
static int
same_table(struct making *m)
{
	const struct disk_plan *p = m->p;
	uint32_t ss = p->sector_size;

	if (p->tail > 0 &&
	    copy(m, p->old_size - p->tail, p->old_size - p->tail, p->tail) == NULL)
		return -1;
	if (p->head > ss && copy(m, ss, ss, p->head - ss) == NULL)
		return -1;
	return copy(m, 0, 0, p->head < ss ? p->head : ss) != NULL ? 0 : -1;
}

/* ---------------------------------------------------------------------- GPT -- */

/* UTF-8 of layout.h as an entry's 36 units. */
static void
put_label(uint8_t *out, const char *label)
{
	const uint8_t *s = (const uint8_t *)label;
	unsigned n = 0;

	while (*s != 0 && n < 36) {
		unsigned more = *s >= 0xf0 ? 3 : *s >= 0xe0 ? 2 : *s >= 0xc0 ? 1 : 0;
		uint32_t c = more == 3	 ? *s & 7u
			     : more == 2 ? *s & 15u
			     : more	 ? *s & 31u
					 : *s;

		for (s++; more > 0 && (*s & 0xc0) == 0x80; more--)
			c = c << 6 | (*s++ & 0x3f);
		if (c < 0x10000) {
			store_le16(out + 2 * n++, (uint16_t)c);
		} else if (n + 2 <= 36) {
			store_le16(
			    out + 2 * n++, (uint16_t)(0xd800 + ((c - 0x10000) >> 10)));
			store_le16(
			    out + 2 * n++, (uint16_t)(0xdc00 + ((c - 0x10000) & 0x3ff)));
		}
	}
}

static void
put_entries(const struct making *m, uint8_t *array)
{
	uint32_t ss = m->p->sector_size;

	for (unsigned i = 0; i < m->p->count; i++) {
		const struct disk_plan_part *part = &m->p->parts[i];
		const struct layout_partition *q = &m->l->partitions[part->partition];
		uint8_t *e = array + DISK_TABLE_ENTRY_LEN * (q->number - 1u);

		memcpy(e, q->type, 16);
		memcpy(e + 16, q->id, 16);
		store_le64(e + 32, part->to / ss);
		store_le64(e + 40, (part->to + part->length) / ss - 1);
		store_le64(e + 48, q->attributes);
		put_label(e + 56, q->label);
	}
}

/* Where this header, the other one and the entries are, in sectors. */
static void
put_header(const struct making *m, uint8_t *h, uint64_t at, uint64_t other,
    uint64_t entries, const uint8_t *array, size_t array_len)
{
	uint32_t ss = m->p->sector_size;

	memcpy(h, "EFI PART", 8);
	store_le32(h + 8, 0x10000);
	store_le32(h + 12, DISK_TABLE_HEADER_LEN);
	store_le64(h + 24, at);
	store_le64(h + 32, other);
	store_le64(h + 40, 2 + array_len / ss);
	store_le64(h + 48, m->p->end / ss - 1);
	memcpy(h + 56, m->l->disks[m->p->disk].id, 16);
	store_le64(h + 72, entries);
	store_le32(h + 80, (uint32_t)(array_len / DISK_TABLE_ENTRY_LEN));
	store_le32(h + 84, DISK_TABLE_ENTRY_LEN);
	store_le32(h + 88, disk_table_crc(0, array, array_len));
	store_le32(h + 16, disk_table_crc(0, h, DISK_TABLE_HEADER_LEN));
}

/* The protective entry covers the disk; what else was there does not fit any more. */
static void
put_protective(const struct making *m, uint8_t *sector)
{
	uint64_t sectors = m->p->size / m->p->sector_size - 1;
	uint8_t *e = sector + DISK_TABLE_MBR_ENTRIES;

	memset(e, 0, 4 * DISK_TABLE_MBR_ENTRY_LEN);
	e[2] = 0x02; /* CHS of sector 1, and of nowhere. */
	e[4] = DISK_TABLE_PROTECTIVE;
	memset(e + 5, 0xff, 3);
	store_le32(e + 8, 1);
	store_le32(e + 12, sectors < UINT32_MAX ? (uint32_t)sectors : UINT32_MAX);
	sector[510] = 0x55;
	sector[511] = 0xaa;
}

static int
gpt_table(struct making *m)
{
	const struct disk_plan *p = m->p;
	uint32_t ss = p->sector_size;
	uint64_t size = p->size / ss * ss, array_len = size - ss - p->end,
		 last = size / ss - 1;
	uint8_t *array, *backup, *h, *sector;

	if (!disk_plan_has_room(m->l, p))
		return err_set(m->err, ERR_UNSUPPORTED,
		    "disk %.60s has a partition where a new table must lie",
		    m->l->disks[p->disk].name);
	if ((backup = add(m, p->end, array_len)) == NULL)
		return -1;
	put_entries(m, backup);
	if ((h = add(m, last * ss, ss)) == NULL)
		return -1;
	put_header(m, h, last, 1, p->end / ss, backup, array_len);
	if ((array = add(m, 2 * (uint64_t)ss, array_len)) == NULL)
		return -1;
	memcpy(array, backup, array_len);
	if ((h = add(m, ss, ss)) == NULL)
		return -1;
	put_header(m, h, 1, last, 2, array, array_len);
	if ((sector = copy(m, 0, 0, ss)) == NULL)
		return -1;
	put_protective(m, sector);
	return 0;
}

/* ---------------------------------------------------------------------- MBR -- */

/* An entry's place in sectors; what was told in cylinders holds no more. */
static void
put_entry(uint8_t *e, uint64_t start, uint64_t len)
{
	if (load_le32(e + 8) == start && load_le32(e + 12) == len)
		return;
	memcpy(e + 1, "\xfe\xff\xff", 3);
	memcpy(e + 5, "\xfe\xff\xff", 3);
	store_le32(e + 8, (uint32_t)start);
	store_le32(e + 12, (uint32_t)len);
}

static const struct disk_plan_part *
part_at(const struct disk_plan *p, uint64_t from, int extended)
{
	for (unsigned i = 0; i < p->count; i++)
		if (p->parts[i].from == from &&
		    (p->parts[i].role == LAYOUT_EXTENDED) == extended)
			return &p->parts[i];
	return NULL;
}

/*
 * The link at `at` of the old disk, as the new one has it; `*next` becomes the next
 * one of the old disk or 0.  A partition's place counts from its link, a link's from
 * the extended partition.
 */
static int
put_link(
    struct making *m, const struct disk_plan_part *extended, uint64_t at, uint64_t *next)
{
	const struct disk_plan *p = m->p;
	uint32_t ss = p->sector_size;
	uint64_t here = disk_plan_place(p, at), old, len;
	uint8_t *sector = copy(m, at, here, ss), *e;
	const struct disk_plan_part *part;

	*next = 0;
	if (sector == NULL)
		return -1;
	for (unsigned i = 0; i < 2 && sector[510] == 0x55 && sector[511] == 0xaa; i++) {
		e = sector + DISK_TABLE_MBR_ENTRIES + DISK_TABLE_MBR_ENTRY_LEN * i;
		len = (uint64_t)load_le32(e + 12) * ss;
		old = (uint64_t)load_le32(e + 8) * ss;
		if (e[4] == 0 || len == 0)
			continue;
		if (!disk_table_extended(e[4])) {
			if ((part = part_at(p, at + old, 0)) != NULL)
				put_entry(e, (part->to - here) / ss, part->length / ss);
			continue;
		}
		old += extended->from;
		if (old <= extended->from ||
		    old >= extended->from + extended->from_length)
			continue;
		*next = old;
		put_entry(e, (disk_plan_place(p, old) - extended->to) / ss,
		    (disk_plan_place(p, old + len) - disk_plan_place(p, old)) / ss);
	}
	return 0;
}

static int
put_chain(struct making *m, const struct disk_plan_part *extended)
{
	uint64_t seen[LINKS_MAX], at = extended->from, next;

	for (unsigned n = 0; at != 0 && n < LINKS_MAX; n++, at = next) {
		seen[n] = at;
		if (put_link(m, extended, at, &next) != 0)
			return -1;
		for (unsigned i = 0; i <= n; i++)
			if (seen[i] == next)
				next = 0;
	}
	return 0;
}

static int
mbr_table(struct making *m)
{
	const struct disk_plan *p = m->p;
	uint32_t ss = p->sector_size;
	const struct disk_plan_part *part;
	uint8_t *sector = copy(m, 0, 0, ss), *e;
	struct disk_plan_sectors first;

	if (sector == NULL)
		return -1;
	for (unsigned i = 0; i < 4; i++) {
		e = sector + DISK_TABLE_MBR_ENTRIES + DISK_TABLE_MBR_ENTRY_LEN * i;
		part = part_at(
		    p, (uint64_t)load_le32(e + 8) * ss, disk_table_extended(e[4]));
		if (e[4] == 0 || load_le32(e + 12) == 0 || part == NULL)
			continue;
		put_entry(e, part->to / ss, part->length / ss);
		if (part->role == LAYOUT_EXTENDED && put_chain(m, part) != 0)
			return -1;
	}
	/* It leads to all others, so it comes last. */
	first = m->out->at[0];
	memmove(m->out->at, m->out->at + 1, (m->out->count - 1) * sizeof(first));
	m->out->at[m->out->count - 1] = first;
	return 0;
}

int
disk_plan_table(const struct layout *l, const struct disk_plan *p,
    int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err),
    void *arg, struct disk_plan_table *out, struct err *err)
{
	struct making m = { l, p, read, arg, out, err };
	int rc;

	memset(out, 0, sizeof(*out));
	if (p->same || l->disks[p->disk].table == LAYOUT_NO_TABLE)
		rc = same_table(&m);
	else if (l->disks[p->disk].table == LAYOUT_GPT)
		rc = gpt_table(&m);
	else
		rc = mbr_table(&m);
	if (rc != 0)
		disk_plan_table_free(out);
	return rc;
}

void
disk_plan_table_free(struct disk_plan_table *t)
{
	for (unsigned i = 0; i < t->count; i++)
		free(t->at[i].p);
	memset(t, 0, sizeof(*t));
}
