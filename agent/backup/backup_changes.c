#include "agent/backup/backup_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/backup/generations.h"
#include "agent/map/changes.h"
#include "proto/base/err.h"
#include "proto/wire/msg_check.h"

static int
changed_of(void *arg, struct changes *out, struct err *err)
{
	return capture_changed(arg, out, err);
}

/* What the driver tells of volume `i`; nothing, if it is not asked. */
static void
describe_tracking(struct backup *b, unsigned i, struct incremental_tracked *out)
{
	struct capture_volume *v = &b->capture->volumes[i];

	memset(out, 0, sizeof(*out));
	out->view.why = "";
	if (b->o->settings->hotcopy.tracking)
		capture_tracked(v, &out->view);
	/* Where nobody tracks, no map's tables need be kept for a list. */
	if (out->view.base.number != 0 || out->view.why[0] != '\0')
		out->changed = changed_of;
	out->arg = v;
	/* Its own store and what writers repair lie in the view. */
	out->foreign = strcmp(b->capture->choice.provider, "vss") == 0;
}

/* Who told wrongly what changed may have told wrongly what was written: it makes no holes. */
static void
drop_written(struct backup *b, unsigned i)
{
	changes_free(b->written[i]);
	b->written[i] = NULL;
}

/* What was written since the file systems were flushed, where that is known. */
static int
take_written(struct backup *b, struct err *err)
{
	for (unsigned i = 0; i < b->capture->count; i++) {
		struct capture_volume *v = &b->capture->volumes[i];
		int known;

		if (v->view == NULL)
			continue;
		if (changes_new(v->size, &b->written[i], err) != 0 ||
		    (known = capture_written(v, b->written[i], err)) == -1)
			return -1;
		if (known == 1)
			continue;
		drop_written(b, i);
	}
	return 0;
}

/* The list in a file, if it can be one of the view: it tells of one that was frozen once. */
static const char *
listed(const struct backup *b)
{
	const char *why = NULL;

	if (b->o->changed_from == NULL)
		return NULL;
	if (b->views_lost > 0)
		why = "the list of changes was of the view that is lost";
	else if (b->capture->volumes[0].live != NULL)
		why = "a list of changes tells of what is frozen, and this is read live";
	if (why == NULL)
		return b->o->changed_from;
	backup_say(b, why);
	return NULL;
}

int
backup_open_changes(struct backup *b, struct err *err)
{
	struct incremental_tracked tracked;
	struct incremental_facts f;
	struct backup_paths p;
	unsigned i;

	b->policy.changed_from = listed(b);
	b->policy.percent = b->o->settings->fast.percent;
	b->policy.fast = b->o->settings->fast.on;
	b->policy.rules =
	    (struct ntfs_compare_rules){ .large = b->o->settings->fast.large,
		    .recent_s = b->o->settings->fast.recent_s,
		    .types = b->o->settings->fast.types };
	b->policy.tracked_percent = b->o->settings->hotcopy.percent;
	if (take_written(b, err) != 0)
		return -1;
	if (b->o->no_cache)
		return 0;
	if (b->o->changed_from != NULL && b->capture->count != 1)
		return err_set(err, ERR_UNSUPPORTED,
		    "--changed-from tells of one volume, and this backup has %u",
		    b->capture->count);
	for (i = 0; i < b->capture->count; i++) {
		describe_tracking(b, i, &tracked);
		if (backup_paths(b, i, &p, err) != 0)
			return -1;
		if (b->policy.changed_from == NULL && !b->policy.fast &&
		    tracked.view.why[0] == '\0' && tracked.view.base.number == 0 &&
		    !incremental_noted(p.old))
			continue;
		if (incremental_new(&b->policy, &tracked, p.old,
			b->capture->volumes[i].size, &b->inc[i], err) != 0)
			return -1;
		incremental_facts(b->inc[i], &f);
		if (f.suspect)
			drop_written(b, i);
	}
	return 0;
}

void
backup_close_changes(struct backup *b)
{
	for (unsigned i = 0; i < SETTINGS_VOLUMES_MAX; i++) {
		incremental_free(b->inc[i]);
		b->inc[i] = NULL;
		drop_written(b, i);
	}
	free((void *)(uintptr_t)b->track.held);
	b->track.held = NULL;
}

/* ----------------------------------------------------------------- generations -- */

/* '=' begins no volume's file. */
static int
held_path(const struct backup *b, char out[STATE_PATH_MAX], struct err *err)
{
	return state_path(b->st, "cache/=held", out, err);
}

