/*
 * conn.h - one connection that carries frames over TLS, on a loop's thread.
 *
 * Above it there are frames; below it TLS records (proto/tls) on a TCP socket.
 * All functions are called on the conn's loop.  Promises:
 *
 *   - no callback is made from inside a call here; they come later;
 *   - on_open comes once, before any frame; then on_frame for each; then, in
 *     every case, on_closed once, and it is the last;
 *   - a callback may call anything here, conn_close() included.
 *
 * Input is never read further than the frame being handed over: a paused conn
 * holds at most one frame and a few TLS records.
 */
#ifndef PROTO_NET_CONN_H
#define PROTO_NET_CONN_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct frame;
struct loop;
struct tls_config;
struct tls_peer;

struct conn;

struct conn_events {
	/* The handshake is done; `peer` is owned by the conn. */
	void (*on_open)(struct conn *c, const struct tls_peer *peer, void *arg);

	/* A whole frame; borrowed for the call. */
	void (*on_frame)(struct conn *c, const struct frame *f, void *arg);

	/* Queued output fell below CONN_LOW_WATER after conn_full(). */
	void (*on_room)(struct conn *c, void *arg);

	/*
	 * Nothing comes after this, and `c` is freed when it returns.  `why` is
	 * borrowed; code ERR_NONE for an orderly end.
	 */
	void (*on_closed)(struct conn *c, const struct err *why, void *arg);
};

/* Output queued and not yet taken by the kernel, in bytes. */
#define CONN_HIGH_WATER (4u * 1024 * 1024)
#define CONN_LOW_WATER (1u * 1024 * 1024)

/* Limits of time, in ms; set once after the conn is made. */
struct conn_limits {
	uint32_t handshake_ms;	/* Until on_open.  Default 20000. */
	uint32_t silence_ms;	/* No byte from the peer for so long: closed; 0: never. */
	size_t frame_max;	/* Longest payload accepted; default FRAME_PAYLOAD_MAX. */
	int sndbuf, rcvbuf;	/* Socket buffers in bytes, 0: the system's; tests. */
};

/*
 * Connect to "host:port" (names are resolved off the loop) and begin TLS.
 * Failures come as on_closed.  `on` and `config` must outlive the conn.
 * `ticket` may be NULL; it is copied.  Non-NULL result or NULL without memory.
 */
struct conn *conn_connect(struct loop *l, const char *address, struct tls_config *config,
    const uint8_t *ticket, size_t ticket_len, const struct conn_limits *limits,
    const struct conn_events *on, void *arg);

/* Change who hears of it (a listener's acceptor does so once). */
void conn_set_events(struct conn *c, const struct conn_events *on, void *arg);

/*
 * Queue one frame; it is encrypted at once, so `f` may be reused.  Never blocks
 * and never fails visibly: if the peer is gone, on_closed says so.  Callers that
 * produce without end ask conn_full() first.
 */
void conn_send(struct conn *c, const struct frame *f);

/* Non-zero if more than CONN_HIGH_WATER bytes wait; on_room will follow once. */
int conn_full(struct conn *c);

/* Stop (non-zero) or go on (zero) reading: what keeps a fast peer in check. */
void conn_pause(struct conn *c, int paused);

/* Accept longer payloads from now on (a peer that has shown who it is). */
void conn_frame_max(struct conn *c, size_t frame_max);

/*
 * Close: send what is queued, say goodbye, close; at most `linger_ms` later it
 * is cut.  With linger 0 the queue is dropped.  `why` is what on_closed will
 * get, NULL for an orderly end.  Calling it again changes nothing.
 */
void conn_close(struct conn *c, const struct err *why, uint32_t linger_ms);

/* The peer's address as text ("127.0.0.1"), owned by the conn. */
const char *conn_address(const struct conn *c);

/* Client: the newest session ticket, or NULL. */
const uint8_t *conn_ticket(const struct conn *c, size_t *len);

#endif /* PROTO_NET_CONN_H */
