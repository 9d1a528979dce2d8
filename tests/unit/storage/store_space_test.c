/*
 * A disk that fills up: no new backup begins below low-water, those under way go
 * on until nothing is left, what must be recorded then has the reserve, and a
 * full store opens.
 */
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/journal.h"
#include "storage/store_gc.h"
#include "storage/store_options.h"
#include "storage/store_retention.h"
#include "storage/store_space.h"
#include "tests/unit/storage/store_rig.h"

#define MIB (UINT64_C(1) << 20)
#define RESERVE (2 * MIB)
#define ROOM (200 * MIB)

struct world {
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	unsigned raised, ended;
	struct store_point p;
};

static int
open_it(struct world *w, struct err *err)
{
	struct store_options o = STORE_OPTIONS_INIT;

	o.reserve = RESERVE;
	o.low_water.bytes = 8 * MIB;
	w->s = NULL;
	return store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME, &o, &w->s, err);
}

static struct world *
new_world(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->ff = fs_fault_new(1);
	assert_non_null(w->ff);
	fs_fault_set_room(w->ff, ROOM);
	rig_ok(store_init_fs(fs_fault_fs(w->ff), &w->err), &w->err);
	rig_ok(open_it(w, &w->err), &w->err);
	return w;
}

static void
end_world(struct world *w)
{
	store_close(w->s);
	fs_fault_free(w->ff);
	free(w);
}

static uint64_t
available(struct world *w)
{
	uint64_t avail, total;

	rig_ok(fs_space(fs_fault_fs(w->ff), &avail, &total, &w->err), &w->err);
	return avail;
}

static uint64_t
size_of(struct world *w, const char *name)
{
	size_t len = 0;

	return fs_fault_bytes(w->ff, name, &len) == NULL ? 0 : len;
}

/* Let a file of others take the room, but for `left` bytes. */
static void
fill_disk(struct world *w, uint64_t left)
{
	struct fs_file *f;
	uint64_t size, free_bytes = available(w);

	rig_ok(fs_open(fs_fault_fs(w->ff), "filler", FS_WRITE | FS_CREATE, &f, &w->err),
	    &w->err);
	rig_ok(fs_size(f, &size, &w->err), &w->err);
	if (free_bytes > left) {
		uint8_t *p = calloc(1, free_bytes - left);

		assert_non_null(p);
		rig_ok(fs_pwrite(f, p, free_bytes - left, size, &w->err), &w->err);
		free(p);
	}
	fs_close(f);
	assert_true(available(w) <= left || free_bytes <= left);
}

static void
empty_disk(struct world *w)
{
	rig_ok(fs_unlink(fs_fault_fs(w->ff), "filler", &w->err), &w->err);
}

static int
back_up(struct world *w, uint32_t first, uint32_t n, struct err *err)
{
	uint32_t *blocks = calloc(n, sizeof(*blocks));
	struct rig_volume v = { blocks, n };
	int ret;

	assert_non_null(blocks);
	for (uint32_t i = 0; i < n; i++)
		blocks[i] = first + i;
	ret = rig_backup(w->s, "alpha", &v, &w->p, err);
	free(blocks);
	return ret;
}

static void
count(void *arg, int over, const char *line)
{
	struct world *w = arg;

	assert_true(line[0] != '\0');
	if (over)
		w->ended++;
	else
		w->raised++;
}

static void
tick(struct world *w, unsigned raised, unsigned ended)
{
	store_tick(w->s, count, w);
	assert_int_equal(w->raised, raised);
	assert_int_equal(w->ended, ended);
}

