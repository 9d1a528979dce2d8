#include "proto/chunk/blake3_ops.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"

const uint32_t blake3_iv[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
	0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };

/* The permutation of table 2, applied 0 to 6 times. */
static const uint8_t order[7][16] = {
	{ 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 },
	{ 2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8 },
	{ 3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1 },
	{ 10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6 },
	{ 12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4 },
	{ 9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7 },
	{ 11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13 },
};

/* Left to itself GCC keeps the state in memory, at half the speed. */
COMPILER_INLINE uint32_t
rotr(uint32_t x, unsigned n)
{
	return x >> n | x << (32 - n);
}

/* The quarter round, equation 1. */
COMPILER_INLINE void
mix(uint32_t v[16], unsigned a, unsigned b, unsigned c, unsigned d, uint32_t x,
    uint32_t y)
{
	v[a] += v[b] + x;
	v[d] = rotr(v[d] ^ v[a], 16);
	v[c] += v[d];
	v[b] = rotr(v[b] ^ v[c], 12);
	v[a] += v[b] + y;
	v[d] = rotr(v[d] ^ v[a], 8);
	v[c] += v[d];
	v[b] = rotr(v[b] ^ v[c], 7);
}

/* Columns, then diagonals.  `o` is known at compile time in every call. */
COMPILER_INLINE void
mix_round(uint32_t v[16], const uint32_t m[16], const uint8_t o[16])
{
	mix(v, 0, 4, 8, 12, m[o[0]], m[o[1]]);
	mix(v, 1, 5, 9, 13, m[o[2]], m[o[3]]);
	mix(v, 2, 6, 10, 14, m[o[4]], m[o[5]]);
	mix(v, 3, 7, 11, 15, m[o[6]], m[o[7]]);
	mix(v, 0, 5, 10, 15, m[o[8]], m[o[9]]);
	mix(v, 1, 6, 11, 12, m[o[10]], m[o[11]]);
	mix(v, 2, 7, 8, 13, m[o[12]], m[o[13]]);
	mix(v, 3, 4, 9, 14, m[o[14]], m[o[15]]);
}

void
blake3_compress(const uint32_t cv[8], const uint8_t block[BLAKE3_BLOCK_LEN],
    uint32_t block_len, uint64_t counter, uint32_t flags, uint32_t out[16])
{
	uint32_t m[16], v[16];
	size_t i;

	for (i = 0; i < 16; i++)
		m[i] = load_le32(block + 4 * i);
	for (i = 0; i < 8; i++)
		v[i] = cv[i];
	for (i = 0; i < 4; i++)
		v[8 + i] = blake3_iv[i];
	v[12] = (uint32_t)counter;
	v[13] = (uint32_t)(counter >> 32);
	v[14] = block_len;
	v[15] = flags;

	mix_round(v, m, order[0]);
	mix_round(v, m, order[1]);
	mix_round(v, m, order[2]);
	mix_round(v, m, order[3]);
	mix_round(v, m, order[4]);
	mix_round(v, m, order[5]);
	mix_round(v, m, order[6]);

	for (i = 0; i < 8; i++) {
		out[i] = v[i] ^ v[i + 8];
		out[i + 8] = v[i + 8] ^ cv[i];
	}
}

static void
portable_chunks(const uint8_t *in, size_t n, const uint32_t key[8], uint64_t counter,
    uint32_t flags, uint8_t *out)
{
	for (; n > 0; n--, counter++, out += BLAKE3_CV_LEN) {
		uint32_t state[16];
		size_t b, i;

		memcpy(state, key, 8 * sizeof(*state));
		for (b = 0; b < BLAKE3_CHUNK_BLOCKS; b++, in += BLAKE3_BLOCK_LEN) {
			uint32_t f = flags;

			if (b == 0)
				f |= BLAKE3_CHUNK_START;
			if (b == BLAKE3_CHUNK_BLOCKS - 1)
				f |= BLAKE3_CHUNK_END;
			blake3_compress(state, in, BLAKE3_BLOCK_LEN, counter, f, state);
		}
		for (i = 0; i < 8; i++)
			store_le32(out + 4 * i, state[i]);
	}
}

static void
portable_parents(
    const uint8_t *in, size_t n, const uint32_t key[8], uint32_t flags, uint8_t *out)
{
	for (; n > 0; n--, in += BLAKE3_BLOCK_LEN, out += BLAKE3_CV_LEN) {
		uint32_t state[16];
		size_t i;

		blake3_compress(
		    key, in, BLAKE3_BLOCK_LEN, 0, flags | BLAKE3_PARENT, state);
		for (i = 0; i < 8; i++)
			store_le32(out + 4 * i, state[i]);
	}
}

const struct blake3_ops blake3_portable = { BLAKE3_PORTABLE, portable_chunks,
	portable_parents };
