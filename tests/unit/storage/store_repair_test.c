/* Repair: what is whole is kept, what is bad is set aside and named, nothing is deleted.
 */
#include "storage/catalog.h"
#include "storage/fs_fault.h"
#include "storage/store_repair.h"
#include "storage/store_verify.h"
#include "tests/unit/storage/store_lease_rig.h"

static int
count(void *arg, const char *line)
{
	(void)line;
	++*(unsigned *)arg;
	return 0;
}

/* A point is made, all is sealed and closed. */
static void
back_up(struct here *h)
{
	enum store_commit_result result;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	h->lease = NULL;
	store_close(h->s);
	h->s = NULL;
}

static void
begin_last(struct here *h)
{
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
}

/* Change the byte at `at`, from the end if negative. */
static void
spoil(struct here *h, const char *name, long at)
{
	char path[160];
	FILE *f;
	int c;

	(void)snprintf(path, sizeof(path), "%s/%s", h->dir, name);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
	c = fgetc(f);
	assert_int_equal(fseek(f, at, at < 0 ? SEEK_END : SEEK_SET), 0);
	fputc(c ^ 1, f);
	fclose(f);
}

static int
is_there(struct here *h, const char *name)
{
	char path[160];

	(void)snprintf(path, sizeof(path), "%s/%s", h->dir, name);
	return access(path, R_OK) == 0;
}

static void
repair(struct here *h, struct store_repair_report *r)
{
	unsigned lines = 0;

	if (h->s == NULL)
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	rig_ok(store_repair(h->s, count, &lines, r, &h->err), &h->err);
	assert_true(lines > 0);
	assert_true(is_there(h, r->file));
}

/* Whole again: also for a process that comes later, and for a second repair. */
static void
must_be_whole(struct here *h)
{
	struct store_repair_report r;
	struct store_verify_report v;

	for (int round = 0; round < 2; round++) {
		rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
		rig_ok(store_verify(h->s, 0, 1, NULL, NULL, &v, &h->err), &h->err);
		assert_int_equal(v.bad_groups, 0);
		assert_int_equal(v.points_verified, 1);
		assert_false(store_lost_unnamed(h->s));
		store_close(h->s);
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	}
	repair(h, &r);
	assert_int_equal(r.packs_rewritten + r.packs_gone + r.problems, 0);
	begin_last(h);
}

static void
test_a_pack_without_its_header_is_written_anew(void **state)
{
	struct here *h = *state;
	struct store_repair_report r;

	back_up(h);
	spoil(h, "packs/00000001.pack", 2);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	repair(h, &r);
	assert_int_equal(r.packs_rewritten, 1);
	assert_int_equal(r.groups_lost, 0);
	assert_true(r.groups_rewritten > 1);
	assert_int_equal(r.problems, 0);
	assert_true(is_there(h, "packs/00000001.damaged"));
	assert_false(is_there(h, "packs/00000001.pack"));
	must_be_whole(h);
}

static void
test_a_pack_without_its_footer_is_written_anew(void **state)
{
	struct here *h = *state;
	struct store_repair_report r;

	back_up(h);
	spoil(h, "packs/00000001.pack", -100);
	repair(h, &r);
	assert_int_equal(r.packs_rewritten, 1);
	assert_int_equal(r.groups_lost, 0);
	must_be_whole(h);
}

static void
test_what_is_lost_is_named_and_comes_back_by_a_backup(void **state)
{
	struct here *h = *state;
	struct store_repair_report r;
	struct store_point *again = calloc(1, sizeof(*again));
	char why[STORE_TEXT_MAX];

	assert_non_null(again);
	back_up(h);
	spoil(h, "packs/00000001.pack", 2);
	spoil(h, "packs/00000001.pack", 5000);
	repair(h, &r);
	assert_int_equal(r.packs_rewritten, 1);
	assert_int_equal(r.groups_lost, 1);
	assert_true(r.problems > 0);
	assert_int_equal(store_point_hurt(h->s, "alpha", 1, why, &h->err), 1);
	store_close(h->s);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	/* A backup does not trust what it shares with the point before. */
	assert_true(store_lost_unnamed(h->s));
	rig_ok(rig_backup(h->s, "beta", &h->v, again, &h->err), &h->err);
	repair(h, &r);
	assert_int_equal(r.problems, 0);
	assert_int_equal(store_point_hurt(h->s, "alpha", 1, why, &h->err), 0);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	assert_false(store_lost_unnamed(h->s));
	free(again);
	begin_last(h);
}

