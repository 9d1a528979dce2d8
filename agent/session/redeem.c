#include "agent/session/redeem.h"

#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/net/conn.h"
#include "proto/tls/tls.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg.h"

#define PROGRAM "holdfast-rescue " HOLDFAST_VERSION
#define PEM_MAX (16u * 1024)

/* The name every rescue asks for: the server knows the right one. */
#define ASKED_NAME "rescue"

struct redeem {
	char server[STATE_ADDRESS_MAX];
	uint8_t machine[STATE_HASH_LEN];
	uint8_t macs[REDEEM_MACS_MAX * REDEEM_MAC_LEN];
	size_t macs_len;
	int by_token;
	uint8_t secret[RESTORE_SECRET_LEN];
	struct stop *stop;
	struct cert ca;
	int64_t ca_begins; /* Seconds since 1970. */
	struct cert csr;
	struct cert_key *key;
	uint8_t key_hash[CERT_FINGERPRINT_LEN];

	pthread_mutex_t lock; /* Guards the rest; held while one redeems. */
	struct cert cert;     /* len 0: not let in yet. */
	unsigned turns;	      /* How often it was replaced. */
	struct redeem_facts facts;

	struct dial report; /* The session of reports; ch NULL: none. */
	int told_done;	    /* Done was sent; whether it was heard is not known. */
};

/* ------------------------------------------------------------------- making -- */

