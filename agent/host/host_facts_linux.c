#include "agent/host/host_facts.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/host/host_alias.h"
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
	d->kind = host_alias_kind(d->modalias);
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

static size_t
read_variable(void *arg, const char *name, uint8_t *out, size_t cap)
{
	char file[96];

	(void)snprintf(file, sizeof(file), "%.40s-" EFI_GLOBAL, name);
	return variable(arg, file, out, cap);
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
		host_facts_entries(l, read_variable, (void *)(uintptr_t)sys);
}
