#include "proto/net/conn.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/net/conn_uv.h"
#include "proto/net/loop_uv.h"
#include "proto/tls/tls.h"
#include "proto/wire/frame.h"

#define HANDSHAKE_MS 20000
#define KEEPALIVE_S 60

/* How long an alert or a last read may take after the connection failed. */
#define LAST_WORDS_MS 1000

/* conn_send() writes at once from here on; less is gathered until pump(). */
#define FLUSH_AT (256u * 1024)

/* At most so much is copied out of the TLS output for the kernel to take. */
#define OUT_CHUNK (256u * 1024)

static void flush(struct conn *c);
static void sync_reading(struct conn *c);

/* -------------------------------------------------------------- endings -- */

void
conn_uv_handle_closed(uv_handle_t *h)
{
	struct conn *c = h->data;

	if (--c->handles > 0)
		return;
	if (c->on != NULL)
		c->on->on_closed(c, &c->why, c->arg);
	tls_free(c->tls);
	frame_decoder_free(c->in);
	free(c->held);
	free(c->out);
	if (c->gone != NULL)
		c->gone(c->gone_arg);
	free(c);
}

/* End it now; on_closed comes when libuv lets go. */
static void
cut(struct conn *c)
{
	if (c->stage == CONN_GONE)
		return;
	c->stage = CONN_GONE;
	conn_connect_forget(c);
	uv_close((uv_handle_t *)&c->clock, conn_uv_handle_closed);
	uv_close((uv_handle_t *)&c->later, conn_uv_handle_closed);
	if (c->socket == CONN_SOCKET) {
		c->socket = CONN_SOCKET_CLOSING;
		uv_close((uv_handle_t *)&c->tcp, conn_uv_handle_closed);
	}
}

static void clock_cb(uv_timer_t *h);

/* Send what is queued, then wait for the peer to close, for `ms` at most. */
static void
linger(struct conn *c, uint32_t ms)
{
	c->stage = CONN_LINGER;
	(void)uv_timer_start(&c->clock, clock_cb, ms, 0);
	flush(c);
	if (c->stage == CONN_LINGER)
		sync_reading(c);
}

/* A failure that we saw: `err` says what.  An alert may still go out. */
void
conn_uv_failed(struct conn *c, const struct err *err)
{
	if (c->stage >= CONN_LINGER)
		return;
	c->why = *err;
	if (c->client)
		(void)err_context(&c->why,
		    c->stage == CONN_OPEN ? "connection to %s" : "connect to %s",
		    c->address);
	if (c->stage == CONN_CONNECTING || c->broken.code != ERR_NONE || c->peer_gone)
		cut(c);
	else
		linger(c, LAST_WORDS_MS);
}

static void
fail_uv(struct conn *c, int status, const char *what)
{
	struct err err = ERR_INIT;

	(void)err_set(&err, ERR_IO, "%s: %s", what, uv_strerror(status));
	err.os = -status;
	c->broken = err; /* Nothing more can be sent. */
	conn_uv_failed(c, &err);
}

void
conn_close(struct conn *c, const struct err *why, uint32_t linger_ms)
{
	if (c->stage >= CONN_LINGER)
		return;
	if (why != NULL)
		c->why = *why;
	if (linger_ms == 0 || c->stage != CONN_OPEN || c->broken.code != ERR_NONE) {
		cut(c);
		return;
	}
	tls_shutdown(c->tls);
	linger(c, linger_ms);
}

/* --------------------------------------------------------------- clocks -- */

static void
start_silence(struct conn *c, uint64_t ms)
{
	if (ms > 0)
		(void)uv_timer_start(&c->clock, clock_cb, ms, 0);
	else
		(void)uv_timer_stop(&c->clock);
}

