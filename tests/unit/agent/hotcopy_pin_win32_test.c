/*
 * Room on a volume of Windows, as far as Wine goes: it cannot pin a file, so each attempt
 * fails, and leaves nothing behind; what is somebody else's is left alone.
 */
#include <windows.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/hotcopy/hotcopy_link.h"
#include "agent/hotcopy/hotcopy_pin.h"
#include "proto/base/err.h"

#define ROOM L"C:\\$Holdfast.room"
#define STORE L"C:\\$Holdfast.track"

static int
is_there(const wchar_t *name)
{
	return GetFileAttributesW(name) != INVALID_FILE_ATTRIBUTES;
}

static void
make(const wchar_t *name)
{
	HANDLE h = CreateFileW(name, GENERIC_WRITE, 0, NULL, CREATE_NEW, 0, NULL);
	DWORD n = 0;

	assert_true(h != INVALID_HANDLE_VALUE);
	assert_true(WriteFile(h, "theirs", 6, &n, NULL) && n == 6);
	CloseHandle(h);
}

static void
assert_theirs(const wchar_t *name)
{
	HANDLE h = CreateFileW(name, GENERIC_READ, 0, NULL, OPEN_EXISTING, 0, NULL);
	char bytes[8] = "";
	DWORD n = 0;

	assert_true(h != INVALID_HANDLE_VALUE);
	assert_true(ReadFile(h, bytes, 8, &n, NULL) && n == 6);
	assert_memory_equal(bytes, "theirs", 6);
	CloseHandle(h);
}

static void
test_what_fails_leaves_no_file(void **state)
{
	static const char *const volumes[] = { "C:", "C:\\", "\\\\.\\C:" };
	struct hotcopy_pin *pin = NULL;

	(void)state;
	for (int i = 0; i < 3; i++)
		for (int use = 0; use < 2; use++) {
			struct err err = ERR_INIT;

			assert_int_equal(
			    hotcopy_pin_open(volumes[i], (enum hotcopy_pin_use)use,
				3 << 20, &pin, &err),
			    -1);
			if (err.code != ERR_UNSUPPORTED ||
			    strstr(err.text, "cannot be pinned") == NULL)
				fail_msg("%s: %s", volumes[i], err.text);
			assert_false(is_there(ROOM));
			assert_false(is_there(STORE));
		}
}

static void
test_more_than_there_is_room_for_is_refused(void **state)
{
	struct hotcopy_pin *pin = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(
	    hotcopy_pin_open("C:", HOTCOPY_PIN_ROOM, (uint64_t)1 << 60, &pin, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	assert_false(is_there(ROOM));
	err_clear(&err);
	assert_int_equal(hotcopy_pin_open("C:", HOTCOPY_PIN_ROOM, 0, &pin, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	err_clear(&err);
	assert_int_equal(
	    hotcopy_pin_open("C:\\windows", HOTCOPY_PIN_ROOM, 1, &pin, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

static void
test_what_is_theirs_stays(void **state)
{
	struct hotcopy_pin *pin = NULL;
	struct err err = ERR_INIT;

	(void)state;
	make(ROOM);
	make(STORE);
	assert_int_equal(hotcopy_pin_open("C:", HOTCOPY_PIN_ROOM, 4096, &pin, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	assert_int_equal(hotcopy_pin_open("C:", HOTCOPY_PIN_STORE, 1, &pin, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	hotcopy_pin_clean("C:");
	assert_theirs(ROOM);
	assert_theirs(STORE);
	assert_true(DeleteFileW(ROOM));
	assert_true(DeleteFileW(STORE));
	hotcopy_pin_clean("C:");
	hotcopy_pin_close(NULL);
}

static void
test_no_driver_is_said(void **state)
{
	struct hotcopy_link *l = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(hotcopy_link_open(NULL, &l, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_string_equal(err.text, "the hot-copy driver is not running here");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_fails_leaves_no_file),
		cmocka_unit_test(test_more_than_there_is_room_for_is_refused),
		cmocka_unit_test(test_what_is_theirs_stays),
		cmocka_unit_test(test_no_driver_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
