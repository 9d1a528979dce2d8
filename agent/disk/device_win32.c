#include <windows.h>
#include <winioctl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/device_parts_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define LOCK_WAIT_MS 50u
#define LOCK_WAIT_MAX_MS 1000u
#define ANSWER_FIRST 4096u
#define ANSWER_MAX (1024u * 1024)

/*
 * mountmgr.h, which MinGW has for drivers: a length of two bytes and the name.
 * learn.microsoft.com/windows-hardware/drivers/ddi/mountmgr/
 * ni-mountmgr-ioctl_mountdev_query_device_name
 */
#define QUERY_DEVICE_NAME CTL_CODE(0x4d, 2, METHOD_BUFFERED, FILE_ANY_ACCESS)

/* FVE_E_LOCKED_VOLUME, winerror.h. */
#define BITLOCKER_LOCKED 0x80310000ul

/* --------------------------------------------------------------------- errors -- */

int
device_lacks(unsigned long error)
{
	return error == ERROR_NOT_SUPPORTED || error == ERROR_INVALID_FUNCTION ||
	       error == ERROR_INVALID_PARAMETER || error == ERROR_CALL_NOT_IMPLEMENTED;
}

int
device_gone(unsigned long error)
{
	switch (error) {
	case ERROR_FILE_NOT_FOUND:
	case ERROR_PATH_NOT_FOUND:
	case ERROR_NOT_READY:
	case ERROR_DEV_NOT_EXIST:
	case 433 /* ERROR_NO_SUCH_DEVICE, which MinGW lacks */:
	case ERROR_FILE_INVALID:
	case ERROR_NO_MEDIA_IN_DRIVE:
	case ERROR_DEVICE_NOT_CONNECTED:
	case ERROR_DEVICE_REMOVED:
		return 1;
	default:
		return 0;
	}
}

int
device_err(const struct device *d, unsigned long error, const char *what, uint64_t at,
    struct err *err)
{
	if (error == BITLOCKER_LOCKED) {
		(void)err_set(err, ERR_DENIED,
		    "%s is locked by BitLocker: unlock it first (manage-bde -unlock)",
		    d->path);
	} else if (what != NULL && device_gone(error)) {
		(void)err_set(err, ERR_SNAPSHOT_LOST,
		    "%s is gone: %s at byte %llu failed with error %lu", d->path, what,
		    (unsigned long long)at, error);
	} else if (what != NULL) {
		return winapi_err(err, error, "%s: %s at byte %llu", d->path, what,
		    (unsigned long long)at);
	} else if (error == ERROR_ACCESS_DENIED && d->kind != DEVICE_FILE) {
		(void)err_set(err, ERR_DENIED,
		    "%s: raw volumes and disks are for administrators only", d->path);
	} else if (error == ERROR_SHARING_VIOLATION) {
		(void)err_set(err, ERR_BUSY,
		    "%s is being written or held by another "
		    "program",
		    d->path);
	} else {
		return winapi_err(err, error, "%s", d->path);
	}
	err->os = (int)error;
	return -1;
}

/* -------------------------------------------------------------------- control -- */

unsigned long
device_control(struct device *d, unsigned long code, const void *in, size_t in_len,
    void *out, size_t cap, size_t *got)
{
	OVERLAPPED o;
	DWORD n = 0, error = 0;

	memset(&o, 0, sizeof(o));
	if ((o.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)) == NULL)
		return GetLastError();
	if (!DeviceIoControl(d->handle, code, (void *)(uintptr_t)in, (DWORD)in_len, out,
		(DWORD)cap, &n, &o))
		error = GetLastError();
	if (error == ERROR_IO_PENDING)
		error = GetOverlappedResult(d->handle, &o, &n, TRUE) ? 0 : GetLastError();
	else if (error == ERROR_MORE_DATA && n == 0)
		(void)GetOverlappedResult(d->handle, &o, &n, FALSE);
	(void)CloseHandle(o.hEvent);
	if (got != NULL)
		*got = n;
	return error;
}

/* It grows between two calls, too: asked again until it fits. */
unsigned long
device_ask(struct device *d, unsigned long code, uint8_t **out, size_t *got)
{
	unsigned long error = ERROR_MORE_DATA;
	uint8_t *p;

	for (size_t cap = ANSWER_FIRST; cap <= ANSWER_MAX; cap *= 4) {
		if ((p = malloc(cap)) == NULL)
			return ERROR_NOT_ENOUGH_MEMORY;
		if ((error = device_control(d, code, NULL, 0, p, cap, got)) == 0) {
			*out = p;
			return 0;
		}
		free(p);
		if (error != ERROR_MORE_DATA && error != ERROR_INSUFFICIENT_BUFFER)
			break;
	}
	return error;
}

