#include "agent/session/dial.h"

#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/host/stop.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"
#include "proto/net/conn.h"
#include "proto/tls/tls.h"
#include "proto/wire/msg.h"

#define TICKET_MAX (16u * 1024)

static void
cancel(void *arg)
{
	channel_cancel(arg);
}

void
dial_stoppable(void *arg, struct channel *ch)
{
	stop_attach(arg, ch != NULL ? cancel : NULL, ch);
}

/* Connect, resuming the last session if its ticket is still there. */
static int
reach(struct dial *d, const struct state_identity *id, struct stop *stop, struct err *err)
{
	const struct channel_watch watch = { dial_stoppable, stop };
	const struct conn_limits limits = { .handshake_ms = DIAL_TIMEOUT_MS,
		.silence_ms =
		    state_silence(d->st) > 0 ? state_silence(d->st) : DIAL_SILENCE_MS,
		.sndbuf = state_socket_buffer(d->st),
		.rcvbuf = state_socket_buffer(d->st) };
	struct buf ticket = BUF_INIT(TICKET_MAX);
	int rc = -1;

	if (tls_config_client(&id->me, &id->ca, NULL, &d->tls, err) != 0)
		return -1;
	if (state_read(d->st, "ticket", &ticket, err) < 0) {
		err_clear(err);
		buf_clear(&ticket);
	}
	rc = channel_open_watched(id->address, d->tls, ticket.len > 0 ? ticket.p : NULL,
	    ticket.len, &limits, DIAL_TIMEOUT_MS, &watch, &d->ch, err);
	buf_free(&ticket);
	return rc == 0 ? 0 : err_context(err, "server %s", id->address);
}

/* Features that an agent has a use for. */
static const char *const offers[] = { "layout", "capture", "changes" };
#define OFFERS (sizeof(offers) / sizeof(offers[0]))

static int
understand(struct dial *d, const Wire__Welcome *w, struct err *err)
{
	if (msg_welcome_ok(w, offers, OFFERS, err) != 0)
		return -1;
	for (size_t i = 0; i < w->n_features; i++) {
		d->welcome.layout |= strcmp(w->features[i], "layout") == 0;
		d->welcome.capture |= strcmp(w->features[i], "capture") == 0;
		d->welcome.changes |= strcmp(w->features[i], "changes") == 0;
	}
	if (w->domain_key.len != CHUNK_KEY_LEN)
		return err_set(err, ERR_PROTOCOL, "the server gave no dedup key");
	if (strlen(w->name) >= sizeof(d->welcome.name))
		return err_set(err, ERR_PROTOCOL, "the server gave too long a name");
	chunk_keys_init(&d->keys, w->domain_key.data);
	strcpy(d->welcome.name, w->name);
	d->welcome.window = w->window;
	d->welcome.rolled_back = w->head_unknown || w->journal_unknown;
	d->welcome.renew = w->renew;
	if (w->head.len == STATE_HASH_LEN) {
		d->welcome.has_head = 1;
		memcpy(d->welcome.head, w->head.data, STATE_HASH_LEN);
	}
	return 0;
}

/* Compare with what we remember of the server's journal, and remember what it says now.
 */
static void
compare(struct dial *d, const uint8_t *known, const Wire__Welcome *w)
{
	struct err ignored = ERR_INIT;

	if (w->journal.len != STATE_JOURNAL_LEN)
		return; /* An older server, which says nothing of it. */
	if (known != NULL) {
		if (load_le64(w->journal.data + 8) < load_le64(known + 8))
			d->welcome.rolled_back = 1;
		if (memcmp(known, w->journal.data, STATE_JOURNAL_LEN) == 0)
			return;
	}
	/* A full disk here is no reason not to back up: what we knew still holds. */
	(void)state_set_journal(d->st, w->journal.data, &ignored);
}

