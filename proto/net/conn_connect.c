/*
 * Reaching a server: the name is resolved on libuv's pool, its addresses are
 * tried one after another.
 */
#include <stdio.h>
#include <stdlib.h>

#include "proto/net/conn.h"
#include "proto/net/conn_uv.h"
#include "proto/net/loop_uv.h"
#include "proto/tls/tls.h"

struct conn_resolve {
	uv_getaddrinfo_t req;
	struct conn *c; /* NULL: it is gone; just clean up. */
};

void
conn_connect_forget(struct conn *c)
{
	if (c->resolving != NULL) {
		/* If it runs already it ends by itself, later. */
		c->resolving->c = NULL;
		(void)uv_cancel((uv_req_t *)&c->resolving->req);
		c->resolving = NULL;
	}
	if (c->found != NULL)
		uv_freeaddrinfo(c->found);
	c->found = c->next = NULL;
}

static void
fail(struct conn *c, int status)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_IO, "%s", uv_strerror(status));
	err.os = -status;
	conn_uv_failed(c, &err);
}

static void try_next(struct conn *c);

/* The socket of a failed attempt is closed. */
static void
attempt_closed_cb(uv_handle_t *h)
{
	struct conn *c = h->data;

	if (c->stage == CONN_GONE) {
		conn_uv_handle_closed(h);
		return;
	}
	c->handles--;
	c->socket = CONN_NO_SOCKET;
	try_next(c);
}

static void
attempt_failed(struct conn *c, int status)
{
	if (c->next == NULL) {
		fail(c, status);
		return;
	}
	c->socket = CONN_SOCKET_CLOSING;
	uv_close((uv_handle_t *)&c->tcp, attempt_closed_cb);
}

static void
connect_cb(uv_connect_t *req, int status)
{
	struct conn *c = req->data;

	if (c->stage != CONN_CONNECTING || c->socket != CONN_SOCKET)
		return;
	if (status < 0) {
		attempt_failed(c, status);
		return;
	}
	conn_connect_forget(c);
	conn_uv_connected(c);
}

static void
try_next(struct conn *c)
{
	const struct addrinfo *a = c->next;
	int r;

	c->next = a->ai_next;
	/* With the family the socket exists now: its buffers shape the window. */
	r = uv_tcp_init_ex(loop_uv(c->loop), &c->tcp, (unsigned)a->ai_family);
	if (r < 0) {
		/* No such family here, or no descriptor: no handle was made. */
		if (c->next != NULL)
			try_next(c);
		else
			fail(c, r);
		return;
	}
	c->tcp.data = c;
	c->socket = CONN_SOCKET;
	c->handles++;
	conn_uv_tune(c);
	c->connect.data = c;
	if ((r = uv_tcp_connect(&c->connect, &c->tcp, a->ai_addr, connect_cb)) < 0)
		attempt_failed(c, r);
}

static void
resolved_cb(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
	struct conn_resolve *r = req->data;
	struct conn *c = r->c;

	free(r);
	if (c == NULL) {
		uv_freeaddrinfo(found);
		return;
	}
	c->resolving = NULL;
	if (status < 0 || found == NULL) {
		uv_freeaddrinfo(found);
		fail(c, status < 0 ? status : UV_EAI_NONAME);
		return;
	}
	c->found = c->next = found;
	try_next(c);
}

static void
resolve(struct conn *c)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct conn_resolve *r;
	int e;

	if ((r = calloc(1, sizeof(*r))) == NULL) {
		fail(c, UV_ENOMEM);
		return;
	}
	r->c = c;
	r->req.data = r;
	c->resolving = r;
	e = uv_getaddrinfo(loop_uv(c->loop), &r->req, resolved_cb,
	    c->target.host[0] != '\0' ? c->target.host : "localhost", c->target.port,
	    &hints);
	if (e < 0) {
		c->resolving = NULL;
		free(r);
		fail(c, e);
	}
}

struct conn *
conn_connect(struct loop *l, const char *address, struct tls_config *config,
    const uint8_t *ticket, size_t ticket_len, const struct conn_limits *limits,
    const struct conn_events *on, void *arg)
{
	struct err err = ERR_INIT;
	struct conn *c;

	if ((c = conn_uv_new(l, config, limits)) == NULL)
		return NULL;
	c->client = 1;
	conn_set_events(c, on, arg);
	conn_frame_max(c, c->limits.frame_max);
	if (ticket != NULL)
		tls_resume(c->tls, ticket, ticket_len);
	(void)snprintf(c->address, sizeof(c->address), "%s", address);

	/* A failure here is heard of later, like any other. */
	if (address_parse(address, &c->target, &err) < 0)
		conn_uv_failed(c, &err);
	else
		resolve(c);
	return c;
}
