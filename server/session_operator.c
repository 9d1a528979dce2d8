#include "server/session_state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "proto/chunk/blake3.h"
#include "proto/tls/token.h"
#include "proto/wire/frame.h"
#include "server/authority.h"
#include "server/networks.h"
#include "server/registry.h"
#include "storage/store_escrow.h"
#include "storage/store_space.h"

#define TOKEN_LIFE_S 3600u
#define TOKEN_LIFE_MAX_S (30u * 86400)
#define TOKEN_USES_MAX 100000u
#define OPERATOR_LIFE_S (365u * 86400)
#define OPERATOR_LIFE_MAX_S (5u * 365 * 86400)

int
session_audit(struct session_job *j, const char *fmt, ...)
{
	char what[STORE_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (store_audit(j->s->world->store, j->s->name, what, &j->err) != 0)
		return -1;
	session_log(j->s, LOG_INFO, "%s", what);
	return 0;
}

/* ---------------------------------------------------------------------- tokens -- */

static int
token_terms(struct session_job *j, const Wire__NewToken *m, struct store_token *t)
{
	struct store *store = j->s->world->store;
	uint64_t ttl = m->ttl_s == 0 ? TOKEN_LIFE_S : m->ttl_s;
	struct store_peer peer;
	size_t n = 0;

	t->uses_left = m->uses == 0 ? 1 : m->uses;
	if (t->uses_left > TOKEN_USES_MAX || ttl > TOKEN_LIFE_MAX_S)
		return err_set(&j->err, ERR_LIMIT,
		    "a token has at most %u uses and %u days", TOKEN_USES_MAX,
		    TOKEN_LIFE_MAX_S / 86400);
	t->ends_us = store_now(store) + (int64_t)ttl * 1000000;

	for (size_t i = 0; i < m->n_networks; i++) {
		size_t len = strlen(m->networks[i]);

		if (networks_check(m->networks[i], &j->err) != 0)
			return -1;
		if (n + len + 2 > sizeof(t->networks))
			return err_set(
			    &j->err, ERR_LIMIT, "too many networks for one token");
		n += (size_t)snprintf(t->networks + n, sizeof(t->networks) - n, "%s%s",
		    n > 0 ? " " : "", m->networks[i]);
	}
	if (m->group[0] != '\0') {
		if (cert_name_check(m->group, &j->err) != 0)
			return err_context(&j->err, "group");
		(void)snprintf(t->group, sizeof(t->group), "%s", m->group);
	}
	if (m->replace_host[0] != '\0') {
		if (store_peer_by_name(store, m->replace_host, &peer, &j->err) != 0)
			return -1;
		if (peer.role != CERT_AGENT)
			return err_set(&j->err, ERR_DENIED,
			    "'%s' is an operator, not a host", m->replace_host);
		(void)snprintf(
		    t->replace_host, sizeof(t->replace_host), "%s", m->replace_host);
	}
	return 0;
}

void
session_token_run(struct session_job *j)
{
	const Wire__NewToken *m = (const Wire__NewToken *)j->msg;
	const struct session_world *w = j->s->world;
	Wire__TokenText answer = WIRE__TOKEN_TEXT__INIT;
	struct store_token terms = { 0 };
	struct token token = { 0 };
	char text[TOKEN_TEXT_MAX];

	if (token_terms(j, m, &terms) != 0)
		return;
	if (getrandom(token.secret, sizeof(token.secret), 0) !=
	    (ssize_t)sizeof(token.secret)) {
		(void)err_os(&j->err, errno, "no random bytes for a token");
		return;
	}
	cert_fingerprint(authority_ca(w->authority), token.ca_fingerprint);
	(void)snprintf(token.address, sizeof(token.address), "%s", w->advertise);
	token_hash(token.secret, terms.hash);
	if (store_token_put(w->store, &terms, &j->err) == 0 &&
	    token_format(&token, text, &j->err) == 0 &&
	    session_audit(j, "made a token: %u use%s, group '%s', networks '%.100s'%s%s",
		terms.uses_left, terms.uses_left == 1 ? "" : "s", terms.group,
		terms.networks, terms.replace_host[0] != '\0' ? ", replaces " : "",
		terms.replace_host) == 0) {
		answer.text = text;
		session_reply(j, &answer.base, 0);
	}
	explicit_bzero(&token, sizeof(token));
	explicit_bzero(text, sizeof(text));
}

/* ------------------------------------------------------------------- operators -- */

struct appointment {
	struct cert csr, cert;
	struct cert_facts facts;
	struct store_peer peer;
};

static int
appoint(struct session_job *j, const Wire__NewOperator *m, struct appointment *a)
{
	const struct session_world *w = j->s->world;
	uint64_t life = m->ttl_s == 0 ? OPERATOR_LIFE_S : m->ttl_s;
	struct store_peer *p = &a->peer;

	if (cert_name_check(m->name, &j->err) != 0)
		return -1;
	if (m->role != CERT_VIEWER && m->role != CERT_RESTORER && m->role != CERT_ADMIN)
		return err_set(
		    &j->err, ERR_DENIED, "operators are viewer, restorer or admin");
	if (life > OPERATOR_LIFE_MAX_S)
		return err_set(&j->err, ERR_LIMIT,
		    "an operator's certificate lasts %u days at most",
		    OPERATOR_LIFE_MAX_S / 86400);
	if (m->csr.len == 0 || m->csr.len > sizeof(a->csr.der))
		return err_set(&j->err, ERR_PROTOCOL,
		    "a certificate request of %zu bytes", m->csr.len);
	a->csr.len = m->csr.len;
	memcpy(a->csr.der, m->csr.data, m->csr.len);
	if (authority_check_request(&a->csr, m->name, &j->err) != 0)
		return -1;
	if (store_peer_by_name(w->store, m->name, p, &j->err) == 0) {
		if (!p->revoked || p->role == CERT_AGENT)
			return err_set(
			    &j->err, ERR_EXISTS, "the name '%s' is taken", m->name);
	} else if (j->err.code != ERR_NOTFOUND) {
		return -1;
	}
	err_clear(&j->err);
	if (authority_sign(w->authority, &a->csr, m->name, (enum cert_role)m->role, life,
		&a->cert, &a->facts, &j->err) != 0)
		return -1;

	*p = (struct store_peer){ .role = (int)m->role };
	(void)snprintf(p->name, sizeof(p->name), "%s", m->name);
	memcpy(p->serial, a->facts.serial, sizeof(p->serial));
	memcpy(p->key_hash, a->facts.key_hash, sizeof(p->key_hash));
	p->enrolled_us = store_now(w->store);
	p->cert_ends_us = a->facts.not_after * 1000000;
	return store_peer_put(w->store, p, &j->err);
}

void
session_operator_run(struct session_job *j)
{
	const Wire__NewOperator *m = (const Wire__NewOperator *)j->msg;
	const struct cert *ca = authority_ca(j->s->world->authority);
	struct appointment *a = calloc(1, sizeof(*a));
	Wire__Enrolled r = WIRE__ENROLLED__INIT;

	if (a == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for an operator");
		return;
	}
	if (appoint(j, m, a) == 0 &&
	    session_audit(j, "made operator '%s', role %s", m->name,
		cert_role_name((enum cert_role)m->role)) == 0) {
		r.cert.data = a->cert.der;
		r.cert.len = a->cert.len;
		r.ca.data = (uint8_t *)(uintptr_t)ca->der;
		r.ca.len = ca->len;
		r.name = m->name;
		session_reply(j, &r.base, 0);
	}
	free(a);
}

void
session_revoke_run(struct session_job *j)
{
	const Wire__Revoke *m = (const Wire__Revoke *)j->msg;
	const struct session_world *w = j->s->world;
	Wire__Done done = WIRE__DONE__INIT;
	struct err why = ERR_INIT;

	if (strcmp(m->host, j->s->name) == 0) {
		(void)err_set(&j->err, ERR_DENIED,
		    "an admin cannot revoke itself: let another one do it");
		return;
	}
	(void)pthread_mutex_lock(w->people);
	(void)store_peer_revoke(w->store, m->host, &j->err);
	(void)pthread_mutex_unlock(w->people);
	if (j->err.code != ERR_NONE)
		return;
	(void)err_set(&why, ERR_DENIED, "the certificate of '%.63s' is revoked", m->host);
	(void)registry_tell(w->registry, m->host, j->s->id, session_end, &why);
	/* Whoever goes under this name, a machine that is being restored included, and
	   whom this operator let read a host. */
	if (session_rescues_revoke(j, m->host) < 0)
		return;
	if (session_audit(j, "revoked '%.63s'", m->host) == 0)
		session_reply(j, &done.base, 0);
}

/* ---------------------------------------------------------------------- the store -- */

void
session_stats_run(struct session_job *j)
{
	struct store *store = j->s->world->store;
	struct store_stats st;
	struct store_alarm alarms[STORE_NOTICES_MAX];
	char *texts[STORE_NOTICES_MAX];
	uint8_t domain[STORE_HASH_LEN];
	Wire__Stats m = WIRE__STATS__INIT;
	struct store_escrow escrow;

	if (store_stats(store, &st, &j->err) != 0 ||
	    store_escrow_last(store, &escrow, &j->err) != 0)
		return;
	m.hosts = st.hosts;
	m.points = st.points;
	m.logical_bytes = st.logical_bytes;
	m.unique_bytes = st.unique_bytes;
	m.stored_bytes = st.stored_bytes;
	m.chunks = st.chunks;
	m.packs = st.packs;
	m.sessions = registry_count(j->s->world->registry, NULL);
	m.free_bytes = st.free_bytes;
	m.index_ram_bytes = st.index_ram_bytes;
	m.quarantined = st.quarantined;
	m.n_alarms = store_alarms(store, alarms);
	for (size_t i = 0; i < m.n_alarms; i++)
		texts[i] = alarms[i].text;
	m.alarms = texts;
	m.reserve_bytes = store_space_reserve(store);
	blake3(store_domain_key(store), CHUNK_KEY_LEN, NULL, domain, sizeof(domain));
	m.domain_id.data = domain;
	m.domain_id.len = sizeof(domain);
	m.escrow_us = escrow.time_us;
	m.escrow_who = escrow.who;
	session_reply(j, &m.base, 0);
}
