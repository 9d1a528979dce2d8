/*
 * pack_set.h - a set of packs' numbers that grows: a bit each, in pages made when
 * they are first needed.  Not locked.
 */
#ifndef STORAGE_PACK_SET_H
#define STORAGE_PACK_SET_H

#include <stdint.h>

struct err;

struct pack_set {
	uint64_t **pages;
	uint32_t n;
};

/* ERR_NOMEM changes nothing. */
int pack_set_add(struct pack_set *set, uint32_t no, struct err *err);
int pack_set_has(const struct pack_set *set, uint32_t no);

/* Empty it. */
void pack_set_clear(struct pack_set *set);

#endif /* STORAGE_PACK_SET_H */
