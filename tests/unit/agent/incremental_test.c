/*
 * What becomes of advice that was wrong, and of sessions that were lost: nothing is kept
 * by a list that was found wrong, whatever ends in between, and a point never claims to
 * have read what a session before it kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "agent/backup/backup_parts.h"
#include "agent/backup/cache.h"
#include "agent/backup/incremental.h"
#include "agent/backup/pipeline.h"
#include "agent/backup/proof.h"
#include "agent/backup/shape.h"
#include "agent/backup/suspect.h"
#include "agent/map/changes.h"
#include "proto/chunk/tree.h"
#include "tests/unit/scratch.h"

#define SIZE (3 * (uint64_t)TREE_SPAN_LEN)

struct world {
	char dir[SCRATCH_MAX], cache[SCRATCH_MAX], list[SCRATCH_MAX], note[SCRATCH_MAX];
	struct incremental_policy policy;
	struct incremental_tracked tracked; /* changed NULL: nobody tracks. */
	struct chunk_keys keys;
	int list_fails, by_vss;
	struct incremental *inc;
	struct incremental_facts f;
	struct pipeline_job job;
	struct pipeline_result r;
	struct chunk_id root;
	struct err err;
};

static void
shape_at(struct world *w, const char *path, const struct proof *proof)
{
	struct shape_writer *s;

	assert_int_equal(shape_create(path, NULL, NULL, &s, &w->err), 0);
	assert_int_equal(shape_finish(s, &w->err), 0);
	if (proof != NULL)
		assert_int_equal(shape_seal(path, &w->root, proof, &w->err), 0);
}

/* An agent begins, as after a crash. */
static void
agent(struct world *w)
{
	incremental_free(w->inc);
	w->inc = NULL;
	if (incremental_new(&w->policy, w->tracked.changed != NULL ? &w->tracked : NULL,
		w->cache, SIZE, &w->inc, &w->err) != 0)
		fail_msg("%s", w->err.text);
	incremental_facts(w->inc, &w->f);
}

static void
job(struct world *w, uint64_t done_spans)
{
	memset(&w->job, 0, sizeof(w->job));
	memset(&w->r, 0, sizeof(w->r));
	w->job.base.known = 1;
	w->job.base.root_id = w->root;
	w->job.old_cache = w->cache;
	w->job.keys = &w->keys;
	w->job.done_spans = done_spans;
	w->job.done_cache = done_spans > 0 ? "done" : NULL;
	assert_int_equal(incremental_job(w->inc, 0, &w->job, &w->err), 0);
}

static void
ran(struct world *w, int stale)
{
	w->r.stale = stale;
	w->r.stale_at = 77;
	assert_int_equal(incremental_ran(w->inc, &w->job, &w->r), stale);
	incremental_facts(w->inc, &w->f);
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	char path[SCRATCH_MAX];
	struct proof proof;
	struct file *f;

	scratch_make(w->dir);
	scratch_path(w->dir, "c", w->cache);
	scratch_path(w->dir, "list", w->list);
	scratch_path(w->dir, "c=suspect", w->note);
	scratch_path(w->dir, "c=shape", path);
	assert_int_equal(
	    file_open(w->list, FILE_TO_WRITE | FILE_TO_MAKE, &f, &w->err), 0);
	file_close(f);
	w->root.b[0] = 1;
	proof_all(&proof, 10, 5);
	shape_at(w, path, &proof);
	w->policy.changed_from = w->list;
	w->policy.percent = 10;
	agent(w);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	incremental_free(w->inc);
	scratch_drop(w->dir);
	free(w);
	return 0;
}

static void
a_wrong_list_is_not_forgotten(void **state)
{
	struct world *w = *state;

	job(w, 0);
	assert_non_null(w->job.changes);
	assert_string_equal(changes_why(w->job.changes), "");
	ran(w, 1);
	assert_true(w->f.suspect && !w->f.told);
	assert_int_equal(w->f.since, 5);
	/* It ended before the server heard of it. */
	agent(w);
	assert_true(w->f.suspect && !w->f.told);
	assert_int_equal(w->f.since, 5);
	assert_non_null(strstr(w->f.how, "byte 77 was not"));
	/* It says so, and ends before all was read. */
	incremental_told(w->inc);
	agent(w);
	assert_true(w->f.suspect && w->f.told);
	assert_int_equal(w->f.since, 5);
	job(w, 0);
	assert_null(w->job.changes);
	ran(w, 0);
	assert_false(w->f.used);
	/* Without a point it stays so; even without the note nothing is kept. */
	incremental_drop(w->inc);
	agent(w);
	assert_true(w->f.suspect);
	assert_int_equal(file_remove(w->note, &w->err), 1);
	agent(w);
	assert_false(w->f.suspect);
	job(w, 0);
	assert_string_not_equal(changes_why(w->job.changes), "");
}

