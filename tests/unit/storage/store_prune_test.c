/* What is damaged, fails or is set anew while hosts are pruned. */
#include <pthread.h>
#include <stdatomic.h>

#include "storage/store_verify.h"
#include "tests/unit/storage/store_retention_rig.h"

/* Two points of 12 blocks each, a day apart. */
static void
add_two(struct here *h, const char *host, uint32_t blocks[2][12], uint32_t tag)
{
	for (uint32_t i = 0; i < 2; i++) {
		struct rig_volume v = { blocks[i], 12 };

		rig_fill(blocks[i], 12, tag + i);
		OK(rig_backup(h->s, host, &v, &h->point, &h->err));
		pass(DAY);
	}
}

/* The group of a block rots. */
static void
rot(struct here *h, uint32_t block)
{
	struct store_lease *l;
	struct store_place place;
	struct chunk_id id;
	uint8_t found, content[RIG_BLOCK];

	rig_content(block, content);
	chunk_id_of(store_keys(h->s), CHUNK_DATA, content, RIG_BLOCK, &id);
	OK(store_lease_open(h->s, "", STORE_READ, &l, &h->err));
	OK(store_locate(l, CHUNK_DATA, &id, 1, &place, &found, &h->err));
	store_lease_close(l);
	assert_int_equal(found, 1);
	OK(store_quarantine(h->s, place.pack, place.offset, &h->err));
}

static void
test_a_damaged_point_takes_no_whole_ones_place(void **state)
{
	struct here *h = *state;
	uint32_t blocks[2][12], first[2][12];
	struct said *s;

	set_policy(h, STORE_POLICY_DEFAULT, "",
	    (struct store_rules){ .last = 1, .min_points = 1 });
	add_two(h, "alpha", first, 100);
	OK(store_forget(h->s, "bob", "alpha", 1, "", &h->err));
	add_two(h, "alpha", blocks, 200);
	s = prune(h, NULL, 1);
	assert_string_equal(s->text, "2- 3- 4+");
	/* A group of the newest one rots. */
	rot(h, blocks[1][5]);
	s = prune(h, NULL, 0);
	assert_string_equal(s->text, "2- 3+ 4+");
	assert_non_null(strstr(s->why, "4: last 1 of 1 [damaged]"));
	assert_string_equal(points(h, "alpha"), "3 4");
	/* Sent again it is whole, and the older one may go. */
	rig_ok(rig_backup(h->s, "alpha", &(struct rig_volume){ blocks[1], 12 }, &h->point,
		   &h->err),
	    &h->err);
	s = prune(h, NULL, 0);
	assert_string_equal(s->text, "3- 4- 5+");
}

/* Checking found something of it lost, and what it was is in no list of bad groups. */
static void
test_a_point_that_is_hurt_takes_no_whole_ones_place(void **state)
{
	struct here *h = *state;
	struct journal_event *e = calloc(1, sizeof(*e));
	struct said *s;

	assert_non_null(e);
	add_days(h, "alpha", 3);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	e->type = JOURNAL_HURT;
	(void)snprintf(e->u.mark.host, STORE_NAME_MAX, "alpha");
	e->u.mark.sequence = 3;
	(void)snprintf(e->u.mark.text, STORE_TEXT_MAX, "volume C: a chunk is missing");
	OK(store_record(h->s, e, NULL, &h->err));
	free(e);
	for (int anew = 0; anew < 2; anew++) {
		s = prune(h, NULL, 1);
		assert_string_equal(s->text, "1- 2+ 3+");
		assert_non_null(strstr(s->why, "3: last 1 of 1 [damaged]"));
		reopen(h, anew);
	}
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "2 3");
	verified(h, "alpha", 3);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "3v");
}

