#include "proto/net/channel.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/wait.h"
#include "proto/net/conn.h"
#include "proto/net/loop.h"
#include "proto/wire/frame.h"

/* How long the goodbye may take. */
#define GOODBYE_MS 2000

/* Bytes that may be on their way from callers to the loop, above one frame. */
#define POSTED_MAX (1024u * 1024)

/* A frame that came and nobody took yet. */
struct item {
	struct item *next;
	struct channel_frame frame;
};

/* A thread that waits for a request by its number. */
struct waiter {
	struct waiter *next;
	uint64_t request;
};

struct channel {
	struct loop *loop;
	struct conn *c; /* On the loop's thread only; NULL once closed. */

	pthread_mutex_t lock; /* Guards what follows. */
	pthread_cond_t changed;
	int open, closed;
	struct err why; /* Set once: every call fails with it. */
	uint64_t requests;
	size_t posted; /* Bytes handed to the loop, not yet to the conn. */
	int full;
	struct item *first, **last;
	size_t backlog; /* Bytes in them. */
	int paused;
	struct waiter *waiters;
	uint8_t *ticket; /* Kept when the conn closed; and so are its bytes. */
	size_t ticket_len;
	uint64_t sent, received;
};

static void
free_item(struct item *i)
{
	free(i->frame.payload);
	free(i);
}

/* ---------------------------------------------------- on the loop's thread -- */

static void
on_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	struct channel *ch = arg;

	(void)c;
	(void)peer;
	pthread_mutex_lock(&ch->lock);
	ch->open = 1;
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
}

/* The server ends the session and says why: that is what callers shall hear. */
static int
closes(struct channel *ch, const Wire__Failed *failed)
{
	if (!failed->closing)
		return 0;
	pthread_mutex_lock(&ch->lock);
	if (ch->why.code == ERR_NONE)
		(void)msg_to_err(failed, &ch->why);
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
	return 1;
}

static void
keep(struct channel *ch, struct item *i)
{
	pthread_mutex_lock(&ch->lock);
	*ch->last = i;
	ch->last = &i->next;
	ch->backlog += sizeof(*i) + i->frame.len;
	if (ch->backlog > CHANNEL_BACKLOG_MAX) {
		ch->paused = 1;
		conn_pause(ch->c, 1);
	}
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
}

static void
on_frame(struct conn *c, const struct frame *f, void *arg)
{
	struct channel *ch = arg;
	struct err err = ERR_INIT;
	ProtobufCMessage *m;
	struct item *i;

	if (f->kind == MSG_FAILED) {
		int ends;

		if (msg_unpack(f, &m, &err) < 0) {
			conn_close(c, &err, GOODBYE_MS);
			return;
		}
		ends = closes(ch, (Wire__Failed *)m);
		msg_free(m);
		if (ends) {
			conn_close(c, NULL, GOODBYE_MS);
			return;
		}
	}
	if ((i = calloc(1, sizeof(*i))) == NULL ||
	    (f->len > 0 && (i->frame.payload = malloc(f->len)) == NULL)) {
		free(i);
		(void)err_set(&err, ERR_NOMEM, "no memory for %zu bytes", f->len);
		conn_close(c, &err, GOODBYE_MS);
		return;
	}
	i->frame.kind = f->kind;
	i->frame.flags = f->flags;
	i->frame.request = f->request;
	i->frame.len = f->len;
	if (f->len > 0)
		memcpy(i->frame.payload, f->payload, f->len);
	keep(ch, i);
}

static void
on_room(struct conn *c, void *arg)
{
	struct channel *ch = arg;

	(void)c;
	pthread_mutex_lock(&ch->lock);
	ch->full = 0;
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
}

static void
on_closed(struct conn *c, const struct err *why, void *arg)
{
	struct channel *ch = arg;
	const uint8_t *ticket;
	size_t len;

	pthread_mutex_lock(&ch->lock);
	if (ch->why.code == ERR_NONE && why->code != ERR_NONE)
		ch->why = *why;
	else if (ch->why.code == ERR_NONE)
		(void)err_set(&ch->why, ERR_IO, "connection to %s: closed by the server",
		    conn_address(c));
	if ((ticket = conn_ticket(c, &len)) != NULL &&
	    (ch->ticket = malloc(len > 0 ? len : 1)) != NULL) {
		memcpy(ch->ticket, ticket, len);
		ch->ticket_len = len;
	}
	conn_bytes(c, &ch->sent, &ch->received);
	ch->c = NULL;
	ch->closed = 1;
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
}

