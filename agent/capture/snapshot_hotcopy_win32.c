#include <windows.h>
#include <winioctl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/disk/device.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/*
 * "To flush all open files on a volume, call FlushFileBuffers with a handle to the
 * volume" (learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-flushfilebuffers);
 * the handle needs the right to write, and nothing is written by it.
 */
static int
flush(const char *path, struct err *err)
{
	struct device *d;
	int rc;

	if (device_open(path, DEVICE_WRITE, &d, err) != 0)
		return -1;
	rc = device_flush(d, err);
	device_close(d);
	return rc;
}

static int
open_live(const char *path, void **out, struct err *err)
{
	struct device *d;

	if (device_open(path, 0, &d, err) != 0)
		return -1;
	*out = d;
	return 1;
}

static int
read_live(void *live, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return device_read(live, offset, buf, len, err);
}

static void
close_live(void *live)
{
	device_close(live);
}

/*
 * STARTING_LCN_INPUT_BUFFER is one 64-bit number, VOLUME_BITMAP_BUFFER two and the bits,
 * "BitmapSize: the number of clusters on the volume, starting from the starting LCN
 * returned" (learn.microsoft.com/windows/win32/api/winioctl/ns-winioctl-
 * volume_bitmap_buffer); what did not fit is ERROR_MORE_DATA (.../ni-winioctl-
 * fsctl_get_volume_bitmap), and the bytes that did are told then, too.
 */
static int
bitmap(void *live, uint64_t first, void *answer, size_t cap, size_t *got, struct err *err)
{
	STARTING_LCN_INPUT_BUFFER from;
	unsigned long error;

	from.StartingLcn.QuadPart = (LONGLONG)first;
	error = device_control(
	    live, FSCTL_GET_VOLUME_BITMAP, &from, sizeof(from), answer, cap, got);
	if (error == 0 || error == ERROR_MORE_DATA)
		return 0;
	return winapi_err(err, error, "its bitmap cannot be had");
}

/* "C:" and "\\?\Volume{...}" as FindFirstFile() wants the root; by no link. */
static void
look(const char *path, struct hot_look *out)
{
	static const char *const names[] = { "pagefile.sys", "swapfile.sys",
		"hiberfil.sys" };
	size_t len = strlen(path);
	WIN32_FIND_DATAW data;
	char full[600];
	wchar_t *wide;
	HANDLE h;

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(full, sizeof(full), "%s%s%s", path,
		    len > 0 && path[len - 1] == '\\' ? "" : "\\", names[i]);
		h = INVALID_HANDLE_VALUE;
		if ((wide = winapi_wide(full)) != NULL)
			h = FindFirstFileW(wide, &data);
		free(wide);
		if (h == INVALID_HANDLE_VALUE)
			continue;
		(void)FindClose(h);
		out->file[i].there = 1;
		out->file[i].size =
		    (uint64_t)data.nFileSizeHigh << 32 | data.nFileSizeLow;
		out->file[i].made = (uint64_t)data.ftCreationTime.dwHighDateTime << 32 |
				    data.ftCreationTime.dwLowDateTime;
	}
}

/* learn.microsoft.com/windows/win32/api/sysinfoapi/nf-sysinfoapi-globalmemorystatusex */
static uint64_t
memory(void)
{
	MEMORYSTATUSEX m = { .dwLength = sizeof(m) };

	return GlobalMemoryStatusEx(&m) ? m.ullTotalPhys : 0;
}

const struct hot_system snapshot_hotcopy_here = { .flush = flush,
	.open = open_live,
	.read = read_live,
	.close = close_live,
	.look = look,
	.bitmap = bitmap,
	.memory = memory,
	.flushes = 1,
	.lends_itself = 1 };