static void
clock_cb(uv_timer_t *h)
{
	struct conn *c = h->data;
	struct err err = ERR_INIT;
	uint64_t quiet;

	switch (c->stage) {
	case CONN_CONNECTING:
	case CONN_HANDSHAKE:
		c->peer_gone = 1; /* Who was silent so long need not be waited for. */
		(void)err_set(&err, ERR_TIMEOUT, "%s within %u ms",
		    c->stage == CONN_HANDSHAKE ? "the TLS handshake was not done"
					       : "no connection",
		    c->limits.handshake_ms);
		conn_uv_failed(c, &err);
		return;
	case CONN_OPEN:
		if (c->broken.code != ERR_NONE) {
			conn_uv_failed(c, &c->broken);
			return;
		}
		quiet = uv_now(h->loop) - c->moved_at;
		if (!c->paused && quiet >= c->limits.silence_ms) {
			c->peer_gone = 1;
			(void)err_set(
			    &err, ERR_TIMEOUT, "silent for %u ms", c->limits.silence_ms);
			conn_uv_failed(c, &err);
			return;
		}
		start_silence(
		    c, c->paused ? c->limits.silence_ms : c->limits.silence_ms - quiet);
		return;
	case CONN_LINGER:
		cut(c);
		return;
	case CONN_GONE:
		return;
	}
}

/* --------------------------------------------------------------- output -- */

static void pump(struct conn *c);

/* Output failed.  What the peer said before it left is still worth reading. */
static void
output_broke(struct conn *c, int status)
{
	if (c->stage == CONN_LINGER) {
		cut(c);
		return;
	}
	if (c->broken.code != ERR_NONE)
		return;
	(void)err_set(&c->broken, ERR_IO, "write: %s", uv_strerror(status));
	c->broken.os = -status;
	(void)uv_timer_start(&c->clock, clock_cb, LAST_WORDS_MS, 0);
	if (c->stage != CONN_OPEN)
		conn_uv_failed(c, &c->broken);
}

static void
write_cb(uv_write_t *req, int status)
{
	struct conn *c = req->data;

	if (status == 0)
		c->sent += c->out_len;
	free(c->out);
	c->out = NULL;
	c->out_len = 0;
	if (c->stage == CONN_GONE)
		return;
	if (status < 0)
		output_broke(c, status);
	else
		c->moved_at = uv_now(c->tcp.loop);
	pump(c);
}

static void
shutdown_cb(uv_shutdown_t *req, int status)
{
	(void)req;
	(void)status; /* If it failed, the clock ends the conn. */
}

/* Let libuv write the next bytes once the kernel has room. */
static void
write_later(struct conn *c, const uint8_t *p, size_t n)
{
	uv_buf_t b;
	int r;

	if (n > OUT_CHUNK)
		n = OUT_CHUNK;
	if ((c->out = malloc(n)) == NULL) {
		output_broke(c, UV_ENOMEM);
		return;
	}
	memcpy(c->out, p, n);
	c->out_len = n;
	tls_sent(c->tls, n);
	b = uv_buf_init((char *)c->out, (unsigned)n);
	c->write.data = c;
	if ((r = uv_write(&c->write, (uv_stream_t *)&c->tcp, &b, 1, write_cb)) < 0) {
		free(c->out);
		c->out = NULL;
		c->out_len = 0;
		output_broke(c, r);
	}
}

/* Write what goes without waiting.  Makes no upcall. */
static void
flush(struct conn *c)
{
	const uint8_t *p;
	uv_buf_t b;
	size_t n;
	int r;

	if (c->stage == CONN_CONNECTING || c->stage == CONN_GONE || c->out != NULL ||
	    c->broken.code != ERR_NONE)
		return;
	while ((n = tls_output(c->tls, &p)) > 0) {
		b = uv_buf_init((char *)(uintptr_t)p, (unsigned)n);
		r = uv_try_write((uv_stream_t *)&c->tcp, &b, 1);
		if (r > 0) {
			c->sent += (size_t)r;
			tls_sent(c->tls, (size_t)r);
			c->moved_at = uv_now(c->tcp.loop);
		} else if (r == UV_EAGAIN || r == 0) {
			write_later(c, p, n);
			return;
		} else {
			output_broke(c, r);
			return;
		}
	}
	if (c->stage == CONN_LINGER && !c->said_it) {
		c->said_it = 1;
		if (uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, shutdown_cb) < 0)
			cut(c);
	}
}

