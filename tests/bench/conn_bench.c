/*
 * conn_bench [MB] - CPU seconds per GB of conn over loopback, each end on a loop
 * of its own: frames of 512 KiB one way, then 64 KiB, then small ones.  "user" is
 * TLS and ours; the rest is the kernel's TCP.
 */
#define _GNU_SOURCE /* RUSAGE_THREAD */
#include <sys/resource.h>

#include "tests/unit/net/net_peers.h"

static struct peers peers;
static struct gate gate = GATE_INIT;

struct end {
	struct conn *c;
	struct loop *loop;
	size_t len; /* Of a frame. */
	long left, got;
	struct rusage before, after;
};

static struct end sender, receiver;
static uint8_t body[512 * 1024];

static void
send_more(struct end *e)
{
	struct frame f = { 25, 0, 1, body, e->len };

	while (e->left > 0 && !conn_full(e->c)) {
		conn_send(e->c, &f);
		e->left--;
	}
}

static void
on_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	struct end *e = arg;

	(void)peer;
	conn_frame_max(c, FRAME_PAYLOAD_MAX);
	e->c = c;
	gate_raise(&gate);
}

static void
on_frame(struct conn *c, const struct frame *f, void *arg)
{
	struct end *e = arg;

	(void)c;
	(void)f;
	if (--e->left > 0)
		return;
	(void)getrusage(RUSAGE_THREAD, &e->after);
	gate_raise(&gate);
}

static void
on_room(struct conn *c, void *arg)
{
	(void)c;
	send_more(arg);
}

static void
on_closed(struct conn *c, const struct err *why, void *arg)
{
	(void)c;
	(void)arg;
	if (why->code != ERR_NONE)
		fprintf(stderr, "%s\n", why->text);
	gate_raise(&gate);
}

static const struct conn_events events = { on_open, on_frame, on_room, on_closed };

static void
on_accept(struct conn *c, unsigned loop_no, void *arg)
{
	receiver.loop = peers.loops[loop_no];
	conn_set_events(c, &events, arg);
}

static void
dial(void *arg)
{
	PAIR_MUST(conn_connect(peers.client_loop, peers.address, peers.agent, NULL, 0,
		      NULL, &events, arg) != NULL);
}

static void
mark(void *arg)
{
	struct end *e = arg;

	(void)getrusage(RUSAGE_THREAD, &e->before);
	if (e == &sender)
		send_more(e);
	else
		gate_raise(&gate);
}

static void
mark_after(void *arg)
{
	struct end *e = arg;

	(void)getrusage(RUSAGE_THREAD, &e->after);
	gate_raise(&gate);
}

static void
bye(void *arg)
{
	struct end *e = arg;

	conn_close(e->c, NULL, 5000);
}

static double
seconds(const struct timeval *a, const struct timeval *b)
{
	return (double)(b->tv_sec - a->tv_sec) + (double)(b->tv_usec - a->tv_usec) / 1e6;
}

static void
print_end(const char *name, const struct end *e, double gb)
{
	printf("  %s %.3f (user %.3f)", name,
	    (seconds(&e->before.ru_utime, &e->after.ru_utime) +
		seconds(&e->before.ru_stime, &e->after.ru_stime)) /
		gb,
	    seconds(&e->before.ru_utime, &e->after.ru_utime) / gb);
}

static void
run(size_t total, size_t len)
{
	long at = gate_count(&gate), n = (long)(total / len);
	struct timespec t0, t1;
	double wall, gb = (double)(n * (long)len) / 1e9;

	sender.len = len;
	sender.left = receiver.left = n;
	loop_post(receiver.loop, mark, &receiver);
	gate_wait(&gate, at + 1);
	(void)clock_gettime(CLOCK_MONOTONIC, &t0);
	loop_post(sender.loop, mark, &sender);
	gate_wait(&gate, at + 2);
	(void)clock_gettime(CLOCK_MONOTONIC, &t1);
	loop_post(sender.loop, mark_after, &sender);
	gate_wait(&gate, at + 3);
	wall = (double)(t1.tv_sec - t0.tv_sec) + (double)(t1.tv_nsec - t0.tv_nsec) / 1e9;
	printf("conn, frames of %zu: CPU s per GB:", len);
	print_end("send", &sender, gb);
	print_end("receive", &receiver, gb);
	printf("; %.0f MB/s\n", gb * 1000 / wall);
}

int
main(int argc, char **argv)
{
	size_t mb = argc > 1 ? (size_t)atol(argv[1]) : 2000;

	peers_make(&peers);
	peers_listen(&peers, NULL, 10, on_accept, &receiver);
	sender.loop = peers.client_loop;
	loop_post(sender.loop, dial, &sender);
	gate_wait(&gate, 2);
	run(mb * 1000000, 512 * 1024);
	run(mb * 1000000, 64 * 1024);
	run(mb * 20000, 200);
	loop_post(sender.loop, bye, &sender);
	gate_wait(&gate, gate_count(&gate) + 2);
	peers_free(&peers);
	return 0;
}
