#include "storage/store_gc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/gc_mutant.h"
#include "storage/journal.h"
#include "storage/lease.h"
#include "storage/store_state.h"

#ifdef GC_MUTANTS
enum gc_line gc_mutant;
#endif

/* ----------------------------------------------------------------- the gate -- */

void
store_gate_enter(struct store *s)
{
	(void)pthread_rwlock_rdlock(&s->gate);
}

int
store_gate_alone(struct store *s, int no_wait)
{
	if (no_wait)
		return pthread_rwlock_trywrlock(&s->gate) == 0 ? 0 : -1;
	(void)pthread_rwlock_wrlock(&s->gate);
	return 0;
}

void
store_gate_leave(struct store *s)
{
	(void)pthread_rwlock_unlock(&s->gate);
}

/* ------------------------------------------------------------------ holding -- */

int
store_lease_check(const struct store_lease *l, struct err *err)
{
	if (!atomic_load(&l->revoked) || !GC_HOLDS(GC_REVOKED_ASKS))
		return 0;
	return err_set(err, ERR_CANCELED,
	    "lease %llu was revoked: open another and ask everything again",
	    (unsigned long long)(l->id & INT64_MAX));
}

int
store_pin_chunk(struct store_lease *l, const struct pack_loc *loc, struct err *err)
{
	int failed = 0;

	if (GC_HOLDS(GC_HAVE_PINS)) {
		pthread_mutex_lock(&l->pins_lock);
		failed = pack_set_add(&l->pins, loc->pack, err) != 0;
		pthread_mutex_unlock(&l->pins_lock);
	}
	if (!failed && l->store->marks != NULL && GC_HOLDS(GC_HAVE_MARKS))
		(void)gc_marks_live(l->store->marks, loc);
	return failed ? -1 : 0;
}

int
store_pin_tree(struct store_lease *l, const char *host, uint64_t sequence,
    const char *volume, const struct chunk_id *root_id, struct err *err)
{
	struct store_pinned *h;
	uint32_t cap;
	int failed = 0;

	pthread_mutex_lock(&l->store->leases_lock);
	for (uint32_t i = 0; i < l->n_held; i++)
		if (chunk_id_cmp(&l->held[i].root_id, root_id) == 0)
			goto done;
	if (l->n_held == l->held_cap) {
		cap = l->held_cap == 0 ? 4 : 2 * l->held_cap;
		if ((h = realloc(l->held, cap * sizeof(*h))) == NULL) {
			failed = err_set(err, ERR_NOMEM, "no memory for a lease");
			goto done;
		}
		l->held = h;
		l->held_cap = cap;
	}
	h = &l->held[l->n_held++];
	h->root_id = *root_id;
	h->sequence = sequence;
	(void)snprintf(h->host, sizeof(h->host), "%s", host);
	(void)snprintf(h->volume, sizeof(h->volume), "%s", volume);
done:
	pthread_mutex_unlock(&l->store->leases_lock);
	return failed ? -1 : 0;
}

void
store_unpin(struct store_lease *l)
{
	pack_set_clear(&l->pins);
	free(l->held);
	l->held = NULL;
	l->n_held = l->held_cap = 0;
}

int
store_lease_point(struct store_lease *l, const char *host, uint64_t sequence,
    struct store_point *out, struct err *err)
{
	int ret;

	store_gate_enter(l->store);
	ret = store_lease_check(l, err);
	if (ret == 0)
		ret = catalog_point(l->store->catalog, host, sequence, out, err);
	store_pause(l->store, STORE_PAUSE_POINT);
	for (uint32_t i = 0; ret == 0 && i < out->volumes_count; i++)
		ret = store_pin_tree(l, out->host, out->sequence, out->volumes[i].name,
		    &out->volumes[i].root_id, err);
	store_gate_leave(l->store);
	return ret;
}

/* ------------------------------------------------------------ who has leases -- */