static void
suspect(
    struct here *h, const char *volume, uint64_t after, uint64_t last, const char *why)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	assert_non_null(e);
	e->type = JOURNAL_SUSPECT;
	(void)snprintf(e->u.suspect.host, STORE_NAME_MAX, "alpha");
	(void)snprintf(e->u.suspect.volume, STORE_NAME_MAX, "%s", volume);
	e->u.suspect.after = after;
	e->u.suspect.last = last;
	(void)snprintf(e->u.suspect.text, STORE_TEXT_MAX, "%s", why);
	OK(store_record(h->s, e, NULL, &h->err));
	free(e);
}

/* What may be wrong counts for nothing, also when every byte of it was found whole. */
static void
test_a_suspect_point_takes_no_good_ones_place(void **state)
{
	struct here *h = *state;
	char why[STORE_TEXT_MAX], said[STORE_TEXT_MAX] = "a";
	struct said *s;

	add_days(h, "alpha", 4);
	set_policy(h, STORE_POLICY_DEFAULT, "",
	    (struct store_rules){ .last = 1, .min_verified = 1 });
	for (uint64_t n = 1; n <= 4; n++)
		verified(h, "alpha", n);
	s = prune(h, NULL, 1);
	assert_string_equal(s->text, "1- 2- 3- 4+");
	suspect(h, "D", 0, 4, "of another volume");
	s = prune(h, NULL, 1);
	assert_string_equal(s->text, "1- 2- 3- 4+");
	suspect(h, "C", 2, 4, "byte 7 had changed");
	verified(h, "alpha", 4);
	for (int anew = 0; anew < 2; anew++) {
		s = prune(h, NULL, 1);
		assert_string_equal(s->text, "1- 2+ 3+ 4+");
		assert_non_null(strstr(s->why, "[suspect]"));
		assert_int_equal(store_point_suspect(h->s, "alpha", 3, why, &h->err), 1);
		assert_string_equal(why, "volume C: byte 7 had changed");
		assert_int_equal(store_point_suspect(h->s, "alpha", 2, why, &h->err), 0);
		reopen(h, anew);
	}
	/* Those that came after the record are not; one that is gone is no more. */
	add_days(h, "alpha", 1);
	assert_int_equal(store_point_suspect(h->s, "alpha", 5, why, &h->err), 0);
	OK(store_forget(h->s, "bob", "alpha", 4, "", &h->err));
	assert_int_equal(store_point_suspect(h->s, "alpha", 4, why, &h->err), 0);
	/* A host may say much, and nobody's list ends inside a character. */
	for (size_t i = 0; i + 3 < sizeof(said); i += 2)
		memcpy(said + i + 1, "\xc3\xa4", 3);
	for (size_t i = 0; i < 2; i++) {
		suspect(h, "C", 0, 5, said + i);
		assert_int_equal(store_point_suspect(h->s, "alpha", 3, why, &h->err), 1);
		assert_true(strlen(why) > 180);
		assert_int_equal((uint8_t)why[strlen(why) - 1], 0xa4);
	}
	/* An end of it, as the format has it. */
	suspect(h, "C", 0, 5, "");
	assert_int_equal(store_point_suspect(h->s, "alpha", 3, why, &h->err), 0);
}

/* A point that rests on a list of changes, all of which is proven up to `proven`. */
static void
add_unproven_of(struct here *h, const char *host, const char *volume, uint64_t proven)
{
	const struct store_changes c = { 0, 900 * MIB, 9 * MIB, 100 };
	struct store_point *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	OK(store_facts_set_changes(p, &c, 1, &h->err));
	OK(store_facts_set_proven(p, proven, &h->err));
	assert_true(store_facts_proven(p) == proven);
	(void)add_point_of(h, host, volume, 10 * MIB, 5 * MIB, p->facts, p->facts_len);
	free(p);
	pass(DAY);
}

static void
add_unproven(struct here *h, const char *host, uint64_t proven)
{
	add_unproven_of(h, host, "C", proven);
}

