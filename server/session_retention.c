#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/wire/frame.h"
#include "proto/wire/msg_check.h"
#include "storage/retention.h"

#define FATES_BATCH 256u
#define POLICIES_BATCH 256u
#define HOSTS_BATCH 64u
#define RULE_MAX 100000u
#define SPAN_MAX ((uint64_t)200 * 365 * 86400)

/* Is there a host of this name to do something to? */
static int
known_host(struct session_job *j, const char *host)
{
	struct store_peer peer;

	if (store_peer_by_name(j->s->world->store, host, &peer, &j->err) != 0)
		return -1;
	if (peer.role != CERT_AGENT)
		return err_set(
		    &j->err, ERR_DENIED, "'%.63s' is an operator, not a host", host);
	return 0;
}

/* The point that a request names: never "the newest", which may be another by now. */
static int
named_point(struct session_job *j, const char *host, uint64_t sequence)
{
	if (sequence == 0 || host[0] == '\0')
		return err_set(&j->err, ERR_PROTOCOL, "which point of which host?");
	return known_host(j, host);
}

static void
done(struct session_job *j, const char *what, const char *host, uint64_t sequence)
{
	Wire__Done m = WIRE__DONE__INIT;

	/* The store's own record is the audit's entry. */
	session_log(
	    j->s, LOG_INFO, "%s %s/%llu", what, host, (unsigned long long)sequence);
	session_reply(j, &m.base, 0);
}

/* ----------------------------------------------------------------- policies -- */

static int
rules_of(struct session_job *j, const Wire__Rules *m, struct store_rules *out)
{
	const uint32_t counts[] = { m->last, m->hourly, m->daily, m->weekly, m->monthly,
		m->yearly, m->min_points, m->min_verified };

	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		if (counts[i] > RULE_MAX)
			return err_set(&j->err, ERR_LIMIT,
			    "a policy keeps at most %u of a kind", RULE_MAX);
	if (m->within_s > SPAN_MAX || m->verified_s > SPAN_MAX)
		return err_set(&j->err, ERR_LIMIT, "a policy looks back 200 years");
	*out = (struct store_rules){ m->last, m->hourly, m->daily, m->weekly, m->monthly,
		m->yearly, m->within_s, m->min_points, m->min_verified, m->verified_s };
	return 0;
}

struct groups {
	const char *wanted;
	char text[200]; /* "db, web": some that there are. */
};

static int
take_group(void *arg, const char *group)
{
	struct groups *g = arg;
	size_t n = strlen(g->text);

	if (n + strlen(group) + 3 < sizeof(g->text))
		(void)snprintf(
		    g->text + n, sizeof(g->text) - n, "%s%s", n > 0 ? ", " : "", group);
	return strcmp(group, g->wanted) == 0;
}

/* A policy of a group that nobody is in keeps nothing of anybody: a slip of the pen. */
static int
known_group(struct session_job *j, const char *group)
{
	struct groups g = { .wanted = group };
	int found = store_groups(j->s->world->store, take_group, &g, &j->err);

	if (found != 0)
		return found > 0 ? 0 : -1;
	return err_set(&j->err, ERR_NOTFOUND,
	    "no host is in group '%.63s' and no token that is open names it "
	    "(%s%s); --new sets its policy all the same",
	    group, g.text[0] != '\0' ? "there are: " : "there are no groups", g.text);
}

void
session_policy_run(struct session_job *j)
{
	const Wire__SetPolicy *m = (const Wire__SetPolicy *)j->msg;
	struct store_policy p = { .scope = (int)m->policy->scope, .set = !m->remove };
	Wire__Done answer = WIRE__DONE__INIT;
	char text[STORE_TEXT_MAX];

	if (p.scope != STORE_POLICY_DEFAULT &&
	    cert_name_check(m->policy->name, &j->err) != 0)
		return;
	if (rules_of(j, m->policy->rules, &p.rules) != 0 ||
	    (p.set && p.scope == STORE_POLICY_HOST &&
		known_host(j, m->policy->name) != 0) ||
	    (p.set && p.scope == STORE_POLICY_GROUP && !m->new_group &&
		known_group(j, m->policy->name) != 0))
		return;
	session_text(p.name, sizeof(p.name), m->policy->name);
	session_text(p.who, sizeof(p.who), j->s->name);
	if (store_policy_put(j->s->world->store, &p, &j->err) != 0)
		return;
	retention_say_rules(&p.rules, text, sizeof(text));
	session_log(
	    j->s, LOG_INFO, "policy of '%s': %s", p.name, p.set ? text : "removed");
	session_reply(j, &answer.base, 0);
}

struct policies {
	struct session_job *j;
	struct store_policy p[POLICIES_BATCH];
	size_t count;
};

