/*
 * ahead.h - extents that lie ahead of the walk, in a heap by offset.
 *
 * A file's block may be scattered over the volume: it is read and named where
 * its lowest piece lies, and the tree wants extents in order.
 */
#ifndef AGENT_BACKUP_AHEAD_H
#define AGENT_BACKUP_AHEAD_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct extent; /* proto/chunk/tree.h */

struct ahead;

/* A heap of at most `max` extents; NULL without memory. */
struct ahead *ahead_new(size_t max);
void ahead_free(struct ahead *a);

/* Hold a copy of `e`; ERR_LIMIT when full, ERR_NOMEM. */
int ahead_push(struct ahead *a, const struct extent *e, struct err *err);

/* Take the lowest if its offset is below `offset`: 1, or 0. */
int ahead_pop(struct ahead *a, uint64_t offset, struct extent *out);

size_t ahead_count(const struct ahead *a);

#endif /* AGENT_BACKUP_AHEAD_H */
