/*
 * One loop accepts and hands each socket to the next loop in turn, so that TLS
 * runs on all of them.  Locks: `lock` guards `pending`, `open` and `stopping`; it is held
 * for no call but those of pthread.
 */
#include "proto/net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/net/address.h"
#include "proto/net/conn_uv.h"
#include "proto/net/loop.h"
#include "proto/net/loop_uv.h"

#define BACKLOG 511

/* Accepted in one go before other work gets its turn. */
#define ACCEPT_BURST 64

/* Without descriptors: how long until accepting is tried again. */
#define RETRY_MS 100

/* Living connections; outlives the listener until the last is gone. */
struct census {
	atomic_uint conns;
	atomic_uint refs; /* The listener and each connection. */
};

struct listener {
	int fd;
	uint16_t port;
	unsigned n, turn, conns_max;
	struct tls_config *config;
	struct conn_limits limits;
	listener_accept accept;
	void *arg;
	struct census *census;

	uv_poll_t poll;
	uv_timer_t retry;
	pthread_mutex_t lock;
	pthread_cond_t idle;
	unsigned pending; /* Sockets on their way to a loop. */
	unsigned open;	  /* uv handles. */
	int stopping;	  /* The handles are being closed. */
	struct loop *loops[];
};

/* A socket on its way. */
struct handover {
	struct listener *l;
	unsigned loop_no;
	int fd;
};

static void
census_drop(struct census *census)
{
	if (atomic_fetch_sub(&census->refs, 1) == 1)
		free(census);
}

static void
conn_gone(void *arg)
{
	struct census *census = arg;

	atomic_fetch_sub(&census->conns, 1);
	census_drop(census);
}

/* On the connection's loop: make the conn and show it to the acceptor. */
static void
adopt(void *arg)
{
	struct handover *h = arg;
	struct listener *l = h->l;
	struct conn *c;

	c = conn_uv_new(l->loops[h->loop_no], l->config, &l->limits);
	if (c == NULL) {
		(void)close(h->fd);
		conn_gone(l->census);
	} else {
		c->gone = conn_gone;
		c->gone_arg = l->census;
		if (conn_uv_accept(c, h->fd) < 0) {
			(void)close(h->fd);
			conn_close(c, NULL, 0);
		} else {
			l->accept(c, h->loop_no, l->arg);
			if (c->on == NULL)
				conn_close(c, NULL, 0);
		}
	}
	free(h);
	pthread_mutex_lock(&l->lock);
	l->pending--;
	pthread_cond_signal(&l->idle);
	pthread_mutex_unlock(&l->lock);
}

static void
hand_to_a_loop(struct listener *l, int fd)
{
	struct handover *h;

	if (atomic_load(&l->census->conns) >= l->conns_max ||
	    (h = malloc(sizeof(*h))) == NULL) {
		(void)close(fd);
		return;
	}
	*h = (struct handover){ l, l->turn, fd };
	l->turn = (l->turn + 1) % l->n;
	atomic_fetch_add(&l->census->conns, 1);
	atomic_fetch_add(&l->census->refs, 1);
	pthread_mutex_lock(&l->lock);
	l->pending++;
	pthread_mutex_unlock(&l->lock);
	loop_post(l->loops[h->loop_no], adopt, h);
}

static void readable_cb(uv_poll_t *p, int status, int events);

static void
retry_cb(uv_timer_t *t)
{
	struct listener *l = t->data;

	(void)uv_poll_start(&l->poll, UV_READABLE, readable_cb);
}

