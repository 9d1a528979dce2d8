#include "agent/host_facts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/host_entry.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"

#define PATH_LEN 512u
#define LIST_MAX 512u
/* The namespace of UEFI's own variables. */
#define EFI_GLOBAL "8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* ------------------------------------------------------------------- reading -- */

/* Up to `cap` bytes of DIR/A/B/C; 0 if there is nothing. */
static size_t
read_file(
    const char *dir, const char *a, const char *b, const char *c, void *out, size_t cap)
{
	char path[PATH_LEN];
	size_t n = 0;
	FILE *f;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s/%s", dir, a, b, c) >=
	    sizeof(path))
		return 0;
	if ((f = fopen(path, "re")) == NULL)
		return 0;
	n = fread(out, 1, cap, f);
	(void)fclose(f);
	return n;
}

/* The first line, printable and trimmed, "" if there is none. */
static void
read_line(
    const char *dir, const char *a, const char *b, const char *c, char *out, size_t cap)
{
	char text[1024];
	size_t n = read_file(dir, a, b, c, text, sizeof(text) - 1), from = 0;

	text[n] = '\0';
	n = strcspn(text, "\n");
	while (n > 0 && text[n - 1] == ' ')
		n--;
	while (from < n && text[from] == ' ')
		from++;
	n -= from;
	if (n >= cap)
		n = cap - 1;
	for (size_t i = 0; i < n; i++)
		out[i] =
		    text[from + i] >= ' ' && text[from + i] < 0x7f ? text[from + i] : '?';
	out[n] = '\0';
}

/* Names in a directory, sorted; free_names(). */
struct names {
	char *name[LIST_MAX];
	size_t count;
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void
list(const char *dir, const char *sub, struct names *out)
{
	char path[PATH_LEN];
	struct dirent *e;
	DIR *d;

	out->count = 0;
	(void)snprintf(path, sizeof(path), "%s/%s", dir, sub);
	if ((d = opendir(path)) == NULL)
		return;
	while (out->count < LIST_MAX && (e = readdir(d)) != NULL)
		if (e->d_name[0] != '.' &&
		    (out->name[out->count] = strdup(e->d_name)) != NULL)
			out->count++;
	(void)closedir(d);
	qsort(out->name, out->count, sizeof(out->name[0]), by_name);
}

static void
free_names(struct names *n)
{
	while (n->count > 0)
		free(n->name[--n->count]);
}

/* --------------------------------------------------------------- controllers -- */

/* By the class of PCI, the number of a virtio device, the GUID of a VMBus one. */
static uint8_t
kind_of(const char *modalias)
{
	static const struct {
		const char *begin;
		uint8_t kind;
	} known[] = { { "virtio:d00000001v", LAYOUT_NETWORK },
		{ "virtio:d00000002v", LAYOUT_STORAGE },
		{ "virtio:d00000008v", LAYOUT_STORAGE },
		{ "vmbus:635161f83edfc546913ff2d2f965ed0e", LAYOUT_NETWORK },
		{ "vmbus:d96361baa104294db60572e2ffb1dc7f", LAYOUT_STORAGE },
		{ "vmbus:32264132cb86a2449b5c50d1417354f5", LAYOUT_STORAGE },
		{ "xen:vif", LAYOUT_NETWORK }, { "xen:vbd", LAYOUT_STORAGE } };
	const char *class = strstr(modalias, "bc");

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (strncmp(modalias, known[i].begin, strlen(known[i].begin)) == 0)
			return known[i].kind;
	if (strncmp(modalias, "pci:", 4) != 0 || class == NULL)
		return LAYOUT_OTHER;
	return strncmp(class, "bc01", 4) == 0	? LAYOUT_STORAGE
	       : strncmp(class, "bc02", 4) == 0 ? LAYOUT_NETWORK
						: LAYOUT_OTHER;
}

static void
add_device(const char *dir, const char *bus, const char *name, struct layout *l)
{
	char path[PATH_LEN], link[PATH_LEN], *driver;
	struct layout_device *d = &l->devices[l->devices_count];
	ssize_t n;

	if (l->devices_count == LAYOUT_DEVICES_MAX)
		return;
	memset(d, 0, sizeof(*d));
	read_line(dir, bus, name, "modalias", d->modalias, sizeof(d->modalias));
	d->kind = kind_of(d->modalias);
	if (d->kind == LAYOUT_OTHER)
		return;
	(void)snprintf(path, sizeof(path), "%.200s/%.40s/%.100s/driver", dir, bus, name);
	if ((n = readlink(path, link, sizeof(link) - 1)) > 0) {
		link[n] = '\0';
		driver = strrchr(link, '/');
		(void)snprintf(d->driver, sizeof(d->driver), "%.60s",
		    driver != NULL ? driver + 1 : link);
	}
	l->devices_count++;
}

static void
take_devices(const char *dir, struct layout *l)
{
	static const char *const buses[] = { "bus/pci/devices", "bus/virtio/devices",
		"bus/vmbus/devices", "bus/xen/devices" };
	struct names *n = malloc(sizeof(*n));

	for (unsigned b = 0; n != NULL && b < sizeof(buses) / sizeof(buses[0]); b++) {
		list(dir, buses[b], n);
		for (size_t i = 0; i < n->count; i++)
			add_device(dir, buses[b], n->name[i], l);
		free_names(n);
	}
	free(n);
}

/* Of what is a device, not of bridges and the like. */
static void
take_macs(const char *dir, struct layout *l)
{
	struct names *n = malloc(sizeof(*n));
	char path[PATH_LEN], text[32];
	unsigned b[6];
	struct stat st;

	if (n == NULL)
		return;
	list(dir, "class/net", n);
	for (size_t i = 0; i < n->count && l->macs_count < LAYOUT_MACS_MAX; i++) {
		(void)snprintf(path, sizeof(path), "%.200s/class/net/%.100s/device", dir,
		    n->name[i]);
		if (stat(path, &st) != 0)
			continue;
		read_line(dir, "class/net", n->name[i], "address", text, sizeof(text));
		if (strlen(text) != 17 || sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x", &b[0],
					      &b[1], &b[2], &b[3], &b[4], &b[5]) != 6)
			continue;
		for (unsigned k = 0; k < 6; k++)
			l->macs[l->macs_count][k] = (uint8_t)b[k];
		l->macs_count++;
	}
	free_names(n);
	free(n);
}

