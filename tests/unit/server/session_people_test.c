/* Who is let in: enrolment, renewal, revocation, copies, operators. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer admin;

static int
setup(void **state)
{
	(void)state;
	live_start(&live);
	live_peer(&live, CERT_ADMIN, "root", &admin);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	live_peer_free(&admin);
	live_stop(&live);
	return 0;
}

/* ----------------------------------------------------------------- enrolment -- */

static void
token_of(Wire__NewToken *m, struct token *out)
{
	struct live_session s;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	live_dial(&live, &admin, &s);
	live_ok(channel_call(s.ch, &m->base, MSG_TOKEN_TEXT, &reply, &err));
	live_ok(token_parse(((Wire__TokenText *)reply)->text, out, &err));
	msg_free(reply);
	live_hangup(&s);
}

/* Enrol `p` (which has a key) as `name`; on success it has its certificate. */
static int
enrol(struct live_peer *p, const char *name, const struct token *token, struct err *err)
{
	struct cert *csr = calloc(1, sizeof(*csr));
	struct live_peer stranger = { .tls = NULL };
	Wire__Enroll m = WIRE__ENROLL__INIT;
	struct live_session s;
	ProtobufCMessage *reply;
	int rc = -1;

	assert_int_equal(
	    tls_config_client(NULL, NULL, token->ca_fingerprint, &stranger.tls, err), 0);
	live_dial(&live, &stranger, &s);
	assert_int_equal(
	    cert_request(p->key, strchr(name, ' ') != NULL ? "good" : name, csr, err), 0);
	m.secret.data = (uint8_t *)(uintptr_t)token->secret;
	m.secret.len = TOKEN_SECRET_LEN;
	m.csr.data = csr->der;
	m.csr.len = csr->len;
	m.name = (char *)(uintptr_t)name;
	m.machine.data = p->machine;
	m.machine.len = sizeof(p->machine);
	m.program = (char *)"live test";
	if (channel_call(s.ch, &m.base, MSG_ENROLLED, &reply, err) == 0) {
		const Wire__Enrolled *e = (const Wire__Enrolled *)reply;

		assert_string_equal(e->name, name);
		p->id.cert.len = e->cert.len;
		memcpy(p->id.cert.der, e->cert.data, e->cert.len);
		(void)snprintf(p->name, sizeof(p->name), "%s", name);
		live_peer_tls(&live, p);
		msg_free(reply);
		rc = 0;
	}
	live_hangup(&s);
	live_peer_free(&stranger);
	free(csr);
	return rc;
}

static void
new_machine(struct live_peer *p, uint8_t machine)
{
	live_peer(&live, CERT_NOBODY, "", p);
	memset(p->machine, machine, sizeof(p->machine));
}

static void
a_token_enrols_and_the_same_key_again_for_free(void **state)
{
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	struct live_peer p, q;
	struct live_session s;
	struct cert first;
	struct token token;
	struct err err = ERR_INIT;

	(void)state;
	m.group = (char *)"web";
	token_of(&m, &token);
	new_machine(&p, 1);
	new_machine(&q, 2);
	live_ok(enrol(&p, "web01", &token, &err));
	first = p.id.cert;
	live_dial(&live, &p, &s);
	assert_int_equal(s.welcome->role, CERT_AGENT);
	assert_int_equal(s.welcome->renew, 0);
	live_hangup(&s);

	/* The reply was lost: the same key gets the same certificate. */
	live_ok(enrol(&p, "web01", &token, &err));
	assert_int_equal(first.len, p.id.cert.len);
	assert_memory_equal(first.der, p.id.cert.der, first.len);

	assert_int_equal(enrol(&q, "web02", &token, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "used"));
	live_peer_free(&p);
	live_peer_free(&q);
}

static void
tokens_that_do_not_count_are_refused_in_words(void **state)
{
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	char *networks[] = { (char *)"10.99.0.0/16", (char *)"::1/128" };
	struct store_token late = { .uses_left = 1 };
	struct live_peer p;
	struct token token;
	struct err err = ERR_INIT;

	(void)state;
	new_machine(&p, 3);
	token_of(&m, &token);
	token.secret[0] ^= 1;
	assert_int_equal(enrol(&p, "x", &token, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "token"));

	err_clear(&err);
	m.networks = networks;
	m.n_networks = 2;
	token_of(&m, &token);
	assert_int_equal(enrol(&p, "x", &token, &err), -1);
	assert_non_null(strstr(err.text, "from 127.0.0.1"));

	err_clear(&err);
	late.ends_us = store_now(server_store(live.server)) - 1;
	memset(token.secret, 0x55, sizeof(token.secret));
	token_hash(token.secret, late.hash);
	live_ok(store_token_put(server_store(live.server), &late, &err));
	assert_int_equal(enrol(&p, "x", &token, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "expired"));
	live_peer_free(&p);
}

