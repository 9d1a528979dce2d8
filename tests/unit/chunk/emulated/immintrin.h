/*
 * immintrin.h - hides the compiler's own from proto/chunk/blake3_*.c, whose
 * intrinsics the files beside this one take from SIMDe.
 */
#ifndef TESTS_UNIT_CHUNK_EMULATED_IMMINTRIN_H
#define TESTS_UNIT_CHUNK_EMULATED_IMMINTRIN_H
#endif
