/*
 * The file layer: the real one and the one in memory do the same; the one in
 * memory loses at a power cut what fs.h does not promise, and only that.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/fs_overlay.h"

static void
put(struct fs *fs, const char *name, const char *text, int sync)
{
	struct err err = ERR_INIT;
	struct fs_file *f;

	assert_int_equal(fs_open(fs, name, FS_WRITE | FS_CREATE, &f, &err), 0);
	assert_int_equal(fs_pwrite(f, text, strlen(text), 0, &err), 0);
	if (sync)
		assert_int_equal(fs_sync(f, &err), 0);
	fs_close(f);
}

static int
has(struct fs *fs, const char *name, const char *text)
{
	struct buf b = BUF_INIT(4096);
	struct err err = ERR_INIT;
	int yes = fs_slurp(fs, name, &b, &err) == 0 && b.len == strlen(text) &&
		  memcmp(b.p, text, b.len) == 0;

	buf_free(&b);
	return yes;
}

static int
count_name(void *arg, const char *name)
{
	(void)name;
	++*(int *)arg;
	return 0;
}

static int
stop_at_once(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 7;
}

/* The same calls, the same answers. */
static void
exercise(struct fs *fs)
{
	struct err err = ERR_INIT;
	struct fs_file *f, *g;
	char back[16];
	uint64_t len, total;
	size_t got;
	int names = 0;

	assert_int_equal(fs_mkdir(fs, "d", &err), 0);
	assert_int_equal(fs_mkdir(fs, "d", &err), 0);
	assert_int_equal(fs_open(fs, "d/x", FS_READ, &f, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_int_equal(fs_open(fs, "e/x", FS_WRITE | FS_CREATE, &f, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	put(fs, "d/x", "hello", 1);
	assert_int_equal(
	    fs_open(fs, "d/x", FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &f, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	err_clear(&err);

	assert_int_equal(fs_open(fs, "d/x", FS_WRITE, &f, &err), 0);
	assert_int_equal(fs_pwrite(f, "J", 1, 0, &err), 0);
	assert_int_equal(fs_pwrite(f, "!", 1, 8, &err), 0);
	assert_int_equal(fs_size(f, &len, &err), 0);
	assert_int_equal(len, 9);
	assert_int_equal(fs_pread(f, back, sizeof(back), 3, &got, &err), 0);
	assert_int_equal(got, 6);
	assert_memory_equal(back, "lo\0\0\0!", 6);
	assert_int_equal(fs_pread(f, back, 1, 9, &got, &err), 0);
	assert_int_equal(got, 0);
	assert_int_equal(fs_read_all(f, back, 10, 0, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	assert_int_equal(fs_truncate(f, 3, &err), 0);
	assert_int_equal(fs_datasync(f, &err), 0);
	assert_int_equal(fs_lock(f, &err), 0);
	assert_int_equal(fs_open(fs, "d/x", FS_WRITE, &g, &err), 0);
	assert_int_equal(fs_lock(g, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	err_clear(&err);
	fs_close(f);
	assert_int_equal(fs_lock(g, &err), 0);
	fs_close(g);
	assert_true(has(fs, "d/x", "Jel"));

	put(fs, "d/y", "other", 0);
	assert_int_equal(fs_rename(fs, "d/y", "d/x", &err), 0);
	assert_int_equal(fs_rename(fs, "d/y", "d/x", &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_true(has(fs, "d/x", "other"));
	assert_int_equal(fs_replace(fs, "d", "z", "new", 3, &err), 0);
	assert_int_equal(fs_replace(fs, "d", "z", "newer", 5, &err), 0);
	assert_int_equal(fs_replace(fs, ".", "top", "t", 1, &err), 0);
	assert_true(has(fs, "d/z", "newer") && has(fs, "top", "t"));
	assert_int_equal(fs_list(fs, "d", count_name, &names, &err), 0);
	assert_int_equal(names, 2);
	assert_int_equal(fs_list(fs, ".", count_name, &names, &err), 0);
	assert_int_equal(names, 4);
	assert_int_equal(fs_list(fs, "d", stop_at_once, NULL, &err), 7);
	assert_int_equal(fs_list(fs, "nowhere", count_name, &names, &err), -1);
	err_clear(&err);
	assert_int_equal(fs_sync_dir(fs, "d", &err), 0);
	assert_int_equal(fs_sync_dir(fs, ".", &err), 0);
	assert_int_equal(fs_unlink(fs, "d/x", &err), 0);
	assert_int_equal(fs_unlink(fs, "d/x", &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_int_equal(fs_space(fs, &len, &total, &err), 0);
	assert_true(len <= total && total > 0);
	assert_int_equal(fs_unlink(fs, "d/z", &err), 0);
	assert_int_equal(fs_unlink(fs, "top", &err), 0);
}

static void
real_and_memory_agree(void **state)
{
	char dir[] = "/tmp/holdfast-fs-XXXXXX", sub[64];
	struct err err = ERR_INIT;
	struct fs_fault *ff = fs_fault_new(1);
	struct fs *fs;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(fs_open_dir(dir, &fs, &err), 0);
	exercise(fs);
	fs_free(fs);
	(void)snprintf(sub, sizeof(sub), "%s/d", dir);
	assert_int_equal(rmdir(sub), 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(fs_open_dir(dir, &fs, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	exercise(fs_fault_fs(ff));
	fs_fault_free(ff);
}

static int
no_name(void *arg, const char *name)
{
	(void)arg;
	fail_msg("%s is there", name);
	return 0;
}

/* Nothing that is done through the layer arrives below. */
static void
overlay_does_the_same_and_changes_nothing(void **state)
{
	struct fs_fault *ff = fs_fault_new(1);
	struct fs *below = fs_fault_fs(ff), *fs;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(fs_overlay_new(below, 1 << 20, &fs, &err), 0);
	exercise(fs);
	fs_free(fs);
	assert_int_equal(fs_list(below, ".", no_name, NULL, &err), 0);
	fs_fault_free(ff);
}

/* Many steps, each done to a plain copy, too. */
static void
overlay_is_the_files_with_the_changes(void **state)
{
	static const char *const names[] = { "a", "b", "d/a", "d/b" };
	char text[60000];
	uint32_t x = 1;

	(void)state;
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct fs_fault *ff = fs_fault_new(1), *copy = fs_fault_new(1);
		struct fs *two[2] = { NULL, fs_fault_fs(copy) };
		struct err err = ERR_INIT;

		for (int k = 0; k < 2; k++) {
			struct fs *to = k == 0 ? fs_fault_fs(ff) : two[1];

			assert_int_equal(fs_mkdir(to, "d", &err), 0);
			memset(text, 'a' + (int)(seed % 20), sizeof(text) - 1);
			text[40000 + seed] = '\0';
			put(to, "a", text, 1);
			put(to, "d/b", text + 30000, 1);
		}
		assert_int_equal(
		    fs_overlay_new(fs_fault_fs(ff), 1 << 22, &two[0], &err), 0);
		for (int step = 0; step < 30; step++) {
			const char *name, *to;
			uint32_t what, at, len;
			int rets[2];

			x = x * 1664525 + 1013904223;
			what = x >> 28;
			name = names[x >> 20 & 3];
			to = names[(x >> 20 & 2) | (x >> 18 & 1)];
			at = (x >> 8 & 0xfff) * 13;
			len = (x & 0xff) * 100;
			memset(text, 'A' + step, sizeof(text));
			for (int k = 0; k < 2; k++) {
				struct fs_file *f = NULL;

				err_clear(&err);
				if (what == 0) {
					rets[k] = fs_unlink(two[k], name, &err);
				} else if (what == 1) {
					rets[k] = strcmp(name, to) == 0
						      ? 0
						      : fs_rename(two[k], name, to, &err);
				} else {
					rets[k] = fs_open(two[k], name,
					    FS_WRITE | (what < 6 ? FS_CREATE : 0), &f,
					    &err);
					if (f != NULL && what % 3 == 0)
						rets[k] = fs_truncate(f, at, &err);
					else if (f != NULL)
						rets[k] =
						    fs_pwrite(f, text, len, at, &err);
				}
				fs_close(f);
			}
			assert_int_equal(rets[0], rets[1]);
		}
		for (size_t i = 0; i < 4; i++) {
			struct buf b = BUF_INIT(1 << 20), c = BUF_INIT(1 << 20);
			int got;

			err_clear(&err);
			got = fs_slurp(two[0], names[i], &b, &err);
			err_clear(&err);
			assert_int_equal(got, fs_slurp(two[1], names[i], &c, &err));
			assert_int_equal(b.len, c.len);
			if (b.len > 0)
				assert_memory_equal(b.p, c.p, b.len);
			buf_free(&b);
			buf_free(&c);
		}
		fs_free(two[0]);
		fs_fault_free(ff);
		fs_fault_free(copy);
	}
}

/* What was synced is there after any power cut, names too. */
static void
synced_survives(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= 50; seed++) {
		struct fs_fault *ff = fs_fault_new(seed);
		struct fs *fs = fs_fault_fs(ff);
		struct err err = ERR_INIT;

		assert_int_equal(fs_mkdir(fs, "d", &err), 0);
		assert_int_equal(fs_sync_dir(fs, ".", &err), 0);
		put(fs, "d/a", "first", 1);
		assert_int_equal(fs_sync_dir(fs, "d", &err), 0);
		assert_int_equal(fs_replace(fs, "d", "b", "second", 6, &err), 0);
		fs_fault_restart(ff, 1);
		assert_true(has(fs, "d/a", "first") && has(fs, "d/b", "second"));
		fs_fault_free(ff);
	}
}

/* Each kind of loss that fs.h allows does happen for some seed; a kill loses nothing. */
static void
unsynced_is_lost_for_some_seed(void **state)
{
	int lost_name = 0, lost_bytes = 0, undone_rename = 0, kept = 0, torn = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct fs_fault *ff = fs_fault_new(seed);
		struct fs *fs = fs_fault_fs(ff);
		struct err err = ERR_INIT;
		struct fs_file *f;
		static uint8_t ones[2048];
		const uint8_t *p;
		size_t len;

		memset(ones, 1, sizeof(ones));
		put(fs, "old", "old", 1);
		assert_int_equal(fs_open(fs, "big", FS_WRITE | FS_CREATE, &f, &err), 0);
		assert_int_equal(fs_sync_dir(fs, ".", &err), 0);
		assert_int_equal(fs_pwrite(f, ones, sizeof(ones), 0, &err), 0);
		fs_close(f);
		put(fs, "name", "x", 1);
		assert_int_equal(fs_rename(fs, "name", "old", &err), 0);
		fs_fault_restart(ff, 0);
		assert_true(has(fs, "old", "x"));
		fs_fault_restart(ff, 1);
		undone_rename += has(fs, "old", "old");
		kept += has(fs, "old", "x");
		assert_true(has(fs, "old", "old") || has(fs, "old", "x"));
		lost_name += !has(fs, "name", "x") && has(fs, "old", "old");
		assert_non_null(p = fs_fault_bytes(ff, "big", &len));
		lost_bytes += len < sizeof(ones);
		for (size_t i = 512; i < len; i += 512)
			torn += p[i] != p[i - 1];
		fs_fault_free(ff);
	}
	assert_true(
	    lost_name > 0 && lost_bytes > 0 && undone_rename > 0 && kept > 0 && torn > 0);
}

static void
armed_calls_fail(void **state)
{
	struct fs_fault *ff = fs_fault_new(3);
	struct fs *fs = fs_fault_fs(ff);
	struct err err = ERR_INIT;
	struct fs_file *f;
	uint64_t len;

	(void)state;
	assert_int_equal(fs_open(fs, "a", FS_WRITE | FS_CREATE, &f, &err), 0);
	fs_fault_arm(ff, 2, FS_FAULT_EIO);
	assert_int_equal(fs_pwrite(f, "ab", 2, 0, &err), 0);
	assert_false(fs_fault_fired(ff));
	assert_int_equal(fs_sync(f, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_true(fs_fault_fired(ff));
	err_clear(&err);
	/* Says yes, but the bytes are lost: a sync that failed is not made good. */
	assert_int_equal(fs_sync(f, &err), 0);
	fs_fault_arm(ff, 1, FS_FAULT_SHORT);
	assert_int_equal(fs_pwrite(f, "wxyz", 4, 0, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	err_clear(&err);
	assert_int_equal(fs_size(f, &len, &err), 0);
	assert_int_equal(len, 2);
	fs_fault_set_room(ff, 3);
	assert_int_equal(fs_pwrite(f, "wxyz", 4, 0, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	err_clear(&err);
	fs_fault_set_room(ff, 0);
	fs_fault_arm(ff, 1, FS_FAULT_DIE);
	assert_int_equal(fs_truncate(f, 0, &err), -1);
	err_clear(&err);
	assert_int_equal(fs_size(f, &len, &err), -1);
	fs_close(f);
	fs_fault_restart(ff, 0);
	assert_true(has(fs, "a", "wx"));
	fs_fault_free(ff);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(real_and_memory_agree),
		cmocka_unit_test(overlay_does_the_same_and_changes_nothing),
		cmocka_unit_test(overlay_is_the_files_with_the_changes),
		cmocka_unit_test(synced_survives),
		cmocka_unit_test(unsynced_is_lost_for_some_seed),
		cmocka_unit_test(armed_calls_fail),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
