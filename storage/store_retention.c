#include "storage/store_retention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

#define PAGE 64u

static int
check_name(const char *name, struct err *err)
{
	if (name[0] == '\0' || strlen(name) >= STORE_NAME_MAX)
		return err_set(
		    err, ERR_LIMIT, "a name has 1 to %d characters", STORE_NAME_MAX - 1);
	return 0;
}

/* ----------------------------------------------------------------- policies -- */

int
store_policy_put(struct store *s, const struct store_policy *p, struct err *err)
{
	struct journal_event *e;
	struct store_policy known;
	int found = 1, ret = -1;

	if (p->scope < STORE_POLICY_DEFAULT || p->scope > STORE_POLICY_HOST ||
	    (p->scope == STORE_POLICY_DEFAULT) != (p->name[0] == '\0'))
		return err_set(err, ERR_PROTOCOL, "a policy of nobody");
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_POLICY;
	e->u.policy = *p;
	if (!p->set)
		memset(&e->u.policy.rules, 0, sizeof(e->u.policy.rules));
	pthread_mutex_lock(&s->people);
	if (!p->set)
		found = catalog_policy(s->catalog, p->scope, p->name, &known, err);
	if (found == 0)
		(void)err_set(err, ERR_NOTFOUND, "there is no policy of %s",
		    p->scope == STORE_POLICY_DEFAULT ? "all hosts" : p->name);
	if (found > 0)
		ret = store_record(s, e, NULL, err);
	pthread_mutex_unlock(&s->people);
	free(e);
	return ret;
}

int
store_policy_of(
    struct store *s, const char *host, struct store_policy *out, struct err *err)
{
	struct store_peer peer = { 0 };
	struct err none = ERR_INIT;
	int found;

	memset(out, 0, sizeof(*out));
	/* Points may be older than what is known of their host. */
	if (catalog_peer_by_name(s->catalog, host, &peer, &none) != 0 &&
	    none.code != ERR_NOTFOUND) {
		*err = none;
		return -1;
	}
	found = catalog_policy(s->catalog, STORE_POLICY_HOST, host, out, err);
	if (found == 0 && peer.group[0] != '\0')
		found =
		    catalog_policy(s->catalog, STORE_POLICY_GROUP, peer.group, out, err);
	if (found == 0)
		found = catalog_policy(s->catalog, STORE_POLICY_DEFAULT, "", out, err);
	return found < 0 ? -1 : 0;
}

int
store_policies(struct store *s, int (*each)(void *arg, const struct store_policy *p),
    void *arg, struct err *err)
{
	struct store_policy *page = calloc(PAGE, sizeof(*page)), last = { .scope = -1 };
	uint32_t n = PAGE;
	int ret = 0;

	if (page == NULL)
		return err_set(err, ERR_NOMEM, "no memory to list policies");
	while (ret == 0 && n == PAGE) {
		ret = catalog_policies(
		    s->catalog, last.scope, last.name, page, PAGE, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++)
			ret = each(arg, &page[i]);
		if (n > 0)
			last = page[n - 1];
	}
	free(page);
	return ret;
}

/* ----------------------------------------------------------- single points -- */

int
store_kept(struct store *s, const char *host,
    int (*each)(void *arg, const struct store_kept *k), void *arg, struct err *err)
{
	struct store_kept *page = calloc(PAGE, sizeof(*page));
	uint64_t after = 0;
	uint32_t n = PAGE;
	int ret = 0;

	if (page == NULL)
		return err_set(err, ERR_NOMEM, "no memory to list points");
	while (ret == 0 && n == PAGE) {
		ret = catalog_kept(s->catalog, host, after, page, PAGE, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			after = page[i].sequence;
			ret = each(arg, &page[i]);
		}
	}
	free(page);
	return ret;
}

int
store_kept_one(struct store *s, const char *host, uint64_t sequence,
    struct store_kept *out, struct err *err)
{
	return catalog_kept_one(s->catalog, host, sequence, out, err);
}

int
store_is_locked(struct store *s, const struct store_kept *k)
{
	return k->locked_us != 0 &&
	       (store_time_paused(s, NULL) || k->locked_us > store_time_trusted(s));
}

int
store_is_restoring(struct store *s, const struct store_kept *k)
{
	return k->restoring_us > store_now(s);
}

/* May this point go at all?  Its host's lock is held. */
static int
may_go(struct store *s, const char *host, const struct store_kept *k, struct err *err)
{
	char why[STORE_TEXT_MAX];

	if (store_time_paused(s, why))
		return err_set(err, ERR_DENIED, "no point goes: %.200s", why);
	if (k->held)
		return err_set(err, ERR_DENIED, "%s/%llu is held by %s: %s", host,
		    (unsigned long long)k->sequence, k->held_by, k->held_why);
	if (store_is_locked(s, k))
		return err_set(err, ERR_DENIED,
		    "%s/%llu is locked for another %lld minutes: nobody can remove it",
		    host, (unsigned long long)k->sequence,
		    (long long)((k->locked_us - store_time_trusted(s)) / 60000000 + 1));
	if (store_is_restoring(s, k))
		return err_set(err, ERR_DENIED,
		    "a restore of %s/%llu is open: it stays until that is done or ended",
		    host, (unsigned long long)k->sequence);
	return 0;
}