/* ---------------------------------------------------------------- boot entries -- */

/* A variable without the four bytes of its attributes; its length. */
static size_t
variable(const char *dir, const char *name, uint8_t *out, size_t cap)
{
	uint8_t raw[LAYOUT_ENTRY_MAX + 4];
	size_t n = read_file(dir, "firmware/efi", "efivars", name, raw, sizeof(raw));

	if (n <= 4 || n - 4 > cap)
		return 0;
	memcpy(out, raw + 4, n - 4);
	return n - 4;
}

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

static void
take_entries(const char *dir, struct layout *l)
{
	uint8_t order[LAYOUT_ENTRY_MAX];
	size_t n = variable(dir, "BootOrder-" EFI_GLOBAL, order, sizeof(order));
	int boots[LAYOUT_DISKS_MAX] = { 0 }, disk;
	struct host_entry e;
	char name[64];

	for (size_t i = 0; i + 1 < n && l->entries_count < LAYOUT_ENTRIES_MAX; i += 2) {
		struct layout_entry *out = &l->entries[l->entries_count];

		out->number = load_le16(order + i);
		(void)snprintf(name, sizeof(name), "Boot%04X-" EFI_GLOBAL, out->number);
		out->len =
		    (uint16_t)variable(dir, name, out->option, sizeof(out->option));
		if (out->len == 0 || !host_entry_parse(out->option, out->len, &e) ||
		    (disk = disk_of(l, &e)) < 0)
			continue;
		boots[disk] = 1;
		l->entries_count++;
	}
	for (unsigned i = 0; l->entries_count > 0 && i < l->disks_count; i++)
		l->disks[i].boots = (uint8_t)boots[i];
}

/* ----------------------------------------------------------------- the machine -- */

/* "4c4c4544-0042-..." as 16 bytes in the order they are written. */
static void
take_uuid(const char *text, uint8_t out[16])
{
	unsigned n = 0, b;

	for (const char *p = text; n < 16 && *p != '\0'; p += 2) {
		if (*p == '-')
			p++;
		if (sscanf(p, "%2x", &b) != 1 || p[1] == '\0') {
			memset(out, 0, 16);
			return;
		}
		out[n++] = (uint8_t)b;
	}
	if (n < 16)
		memset(out, 0, 16);
}

void
host_facts_read(const char *dir, struct layout *l)
{
	const char *sys = dir != NULL ? dir : "/sys";
	char path[PATH_LEN], text[64];
	uint8_t on[16];
	struct stat st;

	(void)snprintf(path, sizeof(path), "%.400s/firmware/efi", sys);
	l->firmware = stat(path, &st) == 0 ? LAYOUT_UEFI : LAYOUT_FIRMWARE_UNKNOWN;
	(void)snprintf(path, sizeof(path), "%.400s/class/dmi/id", sys);
	if (l->firmware != LAYOUT_UEFI && stat(path, &st) == 0)
		l->firmware = LAYOUT_BIOS;
	l->secure_boot =
	    variable(sys, "SecureBoot-" EFI_GLOBAL, on, sizeof(on)) == 1 && on[0] == 1;
	read_line(sys, "class/dmi", "id", "product_uuid", text, sizeof(text));
	take_uuid(text, l->uuid);
	read_line(sys, "class/dmi", "id", "sys_vendor", l->vendor, sizeof(l->vendor));
	read_line(sys, "class/dmi", "id", "product_name", l->product, sizeof(l->product));
	if (dir == NULL)
		read_line("/proc", "sys", "kernel", "hostname", l->hostname,
		    sizeof(l->hostname));
	take_devices(sys, l);
	take_macs(sys, l);
	if (l->firmware == LAYOUT_UEFI)
		take_entries(sys, l);
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
