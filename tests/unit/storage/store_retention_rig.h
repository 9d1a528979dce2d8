/*
 * store_retention_rig.h - a store with a clock of the test's, points that have
 * nothing but counts, and what pruning said of them as text.
 */
#ifndef TESTS_UNIT_STORAGE_STORE_RETENTION_RIG_H
#define TESTS_UNIT_STORAGE_STORE_RETENTION_RIG_H

#include "storage/catalog.h"
#include "storage/fs_fault.h"
#include "storage/store_options.h"
#include "storage/store_retention.h"
#include "storage/store_time.h"
#include "tests/unit/storage/store_rig.h"

#define HOUR ((int64_t)3600 * 1000000)
#define DAY (24 * HOUR)
#define MIB ((uint64_t)1024 * 1024)

/* The machine's clock, and the one that nobody sets. */
static int64_t clock_us, monotonic_us;

static inline int64_t
the_clock(void)
{
	return clock_us;
}

static inline int64_t
the_monotonic(void)
{
	return monotonic_us;
}

static inline void
pass(int64_t us)
{
	clock_us += us;
	monotonic_us += us;
}

struct here {
	struct fs_fault *ff;
	struct store *s;
	struct store_point point;
	struct err err;
};

#define OK(call) rig_ok(call, &h->err)

static inline void
open_store(struct here *h, const char *catalog, int first)
{
	struct store_options o = STORE_OPTIONS_INIT;

	if (first)
		o.clock_jump_us = 0;
	o.clock = the_clock;
	o.monotonic = the_monotonic;
	OK(store_open_with_fs(fs_fault_fs(h->ff), catalog, &o, &h->s, &h->err));
}

static inline int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	assert_int_equal(setenv("TZ", "UTC", 1), 0);
	tzset();
	/* 2040-01-11 12:00: later than the machine's, by which the store is made. */
	clock_us = (int64_t)2209896000 * 1000000;
	h->ff = fs_fault_new(1);
	assert_non_null(h->ff);
	OK(store_init_fs(fs_fault_fs(h->ff), &h->err));
	open_store(h, "catalog.db", 1);
	/* Once believed it is followed, and not more. */
	OK(store_secret_put(h->s, "x", (const uint8_t *)"x", 1, &h->err));
	store_close(h->s);
	open_store(h, "catalog.db", 0);
	*state = h;
	return 0;
}

static inline int
teardown(void **state)
{
	struct here *h = *state;

	store_close(h->s);
	fs_fault_free(h->ff);
	free(h);
	return 0;
}

/* As after a restart, or (`anew`) from the journal alone. */
static inline void
reopen(struct here *h, int anew)
{
	store_close(h->s);
	h->s = NULL;
	open_store(h, anew ? NULL : "catalog.db", 0);
}

static inline void
refused(struct here *h, int ret, enum err_code code, const char *words)
{
	assert_int_equal(ret, -1);
	if (h->err.code != code || strstr(h->err.text, words) == NULL)
		fail_msg("%s: %s", err_name(h->err.code), h->err.text);
	err_clear(&h->err);
}

/* A point that has nothing but its counts. */
static inline uint64_t
add_point_of(struct here *h, const char *host, const char *volume, uint64_t fresh,
    uint64_t stored, const uint8_t *facts, size_t facts_len)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	struct store_point *p = &e->u.point;
	struct catalog_head head;
	uint64_t sequence;

	assert_non_null(e);
	e->type = JOURNAL_POINT;
	OK(catalog_head(h->s->catalog, host, &head, &h->err));
	(void)snprintf(p->host, sizeof(p->host), "%s", host);
	p->sequence = sequence = head.sequence + 1;
	memcpy(p->previous, head.record, sizeof(p->previous));
	p->volumes_count = 1;
	(void)snprintf(p->volumes[0].name, sizeof(p->volumes[0].name), "%s", volume);
	p->volumes[0].data_bytes = 1000 * MIB;
	p->frozen_at_us = (int64_t)rand() << 30; /* The host's word. */
	p->counts.new_bytes = fresh;
	p->counts.stored_bytes = stored;
	if (facts_len > 0)
		OK(store_facts_add(p, facts, facts_len, &h->err));
	OK(store_record(h->s, e, NULL, &h->err));
	free(e);
	return sequence;
}

