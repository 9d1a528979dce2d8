/* What writers say of themselves (IVssExamineWriterMetadata), and whose volumes files are
 * on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss_com_parts_win32.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

#define PLACES_MAX 256u

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

/* Where the files are to be read: at the alternate location, if there is one. */
static HRESULT
take_file(struct vss_com *com, struct vss_component *c, IVssWMFiledesc *d)
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
		}
		free(path);
	}
	(void)IVssWMFiledesc_Release(d);
	return hr;
}

static HRESULT
take_files(struct vss_com *com, struct vss_component *c, IVssWMComponent *m,
    const VSS_COMPONENTINFO *info)
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
				hr = take_file(com, c, d);
		}
	return hr;
}

static HRESULT
take_component(struct vss_com *com, struct vss_component *c, IVssWMComponent *m)
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
						: take_files(com, c, m, info);
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
	for (UINT i = 0; SUCCEEDED(hr) && i < components; i++) {
		IVssWMComponent *one = NULL;

		hr = IVssExamineWriterMetadata_GetComponent(m, i, &one);
		if (FAILED(hr))
			break;
		out->count = i + 1;
		hr = take_component(com, &out->components[i], one);
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
	wchar_t full[1024], root[1024], name[64];
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
