#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/tls/token.h"
#include "server/authority.h"
#include "server/networks.h"
#include "server/policy.h"
#include "server/registry.h"

struct enrolment {
	struct cert csr, cert;
	struct cert_facts facts;
	struct store_peer peer, older;
	struct store_token token;
	uint8_t hash[STORE_HASH_LEN];
};

static int
take_csr(struct session_job *j, const ProtobufCBinaryData *der, struct cert *csr)
{
	if (der->len == 0 || der->len > sizeof(csr->der))
		return err_set(&j->err, ERR_PROTOCOL,
		    "a certificate request of %zu bytes", der->len);
	csr->len = der->len;
	memcpy(csr->der, der->data, der->len);
	return 0;
}

static void
answer(struct session_job *j, uint8_t *der, size_t len, const char *name)
{
	const struct cert *ca = authority_ca(j->s->world->authority);
	Wire__Enrolled m = WIRE__ENROLLED__INIT;

	m.cert.data = der;
	m.cert.len = len;
	m.ca.data = (uint8_t *)(uintptr_t)ca->der;
	m.ca.len = ca->len;
	m.name = (char *)(uintptr_t)name;
	session_reply(j, &m.base, 0);
}

/* The token and where it is used from; all but counting its uses. */
static int
check_token(struct session_job *j, const Wire__Enroll *m, struct enrolment *e)
{
	if (m->secret.len != TOKEN_SECRET_LEN)
		return err_set(&j->err, ERR_PROTOCOL, "a token's secret of %zu bytes",
		    m->secret.len);
	token_hash(m->secret.data, e->hash);
	if (store_token_get(j->s->world->store, e->hash, &e->token, &j->err) != 0) {
		if (j->err.code == ERR_NOTFOUND) {
			session_wrong_token(j);
			err_clear(&j->err);
			(void)err_set(
			    &j->err, ERR_DENIED, "this token is not known here");
		}
		return -1;
	}
	if (!networks_hold(e->token.networks, j->s->address))
		return err_set(&j->err, ERR_DENIED, "this token may not be used from %s",
		    j->s->address);
	return 0;
}

static int
check_request(struct session_job *j, const Wire__Enroll *m, struct enrolment *e)
{
	if (cert_name_check(m->name, &j->err) != 0 || take_csr(j, &m->csr, &e->csr) != 0)
		return -1;
	if (m->machine.len != 0 && m->machine.len != STORE_HASH_LEN)
		return err_set(&j->err, ERR_PROTOCOL, "a machine's hash of %zu bytes",
		    m->machine.len);
	return authority_check_request(&e->csr, m->name, &j->err);
}

static int
enrol(struct session_job *j, const Wire__Enroll *m, struct enrolment *e)
{
	const struct session_world *w = j->s->world;
	uint64_t life = policy_get(w->policy).certificate_s;
	struct store_peer *p = &e->peer;
	size_t len;

	if (authority_sign(w->authority, &e->csr, m->name, CERT_AGENT, life, &e->cert,
		&e->facts, &j->err) != 0)
		return -1;
	(void)snprintf(p->name, sizeof(p->name), "%s", m->name);
	(void)snprintf(p->group, sizeof(p->group), "%s", e->token.group);
	session_text(p->program, sizeof(p->program), m->program);
	p->role = CERT_AGENT;
	memcpy(p->serial, e->facts.serial, sizeof(p->serial));
	memcpy(p->key_hash, e->facts.key_hash, sizeof(p->key_hash));
	if (m->machine.len == STORE_HASH_LEN)
		memcpy(p->machine, m->machine.data, STORE_HASH_LEN);
	p->cert_ends_us = e->facts.not_after * 1000000;

	len = e->cert.len;
	if (store_enrol(w->store, e->hash, p, e->cert.der, &len, &j->err) != 0)
		return -1;
	e->cert.len = len;
	return store_audit(w->store, m->name, "enrolled", &j->err);
}

