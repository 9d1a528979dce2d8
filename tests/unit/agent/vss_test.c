/*
 * The session with VSS against a service made of counters: the order of calls, what is
 * tried again, and that nothing stays behind whichever call fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "agent/vss/vss.h"
#include "proto/base/err.h"

#define HOLD_TIMEOUT 0x80042314u
#define IN_PROGRESS 0x80042316u
#define NONRETRYABLE 0x800423F4u
#define BAD_STATE 0x80042301u
#define CALLS_MAX 4096

/* The service, and what is asked of it. */
static struct {
	char log[CALLS_MAX][24]; /* Names of calls, in order. */
	unsigned calls;
	int live, set, prepared, frozen, aborted, completed;
	enum vss_async pending;
	unsigned fail_at; /* The n-th call, from 1; 0: none ... */
	unsigned fail_times;
	vss_code fail_with;
	int fail_in_async; /* ... or the async that it begins. */
	vss_code async_ends;
	int never_ends; /* The async of this number never ends. */
	int writer_state;
	vss_code writer_failure;
	enum vss_async writer_fails_after;
	enum vss_async last;
	unsigned added, told;
	int outside, supported;
	int gone;
	int second;		     /* A database more, half of it elsewhere. */
	enum vss_async silent_after; /* The first writer is gone then; 0: never. */
	struct stop *stop_at_do;
	char said[2048];
} w;

static vss_code
enter(const char *name)
{
	assert_true(w.calls < CALLS_MAX);
	(void)snprintf(w.log[w.calls++], sizeof(w.log[0]), "%s", name);
	if (w.fail_at == 0 || w.calls < w.fail_at || w.fail_times == 0 ||
	    strcmp(name, "close") == 0)
		return VSS_OK;
	w.fail_times--;
	return w.fail_with;
}

#define ENTER(name)                        \
	do {                               \
		vss_code c_ = enter(name); \
		if (c_ != VSS_OK)          \
			return c_;         \
	} while (0)

static vss_code
f_create(void *arg)
{
	(void)arg;
	assert_false(w.live);
	ENTER("create");
	w.live = 1;
	return VSS_OK;
}

static vss_code
f_init(void *arg)
{
	(void)arg;
	assert_true(w.live);
	ENTER("init");
	return VSS_OK;
}

static vss_code
f_set_state(void *arg, int bootable, int copy)
{
	(void)arg;
	(void)bootable;
	(void)copy;
	ENTER("state");
	return VSS_OK;
}

static vss_code
f_set_context(void *arg, uint32_t context)
{
	(void)arg;
	ENTER("context");
	assert_true(context == 0 || context == 0x12);
	return VSS_OK;
}

static vss_code
f_start(void *arg, enum vss_async what)
{
	static const char *const names[] = { "gather", "prepare", "do", "status",
		"complete" };
	vss_code code = enter(names[what]);

	(void)arg;
	assert_true(w.live);
	w.async_ends = VSS_ASYNC_FINISHED;
	if (code != VSS_OK && !w.fail_in_async)
		return code;
	if (code != VSS_OK)
		w.async_ends = code;
	if (what == VSS_PREPARE || what == VSS_DO_SET)
		assert_true(w.set);
	if (what == VSS_DO_SET && w.stop_at_do != NULL)
		stop_request(w.stop_at_do);
	w.pending = what;
	return VSS_OK;
}

static vss_code
f_poll(void *arg, uint32_t ms, vss_code *status)
{
	static int twice;

	(void)arg;
	(void)ms;
	*status = w.async_ends;
	if (w.never_ends == (int)w.pending + 1 && w.async_ends == VSS_ASYNC_FINISHED) {
		*status = VSS_ASYNC_PENDING;
		return VSS_OK;
	}
	if ((twice = !twice)) {
		*status = VSS_ASYNC_PENDING;
		return VSS_OK;
	}
	if (*status == VSS_ASYNC_FINISHED) {
		w.prepared |= w.pending == VSS_PREPARE;
		w.frozen |= w.pending == VSS_DO_SET;
		w.completed |= w.pending == VSS_COMPLETE;
		if (w.pending != VSS_GATHER_STATUS)
			w.last = w.pending;
	}
	return VSS_OK;
}

static void
f_cancel(void *arg)
{
	(void)arg;
	(void)enter("cancel");
	w.async_ends = VSS_ASYNC_CANCELLED;
}

static vss_code
f_writers(void *arg, unsigned *count)
{
	(void)arg;
	ENTER("writers");
	*count = 2;
	return VSS_OK;
}