static const struct conn_events events = { on_open, on_frame, on_room, on_closed };

static void
close_in_order(void *arg)
{
	struct channel *ch = arg;

	if (ch->c != NULL)
		conn_close(ch->c, NULL, GOODBYE_MS);
}

static void
resume(void *arg)
{
	struct channel *ch = arg;

	if (ch->c != NULL)
		conn_pause(ch->c, 0);
}

/* ----------------------------------------------------------- open, close -- */

static struct channel *
channel_new(void)
{
	struct channel *ch;

	if ((ch = calloc(1, sizeof(*ch))) == NULL)
		return NULL;
	ch->last = &ch->first;
	pthread_mutex_init(&ch->lock, NULL);
	wait_init(&ch->changed);
	return ch;
}

static void
channel_free(struct channel *ch)
{
	struct item *i, *next;

	loop_stop(ch->loop);
	for (i = ch->first; i != NULL; i = next) {
		next = i->next;
		free_item(i);
	}
	free(ch->ticket);
	pthread_cond_destroy(&ch->changed);
	pthread_mutex_destroy(&ch->lock);
	free(ch);
}

/* What conn_connect() is given, on the loop. */
struct opening {
	struct channel *ch;
	const char *address;
	struct tls_config *config;
	const uint8_t *ticket;
	size_t ticket_len;
	struct conn_limits limits;
};

static void
connect_now(void *arg)
{
	struct opening *o = arg;
	struct channel *ch = o->ch;

	ch->c = conn_connect(ch->loop, o->address, o->config, o->ticket, o->ticket_len,
	    &o->limits, &events, ch);
	if (ch->c != NULL)
		return;
	pthread_mutex_lock(&ch->lock);
	(void)err_set(&ch->why, ERR_NOMEM, "no memory for a connection");
	ch->closed = 1;
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
}

int
channel_open(const char *address, struct tls_config *config, const uint8_t *ticket,
    size_t ticket_len, const struct conn_limits *limits, uint32_t timeout_ms,
    struct channel **out, struct err *err)
{
	return channel_open_watched(
	    address, config, ticket, ticket_len, limits, timeout_ms, NULL, out, err);
}

int
channel_open_watched(const char *address, struct tls_config *config,
    const uint8_t *ticket, size_t ticket_len, const struct conn_limits *limits,
    uint32_t timeout_ms, const struct channel_watch *watch, struct channel **out,
    struct err *err)
{
	struct opening o = { .address = address,
		.config = config,
		.ticket = ticket,
		.ticket_len = ticket_len };
	struct channel *ch;
	int closed;

