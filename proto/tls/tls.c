/* Some of what we must know (an alert's number, the state) has no accessor. */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS
#include "proto/tls/tls.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ticket.h>
#include <sodium.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/tls/crypto.h"
#include "proto/tls/tls_alert.h"
#include "proto/tls/tls_config.h"

#define RECORD_MIN 16000 /* Plain bytes in a full record, at least. */
#define RECORD_MORE 64	 /* Bytes a record adds, at most. */

/* Bytes that go through: added at the end, taken from `at`. */
struct stream {
	struct buf b;
	size_t at;
};

enum state {
	SHAKING,
	OPEN,
	ENDED, /* The peer said goodbye. */
	FAILED
};

struct tls {
	mbedtls_ssl_context ssl;
	struct tls_config *config;
	enum state state;
	struct stream in, out;
	struct err why; /* If FAILED; set earlier where the callback knows more. */
	int judged;	/* The peer showed a certificate: `peer` says what of it. */
	int offered;	/* A ticket was accepted, or sent: `ticket_facts` are its. */
	struct cert_facts ticket_facts;
	struct tls_peer peer;
	uint8_t *ticket; /* Client: newest, or NULL. */
	size_t ticket_len;
	int greeted; /* The first byte from the peer was looked at. */
};

/*
 * mbedTLS' ticket callbacks know the config but not the connection; each call
 * into mbedTLS that may run them sets this first.
 */
static _Thread_local struct tls *shaking;

static void
stream_free(struct stream *s)
{
	buf_free(&s->b);
	s->at = 0;
}

static void
stream_take(struct stream *s, size_t n)
{
	s->at += n;
	if (s->at < s->b.len)
		return;
	/* Most connections are idle most of the time. */
	stream_free(s);
}

/* Room for `n` bytes, moving what waits to the front when that is the cheaper way. */
static uint8_t *
stream_room(struct stream *s, size_t n, struct err *err)
{
	if (s->at > 0 && n > s->b.cap - s->b.len && s->at >= s->b.len / 2) {
		buf_drop(&s->b, s->at);
		s->at = 0;
	}
	return buf_room(&s->b, n, err);
}

static int
on_send(void *arg, const unsigned char *p, size_t n)
{
	struct tls *t = arg;
	struct err err = ERR_INIT;
	uint8_t *to;

	if ((to = stream_room(&t->out, n, &err)) == NULL)
		return MBEDTLS_ERR_SSL_ALLOC_FAILED;
	memcpy(to, p, n);
	t->out.b.len += n;
	return (int)n;
}

static int
on_recv(void *arg, unsigned char *p, size_t n)
{
	struct tls *t = arg;
	size_t have = t->in.b.len - t->in.at;

	if (have == 0)
		return MBEDTLS_ERR_SSL_WANT_READ;
	if (n > have)
		n = have;
	memcpy(p, t->in.b.p + t->in.at, n);
	stream_take(&t->in, n);
	return (int)n;
}

static int
to_cert(const mbedtls_x509_crt *crt, struct cert *out)
{
	if (crt->raw.len > CERT_DER_MAX)
		return -1;
	out->len = crt->raw.len;
	memcpy(out->der, crt->raw.p, crt->raw.len);
	return 0;
}

/* The authority to judge a server's certificate by: known, or in its chain and pinned. */
static int
find_authority(const struct tls_config *c, const mbedtls_x509_crt *chain,
    struct cert *out, struct err *err)
{
	uint8_t print[CERT_FINGERPRINT_LEN];

	if (!c->pinned) {
		*out = c->ca;
		return 0;
	}
	for (; chain != NULL; chain = chain->next) {
		if (to_cert(chain, out) != 0)
			continue;
		cert_fingerprint(out, print);
		if (sodium_memcmp(print, c->pin, sizeof(print)) == 0)
			return 0;
	}
	return err_set(err, ERR_DENIED, "the server's authority is not the one expected");
}

