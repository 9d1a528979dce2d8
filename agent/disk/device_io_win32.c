#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/device_parts_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/*
 * Requests of all devices together, each with an aligned buffer of DEVICE_PIECE bytes
 * once it needed one: 4 MiB at most, however many volumes and threads there are.
 */
#define SLOTS (4 * DEVICE_DEPTH)

/* Tries of a request for which the system has no room, and the wait before each. */
#define ROOM_TRIES 100u
#define ROOM_WAIT_MS 50u

struct slot {
	OVERLAPPED o;
	HANDLE event;
	uint8_t *bounce;
	struct slot *next; /* Free ones. */
	/* What is under way. */
	uint64_t at;	/* Aligned. */
	uint32_t asked; /* Aligned. */
	uint8_t *mem;	/* `asked` bytes: the bounce, or the caller's. */
	uint8_t *user;	/* The caller's `len` bytes, `skip` behind `mem`. */
	uint32_t skip, len;
	DWORD error; /* It never began. */
};

/* ----------------------------------------------------------------------- slots -- */

static SRWLOCK pool_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE pool_freed = CONDITION_VARIABLE_INIT;
static struct slot pool[SLOTS];
static struct slot *pool_free;
static size_t pool_used; /* Of `pool`: taken at least once. */

/* With `wait` one comes in the end; without it NULL if there is none. */
static struct slot *
take(int wait)
{
	struct slot *s = NULL;

	AcquireSRWLockExclusive(&pool_lock);
	while (pool_free == NULL && pool_used == SLOTS && wait)
		SleepConditionVariableSRW(&pool_freed, &pool_lock, INFINITE, 0);
	if (pool_free != NULL) {
		s = pool_free;
		pool_free = s->next;
	} else if (pool_used < SLOTS) {
		s = &pool[pool_used++];
	}
	ReleaseSRWLockExclusive(&pool_lock);
	return s;
}

static void
give_back(struct slot *s)
{
	AcquireSRWLockExclusive(&pool_lock);
	s->next = pool_free;
	pool_free = s;
	ReleaseSRWLockExclusive(&pool_lock);
	WakeConditionVariable(&pool_freed);
}

/* -------------------------------------------------------------------- requests -- */

/* No room for one more at the moment; MSDN, ReadFile: "too many outstanding". */
static int
no_room(DWORD error)
{
	return error == ERROR_INVALID_USER_BUFFER || error == ERROR_NOT_ENOUGH_MEMORY ||
	       error == ERROR_NOT_ENOUGH_QUOTA || error == ERROR_WORKING_SET_QUOTA ||
	       error == ERROR_NO_SYSTEM_RESOURCES;
}

static void
begin(struct device *d, struct slot *s, int writing)
{
	BOOL ok;

	memset(&s->o, 0, sizeof(s->o));
	s->o.hEvent = s->event;
	s->o.Offset = (DWORD)s->at;
	s->o.OffsetHigh = (DWORD)(s->at >> 32);
	ok = writing ? WriteFile(d->handle, s->mem, s->asked, NULL, &s->o)
		     : ReadFile(d->handle, s->mem, s->asked, NULL, &s->o);
	s->error = ok ? 0 : GetLastError();
	if (s->error == ERROR_IO_PENDING)
		s->error = 0;
}

/* Its end: 0 and the bytes that were moved, or the error. */
static DWORD
wait_for(struct device *d, struct slot *s, int writing, DWORD *moved)
{
	*moved = 0;
	for (unsigned i = 0;; i++) {
		if (s->error == 0 && !GetOverlappedResult(d->handle, &s->o, moved, TRUE))
			s->error = GetLastError();
		if (!no_room(s->error) || i == ROOM_TRIES)
			break;
		Sleep(ROOM_WAIT_MS);
		begin(d, s, writing);
	}
	if (!writing && s->error == ERROR_HANDLE_EOF)
		return 0;
	return s->error;
}

/* Event and buffer of the slot. */
static int
equip(const struct device *d, struct slot *s, struct err *err)
{
	if (s->event == NULL)
		s->event = CreateEventW(NULL, TRUE, FALSE, NULL);
	if (s->bounce == NULL && s->mem == NULL)
		s->bounce = VirtualAlloc(
		    NULL, DEVICE_PIECE, MEM_COMMIT | MEM_RESERVE, PAGE_READWRITE);
	if (s->mem == NULL)
		s->mem = s->bounce;
	if (s->event == NULL || s->mem == NULL)
		return err_set(err, ERR_NOMEM, "%s: no memory for a request", d->path);
	return 0;
}

static int
failed(struct device *d, const struct slot *s, int writing, DWORD error, DWORD moved,
    struct err *err)
{
	const char *what = writing ? "writing" : "reading";

