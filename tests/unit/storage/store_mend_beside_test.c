/*
 * A pack is mended beside whoever else wants to mend or to remove it.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/store_options.h"
#include "tests/unit/storage/gc_rig.h"

#define NAME "packs/00000001.pack"

/* Two find the same pack bad at once. */
static struct {
	struct gc_rig *r;
	struct fs_ops ops;
	const struct fs_ops *below;
	struct journal_pack k;
	pthread_t thread;
	size_t len; /* Of the pack. */
	int begun, second, cut;
	atomic_int ended;
} both;

static void *
mend_too(void *arg)
{
	char what[ERR_TEXT_MAX];
	struct err err = ERR_INIT;

	(void)arg;
	both.second = store_mend_pack(both.r->s, &both.k, what, &err);
	atomic_store(&both.ended, 1);
	return NULL;
}

/* The first is about to begin its new file: the second has a while to do all of it. */
static int
truncate_beside(struct fs_file *f, uint64_t len, struct err *err)
{
	const struct timespec moment = { 0, 1000000 };
	size_t now = 0;
	int ret;

	if (!both.begun) {
		both.begun = 1;
		assert_int_equal(pthread_create(&both.thread, NULL, mend_too, NULL), 0);
		for (int i = 0; i < 300 && !atomic_load(&both.ended); i++)
			(void)nanosleep(&moment, NULL);
	}
	ret = both.below->truncate(f, len, err);
	if (fs_fault_bytes(both.r->ff, NAME, &now) == NULL || now != both.len)
		both.cut = 1;
	return ret;
}

static void
test_two_do_not_mend_one_pack_at_once(void **state)
{
	struct store_options o = STORE_OPTIONS_INIT;
	char what[ERR_TEXT_MAX];
	uint8_t *was, *p;
	uint32_t a[24], n;
	struct gc_rig r;
	struct fs *fs;

	(void)state;
	memset(&both, 0, sizeof(both));
	gc_rig_start(&r, 22);
	fs = fs_fault_fs(r.ff);
	store_close(r.s);
	o.parity = 20;
	rig_ok(store_open_with_fs(fs, CATALOG_NAME, &o, &r.s, &r.err), &r.err);
	both.r = &r;
	rig_fill(a, 24, 1);
	gc_rig_backup(&r, "alpha", a, 24, 1);
	rig_ok(catalog_packs(r.s->catalog, 0, &both.k, 1, &n, &r.err), &r.err);
	assert_int_equal(both.k.no, 1);
	assert_non_null(p = fs_fault_bytes(r.ff, NAME, &both.len));
	assert_non_null(was = malloc(both.len));
	memcpy(was, p, both.len);
	p[1000] ^= 0x21;
	both.below = fs->ops;
	both.ops = *both.below;
	both.ops.truncate = truncate_beside;
	fs->ops = &both.ops;
	assert_int_equal(store_mend_pack(r.s, &both.k, what, &r.err), 1);
	assert_int_equal(pthread_join(both.thread, NULL), 0);
	fs->ops = both.below;
	assert_true(both.begun);
	assert_false(both.cut);
	/* Who comes second finds it whole, and is to read it again. */
	assert_int_equal(both.second, 2);
	assert_non_null(p = fs_fault_bytes(r.ff, NAME, &both.len));
	assert_memory_equal(p, was, both.len);
	gc_rig_check(&r, "alpha", 1, a, 24);
	gc_rig_end(&r);
	free(was);
}

struct remembering {
	struct gc_rig *r;
	uint32_t removals;
	pthread_t thread;
	atomic_int ended;
};

static void *
remember(void *arg)
{
	struct err ignored = ERR_INIT;
	struct remembering *m = arg;

	(void)store_remember_mended(m->r->s, 1, &ignored);
	atomic_store(&m->ended, 1);
	return NULL;
}

/* The last to go is pack 1.  In a while it must not come to its end. */
static void
remember_meanwhile(void *arg, enum store_pause where)
{
	const struct timespec moment = { 0, 1000000 };
	struct remembering *m = arg;

	if (where != STORE_PAUSE_REMOVE || ++m->removals != 2)
		return;
	assert_int_equal(pthread_create(&m->thread, NULL, remember, m), 0);
	for (int i = 0; i < 300 && !atomic_load(&m->ended); i++)
		(void)nanosleep(&moment, NULL);
}

/* Else it would be told to be there, and its file goes a moment later. */
static void
test_a_pack_that_was_mended_does_not_come_back_while_it_is_removed(void **state)
{
	struct store_gc_report report;
	uint8_t content[RIG_BLOCK];
	struct index_hit hit;
	struct chunk_id id;
	uint32_t a[24];
	struct remembering m;
	struct gc_rig r;

	(void)state;
	gc_rig_start(&r, 23);
	memset(&m, 0, sizeof(m));
	m.r = &r;
	rig_fill(a, 24, 1);
	gc_rig_backup(&r, "alpha", a, 24, 1);
	rig_content(a[0], content);
	chunk_id_of(store_keys(r.s), CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(index_lookup(r.s->index, &id, 1, &hit, &r.err), &r.err);
	assert_int_equal(hit.loc.pack, 1);
	gc_rig_prune(&r, "alpha", 1);
	r.s->pause = remember_meanwhile;
	r.s->pause_arg = &m;
	assert_int_equal(gc_rig_collect(&r, NULL, &report), STORE_GC_DONE);
	r.s->pause = NULL;
	assert_int_equal(m.removals, 2);
	assert_int_equal(pthread_join(m.thread, NULL), 0);
	assert_int_equal(report.packs_removed, 2);
	assert_false(gc_rig_has(&r, a[0]));
	gc_rig_end(&r);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_two_do_not_mend_one_pack_at_once),
		cmocka_unit_test(
		    test_a_pack_that_was_mended_does_not_come_back_while_it_is_removed),
	};

	return cmocka_run_group_tests_name("store_mend_beside", tests, NULL, NULL);
}
