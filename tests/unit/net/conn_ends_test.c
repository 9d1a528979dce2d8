/*
 * Goal: however a connection ends (closed by either end at any moment, garbage,
 * silence, a reset), each end hears of it once, last, and with one clear reason.
 */
#include "tests/unit/net/net_watch.h"

/* ------------------------------------------- closing at any moment, once -- */

enum moment { NEVER, AT_START, ON_OPEN, ON_FRAME, LATER };

struct actor {
	int client;
	enum moment when;
	uint32_t linger_ms;
	enum err_code code; /* Given with the close. */
	struct loop *loop;
	int opened, frames, closed, did_close, got_all;
	struct conn *c;
	struct err why;
	struct gate *gate;
};

#define FRAMES 5

static void
do_close(struct actor *a)
{
	struct err why = ERR_INIT, other = ERR_INIT;

	(void)err_set(&other, ERR_NOMEM, "what comes second is not heard");
	a->did_close = 1;
	if (a->code != ERR_NONE)
		(void)err_set(&why, a->code, "as the test says");
	conn_close(a->c, a->code != ERR_NONE ? &why : NULL, a->linger_ms);
	conn_close(a->c, &other, 0);
	conn_pause(a->c, 1);
	conn_pause(a->c, 0);
	PAIR_MUST(!a->closed);
}

static void
close_later(void *arg)
{
	struct actor *a = arg;

	if (!a->closed)
		do_close(a);
}

static void
actor_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	static const uint8_t body[100];
	struct actor *a = arg;
	struct frame f = { 7, 0, 1, body, sizeof(body) };

	PAIR_MUST(
	    peer->trust == TLS_TRUSTED && !a->did_close && !a->closed && !a->opened);
	a->c = c;
	a->opened = 1;
	if (a->when == ON_OPEN)
		do_close(a);
	if (a->when == LATER)
		loop_post(a->loop, close_later, a);
	for (int i = 0; i < FRAMES; i++)
		conn_send(c, &f);
}

static void
actor_frame(struct conn *c, const struct frame *f, void *arg)
{
	struct actor *a = arg;

	PAIR_MUST(a->opened && !a->did_close && !a->closed && f->len == 100);
	a->c = c;
	if (a->when == ON_FRAME)
		do_close(a);
	if (++a->frames == FRAMES)
		a->got_all = 1;
	/* If nobody else closes, the client does in the end. */
	if (a->got_all && a->client && !a->did_close)
		do_close(a);
}

static void
actor_room(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
	abort(); /* conn_full() was not asked. */
}

static void
actor_closed(struct conn *c, const struct err *why, void *arg)
{
	struct actor *a = arg;

	(void)c;
	PAIR_MUST(!a->closed);
	a->closed = 1;
	a->why = *why;
	gate_raise(a->gate);
}

static const struct conn_events actor_events = { actor_open, actor_frame, actor_room,
	actor_closed };

static void
actor_accept(struct conn *c, unsigned loop_no, void *arg)
{
	struct actor *a = arg;

	a->c = c;
	a->loop = peers.loops[loop_no];
	conn_set_events(c, &actor_events, a);
	if (a->when == AT_START)
		do_close(a);
}

static void
actor_connect(void *arg)
{
	struct actor *a = arg;

	a->c = conn_connect(
	    a->loop, peers.address, peers.agent, NULL, 0, NULL, &actor_events, a);
	if (a->when == AT_START)
		do_close(a);
}

static const struct {
	enum moment client, server;
} closings[] = {
	{ NEVER, NEVER },
	{ AT_START, NEVER },
	{ NEVER, AT_START },
	{ ON_OPEN, NEVER },
	{ NEVER, ON_OPEN },
	{ ON_OPEN, ON_OPEN },
	{ LATER, NEVER },
	{ NEVER, LATER },
	{ LATER, LATER },
	{ ON_FRAME, NEVER },
	{ NEVER, ON_FRAME },
	{ ON_FRAME, ON_FRAME },
};

