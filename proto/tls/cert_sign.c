/*
 * Everything that makes certificates: requests, the authority itself, and the
 * authority's signature under a request.  Reading and judging them is cert.c's.
 */
#define MBEDTLS_ALLOW_PRIVATE_ACCESS /* A request's signature has no accessor. */
#include "proto/tls/cert.h"

#include <stdio.h>
#include <string.h>

#include <mbedtls/x509_crt.h>
#include <mbedtls/x509_csr.h>
#include <sodium.h>

#include "proto/base/err.h"
#include "proto/tls/cert_key.h"
#include "proto/tls/cert_name.h"
#include "proto/tls/crypto.h"

#define YEAR 31556952 /* Seconds, of the mean Gregorian year. */
#define CA_YEARS 30
#define CA_BEFORE \
	86400 /* A host whose clock is a little late trusts a new authority too. */

/* mbedTLS takes keys to sign with as non-const and does not change them. */
static mbedtls_pk_context *
signing(const struct cert_key *key)
{
	return (mbedtls_pk_context *)&key->pk;
}

/* mbedTLS wrote `n` bytes of DER at the end of `der`; `n` < 0 is its error. */
static int
take_der(const uint8_t *der, int n, struct cert *out, const char *what, struct err *err)
{
	if (n < 0)
		return crypto_error(err, ERR_IO, n, "cannot write %s", what);
	memset(out, 0, sizeof(*out));
	out->len = (size_t)n;
	memcpy(out->der, der + CERT_DER_MAX - n, (size_t)n);
	return 0;
}

int
cert_request(
    const struct cert_key *key, const char *name, struct cert *csr, struct err *err)
{
	char subject[CERT_NAME_MAX + 32];
	mbedtls_x509write_csr w;
	uint8_t der[CERT_DER_MAX];
	int ret;

	if (crypto_ready(err) != 0 || cert_name_check(name, err) != 0)
		return -1;
	(void)snprintf(subject, sizeof(subject), "O=" CERT_O ",CN=%s", name);
	mbedtls_x509write_csr_init(&w);
	mbedtls_x509write_csr_set_md_alg(&w, MBEDTLS_MD_SHA256);
	mbedtls_x509write_csr_set_key(&w, signing(key));
	if ((ret = mbedtls_x509write_csr_set_subject_name(&w, subject)) == 0)
		ret =
		    mbedtls_x509write_csr_der(&w, der, sizeof(der), crypto_random, NULL);
	mbedtls_x509write_csr_free(&w);
	return take_der(der, ret, csr, "a request", err);
}

/* Does the request's own key sign it? */
static int
check_possession(mbedtls_x509_csr *csr)
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	if (csr->sig_md != MBEDTLS_MD_SHA256 || !cert_pk_ours(&csr->pk))
		return -1;
	(void)crypto_hash_sha256(hash, csr->cri.p, csr->cri.len);
	return mbedtls_pk_verify(
	    &csr->pk, MBEDTLS_MD_SHA256, hash, sizeof(hash), csr->sig.p, csr->sig.len);
}

/* Parse and check; `out` must be initialised and is the caller's to free. */
static int
open_request(const struct cert *der, mbedtls_x509_csr *out, char name[CERT_NAME_MAX],
    struct err *err)
{
	int ret;

	if (der->len == 0 || der->len > CERT_DER_MAX)
		return err_set(err, ERR_CORRUPT, "a request of %zu bytes", der->len);
	if ((ret = mbedtls_x509_csr_parse_der(out, der->der, der->len)) != 0)
		return crypto_error(err, ERR_CORRUPT, ret, "not a certificate request");
	if (out->raw.len != der->len)
		return err_set(err, ERR_CORRUPT, "the request has bytes after its end");
	if (cert_name_part(&out->subject, CERT_PART_NAME, name) != 0)
		return err_set(err, ERR_CORRUPT, "the request names nobody");
	if (cert_name_check(name, err) != 0)
		return -1;
	if (check_possession(out) != 0)
		return err_set(err, ERR_DENIED,
		    "the request for %s is not signed by the P-256 key in it", name);
	return 0;
}

int
cert_request_check(const struct cert *csr, char name[CERT_NAME_MAX],
    uint8_t key_hash[CERT_FINGERPRINT_LEN], struct err *err)
{
	mbedtls_x509_csr c;
	int rc;

	if (crypto_ready(err) != 0)
		return -1;
	mbedtls_x509_csr_init(&c);
	rc = open_request(csr, &c, name, err);
	if (rc == 0)
		rc = cert_pk_hash(&c.pk, key_hash, err);
	mbedtls_x509_csr_free(&c);
	return rc;
}

/* What differs between the certificates we make. */
struct plan {
	const char *issuer, *subject; /* As mbedTLS reads names. */
	const struct cert_facts *facts;
	mbedtls_pk_context *subject_pk;
	const struct cert_key *signer;
	int is_ca;
};

