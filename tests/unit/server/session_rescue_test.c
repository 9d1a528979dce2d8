/* Redeeming at a live server: by one of many at once, from floods, until the end. */
#include <pthread.h>

#include "proto/tls/restore_token.h"
#include "server/rescues.h"
#include "storage/store_gc.h"
#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer admin, agent, other;

static int
setup(void **state)
{
	static uint8_t image[LIVE_CHUNK] = { 1 };
	struct live_peer *hosts[] = { &agent, &other };
	struct live_session s;

	(void)state;
	live_start(&live);
	live_peer(&live, CERT_ADMIN, "root", &admin);
	live_peer(&live, CERT_AGENT, "web", &agent);
	live_peer(&live, CERT_AGENT, "mail", &other);
	for (size_t i = 0; i < 2; i++) {
		live_dial(&live, hosts[i], &s);
		live_backup(&s, "disk", image, sizeof(image));
		live_hangup(&s);
	}
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	live_peer_free(&admin);
	live_peer_free(&agent);
	live_peer_free(&other);
	live_stop(&live);
	return 0;
}

/* A machine with a key of its own; it is nobody yet. */
struct machine {
	struct live_peer p;
	struct cert csr;
};

static void
machine_new(struct machine *m, uint8_t id)
{
	struct err err = ERR_INIT;

	live_peer(&live, CERT_NOBODY, "", &m->p);
	memset(m->p.machine, id, sizeof(m->p.machine));
	live_ok(cert_request(m->p.key, "rescue", &m->csr, &err));
}

static void
token_by(struct live_peer *who, const char *host, uint8_t secret[RESTORE_SECRET_LEN])
{
	Wire__NewRestoreToken m = WIRE__NEW_RESTORE_TOKEN__INIT;
	struct live_session s;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	m.host = (char *)(uintptr_t)host;
	live_dial(&live, who, &s);
	live_ok(channel_call(s.ch, &m.base, MSG_TOKEN_TEXT, &reply, &err));
	live_ok(restore_token_parse(((Wire__TokenText *)reply)->text, secret, &err));
	msg_free(reply);
	live_hangup(&s);
}

static void
token_of(const char *host, uint8_t secret[RESTORE_SECRET_LEN])
{
	token_by(&admin, host, secret);
}

/* 0 and the machine has a certificate, or -1. */
static int
redeem(struct machine *m, const uint8_t secret[RESTORE_SECRET_LEN], struct err *err)
{
	Wire__Redeem ask = WIRE__REDEEM__INIT;
	struct live_session s;
	ProtobufCMessage *reply;
	struct live_peer nobody = m->p;
	int rc = -1;

	nobody.id.cert.len = 0;
	nobody.tls = NULL;
	live_peer_tls(&live, &nobody);
	ask.secret.data = (uint8_t *)(uintptr_t)secret;
	ask.secret.len = RESTORE_SECRET_LEN;
	ask.csr.data = m->csr.der;
	ask.csr.len = m->csr.len;
	ask.machine.data = m->p.machine;
	ask.machine.len = sizeof(m->p.machine);
	live_dial(&live, &nobody, &s);
	if (channel_call(s.ch, &ask.base, MSG_REDEEMED, &reply, err) == 0) {
		const Wire__Redeemed *r = (const Wire__Redeemed *)reply;

		m->p.id.cert.len = r->cert.len;
		memcpy(m->p.id.cert.der, r->cert.data, r->cert.len);
		live_peer_tls(&live, &m->p);
		msg_free(reply);
		rc = 0;
	}
	live_hangup(&s);
	tls_config_free(nobody.tls);
	return rc;
}