int
backup_track(struct backup *b, struct err *err)
{
	struct tracking_generation *held;
	char path[STATE_PATH_MAX];

	memset(&b->track, 0, sizeof(b->track));
	b->track.on = b->configured->hotcopy.tracking;
	b->track.after_crash = b->configured->hotcopy.after_crash;
	if (!b->track.on)
		return 0;
	if (held_path(b, path, err) != 0)
		return -1;
	if ((held = calloc(GENERATIONS_MAX, sizeof(*held))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	b->track.held_count = generations_load(path, held);
	b->track.held = held;
	return 0;
}

int
backup_note_generations(struct backup *b, struct err *err)
{
	struct tracking_generation made[SETTINGS_VOLUMES_MAX];
	char path[STATE_PATH_MAX];
	unsigned n = 0;

	for (unsigned i = 0; i < b->capture->count; i++) {
		capture_began(&b->capture->volumes[i], &made[n]);
		n += made[n].number != 0;
	}
	if (n == 0)
		return 0;
	if (held_path(b, path, err) != 0)
		return -1;
	return generations_add(path, made, n, err);
}

const char *
backup_captured(struct backup *b)
{
	struct incremental_facts f;
	int tracked = 0;

	for (unsigned i = 0; i < b->capture->count; i++)
		if (b->inc[i] != NULL) {
			incremental_facts(b->inc[i], &f);
			tracked |= f.used && f.tracked;
		}
	(void)snprintf(b->out->captured, sizeof(b->out->captured), "%.480s%s",
	    b->capture->method, tracked ? "; changes by tracking" : "");
	msg_check_clean(b->out->captured);
	return b->out->captured;
}

/* ------------------------------------------------------------------------ runs -- */

void
backup_take_changes(struct backup_session *s, unsigned i, const struct pipeline_job *job,
    const struct pipeline_result *r)
{
	struct backup *b = s->b;
	struct incremental_facts f;
	char line[256];

	if (b->inc[i] == NULL)
		return;
	if (incremental_ran(b->inc[i], job, r)) {
		b->distrusted = 1;
		b->done[i] = 0;
		drop_written(b, i);
		capture_distrust(b->capture);
	}
	incremental_facts(b->inc[i], &f);
	b->out->kept_bytes += f.used ? f.kept_bytes : 0;
	b->out->proven_bytes += f.used ? f.proven_bytes : 0;
	if (f.suspect)
		snprintf(line, sizeof(line), "all is read: %s", f.how);
	else if (f.used && !f.tracked && f.why_not_tracked[0] != '\0')
		snprintf(line, sizeof(line), "not by tracking: %s", f.why_not_tracked);
	else
		snprintf(line, sizeof(line), "%s%s",
		    f.why[0] != '\0' ? "all is read: " : "", f.why);
	backup_add_note(b->out->note, b->capture->volumes[i].name, line);
}

int
backup_check_changes(
    struct backup_session *s, unsigned i, const struct pipeline_job *job, struct err *err)
{
	struct pipeline_job all = *job;
	struct incremental_facts f;
	struct pipeline_result r;

	if (!s->b->o->check_changes || s->b->inc[i] == NULL)
		return 0;
	incremental_facts(s->b->inc[i], &f);
	if (!f.used)
		return 0;
	all.changes = NULL;
	all.metacache = NULL;
	all.source.compare = NULL;
	all.new_cache = all.new_shape = all.done_cache = NULL;
	all.done_spans = 0;
	if (pipeline_run(&all, &r, err) != 0) {
		s->b->uplink_failed = r.uplink_failed;
		return -1;
	}
	if (chunk_id_cmp(&r.root_id, &s->b->roots[i]) != 0)
		return err_set(err, ERR_CORRUPT,
		    "reading everything gives another tree: what is said to have changed "
		    "is not all");
	return 0;
}

void
backup_doubt_kept(struct backup *b, unsigned i)
{
	struct incremental_facts f;

	if (b->inc[i] == NULL)
		return;
	incremental_facts(b->inc[i], &f);
	if (!f.used)
		return;
	incremental_distrust(
	    b->inc[i], "what the server lost of it had changed, though nothing said so");
	drop_written(b, i);
	capture_distrust(b->capture);
	b->distrusted = 1;
	b->done[i] = 0;
}

unsigned
backup_kept_of(const struct backup *b, struct uplink_changes out[SETTINGS_VOLUMES_MAX])
{
	struct incremental_facts f;
	unsigned n = 0;

	for (unsigned i = 0; i < b->capture->count; i++) {
		if (b->inc[i] == NULL)
			continue;
		incremental_facts(b->inc[i], &f);
		if (f.used)
			out[n++] = (struct uplink_changes){ i, f.kept_bytes,
				f.proven_bytes, f.slices, f.proven };
	}
	return n;
}

int
backup_mark_suspects(struct backup_session *s, struct err *err)
{
	struct backup *b = s->b;
	struct incremental_facts f;

	for (unsigned i = 0; i < b->capture->count; i++) {
		if (b->inc[i] == NULL || !s->dial.welcome.changes)
			continue;
		incremental_facts(b->inc[i], &f);
		if (!f.suspect || f.told)
			continue;
		if (s->up.ops->suspect(
			s->up.arg, b->capture->volumes[i].name, f.since, f.how, err) != 0)
			return -1;
		incremental_told(b->inc[i]);
	}
	return 0;
}
