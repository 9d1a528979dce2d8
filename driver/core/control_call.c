/* control_call.c - the calls: checked whole (control_check.c), then done. */
#include <stddef.h>
#include <string.h>
#include "driver/core/control_parts.h"
#include "driver/core/track.h"
#include "driver/core/volume.h"

/* Each answers into "buffer", which still holds the request, and says how many bytes. */
typedef enum set_result
call_fn(struct control_file *f, void *buffer, uint32_t room, uint32_t *out);

static enum set_result
call_version(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	struct hotcopy_version v = { .h = { sizeof(v), HOTCOPY_ABI } };

	(void)room;
	env_mutex_take(&f->control->mutex);
	v.build = f->control->build;
	v.flags = f->control->flags;
	env_mutex_give(&f->control->mutex);
	memcpy(buffer, &v, sizeof(v));
	*out = sizeof(v);
	return SET_OK;
}

/* ENUM. */

static void
describe_tracking(struct control_entry *e, struct hotcopy_volume *out)
{
	struct track_facts facts;
	struct track *t;

	env_mutex_take(&e->look);
	t = volume_track(e->volume);
	if (t != NULL) {
		track_facts(t, &facts);
		out->tracking = facts.state;
		out->generation = facts.base;
		memcpy(out->nonce, facts.base_nonce, sizeof(out->nonce));
		out->changed = facts.changed;
		out->why = facts.why;
	}
	env_mutex_give(&e->look);
}

static void
describe(struct control_entry *e, struct hotcopy_volume *out)
{
	struct control_set *s = control_set_begin(e->control, 0);
	enum hotcopy_reason why = HOTCOPY_WHY_NONE;

	memset(out, 0, sizeof(*out));
	out->volume = e->number;
	out->length = volume_length(e->volume);
	out->sector = volume_sector(e->volume);
	out->store_bytes = track_store_bytes(out->length);
	out->paging = e->paging;
	describe_tracking(e, out);
	if (s != NULL) {
		out->state = set_state(s->set, e->volume);
		why = set_why(s->set, e->volume);
		control_set_end(e->control, s);
	} else {
		out->state = volume_state(e->volume);
	}
	/* The drop is what somebody asks about now. */
	if (why != HOTCOPY_WHY_NONE)
		out->why = why;
}

/* By rising number: what comes or goes meanwhile makes nobody else miss or double. */
static struct control_entry *
pin_after(struct control *c, uint64_t *after, bool first)
{
	struct control_entry *e = NULL;

	env_mutex_take(&c->mutex);
	for (uint32_t i = 0; e == NULL && i < c->entries; i++)
		if (!c->entry[i]->leaving && (first || c->entry[i]->number > *after))
			e = c->entry[i];
	if (e != NULL) {
		e->users++;
		*after = e->number;
	}
	env_mutex_give(&c->mutex);
	return e;
}

static enum set_result
call_enum(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	struct hotcopy_volumes *v = buffer;
	uint32_t size = sizeof(*v), given = 0, count = 0;
	struct control_entry *e;
	uint64_t after = 0;

	while ((e = pin_after(f->control, &after, count == 0)) != NULL) {
		if (room - size >= sizeof(v->volume[0])) {
			describe(e, &v->volume[given++]);
			size += sizeof(v->volume[0]);
		}
		count++;
		control_unpin(e);
	}
	v->h.size = size;
	v->h.abi = HOTCOPY_ABI;
	v->count = count;
	v->given = given;
	*out = size;
	return SET_OK;
}

/* Tracking. */

static void
lost(void *who, enum hotcopy_reason why)
{
	struct control_entry *e = who;

	control_lost(e->control, e->number, why);
}

/* Nobody else changes it, and it is in no set, until changes_end. */
static enum set_result
changes_begin(struct control *c, struct control_entry *e)
{
	enum set_result result = SET_OK;

	env_mutex_take(&c->mutex);
	if (control_set_has(c, e->number))
		result = SET_STATE;
	else if (e->changes)
		result = SET_BUSY;
	else
		e->changes = true;
	env_mutex_give(&c->mutex);
	if (result == SET_OK)
		env_mutex_take(&e->change);
	return result;
}

