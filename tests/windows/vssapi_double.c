/*
 * A vssapi.dll that obeys the documentation to the letter and whoever tests it: it holds
 * each call against the pages named beside the rules, and fails where it is told to.
 * Pages: learn.microsoft.com/windows/win32/vss/ and .../api/vsbackup/nf-vsbackup-.
 */
#include "tests/windows/vssapi_double.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/windows/vssapi_double_parts.h"

#define COPIES_MAX 8
#define MADE_AGO 600000000 /* A minute, in 100 ns. */
#define COMPONENTS_MAX 16

struct vssd_ledger vssd;

/* What is to happen, from the environment. */
static struct {
	char log[MAX_PATH];
	unsigned fail_at;
	HRESULT fail_with;
	int fail_async;
	HRESULT async_due; /* The async that begins now ends so. */
	char veto[32];
	HRESULT veto_with;
	int pending;
	int lost;
	char gate_call[32], gate[MAX_PATH];
} plan;

/* Sets that were lost since the last reset. */
static int lost_sets;

/* The one backup under way (the real one may have several; the agent has one). */
struct backup {
	const vssd_slot *table;
	LONG references;
	int init, state, context, gathered, set, prepared, frozen, complete, aborted;
	int has_status, status_ready, prepare_due;
	unsigned copies, asked, components, told;
	int lost;
	VSS_TIMESTAMP made;
	wchar_t volumes[COPIES_MAX][128];
	wchar_t added[COMPONENTS_MAX][64];
	struct async *async;
};

struct async {
	const vssd_slot *table;
	LONG references;
	struct backup *of;
	int what; /* A letter: of the call that began it. */
	int left; /* Questions until it ends. */
	int gated;
	HRESULT ends;
	int over;
};

static vssd_slot backup_table[VSS_SLOTS_BACKUP_COUNT], async_table[8];

HRESULT
vssd_enter(const char *name)
{
	FILE *f;

	vssd.calls++;
	(void)snprintf(vssd.last, sizeof(vssd.last), "%s", name);
	if (plan.log[0] != '\0' && (f = fopen(plan.log, "ab")) != NULL) {
		(void)fprintf(f, "%s\n", name);
		(void)fclose(f);
	}
	if (vssd.calls != plan.fail_at)
		return S_OK;
	vssd.begins =
	    strncmp(name, "Gather", 6) == 0 || strcmp(name, "PrepareForBackup") == 0 ||
	    strcmp(name, "DoSnapshotSet") == 0 || strcmp(name, "BackupComplete") == 0;
	if (plan.fail_async && vssd.begins) {
		plan.async_due = plan.fail_with;
		return S_OK;
	}
	return plan.fail_with;
}

int
vssd_broken(int holds, const char *page, const char *rule)
{
	FILE *f;

	if (holds)
		return 0;
	if (vssd.broken++ == 0)
		(void)snprintf(vssd.rule, sizeof(vssd.rule), "%s (%s)", rule, page);
	if (plan.log[0] != '\0' && (f = fopen(plan.log, "ab")) != NULL) {
		(void)fprintf(f, "BROKEN %s (%s)\n", rule, page);
		(void)fclose(f);
	}
	return 1;
}

static HRESULT WINAPI
query_interface(void *self, REFIID id, void **out)
{
	(void)self;
	(void)id;
	*out = NULL;
	return E_NOINTERFACE;
}

static ULONG WINAPI
add_ref(void *self)
{
	/* All objects begin alike. */
	return (ULONG)InterlockedIncrement(&((struct backup *)self)->references);
}

static HRESULT WINAPI
unknown_place(void)
{
	(void)vssd_broken(0, "vss_slots.h", "a method that the agent does not name");
	return E_NOTIMPL;
}

void
vssd_table(vssd_slot *table, size_t n, ULONG(WINAPI *release)(void *))
{
	for (size_t i = 0; i < n; i++)
		table[i] = (vssd_slot)unknown_place;
	table[0] = (vssd_slot)query_interface;
	table[1] = (vssd_slot)add_ref;
	table[2] = (vssd_slot)release;
}

