/*
 * Goal: however a connection ends (closed by either end at any moment, garbage,
 * silence, floods, no room), each end hears of it once, last, and with one clear
 * reason.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/net/net_peers.h"

static struct peers peers;
static struct gate gone = GATE_INIT; /* Connections of the server that ended. */
static struct err gone_why;	     /* The last one's reason; read after `gone`. */

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

/* -------------------------------------------------- a server that watches -- */

static struct gate came = GATE_INIT, framed = GATE_INIT, roomed = GATE_INIT;
static struct conn *watched; /* The newest, on its loop only. */
static struct loop *watched_loop;
static int raise_limit, last_trust;

static void
watch_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	(void)arg;
	if (raise_limit)
		conn_frame_max(c, FRAME_PAYLOAD_MAX);
	pthread_mutex_lock(&came.lock);
	last_trust = (int)peer->trust;
	pthread_mutex_unlock(&came.lock);
	gate_raise(&came);
}

static void
watch_frame(struct conn *c, const struct frame *f, void *arg)
{
	(void)arg;
	if (f->kind == 2) {
		conn_pause(c, 1);
	} else {
		conn_send(c, f); /* Echo. */
	}
	gate_raise(&framed);
}

static void
watch_room(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
	gate_raise(&roomed);
}

static void
watch_closed(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)arg;
	pthread_mutex_lock(&gone.lock);
	gone_why = *why;
	pthread_mutex_unlock(&gone.lock);
	gate_raise(&gone);
}

static const struct conn_events watch_events = { watch_open, watch_frame, watch_room,
	watch_closed };

static void
watch_accept(struct conn *c, unsigned loop_no, void *arg)
{
	pthread_mutex_lock(&came.lock); /* Many may come at once. */
	watched = c;
	watched_loop = peers.loops[loop_no];
	pthread_mutex_unlock(&came.lock);
	conn_set_events(c, &watch_events, arg);
}

static void
watch(const struct conn_limits *limits, unsigned conns_max)
{
	came.count = framed.count = roomed.count = gone.count = 0;
	raise_limit = 0;
	peers_listen(&peers, limits, conns_max, watch_accept, NULL);
}

static void
expect_end(enum err_code code, const char *text)
{
	gate_wait(&gone, 1);
	if (gone_why.code != code || strncmp(gone_why.text, text, strlen(text)) != 0)
		fail_msg(
		    "%s: '%s', not '%s'", err_name(gone_why.code), gone_why.text, text);
	assert_null(strchr(gone_why.text, '\n'));
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
		    write(fd, strangers[i].bytes, strangers[i].len), strangers[i].len);
		if (strangers[i].hang_up)
			assert_int_equal(shutdown(fd, SHUT_WR), 0);
		if (!patient) {
			char junk[512];

			/* Until the server closes: it does not wait for us. */
			while (read(fd, junk, sizeof(junk)) > 0)
				;
			close(fd);
		}
		expect_end(strangers[i].code, strangers[i].text);
		if (patient)
			close(fd);
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
	close(fd);
	peers_deaf(&peers);
}

/* --------------------------------------- a client of TLS that we can steer -- */

struct raw {
	int fd;
	struct tls *tls;
};