/* An answer of exactly `len` bytes or more: 1, or 0 if there is none. */
static int
ask(struct device *d, unsigned long code, void *out, size_t len)
{
	size_t got = 0;

	return device_control(d, code, NULL, 0, out, len, &got) == 0 && got >= len;
}

/* -------------------------------------------------------------------- measures -- */

static uint64_t
size_of(struct device *d)
{
	GET_LENGTH_INFORMATION length;
	PARTITION_INFORMATION_EX part;
	DISK_GEOMETRY_EX geometry;
	LARGE_INTEGER file;
	size_t got = 0;

	if (d->kind != DEVICE_FILE &&
	    ask(d, IOCTL_DISK_GET_LENGTH_INFO, &length, sizeof(length)))
		return (uint64_t)length.Length.QuadPart;
	if ((d->kind == DEVICE_VOLUME || d->kind == DEVICE_SNAPSHOT) &&
	    ask(d, IOCTL_DISK_GET_PARTITION_INFO_EX, &part, sizeof(part)))
		return (uint64_t)part.PartitionLength.QuadPart;
	/* Wine: a drive that is a plain file has a file's length; no device has one. */
	if (GetFileSizeEx(d->handle, &file) && file.QuadPart > 0)
		return (uint64_t)file.QuadPart;
	if (d->kind == DEVICE_DISK &&
	    device_control(d, IOCTL_DISK_GET_DRIVE_GEOMETRY_EX, NULL, 0, &geometry,
		sizeof(geometry), &got) == 0)
		return (uint64_t)geometry.DiskSize.QuadPart;
	return 0;
}

/* Of devices: what the medium is addressed by, and what it writes at once. */
static void
take_sectors(struct device *d)
{
	STORAGE_PROPERTY_QUERY query;
	STORAGE_ACCESS_ALIGNMENT_DESCRIPTOR align;
	FILE_STORAGE_INFO storage;
	DISK_GEOMETRY geometry;
	size_t got = 0;

	memset(&query, 0, sizeof(query));
	query.PropertyId = StorageAccessAlignmentProperty;
	query.QueryType = PropertyStandardQuery;
	memset(&align, 0, sizeof(align));
	d->sector = 512;
	if (device_control(d, IOCTL_STORAGE_QUERY_PROPERTY, &query, sizeof(query), &align,
		sizeof(align), &got) == 0 &&
	    got >= sizeof(align) && align.BytesPerLogicalSector != 0) {
		d->sector = align.BytesPerLogicalSector;
		d->physical = align.BytesPerPhysicalSector;
	} else if (ask(d, IOCTL_DISK_GET_DRIVE_GEOMETRY, &geometry, sizeof(geometry))) {
		d->sector = geometry.BytesPerSector;
	} else if (d->kind == DEVICE_SNAPSHOT &&
		   GetFileInformationByHandleEx(
		       d->handle, FileStorageInfo, &storage, sizeof(storage))) {
		/* A shadow copy's driver need not know: its file system does. */
		d->sector = storage.LogicalBytesPerSector;
		d->physical = storage.PhysicalBytesPerSectorForAtomicity;
	}
	d->align = d->sector;
}

/* A file's sectors are those of an image; what it lies on asks for its own. */
static void
take_file(struct device *d, unsigned flags)
{
	d->sector = 512;
	d->physical = 0;
	/* No sectors are larger.  What is written would grow to whole ones. */
	d->align = (flags & DEVICE_WRITE) != 0 ? 1 : 4096;
}

int
device_look(struct device *d, struct device_look *out, struct err *err)
{
	FILE_BASIC_INFO basic;

	memset(out, 0, sizeof(*out));
	out->size = size_of(d);
	if (d->kind == DEVICE_FILE && out->size == 0) {
		LARGE_INTEGER file;

		if (!GetFileSizeEx(d->handle, &file))
			return device_err(d, GetLastError(), NULL, 0, err);
	}
	/* A volume's or disk's handle has no times; a drive of Wine may. */
	if (GetFileInformationByHandleEx(
		d->handle, FileBasicInfo, &basic, sizeof(basic))) {
		out->written = (uint64_t)basic.LastWriteTime.QuadPart;
		out->changed = (uint64_t)basic.ChangeTime.QuadPart;
	} else if (d->kind == DEVICE_FILE) {
		return device_err(d, GetLastError(), NULL, 0, err);
	}
	d->size = out->size;
	return 0;
}

