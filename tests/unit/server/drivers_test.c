#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/drivers.h"

static struct drivers *
parse(const char *text)
{
	struct drivers *d = NULL;
	struct err err = ERR_INIT;

	if (drivers_parse(text, strlen(text), &d, &err) != 0)
		fail_msg("%s", err.text);
	return d;
}

static void
a_module_is_found_as_modprobe_finds_it(void **state)
{
	struct drivers *d =
	    parse("# Aliases extracted from modules themselves.\n"
		  "alias pci:v00008086d00002922sv*sd*bc*sc*i* ahci\n"
		  "alias pci:v*d*sv*sd*bc01sc06i01* ahci\n"
		  "alias pci:v*d*sv*sd*bc01sc01i* ata_generic\n"
		  "alias pci:v00001000d0000005Dsv*sd*bc*sc*i* megaraid_sas\n"
		  "alias pci:v000014E4d0000168Esv*sd*bc*sc*i* bnx2x\n"
		  "alias vmbus:d96361baa104294db60572e2ffb1dc7f hv_storvsc\n"
		  "alias virtio:d00000002v* virtio_blk\n"
		  "alias usb:v0BDAp8152d*dc*dsc*dp*ic02isc06ip00in* r8152\n"
		  "alias acpi*:PNP0C0[AB]:* battery\n"
		  "alias net-pf-16-proto-8 xfrm_user\n"
		  "lacks-firmware bnx2x\n"
		  "whatever else\n\n");
	static const struct {
		const char *device, *names;
		enum drivers_verdict verdict;
	} cases[] = {
		{ "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01", "ahci",
		    DRIVERS_FOUND },
		{ "pci:v00001B4Bd00009230sv00001B4Bsd00009230bc01sc06i01", "ahci",
		    DRIVERS_FOUND },
		{ "pci:v00001000d0000005Dsv00001028sd00001F41bc01sc04i00", "megaraid_sas",
		    DRIVERS_FOUND },
		{ "pci:v00001000d0000005dsv00001028sd00001F41bc01sc04i00", "",
		    DRIVERS_NONE },
		{ "pci:v000014E4d0000168Esv00001028sd00001F67bc02sc00i00", "bnx2x",
		    DRIVERS_LACKED },
		{ "pci:v00009005d0000028Fsv00009005sd00000600bc01sc07i00", "",
		    DRIVERS_NONE },
		{ "vmbus:d96361baa104294db60572e2ffb1dc7f", "hv_storvsc", DRIVERS_FOUND },
		{ "virtio:d00000002v00001AF4", "virtio_blk", DRIVERS_FOUND },
		{ "virtio:d00000022v00001AF4", "", DRIVERS_NONE },
		{ "usb:v0BDAp8152d2000dc00dsc00dp00ic02isc06ip00in00", "r8152",
		    DRIVERS_FOUND },
		{ "acpi:PNP0C0A:", "battery", DRIVERS_FOUND },
		{ "acpi:PNP0C0C:", "", DRIVERS_NONE },
		{ "net_pf-16_proto_8", "xfrm_user", DRIVERS_FOUND },
		{ "", "", DRIVERS_NONE },
	};

	(void)state;
	assert_int_equal(drivers_count(d), 10);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char names[DRIVERS_NAMES_MAX];

		assert_int_equal(
		    drivers_find(d, cases[i].device, names), cases[i].verdict);
		assert_string_equal(names, cases[i].names);
	}
	drivers_free(d);
}

static void
all_that_match_are_named_once(void **state)
{
	struct drivers *d = parse("alias a* one\nalias ab* two\nalias ?b one\n"
				  "alias abc three\nalias x one\nalias ab on\n");
	char names[DRIVERS_NAMES_MAX];

	(void)state;
	assert_int_equal(drivers_find(d, "ab", names), DRIVERS_FOUND);
	assert_string_equal(names, "one, two, on");
	drivers_free(d);
}