static void
one_closing(size_t i, uint32_t linger_ms)
{
	struct gate gate = GATE_INIT;
	struct actor server = { .when = closings[i].server,
		.linger_ms = linger_ms,
		.gate = &gate,
		.code = i % 2 ? ERR_BUSY : ERR_NONE };
	struct actor client = { .client = 1,
		.when = closings[i].client,
		.linger_ms = linger_ms,
		.gate = &gate,
		.loop = peers.client_loop };

	peers_listen(&peers, NULL, 10, actor_accept, &server);
	loop_post(client.loop, actor_connect, &client);
	/* A client that closes at the start may never have reached the server. */
	gate_wait(&gate, closings[i].client == AT_START ? 1 : 2);
	peers_deaf(&peers);
	assert_true(client.closed);
	if (closings[i].client == AT_START) {
		assert_null(server.c); /* It never got so far. */
		return;
	}
	assert_true(server.closed);
	/* LATER may be too late: the other's goodbye came first. */
	if (server.did_close && server.when != LATER)
		assert_int_equal(server.why.code, server.code);
	if (client.did_close)
		assert_int_equal(client.why.code, ERR_NONE);
	/* Who lingers is understood: the other end sees an orderly one. */
	if (linger_ms > 0 && client.did_close && !server.did_close)
		assert_int_equal(server.why.code, ERR_NONE);
	if (linger_ms > 0 && server.did_close && closings[i].server != AT_START &&
	    !client.did_close)
		assert_int_equal(client.why.code, ERR_NONE);
}

static void
closing_at_any_moment_is_heard_once(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(closings) / sizeof(closings[0]); i++) {
		one_closing(i, 0);
		one_closing(i, 20000);
	}
}

/* ------------------------------------------- what is not a client of ours -- */

static const struct {
	const char *name;
	const char *bytes;
	size_t len;
	int hang_up;
	enum err_code code;
	const char *text;
} strangers[] = {
	{ "says nothing, goes", "", 0, 1, ERR_IO,
	    "closed by the peer during the TLS handshake" },
	{ "speaks HTTP", "GET / HTTP/1.0\r\n\r\n", 18, 0, ERR_PROTOCOL,
	    "the peer does not speak TLS 1.3" },
	{ "speaks HTTP, goes", "GET / HTTP/1.0\r\n\r\n", 18, 1, ERR_PROTOCOL,
	    "the peer does not speak TLS 1.3" },
	{ "starts a record, goes", "\x16\x03\x01\x02", 4, 1, ERR_IO,
	    "closed by the peer during the TLS handshake" },
	{ "a record of junk", "\x16\x03\x01\x00\x08j\0\0\4junk", 13, 0, ERR_PROTOCOL,
	    "" },
	{ "says nothing, stays", "", 0, 0, ERR_TIMEOUT,
	    "the TLS handshake was not done within 100 ms" },
	{ "starts a record, stays", "\x16\x03\x01\x02", 4, 0, ERR_TIMEOUT,
	    "the TLS handshake was not done within 100 ms" },
};

static void
strangers_are_ended_with_one_reason(void **state)
{
	static const struct conn_limits short_wait = { .handshake_ms = 100 };

	(void)state;
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++) {
		int patient = strangers[i].code == ERR_TIMEOUT;
		int fd;

		watch(patient ? &short_wait : NULL, 10);
		fd = peers_plain(&peers);
		assert_int_equal(
		    send(fd, strangers[i].bytes, strangers[i].len, MSG_NOSIGNAL), strangers[i].len);
		if (strangers[i].hang_up)
			assert_int_equal(shutdown(fd, SHUT_WR), 0);
		if (!patient) {
			char junk[512];

			/* Until the server closes: it does not wait for us. */
			while (socket_read(fd, junk, sizeof(junk)) > 0)
				;
			socket_close(fd);
		}
		expect_end(strangers[i].code, strangers[i].text);
		if (patient)
			socket_close(fd);
		assert_int_equal(gate_count(&came), 0);
		peers_deaf(&peers);
	}
}

/* A byte now and then must not keep the handshake open. */
static void
a_slow_handshake_ends_at_its_limit(void **state)
{
	static const struct conn_limits short_wait = { .handshake_ms = 200 };
	static const char record[] = "\x16\x03\x01\x40";
	struct timespec nap = { 0, 20000000 };
	int fd;

	(void)state;
	watch(&short_wait, 10);
	fd = peers_plain(&peers);
	for (int i = 0; i < 500 && gate_count(&gone) == 0; i++) {
		(void)send(fd, i < 4 ? record + i : "x", 1, MSG_NOSIGNAL);
		(void)nanosleep(&nap, NULL);
	}
	expect_end(ERR_TIMEOUT, "the TLS handshake was not done within 200 ms");
	socket_close(fd);
	peers_deaf(&peers);
}

/* ----------------------------------------------------------- last words -- */

