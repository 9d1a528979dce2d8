/* Restores: one machine, one host, until it is over; the journal alone knows it all. */
#include <pthread.h>

#include "storage/store_audit.h"
#include "storage/store_restores.h"
#include "storage/store_rollback.h"
#include "storage/store_space.h"
#include "tests/unit/storage/store_retention_rig.h"

static const uint8_t mac_a[STORE_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 1 };
static const uint8_t mac_b[STORE_MAC_LEN] = { 0x52, 0x54, 0, 0, 0, 2 };

/* Allow one of `host` by token `t`, or (0) by MAC. */
static struct store_restore
allow(struct here *h, const char *host, uint8_t t, const uint8_t *mac, uint64_t sequence)
{
	struct store_restore r = { .sequence = sequence, .only = sequence != 0 };

	(void)snprintf(r.host, sizeof(r.host), "%s", host);
	(void)snprintf(r.who, sizeof(r.who), "alice");
	memset(r.token, t, sizeof(r.token));
	r.by_mac = mac != NULL;
	if (mac != NULL)
		memcpy(r.mac, mac, sizeof(r.mac));
	r.ends_us = store_now(h->s) + DAY;
	OK(store_restore_allow(h->s, &r, &h->err));
	return r;
}

/* Machine `m` with key `k` and a certificate `c`. */
static struct store_redeem
machine(uint8_t m, uint8_t k, uint8_t c)
{
	struct store_redeem by = { .cert_ends_us = 7 };

	memset(by.machine, m, sizeof(by.machine));
	memset(by.key_hash, k, sizeof(by.key_hash));
	memset(by.serial, c, sizeof(by.serial));
	return by;
}

static int
redeem(struct here *h, uint64_t id, struct store_redeem by, struct store_restore *r,
    int *resumed)
{
	return store_restore_redeem(h->s, id, &by, r, resumed, &h->err);
}

static void
the_first_machine_is_the_only_one(void **state)
{
	struct here *h = *state;
	struct store_restore r, found;
	int resumed = 9;

	add_point(h, "web", 1, 1);
	add_point(h, "web", 1, 1);
	r = allow(h, "web", 1, NULL, 0);
	assert_int_not_equal(r.id, 0);
	OK(redeem(h, r.id, machine('a', 1, 1), &r, &resumed));
	assert_int_equal(resumed, 0);
	assert_int_equal(r.sequence, 2);
	refused(h, redeem(h, r.id, machine('b', 2, 2), &r, &resumed), ERR_DENIED,
	    "another machine");

	/* The point that was the newest then stays the one. */
	add_point(h, "web", 1, 1);
	for (int anew = 0; anew < 3; anew++) {
		OK(redeem(h, r.id, machine('a', 3, (uint8_t)(3 + anew)), &r, &resumed));
		assert_int_equal(resumed, 1);
		assert_int_equal(r.sequence, 2);
		reopen(h, anew == 1);
	}
	/* Only the newest certificate counts. */
	OK(store_restore_by_serial(h->s, machine(0, 0, 5).serial, &found, &h->err));
	assert_int_equal(found.id, r.id);
	refused(h,
	    store_restore_by_serial(h->s, machine(0, 0, 4).serial, &found, &h->err),
	    ERR_NOTFOUND, "newer one");
	refused(h,
	    store_restore_by_serial(h->s, machine(0, 0, 0).serial, &found, &h->err),
	    ERR_NOTFOUND, "no restore");
}

static void
what_is_over_stays_over(void **state)
{
	struct here *h = *state;
	struct store_restore r;
	int resumed;

	add_point(h, "web", 1, 1);
	for (int how = STORE_RESTORE_DONE; how <= STORE_RESTORE_ENDED; how++) {
		r = allow(h, "web", (uint8_t)how, NULL, 0);
		OK(redeem(h, r.id, machine('a', 1, 1), &r, &resumed));
		refused(h,
		    store_restore_end(h->s, r.id, (enum store_restore_state)how,
			machine(0, 0, 2).serial, "", "", &h->err),
		    ERR_DENIED, "newer certificate");
		OK(store_restore_end(h->s, r.id, (enum store_restore_state)how,
		    how == STORE_RESTORE_DONE ? r.serial : NULL, "bob", "why", &h->err));
		reopen(h, how == STORE_RESTORE_DONE);
		refused(h, redeem(h, r.id, machine('a', 1, 2), &r, &resumed), ERR_DENIED,
		    how == STORE_RESTORE_DONE ? "is done" : "was ended");
		OK(store_restore_by_id(h->s, r.id, &r, &h->err));
		assert_int_equal(r.state, how);
		assert_string_equal(r.text, "why");
		refused(h,
		    store_restore_end(
			h->s, r.id, STORE_RESTORE_ENDED, NULL, "bob", "", &h->err),
		    ERR_DENIED, "is over");
	}
}

