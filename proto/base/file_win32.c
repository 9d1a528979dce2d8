#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/file_twin.h"
#include "proto/base/file_wait_win32.h"
#include "proto/base/winapi.h"

#define STEP_MAX (16u * 1024 * 1024) /* One call's bytes: they are a DWORD. */
#define WAIT_STEP_MS 20u
#define NAMES_TRIED 64u

/*
 * What file_lock() holds: one byte where no file has any, since Windows' locks keep
 * others from reading and writing what they cover.
 */
#define LOCK_AT_LOW 0xfffffffeu
#define LOCK_AT_HIGH 0x7fffffffu

struct file {
	HANDLE handle;
	char path[]; /* For messages. */
};

int
file_wait(unsigned long code, unsigned *waited_ms)
{
	unsigned most = 0;

	if (code == ERROR_SHARING_VIOLATION || code == ERROR_LOCK_VIOLATION ||
	    code == ERROR_USER_MAPPED_FILE)
		most = FILE_WAIT_MS;
	else if (code == ERROR_ACCESS_DENIED || code == ERROR_DELETE_PENDING)
		most = FILE_WAIT_MS / 10;
	if (*waited_ms >= most)
		return 0;
	Sleep(WAIT_STEP_MS);
	*waited_ms += WAIT_STEP_MS;
	return 1;
}

/* ---------------------------------------------------------------- opening -- */

static HANDLE
open_waiting(const wchar_t *path, unsigned flags)
{
	DWORD access = GENERIC_READ, share = FILE_WAIT_SHARED, how = OPEN_EXISTING;
	DWORD hints = FILE_ATTRIBUTE_NORMAL;
	unsigned waited = 0;
	HANDLE h;

	if ((flags & FILE_TO_WRITE) != 0)
		access |= GENERIC_WRITE;
	if ((flags & FILE_ALONE) != 0)
		share = 0;
	if ((flags & FILE_TO_MAKE) != 0)
		how = OPEN_ALWAYS;
	if ((flags & FILE_TO_BEGIN) != 0)
		how = CREATE_NEW;
	if ((flags & FILE_NO_LINK) != 0)
		hints |= FILE_FLAG_OPEN_REPARSE_POINT;
	if ((flags & FILE_IN_ORDER) != 0)
		hints |= FILE_FLAG_SEQUENTIAL_SCAN;
	do {
		h = CreateFileW(path, access, share, NULL, how, hints, NULL);
	} while (h == INVALID_HANDLE_VALUE && file_wait(GetLastError(), &waited));
	return h;
}

