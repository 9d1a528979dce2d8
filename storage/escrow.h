/*
 * escrow.h - the master key sealed by a passphrase, for people to keep.
 *
 * With the store's disk and this file a new machine is the server again: all other
 * keys lie wrapped in the journal.  Argon2id makes a key of the passphrase,
 * XChaCha20-Poly1305 seals.  No I/O here.  Bytes: storage/FORMAT.md, "Escrow".
 */
#ifndef STORAGE_ESCROW_H
#define STORAGE_ESCROW_H

#include <stddef.h>
#include <stdint.h>

#include "storage/store.h"
#include "storage/store_keys.h"

struct buf;
struct err;

#define ESCROW_LEN_MAX 8192u	     /* Bytes of a file. */
#define ESCROW_FIELDS_MAX 4096u	     /* Of typed fields behind the key. */
#define ESCROW_PASSPHRASE_MIN 12u    /* Bytes. */
#define ESCROW_PASSPHRASE_MAX 1024u  /* Bytes. */
#define ESCROW_MEMORY_MIN (8u << 10) /* KiB: 8 MiB ... */
#define ESCROW_MEMORY_MAX (1u << 20) /* ... to 1 GiB, or a file could ask for all. */
#define ESCROW_PASSES_MAX 16u

/* What deriving the key costs who knows the passphrase, and who guesses. */
struct escrow_cost {
	uint32_t passes;
	uint32_t memory_kib;
};
#define ESCROW_COST_DEFAULT   \
	{                     \
		3, 256u << 10 \
	}

/*
 * Seal the keys into `out` (appended; limit >= ESCROW_LEN_MAX).  ERR_LIMIT for a
 * passphrase too short or long or a cost out of bounds, ERR_NOMEM.
 */
int escrow_seal(const struct store_keys_of *k, const char *passphrase, size_t len,
    const struct escrow_cost *cost, struct buf *out, struct err *err);

/* Are these the bytes of a sealed file, whatever is in them? */
int escrow_is_sealed(const uint8_t *p, size_t len);

/*
 * The keys in a sealed file.  ERR_CORRUPT (damaged), ERR_UNSUPPORTED (a newer
 * version or feature), ERR_DENIED (not this passphrase), ERR_LIMIT, ERR_NOMEM.
 */
int escrow_unseal(const uint8_t *p, size_t len, const char *passphrase,
    size_t passphrase_len, struct store_keys_of *out, struct err *err);

/* What can be shown of a master key without giving it away: says that two are equal. */
void escrow_check_of(const struct store_keys_of *k, uint8_t out[STORE_HASH_LEN]);

#endif /* STORAGE_ESCROW_H */
