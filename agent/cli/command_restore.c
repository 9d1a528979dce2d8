#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/sources.h"
#include "agent/cli/command.h"
#include "agent/disk/target_check.h"
#include "agent/restore/disk_order.h"
#include "agent/restore/restore.h"
#include "agent/session/dial.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

static void
print(const struct command_context *c, const struct restore_result *r)
{
	char size[24], got[24], put[24], same[24], rate[24];
	double s = (double)r->duration_us / 1e6;

	if (c->cmd->json) {
		printf("{\"event\":\"restored\",\"sequence\":%" PRIu64
		       ",\"size\":%" PRIu64 ",\"received_bytes\":%" PRIu64
		       ",\"written_bytes\":%" PRIu64 ",\"same_bytes\":%" PRIu64
		       ",\"duration_us\":%" PRIu64 "}\n",
		    r->sequence, r->size, r->received_bytes, r->written_bytes,
		    r->same_bytes, r->duration_us);
		return;
	}
	if (c->cmd->quiet)
		return;
	progress_bytes(r->size, size);
	progress_bytes(r->received_bytes, got);
	progress_bytes(r->written_bytes, put);
	progress_bytes(r->same_bytes, same);
	progress_bytes(s > 0 ? (uint64_t)((double)r->written_bytes / s) : 0, rate);
	printf("restored %s of point %" PRIu64 " to %s: %s; received %s, written %s",
	    c->cmd->volume, r->sequence, c->cmd->to, size, got, put);
	if (c->cmd->delta)
		printf(", already right %s", same);
	printf("; %.1f s, %s/s\n", s, rate);
}

int
command_check_source(const struct state *st, const struct settings *settings,
    const char *to, struct err *err)
{
	char name[SETTINGS_NAME_MAX];
	int found = sources_has(st, settings, to, name, err);

	if (found <= 0)
		return found;
	return err_set(err, ERR_EXISTS,
	    "target %s: it is the source of volume %s; --overwrite-source allows that",
	    to, name);
}

int
command_check_target(const char *to, const char *state_dir, struct err *err)
{
	char *at = file_real_path(to);
	size_t len;
	int in = 0;

	if (at == NULL && (at = strdup(to)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	in = file_same(at, state_dir);
	for (len = strlen(at); len > 0 && !in; len--)
		if (at[len - 1] == '/' || at[len - 1] == '\\') {
			at[len] = '\0';
			in = file_same(at, state_dir);
		}
	free(at);
	if (!in)
		return target_check_state(to, state_dir, err);
	return err_set(err, ERR_BUSY, "target %s: in the agent's state directory", to);
}

/*
 * A session of several.  The state is one, and remembers of one session at a time: so
 * one is made after the other, and none leaves its ticket.
 */
static int
dial(void *arg, struct dial *out, struct err *err)
{
	static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
	const struct command_context *c = arg;
	int rc;

	pthread_mutex_lock(&one_at_a_time);
	/* What stops the restore cancels all its sessions. */
	rc = dial_open(c->st, c->machine, NULL, out, err);
	pthread_mutex_unlock(&one_at_a_time);
	if (rc == 0)
		out->st = NULL;
	return rc;
}

static int
restore_disk(const struct command_context *c, struct err *err)
{
	struct disk_order o = { .dial = dial,
		.dial_arg = (void *)(uintptr_t)c,
		.host = "",
		.disk = c->cmd->disks[0],
		.target = c->cmd->to,
		.extend = c->cmd->extend,
		.size = c->cmd->size,
		.retry_s = c->settings.retry_s,
		.mode = command_progress(c->cmd),
		.say = command_say,
		.stop = c->stop };
	struct disk_order_result r;

	o.flags = (c->cmd->delta ? DISK_RESTORE_DELTA : 0) |
		  (c->cmd->force ? DISK_RESTORE_FORCE : 0) |
		  (c->cmd->zero_holes ? DISK_RESTORE_ZERO_HOLES : 0) |
		  (c->cmd->discard ? DISK_RESTORE_DISCARD : 0) |
		  (c->cmd->verify ? DISK_RESTORE_VERIFY : 0) |
		  (c->cmd->vhdx ? DISK_RESTORE_VHDX : 0);
	if (restore_point(c->cmd->point, NULL, &o.sequence, err) != 0 ||
	    disk_order_run(&o, &r, err) != 0)
		return -1;
	if (c->cmd->json || !c->cmd->quiet)
		disk_order_print(&o, &r, c->cmd->json);
	return 0;
}

int
command_restore(const struct command_context *c, struct err *err)
{
	struct restore_job job = { .host = "",
		.volume = c->cmd->volume,
		.target = c->cmd->to,
		.mode = command_progress(c->cmd),
		.stop = c->stop,
		.say = command_say };
	struct restore_result r;
	struct dial d;
	int rc;

	if (restore_point(c->cmd->point, NULL, &job.sequence, err) != 0 ||
	    (!c->cmd->over_source &&
		command_check_source(c->st, &c->settings, c->cmd->to, err) != 0) ||
	    command_check_target(c->cmd->to, state_dir(c->st), err) != 0)
		return err_context(err, "restore");
	if (c->cmd->vhdx && c->cmd->format == NULL && !c->cmd->quiet)
		command_say(NULL, "the target is made a VHDX by its name; --format raw "
				  "writes plain bytes");
	if (c->cmd->disks_count > 0)
		return restore_disk(c, err) == 0 ? 0 : err_context(err, "restore");
	job.flags =
	    (c->cmd->delta ? RESTORE_DELTA : 0) | (c->cmd->force ? RESTORE_FORCE : 0) |
	    (c->cmd->zero_holes ? RESTORE_ZERO_HOLES : 0) |
	    (c->cmd->discard ? RESTORE_DISCARD : 0) | (c->cmd->vhdx ? RESTORE_VHDX : 0);
	if (dial_open(c->st, c->machine, c->stop, &d, err) != 0)
		return err_context(err, "restore");
	job.ch = d.ch;
	job.keys = &d.keys;
	rc = restore_run(&job, &r, err);
	dial_close(&d);
	if (rc != 0)
		return err_context(err, "restore");
	print(c, &r);
	return 0;
}
