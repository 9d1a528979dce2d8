/*
 * \\.\HotCopy, opened for overlapped use: an event is waited for while other threads read
 * the image by the same handle.
 */
#include "agent/hotcopy/hotcopy_link.h"

#include <windows.h>

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_place_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define DEVICE L"\\\\.\\HotCopy"
#define ALIGN 16u /* Bytes. */

/* NTSTATUS, which winternl.h and windows.h give in parts only: [MS-ERREF] 2.3.1. */
#define NO_MEMORY 0xC000009Au
#define UNSUCCESSFUL 0xC0000001u
#define NO_SUCH_DEVICE 0xC000000Eu
#define DELETE_PENDING 0xC0000056u
#define DEVICE_REMOVED 0xC00002B6u

struct hotcopy_link {
	HANDLE device;
	/* A WAIT_EVENT that stays with the driver between calls. */
	OVERLAPPED wait;
	int waits;
	HANDLE woken; /* No more is to be waited for. */
	struct hotcopy_event event;
};

/* ---------------------------------------------------------------------- calls -- */

/*
 * Win32's codes have no word for the driver's own statuses; ntdll remembers what the last
 * one was made from.  learn.microsoft.com/windows/win32/devnotes/rtlgetlastntstatus
 */
static uint32_t
last_status(void)
{
	typedef LONG(WINAPI * last)(void);
	union {
		FARPROC any;
		last f;
	} u;
	uint32_t status = 0;

	u.any = GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "RtlGetLastNtStatus");
	if (u.any != NULL)
		status = (uint32_t)u.f();
	return status != 0 ? status : UNSUCCESSFUL;
}

/* What a driver that was unloaded or is being removed says. */
static uint32_t
or_gone(uint32_t status)
{
	return status == NO_SUCH_DEVICE || status == DELETE_PENDING ||
		       status == DEVICE_REMOVED
		   ? HOTCOPY_GONE
		   : status;
}

/* The end of an overlapped request that was begun with this result. */
static uint32_t
wait_end(HANDLE h, BOOL begun, OVERLAPPED *o, size_t *given)
{
	uint32_t status = HOTCOPY_OK;
	DWORD n = 0;

	if (!begun && GetLastError() != ERROR_IO_PENDING)
		status = last_status();
	else if (!GetOverlappedResult(h, o, &n, TRUE))
		status =
		    (uint32_t)o->Internal != 0 ? (uint32_t)o->Internal : last_status();
	*given = status == HOTCOPY_OK ? n : 0;
	return or_gone(status);
}

static uint32_t
control(HANDLE h, uint32_t code, const void *in, size_t len, void *out, size_t room,
    size_t *given)
{
	OVERLAPPED o;
	uint32_t status;
	BOOL begun;

	*given = 0;
	memset(&o, 0, sizeof(o));
	if ((o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)) == NULL)
		return NO_MEMORY;
	begun = DeviceIoControl(
	    h, code, (void *)(uintptr_t)in, (DWORD)len, out, (DWORD)room, NULL, &o);
	status = wait_end(h, begun, &o, given);
	(void)CloseHandle(o.hEvent);
	return status;
}

uint32_t
hotcopy_link_call(struct hotcopy_link *l, uint32_t code, const void *in, size_t len,
    void *out, size_t room, size_t *given)
{
	size_t n;
	uint32_t status = control(l->device, code, in, len, out, room, &n);

	if (given != NULL)
		*given = n;
	return status;
}

static uint32_t
read_image(struct hotcopy_link *l, uint64_t offset, void *out, uint32_t len)
{
	OVERLAPPED o;
	uint32_t status;
	size_t given;
	BOOL begun;

	memset(&o, 0, sizeof(o));
	if ((o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)) == NULL)
		return NO_MEMORY;
	o.Offset = (DWORD)offset;
	o.OffsetHigh = (DWORD)(offset >> 32);
	begun = ReadFile(l->device, out, len, NULL, &o);
	status = wait_end(l->device, begun, &o, &given);
	(void)CloseHandle(o.hEvent);
	return status == HOTCOPY_OK && given != len ? HOTCOPY_GONE : status;
}

/*
 * The driver has the disk read into this buffer, and controllers want theirs aligned: to 4
 * bytes as a rule (DEVICE_OBJECT's AlignmentRequirement).  What is not costs the driver a
 * copy, one at a time a volume; here it costs one that others do not wait for.
 */
uint32_t
hotcopy_link_read(struct hotcopy_link *l, uint64_t offset, void *out, uint32_t len)
{
	uint32_t status;
	void *aligned;

	if ((uintptr_t)out % ALIGN == 0)
		return read_image(l, offset, out, len);
	if ((aligned = _aligned_malloc(len, ALIGN)) == NULL)
		return NO_MEMORY;
	status = read_image(l, offset, aligned, len);
	if (status == HOTCOPY_OK)
		memcpy(out, aligned, len);
	_aligned_free(aligned);
	return status;
}

/* --------------------------------------------------------------------- events -- */

static int
begin_wait(struct hotcopy_link *l)
{
	if (l->wait.hEvent == NULL &&
	    (l->wait.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)) == NULL)
		return -1;
	/* Done at once, it is signalled all the same. */
	l->waits = DeviceIoControl(l->device, HOTCOPY_IOCTL_WAIT_EVENT, NULL, 0,
		       &l->event, sizeof(l->event), NULL, &l->wait) ||
		   GetLastError() == ERROR_IO_PENDING;
	return l->waits ? 0 : -1;
}