/* --------------------------------------------------------------------- opening -- */

/* As a volume calls itself: \\?\GLOBALROOT\Device\Harddisk0\Partition1 is a link to it.
 */
static wchar_t *
own_name(struct device *d)
{
	uint8_t answer[1024];
	size_t got = 0, len;
	wchar_t *out;

	if (d->kind != DEVICE_VOLUME ||
	    device_control(d, QUERY_DEVICE_NAME, NULL, 0, answer, sizeof(answer), &got) !=
		0 ||
	    got < 4)
		return NULL;
	len = (size_t)(answer[0] | answer[1] << 8);
	if (len == 0 || len % 2 != 0 || len > got - 2 ||
	    (out = calloc(len / 2 + 1, sizeof(*out))) == NULL)
		return NULL;
	memcpy(out, answer + 2, len);
	return out;
}

/* What the kernel calls the device: one name, however many lead to it. */
static wchar_t *
kernel_name(const wchar_t *path)
{
	static const wchar_t root[] = L"GLOBALROOT";
	wchar_t target[1024];
	const wchar_t *rest = path + 4;

	if (_wcsnicmp(rest, root, sizeof(root) / sizeof(root[0]) - 1) == 0)
		return _wcsdup(rest + sizeof(root) / sizeof(root[0]) - 1);
	if (QueryDosDeviceW(rest, target, sizeof(target) / sizeof(target[0])) == 0)
		return _wcsdup(path);
	return _wcsdup(target);
}

static int
open_handle(struct device *d, const wchar_t *path, unsigned flags, struct err *err)
{
	DWORD access = GENERIC_READ, share = FILE_SHARE_READ | FILE_SHARE_WRITE;
	DWORD how = FILE_FLAG_OVERLAPPED;

	if (d->kind == DEVICE_FILE)
		share = (flags & DEVICE_ALONE) != 0
			    ? FILE_SHARE_READ
			    : FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
	if ((flags & DEVICE_WRITE) != 0)
		access |= GENERIC_WRITE;
	if (d->kind != DEVICE_FILE && (flags & DEVICE_LOOK) != 0)
		access = 0;
	if (d->align > 1)
		how |= FILE_FLAG_NO_BUFFERING;
	d->handle = CreateFileW(path, access, share, NULL, OPEN_EXISTING, how, NULL);
	if (d->handle == INVALID_HANDLE_VALUE)
		return device_err(d, GetLastError(), NULL, 0, err);
	if (d->kind == DEVICE_FILE)
		return 0;
	if ((d->name = own_name(d)) == NULL)
		d->name = kernel_name(path);
	if (access == 0)
		return 0;
	/* The last sectors of a volume are its own, too, not only its file system's. */
	(void)device_control(d, FSCTL_ALLOW_EXTENDED_DASD_IO, NULL, 0, NULL, 0, NULL);
	return 0;
}

static int
measure(struct device *d, struct err *err)
{
	struct device_look look;

	if (d->kind != DEVICE_FILE)
		take_sectors(d);
	if (device_look(d, &look, err) != 0)
		return -1;
	if (d->sector < 512 || d->sector > 4096 || (d->sector & (d->sector - 1)) != 0)
		return err_set(err, ERR_UNSUPPORTED, "%s has sectors of %lu bytes",
		    d->path, (unsigned long)d->sector);
	if (d->size == 0 && d->kind != DEVICE_FILE)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: its size cannot be told (no medium, or locked)", d->path);
	return 0;
}

int
device_open(const char *path, unsigned flags, struct device **out, struct err *err)
{
	struct device *d = calloc(1, sizeof(*d));
	wchar_t *wide = NULL;
	char normal[4096];
	int rc = -1;

	if (d == NULL || (d->path = _strdup(path)) == NULL) {
		free(d);
		return err_set(err, ERR_NOMEM, "no memory to open %s", path);
	}
	d->handle = INVALID_HANDLE_VALUE;
	d->kind = device_path_kind(path);
	d->align = 512;
	if (d->kind == DEVICE_FILE)
		take_file(d, flags);
	if (device_path(path, normal, sizeof(normal), err) != 0)
		goto out;
	if ((wide = winapi_path(normal)) == NULL) {
		(void)err_set(err, ERR_NOTFOUND, "%s: no path of UTF-8", path);
		goto out;
	}
	if (open_handle(d, wide, flags, err) != 0)
		goto out;
	if ((d->kind == DEVICE_FILE || (flags & DEVICE_LOOK) == 0) &&
	    measure(d, err) != 0)
		goto out;
	rc = 0;
out:
	free(wide);
	if (rc == 0)
		*out = d;
	else
		device_close(d);
	return rc;
}

