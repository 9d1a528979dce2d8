#include "agent/capture/around.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "agent/vss/vss.h"
#include "proto/base/err.h"

/*
 * Writers may take a minute before file systems are held, the driver waits ten seconds at
 * most: so it is asked again and again.  Short, for DoSnapshotSet may fail before any
 * hold, and then we wait for the end of this.
 */
#define HOLD_MS 500u
/* As the vss provider: three retries; a cut that was missed is tried again soon. */
#define ATTEMPTS 4

struct around {
	const struct around_system *sys;
	const struct snapshot_options *options;
	void *state;
	unsigned count;
	char (*names)[128];
	const char *name[VSS_VOLUMES_MAX];
	struct vss *vss;
	struct vss_around hooks;
	const struct around_cut *cut;
	pthread_t thread;
	int running;	      /* The thread is to be joined. */
	atomic_int set_ended; /* DoSnapshotSet is over: no hold will come. */
	int rc;		      /* The cut's. */
	struct err why;
	struct err *err; /* Of the call that is made on VSS' thread. */
	int ok;
};

/* ---------------------------------------------------------------------- the cut -- */

static void *
wait_for_holds(void *arg)
{
	struct around *a = arg;

	do {
		err_clear(&a->why);
		a->rc = a->cut->cut(a->cut->arg, HOLD_MS, &a->why);
	} while (a->rc != 0 && a->why.code == ERR_TIMEOUT && !atomic_load(&a->set_ended));
	return NULL;
}

static int
begin(void *arg, struct err *err)
{
	struct around *a = arg;

	atomic_store(&a->set_ended, 0);
	a->rc = -1;
	a->running = pthread_create(&a->thread, NULL, wait_for_holds, a) == 0;
	if (!a->running)
		return err_set(err, ERR_NOMEM, "no thread to wait for VSS' holds");
	return 0;
}

static void
join(struct around *a)
{
	atomic_store(&a->set_ended, 1);
	if (a->running)
		(void)pthread_join(a->thread, NULL);
	a->running = 0;
}

static int
end(void *arg, struct err *err)
{
	struct around *a = arg;

	join(a);
	if (a->rc == 0)
		return 0;
	*err = a->why;
	return err_context(err, "VSS made its copies, and the driver no cut in them");
}

static void
undo(void *arg)
{
	struct around *a = arg;

	join(a);
	if (a->rc == 0)
		a->cut->undo(a->cut->arg);
	a->rc = -1;
}

/* ------------------------------------------------------------------ VSS' thread -- */

static int
on_freeze(void *arg)
{
	struct around *a = arg;

	if (vss_freeze(a->vss, a->err) != 0)
		return -1;
	vss_discard(a->vss);
	return 0;
}

static int
on_finish(void *arg)
{
	struct around *a = arg;

	return vss_finish(a->vss, a->ok, a->err);
}

static int
on_free(void *arg)
{
	struct around *a = arg;

	vss_free(a->vss);
	return 0;
}

/* ----------------------------------------------------------------- calls of it -- */

static int
take_names(struct around *a, const char *const *paths, unsigned count, struct err *err)
{
	if (count > VSS_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "VSS freezes at most %d volumes at once",
		    VSS_VOLUMES_MAX);
	a->count = count;
	a->names = calloc(count, sizeof(*a->names));
	if (a->names == NULL)
		return err_set(err, ERR_NOMEM, "no memory for VSS");
	for (unsigned i = 0; i < count; i++) {
		a->name[i] = a->names[i];
		if (a->sys->name(paths[i], a->names[i], sizeof(a->names[i]), err) != 0)
			return -1;
	}
	return 0;
}

int
around_new(const struct around_system *sys, const struct snapshot_options *options,
    const char *const *paths, unsigned count, struct around **out, struct err *err)
{
	struct around *a;

	if (sys == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "hotcopy-flush: only on Windows: nobody holds file systems here");
	if ((a = calloc(1, sizeof(*a))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for VSS");
	a->sys = sys;
	a->options = options;
	a->hooks =
	    (struct vss_around){ .begin = begin, .end = end, .undo = undo, .arg = a };
	if (sys->open(&a->state, err) != 0) {
		a->state = NULL;
		around_free(a);
		return -1;
	}
	if (take_names(a, paths, count, err) != 0) {
		around_free(a);
		return -1;
	}
	*out = a;
	return 0;
}

int
around_cut(struct around *a, const struct around_cut *cut, struct err *err)
{
	struct vss_job job = { .ops = a->sys->ops,
		.arg = a->sys->ops_arg(a->state),
		.count = a->count,
		.volumes = a->name,
		.copy = a->options->type == SNAPSHOT_COPY,
		/* What is repaired in a copy that nobody reads is work for nothing. */
		.no_autorecovery = 1,
		.attempts = ATTEMPTS,
		.wait_ms = a->sys->wait_ms,
		.around = &a->hooks,
		.stop = a->options->stop,
		.say = a->options->say,
		.say_arg = a->options->say_arg };

	for (unsigned i = 0; i < a->count; i++)
		job.bootable |= a->sys->boots(a->name[i]);
	if ((a->vss = vss_new(&job)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for VSS");
	a->cut = cut;
	a->err = err;
	return a->sys->call(a->state, on_freeze, a);
}

enum snapshot_grade
around_grade(const struct around *a)
{
	return a->vss != NULL && !vss_is_torn(a->vss) ? SNAPSHOT_APPLICATION
						      : SNAPSHOT_CRASH;
}

const char *
around_method(const struct around *a)
{
	return a->vss != NULL ? vss_method(a->vss) : "";
}

int
around_finish(struct around *a, int ok, struct err *err)
{
	if (a->vss == NULL)
		return 0;
	a->ok = ok;
	a->err = err;
	return a->sys->call(a->state, on_finish, a);
}

void
around_free(struct around *a)
{
	if (a == NULL)
		return;
	if (a->vss != NULL)
		(void)a->sys->call(a->state, on_free, a);
	if (a->state != NULL)
		a->sys->close(a->state);
	free(a->names);
	free(a);
}
