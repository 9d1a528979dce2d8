/*
 * store_escrow.h - the master key kept elsewhere: putting it back, and knowing of it.
 *
 * The bytes that people keep are escrow.h's; a copy of the store's `keys` file
 * serves as well, unsealed.
 */
#ifndef STORAGE_STORE_ESCROW_H
#define STORAGE_STORE_ESCROW_H

#include <stdint.h>

#include "storage/store.h"
#include "storage/store_keys.h"

struct err;
struct fs;

/*
 * Are these the keys of the store in `fs`, which may lack its own?  By the id in
 * `format` and the journal's first record.  ERR_DENIED if not.
 */
int store_escrow_fits(struct fs *fs, const struct store_keys_of *k, struct err *err);

/* Write them as the store's `keys`, durably, after store_escrow_fits(). */
int store_escrow_import(struct fs *fs, const struct store_keys_of *k, struct err *err);

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

/*
 * The same where no process has the store open (ERR_BUSY), and without opening it.
 * `clock` (NULL: the system's) is not believed further than store_time.h would.
 */
int store_escrow_note_fs(
    struct fs *fs, int kind, const char *who, int64_t (*clock)(void), struct err *err);

#endif /* STORAGE_STORE_ESCROW_H */
