#include <immintrin.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/chunk/blake3_ops.h"

#define LANES 4u
typedef __m128i vec;

static inline vec
vec_set(uint32_t x)
{
	return _mm_set1_epi32((int)x);
}

static inline vec
vec_load(const uint32_t *p)
{
	return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline vec
vec_add(vec a, vec b)
{
	return _mm_add_epi32(a, b);
}

static inline vec
vec_xor(vec a, vec b)
{
	return _mm_xor_si128(a, b);
}

static inline vec
vec_rot16(vec x)
{
	return _mm_shuffle_epi8(
	    x, _mm_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2));
}

static inline vec
vec_rot12(vec x)
{
	return _mm_or_si128(_mm_srli_epi32(x, 12), _mm_slli_epi32(x, 20));
}

static inline vec
vec_rot8(vec x)
{
	return _mm_shuffle_epi8(
	    x, _mm_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1));
}

static inline vec
vec_rot7(vec x)
{
	return _mm_or_si128(_mm_srli_epi32(x, 7), _mm_slli_epi32(x, 25));
}

/* Rows to columns. */
static inline void
transpose(vec r[4])
{
	vec low01 = _mm_unpacklo_epi32(r[0], r[1]),
	    high01 = _mm_unpackhi_epi32(r[0], r[1]);
	vec low23 = _mm_unpacklo_epi32(r[2], r[3]),
	    high23 = _mm_unpackhi_epi32(r[2], r[3]);

	r[0] = _mm_unpacklo_epi64(low01, low23);
	r[1] = _mm_unpackhi_epi64(low01, low23);
	r[2] = _mm_unpacklo_epi64(high01, high23);
	r[3] = _mm_unpackhi_epi64(high01, high23);
}

static inline void
load_block(vec m[16], const uint8_t *const in[LANES], size_t at)
{
	size_t i, w;

	for (w = 0; w < 16; w += 4) {
		for (i = 0; i < LANES; i++)
			m[w + i] = _mm_loadu_si128(
			    (const __m128i *)(const void *)(in[i] + at + 4 * w));
		transpose(m + w);
	}
}

static inline void
store_cvs(uint8_t *out, vec cv[8])
{
	size_t i;

	transpose(cv);
	transpose(cv + 4);
	for (i = 0; i < LANES; i++) {
		uint8_t *p = out + i * BLAKE3_CV_LEN;

		_mm_storeu_si128((__m128i *)(void *)p, cv[i]);
		_mm_storeu_si128((__m128i *)(void *)(p + 16), cv[4 + i]);
	}
}

#include "proto/chunk/blake3_lanes.inc"

const struct blake3_ops blake3_sse41 = { BLAKE3_SSE41, lanes_chunks, lanes_parents };