static void
names_and_requests_are_checked(void **state)
{
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	struct live_peer p;
	struct token token;
	struct err err = ERR_INIT;

	(void)state;
	m.uses = 10;
	token_of(&m, &token);
	new_machine(&p, 4);
	assert_int_equal(enrol(&p, "no spaces", &token, &err), -1);
	assert_non_null(strstr(err.text, "name"));
	err_clear(&err);
	/* An operator's name is a name, too. */
	assert_int_equal(enrol(&p, "root", &token, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	live_peer_free(&p);
}

/* The session was not ended: it lists its points. */
static void
answers_still(struct live_session *s)
{
	Wire__ListPoints m = WIRE__LIST_POINTS__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	live_ok(channel_call(s->ch, &m.base, MSG_POINTS, &reply, &err));
	msg_free(reply);
}

static void
a_name_is_taken_over_only_with_a_word_for_it(void **state)
{
	Wire__NewToken m = WIRE__NEW_TOKEN__INIT;
	struct live_peer old, fresh;
	struct live_session s;
	struct channel *ch;
	struct token token, first;
	struct err err = ERR_INIT;

	(void)state;
	m.uses = 5;
	token_of(&m, &token);
	new_machine(&old, 5);
	new_machine(&fresh, 5);
	first = token;
	live_ok(enrol(&old, "db", &token, &err));
	live_dial(&live, &old, &s);
	assert_int_equal(enrol(&fresh, "db", &token, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);

	err_clear(&err);
	m.replace_host = (char *)"db";
	token_of(&m, &token);
	live_ok(enrol(&fresh, "db", &token, &err));
	/* The old machine is out, at once and for good. */
	live_over(s.ch);
	live_hangup(&s);
	live_dial(&live, &fresh, &s);
	m.replace_host = (char *)"";
	/* Its token, asked again, does not end the session of the new one. */
	assert_int_equal(enrol(&old, "db", &first, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	answers_still(&s);
	live_hangup(&s);
	live_open(&live, &old, NULL, 0, &ch);
	assert_int_equal(live_hello(ch, &old, &s, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	channel_close(ch);
	live_dial(&live, &fresh, &s);
	live_hangup(&s);
	live_peer_free(&old);
	live_peer_free(&fresh);
}

/* ------------------------------------------------------------ those not let in -- */

static void
hello_is_denied(const struct live_peer *p, const uint8_t *ticket, size_t ticket_len,
    const char *words)
{
	struct live_session s;
	struct channel *ch;
	struct err err = ERR_INIT;

	live_open(&live, p, ticket, ticket_len, &ch);
	assert_int_equal(live_hello(ch, p, &s, &err), -1);
	if (err.code != ERR_DENIED || strstr(err.text, words) == NULL)
		fail_msg("'%s', expected '%s'", err.text, words);
	live_over(ch);
	channel_close(ch);
}

static void
revocation_ends_live_sessions_and_tickets(void **state)
{
	Wire__Revoke m = WIRE__REVOKE__INIT;
	Wire__ListPoints list = WIRE__LIST_POINTS__INIT;
	static uint8_t ticket[16384];
	struct live_peer p;
	struct live_session s, a;
	struct channel_frame f = { 0 };
	ProtobufCMessage *reply;
	size_t len;
	struct err err = ERR_INIT;

	(void)state;
	live_peer(&live, CERT_AGENT, "doomed", &p);
	live_dial(&live, &p, &s);
	live_ok(channel_call(s.ch, &list.base, MSG_POINTS, &reply, &err));
	msg_free(reply);
	len = channel_ticket(s.ch, ticket, sizeof(ticket));
	assert_true(len > 0);

	live_dial(&live, &admin, &a);
	m.host = (char *)"doomed";
	live_ok(channel_call(a.ch, &m.base, MSG_DONE, &reply, &err));
	msg_free(reply);
	/* The live session is told why. */
	assert_int_equal(channel_wait(s.ch, 0, LIVE_MS, &f, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "revoked"));
	live_hangup(&s);

	hello_is_denied(&p, NULL, 0, "revoked");
	hello_is_denied(&p, ticket, len, "revoked");

	m.host = (char *)"nobody-of-that-name";
	live_refused(a.ch, &m.base, ERR_NOTFOUND, "");
	m.host = (char *)"root";
	live_refused(a.ch, &m.base, ERR_DENIED, "itself");
	live_hangup(&a);
	live_peer_free(&p);
}

static void
a_resumed_session_is_as_good_as_a_new_one(void **state)
{
	static uint8_t ticket[16384];
	Wire__ListPoints list = WIRE__LIST_POINTS__INIT;
	ProtobufCMessage *reply;
	struct live_peer p;
	struct live_session s;
	struct channel *ch;
	size_t len;
	struct err err = ERR_INIT;

	(void)state;
	live_peer(&live, CERT_AGENT, "again", &p);
	live_dial(&live, &p, &s);
	live_ok(channel_call(s.ch, &list.base, MSG_POINTS, &reply, &err));
	msg_free(reply);
	len = channel_ticket(s.ch, ticket, sizeof(ticket));
	live_hangup(&s);
	live_open(&live, &p, ticket, len, &ch);
	live_ok(live_hello(ch, &p, &s, &err));
	assert_string_equal(s.welcome->name, "again");
	assert_int_equal(s.welcome->role, CERT_AGENT);
	live_hangup(&s);
	live_peer_free(&p);
}

static void
strangers_certificates_are_refused(void **state)
{
	struct live_peer p;
	struct cert_facts facts;
	struct cert *csr = calloc(2, sizeof(*csr));
	struct cert_key *ca_key;
	struct err err = ERR_INIT;

	(void)state;
	/* Signed by our CA, but not in the store. */
	live_peer(&live, CERT_NOBODY, "", &p);
	live_ok(cert_request(p.key, "ghost", csr, &err));
	live_ok(authority_sign(
	    live.authority, csr, "ghost", CERT_AGENT, 3600, &p.id.cert, &facts, &err));
	live_peer_tls(&live, &p);
	hello_is_denied(&p, NULL, 0, "not known");

	/* Expired an hour ago. */
	facts.not_before -= 7200;
	facts.not_after = time(NULL) - 3600;
	live_ok(cert_key_new(&ca_key, &err));
	{
		uint8_t der[CERT_DER_MAX];
		size_t len;
		struct cert_key *ours;

		live_ok(store_secret_get(
		    server_store(live.server), "ca-key", der, sizeof(der), &len, &err));
		live_ok(cert_key_load(der, len, &ours, &err));
		live_ok(cert_sign(
		    authority_ca(live.authority), ours, csr, &facts, &p.id.cert, &err));
		cert_key_free(ours);
	}
	live_peer_tls(&live, &p);
	hello_is_denied(&p, NULL, 0, "expired");

	/* Of an authority of its own that has our name. */
	live_ok(cert_ca_new(ca_key, "test", time(NULL) - 100, &csr[1], &err));
	facts.not_before = time(NULL) - 50;
	facts.not_after = time(NULL) + 3600;
	live_ok(cert_sign(&csr[1], ca_key, csr, &facts, &p.id.cert, &err));
	live_peer_tls(&live, &p);
	hello_is_denied(&p, NULL, 0, "");
	cert_key_free(ca_key);
	free(csr);
	live_peer_free(&p);
}

static void
a_copied_key_is_refused_and_noticed(void **state)
{
	struct store_peer record;
	struct live_peer p;
	struct live_session s;
	struct err err = ERR_INIT;

	(void)state;
	live_peer(&live, CERT_AGENT, "original", &p);
	live_dial(&live, &p, &s);
	live_hangup(&s);
	p.machine[0] ^= 1;
	hello_is_denied(&p, NULL, 0, "another machine");
	live_ok(store_peer_by_name(server_store(live.server), "original", &record, &err));
	assert_non_null(strstr(record.alarm, "copied key"));
	p.machine[0] ^= 1;
	live_dial(&live, &p, &s);
	live_hangup(&s);
	live_peer_free(&p);
}

static void
a_renewed_certificate_works_and_so_does_the_old_one(void **state)
{
	Wire__Renew m = WIRE__RENEW__INIT;
	struct cert *csr = calloc(1, sizeof(*csr)), *old = calloc(1, sizeof(*old));
	ProtobufCMessage *reply;
	const Wire__Enrolled *e;
	struct live_peer p;
	struct live_session s;
	struct err err = ERR_INIT;

	(void)state;
	live_peer(&live, CERT_AGENT, "renewer", &p);
	*old = p.id.cert;
	live_dial(&live, &p, &s);
	live_ok(cert_request(p.key, "renewer", csr, &err));
	m.csr.data = csr->der;
	m.csr.len = csr->len;
	live_ok(channel_call(s.ch, &m.base, MSG_ENROLLED, &reply, &err));
	e = (const Wire__Enrolled *)reply;
	p.id.cert.len = e->cert.len;
	memcpy(p.id.cert.der, e->cert.data, e->cert.len);
	msg_free(reply);
	live_hangup(&s);
	live_peer_tls(&live, &p);
	live_dial(&live, &p, &s);

	/* For another's name it is not to be had. */
	live_ok(cert_request(p.key, "root", csr, &err));
	m.csr.len = csr->len;
	live_refused(s.ch, &m.base, ERR_DENIED, "root");
	live_hangup(&s);

	p.id.cert = *old;
	live_peer_tls(&live, &p);
	live_dial(&live, &p, &s);
	live_hangup(&s);
	live_peer_free(&p);
	free(csr);
	free(old);
}

struct renewer {
	pthread_t thread;
	atomic_int let_in;
	struct live_peer peer;
};

/* Renew until it is refused. */
static void *
renew_on(void *arg)
{
	struct renewer *r = arg;
	struct cert *csr = calloc(1, sizeof(*csr));
	Wire__Renew m = WIRE__RENEW__INIT;
	struct live_session s;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	live_dial(&live, &r->peer, &s);
	atomic_store(&r->let_in, 1);
	assert_int_equal(cert_request(r->peer.key, r->peer.name, csr, &err), 0);
	m.csr.data = csr->der;
	m.csr.len = csr->len;
	while (channel_call(s.ch, &m.base, MSG_ENROLLED, &reply, &err) == 0) {
		const Wire__Enrolled *e = (const Wire__Enrolled *)reply;

		r->peer.id.cert.len = e->cert.len;
		memcpy(r->peer.id.cert.der, e->cert.data, e->cert.len);
		msg_free(reply);
	}
	live_hangup(&s);
	free(csr);
	return NULL;
}

static void
a_renewal_does_not_undo_a_revocation(void **state)
{
	Wire__Revoke m = WIRE__REVOKE__INIT;
	struct renewer r[4];
	struct live_session a;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	(void)state;
	live_dial(&live, &admin, &a);
	for (int i = 0; i < 4; i++) {
		char name[16];

		atomic_init(&r[i].let_in, 0);
		(void)snprintf(name, sizeof(name), "runner%d", i);
		live_peer(&live, CERT_AGENT, name, &r[i].peer);
		assert_int_equal(pthread_create(&r[i].thread, NULL, renew_on, &r[i]), 0);
	}
	for (int i = 0; i < 4; i++) {
		while (!atomic_load(&r[i].let_in))
			sched_yield();
		m.host = r[i].peer.name;
		live_ok(channel_call(a.ch, &m.base, MSG_DONE, &reply, &err));
		msg_free(reply);
	}
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(r[i].thread, NULL), 0);
		live_peer_tls(&live, &r[i].peer);
		hello_is_denied(&r[i].peer, NULL, 0, "revoked");
		live_peer_free(&r[i].peer);
	}
	live_hangup(&a);
}

static void
who_lost_its_name_cannot_renew_it(void **state)
{
	Wire__Renew m = WIRE__RENEW__INIT;
	struct cert *csr = calloc(1, sizeof(*csr));
	struct store *store = server_store(live.server);
	struct store_token t = { .uses_left = 1 };
	uint8_t cert[STORE_BLOB_MAX] = { 1 };
	struct store_peer heir;
	struct live_peer p;
	struct live_session s;
	struct err err = ERR_INIT;
	size_t len = 1;

	(void)state;
	live_peer(&live, CERT_AGENT, "heirloom", &p);
	live_dial(&live, &p, &s);
	/* The store has the new owner, and the old one's session is not told yet. */
	memset(t.hash, 0x77, sizeof(t.hash));
	t.ends_us = store_now(store) + 60000000;
	memcpy(t.replace_host, "heirloom", 9);
	live_ok(store_token_put(store, &t, &err));
	live_ok(store_peer_by_name(store, "heirloom", &heir, &err));
	memset(heir.serial, 0x78, sizeof(heir.serial));
	memset(heir.key_hash, 0x79, sizeof(heir.key_hash));
	live_ok(store_enrol(store, t.hash, &heir, cert, &len, &err));
	live_ok(cert_request(p.key, "heirloom", csr, &err));
	m.csr.data = csr->der;
	m.csr.len = csr->len;
	live_refused(s.ch, &m.base, ERR_DENIED, "does not count");
	live_ok(store_peer_by_name(store, "heirloom", &heir, &err));
	assert_int_equal(heir.key_hash[0], 0x79);
	live_hangup(&s);
	live_peer_free(&p);
	free(csr);
}

static void
operators_are_made_by_admins_with_the_role_asked_for(void **state)
{
	Wire__NewOperator m = WIRE__NEW_OPERATOR__INIT;
	struct cert *csr = calloc(1, sizeof(*csr));
	struct live_peer p;
	struct live_session s;
	ProtobufCMessage *reply;
	const Wire__Enrolled *e;
	struct err err = ERR_INIT;

	(void)state;
	live_peer(&live, CERT_NOBODY, "", &p);
	live_ok(cert_request(p.key, "alice", csr, &err));
	m.name = (char *)"alice";
	m.role = CERT_RESTORER;
	m.csr.data = csr->der;
	m.csr.len = csr->len;
	live_dial(&live, &admin, &s);
	live_ok(channel_call(s.ch, &m.base, MSG_ENROLLED, &reply, &err));
	e = (const Wire__Enrolled *)reply;
	p.id.cert.len = e->cert.len;
	memcpy(p.id.cert.der, e->cert.data, e->cert.len);
	msg_free(reply);
	live_refused(s.ch, &m.base, ERR_EXISTS, "taken");
	m.role = CERT_AGENT;
	live_refused(s.ch, &m.base, ERR_DENIED, "viewer, restorer or admin");
	m.role = CERT_SERVER;
	live_refused(s.ch, &m.base, ERR_DENIED, "viewer, restorer or admin");
	live_hangup(&s);
	live_peer_tls(&live, &p);
	live_dial(&live, &p, &s);
	assert_int_equal(s.welcome->role, CERT_RESTORER);
	live_hangup(&s);
	live_peer_free(&p);
	free(csr);
}

static void
a_peer_from_the_future_is_told_so(void **state)
{
	Wire__Hello m = WIRE__HELLO__INIT;
	char *features[] = { (char *)"telepathy" };
	struct channel *ch;

	(void)state;
	m.version = MSG_VERSION + 1;
	live_open(&live, &admin, NULL, 0, &ch);
	live_refused(ch, &m.base, ERR_UNSUPPORTED, "version 2");
	live_over(ch);
	channel_close(ch);
	m.version = MSG_VERSION;
	m.features = features;
	m.n_features = 1;
	live_open(&live, &admin, NULL, 0, &ch);
	live_refused(ch, &m.base, ERR_UNSUPPORTED, "telepathy");
	live_over(ch);
	channel_close(ch);
}

static void
what_a_peer_only_offers_is_ignored(void **state)
{
	Wire__Hello m = WIRE__HELLO__INIT;
	char *offers[] = { (char *)"telepathy", (char *)"levitation" };
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;
	struct channel *ch;

	(void)state;
	m.version = MSG_VERSION;
	m.offers = offers;
	m.n_offers = 2;
	live_open(&live, &admin, NULL, 0, &ch);
	live_ok(channel_call(ch, &m.base, MSG_WELCOME, &reply, &err));
	assert_int_equal(((Wire__Welcome *)reply)->n_features, 0);
	msg_free(reply);
	channel_close(ch);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_token_enrols_and_the_same_key_again_for_free),
		cmocka_unit_test(tokens_that_do_not_count_are_refused_in_words),
		cmocka_unit_test(names_and_requests_are_checked),
		cmocka_unit_test(a_name_is_taken_over_only_with_a_word_for_it),
		cmocka_unit_test(revocation_ends_live_sessions_and_tickets),
		cmocka_unit_test(a_resumed_session_is_as_good_as_a_new_one),
		cmocka_unit_test(strangers_certificates_are_refused),
		cmocka_unit_test(a_copied_key_is_refused_and_noticed),
		cmocka_unit_test(a_renewed_certificate_works_and_so_does_the_old_one),
		cmocka_unit_test(a_renewal_does_not_undo_a_revocation),
		cmocka_unit_test(who_lost_its_name_cannot_renew_it),
		cmocka_unit_test(operators_are_made_by_admins_with_the_role_asked_for),
		cmocka_unit_test(a_peer_from_the_future_is_told_so),
		cmocka_unit_test(what_a_peer_only_offers_is_ignored),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
