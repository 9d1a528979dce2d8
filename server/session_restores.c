#include "server/session_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "proto/wire/frame.h"
#include "server/registry.h"
#include "server/rescues.h"
#include "storage/store_restores.h"

#define TICKET_LIFE_S 86400u
#define TICKET_LIFE_MAX_S (30u * 86400)
#define BATCH 64u
#define EXPIRED 4u /* On the wire; in the store it is a new one that is late. */

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ----------------------------------------------------------------- allowing -- */

static int
ticket_terms(
    struct session_job *j, const Wire__NewRestoreToken *m, struct store_restore *r)
{
	uint64_t ttl = m->ttl_s == 0 ? TICKET_LIFE_S : m->ttl_s;

	if (cert_name_check(m->host, &j->err) != 0)
		return err_context(&j->err, "host");
	if (ttl > TICKET_LIFE_MAX_S)
		return err_set(&j->err, ERR_LIMIT,
		    "a restore may be allowed for %u days at most",
		    TICKET_LIFE_MAX_S / 86400);
	(void)snprintf(r->host, sizeof(r->host), "%s", m->host);
	(void)snprintf(r->who, sizeof(r->who), "%s", j->s->name);
	r->only = m->only || m->sequence != 0;
	r->sequence = m->sequence;
	r->ends_us = store_now(j->s->world->store) + (int64_t)ttl * 1000000;
	r->by_mac = m->mac.len == STORE_MAC_LEN;
	if (r->by_mac)
		memcpy(r->mac, m->mac.data, STORE_MAC_LEN);
	return 0;
}

void
session_ticket_run(struct session_job *j)
{
	const Wire__NewRestoreToken *m = (const Wire__NewRestoreToken *)j->msg;
	Wire__TokenText answer = WIRE__TOKEN_TEXT__INIT;
	struct store_restore r = { 0 };
	uint8_t secret[RESTORE_SECRET_LEN];
	char text[RESTORE_TOKEN_TEXT_MAX] = "";

	if (ticket_terms(j, m, &r) != 0)
		return;
	if (getrandom(secret, sizeof(secret), 0) != (ssize_t)sizeof(secret)) {
		(void)err_os(&j->err, errno, "no random bytes for a token");
		return;
	}
	if (!r.by_mac) {
		restore_token_hash(secret, r.token);
		restore_token_format(secret, text);
	}
	if (store_restore_allow(j->s->world->store, &r, &j->err) == 0) {
		session_log(j->s, LOG_INFO, "allowed a restore of '%s' (restore %llu)%s",
		    r.host, (unsigned long long)r.id, r.by_mac ? ", by MAC" : "");
		answer.text = text;
		session_reply(j, &answer.base, 0);
	}
	explicit_bzero(secret, sizeof(secret));
	explicit_bzero(text, sizeof(text));
}

/* --------------------------------------------------------------- confirming -- */

/* The one armed restore that these addresses are for. */
static int
armed_for(
    struct session_job *j, const struct rescues_waiting *w, struct store_restore *out)
{
	struct store_restore r;
	int found, any = 0;

	for (unsigned i = 0; i < w->macs_count; i++) {
		found = store_restore_by_mac(j->s->world->store, w->macs[i], &r, &j->err);
		if (found < 0)
			return -1;
		if (found > 0 && any && r.id != out->id)
			return err_set(&j->err, ERR_DENIED,
			    "this machine has MACs that are armed for '%s' and for '%s': "
			    "end one",
			    out->host, r.host);
		if (found > 0) {
			*out = r;
			any = 1;
		}
	}
	if (!any)
		return err_set(&j->err, ERR_DENIED,
		    "no MAC of this machine is armed: `holdfast rescue arm HOST --mac "
		    "MAC` first");
	return 0;
}

static void
confirm(struct session_job *j, const struct rescues_waiting *w)
{
	const struct session_world *world = j->s->world;
	Wire__Done done = WIRE__DONE__INIT;
	char name[SESSION_RESCUE_NAME_MAX];
	struct store_restore before, r;
	struct err why = ERR_INIT;

	if (armed_for(j, w, &before) != 0 ||
	    store_restore_confirm(world->store, before.id, j->s->name, w->machine,
		w->key_hash, &r, &j->err) != 0)
		return;
	/* Another key counts from now on: what lives by the one before is over. */
	if (memcmp(before.key_hash, w->key_hash, sizeof(before.key_hash)) != 0) {
		(void)err_set(&why, ERR_DENIED, "the machine began anew");
		session_rescue_name(r.host, r.id, name);
		(void)registry_tell(world->registry, name, j->s->id, session_end, &why);
	}
	session_log(j->s, LOG_INFO, "confirmed %s at %s for the restore of '%s'", w->code,
	    w->address, r.host);
	session_reply(j, &done.base, 0);
}

