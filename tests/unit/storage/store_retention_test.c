/* Policies, holds, locks and brakes of a store: what goes, what stays, what comes back.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "storage/catalog_db.h"
#include "tests/unit/storage/store_retention_rig.h"

static void
test_the_nearest_policy_applies_as_a_whole(void **state)
{
	struct here *h = *state;
	struct store_policy p;
	struct store_peer peer = { .role = 1 };
	struct store_token t = { .uses_left = 1, .ends_us = INT64_MAX };
	uint8_t cert[STORE_BLOB_MAX];
	size_t len = 10;

	memcpy(peer.name, "web01", 6);
	memcpy(t.group, "web", 4);
	OK(store_token_put(h->s, &t, &h->err));
	OK(store_enrol(h->s, t.hash, &peer, cert, &len, &h->err));
	OK(store_policy_of(h->s, "web01", &p, &h->err));
	assert_int_equal(p.set, 0);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .daily = 1 });
	set_policy(h, STORE_POLICY_GROUP, "web", (struct store_rules){ .weekly = 2 });
	set_policy(h, STORE_POLICY_GROUP, "db", (struct store_rules){ .weekly = 9 });
	for (int anew = 0; anew < 3; anew++) {
		OK(store_policy_of(h->s, "web01", &p, &h->err));
		assert_int_equal(p.scope, STORE_POLICY_GROUP);
		assert_string_equal(p.who, "alice");
		assert_int_equal(p.rules.weekly, 2);
		assert_int_equal(p.rules.daily, 0);
		OK(store_policy_of(h->s, "unknown", &p, &h->err));
		assert_int_equal(p.scope, STORE_POLICY_DEFAULT);
		reopen(h, anew);
	}
	set_policy(h, STORE_POLICY_HOST, "web01", (struct store_rules){ .yearly = 3 });
	OK(store_policy_of(h->s, "web01", &p, &h->err));
	assert_int_equal(p.scope, STORE_POLICY_HOST);
	p.set = 0;
	OK(store_policy_put(h->s, &p, &h->err));
	refused(
	    h, store_policy_put(h->s, &p, &h->err), ERR_NOTFOUND, "no policy of web01");
	OK(store_policy_of(h->s, "web01", &p, &h->err));
	assert_int_equal(p.scope, STORE_POLICY_GROUP);
}

static void
test_a_dry_run_says_it_and_pruning_does_it(void **state)
{
	struct here *h = *state;
	struct store_point *old = malloc(sizeof(*old));
	struct said *s;

	assert_non_null(old);
	add_days(h, "alpha", 8);
	OK(store_point_get(h->s, "alpha", 2, old, &h->err));
	s = prune(h, NULL, 0);
	assert_string_equal(s->text, "1+ 2+ 3+ 4+ 5+ 6+ 7+ 8+");
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .daily = 3 });
	OK(store_hold(h->s, "bob", "alpha", 3, "the case", &h->err));
	s = prune(h, "alpha", 1);
	assert_string_equal(s->text, "1- 2- 3+ 4- 5- 6+ 7+ 8+");
	assert_int_equal(s->gone, 0);
	assert_non_null(strstr(s->why, "2: no rule keeps it\n"));
	assert_non_null(strstr(s->why, "3: held [held by bob: the case]\n"));
	assert_non_null(strstr(s->why, "8: daily 1 of 3 (2040-01-18)\n"));
	assert_string_equal(points(h, "alpha"), "1 2 3h 4 5 6 7 8");
	s = prune(h, NULL, 0);
	assert_int_equal(s->gone, 4);
	for (int anew = 0; anew < 3; anew++) {
		assert_string_equal(points(h, "alpha"), "3h 6 7 8");
		refused(h, store_point_get(h->s, "alpha", 2, &h->point, &h->err),
		    ERR_NOTFOUND, "no point 2");
		/* It is still known to have been. */
		assert_int_equal(
		    store_record_known(h->s, "alpha", old->record, &h->err), 1);
		reopen(h, anew);
	}
	assert_int_equal(add_point(h, "alpha", 1, 1), 9);
	free(old);
}

