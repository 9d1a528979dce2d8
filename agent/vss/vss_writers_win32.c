/* What writers say of themselves (IVssExamineWriterMetadata), and whose volumes files are
 * on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss_com_parts_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define PLACES_MAX 256u
#define VOLUME_NAME_LEN 49 /* "\\?\Volume{...}\" */

/*
 * The volume of a path of a writer; "" if it is on none here.  The system's own writer
 * names a hundred thousand files: where a drive has no volumes mounted on it, its letter
 * tells.
 */
static void
volume_of(struct vss_com *c, const char *path, char *out, size_t cap)
{
	wchar_t root[] = L"A:\\", full[1024], below[1024];
	struct err ignored = ERR_INIT;
	unsigned letter;
	HANDLE h;

	out[0] = '\0';
	if (vss_com_expand(path, full, 1024) != 0)
		return;
	letter = full[1] == L':' ? (unsigned)((full[0] | 32) - L'a') : 26;
	if (letter < 26 && c->drives[letter].plain == 0) {
		root[0] = (wchar_t)(L'A' + letter);
		h = FindFirstVolumeMountPointW(root, below, 1024);
		c->drives[letter].plain =
		    h == INVALID_HANDLE_VALUE && GetLastError() == ERROR_NO_MORE_FILES &&
			    vss_com_volume(path, c->drives[letter].name,
				sizeof(c->drives[letter].name), &ignored) == 0
			? 1
			: -1;
		if (h != INVALID_HANDLE_VALUE)
			(void)FindVolumeMountPointClose(h);
	}
	if (letter < 26 && c->drives[letter].plain == 1)
		(void)snprintf(out, cap, "%s", c->drives[letter].name);
	else if (vss_com_volume(path, out, cap, &ignored) != 0)
		out[0] = '\0';
}

/*
 * The volume that a path leads to through links; "": there is no such path, or no way to
 * tell.  Only volumes mounted in directories are seen by GetVolumePathNameW(): a link to
 * a directory of another volume is not (api/fileapi/nf-fileapi-getvolumepathnamew).
 */
static void
volume_behind(struct vss_com *c, const char *path, char *out, size_t cap)
{
	wchar_t full[1024], real[1024];
	HANDLE h = INVALID_HANDLE_VALUE;
	struct err ignored = ERR_INIT;
	char *name = NULL;
	DWORD n = 0;

	if (strcmp(path, c->last_path) == 0) {
		(void)snprintf(out, cap, "%s", c->last_volume);
		return;
	}
	if (vss_com_expand(path, full, 1024) == 0)
		h = CreateFileW(full, 0,
		    FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, NULL,
		    OPEN_EXISTING, FILE_FLAG_BACKUP_SEMANTICS, NULL);
	if (h != INVALID_HANDLE_VALUE) {
		n = GetFinalPathNameByHandleW(h, real, 1024, VOLUME_NAME_GUID);
		(void)CloseHandle(h);
	}
	if (n >= VOLUME_NAME_LEN && n < 1024 &&
	    wcsncmp(real, L"\\\\?\\Volume{", 11) == 0 &&
	    real[VOLUME_NAME_LEN - 1] == L'\\') {
		real[VOLUME_NAME_LEN] = 0;
		name = winapi_utf8(real);
	}
	if (name == NULL || vss_com_volume(name, out, cap, &ignored) != 0)
		out[0] = '\0';
	free(name);
	(void)snprintf(c->last_volume, sizeof(c->last_volume), "%.63s", out);
	(void)snprintf(c->last_path, sizeof(c->last_path), "%s",
	    strlen(path) < sizeof(c->last_path) ? path : "");
}

