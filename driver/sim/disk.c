#define _GNU_SOURCE /* fallocate */
#include "driver/sim/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/atomic.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"
#include "driver/sim/env_posix.h"
#include "driver/sim/record.h"

struct disk {
	char *name;
	int fd;
	uint64_t number, length;
	uint32_t sector;
	uint32_t read_us, write_us; /* atomic, as these: */
	uint32_t forget, seed, drawn, forgotten;
	struct record *record;
	struct volume *volume;
};

/* A write that waits; its thread sleeps until the core sends it down. */
struct request {
	struct held held; /* first: the core gives back its address */
	struct env_event go;
};

static void
delay(const uint32_t *us)
{
	uint32_t n = atomic_get(us);
	struct timespec t = { (time_t)(n / 1000000), (long)(n % 1000000 * 1000) };

	if (n != 0)
		nanosleep(&t, NULL);
}

/* ------------------------------------------------------------- what lies below -- */

static int
below_read(struct disk *d, uint64_t offset, void *buffer, uint32_t length)
{
	unsigned char *to = buffer;

	delay(&d->read_us);
	while (length > 0) {
		ssize_t n = pread(d->fd, to, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		to += n;
		offset += (uint64_t)n;
		length -= (uint32_t)n;
	}
	return 0;
}

static int
below_write(struct disk *d, uint64_t offset, const void *buffer, uint32_t length)
{
	const unsigned char *from = buffer;

	delay(&d->write_us);
	while (length > 0) {
		ssize_t n = pwrite(d->fd, from, length, (off_t)offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		from += n;
		offset += (uint64_t)n;
		length -= (uint32_t)n;
	}
	return 0;
}

static int
below_zero(struct disk *d, uint64_t offset, uint32_t length, bool punch)
{
	static const unsigned char zeros[64 << 10];
	int how = (punch ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE) |
		  FALLOC_FL_KEEP_SIZE,
	    error = 0;

	if (fallocate(d->fd, how, (off_t)offset, (off_t)length) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != ENODEV && errno != EINVAL)
		return errno;
	while (length > 0 && error == 0) {
		uint32_t n = length < sizeof zeros ? length : (uint32_t)sizeof zeros;

		error = below_write(d, offset, zeros, n);
		offset += n;
		length -= n;
	}
	return error;
}

/* What the core does itself, past the filter. */
static int
ops_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	env_posix_passive("the core's read");
	return below_read(device, offset, buffer, length) == 0 ? 0 : -1;
}

static int
ops_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	struct disk *d = device;

	env_posix_passive("the core's write");
	if (below_write(d, offset, buffer, length) != 0)
		return -1;
	return through && fdatasync(d->fd) != 0 ? -1 : 0;
}

static void
ops_forward(void *device, struct held *h)
{
	struct request *r = (struct request *)h;

	(void)device;
	env_posix_passive("the core's forward");
	env_event_set(&r->go);
}

/* ------------------------------------------------------------------- the host's -- */

int
disk_read(struct disk *d, uint64_t offset, void *buffer, uint32_t length)
{
	return below_read(d, offset, buffer, length);
}

/* A share of all, drawn; evenly, as the last step of MurmurHash3 spreads numbers. */
static bool
draw(struct disk *d)
{
	uint32_t x = atomic_add(&d->drawn, 1) + atomic_get(&d->seed);

	x = (x ^ x >> 16) * 0x85ebca6bu;
	x = (x ^ x >> 13) * 0xc2b2ae35u;
	return (x ^ x >> 16) < atomic_get(&d->forget);
}

/* Passes the gate as a write of no length, of which the tracking hears nothing.  While it
   is in flight no gate can be drained, so nothing becomes frozen. */
static bool
pass_unseen(struct disk *d)
{
	if (atomic_get(&d->forget) == 0 || !draw(d) ||
	    volume_write_begin(d->volume, 0, 0) != VOLUME_FORWARD)
		return false;
	if (volume_state(d->volume) == HOTCOPY_IDLE) {
		atomic_add(&d->forgotten, 1);
		return true;
	}
	volume_write_done(d->volume);
	return false;
}

/* Comes back when it may be sent down; the driver knows sectors only. */
static void
enter(struct disk *d, bool range, uint64_t offset, uint32_t length)
{
	uint64_t first = offset - offset % d->sector, end = offset + length;
	enum volume_verdict verdict;
	struct request r;

	if (pass_unseen(d))
		return;
	end += (d->sector - end % d->sector) % d->sector;
	/* Rounding may take a length to 4 GiB. */
	range = range || end - first > UINT32_MAX;
	verdict = range ? volume_range_begin(d->volume, first, end - first)
			: volume_write_begin(d->volume, first, (uint32_t)(end - first));
	if (verdict == VOLUME_FORWARD)
		return;
	env_event_init(&r.go, ENV_STAYS);
	volume_hold(d->volume, &r.held, first, end - first);
	env_event_wait(&r.go, ENV_FOREVER);
	env_event_done(&r.go);
}

