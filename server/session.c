#include "server/session_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/net/conn.h"
#include "proto/net/loop.h"
#include "proto/net/timer.h"
#include "proto/net/workers.h"
#include "proto/wire/frame.h"
#include "server/policy.h"
#include "server/registry.h"
#include "server/roles.h"
#include "storage/store_copy_source.h"

#define LINGER_MS 3000u

/* Who has not shown who it is gets less patience, in ms; and how often we look. */
#define STRANGER_SILENCE_MS 30000
#define LOOK_MS 5000u

/* When trying again may help, where the handler does not know better. */
#define RETRY_BUSY_MS 10000u
#define RETRY_FULL_MS 60000u

static void step(struct session *s);

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
session_log(const struct session *s, enum log_level level, const char *fmt, ...)
{
	char text[480];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	log_event(level, "session %llu, %s%s%s: %s", (unsigned long long)s->id, s->name,
	    s->name[0] != '\0' ? " at " : "", s->address, text);
}

/* ------------------------------------------------------------------ sending -- */

static void
send_message(struct session *s, uint64_t request, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;
	struct frame f = { .kind = msg_kind_of(m), .request = request };

	if (msg_pack(m, &b, &err) == 0) {
		f.payload = b.len > 0 ? b.p : NULL;
		f.len = b.len;
		conn_send(s->conn, &f);
	}
	buf_free(&b);
}

/* Tell the peer; with `closing` this is the session's end. */
static void
fail(struct session *s, uint64_t request, const struct err *why, int closing,
    uint32_t retry_ms)
{
	Wire__Failed m;

	if (s->conn == NULL || s->state == SESSION_CLOSING)
		return;
	msg_from_err(why, &m);
	m.closing = closing;
	m.retry_after_ms = retry_ms;
	if (s->open)
		send_message(s, request, &m.base);
	if (!closing)
		return;
	session_log(
	    s, why->code == ERR_NONE ? LOG_INFO : LOG_WARN, "ends: %s", why->text);
	s->state = SESSION_CLOSING;
	atomic_store(&s->gone, 1);
	/* What still comes is read and dropped, lest the kernel reset our words away. */
	if (s->paused)
		conn_pause(s->conn, s->paused = 0);
	conn_close(s->conn, why, LINGER_MS);
}

static void
send_out(struct session *s, uint64_t request, struct session_out *out)
{
	while (out != NULL) {
		struct session_out *next = out->next;
		struct frame f = { out->kind, out->flags, request,
			out->len > 0 ? out->bytes : NULL, out->len };

		if (s->conn != NULL && s->state != SESSION_CLOSING)
			conn_send(s->conn, &f);
		free(out);
		out = next;
	}
}

static struct session_out *
out_new(uint16_t kind, uint16_t flags, const uint8_t *p, size_t len)
{
	struct session_out *o = malloc(sizeof(*o) + len);

	if (o == NULL)
		return NULL;
	*o = (struct session_out){ .kind = kind, .flags = flags, .len = len };
	if (len > 0)
		memcpy(o->bytes, p, len);
	return o;
}

static void
reply(struct session_job *j, uint16_t kind, uint16_t flags, const uint8_t *p, size_t len)
{
	struct session_out *o;

	if (j->err.code != ERR_NONE)
		return;
	o = out_new(kind, flags, p, len);
	if (o == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for an answer");
		return;
	}
	*j->out_end = o;
	j->out_end = &o->next;
	j->out_bytes += len;
}

void
session_reply(struct session_job *j, const ProtobufCMessage *m, uint16_t flags)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);

	if (j->err.code == ERR_NONE && msg_pack(m, &b, &j->err) == 0)
		reply(j, msg_kind_of(m), flags, b.p, b.len);
	buf_free(&b);
}

void
session_reply_raw(struct session_job *j, uint16_t kind, const uint8_t *p, size_t len)
{
	reply(j, kind, 0, p, len);
}

struct progress {
	struct session *s;
	uint64_t request;
	struct session_out *out;
};

static void
progress_send(void *arg)
{
	struct progress *p = arg;

	p->s->moved_ms = now_ms();
	send_out(p->s, p->request, p->out);
	free(p);
}

