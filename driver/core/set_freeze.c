/*
 * set_freeze.c - one cut for all volumes.
 *
 * All gates are closed, then all are drained, then the cut is made, then all are opened:
 * so if write A had completed before write B was sent, no cut lies between a B that
 * passed and an A that did not.  While a gate is closed nothing is allocated, no thread
 * made, no disk waited for but for the writes in flight.
 */
#include <string.h>
#include "driver/core/set_parts.h"

#define MS 10000u
#define TIMEOUT_MS 2000u
/* How often a wait looks whether a volume, or who waits, has gone. */
#define LOOK (50u * MS)

static bool
gone(const struct set_caller *caller)
{
	return caller != NULL && caller->gone != NULL && caller->gone(caller->who);
}

static uint64_t
next_look(uint64_t now, uint64_t until)
{
	return until - now < LOOK ? until - now : LOOK;
}

/* --------------------------------------------------------------------- the holds -- */

static bool
all_hold(struct set *s)
{
	unsigned old = env_lock_take(&s->lock);
	bool all = true;

	for (uint32_t i = 0; i < s->volumes; i++) {
		struct member *m = &s->member[i];

		if (m->volume != NULL && !m->hold &&
		    volume_spoilt(m->volume) != HOTCOPY_WHY_REMOVED)
			all = false;
	}
	env_lock_give(&s->lock, old);
	return all;
}

static void
want_holds(struct set *s, bool want, uint64_t time)
{
	unsigned old;

	if (want)
		env_event_clear(&s->over);
	old = env_lock_take(&s->lock);
	s->wants_holds = want;
	s->hold_time = time;
	s->hold_turn++;
	for (uint32_t i = 0; i < s->volumes; i++)
		s->member[i].hold = false;
	env_lock_give(&s->lock, old);
	if (!want)
		env_event_set(&s->over);
}

static bool
unwanted(struct set *s, const struct set_caller *caller)
{
	return atomic_get(&s->abandoned) != 0 || gone(caller);
}

static enum set_result
wait_holds(struct set *s, uint64_t until, const struct set_caller *caller)
{
	uint64_t now;

	while (!all_hold(s)) {
		if (unwanted(s, caller))
			return SET_CANCELLED;
		now = env_now();
		if (now >= until)
			return SET_TIMEOUT;
		env_event_wait(&s->come, next_look(now, until));
	}
	return SET_OK;
}

/* How long, from now; 0: no cut is wanted here. */
static uint64_t
hold_begin(struct set *s, const struct volume *v, uint32_t *turn)
{
	unsigned old = env_lock_take(&s->lock);
	uint64_t time = 0;

	*turn = s->hold_turn;
	for (uint32_t i = 0; i < s->volumes && s->wants_holds; i++)
		if (member_volume(&s->member[i]) == v) {
			s->member[i].hold = true;
			time = s->hold_time;
		}
	env_lock_give(&s->lock, old);
	return time;
}

/* Does the FREEZE go on that this hold was for?  The next one may have begun already.
   "leaves": it must do without it. */
static bool
hold_goes_on(struct set *s, const struct volume *v, uint32_t turn, bool leaves)
{
	unsigned old = env_lock_take(&s->lock);
	bool on = s->hold_turn == turn;

	for (uint32_t i = 0; i < s->volumes && on && leaves; i++)
		if (member_volume(&s->member[i]) == v)
			s->member[i].hold = false;
	env_lock_give(&s->lock, old);
	return on;
}

bool
set_hold(struct set *s, struct volume *v, const struct set_caller *caller)
{
	uint32_t turn;
	uint64_t time = hold_begin(s, v, &turn), now = env_now(), until = now + time;

	if (time == 0)
		return true;
	env_event_set(&s->come);
	for (; now < until; now = env_now()) {
		bool leaves;

		if (env_event_wait(&s->over, next_look(now, until)))
			return true;
		leaves = gone(caller);
		if (!hold_goes_on(s, v, turn, leaves))
			return true;
		if (leaves)
			return false;
	}
	return true;
}

void
set_abandon(struct set *s)
{
	atomic_put(&s->abandoned, 1);
	env_event_set(&s->come);
}

/* ----------------------------------------------------------------------- the cut -- */

static enum set_result
drain_one(
    struct set *s, struct volume *v, uint64_t until, const struct set_caller *caller)
{
	uint64_t now;

	for (;;) {
		now = env_now();
		if (volume_gate_drained(
			v, now < until ? now + next_look(now, until) : until))
			return SET_OK;
		if (unwanted(s, caller))
			return SET_CANCELLED;
		if (env_now() >= until)
			return SET_TIMEOUT;
	}
}

static enum set_result
drain(struct set *s, uint64_t until, const struct set_caller *caller)
{
	enum set_result result = SET_OK;

	for (uint32_t i = 0; i < s->members && result == SET_OK; i++) {
		struct volume *v = s->member[i].volume;

		if (v != NULL)
			result = drain_one(s, v, until, caller);
	}
	return result;
}

