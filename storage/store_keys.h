/*
 * store_keys.h - the files that make a directory a store, and its keys.
 *
 *	format	what this is: version, store id, features; written last
 *	keys	the master key (mode 0600): without it the store cannot be read
 *
 * From the master key come the key that authenticates the journal, the one that
 * wraps secrets in it, and the one that authenticates the catalog's rows.  Bytes:
 * storage/FORMAT.md, "Format and keys".
 */
#ifndef STORAGE_STORE_KEYS_H
#define STORAGE_STORE_KEYS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct fs;
struct journal_secret;

#define STORE_FORMAT_VERSION 1u
#define STORE_KEYS_NAME "keys"
#define STORE_KEYS_LEN 88u /* Of that file. */

struct store_keys_of {
	uint8_t store[16]; /* The store's id. */
	uint8_t master[32];
	uint8_t journal[32];  /* Derived. */
	uint8_t wrapping[32]; /* Derived. */
	uint8_t catalog[32];  /* Derived. */
};

/*
 * Begin a new store in `fs`: checks that the directory is empty but for what a
 * store_init() that never finished has left (ERR_EXISTS), marks it as
 * unfinished, makes the keys and writes them.
 */
int store_keys_begin(struct fs *fs, struct store_keys_of *out, struct err *err);

/* All else is durable: from now on it is a store. */
int store_keys_finish(struct fs *fs, struct err *err);

/*
 * Read both files.  ERR_NOTFOUND if it is no store, ERR_UNSUPPORTED for another
 * version or a required feature that this program does not know, by its name,
 * ERR_CORRUPT.
 */
int store_keys_load(struct fs *fs, struct store_keys_of *out, struct err *err);

/* `format` alone: the store's id.  Errors as above. */
int store_keys_format(struct fs *fs, uint8_t store[16], struct err *err);

/* The same of a file of another name: that of a copy not whole yet. */
int store_keys_format_of(
    struct fs *fs, const char *name, uint8_t store[16], struct err *err);

/* Make `journal` and `wrapping` of `master`. */
void store_keys_derive(struct store_keys_of *k);

/* The bytes of a `keys` file, and back: ERR_CORRUPT. */
void store_keys_encode(const struct store_keys_of *k, uint8_t b[STORE_KEYS_LEN]);
int store_keys_decode(
    const uint8_t *p, size_t len, struct store_keys_of *out, struct err *err);

/*
 * Have the line "required NAME" in `format`, durably, from now on: before the first
 * structure that programs without that feature must not meet.
 */
int store_keys_require(struct fs *fs, const char *name, struct err *err);

/* Wrap `len` bytes (at most STORE_BLOB_MAX) as the secret called `name`, and back. */
int store_keys_wrap(const struct store_keys_of *k, const char *name, const uint8_t *p,
    size_t len, struct journal_secret *out, struct err *err);
int store_keys_unwrap(const struct store_keys_of *k, const struct journal_secret *w,
    uint8_t *p, size_t cap, size_t *len, struct err *err);

#endif /* STORAGE_STORE_KEYS_H */
