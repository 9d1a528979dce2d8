#include "agent/backup/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/backup/cache.h"
#include "agent/backup/incremental.h"
#include "agent/backup/last.h"
#include "agent/backup/sources.h"
#include "agent/capture/capture.h"
#include "agent/capture/snapshot.h"
#include "agent/disk/volumes.h"
#include "agent/host/host_facts.h"
#include "agent/host/stop.h"
#include "agent/map/spill.h"
#include "agent/map/volmap.h"
#include "agent/session/dial.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/base/wait.h"
#include "proto/net/channel.h"
#include "proto/wire/msg_check.h"

#define FREEZE_MS (60u * 1000)
#define COMMIT_TRIES 5u	    /* Those answered by a list that was not full. */
#define COMMIT_PAGES 10000u /* Those answered by a full list: there is more. */
#define ATTEMPTS_MAX 100u
#define VIEWS_LOST_MAX 2u	    /* Then another one would be lost as well. */
#define LIVE_TRIES 3u		    /* Of a volume that is read live and changes. */
#define BAD_MAX (16u * 1024 * 1024) /* Bytes of ids of bad chunks. */
#define MISSING_MAX (16u * 1024 * 1024)

/* One backup, over as many sessions as it takes. */
struct backup {
	const struct state *st;
	const struct backup_options *o;
	struct backup_options own; /* Those, with settings that name what is there. */
	struct settings *chosen;   /* Anew each time that the view is. */
	const struct settings *configured;
	struct capture *capture;
	struct buf layout; /* As Commit has it. */
	uint64_t walked;   /* Bytes of all volumes, holes of disks too. */
	struct progress *progress;
	uint64_t started_us;
	int64_t frozen_at;
	int uplink_failed; /* The last failure was the server's side. */
	int moved;	   /* This session got as far as beginning. */
	unsigned views_lost;
	int may_freeze_again;
	int asked;		       /* A Commit was sent that was never answered. */
	uint8_t id[UPLINK_BACKUP_LEN]; /* By which the server knows it again. */
	struct backup_result *out;
	struct chunk_id roots[SETTINGS_VOLUMES_MAX];
	uint64_t done[SETTINGS_VOLUMES_MAX]; /* Spans that need not be read again. */
	struct uplink_counts before;	     /* Of the sessions that were lost. */
	struct incremental_policy policy;
	struct incremental *inc[SETTINGS_VOLUMES_MAX]; /* NULL: all is read. */
	int distrusted; /* This session ended since a list of changes was wrong. */
	char cache_dir[STATE_PATH_MAX];
	struct spill spill; /* In cache_dir, which is nobody's volume. */
};

static void
say(const struct backup *b, const char *line)
{
	if (b->o->say != NULL)
		b->o->say(b->o->say_arg, line);
}

/* -------------------------------------------------------------- the frozen -- */

/* The machine's layout, if a disk or a device tells of a machine. */
static int
take_layout(struct backup *b, struct err *err)
{
	const struct backup_options *o = b->o;
	struct layout *l = &b->capture->layout;

	if (b->capture->devices || o->host_facts != NULL)
		host_facts_read(o->host_facts, l);
	else if (l->disks_count == 0)
		return 0;
	return host_facts_pack(l, &b->layout, err);
}

