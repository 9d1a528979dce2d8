/*
 * Goal: floods stop at their marks, and hundreds of connections are served side by
 * side, up to the limit and no further.
 */
#include "tests/unit/net/net_watch.h"

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
		ssize_t got = socket_read(r->fd, buf, sizeof(buf));
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
	gate_reset(&flooding.full);
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
	gate_wait(&gone, 4);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_full_conn_says_once_when_there_is_room),
		cmocka_unit_test(a_queue_without_end_is_cut),
		cmocka_unit_test(hundreds_at_once_are_spread_over_the_loops),
		cmocka_unit_test(more_than_the_limit_are_refused_and_room_comes_back),
		cmocka_unit_test(a_port_in_use_is_named),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
