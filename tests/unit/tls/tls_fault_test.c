/*
 * A network that cuts, flips and invents: no side ever crashes, hangs busy, or
 * takes its peer for someone else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/tls/tls_pair.h"

static struct pair_ca ca;
static struct pair_id server_id, agent_id;
static struct tls_config *server, *agent;
static int64_t clock_now = PAIR_NOW;
static uint8_t ticket[8192];
static size_t ticket_len;

static int
setup(void **state)
{
	struct err err = ERR_INIT;
	const uint8_t *p;
	struct pair pair;

	(void)state;
	pair_ca_make(&ca, "backup-ca");
	pair_id_make(
	    &server_id, &ca, CERT_SERVER, "backup1", PAIR_NOW, PAIR_NOW + PAIR_DAY);
	pair_id_make(&agent_id, &ca, CERT_AGENT, "host-7", PAIR_NOW, PAIR_NOW + PAIR_DAY);
	PAIR_MUST(tls_config_server(&server_id.id, &ca.cert, &server, &err) == 0);
	PAIR_MUST(tls_config_client(&agent_id.id, &ca.cert, NULL, &agent, &err) == 0);
	tls_config_clock(server, pair_clock, &clock_now);
	tls_config_clock(agent, pair_clock, &clock_now);
	pair_start(&pair, agent, server);
	pair_run(&pair);
	PAIR_MUST((p = tls_ticket(pair.client, &ticket_len)) != NULL);
	memcpy(ticket, p, ticket_len);
	pair_end(&pair);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	tls_config_free(server);
	tls_config_free(agent);
	cert_key_free(server_id.key);
	cert_key_free(agent_id.key);
	cert_key_free(ca.key);
	return 0;
}

/* What the network does to one direction. */
struct fault {
	size_t cut;  /* Nothing passes from here on; SIZE_MAX: all does. */
	size_t flip; /* This byte is XORed with `bits`; SIZE_MAX: none. */
	uint8_t bits;
	size_t most; /* Bytes passed at once. */
	size_t passed;
};

static const struct fault none = { SIZE_MAX, SIZE_MAX, 0, SIZE_MAX, 0 };

static size_t
carry(struct tls *from, struct tls *to, struct fault *f)
{
	uint8_t piece[4096];
	struct err err = ERR_INIT;
	const uint8_t *p;
	size_t n = tls_output(from, &p);

	if (n > f->most)
		n = f->most;
	if (n > sizeof(piece))
		n = sizeof(piece);
	if (f->passed >= f->cut)
		n = 0;
	else if (n > f->cut - f->passed)
		n = f->cut - f->passed;
	if (n == 0)
		return 0;
	memcpy(piece, p, n);
	if (f->flip >= f->passed && f->flip - f->passed < n)
		piece[f->flip - f->passed] ^= f->bits;
	f->passed += n;
	(void)tls_input(to, piece, n, &err);
	tls_sent(from, n);
	return n;
}

/* A handshake and 1000 bytes each way through this network. */
static void
run(struct pair *p, int resume, struct fault *to_server, struct fault *to_client)
{
	static const uint8_t some[1000];
	struct err err = ERR_INIT;
	int i, wrote = 0, wrote_back = 0;

	pair_start(p, agent, server);
	if (resume)
		tls_resume(p->client, ticket, ticket_len);
	for (i = 0; i < 20000; i++) {
		pair_turn(p->client, &p->client_last, &p->client_err);
		pair_turn(p->server, &p->server_last, &p->server_err);
		if (to_server->bits == 0) {
			PAIR_MUST(
			    p->client_last == TLS_WANT && p->server_last == TLS_WANT);
		}
		if (!wrote && tls_open(p->client))
			wrote = tls_write(p->client, some, sizeof(some), &err) == 0;
		if (!wrote_back && tls_open(p->server))
			wrote_back = tls_write(p->server, some, sizeof(some), &err) == 0;
		if (carry(p->client, p->server, to_server) == 0 &&
		    carry(p->server, p->client, to_client) == 0)
			break;
	}
	PAIR_MUST(i < 20000);
	/* Whoever is open knows the truth. */
	if (tls_open(p->server)) {
		assert_int_equal(tls_peer(p->server)->trust, TLS_TRUSTED);
		assert_string_equal(tls_peer(p->server)->cert.name, "host-7");
	}
	if (tls_open(p->client)) {
		assert_int_equal(tls_peer(p->client)->trust, TLS_TRUSTED);
		assert_string_equal(tls_peer(p->client)->cert.name, "backup1");
	}
	/* Whoever failed says so in one line. */
	if (p->server_last == TLS_FAILED)
		assert_true(
		    p->server_err.code != ERR_NONE && p->server_err.text[0] != '\0');
	if (p->client_last == TLS_FAILED)
		assert_true(
		    p->client_err.code != ERR_NONE && p->client_err.text[0] != '\0');
}

