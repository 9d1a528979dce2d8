/*
 * Goal: threads that block on a channel get their own answers, each reason why
 * there is none in its own words, and never wait for ever.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/net/channel.h"
#include "proto/net/timer.h"
#include "tests/unit/net/net_peers.h"

static struct peers peers;

/* ----------------------------------------------------------- the server -- */

/*
 * A server that answers by the host asked about: see server_frame().  One conn
 * of it is remembered for the tests that act on it.
 */
static struct conn *served; /* On served_loop only. */
static struct loop *served_loop;
static struct gate opened = GATE_INIT, closed = GATE_INIT, quiet = GATE_INIT;
static int flood_left;

static void
answer(struct conn *c, uint64_t request, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;
	struct frame f;

	PAIR_MUST(msg_pack(m, &b, &err) == 0);
	f = (struct frame){ msg_kind_of(m), 0, request, b.len > 0 ? b.p : NULL, b.len };
	conn_send(c, &f);
	buf_free(&b);
}

static void
refuse(
    struct conn *c, uint64_t request, enum err_code code, const char *text, int closing)
{
	Wire__Failed failed = WIRE__FAILED__INIT;

	failed.code = (uint32_t)code;
	failed.text = (char *)(uintptr_t)text;
	failed.closing = closing;
	failed.retry_after_ms = 1234;
	answer(c, request, &failed.base);
}

static void
flood(struct conn *c)
{
	static uint8_t group[256 * 1024];
	struct frame f = { MSG_GROUP, 0, 77, group, sizeof(group) };

	while (flood_left > 0 && !conn_full(c)) {
		group[0] = (uint8_t)flood_left--;
		conn_send(c, &f);
	}
}

static void
server_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	(void)peer;
	(void)arg;
	conn_frame_max(c, FRAME_PAYLOAD_MAX);
	gate_raise(&opened);
}

static void
server_frame(struct conn *c, const struct frame *f, void *arg)
{
	Wire__Points points = WIRE__POINTS__INIT;
	Wire__Done done = WIRE__DONE__INIT;
	Wire__TokenText text = WIRE__TOKEN_TEXT__INIT;
	struct err err = ERR_INIT;
	ProtobufCMessage *m;
	const char *host;

	(void)arg;
	if (f->kind == MSG_PUT) {
		answer(c, f->request, &done.base);
		return;
	}
	PAIR_MUST(msg_unpack(f, &m, &err) == 0);
	PAIR_MUST(f->kind == MSG_LIST_POINTS);
	host = ((Wire__ListPoints *)m)->host;
	if (strcmp(host, "silence") == 0) {
		gate_raise(&quiet);
	} else if (strcmp(host, "refuse") == 0) {
		refuse(c, f->request, ERR_DENIED, "not yours", 0);
	} else if (strcmp(host, "end") == 0) {
		refuse(c, 0, ERR_DENIED, "host1 is revoked", 1);
		conn_close(c, NULL, 5000);
	} else if (strcmp(host, "vanish") == 0) {
		conn_close(c, NULL, 0);
	} else if (strcmp(host, "bye") == 0) {
		conn_close(c, NULL, 5000);
	} else if (strcmp(host, "odd") == 0) {
		answer(c, f->request, &done.base);
	} else if (strcmp(host, "pause") == 0) {
		conn_pause(c, 1);
		gate_raise(&quiet);
	} else if (strcmp(host, "flood") == 0) {
		flood_left = 255;
		flood(c);
	} else if (strcmp(host, "points") == 0) {
		answer(c, f->request, &points.base);
	} else {
		text.text = (char *)(uintptr_t)host;
		answer(c, f->request, &text.base);
	}
	msg_free(m);
}

static void
server_room(struct conn *c, void *arg)
{
	(void)arg;
	flood(c);
}

static void
server_closed(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)why;
	(void)arg;
	gate_raise(&closed);
}

static const struct conn_events server_events = { server_open, server_frame, server_room,
	server_closed };

static void
server_accept(struct conn *c, unsigned loop_no, void *arg)
{
	served = c;
	served_loop = peers.loops[loop_no];
	conn_set_events(c, &server_events, arg);
}

/* ---------------------------------------------------------- the clients -- */

static struct channel *
dial(void)
{
	struct channel *ch = NULL;
	struct err err = ERR_INIT;

	if (channel_open(peers.address, peers.agent, NULL, 0, NULL, 10000, &ch, &err) < 0)
		fail_msg("%s", err.text);
	return ch;
}

