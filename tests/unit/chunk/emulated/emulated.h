/*
 * emulated.h - BLAKE3's vector paths on a CPU that may lack them: the same
 * sources, with each instruction done by SIMDe in plain C.
 */
#ifndef TESTS_UNIT_CHUNK_EMULATED_EMULATED_H
#define TESTS_UNIT_CHUNK_EMULATED_EMULATED_H

#include "proto/chunk/blake3_ops.h"

extern const struct blake3_ops emulated_sse41;
extern const struct blake3_ops emulated_avx2;
extern const struct blake3_ops emulated_avx512;

#endif /* TESTS_UNIT_CHUNK_EMULATED_EMULATED_H */
