/*
 * control.c - who is there: volumes, handles, events.
 *
 * Who waits for whom.  One mutex guards the lists; nothing is waited for while it is
 * held.  A call pins what it uses: a volume by its entry's users, the set by its users,
 * a read of an image also by the count of reads of that one volume.
 *	control_leave	waits for the calls that use this volume (the disk of this
 *			volume ends them, which fails them when it is gone), for reads of
 *			this volume's image, and in set_leave for the set's mutex: at
 *			longest a FREEZE that is under way, with its limits.  Calls that
 *			come meanwhile do not find the volume.
 *	control_cleanup	waits for nobody: it ends the set, and whoever is last in it
 *			frees it; that is the cleanup itself unless a call is inside.
 *	control_hold	waits for the cut; uses the set alone, so no leave waits for it.
 *	PREPARE		waits some seconds for a set that is being freed.
 *	ENUM		waits for no disk that a TRACK or a COMMIT waits for.
 * Order: an entry's "change", set.h's mutex, an entry's "look", "asking", "mutex",
 *"ring".
 */
#include <string.h>
#include "driver/core/atomic.h"
#include "driver/core/control_parts.h"
#include "driver/core/track.h"
#include "driver/core/volume.h"

struct control *
control_make(struct control_notice notice)
{
	struct control *c = env_alloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	c->notice = notice;
	env_mutex_init(&c->mutex);
	env_lock_init(&c->ring);
	env_event_init(&c->gone, ENV_ONE);
	env_event_init(&c->quiet, ENV_ONE);
	return c;
}

void
control_free(struct control *c)
{
	if (c == NULL)
		return;
	env_event_done(&c->gone);
	env_event_done(&c->quiet);
	env_mutex_done(&c->mutex);
	env_free(c);
}

void
control_version(struct control *c, uint32_t build, uint32_t flags)
{
	env_mutex_take(&c->mutex);
	c->build = build;
	c->flags = flags;
	env_mutex_give(&c->mutex);
}

/* Volumes. */

static void
entry_free(struct control_entry *e)
{
	env_event_done(&e->idle);
	env_mutex_done(&e->change);
	env_mutex_done(&e->look);
	env_free(e);
}

int
control_join(struct control *c, struct volume *v)
{
	struct control_entry *e = env_alloc(sizeof(*e));
	uint32_t at;
	bool room;

	if (e == NULL)
		return -1;
	e->control = c;
	e->volume = v;
	e->number = volume_number(v);
	env_event_init(&e->idle, ENV_STAYS);
	env_mutex_init(&e->change);
	env_mutex_init(&e->look);
	env_mutex_take(&c->mutex);
	room = c->entries < HOTCOPY_ENUM_MAX;
	if (room) {
		for (at = c->entries; at > 0 && c->entry[at - 1]->number > e->number;
		     at--)
			c->entry[at] = c->entry[at - 1];
		c->entry[at] = e;
		c->entries++;
	}
	env_mutex_give(&c->mutex);
	if (room)
		return 0;
	entry_free(e);
	return -1;
}

/* Within the mutex.  By its number, or its address. */
static struct control_entry *
find(struct control *c, uint64_t number, const struct volume *v)
{
	for (uint32_t i = 0; i < c->entries; i++) {
		struct control_entry *e = c->entry[i];

		if (!e->leaving && (v != NULL ? e->volume == v : e->number == number))
			return e;
	}
	return NULL;
}

struct control_entry *
control_pin(struct control *c, uint64_t number)
{
	struct control_entry *e;

	env_mutex_take(&c->mutex);
	e = find(c, number, NULL);
	if (e != NULL)
		e->users++;
	env_mutex_give(&c->mutex);
	return e;
}

void
control_unpin(struct control_entry *e)
{
	struct control *c = e->control;

	env_mutex_take(&c->mutex);
	e->users--;
	/* Within the mutex: who waits frees the entry after having taken it. */
	if (e->leaving && e->users == 0)
		env_event_set(&e->idle);
	env_mutex_give(&c->mutex);
}

void
control_leave(struct control *c, struct volume *v)
{
	struct control_entry *e;
	struct track *t;
	bool busy;

	env_mutex_take(&c->mutex);
	e = find(c, 0, v);
	if (e != NULL)
		e->leaving = true;
	busy = e != NULL && e->users > 0;
	env_mutex_give(&c->mutex);
	if (e == NULL)
		return;
	if (busy)
		(void)env_event_wait(&e->idle, ENV_FOREVER);
	control_set_leave(c, v, e->number);
	t = volume_track_put(v, NULL);
	if (t != NULL)
		track_free(t);
	env_mutex_take(&c->mutex);
	for (uint32_t i = 0, to = 0; i < c->entries; i++)
		if (c->entry[i] != e)
			c->entry[to++] = c->entry[i];
	c->entries--;
	env_mutex_give(&c->mutex);
	entry_free(e);
}

