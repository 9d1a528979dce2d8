#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "server/networks.h"

static void
addresses_are_judged_by_their_leading_bits(void **state)
{
	(void)state;
	assert_true(networks_hold("10.0.0.0/8", "10.255.0.1"));
	assert_false(networks_hold("10.0.0.0/8", "11.0.0.1"));
	assert_true(networks_hold("192.168.4.0/22", "192.168.7.255"));
	assert_false(networks_hold("192.168.4.0/22", "192.168.8.0"));
	assert_true(networks_hold("192.168.4.129/25", "192.168.4.200"));
	assert_false(networks_hold("192.168.4.129/25", "192.168.4.100"));
	assert_true(networks_hold("0.0.0.0/0", "1.2.3.4"));
	assert_true(networks_hold("1.2.3.4", "1.2.3.4"));
	assert_false(networks_hold("1.2.3.4", "1.2.3.5"));
	assert_true(networks_hold("2001:db8::/32", "2001:db8:ffff::1"));
	assert_false(networks_hold("2001:db8::/32", "2001:db9::1"));
	assert_true(networks_hold("::1", "::1"));
}

static void
families_do_not_mix_but_mapped_is_ipv4(void **state)
{
	(void)state;
	assert_false(networks_hold("0.0.0.0/0", "::1"));
	assert_false(networks_hold("::/0", "10.0.0.1"));
	assert_true(networks_hold("10.0.0.0/8", "::ffff:10.1.1.1"));
}

static void
the_empty_list_is_everyone_and_any_entry_counts(void **state)
{
	(void)state;
	assert_true(networks_hold("", "10.0.0.1"));
	assert_true(networks_hold("10.0.0.0/8 ::1", "::1"));
	assert_true(networks_hold("10.0.0.0/8  192.168.0.0/16", "192.168.1.1"));
	assert_false(networks_hold("10.0.0.0/8 ::1", "172.16.0.1"));
	assert_false(networks_hold("10.0.0.0/8", "not an address"));
}

static void
what_is_no_network_is_refused(void **state)
{
	static const char *const bad[] = { "", "x", "10.0.0.0/33", "10.0.0.0/",
		"10.0.0.0/-1", "10.0.0/8", "10.0.0.0/8 ", "::/129", "10.0.0.0/08888",
		"1.2.3.4/8/9",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff:"
		"ffff/1" };
	static const char *const good[] = { "10.0.0.0/8", "1.2.3.4", "::/0",
		"fe80::1/64" };

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(networks_check(bad[i], &err), -1);
		assert_int_equal(err.code, ERR_PROTOCOL);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(networks_check(good[i], &err), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_judged_by_their_leading_bits),
		cmocka_unit_test(families_do_not_mix_but_mapped_is_ipv4),
		cmocka_unit_test(the_empty_list_is_everyone_and_any_entry_counts),
		cmocka_unit_test(what_is_no_network_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
