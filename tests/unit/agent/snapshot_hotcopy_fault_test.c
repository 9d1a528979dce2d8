/*
 * Each call to the driver fails once, or the driver goes: what was frozen is what it was,
 * or there is an error; and afterwards no gate is closed and no set is open.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/capture/snapshot_provider.h"
#include "agent/capture/tracking.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/agent/sim_driver.h"

#define IO_ERROR 0xC0000185u
#define TIMEOUT 0xC00000B5u
#define EVENT 5u /* driver/sim/calls.h; comes as often as time passes. */
#define BYTES_MAX (2u << 20)
#define LINKS 64

static struct sim sim;

/* Between the provider and the simulator: the nth request goes wrong. */
static struct relay {
	pthread_mutex_t lock; /* All below. */
	char path[160];
	int fd;
	pthread_t thread;
	uint64_t count, fail_at;
	uint32_t only;	 /* Requests of this code alone are counted; 0: all but EVENT. */
	uint32_t status; /* Answered then; 0: the connection ends. */
	int late;	 /* It is done, and only then answered so. */
	int failed, links;
	struct relay_link {
		pthread_t thread;
		int near, far;
	} link[LINKS];
} relay;

static int
all_of(int fd, uint8_t *p, size_t len, int out)
{
	while (len > 0) {
		ssize_t n = out ? send(fd, p, len, MSG_NOSIGNAL) : recv(fd, p, len, 0);

		if (n <= 0)
			return -1;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Is it this request's turn? */
static int
its_turn(uint32_t code, uint32_t *status)
{
	int turn = 0;

	(void)pthread_mutex_lock(&relay.lock);
	if (relay.only != 0 ? code == relay.only : code != EVENT)
		turn = ++relay.count == relay.fail_at;
	relay.failed |= turn;
	*status = relay.status;
	(void)pthread_mutex_unlock(&relay.lock);
	return turn;
}

static int
pass_one(const struct relay_link *l, uint8_t *buffer)
{
	uint8_t head[16], answer[8];
	uint32_t status, len;
	int turn;

	if (all_of(l->near, head, 16, 0) != 0)
		return -1;
	len = load_le32(head + 4);
	if (len > BYTES_MAX || all_of(l->near, buffer, len, 0) != 0)
		return -1;
	turn = its_turn(load_le32(head), &status);
	if (turn && !relay.late) {
		store_le32(answer, status);
		store_le32(answer + 4, 0);
		return status == 0 ? -1 : all_of(l->near, answer, 8, 1);
	}
	if (all_of(l->far, head, 16, 1) != 0 || all_of(l->far, buffer, len, 1) != 0 ||
	    all_of(l->far, answer, 8, 0) != 0)
		return -1;
	len = load_le32(answer + 4);
	if (len > BYTES_MAX || all_of(l->far, buffer, len, 0) != 0)
		return -1;
	if (turn) {
		store_le32(answer, status);
		store_le32(answer + 4, len = 0);
	}
	return all_of(l->near, answer, 8, 1) != 0 ? -1 : all_of(l->near, buffer, len, 1);
}

static void *
pass_all(void *arg)
{
	struct relay_link *l = arg;
	uint8_t *buffer = malloc(BYTES_MAX);

	while (pass_one(l, buffer) == 0)
		continue;
	free(buffer);
	(void)shutdown(l->near, SHUT_RDWR);
	(void)shutdown(l->far, SHUT_RDWR);
	return NULL;
}

static int
open_socket(const char *path, int listens)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rc;

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	rc = listens ? bind(fd, (struct sockaddr *)&a, sizeof(a))
		     : connect(fd, (struct sockaddr *)&a, sizeof(a));
	assert_int_equal(rc, 0);
	if (listens)
		assert_int_equal(listen(fd, 16), 0);
	return fd;
}

static void *
take_links(void *arg)
{
	int fd;

	(void)arg;
	while ((fd = accept(relay.fd, NULL, NULL)) >= 0) {
		struct relay_link *l = &relay.link[relay.links];

		if (relay.links == LINKS)
			abort();
		l->near = fd;
		l->far = open_socket(sim.socket, 0);
		if (pthread_create(&l->thread, NULL, pass_all, l) != 0)
			abort();
		relay.links++;
	}
	return NULL;
}

static void
relay_start(uint64_t fail_at, uint32_t only, uint32_t status)
{
	relay.count = 0;
	relay.fail_at = fail_at;
	relay.only = only;
	relay.status = status;
	relay.failed = relay.links = relay.late = 0;
	snprintf(relay.path, sizeof(relay.path), "%s/relay", sim.dir);
	relay.fd = open_socket(relay.path, 1);
	assert_int_equal(pthread_create(&relay.thread, NULL, take_links, NULL), 0);
}

static void
relay_stop(void)
{
	(void)shutdown(relay.fd, SHUT_RDWR);
	(void)pthread_join(relay.thread, NULL);
	for (int i = 0; i < relay.links; i++) {
		(void)pthread_join(relay.link[i].thread, NULL);
		close(relay.link[i].near);
		close(relay.link[i].far);
	}
	close(relay.fd);
	unlink(relay.path);
}

/* ------------------------------------------------------------------------- a life -- */

static const struct settings_hotcopy wishes = {
	.memory_mib = 1, .room = "none", .throttle_ms = 1000
};
static const struct tracking_options tracking = { .on = 1 };

/* As the host writes while it is frozen: never to be seen in the image. */
static void
host_fills(int letter)
{
	static uint8_t bytes[1 << 16];

	memset(bytes, letter, sizeof(bytes));
	for (int disk = 0; disk < 2; disk++)
		assert_int_equal(
		    disk_write(sim.disk[disk], 1 << 20, bytes, sizeof(bytes)), 0);
}

static const char *
relayed(const char *name)
{
	static char path[220];

	snprintf(path, sizeof(path), "hotcopy:%s:%s", relay.path, name);
	return path;
}

static int
take(void *arg, uint64_t offset, uint64_t len)
{
	(void)arg;
	(void)offset;
	(void)len;
	return 0;
}

/* Both are what they were; -1. */
static int
look(struct snapshot_volume *const *v, int letter, struct err *err)
{
	static uint8_t bytes[1 << 16];

	for (int i = 0; i < 2; i++) {
		if (snapshot_read(v[i], (1 << 20) + 100, bytes, 60000, err) != 0)
			return -1;
		for (int k = 0; k < 60000; k++)
			assert_int_equal(bytes[k], letter);
	}
	return 0;
}

/* Frozen, read and let go; `letter` is what it had before. */
static int
life(int letter, struct err *err)
{
	const struct snapshot_options options = { .hotcopy = &wishes,
		.tracking = &tracking };
	struct snapshot_volume *v[2];
	struct snapshot *s;
	int rc = -1;

	if (snapshot_open(&snapshot_hotcopy, &options, &s, err) != 0)
		return -1;
	if (snapshot_add(s, relayed("c"), &v[0], err) == 0 &&
	    snapshot_add(s, relayed("d"), &v[1], err) == 0 &&
	    snapshot_freeze(s, 1000, err) == 0) {
		host_fills('n');
		if (look(v, letter, err) == 0 &&
		    snapshot_written(v[0], take, NULL, err) != -1 &&
		    look(v, letter, err) == 0 && snapshot_confirm(s, err) == 0)
			rc = snapshot_finish(s, 1, err);
	}
	snapshot_close(s);
	return rc;
}

/* Nothing is frozen, and a new set can be had at once. */
static void
all_is_idle(void)
{
	const struct hotcopy_wishes little = { .memory = 1 << 20 };
	const uint64_t numbers[] = { 1, 2 };
	struct hotcopy_prepared p;
	struct err err = ERR_INIT;
	struct hotcopy_link *l;

	assert_int_equal(hotcopy_link_open(sim_path(&sim, "c"), &l, &err), 0);
	/* A connection's end is heard a moment later. */
	while (hotcopy_prepare(l, numbers, 2, &little, &p, &err) != 0) {
		assert_int_equal(err.code, ERR_BUSY);
		err_clear(&err);
		usleep(1000);
	}
	hotcopy_link_close(l);
	host_fills('i');
}

/* Until a life has no more requests than that; how many it has. */
static unsigned
lives(uint32_t status)
{
	unsigned n = 0, good = 0;
	int failed = 1;

	while (failed) {
		struct err err = ERR_INIT;

		host_fills('b');
		relay_start(++n, 0, status);
		if (life('b', &err) == 0) {
			good++;
		} else {
			assert_int_not_equal(err.code, ERR_NONE);
			assert_int_not_equal(strlen(err.text), 0);
		}
		relay_stop();
		failed = relay.failed;
		all_is_idle();
	}
	/* The last, and those that only cost a list or a hint. */
	assert_true(good > 1);
	return n - 1;
}

static int
setup(void **state)
{
	(void)state;
	sim_start(&sim);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	sim_stop(&sim);
	return 0;
}

static void
test_any_call_may_fail(void **state)
{
	(void)state;
	assert_in_range(lives(IO_ERROR), 30, 200);
}

static void
test_any_call_may_be_the_last(void **state)
{
	(void)state;
	assert_in_range(lives(0), 30, 200);
}

/* The disk was too busy for the gate: it is tried again. */
static void
test_a_gate_that_timed_out_is_tried_again(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	host_fills('b');
	/* The first cut is the generation's, of which there was none. */
	relay_start(2, HOTCOPY_IOCTL_FREEZE, TIMEOUT);
	assert_int_equal(life('b', &err), 0);
	relay_stop();
	assert_true(relay.failed);
	all_is_idle();
}

/* Nobody hears how the room is any more: what is read is right all the same, or lost. */
static void
test_events_may_fail(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 2; i++) {
		struct err err = ERR_INIT;

		host_fills('b');
		relay_start(1, EVENT, i == 0 ? IO_ERROR : 0);
		(void)life('b', &err);
		relay_stop();
		all_is_idle();
	}
}

