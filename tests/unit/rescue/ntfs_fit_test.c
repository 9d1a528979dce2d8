/*
 * An NTFS volume of thousands of files, some behind the new end, compressed ones and
 * sparse ones among them, becomes smaller on its way to a smaller partition: every
 * byte of every file is there, and NTFS' own tools find nothing to say.
 */
#define _GNU_SOURCE /* FTW_PHYS */
#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/map/ntfs_usage.h"
#include "agent/restore/target.h"
#include "agent/restore/target_skip.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "rescue/ntfs_fit.h"

#define MIB (UINT64_C(1) << 20)
#define SIZE (224 * MIB)
#define FILES 2500u

static char dir[64];
static char volume[96], out[96], mnt[96];
static uint64_t files_hash;
static unsigned files_count;

static int
shell(const char *fmt, const char *a, const char *b)
{
	char cmd[512];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(cmd, sizeof(cmd), fmt, a, b);
#pragma GCC diagnostic pop
	return system(cmd);
}

/* ------------------------------------------------------------------ a volume -- */

static void
write_file(const char *name, unsigned n, size_t len, int dense)
{
	uint32_t seed = n * 2654435761u + 1;
	char path[256];
	uint8_t *p = malloc(len + 4);
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s%u", mnt, name, n);
	for (size_t i = 0; i < len; i += 4) {
		seed = seed * 1664525u + 1013904223u;
		store_le32(p + i, dense ? seed : (uint32_t)(i / 512));
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
	free(p);
}

static void
write_sparse(unsigned n)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/sparse%u", mnt, n);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	for (off_t at = 0; at < 4 << 20; at += 1 << 19)
		assert_int_equal(pwrite(fd, path, sizeof(path), at + n), sizeof(path));
	close(fd);
}

static void
fill_volume(void)
{
	const uint8_t compressed[4] = { 0, 0, 8, 0 };
	char path[256];

	snprintf(path, sizeof(path), "%s/small", mnt);
	assert_int_equal(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/packed", mnt);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(setxattr(path, "system.ntfs_attrib_be", compressed, 4, 0), 0);
	/* What comes first is removed again, so that the rest lies far out. */
	for (unsigned i = 0; i < 10; i++)
		write_file("ballast", i, 12 * MIB, 1);
	for (unsigned i = 0; i < FILES; i++)
		write_file("small/f", i, 40 + i * 37 % 9000, 1);
	for (unsigned i = 0; i < 60; i++)
		write_file("packed/p", i, 20000 + 3000 * i, i % 3 == 0);
	for (unsigned i = 0; i < 6; i++)
		write_sparse(i);
	for (unsigned i = 0; i < 10; i++)
		write_file("large", i, MIB + i * 77777, 1);
	for (unsigned i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "%s/ballast%u", mnt, i);
		assert_int_equal(unlink(path), 0);
	}
}

/* The order in which files are seen must not count. */
static int
hash_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	uint64_t h = UINT64_C(14695981039346656037);
	static uint8_t buf[65536];
	size_t n;
	FILE *f;

	(void)ftw;
	if (type != FTW_F)
		return 0;
	for (const char *c = path + strlen(mnt); *c != '\0'; c++)
		h = (h ^ (uint8_t)*c) * UINT64_C(1099511628211);
	assert_non_null(f = fopen(path, "r"));
	while ((n = fread(buf, 1, sizeof(buf), f)) > 0)
		for (size_t i = 0; i < n; i++)
			h = (h ^ buf[i]) * UINT64_C(1099511628211);
	assert_false(ferror(f));
	fclose(f);
	files_hash += h ^ (uint64_t)st->st_size;
	files_count++;
	return 0;
}

static uint64_t
hash_files(const char *image)
{
	files_hash = files_count = 0;
	assert_int_equal(shell("ntfs-3g -o ro %s %s", image, mnt), 0);
	assert_int_equal(nftw(mnt, hash_one, 16, FTW_PHYS), 0);
	assert_int_equal(shell("umount %s%s", mnt, ""), 0);
	assert_int_equal(files_count, FILES + 76);
	return files_hash;
}

static void
make_volume(void)
{
	int fd = open(volume, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)SIZE), 0);
	close(fd);
	assert_int_equal(
	    shell("mkntfs -q -F -Q -c 4096 -p 2048 -H 255 -S 63 %s >/dev/null 2>&1%s",
		volume, ""),
	    0);
	assert_int_equal(shell("ntfs-3g -o compression %s %s", volume, mnt), 0);
	fill_volume();
	assert_int_equal(shell("umount %s%s", mnt, ""), 0);
}