/* What a point says of itself is what is said of it if it turns out to be wrong. */
static void
a_point_tells_up_to_where_all_is_proven(void **state)
{
	struct world *w = *state;
	uint64_t told = 0;

	/* Point 5 read all of ten slices; each point after it reads one more. */
	for (uint64_t sequence = 6; sequence < 30; sequence++) {
		job(w, 0);
		if (sequence == 25) {
			ran(w, 1);
			assert_int_equal(w->f.since, told);
			assert_int_equal(file_remove(w->note, &w->err), 1);
			break;
		}
		ran(w, 0);
		assert_true(w->f.used);
		told = w->f.proven;
		assert_int_equal(told, sequence < 15 ? 5 : sequence - 9);
		shape_at(w, w->job.new_shape, NULL);
		w->root.b[0]++;
		assert_int_equal(
		    incremental_kept(w->inc, sequence, &w->root, &w->err), 0);
		agent(w);
	}
}

static void
a_point_that_read_all_ends_it(void **state)
{
	struct world *w = *state;

	job(w, 0);
	ran(w, 1);
	job(w, 0);
	assert_null(w->job.changes);
	ran(w, 0);
	shape_at(w, w->job.new_shape, NULL);
	w->root.b[0] = 2;
	assert_int_equal(incremental_kept(w->inc, 9, &w->root, &w->err), 0);
	agent(w);
	assert_false(w->f.suspect);
	job(w, 0);
	assert_string_equal(changes_why(w->job.changes), "");
	ran(w, 1);
	assert_int_equal(w->f.since, 9);
}

static void
a_note_that_makes_no_sense_is_believed_at_its_worst(void **state)
{
	static const char *const notes[] = { "", "0", "x y z", "1 " };
	struct world *w = *state;
	char big[100000];

	for (unsigned i = 0; i < 5; i++) {
		memset(big, 'x', sizeof(big));
		assert_int_equal(
		    file_store(w->note, i < 4 ? notes[i] : big,
			i < 4 ? strlen(notes[i]) : sizeof(big), 0600, &w->err),
		    0);
		agent(w);
		assert_true(w->f.suspect && !w->f.told);
		assert_int_equal(w->f.since, 0);
		assert_string_not_equal(w->f.how, "");
	}
	/* What cannot be sent would keep every backup from beginning. */
	assert_int_equal(file_store(w->note, "0 3 a\xc3\n\xff", 8, 0600, &w->err), 0);
	agent(w);
	assert_int_equal(w->f.since, 3);
	assert_string_equal(w->f.how, "a???");
}

static void
what_a_lost_session_kept_is_not_called_read(void **state)
{
	struct world *w = *state;

	job(w, 0);
	w->r.kept_bytes = 5 << 20;
	w->r.proven_bytes = 1 << 20;
	ran(w, 0);
	assert_true(w->f.used);
	/* The base is there, but its tree cannot be read any more. */
	job(w, 1);
	assert_int_equal(w->job.done_spans, 1);
	changes_doubt(w->job.changes, "gone");
	ran(w, 0);
	assert_true(w->f.used);
	assert_int_equal(w->f.kept_bytes, 5 << 20);
	assert_int_equal(w->f.proven_bytes, 1 << 20);
	/* It goes on and keeps more. */
	job(w, 2);
	w->r.kept_bytes = 3;
	ran(w, 0);
	assert_int_equal(w->f.kept_bytes, (5 << 20) + 3);
	/* All is begun again: nothing of it counts. */
	job(w, 0);
	w->r.kept_bytes = 7;
	ran(w, 0);
	assert_int_equal(w->f.kept_bytes, 7);
	/* The newest point is another one by now. */
	w->root.b[0] = 3;
	job(w, 2);
	assert_int_equal(w->job.done_spans, 0);
	assert_null(w->job.done_cache);
	ran(w, 0);
	assert_false(w->f.used);
	assert_int_equal(w->f.kept_bytes, 0);
	/* What was read stays read, whatever the base. */
	w->root.b[0] = 4;
	job(w, 2);
	assert_int_equal(w->job.done_spans, 2);
}

