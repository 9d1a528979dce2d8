#define _GNU_SOURCE /* memfd_create */
#include "rescue/adapt.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/layout/layout.h"
#include "rescue/adapt_files.h"
#include "rescue/adapt_hive.h"

#define CONFIG "Windows/System32/config"
#define PATH_MAX_LEN 512u
#define NONE (-1)

/* Drivers that come with Windows or virtio, and what they are for. */
static const struct {
	const char *service, *device;
} inbox[] = { { "storahci", "CC_0106" }, { "msahci", "CC_010601" },
	{ "stornvme", "CC_010802" }, { "pciide", "CC_0101" },
	{ "intelide", "VEN_8086&CC_0101" }, { "viostor", "VEN_1AF4&DEV_1001" },
	{ "viostor", "VEN_1AF4&DEV_1042" }, { "vioscsi", "VEN_1AF4&DEV_1004" },
	{ "vioscsi", "VEN_1AF4&DEV_1048" }, { "pvscsi", "VEN_15AD&DEV_07C0" },
	{ "LSI_SAS", "VEN_1000&DEV_0054" }, { "megasas", "" }, { "megasas2i", "" },
	{ "megasas35i", "" }, { "percsas2i", "" }, { "percsas3i", "" },
	{ "LSI_SAS2i", "" }, { "LSI_SAS3i", "" }, { "SmartSAMD", "" }, { "HpSAMD", "" } };

struct work {
	const struct adapt_job *job;
	struct adapt_report *r;
	struct adapt_hive *h;
	int root, config; /* Directories. */
	int file;	  /* The hive. */
	size_t set, services;
	int changed;
	/* While PCI ids are walked. */
	const char *id;
	unsigned device;
};

/* ------------------------------------------------------------------ services -- */

struct key {
	struct adapt_hive *h;
	size_t key;
};

static int
nonzero_value(void *arg, const char *name)
{
	struct key *k = arg;
	uint32_t n = 0;

	return adapt_hive_number(k->h, k->key, name, &n) && n != 0;
}

static int
has_override(struct work *w, size_t service)
{
	struct key k = { w->h, adapt_hive_find(w->h, service, "StartOverride") };

	return adapt_hive_values(w->h, k.key, nonzero_value, &k);
}

static void
read_driver(struct work *w, size_t service, struct adapt_driver *d)
{
	char image[ADAPT_HIVE_TEXT_MAX], path[PATH_MAX_LEN];

	d->start = 4;
	(void)adapt_hive_number(w->h, service, "Start", &d->start);
	d->override = has_override(w, service);
	if (!adapt_hive_text(w->h, service, "ImagePath", image))
		(void)snprintf(
		    d->path, sizeof(d->path), "System32/drivers/%s.sys", d->name);
	else if (adapt_image_path(image, d->path) != 0)
		d->path[0] = '\0';
	if (d->path[0] == '\0')
		return;
	(void)snprintf(path, sizeof(path), "Windows/%s", d->path);
	d->has_file = adapt_files_has(w->root, path);
}

/* Index of the driver of this service; NONE if the volume knows none, or no room. */
static int
driver_of(struct work *w, const char *name)
{
	struct adapt_report *r = w->r;
	struct adapt_driver *d;
	size_t service;
	unsigned i;

	for (i = 0; i < r->drivers_count; i++)
		if (strcasecmp(r->drivers[i].name, name) == 0)
			return (int)i;
	if (strlen(name) >= ADAPT_NAME_MAX || strchr(name, '\\') != NULL ||
	    r->drivers_count == ADAPT_DRIVERS_MAX ||
	    (service = adapt_hive_find(w->h, w->services, name)) == 0)
		return NONE;
	d = &r->drivers[r->drivers_count++];
	memset(d, 0, sizeof(*d));
	strcpy(d->name, name);
	read_driver(w, service, d);
	return (int)i;
}