/* What CreateFile could not be asked for. */
static int
settle(struct file *f, unsigned flags, struct err *err)
{
	BY_HANDLE_FILE_INFORMATION info;

	if ((flags & FILE_NO_LINK) != 0 && GetFileInformationByHandle(f->handle, &info) &&
	    (info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0)
		return err_set(err, ERR_UNSUPPORTED, "%s: is a link", f->path);
	/* CREATE_ALWAYS would fail on a hidden file. */
	return (flags & FILE_TO_EMPTY) != 0 ? file_truncate(f, 0, err) : 0;
}

static int
open_named(struct file *f, unsigned flags, struct err *err)
{
	wchar_t *wide = winapi_path(f->path);

	if (wide == NULL)
		return err_set(err, ERR_NOTFOUND, "%s: not a path", f->path);
	f->handle = open_waiting(wide, flags);
	free(wide);
	if (f->handle == INVALID_HANDLE_VALUE)
		return winapi_err(err, GetLastError(), "%s", f->path);
	if (settle(f, flags, err) == 0)
		return 0;
	CloseHandle(f->handle);
	return -1;
}

/* A crash leaves these behind; those in use cannot be removed. */
static int
sweep(void *arg, const char *name, struct err *err)
{
	const char *dir = arg;
	char path[4096];
	wchar_t *wide;

	(void)err;
	if (strncmp(name, "spill-", 6) != 0 ||
	    snprintf(path, sizeof(path), "%s\\%s", dir, name) >= (int)sizeof(path))
		return 0;
	if ((wide = winapi_path(path)) != NULL)
		(void)DeleteFileW(wide);
	free(wide);
	return 0;
}

/* Windows has no files without names: this one goes with its only handle. */
static int
open_unnamed(struct file *f, struct err *err)
{
	struct err ignored = ERR_INIT;
	char path[4096];
	wchar_t *wide;
	unsigned i;

	(void)file_list(f->path, sweep, f->path, &ignored);
	f->handle = INVALID_HANDLE_VALUE;
	for (i = 0; i < NAMES_TRIED && f->handle == INVALID_HANDLE_VALUE; i++) {
		if (snprintf(path, sizeof(path), "%s\\spill-%lx-%lx-%x", f->path,
			GetCurrentProcessId(), GetTickCount(), i) >= (int)sizeof(path) ||
		    (wide = winapi_path(path)) == NULL)
			return err_set(err, ERR_LIMIT, "%s: path too long", f->path);
		f->handle = CreateFileW(wide, GENERIC_READ | GENERIC_WRITE | DELETE, 0,
		    NULL, CREATE_NEW,
		    FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
		free(wide);
		if (f->handle == INVALID_HANDLE_VALUE &&
		    GetLastError() != ERROR_FILE_EXISTS)
			break;
	}
	if (f->handle == INVALID_HANDLE_VALUE)
		return winapi_err(err, GetLastError(), "%s", f->path);
	return 0;
}

int
file_open(const char *path, unsigned flags, struct file **out, struct err *err)
{
	const size_t len = strlen(path) + 1;
	struct file *f = malloc(sizeof(*f) + len);
	int rc;

	if (f == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	memcpy(f->path, path, len);
	rc = (flags & FILE_UNNAMED) != 0 ? open_unnamed(f, err)
					 : open_named(f, flags, err);
	if (rc != 0)
		free(f);
	else
		*out = f;
	return rc;
}

int
file_finish(struct file *f, struct err *err)
{
	int rc = 0;

	if (!CloseHandle(f->handle))
		rc = winapi_err(err, GetLastError(), "%s", f->path);
	free(f);
	return rc;
}

const char *
file_twin_path(const struct file *f)
{
	return f->path;
}

intptr_t
file_handle(const struct file *f)
{
	return (intptr_t)f->handle;
}

/* ------------------------------------------------------------ an open file -- */

int
file_size(const struct file *f, uint64_t *out, struct err *err)
{
	LARGE_INTEGER size;

	if (!GetFileSizeEx(f->handle, &size))
		return winapi_err(err, GetLastError(), "%s", f->path);
	*out = (uint64_t)size.QuadPart;
	return 0;
}

static OVERLAPPED
place(uint64_t offset)
{
	OVERLAPPED o;

	memset(&o, 0, sizeof(o));
	o.Offset = (DWORD)offset;
	o.OffsetHigh = (DWORD)(offset >> 32);
	return o;
}

int
file_read(const struct file *f, uint64_t offset, void *p, size_t len, size_t *got,
    struct err *err)
{
	uint8_t *at = p;
	OVERLAPPED o;
	DWORD n, want;

	for (*got = 0; *got < len; *got += n) {
		want = len - *got < STEP_MAX ? (DWORD)(len - *got) : STEP_MAX;
		o = place(offset + *got);
		if (!ReadFile(f->handle, at + *got, want, &n, &o)) {
			if (GetLastError() == ERROR_HANDLE_EOF)
				return 0;
			return winapi_err(err, GetLastError(), "%s", f->path);
		}
		if (n == 0)
			return 0;
	}
	return 0;
}

int
file_write(struct file *f, uint64_t offset, const void *p, size_t len, struct err *err)
{
	const uint8_t *at = p;
	OVERLAPPED o;
	DWORD n, want;

	for (; len > 0; at += n, offset += n, len -= n) {
		want = len < STEP_MAX ? (DWORD)len : STEP_MAX;
		o = place(offset);
		if (!WriteFile(f->handle, at, want, &n, &o))
			return winapi_err(err, GetLastError(), "%s", f->path);
		if (n == 0)
			return err_set(err, ERR_NOSPACE, "%s: the disk is full", f->path);
	}
	return 0;
}

int
file_truncate(struct file *f, uint64_t size, struct err *err)
{
	FILE_END_OF_FILE_INFO end;

	end.EndOfFile.QuadPart = (LONGLONG)size;
	if (!SetFileInformationByHandle(f->handle, FileEndOfFileInfo, &end, sizeof(end)))
		return winapi_err(err, GetLastError(), "%s", f->path);
	return 0;
}

void
file_make_sparse(struct file *f)
{
	DWORD n;

	(void)DeviceIoControl(f->handle, FSCTL_SET_SPARSE, NULL, 0, NULL, 0, &n, NULL);
}

int
file_twin_punch(struct file *f, uint64_t offset, uint64_t len)
{
	FILE_ZERO_DATA_INFORMATION zero;
	DWORD n;

	zero.FileOffset.QuadPart = (LONGLONG)offset;
	zero.BeyondFinalZero.QuadPart = (LONGLONG)(offset + len);
	return DeviceIoControl(f->handle, FSCTL_SET_ZERO_DATA, &zero, sizeof(zero), NULL,
		   0, &n, NULL) != 0;
}

int
file_sync(struct file *f, struct err *err)
{
	if (!FlushFileBuffers(f->handle))
		return winapi_err(err, GetLastError(), "%s", f->path);
	return 0;
}

int
file_lock(struct file *f, struct err *err)
{
	OVERLAPPED o = place((uint64_t)LOCK_AT_HIGH << 32 | LOCK_AT_LOW);

	if (LockFileEx(f->handle, LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY, 0,
		1, 0, &o))
		return 0;
	if (GetLastError() == ERROR_LOCK_VIOLATION || GetLastError() == ERROR_IO_PENDING)
		return err_set(err, ERR_BUSY, "%s: locked by another", f->path);
	return winapi_err(err, GetLastError(), "%s", f->path);
}
