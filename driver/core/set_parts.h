/*
 * set_parts.h - what set.c (calls), set_freeze.c (the cut) and set_event.c share.
 */
#ifndef DRIVER_CORE_SET_PARTS_H
#define DRIVER_CORE_SET_PARTS_H

#include "driver/core/atomic.h"
#include "driver/core/copy.h"
#include "driver/core/diff.h"
#include "driver/core/env.h"
#include "driver/core/set.h"
#include "driver/core/track.h"
#include "driver/core/volume.h"

/* Volumes that are not frozen but lend room for copies. */
#define SET_LENDERS_MAX 8u
#define SET_EVENTS 64u

struct member {
	struct volume *volume; /* NULL: left */
	struct copy *copy;
	uint64_t generation; /* that began at the last cut; 0: none */
	bool lends;	     /* extents of it hold copies */
	bool hold;	     /* FLUSH_AND_HOLD has come; within the lock */
};

struct set {
	struct env_mutex mutex;
	uint64_t number;
	struct set_notice notice;
	uint32_t full, throttle_ms, chunk_shift;
	uint64_t only_changed;
	struct diff *diff;
	/* The frozen ones, then the lenders. */
	struct member member[HOTCOPY_VOLUMES_MAX + SET_LENDERS_MAX];
	uint32_t volumes, members;
	uint32_t frozen;     /* there is an image */
	uint32_t ending;     /* events are nobody's any more */
	uint32_t abandoned;  /* no cut is wanted any more */
	uint32_t lost;	     /* enum hotcopy_reason: why all images are */
	uint32_t lost_told;  /* each has been dropped */
	uint32_t to_reclaim; /* an image was dropped: its copies are of no use */

	/* A spin lock: the holds and the events. */
	struct env_lock lock;
	bool wants_holds;
	struct env_event come, over;
	uint64_t hold_time;
	uint32_t hold_turn; /* changes with each FREEZE's begin and end */
	struct hotcopy_event event[SET_EVENTS];
	uint64_t sequence; /* of the last */
	uint32_t events;   /* that nobody has taken */
	bool low;	   /* LOW_SPACE was told */
};

/* Also without the mutex: it may leave at any moment. */
static inline struct volume *
member_volume(const struct member *m)
{
	return atomic_get_pointer((void *const *)&m->volume);
}

/* NULL: not of the set.  With the mutex. */
struct member *set_member(struct set *s, const struct volume *v);
void set_notice_of(struct set *s, struct copy_notice *notice);

#endif /* DRIVER_CORE_SET_PARTS_H */
