/*
 * Targets: what may not be written is refused before a byte; what is written is
 * whole under its name or not there; a device's rest is left alone.
 */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/restore/target.h"
#include "proto/base/err.h"

#define SIZE (1024u * 1024)

struct world {
	char dir[64], path[96], partial[112], loop[64];
	uint8_t *bytes;
	struct target *t;
	struct err err;
	uint64_t same;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t i;

	strcpy(w->dir, "/tmp/hf-target-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/image", w->dir);
	snprintf(w->partial, sizeof(w->partial), "%s/image.partial", w->dir);
	w->bytes = malloc(SIZE);
	for (i = 0; i < SIZE; i++)
		w->bytes[i] = (uint8_t)(i * 7 + 1);
	*state = w;
	return 0;
}

static void
shell(const char *command, const char *path)
{
	char cmd[512];

	snprintf(cmd, sizeof(cmd), "%s %s", command, path);
	assert_int_equal(system(cmd), 0);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	if (w->loop[0] != '\0')
		shell("losetup -d", w->loop);
	unlink(w->path);
	unlink(w->partial);
	rmdir(w->dir);
	free(w->bytes);
	free(w);
	return 0;
}

/* A file of SIZE bytes of `byte` under the target's name. */
static void
existing(struct world *w, int byte)
{
	FILE *f = fopen(w->path, "w");
	size_t i;

	assert_non_null(f);
	for (i = 0; i < SIZE; i++)
		putc(byte, f);
	assert_int_equal(fclose(f), 0);
}

/* The target's file attached to a loop device. */
static void
attach(struct world *w)
{
	char cmd[256];
	FILE *f;

	snprintf(cmd, sizeof(cmd), "losetup -f --show %s", w->path);
	f = popen(cmd, "r");
	assert_non_null(f);
	assert_non_null(fgets(w->loop, sizeof(w->loop), f));
	pclose(f);
	w->loop[strcspn(w->loop, "\n")] = '\0';
	assert_true(strncmp(w->loop, "/dev/loop", 9) == 0);
}

static void
open_ok(struct world *w, const char *path, unsigned flags)
{
	if (target_open(path, SIZE, 0, flags, &w->t, &w->err) != 0)
		fail_msg("%s", w->err.text);
}

static void
refused(struct world *w, const char *path, uint64_t size, unsigned flags,
    enum err_code code, const char *word)
{
	err_clear(&w->err);
	assert_int_equal(target_open(path, size, 0, flags, &w->t, &w->err), -1);
	if (w->err.code != code || strstr(w->err.text, word) == NULL)
		fail_msg("%s", w->err.text);
	assert_int_not_equal(access(w->partial, F_OK), 0);
}

static uint8_t *
content(const char *path, size_t *len)
{
	uint8_t *p = malloc(2 * SIZE);
	FILE *f = fopen(path, "r");

	assert_non_null(f);
	*len = fread(p, 1, 2 * SIZE, f);
	fclose(f);
	return p;
}

static void
a_new_file_is_sparse_and_appears_at_the_end(void **state)
{
	struct world *w = *state;
	struct stat st;
	uint8_t *p;
	size_t len;

	open_ok(w, w->path, 0);
	assert_true(target_fresh(w->t));
	assert_int_equal(target_write(w->t, 8192, w->bytes, 4096, &w->err), 0);
	assert_int_equal(target_zero(w->t, 65536, 65536, &w->err), 0);
	assert_int_equal(access(w->path, F_OK), -1);
	assert_int_equal(target_written(w->t), 4096);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	assert_int_equal(access(w->partial, F_OK), -1);
	assert_int_equal(stat(w->path, &st), 0);
	assert_int_equal(st.st_size, SIZE);
	assert_true(st.st_blocks * 512 < 65536);
	p = content(w->path, &len);
	assert_int_equal(len, SIZE);
	assert_memory_equal(p + 8192, w->bytes, 4096);
	free(p);
}

