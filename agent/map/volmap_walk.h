/*
 * volmap_walk.h - the walk through a volume along its plan (volmap.h's contract).
 */
#ifndef AGENT_MAP_VOLMAP_WALK_H
#define AGENT_MAP_VOLMAP_WALK_H

#include <stdint.h>

struct err;
struct volmap_cut;
struct volmap_plan;
struct volmap_walk;

/*
 * The walk over `size` bytes of volume; `plan`, whose runs are joined, is borrowed
 * and good for one walk.  NULL without memory.
 */
struct volmap_walk *volmap_walk_new(struct volmap_plan *plan, uint64_t size);
void volmap_walk_free(struct volmap_walk *w);

/* As volmap_next(). */
int volmap_walk_next(struct volmap_walk *w, struct volmap_cut *out, struct err *err);

/* Bytes the walk holds. */
uint64_t volmap_walk_memory(const struct volmap_walk *w);

#endif /* AGENT_MAP_VOLMAP_WALK_H */
