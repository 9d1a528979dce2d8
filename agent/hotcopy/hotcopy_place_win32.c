#include "agent/hotcopy/hotcopy_place_win32.h"

#include <windows.h>

#include <stdlib.h>

#include "agent/disk/device.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

static int
in_namespace(const wchar_t *path)
{
	return path[0] == L'\\' && (path[1] == L'\\' || path[1] == L'?') &&
	       (path[2] == L'.' || path[2] == L'?') && path[3] == L'\\';
}

int
hotcopy_place(const char *path, wchar_t out[HOTCOPY_PLACE_MAX], struct err *err)
{
	char normal[HOTCOPY_PLACE_MAX];
	wchar_t *wide = NULL, given[HOTCOPY_PLACE_MAX];
	size_t n;
	int rc = -1;

	if (device_path(path, normal, sizeof(normal), err) != 0)
		return -1;
	wide = winapi_wide(normal);
	if (wide == NULL || (n = wcslen(wide)) == 0 || n > HOTCOPY_PLACE_MAX - 2) {
		(void)err_set(err, ERR_NOTFOUND, "%s: no path of UTF-8", path);
		goto out;
	}
	wcscpy(given, wide);
	if (in_namespace(given)) {
		wcscpy(out, given);
	} else {
		if (given[n - 1] != L'\\')
			wcscat(given, L"\\");
		if (!GetVolumeNameForVolumeMountPointW(given, out, HOTCOPY_PLACE_MAX)) {
			DWORD error = GetLastError();

			(void)err_set(err, ERR_NOTFOUND,
			    "%s: no volume, and none is mounted there", path);
			err->os = (int)error;
			goto out;
		}
	}
	n = wcslen(out);
	if (out[n - 1] == L'\\')
		out[n - 1] = L'\0';
	rc = 0;
out:
	free(wide);
	return rc;
}
