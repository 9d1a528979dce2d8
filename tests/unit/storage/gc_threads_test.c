/*
 * Cycles while all others work: hosts back up and prune, points are read, groups are
 * found bad and found good again, leases are revoked, packs are small.  In the end every
 * point that is there is what it was.  For TSan, and for what no single thread meets.
 */
#include <pthread.h>

#include "storage/index.h"
#include "storage/store_gc.h"
#include "storage/store_packs.h"
#include "storage/store_retention.h"
#include "tests/unit/storage/store_rig.h"

#define HOSTS 3u
#define ROUNDS 24u
#define KEPT 3u
#define BLOCKS 64u

/* A point that is there, and what is in it. */
struct kept {
	uint64_t sequence; /* 0: none. */
	uint32_t blocks[BLOCKS];
};

struct world;

struct host {
	struct world *w;
	pthread_t thread;
	char name[20];
	uint64_t random;
	struct kept kept[KEPT]; /* Under the world's lock. */
};

struct world {
	struct store *s;
	struct host hosts[HOSTS];
	pthread_mutex_t lock;
	char wrong[300];
	atomic_int working, hosts_left;
	atomic_uint commits, reads, hidden, cycles, removed, rewritten;
};

static uint32_t
draw(uint64_t *random, uint32_t n)
{
	*random = *random * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*random >> 33) % n;
}

static void
nap(void)
{
	struct timespec pause = { 0, 2000000 };

	(void)nanosleep(&pause, NULL);
}

/* An error that nothing going on explains. */
static void
went_wrong(struct world *w, const char *what, const struct err *err)
{
	pthread_mutex_lock(&w->lock);
	if (w->wrong[0] == '\0')
		(void)snprintf(w->wrong, sizeof(w->wrong), "%s: %s: %.200s", what,
		    err_name(err->code), err->text);
	pthread_mutex_unlock(&w->lock);
	atomic_store(&w->working, 0);
}

/* Its lease was revoked, or what it was told of was found bad. */
static int
is_explained(const struct err *err)
{
	return err->code == ERR_CANCELED || err->code == ERR_NOTFOUND;
}

/* ------------------------------------------------------------------ backing up -- */

/* Most of an earlier point or of what all hosts have, and something new. */
static void
fill(struct host *h, uint32_t round, uint32_t *blocks)
{
	struct kept *k = &h->kept[draw(&h->random, KEPT)];

	pthread_mutex_lock(&h->w->lock);
	if (k->sequence != 0)
		memcpy(blocks, k->blocks, sizeof(k->blocks));
	else
		rig_fill(blocks, BLOCKS, draw(&h->random, 3));
	pthread_mutex_unlock(&h->w->lock);
	for (uint32_t i = 0; i < BLOCKS; i++)
		if (draw(&h->random, 3) == 0)
			blocks[i] = draw(&h->random, 2) == 0
					? 0
					: 50000000u + round / 4 * 1000 + i;
}

static int
prune(struct host *h, struct kept *k)
{
	struct err err = ERR_INIT;
	uint64_t sequence;

	pthread_mutex_lock(&h->w->lock);
	sequence = k->sequence;
	k->sequence = 0;
	pthread_mutex_unlock(&h->w->lock);
	if (sequence == 0 ||
	    store_prune_points(h->w->s, "test", h->name, &sequence, 1, &err) == 0)
		return 0;
	went_wrong(h->w, "prune", &err);
	return -1;
}

static int
back_up(struct host *h, struct store_point *p, uint32_t round)
{
	struct kept *k = &h->kept[round % KEPT];
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };
	struct err err = ERR_INIT;

	fill(h, round, blocks);
	if (rig_backup(h->w->s, h->name, &v, p, &err) != 0) {
		if (is_explained(&err))
			return 0;
		went_wrong(h->w, "backup", &err);
		return -1;
	}
	atomic_fetch_add(&h->w->commits, 1);
	if (prune(h, k) != 0)
		return -1;
	pthread_mutex_lock(&h->w->lock);
	memcpy(k->blocks, blocks, sizeof(blocks));
	k->sequence = p->sequence;
	pthread_mutex_unlock(&h->w->lock);
	/* Now and then what a host has just made goes, too. */
	return draw(&h->random, 4) == 0 ? prune(h, &h->kept[draw(&h->random, KEPT)]) : 0;
}

