/* Caches made anew from packs and journal: what was true before is true after. */
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/store_rebuild.h"
#include "storage/store_retention.h"
#include "tests/unit/storage/store_rig.h"

#define BLOCKS 80u

#define LATER ((int64_t)4102444800 * 1000000) /* The year 2100. */

static uint32_t blocks[4][BLOCKS];
static uint8_t pruned[STORE_HASH_LEN]; /* The record of the point that went. */

static struct rig_volume
volume(uint32_t n)
{
	rig_fill(blocks[n], BLOCKS, 1);
	blocks[n][n] = 7000u + n;
	return (struct rig_volume){ blocks[n], BLOCKS };
}

/* Three points of two hosts and one that was pruned, and what else a journal says. */
static void
fill(struct store *s, struct store_point *p)
{
	struct store_peer peer = { .role = 1,
		.name = "alpha",
		.serial = { 1 },
		.key_hash = { 1 },
		.group = "web" };
	struct store_token t = { .hash = { 9 }, .uses_left = 3, .ends_us = 1 };
	struct err err = ERR_INIT;

	const uint64_t third = 3;
	struct store_policy policy = { .set = 1, .rules = { .daily = 7 } };

	for (uint32_t n = 0; n < 4; n++) {
		struct rig_volume v = volume(n);

		rig_ok(rig_backup(s, n != 2 ? "alpha" : "beta", &v, p, &err), &err);
	}
	memcpy(pruned, p->record, sizeof(pruned));
	rig_ok(store_prune_points(s, "", "alpha", &third, 1, &err), &err);
	rig_ok(store_hold(s, "admin", "alpha", 1, "a court asks", &err), &err);
	rig_ok(store_lock(s, "admin", "alpha", 2, LATER, &err), &err);
	rig_ok(store_policy_put(s, &policy, &err), &err);
	rig_ok(store_peer_put(s, &peer, &err), &err);
	(void)snprintf(peer.name, sizeof(peer.name), "beta");
	peer.serial[0] = peer.key_hash[0] = 2;
	rig_ok(store_peer_put(s, &peer, &err), &err);
	rig_ok(store_peer_alarm(s, "alpha", "look here", &err), &err);
	rig_ok(store_peer_revoke(s, "beta", &err), &err);
	rig_ok(store_token_put(s, &t, &err), &err);
	rig_ok(store_secret_put(s, "a", (const uint8_t *)"secret", 6, &err), &err);
}

