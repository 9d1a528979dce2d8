#include "agent/backup/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/backup/backup_parts.h"
#include "agent/capture/snapshot.h"
#include "agent/disk/volumes.h"
#include "agent/host/host_facts.h"
#include "agent/host/progress.h"
#include "agent/host/stop.h"
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
#define BAD_MAX (16u * 1024 * 1024) /* Bytes of ids of bad chunks. */
#define MISSING_MAX (16u * 1024 * 1024)

void
backup_say(const struct backup *b, const char *line)
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
		.no_autorecovery = s->fast.on || listed, .hotcopy = &s->hotcopy,
		.tracking = &b->track, .keep_all = b->o->check_changes,
		.spill = &b->spill, .stop = b->o->stop, .say = b->o->say,
		.say_arg = b->o->say_arg };
	const struct capture_disks *disks =
	    b->o->disks != NULL ? b->o->disks : &capture_disks_system;

	*b->chosen = *b->configured;
	s = b->chosen;
	if (volumes_choose(b->chosen, err) != 0 || backup_track(b, err) != 0 ||
	    capture_begin(s, &wishes, disks, FREEZE_MS, &b->capture, err) != 0)
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

/* ------------------------------------------------------------------ commit -- */

/* Send what Commit says is missing; -1 also if nothing of it could be found. */
static int
send_missing(
    struct backup_session *s, struct buf *data_ids, struct buf *meta_ids, struct err *err)
{
	size_t sent, total = 0;
	struct pipeline_job job;
	int differs = 0;
	unsigned i;

	for (i = 0; i < s->b->capture->count; i++) {
		if (backup_make_job(s, i, 0, &job, err) != 0 ||
		    pipeline_resend(&job, (struct chunk_id *)data_ids->p,
			data_ids->len / CHUNK_ID_LEN, (struct chunk_id *)meta_ids->p,
			meta_ids->len / CHUNK_ID_LEN, &s->b->roots[i], &sent, &differs,
			err) != 0) {
			if (differs)
				backup_doubt_kept(s->b, i);
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

static int
has_all_trees(const struct backup *b)
{
	for (unsigned i = 0; i < b->capture->count; i++)
		if (b->lost_tree[i])
			return 0;
	return 1;
}

/* The trees tell where the missing is.  Without one all is read, and asked for, once more. */
static int
ask_all(struct backup *b, struct err *err)
{
	b->again = !b->ask_all;
	b->ask_all = 1;
	memset(b->done, 0, sizeof(b->done));
	return err_set(err, ERR_CORRUPT,
	    "the server lacks chunks, and the tree that tells where they are could not "
	    "be kept here");
}

static int
commit(struct backup_session *s, struct err *err)
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
		.capture = s->dial.welcome.capture ? backup_captured(b) : "",
		.changes = changes };
	struct buf data = BUF_INIT(MISSING_MAX), meta = BUF_INIT(MISSING_MAX);
	enum uplink_commit_result result = UPLINK_MISSING;
	unsigned i, tries = 0, pages = 0;
	int rc = 0;

	memcpy(c.backup, b->id, sizeof(c.backup));
	/* Labels are in it, and it was cut somewhere: the wire takes lines of UTF-8. */
	msg_check_clean(b->out->note);
	if (s->dial.welcome.changes)
		c.changes_count = backup_kept_of(b, changes);
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
			rc = has_all_trees(b) ? send_missing(s, &data, &meta, err)
					      : ask_all(b, err);
	}
	if (rc == 0 && result == UPLINK_MISSING)
		rc = err_set(err, ERR_CORRUPT,
		    "the server still lacks chunks after %u tries", tries + pages);
	buf_free(&data);
	buf_free(&meta);
	return rc;
}

/* -------------------------------------------------------------- afterwards -- */

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
	backup_say(b, line);
}

/* ---------------------------------------------------------------- sessions -- */

static int
begin(struct backup_session *s, struct err *err)
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
heed_welcome(struct backup_session *s)
{
	const struct dial_welcome *w = &s->dial.welcome;
	char line[ERR_TEXT_MAX + 64];
	struct err err = ERR_INIT;

	if (w->rolled_back)
		backup_say(s->b, DIAL_ROLLED_BACK);
	if (w->renew && dial_renew(&s->dial, &err) != 0) {
		snprintf(
		    line, sizeof(line), "the certificate was not renewed: %s", err.text);
		backup_say(s->b, line);
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

/* Does what is read now rest on notes of a lost session? */
static int
rests_on_notes(const struct backup *b)
{
	for (unsigned i = 0; i < b->capture->count; i++)
		if (b->done[i] > 0)
			return 1;
	return 0;
}

/* One session from connecting to commit. */
static int
attempt(struct backup *b, struct err *err)
{
	struct backup_session *s = calloc(1, sizeof(*s));
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
	if (backup_mark_suspects(s, err) != 0)
		goto out;
	if (!b->asked) {
		stop_attach(b->o->stop, NULL, NULL);
		memset(&b->out->counts, 0, sizeof(b->out->counts));
		rc = backup_run_volumes(s, err);
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
	int rested;
	uint32_t wait;

	for (b->out->attempts = 1;; b->out->attempts++) {
		err_clear(err);
		b->moved = b->distrusted = b->again = 0;
		rested = rests_on_notes(b);
		if (attempt(b, err) == 0)
			return 0;
		if (stop_asked(b->o->stop))
			return interrupted(b, err);
		if (b->distrusted) {
			(void)snprintf(
			    line, sizeof(line), BACKUP_DISTRUSTED "%s", err->text);
			backup_say(b, line);
			continue;
		}
		if (b->again) {
			(void)snprintf(
			    line, sizeof(line), "%s; asking for all", err->text);
			backup_say(b, line);
			continue;
		}
		/* Perhaps these were wrong; without them it would be so again. */
		if (!b->uplink_failed && err->code == ERR_CORRUPT && rested) {
			memset(b->done, 0, sizeof(b->done));
			continue;
		}
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
		backup_say(b, line);
		if (stop_wait_ms(b->o->stop, wait))
			return interrupted(b, err);
	}
}

/* Offline sources change because somebody writes them: a person's matter. */
static int
may_freeze_again(const struct backup *b)
{
	const char *provider = b->capture->choice.provider;

	return strcmp(provider, "offline") != 0 &&
	       (strcmp(provider, "hotcopy") != 0 || !b->chosen->hotcopy.fail_if_lost);
}

/* One frozen view, and a point of it, if it can be had. */
static int
one_view(struct backup *b, struct err *err)
{
	int rc = -1;

	randombytes_buf(b->id, sizeof(b->id));
	if (freeze(b, err) != 0 || backup_open_changes(b, err) != 0 ||
	    progress_start(b->o->mode, "backup", b->walked, &b->progress, err) != 0)
		goto out;
	backup_forget(b);
	rc = attempts(b, err);
	progress_stop(b->progress);
	if (rc == 0) {
		backup_remember(b);
		tell_applications(b);
	} else {
		backup_forget(b);
	}
out:
	b->may_freeze_again = b->capture != NULL && may_freeze_again(b);
	capture_free(b->capture);
	b->capture = NULL;
	backup_close_changes(b);
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
	backup_say(b, line);
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
	if (file_make_dir(b->cache_dir, &b->lost_why) != 0)
		b->blind = b->own.no_cache = 1;
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
