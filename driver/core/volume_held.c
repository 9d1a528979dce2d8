/*
 * volume_held.c - the writes that wait, and the threads that serve them.
 *
 * Why a held write is never stranded.  volume_hold sets "work" after it has put the write
 * into the list, within the lock; the gate's opening, an engine's removal and the
 * device's end set it after they have changed "state".  The own thread looks at list and
 * state and only then waits for "work", which stays set until a wait has taken it.  So
 * whatever came later than the thread's look ends its next wait at once.
 *
 * "work" is set within the lock, for as soon as another has the lock it may forward the
 * write, and with the write's end the volume may be gone.
 */
#include <stddef.h>
#include <string.h>
#include "driver/core/copy.h"
#include "driver/core/track.h"
#include "driver/core/volume_parts.h"

/* --------------------------------------------------- a range and a time, 96 bits -- */

/*
 * word 0: the first unit of 512 bytes, low; word 1: its high 12 bits (8 PiB), then the low
 * 20 bits of a length; word 2: 20 bits of time, 8 more of the length, then 4 of its scale:
 * units of 8^scale.  Up to VOLUME_RANGE_MAX of whole sectors it is exact; a longer one is
 * rounded up: more is copied and more counts as changed, never less.  Exact it must be
 * where our own file may lie behind it: a discard that seems to touch that ends what is
 * kept there.  Times are good for 28 minutes.
 */
#define UNIT 9
#define START_BITS 44
#define LOW_BITS 20
#define LOW_MASK ((1u << LOW_BITS) - 1)
#define LENGTH_BITS 28
#define TIME_BITS 20
#define TIME_SHIFT 14 /* of 100 ns: 1.6 ms */
#define TIME_MASK ((1u << TIME_BITS) - 1)
#define LENGTH_MOST ((uint64_t)1 << 62)

typedef char
    range_max_is_exact[VOLUME_RANGE_MAX >> UNIT < (uint64_t)1 << LENGTH_BITS ? 1 : -1];

void
volume_held_pack(struct held *h, uint64_t offset, uint64_t length, uint64_t now)
{
	uint64_t start = offset >> UNIT, units;
	uint32_t scale = 0;

	length = length < LENGTH_MOST ? length : LENGTH_MOST;
	units = length == 0
		    ? 0
		    : (length + (offset & ((1u << UNIT) - 1)) + (1u << UNIT) - 1) >> UNIT;
	if (start >> START_BITS != 0) {
		start = ((uint64_t)1 << START_BITS) - 1; /* beyond every volume */
		units = 0;
	}
	for (; units >> LENGTH_BITS != 0; scale++)
		units = (units + 7) >> 3;
	h->word[0] = (uint32_t)start;
	h->word[1] = (uint32_t)(start >> 32) << LOW_BITS | ((uint32_t)units & LOW_MASK);
	h->word[2] = scale << LENGTH_BITS | (uint32_t)(units >> LOW_BITS) << TIME_BITS |
		     ((uint32_t)(now >> TIME_SHIFT) & TIME_MASK);
}

void
volume_held_unpack(const struct held *h, uint64_t now, uint64_t *offset, uint64_t *length,
    uint64_t *waited)
{
	uint32_t time = h->word[2] & TIME_MASK, scale = h->word[2] >> LENGTH_BITS;
	uint64_t units = (h->word[1] & LOW_MASK) |
			 (uint64_t)(h->word[2] >> TIME_BITS & 0xff) << LOW_BITS;

	*offset = (h->word[0] | (uint64_t)(h->word[1] >> LOW_BITS) << 32) << UNIT;
	*length = units << (3 * scale) << UNIT;
	*waited = (uint64_t)(((uint32_t)(now >> TIME_SHIFT) - time) & TIME_MASK)
		  << TIME_SHIFT;
}

/* ---------------------------------------------------------------------- the list -- */

void
volume_hold(struct volume *v, struct held *h, uint64_t offset, uint64_t length)
{
	unsigned old;

	volume_held_pack(h, offset, length, env_now());
	h->next = NULL;
	old = env_lock_take(&v->lock);
	if (v->last != NULL)
		v->last->next = h;
	else
		v->first = h;
	v->last = h;
	v->held++;
	v->waiting++;
	env_event_set(&v->work);
	if (v->waiting > 1)
		env_event_set(&v->help);
	env_lock_give(&v->lock, old);
}

/* The first of the list, counted as in flight; NULL: none, or the gate is
   closed.  Counted before the gate is looked at, as any write is. */
