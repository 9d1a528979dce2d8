/*
 * load - writes stamps to \\.\RamVol0 and \\.\RamVol1 from many threads, and is told what
 * else to do by lines on its input; each is answered by one line.
 *
 *   attach             the filter, to both
 *   go [FIRST N]       begin to write, anywhere or in N blocks of each; answered when the
 *                      first pair is written
 *   more N             waits until N writes more have ended
 *   stop               and end; answers how many writes there were and how many failed
 *   mark FILE          the next stamp, then for each block the newest stamp that is
 *                      written, then the stamps of all pairs begun: 64-bit numbers
 *   fill V FIRST N     N blocks of volume V, at once, each with a stamp of its own
 *   history FILE       all writes that ended well: the next stamp and how many, then for
 *                      each the volume and block (32 bits), its stamp, and the next stamp
 *                      when it had ended (64 bits)
 *   resume FILE        after a new start: such a history was ours
 *   refill V           after a new start: all of volume V as it was last written
 *   write V FILE       makes the volume what the file is; it has no stamps then
 *   compare V          reads the whole volume: every block has its newest stamp
 *   remove V           IRP_MN_REMOVE_DEVICE; surprise V: with IRP_MN_SURPRISE_REMOVAL
 *
 * A block is 4 KiB of one repeated 64-bit stamp; stamps rise over both volumes.  Block
 * PAIR is written by one thread: to volume 0, and when that has completed the same to
 * volume 1.
 */
#include <windows.h>

#include <winioctl.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/windows/ramvol/ramvol.h"

#define BLOCK 4096u
#define BLOCKS (RAMVOL_BYTES / BLOCK)
#define PAIR 1600u   /* volume 0 and 1, in this order */
#define RANDOM 1536u /* blocks that the others write */
#define WRITERS 3u
#define PAIRS (1u << 20)
#define ENDED (1u << 20)
#define PATIENCE 120000u /* ms */

static volatile LONG64 next_stamp = 1;
static volatile LONG running, writes, failed;
static unsigned window_first, window_count = RANDOM;
static volatile LONG64 newest[RAMVOL_COUNT][BLOCKS];
static LONG64 pairs[PAIRS];
static struct ended {
	unsigned v, block;
	LONG64 stamp, end;
} ended[ENDED];
static volatile LONG ended_count;
static volatile LONG pairs_begun, pairs_written;
static CRITICAL_SECTION locks[RAMVOL_COUNT][BLOCKS];

static HANDLE
open_device(const char *name)
{
	HANDLE h = CreateFileA(name, GENERIC_READ | GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);

	if (h == INVALID_HANDLE_VALUE) {
		fprintf(stderr, "load: %s: error %lu\n", name, GetLastError());
		exit(1);
	}
	return h;
}

static HANDLE
open_volume(unsigned v)
{
	char name[] = "\\\\.\\RamVol0";

	name[sizeof name - 2] = (char)('0' + v);
	return open_device(name);
}

/* The block's lock is held. */
static void
write_block(HANDLE h, unsigned v, unsigned block, LONG64 stamp)
{
	uint64_t bytes[BLOCK / 8];
	OVERLAPPED at = { 0 };
	DWORD done = 0;
	unsigned i;
	int again = newest[v][block] == stamp;

	for (i = 0; i < BLOCK / 8; i++)
		bytes[i] = (uint64_t)stamp;
	at.Offset = block * BLOCK;
	if (!WriteFile(h, bytes, BLOCK, &done, &at) || done != BLOCK) {
		InterlockedIncrement(&failed);
	} else if (!again) {
		newest[v][block] = stamp;
		i = (unsigned)InterlockedIncrement(&ended_count) - 1;
		if (i < ENDED)
			ended[i] = (struct ended){ v, block, stamp, next_stamp };
	}
	InterlockedIncrement(&writes);
}

static void
stamp_block(HANDLE h, unsigned v, unsigned block)
{
	EnterCriticalSection(&locks[v][block]);
	write_block(h, v, block, InterlockedIncrement64(&next_stamp) - 1);
	LeaveCriticalSection(&locks[v][block]);
}

static DWORD WINAPI
write_any(void *arg)
{
	HANDLE h[RAMVOL_COUNT];
	unsigned random = (unsigned)(uintptr_t)arg * 7919 + 1, v;

	for (v = 0; v < RAMVOL_COUNT; v++)
		h[v] = open_volume(v);
	while (running) {
		random = random * 1664525 + 1013904223;
		stamp_block(h[random >> 31], random >> 31,
		    window_first + (random >> 8) % window_count);
		/* Wine has one thread for the requests of all. */
		Sleep(1);
	}
	return 0;
}

