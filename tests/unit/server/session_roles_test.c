/* Every message as every role to a real server: what the table refuses is refused. */
#include "server/roles.h"
#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer peers[CERT_RESCUE + 1];

#define KIND_MAX 160

static int
setup(void **state)
{
	static const char *const names[] = { "nobody", "agent", "viewer", "restorer",
		"admin", "agent" };
	static uint8_t image[LIVE_CHUNK] = { 1 };
	struct live_session s;

	(void)state;
	live_start(&live);
	for (int role = CERT_NOBODY; role <= CERT_RESCUE; role++) {
		live_peer(&live, (enum cert_role)role, names[role], &peers[role]);
		if (role == CERT_AGENT) {
			live_dial(&live, &peers[role], &s);
			live_backup(&s, "disk", image, sizeof(image));
			live_hangup(&s);
		}
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int role = CERT_NOBODY; role <= CERT_RESCUE; role++)
		live_peer_free(&peers[role]);
	live_stop(&live);
	return 0;
}

/* A payload that would pass as each kind. */
static void
payload_of(uint16_t kind, struct buf *out)
{
	static uint8_t bytes[32] = { 1 };
	Wire__Enroll enroll = WIRE__ENROLL__INIT;
	Wire__Renew renew = WIRE__RENEW__INIT;
	Wire__BeginVolume bv = WIRE__BEGIN_VOLUME__INIT, *bvs[1] = { &bv };
	Wire__Begin begin = WIRE__BEGIN__INIT;
	Wire__CommitVolume cv = WIRE__COMMIT_VOLUME__INIT, *cvs[1] = { &cv };
	Wire__Commit commit = WIRE__COMMIT__INIT;
	Wire__Counts counts = WIRE__COUNTS__INIT;
	Wire__Have have = WIRE__HAVE__INIT;
	Wire__GetNodes nodes = WIRE__GET_NODES__INIT;
	Wire__GetGroups groups = WIRE__GET_GROUPS__INIT;
	Wire__NewOperator op = WIRE__NEW_OPERATOR__INIT;
	Wire__Revoke revoke = WIRE__REVOKE__INIT;
	Wire__NoteEscrow escrow = WIRE__NOTE_ESCROW__INIT;
	Wire__Redeem redeem = WIRE__REDEEM__INIT;
	Wire__Announce announce = WIRE__ANNOUNCE__INIT;
	Wire__ReportRestore report = WIRE__REPORT_RESTORE__INIT;
	Wire__NewRestoreToken ticket = WIRE__NEW_RESTORE_TOKEN__INIT;
	const ProtobufCMessage *m = NULL;
	struct err err = ERR_INIT;

	buf_clear(out);
	enroll.secret.data = enroll.csr.data = renew.csr.data = op.csr.data = bytes;
	enroll.secret.len = TOKEN_SECRET_LEN;
	enroll.csr.len = renew.csr.len = op.csr.len = sizeof(bytes);
	enroll.name = op.name = bv.name = cv.name = (char *)"viewer";
	op.role = CERT_ADMIN;
	bv.size = 512;
	begin.n_volumes = commit.n_volumes = 1;
	begin.volumes = bvs;
	commit.volumes = cvs;
	commit.counts = &counts;
	cv.root_id.data = have.ids.data = bytes;
	cv.root_id.len = have.ids.len = sizeof(bytes);
	have.kind = CHUNK_DATA;
	nodes.count = groups.spans = escrow.kind = 1;
	escrow.check.data = bytes;
	escrow.check.len = sizeof(bytes);
	revoke.host = (char *)"viewer";
	redeem.secret.data = redeem.csr.data = redeem.machine.data = bytes;
	announce.macs.data = announce.csr.data = announce.machine.data = bytes;
	redeem.secret.len = 15;
	announce.macs.len = 6;
	redeem.csr.len = redeem.machine.len = sizeof(bytes);
	announce.csr.len = announce.machine.len = sizeof(bytes);
	report.state = 2;
	ticket.host = (char *)"agent";
	switch (kind) {
	case MSG_ENROLL:
		m = &enroll.base;
		break;
	case MSG_RENEW:
		m = &renew.base;
		break;
	case MSG_BEGIN:
		m = &begin.base;
		break;
	case MSG_HAVE_ASK:
		m = &have.base;
		break;
	case MSG_COMMIT:
		m = &commit.base;
		break;
	case MSG_GET_NODES:
		m = &nodes.base;
		break;
	case MSG_GET_GROUPS:
		m = &groups.base;
		break;
	case MSG_NEW_OPERATOR:
		m = &op.base;
		break;
	case MSG_REVOKE:
		m = &revoke.base;
		break;
	case MSG_NOTE_ESCROW:
		m = &escrow.base;
		break;
	case MSG_REDEEM:
		m = &redeem.base;
		break;
	case MSG_ANNOUNCE:
		m = &announce.base;
		break;
	case MSG_REPORT_RESTORE:
		m = &report.base;
		break;
	case MSG_NEW_RESTORE_TOKEN:
		m = &ticket.base;
		break;
	case MSG_PUT:
		live_ok(buf_add(out, bytes, sizeof(bytes), &err));
		return;
	default:
		return; /* The empty message. */
	}
	live_ok(msg_pack(m, out, &err));
}

