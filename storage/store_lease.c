#include "storage/store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/catalog.h"
#include "storage/gc_mutant.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/lease.h"
#include "storage/store_packs.h"
#include "storage/store_reader.h"
#include "storage/store_space.h"
#include "storage/store_state.h"

#define LOOKUP_AT_ONCE 512u

/* -------------------------------------------------------------- open, close -- */

/* A lease that the journal has as open, but no session holds. */
static int
is_live(struct store *s, uint64_t id)
{
	struct store_lease *l;

	pthread_mutex_lock(&s->leases_lock);
	for (l = s->leases; l != NULL && l->id != id; l = l->next)
		continue;
	pthread_mutex_unlock(&s->leases_lock);
	return l != NULL;
}

/* Is there an unfinished backup of this host that nobody works on? */
static int
find_unfinished(struct store_lease *l, struct err *err)
{
	uint64_t ids[16];
	uint32_t n;

	if (catalog_leases(l->store->catalog, l->host, l->id, ids, 16, &n, err) != 0)
		return -1;
	for (uint32_t i = 0; i < n; i++)
		if (!is_live(l->store, ids[i]))
			l->resumed = 1;
	return 0;
}

static int
record_lease(struct store_lease *l, enum journal_type type, uint64_t id,
    struct journal_place *place, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a lease");
	e->type = type;
	e->u.lease.id = id;
	memcpy(e->u.lease.host, l->host, sizeof(l->host));
	ret = store_record(l->store, e, place, err);
	free(e);
	return ret;
}

static void
free_lease(struct store_lease *l)
{
	store_nodes_free(l->checked);
	store_unpin(l);
	pthread_mutex_destroy(&l->pins_lock);
	pthread_mutex_destroy(&l->commit);
	free(l);
}

int
store_lease_open(struct store *s, const char *host, enum store_purpose purpose,
    struct store_lease **out, struct err *err)
{
	struct store_lease *l = calloc(1, sizeof(*l));
	struct journal_place place;
	int failed = 0;

