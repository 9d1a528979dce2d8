# Every path of BLAKE3 is tested on every CPU: natively where it can, and as
# SIMDe does its instructions in plain C everywhere.  No -m flags here: what
# they turn on, SIMDe would not emulate.
add_library(blake3_emulated OBJECT unit/chunk/emulated/sse41.c unit/chunk/emulated/avx2.c
    unit/chunk/emulated/avx512.c)
target_include_directories(blake3_emulated BEFORE PRIVATE unit/chunk/emulated
    ${PROJECT_SOURCE_DIR})
# Sanitizers over fully unrolled emulation take minutes to compile, for nothing.
target_compile_options(blake3_emulated PRIVATE -O1 -g0 -Wno-psabi -fno-sanitize=all)
target_link_libraries(blake3_test PRIVATE blake3_emulated)
