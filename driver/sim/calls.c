/*
 * A thread a connection, for calls wait: FREEZE for the gate, HOLD for the cut, reads for
 * the disk.  What is known of a set here (its number, whose volumes) is kept for
 * calls_frozen alone; the core judges every call by itself.
 */
#define _GNU_SOURCE /* POLLRDHUP */
#include "driver/sim/calls.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/control.h"
#include "driver/core/volume.h"
#include "driver/sim/disk.h"
#include "driver/sim/record.h"

#define BUILD 1u

struct connection {
	struct calls *calls;
	int fd;	    /* -1: free */
	int events; /* told when an event may be there */
	bool ended; /* its thread can be joined */
	pthread_t thread;
	struct control_file *file;
	unsigned char *buffer; /* CALLS_BYTES_MAX */
};

struct calls {
	/* Guards connections and the set; no call of the core is made with it. */
	pthread_mutex_t mutex;
	struct connection connection[CALLS_CONNECTIONS_MAX];
	uint64_t set; /* the last that was prepared */
	uint32_t set_volumes;
	uint64_t set_volume[HOTCOPY_VOLUMES_MAX];
	bool stop;
	bool started;
	char *path;
	int fd;
	pthread_t thread;
	struct control *control;
	struct disk *const *disks;
	uint32_t count;
	struct record *record;
};

/* As driver/nt answers: [MS-ERREF] 2.3.1. */
static uint32_t
status_of(enum set_result result)
{
	static const uint32_t status[] = {
		[SET_OK] = 0,
		[SET_BAD] = 0xC000000D,
		[SET_SIZE] = 0xC0000004,
		[SET_ABI] = 0xC0000059,
		[SET_STATE] = 0xC0000184,
		[SET_NOT_FOUND] = 0xC0000225,
		[SET_BUSY] = 0x80000011,
		[SET_TIMEOUT] = 0xC00000B5,
		[SET_CANCELLED] = 0xC0000120,
		[SET_NO_MEMORY] = 0xC000009A,
		[SET_LOST] = HOTCOPY_STATUS_LOST,
		[SET_NOT_KEPT] = HOTCOPY_STATUS_NOT_KEPT,
		[SET_IO] = 0xC0000185,
		[SET_NO_CALL] = 0xC0000010,
		[SET_PENDING] = CALLS_PENDING,
	};

	return status[result];
}

static uint32_t
load32(const unsigned char *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 |
	       (uint32_t)p[3] << 24;
}

static uint64_t
load64(const unsigned char *p)
{
	return load32(p) | (uint64_t)load32(p + 4) << 32;
}

static void
store32(unsigned char *p, uint32_t n)
{
	for (int i = 0; i < 4; i++)
		p[i] = (unsigned char)(n >> 8 * i);
}

/* -------------------------------------------------------------------- one call -- */

static struct disk *
disk_of(const struct calls *c, uint64_t volume)
{
	for (uint32_t i = 0; i < c->count; i++)
		if (volume_number(disk_volume(c->disks[i])) == volume)
			return c->disks[i];
	return NULL;
}

/* The name stands for a handle of the volume. */
static enum set_result
attached(const struct calls *c, unsigned char *buffer, uint32_t in, uint32_t *out)
{
	struct hotcopy_attached a = { { sizeof a, HOTCOPY_ABI }, 0 };

	for (uint32_t i = 0; i < c->count; i++) {
		const char *name = disk_name(c->disks[i]);

		if (strlen(name) != in || memcmp(name, buffer, in) != 0)
			continue;
		a.volume = volume_number(disk_volume(c->disks[i]));
		memcpy(buffer, &a, sizeof a);
		*out = sizeof a;
		return SET_OK;
	}
	return SET_NOT_FOUND;
}

static enum set_result
read_image(struct connection *n, uint32_t in, uint32_t room, uint32_t *out)
{
	uint64_t offset = load64(n->buffer);
	uint32_t length = load32(n->buffer + 8);
	enum set_result result;

	if (in != 16 || length > room)
		return SET_SIZE;
	if (load32(n->buffer + 12) != 0)
		return SET_BAD;
	result = control_read(n->file, offset, n->buffer, length);
	*out = result == SET_OK ? length : 0;
	return result;
}