static inline uint64_t
add_point_saying(struct here *h, const char *host, uint64_t fresh, uint64_t stored,
    const uint8_t *facts, size_t facts_len)
{
	return add_point_of(h, host, "C", fresh, stored, facts, facts_len);
}

static inline uint64_t
add_point(struct here *h, const char *host, uint64_t fresh, uint64_t stored)
{
	return add_point_saying(h, host, fresh, stored, NULL, 0);
}

/* A point a day at noon. */
static inline void
add_days(struct here *h, const char *host, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		(void)add_point(h, host, 10 * MIB, 5 * MIB);
		pass(DAY);
	}
}

static inline void
verified(struct here *h, const char *host, uint64_t sequence)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->type = JOURNAL_VERIFIED;
	(void)snprintf(e->u.mark.host, STORE_NAME_MAX, "%s", host);
	e->u.mark.sequence = sequence;
	e->u.mark.when_us = store_now(h->s);
	OK(store_record(h->s, e, NULL, &h->err));
	free(e);
}

static inline void
set_policy(struct here *h, enum store_scope scope, const char *name, struct store_rules r)
{
	struct store_policy p = { .scope = scope, .set = 1, .rules = r };

	(void)snprintf(p.name, sizeof(p.name), "%s", name);
	(void)snprintf(p.who, sizeof(p.who), "alice");
	OK(store_policy_put(h->s, &p, &h->err));
}

/* ------------------------------------------------------------------- pruning -- */

/* What store_prune() said of one host, as text: "1- 2+ 3+ stopped: why". */
struct said {
	char text[4000], why[4000], stopped[STORE_TEXT_MAX];
	uint32_t hosts, gone;
};

static inline int
hear(void *arg, const struct store_pruned *p)
{
	struct said *s = arg;
	size_t n = strlen(s->text), w = strlen(s->why);

	s->hosts++;
	s->gone += p->gone;
	memcpy(s->stopped, p->stopped, sizeof(s->stopped));
	for (uint32_t i = 0; i < p->n; i++) {
		n += (size_t)snprintf(s->text + n, sizeof(s->text) - n, "%s%llu%c",
		    n > 0 ? " " : "", (unsigned long long)p->fates[i].kept.sequence,
		    p->fates[i].stays ? '+' : '-');
		w += (size_t)snprintf(s->why + w, sizeof(s->why) - w, "%llu: %s\n",
		    (unsigned long long)p->fates[i].kept.sequence, p->fates[i].why);
	}
	assert_int_equal(p->stay + p->go, p->n);
	return 0;
}

static inline struct said *
prune(struct here *h, const char *host, int dry)
{
	static struct said s;

	memset(&s, 0, sizeof(s));
	OK(store_prune(h->s, "alice", host, dry, hear, &s, &h->err));
	return &s;
}

struct listing {
	char text[2000];
	struct store *s;
};

static inline int
list_one(void *arg, const struct store_kept *k)
{
	struct listing *l = arg;
	size_t n = strlen(l->text);

	(void)snprintf(l->text + n, sizeof(l->text) - n, "%s%llu%s%s%s", n > 0 ? " " : "",
	    (unsigned long long)k->sequence, k->held ? "h" : "",
	    store_is_locked(l->s, k) ? "l" : "", k->verified_us != 0 ? "v" : "");
	return 0;
}

/* The points there are: "1 2h 5l". */
static inline const char *
points(struct here *h, const char *host)
{
	static struct listing l;

	memset(&l, 0, sizeof(l));
	l.s = h->s;
	OK(store_kept(h->s, host, list_one, &l, &h->err));
	return l.text;
}

#endif /* TESTS_UNIT_STORAGE_STORE_RETENTION_RIG_H */