/* Who did what, as the catalog has it. */
static const char *
audit(struct here *h)
{
	static char text[2000];
	sqlite3_stmt *st;

	text[0] = '\0';
	assert_int_equal(
	    sqlite3_prepare_v2(h->s->catalog->db,
		"SELECT who,what FROM audit ORDER BY sequence", -1, &st, NULL),
	    SQLITE_OK);
	while (sqlite3_step(st) == SQLITE_ROW) {
		size_t n = strlen(text);

		(void)snprintf(text + n, sizeof(text) - n, "%s: %s\n",
		    (const char *)sqlite3_column_text(st, 0),
		    (const char *)sqlite3_column_text(st, 1));
	}
	sqlite3_finalize(st);
	return text;
}

static void
test_every_host_goes_by_its_own_policy_and_audit_tells(void **state)
{
	struct here *h = *state;
	struct said *s;

	add_days(h, "alpha", 3);
	add_days(h, "beta", 3);
	set_policy(h, STORE_POLICY_HOST, "beta", (struct store_rules){ .last = 1 });
	s = prune(h, NULL, 0);
	assert_int_equal(s->hosts, 2);
	assert_string_equal(points(h, "alpha"), "1 2 3");
	assert_string_equal(points(h, "beta"), "3");
	OK(store_lock(h->s, "bob", "alpha", 2, store_now(h->s) + DAY, &h->err));
	OK(store_forget(h->s, "bob", "alpha", 1, "too large", &h->err));
	for (int anew = 0; anew < 3; anew++) {
		assert_string_equal(audit(h),
		    "alice: set the policy of host beta: last 1, hourly 0, daily 0, "
		    "weekly 0, monthly 0, yearly 0, within 0 s, at least 0, verified 0, "
		    "verified within 0 s\n"
		    "alice: pruned 2 points of 'beta': 1 2\n"
		    "bob: locked alpha/2 until 2040-01-18 12:00:00 UTC\n"
		    "bob: forgot alpha/1: too large\n");
		reopen(h, anew);
	}
}

static void
test_the_last_point_and_the_last_verified_ones_stay(void **state)
{
	struct here *h = *state;
	const struct store_rules r = {
		.within_s = 86400, .min_points = 1, .min_verified = 2
	};

	add_days(h, "alpha", 6);
	verified(h, "alpha", 1);
	verified(h, "alpha", 2);
	verified(h, "alpha", 4);
	set_policy(h, STORE_POLICY_DEFAULT, "", r);
	pass(10 * DAY);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "2v 4v");
	add_days(h, "beta", 3);
	pass(10 * DAY);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "beta"), "3");
	/* Only who says so loses the last one. */
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .within_s = 60 });
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "beta"), "");
	/* And the host goes on behind it. */
	assert_int_equal(add_point(h, "beta", 1, 1), 4);
}

/* -------------------------------------------------------------- hold and lock -- */

static void
test_what_is_held_is_held_until_it_is_released(void **state)
{
	struct here *h = *state;

	add_days(h, "alpha", 3);
	refused(h, store_hold(h->s, "bob", "alpha", 9, "x", &h->err), ERR_NOTFOUND,
	    "no point 9");
	refused(
	    h, store_hold(h->s, "bob", "alpha", 1, "", &h->err), ERR_PROTOCOL, "reason");
	OK(store_hold(h->s, "bob", "alpha", 1, "the case", &h->err));
	for (int anew = 0; anew < 3; anew++) {
		refused(h, store_hold(h->s, "eve", "alpha", 1, "mine", &h->err),
		    ERR_EXISTS, "held by bob already: the case");
		refused(h, store_forget(h->s, "eve", "alpha", 1, "x", &h->err),
		    ERR_DENIED, "held by bob");
		refused(h,
		    store_prune_points(
			h->s, "eve", "alpha", (const uint64_t[]){ 2, 1 }, 2, &h->err),
		    ERR_DENIED, "held by bob");
		assert_string_equal(points(h, "alpha"), "1h 2 3");
		reopen(h, anew);
	}
	OK(store_release(h->s, "bob", "alpha", 1, "closed", &h->err));
	refused(h, store_release(h->s, "bob", "alpha", 1, "", &h->err), ERR_NOTFOUND,
	    "not held");
	OK(store_forget(h->s, "bob", "alpha", 1, "done", &h->err));
	reopen(h, 1);
	assert_string_equal(points(h, "alpha"), "2 3");
	/* A hold goes with its point; another point of that number never comes. */
	refused(h, store_forget(h->s, "bob", "alpha", 1, "again", &h->err), ERR_NOTFOUND,
	    "no point 1");
}

