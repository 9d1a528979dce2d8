/*
 * A second copy: it opens as a store with every point of its moment, whatever ended
 * the copying and wherever, and the next copying goes on.
 */
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/store_copy.h"
#include "storage/store_escrow.h"
#include "storage/store_gc.h"
#include "storage/store_packs.h"
#include "storage/store_retention.h"
#include "tests/unit/storage/store_rig.h"

#define BLOCKS 20u
#define VOLUMES 4u

static uint32_t blocks[VOLUMES + 1][BLOCKS];

/* Volume `n` is what point `n` of alpha holds. */
static struct rig_volume
volume(uint64_t n)
{
	rig_fill(blocks[n], BLOCKS, (uint32_t)n + 1);
	return (struct rig_volume){ blocks[n], BLOCKS };
}

struct here {
	struct fs_fault *ff;
	struct fs *fs;
	struct store *s;
	struct store_keys_of keys;
	struct store_point *p;
	struct err err;
	char last[STORE_TEXT_MAX]; /* The last problem told. */
	int stop;
};

static int
hear(void *arg, const struct store_copy_report *r, const char *problem)
{
	struct here *h = arg;

	(void)r;
	if (problem != NULL)
		(void)snprintf(h->last, sizeof(h->last), "%s", problem);
	return h->stop;
}

static void
back_up(struct here *h, uint64_t n)
{
	struct rig_volume v = volume(n);

	rig_ok(rig_backup(h->s, "alpha", &v, h->p, &h->err), &h->err);
	assert_int_equal(h->p->sequence, n);
	rig_ok(store_packs_seal(h->s->packs, &h->err), &h->err);
}

/* A store with points 1 and 2. */
static int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->p = calloc(1, sizeof(*h->p));
	h->ff = fs_fault_new(1);
	h->fs = fs_fault_fs(h->ff);
	rig_ok(store_init_fs(h->fs, &h->err), &h->err);
	rig_ok(store_open_fs(h->fs, NULL, NULL, &h->s, &h->err), &h->err);
	rig_ok(store_keys_load(h->fs, &h->keys, &h->err), &h->err);
	back_up(h, 1);
	back_up(h, 2);
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct here *h = *state;

	store_close(h->s);
	fs_fault_free(h->ff);
	free(h->p);
	free(h);
	return 0;
}

/* From now on point 1 and its packs are gone, and point 3 is there. */
static void
move_on(struct here *h)
{
	struct store_gc_report r;
	const uint64_t first = 1;

	rig_ok(store_prune_points(h->s, "", "alpha", &first, 1, &h->err), &h->err);
	rig_ok(store_gc(h->s, NULL, NULL, NULL, &r, &h->err), &h->err);
	assert_true(r.packs_removed > 0);
	back_up(h, 3);
}

static int
copy(struct here *h, struct fs *to, struct store_copy_report *r)
{
	const struct store_copy_config config = { .tell = hear, .arg = h };

	return store_copy(h->s, to, &config, r, &h->err);
}

/* ----------------------------------------------------------------- looking at it -- */

struct cloning {
	struct fs *from, *to;
	const char *dir;
};

static int
clone_one(void *arg, const char *name)
{
	struct cloning *c = arg;
	struct buf b = BUF_INIT(1u << 28);
	struct err err = ERR_INIT;
	char full[FS_NAME_MAX];

	if (strcmp(name, "packs") == 0 || strcmp(name, "index") == 0 ||
	    strcmp(name, "lock") == 0)
		return 0;
	(void)snprintf(full, sizeof(full), "%s%s%.40s", c->dir[0] == '.' ? "" : c->dir,
	    c->dir[0] == '.' ? "" : "/", name);
	rig_ok(fs_slurp(c->from, full, &b, &err), &err);
	rig_ok(fs_replace(c->to, c->dir, name, b.p, b.len, &err), &err);
	buf_free(&b);
	return 0;
}

