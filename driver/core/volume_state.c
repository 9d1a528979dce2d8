/*
 * volume_state.c - what becomes of a volume from outside: gone, resized, written by
 * nobody knows whom, put to sleep; and what may be asked of it.
 */
#include "driver/core/copy.h"
#include "driver/core/track.h"
#include "driver/core/volume_parts.h"

/* ---------------------------------------------------------------- what spoils it -- */

/* Either the set that is cutting now sees "spoilt", or its engine is seen here. */
static void
spoil(struct volume *v, enum hotcopy_reason why)
{
	uint32_t which;

	atomic_put(&v->spoilt, why);
	which = volume_enter(v);
	if ((atomic_get(&v->state) & VOLUME_ENGINE) != 0)
		copy_drop(v->engine, why);
	volume_exit(v, which);
}

/* Passive.  The host writes unasked: our copies must not come after it. */
static void
yield(struct volume *v)
{
	uint32_t which = volume_enter(v);

	if ((atomic_get(&v->state) & VOLUME_ENGINE) != 0)
		copy_yield(v->engine);
	volume_exit(v, which);
}

/* The mutex keeps the tracking there. */
static void
invalidate(struct volume *v, enum hotcopy_reason why)
{
	env_mutex_take(&v->change);
	if (v->track != NULL)
		track_invalidate(v->track, why);
	env_mutex_give(&v->change);
}

void
volume_calm(struct volume *v)
{
	if ((atomic_get(&v->state) & VOLUME_GONE) == 0)
		atomic_put(&v->spoilt, HOTCOPY_WHY_NONE);
}

enum hotcopy_reason
volume_spoilt(const struct volume *v)
{
	uint32_t state = atomic_get(&v->state);

	/* These two stay, whatever volume_calm said since. */
	if ((state & VOLUME_GONE) != 0)
		return HOTCOPY_WHY_REMOVED;
	if ((state & VOLUME_PASSES) != 0)
		return HOTCOPY_WHY_ASKED;
	return (enum hotcopy_reason)atomic_get(&v->spoilt);
}

void
volume_gone(struct volume *v)
{
	atomic_or(&v->state, VOLUME_GONE);
	spoil(v, HOTCOPY_WHY_REMOVED);
	env_event_set(&v->drained);
	volume_wake(v);
}

void
volume_pass_only(struct volume *v)
{
	atomic_or(&v->state, VOLUME_PASSES);
	spoil(v, HOTCOPY_WHY_ASKED);
	env_event_set(&v->drained);
	yield(v);
	volume_wake(v);
	invalidate(v, HOTCOPY_WHY_ASKED);
}

void
volume_unknown_write(struct volume *v, enum hotcopy_reason why)
{
	spoil(v, why);
	yield(v);
	invalidate(v, why);
}

void
volume_resized(struct volume *v, uint64_t length)
{
	unsigned old = env_lock_take(&v->lock);
	bool changed = v->length != length;

	v->length = length;
	env_lock_give(&v->lock, old);
	if (!changed)
		return;
	spoil(v, HOTCOPY_WHY_RESIZED);
	env_mutex_take(&v->change);
	if (v->track != NULL)
		track_resized(v->track, length);
	env_mutex_give(&v->change);
}

void
volume_power(struct volume *v, bool shutdown)
{
	spoil(v, HOTCOPY_WHY_POWER);
	if (!shutdown)
		return;
	env_mutex_take(&v->change);
	if (v->track != NULL)
		track_clean(v->track);
	env_mutex_give(&v->change);
}

/* --------------------------------------------------------------------- questions -- */

uint64_t
volume_number(const struct volume *v)
{
	return v->number;
}

uint32_t
volume_sector(const struct volume *v)
{
	return v->sector;
}

struct track *
volume_track(const struct volume *v)
{
	return v->track;
}

enum hotcopy_state
volume_state(const struct volume *v)
{
	uint32_t state = atomic_get(&v->state);

	if ((state & VOLUME_GONE) != 0)
		return HOTCOPY_REMOVED;
	if ((state & VOLUME_PASSES) != 0)
		return HOTCOPY_PASSING;
	if ((state & VOLUME_SHUT) != 0)
		return HOTCOPY_GATED;
	return (state & VOLUME_ENGINE) != 0 ? HOTCOPY_ACTIVE : HOTCOPY_IDLE;
}

int
volume_read(struct volume *v, uint64_t offset, void *buffer, uint32_t length)
{
	uint8_t *to = buffer;
	uint32_t n;

	for (; length > 0; offset += n, to += n, length -= n) {
		n = length < VOLUME_IO_MAX ? length : VOLUME_IO_MAX;
		if (v->ops.read(v->device, offset, to, n) != 0)
			return -1;
	}
	return 0;
}

int
volume_io_write(
    struct volume *v, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	const uint8_t *from = buffer;
	uint32_t n;

	for (; length > 0; offset += n, from += n, length -= n) {
		n = length < VOLUME_IO_MAX ? length : VOLUME_IO_MAX;
		if (v->ops.write(v->device, offset, from, n, through) != 0)
			return -1;
	}
	return 0;
}