static void
hang_up(struct channel *ch)
{
	long n = gate_count(&opened);

	channel_close(ch);
	gate_wait(&closed, n);
}

/* ListPoints of `host` as a message; borrowed until the next call of the thread. */
static const ProtobufCMessage *
ask(const char *host)
{
	static _Thread_local Wire__ListPoints m;

	wire__list_points__init(&m);
	m.host = (char *)(uintptr_t)host;
	return &m.base;
}

static void *
call_many(void *arg)
{
	static atomic_int threads;
	struct channel *ch = arg;
	int me = atomic_fetch_add(&threads, 1);

	for (int i = 0; i < 200; i++) {
		struct err err = ERR_INIT;
		ProtobufCMessage *m;
		char host[64];

		(void)snprintf(host, sizeof(host), "thread %d call %d", me, i);
		if (channel_call(ch, ask(host), MSG_TOKEN_TEXT, &m, &err) < 0) {
			fprintf(stderr, "%s\n", err.text);
			abort();
		}
		PAIR_MUST(strcmp(((Wire__TokenText *)m)->text, host) == 0);
		msg_free(m);
	}
	return NULL;
}

static void
each_of_8_threads_gets_its_own_answers(void **state)
{
	struct channel *ch = dial();
	pthread_t threads[8];

	(void)state;
	for (int i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_many, ch), 0);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	hang_up(ch);
}

enum { PUTS = 300 };

static void *
collect_puts(void *arg)
{
	struct channel *ch = arg;
	static char seen[PUTS + 9];

	memset(seen, 0, sizeof(seen));
	for (int i = 0; i < PUTS; i++) {
		struct err err = ERR_INIT;
		struct channel_frame f;

		PAIR_MUST(channel_wait(ch, 0, 20000, &f, &err) == 0);
		PAIR_MUST(f.kind == MSG_DONE && f.request <= PUTS + 8);
		PAIR_MUST(!seen[f.request]++);
		free(f.payload);
	}
	return NULL;
}

static void
one_thread_sends_while_another_collects(void **state)
{
	static uint8_t group[500000];
	struct channel *ch = dial();
	pthread_t thread;
	uint64_t request;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, collect_puts, ch), 0);
	for (int i = 0; i < PUTS; i++) {
		struct err err = ERR_INIT;
		ProtobufCMessage *m;

		assert_int_equal(
		    channel_send_raw(ch, MSG_PUT, group, sizeof(group), &request, &err),
		    0);
		if (i % 100 == 50) {
			assert_int_equal(
			    channel_call(ch, ask("points"), MSG_POINTS, &m, &err), 0);
			msg_free(m);
		}
	}
	pthread_join(thread, NULL);
	hang_up(ch);
}