static int
judge(const struct tls *t, const mbedtls_x509_crt *crt, struct cert_facts *facts,
    struct err *err)
{
	const struct tls_config *c = t->config;
	struct cert cert, ca;

	if (to_cert(crt, &cert) != 0)
		return err_set(
		    err, ERR_DENIED, "a certificate of more than %d bytes", CERT_DER_MAX);
	if (find_authority(c, crt->next, &ca, err) != 0 ||
	    cert_verify(&cert, &ca, c->now(c->now_arg), err) != 0 ||
	    cert_facts_of(&cert, facts, err) != 0)
		return -1;
	if (c->server ? facts->role == CERT_CA : facts->role != CERT_SERVER)
		return err_set(err, ERR_DENIED,
		    "certificate of %s has the role %s, not %s", facts->name,
		    cert_role_name(facts->role),
		    c->server ? "a client's" : cert_role_name(CERT_SERVER));
	return 0;
}

/*
 * mbedTLS shows each certificate of the peer's chain, the peer's own (depth 0)
 * last.  The server lets every client pass and remembers what it is; the client
 * ends the handshake here if the server is not what it should be.
 */
static int
on_verify(void *arg, mbedtls_x509_crt *crt, int depth, uint32_t *flags)
{
	struct tls *t = arg;
	struct err err = ERR_INIT;

	(void)flags;
	if (depth != 0)
		return 0;
	t->judged = 1;
	if (judge(t, crt, &t->peer.cert, &err) == 0) {
		t->peer.trust = TLS_TRUSTED;
		return 0;
	}
	t->peer.trust = TLS_REFUSED;
	memset(&t->peer.cert, 0, sizeof(t->peer.cert));
	(void)snprintf(t->peer.why, sizeof(t->peer.why), "%.127s", err.text);
	if (t->config->server)
		return 0;
	t->why = err;
	return MBEDTLS_ERR_X509_CERT_VERIFY_FAILED;
}

/*
 * Once the handshake's messages are through: with a certificate, on_verify() has
 * spoken.  Without, it was either a ticket, and then mbedTLS says the peer is
 * verified (0), or nobody.
 */
static void
settle_peer(struct tls *t)
{
	if (t->judged || !t->offered || mbedtls_ssl_get_verify_result(&t->ssl) != 0)
		return;
	t->peer.trust = TLS_TRUSTED;
	t->peer.resumed = 1;
	t->peer.cert = t->ticket_facts;
}

int
tls_on_ticket_write(void *arg, const mbedtls_ssl_session *session, unsigned char *start,
    const unsigned char *end, size_t *len, uint32_t *lifetime)
{
	struct tls *t = shaking;
	struct tls_config *c = t->config;

	(void)arg;
	assert(t->peer.trust == TLS_TRUSTED);
	*lifetime = TLS_TICKET_LIFE;
	if (tls_ticket_seal(&c->tickets, c->now(c->now_arg), &t->peer.cert, session,
		start, (size_t)(end - start), len) != 0)
		return MBEDTLS_ERR_SSL_INTERNAL_ERROR;
	return 0;
}

int
tls_on_ticket_parse(void *arg, mbedtls_ssl_session *session, unsigned char *p, size_t len)
{
	struct tls *t = shaking;
	struct tls_config *c = t->config;
	struct cert_facts facts;

	(void)arg;
	if (tls_ticket_unseal(&c->tickets, c->now(c->now_arg), p, len, session, &facts) !=
	    0)
		return MBEDTLS_ERR_SSL_INVALID_MAC;
	t->ticket_facts = facts;
	t->offered = 1;
	return 0;
}

