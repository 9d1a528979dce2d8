/* What only Linux' files have: modes, and files that never had a name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <sys/stat.h>

#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/scratch.h"

static int
mode_of(void **state, const char *name)
{
	char path[SCRATCH_MAX];
	struct stat st;

	scratch_path(*state, name, path);
	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void
what_is_made_is_for_us_only(void **state)
{
	const mode_t before = umask(0);
	struct err err = ERR_INIT;
	char path[SCRATCH_MAX];
	struct file *f;

	scratch_path(*state, "key", path);
	assert_int_equal(file_store(path, "k", 1, 0600, &err), 0);
	assert_int_equal(mode_of(state, "key"), 0600);
	scratch_path(*state, "cert", path);
	assert_int_equal(file_store(path, "c", 1, 0644, &err), 0);
	assert_int_equal(mode_of(state, "cert"), 0644);
	/* Also in the place of one that others could read. */
	assert_int_equal(file_store(path, "c", 1, 0600, &err), 0);
	assert_int_equal(mode_of(state, "cert"), 0600);
	scratch_path(*state, "image", path);
	assert_int_equal(file_open(path, FILE_TO_WRITE | FILE_TO_MAKE, &f, &err), 0);
	file_close(f);
	assert_int_equal(mode_of(state, "image"), 0600);
	scratch_path(*state, "dir", path);
	assert_int_equal(file_make_dir(path, &err), 0);
	assert_int_equal(mode_of(state, "dir"), 0700);
	umask(before);
}

static int
none(void *arg, const char *name, struct err *err)
{
	(void)arg;
	(void)name;
	(void)err;
	return 1;
}

static void
a_file_without_a_name_has_none_while_it_is_open(void **state)
{
	struct err err = ERR_INIT;
	char dir[SCRATCH_MAX];
	struct file *f;

	scratch_path(*state, "spills", dir);
	assert_int_equal(file_make_dir(dir, &err), 0);
	assert_int_equal(file_open(dir, FILE_UNNAMED, &f, &err), 0);
	assert_int_equal(file_write(f, 0, "x", 1, &err), 0);
	assert_int_equal(file_list(dir, none, NULL, &err), 0);
	file_close(f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_made_is_for_us_only),
		cmocka_unit_test(a_file_without_a_name_has_none_while_it_is_open),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
