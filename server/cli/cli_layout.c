#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "proto/layout/layout.h"

/* The point's layout, or NULL: it has none, or none that makes sense. */
static struct layout *
layout_of(const Wire__Point *p)
{
	struct layout *l = p->layout.len > 0 ? malloc(sizeof(*l)) : NULL;
	struct err ignored = ERR_INIT;

	if (l != NULL && layout_parse(p->layout.data, p->layout.len,
			     (unsigned)p->n_volumes, l, &ignored) != 0) {
		free(l);
		l = NULL;
	}
	return l;
}

static const char *
table_name(unsigned table)
{
	static const char *const names[] = { "none", "mbr", "gpt" };

	return names[table];
}

static const char *
role_name(unsigned role)
{
	static const char *const names[] = { "data", "esp", "msr", "recovery", "boot",
		"extended" };

	return names[role];
}

static const char *
firmware_name(unsigned firmware)
{
	static const char *const names[] = { "unknown", "bios", "uefi" };

	return names[firmware];
}

/* "C12A7328-...", or an MBR's signature or type: what it is for a table of this kind. */
static const char *
id_text(unsigned table, const uint8_t id[16], unsigned bytes, char out[37])
{
	if (table == LAYOUT_GPT) {
		layout_guid(id, out);
		return out;
	}
	out[0] = '\0';
	for (unsigned i = 0; table == LAYOUT_MBR && i < bytes; i++)
		(void)snprintf(out + 2 * i, 3, "%02x", id[bytes - 1 - i]);
	return out;
}

static const char *
volume_name(const Wire__Point *p, unsigned volume)
{
	return volume < p->n_volumes ? p->volumes[volume]->name : "";
}

/* --------------------------------------------------------------------- JSON -- */

static json_t *
partitions_json(const Wire__Point *p, const struct layout *l, unsigned disk)
{
	const unsigned table = l->disks[disk].table;
	json_t *all = json_array();
	char id[37], type[37];

	for (unsigned i = 0; i < l->partitions_count; i++) {
		const struct layout_partition *q = &l->partitions[i];

		if (q->disk != disk)
			continue;
		(void)json_array_append_new(
		    all, json_pack("{s:i, s:s, s:I, s:I, s:s, s:s, s:s, s:I, s:s}",
			     "number", (int)q->number, "role", role_name(q->role),
			     "offset", (json_int_t)q->offset, "length",
			     (json_int_t)q->length, "volume", volume_name(p, q->volume),
			     "type", id_text(table, q->type, 1, type), "id",
			     table == LAYOUT_GPT ? id_text(table, q->id, 0, id) : "",
			     "attributes", (json_int_t)q->attributes, "label", q->label));
	}
	return all;
}

static json_t *
disks_json(const Wire__Point *p, const struct layout *l)
{
	json_t *all = json_array();
	char id[37];

	for (unsigned i = 0; i < l->disks_count; i++) {
		const struct layout_disk *d = &l->disks[i];

		(void)json_array_append_new(all,
		    json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:b, s:s, s:s, s:s, s:o}",
			"name", d->name, "volume", volume_name(p, d->volume), "table",
			table_name(d->table), "size", (json_int_t)d->size, "sector_size",
			(int)d->sector_size, "physical_size", (int)d->physical_size,
			"boots", (int)d->boots, "id", id_text(d->table, d->id, 4, id),
			"model", d->model, "serial", d->serial, "partitions",
			partitions_json(p, l, i)));
	}
	return all;
}

