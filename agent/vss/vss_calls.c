#include "agent/vss/vss_parts.h"

#include <stdio.h>
#include <string.h>

#include "agent/host/stop.h"
#include "proto/base/err.h"

#define POLL_MS 200u
#define CANCEL_MS (60u * 1000)

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

const char *
vss_async_name(enum vss_async what)
{
	return asyncs[what].name;
}

int
vss_bad(vss_code code)
{
	return (code & 0x80000000u) != 0;
}

void
vss_say(const struct vss *v, const char *line)
{
	if (v->job.say != NULL)
		v->job.say(v->job.say_arg, line);
}

void
vss_list(char *to, size_t cap, const char *name)
{
	size_t len = strlen(to);

	(void)snprintf(to + len, cap - len, "%s%s", len > 0 ? ", " : "", name);
}

int
vss_fail(struct vss *v, vss_code code, const char *call, struct err *err)
{
	v->retry = vss_retry_of(code);
	return vss_err(err, code, call);
}

int
vss_call(struct vss *v, vss_code code, const char *name, struct err *err)
{
	return vss_bad(code) ? vss_fail(v, code, name, err) : 0;
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
		if (vss_bad(v->job.ops->poll(v->job.arg, POLL_MS, &status)))
			break;
}

int
vss_run(struct vss *v, enum vss_async what, int heed, struct err *err)
{
	const struct vss_job *j = &v->job;
	vss_code code = j->ops->start(j->arg, what), status = VSS_ASYNC_PENDING;

	if (vss_bad(code))
		return vss_fail(v, code, vss_async_name(what), err);
	for (uint32_t ms = 0; ms < asyncs[what].limit_ms; ms += POLL_MS) {
		code = j->ops->poll(j->arg, POLL_MS, &status);
		if (vss_bad(code) || vss_bad(status))
			return vss_fail(
			    v, vss_bad(code) ? code : status, vss_async_name(what), err);
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
		    err, ERR_CANCELED, "VSS: %s: interrupted", vss_async_name(what));
	}
	cancel(v);
	v->retry = VSS_LATER;
	return err_set(err, ERR_TIMEOUT, "VSS: %s: no answer in %u s",
	    vss_async_name(what), (unsigned)(asyncs[what].limit_ms / 1000));
}
