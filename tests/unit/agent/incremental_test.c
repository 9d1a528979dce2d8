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

#include "agent/backup/incremental.h"
#include "agent/backup/pipeline.h"
#include "agent/backup/proof.h"
#include "agent/backup/shape.h"
#include "agent/map/changes.h"
#include "tests/unit/scratch.h"

#define SIZE (3 * (uint64_t)TREE_SPAN_LEN)

struct world {
	char dir[SCRATCH_MAX], cache[SCRATCH_MAX], list[SCRATCH_MAX], note[SCRATCH_MAX];
	struct incremental_policy policy;
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

	assert_int_equal(shape_create(path, &s, &w->err), 0);
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
	if (incremental_new(&w->policy, NULL, w->cache, SIZE, &w->inc, &w->err) != 0)
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
	incremental_kept(w->inc, 9, &w->root);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define T(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
		T(a_wrong_list_is_not_forgotten),
		T(a_point_that_read_all_ends_it),
		T(a_note_that_makes_no_sense_is_believed_at_its_worst),
		T(what_a_lost_session_kept_is_not_called_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