int
hotcopy_link_event(struct hotcopy_link *l, uint32_t wait_ms, struct hotcopy_event *out)
{
	HANDLE any[2];
	DWORD n = 0;

	if (!l->waits && begin_wait(l) != 0)
		return -1;
	any[0] = l->wait.hEvent;
	any[1] = l->woken;
	/* Of both the first counts: an event is not passed over. */
	switch (WaitForMultipleObjects(2, any, FALSE, wait_ms)) {
	case WAIT_OBJECT_0:
		break;
	case WAIT_OBJECT_0 + 1:
	case WAIT_TIMEOUT:
		return 0;
	default:
		return -1;
	}
	l->waits = 0;
	if (!GetOverlappedResult(l->device, &l->wait, &n, FALSE) ||
	    n != sizeof(l->event) || l->event.h.size != sizeof(l->event) ||
	    l->event.h.abi != HOTCOPY_ABI)
		return -1;
	*out = l->event;
	return 1;
}

void
hotcopy_link_wake(struct hotcopy_link *l)
{
	(void)SetEvent(l->woken);
}

/* The driver writes into `event` until the request has ended. */
static void
end_wait(struct hotcopy_link *l)
{
	DWORD n;

	if (l->waits) {
		(void)CancelIoEx(l->device, &l->wait);
		(void)GetOverlappedResult(l->device, &l->wait, &n, TRUE);
	}
	if (l->wait.hEvent != NULL)
		(void)CloseHandle(l->wait.hEvent);
	if (l->woken != NULL)
		(void)CloseHandle(l->woken);
}

/* ----------------------------------------------------------------------- life -- */

static int
open_device(struct hotcopy_link *l, struct err *err)
{
	DWORD error;

	l->device = CreateFileW(DEVICE, GENERIC_READ | GENERIC_WRITE,
	    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED,
	    NULL);
	if (l->device != INVALID_HANDLE_VALUE)
		return 0;
	error = GetLastError();
	if (error == ERROR_FILE_NOT_FOUND || error == ERROR_PATH_NOT_FOUND)
		(void)err_set(
		    err, ERR_UNSUPPORTED, "the hot-copy driver is not running here");
	else if (error == ERROR_ACCESS_DENIED)
		(void)err_set(err, ERR_DENIED,
		    "the hot-copy driver answers SYSTEM and administrators only");
	else
		(void)winapi_err(err, error, "the hot-copy driver");
	err->os = (int)error;
	return -1;
}

static int
greet(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_version v;
	size_t given;
	uint32_t status =
	    control(l->device, HOTCOPY_IOCTL_VERSION, NULL, 0, &v, sizeof(v), &given);

	if (status == HOTCOPY_GONE)
		return err_set(
		    err, ERR_UNSUPPORTED, "the hot-copy driver is being unloaded");
	if (status != HOTCOPY_OK || given != sizeof(v) || v.h.size != sizeof(v) ||
	    v.h.abi != HOTCOPY_ABI)
		return err_set(err, ERR_PROTOCOL,
		    "the hot-copy driver here is of another version (status 0x%08lx)",
		    (unsigned long)status);
	return 0;
}

int
hotcopy_link_open(const char *path, struct hotcopy_link **out, struct err *err)
{
	struct hotcopy_link *l = calloc(1, sizeof(*l));

	(void)path; /* One driver knows all. */
	if (l == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a link to the driver");
	l->device = INVALID_HANDLE_VALUE;
	if ((l->woken = CreateEventW(NULL, FALSE, FALSE, NULL)) == NULL) {
		hotcopy_link_close(l);
		return err_set(err, ERR_NOMEM, "no memory for a link to the driver");
	}
	if (open_device(l, err) != 0 || greet(l, err) != 0) {
		hotcopy_link_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

void
hotcopy_link_close(struct hotcopy_link *l)
{
	if (l == NULL)
		return;
	end_wait(l);
	if (l->device != INVALID_HANDLE_VALUE)
		(void)CloseHandle(l->device);
	free(l);
}

/* -------------------------------------------------------------------- volumes -- */

int
hotcopy_link_volume(
    struct hotcopy_link *l, const char *path, uint64_t *volume, struct err *err)
{
	struct hotcopy_attached a;
	wchar_t place[HOTCOPY_PLACE_MAX];
	uint32_t status;
	size_t given;
	HANDLE h;

	(void)l; /* The filter answers it, above the volume. */
	if (hotcopy_place(path, place, err) != 0)
		return -1;
	h = CreateFileW(place, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING,
	    FILE_FLAG_OVERLAPPED, NULL);
	if (h == INVALID_HANDLE_VALUE) {
		DWORD error = GetLastError();

		return winapi_err(err, error, "%s", path);
	}
	status = control(h, HOTCOPY_IOCTL_ATTACHED, NULL, 0, &a, sizeof(a), &given);
	(void)CloseHandle(h);
	if (status != HOTCOPY_OK || given != sizeof(a) || a.h.size != sizeof(a) ||
	    a.h.abi != HOTCOPY_ABI)
		return err_set(err, ERR_NOTFOUND,
		    "%s: the hot-copy driver is not above this volume", path);
	*volume = a.volume;
	return 0;
}
