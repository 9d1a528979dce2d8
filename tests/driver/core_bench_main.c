/*
 * core_bench - what the core costs; each word is one measurement and one line of JSON.
 *	idle	a write that is only tracked: CPU, takings and locks
 *	gate	how long it is closed with 64 writes at once; and when a disk hangs
 *	touch	latency of a write: alone, first touch, kept already, not needed
 *	read FILE [N]	the image beside the disk, 8 readers of 64 KiB; FILE is made
 *	memory	of a frozen, tracked volume of 1 TiB
 *	diff	the diff area of an incremental of a hot 100 GB, simulated time
 * ./dev bench driver runs them in turn and judges (tests/bench/driver.py).
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/core/atomic.h"
#include "driver/core/control.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"
#include "driver/sim/disk.h"
#include "driver/sim/env_posix.h"
#include "tests/driver/core_bench.h"

#define MIB ((uint64_t)1 << 20)

static uint64_t
draw(void)
{
	static uint64_t x = 88172645463325252u;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x >> 11;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double
median(double *v, unsigned n)
{
	qsort(v, n, sizeof *v, by_value);
	return v[n / 2];
}

/* ------------------------------------------------------------------------- idle -- */

#define IDLE_WRITES 4000000u
#define IDLE_LENGTH ((uint64_t)64 << 30)

static int
idle(void)
{
	struct core_bench_disk *d = core_bench_disk_make(1, IDLE_LENGTH);
	struct env_posix_facts before, after;
	double a, b, c;
	uint64_t sum = 0;

	core_bench_track(1);
	a = core_bench_cpu();
	for (unsigned i = 0; i < IDLE_WRITES; i++)
		sum += draw() % (IDLE_LENGTH / 4096) * 4096;
	b = core_bench_cpu();
	env_posix_facts(&before);
	for (unsigned i = 0; i < IDLE_WRITES; i++) {
		if (volume_write_begin(d->volume, draw() % (IDLE_LENGTH / 4096) * 4096,
			4096) != VOLUME_FORWARD)
			return 2;
		volume_write_done(d->volume);
	}
	c = core_bench_cpu();
	env_posix_facts(&after);
	printf("{\"ns\": %.1f, \"takings\": %llu, \"locks\": %llu, \"draw\": %u}\n",
	    (c - b - (b - a)) / IDLE_WRITES,
	    (unsigned long long)(after.takings - before.takings),
	    (unsigned long long)(after.locks - before.locks), (unsigned)(sum & 1));
	core_bench_disk_free(d);
	return 0;
}

/* ------------------------------------------------------------------------- gate -- */

#define GATE_WRITERS 64u
#define GATE_ROUNDS 40u
#define GATE_WRITE_US 2000u

struct writers {
	struct core_bench_disk *disk;
	pthread_t thread[GATE_WRITERS];
	uint32_t stop, seed;
};

static void *
writer_run(void *arg)
{
	struct writers *w = arg;
	uint32_t x = atomic_add(&w->seed, 1) * 2654435761u + 1;

	while (atomic_get(&w->stop) == 0) {
		x = x * 1664525 + 1013904223;
		core_bench_write(
		    w->disk, (uint64_t)(x >> 12) * 4096 % w->disk->length, 4096);
	}
	return NULL;
}

static int
gate(void)
{
	struct writers w = { .disk = core_bench_disk_make(1, MIB << 12) };
	struct hotcopy_frozen f;
	double closed[GATE_ROUNDS], most = 0, stuck, held = 0;
	uint64_t one = 1;

	atomic_put(&w.disk->write_us, GATE_WRITE_US);
	for (unsigned i = 0; i < GATE_WRITERS; i++)
		if (pthread_create(&w.thread[i], NULL, writer_run, &w) != 0)
			return 2;
	for (unsigned i = 0; i < GATE_ROUNDS; i++) {
		core_bench_prepare(&one, 1, 64 * MIB, 14, false);
		usleep(10000);
		if (!core_bench_freeze(&f))
			return 2;
		closed[i] = (double)(f.opened - f.closed) / 10000;
		most = closed[i] > most ? closed[i] : most;
		held += f.held;
		core_bench_release();
	}
	/* A disk that hangs for longer than the gate may be closed. */
	atomic_put(&w.disk->write_us, 4000000);
	usleep(20000);
	core_bench_prepare(&one, 1, 64 * MIB, 14, false);
	stuck = core_bench_wall();
	if (core_bench_freeze(&f))
		return 2;
	stuck = (core_bench_wall() - stuck) / 1000;
	core_bench_release();
	atomic_put(&w.disk->write_us, 0);
	atomic_put(&w.stop, 1);
	for (unsigned i = 0; i < GATE_WRITERS; i++)
		pthread_join(w.thread[i], NULL);
	printf("{\"gate_ms\": %.2f, \"gate_most_ms\": %.2f, \"held\": %.0f, "
	       "\"stuck_ms\": %.1f, \"write_us\": %u, \"writers\": %u}\n",
	    median(closed, GATE_ROUNDS), most, held / GATE_ROUNDS, stuck, GATE_WRITE_US,
	    GATE_WRITERS);
	core_bench_disk_free(w.disk);
	return 0;
}

