#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/policy.h"
#include "server/registry.h"
#include "storage/store_rollback.h"

struct greeting {
	enum cert_role role;
	char name[CERT_NAME_MAX];
	char program[STORE_NAME_MAX];
	uint64_t window;
	struct session_rescue rescue;
};

void
session_copied_key(struct session *s, const char *host)
{
	char alarm[STORE_TEXT_MAX];
	struct err ignored = ERR_INIT;

	(void)snprintf(alarm, sizeof(alarm),
	    "a copied key was seen on another machine, at %s", s->address);
	if (store_peer_alarm(s->world->store, host, alarm, &ignored) != 0)
		session_log(s, LOG_ERROR, "cannot record the alarm: %s", ignored.text);
}

static void
copied_key(struct session_job *j, const struct store_peer *p)
{
	session_copied_key(j->s, p->name);
	session_refuse(j, ERR_DENIED,
	    "the key of '%s' was enrolled by another machine: enrol this one under its "
	    "own name",
	    p->name);
}

/* Does the store still stand by this certificate?  0, or the job has failed. */
static int
check_peer(struct session_job *j, const Wire__Hello *hello, struct store_peer *p)
{
	static const uint8_t untold[STORE_HASH_LEN];
	const struct cert_facts *cert = &j->s->peer.cert;

	if (store_peer_by_serial(j->s->world->store, cert->serial, p, &j->err) != 0) {
		if (j->err.code == ERR_NOTFOUND)
			session_refuse(j, ERR_DENIED,
			    "the certificate of '%s' is not known here", cert->name);
		j->closing = 1;
		return -1;
	}
	if (p->revoked || strcmp(p->name, cert->name) != 0) {
		session_refuse(
		    j, ERR_DENIED, "the certificate of '%s' is revoked", cert->name);
		return -1;
	}
	if (p->role == CERT_AGENT && memcmp(p->machine, untold, sizeof(untold)) != 0 &&
	    (hello->machine.len != STORE_HASH_LEN ||
		memcmp(p->machine, hello->machine.data, STORE_HASH_LEN) != 0)) {
		copied_key(j, p);
		return -1;
	}
	return 0;
}

static int
head_of(struct session_job *j, const Wire__Hello *hello, uint8_t record[STORE_HASH_LEN],
    Wire__Welcome *m)
{
	struct store *store = j->s->world->store;
	const char *host = j->s->peer.cert.name;
	int known;

	/* Of the newest point there ever was: it may have been forgotten since. */
	if ((known = store_head(store, host, record, &j->err)) < 0)
		return -1;
	if (known) {
		m->head.data = record;
		m->head.len = STORE_HASH_LEN;
	}
	if (hello->head.len == STORE_HASH_LEN) {
		known = store_record_known(store, host, hello->head.data, &j->err);
		if (known < 0)
			return -1;
		m->head_unknown = !known;
	}
	return 0;
}

static int
is_known(const char *feature)
{
	for (size_t i = 0; i < MSG_FEATURES; i++) {
		if (strcmp(msg_features[i], feature) == 0)
			return 1;
	}
	return 0;
}

/* Of what the client requires, the first that we do not know; or NULL. */
static const char *
unknown_feature(const Wire__Hello *hello)
{
	for (size_t i = 0; i < hello->n_features; i++) {
		if (!is_known(hello->features[i]))
			return hello->features[i];
	}
	return NULL;
}

/* In force is what we know of the required and offered, each once. */
static size_t
agree(const Wire__Hello *hello, char *out[MSG_FEATURES])
{
	size_t n = 0;

	for (size_t i = 0; i < MSG_FEATURES; i++) {
		int wanted = 0;

		for (size_t k = 0; k < hello->n_features; k++)
			wanted |= strcmp(msg_features[i], hello->features[k]) == 0;
		for (size_t k = 0; k < hello->n_offers; k++)
			wanted |= strcmp(msg_features[i], hello->offers[k]) == 0;
		if (wanted)
			out[n++] = (char *)(uintptr_t)msg_features[i];
	}
	return n;
}

