#include "agent/vss.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/stop.h"
#include "proto/base/err.h"

#define POLL_MS 200u
#define CANCEL_MS (60u * 1000)
#define SOON_MS (15u * 1000) /* A set that another makes takes seconds. */
#define CTX_BACKUP 0x0u
#define CTX_FILE_SHARE_BACKUP 0x10u
#define ATTR_NO_AUTORECOVERY 0x2u

/*
 * How long an async may take.  Writers have 60 s between Freeze and Thaw, and the disks
 * are held for 10 s at most (DoSnapshotSet); but writers may work before and after that,
 * and repair their files in the copy.
 */
static const struct {
	const char *name;
	uint32_t limit_ms;
} asyncs[VSS_ASYNCS] = { [VSS_GATHER_METADATA] = { "GatherWriterMetadata", 600 * 1000 },
	[VSS_PREPARE] = { "PrepareForBackup", 600 * 1000 },
	[VSS_DO_SET] = { "DoSnapshotSet", 1200 * 1000 },
	[VSS_GATHER_STATUS] = { "GatherWriterStatus", 300 * 1000 },
	[VSS_COMPLETE] = { "BackupComplete", 600 * 1000 } };

enum phase {
	IDLE,	 /* There is no object. */
	CREATED, /* There is one; nobody needs to hear if it goes. */
	STARTED, /* Writers wait, or a set is being made: AbortBackup. */
	FROZEN
};

struct vss {
	struct vss_job job;
	enum phase phase;
	unsigned tries;
	enum vss_retry retry; /* Of the last failure. */
	unsigned writers_count, taken;
	struct vss_writer *writers;
	int torn;
	char outside[128]; /* Those that could not be taken whole. */
	char trouble[128]; /* Why it was tried again. */
	char databases[128];
	char method[VSS_METHOD_MAX];
};

struct vss *
vss_new(const struct vss_job *job)
{
	struct vss *v = calloc(1, sizeof(*v));

	if (v != NULL)
		v->job = *job;
	return v;
}

static int
bad(vss_code code)
{
	return (code & 0x80000000u) != 0;
}

static void
say(const struct vss *v, const char *line)
{
	if (v->job.say != NULL)
		v->job.say(v->job.say_arg, line);
}

/* Append to a list of names in `to`. */
static void
list(char *to, size_t cap, const char *name)
{
	size_t len = strlen(to);

	(void)snprintf(to + len, cap - len, "%s%s", len > 0 ? ", " : "", name);
}

static int
fail(struct vss *v, vss_code code, const char *call, struct err *err)
{
	v->retry = vss_retry_of(code);
	return vss_err(err, code, call);
}

/* A call that ends when it returns. */
static int
call(struct vss *v, vss_code code, const char *name, struct err *err)
{
	return bad(code) ? fail(v, code, name, err) : 0;
}

/* ------------------------------------------------------------------- asyncs -- */

/* It is to end now: wait until it does. */
static void
cancel(struct vss *v)
{
	vss_code status = VSS_ASYNC_PENDING;

	v->job.ops->cancel(v->job.arg);
	for (uint32_t ms = 0; ms < CANCEL_MS && status == VSS_ASYNC_PENDING;
	     ms += POLL_MS)
		if (bad(v->job.ops->poll(v->job.arg, POLL_MS, &status)))
			break;
}

/* `heed`: being asked to stop ends it. */
static int
run(struct vss *v, enum vss_async what, int heed, struct err *err)
{
	const struct vss_job *j = &v->job;
	vss_code code = j->ops->start(j->arg, what), status = VSS_ASYNC_PENDING;

	if (bad(code))
		return fail(v, code, asyncs[what].name, err);
	for (uint32_t ms = 0; ms < asyncs[what].limit_ms; ms += POLL_MS) {
		code = j->ops->poll(j->arg, POLL_MS, &status);
		if (bad(code) || bad(status))
			return fail(v, bad(code) ? code : status, asyncs[what].name, err);
		if (status == VSS_ASYNC_CANCELLED)
			break;
		if (status != VSS_ASYNC_PENDING)
			return 0;
		if (heed && stop_asked(j->stop)) {
			cancel(v);
			break;
		}
	}
	if (status == VSS_ASYNC_CANCELLED || (heed && stop_asked(j->stop))) {
		v->retry = VSS_NEVER;
		return err_set(
		    err, ERR_CANCELED, "VSS: %s: interrupted", asyncs[what].name);
	}
	cancel(v);
	v->retry = VSS_LATER;
	return err_set(err, ERR_TIMEOUT, "VSS: %s: no answer in %u s", asyncs[what].name,
	    (unsigned)(asyncs[what].limit_ms / 1000));
}