static void
give_device(struct work *w, unsigned device, const char *service)
{
	struct adapt_device *d = &w->r->devices[device];
	int n = driver_of(w, service);
	unsigned i;

	for (i = 0; i < d->count; i++)
		if (n != NONE && d->driver[i] == (unsigned)n)
			return;
	if (n != NONE && d->count < ADAPT_SERVICES_MAX)
		d->driver[d->count++] = (unsigned)n;
}

static int
boot_service(void *arg, size_t key, const char *name)
{
	struct work *w = arg;
	uint32_t start = 4, type = 0;

	/* 1: a driver, 2: a file system's. */
	if (adapt_hive_number(w->h, key, "Start", &start) && start == 0 &&
	    adapt_hive_number(w->h, key, "Type", &type) && (type == 1 || type == 2))
		(void)driver_of(w, name);
	return 0;
}

/* ------------------------------------------------------------------- devices -- */

/* Package of an INF file -> section of the device -> its service. */
static int
package_of_inf(void *arg, const char *inf)
{
	struct work *w = arg;
	char path[PATH_MAX_LEN], package[ADAPT_HIVE_TEXT_MAX], text[ADAPT_HIVE_TEXT_MAX];
	size_t root = adapt_hive_root(w->h), key;

	(void)snprintf(path, sizeof(path), "DriverDatabase\\DriverInfFiles\\%.200s", inf);
	key = adapt_hive_find(w->h, root, path);
	if (!adapt_hive_text(w->h, key, "Active", package) &&
	    !adapt_hive_text(w->h, key, "", package))
		return 0;
	(void)snprintf(path, sizeof(path), "DriverDatabase\\DriverPackages\\%s", package);
	if ((root = adapt_hive_find(w->h, root, path)) == 0)
		return 0;
	(void)snprintf(path, sizeof(path), "Descriptors\\PCI\\%.200s", w->id);
	key = adapt_hive_find(w->h, root, path);
	if (!adapt_hive_text(w->h, key, "Configuration", text))
		return 0;
	(void)snprintf(path, sizeof(path), "Configurations\\%s", text);
	key = adapt_hive_find(w->h, root, path);
	if (adapt_hive_text(w->h, key, "Service", text))
		give_device(w, w->device, text);
	return 0;
}

static int
id_in_database(void *arg, size_t key, const char *name)
{
	struct work *w = arg;

	for (unsigned i = 0; i < w->r->devices_count; i++)
		if (adapt_pci_match(name, w->r->devices[i].modalias) > 0) {
			w->id = name;
			w->device = i;
			(void)adapt_hive_values(w->h, key, package_of_inf, w);
		}
	return 0;
}

/* Before Windows 8: "PCI#VEN_8086&DEV_2922" with the service's name. */
static int
id_in_critical(void *arg, size_t key, const char *name)
{
	struct work *w = arg;
	char service[ADAPT_HIVE_TEXT_MAX];

	if (strncasecmp(name, "PCI#", 4) != 0 ||
	    !adapt_hive_text(w->h, key, "Service", service))
		return 0;
	for (unsigned i = 0; i < w->r->devices_count; i++)
		if (adapt_pci_match(name + 4, w->r->devices[i].modalias) > 0)
			give_device(w, i, service);
	return 0;
}

static void
find_devices(struct work *w)
{
	struct adapt_report *r = w->r;
	struct adapt_device *d;
	size_t ids;
	unsigned i, k;

	for (i = 0; i < w->job->devices_count && r->devices_count < ADAPT_DEVICES_MAX;
	     i++) {
		if (strncmp(w->job->devices[i].modalias, "pci:", 4) != 0)
			continue;
		d = &r->devices[r->devices_count++];
		(void)snprintf(
		    d->modalias, sizeof(d->modalias), "%s", w->job->devices[i].modalias);
		d->storage = adapt_pci_storage(d->modalias);
	}
	ids = adapt_hive_find(
	    w->h, adapt_hive_root(w->h), "DriverDatabase\\DeviceIds\\PCI");
	r->database = ids != 0;
	(void)adapt_hive_keys(w->h, ids, id_in_database, w);
	ids = adapt_hive_find(w->h, w->set, "Control\\CriticalDeviceDatabase");
	(void)adapt_hive_keys(w->h, ids, id_in_critical, w);
	for (i = 0; i < r->devices_count; i++)
		for (k = 0; k < sizeof(inbox) / sizeof(inbox[0]); k++)
			if (inbox[k].device[0] != '\0' &&
			    adapt_pci_match(inbox[k].device, r->devices[i].modalias) > 0)
				give_device(w, i, inbox[k].service);
}

