/*
 * tree_point.h - what the readers of one point share: the inside of tree_reader.h.
 */
#ifndef AGENT_TREE_TREE_POINT_H
#define AGENT_TREE_TREE_POINT_H

struct err;
struct tree_ahead;
struct tree_fetch;
struct tree_nodes;
struct tree_of;
struct tree_point;

/* Volume `name`, "": the only one, with its root, which is fetched once. */
int tree_point_root(
    struct tree_point *p, const char *name, const struct tree_of **out, struct err *err);

struct tree_nodes *tree_point_nodes(struct tree_point *p);
struct tree_fetch *tree_point_fetch(struct tree_point *p);

/* NULL: never read ahead. */
struct tree_ahead *tree_point_ahead(struct tree_point *p);

#endif /* AGENT_TREE_TREE_POINT_H */