static void
flush_policies(struct policies *l, uint16_t flags)
{
	Wire__Policies m = WIRE__POLICIES__INIT;
	Wire__Policy items[POLICIES_BATCH], *pointers[POLICIES_BATCH];
	Wire__Rules rules[POLICIES_BATCH];
	char zone[32];

	for (size_t i = 0; i < l->count; i++) {
		const struct store_rules *r = &l->p[i].rules;

		wire__policy__init(&items[i]);
		wire__rules__init(&rules[i]);
		rules[i].last = r->last;
		rules[i].hourly = r->hourly;
		rules[i].daily = r->daily;
		rules[i].weekly = r->weekly;
		rules[i].monthly = r->monthly;
		rules[i].yearly = r->yearly;
		rules[i].within_s = r->within_s;
		rules[i].min_points = r->min_points;
		rules[i].min_verified = r->min_verified;
		rules[i].verified_s = r->verified_s;
		items[i].scope = (uint32_t)l->p[i].scope;
		items[i].name = l->p[i].name;
		items[i].who = l->p[i].who;
		items[i].since_us = l->p[i].since_us;
		items[i].rules = &rules[i];
		pointers[i] = &items[i];
	}
	retention_local_name(store_now(l->j->s->world->store), zone);
	m.policies = pointers;
	m.n_policies = l->count;
	m.zone = zone;
	session_reply(l->j, &m.base, flags);
	l->count = 0;
}

static int
collect_policy(void *arg, const struct store_policy *p)
{
	struct policies *l = arg;

	if (l->count == POLICIES_BATCH)
		flush_policies(l, FRAME_MORE);
	l->p[l->count++] = *p;
	return l->j->err.code != ERR_NONE;
}

void
session_policies_run(struct session_job *j)
{
	const Wire__ListPolicies *m = (const Wire__ListPolicies *)j->msg;
	struct store *store = j->s->world->store;
	struct policies *l = calloc(1, sizeof(*l));
	int ret;

	if (l == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a list");
		return;
	}
	l->j = j;
	if (m->host[0] == '\0') {
		ret = store_policies(store, collect_policy, l, &j->err);
	} else {
		ret = known_host(j, m->host);
		if (ret == 0)
			ret = store_policy_of(store, m->host, &l->p[0], &j->err);
		l->count = ret == 0 && l->p[0].set;
	}
	if (ret == 0)
		flush_policies(l, 0);
	free(l);
}

/* ------------------------------------------------------------- single points -- */

void
session_hold_run(struct session_job *j)
{
	const Wire__Hold *m = (const Wire__Hold *)j->msg;
	struct store *store = j->s->world->store;
	char reason[STORE_TEXT_MAX];

	session_text(reason, sizeof(reason), m->reason);
	if (named_point(j, m->host, m->sequence) != 0)
		return;
	if ((m->release ? store_release : store_hold)(
		store, j->s->name, m->host, m->sequence, reason, &j->err) == 0)
		done(j, m->release ? "released" : "holds", m->host, m->sequence);
}

void
session_lock_run(struct session_job *j)
{
	const Wire__Lock *m = (const Wire__Lock *)j->msg;

	if (named_point(j, m->host, m->sequence) == 0 &&
	    store_lock(j->s->world->store, j->s->name, m->host, m->sequence, m->until_us,
		&j->err) == 0)
		done(j, "locked", m->host, m->sequence);
}

void
session_forget_run(struct session_job *j)
{
	const Wire__Forget *m = (const Wire__Forget *)j->msg;
	char reason[STORE_TEXT_MAX];

	session_text(reason, sizeof(reason), m->reason);
	if (named_point(j, m->host, m->sequence) == 0 &&
	    store_forget(j->s->world->store, j->s->name, m->host, m->sequence, reason,
		&j->err) == 0)
		done(j, "forgot", m->host, m->sequence);
}

void
session_brake_run(struct session_job *j)
{
	const Wire__ClearBrake *m = (const Wire__ClearBrake *)j->msg;
	Wire__Done answer = WIRE__DONE__INIT;

	if (known_host(j, m->host) != 0 ||
	    store_brake_clear(j->s->world->store, j->s->name, m->host, &j->err) != 0)
		return;
	session_log(j->s, LOG_INFO, "cleared the brake of '%s'", m->host);
	session_reply(j, &answer.base, 0);
}

void
session_brake_look(struct session *s, const char *host)
{
	struct store_brake b;
	struct err why = ERR_INIT;
	int set = store_brake_check(s->world->store, host, &b, &why);

	if (set > 0)
		session_log(s, LOG_WARN, "alarm: '%s' is not pruned: %s", host, b.text);
	else if (set < 0)
		session_log(
		    s, LOG_ERROR, "cannot look at the brake of '%s': %s", host, why.text);
}

/* ------------------------------------------------------------------ pruning -- */

/* Hosts one after another, as many as a round holds. */
struct sweep {
	struct session_job *j;
	char names[HOSTS_BATCH][STORE_NAME_MAX];
	uint32_t n, next;
	char after[STORE_NAME_MAX];
	uint64_t failed;  /* Hosts that could not be pruned, */
	struct err first; /* and why the first of them. */
};

