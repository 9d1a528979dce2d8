/*
 * set.c - the calls of a set, but the cut (set_freeze.c) and events (set_event.c).
 *
 * The mutex is held across whatever a call waits for.  set_read goes without: what it
 * looks at is fixed between FREEZE and set_free, and whoever calls set_free or set_leave
 * sees to it that no read runs.
 */
#include "driver/core/set.h"

#include <string.h>
#include "driver/core/set_parts.h"

/* Of copiers of a whole set, beside the volumes' own threads. */
#define HELPERS 32u
#define MEMORY_MIN ((uint64_t)1 << 20)

/* Chunks of 16 KiB; the bitmaps of larger volumes would take too much. */
static uint32_t
chunk_shift(const struct hotcopy_prepare *p, struct volume *const *volumes)
{
	uint64_t longest = 0;

	if (p->chunk_shift != 0)
		return p->chunk_shift;
	for (uint32_t i = 0; i < p->volumes; i++) {
		uint64_t length = volume_length(volumes[i]);

		longest = length > longest ? length : longest;
	}
	if (longest <= (uint64_t)16 << 40)
		return HOTCOPY_CHUNK_SHIFT_MIN;
	return HOTCOPY_CHUNK_SHIFT_MIN + (longest <= (uint64_t)32 << 40 ? 1 : 2);
}

static enum set_result
check(const struct hotcopy_prepare *p, struct volume *const *volumes)
{
	if (p->volumes == 0 || p->volumes > HOTCOPY_VOLUMES_MAX ||
	    p->full > HOTCOPY_FULL_THROTTLE || p->throttle_ms > HOTCOPY_THROTTLE_MS_MAX ||
	    p->memory < MEMORY_MIN || p->memory > HOTCOPY_MEMORY_MAX ||
	    (p->chunk_shift != 0 && (p->chunk_shift < HOTCOPY_CHUNK_SHIFT_MIN ||
					p->chunk_shift > HOTCOPY_CHUNK_SHIFT_MAX)) ||
	    (p->volumes < 64 && p->only_changed >> p->volumes != 0))
		return SET_BAD;
	for (uint32_t i = 0; i < p->volumes; i++) {
		if (volume_state(volumes[i]) != HOTCOPY_IDLE)
			return SET_STATE;
		if ((p->only_changed >> i & 1) != 0 && volume_track(volumes[i]) == NULL)
			return SET_STATE;
		for (uint32_t k = 0; k < i; k++) {
			if (volumes[k] == volumes[i])
				return SET_BAD;
		}
	}
	return SET_OK;
}

/* The tracking writes into its store while the volume is frozen: it is of no image. */
static void
exclude_store(struct copy *c, const struct track *t)
{
	const struct hotcopy_extent *extent = NULL;
	uint32_t n = t != NULL ? track_extents(t, &extent) : 0;

	for (uint32_t i = 0; i < n; i++)
		copy_exclude(c, extent[i].offset, extent[i].length);
}

/* The volume's place in the set, with its engine and threads. */
static enum set_result
join(struct set *s, struct volume *v, bool lends)
{
	uint32_t helpers = lends || s->volumes == 0 ? 0 : HELPERS / s->volumes;
	struct copy_want want = {
		.volume = v,
		.diff = s->diff,
		.index = s->members,
		.chunk_shift = s->chunk_shift,
		.full = (enum hotcopy_full)s->full,
		.throttle_ms = s->throttle_ms,
		.lends = lends,
	};
	struct member *m = &s->member[s->members];

	set_notice_of(s, &want.notice);
	want.lost = &s->lost;
	if (helpers > VOLUME_HELPERS_MAX)
		helpers = VOLUME_HELPERS_MAX;
	want.copiers = 1 + helpers;
	m->copy = copy_make(&want);
	if (m->copy == NULL)
		return SET_NO_MEMORY;
	/* A lender's tracking may go at any moment, and it has no image. */
	if (!lends)
		exclude_store(m->copy, volume_track(v));
	atomic_put_pointer((void **)&m->volume, v);
	s->members++;
	/* Fewer of them are slower, not worse. */
	if (!lends)
		volume_helpers_start(v, helpers);
	return SET_OK;
}

enum set_result
set_prepare(struct set **out, uint64_t number, const struct hotcopy_prepare *p,
    struct volume *const *volumes, struct set_notice notice)
{
	enum set_result result = check(p, volumes);
	struct set *s;

	if (result != SET_OK)
		return result;
	s = env_alloc(sizeof *s);
	if (s == NULL)
		return SET_NO_MEMORY;
	env_mutex_init(&s->mutex);
	env_lock_init(&s->lock);
	env_event_init(&s->come, ENV_ONE);
	env_event_init(&s->over, ENV_STAYS);
	s->number = number;
	s->notice = notice;
	s->full = p->full;
	s->throttle_ms = p->throttle_ms;
	s->only_changed = p->only_changed;
	s->volumes = p->volumes;
	s->chunk_shift = chunk_shift(p, volumes);
	s->diff = diff_make(p->memory, s->chunk_shift);
	if (s->diff == NULL)
		result = SET_NO_MEMORY;
	for (uint32_t i = 0; i < p->volumes && result == SET_OK; i++)
		result = join(s, volumes[i], false);
	if (result != SET_OK) {
		set_free(s);
		return result;
	}
	*out = s;
	return SET_OK;
}

/* The volume is as if there had been no set. */
static void
part(struct member *m)
{
	if (m->volume == NULL)
		return;
	volume_engine_remove(m->volume);
	volume_helpers_stop(m->volume);
	atomic_put_pointer((void **)&m->volume, NULL);
}

