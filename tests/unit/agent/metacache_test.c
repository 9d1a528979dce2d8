/*
 * What a map read is kept for the next: over random changes each byte is what the volume
 * has, only what changed is read and written, and no damage, crash or mix-up makes
 * another byte of it.
 */
#include <setjmp.h>
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/map/changes.h"
#include "agent/map/metacache.h"
#include "agent/map/metacache_format.h"
#include "agent/map/volmap.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/chunk_id.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/scratch.h"

#define U (256u << 10) /* The volume is made of these. */
#define SIZE ((uint64_t)24 * U + 700)
#define G METACACHE_GRAIN
#define LOG ((uint64_t)17 * U) /* An empty one: U bytes of ones. */

#ifdef __SANITIZE_ADDRESS__
#define ROUNDS(n) (((n) + 2) / 3)
#else
#define ROUNDS(n) (n)
#endif

/* ------------------------------------------------------ writes that do not come -- */

/* What becomes of the n-th write of the process and of all that follow. */
enum fault { FAULT_NONE, FAULT_LOST, FAULT_TORN, FAULT_FULL };
static enum fault fault;
static uint64_t writes, fault_at;

ssize_t pwrite(int fd, const void *p, size_t len, off_t offset);

/* The libc's, but for the fault: lost writes look as if they were done. */
ssize_t
pwrite(int fd, const void *p, size_t len, off_t offset)
{
	size_t n = len;

	writes++;
	if (fault != FAULT_NONE && writes >= fault_at) {
		if (fault == FAULT_FULL) {
			errno = ENOSPC;
			return -1;
		}
		n = fault == FAULT_TORN && writes == fault_at ? len / 2 : 0;
	}
	if (n > 0 && syscall(SYS_pwrite64, fd, p, n, offset) != (long)n)
		return -1;
	return (ssize_t)len;
}

/* ----------------------------------------------------------------------- a world -- */

struct world {
	uint8_t *disk;
	uint64_t size, reads, fail_at, fail_from, fail_to;
	struct changes *list;
	struct metacache *c;
	struct chunk_keys keys;
	struct chunk_id root; /* Of the newest point, */
	uint64_t sequence;
	char dir[SCRATCH_MAX], path[SCRATCH_MAX];
	struct err err;
};

static uint64_t x = 88172645463325252u;

static uint64_t
rnd(uint64_t n)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % n;
}

static int
read_disk(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct world *w = arg;

	assert_true(offset <= w->size && len <= w->size - offset);
	w->reads += len;
	if (offset < w->fail_to && offset + len > w->fail_from)
		return err_set(err, ERR_IO, "bad sector");
	memcpy(buf, w->disk + offset, len);
	return 0;
}

static int
set_up(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	struct world *w = calloc(1, sizeof(*w));

	chunk_keys_init(&w->keys, domain);
	w->size = SIZE;
	w->disk = malloc(SIZE);
	for (uint64_t i = 0; i < SIZE; i++)
		w->disk[i] = (uint8_t)rnd(256);
	memset(w->disk + LOG, 0xff, U);
	scratch_make(w->dir);
	scratch_path(w->dir, "cache", w->path);
	assert_int_equal(changes_new(SIZE, &w->list, &w->err), 0);
	assert_int_equal(metacache_new(w->path, 0, &w->c, &w->err), 0);
	fault = FAULT_NONE;
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	fault = FAULT_NONE;
	metacache_free(w->c);
	changes_free(w->list);
	scratch_drop(w->dir);
	free(w->disk);
	free(w);
	return 0;
}

/* A map is going to be made, by the list or (`anew`) of all. */
static void
begin(struct world *w, int anew)
{
	const struct metacache_source src = { read_disk, w, w->size };
	const struct metacache_task task = { .base = anew ? NULL : &w->root,
		.sequence = w->sequence,
		.changes = anew ? NULL : w->list,
		.keys = &w->keys };

	w->reads = 0;
	assert_int_equal(metacache_begin(w->c, &task, &src, &w->err), 0);
}

