/*
 * authority.h - the server as its own certificate authority.
 *
 * The CA's key and certificate and the server's own live in the store, wrapped
 * (store_secret_put): whoever has the store and its keys has the fleet's trust,
 * and a rebuilt server does not lock anyone out.
 *
 * All functions block for some milliseconds; any thread may call them.
 */
#ifndef SERVER_AUTHORITY_H
#define SERVER_AUTHORITY_H

#include <stdint.h>

#include "proto/tls/cert.h"

struct authority;
struct err;
struct store;

/* Certificates begin this long before now: hosts' clocks differ. */
#define AUTHORITY_EARLIER_S 86400

/* Make a CA called `name` in a new store.  ERR_EXISTS if it has one. */
int authority_create(struct store *s, const char *name, struct err *err);

/*
 * Load it, and the server's own key and certificate: made, or made anew past
 * half of its life, by the way.
 */
int authority_open(struct store *s, struct authority **out, struct err *err);
void authority_free(struct authority *a);

/* Owned by `a`. */
const struct cert *authority_ca(const struct authority *a);
const struct cert_identity *authority_server(const struct authority *a);

/*
 * Sign a CSR for `name` in `role` from now for `life_s` seconds, whatever name
 * it asks for.  `facts` is what the certificate says.
 */
int authority_sign(struct authority *a, const struct cert *csr, const char *name,
    enum cert_role role, uint64_t life_s, struct cert *out, struct cert_facts *facts,
    struct err *err);

/* Check a CSR that came from `name`: signature, and that it asks for that name. */
int authority_check_request(const struct cert *csr, const char *name, struct err *err);

#endif /* SERVER_AUTHORITY_H */
