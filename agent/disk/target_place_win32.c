#include "agent/disk/target_place.h"

#include <windows.h>
#include <winioctl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define VOLUME_NAME_LEN 64u /* "\\?\Volume{GUID}\" and its NUL are 50. */
#define PATH_LEN 1024u

/* A volume's GUID path without the '\' at its end, of a mount point with one. */
static char *
guid_of(const wchar_t *mount_point)
{
	wchar_t name[VOLUME_NAME_LEN];
	size_t len;

	if (!GetVolumeNameForVolumeMountPointW(mount_point, name, VOLUME_NAME_LEN))
		return NULL;
	len = wcslen(name);
	if (len > 0 && name[len - 1] == L'\\')
		name[len - 1] = L'\0';
	return winapi_utf8(name);
}

/* "D:" of "\\.\D:", else the path itself. */
static const char *
plain(const char *path)
{
	if (strncmp(path, "\\\\.\\", 4) == 0 && path[4] != '\0' && path[5] == ':')
		return path + 4;
	return path;
}

char *
target_place_device(const char *path)
{
	enum device_kind kind = device_path_kind(path);
	char with[PATH_LEN], *found = NULL;
	const char *name = plain(path);
	size_t len = strlen(name);
	wchar_t *wide;

	if (kind == DEVICE_DISK || kind == DEVICE_SNAPSHOT)
		return strdup(path);
	if (len > 0 && len + 2 < sizeof(with)) {
		(void)snprintf(with, sizeof(with), "%s%s", name,
		    name[len - 1] == '\\' || name[len - 1] == '/' ? "" : "\\");
		if ((wide = winapi_wide(with)) != NULL)
			found = guid_of(wide);
		free(wide);
	}
	/* A volume without a name of its own is called as it was. */
	return found != NULL || kind == DEVICE_FILE ? found : strdup(path);
}

/* ------------------------------------------------------------------- extents -- */

/* Has the open volume a part on that disk?  If it does not say where it lies: none. */
static int
lies_on(struct device *volume, uint32_t disk)
{
	const size_t head = offsetof(VOLUME_DISK_EXTENTS, Extents);
	const VOLUME_DISK_EXTENTS *x;
	uint8_t *answer = NULL;
	size_t got = 0;
	int yes = 0;

	if (device_ask(volume, IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, &answer, &got) != 0)
		return 0;
	x = (const VOLUME_DISK_EXTENTS *)(const void *)answer;
	for (DWORD i = 0; got >= head && i < x->NumberOfDiskExtents &&
			  i < (got - head) / sizeof(x->Extents[0]);
	     i++)
		yes |= x->Extents[i].DiskNumber == disk;
	free(answer);
	return yes;
}

int
target_place_volumes(uint32_t disk,
    int (*each)(void *arg, const char *volume, struct err *err), void *arg,
    struct err *err)
{
	wchar_t name[VOLUME_NAME_LEN];
	struct err ignored;
	struct device *d;
	char *volume;
	HANDLE find;
	int rc = 0;

	find = FindFirstVolumeW(name, VOLUME_NAME_LEN);
	if (find == INVALID_HANDLE_VALUE)
		return 0;
	do {
		err_clear(&ignored);
		if ((volume = guid_of(name)) == NULL)
			continue;
		if (device_open(volume, 0, &d, &ignored) == 0) {
			int on = lies_on(d, disk);

			device_close(d);
			rc = on ? each(arg, volume, err) : 0;
		}
		free(volume);
	} while (rc == 0 && FindNextVolumeW(find, name, VOLUME_NAME_LEN));
	(void)FindVolumeClose(find);
	return rc;
}

/* ------------------------------------------------------------------- refusing -- */

/* The volume that a file or directory lies on, malloc'ed, or NULL. */
static char *
volume_of(const wchar_t *path)
{
	wchar_t root[PATH_LEN];

	if (!GetVolumePathNameW(path, root, PATH_LEN))
		return NULL;
	return guid_of(root);
}