/* A point is made of it, and nothing has changed since. */
static void
seal(struct world *w)
{
	w->root.b[0]++;
	w->sequence++;
	metacache_end(w->c, 1);
	metacache_seal(w->c, &w->root, w->sequence);
	changes_clear(w->list);
}

static struct metacache_facts
facts(const struct world *w)
{
	struct metacache_facts f;

	metacache_facts(w->c, &f);
	return f;
}

static void
see(struct world *w, uint64_t at, size_t len)
{
	uint8_t *p = malloc(len > 0 ? len : 1);

	if (len > w->size - at)
		len = (size_t)(w->size - at);
	if (metacache_read(w->c, at, p, len, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_memory_equal(p, w->disk + at, len);
	free(p);
}

static int
is_dense(const struct world *w, uint64_t at)
{
	return w->disk[at] >= 128;
}

/* As volmap_dense_at(): returns 1 if it had to be read. */
static int
see_head(struct world *w, uint64_t at)
{
	uint8_t head[G];
	int dense = metacache_head(w->c, at);

	if (dense != -1) {
		assert_int_equal(dense, is_dense(w, at));
		return 0;
	}
	assert_int_equal(metacache_read_past(w->c, at, head, G, &w->err), 0);
	metacache_head_is(w->c, at, head[0] >= 128);
	return 1;
}

static int
are_ones(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i] != 0xff)
			return 0;
	return 1;
}

/* As ntfs_log_clean(): what is known to be ones is not read. */
static void
see_ones(struct world *w, uint64_t at, uint64_t len)
{
	uint64_t end = at + len < w->size ? at + len : w->size, n;

	for (; at < end; at += n) {
		size_t most = end - at < 65536 ? (size_t)(end - at) : 65536;
		uint64_t reads = w->reads;

		if ((n = metacache_ones(w->c, at, most)) > 0) {
			assert_true(n <= most && w->reads == reads);
			assert_true(are_ones(w->disk + at, (size_t)n));
		} else {
			n = most;
			see(w, at, (size_t)n);
		}
	}
}

/* All that a map reads: an "MFT" in windows, small records of it, a boot sector, heads,
   a log. */
static void
make_map(struct world *w)
{
	see(w, 0, 512);
	for (uint64_t at = U; at < 9 * U; at += 256 << 10)
		see(w, at, 256 << 10);
	see(w, U + 6 * 1024, 1024);
	see(w, U + 7 * 1024, 1024);
	see(w, 16 * U + 100, 70000);
	see(w, w->size - 700, 700);
	for (uint64_t at = 12 * U; at < 16 * U; at += 3 * G)
		see_head(w, at);
	see_ones(w, LOG, U);
}

static void
change(struct world *w, uint64_t at, uint64_t len)
{
	if (len > w->size - at)
		len = w->size - at;
	if (len >= G && rnd(4) == 0)
		memset(w->disk + at, 0xff, (size_t)len);
	else
		for (uint64_t i = at; i < at + len; i++)
			w->disk[i] = (uint8_t)rnd(256);
	changes_add(w->list, at, len);
}

static void
change_some(struct world *w, unsigned n)
{
	static const uint64_t lens[] = { 1, 1024, 4096, 9000, 100000 };

	while (n-- > 0)
		change(w, rnd(w->size), lens[rnd(5)]);
}

/* ------------------------------------------------------------------------- tests -- */