static void
changes_end(struct control *c, struct control_entry *e)
{
	env_mutex_give(&e->change);
	env_mutex_take(&c->mutex);
	e->changes = false;
	env_mutex_give(&c->mutex);
}

static struct track *
put(struct control_entry *e, struct track *t)
{
	struct track *old;

	env_mutex_take(&e->look);
	old = volume_track_put(e->volume, t);
	env_mutex_give(&e->look);
	return old;
}

/* Without CREATE what lies in the store is kept, but writes may have passed that it does
   not know: its report says "everything" until the next generation is committed. */
static enum set_result
track_begin(struct control_entry *e, const struct hotcopy_track *request)
{
	struct track_notice notice = { lost, e };
	struct track *t;

	/* A volume that only passes asks nobody: its writes would be missed. */
	if (volume_track(e->volume) != NULL || volume_state(e->volume) == HOTCOPY_PASSING)
		return SET_STATE;
	if (request->extents > 0) {
		uint64_t bytes = 0;

		if (control_check_extents(e->volume, request->extent, request->extents) !=
		    SET_OK)
			return SET_BAD;
		for (uint32_t i = 0; i < request->extents; i++)
			bytes += request->extent[i].length;
		if (bytes < track_store_bytes(volume_length(e->volume)))
			return SET_BAD;
	}
	t = track_open(e->volume, request, request->extent, notice);
	if (t == NULL)
		return SET_NO_MEMORY;
	/* Before anybody sees it. */
	if ((request->flags & HOTCOPY_TRACK_CREATE) == 0 && request->extents > 0)
		track_invalidate(t, HOTCOPY_WHY_FOREIGN);
	(void)put(e, t);
	return SET_OK;
}

static enum set_result
call_track(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	const struct hotcopy_track *request = buffer;
	struct control_entry *e = control_pin(f->control, request->volume);
	enum set_result result;

	(void)room;
	(void)out;
	if (e == NULL)
		return SET_NOT_FOUND;
	result = changes_begin(f->control, e);
	if (result == SET_OK) {
		result = track_begin(e, request);
		changes_end(f->control, e);
	}
	control_unpin(e);
	return result;
}

static enum set_result
call_untrack(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	const struct hotcopy_untrack *request = buffer;
	bool stays = (request->flags & HOTCOPY_UNTRACK_INVALIDATE) != 0;
	struct control_entry *e = control_pin(f->control, request->volume);
	enum set_result result = SET_OK;
	struct track *t;

	(void)room;
	(void)out;
	if (e == NULL)
		return SET_NOT_FOUND;
	/* To invalidate takes nothing away, so a set may have it. */
	if (stays)
		env_mutex_take(&e->change);
	else
		result = changes_begin(f->control, e);
	if (result == SET_OK) {
		t = volume_track(e->volume);
		/* Durable before the first write passes that it does not see. */
		if (t == NULL)
			result = SET_STATE;
		else
			track_invalidate(t, HOTCOPY_WHY_ASKED);
		if (stays) {
			env_mutex_give(&e->change);
		} else {
			track_free(put(e, NULL));
			changes_end(f->control, e);
		}
	}
	control_unpin(e);
	return result;
}

static enum set_result
end_generation(struct control_file *f, const struct hotcopy_generation *g,
    int (*end)(struct track *, uint64_t, const uint8_t *))
{
	struct control_entry *e = control_pin(f->control, g->volume);
	enum set_result result = SET_OK;
	struct track *t;

	if (e == NULL)
		return SET_NOT_FOUND;
	env_mutex_take(&e->change);
	t = volume_track(e->volume);
	if (t == NULL || end(t, g->generation, g->nonce) != 0)
		result = SET_STATE;
	env_mutex_give(&e->change);
	control_unpin(e);
	return result;
}

static enum set_result
call_commit(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	(void)room;
	(void)out;
	return end_generation(f, buffer, track_commit);
}

static enum set_result
call_abort(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	(void)room;
	(void)out;
	return end_generation(f, buffer, track_abort);
}