static const char *
policy_text(const struct store_policy *p, char *out, size_t cap)
{
	static const char *const scopes[] = { "default", "group ", "host " };
	char rules[STORE_TEXT_MAX];

	if (!p->set) {
		(void)snprintf(out, cap, "none: everything stays");
		return out;
	}
	retention_say_rules(&p->rules, rules, sizeof(rules));
	(void)snprintf(out, cap, "%s%s: %s", scopes[p->scope], p->name, rules);
	return out;
}

static int
tell_pruned(void *arg, const struct store_pruned *p)
{
	struct sweep *w = arg;
	Wire__Fate items[FATES_BATCH], *pointers[FATES_BATCH];
	char policy[2 * STORE_TEXT_MAX];
	Wire__Pruned m = WIRE__PRUNED__INIT;

	m.host = (char *)(uintptr_t)p->host;
	m.stopped = (char *)(uintptr_t)p->stopped;
	m.policy = (char *)(uintptr_t)policy_text(&p->policy, policy, sizeof(policy));
	m.stay = p->stay;
	m.go = p->go;
	m.gone = p->gone;
	m.fates = pointers;
	for (uint32_t i = 0; i < p->n && w->j->err.code == ERR_NONE;) {
		for (m.n_fates = 0; i < p->n && m.n_fates < FATES_BATCH; i++) {
			Wire__Fate *f = &items[m.n_fates];

			wire__fate__init(f);
			f->sequence = p->fates[i].kept.sequence;
			f->time_us = p->fates[i].kept.time_us;
			f->stays = p->fates[i].stays;
			f->why = (char *)(uintptr_t)p->fates[i].why;
			pointers[m.n_fates++] = f;
		}
		session_reply(w->j, &m.base, FRAME_MORE);
	}
	if (p->gone > 0)
		session_log(
		    w->j->s, LOG_INFO, "pruned %u points of '%s'", p->gone, p->host);
	return w->j->err.code != ERR_NONE || atomic_load(&w->j->s->gone);
}

static struct sweep *
sweep_of(struct session_job *j, const char *host)
{
	struct sweep *w = j->state;

	if (w == NULL && (w = calloc(1, sizeof(*w))) == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory to prune");
	} else if (j->state == NULL) {
		if (host[0] != '\0')
			w->n = 1;
		session_text(w->names[0], STORE_NAME_MAX, host);
		j->state = w;
		j->state_free = free;
	}
	return w;
}

/* The next host, or NULL. */
static const char *
next_host(struct sweep *w, const Wire__Prune *m)
{
	if (w->next == w->n && m->host[0] == '\0') {
		w->next = 0;
		if (store_pruned_hosts(w->j->s->world->store, w->after, w->names,
			HOSTS_BATCH, &w->n, &w->j->err) != 0)
			return NULL;
	}
	if (w->next == w->n)
		return NULL;
	memcpy(w->after, w->names[w->next], sizeof(w->after));
	return w->names[w->next++];
}

/* What fails at one host is told: those behind it come to their turn. */
static void
tell_failed(struct sweep *w, const char *host)
{
	struct session_job *j = w->j;
	Wire__Pruned m = WIRE__PRUNED__INIT;
	struct err why = j->err;

	if (w->failed++ == 0)
		w->first = why;
	err_clear(&j->err);
	session_log(j->s, LOG_ERROR, "cannot prune '%s': %s", host, why.text);
	/* What people wrote is in it, and it was cut somewhere: the wire takes UTF-8. */
	msg_check_clean(why.text);
	m.host = (char *)(uintptr_t)host;
	m.failed = why.text;
	session_reply(j, &m.base, FRAME_MORE);
}

/* All hosts had their turn.  Who asked must not take a part of it for all. */
static void
end_sweep(struct sweep *w)
{
	Wire__Pruned end = WIRE__PRUNED__INIT;

	session_reply(w->j, &end.base, w->failed == 0 ? 0 : FRAME_MORE);
	if (w->failed == 0)
		return;
	if (w->failed == 1)
		w->j->err = w->first;
	else
		(void)err_set(&w->j->err, w->first.code,
		    "%llu hosts could not be pruned; the first: %.300s",
		    (unsigned long long)w->failed, w->first.text);
}

void
session_prune_run(struct session_job *j)
{
	const Wire__Prune *m = (const Wire__Prune *)j->msg;
	const char *host = NULL;
	struct sweep *w;

	if (!m->dry && j->s->role != CERT_ADMIN) {
		(void)err_set(&j->err, ERR_DENIED, "role %s may not prune, only look",
		    cert_role_name(j->s->role));
		return;
	}
	if ((m->host[0] != '\0' && known_host(j, m->host) != 0) ||
	    (w = sweep_of(j, m->host)) == NULL)
		return;
	w->j = j;
	while (j->out_bytes < SESSION_ROUND && (host = next_host(w, m)) != NULL)
		if (store_prune(j->s->world->store, j->s->name, host, m->dry, tell_pruned,
			w, &j->err) != 0) {
			if (j->err.code == ERR_NONE || atomic_load(&j->s->gone))
				return;
			tell_failed(w, host);
		}
	j->more = host != NULL;
	if (host == NULL && j->err.code == ERR_NONE)
		end_sweep(w);
}
