/*
 * group_format.h - inside groups: where the fields of the header lie.
 *
 * The table is in storage/FORMAT.md, "Groups".
 */
#ifndef PROTO_CHUNK_GROUP_FORMAT_H
#define PROTO_CHUNK_GROUP_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define GROUP_MAGIC 0x31474648u /* "HFG1" */
#define GROUP_HASH_LEN 32

enum group_at {
	AT_KIND = 4,
	AT_CODEC = 5,
	AT_CIPHER = 6,
	AT_RESERVED = 7,
	AT_REQUIRED = 8,
	AT_OPTIONAL = 10,
	AT_COUNT = 12,
	AT_PLAIN_LEN = 16,
	AT_DATA_LEN = 20,
	AT_KEY_ID = 24,
	AT_FIELDS_LEN = 28,
	AT_HASH = 32
};

/* Hash a group of `len` bytes, all but the field that holds the hash. */
void group_hash(const uint8_t *p, size_t len, uint8_t out[GROUP_HASH_LEN]);

#endif /* PROTO_CHUNK_GROUP_FORMAT_H */
