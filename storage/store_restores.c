#include "storage/store_restores.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_retention.h"
#include "storage/store_space.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

#define PAGE 32u
/* Points of a host looked at for its disks, from the newest. */
#define LATEST_MAX 256u

/* ------------------------------------------------------------------ looking -- */

static int
must(int found, const char *what, struct err *err)
{
	return found > 0 ? 0 : found == 0 ? err_set(err, ERR_NOTFOUND, "%s", what) : -1;
}

int
store_restore_by_token(struct store *s, const uint8_t token[STORE_HASH_LEN],
    struct store_restore *out, struct err *err)
{
	return must(catalog_restore_by_token(s->catalog, token, out, err),
	    "this restore token is not known here", err);
}

int
store_restore_by_serial(struct store *s, const uint8_t serial[STORE_SERIAL_LEN],
    struct store_restore *out, struct err *err)
{
	return must(catalog_restore_by_serial(s->catalog, serial, out, err),
	    "the certificate is of no restore that is known here, or a newer one "
	    "replaced it",
	    err);
}

int
store_restore_by_id(
    struct store *s, uint64_t id, struct store_restore *out, struct err *err)
{
	int found = catalog_restore_by_id(s->catalog, id, out, err);

	if (found == 0)
		return err_set(err, ERR_NOTFOUND, "there is no restore %llu",
		    (unsigned long long)id);
	return found > 0 ? 0 : -1;
}

int
store_restore_by_key(struct store *s, const uint8_t key_hash[STORE_HASH_LEN],
    struct store_restore *out, struct err *err)
{
	return catalog_restore_by_key(s->catalog, key_hash, out, err);
}

int
store_restore_by_mac(struct store *s, const uint8_t mac[STORE_MAC_LEN],
    struct store_restore *out, struct err *err)
{
	return catalog_restore_by_mac(s->catalog, mac, store_now(s), out, err);
}

int
store_restores(struct store *s, uint64_t after,
    int (*each)(void *arg, const struct store_restore *r), void *arg, struct err *err)
{
	struct store_restore *page = calloc(PAGE, sizeof(*page));
	uint32_t n = PAGE;
	int ret = 0;

	if (page == NULL)
		return err_set(err, ERR_NOMEM, "no memory to list restores");
	while (ret == 0 && n == PAGE) {
		ret = catalog_restores(s->catalog, after, page, PAGE, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			after = page[i].id;
			ret = each(arg, &page[i]);
		}
	}
	free(page);
	return ret;
}

int
store_restore_is_open(struct store *s, const struct store_restore *r)
{
	return r->state == STORE_RESTORE_OPEN ||
	       (r->state == STORE_RESTORE_NEW && r->ends_us > store_now(s));
}

/* ----------------------------------------------------------------- allowing -- */

/* A Revoke ends what its operator allowed before: nothing comes after.  people is held.
 */
static int
still_may(struct store *s, const char *who, struct err *err)
{
	struct err why = ERR_INIT;
	struct store_peer p;

	if (catalog_peer_by_name(s->catalog, who, &p, &why) == 0)
		return !p.revoked ? 0 : err_set(err, ERR_DENIED, "'%s' was revoked", who);
	if (why.code == ERR_NOTFOUND)
		return 0;
	*err = why;
	return -1;
}

/* May another one be allowed?  people and the host's lock are held. */
static int
may_allow(struct store *s, const struct store_restore *r, struct err *err)
{
	struct store_restore other;
	struct catalog_head head;
	struct store_kept kept;
	uint64_t all, of_host;
	int found;

	if (still_may(s, r->who, err) != 0 ||
	    catalog_head(s->catalog, r->host, &head, err) != 0)
		return -1;
	if (head.sequence == 0)
		return err_set(err, ERR_NOTFOUND, "'%s' has no point", r->host);
	if (r->sequence != 0 &&
	    catalog_kept_one(s->catalog, r->host, r->sequence, &kept, err) != 0)
		return -1;
	if (r->ends_us <= store_now(s))
		return err_set(err, ERR_DENIED, "a restore may begin in the future only");
	if (catalog_restores_count(
		s->catalog, r->host, store_now(s), &all, &of_host, err) != 0)
		return -1;
	if (all >= STORE_RESTORES_MAX || of_host >= STORE_RESTORES_HOST_MAX)
		return err_set(err, ERR_LIMIT,
		    "%llu restores of '%s' are open, %llu in all: end some of them first",
		    (unsigned long long)of_host, r->host, (unsigned long long)all);
	if (!r->by_mac)
		return 0;
	found = catalog_restore_by_mac(s->catalog, r->mac, store_now(s), &other, err);
	if (found > 0)
		return err_set(err, ERR_EXISTS,
		    "this MAC is armed for a restore of '%s' already: end that first",
		    other.host);
	return found;
}

