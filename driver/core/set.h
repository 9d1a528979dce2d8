/*
 * set.h - a snapshot set: up to 64 volumes frozen at one instant.
 *
 * Calls come in the order of driver/abi/hotcopy.h.  One set is open at a time.  All
 * functions are passive and take the set's mutex, but set_read, which waits only for the
 * disk.
 */
#ifndef DRIVER_CORE_SET_H
#define DRIVER_CORE_SET_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/abi/hotcopy.h"

struct set;
struct volume;

/* What a call comes to; the glue gives each its NTSTATUS. */
enum set_result {
	SET_OK,
	SET_BAD,  /* a field is wrong */
	SET_SIZE, /* a size is */
	SET_ABI,
	SET_STATE,
	SET_NOT_FOUND,
	SET_BUSY,
	SET_TIMEOUT,
	SET_CANCELLED, /* who asked does not want it any more */
	SET_NO_MEMORY,
	SET_LOST,
	SET_NOT_KEPT,
	SET_IO,
	SET_NO_CALL,
	SET_PENDING /* control_call only: no event yet; ask control_event when told */
};

/* Told when events wait, so that the glue completes waiting requests; up to
 * DISPATCH_LEVEL. */
struct set_notice {
	void (*events)(void *who);
	void *who;
};

/* Who makes a call that waits: has he gone, or taken it back?  Looked at now and then;
   passive.  NULL, or no function: he waits. */
struct set_caller {
	bool (*gone)(void *who);
	void *who;
};

/* Takes memory, threads and maps for all it may need; after SET_OK nothing else does. The
   volumes stay until set_free. */
enum set_result
set_prepare(struct set **out, uint64_t number, const struct hotcopy_prepare *p,
    struct volume *const *volumes, struct set_notice notice);
/* Release in any state: engines are removed, memory goes.  No other call of the set runs
   or comes any more.  NULL is legal. */
void set_free(struct set *s);
/* The volume's device goes (volume_gone was called): it is not touched afterwards.  Its
   image, and if copies lie on it those of all, are lost; the others go on. */
void set_leave(struct set *s, struct volume *v);

enum set_result set_diff_add(struct set *s, struct volume *at,
    const struct hotcopy_extent *extent, uint32_t extents);
enum set_result set_exclude(struct set *s, struct volume *at,
    const struct hotcopy_extent *extent, uint32_t extents);

/*
 * Closes the gates of all, waits until nothing is in flight anywhere, cuts, opens.  On
 * SET_TIMEOUT every gate is open and the set is prepared as before.  With AT_HOLD it
 * first waits until set_hold was called for every volume.  A volume that is gone, or has
 * another length than at PREPARE, does not stop the others: its image is DROPPED.
 * SET_BAD: only_changed without GENERATION, for "since when" would be unknown.
 * SET_CANCELLED: before the cut the caller went, or set_abandon came; as after a timeout.
 */
enum set_result set_freeze(struct set *s, const struct hotcopy_freeze *f,
    struct hotcopy_frozen *out, const struct set_caller *caller);
/* Nobody waits for this set any more: a FREEZE that is under way ends before its cut.
   Takes no mutex; set_free must follow. */
void set_abandon(struct set *s);
/* FLUSH_AND_HOLD_WRITES has come to this volume: the file system above holds its writes.
   Waits (passive) until the cut is made or given up; then the glue passes the request on.
   Without a FREEZE that wants it, it returns at once.  Takes no mutex.  false: the caller
   has gone first, and the volume counts as held no longer. */
bool set_hold(struct set *s, struct volume *v, const struct set_caller *caller);

enum set_result
set_read(struct set *s, uint32_t index, uint64_t offset, void *out, uint32_t length);
enum set_result set_unneeded(
    struct set *s, uint32_t index, uint64_t first, uint32_t count, const uint8_t *bits);
enum set_result set_done(struct set *s, uint32_t index, uint64_t offset, uint64_t length);
enum set_result set_changed(struct set *s, uint32_t index, uint32_t flags, uint64_t first,
    uint32_t count, uint8_t *bits);
enum set_result set_stats(struct set *s, uint32_t index, struct hotcopy_stats *out);

uint64_t set_number(const struct set *s);
uint32_t set_chunk_shift(const struct set *s);
struct volume *set_volume(const struct set *s, uint32_t index); /* NULL: no such */
enum hotcopy_state set_state(const struct set *s, const struct volume *v);
/* Why its image was dropped; NONE also of one that is not of the set. */
enum hotcopy_reason set_why(const struct set *s, const struct volume *v);
/* The next event; false: none. */
bool set_event(struct set *s, struct hotcopy_event *out);

#endif /* DRIVER_CORE_SET_H */
