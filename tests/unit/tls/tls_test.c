/* Connections: who may talk to whom, how a refusal reads, and what a ticket carries. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <sodium.h>

#include "tests/unit/tls/tls_pair.h"

static struct pair_ca ca, other_ca;
static struct pair_id server_id, agent_id, old_id, foreign_id, foreign_server,
    expired_server;
static int64_t clock_now = PAIR_NOW;
static struct tls_config *server, *agent, *nobody;

static struct tls_config *
config_server(const struct pair_id *id, const struct pair_ca *by)
{
	struct err err = ERR_INIT;
	struct tls_config *c;

	assert_int_equal(tls_config_server(&id->id, &by->cert, &c, &err), 0);
	tls_config_clock(c, pair_clock, &clock_now);
	return c;
}

static struct tls_config *
config_client(const struct pair_id *id, const struct pair_ca *by)
{
	struct err err = ERR_INIT;
	struct tls_config *c;

	assert_int_equal(
	    tls_config_client(id == NULL ? NULL : &id->id, &by->cert, NULL, &c, &err), 0);
	tls_config_clock(c, pair_clock, &clock_now);
	return c;
}

static int
setup(void **state)
{
	(void)state;
	pair_ca_make(&ca, "backup-ca");
	pair_ca_make(&other_ca, "other-ca");
	pair_id_make(&server_id, &ca, CERT_SERVER, "backup1", PAIR_NOW - 1,
	    PAIR_NOW + 900 * PAIR_DAY);
	pair_id_make(
	    &agent_id, &ca, CERT_AGENT, "host-7", PAIR_NOW - 1, PAIR_NOW + 90 * PAIR_DAY);
	pair_id_make(&old_id, &ca, CERT_AGENT, "host-8", PAIR_NOW - 2 * PAIR_DAY,
	    PAIR_NOW - PAIR_DAY);
	pair_id_make(&foreign_id, &other_ca, CERT_AGENT, "host-9", PAIR_NOW - 1,
	    PAIR_NOW + PAIR_DAY);
	pair_id_make(&foreign_server, &other_ca, CERT_SERVER, "backup2", PAIR_NOW - 1,
	    PAIR_NOW + PAIR_DAY);
	pair_id_make(
	    &expired_server, &ca, CERT_SERVER, "backup3", PAIR_NOW - 2, PAIR_NOW - 1);
	server = config_server(&server_id, &ca);
	agent = config_client(&agent_id, &ca);
	nobody = config_client(NULL, &ca);
	return 0;
}

static int
teardown(void **state)
{
	struct pair_id *ids[] = { &server_id, &agent_id, &old_id, &foreign_id,
		&foreign_server, &expired_server };
	size_t i;

	(void)state;
	tls_config_free(server);
	tls_config_free(agent);
	tls_config_free(nobody);
	for (i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		cert_key_free(ids[i]->key);
	cert_key_free(ca.key);
	cert_key_free(other_ca.key);
	return 0;
}

static void
same_facts(const struct cert_facts *a, const struct cert_facts *b)
{
	assert_memory_equal(a->serial, b->serial, sizeof(a->serial));
	assert_memory_equal(a->key_hash, b->key_hash, sizeof(a->key_hash));
	assert_string_equal(a->name, b->name);
	assert_int_equal(a->role, b->role);
	assert_int_equal(a->not_before, b->not_before);
	assert_int_equal(a->not_after, b->not_after);
}

static void
test_both_know_each_other(void **state)
{
	struct pair p;
	size_t len;

	(void)state;
	pair_start(&p, agent, server);
	pair_run(&p);
	assert_true(tls_open(p.client) && tls_open(p.server));
	assert_int_equal(tls_peer(p.server)->trust, TLS_TRUSTED);
	assert_int_equal(tls_peer(p.server)->resumed, 0);
	same_facts(&tls_peer(p.server)->cert, &agent_id.facts);
	assert_int_equal(tls_peer(p.client)->trust, TLS_TRUSTED);
	same_facts(&tls_peer(p.client)->cert, &server_id.facts);
	assert_string_equal(tls_suite(p.client), "TLS1-3-CHACHA20-POLY1305-SHA256");
	assert_string_equal(tls_suite(p.server), "TLS1-3-CHACHA20-POLY1305-SHA256");
	assert_non_null(tls_ticket(p.client, &len));
	pair_end(&p);
}

/* Write and read `total` bytes in odd pieces through odd-sized windows. */
static void
pour(struct tls *from, struct tls *to, size_t total)
{
	size_t sent = 0, seen = 0, got, n, i, step = 1;
	uint8_t *out = malloc(200000), in[5000];
	struct err err = ERR_INIT;
	const uint8_t *p;
	enum tls_result r;

	assert_non_null(out);
	while (seen < total) {
		step = step * 7 % 190001;
		n = total - sent < step ? total - sent : step;
		for (i = 0; i < n; i++)
			out[i] = (uint8_t)((sent + i) * 131 >> 3);
		assert_int_equal(tls_write(from, out, n, &err), 0);
		sent += n;
		while ((n = tls_output(from, &p)) > 0) {
			if (n > 1 + step % 30000)
				n = 1 + step % 30000;
			assert_int_equal(tls_input(to, p, n, &err), 0);
			tls_sent(from, n);
			while ((r = tls_read(to, in, 1 + step % sizeof(in), &got,
				    &err)) == TLS_DATA) {
				for (i = 0; i < got; i++)
					assert_int_equal(
					    in[i], (uint8_t)((seen + i) * 131 >> 3));
				seen += got;
			}
			assert_int_equal(r, TLS_WANT);
		}
	}
	assert_int_equal(seen, total);
	free(out);
}

