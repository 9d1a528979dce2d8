/*
 * A cut in the moment in which VSS holds everything still: over the simulator, with a VSS
 * that is made of two threads here.  What applications had flushed is in the image, what
 * they wrote after it is not; both succeed or neither, and nothing stays behind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/capture/around.h"
#include "agent/capture/snapshot.h"
#include "agent/host/settings.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/vss/vss.h"
#include "driver/sim/calls.h"
#include "driver/sim/disk.h"
#include "proto/base/err.h"
#include "proto/base/wait.h"

#define LENGTH (4u << 20)
#define HOLD_TIMEOUT 0x80042314u /* VSS_E_HOLD_WRITES_TIMEOUT: tried again */
#define NO_SPACE 0x8004231fu	 /* VSS_E_INSUFFICIENT_STORAGE: not */
#define WORDS_MAX 512

static struct calls *calls;
static struct disk *disks[2];
static char dir[80], paths[2][160];

/* The service. */
static struct {
	char log[WORDS_MAX]; /* Names of calls that matter. */
	int deaf;	     /* Nothing is held. */
	vss_code fails;	     /* DoSnapshotSet, after its holds ... */
	unsigned fail_times; /* ... so often. */
	enum vss_async pending;
	vss_code ends;
	int status_fails;
	pthread_t holder[2];
	int sets;
	int64_t discarded; /* When. */
} w;

/* Our own side. */
static struct {
	struct hotcopy_link *owner;
	uint64_t set, volume[2];
	struct hotcopy_frozen frozen;
	int undone;
} us;

static int64_t
now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void
say(const char *word)
{
	size_t n = strlen(w.log);

	(void)snprintf(w.log + n, sizeof(w.log) - n, "%s%s", n > 0 ? " " : "", word);
}

static void
put(unsigned disk, char c)
{
	char block[4096];

	memset(block, c, sizeof(block));
	assert_int_equal(disk_write(disks[disk], 65536, block, sizeof(block)), 0);
}

static uint32_t
state_of(unsigned i)
{
	struct hotcopy_volume v;
	struct err err = ERR_INIT;

	assert_int_equal(hotcopy_find(us.owner, us.volume[i], &v, &err), 0);
	return v.state;
}

/* A file system's hold; it comes again, for the driver may not have been asked yet. */
static void *
hold(void *arg)
{
	uint64_t volume = us.volume[(uintptr_t)arg];
	struct hotcopy_volume v = { .state = HOTCOPY_PREPARED };
	struct hotcopy_link *l;
	struct err err = ERR_INIT;

	if (hotcopy_link_open(paths[0], &l, &err) != 0)
		return NULL;
	for (; v.state != HOTCOPY_ACTIVE && hotcopy_find(l, volume, &v, &err) == 0;)
		(void)hotcopy_link_call(
		    l, CALLS_HOLD, &volume, sizeof(volume), NULL, 0, NULL);
	hotcopy_link_close(l);
	return NULL;
}

/* DoSnapshotSet: applications flush, file systems hold; then they go on. */
static void
do_set(void)
{
	w.sets++;
	for (unsigned i = 0; i < 2; i++)
		put(i, (char)('0' + w.sets));
	for (uintptr_t i = 0; i < 2 && !w.deaf; i++)
		assert_int_equal(pthread_create(&w.holder[i], NULL, hold, (void *)i), 0);
	for (uintptr_t i = 0; i < 2 && !w.deaf; i++)
		assert_int_equal(pthread_join(w.holder[i], NULL), 0);
	for (unsigned i = 0; i < 2; i++)
		put(i, 'x');
}

/* ------------------------------------------------------------------------ VSS -- */

static vss_code
f_create(void *arg)
{
	(void)arg;
	say("create");
	return VSS_OK;
}

static vss_code
f_nothing(void *arg)
{
	(void)arg;
	return VSS_OK;
}

static vss_code
f_set_state(void *arg, int bootable, int copy)
{
	(void)arg;
	(void)copy;
	assert_int_equal(bootable, 1);
	return VSS_OK;
}