/* Note where one volume is mounted: names, behind each a NUL. */
static HRESULT
note_mounts(struct vss_com *c, const wchar_t *volume, const wchar_t *names)
{
	char *guid = winapi_utf8(volume), name[64];
	struct err ignored = ERR_INIT;
	struct vss_com_mount *more;
	HRESULT hr = guid != NULL ? S_OK : E_OUTOFMEMORY;

	/* A drive without a medium, or one that went: nothing lies on it. */
	if (guid == NULL || vss_com_volume(guid, name, sizeof(name), &ignored) != 0)
		names = L"";
	free(guid);

	for (; SUCCEEDED(hr) && names[0] != 0; names += wcslen(names) + 1) {
		more = realloc(c->mounts, ((size_t)c->mounts_count + 1) * sizeof(*more));
		if (more == NULL) {
			hr = E_OUTOFMEMORY;
			break;
		}
		c->mounts = more;
		more += c->mounts_count;
		(void)snprintf(more->name, sizeof(more->name), "%s", name);
		if ((more->path = winapi_utf8(names)) == NULL)
			hr = E_OUTOFMEMORY;
		else
			c->mounts_count++;
	}
	return hr;
}

static HRESULT
find_mounts(struct vss_com *c)
{
	wchar_t volume[64], names[4096];
	HANDLE h = FindFirstVolumeW(volume, 64);
	HRESULT hr = S_OK;
	DWORD len;

	if (c->mounts_known || h == INVALID_HANDLE_VALUE)
		goto out;
	do {
		if (GetVolumePathNamesForVolumeNameW(volume, names, 4096, &len))
			hr = note_mounts(c, volume, names);
		else if (GetLastError() == ERROR_MORE_DATA)
			hr = E_UNEXPECTED;
	} while (SUCCEEDED(hr) && FindNextVolumeW(h, volume, 64));
out:
	if (h != INVALID_HANDLE_VALUE)
		(void)FindVolumeClose(h);
	c->mounts_known = SUCCEEDED(hr);
	return hr;
}

/* A place where the component has files; each once. */
static HRESULT
add_place(struct vss_component *c, const char *place)
{
	char **more;

	for (unsigned i = 0; i < c->files; i++)
		if (strcmp(c->file[i], place) == 0)
			return S_OK;
	if (c->files == PLACES_MAX)
		return E_UNEXPECTED;
	if ((more = realloc(c->file, ((size_t)c->files + 1) * sizeof(*more))) == NULL)
		return E_OUTOFMEMORY;
	c->file = more;
	if ((c->file[c->files] = _strdup(place)) == NULL)
		return E_OUTOFMEMORY;
	c->files++;
	return S_OK;
}

/* All of the tree at `path`: also what is mounted in it. */
static HRESULT
add_mounted(struct vss_com *com, struct vss_component *c, const char *path)
{
	wchar_t full[1024];
	char *root = NULL;
	size_t len;
	HRESULT hr = find_mounts(com);

	if (SUCCEEDED(hr) && vss_com_expand(path, full, 1024) == 0 &&
	    (root = winapi_utf8(full)) == NULL)
		hr = E_OUTOFMEMORY;
	if (FAILED(hr) || root == NULL)
		return hr;
	len = strlen(root);
	while (len > 0 && root[len - 1] == '\\')
		len--;
	for (unsigned i = 0; SUCCEEDED(hr) && i < com->mounts_count; i++)
		if (_strnicmp(com->mounts[i].path, root, len) == 0 &&
		    com->mounts[i].path[len] == '\\' &&
		    com->mounts[i].path[len + 1] != '\0')
			hr = add_place(c, com->mounts[i].name);
	free(root);
	return hr;
}

/* A database's logs are cut by what is found here: nothing is taken for granted. */
static HRESULT
add_exactly(
    struct vss_com *com, struct vss_component *c, IVssWMFiledesc *d, const char *path)
{
	boolean recursive = FALSE;
	char place[512];
	HRESULT hr = IVssWMFiledesc_GetRecursive(d, &recursive);

	if (FAILED(hr))
		return hr;
	volume_behind(com, path, place, sizeof(place));
	if (place[0] != '\0')
		hr = add_place(c, place);
	return SUCCEEDED(hr) && recursive ? add_mounted(com, c, path) : hr;
}