/* ------------------------------------------------------------------- asyncs -- */

static ULONG WINAPI
async_release(void *self)
{
	struct async *a = self;
	LONG left = InterlockedDecrement(&a->references);

	if (left == 0) {
		vssd_broken(a->over, "aborting-vss-operations",
		    "an async is let go while it goes on");
		if (a->of != NULL && a->of->async == a)
			a->of->async = NULL;
		vssd.objects--;
		free(a);
	}
	return (ULONG)left;
}

static void
async_finish(struct async *a)
{
	struct backup *b = a->of;

	a->over = 1;
	if (a->ends != VSS_S_ASYNC_FINISHED)
		return;
	b->gathered |= a->what == 'M';
	b->status_ready |= a->what == 'S';
	b->prepared |= a->what == 'P';
	b->frozen |= a->what == 'D';
	/* The cut lies behind: what is said of it must be this, and not when it was read.
	 */
	if (a->what == 'D') {
		FILETIME now;

		GetSystemTimeAsFileTime(&now);
		b->made = (VSS_TIMESTAMP)((uint64_t)now.dwHighDateTime << 32 |
					  now.dwLowDateTime) -
			  MADE_AGO;
	}
	b->complete |= a->what == 'C';
	vssd.completed |= a->what == 'C';
}

static int
gate_is_shut(void)
{
	return GetFileAttributesA(plan.gate) != INVALID_FILE_ATTRIBUTES;
}

static HRESULT WINAPI
async_cancel(void *self)
{
	struct async *a = self;
	HRESULT hr = vssd_enter("Cancel");

	if (!a->over)
		a->ends = VSS_S_ASYNC_CANCELLED;
	a->left = a->gated = 0;
	return hr;
}

static HRESULT WINAPI
async_wait(void *self, DWORD ms)
{
	(void)self;
	(void)ms;
	return S_OK;
}

static HRESULT WINAPI
async_status(void *self, HRESULT *status, INT *reserved)
{
	struct async *a = self;

	vssd_broken(reserved == NULL, "ivssasync-querystatus", "pReserved is not NULL");
	if (a->left != 0 || (a->gated && gate_is_shut())) {
		a->left -= a->left > 0;
		*status = VSS_S_ASYNC_PENDING;
		return S_OK;
	}
	if (!a->over)
		async_finish(a);
	*status = a->ends;
	return S_OK;
}

/* Begin an async of the call that vssd_enter() has let in. */
static HRESULT
begin(struct backup *b, int what, void **out)
{
	struct async *a = calloc(1, sizeof(*a));

	if (a == NULL)
		return E_OUTOFMEMORY;
	vssd_table(async_table, 8, async_release);
	VSSD_PUT(async_table, IVssAsync, Cancel, async_cancel);
	VSSD_PUT(async_table, IVssAsync, Wait, async_wait);
	VSSD_PUT(async_table, IVssAsync, QueryStatus, async_status);
	a->table = async_table;
	a->references = 1;
	a->of = b;
	a->what = what;
	a->gated = strcmp(plan.gate_call, vssd.last) == 0;
	a->left = plan.pending;
	a->ends = plan.async_due != S_OK ? plan.async_due : VSS_S_ASYNC_FINISHED;
	plan.async_due = S_OK;
	vssd.objects++;
	b->async = a;
	*out = a;
	return S_OK;
}

/* Before any other call. */
static int
busy(const struct backup *b)
{
	return vssd_broken(b->async == NULL || b->async->over,
	    "overview-of-processing-a-backup-under-vss", "a call while an async goes on");
}

/* Enter, and hold against rules: the two of them in each call below. */
#define ENTER(b, name)                  \
	HRESULT hr_ = vssd_enter(name); \
	if (FAILED(hr_))                \
		return hr_;             \
	if (busy(b))                    \
	return VSS_E_BAD_STATE