static vss_code
f_writer(void *arg, unsigned i, struct vss_writer *out)
{
	(void)arg;
	out->name = strdup(i == 0 ? "SqlServerWriter" : "Away Writer");
	out->instance.b[0] = (uint8_t)(i + 1);
	out->source = i == 0;
	out->components = calloc(1, sizeof(*out->components));
	out->count = 1;
	out->components[0].path = strdup("");
	out->components[0].name = strdup("db");
	out->components[0].selectable = 1;
	out->components[0].file = calloc(2, sizeof(char *));
	out->components[0].files = 2;
	out->components[0].file[0] = strdup(i == 0 ? "C:\\" : "Z:\\");
	out->components[0].file[1] = strdup(i == 0 && !w.outside ? "D:\\" : "Z:\\");
	if (i == 0 && w.second) {
		out->components = realloc(out->components, 2 * sizeof(*out->components));
		memset(&out->components[1], 0, sizeof(*out->components));
		out->count = 2;
		out->components[1].path = strdup("");
		out->components[1].name = strdup("half");
		out->components[1].selectable = 1;
		out->components[1].file = calloc(2, sizeof(char *));
		out->components[1].files = 2;
		out->components[1].file[0] = strdup(w.second == 1 ? "C:\\" : "Y:\\");
		out->components[1].file[1] = strdup("Z:\\");
	}
	ENTER("writer");
	return VSS_OK;
}

static int
f_volume_of(void *arg, const char *file, char *out, size_t cap)
{
	(void)arg;
	(void)snprintf(out, cap, "%s", file);
	return 0;
}

static vss_code
f_add_component(void *arg, const struct vss_writer *of, const struct vss_component *c)
{
	(void)arg;
	ENTER("component");
	assert_string_equal(of->name, "SqlServerWriter");
	assert_string_equal(c->name, "db");
	w.added++;
	return VSS_OK;
}

static vss_code
f_start_set(void *arg)
{
	(void)arg;
	ENTER("set");
	w.set = 1;
	return VSS_OK;
}

static vss_code
f_supported(void *arg, const char *volume, int *yes)
{
	(void)arg;
	(void)volume;
	ENTER("supported");
	*yes = w.supported;
	return VSS_OK;
}

static vss_code
f_add_volume(void *arg, const char *volume, unsigned i)
{
	(void)arg;
	ENTER("volume");
	assert_string_equal(volume, i == 0 ? "C:\\" : "D:\\");
	return VSS_OK;
}

static vss_code
f_statuses(void *arg, unsigned *count)
{
	(void)arg;
	ENTER("statuses");
	w.gone = w.silent_after != 0 && w.last == w.silent_after;
	*count = w.gone ? 1 : 2;
	return VSS_OK;
}

/* The writer elsewhere has always failed, and nobody minds. */
static vss_code
f_status(void *arg, unsigned i, struct vss_status *out)
{
	(void)arg;
	i += (unsigned)w.gone;
	out->name = strdup(i == 0 ? "SqlServerWriter" : "Away Writer");
	out->instance.b[0] = (uint8_t)(i + 1);
	out->state = i == 0 ? 1 : 9;
	out->failure = i == 0 ? VSS_OK : NONRETRYABLE;
	if (i == 0 && w.writer_state != 0 && w.last == w.writer_fails_after) {
		out->state = w.writer_state;
		out->failure = w.writer_failure;
	}
	ENTER("state of");
	return VSS_OK;
}

static vss_code
f_device(void *arg, unsigned i, char *out, size_t cap)
{
	(void)arg;
	ENTER("device");
	assert_true(w.frozen);
	(void)snprintf(out, cap, "copy%u", i);
	return VSS_OK;
}

static vss_code
f_succeeded(void *arg, const struct vss_writer *of, const struct vss_component *c, int ok)
{
	(void)arg;
	(void)of;
	(void)c;
	ENTER("succeeded");
	assert_true(ok && w.frozen);
	w.told++;
	return VSS_OK;
}

static vss_code
f_abort(void *arg)
{
	(void)arg;
	assert_true(w.live);
	/* Even one that fails was heard, or nobody is there to hear. */
	w.aborted = 1;
	ENTER("abort");
	return VSS_OK;
}

/* Release: what was begun must have been ended, and the copies go. */
static void
f_close(void *arg)
{
	(void)arg;
	assert_true(w.live);
	(void)enter("close");
	if (w.set && !w.completed)
		assert_true(w.aborted);
	w.live = w.set = w.prepared = w.frozen = w.aborted = w.completed = 0;
}

