/*
 * target.h - where a restore writes: a new file, an existing one, or a device.
 *
 * target_open() makes every check there is before a byte is written: that the
 * target is large enough, not mounted or held by anybody, not the backing of a
 * loop device, not being backed up, and no file that somebody may miss.
 *
 *	target_open -> target_write, target_zero ... -> target_finish | target_abandon
 *
 * Between open and finish any number of threads may write, each its own ranges.
 */
#ifndef AGENT_RESTORE_TARGET_H
#define AGENT_RESTORE_TARGET_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct target;

/* Flags. */
#define TARGET_KEEP 1u	     /* Write in place, into what is there. */
#define TARGET_REPLACE 2u    /* An existing file may be replaced. */
#define TARGET_DISCARD 4u    /* target_hole() tells the device. */
#define TARGET_CLEAR 8u	     /* target_hole() makes zeros. */
#define TARGET_ENDS_LAST 32u /* Of a device the begin and end become valid last. */
#define TARGET_VHDX 16u	     /* A new file, as a virtual disk of that size (vhdx.h). */
#define TARGET_TWIN 64u	     /* A disk with the same ids is there: it stays offline. */

/*
 * Open `path` for a volume or disk of `size` bytes in sectors of `sector_size` bytes
 * (0: not known).  A file is made as "<path>.partial" unless TARGET_KEEP.  ERR_EXISTS,
 * ERR_BUSY, ERR_LIMIT (too small), ERR_NOTFOUND (no such directory; nothing to keep),
 * ERR_UNSUPPORTED.
 */
int target_open(const char *path, uint64_t size, uint32_t sector_size, unsigned flags,
    struct target **out, struct err *err);

/* A line that people should read, or "". */
const char *target_note(const struct target *t);

/* Non-zero: what is not written reads as zeros. */
int target_fresh(const struct target *t);

/*
 * ERR_NOSPACE where a new file would get `bytes` of data and its file system has less
 * room: better said now than after hours.
 */
int target_need(struct target *t, uint64_t bytes, struct err *err);

/* Non-zero: a failure leaves the target half written. */
int target_in_place(const struct target *t);

int
target_read(struct target *t, uint64_t offset, uint8_t *out, size_t len, struct err *err);
int target_write(
    struct target *t, uint64_t offset, const uint8_t *p, size_t len, struct err *err);

/*
 * As target_write(), but with TARGET_KEEP only what differs, looked at by 4 KiB.
 * `same` gets the bytes left alone.
 */
int target_update(struct target *t, uint64_t offset, const uint8_t *p, size_t len,
    uint64_t *same, struct err *err);

/* Make `len` bytes zeros; with TARGET_KEEP those that are not. */
int target_zero(struct target *t, uint64_t offset, uint64_t len, struct err *err);

/* A range whose content is free: discard or clear it as the flags say. */
int target_hole(struct target *t, uint64_t offset, uint64_t len, struct err *err);

/*
 * A view: another target of `size` bytes whose bytes go where its pieces say, which
 * stand in order and do not overlap: to the whole's bytes from `to`, or to memory that
 * is the caller's.  Bytes in no piece go nowhere and read as zeros.  `flags` are its
 * own.  Ends by target_abandon(), before the whole does; never by target_finish().
 */
struct target_piece {
	uint64_t from, len; /* Bytes of the view. */
	uint64_t to;	    /* Byte of the whole. */
	uint8_t *held;	    /* Or memory. */
};
int target_view(struct target *whole, const struct target_piece *pieces, unsigned n,
    uint64_t size, unsigned flags, struct target **out, struct err *err);

/*
 * A view leaves out what `skip` says (target_skip.h; copied): it goes nowhere, too.
 * Before anything is written through it.
 */
struct target_skip;
void target_view_skip(struct target *view, const struct target_skip *skip);

/* Non-zero: all of the range goes nowhere.  NULL: none does. */
int target_nowhere(const struct target *t, uint64_t offset, uint64_t len);

/* What was written is on the medium, and is read from there from now on. */
int target_settle(struct target *t, struct err *err);

/* Bytes written so far, zeros included. */
uint64_t target_written(const struct target *t);

/* All is written: sync, give it its name, free.  On failure it is abandoned. */
int target_finish(struct target *t, struct err *err);

/* Give up: the partial file is removed; what was written in place stays.  NULL is
 * allowed. */
void target_abandon(struct target *t);

#endif /* AGENT_RESTORE_TARGET_H */
