#include "storage/escrow.h"

#include <sodium.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"

/*
 * Layout: magic 8, store id 16, required 4, optional 4, passes 4, memory 4, salt 16,
 * nonce 24, length 4, then as many sealed bytes (master key 32, typed fields, tag
 * 16), then the hash of all before.
 */
#define HEAD_LEN 84u
#define SALT_AT 40u
#define NONCE_AT 56u
#define LEN_AT 80u
#define MASTER_LEN 32u
#define SEALED_LEN (MASTER_LEN + TAG_LEN)
#define HASH_LEN 32u
#define NONCE_LEN crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
#define TAG_LEN crypto_aead_xchacha20poly1305_ietf_ABYTES
#define FEATURES 0u

_Static_assert(crypto_pwhash_argon2id_SALTBYTES == 16 && NONCE_LEN == 24 && TAG_LEN == 16,
    "the layout's lengths are libsodium's");

static const uint8_t magic[8] = { 'H', 'F', 'E', 'S', 'C', 'R', '1', '\n' };

static int
cost_check(uint32_t passes, uint32_t memory_kib, struct err *err)
{
	if (passes == 0 || passes > ESCROW_PASSES_MAX || memory_kib < ESCROW_MEMORY_MIN ||
	    memory_kib > ESCROW_MEMORY_MAX)
		return err_set(err, ERR_LIMIT,
		    "escrow file: %u passes over %u KiB are not accepted", passes,
		    memory_kib);
	return 0;
}

static int
derive(const char *passphrase, size_t len, const uint8_t *head, uint8_t key[32],
    struct err *err)
{
	uint32_t passes = load_le32(head + 32), memory_kib = load_le32(head + 36);

	if (len < ESCROW_PASSPHRASE_MIN || len > ESCROW_PASSPHRASE_MAX)
		return err_set(err, ERR_LIMIT, "a passphrase has %u to %u bytes",
		    ESCROW_PASSPHRASE_MIN, ESCROW_PASSPHRASE_MAX);
	if (cost_check(passes, memory_kib, err) != 0)
		return -1;
	if (crypto_pwhash(key, 32, passphrase, len, head + SALT_AT, passes,
		(size_t)memory_kib << 10, crypto_pwhash_ALG_ARGON2ID13) != 0)
		return err_set(err, ERR_NOMEM,
		    "no memory to derive a key: it takes %u MiB", memory_kib >> 10);
	return 0;
}

int
escrow_seal(const struct store_keys_of *k, const char *passphrase, size_t len,
    const struct escrow_cost *cost, struct buf *out, struct err *err)
{
	uint8_t b[HEAD_LEN + SEALED_LEN + HASH_LEN] = { 0 }, key[32];
	unsigned long long n = 0;

	if (sodium_init() < 0)
		return err_set(err, ERR_IO, "no random numbers");
	memcpy(b, magic, sizeof(magic));
	memcpy(b + 8, k->store, sizeof(k->store));
	store_le32(b + 32, cost->passes);
	store_le32(b + 36, cost->memory_kib);
	randombytes_buf(b + SALT_AT, LEN_AT - SALT_AT);
	store_le32(b + LEN_AT, SEALED_LEN);
	if (derive(passphrase, len, b, key, err) != 0)
		return -1;
	/* The head is authenticated with it: nothing there can be exchanged. */
	(void)crypto_aead_xchacha20poly1305_ietf_encrypt(b + HEAD_LEN, &n, k->master,
	    sizeof(k->master), b, HEAD_LEN, NULL, b + NONCE_AT, key);
	sodium_memzero(key, sizeof(key));
	blake3(b, HEAD_LEN + SEALED_LEN, NULL, b + HEAD_LEN + SEALED_LEN, HASH_LEN);
	return buf_add(out, b, sizeof(b), err);
}

int
escrow_is_sealed(const uint8_t *p, size_t len)
{
	return len >= sizeof(magic) && memcmp(p, magic, sizeof(magic) - 2) == 0;
}

/* All that can be judged without the passphrase. */
static int
check_file(const uint8_t *p, size_t len, struct err *err)
{
	uint8_t hash[HASH_LEN];
	uint32_t n;

	if (!escrow_is_sealed(p, len))
		return err_set(err, ERR_CORRUPT, "this is no escrow file");
	if (memcmp(p, magic, sizeof(magic)) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "escrow file: of a version that this program does not know");
	if (len < HEAD_LEN + SEALED_LEN + HASH_LEN || len > ESCROW_LEN_MAX)
		return err_set(err, ERR_CORRUPT, "escrow file: %zu bytes long", len);
	n = load_le32(p + LEN_AT);
	if (n < SEALED_LEN || n > SEALED_LEN + ESCROW_FIELDS_MAX ||
	    len != HEAD_LEN + n + HASH_LEN)
		return err_set(err, ERR_CORRUPT, "escrow file: cut off or damaged");
	blake3(p, HEAD_LEN + n, NULL, hash, sizeof(hash));
	if (memcmp(hash, p + HEAD_LEN + n, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "escrow file: damaged");
	return feature_check(load_le32(p + 24), FEATURES, "escrow file", err);
}

int
escrow_unseal(const uint8_t *p, size_t len, const char *passphrase, size_t passphrase_len,
    struct store_keys_of *out, struct err *err)
{
	uint8_t key[32], plain[MASTER_LEN + ESCROW_FIELDS_MAX];
	unsigned long long n = 0;
	int failed;

	if (sodium_init() < 0)
		return err_set(err, ERR_IO, "no random numbers");
	if (check_file(p, len, err) != 0 ||
	    derive(passphrase, passphrase_len, p, key, err) != 0)
		return -1;
	failed = crypto_aead_xchacha20poly1305_ietf_decrypt(plain, &n, NULL, p + HEAD_LEN,
	    load_le32(p + LEN_AT), p, HEAD_LEN, p + NONCE_AT, key);
	if (failed)
		(void)err_set(err, ERR_DENIED, "escrow file: not this passphrase");
	else
		failed = feature_check_fields(plain + MASTER_LEN, (size_t)n - MASTER_LEN,
		    NULL, 0, "escrow file", err);
	if (!failed) {
		memcpy(out->store, p + 8, sizeof(out->store));
		memcpy(out->master, plain, MASTER_LEN);
		store_keys_derive(out);
	}
	sodium_memzero(key, sizeof(key));
	sodium_memzero(plain, sizeof(plain));
	return failed ? -1 : 0;
}

void
escrow_check_of(const struct store_keys_of *k, uint8_t out[STORE_HASH_LEN])
{
	blake3_derive_key("holdfast store v1: escrow check", k->master, sizeof(k->master),
	    out, STORE_HASH_LEN);
}
