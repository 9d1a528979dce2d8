/* Keys, requests, certificates: what we sign we read back, and nothing else is believed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "proto/tls/cert.h"

#define NOW 1767312000 /* 2026-01-02T00:00:00Z */
#define DAY 86400

static struct cert_key *ca_key;
static struct cert ca;

static struct cert_facts
facts(enum cert_role role, const char *name, int64_t from, int64_t to)
{
	struct cert_facts f;

	memset(&f, 0, sizeof(f));
	f.serial[CERT_SERIAL_LEN - 1] = 7;
	f.role = role;
	(void)snprintf(f.name, sizeof(f.name), "%s", name);
	f.not_before = from;
	f.not_after = to;
	return f;
}

static struct cert
make(const struct cert *by, const struct cert_key *by_key, const struct cert_key *key,
    const struct cert_facts *f)
{
	struct err err = ERR_INIT;
	struct cert csr, out;

	assert_int_equal(cert_request(key, f->name, &csr, &err), 0);
	assert_int_equal(cert_sign(by, by_key, &csr, f, &out, &err), 0);
	return out;
}

static int
setup(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	return cert_key_new(&ca_key, &err) != 0 ||
	       cert_ca_new(ca_key, "backup-ca", NOW, &ca, &err) != 0;
}

static int
teardown(void **state)
{
	(void)state;
	cert_key_free(ca_key);
	return 0;
}