/* What is found wrong takes all with it that came since the last proof: that one stays. */
static void
test_the_last_proven_point_outlives_those_that_rest_on_it(void **state)
{
	struct here *h = *state;
	struct store_suspects all;
	struct said *s;

	set_policy(h, STORE_POLICY_DEFAULT, "",
	    (struct store_rules){ .last = 2, .min_points = 1, .min_verified = 1 });
	add_days(h, "alpha", 2);
	for (int i = 0; i < 6; i++) {
		add_unproven(h, "alpha", 2);
		(void)prune(h, NULL, 0);
	}
	assert_string_equal(points(h, "alpha"), "2 7 8");
	s = prune(h, NULL, 1);
	assert_non_null(strstr(s->why, "2: the last good one\n7: last 2 of 2\n"));
	/* The proof goes on, and what it rests on with it. */
	add_unproven(h, "alpha", 7);
	for (int anew = 0; anew < 2; anew++) {
		s = prune(h, NULL, 1);
		assert_string_equal(s->text, "2- 7+ 8+ 9+");
		reopen(h, anew);
	}
	(void)prune(h, NULL, 0);
	/* The tracker lied: the full compare that follows is not the only good one. */
	suspect(h, "C", 7, 9, "byte 7 had changed");
	add_days(h, "alpha", 1);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "7 8 9 10");
	OK(store_suspects(h->s, "alpha", &all, &h->err));
	assert_true(all.n == 2 && all.first == 8 && all.last == 9 && all.since_us != 0);
	/* With other good ones they go. */
	add_days(h, "alpha", 2);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "11 12");
	OK(store_suspects(h->s, "alpha", &all, &h->err));
	assert_true(all.n == 0 && all.first == 0 && all.last == 0 && all.since_us == 0);
	/* What no rule of numbers keeps either. */
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .within_s = 2 });
	suspect(h, "C", 11, 12, "byte 8 had changed");
	OK(store_hold(h->s, "bob", "alpha", 12, "to look at", &h->err));
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "11 12h");
}

/* One backup of another volume says nothing of the proof of the first. */
static void
test_each_volumes_last_proven_point_stays(void **state)
{
	struct here *h = *state;
	struct said *s;

	set_policy(h, STORE_POLICY_DEFAULT, "",
	    (struct store_rules){ .last = 2, .min_points = 1, .min_verified = 1 });
	add_days(h, "alpha", 1);
	add_unproven(h, "alpha", 1);
	add_unproven(h, "alpha", 1);
	(void)add_point_of(h, "alpha", "D", 10 * MIB, 5 * MIB, NULL, 0);
	pass(DAY);
	/* Another host's points of the same numbers are no help. */
	add_days(h, "beta", 5);
	for (int anew = 0; anew < 2; anew++) {
		s = prune(h, "alpha", 1);
		assert_string_equal(s->text, "1+ 2- 3+ 4+");
		reopen(h, anew);
	}
	(void)prune(h, NULL, 0);
	add_unproven(h, "alpha", 1);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "1 4 5");
	/* Both rest on lists; what is proven of one is not proven of the other. */
	add_unproven_of(h, "alpha", "D", 4);
	add_unproven(h, "alpha", 1);
	add_unproven(h, "alpha", 1);
	(void)prune(h, NULL, 0);
	assert_string_equal(points(h, "alpha"), "1 4 7 8");
	/* The one that would stay is suspect by now: one before it does. */
	add_unproven(h, "alpha", 7);
	s = prune(h, "alpha", 1);
	assert_string_equal(s->text, "1- 4- 7+ 8+ 9+");
	suspect(h, "C", 1, 7, "byte 7 had changed");
	s = prune(h, "alpha", 1);
	assert_string_equal(s->text, "1+ 4- 7- 8+ 9+");
}

struct rotting {
	struct here *h;
	uint32_t block;
};

static int
rot_meanwhile(void *arg, const struct store_pruned *p)
{
	struct rotting *r = arg;

	if (strcmp(p->host, "alpha") == 0)
		rot(r->h, r->block);
	return 0;
}

