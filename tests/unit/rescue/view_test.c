/*
 * A view: what was written is read back, what was not is the source's; below the new
 * end it lies on the target and is noted, behind it only in memory.
 */
#define _GNU_SOURCE /* O_DIRECT */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/restore/target.h"
#include "agent/restore/target_skip.h"
#include "proto/base/err.h"
#include "rescue/view.h"

#define SIZE (8u << 20)
#define KEEP ((3u << 20) + 1536) /* In the middle of a block. */

struct world {
	char dir[64], path[96];
	uint8_t *source, *model;
	struct target *t;
	struct view *v;
	int fd;
	atomic_int broken; /* Reading the source fails. */
	uint32_t seed;
};

static uint32_t
chance(struct world *w, uint32_t n)
{
	w->seed = w->seed * 1664525u + 1013904223u;
	return (w->seed >> 8) % n;
}

static int
source_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct world *w = arg;

	if (atomic_load(&w->broken))
		return err_set(err, ERR_TIMEOUT, "the server is away");
	assert_true(offset <= SIZE && len <= SIZE - offset);
	memcpy(buf, w->source + offset, len);
	return 0;
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t i;

	strcpy(w->dir, "/tmp/hf-view-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/target", w->dir);
	w->source = malloc(SIZE);
	w->model = malloc(SIZE);
	for (i = 0; i < SIZE; i++)
		w->source[i] = (uint8_t)chance(w, 256);
	memcpy(w->model, w->source, SIZE);
	w->fd = -1;
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char partial[112];

	if (w->fd >= 0)
		close(w->fd);
	view_close(w->v);
	target_abandon(w->t);
	unlink(w->path);
	snprintf(partial, sizeof(partial), "%s.partial", w->path);
	unlink(partial);
	rmdir(w->dir);
	free(w->source);
	free(w->model);
	free(w);
	return 0;
}

/* A view that keeps `keep` bytes (0: nothing may be written), and its file. */
static void
show(struct world *w, uint64_t keep, size_t memory)
{
	struct view_config config = { { source_read, w, SIZE }, NULL, keep, memory, 0 };
	struct err err = ERR_INIT;

	if (keep > 0)
		assert_int_equal(target_open(w->path, keep, 0, 0, &w->t, &err), 0);
	config.below = w->t;
	if (view_open(&config, &w->v, &err) != 0)
		fail_msg("%s", err.text);
	w->fd = open(view_path(w->v), O_RDWR | O_CLOEXEC);
	assert_true(w->fd >= 0);
	assert_int_equal(lseek(w->fd, 0, SEEK_END), SIZE);
}

static void
quiet(struct world *w)
{
	close(w->fd);
	w->fd = -1;
	view_quiet(w->v);
}

static void
write_somewhere(struct world *w, uint32_t from, uint32_t to, uint32_t longest)
{
	uint32_t at = from + chance(w, to - from), n = 1 + chance(w, longest), i;

	n = n < to - at ? n : to - at;
	for (i = 0; i < n; i++)
		w->model[at + i] = (uint8_t)chance(w, 256);
	assert_int_equal(pwrite(w->fd, w->model + at, n, at), n);
}

