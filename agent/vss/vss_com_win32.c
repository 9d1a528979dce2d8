#include "agent/vss/vss_com.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss_com_parts_win32.h"
#include "agent/vss/vss_slots.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

/* What the compiler takes from the headers is what the documentation says. */
#define HOLD_AGAINST(interface, slot, method)                                        \
	_Static_assert(offsetof(interface##Vtbl, method) == (slot) * sizeof(void *), \
	    #interface "::" #method);
VSS_SLOTS_BACKUP(HOLD_AGAINST)
VSS_SLOTS_EXAMINE(HOLD_AGAINST)
VSS_SLOTS_COMPONENT(HOLD_AGAINST)
VSS_SLOTS_FILEDESC(HOLD_AGAINST)
VSS_SLOTS_ASYNC(HOLD_AGAINST)
VSS_SLOTS_ENUM(HOLD_AGAINST)
_Static_assert(
    sizeof(IVssBackupComponentsVtbl) == VSS_SLOTS_BACKUP_COUNT * sizeof(void *),
    "IVssBackupComponents has as many methods as documented");

int
vss_com_new(struct vss_com **out, struct err *err)
{
	struct vss_com *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "no memory for VSS");
	/* Never from the program's own directory or the path. */
	c->dll = LoadLibraryExW(L"vssapi.dll", NULL, LOAD_LIBRARY_SEARCH_SYSTEM32);
	if (c->dll == NULL) {
		(void)winapi_err(err, GetLastError(),
		    "VSS: vssapi.dll: this system has no Volume Shadow Copy Service");
		err->code = ERR_UNSUPPORTED;
		free(c);
		return -1;
	}
	c->create = (HRESULT(STDAPICALLTYPE *)(IVssBackupComponents **))(
	    void (*)(void))GetProcAddress(c->dll, "CreateVssBackupComponentsInternal");
	c->free_properties = (void(APIENTRY *)(VSS_SNAPSHOT_PROP *))(
	    void (*)(void))GetProcAddress(c->dll, "VssFreeSnapshotPropertiesInternal");
	if (c->create == NULL || c->free_properties == NULL) {
		(void)err_set(err, ERR_UNSUPPORTED,
		    "VSS: vssapi.dll has no CreateVssBackupComponentsInternal or "
		    "VssFreeSnapshotPropertiesInternal");
		vss_com_free(c);
		return -1;
	}
	*out = c;
	return 0;
}

static void
com_close(void *arg)
{
	struct vss_com *c = arg;

	if (c->async != NULL)
		(void)IVssAsync_Release(c->async);
	c->async = NULL;
	if (c->backup != NULL && c->has_status)
		(void)IVssBackupComponents_FreeWriterStatus(c->backup);
	if (c->backup != NULL && c->has_metadata)
		(void)IVssBackupComponents_FreeWriterMetadata(c->backup);
	if (c->backup != NULL)
		(void)IVssBackupComponents_Release(c->backup);
	c->backup = NULL;
	c->has_metadata = c->has_status = 0;
}

void
vss_com_free(struct vss_com *c)
{
	if (c == NULL)
		return;
	com_close(c);
	for (unsigned i = 0; i < c->mounts_count; i++)
		free(c->mounts[i].path);
	free(c->mounts);
	/* vssapi.dll stays: its threads may still be about to end. */
	free(c);
}

char *
vss_com_text(BSTR text)
{
	char *out = winapi_utf8(text != NULL ? text : L"");

	SysFreeString(text);
	return out;
}

/* ------------------------------------------------------------------ the calls -- */

static vss_code
com_create(void *arg)
{
	struct vss_com *c = arg;

	com_close(c);
	return (vss_code)c->create(&c->backup);
}

static vss_code
com_init(void *arg)
{
	struct vss_com *c = arg;

	return (vss_code)IVssBackupComponents_InitializeForBackup(c->backup, NULL);
}

static vss_code
com_set_state(void *arg, int bootable, int copy)
{
	struct vss_com *c = arg;

	/* Components are chosen one by one; files are never backed up in part. */
	return (vss_code)IVssBackupComponents_SetBackupState(c->backup, TRUE,
	    (boolean)(bootable != 0), copy ? VSS_BT_COPY : VSS_BT_FULL, FALSE);
}

static vss_code
com_set_context(void *arg, uint32_t context)
{
	struct vss_com *c = arg;

	return (vss_code)IVssBackupComponents_SetContext(c->backup, (LONG)context);
}

static vss_code
com_start(void *arg, enum vss_async what)
{
	struct vss_com *c = arg;
	HRESULT hr = E_UNEXPECTED;

	if (c->async != NULL)
		(void)IVssAsync_Release(c->async);
	c->async = NULL;
	if (what == VSS_GATHER_STATUS && c->has_status)
		(void)IVssBackupComponents_FreeWriterStatus(c->backup);
	if (what == VSS_GATHER_STATUS)
		c->has_status = 0;
	switch (what) {
	case VSS_GATHER_METADATA:
		hr = IVssBackupComponents_GatherWriterMetadata(c->backup, &c->async);
		c->has_metadata = SUCCEEDED(hr);
		break;
	case VSS_PREPARE:
		hr = IVssBackupComponents_PrepareForBackup(c->backup, &c->async);
		break;
	case VSS_DO_SET:
		hr = IVssBackupComponents_DoSnapshotSet(c->backup, &c->async);
		break;
	case VSS_GATHER_STATUS:
		hr = IVssBackupComponents_GatherWriterStatus(c->backup, &c->async);
		c->has_status = SUCCEEDED(hr);
		break;
	case VSS_COMPLETE:
		hr = IVssBackupComponents_BackupComplete(c->backup, &c->async);
		break;
	default:
		break;
	}
	return (vss_code)(SUCCEEDED(hr) && c->async == NULL ? E_UNEXPECTED : hr);
}

static vss_code
com_poll(void *arg, uint32_t ms, vss_code *status)
{
	struct vss_com *c = arg;
	ULONGLONG since = GetTickCount64(), past;
	HRESULT waited = IVssAsync_Wait(c->async, ms), state = E_UNEXPECTED, hr;

	hr = IVssAsync_QueryStatus(c->async, &state, NULL);
	if (FAILED(hr))
		return (vss_code)hr;
	*status = (vss_code)state;
	/* "If an operation fails while being waited on, Wait returns the error." */
	if (FAILED(waited) && state == VSS_S_ASYNC_PENDING)
		return (vss_code)waited;
	past = GetTickCount64() - since;
	if (state == VSS_S_ASYNC_PENDING && past < ms)
		Sleep((DWORD)(ms - past));
	return VSS_OK;
}

static void
com_cancel(void *arg)
{
	struct vss_com *c = arg;

	(void)IVssAsync_Cancel(c->async);
}

static vss_code
com_writers(void *arg, unsigned *count)
{
	struct vss_com *c = arg;

	return (vss_code)IVssBackupComponents_GetWriterMetadataCount(c->backup, count);
}

/* Give the call's two strings as wide ones. */
static vss_code
with_names(struct vss_com *c, const struct vss_writer *w, const struct vss_component *of,
    int succeeded)
{
	wchar_t *path = winapi_wide(of->path), *name = winapi_wide(of->name);
	HRESULT hr = E_OUTOFMEMORY;
	VSS_ID instance, id;

	memcpy(&instance, &w->instance, sizeof(instance));
	memcpy(&id, &w->id, sizeof(id));
	if (path != NULL && name != NULL && succeeded < 0)
		hr = IVssBackupComponents_AddComponent(
		    c->backup, instance, id, (VSS_COMPONENT_TYPE)of->type, path, name);
	else if (path != NULL && name != NULL)
		hr = IVssBackupComponents_SetBackupSucceeded(c->backup, instance, id,
		    (VSS_COMPONENT_TYPE)of->type, path, name, (boolean)succeeded);
	free(path);
	free(name);
	return (vss_code)hr;
}

static vss_code
com_add_component(void *arg, const struct vss_writer *w, const struct vss_component *of)
{
	return with_names(arg, w, of, -1);
}

static vss_code
com_succeeded(
    void *arg, const struct vss_writer *w, const struct vss_component *of, int ok)
{
	return with_names(arg, w, of, ok != 0);
}

static vss_code
com_start_set(void *arg)
{
	struct vss_com *c = arg;
	VSS_ID set;

	return (vss_code)IVssBackupComponents_StartSnapshotSet(c->backup, &set);
}

static vss_code
com_supported(void *arg, const char *volume, int *yes)
{
	struct vss_com *c = arg;
	wchar_t *name = winapi_wide(volume);
	static const VSS_ID any;
	BOOL can = FALSE;
	HRESULT hr = E_OUTOFMEMORY;

	if (name != NULL)
		hr = IVssBackupComponents_IsVolumeSupported(c->backup, any, name, &can);
	free(name);
	*yes = can != FALSE;
	return (vss_code)hr;
}

static vss_code
com_add_volume(void *arg, const char *volume, unsigned i)
{
	struct vss_com *c = arg;
	wchar_t *name = winapi_wide(volume);
	static const VSS_ID any;
	HRESULT hr = E_OUTOFMEMORY;

	if (i >= VSS_VOLUMES_MAX)
		hr = VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED;
	else if (name != NULL)
		hr = IVssBackupComponents_AddToSnapshotSet(
		    c->backup, name, any, &c->copies[i]);
	free(name);
	return (vss_code)hr;
}

static vss_code
com_statuses(void *arg, unsigned *count)
{
	struct vss_com *c = arg;

	return (vss_code)IVssBackupComponents_GetWriterStatusCount(c->backup, count);
}

static vss_code
com_status(void *arg, unsigned i, struct vss_status *out)
{
	struct vss_com *c = arg;
	VSS_ID instance, id;
	BSTR name = NULL;
	VSS_WRITER_STATE state = VSS_WS_UNKNOWN;
	HRESULT failure = S_OK, hr;

	hr = IVssBackupComponents_GetWriterStatus(
	    c->backup, i, &instance, &id, &name, &state, &failure);
	if (FAILED(hr))
		return (vss_code)hr;
	memcpy(&out->instance, &instance, sizeof(instance));
	memcpy(&out->id, &id, sizeof(id));
	out->name = vss_com_text(name);
	out->state = (int)state;
	out->failure = (vss_code)failure;
	return VSS_OK;
}

static vss_code
com_device(void *arg, unsigned i, char *out, size_t cap)
{
	struct vss_com *c = arg;
	VSS_SNAPSHOT_PROP prop;
	HRESULT hr;
	char *path;

	memset(&prop, 0, sizeof(prop));
	hr = IVssBackupComponents_GetSnapshotProperties(c->backup, c->copies[i], &prop);
	if (FAILED(hr))
		return (vss_code)hr;
	path = prop.m_pwszSnapshotDeviceObject != NULL
		   ? winapi_utf8(prop.m_pwszSnapshotDeviceObject)
		   : NULL;
	c->made = prop.m_tsCreationTimestamp;
	c->free_properties(&prop);
	if (path == NULL || strlen(path) >= cap)
		hr = path == NULL ? E_OUTOFMEMORY : E_UNEXPECTED;
	else
		(void)snprintf(out, cap, "%s", path);
	free(path);
	return (vss_code)hr;
}

int64_t
vss_com_made(const struct vss_com *c)
{
	return vss_com_time(c->made);
}

static vss_code
com_abort(void *arg)
{
	struct vss_com *c = arg;

	return (vss_code)IVssBackupComponents_AbortBackup(c->backup);
}

static int
com_volume_of(void *arg, const char *file, char *out, size_t cap)
{
	struct err ignored = ERR_INIT;

	(void)arg;
	return vss_com_volume(file, out, cap, &ignored);
}

static vss_code
com_discard(void *arg, unsigned count)
{
	struct vss_com *c = arg;
	HRESULT hr, first = S_OK;
	VSS_ID left;
	LONG gone;

	for (unsigned i = 0; i < count && i < VSS_VOLUMES_MAX; i++) {
		hr = IVssBackupComponents_DeleteSnapshots(
		    c->backup, c->copies[i], VSS_OBJECT_SNAPSHOT, TRUE, &gone, &left);
		if (FAILED(hr) && SUCCEEDED(first))
			first = hr;
	}
	return (vss_code)first;
}

const struct vss_ops vss_com_ops = { .create = com_create,
	.init = com_init,
	.set_state = com_set_state,
	.set_context = com_set_context,
	.start = com_start,
	.poll = com_poll,
	.cancel = com_cancel,
	.writers = com_writers,
	.writer = vss_com_writer,
	.volume_of = com_volume_of,
	.add_component = com_add_component,
	.start_set = com_start_set,
	.supported = com_supported,
	.add_volume = com_add_volume,
	.statuses = com_statuses,
	.status = com_status,
	.device = com_device,
	.succeeded = com_succeeded,
	.abort = com_abort,
	.discard = com_discard,
	.close = com_close };