static void
a_certificate_is_for_its_machine_and_host(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN];
	Wire__ListPoints list = WIRE__LIST_POINTS__INIT;
	Wire__GetNodes nodes = WIRE__GET_NODES__INIT;
	struct err err = ERR_INIT;
	struct live_session s;
	struct channel *ch;
	struct machine m;

	(void)state;
	machine_new(&m, 1);
	token_of("web", secret);
	live_ok(redeem(&m, secret, &err));
	live_dial(&live, &m.p, &s);
	assert_int_equal(s.welcome->role, CERT_RESCUE);
	assert_string_equal(s.welcome->name, "web");
	list.host = nodes.host = (char *)"mail";
	nodes.count = 1;
	live_refused(s.ch, &list.base, ERR_DENIED, "that host only");
	live_refused(s.ch, &nodes.base, ERR_DENIED, "that host only");
	live_hangup(&s);

	/* Its certificate on another machine. */
	m.p.machine[0] ^= 1;
	live_open(&live, &m.p, NULL, 0, &ch);
	assert_int_equal(live_hello(ch, &m.p, &s, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "another machine"));
	channel_close(ch);
	live_peer_free(&m.p);
}

static void
an_older_certificate_does_not_count(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN];
	struct err err = ERR_INIT;
	struct live_session held, s;
	struct machine one, two;
	struct channel *ch;

	(void)state;
	machine_new(&one, 1);
	machine_new(&two, 1);
	token_of("web", secret);
	live_ok(redeem(&one, secret, &err));
	live_dial(&live, &one.p, &held);
	/* The machine lost its key in a power cut, and made another. */
	live_ok(redeem(&two, secret, &err));
	live_over(held.ch);
	live_hangup(&held);
	live_open(&live, &one.p, NULL, 0, &ch);
	assert_int_equal(live_hello(ch, &one.p, &s, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	channel_close(ch);
	live_dial(&live, &two.p, &s);
	live_hangup(&s);
	live_peer_free(&one.p);
	live_peer_free(&two.p);
}

static int
revoke_reader(void *arg, const struct store_lease_info *l)
{
	struct err err = ERR_INIT;
	unsigned *n = arg;

	if (l->purpose == STORE_READ && !l->revoked) {
		live_ok(store_lease_revoke(server_store(live.server), l->id, &err));
		(*n)++;
	}
	return 0;
}

/* A restore that takes longer than readers are waited for asks again, and goes on. */
static void
a_revoked_lease_is_no_end(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN];
	Wire__GetNodes nodes = WIRE__GET_NODES__INIT;
	struct err err = ERR_INIT;
	struct live_session s;
	struct machine m;
	unsigned revoked = 0;

	(void)state;
	machine_new(&m, 1);
	token_of("web", secret);
	live_ok(redeem(&m, secret, &err));
	live_dial(&live, &m.p, &s);
	nodes.level = MSG_NODE_LEVEL_ROOT;
	nodes.count = 1;
	for (int i = 0; i < 2; i++) {
		struct channel_frame f = { 0 };
		uint64_t request;

		live_ok(channel_send(s.ch, &nodes.base, &request, &err));
		live_ok(channel_wait(s.ch, request, LIVE_MS, &f, &err));
		assert_int_equal(f.kind, MSG_NODE);
		free(f.payload);
		if (i > 0)
			break;
		live_ok(store_leases(
		    server_store(live.server), revoke_reader, &revoked, &err));
		assert_in_range(revoked, 1, 100);
		live_refused(s.ch, &nodes.base, ERR_BUSY, "was revoked");
	}
	live_hangup(&s);
	live_peer_free(&m.p);
}

