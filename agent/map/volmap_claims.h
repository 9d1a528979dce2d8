/*
 * volmap_claims.h - which clusters are somebody's, when there is no room to tell whose.
 *
 * A bit for each cluster or, on volumes too large for that, for each row of 2^n.
 * What is called claimed may be a neighbour of what is; never the other way round.
 * For volmap_runs.c alone.
 */
#ifndef AGENT_MAP_VOLMAP_CLAIMS_H
#define AGENT_MAP_VOLMAP_CLAIMS_H

#include <stddef.h>
#include <stdint.h>

struct volmap_claims;

/* For a volume of `clusters` clusters, in about `memory` bytes.  NULL without memory. */
struct volmap_claims *volmap_claims_new(uint32_t clusters, size_t memory);
void volmap_claims_free(struct volmap_claims *c);

/*
 * Clusters [first, first + count) of the volume are somebody's; count > 0.  0 if
 * some are known to be somebody else's, too: then they need not be noted, so that
 * lies cost no more time than the volume has clusters.  Else 1.
 */
int volmap_claims_add(struct volmap_claims *c, uint32_t first, uint32_t count);

/*
 * Is cluster `first` claimed?  `*count` (> 0) comes in as the most that is of interest
 * and goes out as how many from there on are the same.
 */
int volmap_claims_at(const struct volmap_claims *c, uint32_t first, uint32_t *count);

uint64_t volmap_claims_memory(const struct volmap_claims *c); /* Bytes held. */

#endif /* AGENT_MAP_VOLMAP_CLAIMS_H */
