#include <immintrin.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/chunk/blake3_ops.h"

/* Needs AVX512F only. */

#define LANES 16u
typedef __m512i vec;

static inline vec
vec_set(uint32_t x)
{
	return _mm512_set1_epi32((int)x);
}

static inline vec
vec_load(const uint32_t *p)
{
	return _mm512_loadu_si512(p);
}

static inline vec
vec_add(vec a, vec b)
{
	return _mm512_add_epi32(a, b);
}

static inline vec
vec_xor(vec a, vec b)
{
	return _mm512_xor_si512(a, b);
}

static inline vec
vec_rot16(vec x)
{
	return _mm512_ror_epi32(x, 16);
}

static inline vec
vec_rot12(vec x)
{
	return _mm512_ror_epi32(x, 12);
}

static inline vec
vec_rot8(vec x)
{
	return _mm512_ror_epi32(x, 8);
}

static inline vec
vec_rot7(vec x)
{
	return _mm512_ror_epi32(x, 7);
}

/*
 * Rows to columns.  Within each quarter of 4 words as for SSE; then quarter q
 * of b[4 * g + c] holds word 4 * q + c of rows 4 * g on, and two rounds of
 * picking quarters gather the four groups g of one word.
 */
static inline void
transpose(vec r[16])
{
	vec a[16], b[16], even, odd, even2, odd2;
	size_t i, c;

	for (i = 0; i < 16; i += 2) {
		a[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
		a[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
	}
	for (i = 0; i < 16; i += 4) {
		b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
		b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
		b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
		b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
	}
	for (c = 0; c < 4; c++) {
		even = _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88);
		odd = _mm512_shuffle_i32x4(b[c], b[4 + c], 0xdd);
		even2 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88);
		odd2 = _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xdd);
		r[c] = _mm512_shuffle_i32x4(even, even2, 0x88);
		r[8 + c] = _mm512_shuffle_i32x4(even, even2, 0xdd);
		r[4 + c] = _mm512_shuffle_i32x4(odd, odd2, 0x88);
		r[12 + c] = _mm512_shuffle_i32x4(odd, odd2, 0xdd);
	}
}

static inline void
load_block(vec m[16], const uint8_t *const in[LANES], size_t at)
{
	size_t i;

	for (i = 0; i < LANES; i++)
		m[i] = _mm512_loadu_si512(in[i] + at);
	transpose(m);
}

static inline void
store_cvs(uint8_t *out, vec cv[8])
{
	vec row[16];
	size_t i;

	for (i = 0; i < 8; i++) {
		row[i] = cv[i];
		row[8 + i] = cv[i];
	}
	transpose(row);
	for (i = 0; i < LANES; i++)
		_mm256_storeu_si256((__m256i *)(void *)(out + i * BLAKE3_CV_LEN),
		    _mm512_castsi512_si256(row[i]));
}

#include "proto/chunk/blake3_lanes.inc"

const struct blake3_ops blake3_avx512 = { BLAKE3_AVX512, lanes_chunks, lanes_parents };