static const struct vss_ops fake = { .create = f_create,
	.init = f_init,
	.set_state = f_set_state,
	.set_context = f_set_context,
	.start = f_start,
	.poll = f_poll,
	.cancel = f_cancel,
	.writers = f_writers,
	.writer = f_writer,
	.volume_of = f_volume_of,
	.add_component = f_add_component,
	.start_set = f_start_set,
	.supported = f_supported,
	.add_volume = f_add_volume,
	.statuses = f_statuses,
	.status = f_status,
	.device = f_device,
	.succeeded = f_succeeded,
	.abort = f_abort,
	.close = f_close };

static void
hear(void *arg, const char *line)
{
	size_t len = strlen(w.said);

	(void)arg;
	(void)snprintf(w.said + len, sizeof(w.said) - len, "%s\n", line);
}

static const char *const volumes[] = { "C:\\", "D:\\" };

static struct vss *
session(struct stop *stop)
{
	const struct vss_job job = { .ops = &fake,
		.count = 2,
		.volumes = volumes,
		.attempts = 3,
		.wait_ms = 0,
		.stop = stop,
		.say = hear };
	struct vss *v = vss_new(&job);

	assert_non_null(v);
	return v;
}

static void
reset(void)
{
	memset(&w, 0, sizeof(w));
	w.supported = 1;
}

static void
expect_log(const char *const *names, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_string_equal(w.log[i], names[i]);
	assert_int_equal(w.calls, n);
}

#define EXPECT_LOG(...)                                                 \
	do {                                                            \
		static const char *const names_[] = { __VA_ARGS__ };    \
		expect_log(names_, sizeof(names_) / sizeof(names_[0])); \
	} while (0)

static void
a_backup_calls_in_the_documented_order(void **state)
{
	struct err err = ERR_INIT;
	struct vss *v;
	char path[64];

	(void)state;
	reset();
	v = session(NULL);
	assert_int_equal(vss_freeze(v, &err), 0);
	assert_int_equal(vss_device(v, 1, path, sizeof(path), &err), 0);
	assert_string_equal(path, "copy1");
	assert_false(w.completed);
	assert_string_equal(vss_method(v), "full, 1 of 2 writers");
	assert_string_equal(vss_databases(v), "SqlServerWriter");
	assert_false(vss_is_torn(v));
	assert_int_equal(vss_finish(v, 1, &err), 0);
	vss_free(v);
	assert_int_equal(w.told, 1);
	EXPECT_LOG("create", "init", "state", "context", "gather", "writers", "writer",
	    "component", "writer", "set", "supported", "volume", "supported", "volume",
	    "prepare", "status", "statuses", "state of", "state of", "do", "status",
	    "statuses", "state of", "state of", "device", "succeeded", "complete",
	    "status", "statuses", "state of", "state of", "close");
}

static void
a_backup_that_failed_is_aborted_and_never_complete(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	for (int how = 0; how < 2; how++) {
		struct vss *v;

		reset();
		v = session(NULL);
		assert_int_equal(vss_freeze(v, &err), 0);
		if (how == 0)
			assert_int_equal(vss_finish(v, 0, &err), 0);
		vss_free(v);
		assert_false(w.live);
		assert_string_equal(w.log[w.calls - 2], "abort");
		assert_string_equal(w.log[w.calls - 1], "close");
		for (unsigned i = 0; i < w.calls; i++)
			assert_string_not_equal(w.log[i], "complete");
	}
}

/* One whole backup; 0 if it ended as a good one. */
static int
whole(struct err *err)
{
	struct vss *v = session(NULL);
	int rc = vss_freeze(v, err);
	char path[64];

	if (rc == 0)
		rc = vss_device(v, 0, path, sizeof(path), err);
	if (rc == 0)
		rc = vss_finish(v, 1, err);
	vss_free(v);
	assert_false(w.live);
	return rc;
}