bool
control_hold(struct control *c, struct volume *v, const struct set_caller *caller)
{
	struct control_set *s = control_set_begin(c, 0);
	bool waited;

	if (s == NULL)
		return true;
	waited = set_hold(s->set, v, caller);
	control_set_end(c, s);
	return waited;
}

void
control_power(struct control *c, bool shutdown)
{
	uint64_t after = 0;

	for (;;) {
		struct control_entry *e = NULL;

		env_mutex_take(&c->mutex);
		for (uint32_t i = 0; e == NULL && i < c->entries; i++)
			if (c->entry[i]->number >= after && !c->entry[i]->leaving)
				e = c->entry[i];
		if (e != NULL)
			e->users++;
		env_mutex_give(&c->mutex);
		if (e == NULL)
			return;
		after = e->number + 1;
		volume_power(e->volume, shutdown);
		control_unpin(e);
	}
}

void
control_paging(struct control *c, struct volume *v, uint32_t number)
{
	struct control_entry *e;

	env_mutex_take(&c->mutex);
	e = find(c, 0, v);
	if (e != NULL)
		e->paging = number;
	env_mutex_give(&c->mutex);
}

/* Handles. */

struct control_file *
control_open(struct control *c)
{
	struct control_file *f = env_alloc(sizeof(*f));
	unsigned old;
	bool room;

	if (f == NULL)
		return NULL;
	f->control = c;
	env_mutex_init(&f->asking);
	old = env_lock_take(&c->ring);
	room = c->open < CONTROL_FILES_MAX;
	if (room) {
		f->next = c->files;
		c->files = f;
		c->open++;
	}
	env_lock_give(&c->ring, old);
	if (room)
		return f;
	env_mutex_done(&f->asking);
	env_free(f);
	return NULL;
}

void
control_cleanup(struct control_file *f)
{
	struct control *c = f->control;

	env_mutex_take(&c->mutex);
	f->closed = true;
	env_mutex_give(&c->mutex);
	(void)control_set_release(f, 0);
}

void
control_close(struct control_file *f)
{
	struct control *c = f->control;
	struct control_file **at;
	unsigned old;

	control_cleanup(f);
	old = env_lock_take(&c->ring);
	for (at = &c->files; *at != f; at = &(*at)->next)
		;
	*at = f->next;
	c->open--;
	env_lock_give(&c->ring, old);
	env_mutex_done(&f->asking);
	env_free(f);
}

/* Events. */

void
control_lost(struct control *c, uint64_t volume, enum hotcopy_reason why)
{
	uint64_t now = env_now();
	unsigned old = env_lock_take(&c->ring);

	for (struct control_file *f = c->files; f != NULL; f = f->next) {
		struct hotcopy_event *e = &f->ring[(f->place + f->events) % CONTROL_RING];

		if (f->events == CONTROL_RING) {
			f->place = (f->place + 1) % CONTROL_RING;
			f->lost++;
		} else {
			f->events++;
		}
		memset(e, 0, sizeof(*e));
		e->h.size = sizeof(*e);
		e->h.abi = HOTCOPY_ABI;
		e->volume = volume;
		e->time = now;
		e->argument = why;
		e->code = HOTCOPY_EVENT_TRACKING_LOST;
	}
	env_lock_give(&c->ring, old);
	if (c->notice.events != NULL)
		c->notice.events(c->notice.who);
}

static bool
ring_event(struct control_file *f, struct hotcopy_event *out, uint64_t *gap)
{
	unsigned old = env_lock_take(&f->control->ring);
	bool there = f->events > 0;

	if (there) {
		*out = f->ring[f->place];
		f->place = (f->place + 1) % CONTROL_RING;
		f->events--;
		*gap = f->lost;
		f->lost = 0;
	}
	env_lock_give(&f->control->ring, old);
	return there;
}

/* Of the set that this handle prepared. */
static bool
set_event_of(struct control_file *f, struct hotcopy_event *out, uint64_t *gap)
{
	struct control_set *s = control_set_begin(f->control, 0);
	bool there = s != NULL && control_set_is_of(f, s) && set_event(s->set, out);

	if (there) {
		if (f->events_of != s->number)
			f->set_sequence = 0;
		f->events_of = s->number;
		*gap = out->sequence - f->set_sequence - 1;
		f->set_sequence = out->sequence;
	}
	if (s != NULL)
		control_set_end(f->control, s);
	return there;
}

bool
control_event(struct control_file *f, struct hotcopy_event *out)
{
	uint64_t gap = 0;
	bool there;

	env_mutex_take(&f->asking);
	there = ring_event(f, out, &gap) || set_event_of(f, out, &gap);
	if (there) {
		f->sequence += gap + 1;
		out->sequence = f->sequence;
	}
	env_mutex_give(&f->asking);
	return there;
}

enum set_result
control_read(struct control_file *f, uint64_t offset, void *out, uint32_t length)
{
	return control_set_read(f, offset, out, length);
}
