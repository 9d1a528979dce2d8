/*
 * cert_name.h - names and times as certificates write them; for proto/tls alone.
 */
#ifndef PROTO_TLS_CERT_NAME_H
#define PROTO_TLS_CERT_NAME_H

#include <stdint.h>

#include <mbedtls/x509.h>

#include "proto/tls/cert.h"

#define CERT_O "holdfast" /* The subject's O in every certificate of ours. */

#define CERT_TIME_TEXT 32	   /* Bytes for cert_time_text(), NUL included. */
#define CERT_TIME_MAX 253402300799 /* 9999-12-31T23:59:59Z, X.509's last second. */

enum cert_part { CERT_PART_ORGANISATION, CERT_PART_ROLE, CERT_PART_NAME };

/*
 * The one value of O, OU or CN in a distinguished name.  -1 if it is not there,
 * there twice, too long, or not printable ASCII.
 */
int cert_name_part(
    const mbedtls_x509_name *name, enum cert_part part, char out[CERT_NAME_MAX]);

/* "20260102030405" (UTC), 14 characters, for seconds in 0..CERT_TIME_MAX. */
void cert_time_text(int64_t seconds, char out[CERT_TIME_TEXT]);

/* The same as people read a day: "2026-01-02". */
void cert_time_day(int64_t seconds, char out[CERT_TIME_TEXT]);

/* Seconds since 1970 of what was parsed; times of the day out of range are clipped. */
int64_t cert_time_seconds(const mbedtls_x509_time *t);

#endif /* PROTO_TLS_CERT_NAME_H */