/* ------------------------------------------------------------------------ touch -- */

#define TOUCH_ROUNDS 300u
#define TOUCH_US 500u
#define CHUNK ((uint64_t)1 << 14)

static double
timed(struct core_bench_disk *d, uint64_t offset)
{
	double begin = core_bench_wall();

	core_bench_write(d, offset, 4096);
	return core_bench_wall() - begin;
}

static int
touch(void)
{
	struct core_bench_disk *plain = core_bench_disk_make(1, MIB << 10);
	struct core_bench_disk *frozen = core_bench_disk_make(2, MIB << 10);
	static double alone[TOUCH_ROUNDS], first[TOUCH_ROUNDS], kept[TOUCH_ROUNDS],
	    unneeded[TOUCH_ROUNDS];
	struct hotcopy_frozen f;
	uint64_t two = 2;
	uint8_t bit = 0xAA; /* every second chunk is not needed */

	core_bench_prepare(&two, 1, 64 * MIB, 14, false);
	if (!core_bench_freeze(&f))
		return 2;
	for (uint64_t c = 0; c < TOUCH_ROUNDS * 2 + 8; c += 8)
		core_bench_unneeded(c, 8, &bit);
	atomic_put(&plain->read_us, TOUCH_US);
	atomic_put(&plain->write_us, TOUCH_US);
	atomic_put(&frozen->read_us, TOUCH_US);
	atomic_put(&frozen->write_us, TOUCH_US);
	for (unsigned i = 0; i < TOUCH_ROUNDS; i++) {
		alone[i] = timed(plain, i * 2 * CHUNK);
		first[i] = timed(frozen, i * 2 * CHUNK);
		kept[i] = timed(frozen, i * 2 * CHUNK);
		unneeded[i] = timed(frozen, (i * 2 + 1) * CHUNK);
	}
	printf("{\"alone_us\": %.1f, \"first_us\": %.1f, \"kept_us\": %.1f, "
	       "\"unneeded_us\": %.1f, \"disk_us\": %u}\n",
	    median(alone, TOUCH_ROUNDS), median(first, TOUCH_ROUNDS),
	    median(kept, TOUCH_ROUNDS), median(unneeded, TOUCH_ROUNDS), TOUCH_US);
	core_bench_release();
	core_bench_disk_free(plain);
	core_bench_disk_free(frozen);
	return 0;
}

/* ------------------------------------------------------------------------- read -- */

#define READ_BYTES (256 * MIB)
#define READ_PIECE (64u << 10)
#define READ_THREADS 8u
#define READ_ROUNDS 9u

struct readers {
	struct disk *disk;
	struct control_file *file[READ_THREADS]; /* NULL: the disk */
	uint32_t next, thread, failed;
};

static void *
reader_run(void *arg)
{
	struct readers *r = arg;
	struct control_file *f = r->file[atomic_add(&r->thread, 1) % READ_THREADS];
	unsigned char *buffer = env_alloc(READ_PIECE);
	uint32_t n;

	while ((n = atomic_add(&r->next, 1)) < READ_BYTES / READ_PIECE) {
		uint64_t at = (uint64_t)n * READ_PIECE;
		bool ok = f == NULL ? disk_read(r->disk, at, buffer, READ_PIECE) == 0
				    : control_read(f, at, buffer, READ_PIECE) == SET_OK;

		if (!ok)
			atomic_put(&r->failed, 1);
	}
	env_free(buffer);
	return NULL;
}

/* MB/s */
static double
pass(struct readers *r)
{
	pthread_t thread[READ_THREADS];
	double begin = core_bench_wall();

	r->next = 0;
	for (unsigned i = 0; i < READ_THREADS; i++)
		if (pthread_create(&thread[i], NULL, reader_run, r) != 0)
			exit(2);
	for (unsigned i = 0; i < READ_THREADS; i++)
		pthread_join(thread[i], NULL);
	return (double)READ_BYTES / (core_bench_wall() - begin);
}

