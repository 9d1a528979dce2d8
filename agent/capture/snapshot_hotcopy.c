/*
 * The hotcopy provider: volumes frozen by our driver, at one instant, in the middle of
 * whatever they were doing.  The same on every system; what a link is, agent/hotcopy
 * knows.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/capture/around.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking.h"
#include "agent/host/stop.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_link.h"
#include "proto/base/err.h"

/* Somebody else's set, or a disk that is too busy for the gate: these pass. */
#define TRIES 8u
#define PAUSE_MS 1000u
#define GATE_MS 2000u /* The driver's own measure. */
#define PAGING_TRIES 3u
/* Of the machine's memory; what the driver takes is never paged. */
#define MEMORY_SHARE 8u

const struct hot_system *snapshot_hotcopy_system = &snapshot_hotcopy_here;

/* ------------------------------------------------------------------ taking hold -- */

/* No more of the machine than is good for it, whatever was wished. */
static void
bound_memory(struct settings_hotcopy *wishes)
{
	uint64_t most;

	if (snapshot_hotcopy_system->memory == NULL)
		return;
	most = (snapshot_hotcopy_system->memory() / MEMORY_SHARE) >> 20;
	if (most > 0 && wishes->memory_mib > most)
		wishes->memory_mib = (unsigned)most;
}

static int
set_open(const struct snapshot_options *options, void **set, struct err *err)
{
	struct hot_set *s = calloc(1, sizeof(*s));
	struct settings *defaults;

	if (s == NULL || (defaults = malloc(sizeof(*defaults))) == NULL) {
		free(s);
		return err_set(err, ERR_NOMEM, "no memory for a snapshot set");
	}
	settings_init(defaults);
	if (pthread_mutex_init(&s->lock, NULL) != 0) {
		free(defaults);
		free(s);
		return err_set(err, ERR_NOMEM, "no memory for a snapshot set");
	}
	s->options = options;
	s->wishes = options->hotcopy != NULL ? *options->hotcopy : defaults->hotcopy;
	bound_memory(&s->wishes);
	free(defaults);
	*set = s;
	return 0;
}

static int
open_owner(struct hot_set *s, const char *path, struct err *err)
{
	uint32_t build;
	int disabled;

	if (hotcopy_link_open(path, &s->owner, err) != 0)
		return -1;
	if ((disabled = hotcopy_is_disabled(s->owner, &build, err)) == 1)
		(void)err_set(err, ERR_UNSUPPORTED,
		    "the hotcopy driver only passes everything on: its kill switch is "
		    "set, or the system failed to start with it");
	if (disabled == 0)
		return 0;
	hotcopy_link_close(s->owner);
	s->owner = NULL;
	return -1;
}

static void
volume_close(void *volume)
{
	struct hot_volume *v = volume;

	hotcopy_link_close(v->link);
	snapshot_hotcopy_unwatch(v);
	snapshot_hotcopy_forget_freed(v);
	free(v->paging);
	free(v->unkept);
	free(v->path);
	free(v);
}

static int
volume_find(struct hot_volume *v, struct err *err)
{
	struct hotcopy_volume facts;

	if (hotcopy_link_volume(v->set->owner, v->path, &v->number, err) != 0 ||
	    hotcopy_find(v->set->owner, v->number, &facts, err) != 0)
		return -1;
	v->length = facts.length;
	v->sector = facts.sector;
	if (facts.state == HOTCOPY_PASSING)
		return err_set(err, ERR_UNSUPPORTED,
		    "%.100s: the hotcopy driver only passes everything on there",
		    v->path);
	if (v->sector < 512 || v->sector > 4096 || (v->sector & (v->sector - 1)) != 0 ||
	    v->length == 0 || v->length % v->sector != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%.100s has %llu bytes in sectors of %u", v->path,
		    (unsigned long long)v->length, v->sector);
	return 0;
}

static int
volume_add(void *set, const char *path, void **volume, struct err *err)
{
	struct hot_volume *v = calloc(1, sizeof(*v));
	struct hot_set *s = set;

	if (v == NULL || (v->path = strdup(path)) == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory to add %s", path);
	}
	v->set = s;
	if ((s->owner != NULL || open_owner(s, path, err) == 0) &&
	    volume_find(v, err) == 0) {
		*volume = v;
		return 0;
	}
	volume_close(v);
	return -1;
}

static int
volume_same(const void *volume, const void *other)
{
	const struct hot_volume *a = volume, *b = other;

	return a->number == b->number;
}

/* --------------------------------------------------------------------- freezing -- */