static void
only_what_changed_is_read_and_written(void **state)
{
	struct world *w = *state;
	uint64_t all;

	begin(w, 1);
	make_map(w);
	all = w->reads;
	assert_int_equal(facts(w).read_bytes, all);
	seal(w);
	begin(w, 0);
	make_map(w);
	assert_int_equal(w->reads, 0);
	assert_true(facts(w).known_bytes >= 8 * U);
	seal(w);
	/* Header twice: marked, and sealed. */
	assert_int_equal(facts(w).written_bytes, 2 * METACACHE_HEADER);
	begin(w, 0);
	change(w, 3 * U, 1);
	change(w, 8 * U + 4095, 2);
	make_map(w);
	assert_int_equal(w->reads, 3 * G);
	seal(w);
	/* Three grains, the two tables that tell of them, as they come and once more. */
	assert_int_equal(
	    facts(w).written_bytes, 3 * G + 4 * METACACHE_TABLE + 2 * METACACHE_HEADER);
	/* All again, though nobody tells what changed: it is the same, mostly. */
	change(w, 2 * U, 1);
	begin(w, 1);
	make_map(w);
	assert_true(w->reads >= all);
	seal(w);
	assert_true(
	    facts(w).written_bytes < G + 40 * METACACHE_TABLE + 2 * METACACHE_HEADER);
	begin(w, 0);
	make_map(w);
	assert_int_equal(w->reads, 0);
	assert_true(facts(w).memory < 400 * 1024);
}

static void
over_generations_each_byte_is_the_volumes(void **state)
{
	struct world *w = *state;
	uint64_t saved = 0;

	for (unsigned round = 0; round < ROUNDS(60); round++) {
		begin(w, round == 0 || rnd(12) == 0);
		change_some(w, (unsigned)rnd(20));
		if (rnd(3) == 0)
			changes_slice(w->list, 10, (unsigned)rnd(10));
		/* Not every map asks for the same. */
		if (rnd(4) != 0)
			make_map(w);
		for (unsigned i = 0; i < 30; i++) {
			see(w, rnd(w->size), 1 + rnd(rnd(2) == 0 ? 5000 : 400000));
			see_head(w, rnd(w->size / G) * G);
			if (i % 5 == 0)
				see_ones(w, rnd(2) == 0 ? LOG + rnd(2) * G : rnd(w->size),
				    1 + rnd(100000));
		}
		saved += facts(w).known_bytes;
		switch (rnd(4)) {
		case 0: /* No point was made. */
			metacache_end(w->c, (int)rnd(2));
			break;
		case 1: /* It was killed. */
			metacache_free(w->c);
			assert_int_equal(metacache_new(w->path, 0, &w->c, &w->err), 0);
			break;
		default:
			seal(w);
		}
	}
	assert_true(saved > (uint64_t)ROUNDS(60) * U);
}

static void
what_is_due_is_read_and_a_difference_is_stale(void **state)
{
	struct world *w = *state;
	uint64_t at = 4 * U + 12345, read = 0;
	uint8_t p[100];

	begin(w, 1);
	make_map(w);
	seal(w);
	for (unsigned slice = 0; slice < 10; slice++) {
		changes_slice(w->list, 10, slice);
		begin(w, 0);
		make_map(w);
		read += w->reads;
		seal(w);
	}
	assert_true(read >= 9 * U && read < 10 * U);
	w->disk[at] ^= 1;
	changes_slice(w->list, 10, 2);
	begin(w, 0);
	see(w, 0, 512);
	metacache_end(w->c, 0);
	changes_slice(w->list, 10, 1);
	begin(w, 0);
	assert_int_equal(metacache_read(w->c, at, p, sizeof(p), &w->err), -1);
	assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
	assert_int_equal(facts(w).stale, 1);
	assert_int_equal(facts(w).stale_at, at / G * G);
	/* It seals no more, whatever the caller says. */
	metacache_end(w->c, 1);
	metacache_seal(w->c, &w->root, ++w->sequence);
	changes_clear(w->list);
	begin(w, 0);
	make_map(w);
	assert_true(w->reads > 8 * U);
}

