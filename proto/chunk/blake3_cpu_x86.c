#include <stddef.h>

#include "proto/base/compiler.h"
#include "proto/chunk/blake3_ops.h"

/*
 * The compiler's own question asks cpuid, and by xgetbv whether the operating
 * system saves the wide registers: without that the instructions fault.
 */
int
blake3_cpu_runs(enum blake3_path path)
{
	switch (path) {
	case BLAKE3_PORTABLE:
		return 1;
	case BLAKE3_SSE41:
		return COMPILER_CPU_HAS("sse4.1");
	case BLAKE3_AVX2:
		return COMPILER_CPU_HAS("avx2");
	case BLAKE3_AVX512:
		return COMPILER_CPU_HAS("avx512f");
	}
	return 0;
}

const struct blake3_ops *
blake3_cpu_ops(enum blake3_path path)
{
	switch (path) {
	case BLAKE3_PORTABLE:
		return &blake3_portable;
	case BLAKE3_SSE41:
		return &blake3_sse41;
	case BLAKE3_AVX2:
		return &blake3_avx2;
	case BLAKE3_AVX512:
		return &blake3_avx512;
	}
	return NULL;
}
