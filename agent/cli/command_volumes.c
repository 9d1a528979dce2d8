#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/command.h"
#include "agent/disk/volumes.h"
#include "proto/base/err.h"

static const char *const tables[] = { "no table", "MBR", "GPT" };
static const char *const encryption[] = { "", "unlocked", "locked" };

static json_t *
volume_json(const struct volumes_volume *v)
{
	json_t *paths = json_array(), *pieces = json_array();
	char name[LAYOUT_NAME_MAX];

	for (const char *p = v->paths; *p != '\0'; p += strlen(p) + 1)
		json_array_append_new(paths, json_string(p));
	for (unsigned i = 0; i < v->extents_count; i++)
		json_array_append_new(pieces,
		    json_pack("{s:I, s:I, s:I}", "disk", (json_int_t)v->extents[i].disk,
			"offset", (json_int_t)v->extents[i].offset, "length",
			(json_int_t)v->extents[i].length));
	volumes_name(v, name);
	return json_pack(
	    "{s:s, s:s, s:s, s:o, s:s, s:s, s:I, s:b, s:b, s:b, s:b, s:b, s:s, "
	    "s:o}",
	    "type", "volume", "name", name, "guid", v->guid, "paths", paths, "label",
	    v->label, "fs", v->fs, "size", (json_int_t)v->size, "fixed", v->fixed, "boot",
	    v->boot, "system", v->system, "page_file", v->page_file, "clustered",
	    v->clustered, "bitlocker", encryption[v->bitlocker], "pieces", pieces);
}

static json_t *
disk_json(const struct volumes_disk *d)
{
	return json_pack(
	    "{s:s, s:I, s:I, s:I, s:I, s:s, s:s, s:I, s:b, s:s, s:I, s:b, s:b, "
	    "s:b, s:b, s:s}",
	    "type", "disk", "number", (json_int_t)d->number, "size", (json_int_t)d->size,
	    "sector", (json_int_t)d->sector_size, "physical_sector",
	    (json_int_t)d->physical_size, "model", d->model, "serial", d->serial, "bus",
	    (json_int_t)d->bus, "removable", d->removable, "table", tables[d->table],
	    "partitions", (json_int_t)d->partitions, "dynamic", d->dynamic, "pool",
	    d->pool, "offline", d->offline, "unreadable", d->unreadable, "note", d->note);
}

/* One object a line; what is no UTF-8 cannot be in it. */
static int
print_json(json_t *j, struct err *err)
{
	char *text = j != NULL ? json_dumps(j, JSON_COMPACT) : NULL;

	json_decref(j);
	if (text == NULL)
		return err_set(err, ERR_NOMEM, "no memory, or a label that is no text");
	puts(text);
	free(text);
	return 0;
}

static void
print_volume(const struct volumes_volume *v)
{
	char size[24];

	progress_bytes(v->size, size);
	printf("%-12s %-16s %-6s %10s", volumes_shown(v), v->label,
	    v->fs[0] != '\0' ? v->fs : "-", size);
	for (unsigned i = 0; i < v->extents_count; i++)
		printf(" disk%" PRIu32 "+%" PRIu64, v->extents[i].disk,
		    v->extents[i].offset);
	printf("%s%s%s%s%s%s%s\n", v->boot ? " windows" : "", v->system ? " boot" : "",
	    v->page_file ? " page-file" : "", v->clustered ? " cluster" : "",
	    v->fixed ? "" : " removable", v->bitlocker != 0 ? " bitlocker:" : "",
	    encryption[v->bitlocker]);
	printf("  %s\n", v->guid);
}

static void
print_disk(const struct volumes_disk *d)
{
	char size[24];

	progress_bytes(d->size, size);
	printf("disk%-8" PRIu32 " %-16s %-6s %10s %u partitions%s%s%s%s%s%s\n", d->number,
	    d->model, tables[d->table], size, d->partitions,
	    d->removable ? " removable" : "", d->dynamic ? " dynamic" : "",
	    d->pool ? " storage-pool" : "", d->offline ? " offline" : "",
	    d->note[0] != '\0' ? ": " : "", d->note);
}

int
command_volumes(const struct command_context *c, struct err *err)
{
	struct volumes *v;
	int rc = 0;

	if (volumes_list(&v, err) != 0)
		return err_context(err, "volumes");
	for (unsigned i = 0; i < v->disks_count && rc == 0; i++)
		if (c->cmd->json)
			rc = print_json(disk_json(&v->disks[i]), err);
		else
			print_disk(&v->disks[i]);
	for (unsigned i = 0; i < v->count && rc == 0; i++)
		if (c->cmd->json)
			rc = print_json(volume_json(&v->volumes[i]), err);
		else
			print_volume(&v->volumes[i]);
	volumes_free(v);
	return rc;
}