/* The bytes of a log of ones are not in the file, and what stands there does not count. */
static void
ones_are_told_by_their_hashes(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	struct file *f;

	begin(w, 1);
	see_ones(w, LOG, U);
	assert_int_equal(w->reads, U);
	seal(w);
	assert_true(facts(w).written_bytes < 8 * METACACHE_TABLE);
	assert_int_equal(file_open(w->path, FILE_TO_WRITE, &f, &err), 0);
	for (uint32_t slot = 0; slot < 4; slot++)
		assert_int_equal(
		    file_write(f, metacache_slot_at(slot), w->disk, 65536, &err), 0);
	file_close(f);
	begin(w, 0);
	assert_int_equal(metacache_ones(w->c, LOG + 5 * G, 4 * G), 4 * G);
	see_ones(w, LOG, U);
	see(w, LOG, U);
	assert_int_equal(w->reads, 0);
	assert_int_equal(facts(w).known_bytes, U);
	seal(w);
	/* One that changed is read, and so is one that is no longer ones. */
	change(w, LOG + 8 * G, 100);
	for (unsigned i = 0; i < 2; i++) {
		begin(w, 0);
		assert_int_equal(metacache_ones(w->c, LOG, U), 8 * G);
		see_ones(w, LOG, U);
		assert_int_equal(w->reads, i == 0 ? G : 0);
		assert_int_equal(metacache_ones(w->c, LOG + 8 * G, G), 0);
		seal(w);
	}
	/* And back again. */
	memset(w->disk + LOG + 8 * G, 0xff, G);
	changes_add(w->list, LOG + 8 * G, G);
	begin(w, 0);
	see_ones(w, LOG, U);
	assert_int_equal(w->reads, G);
	assert_int_equal(metacache_ones(w->c, LOG, U), U);
	seal(w);
	/* Not at odd places, not beyond the volume, not of what is due. */
	changes_slice(w->list, 10, LOG / (1 << 20) % 10);
	begin(w, 0);
	assert_int_equal(metacache_ones(w->c, LOG + 512, G), 0);
	assert_int_equal(metacache_ones(w->c, w->size, 1), 0);
	assert_int_equal(metacache_ones(w->c, LOG, U), 0);
	w->disk[LOG + 3 * G] = 0xfe;
	assert_int_equal(metacache_read(w->c, LOG, w->disk, G, &err), 0);
	assert_int_equal(metacache_read(w->c, LOG + 3 * G, w->disk, G, &err), -1);
	assert_int_equal(err.code, ERR_SNAPSHOT_LOST);
}

static void
another_points_pages_are_not_used(void **state)
{
	struct world *w = *state;
	struct chunk_id root;
	uint64_t all;

	begin(w, 1);
	make_map(w);
	all = w->reads;
	seal(w);
	root = w->root;
	for (unsigned i = 0; i < 4; i++) {
		/* Nothing tells of this. */
		change(w, 0, w->size);
		changes_clear(w->list);
		w->root = root;
		w->root.b[31] ^= i == 0;
		w->sequence += i == 1;
		w->keys.meta[3] ^= i == 2;
		w->size -= i == 3 ? 4096 : 0;
		begin(w, 0);
		make_map(w);
		assert_true(w->reads >= all - 4096);
		metacache_end(w->c, 0);
	}
	metacache_drop(w->c);
	begin(w, 0);
	make_map(w);
	assert_true(w->reads >= all - 4096);
}

static void
damage_costs_reading(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	struct file *f;
	uint64_t size;
	uint8_t b;

	for (unsigned round = 0; round < ROUNDS(45); round++) {
		begin(w, rnd(5) == 0);
		make_map(w);
		seal(w);
		assert_int_equal(file_open(w->path, FILE_TO_WRITE, &f, &err), 0);
		assert_int_equal(file_size(f, &size, &err), 0);
		for (unsigned i = 0; i < 1 + round % 4; i++) {
			/* Header, tables, slots. */
			uint64_t at = rnd(3) == 0   ? rnd(100)
				      : rnd(2) == 0 ? 65536 + rnd(20000)
						    : rnd(size);

			assert_int_equal(file_read_all(f, at, &b, 1, &err), 0);
			b ^= (uint8_t)(1 + rnd(255));
			assert_int_equal(file_write(f, at, &b, 1, &err), 0);
		}
		if (round % 5 == 4)
			assert_int_equal(file_truncate(f, rnd(size), &err), 0);
		file_close(f);
		change_some(w, 3);
		/* And it heals: at once, or when it is found that it was not read. */
		for (unsigned i = 0; i < 2; i++) {
			begin(w, 0);
			make_map(w);
			seal(w);
		}
		begin(w, 0);
		make_map(w);
		assert_int_equal(w->reads, 0);
		metacache_end(w->c, 0);
	}
	/* What is no file at all. */
	assert_int_equal(file_remove(w->path, &err), 1);
	assert_int_equal(file_make_dir(w->path, &err), 0);
	begin(w, 0);
	make_map(w);
	assert_int_equal(facts(w).full, 1);
	seal(w);
	assert_int_equal(file_remove_dir(w->path, &err), 0);
}

