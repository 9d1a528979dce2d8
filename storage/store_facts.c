#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/tree.h"
#include "storage/store.h"

#define EXCLUDED_LEN 9u

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

int
store_facts_check(const uint8_t *p, size_t len, struct err *err)
{
	struct feature_field f;
	size_t at = 0;
	unsigned excluded = 0;

	if (len > STORE_FACTS_MAX)
		return err_set(err, ERR_CORRUPT, "a point has %zu bytes of facts", len);
	if (feature_check_fields(p, len, NULL, 0, "a point", err) != 0)
		return -1;
	while (feature_next(p, len, &at, &f) == 1)
		if (f.type == STORE_FACT_EXCLUDED && (excluded++ > 0 || !excluded_ok(&f)))
			return err_set(
			    err, ERR_CORRUPT, "a point's excluded bytes make no sense");
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
