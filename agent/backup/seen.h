/*
 * seen.h - ids met a short while ago, in bounded memory.
 *
 * Two forms of the same table: a `seen` forgets old ids when it is full (to
 * ask about a chunk twice costs little), an exact set is refilled as a whole
 * for each span of the previous tree.
 */
#ifndef AGENT_BACKUP_SEEN_H
#define AGENT_BACKUP_SEEN_H

#include <stddef.h>

#include "proto/chunk/chunk_id.h"

struct err;
struct seen;

/* Room for 2^bits ids, 32 bytes each; NULL without memory. */
struct seen *seen_new(unsigned bits);
void seen_free(struct seen *s);
void seen_clear(struct seen *s);

/*
 * Was `id` here?  If not it is now, perhaps in place of another.  Returns
 * non-zero if it was.
 */
int seen_add(struct seen *s, const struct chunk_id *id);

/* Was it here?  Changes nothing. */
int seen_has(const struct seen *s, const struct chunk_id *id);

#endif /* AGENT_BACKUP_SEEN_H */
