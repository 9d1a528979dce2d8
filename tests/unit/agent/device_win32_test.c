/*
 * Files and mapped drives of Windows past the cache: any alignment, from threads, whole
 * or not at all; what changed is seen, who writes is met.
 */
#include <windows.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/capture/snapshot.h"
#include "agent/disk/device.h"
#include "proto/base/err.h"

/* No multiple of what it is read by. */
#define SIZE (5u * 1024 * 1024 + 1536)
#define ROUNDS 150
#define THREADS 4

struct world {
	wchar_t wide[MAX_PATH];
	char path[MAX_PATH];
	uint8_t *bytes;
	struct device *d;
	struct err err;
};

static void
write_all(const struct world *w)
{
	HANDLE h = CreateFileW(w->wide, GENERIC_WRITE, 0, NULL, CREATE_ALWAYS, 0, NULL);
	DWORD n = 0;

	assert_true(h != INVALID_HANDLE_VALUE);
	assert_true(WriteFile(h, w->bytes, SIZE, &n, NULL) && n == SIZE);
	CloseHandle(h);
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	wchar_t dir[MAX_PATH];
	uint64_t x = 1;

	assert_true(GetTempPathW(MAX_PATH, dir) > 0);
	assert_true(GetTempFileNameW(dir, L"hfd", 0, w->wide) != 0);
	snprintf(w->path, sizeof(w->path), "%ls", w->wide);
	w->bytes = malloc(SIZE);
	for (size_t i = 0; i < SIZE; i++) {
		x = x * 6364136223846793005u + 1442695040888963407u;
		w->bytes[i] = (uint8_t)(x >> 56);
	}
	write_all(w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	device_close(w->d);
	DeleteFileW(w->wide);
	free(w->bytes);
	free(w);
	return 0;
}

static void
open_it(struct world *w, unsigned flags)
{
	err_clear(&w->err);
	if (device_open(w->path, flags, &w->d, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(device_kind(w->d), DEVICE_FILE);
	assert_int_equal(device_size(w->d), SIZE);
	assert_int_equal(device_sector_size(w->d), 512);
}

/* Ranges of all lengths, alignments and places, more often than not at the end. */
static uint32_t
next(uint32_t *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

struct range {
	uint64_t offset;
	size_t len;
	unsigned shift; /* Of memory. */
};

static struct range
range_of(uint32_t *seed, unsigned i)
{
	static const size_t most[] = { 600, 70000, 300000, 3u * 1024 * 1024 };
	struct range r;

	r.len = next(seed) % most[i % 4] + 1;
	r.offset = next(seed) % (SIZE - r.len);
	r.shift = next(seed) % 64;
	if (i % 3 == 0) {
		r.offset &= ~(uint64_t)4095;
		r.len = (r.len + 4095) & ~(size_t)4095;
		r.shift = 0;
		if (r.len > SIZE - r.offset)
			r.len = (size_t)(SIZE - r.offset);
	}
	if (i % 5 == 0)
		r.offset = SIZE - r.len;
	return r;
}

/* 0, or what was wrong. */
static const char *
read_ranges(struct world *w, uint32_t seed, unsigned rounds)
{
	uint8_t *mem = VirtualAlloc(NULL, 4u * 1024 * 1024, MEM_COMMIT, PAGE_READWRITE);
	const char *wrong = NULL;
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < rounds && wrong == NULL; i++) {
		struct range r = range_of(&seed, i);
		uint8_t *p = mem + r.shift;

		memset(p, 0xee, r.len + 8);
		if (device_read(w->d, r.offset, p, r.len, &err) != 0)
			wrong = "an error";
		else if (memcmp(p, w->bytes + r.offset, r.len) != 0)
			wrong = "other bytes";
		else if (p[r.len] != 0xee)
			wrong = "more than was asked for";
	}
	VirtualFree(mem, 0, MEM_RELEASE);
	return wrong;
}

static void
every_range_is_read(void **state)
{
	struct world *w = *state;

	open_it(w, 0);
	assert_ptr_equal(read_ranges(w, 1, ROUNDS), NULL);
	assert_int_equal(device_read(w->d, SIZE, w->bytes, 0, &w->err), 0);
	assert_int_equal(device_read(w->d, SIZE - 1, w->bytes, 2, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
}

struct reader {
	struct world *w;
	uint32_t seed;
	const char *wrong;
};

static DWORD WINAPI
reader_run(void *arg)
{
	struct reader *r = arg;

	r->wrong = read_ranges(r->w, r->seed, ROUNDS / THREADS);
	return 0;
}

static void
threads_read_at_once(void **state)
{
	struct world *w = *state;
	struct reader r[THREADS];
	HANDLE t[THREADS];

	open_it(w, 0);
	for (unsigned i = 0; i < THREADS; i++) {
		r[i] = (struct reader){ w, i + 7, NULL };
		t[i] = CreateThread(NULL, 0, reader_run, &r[i], 0, NULL);
		assert_non_null(t[i]);
	}
	for (unsigned i = 0; i < THREADS; i++) {
		WaitForSingleObject(t[i], INFINITE);
		CloseHandle(t[i]);
		assert_ptr_equal(r[i].wrong, NULL);
	}
}

static void
what_is_written_is_there_and_nothing_else(void **state)
{
	struct world *w = *state;
	uint32_t seed = 3;

	open_it(w, DEVICE_WRITE);
	for (unsigned i = 0; i < ROUNDS / 3; i++) {
		struct range r = range_of(&seed, i);

		for (size_t k = 0; k < r.len; k++)
			w->bytes[r.offset + k] ^= (uint8_t)(k * 7 + i);
		if (device_write(w->d, r.offset, w->bytes + r.offset, r.len, &w->err) !=
		    0)
			fail_msg("%s", w->err.text);
	}
	assert_int_equal(device_flush(w->d, &w->err), 0);
	assert_int_equal(device_write(w->d, SIZE - 1, w->bytes, 2, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
	device_close(w->d);
	open_it(w, 0);
	assert_ptr_equal(read_ranges(w, 9, ROUNDS), NULL);
}

static void
a_file_that_became_shorter_is_lost(void **state)
{
	struct world *w = *state;
	HANDLE h;

	open_it(w, 0);
	h = CreateFileW(w->wide, GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
	    0, NULL);
	assert_true(h != INVALID_HANDLE_VALUE);
	assert_int_equal(SetFilePointer(h, 4096, NULL, FILE_BEGIN), 4096);
	assert_true(SetEndOfFile(h));
	CloseHandle(h);
	assert_int_equal(device_read(w->d, 0, w->bytes, 4096, &w->err), 0);
	assert_int_equal(device_read(w->d, 0, w->bytes, 1024 * 1024, &w->err), -1);
	assert_int_equal(w->err.code, ERR_SNAPSHOT_LOST);
}

static void
who_writes_is_met_and_seen(void **state)
{
	struct world *w = *state;
	struct device_look before, after;
	HANDLE h;
	DWORD n;

	h = CreateFileW(w->wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, 0, NULL);
	assert_true(h != INVALID_HANDLE_VALUE);
	assert_int_equal(device_open(w->path, DEVICE_ALONE, &w->d, &w->err), -1);
	assert_int_equal(w->err.code, ERR_BUSY);
	/* Who does not mind sees it afterwards. */
	open_it(w, 0);
	assert_int_equal(device_look(w->d, &before, &w->err), 0);
	assert_int_equal(device_look(w->d, &after, &w->err), 0);
	assert_memory_equal(&before, &after, sizeof(before));
	Sleep(50);
	assert_true(WriteFile(h, "x", 1, &n, NULL));
	CloseHandle(h);
	assert_int_equal(device_look(w->d, &after, &w->err), 0);
	assert_memory_not_equal(&before, &after, sizeof(before));
	device_close(w->d);
	/* And nobody begins to write while it is had alone. */
	open_it(w, DEVICE_ALONE);
	h = CreateFileW(w->wide, GENERIC_WRITE, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, 0, NULL);
	assert_true(h == INVALID_HANDLE_VALUE);
}

static void
the_offline_provider_freezes_a_file(void **state)
{
	struct world *w = *state;
	struct snapshot_volume *v, *again;
	struct snapshot *s;
	uint8_t *p = malloc(SIZE);
	struct err err = ERR_INIT;

	if (snapshot_open(snapshot_provider_find("offline"), NULL, &s, &err) != 0 ||
	    snapshot_add(s, w->path, &v, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(snapshot_add(s, w->path, &again, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	err_clear(&err);
	if (snapshot_freeze(s, 1000, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(snapshot_info(v)->size, SIZE);
	assert_int_equal(snapshot_info(v)->grade, SNAPSHOT_EXCLUSIVE);
	assert_true(snapshot_info(v)->frozen_at > 1700000000000000);
	assert_int_equal(snapshot_read(v, 0, p, SIZE, &err), 0);
	assert_memory_equal(p, w->bytes, SIZE);
	assert_int_equal(snapshot_confirm(s, &err), 0);
	snapshot_close(s);
	free(p);
}

static void
what_is_not_there_is_said(void **state)
{
	static const char *const none[] = { "C:\\no\\such.img",
		"\\\\.\\Q:", "\\\\.\\PhysicalDrive99",
		"\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy99" };
	struct world *w = *state;
	struct device *d;

	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		err_clear(&w->err);
		assert_int_equal(device_open(none[i], 0, &d, &w->err), -1);
		assert_int_equal(w->err.code, ERR_NOTFOUND);
	}
	assert_true(device_lacks(ERROR_NOT_SUPPORTED));
	assert_false(device_lacks(ERROR_ACCESS_DENIED));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_range_is_read),
		TEST(threads_read_at_once),
		TEST(what_is_written_is_there_and_nothing_else),
		TEST(a_file_that_became_shorter_is_lost),
		TEST(who_writes_is_met_and_seen),
		TEST(the_offline_provider_freezes_a_file),
		TEST(what_is_not_there_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
