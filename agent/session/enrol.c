#include "agent/session/enrol.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/host/schedule.h"
#include "agent/host/stop.h"
#include "agent/session/dial.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/net/channel.h"
#include "proto/net/conn.h"
#include "proto/tls/tls.h"
#include "proto/tls/token.h"
#include "proto/wire/msg.h"

static const struct conn_limits limits = { .handshake_ms = DIAL_TIMEOUT_MS,
	.silence_ms = DIAL_TIMEOUT_MS };

/* A certificate's bytes from a message. */
static int
copy_cert(const ProtobufCBinaryData *from, struct cert *to, struct err *err)
{
	if (from->len == 0 || from->len > sizeof(to->der))
		return err_set(
		    err, ERR_PROTOCOL, "the server gave no proper certificate");
	memcpy(to->der, from->data, from->len);
	to->len = from->len;
	return 0;
}

/* Believe the reply only if it is by the token's authority and for our key. */
static int
accept_reply(const struct state *st, const struct token *token,
    const struct cert_key *key, const Wire__Enrolled *m, char name[CERT_NAME_MAX],
    struct err *err)
{
	uint8_t print[CERT_FINGERPRINT_LEN], hash[CERT_FINGERPRINT_LEN];
	struct cert cert, ca;
	struct cert_facts facts;

	if (copy_cert(&m->cert, &cert, err) != 0 || copy_cert(&m->ca, &ca, err) != 0)
		return -1;
	cert_fingerprint(&ca, print);
	if (memcmp(print, token->ca_fingerprint, sizeof(print)) != 0)
		return err_set(err, ERR_DENIED, "not the authority that the token names");
	if (cert_facts_of(&cert, &facts, err) != 0 || cert_key_hash(key, hash, err) != 0)
		return -1;
	if (memcmp(hash, facts.key_hash, sizeof(hash)) != 0)
		return err_set(err, ERR_PROTOCOL, "the certificate is for another key");
	if (state_enrolled(st, &cert, &ca, token->address, err) != 0)
		return -1;
	strcpy(name, facts.name);
	return 0;
}

/* Say Hello as nobody yet. */
static int
greet(struct channel *ch, const struct enrol_options *o, struct err *err)
{
	Wire__Hello hello = WIRE__HELLO__INIT;
	ProtobufCMessage *reply = NULL;
	int rc;

	hello.version = MSG_VERSION;
	hello.program = "holdfast-agent " HOLDFAST_VERSION;
	hello.machine.data = (uint8_t *)o->machine;
	hello.machine.len = STATE_HASH_LEN;
	if (channel_call(ch, &hello.base, MSG_WELCOME, &reply, err) != 0)
		return -1;
	rc = msg_welcome_ok((const Wire__Welcome *)reply, NULL, 0, err);
	msg_free(reply);
	return rc;
}

/* One attempt. */
static int
attempt(const struct state *st, const struct enrol_options *o, const struct token *token,
    const struct cert_key *key, const struct cert *csr, const char *want,
    char name[CERT_NAME_MAX], struct err *err)
{
	const char *address = o->server != NULL ? o->server : token->address;
	const struct channel_watch watch = { dial_stoppable, o->stop };
	Wire__Enroll ask = WIRE__ENROLL__INIT;
	ProtobufCMessage *reply = NULL;
	struct tls_config *tls = NULL;
	struct channel *ch = NULL;
	int rc = -1;

	ask.secret.data = (uint8_t *)token->secret;
	ask.secret.len = TOKEN_SECRET_LEN;
	ask.csr.data = (uint8_t *)csr->der;
	ask.csr.len = csr->len;
	ask.name = (char *)want;
	ask.machine.data = (uint8_t *)o->machine;
	ask.machine.len = STATE_HASH_LEN;
	ask.program = "holdfast-agent " HOLDFAST_VERSION;
	if (tls_config_client(NULL, NULL, token->ca_fingerprint, &tls, err) == 0 &&
	    channel_open_watched(
		address, tls, NULL, 0, &limits, DIAL_TIMEOUT_MS, &watch, &ch, err) == 0 &&
	    greet(ch, o, err) == 0 &&
	    channel_call(ch, &ask.base, MSG_ENROLLED, &reply, err) == 0)
		rc = accept_reply(
		    st, token, key, (const Wire__Enrolled *)reply, name, err);
	if (reply != NULL)
		msg_free(reply);
	stop_attach(o->stop, NULL, NULL);
	channel_close(ch);
	tls_config_free(tls);
	return rc == 0 ? 0 : err_context(err, "server %s", address);
}

