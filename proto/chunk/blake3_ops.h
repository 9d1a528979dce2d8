/*
 * blake3_ops.h - inside BLAKE3: what each path has to provide.
 *
 * A path computes many chaining values at once; which ones, and how they make
 * a tree, is the same for all and lies in blake3.c.  Single blocks are always
 * compressed by the portable code.  Section numbers are the paper's.
 */
#ifndef PROTO_CHUNK_BLAKE3_OPS_H
#define PROTO_CHUNK_BLAKE3_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "proto/chunk/blake3.h"

#define BLAKE3_CV_LEN 32u
#define BLAKE3_CHUNK_BLOCKS (BLAKE3_CHUNK_LEN / BLAKE3_BLOCK_LEN)

/* Domain flags (section 2.1, table 3). */
enum blake3_flag {
	BLAKE3_CHUNK_START = 1,
	BLAKE3_CHUNK_END = 2,
	BLAKE3_PARENT = 4,
	BLAKE3_ROOT = 8,
	BLAKE3_KEYED_HASH = 16,
	BLAKE3_DERIVE_KEY_CONTEXT = 32,
	BLAKE3_DERIVE_KEY_MATERIAL = 64
};

/*
 * Chaining values of `n` inputs that lie one after another at `in`, to `out`
 * (n * BLAKE3_CV_LEN bytes; may be `in` itself where inputs are parents).
 */
struct blake3_ops {
	enum blake3_path path;

	/* Whole chunks, the first with counter `counter`; `flags` is the mode's. */
	void (*chunks)(const uint8_t *in, size_t n, const uint32_t key[8],
	    uint64_t counter, uint32_t flags, uint8_t *out);

	/* Parents: inputs of one block, two chaining values each. */
	void (*parents)(const uint8_t *in, size_t n, const uint32_t key[8],
	    uint32_t flags, uint8_t *out);
};

extern const struct blake3_ops blake3_portable;
extern const struct blake3_ops blake3_sse41;
extern const struct blake3_ops blake3_avx2;
extern const struct blake3_ops blake3_avx512;

extern const uint32_t blake3_iv[8];

/*
 * The compression function (section 2.2): all 16 words of output, of which the
 * first 8 are the chaining value.
 */
void blake3_compress(const uint32_t cv[8], const uint8_t block[BLAKE3_BLOCK_LEN],
    uint32_t block_len, uint64_t counter, uint32_t flags, uint32_t out[16]);

/* Does this CPU, under this operating system, run these instructions? */
int blake3_cpu_runs(enum blake3_path path);

/* The operations of a path this build has, or NULL. */
const struct blake3_ops *blake3_cpu_ops(enum blake3_path path);

/* The operations in use. */
const struct blake3_ops *blake3_ops_current(void);

/* Use `ops` from now on; for tests that bring operations of their own. */
void blake3_ops_use(const struct blake3_ops *ops);

#endif /* PROTO_CHUNK_BLAKE3_OPS_H */