static int
greet(struct dial *d, const uint8_t machine[STATE_HASH_LEN], struct err *err)
{
	Wire__Hello hello = WIRE__HELLO__INIT;
	ProtobufCMessage *reply = NULL;
	uint8_t head[STATE_HASH_LEN], journal[STATE_JOURNAL_LEN];
	int found, seen, rc;

	hello.version = MSG_VERSION;
	hello.program = "holdfast-agent " HOLDFAST_VERSION;
	hello.offers = (char **)(uintptr_t)offers;
	hello.n_offers = OFFERS;
	hello.machine.data = (uint8_t *)machine;
	hello.machine.len = STATE_HASH_LEN;
	if ((found = state_head(d->st, head, err)) < 0 ||
	    (seen = state_journal(d->st, journal, err)) < 0)
		return -1;
	if (seen) {
		hello.journal.data = journal;
		hello.journal.len = sizeof(journal);
	}
	if (found) {
		hello.head.data = head;
		hello.head.len = sizeof(head);
	}
	if (channel_call(d->ch, &hello.base, MSG_WELCOME, &reply, err) != 0)
		return err_context(err, "server");
	rc = understand(d, (const Wire__Welcome *)reply, err);
	if (rc == 0)
		compare(d, seen ? journal : NULL, (const Wire__Welcome *)reply);
	msg_free(reply);
	return rc;
}

int
dial_open(const struct state *st, const uint8_t machine[STATE_HASH_LEN],
    struct stop *stop, struct dial *out, struct err *err)
{
	struct state_identity id;
	struct dial d;
	int found, rc = -1;

	memset(&d, 0, sizeof(d));
	d.st = st;
	if ((found = state_identity(st, &id, err)) < 0)
		return -1;
	if (found == 0)
		return err_set(err, ERR_NOTFOUND,
		    "%s: not enrolled; run holdfast-agent enroll with a token",
		    state_dir(st));
	if (reach(&d, &id, stop, err) == 0 && greet(&d, machine, err) == 0)
		rc = 0;
	stop_attach(stop, NULL, NULL);
	state_identity_free(&id);
	if (rc != 0 && stop_asked(stop)) {
		err_clear(err);
		err_set(err, ERR_CANCELED, "interrupted");
	}
	if (rc == 0)
		*out = d;
	else
		dial_close(&d);
	return rc;
}

void
dial_close(struct dial *d)
{
	uint8_t ticket[TICKET_MAX];
	struct err ignored = ERR_INIT;
	size_t len;

	if (d->ch != NULL && d->st != NULL &&
	    (len = channel_ticket(d->ch, ticket, sizeof(ticket))) > 0)
		state_write(d->st, "ticket", ticket, len, 0600, &ignored);
	channel_close(d->ch);
	tls_config_free(d->tls);
	memset(d, 0, sizeof(*d));
}

/* The new certificate must be for our key, from the authority we trust. */
static int
take_renewed(struct dial *d, const struct state_identity *id, const Wire__Enrolled *m,
    struct err *err)
{
	struct cert cert;
	struct cert_facts facts;

	if (m->cert.len > sizeof(cert.der))
		return err_set(err, ERR_PROTOCOL, "certificate too long");
	cert.len = m->cert.len;
	memcpy(cert.der, m->cert.data, cert.len);
	if (cert_facts_of(&cert, &facts, err) != 0)
		return -1;
	if (memcmp(facts.key_hash, id->facts.key_hash, sizeof(facts.key_hash)) != 0)
		return err_set(err, ERR_PROTOCOL, "a certificate for another key");
	return state_enrolled(d->st, &cert, &id->ca, id->address, err);
}

int
dial_renew(struct dial *d, struct err *err)
{
	Wire__Renew renew = WIRE__RENEW__INIT;
	ProtobufCMessage *reply = NULL;
	struct state_identity id;
	struct cert csr;
	int rc = -1;

	if (state_identity(d->st, &id, err) != 1)
		return err->code != ERR_NONE ? -1
					     : err_set(err, ERR_NOTFOUND, "not enrolled");
	if (cert_request(id.me.key, id.facts.name, &csr, err) == 0) {
		renew.csr.data = csr.der;
		renew.csr.len = csr.len;
		if (channel_call(d->ch, &renew.base, MSG_ENROLLED, &reply, err) == 0)
			rc = take_renewed(d, &id, (const Wire__Enrolled *)reply, err);
	}
	if (reply != NULL)
		msg_free(reply);
	state_identity_free(&id);
	return rc == 0 ? 0 : err_context(err, "renewal");
}

int
dial_may_retry(const struct err *err)
{
	return err->code == ERR_IO || err->code == ERR_TIMEOUT || err->code == ERR_BUSY;
}

uint32_t
dial_backoff_ms(unsigned n)
{
	uint32_t ms = n < 6 ? 500u << n : 30000u;

	return ms - ms / 4 + randombytes_uniform(ms / 2);
}
