#include "storage/store.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/catalog.h"
#include "storage/gc_mutant.h"
#include "storage/journal.h"
#include "storage/store_packs.h"
#include "storage/store_state.h"

#define POINTS_AT_ONCE 16u

/* ------------------------------------------------------------------- commit -- */

/* The place of a volume in what the backup began with; -1 if it is not there. */
static int
begun(const struct store_lease *l, const char *name)
{
	for (uint32_t i = 0; i < l->volumes_count; i++)
		if (strcmp(l->volumes[i], name) == 0)
			return (int)i;
	return -1;
}

static int
check_draft(const struct store_lease *l, const struct store_point *draft, struct err *err)
{
	if (l->purpose != STORE_BACKUP || l->volumes_count == 0)
		return err_set(
		    err, ERR_PROTOCOL, "commit without a backup that was begun");
	if (draft->volumes_count == 0 || draft->volumes_count > STORE_VOLUMES_MAX)
		return err_set(
		    err, ERR_PROTOCOL, "a point of %u volumes", draft->volumes_count);
	for (uint32_t i = 0; i < draft->volumes_count; i++) {
		const char *name = draft->volumes[i].name;

		if (memchr(name, '\0', STORE_NAME_MAX) == NULL || begun(l, name) < 0)
			return err_set(err, ERR_PROTOCOL,
			    "volume %.63s was not begun by this backup", name);
		for (uint32_t k = 0; k < i; k++)
			if (strcmp(name, draft->volumes[k].name) == 0)
				return err_set(err, ERR_PROTOCOL,
				    "volume %s is in the point twice", name);
	}
	return 0;
}

/* Check all trees; what is missing is in the lists afterwards. */
static int
check_trees(struct store_lease *l, struct store_point *draft, uint64_t condemned,
    struct buf *data_ids, struct buf *meta_ids, struct err *err)
{
	struct store_check check = { .lease = l,
		.fresh = 1,
		.checked = l->checked,
		.data_ids = data_ids,
		.meta_ids = meta_ids };
	struct store_nodes *fresh = NULL;
	struct chunk_id *bad;
	size_t n_bad;
	int whole, ret = 0;

	/* What the collector took since may be what was met by an earlier commit. */
	if (l->checked_at != condemned && GC_HOLDS(GC_COMMIT_FORGETS)) {
		if ((fresh = store_nodes_new(STORE_CHECKED_MAX)) == NULL)
			return err_set(err, ERR_NOMEM, "no memory to check a tree");
		store_nodes_free(l->checked);
		check.checked = l->checked = fresh;
		fresh = NULL;
	}
	l->checked_at = condemned;
	/* What was found whole before is only so while nothing is known to be lost. */
	if (store_bad_ids(l->store, &bad, &n_bad, err) != 0)
		return -1;
	free(bad);
	whole = n_bad == 0 && !store_lost_unnamed(l->store);
	if (!whole) {
		if ((fresh = store_nodes_new(65536)) == NULL)
			return err_set(err, ERR_NOMEM, "no memory to check a tree");
		check.checked = fresh;
	}
	for (uint32_t i = 0; ret == 0 && i < draft->volumes_count; i++) {
		struct store_volume *v = &draft->volumes[i];
		const struct store_base *base = &l->bases[begun(l, v->name)];

		/* A base that was held all along is whole; this asks no one's word. */
		check.base =
		    whole && base->known && l->begun == condemned ? &base->root_id : NULL;
		ret = store_check_tree(&check, &v->root_id, v, err);
		if (ret != 0)
			(void)err_context(err, "volume %s", v->name);
	}
	store_nodes_free(fresh);
	return ret;
}

/*
 * Was this backup committed before?  1: `draft` is now the point it became.  A
 * backup's commits come one after another: its volumes are one lease's at a time.
 */
