/*
 * The thread that hears how the driver is off for room.  When that is short, what was read
 * for good is given up; what a write waits for and was not read is read now, into copies
 * of our own (threatened chunks first), and then given up, too.  So the write goes on and
 * the image stays.  With keep_all nothing is given up.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_link.h"
#include "proto/base/err.h"

#define WAIT_MS 50u	/* So often it looks for room of its own, if that was short. */
#define THREATENED 256u /* More writes wait at once in no set: 64 volumes, 4 threads. */

struct threatened {
	struct hot_volume *v;
	uint64_t chunk;
};

struct listener {
	struct hot_set *set;
	uint8_t *buffer; /* Of one chunk. */
	unsigned count;
	struct threatened waits[THREATENED]; /* Those that could not be kept yet. */
};

static int
is_over(struct hot_set *s)
{
	int over;

	(void)pthread_mutex_lock(&s->lock);
	over = s->stop;
	(void)pthread_mutex_unlock(&s->lock);
	return over;
}

static struct hot_volume *
volume_of(const struct hot_set *s, uint64_t number)
{
	for (unsigned i = 0; i < s->count; i++)
		if (s->volume[i]->number == number)
			return s->volume[i];
	return NULL;
}

/* Read it, keep it, let it go: 0; -1: it cannot be kept now. */
static int
rescue(struct listener *l, const struct threatened *t)
{
	struct hot_volume *v = t->v;
	struct hot_set *s = l->set;
	uint64_t offset = t->chunk << s->chunk_shift;
	uint64_t left = v->length - offset;
	uint32_t len = 1u << s->chunk_shift;
	struct err ignored = ERR_INIT;

	len = left < len ? (uint32_t)left : len;
	/* Not kept: it is given up already, and the write goes on. */
	if (hotcopy_link_read(v->link, offset, l->buffer, len) != HOTCOPY_OK)
		return 0;
	if (snapshot_hotcopy_ahead_put(s->ahead, v, t->chunk, l->buffer) != 0)
		return -1;
	(void)hotcopy_done_read(s->owner, s->number, v->index, offset, len, &ignored);
	return 0;
}

static void
rescue_all(struct listener *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->count; i++)
		if (rescue(l, &l->waits[i]) != 0)
			l->waits[n++] = l->waits[i];
	l->count = n;
}

static void
heed(struct listener *l, const struct hotcopy_event *e)
{
	struct hot_set *s = l->set;
	struct hot_volume *v = volume_of(s, e->volume);

	if (e->set != s->number || v == NULL)
		return;
	(void)pthread_mutex_lock(&s->lock);
	if (e->code == HOTCOPY_EVENT_DROPPED)
		v->dropped = (uint32_t)e->argument;
	if (e->code == HOTCOPY_EVENT_LOW_SPACE || e->code == HOTCOPY_EVENT_THROTTLED)
		s->pressed = 1;
	(void)pthread_mutex_unlock(&s->lock);
	if (e->code == HOTCOPY_EVENT_THROTTLED && e->argument < v->length &&
	    l->count < THREATENED && !s->options->keep_all)
		l->waits[l->count++] =
		    (struct threatened){ v, e->argument >> s->chunk_shift };
}

static void *
listen(void *arg)
{
	struct listener *l = arg;
	struct hot_set *s = l->set;
	struct hotcopy_event e;
	int got = 0;

	while (got >= 0 && !is_over(s)) {
		got = hotcopy_link_event(s->owner, WAIT_MS, &e);
		if (got == 1)
			heed(l, &e);
		if (s->pressed && !s->options->keep_all) {
			snapshot_hotcopy_give_up(s);
			rescue_all(l);
		}
	}
	free(l->buffer);
	free(l);
	return NULL;
}

void
snapshot_hotcopy_listen(struct hot_set *s)
{
	struct listener *l = calloc(1, sizeof(*l));

	s->ahead = snapshot_hotcopy_ahead_new(s);
	if (l != NULL)
		l->buffer = calloc(1, (size_t)1 << s->chunk_shift);
	if (l == NULL || l->buffer == NULL || s->ahead == NULL) {
		if (l != NULL)
			free(l->buffer);
		free(l);
		return;
	}
	l->set = s;
	s->stop = s->pressed = 0;
	s->has_thread = pthread_create(&s->thread, NULL, listen, l) == 0;
	if (!s->has_thread) {
		free(l->buffer);
		free(l);
	}
}

void
snapshot_hotcopy_deafen(struct hot_set *s)
{
	if (s->has_thread) {
		(void)pthread_mutex_lock(&s->lock);
		s->stop = 1;
		(void)pthread_mutex_unlock(&s->lock);
		hotcopy_link_wake(s->owner);
		(void)pthread_join(s->thread, NULL);
	}
	s->has_thread = 0;
}
