/*
 * set_event.c - what a set tells: events and numbers; and the image's own calls.
 */
#include <string.h>
#include "driver/core/set_parts.h"

/* LOW_SPACE is told when less than an eighth is left, and again only after there was a
   quarter. */
#define LOW 3
#define ENOUGH 2

/* ------------------------------------------------------------------------ events -- */

/* Within the lock. */
static void
add(struct set *s, const struct volume *v, enum hotcopy_event_code code,
    uint64_t argument)
{
	struct hotcopy_event *e = &s->event[s->sequence % SET_EVENTS];

	e->h.size = sizeof *e;
	e->h.abi = HOTCOPY_ABI;
	e->set = s->number;
	e->volume = volume_number(v);
	e->sequence = ++s->sequence;
	e->time = env_now();
	e->argument = argument;
	e->code = code;
	e->reserved = 0;
	if (s->events < SET_EVENTS)
		s->events++;
}

static void
tell(void *set, struct volume *v, enum hotcopy_event_code code, uint64_t argument)
{
	struct set *s = set;
	unsigned old;

	if (atomic_get(&s->ending) != 0)
		return;
	old = env_lock_take(&s->lock);
	add(s, v, code, argument);
	env_lock_give(&s->lock, old);
	s->notice.events(s->notice.who);
	if (code == HOTCOPY_EVENT_DROPPED)
		atomic_put(&s->to_reclaim, 1);
}

/* The copies of all may lie where the host has written.  Once: the drops come back here.
 */
static void
lost(void *set, enum hotcopy_reason why)
{
	struct set *s = set;

	if (atomic_get(&s->ending) != 0 || atomic_swap(&s->lost_told, 1) != 0)
		return;
	for (uint32_t i = 0; i < s->members; i++)
		copy_drop(s->member[i].copy, why);
}

static void
room(void *set, struct volume *v)
{
	struct set *s = set;
	struct diff_space space;
	uint64_t total, left;
	bool told = false;
	unsigned old;

	if (atomic_get(&s->ending) != 0)
		return;
	if (atomic_swap(&s->to_reclaim, 0) != 0) {
		for (uint32_t i = 0; i < s->members; i++)
			copy_reclaim(s->member[i].copy);
	}
	diff_space(s->diff, &space);
	total = space.size + space.memory_size;
	left = total - space.used - space.memory_used;
	old = env_lock_take(&s->lock);
	if (!s->low && left < total >> LOW) {
		s->low = told = true;
		add(s, v, HOTCOPY_EVENT_LOW_SPACE, left);
	} else if (left >= total >> ENOUGH) {
		s->low = false;
	}
	env_lock_give(&s->lock, old);
	if (told)
		s->notice.events(s->notice.who);
}

void
set_notice_of(struct set *s, struct copy_notice *notice)
{
	notice->tell = tell;
	notice->room = room;
	notice->lost = lost;
	notice->set = s;
}

bool
set_event(struct set *s, struct hotcopy_event *out)
{
	unsigned old = env_lock_take(&s->lock);
	bool there = s->events > 0;

	if (there) {
		*out = s->event[(s->sequence - s->events) % SET_EVENTS];
		s->events--;
	}
	env_lock_give(&s->lock, old);
	return there;
}

/* --------------------------------------------------------------------- the image -- */

static enum set_result
result_of(enum copy_result result)
{
	switch (result) {
	case COPY_OK:
		return SET_OK;
	case COPY_LOST:
		return SET_LOST;
	case COPY_NOT_KEPT:
		return SET_NOT_KEPT;
	case COPY_IO:
		return SET_IO;
	case COPY_BAD:
		break;
	}
	return SET_BAD;
}

/* SET_OK: there is an image of this volume. */
static enum set_result
image(const struct set *s, uint32_t index)
{
	if (index >= s->volumes)
		return SET_NOT_FOUND;
	if (atomic_get(&s->frozen) == 0)
		return SET_STATE;
	return member_volume(&s->member[index]) == NULL ? SET_LOST : SET_OK;
}

enum set_result
set_read(struct set *s, uint32_t index, uint64_t offset, void *out, uint32_t length)
{
	enum set_result result = image(s, index);

	if (result != SET_OK)
		return result;
	return result_of(copy_read(s->member[index].copy, offset, out, length));
}

enum set_result
set_unneeded(
    struct set *s, uint32_t index, uint64_t first, uint32_t count, const uint8_t *bits)
{
	enum set_result result;