/* Of a lost session only the view stays: what is in the file by now may be of the next. */
static void
a_list_is_that_of_the_view(void **state)
{
	struct world *w = *state;

	assert_int_equal(file_store(w->list, "65536 1\n", 8, 0600, &w->err), 0);
	agent(w);
	job(w, 0);
	assert_true(changes_touch(w->job.changes, 65536, 1));
	changes_doubt(w->job.changes, "doubt of one session");
	ran(w, 0);
	assert_int_equal(file_store(w->list, "0 1\n", 4, 0600, &w->err), 0);
	job(w, 0);
	assert_string_equal(changes_why(w->job.changes), "");
	assert_true(changes_touch(w->job.changes, 65536, 1));
	assert_false(changes_touch(w->job.changes, 0, 1));
	/* The next backup. */
	agent(w);
	job(w, 0);
	assert_false(changes_touch(w->job.changes, 65536, 1));
	assert_true(changes_touch(w->job.changes, 0, 1));
}

/* What is not as people write ranges is no list: half of it would be kept as it was. */
static void
a_list_is_whole_or_refused(void **state)
{
	static const struct {
		const char *text;
		size_t len;	      /* 0: of the text up to its NUL. */
		uint64_t at, changed; /* 0: refused. */
	} rows[] = {
		{ "0000065536 0000000010\n", 0, 65536, 4096 },
		{ "0x10000 0XA\r\n", 0, 65536, 4096 },
		{ "\t65536\t10 # of a file\r\n\r\n", 0, 65536, 4096 },
		{ "65536 10", 0, 65536, 4096 },
		{ "# 1\n0 1\n 65536 18446744073709551615\n", 0, 65536, SIZE - 61440 },
		{ "0 1\r65536 10\r", 0, 0, 0 },
		{ "# list\r65536 10\r", 0, 0, 0 },
		{ "0 1\n\0\0\0\0", 8, 0, 0 },
		{ "0 1\n\0\n65536 10\n", 15, 0, 0 },
		{ "65536\n", 0, 0, 0 },
		{ "0x 10\n", 0, 0, 0 },
		{ "65536 -1\n", 0, 0, 0 },
		{ "65536 18446744073709551616\n", 0, 0, 0 },
		{ "65536 10 10\n", 0, 0, 0 },
		{ "\xef\xbb\xbf"
		  "65536 10\n",
		    12, 0, 0 },
	};
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct changes *c;
		size_t len = rows[i].len > 0 ? rows[i].len : strlen(rows[i].text);
		int rc;

		assert_int_equal(changes_new(SIZE, &c, &w->err), 0);
		assert_int_equal(
		    file_store(w->list, rows[i].text, len, 0600, &w->err), 0);
		rc = changes_load(c, w->list, &w->err);
		assert_int_equal(rc, rows[i].changed > 0 ? 0 : -1);
		if (rc == 0) {
			assert_true(changes_touch(c, rows[i].at, 10));
			assert_int_equal(changes_bytes(c), rows[i].changed);
		} else {
			assert_int_equal(w->err.code, ERR_CORRUPT);
		}
		err_clear(&w->err);
		changes_free(c);
	}
}

/* Whatever tells of changes by now: somebody has to tell the server, and read all. */
static void
a_note_outlives_what_it_was_about(void **state)
{
	struct world *w = *state;
	struct suspect s = { .told = 0, .since = 5, .how = "byte 7" };

	assert_false(incremental_noted(w->cache));
	assert_int_equal(suspect_store(w->note, &s, &w->err), 0);
	assert_true(incremental_noted(w->cache));
	w->policy.changed_from = NULL;
	agent(w);
	assert_true(w->f.suspect && !w->f.told);
	incremental_told(w->inc);
	job(w, 0);
	assert_null(w->job.changes);
	ran(w, 0);
	shape_at(w, w->job.new_shape, NULL);
	w->root.b[0] = 2;
	assert_int_equal(incremental_kept(w->inc, 9, &w->root, &w->err), 0);
	assert_false(incremental_noted(w->cache));
}

