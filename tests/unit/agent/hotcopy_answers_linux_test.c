/*
 * A false driver: whatever it answers, each call gives an error and nothing else happens.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_forget.h"
#include "proto/base/err.h"

#define LENGTH (1u << 20)

/* How a request is answered, with `room` bytes for it. */
enum kind {
	RIGHT, /* As much as there is room for, a right header, zeros. */
	LIES,  /* The same, and all else is ones. */
	SHORT, /* One byte less. */
	EMPTY,
	WRONG_SIZE, /* In the header. */
	WRONG_ABI,
	LONG, /* From here on the link is of no use any more. */
	HUGE_LENGTH,
	HALF, /* And the end. */
	HALF_HEAD,
	HANG_UP,
	FAILED_WITH_BYTES,
	KINDS
};

static struct {
	char dir[100], socket[120], path[140];
	int fd;
	pthread_t thread;
	uint32_t version_abi;
	pthread_mutex_t mutex; /* Of what follows. */
	enum kind kind;
	const void *list; /* The answer to ENUM, instead of that. */
	size_t list_bytes;
} fake = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static void
play(enum kind kind, const void *list, size_t list_bytes)
{
	pthread_mutex_lock(&fake.mutex);
	fake.kind = kind;
	fake.list = list;
	fake.list_bytes = list_bytes;
	pthread_mutex_unlock(&fake.mutex);
}

static int
get(int fd, void *to, size_t len)
{
	return len == 0 || recv(fd, to, len, MSG_WAITALL) == (ssize_t)len;
}