static int
freeze(struct backup *b, struct err *err)
{
	const struct settings *s = b->configured;
	/* What a list leaves out nobody may change, and somebody's list cuts no logs. */
	const int listed = b->o->changed_from != NULL;
	const struct snapshot_options wishes = { listed ? SNAPSHOT_COPY : SNAPSHOT_FULL,
		.no_autorecovery = s->fast.on || listed, .stop = b->o->stop,
		.say = b->o->say, .say_arg = b->o->say_arg };
	const struct capture_disks *disks =
	    b->o->disks != NULL ? b->o->disks : &capture_disks_system;

	*b->chosen = *b->configured;
	s = b->chosen;
	if (volumes_choose(b->chosen, err) != 0 ||
	    capture_new(s, &wishes, disks, &b->capture, err) != 0 ||
	    capture_freeze(b->capture, s, FREEZE_MS, err) != 0)
		return -1;
	b->walked = b->out->volumes_bytes = 0;
	b->out->volumes = b->capture->count;
	for (unsigned i = 0; i < b->capture->count; i++) {
		const struct capture_volume *v = &b->capture->volumes[i];

		b->walked += v->size;
		b->out->volumes_bytes += v->size;
		for (unsigned k = 0; k < v->holes_count; k++)
			b->out->volumes_bytes -= v->holes[k].len;
	}
	(void)snprintf(
	    b->out->captured, sizeof(b->out->captured), "%s", b->capture->method);
	b->frozen_at = b->capture->frozen_at;
	return take_layout(b, err);
}

/* ----------------------------------------------------------------- volumes -- */

/* Trees of one volume: of its newest point, of this session, of a session that was lost.
 */
struct paths {
	char old[STATE_PATH_MAX], new[STATE_PATH_MAX], done[STATE_PATH_MAX];
};

static int
cache_paths(const struct backup *b, unsigned i, struct paths *out, struct err *err)
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

/* What is remembered of each volume, if not everything is to be read. */
static int
open_incrementals(struct backup *b, struct err *err)
{
	struct paths p;
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
		if (cache_paths(b, i, &p, err) != 0 ||
		    incremental_new(&b->policy, p.old, b->capture->volumes[i].size,
			&b->inc[i], err) != 0)
			return -1;
	return 0;
}

/* What is under way in one session. */
struct session {
	struct backup *b;
	struct dial dial;
	struct uplink up;
	struct uplink_base bases[SETTINGS_VOLUMES_MAX];
	struct buf bad;
	struct paths paths;
};

/* The pipeline's job for volume `i`; its strings are the session's. */
static int
make_job(struct session *s, unsigned i, uint64_t from, struct pipeline_job *job,
    struct err *err)
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
	if (cache_paths(b, i, &s->paths, err) != 0)
		return -1;
	job->old_cache = b->o->no_cache ? NULL : s->paths.old;
	job->new_cache = s->paths.new;
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

/* One line about several volumes: what each map had to say. */
static void
add_note(char note[256], const char *volume, const char *text)
{
	size_t len = strlen(note);

	if (text[0] != '\0')
		snprintf(
		    note + len, 256 - len, "%s%s: %s", len > 0 ? "; " : "", volume, text);
}

/* If this session is lost, the next one need not read these spans again. */
static void
note_done(struct session *s, unsigned i, uint64_t spans)
{
	struct err ignored = ERR_INIT;

	if (spans <= s->b->done[i])
		return;
	s->b->done[i] =
	    file_rename(s->paths.new, s->paths.done, &ignored) == 0 ? spans : 0;
}

/* What a run of volume `i` was: its notes, and whether its list of changes was good. */
static void
take_incremental(struct session *s, unsigned i, const struct pipeline_job *job,
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
	add_note(b->out->note, b->capture->volumes[i].name, line);
}

/* The hidden full compare: the same tree must come of reading everything. */
static int
check_changes(
    struct session *s, unsigned i, const struct pipeline_job *job, struct err *err)
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

/* One volume; until what of it was read live was one state of it. */
static int
run_settled(struct session *s, unsigned i, uint64_t from, struct pipeline_job *job,
    struct pipeline_result *r, struct err *err)
{
	struct capture_volume *v = &s->b->capture->volumes[i];
	char line[SETTINGS_NAME_MAX + 64];
	int settled;

