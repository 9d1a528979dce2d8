/*
 * tls_alert.h - a failed connection in words an operator can use; for proto/tls alone.
 */
#ifndef PROTO_TLS_TLS_ALERT_H
#define PROTO_TLS_TLS_ALERT_H

#include <stdint.h>

struct err;

/* The peer ended the connection with this alert: set `err` (which holds none). */
void tls_alert_error(uint8_t alert, struct err *err);

/* mbedTLS gave up with `ret`; `hello`: before the peer had proved to speak TLS 1.3. */
void tls_alert_local(int ret, int hello, struct err *err);

#endif /* PROTO_TLS_TLS_ALERT_H */