static struct fs_fault *
clone(struct fs *from, uint64_t seed)
{
	struct fs_fault *ff = fs_fault_new(seed);
	struct cloning c = { from, fs_fault_fs(ff), "." };
	struct err err = ERR_INIT;

	rig_ok(fs_mkdir(c.to, "packs", &err), &err);
	rig_ok(fs_sync_dir(c.to, ".", &err), &err);
	assert_int_equal(fs_list(from, ".", clone_one, &c, &err), 0);
	c.dir = "packs";
	if (fs_list(from, "packs", clone_one, &c, &err) < 0)
		assert_int_equal(err.code, ERR_NOTFOUND);
	return ff;
}

/* Open what lies there, as a store, and check all its points; the number of the newest. */
static uint64_t
newest_in(struct here *h, struct fs *copy)
{
	struct fs_fault *ff = clone(copy, 7);
	struct fs *fs = fs_fault_fs(ff);
	struct err err = ERR_INIT;
	uint64_t newest = 0, n = 0;
	struct store *s;

	rig_ok(store_escrow_import(fs, &h->keys, &err), &err);
	rig_ok(store_open_fs(fs, NULL, NULL, &s, &err), &err);
	assert_null(strstr(store_opened(s), "MISSING"));
	for (uint64_t i = 1; i <= VOLUMES; i++) {
		struct rig_volume v = volume(i);

		err_clear(&err);
		if (store_point_get(s, "alpha", i, h->p, &err) != 0)
			continue;
		rig_ok(rig_verify(s, h->p, 0, &v, &err), &err);
		newest = i;
		n++;
	}
	assert_int_equal(n, 2); /* Of each moment there are two. */
	store_close(s);
	fs_fault_free(ff);
	return newest;
}

static uint64_t
problems_of(struct here *h, struct fs *copy, struct store *of)
{
	const struct store_copy_config config = { .tell = hear, .arg = h };
	struct store_copy_report r;

	rig_ok(store_copy_verify(copy, &h->keys, of, &config, &r, &h->err), &h->err);
	assert_int_equal(r.packs, r.packs_total);
	return r.problems;
}

/* ------------------------------------------------------------------------ tests -- */

static void
test_a_copy_is_a_store_and_the_next_brings_what_is_new(void **state)
{
	struct here *h = *state;
	struct fs_fault *ff = fs_fault_new(2);
	struct fs *to = fs_fault_fs(ff);
	struct store_copy_report r;

	rig_ok(copy(h, to, &r), &h->err);
	assert_int_equal(r.packs_new, 4);
	assert_int_equal(r.problems, 0);
	assert_int_equal(newest_in(h, to), 2);
	assert_int_equal(problems_of(h, to, h->s), 0);
	rig_ok(copy(h, to, &r), &h->err);
	assert_int_equal(r.packs_new, 0);
	assert_int_equal(r.bytes, 0);
	move_on(h);
	rig_ok(copy(h, to, &r), &h->err);
	assert_int_equal(r.packs_new, 2);
	assert_int_equal(r.packs_removed, 2);
	assert_int_equal(newest_in(h, to), 3);
	assert_int_equal(problems_of(h, to, h->s), 0);
	assert_int_equal(problems_of(h, to, NULL), 0);
	fs_fault_free(ff);
}

static void
refused(struct here *h, struct fs *to, enum err_code code, const char *words)
{
	struct store_copy_report r;

	assert_int_equal(copy(h, to, &r), -1);
	if (h->err.code != code || strstr(h->err.text, words) == NULL)
		fail_msg("%s: %s", err_name(h->err.code), h->err.text);
	err_clear(&h->err);
}