static void
test_a_pack_that_is_gone_is_said_once(void **state)
{
	struct here *h = *state;
	struct store_repair_report r;
	char path[160], first[sizeof(r.file)];

	back_up(h);
	(void)snprintf(path, sizeof(path), "%s/packs/00000001.pack", h->dir);
	assert_int_equal(unlink(path), 0);
	repair(h, &r);
	assert_int_equal(r.packs_gone, 1);
	assert_true(r.problems > 0);
	memcpy(first, r.file, sizeof(first));
	store_close(h->s);
	h->s = NULL;
	repair(h, &r);
	assert_int_equal(r.packs_gone, 0);
	assert_true(r.problems > 0);
	/* Of the same second, most likely. */
	assert_string_not_equal(r.file, first);
	assert_true(is_there(h, first));
	begin_last(h);
}

/* Die at the nth call of a repair, lose power or not, and repair again. */
static int
crash_at(uint64_t nth, int power_cut)
{
	struct fs_fault *ff = fs_fault_new(nth);
	struct store_point *p = calloc(1, sizeof(*p));
	uint32_t blocks[40];
	const struct rig_volume v = { blocks, 40 };
	struct store_repair_report r;
	struct store_verify_report report;
	struct err err = ERR_INIT;
	struct store *s = NULL;
	struct fs *fs;
	int fired, ret;
	size_t len;

	assert_non_null(ff);
	assert_non_null(p);
	fs = fs_fault_fs(ff);
	rig_fill(blocks, 40, 5);
	rig_ok(store_init_fs(fs, &err), &err);
	rig_ok(store_open_fs(fs, CATALOG_NAME, NULL, &s, &err), &err);
	rig_ok(rig_backup(s, "alpha", &v, p, &err), &err);
	store_close(s);
	fs_fault_restart(ff, 0);
	fs_fault_bytes(ff, "packs/00000001.pack", &len)[2] ^= 1;
	rig_ok(store_open_fs(fs, CATALOG_NAME, NULL, &s, &err), &err);
	fs_fault_arm(ff, nth, FS_FAULT_DIE);
	ret = store_repair(s, NULL, NULL, &r, &err);
	fired = fs_fault_fired(ff);
	assert_true(fired || ret == 0);
	store_close(s);
	err_clear(&err);
	fs_fault_restart(ff, power_cut);
	rig_ok(store_open_fs(fs, CATALOG_NAME, NULL, &s, &err), &err);
	rig_ok(store_repair(s, NULL, NULL, &r, &err), &err);
	rig_ok(rig_verify(s, p, 0, &v, &err), &err);
	rig_ok(store_verify(s, 0, 1, NULL, NULL, &report, &err), &err);
	assert_int_equal(report.points_verified, 1);
	assert_int_equal(report.bad_groups, 0);
	assert_false(store_lost_unnamed(s));
	store_close(s);
	free(p);
	fs_fault_free(ff);
	return fired;
}

static void
test_it_may_be_cut_anywhere_and_repeated(void **state)
{
	uint64_t nth = 1;

	(void)state;
	while (crash_at(nth, nth % 2 == 0))
		nth++;
	printf("%llu calls\n", (unsigned long long)nth - 1);
	assert_true(nth > 20);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_pack_without_its_header_is_written_anew),
		T(test_a_pack_without_its_footer_is_written_anew),
		T(test_what_is_lost_is_named_and_comes_back_by_a_backup),
		T(test_a_pack_that_is_gone_is_said_once),
		cmocka_unit_test(test_it_may_be_cut_anywhere_and_repeated),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
