#include "proto/chunk/chunk_id.h"

#include <string.h>

#include "proto/chunk/blake3.h"

/* Changing a context renames every chunk: they are part of the format. */
#define CONTEXT_DATA "Holdfast 2026-11-22 chunk names: kind data"
#define CONTEXT_META "Holdfast 2026-11-22 chunk names: kind meta"

void
chunk_keys_init(struct chunk_keys *keys, const uint8_t domain[CHUNK_KEY_LEN])
{
	blake3_derive_key(
	    CONTEXT_DATA, domain, CHUNK_KEY_LEN, keys->data, sizeof(keys->data));
	blake3_derive_key(
	    CONTEXT_META, domain, CHUNK_KEY_LEN, keys->meta, sizeof(keys->meta));
}

void
chunk_id_of(const struct chunk_keys *keys, enum chunk_kind kind, const void *p,
    size_t len, struct chunk_id *out)
{
	const uint8_t *key = kind == CHUNK_META ? keys->meta : keys->data;

	blake3(p, len, key, out->b, sizeof(out->b));
}

int
chunk_id_cmp(const struct chunk_id *a, const struct chunk_id *b)
{
	return memcmp(a->b, b->b, sizeof(a->b));
}

void
chunk_id_hex(const struct chunk_id *id, char out[2 * CHUNK_ID_LEN + 1])
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < CHUNK_ID_LEN; i++) {
		out[2 * i] = digits[id->b[i] >> 4];
		out[2 * i + 1] = digits[id->b[i] & 15];
	}
	out[2 * CHUNK_ID_LEN] = '\0';
}
