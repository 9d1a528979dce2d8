#include <windows.h>
#include <winioctl.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/device.h"
#include "agent/disk/volumes.h"
#include "agent/disk/volumes_parts_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/* FVE_E_LOCKED_VOLUME, winerror.h. */
#define BITLOCKER_LOCKED 0x80310000ul

#define REGISTRY_MAX (16u * 1024)

int
volumes_known(void)
{
	return 1;
}

/* ----------------------------------------------------------------------- texts -- */

static void
copy_utf8(char *out, size_t cap, const wchar_t *wide)
{
	char *text = winapi_utf8(wide);

	(void)snprintf(out, cap, "%s", text != NULL ? text : "");
	free(text);
}

/* A list of texts, each with its NUL, and one more; what does not fit is left out. */
static void
copy_list(char *out, size_t cap, const wchar_t *wide)
{
	size_t at = 0, n;
	char *text;

	for (; *wide != L'\0'; wide += wcslen(wide) + 1) {
		if ((text = winapi_utf8(wide)) == NULL)
			continue;
		n = strlen(text) + 1;
		if (at + n + 1 <= cap) {
			memcpy(out + at, text, n);
			at += n;
		}
		free(text);
	}
	out[at] = '\0';
}

/* What the kernel calls a volume: "\Device\HarddiskVolume3". */
static int
kernel_name(const wchar_t *guid, wchar_t *out, size_t cap)
{
	wchar_t name[64];
	size_t n = wcslen(guid);

	/* "\\?\Volume{...}\" without both ends. */
	if (n < 5 || n - 5 >= sizeof(name) / sizeof(name[0]))
		return 0;
	memcpy(name, guid + 4, (n - 5) * sizeof(name[0]));
	name[n - 5] = L'\0';
	return QueryDosDeviceW(name, out, (DWORD)cap) != 0;
}

/* -------------------------------------------------------------- what is special -- */

struct special {
	wchar_t boot[64];    /* GUID path of the volume with Windows. */
	wchar_t system[256]; /* Kernel name of what the firmware starts. */
	uint32_t page_files; /* Letters. */
};

static size_t
registry(const wchar_t *key, const wchar_t *name, DWORD types, void *out, DWORD cap)
{
	DWORD n = cap;

	return RegGetValueW(HKEY_LOCAL_MACHINE, key, name, types, NULL, out, &n) ==
		       ERROR_SUCCESS
		   ? n
		   : 0;
}

static void
take_page_files(struct special *s)
{
	static const wchar_t key[] =
	    L"SYSTEM\\CurrentControlSet\\Control\\Session Manager\\Memory Management";
	/* Those in use; else those that are to be. */
	static const wchar_t *const names[] = { L"ExistingPageFiles", L"PagingFiles" };
	wchar_t *list = malloc(REGISTRY_MAX);
	char *text = malloc(REGISTRY_MAX);

	for (size_t i = 0; i < 2 && list != NULL && text != NULL; i++)
		if (registry(key, names[i], RRF_RT_REG_MULTI_SZ, list, REGISTRY_MAX) >
		    2 * sizeof(wchar_t)) {
			copy_list(text, REGISTRY_MAX, list);
			s->page_files = volumes_page_files(text, REGISTRY_MAX);
			break;
		}
	free(list);
	free(text);
}

static void
take_special(struct special *s)
{
	wchar_t dir[MAX_PATH], mount[MAX_PATH];
	UINT n;

	memset(s, 0, sizeof(*s));
	n = GetSystemWindowsDirectoryW(dir, MAX_PATH);
	if (n == 0 || n >= MAX_PATH || !GetVolumePathNameW(dir, mount, MAX_PATH) ||
	    !GetVolumeNameForVolumeMountPointW(
		mount, s->boot, sizeof(s->boot) / sizeof(s->boot[0])))
		s->boot[0] = L'\0';
	if (registry(L"SYSTEM\\Setup", L"SystemPartition", RRF_RT_REG_SZ, s->system,
		sizeof(s->system)) == 0)
		s->system[0] = L'\0';
	take_page_files(s);
}

static void
note_special(const struct special *s, const wchar_t *guid, struct volumes_volume *out)
{
	wchar_t kernel[256];
	const char *p;

	out->boot = s->boot[0] != L'\0' && _wcsicmp(guid, s->boot) == 0;
	out->system = s->system[0] != L'\0' &&
		      kernel_name(guid, kernel, sizeof(kernel) / sizeof(kernel[0])) &&
		      _wcsicmp(kernel, s->system) == 0;
	for (p = out->paths; *p != '\0'; p += strlen(p) + 1)
		if (strlen(p) == 3 && p[1] == ':' && (p[0] & ~0x20) >= 'A' &&
		    (p[0] & ~0x20) <= 'Z' &&
		    (s->page_files >> ((p[0] & ~0x20) - 'A') & 1) != 0)
			out->page_file = 1;
}

/* --------------------------------------------------------------------- volumes -- */

