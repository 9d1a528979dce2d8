/*
 * record.h - what was written to the simulator's disks, in order, for an oracle.
 *
 * A write is recorded twice: when it comes, with its bytes, before the driver's core sees
 * it, and when it has been done, before the host is told.  FREEZE is recorded before it
 * is called and after it returned.  A record's place in the file is its number, from 0:
 * so an image must have every write whose end lies before "freeze", and none whose begin
 * lies after "frozen".
 *
 * A record is RECORD_HEAD bytes and, of a RECORD_WRITE, its data.  Little-endian: u32
 * kind, u32 length, u64 volume, u64 offset, u64 of (RECORD_END: the number of its begin;
 * else 0), u32 failed, u32 0.
 */
#ifndef DRIVER_SIM_RECORD_H
#define DRIVER_SIM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#define RECORD_HEAD 40u

enum record_kind {
	RECORD_WRITE = 1,
	RECORD_ZERO = 2, /* length bytes became zeros */
	RECORD_END = 3,
	RECORD_FREEZE = 4, /* volume: the set's number */
	RECORD_FROZEN = 5  /* failed: FREEZE was refused */
};

struct record;

/* A new file; NULL with errno.  All functions may be called with NULL: nothing is kept.
   A record that cannot be written is said once on stderr, and ends the recording. */
struct record *record_open(const char *path);
void record_close(struct record *r);

/* Any thread.  The number of the record. */
uint64_t record_begin(struct record *r, enum record_kind kind, uint64_t volume,
    uint64_t offset, uint32_t length, const void *data);
void record_end(struct record *r, uint64_t begun, bool failed);
void record_mark(struct record *r, enum record_kind kind, uint64_t set, bool failed);

#endif /* DRIVER_SIM_RECORD_H */