/* ------------------------------------------------------------------ writers -- */

static const struct vss_writer *
taken_writer(const struct vss *v, const struct vss_id *instance)
{
	for (unsigned i = 0; i < v->writers_count; i++)
		if (v->writers[i].taken > 0 &&
		    memcmp(&v->writers[i].instance, instance, sizeof(*instance)) == 0)
			return &v->writers[i];
	return NULL;
}

/* One writer's word after `after`; only of those that take part it counts. */
static int
judge(struct vss *v, const struct vss_status *s, const char *after, struct err *err)
{
	char words[80] = "", id[39];

	if (!vss_state_failed(s->state) && !bad(s->failure))
		return 0;
	if (taken_writer(v, &s->instance) == NULL)
		return 0;
	/* What cannot be helped says more than what can. */
	if (err->code != ERR_NONE && v->retry == VSS_NEVER)
		return -1;
	err_clear(err);
	v->retry = vss_retry_of(s->failure);
	vss_id_text(&s->instance, id);
	if (bad(s->failure))
		vss_words(s->failure, words, sizeof(words));
	/* The code's kind, but the writer's name in front of what it means. */
	(void)vss_err(err, s->failure, after);
	(void)snprintf(err->text, sizeof(err->text), "VSS: %s: writer %.60s %s: %s%s%s",
	    after, s->name != NULL ? s->name : "?", id, vss_state_name(s->state),
	    words[0] != '\0' ? ": " : "", words);
	return -1;
}

/* Ask all writers how they are; -1 if one that takes part has failed. */
static int
check_writers(struct vss *v, const char *after, int heed, struct err *err)
{
	const struct vss_job *j = &v->job;
	unsigned count = 0;
	int rc = 0;

	if (j->no_writers)
		return 0;
	if (run(v, VSS_GATHER_STATUS, heed, err) != 0 ||
	    call(v, j->ops->statuses(j->arg, &count), "GetWriterStatusCount", err) != 0)
		return -1;
	for (unsigned i = 0; i < count; i++) {
		struct vss_status s = { .name = NULL };
		vss_code code = j->ops->status(j->arg, i, &s);

		if (bad(code)) {
			free(s.name);
			err_clear(err);
			return fail(v, code, "GetWriterStatus", err);
		}
		if (judge(v, &s, after, err) != 0)
			rc = -1;
		free(s.name);
	}
	return rc;
}

static int
in_set(const struct vss *v, const char *volume)
{
	for (unsigned i = 0; i < v->job.count; i++)
		if (strcmp(v->job.volumes[i], volume) == 0)
			return 1;
	return 0;
}

/* Where are its files?  Returns how many lie in the set. */
static unsigned
place(struct vss *v, struct vss_component *c)
{
	char volume[512];
	unsigned inside = 0;

	for (unsigned i = 0; i < c->files; i++)
		if (v->job.ops->volume_of(
			v->job.arg, c->file[i], volume, sizeof(volume)) == 0 &&
		    in_set(v, volume))
			inside++;
	c->outside = inside < c->files;
	return inside;
}

static int
take_writer(struct vss *v, struct vss_writer *w, struct err *err)
{
	const struct vss_job *j = &v->job;
	unsigned inside = 0;
	char why[160];

	for (unsigned i = 0; i < w->count; i++)
		inside += place(v, &w->components[i]);
	if (vss_is_database(w))
		list(v->databases, sizeof(v->databases), w->name);
	if (vss_select(w, why, sizeof(why)) == 0) {
		/* One that has nothing here at all is nobody's concern. */
		if (why[0] != '\0' && inside > 0) {
			say(v, why);
			list(v->outside, sizeof(v->outside), w->name);
			v->torn |= vss_is_database(w);
		}
		return 0;
	}
	v->taken++;
	for (unsigned i = 0; i < w->count; i++)
		if (w->components[i].take &&
		    call(v, j->ops->add_component(j->arg, w, &w->components[i]),
			"AddComponent", err) != 0)
			return err_context(err, "writer %.60s", w->name);
	return 0;
}