	if (l == NULL || (l->checked = store_nodes_new(STORE_CHECKED_MAX)) == NULL) {
		free(l);
		return err_set(err, ERR_NOMEM, "no memory for a lease");
	}
	pthread_mutex_init(&l->commit, NULL);
	pthread_mutex_init(&l->pins_lock, NULL);
	l->store = s;
	l->purpose = purpose;
	l->opened_us = store_now(s);
	(void)snprintf(l->host, sizeof(l->host), "%s", host);
	/* The collector sees it from the moment on that it may be told something. */
	store_gate_enter(s);
	/* What a reader holds ends with its process; a backup's chunks outlive it. */
	if (purpose == STORE_BACKUP) {
		failed = record_lease(l, JOURNAL_LEASE_OPEN, 0, &place, err) != 0;
		l->id = place.sequence;
	}
	if (failed) {
		store_gate_leave(s);
		free_lease(l);
		return -1;
	}
	pthread_mutex_lock(&s->leases_lock);
	if (purpose != STORE_BACKUP)
		l->id = s->next_reader++;
	l->born = s->epoch;
	l->next = s->leases;
	s->leases = l;
	pthread_mutex_unlock(&s->leases_lock);
	store_gate_leave(s);
	if (purpose == STORE_BACKUP && find_unfinished(l, err) != 0) {
		store_lease_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

int
store_lease_resumed(const struct store_lease *l)
{
	return l->resumed;
}

/*
 * What a backup put and did not commit stays pinned for the host's next one:
 * such a lease stays open in the journal until one of the host commits.
 */
static void
record_end(struct store_lease *l)
{
	struct err ignored = ERR_INIT;
	uint64_t ids[16];
	uint32_t n = 16;

	if (l->purpose != STORE_BACKUP || atomic_load(&l->revoked) ||
	    (atomic_load(&l->has_put) && !atomic_load(&l->committed)))
		return;
	(void)record_lease(l, JOURNAL_LEASE_CLOSE, l->id, NULL, &ignored);
	while (atomic_load(&l->committed) && n == 16 && ignored.code == ERR_NONE) {
		if (catalog_leases(
			l->store->catalog, l->host, l->id, ids, 16, &n, &ignored) != 0)
			return;
		for (uint32_t i = 0; i < n && ignored.code == ERR_NONE; i++) {
			/* The live ones end by themselves; later ones may be about to
			 * live, and hold what this commit does not. */
			if (ids[i] > l->id || is_live(l->store, ids[i]))
				n = 0;
			else
				(void)record_lease(
				    l, JOURNAL_LEASE_CLOSE, ids[i], NULL, &ignored);
		}
	}
}

void
store_lease_close(struct store_lease *l)
{
	struct err ignored = ERR_INIT;
	struct store_lease **link;
	struct store *s;

	if (l == NULL)
		return;
	s = l->store;
	if (atomic_load(&l->has_put))
		(void)store_packs_sync(s->packs, &ignored);
	lease_release(s->claims, l->id);
	record_end(l);
	pthread_mutex_lock(&s->leases_lock);
	for (link = &s->leases; *link != l; link = &(*link)->next)
		continue;
	*link = l->next;
	pthread_mutex_unlock(&s->leases_lock);
	free_lease(l);
}

/* ------------------------------------------------------------------- backup -- */

/* Does another live lease back up this volume of this host?  leases_lock is held. */
static const struct store_lease *
who_has_volume(const struct store_lease *l, const char *name)
{
	const struct store_lease *o;

	for (o = l->store->leases; o != NULL; o = o->next) {
		if (o == l || o->purpose != STORE_BACKUP || atomic_load(&o->revoked) ||
		    strcmp(o->host, l->host) != 0)
			continue;
		for (uint32_t i = 0; i < o->volumes_count; i++)
			if (strcmp(o->volumes[i], name) == 0)
				return o;
	}
	return NULL;
}

static int
take_volumes(
    struct store_lease *l, const char *const names[], uint32_t n, struct err *err)
{
	const struct store_lease *other = NULL;
	uint32_t i;

	pthread_mutex_lock(&l->store->leases_lock);
	for (i = 0; i < n && other == NULL; i++)
		other = who_has_volume(l, names[i]);
	if (other != NULL)
		(void)err_set(err, ERR_BUSY,
		    "volume %s of %s is being backed up by another session (lease %llu)",
		    names[i - 1], l->host, (unsigned long long)other->id);
	l->volumes_count = 0;
	for (i = 0; i < n && other == NULL; i++)
		(void)snprintf(
		    l->volumes[l->volumes_count++], STORE_NAME_MAX, "%s", names[i]);
	pthread_mutex_unlock(&l->store->leases_lock);
	return other != NULL ? -1 : 0;
}

static int
check_volumes(const char *const names[], uint32_t n, struct err *err)
{
	if (n == 0 || n > STORE_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "a backup has 1 to %d volumes, not %u",
		    STORE_VOLUMES_MAX, n);
	for (uint32_t i = 0; i < n; i++) {
		if (names[i][0] == '\0' || strlen(names[i]) >= STORE_NAME_MAX)
			return err_set(err, ERR_LIMIT,
			    "a volume's name has 1 to %d characters", STORE_NAME_MAX - 1);
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(names[i], names[k]) == 0)
				return err_set(err, ERR_PROTOCOL,
				    "volume %s is named twice", names[i]);
	}
	return 0;
}

/* Collects those ids of a tree that are in a sorted list. */
struct collect_bad {
	const struct chunk_id *ids;
	size_t n;
	struct buf *out;
	struct err *err;
};

static int
cmp_id(const void *a, const void *b)
{
	return chunk_id_cmp(a, b);
}

static int
collect_bad(void *arg, const struct chunk_id *id)
{
	struct collect_bad *c = arg;

	if (bsearch(id, c->ids, c->n, sizeof(*c->ids), cmp_id) == NULL)
		return 0;
	if (c->out->len + CHUNK_ID_LEN > c->out->max)
		return 1;
	for (size_t i = 0; i < c->out->len; i += CHUNK_ID_LEN)
		if (memcmp(c->out->p + i, id->b, CHUNK_ID_LEN) == 0)
			return 0;
	return buf_add(c->out, id->b, CHUNK_ID_LEN, c->err);
}

/* Find the bad chunks that the bases use; nothing is read when none is bad. */
static int
find_bad(struct store_lease *l, struct buf *bad, struct err *err)
{
	struct buf missing = BUF_INIT(64 * 1024), nodes = BUF_INIT(64 * 1024);
	struct collect_bad c = { .out = bad, .err = err };
	struct store_check check = { .lease = l,
		.data_ids = &missing,
		.meta_ids = &nodes,
		.chunk = collect_bad,
		.node = collect_bad,
		.arg = &c };
	struct chunk_id *ids;
	struct store_volume v;
	int ret = 0;

	if (store_bad_ids(l->store, &ids, &c.n, err) != 0)
		return -1;
	c.ids = ids;
	for (uint32_t i = 0; c.n > 0 && ret == 0 && i < l->volumes_count; i++) {
		if (!l->bases[i].known)
			continue;
		check.checked = store_nodes_new(STORE_CHECKED_MAX);
		buf_clear(&missing);
		buf_clear(&nodes);
		ret = store_check_tree(&check, &l->bases[i].root_id, &v, err);
		store_nodes_free(check.checked);
	}
	free(ids);
	buf_free(&missing);
	buf_free(&nodes);
	return ret < 0 ? -1 : 0;
}

/* Look the bases up and hold them, in one step for the collector. */
static int
take_bases(struct store_lease *l, const char *const names[], uint32_t n, struct err *err)
{
	struct store *s = l->store;
	int ret;

	store_gate_enter(s);
	ret = store_lease_check(l, err);
	l->begun = atomic_load(&s->condemnations);
	for (uint32_t i = 0; ret == 0 && i < n; i++) {
		ret = catalog_base(s->catalog, l->host, names[i], &l->bases[i], err);
		store_pause(s, STORE_PAUSE_BEGIN);
		if (ret == 0 && l->bases[i].known)
			ret = store_pin_tree(l, l->host, l->bases[i].sequence, names[i],
			    &l->bases[i].root_id, err);
	}
	store_gate_leave(s);
	return ret;
}

int
store_backup_begin(struct store_lease *l, const char *const names[], uint32_t n,
    struct store_base *bases, struct buf *bad, struct err *err)
{
	if (check_volumes(names, n, err) != 0 || take_volumes(l, names, n, err) != 0 ||
	    take_bases(l, names, n, err) != 0)
		return -1;
	memcpy(bases, l->bases, n * sizeof(*bases));
	return find_bad(l, bad, err);
}

/* -------------------------------------------------------------- have and put -- */

/* Claim what the index does not have; `again` is set where it has to be asked again. */
static void
claim(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids, size_t n,
    const struct index_hit *hits, uint8_t *answers, uint8_t *again, int *unsynced)
{
	for (size_t i = 0; i < n; i++) {
		again[i] = 0;
		if (hits[i].loc.pack != 0 && hits[i].kind == kind) {
			answers[i] = STORE_HAVE;
			continue;
		}
		switch (lease_ask(l->store->claims, l->id, kind, &ids[i])) {
		case LEASE_TAKEN:
			/* It may have become durable since it was looked up. */
			again[i] = 1;
			answers[i] = STORE_NEED;
			break;
		case LEASE_FULL:
		case LEASE_OURS:
			answers[i] = STORE_NEED;
			break;
		case LEASE_OURS_PUT:
			/* Our own commit makes it durable before it relies on it. */
			answers[i] = STORE_HAVE;
			break;
		case LEASE_OTHERS_PUT:
			*unsynced = 1;
			again[i] = 1;
			answers[i] = STORE_PENDING;
			break;
		case LEASE_OTHERS:
			answers[i] = STORE_PENDING;
			break;
		}
	}
}

/*
 * Look chunks up and hold those that are there, in one step for the collector: those
 * of which `which` (NULL: all) says so.
 */
static int
look_up(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids, size_t n,
    const uint8_t *which, struct index_hit *hits, struct err *err)
{
	struct store *s = l->store;
	int ret, open = GC_HOLDS(GC_HAVE_GATE);

	if (open)
		store_gate_enter(s);
	ret = store_lease_check(l, err);
	if (ret == 0)
		ret = index_lookup(s->index, ids, n, hits, err);
	store_pause(s, STORE_PAUSE_HAVE);
	for (size_t i = 0; ret == 0 && i < n; i++)
		if (hits[i].loc.pack != 0 && hits[i].kind == kind &&
		    (which == NULL || which[i]))
			ret = store_pin_chunk(l, &hits[i].loc, err);
	if (open)
		store_gate_leave(s);
	return ret;
}

static int
have_some(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids,
    size_t n, uint8_t *answers, struct err *err)
{
	struct index_hit hits[LOOKUP_AT_ONCE];
	uint8_t again[LOOKUP_AT_ONCE];
	int unsynced = 0, any = 0;

	if (look_up(l, kind, ids, n, NULL, hits, err) != 0)
		return -1;
	claim(l, kind, ids, n, hits, answers, again, &unsynced);
	for (size_t i = 0; i < n; i++)
		any |= again[i];
	if (!any)
		return 0;
	/* Someone waits for what is in a pack: make it count now. */
	if (unsynced && store_packs_sync(l->store->packs, err) != 0)
		return -1;
	if (look_up(l, kind, ids, n, again, hits, err) != 0)
		return -1;
	for (size_t i = 0; i < n; i++) {
		if (!again[i] || hits[i].loc.pack == 0 || hits[i].kind != kind)
			continue;
		if (answers[i] == STORE_NEED)
			lease_drop(l->store->claims, l->id, kind, &ids[i]);
		answers[i] = STORE_HAVE;
	}
	return 0;
}

int
store_have(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids,
    size_t n, uint8_t *answers, struct err *err)
{
	for (size_t i = 0, part; i < n; i += part) {
		part = n - i < LOOKUP_AT_ONCE ? n - i : LOOKUP_AT_ONCE;
		if (have_some(l, kind, ids + i, part, answers + i, err) != 0)
			return -1;
	}
	return 0;
}

int
store_put(struct store_lease *l, const struct group *g, struct err *err)
{
	if (store_lease_check(l, err) != 0 || store_space_may_put(l->store, err) != 0)
		return -1;
	/* Set first: closing must sync whatever may have been put. */
	atomic_store(&l->has_put, 1);
	if (store_packs_put(l->store->packs, l->id, g, NULL, err) != 0)
		return -1;
	atomic_fetch_add(&l->put_bytes, g->len);
	return 0;
}

/* ------------------------------------------------------------------ reading -- */

int
store_locate(struct store_lease *l, enum chunk_kind kind, const struct chunk_id *ids,
    size_t n, struct store_place *places, uint8_t *found, struct err *err)
{
	struct index_hit hits[LOOKUP_AT_ONCE];

	if (store_lease_check(l, err) != 0)
		return -1;
	for (size_t i = 0, part; i < n; i += part) {
		part = n - i < LOOKUP_AT_ONCE ? n - i : LOOKUP_AT_ONCE;
		if (index_lookup(l->store->index, ids + i, part, hits, err) != 0)
			return -1;
		for (size_t k = 0; k < part; k++) {
			found[i + k] = hits[k].loc.pack != 0 && hits[k].kind == kind;
			places[i + k].pack = hits[k].loc.pack;
			places[i + k].offset = hits[k].loc.offset;
		}
	}
	return 0;
}

int
store_node(void *lease, const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct store_lease *l = lease;
	struct index_hit hit;
	char hex[2 * CHUNK_ID_LEN + 1];

	if (store_lease_check(l, err) != 0 ||
	    index_lookup(l->store->index, id, 1, &hit, err) != 0)
		return -1;
	if (hit.loc.pack == 0 || hit.kind != CHUNK_META) {
		chunk_id_hex(id, hex);
		return err_set(
		    err, ERR_NOTFOUND, "tree node %.16s is not in the store", hex);
	}
	if (store_reader_node(l->store->reader, &hit.loc, id, out, err) == 0)
		return 0;
	if (err->code == ERR_CORRUPT) {
		struct err ignored = ERR_INIT;

		(void)store_quarantine(l->store, hit.loc.pack, hit.loc.offset, &ignored);
	}
	return -1;
}

int
store_group(struct store_lease *l, const struct store_place *place, struct buf *out,
    struct err *err)
{
	struct pack_loc loc = { .pack = place->pack, .offset = place->offset };
	struct err ignored = ERR_INIT;
	struct group g;

	if (store_lease_check(l, err) != 0)
		return -1;
	if (store_reader_group(l->store->reader, &loc, NULL, out, &g, err) == 0)
		return 0;
	/* A bad read is tried once more before the group counts as lost. */
	if (err->code == ERR_CORRUPT) {
		err_clear(err);
		if (store_reader_group(l->store->reader, &loc, NULL, out, &g, err) == 0)
			return 0;
		if (err->code == ERR_CORRUPT)
			(void)store_quarantine(
			    l->store, place->pack, place->offset, &ignored);
	}
	return -1;
}