void
session_confirm_run(struct session_job *j)
{
	const Wire__ConfirmRescue *m = (const Wire__ConfirmRescue *)j->msg;
	struct rescues_waiting *all = calloc(RESCUES_WAITING_MAX, sizeof(*all));
	const struct rescues_waiting *found = NULL;
	char code[RESTORE_CODE_TEXT_MAX];
	size_t n, alike = 0;

	if (all == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for those who wait");
		return;
	}
	if (restore_code_parse(m->code, code, &j->err) == 0) {
		n = rescues_waiting(j->s->world->rescues, now_ms(), all);
		for (size_t i = 0; i < n; i++) {
			if (strcmp(all[i].code, code) == 0) {
				found = &all[i];
				alike++;
			}
		}
		if (alike == 1)
			confirm(j, found);
		else if (alike == 0)
			(void)err_set(&j->err, ERR_NOTFOUND,
			    "no machine that waits shows the code %s", code);
		else
			(void)err_set(&j->err, ERR_DENIED,
			    "%zu machines show the code %s: start yours again for a new "
			    "one",
			    alike, code);
	}
	free(all);
}

/* ------------------------------------------------------------------- ending -- */

struct ending {
	struct session_job *j;
	const char *host, *who, *text; /* Of that host, or allowed by `who`; or NULL. */
	int ended;
};

/* Sessions of this restore end. */
static void
tell_over(struct session_job *j, const char *host, uint64_t id)
{
	char name[SESSION_RESCUE_NAME_MAX];
	struct err why = ERR_INIT;

	(void)err_set(&why, ERR_DENIED, "this restore of '%.63s' was ended", host);
	session_rescue_name(host, id, name);
	(void)registry_tell(j->s->world->registry, name, j->s->id, session_end, &why);
}

static int
end_one(void *arg, const struct store_restore *r)
{
	struct ending *e = arg;
	struct session_job *j = e->j;

	if ((strcmp(r->host, e->host) != 0 &&
		(e->who == NULL || strcmp(r->who, e->who) != 0)) ||
	    !store_restore_is_open(j->s->world->store, r))
		return 0;
	if (store_restore_end(j->s->world->store, r->id, STORE_RESTORE_ENDED, NULL,
		j->s->name, e->text, &j->err) != 0) {
		/* Done meanwhile is as good. */
		if (j->err.code != ERR_DENIED)
			return -1;
		err_clear(&j->err);
		return 0;
	}
	e->ended++;
	tell_over(j, r->host, r->id);
	return 0;
}

static int
rescues_end(struct session_job *j, const char *host, uint64_t id)
{
	struct store *store = j->s->world->store;
	struct ending e = { .j = j, .host = host, .text = "" };
	struct store_restore r;

	if (id == 0) {
		if (store_restores(store, 0, end_one, &e, &j->err) < 0)
			return -1;
	} else {
		if (store_restore_by_id(store, id, &r, &j->err) != 0)
			return -1;
		if (host[0] != '\0' && strcmp(r.host, host) != 0)
			return err_set(&j->err, ERR_NOTFOUND,
			    "restore %llu is of '%s', not of '%.63s'",
			    (unsigned long long)id, r.host, host);
		if (store_restore_end(store, id, STORE_RESTORE_ENDED, NULL, j->s->name,
			"", &j->err) != 0)
			return -1;
		tell_over(j, r.host, id);
		e.ended = 1;
	}
	return e.ended;
}

int
session_rescues_revoke(struct session_job *j, const char *name)
{
	struct ending e = { .j = j, .host = name, .who = name };

	e.text = "the host, or who allowed it, was revoked";
	return store_restores(j->s->world->store, 0, end_one, &e, &j->err);
}

void
session_unrestore_run(struct session_job *j)
{
	const Wire__EndRestore *m = (const Wire__EndRestore *)j->msg;
	Wire__Done done = WIRE__DONE__INIT;
	int n = rescues_end(j, m->host, m->restore);

	if (n < 0)
		return;
	if (n == 0) {
		(void)err_set(
		    &j->err, ERR_NOTFOUND, "no restore of '%.63s' is open", m->host);
		return;
	}
	session_log(j->s, LOG_INFO, "ended %d restore%s of '%.63s'", n, n == 1 ? "" : "s",
	    m->host);
	session_reply(j, &done.base, 0);
}

/* ------------------------------------------------------------------ listing -- */

