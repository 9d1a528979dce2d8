/* A store in whose place an older copy was put: what peers remember shows it. */
#include "proto/base/bytes.h"
#include "storage/store_rebuild.h"
#include "storage/store_rollback.h"
#include "storage/store_space.h"
#include "tests/unit/storage/store_rig.h"

struct here {
	char dir[64], old[64];
	struct store *s;
	struct err err;
};

static int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));
	struct store_peer p = { .role = 1, .name = "alpha", .serial = { 1 } };

	assert_non_null(h);
	rig_dir(h->dir);
	rig_dir(h->old);
	rig_ok(store_init(h->dir, &h->err), &h->err);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	rig_ok(store_peer_put(h->s, &p, &h->err), &h->err);
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct here *h = *state;

	store_close(h->s);
	rig_remove(h->dir);
	rig_remove(h->old);
	free(h);
	return 0;
}

/* Make `to` what `from` is. */
static void
put_copy(const char *from, const char *to)
{
	char command[300];

	(void)snprintf(
	    command, sizeof(command), "rm -rf '%s'/* && cp -r '%s/.' '%s'", to, from, to);
	assert_int_equal(system(command), 0);
}

static int
known(struct here *h, const uint8_t seen[STORE_SEEN_LEN])
{
	int k = store_seen_known(h->s, seen, &h->err);

	if (k < 0)
		fail_msg("%s", h->err.text);
	return k;
}

static void
test_every_end_that_was_told_is_known_for_ever(void **state)
{
	static uint8_t seen[40][STORE_SEEN_LEN];
	struct here *h = *state;
	uint8_t other[STORE_SEEN_LEN];

	for (int i = 0; i < 40; i++) {
		rig_ok(store_audit(h->s, "x", i % 2 ? "long enough" : "y", &h->err),
		    &h->err);
		store_seen_now(h->s, seen[i]);
		for (int k = 0; k <= i; k++)
			assert_int_equal(known(h, seen[k]), 1);
	}
	store_close(h->s);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	for (int i = 0; i < 40; i++) {
		assert_int_equal(known(h, seen[i]), 1);
		/* Nothing that differs in a bit is. */
		for (size_t b = 0; b < STORE_SEEN_LEN; b++) {
			memcpy(other, seen[i], sizeof(other));
			other[b] ^= (uint8_t)(1u << (b % 8));
			assert_int_equal(known(h, other), 0);
		}
	}
	memset(other, 0, sizeof(other));
	assert_int_equal(known(h, other), 0);
	memset(other, 0xff, sizeof(other));
	assert_int_equal(known(h, other), 0);
}

static void
test_what_an_older_copy_lacks_it_does_not_know_even_as_it_grows(void **state)
{
	struct here *h = *state;
	uint8_t before[STORE_SEEN_LEN], after[STORE_SEEN_LEN];

	store_close(h->s);
	put_copy(h->dir, h->old);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	store_seen_now(h->s, before);
	rig_ok(store_audit(h->s, "x", "what is lost", &h->err), &h->err);
	store_seen_now(h->s, after);
	store_close(h->s);
	put_copy(h->old, h->dir);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(known(h, before), 1);
		assert_int_equal(known(h, after), 0);
		/* As many bytes as before, and other ones. */
		rig_ok(store_audit(h->s, "x", "what is new.", &h->err), &h->err);
	}
}

/* Who has a host's key can say anything, as often as it likes. */
static void
test_what_an_agent_says_fills_no_journal_and_hides_no_alarm(void **state)
{
	uint8_t seen[STORE_SEEN_LEN], again[STORE_SEEN_LEN];
	struct here *h = *state;
	struct store_peer p;

	rig_ok(store_peer_alarm(h->s, "alpha", "a copied key", &h->err), &h->err);
	rig_ok(store_rollback_note(h->s, "alpha", "a point", &h->err), &h->err);
	store_seen_now(h->s, seen);
	rig_ok(store_rollback_note(h->s, "alpha", "a record", &h->err), &h->err);
	rig_ok(store_rollback_note(h->s, "alpha", "a point", &h->err), &h->err);
	store_seen_now(h->s, again);
	assert_memory_equal(seen, again, sizeof(seen));
	rig_ok(store_peer_by_name(h->s, "alpha", &p, &h->err), &h->err);
	assert_string_equal(p.alarm, "a copied key");
}

static void
test_the_alarm_is_raised_once_and_stays_until_it_is_cleared(void **state)
{
	struct store_alarm alarms[STORE_NOTICES_MAX];
	uint8_t seen[STORE_SEEN_LEN], again[STORE_SEEN_LEN];
	struct here *h = *state;
	char text[STORE_TEXT_MAX];
	struct store_peer p;

	assert_int_equal(store_rollback_stands(h->s, text), 0);
	rig_ok(store_rollback_note(h->s, "alpha", "a point", &h->err), &h->err);
	store_seen_now(h->s, seen);
	/* At each session: no record more. */
	rig_ok(store_rollback_note(h->s, "alpha", "a point", &h->err), &h->err);
	store_seen_now(h->s, again);
	assert_memory_equal(seen, again, sizeof(seen));
	store_close(h->s);
	rig_ok(store_rebuild(h->dir, STORE_CATALOG, &h->s, &h->err), &h->err);
	rig_ok(store_peer_by_name(h->s, "alpha", &p, &h->err), &h->err);
	assert_non_null(strstr(p.alarm, "a point that is not here"));
	assert_int_equal(store_alarms(h->s, alarms), 1);
	assert_int_equal(alarms[0].kind, STORE_NOTICE_ROLLBACK);
	assert_non_null(strstr(alarms[0].text, "alpha saw a point"));
	rig_ok(store_alarm_clear(h->s, "alpha", "admin", &h->err), &h->err);
	rig_ok(store_alarm_clear(h->s, "", "admin", &h->err), &h->err);
	assert_int_equal(store_alarms(h->s, alarms), 0);
	rig_ok(store_peer_by_name(h->s, "alpha", &p, &h->err), &h->err);
	assert_string_equal(p.alarm, "");
	assert_int_equal(store_alarm_clear(h->s, "alpha", "admin", &h->err), -1);
	assert_int_equal(h->err.code, ERR_NOTFOUND);
	err_clear(&h->err);
	assert_int_equal(store_alarm_clear(h->s, "", "admin", &h->err), -1);
	assert_int_equal(h->err.code, ERR_NOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_every_end_that_was_told_is_known_for_ever),
		TEST(test_what_an_older_copy_lacks_it_does_not_know_even_as_it_grows),
		TEST(test_what_an_agent_says_fills_no_journal_and_hides_no_alarm),
		TEST(test_the_alarm_is_raised_once_and_stays_until_it_is_cleared),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
