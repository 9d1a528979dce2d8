/*
 * seal.h - the private key as it lies on the disk.
 *
 * On Windows DPAPI seals it for this machine (seal_win32.c): whoever copies the
 * file elsewhere cannot use it.  Whoever reads it here can, so the directory's
 * access list stays the lock (place.h).  Linux has nothing of that kind; there the
 * key's file is the key, mode 0600.
 *
 *	0	8	"HFSEALED"
 *	8	2	version, 1
 *	10	2	method: 1 DPAPI, of the machine
 *	12	4	length of what follows
 *	16	...	DPAPI's blob
 *
 * A key that is not sealed is DER and begins with 0x30, so the two cannot be
 * confused.
 */
#ifndef AGENT_HOST_SEAL_H
#define AGENT_HOST_SEAL_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

enum seal_kind {
	SEAL_NONE, /* The bytes themselves: this system has no seal, or none works. */
	SEAL_DPAPI
};

#define SEAL_HEADER_LEN 16

/*
 * What is to be written for `len` bytes of key into `out` (replaced).  Where the
 * system has no seal that is the key itself, and *kind is SEAL_NONE.  A seal that
 * fails is no error either: *why (may be NULL) says what the system said.
 */
int seal_protect(const void *key, size_t len, struct buf *out, enum seal_kind *kind,
    struct err *why, struct err *err);

/*
 * The key out of a file's bytes, into `out` (replaced; the caller wipes it), and
 * how it was kept.  ERR_DENIED: sealed by another machine, with the way out in the
 * text; ERR_CORRUPT, ERR_UNSUPPORTED (a later version, or a seal of another system).
 */
int seal_open(
    const void *file, size_t len, struct buf *out, enum seal_kind *kind, struct err *err);

/* Non-zero if this system can seal: an unsealed key is then to be written anew. */
int seal_available(void);

/* ------------------------------------------------- the bytes, on any system -- */

/* Write the header for `len` bytes that follow. */
void seal_header(uint8_t out[SEAL_HEADER_LEN], enum seal_kind kind, size_t len);

/* Look at a file's head: *blob and *len are what is sealed, or all of an unsealed one. */
int seal_parse(const void *file, size_t file_len, enum seal_kind *kind,
    const uint8_t **blob, size_t *len, struct err *err);

#endif /* AGENT_HOST_SEAL_H */
