#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/authority.h"
#include "server/registry.h"
#include "server/rescues.h"
#include "storage/store_restores.h"

/* Longer than a restore takes; a machine that is at it longer redeems again. */
#define RESCUE_LIFE_S (7u * 86400)

/* What every rescue's request for a certificate asks for: it learns its name later. */
#define RESCUE_NAME "rescue"

#define POLL_MS 2000u

/* A machine that asks to be let in. */
struct entry {
	struct cert csr, cert;
	struct cert_facts facts;
	struct store_redeem by;
	struct store_restore restore, before;
	int resumed;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void
session_rescue_name(const char *host, uint64_t id, char out[SESSION_RESCUE_NAME_MAX])
{
	/* No name of a certificate has these characters. */
	if (id == 0)
		(void)snprintf(out, SESSION_RESCUE_NAME_MAX, "+%s", host);
	else
		(void)snprintf(out, SESSION_RESCUE_NAME_MAX, "+%s#%llu", host,
		    (unsigned long long)id);
}

/* Remember that the machine was here. */
static void
note(struct session_job *j, uint64_t restore, const Wire__ReportRestore *m)
{
	struct rescues_progress p = { .restore = restore };

	p.seen_us = store_now(j->s->world->store);
	(void)snprintf(p.address, sizeof(p.address), "%s", j->s->address);
	if (m != NULL) {
		p.state = m->state;
		p.bytes = m->bytes;
		p.total = m->total;
		session_text(p.text, sizeof(p.text), m->text);
	}
	rescues_note(j->s->world->rescues, &p);
}

/* ------------------------------------------------------------- being let in -- */

/* The request for a certificate, proven, and whose it is. */
static int
take_request(struct session_job *j, const ProtobufCBinaryData *csr,
    const ProtobufCBinaryData *machine, struct entry *e)
{
	char name[CERT_NAME_MAX];

	if (csr->len > sizeof(e->csr.der) || machine->len != STORE_HASH_LEN)
		return err_set(&j->err, ERR_PROTOCOL, "a rescue's request is too long");
	e->csr.len = csr->len;
	memcpy(e->csr.der, csr->data, csr->len);
	memcpy(e->by.machine, machine->data, STORE_HASH_LEN);
	if (cert_request_check(&e->csr, name, e->by.key_hash, &j->err) != 0)
		return -1;
	if (strcmp(name, RESCUE_NAME) != 0)
		return err_set(&j->err, ERR_DENIED,
		    "a rescue's request asks for '%s', not for '%s'", name, RESCUE_NAME);
	return 0;
}

/* What this machine had under another key goes on with this one. */
static void
end_before(struct session_job *j, const struct entry *e)
{
	char name[SESSION_RESCUE_NAME_MAX];
	struct err why = ERR_INIT;

	if (e->before.redeems == 0 ||
	    memcmp(e->before.key_hash, e->by.key_hash, STORE_HASH_LEN) == 0)
		return;
	(void)err_set(&why, ERR_DENIED, "the machine began anew");
	session_rescue_name(e->restore.host, e->before.id, name);
	(void)registry_tell(j->s->world->registry, name, j->s->id, session_end, &why);
}

/* Sign and record; e->before is the restore.  Answers, or the job has failed. */
static void
let_in(struct session_job *j, struct entry *e)
{
	const struct session_world *w = j->s->world;
	Wire__Redeemed m = WIRE__REDEEMED__INIT;

	if (authority_sign(w->authority, &e->csr, e->before.host, CERT_RESCUE,
		RESCUE_LIFE_S, &e->cert, &e->facts, &j->err) != 0)
		return;
	memcpy(e->by.serial, e->facts.serial, sizeof(e->by.serial));
	e->by.cert_ends_us = e->facts.not_after * 1000000;
	if (store_restore_redeem(
		w->store, e->before.id, &e->by, &e->restore, &e->resumed, &j->err) != 0)
		return;
	end_before(j, e);
	rescues_forget(w->rescues, e->by.key_hash);
	note(j, e->restore.id, NULL);
	session_log(j->s, LOG_INFO, "let in to restore %s/%llu (restore %llu)%s",
	    e->restore.host, (unsigned long long)e->restore.sequence,
	    (unsigned long long)e->restore.id, e->resumed ? ", again" : "");
	m.cert.data = e->cert.der;
	m.cert.len = e->cert.len;
	m.host = e->restore.host;
	m.sequence = e->restore.sequence;
	m.resumed = e->resumed;
	m.restore = e->restore.id;
	m.only = e->restore.only;
	session_reply(j, &m.base, 0);
}

void
session_wrong_token(struct session_job *j)
{
	struct err ignored = ERR_INIT;

	if (rescues_wrong(j->s->world->rescues, now_ms()) &&
	    store_restores_alarm(j->s->world->store, j->s->address, &ignored) != 0)
		session_log(j->s, LOG_ERROR, "cannot record the alarm: %s", ignored.text);
}

void
session_redeem_run(struct session_job *j)
{
	const Wire__Redeem *m = (const Wire__Redeem *)j->msg;
	const struct session_world *w = j->s->world;
	struct entry *e = calloc(1, sizeof(*e));
	uint8_t hash[STORE_HASH_LEN];

	/* One try a connection. */
	j->closing = 1;
	if (e == NULL) {
		session_refuse(j, ERR_NOMEM, "no memory for a restore");
		return;
	}
	restore_token_hash(m->secret.data, hash);
	if (store_restore_by_token(w->store, hash, &e->before, &j->err) == 0) {
		if (take_request(j, &m->csr, &m->machine, e) == 0)
			let_in(j, e);
	} else if (j->err.code == ERR_NOTFOUND) {
		session_wrong_token(j);
		session_refuse(j, ERR_DENIED, "this restore token is not known here");
	}
	free(e);
}

/* ------------------------------------------------------------------ waiting -- */

/* Take the addresses, and see whether an operator expects one of them. */
static int
take_macs(struct session_job *j, const Wire__Announce *m, struct rescues_waiting *w)
{
	struct store_restore armed;
	int found = 0;

	w->macs_count = (unsigned)(m->macs.len / STORE_MAC_LEN);
	if (w->macs_count > RESCUES_MACS_MAX)
		w->macs_count = RESCUES_MACS_MAX;
	memcpy(w->macs, m->macs.data, w->macs_count * STORE_MAC_LEN);
	for (unsigned i = 0; i < w->macs_count && found == 0; i++)
		found =
		    store_restore_by_mac(j->s->world->store, w->macs[i], &armed, &j->err);
	w->armed = found > 0 ? armed.id : 0;
	return found < 0 ? -1 : 0;
}

static void
wait_for_operator(struct session_job *j, const Wire__Announce *m, const struct entry *e)
{
	struct rescues_waiting *w = calloc(1, sizeof(*w));
	Wire__Waiting answer = WIRE__WAITING__INIT;

	if (w == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a machine that waits");
		return;
	}
	memcpy(w->key_hash, e->by.key_hash, sizeof(w->key_hash));
	memcpy(w->machine, e->by.machine, sizeof(w->machine));
	restore_code_format(w->key_hash, w->code);
	(void)snprintf(w->address, sizeof(w->address), "%s", j->s->address);
	w->since_us = store_now(j->s->world->store);
	if (take_macs(j, m, w) == 0 &&
	    rescues_wait(j->s->world->rescues, w, now_ms(), &j->err) == 0) {
		answer.code = w->code;
		answer.poll_after_ms = POLL_MS;
		answer.armed = w->armed != 0;
		session_reply(j, &answer.base, 0);
	}
	free(w);
}

void
session_announce_run(struct session_job *j)
{
	const Wire__Announce *m = (const Wire__Announce *)j->msg;
	struct entry *e = calloc(1, sizeof(*e));
	int confirmed;

	if (e == NULL) {
		session_refuse(j, ERR_NOMEM, "no memory for a restore");
		return;
	}
	if (take_request(j, &m->csr, &m->machine, e) != 0) {
		j->closing = 1;
	} else {
		confirmed = store_restore_by_key(
		    j->s->world->store, e->by.key_hash, &e->before, &j->err);
		if (confirmed > 0)
			let_in(j, e);
		else if (confirmed == 0)
			wait_for_operator(j, m, e);
	}
	free(e);
}

/* ------------------------------------------------------------- being at work -- */

/* The open restore of the session's certificate. */
static int
restore_of(struct session_job *j, struct store_restore *out)
{
	const struct cert_facts *cert = &j->s->peer.cert;

	if (store_restore_by_serial(j->s->world->store, cert->serial, out, &j->err) !=
	    0) {
		if (j->err.code == ERR_NOTFOUND)
			j->err.code = ERR_DENIED;
		return -1;
	}
	if (out->state != STORE_RESTORE_OPEN || strcmp(out->host, cert->name) != 0) {
		session_refuse(j, ERR_DENIED, "this restore of '%s' is over", cert->name);
		return -1;
	}
	return 0;
}

int
session_rescue_check(
    struct session_job *j, const Wire__Hello *hello, struct session_rescue *out)
{
	const struct cert_facts *cert = &j->s->peer.cert;
	char name[SESSION_RESCUE_NAME_MAX];
	struct store_restore r;

