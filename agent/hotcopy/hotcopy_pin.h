/*
 * hotcopy_pin.h - room on a volume that stays where it is: a diff area or a tracking store.
 *
 * On Windows a file of the agent's own in the root of an NTFS ($Holdfast.room,
 * $Holdfast.track): hidden, for SYSTEM and administrators alone, its clusters protected
 * from being moved while it is open (FSCTL_MARK_HANDLE, MARK_HANDLE_PROTECT_CLUSTERS),
 * and its places asked after that.  On Linux a disk of the simulator that holds nothing
 * else, from its start; its name begins with "room" ("hotcopy:SOCKET:room2").
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_PIN_H
#define AGENT_HOTCOPY_HOTCOPY_PIN_H

#include <stdint.h>

#include "driver/abi/hotcopy.h"

struct err;
struct hotcopy_pin;

enum hotcopy_pin_use {
	HOTCOPY_PIN_ROOM, /* Copies: made anew, and gone when it is closed. */
	HOTCOPY_PIN_STORE /* Tracking: stays, and is opened again by the same name. */
};

/*
 * `bytes` of the volume at `volume`, and up to a cluster or sector more.  A store that is
 * there is opened as it is, if it is large enough: its places are asked anew.
 * ERR_NOSPACE (also if less than a tenth of the volume would be left free); ERR_BUSY: the
 * file is in use; ERR_DENIED: it is somebody else's; ERR_UNSUPPORTED: no NTFS, sparse or
 * compressed, on Linux any store.
 */
int hotcopy_pin_open(const char *volume, enum hotcopy_pin_use use, uint64_t bytes,
    struct hotcopy_pin **out, struct err *err);

/* Its extents by their offsets on the volume; how many.  They are the pin's. */
unsigned
hotcopy_pin_extents(const struct hotcopy_pin *p, const struct hotcopy_extent **extent);

/* NULL is allowed. */
void hotcopy_pin_close(struct hotcopy_pin *p);

/* Rooms that a dead process left on `volume`. */
void hotcopy_pin_clean(const char *volume);

#endif /* AGENT_HOTCOPY_HOTCOPY_PIN_H */
