/*
 * cert.h - keys, certificates and the built-in authority that signs them.
 *
 * Everything is ECDSA on P-256 with SHA-256, X.509 v3, DER.  A certificate
 * names its holder in the subject: O=holdfast, OU=<role>, CN=<name>; what the
 * holder may do today is for the server's catalog to say, by serial number.
 *
 * A private key in memory is a struct cert_key; it leaves it only as DER
 * (cert_key_save) for the place that keeps it.  Functions here block for some
 * milliseconds: not for a loop thread.
 */
#ifndef PROTO_TLS_CERT_H
#define PROTO_TLS_CERT_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define CERT_FINGERPRINT_LEN 32		/* SHA-256 of the DER certificate. */
#define CERT_SERIAL_LEN 16
#define CERT_NAME_MAX 64		/* With its NUL: a host's or person's name. */
#define CERT_DER_MAX 4096		/* Bytes of a certificate or CSR we accept. */

/* The numbers go on the wire and into the catalog. */
enum cert_role {
	CERT_NOBODY = 0,
	CERT_AGENT = 1,
	CERT_VIEWER = 2,
	CERT_RESTORER = 3,
	CERT_ADMIN = 4,
	CERT_RESCUE = 5,
	CERT_SERVER = 6,
	CERT_CA = 7
};

const char *cert_role_name(enum cert_role role);	/* "agent"; static */
int cert_role_parse(const char *name, enum cert_role *out);	/* 0, or -1 */

/* A certificate as DER; owns nothing, copyable. */
struct cert {
	size_t len;
	uint8_t der[CERT_DER_MAX];
};

struct cert_facts {
	uint8_t serial[CERT_SERIAL_LEN];
	enum cert_role role;
	char name[CERT_NAME_MAX];
	int64_t not_before, not_after;		/* Seconds since 1970-01-01 UTC. */
	uint8_t key_hash[CERT_FINGERPRINT_LEN];	/* SHA-256 of SubjectPublicKeyInfo. */
};

/* A private key. */
struct cert_key;

int cert_key_new(struct cert_key **out, struct err *err);
void cert_key_free(struct cert_key *key);

/* DER of the key (at most `cap` bytes) and back.  Secret: wipe it after use. */
int cert_key_save(const struct cert_key *key, uint8_t *der, size_t cap, size_t *len,
    struct err *err);
int cert_key_load(const uint8_t *der, size_t len, struct cert_key **out, struct err *err);
int cert_key_hash(const struct cert_key *key, uint8_t out[CERT_FINGERPRINT_LEN],
    struct err *err);

/* Who we are: our certificate and its key; borrows the key. */
struct cert_identity {
	struct cert cert;
	const struct cert_key *key;
};

/* Names hold letters, digits, '.', '_' and '-', 1..63 of them.  ERR_LIMIT with why. */
int cert_name_check(const char *name, struct err *err);

/* A CSR that proves possession of `key` and asks for `name`. */
int cert_request(const struct cert_key *key, const char *name, struct cert *csr,
    struct err *err);

/* Check a CSR's signature; give its name and the hash of its key. */
int cert_request_check(const struct cert *csr, char name[CERT_NAME_MAX],
    uint8_t key_hash[CERT_FINGERPRINT_LEN], struct err *err);

/* A new self-signed authority, valid 30 years. */
int cert_ca_new(const struct cert_key *key, const char *name, int64_t now, struct cert *out,
    struct err *err);

/*
 * Sign a CSR: `facts` gives serial, role, name and validity (key_hash is
 * ignored).  For role server the names the clients will use are not checked:
 * role and CA are what counts.
 */
int cert_sign(const struct cert *ca, const struct cert_key *ca_key, const struct cert *csr,
    const struct cert_facts *facts, struct cert *out, struct err *err);

/* Read a certificate's facts.  Checks shape, not trust. */
int cert_facts_of(const struct cert *cert, struct cert_facts *out, struct err *err);

#define CERT_ANY_TIME INT64_MIN

/*
 * Does `cert` hold at time `now` (seconds)?  Signed by `ca`, within its
 * validity; CERT_ANY_TIME: whenever that is, for who has no clock to believe.
 * ERR_DENIED with one line that names the certificate and why.
 */
int cert_verify(const struct cert *cert, const struct cert *ca, int64_t now, struct err *err);

void cert_fingerprint(const struct cert *cert, uint8_t out[CERT_FINGERPRINT_LEN]);

/* PEM for people and files, NUL-ended. */
int cert_to_pem(const struct cert *cert, char *pem, size_t cap, struct err *err);
int cert_from_pem(const char *pem, struct cert *out, struct err *err);

#endif /* PROTO_TLS_CERT_H */