static void
put(int fd, const void *from, size_t len)
{
	/* Whoever hung up meanwhile is asked by the test. */
	while (len > 0) {
		ssize_t n = send(fd, from, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		from = (const uint8_t *)from + n;
		len -= (size_t)n;
	}
}

/* 0: the connection ends. */
static int
answer_as(int fd, enum kind kind, uint32_t room, uint8_t *bytes)
{
	uint32_t head[2] = { 0, room }, header[2] = { room, HOTCOPY_ABI };
	uint32_t sent = room;

	header[0] += kind == WRONG_SIZE;
	header[1] += kind == WRONG_ABI;
	memset(bytes, kind == LIES ? 0xff : 0, room + 1);
	memcpy(bytes, header, room < sizeof(header) ? room : sizeof(header));
	if (kind == SHORT)
		head[1] = sent = room > 0 ? room - 1 : 0;
	if (kind == EMPTY)
		head[1] = sent = 0;
	if (kind == LONG)
		head[1] = sent = room + 1;
	if (kind == HUGE_LENGTH)
		head[1] = UINT32_MAX;
	if (kind == FAILED_WITH_BYTES) {
		head[0] = 0xC000000D;
		head[1] = sent = room > 0 ? room : 1;
	}
	if (kind == HALF) {
		head[1] = room > 0 ? room : 1;
		sent = room / 2;
	}
	if (kind == HANG_UP)
		return 0;
	put(fd, head, kind == HALF_HEAD ? 3 : sizeof(head));
	if (kind == HALF_HEAD)
		return 0;
	put(fd, bytes, sent);
	return kind != HALF;
}

static int
answer(int fd, uint32_t code, uint32_t room, uint8_t *bytes)
{
	struct hotcopy_version v = { { sizeof(v), fake.version_abi }, 1, 0 };
	const void *list = NULL;
	uint32_t head[2] = { 0, sizeof(v) };
	enum kind kind;

	pthread_mutex_lock(&fake.mutex);
	kind = fake.kind;
	if (code == HOTCOPY_IOCTL_ENUM && (list = fake.list) != NULL)
		head[1] = (uint32_t)fake.list_bytes;
	pthread_mutex_unlock(&fake.mutex);
	if (code == HOTCOPY_IOCTL_VERSION && room == sizeof(v))
		list = &v;
	if (list == NULL)
		return answer_as(fd, kind, room, bytes);
	put(fd, head, sizeof(head));
	put(fd, list, head[1]);
	return 1;
}

static void *
serve(void *arg)
{
	uint8_t *bytes = malloc((2u << 20) + 1);
	uint32_t head[4];
	int fd;

	(void)arg;
	while ((fd = accept(fake.fd, NULL, NULL)) >= 0) {
		while (get(fd, head, sizeof(head)) && get(fd, bytes, head[1]) &&
		       answer(fd, head[0], head[2], bytes))
			;
		close(fd);
	}
	free(bytes);
	return NULL;
}

static int
setup(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	(void)state;
	play(RIGHT, NULL, 0);
	fake.version_abi = HOTCOPY_ABI;
	snprintf(fake.dir, sizeof(fake.dir), "%s/holdfast-answers.XXXXXX",
	    getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(fake.dir));
	snprintf(fake.socket, sizeof(fake.socket), "%s/s", fake.dir);
	snprintf(fake.path, sizeof(fake.path), "hotcopy:%s:c", fake.socket);
	fake.fd = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_true(strlen(fake.socket) < sizeof(a.sun_path));
	strcpy(a.sun_path, fake.socket);
	assert_int_equal(bind(fake.fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(listen(fake.fd, 4), 0);
	return 0;
}

static void
begin(void)
{
	assert_int_equal(pthread_create(&fake.thread, NULL, serve, NULL), 0);
}

static int
teardown(void **state)
{
	(void)state;
	shutdown(fake.fd, SHUT_RDWR);
	pthread_join(fake.thread, NULL);
	close(fake.fd);
	unlink(fake.socket);
	return rmdir(fake.dir);
}

/* -------------------------------------------------------------------- the calls -- */

static const uint8_t zeros[HOTCOPY_NONCE];
static const struct hotcopy_extent extent = { 0, 512 };

static int
never(void *arg, uint64_t offset, uint64_t len)
{
	(void)arg;
	assert_true(offset < LENGTH && len <= LENGTH - offset);
	return 0;
}

static int
do_list(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_volumes *v = NULL;
	int rc = hotcopy_list(l, &v, err);

	free(v);
	return rc;
}

static int
do_find(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_volume v;

	return hotcopy_find(l, 0, &v, err);
}

static int
do_volume(struct hotcopy_link *l, struct err *err)
{
	uint64_t number;

	return hotcopy_link_volume(l, fake.path, &number, err);
}

static int
do_track(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_track(l, 1, zeros, zeros, &extent, 1, err);
}

static int
do_untrack(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_untrack(l, 1, err);
}

static int
do_prepare(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_wishes w = { .memory = 1 << 20 };
	struct hotcopy_prepared p;
	uint64_t volume = 1;

	return hotcopy_prepare(l, &volume, 1, &w, &p, err);
}

static int
do_add_room(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_add_room(l, 1, 1, &extent, 1, err);
}

static int
do_freeze(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_frozen f;

	return hotcopy_freeze(l, 1, 0, 0, 0, zeros, &f, err);
}

static int
do_bind(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_bind(l, 1, 0, err);
}

static int
do_unneeded(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_unneeded(l, 1, 0, 0, 9, zeros, err);
}

static int
do_done_read(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_done_read(l, 1, 0, 0, 512, err);
}

static int
do_changed(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_changed(l, 1, 0, LENGTH, 0, never, NULL, err);
}

static int
do_commit(struct hotcopy_link *l, struct err *err)
{
	return hotcopy_commit(l, 1, 1, zeros, err);
}

static int
do_stats(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_stats s;

	return hotcopy_stats(l, 1, 0, &s, err);
}

static int
do_read(struct hotcopy_link *l, struct err *err)
{
	static uint8_t got[65536];

	return hotcopy_error(hotcopy_link_read(l, 0, got, sizeof(got)), "reading", err);
}

static int
do_event(struct hotcopy_link *l, struct err *err)
{
	struct hotcopy_event e;

	return hotcopy_link_event(l, 1000, &e) == 1
		   ? 0
		   : err_set(err, ERR_SNAPSHOT_LOST, "no event");
}

#define KIND(k) (1u << (k))
/* Nobody looks at bytes that are not there. */
#define SILENT                                                                     \
	(KIND(RIGHT) | KIND(LIES) | KIND(SHORT) | KIND(EMPTY) | KIND(WRONG_SIZE) | \
	    KIND(WRONG_ABI))

static const struct {
	const char *name;
	int (*call)(struct hotcopy_link *l, struct err *err);
	unsigned good; /* Kinds of answers that are. */
} calls[] = {
	{ "list", do_list, 0 },
	{ "find", do_find, 0 },
	{ "volume", do_volume, KIND(RIGHT) | KIND(LIES) },
	{ "track", do_track, SILENT },
	{ "untrack", do_untrack, SILENT },
	{ "prepare", do_prepare, 0 },
	{ "add_room", do_add_room, SILENT },
	{ "freeze", do_freeze, 0 },
	{ "bind", do_bind, SILENT },
	{ "unneeded", do_unneeded, SILENT },
	{ "done_read", do_done_read, SILENT },
	{ "changed", do_changed, 0 },
	{ "commit", do_commit, SILENT },
	{ "stats", do_stats, KIND(RIGHT) | KIND(LIES) },
	{ "read", do_read,
	    KIND(RIGHT) | KIND(LIES) | KIND(WRONG_SIZE) | KIND(WRONG_ABI) },
	{ "event", do_event, KIND(RIGHT) | KIND(LIES) },
};

static void
test_an_answer_that_cannot_be_is_an_error(void **state)
{
	struct hotcopy_link *l;
	struct err err;

	(void)state;
	begin();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (unsigned kind = 0; kind < KINDS; kind++) {
			int good = (calls[i].good >> kind & 1) != 0;

			play((enum kind)kind, NULL, 0);
			err_clear(&err);
			assert_int_equal(hotcopy_link_open(fake.path, &l, &err), 0);
			if (calls[i].call(l, &err) != (good ? 0 : -1))
				fail_msg("%s, answer %d: %s", calls[i].name, (int)kind,
				    err.text);
			/* Behind it nothing is known any more. */
			err_clear(&err);
			if (kind >= LONG) {
				assert_int_equal(calls[i].call(l, &err), -1);
				assert_int_equal(
				    hotcopy_link_call(
					l, HOTCOPY_IOCTL_VERSION, NULL, 0, NULL, 0, NULL),
				    HOTCOPY_GONE);
			}
			hotcopy_link_close(l);
		}
}

/* What tracks and cannot be told is said; what answers not even whether it does, too. */
static void
test_a_volume_that_cannot_be_forgotten_is_said(void **state)
{
	struct err err;

	(void)state;
	begin();
	for (unsigned kind = 0; kind < KINDS; kind++) {
		play((enum kind)kind, NULL, 0);
		err_clear(&err);
		assert_int_equal(hotcopy_forget(fake.path, &err), -1);
		assert_non_null(strstr(err.text, "its change tracking is not told: "));
	}
}

/* -------------------------------------------------------------------- the counts -- */

struct list {
	struct hotcopy_header h; /* As struct hotcopy_volumes. */
	uint32_t count, given;
	struct hotcopy_volume volume[2];
};

static struct list
two_volumes(void)
{
	struct list l;

	memset(&l, 0, sizeof(l));
	l.h.size = sizeof(l);
	l.h.abi = HOTCOPY_ABI;
	l.count = l.given = 2;
	for (unsigned i = 0; i < 2; i++) {
		l.volume[i].volume = i + 1;
		l.volume[i].length = LENGTH;
		l.volume[i].sector = 512;
	}
	return l;
}

static void
test_counts_that_lie_are_errors(void **state)
{
	struct list good = two_volumes(), bad[8];
	struct hotcopy_link *l = NULL;
	struct hotcopy_volume v;
	struct err err = ERR_INIT;

	(void)state;
	for (unsigned i = 0; i < 8; i++)
		bad[i] = good;
	bad[0].given = 3;
	bad[1].given = UINT32_MAX;
	bad[2].count = 1;
	bad[3].h.size = UINT32_MAX;
	bad[4].volume[1].state = 7;
	bad[5].volume[0].tracking = 5;
	bad[6].volume[1].sector = 0;
	bad[7].volume[1].sector = 513;
	play(RIGHT, &good, sizeof(good));
	begin();
	assert_int_equal(hotcopy_link_open(fake.path, &l, &err), 0);
	assert_int_equal(hotcopy_find(l, 2, &v, &err), 0);
	assert_int_equal(v.length, LENGTH);
	for (unsigned i = 0; i < 8; i++) {
		play(RIGHT, &bad[i], sizeof(bad[i]));
		err_clear(&err);
		assert_int_equal(hotcopy_find(l, 2, &v, &err), -1);
		assert_int_equal(err.code, ERR_IO);
	}
	play(RIGHT, &good, sizeof(struct hotcopy_volumes));
	err_clear(&err);
	assert_int_equal(hotcopy_find(l, 2, &v, &err), -1);
	hotcopy_link_close(l);
}

static void
test_another_version_is_no_driver_of_ours(void **state)
{
	struct hotcopy_link *l = NULL;
	struct err err = ERR_INIT;

	(void)state;
	fake.version_abi = HOTCOPY_ABI + 1;
	begin();
	assert_int_equal(hotcopy_link_open(fake.path, &l, &err), -1);
	assert_int_equal(err.code, ERR_PROTOCOL);
	/* It may track all the same, and what it tells later is told of a restored volume. */
	err_clear(&err);
	assert_int_equal(hotcopy_forget(fake.path, &err), -1);
	assert_non_null(strstr(err.text, "not told: "));
	assert_non_null(strstr(err.text, "of another version"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_an_answer_that_cannot_be_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_volume_that_cannot_be_forgotten_is_said, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_counts_that_lie_are_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_another_version_is_no_driver_of_ours, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