static void
giving_up_leaves_nothing(void **state)
{
	struct world *w = *state;

	open_ok(w, w->path, 0);
	assert_int_equal(target_write(w->t, 0, w->bytes, 4096, &w->err), 0);
	assert_int_equal(access(w->partial, F_OK), 0);
	target_abandon(w->t);
	assert_int_equal(access(w->partial, F_OK), -1);
	assert_int_equal(access(w->path, F_OK), -1);
}

static void
nothing_past_the_volume_is_written(void **state)
{
	struct world *w = *state;

	open_ok(w, w->path, 0);
	assert_int_equal(target_write(w->t, SIZE - 1, w->bytes, 2, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
	target_abandon(w->t);
}

static void
a_file_that_exists_is_kept_unless_forced(void **state)
{
	struct world *w = *state;
	uint8_t *p;
	size_t len;

	existing(w, 'x');
	refused(w, w->path, SIZE, 0, ERR_EXISTS, "exists");
	err_clear(&w->err);
	open_ok(w, w->path, TARGET_REPLACE);
	assert_int_equal(target_write(w->t, 0, w->bytes, 100, &w->err), 0);
	p = content(w->path, &len);
	assert_int_equal(p[0], 'x');
	free(p);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	p = content(w->path, &len);
	assert_memory_equal(p, w->bytes, 100);
	assert_int_equal(p[100], 0);
	free(p);
}

static void
delta_writes_only_what_differs(void **state)
{
	struct world *w = *state;
	uint8_t *p;
	size_t len;

	existing(w, 0);
	open_ok(w, w->path, TARGET_KEEP);
	assert_false(target_fresh(w->t));
	assert_int_equal(target_update(w->t, 100, w->bytes, 10000, &w->same, &w->err), 0);
	assert_true(target_written(w->t) >= 10000 && target_written(w->t) < 16384);
	assert_int_equal(target_update(w->t, 100, w->bytes, 10000, &w->same, &w->err), 0);
	assert_int_equal(w->same, 10000);
	/* Zeros that are there are not written, others become zeros. */
	len = (size_t)target_written(w->t);
	assert_int_equal(target_zero(w->t, 65536, 65536, &w->err), 0);
	assert_int_equal(target_written(w->t), len);
	assert_int_equal(target_zero(w->t, 100, 50, &w->err), 0);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	p = content(w->path, &len);
	assert_int_equal(p[100], 0);
	assert_int_equal(p[149], 0);
	assert_memory_equal(p + 150, w->bytes + 50, 9950);
	free(p);
}

static void
holes_stay_unless_they_shall_be_zeros(void **state)
{
	struct world *w = *state;
	uint8_t *p;
	size_t len;

	existing(w, 'x');
	open_ok(w, w->path, TARGET_KEEP);
	assert_int_equal(target_hole(w->t, 4096, 8192, &w->err), 0);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	p = content(w->path, &len);
	assert_int_equal(p[4096], 'x');
	free(p);
	open_ok(w, w->path, TARGET_KEEP | TARGET_CLEAR);
	assert_int_equal(target_hole(w->t, 4000, 8192, &w->err), 0);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	p = content(w->path, &len);
	assert_int_equal(p[3999], 'x');
	assert_int_equal(p[4000], 0);
	assert_int_equal(p[12191], 0);
	assert_int_equal(p[12192], 'x');
	free(p);
}

static void
a_file_that_would_not_fit_is_refused_at_once(void **state)
{
	struct world *w = *state;

	open_ok(w, w->path, 0);
	assert_int_equal(target_need(w->t, 1, &w->err), 0);
	assert_int_equal(target_need(w->t, (uint64_t)1 << 60, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOSPACE);
	target_abandon(w->t);
	err_clear(&w->err);
	/* In place the room is the file's own. */
	existing(w, 'x');
	open_ok(w, w->path, TARGET_KEEP);
	assert_int_equal(target_need(w->t, (uint64_t)1 << 60, &w->err), 0);
	target_abandon(w->t);
}

static void
a_file_in_use_is_refused(void **state)
{
	struct world *w = *state;
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
	struct target *other;
	int fd;

	existing(w, 'x');
	fd = open(w->path, O_RDONLY);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	refused(w, w->path, SIZE, TARGET_REPLACE, ERR_BUSY, "in use");
	refused(w, w->path, SIZE, TARGET_KEEP, ERR_BUSY, "in use");
	close(fd);
	unlink(w->path);
	err_clear(&w->err);
	open_ok(w, w->path, 0);
	assert_int_equal(target_open(w->path, SIZE, 0, 0, &other, &w->err), -1);
	assert_int_equal(w->err.code, ERR_BUSY);
	/* The loser has not removed the winner's file. */
	assert_int_equal(access(w->partial, F_OK), 0);
	target_abandon(w->t);
}

static void
other_things_are_refused(void **state)
{
	struct world *w = *state;

	refused(w, w->dir, SIZE, 0, ERR_UNSUPPORTED, "neither");
	refused(w, "/nowhere/at/all", SIZE, 0, ERR_NOTFOUND, "No such");
	refused(w, "/dev/no-such-disk", SIZE, 0, ERR_NOTFOUND, "no such device");
	refused(w, w->path, SIZE, TARGET_KEEP, ERR_NOTFOUND, "nothing to compare");
}

/* These need root and loop devices, as the tests' machine has. */
static void
devices_are_checked_and_written(void **state)
{
	struct world *w = *state;
	uint8_t *p;
	size_t len;

	existing(w, 'x');
	attach(w);
	refused(w, w->loop, SIZE + 512, 0, ERR_LIMIT, "too small");
	/* The file behind the device is not to be written behind its back. */
	refused(w, w->path, SIZE, TARGET_REPLACE, ERR_BUSY, "in use as /dev/loop");
	err_clear(&w->err);
	if (target_open(w->loop, SIZE / 2, 0, TARGET_DISCARD, &w->t, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_false(target_fresh(w->t));
	assert_int_equal(target_write(w->t, 100, w->bytes, 10000, &w->err), 0);
	if (target_zero(w->t, 20001, 100000, &w->err) != 0)
		fail_msg("%s", w->err.text);
	if (target_hole(w->t, 262144, 65536, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	p = content(w->loop, &len);
	assert_int_equal(len, SIZE);
	assert_int_equal(p[99], 'x');
	assert_memory_equal(p + 100, w->bytes, 10000);
	assert_int_equal(p[20000], 'x');
	for (len = 20001; len < 120001; len++)
		assert_int_equal(p[len], 0);
	assert_int_equal(p[120001], 'x');
	assert_int_equal(p[SIZE / 2], 'x');
	free(p);
}

/* A loop over a device holds it in no way that O_EXCL would meet. */
static void
a_device_behind_a_loop_is_refused(void **state)
{
	struct world *w = *state;
	char cmd[256], outer[64] = "";
	FILE *f;

	existing(w, 0);
	attach(w);
	snprintf(cmd, sizeof(cmd), "losetup -f --show %s", w->loop);
	assert_non_null(f = popen(cmd, "r"));
	assert_non_null(fgets(outer, sizeof(outer), f));
	pclose(f);
	outer[strcspn(outer, "\n")] = '\0';
	if (target_open(w->loop, SIZE, 0, 0, &w->t, &w->err) == 0) {
		target_abandon(w->t);
		w->err.code = ERR_NONE;
	}
	shell("losetup -d", outer);
	assert_int_equal(w->err.code, ERR_BUSY);
	assert_non_null(strstr(w->err.text, outer));
}

static void
a_mounted_device_is_refused(void **state)
{
	struct world *w = *state;
	char cmd[256];

	existing(w, 0);
	shell("truncate -s 8M", w->path);
	shell("mkfs.ext4 -q -F", w->path);
	attach(w);
	snprintf(cmd, sizeof(cmd), "mkdir %s/mnt && mount -o ro %s %s/mnt", w->dir,
	    w->loop, w->dir);
	assert_int_equal(system(cmd), 0);
	refused(w, w->loop, SIZE, 0, ERR_BUSY, "mounted");
	snprintf(cmd, sizeof(cmd), "%s/mnt", w->dir);
	shell("umount", cmd);
	shell("rmdir", cmd);
}

static void
a_view_sends_bytes_where_they_belong(void **state)
{
	/* 0-8192 to memory, 8192-16384 to 40960, a gap, 20480-28672 to 4096. */
	uint8_t held[8192], back[32768], *p;
	const struct target_piece pieces[] = { { 0, 8192, 0, held },
		{ 8192, 8192, 40960, NULL }, { 20480, 8192, 4096, NULL } };
	struct world *w = *state;
	struct target *view, *keep;
	size_t len;

	memset(held, 0xee, sizeof(held));
	open_ok(w, w->path, 0);
	assert_int_equal(
	    target_view(w->t, pieces, 3, sizeof(back), 0, &view, &w->err), 0);
	assert_int_equal(target_write(view, 0, w->bytes, sizeof(back), &w->err), 0);
	assert_int_equal(target_written(view), 16384);
	assert_int_equal(target_written(w->t), 16384);
	assert_memory_equal(held, w->bytes, 8192);
	assert_int_equal(target_read(view, 0, back, sizeof(back), &w->err), 0);
	assert_memory_equal(back, w->bytes, 16384);
	for (size_t i = 16384; i < 20480; i++)
		assert_int_equal(back[i], 0);
	assert_memory_equal(back + 20480, w->bytes + 20480, 8192);
	/* One that keeps, over the same: it finds nothing to do, then one block. */
	assert_int_equal(
	    target_view(w->t, pieces, 3, sizeof(back), TARGET_KEEP, &keep, &w->err), 0);
	assert_int_equal(
	    target_update(keep, 0, w->bytes, sizeof(back), &w->same, &w->err), 0);
	assert_int_equal(target_written(keep), 0);
	assert_int_equal(w->same, 16384);
	w->bytes[9000] ^= 1;
	assert_int_equal(
	    target_update(keep, 0, w->bytes, sizeof(back), &w->same, &w->err), 0);
	assert_int_equal(target_written(keep), 4096);
	/* Zeros over all of it, the held bytes too; a fresh file is looked at as well. */
	assert_int_equal(target_zero(keep, 4096, 8192, &w->err), 0);
	assert_int_equal(held[4096], 0);
	assert_memory_equal(held, w->bytes, 4096);
	/* Nothing past the whole, whatever the pieces say. */
	target_abandon(view);
	view = NULL;
	assert_int_equal(
	    target_view(w->t, &(struct target_piece){ 0, 100, SIZE - 50, NULL }, 1, 100,
		0, &view, &w->err),
	    0);
	assert_int_equal(target_write(view, 0, w->bytes, 100, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
	target_abandon(view);
	target_abandon(keep);
	assert_int_equal(target_settle(w->t, &w->err), 0);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	p = content(w->path, &len);
	assert_int_equal(len, SIZE);
	for (size_t i = 0; i < 4096; i++)
		assert_int_equal(p[40960 + i], 0);
	assert_memory_equal(p + 40960 + 4096, w->bytes + 8192 + 4096, 4096);
	assert_memory_equal(p + 4096, w->bytes + 20480, 8192);
	free(p);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_file_is_sparse_and_appears_at_the_end),
		TEST(giving_up_leaves_nothing),
		TEST(nothing_past_the_volume_is_written),
		TEST(a_file_that_exists_is_kept_unless_forced),
		TEST(delta_writes_only_what_differs),
		TEST(holes_stay_unless_they_shall_be_zeros),
		TEST(a_file_that_would_not_fit_is_refused_at_once),
		TEST(a_file_in_use_is_refused),
		TEST(other_things_are_refused),
		TEST(a_view_sends_bytes_where_they_belong),
		TEST(devices_are_checked_and_written),
		TEST(a_device_behind_a_loop_is_refused),
		TEST(a_mounted_device_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
