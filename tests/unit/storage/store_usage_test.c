/*
 * What a host or point uses alone, against sets counted by hand, in one pass and
 * in many; and the journal as a story whose chain is proven.
 */
#include "storage/fs_fault.h"
#include "storage/journal.h"
#include "storage/store_audit.h"
#include "storage/store_usage.h"
#include "tests/unit/storage/store_rig.h"

#define HOSTS 3u
#define POINTS 3u
#define BLOCKS 200u
#define SEEDS 400u

struct world {
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	uint32_t blocks[HOSTS][POINTS][BLOCKS];
	struct store_use got[HOSTS];
	uint32_t n;
	struct store_point p;
};

static const char *const names[HOSTS] = { "alpha", "beta", "gamma" };

static struct world *
new_world(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->ff = fs_fault_new(1);
	assert_non_null(w->ff);
	rig_ok(store_init_fs(fs_fault_fs(w->ff), &w->err), &w->err);
	rig_ok(store_open_fs(fs_fault_fs(w->ff), NULL, NULL, &w->s, &w->err), &w->err);
	return w;
}

static void
end_world(struct world *w)
{
	store_close(w->s);
	fs_fault_free(w->ff);
	free(w);
}

/* Blocks that are partly the host's own, partly any other's as well. */
static void
back_up_all(struct world *w)
{
	uint32_t x = 12345;

	for (uint32_t h = 0; h < HOSTS; h++) {
		for (uint32_t n = 0; n < POINTS; n++) {
			struct rig_volume v = { w->blocks[h][n], BLOCKS };

			for (uint32_t i = 0; i < BLOCKS; i++) {
				x = x * 1664525 + 1013904223;
				w->blocks[h][n][i] = (x >> 16) % SEEDS;
			}
			rig_ok(rig_backup(w->s, names[h], &v, &w->p, &w->err), &w->err);
		}
	}
}

/* How many chunks nothing but host `h` (point `n` of it, if not POINTS) has. */
static uint64_t
by_hand(const struct world *w, uint32_t h, uint32_t n)
{
	uint64_t alone = 0;

	for (uint32_t seed = 3; seed < SEEDS; seed++) {
		int ours = 0, others = 0;

		for (uint32_t a = 0; a < HOSTS; a++)
			for (uint32_t b = 0; b < POINTS; b++)
				for (uint32_t i = 0; i < BLOCKS; i++) {
					if (w->blocks[a][b][i] != seed)
						continue;
					if (a == h && (n == POINTS || b == n))
						ours = 1;
					else
						others = 1;
				}
		alone += ours && !others;
	}
	return alone;
}

static void
keep(void *arg, const struct store_use *use)
{
	struct world *w = arg;

	assert_true(w->n < HOSTS);
	w->got[w->n++] = *use;
}

static void
expect(struct world *w, const struct store_use *use, uint32_t h, uint32_t n)
{
	uint64_t chunks = by_hand(w, h, n);

	assert_string_equal(use->host, names[h]);
	assert_int_equal(use->points, n == POINTS ? POINTS : 1);
	assert_int_equal(use->chunks, chunks);
	assert_int_equal(use->bytes, chunks * RIG_BLOCK);
	assert_true(use->stored <= use->bytes && use->stored * 4 > use->bytes);
}

static void
test_use_is_what_nothing_else_uses(void **state)
{
	static const uint64_t memory[] = { 0, 1 };
	struct world *w = new_world();

	(void)state;
	back_up_all(w);
	for (size_t i = 0; i < 2; i++) {
		struct store_usage u = { .memory = memory[i] };

		w->n = 0;
		rig_ok(store_usage(w->s, &u, keep, w, &w->err), &w->err);
		assert_int_equal(w->n, HOSTS);
		assert_int_equal(u.missing, 0);
		for (uint32_t h = 0; h < HOSTS; h++) {
			assert_true(by_hand(w, h, POINTS) > 3);
			expect(w, &w->got[h], h, POINTS);
		}
		for (uint32_t h = 0; h < HOSTS; h++) {
			for (uint32_t n = 0; n <= POINTS; n++) {
				struct store_usage one = { .memory = memory[i],
					.host = names[h],
					.sequence = n == POINTS ? 0 : n + 1 };

				w->n = 0;
				rig_ok(
				    store_usage(w->s, &one, keep, w, &w->err), &w->err);
				assert_int_equal(w->n, 1);
				expect(w, &w->got[0], h, n);
			}
		}
	}
	end_world(w);
}

