/*
 * net_watch.h - a server that counts what happens to its connections, and a client
 * of TLS on a plain socket, every byte of which a test can steer.
 */
#ifndef TESTS_UNIT_NET_NET_WATCH_H
#define TESTS_UNIT_NET_NET_WATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/net/net_peers.h"

static struct peers peers;
static struct gate gone = GATE_INIT; /* Connections of the server that ended. */
static struct err gone_why;	     /* The last one's reason; read after `gone`. */

/* -------------------------------------------------- a server that watches -- */

static struct gate came = GATE_INIT, framed = GATE_INIT, roomed = GATE_INIT;
static struct conn *watched; /* The newest, on its loop only. */
static struct loop *watched_loop;
static int last_trust; /* Of the newest; written under came.lock. */

static inline void
watch_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	(void)c;
	(void)arg;
	pthread_mutex_lock(&came.lock);
	last_trust = (int)peer->trust;
	pthread_mutex_unlock(&came.lock);
	gate_raise(&came);
}

static inline void
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

static inline void
watch_room(struct conn *c, void *arg)
{
	(void)c;
	(void)arg;
	gate_raise(&roomed);
}

static inline void
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

static inline void
watch_accept(struct conn *c, unsigned loop_no, void *arg)
{
	pthread_mutex_lock(&came.lock); /* Many may come at once. */
	watched = c;
	watched_loop = peers.loops[loop_no];
	pthread_mutex_unlock(&came.lock);
	conn_set_events(c, &watch_events, arg);
}

static inline void
watch(const struct conn_limits *limits, unsigned conns_max)
{
	gate_reset(&came);
	gate_reset(&framed);
	gate_reset(&roomed);
	gate_reset(&gone);
	peers_listen(&peers, limits, conns_max, watch_accept, NULL);
}

static inline void
expect_end(enum err_code code, const char *text)
{
	gate_wait(&gone, 1);
	if (gone_why.code != code || strncmp(gone_why.text, text, strlen(text)) != 0)
		fail_msg(
		    "%s: '%s', not '%s'", err_name(gone_why.code), gone_why.text, text);
	assert_null(strchr(gone_why.text, '\n'));
}

/* --------------------------------------- a client of TLS that we can steer -- */

struct raw {
	int fd;
	struct tls *tls;
};

static inline void
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
static inline void
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
		n = socket_read(r->fd, buf, sizeof(buf));
		PAIR_MUST(n > 0 && tls_input(r->tls, buf, (size_t)n, &err) == 0);
	}
}

static inline void
raw_write(struct raw *r, const void *p, size_t n)
{
	struct err err = ERR_INIT;

	PAIR_MUST(tls_write(r->tls, p, n, &err) == 0);
}

static inline void
raw_close(struct raw *r)
{
	socket_close(r->fd);
	tls_free(r->tls);
}

static inline int
make(void **state)
{
	(void)state;
	peers_make(&peers);
	return 0;
}

static inline int
unmake(void **state)
{
	(void)state;
	peers_free(&peers);
	return 0;
}

#endif /* TESTS_UNIT_NET_NET_WATCH_H */