#define RULE(holds, page, text)                     \
	do {                                        \
		if (vssd_broken(holds, page, text)) \
			return VSS_E_BAD_STATE;     \
	} while (0)

/* ------------------------------------------------------------- initialization -- */

static HRESULT WINAPI
initialize(void *self, BSTR xml)
{
	struct backup *b = self;

	ENTER(b, "InitializeForBackup");
	RULE(!b->init && xml == NULL, "ivssbackupcomponents-initializeforbackup",
	    "initialized once, for a new document");
	b->init = 1;
	return S_OK;
}

static HRESULT WINAPI
set_state(
    void *self, boolean select, boolean bootable, VSS_BACKUP_TYPE type, boolean part)
{
	struct backup *b = self;

	(void)bootable;
	ENTER(b, "SetBackupState");
	RULE(b->init && !b->gathered, "overview-of-backup-initialization",
	    "SetBackupState after InitializeForBackup, before GatherWriterMetadata");
	RULE(select && !part && (type == VSS_BT_FULL || type == VSS_BT_COPY),
	    "ivssbackupcomponents-setbackupstate",
	    "components, no partial files, full or copy");
	b->state = 1;
	return S_OK;
}

static HRESULT WINAPI
set_context(void *self, LONG context)
{
	struct backup *b = self;

	ENTER(b, "SetContext");
	RULE(b->init && !b->context && !b->gathered, "ivssbackupcomponents-setcontext",
	    "SetContext once, before GatherWriterMetadata");
	RULE((context & ~0x2) == 0 || context == -1, "ne-vss-vss_snapshot_context",
	    "VSS_CTX_BACKUP, perhaps without recovery; or VSS_CTX_ALL to ask");
	b->context = context == -1 ? 2 : 1;
	return S_OK;
}

static HRESULT WINAPI
gather_metadata(void *self, void **out)
{
	struct backup *b = self;

	ENTER(b, "GatherWriterMetadata");
	RULE(b->init && b->state && b->context == 1 && !b->gathered,
	    "overview-of-backup-initialization",
	    "GatherWriterMetadata once, after the context and the state");
	return begin(b, 'M', out);
}

static HRESULT WINAPI
metadata_count(void *self, UINT *count)
{
	struct backup *b = self;

	ENTER(b, "GetWriterMetadataCount");
	RULE(b->gathered, "ivssbackupcomponents-getwritermetadatacount",
	    "metadata is gathered first");
	*count = VSSD_WRITERS;
	return S_OK;
}

static HRESULT WINAPI
metadata(void *self, UINT i, VSS_ID *instance, void **out)
{
	struct backup *b = self;

	ENTER(b, "GetWriterMetadata");
	RULE(b->gathered && i < VSSD_WRITERS, "ivssbackupcomponents-getwritermetadata",
	    "a writer that was gathered");
	return vssd_writer(i, instance, out);
}

static HRESULT WINAPI
free_metadata(void *self)
{
	(void)self;
	return S_OK;
}

static HRESULT WINAPI
add_component(void *self, VSS_ID *instance, VSS_ID *id, VSS_COMPONENT_TYPE type,
    const wchar_t *path, const wchar_t *name)
{
	struct backup *b = self;
	int may = 0;

	(void)id;
	(void)type;
	ENTER(b, "AddComponent");
	RULE(b->gathered && !b->prepare_due, "ivssbackupcomponents-addcomponent",
	    "AddComponent between GatherWriterMetadata and PrepareForBackup");
	RULE(vssd_has_component(instance, path, name, &may),
	    "ivssbackupcomponents-addcomponent", "a component that there is");
	RULE(may, "working-with-selectability-for-backup",
	    "what is not selectable and has a selectable ancestor comes with that");
	if (b->components < COMPONENTS_MAX)
		lstrcpynW(b->added[b->components++], name, 64);
	return S_OK;
}

/* ---------------------------------------------------------------------- the set -- */

