/*
 * volume_parts.h - what volume.c (the gate) and volume_held.c (what waits at it) share.
 */
#ifndef DRIVER_CORE_VOLUME_PARTS_H
#define DRIVER_CORE_VOLUME_PARTS_H

#include "driver/core/atomic.h"
#include "driver/core/env.h"
#include "driver/core/volume.h"

/* Of volume.state.  None of VOLUME_ASKS is the idle path. */
#define VOLUME_SHUT 1u	    /* the gate is closed */
#define VOLUME_ENGINE 2u    /* "engine" is to be asked */
#define VOLUME_TRACKED 4u   /* "track" is to be asked */
#define VOLUME_PASSES 8u    /* kill switch, or no thread: as if nobody were here */
#define VOLUME_GONE 16u	    /* so is this, and the device is no more */
#define VOLUME_CHANGING 32u /* somebody waits until nobody is inside */

#define VOLUME_OTHER 64u /* who enters now counts in inside[1] */
#define VOLUME_ASKS (VOLUME_SHUT | VOLUME_ENGINE | VOLUME_TRACKED)

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
	uint32_t count;	    /* writes in flight */
	uint32_t inside[2]; /* those who may be using engine or tracking */
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

/* Between them engine and track may be used, if "state" says, asked in between, that they
   are there.  exit takes what enter gave. */
uint32_t volume_enter(struct volume *v);
void volume_exit(struct volume *v, uint32_t which);
/* Inside: do writes pass unasked?  Then there is no image any more, from before the first
   of them. */
bool volume_unasked(struct volume *v, uint32_t state);
/* Asks the tracking about all of a range.  false: some of it must be logged first. */
bool volume_tracked(struct volume *v, uint64_t offset, uint64_t length);
/* Something may have changed for those who wait. */
void volume_wake(struct volume *v);
/* A range, and the time, as a held write carries them (see there). */
void volume_held_pack(struct held *h, uint64_t offset, uint64_t length, uint64_t now);
void volume_held_unpack(const struct held *h, uint64_t now, uint64_t *offset,
    uint64_t *length, uint64_t *waited);
/* The thread that every volume has. */
void volume_serve(void *volume);

#endif /* DRIVER_CORE_VOLUME_PARTS_H */
