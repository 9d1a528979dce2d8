#include <windows.h>
#include <winioctl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/target_place.h"
#include "agent/hotcopy/hotcopy_forget.h"
#include "agent/restore/target.h"
#include "agent/restore/target_medium.h"
#include "proto/base/err.h"

#define LOCK_MS 30000u
#define HELD_MAX 130u /* Volumes of one disk: 128 partitions and a little. */

/*
 * winioctl.h has these since Windows 7, MinGW has not:
 * learn.microsoft.com/windows/win32/api/winioctl/ns-winioctl-set_disk_attributes
 */
#define DISK_ATTRIBUTES_GET CTL_CODE(IOCTL_DISK_BASE, 0x3c, METHOD_BUFFERED, 0)
#define DISK_ATTRIBUTES_SET                              \
	CTL_CODE(IOCTL_DISK_BASE, 0x3d, METHOD_BUFFERED, \
	    FILE_READ_ACCESS | FILE_WRITE_ACCESS)
#define DISK_OFFLINE 1u

struct disk_attributes_get {
	DWORD version, reserved;
	DWORDLONG attributes;
};

struct disk_attributes_set {
	DWORD version;
	BYTE persist, reserved[3];
	DWORDLONG attributes, mask;
	DWORD reserved2[4];
};
_Static_assert(sizeof(struct disk_attributes_get) == 16, "as winioctl.h");
_Static_assert(sizeof(struct disk_attributes_set) == 40, "as winioctl.h");

struct target_device {
	struct target_medium m;
	struct device *d;
	int taken_offline;	       /* A disk, by us, */
	int twin, finished;	       /* and stays so if it became what it should. */
	struct device *held[HELD_MAX]; /* The volumes on a disk, locked. */
	unsigned held_count;
};

static int
device_medium_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	return device_read(((struct target_device *)m)->d, offset, out, len, err);
}

static int
device_medium_write(struct target_medium *m, uint64_t offset, const uint8_t *p,
    size_t len, struct err *err)
{
	return device_write(((struct target_device *)m)->d, offset, p, len, err);
}

/* Windows has no such call for volumes and disks: zeros are written. */
static int
device_medium_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	(void)m;
	(void)offset;
	(void)len;
	return 0;
}

/*
 * Advice, as everywhere.  learn.microsoft.com/windows/win32/api/winioctl/
 * ns-winioctl-device_manage_data_set_attributes
 */
static void
device_medium_discard(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct {
		DEVICE_MANAGE_DATA_SET_ATTRIBUTES what;
		DEVICE_DATA_SET_RANGE range; /* At byte 32: both are of 8-byte parts. */
	} trim;

	memset(&trim, 0, sizeof(trim));
	trim.what.Size = sizeof(trim.what);
	trim.what.Action = DeviceDsmAction_Trim;
	trim.what.DataSetRangesOffset = sizeof(trim) - sizeof(trim.range);
	trim.what.DataSetRangesLength = sizeof(trim.range);
	trim.range.StartingOffset = (LONGLONG)offset;
	trim.range.LengthInBytes = len;
	(void)device_control(((struct target_device *)m)->d,
	    IOCTL_STORAGE_MANAGE_DATA_SET_ATTRIBUTES, &trim, sizeof(trim), NULL, 0, NULL);
}

static int
device_medium_settle(struct target_medium *m, struct err *err)
{
	return device_flush(((struct target_device *)m)->d, err);
}

/*
 * Before a byte is written, so that an end in the middle leaves no tracking that is
 * believed; and of a locked volume, of which nobody begins a generation meanwhile.
 */
static void
forget_changes(struct target_device *t, const char *volume)
{
	struct err why = ERR_INIT;

	if (hotcopy_forget(volume, &why) != 0)
		(void)snprintf(t->m.note, sizeof(t->m.note), "%s", why.text);
}

/* ---------------------------------------------------------------------- disks -- */

/* The error, 0 if the disk is (`off`: is not) in use by the system from now on. */
static unsigned long
set_offline(struct target_device *t, int off)
{
	struct disk_attributes_set a;
	unsigned long error;

	memset(&a, 0, sizeof(a));
	a.version = sizeof(a);
	/* Not persistent: what ends us does not leave a disk that nobody finds. */
	a.attributes = off ? DISK_OFFLINE : 0;
	a.mask = DISK_OFFLINE;
	error = device_control(t->d, DISK_ATTRIBUTES_SET, &a, sizeof(a), NULL, 0, NULL);
	if (error != ERROR_INVALID_PARAMETER)
		return error;
	/* Samples have its own size there, the page says the other structure's. */
	a.version = sizeof(struct disk_attributes_get);
	return device_control(t->d, DISK_ATTRIBUTES_SET, &a, sizeof(a), NULL, 0, NULL);
}

static int
is_offline(struct target_device *t)
{
	struct disk_attributes_get a;
	size_t got = 0;

	memset(&a, 0, sizeof(a));
	return device_control(t->d, DISK_ATTRIBUTES_GET, NULL, 0, &a, sizeof(a), &got) ==
		   0 &&
	       got >= sizeof(a) && (a.attributes & DISK_OFFLINE) != 0;
}

