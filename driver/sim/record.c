#include "driver/sim/record.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct record {
	pthread_mutex_t mutex; /* The order in the file is the order of what happened. */
	int fd;		       /* -1: it could not be written any more */
	uint64_t next;
};

struct record *
record_open(const char *path)
{
	struct record *r = calloc(1, sizeof *r);

	if (r == NULL)
		return NULL;
	r->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (r->fd < 0) {
		free(r);
		return NULL;
	}
	pthread_mutex_init(&r->mutex, NULL);
	return r;
}

void
record_close(struct record *r)
{
	if (r == NULL)
		return;
	if (r->fd >= 0)
		close(r->fd);
	pthread_mutex_destroy(&r->mutex);
	free(r);
}

static void
put(unsigned char *to, uint64_t value, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		to[i] = (unsigned char)(value >> 8 * i);
}

static int
write_all(int fd, const unsigned char *from, size_t left)
{
	while (left > 0) {
		ssize_t n = write(fd, from, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		from += n;
		left -= (size_t)n;
	}
	return 0;
}

/* The data must not be torn from its head by another thread's record. */
static uint64_t
append(struct record *r, const unsigned char head[RECORD_HEAD], const void *data,
    uint32_t length)
{
	uint64_t number;

	pthread_mutex_lock(&r->mutex);
	number = r->next++;
	if (r->fd >= 0 && (write_all(r->fd, head, RECORD_HEAD) != 0 ||
			      (data != NULL && write_all(r->fd, data, length) != 0))) {
		fprintf(stderr, "record: %s: no more is recorded\n", strerror(errno));
		close(r->fd);
		r->fd = -1;
	}
	pthread_mutex_unlock(&r->mutex);
	return number;
}

uint64_t
record_begin(struct record *r, enum record_kind kind, uint64_t volume, uint64_t offset,
    uint32_t length, const void *data)
{
	unsigned char head[RECORD_HEAD] = { 0 };

	if (r == NULL)
		return 0;
	put(head, kind, 4);
	put(head + 4, length, 4);
	put(head + 8, volume, 8);
	put(head + 16, offset, 8);
	return append(r, head, kind == RECORD_WRITE ? data : NULL, length);
}

void
record_end(struct record *r, uint64_t begun, bool failed)
{
	unsigned char head[RECORD_HEAD] = { 0 };

	if (r == NULL)
		return;
	put(head, RECORD_END, 4);
	put(head + 24, begun, 8);
	put(head + 32, failed, 4);
	append(r, head, NULL, 0);
}

void
record_mark(struct record *r, enum record_kind kind, uint64_t set, bool failed)
{
	unsigned char head[RECORD_HEAD] = { 0 };

	if (r == NULL)
		return;
	put(head, kind, 4);
	put(head + 8, set, 8);
	put(head + 32, failed, 4);
	append(r, head, NULL, 0);
}
