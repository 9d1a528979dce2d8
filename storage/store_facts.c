#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/tree.h"
#include "storage/store.h"

#define EXCLUDED_LEN 9u
#define CHANGES_LEN 18u
#define PROVEN_LEN 8u

/* The value of STORE_FACT_EXCLUDED: reason and bytes, reasons rising. */
static int
excluded_ok(const struct feature_field *f)
{
	if (f->len % EXCLUDED_LEN != 0)
		return 0;
	for (uint32_t at = 0; at < f->len; at += EXCLUDED_LEN)
		if (f->p[at] > EXTENT_REASON_MAX ||
		    (at > 0 && f->p[at] <= f->p[at - EXCLUDED_LEN]))
			return 0;
	return 1;
}

/* The value of STORE_FACT_CAPTURE: text, without control characters. */
static int
capture_ok(const struct feature_field *f)
{
	if (f->len == 0 || f->len >= STORE_CAPTURE_MAX)
		return 0;
	for (uint32_t i = 0; i < f->len; i++)
		if (f->p[i] < ' ' || f->p[i] == 0x7f)
			return 0;
	return 1;
}

/* The value of STORE_FACT_CHANGES: volumes that rise. */
static int
changes_ok(const struct feature_field *f)
{
	if (f->len == 0 || f->len % CHANGES_LEN != 0)
		return 0;
	for (uint32_t at = 0; at < f->len; at += CHANGES_LEN)
		if (f->p[at] >= STORE_VOLUMES_MAX ||
		    (at > 0 && f->p[at] <= f->p[at - CHANGES_LEN]))
			return 0;
	return 1;
}

int
store_facts_check(const uint8_t *p, size_t len, struct err *err)
{
	struct feature_field f;
	size_t at = 0;
	unsigned excluded = 0, capture = 0, changes = 0, proven = 0;

	if (len > STORE_FACTS_MAX)
		return err_set(err, ERR_CORRUPT, "a point has %zu bytes of facts", len);
	if (feature_check_fields(p, len, NULL, 0, "a point", err) != 0)
		return -1;
	while (feature_next(p, len, &at, &f) == 1) {
		if (f.type == STORE_FACT_EXCLUDED && (excluded++ > 0 || !excluded_ok(&f)))
			return err_set(
			    err, ERR_CORRUPT, "a point's excluded bytes make no sense");
		if (f.type == STORE_FACT_CAPTURE && (capture++ > 0 || !capture_ok(&f)))
			return err_set(
			    err, ERR_CORRUPT, "how a point was frozen makes no sense");
		if (f.type == STORE_FACT_CHANGES && (changes++ > 0 || !changes_ok(&f)))
			return err_set(
			    err, ERR_CORRUPT, "what a point did not read makes no sense");
		if (f.type == STORE_FACT_PROVEN && (proven++ > 0 || f.len != PROVEN_LEN))
			return err_set(
			    err, ERR_CORRUPT, "what of a host is proven makes no sense");
	}
	return 0;
}

int
store_facts_add(struct store_point *p, const uint8_t *fields, size_t len, struct err *err)
{
	if (len > STORE_FACTS_MAX - p->facts_len)
		return err_set(err, ERR_LIMIT, "a point has too many bytes of facts");
	if (len == 0)
		return 0;
	memcpy(p->facts + p->facts_len, fields, len);
	if (store_facts_check(p->facts, p->facts_len + len, err) != 0)
		return -1;
	p->facts_len += (uint32_t)len;
	return 0;
}

int
store_facts_set_excluded(
    struct store_point *p, const struct store_excluded *e, size_t n, struct err *err)
{
	struct buf facts = BUF_INIT(STORE_FACTS_MAX);
	uint8_t value[EXCLUDED_LEN * STORE_EXCLUDED_MAX];
	int failed = 0;

	if (n > STORE_EXCLUDED_MAX)
		return err_set(err, ERR_LIMIT, "%zu reasons for leaving bytes out", n);
	for (size_t i = 0; i < n; i++) {
		value[EXCLUDED_LEN * i] = e[i].reason;
		store_le64(value + EXCLUDED_LEN * i + 1, e[i].bytes);
	}
	failed = feature_add_field(
		     &facts, STORE_FACT_EXCLUDED, value, EXCLUDED_LEN * n, err) != 0 ||
		 store_facts_check(facts.p, facts.len, err) != 0;
	if (!failed) {
		memcpy(p->facts, facts.p, facts.len);
		p->facts_len = (uint32_t)facts.len;
	}
	buf_free(&facts);
	return failed ? -1 : 0;
}