/* A host's key that another machine shows: an operator must see it, enrolled or not. */
static void
notice_copy(struct session_job *j, const struct enrolment *e)
{
	static const uint8_t untold[STORE_HASH_LEN];
	struct store_peer known;
	struct err ignored = ERR_INIT;

	if (store_peer_by_key(
		j->s->world->store, e->peer.key_hash, "", &known, &ignored) > 0 &&
	    memcmp(known.machine, untold, sizeof(untold)) != 0 &&
	    memcmp(known.machine, e->peer.machine, sizeof(untold)) != 0)
		session_copied_key(j->s, known.name);
}

/* Whoever had the name before, by another key or machine, has it no longer. */
static void
end_older(struct session_job *j, const struct enrolment *e)
{
	const struct store_peer *was = &e->older, *is = &e->peer;
	struct err why = ERR_INIT;

	if (memcmp(was->key_hash, is->key_hash, STORE_HASH_LEN) == 0 &&
	    memcmp(was->machine, is->machine, STORE_HASH_LEN) == 0)
		return;
	(void)err_set(
	    &why, ERR_DENIED, "the name '%s' went to another machine", is->name);
	(void)registry_tell(j->s->world->registry, is->name, j->s->id, session_end, &why);
}

void
session_enroll_run(struct session_job *j)
{
	const Wire__Enroll *m = (const Wire__Enroll *)j->msg;
	const struct session_world *w = j->s->world;
	struct enrolment *e = calloc(1, sizeof(*e));
	struct err why = ERR_INIT;

	j->closing = 1;
	if (e == NULL) {
		session_refuse(j, ERR_NOMEM, "no memory to enrol");
		return;
	}
	if (check_token(j, m, e) == 0 && check_request(j, m, e) == 0) {
		int taken = store_peer_by_name(w->store, m->name, &e->older, &why) == 0;

		err_clear(&why);
		if (enrol(j, m, e) == 0) {
			answer(j, e->cert.der, e->cert.len, m->name);
			session_log(j->s, LOG_INFO, "enrolled as '%s'", m->name);
			if (taken)
				end_older(j, e);
		} else if (j->err.code == ERR_DENIED) {
			notice_copy(j, e);
		}
	}
	free(e);
}

/* Sign the checked request for e->peer and record it. */
static int
renew(struct session_job *j, struct enrolment *e, uint64_t life)
{
	const struct session_world *w = j->s->world;
	struct store_peer *p = &e->peer;

	if (authority_sign(w->authority, &e->csr, p->name, (enum cert_role)p->role, life,
		&e->cert, &e->facts, &j->err) != 0)
		return -1;
	memcpy(p->serial, e->facts.serial, sizeof(p->serial));
	memcpy(p->key_hash, e->facts.key_hash, sizeof(p->key_hash));
	p->cert_ends_us = e->facts.not_after * 1000000;
	return store_peer_renew(w->store, j->s->peer.cert.serial, p, &j->err);
}

void
session_renew_run(struct session_job *j)
{
	const Wire__Renew *m = (const Wire__Renew *)j->msg;
	const struct session_world *w = j->s->world;
	const char *name = j->s->name;
	struct enrolment *e = calloc(1, sizeof(*e));
	const struct cert_facts *now = &j->s->peer.cert;
	uint64_t life = policy_get(w->policy).certificate_s;
	struct store_peer *p;

	if (e == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory to renew a certificate");
		return;
	}
	/* Operators got a life of their own when they were made. */
	if (j->s->role != CERT_AGENT)
		life = (uint64_t)(now->not_after - now->not_before) - AUTHORITY_EARLIER_S;
	p = &e->peer;
	(void)pthread_mutex_lock(w->people);
	if (take_csr(j, &m->csr, &e->csr) == 0 &&
	    authority_check_request(&e->csr, name, &j->err) == 0 &&
	    store_peer_by_name(w->store, name, p, &j->err) == 0) {
		if (p->revoked)
			session_refuse(
			    j, ERR_DENIED, "the certificate of '%s' is revoked", name);
		else
			(void)renew(j, e, life);
	}
	(void)pthread_mutex_unlock(w->people);
	if (j->err.code == ERR_NONE &&
	    store_audit(w->store, name, "renewed its certificate", &j->err) == 0) {
		answer(j, e->cert.der, e->cert.len, name);
		session_log(j->s, LOG_INFO, "renewed its certificate");
	}
	free(e);
}