/* Every "of"th chunk is written, so that its copy is read. */
static int
read_image(const char *path, unsigned of)
{
	struct readers raw = { 0 }, image = { 0 };
	double rate[2][READ_ROUNDS], share[READ_ROUNDS];
	static unsigned char bytes[MIB];
	struct hotcopy_frozen f;
	struct hotcopy_stats stats;
	uint64_t one = 1;
	char why[200];
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	for (uint64_t i = 0; i < READ_BYTES / MIB; i++) {
		memset(bytes, (int)i, sizeof bytes);
		if (write(fd, bytes, sizeof bytes) != sizeof bytes)
			return 2;
	}
	close(fd);
	raw.disk = image.disk = disk_open("d", path, 1, 512, NULL, why, sizeof why);
	if (raw.disk == NULL)
		return 2;
	core_bench_join(disk_volume(raw.disk));
	core_bench_prepare(&one, 1, 64 * MIB, 14, false);
	if (!core_bench_freeze(&f))
		return 2;
	for (uint64_t at = 0; of != 0 && at < READ_BYTES; at += of * CHUNK)
		if (disk_write(raw.disk, at, bytes, 4096) != 0)
			return 2;
	for (unsigned i = 0; i < READ_THREADS; i++)
		image.file[i] = core_bench_reader();
	pass(&raw);
	for (unsigned i = 0; i < READ_ROUNDS; i++) {
		rate[i % 2][i] = pass(i % 2 == 0 ? &raw : &image);
		rate[1 - i % 2][i] = pass(i % 2 == 0 ? &image : &raw);
		share[i] = rate[1][i] / rate[0][i];
	}
	core_bench_stats(&stats);
	printf(
	    "{\"raw_mb_s\": %.0f, \"image_mb_s\": %.0f, \"share\": %.3f, \"kept\": %llu, "
	    "\"failed\": %u}\n",
	    median(rate[0], READ_ROUNDS), median(rate[1], READ_ROUNDS),
	    median(share, READ_ROUNDS), (unsigned long long)stats.copied,
	    raw.failed + image.failed);
	for (unsigned i = 0; i < READ_THREADS; i++)
		core_bench_reader_close(image.file[i]);
	core_bench_release();
	core_bench_leave(disk_volume(raw.disk));
	disk_close(raw.disk);
	unlink(path);
	return 0;
}

/* ----------------------------------------------------------------------- memory -- */

#define MEMORY_LENGTH ((uint64_t)1 << 40)
#define MEMORY_BUDGET (64 * MIB)

static int
memory(void)
{
	struct core_bench_disk *d = core_bench_disk_make(1, MEMORY_LENGTH), *room;
	struct env_posix_facts before, tracked, frozen, after;
	struct hotcopy_frozen f;
	uint64_t one = 1;

	room = core_bench_disk_make(2, MIB << 10);
	env_posix_facts(&before);
	core_bench_track(1);
	env_posix_facts(&tracked);
	core_bench_prepare(&one, 1, MEMORY_BUDGET, 14, false);
	core_bench_diff_add(2, 0, MIB << 10);
	if (!core_bench_freeze(&f))
		return 2;
	env_posix_facts(&frozen);
	env_posix_peak_reset();
	for (unsigned i = 0; i < 20000; i++)
		core_bench_write(d, draw() % (MEMORY_LENGTH / 4096) * 4096, 4096);
	env_posix_facts(&after);
	printf("{\"track\": %llu, \"set\": %llu, \"grown\": %llu, \"budget\": %llu, "
	       "\"bitmap_track\": %llu, \"bitmap_chunks\": %llu, \"takings\": %llu}\n",
	    (unsigned long long)(tracked.bytes - before.bytes),
	    (unsigned long long)(frozen.bytes - tracked.bytes),
	    (unsigned long long)(after.bytes_peak - frozen.bytes),
	    (unsigned long long)MEMORY_BUDGET,
	    (unsigned long long)(MEMORY_LENGTH >> HOTCOPY_TRACK_SHIFT >> 3),
	    (unsigned long long)(MEMORY_LENGTH / CHUNK / 8),
	    (unsigned long long)(after.takings - frozen.takings));
	core_bench_release();
	core_bench_disk_free(d);
	core_bench_disk_free(room);
	return 0;
}

/* ------------------------------------------------------------------------- diff -- */

/*
 * The model.  A volume of V bytes in chunks of c; writes of 4 KiB, r a second, uniform,
 * so that a chunk is first touched at rate l = r c / V.  The reader passes over the
 * volume in T = V / speed seconds, and a share s of it is needed.  The chunk that it
 * takes at the moment x T was copied with probability 1 - exp(-l x T), so all it ever
 * copies is
 *	s V (1 - (1 - exp(-l T)) / (l T))
 * and, as what has been read gives its place back, at moment x T there lies
 *	s V (1 - x) (1 - exp(-l T x)).
 */