	for (unsigned tries = 1;; tries++) {
		memset(r, 0, sizeof(*r));
		if (make_job(s, i, from, job, err) != 0 ||
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
		say(s->b, line);
	}
}

static int
run_volumes(struct session *s, struct err *err)
{
	struct backup *b = s->b;
	struct backup_result *out = b->out;
	struct pipeline_result r;
	struct pipeline_job job;
	uint64_t from = 0, spans[SETTINGS_VOLUMES_MAX];
	struct err ignored = ERR_INIT;
	unsigned i, k;
	int rc = 0;

	(void)snprintf(out->note, sizeof(out->note), "%s", b->capture->note);
	out->kept_bytes = out->proven_bytes = 0;
	for (i = 0; i < b->capture->count && rc == 0; i++) {
		rc = run_settled(s, i, from, &job, &r, err);
		b->uplink_failed = r.uplink_failed;
		spans[i] = r.spans;
		add_counts(&out->counts, &r.counts);
		for (k = 0; k < PIPELINE_STAGES; k++)
			out->cpu_us[k] += r.cpu_us[k];
		b->roots[i] = r.root_id;
		add_note(out->note, b->capture->volumes[i].name, r.note);
		take_incremental(s, i, &job, &r);
		if (rc == 0)
			rc = check_changes(s, i, &job, err);
		if (b->distrusted)
			spans[i] = 0;
		from += job.source.size;
		if (rc != 0 && !r.uplink_failed && err->code != ERR_CANCELED)
			err_context(err, "volume %s", b->capture->volumes[i].name);
	}
	while (rc != 0 && i-- > 0)
		if (cache_paths(b, i, &s->paths, &ignored) == 0)
			note_done(s, i, spans[i]);
	return rc;
}

/* ------------------------------------------------------------------ commit -- */

/* What the server lacks of volume `i` is not there any more: was it only kept? */
static void
doubt_kept(struct backup *b, unsigned i, const struct err *why)
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

/* Send what Commit says is missing; -1 also if nothing of it could be found. */
static int
send_missing(
    struct session *s, struct buf *data_ids, struct buf *meta_ids, struct err *err)
{
	size_t sent, total = 0;
	struct pipeline_job job;
	unsigned i;

