#include "tests/driver/core_bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "driver/core/atomic.h"
#include "driver/core/control.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"

static struct control *control;
static struct control_file *handle;
static uint64_t set;

struct request {
	struct held held;
	struct env_event go;
};

static void
must(bool yes, const char *what)
{
	if (yes)
		return;
	fprintf(stderr, "core_bench: %s\n", what);
	exit(2);
}

/* ------------------------------------------------------------------------ disks -- */

static void
take(const uint32_t *us)
{
	uint32_t n = atomic_get(us);
	struct timespec t = { (time_t)(n / 1000000), (long)(n % 1000000 * 1000) };

	if (n != 0)
		nanosleep(&t, NULL);
}

static int
disk_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	struct core_bench_disk *d = device;

	(void)offset;
	atomic_count_relaxed(&d->reads);
	take(&d->read_us);
	memset(buffer, 0, length);
	return 0;
}

static int
disk_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	struct core_bench_disk *d = device;

	(void)offset, (void)buffer, (void)length, (void)through;
	atomic_count_relaxed(&d->writes);
	take(&d->write_us);
	return 0;
}

static void
disk_forward(void *device, struct held *h)
{
	(void)device;
	env_event_set(&((struct request *)h)->go);
}

static void
nothing(void *who)
{
	(void)who;
}

void
core_bench_join(struct volume *v)
{
	struct control_notice notice = { nothing, NULL };

	if (control == NULL) {
		control = control_make(notice);
		must(control != NULL, "no control");
		handle = control_open(control);
		must(handle != NULL, "no handle");
	}
	must(control_join(control, v) == 0, "a volume may not join");
}

void
core_bench_leave(struct volume *v)
{
	volume_gone(v);
	control_leave(control, v);
}

struct core_bench_disk *
core_bench_disk_make(uint64_t number, uint64_t length)
{
	static const struct volume_ops ops = { disk_read, disk_write, disk_forward };
	struct core_bench_disk *d = calloc(1, sizeof *d);

	must(d != NULL, "no memory");
	d->length = length;
	d->volume = volume_make(&ops, d, number, length, 512);
	must(d->volume != NULL, "no volume");
	core_bench_join(d->volume);
	return d;
}

void
core_bench_disk_free(struct core_bench_disk *d)
{
	core_bench_leave(d->volume);
	volume_free(d->volume);
	free(d);
}

void
core_bench_write(struct core_bench_disk *d, uint64_t offset, uint32_t length)
{
	struct request r;

	if (volume_write_begin(d->volume, offset, length) == VOLUME_HOLD) {
		env_event_init(&r.go, ENV_STAYS);
		volume_hold(d->volume, &r.held, offset, length);
		env_event_wait(&r.go, ENV_FOREVER);
		env_event_done(&r.go);
	}
	take(&d->write_us);
	volume_write_done(d->volume);
}

/* ------------------------------------------------------------------------ calls -- */

static enum set_result
call(struct control_file *f, uint32_t code, void *buffer, size_t in, size_t room)
{
	struct hotcopy_header *h = buffer;
	uint32_t out;

	h->size = (uint32_t)in;
	h->abi = HOTCOPY_ABI;
	return control_call(f, code, buffer, (uint32_t)in, (uint32_t)room, &out);
}

uint64_t
core_bench_prepare(const uint64_t *volumes, uint32_t count, uint64_t memory,
    uint32_t chunk_shift, bool only_changed)
{
	struct hotcopy_prepare p = { .volumes = count,
		.chunk_shift = chunk_shift,
		.memory = memory,
		.only_changed = only_changed ? ((uint64_t)1 << count) - 1 : 0 };
	struct hotcopy_prepared *answer = (struct hotcopy_prepared *)&p;

	memcpy(p.volume, volumes, count * sizeof *volumes);
	must(call(handle, HOTCOPY_IOCTL_PREPARE, &p, sizeof p, sizeof p) == SET_OK,
	    "PREPARE");
	set = answer->set;
	return set;
}

void
core_bench_diff_add(uint64_t at, uint64_t offset, uint64_t length)
{
	union {
		struct hotcopy_extents x;
		unsigned char
		    room[sizeof(struct hotcopy_extents) + sizeof(struct hotcopy_extent)];
	} u;
	struct hotcopy_extent e = { offset, length };

	memset(&u, 0, sizeof u);
	u.x.set = set;
	u.x.at = at;
	u.x.extents = 1;
	memcpy(u.x.extent, &e, sizeof e);
	must(call(handle, HOTCOPY_IOCTL_DIFF_ADD, &u, sizeof u.room, 0) == SET_OK,
	    "DIFF_ADD");
}

