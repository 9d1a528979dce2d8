#include "rescue/boot.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "rescue/esp.h"

#define NODE_WAIT_MS 5000u
#define NODE_STEP_MS 50u
#define LINE_MAX_LEN 400u

/* ------------------------------------------------------------------ firmware -- */

static int
is_uefi(const struct layout *l)
{
	unsigned i;

	if (l->firmware != LAYOUT_FIRMWARE_UNKNOWN)
		return l->firmware == LAYOUT_UEFI;
	for (i = 0; i < l->partitions_count; i++)
		if (l->partitions[i].role == LAYOUT_ESP)
			return 1;
	return 0;
}

int
boot_foreign(const struct layout *l, int uefi, char why[200])
{
	int was = is_uefi(l);

	if (was == (uefi != 0))
		return 0;
	snprintf(why, 200,
	    was ? "the point's system starts by UEFI, this machine was started by BIOS: "
		  "change that in its setup"
		: "the point's system starts by BIOS, this machine was started by UEFI: "
		  "change that in its setup (legacy, CSM)");
	return 1;
}

/* ------------------------------------------------------------- saved entries -- */

static const struct disk_plan_part *
part_of(const struct boot_disk *disks, unsigned n, unsigned partition, unsigned *disk)
{
	const struct disk_plan_part *part;

	for (*disk = 0; *disk < n; ++*disk)
		if ((part = disk_plan_part(disks[*disk].plan, partition)) != NULL)
			return part;
	return NULL;
}

/* Where partition `partition` of the layout is now; 0 if it was not restored. */
static int
drive_of(const struct layout *l, const struct boot_disk *disks, unsigned n,
    unsigned partition, struct loadopt_drive *out)
{
	const struct layout_partition *p = &l->partitions[partition];
	const struct disk_plan_part *part;
	uint32_t sector;
	unsigned disk;

	if ((part = part_of(disks, n, partition, &disk)) == NULL)
		return 0;
	sector = l->disks[p->disk].sector_size;
	out->number = p->number;
	out->start = part->to / sector;
	out->length = part->length / sector;
	memcpy(out->id, p->id, sizeof(out->id));
	return 1;
}

static int
partition_by_id(const struct layout *l, const uint8_t id[16])
{
	unsigned i;

	for (i = 0; i < l->partitions_count; i++)
		if (l->disks[l->partitions[i].disk].table == LAYOUT_GPT &&
		    memcmp(l->partitions[i].id, id, 16) == 0)
			return (int)i;
	return -1;
}

/* `b` holds the option. */
static void
keep(struct nvram_entry *e, uint16_t number, const struct buf *b)
{
	e->number = number;
	e->len = b->len;
	memcpy(e->option, b->p, b->len);
}

unsigned
boot_saved(const struct layout *l, const struct boot_disk *disks, unsigned n,
    struct nvram_entry out[NVRAM_ENTRIES_MAX])
{
	struct buf b = BUF_INIT(LOADOPT_LEN_MAX);
	struct loadopt_drive drive;
	struct loadopt o;
	unsigned i, count = 0;
	int partition;

	for (i = 0; i < l->entries_count && count < NVRAM_ENTRIES_MAX; i++) {
		const struct layout_entry *e = &l->entries[i];
		struct err ignored = ERR_INIT;

		buf_clear(&b);
		if (loadopt_parse(e->option, e->len, &o, &ignored) == 0 && o.has_drive &&
		    (partition = partition_by_id(l, o.id)) >= 0 &&
		    drive_of(l, disks, n, (unsigned)partition, &drive) &&
		    loadopt_moved(e->option, e->len, &drive, &b, &ignored) == 0)
			keep(&out[count++], e->number, &b);
	}
	buf_free(&b);
	return count;
}

int
boot_esp(
    const struct layout *l, const struct boot_disk *disks, unsigned n, unsigned *disk)
{
	unsigned i;

	for (i = 0; i < l->partitions_count; i++)
		if (l->partitions[i].role == LAYOUT_ESP &&
		    part_of(disks, n, i, disk) != NULL)
			return (int)i;
	return -1;
}

/* ----------------------------------------------------------------- the mount -- */

/* The kernel learns the new table; its node for partition `number`. */
static int
wait_for_node(const char *device, unsigned number, char node[256], struct err *err)
{
	size_t len = strlen(device);
	int fd = open(device, O_RDONLY | O_CLOEXEC);
	unsigned ms;

	if (fd < 0)
		return err_os(err, errno, "%s", device);
	(void)ioctl(fd, BLKRRPART);
	close(fd);
	/* nvme0n1p2, but sda2. */
	snprintf(node, 256, "%.200s%s%u", device,
	    device[len - 1] >= '0' && device[len - 1] <= '9' ? "p" : "", number);
	for (ms = 0; access(node, F_OK) != 0; ms += NODE_STEP_MS) {
		if (ms >= NODE_WAIT_MS)
			return err_set(err, ERR_NOTFOUND, "%s does not appear", node);
		usleep(NODE_STEP_MS * 1000);
	}
	return 0;
}