static void
what_does_not_fit_is_not_named_and_still_counts(void **state)
{
	char text[20000] = "", names[DRIVERS_NAMES_MAX];
	struct drivers *d;
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 100; i++)
		n += (size_t)snprintf(
		    text + n, sizeof(text) - n, "alias pci:* a_module_called_%d\n", i);
	d = parse(text);
	assert_int_equal(drivers_find(d, "pci:x", names), DRIVERS_FOUND);
	assert_true(strlen(names) < sizeof(names) && strlen(names) > 90);
	drivers_free(d);
}

/* fnmatch(3) is the judge; bytes are few, so that they match now and then. */
static void
patterns_match_what_fnmatch_says(void **state)
{
	static const char alphabet[] = "ab*?[]!^\\ac*b";
	uint32_t seed = 1;
	unsigned hits = 0;

	(void)state;
	for (int round = 0; round < 400000; round++) {
		char pattern[12], text[8];
		size_t p, t;

		seed = seed * 1664525u + 1013904223u;
		p = (seed >> 8) % (sizeof(pattern) - 1);
		t = (seed >> 16) % (sizeof(text) - 1);
		for (size_t i = 0; i < p; i++) {
			seed = seed * 1664525u + 1013904223u;
			pattern[i] = alphabet[(seed >> 10) % (sizeof(alphabet) - 1)];
		}
		for (size_t i = 0; i < t; i++) {
			seed = seed * 1664525u + 1013904223u;
			text[i] = "abc[]!"[(seed >> 10) % 6];
		}
		pattern[p] = text[t] = '\0';
		hits += fnmatch(pattern, text, 0) == 0;
		if (drivers_match(pattern, text) != (fnmatch(pattern, text, 0) == 0))
			fail_msg("'%s' and '%s': fnmatch says %d", pattern, text,
			    fnmatch(pattern, text, 0) == 0);
	}
	assert_in_range(hits, 10000, 390000);
	/* Ranges, which the alphabet above has not. */
	assert_true(drivers_match("[a-c]x", "bx"));
	assert_false(drivers_match("[a-c]x", "dx"));
	assert_true(drivers_match("[!a-c]x", "dx"));
	assert_true(drivers_match("[]-a]", "_"));
	assert_true(drivers_match("[a-]", "-"));
}

/* Many stars and no match: it ends in time. */
static void
a_hostile_pattern_takes_no_longer(void **state)
{
	char pattern[512], text[1024];

	(void)state;
	for (size_t i = 0; i + 3 < sizeof(pattern); i += 2)
		memcpy(pattern + i, "*a", 3);
	strcpy(pattern + 508, "*b");
	memset(text, 'a', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_false(drivers_match(pattern, text));
}

static void
what_is_no_table_is_refused_with_its_line(void **state)
{
	static char text[3 * DRIVERS_LINE_MAX];
	struct drivers *d = NULL;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(drivers_parse("alias a b\nalias c\n", 18, &d, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_non_null(strstr(err.text, "line 2"));
	err_clear(&err);
	assert_int_equal(drivers_parse("lacks-firmware", 14, &d, &err), -1);
	err_clear(&err);
	assert_int_equal(drivers_parse("alias a\0b c", 11, &d, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	memset(text, 'x', sizeof(text) - 1);
	assert_int_equal(drivers_parse(text, sizeof(text) - 1, &d, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	d = parse("");
	assert_int_equal(drivers_count(d), 0);
	drivers_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_module_is_found_as_modprobe_finds_it),
		cmocka_unit_test(all_that_match_are_named_once),
		cmocka_unit_test(what_does_not_fit_is_not_named_and_still_counts),
		cmocka_unit_test(patterns_match_what_fnmatch_says),
		cmocka_unit_test(a_hostile_pattern_takes_no_longer),
		cmocka_unit_test(what_is_no_table_is_refused_with_its_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
