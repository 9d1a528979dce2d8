#include <windows.h>

#include <stdlib.h>
#include <string.h>

#include "agent/capture/choose.h"
#include "agent/disk/device.h"
#include "agent/vss/vss_doctor.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/* A file is a file; a path of the device name space, a drive and a mount point is not. */
enum choose_kind
choose_kind_of(const char *path)
{
	DWORD attributes = INVALID_FILE_ATTRIBUTES;
	wchar_t *wide;

	/* By any of its names: "//./d:" must not be what nobody else uses. */
	if (device_path_kind(path) != DEVICE_FILE || strncmp(path, "\\\\.\\", 4) == 0 ||
	    strncmp(path, "label:", 6) == 0)
		return CHOOSE_VOLUME;
	if ((wide = winapi_path(path)) != NULL)
		attributes = GetFileAttributesW(wide);
	free(wide);
	if (attributes != INVALID_FILE_ATTRIBUTES &&
	    (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
		return CHOOSE_FILE;
	return attributes != INVALID_FILE_ATTRIBUTES ||
		       (path[0] != '\0' && path[1] == ':' &&
			   (path[2] == '\0' || strcmp(path + 2, "\\") == 0))
		   ? CHOOSE_VOLUME
		   : CHOOSE_FILE;
}

int
choose_databases(char *out, size_t cap)
{
	struct err ignored = ERR_INIT;
	struct vss_report *r;
	int known;

	out[0] = '\0';
	if (vss_doctor_look(&r, &ignored) != 0)
		return 0;
	known = vss_doctor_databases(r, out, cap);
	vss_report_free(r);
	return known;
}
