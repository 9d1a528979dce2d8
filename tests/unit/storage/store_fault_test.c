/*
 * Any call to the files fails, or the process dies at it, or the power: making
 * a store, putting, committing.  What was acknowledged stays; the store goes on
 * or opens again.
 */
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "tests/unit/storage/store_rig.h"

#define BLOCKS 12u

static void
make_blocks(uint32_t n, uint32_t blocks[BLOCKS])
{
	rig_fill(blocks, BLOCKS, n);
	blocks[3] = 1;
	blocks[4] = 0;
	blocks[5] = 555; /* All have this one. */
}

static int
back_up(struct store *s, uint32_t n, struct store_point *p, struct err *err)
{
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };

	make_blocks(n, blocks);
	return rig_backup(s, "alpha", &v, p, err);
}

static void
check(struct store *s, uint32_t n, uint64_t sequence, struct store_point *p)
{
	uint32_t blocks[BLOCKS];
	struct rig_volume v = { blocks, BLOCKS };
	struct err err = ERR_INIT;

	rig_ok(store_point_get(s, "alpha", sequence, p, &err), &err);
	make_blocks(n, blocks);
	rig_ok(rig_verify(s, p, 0, &v, &err), &err);
}

static struct fs_fault *
fresh(uint64_t seed)
{
	struct fs_fault *ff = fs_fault_new(seed);

	assert_non_null(ff);
	return ff;
}

static int
open_it(struct fs_fault *ff, struct store **s, struct err *err)
{
	*s = NULL;
	return store_open_fs(fs_fault_fs(ff), NULL, NULL, s, err);
}

/* Is a point of this content there?  Its sequence, or 0. */
static uint64_t
newest(struct store *s, struct store_point *p)
{
	struct err err = ERR_INIT;

	if (store_point_get(s, "alpha", 0, p, &err) == 0)
		return p->sequence;
	assert_int_equal(err.code, ERR_NOTFOUND);
	return 0;
}

/* ---------------------------------------------------------------------- init -- */

static void
test_init_that_dies_anywhere_may_be_run_again(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	uint64_t nth, whole = 0;

	(void)state;
	assert_non_null(p);
	for (nth = 1; nth < 200; nth += RIG_STRIDE) {
		for (int power_cut = 0; power_cut < 2; power_cut++) {
			struct fs_fault *ff = fresh(nth);
			struct err err = ERR_INIT;
			struct store *s;
			int fired;

			fs_fault_arm(ff, nth, FS_FAULT_DIE);
			(void)store_init_fs(fs_fault_fs(ff), &err);
			fired = fs_fault_fired(ff);
			err_clear(&err);
			fs_fault_restart(ff, power_cut);
			if (open_it(ff, &s, &err) != 0) {
				if (err.code != ERR_NOTFOUND)
					fail_msg("after %llu calls: %s",
					    (unsigned long long)nth, err.text);
				err_clear(&err);
				rig_ok(store_init_fs(fs_fault_fs(ff), &err), &err);
				rig_ok(open_it(ff, &s, &err), &err);
			} else {
				whole++;
			}
			rig_ok(back_up(s, 1, p, &err), &err);
			check(s, 1, 1, p);
			store_close(s);
			fs_fault_free(ff);
			if (!fired) {
				print_message(
				    "init: %llu calls\n", (unsigned long long)nth - 1);
				assert_true(nth > 12);
				nth = 1000;
				break;
			}
		}
	}
	assert_true(nth >= 1000 && whole > 0);
	free(p);
}

static void
test_init_that_fails_anywhere_leaves_no_half_store(void **state)
{
	(void)state;
	for (uint64_t nth = 1, done = 0; !done; nth += RIG_STRIDE) {
		struct fs_fault *ff = fresh(nth);
		struct err err = ERR_INIT;
		struct store *s;

		assert_true(nth < 200);
		fs_fault_arm(ff, nth, nth % 2 ? FS_FAULT_EIO : FS_FAULT_ENOSPC);
		if (store_init_fs(fs_fault_fs(ff), &err) == 0) {
			/* journal.head is advice: its write may fail unseen. */
			done = !fs_fault_fired(ff);
			fs_fault_arm(ff, 0, FS_FAULT_NONE);
		} else {
			err_clear(&err);
			fs_fault_arm(ff, 0, FS_FAULT_NONE);
			if (open_it(ff, &s, &err) == 0) {
				store_close(s);
			} else {
				assert_int_equal(err.code, ERR_NOTFOUND);
				err_clear(&err);
				rig_ok(store_init_fs(fs_fault_fs(ff), &err), &err);
			}
		}
		err_clear(&err);
		rig_ok(open_it(ff, &s, &err), &err);
		store_close(s);
		fs_fault_free(ff);
	}
}