static void
test_a_lock_is_never_shortened_and_opens_when_its_time_has_come(void **state)
{
	struct here *h = *state;
	int64_t until;

	add_days(h, "alpha", 3);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	until = store_now(h->s) + 3 * DAY;
	refused(h, store_lock(h->s, "bob", "alpha", 1, store_now(h->s) - HOUR, &h->err),
	    ERR_DENIED, "in the future");
	OK(store_lock(h->s, "bob", "alpha", 1, until, &h->err));
	refused(h, store_lock(h->s, "root", "alpha", 1, until - 1, &h->err), ERR_DENIED,
	    "never shortened");
	until += DAY;
	OK(store_lock(h->s, "bob", "alpha", 1, until, &h->err));
	for (int anew = 0; anew < 3; anew++) {
		refused(h, store_forget(h->s, "root", "alpha", 1, "x", &h->err),
		    ERR_DENIED, "locked");
		refused(h,
		    store_prune_points(
			h->s, "root", "alpha", (const uint64_t[]){ 1 }, 1, &h->err),
		    ERR_DENIED, "locked");
		(void)prune(h, NULL, 0);
		assert_string_equal(points(h, "alpha"), "1l 3");
		reopen(h, anew);
	}
	pass(until - clock_us - HOUR);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "1l 3");
	pass(2 * HOUR);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "3");
}

static void
test_a_record_cannot_shorten_a_lock_either(void **state)
{
	struct here *h = *state;
	struct journal_event *e = calloc(1, sizeof(*e));
	struct store_kept k;
	int64_t until;

	assert_non_null(e);
	add_days(h, "alpha", 1);
	until = store_now(h->s) + 3 * DAY;
	OK(store_lock(h->s, "bob", "alpha", 1, until, &h->err));
	e->type = JOURNAL_LOCK;
	memcpy(e->u.mark.host, "alpha", 6);
	e->u.mark.sequence = 1;
	e->u.mark.when_us = 5;
	OK(store_record(h->s, e, NULL, &h->err));
	for (int anew = 0; anew < 3; anew++) {
		OK(store_kept_one(h->s, "alpha", 1, &k, &h->err));
		assert_int_equal(k.locked_us, until);
		reopen(h, anew);
	}
	free(e);
}

static void
test_while_the_clock_is_in_doubt_nothing_goes_and_nothing_opens(void **state)
{
	struct here *h = *state;
	struct said *s;

	add_days(h, "alpha", 4);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	OK(store_lock(h->s, "bob", "alpha", 1, store_now(h->s) + 3 * DAY, &h->err));
	for (int back = 0; back < 2; back++) {
		clock_us += (back ? -365 : 365) * DAY;
		s = prune(h, NULL, 0);
		assert_non_null(strstr(s->stopped, "clock"));
		assert_int_equal(s->gone, 0);
		assert_string_equal(s->text, "1+ 2- 3- 4+");
		assert_string_equal(points(h, "alpha"), "1l 2 3 4");
		refused(h, store_forget(h->s, "bob", "alpha", 2, "x", &h->err),
		    ERR_DENIED, "clock");
		refused(h, store_forget(h->s, "bob", "alpha", 1, "x", &h->err),
		    ERR_DENIED, "clock");
		clock_us += (back ? 365 : -365) * DAY;
	}
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "1l 4");
}

/* -------------------------------------------------------------------- brakes -- */

