/*
 * conn_uv.h - what a conn is made of; for proto/net only.
 *
 *	CONNECTING --connected--> HANDSHAKE --on_open--> OPEN
 *	     |                        |                    |
 *	     |                        +--alert to send--> LINGER <--close--+
 *	     |                        |                    | sent, and the peer
 *	     |                        |                    | closed; or time is up
 *	     +-----failure, close-----+----------------> GONE --on_closed--> freed
 *
 * Rule: only what the loop itself calls (names in _cb, and pump()) makes upcalls.
 * All the rest may be called from inside one and just changes the state, writes,
 * or asks for pump() by conn_uv_later().
 */
#ifndef PROTO_NET_CONN_UV_H
#define PROTO_NET_CONN_UV_H

#include <uv.h>

#include "proto/base/err.h"
#include "proto/net/address.h"
#include "proto/net/conn.h"

struct frame_decoder;
struct tls;

enum conn_stage { CONN_CONNECTING, CONN_HANDSHAKE, CONN_OPEN, CONN_LINGER, CONN_GONE };

/* The socket, apart from the stage: connecting may need several. */
enum conn_socket { CONN_NO_SOCKET, CONN_SOCKET, CONN_SOCKET_CLOSING };

struct conn_resolve; /* A name being resolved; outlives the conn if need be. */

struct conn {
	struct loop *loop;
	struct conn_limits limits;
	const struct conn_events *on;
	void *arg;
	enum conn_stage stage;
	struct err why;	   /* What on_closed will get. */
	struct err broken; /* Output failed; input is still read. */
	char address[300];

	uv_tcp_t tcp;
	uv_timer_t clock;
	uv_idle_t later;
	enum conn_socket socket;
	int handles; /* uv handles not yet closed. */
	int reading, paused;
	int peer_gone;	   /* Nobody to wait for: its stream ended, or it is silent. */
	uint64_t moved_at; /* uv_now() when a byte last moved. */
	uint64_t sent, received; /* Bytes that moved. */

	struct tls *tls;
	struct frame_decoder *in;
	uint8_t *held; /* Decrypted and not looked at yet: paused. */
	size_t held_at, held_len;

	uv_write_t write;
	uv_shutdown_t shutdown;
	uint8_t *out; /* Bytes libuv is writing, or NULL. */
	size_t out_len;
	int full;    /* conn_full() was true; on_room is owed. */
	int said_it; /* LINGER: our end of the stream is on its way. */

	/* Clients. */
	int client;
	struct address target;
	struct conn_resolve *resolving;
	struct addrinfo *found, *next; /* Addresses, and the next to try. */
	uv_connect_t connect;

	/* Told when the conn is freed; for a listener's count. */
	void (*gone)(void *arg);
	void *gone_arg;
};

/* A conn without a socket; NULL without memory.  Its clock runs. */
struct conn *
conn_uv_new(struct loop *l, struct tls_config *config, const struct conn_limits *limits);

/* Give `c` the connected socket `fd` and begin.  Negative: `fd` stays the caller's. */
int conn_uv_accept(struct conn *c, uv_os_sock_t fd);

/* The socket in c->tcp is connected: begin TLS. */
void conn_uv_connected(struct conn *c);

/* Socket options, as far as they can be set now. */
void conn_uv_tune(struct conn *c);

/*
 * End the conn because of `err`; a client's gets the address added.  An alert
 * that TLS has ready is still sent.  Makes no upcall.
 */
void conn_uv_failed(struct conn *c, const struct err *err);

/* Have pump() called soon. */
void conn_uv_later(struct conn *c);

/* Count a handle as closed; the last one ends the conn. */
void conn_uv_handle_closed(uv_handle_t *h);

/* conn_connect.c: forget a name being resolved, and the addresses found. */
void conn_connect_forget(struct conn *c);

#endif /* PROTO_NET_CONN_UV_H */