/* Where the files are to be read: at the alternate location, if there is one. */
static HRESULT
take_file(struct vss_com *com, struct vss_component *c, IVssWMFiledesc *d, int exactly)
{
	char place[512], *path;
	BSTR text = NULL;
	HRESULT hr = IVssWMFiledesc_GetAlternateLocation(d, &text);

	if (SUCCEEDED(hr) && (text == NULL || text[0] == 0)) {
		SysFreeString(text);
		text = NULL;
		hr = IVssWMFiledesc_GetPath(d, &text);
	}
	if (SUCCEEDED(hr)) {
		path = vss_com_text(text);
		hr = E_OUTOFMEMORY;
		if (path != NULL) {
			volume_of(com, path, place, sizeof(place));
			hr = add_place(c, place);
			if (SUCCEEDED(hr) && exactly)
				hr = add_exactly(com, c, d, path);
		}
		free(path);
	}
	(void)IVssWMFiledesc_Release(d);
	return hr;
}

static HRESULT
take_files(struct vss_com *com, struct vss_component *c, IVssWMComponent *m,
    const VSS_COMPONENTINFO *info, int exactly)
{
	const UINT counts[3] = { info->cFileCount, info->cDatabases, info->cLogFiles };
	HRESULT hr = S_OK;

	for (int kind = 0; kind < 3; kind++)
		for (UINT i = 0; SUCCEEDED(hr) && i < counts[kind]; i++) {
			IVssWMFiledesc *d = NULL;

			hr = kind == 0	 ? IVssWMComponent_GetFile(m, i, &d)
			     : kind == 1 ? IVssWMComponent_GetDatabaseFile(m, i, &d)
					 : IVssWMComponent_GetDatabaseLogFile(m, i, &d);
			if (SUCCEEDED(hr))
				hr = take_file(com, c, d, exactly);
		}
	return hr;
}

static HRESULT
take_component(
    struct vss_com *com, struct vss_component *c, IVssWMComponent *m, int exactly)
{
	const VSS_COMPONENTINFO *info = NULL;
	HRESULT hr = IVssWMComponent_GetComponentInfo(m, (PVSSCOMPONENTINFO *)&info);

	if (FAILED(hr))
		return hr;
	c->path =
	    winapi_utf8(info->bstrLogicalPath != NULL ? info->bstrLogicalPath : L"");
	c->name =
	    winapi_utf8(info->bstrComponentName != NULL ? info->bstrComponentName : L"");
	c->type = (int)info->type;
	c->selectable = info->bSelectable != 0;
	hr = c->path == NULL || c->name == NULL ? E_OUTOFMEMORY
						: take_files(com, c, m, info, exactly);
	(void)IVssWMComponent_FreeComponentInfo(m, (PVSSCOMPONENTINFO)info);
	return hr;
}

static HRESULT
take_writer(struct vss_com *com, struct vss_writer *out, IVssExamineWriterMetadata *m)
{
	VSS_ID instance, id;
	BSTR name = NULL;
	VSS_USAGE_TYPE usage = VSS_UT_UNDEFINED;
	VSS_SOURCE_TYPE source = VSS_ST_UNDEFINED;
	UINT include = 0, exclude = 0, components = 0;
	int exactly;
	HRESULT hr = IVssExamineWriterMetadata_GetIdentity(
	    m, &instance, &id, &name, &usage, &source);

	if (FAILED(hr))
		return hr;
	memcpy(&out->instance, &instance, sizeof(instance));
	memcpy(&out->id, &id, sizeof(id));
	out->usage = (int)usage;
	out->source = (int)source;
	if ((out->name = vss_com_text(name)) == NULL)
		return E_OUTOFMEMORY;
	hr = IVssExamineWriterMetadata_GetFileCounts(m, &include, &exclude, &components);
	if (FAILED(hr))
		return hr;
	out->components = calloc((size_t)components + 1, sizeof(*out->components));
	if (out->components == NULL)
		return E_OUTOFMEMORY;
	/* The system's own have a hundred thousand files, and no logs that are cut. */
	exactly = usage != VSS_UT_BOOTABLESYSTEMSTATE || vss_is_database(out);
	for (UINT i = 0; SUCCEEDED(hr) && i < components; i++) {
		IVssWMComponent *one = NULL;

		hr = IVssExamineWriterMetadata_GetComponent(m, i, &one);
		if (FAILED(hr))
			break;
		out->count = i + 1;
		hr = take_component(com, &out->components[i], one, exactly);
		(void)IVssWMComponent_Release(one);
	}
	return hr;
}