static void
test_a_host_that_changes_as_never_before_is_not_pruned(void **state)
{
	struct here *h = *state;
	struct store_brake b;
	struct said *s;

	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	(void)add_point(h, "alpha", 1000 * MIB, 500 * MIB);
	add_days(h, "alpha", 9);
	add_days(h, "beta", 3);
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 0);
	assert_string_equal(b.text, "");
	(void)add_point(h, "alpha", 900 * MIB, 890 * MIB);
	/* Looking changes nothing. */
	s = prune(h, "alpha", 1);
	assert_non_null(strstr(s->stopped, "point 11 is new by 90.0 %"));
	OK(store_brake_of(h->s, "alpha", &b, &h->err));
	assert_string_equal(b.text, "");
	s = prune(h, NULL, 0);
	assert_int_equal(s->gone, 2);
	assert_string_equal(points(h, "beta"), "3");
	for (int anew = 0; anew < 3; anew++) {
		OK(store_brake_of(h->s, "alpha", &b, &h->err));
		assert_non_null(strstr(b.text, "point 11 is new by 90.0 %"));
		assert_string_equal(b.who, "");
		s = prune(h, "alpha", 0);
		assert_int_equal(s->gone, 0);
		reopen(h, anew);
	}
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 0);
	OK(store_brake_clear(h->s, "alice", "alpha", &h->err));
	refused(h, store_brake_clear(h->s, "alice", "alpha", &h->err), ERR_NOTFOUND,
	    "not braked");
	reopen(h, 1);
	OK(store_brake_of(h->s, "alpha", &b, &h->err));
	assert_string_equal(b.text, "");
	assert_string_equal(b.who, "alice");
	s = prune(h, "alpha", 0);
	assert_string_equal(s->stopped, "");
	assert_string_equal(points(h, "alpha"), "11");
	/* What it was like is not forgotten with its points. */
	(void)add_point(h, "alpha", 900 * MIB, 890 * MIB);
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 1);
}

static void
test_a_host_that_nobody_verified_is_not_pruned(void **state)
{
	struct here *h = *state;
	struct store_rules r = { .last = 1, .verified_s = 5 * 86400 };
	struct store_brake b;
	struct said *s;

	set_policy(h, STORE_POLICY_DEFAULT, "", r);
	add_days(h, "alpha", 5);
	s = prune(h, NULL, 1);
	assert_string_equal(s->stopped, "");
	pass(HOUR);
	s = prune(h, NULL, 1);
	assert_non_null(
	    strstr(s->stopped, "no point was ever verified, and its oldest, 1"));
	verified(h, "alpha", 2);
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 0);
	pass(DAY);
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 1);
	assert_string_equal(b.text, "its newest verified point, 2, is 5 days 1 hours "
				    "old, the policy allows 5 days "
				    "0 hours: verify it");
	s = prune(h, NULL, 0);
	assert_int_equal(s->gone, 0);
	/* Clearing it is good for as long again, no longer. */
	OK(store_brake_clear(h->s, "alice", "alpha", &h->err));
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 0);
	pass(5 * DAY + HOUR);
	assert_int_equal(store_brake_check(h->s, "alpha", &b, &h->err), 1);
}

/* ---------------------------------------------------------------------- faults -- */

/* Anything fails, or the process or the power dies, while two hosts are pruned. */
static uint64_t
sweep(enum fs_fault_kind kind, int power_cut)
{
	struct said *said = calloc(1, sizeof(*said));
	uint64_t nth;
	int fired = 1;

	assert_non_null(said);
	for (nth = 1; fired; nth += RIG_STRIDE) {
		struct here *h;
		void *state;
		const char *a;
		int ret;

		assert_int_equal(setup(&state), 0);
		h = state;
		assert_true(nth < 500);
		add_days(h, "alpha", 5);
		add_days(h, "beta", 4);
		OK(store_hold(h->s, "bob", "alpha", 1, "x", &h->err));
		OK(store_lock(
		    h->s, "bob", "beta", 1, store_now(h->s) + 99 * DAY, &h->err));
		set_policy(
		    h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 2 });
		fs_fault_arm(h->ff, nth, kind);
		memset(said, 0, sizeof(*said));
		ret = store_prune(h->s, "alice", NULL, 0, hear, said, &h->err);
		fired = fs_fault_fired(h->ff);
		if (!fired)
			assert_int_equal(ret, 0);
		err_clear(&h->err);
		store_close(h->s);
		h->s = NULL;
		if (kind == FS_FAULT_DIE)
			fs_fault_restart(h->ff, power_cut);
		else
			fs_fault_arm(h->ff, 0, FS_FAULT_NONE);
		open_store(h, nth % 2 == 0 ? NULL : "catalog.db", 0);
		/* A host's points go together or not at all; what was told is done. */
		a = points(h, "alpha");
		assert_true(strcmp(a, "1h 4 5") == 0 ||
			    (ret != 0 && strcmp(a, "1h 2 3 4 5") == 0));
		a = points(h, "beta");
		assert_true(
		    strcmp(a, "1l 3 4") == 0 || (ret != 0 && strcmp(a, "1l 2 3 4") == 0));
		(void)prune(h, NULL, 0);
		assert_string_equal(points(h, "alpha"), "1h 4 5");
		assert_string_equal(points(h, "beta"), "1l 3 4");
		(void)teardown(&state);
	}
	free(said);
	return nth - 2;
}

