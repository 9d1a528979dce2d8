/*
 * What VSS's numbers mean.  Codes and what to do about them: "vsserror.h" and the pages
 * of the calls (learn.microsoft.com/windows/win32/api/vsbackup/), above all
 * DoSnapshotSet, StartSnapshotSet, AddToSnapshotSet and GetWriterStatus.  "Wait ten
 * minutes and repeat, up to three times" stands there for those that are VSS_LATER here.
 */
#include <stdio.h>
#include <string.h>

#include "agent/vss/vss.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

struct code {
	vss_code code;
	enum vss_retry retry;
	enum err_code as;
	const char *name;
	const char *means; /* What a person can do, or NULL. */
};

static const struct code codes[] = {
	{ 0x80042301, VSS_NEVER, ERR_IO, "VSS_E_BAD_STATE", "calls out of order" },
	{ 0x80042302, VSS_LATER, ERR_IO, "VSS_E_UNEXPECTED", "see the Event Log" },
	{ 0x80042304, VSS_NEVER, ERR_IO, "VSS_E_PROVIDER_NOT_REGISTERED", NULL },
	{ 0x80042306, VSS_LATER, ERR_IO, "VSS_E_PROVIDER_VETO", "see the Event Log" },
	{ 0x80042307, VSS_LATER, ERR_BUSY, "VSS_E_PROVIDER_IN_USE", NULL },
	{ 0x80042308, VSS_NEVER, ERR_NOTFOUND, "VSS_E_OBJECT_NOT_FOUND",
	    "no such volume or shadow copy" },
	{ 0x8004230C, VSS_NEVER, ERR_UNSUPPORTED, "VSS_E_VOLUME_NOT_SUPPORTED",
	    "no shadow copies of this volume; is it NTFS or ReFS, and not locked?" },
	{ 0x8004230D, VSS_NEVER, ERR_EXISTS, "VSS_E_OBJECT_ALREADY_EXISTS", NULL },
	{ 0x8004230E, VSS_NEVER, ERR_UNSUPPORTED,
	    "VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER", NULL },
	{ 0x8004230F, VSS_LATER, ERR_IO, "VSS_E_UNEXPECTED_PROVIDER_ERROR",
	    "see the Event Log" },
	{ 0x80042312, VSS_NEVER, ERR_LIMIT, "VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED",
	    "a set has at most 64 volumes" },
	{ 0x80042313, VSS_LATER, ERR_TIMEOUT, "VSS_E_FLUSH_WRITES_TIMEOUT",
	    "the disks are too busy" },
	{ 0x80042314, VSS_LATER, ERR_TIMEOUT, "VSS_E_HOLD_WRITES_TIMEOUT",
	    "the disks are too busy" },
	{ 0x80042315, VSS_LATER, ERR_IO, "VSS_E_UNEXPECTED_WRITER_ERROR", NULL },
	{ 0x80042316, VSS_SOON, ERR_BUSY, "VSS_E_SNAPSHOT_SET_IN_PROGRESS",
	    "another program is making shadow copies" },
	{ 0x80042317, VSS_NEVER, ERR_LIMIT, "VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED",
	    "delete old shadow copies" },
	{ 0x80042318, VSS_LATER, ERR_IO, "VSS_E_WRITER_INFRASTRUCTURE",
	    "are the services VSS, COM+ Event System and RPC running?" },
	{ 0x80042319, VSS_LATER, ERR_TIMEOUT, "VSS_E_WRITER_NOT_RESPONDING", NULL },
	{ 0x8004231B, VSS_NEVER, ERR_UNSUPPORTED, "VSS_E_UNSUPPORTED_CONTEXT", NULL },
	{ 0x8004231D, VSS_LATER, ERR_BUSY, "VSS_E_VOLUME_IN_USE", NULL },
	{ 0x8004231E, VSS_NEVER, ERR_LIMIT, "VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED",
	    NULL },
	{ 0x8004231F, VSS_NEVER, ERR_NOSPACE, "VSS_E_INSUFFICIENT_STORAGE",
	    "no room for the difference area: free some, or delete old shadow copies" },
	{ 0x80042325, VSS_LATER, ERR_BUSY, "VSS_E_REVERT_IN_PROGRESS", NULL },
	{ 0x80042327, VSS_NEVER, ERR_IO, "VSS_E_REBOOT_REQUIRED",
	    "restart the computer" },
	{ 0x80042328, VSS_LATER, ERR_TIMEOUT, "VSS_E_TRANSACTION_FREEZE_TIMEOUT", NULL },
	{ 0x80042329, VSS_LATER, ERR_TIMEOUT, "VSS_E_TRANSACTION_THAW_TIMEOUT", NULL },
	{ 0x8004232C, VSS_NEVER, ERR_LIMIT, "VSS_E_NESTED_VOLUME_LIMIT", NULL },
	{ 0x8004232D, VSS_NEVER, ERR_UNSUPPORTED, "VSS_E_VOLUME_NOT_LOCAL", NULL },
	{ 0x8004232E, VSS_LATER, ERR_TIMEOUT, "VSS_E_CLUSTER_TIMEOUT", NULL },
	{ 0x80042336, VSS_NEVER, ERR_IO, "VSS_E_WRITERERROR_PARTIAL_FAILURE", NULL },
	{ 0x800423F0, VSS_NEVER, ERR_UNSUPPORTED,
	    "VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT",
	    "it needs more volumes than the set has" },
	{ 0x800423F1, VSS_LATER, ERR_NOMEM, "VSS_E_WRITERERROR_OUTOFRESOURCES", NULL },
	{ 0x800423F2, VSS_LATER, ERR_TIMEOUT, "VSS_E_WRITERERROR_TIMEOUT", NULL },
	{ 0x800423F3, VSS_LATER, ERR_BUSY, "VSS_E_WRITERERROR_RETRYABLE", NULL },
	{ 0x800423F4, VSS_NEVER, ERR_IO, "VSS_E_WRITERERROR_NONRETRYABLE",
	    "see the Event Log; restarting its service often helps" },
	{ 0x800423F5, VSS_NEVER, ERR_IO, "VSS_E_WRITERERROR_RECOVERY_FAILED", NULL },
	{ 0x800423FB, VSS_NEVER, ERR_IO, "VSS_E_AUTORECOVERY_FAILED", NULL },
	{ 0x800423FC, VSS_NEVER, ERR_UNSUPPORTED, "VSS_E_DYNAMIC_DISK_ERROR", NULL },
	{ 0x80042409, VSS_LATER, ERR_BUSY, "VSS_E_WRITER_STATUS_NOT_AVAILABLE", NULL },
	{ 0x80004001, VSS_NEVER, ERR_UNSUPPORTED, "E_NOTIMPL", "this system has no VSS" },
	{ 0x80004005, VSS_NEVER, ERR_IO, "E_FAIL", NULL },
	{ 0x8000FFFF, VSS_LATER, ERR_IO, "E_UNEXPECTED", "see the Event Log" },
	{ 0x80070005, VSS_NEVER, ERR_DENIED, "E_ACCESSDENIED",
	    "only an administrator or a backup operator may" },
	{ 0x8007000E, VSS_LATER, ERR_NOMEM, "E_OUTOFMEMORY", NULL },
	{ 0x80070057, VSS_NEVER, ERR_IO, "E_INVALIDARG", NULL },
	{ 0x800706BA, VSS_LATER, ERR_IO, "RPC_S_SERVER_UNAVAILABLE",
	    "is the service VSS running?" },
};

