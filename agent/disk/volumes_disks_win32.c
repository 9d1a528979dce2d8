#include <windows.h>
#include <winioctl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/disk_table.h"
#include "agent/disk/volumes.h"
#include "agent/disk/volumes_parts_win32.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define DESCRIPTOR_MAX 4096u

/* winioctl.h of Windows 7 and later; MinGW's has it for some targets only. */
#define GET_DISK_ATTRIBUTES \
	CTL_CODE(IOCTL_DISK_BASE, 0x3c, METHOD_BUFFERED, FILE_ANY_ACCESS)
#define ATTRIBUTES_LEN 16u /* Version, reserved, attributes. */
#define ATTRIBUTE_OFFLINE 1u

void
volumes_describe(struct device *d, struct volumes_disk *out)
{
	uint8_t answer[DESCRIPTOR_MAX];
	STORAGE_PROPERTY_QUERY query;
	size_t got = 0;

	memset(&query, 0, sizeof(query));
	query.PropertyId = StorageDeviceProperty;
	query.QueryType = PropertyStandardQuery;
	out->size = device_size(d);
	out->sector_size = device_sector_size(d);
	out->physical_size = device_physical_size(d);
	if (device_control(d, IOCTL_STORAGE_QUERY_PROPERTY, &query, sizeof(query), answer,
		sizeof(answer), &got) == 0)
		volumes_parse_descriptor(answer, got, out);
	if (device_control(
		d, GET_DISK_ATTRIBUTES, NULL, 0, answer, ATTRIBUTES_LEN, &got) == 0 &&
	    got >= ATTRIBUTES_LEN)
		out->offline = (load_le64(answer + 8) & ATTRIBUTE_OFFLINE) != 0;
}

static int
read_disk(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return device_read(arg, offset, buf, len, err);
}

static void
take_table(struct device *d, struct disk_table *t, struct volumes_disk *out)
{
	struct disk_table_source src = { read_disk, d, device_size(d),
		device_sector_size(d) };
	struct err err = ERR_INIT;

	if (disk_table_read(&src, t, &err) != 0) {
		(void)snprintf(out->note, sizeof(out->note), "%.150s", err.text);
		out->unreadable = 1;
		return;
	}
	(void)snprintf(out->note, sizeof(out->note), "%s", t->note);
	out->table = (uint8_t)t->kind;
	out->partitions = (uint8_t)t->count;
	for (unsigned i = 0; i < t->count; i++) {
		out->dynamic |= disk_table_dynamic(t->kind, &t->partitions[i]) != 0;
		out->pool |=
		    t->kind == LAYOUT_GPT && volumes_is_pool(t->partitions[i].type);
	}
}

static void
take_disk(struct volumes *v, uint32_t number, struct device *d, struct disk_table *t)
{
	struct volumes_disk *one = &v->disks[v->disks_count++];

	one->number = number;
	volumes_describe(d, one);
	take_table(d, t, one);
}

/*
 * Numbers have gaps: a disk that was pulled leaves one.  Who may open none of them is no
 * administrator; one alone may be held by a cluster or a pool.
 */
int
volumes_take_disks(struct volumes *v, struct err *err)
{
	struct disk_table *t = malloc(sizeof(*t));
	struct err denied = ERR_INIT;
	struct volumes_disk *one;
	struct device *d;
	unsigned opened = 0;
	char path[32];

	if (t == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a partition table");
	for (uint32_t n = 0; n < VOLUMES_DISKS_MAX; n++) {
		struct err why = ERR_INIT;

		(void)snprintf(
		    path, sizeof(path), "\\\\.\\PhysicalDrive%lu", (unsigned long)n);
		if (device_open(path, 0, &d, &why) == 0) {
			opened++;
			take_disk(v, n, d, t);
			device_close(d);
			continue;
		}
		if (why.code == ERR_NOTFOUND)
			continue;
		if (why.code == ERR_DENIED)
			denied = why;
		one = &v->disks[v->disks_count++];
		one->number = n;
		one->unreadable = 1;
		(void)snprintf(one->note, sizeof(one->note), "%.150s", why.text);
	}
	free(t);
	return opened == 0 && denied.code != ERR_NONE
		   ? err_set(err, ERR_DENIED, "%s", denied.text)
		   : 0;
}