/* --------------------------------------------------------------- put, commit -- */

/* A store with one point in it. */
static struct fs_fault *
with_a_point(uint64_t seed, struct store **s, struct store_point *p)
{
	struct fs_fault *ff = fresh(seed);
	struct err err = ERR_INIT;

	rig_ok(store_init_fs(fs_fault_fs(ff), &err), &err);
	rig_ok(open_it(ff, s, &err), &err);
	rig_ok(back_up(*s, 1, p, &err), &err);
	return ff;
}

/* Stores that wanted to be opened again after a full disk. */
static unsigned refused;

/* One fault at the nth call of a second and third backup; non-zero if it came. */
static int
one_fault(uint64_t nth, enum fs_fault_kind kind, int power_cut, struct store_point *p)
{
	struct err err = ERR_INIT;
	uint64_t acknowledged = 1, now;
	struct fs_fault *ff;
	struct store *s;
	uint32_t of[5] = { 0, 1, 0, 0, 0 };
	int fired, retried;

	ff = with_a_point(nth * 7 + (uint64_t)kind, &s, p);
	fs_fault_arm(ff, nth, kind);
	for (uint32_t n = 2; n <= 3; n++) {
		if (back_up(s, n, p, &err) == 0) {
			of[p->sequence] = n;
			acknowledged = p->sequence;
		}
		err_clear(&err);
	}
	fired = fs_fault_fired(ff);
	if (!fired)
		fs_fault_arm(ff, 0, FS_FAULT_NONE);
	if (kind == FS_FAULT_ENOSPC || kind == FS_FAULT_SHORT) {
		/*
		 * The disk was full once: the store is as usable as before, but
		 * where the journal's sync said so: then it must be opened again.
		 */
		retried = back_up(s, 4, p, &err);
		if (retried == 0) {
			of[p->sequence] = 4;
			acknowledged = p->sequence;
		} else if (strstr(err.text, "opened again") == NULL) {
			fail_msg("call %llu, kind %d: %s", (unsigned long long)nth, kind,
			    err.text);
		} else {
			refused++;
		}
		err_clear(&err);
	}
	store_close(s);
	fs_fault_restart(ff, power_cut);
	if (open_it(ff, &s, &err) != 0)
		fail_msg("call %llu, kind %d, cut %d: %s", (unsigned long long)nth, kind,
		    power_cut, err.text);
	now = newest(s, p);
	assert_in_range(now, acknowledged, acknowledged + 2);
	for (uint64_t q = 1; q <= now; q++)
		if (of[q] != 0)
			check(s, of[q], q, p);
	rig_ok(back_up(s, 9, p, &err), &err);
	check(s, 9, p->sequence, p);
	store_close(s);
	fs_fault_free(ff);
	return fired;
}

static void
sweep(const char *what, enum fs_fault_kind kind, int power_cut)
{
	struct store_point *p = calloc(1, sizeof(*p));
	uint64_t nth = 1;

	assert_non_null(p);
	while (one_fault(nth, kind, power_cut, p)) {
		assert_true(nth < 2000);
		nth++;
	}
	print_message("%s: %llu calls\n", what, (unsigned long long)nth - 1);
	assert_true(nth > 15);
	free(p);
}

static void
test_every_call_of_a_backup_failing(void **state)
{
	(void)state;
	sweep("i/o error", FS_FAULT_EIO, 0);
}

static void
test_the_disk_full_at_every_call_of_a_backup(void **state)
{
	(void)state;
	sweep("disk full", FS_FAULT_ENOSPC, 0);
	sweep("disk full, half written", FS_FAULT_SHORT, 1);
	print_message("%u times the store had to be opened again\n", refused);
	/* That is the journal's syncs, and only they. */
	assert_in_range(refused, 1, 20);
}

static void
test_killed_at_every_call_of_a_backup(void **state)
{
	(void)state;
	sweep("killed", FS_FAULT_DIE, 0);
}

static void
test_the_power_cut_at_every_call_of_a_backup(void **state)
{
	(void)state;
	sweep("power cut", FS_FAULT_DIE, 1);
}

static void
test_a_disk_that_stays_full_loses_nothing(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	struct fs_fault *ff;
	uint64_t full = 0;
	struct store *s;

	(void)state;
	assert_non_null(p);
	ff = with_a_point(3, &s, p);
	fs_fault_set_room(ff, 400000);
	for (uint32_t n = 2; n < 12; n++) {
		if (back_up(s, n, p, &err) != 0) {
			assert_int_equal(err.code, ERR_NOSPACE);
			full++;
		}
		err_clear(&err);
	}
	assert_true(full > 0);
	check(s, 1, 1, p);
	fs_fault_set_room(ff, 0);
	rig_ok(back_up(s, 77, p, &err), &err);
	check(s, 77, p->sequence, p);
	store_close(s);
	rig_ok(open_it(ff, &s, &err), &err);
	check(s, 1, 1, p);
	check(s, 77, 0, p);
	store_close(s);
	fs_fault_free(ff);
	free(p);
}