vss_code
vss_com_writer(void *arg, unsigned i, struct vss_writer *out)
{
	struct vss_com *c = arg;
	IVssExamineWriterMetadata *m = NULL;
	VSS_ID instance;
	HRESULT hr = IVssBackupComponents_GetWriterMetadata(c->backup, i, &instance, &m);

	if (FAILED(hr))
		return (vss_code)hr;
	hr = take_writer(c, out, m);
	(void)IVssExamineWriterMetadata_Release(m);
	return (vss_code)hr;
}

/* ------------------------------------------------------------------- volumes -- */

/* "C:\" of "\\.\C:", "C:" ...; the rest as it is.  Expanded, for writers use variables.
 */
int
vss_com_expand(const char *path, wchar_t *out, size_t cap)
{
	const char *p = strncmp(path, "\\\\.\\", 4) == 0 ? path + 4 : path;
	wchar_t *wide = winapi_wide(p);
	DWORD n = 0;

	if (wide != NULL)
		n = ExpandEnvironmentStringsW(wide, out, (DWORD)cap - 2);
	free(wide);
	if (n <= 1 || n > cap - 2)
		return -1;
	/* Without it "C:" is the drive's current directory. */
	if (wcslen(out) == 2 && out[1] == L':')
		wcscat(out, L"\\");
	return 0;
}

int
vss_com_volume(const char *path, char *out, size_t cap, struct err *err)
{
	wchar_t full[1024], root[1024], name[64], unique[64];
	const wchar_t *use = name;
	char *utf8;
	size_t len;

	if (vss_com_expand(path, full, 1024) != 0)
		return err_set(err, ERR_NOTFOUND, "%.100s: no path", path);
	/* A volume's own name is understood with a '\\' at its end only. */
	len = wcslen(full);
	if (wcsncmp(full, L"\\\\?\\Volume{", 11) == 0 && full[len - 1] == L'}')
		wcscat(full, L"\\");
	if (!GetVolumePathNameW(full, root, 1024))
		return winapi_err(err, GetLastError(), "%.100s: its volume", path);
	/* A drive that the mount manager does not know stays what it is called. */
	if (!GetVolumeNameForVolumeMountPointW(root, name, 64)) {
		root[0] = root[0] >= L'a' && root[0] <= L'z' ? root[0] - 32 : root[0];
		use = root;
	} else if (GetVolumeNameForVolumeMountPointW(name, unique, 64)) {
		/* "A volume can have more than one" (naming-a-volume): the first of all.
		 */
		use = unique;
	}
	if (wcsncmp(use, L"\\\\", 2) == 0 && wcsncmp(use, L"\\\\?\\", 4) != 0)
		return err_set(err, ERR_UNSUPPORTED, "%.100s: on another machine", path);
	utf8 = winapi_utf8(use);
	if (utf8 == NULL || strlen(utf8) >= cap) {
		free(utf8);
		return err_set(err, ERR_NOMEM, "%.100s: its volume's name", path);
	}
	(void)snprintf(out, cap, "%s", utf8);
	free(utf8);
	return 0;
}

int
vss_com_boots(const char *volume)
{
	wchar_t windows[MAX_PATH];
	struct err ignored = ERR_INIT;
	char own[512], *utf8;
	int rc = 0;

	if (GetSystemWindowsDirectoryW(windows, MAX_PATH) == 0 ||
	    (utf8 = winapi_utf8(windows)) == NULL)
		return 0;
	if (vss_com_volume(utf8, own, sizeof(own), &ignored) == 0)
		rc = strcmp(own, volume) == 0;
	free(utf8);
	return rc;
}