int
store_restore_allow(struct store *s, struct store_restore *r, struct err *err)
{
	pthread_mutex_t *lock = store_host_lock(s, r->host);
	struct journal_event *e = store_event_new(JOURNAL_RESTORE, err);
	struct journal_place place;
	int ret;

	if (e == NULL)
		return -1;
	e->u.restore = *r;
	pthread_mutex_lock(&s->people);
	pthread_mutex_lock(lock);
	ret = may_allow(s, r, err);
	if (ret == 0)
		ret = store_record(s, e, &place, err);
	pthread_mutex_unlock(lock);
	pthread_mutex_unlock(&s->people);
	if (ret == 0) {
		r->id = place.sequence;
		r->made_us = place.time_us;
	}
	free(e);
	return ret;
}

/* ---------------------------------------------------------------- redeeming -- */

/* May this machine go on with it?  people is held. */
static int
may_begin(struct store *s, const struct store_restore *r,
    const uint8_t machine[STORE_HASH_LEN], struct err *err)
{
	switch (r->state) {
	case STORE_RESTORE_DONE:
		return err_set(err, ERR_DENIED,
		    "this restore of '%s' is done: another needs a new permission",
		    r->host);
	case STORE_RESTORE_ENDED:
		return err_set(
		    err, ERR_DENIED, "this restore of '%s' was ended", r->host);
	case STORE_RESTORE_OPEN:
		if (memcmp(r->machine, machine, STORE_HASH_LEN) != 0)
			return err_set(err, ERR_DENIED,
			    "this restore of '%s' was begun by another machine: it is "
			    "for one machine only",
			    r->host);
		return 0;
	default:
		if (r->ends_us <= store_now(s))
			return err_set(err, ERR_DENIED,
			    "the time to begin this restore of '%s' has passed", r->host);
		return 0;
	}
}

/* Which point "latest" is. */
struct latest {
	uint64_t newest, with_disks;
	unsigned left; /* Points that may still be looked at. */
};

static int
look(void *arg, const struct store_point *p)
{
	struct latest *l = arg;
	struct feature_field f;
	size_t at = 0;

	if (l->newest == 0)
		l->newest = p->sequence;
	while (feature_next(p->facts, p->facts_len, &at, &f) == 1)
		if (f.type == STORE_FACT_DISKS)
			l->with_disks = p->sequence;
	return l->with_disks != 0 || --l->left == 0;
}

/* Fix the point, if it is not yet, and see that it is there.  The host's lock is held. */
static int
fix_point(struct store *s, struct store_restore *r, struct err *err)
{
	struct latest l = { .left = LATEST_MAX };
	struct store_kept kept;

	if (r->sequence != 0)
		return catalog_kept_one(s->catalog, r->host, r->sequence, &kept, err);
	if (store_points(s, r->host, INT64_MAX, look, &l, err) < 0)
		return -1;
	r->sequence = l.with_disks != 0 ? l.with_disks : l.newest;
	return r->sequence != 0
		   ? 0
		   : err_set(err, ERR_NOTFOUND, "'%s' has no point any more", r->host);
}

/* Record what `r` is now, and read it back.  people is held. */
static int
record_redeemed(
    struct store *s, struct store_restore *r, const char *who, struct err *err)
{
	struct journal_event *e = store_event_new(JOURNAL_REDEEMED, err);
	struct journal_redeemed *d;
	int ret;

	if (e == NULL)
		return -1;
	d = &e->u.redeemed;
	d->id = r->id;
	memcpy(d->host, r->host, sizeof(d->host));
	(void)snprintf(d->who, sizeof(d->who), "%s", who);
	d->sequence = r->sequence;
	memcpy(d->machine, r->machine, sizeof(d->machine));
	memcpy(d->key_hash, r->key_hash, sizeof(d->key_hash));
	memcpy(d->serial, r->serial, sizeof(d->serial));
	d->cert_ends_us = r->cert_ends_us;
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret == 0 ? store_restore_by_id(s, r->id, r, err) : -1;
}

int
store_restore_redeem(struct store *s, uint64_t id, const struct store_redeem *by,
    struct store_restore *out, int *resumed, struct err *err)
{
	pthread_mutex_t *lock = NULL;
	int ret;

	pthread_mutex_lock(&s->people);
	ret = store_restore_by_id(s, id, out, err);
	if (ret == 0)
		ret = may_begin(s, out, by->machine, err);
	if (ret == 0 && out->by_mac &&
	    (out->state != STORE_RESTORE_OPEN ||
		memcmp(out->key_hash, by->key_hash, STORE_HASH_LEN) != 0))
		ret = err_set(err, ERR_DENIED, "no operator has confirmed this machine");
	if (ret == 0) {
		lock = store_host_lock(s, out->host);
		pthread_mutex_lock(lock);
		ret = fix_point(s, out, err);
	}
	if (ret == 0) {
		*resumed = out->redeems > 0;
		memcpy(out->machine, by->machine, sizeof(out->machine));
		memcpy(out->key_hash, by->key_hash, sizeof(out->key_hash));
		memcpy(out->serial, by->serial, sizeof(out->serial));
		out->cert_ends_us = by->cert_ends_us;
		ret = record_redeemed(s, out, "", err);
	}
	if (lock != NULL)
		pthread_mutex_unlock(lock);
	pthread_mutex_unlock(&s->people);
	return ret;
}

