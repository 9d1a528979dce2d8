/*
 * store_usage.h - who uses how much, and what a deletion would free.
 *
 * Chunks belong to nobody: what a host or a point takes alone is what no other
 * uses.  That is found by walking all trees, which may take minutes, in as many
 * passes as are needed to hold a few bytes a chunk within USAGE_MEMORY.
 */
#ifndef STORAGE_STORE_USAGE_H
#define STORAGE_STORE_USAGE_H

#include <stdint.h>

#include "storage/store.h"

struct err;

#define STORE_USAGE_MEMORY (64u << 20)

struct store_use {
	char host[STORE_NAME_MAX];
	uint64_t points, logical_bytes; /* Of all its points. */
	/* Of chunks that nothing else in the store uses: */
	uint64_t chunks, bytes;
	uint64_t stored; /* By the ratio of the packs that they lie in. */
};

struct store_usage {
	const char *host;  /* NULL: every host for itself. */
	uint64_t sequence; /* With `host`: this point only; 0: all of them. */
	uint64_t memory;   /* Bytes for the table; 0: STORE_USAGE_MEMORY. */

	/* May be NULL; a non-zero return ends it with ERR_CANCELED. */
	int (*tell)(void *arg, uint64_t done, uint64_t total);
	void *arg;

	uint64_t missing; /* Out: chunks that are lost; the sums lack them. */
	uint32_t passes;
};

/*
 * Call `each` with every host's use, by name; or once, with that of the host or
 * point asked for.  Data counts, nodes of trees do not.  ERR_NOTFOUND.
 */
int store_usage(struct store *s, struct store_usage *u,
    void (*each)(void *arg, const struct store_use *use), void *arg, struct err *err);

#endif /* STORAGE_STORE_USAGE_H */
