/*
 * control_set.c - the one open set: who may use it, and who frees it.
 *
 * It counts its users, and 1 for being open.  RELEASE and the owner's cleanup take that
 * one away; whoever brings the count to 0 frees the set, outside of every lock.  Until
 * that is done no other set can be prepared, and a volume that leaves waits.
 */
#include <stddef.h>
#include "driver/core/control_parts.h"
#include "driver/core/volume.h"

#define MS 10000u
/* How long PREPARE waits for a set that is being freed, and how often it looks. */
#define PREPARE_WAIT (5000u * MS)
#define LOOK (50u * MS)

struct control_set *
control_set_begin(struct control *c, uint64_t number)
{
	struct control_set *s;

	env_mutex_take(&c->mutex);
	s = c->set;
	if (s != NULL &&
	    (s->set == NULL || s->ended || (number != 0 && s->number != number)))
		s = NULL;
	if (s != NULL)
		s->users++;
	env_mutex_give(&c->mutex);
	return s;
}

void
control_set_end(struct control *c, struct control_set *s)
{
	bool last;

	env_mutex_take(&c->mutex);
	last = --s->users == 0;
	s->freeing = last;
	env_mutex_give(&c->mutex);
	if (!last)
		return;
	set_free(s->set);
	env_mutex_take(&c->mutex);
	c->set = NULL;
	env_mutex_give(&c->mutex);
	env_free(s);
	env_event_set(&c->gone);
	env_event_set(&c->quiet);
}

bool
control_set_has(const struct control *c, uint64_t number)
{
	const struct control_set *s = c->set;

	for (uint32_t i = 0; s != NULL && i < s->volumes; i++)
		if (s->volume[i] == number && (s->left >> i & 1) == 0)
			return true;
	return false;
}

bool
control_set_is_of(struct control_file *f, const struct control_set *s)
{
	bool mine;

	env_mutex_take(&f->control->mutex);
	mine = s->owner == f;
	env_mutex_give(&f->control->mutex);
	return mine;
}

bool
control_set_release(struct control_file *f, uint64_t number)
{
	struct control *c = f->control;
	struct set *set = NULL;
	struct control_set *s;
	bool ends;

	env_mutex_take(&c->mutex);
	s = c->set;
	ends = s != NULL && s->owner == f && !s->ended &&
	       (number == 0 || (s->set != NULL && s->number == number));
	if (ends) {
		s->ended = true;
		s->owner = NULL;
		set = s->set;
	}
	env_mutex_give(&c->mutex);
	if (ends) {
		/* A FREEZE that is inside would keep it for as long as it waits. */
		if (set != NULL)
			set_abandon(set);
		control_set_end(c, s);
	}
	return ends;
}

/* PREPARE. */

static void
tell(void *who)
{
	struct control *c = who;

	if (c->notice.events != NULL)
		c->notice.events(c->notice.who);
}

/* The set's place, if it is free or becomes so soon. */
static bool
place(struct control_file *f, struct control_set *s)
{
	struct control *c = f->control;
	uint64_t now = env_now(), until = now + PREPARE_WAIT;
	bool mine, ending;

	for (;;) {
		env_mutex_take(&c->mutex);
		mine = c->set == NULL;
		ending = !mine && c->set->ended;
		if (mine) {
			c->set = s;
			s->owner = f;
			s->number = c->sets + 1;
			/* Closed meanwhile: it ends as soon as it is there. */
			s->users = f->closed ? 1 : 2;
			s->ended = f->closed;
		}
		env_mutex_give(&c->mutex);
		now = env_now();
		if (mine || !ending || now >= until)
			return mine;
		(void)env_event_wait(&c->gone, LOOK);
	}
}

/* Pins the volumes; what was pinned before one is missing is given back. */
static enum set_result
pin_all(struct control *c, const struct hotcopy_prepare *p, struct control_entry **entry,
    struct volume **volume)
{
	enum set_result result = SET_OK;
	uint32_t n = 0;

	for (; n < p->volumes; n++) {
		entry[n] = control_pin(c, p->volume[n]);
		if (entry[n] == NULL) {
			result = SET_NOT_FOUND;
			break;
		}
		volume[n] = entry[n]->volume;
	}
	env_mutex_take(&c->mutex);
	for (uint32_t i = 0; i < n; i++)
		if (entry[i]->changes)
			result = SET_BUSY;
	env_mutex_give(&c->mutex);
	while (result != SET_OK && n > 0)
		control_unpin(entry[--n]);
	return result;
}

struct prepare {
	struct control_entry *entry[HOTCOPY_VOLUMES_MAX];
	struct volume *volume[HOTCOPY_VOLUMES_MAX];
};

/* In the set's place already, so that TRACK and UNTRACK see that these volumes are not
   theirs now. */
