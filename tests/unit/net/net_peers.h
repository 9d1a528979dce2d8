/*
 * net_peers.h - loops, certificates and a listener for the tests of net, and
 * waiting for what happens on the loops.
 */
#ifndef TESTS_UNIT_NET_NET_PEERS_H
#define TESTS_UNIT_NET_NET_PEERS_H

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "proto/net/conn.h"
#include "proto/net/listener.h"
#include "proto/net/loop.h"
#include "proto/tls/tls.h"
#include "proto/wire/frame.h"
#include "tests/unit/net/net_sockets.h"
#include "tests/unit/tls/tls_pair.h"

/* No wait in a test is longer: what takes so long has failed. */
#define PEERS_PATIENCE_S 60

/* A count that loops raise and the test waits for. */
struct gate {
	pthread_mutex_t lock;
	pthread_cond_t raised;
	long count;
};

#define GATE_INIT                                                      \
	{                                                              \
		PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0 \
	}

static inline void
gate_raise(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->count++;
	pthread_cond_broadcast(&g->raised);
	pthread_mutex_unlock(&g->lock);
}

static inline void
gate_reset(struct gate *g)
{
	pthread_mutex_lock(&g->lock);
	g->count = 0;
	pthread_mutex_unlock(&g->lock);
}

static inline long
gate_count(struct gate *g)
{
	long n;

	pthread_mutex_lock(&g->lock);
	n = g->count;
	pthread_mutex_unlock(&g->lock);
	return n;
}

/* Wait until the count is at least `n`; abort after PEERS_PATIENCE_S. */
static inline void
gate_wait(struct gate *g, long n)
{
	struct timespec until;
	int r = 0;

	(void)clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PEERS_PATIENCE_S;
	pthread_mutex_lock(&g->lock);
	while (g->count < n && r == 0)
		r = pthread_cond_timedwait(&g->raised, &g->lock, &until);
	if (g->count < n) {
		fprintf(stderr, "still at %ld of %ld\n", g->count, n);
		abort();
	}
	pthread_mutex_unlock(&g->lock);
}

#define PEERS_LOOPS 2

struct peers {
	struct pair_ca ca, stranger_ca;
	struct pair_id server_id, agent_id, stranger_id;
	struct tls_config *server, *agent, *nobody, *stranger;
	struct loop *loops[PEERS_LOOPS], *client_loop;
	struct listener *listener;
	char address[64]; /* Of the listener. */
};

static inline void
peers_config(struct peers *p, struct tls_config **out, const struct pair_id *id,
    const struct pair_ca *ca)
{
	struct err err = ERR_INIT;

	(void)p;
	PAIR_MUST(tls_config_client(
		      id != NULL ? &id->id : NULL, &ca->cert, NULL, out, &err) == 0);
}

/* Everything but the listener. */
static inline void
peers_make(struct peers *p)
{
	const int64_t from = PAIR_NOW - PAIR_DAY,
		      to = PAIR_NOW + (int64_t)20 * 365 * PAIR_DAY;
	struct err err = ERR_INIT;

	memset(p, 0, sizeof(*p));
	pair_ca_make(&p->ca, "ours");
	pair_ca_make(&p->stranger_ca, "theirs");
	pair_id_make(&p->server_id, &p->ca, CERT_SERVER, "server", from, to);
	pair_id_make(&p->agent_id, &p->ca, CERT_AGENT, "host1", from, to);
	pair_id_make(&p->stranger_id, &p->stranger_ca, CERT_AGENT, "host1", from, to);
	PAIR_MUST(
	    tls_config_server(&p->server_id.id, &p->ca.cert, &p->server, &err) == 0);
	peers_config(p, &p->agent, &p->agent_id, &p->ca);
	peers_config(p, &p->nobody, NULL, &p->ca);
	peers_config(p, &p->stranger, &p->stranger_id, &p->stranger_ca);
	for (int i = 0; i < PEERS_LOOPS; i++)
		PAIR_MUST(loop_start("server", &p->loops[i], &err) == 0);
	PAIR_MUST(loop_start("client", &p->client_loop, &err) == 0);
}

static inline void
peers_listen(struct peers *p, const struct conn_limits *limits, unsigned conns_max,
    listener_accept accept_fn, void *arg)
{
	struct err err = ERR_INIT;

	PAIR_MUST(listener_start("127.0.0.1:0", p->loops, PEERS_LOOPS, p->server, limits,
		      conns_max, accept_fn, arg, &p->listener, &err) == 0);
	(void)snprintf(
	    p->address, sizeof(p->address), "127.0.0.1:%u", listener_port(p->listener));
}

static inline void
peers_deaf(struct peers *p)
{
	listener_stop(p->listener);
	p->listener = NULL;
}

/* All conns must be closing. */
static inline void
peers_free(struct peers *p)
{
	peers_deaf(p);
	loop_stop(p->client_loop);
	for (int i = 0; i < PEERS_LOOPS; i++)
		loop_stop(p->loops[i]);
	tls_config_free(p->server);
	tls_config_free(p->agent);
	tls_config_free(p->nobody);
	tls_config_free(p->stranger);
	cert_key_free(p->ca.key);
	cert_key_free(p->stranger_ca.key);
	cert_key_free(p->server_id.key);
	cert_key_free(p->agent_id.key);
	cert_key_free(p->stranger_id.key);
}

/* A plain TCP socket to the listener. */
static inline int
peers_plain(const struct peers *p)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
		.sin_port = htons(listener_port(p->listener)) };
	int fd = socket_tcp();

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	PAIR_MUST(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	return fd;
}

/* Pseudo-random numbers that both ends can make: xorshift64*. */
static inline uint32_t
peers_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (uint32_t)(*state * 0x2545F4914F6CDD1Du >> 32);
}

#endif /* TESTS_UNIT_NET_NET_PEERS_H */
