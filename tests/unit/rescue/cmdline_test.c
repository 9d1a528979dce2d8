/* What the kernel's command line says is what the rescue program understands. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "rescue/cmdline.h"

static struct cmdline c;

static int
parse(const char *text)
{
	struct err err = ERR_INIT;

	return cmdline_parse(text, strlen(text), &c, &err);
}

/* It is refused, in words that have `part`. */
static void
refused(const char *text, const char *part)
{
	struct err err = ERR_INIT;

	assert_int_equal(cmdline_parse(text, strlen(text), &c, &err), -1);
	if (strstr(err.text, part) == NULL)
		fail_msg("'%s' says: %s", text, err.text);
}

static void
test_whole(void **state)
{
	(void)state;
	assert_int_equal(
	    parse("BOOT_IMAGE=/vmlinuz quiet console=ttyS0,115200 "
		  "holdfast.server=backup1:9443 holdfast.token=K7Q2M-9XW4T "
		  "holdfast.point=12 holdfast.disk=auto holdfast.extend holdfast.adapt "
		  "holdfast.fallback-loader holdfast.end=poweroff holdfast.verify "
		  "holdfast.ip=dhcp\n"),
	    0);
	assert_string_equal(c.server, "backup1:9443");
	assert_string_equal(c.token, "K7Q2M-9XW4T");
	assert_int_equal(c.sequence, 12);
	assert_true(c.unattended && c.automatic);
	assert_true(c.extend && !c.shrink && c.adapt && c.fallback_loader && c.verify);
	assert_int_equal(c.end, CMDLINE_POWEROFF);
	assert_string_equal(c.unknown, "");
}

static void
test_nothing_is_interactive(void **state)
{
	(void)state;
	assert_int_equal(parse(""), 0);
	assert_false(c.unattended);
	assert_int_equal(c.end, CMDLINE_REBOOT);
	assert_false(c.end_said);
	assert_int_equal(parse("root=/dev/sda1 ro myholdfast.disk=auto"), 0);
	assert_false(c.unattended);
}

static void
test_maps(void **state)
{
	(void)state;
	assert_int_equal(parse("holdfast.disk=disk0=/dev/sdb,\"my disk\"=nvme0n1"), 0);
	assert_true(c.unattended && !c.automatic);
	assert_int_equal(c.maps_count, 2);
	assert_string_equal(c.maps[0].name, "disk0");
	assert_string_equal(c.maps[0].device, "sdb");
	assert_string_equal(c.maps[1].name, "my disk");
	assert_string_equal(c.maps[1].device, "nvme0n1");
}

static void
test_last_counts(void **state)
{
	(void)state;
	assert_int_equal(
	    parse("holdfast.disk=a=/dev/sda holdfast.point=3 holdfast.extend "
		  "holdfast.disk=auto holdfast.point=latest "
		  "holdfast.extend=0"),
	    0);
	assert_true(c.automatic && c.maps_count == 0);
	assert_int_equal(c.sequence, 0);
	assert_false(c.extend);
}

static void
test_unknown_is_noted(void **state)
{
	(void)state;
	assert_int_equal(parse("holdfast.tokn=X holdfast.point=1"), 0);
	assert_string_equal(c.unknown, "tokn");
}

static void
test_refused(void **state)
{
	(void)state;
	refused("holdfast.point=0", "neither 'latest' nor a number");
	refused("holdfast.point=3x", "neither 'latest' nor a number");
	refused("holdfast.point=99999999999999999999999", "neither 'latest'");
	refused("holdfast.point", "neither 'latest'");
	refused("holdfast.disk", "is not NAME=/dev/X");
	refused("holdfast.disk=/dev/sda", "is not NAME=/dev/X");
	refused("holdfast.disk=disk0=", "is no disk of /dev");
	refused("holdfast.disk=disk0=/etc/passwd", "is no disk of /dev");
	refused("holdfast.disk=disk0=/dev/../x", "is no disk of /dev");
	refused("holdfast.disk=disk0=/dev/.x", "is no disk of /dev");
	refused("holdfast.disk=a=/dev/sda,", "is not NAME=/dev/X");
	refused("holdfast.disk=a=/dev/sda,a=/dev/sdb", "was named before");
	refused("holdfast.disk=a=/dev/sda,b=sda", "was named before");
	refused("holdfast.end=later", "none of reboot, poweroff, shell");
	refused("holdfast.verify=maybe", "takes no value");
	refused("holdfast.server=", "no value");
	refused("\"holdfast.server=a b\"", "does not belong");
	refused("holdfast.token=01234567890123456789012345678901234567890123456789"
		"012345678901234567890123456789",
	    "longer than 63");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_nothing_is_interactive),
		cmocka_unit_test(test_maps),
		cmocka_unit_test(test_last_counts),
		cmocka_unit_test(test_unknown_is_noted),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