/* A point was made that read all, but nothing of it is kept: then nothing is suspect. */
static void
what_is_forgotten_is_in_nobodys_way(void **state)
{
	struct world *w = *state;

	job(w, 0);
	ran(w, 1);
	job(w, 0);
	ran(w, 0);
	assert_true(incremental_noted(w->cache));
	incremental_forget(w->inc);
	assert_false(incremental_noted(w->cache));
	agent(w);
	assert_false(w->f.suspect);
	job(w, 0);
	assert_string_not_equal(changes_why(w->job.changes), "");
	/* One that was noted and not yet read all for stays. */
	struct suspect s = { .told = 1, .since = 5, .how = "byte 7" };

	assert_int_equal(suspect_store(w->note, &s, &w->err), 0);
	agent(w);
	incremental_forget(w->inc);
	assert_true(incremental_noted(w->cache));
}

/* What lies where the new shape belongs may be of a run before: it was not written. */
static void
a_shape_that_was_not_written_is_nobodys(void **state)
{
	struct world *w = *state;

	job(w, 0);
	shape_at(w, w->job.new_shape, NULL);
	w->r.shape_lost = 1;
	ran(w, 0);
	assert_int_equal(incremental_kept(w->inc, 9, &w->root, &w->err), -1);
	err_clear(&w->err);
	agent(w);
	job(w, 0);
	assert_string_equal(
	    changes_why(w->job.changes), "nothing is remembered of the newest point");
}

static int
on_suspect(void *arg, const char *volume, const struct suspect *s)
{
	char *out = arg;

	sprintf(out + strlen(out), "%s: %d %llu %s; ", volume, s->told,
	    (unsigned long long)s->since, s->how);
	return 0;
}

static void
suspects_are_listed_by_their_volumes(void **state)
{
	struct world *w = *state;
	const struct suspect s = { .told = 1, .since = 5, .how = "byte 7" };
	char text[512] = "", dir[SCRATCH_MAX], path[SCRATCH_MAX];
	struct state *st;

	assert_int_equal(state_open(w->dir, &st, &w->err), 0);
	assert_int_equal(suspect_each(st, on_suspect, text, &w->err), 0);
	assert_string_equal(text, "");
	scratch_path(w->dir, "cache", dir);
	assert_int_equal(file_make_dir(dir, &w->err), 0);
	scratch_path(dir, "^d=shape", path);
	assert_int_equal(suspect_store(path, &s, &w->err), 0);
	assert_int_equal(suspect_each(st, on_suspect, text, &w->err), 0);
	assert_string_equal(text, "");
	scratch_path(dir, "^d=suspect", path);
	assert_int_equal(suspect_store(path, &s, &w->err), 0);
	assert_int_equal(suspect_each(st, on_suspect, text, &w->err), 0);
	assert_string_equal(text, "D: 1 5 byte 7; ");
	state_close(st);
}

/* --------------------------------------------------------------------- turns -- */

/* Read slice `p->next` of pieces that remember who read them last. */
static void
prove(struct proof *p, uint64_t sequence, uint64_t *read, unsigned pieces)
{
	uint64_t oldest = UINT64_MAX;

	for (unsigned i = p->next; i < pieces; i += p->slices)
		read[i] = sequence;
	proof_next(p, sequence);
	for (unsigned i = 0; i < pieces; i++)
		oldest = read[i] < oldest ? read[i] : oldest;
	assert_true(proof_since(p) <= oldest);
}

static void
those_who_take_turns_prove_all(void **state)
{
	static const unsigned turns[][2] = { { 100, 10 }, { 10, 100 }, { 5, 10 },
		{ 100, 1 }, { 100, 100 } };
	uint64_t read[3400];
	struct proof p;

	(void)state;
	for (unsigned k = 0; k < 5; k++) {
		for (unsigned i = 0; i < 3400; i++)
			read[i] = 1;
		proof_all(&p, turns[k][0], 1);
		for (unsigned n = 0; n < 200; n++) {
			proof_again(&p, turns[k][n % 2]);
			prove(&p, 2 + n, read, 3400);
		}
		assert_true(proof_since(&p) > 1);
	}
	/* Never more than was read, with whatever slices. */
	for (unsigned n = 0; n < 3000; n++) {
		proof_again(&p, n % 7 == 0 ? 34 : n % 3 == 0 ? 10 : 100);
		prove(&p, 300 + n, read, 3400);
	}
}

/* -------------------------------------------------------- a driver that tracks -- */

struct emit {
	struct cache_writer *out;
	uint64_t span;
};

static int
emit(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct emit *e = arg;
	/* Equal spans are one leaf, which comes first. */
	return cache_add(e->out, e->span++ == 0 ? 0 : CACHE_NO_SPAN, id, p, len, err);
}

