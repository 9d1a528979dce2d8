/*
 * feature.h - how formats grow: feature bits and typed fields.
 *
 * A structure that outlives a process has a word of required features and one
 * of optional ones.  A reader refuses what has a required one that it does not
 * know, by number, and ignores optional ones.  What features have to say stands
 * in typed fields, one after another:
 *
 *	+0	2	type; bit 15: required
 *	+2	4	length, n
 *	+6	n	value
 *
 * Types do not fall.  Bytes: storage/FORMAT.md, "Versions and features".
 */
#ifndef PROTO_BASE_FEATURE_H
#define PROTO_BASE_FEATURE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/*
 * Are all `required` bits among the `known` ones?  If not, ERR_UNSUPPORTED with
 * a line that calls the structure `what` and gives the lowest unknown bit.
 */
int feature_check(uint32_t required, uint32_t known, const char *what, struct err *err);

#define FEATURE_FIELD_HEADER_LEN 6u
#define FEATURE_FIELD_REQUIRED 0x8000u

/* A typed field; `p` is borrowed. */
struct feature_field {
	uint16_t type;
	uint32_t len;
	const uint8_t *p;
};

/*
 * The field at `*at` of `len` bytes of fields, and step behind it.  1; 0 at the
 * end; -1 if the rest is no field.  `*at` begins as 0.
 */
int feature_next(const uint8_t *p, size_t len, size_t *at, struct feature_field *out);

/*
 * Are these fields, in order, and all required ones among the `n` in `known`?
 * ERR_CORRUPT, or ERR_UNSUPPORTED with the type's number.
 */
int feature_check_fields(const uint8_t *p, size_t len, const uint16_t *known, size_t n,
    const char *what, struct err *err);

/* Append a field; callers append in order of type.  ERR_LIMIT, ERR_NOMEM. */
int feature_add_field(
    struct buf *out, uint16_t type, const void *p, size_t len, struct err *err);

#endif /* PROTO_BASE_FEATURE_H */
