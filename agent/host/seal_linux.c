#include "agent/host/seal.h"

#include "proto/base/buf.h"
#include "proto/base/err.h"

int
seal_available(void)
{
	return 0;
}

int
seal_protect(const void *key, size_t len, struct buf *out, enum seal_kind *kind,
    struct err *why, struct err *err)
{
	(void)why;
	*kind = SEAL_NONE;
	buf_clear(out);
	return buf_add(out, key, len, err);
}

int
seal_open(
    const void *file, size_t len, struct buf *out, enum seal_kind *kind, struct err *err)
{
	const uint8_t *blob;

	if (seal_parse(file, len, kind, &blob, &len, err) != 0)
		return -1;
	if (*kind != SEAL_NONE)
		return err_set(err, ERR_DENIED,
		    "sealed by a Windows machine; enrol this host again: holdfast-agent "
		    "enroll TOKEN --replace");
	buf_clear(out);
	return buf_add(out, blob, len, err);
}