static void *
be_host(void *arg)
{
	struct host *h = arg;
	struct store_point *p = calloc(1, sizeof(*p));

	for (uint32_t n = 0; p != NULL && n < ROUNDS && atomic_load(&h->w->working); n++)
		if (back_up(h, p, n) != 0)
			break;
	free(p);
	if (atomic_fetch_sub(&h->w->hosts_left, 1) == 1)
		atomic_store(&h->w->working, 0);
	return NULL;
}

/* ------------------------------------------------------------------ the others -- */

/* A point that is there now; 0 if none was drawn. */
static int
choose(struct world *w, uint64_t *random, struct kept *out, const char **host)
{
	struct host *h = &w->hosts[draw(random, HOSTS)];

	pthread_mutex_lock(&w->lock);
	*out = h->kept[draw(random, KEPT)];
	*host = h->name;
	pthread_mutex_unlock(&w->lock);
	return out->sequence != 0;
}

static void *
be_reader(void *arg)
{
	struct world *w = arg;
	struct store_point *p = calloc(1, sizeof(*p));
	uint64_t random = 77;
	struct kept k;
	struct rig_volume v = { k.blocks, BLOCKS };
	const char *host;

	while (p != NULL && atomic_load(&w->working)) {
		struct err err = ERR_INIT;
		struct store_lease *l = NULL;
		uint64_t quarantines = atomic_load(&w->s->quarantines);
		int ret;

		if (!choose(w, &random, &k, &host)) {
			nap();
			continue;
		}
		if (store_lease_open(w->s, host, STORE_READ, &l, &err) != 0) {
			went_wrong(w, "open to read", &err);
			break;
		}
		/* Pruned meanwhile is not found; once it is held it is there. */
		ret = store_lease_point(l, host, k.sequence, p, &err);
		if (ret == 0 && (ret = rig_verify(w->s, p, 0, &v, &err)) != 0 &&
		    err.code == ERR_NOTFOUND && !atomic_load(&w->hidden) &&
		    quarantines == atomic_load(&w->s->quarantines) &&
		    !atomic_load(&l->revoked))
			went_wrong(w, "read", &err);
		if (ret != 0 && !is_explained(&err))
			went_wrong(w, "read", &err);
		store_lease_close(l);
		atomic_fetch_add(&w->reads, ret == 0);
	}
	free(p);
	return NULL;
}

/* A group is found bad, then good again; packs are sealed on the way. */
static void *
be_scrubber(void *arg)
{
	struct world *w = arg;
	uint64_t random = 99;
	uint8_t content[RIG_BLOCK];
	struct index_hit hit;
	const char *host;
	struct kept k;

	while (atomic_load(&w->working)) {
		struct store_verify_report report;
		struct err err = ERR_INIT;
		struct chunk_id id;

		nap();
		if (store_packs_seal(w->s->packs, &err) != 0)
			went_wrong(w, "seal", &err);
		if (!choose(w, &random, &k, &host) || draw(&random, 4) != 0)
			continue;
		rig_content(k.blocks[draw(&random, BLOCKS)], content);
		chunk_id_of(store_keys(w->s), CHUNK_DATA, content, RIG_BLOCK, &id);
		if (index_lookup(w->s->index, &id, 1, &hit, &err) != 0)
			went_wrong(w, "look-up", &err);
		if (hit.loc.pack == 0)
			continue;
		atomic_fetch_add(&w->hidden, 1);
		if (store_quarantine(w->s, hit.loc.pack, hit.loc.offset, &err) != 0)
			went_wrong(w, "quarantine", &err);
		nap();
		if (store_verify(w->s, 0, 0, NULL, NULL, &report, &err) != 0)
			went_wrong(w, "verify", &err);
		atomic_fetch_sub(&w->hidden, 1);
	}
	return NULL;
}