/* May `type` be done to a point that is as `k` says?  Its host's lock is held. */
static int
may_mark(struct store *s, const struct journal_event *e, const struct store_kept *k,
    struct err *err)
{
	const struct journal_mark *m = &e->u.mark;
	unsigned long long n = m->sequence;

	switch (e->type) {
	case JOURNAL_HOLD:
		if (k->held)
			return err_set(err, ERR_EXISTS,
			    "%s/%llu is held by %s already: %s", m->host, n, k->held_by,
			    k->held_why);
		return 0;
	case JOURNAL_UNHOLD:
		if (!k->held)
			return err_set(
			    err, ERR_NOTFOUND, "%s/%llu is not held", m->host, n);
		return 0;
	case JOURNAL_LOCK:
		if (m->when_us <= store_time_trusted(s))
			return err_set(err, ERR_DENIED, "a lock ends in the future");
		if (m->when_us < k->locked_us)
			return err_set(err, ERR_DENIED,
			    "%s/%llu is locked for longer: a lock is never shortened",
			    m->host, n);
		return 0;
	default:
		return may_go(s, m->host, k, err);
	}
}

static int
mark(struct store *s, enum journal_type type, const char *who, const char *host,
    uint64_t sequence, int64_t when_us, const char *text, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	pthread_mutex_t *lock = store_host_lock(s, host);
	struct store_kept *k = calloc(1, sizeof(*k));
	int ret = -1;

	if (e == NULL || k == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for a journal record");
	} else if (check_name(host, err) == 0) {
		e->type = type;
		(void)snprintf(e->u.mark.host, STORE_NAME_MAX, "%s", host);
		(void)snprintf(e->u.mark.who, STORE_NAME_MAX, "%s", who);
		(void)snprintf(e->u.mark.text, STORE_TEXT_MAX, "%s", text);
		e->u.mark.sequence = sequence;
		e->u.mark.when_us = when_us;
		pthread_mutex_lock(lock);
		if (catalog_kept_one(s->catalog, host, sequence, k, err) == 0 &&
		    may_mark(s, e, k, err) == 0)
			ret = store_record(s, e, NULL, err);
		pthread_mutex_unlock(lock);
	}
	free(e);
	free(k);
	return ret;
}

int
store_hold(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *reason, struct err *err)
{
	if (reason[0] == '\0')
		return err_set(err, ERR_PROTOCOL, "a hold needs a reason");
	return mark(s, JOURNAL_HOLD, who, host, sequence, 0, reason, err);
}

int
store_release(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *reason, struct err *err)
{
	return mark(s, JOURNAL_UNHOLD, who, host, sequence, 0, reason, err);
}

int
store_lock(struct store *s, const char *who, const char *host, uint64_t sequence,
    int64_t until_us, struct err *err)
{
	return mark(s, JOURNAL_LOCK, who, host, sequence, until_us, "", err);
}

int
store_forget(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *reason, struct err *err)
{
	return mark(s, JOURNAL_FORGET, who, host, sequence, 0, reason, err);
}

int
store_prune_locked(struct store *s, const char *who, const char *host,
    const uint64_t *sequences, uint32_t n, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	struct store_kept *k = calloc(1, sizeof(*k));
	int ret = 0;

	if (e == NULL || k == NULL) {
		ret = err_set(err, ERR_NOMEM, "no memory for a journal record");
	} else if (n == 0 || n > STORE_PRUNE_MAX) {
		ret = err_set(err, ERR_LIMIT, "%u points pruned at once", n);
	} else {
		e->type = JOURNAL_STUB;
		(void)snprintf(e->u.stubs.host, STORE_NAME_MAX, "%s", host);
		(void)snprintf(e->u.stubs.who, STORE_NAME_MAX, "%s", who);
		e->u.stubs.n = n;
		memcpy(e->u.stubs.sequences, sequences, n * sizeof(*sequences));
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			ret = catalog_kept_one(s->catalog, host, sequences[i], k, err);
			if (ret == 0)
				ret = may_go(s, host, k, err);
		}
		if (ret == 0)
			ret = store_record(s, e, NULL, err);
	}
	free(e);
	free(k);
	return ret;
}

int
store_prune_points(struct store *s, const char *who, const char *host,
    const uint64_t *sequences, uint32_t n, struct err *err)
{
	pthread_mutex_t *lock = store_host_lock(s, host);
	int ret;

	if (check_name(host, err) != 0)
		return -1;
	pthread_mutex_lock(lock);
	ret = store_prune_locked(s, who, host, sequences, n, err);
	pthread_mutex_unlock(lock);
	return ret;
}

/* -------------------------------------------------------------------- hosts -- */

int
store_pruned_hosts(struct store *s, const char *after, char (*out)[STORE_NAME_MAX],
    uint32_t cap, uint32_t *n, struct err *err)
{
	return catalog_hosts(s->catalog, after, out, cap, n, err);
}

int
store_head(
    struct store *s, const char *host, uint8_t record[STORE_HASH_LEN], struct err *err)
{
	struct catalog_head head;

	if (catalog_head(s->catalog, host, &head, err) != 0)
		return -1;
	memcpy(record, head.record, STORE_HASH_LEN);
	return head.sequence != 0;
}
