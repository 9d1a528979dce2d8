#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* A certificate's signature has no accessor. */
#include "proto/tls/cert.h"

#include <stdio.h>
#include <string.h>

#include <mbedtls/pem.h>
#include <mbedtls/x509_crt.h>
#include <sodium.h>

#include "proto/base/err.h"
#include "proto/tls/cert_key.h"
#include "proto/tls/cert_name.h"
#include "proto/tls/crypto.h"

#define PEM_BEGIN "-----BEGIN CERTIFICATE-----\n"
#define PEM_END "-----END CERTIFICATE-----\n"

/* Parse the DER; `crt` must be initialised and is the caller's to free. */
static int
parse(const struct cert *cert, mbedtls_x509_crt *crt, struct err *err)
{
	int ret;

	if (crypto_ready(err) != 0)
		return -1;
	if (cert->len == 0 || cert->len > CERT_DER_MAX)
		return err_set(err, ERR_CORRUPT, "a certificate of %zu bytes", cert->len);
	if ((ret = mbedtls_x509_crt_parse_der(crt, cert->der, cert->len)) != 0)
		return crypto_error(err, ERR_CORRUPT, ret, "not a certificate");
	if (crt->raw.len != cert->len)
		return err_set(
		    err, ERR_CORRUPT, "the certificate has bytes after its end");
	return 0;
}

static int
facts_of(const mbedtls_x509_crt *crt, struct cert_facts *out, struct err *err)
{
	char text[CERT_NAME_MAX];
	const uint8_t *p = crt->serial.p;
	size_t len = crt->serial.len;

	memset(out, 0, sizeof(*out));
	if (cert_name_part(&crt->subject, CERT_PART_ORGANISATION, text) != 0 ||
	    strcmp(text, CERT_O) != 0)
		return err_set(err, ERR_CORRUPT, "not a certificate of Holdfast");
	if (cert_name_part(&crt->subject, CERT_PART_ROLE, text) != 0 ||
	    cert_role_parse(text, &out->role) != 0 || out->role == CERT_NOBODY)
		return err_set(err, ERR_CORRUPT, "a certificate without a role");
	if (out->role == CERT_CA ? !crt->ca_istrue : crt->ca_istrue)
		return err_set(
		    err, ERR_CORRUPT, "a certificate whose use is not its role's");
	if (cert_name_part(&crt->subject, CERT_PART_NAME, out->name) != 0)
		return err_set(err, ERR_CORRUPT, "a certificate without a name");
	if (cert_name_check(out->name, err) != 0)
		return -1;
	while (len > 0 && *p == 0) {
		p++;
		len--;
	}
	if (len == 0 || len > CERT_SERIAL_LEN)
		return err_set(err, ERR_CORRUPT,
		    "a certificate with a serial number of %zu bytes", len);
	memcpy(out->serial + CERT_SERIAL_LEN - len, p, len);
	out->not_before = cert_time_seconds(&crt->valid_from);
	out->not_after = cert_time_seconds(&crt->valid_to);
	if (!cert_pk_ours(&crt->pk))
		return err_set(err, ERR_CORRUPT, "a certificate whose key is not P-256");
	return cert_pk_hash(&crt->pk, out->key_hash, err);
}

int
cert_facts_of(const struct cert *cert, struct cert_facts *out, struct err *err)
{
	mbedtls_x509_crt crt;
	int rc;

	mbedtls_x509_crt_init(&crt);
	if ((rc = parse(cert, &crt, err)) == 0)
		rc = facts_of(&crt, out, err);
	mbedtls_x509_crt_free(&crt);
	return rc;
}

/* Did the key of `ca` sign `crt`, as the issuer it names? */
static int
signed_by(const mbedtls_x509_crt *crt, mbedtls_x509_crt *ca)
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	if (crt->issuer_raw.len != ca->subject_raw.len ||
	    memcmp(crt->issuer_raw.p, ca->subject_raw.p, ca->subject_raw.len) != 0 ||
	    crt->sig_md != MBEDTLS_MD_SHA256 || !cert_pk_ours(&ca->pk))
		return 0;
	(void)crypto_hash_sha256(hash, crt->tbs.p, crt->tbs.len);
	return mbedtls_pk_verify(&ca->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash),
		   crt->sig.p, crt->sig.len) == 0;
}

