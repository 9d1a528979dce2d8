/* Who freezes a volume of the simulator, which is called by its socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "agent/capture/choose.h"
#include "agent/host/settings.h"
#include "proto/base/err.h"

/* By its path alone; whether it is there is said when it is taken hold of. */
static void
a_volume_of_the_simulator_is_a_volume(void **state)
{
	struct settings *s = test_malloc(sizeof(*s));
	struct err err = ERR_INIT;
	struct choice c;

	(void)state;
	assert_int_equal(choose_kind_of("hotcopy:/run/hc/control:c"), CHOOSE_VOLUME);
	assert_int_equal(choose_kind_of("/dev/sda1"), CHOOSE_FILE);
	assert_int_equal(choose_kind_of("hotcopy.img"), CHOOSE_FILE);
	settings_init(s);
	assert_int_equal(settings_add(s, "c=hotcopy:/nowhere:c", &err), 0);
	assert_int_equal(choose_provider(s, NULL, &c, &err), 0);
	assert_string_equal(c.provider, "hotcopy");
	assert_string_equal(c.why, "");
	/* After a failure what stands in must be there. */
	assert_int_equal(choose_provider(s, "no room", &c, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	err_clear(&err);
	assert_int_equal(settings_add(s, "plain.img", &err), 0);
	assert_int_equal(choose_provider(s, NULL, &c, &err), -1);
	assert_non_null(strstr(err.text, "back them up apart"));
	test_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_volume_of_the_simulator_is_a_volume),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