	if (limits != NULL)
		o.limits = *limits;
	if (timeout_ms > 0)
		o.limits.handshake_ms = timeout_ms;
	if ((ch = channel_new()) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a connection");
	if (loop_start("channel", &ch->loop, err) < 0) {
		channel_free(ch);
		return -1;
	}
	o.ch = ch;
	loop_post(ch->loop, connect_now, &o);
	if (watch != NULL)
		watch->begun(watch->arg, ch);

	/* The conn's clock ends this wait, if nothing else does. */
	pthread_mutex_lock(&ch->lock);
	while (!ch->open && !ch->closed)
		pthread_cond_wait(&ch->changed, &ch->lock);
	closed = !ch->open;
	pthread_mutex_unlock(&ch->lock);
	if (closed) {
		if (watch != NULL)
			watch->begun(watch->arg, NULL);
		*err = ch->why;
		channel_free(ch);
		return -1;
	}
	*out = ch;
	return 0;
}

void
channel_close(struct channel *ch)
{
	if (ch == NULL)
		return;
	loop_post(ch->loop, close_in_order, ch);
	pthread_mutex_lock(&ch->lock);
	while (!ch->closed)
		pthread_cond_wait(&ch->changed, &ch->lock);
	pthread_mutex_unlock(&ch->lock);
	channel_free(ch);
}

void
channel_cancel(struct channel *ch)
{
	pthread_mutex_lock(&ch->lock);
	if (ch->why.code == ERR_NONE)
		(void)err_set(&ch->why, ERR_CANCELED, "canceled");
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
	loop_post(ch->loop, close_in_order, ch);
}

/* ------------------------------------------------------ asking the conn -- */

/* What is asked of the loop's thread, where the conn lives. */
struct question {
	struct channel *ch;
	uint8_t *ticket;
	size_t cap, len;
	uint64_t sent, received;
	int done;
};

static void
look(void *arg)
{
	struct question *q = arg;
	struct channel *ch = q->ch;
	const uint8_t *p;
	size_t len = 0;

	pthread_mutex_lock(&ch->lock);
	p = ch->c != NULL ? conn_ticket(ch->c, &len) : ch->ticket;
	if (ch->c == NULL)
		len = ch->ticket_len;
	if (p != NULL && len <= q->cap) {
		memcpy(q->ticket, p, len);
		q->len = len;
	}
	if (ch->c != NULL)
		conn_bytes(ch->c, &ch->sent, &ch->received);
	q->sent = ch->sent;
	q->received = ch->received;
	q->done = 1;
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
}

static void
ask(struct question *q)
{
	loop_post(q->ch->loop, look, q);
	pthread_mutex_lock(&q->ch->lock);
	while (!q->done)
		pthread_cond_wait(&q->ch->changed, &q->ch->lock);
	pthread_mutex_unlock(&q->ch->lock);
}

size_t
channel_ticket(struct channel *ch, uint8_t *out, size_t cap)
{
	struct question q = { .ch = ch, .ticket = out, .cap = cap };

	ask(&q);
	return q.len;
}

void
channel_bytes(struct channel *ch, uint64_t *sent, uint64_t *received)
{
	struct question q = { .ch = ch };

	ask(&q);
	*sent = q.sent;
	*received = q.received;
}

/* --------------------------------------------------------------- sending -- */

/* A frame on its way to the loop. */
struct outgoing {
	struct channel *ch;
	struct frame frame;
	uint8_t payload[];
};

static void
send_now(void *arg)
{
	struct outgoing *o = arg;
	struct channel *ch = o->ch;
	int full = 0;

	if (ch->c != NULL) {
		conn_send(ch->c, &o->frame);
		full = conn_full(ch->c);
	}
	pthread_mutex_lock(&ch->lock);
	ch->posted -= sizeof(*o) + o->frame.len;
	ch->full = full;
	pthread_cond_broadcast(&ch->changed);
	pthread_mutex_unlock(&ch->lock);
	free(o);
}

/* Send one frame under a new number; a waiter is entered before it can be answered. */
static int
send_frame(struct channel *ch, uint16_t kind, const uint8_t *p, size_t len,
    struct waiter *w, uint64_t *request, struct err *err)
{
	struct outgoing *o;
	size_t cost = sizeof(*o) + len;