int
target_place_shares(const char *device, const char *volume)
{
	struct err ignored = ERR_INIT, again = ERR_INIT;
	struct device *d = NULL, *v = NULL;
	uint32_t number;
	int yes = _stricmp(device, volume) == 0;

	if (!yes && device_open(volume, DEVICE_LOOK, &v, &ignored) == 0 &&
	    device_open(device, DEVICE_LOOK, &d, &again) == 0)
		yes = device_same(d, v) ||
		      (device_kind(d) == DEVICE_DISK && device_number(d, &number) &&
			  lies_on(v, number));
	device_close(d);
	device_close(v);
	return yes;
}

int
target_place_holds(const char *device, const char *path)
{
	wchar_t *wide = winapi_path(path);
	char *volume = wide != NULL ? volume_of(wide) : NULL;
	int yes = volume != NULL && target_place_shares(device, volume);

	free(wide);
	free(volume);
	return yes;
}

/* Takes `volume` (may be NULL) over. */
static int
refuse(const char *device, char *volume, const char *what, struct err *err)
{
	int rc = 0;

	if (volume != NULL && target_place_shares(device, volume))
		rc = err_set(err, ERR_BUSY,
		    "%s: %s is on it; boot the machine by the rescue image to restore it",
		    device, what);
	free(volume);
	return rc;
}

/* A value of the registry, as text with two NULs at its end, malloc'ed, or NULL. */
static wchar_t *
registry_text(const wchar_t *key, const wchar_t *name)
{
	DWORD len = 16384;
	wchar_t *text = calloc(1, len + 2 * sizeof(*text));

	if (text != NULL &&
	    RegGetValueW(HKEY_LOCAL_MACHINE, key, name,
		RRF_RT_REG_SZ | RRF_RT_REG_MULTI_SZ, NULL, text, &len) == ERROR_SUCCESS)
		return text;
	free(text);
	return NULL;
}

/*
 * Where the boot manager is: "\Device\HarddiskVolume1".  A volume without a letter as a
 * rule, so nothing else would tell.
 */
static int
refuse_boot(const char *device, struct err *err)
{
	wchar_t *name = registry_text(L"SYSTEM\\Setup", L"SystemPartition");
	char *text = name != NULL ? winapi_utf8(name) : NULL, path[PATH_LEN];
	int rc = 0;

	if (text != NULL && (size_t)snprintf(path, sizeof(path), "\\\\?\\GLOBALROOT%s",
				text) < sizeof(path))
		rc =
		    refuse(device, strdup(path), "the boot manager of this Windows", err);
	free(name);
	free(text);
	return rc;
}

static int
refuse_page_files(const char *device, struct err *err)
{
	wchar_t *all = registry_text(L"SYSTEM\\CurrentControlSet\\Control\\Session "
				     L"Manager\\Memory Management",
	    L"ExistingPageFiles");
	int rc = 0;

	for (const wchar_t *p = all; rc == 0 && p != NULL && *p != L'\0';
	     p += wcslen(p) + 1)
		/* "\??\C:\pagefile.sys" */
		rc = refuse(device, volume_of(wcsncmp(p, L"\\??\\", 4) == 0 ? p + 4 : p),
		    "a page file of this Windows", err);
	free(all);
	return rc;
}

int
target_place_refuse(const char *device, const char *dir, struct err *err)
{
	wchar_t windows[MAX_PATH], *wide;
	int rc;

	if (GetSystemWindowsDirectoryW(windows, MAX_PATH) > 0 &&
	    refuse(device, volume_of(windows), "the running Windows", err) != 0)
		return -1;
	if (refuse_boot(device, err) != 0 || refuse_page_files(device, err) != 0)
		return -1;
	if (dir == NULL || (wide = winapi_path(dir)) == NULL)
		return 0;
	rc = refuse(device, volume_of(wide), "the agent's state directory", err);
	free(wide);
	return rc;
}