static int
hold(void *arg, const char *volume, struct err *err)
{
	struct target_device *t = arg;
	struct device *d;

	if (t->held_count == HELD_MAX)
		return err_set(err, ERR_LIMIT, "%s: more than %u volumes are on it",
		    t->m.path, HELD_MAX);
	if (device_open(volume, DEVICE_WRITE, &d, err) != 0)
		return -1;
	t->held[t->held_count++] = d;
	if (device_lock(d, LOCK_MS, err) != 0)
		return -1;
	forget_changes(t, volume);
	return device_dismount(d, err);
}

/* Nobody else uses the disk from now on: its volumes are ours, then it is offline. */
static int
take_disk(struct target_device *t, struct err *err)
{
	uint32_t number;
	unsigned long error;

	/* Not to be guessed: what lies on it may be in use. */
	if (!device_number(t->d, &number))
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: nobody knows which volumes lie on it: it does not say which "
		    "disk it is",
		    t->m.path);
	if (target_place_volumes(number, hold, t, err) != 0)
		return err_context(err, "%s", t->m.path);
	if (is_offline(t))
		return 0;
	error = set_offline(t, 1);
	/* Removable disks and old systems have no such state; the locks hold. */
	t->taken_offline = error == 0;
	if (t->taken_offline && t->twin && t->m.note[0] == '\0')
		(void)snprintf(t->m.note, sizeof(t->m.note),
		    "the copy stays offline here: online beside its source Windows gives "
		    "it another signature, and what is on it may not start");
	return 0;
}

static void
give_disk_back(struct target_device *t)
{
	for (unsigned i = 0; i < t->held_count; i++)
		device_close(t->held[i]);
	t->held_count = 0;
	if (device_kind(t->d) != DEVICE_DISK)
		return;
	/*
	 * Windows writes a new signature to a disk that comes online beside another one
	 * of its signature, which boot configurations name: learn.microsoft.com/archive/
	 * blogs/markrussinovich/fixing-disk-signature-collisions
	 */
	if (t->taken_offline && !(t->twin && t->finished))
		(void)set_offline(t, 0);
	/* The system reads the new table. */
	(void)device_control(t->d, IOCTL_DISK_UPDATE_PROPERTIES, NULL, 0, NULL, 0, NULL);
}

/* ------------------------------------------------------------------ beginning -- */

static int
device_medium_finish(struct target_medium *m, struct err *err)
{
	struct target_device *t = (struct target_device *)m;

	if (device_flush(t->d, err) != 0)
		return -1;
	t->finished = 1;
	return 0;
}

/* A volume is mounted anew by whoever uses it next. */
static void
device_medium_close(struct target_medium *m)
{
	struct target_device *t = (struct target_device *)m;

	if (t->d != NULL)
		give_disk_back(t);
	device_close(t->d);
	free(m->path);
	free(t);
}

static const struct target_medium_ops device_ops = {
	.read = device_medium_read,
	.write = device_medium_write,
	.zero = device_medium_zero,
	.discard = device_medium_discard,
	.settle = device_medium_settle,
	.finish = device_medium_finish,
	.close = device_medium_close,
};

static int
open_checked(struct target_device *t, struct err *err)
{
	const char *path = t->m.path;
	enum device_kind kind = device_path_kind(path);

	if (kind == DEVICE_SNAPSHOT)
		return err_set(
		    err, ERR_UNSUPPORTED, "%s: a snapshot is not written over", path);
	if (target_place_refuse(path, NULL, err) != 0 ||
	    device_open(path, DEVICE_WRITE, &t->d, err) != 0)
		return -1;
	if (device_size(t->d) < t->m.size)
		return err_set(err, ERR_LIMIT,
		    "%s: too small: %llu bytes, the volume has %llu", path,
		    (unsigned long long)device_size(t->d), (unsigned long long)t->m.size);
	if (device_kind(t->d) == DEVICE_DISK)
		return take_disk(t, err);
	/*
	 * Since Vista only a locked and dismounted volume may be written:
	 * learn.microsoft.com/windows-hardware/drivers/storage/
	 * blocking-direct-write-operations-to-volumes-and-disks
	 */
	if (device_lock(t->d, LOCK_MS, err) != 0)
		return -1;
	forget_changes(t, path);
	return device_dismount(t->d, err);
}

int
target_medium_is_device(const char *path, struct err *err)
{
	char *place = target_place_device(path);

	(void)err;
	free(place);
	return place != NULL;
}

int
target_medium_device(const char *path, uint64_t size, unsigned flags,
    struct target_medium **out, struct err *err)
{
	struct target_device *t = calloc(1, sizeof(*t));

	if (t == NULL || (t->m.path = target_place_device(path)) == NULL) {
		free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	t->m.ops = &device_ops;
	t->m.size = size;
	t->m.in_place = 1;
	t->twin = (flags & TARGET_TWIN) != 0;
	if (open_checked(t, err) != 0) {
		device_medium_close(&t->m);
		return -1;
	}
	return target_medium_edges(&t->m, device_sector_size(t->d), out, err);
}
