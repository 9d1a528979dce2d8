/*
 * restore_window.h - some spans of a restore: which chunks they need, and where
 * the bytes go when the groups come.
 */
#ifndef AGENT_RESTORE_RESTORE_WINDOW_H
#define AGENT_RESTORE_RESTORE_WINDOW_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/chunk_id.h"

struct buf;
struct codec;
struct err;
struct extent;
struct group;
struct target;

/*
 * Spans in one window.  A group with chunks for two windows comes twice, so they are
 * wide (1 GiB of volume) where the pieces allow it, 68 bytes of memory each.
 */
#define RESTORE_SPANS_MIN 8u
#define RESTORE_SPANS_MAX 64u
#define RESTORE_PIECES 32768u

struct restore_window;

struct restore_window *restore_window_new(uint64_t first, uint32_t spans);
void restore_window_free(struct restore_window *w);

uint64_t restore_window_first(const struct restore_window *w);
uint32_t restore_window_spans(const struct restore_window *w);

/*
 * Spans for the window after this one, by how many pieces these had: about
 * RESTORE_PIECES, and at most twice the spans.  What is asked for by then is not cut
 * short, so a volume that turns from empty to crumbs at once costs more for one window.
 */
uint32_t restore_window_next(const struct restore_window *w);

/* Take one extent: data is noted, the rest done at once.  0, -1. */
int restore_window_extent(
    struct restore_window *w, struct target *t, const struct extent *e, struct err *err);

/* All extents are in: make ready to look chunks up. */
int restore_window_seal(struct restore_window *w, struct err *err);

/*
 * Leave out the chunks whose bytes the target has already, proven by hashing
 * what is there; `same` gets their bytes added.
 */
int restore_window_compare(struct restore_window *w, struct target *t,
    const struct chunk_keys *keys, uint64_t *same, struct err *err);

/* Chunks still wanted, and how many there are in all. */
size_t restore_window_wanted(const struct restore_window *w);
size_t restore_window_chunks(const struct restore_window *w);

/* Append ids of wanted chunks from number `*at` on, at most `max`; `*at` moves on. */
int restore_window_ids(const struct restore_window *w, size_t *at, size_t max,
    struct buf *out, struct err *err);

/*
 * Take a group: decode it to `plain` (GROUP_PLAIN_MAX bytes), prove the wanted
 * chunks in it and write them.  Safe on several threads.
 */
int restore_window_group(struct restore_window *w, struct target *t,
    const struct chunk_keys *keys, struct codec *codec, uint8_t *plain, const uint8_t *p,
    size_t len, uint64_t *same, struct err *err);

#endif /* AGENT_RESTORE_RESTORE_WINDOW_H */