static int
attempts(const struct state *st, const struct enrol_options *o, const struct token *token,
    const struct cert_key *key, const struct cert *csr, const char *want,
    char name[CERT_NAME_MAX], struct err *err)
{
	uint32_t waited = 0, wait;
	unsigned n;

	for (n = 0;; n++) {
		err_clear(err);
		if (attempt(st, o, token, key, csr, want, name, err) == 0)
			return 0;
		wait = dial_backoff_ms(n);
		if (!stop_asked(o->stop) &&
		    (!dial_may_retry(err) || waited + wait > o->retry_ms))
			return -1;
		if (stop_wait_ms(o->stop, wait)) {
			err_clear(err);
			return err_set(err, ERR_CANCELED, "interrupted");
		}
		waited += wait;
	}
}

/* The host's name up to the first dot, unless one was given. */
static int
wanted_name(const struct enrol_options *o, char out[CERT_NAME_MAX], struct err *err)
{
	char host[ENROL_HOST_MAX];

	if (o->name != NULL) {
		if (cert_name_check(o->name, err) != 0)
			return -1;
		strcpy(out, o->name);
		return 0;
	}
	if (enrol_host_name(host, err) != 0)
		return -1;
	host[strcspn(host, ".")] = '\0';
	if (cert_name_check(host, err) != 0)
		return err_context(err, "this host's name (give --name)");
	strcpy(out, host);
	return 0;
}

/* A new identity has a key of its own: the old one may be a copy. */
static int
key_for(const struct state *st, const struct enrol_options *o, int *found,
    struct cert_key **key, struct err *err)
{
	if (*found)
		return state_next_key(st, key, err);
	if (state_key(st, key, err) == 0)
		return 0;
	if (err->code != ERR_DENIED || !o->replace)
		return -1;
	err_clear(err);
	*found = 1;
	return state_next_key(st, key, err);
}

int
enrol_run(const struct state *st, const struct enrol_options *options,
    char name[CERT_NAME_MAX], struct err *err)
{
	char want[CERT_NAME_MAX];
	struct state_identity id;
	struct token token;
	struct cert_key *key = NULL;
	struct cert csr;
	int found, rc = -1;

	found = state_identity(st, &id, err);
	if (found < 0 && options->replace && err->code == ERR_DENIED) {
		/* A key that another machine sealed is no key, but was this host's. */
		err_clear(err);
		found = 2;
	}
	if (found < 0)
		return -1;
	if (found == 1) {
		if (!options->replace)
			err_set(err, ERR_EXISTS,
			    "%s: enrolled as %s with %s; say --replace to "
			    "enrol anew",
			    state_dir(st), id.facts.name, id.address);
		state_identity_free(&id);
		if (!options->replace)
			return -1;
	}
	if (token_parse(options->token, &token, err) != 0)
		return err_context(err, "token");
	if (wanted_name(options, want, err) != 0)
		return -1;
	if (key_for(st, options, &found, &key, err) != 0)
		return -1;
	if (cert_request(key, want, &csr, err) == 0)
		rc = attempts(st, options, &token, key, &csr, want, name, err);
	if (rc == 0 && (state_remove(st, "ticket", err) != 0 ||
			   (found && state_take_next_key(st, err) != 0)))
		rc = -1;
	sodium_memzero(token.secret, sizeof(token.secret));
	cert_key_free(key);
	return rc;
}

static int
remove_cached(void *arg, const char *name, struct err *err)
{
	const struct state *st = arg;
	char path[STATE_PATH_MAX];

	snprintf(path, sizeof(path), "cache/%s", name);
	return state_remove(st, path, err);
}

int
enrol_forget(const struct state *st, struct err *err)
{
	static const char *const names[] = { "key", "key.next", "enroll", "ticket",
		"cert", "ca", "server", "head", "journal", "last.json", "sources",
		SCHEDULE_NAME };
	char path[STATE_PATH_MAX];
	enum file_kind kind;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (state_remove(st, names[i], err) != 0)
			return -1;
	if (state_path(st, "cache", path, err) != 0 || file_kind(path, &kind, err) != 0)
		return -1;
	return kind == FILE_IS_DIR ? file_list(path, remove_cached, (void *)st, err) : 0;
}