/* The newest point is of generation `number`: its tree is kept, and its shape. */
static void
point_of(struct world *w, uint64_t number, uint8_t nonce)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	struct tree_root root = { .size = SIZE,
		.sector_size = 512,
		.fs = "raw",
		.provider = "hotcopy",
		.generation = number };
	struct tree_builder *b;
	struct emit e = { NULL, 0 };
	struct proof proof;
	char path[SCRATCH_MAX];

	if (w->by_vss)
		strcpy(root.provider, "vss");
	memset(root.nonce, nonce, sizeof(root.nonce));
	chunk_keys_init(&w->keys, domain);
	assert_int_equal(cache_create(w->cache, NULL, &e.out, &w->err), 0);
	b = tree_builder_new(&w->keys, &root, emit, &e);
	for (uint64_t at = 0; at < SIZE; at += TREE_SPAN_LEN) {
		struct extent x = {
			.kind = EXTENT_ZERO, .offset = at, .len = TREE_SPAN_LEN
		};

		assert_int_equal(tree_builder_add(b, &x, &w->err), 0);
	}
	if (tree_builder_finish(b, &w->root, &w->err) != 0)
		fail_msg("%s", w->err.text);
	tree_builder_free(b);
	assert_int_equal(cache_finish(e.out, &w->root, &w->err), 0);
	proof_all(&proof, 10, 5);
	scratch_path(w->dir, "c=shape", path);
	shape_at(w, path, &proof);
}

static int
changed(void *arg, struct changes *out, struct err *err)
{
	const struct world *w = arg;

	if (w->list_fails)
		return err_set(err, ERR_IO, "the driver is gone");
	changes_add(out, 65536, 1);
	return 0;
}

/* The driver counts from this generation; 0: it has none, as `why` says. */
static void
driver_of(struct world *w, uint64_t number, uint8_t nonce, const char *why)
{
	w->tracked = (struct incremental_tracked){ .changed = changed,
		.arg = w,
		.view = { .base = { .number = number }, .why = why } };
	memset(w->tracked.view.base.nonce, nonce, sizeof(w->tracked.view.base.nonce));
	w->policy.changed_from = NULL;
	w->policy.tracked_percent = 1;
}

static void
the_driver_s_list_is_used_if_the_point_is_its_base(void **state)
{
	struct world *w = *state;

	point_of(w, 7, 0xab);
	driver_of(w, 7, 0xab, "");
	agent(w);
	job(w, 0);
	assert_string_equal(changes_why(w->job.changes), "");
	assert_true(changes_touch(w->job.changes, 65536, 1));
	assert_false(changes_touch(w->job.changes, 131072, SIZE - 131072));
	assert_false(changes_are_only_owned(w->job.changes));
	ran(w, 0);
	assert_true(w->f.used && w->f.tracked);
	assert_int_equal(w->f.slices, 100);
	assert_string_equal(w->f.why_not_tracked, "");
	/* What makers of shadow copies note in the boot sectors is read always. */
	assert_true(changes_touch(w->job.changes, 0, 1));
	assert_false(changes_do_need_map(w->job.changes));
	w->tracked.foreign = 1;
	agent(w);
	job(w, 0);
	assert_true(changes_do_need_map(w->job.changes));
	/* So it is if the point before has what a shadow copy has of its own. */
	w->tracked.foreign = 0;
	w->by_vss = 1;
	point_of(w, 7, 0xab);
	agent(w);
	job(w, 0);
	assert_string_equal(changes_why(w->job.changes), "");
	assert_true(changes_do_need_map(w->job.changes));
	/* Somebody's own list goes before it. */
	w->policy.changed_from = w->list;
	agent(w);
	job(w, 0);
	assert_false(changes_touch(w->job.changes, 65536, 1));
	ran(w, 0);
	assert_true(w->f.used && !w->f.tracked);
	assert_int_equal(w->f.slices, 10);
	/* Which knows of shadow copies as little, be the point before of one, */
	assert_true(changes_touch(w->job.changes, 0, 1));
	assert_true(changes_do_need_map(w->job.changes));
	w->by_vss = 0;
	point_of(w, 7, 0xab);
	agent(w);
	job(w, 0);
	assert_string_equal(changes_why(w->job.changes), "");
	assert_false(changes_touch(w->job.changes, 0, 1));
	assert_false(changes_do_need_map(w->job.changes));
	/* or this view. */
	w->tracked.foreign = 1;
	agent(w);
	job(w, 0);
	assert_true(changes_touch(w->job.changes, 0, 1));
	assert_true(changes_do_need_map(w->job.changes));
}