static int
set_up_all(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/hf-fit-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(volume, sizeof(volume), "%s/volume", dir);
	snprintf(out, sizeof(out), "%s/out", dir);
	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	assert_int_equal(mkdir(mnt, 0700), 0);
	make_volume();
	return 0;
}

static int
tear_down_all(void **state)
{
	(void)state;
	(void)shell("umount -l %s 2>/dev/null; rm -rf %s", mnt, dir);
	return 0;
}

/* ------------------------------------------------------------ as a restore does -- */

static int
read_volume(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	if (pread(*(int *)arg, buf, len, (off_t)offset) != (ssize_t)len)
		return err_set(err, ERR_IO, "the volume cannot be read");
	return 0;
}

static int fd_of_volume;

static struct ntfs_fit
the_volume(void)
{
	struct ntfs_fit f = { .source = { read_volume, &fd_of_volume, SIZE } };

	return f;
}

/* What the view did not write, from the volume as it was. */
static void
fill_in(struct view *v, struct target *t, uint64_t length)
{
	uint8_t *p = malloc(MIB);
	struct err err = ERR_INIT;
	struct target_skip skip;
	uint64_t at, n;

	view_skip(v, &skip);
	for (at = 0; at < length; at += n) {
		n = length - at < MIB ? length - at : MIB;
		if (!target_skip_first(&skip, at, n, &n))
			continue;
		assert_int_equal(read_volume(&fd_of_volume, at, p, n, &err), 0);
		assert_int_equal(target_write(t, at, p, n, &err), 0);
	}
	free(p);
}

static int
shrink_to(uint64_t length, struct err *err)
{
	struct ntfs_fit f = the_volume();
	struct err ignored = ERR_INIT;
	struct target *t;
	struct view *v;
	int rc;

	assert_int_equal(target_open(out, length, 0, TARGET_REPLACE, &t, &ignored), 0);
	rc = ntfs_fit_shrink(&f, t, length, &v, err);
	if (rc != 0) {
		assert_int_equal(target_written(t), 0);
		target_abandon(t);
		return rc;
	}
	fill_in(v, t, length);
	assert_int_equal(ntfs_fit_place(t, length, 4096 * 512, &ignored), 0);
	view_close(v);
	assert_int_equal(target_finish(t, &ignored), 0);
	return 0;
}

/* The boot sector of `out`, and its copy in the last sector. */
static void
knows_its_place(uint64_t length, uint32_t hidden)
{
	uint8_t first[512], last[512];
	int fd = open(out, O_RDONLY | O_CLOEXEC);

	assert_int_equal(lseek(fd, 0, SEEK_END), length);
	assert_int_equal(pread(fd, first, 512, 0), 512);
	assert_int_equal(pread(fd, last, 512, (off_t)length - 512), 512);
	close(fd);
	assert_memory_equal(first, last, 512);
	assert_int_equal(load_le32(first + 28), hidden);
	assert_true((load_le64(first + 40) + 1) * 512 <= length);
	assert_true((load_le64(first + 40) + 1) * 512 > length - 2 * 4096);
}

static void
is_whole(uint64_t length, uint64_t hash)
{
	knows_its_place(length, 4096);
	assert_int_equal(shell("ntfsfix -n %s >/dev/null%s", out, ""), 0);
	assert_int_equal(shell("ntfsresize -P -f --info %s >/dev/null%s", out, ""), 0);
	assert_true(hash_files(out) == hash);
}

/* -------------------------------------------------------------------- tests -- */

