/*
 * hotcopy_link VOLUME OTHER - the agent's calls to the real driver: what they say arrives,
 * what it refuses is an error of its own kind, and an event is waited for beside reads.
 * Both volumes are of 8 MiB, above which the driver is; none is tracked, no set is open.
 * Nothing on them is changed: they are written with what they hold.
 */
#include <windows.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_forget.h"
#include "proto/base/err.h"

#define LENGTH (8u << 20)
#define PIECE (64u << 10)
#define MIB (1u << 20)

static const uint8_t guid[16], nonce[HOTCOPY_NONCE] = { 7 };
static uint8_t buffer[PIECE];

static void
must(int is, const char *what, const struct err *err)
{
	if (is)
		return;
	fprintf(stderr, "%s: %s\n", what, err->text);
	exit(1);
}

/* It went well, or failed with this code. */
#define MUST(code_, call)                                                                \
	do {                                                                             \
		struct err err = ERR_INIT;                                               \
		int rc = (call);                                                         \
		must(rc == ((code_) == ERR_NONE ? 0 : -1) && err.code == (code_), #call, \
		    &err);                                                               \
	} while (0)
#define IS(true_)                            \
	do {                                 \
		struct err err = ERR_INIT;   \
		must((true_), #true_, &err); \
	} while (0)

/* A piece, either way; Wine's devices have no place of their own. */
static void
move(HANDLE h, uint32_t at, int write)
{
	OVERLAPPED o = { .Offset = at };
	DWORD n = 0;
	BOOL ok;

	o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
	IS(o.hEvent != NULL);
	ok = write ? WriteFile(h, buffer, PIECE, NULL, &o)
		   : ReadFile(h, buffer, PIECE, NULL, &o);
	IS(ok || GetLastError() == ERROR_IO_PENDING);
	IS(GetOverlappedResult(h, &o, &n, TRUE) && n == PIECE);
	CloseHandle(o.hEvent);
}

/* Each piece is written as it is. */
static void
write_over(const char *path)
{
	HANDLE h = CreateFileA(path, GENERIC_READ | GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED,
	    NULL);

	IS(h != INVALID_HANDLE_VALUE);
	for (uint32_t at = 0; at < LENGTH; at += PIECE) {
		move(h, at, 0);
		move(h, at, 1);
	}
	CloseHandle(h);
}

static struct hotcopy_volume
look(struct hotcopy_link *l, uint64_t number)
{
	struct hotcopy_volume v;

	MUST(ERR_NONE, hotcopy_find(l, number, &v, &err));
	return v;
}

static uint64_t total;

static int
add(void *arg, uint64_t offset, uint64_t len)
{
	(void)arg;
	IS(offset < LENGTH && len <= LENGTH - offset);
	total += len;
	return 0;
}

/* A generation of both; one is tracked. */
static void
track(struct hotcopy_link *l, const uint64_t number[2], const char *path)
{
	struct hotcopy_wishes wishes = { .memory = MIB };
	struct hotcopy_prepared p;
	struct hotcopy_frozen f;

	MUST(ERR_UNSUPPORTED, hotcopy_invalidate(l, number[0], &err));
	MUST(ERR_NONE, hotcopy_track(l, number[0], guid, nonce, NULL, 0, &err));
	MUST(ERR_UNSUPPORTED, hotcopy_track(l, number[0], guid, nonce, NULL, 0, &err));
	MUST(ERR_NONE, hotcopy_prepare(l, number, 2, &wishes, &p, &err));
	MUST(ERR_NONE,
	    hotcopy_freeze(l, p.set, HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION,
		5000, 0, nonce, &f, &err));
	IS(f.generation[0] != 0 && f.generation[1] == 0);
	MUST(ERR_NOTFOUND, hotcopy_commit(l, number[0], 99, nonce, &err));
	MUST(ERR_NONE, hotcopy_commit(l, number[0], f.generation[0], nonce, &err));
	MUST(ERR_NONE, hotcopy_changed(l, p.set, 0, LENGTH, 1, add, NULL, &err));
	IS(total == 0);
	write_over(path);
	MUST(ERR_NONE, hotcopy_changed(l, p.set, 0, LENGTH, 1, add, NULL, &err));
	IS(total == LENGTH);
	MUST(ERR_NONE, hotcopy_release(l, p.set, &err));
	IS(look(l, number[0]).tracking == HOTCOPY_TRACK_VALID);
	MUST(ERR_NONE, hotcopy_forget(path, &err));
	IS(look(l, number[0]).tracking == HOTCOPY_TRACK_INVALID);
	MUST(ERR_NONE, hotcopy_untrack(l, number[0], &err));
	MUST(ERR_NONE, hotcopy_forget(path, &err));
}

/* Too little memory: the image is dropped, and whoever waits hears of it. */
static void
lose(struct hotcopy_link *l, struct hotcopy_link *other, const uint64_t number[2],
    const char *path)
{
	struct hotcopy_wishes wishes = { .memory = MIB };
	struct hotcopy_event event = { .code = 0 };
	struct hotcopy_prepared p, busy;
	struct hotcopy_frozen f;
	struct hotcopy_stats s;

	MUST(ERR_NONE, hotcopy_prepare(l, number, 2, &wishes, &p, &err));
	MUST(ERR_BUSY, hotcopy_prepare(other, number, 2, &wishes, &busy, &err));
	MUST(ERR_NOTFOUND, hotcopy_bind(other, p.set + 1, 0, &err));
	MUST(ERR_NONE, hotcopy_freeze(l, p.set, 0, 5000, 0, nonce, &f, &err));
	MUST(ERR_NONE, hotcopy_bind(l, p.set, 0, &err));
	/* Of the tracking that was forgotten every handle hears. */
	IS(hotcopy_link_event(l, 60000, &event) == 1 && event.set == 0 &&
	    event.code == HOTCOPY_EVENT_TRACKING_LOST);
	IS(hotcopy_link_event(l, 50, &event) == 0);
	/* The wait stays with the driver meanwhile. */
	IS(hotcopy_link_read(l, MIB, buffer, PIECE) == HOTCOPY_OK);
	IS(hotcopy_link_event(l, 0, &event) == 0);
	hotcopy_link_wake(l);
	IS(hotcopy_link_event(l, 600000, &event) == 0);
	write_over(path);
	while (event.code != HOTCOPY_EVENT_DROPPED)
		IS(hotcopy_link_event(l, 60000, &event) == 1);
	IS(event.volume == number[0] && event.argument == HOTCOPY_WHY_NO_SPACE);
	IS(hotcopy_link_read(l, 0, buffer, PIECE) == HOTCOPY_STATUS_LOST);
	IS(hotcopy_link_event(l, 0, &event) <= 1);
	MUST(ERR_NONE, hotcopy_stats(other, p.set, 0, &s, &err));
	IS(s.copied > 0 && look(other, number[0]).state == HOTCOPY_DROPPED);
	/* With a wait under way, and the set goes, too. */
	while (hotcopy_link_event(l, 0, &event) == 1)
		;
	hotcopy_link_close(l);
	for (int i = 0; look(other, number[0]).state != HOTCOPY_IDLE; i++) {
		IS(i < 600);
		Sleep(100);
	}
}

int
main(int argc, char **argv)
{
	struct hotcopy_link *l = NULL, *other = NULL;
	uint64_t number[2];

	if (argc != 3) {
		fprintf(stderr, "usage: hotcopy_link VOLUME OTHER\n");
		return 2;
	}
	MUST(ERR_NONE, hotcopy_link_open(NULL, &l, &err));
	MUST(ERR_NONE, hotcopy_link_open(NULL, &other, &err));
	for (int i = 0; i < 2; i++) {
		MUST(ERR_NONE, hotcopy_link_volume(l, argv[1 + i], &number[i], &err));
		IS(look(l, number[i]).length == LENGTH);
	}
	MUST(ERR_NOTFOUND, hotcopy_link_volume(l, "C:", &number[1], &err));
	MUST(ERR_NOTFOUND, hotcopy_link_volume(l, "C:\\windows", &number[1], &err));
	MUST(ERR_NONE, hotcopy_link_volume(l, argv[2], &number[1], &err));
	track(l, number, argv[1]);
	lose(l, other, number, argv[1]);
	hotcopy_link_close(other);
	puts("as it should be");
	return 0;
}
