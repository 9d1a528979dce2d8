/*
 * Goal: whatever the sizes, stalls and buffers, both ends get every frame of the
 * other, in order, no end waits for the other for ever, and both count the bytes
 * on the wire alike.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

#include <cmocka.h>

#include "proto/net/timer.h"
#include "tests/unit/net/net_peers.h"

static struct peers peers;

/* One end: sends `to_send` frames of a known random sequence, checks the other's. */
struct end {
	struct conn *c;
	struct loop *loop;
	uint64_t out_seed, in_seed, stall_seed;
	int to_send, to_get, sent, got;
	uint32_t size_max;
	int stalls; /* Pause now and then. */
	struct timer *nap;
	int asleep, again;
	struct gate *gate; /* Raised on open, when all came, and on closed. */
	struct err why;
	int client;
	uint64_t wire_sent, wire_received, body; /* Bytes; `body`: of payloads sent. */
};

static void
make_frame(uint64_t *seed, int n, uint32_t size_max, struct frame *f, uint8_t *body)
{
	uint32_t r = peers_random(seed);

	f->kind = (uint16_t)r;
	f->flags = n & 1 ? FRAME_MORE : 0;
	f->request = (uint64_t)n << 32 | r;
	f->len = peers_random(seed) % 4 == 0 ? 0 : peers_random(seed) % size_max;
	for (size_t i = 0; i < f->len; i += 4) {
		uint32_t v = peers_random(seed);

		memcpy(body + i, &v, f->len - i < 4 ? f->len - i : 4);
	}
	f->payload = f->len > 0 ? body : NULL;
}

static void send_again(void *arg);

static void
send_more(struct end *e)
{
	static _Thread_local uint8_t body[1 << 20];
	struct frame f;

	/* A few at a time: the other direction shall get its turn. */
	for (int i = 0; i < 50 && e->sent < e->to_send && !conn_full(e->c); i++) {
		make_frame(&e->out_seed, e->sent++, e->size_max, &f, body);
		e->body += f.len;
		conn_send(e->c, &f);
	}
	/* When full, on_room goes on; else nobody would. */
	if (e->sent < e->to_send && !conn_full(e->c) && !e->again) {
		e->again = 1;
		loop_post(e->loop, send_again, e);
	}
}

static void
send_again(void *arg)
{
	struct end *e = arg;

	e->again = 0;
	if (e->c != NULL)
		send_more(e);
}

static void
end_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	struct end *e = arg;

	PAIR_MUST(peer->trust == TLS_TRUSTED);
	PAIR_MUST(strcmp(peer->cert.name, e->client ? "server" : "host1") == 0);
	e->c = c;
	conn_frame_max(c, FRAME_PAYLOAD_MAX);
	gate_raise(e->gate);
	send_more(e);
}

static void
wake(void *arg)
{
	struct end *e = arg;

	e->asleep = 0;
	conn_pause(e->c, 0);
	send_more(e);
}

static void
end_frame(struct conn *c, const struct frame *f, void *arg)
{
	static _Thread_local uint8_t body[1 << 20];
	struct end *e = arg;
	struct frame want;

	PAIR_MUST(!e->asleep);
	make_frame(&e->in_seed, e->got++, e->size_max, &want, body);
	PAIR_MUST(f->kind == want.kind && f->flags == want.flags);
	PAIR_MUST(f->request == want.request && f->len == want.len);
	PAIR_MUST(f->len == 0 || memcmp(f->payload, want.payload, f->len) == 0);
	if (e->got == e->to_get)
		gate_raise(e->gate);
	send_more(e);
	if (e->stalls && e->got < e->to_get && peers_random(&e->stall_seed) % 8 == 0) {
		e->asleep = 1;
		conn_pause(c, 1);
		timer_set(e->nap, peers_random(&e->stall_seed) % 4, 0);
	}
}

static void
end_room(struct conn *c, void *arg)
{
	(void)c;
	send_more(arg);
}

static void
end_closed(struct conn *c, const struct err *why, void *arg)
{
	struct end *e = arg;

	conn_bytes(c, &e->wire_sent, &e->wire_received);
	e->why = *why;
	e->c = NULL;
	timer_free(e->nap);
	e->nap = NULL;
	gate_raise(e->gate);
}

static const struct conn_events end_events = { end_open, end_frame, end_room,
	end_closed };

static void
end_accept(struct conn *c, unsigned loop_no, void *arg)
{
	struct end *e = arg;

	e->loop = peers.loops[loop_no];
	e->nap = timer_new(e->loop, wake, e);
	conn_set_events(c, &end_events, e);
}

struct connecting {
	struct end *e;
	const struct conn_limits *limits;
};

static void
end_connect(void *arg)
{
	struct connecting *k = arg;

	k->e->nap = timer_new(k->e->loop, wake, k->e);
	PAIR_MUST(conn_connect(k->e->loop, peers.address, peers.agent, NULL, 0, k->limits,
		      &end_events, k->e) != NULL);
}

static void
end_bye(void *arg)
{
	struct end *e = arg;

	conn_close(e->c, NULL, 10000);
	conn_close(e->c, NULL, 0);
}

static void
exchange(const struct conn_limits *limits, int frames, uint32_t size_max, int stalls)
{
	struct gate gate = GATE_INIT;
	struct end server = { .out_seed = 7,
		.in_seed = 9,
		.stall_seed = 3,
		.to_send = frames,
		.to_get = frames,
		.size_max = size_max,
		.stalls = stalls,
		.gate = &gate };
	struct end client = { .out_seed = 9,
		.in_seed = 7,
		.stall_seed = 5,
		.to_send = frames,
		.to_get = frames,
		.size_max = size_max,
		.stalls = stalls,
		.gate = &gate,
		.client = 1,
		.loop = peers.client_loop };
	struct connecting k = { &client, limits };

	peers_listen(&peers, limits, 10, end_accept, &server);
	loop_post(peers.client_loop, end_connect, &k);
	gate_wait(&gate, 4);
	loop_post(peers.client_loop, end_bye, &client);
	gate_wait(&gate, 6);
	assert_int_equal(server.got, frames);
	assert_int_equal(client.got, frames);
	assert_int_equal(client.why.code, ERR_NONE);
	if (server.why.code != ERR_NONE)
		fail_msg("%s", server.why.text);
	/* What one end's socket took the other's gave, to the goodbyes' last byte. */
	assert_int_equal(client.wire_sent, server.wire_received);
	assert_int_equal(server.wire_sent, client.wire_received);
	assert_true(client.wire_sent > client.body && server.wire_sent > server.body);
	peers_deaf(&peers);
}

static void
both_ways_at_once_large(void **state)
{
	(void)state;
	exchange(NULL, 200, 300000, 0);
}

static void
both_ways_at_once_with_stalls(void **state)
{
	(void)state;
	exchange(NULL, 400, 60000, 1);
}

static void
both_ways_through_tiny_socket_buffers_with_stalls(void **state)
{
	static const struct conn_limits tiny = { .sndbuf = 1, .rcvbuf = 1 };

	(void)state;
	exchange(&tiny, 60, 2000, 1);
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
		cmocka_unit_test(both_ways_at_once_large),
		cmocka_unit_test(both_ways_at_once_with_stalls),
		cmocka_unit_test(both_ways_through_tiny_socket_buffers_with_stalls),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
