/*
 * Every system call that may be interrupted is, once, and none reads or writes more than
 * a half of what it was asked for: nobody above fs.h notices.  The linker puts the
 * functions below between fs_posix.c and the C library (unit.cmake).
 */
#define _GNU_SOURCE /* off64_t */
#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "tests/unit/storage/store_rig.h"

#define BLOCKS 12u

static atomic_int on;
static atomic_uint turn, interrupted, cut_short;

/* Every second call. */
static int
interrupt(void)
{
	if (!on || atomic_fetch_add(&turn, 1) % 2 != 0)
		return 0;
	interrupted++;
	errno = EINTR;
	return 1;
}

static size_t
half(size_t len)
{
	if (!on || len < 2)
		return len;
	cut_short++;
	return len / 2;
}

ssize_t __real_pread64(int fd, void *p, size_t len, off64_t at);
ssize_t __wrap_pread64(int fd, void *p, size_t len, off64_t at);
ssize_t
__wrap_pread64(int fd, void *p, size_t len, off64_t at)
{
	return interrupt() ? -1 : __real_pread64(fd, p, half(len), at);
}

ssize_t __real_pwrite64(int fd, const void *p, size_t len, off64_t at);
ssize_t __wrap_pwrite64(int fd, const void *p, size_t len, off64_t at);
ssize_t
__wrap_pwrite64(int fd, const void *p, size_t len, off64_t at)
{
	return interrupt() ? -1 : __real_pwrite64(fd, p, half(len), at);
}

int __real_openat64(int dir, const char *name, int how, mode_t mode);
int __wrap_openat64(int dir, const char *name, int how, ...);
int
__wrap_openat64(int dir, const char *name, int how, ...)
{
	return interrupt() ? -1 : __real_openat64(dir, name, how, 0600);
}

int __real_fsync(int fd);
int __wrap_fsync(int fd);
int
__wrap_fsync(int fd)
{
	return interrupt() ? -1 : __real_fsync(fd);
}

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int
__wrap_fdatasync(int fd)
{
	return interrupt() ? -1 : __real_fdatasync(fd);
}

int __real_ftruncate64(int fd, off64_t len);
int __wrap_ftruncate64(int fd, off64_t len);
int
__wrap_ftruncate64(int fd, off64_t len)
{
	return interrupt() ? -1 : __real_ftruncate64(fd, len);
}

int __real_flock(int fd, int how);
int __wrap_flock(int fd, int how);
int
__wrap_flock(int fd, int how)
{
	return interrupt() ? -1 : __real_flock(fd, how);
}

static void
test_interrupts_and_short_calls_are_nobodys_concern(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct store_verify_report report;
	struct err err = ERR_INIT;
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };
	struct store *s;
	char dir[64];

	(void)state;
	assert_non_null(p);
	rig_dir(dir);
	on = 1;
	rig_ok(store_init(dir, &err), &err);
	for (uint32_t n = 1; n <= 3; n++) {
		rig_ok(store_open(dir, &s, &err), &err);
		rig_fill(blocks, BLOCKS, n);
		rig_ok(rig_backup(s, "alpha", &v, p, &err), &err);
		rig_ok(rig_verify(s, p, 0, &v, &err), &err);
		store_close(s);
	}
	rig_ok(store_open(dir, &s, &err), &err);
	assert_string_equal(store_opened(s), "");
	rig_ok(store_verify(s, 0, 1, NULL, NULL, &report, &err), &err);
	assert_int_equal(report.bad_groups, 0);
	assert_int_equal(report.points_checked, 3);
	store_close(s);
	on = 0;
	rig_ok(store_open(dir, &s, &err), &err);
	for (uint32_t n = 1; n <= 3; n++) {
		rig_fill(blocks, BLOCKS, n);
		rig_ok(store_point_get(s, "alpha", n, p, &err), &err);
		rig_ok(rig_verify(s, p, 0, &v, &err), &err);
	}
	store_close(s);
	print_message("%u calls interrupted, %u cut short\n", interrupted, cut_short);
	assert_true(interrupted > 300 && cut_short > 300);
	rig_remove(dir);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interrupts_and_short_calls_are_nobodys_concern),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