static void
test_bytes_arrive_in_order(void **state)
{
	struct err err = ERR_INIT;
	struct pair p;
	uint8_t b[16];
	size_t got;

	(void)state;
	pair_start(&p, agent, server);
	assert_int_equal(tls_write(p.client, b, 1, &err), -1);
	pair_run(&p);
	pour(p.client, p.server, 3000000);
	pour(p.server, p.client, 3000000);
	tls_shutdown(p.client);
	assert_true(pair_move(p.client, p.server) > 0);
	err_clear(&err);
	assert_int_equal(tls_read(p.server, b, sizeof(b), &got, &err), TLS_END);
	assert_int_equal(tls_read(p.server, b, sizeof(b), &got, &err), TLS_END);
	pair_end(&p);
}

static void
test_output_has_a_limit(void **state)
{
	size_t n = (size_t)8 * 1024 * 1024;
	struct err err = ERR_INIT;
	const uint8_t *p;
	struct pair pair;
	uint8_t *b = calloc(1, n);
	int i;

	(void)state;
	assert_non_null(b);
	pair_start(&pair, agent, server);
	pair_run(&pair);
	for (i = 0; i < 7; i++)
		assert_int_equal(tls_write(pair.client, b, n, &err), 0);
	assert_int_equal(tls_write(pair.client, b, n, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	/* Nothing was half written: once drained, it goes on. */
	while (tls_output(pair.client, &p) > 0)
		(void)pair_move(pair.client, pair.server),
		    pair_turn(pair.server, &pair.server_last, &pair.server_err);
	err_clear(&err);
	assert_int_equal(tls_write(pair.client, b, 100, &err), 0);
	(void)pair_move(pair.client, pair.server);
	pair_turn(pair.server, &pair.server_last, &pair.server_err);
	assert_int_equal(pair.server_last, TLS_WANT);
	free(b);
	pair_end(&pair);
}

static void
refused(const struct pair_id *id, const char *why)
{
	struct tls_config *c = config_client(id, &ca);
	struct pair p;
	size_t len;

	pair_start(&p, c, server);
	pair_run(&p);
	assert_true(tls_open(p.server) && tls_open(p.client));
	assert_int_equal(tls_peer(p.server)->trust, TLS_REFUSED);
	assert_string_equal(tls_peer(p.server)->why, why);
	assert_string_equal(tls_peer(p.server)->cert.name, "");
	assert_null(tls_ticket(p.client, &len));
	/* It can still be told so. */
	pour(p.server, p.client, 1000);
	pour(p.client, p.server, 1000);
	pair_end(&p);
	tls_config_free(c);
}

static void
test_a_bad_client_is_let_in_to_be_told(void **state)
{
	(void)state;
	refused(&old_id, "certificate of host-8 expired on 2026-01-01");
	refused(&foreign_id,
	    "certificate of host-9 was not signed by the authority backup-ca");
}

static void
test_nobody_is_nobody(void **state)
{
	struct pair p;
	size_t len;

	(void)state;
	pair_start(&p, nobody, server);
	pair_run(&p);
	assert_true(tls_open(p.server) && tls_open(p.client));
	assert_int_equal(tls_peer(p.server)->trust, TLS_NOBODY);
	assert_int_equal(tls_peer(p.client)->trust, TLS_TRUSTED);
	assert_null(tls_ticket(p.client, &len));
	pour(p.server, p.client, 1000);
	pair_end(&p);
}

static void
client_refuses(struct tls_config *client, struct tls_config *srv, const char *why)
{
	struct pair p;

	pair_start(&p, client, srv);
	pair_run(&p);
	assert_int_equal(p.client_last, TLS_FAILED);
	assert_int_equal(p.client_err.code, ERR_DENIED);
	assert_string_equal(p.client_err.text, why);
	assert_int_equal(p.server_last, TLS_FAILED);
	assert_int_equal(p.server_err.code, ERR_DENIED);
	assert_string_equal(
	    p.server_err.text, "the peer refused our certificate: access denied");
	assert_false(tls_open(p.server) || tls_open(p.client));
	pair_end(&p);
}

static void
test_a_client_talks_to_no_false_server(void **state)
{
	struct tls_config *foreign = config_server(&foreign_server, &other_ca);
	struct tls_config *expired = config_server(&expired_server, &ca);
	struct tls_config *agent_as_server = config_server(&agent_id, &ca);

	(void)state;
	client_refuses(agent, foreign,
	    "certificate of backup2 was not signed by the authority backup-ca");
	client_refuses(agent, expired, "certificate of backup3 expired on 2026-01-01");
	client_refuses(nobody, agent_as_server,
	    "certificate of host-7 has the role agent, not server");
	tls_config_free(foreign);
	tls_config_free(expired);
	tls_config_free(agent_as_server);
}

static void
test_a_fingerprint_finds_the_authority(void **state)
{
	struct tls_config *foreign = config_server(&foreign_server, &other_ca), *pinned;
	uint8_t print[CERT_FINGERPRINT_LEN];
	struct err err = ERR_INIT;
	struct pair p;

	(void)state;
	cert_fingerprint(&ca.cert, print);
	assert_int_equal(tls_config_client(NULL, NULL, print, &pinned, &err), 0);
	tls_config_clock(pinned, pair_clock, &clock_now);
	pair_start(&p, pinned, server);
	pair_run(&p);
	assert_true(tls_open(p.server) && tls_open(p.client));
	same_facts(&tls_peer(p.client)->cert, &server_id.facts);
	pair_end(&p);
	client_refuses(pinned, foreign, "the server's authority is not the one expected");
	tls_config_free(pinned);
	tls_config_free(foreign);
}

/* A ticket from a full handshake of `client` with `srv`; its length. */
static size_t
get_ticket(struct tls_config *client, struct tls_config *srv, uint8_t *out, size_t cap)
{
	const uint8_t *ticket;
	struct pair p;
	size_t len;

	pair_start(&p, client, srv);
	pair_run(&p);
	ticket = tls_ticket(p.client, &len);
	assert_non_null(ticket);
	assert_true(len <= cap);
	memcpy(out, ticket, len);
	pair_end(&p);
	return len;
}

/* Connect with a ticket; is it resumed?  Both sides must agree. */
static int
resumes(struct tls_config *client, struct tls_config *srv, const uint8_t *ticket,
    size_t len, struct tls_peer *at_server)
{
	struct pair p;
	int r;

	pair_start(&p, client, srv);
	tls_resume(p.client, ticket, len);
	pair_run(&p);
	assert_true(tls_open(p.server) && tls_open(p.client));
	r = tls_peer(p.server)->resumed;
	assert_int_equal(tls_peer(p.client)->resumed, r);
	assert_int_equal(tls_peer(p.client)->trust, TLS_TRUSTED);
	*at_server = *tls_peer(p.server);
	pour(p.client, p.server, 10000);
	pair_end(&p);
	return r;
}

static void
test_a_ticket_carries_identity(void **state)
{
	uint8_t ticket[4096];
	struct tls_peer peer;
	const uint8_t *next;
	struct pair p;
	size_t len, full;
	int i;

	(void)state;
	pair_start(&p, agent, server);
	pair_run(&p);
	full = p.to_client;
	pair_end(&p);
	len = get_ticket(agent, server, ticket, sizeof(ticket));
	/* A resumed connection gives the next ticket. */
	for (i = 0; i < 3; i++) {
		pair_start(&p, agent, server);
		tls_resume(p.client, ticket, len);
		pair_run(&p);
		assert_true(p.to_client < full);
		assert_int_equal(tls_peer(p.server)->trust, TLS_TRUSTED);
		assert_int_equal(tls_peer(p.server)->resumed, 1);
		same_facts(&tls_peer(p.server)->cert, &agent_id.facts);
		assert_int_equal(tls_peer(p.client)->resumed, 1);
		same_facts(&tls_peer(p.client)->cert, &server_id.facts);
		next = tls_ticket(p.client, &len);
		assert_non_null(next);
		memcpy(ticket, next, len);
		pair_end(&p);
	}
	assert_int_equal(resumes(agent, server, ticket, len, &peer), 1);
}

static void
test_tickets_end(void **state)
{
	struct tls_config *again = config_server(&server_id, &ca);
	struct pair_id short_id;
	struct tls_config *brief;
	uint8_t ticket[4096];
	struct tls_peer peer;
	size_t len;

	(void)state;
	/* After its time; the new connection is a full one. */
	len = get_ticket(agent, server, ticket, sizeof(ticket));
	clock_now = PAIR_NOW + 43199;
	assert_int_equal(resumes(agent, server, ticket, len, &peer), 1);
	clock_now = PAIR_NOW + 43200;
	assert_int_equal(resumes(agent, server, ticket, len, &peer), 0);
	same_facts(&peer.cert, &agent_id.facts);
	clock_now = PAIR_NOW;
	/* With the key that sealed it. */
	assert_int_equal(resumes(agent, again, ticket, len, &peer), 0);
	assert_int_equal(peer.trust, TLS_TRUSTED);
	/* With the certificate it stands for: refused as in a full handshake. */
	pair_id_make(&short_id, &ca, CERT_AGENT, "host-5", PAIR_NOW - 1, PAIR_NOW + 10);
	brief = config_client(&short_id, &ca);
	len = get_ticket(brief, server, ticket, sizeof(ticket));
	assert_int_equal(resumes(brief, server, ticket, len, &peer), 1);
	clock_now = PAIR_NOW + 11;
	assert_int_equal(resumes(brief, server, ticket, len, &peer), 0);
	assert_int_equal(peer.trust, TLS_REFUSED);
	assert_string_equal(peer.why, "certificate of host-5 expired on 2026-01-02");
	clock_now = PAIR_NOW;
	tls_config_free(brief);
	cert_key_free(short_id.key);
	tls_config_free(again);
}

/* Keys are rotated; the one before still opens, the one before that does not. */
static void
test_ticket_keys_rotate(void **state)
{
	struct tls_config *srv = config_server(&server_id, &ca);
	uint8_t first[4096], second[4096], third[4096];
	struct tls_peer peer;
	size_t len1, len2, len3;

	(void)state;
	len1 = get_ticket(agent, srv, first, sizeof(first));
	clock_now += 43000;
	len2 = get_ticket(agent, srv, second, sizeof(second));
	clock_now += 43000;
	len3 = get_ticket(agent, srv, third, sizeof(third));
	assert_int_equal(resumes(agent, srv, third, len3, &peer), 1);
	assert_int_equal(
	    resumes(agent, srv, second, len2, &peer), 1 - (43000 * 2 - 43000 >= 43200));
	assert_int_equal(resumes(agent, srv, first, len1, &peer), 0);
	clock_now = PAIR_NOW;
	tls_config_free(srv);
}

static void
test_a_ticket_is_its_owners(void **state)
{
	struct tls_config *foreign = config_client(&foreign_id, &ca);
	uint8_t ticket[4096], bad[4096];
	struct tls_peer peer;
	size_t len, i;

	(void)state;
	len = get_ticket(agent, server, ticket, sizeof(ticket));
	/* Another identity (a renewed certificate, say) does not offer it. */
	assert_int_equal(resumes(foreign, server, ticket, len, &peer), 0);
	assert_int_equal(peer.trust, TLS_REFUSED);
	assert_int_equal(resumes(nobody, server, ticket, len, &peer), 0);
	assert_int_equal(peer.trust, TLS_NOBODY);
	/* What is damaged is of no use and does no harm: but who it is stays true. */
	for (i = 0; i < len; i += 1 + len / 40) {
		struct pair p;

		memcpy(bad, ticket, len);
		bad[i] ^= 0x10;
		pair_start(&p, agent, server);
		tls_resume(p.client, bad, len);
		pair_run(&p);
		assert_true(tls_open(p.server) && tls_open(p.client));
		assert_int_equal(tls_peer(p.server)->resumed, 0);
		same_facts(&tls_peer(p.server)->cert, &agent_id.facts);
		pair_end(&p);
		pair_start(&p, agent, server);
		tls_resume(p.client, ticket, i);
		pair_run(&p);
		assert_true(tls_open(p.server) && tls_open(p.client));
		assert_int_equal(tls_peer(p.server)->resumed, 0);
		pair_end(&p);
	}
	tls_config_free(foreign);
}

/*
 * A good ticket offered, but so that mbedTLS prefers a full handshake (its age is
 * wrong), and then no certificate shown: that is nobody, whatever the ticket says.
 */
static void
test_an_offered_ticket_is_no_identity(void **state)
{
	/* Version, basis (authority, own certificate), facts; mbedTLS' header, its age.
	 */
	const size_t own = 1 + 32, age = 1 + 64 + 129 + 9;
	uint8_t ticket[4096], sum[32];
	struct tls_peer peer;
	size_t len;
	int wrong_age;

	(void)state;
	for (wrong_age = 0; wrong_age <= 1; wrong_age++) {
		len = get_ticket(agent, server, ticket, sizeof(ticket));
		ticket[age] ^= wrong_age ? 0x40 : 0;
		(void)crypto_hash_sha256(sum, ticket, len - 8);
		memcpy(ticket + len - 8, sum, 8);
		assert_int_equal(resumes(agent, server, ticket, len, &peer), !wrong_age);
		assert_int_equal(peer.trust, TLS_TRUSTED);
		/* As a client without certificate would save it. */
		memset(ticket + own, 0, 32);
		(void)crypto_hash_sha256(sum, ticket, len - 8);
		memcpy(ticket + len - 8, sum, 8);
		assert_int_equal(resumes(nobody, server, ticket, len, &peer), !wrong_age);
		assert_int_equal(peer.trust, wrong_age ? TLS_NOBODY : TLS_TRUSTED);
		assert_string_equal(peer.cert.name, wrong_age ? "" : "host-7");
	}
}

static void
not_tls(struct tls_config *config, const char *bytes, size_t n, const char *why)
{
	struct tls *t = tls_new(config);
	struct err err = ERR_INIT;
	uint8_t b[16];
	size_t got;

	assert_non_null(t);
	assert_int_equal(tls_read(t, b, sizeof(b), &got, &err), TLS_WANT);
	assert_int_equal(tls_input(t, (const uint8_t *)bytes, n, &err), 0);
	assert_int_equal(tls_read(t, b, sizeof(b), &got, &err), TLS_FAILED);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_string_equal(err.text, why);
	err_clear(&err);
	assert_int_equal(tls_read(t, b, sizeof(b), &got, &err), TLS_FAILED);
	assert_string_equal(err.text, why);
	err_clear(&err);
	assert_int_equal(tls_input(t, b, 1, &err), -1);
	tls_free(t);
}

static void
test_what_is_not_tls_13_is_said_so(void **state)
{
	/* A TLS 1.2 ServerHello's first bytes, whole record; protocol_version alert. */
	static const char hello12[] = "\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03"
				      "0123456789abcdef0123456789abcdef\x00\xc0\x2b\x00";
	static const char alert[] = "\x15\x03\x03\x00\x02\x02\x46";
	/* A ClientHello without supported_versions: TLS 1.2 at most. */
	static const char client12[] =
	    "\x16\x03\x01\x00\x2d\x01\x00\x00\x29\x03\x03"
	    "0123456789abcdef0123456789abcdef\x00\x00\x02\xc0\x2b\x01\x00";
	const char *const is_not = "the peer does not speak TLS 1.3";

	(void)state;
	not_tls(server, "G", 1, is_not);
	not_tls(server, "\0\0\0\0", 4, is_not);
	not_tls(agent, "SSH-2.0-OpenSSH\r\n", 17, is_not);
	not_tls(server, "\x16\x03\x01\xff\xff\x01", 6, is_not);
	not_tls(server, client12, sizeof(client12) - 1, is_not);
	not_tls(agent, hello12, sizeof(hello12) - 1, is_not);
	not_tls(agent, alert, sizeof(alert) - 1, is_not);
}

static int lines;

static void
on_line(void *arg, const char *line)
{
	(void)arg;
	assert_non_null(strstr(line, "_SECRET"));
	assert_int_equal(strlen(strchr(line, ' ')), 1 + 64 + 1 + 64);
	lines++;
}

static void
test_keylog_lines(void **state)
{
	struct tls_config *c = config_client(&agent_id, &ca);
	struct pair p;

	(void)state;
	tls_config_keylog(c, on_line, NULL);
	pair_start(&p, c, server);
	pair_run(&p);
	assert_int_equal(lines, 4);
	pair_end(&p);
	tls_config_free(c);
}

static void
test_a_key_must_fit_its_certificate(void **state)
{
	struct cert_identity mixed = agent_id.id;
	struct err err = ERR_INIT;
	struct tls_config *c;

	(void)state;
	mixed.key = server_id.key;
	assert_int_equal(tls_config_server(&mixed, &ca.cert, &c, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	mixed = agent_id.id;
	mixed.cert.len -= 1;
	assert_int_equal(tls_config_client(&mixed, &ca.cert, NULL, &c, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_know_each_other),
		cmocka_unit_test(test_bytes_arrive_in_order),
		cmocka_unit_test(test_output_has_a_limit),
		cmocka_unit_test(test_a_bad_client_is_let_in_to_be_told),
		cmocka_unit_test(test_nobody_is_nobody),
		cmocka_unit_test(test_a_client_talks_to_no_false_server),
		cmocka_unit_test(test_a_fingerprint_finds_the_authority),
		cmocka_unit_test(test_a_ticket_carries_identity),
		cmocka_unit_test(test_tickets_end),
		cmocka_unit_test(test_ticket_keys_rotate),
		cmocka_unit_test(test_a_ticket_is_its_owners),
		cmocka_unit_test(test_an_offered_ticket_is_no_identity),
		cmocka_unit_test(test_what_is_not_tls_13_is_said_so),
		cmocka_unit_test(test_keylog_lines),
		cmocka_unit_test(test_a_key_must_fit_its_certificate),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