	if (len > FRAME_PAYLOAD_MAX)
		return err_set(err, ERR_LIMIT, "%s of %zu bytes", msg_name(kind), len);
	if ((o = malloc(cost)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %zu bytes", len);
	o->ch = ch;
	o->frame = (struct frame){ kind, 0, 0, len > 0 ? o->payload : NULL, len };
	if (len > 0)
		memcpy(o->payload, p, len);

	pthread_mutex_lock(&ch->lock);
	while (ch->why.code == ERR_NONE &&
	       (ch->full || (ch->posted > 0 && ch->posted + cost > POSTED_MAX)))
		pthread_cond_wait(&ch->changed, &ch->lock);
	if (ch->why.code != ERR_NONE) {
		*err = ch->why;
		pthread_mutex_unlock(&ch->lock);
		free(o);
		return -1;
	}
	o->frame.request = ++ch->requests;
	if (request != NULL)
		*request = o->frame.request;
	if (w != NULL) {
		w->request = o->frame.request;
		w->next = ch->waiters;
		ch->waiters = w;
	}
	ch->posted += cost;
	/* Under the lock: numbers rise on the wire, too. */
	loop_post(ch->loop, send_now, o);
	pthread_mutex_unlock(&ch->lock);
	return 0;
}

static int
send_message(struct channel *ch, const ProtobufCMessage *m, struct waiter *w,
    uint64_t *request, struct err *err)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	int r;

	if ((r = msg_pack(m, &b, err)) == 0)
		r = send_frame(ch, msg_kind_of(m), b.p, b.len, w, request, err);
	buf_free(&b);
	return r;
}

int
channel_send(
    struct channel *ch, const ProtobufCMessage *m, uint64_t *request, struct err *err)
{
	return send_message(ch, m, NULL, request, err);
}

int
channel_send_raw(struct channel *ch, uint16_t kind, const uint8_t *p, size_t len,
    uint64_t *request, struct err *err)
{
	return send_frame(ch, kind, p, len, NULL, request, err);
}

/* --------------------------------------------------------------- waiting -- */

static int
waited_for(const struct channel *ch, uint64_t request)
{
	for (const struct waiter *w = ch->waiters; w != NULL; w = w->next) {
		if (w->request == request)
			return 1;
	}
	return 0;
}

static void
leave(struct channel *ch, const struct waiter *w)
{
	struct waiter **at = &ch->waiters;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
}

/* Take the oldest frame for `request` (0: for nobody in particular), if any. */
static struct item *
take(struct channel *ch, uint64_t request)
{
	struct item **at = &ch->first, *i;

	for (; (i = *at) != NULL; at = &i->next) {
		if (request != 0 ? i->frame.request == request
				 : !waited_for(ch, i->frame.request))
			break;
	}
	if (i == NULL)
		return NULL;
	if ((*at = i->next) == NULL)
		ch->last = at;
	ch->backlog -= sizeof(*i) + i->frame.len;
	if (ch->paused && ch->backlog <= CHANNEL_BACKLOG_MAX / 2) {
		ch->paused = 0;
		loop_post(ch->loop, resume, ch);
	}
	return i;
}

/* Locked.  The next frame for `request`, or NULL with `err`. */
static struct item *
await(struct channel *ch, uint64_t request, uint32_t timeout_ms, struct err *err)
{
	const uint64_t until = wait_now_us() + (uint64_t)timeout_ms * 1000;
	struct item *i;
	int late = 0;

	while ((i = take(ch, request)) == NULL) {
		if (ch->why.code != ERR_NONE) {
			*err = ch->why;
			return NULL;
		}
		if (late) {
			(void)err_set(
			    err, ERR_TIMEOUT, "no answer within %u ms", timeout_ms);
			return NULL;
		}
		if (timeout_ms == 0)
			pthread_cond_wait(&ch->changed, &ch->lock);
		else
			late = wait_until(&ch->changed, &ch->lock, until);
	}
	return i;
}

/* Give the frame out; a Failed becomes its error. */
static int
give(struct item *i, struct channel_frame *out, struct err *err)
{
	struct frame f = { i->frame.kind, i->frame.flags, i->frame.request,
		i->frame.payload, i->frame.len };
	ProtobufCMessage *m;

	*out = i->frame;
	free(i);
	if (out->kind != MSG_FAILED)
		return 0;
	if (msg_unpack(&f, &m, err) == 0) {
		out->retry_after_ms = ((Wire__Failed *)m)->retry_after_ms;
		(void)msg_to_err((Wire__Failed *)m, err);
		msg_free(m);
	}
	free(out->payload);
	out->payload = NULL;
	out->len = 0;
	return -1;
}

int
channel_wait(struct channel *ch, uint64_t request, uint32_t timeout_ms,
    struct channel_frame *out, struct err *err)
{
	struct waiter w = { NULL, request };
	struct item *i;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&ch->lock);
	if (request != 0) {
		w.next = ch->waiters;
		ch->waiters = &w;
	}
	i = await(ch, request, timeout_ms, err);
	if (request != 0)
		leave(ch, &w);
	pthread_mutex_unlock(&ch->lock);
	return i != NULL ? give(i, out, err) : -1;
}

int
channel_call(struct channel *ch, const ProtobufCMessage *m, uint16_t kind,
    ProtobufCMessage **reply, struct err *err)
{
	struct waiter w = { NULL, 0 };
	struct channel_frame got;
	struct frame f;
	struct item *i;
	int r;

	*reply = NULL;
	if (send_message(ch, m, &w, NULL, err) < 0)
		return -1;
	pthread_mutex_lock(&ch->lock);
	i = await(ch, w.request, 0, err);
	leave(ch, &w);
	pthread_mutex_unlock(&ch->lock);
	if (i == NULL || give(i, &got, err) < 0)
		return -1;
	f = (struct frame){ got.kind, got.flags, got.request, got.payload, got.len };
	if (got.kind != kind)
		r = err_set(err, ERR_PROTOCOL, "%s was answered by %s (%u), not %s",
		    m->descriptor->short_name, msg_name(got.kind), got.kind,
		    msg_name(kind));
	else
		r = msg_unpack(&f, reply, err);
	free(got.payload);
	return r;
}
