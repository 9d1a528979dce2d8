#include "proto/tls/tls_alert.h"

#include <mbedtls/ssl.h>

#include "proto/base/err.h"
#include "proto/tls/crypto.h"
#include "proto/tls/tls.h"

#define CERTIFICATE_REQUIRED 116 /* mbedTLS has no name for it. */

#define NOT_13 "the peer does not speak TLS 1.3"

void
tls_alert_error(uint8_t alert, struct err *err)
{
	const char *why = NULL;

	switch (alert) {
	case MBEDTLS_SSL_ALERT_MSG_BAD_CERT:
	case MBEDTLS_SSL_ALERT_MSG_UNSUPPORTED_CERT:
	case MBEDTLS_SSL_ALERT_MSG_CERT_UNKNOWN:
	case MBEDTLS_SSL_ALERT_MSG_DECRYPT_ERROR:
		why = "it does not hold";
		break;
	case MBEDTLS_SSL_ALERT_MSG_CERT_REVOKED:
		why = "it is revoked";
		break;
	case MBEDTLS_SSL_ALERT_MSG_CERT_EXPIRED:
		why = "it has expired";
		break;
	case MBEDTLS_SSL_ALERT_MSG_UNKNOWN_CA:
		why = "the peer does not know its authority";
		break;
	case MBEDTLS_SSL_ALERT_MSG_ACCESS_DENIED:
		why = "access denied";
		break;
	case CERTIFICATE_REQUIRED:
	case MBEDTLS_SSL_ALERT_MSG_NO_CERT:
		why = "none was shown";
		break;
	default:
		break;
	}
	if (why != NULL)
		(void)err_set(
		    err, ERR_DENIED, "the peer refused our certificate: %s", why);
	else if (alert == MBEDTLS_SSL_ALERT_MSG_PROTOCOL_VERSION)
		(void)err_set(err, ERR_PROTOCOL, NOT_13);
	else if (alert == MBEDTLS_SSL_ALERT_MSG_NO_APPLICATION_PROTOCOL)
		(void)err_set(err, ERR_PROTOCOL, "the peer does not speak " TLS_ALPN);
	else if (alert == MBEDTLS_SSL_ALERT_MSG_HANDSHAKE_FAILURE)
		(void)err_set(
		    err, ERR_PROTOCOL, "the peer accepts none of our TLS 1.3 parameters");
	else
		(void)err_set(
		    err, ERR_PROTOCOL, "the peer ended TLS with alert %u", alert);
}

void
tls_alert_local(int ret, int hello, struct err *err)
{
	switch (ret) {
	case MBEDTLS_ERR_SSL_BAD_PROTOCOL_VERSION:
		(void)err_set(err, ERR_PROTOCOL, NOT_13);
		return;
	case MBEDTLS_ERR_SSL_NO_APPLICATION_PROTOCOL:
		(void)err_set(err, ERR_PROTOCOL, "the peer does not speak " TLS_ALPN);
		return;
	case MBEDTLS_ERR_SSL_INVALID_MAC:
		(void)err_set(err, ERR_PROTOCOL, "a TLS record was changed on its way");
		return;
	case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
	case 0:
		(void)err_set(
		    err, ERR_PROTOCOL, "the peer closed during the TLS handshake");
		return;
	case MBEDTLS_ERR_SSL_HANDSHAKE_FAILURE:
		(void)err_set(
		    err, ERR_PROTOCOL, "no TLS 1.3 parameters in common with the peer");
		return;
	case MBEDTLS_ERR_SSL_INVALID_RECORD:
	case MBEDTLS_ERR_SSL_UNEXPECTED_MESSAGE:
	case MBEDTLS_ERR_SSL_UNSUPPORTED_EXTENSION:
	case MBEDTLS_ERR_SSL_BAD_INPUT_DATA:
	case MBEDTLS_ERR_SSL_ILLEGAL_PARAMETER:
	case MBEDTLS_ERR_SSL_DECODE_ERROR:
		if (hello) {
			(void)err_set(err, ERR_PROTOCOL, NOT_13);
			return;
		}
		break;
	default:
		break;
	}
	(void)crypto_error(err, ERR_PROTOCOL, ret, "TLS");
}
