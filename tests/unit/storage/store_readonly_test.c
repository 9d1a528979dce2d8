/*
 * A store is opened read-only: as a crash left it, all points are there, nothing
 * below is changed, and what would have to be kept is refused.
 */
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/journal.h"
#include "storage/pack.h"
#include "storage/store_options.h"
#include "storage/store_rollback.h"
#include "storage/store_restores.h"
#include "storage/store_space.h"
#include "storage/store_time.h"
#include "tests/unit/storage/store_rig.h"

#define BLOCKS 60u

struct world {
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	uint32_t blocks[BLOCKS];
	struct store_point p;
};

static const struct store_options read_only = { .read_only = 1 };

static struct world *
new_world(void)
{
	struct world *w = calloc(1, sizeof(*w));
	struct rig_volume v = { w->blocks, BLOCKS };

	assert_non_null(w);
	w->ff = fs_fault_new(1);
	assert_non_null(w->ff);
	rig_ok(store_init_fs(fs_fault_fs(w->ff), &w->err), &w->err);
	rig_ok(store_open_fs(fs_fault_fs(w->ff), CATALOG_NAME, NULL, &w->s, &w->err),
	    &w->err);
	rig_fill(w->blocks, BLOCKS, 5);
	rig_ok(rig_backup(w->s, "alpha", &v, &w->p, &w->err), &w->err);
	return w;
}

static void
end_world(struct world *w)
{
	store_close(w->s);
	fs_fault_free(w->ff);
	free(w);
}

/* The process ends in the middle, and nothing is sealed or closed. */
static void
die(struct world *w)
{
	struct err ignored = ERR_INIT;

	fs_fault_arm(w->ff, 1, FS_FAULT_DIE);
	(void)store_audit(w->s, "alice", "was here", &ignored);
	store_close(w->s);
	w->s = NULL;
	fs_fault_restart(w->ff, 0);
	fs_fault_arm(w->ff, 0, FS_FAULT_NONE);
}

struct sum {
	struct fs *fs;
	const char *dir;
	uint64_t files, hash;
};

static int
add_file(void *arg, const char *name)
{
	struct sum *t = arg;
	struct buf b = BUF_INIT(64u << 20);
	struct err err = ERR_INIT;
	char whole[2 * FS_NAME_MAX];
	uint64_t h = 1469598103934665603u;

	(void)snprintf(
	    whole, sizeof(whole), "%s%s%s", t->dir, t->dir[0] != '\0' ? "/" : "", name);
	if (fs_slurp(t->fs, whole, &b, &err) == 0) {
		for (const char *c = whole; *c != '\0'; c++)
			h = (h ^ (uint8_t)*c) * 1099511628211u;
		for (size_t i = 0; i < b.len; i++)
			h = (h ^ b.p[i]) * 1099511628211u;
		t->hash += h;
		t->files++;
	}
	buf_free(&b);
	return 0;
}

/* All files and what is in them, as one number. */
static uint64_t
everything(struct world *w)
{
	struct sum t = { .fs = fs_fault_fs(w->ff) };
	static const char *const dirs[] = { "", PACK_DIR, "index" };

	for (size_t i = 0; i < 3; i++) {
		t.dir = dirs[i];
		rig_ok(
		    fs_list(t.fs, i == 0 ? "." : t.dir, add_file, &t, &w->err), &w->err);
	}
	assert_true(t.files > 4);
	return t.hash;
}

static int
no_problem(void *arg, const struct store_verify_report *r, const char *problem)
{
	(void)arg;
	(void)r;
	if (problem != NULL)
		fail_msg("%s", problem);
	return 0;
}

/* All of it can be read, and is what was backed up. */
static void
look_through(struct world *w)
{
	struct rig_volume v = { w->blocks, BLOCKS };
	struct store_verify_report report;

	rig_ok(store_point_get(w->s, "alpha", 1, &w->p, &w->err), &w->err);
	rig_ok(rig_verify(w->s, &w->p, 0, &v, &w->err), &w->err);
	rig_ok(store_verify(w->s, 0, 1, no_problem, NULL, &report, &w->err), &w->err);
	assert_int_equal(report.points_checked, 1);
}

static void
test_read_only_reads_all_and_writes_nothing(void **state)
{
	(void)state;
	for (int how = 0; how < 3; how++) {
		struct world *w = new_world();
		uint64_t before;

		if (how == 0)
			store_close(w->s);
		else
			die(w);
		w->s = NULL;
		if (how == 2) {
			/* As a copy that left the caches out. */
			rig_ok(fs_unlink(fs_fault_fs(w->ff), CATALOG_NAME, &w->err),
			    &w->err);
			(void)fs_unlink(fs_fault_fs(w->ff), "index/MANIFEST", &w->err);
			err_clear(&w->err);
		}
		before = everything(w);
		for (int i = 0; i < 2; i++) {
			rig_ok(store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME,
				   &read_only, &w->s, &w->err),
			    &w->err);
			assert_int_equal(store_opened(w->s)[0] != '\0', how != 0);
			look_through(w);
			store_close(w->s);
			w->s = NULL;
			assert_true(everything(w) == before);
		}
		/* It opens for writing as well as ever. */
		rig_ok(
		    store_open_fs(fs_fault_fs(w->ff), CATALOG_NAME, NULL, &w->s, &w->err),
		    &w->err);
		look_through(w);
		end_world(w);
	}
}

