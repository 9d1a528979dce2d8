/*
 * blake3.h - the BLAKE3 hash, on the fastest instructions the CPU has.
 *
 * Ours because Debian 12 has no libblake3 and naming chunks is bound by it.
 * Written from the BLAKE3 paper ("BLAKE3: one function, fast everywhere",
 * 2020-01-09, version 2021-11-05), proven by the published test vectors.
 */
#ifndef PROTO_CHUNK_BLAKE3_H
#define PROTO_CHUNK_BLAKE3_H

#include <stddef.h>
#include <stdint.h>

#define BLAKE3_OUT_LEN 32
#define BLAKE3_KEY_LEN 32
#define BLAKE3_BLOCK_LEN 64
#define BLAKE3_CHUNK_LEN 1024

/* Ways to compute it, slowest first.  All give the same bytes. */
enum blake3_path {
	BLAKE3_PORTABLE,
	BLAKE3_SSE41,
	BLAKE3_AVX2,
	BLAKE3_AVX512
};
#define BLAKE3_PATHS 4

/* "portable", "sse4.1", "avx2", "avx512"; static. */
const char *blake3_path_name(enum blake3_path path);

/* Non-zero if this CPU and this build can run `path`. */
int blake3_path_usable(enum blake3_path path);

/* The path in use: the best usable one unless one was forced. */
enum blake3_path blake3_path_current(void);

/* Use `path`, which must be usable, from now on, in all threads; for tests. */
void blake3_path_force(enum blake3_path path);

/* One-shot hash; `key` NULL for the plain hash.  `out_len` bytes at most 2^32. */
void blake3(const void *p, size_t len, const uint8_t key[BLAKE3_KEY_LEN], uint8_t *out,
    size_t out_len);

/* Key derivation; `context` is a NUL-ended literal that names the one use. */
void blake3_derive_key(const char *context, const void *material, size_t len, uint8_t *out,
    size_t out_len);

/* The hash of bytes that come in pieces.  Holds no pointers: copyable. */
struct blake3 {
	uint32_t key[8];
	uint8_t flags;
	uint8_t block_len;		/* Bytes in block[]. */
	uint8_t blocks;			/* Of the current 1024-byte chunk, compressed. */
	uint8_t depth;			/* Chaining values on the stack. */
	uint64_t chunks;		/* Whole chunks behind us. */
	uint32_t chunk_cv[8];
	uint8_t block[BLAKE3_BLOCK_LEN];
	uint32_t stack[55][8];
};

void blake3_init(struct blake3 *h, const uint8_t key[BLAKE3_KEY_LEN]);
void blake3_update(struct blake3 *h, const void *p, size_t len);
void blake3_final(const struct blake3 *h, uint8_t *out, size_t out_len);

#endif /* PROTO_CHUNK_BLAKE3_H */