	env_mutex_take(&s->mutex);
	result = image(s, index);
	if (result == SET_OK)
		result =
		    result_of(copy_unneeded(s->member[index].copy, first, count, bits));
	env_mutex_give(&s->mutex);
	return result;
}

enum set_result
set_done(struct set *s, uint32_t index, uint64_t offset, uint64_t length)
{
	enum set_result result;

	env_mutex_take(&s->mutex);
	result = image(s, index);
	if (result == SET_OK)
		result = result_of(copy_done(s->member[index].copy, offset, length));
	env_mutex_give(&s->mutex);
	return result;
}

/*
 * What the tracking writes into its store passes no filter, and only our own images leave
 * the store out: in anybody else's view it may have changed at any time.
 */
static void
add_store(const struct track *t, uint64_t first, uint32_t count, uint8_t *bits)
{
	const struct hotcopy_extent *extent = NULL;
	uint32_t extents = track_extents(t, &extent);

	for (uint32_t i = 0; i < extents; i++) {
		uint64_t n = extent[i].offset >> HOTCOPY_TRACK_SHIFT;
		uint64_t last =
		    (extent[i].offset + extent[i].length - 1) >> HOTCOPY_TRACK_SHIFT;

		for (n = n > first ? n : first; n <= last && n - first < count; n++)
			bits[(n - first) / 8] |= (uint8_t)(1u << ((n - first) & 7));
	}
}

enum set_result
set_changed(struct set *s, uint32_t index, uint32_t flags, uint64_t first, uint32_t count,
    uint8_t *bits)
{
	bool now = (flags & HOTCOPY_BITS_NOW) != 0;
	enum set_result result = SET_OK;
	struct track *t = NULL;

	env_mutex_take(&s->mutex);
	if (index >= s->volumes)
		result = SET_NOT_FOUND;
	else if ((first & 7) != 0)
		result = SET_BAD;
	else if (s->member[index].volume == NULL)
		result = SET_LOST;
	else
		t = volume_track(s->member[index].volume);
	if (result == SET_OK && (t == NULL || (!now && s->member[index].generation == 0)))
		result = SET_STATE;
	if (result == SET_OK)
		track_report(t, now, first, count, bits);
	if (result == SET_OK && now)
		add_store(t, first, count, bits);
	env_mutex_give(&s->mutex);
	return result;
}

enum set_result
set_stats(struct set *s, uint32_t index, struct hotcopy_stats *out)
{
	struct diff_space space;
	struct member *m;

	if (index >= s->volumes)
		return SET_NOT_FOUND;
	memset(out, 0, sizeof *out);
	out->h.size = sizeof *out;
	out->h.abi = HOTCOPY_ABI;
	env_mutex_take(&s->mutex);
	m = &s->member[index];
	copy_stats(m->copy, out);
	if (m->volume != NULL) {
		out->held = volume_held(m->volume);
		out->longest_hold = volume_longest_hold(m->volume);
	}
	diff_space(s->diff, &space);
	out->diff_used = space.used;
	out->diff_size = space.size;
	out->memory_used = space.memory_used;
	out->memory_size = space.memory_size;
	env_mutex_give(&s->mutex);
	return SET_OK;
}

uint64_t
set_number(const struct set *s)
{
	return s->number;
}

uint32_t
set_chunk_shift(const struct set *s)
{
	return s->chunk_shift;
}

struct volume *
set_volume(const struct set *s, uint32_t index)
{
	return index < s->volumes ? member_volume(&s->member[index]) : NULL;
}

enum hotcopy_state
set_state(const struct set *s, const struct volume *v)
{
	enum hotcopy_state state = volume_state(v);

	if (state != HOTCOPY_IDLE && state != HOTCOPY_ACTIVE)
		return state;
	for (uint32_t i = 0; i < s->volumes; i++) {
		const struct member *m = &s->member[i];

		if (member_volume(m) != v)
			continue;
		if (copy_dropped(m->copy) != HOTCOPY_WHY_NONE)
			return HOTCOPY_DROPPED;
		return atomic_get(&s->frozen) != 0 ? HOTCOPY_ACTIVE : HOTCOPY_PREPARED;
	}
	return HOTCOPY_IDLE; /* whatever it lends */
}

enum hotcopy_reason
set_why(const struct set *s, const struct volume *v)
{
	for (uint32_t i = 0; i < s->volumes; i++) {
		if (member_volume(&s->member[i]) == v)
			return copy_dropped(s->member[i].copy);
	}
	return HOTCOPY_WHY_NONE;
}
