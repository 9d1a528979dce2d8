/*
 * calls_test.c - the simulator's control socket: a connection is a handle, strange bytes
 * end it and nothing else, an event finds who waits, and whoever goes releases.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/atomic.h"
#include "driver/core/control.h"
#include "driver/sim/calls.h"
#include "driver/sim/disk.h"
#include "driver/sim/record.h"

#define LENGTH (4u << 20)
#define INVALID_PARAMETER 0xC000000Du
#define DEVICE_BUSY 0x80000011u

static struct calls *calls;
static struct disk *disks[2];
static struct record *record;
static char dir[80], socket_path[100];

static int
setup(void **state)
{
	static unsigned char bytes[LENGTH];
	char path[300], why[200];

	(void)state;
	snprintf(dir, sizeof dir, "%s/holdfast-calls.XXXXXX",
	    getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(dir));
	snprintf(socket_path, sizeof socket_path, "%s/control", dir);
	snprintf(path, sizeof path, "%s/record", dir);
	record = record_open(path);
	assert_non_null(record);
	memset(bytes, 'o', sizeof bytes);
	calls = calls_listen(socket_path, why, sizeof why);
	assert_non_null(calls);
	for (int i = 0; i < 2; i++) {
		int fd;

		snprintf(path, sizeof path, "%s/%d", dir, i);
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
		close(fd);
		disks[i] = disk_open(i == 0 ? "a" : "b", path, (uint64_t)i + 1, 512,
		    record, why, sizeof why);
		assert_non_null(disks[i]);
	}
	assert_int_equal(calls_start(calls, disks, 2, record, why, sizeof why), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	calls_close(calls);
	for (int i = 0; i < 2; i++)
		disk_close(disks[i]);
	record_close(record);
	assert_int_not_equal(access(socket_path, F_OK), 0);
	for (int i = 0; i < 3; i++) {
		static const char *const names[] = { "0", "1", "record" };
		char path[300];

		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

/* ------------------------------------------------------------------- the client -- */

static int
connected(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, socket_path);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
	return fd;
}

static void
ask(int fd, uint32_t code, const void *in, uint32_t bytes, uint32_t room)
{
	uint32_t head[4] = { code, bytes, room, 0 };

	assert_int_equal(send(fd, head, sizeof head, MSG_NOSIGNAL), sizeof head);
	assert_int_equal(send(fd, in, bytes, MSG_NOSIGNAL), bytes);
}

static bool
get(int fd, void *to, size_t bytes)
{
	return bytes == 0 || recv(fd, to, bytes, MSG_WAITALL) == (ssize_t)bytes;
}

static uint32_t
answer(int fd, void *out, uint32_t *bytes)
{
	uint32_t head[2];

	assert_true(get(fd, head, sizeof head));
	assert_true(get(fd, out, head[1]));
	if (bytes != NULL)
		*bytes = head[1];
	return head[0];
}

static uint32_t
call(int fd, uint32_t code, void *buffer, uint32_t in, uint32_t room)
{
	ask(fd, code, buffer, in, room);
	return answer(fd, buffer, NULL);
}

/* The number of the set, of both disks; 0: busy. */
static uint64_t
prepared(int fd, uint64_t memory)
{
	struct hotcopy_prepare p = { .h = { sizeof p, HOTCOPY_ABI },
		.volumes = 2,
		.chunk_shift = 14,
		.memory = memory,
		.volume = { 1, 2 } };
	uint32_t status = call(fd, HOTCOPY_IOCTL_PREPARE, &p, sizeof p, sizeof p);

	if (status == DEVICE_BUSY)
		return 0;
	assert_int_equal(status, 0);
	return ((struct hotcopy_prepared *)&p)->set;
}

static void
frozen(int fd, uint64_t set)
{
	union {
		struct hotcopy_freeze in;
		struct hotcopy_frozen out;
	} u;

	memset(&u, 0, sizeof u);
	u.in.h.size = sizeof u.in;
	u.in.h.abi = HOTCOPY_ABI;
	u.in.set = set;
	assert_int_equal(
	    call(fd, HOTCOPY_IOCTL_FREEZE, &u, sizeof u.in, sizeof u.out), 0);
	assert_int_equal(u.out.volumes, 2);
}