static void
forget_writers(struct vss *v)
{
	for (unsigned i = 0; i < v->writers_count; i++)
		vss_writer_free(&v->writers[i]);
	free(v->writers);
	v->writers = NULL;
	v->writers_count = v->taken = 0;
	v->torn = 0;
	v->outside[0] = v->databases[0] = '\0';
}

static int
gather(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;
	unsigned count = 0;

	forget_writers(v);
	if (run(v, VSS_GATHER_METADATA, 1, err) != 0 ||
	    call(v, j->ops->writers(j->arg, &count), "GetWriterMetadataCount", err) != 0)
		return -1;
	if ((v->writers = calloc((size_t)count + 1, sizeof(*v->writers))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for %u writers", count);
	for (unsigned i = 0; i < count; i++) {
		vss_code code = j->ops->writer(j->arg, i, &v->writers[i]);

		v->writers_count = i + 1;
		if (call(v, code, "GetWriterMetadata", err) != 0 ||
		    take_writer(v, &v->writers[i], err) != 0)
			return -1;
	}
	return 0;
}

/* ---------------------------------------------------------------- the set -- */

static int
add_volumes(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;

	for (unsigned i = 0; i < j->count; i++) {
		int yes = 0;

		if (call(v, j->ops->supported(j->arg, j->volumes[i], &yes),
			"IsVolumeSupported", err) != 0)
			return err_context(err, "%.100s", j->volumes[i]);
		if (!yes) {
			v->retry = VSS_NEVER;
			return err_set(err, ERR_UNSUPPORTED,
			    "VSS: %.100s: no provider makes shadow copies of it",
			    j->volumes[i]);
		}
		if (call(v, j->ops->add_volume(j->arg, j->volumes[i], i),
			"AddToSnapshotSet", err) != 0)
			return err_context(err, "%.100s", j->volumes[i]);
	}
	return 0;
}

static int
open_session(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;
	uint32_t context = j->no_writers ? CTX_FILE_SHARE_BACKUP : CTX_BACKUP;

	if (j->no_autorecovery)
		context |= ATTR_NO_AUTORECOVERY;
	if (call(v, j->ops->create(j->arg), "CreateVssBackupComponents", err) != 0)
		return -1;
	v->phase = CREATED;
	if (call(v, j->ops->init(j->arg), "InitializeForBackup", err) != 0 ||
	    call(v, j->ops->set_state(j->arg, j->bootable, j->copy), "SetBackupState",
		err) != 0)
		return -1;
	return call(v, j->ops->set_context(j->arg, context), "SetContext", err);
}

/* "Simple Shadow Copy Creation for Backup", in its order. */
static int
try_once(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;

	v->retry = VSS_NEVER;
	if (open_session(v, err) != 0 || (!j->no_writers && gather(v, err) != 0) ||
	    call(v, j->ops->start_set(j->arg), "StartSnapshotSet", err) != 0)
		return -1;
	v->phase = STARTED;
	if (add_volumes(v, err) != 0)
		return -1;
	if (!j->no_writers && run(v, VSS_PREPARE, 1, err) != 0)
		return -1;
	if (check_writers(v, asyncs[VSS_PREPARE].name, 1, err) != 0 ||
	    run(v, VSS_DO_SET, 1, err) != 0)
		return -1;
	v->phase = FROZEN;
	return check_writers(v, asyncs[VSS_DO_SET].name, 1, err);
}

/* "Aborting VSS Operations": writers hear of it before the object goes. */
static void
drop(struct vss *v)
{
	if (v->phase >= STARTED)
		(void)v->job.ops->abort(v->job.arg);
	if (v->phase != IDLE)
		v->job.ops->close(v->job.arg);
	v->phase = IDLE;
}

/* After a failure: wait before the next try.  -1: there is none. */
static int
again(struct vss *v, struct err *err)
{
	uint32_t wait = v->job.wait_ms;
	char line[ERR_TEXT_MAX + 64], words[80];

	if (err->code == ERR_CANCELED || stop_asked(v->job.stop) ||
	    (v->retry != VSS_SOON && v->retry != VSS_LATER))
		return -1;
	if (v->tries >= v->job.attempts)
		return err_context(err, "%u attempts", v->tries);
	if (v->retry == VSS_SOON && wait > SOON_MS << (v->tries - 1))
		wait = SOON_MS << (v->tries - 1);
	if (err->os != 0)
		vss_words((vss_code)err->os, words, sizeof(words));
	else
		(void)snprintf(words, sizeof(words), "no answer");
	if (strstr(v->trouble, words) == NULL)
		list(v->trouble, sizeof(v->trouble), words);
	(void)snprintf(line, sizeof(line), "%s; trying again in %u.%u s", err->text,
	    wait / 1000, wait % 1000 / 100);
	say(v, line);
	if (stop_wait_ms(v->job.stop, wait) != 0) {
		err_clear(err);
		return err_set(err, ERR_CANCELED, "VSS: interrupted while waiting");
	}
	return 0;
}

static void
describe(struct vss *v)
{
	char tries[32] = "", writers[64];

	(void)snprintf(
	    writers, sizeof(writers), "%u of %u writers", v->taken, v->writers_count);
	if (v->tries > 1)
		(void)snprintf(tries, sizeof(tries), ", %u attempts", v->tries);
	(void)snprintf(v->method, sizeof(v->method), "%s, %s%s%s%s%s%s%s",
	    v->job.copy ? "copy" : "full",
	    v->job.no_writers ? "no writers asked" : writers,
	    v->outside[0] != '\0' ? ", not whole: " : "", v->outside, tries,
	    v->trouble[0] != '\0' ? " (" : "", v->trouble,
	    v->trouble[0] != '\0' ? ")" : "");
}

int
vss_freeze(struct vss *v, struct err *err)
{
	for (v->tries = 1;; v->tries++) {
		err_clear(err);
		if (try_once(v, err) == 0)
			break;
		drop(v);
		if (again(v, err) != 0) {
			describe(v);
			return -1;
		}
	}
	describe(v);
	return 0;
}

int
vss_device(struct vss *v, unsigned i, char *out, size_t cap, struct err *err)
{
	vss_code code = v->job.ops->device(v->job.arg, i, out, cap);

	if (!bad(code))
		return 0;
	(void)fail(v, code, "GetSnapshotProperties", err);
	if (err->code == ERR_NOTFOUND)
		err->code = ERR_SNAPSHOT_LOST;
	return -1;
}

/* --------------------------------------------------------------------- the end -- */

/* Each component that took part: the first failure is kept, the others go on. */
static int
tell_each(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;
	int rc = 0;

	for (unsigned i = 0; i < v->writers_count; i++)
		for (unsigned k = 0; k < v->writers[i].count; k++) {
			const struct vss_component *c = &v->writers[i].components[k];
			vss_code code = VSS_OK;

			if (c->take)
				code = j->ops->succeeded(j->arg, &v->writers[i], c, 1);
			if (bad(code) && rc == 0)
				rc = fail(v, code, "SetBackupSucceeded", err);
		}
	return rc;
}

int
vss_finish(struct vss *v, int ok, struct err *err)
{
	struct err more = ERR_INIT;
	int rc;

	if (v->phase != FROZEN)
		return 0;
	if (!ok) {
		v->phase = CREATED;
		return call(v, v->job.ops->abort(v->job.arg), "AbortBackup", err);
	}
	if (v->job.no_writers) {
		v->phase = CREATED;
		return 0;
	}
	rc = tell_each(v, err);
	if (run(v, VSS_COMPLETE, 0, rc == 0 ? err : &more) != 0) {
		/* They wait for an end: it is this one then. */
		(void)v->job.ops->abort(v->job.arg);
		v->phase = CREATED;
		return -1;
	}
	v->phase = CREATED;
	if (check_writers(v, asyncs[VSS_COMPLETE].name, 0, rc == 0 ? err : &more) != 0)
		rc = -1;
	return rc;
}

const char *
vss_method(const struct vss *v)
{
	return v->method;
}

int
vss_is_torn(const struct vss *v)
{
	return v->torn;
}

const char *
vss_databases(const struct vss *v)
{
	return v->databases;
}

void
vss_free(struct vss *v)
{
	if (v == NULL)
		return;
	drop(v);
	forget_writers(v);
	free(v);
}
