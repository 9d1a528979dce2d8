#include <windows.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/place.h"
#include "agent/host/place_acl_win32.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/winapi.h"

/* Of the file itself: who has one of these can make it another. */
#define CHANGES                                                                       \
	(FILE_WRITE_DATA | FILE_APPEND_DATA | FILE_WRITE_EA | FILE_WRITE_ATTRIBUTES | \
	    DELETE | WRITE_DAC | WRITE_OWNER)
/* Of the directory it lies in: a DLL or a ".local" beside it is loaded with it. */
#define CHANGES_BESIDE                                                        \
	(FILE_ADD_FILE | FILE_ADD_SUBDIRECTORY | FILE_DELETE_CHILD | DELETE | \
	    WRITE_DAC | WRITE_OWNER)
/* Of those above, where new things change nothing that is there (C:\ lets anybody). */
#define CHANGES_ABOVE (FILE_DELETE_CHILD | DELETE | WRITE_DAC | WRITE_OWNER)

#define DEPTH_MAX 8

static HANDLE
open_as(const wchar_t *path, DWORD access, DWORD flags)
{
	return CreateFileW(path, access,
	    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL, OPEN_EXISTING,
	    FILE_FLAG_BACKUP_SEMANTICS | flags, NULL);
}

/* ---------------------------------------------------------- our directory -- */

/* Make it as it should be from the first moment: 1, 0 if there is one, -1. */
static int
make(const char *dir, const wchar_t *path, struct err *err)
{
	SECURITY_ATTRIBUTES sa = { sizeof(sa), place_acl_private(), FALSE };
	DWORD os = ERROR_SUCCESS;

	if (sa.lpSecurityDescriptor == NULL)
		return winapi_err(err, GetLastError(), "%s", dir);
	if (!CreateDirectoryW(path, &sa))
		os = GetLastError();
	LocalFree(sa.lpSecurityDescriptor);
	if (os == ERROR_SUCCESS)
		return 1;
	if (os == ERROR_ALREADY_EXISTS)
		return 0;
	if (os == ERROR_ACCESS_DENIED || os == ERROR_INVALID_OWNER)
		return err_set(err, ERR_DENIED,
		    "%s: only an administrator can make it (an elevated shell, or "
		    "--state)",
		    dir);
	return winapi_err(err, os, "%s", dir);
}

struct walk {
	const char *dir;
	int depth;
};

