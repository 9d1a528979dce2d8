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

/*
 * Output queued and not yet taken by the kernel, in bytes.  Callers that never
 * ask conn_full() meet CONN_QUEUE_MAX: the conn is closed with ERR_LIMIT.
 */
#define CONN_HIGH_WATER (4u * 1024 * 1024)
#define CONN_LOW_WATER (1u * 1024 * 1024)
#define CONN_QUEUE_MAX (32u * 1024 * 1024)

/* Longest payload an accepted conn takes until conn_frame_max() is called. */
#define CONN_FRAME_FIRST (64u * 1024)

/* Zeroed, or NULL where a pointer is asked for: the defaults. */
struct conn_limits {
	uint32_t handshake_ms; /* From the start until on_open.  Default 20000. */
	uint32_t silence_ms;   /* Nothing moved either way for so long: closed with
				  ERR_TIMEOUT; a pause of ours does not count.
				  Default 0: never. */
	size_t frame_max;      /* Clients: longest payload accepted; default
				  FRAME_PAYLOAD_MAX. */
	int sndbuf, rcvbuf;    /* Socket buffers in bytes, 0: the system's. */
};

/*
 * Connect to "host:port" (names are resolved off the loop) and begin TLS.
 * Failures come as on_closed, with the address in the text ("connect to
 * 127.0.0.1:4711: connection refused").  `on` and `config` must outlive the
 * conn.  `ticket` may be NULL; it is copied.  NULL without memory.
 */
struct conn *conn_connect(struct loop *l, const char *address, struct tls_config *config,
    const uint8_t *ticket, size_t ticket_len, const struct conn_limits *limits,
    const struct conn_events *on, void *arg);

/* Change who hears of it (a listener's acceptor does so once, at the latest in
   the listener_accept call). */
void conn_set_events(struct conn *c, const struct conn_events *on, void *arg);

/*
 * Queue one frame, after on_open; it is encrypted at once, so `f` may be reused.
 * Never blocks and never fails visibly: if the peer is gone, on_closed says so
 * (after a conn_close() it is dropped).  Callers that produce without end ask
 * conn_full() first.
 */
void conn_send(struct conn *c, const struct frame *f);

/* Non-zero if more than CONN_HIGH_WATER bytes wait; on_room will follow once. */
int conn_full(struct conn *c);

/* Stop (non-zero) or go on (zero) reading: what keeps a fast peer in check. */
void conn_pause(struct conn *c, int paused);

/* Accept longer payloads from now on (a peer that has shown who it is). */
void conn_frame_max(struct conn *c, size_t frame_max);

/*
 * Close: send what is queued, say goodbye, wait for the peer to close too (else
 * the system might drop our last words); at most `linger_ms` later it is cut.
 * With linger 0, or before on_open, it is cut at once.  No more frames come.
 * `why` is what on_closed will get, NULL for an orderly end.  Calling it again
 * changes nothing.
 */
void conn_close(struct conn *c, const struct err *why, uint32_t linger_ms);

/* The peer's address as text ("127.0.0.1"; of a client's conn what it was given),
   owned by the conn. */
const char *conn_address(const struct conn *c);

/* Bytes that the socket took and gave so far: TLS records, the handshake's too. */
void conn_bytes(const struct conn *c, uint64_t *sent, uint64_t *received);

/* Client: the newest session ticket, or NULL. */
const uint8_t *conn_ticket(const struct conn *c, size_t *len);

#endif /* PROTO_NET_CONN_H */