/* How many bytes go each way when nothing is wrong. */
static void
measure(int resume, size_t *to_server, size_t *to_client)
{
	struct fault up = none, down = none;
	struct pair p;

	run(&p, resume, &up, &down);
	assert_true(tls_open(p.server) && tls_open(p.client));
	assert_int_equal(tls_peer(p.server)->resumed, resume);
	*to_server = up.passed;
	*to_client = down.passed;
	pair_end(&p);
}

/*
 * Byte by byte: at every cut both sides wait, none fails, none believes too much
 * (run() looks after each step), and the whole still works.
 */
static void
test_byte_by_byte(void **state)
{
	struct fault up, down;
	struct pair p;
	int resume;

	(void)state;
	for (resume = 0; resume <= 1; resume++) {
		up = down = none;
		up.most = down.most = 1;
		run(&p, resume, &up, &down);
		assert_true(tls_open(p.server) && tls_open(p.client));
		assert_int_equal(tls_peer(p.server)->resumed, resume);
		pair_end(&p);
	}
}

/* Cut for good, and freed there. */
static void
test_cut_and_freed(void **state)
{
	size_t to_server, to_client, n;
	struct fault up, down;
	struct pair p;
	int resume;

	(void)state;
	for (resume = 0; resume <= 1; resume++) {
		measure(resume, &to_server, &to_client);
		for (n = 0; n < to_server + to_client; n += 97) {
			up = down = none;
			if (n < to_server)
				up.cut = n;
			else
				down.cut = n - to_server;
			run(&p, resume, &up, &down);
			assert_int_equal(p.server_last, TLS_WANT);
			assert_int_equal(p.client_last, TLS_WANT);
			tls_shutdown(p.client);
			tls_shutdown(p.server);
			pair_end(&p);
		}
	}
	tls_free(NULL);
	tls_config_free(NULL);
}

static void
flip_all(int resume, size_t step)
{
	size_t to_server, to_client, n;
	struct fault up, down;
	struct pair p;

	measure(resume, &to_server, &to_client);
	for (n = 0; n < to_server + to_client; n += step) {
		up = down = none;
		up.bits = down.bits = (uint8_t)(1 << (n % 8));
		if (n < to_server)
			up.flip = n;
		else
			down.flip = n - to_server;
		run(&p, resume, &up, &down);
		pair_end(&p);
	}
}

static void
test_flipped_bits(void **state)
{
	(void)state;
	flip_all(1, 11);
	flip_all(0, 61);
}

