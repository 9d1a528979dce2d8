/*
 * snapshot_hotcopy_freed.h - clusters that a file system freed about when it was cut.
 *
 * A bit that is clear in a frozen bitmap may be the work of a transaction that its log
 * takes back: the file returns, and its clusters must have been kept, which nobody wrote.
 * So the file system's own bitmap is taken before it is flushed, and what was allocated
 * then and is free in the image counts as written.  What was free by then, and written in
 * the log as such, was made durable by the flush.
 *
 *	take -> (the flush, the cut) -> find -> free
 *
 * Memory is flat: a large bitmap lies in a spill.
 */
#ifndef AGENT_CAPTURE_SNAPSHOT_HOTCOPY_FREED_H
#define AGENT_CAPTURE_SNAPSHOT_HOTCOPY_FREED_H

#include <stddef.h>
#include <stdint.h>

struct changes;
struct err;
struct spill;
struct volmap_source;

/* Longer bitmaps than this are spilled (bytes): of volumes of 128 GiB by 4 KiB. */
#define SNAPSHOT_HOTCOPY_FREED_MEMORY (4u << 20)

/* One answer has at most so many bytes of bitmap. */
#define SNAPSHOT_HOTCOPY_FREED_PIECE (256u << 10)

/* Before `bits`, of an answer: the first cluster, clusters from there on; 64 bits each. */
#define SNAPSHOT_HOTCOPY_FREED_HEAD 16u

/*
 * The bitmap as the file system has it, from cluster `first` on or a little before, as
 * much as fits in `cap`: a head and bits, `*got` bytes.  0; -1.
 */
typedef int hot_bitmap(
    void *live, uint64_t first, void *answer, size_t cap, size_t *got, struct err *err);

struct hot_freed;

/*
 * Take it all, a bitmap of more than `memory` bytes to `spill` (NULL: it cannot).  ERR_CORRUPT:
 * the answers make no sense; ERR_NOSPACE, ERR_NOMEM, what `bitmap` said.
 */
int snapshot_hotcopy_freed_take(hot_bitmap *bitmap, void *live, size_t memory,
    const struct spill *spill, struct hot_freed **out, struct err *err);

/*
 * What is free in the image `src` and was allocated then.  1: `*out` has it; 0: it is no
 * NTFS; -1: nobody knows.
 */
int snapshot_hotcopy_freed_find(const struct hot_freed *f,
    const struct volmap_source *src, struct changes **out, struct err *err);

/* NULL is allowed. */
void snapshot_hotcopy_freed_free(struct hot_freed *f);

#endif /* AGENT_CAPTURE_SNAPSHOT_HOTCOPY_FREED_H */