/* What was pruned is gone, and what is held or locked stays. */
static void
check_kept(struct store *s, struct store_point *p)
{
	struct err err = ERR_INIT;
	struct store_policy policy;
	struct store_kept k;

	assert_int_equal(store_point_get(s, "alpha", 3, p, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_int_equal(store_record_known(s, "alpha", pruned, &err), 1);
	rig_ok(store_kept_one(s, "alpha", 1, &k, &err), &err);
	assert_true(k.held);
	assert_string_equal(k.held_why, "a court asks");
	rig_ok(store_kept_one(s, "alpha", 2, &k, &err), &err);
	assert_int_equal(k.locked_us, LATER);
	for (uint64_t q = 1; q <= 2; q++) {
		assert_int_equal(store_forget(s, "admin", "alpha", q, "", &err), -1);
		assert_int_equal(err.code, ERR_DENIED);
		err_clear(&err);
	}
	rig_ok(store_policy_of(s, "alpha", &policy, &err), &err);
	assert_int_equal(policy.rules.daily, 7);
}

static void
check(struct store *s, struct store_point *p)
{
	const uint8_t hash[STORE_HASH_LEN] = { 9 };
	struct store_token t;
	uint8_t secret[16];
	struct err err = ERR_INIT;
	struct store_peer peer;
	size_t len;

	for (uint32_t n = 0; n < 3; n++) {
		struct rig_volume v = volume(n);

		rig_ok(store_point_get(
			   s, n < 2 ? "alpha" : "beta", n < 2 ? n + 1 : 1, p, &err),
		    &err);
		rig_ok(rig_verify(s, p, 0, &v, &err), &err);
	}
	check_kept(s, p);
	rig_ok(store_peer_by_name(s, "alpha", &peer, &err), &err);
	assert_string_equal(peer.alarm, "look here");
	assert_int_equal(peer.points, 2);
	rig_ok(store_peer_by_serial(s, (const uint8_t[16]){ 2 }, &peer, &err), &err);
	assert_int_equal(peer.revoked, 1);
	rig_ok(store_token_get(s, hash, &t, &err), &err);
	assert_int_equal(t.uses_left, 3);
	rig_ok(store_secret_get(s, "a", secret, sizeof(secret), &len, &err), &err);
	assert_int_equal(len, 6);
}

static void
test_what_a_store_knows_is_the_same_from_journal_and_packs(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct store_stats before, after;
	struct err err = ERR_INIT;
	struct store *s;
	char dir[64];

	(void)state;
	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(store_open(dir, &s, &err), &err);
	fill(s, p);
	store_close(s);
	rig_ok(store_open(dir, &s, &err), &err);
	rig_ok(store_quarantine(s, 1, 96, &err), &err);
	rig_ok(store_stats(s, &before, &err), &err);
	assert_int_equal(before.quarantined, 1);
	/* Whoever has it open would not notice: so not while it is. */
	for (unsigned caches = 1; caches <= 3; caches++) {
		struct store *none = NULL;

		assert_int_equal(store_rebuild(dir, caches, &none, &err), -1);
		assert_int_equal(err.code, ERR_BUSY);
		err_clear(&err);
	}
	store_close(s);
	for (unsigned caches = 1; caches <= 3; caches++) {
		rig_ok(store_rebuild(dir, caches, &s, &err), &err);
		assert_int_equal(strstr(store_opened(s), "index was made anew") != NULL,
		    (caches & STORE_INDEX) != 0);
		rig_ok(store_stats(s, &after, &err), &err);
		check_kept(s, p);
		before.free_bytes = after.free_bytes = 0;
		before.index_ram_bytes = after.index_ram_bytes = 0;
		assert_memory_equal(&before, &after, sizeof(before));
		store_close(s);
	}
	rig_remove(dir);
	free(p);
}

static void
test_a_copy_opens_elsewhere_and_its_caches_may_be_another_moments(void **state)
{
	char dir[64], other[64], command[1024];
	struct store_point *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	struct store *s;

	(void)state;
	rig_dir(dir);
	rig_dir(other);
	rig_ok(store_init(dir, &err), &err);
	/* Caches of an empty store, the truth of a full one. */
	rig_ok(store_open(dir, &s, &err), &err);
	store_close(s);
	(void)snprintf(command, sizeof(command),
	    "cp -r '%s/.' '%s/here' && mv '%s/here/catalog.db' '%s/db' && mv "
	    "'%s/here/index' '%s/index'",
	    dir, other, other, other, other, other);
	assert_int_equal(system(command), 0);
	rig_ok(store_open(dir, &s, &err), &err);
	fill(s, p);
	store_close(s);
	(void)snprintf(command, sizeof(command),
	    "rm -rf '%s/here' && cp -r '%s/.' '%s/here' && rm -rf '%s/here/catalog.db' "
	    "'%s/here/index' && mv '%s/db' '%s/here/catalog.db' && mv '%s/index' "
	    "'%s/here/index'",
	    other, dir, other, other, other, other, other, other, other);
	assert_int_equal(system(command), 0);
	rig_remove(dir);
	(void)snprintf(command, sizeof(command), "%s/here", other);
	rig_ok(store_open(command, &s, &err), &err);
	check(s, p);
	store_close(s);
	rig_ok(store_rebuild(command, STORE_CATALOG | STORE_INDEX, &s, &err), &err);
	check(s, p);
	store_close(s);
	rig_remove(other);
	free(p);
}

static void
test_nothing_is_dropped_while_the_journal_cannot_be_read(void **state)
{
	char dir[64], path[96];
	struct err err = ERR_INIT;
	struct store *s = NULL;
	struct fs_file *f;
	struct fs *fs;

	(void)state;
	rig_dir(dir);
	rig_ok(store_init(dir, &err), &err);
	rig_ok(store_open(dir, &s, &err), &err);
	store_close(s);
	rig_ok(fs_open_dir(dir, &fs, &err), &err);
	rig_ok(fs_open(fs, "journal", FS_WRITE, &f, &err), &err);
	rig_ok(fs_pwrite(f, "rot", 3, 130, &err), &err);
	fs_close(f);
	fs_free(fs);
	assert_int_equal(store_rebuild(dir, 3, &s, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	(void)snprintf(path, sizeof(path), "%s/" CATALOG_NAME, dir);
	assert_int_equal(access(path, F_OK), 0);
	rig_remove(dir);
}

/* The power goes at every step of dropping the index: it opens, and all is there. */
static void
test_a_cut_at_any_step_leaves_a_store_that_opens(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	uint64_t steps = 0;

	(void)state;
	for (uint64_t n = 1; steps == 0; n++) {
		struct fs_fault *ff = fs_fault_new(n);
		struct fs *fs = fs_fault_fs(ff);
		struct store *s;

		rig_ok(store_init_fs(fs, &err), &err);
		rig_ok(store_open_fs(fs, NULL, NULL, &s, &err), &err);
		fill(s, p);
		store_close(s);
		fs_fault_arm(ff, n, FS_FAULT_DIE);
		if (store_drop_caches(fs, STORE_CATALOG | STORE_INDEX, &err) == 0 &&
		    !fs_fault_fired(ff))
			steps = n;
		err_clear(&err);
		fs_fault_arm(ff, 0, FS_FAULT_NONE);
		fs_fault_restart(ff, 1);
		rig_ok(store_open_fs(fs, NULL, NULL, &s, &err), &err);
		check(s, p);
		store_close(s);
		fs_fault_free(ff);
	}
	print_message("%llu steps\n", (unsigned long long)steps - 1);
	assert_true(steps > 6);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
		    test_what_a_store_knows_is_the_same_from_journal_and_packs),
		cmocka_unit_test(
		    test_a_copy_opens_elsewhere_and_its_caches_may_be_another_moments),
		cmocka_unit_test(
		    test_nothing_is_dropped_while_the_journal_cannot_be_read),
		cmocka_unit_test(test_a_cut_at_any_step_leaves_a_store_that_opens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
