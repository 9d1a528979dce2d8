/*
 * volume.h - one volume under the filter: its gate, what waits at it, and who is asked
 * before a write may pass.
 *
 * The glue makes a volume when its device starts and ends it when the device goes.  For
 * every write it calls volume_write_begin; on VOLUME_FORWARD it sends the request down
 * and calls volume_write_done when that has completed, however it did.  On VOLUME_HOLD it
 * marks the request pending and calls volume_hold; the core then owns it until one of its
 * threads calls ops->forward, after which the glue again sends it down and calls
 * volume_write_done. A request is never failed, lost or held for ever: see
 * driver/DESIGN.md, P1.
 *
 * A write passes three questions, in this order and between "in flight" being counted and
 * the request being sent: is the gate open, must something be copied first (copy.h), does
 * the tracking know of it (track.h).  The count before the question is what makes the
 * gate tight: who closes it sees either the count or is seen.  The proofs:
 * driver/core/DESIGN.md.
 *
 * Every volume has one thread, which sleeps while nothing waits; a set adds helpers.
 * Locks, in order: set.h's mutex, the volume's mutex, track.h's mutex; spin locks are
 * never held together.
 */
#ifndef DRIVER_CORE_VOLUME_H
#define DRIVER_CORE_VOLUME_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct volume;
struct copy;
struct track;

/* A waiting write, laid into room that the request itself has: no allocation.  The glue
   gets back from it to its request.  The words are the core's: a range and a time,
   packed so that on i686, too, it fits a request's DriverContext. */
struct held {
	struct held *next;
	uint32_t word[3];
};

/*
 * What the core has the glue do, all with "device" of volume_make.  read and write are
 * passive and synchronous, do not pass this filter again, and have memory of their own
 * laid by, so that they fail only if the disk does: 0 or -1.  "buffer" comes from
 * env_alloc. Lengths are whole sectors, at most VOLUME_IO_MAX.
 */
struct volume_ops {
	int (*read)(void *device, uint64_t offset, void *buffer, uint32_t length);
	/* through: on stable storage when it returns (for the tracking store). */
	int (*write)(void *device, uint64_t offset, const void *buffer, uint32_t length,
	    bool through);
	/* Passive.  Sends a held request down; volume_write_done follows, maybe before
	   the return. */
	void (*forward)(void *device, struct held *h);
};
#define VOLUME_IO_MAX (64u << 10)

/*
 * Passive.  A volume of "length" bytes with sectors of "sector".  Never fails but for the
 * struct itself (NULL): what has no thread is HOTCOPY_PASSING for ever.  The number is
 * the driver's, unique until the machine's restart.
 */
struct volume *volume_make(const struct volume_ops *ops, void *device, uint64_t number,
    uint64_t length, uint32_t sector);

/* The volume's device is gone or going: an image is dropped, the gate opens, what waited
   is sent down, later writes only pass.  Up to DISPATCH_LEVEL, waits for nothing. */
void volume_gone(struct volume *v);
/* Passive.  After volume_gone, when nothing is in flight any more and no set has it. */
void volume_free(struct volume *v);

/* Passive.  Nothing but passing on, from now on: the kill switch.  An image is dropped,
   tracking INVALID. */
void volume_pass_only(struct volume *v);

enum volume_verdict { VOLUME_FORWARD, VOLUME_HOLD };
/* Up to DISPATCH_LEVEL; no lock, no allocation, no wait on the way to VOLUME_FORWARD. */
enum volume_verdict
volume_write_begin(struct volume *v, uint64_t offset, uint32_t length);
void volume_hold(struct volume *v, struct held *h, uint64_t offset, uint64_t length);
void volume_write_done(struct volume *v);

/*
 * A request that writes or discards a known range (TRIM, offloaded or disk-side copies)
 * goes by volume_range_begin like a write, for its length may be beyond 32 bits; then
 * volume_hold and volume_write_done as for a write.  A held range of up to
 * VOLUME_RANGE_MAX is exact; who has a longer one asks for pieces, or what lies behind it
 * counts as written, too.
 *
 * One that writes nobody knows where passes the gate as a write of length 0 (so a cut
 * waits for it), and only when it may go, volume_unknown_write (passive), then it is
 * sent: the image is dropped, and everything counts as changed.  Told before it has
 * passed, a cut could come in between, and nobody would drop the image that it then
 * writes into.
 */
#define VOLUME_RANGE_MAX ((uint64_t)64 << 30)
enum volume_verdict
volume_range_begin(struct volume *v, uint64_t offset, uint64_t length);
void volume_unknown_write(struct volume *v, enum hotcopy_reason why);
/* Passive.  The volume has another length now. */
void volume_resized(struct volume *v, uint64_t length);
/* Sleep, hibernation, shutdown: the image is dropped.  Passive.  At shutdown tracking is
   also written down as clean; writes afterwards are tracked still, and the clean mark
   goes with the first.  Before sleep nothing is written: the disk may be off already, and
   a machine that does not wake has crashed, which tracking outlives. */
void volume_power(struct volume *v, bool shutdown);

/*
 * Passive.  Gives the tracking that was there (NULL: none), which nobody uses any more,
 * and has writes ask "t" (NULL: none) from now on.  The gate stays open and nothing in
 * flight is waited for.  Not while a set has the volume.  What passes meanwhile is
 * unknown to both: whoever puts a tracking that claims to know of earlier writes does so
 * before the device takes any.
 */
struct track *volume_track_put(struct volume *v, struct track *t);

/* Asked by the glue and by set.h. */
uint64_t volume_number(const struct volume *v);
uint64_t volume_length(const struct volume *v);
uint32_t volume_sector(const struct volume *v);
enum hotcopy_state volume_state(const struct volume *v);
struct track *volume_track(const struct volume *v); /* NULL: OFF */

/*
 * The gate, for set.h; passive.  Close: from now on every write waits; drained: wait
 * until nothing is in flight, false when the time (100 ns, as env_now counts) has come;
 * open: with an engine that is asked before each write (or NULL), what waited goes on.
 * Open always follows close.  A gate of a volume that is gone, or only passes, stands
 * open and counts as drained.
 */
void volume_gate_close(struct volume *v);
bool volume_gate_drained(struct volume *v, uint64_t until);
/* An engine: only after drained said true. */
void volume_gate_open(struct volume *v, struct copy *engine);
/* Takes the engine away: waits for whoever is asking it, and for copies being made (no
   limit: the disk's), but not for writes in flight.  The gate is not closed for it. */
void volume_engine_remove(struct volume *v);
/* What has happened since volume_calm that forbids an image (a resize, an unknown write,
   sleep), also while no engine was there to be dropped. */
void volume_calm(struct volume *v);
enum hotcopy_reason volume_spoilt(const struct volume *v);
/* Threads beside the volume's own that serve held writes; gives how many could be made,
   at most VOLUME_HELPERS_MAX. */
#define VOLUME_HELPERS_MAX 3u
unsigned volume_helpers_start(struct volume *v, unsigned helpers);
void volume_helpers_stop(struct volume *v);

/* How many wait; how many had to since the last cut, and how long the longest of those
   that went on did (100 ns). */
uint32_t volume_waiting(const struct volume *v);
uint64_t volume_held(const struct volume *v);
uint64_t volume_longest_hold(const struct volume *v);

/* The volume's own I/O, below the filter, for copy.h, diff.h, track.h. */
int volume_read(struct volume *v, uint64_t offset, void *buffer, uint32_t length);
int volume_io_write(
    struct volume *v, uint64_t offset, const void *buffer, uint32_t length, bool through);

#endif /* DRIVER_CORE_VOLUME_H */