void
session_progress(struct session_job *j, const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct progress *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;

	/* The job's end is posted after this, so the session outlives it. */
	if (p != NULL && msg_pack(m, &b, &err) == 0) {
		p->s = j->s;
		p->request = j->request;
		p->out = out_new(msg_kind_of(m), FRAME_MORE, b.p, b.len);
		loop_post(j->s->loop, progress_send, p);
		p = NULL;
	}
	free(p);
	buf_free(&b);
}

void
session_text(char *out, size_t cap, const char *text)
{
	size_t n = strlen(text);

	if (n >= cap) {
		for (n = cap - 1; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
			n--;
	}
	memcpy(out, text, n);
	out[n] = '\0';
}

void
session_refuse(struct session_job *j, enum err_code code, const char *fmt, ...)
{
	char text[ERR_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	err_clear(&j->err);
	(void)err_set(&j->err, code, "%s", text);
	j->closing = 1;
}

/* --------------------------------------------------------------------- jobs -- */

static void
job_free(struct session_job *j)
{
	while (j->out != NULL) {
		struct session_out *o = j->out;

		j->out = o->next;
		free(o);
	}
	if (j->state != NULL && j->state_free != NULL)
		j->state_free(j->state);
	if (j->msg != NULL)
		msg_free(j->msg);
	free(j->raw);
	free(j);
}

static void
job_run(void *arg)
{
	struct session_job *j = arg;

	j->more = 0;
	if (!atomic_load(&j->s->gone))
		j->how->run(j);
}

static void job_done(void *arg);

static void
job_submit(struct session_job *j)
{
	const struct session_world *w = j->s->world;
	struct workers *pools[] = { w->cpu, w->disk, w->slow, w->count };

	workers_submit(pools[j->how->pool], job_run, j->s->loop, job_done, j);
}

static uint32_t
retry_after(enum err_code code)
{
	return code == ERR_BUSY ? RETRY_BUSY_MS : code == ERR_NOSPACE ? RETRY_FULL_MS : 0;
}

static void
job_done(void *arg)
{
	struct session_job *j = arg;
	struct session *s = j->s;
	struct session_out *out = j->out;
	int live = s->conn != NULL && s->state != SESSION_CLOSING;

	j->out = NULL;
	j->out_end = &j->out;
	j->out_bytes = 0;
	s->moved_ms = now_ms();
	if (j->how->beside) {
		s->beside--;
		s->beside_bytes -= j->raw_len;
		(void)atomic_fetch_sub(s->world->ingest, j->raw_len);
	} else {
		s->lone_running = 0;
	}
	if (live && j->more && j->err.code == ERR_NONE) {
		/* The next round is read while this one is encrypted. */
		if (!conn_full(s->conn)) {
			s->lone_running = 1;
			job_submit(j);
		}
		send_out(s, j->request, out);
		step(s);
		return;
	}
	if (!j->how->beside)
		s->lone = NULL;
	if (live && j->err.code == ERR_NONE && j->how->done != NULL)
		j->how->done(j);
	send_out(s, j->request, out);
	if (live && j->err.code != ERR_NONE) {
		if (!j->closing)
			session_log(s, LOG_WARN, "%s failed: %s", msg_name(j->how->kind),
			    j->err.text);
		fail(s, j->request, &j->err, j->closing, retry_after(j->err.code));
	}
	job_free(j);
	step(s);
}

/* --------------------------------------------------------------- the end of it -- */

static void
close_leases(void *arg)
{
	struct session *s = arg;

	session_view_close(s->view);
	store_lease_close(s->backup);
	store_copy_hold_close(s->pull);
	s->view = NULL;
	s->pull = NULL;
	s->backup = NULL;
}

static void
release(void *arg)
{
	struct session *s = arg;

	timer_free(s->timer);
	registry_leave(s->world->registry, s->id);
	free(s->begun);
	free(s);
}

/*
 * Start whatever may start; called after every event, and may be once too often.
 * `s` may be freed when it returns.
 */
static void
step(struct session *s)
{
	int pause;

	if (s->conn == NULL || s->state == SESSION_CLOSING) {
		if (s->lone != NULL && !s->lone_running) {
			job_free(s->lone);
			s->lone = NULL;
		}
		if (s->conn == NULL && s->lone == NULL && s->beside == 0) {
			s->lone_running = 1; /* Never comes here again. */
			s->beside = 1;
			if (s->view != NULL || s->backup != NULL || s->pull != NULL)
				workers_submit(
				    s->world->disk, close_leases, s->loop, release, s);
			else
				release(s);
		}
		return;
	}
	if (s->lone != NULL && !s->lone_running && s->beside == 0 &&
	    !conn_full(s->conn)) {
		s->lone_running = 1;
		job_submit(s->lone);
	}
	if (s->draining && s->lone == NULL && s->beside == 0) {
		fail(s, 0, &s->drain_why, 1, 5000);
		return;
	}
	pause = s->lone != NULL || s->draining || s->beside >= SESSION_BESIDE_MAX ||
		(s->beside_bytes > 0 &&
		    (s->beside_bytes > s->window ||
			atomic_load(s->world->ingest) > s->world->ingest_max));
	if (pause != s->paused)
		conn_pause(s->conn, s->paused = pause);
}

void
session_end(struct session *s, const struct err *why)
{
	fail(s, 0, why, 1, 0);
	step(s);
}

void
session_drain(struct session *s, const struct err *why)
{
	if (s->draining)
		return;
	s->draining = 1;
	s->drain_why = *why;
	step(s);
}

void
session_cut(struct session *s, const struct err *why)
{
	atomic_store(&s->gone, 1);
	if (s->conn != NULL) {
		s->state = SESSION_CLOSING;
		conn_close(s->conn, why, 0);
	}
	step(s);
}

/* ------------------------------------------------------------------- requests -- */

static const char *
why_not_now(const struct session *s)
{
	switch (s->state) {
	case SESSION_GREETING:
		return "Hello comes first";
	case SESSION_IDLE:
		return "no backup has begun";
	case SESSION_RECEIVING:
		return "a backup is under way";
	case SESSION_CLOSING:
		break;
	}
	return "the session is closing";
}

/* Make a job of a frame; NULL and an error that ends the session. */
static struct session_job *
job_new(struct session *s, const struct session_handler *how, const struct frame *f,
    struct err *err)
{
	struct session_job *j = calloc(1, sizeof(*j));

	if (j == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a request");
		return NULL;
	}
	j->s = s;
	j->how = how;
	j->request = f->request;
	j->out_end = &j->out;
	if (!msg_is_raw(f->kind)) {
		if (msg_unpack(f, &j->msg, err) == 0)
			return j;
	} else if (f->len == 0) {
		(void)err_set(err, ERR_PROTOCOL, "%s without content", msg_name(f->kind));
	} else if ((j->raw = malloc(f->len)) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a request");
	} else {
		memcpy(j->raw, f->payload, f->len);
		j->raw_len = f->len;
		return j;
	}
	job_free(j);
	return NULL;
}

/* Look at one frame: a job, or NULL with the answer in `err` and `closing`. */
static struct session_job *
admit(struct session *s, const struct frame *f, int *closing, struct err *err)
{
	const struct session_handler *how = session_handler_of(f->kind);

	*closing = 1;
	if (strcmp(msg_name(f->kind), "unknown") == 0) {
		(void)err_set(
		    err, ERR_PROTOCOL, "message kind %u is unknown here", f->kind);
	} else if (f->kind != MSG_HELLO && s->state == SESSION_GREETING) {
		(void)err_set(err, ERR_PROTOCOL, "%s out of order: %s", msg_name(f->kind),
		    why_not_now(s));
	} else if (!roles_allow(s->role, f->kind) || how == NULL) {
		*closing = 0;
		(void)err_set(err, ERR_DENIED, "role %s may not send %s",
		    cert_role_name(s->role), msg_name(f->kind));
	} else if ((f->flags & FRAME_MORE) != 0) {
		(void)err_set(
		    err, ERR_PROTOCOL, "%s in more than one frame", msg_name(f->kind));
	} else if ((how->states & s->state) == 0) {
		(void)err_set(err, ERR_PROTOCOL, "%s out of order: %s", msg_name(f->kind),
		    f->kind == MSG_HELLO ? "it came before" : why_not_now(s));
	} else {
		return job_new(s, how, f, err);
	}
	return NULL;
}

static void
on_frame(struct conn *c, const struct frame *f, void *arg)
{
	struct session *s = arg;
	struct err err = ERR_INIT;
	struct session_job *j;
	int closing;

	(void)c;
	s->moved_ms = now_ms();
	if (s->state == SESSION_CLOSING)
		return;
	j = admit(s, f, &closing, &err);
	if (j == NULL) {
		if (!closing)
			session_log(s, LOG_WARN, "refused: %s", err.text);
		fail(s, f->request, &err, closing, 0);
	} else if (j->how->beside) {
		s->beside++;
		s->beside_bytes += j->raw_len;
		(void)atomic_fetch_add(s->world->ingest, j->raw_len);
		job_submit(j);
	} else {
		s->lone = j;
	}
	step(s);
}

static void
on_open(struct conn *c, const struct tls_peer *peer, void *arg)
{
	struct session *s = arg;

	s->peer = *peer;
	s->open = 1;
	s->moved_ms = now_ms();
	if (peer->trust == TLS_TRUSTED) {
		/* Known by name before the store is asked, so that a Revoke finds it. */
		char rescue[SESSION_RESCUE_NAME_MAX];

		session_rescue_name(peer->cert.name, 0, rescue);
		registry_name(s->world->registry, s->id,
		    peer->cert.role == CERT_RESCUE ? rescue : peer->cert.name);
		conn_frame_max(c, FRAME_PAYLOAD_MAX);
	}
}

static void
on_room(struct conn *c, void *arg)
{
	struct session *s = arg;

	(void)c;
	s->moved_ms = now_ms();
	step(s);
}

static void
on_closed(struct conn *c, const struct err *why, void *arg)
{
	struct session *s = arg;

	(void)c;
	if (s->state != SESSION_CLOSING) {
		/* A port scan is not news; a broken peer is. */
		if (why->code != ERR_NONE)
			session_log(s, LOG_WARN, "lost: %s", why->text);
		else
			session_log(
			    s, s->role == CERT_NOBODY ? LOG_DEBUG : LOG_INFO, "ended");
	}
	s->conn = NULL;
	atomic_store(&s->gone, 1);
	step(s);
}

/* Nothing came and nothing went for long, and it is not for us to move. */
static void
on_time(void *arg)
{
	struct session *s = arg;
	uint64_t silence_ms = policy_get(s->world->policy).silence_s * 1000;
	struct err why = ERR_INIT;

	if (s->role == CERT_NOBODY && silence_ms > STRANGER_SILENCE_MS)
		silence_ms = STRANGER_SILENCE_MS;
	if (s->conn == NULL || s->state == SESSION_CLOSING || s->beside > 0 ||
	    (s->lone != NULL && s->lone_running) ||
	    now_ms() - s->moved_ms < (int64_t)silence_ms)
		return;
	(void)err_set(&why, ERR_TIMEOUT, "nothing moved for %llu s",
	    (unsigned long long)(silence_ms / 1000));
	session_end(s, &why);
}

void
session_accept(const struct session_world *world, struct loop *l, struct conn *c)
{
	static const struct conn_events events = { on_open, on_frame, on_room,
		on_closed };
	struct session *s = calloc(1, sizeof(*s));
	struct err why = ERR_INIT;
	uint64_t every;

	if (s != NULL) {
		s->world = world;
		s->loop = l;
		s->conn = c;
		s->state = SESSION_GREETING;
		s->moved_ms = now_ms();
		(void)snprintf(s->address, sizeof(s->address), "%s", conn_address(c));
		s->timer = timer_new(l, on_time, s);
		s->id = s->timer != NULL ? registry_enter(world->registry, s, l) : 0;
	}
	if (s == NULL || s->id == 0) {
		(void)err_set(&why, ERR_NOMEM, "no memory for a session");
		conn_close(c, &why, 0);
		if (s != NULL && s->timer != NULL)
			timer_free(s->timer);
		free(s);
		return;
	}
	every = policy_get(world->policy).silence_s * 250;
	every = every < LOOK_MS ? every : LOOK_MS;
	timer_set(s->timer, every, every);
	conn_set_events(c, &events, s);
}