/* A volume that is put back: what was kept of its later state is not of that point. */
static void
a_run_that_made_no_point_leaves_nothing(void **state)
{
	struct world *w = *state;
	uint8_t *then = malloc(SIZE);

	begin(w, 1);
	make_map(w);
	seal(w);
	memcpy(then, w->disk, SIZE);
	for (unsigned round = 0; round < 6; round++) {
		change_some(w, 20);
		change(w, 2 * U, U);
		change(w, 13 * U, U);
		begin(w, round == 5);
		make_map(w);
		metacache_end(w->c, (int)round % 2);
		if (round % 3 == 0) {
			metacache_free(w->c);
			assert_int_equal(metacache_new(w->path, 0, &w->c, &w->err), 0);
		}
		memcpy(w->disk, then, SIZE);
		changes_clear(w->list);
		begin(w, 0);
		make_map(w);
		assert_true(w->reads >= U);
		metacache_end(w->c, 0);
	}
	free(then);
}

/* Two points, the second killed at its n-th write; what is found then is never wrong. */
static void
a_crash_at_any_write_costs_reading(void **state)
{
	static const enum fault kinds[] = { FAULT_LOST, FAULT_TORN, FAULT_FULL };
	struct world *w = *state;
	uint64_t fired = 1, kept = 0;

	for (unsigned kind = 0; kind < 3; kind++)
		for (uint64_t nth = 1; fired; nth += 1 + (kind > 0)) {
			struct chunk_id root;
			uint64_t sequence;

			fault = FAULT_NONE;
			metacache_drop(w->c);
			begin(w, 1);
			make_map(w);
			seal(w);
			root = w->root;
			sequence = w->sequence;
			change_some(w, 25);
			/* Heads, too. */
			change(w, 13 * U, 200000);
			writes = 0;
			fault_at = nth;
			fault = kinds[kind];
			begin(w, nth % 7 == 0);
			make_map(w);
			metacache_end(w->c, 1);
			w->root.b[0]++;
			metacache_seal(w->c, &w->root, ++w->sequence);
			fired = writes >= nth;
			fault = FAULT_NONE;
			metacache_free(w->c);
			assert_int_equal(metacache_new(w->path, 0, &w->c, &w->err), 0);
			/* The point is there, or it is not: then the list tells more. */
			if (nth % 2 == 0) {
				w->root = root;
				w->sequence = sequence;
			} else {
				changes_clear(w->list);
			}
			change_some(w, 5);
			begin(w, 0);
			make_map(w);
			kept += facts(w).known_bytes;
			seal(w);
			begin(w, 0);
			make_map(w);
			assert_int_equal(w->reads, 0);
			metacache_end(w->c, 0);
			assert_true(nth < 500);
			if (!fired)
				break;
		}
	assert_true(kept > U);
}

static void
what_is_not_asked_for_goes_and_its_room_is_used_again(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	uint64_t size, first = 0;
	struct file *f;

	for (unsigned round = 0; round < 12; round++) {
		begin(w, 0);
		for (uint64_t at = 0; at < 4 * U; at += 64 << 10)
			see(w, (round % 5) * 4 * U + at, 64 << 10);
		seal(w);
		assert_int_equal(file_open(w->path, 0, &f, &err), 0);
		assert_int_equal(file_size(f, &size, &err), 0);
		file_close(f);
		if (round == 1)
			first = size;
		/* Two maps' worth: what went in a run is free in the next. */
		assert_true(round < 2 || size <= first);
	}
	assert_true(first < 9 * U);
}