struct restores {
	struct session_job *j;
	int all, full;
	uint64_t after;
	size_t count;
	struct store_restore rows[BATCH];
	struct rescues_progress progress[BATCH];
	Wire__Restore items[BATCH], *pointers[BATCH];
	struct rescues_waiting waiting[RESCUES_WAITING_MAX];
	struct store_restore armed[RESCUES_WAITING_MAX];
	Wire__WaitingRescue waits[RESCUES_WAITING_MAX];
	Wire__WaitingRescue *wait_pointers[RESCUES_WAITING_MAX];
};

static void
fill_restore(struct restores *l, size_t i)
{
	static const uint8_t none[STORE_HASH_LEN];
	const struct session_world *w = l->j->s->world;
	struct store_restore *r = &l->rows[i];
	struct rescues_progress *p = &l->progress[i];
	char name[SESSION_RESCUE_NAME_MAX];
	Wire__Restore *o = &l->items[i];

	wire__restore__init(o);
	o->restore = r->id;
	o->host = r->host;
	o->who = r->who;
	o->mac.data = r->mac;
	o->mac.len = r->by_mac ? sizeof(r->mac) : 0;
	o->only = r->only;
	o->sequence = r->sequence;
	o->state = (uint32_t)r->state;
	if (r->state == STORE_RESTORE_NEW && !store_restore_is_open(w->store, r))
		o->state = EXPIRED;
	o->made_us = r->made_us;
	o->ends_us = r->ends_us;
	o->begun_us = r->begun_us;
	o->ended_us = r->ended_us;
	o->text = r->text;
	if (memcmp(r->machine, none, sizeof(none)) != 0) {
		o->machine.data = r->machine;
		o->machine.len = sizeof(r->machine);
	}
	session_rescue_name(r->host, r->id, name);
	o->online =
	    r->state == STORE_RESTORE_OPEN && registry_count(w->registry, name) > 0;
	if (rescues_noted(w->rescues, r->id, p)) {
		o->reported = p->state;
		o->bytes = p->bytes;
		o->total = p->total;
		o->report = p->text;
		o->seen_us = p->seen_us;
		o->address = p->address;
	}
	l->pointers[i] = o;
}

static void
fill_waiting(struct restores *l, Wire__Restores *m)
{
	const struct session_world *w = l->j->s->world;
	size_t n = rescues_waiting(w->rescues, now_ms(), l->waiting);

	for (size_t i = 0; i < n; i++) {
		struct rescues_waiting *k = &l->waiting[i];
		Wire__WaitingRescue *o = &l->waits[i];

		wire__waiting_rescue__init(o);
		o->code = k->code;
		o->macs.data = &k->macs[0][0];
		o->macs.len = (size_t)k->macs_count * STORE_MAC_LEN;
		o->address = k->address;
		o->machine.data = k->machine;
		o->machine.len = sizeof(k->machine);
		o->since_us = k->since_us;
		for (unsigned a = 0; a < k->macs_count && o->host[0] == '\0'; a++) {
			int found = store_restore_by_mac(
			    w->store, k->macs[a], &l->armed[i], &l->j->err);

			if (found < 0)
				return;
			if (found > 0)
				o->host = l->armed[i].host;
		}
		l->wait_pointers[i] = o;
	}
	m->n_waiting = n;
	m->waiting = l->wait_pointers;
}

static void
flush(struct restores *l, uint16_t flags)
{
	Wire__Restores m = WIRE__RESTORES__INIT;

	for (size_t i = 0; i < l->count; i++)
		fill_restore(l, i);
	m.n_restores = l->count;
	m.restores = l->pointers;
	if ((flags & FRAME_MORE) == 0)
		fill_waiting(l, &m);
	session_reply(l->j, &m.base, flags);
	l->count = 0;
}

static int
collect(void *arg, const struct store_restore *r)
{
	struct restores *l = arg;

	if (l->count == BATCH)
		flush(l, FRAME_MORE);
	l->full = l->j->out_bytes >= SESSION_ROUND;
	if (l->full || l->j->err.code != ERR_NONE)
		return 1;
	l->after = r->id;
	if (l->all || store_restore_is_open(l->j->s->world->store, r))
		l->rows[l->count++] = *r;
	return 0;
}

void
session_restores_run(struct session_job *j)
{
	const Wire__ListRestores *m = (const Wire__ListRestores *)j->msg;
	struct restores *l = j->state;

	if (l == NULL && (l = calloc(1, sizeof(*l))) == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a list");
		return;
	}
	j->state = l;
	j->state_free = free;
	l->j = j;
	l->all = m->all;
	l->full = 0;
	if (store_restores(j->s->world->store, l->after, collect, l, &j->err) < 0)
		return;
	j->more = l->full;
	if (!l->full)
		flush(l, 0);
}
