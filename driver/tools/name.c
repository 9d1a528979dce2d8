#include "driver/tools/name.h"

#include <winioctl.h>

#include <stdbool.h>
#include <string.h>
#include <wchar.h>

#include "driver/abi/hotcopy.h"
#include "driver/tools/call.h"
#include "driver/tools/parse.h"
#include "driver/tools/say.h"

#define GUID_PREFIX L"\\\\?\\Volume{"

static bool
is_letter(const wchar_t *word)
{
	return ((word[0] | 0x20) >= L'a' && (word[0] | 0x20) <= L'z') &&
	       word[1] == L':' && (word[2] == 0 || (word[2] == L'\\' && word[3] == 0));
}

static bool
is_device(const wchar_t *word)
{
	return wcsncmp(word, L"\\\\.\\", 4) == 0 || wcsncmp(word, L"\\\\?\\", 4) == 0;
}

int
name_path(const wchar_t *word, wchar_t path[NAME_MAX])
{
	wchar_t directory[NAME_MAX];
	size_t n = wcslen(word);

	if (n == 0 || n > NAME_MAX - 8)
		return say_error(L"'%ls' is no volume", word);
	if (is_letter(word)) {
		wcscpy(path, L"\\\\.\\X:");
		path[4] = word[0];
		return 0;
	}
	if (is_device(word)) {
		wcscpy(path, word);
	} else {
		wcscpy(directory, word);
		if (directory[n - 1] != L'\\')
			wcscat(directory, L"\\");
		if (!GetVolumeNameForVolumeMountPointW(directory, path, NAME_MAX))
			return say_os_error(GetLastError(),
			    L"%ls: no volume, and none is mounted there", word);
	}
	/* With a backslash at its end it would be the root directory. */
	n = wcslen(path);
	if (path[n - 1] == L'\\')
		path[n - 1] = 0;
	return 0;
}

int
name_guid(const wchar_t *word, uint8_t guid[16])
{
	wchar_t path[NAME_MAX], root[8] = L"X:\\";

	memset(guid, 0, 16);
	if (is_letter(word)) {
		root[0] = word[0];
		if (!GetVolumeNameForVolumeMountPointW(root, path, NAME_MAX))
			return say_os_error(GetLastError(), L"%ls", word);
		path[wcslen(path) - 1] = 0;
	} else if (name_path(word, path) != 0) {
		return -1;
	}
	if (wcsncmp(path, GUID_PREFIX, wcslen(GUID_PREFIX)) != 0)
		return 0;
	return parse_guid(path + wcslen(GUID_PREFIX) - 1, guid);
}

/* Asks the volume's own stack; the file system is not touched. */
static uint32_t
ask_attached(const wchar_t *path, uint64_t *volume, uint32_t *error)
{
	struct hotcopy_attached attached = { 0 };
	uint32_t given, status;
	HANDLE h = CreateFileW(path, 0, FILE_SHARE_READ | FILE_SHARE_WRITE, NULL,
	    OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);

	*error = GetLastError();
	if (h == INVALID_HANDLE_VALUE)
		return 0xc0000001;
	*error = 0;
	status = call_device(
	    h, HOTCOPY_IOCTL_ATTACHED, NULL, 0, &attached, sizeof attached, &given);
	CloseHandle(h);
	if (status == CALL_OK &&
	    (given != sizeof attached || attached.h.abi != HOTCOPY_ABI))
		status = 0xc0000059;
	*volume = attached.volume;
	return status;
}

int
name_volume(const wchar_t *word, uint64_t *volume)
{
	wchar_t path[NAME_MAX];
	uint32_t error, number;

	if (word[0] == L'#') {
		if (parse_number(word + 1, UINT32_MAX, &number) != 0)
			return -1;
		*volume = number;
		return 0;
	}
	if (name_path(word, path) != 0)
		return -1;
	if (ask_attached(path, volume, &error) == CALL_OK)
		return 0;
	if (error != 0)
		return say_os_error(error, L"%ls", word);
	return say_error(L"%ls: the filter is not above this volume", word);
}

/* Its letters and mount points, with a blank between them. */
static void
mounted_at(const wchar_t *volume, wchar_t *out, DWORD room)
{
	wchar_t *s;
	DWORD n = 0;

	if (!GetVolumePathNamesForVolumeNameW(volume, out, room - 1, &n))
		out[0] = out[1] = 0;
	for (s = out; *s != 0; s += wcslen(s) + 1)
		if (s != out)
			s[-1] = L' ';
}

int
name_each(name_each_fn *each, void *arg)
{
	wchar_t volume[NAME_MAX], mounted[NAME_MAX];
	uint64_t number;
	uint32_t error;
	HANDLE find = FindFirstVolumeW(volume, NAME_MAX);

	if (find == INVALID_HANDLE_VALUE)
		return say_os_error(GetLastError(), L"the volumes cannot be listed");
	do {
		mounted_at(volume, mounted, NAME_MAX);
		volume[wcslen(volume) - 1] = 0;
		number = 0;
		if (ask_attached(volume, &number, &error) != CALL_OK)
			number = 0;
		each(arg, volume, mounted, number);
	} while (FindNextVolumeW(find, volume, NAME_MAX));
	FindVolumeClose(find);
	return 0;
}