static DWORD WINAPI
write_pair(void *arg)
{
	HANDLE h[RAMVOL_COUNT];
	LONG64 stamp;
	unsigned v;

	(void)arg;
	for (v = 0; v < RAMVOL_COUNT; v++)
		h[v] = open_volume(v);
	while (running && (unsigned)pairs_begun < PAIRS) {
		stamp = InterlockedIncrement64(&next_stamp) - 1;
		pairs[pairs_begun] = stamp;
		InterlockedIncrement(&pairs_begun);
		for (v = 0; v < RAMVOL_COUNT; v++)
			write_block(h[v], v, PAIR, stamp);
		InterlockedIncrement(&pairs_written);
		Sleep(1);
	}
	return 0;
}

static int
mark(const char *path)
{
	FILE *f = fopen(path, "wb");
	LONG64 n = next_stamp;
	size_t begun = (size_t)pairs_begun;
	int ok;

	if (f == NULL)
		return -1;
	ok = fwrite(&n, sizeof n, 1, f) == 1 &&
	     fwrite((const void *)newest, sizeof newest, 1, f) == 1 &&
	     fwrite(pairs, sizeof pairs[0], begun, f) == begun;
	return fclose(f) == 0 && ok ? 0 : -1;
}

/* Nobody writes meanwhile. */
static int
history(const char *path)
{
	LONG64 head[2] = { next_stamp, ended_count };
	FILE *f = fopen(path, "wb");
	int ok;

	if (f == NULL)
		return -1;
	ok = head[1] <= (LONG64)ENDED && fwrite(head, sizeof head, 1, f) == 1 &&
	     fwrite(ended, sizeof ended[0], (size_t)head[1], f) == (size_t)head[1];
	return fclose(f) == 0 && ok ? 0 : -1;
}

static int
resume(const char *path)
{
	LONG64 head[2] = { 0, ENDED + 1 };
	FILE *f = fopen(path, "rb");
	LONG i;
	int ok;

	if (f == NULL)
		return -1;
	ok = fread(head, sizeof head, 1, f) == 1 && head[1] <= (LONG64)ENDED &&
	     fread(ended, sizeof ended[0], (size_t)head[1], f) == (size_t)head[1];
	fclose(f);
	if (!ok)
		return -1;
	next_stamp = head[0];
	ended_count = (LONG)head[1];
	for (i = 0; i < ended_count; i++)
		if (newest[ended[i].v][ended[i].block] < ended[i].stamp)
			newest[ended[i].v][ended[i].block] = ended[i].stamp;
	return 0;
}

static int
refill(unsigned v)
{
	HANDLE h = open_volume(v);
	unsigned block;

	for (block = 0; block < BLOCKS; block++) {
		EnterCriticalSection(&locks[v][block]);
		write_block(h, v, block, newest[v][block]);
		LeaveCriticalSection(&locks[v][block]);
	}
	CloseHandle(h);
	return 0;
}

static int
read_block(HANDLE h, unsigned block, uint64_t bytes[BLOCK / 8])
{
	OVERLAPPED at = { 0 };
	DWORD done;

	at.Offset = block * BLOCK;
	return ReadFile(h, bytes, BLOCK, &done, &at) && done == BLOCK ? 0 : -1;
}

/* Where it has other bytes, and only there. */
static int
write_all(unsigned v, const char *path)
{
	uint64_t bytes[BLOCK / 8], old[BLOCK / 8];
	HANDLE h = open_volume(v);
	FILE *f = fopen(path, "rb");
	OVERLAPPED at = { 0 };
	DWORD done;
	unsigned block;
	int ok = f != NULL;

	for (block = 0; ok && block < BLOCKS; block++) {
		at.Offset = block * BLOCK;
		ok = fread(bytes, sizeof bytes, 1, f) == 1 &&
		     read_block(h, block, old) == 0 &&
		     (memcmp(bytes, old, BLOCK) == 0 ||
			 (WriteFile(h, bytes, BLOCK, &done, &at) && done == BLOCK));
	}
	CloseHandle(h);
	if (f != NULL)
		fclose(f);
	return ok ? 0 : -1;
}

