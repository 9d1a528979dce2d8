#include "proto/wire/msg.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg_check.h"

struct kind {
	uint16_t kind;
	const char *name;
	const ProtobufCMessageDescriptor *of; /* NULL: raw bytes. */
};

/* In order of kind. */
static const struct kind kinds[] = {
	{ MSG_HELLO, "Hello", &wire__hello__descriptor },
	{ MSG_WELCOME, "Welcome", &wire__welcome__descriptor },
	{ MSG_FAILED, "Failed", &wire__failed__descriptor },
	{ MSG_DONE, "Done", &wire__done__descriptor },
	{ MSG_ENROLL, "Enroll", &wire__enroll__descriptor },
	{ MSG_RENEW, "Renew", &wire__renew__descriptor },
	{ MSG_ENROLLED, "Enrolled", &wire__enrolled__descriptor },
	{ MSG_BEGIN, "Begin", &wire__begin__descriptor },
	{ MSG_BEGUN, "Begun", &wire__begun__descriptor },
	{ MSG_HAVE_ASK, "Have", &wire__have__descriptor },
	{ MSG_HAVE_REPLY, "HaveReply", &wire__have_reply__descriptor },
	{ MSG_PUT, "Put", NULL },
	{ MSG_STORED, "Stored", &wire__stored__descriptor },
	{ MSG_COMMIT, "Commit", &wire__commit__descriptor },
	{ MSG_COMMITTED, "Committed", &wire__committed__descriptor },
	{ MSG_MISSING, "Missing", &wire__missing__descriptor },
	{ MSG_LIST_POINTS, "ListPoints", &wire__list_points__descriptor },
	{ MSG_POINTS, "Points", &wire__points__descriptor },
	{ MSG_GET_NODES, "GetNodes", &wire__get_nodes__descriptor },
	{ MSG_NODE, "Node", NULL },
	{ MSG_GET_GROUPS, "GetGroups", &wire__get_groups__descriptor },
	{ MSG_GROUP, "Group", NULL },
	{ MSG_GROUPS_END, "GroupsEnd", &wire__groups_end__descriptor },
	{ MSG_NEW_TOKEN, "NewToken", &wire__new_token__descriptor },
	{ MSG_TOKEN_TEXT, "TokenText", &wire__token_text__descriptor },
	{ MSG_NEW_OPERATOR, "NewOperator", &wire__new_operator__descriptor },
	{ MSG_LIST_HOSTS, "ListHosts", &wire__list_hosts__descriptor },
	{ MSG_HOSTS, "Hosts", &wire__hosts__descriptor },
	{ MSG_REVOKE, "Revoke", &wire__revoke__descriptor },
	{ MSG_GET_STATS, "GetStats", &wire__get_stats__descriptor },
	{ MSG_STATS, "Stats", &wire__stats__descriptor },
	{ MSG_VERIFY, "Verify", &wire__verify__descriptor },
	{ MSG_VERIFY_REPORT, "VerifyReport", &wire__verify_report__descriptor },
	{ MSG_SET_POLICY, "SetPolicy", &wire__set_policy__descriptor },
	{ MSG_LIST_POLICIES, "ListPolicies", &wire__list_policies__descriptor },
	{ MSG_POLICIES, "Policies", &wire__policies__descriptor },
	{ MSG_PRUNE, "Prune", &wire__prune__descriptor },
	{ MSG_PRUNED, "Pruned", &wire__pruned__descriptor },
	{ MSG_HOLD, "Hold", &wire__hold__descriptor },
	{ MSG_LOCK, "Lock", &wire__lock__descriptor },
	{ MSG_FORGET, "Forget", &wire__forget__descriptor },
	{ MSG_CLEAR_BRAKE, "ClearBrake", &wire__clear_brake__descriptor },
	{ MSG_LIST_AUDIT, "ListAudit", &wire__list_audit__descriptor },
	{ MSG_AUDIT, "Audit", &wire__audit__descriptor },
	{ MSG_ACCEPT_CLOCK, "AcceptClock", &wire__accept_clock__descriptor },
	{ MSG_GET_USAGE, "GetUsage", &wire__get_usage__descriptor },
	{ MSG_USAGE, "Usage", &wire__usage__descriptor },
	{ MSG_COLLECT, "Collect", &wire__collect__descriptor },
	{ MSG_COLLECT_REPORT, "CollectReport", &wire__collect_report__descriptor },
	{ MSG_LIST_JOBS, "ListJobs", &wire__list_jobs__descriptor },
	{ MSG_JOBS, "Jobs", &wire__jobs__descriptor },
	{ MSG_NOTE_ESCROW, "NoteEscrow", &wire__note_escrow__descriptor },
	{ MSG_CLEAR_ALARM, "ClearAlarm", &wire__clear_alarm__descriptor },
	{ MSG_COPY_STORE, "CopyStore", &wire__copy_store__descriptor },
	{ MSG_COPY_REPORT, "CopyReport", &wire__copy_report__descriptor },
	{ MSG_COPY_OPEN, "CopyOpen", &wire__copy_open__descriptor },
	{ MSG_COPY_PLAN, "CopyPlan", &wire__copy_plan__descriptor },
	{ MSG_COPY_READ, "CopyRead", &wire__copy_read__descriptor },
	{ MSG_COPY_BYTES, "CopyBytes", &wire__copy_bytes__descriptor },
	{ MSG_REDEEM, "Redeem", &wire__redeem__descriptor },
	{ MSG_REDEEMED, "Redeemed", &wire__redeemed__descriptor },
	{ MSG_ANNOUNCE, "Announce", &wire__announce__descriptor },
	{ MSG_WAITING, "Waiting", &wire__waiting__descriptor },
	{ MSG_REPORT_RESTORE, "ReportRestore", &wire__report_restore__descriptor },
	{ MSG_NEW_RESTORE_TOKEN, "NewRestoreToken",
	    &wire__new_restore_token__descriptor },
	{ MSG_LIST_RESTORES, "ListRestores", &wire__list_restores__descriptor },
	{ MSG_RESTORES, "Restores", &wire__restores__descriptor },
	{ MSG_CONFIRM_RESCUE, "ConfirmRescue", &wire__confirm_rescue__descriptor },
	{ MSG_END_RESTORE, "EndRestore", &wire__end_restore__descriptor },
	{ MSG_CHECK_RESCUE, "CheckRescue", &wire__check_rescue__descriptor },
	{ MSG_RESCUE_REPORT, "RescueReport", &wire__rescue_report__descriptor },
	{ MSG_MARK_SUSPECT, "MarkSuspect", &wire__mark_suspect__descriptor },
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const char *const msg_features[MSG_FEATURES] = { "retention", "collect", "repair", "copy",
	"rescue", "layout", "capture", "changes" };

/* Each has a range of kinds; a feature of fields alone an empty one. */
static const struct {
	uint16_t first, last;
} feature_kinds[MSG_FEATURES] = { { 81, 100 }, { 101, 120 }, { 121, 130 }, { 131, 140 },
	{ 141, 156 }, { 1, 0 }, { 1, 0 }, { 157, 164 } };

const char *
msg_feature_of(uint16_t kind)
{
	for (size_t i = 0; i < MSG_FEATURES; i++) {
		if (kind >= feature_kinds[i].first && kind <= feature_kinds[i].last)
			return msg_features[i];
	}
	return NULL;
}

static const struct kind *
find(uint16_t kind)
{
	for (size_t i = 0; i < KINDS && kinds[i].kind <= kind; i++) {
		if (kinds[i].kind == kind)
			return &kinds[i];
	}
	return NULL;
}

const char *
msg_name(uint16_t kind)
{
	const struct kind *k = find(kind);

	return k != NULL ? k->name : "unknown";
}

int
msg_is_raw(uint16_t kind)
{
	const struct kind *k = find(kind);

	return k != NULL && k->of == NULL;
}

uint16_t
msg_kind_of(const ProtobufCMessage *m)
{
	for (size_t i = 0; i < KINDS; i++) {
		if (kinds[i].of == m->descriptor)
			return kinds[i].kind;
	}
	return 0;
}

/* ------------------------------------------------------------ unpacking -- */

/*
 * What unpacking one message may allocate: a few bytes of protobuf can announce
 * many fields, each of which costs a structure.  An honest message stays below
 * 8 times its length; nothing is counted back when freed.
 */
#define BUDGET_BASE (64u * 1024)
#define BUDGET_FACTOR 16u
#define BUDGET_MAX (8u * 1024 * 1024)
#define BUDGET_BLOCK 16u /* What malloc itself takes for a block. */

struct budget {
	size_t left; /* Bytes. */
	int short_of_memory;
};

static void *
budget_alloc(void *arg, size_t n)
{
	struct budget *b = arg;
	void *p;

	if (b->left < BUDGET_BLOCK || n > b->left - BUDGET_BLOCK)
		return NULL;
	b->left -= n + BUDGET_BLOCK;
	if ((p = malloc(n > 0 ? n : 1)) == NULL)
		b->short_of_memory = 1;
	return p;
}

static void
budget_free(void *arg, void *p)
{
	(void)arg;
	free(p);
}

int
msg_unpack(const struct frame *f, ProtobufCMessage **out, struct err *err)
{
	const struct kind *k = find(f->kind);
	struct budget budget = { BUDGET_BASE + BUDGET_FACTOR * f->len, 0 };
	ProtobufCAllocator alloc = { budget_alloc, budget_free, &budget };
	ProtobufCMessage *m;

	*out = NULL;
	if (k == NULL)
		return err_set(err, ERR_PROTOCOL, "unknown message kind %u", f->kind);
	if (k->of == NULL)
		return err_set(err, ERR_PROTOCOL, "%s carries no message", k->name);
	if (f->len > MSG_LEN_MAX)
		return err_set(err, ERR_PROTOCOL, "%s: %zu bytes, at most %u are allowed",
		    k->name, f->len, MSG_LEN_MAX);
	if (budget.left > BUDGET_MAX)
		budget.left = BUDGET_MAX;
	m = protobuf_c_message_unpack(
	    k->of, &alloc, f->len, f->payload != NULL ? f->payload : (const uint8_t *)"");
	if (m == NULL && budget.short_of_memory)
		return err_set(
		    err, ERR_NOMEM, "%s: no memory for %zu bytes", k->name, f->len);
	if (m == NULL)
		return err_set(
		    err, ERR_PROTOCOL, "%s: malformed, %zu bytes", k->name, f->len);
	if (k->of == &wire__failed__descriptor) {
		Wire__Failed *failed = (Wire__Failed *)m;

		/* A reason must not be lost for an odd letter in it. */
		if (failed->text[0] != '\0')
			msg_check_clean(failed->text);
	}
	if (msg_check(m, ERR_PROTOCOL, err) < 0) {
		msg_free(m);
		return -1;
	}
	*out = m;
	return 0;
}

void
msg_free(ProtobufCMessage *m)
{
	/* budget_alloc() gives what free() takes, so no allocator is needed. */
	if (m != NULL)
		protobuf_c_message_free_unpacked(m, NULL);
}

int
msg_pack(const ProtobufCMessage *m, struct buf *out, struct err *err)
{
	size_t len;
	uint8_t *to;

	assert(msg_kind_of(m) != 0);
	buf_clear(out);
	if (msg_check(m, ERR_LIMIT, err) < 0)
		return -1;
	len = protobuf_c_message_get_packed_size(m);
	if (len > MSG_LEN_MAX)
		return err_set(err, ERR_LIMIT, "%s: %zu bytes, at most %u are allowed",
		    m->descriptor->short_name, len, MSG_LEN_MAX);
	if ((to = buf_room(out, len, err)) == NULL)
		return err_context(err, "%s", m->descriptor->short_name);
	(void)protobuf_c_message_pack(m, to);
	out->len = len;
	return 0;
}

int
msg_welcome_ok(
    const Wire__Welcome *m, const char *const *known, size_t n, struct err *err)
{
	size_t i, k;

	if (m->version != MSG_VERSION)
		return err_set(err, ERR_UNSUPPORTED,
		    "the server speaks version %u, we %u", m->version, MSG_VERSION);
	for (i = 0; i < m->n_features; i++) {
		for (k = 0; k < n && strcmp(known[k], m->features[i]) != 0; k++)
			continue;
		if (k == n)
			return err_set(err, ERR_UNSUPPORTED,
			    "the server uses feature '%.60s', which this program does "
			    "not know",
			    m->features[i]);
	}
	return 0;
}

/* --------------------------------------------------------------- errors -- */

void
msg_from_err(const struct err *err, Wire__Failed *out)
{
	wire__failed__init(out);
	out->code = (uint32_t)err->code;
	out->text = (char *)(uintptr_t)err->text;
}

int
msg_to_err(const Wire__Failed *m, struct err *err)
{
	enum err_code code = (enum err_code)m->code;

	/* A number of a newer peer; its words still help. */
	if (m->code == 0 || strcmp(err_name(code), "unknown") == 0)
		code = ERR_PROTOCOL;
	return err_set(err, code, "%s",
	    m->text != NULL && m->text[0] != '\0' ? m->text : "the peer gave no reason");
}
