#include "agent/host/host_facts.h"

#include <stdio.h>
#include <string.h>

#include "agent/host/host_entry.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"

/* The disk of `l` on which the entry's partition is, or -1. */
static int
disk_of(const struct layout *l, const struct host_entry *e)
{
	for (unsigned i = 0; i < l->partitions_count; i++) {
		const struct layout_partition *p = &l->partitions[i];
		const struct layout_disk *d = &l->disks[p->disk];

		if (e->mbr ? d->table == LAYOUT_MBR && memcmp(d->id, e->id, 4) == 0 &&
				 p->number == e->partition
			   : d->table == LAYOUT_GPT && memcmp(p->id, e->id, 16) == 0)
			return p->disk;
	}
	return -1;
}

void
host_facts_entries(struct layout *l,
    size_t (*read)(void *arg, const char *name, uint8_t *out, size_t cap), void *arg)
{
	uint8_t order[LAYOUT_ENTRY_MAX];
	size_t n = read(arg, "BootOrder", order, sizeof(order));
	int boots[LAYOUT_DISKS_MAX] = { 0 }, disk;
	struct host_entry e;
	char name[16];

	for (size_t i = 0; i + 1 < n && l->entries_count < LAYOUT_ENTRIES_MAX; i += 2) {
		struct layout_entry *out = &l->entries[l->entries_count];

		out->number = load_le16(order + i);
		(void)snprintf(name, sizeof(name), "Boot%04X", out->number);
		out->len = (uint16_t)read(arg, name, out->option, sizeof(out->option));
		if (out->len == 0 || !host_entry_parse(out->option, out->len, &e) ||
		    (disk = disk_of(l, &e)) < 0)
			continue;
		boots[disk] = 1;
		l->entries_count++;
	}
	for (unsigned i = 0; l->entries_count > 0 && i < l->disks_count; i++)
		l->disks[i].boots = (uint8_t)boots[i];
}

/* The last label there is goes; 0 if there is none.  The disk's image has it still. */
static int
drop_label(struct layout *l)
{
	for (unsigned i = l->partitions_count; i-- > 0;)
		if (l->partitions[i].label[0] != '\0') {
			l->partitions[i].label[0] = '\0';
			return 1;
		}
	return 0;
}

int
host_facts_pack(struct layout *l, struct buf *out, struct err *err)
{
	for (;;) {
		err_clear(err);
		if (layout_pack(l, out, err) == 0)
			return 0;
		if (err->code != ERR_LIMIT)
			return -1;
		if (l->entries_count > 0)
			l->entries_count--;
		else if (l->devices_count > 0)
			l->devices_count--;
		else if (!drop_label(l))
			return -1;
	}
}
