#include "proto/tls/tls_ticket.h"

#include <string.h>

#include <sodium.h>

#include "proto/base/bytes.h"
#include "proto/base/cursor.h"

/*
 * Both forms hold the facts as FACTS_LEN bytes:
 *	serial 16, role 1, not_before 8, not_after 8, key hash 32, name 64
 * Sealed:	version 1, key's name 8, nonce 24 | made 8, facts, session | tag 16
 * Saved:	version 1, basis 64, facts, session, SHA-256's first 8: a ticket that
 *	was damaged would fail the handshake, not just be ignored
 */
#define VERSION 1
#define FACTS_LEN (CERT_SERIAL_LEN + 1 + 8 + 8 + CERT_FINGERPRINT_LEN + CERT_NAME_MAX)
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define HEAD_LEN (1 + 8)
#define SUM_LEN 8
#define SEALED_MIN (HEAD_LEN + NONCE_LEN + 8 + FACTS_LEN + TAG_LEN)

int
tls_ticket_keys_init(struct tls_ticket_keys *keys)
{
	memset(keys, 0, sizeof(*keys));
	return pthread_mutex_init(&keys->lock, NULL) == 0 ? 0 : -1;
}

void
tls_ticket_keys_free(struct tls_ticket_keys *keys)
{
	(void)pthread_mutex_destroy(&keys->lock);
	sodium_memzero(keys, sizeof(*keys));
}

static uint8_t *
put_facts(uint8_t *p, const struct cert_facts *f)
{
	memcpy(p, f->serial, CERT_SERIAL_LEN);
	p += CERT_SERIAL_LEN;
	*p++ = (uint8_t)f->role;
	store_le64(p, (uint64_t)f->not_before);
	store_le64(p + 8, (uint64_t)f->not_after);
	p += 16;
	memcpy(p, f->key_hash, CERT_FINGERPRINT_LEN);
	p += CERT_FINGERPRINT_LEN;
	memset(p, 0, CERT_NAME_MAX);
	memcpy(p, f->name, strnlen(f->name, CERT_NAME_MAX - 1));
	return p + CERT_NAME_MAX;
}

static int
get_facts(struct cursor *c, struct cert_facts *f)
{
	memset(f, 0, sizeof(*f));
	cursor_copy(c, f->serial, CERT_SERIAL_LEN);
	f->role = (enum cert_role)cursor_u8(c);
	f->not_before = (int64_t)cursor_le64(c);
	f->not_after = (int64_t)cursor_le64(c);
	cursor_copy(c, f->key_hash, CERT_FINGERPRINT_LEN);
	cursor_copy(c, f->name, CERT_NAME_MAX);
	return c->bad || f->name[CERT_NAME_MAX - 1] != '\0' ? -1 : 0;
}

static int
fresh(int64_t made, int64_t now)
{
	return now >= made && now - made < TLS_TICKET_LIFE;
}

static int
in_time(const struct cert_facts *f, int64_t now)
{
	return now >= f->not_before && now <= f->not_after;
}

/* The key to seal with at `now`; a clock that went back makes a new one too. */
static struct tls_ticket_key
sealing_key(struct tls_ticket_keys *keys, int64_t now)
{
	struct tls_ticket_key k;

	(void)pthread_mutex_lock(&keys->lock);
	if (!keys->now.valid || !fresh(keys->now.made, now)) {
		keys->before = keys->now;
		randombytes_buf(keys->now.name, sizeof(keys->now.name));
		randombytes_buf(keys->now.key, sizeof(keys->now.key));
		keys->now.made = now;
		keys->now.valid = 1;
	}
	k = keys->now;
	(void)pthread_mutex_unlock(&keys->lock);
	return k;
}

static int
find_key(struct tls_ticket_keys *keys, const uint8_t name[8], struct tls_ticket_key *out)
{
	int found = 0;

	(void)pthread_mutex_lock(&keys->lock);
	if (keys->now.valid && memcmp(keys->now.name, name, 8) == 0) {
		*out = keys->now;
		found = 1;
	} else if (keys->before.valid && memcmp(keys->before.name, name, 8) == 0) {
		*out = keys->before;
		found = 1;
	}
	(void)pthread_mutex_unlock(&keys->lock);
	return found;
}