static void
test_what_rots_while_all_hosts_are_pruned_is_noticed(void **state)
{
	struct here *h = *state;
	uint32_t blocks[2][12];
	struct rotting r = { .h = h };

	add_days(h, "alpha", 2);
	add_two(h, "beta", blocks, 100);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	r.block = blocks[1][3];
	OK(store_prune(h->s, "alice", NULL, 0, rot_meanwhile, &r, &h->err));
	assert_string_equal(points(h, "alpha"), "2");
	assert_string_equal(points(h, "beta"), "1 2");
}

/* Whatever cannot be read of a host is that host's trouble. */
static void
test_what_fails_at_one_host_does_not_keep_the_others(void **state)
{
	struct here *h = *state;
	uint32_t blocks[2][12];
	struct said said;
	unsigned failed = 0;
	int fired = 1;

	add_two(h, "alpha", blocks, 100);
	rot(h, blocks[0][3]);
	add_two(h, "beta", blocks, 200);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	fs_fault_count_reads(h->ff, 1);
	for (uint64_t nth = 1; fired; nth++) {
		reopen(h, 0);
		memset(&said, 0, sizeof(said));
		fs_fault_arm(h->ff, nth, FS_FAULT_EIO);
		if (store_prune(h->s, "alice", NULL, 1, hear, &said, &h->err) != 0 &&
		    strncmp(h->err.text, "alpha: ", 7) == 0) {
			failed++;
			assert_int_equal(said.hosts, 1);
			assert_string_equal(said.text, "1- 2+");
		}
		err_clear(&h->err);
		fired = fs_fault_fired(h->ff);
	}
	assert_true(failed > 0);
}

/* -------------------------------------------------------------------- policies -- */

struct change {
	struct here *h;
	pthread_t thread;
	int began;
	atomic_int said;
	char seen[2000]; /* The points there were when it had been said. */
};

static void *
keep_all(void *arg)
{
	const struct store_policy p = { .set = 1, .who = "bob", .rules.last = 100 };
	struct change *c = arg;
	struct err err = ERR_INIT;
	struct listing l = { .s = c->h->s };

	if (store_policy_put(c->h->s, &p, &err) == 0 &&
	    store_kept(c->h->s, "alpha", list_one, &l, &err) == 0)
		(void)snprintf(c->seen, sizeof(c->seen), "%s", l.text);
	atomic_store(&c->said, 1);
	return NULL;
}

/* A policy is set when a host was judged by the one before: it may wait, or count. */
static void
change_between(void *arg, enum store_pause where)
{
	const struct timespec moment = { 0, 1000000 };
	struct change *c = arg;

	if (where != STORE_PAUSE_PRUNE || c->began)
		return;
	c->began = 1;
	assert_int_equal(pthread_create(&c->thread, NULL, keep_all, c), 0);
	for (int i = 0; i < 300 && !atomic_load(&c->said); i++)
		(void)nanosleep(&moment, NULL);
}

static void
test_what_a_policy_keeps_does_not_go_after_it_was_set(void **state)
{
	struct here *h = *state;
	struct change c = { .h = h };

	add_days(h, "alpha", 4);
	set_policy(h, STORE_POLICY_DEFAULT, "", (struct store_rules){ .last = 1 });
	h->s->pause = change_between;
	h->s->pause_arg = &c;
	(void)prune(h, NULL, 0);
	assert_int_equal(c.began, 1);
	assert_int_equal(pthread_join(c.thread, NULL), 0);
	assert_string_not_equal(c.seen, "");
	assert_string_equal(points(h, "alpha"), c.seen);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_damaged_point_takes_no_whole_ones_place),
		T(test_a_point_that_is_hurt_takes_no_whole_ones_place),
		T(test_a_suspect_point_takes_no_good_ones_place),
		T(test_the_last_proven_point_outlives_those_that_rest_on_it),
		T(test_each_volumes_last_proven_point_stays),
		T(test_what_rots_while_all_hosts_are_pruned_is_noticed),
		T(test_what_fails_at_one_host_does_not_keep_the_others),
		T(test_what_a_policy_keeps_does_not_go_after_it_was_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
