#include "agent/vss/vss_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"

#define SOON_MS (15u * 1000) /* A set that another makes takes seconds. */
#define CTX_BACKUP 0x0u
#define CTX_FILE_SHARE_BACKUP 0x10u
#define ATTR_NO_AUTORECOVERY 0x2u

struct vss *
vss_new(const struct vss_job *job)
{
	struct vss *v = calloc(1, sizeof(*v));

	if (v != NULL)
		v->job = *job;
	return v;
}

/* ---------------------------------------------------------------- the set -- */

static int
add_volumes(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;

	for (unsigned i = 0; i < j->count; i++) {
		int yes = 0;

		if (vss_call(v, j->ops->supported(j->arg, j->volumes[i], &yes),
			"IsVolumeSupported", err) != 0)
			return err_context(err, "%.100s", j->volumes[i]);
		if (!yes) {
			v->retry = VSS_NEVER;
			return err_set(err, ERR_UNSUPPORTED,
			    "VSS: %.100s: no provider makes shadow copies of it",
			    j->volumes[i]);
		}
		if (vss_call(v, j->ops->add_volume(j->arg, j->volumes[i], i),
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
	if (vss_call(v, j->ops->create(j->arg), "CreateVssBackupComponents", err) != 0)
		return -1;
	v->phase = VSS_CREATED;
	if (vss_call(v, j->ops->init(j->arg), "InitializeForBackup", err) != 0 ||
	    vss_call(v, j->ops->set_state(j->arg, j->bootable, j->copy), "SetBackupState",
		err) != 0)
		return -1;
	return vss_call(v, j->ops->set_context(j->arg, context), "SetContext", err);
}

/* DoSnapshotSet, and what somebody does meanwhile. */
static int
do_set(struct vss *v, struct err *err)
{
	const struct vss_around *a = v->job.around;
	struct err ignored = ERR_INIT;
	int rc;

	if (a == NULL)
		return vss_run(v, VSS_DO_SET, 1, err);
	v->around = 1;
	if (a->begin(a->arg, err) != 0)
		return -1;
	rc = vss_run(v, VSS_DO_SET, 1, err);
	if (a->end(a->arg, rc == 0 ? err : &ignored) != 0 && rc == 0) {
		v->around_failed = 1;
		v->retry = VSS_SOON;
		v->phase = VSS_FROZEN;
		rc = -1;
	}
	return rc;
}

/* "Simple Shadow Copy Creation for Backup", in its order. */
static int
try_once(struct vss *v, struct err *err)
{
	const struct vss_job *j = &v->job;

	v->retry = VSS_NEVER;
	v->around = v->around_failed = 0;
	if (open_session(v, err) != 0 || (!j->no_writers && vss_gather(v, err) != 0) ||
	    vss_call(v, j->ops->start_set(j->arg), "StartSnapshotSet", err) != 0)
		return -1;
	v->phase = VSS_STARTED;
	if (add_volumes(v, err) != 0)
		return -1;
	if (!j->no_writers && vss_run(v, VSS_PREPARE, 1, err) != 0)
		return -1;
	if (vss_check(v, vss_async_name(VSS_PREPARE), 1, err) != 0 || do_set(v, err) != 0)
		return -1;
	v->phase = VSS_FROZEN;
	return vss_check(v, vss_async_name(VSS_DO_SET), 1, err);
}

/* "Aborting VSS Operations": writers hear of it before the object goes. */
static void
drop(struct vss *v)
{
	if (v->phase >= VSS_STARTED)
		(void)v->job.ops->abort(v->job.arg);
	if (v->phase != VSS_IDLE)
		v->job.ops->close(v->job.arg);
	v->phase = VSS_IDLE;
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
	if (v->around_failed)
		(void)snprintf(words, sizeof(words), "no cut in it");
	else if (err->os != 0)
		vss_words((vss_code)err->os, words, sizeof(words));
	else
		(void)snprintf(words, sizeof(words), "no answer");
	if (strstr(v->trouble, words) == NULL)
		vss_list(v->trouble, sizeof(v->trouble), words);
	(void)snprintf(line, sizeof(line), "%s; trying again in %u.%u s", err->text,
	    wait / 1000, wait % 1000 / 100);
	vss_say(v, line);
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
	(void)snprintf(v->method, sizeof(v->method), "%s, %s%s%s%s%s%s%s%s",
	    v->job.copy ? "copy" : "full",
	    v->job.no_writers ? "no writers asked" : writers,
	    v->outside[0] != '\0' ? ", not whole: " : "", v->outside,
	    v->job.no_autorecovery ? ", no auto-recovery" : "", tries,
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
		if (v->around)
			v->job.around->undo(v->job.around->arg);
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

	if (!vss_bad(code))
		return 0;
	(void)vss_fail(v, code, "GetSnapshotProperties", err);
	if (err->code == ERR_NOTFOUND)
		err->code = ERR_SNAPSHOT_LOST;
	return -1;
}

/* --------------------------------------------------------------------- the end -- */

/*
 * "The requester terminates the shadow copy by releasing the interface or by calling
 * DeleteSnapshots"; writers hear nothing of it ("Overview of Backup Termination",
 * learn.microsoft.com/windows/win32/vss/overview-of-backup-termination).
 */
void
vss_discard(struct vss *v)
{
	if (v->phase == VSS_FROZEN && v->job.ops->discard != NULL)
		(void)v->job.ops->discard(v->job.arg, v->job.count);
}

int
vss_finish(struct vss *v, int ok, struct err *err)
{
	struct err more = ERR_INIT;
	int rc;

	if (v->phase != VSS_FROZEN)
		return 0;
	if (!ok) {
		v->phase = VSS_CREATED;
		return vss_call(v, v->job.ops->abort(v->job.arg), "AbortBackup", err);
	}
	if (v->job.no_writers) {
		v->phase = VSS_CREATED;
		return 0;
	}
	rc = vss_tell(v, err);
	if (vss_run(v, VSS_COMPLETE, 0, rc == 0 ? err : &more) != 0) {
		/* They wait for an end: it is this one then. */
		(void)v->job.ops->abort(v->job.arg);
		v->phase = VSS_CREATED;
		return -1;
	}
	v->phase = VSS_CREATED;
	if (vss_check(v, vss_async_name(VSS_COMPLETE), 0, rc == 0 ? err : &more) != 0)
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
	vss_forget(v);
	free(v);
}
