/*
 * tree_ahead.h - seeing which reads go forward, and asking for what comes next.
 */
#ifndef AGENT_TREE_TREE_AHEAD_H
#define AGENT_TREE_TREE_AHEAD_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct tree_ahead;
struct tree_fetch;
struct tree_nodes;
struct tree_of;

/* `room`: bytes of the cache that may be filled ahead.  Both must outlive it. */
int tree_ahead_open(struct tree_nodes *nodes, struct tree_fetch *fetch, size_t room,
    struct tree_ahead **out, struct err *err);

/* What it is asking for must have been canceled, or it is waited for. */
void tree_ahead_close(struct tree_ahead *a);

/* A read begins.  `of` must outlive this. */
void tree_ahead_note(
    struct tree_ahead *a, const struct tree_of *of, uint64_t offset, size_t len);

#endif /* AGENT_TREE_TREE_AHEAD_H */
