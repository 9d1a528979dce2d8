/* The simulator's socket: the bytes are in driver/sim/DESIGN.md. */
#define _GNU_SOURCE /* POLLRDHUP */
#include "agent/hotcopy/hotcopy_link.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define REQUEST_HEAD 16u
#define ANSWER_HEAD 8u
#define BYTES_MAX (2u << 20) /* Either way. */
#define CODE_READ 1u
#define CODE_EVENT 5u /* WAIT_EVENT that does not wait. */
#define INVALID_PARAMETER 0xC000000Du
#define PENDING 0x103u

/* An event is looked for so often: the socket takes one call at a time, and one that
   waited for it would keep all others out. */
#define EVENT_EVERY_MS 25u

struct hotcopy_link {
	pthread_mutex_t mutex; /* Of a request with its answer. */
	int fd;
	int woken; /* An eventfd: no more is to be waited for. */
	int gone;  /* What follows on the socket is not known. */
	struct sockaddr_un where;
};

/* ---------------------------------------------------------------------- bytes -- */

static int
send_all(int fd, const uint8_t *p, size_t left)
{
	while (left > 0) {
		ssize_t n = send(fd, p, left, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

static int
receive_all(int fd, uint8_t *p, size_t left)
{
	while (left > 0) {
		ssize_t n = recv(fd, p, left, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		p += n;
		left -= (size_t)n;
	}
	return 0;
}

/* -1: the socket is of no use any more. */
static int
exchange(int fd, uint32_t code, const void *in, size_t len, void *out, size_t room,
    uint32_t *status, size_t *given)
{
	uint8_t head[REQUEST_HEAD];

	store_le32(head, code);
	store_le32(head + 4, (uint32_t)len);
	store_le32(head + 8, (uint32_t)room);
	store_le32(head + 12, 0);
	if (send_all(fd, head, sizeof(head)) != 0 || send_all(fd, in, len) != 0 ||
	    receive_all(fd, head, ANSWER_HEAD) != 0)
		return -1;
	*status = load_le32(head);
	*given = load_le32(head + 4);
	if (*given > room || (*status != HOTCOPY_OK && *given != 0))
		return -1;
	return receive_all(fd, out, *given);
}

uint32_t
hotcopy_link_call(struct hotcopy_link *l, uint32_t code, const void *in, size_t len,
    void *out, size_t room, size_t *given)
{
	uint32_t status = HOTCOPY_GONE;
	size_t n = 0;

	if (given != NULL)
		*given = 0;
	if (len > BYTES_MAX || room > BYTES_MAX)
		return INVALID_PARAMETER;
	(void)pthread_mutex_lock(&l->mutex);
	if (!l->gone && exchange(l->fd, code, in, len, out, room, &status, &n) != 0) {
		l->gone = 1;
		/* Whoever waits for an event hears of it. */
		(void)shutdown(l->fd, SHUT_RDWR);
		status = HOTCOPY_GONE;
	}
	(void)pthread_mutex_unlock(&l->mutex);
	if (given != NULL && status == HOTCOPY_OK)
		*given = n;
	return status;
}

static void
give_up(struct hotcopy_link *l)
{
	(void)pthread_mutex_lock(&l->mutex);
	l->gone = 1;
	(void)shutdown(l->fd, SHUT_RDWR);
	(void)pthread_mutex_unlock(&l->mutex);
}

uint32_t
hotcopy_link_read(struct hotcopy_link *l, uint64_t offset, void *out, uint32_t len)
{
	uint8_t in[16];
	uint32_t status;
	size_t given;

	store_le64(in, offset);
	store_le32(in + 8, len);
	store_le32(in + 12, 0);
	status = hotcopy_link_call(l, CODE_READ, in, sizeof(in), out, len, &given);
	if (status != HOTCOPY_OK || given == len)
		return status;
	give_up(l);
	return HOTCOPY_GONE;
}

/* --------------------------------------------------------------------- events -- */

static uint64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int
was_woken(struct hotcopy_link *l)
{
	uint64_t n;

	return read(l->woken, &n, sizeof(n)) == (ssize_t)sizeof(n);
}

void
hotcopy_link_wake(struct hotcopy_link *l)
{
	static const uint64_t one = 1;

	/* It cannot be full: whoever waits takes it all. */
	if (write(l->woken, &one, sizeof(one)) != (ssize_t)sizeof(one))
		give_up(l);
}

int
hotcopy_link_event(struct hotcopy_link *l, uint32_t wait_ms, struct hotcopy_event *out)
{
	struct pollfd p[] = { { .fd = l->fd, .events = POLLRDHUP },
		{ .fd = l->woken, .events = POLLIN } };
	uint64_t now = now_ms(), until = now + wait_ms;
	struct hotcopy_event e;
	uint32_t status;
	size_t given;

	for (;; now = now_ms()) {
		status = hotcopy_link_call(l, CODE_EVENT, NULL, 0, &e, sizeof(e), &given);
		if (status != PENDING || now >= until)
			break;
		/* Other threads' answers wake nobody here, the end of the link does. */
		if (poll(p, 2,
			until - now < EVENT_EVERY_MS ? (int)(until - now)
						     : (int)EVENT_EVERY_MS) > 0 &&
		    was_woken(l))
			return 0;
	}
	if (status == PENDING)
		return 0;
	if (status == HOTCOPY_OK && given == sizeof(e) && e.h.size == sizeof(e) &&
	    e.h.abi == HOTCOPY_ABI) {
		*out = e;
		return 1;
	}
	give_up(l);
	return -1;
}

/* ----------------------------------------------------------------------- life -- */

/* "hotcopy:SOCKET:NAME": its socket, and the name or NULL; -1: it is no such path. */
static int
take_apart(const char *path, struct sockaddr_un *a, const char **name)
{
	const char *colon;
	size_t n;

	if (path == NULL || strncmp(path, HOTCOPY_PLACE, strlen(HOTCOPY_PLACE)) != 0)
		return -1;
	path += strlen(HOTCOPY_PLACE);
	colon = strrchr(path, ':');
	n = colon != NULL ? (size_t)(colon - path) : strlen(path);
	if (n == 0 || n >= sizeof(a->sun_path))
		return -1;
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	memcpy(a->sun_path, path, n);
	*name = colon != NULL && colon[1] != '\0' ? colon + 1 : NULL;
	return 0;
}

static int
join(struct hotcopy_link *l, const struct sockaddr_un *a, struct err *err)
{
	l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	l->woken = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (l->fd < 0 || l->woken < 0)
		return err_os(err, errno, "a socket for %s", a->sun_path);
	if (connect(l->fd, (const struct sockaddr *)a, sizeof(*a)) == 0)
		return 0;
	if (errno == EACCES || errno == EPERM)
		return err_set(err, ERR_DENIED,
		    "%s: the simulator answers who started it and root alone",
		    a->sun_path);
	return err_set(err, ERR_UNSUPPORTED, "%s: the simulator is not running (%s)",
	    a->sun_path, strerror(errno));
}

/* Does it speak as we do? */
static int
greet(struct hotcopy_link *l, const char *where, struct err *err)
{
	struct hotcopy_version v;
	uint32_t status;
	size_t given;

	status =
	    hotcopy_link_call(l, HOTCOPY_IOCTL_VERSION, NULL, 0, &v, sizeof(v), &given);
	if (status == HOTCOPY_GONE)
		return err_set(
		    err, ERR_UNSUPPORTED, "%s: the simulator does not answer", where);
	if (status != HOTCOPY_OK || given != sizeof(v) || v.h.size != sizeof(v) ||
	    v.h.abi != HOTCOPY_ABI)
		return err_set(
		    err, ERR_PROTOCOL, "%s: the simulator is of another version", where);
	return 0;
}

int
hotcopy_link_open(const char *path, struct hotcopy_link **out, struct err *err)
{
	struct hotcopy_link *l;
	struct sockaddr_un a;
	const char *name;

	if (path == NULL)
		return err_set(err, ERR_UNSUPPORTED,
		    "the hot-copy driver is for Windows; its simulator is "
		    "called " HOTCOPY_PLACE "SOCKET:NAME");
	if (take_apart(path, &a, &name) != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s is no volume of the simulator (" HOTCOPY_PLACE "SOCKET:NAME)",
		    path);
	if ((l = calloc(1, sizeof(*l))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a link to the driver");
	l->fd = l->woken = -1;
	(void)pthread_mutex_init(&l->mutex, NULL);
	l->where = a;
	if (join(l, &a, err) != 0 || greet(l, a.sun_path, err) != 0) {
		hotcopy_link_close(l);
		return -1;
	}
	*out = l;
	return 0;
}

void
hotcopy_link_close(struct hotcopy_link *l)
{
	if (l == NULL)
		return;
	if (l->fd >= 0)
		(void)close(l->fd);
	if (l->woken >= 0)
		(void)close(l->woken);
	(void)pthread_mutex_destroy(&l->mutex);
	free(l);
}

int
hotcopy_link_volume(
    struct hotcopy_link *l, const char *path, uint64_t *volume, struct err *err)
{
	struct hotcopy_attached a;
	struct sockaddr_un where;
	const char *name;
	uint32_t status;
	size_t given;

	if (take_apart(path, &where, &name) != 0 || name == NULL)
		return err_set(err, ERR_NOTFOUND,
		    "%s is no volume of the simulator (" HOTCOPY_PLACE "SOCKET:NAME)",
		    path);
	if (strcmp(where.sun_path, l->where.sun_path) != 0)
		return err_set(err, ERR_NOTFOUND, "%s: %s is another driver", path,
		    l->where.sun_path);
	status = hotcopy_link_call(
	    l, HOTCOPY_IOCTL_ATTACHED, name, strlen(name), &a, sizeof(a), &given);
	if (status == HOTCOPY_OK && given == sizeof(a) && a.h.size == sizeof(a) &&
	    a.h.abi == HOTCOPY_ABI) {
		*volume = a.volume;
		return 0;
	}
	if (status == HOTCOPY_OK || status == HOTCOPY_GONE)
		return err_set(err, ERR_IO, "%s: the simulator's answer is none", path);
	return err_set(err, ERR_NOTFOUND, "%s: the simulator has no such disk", path);
}