int
tls_ticket_seal(struct tls_ticket_keys *keys, int64_t now, const struct cert_facts *facts,
    const mbedtls_ssl_session *session, uint8_t *out, size_t cap, size_t *len)
{
	uint8_t plain[TLS_TICKET_SEALED_MAX], *p;
	struct tls_ticket_key k;
	size_t n;
	int rc = -1;

	store_le64(plain, (uint64_t)now);
	p = put_facts(plain + 8, facts);
	if (cap > TLS_TICKET_SEALED_MAX)
		cap = TLS_TICKET_SEALED_MAX;
	if (cap >= SEALED_MIN &&
	    mbedtls_ssl_session_save(session, p, cap - SEALED_MIN, &n) == 0) {
		k = sealing_key(keys, now);
		out[0] = VERSION;
		memcpy(out + 1, k.name, sizeof(k.name));
		randombytes_buf(out + HEAD_LEN, NONCE_LEN);
		(void)crypto_aead_xchacha20poly1305_ietf_encrypt(
		    out + HEAD_LEN + NONCE_LEN, NULL, plain, 8 + FACTS_LEN + n, out,
		    HEAD_LEN, NULL, out + HEAD_LEN, k.key);
		*len = SEALED_MIN + n;
		sodium_memzero(&k, sizeof(k));
		rc = 0;
	}
	sodium_memzero(plain, sizeof(plain));
	return rc;
}

int
tls_ticket_unseal(struct tls_ticket_keys *keys, int64_t now, const uint8_t *p, size_t len,
    mbedtls_ssl_session *session, struct cert_facts *facts)
{
	uint8_t plain[TLS_TICKET_SEALED_MAX];
	struct tls_ticket_key k;
	struct cursor c;
	int rc = -1;

	if (len < SEALED_MIN || len > TLS_TICKET_SEALED_MAX || p[0] != VERSION ||
	    !find_key(keys, p + 1, &k))
		return -1;
	if (crypto_aead_xchacha20poly1305_ietf_decrypt(plain, NULL, NULL,
		p + HEAD_LEN + NONCE_LEN, len - HEAD_LEN - NONCE_LEN, p, HEAD_LEN,
		p + HEAD_LEN, k.key) == 0) {
		cursor_init(&c, plain, len - HEAD_LEN - NONCE_LEN - TAG_LEN);
		if (fresh((int64_t)cursor_le64(&c), now) && get_facts(&c, facts) == 0 &&
		    in_time(facts, now))
			rc = mbedtls_ssl_session_load(session, c.p, c.left) == 0 ? 0 : -1;
	}
	sodium_memzero(plain, sizeof(plain));
	sodium_memzero(&k, sizeof(k));
	return rc;
}

static void
sum(const uint8_t *p, size_t len, uint8_t out[SUM_LEN])
{
	uint8_t hash[crypto_hash_sha256_BYTES];

	(void)crypto_hash_sha256(hash, p, len);
	memcpy(out, hash, SUM_LEN);
}

int
tls_ticket_save(const mbedtls_ssl_session *session, const struct cert_facts *server,
    const uint8_t basis[TLS_TICKET_BASIS_LEN], uint8_t *out, size_t cap, size_t *len)
{
	const size_t head = 1 + TLS_TICKET_BASIS_LEN + FACTS_LEN;
	size_t n;

	if (cap < head + SUM_LEN)
		return -1;
	out[0] = VERSION;
	memcpy(out + 1, basis, TLS_TICKET_BASIS_LEN);
	(void)put_facts(out + 1 + TLS_TICKET_BASIS_LEN, server);
	if (mbedtls_ssl_session_save(session, out + head, cap - head - SUM_LEN, &n) != 0)
		return -1;
	sum(out, head + n, out + head + n);
	*len = head + n + SUM_LEN;
	return 0;
}

int
tls_ticket_load(const uint8_t *p, size_t len, const uint8_t basis[TLS_TICKET_BASIS_LEN],
    int64_t now, mbedtls_ssl_session *session, struct cert_facts *server)
{
	uint8_t check[SUM_LEN];
	const uint8_t *rests_on;
	struct cursor c;

	if (len < SUM_LEN)
		return -1;
	len -= SUM_LEN;
	sum(p, len, check);
	cursor_init(&c, p, len);
	if (memcmp(check, p + len, SUM_LEN) != 0 || cursor_u8(&c) != VERSION ||
	    (rests_on = cursor_bytes(&c, TLS_TICKET_BASIS_LEN)) == NULL ||
	    memcmp(rests_on, basis, TLS_TICKET_BASIS_LEN) != 0 ||
	    get_facts(&c, server) != 0 || !in_time(server, now))
		return -1;
	return mbedtls_ssl_session_load(session, c.p, c.left) == 0 ? 0 : -1;
}