static void
everything_is_as_the_model(struct world *w)
{
	uint8_t *p = malloc(SIZE);

	/* Not what the kernel remembers. */
	assert_int_equal(posix_fadvise(w->fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	for (uint32_t at = 0; at < SIZE; at += 1u << 20)
		assert_int_equal(pread(w->fd, p + at, 1u << 20, at), 1 << 20);
	assert_memory_equal(p, w->model, SIZE);
	free(p);
}

/* -------------------------------------------------------------------- tests -- */

static void
a_restore_that_fills_the_rest_in_makes_the_volume_that_was_seen(void **state)
{
	struct world *w = *state;
	struct target_skip skip;
	struct err err = ERR_INIT;
	struct view_counts counts;
	uint8_t *p = malloc(KEEP);
	uint64_t at, n, skipped = 0;

	show(w, KEEP, 0);
	for (int i = 0; i < 300; i++)
		write_somewhere(w, 0, SIZE, 20000);
	for (int i = 0; i < 200; i++)
		write_somewhere(w, KEEP - 9000, KEEP + 9000, 3000);
	everything_is_as_the_model(w);
	quiet(w);
	view_skip(w->v, &skip);
	for (at = 0; at < KEEP; at += n) {
		if (!target_skip_first(&skip, at, KEEP - at, &n)) {
			skipped += n;
			continue;
		}
		assert_int_equal(target_write(w->t, at, w->source + at, n, &err), 0);
	}
	assert_int_equal(target_skip_first(&skip, KEEP, 1, &n), 0);
	assert_true(skipped > 0 && skipped < KEEP);
	view_counts(w->v, &counts);
	assert_true(counts.below_bytes >= skipped);
	assert_true(counts.memory_bytes > 0);
	assert_int_equal(target_read(w->t, 0, p, KEEP, &err), 0);
	assert_memory_equal(p, w->model, KEEP);
	free(p);
}

static void
what_lies_behind_is_kept_up_to_a_limit(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	uint8_t block[4096] = { 1 };
	uint32_t at = KEEP;
	ssize_t n = 0;

	show(w, KEEP, 1u << 20);
	for (; at + sizeof(block) <= SIZE; at += sizeof(block))
		if ((n = pwrite(w->fd, block, sizeof(block), at)) < 0)
			break;
	assert_int_equal(n, -1);
	assert_int_equal(errno, EIO);
	assert_true(at - KEEP > (900u << 10) && at - KEEP <= (1u << 20));
	assert_int_equal(view_failure(w->v, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	/* Below there is room as ever. */
	assert_int_equal(pwrite(w->fd, block, sizeof(block), 4096), sizeof(block));
}

static void
nothing_is_written_without_a_target(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;

	show(w, 0, 0);
	everything_is_as_the_model(w);
	assert_int_equal(view_failure(w->v, &err), 0);
	assert_int_equal(pwrite(w->fd, "x", 1, 0), -1);
	assert_int_equal(errno, EROFS);
	everything_is_as_the_model(w);
}

static void
the_first_failure_is_kept_and_no_byte_is_invented(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	uint8_t byte;

	show(w, KEEP, 0);
	write_somewhere(w, 8192, 16384, 100);
	atomic_store(&w->broken, 1);
	assert_int_equal(pread(w->fd, &byte, 1, 1u << 20), -1);
	assert_int_equal(errno, EIO);
	/* A part of a block whose rest cannot be had. */
	assert_int_equal(pwrite(w->fd, &byte, 1, 2u << 20), -1);
	assert_int_equal(view_failure(w->v, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	atomic_store(&w->broken, 0);
	everything_is_as_the_model(w);
}

struct reader {
	struct world *w;
	pthread_t thread;
	int failed;
};

/* The upper half is left alone, so it must be the source's, whatever goes on below. */
static void *
read_on(void *arg)
{
	struct reader *r = arg;
	uint8_t *p = malloc(256u << 10);
	uint32_t seed = (uint32_t)(uintptr_t)r;

	for (int i = 0; i < 60; i++) {
		seed = seed * 1664525u + 1013904223u;
		uint32_t at = SIZE / 2 + (seed >> 8) % (SIZE / 2 - (256u << 10));

		if (pread(r->w->fd, p, 256u << 10, at) != 256 << 10 ||
		    memcmp(p, r->w->source + at, 256u << 10) != 0)
			r->failed = 1;
		if (i % 10 == 0)
			(void)posix_fadvise(r->w->fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	free(p);
	return NULL;
}

static void
many_read_while_one_writes(void **state)
{
	struct world *w = *state;
	struct reader readers[6];

	show(w, KEEP, 0);
	for (int i = 0; i < 6; i++) {
		readers[i] = (struct reader){ .w = w };
		assert_int_equal(
		    pthread_create(&readers[i].thread, NULL, read_on, &readers[i]), 0);
	}
	for (int i = 0; i < 300; i++)
		write_somewhere(w, 0, SIZE / 2, 20000);
	for (int i = 0; i < 6; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_false(readers[i].failed);
	}
	everything_is_as_the_model(w);
}

static void *
close_later(void *arg)
{
	struct world *w = arg;

	usleep(100000);
	close(w->fd);
	w->fd = -1;
	return NULL;
}

static void
one_can_wait_until_nobody_has_it_open(void **state)
{
	struct world *w = *state;
	pthread_t thread;

	show(w, KEEP, 0);
	assert_int_not_equal(view_settle(w->v, 50), 0);
	assert_int_equal(pthread_create(&thread, NULL, close_later, w), 0);
	assert_int_equal(view_settle(w->v, 60000), 0);
	pthread_join(thread, NULL);
	assert_int_equal(view_settle(w->v, 0), 0);
}

static void
it_has_no_name_in_any_directory(void **state)
{
	struct world *w = *state;

	show(w, KEEP, 0);
	assert_int_equal(strncmp(view_path(w->v), "/proc/", 6), 0);
	assert_int_not_equal(system("grep -q ' fuse.holdfast ' /proc/mounts"), 0);
}

/* ntfs-3g wants a name it can look up; nothing of it stays. */
static void
a_name_is_there_as_long_as_it_is_asked_for(void **state)
{
	struct world *w = *state;
	struct view_config config = { { source_read, w, SIZE }, NULL, 0, 0, 1 };
	struct err err = ERR_INIT;
	char path[256];

	assert_int_equal(view_open(&config, &w->v, &err), 0);
	snprintf(path, sizeof(path), "%s", view_path(w->v));
	assert_int_equal(access(path, R_OK), 0);
	assert_non_null(strstr(path, "holdfast-view"));
	w->fd = open(path, O_RDONLY | O_CLOEXEC);
	view_nameless(w->v);
	assert_int_equal(access(path, F_OK), -1);
	everything_is_as_the_model(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    a_restore_that_fills_the_rest_in_makes_the_volume_that_was_seen,
		    set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_lies_behind_is_kept_up_to_a_limit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    nothing_is_written_without_a_target, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    the_first_failure_is_kept_and_no_byte_is_invented, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    many_read_while_one_writes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    one_can_wait_until_nobody_has_it_open, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    it_has_no_name_in_any_directory, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_name_is_there_as_long_as_it_is_asked_for, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
