/*
 * A room gets its clusters by its length alone and is called valid without being written
 * (SetFileValidData): to write it would cost more than many a backup, and would count as
 * changed.  What lay in those clusters can be read by it, which its access list answers.
 */
#include "agent/hotcopy/hotcopy_pin.h"

#include <windows.h>
#include <winioctl.h>

#include <stdlib.h>
#include <string.h>

#include "agent/host/place_acl_win32.h"
#include "agent/hotcopy/hotcopy_extents_win32.h"
#include "agent/hotcopy/hotcopy_place_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#ifndef MARK_HANDLE_PROTECT_CLUSTERS
#define MARK_HANDLE_PROTECT_CLUSTERS 1
#endif

#define ROOM_NAME L"\\$Holdfast.room"
#define STORE_NAME L"\\$Holdfast.track"
#define ZEROS (1u << 20) /* Written at once. */
#define KEPT_FREE 10u	 /* One in so many bytes of the volume stays free. */
/* With any of these a cluster of the file's own is not where its bytes are. */
#define NOT_IN_PLACE                                                  \
	(FILE_ATTRIBUTE_SPARSE_FILE | FILE_ATTRIBUTE_COMPRESSED |     \
	    FILE_ATTRIBUTE_ENCRYPTED | FILE_ATTRIBUTE_REPARSE_POINT | \
	    FILE_ATTRIBUTE_DIRECTORY)

struct hotcopy_pin {
	HANDLE file, volume;
	int made; /* It is of this call, and goes again if this fails. */
	uint32_t cluster;
	struct hotcopy_extent *extent;
	unsigned extents;
	const char *shown; /* The volume, while it is opened: for messages. */
	wchar_t place[HOTCOPY_PLACE_MAX], name[HOTCOPY_PLACE_MAX + 32];
};

/* ------------------------------------------------------------------ the volume -- */

/* Its root directory: "C:\", or the path with a backslash. */
static void
root_of(const wchar_t *place, wchar_t out[HOTCOPY_PLACE_MAX + 2])
{
	wcscpy(out, place);
	if (wcslen(place) == 6 && place[5] == L':')
		wcscpy(out, place + 4);
	wcscat(out, L"\\");
}