static void
a_failed_is_the_error_of_its_request_only(void **state)
{
	struct channel *ch = dial();
	struct channel_frame f;
	struct err err = ERR_INIT;
	ProtobufCMessage *m;
	uint64_t request;

	(void)state;
	assert_int_equal(channel_call(ch, ask("refuse"), MSG_POINTS, &m, &err), -1);
	assert_null(m);
	assert_int_equal(err.code, ERR_DENIED);
	assert_string_equal(err.text, "not yours");
	err_clear(&err);
	assert_int_equal(channel_send(ch, ask("refuse"), &request, &err), 0);
	assert_int_equal(channel_wait(ch, 0, 0, &f, &err), -1);
	assert_int_equal(f.kind, MSG_FAILED);
	assert_int_equal(f.request, request);
	assert_int_equal(f.retry_after_ms, 1234);
	assert_null(f.payload);
	err_clear(&err);
	assert_int_equal(channel_call(ch, ask("points"), MSG_POINTS, &m, &err), 0);
	msg_free(m);
	assert_int_equal(channel_call(ch, ask("odd"), MSG_POINTS, &m, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	assert_string_equal(err.text, "ListPoints was answered by Done (6), not Points");
	hang_up(ch);
}

static void
a_wait_ends_at_its_timeout_and_the_answer_may_come_later(void **state)
{
	struct channel *ch = dial();
	struct err err = ERR_INIT;
	struct channel_frame f;
	uint64_t request;

	(void)state;
	assert_int_equal(channel_send(ch, ask("silence"), &request, &err), 0);
	assert_int_equal(channel_wait(ch, request, 30, &f, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_string_equal(err.text, "no answer within 30 ms");
	assert_int_equal(f.kind, 0);
	err_clear(&err);
	assert_int_equal(channel_send(ch, ask("points"), &request, &err), 0);
	assert_int_equal(channel_wait(ch, request, 20000, &f, &err), 0);
	assert_int_equal(f.kind, MSG_POINTS);
	free(f.payload);
	hang_up(ch);
}

/* The last words of a server, and what is heard after asking for them. */
static const struct {
	const char *host;
	enum err_code code;
	const char *text;
} ends[] = {
	{ "end", ERR_DENIED, "host1 is revoked" },
	{ "vanish", ERR_IO, "connection to 127.0.0.1:" },
	{ "bye", ERR_IO, "connection to 127.0.0.1:" },
};

static void
every_call_hears_why_the_server_ended_it(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
		struct channel *ch = dial();
		struct channel_frame f;

		for (int turn = 0; turn < 3; turn++) {
			struct err err = ERR_INIT;
			ProtobufCMessage *m;

			assert_int_equal(
			    channel_call(ch, ask(ends[i].host), MSG_POINTS, &m, &err),
			    -1);
			assert_int_equal(err.code, ends[i].code);
			if (strncmp(err.text, ends[i].text, strlen(ends[i].text)) != 0)
				fail_msg("%s: %s", ends[i].host, err.text);
			err_clear(&err);
			assert_int_equal(channel_wait(ch, 0, 0, &f, &err), -1);
			assert_int_equal(err.code, ends[i].code);
			assert_int_equal(f.kind, 0);
		}
		hang_up(ch);
	}
}

/* While the client sends without end, the server closes with a reason. */
static void
the_reason_arrives_while_sending_in_bulk(void **state)
{
	static uint8_t group[300000];

	(void)state;
	for (int turn = 0; turn < 10; turn++) {
		struct channel *ch = dial();
		struct err err = ERR_INIT;
		int r = 0;

		for (int i = 0; r == 0 && i < 10000; i++) {
			if (i == 10 + turn)
				r = channel_send(ch, ask("end"), NULL, &err);
			else
				r = channel_send_raw(
				    ch, MSG_PUT, group, sizeof(group), NULL, &err);
		}
		assert_int_equal(r, -1);
		assert_int_equal(err.code, ERR_DENIED);
		assert_string_equal(err.text, "host1 is revoked");
		hang_up(ch);
	}
}

struct call {
	struct channel *ch;
	struct err err;
};

static void *
call_silence(void *arg)
{
	struct call *k = arg;
	ProtobufCMessage *m;

	PAIR_MUST(channel_call(k->ch, ask("silence"), MSG_POINTS, &m, &k->err) == -1);
	return NULL;
}

static void
cancel_ends_every_wait(void **state)
{
	struct channel *ch = dial();
	struct call calls[4];
	struct err err = ERR_INIT;
	pthread_t threads[4];
	ProtobufCMessage *m;

	(void)state;
	gate_reset(&quiet);
	for (int i = 0; i < 4; i++) {
		calls[i] = (struct call){ ch, ERR_INIT };
		assert_int_equal(
		    pthread_create(&threads[i], NULL, call_silence, &calls[i]), 0);
	}
	gate_wait(&quiet, 4);
	channel_cancel(ch);
	channel_cancel(ch);
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		assert_int_equal(calls[i].err.code, ERR_CANCELED);
	}
	assert_int_equal(channel_call(ch, ask("points"), MSG_POINTS, &m, &err), -1);
	assert_int_equal(err.code, ERR_CANCELED);
	hang_up(ch);
}

static void
resume_served(void *arg)
{
	(void)arg;
	conn_pause(served, 0);
}

static void *
put_until_it_fails(void *arg)
{
	static uint8_t group[300000];
	struct call *k = arg;

	while (channel_send_raw(k->ch, MSG_PUT, group, sizeof(group), NULL, &k->err) == 0)
		gate_raise(&quiet);
	return NULL;
}

static void
a_sender_waits_for_a_server_that_does_not_read_until_canceled(void **state)
{
	struct call k = { dial(), ERR_INIT };
	struct err err = ERR_INIT;
	pthread_t thread;
	long n;

	(void)state;
	gate_reset(&quiet);
	assert_int_equal(channel_send(k.ch, ask("pause"), NULL, &err), 0);
	gate_wait(&quiet, 1);
	assert_int_equal(pthread_create(&thread, NULL, put_until_it_fails, &k), 0);
	/* More than socket buffers, queue and posts hold never goes in. */
	gate_wait(&quiet, 1 + CONN_HIGH_WATER / 300000);
	channel_cancel(k.ch);
	pthread_join(thread, NULL);
	loop_post(served_loop, resume_served, NULL);
	assert_int_equal(k.err.code, ERR_CANCELED);
	n = gate_count(&quiet);
	assert_true(n < 64 * 1024 * 1024 / 300000);
	hang_up(k.ch);
}

static void
get_flood_left(void *arg)
{
	*(int *)arg = flood_left;
	gate_raise(&quiet);
}

/* What the server has yet to send, once that does not change any more. */
static int
flood_that_stays(void)
{
	struct timespec nap = { 0, 300000000 };
	int left = -1, before = -2;

	gate_reset(&quiet);
	for (int i = 1; left != before && i < 100; i++) {
		(void)nanosleep(&nap, NULL);
		before = left;
		loop_post(served_loop, get_flood_left, &left);
		gate_wait(&quiet, i);
	}
	return left;
}

static void
a_backlog_pauses_the_server_and_nothing_is_lost(void **state)
{
	/* A small buffer, lest the system alone takes in all the flood. */
	static const struct conn_limits limits = { .rcvbuf = 65536 };
	struct channel *ch = NULL;
	struct err err = ERR_INIT;
	struct channel_frame f;
	uint64_t request;
	ProtobufCMessage *m;

	(void)state;
	assert_int_equal(
	    channel_open(peers.address, peers.agent, NULL, 0, &limits, 10000, &ch, &err),
	    0);
	assert_int_equal(channel_send(ch, ask("flood"), &request, &err), 0);
	/* 64 MiB for a request that nobody waits for yet; 16 are taken in. */
	assert_true(flood_that_stays() > 0);
	for (int i = 255; i > 0; i--) {
		assert_int_equal(channel_wait(ch, i % 2 ? 77 : 0, 20000, &f, &err), 0);
		assert_int_equal(f.kind, MSG_GROUP);
		assert_int_equal(f.len, 256 * 1024);
		assert_int_equal(f.payload[0], i);
		free(f.payload);
	}
	assert_int_equal(channel_call(ch, ask("points"), MSG_POINTS, &m, &err), 0);
	msg_free(m);
	hang_up(ch);
}

static void
tickets_resume(void **state)
{
	uint8_t ticket[8192];
	struct channel *ch = dial();
	struct err err = ERR_INIT;
	ProtobufCMessage *m;
	uint64_t sent, received, at_end, got;
	size_t len;

	(void)state;
	assert_int_equal(channel_call(ch, ask("points"), MSG_POINTS, &m, &err), 0);
	msg_free(m);
	channel_bytes(ch, &sent, &received);
	assert_true(sent > 0 && received > 0);
	len = channel_ticket(ch, ticket, sizeof(ticket));
	assert_true(len > 0);
	assert_int_equal(channel_ticket(ch, ticket, 1), 0);
	/* It is kept when the connection is gone, and so are the bytes' counts. */
	assert_int_equal(channel_call(ch, ask("bye"), MSG_POINTS, &m, &err), -1);
	err_clear(&err);
	assert_int_equal(channel_ticket(ch, ticket, sizeof(ticket)), len);
	channel_bytes(ch, &at_end, &got);
	assert_true(at_end > sent && got > received);
	hang_up(ch);
	assert_int_equal(
	    channel_open(peers.address, peers.agent, ticket, len, NULL, 10000, &ch, &err),
	    0);
	assert_int_equal(channel_call(ch, ask("points"), MSG_POINTS, &m, &err), 0);
	msg_free(m);
	hang_up(ch);
}

/* ------------------------------------------------------------- bad dials -- */

static void
cancel_at_once(void *arg, struct channel *ch)
{
	int *calls = arg;

	/* First the channel, then, as it is gone, NULL. */
	assert_int_equal(ch != NULL, *calls == 0);
	++*calls;
	if (ch != NULL)
		channel_cancel(ch);
}

static void
a_dial_that_is_canceled_does_not_wait(void **state)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	socklen_t len = sizeof(here);
	struct channel *ch = NULL;
	struct err err = ERR_INIT;
	struct timespec from, to;
	int calls = 0, fd = socket_tcp();
	const struct channel_watch watch = { cancel_at_once, &calls };
	char address[64];

	(void)state;
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
	assert_int_equal(listen(fd, 1), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(here.sin_port));
	clock_gettime(CLOCK_MONOTONIC, &from);
	assert_int_equal(channel_open_watched(address, peers.agent, NULL, 0, NULL, 60000,
			     &watch, &ch, &err),
	    -1);
	clock_gettime(CLOCK_MONOTONIC, &to);
	assert_int_equal(err.code, ERR_CANCELED);
	assert_int_equal(calls, 2);
	assert_true(to.tv_sec - from.tv_sec < 30);
	socket_close(fd);
}

static void
a_dial_that_fails_says_where_and_why(void **state)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	socklen_t len = sizeof(here);
	struct channel *ch = NULL;
	struct err err = ERR_INIT;
	char address[64], want[128];
	int fd = socket_tcp();

	(void)state;
	/* A port that is taken and on which nobody listens. */
	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_int_equal(bind(fd, (struct sockaddr *)&here, sizeof(here)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&here, &len), 0);
	(void)snprintf(address, sizeof(address), "127.0.0.1:%u", ntohs(here.sin_port));
	(void)snprintf(want, sizeof(want), "connect to %s: connection refused", address);
	assert_int_equal(
	    channel_open(address, peers.agent, NULL, 0, NULL, 10000, &ch, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	assert_string_equal(err.text, want);
	err_clear(&err);

	/* It listens, and never says a word. */
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(
	    channel_open(address, peers.agent, NULL, 0, NULL, 50, &ch, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	(void)snprintf(want, sizeof(want),
	    "connect to %s: the TLS handshake was not done within 50 ms", address);
	assert_string_equal(err.text, want);
	err_clear(&err);
	socket_close(fd);

	assert_int_equal(
	    channel_open("nohost", peers.agent, NULL, 0, NULL, 50, &ch, &err), -1);
	assert_string_equal(err.text, "connect to nohost: 'nohost' is not host:port");
	err_clear(&err);

	/* ".invalid" is never a name (RFC 6761); what no resolver can refuse is empty. */
	assert_int_equal(channel_open("no-such-host.invalid:1", peers.agent, NULL, 0,
			     NULL, 10000, &ch, &err),
	    -1);
	assert_memory_equal(err.text, "connect to no-such-host.invalid:1: ", 35);
	assert_null(ch);
	err_clear(&err);
}

static void
a_server_of_another_authority_is_refused(void **state)
{
	struct tls_config *config;
	struct channel *ch = NULL;
	struct err err = ERR_INIT;

	(void)state;
	peers_config(&peers, &config, NULL, &peers.stranger_ca);
	assert_int_equal(
	    channel_open(peers.address, config, NULL, 0, NULL, 10000, &ch, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_memory_equal(err.text, "connect to 127.0.0.1:", 21);
	gate_raise(&opened); /* It never was; its end is counted all the same. */
	gate_wait(&closed, gate_count(&opened));
	tls_config_free(config);
}

static void
closing_nothing_is_allowed(void **state)
{
	(void)state;
	channel_close(NULL);
}

static int
make(void **state)
{
	(void)state;
	peers_make(&peers);
	peers_listen(&peers, NULL, 100, server_accept, NULL);
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
		cmocka_unit_test(each_of_8_threads_gets_its_own_answers),
		cmocka_unit_test(one_thread_sends_while_another_collects),
		cmocka_unit_test(a_failed_is_the_error_of_its_request_only),
		cmocka_unit_test(
		    a_wait_ends_at_its_timeout_and_the_answer_may_come_later),
		cmocka_unit_test(every_call_hears_why_the_server_ended_it),
		cmocka_unit_test(the_reason_arrives_while_sending_in_bulk),
		cmocka_unit_test(cancel_ends_every_wait),
		cmocka_unit_test(
		    a_sender_waits_for_a_server_that_does_not_read_until_canceled),
		cmocka_unit_test(a_backlog_pauses_the_server_and_nothing_is_lost),
		cmocka_unit_test(tickets_resume),
		cmocka_unit_test(a_dial_that_is_canceled_does_not_wait),
		cmocka_unit_test(a_dial_that_fails_says_where_and_why),
		cmocka_unit_test(a_server_of_another_authority_is_refused),
		cmocka_unit_test(closing_nothing_is_allowed),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