static HRESULT WINAPI
start_set(void *self, VSS_ID *set)
{
	struct backup *b = self;

	ENTER(b, "StartSnapshotSet");
	RULE(b->gathered && !b->set, "simple-shadow-copy-creation-for-backup",
	    "StartSnapshotSet once, after GatherWriterMetadata");
	memset(set, 7, sizeof(*set));
	b->set = 1;
	vssd.sets++;
	return S_OK;
}

static HRESULT WINAPI
is_supported(void *self, VSS_ID *provider, const wchar_t *volume, BOOL *yes)
{
	struct backup *b = self;

	(void)provider;
	ENTER(b, "IsVolumeSupported");
	RULE(volume[wcslen(volume) - 1] == L'\\',
	    "ivssbackupcomponents-isvolumesupported",
	    "a volume's name ends with a backslash");
	*yes = TRUE;
	return S_OK;
}

static HRESULT WINAPI
add_to_set(void *self, const wchar_t *volume, VSS_ID *provider, VSS_ID *copy)
{
	struct backup *b = self;

	(void)provider;
	ENTER(b, "AddToSnapshotSet");
	RULE(b->set && !b->prepare_due && b->copies < COPIES_MAX,
	    "ivssbackupcomponents-addtosnapshotset",
	    "AddToSnapshotSet between StartSnapshotSet and PrepareForBackup");
	RULE(volume[wcslen(volume) - 1] == L'\\', "ivssbackupcomponents-addtosnapshotset",
	    "a volume's name ends with a backslash");
	for (unsigned i = 0; i < b->copies; i++)
		RULE(wcscmp(b->volumes[i], volume) != 0,
		    "ivssbackupcomponents-addtosnapshotset", "a volume is added once");
	memset(copy, 0, sizeof(*copy));
	copy->Data1 = 1 + b->copies;
	lstrcpynW(b->volumes[b->copies++], volume, 128);
	return S_OK;
}

static HRESULT WINAPI
prepare(void *self, void **out)
{
	struct backup *b = self;

	ENTER(b, "PrepareForBackup");
	RULE(b->copies > 0 && !b->prepare_due, "simple-shadow-copy-creation-for-backup",
	    "PrepareForBackup once, after AddToSnapshotSet");
	b->prepare_due = 1;
	return begin(b, 'P', out);
}

static HRESULT WINAPI
do_set(void *self, void **out)
{
	struct backup *b = self;

	ENTER(b, "DoSnapshotSet");
	RULE(b->prepared && !b->frozen, "ivssbackupcomponents-dosnapshotset",
	    "DoSnapshotSet once, after PrepareForBackup has ended well");
	return begin(b, 'D', out);
}

/* The drive whose volume it is. */
static wchar_t
letter_of(const wchar_t *volume)
{
	wchar_t root[] = L"A:\\", name[64];

	for (; root[0] <= L'Z'; root[0]++)
		if (wcscmp(root, volume) == 0 ||
		    (GetVolumeNameForVolumeMountPointW(root, name, 64) &&
			wcscmp(name, volume) == 0))
			return root[0];
	return L'?';
}

static HRESULT WINAPI
properties(void *self, VSS_ID *copy, VSS_SNAPSHOT_PROP *out)
{
	struct backup *b = self;
	wchar_t name[16], path[MAX_PATH];
	unsigned i = copy->Data1 - 1;

	ENTER(b, "GetSnapshotProperties");
	RULE(b->frozen && i < b->copies, "ivssbackupcomponents-getsnapshotproperties",
	    "of a copy that was made");
	if (b->asked >= b->copies && !b->lost && lost_sets < plan.lost) {
		b->lost = 1;
		lost_sets++;
	}
	if (b->lost)
		return VSS_E_OBJECT_NOT_FOUND;
	b->asked++;
	(void)wsprintfW(name, L"VSSD_COPY_%c", letter_of(b->volumes[i]));
	if (GetEnvironmentVariableW(name, path, MAX_PATH) == 0)
		return VSS_E_OBJECT_NOT_FOUND;
	memset(out, 0, sizeof(*out));
	out->m_SnapshotId = *copy;
	out->m_pwszSnapshotDeviceObject = _wcsdup(path);
	out->m_pwszOriginalVolumeName = _wcsdup(b->volumes[i]);
	out->m_lSnapshotsCount = (LONG)b->copies;
	out->m_tsCreationTimestamp = b->made;
	out->m_eStatus = VSS_SS_CREATED;
	vssd.loans++;
	return S_OK;
}

