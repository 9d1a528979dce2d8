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

#endif /* AGENT_SESSION_READING_H */