static void
test_low_water_stops_what_begins_and_is_over_by_itself(void **state)
{
	struct world *w = new_world();
	struct store_alarm alarms[STORE_NOTICES_MAX];
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	rig_ok(store_space_admit(w->s, &w->err), &w->err);
	tick(w, 0, 0);
	fill_disk(w, 7 * MIB);
	assert_int_equal(store_space_admit(w->s, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	tick(w, 1, 0);
	tick(w, 1, 0);
	assert_int_equal(store_alarms(w->s, alarms), 1);
	assert_int_equal(alarms[0].kind, STORE_NOTICE_SPACE);
	/* Who is under way goes on; the reserve is not touched. */
	rig_ok(back_up(w, 10, 8, &w->err), &w->err);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	empty_disk(w);
	tick(w, 1, 1);
	rig_ok(store_space_admit(w->s, &w->err), &w->err);
	assert_int_equal(store_alarms(w->s, alarms), 0);
	end_world(w);
}

static void
test_full_disk_takes_records_and_no_backups(void **state)
{
	struct world *w = new_world();
	struct store_token t = { .uses_left = 1 };
	struct err err = ERR_INIT;

	(void)state;
	rig_ok(back_up(w, 10, 8, &w->err), &w->err);
	fill_disk(w, 0);
	/* A backup does not get the reserve. */
	assert_int_equal(back_up(w, 1000, 64, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	/* What an operator does, does. */
	rig_ok(store_audit(w->s, "alice", "pruned", &w->err), &w->err);
	rig_ok(store_token_put(w->s, &t, &w->err), &w->err);
	rig_ok(store_token_get(w->s, t.hash, &t, &w->err), &w->err);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), 0);
	assert_true(available(w) > 0);
	/* And now there is room, but not for backups. */
	tick(w, 1, 0);
	err_clear(&err);
	assert_int_equal(back_up(w, 1000, 64, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	assert_true(available(w) > RESERVE / 2);
	empty_disk(w);
	tick(w, 1, 1);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	rig_ok(back_up(w, 1000, 64, &w->err), &w->err);
	end_world(w);
}

static void
test_what_frees_space_is_lent_the_reserve(void **state)
{
	struct world *w = new_world();

	(void)state;
	store_space_lend(w->s);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	fill_disk(w, 1000);
	store_space_lend(w->s);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), 0);
	empty_disk(w);
	tick(w, 0, 0);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	end_world(w);
}

/* Closed in the middle of a backup on a full disk, by a kill or a power cut. */
static void
test_full_store_opens(void **state)
{
	(void)state;
	for (int cut = 0; cut < 3; cut++) {
		struct world *w = new_world();
		struct err err = ERR_INIT;
		uint64_t sequence;

		rig_ok(back_up(w, 10, 40, &w->err), &w->err);
		sequence = w->p.sequence;
		fill_disk(w, 300000);
		assert_int_equal(back_up(w, 1000, 200, &err), -1);
		fill_disk(w, 0);
		if (cut > 0) {
			fs_fault_arm(w->ff, 1, FS_FAULT_DIE);
			(void)store_audit(w->s, "alice", "was here", &w->err);
		}
		store_close(w->s);
		err_clear(&w->err);
		fs_fault_arm(w->ff, 0, FS_FAULT_NONE);
		if (cut > 0)
			fs_fault_restart(w->ff, cut == 2);
		/* Caches must be made anew as well. */
		rig_ok(open_it(w, &w->err), &w->err);
		rig_ok(store_point_get(w->s, "alpha", 0, &w->p, &w->err), &w->err);
		assert_int_equal(w->p.sequence, sequence);
		rig_ok(store_audit(w->s, "alice", "is here", &w->err), &w->err);
		end_world(w);
	}
}

/*
 * The store itself has filled the disk.  Nothing is left, not even for a record; by
 * the reserve points are forgotten, their packs removed, and backups go on.
 */
static void
test_full_disk_is_emptied_by_forgetting_and_collecting(void **state)
{
	struct store_gc_config config = { .wait_ms = 1000 };
	struct world *w = new_world();
	struct store_gc_report report;
	struct err err = ERR_INIT;
	uint32_t n = 0;

	(void)state;
	/* Points whose blocks nothing else has, and one that shares with the last. */
	while (n < 30 && back_up(w, 10000 + n * 1000, 64, &err) == 0)
		n++;
	rig_ok(back_up(w, 500000, 64, &w->err), &w->err);
	fill_disk(w, 0);
	/* Not a byte, as far as a backup is concerned. */
	assert_int_equal(available(w), 0);
	err_clear(&err);
	assert_int_equal(back_up(w, 900000, 64, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);

	store_space_lend(w->s);
	for (uint32_t i = 1; i <= n; i++)
		rig_ok(
		    store_forget(w->s, "alice", "alpha", i, "no room", &w->err), &w->err);
	memset(&report, 0, sizeof(report));
	rig_ok(store_space_seal(w->s, &w->err), &w->err);
	rig_ok(store_gc(w->s, &config, NULL, NULL, &report, &w->err), &w->err);
	assert_true(report.packs_removed + report.packs_rewritten > 0);
	assert_true(report.bytes_freed > (uint64_t)n * 64 * RIG_BLOCK / 4);
	/* That is more than the reserve: it is made anew, and backups go on. */
	tick(w, 0, 0);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	rig_ok(back_up(w, 900000, 64, &w->err), &w->err);
	end_world(w);
}

static void
test_no_reserve_no_low_water(void **state)
{
	struct world *w = new_world();

	(void)state;
	store_close(w->s);
	rig_ok(store_open_fs(fs_fault_fs(w->ff), CATALOG_NAME, NULL, &w->s, &w->err),
	    &w->err);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), 0);
	fill_disk(w, 100000);
	rig_ok(store_space_admit(w->s, &w->err), &w->err);
	rig_ok(back_up(w, 10, 1, &w->err), &w->err);
	end_world(w);
}

/* Everybody says hello first: who would empty the disk must come in. */
static void
test_full_disk_lets_everybody_in(void **state)
{
	struct world *w = new_world();
	struct store_peer p = { .name = "alice", .role = 4 /* Admin. */ };
	struct err err = ERR_INIT;

	(void)state;
	rig_ok(store_peer_put(w->s, &p, &w->err), &w->err);
	rig_ok(store_peer_seen(w->s, "alice", "one", &w->err), &w->err);
	fill_disk(w, 0);
	/* Another program, or the next day: that is recorded, if there is room. */
	rig_ok(store_peer_seen(w->s, "alice", "two", &w->err), &w->err);
	/* Nor does what a host says of itself take the reserve. */
	assert_int_equal(store_peer_alarm(w->s, "alice", "cries", &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	empty_disk(w);
	rig_ok(store_peer_seen(w->s, "alice", "two", &w->err), &w->err);
	rig_ok(store_audit(w->s, "alice", "is here", &w->err), &w->err);
	end_world(w);
}

/* On a full disk people remove what looks large. */
static void
test_reserve_removed_by_hand_is_made_anew(void **state)
{
	struct world *w = new_world();

	(void)state;
	rig_ok(fs_unlink(fs_fault_fs(w->ff), STORE_RESERVE_NAME, &w->err), &w->err);
	tick(w, 0, 0);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	assert_int_equal(store_space_reserve(w->s), RESERVE);
	end_world(w);
}

/* A tool that opens the store beside the server's configuration. */
static void
test_who_has_no_opinion_leaves_the_reserve(void **state)
{
	const struct store_options o = STORE_OPTIONS_INIT;
	struct world *w = new_world();

	(void)state;
	store_close(w->s);
	fill_disk(w, RESERVE / 2);
	rig_ok(store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME, &o, &w->s, &w->err),
	    &w->err);
	/* That little room opening may need. */
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), 0);
	empty_disk(w);
	tick(w, 0, 0);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	store_close(w->s);
	rig_ok(store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME, &o, &w->s, &w->err),
	    &w->err);
	assert_int_equal(size_of(w, STORE_RESERVE_NAME), RESERVE);
	end_world(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_low_water_stops_what_begins_and_is_over_by_itself),
		cmocka_unit_test(test_full_disk_takes_records_and_no_backups),
		cmocka_unit_test(test_what_frees_space_is_lent_the_reserve),
		cmocka_unit_test(test_full_store_opens),
		cmocka_unit_test(test_full_disk_is_emptied_by_forgetting_and_collecting),
		cmocka_unit_test(test_no_reserve_no_low_water),
		cmocka_unit_test(test_full_disk_lets_everybody_in),
		cmocka_unit_test(test_reserve_removed_by_hand_is_made_anew),
		cmocka_unit_test(test_who_has_no_opinion_leaves_the_reserve),
	};

	return cmocka_run_group_tests_name("store_space", tests, NULL, NULL);
}