/* A flip in the middle of bulk: what came before arrives, then it ends, for good. */
static void
test_a_flip_in_bulk(void **state)
{
	const size_t total = 100000;
	uint8_t *b = calloc(1, total);
	struct err err = ERR_INIT;
	const uint8_t *p;
	struct pair pair;
	size_t n, got = 0, seen = 0;
	enum tls_result r;
	uint8_t *copy;

	(void)state;
	assert_non_null(b);
	pair_start(&pair, agent, server);
	pair_run(&pair);
	assert_int_equal(tls_write(pair.client, b, total, &err), 0);
	n = tls_output(pair.client, &p);
	assert_non_null(copy = malloc(n));
	memcpy(copy, p, n);
	copy[50000] ^= 1;
	assert_int_equal(tls_input(pair.server, copy, n, &err), 0);
	while ((r = tls_read(pair.server, b, total, &got, &err)) == TLS_DATA)
		seen += got;
	assert_int_equal(r, TLS_FAILED);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_string_equal(err.text, "a TLS record was changed on its way");
	assert_true(seen > 30000 && seen < 50000);
	assert_false(tls_open(pair.server));
	err_clear(&err);
	assert_int_equal(tls_write(pair.server, b, 1, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	/* The other side is told by an alert. */
	(void)pair_move(pair.server, pair.client);
	err_clear(&err);
	assert_int_equal(tls_read(pair.client, b, total, &got, &err), TLS_FAILED);
	assert_int_equal(err.code, ERR_PROTOCOL);
	pair_end(&pair);
	free(copy);
	free(b);
}

/* Noise that starts like TLS, cut anywhere, to either side and after the handshake. */
static void
test_garbage(void **state)
{
	uint8_t noise[600], b[100];
	uint32_t x = 12345;
	struct pair pair;
	size_t i, j, got;

	(void)state;
	for (i = 0; i < 600; i++) {
		struct tls *t = tls_new(i % 2 ? server : agent);
		struct err err = ERR_INIT;
		enum tls_result r;

		assert_non_null(t);
		for (j = 0; j < sizeof(noise); j++) {
			x = x * 1664525 + 1013904223;
			noise[j] = (uint8_t)(x >> 24);
		}
		if (i % 3 != 0)
			memcpy(noise, "\x16\x03\x03\x01\x00", 5);
		if (i % 3 == 2)
			memcpy(noise + 5,
			    i % 2 ? "\x01\x00\x00\xfc\x03\x03"
				  : "\x02\x00\x00\xfc\x03\x03",
			    6);
		(void)tls_read(t, b, sizeof(b), &got, &err);
		assert_int_equal(tls_input(t, noise, i, &err), 0);
		r = tls_read(t, b, sizeof(b), &got, &err);
		assert_true(r == TLS_WANT || r == TLS_FAILED);
		assert_false(tls_open(t));
		tls_free(t);
	}
	pair_start(&pair, agent, server);
	pair_run(&pair);
	noise[0] = 23;
	noise[1] = noise[2] = 3;
	noise[3] = 1;
	assert_int_equal(
	    tls_input(pair.server, noise, sizeof(noise), &pair.server_err), 0);
	pair_turn(pair.server, &pair.server_last, &pair.server_err);
	assert_int_equal(pair.server_last, TLS_FAILED);
	pair_end(&pair);
}

/* mbedTLS' key store holds a key per handshake under way: it must not count to 32. */
static void
test_many_handshakes_at_once(void **state)
{
	enum { MANY = 3000 };
	static struct tls *clients[MANY];
	struct err err = ERR_INIT;
	uint8_t b[16];
	size_t got;
	int i;

	(void)state;
	for (i = 0; i < MANY; i++) {
		assert_non_null(clients[i] = tls_new(agent));
		assert_int_equal(
		    tls_read(clients[i], b, sizeof(b), &got, &err), TLS_WANT);
	}
	for (i = 0; i < MANY; i += 300) {
		struct pair p;

		memset(&p, 0, sizeof(p));
		p.client = clients[i];
		assert_non_null(p.server = tls_new(server));
		p.client_last = p.server_last = TLS_WANT;
		pair_run(&p);
		assert_true(tls_open(p.server) && tls_open(p.client));
		tls_free(p.server);
	}
	for (i = 0; i < MANY; i++)
		tls_free(clients[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_cut_and_freed),
		cmocka_unit_test(test_flipped_bits),
		cmocka_unit_test(test_a_flip_in_bulk),
		cmocka_unit_test(test_garbage),
		cmocka_unit_test(test_many_handshakes_at_once),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