static void
take_paths(const wchar_t *guid, struct volumes_volume *out)
{
	wchar_t *list;
	DWORD need = 0;

	(void)GetVolumePathNamesForVolumeNameW(guid, NULL, 0, &need);
	if (need == 0 || (list = calloc(need + 2, sizeof(*list))) == NULL)
		return;
	if (GetVolumePathNamesForVolumeNameW(guid, list, need, &need))
		copy_list(out->paths, sizeof(out->paths), list);
	free(list);
}

/* Its size and where it lies; 0 and nothing where we may not ask. */
static int
take_pieces(struct volumes_volume *out, struct err *err)
{
	struct err none = ERR_INIT;
	uint8_t *answer = NULL;
	struct device *d;
	size_t got = 0;
	int rc = 0;

	/* Where a locked one lies is told, too; what it holds is not. */
	if (device_open(out->guid, DEVICE_LOOK, &d, &none) == 0) {
		if (device_ask(d, IOCTL_VOLUME_GET_VOLUME_DISK_EXTENTS, &answer, &got) ==
		    0)
			rc = volumes_parse_extents(answer, got, out, err);
		free(answer);
		device_close(d);
	}
	if (rc != 0 || device_open(out->guid, 0, &d, &none) != 0)
		return rc;
	out->size = device_size(d);
	out->clustered =
	    device_control(d, IOCTL_VOLUME_IS_CLUSTERED, NULL, 0, NULL, 0, NULL) == 0;
	device_close(d);
	return rc;
}

/* The disk's bytes under the volume say whether they are encrypted. */
static int
is_encrypted(const struct volumes_volume *v)
{
	const struct volumes_extent *piece = volumes_piece(v);
	struct err none = ERR_INIT;
	uint8_t sector[512];
	struct device *d;
	char path[32];
	int rc = 0;

	if (piece == NULL)
		return 0;
	(void)snprintf(
	    path, sizeof(path), "\\\\.\\PhysicalDrive%lu", (unsigned long)piece->disk);
	if (device_open(path, 0, &d, &none) != 0)
		return 0;
	if (device_read(d, piece->offset, sector, sizeof(sector), &none) == 0)
		rc = volumes_encrypted(sector);
	device_close(d);
	return rc;
}

static int
take_volume(const wchar_t *guid, const struct special *special,
    struct volumes_volume *out, struct err *err)
{
	wchar_t label[MAX_PATH + 1] = L"", fs[MAX_PATH + 1] = L"";
	ULARGE_INTEGER room;
	DWORD error = 0;

	memset(out, 0, sizeof(*out));
	copy_utf8(out->guid, sizeof(out->guid), guid);
	out->fixed = GetDriveTypeW(guid) == DRIVE_FIXED;
	take_paths(guid, out);
	note_special(special, guid, out);
	if (GetVolumeInformationW(
		guid, label, MAX_PATH + 1, NULL, NULL, NULL, fs, MAX_PATH + 1)) {
		copy_utf8(out->label, sizeof(out->label), label);
		copy_utf8(out->fs, sizeof(out->fs), fs);
		if (GetDiskFreeSpaceExW(guid, NULL, NULL, &room))
			out->room = room.QuadPart;
	} else {
		error = GetLastError();
	}
	if (take_pieces(out, err) != 0)
		return -1;
	if (error == BITLOCKER_LOCKED)
		out->bitlocker = VOLUMES_LOCKED;
	else if (is_encrypted(out))
		out->bitlocker = error == 0 ? VOLUMES_UNLOCKED : VOLUMES_LOCKED;
	return 0;
}

static int
take_volumes(struct volumes *v, struct err *err)
{
	struct special special;
	wchar_t guid[64];
	HANDLE find;
	DWORD error;
	int rc = 0;

	take_special(&special);
	find = FindFirstVolumeW(guid, sizeof(guid) / sizeof(guid[0]));
	if (find == INVALID_HANDLE_VALUE) {
		error = GetLastError();
		return error == ERROR_NO_MORE_FILES
			   ? 0
			   : winapi_err(err, error, "listing the volumes");
	}
	do {
		if (v->count == VOLUMES_MAX)
			rc = err_set(err, ERR_LIMIT, "more than %u volumes", VOLUMES_MAX);
		else
			rc = take_volume(guid, &special, &v->volumes[v->count], err);
		if (rc == 0)
			v->count++;
	} while (rc == 0 && FindNextVolumeW(find, guid, sizeof(guid) / sizeof(guid[0])));
	error = GetLastError();
	(void)FindVolumeClose(find);
	if (rc == 0 && error != ERROR_NO_MORE_FILES)
		rc = winapi_err(err, error, "listing the volumes");
	return rc;
}

int
volumes_list(struct volumes **out, struct err *err)
{
	struct volumes *v = calloc(1, sizeof(*v));
	DWORD before = 0;
	int rc;

	if (v == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a list of volumes");
	/* A drive without a medium is no question to whoever sits there. */
	(void)SetThreadErrorMode(SEM_FAILCRITICALERRORS, &before);
	rc = take_volumes(v, err) != 0 ? -1 : volumes_take_disks(v, err);
	(void)SetThreadErrorMode(before, NULL);
	if (rc == 0)
		*out = v;
	else
		volumes_free(v);
	return rc;
}
