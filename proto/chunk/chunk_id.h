/*
 * chunk_id.h - the name of a chunk: keyed BLAKE3-256 of its plain bytes.
 *
 * Hosts that may share chunks form a dedup domain; its 32-byte key goes into
 * every name, so that names of one domain say nothing in another.  Data chunks
 * and tree nodes (kind meta) are named under different subkeys: bytes sent as
 * data can never be taken for a node.
 *
 * Source: the BLAKE3 specification, sections 2.3 (keyed_hash) and 2.6
 * (derive_key, which makes the two subkeys).
 */
#ifndef PROTO_CHUNK_CHUNK_ID_H
#define PROTO_CHUNK_CHUNK_ID_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_ID_LEN 32
#define CHUNK_KEY_LEN 32

/* The numbers are stored in packs and sent in frames. */
enum chunk_kind {
	CHUNK_DATA = 1,
	CHUNK_META = 2	/* A node of an image tree. */
};

/* Longest plain chunk of each kind, in bytes; the shortest is 1. */
#define CHUNK_DATA_MAX (256u * 1024)
#define CHUNK_META_MAX (1024u * 1024)

struct chunk_id {
	uint8_t b[CHUNK_ID_LEN];
};

/* A domain's key, ready for use; copyable.  Secret. */
struct chunk_keys {
	uint8_t data[CHUNK_KEY_LEN];
	uint8_t meta[CHUNK_KEY_LEN];
};

/* Derive the subkeys from the domain's key. */
void chunk_keys_init(struct chunk_keys *keys, const uint8_t domain[CHUNK_KEY_LEN]);

/* Name `len` bytes of a chunk of kind `kind`. */
void chunk_id_of(const struct chunk_keys *keys, enum chunk_kind kind, const void *p,
    size_t len, struct chunk_id *out);

/* As memcmp(). */
int chunk_id_cmp(const struct chunk_id *a, const struct chunk_id *b);

/* Lower-case hex and a NUL. */
void chunk_id_hex(const struct chunk_id *id, char out[2 * CHUNK_ID_LEN + 1]);

#endif /* PROTO_CHUNK_CHUNK_ID_H */