/* -------------------------------------------------------------------------- lists -- */

/* One copy or one provider. */
struct list {
	const vssd_slot *table;
	LONG references;
	VSS_OBJECT_TYPE type;
	int given;
};

static vssd_slot list_table[8];

static ULONG WINAPI
list_release(void *self)
{
	struct list *l = self;
	LONG left = InterlockedDecrement(&l->references);

	if (left == 0) {
		vssd.objects--;
		free(l);
	}
	return (ULONG)left;
}

static wchar_t *
on_loan(const wchar_t *text)
{
	wchar_t *out = CoTaskMemAlloc((wcslen(text) + 1) * sizeof(*text));

	if (out != NULL)
		wcscpy(out, text);
	return out;
}

static HRESULT WINAPI
list_next(void *self, ULONG n, VSS_OBJECT_PROP *out, ULONG *got)
{
	struct list *l = self;
	HRESULT hr = vssd_enter("Next");

	*got = 0;
	if (FAILED(hr))
		return hr;
	if (n != 1 || l->given)
		return S_FALSE;
	l->given = 1;
	memset(out, 0, sizeof(*out));
	out->Type = l->type;
	if (l->type == VSS_OBJECT_PROVIDER) {
		out->Obj.Prov.m_pwszProviderName = on_loan(L"Double of a provider");
		out->Obj.Prov.m_pwszProviderVersion = on_loan(L"1.0");
		out->Obj.Prov.m_eProviderType = VSS_PROV_SYSTEM;
	} else {
		out->Obj.Snap.m_pwszOriginalVolumeName = _wcsdup(L"S:\\");
		out->Obj.Snap.m_pwszSnapshotDeviceObject = _wcsdup(L"old");
		out->Obj.Snap.m_lSnapshotAttributes = VSS_VOLSNAP_ATTR_PERSISTENT;
		/* 2020-01-01 */
		out->Obj.Snap.m_tsCreationTimestamp = 132223104000000000;
		vssd.loans++;
	}
	*got = 1;
	return S_OK;
}

static HRESULT WINAPI
query(void *self, VSS_ID *of, VSS_OBJECT_TYPE of_type, VSS_OBJECT_TYPE type, void **out)
{
	static const VSS_ID none;
	struct backup *b = self;
	struct list *l;

	ENTER(b, "Query");
	RULE(b->context == 2 && of_type == VSS_OBJECT_NONE &&
		 memcmp(of, &none, sizeof(none)) == 0,
	    "ivssbackupcomponents-query", "of all, in the context of all");
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return E_OUTOFMEMORY;
	vssd_table(list_table, 8, list_release);
	VSSD_PUT(list_table, IVssEnumObject, Next, list_next);
	*l = (struct list){ list_table, 1, type, 0 };
	vssd.objects++;
	*out = l;
	return S_OK;
}

/* ---------------------------------------------------------------------- statuses -- */

static HRESULT WINAPI
gather_status(void *self, void **out)
{
	struct backup *b = self;

	ENTER(b, "GatherWriterStatus");
	RULE(b->gathered && !b->has_status, "ivssbackupcomponents-gatherwriterstatus",
	    "the statuses before are freed first");
	b->has_status = 1;
	b->status_ready = 0;
	return begin(b, 'S', out);
}

static HRESULT WINAPI
free_status(void *self)
{
	struct backup *b = self;

	b->has_status = b->status_ready = 0;
	return S_OK;
}

