#include "agent/backup/backup_parts.h"

#include <stdio.h>
#include <string.h>

#include "agent/backup/cache.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

#define LIVE_TRIES 3u /* Of a volume that is read live and changes. */

int
backup_paths(
    const struct backup *b, unsigned i, struct backup_paths *out, struct err *err)
{
	char name[CACHE_NAME_MAX + 16], volume[CACHE_NAME_MAX];

	cache_name(b->capture->volumes[i].name, volume);
	snprintf(name, sizeof(name), "cache/%s", volume);
	if (state_path(b->st, name, out->old, err) != 0)
		return -1;
	/* '=' is in no volume's file: these can be no other volume's. */
	snprintf(name, sizeof(name), "cache/%s=new", volume);
	if (state_path(b->st, name, out->new, err) != 0)
		return -1;
	snprintf(name, sizeof(name), "cache/%s=done", volume);
	return state_path(b->st, name, out->done, err);
}

int
backup_make_job(struct backup_session *s, unsigned i, uint64_t from,
    struct pipeline_job *job, struct err *err)
{
	const struct backup *b = s->b;
	struct capture_volume *v = &b->capture->volumes[i];
	const struct snapshot_info *info = &v->info;

	memset(job, 0, sizeof(*job));
	job->source = (struct volmap_source){ .read = capture_read,
		.arg = v,
		.size = v->size,
		.sector_size = v->sector_size,
		.flushed = info->flushed,
		.is_disk = v->is_disk,
		.holes = v->holes,
		.holes_count = v->holes_count };
	job->source.written = b->written[i];
	job->source.unkept_count = capture_unkept(v, &job->source.unkept);
	job->root.size = v->size;
	job->root.sector_size = v->sector_size;
	job->root.grade = (enum tree_grade)info->grade;
	job->root.generation = info->generation;
	memcpy(job->root.nonce, info->nonce, sizeof(job->root.nonce));
	(void)snprintf(job->root.provider, sizeof(job->root.provider), "%s",
	    b->capture->choice.provider);
	job->keys = &s->dial.keys;
	job->up = s->up;
	job->base = s->bases[i];
	job->bad = s->bad.p;
	job->bad_len = s->bad.len;
	job->map.memory = b->o->map_memory;
	job->map.spill = &b->spill;
	job->level = b->o->settings->level;
	job->progress = b->progress;
	job->progress_from = from;
	job->stop = b->o->stop;
	if (backup_paths(b, i, &s->paths, err) != 0)
		return -1;
	job->old_cache = b->o->no_cache || b->ask_all ? NULL : s->paths.old;
	job->new_cache = b->blind ? NULL : s->paths.new;
	job->done_cache = b->done[i] > 0 ? s->paths.done : NULL;
	job->done_spans = b->done[i];
	return 0;
}

static void
add_counts(struct uplink_counts *sum, const struct uplink_counts *c)
{
	sum->read_bytes += c->read_bytes;
	sum->sent_bytes += c->sent_bytes;
	sum->new_bytes += c->new_bytes;
	sum->known_bytes += c->known_bytes;
	sum->zero_bytes += c->zero_bytes;
	sum->hole_bytes += c->hole_bytes;
	sum->excluded_bytes += c->excluded_bytes;
	for (unsigned i = 0; i < EXTENT_REASONS; i++)
		sum->excluded_by[i] += c->excluded_by[i];
	sum->chunks += c->chunks;
	sum->new_chunks += c->new_chunks;
}

void
backup_add_note(char note[256], const char *volume, const char *text)
{
	size_t len = strlen(note), tail = strlen(text) + 2;
	char said[256 + 2];

	if (text[0] == '\0')
		return;
	/* The last one said the same. */
	(void)snprintf(said, sizeof(said), ": %s", text);
	if (len > tail && strcmp(note + len - tail, said) == 0)
		(void)snprintf(
		    note + len - tail, 256 - (len - tail), ", %s%s", volume, said);
	else
		(void)snprintf(
		    note + len, 256 - len, "%s%s%s", len > 0 ? "; " : "", volume, said);
}