static void
test_only_an_empty_place_or_its_own_past_is_copied_to(void **state)
{
	struct here *h = *state;
	struct fs_fault *ff = fs_fault_new(3), *other = fs_fault_new(4), *own;
	struct fs *to = fs_fault_fs(ff);
	struct store_copy_report r;
	struct fs_file *lock;
	struct store *s;

	rig_ok(fs_replace(to, ".", "somebody's", "x", 1, &h->err), &h->err);
	refused(h, to, ERR_EXISTS, "somebody's");
	rig_ok(store_init_fs(fs_fault_fs(other), &h->err), &h->err);
	refused(h, fs_fault_fs(other), ERR_EXISTS, "another store");
	refused(h, h->fs, ERR_BUSY, "in use");
	rig_ok(fs_unlink(to, "somebody's", &h->err), &h->err);
	rig_ok(copy(h, to, &r), &h->err);
	rig_ok(store_take(to, &lock, &h->err), &h->err);
	refused(h, to, ERR_BUSY, "in use");
	fs_close(lock);
	/* One that was opened and went its own way. */
	own = clone(to, 5);
	rig_ok(store_escrow_import(fs_fault_fs(own), &h->keys, &h->err), &h->err);
	rig_ok(store_open_fs(fs_fault_fs(own), NULL, NULL, &s, &h->err), &h->err);
	rig_ok(store_audit(s, "x", "y", &h->err), &h->err);
	store_close(s);
	move_on(h);
	refused(h, fs_fault_fs(own), ERR_DENIED, "opened as a store");
	fs_fault_free(own);
	fs_fault_free(other);
	fs_fault_free(ff);
}

/*
 * Copying meets `kind` at its nth call in the place it goes to, for every n; what is
 * there then is a store of this moment or that before, or none yet.
 */
static uint64_t
sweep(struct here *h, struct fs *before, enum fs_fault_kind kind, uint64_t stride)
{
	struct store_copy_report r;
	uint64_t n;

	for (n = 1;; n += stride) {
		struct fs_fault *ff = before != NULL ? clone(before, n) : fs_fault_new(n);
		struct fs *to = fs_fault_fs(ff);
		struct fs_file *f;
		int done;

		fs_fault_arm(ff, n, kind);
		done = copy(h, to, &r) == 0;
		if (!fs_fault_fired(ff)) {
			rig_ok(done ? 0 : -1, &h->err);
			fs_fault_free(ff);
			return n - 1;
		}
		if (kind == FS_FAULT_DIE)
			assert_false(done);
		err_clear(&h->err);
		fs_fault_arm(ff, 0, FS_FAULT_NONE);
		fs_fault_restart(ff, kind == FS_FAULT_DIE);
		if (before != NULL || fs_open(to, "format", FS_READ, &f, &h->err) == 0) {
			if (before == NULL)
				fs_close(f);
			(void)newest_in(h, to);
		}
		err_clear(&h->err);
		rig_ok(copy(h, to, &r), &h->err);
		assert_int_equal(newest_in(h, to), 3);
		assert_int_equal(problems_of(h, to, h->s), 0);
		fs_fault_free(ff);
	}
}

static void
test_whatever_ends_it_at_any_step_what_is_there_is_whole(void **state)
{
	static const enum fs_fault_kind kinds[] = { FS_FAULT_DIE, FS_FAULT_EIO,
		FS_FAULT_ENOSPC, FS_FAULT_SHORT };
	struct here *h = *state;
	struct fs_fault *ff = fs_fault_new(2);
	struct fs *before = fs_fault_fs(ff);
	struct store_copy_report r;
	uint64_t first, next;

	rig_ok(copy(h, before, &r), &h->err);
	move_on(h);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		/* A call that fails is tried at every fourth: a power cut shows more. */
		first = sweep(h, NULL, kinds[i], i == 0 ? 1 : 4);
		next = sweep(h, before, kinds[i], i == 0 ? 1 : 4);
		print_message("kind %d: %llu steps of a first copy, %llu of the next\n",
		    kinds[i], (unsigned long long)first, (unsigned long long)next);
		assert_true(first > 40);
		assert_true(next > 25);
	}
	fs_fault_free(ff);
}

