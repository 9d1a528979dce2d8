/*
 * volume.c - the gate, and who is asked before a write passes.
 *
 * Why the gate is tight.  A write adds itself to "count" and then reads "state"; who
 * closes writes "state" and then reads "count".  All four are sequentially consistent, so
 * in their one order either the write's addition comes before the closer's read, and the
 * closer waits for it, or the closer's change comes before the write's read, and the
 * write holds.  A test before the count would let a write slip between the two.
 *
 * Why no wake-up is lost.  Who uncounts to zero reads "state" afterwards; who waits has
 * changed "state" before it reads "count".  By the same order the uncounter sees that it
 * is waited for, or the waiter sees the zero.
 *
 * Why engine and track may be read without a lock.  They are read only between an
 * addition of VOLUME_INSIDE and its removal, and only if "state" said so in between.  Who
 * takes one away first clears its bit in "state" and then waits until nobody is inside:
 * who was inside has left, who comes later sees the bit clear.
 */
#include "driver/core/volume.h"

#include "driver/core/copy.h"
#include "driver/core/track.h"
#include "driver/core/volume_parts.h"

#define IN_FLIGHT(count) ((count) & (VOLUME_INSIDE - 1))
#define INSIDE(count) ((count) / VOLUME_INSIDE)

/* track.h takes lengths of 32 bits. */
#define TRACK_PIECE (1u << 30)

struct volume *
volume_make(const struct volume_ops *ops, void *device, uint64_t number, uint64_t length,
    uint32_t sector)
{
	struct volume *v = env_alloc(sizeof *v);

	if (v == NULL)
		return NULL;
	v->ops = *ops;
	v->device = device;
	v->number = number;
	v->length = length;
	v->sector = sector;
	env_lock_init(&v->lock);
	env_mutex_init(&v->change);
	env_event_init(&v->drained, ENV_ONE);
	env_event_init(&v->quiet, ENV_ONE);
	env_event_init(&v->work, ENV_ONE);
	env_event_init(&v->help, ENV_ONE);
	if (env_thread_start(&v->own, volume_serve, v) != 0)
		v->state = VOLUME_PASSES;
	else
		v->threaded = true;
	return v;
}

void
volume_free(struct volume *v)
{
	if (v->threaded) {
		atomic_put(&v->stop, 1);
		env_event_set(&v->work);
		env_thread_join(&v->own);
	}
	env_event_done(&v->drained);
	env_event_done(&v->quiet);
	env_event_done(&v->work);
	env_event_done(&v->help);
	env_mutex_done(&v->change);
	env_free(v);
}

/* ------------------------------------------------------------------ in flight, inside --
 */

void
volume_leave(struct volume *v, uint32_t what)
{
	uint32_t left = atomic_sub(&v->count, what) - what, state;

	if (IN_FLIGHT(left) != 0 && INSIDE(left) != 0)
		return;
	state = atomic_get(&v->state);
	if (IN_FLIGHT(left) == 0 && (state & VOLUME_SHUT) != 0)
		env_event_set(&v->drained);
	if (INSIDE(left) == 0 && (state & VOLUME_CHANGING) != 0)
		env_event_set(&v->quiet);
}

bool
volume_tracked(struct volume *v, uint64_t offset, uint64_t length)
{
	bool passes = true;
	uint32_t n;

	if (length > TRACK_PIECE) {
		uint64_t end = volume_length(v);

		if (offset >= end)
			return true;
		length = length < end - offset ? length : end - offset;
	}
	for (; length > 0; offset += n, length -= n) {
		n = length < TRACK_PIECE ? (uint32_t)length : TRACK_PIECE;
		if (!track_write(v->track, offset, n))
			passes = false;
	}
	return passes;
}

/* Inside. */
static bool
passes(struct volume *v, uint64_t offset, uint64_t length)
{
	uint32_t state = atomic_get(&v->state);

	if (state == 0 || (state & (VOLUME_PASSES | VOLUME_GONE)) != 0)
		return true;
	if ((state & VOLUME_SHUT) != 0)
		return false;
	if ((state & VOLUME_ENGINE) != 0 && !copy_passes(v->engine, offset, length))
		return false;
	return (state & VOLUME_TRACKED) == 0 || volume_tracked(v, offset, length);
}

enum volume_verdict
volume_range_begin(struct volume *v, uint64_t offset, uint64_t length)
{
	atomic_add(&v->count, VOLUME_ONE + VOLUME_INSIDE);
	if (passes(v, offset, length)) {
		volume_leave(v, VOLUME_INSIDE);
		return VOLUME_FORWARD;
	}
	volume_leave(v, VOLUME_ONE + VOLUME_INSIDE);
	return VOLUME_HOLD;
}

enum volume_verdict
volume_write_begin(struct volume *v, uint64_t offset, uint32_t length)
{
	return volume_range_begin(v, offset, length);
}

void
volume_write_done(struct volume *v)
{
	volume_leave(v, VOLUME_ONE);
}

/* ----------------------------------------------------------------------------- the gate
 * -- */

void
volume_gate_close(struct volume *v)
{
	atomic_or(&v->state, VOLUME_SHUT);
}

bool
volume_gate_drained(struct volume *v, uint64_t until)
{
	uint64_t now;

	for (;;) {
		if (IN_FLIGHT(atomic_get(&v->count)) == 0 ||
		    (atomic_get(&v->state) & (VOLUME_GONE | VOLUME_PASSES)) != 0)
			return true;
		now = env_now();
		if (now >= until)
			return false;
		env_event_wait(&v->drained, until - now);
	}
}

void
volume_gate_open(struct volume *v, struct copy *engine)
{
	unsigned old;

	if (engine != NULL) {
		old = env_lock_take(&v->lock);
		v->held = v->waiting;
		v->longest = 0;
		env_lock_give(&v->lock, old);
		v->engine = engine;
		atomic_or(&v->state, VOLUME_ENGINE);
	}
	atomic_and(&v->state, ~VOLUME_SHUT);
	volume_wake(v);
}

/* With "change" taken: waits until all who may have seen "bit" have left. */
static void
quiet(struct volume *v, uint32_t bit)
{
	atomic_or(&v->state, VOLUME_CHANGING);
	atomic_and(&v->state, ~bit);
	while (INSIDE(atomic_get(&v->count)) != 0)
		env_event_wait(&v->quiet, ENV_FOREVER);
	atomic_and(&v->state, ~VOLUME_CHANGING);
}

void
volume_engine_remove(struct volume *v)
{
	env_mutex_take(&v->change);
	quiet(v, VOLUME_ENGINE);
	v->engine = NULL;
	env_mutex_give(&v->change);
	volume_wake(v);
}

struct track *
volume_track_put(struct volume *v, struct track *t)
{
	struct track *old;

	env_mutex_take(&v->change);
	quiet(v, VOLUME_TRACKED);
	old = v->track;
	v->track = t;
	if (t != NULL)
		atomic_or(&v->state, VOLUME_TRACKED);
	/* It will see no write. */
	if (t != NULL && (atomic_get(&v->state) & VOLUME_PASSES) != 0)
		track_invalidate(t, HOTCOPY_WHY_ASKED);
	env_mutex_give(&v->change);
	volume_wake(v);
	return old;
}