static void
any_other_base_is_a_reason(void **state)
{
	static const struct {
		uint64_t point, driver;
		uint8_t point_nonce, driver_nonce;
		const char *said, *why;
	} rows[] = {
		{ 7, 8, 1, 1, "", "tracking counts from another point" },
		{ 7, 7, 1, 2, "", "tracking counts from another point" },
		{ 0, 7, 0, 1, "", "the newest point was made without tracking" },
		{ 0, 0, 0, 0, "tracking began with this point",
		    "tracking began with this point" },
		{ 7, 0, 1, 1, "tracking is invalid: its store failed",
		    "tracking is invalid: its store failed" },
	};
	struct world *w = *state;

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (int fast = 0; fast < 2; fast++) {
			point_of(w, rows[i].point, rows[i].point_nonce);
			driver_of(w, rows[i].driver, rows[i].driver_nonce, rows[i].said);
			w->policy.fast = fast;
			agent(w);
			job(w, 0);
			ran(w, 0);
			assert_string_equal(w->f.why_not_tracked, rows[i].why);
			assert_false(w->f.tracked);
			/* The records of an NTFS may serve instead. */
			assert_int_equal(w->f.used, fast);
			assert_string_equal(w->f.why, fast ? "" : rows[i].why);
			assert_int_equal(changes_are_only_owned(w->job.changes), fast);
		}
}

static void
what_is_not_kept_or_told_is_a_reason(void **state)
{
	struct world *w = *state;

	point_of(w, 7, 1);
	driver_of(w, 7, 1, "");
	w->list_fails = 1;
	agent(w);
	job(w, 0);
	assert_string_equal(changes_why(w->job.changes), "the driver is gone");
	w->list_fails = 0;
	assert_int_equal(file_remove(w->cache, &w->err), 1);
	agent(w);
	job(w, 0);
	assert_string_equal(
	    changes_why(w->job.changes), "the tree of the newest point is not kept here");
	/* A wrong list is not forgotten, whoever made it. */
	point_of(w, 7, 1);
	agent(w);
	job(w, 0);
	ran(w, 1);
	agent(w);
	assert_true(w->f.suspect);
	job(w, 0);
	assert_null(w->job.changes);
	ran(w, 0);
	assert_true(!w->f.used && !w->f.tracked);
}

static void
who_was_wrong_makes_no_holes(void **state)
{
	struct world *w = *state;
	struct backup *b = calloc(1, sizeof(*b));
	struct backup_session s = { .b = b };

	b->capture = calloc(1, sizeof(*b->capture));
	b->out = calloc(1, sizeof(*b->out));
	b->capture->count = 1;
	assert_int_equal(changes_new(SIZE, &b->written[0], &w->err), 0);
	agent(w);
	b->inc[0] = w->inc;
	job(w, 0);
	backup_take_changes(&s, 0, &w->job, &w->r);
	assert_true(b->written[0] != NULL && !b->distrusted);
	w->r.stale = 1;
	backup_take_changes(&s, 0, &w->job, &w->r);
	assert_true(b->written[0] == NULL && b->distrusted);
	b->inc[0] = NULL; /* It is w's. */
	backup_close_changes(b);
	free(b->out);
	free(b->capture);
	free(b);
}

#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		T(a_wrong_list_is_not_forgotten),
		T(who_was_wrong_makes_no_holes),
		T(a_point_tells_up_to_where_all_is_proven),
		T(a_point_that_read_all_ends_it),
		T(a_note_that_makes_no_sense_is_believed_at_its_worst),
		T(what_a_lost_session_kept_is_not_called_read),
		T(a_list_is_that_of_the_view),
		T(a_list_is_whole_or_refused),
		T(a_note_outlives_what_it_was_about),
		T(what_is_forgotten_is_in_nobodys_way),
		T(a_shape_that_was_not_written_is_nobodys),
		T(suspects_are_listed_by_their_volumes),
		T(those_who_take_turns_prove_all),
		T(the_driver_s_list_is_used_if_the_point_is_its_base),
		T(any_other_base_is_a_reason),
		T(what_is_not_kept_or_told_is_a_reason),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