static void
test_a_good_copy_is_kept_where_the_store_rots(void **state)
{
	struct here *h = *state;
	struct fs_fault *ff = fs_fault_new(2), *late = fs_fault_new(3);
	struct fs *to = fs_fault_fs(ff);
	struct store_copy_report r;
	uint8_t *p;
	size_t len;

	rig_ok(copy(h, to, &r), &h->err);
	p = fs_fault_bytes(h->ff, "packs/00000001.pack", &len);
	assert_non_null(p);
	p[400] ^= 1;
	rig_ok(copy(h, to, &r), &h->err);
	assert_int_equal(problems_of(h, to, h->s), 0);
	assert_int_equal(newest_in(h, to), 2);
	/* Who begins now gets the damage, and is told. */
	rig_ok(copy(h, fs_fault_fs(late), &r), &h->err);
	assert_int_equal(r.problems, 1);
	assert_non_null(strstr(h->last, "pack 00000001 is damaged at 96"));
	assert_int_equal(problems_of(h, fs_fault_fs(late), h->s), 1);
	fs_fault_free(late);
	fs_fault_free(ff);
}

static void
test_what_is_wrong_with_a_copy_is_said(void **state)
{
	struct here *h = *state;
	struct fs_fault *ff = fs_fault_new(2);
	struct fs *to = fs_fault_fs(ff);
	struct store_copy_report r;
	uint8_t *p;
	size_t len;

	rig_ok(copy(h, to, &r), &h->err);
	p = fs_fault_bytes(ff, "packs/00000002.pack", &len);
	assert_non_null(p);
	p[len - 300] ^= 1; /* Its footer. */
	assert_int_equal(problems_of(h, to, h->s), 1);
	assert_non_null(strstr(h->last, "pack 00000002"));
	rig_ok(fs_unlink(to, "packs/00000002.pack", &h->err), &h->err);
	assert_int_equal(problems_of(h, to, h->s), 1);
	assert_non_null(strstr(h->last, "pack 00000002 is missing"));
	/* The next copying brings it again. */
	rig_ok(copy(h, to, &r), &h->err);
	assert_int_equal(r.packs_new, 1);
	assert_int_equal(problems_of(h, to, h->s), 0);
	h->stop = 1;
	fs_fault_free(ff);
	ff = fs_fault_new(9);
	p = fs_fault_bytes(h->ff, "packs/00000001.pack", &len);
	p[400] ^= 1;
	refused(h, fs_fault_fs(ff), ERR_CANCELED, "stopped");
	fs_fault_free(ff);
}

/* Between what the copy needs and what it holds the store gets its first hold. */
static void
hold_now(void *arg, uint64_t nth, const char *what, const char *name)
{
	struct here *h = arg;

	(void)nth;
	if (strcmp(name, "packs") != 0 || strcmp(what, "make directory") != 0)
		return;
	rig_ok(store_hold(h->s, "ann", "alpha", 1, "court", &h->err), &h->err);
}

static void
test_a_copy_requires_what_its_records_require(void **state)
{
	struct here *h = *state;
	struct store_copy_report r;
	struct fs_fault *to = fs_fault_new(5);
	struct buf format = BUF_INIT(4096);

	fs_fault_watch(to, hold_now, h);
	rig_ok(copy(h, fs_fault_fs(to), &r), &h->err);
	rig_ok(fs_slurp(fs_fault_fs(to), "format", &format, &h->err), &h->err);
	rig_ok(buf_add(&format, "", 1, &h->err), &h->err);
	assert_non_null(strstr((const char *)format.p, "\nrequired retention\n"));
	buf_free(&format);
	fs_fault_free(to);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_copy_is_a_store_and_the_next_brings_what_is_new),
		TEST(test_only_an_empty_place_or_its_own_past_is_copied_to),
		TEST(test_whatever_ends_it_at_any_step_what_is_there_is_whole),
		TEST(test_a_good_copy_is_kept_where_the_store_rots),
		TEST(test_a_copy_requires_what_its_records_require),
		TEST(test_what_is_wrong_with_a_copy_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