static int
check_content(void *arg, const char *name, struct err *err)
{
	const struct walk *w = arg;
	char path[PLACE_PATH_MAX], who[PLACE_ACL_WHO_MAX];
	struct walk below = { path, w->depth + 1 };
	BY_HANDLE_FILE_INFORMATION info;
	enum place_acl_end end;
	wchar_t *wide;
	HANDLE h;
	int rc;

	if (snprintf(path, sizeof(path), "%s\\%s", w->dir, name) >= (int)sizeof(path) ||
	    (wide = winapi_path(path)) == NULL)
		return err_set(err, ERR_LIMIT, "%s\\%s: path too long", w->dir, name);
	h = open_as(
	    wide, READ_CONTROL | FILE_READ_ATTRIBUTES, FILE_FLAG_OPEN_REPARSE_POINT);
	free(wide);
	if (h == INVALID_HANDLE_VALUE)
		return winapi_err(err, GetLastError(), "%s", path);
	rc = place_acl_look(h, CHANGES, PLACE_ACL_OWN, &end, who, err);
	if (rc == 0 && !GetFileInformationByHandle(h, &info))
		rc = winapi_err(err, GetLastError(), "%s", path);
	CloseHandle(h);
	if (rc != 0)
		return -1;
	if (end == PLACE_ACL_OWNER)
		return err_set(err, ERR_DENIED,
		    "%s belongs to %s: others had put something there; look, remove it, "
		    "try again",
		    path, who);
	/* A hard link has the owner of the file that it leads to, and needs no right to
	 * it. */
	if ((info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 ||
	    ((info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0 &&
		info.nNumberOfLinks > 1))
		return err_set(err, ERR_DENIED, "%s is a link; remove it", path);
	if (end == PLACE_ACL_OTHERS)
		return err_set(err, ERR_DENIED,
		    "%s: %s may change it; look what is in it, then remove it or take "
		    "that right away, try again",
		    path, who);
	if ((info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
		return 0;
	if (below.depth > DEPTH_MAX)
		return err_set(err, ERR_LIMIT, "%s: directories too deep", path);
	return file_list(path, check_content, &below, err);
}

/* It is an administrator's: its list is ours from now on, and so must be what it holds.
 */
static int
repair(const char *dir, const wchar_t *path, struct err *err)
{
	struct walk w = { dir, 0 };
	HANDLE h = open_as(
	    path, READ_CONTROL | WRITE_DAC | WRITE_OWNER, FILE_FLAG_OPEN_REPARSE_POINT);
	DWORD os;
	int rc = -1;

	if (h == INVALID_HANDLE_VALUE)
		return winapi_err(err, GetLastError(), "%s: access list", dir);
	/* Nobody adds anything from here on, and what a link leads to is not touched. */
	os = place_acl_close(h);
	if (os == ERROR_SUCCESS && (rc = file_list(dir, check_content, &w, err)) == 0)
		os = place_acl_set_private(h);
	CloseHandle(h);
	if (os != ERROR_SUCCESS)
		return winapi_err(err, os, "%s: access list", dir);
	return rc;
}

/*
 * What is there: 0 if it is right, 1 if it can be put right, 2 if it is others', -1.
 * `who` is whose it is or who has access; `writer` who can put something there, or "".
 */
static int
look(const char *dir, const wchar_t *path, char who[PLACE_ACL_WHO_MAX],
    char writer[PLACE_ACL_WHO_MAX], struct err *err)
{
	HANDLE h = open_as(
	    path, READ_CONTROL | FILE_READ_ATTRIBUTES, FILE_FLAG_OPEN_REPARSE_POINT);
	BY_HANDLE_FILE_INFORMATION info;
	enum place_acl_end end;
	int rc = -1;

	if (h == INVALID_HANDLE_VALUE)
		return winapi_err(err, GetLastError(), "%s", dir);
	if (!GetFileInformationByHandle(h, &info))
		winapi_err(err, GetLastError(), "%s", dir);
	else if ((info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0)
		err_set(err, ERR_DENIED, "%s is a link to elsewhere; remove it", dir);
	else if ((info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) == 0)
		err_set(err, ERR_DENIED, "%s is no directory; remove it", dir);
	else if (place_acl_look(h, CHANGES_BESIDE, PLACE_ACL_BELOW, &end, writer, err) ==
		     0 &&
		 place_acl_look(h, FILE_ALL_ACCESS, PLACE_ACL_BELOW, &end, who, err) == 0)
		rc = end == PLACE_ACL_OWNER ? 2
		     : end == PLACE_ACL_OTHERS || !place_acl_protected(h) ||
			     !place_acl_official(h)
			 ? 1
			 : 0;
	CloseHandle(h);
	return rc;
}

int
place_make_private(const char *dir, char note[PLACE_NOTE_MAX], struct err *err)
{
	char who[PLACE_ACL_WHO_MAX], writer[PLACE_ACL_WHO_MAX];
	wchar_t *path = winapi_path(dir);
	int rc = -1, is;

	note[0] = '\0';
	if (path == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if ((rc = make(dir, path, err)) != 0)
		goto out;
	rc = -1;
	if ((is = look(dir, path, who, writer, err)) < 0)
		goto out;
	if (is == 2) {
		/*
		 * Only an empty one goes.  Whoever holds a handle of it holds what is no
		 * more.
		 */
		if (RemoveDirectoryW(path) && (rc = make(dir, path, err)) != 0)
			goto out;
		rc = err_set(err, ERR_DENIED,
		    "%s belongs to %s, not to administrators, and is not empty: "
		    "look what is in it, remove it, try again",
		    dir, who);
		goto out;
	}
	rc = is == 1 ? repair(dir, path, err) : 0;
	if (is == 1 && rc == 0 && writer[0] != '\0')
		(void)snprintf(note, PLACE_NOTE_MAX,
		    "%s: %s could write there until now: look whether "
		    "agent.conf says what you wrote",
		    dir, writer);
out:
	free(path);
	return rc < 0 ? -1 : 0;
}

int
place_private(const char *dir, struct err *err)
{
	char who[PLACE_ACL_WHO_MAX], writer[PLACE_ACL_WHO_MAX];
	wchar_t *path = winapi_path(dir);
	int is;

	if (path == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	is = look(dir, path, who, writer, err);
	free(path);
	if (is < 0)
		return -1;
	if (is == 2)
		return err_set(
		    err, ERR_DENIED, "%s belongs to %s, not to administrators", dir, who);
	if (is == 1 && who[0] != '\0')
		return err_set(err, ERR_DENIED,
		    "%s: %s has access to it, and the private key lies there", dir, who);
	return 0;
}

/* ---------------------------------------------------------------- a script -- */

/* `path` or one above it; closes nothing that it did not open. */
static int
check(const wchar_t *path, DWORD mask, struct err *err)
{
	HANDLE h = open_as(path, READ_CONTROL, FILE_FLAG_OPEN_REPARSE_POINT);
	char who[PLACE_ACL_WHO_MAX], *utf8 = winapi_utf8(path);
	const char *name = utf8 != NULL ? utf8 : "?";
	enum place_acl_end end = PLACE_ACL_FINE;
	int rc = -1;

	if (h == INVALID_HANDLE_VALUE) {
		winapi_err(err, GetLastError(), "%s", name);
	} else if (place_acl_look(h, mask, 0, &end, who, err) == 0) {
		if (end == PLACE_ACL_OWNER)
			err_set(err, ERR_DENIED, "%s belongs to %s", name, who);
		else if (end == PLACE_ACL_OTHERS)
			err_set(err, ERR_DENIED, "%s may be changed by %s", name, who);
		else
			rc = 0;
	}
	if (h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
	free(utf8);
	return rc;
}

/* Where `path` ends, without "\\?\", which cmd.exe does not take. */
static wchar_t *
final_path(const char *path, struct err *err)
{
	wchar_t *wide = winapi_path(path), *out = NULL;
	BY_HANDLE_FILE_INFORMATION info;
	HANDLE h = INVALID_HANDLE_VALUE;
	DWORD n;

	if (wide == NULL || (out = calloc(MAX_PATH + 8, sizeof(*out))) == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
		goto out;
	}
	h = open_as(wide, READ_CONTROL | FILE_READ_ATTRIBUTES, 0);
	if (h == INVALID_HANDLE_VALUE || !GetFileInformationByHandle(h, &info)) {
		winapi_err(err, GetLastError(), "%s", path);
		goto out;
	}
	n = GetFinalPathNameByHandleW(h, out, MAX_PATH + 8, VOLUME_NAME_DOS);
	if ((info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
		err_set(err, ERR_UNSUPPORTED, "%s: not a file", path);
	else if (n == 0)
		winapi_err(err, GetLastError(), "%s", path);
	else if (n > MAX_PATH + 4)
		err_set(err, ERR_LIMIT, "%s: path too long for a script", path);
	else if (wcsncmp(out, L"\\\\?\\", 4) != 0 || out[5] != L':')
		err_set(err, ERR_DENIED, "%s: not on a drive of this machine", path);
	else
		memmove(out, out + 4, (wcslen(out + 4) + 1) * sizeof(*out));
out:
	if (h != INVALID_HANDLE_VALUE)
		CloseHandle(h);
	free(wide);
	if (err->code == ERR_NONE)
		return out;
	free(out);
	return NULL;
}

static int
is_full(const char *p)
{
	return ((p[0] >= 'A' && p[0] <= 'Z') || (p[0] >= 'a' && p[0] <= 'z')) &&
	       p[1] == ':' && (p[2] == '\\' || p[2] == '/');
}

int
place_trusted(const char *path, char *real, struct err *err)
{
	wchar_t *wide, *slash;
	DWORD mask = CHANGES;
	char *utf8;
	int rc = 0;

	if (!is_full(path))
		return err_set(
		    err, ERR_DENIED, "%s: say the full path, as C:\\...", path);
	if ((wide = final_path(path, err)) == NULL)
		return -1;
	utf8 = winapi_utf8(wide);
	if (utf8 == NULL || strlen(utf8) >= PLACE_PATH_MAX)
		rc = err_set(err, ERR_LIMIT, "%s: path too long", path);
	else
		strcpy(real, utf8);
	while (rc == 0) {
		rc = check(wide, mask, err);
		if (rc != 0 || wcslen(wide) <= 3)
			break;
		slash = wcsrchr(wide, L'\\');
		slash[slash == wide + 2] = L'\0'; /* "C:\" keeps its last one. */
		mask = mask == CHANGES ? CHANGES_BESIDE : CHANGES_ABOVE;
	}
	free(utf8);
	free(wide);
	return rc == 0 ? 0 : err_context(err, "%s: not trusted", path);
}
