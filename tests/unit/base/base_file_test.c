/* Files are what file.h says, on whatever system this runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "tests/unit/scratch.h"

/* A path in the scratch directory; good for four calls. */
static const char *
in(void **state, const char *name)
{
	static char paths[4][SCRATCH_MAX];
	static unsigned turn;
	char *out = paths[turn++ % 4];

	scratch_path(*state, name, out);
	return out;
}

static void
store(const char *path, const char *text)
{
	struct err err = ERR_INIT;

	if (file_store(path, text, strlen(text), 0600, &err) != 0)
		fail_msg("%s", err.text);
}

static void
holds(const char *path, const char *text)
{
	struct buf b = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;

	assert_int_equal(file_load(path, &b, &err), 1);
	assert_int_equal(b.len, strlen(text));
	assert_memory_equal(b.p, text, b.len);
	buf_free(&b);
}

static void
what_is_stored_is_loaded_byte_for_byte(void **state)
{
	const char *path = in(state, "bytes");
	struct buf b = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;
	uint8_t all[3 * 4096 + 5];

	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)(i % 256); /* Line ends and the old end-of-file, too. */
	for (size_t len = 0; len <= sizeof(all); len += 4097) {
		assert_int_equal(file_store(path, all, len, 0600, &err), 0);
		assert_int_equal(file_load(path, &b, &err), 1);
		assert_int_equal(b.len, len);
		assert_memory_equal(b.p, all, len);
	}
	b.max = 4096;
	buf_free(&b);
	assert_int_equal(file_load(path, &b, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	buf_free(&b);
}

static void
no_file_is_an_outcome_for_some_and_an_error_for_others(void **state)
{
	const char *path = in(state, "nothing");
	struct buf b = BUF_INIT(100);
	struct err err = ERR_INIT;
	enum file_kind kind;
	struct file *f;

	assert_int_equal(file_load(path, &b, &err), 0);
	assert_int_equal(file_remove(path, &err), 0);
	assert_int_equal(file_kind(path, &kind, &err), 0);
	assert_int_equal(kind, FILE_IS_NOTHING);
	assert_null(file_real_path(path));
	assert_int_equal(file_open(path, 0, &f, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "nothing"));
	err_clear(&err);
	assert_int_equal(file_store(in(state, "no/such/dir"), "x", 1, 0600, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

static void
replacing_works_while_readers_hold_the_old(void **state)
{
	const char *path = in(state, "replaced");
	struct err err = ERR_INIT;
	struct file *reader;
	char old[3];

	store(path, "old");
	assert_int_equal(file_open(path, 0, &reader, &err), 0);
	/* On Windows a reader may be in the way: then all is as it was, and said. */
	if (file_store(path, "new", 3, 0600, &err) != 0) {
		assert_true(err.code == ERR_DENIED || err.code == ERR_BUSY);
		err_clear(&err);
	}
	assert_int_equal(file_read_all(reader, 0, old, 3, &err), 0);
	assert_memory_equal(old, "old", 3);
	file_close(reader);
	store(path, "new");
	holds(path, "new");
	assert_int_equal(
	    file_load(in(state, "replaced.tmp"), &(struct buf)BUF_INIT(9), &err), 0);
}

static void
renaming_puts_one_in_the_place_of_another(void **state)
{
	struct err err = ERR_INIT;

	store(in(state, "a"), "one");
	store(in(state, "b"), "two");
	assert_int_equal(file_rename(in(state, "a"), in(state, "b"), &err), 0);
	holds(in(state, "b"), "one");
	assert_int_equal(file_replace(in(state, "b"), in(state, "c"), &err), 0);
	holds(in(state, "c"), "one");
	assert_int_equal(file_remove(in(state, "c"), &err), 1);
	assert_int_equal(file_remove(in(state, "c"), &err), 0);
	assert_int_equal(file_rename(in(state, "c"), in(state, "b"), &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

static void
bytes_are_read_and_written_at_any_place(void **state)
{
	const uint64_t far = (UINT64_C(5) << 30) + 3; /* Offsets are of 64 bits. */
	struct err err = ERR_INIT;
	uint64_t size = 0;
	struct file *f;
	uint8_t b[8];
	size_t got;

	assert_int_equal(
	    file_open(in(state, "places"), FILE_TO_WRITE | FILE_TO_BEGIN, &f, &err), 0);
	file_make_sparse(f);
	assert_int_equal(file_write(f, far, "abc", 3, &err), 0);
	assert_int_equal(file_write(f, 0, "xy", 2, &err), 0);
	assert_int_equal(file_size(f, &size, &err), 0);
	assert_true(size == far + 3);
	assert_int_equal(file_read(f, far, b, 8, &got, &err), 0);
	assert_int_equal(got, 3);
	assert_memory_equal(b, "abc", 3);
	assert_int_equal(file_read(f, far + 3, b, 8, &got, &err), 0);
	assert_int_equal(got, 0);
	assert_int_equal(file_read_all(f, 0, b, 4, &err), 0);
	assert_memory_equal(b, "xy\0\0", 4);
	assert_int_equal(file_read_all(f, far, b, 4, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	err_clear(&err);
	assert_int_equal(file_zero(f, far + 1, 1, &err), 0);
	assert_int_equal(file_read_all(f, far, b, 3, &err), 0);
	assert_memory_equal(b, "a\0c", 3);
	assert_int_equal(file_truncate(f, 10, &err), 0);
	assert_int_equal(file_truncate(f, 200000, &err), 0);
	assert_int_equal(file_write(f, 150000, "d", 1, &err), 0);
	assert_int_equal(file_zero(f, 0, 200000, &err), 0);
	assert_int_equal(file_read_all(f, 150000, b, 1, &err), 0);
	assert_int_equal(b[0], 0);
	assert_int_equal(file_size(f, &size, &err), 0);
	assert_true(size == 200000);
	assert_int_equal(file_sync(f, &err), 0);
	assert_int_equal(file_finish(f, &err), 0);
}

static void
flags_of_opening_are_kept(void **state)
{
	const char *path = in(state, "flags");
	struct err err = ERR_INIT;
	uint64_t size = 9;
	struct file *f;

	store(path, "12345");
	assert_int_equal(file_open(path, FILE_TO_WRITE | FILE_TO_BEGIN, &f, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	err_clear(&err);
	assert_int_equal(file_open(path, FILE_TO_WRITE | FILE_TO_MAKE, &f, &err), 0);
	assert_int_equal(file_size(f, &size, &err), 0);
	assert_int_equal(size, 5);
	file_close(f);
	assert_int_equal(
	    file_open(path, FILE_TO_WRITE | FILE_TO_MAKE | FILE_TO_EMPTY, &f, &err), 0);
	assert_int_equal(file_size(f, &size, &err), 0);
	assert_int_equal(size, 0);
	file_close(f);
	assert_int_equal(file_open(path, 0, &f, &err), 0);
	assert_int_equal(file_write(f, 0, "x", 1, &err), -1);
	err_clear(&err);
	file_close(f);
}

static void
a_lock_is_against_other_locks_only(void **state)
{
	const char *path = in(state, "lock");
	struct err err = ERR_INIT;
	struct file *a, *b;

	assert_int_equal(file_open(path, FILE_TO_WRITE | FILE_TO_MAKE, &a, &err), 0);
	assert_int_equal(file_open(path, FILE_TO_WRITE | FILE_TO_MAKE, &b, &err), 0);
	assert_int_equal(file_lock(a, &err), 0);
	assert_int_equal(file_lock(b, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	err_clear(&err);
	assert_int_equal(file_write(b, 0, "free", 4, &err), 0);
	holds(path, "free");
	file_close(a);
	assert_int_equal(file_lock(b, &err), 0);
	file_close(b);
}

static int
count(void *arg, const char *name, struct err *err)
{
	(void)name;
	(void)err;
	++*(unsigned *)arg;
	return 0;
}

static void
a_file_without_a_name_leaves_nothing(void **state)
{
	const char *dir = in(state, "spills");
	struct err err = ERR_INIT;
	struct file *a, *b;
	unsigned n = 0;
	uint64_t room = 0;
	char c[4];

	assert_int_equal(file_make_dir(dir, &err), 0);
	assert_int_equal(file_open(dir, FILE_UNNAMED, &a, &err), 0);
	assert_int_equal(file_open(dir, FILE_UNNAMED, &b, &err), 0);
	assert_int_equal(file_write(a, 100, "aaaa", 4, &err), 0);
	assert_int_equal(file_write(b, 100, "bbbb", 4, &err), 0);
	assert_int_equal(file_read_all(a, 100, c, 4, &err), 0);
	assert_memory_equal(c, "aaaa", 4);
	assert_int_equal(file_room(a, &room, &err), 0);
	assert_true(room > 0);
	file_close(a);
	file_close(b);
	assert_int_equal(file_list(dir, count, &n, &err), 0);
	assert_int_equal(n, 0);
}

static int
find(void *arg, const char *name, struct err *err)
{
	(void)err;
	return strcmp(name, arg) == 0 ? 7 : 0;
}

static void
names_are_utf8_and_of_any_length(void **state)
{
	static const char umlaut[] =
	    "Sch\xc3\xb6ne \xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x92\xbe";
	char name[200], path[SCRATCH_MAX];
	struct err err = ERR_INIT;
	enum file_kind kind;
	char *real;

	scratch_path(*state, umlaut, path);
	store(path, "unicode");
	holds(path, "unicode");
	assert_int_equal(file_list(*state, find, (void *)umlaut, &err), 7);
	real = file_real_path(path);
	assert_non_null(real);
	assert_non_null(strstr(real, umlaut));
	assert_true(file_same(real, path));
	free(real);
	/* Past the 260 of old Windows calls. */
	memset(name, 'n', 100);
	name[100] = '\0';
	for (int depth = 0; depth < 4; depth++) {
		size_t len = strlen(path);

		if (depth == 0)
			len = (size_t)(strrchr(path, '/') - path);
		assert_true(len + 102 < sizeof(path));
		snprintf(path + len, sizeof(path) - len, "/%s", name);
		assert_int_equal(file_make_dir(path, &err), 0);
		assert_int_equal(file_make_dir(path, &err), 0);
	}
	assert_int_equal(file_kind(path, &kind, &err), 0);
	assert_int_equal(kind, FILE_IS_DIR);
	strcat(path, "/file");
	store(path, "deep");
	holds(path, "deep");
	assert_int_equal(file_kind(path, &kind, &err), 0);
	assert_int_equal(kind, FILE_IS_FILE);
	real = file_real_path(path);
	assert_non_null(real);
	assert_true(strlen(real) > 400);
	holds(real, "deep");
	/* What is full can be gone on from. */
	*strrchr(real, real[0] == '/' ? '/' : '\\') = '\0';
	snprintf(path, sizeof(path), "%s/more", real);
	store(path, "deeper");
	holds(path, "deeper");
	free(real);
}

static void
two_names_of_one_file_are_the_same(void **state)
{
	struct err err = ERR_INIT;
	char other[SCRATCH_MAX];

	store(in(state, "same"), "s");
	store(in(state, "differs"), "s");
	assert_int_equal(file_make_dir(in(state, "sub"), &err), 0);
	scratch_path(*state, "sub/../same", other);
	assert_true(file_same(in(state, "same"), other));
	assert_false(file_same(in(state, "same"), in(state, "differs")));
	assert_false(file_same(in(state, "none1"), in(state, "none2")));
	assert_true(file_same(in(state, "none1"), in(state, "none1")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_stored_is_loaded_byte_for_byte),
		cmocka_unit_test(no_file_is_an_outcome_for_some_and_an_error_for_others),
		cmocka_unit_test(replacing_works_while_readers_hold_the_old),
		cmocka_unit_test(renaming_puts_one_in_the_place_of_another),
		cmocka_unit_test(bytes_are_read_and_written_at_any_place),
		cmocka_unit_test(flags_of_opening_are_kept),
		cmocka_unit_test(a_lock_is_against_other_locks_only),
		cmocka_unit_test(a_file_without_a_name_leaves_nothing),
		cmocka_unit_test(names_are_utf8_and_of_any_length),
		cmocka_unit_test(two_names_of_one_file_are_the_same),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