static enum set_result
prepare(struct control *c, struct control_set *s, const struct hotcopy_prepare *p,
    struct prepare *with)
{
	struct set_notice notice = { tell, c };
	struct set *set = NULL;
	enum set_result result;

	env_mutex_take(&c->mutex);
	s->volumes = p->volumes;
	for (uint32_t i = 0; i < p->volumes; i++)
		s->volume[i] = p->volume[i];
	env_mutex_give(&c->mutex);
	result = pin_all(c, p, with->entry, with->volume);
	if (result != SET_OK)
		return result;
	result = set_prepare(&set, s->number, p, with->volume, notice);
	if (result == SET_OK) {
		env_mutex_take(&c->mutex);
		s->set = set;
		c->sets++;
		if (s->ended)
			result = SET_STATE;
		env_mutex_give(&c->mutex);
	}
	/* From here on a volume that leaves finds the set. */
	for (uint32_t i = 0; i < p->volumes; i++)
		control_unpin(with->entry[i]);
	return result;
}

enum set_result
control_set_prepare(
    struct control_file *f, const struct hotcopy_prepare *p, struct hotcopy_prepared *out)
{
	struct control *c = f->control;
	struct control_set *s = env_alloc(sizeof(*s));
	struct prepare *with = env_alloc(sizeof(*with));
	enum set_result result = SET_NO_MEMORY;

	if (s == NULL || with == NULL) {
		env_free(s);
		env_free(with);
		return result;
	}
	if (!place(f, s)) {
		env_free(s);
		env_free(with);
		return SET_BUSY;
	}
	result = prepare(c, s, p, with);
	env_free(with);
	if (result == SET_OK) {
		*out = (struct hotcopy_prepared){
			.h = { sizeof(*out), HOTCOPY_ABI },
			.set = s->number,
			.chunk_shift = set_chunk_shift(s->set),
		};
	} else {
		(void)control_set_release(f, 0);
	}
	control_set_end(c, s);
	return result;
}

/* Reading, drops, leaving. */

bool
control_drop(struct control *c, uint64_t *volume, enum hotcopy_reason *why)
{
	struct control_set *s = control_set_begin(c, 0);
	bool found = false;

	if (s == NULL)
		return false;
	for (uint32_t i = 0; i < s->volumes && !found; i++) {
		struct volume *v = set_volume(s->set, i);

		*why = v != NULL ? set_why(s->set, v) : HOTCOPY_WHY_NONE;
		if (*why == HOTCOPY_WHY_NONE)
			continue;
		env_mutex_take(&c->mutex);
		found = (s->told >> i & 1) == 0;
		s->told |= (uint64_t)1 << i;
		env_mutex_give(&c->mutex);
		*volume = s->volume[i];
	}
	control_set_end(c, s);
	return found;
}

enum set_result
control_set_read(struct control_file *f, uint64_t offset, void *out, uint32_t length)
{
	struct control *c = f->control;
	enum set_result result = SET_OK;
	struct control_set *s;
	uint32_t index;

	env_mutex_take(&c->mutex);
	s = c->set;
	index = f->index;
	if (f->bound == 0 || f->closed)
		result = SET_STATE;
	else if (s == NULL || s->set == NULL || s->ended || s->number != f->bound ||
		 (s->left >> index & 1) != 0)
		result = SET_LOST;
	if (result == SET_OK) {
		s->users++;
		s->reads[index]++;
	}
	env_mutex_give(&c->mutex);
	if (result != SET_OK)
		return result;

	result = set_read(s->set, index, offset, out, length);

	env_mutex_take(&c->mutex);
	s->reads[index]--;
	env_mutex_give(&c->mutex);
	env_event_set(&c->quiet);
	control_set_end(c, s);
	return result;
}

void
control_set_leave(struct control *c, struct volume *v, uint64_t number)
{
	for (;;) {
		struct control_set *s;
		bool busy = false;

		env_mutex_take(&c->mutex);
		s = c->set;
		/* Being freed: that touches its volumes. */
		if (s != NULL && s->freeing)
			busy = true;
		for (uint32_t i = 0; s != NULL && i < s->volumes; i++)
			if (s->volume[i] == number) {
				s->left |= (uint64_t)1 << i;
				busy = busy || s->reads[i] > 0;
			}
		/* One being prepared has pinned what it uses. */
		if (s != NULL && s->set == NULL)
			s = NULL;
		if (s != NULL && !busy)
			s->users++;
		env_mutex_give(&c->mutex);
		if (!busy) {
			if (s != NULL) {
				set_leave(s->set, v);
				control_set_end(c, s);
			}
			return;
		}
		(void)env_event_wait(&c->quiet, LOOK);
	}
}