static size_t
queued(struct conn *c)
{
	const uint8_t *p;

	return tls_output(c->tls, &p) + c->out_len;
}

/* A header of its own would cost a TLS record: it goes with the first bytes. */
static int
encrypt(struct conn *c, const struct frame *f, struct err *err)
{
	uint8_t *first = loop_outgoing(c->loop);
	size_t n = LOOP_RECORD_LEN - FRAME_HEADER_LEN;

	if (n > f->len)
		n = f->len;
	frame_encode_header(f, first);
	if (n > 0)
		memcpy(first + FRAME_HEADER_LEN, f->payload, n);
	if (tls_write(c->tls, first, FRAME_HEADER_LEN + n, err) < 0)
		return -1;
	if (n == f->len)
		return 0;
	return tls_write(c->tls, f->payload + n, f->len - n, err);
}

void
conn_send(struct conn *c, const struct frame *f)
{
	struct err err = ERR_INIT;
	size_t n;

	assert(c->stage >= CONN_OPEN);
	/* TLS may know of an end that drain() has yet to come to. */
	if (c->stage != CONN_OPEN || c->broken.code != ERR_NONE || !tls_open(c->tls))
		return;
	if (encrypt(c, f, &err) < 0) {
		conn_uv_failed(c, &err);
		return;
	}
	n = queued(c);
	if (n > CONN_QUEUE_MAX) {
		(void)err_set(&err, ERR_LIMIT,
		    "the peer does not read: %zu bytes wait to be sent", n);
		c->why = err;
		cut(c);
		return;
	}
	if (n >= FLUSH_AT)
		flush(c);
	conn_uv_later(c);
}

int
conn_full(struct conn *c)
{
	if (c->stage == CONN_OPEN && queued(c) > CONN_HIGH_WATER)
		c->full = 1;
	return c->full;
}

/* ---------------------------------------------------------------- input -- */

/*
 * Hand over the frames in `p` until the conn is paused or closed; returns how
 * many bytes were used.
 */
static size_t
hand_over(struct conn *c, const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;
	struct frame f;
	size_t used = 0;

	while (used < len && c->stage == CONN_OPEN && !c->paused) {
		used += frame_decoder_feed(c->in, p + used, len - used);
		switch (frame_decoder_next(c->in, &f, &err)) {
		case FRAME_NEXT_READY:
			c->on->on_frame(c, &f, c->arg);
			break;
		case FRAME_NEXT_BROKEN:
			conn_uv_failed(c, &err);
			break;
		case FRAME_NEXT_WANT:
			break;
		}
	}
	return used;
}

/* Keep what a pause left of a decrypted record. */
static void
hold(struct conn *c, const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;

	if (len == 0 || c->stage != CONN_OPEN)
		return;
	if ((c->held = malloc(len)) == NULL) {
		(void)err_set(&err, ERR_NOMEM, "no memory for %zu bytes of input", len);
		conn_uv_failed(c, &err);
		return;
	}
	memcpy(c->held, p, len);
	c->held_at = 0;
	c->held_len = len;
}

static void
hand_over_held(struct conn *c)
{
	c->held_at += hand_over(c, c->held + c->held_at, c->held_len - c->held_at);
	if (c->held_at < c->held_len)
		return;
	free(c->held);
	c->held = NULL;
}

static void
opened(struct conn *c)
{
	c->stage = CONN_OPEN;
	c->moved_at = uv_now(c->tcp.loop);
	start_silence(c, c->limits.silence_ms);
	c->on->on_open(c, tls_peer(c->tls), c->arg);
}

