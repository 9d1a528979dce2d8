#include "proto/base/feature.h"

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

int
feature_check(uint32_t required, uint32_t known, const char *what, struct err *err)
{
	uint32_t unknown = required & ~known;
	unsigned bit = 0;

	if (unknown == 0)
		return 0;
	while ((unknown >> bit & 1) == 0)
		bit++;
	return err_set(err, ERR_UNSUPPORTED,
	    "%s needs feature %u, which this program does not know", what, bit);
}

int
feature_next(const uint8_t *p, size_t len, size_t *at, struct feature_field *out)
{
	size_t left = len - *at;

	if (left == 0)
		return 0;
	if (left < FEATURE_FIELD_HEADER_LEN)
		return -1;
	out->type = load_le16(p + *at);
	out->len = load_le32(p + *at + 2);
	out->p = p + *at + FEATURE_FIELD_HEADER_LEN;
	if (out->len > left - FEATURE_FIELD_HEADER_LEN)
		return -1;
	*at += FEATURE_FIELD_HEADER_LEN + out->len;
	return 1;
}

int
feature_check_fields(const uint8_t *p, size_t len, const uint16_t *known, size_t n,
    const char *what, struct err *err)
{
	struct feature_field f;
	size_t at = 0, i;
	uint16_t last = 0;
	int got;

	while ((got = feature_next(p, len, &at, &f)) == 1) {
		/* By number without bit 15, so that both sorts share one order. */
		if ((f.type & ~FEATURE_FIELD_REQUIRED) < last)
			return err_set(
			    err, ERR_CORRUPT, "%s has fields out of order", what);
		last = f.type & (uint16_t)~FEATURE_FIELD_REQUIRED;
		for (i = 0; i < n && known[i] != f.type; i++)
			continue;
		if (i == n && (f.type & FEATURE_FIELD_REQUIRED) != 0)
			return err_set(err, ERR_UNSUPPORTED,
			    "%s needs field %u, which this program does not know", what,
			    (unsigned)last);
	}
	if (got < 0)
		return err_set(err, ERR_CORRUPT, "%s has a field that is cut off", what);
	return 0;
}

int
feature_add_field(
    struct buf *out, uint16_t type, const void *p, size_t len, struct err *err)
{
	if (buf_room(out, FEATURE_FIELD_HEADER_LEN + len, err) == NULL)
		return -1;
	(void)buf_add_le16(out, type, err);
	(void)buf_add_le32(out, (uint32_t)len, err);
	return len > 0 ? buf_add(out, p, len, err) : 0;
}