static void
the_smallest_is_exact_and_all_files_come_along(void **state)
{
	struct ntfs_fit f = the_volume();
	struct ntfs_usage usage;
	struct err err = ERR_INIT;
	uint64_t bound, smallest, hash = hash_files(volume);
	char missing[64];

	(void)state;
	fd_of_volume = open(volume, O_RDONLY | O_CLOEXEC);
	assert_int_equal(ntfs_fit_look(&f, &usage, &bound, &err), 0);
	assert_true(usage.log_clean && !usage.dirty);
	assert_int_equal(usage.cluster_size, 4096);
	assert_int_equal(usage.hidden, 2048);
	if (ntfs_fit_smallest(&f, &smallest, &err) != 0)
		fail_msg("%s", err.text);
	assert_true(bound <= smallest && smallest < bound + 8 * MIB);
	/* Else nothing would have to be moved. */
	assert_true((uint64_t)usage.last * 4096 > smallest + 64 * MIB);

	/* A sector less: refused with that number, nothing written. */
	assert_int_equal(shrink_to(smallest - 512, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	snprintf(missing, sizeof(missing), ": %d bytes are missing", 512);
	assert_non_null(strstr(err.text, missing));
	err_clear(&err);
	assert_int_equal(shrink_to(20 * MIB, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	snprintf(missing, sizeof(missing), ": %llu bytes are missing",
	    (unsigned long long)(bound - 20 * MIB));
	assert_non_null(strstr(err.text, missing));
	err_clear(&err);

	if (shrink_to(smallest, &err) != 0)
		fail_msg("%s", err.text);
	is_whole(smallest, hash);
	if (shrink_to(smallest + 4096, &err) != 0)
		fail_msg("%s", err.text);
	is_whole(smallest + 4096, hash);
	if (shrink_to(140 * MIB, &err) != 0)
		fail_msg("%s", err.text);
	is_whole(140 * MIB, hash);
	close(fd_of_volume);
}

/* A disk that takes no bytes behind 200 MiB: that is no refusal, it was changed. */
static void
it_says_that_it_broke_off(void)
{
	struct ntfs_fit f = { .percent = NULL };
	struct rlimit before, little;
	struct err err = ERR_INIT;
	struct target *t;

	assert_int_equal(shell("cp --sparse=always %s %s.spare", out, out), 0);
	assert_int_equal(target_open(out, 300 * MIB, 0, TARGET_KEEP, &t, &err), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	little = before;
	little.rlim_cur = 200 * MIB;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_int_equal(ntfs_fit_extend(&f, t, 300 * MIB, &err), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_true(target_written(t) > 0);
	assert_int_equal(err.code, ERR_IO);
	target_abandon(t);
	assert_int_equal(shell("mv %s.spare %s", out, out), 0);
}

/* On what the test before left: 140 MiB, marked for chkdsk. */
static void
it_grows_into_its_partition_unless_chkdsk_must_run_first(void **state)
{
	struct ntfs_fit f = { .percent = NULL };
	struct ntfs_usage usage;
	struct err err = ERR_INIT;
	uint64_t hash = hash_files(volume), bound;
	struct target *t;

	(void)state;
	assert_int_equal(truncate(out, 300 * (off_t)MIB), 0);
	assert_int_equal(target_open(out, 300 * MIB, 0, TARGET_KEEP, &t, &err), 0);
	assert_int_equal(ntfs_fit_extend(&f, t, 300 * MIB, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "chkdsk"));
	assert_int_equal(target_written(t), 0);
	err_clear(&err);
	target_abandon(t);

	assert_int_equal(shell("ntfsfix -d %s >/dev/null%s", out, ""), 0);
	it_says_that_it_broke_off();
	assert_int_equal(target_open(out, 300 * MIB, 0, TARGET_KEEP, &t, &err), 0);
	if (ntfs_fit_extend(&f, t, 300 * MIB, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(target_finish(t, &err), 0);
	is_whole(300 * MIB, hash);
	fd_of_volume = open(out, O_RDONLY | O_CLOEXEC);
	f = the_volume();
	f.source.size = 300 * MIB;
	assert_int_equal(ntfs_fit_look(&f, &usage, &bound, &err), 0);
	assert_true(usage.dirty);
	assert_int_equal(usage.clusters, 300 * 256 - 1);
	close(fd_of_volume);
}

static int
read_zeros(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	(void)arg;
	(void)offset;
	(void)err;
	memset(buf, 0, len);
	return 0;
}

static void
what_is_no_ntfs_is_said(void **state)
{
	struct ntfs_fit f = { .source = { read_zeros, NULL, SIZE } };
	struct err err = ERR_INIT;
	uint64_t smallest;

	(void)state;
	assert_int_equal(ntfs_fit_smallest(&f, &smallest, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_string_equal(err.text, "the volume is no NTFS");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_smallest_is_exact_and_all_files_come_along),
		cmocka_unit_test(
		    it_grows_into_its_partition_unless_chkdsk_must_run_first),
		cmocka_unit_test(what_is_no_ntfs_is_said),
	};

	return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}
