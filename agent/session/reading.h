/*
 * reading.h - asking a server for points, nodes and groups of what is stored.
 *
 * Over any session that may (an agent's own, an operator's): restore.h and the
 * commands stand on it.
 */
#ifndef AGENT_SESSION_READING_H
#define AGENT_SESSION_READING_H

#include <stdint.h>

#include "proto/wire/msg.h"

struct buf;
struct channel;
struct err;

/*
 * Call for each point of `host` ("": all that may be seen; of an agent its
 * own), newest first, `sequence` 0 for all, until `each` returns non-zero.
 * Returns that, 0, or -1.  reading_layouts() has them with their layouts.
 */
int reading_layouts(struct channel *ch, const char *host, uint64_t sequence,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err);
int reading_points(struct channel *ch, const char *host, uint64_t sequence,
    int (*each)(void *arg, const Wire__Point *p), void *arg, struct err *err);

/*
 * What a person must hear before this point is used: 2 if it is suspect (it may not be
 * what was backed up), 1 if it rests on lists of changes that nobody has proven yet, with
 * a line of text; 0 if neither.
 */
#define READING_DOUBT_MAX 512
int reading_doubt(const Wire__Point *p, char out[READING_DOUBT_MAX]);

#endif /* AGENT_SESSION_READING_H */
