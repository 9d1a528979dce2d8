#include "server/cli/cli.h"

#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "agent/session/dial.h"
#include "proto/net/channel.h"
#include "proto/net/conn.h"
#include "proto/tls/tls.h"
#include "proto/wire/frame.h"

#define OPEN_MS 20000u
#define SILENCE_MS 600000u

static const char *
directory(const struct cli *c)
{
	return c->operator_dir != NULL ? c->operator_dir : getenv("HOLDFAST_OPERATOR");
}

/* Past half of its life; a failure costs nothing today. */
static void
renew(struct cli *c)
{
	Wire__Renew m = WIRE__RENEW__INIT;
	ProtobufCMessage *reply = NULL;
	struct err err = ERR_INIT;
	struct cert *csr = calloc(1, sizeof(*csr)), *cert = calloc(1, sizeof(*cert));
	int rc = -1;

	if (csr != NULL && cert != NULL &&
	    cert_request(c->key, c->name, csr, &err) == 0) {
		m.csr.data = csr->der;
		m.csr.len = csr->len;
		if (channel_call(c->ch, &m.base, MSG_ENROLLED, &reply, &err) == 0) {
			const Wire__Enrolled *e = (const Wire__Enrolled *)reply;

			cert->len = e->cert.len;
			memcpy(cert->der, e->cert.data, e->cert.len);
			rc = cli_identity_renew(directory(c), cert, &err);
			msg_free(reply);
		}
	}
	if (rc != 0)
		(void)fprintf(stderr,
		    "holdfast: warning: cannot renew the certificate: %s\n", err.text);
	free(csr);
	free(cert);
}

int
cli_can(const struct cli *c, uint16_t kind, struct err *err)
{
	const char *feature = msg_feature_of(kind);

	for (size_t i = 0; feature != NULL && i < MSG_FEATURES; i++) {
		if (strcmp(msg_features[i], feature) == 0 && (c->features >> i & 1u) != 0)
			return 0;
	}
	if (feature == NULL)
		return 0;
	return err_set(err, ERR_UNSUPPORTED,
	    "the server is older than this program: it does not know %s ('%s')",
	    msg_name(kind), feature);
}

static int
greet(struct cli *c, struct err *err)
{
	Wire__Hello m = WIRE__HELLO__INIT;
	ProtobufCMessage *reply;
	const Wire__Welcome *w;
	int again;

	m.version = MSG_VERSION;
	m.program = (char *)"holdfast " HOLDFAST_VERSION;
	m.offers = (char **)(uintptr_t)msg_features;
	m.n_offers = MSG_FEATURES;
	if (channel_call(c->ch, &m.base, MSG_WELCOME, &reply, err) != 0)
		return -1;
	w = (const Wire__Welcome *)reply;
	if (msg_welcome_ok(w, msg_features, MSG_FEATURES, err) != 0) {
		msg_free(reply);
		return -1;
	}
	for (size_t i = 0; i < w->n_features; i++) {
		for (unsigned k = 0; k < MSG_FEATURES; k++)
			c->features |=
			    (unsigned)(strcmp(w->features[i], msg_features[k]) == 0) << k;
	}
	if (w->domain_key.len == sizeof(c->domain_key))
		memcpy(c->domain_key, w->domain_key.data, sizeof(c->domain_key));
	(void)snprintf(c->name, sizeof(c->name), "%.63s", w->name);
	again = w->renew;
	msg_free(reply);
	if (again)
		renew(c);
	return 0;
}

static int
reach(struct cli *c, struct err *err)
{
	const char *dir = directory(c);
	const struct conn_limits limits = { .silence_ms = SILENCE_MS };
	const struct channel_watch watch = { dial_stoppable, c->stop };
	int rc;

	if (dir == NULL)
		return err_set(err, ERR_NOTFOUND,
		    "who are you? Give --operator DIR or set HOLDFAST_OPERATOR");
	if (cli_identity_read(dir, &c->key, &c->me.cert, &c->ca, c->address,
		sizeof(c->address), err) != 0)
		return -1;
	if (c->server != NULL)
		(void)snprintf(c->address, sizeof(c->address), "%s", c->server);
	c->me.key = c->key;
	if (tls_config_client(&c->me, &c->ca, NULL, &c->tls, err) != 0 ||
	    channel_open_watched(
		c->address, c->tls, NULL, 0, &limits, OPEN_MS, &watch, &c->ch, err) != 0)
		return -1;
	rc = greet(c, err);
	stop_attach(c->stop, NULL, NULL);
	return rc;
}

int
cli_connect(struct cli *c, struct err *err)
{
	int rc = reach(c, err);

	if (rc != 0 && stop_asked(c->stop)) {
		err_clear(err);
		err_set(err, ERR_CANCELED, "interrupted");
	}
	return rc;
}

void
cli_close(struct cli *c)
{
	channel_close(c->ch);
	tls_config_free(c->tls);
	cert_key_free(c->key);
	c->ch = NULL;
	c->tls = NULL;
	c->key = NULL;
}

int
cli_unpack(struct channel_frame *f, ProtobufCMessage **out, struct err *err)
{
	const struct frame frame = { f->kind, f->flags, f->request, f->payload, f->len };
	int rc = msg_unpack(&frame, out, err);

	free(f->payload);
	f->payload = NULL;
	return rc;
}

int
cli_each(struct cli *c, const ProtobufCMessage *m, uint16_t kind,
    int (*each)(void *arg, const ProtobufCMessage *m), void *arg, struct err *err)
{
	struct channel_frame f;
	ProtobufCMessage *reply;
	uint64_t request;
	int more = 1, stop = 0;

	if (cli_can(c, msg_kind_of(m), err) != 0 ||
	    channel_send(c->ch, m, &request, err) != 0)
		return -1;
	while (more) {
		if (channel_wait(c->ch, request, 0, &f, err) != 0)
			return -1;
		more = (f.flags & FRAME_MORE) != 0;
		if (f.kind != kind) {
			(void)err_set(err, ERR_PROTOCOL, "the server answered with %s",
			    msg_name(f.kind));
			free(f.payload);
			return -1;
		}
		if (cli_unpack(&f, &reply, err) != 0)
			return -1;
		if (!stop)
			stop = each(arg, reply);
		msg_free(reply);
	}
	return 0;
}