bool
core_bench_freeze(struct hotcopy_frozen *out)
{
	union {
		struct hotcopy_freeze in;
		struct hotcopy_frozen out;
	} u;
	enum set_result result;

	memset(&u, 0, sizeof u);
	u.in.set = set;
	u.in.flags = HOTCOPY_FREEZE_GENERATION;
	memset(u.in.nonce, CORE_BENCH_NONCE, sizeof u.in.nonce);
	result = call(handle, HOTCOPY_IOCTL_FREEZE, &u, sizeof u.in, sizeof u.out);
	must(result == SET_OK || result == SET_TIMEOUT, "FREEZE");
	*out = u.out;
	return result == SET_OK;
}

void
core_bench_track(uint64_t volume)
{
	struct hotcopy_track t = { .volume = volume, .flags = HOTCOPY_TRACK_CREATE };

	memset(t.nonce, CORE_BENCH_NONCE, sizeof t.nonce);
	must(call(handle, HOTCOPY_IOCTL_TRACK, &t, sizeof t, 0) == SET_OK, "TRACK");
}

void
core_bench_commit(uint64_t volume, uint64_t generation)
{
	struct hotcopy_generation g = { .volume = volume, .generation = generation };

	memset(g.nonce, CORE_BENCH_NONCE, sizeof g.nonce);
	must(call(handle, HOTCOPY_IOCTL_COMMIT, &g, sizeof g, 0) == SET_OK, "COMMIT");
}

static void
bits(uint32_t code, uint64_t first, uint32_t count, uint8_t *bit, bool out)
{
	size_t tail = (count + 7) / 8;
	struct hotcopy_bits *b = calloc(1, sizeof *b + tail);

	must(b != NULL, "no memory");
	b->set = set;
	b->first = first;
	b->bits = count;
	if (!out)
		memcpy(b->bit, bit, tail);
	must(call(handle, code, b, sizeof *b + (out ? 0 : tail), sizeof *b + tail) ==
		 SET_OK,
	    "UNNEEDED or CHANGED");
	if (out)
		memcpy(bit, b->bit, tail);
	free(b);
}

void
core_bench_unneeded(uint64_t first, uint32_t count, const uint8_t *bit)
{
	bits(HOTCOPY_IOCTL_UNNEEDED, first, count, (uint8_t *)(uintptr_t)bit, false);
}

void
core_bench_changed(uint64_t first, uint32_t count, uint8_t *bit)
{
	bits(HOTCOPY_IOCTL_CHANGED, first, count, bit, true);
}

void
core_bench_done(uint64_t offset, uint64_t length)
{
	struct hotcopy_range r = { .set = set, .offset = offset, .length = length };

	must(call(handle, HOTCOPY_IOCTL_DONE_READ, &r, sizeof r, 0) == SET_OK,
	    "DONE_READ");
}

void
core_bench_stats(struct hotcopy_stats *stats)
{
	union {
		struct hotcopy_bind in;
		struct hotcopy_stats out;
	} u;

	memset(&u, 0, sizeof u);
	u.in.set = set;
	must(call(handle, HOTCOPY_IOCTL_STATS, &u, sizeof u.in, sizeof u.out) == SET_OK,
	    "STATS");
	*stats = u.out;
}

void
core_bench_release(void)
{
	struct hotcopy_release r = { .set = set };

	must(call(handle, HOTCOPY_IOCTL_RELEASE, &r, sizeof r, 0) == SET_OK, "RELEASE");
}

struct control_file *
core_bench_reader(void)
{
	struct hotcopy_bind b = { .set = set };
	struct control_file *f = control_open(control);

	must(f != NULL, "no handle");
	must(call(f, HOTCOPY_IOCTL_BIND, &b, sizeof b, sizeof b) == SET_OK, "BIND");
	return f;
}

void
core_bench_reader_close(struct control_file *f)
{
	control_cleanup(f);
	control_close(f);
}

double
core_bench_wall(void)
{
	return (double)env_now() / 10;
}

double
core_bench_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}
