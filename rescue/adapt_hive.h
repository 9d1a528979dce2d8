/*
 * adapt_hive.h - a registry hive's keys and values by name; for adapt*.c alone.
 *
 * Thin over libhivex.  A key is a number, 0: none.  Names are UTF-8, of any case.
 */
#ifndef RESCUE_ADAPT_HIVE_H
#define RESCUE_ADAPT_HIVE_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct adapt_hive;

#define ADAPT_HIVE_TEXT_MAX 256u

/*
 * Open the hive that the descriptor `fd` has open, from its begin.  ERR_UNSUPPORTED:
 * logs pending; ERR_CORRUPT.
 */
int adapt_hive_open(int fd, int writable, struct adapt_hive **out, struct err *err);
void adapt_hive_close(struct adapt_hive *h);

/* Write what was changed to the file that `fd` has open. */
int adapt_hive_write(struct adapt_hive *h, int fd, struct err *err);

size_t adapt_hive_root(struct adapt_hive *h);

/* The key at `path` ("A\B") below `key`; 0. */
size_t adapt_hive_find(struct adapt_hive *h, size_t key, const char *path);

/* Call `each` for all keys below until it returns non-zero; returns that. */
int adapt_hive_keys(struct adapt_hive *h, size_t key,
    int (*each)(void *arg, size_t key, const char *name), void *arg);

/* The same for the names of values. */
int adapt_hive_values(struct adapt_hive *h, size_t key,
    int (*each)(void *arg, const char *name), void *arg);

/* Value `name` of `key`: 1, or 0: not there, or of another type. */
int adapt_hive_number(struct adapt_hive *h, size_t key, const char *name, uint32_t *out);
/* The first string, if it has several. */
int adapt_hive_text(
    struct adapt_hive *h, size_t key, const char *name, char out[ADAPT_HIVE_TEXT_MAX]);

/* Changes; 0 or -1 (ERR_IO). */
int adapt_hive_set_number(
    struct adapt_hive *h, size_t key, const char *name, uint32_t value, struct err *err);
/* ASCII. */
int adapt_hive_set_text(struct adapt_hive *h, size_t key, const char *name,
    const char *value, struct err *err);
size_t
adapt_hive_add(struct adapt_hive *h, size_t key, const char *name, struct err *err);
int adapt_hive_remove(struct adapt_hive *h, size_t key, struct err *err);

#endif /* RESCUE_ADAPT_HIVE_H */