#define DIFF_LENGTH 100000014336u /* 100 GB, whole blocks of 64 KiB */
#define DIFF_SHARE 0.03
#define DIFF_RATE 10000.0
#define DIFF_SPEED (200.0 * 1048576)
#define DIFF_BLOCK ((uint64_t)1 << HOTCOPY_TRACK_SHIFT)
#define DIFF_ROOM (MIB << 11)

static void
closed_form(double *copied, double *most)
{
	double seconds = DIFF_LENGTH / DIFF_SPEED;
	double l = DIFF_RATE * (double)CHUNK / DIFF_LENGTH * seconds;

	*copied = DIFF_SHARE * DIFF_LENGTH * (1 - (1 - exp(-l)) / l);
	*most = 0;
	for (double x = 0; x < 1; x += 0.0001) {
		double lies = DIFF_SHARE * DIFF_LENGTH * (1 - x) * (1 - exp(-l * x));

		*most = lies > *most ? lies : *most;
	}
}

/* A generation in which "DIFF_SHARE" of the blocks changed. */
static void
change_some(struct core_bench_disk *d)
{
	struct hotcopy_frozen f;
	uint64_t one = 1, blocks = DIFF_LENGTH / DIFF_BLOCK;

	core_bench_track(1);
	core_bench_prepare(&one, 1, MIB, 14, false);
	if (!core_bench_freeze(&f))
		exit(2);
	core_bench_commit(1, f.generation[0]);
	core_bench_release();
	for (uint64_t b = 0; b < blocks; b++)
		if ((double)(draw() % 1000000) < DIFF_SHARE * 1000000)
			core_bench_write(d, b * DIFF_BLOCK, 4096);
}

static int
diff(void)
{
	uint64_t blocks = DIFF_LENGTH / DIFF_BLOCK, one = 1, most = 0, writes = 0;
	struct core_bench_disk *d = core_bench_disk_make(1, blocks * DIFF_BLOCK);
	struct core_bench_disk *room = core_bench_disk_make(2, DIFF_ROOM);
	uint8_t *changed = calloc(1, blocks / 8 + 1);
	static unsigned char bytes[1 << HOTCOPY_TRACK_SHIFT];
	double now = 0, copied_model, most_model;
	struct hotcopy_stats stats;
	struct control_file *reader;
	struct hotcopy_frozen f;

	change_some(d);
	core_bench_prepare(&one, 1, 16 * MIB, 14, true);
	core_bench_diff_add(2, 0, DIFF_ROOM);
	if (changed == NULL || !core_bench_freeze(&f))
		return 2;
	core_bench_changed(0, (uint32_t)blocks, changed);
	reader = core_bench_reader();
	for (uint64_t b = 0; b < blocks; b++, now += (double)DIFF_BLOCK / DIFF_SPEED) {
		for (; (double)writes < now * DIFF_RATE; writes++)
			core_bench_write(d, draw() % (d->length / 4096) * 4096, 4096);
		if ((changed[b / 8] >> b % 8 & 1) == 0)
			continue;
		if (control_read(reader, b * DIFF_BLOCK, bytes, sizeof bytes) != SET_OK)
			return 2;
		core_bench_stats(&stats);
		if (stats.diff_used + stats.memory_used > most)
			most = stats.diff_used + stats.memory_used;
		core_bench_done(b * DIFF_BLOCK, DIFF_BLOCK);
	}
	core_bench_stats(&stats);
	closed_form(&copied_model, &most_model);
	printf("{\"copied\": %llu, \"most\": %llu, \"copied_model\": %.0f, "
	       "\"most_model\": %.0f, \"writes\": %llu}\n",
	    (unsigned long long)(stats.copied * CHUNK), (unsigned long long)most,
	    copied_model, most_model, (unsigned long long)writes);
	core_bench_reader_close(reader);
	core_bench_release();
	core_bench_disk_free(d);
	core_bench_disk_free(room);
	free(changed);
	return 0;
}

int
main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	if (strcmp(what, "idle") == 0)
		return idle();
	if (strcmp(what, "gate") == 0)
		return gate();
	if (strcmp(what, "touch") == 0)
		return touch();
	if (strcmp(what, "read") == 0 && argc > 2)
		return read_image(argv[2], argc > 3 ? (unsigned)atoi(argv[3]) : 0);
	if (strcmp(what, "memory") == 0)
		return memory();
	if (strcmp(what, "diff") == 0)
		return diff();
	fprintf(stderr, "usage: core_bench idle|gate|touch|read FILE [N]|memory|diff\n");
	return 2;
}