static void
test_a_directory_that_cannot_be_listed_is_not_an_empty_one(void **state)
{
	struct store_point *p = calloc(1, sizeof(*p));
	struct err err = ERR_INIT;
	struct fs_fault *ff;
	struct store *s;
	unsigned opened = 0;

	(void)state;
	assert_non_null(p);
	ff = with_a_point(5, &s, p);
	store_close(s);
	/* Every read, list and write of opening fails once: it opens whole or not at all.
	 */
	for (uint64_t nth = 1; nth < 400 && opened < 3; nth += RIG_STRIDE) {
		fs_fault_restart(ff, 0);
		fs_fault_count_reads(ff, 1);
		fs_fault_arm(ff, nth, FS_FAULT_EIO);
		if (open_it(ff, &s, &err) == 0) {
			opened += fs_fault_fired(ff) ? 0 : 1;
			fs_fault_count_reads(ff, 0);
			fs_fault_arm(ff, 0, FS_FAULT_NONE);
			check(s, 1, 1, p);
			store_close(s);
		}
		err_clear(&err);
		fs_fault_count_reads(ff, 0);
	}
	assert_int_equal(opened, 3);
	fs_fault_free(ff);
	free(p);
}

/* ------------------------------------------------------------------ recovery -- */

/* A killed store of three backups in whose open pack a byte at `at` has rotted. */
static struct fs_fault *
with_damage(uint64_t seed, size_t at, struct store_point *p)
{
	struct err err = ERR_INIT;
	struct fs_fault *ff;
	struct store *s;
	uint8_t *bytes;
	size_t len;

	ff = with_a_point(seed, &s, p);
	rig_ok(back_up(s, 2, p, &err), &err);
	rig_ok(back_up(s, 3, p, &err), &err);
	fs_fault_arm(ff, 1, FS_FAULT_DIE);
	store_close(s);
	fs_fault_restart(ff, 0);
	bytes = fs_fault_bytes(ff, "packs/00000001.open", &len);
	assert_non_null(bytes);
	assert_true(at < len);
	bytes[at] ^= 1;
	return ff;
}

/*
 * What recovery leaves out is seen by nobody once the pack is sealed.  If the power
 * goes before it is known that something is lost, trees would be taken on trust.
 */
static void
test_a_loss_is_known_wherever_recovery_dies(void **state)
{
	/* In the pack's header, in a group's, in its data. */
	static const size_t places[] = { 40, 97, 300 };
	struct store_point *p = calloc(1, sizeof(*p));
	uint64_t nth, dead = 0;

	(void)state;
	assert_non_null(p);
	for (size_t i = 0; i < 3; i++)
		for (int fired = 1, cut = 0; cut < 2; cut++, fired = 1)
			for (nth = 1 + (i + (size_t)cut) % RIG_STRIDE; fired;
			     nth += RIG_STRIDE) {
				struct fs_fault *ff = with_damage(nth, places[i], p);
				struct err err = ERR_INIT;
				struct store *s;

				assert_true(nth < 200);
				fs_fault_arm(ff, nth, FS_FAULT_DIE);
				if (open_it(ff, &s, &err) == 0)
					store_close(s);
				fired = fs_fault_fired(ff);
				dead += (uint64_t)fired;
				err_clear(&err);
				fs_fault_restart(ff, cut);
				rig_ok(open_it(ff, &s, &err), &err);
				if (!store_lost_unnamed(s))
					fail_msg(
					    "damage at %zu forgotten after call %llu",
					    places[i], (unsigned long long)nth);
				store_close(s);
				fs_fault_free(ff);
			}
	assert_true(dead * RIG_STRIDE > 150);
	print_message("recovery: died %llu times\n", (unsigned long long)dead);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_that_dies_anywhere_may_be_run_again),
		cmocka_unit_test(test_init_that_fails_anywhere_leaves_no_half_store),
		cmocka_unit_test(test_a_loss_is_known_wherever_recovery_dies),
		cmocka_unit_test(test_every_call_of_a_backup_failing),
		cmocka_unit_test(test_the_disk_full_at_every_call_of_a_backup),
		cmocka_unit_test(test_killed_at_every_call_of_a_backup),
		cmocka_unit_test(test_the_power_cut_at_every_call_of_a_backup),
		cmocka_unit_test(test_a_disk_that_stays_full_loses_nothing),
		cmocka_unit_test(
		    test_a_directory_that_cannot_be_listed_is_not_an_empty_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
