#include <immintrin.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/chunk/blake3_ops.h"

#define LANES 8u
typedef __m256i vec;

static inline vec
vec_set(uint32_t x)
{
	return _mm256_set1_epi32((int)x);
}

static inline vec
vec_load(const uint32_t *p)
{
	return _mm256_loadu_si256((const __m256i *)(const void *)p);
}

static inline vec
vec_add(vec a, vec b)
{
	return _mm256_add_epi32(a, b);
}

static inline vec
vec_xor(vec a, vec b)
{
	return _mm256_xor_si256(a, b);
}

static inline vec
vec_rot16(vec x)
{
	return _mm256_shuffle_epi8(
	    x, _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2, 13,
		   12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2));
}

static inline vec
vec_rot12(vec x)
{
	return _mm256_or_si256(_mm256_srli_epi32(x, 12), _mm256_slli_epi32(x, 20));
}

static inline vec
vec_rot8(vec x)
{
	return _mm256_shuffle_epi8(
	    x, _mm256_set_epi8(12, 15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1, 12,
		   15, 14, 13, 8, 11, 10, 9, 4, 7, 6, 5, 0, 3, 2, 1));
}

static inline vec
vec_rot7(vec x)
{
	return _mm256_or_si256(_mm256_srli_epi32(x, 7), _mm256_slli_epi32(x, 25));
}

/* Rows to columns: pairs of words, pairs of those, then the two halves. */
static inline void
transpose(vec r[8])
{
	vec a[8], b[8];
	size_t i;

	for (i = 0; i < 8; i += 2) {
		a[i] = _mm256_unpacklo_epi32(r[i], r[i + 1]);
		a[i + 1] = _mm256_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (i = 0; i < 8; i += 4) {
		b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	for (i = 0; i < 4; i++) {
		r[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
		r[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
	}
}

static inline void
load_block(vec m[16], const uint8_t *const in[LANES], size_t at)
{
	size_t i, w;

	for (w = 0; w < 16; w += 8) {
		for (i = 0; i < LANES; i++)
			m[w + i] = _mm256_loadu_si256(
			    (const __m256i *)(const void *)(in[i] + at + 4 * w));
		transpose(m + w);
	}
}

static inline void
store_cvs(uint8_t *out, vec cv[8])
{
	size_t i;

	transpose(cv);
	for (i = 0; i < LANES; i++)
		_mm256_storeu_si256((__m256i *)(void *)(out + i * BLAKE3_CV_LEN), cv[i]);
}

#include "proto/chunk/blake3_lanes.inc"

const struct blake3_ops blake3_avx2 = { BLAKE3_AVX2, lanes_chunks, lanes_parents };
