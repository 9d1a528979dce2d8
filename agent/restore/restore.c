#include "agent/restore/restore.h"

#include <ctype.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "agent/restore/restore_flow.h"
#include "agent/restore/restore_tree.h"
#include "agent/restore/target.h"
#include "agent/session/reading.h"
#include "proto/base/err.h"
#include "proto/net/channel.h"

static unsigned
target_flags(unsigned flags)
{
	return ((flags & RESTORE_DELTA) != 0 ? TARGET_KEEP : 0) |
	       ((flags & RESTORE_FORCE) != 0 ? TARGET_REPLACE : 0) |
	       ((flags & RESTORE_ZERO_HOLES) != 0 ? TARGET_CLEAR : 0) |
	       ((flags & RESTORE_DISCARD) != 0 ? TARGET_DISCARD : 0) |
	       ((flags & RESTORE_VHDX) != 0 ? TARGET_VHDX : 0) | TARGET_ENDS_LAST;
}

/* Where the flow's telling goes. */
struct telling {
	struct progress *progress;
	const struct target *target;
	uint64_t shown; /* Bytes written that progress was told of. */
};

static void
on_progress(void *arg, uint64_t position, uint64_t received)
{
	struct telling *t = arg;
	uint64_t written = target_written(t->target);

	progress_add(t->progress, PROGRESS_READ, received);
	progress_at(t->progress, position);
	progress_add(t->progress, PROGRESS_SENT, written - t->shown);
	t->shown = written;
}

/* Write the volume to the target, all or (but in place) nothing. */
static int
write_target(const struct restore_job *job, struct restore_flow *flow,
    struct restore_result *out, struct err *err)
{
	struct telling telling = { 0 };
	struct restore_flow_result done;
	int in_place, rc;

	if (target_open(job->target, out->size,
		restore_tree_root(flow->tree)->sector_size, target_flags(job->flags),
		&flow->target, err) != 0)
		return err_context(err, "target");
	if (job->say != NULL && target_note(flow->target)[0] != '\0')
		job->say(job->say_arg, target_note(flow->target));
	if (target_need(
		flow->target, restore_tree_root(flow->tree)->top.sums.data, err) != 0) {
		target_abandon(flow->target);
		return err_context(err, "target");
	}
	if (progress_start(job->mode, "restore", out->size, &telling.progress, err) !=
	    0) {
		target_abandon(flow->target);
		return -1;
	}
	telling.target = flow->target;
	flow->tell = on_progress;
	flow->tell_arg = &telling;
	rc = restore_flow_run(flow, &done, err);
	progress_stop(telling.progress);
	out->received_bytes = done.received_bytes;
	out->written_bytes = target_written(flow->target);
	out->same_bytes = done.same_bytes;
	in_place = target_in_place(flow->target) && out->written_bytes > 0;
	if (rc == 0)
		rc = target_finish(flow->target, err);
	else
		target_abandon(flow->target);
	if (rc != 0 && in_place)
		err_context(err, "%s is half written", job->target);
	return rc;
}

/* --------------------------------------------------------------- the point -- */

struct finding {
	const struct restore_job *job;
	struct restore_source *src;
	struct restore_result *out;
	unsigned points; /* That were looked at. */
	int found;
};

void
restore_warn(
    const Wire__Point *p, void (*say)(void *arg, const char *line), void *say_arg)
{
	char line[READING_DOUBT_MAX];

	if (say != NULL && reading_doubt(p, line) != 0)
		say(say_arg, line);
}

/* The newest point that has the volume, or the one that was named. */
static int
on_point(void *arg, const Wire__Point *p)
{
	struct finding *f = arg;
	uint32_t i;

	if (f->job->sequence != 0 && p->sequence != f->job->sequence)
		return 0;
	f->points++;
	for (i = 0; i < p->n_volumes; i++)
		if (strcmp(p->volumes[i]->name, f->job->volume) == 0)
			break;
	if (i == p->n_volumes || p->volumes[i]->root_id.len != CHUNK_ID_LEN ||
	    strlen(p->host) >= sizeof(f->out->host))
		return 0;
	strcpy(f->out->host, p->host);
	f->out->sequence = p->sequence;
	f->out->time_us = p->time_us;
	f->out->size = p->volumes[i]->size;
	f->src->volume = i;
	memcpy(f->src->root_id.b, p->volumes[i]->root_id.data, CHUNK_ID_LEN);
	f->found = 1;
	restore_warn(p, f->job->say, f->job->say_arg);
	return 1;
}