static const uint8_t one_frame[17] = { 1, 0, 0, 0, 9 };
static const uint8_t odd_frame[16] = { 0, 0, 0, 0, 9, 0, 0x80 };
static const uint8_t long_frame[16] = { 1, 0, 1, 0, 9 }; /* 64 KiB and a byte. */

static const struct {
	const char *name;
	const uint8_t *bytes;
	size_t len;
	int goodbye, frames;
	enum err_code code;
	const char *text;
} lasts[] = {
	{ "a frame, goodbye", one_frame, 17, 1, 1, ERR_NONE, "" },
	{ "goodbye", one_frame, 0, 1, 0, ERR_NONE, "" },
	{ "a frame, no goodbye", one_frame, 17, 0, 1, ERR_IO,
	    "closed by the peer without a goodbye" },
	{ "half a frame, goodbye", one_frame, 16, 1, 0, ERR_PROTOCOL,
	    "closed by the peer inside a frame" },
	/* What a killed server leaves: worth another attempt. */
	{ "half a header, no goodbye", one_frame, 3, 0, 0, ERR_IO,
	    "closed by the peer without a goodbye" },
	{ "an unknown flag", odd_frame, 16, 0, 0, ERR_PROTOCOL, "frame header: " },
	{ "a frame too long for a stranger", long_frame, 16, 0, 0, ERR_LIMIT,
	    "frame header: length 65537" },
};

static void
last_words_decide_the_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(lasts) / sizeof(lasts[0]); i++) {
		struct raw r;

		watch(NULL, 10);
		raw_open(&r);
		/* All in one: the end of the handshake, the frame, the end. */
		raw_write(&r, lasts[i].bytes, lasts[i].len);
		if (lasts[i].goodbye)
			tls_shutdown(r.tls);
		raw_flush(&r);
		(void)shutdown(r.fd, SHUT_WR);
		expect_end(lasts[i].code, lasts[i].text);
		assert_int_equal(gate_count(&came), 1);
		assert_int_equal(gate_count(&framed), lasts[i].frames);
		raw_close(&r);
		peers_deaf(&peers);
	}
}

static void
a_broken_record_is_told_by_an_alert(void **state)
{
	uint8_t buf[4096];
	ssize_t n, last = 0;
	struct raw r;

	(void)state;
	watch(NULL, 10);
	raw_open(&r);
	raw_flush(&r);
	gate_wait(&came, 1);
	assert_int_equal(
	    send(r.fd, "\x17\x03\x03\x00\x20 not what we agreed on, I fear..", 37,
		MSG_NOSIGNAL),
	    37);
	/* An end of the stream, not a reset, and something before it. */
	while ((n = socket_read(r.fd, buf, sizeof(buf))) > 0)
		last = n;
	assert_int_equal(n, 0);
	assert_true(last > 0);
	socket_close(r.fd);
	expect_end(ERR_PROTOCOL, "");
	tls_free(r.tls);
	peers_deaf(&peers);
}

static void
silence_ends_but_not_while_we_pause(void **state)
{
	static const struct conn_limits limits = { .silence_ms = 60 };
	static const uint8_t pause[16] = { 0, 0, 0, 0, 2 };
	struct timespec nap = { 0, 200000000 };
	struct raw r;

	(void)state;
	watch(&limits, 10);
	raw_open(&r);
	raw_flush(&r);
	expect_end(ERR_TIMEOUT, "silent for 60 ms");
	raw_close(&r);

	gate_reset(&gone);
	gate_reset(&framed);
	raw_open(&r);
	raw_write(&r, pause, sizeof(pause));
	raw_flush(&r);
	gate_wait(&framed, 1);
	(void)nanosleep(&nap, NULL); /* Long enough to be ended, were it wrong. */
	assert_int_equal(gate_count(&gone), 0);
	raw_close(&r);
	peers_deaf(&peers);
}

static void
resume_watched(void *arg)
{
	(void)arg;
	conn_pause(watched, 0);
}

static void
the_server_judges_but_opens_for_all(void **state)
{
	struct {
		struct tls_config *config;
		enum tls_trust trust;
	} who[] = { { peers.agent, TLS_TRUSTED }, { peers.nobody, TLS_NOBODY } };

	(void)state;
	loop_post(watched_loop, resume_watched, NULL); /* Of the test before. */
	gate_wait(&gone, 1);
	for (size_t i = 0; i < 2; i++) {
		struct tls_config *agent = peers.agent;
		struct raw r;

		watch(NULL, 10);
		peers.agent = who[i].config;
		raw_open(&r);
		peers.agent = agent;
		raw_flush(&r);
		gate_wait(&came, 1);
		assert_int_equal(last_trust, who[i].trust);
		tls_shutdown(r.tls);
		raw_flush(&r);
		raw_close(&r);
		gate_wait(&gone, 1);
		peers_deaf(&peers);
	}
}

