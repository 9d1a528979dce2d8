/*
 * calls.h - the control device of the simulator: calls of driver/abi/hotcopy.h over a
 * unix socket.  A connection is a handle: closed, however its process ends, what it
 * prepared is released.  The bytes are described in driver/sim/DESIGN.md.
 */
#ifndef DRIVER_SIM_CALLS_H
#define DRIVER_SIM_CALLS_H

#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct calls;
struct control_file;
struct disk;
struct record;

/* Codes of our own beside HOTCOPY_IOCTL_*. */
#define CALLS_READ 1u  /* ReadFile: in u64 offset, u32 length, u32 0; out the bytes */
#define CALLS_HOLD 2u  /* FLUSH_AND_HOLD_WRITES: in u64 volume; answered after the cut */
#define CALLS_POWER 3u /* in u32: 1 shutdown, 0 sleep */
#define CALLS_DELAY 4u /* disk_delay: in u64 volume, u32 read, u32 write microseconds */
#define CALLS_EVENT \
	5u /* WAIT_EVENT that does not wait: CALLS_PENDING, if none is there */
#define CALLS_FORGET \
	6u /* disk_forget: in u64 volume, u32 share, u32 seed; out u32 so far */
#define CALLS_PENDING 0x103u /* STATUS_PENDING */

#define CALLS_HEAD 16u		   /* of a request; an answer has 8 */
#define CALLS_BYTES_MAX (2u << 20) /* in, and room for out */
#define CALLS_CONNECTIONS_MAX 64u

/* Listens at "path", which nobody but this user may connect to.  NULL: said in "why". */
struct calls *calls_listen(const char *path, char *why, unsigned why_size);
/* Answers from now on, in threads of its own; the disks stay until calls_close, and are
   in no control yet.  -1: said in "why". */
int calls_start(struct calls *c, struct disk *const *disks, uint32_t count,
    struct record *record, char *why, unsigned why_size);
/* Ends all connections, as a shutdown of the machine does; the disks are gone
   afterwards. */
void calls_close(struct calls *c);

/* What a tracking that was opened before calls_start tells; any thread. */
void calls_lost(struct calls *c, uint64_t volume, enum hotcopy_reason why);

/* A handle that reads the frozen image of this disk, for control_read; control_cleanup
   and control_close take it.  NULL: the disk is in no set that is frozen. */
struct control_file *calls_frozen(struct calls *c, const struct disk *d);

#endif /* DRIVER_SIM_CALLS_H */
