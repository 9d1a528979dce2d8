#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "server/ready.h"

static char dir[] = "/tmp/holdfast-ready.XXXXXX";

static void
the_service_manager_gets_one_datagram(void **state)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	char got[64];
	ssize_t n;
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

	(void)state;
	assert_true(fd >= 0);
	(void)snprintf(at.sun_path, sizeof(at.sun_path), "%s/notify", dir);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", at.sun_path, 1), 0);
	ready_notify("READY=1");
	n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
	assert_int_equal(n, 7);
	assert_memory_equal(got, "READY=1", 7);
	(void)close(fd);
	(void)unlink(at.sun_path);
	/* Nobody there, no such place, not asked for: nothing happens. */
	ready_notify("READY=1");
	assert_int_equal(setenv("NOTIFY_SOCKET", "@nobody-listens-here", 1), 0);
	ready_notify("READY=1");
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	ready_notify("READY=1");
}

static void
the_file_is_there_whole_or_not(void **state)
{
	char path[64], line[32] = "";
	struct err err = ERR_INIT;
	FILE *f;

	(void)state;
	(void)snprintf(path, sizeof(path), "%s/ready", dir);
	assert_int_equal(ready_write(path, "127.0.0.1:7", &err), 0);
	assert_int_equal(ready_write(path, "127.0.0.1:8", &err), 0);
	f = fopen(path, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	(void)fclose(f);
	assert_string_equal(line, "127.0.0.1:8\n");
	(void)unlink(path);
	(void)snprintf(path, sizeof(path), "%s/none/ready", dir);
	assert_int_equal(ready_write(path, "x", &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

static int
setup(void **state)
{
	(void)state;
	return mkdtemp(dir) == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	return rmdir(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_service_manager_gets_one_datagram),
		cmocka_unit_test(the_file_is_there_whole_or_not),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