int
store_restore_confirm(struct store *s, uint64_t id, const char *who,
    const uint8_t machine[STORE_HASH_LEN], const uint8_t key_hash[STORE_HASH_LEN],
    struct store_restore *out, struct err *err)
{
	pthread_mutex_t *lock = NULL;
	int ret;

	pthread_mutex_lock(&s->people);
	ret = store_restore_by_id(s, id, out, err);
	if (ret == 0)
		ret = still_may(s, who, err);
	if (ret == 0 && !out->by_mac)
		ret = err_set(err, ERR_DENIED, "restore %llu is by token, not by MAC",
		    (unsigned long long)id);
	if (ret == 0)
		ret = may_begin(s, out, machine, err);
	if (ret == 0) {
		lock = store_host_lock(s, out->host);
		pthread_mutex_lock(lock);
		ret = fix_point(s, out, err);
	}
	if (ret == 0) {
		memcpy(out->machine, machine, sizeof(out->machine));
		memcpy(out->key_hash, key_hash, sizeof(out->key_hash));
		memset(out->serial, 0, sizeof(out->serial));
		out->cert_ends_us = 0;
		ret = record_redeemed(s, out, who, err);
	}
	if (lock != NULL)
		pthread_mutex_unlock(lock);
	pthread_mutex_unlock(&s->people);
	return ret;
}

/* Is it open, and is this the certificate that counts?  people is held. */
static int
still_holds(const struct store_restore *r, const uint8_t *serial, struct err *err)
{
	if (r->state > STORE_RESTORE_OPEN)
		return err_set(err, ERR_DENIED, "restore %llu of '%s' is over",
		    (unsigned long long)r->id, r->host);
	if (serial != NULL && memcmp(r->serial, serial, STORE_SERIAL_LEN) != 0)
		return err_set(
		    err, ERR_DENIED, "a newer certificate of this restore counts");
	return 0;
}

int
store_restore_point(struct store *s, uint64_t id, const uint8_t serial[STORE_SERIAL_LEN],
    uint64_t sequence, struct err *err)
{
	struct store_restore r;
	struct store_kept kept;
	pthread_mutex_t *lock;
	int ret;

	pthread_mutex_lock(&s->people);
	ret =
	    store_restore_by_id(s, id, &r, err) != 0 || still_holds(&r, serial, err) != 0
		? -1
		: 0;
	if (ret == 0 && r.sequence != sequence) {
		lock = store_host_lock(s, r.host);
		pthread_mutex_lock(lock);
		if (r.only)
			ret = err_set(err, ERR_DENIED,
			    "this restore is of %s/%llu and of no other point", r.host,
			    (unsigned long long)r.sequence);
		else
			ret = catalog_kept_one(s->catalog, r.host, sequence, &kept, err);
		r.sequence = sequence;
		/* As by a redeem with the certificate that is: one more does no harm. */
		if (ret == 0)
			ret = record_redeemed(s, &r, "", err);
		pthread_mutex_unlock(lock);
	}
	pthread_mutex_unlock(&s->people);
	return ret;
}

/* ---------------------------------------------------------------- ending it -- */

int
store_restore_end(struct store *s, uint64_t id, enum store_restore_state how,
    const uint8_t *serial, const char *who, const char *text, struct err *err)
{
	struct journal_event *e = store_event_new(JOURNAL_RESTORED, err);
	struct store_restore r;
	int ret;

	if (e == NULL)
		return -1;
	pthread_mutex_lock(&s->people);
	ret =
	    store_restore_by_id(s, id, &r, err) != 0 || still_holds(&r, serial, err) != 0
		? -1
		: 0;
	if (ret == 0) {
		e->u.restored.id = id;
		memcpy(e->u.restored.host, r.host, sizeof(r.host));
		(void)snprintf(e->u.restored.who, STORE_NAME_MAX, "%s", who);
		e->u.restored.how = (uint8_t)how;
		(void)snprintf(e->u.restored.text, STORE_TEXT_MAX, "%s", text);
		ret = store_record(s, e, NULL, err);
	}
	pthread_mutex_unlock(&s->people);
	free(e);
	return ret;
}

/* ------------------------------------------------------------------ guesses -- */

static int
note(struct store *s, const char *text, struct err *err)
{
	struct journal_event *e = store_event_new(JOURNAL_STORE_ALARM, err);
	int ret;

	if (e == NULL)
		return -1;
	e->u.notice.kind = STORE_NOTICE_GUESSES;
	e->u.notice.trusted_us = store_time_trusted(s);
	(void)snprintf(e->u.notice.text, sizeof(e->u.notice.text), "%s", text);
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

int
store_restores_alarmed(struct store *s, char text[STORE_TEXT_MAX])
{
	return store_notice_stands(s, STORE_NOTICE_GUESSES, text);
}

int
store_restores_alarm(struct store *s, const char *address, struct err *err)
{
	char text[STORE_TEXT_MAX];

	if (store_restores_alarmed(s, text))
		return 0;
	(void)snprintf(text, sizeof(text),
	    "many wrong tokens were tried, the last from %.80s", address);
	return note(s, text, err);
}

int
store_restores_calm(struct store *s, struct err *err)
{
	return note(s, "", err);
}