/* What a refused message could have changed. */
static void
fingerprint(char out[256])
{
	struct store *s = server_store(live.server);
	struct store_stats st;
	struct store_peer p;
	struct err err = ERR_INIT;

	live_ok(store_stats(s, &st, &err));
	live_ok(store_peer_by_name(s, "viewer", &p, &err));
	(void)snprintf(out, 256, "%llu hosts %llu points %llu chunks %d revoked, role %d",
	    (unsigned long long)st.hosts, (unsigned long long)st.points,
	    (unsigned long long)st.chunks, p.revoked, p.role);
}

/* Send it; the answer is the table's refusal or anything but. */
static void
try_cell(struct live_session *s, int role, uint16_t kind, const struct buf *b)
{
	const char *name = cert_role_name((enum cert_role)role);
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	uint64_t request;
	int answered;

	live_ok(channel_send_raw(
	    s->ch, kind, b->len > 0 ? b->p : NULL, b->len, &request, &err));
	answered = channel_wait(s->ch, request, LIVE_MS, &f, &err) == 0;
	free(f.payload);
	if (roles_allow((enum cert_role)role, kind)) {
		if (!answered && strstr(err.text, "may not send") != NULL)
			fail_msg("%s by %s: %s", msg_name(kind), name, err.text);
	} else if (answered || err.code != ERR_DENIED ||
		   strstr(err.text, msg_name(kind)) == NULL ||
		   strstr(err.text, name) == NULL) {
		fail_msg("%s by %s: %s", msg_name(kind), name,
		    answered ? "answered" : err.text);
	}
}

static int
is_request(uint16_t kind)
{
	return strcmp(msg_name(kind), "unknown") != 0 && kind != MSG_HELLO;
}

static void
every_refused_cell_is_refused_in_words_and_does_nothing(void **state)
{
	char before[256], after[256];
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct live_session s;
	int cells = 0;

	(void)state;
	fingerprint(before);
	for (int role = CERT_NOBODY; role <= CERT_RESCUE; role++) {
		/* All of them in one session: a refusal does not even end it. */
		live_dial(&live, &peers[role], &s);
		for (uint16_t kind = 1; kind <= KIND_MAX; kind++) {
			if (!is_request(kind) || roles_allow((enum cert_role)role, kind))
				continue;
			payload_of(kind, &b);
			try_cell(&s, role, kind, &b);
			cells++;
		}
		live_hangup(&s);
	}
	fingerprint(after);
	assert_string_equal(before, after);
	assert_in_range(cells, 250, 700);
	buf_free(&b);
}

static void
every_permitted_cell_gets_past_the_table(void **state)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct live_session s;
	int cells = 0;

	(void)state;
	for (int role = CERT_NOBODY; role <= CERT_RESCUE; role++) {
		for (uint16_t kind = 1; kind <= KIND_MAX; kind++) {
			/*
			 * A Revoke would work, and end the viewer of this test; those
			 * from 100 on may run for long.
			 */
			if (!is_request(kind) || kind == MSG_REVOKE ||
			    (kind > 100 && kind < MSG_REDEEM) ||
			    !roles_allow((enum cert_role)role, kind))
				continue;
			payload_of(kind, &b);
			live_dial(&live, &peers[role], &s);
			try_cell(&s, role, kind, &b);
			live_hangup(&s);
			cells++;
		}
	}
	assert_in_range(cells, 30, 80);
	buf_free(&b);
}

static void
nobody_says_hello_with_another_role(void **state)
{
	static const struct {
		int role, key;
	} welcomes[] = {
		{ CERT_NOBODY, 0 },
		{ CERT_AGENT, 1 },
		{ CERT_VIEWER, 0 },
		{ CERT_RESTORER, 1 },
		{ CERT_ADMIN, 1 },
		{ CERT_RESCUE, 1 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(welcomes) / sizeof(welcomes[0]); i++) {
		struct live_session s;

		live_dial(&live, &peers[welcomes[i].role], &s);
		assert_int_equal(s.welcome->role, welcomes[i].role);
		assert_int_equal(s.welcome->domain_key.len, welcomes[i].key ? 32 : 0);
		live_hangup(&s);
	}
}

static void
before_hello_there_is_nothing_but_hello(void **state)
{
	(void)state;
	for (int role = CERT_NOBODY; role <= CERT_RESCUE; role++) {
		struct channel *ch;

		live_open(&live, &peers[role], NULL, 0, &ch);
		live_refused_raw(
		    ch, MSG_GET_STATS, NULL, 0, ERR_PROTOCOL, "Hello comes first");
		live_over(ch);
		channel_close(ch);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nobody_says_hello_with_another_role),
		cmocka_unit_test(every_refused_cell_is_refused_in_words_and_does_nothing),
		cmocka_unit_test(every_permitted_cell_gets_past_the_table),
		cmocka_unit_test(before_hello_there_is_nothing_but_hello),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