/* What has no call in the ABI because the system below tells it to the driver. */
static enum set_result
simulated(struct connection *n, uint32_t code, uint32_t in, uint32_t room, uint32_t *out)
{
	struct calls *c = n->calls;
	struct disk *d;

	if (code == CALLS_POWER) {
		if (in != 4 || load32(n->buffer) > 1)
			return SET_SIZE;
		control_power(c->control, load32(n->buffer) == 1);
		return SET_OK;
	}
	if (in != (code == CALLS_HOLD ? 8 : 16) || (code == CALLS_FORGET && room < 4))
		return SET_SIZE;
	d = disk_of(c, load64(n->buffer));
	if (d == NULL)
		return SET_NOT_FOUND;
	if (code == CALLS_HOLD)
		(void)control_hold(c->control, disk_volume(d), NULL);
	else if (code == CALLS_DELAY)
		disk_delay(d, load32(n->buffer + 8), load32(n->buffer + 12));
	else {
		uint32_t forgotten =
		    disk_forget(d, load32(n->buffer + 8), load32(n->buffer + 12));

		store32(n->buffer, forgotten);
		*out = 4;
	}
	return SET_OK;
}

static void
note_set(
    struct calls *c, const struct hotcopy_prepare *asked, const unsigned char *answer)
{
	struct hotcopy_prepared p;

	memcpy(&p, answer, sizeof p);
	pthread_mutex_lock(&c->mutex);
	c->set = p.set;
	c->set_volumes = asked->volumes;
	memcpy(c->set_volume, asked->volume, sizeof c->set_volume);
	pthread_mutex_unlock(&c->mutex);
}

static enum set_result
core_call(struct connection *n, uint32_t code, uint32_t in, uint32_t room, uint32_t *out)
{
	struct calls *c = n->calls;
	struct hotcopy_prepare prepare = { 0 };
	struct hotcopy_freeze freeze = { 0 };
	enum set_result result;

	if (code == HOTCOPY_IOCTL_PREPARE && in == sizeof prepare)
		memcpy(&prepare, n->buffer, sizeof prepare);
	if (code == HOTCOPY_IOCTL_FREEZE && in == sizeof freeze) {
		memcpy(&freeze, n->buffer, sizeof freeze);
		record_mark(c->record, RECORD_FREEZE, freeze.set, false);
	}
	result = control_call(n->file, code, n->buffer, in, room, out);
	if (code == HOTCOPY_IOCTL_FREEZE && in == sizeof freeze)
		record_mark(c->record, RECORD_FROZEN, freeze.set, result != SET_OK);
	if (code == HOTCOPY_IOCTL_PREPARE && result == SET_OK)
		note_set(c, &prepare, n->buffer);
	return result;
}

static enum set_result
call(struct connection *n, uint32_t code, uint32_t in, uint32_t room, uint32_t *out)
{
	*out = 0;
	switch (code) {
	case HOTCOPY_IOCTL_ATTACHED:
		return room < sizeof(struct hotcopy_attached)
			   ? SET_SIZE
			   : attached(n->calls, n->buffer, in, out);
	case CALLS_EVENT:
		return core_call(n, HOTCOPY_IOCTL_WAIT_EVENT, in, room, out);
	case CALLS_READ:
		return read_image(n, in, room, out);
	case CALLS_HOLD:
	case CALLS_POWER:
	case CALLS_DELAY:
	case CALLS_FORGET:
		return simulated(n, code, in, room, out);
	default:
		return core_call(n, code, in, room, out);
	}
}

/* ------------------------------------------------------------------ connections -- */