static int
find_point(const struct restore_job *job, struct restore_source *src,
    struct restore_result *out, struct err *err)
{
	struct finding f = { job, src, out, 0, 0 };
	const char *host = job->host[0] != '\0' ? job->host : "this host";

	if (reading_points(job->ch, job->host, job->sequence, on_point, &f, err) < 0)
		return -1;
	if (f.found)
		return 0;
	if (f.points > 0)
		return err_set(err, ERR_NOTFOUND, "no volume '%.60s' in %s of %s",
		    job->volume, job->sequence != 0 ? "that point" : "any point", host);
	if (job->sequence != 0)
		return err_set(err, ERR_NOTFOUND, "no point %llu of %s",
		    (unsigned long long)job->sequence, host);
	return err_set(err, ERR_NOTFOUND, "%s has no points", host);
}

int
restore_run(const struct restore_job *job, struct restore_result *out, struct err *err)
{
	struct restore_flow flow = { .flags = job->flags, .stop = job->stop };
	struct timespec from, to;
	int rc = -1;

	memset(out, 0, sizeof(*out));
	clock_gettime(CLOCK_MONOTONIC, &from);
	if (find_point(job, &flow.src, out, err) != 0)
		goto out;
	flow.src.ch = job->ch;
	flow.src.keys = job->keys;
	flow.src.host = out->host;
	flow.src.sequence = out->sequence;
	if (restore_tree_open(&flow.src, &flow.tree, err) != 0)
		goto out;
	/* The list of points is only told; the root is proven. */
	out->size = restore_tree_root(flow.tree)->size;
	rc = write_target(job, &flow, out, err);
out:
	clock_gettime(CLOCK_MONOTONIC, &to);
	out->duration_us = (uint64_t)(to.tv_sec - from.tv_sec) * 1000000 +
			   (uint64_t)(to.tv_nsec / 1000) -
			   (uint64_t)(from.tv_nsec / 1000);
	restore_tree_close(flow.tree);
	return rc;
}

int
restore_point(
    const char *text, char host[RESTORE_NAME_MAX], uint64_t *sequence, struct err *err)
{
	const char *slash = strchr(text, '/'), *number = text;
	char *end;

	if (host != NULL)
		host[0] = '\0';
	if (slash != NULL && host != NULL) {
		if ((size_t)(slash - text) >= RESTORE_NAME_MAX)
			return err_set(
			    err, ERR_NOTFOUND, "point '%.80s': no such host", text);
		memcpy(host, text, (size_t)(slash - text));
		host[slash - text] = '\0';
		number = slash + 1;
	}
	*sequence = 0;
	if (strcmp(number, "latest") == 0)
		return 0;
	if (number[0] >= '1' && number[0] <= '9') {
		*sequence = strtoull(number, &end, 10);
		if (*end == '\0' && end - number < 20)
			return 0;
	}
	return err_set(err, ERR_NOTFOUND, "point '%.80s': a number or latest", text);
}

int
restore_format(const char *text, const char *target, int *vhdx, struct err *err)
{
	static const char suffix[] = ".vhdx";
	size_t len = strlen(target), n = sizeof(suffix) - 1;

	*vhdx = text != NULL && strcmp(text, "vhdx") == 0;
	if (text != NULL && !*vhdx && strcmp(text, "raw") != 0)
		return err_set(
		    err, ERR_UNSUPPORTED, "--format %.40s: there are raw and vhdx", text);
	if (text != NULL || len <= n)
		return 0;
	*vhdx = 1;
	for (size_t i = 0; i < n; i++)
		*vhdx &= tolower((unsigned char)target[len - n + i]) == suffix[i];
	return 0;
}