size_t
store_facts_excluded(
    const struct store_point *p, struct store_excluded out[STORE_EXCLUDED_MAX])
{
	struct feature_field f;
	size_t at = 0, n = 0;

	while (feature_next(p->facts, p->facts_len, &at, &f) == 1) {
		if (f.type != STORE_FACT_EXCLUDED)
			continue;
		for (; n < f.len / EXCLUDED_LEN && n < STORE_EXCLUDED_MAX; n++) {
			out[n].reason = f.p[EXCLUDED_LEN * n];
			out[n].bytes = load_le64(f.p + EXCLUDED_LEN * n + 1);
		}
		break;
	}
	return n;
}

int
store_facts_set_capture(struct store_point *p, const char *text, struct err *err)
{
	struct buf facts = BUF_INIT(STORE_FACTS_MAX);
	size_t len = strlen(text);
	int rc = 0;

	/* Never in the middle of a character. */
	if (len >= STORE_CAPTURE_MAX)
		for (len = STORE_CAPTURE_MAX - 1;
		     ((unsigned char)text[len] & 0xc0) == 0x80;)
			len--;
	if (len > 0 && len + FEATURE_FIELD_HEADER_LEN <= STORE_FACTS_MAX - p->facts_len) {
		rc = feature_add_field(&facts, STORE_FACT_CAPTURE, text, len, err);
		if (rc == 0)
			rc = store_facts_add(p, facts.p, facts.len, err);
	}
	buf_free(&facts);
	return rc;
}

void
store_facts_capture(const struct store_point *p, char out[STORE_CAPTURE_MAX])
{
	struct feature_field f;
	size_t at = 0;

	out[0] = '\0';
	while (feature_next(p->facts, p->facts_len, &at, &f) == 1)
		if (f.type == STORE_FACT_CAPTURE && f.len < STORE_CAPTURE_MAX) {
			memcpy(out, f.p, f.len);
			out[f.len] = '\0';
		}
}

int
store_facts_set_changes(
    struct store_point *p, const struct store_changes *c, size_t n, struct err *err)
{
	struct buf facts = BUF_INIT(STORE_FACTS_MAX);
	uint8_t value[CHANGES_LEN * STORE_VOLUMES_MAX], *at = value;
	int rc;

	if (n == 0)
		return 0;
	if (n > STORE_VOLUMES_MAX)
		return err_set(err, ERR_LIMIT, "%zu volumes that were not read", n);
	for (size_t i = 0; i < n; i++, at += CHANGES_LEN) {
		at[0] = c[i].volume;
		store_le64(at + 1, c[i].kept_bytes);
		store_le64(at + 9, c[i].proven_bytes);
		at[17] = c[i].slices;
	}
	rc = feature_add_field(
	    &facts, STORE_FACT_CHANGES, value, (size_t)(at - value), err);
	if (rc == 0)
		rc = store_facts_add(p, facts.p, facts.len, err);
	buf_free(&facts);
	return rc;
}

size_t
store_facts_changes(
    const struct store_point *p, struct store_changes out[STORE_VOLUMES_MAX])
{
	struct feature_field f;
	size_t at = 0, n = 0;

	while (feature_next(p->facts, p->facts_len, &at, &f) == 1)
		if (f.type == STORE_FACT_CHANGES)
			for (n = 0; n < f.len / CHANGES_LEN && n < STORE_VOLUMES_MAX;
			     n++) {
				const uint8_t *c = f.p + CHANGES_LEN * n;

				out[n] = (struct store_changes){ c[0], load_le64(c + 1),
					load_le64(c + 9), c[17] };
			}
	return n;
}

int
store_facts_set_proven(struct store_point *p, uint64_t sequence, struct err *err)
{
	struct buf facts = BUF_INIT(STORE_FACTS_MAX);
	uint8_t value[PROVEN_LEN];
	int rc;

	store_le64(value, sequence);
	rc = feature_add_field(&facts, STORE_FACT_PROVEN, value, sizeof(value), err);
	if (rc == 0)
		rc = store_facts_add(p, facts.p, facts.len, err);
	buf_free(&facts);
	return rc;
}

uint64_t
store_facts_proven(const struct store_point *p)
{
	struct feature_field f;
	size_t at = 0;

	while (feature_next(p->facts, p->facts_len, &at, &f) == 1)
		if (f.type == STORE_FACT_PROVEN && f.len == PROVEN_LEN)
			return load_le64(f.p);
	return 0;
}