/* Opens all; "engines": with their engines, for there is an image now. */
static void
open_all(struct set *s, bool engines, struct hotcopy_frozen *out)
{
	for (uint32_t i = 0; i < s->members; i++) {
		struct member *m = &s->member[i];

		if (m->volume == NULL)
			continue;
		if (i < s->volumes)
			out->held += volume_waiting(m->volume);
		if (engines)
			copy_begin(m->copy);
		volume_gate_open(m->volume, engines ? m->copy : NULL);
	}
}

/* What happened while no engine was there, or before its gate was closed. */
static void
drop_spoilt(struct set *s)
{
	for (uint32_t i = 0; i < s->members; i++) {
		struct member *m = &s->member[i];
		enum hotcopy_reason why = HOTCOPY_WHY_REMOVED;

		if (m->volume != NULL)
			why = volume_spoilt(m->volume);
		if (why == HOTCOPY_WHY_NONE && !copy_fits(m->copy))
			why = HOTCOPY_WHY_RESIZED;
		if (why != HOTCOPY_WHY_NONE)
			copy_drop(m->copy, why);
	}
}

static enum set_result
cut(struct set *s, const struct hotcopy_freeze *f, uint64_t timeout,
    struct hotcopy_frozen *out, const struct set_caller *caller)
{
	bool image = (f->flags & HOTCOPY_FREEZE_CUT_ONLY) == 0;
	enum set_result drained;

	for (uint32_t i = 0; i < s->members; i++) {
		if (s->member[i].volume != NULL)
			volume_calm(s->member[i].volume);
	}
	out->closed = env_now();
	/* The lenders', too: what the host has in flight into our file there would come
	   after our copies. */
	for (uint32_t i = 0; i < s->members; i++) {
		if (s->member[i].volume != NULL)
			volume_gate_close(s->member[i].volume);
	}
	drained = drain(s, out->closed + timeout, caller);
	if (drained != SET_OK) {
		open_all(s, false, out);
		return drained;
	}
	out->cut = env_now();
	for (uint32_t i = 0; i < s->volumes; i++) {
		struct member *m = &s->member[i];
		struct track *t = m->volume != NULL ? volume_track(m->volume) : NULL;

		m->generation = 0;
		if ((f->flags & HOTCOPY_FREEZE_GENERATION) != 0 && t != NULL)
			m->generation = track_cut(t, f->nonce);
		out->generation[i] = m->generation;
	}
	open_all(s, image, out);
	out->opened = env_now();
	if (image)
		drop_spoilt(s);
	/* Not before: nobody reads an image that is lost already. */
	atomic_put(&s->frozen, image);
	return SET_OK;
}

/* With the gates open: the cut becomes durable, and only what changed is needed.  If that
   is not known, everything is, and the image is as good. */
static void
settle(struct set *s)
{
	for (uint32_t i = 0; i < s->volumes; i++) {
		struct member *m = &s->member[i];
		struct track *t = m->volume != NULL ? volume_track(m->volume) : NULL;
		struct track_facts facts;
		const struct bits *changed;

		if (t == NULL || m->generation == 0 || track_cut_store(t) != 0)
			continue;
		if ((s->only_changed >> i & 1) == 0 || atomic_get(&s->frozen) == 0)
			continue;
		track_facts(t, &facts);
		changed = track_previous(t);
		if ((facts.state == HOTCOPY_TRACK_VALID ||
			facts.state == HOTCOPY_TRACK_RECOVERED) &&
		    changed != NULL)
			copy_only(m->copy, changed);
	}
}

static uint64_t
bounded_ms(uint32_t ms)
{
	return (uint64_t)(ms < HOTCOPY_HOLD_MS_MAX ? ms : HOTCOPY_HOLD_MS_MAX) * MS;
}

static enum set_result
freeze(struct set *s, const struct hotcopy_freeze *f, struct hotcopy_frozen *out,
    const struct set_caller *caller)
{
	uint64_t timeout = bounded_ms(f->timeout_ms != 0 ? f->timeout_ms : TIMEOUT_MS);
	uint64_t hold = bounded_ms(f->hold_ms);
	bool at_hold = (f->flags & HOTCOPY_FREEZE_AT_HOLD) != 0;
	enum set_result result = SET_OK;

	if (atomic_get(&s->frozen) != 0)
		return SET_STATE;
	if (s->only_changed != 0 && (f->flags & HOTCOPY_FREEZE_GENERATION) == 0)
		return SET_BAD;
	if (at_hold) {
		want_holds(s, true, hold + timeout + 1000 * MS);
		result = wait_holds(s, env_now() + hold, caller);
	}
	if (result == SET_OK)
		result = cut(s, f, timeout, out, caller);
	if (at_hold)
		want_holds(s, false, 0);
	if (result == SET_OK)
		settle(s);
	return result;
}

enum set_result
set_freeze(struct set *s, const struct hotcopy_freeze *f, struct hotcopy_frozen *out,
    const struct set_caller *caller)
{
	enum set_result result;

	memset(out, 0, sizeof *out);
	out->h.size = sizeof *out;
	out->h.abi = HOTCOPY_ABI;
	env_mutex_take(&s->mutex);
	out->set = s->number;
	out->volumes = s->volumes;
	result = freeze(s, f, out, caller);
	env_mutex_give(&s->mutex);
	return result;
}
