/*
 * store_heads.h - what recovery is told about packs that a crash left open.
 *
 *	packs.head	how far the packs being filled are durable: a hint
 *
 * The file is written over after each sync and not synced itself, so it never says
 * more than is durable.  With it a group that rotted at the end of an open pack is
 * told from one that was never acknowledged.  Bytes: storage/FORMAT.md, "Packs".
 */
#ifndef STORAGE_STORE_HEADS_H
#define STORAGE_STORE_HEADS_H

#include <stdint.h>

struct fs;
struct group;
struct store_heads;

/* The hint for this store; NULL without memory. */
struct store_heads *store_heads_new(struct fs *fs, const uint8_t store[16]);
/* All open packs were recovered: what is said is used up, and may be of another time. */
void store_heads_clear(struct store_heads *h);

void store_heads_free(struct store_heads *h);

/* Bytes known to be durable of open pack `no`; 0 if that is not known. */
uint64_t store_heads_durable(struct store_heads *h, uint32_t no);

/* So much of pack `no`, which is of this kind, is durable now.  Any thread. */
void store_heads_note(struct store_heads *h, int kind, uint32_t no, uint64_t end);

/*
 * Is every chunk of the group what its name says?  `store` is a struct store whose
 * keys are known: the `proven` of a struct pack_judge.
 */
int store_proven(void *store, const struct group *g);

#endif /* STORAGE_STORE_HEADS_H */