static int
mount_esp(const char *device, unsigned number, char dir[64], struct err *err)
{
	char node[256];

	if (wait_for_node(device, number, node, err) != 0)
		return -1;
	strcpy(dir, "/tmp/rescue-esp-XXXXXX");
	if (mkdtemp(dir) == NULL)
		return err_os(err, errno, "%s", dir);
	if (mount(node, dir, "vfat", MS_NOSUID | MS_NODEV | MS_NOEXEC, "") == 0)
		return 0;
	err_os(err, errno, "%s as vfat", node);
	rmdir(dir);
	return -1;
}

/* ----------------------------------------------------------------- the whole -- */

static void say(const struct boot_job *job, const char *fmt, ...) ERR_PRINTF(2, 3);

static void
say(const struct boot_job *job, const char *fmt, ...)
{
	char line[LINE_MAX_LEN];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (job->say != NULL)
		job->say(job->say_arg, line);
}

/* Entries for what is on the ESP, as the point knows none.  Their number. */
static unsigned
entries_for(const struct boot_job *job, const struct esp_loader *loaders, unsigned n,
    int esp, struct nvram_entry out[NVRAM_ENTRIES_MAX])
{
	struct buf b = BUF_INIT(LOADOPT_LEN_MAX);
	struct loadopt_drive drive;
	struct err err = ERR_INIT;
	unsigned i, count = 0;

	if (!drive_of(job->layout, job->disks, job->disks_count, (unsigned)esp, &drive))
		return 0;
	for (i = 0; i < n; i++) {
		buf_clear(&b);
		if (loadopt_make(
			loaders[i].description, &drive, loaders[i].path, &b, &err) != 0)
			break;
		keep(&out[count++], (uint16_t)i, &b);
	}
	buf_free(&b);
	return count;
}

static void
write_entries(const struct boot_job *job, struct nvram_entry *entries, unsigned n)
{
	struct err err = ERR_INIT;
	struct loadopt o;
	unsigned i;

	if (n == 0) {
		say(job, "no boot entry is known and no loader found: the firmware must "
			 "find one");
		return;
	}
	if (nvram_add(job->efivars, entries, n, &err) != 0) {
		say(job,
		    "the boot entry could not be written (%s): choose the disk in the "
		    "firmware's menu, or use holdfast.fallback-loader",
		    err.text);
		return;
	}
	for (i = 0; i < n; i++)
		if (loadopt_parse(entries[i].option, entries[i].len, &o, &err) == 0)
			say(job, "boot entry Boot%04X: %.60s, %.100s", entries[i].number,
			    o.description, o.path);
}

/* With the ESP at `dir`: its loaders, and the fallback if it is wanted. */
static void
visit_esp(const struct boot_job *job, const char *dir, int esp,
    struct nvram_entry entries[NVRAM_ENTRIES_MAX], unsigned *n)
{
	struct esp_loader loaders[ESP_LOADERS_MAX];
	struct err err = ERR_INIT;
	struct loadopt first;
	const char *path = NULL;
	unsigned count = esp_loaders(dir, loaders);
	int rc;

	if (*n == 0)
		*n = entries_for(job, loaders, count, esp, entries);
	if (!job->fallback_loader)
		return;
	if (*n > 0 && loadopt_parse(entries[0].option, entries[0].len, &first, &err) == 0)
		path = first.path;
	else if (count > 0)
		path = loaders[0].path;
	if (path == NULL) {
		say(job, "no loader on the ESP that could be the fallback");
		return;
	}
	rc = esp_fallback(dir, path, &err);
	if (rc < 0)
		say(job, "%s", err.text);
	else
		say(job, rc == 0 ? "the fallback loader was there already"
				 : "the fallback loader is a copy of the first entry's");
}

void
boot_make(const struct boot_job *job)
{
	struct nvram_entry *entries = calloc(NVRAM_ENTRIES_MAX, sizeof(*entries));
	unsigned disk = 0, n;
	struct err err = ERR_INIT;
	char dir[64];
	int esp;

	if (entries == NULL) {
		say(job, "out of memory: no boot entry was written");
		return;
	}
	n = boot_saved(job->layout, job->disks, job->disks_count, entries);
	esp = boot_esp(job->layout, job->disks, job->disks_count, &disk);
	if (esp >= 0 && (n == 0 || job->fallback_loader)) {
		if (job->esp != NULL) {
			visit_esp(job, job->esp, esp, entries, &n);
		} else if (mount_esp(job->disks[disk].device,
			       job->layout->partitions[esp].number, dir, &err) == 0) {
			visit_esp(job, dir, esp, entries, &n);
			if (umount(dir) != 0)
				say(job, "the ESP cannot be unmounted");
			rmdir(dir);
		} else {
			say(job, "the ESP cannot be looked into: %s", err.text);
		}
	}
	write_entries(job, entries, n);
	free(entries);
}