static void
raw_flush(struct raw *r)
{
	const uint8_t *p;
	size_t n;

	while ((n = tls_output(r->tls, &p)) > 0) {
		ssize_t w = send(r->fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return;
		tls_sent(r->tls, (size_t)w);
	}
}

/* Connect; the last flight of the handshake waits in the output. */
static void
raw_open(struct raw *r)
{
	uint8_t buf[16384], junk[16384];
	struct err err = ERR_INIT;
	size_t got;

	r->fd = peers_plain(&peers);
	r->tls = tls_new(peers.agent);
	while (PAIR_MUST(tls_read(r->tls, junk, sizeof(junk), &got, &err) != TLS_FAILED),
	    !tls_open(r->tls)) {
		ssize_t n;

		raw_flush(r);
		n = read(r->fd, buf, sizeof(buf));
		PAIR_MUST(n > 0 && tls_input(r->tls, buf, (size_t)n, &err) == 0);
	}
}

static void
raw_write(struct raw *r, const void *p, size_t n)
{
	struct err err = ERR_INIT;

	PAIR_MUST(tls_write(r->tls, p, n, &err) == 0);
}

static void
raw_close(struct raw *r)
{
	close(r->fd);
	tls_free(r->tls);
}

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
	{ "half a header, no goodbye", one_frame, 3, 0, 0, ERR_PROTOCOL,
	    "closed by the peer inside a frame" },
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
	while ((n = read(r.fd, buf, sizeof(buf))) > 0)
		last = n;
	assert_int_equal(n, 0);
	assert_true(last > 0);
	close(r.fd);
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

	gone.count = framed.count = 0;
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

/* --------------------------------------------------------------- floods -- */

static struct {
	int frames, rooms;
	struct gate full;
} flooding = { 0, 0, GATE_INIT };

static void
flood_once(void *arg)
{
	static uint8_t body[100000];
	struct frame f = { 7, 0, 1, body, sizeof(body) };

	(void)arg;
	while (!conn_full(watched) && flooding.frames < 5000) {
		conn_send(watched, &f);
		flooding.frames++;
	}
	gate_raise(&flooding.full);
}

static void
read_all_of(struct raw *r, size_t n)
{
	static uint8_t buf[65536], plain[16384];
	struct err err = ERR_INIT;

	while (n > 0) {
		ssize_t got = read(r->fd, buf, sizeof(buf));
		size_t m;

		PAIR_MUST(got > 0 && tls_input(r->tls, buf, (size_t)got, &err) == 0);
		while (tls_read(r->tls, plain, sizeof(plain), &m, &err) == TLS_DATA) {
			PAIR_MUST(m <= n);
			n -= m;
		}
	}
}

static void
a_full_conn_says_once_when_there_is_room(void **state)
{
	struct raw r;

	(void)state;
	watch(NULL, 10);
	raw_open(&r);
	raw_flush(&r);
	gate_wait(&came, 1);
	flooding.full.count = 0;
	for (int turn = 1; turn <= 3; turn++) {
		flooding.frames = 0;
		loop_post(watched_loop, flood_once, NULL);
		gate_wait(&flooding.full, turn);
		/* It stopped at the mark, and nobody has read: no room yet. */
		assert_true(flooding.frames >= (int)(CONN_HIGH_WATER / 100016));
		assert_true(flooding.frames < 5000);
		assert_int_equal(gate_count(&roomed), turn - 1);
		read_all_of(&r, (size_t)flooding.frames * 100016);
		gate_wait(&roomed, turn);
	}
	tls_shutdown(r.tls);
	raw_flush(&r);
	raw_close(&r);
	expect_end(ERR_NONE, "");
	assert_int_equal(gate_count(&roomed), 3);
	peers_deaf(&peers);
}

static void
flood_blindly(void *arg)
{
	static uint8_t body[1000000];
	struct frame f = { 7, 0, 1, body, sizeof(body) };

	(void)arg;
	/* More than may be queued and the system's buffers hold; dropped at the end. */
	for (int i = 0; i < 90; i++)
		conn_send(watched, &f);
}

static void
a_queue_without_end_is_cut(void **state)
{
	struct raw r;

	(void)state;
	watch(NULL, 10);
	raw_open(&r);
	raw_flush(&r);
	gate_wait(&came, 1);
	loop_post(watched_loop, flood_blindly, NULL);
	expect_end(ERR_LIMIT, "the peer does not read: ");
	raw_close(&r);
	peers_deaf(&peers);
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
		n = read(r->fd, buf, sizeof(buf));
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
	int fd = socket(AF_INET, SOCK_STREAM, 0);
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
	close(fd);
}

/* ---------------------------------------------------------- many at once -- */

static uint8_t ticket[8192]; /* On the client's loop only. */
static size_t ticket_len;

struct one {
	struct gate *gate;
	int got, resumed;
	struct err why;
};

static void
one_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	struct frame f = { 7, 0, 1, NULL, 0 };
	struct one *o = arg;

	o->resumed = peer->resumed;
	conn_send(c, &f);
}

static void
one_frame_came(struct conn *c, const struct frame *f, void *arg)
{
	struct one *o = arg;
	const uint8_t *p;
	size_t len;

	(void)f;
	o->got++;
	p = conn_ticket(c, &len);
	if (p != NULL && len <= sizeof(ticket)) {
		memcpy(ticket, p, len);
		ticket_len = len;
	}
	conn_close(c, NULL, 20000);
}