static HRESULT WINAPI
status_count(void *self, UINT *count)
{
	struct backup *b = self;

	ENTER(b, "GetWriterStatusCount");
	RULE(b->status_ready, "ivssbackupcomponents-getwriterstatuscount",
	    "statuses are gathered first");
	*count = VSSD_WRITERS;
	return S_OK;
}

static HRESULT WINAPI
status(void *self, UINT i, VSS_ID *instance, VSS_ID *id, BSTR *name,
    VSS_WRITER_STATE *state, HRESULT *failure)
{
	struct backup *b = self;
	const char *phase = b->complete	  ? "BackupComplete"
			    : b->frozen	  ? "DoSnapshotSet"
			    : b->prepared ? "PrepareForBackup"
					  : "";

	ENTER(b, "GetWriterStatus");
	RULE(b->status_ready && i < VSSD_WRITERS, "ivssbackupcomponents-getwriterstatus",
	    "statuses are gathered first");
	*instance = *vssd_writer_instance(i);
	*id = *vssd_writer_class(i);
	*name = SysAllocString(vssd_writer_name(i));
	*state = VSS_WS_STABLE;
	*failure = S_OK;
	if (i == 0 && plan.veto[0] != '\0' && strcmp(plan.veto, phase) == 0) {
		*state = b->complete ? VSS_WS_FAILED_AT_BACKUP_COMPLETE
			 : b->frozen ? VSS_WS_FAILED_AT_FREEZE
				     : VSS_WS_FAILED_AT_PREPARE_BACKUP;
		*failure = plan.veto_with;
	}
	return S_OK;
}

/* --------------------------------------------------------------------------- end -- */

static HRESULT WINAPI
succeeded(void *self, VSS_ID *instance, VSS_ID *id, VSS_COMPONENT_TYPE type,
    const wchar_t *path, const wchar_t *name, boolean ok)
{
	struct backup *b = self;
	int found = 0;

	(void)instance;
	(void)id;
	(void)type;
	(void)path;
	ENTER(b, "SetBackupSucceeded");
	for (unsigned i = 0; i < b->components; i++)
		found |= wcscmp(b->added[i], name) == 0;
	RULE(found && ok && b->frozen && !b->complete,
	    "ivssbackupcomponents-setbackupsucceeded",
	    "of a component that was added, before BackupComplete");
	b->told++;
	return S_OK;
}

static HRESULT WINAPI
backup_complete(void *self, void **out)
{
	struct backup *b = self;

	ENTER(b, "BackupComplete");
	RULE(b->frozen && !b->complete && !b->aborted,
	    "ivssbackupcomponents-backupcomplete",
	    "BackupComplete once, of copies that were made and not aborted");
	return begin(b, 'C', out);
}

static HRESULT WINAPI
abort_backup(void *self)
{
	struct backup *b = self;

	b->aborted = 1;
	vssd.aborted = 1;
	ENTER(b, "AbortBackup");
	RULE(b->init, "ivssbackupcomponents-abortbackup", "after InitializeForBackup");
	return S_OK;
}

static ULONG WINAPI
backup_release(void *self)
{
	struct backup *b = self;
	LONG left = InterlockedDecrement(&b->references);

	if (left != 0)
		return (ULONG)left;
	(void)vssd_enter("Release");
	vssd_broken(!b->set || b->aborted || b->complete, "aborting-vss-operations",
	    "AbortBackup before Release once a set was started");
	vssd_broken(b->async == NULL, "ivssasync", "an async outlives its backup");
	/* "The destructor of the interface terminates the shadow copies." */
	vssd.sets -= b->set;
	vssd.objects--;
	free(b);
	return 0;
}

/* ----------------------------------------------------------------------- exports -- */