static int
set_fields(mbedtls_x509write_cert *w, const struct plan *plan)
{
	/* An INTEGER has no leading zeros. */
	uint8_t serial[CERT_SERIAL_LEN];
	char before[CERT_TIME_TEXT], after[CERT_TIME_TEXT];
	size_t skip = 0;
	int ret;

	memcpy(serial, plan->facts->serial, sizeof(serial));
	while (skip < sizeof(serial) - 1 && serial[skip] == 0)
		skip++;
	cert_time_text(plan->facts->not_before, before);
	cert_time_text(plan->facts->not_after, after);

	mbedtls_x509write_crt_set_version(w, MBEDTLS_X509_CRT_VERSION_3);
	mbedtls_x509write_crt_set_md_alg(w, MBEDTLS_MD_SHA256);
	mbedtls_x509write_crt_set_subject_key(w, plan->subject_pk);
	mbedtls_x509write_crt_set_issuer_key(w, signing(plan->signer));
	ret = mbedtls_x509write_crt_set_issuer_name(w, plan->issuer);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_subject_name(w, plan->subject);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_serial_raw(
		    w, serial + skip, sizeof(serial) - skip);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_validity(w, before, after);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_basic_constraints(
		    w, plan->is_ca, plan->is_ca ? 0 : -1);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_key_usage(w,
		    plan->is_ca ? MBEDTLS_X509_KU_KEY_CERT_SIGN | MBEDTLS_X509_KU_CRL_SIGN
				: MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_subject_key_identifier(w);
	if (ret == 0)
		ret = mbedtls_x509write_crt_set_authority_key_identifier(w);
	return ret;
}

static int
write_cert(const struct plan *plan, struct cert *out, struct err *err)
{
	mbedtls_x509write_cert w;
	uint8_t der[CERT_DER_MAX];
	int ret;

	mbedtls_x509write_crt_init(&w);
	if ((ret = set_fields(&w, plan)) == 0)
		ret =
		    mbedtls_x509write_crt_der(&w, der, sizeof(der), crypto_random, NULL);
	mbedtls_x509write_crt_free(&w);
	return take_der(der, ret, out, "a certificate", err);
}

int
cert_ca_new(const struct cert_key *key, const char *name, int64_t now, struct cert *out,
    struct err *err)
{
	struct cert_facts facts;
	char subject[CERT_NAME_MAX + 64];
	struct plan plan;

	if (crypto_ready(err) != 0 || cert_name_check(name, err) != 0)
		return -1;
	memset(&facts, 0, sizeof(facts));
	randombytes_buf(facts.serial, sizeof(facts.serial));
	facts.serial[0] = (uint8_t)((facts.serial[0] & 0x7f) | 0x40);
	facts.not_before = now - CA_BEFORE;
	facts.not_after = now + (int64_t)CA_YEARS * YEAR;
	(void)snprintf(subject, sizeof(subject), "O=" CERT_O ",OU=%s,CN=%s",
	    cert_role_name(CERT_CA), name);

	plan.issuer = plan.subject = subject;
	plan.facts = &facts;
	plan.subject_pk = signing(key);
	plan.signer = key;
	plan.is_ca = 1;
	return write_cert(&plan, out, err);
}

/* Refuse to write what cert_facts_of() would not read back. */
static int
check_facts(const struct cert_facts *facts, struct err *err)
{
	if (cert_name_check(facts->name, err) != 0)
		return -1;
	if (facts->role <= CERT_NOBODY || facts->role >= CERT_CA)
		return err_set(err, ERR_LIMIT, "no certificates are made for role %s",
		    cert_role_name(facts->role));
	if (sodium_is_zero(facts->serial, sizeof(facts->serial)))
		return err_set(err, ERR_LIMIT, "serial number 0 is not allowed");
	if (facts->not_before < 0 || facts->not_after < facts->not_before ||
	    facts->not_after > CERT_TIME_MAX)
		return err_set(err, ERR_LIMIT, "no such validity: %lld to %lld",
		    (long long)facts->not_before, (long long)facts->not_after);
	return 0;
}

int
cert_sign(const struct cert *ca, const struct cert_key *ca_key, const struct cert *csr,
    const struct cert_facts *facts, struct cert *out, struct err *err)
{
	char issuer[CERT_NAME_MAX + 64], subject[CERT_NAME_MAX + 64],
	    asked[CERT_NAME_MAX];
	struct cert_facts by;
	mbedtls_x509_csr c;
	struct plan plan;
	int rc;

	if (crypto_ready(err) != 0 || check_facts(facts, err) != 0 ||
	    cert_facts_of(ca, &by, err) != 0)
		return -1;
	if (by.role != CERT_CA)
		return err_set(err, ERR_DENIED, "%s is not an authority", by.name);
	mbedtls_x509_csr_init(&c);
	if ((rc = open_request(csr, &c, asked, err)) == 0) {
		(void)snprintf(issuer, sizeof(issuer), "O=" CERT_O ",OU=%s,CN=%s",
		    cert_role_name(CERT_CA), by.name);
		(void)snprintf(subject, sizeof(subject), "O=" CERT_O ",OU=%s,CN=%s",
		    cert_role_name(facts->role), facts->name);
		plan.issuer = issuer;
		plan.subject = subject;
		plan.facts = facts;
		plan.subject_pk = &c.pk;
		plan.signer = ca_key;
		plan.is_ca = 0;
		rc = write_cert(&plan, out, err);
	}
	mbedtls_x509_csr_free(&c);
	return rc;
}