static uint32_t
image(int fd, uint64_t offset, uint32_t length, void *out)
{
	struct {
		uint64_t offset;
		uint32_t length, zero;
	} in = { offset, length, 0 };

	ask(fd, CALLS_READ, &in, sizeof in, length);
	return answer(fd, out, NULL);
}

static void
bound(int fd, uint64_t set, uint32_t index)
{
	struct hotcopy_bind b = { { sizeof b, HOTCOPY_ABI }, set, index, 0 };

	assert_int_equal(call(fd, HOTCOPY_IOCTL_BIND, &b, sizeof b, 0), 0);
}

/* ------------------------------------------------------------------------ tests -- */

struct host {
	pthread_t thread;
	uint32_t stop, writes;
	unsigned seed;
};

static void *
host_run(void *arg)
{
	struct host *h = arg;
	unsigned char bytes[4096];

	memset(bytes, 'n', sizeof bytes);
	while (atomic_get(&h->stop) == 0) {
		h->seed = h->seed * 1664525 + 1013904223;
		assert_int_equal(
		    disk_write(disks[h->seed >> 31],
			(uint64_t)(h->seed >> 12) * 4096 % LENGTH, bytes, sizeof bytes),
		    0);
		atomic_add(&h->writes, 1);
	}
	return NULL;
}

static void
test_the_image_stays_while_the_host_writes(void **state)
{
	static unsigned char got[2][LENGTH];
	struct host host[3] = { { .seed = 1 }, { .seed = 77 }, { .seed = 12345 } };
	unsigned char name[16] = "b";
	int owner = connected(), reader = connected();
	struct control_file *file;
	uint64_t set;

	(void)state;
	assert_int_equal(call(owner, HOTCOPY_IOCTL_ATTACHED, name, 1, 16), 0);
	assert_int_equal(((struct hotcopy_attached *)name)->volume, 2);
	assert_null(calls_frozen(calls, disks[1]));
	set = prepared(owner, 64 << 20);
	for (int i = 0; i < 3; i++)
		pthread_create(&host[i].thread, NULL, host_run, &host[i]);
	while (atomic_get(&host[0].writes) < 20)
		usleep(1000);
	frozen(owner, set);
	bound(reader, set, 1);
	for (int pass = 0; pass < 2; pass++)
		for (uint32_t at = 0; at < LENGTH; at += 1 << 18)
			assert_int_equal(image(reader, at, 1 << 18, got[pass] + at), 0);
	assert_memory_equal(got[0], got[1], LENGTH);
	file = calls_frozen(calls, disks[1]);
	assert_non_null(file);
	assert_int_equal(control_read(file, 0, got[1], LENGTH), SET_OK);
	assert_memory_equal(got[0], got[1], LENGTH);
	control_cleanup(file);
	control_close(file);
	for (int i = 0; i < 3; i++) {
		atomic_put(&host[i].stop, 1);
		pthread_join(host[i].thread, NULL);
	}
	for (uint32_t at = 0; at < LENGTH; at += 4096)
		assert_true(got[0][at] == 'o' || got[0][at] == 'n');
	close(reader);
	close(owner);
}

static void
test_whoever_goes_releases(void **state)
{
	int owner = connected(), other = connected();
	uint64_t set = prepared(owner, 1 << 20);
	unsigned char byte[512];

	(void)state;
	frozen(owner, set);
	assert_int_equal(prepared(other, 1 << 20), 0);
	bound(other, set, 0);
	assert_int_equal(image(other, 0, 512, byte), 0);
	close(owner);
	while ((set = prepared(other, 1 << 20)) == 0)
		usleep(1000);
	assert_int_not_equal(image(other, 0, 512, byte), 0);
	close(other);
}

/* Over 1 MiB of copies: the first image is lost. */
static void *
overrun(void *arg)
{
	unsigned char bytes[4096] = { 0 };

	(void)arg;
	usleep(20000);
	for (uint32_t at = 0; at < LENGTH; at += 1 << 14)
		assert_int_equal(disk_write(disks[0], at, bytes, sizeof bytes), 0);
	return NULL;
}

