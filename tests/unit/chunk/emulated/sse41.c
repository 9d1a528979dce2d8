/* SSE2 is in every x86-64; what is emulated here is SSSE3's byte shuffle. */
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/sse4.1.h>

#include "tests/unit/chunk/emulated/emulated.h"

#define blake3_sse41 emulated_sse41
#include "proto/chunk/blake3_sse41.c"