static void
the_time_is_for_the_beginning_only(void **state)
{
	struct here *h = *state;
	struct store_restore begun, late;
	int resumed;

	add_point(h, "web", 1, 1);
	begun = allow(h, "web", 1, NULL, 0);
	late = allow(h, "web", 2, NULL, 0);
	OK(redeem(h, begun.id, machine('a', 1, 1), &begun, &resumed));
	pass(2 * DAY);
	OK(redeem(h, begun.id, machine('a', 2, 2), &begun, &resumed));
	refused(h, redeem(h, late.id, machine('a', 3, 3), &late, &resumed), ERR_DENIED,
	    "has passed");
	OK(store_restore_by_id(h->s, late.id, &late, &h->err));
	assert_false(store_restore_is_open(h->s, &late));
	assert_true(store_restore_is_open(h->s, &begun));
}

static void
a_mac_needs_the_code_of_each_key(void **state)
{
	struct here *h = *state;
	struct store_restore r, found;
	struct store_redeem one = machine('a', 1, 1), two = machine('a', 2, 2),
			    other = machine('b', 3, 3);
	int resumed;

	add_point(h, "web", 1, 1);
	r = allow(h, "web", 0, mac_a, 0);
	assert_int_equal(store_restore_by_mac(h->s, mac_a, &found, &h->err), 1);
	assert_int_equal(store_restore_by_mac(h->s, mac_b, &found, &h->err), 0);
	/* The token of an armed one is zeros: nobody has it. */
	refused(h, store_restore_by_token(h->s, r.token, &found, &h->err), ERR_NOTFOUND,
	    "not known");
	refused(h, redeem(h, r.id, one, &r, &resumed), ERR_DENIED, "no operator");

	OK(store_restore_confirm(
	    h->s, r.id, "alice", one.machine, one.key_hash, &r, &h->err));
	assert_int_equal(store_restore_by_key(h->s, one.key_hash, &found, &h->err), 1);
	refused(h, redeem(h, r.id, two, &r, &resumed), ERR_DENIED, "no operator");
	OK(redeem(h, r.id, one, &r, &resumed));
	assert_int_equal(resumed, 0);

	/* After a power cut it has another key; another machine has none. */
	refused(h, redeem(h, r.id, two, &r, &resumed), ERR_DENIED, "no operator");
	refused(h,
	    store_restore_confirm(
		h->s, r.id, "alice", other.machine, other.key_hash, &r, &h->err),
	    ERR_DENIED, "another machine");
	OK(store_restore_confirm(
	    h->s, r.id, "alice", two.machine, two.key_hash, &r, &h->err));
	assert_int_equal(store_restore_by_key(h->s, one.key_hash, &found, &h->err), 0);
	reopen(h, 1);
	OK(redeem(h, r.id, two, &r, &resumed));
	assert_int_equal(resumed, 1);
	OK(store_restore_end(h->s, r.id, STORE_RESTORE_DONE, r.serial, "", "", &h->err));
	assert_int_equal(store_restore_by_key(h->s, two.key_hash, &found, &h->err), 0);
	assert_int_equal(store_restore_by_mac(h->s, mac_a, &found, &h->err), 0);
	(void)allow(h, "web", 0, mac_a, 0);
}

