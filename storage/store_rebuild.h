/*
 * store_rebuild.h - make a store's caches anew from packs and journal.
 *
 * Only while no process has the store open.  The journal is read whole first:
 * nothing is removed unless what it is made anew from can be read.  A crash in
 * the middle leaves a cache missing, which the next store_open() makes anew.
 */
#ifndef STORAGE_STORE_REBUILD_H
#define STORAGE_STORE_REBUILD_H

#include <stdint.h>

struct err;
struct fs;
struct store;

enum store_cache {
	STORE_CATALOG = 1, /* catalog.db */
	STORE_INDEX = 2	   /* index/, but for what it knows of bad groups */
};

/*
 * Remove these caches (enum store_cache, or-ed) of the store in `fs`, durably.
 * ERR_BUSY names who has it open; ERR_CORRUPT and others if the journal cannot be
 * read, and then all is as it was.
 */
int store_drop_caches(struct fs *fs, unsigned caches, struct err *err);

/* The same for the store in `dir`, and then open it, which makes them anew. */
int store_rebuild(const char *dir, unsigned caches, struct store **out, struct err *err);

#endif /* STORAGE_STORE_REBUILD_H */