static int
committed_before(const struct store_lease *l, struct store_point *draft, struct err *err)
{
	static const uint8_t none[STORE_BACKUP_LEN];
	struct store_point *known;
	int found, same;

	if (memcmp(draft->backup, none, sizeof(none)) == 0)
		return 0;
	if ((known = malloc(sizeof(*known))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a point");
	found = catalog_point_of_backup(
	    l->store->catalog, l->host, draft->backup, known, err);
	if (found > 0) {
		same = known->volumes_count == draft->volumes_count;
		for (uint32_t i = 0; same && i < draft->volumes_count; i++)
			same =
			    strcmp(known->volumes[i].name, draft->volumes[i].name) == 0 &&
			    chunk_id_cmp(&known->volumes[i].root_id,
				&draft->volumes[i].root_id) == 0;
		if (same)
			*draft = *known;
		else
			found = err_set(err, ERR_PROTOCOL,
			    "this backup became point %llu with other volumes",
			    (unsigned long long)known->sequence);
	}
	free(known);
	return found;
}

pthread_mutex_t *
store_host_lock(struct store *s, const char *host)
{
	uint8_t h[4];

	blake3(host, strlen(host), NULL, h, sizeof(h));
	return &s->hosts[load_le32(h) % STORE_HOST_LOCKS];
}

/* Everything it rests on is there and durable: make it a point. */
static int
record_point(struct store_lease *l, struct store_point *draft, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	pthread_mutex_t *lock = store_host_lock(l->store, l->host);
	struct journal_place place;
	struct catalog_head head;
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a point");
	memcpy(draft->host, l->host, sizeof(draft->host));
	draft->counts.stored_bytes = atomic_load(&l->put_bytes);
	pthread_mutex_lock(lock);
	ret = catalog_head(l->store->catalog, l->host, &head, err);
	if (ret == 0) {
		draft->sequence = head.sequence + 1;
		memcpy(draft->previous, head.record, sizeof(draft->previous));
		e->type = JOURNAL_POINT;
		e->u.point = *draft;
		ret = store_record(l->store, e, &place, err);
	}
	pthread_mutex_unlock(lock);
	free(e);
	if (ret != 0)
		return -1;
	draft->time_us = place.time_us;
	memcpy(draft->record, place.hash, sizeof(draft->record));
	atomic_fetch_sub(&l->put_bytes, draft->counts.stored_bytes);
	atomic_store(&l->committed, 1);
	return 0;
}

/*
 * Check and record.  1 to be called again: something was condemned since the check
 * began, so what it met may be gone.
 */
static int
check_and_record(struct store_lease *l, struct store_point *draft,
    enum store_commit_result *result, struct buf *data_ids, struct buf *meta_ids,
    struct err *err)
{
	struct store *s = l->store;
	uint64_t condemned = atomic_load(&s->condemnations);
	int ret;

	buf_clear(data_ids);
	buf_clear(meta_ids);
	/* Once so that what was put is found; once more because the check may
	 * have met what others put meanwhile.  The second costs nothing if none did. */
	if (store_lease_check(l, err) != 0 || store_packs_sync(s->packs, err) != 0 ||
	    check_trees(l, draft, condemned, data_ids, meta_ids, err) != 0)
		return -1;
	if (data_ids->len > 0 || meta_ids->len > 0) {
		*result = STORE_MISSING;
		return 0;
	}
	*result = STORE_COMMITTED;
	if (store_packs_sync(s->packs, err) != 0)
		return -1;
	store_pause(s, STORE_PAUSE_COMMIT);
	/* From here to the record nothing can be condemned. */
	store_gate_enter(s);
	ret = store_lease_check(l, err);
	if (ret == 0 && atomic_load(&s->condemnations) != condemned &&
	    GC_HOLDS(GC_COMMIT_CHECKS))
		ret = 1;
	store_pause(s, STORE_PAUSE_RECORD);
	if (ret == 0)
		ret = record_point(l, draft, err);
	store_gate_leave(s);
	return ret;
}

int
store_commit(struct store_lease *l, struct store_point *draft,
    enum store_commit_result *result, struct buf *data_ids, struct buf *meta_ids,
    struct err *err)
{
	int ret, before;

	buf_clear(data_ids);
	buf_clear(meta_ids);
	if (check_draft(l, draft, err) != 0)
		return -1;
	pthread_mutex_lock(&l->commit);
	if ((before = committed_before(l, draft, err)) != 0) {
		*result = STORE_COMMITTED_BEFORE;
		if (before > 0)
			atomic_store(&l->committed, 1);
		pthread_mutex_unlock(&l->commit);
		return before > 0 ? 0 : -1;
	}
	do
		ret = check_and_record(l, draft, result, data_ids, meta_ids, err);
	while (ret > 0);
	pthread_mutex_unlock(&l->commit);
	return ret;
}

/* ------------------------------------------------------------------- points -- */

int
store_point_get(struct store *s, const char *host, uint64_t sequence,
    struct store_point *out, struct err *err)
{
	return catalog_point(s->catalog, host, sequence, out, err);
}

int
store_points(struct store *s, const char *host, int64_t before_us,
    int (*each)(void *arg, const struct store_point *p), void *arg, struct err *err)
{
	struct store_point *page = malloc(POINTS_AT_ONCE * sizeof(*page));
	int64_t before = before_us;
	uint32_t n = POINTS_AT_ONCE;
	int ret = 0;

	if (page == NULL)
		return err_set(err, ERR_NOMEM, "no memory to list points");
	/* No lock is held while `each` runs. */
	while (ret == 0 && n == POINTS_AT_ONCE) {
		ret = catalog_points(
		    s->catalog, host, before, page, POINTS_AT_ONCE, &n, err);
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			ret = each(arg, &page[i]);
			before = page[i].time_us;
		}
	}
	free(page);
	return ret;
}

int
store_record_known(struct store *s, const char *host,
    const uint8_t record[STORE_HASH_LEN], struct err *err)
{
	return catalog_record_known(s->catalog, host, record, err);
}