static void
what_may_not_be_allowed(void **state)
{
	struct here *h = *state;
	struct store_peer p = { .role = 5, .serial = { 1 }, .key_hash = { 1 } };
	struct store_restore r = { 0 };

	(void)snprintf(r.host, sizeof(r.host), "web");
	(void)snprintf(r.who, sizeof(r.who), "alice");
	r.ends_us = store_now(h->s) + DAY;
	refused(h, store_restore_allow(h->s, &r, &h->err), ERR_NOTFOUND, "no point");
	add_point(h, "web", 1, 1);
	r.sequence = 2;
	refused(h, store_restore_allow(h->s, &r, &h->err), ERR_NOTFOUND, "no point 2");
	r.sequence = 1;
	r.ends_us = store_now(h->s);
	refused(h, store_restore_allow(h->s, &r, &h->err), ERR_DENIED, "future");
	r.ends_us += DAY;
	(void)allow(h, "web", 0, mac_a, 0);
	memcpy(r.mac, mac_a, sizeof(r.mac));
	r.by_mac = 1;
	refused(h, store_restore_allow(h->s, &r, &h->err), ERR_EXISTS, "armed");
	r.by_mac = 0;
	for (unsigned i = 1; i < STORE_RESTORES_HOST_MAX; i++)
		(void)allow(h, "web", (uint8_t)i, NULL, 0);
	refused(h, store_restore_allow(h->s, &r, &h->err), ERR_LIMIT, "16 restores");
	/* Those that are late make room. */
	pass(2 * DAY);
	r.ends_us = store_now(h->s) + DAY;
	OK(store_restore_allow(h->s, &r, &h->err));

	/* Nor by an operator who was revoked while it asked. */
	(void)snprintf(p.name, sizeof(p.name), "alice");
	OK(store_peer_put(h->s, &p, &h->err));
	r.by_mac = 1;
	r.token[0] = 0;
	OK(store_restore_allow(h->s, &r, &h->err));
	OK(store_peer_revoke(h->s, "alice", &h->err));
	refused(h,
	    store_restore_confirm(h->s, r.id, "alice", machine('a', 1, 1).machine,
		machine('a', 1, 1).key_hash, &r, &h->err),
	    ERR_DENIED, "'alice' was revoked");
	r.by_mac = 0;
	refused(h, store_restore_allow(h->s, &r, &h->err), ERR_DENIED, "was revoked");
}

static void
its_point_stays(void **state)
{
	struct here *h = *state;
	struct store_restore r, unused;
	uint64_t gone[] = { 1 };
	struct store_kept k;
	int resumed;

	add_point(h, "web", 1, 1);
	add_point(h, "web", 1, 1);
	add_point(h, "web", 1, 1);
	r = allow(h, "web", 1, NULL, 1);
	refused(h, store_forget(h->s, "bob", "web", 1, "x", &h->err), ERR_DENIED,
	    "a restore of web/1 is open");
	refused(h, store_prune_points(h->s, "bob", "web", gone, 1, &h->err), ERR_DENIED,
	    "a restore of web/1 is open");
	OK(store_kept_one(h->s, "web", 1, &k, &h->err));
	assert_true(store_is_restoring(h->s, &k));
	OK(store_kept_one(h->s, "web", 2, &k, &h->err));
	assert_false(store_is_restoring(h->s, &k));

	OK(redeem(h, r.id, machine('a', 1, 1), &r, &resumed));
	pass(2 * DAY);
	reopen(h, 1);
	refused(
	    h, store_forget(h->s, "bob", "web", 1, "x", &h->err), ERR_DENIED, "is open");
	OK(store_restore_end(h->s, r.id, STORE_RESTORE_ENDED, NULL, "bob", "", &h->err));
	OK(store_forget(h->s, "bob", "web", 1, "x", &h->err));

	/* What nobody began lets go of it in time. */
	unused = allow(h, "web", 2, NULL, 2);
	refused(
	    h, store_forget(h->s, "bob", "web", 2, "x", &h->err), ERR_DENIED, "is open");
	pass(2 * DAY);
	OK(store_forget(h->s, "bob", "web", 2, "x", &h->err));
	refused(h, redeem(h, unused.id, machine('a', 1, 1), &r, &resumed), ERR_DENIED,
	    "has passed");
}

static int
stays(void *arg, const struct store_pruned *p)
{
	struct here *h = arg;

	(void)h;
	for (uint32_t i = 0; i < p->n; i++)
		assert_int_equal(p->fates[i].stays,
		    strstr(p->fates[i].why, "a restore of it is open") != NULL ||
			p->fates[i].kept.sequence == 3);
	return 0;
}