static const struct code *
find(vss_code code)
{
	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		if (codes[i].code == code)
			return &codes[i];
	return NULL;
}

enum vss_retry
vss_retry_of(vss_code code)
{
	const struct code *c = find(code);

	return c != NULL ? c->retry : VSS_UNKNOWN;
}

void
vss_words(vss_code code, char *out, size_t cap)
{
	const struct code *c = find(code);

	(void)snprintf(out, cap, "%s%s0x%08X%s", c != NULL ? c->name : "",
	    c != NULL ? " (" : "", (unsigned)code, c != NULL ? ")" : "");
}

int
vss_err(struct err *err, vss_code code, const char *call)
{
	const struct code *c = find(code);
	char words[80];

	vss_words(code, words, sizeof(words));
	(void)err_set(err, c != NULL ? c->as : ERR_IO, "VSS: %s: %s%s%s", call, words,
	    c != NULL && c->means != NULL ? ": " : "",
	    c != NULL && c->means != NULL ? c->means : "");
	err->os = (int)code;
	return -1;
}

/* VSS_WRITER_STATE, in its order (api/vss/ne-vss-vss_writer_state). */
static const char *const states[] = { "unknown", "stable", "waiting for freeze",
	"waiting for thaw", "waiting for the copy", "waiting for completion",
	"failed at identify", "failed at prepare for backup",
	"failed at prepare for copy", "failed at freeze", "failed at thaw",
	"failed after the copy", "failed at backup complete", "failed before restore",
	"failed after restore", "failed at shutdown" };