/* The peer's stream ended: in order (`goodbye`) or not. */
static void
ended(struct conn *c, int goodbye)
{
	struct err err = ERR_INIT;

	if (c->stage == CONN_LINGER) {
		cut(c);
		return;
	}
	if (c->broken.code != ERR_NONE) {
		err = c->broken;
	} else if (c->stage == CONN_HANDSHAKE) {
		(void)err_set(
		    &err, ERR_IO, "closed by the peer during the TLS handshake");
	} else if (!goodbye) {
		/* Inside a frame or not: it was killed, or the network cut. */
		(void)err_set(&err, ERR_IO, "closed by the peer without a goodbye");
	} else if (frame_decoder_inside(c->in)) {
		(void)err_set(&err, ERR_PROTOCOL, "closed by the peer inside a frame");
	} else {
		conn_close(c, NULL, LAST_WORDS_MS);
		return;
	}
	conn_uv_failed(c, &err);
}

/* Decrypt and hand over until there is no more or no one who wants it. */
static void
drain(struct conn *c)
{
	uint8_t *plain = loop_plain(c->loop);

	while (c->stage == CONN_HANDSHAKE || (c->stage == CONN_OPEN && !c->paused)) {
		struct err err = ERR_INIT;
		enum tls_result r;
		size_t got = 0, used;

		if (c->held != NULL) {
			hand_over_held(c);
			continue;
		}
		r = tls_read(c->tls, plain, LOOP_RECORD_LEN, &got, &err);
		/* An end may have come with the handshake's last bytes. */
		if (c->stage == CONN_HANDSHAKE &&
		    (r == TLS_DATA || r == TLS_END || tls_open(c->tls)))
			opened(c);
		switch (r) {
		case TLS_DATA:
			used = hand_over(c, plain, got);
			hold(c, plain + used, got - used);
			break;
		case TLS_WANT:
			return;
		case TLS_END:
			ended(c, 1);
			return;
		case TLS_FAILED:
			conn_uv_failed(c, &err);
			return;
		}
	}
}

static void
alloc_cb(uv_handle_t *h, size_t want, uv_buf_t *b)
{
	struct conn *c = h->data;

	(void)want;
	*b = uv_buf_init((char *)loop_input(c->loop), LOOP_INPUT_LEN);
}

static void
read_cb(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct conn *c = s->data;
	struct err err = ERR_INIT;

	if (n == 0 || c->stage == CONN_GONE)
		return;
	if (n > 0)
		c->received += (uint64_t)n;
	if (n > 0 && c->stage == CONN_LINGER)
		return; /* Read only so that the peer can write, and close. */
	if (n > 0) {
		c->moved_at = uv_now(s->loop);
		if (tls_input(c->tls, (const uint8_t *)b->base, (size_t)n, &err) < 0)
			conn_uv_failed(c, &err);
	} else if (n == UV_EOF) {
		c->peer_gone = 1;
		ended(c, 0);
	} else if (c->stage == CONN_LINGER) {
		cut(c);
	} else {
		fail_uv(c, (int)n, "read");
	}
	pump(c);
}

/* Read exactly while someone wants it. */
static void
sync_reading(struct conn *c)
{
	int want = c->stage == CONN_HANDSHAKE || c->stage == CONN_LINGER ||
		   (c->stage == CONN_OPEN && !c->paused);

	if (want == c->reading || c->stage == CONN_GONE || c->stage == CONN_CONNECTING)
		return;
	c->reading = want;
	if (want)
		(void)uv_read_start((uv_stream_t *)&c->tcp, alloc_cb, read_cb);
	else
		(void)uv_read_stop((uv_stream_t *)&c->tcp);
}

/* ----------------------------------------------------------- the middle -- */

/* Do whatever can be done now.  Called by the loop only; makes upcalls. */
static void
pump(struct conn *c)
{
	drain(c);
	flush(c);
	if (c->stage == CONN_OPEN && c->full && queued(c) < CONN_LOW_WATER) {
		c->full = 0;
		c->on->on_room(c, c->arg);
	}
	sync_reading(c);
}

static void
later_cb(uv_idle_t *h)
{
	(void)uv_idle_stop(h);
	pump(h->data);
}

void
conn_uv_later(struct conn *c)
{
	if (c->stage != CONN_GONE)
		(void)uv_idle_start(&c->later, later_cb);
}