static void
a_prune_says_that_it_stays(void **state)
{
	struct store_policy policy = { .set = 1, .rules = { .last = 1 } };
	struct here *h = *state;
	struct store_restore r;
	struct store_kept k;
	int resumed;

	for (int i = 0; i < 3; i++)
		add_point(h, "web", 1, 1);
	(void)snprintf(policy.who, sizeof(policy.who), "alice");
	OK(store_policy_put(h->s, &policy, &h->err));
	r = allow(h, "web", 1, NULL, 2);
	OK(redeem(h, r.id, machine('a', 1, 1), &r, &resumed));
	OK(store_prune(h->s, "alice", "web", 1, stays, h, &h->err));
	OK(store_prune(h->s, "alice", "web", 0, stays, h, &h->err));
	OK(store_kept_one(h->s, "web", 2, &k, &h->err));
	refused(h, store_kept_one(h->s, "web", 1, &k, &h->err), ERR_NOTFOUND, "");
}

static void
another_point_may_be_chosen_unless_one_was_named(void **state)
{
	struct here *h = *state;
	struct store_restore any, one;
	int resumed;

	add_point(h, "web", 1, 1);
	add_point(h, "web", 1, 1);
	any = allow(h, "web", 1, NULL, 0);
	one = allow(h, "web", 2, NULL, 2);
	OK(redeem(h, any.id, machine('a', 1, 1), &any, &resumed));
	OK(redeem(h, one.id, machine('a', 2, 2), &one, &resumed));
	OK(store_restore_point(h->s, any.id, any.serial, 1, &h->err));
	refused(h, store_restore_point(h->s, any.id, one.serial, 2, &h->err), ERR_DENIED,
	    "newer certificate");
	refused(h, store_restore_point(h->s, any.id, any.serial, 9, &h->err),
	    ERR_NOTFOUND, "no point 9");
	refused(h, store_restore_point(h->s, one.id, one.serial, 1, &h->err), ERR_DENIED,
	    "of no other");
	reopen(h, 1);
	OK(redeem(h, any.id, machine('a', 1, 3), &any, &resumed));
	assert_int_equal(any.sequence, 1);
	refused(
	    h, store_forget(h->s, "bob", "web", 1, "x", &h->err), ERR_DENIED, "is open");
}

/* A machine is made of its disks: a backup of some volume since is not its latest. */
static void
the_latest_is_the_newest_with_disks(void **state)
{
	static const uint8_t disks[] = { STORE_FACT_DISKS, 0, 0, 0, 0, 0 };
	static const uint8_t machine_only[] = { STORE_FACT_HOST, 0, 0, 0, 0, 0 };
	struct here *h = *state;
	struct store_restore r;
	int resumed;

	for (int i = 0; i < 2; i++)
		(void)add_point_saying(h, "web", 1, 1, disks, sizeof(disks));
	for (int i = 0; i < 40; i++)
		(void)add_point_saying(
		    h, "web", 1, 1, machine_only, sizeof(machine_only));
	r = allow(h, "web", 1, NULL, 0);
	OK(redeem(h, r.id, machine('a', 1, 1), &r, &resumed));
	assert_int_equal(r.sequence, 2);
	r = allow(h, "web", 2, mac_a, 0);
	OK(store_restore_confirm(h->s, r.id, "alice", machine('b', 2, 2).machine,
	    machine('b', 2, 2).key_hash, &r, &h->err));
	assert_int_equal(r.sequence, 2);

	/* Without any it is the newest. */
	for (int i = 0; i < 2; i++)
		add_point(h, "mail", 1, 1);
	r = allow(h, "mail", 3, NULL, 0);
	OK(redeem(h, r.id, machine('a', 1, 3), &r, &resumed));
	assert_int_equal(r.sequence, 2);
}

static int
count(void *arg, const struct store_restore *r)
{
	unsigned *n = arg;

	(void)r;
	(*n)++;
	return 0;
}

static void
all_are_listed(void **state)
{
	struct here *h = *state;
	struct store_restore r;
	unsigned n = 0;

	add_point(h, "web", 1, 1);
	for (unsigned i = 0; i < 80; i++) {
		r = allow(h, "web", (uint8_t)i, NULL, 0);
		OK(store_restore_end(
		    h->s, r.id, STORE_RESTORE_ENDED, NULL, "bob", "", &h->err));
	}
	OK(store_restores(h->s, 0, count, &n, &h->err));
	assert_int_equal(n, 80);
	n = 0;
	OK(store_restores(h->s, r.id - 1, count, &n, &h->err));
	assert_int_equal(n, 1);
}

static int
collect(void *arg, const struct store_entry *a)
{
	char *all = arg;
	size_t len = strlen(all);

	(void)snprintf(all + len, 4000 - len, "%s: %s\n", a->who, a->what);
	return 0;
}