/* The owner hears of its set: it waits, or it looks whether something is there. */
static void
test_an_event_finds_who_waits(void **state)
{
	int owner = connected(), gone = connected();
	unsigned char byte[512];
	struct hotcopy_event event;
	uint64_t set = prepared(owner, 1 << 20);
	pthread_t thread;
	uint32_t bytes;

	(void)state;
	frozen(owner, set);
	assert_int_equal(
	    call(owner, CALLS_EVENT, &event, 0, sizeof event), CALLS_PENDING);
	ask(gone, HOTCOPY_IOCTL_WAIT_EVENT, byte, 0, sizeof event);
	close(gone);
	pthread_create(&thread, NULL, overrun, NULL);
	do {
		ask(owner, HOTCOPY_IOCTL_WAIT_EVENT, byte, 0, sizeof event);
		assert_int_equal(answer(owner, &event, &bytes), 0);
		assert_int_equal(bytes, sizeof event);
	} while (event.code != HOTCOPY_EVENT_DROPPED);
	assert_int_equal(event.volume, 1);
	assert_int_equal(event.argument, HOTCOPY_WHY_NO_SPACE);
	bound(owner, set, 0);
	assert_int_equal(image(owner, 0, 512, byte), HOTCOPY_STATUS_LOST);
	pthread_join(thread, NULL);
	close(owner);
}

static void
test_strange_bytes_end_the_connection_alone(void **state)
{
	uint32_t heads[][4] = { { 0, CALLS_BYTES_MAX + 1, 0, 0 },
		{ 0, 0, CALLS_BYTES_MAX + 1, 0 }, { 0, 0, 0, 1 },
		{ ~0u, ~0u, ~0u, ~0u } };
	unsigned char out[64];
	int good = connected(), fd;

	(void)state;
	for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
		fd = connected();
		assert_int_equal(
		    send(fd, heads[i], sizeof heads[i], MSG_NOSIGNAL), sizeof heads[i]);
		assert_int_equal(answer(fd, out, NULL), INVALID_PARAMETER);
		assert_int_equal(recv(fd, out, 1, 0), 0);
		close(fd);
	}
	for (uint32_t code = 0; code < 70; code++) {
		memset(out, (int)code, sizeof out);
		assert_int_not_equal(call(good, code, out, code % 40, 16), 0);
	}
	assert_int_equal(call(good, HOTCOPY_IOCTL_VERSION, out, 0, 16), 0);
	fd = connected(); /* half a request */
	assert_int_equal(send(fd, heads[2], 7, MSG_NOSIGNAL), 7);
	close(fd);
	close(good);
}

static void
test_more_connections_than_there_may_be(void **state)
{
	int fd[CALLS_CONNECTIONS_MAX + 1];
	unsigned char out[16];

	(void)state;
	for (unsigned i = 0; i <= CALLS_CONNECTIONS_MAX; i++) {
		fd[i] = connected();
		if (i < CALLS_CONNECTIONS_MAX)
			assert_int_equal(
			    call(fd[i], HOTCOPY_IOCTL_VERSION, out, 0, 16), 0);
	}
	assert_int_equal(recv(fd[CALLS_CONNECTIONS_MAX], out, 1, 0), 0);
	for (unsigned i = 0; i <= CALLS_CONNECTIONS_MAX; i++)
		close(fd[i]);
}

static void
test_it_ends_while_clients_wait(void **state)
{
	unsigned char none = 0;
	int owner = connected(), waiter = connected();

	(void)state;
	frozen(owner, prepared(owner, 1 << 20));
	ask(waiter, HOTCOPY_IOCTL_WAIT_EVENT, &none, 0, sizeof(struct hotcopy_event));
	teardown(NULL);
	assert_int_equal(recv(waiter, &none, 1, 0), 0);
	assert_int_equal(recv(owner, &none, 1, 0), 0);
	close(owner);
	close(waiter);
	setup(NULL);
}