	for (i = 0; i < s->b->capture->count; i++) {
		if (make_job(s, i, 0, &job, err) != 0 ||
		    pipeline_resend(&job, (struct chunk_id *)data_ids->p,
			data_ids->len / CHUNK_ID_LEN, (struct chunk_id *)meta_ids->p,
			meta_ids->len / CHUNK_ID_LEN, &s->b->roots[i], &sent, err) != 0) {
			doubt_kept(s->b, i, err);
			return err_context(err, "sending again what the server lacks");
		}
		total += sent;
	}
	if (total == 0)
		return err_set(err, ERR_CORRUPT,
		    "the server lacks %zu chunks that this backup does not have",
		    (data_ids->len + meta_ids->len) / CHUNK_ID_LEN);
	return 0;
}

/* What was not read of which volume; how many. */
static unsigned
changes_of(const struct backup *b, struct uplink_changes out[SETTINGS_VOLUMES_MAX])
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

static int
commit(struct session *s, struct err *err)
{
	struct backup *b = s->b;
	struct uplink_changes changes[SETTINGS_VOLUMES_MAX];
	const char *names[SETTINGS_VOLUMES_MAX];
	struct uplink_commit c = { .count = b->capture->count,
		.names = names,
		.roots = b->roots,
		.frozen_at_us = b->frozen_at,
		.note = b->out->note,
		.layout = b->layout.p,
		.layout_len = s->dial.welcome.layout ? b->layout.len : 0,
		.capture = s->dial.welcome.capture ? b->capture->method : "",
		.changes = changes };
	struct buf data = BUF_INIT(MISSING_MAX), meta = BUF_INIT(MISSING_MAX);
	enum uplink_commit_result result = UPLINK_MISSING;
	unsigned i, tries = 0, pages = 0;
	int rc = 0;

	memcpy(c.backup, b->id, sizeof(c.backup));
	/* Labels are in it, and it was cut somewhere: the wire takes lines of UTF-8. */
	msg_check_clean(b->out->note);
	if (s->dial.welcome.changes)
		c.changes_count = changes_of(b, changes);
	for (i = 0; i < c.count; i++)
		names[i] = b->capture->volumes[i].name;
	while (rc == 0 && result == UPLINK_MISSING && tries < COMMIT_TRIES &&
	       pages < COMMIT_PAGES) {
		buf_clear(&data);
		buf_clear(&meta);
		b->out->counts.duration_us = wait_now_us() - b->started_us;
		c.counts = b->out->counts;
		b->uplink_failed = b->asked = 1;
		rc = s->up.ops->commit(
		    s->up.arg, &c, &result, &b->out->point, &data, &meta, err);
		if (rc == 0)
			b->asked = 0;
		if (data.len < UPLINK_IDS_MAX * CHUNK_ID_LEN &&
		    meta.len < UPLINK_IDS_MAX * CHUNK_ID_LEN)
			tries++;
		else
			pages++;
		if (rc == 0 && result == UPLINK_MISSING)
			rc = send_missing(s, &data, &meta, err);
	}
	if (rc == 0 && result == UPLINK_MISSING)
		rc = err_set(err, ERR_CORRUPT,
		    "the server still lacks chunks after %u tries", tries + pages);
	buf_free(&data);
	buf_free(&meta);
	return rc;
}

/* -------------------------------------------------------------- afterwards -- */

/* What is only in the way is left if it cannot go. */
static void
drop(const char *path)
{
	struct err ignored = ERR_INIT;

	(void)file_remove(path, &ignored);
}

/* The point is made: what fails from here on costs time later, not the point. */
static void
remember(struct backup *b)
{
	char line[ERR_TEXT_MAX + 64];
	struct err err = ERR_INIT;
	struct paths p;
	unsigned i;

	for (i = 0; i < b->capture->count; i++) {
		if (cache_paths(b, i, &p, &err) == 0) {
			(void)file_rename(p.new, p.old, &err);
			drop(p.done);
			if (b->inc[i] != NULL)
				incremental_kept(
				    b->inc[i], b->out->point.sequence, &b->roots[i]);
		}
		err_clear(&err);
	}
	last_made(b->st, b->o->settings, b->out);
	if (state_set_head(b->st, b->out->point.record, &err) != 0 ||
	    sources_note(b->st, b->o->settings, &err) != 0) {
		snprintf(line, sizeof(line), "the point is made, but not noted here: %s",
		    err.text);
		say(b, line);
	}
}

/* The point is made, and only now may anybody cut logs that led up to it. */
static void
tell_applications(struct backup *b)
{
	char line[ERR_TEXT_MAX + 64];
	struct err err = ERR_INIT;

	if (capture_finish(b->capture, 1, &err) == 0)
		return;
	snprintf(line, sizeof(line),
	    "the point is made, but the applications were not told: %s", err.text);
	say(b, line);
}

static void
forget(struct backup *b)
{
	struct err ignored = ERR_INIT;
	struct paths p;
	unsigned i;

	for (i = 0; i < b->capture->count; i++) {
		if (cache_paths(b, i, &p, &ignored) == 0) {
			drop(p.new);
			drop(p.done);
			if (b->inc[i] != NULL)
				incremental_drop(b->inc[i]);
		}
		err_clear(&ignored);
	}
}

/* Lists of changes that were found wrong: the server must know before all else. */
static int
mark_suspects(struct session *s, struct err *err)
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

/* ---------------------------------------------------------------- sessions -- */

static int
begin(struct session *s, struct err *err)
{
	const struct capture *c = s->b->capture;
	struct uplink_volume volumes[SETTINGS_VOLUMES_MAX];
	int resumed;
	unsigned i;

	if (c->layout.disks_count > 0 && !s->dial.welcome.layout)
		return err_set(err, ERR_UNSUPPORTED,
		    "the server is older than this program: it keeps no disks "
		    "('layout')");
	for (i = 0; i < c->count; i++) {
		volumes[i].name = c->volumes[i].name;
		volumes[i].size = c->volumes[i].size;
		volumes[i].sector_size = c->volumes[i].sector_size;
	}
	return s->up.ops->begin(
	    s->up.arg, volumes, c->count, s->bases, &s->bad, &resumed, err);
}

static void
heed_welcome(struct session *s)
{
	const struct dial_welcome *w = &s->dial.welcome;
	char line[ERR_TEXT_MAX + 64];
	struct err err = ERR_INIT;

	if (w->rolled_back)
		say(s->b, DIAL_ROLLED_BACK);
	if (w->renew && dial_renew(&s->dial, &err) != 0) {
		snprintf(
		    line, sizeof(line), "the certificate was not renewed: %s", err.text);
		say(s->b, line);
	}
}

/* The session is over: what it cost on the wire. */
static void
add_wire(struct backup *b, struct channel *ch)
{
	uint64_t sent, received;

	channel_bytes(ch, &sent, &received);
	b->out->wire_sent += sent;
	b->out->wire_received += received;
}

static void
on_stop(void *arg)
{
	channel_cancel(arg);
}

/* What was read and sent before counts too; what was new then is not known now. */
static void
add_before(struct backup *b, int lost)
{
	struct uplink_counts *now = &b->out->counts, *before = &b->before;

	now->read_bytes += before->read_bytes;
	now->sent_bytes += before->sent_bytes;
	now->new_bytes += before->new_bytes;
	now->new_chunks += before->new_chunks;
	now->known_bytes -=
	    now->known_bytes < before->new_bytes ? now->known_bytes : before->new_bytes;
	if (lost)
		*before = *now;
}

/* A volume whose notes of a lost session are of no use: non-zero if there was one. */
static int
drop_done(struct backup *b)
{
	unsigned i;
	int any = 0;

	for (i = 0; i < b->capture->count; i++) {
		any |= b->done[i] > 0;
		b->done[i] = 0;
	}
	return any;
}

/* One session from connecting to commit. */
static int
attempt(struct backup *b, struct err *err)
{
	struct session *s = calloc(1, sizeof(*s));
	int rc = -1;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	s->b = b;
	s->bad.max = BAD_MAX;
	b->uplink_failed = 1;
	if (dial_open(b->st, b->o->machine, b->o->stop, &s->dial, err) != 0) {
		free(s);
		return -1;
	}
	heed_welcome(s);
	s->up = uplink_channel(s->dial.ch, s->dial.welcome.window);
	stop_attach(b->o->stop, on_stop, s->dial.ch);
	if (begin(s, err) != 0)
		goto out;
	b->moved = 1;
	if (mark_suspects(s, err) != 0)
		goto out;
	if (!b->asked) {
		stop_attach(b->o->stop, NULL, NULL);
		memset(&b->out->counts, 0, sizeof(b->out->counts));
		rc = run_volumes(s, err);
		add_before(b, rc != 0);
		if (rc != 0)
			goto out;
		rc = -1;
		b->uplink_failed = 0;
		if (capture_confirm(b->capture, err) != 0)
			goto out;
		stop_attach(b->o->stop, on_stop, s->dial.ch);
	}
	/* Else all was read and sent, and perhaps even made a point: ask again. */
	rc = commit(s, err);
out:
	stop_attach(b->o->stop, NULL, NULL);
	add_wire(b, s->dial.ch);
	dial_close(&s->dial);
	buf_free(&s->bad);
	free(s);
	return rc;
}

/* Stopped by someone: say what is known of the point. */
static int
interrupted(const struct backup *b, struct err *err)
{
	err_clear(err);
	return err_set(err, ERR_CANCELED,
	    b->asked ? "interrupted; the server may have made the point, see points"
		     : "interrupted; no point was made");
}

/* Until it is done, hopeless, or the server has been away for too long. */
static int
attempts(struct backup *b, struct err *err)
{
	uint64_t since = 0, now, budget = (uint64_t)b->o->settings->retry_s * 1000000;
	char line[ERR_TEXT_MAX + 128];
	unsigned failures = 0;
	uint32_t wait;

	for (b->out->attempts = 1;; b->out->attempts++) {
		err_clear(err);
		b->moved = b->distrusted = 0;
		if (attempt(b, err) == 0)
			return 0;
		if (stop_asked(b->o->stop))
			return interrupted(b, err);
		if (b->distrusted) {
			say(b, err->text);
			continue;
		}
		if (!b->uplink_failed && err->code == ERR_CORRUPT && drop_done(b))
			continue;
		now = wait_now_us();
		if (since == 0 || b->moved) {
			since = now;
			failures = 0;
		}
		wait = dial_backoff_ms(failures++);
		if (!b->uplink_failed || !dial_may_retry(err) ||
		    now - since + (uint64_t)wait * 1000 > budget ||
		    b->out->attempts >= ATTEMPTS_MAX)
			return -1;
		snprintf(line, sizeof(line), "%s; trying again in %u.%u s", err->text,
		    wait / 1000, wait % 1000 / 100);
		say(b, line);
		if (stop_wait_ms(b->o->stop, wait))
			return interrupted(b, err);
	}
}

/* One frozen view, and a point of it, if it can be had. */
static int
one_view(struct backup *b, struct err *err)
{
	int rc = -1;

	randombytes_buf(b->id, sizeof(b->id));
	if (freeze(b, err) != 0 || open_incrementals(b, err) != 0 ||
	    progress_start(b->o->mode, "backup", b->walked, &b->progress, err) != 0)
		goto out;
	rc = attempts(b, err);
	progress_stop(b->progress);
	if (rc == 0) {
		remember(b);
		tell_applications(b);
	} else {
		forget(b);
	}
out:
	/* Offline sources change because somebody writes them: a person's matter. */
	b->may_freeze_again =
	    b->capture != NULL && strcmp(b->capture->choice.provider, "offline") != 0;
	capture_free(b->capture);
	b->capture = NULL;
	for (unsigned i = 0; i < SETTINGS_VOLUMES_MAX; i++) {
		incremental_free(b->inc[i]);
		b->inc[i] = NULL;
	}
	return rc;
}

/* A view that was lost is frozen anew, and nothing of it is believed. */
static int
begins_again(struct backup *b, const struct err *err)
{
	char line[ERR_TEXT_MAX + 64];

	if (err->code != ERR_SNAPSHOT_LOST || !b->may_freeze_again ||
	    b->views_lost++ == VIEWS_LOST_MAX || stop_asked(b->o->stop))
		return 0;
	snprintf(line, sizeof(line), "%s; beginning again", err->text);
	say(b, line);
	b->asked = 0;
	memset(b->done, 0, sizeof(b->done));
	memset(&b->before, 0, sizeof(b->before));
	memset(&b->out->counts, 0, sizeof(b->out->counts));
	buf_clear(&b->layout);
	return 1;
}

int
backup_run(const struct state *st, const struct backup_options *options,
    struct backup_result *out, struct err *err)
{
	struct backup *b = calloc(1, sizeof(*b));
	int rc = -1;

	if (b == NULL || (b->chosen = malloc(sizeof(*b->chosen))) == NULL) {
		free(b);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	memset(out, 0, sizeof(*out));
	b->st = st;
	b->configured = options->settings;
	b->own = *options;
	b->own.settings = b->chosen;
	b->o = &b->own;
	b->out = out;
	b->layout.max = LAYOUT_LEN_MAX;
	b->started_us = wait_now_us();
	if (state_path(st, "cache", b->cache_dir, err) != 0)
		goto out;
	if (file_make_dir(b->cache_dir, err) != 0)
		goto out;
	spill_dir(&b->spill, b->cache_dir);
	do {
		err_clear(err);
		rc = one_view(b, err);
	} while (rc != 0 && begins_again(b, err));
out:
	buf_free(&b->layout);
	free(b->chosen);
	free(b);
	return rc;
}
