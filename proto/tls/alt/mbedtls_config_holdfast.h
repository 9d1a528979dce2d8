/*
 * mbedtls_config_holdfast.h - how our mbedTLS differs from upstream's defaults.
 *
 * build-mbedtls.sh appends an #include of this to the mbedtls_config.h it builds
 * with and installs, so that users of the headers see the same.
 */
#ifndef MBEDTLS_CONFIG_HOLDFAST_H
#define MBEDTLS_CONFIG_HOLDFAST_H

/* The cipher of nearly every byte we move: libsodium's is several times faster. */
#define MBEDTLS_CHACHAPOLY_ALT

/* One config for connections on all threads: the key store needs its locks. */
#define MBEDTLS_THREADING_C
#define MBEDTLS_THREADING_PTHREAD

/* Random numbers from libsodium: no generator of mbedTLS' own, no lock around it. */
#define MBEDTLS_PSA_CRYPTO_EXTERNAL_RNG

/*
 * The self tests count operations on curves in variables that all threads share.
 * chachapoly.c alone keeps its own (build-mbedtls.sh), for our test.
 */
#ifndef HOLDFAST_SELF_TEST
#undef MBEDTLS_SELF_TEST
#endif

/* Records are as long as what they hold. */
#define MBEDTLS_SSL_CID_TLS1_3_PADDING_GRANULARITY 1

/* What we never speak cannot be attacked. */
#undef MBEDTLS_SSL_PROTO_TLS1_2
#undef MBEDTLS_SSL_PROTO_DTLS
#undef MBEDTLS_NET_C
#undef MBEDTLS_TIMING_C

/* Keys of the key store live in memory only. */
#undef MBEDTLS_PSA_CRYPTO_STORAGE_C
#undef MBEDTLS_PSA_ITS_FILE_C

#endif /* MBEDTLS_CONFIG_HOLDFAST_H */