static void
read_plan(void)
{
	char text[128], gate[MAX_PATH + 32], *end;

	memset(&plan, 0, sizeof(plan));
	(void)GetEnvironmentVariableA("VSSD_LOG", plan.log, sizeof(plan.log));
	if (GetEnvironmentVariableA("VSSD_FAIL", text, sizeof(text)) != 0) {
		plan.fail_at = (unsigned)strtoul(text, &end, 0);
		plan.fail_with = (HRESULT)strtoul(end + 1, &end, 0);
		plan.fail_async = strcmp(end, ":async") == 0;
	}
	if (GetEnvironmentVariableA("VSSD_VETO", text, sizeof(text)) != 0 &&
	    (end = strchr(text, ':')) != NULL) {
		*end = '\0';
		lstrcpynA(plan.veto, text, sizeof(plan.veto));
		plan.veto_with = (HRESULT)strtoul(end + 1, NULL, 0);
	}
	if (GetEnvironmentVariableA("VSSD_PENDING", text, sizeof(text)) != 0)
		plan.pending = atoi(text);
	if (GetEnvironmentVariableA("VSSD_LOST", text, sizeof(text)) != 0)
		plan.lost = atoi(text);
	if (GetEnvironmentVariableA("VSSD_GATE", gate, sizeof(gate)) != 0 &&
	    (end = strchr(gate, ':')) != NULL) {
		*end = '\0';
		lstrcpynA(plan.gate_call, gate, sizeof(plan.gate_call));
		lstrcpynA(plan.gate, end + 1, sizeof(plan.gate));
	}
}

__declspec(dllexport) HRESULT WINAPI CreateVssBackupComponentsInternal(void **out);
__declspec(dllexport) void WINAPI VssFreeSnapshotPropertiesInternal(VSS_SNAPSHOT_PROP *p);
__declspec(dllexport) void WINAPI VssDoubleLedger(struct vssd_ledger *out);
__declspec(dllexport) void WINAPI VssDoubleReset(void);

HRESULT WINAPI
CreateVssBackupComponentsInternal(void **out)
{
	struct backup *b;
	HRESULT hr;

	read_plan();
	hr = vssd_enter("CreateVssBackupComponents");
	if (FAILED(hr) || (b = calloc(1, sizeof(*b))) == NULL)
		return FAILED(hr) ? hr : E_OUTOFMEMORY;
	vssd_table(backup_table, VSS_SLOTS_BACKUP_COUNT, backup_release);
#define PUT(method, fn) VSSD_PUT(backup_table, IVssBackupComponents, method, fn)
	PUT(InitializeForBackup, initialize);
	PUT(SetBackupState, set_state);
	PUT(SetContext, set_context);
	PUT(GatherWriterMetadata, gather_metadata);
	PUT(GetWriterMetadataCount, metadata_count);
	PUT(GetWriterMetadata, metadata);
	PUT(FreeWriterMetadata, free_metadata);
	PUT(AddComponent, add_component);
	PUT(StartSnapshotSet, start_set);
	PUT(IsVolumeSupported, is_supported);
	PUT(AddToSnapshotSet, add_to_set);
	PUT(PrepareForBackup, prepare);
	PUT(DoSnapshotSet, do_set);
	PUT(GetSnapshotProperties, properties);
	PUT(Query, query);
	PUT(GatherWriterStatus, gather_status);
	PUT(FreeWriterStatus, free_status);
	PUT(GetWriterStatusCount, status_count);
	PUT(GetWriterStatus, status);
	PUT(SetBackupSucceeded, succeeded);
	PUT(BackupComplete, backup_complete);
	PUT(AbortBackup, abort_backup);
#undef PUT
	b->table = backup_table;
	b->references = 1;
	vssd.objects++;
	*out = b;
	return S_OK;
}

void WINAPI
VssFreeSnapshotPropertiesInternal(VSS_SNAPSHOT_PROP *p)
{
	free(p->m_pwszSnapshotDeviceObject);
	free(p->m_pwszOriginalVolumeName);
	vssd.loans--;
}

void WINAPI
VssDoubleLedger(struct vssd_ledger *out)
{
	*out = vssd;
}

void WINAPI
VssDoubleReset(void)
{
	memset(&vssd, 0, sizeof(vssd));
	lost_sets = 0;
}