static void
no_more_is_kept_than_there_is_room_for(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	uint64_t all, size;
	struct file *f;

	metacache_free(w->c);
	assert_int_equal(metacache_new(w->path, 7 * U, &w->c, &err), 0);
	begin(w, 1);
	make_map(w);
	all = w->reads;
	assert_int_equal(facts(w).full, 1);
	seal(w);
	assert_int_equal(file_open(w->path, 0, &f, &err), 0);
	assert_int_equal(file_size(f, &size, &err), 0);
	file_close(f);
	assert_true(size <= 7 * U + 2 * 65536);
	for (unsigned round = 0; round < 4; round++) {
		change_some(w, 1);
		begin(w, 0);
		make_map(w);
		assert_true(w->reads < all - 5 * U && w->reads > U);
		seal(w);
	}
}

static void
what_cannot_be_read_is_said_and_what_lies_beside_it_is_read(void **state)
{
	struct world *w = *state;
	uint8_t p[512];

	begin(w, 1);
	w->fail_from = 5 * G + 1024;
	w->fail_to = w->fail_from + 512;
	see(w, 5 * G + 2048, 512);
	assert_int_equal(metacache_read(w->c, 5 * G + 1024, p, sizeof(p), &w->err), -1);
	assert_int_equal(w->err.code, ERR_IO);
	see(w, 6 * G, 512);
	seal(w);
	w->fail_to = 0;
	begin(w, 0);
	see(w, 5 * G, 2 * G);
	assert_int_equal(w->reads, G);
}

/* Map the volume through the cache: does a system sleep there? */
static int
sleeps(struct world *w)
{
	const struct volmap_source source = {
		.size = w->size, .sector_size = 512, .metacache = w->c
	};
	struct volmap_cut cut;
	struct volmap *m;
	int got, asleep;

	if (volmap_open(&source, NULL, 0, &m, &w->err) != 0)
		fail_msg("%s", w->err.text);
	while ((got = volmap_next(m, &cut, &w->err)) == 1)
		continue;
	assert_int_equal(got, 0);
	asleep = volmap_hibernated(m);
	volmap_close(m);
	return asleep;
}

/* Windows writes it around every filter, so no list tells: it is no lie, and no news. */
static void
what_sleeps_is_read_of_the_volume(void **state)
{
	static const char *const begins[] = { "none", "hibr", "none" };
	struct world *w = *state;
	struct image *v = image_new(400, 4096, 512, 1024, 64);
	const struct image_run runs[] = { { image_free_from(v), 40 }, { 0, 0 } };

	image_file(v, 16, 5, "hiberfil.sys", runs);
	image_finish(v);
	assert_true(v->size <= SIZE);
	memcpy(w->disk, v->p, v->size);
	w->size = v->size;
	image_free(v);
	for (int i = 0; i < 3; i++) {
		memcpy(w->disk + (uint64_t)runs[0].lcn * 4096, begins[i], 4);
		changes_slice(w->list, 1, 0);
		begin(w, i == 0);
		assert_int_equal(sleeps(w), i == 1);
		assert_int_equal(facts(w).stale, 0);
		seal(w);
	}
	begin(w, 0);
	assert_int_equal(sleeps(w), 0);
	assert_int_equal(w->reads, 4);
	metacache_end(w->c, 1);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(only_what_changed_is_read_and_written),
		TEST(over_generations_each_byte_is_the_volumes),
		TEST(what_is_due_is_read_and_a_difference_is_stale),
		TEST(ones_are_told_by_their_hashes),
		TEST(another_points_pages_are_not_used),
		TEST(damage_costs_reading),
		TEST(a_run_that_made_no_point_leaves_nothing),
		TEST(a_crash_at_any_write_costs_reading),
		TEST(what_is_not_asked_for_goes_and_its_room_is_used_again),
		TEST(no_more_is_kept_than_there_is_room_for),
		TEST(what_cannot_be_read_is_said_and_what_lies_beside_it_is_read),
		TEST(what_sleeps_is_read_of_the_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