#define STATE_FIRST_FAILED 6

const char *
vss_state_name(int state)
{
	return state >= 0 && (size_t)state < sizeof(states) / sizeof(states[0])
		   ? states[state]
		   : "in an unknown state";
}

int
vss_state_failed(int state)
{
	return state >= STATE_FIRST_FAILED;
}

void
vss_id_text(const struct vss_id *id, char out[39])
{
	const uint8_t *b = id->b;

	(void)snprintf(out, 39, "{%08X-%04X-%04X-%02X%02X-%02X%02X%02X%02X%02X%02X}",
	    (unsigned)load_le32(b), (unsigned)load_le16(b + 4),
	    (unsigned)load_le16(b + 6), b[8], b[9], b[10], b[11], b[12], b[13], b[14],
	    b[15]);
}

/*
 * Class ids of databases' writers, for those whose source type does not tell.  All but
 * the first two stand in "In-Box VSS Writers" (win32/vss/in-box-vss-writers); these are
 * what `vssadmin list writers` shows on such servers: no page of Microsoft's names them.
 */
static const char *const databases[] = {
	"{A65FAA63-5EA8-4EBC-9DBD-A0C4DB26912A}", /* SqlServerWriter */
	"{76FE1AC4-15F7-4BCD-987E-8E1ACB462FB7}", /* Microsoft Exchange Writer */
	"{8D5194E1-E455-434A-B2E5-51296CCE67DF}", /* WIDWriter: SQL Server in Windows */
	"{B2014C9E-8711-4C5C-A5A9-3CF384484757}", /* NTDS */
	"{DD846AAA-A1B6-42A8-AAF8-03DCB6114BFD}", /* ADAM (AD LDS) */
	"{BE9AC81E-3619-421F-920F-4C6FEA9E93AD}", /* Dhcp Jet Writer */
	"{F08C1483-8407-4A26-8C26-6C267A629741}", /* WINS Jet Writer */
};

/* VSS_SOURCE_TYPE: VSS_ST_TRANSACTEDDB */
#define SOURCE_TRANSACTED 1

int
vss_is_database(const struct vss_writer *w)
{
	char text[39];

	if (w->source == SOURCE_TRANSACTED)
		return 1;
	/* Its class id is in no document that we know. */
	if (strncmp(w->name, "Oracle VSS Writer", 17) == 0)
		return 1;
	vss_id_text(&w->id, text);
	for (size_t i = 0; i < sizeof(databases) / sizeof(databases[0]); i++)
		if (strcmp(text, databases[i]) == 0)
			return 1;
	return 0;
}