static void
judge(struct adapt_report *r)
{
	const struct adapt_driver *d;

	for (unsigned i = 0; i < r->devices_count; i++) {
		r->devices[i].starts = 0;
		for (unsigned k = 0; k < r->devices[i].count; k++) {
			d = &r->drivers[r->devices[i].driver[k]];
			if (d->start == 0 && !d->override && d->has_file)
				r->devices[i].starts = 1;
		}
	}
}

/* ------------------------------------------------------------------ changing -- */

static int
enable(struct work *w, struct adapt_driver *d, struct err *err)
{
	size_t service, override;

	if (!d->has_file || (d->start == 0 && !d->override))
		return 0;
	service = adapt_hive_find(w->h, w->services, d->name);
	if (adapt_hive_set_number(w->h, service, "Start", 0, err) != 0)
		return -1;
	override = adapt_hive_find(w->h, service, "StartOverride");
	if (override != 0 && adapt_hive_remove(w->h, override, err) != 0)
		return -1;
	d->start = 0;
	d->override = 0;
	d->enabled = 1;
	w->changed = 1;
	return 0;
}

/* Windows without a DriverDatabase looks here which driver a boot disk needs. */
static int
add_critical(
    struct work *w, const struct adapt_device *d, const char *service, struct err *err)
{
	size_t all = adapt_hive_find(w->h, w->set, "Control\\CriticalDeviceDatabase");
	char name[40];
	size_t key;

	if (w->r->database || all == 0 || strlen(d->modalias) < 23)
		return 0;
	(void)snprintf(name, sizeof(name), "PCI#VEN_%.4s&DEV_%.4s", d->modalias + 9,
	    d->modalias + 18);
	if (adapt_hive_find(w->h, all, name) != 0)
		return 0;
	w->changed = 1;
	if ((key = adapt_hive_add(w->h, all, name, err)) == 0)
		return -1;
	return adapt_hive_set_text(w->h, key, "Service", service, err) != 0
		   ? -1
		   : adapt_hive_set_text(w->h, key, "ClassGUID",
			 "{4D36E97B-E325-11CE-BFC1-08002BE10318}", err);
}

static int
change(struct work *w, struct err *err)
{
	struct adapt_report *r = w->r;
	struct adapt_driver *d;
	unsigned i, k;
	int n;

	for (i = 0; i < sizeof(inbox) / sizeof(inbox[0]); i++)
		if ((n = driver_of(w, inbox[i].service)) != NONE &&
		    enable(w, &r->drivers[n], err) != 0)
			return -1;
	for (i = 0; i < r->devices_count; i++)
		for (k = 0; r->devices[i].storage && k < r->devices[i].count; k++) {
			d = &r->drivers[r->devices[i].driver[k]];
			if (enable(w, d, err) != 0 ||
			    (d->has_file &&
				add_critical(w, &r->devices[i], d->name, err) != 0))
				return -1;
		}
	return 0;
}