static int
look_at_volume(struct hotcopy_pin *p, uint64_t bytes, int makes, struct err *err)
{
	wchar_t root[HOTCOPY_PLACE_MAX + 2], system[32];
	DWORD sectors, size, free_clusters, clusters;
	ULARGE_INTEGER mine, all, left;

	root_of(p->place, root);
	if (!GetVolumeInformationW(root, NULL, 0, NULL, NULL, NULL, system, 32) ||
	    !GetDiskFreeSpaceW(root, &sectors, &size, &free_clusters, &clusters) ||
	    !GetDiskFreeSpaceExW(root, &mine, &all, &left)) {
		DWORD error = GetLastError();

		return winapi_err(err, error, "%s", p->shown);
	}
	if (wcscmp(system, L"NTFS") != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s is no NTFS: where a file lies on it is not told", p->shown);
	p->cluster = sectors * size;
	if (p->cluster == 0)
		return err_set(err, ERR_IO, "%s has clusters of no bytes", p->shown);
	if (makes &&
	    (left.QuadPart < bytes || left.QuadPart - bytes < all.QuadPart / KEPT_FREE))
		return err_set(err, ERR_NOSPACE,
		    "%s: %llu bytes would leave less than a tenth of it free", p->shown,
		    (unsigned long long)bytes);
	return 0;
}

/* -------------------------------------------------------------------- the file -- */

/* 1: the file behind `h` is a plain one of ours, with no other name; 0. */
static int
is_ours(HANDLE h)
{
	BY_HANDLE_FILE_INFORMATION is;

	return GetFileInformationByHandle(h, &is) && is.nNumberOfLinks == 1 &&
	       (is.dwFileAttributes &
		   (FILE_ATTRIBUTE_REPARSE_POINT | FILE_ATTRIBUTE_DIRECTORY)) == 0 &&
	       place_acl_official(h) && place_acl_protected(h);
}

static HANDLE
open_file(const wchar_t *name, DWORD how, SECURITY_ATTRIBUTES *sa)
{
	return CreateFileW(name, GENERIC_READ | GENERIC_WRITE | DELETE, 0, sa, how,
	    FILE_ATTRIBUTE_HIDDEN | FILE_ATTRIBUTE_SYSTEM | FILE_FLAG_OPEN_REPARSE_POINT,
	    NULL);
}

/* It goes when its last handle does: at once, as nobody else has one. */
static void
unlink_on_close(HANDLE h)
{
	FILE_DISPOSITION_INFO gone = { TRUE };

	(void)SetFileInformationByHandle(h, FileDispositionInfo, &gone, sizeof(gone));
}

static int
make_file(struct hotcopy_pin *p, struct err *err)
{
	SECURITY_ATTRIBUTES sa = { sizeof(sa), place_acl_private(), FALSE };
	DWORD error;

	if (sa.lpSecurityDescriptor == NULL)
		return err_set(err, ERR_NOMEM, "no access list for a file of our own");
	p->file = open_file(p->name, CREATE_NEW, &sa);
	error = GetLastError();
	LocalFree(sa.lpSecurityDescriptor);
	if (p->file == INVALID_HANDLE_VALUE)
		return winapi_err(
		    err, error, "%s%ls", p->shown, p->name + wcslen(p->place));
	p->made = 1;
	return 0;
}

/* A store is opened again if it is large enough; what is of somebody else is not touched. */
static int
take_file(
    struct hotcopy_pin *p, enum hotcopy_pin_use use, uint64_t bytes, struct err *err)
{
	BY_HANDLE_FILE_INFORMATION is;
	DWORD error;

	p->file = open_file(p->name, OPEN_EXISTING, NULL);
	if (p->file == INVALID_HANDLE_VALUE) {
		error = GetLastError();
		if (error == ERROR_FILE_NOT_FOUND)
			return make_file(p, err);
		if (error == ERROR_SHARING_VIOLATION)
			return err_set(err, ERR_BUSY, "%s%ls is in use", p->shown,
			    p->name + wcslen(p->place));
		return winapi_err(
		    err, error, "%s%ls", p->shown, p->name + wcslen(p->place));
	}
	if (!is_ours(p->file))
		return err_set(err, ERR_DENIED,
		    "%s%ls is not the agent's: it is left alone", p->shown,
		    p->name + wcslen(p->place));
	if (use == HOTCOPY_PIN_STORE && GetFileInformationByHandle(p->file, &is) &&
	    (is.dwFileAttributes & NOT_IN_PLACE) == 0 &&
	    ((uint64_t)is.nFileSizeHigh << 32 | is.nFileSizeLow) >= bytes)
		return 0;
	unlink_on_close(p->file);
	(void)CloseHandle(p->file);
	return make_file(p, err);
}

/* -------------------------------------------------------------------- its bytes -- */

/*
 * Of an administrator's token.  It counts if it is enabled when a handle is opened: of the
 * file for SetFileValidData(), of the volume for FSCTL_MARK_HANDLE (learn.microsoft.com/
 * windows/win32/api/winioctl/ns-winioctl-mark_handle_info).
 */
static void
want_privilege(void)
{
	TOKEN_PRIVILEGES want = { .PrivilegeCount = 1 };
	HANDLE token;

	if (!OpenProcessToken(GetCurrentProcess(), TOKEN_ADJUST_PRIVILEGES, &token))
		return;
	want.Privileges[0].Attributes = SE_PRIVILEGE_ENABLED;
	if (LookupPrivilegeValueW(
		NULL, L"SeManageVolumePrivilege", &want.Privileges[0].Luid))
		(void)AdjustTokenPrivileges(token, FALSE, &want, 0, NULL, NULL);
	(void)CloseHandle(token);
}

static int
write_zeros(HANDLE file, uint64_t bytes)
{
	LARGE_INTEGER start = { .QuadPart = 0 };
	uint8_t *zeros = calloc(1, ZEROS);
	int ok = zeros != NULL && SetFilePointerEx(file, start, NULL, FILE_BEGIN);
	DWORD n;

	if (zeros == NULL)
		SetLastError(ERROR_NOT_ENOUGH_MEMORY);
	for (; ok && bytes > 0; bytes -= n) {
		n = bytes < ZEROS ? (DWORD)bytes : ZEROS;
		ok = WriteFile(file, zeros, n, &n, NULL) && n > 0;
	}
	if (ok)
		ok = FlushFileBuffers(file);
	free(zeros);
	return ok;
}

/*
 * Where its bytes cannot be called valid the zeros are written.
 * learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-setfilevaliddata
 */
static int
fill(struct hotcopy_pin *p, enum hotcopy_pin_use use, uint64_t bytes, struct err *err)
{
	LARGE_INTEGER to = { .QuadPart = (LONGLONG)bytes };
	USHORT plain = COMPRESSION_FORMAT_NONE;
	BY_HANDLE_FILE_INFORMATION is;
	DWORD n, error;
	int ok;

	/* A directory may give it to what is made in it. */
	(void)DeviceIoControl(
	    p->file, FSCTL_SET_COMPRESSION, &plain, sizeof(plain), NULL, 0, &n, NULL);
	if (!GetFileInformationByHandle(p->file, &is) ||
	    (is.dwFileAttributes & NOT_IN_PLACE) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: files in its root are compressed, encrypted or sparse",
		    p->shown);
	ok = SetFilePointerEx(p->file, to, NULL, FILE_BEGIN) && SetEndOfFile(p->file);
	if (ok && use == HOTCOPY_PIN_ROOM && SetFileValidData(p->file, (LONGLONG)bytes))
		return 0;
	if (ok)
		ok = write_zeros(p->file, bytes);
	error = GetLastError();
	return ok ? 0
		  : winapi_err(err, error, "%s: %llu bytes of room", p->shown,
			(unsigned long long)bytes);
}

/* ------------------------------------------------------------------------ life -- */

/* Nothing moves its clusters while it is open; asked after that, or they could in between. */
static int
hold(struct hotcopy_pin *p, struct err *err)
{
	MARK_HANDLE_INFO mark;
	DWORD n, error;

	p->volume = CreateFileW(p->place, GENERIC_READ,
	    FILE_SHARE_READ | FILE_SHARE_WRITE, NULL, OPEN_EXISTING, 0, NULL);
	if (p->volume == INVALID_HANDLE_VALUE) {
		error = GetLastError();
		return winapi_err(err, error, "%s", p->shown);
	}
	memset(&mark, 0, sizeof(mark));
	mark.VolumeHandle = p->volume;
	mark.HandleInfo = MARK_HANDLE_PROTECT_CLUSTERS;
	if (DeviceIoControl(
		p->file, FSCTL_MARK_HANDLE, &mark, sizeof(mark), NULL, 0, &n, NULL))
		return hotcopy_extents(
		    p->file, p->cluster, p->shown, &p->extent, &p->extents, err);
	error = GetLastError();
	(void)err_set(
	    err, ERR_UNSUPPORTED, "%s: a file cannot be pinned on it", p->shown);
	err->os = (int)error;
	return -1;
}

static int
open_pin(struct hotcopy_pin *p, enum hotcopy_pin_use use, uint64_t bytes, struct err *err)
{
	bytes += (p->cluster - bytes % p->cluster) % p->cluster;
	if (take_file(p, use, bytes, err) != 0)
		return -1;
	if (p->made &&
	    (look_at_volume(p, bytes, 1, err) != 0 || fill(p, use, bytes, err) != 0))
		return -1;
	return hold(p, err);
}

int
hotcopy_pin_open(const char *volume, enum hotcopy_pin_use use, uint64_t bytes,
    struct hotcopy_pin **out, struct err *err)
{
	struct hotcopy_pin *p = calloc(1, sizeof(*p));
	int rc = -1;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory for room on %s", volume);
	p->file = p->volume = INVALID_HANDLE_VALUE;
	p->shown = volume;
	want_privilege();
	if (bytes == 0 || bytes > INT64_MAX / 2) {
		(void)err_set(err, ERR_NOSPACE, "%s: room of %llu bytes", volume,
		    (unsigned long long)bytes);
		goto out;
	}
	if (hotcopy_place(volume, p->place, err) != 0 ||
	    look_at_volume(p, bytes, 0, err) != 0)
		goto out;
	wcscpy(p->name, p->place);
	wcscat(p->name, use == HOTCOPY_PIN_ROOM ? ROOM_NAME : STORE_NAME);
	if (open_pin(p, use, bytes, err) != 0)
		goto out;
	/* However this process ends. */
	if (use == HOTCOPY_PIN_ROOM)
		unlink_on_close(p->file);
	p->made = 0;
	rc = 0;
out:
	p->shown = NULL;
	if (rc == 0)
		*out = p;
	else
		hotcopy_pin_close(p);
	return rc;
}

unsigned
hotcopy_pin_extents(const struct hotcopy_pin *p, const struct hotcopy_extent **extent)
{
	*extent = p->extent;
	return p->extents;
}

void
hotcopy_pin_close(struct hotcopy_pin *p)
{
	if (p == NULL)
		return;
	if (p->file != INVALID_HANDLE_VALUE) {
		if (p->made)
			unlink_on_close(p->file);
		(void)CloseHandle(p->file);
	}
	if (p->volume != INVALID_HANDLE_VALUE)
		(void)CloseHandle(p->volume);
	free(p->extent);
	free(p);
}

void
hotcopy_pin_clean(const char *volume)
{
	wchar_t name[HOTCOPY_PLACE_MAX + 32];
	struct err ignored = ERR_INIT;
	HANDLE h;

	if (hotcopy_place(volume, name, &ignored) != 0)
		return;
	wcscat(name, ROOM_NAME);
	h = open_file(name, OPEN_EXISTING, NULL);
	if (h == INVALID_HANDLE_VALUE)
		return;
	if (is_ours(h))
		unlink_on_close(h);
	(void)CloseHandle(h);
}
