/* Just the headers needed: all of SIMDe's AVX-512 takes a minute to compile. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/cast.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/ror.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/shuffle.h>
#include <simde/x86/avx512/unpackhi.h>
#include <simde/x86/avx512/unpacklo.h>
#include <simde/x86/avx512/xor.h>

#include "tests/unit/chunk/emulated/emulated.h"

#define blake3_avx512 emulated_avx512
#include "proto/chunk/blake3_avx512.c"