/* A copy of what is said of the live leases. */
static struct store_lease_info *
live_leases(struct store *s, size_t *n, struct err *err)
{
	struct store_lease_info *list;
	const struct store_lease *l;
	size_t count = 0;

	pthread_mutex_lock(&s->leases_lock);
	for (l = s->leases; l != NULL; l = l->next)
		count++;
	list = calloc(count + 1, sizeof(*list));
	*n = 0;
	for (l = s->leases; list != NULL && l != NULL; l = l->next) {
		struct store_lease_info *to = &list[(*n)++];

		to->id = l->id;
		to->purpose = l->purpose;
		to->live = 1;
		to->revoked = atomic_load(&l->revoked);
		to->opened_us = l->opened_us;
		(void)snprintf(to->host, sizeof(to->host), "%s", l->host);
	}
	pthread_mutex_unlock(&s->leases_lock);
	if (list == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory to list leases");
	return list;
}

/* Leases that only the journal has. */
static int
each_left(struct store *s, const struct store_lease_info *live, size_t n,
    int (*each)(void *arg, const struct store_lease_info *l), void *arg, struct err *err)
{
	struct catalog_lease page[32];
	struct store_lease_info info;
	uint64_t after = 0;
	uint32_t got = 32;
	int ret = 0;

	while (ret == 0 && got == 32) {
		if (catalog_leases_all(s->catalog, after, page, 32, &got, err) != 0)
			return -1;
		for (uint32_t i = 0; ret == 0 && i < got; i++) {
			size_t k = 0;

			after = page[i].id;
			while (k < n && live[k].id != after)
				k++;
			if (k < n)
				continue;
			memset(&info, 0, sizeof(info));
			info.id = after;
			info.purpose = STORE_BACKUP;
			info.opened_us = page[i].opened_us;
			(void)snprintf(info.host, sizeof(info.host), "%s", page[i].host);
			ret = each(arg, &info);
		}
	}
	return ret;
}

int
store_leases(struct store *s, int (*each)(void *arg, const struct store_lease_info *l),
    void *arg, struct err *err)
{
	struct store_lease_info *live;
	size_t n;
	int ret = 0;

	if ((live = live_leases(s, &n, err)) == NULL)
		return -1;
	for (size_t i = 0; ret == 0 && i < n; i++)
		ret = each(arg, &live[i]);
	if (ret == 0)
		ret = each_left(s, live, n, each, arg, err);
	free(live);
	return ret;
}

/* --------------------------------------------------------------- revoking -- */

/* One that the journal has and no session: its host, or ERR_NOTFOUND. */
static int
find_left(struct store *s, uint64_t id, char host[STORE_NAME_MAX], struct err *err)
{
	struct catalog_lease found;
	uint32_t n = 0;

	if (id == 0 || id > INT64_MAX)
		return err_set(err, ERR_NOTFOUND, "no such lease");
	if (catalog_leases_all(s->catalog, id - 1, &found, 1, &n, err) != 0)
		return -1;
	if (n == 0 || found.id != id)
		return err_set(
		    err, ERR_NOTFOUND, "there is no lease %llu", (unsigned long long)id);
	(void)snprintf(host, STORE_NAME_MAX, "%s", found.host);
	return 0;
}

static int
record_revoked(struct store *s, uint64_t id, const char *host, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_LEASE_REVOKED;
	e->u.lease.id = id;
	(void)snprintf(e->u.lease.host, sizeof(e->u.lease.host), "%s", host);
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

/*
 * The gate is taken alone: whoever was told something under it is revoked before or
 * told afterwards, never in between.  Its session hears first: were the record first
 * and failed to be followed, a session could go on with what nobody keeps for it.
 */
int
store_lease_revoke(struct store *s, uint64_t id, struct err *err)
{
	enum store_purpose purpose = STORE_BACKUP;
	char host[STORE_NAME_MAX] = "";
	struct store_lease *l;
	int live;

	(void)store_gate_alone(s, 0);
	pthread_mutex_lock(&s->leases_lock);
	for (l = s->leases; l != NULL && l->id != id; l = l->next)
		continue;
	live = l != NULL;
	if (live) {
		purpose = l->purpose;
		(void)snprintf(host, sizeof(host), "%s", l->host);
		atomic_store(&l->revoked, 1);
		store_unpin(l);
	}
	pthread_mutex_unlock(&s->leases_lock);
	store_gate_leave(s);
	if (live)
		lease_release(s->claims, id);
	if (live && purpose != STORE_BACKUP)
		return 0;
	if (!live && find_left(s, id, host, err) != 0)
		return -1;
	return record_revoked(s, id, host, err);
}