static void
test_whatever_fails_a_host_is_pruned_or_is_not(void **state)
{
	static const struct {
		enum fs_fault_kind kind;
		int power_cut;
	} ways[] = { { FS_FAULT_EIO, 0 }, { FS_FAULT_ENOSPC, 0 }, { FS_FAULT_DIE, 0 },
		{ FS_FAULT_DIE, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		uint64_t n = sweep(ways[i].kind, ways[i].power_cut);

		print_message("prune, way %zu: %llu calls\n", i, (unsigned long long)n);
		assert_true(n >= 4);
	}
}

/* --------------------------------------------------------------------- threads -- */

#define ROUNDS 30u

struct race {
	struct store *s;
	atomic_int over;
	int failed;
};

static int
hear_nothing(void *arg, const struct store_pruned *p)
{
	/* Two stay, whoever came in between. */
	return p->stay < 2 && p->n >= 2 ? (*(int *)arg = 1) : 0;
}

static void *
prune_on(void *arg)
{
	struct race *r = arg;
	struct err err = ERR_INIT;

	while (!atomic_load(&r->over) && !r->failed)
		if (store_prune(r->s, "alice", NULL, 0, hear_nothing, &r->failed, &err) !=
		    0)
			r->failed = 1;
	return NULL;
}

/* What was held when it was said so is there until it is released. */
static void *
hold_on(void *arg)
{
	struct race *r = arg;
	struct store_kept k;

	for (uint64_t n = 1; !atomic_load(&r->over); n = n % ROUNDS + 1) {
		struct err err = ERR_INIT;

		if (store_hold(r->s, "bob", "alpha", n, "mine", &err) != 0)
			continue;
		if (store_kept_one(r->s, "alpha", n, &k, &err) != 0 || !k.held ||
		    store_release(r->s, "bob", "alpha", n, "", &err) != 0)
			r->failed = 1;
	}
	return NULL;
}

static void
test_backups_prunes_and_holds_at_once(void **state)
{
	static struct here room;
	struct here *h = &room;
	struct store_policy policy = { .set = 1, .rules = { .last = 2 } };
	struct race r = { 0 };
	pthread_t threads[2];
	uint32_t blocks[8];
	char dir[64];

	(void)state;
	rig_dir(dir);
	OK(store_init(dir, &h->err));
	OK(store_open(dir, &r.s, &h->err));
	OK(store_policy_put(r.s, &policy, &h->err));
	assert_int_equal(pthread_create(&threads[0], NULL, prune_on, &r), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, hold_on, &r), 0);
	for (uint32_t i = 0; i < ROUNDS; i++) {
		rig_fill(blocks, 8, 50 * (i + 1));
		OK(rig_backup(
		    r.s, "alpha", &(struct rig_volume){ blocks, 8 }, &h->point, &h->err));
		assert_int_equal(h->point.sequence, i + 1);
	}
	atomic_store(&r.over, 1);
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(r.failed, 0);
	OK(store_point_get(r.s, "alpha", ROUNDS - 1, &h->point, &h->err));
	OK(store_point_get(r.s, "alpha", ROUNDS, &h->point, &h->err));
	OK(rig_verify(r.s, &h->point, 0, &(struct rig_volume){ blocks, 8 }, &h->err));
	store_close(r.s);
	rig_remove(dir);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_the_nearest_policy_applies_as_a_whole),
		T(test_a_dry_run_says_it_and_pruning_does_it),
		T(test_every_host_goes_by_its_own_policy_and_audit_tells),
		T(test_the_last_point_and_the_last_verified_ones_stay),
		T(test_what_is_held_is_held_until_it_is_released),
		T(test_a_lock_is_never_shortened_and_opens_when_its_time_has_come),
		T(test_a_record_cannot_shorten_a_lock_either),
		T(test_while_the_clock_is_in_doubt_nothing_goes_and_nothing_opens),
		T(test_a_host_that_changes_as_never_before_is_not_pruned),
		T(test_a_host_that_nobody_verified_is_not_pruned),
		cmocka_unit_test(test_whatever_fails_a_host_is_pruned_or_is_not),
		cmocka_unit_test(test_backups_prunes_and_holds_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