static json_t *
host_json(const struct layout *l)
{
	json_t *devices = json_array(), *macs = json_array(), *entries = json_array();
	char uuid[33], mac[18];

	for (unsigned i = 0; i < l->devices_count; i++)
		(void)json_array_append_new(
		    devices, json_pack("{s:s, s:s, s:s}", "kind",
				 l->devices[i].kind == LAYOUT_STORAGE	? "storage"
				 : l->devices[i].kind == LAYOUT_NETWORK ? "network"
									: "other",
				 "modalias", l->devices[i].modalias, "driver",
				 l->devices[i].driver));
	for (unsigned i = 0; i < l->macs_count; i++) {
		const uint8_t *m = l->macs[i];

		(void)snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", m[0],
		    m[1], m[2], m[3], m[4], m[5]);
		(void)json_array_append_new(macs, json_string(mac));
	}
	for (unsigned i = 0; i < l->entries_count; i++)
		(void)json_array_append_new(entries, json_integer(l->entries[i].number));
	for (unsigned i = 0; i < 16; i++)
		(void)snprintf(uuid + 2 * i, 3, "%02x", l->uuid[i]);
	return json_pack("{s:s, s:b, s:s, s:s, s:s, s:s, s:o, s:o, s:o}", "firmware",
	    firmware_name(l->firmware), "secure_boot", (int)l->secure_boot, "uuid", uuid,
	    "hostname", l->hostname, "vendor", l->vendor, "product", l->product,
	    "devices", devices, "macs", macs, "boot_entries", entries);
}

void
cli_layout_json(const Wire__Point *p, json_t *point)
{
	struct layout *l = layout_of(p);

	if (l != NULL) {
		(void)json_object_set_new(point, "disks", disks_json(p, l));
		(void)json_object_set_new(point, "machine", host_json(l));
	}
	free(l);
}

/* -------------------------------------------------------------------- tables -- */

static void
print_disks(const struct layout *l)
{
	static const char *const titles[] = { "  DISK", "SIZE", "TABLE", "SECTOR",
		"BOOTS", "MODEL", "ID" };
	struct cli_table *t = cli_table_new(7, titles, "lrlrlll");
	char name[80], id[37];

	for (unsigned i = 0; i < l->disks_count; i++) {
		const struct layout_disk *d = &l->disks[i];

		(void)snprintf(name, sizeof(name), "  %.70s", d->name);
		cli_table_row(t,
		    (const char *const[]){ name, cli_size(d->size), table_name(d->table),
			cli_number(d->sector_size), d->boots ? "yes" : "no", d->model,
			id_text(d->table, d->id, 4, id) });
	}
	cli_table_print(t);
}

static void
print_partitions(const Wire__Point *p, const struct layout *l)
{
	static const char *const titles[] = { "  PARTITION", "BEGINS AT", "SIZE", "ROLE",
		"VOLUME", "LABEL" };
	struct cli_table *t = cli_table_new(6, titles, "lrrlll");
	char name[100];

	for (unsigned i = 0; i < l->partitions_count; i++) {
		const struct layout_partition *q = &l->partitions[i];

		(void)snprintf(
		    name, sizeof(name), "  %.70s %u", l->disks[q->disk].name, q->number);
		cli_table_row(
		    t, (const char *const[]){ name, cli_size(q->offset),
			   cli_size(q->length), role_name(q->role),
			   q->volume == LAYOUT_NO_VOLUME ? "(in the image)"
							 : volume_name(p, q->volume),
			   q->label });
	}
	cli_table_print(t);
}

void
cli_layout_print(const Wire__Point *p)
{
	struct layout *l = layout_of(p);

	if (l != NULL && l->disks_count > 0) {
		(void)putchar('\n');
		print_disks(l);
		if (l->partitions_count > 0) {
			(void)putchar('\n');
			print_partitions(p, l);
		}
	}
	if (l != NULL && (l->firmware != LAYOUT_FIRMWARE_UNKNOWN ||
			     l->devices_count > 0 || l->hostname[0] != '\0')) {
		(void)printf("\nmachine       %s %s; firmware %s%s\n", l->vendor,
		    l->product, firmware_name(l->firmware),
		    l->secure_boot ? ", Secure Boot" : "");
		if (l->hostname[0] != '\0')
			(void)printf("called        %s\n", l->hostname);
		for (unsigned i = 0; i < l->devices_count; i++)
			(void)printf("%s       %s (%s)\n",
			    l->devices[i].kind == LAYOUT_STORAGE ? "storage" : "network",
			    l->devices[i].modalias,
			    l->devices[i].driver[0] != '\0' ? l->devices[i].driver
							    : "no driver");
	}
	free(l);
}