static void
done_ends_every_session_of_it(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN];
	Wire__ReportRestore report = WIRE__REPORT_RESTORE__INIT;
	Wire__GetNodes nodes = WIRE__GET_NODES__INIT;
	struct live_session one, two;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	struct machine m;
	struct channel *ch;

	(void)state;
	machine_new(&m, 1);
	token_of("web", secret);
	live_ok(redeem(&m, secret, &err));
	live_dial(&live, &m.p, &one);
	live_dial(&live, &m.p, &two);
	report.state = 3;
	live_ok(channel_call(one.ch, &report.base, MSG_DONE, &reply, &err));
	msg_free(reply);
	nodes.count = 1;
	live_refused(one.ch, &nodes.base, ERR_DENIED, "is done");
	live_refused(one.ch, &report.base, ERR_DENIED, "is done");
	live_over(two.ch);
	live_hangup(&one);
	live_hangup(&two);
	live_open(&live, &m.p, NULL, 0, &ch);
	assert_int_equal(live_hello(ch, &m.p, &one, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	channel_close(ch);
	err_clear(&err);
	assert_int_equal(redeem(&m, secret, &err), -1);
	assert_non_null(strstr(err.text, "is done"));
	live_peer_free(&m.p);
}

/* Two machines become copies of one host: what ends one leaves the other alone. */
static void
an_end_is_of_one_restore(void **state)
{
	uint8_t secrets[3][RESTORE_SECRET_LEN];
	Wire__ReportRestore report = WIRE__REPORT_RESTORE__INIT;
	Wire__ListPoints points = WIRE__LIST_POINTS__INIT;
	Wire__ListRestores list = WIRE__LIST_RESTORES__INIT;
	Wire__EndRestore end = WIRE__END_RESTORE__INIT;
	struct live_session s[3], op;
	struct machine m[3];
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	uint64_t newest = 0;
	unsigned online = 0;

	(void)state;
	for (int i = 0; i < 3; i++) {
		machine_new(&m[i], (uint8_t)(i + 1));
		token_of("web", secrets[i]);
		live_ok(redeem(&m[i], secrets[i], &err));
		live_dial(&live, &m[i].p, &s[i]);
	}
	/* Done, and ended by an operator. */
	report.state = 3;
	live_ok(channel_call(s[0].ch, &report.base, MSG_DONE, &reply, &err));
	msg_free(reply);
	live_dial(&live, &admin, &op);
	live_ok(channel_call(op.ch, &list.base, MSG_RESTORES, &reply, &err));
	for (size_t i = 0; i < ((Wire__Restores *)reply)->n_restores; i++) {
		const Wire__Restore *r = ((Wire__Restores *)reply)->restores[i];

		online += r->online != 0;
		newest = r->restore > newest ? r->restore : newest;
	}
	assert_int_equal(online, 2);
	msg_free(reply);
	end.host = (char *)"web";
	end.restore = newest;
	live_ok(channel_call(op.ch, &end.base, MSG_DONE, &reply, &err));
	msg_free(reply);
	live_over(s[2].ch);
	/* Ended on the same loop or another: by now the errands have run. */
	points.host = (char *)"web";
	live_ok(channel_call(s[1].ch, &points.base, MSG_POINTS, &reply, &err));
	msg_free(reply);
	for (int i = 0; i < 3; i++) {
		live_hangup(&s[i]);
		live_peer_free(&m[i].p);
	}
	live_hangup(&op);
}

static void
whom_a_revoked_operator_let_in_is_out(void **state)
{
	uint8_t used[RESTORE_SECRET_LEN], kept[RESTORE_SECRET_LEN];
	uint8_t others[RESTORE_SECRET_LEN];
	Wire__Revoke revoke = WIRE__REVOKE__INIT;
	struct live_session s, op;
	struct live_peer eve;
	struct machine m, n;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	(void)state;
	live_peer(&live, CERT_RESTORER, "eve", &eve);
	token_by(&eve, "web", used);
	token_by(&eve, "mail", kept);
	token_of("mail", others);
	machine_new(&m, 1);
	machine_new(&n, 2);
	live_ok(redeem(&m, used, &err));
	live_dial(&live, &m.p, &s);
	live_dial(&live, &admin, &op);
	revoke.host = (char *)"eve";
	live_ok(channel_call(op.ch, &revoke.base, MSG_DONE, &reply, &err));
	msg_free(reply);
	live_over(s.ch);
	assert_int_equal(redeem(&n, kept, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "was ended"));
	err_clear(&err);
	live_ok(redeem(&n, others, &err));
	live_hangup(&s);
	live_hangup(&op);
	live_peer_free(&m.p);
	live_peer_free(&n.p);
	live_peer_free(&eve);
}

/* ------------------------------------------------------------------- at once -- */

struct racer {
	pthread_t thread;
	struct machine m;
	uint8_t secret[RESTORE_SECRET_LEN];
	int rc;
	struct err err;
};

static void *
race(void *arg)
{
	struct racer *r = arg;

	r->rc = redeem(&r->m, r->secret, &r->err);
	return NULL;
}

static void
of_two_machines_at_once_one_is_let_in(void **state)
{
	struct racer racers[4] = { 0 };
	uint8_t secret[RESTORE_SECRET_LEN];
	int won;

	(void)state;
	for (unsigned round = 0; round < 5; round++) {
		token_of("mail", secret);
		won = 0;
		for (uint8_t i = 0; i < 4; i++) {
			racers[i].err = (struct err)ERR_INIT;
			machine_new(&racers[i].m, (uint8_t)(i + 1));
			memcpy(racers[i].secret, secret, sizeof(secret));
			assert_int_equal(
			    pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
		}
		for (unsigned i = 0; i < 4; i++) {
			assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
			won += racers[i].rc == 0;
			if (racers[i].rc != 0)
				assert_non_null(
				    strstr(racers[i].err.text, "another machine"));
			live_peer_free(&racers[i].m.p);
		}
		assert_int_equal(won, 1);
	}
}

/* ------------------------------------------------------------ by MAC, floods -- */

enum { WAITS, LET_IN };

/* It waits, or it was let in and has a certificate; -1. */
static int
announce(struct machine *m, const uint8_t mac[6], struct err *err)
{
	Wire__Announce ask = WIRE__ANNOUNCE__INIT;
	struct live_peer nobody = m->p;
	struct live_session s;
	struct channel_frame f = { 0 };
	ProtobufCMessage *reply;
	uint64_t request;
	int rc = -1;

	nobody.id.cert.len = 0;
	nobody.tls = NULL;
	live_peer_tls(&live, &nobody);
	ask.macs.data = (uint8_t *)(uintptr_t)mac;
	ask.macs.len = 6;
	ask.csr.data = m->csr.der;
	ask.csr.len = m->csr.len;
	ask.machine.data = m->p.machine;
	ask.machine.len = sizeof(m->p.machine);
	live_dial(&live, &nobody, &s);
	assert_int_equal(channel_send(s.ch, &ask.base, &request, err), 0);
	if (channel_wait(s.ch, request, LIVE_MS, &f, err) == 0) {
		const struct frame frame = { f.kind, f.flags, f.request, f.payload,
			f.len };

		assert_int_equal(msg_unpack(&frame, &reply, err), 0);
		rc = f.kind == MSG_WAITING ? WAITS : LET_IN;
		if (rc == LET_IN) {
			const Wire__Redeemed *r = (const Wire__Redeemed *)reply;

			m->p.id.cert.len = r->cert.len;
			memcpy(m->p.id.cert.der, r->cert.data, r->cert.len);
			live_peer_tls(&live, &m->p);
		}
		msg_free(reply);
	}
	free(f.payload);
	live_hangup(&s);
	tls_config_free(nobody.tls);
	return rc;
}

static void
confirm(struct machine *m)
{
	Wire__ConfirmRescue ask = WIRE__CONFIRM_RESCUE__INIT;
	uint8_t key_hash[CERT_FINGERPRINT_LEN];
	char code[RESTORE_CODE_TEXT_MAX];
	struct live_session s;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	live_ok(cert_key_hash(m->p.key, key_hash, &err));
	restore_code_format(key_hash, code);
	ask.code = code;
	live_dial(&live, &admin, &s);
	live_ok(channel_call(s.ch, &ask.base, MSG_DONE, &reply, &err));
	msg_free(reply);
	live_hangup(&s);
}

/* The armed machine comes back with another key: what its first key has is over. */
static void
a_confirmed_key_ends_the_one_before_and_no_other(void **state)
{
	static uint8_t mac[6] = { 2, 0, 0, 0, 0, 7 };
	Wire__NewRestoreToken arm = WIRE__NEW_RESTORE_TOKEN__INIT;
	Wire__ListPoints points = WIRE__LIST_POINTS__INIT;
	uint8_t secret[RESTORE_SECRET_LEN];
	struct live_session first, second, beside, op;
	struct machine one, two, third;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	(void)state;
	machine_new(&one, 1);
	machine_new(&two, 1);
	machine_new(&third, 3);
	token_of("web", secret);
	live_ok(redeem(&third, secret, &err));
	live_dial(&live, &third.p, &beside);
	arm.host = (char *)"web";
	arm.mac.data = mac;
	arm.mac.len = sizeof(mac);
	live_dial(&live, &admin, &op);
	live_ok(channel_call(op.ch, &arm.base, MSG_TOKEN_TEXT, &reply, &err));
	msg_free(reply);
	live_hangup(&op);

	assert_int_equal(announce(&one, mac, &err), WAITS);
	confirm(&one);
	assert_int_equal(announce(&one, mac, &err), LET_IN);
	live_dial(&live, &one.p, &first);

	assert_int_equal(announce(&two, mac, &err), WAITS);
	points.host = (char *)"web";
	live_ok(channel_call(first.ch, &points.base, MSG_POINTS, &reply, &err));
	msg_free(reply);
	confirm(&two);
	live_over(first.ch);
	assert_int_equal(announce(&two, mac, &err), LET_IN);
	live_dial(&live, &two.p, &second);
	assert_int_equal(second.welcome->role, CERT_RESCUE);
	live_ok(channel_call(beside.ch, &points.base, MSG_POINTS, &reply, &err));
	msg_free(reply);

	live_hangup(&first);
	live_hangup(&second);
	live_hangup(&beside);
	live_peer_free(&one.p);
	live_peer_free(&two.p);
	live_peer_free(&third.p);
}

static void
a_flood_of_announces_has_four_places(void **state)
{
	static const uint8_t mac[6] = { 2 };
	Wire__ListRestores list = WIRE__LIST_RESTORES__INIT;
	struct live_session s;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	unsigned got = 0, busy = 0;

	(void)state;
	for (uint8_t i = 0; i < 12; i++) {
		struct machine m;

		machine_new(&m, i);
		err_clear(&err);
		if (announce(&m, mac, &err) == WAITS)
			got++;
		else if (err.code == ERR_BUSY)
			busy++;
		live_peer_free(&m.p);
	}
	assert_int_equal(got, RESCUES_WAITING_EACH);
	assert_int_equal(busy, 12 - RESCUES_WAITING_EACH);
	live_dial(&live, &admin, &s);
	live_ok(channel_call(s.ch, &list.base, MSG_RESTORES, &reply, &err));
	assert_int_equal(((Wire__Restores *)reply)->n_waiting, RESCUES_WAITING_EACH);
	msg_free(reply);
	live_hangup(&s);
}

/* Behind one address is a whole site: one host's wrong token is nobody else's trouble. */
static void
wrong_tokens_lock_nobody_out_and_are_told(void **state)
{
	uint8_t secret[RESTORE_SECRET_LEN] = { 9 }, right[RESTORE_SECRET_LEN];
	char text[STORE_TEXT_MAX];
	struct err err = ERR_INIT;
	struct machine m;

	(void)state;
	machine_new(&m, 1);
	token_of("web", right);
	for (unsigned i = 0; i < RESCUES_GUESSES_ALARM; i++) {
		assert_int_equal(
		    store_restores_alarmed(server_store(live.server), text), 0);
		err_clear(&err);
		secret[1] = (uint8_t)i;
		assert_int_equal(redeem(&m, secret, &err), -1);
		assert_int_equal(err.code, ERR_DENIED);
		assert_non_null(strstr(err.text, "not known here"));
	}
	assert_int_equal(store_restores_alarmed(server_store(live.server), text), 1);
	assert_non_null(strstr(text, "many wrong tokens were tried, the last from 127."));
	err_clear(&err);
	live_ok(redeem(&m, right, &err));
	live_peer_free(&m.p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_certificate_is_for_its_machine_and_host),
		cmocka_unit_test(an_older_certificate_does_not_count),
		cmocka_unit_test(a_revoked_lease_is_no_end),
		cmocka_unit_test(done_ends_every_session_of_it),
		cmocka_unit_test(an_end_is_of_one_restore),
		cmocka_unit_test(whom_a_revoked_operator_let_in_is_out),
		cmocka_unit_test(of_two_machines_at_once_one_is_let_in),
		cmocka_unit_test(a_confirmed_key_ends_the_one_before_and_no_other),
		cmocka_unit_test(a_flood_of_announces_has_four_places),
		cmocka_unit_test(wrong_tokens_lock_nobody_out_and_are_told),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
