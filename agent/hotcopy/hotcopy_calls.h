/*
 * hotcopy_calls.h - the driver's calls with their structures filled in and their answers
 * as errors.
 *
 * What a call is for, and in which order they come, is said in driver/abi/hotcopy.h.
 * Errors: ERR_SNAPSHOT_LOST (the image, or these bytes of it, or the driver is gone),
 * ERR_NOTFOUND (no such volume, set, generation), ERR_BUSY (a set is open), ERR_TIMEOUT
 * (the gate), ERR_NOSPACE (no memory for it), ERR_UNSUPPORTED (a call it does not know,
 * not in this state), ERR_IO (also an answer that cannot be).
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_CALLS_H
#define AGENT_HOTCOPY_HOTCOPY_CALLS_H

#include <stddef.h>
#include <stdint.h>

#include "agent/hotcopy/hotcopy_link.h"

struct err;

/*
 * An NTSTATUS as an error, "what: ..." with the status in words; 0 for HOTCOPY_OK.
 * HOTCOPY_GONE is ERR_SNAPSHOT_LOST: what the link had frozen went with it.
 */
int hotcopy_error(uint32_t status, const char *what, struct err *err);

/* 1: it only passes everything on (kill switch, failed starts); 0; -1. */
int hotcopy_is_disabled(struct hotcopy_link *l, uint32_t *build, struct err *err);

/* All volumes, freed by the caller; of one by its number. */
int hotcopy_list(struct hotcopy_link *l, struct hotcopy_volumes **out, struct err *err);
int hotcopy_find(
    struct hotcopy_link *l, uint64_t volume, struct hotcopy_volume *out, struct err *err);

/* Extents rise and do not overlap; `nonce` is random.  `extents` 0: in memory alone. */
int hotcopy_track(struct hotcopy_link *l, uint64_t volume, const uint8_t guid[16],
    const uint8_t nonce[HOTCOPY_NONCE], const struct hotcopy_extent *extent,
    unsigned extents, struct err *err);
int hotcopy_untrack(struct hotcopy_link *l, uint64_t volume, struct err *err);
int hotcopy_invalidate(struct hotcopy_link *l, uint64_t volume, struct err *err);

struct hotcopy_wishes {
	uint32_t chunk_shift; /* 0: the driver's. */
	uint64_t memory;      /* Bytes for copies, 1 MiB and more. */
	uint32_t
	    throttle_ms; /* A write waits so long for room; 0: the image is dropped. */
};

int hotcopy_prepare(struct hotcopy_link *l, const uint64_t *volume, unsigned count,
    const struct hotcopy_wishes *wishes, struct hotcopy_prepared *out, struct err *err);
/* More than HOTCOPY_EXTENTS_MAX go in several calls. */
int hotcopy_add_room(struct hotcopy_link *l, uint64_t set, uint64_t at,
    const struct hotcopy_extent *extent, unsigned extents, struct err *err);
int hotcopy_exclude(struct hotcopy_link *l, uint64_t set, uint64_t at,
    const struct hotcopy_extent *extent, unsigned extents, struct err *err);
/* `flags`: HOTCOPY_FREEZE_*; `timeout_ms` of the gate, `hold_ms` with AT_HOLD. */
int hotcopy_freeze(struct hotcopy_link *l, uint64_t set, uint32_t flags,
    uint32_t timeout_ms, uint32_t hold_ms, const uint8_t nonce[HOTCOPY_NONCE],
    struct hotcopy_frozen *out, struct err *err);
int hotcopy_bind(struct hotcopy_link *l, uint64_t set, unsigned index, struct err *err);
/* Bit n of `bits` is chunk `first` + n; `first` is a multiple of 8.  Any number. */
int hotcopy_unneeded(struct hotcopy_link *l, uint64_t set, unsigned index, uint64_t first,
    uint64_t count, const uint8_t *bits, struct err *err);
int hotcopy_done_read(struct hotcopy_link *l, uint64_t set, unsigned index,
    uint64_t offset, uint64_t len, struct err *err);

/*
 * Call `each` for every range of the volume's `length` bytes that changed since the base
 * generation, rising; until now if `now`, else until the cut.  `each` that does not give 0
 * ends it, and its answer is given.
 */
int hotcopy_changed(struct hotcopy_link *l, uint64_t set, unsigned index, uint64_t length,
    int now, int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg,
    struct err *err);

/* ERR_NOTFOUND: it is not the generation of the last cut, nor committed already. */
int hotcopy_commit(struct hotcopy_link *l, uint64_t volume, uint64_t generation,
    const uint8_t nonce[HOTCOPY_NONCE], struct err *err);
int hotcopy_abort(struct hotcopy_link *l, uint64_t volume, uint64_t generation,
    const uint8_t nonce[HOTCOPY_NONCE], struct err *err);
int hotcopy_release(struct hotcopy_link *l, uint64_t set, struct err *err);
int hotcopy_stats(struct hotcopy_link *l, uint64_t set, unsigned index,
    struct hotcopy_stats *out, struct err *err);

#endif /* AGENT_HOTCOPY_HOTCOPY_CALLS_H */