void
set_free(struct set *s)
{
	if (s == NULL)
		return;
	atomic_put(&s->ending, 1);
	/* All first: throttled writes wait no longer. */
	for (uint32_t i = 0; i < s->members; i++)
		copy_drop(s->member[i].copy, HOTCOPY_WHY_ASKED);
	/* Without an engine nobody asks us before writing where our copies lie: perhaps
	   the file is gone already, with its owner. */
	for (uint32_t i = 0; i < s->members; i++) {
		if (s->member[i].lends && s->member[i].volume != NULL)
			diff_leave(s->diff, s->member[i].volume);
	}
	for (uint32_t i = 0; i < s->members; i++)
		part(&s->member[i]);
	for (uint32_t i = 0; i < s->members; i++)
		copy_free(s->member[i].copy);
	if (s->diff != NULL)
		diff_free(s->diff);
	env_event_done(&s->come);
	env_event_done(&s->over);
	env_mutex_done(&s->mutex);
	env_free(s);
}

void
set_leave(struct set *s, struct volume *v)
{
	struct member *m;

	env_mutex_take(&s->mutex);
	m = set_member(s, v);
	if (m != NULL) {
		copy_drop(m->copy, HOTCOPY_WHY_REMOVED);
		for (uint32_t i = 0; m->lends && i < s->members; i++)
			copy_drop(s->member[i].copy, HOTCOPY_WHY_REMOVED);
		diff_leave(s->diff, v);
		part(m);
	}
	env_mutex_give(&s->mutex);
}

struct member *
set_member(struct set *s, const struct volume *v)
{
	for (uint32_t i = 0; i < s->members; i++) {
		if (member_volume(&s->member[i]) == v)
			return &s->member[i];
	}
	return NULL;
}

/* ---------------------------------------------------------------- before the cut -- */

/* Inside the volume, whole sectors. */
static bool
fits(struct volume *v, const struct hotcopy_extent *extent, uint32_t extents)
{
	uint64_t length = volume_length(v), sector = volume_sector(v);

	for (uint32_t i = 0; i < extents; i++) {
		const struct hotcopy_extent *e = &extent[i];

		if (e->length == 0 || e->offset > length ||
		    e->length > length - e->offset ||
		    ((e->offset | e->length) & (sector - 1)) != 0)
			return false;
	}
	return true;
}

static enum set_result
lender_joins(struct set *s, struct volume *at)
{
	if (volume_state(at) != HOTCOPY_IDLE)
		return SET_STATE;
	if (s->members == HOTCOPY_VOLUMES_MAX + SET_LENDERS_MAX)
		return SET_NO_MEMORY;
	return join(s, at, true);
}

/* The last that joined is as if it had not: nothing of ours lies on it. */
static void
lender_parts(struct set *s)
{
	struct member *m = &s->member[s->members - 1];
	struct copy *c = m->copy;

	s->members--;
	part(m);
	memset(m, 0, sizeof *m);
	copy_free(c);
}

static enum set_result
lend(struct set *s, struct member *m, struct volume *at,
    const struct hotcopy_extent *extent, uint32_t extents)
{
	enum hotcopy_reason why = HOTCOPY_WHY_NONE;

	if (copy_forbid_room(m->copy, extents) != 0)
		return SET_NO_MEMORY;
	if (diff_add(s->diff, at, extent, extents, &why) != 0)
		return why == HOTCOPY_WHY_NO_MEMORY ? SET_NO_MEMORY : SET_BAD;
	m->lends = true;
	for (uint32_t i = 0; i < extents; i++) {
		copy_exclude(m->copy, extent[i].offset, extent[i].length);
		copy_forbid(m->copy, extent[i].offset, extent[i].length);
	}
	return SET_OK;
}

static enum set_result
diff_more(struct set *s, struct volume *at, const struct hotcopy_extent *extent,
    uint32_t extents)
{
	struct member *m = set_member(s, at);
	bool joins = m == NULL;
	enum set_result result = SET_OK;

	if (atomic_get(&s->frozen) != 0)
		return SET_STATE;
	if (!fits(at, extent, extents))
		return SET_BAD;
	if (joins) {
		result = lender_joins(s, at);
		if (result != SET_OK)
			return result;
		m = &s->member[s->members - 1];
	}
	result = lend(s, m, at, extent, extents);
	if (result != SET_OK && joins)
		lender_parts(s);
	return result;
}

enum set_result
set_diff_add(struct set *s, struct volume *at, const struct hotcopy_extent *extent,
    uint32_t extents)
{
	enum set_result result;

	env_mutex_take(&s->mutex);
	result = diff_more(s, at, extent, extents);
	env_mutex_give(&s->mutex);
	return result;
}

enum set_result
set_exclude(struct set *s, struct volume *at, const struct hotcopy_extent *extent,
    uint32_t extents)
{
	struct member *m;
	enum set_result result = SET_OK;

	env_mutex_take(&s->mutex);
	m = set_member(s, at);
	if (atomic_get(&s->frozen) != 0)
		result = SET_STATE;
	else if (m == NULL)
		result = SET_NOT_FOUND;
	else if (!fits(at, extent, extents))
		result = SET_BAD;
	for (uint32_t i = 0; i < extents && result == SET_OK; i++)
		copy_exclude(m->copy, extent[i].offset, extent[i].length);
	env_mutex_give(&s->mutex);
	return result;
}