static vss_code
f_set_context(void *arg, uint32_t context)
{
	(void)arg;
	assert_int_equal(context, 2); /* VSS_CTX_BACKUP, no auto-recovery. */
	return VSS_OK;
}

static vss_code
f_start(void *arg, enum vss_async what)
{
	(void)arg;
	w.pending = what;
	w.ends = VSS_ASYNC_FINISHED;
	if (what == VSS_COMPLETE)
		say("complete");
	if (what != VSS_DO_SET)
		return VSS_OK;
	say("do");
	do_set();
	if (w.fail_times > 0) {
		w.fail_times--;
		w.ends = w.fails;
	}
	return VSS_OK;
}

static vss_code
f_poll(void *arg, uint32_t ms, vss_code *status)
{
	(void)arg;
	(void)ms;
	*status = w.ends;
	return VSS_OK;
}

static void
f_cancel(void *arg)
{
	(void)arg;
}

static vss_code
f_count(void *arg, unsigned *count)
{
	(void)arg;
	*count = 1;
	return VSS_OK;
}

static vss_code
f_writer(void *arg, unsigned i, struct vss_writer *out)
{
	(void)arg;
	(void)i;
	out->name = strdup("SqlServerWriter");
	out->source = 1;
	out->components = calloc(1, sizeof(*out->components));
	out->count = 1;
	out->components[0].path = strdup("");
	out->components[0].name = strdup("db");
	out->components[0].selectable = 1;
	out->components[0].file = calloc(1, sizeof(char *));
	out->components[0].files = 1;
	out->components[0].file[0] = strdup("a\\");
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
f_component(void *arg, const struct vss_writer *of, const struct vss_component *c)
{
	(void)arg;
	(void)of;
	(void)c;
	return VSS_OK;
}

static vss_code
f_supported(void *arg, const char *volume, int *yes)
{
	(void)arg;
	(void)volume;
	*yes = 1;
	return VSS_OK;
}

static vss_code
f_add_volume(void *arg, const char *volume, unsigned i)
{
	(void)arg;
	assert_string_equal(volume, i == 0 ? "a\\" : "b\\");
	return VSS_OK;
}

static vss_code
f_status(void *arg, unsigned i, struct vss_status *out)
{
	(void)arg;
	(void)i;
	out->name = strdup("SqlServerWriter");
	out->state = w.status_fails && w.sets > 0 ? 9 : 1;
	return VSS_OK;
}

static vss_code
f_device(void *arg, unsigned i, char *out, size_t cap)
{
	(void)arg;
	(void)i;
	(void)out;
	(void)cap;
	fail_msg("VSS' copy is read");
	return VSS_OK;
}

static vss_code
f_succeeded(void *arg, const struct vss_writer *of, const struct vss_component *c, int ok)
{
	(void)arg;
	(void)of;
	(void)c;
	assert_true(ok);
	say("succeeded");
	return VSS_OK;
}

static vss_code
f_abort(void *arg)
{
	(void)arg;
	say("abort");
	return VSS_OK;
}

static vss_code
f_discard(void *arg, unsigned count)
{
	(void)arg;
	assert_int_equal(count, 2);
	assert_int_equal(state_of(0), HOTCOPY_ACTIVE);
	say("discard");
	/* The cut is some time ago, and VSS is not ready yet. */
	w.discarded = now_us();
	wait_ms(50);
	return VSS_OK;
}

static void
f_close(void *arg)
{
	(void)arg;
	say("close");
}

static const struct vss_ops fake = { .create = f_create,
	.init = f_nothing,
	.set_state = f_set_state,
	.set_context = f_set_context,
	.start = f_start,
	.poll = f_poll,
	.cancel = f_cancel,
	.writers = f_count,
	.writer = f_writer,
	.volume_of = f_volume_of,
	.add_component = f_component,
	.start_set = f_nothing,
	.supported = f_supported,
	.add_volume = f_add_volume,
	.statuses = f_count,
	.status = f_status,
	.device = f_device,
	.succeeded = f_succeeded,
	.abort = f_abort,
	.discard = f_discard,
	.close = f_close };

static int
s_open(void **state, struct err *err)
{
	(void)err;
	*state = &w;
	return 0;
}

static int
s_call(void *state, int (*fn)(void *arg), void *arg)
{
	assert_ptr_equal(state, &w);
	return fn(arg);
}

static void *
s_ops_arg(void *state)
{
	return state;
}

static int
s_name(const char *path, char *out, size_t cap, struct err *err)
{
	(void)err;
	(void)snprintf(out, cap, "%s\\", strrchr(path, ':') + 1);
	return 0;
}

static int
s_boots(const char *name)
{
	return name[0] == 'b';
}

static void
s_close(void *state)
{
	(void)state;
	say("end");
}

static const struct around_system service = { .open = s_open,
	.call = s_call,
	.ops = &fake,
	.ops_arg = s_ops_arg,
	.name = s_name,
	.boots = s_boots,
	.close = s_close,
	.wait_ms = 0 };

/* -------------------------------------------------------------------- the driver -- */

static int
prepare(struct err *err)
{
	const struct hotcopy_wishes wishes = { .memory = 2u << 20 };
	struct hotcopy_prepared prepared;

	if (hotcopy_prepare(us.owner, us.volume, 2, &wishes, &prepared, err) != 0)
		return -1;
	us.set = prepared.set;
	return 0;
}

static int
cut(void *arg, uint32_t hold_ms, struct err *err)
{
	static const uint8_t nonce[HOTCOPY_NONCE] = { 1 };

	(void)arg;
	return hotcopy_freeze(us.owner, us.set, HOTCOPY_FREEZE_AT_HOLD, 2000, hold_ms,
	    nonce, &us.frozen, err);
}

static void
undo(void *arg)
{
	struct err err = ERR_INIT;

	(void)arg;
	us.undone++;
	assert_int_equal(hotcopy_release(us.owner, us.set, &err), 0);
	assert_int_equal(prepare(&err), 0);
}

static const struct around_cut driver = { .cut = cut, .undo = undo };

/* What the image has where applications wrote. */
static char
image(unsigned i)
{
	struct hotcopy_link *l;
	struct err err = ERR_INIT;
	char block[4096];

	assert_int_equal(hotcopy_link_open(paths[0], &l, &err), 0);
	assert_int_equal(hotcopy_bind(l, us.set, i, &err), 0);
	assert_int_equal(hotcopy_link_read(l, 65536, block, sizeof(block)), HOTCOPY_OK);
	hotcopy_link_close(l);
	for (size_t at = 1; at < sizeof(block); at++)
		assert_int_equal(block[at], block[0]);
	return block[0];
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;
	char path[120], why[200];

	(void)state;
	memset(&w, 0, sizeof(w));
	memset(&us, 0, sizeof(us));
	(void)snprintf(dir, sizeof(dir), "%s/holdfast-around.XXXXXX",
	    getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/control", dir);
	calls = calls_listen(path, why, sizeof(why));
	assert_non_null(calls);
	for (unsigned i = 0; i < 2; i++) {
		int fd;

		(void)snprintf(
		    paths[i], sizeof(paths[i]), "hotcopy:%s:%c", path, 'a' + i);
		(void)snprintf(path, sizeof(path), "%s/%u", dir, i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(ftruncate(fd, LENGTH), 0);
		close(fd);
		disks[i] = disk_open(
		    i == 0 ? "a" : "b", path, i + 1, 512, NULL, why, sizeof(why));
		assert_non_null(disks[i]);
		(void)snprintf(path, sizeof(path), "%s/control", dir);
	}
	assert_int_equal(calls_start(calls, disks, 2, NULL, why, sizeof(why)), 0);
	assert_int_equal(hotcopy_link_open(paths[0], &us.owner, &err), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(
		    hotcopy_link_volume(us.owner, paths[i], &us.volume[i], &err), 0);
	assert_int_equal(prepare(&err), 0);
	around_system = &service;
	return 0;
}

static int
teardown(void **state)
{
	char path[120];

	(void)state;
	hotcopy_link_close(us.owner);
	calls_close(calls);
	for (unsigned i = 0; i < 2; i++) {
		disk_close(disks[i]);
		(void)snprintf(path, sizeof(path), "%s/%u", dir, i);
		(void)unlink(path);
	}
	return rmdir(dir);
}

static struct around *
made(void)
{
	static const struct snapshot_options options = { .type = SNAPSHOT_FULL };
	const char *both[] = { paths[0], paths[1] };
	struct err err = ERR_INIT;
	struct around *a;

	assert_int_equal(around_new(&service, &options, both, 2, &a, &err), 0);
	return a;
}

/* ------------------------------------------------------------------------ tests -- */

static void
what_was_flushed_is_in_the_image_and_what_came_after_is_not(void **state)
{
	struct err err = ERR_INIT;
	struct around *a = made();

	(void)state;
	assert_int_equal(around_cut(a, &driver, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(state_of(i), HOTCOPY_ACTIVE);
		assert_int_equal(image(i), '1');
	}
	assert_int_equal(around_grade(a), SNAPSHOT_APPLICATION);
	assert_string_equal(around_method(a), "full, 1 of 1 writers, no auto-recovery");
	/* Copies go at once, applications hear of it in the end. */
	assert_string_equal(w.log, "create do discard");
	assert_int_equal(around_finish(a, 1, &err), 0);
	around_free(a);
	assert_string_equal(w.log, "create do discard succeeded complete close end");
	assert_int_equal(us.undone, 0);
}

static void
a_point_that_is_not_there_is_told_to_nobody(void **state)
{
	struct err err = ERR_INIT;
	struct around *a = made();

	(void)state;
	assert_int_equal(around_cut(a, &driver, &err), 0);
	assert_int_equal(around_finish(a, 0, &err), 0);
	around_free(a);
	assert_string_equal(w.log, "create do discard abort close end");
}

static void
a_set_that_fails_behind_the_cut_takes_it_along_and_is_tried_again(void **state)
{
	struct err err = ERR_INIT;
	struct around *a = made();

	(void)state;
	w.fails = HOLD_TIMEOUT;
	w.fail_times = 2;
	assert_int_equal(around_cut(a, &driver, &err), 0);
	assert_int_equal(us.undone, 2);
	assert_int_equal(w.sets, 3);
	assert_int_equal(image(0), '3');
	assert_int_equal(image(1), '3');
	assert_non_null(strstr(around_method(a), "3 attempts"));
	around_free(a);
}

static void
a_failure_for_good_leaves_nothing(void **state)
{
	struct err err = ERR_INIT;
	struct around *a = made();

	(void)state;
	w.fails = NO_SPACE;
	w.fail_times = 1;
	assert_int_equal(around_cut(a, &driver, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	assert_int_equal(us.undone, 1);
	assert_int_equal(state_of(0), HOTCOPY_PREPARED);
	around_free(a);
	assert_string_equal(w.log, "create do abort close end");
}

static void
a_writer_that_failed_takes_the_cut_along(void **state)
{
	struct err err = ERR_INIT;
	struct around *a = made();

	(void)state;
	w.status_fails = 1;
	assert_int_equal(around_cut(a, &driver, &err), -1);
	assert_non_null(strstr(err.text, "SqlServerWriter"));
	assert_int_equal(us.undone, w.sets);
	assert_int_equal(state_of(1), HOTCOPY_PREPARED);
	around_free(a);
}

static void
copies_without_a_hold_are_no_cut(void **state)
{
	struct err err = ERR_INIT;
	struct around *a = made();

	(void)state;
	w.deaf = 1;
	assert_int_equal(around_cut(a, &driver, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "the driver no cut in them"));
	assert_int_equal(us.undone, 0);
	assert_int_equal(w.sets, 4);
	assert_int_equal(state_of(0), HOTCOPY_PREPARED);
	around_free(a);
}

/* As a backup has it. */
static struct snapshot *
opened(struct snapshot_options *o, struct settings *wishes, struct snapshot_volume *v[2])
{
	struct err err = ERR_INIT;
	struct snapshot *s;

	assert_int_equal(hotcopy_release(us.owner, us.set, &err), 0);
	settings_init(wishes);
	wishes->hotcopy.flush = 1;
	(void)strcpy(wishes->hotcopy.room, "none");
	memset(o, 0, sizeof(*o));
	o->hotcopy = &wishes->hotcopy;
	assert_int_equal(
	    snapshot_open(snapshot_provider_find("hotcopy"), o, &s, &err), 0);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(snapshot_add(s, paths[i], &v[i], &err), 0);
	return s;
}

static void
the_provider_cuts_at_the_hold_and_applications_hear_of_the_point(void **state)
{
	static struct settings wishes;
	struct snapshot_options o;
	struct snapshot_volume *v[2];
	struct err err = ERR_INIT;
	struct snapshot *s;
	char block[4096];

	(void)state;
	s = opened(&o, &wishes, v);
	w.fails = HOLD_TIMEOUT;
	w.fail_times = 1;
	assert_int_equal(snapshot_freeze(s, 1000, &err), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(
		    snapshot_read(v[i], 65536, block, sizeof(block), &err), 0);
		assert_int_equal(block[0], '2');
		assert_int_equal(snapshot_info(v[i])->grade, SNAPSHOT_APPLICATION);
		assert_true(snapshot_info(v[i])->flushed);
		assert_true(snapshot_info(v[i])->frozen_at <= w.discarded);
	}
	assert_non_null(strstr(snapshot_method(s),
	    "hotcopy: while VSS held (full, 1 of 1 writers, no auto-recovery, 2 "
	    "attempts"));
	assert_string_equal(w.log, "create do abort close create do discard");
	assert_int_equal(snapshot_finish(s, 1, &err), 0);
	assert_int_equal(state_of(0), HOTCOPY_IDLE);
	snapshot_close(s);
	assert_string_equal(w.log,
	    "create do abort close create do discard succeeded complete close end");
}

static void
the_provider_has_no_view_without_its_hold(void **state)
{
	static struct settings wishes;
	struct snapshot_options o;
	struct snapshot_volume *v[2];
	struct err err = ERR_INIT;
	struct snapshot *s;

	(void)state;
	s = opened(&o, &wishes, v);
	w.fails = NO_SPACE;
	w.fail_times = 1;
	assert_int_equal(snapshot_freeze(s, 1000, &err), -1);
	assert_int_equal(err.code, ERR_NOSPACE);
	snapshot_close(s);
	assert_int_equal(state_of(0), HOTCOPY_IDLE);
	assert_string_equal(w.log, "create do abort close end");
	/* And with the system's own there is none here. */
	err_clear(&err);
	around_system = NULL;
	w.fail_times = 0;
	assert_int_equal(
	    snapshot_open(snapshot_provider_find("hotcopy"), &o, &s, &err), 0);
	assert_int_equal(snapshot_add(s, paths[0], &v[0], &err), 0);
	assert_int_equal(snapshot_freeze(s, 1000, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "hotcopy-flush: only on Windows"));
	snapshot_close(s);
}

static void
without_vss_it_says_so(void **state)
{
	static const struct snapshot_options options = { .type = SNAPSHOT_FULL };
	const char *both[] = { paths[0], paths[1] };
	struct err err = ERR_INIT;
	struct around *a;

	(void)state;
	assert_int_equal(around_new(NULL, &options, both, 2, &a, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	around_free(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_flushed_is_in_the_image_and_what_came_after_is_not),
		TEST(a_point_that_is_not_there_is_told_to_nobody),
		TEST(a_set_that_fails_behind_the_cut_takes_it_along_and_is_tried_again),
		TEST(a_failure_for_good_leaves_nothing),
		TEST(a_writer_that_failed_takes_the_cut_along),
		TEST(copies_without_a_hold_are_no_cut),
		TEST(the_provider_cuts_at_the_hold_and_applications_hear_of_the_point),
		TEST(the_provider_has_no_view_without_its_hold),
		TEST(without_vss_it_says_so),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
