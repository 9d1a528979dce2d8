#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/upkeep.h"
#include "storage/store_gc.h"
#include "storage/store_space.h"
#include "storage/store_time.h"

#define EVERY_MS 300
#define WAIT_MS 5000u

struct collecting {
	struct session_job *j;
	int64_t told_ms;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* `waiting` has room for a name and some words. */
static void
fill(const struct store_gc_report *r, Wire__CollectReport *m, char waiting[128])
{
	m->state = (uint32_t)r->state;
	m->points = r->points;
	m->chunks = r->chunks;
	m->missing = r->missing;
	m->packs = r->packs;
	m->packs_left = (uint64_t)r->packs_young + r->packs_pinned + r->packs_bad;
	m->packs_rewritten = r->packs_rewritten;
	m->packs_condemned = r->packs_condemned;
	m->packs_removed = r->packs_removed;
	m->bytes_total = r->bytes_total;
	m->bytes_dead = r->bytes_dead;
	m->bytes_freed = r->bytes_freed;
	m->bytes_rewritten = r->bytes_rewritten;
	m->leases_revoked = r->leases_revoked;
	m->disk_full = r->rewrite_full != 0;
	if (r->state != STORE_GC_WAITING)
		return;
	(void)snprintf(waiting, 128, "a %s of %s",
	    r->waiting_purpose == STORE_BACKUP ? "backup" : "restore",
	    r->waiting_host[0] != '\0' ? r->waiting_host : "an operator");
	m->waiting = waiting;
}

static int
tell(void *arg, const struct store_gc_report *r)
{
	struct collecting *c = arg;
	Wire__CollectReport m = WIRE__COLLECT_REPORT__INIT;
	int64_t now = now_ms();
	char waiting[128];

	if (now - c->told_ms >= EVERY_MS) {
		fill(r, &m, waiting);
		session_progress(c->j, &m.base);
		c->told_ms = now;
	}
	return atomic_load(&c->j->s->gone);
}

void
session_collect_run(struct session_job *j)
{
	const Wire__Collect *m = (const Wire__Collect *)j->msg;
	const struct session_world *w = j->s->world;
	struct store_gc_config config = {
		.dry_run = m->dry_run,
		.max_rate = m->max_rate != 0 ? m->max_rate : upkeep_rate(w->upkeep),
		.wait_ms = WAIT_MS,
	};
	struct collecting c = { .j = j, .told_ms = now_ms() };
	Wire__CollectReport out = WIRE__COLLECT_REPORT__INIT;
	struct store_gc_report r;
	char waiting[128];

	if (!m->dry_run && session_audit(j, "began to collect what nothing needs") != 0)
		return;
	if (!m->dry_run && !store_time_paused(w->store, NULL))
		config.lease_keep_us = config.live_keep_us =
		    upkeep_lease_keep_us(w->upkeep);
	if (!m->dry_run)
		store_space_lend(w->store);
	memset(&r, 0, sizeof(r));
	if (!m->dry_run && store_space_seal(w->store, &j->err) != 0)
		return;
	if (store_gc(w->store, &config, tell, &c, &r, &j->err) != 0)
		return;
	fill(&r, &out, waiting);
	session_reply(j, &out.base, 0);
	session_log(j->s, LOG_INFO, "collected: %llu bytes freed, %u packs removed",
	    (unsigned long long)r.bytes_freed, r.packs_removed);
}

void
session_jobs_run(struct session_job *j)
{
	struct upkeep_status status[UPKEEP_JOBS];
	Wire__Job items[UPKEEP_JOBS], *pointers[UPKEEP_JOBS];
	Wire__Jobs m = WIRE__JOBS__INIT;

	upkeep_status(j->s->world->upkeep, status);
	for (size_t i = 0; i < UPKEEP_JOBS; i++) {
		wire__job__init(&items[i]);
		items[i].name = (char *)(uintptr_t)status[i].name;
		items[i].running = status[i].running;
		items[i].next_us = status[i].next_us;
		items[i].began_us = status[i].began_us;
		items[i].ended_us = status[i].ended_us;
		items[i].code = (uint32_t)status[i].how.code;
		items[i].text = status[i].how.text;
		pointers[i] = &items[i];
	}
	m.n_jobs = UPKEEP_JOBS;
	m.jobs = pointers;
	session_reply(j, &m.base, 0);
}
