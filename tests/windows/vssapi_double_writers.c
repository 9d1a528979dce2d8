/* The writers that the double knows: a database on S: and T:, and one that is elsewhere.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/windows/vssapi_double_parts.h"

struct component {
	const wchar_t *path, *name;
	int selectable;
	const wchar_t *files[2];
};

static const struct component sql[] = { { L"", L"instance", 1, { NULL, NULL } },
	{ L"instance", L"db", 1, { L"S:\\", L"T:\\" } },
	{ L"instance", L"log", 0, { L"T:\\", NULL } } };
static const struct component away[] = { { L"", L"all", 0, { L"C:\\", NULL } } };

static const struct {
	VSS_ID instance, id;
	const wchar_t *name;
	VSS_SOURCE_TYPE source;
	UINT count;
	const struct component *components;
} writers[VSSD_WRITERS] = {
	{ { 0x11111111, 1, 1, { 1 } },
	    { 0xA65FAA63, 0x5EA8, 0x4EBC,
		{ 0x9D, 0xBD, 0xA0, 0xC4, 0xDB, 0x26, 0x91, 0x2A } },
	    L"SqlServerWriter", VSS_ST_TRANSACTEDDB, 3, sql },
	{ { 0x22222222, 2, 2, { 2 } }, { 0x33333333, 3, 3, { 3 } }, L"Away Writer",
	    VSS_ST_OTHER, 1, away },
};

/* One of writer, component, files: what it is of, and its references. */
struct object {
	const vssd_slot *table;
	LONG references;
	unsigned writer, component, file;
};

static vssd_slot examine_table[16], component_table[16], filedesc_table[8];

static ULONG WINAPI
release(void *self)
{
	struct object *o = self;
	LONG left = InterlockedDecrement(&o->references);

	if (left == 0) {
		vssd.objects--;
		free(o);
	}
	return (ULONG)left;
}

static HRESULT
object(const vssd_slot *table, unsigned writer, unsigned of, unsigned file, void **out)
{
	struct object *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return E_OUTOFMEMORY;
	*o = (struct object){ table, 1, writer, of, file };
	vssd.objects++;
	*out = o;
	return S_OK;
}

static HRESULT WINAPI
get_path(void *self, BSTR *out)
{
	const struct object *o = self;
	HRESULT hr = vssd_enter("GetPath");

	if (FAILED(hr))
		return hr;
	*out = SysAllocString(writers[o->writer].components[o->component].files[o->file]);
	return *out != NULL ? S_OK : E_OUTOFMEMORY;
}

static HRESULT WINAPI
get_alternate(void *self, BSTR *out)
{
	(void)self;
	*out = NULL;
	return vssd_enter("GetAlternateLocation");
}

static HRESULT WINAPI
get_recursive(void *self, boolean *out)
{
	(void)self;
	*out = TRUE;
	return vssd_enter("GetRecursive");
}

static HRESULT WINAPI
get_info(void *self, struct vssd_info **out)
{
	const struct object *o = self;
	const struct component *c = &writers[o->writer].components[o->component];
	HRESULT hr = vssd_enter("GetComponentInfo");
	struct vssd_info *info;

	if (FAILED(hr))
		return hr;
	if ((info = calloc(1, sizeof(*info))) == NULL)
		return E_OUTOFMEMORY;
	info->type = VSS_CT_DATABASE;
	info->logical_path = SysAllocString(c->path);
	info->name = SysAllocString(c->name);
	info->selectable = (BYTE)(c->selectable != 0);
	info->databases = (UINT)((c->files[0] != NULL) + (c->files[1] != NULL));
	vssd.loans++;
	*out = info;
	return S_OK;
}

static HRESULT WINAPI
free_info(void *self, struct vssd_info *info)
{
	(void)self;
	SysFreeString(info->logical_path);
	SysFreeString(info->name);
	free(info);
	vssd.loans--;
	return S_OK;
}