	j->closing = 1;
	if (restore_of(j, &r) != 0)
		return -1;
	/* Known by its restore before the store is asked again: its end either is seen
	   by that question or finds the session. */
	session_rescue_name(cert->name, r.id, name);
	registry_name(j->s->world->registry, j->s->id, name);
	if (restore_of(j, &r) != 0)
		return -1;
	if (hello->machine.len != STORE_HASH_LEN ||
	    memcmp(hello->machine.data, r.machine, STORE_HASH_LEN) != 0) {
		session_refuse(j, ERR_DENIED,
		    "this restore of '%s' was begun by another machine", cert->name);
		return -1;
	}
	*out = (struct session_rescue){
		.restore = r.id, .sequence = r.sequence, .only = r.only
	};
	note(j, r.id, NULL);
	return 0;
}

/* It is done: no other session of this restore goes on either. */
static void
finish(struct session_job *j, const char *text)
{
	struct session *s = j->s;
	char name[SESSION_RESCUE_NAME_MAX];
	struct err why = ERR_INIT;

	if (store_restore_end(s->world->store, s->rescue.restore, STORE_RESTORE_DONE,
		s->peer.cert.serial, "", text, &j->err) != 0)
		return;
	s->rescue.over = 1;
	(void)err_set(&why, ERR_DENIED, "this restore of '%s' is done", s->name);
	session_rescue_name(s->name, s->rescue.restore, name);
	(void)registry_tell(s->world->registry, name, s->id, session_end, &why);
}

void
session_report_run(struct session_job *j)
{
	static const char *const words[] = { "", "begun", "going on", "done", "failed" };
	const Wire__ReportRestore *m = (const Wire__ReportRestore *)j->msg;
	struct session *s = j->s;
	Wire__Done done = WIRE__DONE__INIT;
	char text[STORE_TEXT_MAX];

	session_text(text, sizeof(text), m->text);
	if (s->rescue.over) {
		(void)err_set(&j->err, ERR_DENIED, "this restore is done");
		return;
	}
	if (m->state == 1 && m->sequence != 0) {
		if (store_restore_point(s->world->store, s->rescue.restore,
			s->peer.cert.serial, m->sequence, &j->err) != 0)
			return;
		s->rescue.sequence = m->sequence;
	} else if (m->state == 3) {
		finish(j, text);
	}
	if (j->err.code != ERR_NONE)
		return;
	if (m->state != 2)
		session_log(s, LOG_INFO, "restore %llu is %s%s%s",
		    (unsigned long long)s->rescue.restore, words[m->state],
		    text[0] != '\0' ? ": " : "", text);
	note(j, s->rescue.restore, m);
	session_reply(j, &done.base, 0);
}