static int64_t
now_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* It failed, but may not in a second: 1; 0; -1 if asked to stop. */
static int
may_try_again(struct hot_set *s, enum err_code passes, unsigned *tries, struct err *err)
{
	if (err->code != passes || ++*tries == TRIES)
		return 0;
	if (!stop_wait_ms(s->options->stop, PAUSE_MS)) {
		err_clear(err);
		return 1;
	}
	err_clear(err);
	return err_set(err, ERR_CANCELED, "interrupted while volumes were to be frozen");
}

static int
prepare(struct hot_set *s, struct err *err)
{
	const struct hotcopy_wishes wishes = { .memory = (uint64_t)s->wishes.memory_mib
							 << 20,
		.throttle_ms = s->wishes.throttle_ms };
	uint64_t numbers[HOTCOPY_VOLUMES_MAX];
	struct hotcopy_prepared prepared;
	unsigned tries = 0;
	int again = 1;

	for (unsigned i = 0; i < s->count; i++)
		numbers[i] = s->volume[i]->number;
	while (again == 1) {
		if (hotcopy_prepare(
			s->owner, numbers, s->count, &wishes, &prepared, err) == 0) {
			s->number = prepared.set;
			s->chunk_shift = prepared.chunk_shift;
			return 0;
		}
		again = may_try_again(s, ERR_BUSY, &tries, err);
	}
	return -1;
}

static int
freeze_set(struct hot_set *s, uint32_t flags, uint32_t hold_ms, struct err *err)
{
	const struct tracking_options *wish = s->options->tracking;

	if (wish != NULL && wish->on)
		flags |= HOTCOPY_FREEZE_GENERATION;
	if (hotcopy_freeze(s->owner, s->number, flags, GATE_MS, hold_ms,
		tracking_nonce(s->tracking), &s->frozen, err) != 0)
		return -1;
	/* Here: VSS goes on for a while. */
	s->frozen_at = now_us() - (int64_t)((s->frozen.opened - s->frozen.cut) / 10);
	return 0;
}

static int
cut_at_once(struct hot_set *s, struct err *err)
{
	unsigned tries = 0;
	int again = 1;

	while (again == 1) {
		if (freeze_set(s, 0, 0, err) == 0)
			return 0;
		again = may_try_again(s, ERR_TIMEOUT, &tries, err);
	}
	return -1;
}

/* What is tracked of them is seen to before they are in a set. */
static int
track(struct hot_set *s, struct err *err)
{
	static const struct tracking_options off;
	const struct tracking_options *o = s->options->tracking;
	const char *paths[HOTCOPY_VOLUMES_MAX];

	for (unsigned i = 0; i < s->count; i++)
		paths[i] = s->volume[i]->path;
	return tracking_begin(
	    s->owner, paths, s->count, o != NULL ? o : &off, &s->tracking, err);
}

static void
say_method(struct hot_set *s)
{
	uint64_t room = snapshot_hotcopy_room(s) >> 20;
	char where[64] = "";

	if (room > 0)
		(void)snprintf(where, sizeof(where), " and %llu MiB on disk",
		    (unsigned long long)room);
	(void)snprintf(s->method, sizeof(s->method),
	    "%s%s%sgate closed %.1f ms, %u writes waited; copies by %u KiB, %u MiB of "
	    "memory%s%s%s%s%s%s",
	    s->around != NULL ? "while VSS held (" : "",
	    s->around != NULL ? around_method(s->around) : "",
	    s->around != NULL ? "), " : "",
	    (double)(s->frozen.opened - s->frozen.closed) / 10000, s->frozen.held,
	    1u << (s->chunk_shift - 10), s->wishes.memory_mib, where,
	    s->room_note[0] != '\0' ? "; no room on disk: " : "", s->room_note,
	    s->paging_lost ? "; page files moved and were kept" : "",
	    s->freed_note[0] != '\0' ? "; free space is read, too: " : "", s->freed_note);
}

/* The set is no more; what was tracked goes on. */
static void
release(struct hot_set *s)
{
	struct err ignored = ERR_INIT;

	snapshot_hotcopy_unbind(s);
	/* What cannot be released ends with the link. */
	if (s->number != 0)
		(void)hotcopy_release(s->owner, s->number, &ignored);
	s->number = 0;
}

/* A set with all that belongs to it, in place of the one that there is. */
static int
make_ready(struct hot_set *s, struct err *err)
{
	release(s);
	if (prepare(s, err) != 0)
		return -1;
	snapshot_hotcopy_lend_rooms(s);
	return snapshot_hotcopy_exclude_paging(s, err);
}