static void *
be_collector(void *arg)
{
	struct world *w = arg;

	for (uint32_t n = 0; atomic_load(&w->working); n++) {
		struct store_gc_config config = { .nodes_per_step = 1 + n % 3,
			.live_keep_us = n % 8 == 7 ? 20000 : 0,
			.lease_keep_us = n % 4 == 3 ? 20000 : 0,
			.wait_ms = n % 2 };
		struct store_gc_report report;
		struct err err = ERR_INIT;

		if (store_gc(w->s, &config, NULL, NULL, &report, &err) != 0 &&
		    !is_explained(&err))
			went_wrong(w, "collect", &err);
		atomic_fetch_add(&w->cycles, 1);
		atomic_fetch_add(&w->removed, report.packs_removed);
		atomic_fetch_add(&w->rewritten, report.packs_rewritten);
	}
	return NULL;
}

/* -------------------------------------------------------------------- the end -- */

static void
check_all(struct world *w)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;

	assert_non_null(p);
	for (uint32_t i = 0; i < HOSTS; i++)
		for (uint32_t n = 0; n < KEPT; n++) {
			struct kept *k = &w->hosts[i].kept[n];
			struct rig_volume v = { k->blocks, BLOCKS };

			if (k->sequence == 0)
				continue;
			rig_ok(
			    store_point_get(w->s, w->hosts[i].name, k->sequence, p, &err),
			    &err);
			rig_ok(rig_verify(w->s, p, 0, &v, &err), &err);
		}
	free(p);
}

static void
test_cycles_beside_all_that_goes_on_lose_nothing(void **state)
{
	void *(*const others[])(void *) = { be_reader, be_scrubber, be_collector };
	static struct world w;
	struct store_verify_report found;
	struct store_gc_report report;
	struct err err = ERR_INIT;
	pthread_t threads[3];
	char dir[64];

	(void)state;
	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(store_open(dir, &w.s, &err), &err);
	pthread_mutex_init(&w.lock, NULL);
	atomic_store(&w.working, 1);
	atomic_store(&w.hosts_left, HOSTS);
	for (uint32_t i = 0; i < HOSTS; i++) {
		w.hosts[i].w = &w;
		w.hosts[i].random = i + 1;
		(void)snprintf(w.hosts[i].name, sizeof(w.hosts[i].name), "host-%u", i);
	}
	for (uint32_t i = 0; i < HOSTS; i++)
		assert_int_equal(
		    pthread_create(&w.hosts[i].thread, NULL, be_host, &w.hosts[i]), 0);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, others[i], &w), 0);
	for (uint32_t i = 0; i < HOSTS; i++)
		pthread_join(w.hosts[i].thread, NULL);
	for (uint32_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	print_message("%u commits, %u reads, %u cycles, %u packs removed, %u rewritten\n",
	    atomic_load(&w.commits), atomic_load(&w.reads), atomic_load(&w.cycles),
	    atomic_load(&w.removed), atomic_load(&w.rewritten));
	if (w.wrong[0] != '\0')
		fail_msg("%s", w.wrong);
	assert_true(atomic_load(&w.commits) > HOSTS * ROUNDS / 3);
	assert_true(atomic_load(&w.reads) > 0);
	assert_true(atomic_load(&w.removed) > 0);

	/* All that was hidden was good: now it is found again. */
	rig_ok(store_verify(w.s, 0, 0, NULL, NULL, &found, &err), &err);
	assert_int_equal(found.bad_groups, 0);
	check_all(&w);
	rig_ok(store_gc(w.s, NULL, NULL, NULL, &report, &err), &err);
	assert_int_equal(report.state, STORE_GC_DONE);
	assert_int_equal(report.missing, 0);
	check_all(&w);
	store_close(w.s);
	rig_ok(store_open(dir, &w.s, &err), &err);
	assert_string_equal(store_opened(w.s), "");
	/* Before, a group of a pack that was not sealed yet may count so. */
	assert_int_equal(store_lost_unnamed(w.s), 0);
	check_all(&w);
	store_close(w.s);
	pthread_mutex_destroy(&w.lock);
	rig_remove(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_cycles_beside_all_that_goes_on_lose_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
