/*
 * store_escrow.h - the master key kept elsewhere, for the day the server is gone.
 *
 * An escrow file is the master key sealed by a passphrase (Argon2id, then
 * XChaCha20-Poly1305); a copy of the store's `keys` file serves as well, unsealed.
 * With the store's disk and either of them a new machine is the server again: all
 * other keys lie wrapped in the journal.  Bytes: storage/FORMAT.md, "Escrow".
 *
 * escrow_seal() and escrow_unseal() do no I/O.
 */
#ifndef STORAGE_STORE_ESCROW_H
#define STORAGE_STORE_ESCROW_H

#include <stddef.h>
#include <stdint.h>

#include "storage/store.h"
#include "storage/store_keys.h"

struct buf;
struct err;
struct fs;

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

/*
 * Are these the keys of the store in `fs`, which may lack its own?  By the id in
 * `format` and the journal's first record.  ERR_DENIED if not.
 */
int escrow_fits(struct fs *fs, const struct store_keys_of *k, struct err *err);

/* Write them as the store's `keys`, durably, after escrow_fits(). */
int escrow_import(struct fs *fs, const struct store_keys_of *k, struct err *err);

/* ------------------------------------------------------- what the store knows -- */

enum store_escrow_kind { STORE_ESCROW_SEALED = 1, STORE_ESCROW_PLAIN = 2 };

struct store_escrow {
	int64_t time_us; /* 0: never. */
	int kind;
	char who[STORE_NAME_MAX];
};

/* When the keys in use were last exported; all zero if never. */
int store_escrow_last(struct store *s, struct store_escrow *out, struct err *err);

/*
 * Note that `who` exported them.  ERR_DENIED if `check` (escrow_check_of()) is not
 * that of the keys in use.
 */
int store_escrow_note(struct store *s, int kind, const uint8_t check[STORE_HASH_LEN],
    const char *who, struct err *err);

/* The same where no process has the store open (ERR_BUSY), and without opening it. */
int store_escrow_note_fs(struct fs *fs, int kind, const char *who, struct err *err);

#endif /* STORAGE_STORE_ESCROW_H */