static int
cut(struct hot_set *s, struct err *err)
{
	int rc;

	if (s->wishes.flush)
		rc = snapshot_hotcopy_cut_around(s, freeze_set, make_ready, err);
	else
		rc = cut_at_once(s, err);
	if (rc == 0)
		tracking_frozen(s->tracking, s->number, &s->frozen);
	return rc;
}

/* One set, frozen and bound.  1; 0: page files are elsewhere now; -1. */
static int
freeze_once(struct hot_set *s, struct err *err)
{
	if (make_ready(s, err) != 0 || cut(s, err) != 0)
		return -1;
	if (snapshot_hotcopy_bind(s, err) != 0)
		return -1;
	return snapshot_hotcopy_check_paging(s, err);
}

/* Until page files were where they had been; at last without leaving them out. */
static int
freeze(struct hot_set *s, struct err *err)
{
	/* Of what VSS held still the map can tell page files by itself: no more tries. */
	unsigned tries = s->wishes.flush ? PAGING_TRIES : 0;
	int got = 0;

	for (; got == 0 && tries <= PAGING_TRIES; tries++) {
		release(s);
		around_free(s->around);
		s->around = NULL;
		for (unsigned i = 0; i < s->count; i++)
			snapshot_hotcopy_system->look(
			    s->volume[i]->path, &s->volume[i]->look);
		snapshot_hotcopy_flush(s);
		s->paging_lost = tries == PAGING_TRIES && !s->wishes.flush;
		if (tries == PAGING_TRIES)
			snapshot_hotcopy_forget_paging(s);
		else if (snapshot_hotcopy_find_paging(s, err) != 0)
			return -1;
		got = freeze_once(s, err);
	}
	snapshot_hotcopy_forget_paging(s);
	return got == 1 ? 0 : -1;
}

static int
set_freeze(void *set, void **volumes, size_t count, uint32_t timeout_ms,
    struct snapshot_info *infos, struct err *err)
{
	struct hot_set *s = set;

	/* The driver bounds how long writes wait. */
	(void)timeout_ms;
	if (count > HOTCOPY_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "hotcopy freezes at most %u volumes",
		    HOTCOPY_VOLUMES_MAX);
	s->count = (unsigned)count;
	for (unsigned i = 0; i < s->count; i++) {
		s->volume[i] = volumes[i];
		s->volume[i]->index = i;
	}
	if (track(s, err) != 0)
		return -1;
	snapshot_hotcopy_take_rooms(s);
	if (freeze(s, err) != 0)
		return -1;
	snapshot_hotcopy_flushed(s);
	say_method(s);
	snapshot_hotcopy_tell_free(s);
	snapshot_hotcopy_watch(s);
	snapshot_hotcopy_listen(s);
	for (unsigned i = 0; i < s->count; i++)
		infos[i] = (struct snapshot_info){ .size = s->volume[i]->length,
			.sector_size = s->volume[i]->sector,
			.grade =
			    s->around != NULL ? around_grade(s->around) : SNAPSHOT_CRASH,
			/* VSS flushes file systems before it holds them. */
			.flushed = s->around != NULL,
			.frozen_at = s->frozen_at };
	return 0;
}

/* ---------------------------------------------------------------------- the end -- */

static int
volume_confirm(void *volume, struct err *err)
{
	return snapshot_hotcopy_look(volume, err);
}

static const char *
set_method(const void *set)
{
	return ((const struct hot_set *)set)->method;
}

static int
set_finish(void *set, int ok, struct err *err)
{
	struct hot_set *s = set;

	snapshot_hotcopy_deafen(s);
	release(s);
	snapshot_hotcopy_drop_rooms(s);
	if (s->tracking != NULL)
		tracking_finish(s->tracking, ok);
	/* It may take minutes, for which nobody's writes need copies. */
	return s->around != NULL ? around_finish(s->around, ok, err) : 0;
}

static struct tracking *
set_tracking(const void *set)
{
	return ((const struct hot_set *)set)->tracking;
}

static void
set_free(void *set)
{
	struct hot_set *s = set;

	around_free(s->around);
	tracking_free(s->tracking);
	hotcopy_link_close(s->owner);
	snapshot_hotcopy_ahead_free(s->ahead);
	(void)pthread_mutex_destroy(&s->lock);
	free(s);
}

const struct snapshot_provider snapshot_hotcopy = {
	.name = "hotcopy",
	.open = set_open,
	.add = volume_add,
	.same = volume_same,
	.freeze = set_freeze,
	.read = snapshot_hotcopy_read,
	.unkept = snapshot_hotcopy_unkept,
	.written = snapshot_hotcopy_written,
	.tracking = set_tracking,
	.confirm = volume_confirm,
	.method = set_method,
	.finish = set_finish,
	.close = volume_close,
	.free = set_free,
};