/* What is tracked of the first disk: state and blocks that changed. */
static uint32_t
tracked(int fd, uint64_t *changed)
{
	unsigned char bytes[sizeof(struct hotcopy_volumes) +
			    2 * sizeof(struct hotcopy_volume)] = { 0 };
	struct hotcopy_volume first;

	assert_int_equal(call(fd, HOTCOPY_IOCTL_ENUM, bytes, 0, sizeof bytes), 0);
	memcpy(&first, bytes + sizeof(struct hotcopy_volumes), sizeof first);
	*changed = first.changed;
	return first.tracking;
}

/* A generation of the first disk begins and is committed. */
static void
committed(int fd)
{
	union {
		struct hotcopy_freeze in;
		struct hotcopy_frozen out;
	} u;
	struct hotcopy_generation g = { .h = { sizeof g, HOTCOPY_ABI }, .volume = 1 };
	struct hotcopy_release r = { { sizeof r, HOTCOPY_ABI }, prepared(fd, 1 << 20) };

	memset(&u, 0, sizeof u);
	u.in.h.size = sizeof u.in;
	u.in.h.abi = HOTCOPY_ABI;
	u.in.set = r.set;
	u.in.flags = HOTCOPY_FREEZE_GENERATION;
	assert_int_equal(
	    call(fd, HOTCOPY_IOCTL_FREEZE, &u, sizeof u.in, sizeof u.out), 0);
	g.generation = u.out.generation[0];
	assert_int_equal(call(fd, HOTCOPY_IOCTL_COMMIT, &g, sizeof g, 0), 0);
	assert_int_equal(call(fd, HOTCOPY_IOCTL_RELEASE, &r, sizeof r, 0), 0);
}

static uint32_t
forgotten(int fd, uint32_t share)
{
	union {
		struct {
			uint64_t volume;
			uint32_t share, seed;
		} in;
		uint32_t out;
	} u = { { 1, share, 7 } };

	assert_int_equal(call(fd, CALLS_FORGET, &u, sizeof u.in, sizeof u.out), 0);
	return u.out;
}

static void
test_a_driver_with_a_fault_forgets_writes_and_keeps_images(void **state)
{
	struct hotcopy_track t = { .h = { sizeof t, HOTCOPY_ABI },
		.volume = 1,
		.flags = HOTCOPY_TRACK_CREATE,
		.nonce = { 1 } };
	unsigned char now[4096], image_of[4096];
	int fd = connected();
	uint64_t set, changed;

	(void)state;
	memset(now, 'n', sizeof now);
	assert_int_equal(call(fd, HOTCOPY_IOCTL_TRACK, &t, sizeof t, 0), 0);
	committed(fd);
	assert_int_equal(disk_write(disks[0], 0, now, sizeof now), 0);
	assert_int_equal(tracked(fd, &changed), HOTCOPY_TRACK_VALID);
	assert_int_equal(changed, 1);
	committed(fd);
	assert_int_equal(forgotten(fd, UINT32_MAX), 0);
	assert_int_equal(disk_write(disks[0], 65536, now, sizeof now), 0);
	assert_int_equal(disk_zero(disks[0], 131072, sizeof now, true), 0);
	assert_int_equal(tracked(fd, &changed), HOTCOPY_TRACK_VALID);
	assert_int_equal(changed, 0);
	assert_int_equal(forgotten(fd, UINT32_MAX), 2);
	set = prepared(fd, 1 << 20);
	frozen(fd, set);
	bound(fd, set, 0);
	assert_int_equal(disk_write(disks[0], 1 << 20, now, sizeof now), 0);
	assert_int_equal(image(fd, 1 << 20, sizeof image_of, image_of), 0);
	assert_int_equal(image_of[0], 'o');
	(void)tracked(fd, &changed);
	assert_int_equal(changed, 1);
	assert_int_equal(forgotten(fd, 0), 2);
	close(fd);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_the_image_stays_while_the_host_writes, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_whoever_goes_releases, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_an_event_finds_who_waits, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_strange_bytes_end_the_connection_alone, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_more_connections_than_there_may_be, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_it_ends_while_clients_wait, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_driver_with_a_fault_forgets_writes_and_keeps_images, setup,
		    teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