	if (error != 0)
		return device_err(d, error, what, s->at + s->skip, err);
	if (d->kind == DEVICE_FILE && !writing)
		return err_set(err, ERR_SNAPSHOT_LOST,
		    "%s became shorter while it was read", d->path);
	return err_set(err, ERR_IO, "%s: %s at byte %llu ended after %lu bytes of %lu",
	    d->path, what, (unsigned long long)s->at, moved, (unsigned long)s->asked);
}

/* What the piece to be written does not cover of its first and last sector. */
static int
fill_edges(struct device *d, struct slot *s, struct err *err)
{
	DWORD moved, error;

	if (s->skip == 0 && s->len == s->asked)
		return 0;
	begin(d, s, 0);
	error = wait_for(d, s, 0, &moved);
	if (error != 0 || moved < s->asked)
		return failed(d, s, 0, error, moved, err);
	return 0;
}

/*
 * The next piece: as much of `len` bytes at `offset` as one request takes.  0 or -1;
 * that the request itself failed shows when it is waited for.
 */
static int
submit(struct device *d, struct slot *s, int writing, uint64_t offset, uint8_t *user,
    size_t len, struct err *err)
{
	uint64_t mask = d->align - 1, end;

	s->at = offset & ~mask;
	s->skip = (uint32_t)(offset - s->at);
	s->len = len < DEVICE_PIECE - s->skip ? (uint32_t)len : DEVICE_PIECE - s->skip;
	end = (offset + s->len + mask) & ~mask;
	s->asked = (uint32_t)(end - s->at);
	s->user = user;
	s->mem = NULL;
	if (s->skip == 0 && s->asked == s->len && ((uintptr_t)user & mask) == 0)
		s->mem = user;
	if (equip(d, s, err) != 0)
		return -1;
	if (writing && s->mem == s->bounce) {
		if (fill_edges(d, s, err) != 0)
			return -1;
		memcpy(s->mem + s->skip, user, s->len);
	}
	begin(d, s, writing);
	return 0;
}

static int
complete(struct device *d, struct slot *s, int writing, struct err *err)
{
	DWORD moved, error = wait_for(d, s, writing, &moved);

	if (error != 0 || moved < (writing ? s->asked : s->skip + s->len))
		return failed(d, s, writing, error, moved, err);
	if (!writing && s->mem == s->bounce)
		memcpy(s->user, s->mem + s->skip, s->len);
	return 0;
}

/* Pieces in order, DEVICE_DEPTH under way; after a failure none begins, all are waited
 * for: the caller's memory is his again. */
static int
transfer(struct device *d, int writing, uint64_t offset, uint8_t *user, size_t len,
    struct err *err)
{
	struct slot *under_way[DEVICE_DEPTH], *s;
	unsigned head = 0, count = 0;
	struct err later = ERR_INIT;
	int rc = 0;

	while (len > 0 || count > 0) {
		if (len > 0 && count < DEVICE_DEPTH && (s = take(count == 0)) != NULL) {
			if (submit(d, s, writing, offset, user, len, err) != 0) {
				give_back(s);
				rc = -1;
				len = 0;
				continue;
			}
			offset += s->len;
			user += s->len;
			len -= s->len;
			under_way[(head + count++) % DEVICE_DEPTH] = s;
			continue;
		}
		s = under_way[head];
		err_clear(&later);
		if (complete(d, s, writing, rc == 0 ? err : &later) != 0) {
			rc = -1;
			len = 0;
		}
		give_back(s);
		head = (head + 1) % DEVICE_DEPTH;
		count--;
	}
	return rc;
}

/* ----------------------------------------------------------------------- calls -- */

static int
check(const struct device *d, const char *what, uint64_t offset, size_t len,
    struct err *err)
{
	if (offset > d->size || len > d->size - offset)
		return err_set(err, ERR_LIMIT, "%s: %s %zu bytes at %llu is past its end",
		    d->path, what, len, (unsigned long long)offset);
	return 0;
}

int
device_read(struct device *d, uint64_t offset, void *buf, size_t len, struct err *err)
{
	if (check(d, "reading", offset, len, err) != 0)
		return -1;
	return transfer(d, 0, offset, buf, len, err);
}

int
device_write(
    struct device *d, uint64_t offset, const void *buf, size_t len, struct err *err)
{
	if (check(d, "writing", offset, len, err) != 0)
		return -1;
	/* Only read where it is the source. */
	return transfer(d, 1, offset, (uint8_t *)(uintptr_t)buf, len, err);
}

int
device_flush(struct device *d, struct err *err)
{
	DWORD error;

	if (FlushFileBuffers(d->handle))
		return 0;
	error = GetLastError();
	/* A medium without a cache has nothing to flush. */
	if (device_lacks(error))
		return 0;
	return winapi_err(err, error, "%s: flushing", d->path);
}
