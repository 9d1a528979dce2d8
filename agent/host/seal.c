#include "agent/host/seal.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define MAGIC "HFSEALED"
#define MAGIC_LEN 8
#define VERSION 1

void
seal_header(uint8_t out[SEAL_HEADER_LEN], enum seal_kind kind, size_t len)
{
	memcpy(out, MAGIC, MAGIC_LEN);
	store_le16(out + 8, VERSION);
	store_le16(out + 10, (uint16_t)kind);
	store_le32(out + 12, (uint32_t)len);
}

int
seal_parse(const void *file, size_t file_len, enum seal_kind *kind, const uint8_t **blob,
    size_t *len, struct err *err)
{
	const uint8_t *p = file;
	uint16_t method;

	*kind = SEAL_NONE;
	*blob = p;
	*len = file_len;
	if (file_len < MAGIC_LEN || memcmp(p, MAGIC, MAGIC_LEN) != 0)
		return 0;
	if (file_len < SEAL_HEADER_LEN)
		return err_set(err, ERR_CORRUPT, "a seal that is cut short");
	if (load_le16(p + 8) != VERSION)
		return err_set(err, ERR_UNSUPPORTED, "a seal of version %u; this is %u",
		    load_le16(p + 8), VERSION);
	method = load_le16(p + 10);
	if (method != SEAL_DPAPI)
		return err_set(err, ERR_UNSUPPORTED, "a seal of unknown kind %u", method);
	if (load_le32(p + 12) != file_len - SEAL_HEADER_LEN)
		return err_set(err, ERR_CORRUPT, "a seal of another length");
	*kind = (enum seal_kind)method;
	*blob = p + SEAL_HEADER_LEN;
	*len = file_len - SEAL_HEADER_LEN;
	return 0;
}
