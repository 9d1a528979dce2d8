#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "agent/backup/backup.h"
#include "agent/cli/command.h"
#include "agent/cli/command_system.h"
#include "agent/disk/volumes.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"

/* Of a script that was run: how it ended and how long it took. */
static void
print_script(const char *name, const struct hooks_result *s)
{
	char text[64];

	if (s->end == HOOKS_NONE)
		return;
	hooks_text(s, text);
	printf(",\"%s_script\":{\"end\":\"%s\",\"exit_code\":%d,\"duration_us\":%" PRIu64
	       "}",
	    name, text, s->exit_code, s->duration_us);
}

static void
print_json(const struct backup_result *r)
{
	const struct uplink_counts *n = &r->counts;

	printf("{\"event\":\"committed\",\"sequence\":%" PRIu64 ",\"time_us\":%" PRId64
	       ",\"volumes_bytes\":%" PRIu64 ",\"read_bytes\":%" PRIu64
	       ",\"sent_bytes\":%" PRIu64 ",\"new_bytes\":%" PRIu64
	       ",\"known_bytes\":%" PRIu64 ",\"zero_bytes\":%" PRIu64
	       ",\"hole_bytes\":%" PRIu64 ",\"excluded_bytes\":%" PRIu64
	       ",\"chunks\":%" PRIu64 ",\"new_chunks\":%" PRIu64
	       ",\"stored_bytes\":%" PRIu64 ",\"wire_sent_bytes\":%" PRIu64
	       ",\"wire_received_bytes\":%" PRIu64 ",\"duration_us\":%" PRIu64
	       ",\"kept_bytes\":%" PRIu64 ",\"proven_bytes\":%" PRIu64
	       ",\"map_bytes\":%" PRIu64 ",\"attempts\":%u",
	    r->point.sequence, r->point.time_us, r->volumes_bytes, n->read_bytes,
	    n->sent_bytes, n->new_bytes, n->known_bytes, n->zero_bytes, n->hole_bytes,
	    n->excluded_bytes, n->chunks, n->new_chunks, r->point.stored_bytes,
	    r->wire_sent, r->wire_received, n->duration_us, r->kept_bytes,
	    r->proven_bytes, r->map_bytes, r->attempts);
	command_json_text("grade", r->grade);
	command_json_text("captured", r->captured);
	command_json_text("note", r->note);
	print_script("pre", &r->pre);
	print_script("post", &r->post);
	puts("}");
}

static void
print_text(const struct backup_result *r)
{
	const struct uplink_counts *n = &r->counts;
	double s = (double)n->duration_us / 1e6;
	char volumes[24], read[24], known[24], fresh[24], sent[24], rate[24];

	progress_bytes(r->volumes_bytes, volumes);
	progress_bytes(n->read_bytes, read);
	progress_bytes(n->known_bytes, known);
	progress_bytes(n->new_bytes, fresh);
	progress_bytes(n->sent_bytes, sent);
	progress_bytes(s > 0 ? (uint64_t)((double)n->read_bytes / s) : 0, rate);
	printf("point %" PRIu64
	       ": %u volume%s of %s; read %s, known %s, new %s, sent %s; "
	       "%.1f s, %s/s\n",
	    r->point.sequence, r->volumes, r->volumes == 1 ? "" : "s", volumes, read,
	    known, fresh, sent, s, rate);
	if (r->kept_bytes + r->proven_bytes > 0) {
		progress_bytes(r->kept_bytes, volumes);
		progress_bytes(r->proven_bytes, read);
		printf("  by a list of changes: %s not read, %s of the rest proven\n",
		    volumes, read);
	}
	if (strcmp(r->captured, "offline") != 0)
		printf("  frozen by %s\n", r->captured);
	if (r->note[0] != '\0')
		printf("  %s\n", r->note);
}

/* CPU time of each stage, all threads together and the peak of memory. */
static void
print_profile(const struct backup_result *r)
{
	struct command_usage u;
	unsigned i;

	command_system_usage(&u);
	fprintf(stderr, "cpu:");
	for (i = 0; i < PIPELINE_STAGES; i++)
		fprintf(stderr, " %s %.2f", pipeline_stage_name((enum pipeline_stage)i),
		    (double)r->cpu_us[i] / 1e6);
	fprintf(stderr, "; process %.2f user %.2f system s; %u MiB at most\n",
	    (double)u.user_us / 1e6, (double)u.system_us / 1e6, (unsigned)(u.peak >> 20));
}

int
command_backup(const struct command_context *c, struct err *err)
{
	struct backup_options o = { .settings = &c->settings,
		.no_cache = c->cmd->no_cache,
		.changed_from = c->cmd->changed_from,
		.check_changes = c->cmd->check_changes,
		.host_facts = c->cmd->host_facts,
		.mode = command_progress(c->cmd),
		.stop = c->stop,
		.say = command_say };
	struct backup_result r;

	memcpy(o.machine, c->machine, sizeof(o.machine));
	if (!volumes_wanted(&c->settings))
		return err_set(err, ERR_NOTFOUND,
		    "backup: no volumes: name them, or in %s/agent.conf",
		    state_dir(c->st));
	if (state_lock(c->st, err) != 0 || backup_with_scripts(c->st, &o, &r, err) != 0)
		return err_context(err, "backup");
	if (c->cmd->json)
		print_json(&r);
	else if (!c->cmd->quiet)
		print_text(&r);
	if (c->cmd->profile)
		print_profile(&r);
	return 0;
}