static int
read_ca(const char *path, struct cert *out, struct err *err)
{
	char *pem = calloc(1, PEM_MAX);
	FILE *f;
	size_t n;
	int rc = -1;

	if (pem == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the authority");
	if ((f = fopen(path, "re")) == NULL) {
		(void)err_set(err, ERR_NOTFOUND,
		    "%s: the server's authority is not in this rescue image", path);
	} else {
		n = fread(pem, 1, PEM_MAX - 1, f);
		if (ferror(f))
			(void)err_set(err, ERR_IO, "%s: cannot be read", path);
		else if (n == PEM_MAX - 1)
			(void)err_set(err, ERR_CORRUPT, "%s: too long", path);
		else if ((rc = cert_from_pem(pem, out, err)) != 0)
			(void)err_context(err, "%s", path);
		(void)fclose(f);
	}
	free(pem);
	return rc;
}

static int
prepare(struct redeem *r, const struct redeem_options *o, struct err *err)
{
	struct cert_facts facts;

	if (strlen(o->server) >= sizeof(r->server))
		return err_set(err, ERR_LIMIT, "the server's address is too long");
	strcpy(r->server, o->server);
	memcpy(r->machine, o->machine, sizeof(r->machine));
	r->stop = o->stop;
	r->by_token = o->token != NULL;
	if (r->by_token && restore_token_parse(o->token, r->secret, err) != 0)
		return -1;
	if (!r->by_token && (o->macs_count == 0 || o->macs_count > REDEEM_MACS_MAX))
		return err_set(err, ERR_LIMIT,
		    "no restore token, and %u network addresses to be known by",
		    o->macs_count);
	if (!r->by_token) {
		r->macs_len = (size_t)o->macs_count * REDEEM_MAC_LEN;
		memcpy(r->macs, o->macs, r->macs_len);
	}
	if (read_ca(o->ca_path, &r->ca, err) != 0)
		return -1;
	if (cert_facts_of(&r->ca, &facts, err) != 0)
		return err_context(err, "%s", o->ca_path);
	r->ca_begins = facts.not_before;
	if (cert_key_new(&r->key, err) != 0 ||
	    cert_key_hash(r->key, r->key_hash, err) != 0)
		return -1;
	return cert_request(r->key, ASKED_NAME, &r->csr, err);
}

int
redeem_new(const struct redeem_options *o, struct redeem **out, struct err *err)
{
	struct redeem *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return err_set(err, ERR_NOMEM, "no memory to redeem a token");
	(void)pthread_mutex_init(&r->lock, NULL);
	if (prepare(r, o, err) != 0) {
		redeem_free(r);
		return -1;
	}
	*out = r;
	return 0;
}

void
redeem_free(struct redeem *r)
{
	if (r == NULL)
		return;
	dial_close(&r->report);
	cert_key_free(r->key);
	(void)pthread_mutex_destroy(&r->lock);
	sodium_memzero(r, sizeof(*r));
	free(r);
}

void
redeem_code(const struct redeem *r, char code[RESTORE_CODE_TEXT_MAX])
{
	restore_code_format(r->key_hash, code);
}

/* --------------------------------------------------------------- connecting -- */

/*
 * A machine whose battery is empty believes that it is 2001.  Before its authority
 * was made it cannot be: such a clock judges nobody.
 */
static int64_t
plausible_time(void *arg)
{
	const struct redeem *r = arg;
	int64_t now = (int64_t)time(NULL);

	return now < r->ca_begins ? CERT_ANY_TIME : now;
}

/* Connect with this identity (NULL: none), watched by `watch` (may be NULL). */
static int
reach(struct redeem *r, const struct cert_identity *me, const struct channel_watch *watch,
    struct dial *d, struct err *err)
{
	static const struct conn_limits limits = { .handshake_ms = DIAL_TIMEOUT_MS,
		.silence_ms = DIAL_SILENCE_MS };

	if (tls_config_client(me, &r->ca, NULL, &d->tls, err) != 0)
		return -1;
	tls_config_clock(d->tls, plausible_time, r);
	if (channel_open_watched(r->server, d->tls, NULL, 0, &limits, DIAL_TIMEOUT_MS,
		watch, &d->ch, err) != 0)
		return err_context(err, "server %s", r->server);
	return 0;
}

static int
greet(struct redeem *r, struct dial *d, struct err *err)
{
	char *features[] = { (char *)"rescue" };
	Wire__Hello hello = WIRE__HELLO__INIT;
	ProtobufCMessage *reply = NULL;
	const Wire__Welcome *w;
	int rc;

	hello.version = MSG_VERSION;
	hello.program = (char *)PROGRAM;
	hello.machine.data = r->machine;
	hello.machine.len = sizeof(r->machine);
	hello.features = features;
	hello.n_features = 1;
	hello.offers = (char **)(uintptr_t)msg_features;
	hello.n_offers = MSG_FEATURES;
	if (channel_call(d->ch, &hello.base, MSG_WELCOME, &reply, err) != 0)
		return err_context(err, "server");
	w = (const Wire__Welcome *)reply;
	rc = msg_welcome_ok(w, msg_features, MSG_FEATURES, err);
	if (rc == 0) {
		(void)snprintf(
		    d->welcome.name, sizeof(d->welcome.name), "%.63s", w->name);
		d->welcome.window = w->window;
		if (w->domain_key.len == CHUNK_KEY_LEN)
			chunk_keys_init(&d->keys, w->domain_key.data);
		else if (w->role != CERT_NOBODY)
			rc = err_set(err, ERR_PROTOCOL, "the server gave no dedup key");
	}
	msg_free(reply);
	return rc;
}

/* --------------------------------------------------------------- redeeming -- */

/* Believe what was given only if it is for our key.  The lock is held. */
static int
take(struct redeem *r, const Wire__Redeemed *m, struct err *err)
{
	struct cert_facts facts;
	struct cert cert;

	if (m->cert.len > sizeof(cert.der))
		return err_set(err, ERR_PROTOCOL, "the certificate is too long");
	cert.len = m->cert.len;
	memcpy(cert.der, m->cert.data, cert.len);
	if (cert_facts_of(&cert, &facts, err) != 0)
		return -1;
	if (memcmp(facts.key_hash, r->key_hash, sizeof(facts.key_hash)) != 0 ||
	    facts.role != CERT_RESCUE || strcmp(facts.name, m->host) != 0)
		return err_set(err, ERR_PROTOCOL, "the certificate is not ours");
	r->cert = cert;
	/* That we began it ourselves, a while ago, is no news. */
	if (r->turns++ == 0)
		r->facts.resumed = m->resumed;
	(void)snprintf(r->facts.host, sizeof(r->facts.host), "%s", facts.name);
	r->facts.sequence = m->sequence;
	r->facts.only = m->only;
	r->facts.id = m->restore;
	return 0;
}

static int
by_token(struct redeem *r, struct dial *d, struct err *err)
{
	Wire__Redeem ask = WIRE__REDEEM__INIT;
	ProtobufCMessage *reply = NULL;
	int rc;

	ask.secret.data = r->secret;
	ask.secret.len = sizeof(r->secret);
	ask.csr.data = r->csr.der;
	ask.csr.len = r->csr.len;
	ask.machine.data = r->machine;
	ask.machine.len = sizeof(r->machine);
	ask.program = (char *)PROGRAM;
	if (channel_call(d->ch, &ask.base, MSG_REDEEMED, &reply, err) != 0)
		return -1;
	rc = take(r, (const Wire__Redeemed *)reply, err);
	msg_free(reply);
	return rc;
}

static int
unpack(struct channel_frame *f, ProtobufCMessage **out, struct err *err)
{
	const struct frame frame = { f->kind, f->flags, f->request, f->payload, f->len };
	int rc = msg_unpack(&frame, out, err);

	free(f->payload);
	f->payload = NULL;
	return rc;
}

/* Ask once: 0 let in, 1 and when to ask again, -1. */
static int
announce(struct redeem *r, struct dial *d, uint32_t *again_ms, struct err *err)
{
	Wire__Announce ask = WIRE__ANNOUNCE__INIT;
	ProtobufCMessage *reply = NULL;
	struct channel_frame f = { 0 };
	uint64_t request;
	int rc = -1;

	ask.macs.data = r->macs;
	ask.macs.len = r->macs_len;
	ask.csr.data = r->csr.der;
	ask.csr.len = r->csr.len;
	ask.machine.data = r->machine;
	ask.machine.len = sizeof(r->machine);
	ask.program = (char *)PROGRAM;
	if (channel_send(d->ch, &ask.base, &request, err) != 0 ||
	    channel_wait(d->ch, request, DIAL_TIMEOUT_MS, &f, err) != 0) {
		free(f.payload);
		return -1;
	}
	if (f.kind != MSG_REDEEMED && f.kind != MSG_WAITING) {
		free(f.payload);
		return err_set(
		    err, ERR_PROTOCOL, "the server answered with %s", msg_name(f.kind));
	}
	if (unpack(&f, &reply, err) != 0)
		return -1;
	if (f.kind == MSG_REDEEMED) {
		rc = take(r, (const Wire__Redeemed *)reply, err);
	} else {
		*again_ms = ((const Wire__Waiting *)reply)->poll_after_ms;
		rc = 1;
	}
	msg_free(reply);
	return rc;
}

/* One attempt over a connection of its own: 0, 1 (by MAC: not yet), -1. */
static int
attempt(struct redeem *r, const struct channel_watch *watch, uint32_t *again_ms,
    struct err *err)
{
	struct dial d = { 0 };
	int rc = -1;

	*again_ms = 0;
	if (reach(r, NULL, watch, &d, err) == 0 && greet(r, &d, err) == 0) {
		rc = r->by_token ? by_token(r, &d, err) : announce(r, &d, again_ms, err);
		if (rc < 0)
			(void)err_context(err, "server %s", r->server);
	}
	if (watch != NULL)
		stop_attach(r->stop, NULL, NULL);
	dial_close(&d);
	return rc;
}

int
redeem_begin(struct redeem *r, void (*waits)(void *arg, const char *code), void *arg,
    struct redeem_facts *out, struct err *err)
{
	const struct channel_watch watch = { dial_stoppable, r->stop };
	char code[RESTORE_CODE_TEXT_MAX];
	unsigned failures = 0;
	uint32_t wait_ms;
	int rc;

	redeem_code(r, code);
	for (;;) {
		if (!r->by_token && waits != NULL)
			waits(arg, code);
		err_clear(err);
		(void)pthread_mutex_lock(&r->lock);
		rc = attempt(r, &watch, &wait_ms, err);
		if (rc == 0)
			*out = r->facts;
		(void)pthread_mutex_unlock(&r->lock);
		if (stop_asked(r->stop) && rc != 0)
			break;
		if (rc == 0 || (rc < 0 && (r->by_token || !dial_may_retry(err))))
			return rc;
		failures = rc < 0 ? failures + 1 : 0;
		if (failures > 0)
			wait_ms = dial_backoff_ms(failures - 1);
		/* A server must not make us ask without a pause, nor never again. */
		wait_ms = wait_ms < 500 ? 500 : wait_ms > 60000 ? 60000 : wait_ms;
		if (stop_wait_ms(r->stop, wait_ms))
			break;
	}
	err_clear(err);
	return err_set(err, ERR_CANCELED, "interrupted");
}

/* ------------------------------------------------------------------ working -- */

/* A session with the certificate that is ours now. */
static int
dial_once(struct redeem *r, struct dial *out, unsigned *turns, struct err *err)
{
	struct cert_identity me = { .key = r->key };
	struct dial d = { 0 };

	(void)pthread_mutex_lock(&r->lock);
	me.cert = r->cert;
	*turns = r->turns;
	(void)pthread_mutex_unlock(&r->lock);
	if (me.cert.len == 0)
		return err_set(err, ERR_DENIED, "no restore was begun");
	if (reach(r, &me, NULL, &d, err) == 0 && greet(r, &d, err) == 0) {
		*out = d;
		return 0;
	}
	dial_close(&d);
	return -1;
}

/* Redeem once more, unless another thread has since `turns`. */
static int
again(struct redeem *r, unsigned turns, struct err *err)
{
	uint32_t ignored_ms;
	int rc = 0;

	(void)pthread_mutex_lock(&r->lock);
	if (r->turns == turns) {
		err_clear(err);
		rc = attempt(r, NULL, &ignored_ms, err);
		if (rc > 0)
			rc = err_set(err, ERR_DENIED,
			    "an operator must confirm this machine again");
	}
	(void)pthread_mutex_unlock(&r->lock);
	return rc;
}

int
redeem_dial(void *redeem, struct dial *out, struct err *err)
{
	struct redeem *r = redeem;
	unsigned turns;

	memset(out, 0, sizeof(*out));
	if (stop_asked(r->stop))
		return err_set(err, ERR_CANCELED, "interrupted");
	if (dial_once(r, out, &turns, err) == 0)
		return 0;
	if (err->code != ERR_DENIED || turns == 0 || again(r, turns, err) != 0)
		return -1;
	err_clear(err);
	return dial_once(r, out, &turns, err);
}

int
redeem_report(struct redeem *r, const struct redeem_report *what, struct err *err)
{
	Wire__ReportRestore m = WIRE__REPORT_RESTORE__INIT;
	ProtobufCMessage *reply = NULL;

	m.state = (uint32_t)what->state;
	m.sequence = what->sequence;
	m.bytes = what->bytes;
	m.total = what->total;
	m.text = (char *)(uintptr_t)(what->text != NULL ? what->text : "");
	for (unsigned turn = 0;; turn++) {
		int fresh = r->report.ch == NULL;

		err_clear(err);
		if (fresh && redeem_dial(r, &r->report, err) != 0)
			/* It is over: that is what an answer that was lost would say. */
			return r->told_done && err->code == ERR_DENIED ? 0 : -1;
		r->told_done |= what->state == REDEEM_DONE;
		if (channel_call(r->report.ch, &m.base, MSG_DONE, &reply, err) == 0) {
			msg_free(reply);
			return 0;
		}
		dial_close(&r->report);
		/* A session that was lost while it lay idle says nothing of the server.
		 */
		if (fresh || turn > 0)
			return -1;
	}
}
