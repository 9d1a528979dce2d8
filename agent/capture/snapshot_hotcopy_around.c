#include "agent/capture/snapshot_hotcopy.h"

#include "agent/capture/around.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"

/* What around.h calls while VSS works. */
struct meanwhile {
	struct hot_set *s;
	int (*freeze)(
	    struct hot_set *s, uint32_t flags, uint32_t hold_ms, struct err *err);
	int (*prepare)(struct hot_set *s, struct err *err);
};

static int
at_hold(void *arg, uint32_t hold_ms, struct err *err)
{
	struct meanwhile *m = arg;

	return m->freeze(m->s, HOTCOPY_FREEZE_AT_HOLD, hold_ms, err);
}

static void
undo(void *arg)
{
	struct meanwhile *m = arg;
	struct err ignored = ERR_INIT;

	/* Without a set the next cut says so. */
	(void)m->prepare(m->s, &ignored);
}

int
snapshot_hotcopy_cut_around(struct hot_set *s,
    int (*freeze)(struct hot_set *s, uint32_t flags, uint32_t hold_ms, struct err *err),
    int (*prepare)(struct hot_set *s, struct err *err), struct err *err)
{
	struct meanwhile m = { s, freeze, prepare };
	const struct around_cut cut = { .cut = at_hold, .undo = undo, .arg = &m };
	const char *paths[HOTCOPY_VOLUMES_MAX];

	for (unsigned i = 0; i < s->count; i++)
		paths[i] = s->volume[i]->path;
	if (around_new(around_system, s->options, paths, s->count, &s->around, err) !=
	    0) {
		s->around = NULL;
		return -1;
	}
	return around_cut(s->around, &cut, err);
}