static void
whichever_call_fails_nothing_stays_behind(void **state)
{
	static const vss_code codes[] = { HOLD_TIMEOUT, NONRETRYABLE, 0x80012345u };
	unsigned calls;

	(void)state;
	reset();
	{
		struct err err = ERR_INIT;
		assert_int_equal(whole(&err), 0);
	}
	calls = w.calls;
	for (unsigned i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		for (unsigned n = 1; n < calls; n++)
			for (int async = 0; async < 2; async++) {
				struct err err = ERR_INIT;
				int rc;

				reset();
				w.fail_at = n;
				w.fail_times = 1;
				w.fail_with = codes[i];
				w.fail_in_async = async;
				rc = whole(&err);
				if (rc == 0) {
					/* Tried again, and said why. */
					assert_int_equal(i, 0);
					assert_non_null(
					    strstr(w.said, "VSS_E_HOLD_WRITES_TIMEOUT"));
				} else {
					assert_non_null(strstr(err.text, "VSS: "));
					assert_non_null(strstr(err.text, "0x80"));
					assert_null(strchr(err.text, '\n'));
				}
			}
}

static void
what_may_pass_is_tried_again_as_often_as_allowed(void **state)
{
	struct err err = ERR_INIT;
	struct vss *v;

	(void)state;
	reset();
	w.fail_at = 10; /* StartSnapshotSet */
	w.fail_times = 1;
	w.fail_with = IN_PROGRESS;
	v = session(NULL);
	assert_int_equal(vss_freeze(v, &err), 0);
	assert_string_equal(vss_method(v),
	    "full, 1 of 2 writers, 2 attempts (VSS_E_SNAPSHOT_SET_IN_PROGRESS "
	    "(0x80042316))");
	vss_free(v);

	reset();
	w.fail_at = 1;
	w.fail_times = 99;
	w.fail_with = HOLD_TIMEOUT;
	err_clear(&err);
	assert_int_equal(whole(&err), -1);
	assert_int_equal(w.calls, 3);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "3 attempts: VSS: Create"));
}

static void
a_failed_writer_is_named_with_its_state(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	for (int after = VSS_PREPARE; after <= VSS_COMPLETE; after++) {
		if (after == VSS_GATHER_STATUS)
			continue;
		reset();
		w.writer_state = 9;
		w.writer_failure = NONRETRYABLE;
		w.writer_fails_after = (enum vss_async)after;
		err_clear(&err);
		assert_int_equal(whole(&err), -1);
		assert_non_null(strstr(err.text, "writer SqlServerWriter {00000001-"));
		assert_non_null(strstr(err.text, "failed at freeze"));
		assert_non_null(strstr(err.text, "VSS_E_WRITERERROR_NONRETRYABLE"));
	}
}

static void
a_writer_with_files_elsewhere_takes_no_part_and_that_is_said(void **state)
{
	struct err err = ERR_INIT;
	struct vss *v;

	(void)state;
	reset();
	w.outside = 1;
	v = session(NULL);
	assert_int_equal(vss_freeze(v, &err), 0);
	assert_int_equal(w.added, 0);
	assert_true(vss_is_torn(v));
	assert_string_equal(
	    vss_method(v), "full, 0 of 2 writers, not whole: SqlServerWriter");
	assert_non_null(strstr(w.said, "SqlServerWriter: 'db' is not wholly in the set"));
	/* Nobody has anything to do with the other one. */
	assert_null(strstr(w.said, "Away"));
	vss_free(v);
}

/* One is whole and hears that it is safe; the other is in pieces, and nobody flushed it.
 */
static void
one_of_two_databases_that_is_cut_in_two_lowers_the_grade(void **state)
{
	struct err err = ERR_INIT;
	struct vss *v;

	(void)state;
	for (w.second = 1; w.second <= 2; w.second++) {
		int second = w.second;

		reset();
		w.second = second;
		v = session(NULL);
		assert_int_equal(vss_freeze(v, &err), 0);
		assert_int_equal(w.added, 1);
		/* One that is elsewhere alone is nobody's concern. */
		assert_int_equal(vss_is_torn(v), second == 1);
		assert_string_equal(vss_method(v),
		    second == 1 ? "full, 1 of 2 writers, not whole: SqlServerWriter"
				: "full, 1 of 2 writers");
		assert_int_equal(
		    strstr(w.said, "'half' is not wholly") != NULL, second == 1);
		assert_int_equal(vss_finish(v, 1, &err), 0);
		assert_int_equal(w.told, 1);
		vss_free(v);
		w.second = second;
	}
}

static void
a_writer_that_is_gone_is_a_failure(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	for (int after = VSS_PREPARE; after <= VSS_COMPLETE; after++) {
		if (after == VSS_GATHER_STATUS)
			continue;
		reset();
		w.silent_after = (enum vss_async)after;
		err_clear(&err);
		assert_int_equal(whole(&err), -1);
		assert_non_null(strstr(err.text, "writer SqlServerWriter"));
		assert_non_null(strstr(err.text, "VSS_E_WRITER_NOT_RESPONDING"));
	}
}

