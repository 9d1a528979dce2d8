#include "agent/backup/backup_parts.h"

#include <stdio.h>

#include "proto/base/err.h"

int
backup_open_changes(struct backup *b, struct err *err)
{
	struct backup_paths p;
	unsigned i;

	b->policy.changed_from = b->o->changed_from;
	b->policy.percent = b->o->settings->fast.percent;
	b->policy.fast = b->o->settings->fast.on;
	b->policy.rules =
	    (struct ntfs_compare_rules){ .large = b->o->settings->fast.large,
		    .recent_s = b->o->settings->fast.recent_s,
		    .types = b->o->settings->fast.types };
	if ((b->policy.changed_from == NULL && !b->policy.fast) || b->o->no_cache)
		return 0;
	if (b->policy.changed_from != NULL && b->capture->count != 1)
		return err_set(err, ERR_UNSUPPORTED,
		    "--changed-from tells of one volume, and this backup has %u",
		    b->capture->count);
	for (i = 0; i < b->capture->count; i++)
		if (backup_paths(b, i, &p, err) != 0 ||
		    incremental_new(&b->policy, p.old, b->capture->volumes[i].size,
			&b->inc[i], err) != 0)
			return -1;
	return 0;
}

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
	}
	incremental_facts(b->inc[i], &f);
	b->out->kept_bytes += f.used ? f.kept_bytes : 0;
	b->out->proven_bytes += f.used ? f.proven_bytes : 0;
	if (f.suspect)
		snprintf(line, sizeof(line), "all is read: %s", f.how);
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
	all.source.compare = NULL;
	all.new_cache = all.new_shape = all.done_cache = NULL;
	all.done_spans = 0;
	if (pipeline_run(&all, &r, err) != 0)
		return -1;
	if (chunk_id_cmp(&r.root_id, &s->b->roots[i]) != 0)
		return err_set(err, ERR_CORRUPT,
		    "reading everything gives another tree: what is said to have changed "
		    "is not all");
	return 0;
}

void
backup_doubt_kept(struct backup *b, unsigned i, const struct err *why)
{
	struct incremental_facts f;

	if (why->code != ERR_SNAPSHOT_LOST || b->inc[i] == NULL)
		return;
	incremental_facts(b->inc[i], &f);
	if (!f.used)
		return;
	incremental_distrust(
	    b->inc[i], "what the server lost of it had changed, though nothing said so");
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
				f.proven_bytes, f.slices };
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