static bool
receive(int fd, unsigned char *to, size_t left)
{
	while (left > 0) {
		ssize_t got = recv(fd, to, left, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		left -= (size_t)got;
	}
	return true;
}

static bool
answer(int fd, uint32_t status, const unsigned char *bytes, uint32_t out)
{
	unsigned char head[8];
	const unsigned char *from = head;
	size_t left = sizeof head;

	store32(head, status);
	store32(head + 4, out);
	for (int part = 0; part < 2; part++, from = bytes, left = out)
		while (left > 0) {
			ssize_t sent = send(fd, from, left, MSG_NOSIGNAL);

			if (sent < 0 && errno == EINTR)
				continue;
			if (sent <= 0)
				return false;
			from += sent;
			left -= (size_t)sent;
		}
	return true;
}

/* WAIT_EVENT: until there is one, or the other end hangs up.  False: it did. */
static bool
wait_event(struct connection *n, struct hotcopy_event *event)
{
	struct pollfd p[2] = { { .fd = n->fd, .events = POLLRDHUP },
		{ .fd = n->events, .events = POLLIN } };
	uint64_t told;

	for (;;) {
		if (control_event(n->file, event))
			return true;
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return false;
		if (p[0].revents != 0)
			return false;
		if (read(n->events, &told, sizeof told) < 0 && errno != EAGAIN)
			return false;
	}
}

static bool
serve_one(struct connection *n)
{
	struct hotcopy_event event;
	unsigned char head[CALLS_HEAD];
	uint32_t code, in, room, out;
	enum set_result result;

	if (!receive(n->fd, head, sizeof head))
		return false;
	code = load32(head);
	in = load32(head + 4);
	room = load32(head + 8);
	/* Where the next request begins is not known then: the connection ends. */
	if (in > CALLS_BYTES_MAX || room > CALLS_BYTES_MAX || load32(head + 12) != 0) {
		answer(n->fd, status_of(SET_BAD), NULL, 0);
		return false;
	}
	if (!receive(n->fd, n->buffer, in))
		return false;
	result = call(n, code, in, room, &out);
	if (result == SET_PENDING && code == HOTCOPY_IOCTL_WAIT_EVENT) {
		if (!wait_event(n, &event))
			return false;
		memcpy(n->buffer, &event, sizeof event);
		out = sizeof event;
		result = SET_OK;
	}
	return answer(n->fd, status_of(result), n->buffer, out);
}

static void *
connection_run(void *arg)
{
	struct connection *n = arg;

	while (serve_one(n))
		;
	control_cleanup(n->file);
	control_close(n->file);
	n->file = NULL;
	shutdown(n->fd, SHUT_RDWR);
	pthread_mutex_lock(&n->calls->mutex);
	n->ended = true;
	pthread_mutex_unlock(&n->calls->mutex);
	return NULL;
}

/* Joins threads that have ended ("all": waits for all). */
static void
reap(struct calls *c, bool all)
{
	for (uint32_t i = 0; i < CALLS_CONNECTIONS_MAX; i++) {
		struct connection *n = &c->connection[i];
		bool join;

		pthread_mutex_lock(&c->mutex);
		join = n->fd >= 0 && (all || n->ended);
		pthread_mutex_unlock(&c->mutex);
		if (!join)
			continue;
		if (all)
			shutdown(n->fd, SHUT_RDWR);
		pthread_join(n->thread, NULL);
		pthread_mutex_lock(&c->mutex);
		close(n->fd);
		close(n->events);
		free(n->buffer);
		n->fd = -1;
		pthread_mutex_unlock(&c->mutex);
	}
}

static int
connection_start(struct calls *c, int fd)
{
	struct connection *n = c->connection;

	while (n < c->connection + CALLS_CONNECTIONS_MAX && n->fd >= 0)
		n++;
	if (n == c->connection + CALLS_CONNECTIONS_MAX)
		return -1;
	n->buffer = malloc(CALLS_BYTES_MAX);
	n->events = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	n->file = control_open(c->control);
	n->calls = c;
	n->ended = false;
	pthread_mutex_lock(&c->mutex);
	n->fd = fd;
	pthread_mutex_unlock(&c->mutex);
	if (n->buffer != NULL && n->events >= 0 && n->file != NULL &&
	    pthread_create(&n->thread, NULL, connection_run, n) == 0)
		return 0;
	pthread_mutex_lock(&c->mutex);
	n->fd = -1;
	pthread_mutex_unlock(&c->mutex);
	if (n->file != NULL) {
		control_cleanup(n->file);
		control_close(n->file);
	}
	if (n->events >= 0)
		close(n->events);
	free(n->buffer);
	return -1;
}

static void *
listener_run(void *arg)
{
	struct calls *c = arg;
	bool stop = false;

	while (!stop) {
		int fd = accept(c->fd, NULL, NULL);

		reap(c, false);
		pthread_mutex_lock(&c->mutex);
		stop = c->stop;
		pthread_mutex_unlock(&c->mutex);
		if (fd >= 0 && (stop || connection_start(c, fd) != 0))
			close(fd);
		if (fd < 0 && errno != EINTR && errno != ECONNABORTED)
			poll(NULL, 0, stop ? 0 : 100); /* no descriptor left */
	}
	return NULL;
}

/* Any thread of the core, with its locks: only marks and wakes. */
static void
on_events(void *who)
{
	struct calls *c = who;
	uint64_t one = 1;

	pthread_mutex_lock(&c->mutex);
	for (uint32_t i = 0; i < CALLS_CONNECTIONS_MAX; i++)
		if (c->connection[i].fd >= 0 &&
		    write(c->connection[i].events, &one, sizeof one) < 0)
			continue; /* full: it has been told */
	pthread_mutex_unlock(&c->mutex);
}

/* ------------------------------------------------------------------------- life -- */

static int
listen_at(struct calls *c, const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	mode_t before;
	int rc;

	if (strlen(path) >= sizeof a.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(a.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -1;
	before = umask(0177);
	rc = bind(c->fd, (struct sockaddr *)&a, sizeof a);
	umask(before);
	if (rc == 0)
		c->path = strdup(path);
	return rc == 0 && c->path != NULL && listen(c->fd, 16) == 0 ? 0 : -1;
}

struct calls *
calls_listen(const char *path, char *why, unsigned why_size)
{
	struct calls *c = calloc(1, sizeof *c);

	if (c == NULL) {
		snprintf(why, why_size, "out of memory");
		return NULL;
	}
	pthread_mutex_init(&c->mutex, NULL);
	for (uint32_t i = 0; i < CALLS_CONNECTIONS_MAX; i++)
		c->connection[i].fd = -1;
	c->fd = -1;
	if (listen_at(c, path) == 0)
		return c;
	snprintf(why, why_size, "%s: %s", path, strerror(errno));
	calls_close(c);
	return NULL;
}

int
calls_start(struct calls *c, struct disk *const *disks, uint32_t count,
    struct record *record, char *why, unsigned why_size)
{
	struct control_notice notice = { on_events, c };

	c->record = record;
	c->disks = disks;
	c->control = control_make(notice);
	if (c->control == NULL) {
		snprintf(why, why_size, "out of memory");
		return -1;
	}
	control_version(c->control, BUILD, 0);
	for (; c->count < count; c->count++)
		if (control_join(c->control, disk_volume(disks[c->count])) != 0) {
			snprintf(why, why_size, "more than %u disks", HOTCOPY_ENUM_MAX);
			return -1;
		}
	if (pthread_create(&c->thread, NULL, listener_run, c) != 0) {
		snprintf(why, why_size, "no thread could be made");
		return -1;
	}
	c->started = true;
	return 0;
}

void
calls_close(struct calls *c)
{
	if (c == NULL)
		return;
	if (c->started) {
		pthread_mutex_lock(&c->mutex);
		c->stop = true;
		pthread_mutex_unlock(&c->mutex);
		shutdown(c->fd, SHUT_RDWR); /* wakes accept */
		pthread_join(c->thread, NULL);
		reap(c, true);
	}
	if (c->control != NULL)
		control_power(c->control, true);
	for (uint32_t i = 0; i < c->count; i++) {
		disk_gone(c->disks[i]);
		control_leave(c->control, disk_volume(c->disks[i]));
	}
	if (c->control != NULL)
		control_free(c->control);
	if (c->fd >= 0)
		close(c->fd);
	if (c->path != NULL)
		unlink(c->path);
	free(c->path);
	pthread_mutex_destroy(&c->mutex);
	free(c);
}

void
calls_lost(struct calls *c, uint64_t volume, enum hotcopy_reason why)
{
	if (c->started)
		control_lost(c->control, volume, why);
}

struct control_file *
calls_frozen(struct calls *c, const struct disk *d)
{
	struct hotcopy_bind bind = { { sizeof bind, HOTCOPY_ABI }, 0, 0, 0 };
	struct control_file *file;
	uint64_t volume = volume_number(disk_volume(d));
	uint32_t out, i = 0;
	bool there;

	pthread_mutex_lock(&c->mutex);
	while (i < c->set_volumes && c->set_volume[i] != volume)
		i++;
	there = i < c->set_volumes;
	bind.set = c->set;
	bind.index = i;
	pthread_mutex_unlock(&c->mutex);
	file = there ? control_open(c->control) : NULL;
	if (file == NULL)
		return NULL;
	if (control_call(file, HOTCOPY_IOCTL_BIND, &bind, sizeof bind, sizeof bind,
		&out) == SET_OK)
		return file;
	control_cleanup(file);
	control_close(file);
	return NULL;
}