void
device_close(struct device *d)
{
	if (d == NULL)
		return;
	device_unlock(d);
	if (d->handle != INVALID_HANDLE_VALUE)
		(void)CloseHandle(d->handle);
	free(d->name);
	free(d->path);
	free(d);
}

enum device_kind
device_kind(const struct device *d)
{
	return d->kind;
}

uint64_t
device_size(const struct device *d)
{
	return d->size;
}

uint32_t
device_sector_size(const struct device *d)
{
	return d->sector;
}

uint32_t
device_physical_size(const struct device *d)
{
	return d->physical;
}

int
device_number(struct device *d, uint32_t *number)
{
	STORAGE_DEVICE_NUMBER is;

	if (!ask(d, IOCTL_STORAGE_GET_DEVICE_NUMBER, &is, sizeof(is)) ||
	    is.DeviceType != FILE_DEVICE_DISK)
		return 0;
	*number = is.DeviceNumber;
	return 1;
}

int
device_same(struct device *a, struct device *b)
{
	BY_HANDLE_FILE_INFORMATION x, y;
	uint32_t m, n;

	if (a->kind == DEVICE_DISK && b->kind == DEVICE_DISK && device_number(a, &m) &&
	    device_number(b, &n))
		return m == n;
	if (a->kind != DEVICE_FILE && b->kind != DEVICE_FILE)
		return a->name != NULL && b->name != NULL &&
		       _wcsicmp(a->name, b->name) == 0;
	return a->kind == b->kind && GetFileInformationByHandle(a->handle, &x) &&
	       GetFileInformationByHandle(b->handle, &y) &&
	       x.dwVolumeSerialNumber == y.dwVolumeSerialNumber &&
	       x.nFileIndexHigh == y.nFileIndexHigh && x.nFileIndexLow == y.nFileIndexLow;
}

/* --------------------------------------------------------------------- having -- */

int
device_lock(struct device *d, uint32_t timeout_ms, struct err *err)
{
	ULONGLONG until = GetTickCount64() + timeout_ms;
	DWORD wait = LOCK_WAIT_MS;
	unsigned long error;

	if (d->kind != DEVICE_VOLUME || d->locked)
		return 0;
	for (;;) {
		error = device_control(d, FSCTL_LOCK_VOLUME, NULL, 0, NULL, 0, NULL);
		if (error == 0) {
			d->locked = 1;
			return 0;
		}
		if ((error != ERROR_ACCESS_DENIED && error != ERROR_SHARING_VIOLATION &&
			error != ERROR_LOCK_VIOLATION && error != ERROR_BUSY) ||
		    GetTickCount64() + wait > until)
			break;
		Sleep(wait);
		wait = wait * 2 < LOCK_WAIT_MAX_MS ? wait * 2 : LOCK_WAIT_MAX_MS;
	}
	if (error != ERROR_ACCESS_DENIED && error != ERROR_SHARING_VIOLATION)
		return winapi_err(err, error, "%s: locking the volume", d->path);
	(void)err_set(err, ERR_BUSY,
	    "%s cannot be locked: files on it are open, or it holds a page file",
	    d->path);
	err->os = (int)error;
	return -1;
}

void
device_unlock(struct device *d)
{
	if (d->locked)
		(void)device_control(d, FSCTL_UNLOCK_VOLUME, NULL, 0, NULL, 0, NULL);
	d->locked = 0;
}

static int
in_wine(void)
{
	HMODULE ntdll = GetModuleHandleW(L"ntdll.dll");

	return ntdll != NULL && GetProcAddress(ntdll, "wine_get_version") != NULL;
}

int
device_dismount(struct device *d, struct err *err)
{
	unsigned long error;

	if (d->kind != DEVICE_VOLUME || in_wine())
		return 0;
	error = device_control(d, FSCTL_DISMOUNT_VOLUME, NULL, 0, NULL, 0, NULL);
	/* Without a file system there is nothing to let go. */
	if (error != 0 && !device_lacks(error))
		return winapi_err(err, error, "%s: dismounting the volume", d->path);
	return 0;
}
