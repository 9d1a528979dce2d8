#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "server/cli/cli.h"

static void
sizes_read_as_people_write_them(void **state)
{
	(void)state;
	assert_string_equal(cli_size(0), "0 B");
	assert_string_equal(cli_size(1023), "1023 B");
	assert_string_equal(cli_size(1024), "1.0 KiB");
	assert_string_equal(cli_size(1536), "1.5 KiB");
	/* Never "1024.0 KiB". */
	assert_string_equal(cli_size(1024 * 1024 - 1), "1.0 MiB");
	assert_string_equal(cli_size(UINT64_MAX), "16.0 EiB");
}

static void
times_are_local_for_people_and_utc_in_json(void **state)
{
	json_t *j;

	(void)state;
	assert_int_equal(setenv("TZ", "EET-2", 1), 0);
	tzset();
	assert_string_equal(cli_time(0), "-");
	assert_string_equal(cli_time(1500000), "1970-01-01 02:00:01");
	j = cli_json_time(1500000);
	assert_string_equal(json_string_value(j), "1970-01-01T00:00:01.500000Z");
	json_decref(j);
	j = cli_json_time(0);
	assert_true(json_is_null(j));
	json_decref(j);
	assert_string_equal(cli_span(3200000), "3.2 s");
	assert_string_equal(cli_span(3723000000), "1:02:03");
}

static void
durations_have_one_unit(void **state)
{
	static const char *const bad[] = { "", "x", "1x", "1hh", "-1", "1 h", "h",
		"9999999999" };
	uint64_t s;

	(void)state;
	assert_int_equal(cli_duration("90", &s), 0);
	assert_int_equal(s, 90);
	assert_int_equal(cli_duration("15m", &s), 0);
	assert_int_equal(s, 900);
	assert_int_equal(cli_duration("2h", &s), 0);
	assert_int_equal(s, 7200);
	assert_int_equal(cli_duration("30d", &s), 0);
	assert_int_equal(s, 30 * 86400);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(cli_duration(bad[i], &s), -1);
}

static void
points_are_named_host_and_number(void **state)
{
	static const char *const bad[] = {
		"", "/1", "h/", "h/0", "h/x", "h/1x", "h/-1", "h/9999999999999999999",
		"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"
	};
	char host[CERT_NAME_MAX];
	struct err err = ERR_INIT;
	uint64_t n;

	(void)state;
	assert_int_equal(cli_point_name("web01/12", host, &n, &err), 0);
	assert_string_equal(host, "web01");
	assert_int_equal(n, 12);
	assert_int_equal(cli_point_name("web01", host, &n, &err), 0);
	assert_int_equal(n, 0);
	assert_int_equal(cli_point_name("web01/latest", host, &n, &err), 0);
	assert_int_equal(n, 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		err_clear(&err);
		if (cli_point_name(bad[i], host, &n, &err) != -1)
			fail_msg("accepted '%s'", bad[i]);
	}
}

static void
an_operator_is_kept_in_a_directory_and_not_overwritten(void **state)
{
	char dir[] = "/tmp/holdfast-cli.XXXXXX", inside[64], path[96], server[200],
	     command[96];
	struct cert_key *key, *back = NULL;
	struct cert *c = calloc(3, sizeof(*c));
	uint8_t a[CERT_FINGERPRINT_LEN], b[CERT_FINGERPRINT_LEN];
	struct err err = ERR_INIT;
	struct stat st;

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(inside, sizeof(inside), "%s/op", dir);
	assert_int_equal(cert_key_new(&key, &err), 0);
	assert_int_equal(cert_ca_new(key, "test", time(NULL), &c[0], &err), 0);
	assert_int_equal(cli_identity_prepare(inside, &err), 0);
	assert_int_equal(cli_identity_write(inside, key, &c[0], &c[0], "h:1", &err), 0);
	assert_int_equal(
	    cli_identity_read(inside, &back, &c[1], &c[2], server, sizeof(server), &err),
	    0);
	assert_string_equal(server, "h:1");
	assert_int_equal(c[1].len, c[0].len);
	assert_memory_equal(c[2].der, c[0].der, c[0].len);
	assert_int_equal(cert_key_hash(key, a, &err), 0);
	assert_int_equal(cert_key_hash(back, b, &err), 0);
	assert_memory_equal(a, b, sizeof(a));
	(void)snprintf(path, sizeof(path), "%s/operator.key", inside);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);

	assert_int_equal(cli_identity_prepare(inside, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	cert_key_free(key);
	cert_key_free(back);
	free(c);
	(void)snprintf(command, sizeof(command), "rm -rf %s", dir);
	assert_int_equal(system(command), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes_read_as_people_write_them),
		cmocka_unit_test(times_are_local_for_people_and_utc_in_json),
		cmocka_unit_test(durations_have_one_unit),
		cmocka_unit_test(points_are_named_host_and_number),
		cmocka_unit_test(an_operator_is_kept_in_a_directory_and_not_overwritten),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
