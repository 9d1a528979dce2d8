/* A scanner or a backup that holds a file for a moment costs a moment, not the file. */
#include <windows.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/winapi.h"
#include "tests/unit/scratch.h"

#define HELD_MS 700u /* More than a file that is really denied is tried for. */

static DWORD WINAPI
let_go(void *h)
{
	Sleep(HELD_MS);
	CloseHandle(h);
	return 0;
}

static void
a_file_that_others_hold_is_replaced_when_they_let_go(void **state)
{
	struct buf b = BUF_INIT(1 << 20);
	struct err err = ERR_INIT;
	char path[SCRATCH_MAX];
	wchar_t *wide;
	HANDLE h, thread;

	scratch_path(*state, "last", path);
	assert_int_equal(file_store(path, "old", 3, 0600, &err), 0);
	wide = winapi_path(path);
	assert_non_null(wide);
	h = CreateFileW(
	    wide, GENERIC_READ, FILE_SHARE_READ, NULL, OPEN_EXISTING, 0, NULL);
	assert_true(h != INVALID_HANDLE_VALUE);
	thread = CreateThread(NULL, 0, let_go, h, 0, NULL);
	assert_non_null(thread);
	if (file_store(path, "new!", 4, 0600, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(WaitForSingleObject(thread, INFINITE), WAIT_OBJECT_0);
	CloseHandle(thread);
	assert_int_equal(file_load(path, &b, &err), 1);
	assert_int_equal(b.len, 4);
	assert_memory_equal(b.p, "new!", 4);
	buf_free(&b);
	free(wide);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_file_that_others_hold_is_replaced_when_they_let_go),
	};

	return cmocka_run_group_tests(tests, scratch_setup, scratch_teardown);
}