static void
one_closed(struct conn *c, const struct err *why, void *arg)
{
	struct one *o = arg;

	(void)c;
	o->why = *why;
	gate_raise(o->gate);
}

static const struct conn_events one_events = { one_open, one_frame_came, watch_room,
	one_closed };

static void
one_connect(void *arg)
{
	PAIR_MUST(conn_connect(peers.client_loop, peers.address, peers.agent,
		      ticket_len > 0 ? ticket : NULL, ticket_len, NULL, &one_events,
		      arg) != NULL);
}

static void
hundreds_at_once_are_spread_over_the_loops(void **state)
{
	enum { N = 200 };
	static struct one ones[N];
	struct gate gate = GATE_INIT;

	(void)state;
	watch(NULL, N);
	ticket_len = 0;
	for (int i = 0; i < N; i++) {
		ones[i] = (struct one){ &gate, 0, 0, ERR_INIT };
		loop_post(peers.client_loop, one_connect, &ones[i]);
		if (i < 2)
			gate_wait(&gate, i + 1); /* A ticket makes the rest cheap. */
	}
	gate_wait(&gate, N);
	gate_wait(&gone, N);
	for (int i = 0; i < N; i++) {
		if (ones[i].got != 1 || ones[i].why.code != ERR_NONE)
			fail_msg("%d: %d frames, %s", i, ones[i].got, ones[i].why.text);
	}
	assert_int_equal(ones[0].resumed, 0);
	assert_int_equal(ones[1].resumed, 1);
	ticket_len = 0;
	peers_deaf(&peers);
}

static void
more_than_the_limit_are_refused_and_room_comes_back(void **state)
{
	struct gate gate = GATE_INIT;
	struct one late = { &gate, 0, 0, ERR_INIT };
	struct raw r[3];

	(void)state;
	watch(NULL, 3);
	for (int i = 0; i < 3; i++) {
		raw_open(&r[i]);
		raw_flush(&r[i]);
	}
	loop_post(peers.client_loop, one_connect, &late);
	gate_wait(&gate, 1);
	assert_int_equal(late.got, 0);
	assert_int_equal(late.why.code, ERR_IO);
	assert_memory_equal(late.why.text, "connect to 127.0.0.1:", 21);

	for (int i = 0; i < 3; i++) {
		tls_shutdown(r[i].tls);
		raw_flush(&r[i]);
		raw_close(&r[i]);
	}
	gate_wait(&gone, 3);
	/* Counted off just after on_closed: a try or two may still come too early. */
	for (int i = 2; i < 100 && late.got == 0; i++) {
		loop_post(peers.client_loop, one_connect, &late);
		gate_wait(&gate, i);
	}
	assert_int_equal(late.got, 1);
	peers_deaf(&peers);
}

static void
a_port_in_use_is_named(void **state)
{
	struct listener *l = NULL;
	struct err err = ERR_INIT;
	char want[128];

	(void)state;
	watch(NULL, 3);
	assert_int_equal(listener_start(peers.address, peers.loops, 1, peers.server, NULL,
			     3, watch_accept, NULL, &l, &err),
	    -1);
	(void)snprintf(want, sizeof(want), "listen on %s: ", peers.address);
	assert_int_equal(err.code, ERR_IO);
	assert_memory_equal(err.text, want, strlen(want));
	err_clear(&err);
	assert_int_equal(listener_start("4711", peers.loops, 1, peers.server, NULL, 3,
			     watch_accept, NULL, &l, &err),
	    -1);
	assert_string_equal(err.text, "'4711' is not host:port");
	assert_null(l);
	listener_stop(NULL);
	peers_deaf(&peers);
}

static int
make(void **state)
{
	(void)state;
	peers_make(&peers);
	return 0;
}

static int
unmake(void **state)
{
	(void)state;
	peers_free(&peers);
	return 0;
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
		cmocka_unit_test(a_full_conn_says_once_when_there_is_room),
		cmocka_unit_test(a_queue_without_end_is_cut),
		cmocka_unit_test(what_was_said_before_a_reset_is_still_heard),
		cmocka_unit_test(hundreds_at_once_are_spread_over_the_loops),
		cmocka_unit_test(more_than_the_limit_are_refused_and_room_comes_back),
		cmocka_unit_test(a_port_in_use_is_named),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