static void
on_keys(void *arg, mbedtls_ssl_key_export_type type, const unsigned char *secret,
    size_t secret_len, const unsigned char client_random[32],
    const unsigned char server_random[32], mbedtls_tls_prf_types prf)
{
	const struct tls_config *c = arg;
	char line[64 + 64 + 128 + 3], random[65], hex[129];
	const char *label;

	(void)server_random;
	(void)prf;
	switch (type) {
	case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_HANDSHAKE_TRAFFIC_SECRET:
		label = "CLIENT_HANDSHAKE_TRAFFIC_SECRET";
		break;
	case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_HANDSHAKE_TRAFFIC_SECRET:
		label = "SERVER_HANDSHAKE_TRAFFIC_SECRET";
		break;
	case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_CLIENT_APPLICATION_TRAFFIC_SECRET:
		label = "CLIENT_TRAFFIC_SECRET_0";
		break;
	case MBEDTLS_SSL_KEY_EXPORT_TLS1_3_SERVER_APPLICATION_TRAFFIC_SECRET:
		label = "SERVER_TRAFFIC_SECRET_0";
		break;
	default:
		return;
	}
	if (secret_len * 2 + 1 > sizeof(hex))
		return;
	(void)sodium_bin2hex(random, sizeof(random), client_random, 32);
	(void)sodium_bin2hex(hex, sizeof(hex), secret, secret_len);
	(void)snprintf(line, sizeof(line), "%s %s %s", label, random, hex);
	c->keylog(c->keylog_arg, line);
}

struct tls *
tls_new(struct tls_config *config)
{
	struct tls *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->config = config;
	t->in.b.max = t->out.b.max = TLS_BACKLOG_MAX;
	t->peer.trust = TLS_NOBODY;
	mbedtls_ssl_init(&t->ssl);
	if (mbedtls_ssl_setup(&t->ssl, &config->ssl) != 0) {
		mbedtls_ssl_free(&t->ssl);
		free(t);
		return NULL;
	}
	mbedtls_ssl_set_bio(&t->ssl, t, on_send, on_recv, NULL);
	mbedtls_ssl_set_verify(&t->ssl, on_verify, t);
	if (config->keylog != NULL)
		mbedtls_ssl_set_export_keys_cb(&t->ssl, on_keys, config);
	return t;
}

static void
forget_ticket(struct tls *t)
{
	if (t->ticket != NULL)
		sodium_memzero(t->ticket, t->ticket_len);
	free(t->ticket);
	t->ticket = NULL;
	t->ticket_len = 0;
}

void
tls_free(struct tls *t)
{
	if (t == NULL)
		return;
	mbedtls_ssl_free(&t->ssl);
	stream_free(&t->in);
	stream_free(&t->out);
	forget_ticket(t);
	free(t);
}

void
tls_resume(struct tls *t, const uint8_t *ticket, size_t len)
{
	const struct tls_config *c = t->config;
	mbedtls_ssl_session session;

	assert(!c->server);
	mbedtls_ssl_session_init(&session);
	if (tls_ticket_load(ticket, len, c->basis, c->now(c->now_arg), &session,
		&t->ticket_facts) == 0 &&
	    mbedtls_ssl_set_session(&t->ssl, &session) == 0)
		t->offered = 1;
	mbedtls_ssl_session_free(&session);
}

const uint8_t *
tls_ticket(const struct tls *t, size_t *len)
{
	*len = t->ticket_len;
	return t->ticket;
}

/* The server gave a ticket; without memory there is none, which is no failure. */
static void
keep_ticket(struct tls *t)
{
	uint8_t saved[TLS_TICKET_SAVED_MAX];
	mbedtls_ssl_session session;
	size_t len;

	mbedtls_ssl_session_init(&session);
	if (mbedtls_ssl_get_session(&t->ssl, &session) == 0 &&
	    tls_ticket_save(&session, &t->peer.cert, t->config->basis, saved,
		sizeof(saved), &len) == 0) {
		forget_ticket(t);
		if ((t->ticket = malloc(len)) != NULL) {
			memcpy(t->ticket, saved, len);
			t->ticket_len = len;
		}
	}
	mbedtls_ssl_session_free(&session);
	sodium_memzero(saved, sizeof(saved));
}