static HRESULT WINAPI
get_file(void *self, UINT i, void **out)
{
	const struct object *o = self;
	HRESULT hr = vssd_enter("GetDatabaseFile");

	if (SUCCEEDED(hr) &&
	    (i > 1 || writers[o->writer].components[o->component].files[i] == NULL))
		hr = E_INVALIDARG;
	return FAILED(hr) ? hr : object(filedesc_table, o->writer, o->component, i, out);
}

static HRESULT WINAPI
get_identity(void *self, VSS_ID *instance, VSS_ID *id, BSTR *name, VSS_USAGE_TYPE *usage,
    VSS_SOURCE_TYPE *source)
{
	const struct object *o = self;
	HRESULT hr = vssd_enter("GetIdentity");

	if (FAILED(hr))
		return hr;
	*instance = writers[o->writer].instance;
	*id = writers[o->writer].id;
	*name = SysAllocString(writers[o->writer].name);
	*usage = VSS_UT_USERDATA;
	*source = writers[o->writer].source;
	return S_OK;
}

static HRESULT WINAPI
get_counts(void *self, UINT *include, UINT *exclude, UINT *components)
{
	const struct object *o = self;
	HRESULT hr = vssd_enter("GetFileCounts");

	*include = *exclude = 0;
	*components = writers[o->writer].count;
	return hr;
}

static HRESULT WINAPI
get_component(void *self, UINT i, void **out)
{
	const struct object *o = self;
	HRESULT hr = vssd_enter("GetComponent");

	if (SUCCEEDED(hr) && i >= writers[o->writer].count)
		hr = E_INVALIDARG;
	return FAILED(hr) ? hr : object(component_table, o->writer, i, 0, out);
}

HRESULT
vssd_writer(unsigned i, VSS_ID *instance, void **out)
{
	vssd_table(examine_table, 16, release);
	vssd_table(component_table, 16, release);
	vssd_table(filedesc_table, 8, release);
	VSSD_PUT(examine_table, IVssExamineWriterMetadata, GetIdentity, get_identity);
	VSSD_PUT(examine_table, IVssExamineWriterMetadata, GetFileCounts, get_counts);
	VSSD_PUT(examine_table, IVssExamineWriterMetadata, GetComponent, get_component);
	VSSD_PUT(component_table, IVssWMComponent, GetComponentInfo, get_info);
	VSSD_PUT(component_table, IVssWMComponent, FreeComponentInfo, free_info);
	VSSD_PUT(component_table, IVssWMComponent, GetDatabaseFile, get_file);
	VSSD_PUT(filedesc_table, IVssWMFiledesc, GetPath, get_path);
	VSSD_PUT(filedesc_table, IVssWMFiledesc, GetRecursive, get_recursive);
	VSSD_PUT(filedesc_table, IVssWMFiledesc, GetAlternateLocation, get_alternate);
	*instance = writers[i].instance;
	return object(examine_table, i, 0, 0, out);
}

const VSS_ID *
vssd_writer_instance(unsigned i)
{
	return &writers[i].instance;
}

const VSS_ID *
vssd_writer_class(unsigned i)
{
	return &writers[i].id;
}

const wchar_t *
vssd_writer_name(unsigned i)
{
	return writers[i].name;
}

int
vssd_has_component(const VSS_ID *instance, const wchar_t *path, const wchar_t *name,
    int *may_be_explicit)
{
	for (unsigned i = 0; i < VSSD_WRITERS; i++)
		for (UINT k = 0; k < writers[i].count; k++) {
			const struct component *c = &writers[i].components[k];

			if (memcmp(instance, &writers[i].instance, sizeof(*instance)) !=
				0 ||
			    wcscmp(c->path, path != NULL ? path : L"") != 0 ||
			    wcscmp(c->name, name) != 0)
				continue;
			*may_be_explicit = c->selectable || c->path[0] == 0;
			return 1;
		}
	return 0;
}
