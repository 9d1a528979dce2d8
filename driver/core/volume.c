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
 * Why engine and track may be read without a lock.  They are read only between
 * volume_enter and volume_exit, and only if "state" said so in between.  Who takes one
 * away first clears its bit in "state" and then sees both counts of "inside" at zero, one
 * after the other: who was inside has left, who counts himself later sees the bit clear.
 *
 * Why that ends, however many come.  VOLUME_OTHER says which of the two counts who comes
 * now adds to.  First the other one is waited for: in it are only those who looked before
 * the last change of VOLUME_OTHER.  Then that is changed, and the count that they came
 * to until now is waited for: again only those are added who had looked before.
 */
#include "driver/core/volume.h"

#include "driver/core/copy.h"
#include "driver/core/track.h"
#include "driver/core/volume_parts.h"

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

/* ------------------------------------------------------------- in flight, inside -- */

uint32_t
volume_enter(struct volume *v)
{
	uint32_t which = (atomic_get(&v->state) & VOLUME_OTHER) != 0;

	atomic_add(&v->inside[which], 1);
	return which;
}

void
volume_exit(struct volume *v, uint32_t which)
{
	if (atomic_sub(&v->inside[which], 1) == 1 &&
	    (atomic_get(&v->state) & VOLUME_CHANGING) != 0)
		env_event_set(&v->quiet);
}

void
volume_write_done(struct volume *v)
{
	if (atomic_sub(&v->count, 1) == 1 && (atomic_get(&v->state) & VOLUME_SHUT) != 0)
		env_event_set(&v->drained);
}

bool
volume_unasked(struct volume *v, uint32_t state)
{
	if ((state & (VOLUME_PASSES | VOLUME_GONE)) == 0)
		return false;
	if ((state & VOLUME_ENGINE) != 0)
		copy_drop(v->engine,
		    (state & VOLUME_GONE) != 0 ? HOTCOPY_WHY_REMOVED : HOTCOPY_WHY_ASKED);
	return true;
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

	if (volume_unasked(v, state))
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
	uint32_t which;
	bool may;

	atomic_add(&v->count, 1);
	if ((atomic_get(&v->state) & VOLUME_ASKS) == 0)
		return VOLUME_FORWARD;
	which = volume_enter(v);
	may = passes(v, offset, length);
	volume_exit(v, which);
	if (may)
		return VOLUME_FORWARD;
	volume_write_done(v);
	return VOLUME_HOLD;
}

enum volume_verdict
volume_write_begin(struct volume *v, uint64_t offset, uint32_t length)
{
	return volume_range_begin(v, offset, length);
}

/* ---------------------------------------------------------------------- the gate -- */

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
		if (atomic_get(&v->count) == 0 ||
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

static void
empty(struct volume *v, uint32_t which)
{
	while (atomic_get(&v->inside[which]) != 0)
		env_event_wait(&v->quiet, ENV_FOREVER);
}

/* With "change" taken: waits until all who may have seen "bit" have left, and for nobody
   who comes later. */
static void
quiet(struct volume *v, uint32_t bit)
{
	uint32_t now;

	atomic_or(&v->state, VOLUME_CHANGING);
	now = (atomic_and(&v->state, ~bit) & VOLUME_OTHER) != 0;
	empty(v, !now);
	if (now != 0)
		atomic_and(&v->state, ~VOLUME_OTHER);
	else
		atomic_or(&v->state, VOLUME_OTHER);
	empty(v, now);
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