/* ---------------------------------------- what was said before a reset -- */

static struct gate late_open = GATE_INIT, late_blocked = GATE_INIT, late_go = GATE_INIT,
		   late_heard = GATE_INIT, late_closed = GATE_INIT;
static struct conn *late_conn;
static struct err late_why;

static void
late_on_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	(void)peer;
	(void)arg;
	late_conn = c;
	gate_raise(&late_open);
}

static void
late_on_frame(struct conn *c, const struct frame *f, void *arg)
{
	(void)c;
	(void)arg;
	PAIR_MUST(f->kind == 9);
	gate_raise(&late_heard);
}

static void
late_on_closed(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)arg;
	late_why = *why;
	gate_raise(&late_closed);
}

static const struct conn_events late_events = { late_on_open, late_on_frame, watch_room,
	late_on_closed };

static void
late_connect(void *arg)
{
	PAIR_MUST(conn_connect(peers.client_loop, arg, peers.agent, NULL, 0, NULL,
		      &late_events, NULL) != NULL);
}

/* Hold the loop until the reset is there, then write before anything is read. */
static void
late_write(void *arg)
{
	static uint8_t body[1000000];
	struct frame f = { 7, 0, 1, body, sizeof(body) };

	(void)arg;
	gate_raise(&late_blocked);
	gate_wait(&late_go, 1);
	conn_send(late_conn, &f);
	conn_send(late_conn, &f);
}

/* Something for the server to leave unread; it is sent before the next post runs. */
static void
late_say(void *arg)
{
	struct frame f = { 7, 0, 1, NULL, 0 };

	conn_send(late_conn, &f);
	loop_post(peers.client_loop, late_write, arg);
}

/* The server's side by hand, until the handshake is done. */
static void
raw_serve(struct raw *r, int listening)
{
	uint8_t buf[16384], junk[16384];
	struct err err = ERR_INIT;
	size_t got;
	ssize_t n;

	r->fd = accept(listening, NULL, NULL);
	r->tls = tls_new(peers.server);
	while (!tls_open(r->tls)) {
		n = socket_read(r->fd, buf, sizeof(buf));
		PAIR_MUST(n > 0 && tls_input(r->tls, buf, (size_t)n, &err) == 0);
		PAIR_MUST(tls_read(r->tls, junk, sizeof(junk), &got, &err) != TLS_FAILED);
		raw_flush(r);
	}
}

static void
what_was_said_before_a_reset_is_still_heard(void **state)
{
	static const uint8_t more[16] = { 0, 0, 0, 0, 9 };
	struct sockaddr_in here = { .sin_family = AF_INET };
	socklen_t len = sizeof(here);
	int fd = socket_tcp();
	char address[64], byte;
	struct raw r;

	(void)state;
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(here.sin_port));
	loop_post(peers.client_loop, late_connect, address);
	raw_serve(&r, fd);
	gate_wait(&late_open, 1);
	loop_post(peers.client_loop, late_say, NULL);
	gate_wait(&late_blocked, 1);
	raw_write(&r, more, sizeof(more));
	raw_flush(&r);
	/* Closing with something unread makes it a reset. */
	assert_int_equal(recv(r.fd, &byte, 1, MSG_PEEK), 1);
	raw_close(&r);
	gate_raise(&late_go);
	gate_wait(&late_closed, 1);
	assert_int_equal(gate_count(&late_heard), 1);
	assert_int_equal(late_why.code, ERR_IO);
	assert_memory_equal(late_why.text, "connection to 127.0.0.1:", 24);
	socket_close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closing_at_any_moment_is_heard_once),
		cmocka_unit_test(strangers_are_ended_with_one_reason),
		cmocka_unit_test(a_slow_handshake_ends_at_its_limit),
		cmocka_unit_test(last_words_decide_the_reason),
		cmocka_unit_test(a_broken_record_is_told_by_an_alert),
		cmocka_unit_test(silence_ends_but_not_while_we_pause),
		cmocka_unit_test(the_server_judges_but_opens_for_all),
		cmocka_unit_test(what_was_said_before_a_reset_is_still_heard),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
