/*
 * What is on a volume in the middle of its work may be judged by its own bitmap only if
 * what was written since its file system was flushed is known.  The driver tells what was
 * written since a generation, and a volume that has none to count from gets one here: a
 * cut without an image, committed at once.  Nobody's point is of that generation, so
 * whoever compares reads everything, as he would have without it.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <stdlib.h>

#include <sodium.h>

#include "agent/capture/tracking.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

#define MEMORY ((uint64_t)1 << 20) /* Of a set without an image: the least there is. */

static int
is_good(const struct hotcopy_volume *v)
{
	return (v->tracking == HOTCOPY_TRACK_VALID ||
		   v->tracking == HOTCOPY_TRACK_RECOVERED) &&
	       v->generation != 0;
}

static void
flush_all(struct hot_set *s)
{
	struct err ignored = ERR_INIT;

	for (unsigned i = 0; i < s->count; i++) {
		struct hot_volume *v = s->volume[i];

		v->flushed = snapshot_hotcopy_system->flush(v->path, &ignored) == 0;
		err_clear(&ignored);
	}
}

/* A generation of these begins, and is the base from now on. */
static void
begin_anew(struct hot_set *s, const uint64_t *number, unsigned count)
{
	const struct hotcopy_wishes wishes = { .memory = MEMORY };
	struct hotcopy_prepared prepared;
	struct hotcopy_frozen frozen;
	uint8_t nonce[HOTCOPY_NONCE];
	struct err ignored = ERR_INIT;
	int cut;

	if (hotcopy_prepare(s->owner, number, count, &wishes, &prepared, &ignored) != 0)
		return;
	randombytes_buf(nonce, sizeof(nonce));
	cut = hotcopy_freeze(s->owner, prepared.set,
		  HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION, 0, 0, nonce,
		  &frozen, &ignored) == 0;
	err_clear(&ignored);
	(void)hotcopy_release(s->owner, prepared.set, &ignored);
	for (unsigned i = 0; cut && i < count; i++) {
		err_clear(&ignored);
		if (frozen.generation[i] != 0)
			(void)hotcopy_commit(
			    s->owner, number[i], frozen.generation[i], nonce, &ignored);
	}
}

/* Those that have no generation to count from. */
static unsigned
find_bases(struct hot_set *s, uint64_t lacking[HOTCOPY_VOLUMES_MAX])
{
	struct hotcopy_volume facts;
	struct err ignored = ERR_INIT;
	unsigned n = 0;

	for (unsigned i = 0; i < s->count; i++) {
		struct hot_volume *v = s->volume[i];

		v->base = 0;
		if (hotcopy_find(s->owner, v->number, &facts, &ignored) != 0)
			err_clear(&ignored);
		else if (is_good(&facts))
			v->base = facts.generation;
		else if (facts.tracking != HOTCOPY_TRACK_OFF)
			lacking[n++] = v->number;
	}
	return n;
}

void
snapshot_hotcopy_flush(struct hot_set *s)
{
	uint64_t lacking[HOTCOPY_VOLUMES_MAX];
	unsigned n;

	if (s->options->tracking != NULL && s->options->tracking->on) {
		if ((n = find_bases(s, lacking)) > 0) {
			/* What this one writes need not be told. */
			flush_all(s);
			begin_anew(s, lacking, n);
			(void)find_bases(s, lacking);
		}
		/*
		 * After the base, so that what was not written since is older than this;
		 * before the flush, which makes durable what was freed by now.
		 */
		snapshot_hotcopy_take_live(s);
	}
	flush_all(s);
}

void
snapshot_hotcopy_flushed(struct hot_set *s)
{
	struct hotcopy_volume facts;
	struct err ignored = ERR_INIT;

	for (unsigned i = 0; i < s->count; i++) {
		struct hot_volume *v = s->volume[i];

		v->written_known =
		    v->flushed && v->base != 0 && s->frozen.generation[i] != 0 &&
		    hotcopy_find(s->owner, v->number, &facts, &ignored) == 0 &&
		    is_good(&facts) && facts.generation == v->base;
		err_clear(&ignored);
	}
	snapshot_hotcopy_find_freed(s);
}

int
snapshot_hotcopy_written(void *volume,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err)
{
	struct hot_volume *v = volume;

	if (!v->written_known)
		return 0;
	if (hotcopy_changed(v->set->owner, v->set->number, v->index, v->length, 0, each,
		arg, err) != 0)
		return -1;
	return snapshot_hotcopy_tell_freed(v, each, arg) == 0 ? 1 : -1;
}