static void
readable_cb(uv_poll_t *p, int status, int events)
{
	struct listener *l = p->data;
	int fd;

	(void)status;
	(void)events;
	for (int i = 0; i < ACCEPT_BURST; i++) {
		if ((fd = accept(l->fd, NULL, NULL)) >= 0) {
			(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
			hand_to_a_loop(l, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM) {
			/* The peer waits in the backlog; asking again now would spin. */
			(void)uv_poll_stop(&l->poll);
			(void)uv_timer_start(&l->retry, retry_cb, RETRY_MS, 0);
			return;
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ------------------------------------------------------- start and stop -- */

static int
bind_one(const struct addrinfo *a, uint16_t *port)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	int fd, one = 1, e;

	if ((fd = socket(a->ai_family, SOCK_STREAM, 0)) < 0)
		return -1;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0 ||
	    getsockname(fd, (struct sockaddr *)&ss, &len) < 0) {
		e = errno;
		(void)close(fd);
		errno = e;
		return -1;
	}
	*port = ntohs(ss.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&ss)->sin6_port
					       : ((struct sockaddr_in *)&ss)->sin_port);
	return fd;
}

/* A listening socket for `text`; the first of its addresses that can be had. */
static int
listen_on(const char *text, uint16_t *port, struct err *err)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found = NULL;
	struct address address;
	int fd = -1, r;

	if (address_parse(text, &address, err) < 0)
		return -1;
	r = getaddrinfo(
	    address.host[0] != '\0' ? address.host : NULL, address.port, &hints, &found);
	if (r != 0)
		return err_set(err, ERR_IO, "listen on %s: %s", text, gai_strerror(r));
	for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
		fd = bind_one(a, port);
	if (fd < 0)
		(void)err_os(err, errno, "listen on %s", text);
	freeaddrinfo(found);
	return fd;
}

static void
begin(void *arg)
{
	struct listener *l = arg;
	uv_loop_t *uv = loop_uv(l->loops[0]);

	(void)uv_poll_init(uv, &l->poll, l->fd);
	(void)uv_timer_init(uv, &l->retry);
	l->poll.data = l->retry.data = l;
	l->open = 2;
	(void)uv_poll_start(&l->poll, UV_READABLE, readable_cb);
}

int
listener_start(const char *address, struct loop *const loops[], unsigned n,
    struct tls_config *config, const struct conn_limits *limits, unsigned conns_max,
    listener_accept accept_fn, void *arg, struct listener **out, struct err *err)
{
	struct listener *l;

	l = calloc(1, sizeof(*l) + n * sizeof(l->loops[0]));
	if (l == NULL || (l->census = calloc(1, sizeof(*l->census))) == NULL) {
		free(l);
		return err_set(err, ERR_NOMEM, "no memory for a listener");
	}
	atomic_init(&l->census->refs, 1);
	if ((l->fd = listen_on(address, &l->port, err)) < 0) {
		free(l->census);
		free(l);
		return -1;
	}
	l->n = n;
	for (unsigned i = 0; i < n; i++)
		l->loops[i] = loops[i];
	l->conns_max = conns_max;
	l->config = config;
	if (limits != NULL)
		l->limits = *limits;
	l->accept = accept_fn;
	l->arg = arg;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->idle, NULL);
	loop_post(l->loops[0], begin, l);
	*out = l;
	return 0;
}

uint16_t
listener_port(const struct listener *l)
{
	return l->port;
}

static void
closed_cb(uv_handle_t *h)
{
	struct listener *l = h->data;

	pthread_mutex_lock(&l->lock);
	l->open--;
	pthread_cond_signal(&l->idle);
	pthread_mutex_unlock(&l->lock);
}

static void
end(void *arg)
{
	struct listener *l = arg;

	uv_close((uv_handle_t *)&l->poll, closed_cb);
	uv_close((uv_handle_t *)&l->retry, closed_cb);
	pthread_mutex_lock(&l->lock);
	l->stopping = 1;
	pthread_mutex_unlock(&l->lock);
}

void
listener_stop(struct listener *l)
{
	if (l == NULL)
		return;
	loop_post(l->loops[0], end, l);
	pthread_mutex_lock(&l->lock);
	while (!l->stopping || l->open > 0 || l->pending > 0)
		pthread_cond_wait(&l->idle, &l->lock);
	pthread_mutex_unlock(&l->lock);
	(void)close(l->fd);
	census_drop(l->census);
	pthread_mutex_destroy(&l->lock);
	pthread_cond_destroy(&l->idle);
	free(l);
}