static void
an_agent_that_stops_cancels_and_aborts(void **state)
{
	struct stop *stop = stop_new();
	struct err err = ERR_INIT;
	struct vss *v;

	(void)state;
	reset();
	w.stop_at_do = stop;
	w.never_ends = VSS_DO_SET + 1;
	v = session(stop);
	assert_int_equal(vss_freeze(v, &err), -1);
	assert_int_equal(err.code, ERR_CANCELED);
	assert_false(w.live);
	vss_free(v);
	assert_string_equal(w.log[w.calls - 3], "cancel");
	assert_string_equal(w.log[w.calls - 2], "abort");
	assert_string_equal(w.log[w.calls - 1], "close");
	stop_free(stop);
}

static void
an_async_that_never_ends_is_given_up(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	reset();
	w.never_ends = VSS_PREPARE + 1;
	assert_int_equal(whole(&err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "PrepareForBackup: no answer in 600 s"));
}

static void
a_volume_that_nobody_can_copy_is_named(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	reset();
	w.supported = 0;
	assert_int_equal(whole(&err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "C:\\"));
}

/* --------------------------------------------------------------- selection -- */

static struct vss_component
component(const char *path, const char *name, int selectable, int outside)
{
	return (struct vss_component){ .path = strdup(path),
		.name = strdup(name),
		.selectable = selectable,
		.inside = 1,
		.outside = outside };
}

/* A server with an instance that cannot be taken apart, and one that can. */
static struct vss_writer
tree(void)
{
	struct vss_writer t = { .name = strdup("W"), .count = 5 };

	t.components = calloc(t.count, sizeof(*t.components));
	t.components[0] = component("one", "data", 0, 0);
	t.components[1] = component("", "one", 1, 0);
	t.components[2] = component("two", "a", 1, 0);
	t.components[3] = component("two", "b", 1, 0);
	t.components[4] = component("", "always", 0, 0);
	return t;
}

static void
expect_takes(struct vss_writer *t, const char *marks)
{
	char why[160];
	unsigned n = 0;

	for (const char *m = marks; *m != '\0'; m++)
		n += *m == 'x';
	assert_int_equal(vss_select(t, why, sizeof(why)), n);
	for (unsigned i = 0; i < t->count; i++)
		assert_int_equal(t->components[i].take, marks[i] == 'x');
}

static void
components_are_taken_by_the_documented_rules(void **state)
{
	struct vss_writer t = tree();
	char why[160];

	(void)state;
	/* What lies below a selectable one comes with it. */
	expect_takes(&t, ".xxxx");
	/* Not whole: the selectable one stays out, its kin that cannot stand alone too.
	 */
	t.components[0].outside = 1;
	expect_takes(&t, "..xxx");
	/* One of two that stand for themselves. */
	t.components[0].outside = 0;
	t.components[3].outside = 1;
	expect_takes(&t, ".xx.x");
	/* What must come and cannot keeps the whole writer out. */
	t.components[4].outside = 1;
	assert_int_equal(vss_select(&t, why, sizeof(why)), 0);
	assert_non_null(strstr(why, "'always'"));
	vss_writer_free(&t);
	/* A name that only begins alike is no ancestor. */
	t = tree();
	free(t.components[0].path);
	t.components[0].path = strdup("ones");
	expect_takes(&t, "xxxxx");
	vss_writer_free(&t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backup_calls_in_the_documented_order),
		cmocka_unit_test(a_backup_that_failed_is_aborted_and_never_complete),
		cmocka_unit_test(whichever_call_fails_nothing_stays_behind),
		cmocka_unit_test(what_may_pass_is_tried_again_as_often_as_allowed),
		cmocka_unit_test(a_failed_writer_is_named_with_its_state),
		cmocka_unit_test(
		    a_writer_with_files_elsewhere_takes_no_part_and_that_is_said),
		cmocka_unit_test(
		    one_of_two_databases_that_is_cut_in_two_lowers_the_grade),
		cmocka_unit_test(a_writer_that_is_gone_is_a_failure),
		cmocka_unit_test(an_agent_that_stops_cancels_and_aborts),
		cmocka_unit_test(an_async_that_never_ends_is_given_up),
		cmocka_unit_test(a_volume_that_nobody_can_copy_is_named),
		cmocka_unit_test(components_are_taken_by_the_documented_rules),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