int
disk_write(struct disk *d, uint64_t offset, const void *buffer, uint32_t length)
{
	uint64_t number =
	    record_begin(d->record, RECORD_WRITE, d->number, offset, length, buffer);
	int error;

	enter(d, false, offset, length);
	error = below_write(d, offset, buffer, length);
	volume_write_done(d->volume);
	record_end(d->record, number, error != 0);
	return error;
}

int
disk_zero(struct disk *d, uint64_t offset, uint32_t length, bool punch)
{
	uint64_t number =
	    record_begin(d->record, RECORD_ZERO, d->number, offset, length, NULL);
	int error;

	enter(d, true, offset, length);
	error = below_zero(d, offset, length, punch);
	volume_write_done(d->volume);
	record_end(d->record, number, error != 0);
	return error;
}

int
disk_flush(struct disk *d)
{
	return fdatasync(d->fd) != 0 ? errno : 0;
}

/* ------------------------------------------------------------------------- life -- */

static int
length_of(int fd, uint64_t *length)
{
	off_t end = lseek(fd, 0, SEEK_END); /* of devices, too */

	*length = (uint64_t)end;
	return end < 0 ? -1 : 0;
}

struct disk *
disk_open(const char *name, const char *path, uint64_t number, uint32_t sector,
    struct record *record, char *why, unsigned why_size)
{
	static const struct volume_ops ops = { ops_read, ops_write, ops_forward };
	struct disk *d = calloc(1, sizeof *d);

	if (d == NULL || (d->name = strdup(name)) == NULL) {
		free(d);
		snprintf(why, why_size, "%s: out of memory", path);
		return NULL;
	}
	d->number = number;
	d->sector = sector;
	d->record = record;
	d->fd = open(path, O_RDWR | O_CLOEXEC);
	if (d->fd < 0 || length_of(d->fd, &d->length) != 0)
		snprintf(why, why_size, "%s: %s", path, strerror(errno));
	else if (d->length == 0 || d->length % sector != 0)
		snprintf(why, why_size, "%s: its length is no multiple of %u bytes", path,
		    (unsigned)sector);
	else if ((d->volume = volume_make(&ops, d, number, d->length, sector)) == NULL)
		snprintf(why, why_size, "%s: out of memory", path);
	else
		return d;
	disk_close(d);
	return NULL;
}

int
disk_track(struct disk *d, uint64_t offset, struct track_notice notice, char *why,
    unsigned why_size)
{
	struct hotcopy_track how = {
		.h = { sizeof how, HOTCOPY_ABI }, .volume = d->number, .extents = 1
	};
	/* Whole copy chunks: what shares one with a store is served, and changes. */
	uint64_t bytes = track_store_bytes(d->length),
		 chunk = 1u << HOTCOPY_CHUNK_SHIFT_MAX;
	struct hotcopy_extent store = { offset, bytes + (chunk - bytes % chunk) % chunk };
	struct track *t;

	if (offset % d->sector != 0 || offset > d->length ||
	    store.length > d->length - offset) {
		snprintf(why, why_size, "%s: no tracking store of %llu bytes is at %llu",
		    d->name, (unsigned long long)store.length,
		    (unsigned long long)offset);
		return -1;
	}
	t = track_open(d->volume, &how, &store, notice);
	if (t == NULL) {
		snprintf(why, why_size, "%s: out of memory", d->name);
		return -1;
	}
	(void)volume_track_put(d->volume, t);
	return 0;
}

void
disk_gone(struct disk *d)
{
	volume_gone(d->volume);
}

void
disk_close(struct disk *d)
{
	if (d == NULL)
		return;
	if (d->volume != NULL)
		volume_free(d->volume);
	if (d->fd >= 0)
		close(d->fd);
	free(d->name);
	free(d);
}

const char *
disk_name(const struct disk *d)
{
	return d->name;
}

uint64_t
disk_length(const struct disk *d)
{
	return d->length;
}

struct volume *
disk_volume(const struct disk *d)
{
	return d->volume;
}

void
disk_delay(struct disk *d, uint32_t read_us, uint32_t write_us)
{
	atomic_put(&d->read_us, read_us);
	atomic_put(&d->write_us, write_us);
}

uint32_t
disk_forget(struct disk *d, uint32_t share, uint32_t seed)
{
	atomic_put(&d->seed, seed);
	atomic_put(&d->forget, share);
	return atomic_get(&d->forgotten);
}
