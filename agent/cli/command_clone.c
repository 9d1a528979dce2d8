#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/cli/command.h"
#include "agent/clone/clone.h"
#include "agent/host/awake.h"
#include "agent/restore/restore.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

static void
print_json(const struct command *cmd, const struct clone_result *r)
{
	printf("{\"event\":\"cloned\",\"size\":%" PRIu64 ",\"partitions\":%u"
	       ",\"provider\":\"%s\",\"frozen_at_us\":%" PRId64 ",\"data_bytes\":%" PRIu64
	       ",\"zero_bytes\":%" PRIu64 ",\"hole_bytes\":%" PRIu64
	       ",\"excluded_bytes\":%" PRIu64 ",\"written_bytes\":%" PRIu64
	       ",\"same_bytes\":%" PRIu64 ",\"verified\":%s,\"checked_bytes\":%" PRIu64
	       ",\"duration_us\":%" PRIu64,
	    r->size, r->partitions, r->provider, r->frozen_at, r->data_bytes,
	    r->zero_bytes, r->hole_bytes, r->excluded_bytes, r->written_bytes,
	    r->same_bytes, cmd->no_verify ? "false" : "true", r->checked_bytes,
	    r->duration_us);
	command_json_text("grade", r->grade);
	command_json_text("captured", r->captured);
	command_json_text("note", r->note);
	puts("}");
}

static void
print_text(const struct command *cmd, const struct clone_result *r)
{
	char size[24], data[24], put[24], same[24], rate[24];
	double s = (double)r->duration_us / 1e6;

	progress_bytes(r->size, size);
	progress_bytes(r->data_bytes, data);
	progress_bytes(r->written_bytes, put);
	progress_bytes(r->same_bytes, same);
	progress_bytes(s > 0 ? (uint64_t)((double)r->data_bytes / s) : 0, rate);
	printf("cloned %s%s to %s: %s", cmd->whole ? "disk " : "", cmd->from, cmd->onto,
	    size);
	if (cmd->whole)
		printf(", %u partition%s", r->partitions, r->partitions == 1 ? "" : "s");
	printf("; read %s, written %s", data, put);
	if (cmd->delta)
		printf(", already right %s", same);
	printf(", %s; %.1f s, %s/s\n",
	    cmd->no_verify ? "not verified" : "read back and equal", s, rate);
	if (strcmp(r->provider, "offline") != 0)
		printf("  frozen by %s\n", r->captured);
	if (r->note[0] != '\0')
		printf("  %s\n", r->note);
}

/*
 * A clone needs no state, and makes none; where there is one it knows what is backed up
 * from here.  Who may not read it may not write over a device either.
 */
static int
check_source(const struct command *cmd, struct err *err)
{
	struct command_context *c;
	struct err why = ERR_INIT;
	enum file_kind kind;
	int rc = 0;

	if (cmd->over_source || file_kind(cmd->state_dir, &kind, &why) != 0 ||
	    kind != FILE_IS_DIR)
		return 0;
	if ((c = calloc(1, sizeof(*c))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->cmd = cmd;
	if (state_open(cmd->state_dir, &c->st, &why) != 0 ||
	    command_settings(c, &why) != 0 ||
	    command_check_source(c->st, &c->settings, cmd->onto, &why) != 0)
		rc = why.code == ERR_DENIED ? 0 : -1;
	if (rc != 0)
		*err = why;
	state_close(c->st);
	free(c);
	return rc;
}

int
command_clone(const struct command *cmd, struct stop *stop, struct err *err)
{
	struct clone_job job = { .from = cmd->from,
		.to = cmd->onto,
		.whole = cmd->whole,
		.provider = cmd->provider,
		.verify = !cmd->no_verify,
		.mode = command_progress(cmd),
		.stop = stop,
		.say = command_say };
	struct clone_result r;
	int rc;

	job.flags = (cmd->delta ? RESTORE_DELTA : 0) | (cmd->force ? RESTORE_FORCE : 0) |
		    (cmd->zero_holes ? RESTORE_ZERO_HOLES : 0) |
		    (cmd->discard ? RESTORE_DISCARD : 0) | (cmd->vhdx ? RESTORE_VHDX : 0);
	if (command_check_target(cmd->onto, cmd->state_dir, err) != 0 ||
	    check_source(cmd, err) != 0)
		return err_context(err, "clone");
	if (cmd->vhdx && cmd->format == NULL && !cmd->quiet)
		command_say(NULL, "the target is made a VHDX by its name; --format raw "
				  "writes plain bytes");
	awake_begin();
	rc = clone_run(&job, &r, err);
	awake_end();
	if (rc != 0)
		return err_context(err, "clone");
	if (cmd->json)
		print_json(cmd, &r);
	else if (!cmd->quiet)
		print_text(cmd, &r);
	return 0;
}
