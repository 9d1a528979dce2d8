/*
 * tracking_store.h - where the driver keeps what it tracks, so that it outlives a restart
 * of the machine.
 *
 * On Windows a pinned file on the volume itself (agent/hotcopy/hotcopy_pin.h).  It stays
 * pinned until the process ends (who tracks is the service) or locks the volume.
 * Elsewhere memory, until the simulator ends.
 */
#ifndef AGENT_CAPTURE_TRACKING_STORE_H
#define AGENT_CAPTURE_TRACKING_STORE_H

#include "driver/abi/hotcopy.h"

struct err;
struct hotcopy_link;

/*
 * Begin to track the volume at `path`, which is OFF.  With no room for a store it is
 * tracked in memory alone.  What hotcopy_track() gave.
 */
int tracking_store_begin(struct hotcopy_link *l, const char *path,
    const struct hotcopy_volume *v, const uint8_t nonce[HOTCOPY_NONCE], struct err *err);

/* It is tracked already: hold its store where it is, as far as that can be done. */
void tracking_store_hold(const char *path, const struct hotcopy_volume *v);

/*
 * What the volume at `path`, the driver's `number`, is called for as long as it may be
 * tracked, whatever its letter: malloc'ed; NULL without memory.  One that Windows has no
 * name for has no store either, and is tracked until the next start: as long as its number
 * is the same.
 */
char *tracking_store_volume(const char *path, uint64_t number);

/* Its store is to be made anew; or its file is in the way of a lock. */
void tracking_store_drop(const char *path);

#endif /* AGENT_CAPTURE_TRACKING_STORE_H */
