/*
 * volume_parts.h - what volume.c (the gate) and volume_held.c (what waits at it) share.
 */
#ifndef DRIVER_CORE_VOLUME_PARTS_H
#define DRIVER_CORE_VOLUME_PARTS_H

#include "driver/core/atomic.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"

/* Of volume.state.  0 is the idle path. */
#define VOLUME_SHUT 1u	    /* the gate is closed */
#define VOLUME_ENGINE 2u    /* "engine" is to be asked */
#define VOLUME_TRACKED 4u   /* "track" is to be asked */
#define VOLUME_PASSES 8u    /* kill switch, or no thread: as if nobody were here */
#define VOLUME_GONE 16u	    /* so is this, and the device is no more */
#define VOLUME_CHANGING 32u /* somebody waits until nobody is inside */

/* Of volume.count: writes in flight below, and above them those who may be using the
   engine or the tracking. */
#define VOLUME_ONE 1u
#define VOLUME_INSIDE (1u << 20)

/* A line of its own for what every write changes. */
#define VOLUME_LINE 64

struct volume {
	/* Read by every write, changed hardly ever. */
	uint32_t state;
	struct copy *engine;
	struct track *track;
	struct volume_ops ops;
	void *device;
	uint64_t number;
	uint32_t sector;

	char line[VOLUME_LINE];
	uint32_t count;
	char line_end[VOLUME_LINE];

	uint32_t spoilt;	 /* enum hotcopy_reason */
	struct env_mutex change; /* of engine and track */
	struct env_event drained, quiet;

	/* A spin lock, never held with another. */
	struct env_lock lock;
	struct held *first, *last; /* wait, in the order in which they came */
	uint64_t length;
	uint64_t held, longest; /* since the last cut */
	uint32_t waiting;	/* in the list or in a thread's hands */

	struct env_event work, help; /* for the own thread; for helpers */
	struct env_thread own, helper[VOLUME_HELPERS_MAX];
	uint32_t stop, helpers_stop;
	unsigned helpers;
	bool threaded; /* there is the own thread */
};

/* Uncounts, and wakes who waited for it. */
void volume_leave(struct volume *v, uint32_t what);
/* Asks the tracking about all of a range.  false: some of it must be logged first. */
bool volume_tracked(struct volume *v, uint64_t offset, uint64_t length);
/* Something may have changed for those who wait. */
void volume_wake(struct volume *v);
/* The thread that every volume has. */
void volume_serve(void *volume);

#endif /* DRIVER_CORE_VOLUME_PARTS_H */