static void
test_what_must_be_kept_is_refused(void **state)
{
	struct world *w = new_world();
	struct rig_volume v = { w->blocks, BLOCKS };
	struct store_token t = { .uses_left = 1 };
	struct err err = ERR_INIT;

	(void)state;
	store_close(w->s);
	rig_ok(store_open_with_fs(
		   fs_fault_fs(w->ff), CATALOG_NAME, &read_only, &w->s, &w->err),
	    &w->err);
	assert_int_equal(store_space_admit(w->s, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	assert_int_equal(rig_backup(w->s, "alpha", &v, &w->p, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	assert_int_equal(store_token_put(w->s, &t, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	end_world(w);
}

/* What copies are for: a machine is restored from one, and nothing is written. */
static void
test_a_machine_may_be_restored_from_it(void **state)
{
	struct world *w = new_world();
	struct store_restore r = { .host = "alpha", .who = "admin", .token = { 1 } };
	const struct store_redeem by = { .machine = { 1 }, .serial = { 2 } };
	struct err err = ERR_INIT;
	uint64_t before;
	int resumed;

	(void)state;
	store_close(w->s);
	before = everything(w);
	rig_ok(store_open_with_fs(
		   fs_fault_fs(w->ff), CATALOG_NAME, &read_only, &w->s, &w->err),
	    &w->err);
	r.ends_us = store_now(w->s) + 1000000;
	rig_ok(store_restore_allow(w->s, &r, &err), &err);
	rig_ok(store_restore_redeem(w->s, r.id, &by, &r, &resumed, &err), &err);
	rig_ok(store_restore_by_serial(w->s, by.serial, &r, &err), &err);
	rig_ok(store_restore_end(w->s, r.id, STORE_RESTORE_DONE, by.serial, "", "", &err),
	    &err);
	store_close(w->s);
	w->s = NULL;
	assert_true(everything(w) == before);
	rig_ok(store_open_fs(fs_fault_fs(w->ff), CATALOG_NAME, NULL, &w->s, &w->err),
	    &w->err);
	assert_int_equal(store_restore_by_id(w->s, r.id, &r, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	end_world(w);
}

static void
test_a_store_in_use_is_refused(void **state)
{
	struct world *w = new_world();
	struct store *other;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(store_open_with_fs(
			     fs_fault_fs(w->ff), CATALOG_NAME, &read_only, &other, &err),
	    -1);
	assert_int_equal(err.code, ERR_BUSY);
	end_world(w);
}

static void
test_a_newer_store_is_refused(void **state)
{
	struct world *w = new_world();
	struct fs *fs = fs_fault_fs(w->ff);
	struct buf b = BUF_INIT(4096);
	struct fs_file *f;
	struct err err = ERR_INIT;

	(void)state;
	store_close(w->s);
	w->s = NULL;
	rig_ok(fs_slurp(fs, "format", &b, &w->err), &w->err);
	for (size_t i = 0; i < b.len; i++)
		if (b.p[i] == '1') {
			b.p[i] = '2';
			break;
		}
	rig_ok(fs_open(fs, "format", FS_WRITE, &f, &w->err), &w->err);
	rig_ok(fs_pwrite(f, b.p, b.len, 0, &w->err), &w->err);
	fs_close(f);
	buf_free(&b);
	assert_int_equal(
	    store_open_with_fs(fs, CATALOG_NAME, &read_only, &w->s, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	w->s = NULL;
	end_world(w);
}

/* What is said of the disk is the disk's, not the memory's that changes go to. */
static void
test_the_disk_is_measured_not_the_memory(void **state)
{
	struct store_options o = { .read_only = 1 };
	struct world *w = new_world();
	struct store_alarm alarms[STORE_NOTICES_MAX];
	struct store_stats st;
	uint64_t avail, total;

	(void)state;
	store_close(w->s);
	w->s = NULL;
	fs_fault_set_room(w->ff, UINT64_C(1) << 40);
	o.low_water = (struct store_amount){ .bytes = UINT64_C(10) << 30 };
	rig_ok(store_open_with_fs(fs_fault_fs(w->ff), CATALOG_NAME, &o, &w->s, &w->err),
	    &w->err);
	assert_int_equal(store_alarms(w->s, alarms), 0);
	rig_ok(store_stats(w->s, &st, &w->err), &w->err);
	rig_ok(fs_space(fs_fault_fs(w->ff), &avail, &total, &w->err), &w->err);
	assert_int_equal(st.free_bytes, avail);
	end_world(w);
}

/* An answer "done" must not end with the process. */
static void
test_operators_are_told_that_nothing_is_kept(void **state)
{
	struct world *w = new_world();
	struct store_peer p = { .name = "alpha", .role = 1 /* Agent. */ };
	struct err err = ERR_INIT;

	(void)state;
	rig_ok(store_peer_put(w->s, &p, &w->err), &w->err);
	rig_ok(store_rollback_note(w->s, "alpha", "a point", &w->err), &w->err);
	store_close(w->s);
	w->s = NULL;
	rig_ok(store_open_with_fs(
		   fs_fault_fs(w->ff), CATALOG_NAME, &read_only, &w->s, &w->err),
	    &w->err);
	assert_int_equal(store_alarm_clear(w->s, "", "alice", &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	assert_int_equal(store_alarm_clear(w->s, "alpha", "alice", &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	err_clear(&err);
	assert_int_equal(store_time_accept(w->s, "alice", &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	end_world(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read_only_reads_all_and_writes_nothing),
		cmocka_unit_test(test_what_must_be_kept_is_refused),
		cmocka_unit_test(test_a_machine_may_be_restored_from_it),
		cmocka_unit_test(test_a_store_in_use_is_refused),
		cmocka_unit_test(test_a_newer_store_is_refused),
		cmocka_unit_test(test_the_disk_is_measured_not_the_memory),
		cmocka_unit_test(test_operators_are_told_that_nothing_is_kept),
	};

	return cmocka_run_group_tests_name("store_readonly", tests, NULL, NULL);
}
