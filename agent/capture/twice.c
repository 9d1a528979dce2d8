#include "agent/capture/twice.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

/* Reads that follow each other are one note, of this length at most. */
#define NOTE_MAX (64ull * 1024 * 1024)
#define NOTES_MAX (1024u * 1024)
#define NOTES_STEP 1024u
#define AGAIN_LEN (512u * 1024) /* Bytes of one read of twice_settled(). */
#define SUM_LEN 16u

struct note {
	uint64_t offset, len;
	uint8_t sum[SUM_LEN];
};

struct twice {
	struct twice_source src;
	pthread_mutex_t lock; /* All below. */
	struct note *notes;
	size_t count, room;
	/* The note that may still grow. */
	struct note open;
	struct blake3 hash;
	int failed; /* A note was lost: nothing can be proven. */
};

struct twice *
twice_new(const struct twice_source *src)
{
	struct twice *l = calloc(1, sizeof(*l));

	if (l == NULL || pthread_mutex_init(&l->lock, NULL) != 0) {
		free(l);
		return NULL;
	}
	l->src = *src;
	return l;
}

void
twice_free(struct twice *l)
{
	if (l == NULL)
		return;
	(void)pthread_mutex_destroy(&l->lock);
	free(l->notes);
	free(l);
}

/* The open note becomes one of the list. */
static int
close_note(struct twice *l, struct err *err)
{
	struct note *more;

	if (l->open.len == 0)
		return 0;
	if (l->count == l->room) {
		if (l->room == NOTES_MAX)
			return err_set(err, ERR_LIMIT,
			    "more pieces of a disk in use than can be remembered");
		more = realloc(l->notes, (l->room + NOTES_STEP) * sizeof(*more));
		if (more == NULL)
			return err_set(err, ERR_NOMEM, "no memory to note what was read");
		l->notes = more;
		l->room += NOTES_STEP;
	}
	blake3_final(&l->hash, l->open.sum, SUM_LEN);
	l->notes[l->count++] = l->open;
	l->open.len = 0;
	return 0;
}

static int
take_note(struct twice *l, uint64_t offset, const void *p, size_t len, struct err *err)
{
	if (l->open.len > 0 &&
	    (l->open.offset + l->open.len != offset || l->open.len >= NOTE_MAX) &&
	    close_note(l, err) != 0)
		return -1;
	if (l->open.len == 0) {
		l->open.offset = offset;
		blake3_init(&l->hash, NULL);
	}
	blake3_update(&l->hash, p, len);
	l->open.len += len;
	return 0;
}

int
twice_read(struct twice *l, uint64_t offset, void *buf, size_t len, struct err *err)
{
	int rc;

	if (len == 0)
		return 0;
	if (l->src.read(l->src.arg, offset, buf, len, err) != 0)
		return -1;
	(void)pthread_mutex_lock(&l->lock);
	rc = take_note(l, offset, buf, len, err);
	l->failed |= rc != 0;
	(void)pthread_mutex_unlock(&l->lock);
	return rc;
}

/* The same bytes again?  1, 0, -1. */
static int
is_same(const struct twice *l, const struct note *n, uint8_t *buf, struct err *err)
{
	uint8_t sum[SUM_LEN];
	struct blake3 hash;
	uint64_t done;
	size_t len;

	blake3_init(&hash, NULL);
	for (done = 0; done < n->len; done += len) {
		len = n->len - done < AGAIN_LEN ? (size_t)(n->len - done) : AGAIN_LEN;
		if (l->src.read(l->src.arg, n->offset + done, buf, len, err) != 0)
			return -1;
		blake3_update(&hash, buf, len);
	}
	blake3_final(&hash, sum, SUM_LEN);
	return memcmp(sum, n->sum, SUM_LEN) == 0;
}

int
twice_settled(struct twice *l, struct err *err)
{
	uint8_t *buf;
	int rc = 1;

	if (l->failed)
		return err_set(
		    err, ERR_LIMIT, "what was read of a disk in use was not noted");
	if (close_note(l, err) != 0)
		return -1;
	if ((buf = malloc(AGAIN_LEN)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read again");
	for (size_t i = 0; i < l->count && rc == 1; i++)
		rc = is_same(l, &l->notes[i], buf, err);
	free(buf);
	if (rc == 0)
		l->count = 0;
	return rc;
}