static enum tls_result
broken(struct tls *t, struct err *err)
{
	t->state = FAILED;
	stream_free(&t->in);
	*err = t->why;
	return TLS_FAILED;
}

/*
 * mbedTLS' own client, ours included, sends the alert about a bad certificate
 * before it encrypts, and its server takes that for a broken record.  Believed
 * only for the words of a failure that is one anyway.
 */
static int
is_plain_alert(const uint8_t *record)
{
	return record != NULL && record[0] == MBEDTLS_SSL_MSG_ALERT && record[3] == 0 &&
	       record[4] == 2 && record[5] == MBEDTLS_SSL_ALERT_LEVEL_FATAL;
}

/* `ret` is from mbedTLS; find the words for it. */
static enum tls_result
fail(struct tls *t, int ret, struct err *err)
{
	int hello = t->state == SHAKING && t->ssl.state <= MBEDTLS_SSL_SERVER_HELLO;

	if (t->why.code != ERR_NONE)
		return broken(t, err); /* A callback said it better. */
	if (ret == MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE)
		tls_alert_error(t->ssl.in_msg[1], &t->why);
	else if (t->state == SHAKING && is_plain_alert(t->ssl.in_hdr))
		tls_alert_error(t->ssl.in_hdr[6], &t->why);
	else
		tls_alert_local(ret, hello, &t->why);
	return broken(t, err);
}

/* What is not TLS at all is told by its first byte, without waiting for a fifth. */
static int
greet(struct tls *t)
{
	if (t->greeted || t->in.b.len == t->in.at)
		return 0;
	t->greeted = 1;
	if (t->in.b.p[t->in.at] == MBEDTLS_SSL_MSG_HANDSHAKE ||
	    t->in.b.p[t->in.at] == MBEDTLS_SSL_MSG_ALERT)
		return 0;
	return err_set(&t->why, ERR_PROTOCOL, "the peer does not speak TLS 1.3");
}

static int
check_protocol(struct tls *t)
{
	const char *alpn = mbedtls_ssl_get_alpn_protocol(&t->ssl);

	if (alpn != NULL && strcmp(alpn, TLS_ALPN) == 0)
		return 0;
	(void)mbedtls_ssl_send_alert_message(&t->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL,
	    MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL);
	return err_set(&t->why, ERR_PROTOCOL, "the peer does not speak " TLS_ALPN);
}

/* mbedTLS ends a handshake in which the server shows nothing; we do not rest on that. */
static int
check_server(struct tls *t)
{
	if (t->config->server || t->peer.trust == TLS_TRUSTED)
		return 0;
	return err_set(&t->why, ERR_DENIED, "the server did not show who it is");
}

/* TLS_DATA once the handshake is done. */
static enum tls_result
shake(struct tls *t, struct err *err)
{
	int ret;

	if (greet(t) != 0)
		return broken(t, err);
	while (t->ssl.state != MBEDTLS_SSL_HANDSHAKE_OVER) {
		if (t->ssl.state == MBEDTLS_SSL_TLS1_3_NEW_SESSION_TICKET) {
			settle_peer(t);
			/* As mbedTLS does itself when tickets are off. */
			if (t->peer.trust != TLS_TRUSTED) {
				t->ssl.state = MBEDTLS_SSL_HANDSHAKE_OVER;
				break;
			}
		}
		ret = mbedtls_ssl_handshake_step(&t->ssl);
		if (ret == MBEDTLS_ERR_SSL_WANT_READ)
			return TLS_WANT;
		if (ret != 0)
			return fail(t, ret, err);
	}
	settle_peer(t);
	if (check_protocol(t) != 0 || check_server(t) != 0)
		return broken(t, err);
	t->state = OPEN;
	return TLS_DATA;
}