/* Sets. */

static enum set_result
call_prepare(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	struct hotcopy_prepared prepared;
	enum set_result result = control_set_prepare(f, buffer, &prepared);

	(void)room;
	if (result == SET_OK) {
		memcpy(buffer, &prepared, sizeof(prepared));
		*out = sizeof(prepared);
	}
	return result;
}

/* The set, for a call that only its owner may make. */
static enum set_result
own(struct control_file *f, uint64_t number, struct control_set **s)
{
	*s = number != 0 ? control_set_begin(f->control, number) : NULL;
	if (*s == NULL)
		return SET_NOT_FOUND;
	if (control_set_is_of(f, *s))
		return SET_OK;
	control_set_end(f->control, *s);
	return SET_STATE;
}

static enum set_result
extents(struct control_file *f, const struct hotcopy_extents *request,
    enum set_result (*add)(
	struct set *, struct volume *, const struct hotcopy_extent *, uint32_t))
{
	struct control_entry *e = control_pin(f->control, request->at);
	struct control_set *s = NULL;
	enum set_result result;

	result = e != NULL ? own(f, request->set, &s) : SET_NOT_FOUND;
	if (result == SET_OK) {
		result =
		    control_check_extents(e->volume, request->extent, request->extents);
		if (result == SET_OK)
			result =
			    add(s->set, e->volume, request->extent, request->extents);
		control_set_end(f->control, s);
	}
	if (e != NULL)
		control_unpin(e);
	return result;
}

static enum set_result
call_diff_add(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	(void)room;
	(void)out;
	return extents(f, buffer, set_diff_add);
}

static enum set_result
call_exclude(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	(void)room;
	(void)out;
	return extents(f, buffer, set_exclude);
}

/* The only one that waits for others than the disk, and so asks about its caller. */
static enum set_result
call_freeze(
    struct control_file *f, void *buffer, uint32_t *out, const struct set_caller *caller)
{
	const struct hotcopy_freeze *request = buffer;
	struct hotcopy_frozen frozen;
	struct control_set *s;
	enum set_result result = own(f, request->set, &s);

	if (result != SET_OK)
		return result;
	result = set_freeze(s->set, request, &frozen, caller);
	control_set_end(f->control, s);
	if (result == SET_OK) {
		memcpy(buffer, &frozen, sizeof(frozen));
		*out = sizeof(frozen);
	}
	return result;
}

static enum set_result
call_bind(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	const struct hotcopy_bind *request = buffer;
	struct control *c = f->control;
	enum set_result result = SET_NOT_FOUND;

	(void)room;
	(void)out;
	env_mutex_take(&c->mutex);
	if (request->set != 0 && c->set != NULL && c->set->set != NULL &&
	    !c->set->ended && c->set->number == request->set &&
	    request->index < c->set->volumes) {
		f->bound = request->set;
		f->index = request->index;
		result = SET_OK;
	}
	env_mutex_give(&c->mutex);
	return result;
}

/* The set, for a call that any handle may make. */
static struct control_set *
any(struct control_file *f, uint64_t number)
{
	return number != 0 ? control_set_begin(f->control, number) : NULL;
}

static enum set_result
call_unneeded(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	const struct hotcopy_bits *b = buffer;
	struct control_set *s = any(f, b->set);
	enum set_result result;

	(void)room;
	(void)out;
	if (s == NULL)
		return SET_NOT_FOUND;
	result = set_unneeded(s->set, b->index, b->first, b->bits, b->bit);
	control_set_end(f->control, s);
	return result;
}

static enum set_result
call_done_read(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	const struct hotcopy_range *r = buffer;
	struct control_set *s = any(f, r->set);
	enum set_result result;

	(void)room;
	(void)out;
	if (s == NULL)
		return SET_NOT_FOUND;
	result = set_done(s->set, r->index, r->offset, r->length);
	control_set_end(f->control, s);
	return result;
}

