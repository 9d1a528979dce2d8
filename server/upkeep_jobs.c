#include "server/upkeep_jobs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/log.h"
#include "storage/store.h"
#include "storage/store_gc.h"
#include "storage/store_retention.h"
#include "storage/store_space.h"
#include "storage/store_time.h"
#include "storage/store_verify.h"

#define WHO "holdfastd"
/* How long a collection waits for those who hold packs, before it leaves them. */
#define WAIT_MS 5000u

/* -------------------------------------------------------------------- prune -- */

struct pruning {
	const struct upkeep_run *run;
	uint64_t gone, hosts, stopped;
};

static int
pruned(void *arg, const struct store_pruned *p)
{
	struct pruning *w = arg;

	if (p->stopped[0] != '\0') {
		w->stopped++;
		log_event(LOG_WARN, "prune: %s is left alone: %s", p->host, p->stopped);
	} else if (p->gone > 0) {
		w->hosts++;
		w->gone += p->gone;
		log_event(LOG_INFO, "prune: %u points of %s", p->gone, p->host);
	}
	return atomic_load(w->run->stop);
}

int
upkeep_prune(const struct upkeep_run *r, struct err *err)
{
	struct pruning w = { .run = r };
	char why[STORE_TEXT_MAX];

	if (store_time_paused(r->store, why)) {
		(void)snprintf(r->said, r->cap, "skipped: %s", why);
		return 0;
	}
	store_space_lend(r->store);
	if (store_prune(r->store, WHO, NULL, 0, pruned, &w, err) < 0)
		return -1;
	if (atomic_load(r->stop))
		return err_set(err, ERR_CANCELED, "the server stops");
	(void)snprintf(r->said, r->cap,
	    "%llu points of %llu hosts, %llu hosts left alone",
	    (unsigned long long)w.gone, (unsigned long long)w.hosts,
	    (unsigned long long)w.stopped);
	return 0;
}

/* ------------------------------------------------------------------- collect -- */

static int
stopped(void *arg, const struct store_gc_report *report)
{
	const struct upkeep_run *r = arg;

	(void)report;
	return atomic_load(r->stop);
}

int
upkeep_gc(const struct upkeep_run *r, struct err *err)
{
	struct store_gc_config config = { .max_rate = r->rate, .wait_ms = WAIT_MS };
	struct store_gc_report report;

	/* Whose lease is old is not known while the time is in doubt. */
	if (!store_time_paused(r->store, NULL))
		config.lease_keep_us = config.live_keep_us = r->lease_keep_us;
	store_space_lend(r->store);
	memset(&report, 0, sizeof(report));
	if (store_space_seal(r->store, err) != 0 ||
	    store_gc(r->store, &config, stopped, (void *)(uintptr_t)r, &report, err) != 0)
		return -1;
	(void)snprintf(r->said, r->cap,
	    "%llu MiB freed, %u packs of %u removed, %u rewritten%s%s",
	    (unsigned long long)(report.bytes_freed >> 20), report.packs_removed,
	    report.packs, report.packs_rewritten,
	    report.state == STORE_GC_WAITING ? ", more when it is let go by " : "",
	    report.state != STORE_GC_WAITING ? ""
	    : report.waiting_host[0] != '\0' ? report.waiting_host
					     : "a reader");
	return 0;
}

/* -------------------------------------------------------------------- verify -- */

static int
checked(void *arg, const struct store_verify_report *report, const char *problem)
{
	const struct upkeep_run *r = arg;

	(void)report;
	if (problem != NULL)
		log_event(LOG_ERROR, "verify: %s", problem);
	return atomic_load(r->stop);
}

/*
 * A share of the packs, those first that were checked longest ago: such a one that
 * all have been read when the cycle is over.  Now and then with all points' trees.
 */
int
upkeep_verify(const struct upkeep_run *r, struct err *err)
{
	struct store_verify_options o = { .rate = r->rate, .trees = r->trees };
	struct store_verify_report report;
	struct store_stats stats;

	if (store_stats(r->store, &stats, err) != 0)
		return -1;
	o.since_us = store_now(r->store);
	/* A pack more than is due: the last one of a window is read whole. */
	o.bytes_max = (uint64_t)((double)stats.stored_bytes * (double)r->verify_every_s /
				 (double)r->verify_cycle_s) +
		      1;
	memset(&report, 0, sizeof(report));
	if (store_verify_with(
		r->store, &o, checked, (void *)(uintptr_t)r, &report, err) != 0)
		return -1;
	(void)snprintf(r->said, r->cap,
	    "%llu groups, %llu MiB, %llu bad; %llu of %llu points verified",
	    (unsigned long long)report.groups, (unsigned long long)(report.bytes >> 20),
	    (unsigned long long)report.bad_groups,
	    (unsigned long long)report.points_verified,
	    (unsigned long long)report.points_checked);
	return 0;
}
