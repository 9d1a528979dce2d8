/*
 * group_format.h - inside groups: where the fields of the header lie.
 *
 * The table is in storage/FORMAT.md, "Groups".
 */
#ifndef PROTO_CHUNK_GROUP_FORMAT_H
#define PROTO_CHUNK_GROUP_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define GROUP_MAGIC 0x30474648u /* "HFG0" */
#define GROUP_HASH_LEN 32

enum group_at {
	AT_KIND = 4,
	AT_CODEC = 5,
	AT_FLAGS = 6,
	AT_COUNT = 8,
	AT_PLAIN_LEN = 12,
	AT_DATA_LEN = 16,
	AT_RESERVED = 20,
	AT_HASH = 24
};

/* Hash a group of `len` bytes, all but the field that holds the hash. */
void group_hash(const uint8_t *p, size_t len, uint8_t out[GROUP_HASH_LEN]);

#endif /* PROTO_CHUNK_GROUP_FORMAT_H */