void
conn_pause(struct conn *c, int paused)
{
	paused = paused != 0;
	if (c->stage >= CONN_LINGER || paused == c->paused)
		return;
	c->paused = paused;
	c->moved_at = uv_now(c->clock.loop);
	if (paused)
		sync_reading(c);
	else
		conn_uv_later(c);
}

void
conn_frame_max(struct conn *c, size_t frame_max)
{
	frame_decoder_limit(c->in, frame_max);
}

void
conn_set_events(struct conn *c, const struct conn_events *on, void *arg)
{
	c->on = on;
	c->arg = arg;
}

const char *
conn_address(const struct conn *c)
{
	return c->address;
}

void
conn_bytes(const struct conn *c, uint64_t *sent, uint64_t *received)
{
	*sent = c->sent;
	*received = c->received;
}

const uint8_t *
conn_ticket(const struct conn *c, size_t *len)
{
	return tls_ticket(c->tls, len);
}

/* ----------------------------------------------------------- beginnings -- */

struct conn *
conn_uv_new(struct loop *l, struct tls_config *config, const struct conn_limits *limits)
{
	struct conn *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return NULL;
	c->loop = l;
	if (limits != NULL)
		c->limits = *limits;
	if (c->limits.handshake_ms == 0)
		c->limits.handshake_ms = HANDSHAKE_MS;
	if (c->limits.frame_max == 0)
		c->limits.frame_max = FRAME_PAYLOAD_MAX;
	c->tls = tls_new(config);
	c->in = frame_decoder_new(CONN_FRAME_FIRST);
	if (c->tls == NULL || c->in == NULL) {
		tls_free(c->tls);
		frame_decoder_free(c->in);
		free(c);
		return NULL;
	}
	(void)uv_timer_init(loop_uv(l), &c->clock);
	(void)uv_idle_init(loop_uv(l), &c->later);
	c->clock.data = c->later.data = c->tcp.data = c;
	c->handles = 2;
	uv_update_time(loop_uv(l));
	(void)uv_timer_start(&c->clock, clock_cb, c->limits.handshake_ms, 0);
	return c;
}

void
conn_uv_tune(struct conn *c)
{
	int n;

	(void)uv_tcp_nodelay(&c->tcp, 1);
	(void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
	if ((n = c->limits.sndbuf) > 0)
		(void)uv_send_buffer_size((uv_handle_t *)&c->tcp, &n);
	if ((n = c->limits.rcvbuf) > 0)
		(void)uv_recv_buffer_size((uv_handle_t *)&c->tcp, &n);
}

void
conn_uv_connected(struct conn *c)
{
	c->stage = CONN_HANDSHAKE;
	sync_reading(c);
	conn_uv_later(c);
}

static void
name_peer(struct conn *c)
{
	struct sockaddr_storage ss;
	int len = sizeof(ss);

	if (uv_tcp_getpeername(&c->tcp, (struct sockaddr *)&ss, &len) < 0)
		return;
	if (ss.ss_family == AF_INET)
		(void)uv_ip4_name(
		    (struct sockaddr_in *)&ss, c->address, sizeof(c->address));
	else if (ss.ss_family == AF_INET6)
		(void)uv_ip6_name(
		    (struct sockaddr_in6 *)&ss, c->address, sizeof(c->address));
	/* An IPv4 peer of a socket that takes both. */
	if (strncmp(c->address, "::ffff:", 7) == 0 && strchr(c->address, '.') != NULL)
		memmove(c->address, c->address + 7, strlen(c->address + 7) + 1);
}

int
conn_uv_accept(struct conn *c, uv_os_sock_t fd)
{
	int r;

	(void)uv_tcp_init(loop_uv(c->loop), &c->tcp);
	c->tcp.data = c;
	c->socket = CONN_SOCKET;
	c->handles++;
	if ((r = uv_tcp_open(&c->tcp, fd)) < 0)
		return r;
	conn_uv_tune(c);
	name_peer(c);
	conn_uv_connected(c);
	return 0;
}
