/*
 * hotcopy_link.h - calls to the hot-copy driver: a handle of its control device.
 *
 * On Windows the device is \\.\HotCopy, and a volume is any path that opens it.  On Linux
 * it is the simulator's socket (driver/sim/DESIGN.md): there a volume is called
 * "hotcopy:SOCKET:NAME", and each socket is a driver of its own.
 *
 * A link is a handle: what it prepared ends with it, however the process ends.  Any
 * thread may call; calls of one link may wait for each other.
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_LINK_H
#define AGENT_HOTCOPY_HOTCOPY_LINK_H

#include <stddef.h>
#include <stdint.h>

#include "driver/abi/hotcopy.h"

struct err;
struct hotcopy_link;

#define HOTCOPY_PLACE "hotcopy:" /* What such a path begins with on Linux. */

/* An NTSTATUS of a call that went well, and of a link that is gone. */
#define HOTCOPY_OK 0u
#define HOTCOPY_GONE 0xC000009Du /* STATUS_DEVICE_NOT_CONNECTED */

/*
 * The driver that knows the volume at `path`; NULL: this system's.  ERR_UNSUPPORTED: there
 * is none, or it is not running; ERR_PROTOCOL: it is another version; ERR_DENIED; ERR_NOMEM.
 */
int hotcopy_link_open(const char *path, struct hotcopy_link **out, struct err *err);
void hotcopy_link_close(struct hotcopy_link *l); /* NULL is allowed. */

/* The driver's number of the volume at `path`.  ERR_NOTFOUND: it is not above it. */
int hotcopy_link_volume(
    struct hotcopy_link *l, const char *path, uint64_t *volume, struct err *err);

/*
 * One call of driver/abi/hotcopy.h: the NTSTATUS.  `*given` (may be NULL) bytes of `out`
 * were filled; a failed call fills none.
 */
uint32_t hotcopy_link_call(struct hotcopy_link *l, uint32_t code, const void *in,
    size_t len, void *out, size_t room, size_t *given);

/* Read the image that this link is bound to: an NTSTATUS.  At most 1 MiB, whole sectors. */
uint32_t
hotcopy_link_read(struct hotcopy_link *l, uint64_t offset, void *out, uint32_t len);

/*
 * The next event of the set that this link prepared, or of none (`set` 0: all links are
 * told): 1; 0: none within `wait_ms`; -1: the link is gone.  One thread at a time.
 */
int
hotcopy_link_event(struct hotcopy_link *l, uint32_t wait_ms, struct hotcopy_event *out);

/* The wait for an event, or the next one, is over at once.  Any thread. */
void hotcopy_link_wake(struct hotcopy_link *l);

#endif /* AGENT_HOTCOPY_HOTCOPY_LINK_H */