/* The new hive is whole in memory, and the old one beside itself, before a byte. */
static int
write_back(struct work *w, struct err *err)
{
	int fd = memfd_create("hive", MFD_CLOEXEC), rc;
	struct adapt_hive *again = NULL;

	if (fd < 0)
		return err_os(err, errno, "memory for a registry hive");
	rc = adapt_hive_write(w->h, fd, err);
	if (rc == 0)
		rc = adapt_hive_open(fd, 0, &again, err);
	adapt_hive_close(again);
	if (rc == 0 &&
	    adapt_files_copy(w->config, "SYSTEM.holdfast", w->file, err) != 0) {
		rc = err->code == ERR_EXISTS ? 0 : -1;
		if (rc == 0)
			err_clear(err);
	}
	if (rc == 0)
		rc = adapt_files_replace(w->file, fd, &w->r->torn, err);
	close(fd);
	return rc;
}

/* ------------------------------------------------------------------ the whole -- */

static int
open_files(struct work *w, int writable, struct err *err)
{
	w->root = open(w->job->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (w->root < 0)
		return err_os(err, errno, "%s", w->job->root);
	w->config = adapt_files_open(w->root, CONFIG, O_RDONLY | O_DIRECTORY);
	if (w->config >= 0)
		w->file =
		    adapt_files_open(w->config, "SYSTEM", writable ? O_RDWR : O_RDONLY);
	if (w->file < 0 && errno != ENOENT && errno != ENOTDIR)
		return err_os(err, errno, CONFIG "/SYSTEM");
	if (w->file < 0)
		return err_set(
		    err, ERR_NOTFOUND, "no Windows there: no " CONFIG "/SYSTEM");
	return 0;
}

/*
 * Select\Default: what the next start takes; \Current is what the last one took, and
 * another if that was a start by the last known good set.
 */
static uint32_t
choose_set(struct work *w)
{
	static const char *const names[] = { "Default", "Current" };
	size_t root = adapt_hive_root(w->h),
	       select = adapt_hive_find(w->h, root, "Select");
	char name[24];
	uint32_t set;

	for (unsigned i = 0; i < 2; i++) {
		if (!adapt_hive_number(w->h, select, names[i], &set) || set == 0 ||
		    set > 999)
			continue;
		(void)snprintf(name, sizeof(name), "ControlSet%03u", (unsigned)set);
		if (adapt_hive_find(w->h, root, name) != 0)
			return set;
	}
	return 0;
}

static int
open_hive(struct work *w, int writable, struct err *err)
{
	char name[24];
	uint32_t set;

	if (adapt_hive_open(w->file, writable, &w->h, err) != 0)
		return -1;
	if ((set = choose_set(w)) == 0)
		return err_set(err, ERR_CORRUPT,
		    "the SYSTEM hive does not say which control set is the current one");
	(void)snprintf(name, sizeof(name), "ControlSet%03u", (unsigned)set);
	w->r->control_set = set;
	w->set = adapt_hive_find(w->h, adapt_hive_root(w->h), name);
	w->services = adapt_hive_find(w->h, w->set, "Services");
	if (w->services == 0)
		return err_set(
		    err, ERR_CORRUPT, "the SYSTEM hive has no services in %s", name);
	return 0;
}

static int
run(const struct adapt_job *job, int writable, struct adapt_report *out, struct err *err)
{
	struct work w = { .job = job, .r = out, .root = -1, .config = -1, .file = -1 };
	int rc;

	memset(out, 0, sizeof(*out));
	rc = open_files(&w, writable, err);
	if (rc == 0)
		rc = open_hive(&w, writable, err);
	if (rc == 0) {
		(void)adapt_hive_keys(w.h, w.services, boot_service, &w);
		find_devices(&w);
		if (writable)
			rc = change(&w, err);
	}
	if (rc == 0 && w.changed)
		rc = write_back(&w, err);
	judge(out);
	adapt_hive_close(w.h);
	if (w.file >= 0)
		close(w.file);
	if (w.config >= 0)
		close(w.config);
	if (w.root >= 0)
		close(w.root);
	return rc;
}

int
adapt_look(const struct adapt_job *job, struct adapt_report *out, struct err *err)
{
	return run(job, 0, out, err);
}

int
adapt_change(const struct adapt_job *job, struct adapt_report *out, struct err *err)
{
	return run(job, 1, out, err);
}