/* More chunks than the table takes at once. */
static void
test_many_passes_count_the_same(void **state)
{
	struct world *w = new_world();
	uint32_t *blocks = calloc(2000, sizeof(*blocks));
	struct rig_volume v = { blocks, 2000 };
	struct store_usage u = { .memory = 1 };

	(void)state;
	assert_non_null(blocks);
	rig_fill(blocks, 2000, 7);
	rig_ok(rig_backup(w->s, "alpha", &v, &w->p, &w->err), &w->err);
	rig_fill(blocks + 1000, 1000, 900007);
	rig_ok(rig_backup(w->s, "beta", &v, &w->p, &w->err), &w->err);
	rig_ok(store_usage(w->s, &u, keep, w, &w->err), &w->err);
	assert_true(u.passes > 2);
	assert_int_equal(w->got[0].chunks, 1000);
	assert_int_equal(w->got[1].chunks, 1000);
	free(blocks);
	end_world(w);
}

static int
stop_at_once(void *arg, uint64_t done, uint64_t total)
{
	(void)arg;
	assert_true(done <= total);
	return 1;
}

static void
test_counting_stops_and_names_what_is_not_there(void **state)
{
	struct world *w = new_world();
	struct store_usage u = { .tell = stop_at_once };
	struct store_usage none = { .host = "delta" };
	struct err err = ERR_INIT;

	(void)state;
	back_up_all(w);
	assert_int_equal(store_usage(w->s, &u, keep, w, &err), -1);
	assert_int_equal(err.code, ERR_CANCELED);
	err_clear(&err);
	assert_int_equal(store_usage(w->s, &none, keep, w, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	end_world(w);
}

/* ---------------------------------------------------------------------- audit -- */

struct story {
	char all[4096];
	unsigned entries, stop_after;
};

static int
hear(void *arg, const struct store_entry *e)
{
	struct story *t = arg;
	size_t n = strlen(t->all);

	(void)snprintf(t->all + n, sizeof(t->all) - n, "%s: %s\n", e->who, e->what);
	return ++t->entries == t->stop_after;
}

static void
test_the_journal_tells_who_did_what(void **state)
{
	static const char *const want = "alice: did this\n"
					"alpha: was given a certificate\n"
					"alpha: alarm: a copied key\n"
					"alpha: its alarm was cleared\n"
					"bob: did that\n";
	struct world *w = new_world();
	struct store_peer peer = { .name = "alpha", .role = 1 };
	struct store_chain whole = { 0 }, parts = { 0 };
	struct story t = { "", 0, 0 }, part = { "", 0, 2 };

	(void)state;
	rig_ok(store_audit(w->s, "alice", "did this", &w->err), &w->err);
	rig_ok(store_peer_put(w->s, &peer, &w->err), &w->err);
	rig_ok(store_peer_alarm(w->s, "alpha", "a copied key", &w->err), &w->err);
	rig_ok(store_peer_alarm(w->s, "alpha", "", &w->err), &w->err);
	rig_ok(store_audit(w->s, "bob", "did that", &w->err), &w->err);
	assert_int_equal(store_audit_each(w->s, &whole, hear, &t, &w->err), 0);
	assert_string_equal(t.all, want);
	assert_int_equal(whole.sequence, 7);

	/* In parts it is the same, and the same end. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(store_audit_each(w->s, &parts, hear, &part, &w->err), 1);
		part.entries = 0;
	}
	assert_int_equal(store_audit_each(w->s, &parts, hear, &part, &w->err), 0);
	assert_string_equal(part.all, want);
	assert_memory_equal(&parts, &whole, sizeof(parts));
	end_world(w);
}

/* A bit of what lies on the disk changes while the store is open. */
static void
test_a_changed_journal_is_named(void **state)
{
	struct world *w = new_world();
	size_t len;
	uint8_t *p;
	unsigned places = 0;

	(void)state;
	rig_ok(store_audit(w->s, "alice", "did this", &w->err), &w->err);
	rig_ok(store_audit(w->s, "mallory", "did that", &w->err), &w->err);
	p = fs_fault_bytes(w->ff, JOURNAL_NAME, &len);
	for (size_t at = JOURNAL_FILE_HEADER_LEN; at < len; at += 7, places++) {
		struct store_chain chain = { 0 };
		struct err err = ERR_INIT;

		p[at] ^= 0x10;
		assert_int_equal(store_audit_each(w->s, &chain, NULL, NULL, &err), -1);
		if (err.code != ERR_CORRUPT && err.code != ERR_NOTFOUND)
			fail_msg("at %zu: %s", at, err.text);
		p[at] ^= 0x10;
	}
	assert_true(places > 50);
	end_world(w);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_use_is_what_nothing_else_uses),
		cmocka_unit_test(test_many_passes_count_the_same),
		cmocka_unit_test(test_counting_stops_and_names_what_is_not_there),
		cmocka_unit_test(test_the_journal_tells_who_did_what),
		cmocka_unit_test(test_a_changed_journal_is_named),
	};

	return cmocka_run_group_tests_name("store_usage", tests, NULL, NULL);
}