/* The driver heard what is free, and its answer did not come: no zeros for what was there. */
static void
test_what_was_told_free_is_never_zeros(void **state)
{
	const struct hot_system *real = snapshot_hotcopy_system;
	const struct snapshot_options options = { .hotcopy = &wishes,
		.tracking = &tracking };
	struct image *image = image_new(1000, 4096, 512, 1024, 64);
	struct hot_system flushes = *real;
	struct snapshot_volume *v;
	struct snapshot *s;
	struct err err = ERR_INIT;
	uint8_t byte = 0;
	int rc;

	(void)state;
	memset(image->p + (2 << 20), 'b', 65536);
	image_finish(image);
	assert_int_equal(disk_write(sim.disk[0], 0, image->p, (uint32_t)image->size), 0);
	flushes.flushes = 1;
	snapshot_hotcopy_system = &flushes;
	relay_start(1, HOTCOPY_IOCTL_UNNEEDED, IO_ERROR);
	relay.late = 1;
	assert_int_equal(snapshot_open(&snapshot_hotcopy, &options, &s, &err), 0);
	assert_int_equal(snapshot_add(s, relayed("c"), &v, &err), 0);
	assert_int_equal(snapshot_freeze(s, 1000, &err), 0);
	assert_true(relay.failed);
	rc = snapshot_read(v, (2 << 20) + 100, &byte, 1, &err);
	assert_true(rc == 0 ? byte == 'b' : err.code == ERR_SNAPSHOT_LOST);
	snapshot_close(s);
	relay_stop();
	snapshot_hotcopy_system = real;
	image_free(image);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(any_call_may_fail),
		TEST(any_call_may_be_the_last),
		TEST(a_gate_that_timed_out_is_tried_again),
		TEST(events_may_fail),
		TEST(what_was_told_free_is_never_zeros),
	};

	(void)pthread_mutex_init(&relay.lock, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
