#include <windows.h>

#include <sddl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/file_twin.h"
#include "proto/base/file_wait_win32.h"
#include "proto/base/winapi.h"

/* Nobody but the system, the administrators and whoever made it; all that is below, too.
 */
#define PRIVATE_SDDL L"D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)(A;OICI;FA;;;OW)"

#define PATH_UNITS_MAX 32768u

static wchar_t *
wide_path(const char *path, struct err *err)
{
	wchar_t *wide = winapi_path(path);

	if (wide == NULL)
		(void)err_set(err, ERR_NOTFOUND, "%s: not a path", path);
	return wide;
}

int
file_room(const struct file *f, uint64_t *out, struct err *err)
{
	const char *path = file_twin_path(f);
	ULARGE_INTEGER room;
	wchar_t *wide, *slash;
	DWORD attributes;
	int rc = 0;

	if ((wide = wide_path(path, err)) == NULL)
		return -1;
	attributes = GetFileAttributesW(wide);
	if (attributes == INVALID_FILE_ATTRIBUTES ||
	    (attributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
		if ((slash = wcsrchr(wide, L'\\')) != NULL)
			slash[1] = L'\0';
	if (!GetDiskFreeSpaceExW(wide, &room, NULL, NULL))
		rc = winapi_err(err, GetLastError(), "%s", path);
	else
		*out = room.QuadPart;
	free(wide);
	return rc;
}

/* ---------------------------------------------------- files by their names -- */

/*
 * Over a file that is open, though shared for that: only by what Windows knows since
 * version 1607 (learn.microsoft.com, ntifs.h, FILE_RENAME_INFORMATION: "even if there are
 * existing handles to it").  0 where that does not work.
 */
static int
move_over_open(const wchar_t *from, const wchar_t *to)
{
	const DWORD flags =
	    1 /* FILE_RENAME_REPLACE_IF_EXISTS */ | 2 /* FILE_RENAME_POSIX_SEMANTICS */;
	const size_t len = wcslen(to) * sizeof(*to);
	const size_t size = sizeof(FILE_RENAME_INFO) + len;
	FILE_RENAME_INFO *info = calloc(1, size);
	HANDLE h;
	int moved;

	if (info == NULL)
		return 0;
	h = CreateFileW(from, DELETE | SYNCHRONIZE, FILE_WAIT_SHARED, NULL, OPEN_EXISTING,
	    FILE_FLAG_OPEN_REPARSE_POINT, NULL);
	memcpy(info, &flags, sizeof(flags)); /* Older headers have a BOOLEAN there. */
	info->FileNameLength = (DWORD)len;
	memcpy(info->FileName, to, len);
	moved =
	    h != INVALID_HANDLE_VALUE &&
	    SetFileInformationByHandle(h,
		(FILE_INFO_BY_HANDLE_CLASS)22 /* FileRenameInfoEx */, info, (DWORD)size);
	if (h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
	free(info);
	return moved;
}

static int
move(const char *from, const char *to, DWORD flags, struct err *err)
{
	wchar_t *a = wide_path(from, err), *b = NULL;
	unsigned waited = 0;
	int rc = -1;
	DWORD code = 0;

	if (a != NULL && (b = wide_path(to, err)) != NULL) {
		while (!MoveFileExW(a, b, flags | MOVEFILE_REPLACE_EXISTING)) {
			code = GetLastError();
			/* Also the word for a target that somebody holds. */
			if (code == ERROR_ACCESS_DENIED && move_over_open(a, b)) {
				code = 0;
				break;
			}
			if (!file_wait(code == ERROR_ACCESS_DENIED
					   ? ERROR_SHARING_VIOLATION
					   : code,
				&waited))
				break;
			code = 0;
		}
		rc = code == 0 ? 0 : winapi_err(err, code, "%s", to);
	}
	free(a);
	free(b);
	return rc;
}

int
file_rename(const char *from, const char *to, struct err *err)
{
	return move(from, to, 0, err);
}

/*
 * MoveFileEx and not ReplaceFile: that one may fail halfway, with the old file gone and
 * the new one not there yet (ERROR_UNABLE_TO_MOVE_REPLACEMENT in its documentation),
 * and it wants an old file.  WRITE_THROUGH is documented to return when the file has
 * moved on the disk; a flush of the file after it is cheap and does not depend on how
 * one reads that.
 */
int
file_replace(const char *from, const char *to, struct err *err)
{
	struct file *f;
	int rc;

	if (move(from, to, MOVEFILE_WRITE_THROUGH, err) != 0 ||
	    file_open(to, FILE_TO_WRITE, &f, err) != 0)
		return -1;
	rc = file_sync(f, err);
	file_close(f);
	return rc;
}

int
file_remove(const char *path, struct err *err)
{
	wchar_t *wide = wide_path(path, err);
	unsigned waited = 0;
	DWORD code = 0;

	if (wide == NULL)
		return -1;
	while (!DeleteFileW(wide)) {
		code = GetLastError();
		if (!file_wait(code, &waited))
			break;
		code = 0;
	}
	free(wide);
	if (code == 0)
		return 1;
	if (code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND)
		return 0;
	return winapi_err(err, code, "%s", path);
}

/* ------------------------------------------------------------- directories -- */

int
file_make_dir(const char *path, struct err *err)
{
	SECURITY_ATTRIBUTES sa = { sizeof(sa), NULL, FALSE };
	wchar_t *wide = wide_path(path, err);
	DWORD code = 0;

	if (wide == NULL)
		return -1;
	if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(
		PRIVATE_SDDL, SDDL_REVISION_1, &sa.lpSecurityDescriptor, NULL) ||
	    !CreateDirectoryW(wide, &sa))
		code = GetLastError();
	if (sa.lpSecurityDescriptor != NULL)
		LocalFree(sa.lpSecurityDescriptor);
	free(wide);
	if (code == 0 || code == ERROR_ALREADY_EXISTS)
		return 0;
	return winapi_err(err, code, "%s", path);
}

int
file_remove_dir(const char *path, struct err *err)
{
	wchar_t *wide = wide_path(path, err);
	int rc = 0;

	if (wide == NULL)
		return -1;
	if (!RemoveDirectoryW(wide))
		rc = winapi_err(err, GetLastError(), "%s", path);
	free(wide);
	return rc;
}

static int
each_name(HANDLE h, WIN32_FIND_DATAW *found, const char *dir,
    int (*each)(void *arg, const char *name, struct err *err), void *arg, struct err *err)
{
	char *name;
	int rc = 0;

	do {
		if (wcscmp(found->cFileName, L".") == 0 ||
		    wcscmp(found->cFileName, L"..") == 0)
			continue;
		if ((name = winapi_utf8(found->cFileName)) == NULL)
			return err_set(err, ERR_NOMEM, "out of memory");
		rc = each(arg, name, err);
		free(name);
		if (rc != 0)
			return rc;
	} while (FindNextFileW(h, found));
	if (GetLastError() != ERROR_NO_MORE_FILES)
		return winapi_err(err, GetLastError(), "%s", dir);
	return 0;
}

int
file_list(const char *dir, int (*each)(void *arg, const char *name, struct err *err),
    void *arg, struct err *err)
{
	const size_t size = strlen(dir) + 3;
	char *pattern = malloc(size);
	WIN32_FIND_DATAW found;
	wchar_t *wide;
	HANDLE h;
	int rc;

	if (pattern == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	(void)snprintf(pattern, size, "%s\\*", dir);
	wide = wide_path(pattern, err);
	free(pattern);
	if (wide == NULL)
		return -1;
	h = FindFirstFileW(wide, &found);
	free(wide);
	if (h == INVALID_HANDLE_VALUE)
		return winapi_err(err, GetLastError(), "%s", dir);
	rc = each_name(h, &found, dir, each, arg, err);
	FindClose(h);
	return rc;
}

/* ------------------------------------------------------------------- paths -- */

/* A volume or disk by its name: nothing that lies in a directory. */
static int
is_device(const wchar_t *path)
{
	static const wchar_t *const spaces[] = { L"\\\\?\\Volume{",
		L"\\\\?\\GLOBALROOT\\Device\\", L"\\\\?\\PhysicalDrive" };
	const wchar_t *rest;
	size_t i, len;

	if (wcsncmp(path, L"\\\\.\\", 4) == 0)
		return 1;
	for (i = 0; i < sizeof(spaces) / sizeof(spaces[0]); i++) {
		len = wcslen(spaces[i]);
		if (_wcsnicmp(path, spaces[i], len) != 0)
			continue;
		rest = wcschr(path + len, L'\\');
		return rest == NULL || rest[1] == L'\0';
	}
	return 0;
}

int
file_kind(const char *path, enum file_kind *out, struct err *err)
{
	wchar_t *wide;
	DWORD attributes, code;

	*out = FILE_IS_DEVICE;
	if (path[0] != '\0' && path[1] == ':' && path[2] == '\0')
		return 0;
	if ((wide = wide_path(path, err)) == NULL)
		return -1;
	if (is_device(wide)) {
		free(wide);
		return 0;
	}
	attributes = GetFileAttributesW(wide);
	code = GetLastError();
	free(wide);
	if (attributes != INVALID_FILE_ATTRIBUTES) {
		*out = (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0 ? FILE_IS_DIR
								    : FILE_IS_FILE;
		return 0;
	}
	*out = FILE_IS_NOTHING;
	if (code == ERROR_FILE_NOT_FOUND || code == ERROR_PATH_NOT_FOUND ||
	    code == ERROR_INVALID_NAME)
		return 0;
	return winapi_err(err, code, "%s", path);
}

/* A handle that tells of the file and asks for no right to it. */
static HANDLE
open_to_look(const char *path)
{
	wchar_t *wide = winapi_path(path);
	HANDLE h;

	if (wide == NULL)
		return INVALID_HANDLE_VALUE;
	h = CreateFileW(wide, 0, FILE_WAIT_SHARED, NULL, OPEN_EXISTING,
	    FILE_FLAG_BACKUP_SEMANTICS, NULL);
	free(wide);
	return h;
}

static int
identity(const char *path, BY_HANDLE_FILE_INFORMATION *out)
{
	HANDLE h = open_to_look(path);
	int ok;

	if (h == INVALID_HANDLE_VALUE)
		return 0;
	ok = GetFileInformationByHandle(h, out) != 0;
	CloseHandle(h);
	return ok;
}

int
file_same(const char *a, const char *b)
{
	BY_HANDLE_FILE_INFORMATION x, y;
	wchar_t *wa, *wb;
	int same;

	if (identity(a, &x) && identity(b, &y))
		return x.dwVolumeSerialNumber == y.dwVolumeSerialNumber &&
		       x.nFileIndexHigh == y.nFileIndexHigh &&
		       x.nFileIndexLow == y.nFileIndexLow;
	wa = winapi_path(a);
	wb = winapi_path(b);
	same = wa != NULL && wb != NULL && _wcsicmp(wa, wb) == 0;
	free(wa);
	free(wb);
	return same;
}

/* Without the prefix where the path is plain and short; cut in place. */
static const wchar_t *
plain(wchar_t *path)
{
	static const wchar_t share[] = L"\\\\?\\UNC\\", prefix[] = L"\\\\?\\";

	if (wcslen(path) >= MAX_PATH)
		return path;
	if (wcsncmp(path, share, 8) == 0) {
		path[6] = L'\\';
		return path + 6;
	}
	if (wcsncmp(path, prefix, 4) == 0 && path[4] != L'\0' && path[5] == L':')
		return path + 4;
	return path;
}

char *
file_real_path(const char *path)
{
	HANDLE h = open_to_look(path);
	wchar_t *wide;
	char *out = NULL;
	DWORD n = 0;

	if (h == INVALID_HANDLE_VALUE)
		return NULL;
	if ((wide = malloc(PATH_UNITS_MAX * sizeof(*wide))) != NULL)
		n = GetFinalPathNameByHandleW(h, wide, PATH_UNITS_MAX, VOLUME_NAME_DOS);
	CloseHandle(h);
	/* Some file systems do not tell (and Wine not beyond MAX_PATH). */
	if (n == 0 || n >= PATH_UNITS_MAX) {
		free(wide);
		wide = winapi_path(path);
	}
	if (wide != NULL)
		out = winapi_utf8(plain(wide));
	free(wide);
	return out;
}
