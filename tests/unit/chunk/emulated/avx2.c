#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx2.h>

#include "tests/unit/chunk/emulated/emulated.h"

#define blake3_avx2 emulated_avx2
#include "proto/chunk/blake3_avx2.c"
