/*
 * channel.h - a client's connection for code that lives on plain threads.
 *
 * The agent's pipeline and the operator's CLI block where they wait; the loop
 * behind a channel never does.  Any thread may send; each reply is matched to
 * its request by the frame's request number, so several threads may have
 * requests under way at once:
 *
 *	channel_open -> channel_call / channel_send +
 *	    channel_wait ... -> channel_close
 *
 * Once the connection is lost every call fails with the same reason.
 */
#ifndef PROTO_NET_CHANNEL_H
#define PROTO_NET_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "proto/wire/msg.h"

struct channel;
struct conn_limits;
struct err;
struct tls_config;

/* A received frame that owns its payload (malloc). */
struct channel_frame {
	uint16_t kind;
	uint16_t flags;
	uint64_t request;
	uint8_t *payload;
	size_t len;
	uint32_t retry_after_ms; /* Of a Failed; else 0. */
};

/*
 * Connect and finish the handshake, within `timeout_ms` (0: as `limits` say).
 * ERR_TIMEOUT, ERR_IO (refused, unreachable, no such name), ERR_DENIED
 * (certificates), ERR_PROTOCOL; the text names the address.  `limits` may be
 * NULL.  `config` must outlive it.
 */
int channel_open(const char *address, struct tls_config *config, const uint8_t *ticket,
    size_t ticket_len, const struct conn_limits *limits, uint32_t timeout_ms,
    struct channel **out, struct err *err);

/*
 * Tells who may have to cancel it that channel_cancel() works on `ch` from now on, while
 * channel_open() still waits: it is ERR_CANCELED then.  If it fails, `ch` comes once more
 * as NULL, and the channel is gone when the call returns.
 */
struct channel_watch {
	void (*begun)(void *arg, struct channel *ch);
	void *arg;
};

/* As channel_open(), watched by `watch` (NULL: by nobody). */
int channel_open_watched(const char *address, struct tls_config *config,
    const uint8_t *ticket, size_t ticket_len, const struct conn_limits *limits,
    uint32_t timeout_ms, const struct channel_watch *watch, struct channel **out,
    struct err *err);

/*
 * Close in order (waits a moment for the goodbye) and free.  No other thread may
 * be inside a call any more: channel_cancel() first where that is not sure.
 * NULL is allowed.
 */
void channel_close(struct channel *ch);

/*
 * Make every waiting and later call fail with ERR_CANCELED, and say goodbye to the peer
 * meanwhile; from any thread.
 */
void channel_cancel(struct channel *ch);

/* Copy of the newest session ticket: bytes written to `out` (0 if none came). */
size_t channel_ticket(struct channel *ch, uint8_t *out, size_t cap);

/* Bytes on the wire so far, both ways: TLS records, the handshake's too. */
void channel_bytes(struct channel *ch, uint64_t *sent, uint64_t *received);

/*
 * Start a request: sends `m` (or raw bytes) under a new request number, given in
 * `*request` (NULL if of no interest).  Waits while the output is above
 * CONN_HIGH_WATER.
 */
int channel_send(
    struct channel *ch, const ProtobufCMessage *m, uint64_t *request, struct err *err);
int channel_send_raw(struct channel *ch, uint16_t kind, const uint8_t *p, size_t len,
    uint64_t *request, struct err *err);

/*
 * Wait for the next frame that answers `request` (0: any request that no one
 * waits for by number at this moment).  A Failed becomes -1 with its error;
 * out->kind is MSG_FAILED then and out->request the one that failed, while
 * out->kind 0 means that no frame came: the connection is lost, or ERR_TIMEOUT.
 * The caller frees `out->payload`.
 *
 * What came before the connection was lost is still given out, then every call
 * fails with why it was lost: a Failed that closes, else the network's reason.
 *
 * Frames for requests that nobody collects are kept up to CHANNEL_BACKLOG_MAX
 * bytes, then reading pauses until some are taken.  `timeout_ms` 0 waits without
 * end (the conn's silence limit ends it).  A thread that waits for 0 may take
 * what another thread sent by channel_send() and has not begun to wait for;
 * channel_call() is safe from that.
 */
#define CHANNEL_BACKLOG_MAX (16u * 1024 * 1024)
int channel_wait(struct channel *ch, uint64_t request, uint32_t timeout_ms,
    struct channel_frame *out, struct err *err);

/*
 * Send `m` and wait for its one answer, which must be of `kind`; unpacked into
 * `*reply` (msg_free).  A Failed becomes the error.
 */
int channel_call(struct channel *ch, const ProtobufCMessage *m, uint16_t kind,
    ProtobufCMessage **reply, struct err *err);

#endif /* PROTO_NET_CHANNEL_H */