static struct held *
take(struct volume *v)
{
	unsigned old = env_lock_take(&v->lock);
	struct held *h = v->first;
	uint32_t state;
	bool counted = h != NULL, more;

	if (h != NULL) {
		atomic_add(&v->count, 1);
		state = atomic_get(&v->state);
		if ((state & VOLUME_SHUT) != 0 &&
		    (state & (VOLUME_GONE | VOLUME_PASSES)) == 0)
			h = NULL;
	}
	if (h != NULL) {
		v->first = h->next;
		if (v->first == NULL)
			v->last = NULL;
	}
	more = h != NULL && v->first != NULL;
	env_lock_give(&v->lock, old);
	if (counted && h == NULL)
		volume_write_done(v);
	if (more)
		env_event_set(&v->help);
	return h;
}

void
volume_wake(struct volume *v)
{
	env_event_set(&v->work);
	env_event_set(&v->help);
}

/* ------------------------------------------------------------------- the threads -- */

/*
 * All questions are asked until all say yes: a copy made stays made, so the engine's is
 * settled by one copy_before; the tracking's can be undone by a checkpoint in between.
 * It is counted in flight: no cut comes in between, no engine either.
 */
static void
serve_one(struct volume *v, struct held *h)
{
	uint64_t offset, length, waited, now = env_now();
	uint32_t state, which = volume_enter(v);
	unsigned old;
	bool due;

	volume_held_unpack(h, now, &offset, &length, &waited);
	for (;;) {
		state = atomic_get(&v->state);
		if (volume_unasked(v, state))
			break;
		if ((state & VOLUME_ENGINE) != 0)
			copy_before(v->engine, offset, length, now - waited);
		if ((state & VOLUME_TRACKED) == 0 || volume_tracked(v, offset, length))
			break;
		track_log(v->track, offset, length);
	}
	waited += env_now() - now;
	old = env_lock_take(&v->lock);
	v->waiting--;
	if (waited > v->longest)
		v->longest = waited;
	env_lock_give(&v->lock, old);
	due = (state & VOLUME_TRACKED) != 0 && track_due(v->track);
	volume_exit(v, which);
	if (due)
		env_event_set(&v->work);
	v->ops.forward(v->device, h);
}

/* One step of a checkpoint that would pay; true: there is more to do. */
static bool
checkpoint_step(struct volume *v)
{
	uint32_t which = volume_enter(v), state = atomic_get(&v->state);
	bool more = false;

	if ((state & (VOLUME_TRACKED | VOLUME_GONE | VOLUME_PASSES)) == VOLUME_TRACKED &&
	    track_due(v->track))
		more = track_work(v->track);
	volume_exit(v, which);
	return more;
}

static void
serve_all(struct volume *v)
{
	struct held *h;

	while ((h = take(v)) != NULL)
		serve_one(v, h);
}

void
volume_serve(void *volume)
{
	struct volume *v = volume;

	for (;;) {
		do
			serve_all(v);
		while (atomic_get(&v->stop) == 0 && checkpoint_step(v));
		if (atomic_get(&v->stop) != 0)
			return;
		env_event_wait(&v->work, ENV_FOREVER);
	}
}

/* Each passes on the call to stop. */
static void
help(void *volume)
{
	struct volume *v = volume;

	for (;;) {
		serve_all(v);
		if (atomic_get(&v->helpers_stop) != 0)
			break;
		env_event_wait(&v->help, ENV_FOREVER);
	}
	env_event_set(&v->help);
}

unsigned
volume_helpers_start(struct volume *v, unsigned helpers)
{
	if (helpers > VOLUME_HELPERS_MAX)
		helpers = VOLUME_HELPERS_MAX;
	while (v->helpers < helpers &&
	       env_thread_start(&v->helper[v->helpers], help, v) == 0)
		v->helpers++;
	return v->helpers;
}

void
volume_helpers_stop(struct volume *v)
{
	atomic_put(&v->helpers_stop, 1);
	env_event_set(&v->help);
	while (v->helpers > 0)
		env_thread_join(&v->helper[--v->helpers]);
	atomic_put(&v->helpers_stop, 0);
}

/* --------------------------------------------------------------------- questions -- */

static uint64_t
locked(const struct volume *volume, size_t field)
{
	struct volume *v = (struct volume *)volume; /* its lock alone */
	unsigned old = env_lock_take(&v->lock);
	uint64_t value;

	memcpy(&value, (const char *)v + field, sizeof value);
	env_lock_give(&v->lock, old);
	return value;
}

uint64_t
volume_length(const struct volume *v)
{
	return locked(v, offsetof(struct volume, length));
}

uint64_t
volume_held(const struct volume *v)
{
	return locked(v, offsetof(struct volume, held));
}

uint64_t
volume_longest_hold(const struct volume *v)
{
	return locked(v, offsetof(struct volume, longest));
}

uint32_t
volume_waiting(const struct volume *volume)
{
	struct volume *v = (struct volume *)volume;
	unsigned old = env_lock_take(&v->lock);
	uint32_t n = v->waiting;

	env_lock_give(&v->lock, old);
	return n;
}