/* Did this agent see the store when it was newer than it is?  Then let everybody know. */
static int
compare_memories(struct session_job *j, const Wire__Hello *hello,
    uint8_t end[STORE_SEEN_LEN], Wire__Welcome *m)
{
	struct store *store = j->s->world->store;
	int known = 1;

	if (hello->journal.len == STORE_SEEN_LEN)
		known = store_seen_known(store, hello->journal.data, &j->err);
	if (known < 0)
		return -1;
	m->journal_unknown = !known;
	if (m->head_unknown || m->journal_unknown) {
		const char *what = m->head_unknown ? "a point" : "a record";

		session_log(j->s, LOG_WARN,
		    "the agent saw %s that is not here: was the store rolled back?",
		    what);
		if (store_rollback_note(store, j->s->peer.cert.name, what, &j->err) !=
		    0) {
			if (j->err.code != ERR_NOSPACE)
				return -1;
			/* It is in the log, and the agent will say it again. */
			err_clear(&j->err);
		}
	}
	store_seen_now(store, end);
	m->journal.data = end;
	m->journal.len = STORE_SEEN_LEN;
	return 0;
}

static void
welcome(struct session_job *j, const Wire__Hello *hello, struct greeting *g)
{
	struct store *store = j->s->world->store;
	const struct cert_facts *cert = &j->s->peer.cert;
	uint8_t record[STORE_HASH_LEN], end[STORE_SEEN_LEN];
	Wire__Welcome m = WIRE__WELCOME__INIT;
	char *features[MSG_FEATURES];
	int64_t now = time(NULL);

	m.n_features = agree(hello, features);
	m.features = features;

	m.version = MSG_VERSION;
	m.program = (char *)"holdfastd " HOLDFAST_VERSION;
	m.now_us = store_now(store);
	m.role = g->role;
	m.name = g->name;
	m.window = g->window;
	if (g->role != CERT_NOBODY)
		m.renew =
		    now > cert->not_before + (cert->not_after - cert->not_before) / 2;
	if (g->role == CERT_AGENT || g->role == CERT_RESTORER || g->role == CERT_ADMIN ||
	    g->role == CERT_RESCUE) {
		m.domain_key.data = (uint8_t *)(uintptr_t)store_domain_key(store);
		m.domain_key.len = CHUNK_KEY_LEN;
	}
	if (g->role == CERT_AGENT && head_of(j, hello, record, &m) == 0)
		(void)compare_memories(j, hello, end, &m);
	session_reply(j, &m.base, 0);
}

void
session_hello_run(struct session_job *j)
{
	const Wire__Hello *hello = (const Wire__Hello *)j->msg;
	const struct tls_peer *peer = &j->s->peer;
	struct greeting *g = calloc(1, sizeof(*g));
	struct store_peer *p = calloc(1, sizeof(*p));

	j->state = g;
	j->state_free = free;
	if (g == NULL || p == NULL) {
		session_refuse(j, ERR_NOMEM, "no memory for a greeting");
		goto out;
	}
	session_text(g->program, sizeof(g->program), hello->program);
	g->window = policy_get(j->s->world->policy).window;

	if (hello->version != MSG_VERSION) {
		session_refuse(j, ERR_UNSUPPORTED,
		    "protocol version %u: this server speaks %u", hello->version,
		    MSG_VERSION);
	} else if (unknown_feature(hello) != NULL) {
		session_refuse(j, ERR_UNSUPPORTED, "feature '%.60s' is not known here",
		    unknown_feature(hello));
	} else if (peer->trust == TLS_REFUSED) {
		session_refuse(j, ERR_DENIED, "%s", peer->why);
	} else if (peer->trust == TLS_NOBODY) {
		welcome(j, hello, g);
	} else if (peer->cert.role == CERT_RESCUE) {
		if (session_rescue_check(j, hello, &g->rescue) == 0) {
			g->role = CERT_RESCUE;
			(void)snprintf(g->name, sizeof(g->name), "%s", peer->cert.name);
			welcome(j, hello, g);
		}
	} else if (check_peer(j, hello, p) == 0) {
		g->role = (enum cert_role)p->role;
		(void)snprintf(g->name, sizeof(g->name), "%s", p->name);
		if (store_peer_seen(j->s->world->store, p->name, g->program, &j->err) ==
		    0)
			welcome(j, hello, g);
	}
	j->closing = 1;
out:
	free(p);
}

void
session_hello_done(struct session_job *j)
{
	const struct greeting *g = j->state;
	struct session *s = j->s;

	s->state = SESSION_IDLE;
	s->role = g->role;
	s->window = g->window;
	s->rescue = g->rescue;
	(void)snprintf(s->name, sizeof(s->name), "%s", g->name);
	session_log(s, LOG_INFO, "%s, %s%s", cert_role_name(g->role), g->program,
	    s->peer.resumed ? ", resumed" : "");
}