static int
judge(
    const struct cert_facts *f, const struct cert_facts *by, int64_t now, struct err *err)
{
	char day[CERT_TIME_TEXT];

	if (now == CERT_ANY_TIME)
		return 0;
	if (now < f->not_before) {
		cert_time_day(f->not_before, day);
		return err_set(err, ERR_DENIED,
		    "certificate of %s is not valid before %s", f->name, day);
	}
	if (now > f->not_after) {
		cert_time_day(f->not_after, day);
		return err_set(
		    err, ERR_DENIED, "certificate of %s expired on %s", f->name, day);
	}
	if (now > by->not_after) {
		cert_time_day(by->not_after, day);
		return err_set(err, ERR_DENIED,
		    "certificate of %s: its authority %s expired on %s", f->name,
		    by->name, day);
	}
	return 0;
}

/* The holder's name for a message, as far as a stranger's certificate has one. */
static void
name_of(const mbedtls_x509_crt *crt, char out[CERT_NAME_MAX])
{
	if (cert_name_part(&crt->subject, CERT_PART_NAME, out) != 0)
		(void)snprintf(out, CERT_NAME_MAX, "(no name)");
}

int
cert_verify(const struct cert *cert, const struct cert *ca, int64_t now, struct err *err)
{
	struct cert_facts facts, by;
	struct err why = ERR_INIT;
	mbedtls_x509_crt crt, top;
	char name[CERT_NAME_MAX];
	int rc = -1;

	mbedtls_x509_crt_init(&crt);
	mbedtls_x509_crt_init(&top);
	if (parse(ca, &top, &why) != 0 || facts_of(&top, &by, &why) != 0) {
		(void)err_set(
		    err, ERR_DENIED, "the authority does not hold: %.180s", why.text);
	} else if (parse(cert, &crt, &why) != 0) {
		(void)err_set(err, ERR_DENIED,
		    "the certificate shown is unreadable: %.180s", why.text);
	} else if (by.role != CERT_CA || !signed_by(&crt, &top)) {
		name_of(&crt, name);
		(void)err_set(err, ERR_DENIED,
		    "certificate of %s was not signed by the authority %s", name,
		    by.name);
	} else if (facts_of(&crt, &facts, &why) != 0) {
		name_of(&crt, name);
		(void)err_set(err, ERR_DENIED, "certificate of %s does not hold: %.140s",
		    name, why.text);
	} else {
		rc = judge(&facts, &by, now, err);
	}
	mbedtls_x509_crt_free(&crt);
	mbedtls_x509_crt_free(&top);
	return rc;
}

void
cert_fingerprint(const struct cert *cert, uint8_t out[CERT_FINGERPRINT_LEN])
{
	(void)crypto_hash_sha256(out, cert->der, cert->len);
}

int
cert_to_pem(const struct cert *cert, char *pem, size_t cap, struct err *err)
{
	size_t n;
	int ret;

	ret = mbedtls_pem_write_buffer(
	    PEM_BEGIN, PEM_END, cert->der, cert->len, (unsigned char *)pem, cap, &n);
	if (ret != 0)
		return crypto_error(
		    err, ERR_LIMIT, ret, "cannot write PEM into %zu bytes", cap);
	return 0;
}

int
cert_from_pem(const char *pem, struct cert *out, struct err *err)
{
	mbedtls_pem_context p;
	mbedtls_x509_crt crt;
	const unsigned char *der;
	size_t used, len;
	int ret, rc;

	mbedtls_pem_init(&p);
	mbedtls_x509_crt_init(&crt);
	memset(out, 0, sizeof(*out));
	ret = mbedtls_pem_read_buffer(&p, "-----BEGIN CERTIFICATE-----",
	    "-----END CERTIFICATE-----", (const unsigned char *)pem, NULL, 0, &used);
	if (ret != 0) {
		rc = crypto_error(err, ERR_CORRUPT, ret, "not a certificate in PEM");
	} else if (der = mbedtls_pem_get_buffer(&p, &len), len > CERT_DER_MAX) {
		rc = err_set(err, ERR_LIMIT, "a certificate of %zu bytes", len);
	} else {
		out->len = len;
		memcpy(out->der, der, len);
		rc = parse(out, &crt, err);
	}
	mbedtls_x509_crt_free(&crt);
	mbedtls_pem_free(&p);
	return rc;
}