static void
all_of_it_is_in_the_audit(void **state)
{
	struct here *h = *state;
	struct store_chain chain = { 0 };
	struct store_restore r;
	char all[4000] = "";
	int resumed;

	add_point(h, "web", 1, 1);
	r = allow(h, "web", 0, mac_a, 0);
	OK(store_restore_confirm(h->s, r.id, "carol", machine('a', 1, 1).machine,
	    machine('a', 1, 1).key_hash, &r, &h->err));
	OK(redeem(h, r.id, machine('a', 1, 1), &r, &resumed));
	OK(store_restore_end(h->s, r.id, STORE_RESTORE_DONE, r.serial, "", "", &h->err));
	OK(store_audit_each(h->s, &chain, collect, all, &h->err));
	assert_non_null(strstr(all, "alice: allowed one restore of 'web', the latest "
				    "point, by MAC 52:54:00:00:00:01"));
	assert_non_null(strstr(all, "carol: restore "));
	assert_non_null(strstr(all, "machine 61616161 may restore web/1"));
	assert_non_null(strstr(all, "web: restore "));
	assert_non_null(strstr(all, "was let in to restore web/1"));
	assert_non_null(strstr(all, "of 'web' is done"));
}

static void
guesses_raise_an_alarm_that_is_cleared(void **state)
{
	struct here *h = *state;
	struct store_alarm alarms[STORE_NOTICES_MAX];
	uint32_t n, before = store_alarms(h->s, alarms);

	OK(store_restores_alarm(h->s, "10.0.0.9", &h->err));
	OK(store_restores_alarm(h->s, "10.0.0.10", &h->err));
	reopen(h, 1);
	n = store_alarms(h->s, alarms);
	assert_int_equal(n, before + 1);
	assert_non_null(strstr(alarms[n - 1].text, "10.0.0.9"));
	OK(store_alarm_clear(h->s, "", "alice", &h->err));
	assert_int_equal(store_alarms(h->s, alarms), before);
	refused(
	    h, store_alarm_clear(h->s, "", "alice", &h->err), ERR_NOTFOUND, "no alarm");
}

/* ------------------------------------------------------------------- at once -- */

struct racer {
	pthread_t thread;
	struct here *h;
	uint64_t id;
	uint8_t m;
	int won, lost, other;
};

static void *
race(void *arg)
{
	struct racer *r = arg;
	struct store_redeem by = machine(r->m, r->m, r->m);
	struct store_restore out;
	struct err err = ERR_INIT;
	int resumed;

	if (store_restore_redeem(r->h->s, r->id, &by, &out, &resumed, &err) == 0)
		r->won++;
	else if (err.code == ERR_DENIED && strstr(err.text, "another machine") != NULL)
		r->lost++;
	else
		r->other++;
	return NULL;
}

static void
of_many_machines_at_once_one_wins(void **state)
{
	struct here *h = *state;
	struct racer racers[8];
	int won = 0, lost = 0;

	add_point(h, "web", 1, 1);
	for (unsigned round = 0; round < 20; round++) {
		struct store_restore r = allow(h, "web", (uint8_t)round, NULL, 0);

		won = lost = 0;
		for (uint8_t i = 0; i < 8; i++) {
			racers[i] =
			    (struct racer){ .h = h, .id = r.id, .m = (uint8_t)(i + 1) };
			assert_int_equal(
			    pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
		}
		for (unsigned i = 0; i < 8; i++) {
			assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
			won += racers[i].won;
			lost += racers[i].lost;
		}
		assert_int_equal(won, 1);
		assert_int_equal(lost, 7);
		OK(store_restore_end(
		    h->s, r.id, STORE_RESTORE_ENDED, NULL, "bob", "", &h->err));
	}
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_first_machine_is_the_only_one),
		T(what_is_over_stays_over),
		T(the_time_is_for_the_beginning_only),
		T(a_mac_needs_the_code_of_each_key),
		T(what_may_not_be_allowed),
		T(its_point_stays),
		T(a_prune_says_that_it_stays),
		T(another_point_may_be_chosen_unless_one_was_named),
		T(the_latest_is_the_newest_with_disks),
		T(all_are_listed),
		T(all_of_it_is_in_the_audit),
		T(guesses_raise_an_alarm_that_is_cleared),
		T(of_many_machines_at_once_one_wins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
