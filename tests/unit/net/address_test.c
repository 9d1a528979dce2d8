#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "proto/net/address.h"

static const struct {
	const char *text, *host, *port; /* host NULL: refused. */
} cases[] = {
	{ "127.0.0.1:4711", "127.0.0.1", "4711" },
	{ "backup.example:0", "backup.example", "0" },
	{ "host:65535", "host", "65535" },
	{ "[::1]:22", "::1", "22" },
	{ "[]:22", "", "22" },
	{ "*:22", "", "22" },
	{ ":22", "", "22" },
	{ "host:65536", NULL, NULL },
	{ "host:123456", NULL, NULL },
	{ "host:", NULL, NULL },
	{ "host", NULL, NULL },
	{ "", NULL, NULL },
	{ "host:http", NULL, NULL },
	{ "host:1x", NULL, NULL },
	{ "host: 1", NULL, NULL },
	{ "::1:22", NULL, NULL },
	{ "fe80::1", NULL, NULL },
};

static void
addresses_are_split_or_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct err err = ERR_INIT;
		struct address a;

		if (address_parse(cases[i].text, &a, &err) < 0) {
			if (cases[i].host != NULL)
				fail_msg("%s: %s", cases[i].text, err.text);
			assert_int_equal(err.code, ERR_LIMIT);
			continue;
		}
		if (cases[i].host == NULL)
			fail_msg("'%s' was accepted", cases[i].text);
		assert_string_equal(a.host, cases[i].host);
		assert_string_equal(a.port, cases[i].port);
	}
}

static void
a_host_that_does_not_fit_is_refused(void **state)
{
	struct err err = ERR_INIT;
	struct address a;
	char text[300];

	(void)state;
	memset(text, 'x', sizeof(text));
	memcpy(text + 255, ":1", 3);
	assert_int_equal(address_parse(text, &a, &err), 0);
	memcpy(text + 255, "x:1", 4);
	assert_int_equal(address_parse(text, &a, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_split_or_refused),
		cmocka_unit_test(a_host_that_does_not_fit_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
