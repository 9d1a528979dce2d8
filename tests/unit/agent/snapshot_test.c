/* The offline provider: what it refuses, and that it notices change. */
#define _GNU_SOURCE /* F_OFD_SETLK */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "agent/capture/snapshot.h"
#include "proto/base/err.h"

#define SIZE (1u << 20)

static char dir[] = "/tmp/holdfast-snapshot.XXXXXX";
static char image[128];

/* Write `len` bytes at the start of the image, whatever it was. */
static void
make_image(size_t len)
{
	FILE *f = fopen(image, "wb");

	assert_non_null(f);
	for (size_t i = 0; i < len; i++)
		assert_int_not_equal(fputc((int)(i * 7 >> 3 & 0xff), f), EOF);
	assert_int_equal(fclose(f), 0);
}

static int
setup(void **state)
{
	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(image, sizeof(image), "%s/image", dir);
	return 0;
}

/* Run it with these two as $1 and $2; its status. */
static int
run(const char *command, const char *a, const char *b)
{
	const char *argv[] = { "sh", "-c", command, "sh", a, b, NULL };
	int status = -1;
	pid_t pid = fork();

	assert_int_not_equal(pid, -1);
	if (pid == 0) {
		(void)execv("/bin/sh", (char *const *)(uintptr_t)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* Also what a failed test left mounted. */
static int
teardown(void **state)
{
	(void)state;
	return run("PATH=$PATH:/sbin:/usr/sbin; umount $1/mnt 2> /dev/null; "
		   "losetup -n -O NAME -j $2 | xargs -r losetup -d; rm -rf $1",
	    dir, image);
}

static struct snapshot *
begin(void)
{
	struct snapshot *s = NULL;
	struct err err = ERR_INIT;
	const struct snapshot_provider *p = snapshot_provider_find("offline");

	assert_non_null(p);
	assert_string_equal(snapshot_provider_name(p), "offline");
	assert_int_equal(snapshot_open(p, NULL, &s, &err), 0);
	return s;
}

/* Adding `path` fails so, with this word. */
static void
refuses(const char *path, enum err_code code, const char *word)
{
	struct snapshot *s = begin();
	struct snapshot_volume *v = NULL;
	struct err err = ERR_INIT;

	assert_int_equal(snapshot_add(s, path, &v, &err), -1);
	assert_int_equal(err.code, code);
	if (strstr(err.text, word) == NULL)
		fail_msg("said '%s'", err.text);
	snapshot_close(s);
}

/* A frozen set of the image alone. */
static struct snapshot *
freeze(struct snapshot_volume **v)
{
	struct snapshot *s = begin();
	struct err err = ERR_INIT;

	if (snapshot_add(s, image, v, &err) == -1 || snapshot_freeze(s, 1000, &err) == -1)
		fail_msg("%s", err.text);
	return s;
}

static void
a_file_is_read_as_it_is(void **state)
{
	struct snapshot_volume *v;
	struct snapshot *s;
	struct err err = ERR_INIT;
	uint8_t p[1000];

	(void)state;
	make_image(SIZE);
	s = freeze(&v);
	assert_int_equal(snapshot_info(v)->size, SIZE);
	assert_int_equal(snapshot_info(v)->sector_size, 512);
	assert_int_equal(snapshot_info(v)->grade, SNAPSHOT_EXCLUSIVE);
	assert_int_equal(snapshot_info(v)->flushed, 0);
	assert_true(snapshot_info(v)->frozen_at > 1700000000000000);
	assert_int_equal(snapshot_read(v, 12345, p, sizeof(p), &err), 0);
	for (size_t i = 0; i < sizeof(p); i++)
		assert_int_equal(p[i], (12345 + i) * 7 >> 3 & 0xff);
	assert_int_equal(snapshot_read(v, SIZE, p, 0, &err), 0);
	assert_int_equal(snapshot_read(v, SIZE - 10, p, 11, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	assert_int_equal(snapshot_read(v, UINT64_MAX, p, 2, &err), -1);
	err_clear(&err);
	assert_int_equal(snapshot_confirm(s, &err), 0);
	snapshot_close(s);
}

static void
what_cannot_be_imaged_is_refused(void **state)
{
	char path[160];

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/none", dir);
	refuses(path, ERR_NOTFOUND, "none");
	refuses(dir, ERR_UNSUPPORTED, "neither");
	refuses("/dev/null", ERR_UNSUPPORTED, "neither");
	make_image(0);
	refuses(image, ERR_UNSUPPORTED, "empty");
	make_image(1000);
	refuses(image, ERR_UNSUPPORTED, "sectors");
	assert_null(snapshot_provider_find("vss"));
}

static void
the_same_volume_is_added_once_by_any_name(void **state)
{
	char other[160];
	struct snapshot_volume *v;
	struct snapshot *s = begin();
	struct err err = ERR_INIT;

	(void)state;
	make_image(SIZE);
	(void)snprintf(other, sizeof(other), "%s/link", dir);
	assert_int_equal(link(image, other), 0);
	assert_int_equal(snapshot_add(s, image, &v, &err), 0);
	assert_int_equal(snapshot_add(s, other, &v, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	err_clear(&err);
	/* The set is as before. */
	assert_int_equal(snapshot_freeze(s, 0, &err), 0);
	snapshot_close(s);
	assert_int_equal(unlink(other), 0);
}

static void
a_file_that_a_writer_locked_is_busy(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	int fd;

	(void)state;
	make_image(SIZE);
	assert_int_not_equal(fd = open(image, O_RDWR), -1);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	refuses(image, ERR_BUSY, "lock");
	assert_int_equal(close(fd), 0);
}

static void
a_frozen_file_keeps_locking_writers_out(void **state)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	struct snapshot_volume *v;
	struct snapshot *s;
	int fd;

	(void)state;
	make_image(SIZE);
	s = freeze(&v);
	assert_int_not_equal(fd = open(image, O_RDWR), -1);
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), -1);
	snapshot_close(s);
	lock.l_pid = 0;
	assert_int_equal(fcntl(fd, F_OFD_SETLK, &lock), 0);
	assert_int_equal(close(fd), 0);
}

static void
change_while_reading_is_noticed(void **state)
{
	struct snapshot_volume *v;
	struct snapshot *s;
	struct err err = ERR_INIT;
	struct timespec past[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
	uint8_t p[512];
	int fd;

	(void)state;
	make_image(SIZE);
	/* An old time of change, so that the write below is later by any clock. */
	assert_int_equal(utimensat(AT_FDCWD, image, past, 0), 0);
	s = freeze(&v);
	assert_int_equal(snapshot_read(v, 0, p, sizeof(p), &err), 0);
	assert_int_equal(snapshot_confirm(s, &err), 0);
	/* Within the same second too. */
	past[1].tv_nsec = 5;
	assert_int_equal(utimensat(AT_FDCWD, image, past, 0), 0);
	assert_int_equal(snapshot_confirm(s, &err), -1);
	err_clear(&err);
	assert_int_not_equal(fd = open(image, O_WRONLY), -1);
	assert_int_equal(pwrite(fd, "x", 1, 5000), 1);
	assert_int_equal(close(fd), 0);
	assert_int_equal(snapshot_confirm(s, &err), -1);
	assert_int_equal(err.code, ERR_SNAPSHOT_LOST);
	assert_non_null(strstr(err.text, "changed while it was read"));
	snapshot_close(s);
}

static void
a_file_that_shrinks_is_lost(void **state)
{
	struct snapshot_volume *v;
	struct snapshot *s;
	struct err err = ERR_INIT;
	uint8_t p[512];

	(void)state;
	make_image(SIZE);
	s = freeze(&v);
	assert_int_equal(truncate(image, SIZE / 2), 0);
	assert_int_equal(snapshot_read(v, SIZE - 512, p, sizeof(p), &err), -1);
	assert_int_equal(err.code, ERR_SNAPSHOT_LOST);
	err_clear(&err);
	assert_int_equal(snapshot_confirm(s, &err), -1);
	assert_int_equal(err.code, ERR_SNAPSHOT_LOST);
	snapshot_close(s);
}

/* ----------------------------------------------------------- many threads -- */

static void *
read_much(void *arg)
{
	struct err err = ERR_INIT;
	uint8_t p[4096];
	uint64_t at = 0;

	for (int i = 0; i < 2000; i++) {
		at = (at * 29 + 4096 * 7) % (SIZE - sizeof(p));
		if (snapshot_read(arg, at, p, sizeof(p), &err) == -1)
			return "failed";
		for (size_t k = 0; k < sizeof(p); k++)
			if (p[k] != ((at + k) * 7 >> 3 & 0xff))
				return "wrong";
	}
	return NULL;
}

static void
many_threads_read_one_volume(void **state)
{
	pthread_t thread[4];
	struct snapshot_volume *v;
	struct snapshot *s;
	void *said;

	(void)state;
	make_image(SIZE);
	s = freeze(&v);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, read_much, v), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(thread[i], &said), 0);
		assert_null(said);
	}
	snapshot_close(s);
}

/* ---------------------------------------------------------------- devices -- */

/* Run a command of the shell; its first line of output goes to `line`. */
static int
shell(char *line, size_t size, const char *command)
{
	FILE *f = popen(command, "r");
	char *end;

	assert_non_null(f);
	if (fgets(line, (int)size, f) == NULL)
		line[0] = '\0';
	if ((end = strchr(line, '\n')) != NULL)
		*end = '\0';
	return pclose(f);
}

/* A loop device with ext4, which a kernel can really mount; needs root. */
static void
a_mounted_device_is_refused_unless_read_only(void **state)
{
	char command[300], device[200], at[160];
	struct snapshot_volume *v;
	struct snapshot *s;
	struct err err = ERR_INIT;
	uint8_t p[512];

	(void)state;
	make_image(0);
	assert_int_equal(truncate(image, 8 << 20), 0);
	(void)snprintf(at, sizeof(at), "%s/mnt", dir);
	assert_int_equal(mkdir(at, 0700), 0);
	assert_int_equal(
	    run("PATH=$PATH:/sbin:/usr/sbin mkfs.ext4 -q -F $1", image, ""), 0);
	(void)snprintf(command, sizeof(command), "/sbin/losetup --find --show %s", image);
	assert_int_equal(shell(device, sizeof(device), command), 0);

	assert_int_equal(run("mount $1 $2", device, at), 0);
	refuses(device, ERR_BUSY, "mounted for writing");
	refuses(image, ERR_BUSY, "mounted for writing"); /* Through its loop device. */
	assert_int_equal(run("mount -o remount,ro $1", at, ""), 0);
	s = begin();
	if (snapshot_add(s, device, &v, &err) == -1)
		fail_msg("%s", err.text);
	assert_int_equal(snapshot_freeze(s, 0, &err), 0);
	assert_int_equal(snapshot_info(v)->size, 8 << 20);
	assert_int_equal(snapshot_read(v, 1024, p, 512, &err), 0);
	assert_int_equal(p[0x38], 0x53); /* ext4's magic */
	assert_int_equal(snapshot_confirm(s, &err), 0);
	snapshot_close(s);
	assert_int_equal(run("umount $1", at, ""), 0);

	/* Free: it is claimed, so that nobody mounts it meanwhile. */
	s = begin();
	assert_int_equal(snapshot_add(s, device, &v, &err), 0);
	assert_int_equal(snapshot_freeze(s, 0, &err), 0);
	assert_int_not_equal(run("mount $1 $2 2> /dev/null", device, at), 0);
	assert_int_equal(snapshot_confirm(s, &err), 0);
	assert_int_equal(
	    run("dd if=/dev/zero of=$1 bs=4096 count=1 seek=9 conv=fsync status=none",
		device, ""),
	    0);
	assert_int_equal(snapshot_confirm(s, &err), -1);
	assert_int_equal(err.code, ERR_SNAPSHOT_LOST);
	snapshot_close(s);
	assert_int_equal(run("/sbin/losetup -d $1", device, ""), 0);
	assert_int_equal(rmdir(at), 0);
}

/* ntfs-3g holds no lock on a plain file: its name in the list of mounts tells. */
static void
an_image_mounted_by_ntfs_3g_is_refused_unless_read_only(void **state)
{
	struct snapshot_volume *v;
	char at[160];

	(void)state;
	make_image(0);
	assert_int_equal(truncate(image, 8 << 20), 0);
	(void)snprintf(at, sizeof(at), "%s/mnt", dir);
	assert_int_equal(mkdir(at, 0700), 0);
	assert_int_equal(
	    run("PATH=$PATH:/sbin:/usr/sbin mkntfs -q -Q -F $1 > /dev/null 2>&1", image,
		""),
	    0);
	assert_int_equal(run("ntfs-3g $1 $2", image, at), 0);
	refuses(image, ERR_BUSY, "mounted for writing");
	assert_int_equal(run("umount $1", at, ""), 0);
	assert_int_equal(run("ntfs-3g -o ro $1 $2", image, at), 0);
	snapshot_close(freeze(&v));
	assert_int_equal(run("umount $1", at, ""), 0);
	assert_int_equal(rmdir(at), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_is_read_as_it_is),
		cmocka_unit_test(what_cannot_be_imaged_is_refused),
		cmocka_unit_test(the_same_volume_is_added_once_by_any_name),
		cmocka_unit_test(a_file_that_a_writer_locked_is_busy),
		cmocka_unit_test(a_frozen_file_keeps_locking_writers_out),
		cmocka_unit_test(change_while_reading_is_noticed),
		cmocka_unit_test(a_file_that_shrinks_is_lost),
		cmocka_unit_test(many_threads_read_one_volume),
		cmocka_unit_test(a_mounted_device_is_refused_unless_read_only),
		cmocka_unit_test(an_image_mounted_by_ntfs_3g_is_refused_unless_read_only),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
