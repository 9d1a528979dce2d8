/* tls_raw_bench.c, linked with the unmodified mbedTLS. */
#include "tests/bench/tls_raw_bench.c"