static int
compare(unsigned v)
{
	uint64_t bytes[BLOCK / 8];
	HANDLE h = open_volume(v);
	unsigned block, i;

	for (block = 0; block < BLOCKS; block++) {
		if (read_block(h, block, bytes) != 0)
			return -1;
		for (i = 0; i < BLOCK / 8; i++)
			if (bytes[i] != (uint64_t)newest[v][block])
				return -1;
	}
	CloseHandle(h);
	return 0;
}

static int
fill(unsigned v, unsigned first, unsigned count)
{
	HANDLE h = open_volume(v);

	for (; count > 0; count--)
		stamp_block(h, v, first++);
	CloseHandle(h);
	return 0;
}

static int
ask_pnp(DWORD code, DWORD v)
{
	HANDLE h = open_device("\\\\.\\RamVolCtl");
	DWORD n;
	BOOL ok = DeviceIoControl(h, code, code == RAMVOL_ATTACH ? NULL : &v,
	    code == RAMVOL_ATTACH ? 0 : sizeof v, NULL, 0, &n, NULL);

	CloseHandle(h);
	return ok ? 0 : -1;
}

static HANDLE threads[WRITERS + 1];

/* Until the count has come so far. */
static int
reached(const volatile LONG *count, LONG least)
{
	unsigned ms;

	for (ms = 0; *count < least && ms < PATIENCE; ms += 5)
		Sleep(5);
	return *count < least ? -1 : 0;
}

static int
go(void)
{
	LONG before = pairs_written;
	unsigned i;

	running = 1;
	for (i = 0; i < WRITERS; i++)
		threads[i] =
		    CreateThread(NULL, 0, write_any, (void *)(uintptr_t)(i + 1), 0, NULL);
	threads[WRITERS] = CreateThread(NULL, 0, write_pair, NULL, 0, NULL);
	return reached(&pairs_written, before + 1);
}

static int
stop(void)
{
	if (!running)
		return 0;
	running = 0;
	return WaitForMultipleObjects(WRITERS + 1, threads, TRUE, PATIENCE) ==
		       WAIT_TIMEOUT
		   ? -1
		   : 0;
}

static int
obey(const char *line)
{
	unsigned a, b, c;
	char path[512];

	if (strcmp(line, "attach") == 0)
		return ask_pnp(RAMVOL_ATTACH, 0);
	if (sscanf(line, "go %u %u", &a, &b) == 2 && b > 0 && a <= RANDOM - b) {
		window_first = a;
		window_count = b;
	}
	if (strncmp(line, "go", 2) == 0)
		return go();
	if (sscanf(line, "resume %511s", path) == 1)
		return resume(path);
	if (strcmp(line, "stop") == 0)
		return stop();
	if (sscanf(line, "more %u", &a) == 1)
		return reached(&writes, writes + (LONG)a);
	if (sscanf(line, "mark %511s", path) == 1)
		return mark(path);
	if (sscanf(line, "history %511s", path) == 1)
		return history(path);
	if (sscanf(line, "refill %u", &a) == 1 && a < RAMVOL_COUNT)
		return refill(a);
	if (sscanf(line, "write %u %511s", &a, path) == 2 && a < RAMVOL_COUNT)
		return write_all(a, path);
	if (sscanf(line, "fill %u %u %u", &a, &b, &c) == 3 && a < RAMVOL_COUNT &&
	    b + c <= BLOCKS)
		return fill(a, b, c);
	if (sscanf(line, "compare %u", &a) == 1 && a < RAMVOL_COUNT)
		return compare(a);
	if (sscanf(line, "remove %u", &a) == 1)
		return ask_pnp(RAMVOL_REMOVE, a);
	if (sscanf(line, "surprise %u", &a) == 1)
		return ask_pnp(RAMVOL_SURPRISE, a);
	fprintf(stderr, "load: '%s'?\n", line);
	return -1;
}

int
main(void)
{
	char line[600];
	unsigned v, block;

	for (v = 0; v < RAMVOL_COUNT; v++)
		for (block = 0; block < BLOCKS; block++)
			InitializeCriticalSection(&locks[v][block]);
	setvbuf(stdout, NULL, _IONBF, 0);
	while (fgets(line, sizeof line, stdin) != NULL) {
		line[strcspn(line, "\r\n")] = 0;
		printf("%s writes %ld failed %ld\n", obey(line) == 0 ? "done" : "FAILED",
		    writes, failed);
	}
	return 0;
}