/* What of the volume could not be remembered, as this run knows it. */
static void
take_lost(struct backup *b, unsigned i, const struct pipeline_result *r)
{
	char line[256];

	b->lost_tree[i] = b->blind || r->tree_lost;
	b->lost[i] = b->lost_tree[i] || r->shape_lost;
	if (!b->lost[i] || r->lost[0] == '\0')
		return;
	err_clear(&b->lost_why);
	err_set(&b->lost_why, ERR_IO, "%s", r->lost);
	(void)snprintf(
	    line, sizeof(line), "what is kept of it here was given up: %s", r->lost);
	backup_add_note(b->out->note, b->capture->volumes[i].name, line);
}

/* If this session is lost, the next one need not read these spans again. */
static void
note_done(struct backup_session *s, unsigned i, uint64_t spans)
{
	struct err ignored = ERR_INIT;

	if (spans <= s->b->done[i])
		return;
	s->b->done[i] =
	    file_rename(s->paths.new, s->paths.done, &ignored) == 0 ? spans : 0;
}

/* One volume; until what of it was read live was one state of it. */
static int
run_settled(struct backup_session *s, unsigned i, uint64_t from, struct pipeline_job *job,
    struct pipeline_result *r, struct err *err)
{
	struct capture_volume *v = &s->b->capture->volumes[i];
	char line[SETTINGS_NAME_MAX + 64];
	int settled;

	for (unsigned tries = 1;; tries++) {
		memset(r, 0, sizeof(*r));
		if (backup_make_job(s, i, from, job, err) != 0 ||
		    (s->b->inc[i] != NULL &&
			incremental_job(s->b->inc[i], s->b->frozen_at, job, err) != 0))
			return -1;
		s->b->done[i] = job->done_spans;
		if (pipeline_run(job, r, err) != 0)
			return -1;
		if ((settled = capture_settled(v, err)) != 0)
			return settled < 0 ? -1 : 0;
		s->b->done[i] = 0;
		r->spans = 0;
		if (tries == LIVE_TRIES)
			return err_set(err, ERR_BUSY,
			    "it changes while it is read, and nothing here freezes it: "
			    "stop "
			    "what writes there, or leave it out");
		snprintf(line, sizeof(line),
		    "%s changed while it was read; reading it again", v->name);
		backup_say(s->b, line);
	}
}

int
backup_run_volumes(struct backup_session *s, struct err *err)
{
	struct backup *b = s->b;
	struct backup_result *out = b->out;
	struct pipeline_result r;
	struct pipeline_job job;
	uint64_t from = 0, spans[SETTINGS_VOLUMES_MAX];
	struct err ignored = ERR_INIT;
	unsigned i, k;
	enum tree_grade grade = TREE_EXCLUSIVE;
	int rc = 0;

	(void)snprintf(out->note, sizeof(out->note), "%s", b->capture->note);
	out->kept_bytes = out->proven_bytes = out->map_bytes = 0;
	for (i = 0; i < b->capture->count && rc == 0; i++) {
		rc = run_settled(s, i, from, &job, &r, err);
		b->uplink_failed = r.uplink_failed;
		spans[i] = r.spans;
		add_counts(&out->counts, &r.counts);
		out->map_bytes += r.map_bytes;
		for (k = 0; k < PIPELINE_STAGES; k++)
			out->cpu_us[k] += r.cpu_us[k];
		b->roots[i] = r.root_id;
		if (r.grade > grade)
			grade = r.grade;
		backup_add_note(out->note, b->capture->volumes[i].name, r.note);
		take_lost(b, i, &r);
		backup_take_changes(s, i, &job, &r);
		if (rc == 0)
			rc = backup_check_changes(s, i, &job, err);
		if (b->distrusted)
			spans[i] = 0;
		from += job.source.size;
		if (rc != 0 && !r.uplink_failed && err->code != ERR_CANCELED)
			err_context(err, "volume %s", b->capture->volumes[i].name);
	}
	(void)snprintf(out->grade, sizeof(out->grade), "%s",
	    snapshot_grade_name((enum snapshot_grade)grade));
	while (rc != 0 && i-- > 0)
		if (backup_paths(b, i, &s->paths, &ignored) == 0)
			note_done(s, i, spans[i]);
	return rc;
}