int
tls_input(struct tls *t, const uint8_t *p, size_t len, struct err *err)
{
	uint8_t *to;

	if (t->state == FAILED) {
		*err = t->why;
		return -1;
	}
	if (len == 0 || t->state == ENDED)
		return 0;
	if ((to = stream_room(&t->in, len, err)) == NULL)
		return err_context(err, "TLS input");
	memcpy(to, p, len);
	t->in.b.len += len;
	return 0;
}

static enum tls_result
read_open(struct tls *t, uint8_t *p, size_t cap, size_t *got, struct err *err)
{
	int ret, again = 0;

	/* Several records at once if they fit: fewer calls for the owner. */
	while (*got < cap) {
		ret = mbedtls_ssl_read(&t->ssl, p + *got, cap - *got);
		/* It notices a ticket in one call and takes it in the next. */
		if (ret == MBEDTLS_ERR_SSL_WANT_READ && !again &&
		    mbedtls_ssl_check_pending(&t->ssl)) {
			again = 1;
			continue;
		}
		again = 0;
		if (ret > 0) {
			*got += (size_t)ret;
			continue;
		}
		if (ret == MBEDTLS_ERR_SSL_RECEIVED_NEW_SESSION_TICKET) {
			keep_ticket(t);
			continue;
		}
		if (ret == MBEDTLS_ERR_SSL_WANT_READ)
			return *got > 0 ? TLS_DATA : TLS_WANT;
		if (ret == 0 || ret == MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY) {
			t->state = ENDED;
			stream_free(&t->in);
			return *got > 0 ? TLS_DATA : TLS_END;
		}
		/* What came before the fault is given first. */
		if (*got > 0) {
			struct err later = ERR_INIT;

			(void)fail(t, ret, &later);
			return TLS_DATA;
		}
		return fail(t, ret, err);
	}
	return TLS_DATA;
}

enum tls_result
tls_read(struct tls *t, uint8_t *p, size_t cap, size_t *got, struct err *err)
{
	enum tls_result r = TLS_DATA;

	assert(cap > 0);
	*got = 0;
	if (t->state == FAILED) {
		*err = t->why;
		return TLS_FAILED;
	}
	if (t->state == ENDED)
		return TLS_END;
	shaking = t;
	if (t->state == SHAKING)
		r = shake(t, err);
	if (r == TLS_DATA)
		r = read_open(t, p, cap, got, err);
	shaking = NULL;
	return r;
}

int
tls_open(const struct tls *t)
{
	return t->state == OPEN;
}

const struct tls_peer *
tls_peer(const struct tls *t)
{
	return &t->peer;
}

int
tls_write(struct tls *t, const uint8_t *p, size_t len, struct err *err)
{
	size_t all = len + (len / RECORD_MIN + 1) * RECORD_MORE;
	int ret;

	if (t->state == FAILED) {
		*err = t->why;
		return -1;
	}
	if (t->state != OPEN)
		return err_set(
		    err, ERR_PROTOCOL, "the TLS connection is not open for writing");
	if (stream_room(&t->out, all, err) == NULL)
		return err_context(err, "TLS output");
	while (len > 0) {
		ret = mbedtls_ssl_write(&t->ssl, p, len);
		if (ret <= 0) {
			(void)fail(t, ret, err);
			return -1;
		}
		p += ret;
		len -= (size_t)ret;
	}
	return 0;
}

void
tls_shutdown(struct tls *t)
{
	if (t->state == OPEN || t->state == ENDED)
		(void)mbedtls_ssl_close_notify(&t->ssl);
}

size_t
tls_output(struct tls *t, const uint8_t **p)
{
	*p = t->out.b.p == NULL ? NULL : t->out.b.p + t->out.at;
	return t->out.b.len - t->out.at;
}

void
tls_sent(struct tls *t, size_t n)
{
	assert(n <= t->out.b.len - t->out.at);
	stream_take(&t->out, n);
}

const char *
tls_suite(const struct tls *t)
{
	const char *name = mbedtls_ssl_get_ciphersuite(&t->ssl);

	return name != NULL ? name : "none";
}
