/*
 * tracked.h - tracking goes on from one start of the machine to the next: where each
 * volume's store lies is kept in the registry (record.h), and a store is opened when its
 * volume's device starts, before anything can be written.
 *
 * A volume is known again by what it answers to IOCTL_MOUNTDEV_QUERY_UNIQUE_ID; one that
 * does not answer is tracked until the machine stops.  Passive, all of it.
 */
#ifndef DRIVER_NT_TRACKED_H
#define DRIVER_NT_TRACKED_H

#include "driver/nt/nt.h"
#include "driver/core/set.h"

struct control_file;

void tracked_begin(void);
void tracked_end(void); /* no volume is left */

/* The volume's device has started; the volume has not joined, and what is written already
   is known as early (nt_changed). */
void tracked_start(struct filter *f);
/* The volume's device has started and is passed on to alone, without a volume: what a
   record says of it is not true any more.  NULL: a device that nobody can ask. */
void tracked_missed(struct filter *f);
/* Takes its tracking, if control_leave has not. */
void tracked_leave(struct filter *f);

/* control_call; a TRACK that succeeds is remembered, an UNTRACK forgotten first. */
enum set_result tracked_call(struct control_file *file, uint32_t code, void *buffer,
    uint32_t in, uint32_t room, uint32_t *out);

#endif /* DRIVER_NT_TRACKED_H */