static enum set_result
call_changed(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	struct hotcopy_bits *b = buffer;
	struct control_set *s = any(f, b->set);
	enum set_result result;

	(void)room;
	if (s == NULL)
		return SET_NOT_FOUND;
	result = set_changed(s->set, b->index, b->flags, b->first, b->bits, b->bit);
	control_set_end(f->control, s);
	if (result == SET_OK) {
		b->h.size = (uint32_t)sizeof(*b) + ((b->bits + 7) >> 3);
		*out = b->h.size;
	}
	return result;
}

static enum set_result
call_stats(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	const struct hotcopy_bind *b = buffer;
	struct control_set *s = any(f, b->set);
	struct hotcopy_stats stats;
	enum set_result result;

	(void)room;
	if (s == NULL)
		return SET_NOT_FOUND;
	result = set_stats(s->set, b->index, &stats);
	control_set_end(f->control, s);
	if (result == SET_OK) {
		memcpy(buffer, &stats, sizeof(stats));
		*out = sizeof(stats);
	}
	return result;
}

static enum set_result
call_release(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	uint64_t number = ((const struct hotcopy_release *)buffer)->set;
	struct control_set *s;
	enum set_result result = own(f, number, &s);

	(void)room;
	(void)out;
	if (result != SET_OK)
		return result;
	result = control_set_release(f, number) ? SET_OK : SET_NOT_FOUND;
	control_set_end(f->control, s);
	return result;
}

static enum set_result
call_wait_event(struct control_file *f, void *buffer, uint32_t room, uint32_t *out)
{
	struct hotcopy_event event;

	(void)room;
	if (!control_event(f, &event))
		return SET_PENDING;
	memcpy(buffer, &event, sizeof(event));
	*out = sizeof(event);
	return SET_OK;
}

static call_fn *
call_of(uint32_t code)
{
	switch (code) {
	case HOTCOPY_IOCTL_VERSION:
		return call_version;
	case HOTCOPY_IOCTL_ENUM:
		return call_enum;
	case HOTCOPY_IOCTL_TRACK:
		return call_track;
	case HOTCOPY_IOCTL_UNTRACK:
		return call_untrack;
	case HOTCOPY_IOCTL_PREPARE:
		return call_prepare;
	case HOTCOPY_IOCTL_DIFF_ADD:
		return call_diff_add;
	case HOTCOPY_IOCTL_EXCLUDE:
		return call_exclude;
	case HOTCOPY_IOCTL_BIND:
		return call_bind;
	case HOTCOPY_IOCTL_UNNEEDED:
		return call_unneeded;
	case HOTCOPY_IOCTL_DONE_READ:
		return call_done_read;
	case HOTCOPY_IOCTL_CHANGED:
		return call_changed;
	case HOTCOPY_IOCTL_COMMIT:
		return call_commit;
	case HOTCOPY_IOCTL_ABORT:
		return call_abort;
	case HOTCOPY_IOCTL_RELEASE:
		return call_release;
	case HOTCOPY_IOCTL_WAIT_EVENT:
		return call_wait_event;
	case HOTCOPY_IOCTL_STATS:
		return call_stats;
	default:
		return NULL;
	}
}

enum set_result
control_call_of(struct control_file *f, uint32_t code, void *buffer, uint32_t in,
    uint32_t room, uint32_t *out, const struct set_caller *caller)
{
	enum set_result result = control_check(code, buffer, in, room);
	call_fn *call = call_of(code);
	bool closed;

	*out = 0;
	if (result != SET_OK)
		return result;
	if (call == NULL && code != HOTCOPY_IOCTL_FREEZE)
		return SET_NO_CALL;
	env_mutex_take(&f->control->mutex);
	closed = f->closed;
	env_mutex_give(&f->control->mutex);
	if (closed)
		return SET_STATE;
	result = call != NULL ? call(f, buffer, room, out)
			      : call_freeze(f, buffer, out, caller);
	if (result != SET_OK)
		*out = 0;
	return result;
}

enum set_result
control_call(struct control_file *f, uint32_t code, void *buffer, uint32_t in,
    uint32_t room, uint32_t *out)
{
	return control_call_of(f, code, buffer, in, room, out, NULL);
}