static void
test_a_key_survives_saving(void **state)
{
	uint8_t der[256], h1[CERT_FINGERPRINT_LEN], h2[CERT_FINGERPRINT_LEN];
	struct cert_key *key, *again;
	struct err err = ERR_INIT;
	size_t len;

	(void)state;
	assert_int_equal(cert_key_new(&key, &err), 0);
	assert_int_equal(cert_key_save(key, der, sizeof(der), &len, &err), 0);
	assert_int_equal(cert_key_load(der, len, &again, &err), 0);
	assert_int_equal(cert_key_hash(key, h1, &err), 0);
	assert_int_equal(cert_key_hash(again, h2, &err), 0);
	assert_memory_equal(h1, h2, sizeof(h1));
	assert_int_equal(cert_key_save(key, der, len - 1, &len, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	cert_key_free(again);
	der[0] ^= 1;
	assert_int_equal(cert_key_load(der, len, &again, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	cert_key_free(key);
}

static void
test_facts_survive_signing(void **state)
{
	static const enum cert_role roles[] = { CERT_AGENT, CERT_VIEWER, CERT_RESTORER,
		CERT_ADMIN, CERT_RESCUE, CERT_SERVER };
	struct err err = ERR_INIT;
	struct cert_key *key;
	struct cert_facts f, got;
	struct cert c;
	uint8_t hash[CERT_FINGERPRINT_LEN];
	size_t i;

	(void)state;
	assert_int_equal(cert_key_new(&key, &err), 0);
	assert_int_equal(cert_key_hash(key, hash, &err), 0);
	for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		/* Leap days, both sides of 2050 (UTCTime's end), the last second. */
		static const int64_t ends[] = { NOW + 1, 1835395200, 2524607999,
			2524608000, 4107542400, 253402300799 };

		f = facts(roles[i], "host-7.example_org", NOW - (int64_t)i, ends[i]);
		memset(f.serial, i % 2 ? 0xff : 0, sizeof(f.serial));
		f.serial[15 - i] = 0x80;
		c = make(&ca, ca_key, key, &f);
		assert_int_equal(cert_facts_of(&c, &got, &err), 0);
		assert_memory_equal(got.serial, f.serial, sizeof(f.serial));
		assert_int_equal(got.role, f.role);
		assert_string_equal(got.name, f.name);
		assert_int_equal(got.not_before, f.not_before);
		assert_int_equal(got.not_after, f.not_after);
		assert_memory_equal(got.key_hash, hash, sizeof(hash));
		assert_int_equal(cert_verify(&c, &ca, NOW, &err), 0);
	}
	cert_key_free(key);
}

static void
test_the_authority_is_one(void **state)
{
	struct cert_facts got;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(cert_facts_of(&ca, &got, &err), 0);
	assert_int_equal(got.role, CERT_CA);
	assert_string_equal(got.name, "backup-ca");
	assert_true(got.not_after - NOW > (int64_t)30 * 365 * DAY);
	assert_int_equal(cert_verify(&ca, &ca, NOW, &err), 0);
}

static void
denied(const struct cert *c, const struct cert *by, int64_t now, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(cert_verify(c, by, now, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	assert_string_equal(err.text, text);
}

static void
test_what_does_not_hold_is_said(void **state)
{
	struct err err = ERR_INIT;
	struct cert_key *key, *other_key;
	struct cert_facts f = facts(CERT_AGENT, "host-7", NOW - DAY, NOW + 10);
	struct cert c, other, bad, csr;
	size_t i;

	(void)state;
	assert_int_equal(cert_key_new(&key, &err), 0);
	assert_int_equal(cert_key_new(&other_key, &err), 0);
	assert_int_equal(cert_ca_new(other_key, "backup-ca", NOW, &other, &err), 0);
	c = make(&ca, ca_key, key, &f);
	assert_int_equal(cert_verify(&c, &ca, NOW + 10, &err), 0);
	denied(&c, &ca, NOW + 11, "certificate of host-7 expired on 2026-01-02");
	denied(&c, &ca, NOW - DAY - 1,
	    "certificate of host-7 is not valid before 2026-01-01");
	/* The same name, another key. */
	denied(&c, &other, NOW,
	    "certificate of host-7 was not signed by the authority backup-ca");
	/* Without a clock, all but the time. */
	assert_int_equal(cert_verify(&c, &ca, CERT_ANY_TIME, &err), 0);
	denied(&c, &other, CERT_ANY_TIME,
	    "certificate of host-7 was not signed by the authority backup-ca");
	/* A leaf is no authority, whatever it signed. */
	denied(
	    &c, &c, NOW, "certificate of host-7 was not signed by the authority host-7");
	assert_int_equal(cert_request(key, "host-8", &csr, &err), 0);
	assert_int_equal(cert_sign(&c, key, &csr, &f, &bad, &err), -1);
	assert_int_equal(err.code, ERR_DENIED);
	/* No flipped bit passes. */
	for (i = 0; i < c.len; i++) {
		struct err why = ERR_INIT;

		bad = c;
		bad.der[i] ^= (uint8_t)(1 << (i % 8));
		assert_int_equal(cert_verify(&bad, &ca, NOW, &why), -1);
		assert_int_equal(why.code, ERR_DENIED);
		assert_null(strchr(why.text, '\n'));
	}
	for (i = 0; i < c.len; i++) {
		struct err why = ERR_INIT;

		bad = c;
		bad.len = i;
		assert_int_equal(cert_verify(&bad, &ca, NOW, &why), -1);
	}
	cert_key_free(key);
	cert_key_free(other_key);
}

static void
test_a_request_proves_its_key(void **state)
{
	uint8_t hash[CERT_FINGERPRINT_LEN], want[CERT_FINGERPRINT_LEN];
	char name[CERT_NAME_MAX];
	struct err err = ERR_INIT;
	struct cert_key *key;
	struct cert csr, bad;
	size_t i;

	(void)state;
	assert_int_equal(cert_key_new(&key, &err), 0);
	assert_int_equal(cert_request(key, "host-7", &csr, &err), 0);
	assert_int_equal(cert_request_check(&csr, name, hash, &err), 0);
	assert_string_equal(name, "host-7");
	assert_int_equal(cert_key_hash(key, want, &err), 0);
	assert_memory_equal(hash, want, sizeof(want));
	for (i = 0; i < csr.len; i++) {
		struct err why = ERR_INIT;

		bad = csr;
		bad.der[i] ^= (uint8_t)(1 << (i % 8));
		assert_int_equal(cert_request_check(&bad, name, hash, &why), -1);
	}
	bad = csr;
	bad.len++;
	assert_int_equal(cert_request_check(&bad, name, hash, &err), -1);
	err_clear(&err);
	bad.len = CERT_DER_MAX + 1;
	assert_int_equal(cert_request_check(&bad, name, hash, &err), -1);
	cert_key_free(key);
}

static void
test_names_are_plain(void **state)
{
	static const char *const bad[] = { "", "a b", "a,CN=root", "gr\303\274n", "a/b",
		"a\n",
		"0123456789012345678901234567890123456789012345678901234567890123" };
	struct err err = ERR_INIT;
	size_t i;

	(void)state;
	assert_int_equal(cert_name_check("Host-7.example_org", &err), 0);
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err why = ERR_INIT;

		assert_int_equal(cert_name_check(bad[i], &why), -1);
		assert_int_equal(why.code, ERR_LIMIT);
	}
}

static void
test_roles_that_none_may_have(void **state)
{
	struct err err = ERR_INIT;
	struct cert_key *key;
	struct cert_facts f;
	struct cert csr, out;
	enum cert_role role;
	int i;

	(void)state;
	assert_int_equal(cert_key_new(&key, &err), 0);
	assert_int_equal(cert_request(key, "host-7", &csr, &err), 0);
	for (i = 0; i < 5; i++) {
		struct err why = ERR_INIT;

		f = facts(CERT_AGENT, "host-7", NOW, NOW + DAY);
		if (i == 0)
			f.role = CERT_CA;
		if (i == 1)
			f.role = CERT_NOBODY;
		if (i == 2)
			f.serial[CERT_SERIAL_LEN - 1] = 0;
		if (i == 3)
			f.not_after = f.not_before - 1;
		if (i == 4)
			f.name[0] = '\0';
		assert_int_equal(cert_sign(&ca, ca_key, &csr, &f, &out, &why), -1);
		assert_int_equal(why.code, ERR_LIMIT);
	}
	for (i = CERT_NOBODY; i <= CERT_CA; i++) {
		assert_int_equal(
		    cert_role_parse(cert_role_name((enum cert_role)i), &role), 0);
		assert_int_equal(role, i);
	}
	assert_int_equal(cert_role_parse("root", &role), -1);
	cert_key_free(key);
}

static void
test_pem_both_ways(void **state)
{
	struct err err = ERR_INIT;
	uint8_t f1[CERT_FINGERPRINT_LEN], f2[CERT_FINGERPRINT_LEN];
	struct cert got;
	char pem[8192];

	(void)state;
	assert_int_equal(cert_to_pem(&ca, pem, sizeof(pem), &err), 0);
	assert_int_equal(cert_from_pem(pem, &got, &err), 0);
	assert_int_equal(got.len, ca.len);
	assert_memory_equal(got.der, ca.der, ca.len);
	cert_fingerprint(&ca, f1);
	cert_fingerprint(&got, f2);
	assert_memory_equal(f1, f2, sizeof(f1));
	assert_int_equal(cert_to_pem(&ca, pem, 100, &err), -1);
	err_clear(&err);
	pem[40] = '!';
	assert_int_equal(cert_from_pem(pem, &got, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_key_survives_saving),
		cmocka_unit_test(test_facts_survive_signing),
		cmocka_unit_test(test_the_authority_is_one),
		cmocka_unit_test(test_what_does_not_hold_is_said),
		cmocka_unit_test(test_a_request_proves_its_key),
		cmocka_unit_test(test_names_are_plain),
		cmocka_unit_test(test_roles_that_none_may_have),
		cmocka_unit_test(test_pem_both_ways),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
