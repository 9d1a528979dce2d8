#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/target_medium.h"
#include "proto/base/err.h"

struct target_ends {
	struct target_medium m;
	struct target_medium *under;
	uint64_t head, tail;  /* Bytes of both that are held; together all or less. */
	pthread_mutex_t lock; /* Guards the rest. */
	int begun;	      /* Zeros are where the ends will be. */
	uint8_t *held;	      /* The head, then the tail. */
};

/* Where the run of bytes from `offset` is held, or NULL; `*len` of them lie together. */
static uint8_t *
held_at(const struct target_ends *t, uint64_t offset, uint64_t *len)
{
	uint64_t end = t->m.size - t->tail;
	uint64_t until = offset < t->head ? t->head : offset < end ? end : t->m.size;

	if (*len > until - offset)
		*len = until - offset;
	if (offset < t->head)
		return t->held + offset;
	return offset < end ? NULL : t->held + t->head + (offset - end);
}

static int
write_ends(
    struct target_ends *t, const uint8_t *head, const uint8_t *tail, struct err *err)
{
	struct target_medium *u = t->under;

	/* The begin leads to all else: it goes first, and comes back last. */
	if (head != NULL && u->ops->write(u, 0, head, t->head, err) != 0)
		return -1;
	if (tail != NULL && t->tail > 0 &&
	    u->ops->write(u, t->m.size - t->tail, tail, t->tail, err) != 0)
		return -1;
	return u->ops->settle(u, err);
}

/* Something changes: until all is written nobody shall take it for a volume. */
static int
begin(struct target_ends *t, struct err *err)
{
	static const uint8_t zeros[TARGET_END];
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	if (!t->begun)
		rc = write_ends(t, zeros, zeros, err);
	t->begun |= rc == 0;
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int
ends_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct target_ends *t = (struct target_ends *)m;
	uint8_t *held;

	for (uint64_t n = len; len > 0; offset += n, out += n, len -= n, n = len) {
		held = held_at(t, offset, &n);
		if (held != NULL) {
			pthread_mutex_lock(&t->lock);
			memcpy(out, held, n);
			pthread_mutex_unlock(&t->lock);
		} else if (t->under->ops->read(t->under, offset, out, n, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int
ends_write(struct target_medium *m, uint64_t offset, const uint8_t *p, size_t len,
    struct err *err)
{
	struct target_ends *t = (struct target_ends *)m;
	uint8_t *held;

	if (begin(t, err) != 0)
		return -1;
	for (uint64_t n = len; len > 0; offset += n, p += n, len -= n, n = len) {
		held = held_at(t, offset, &n);
		if (held != NULL) {
			pthread_mutex_lock(&t->lock);
			memcpy(held, p, n);
			pthread_mutex_unlock(&t->lock);
		} else if (t->under->ops->write(t->under, offset, p, n, err) != 0) {
			return -1;
		}
	}
	return 0;
}

static int
ends_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct target_ends *t = (struct target_ends *)m;
	struct err ignored = ERR_INIT;
	uint8_t *held;

	if (begin(t, &ignored) != 0)
		return 0;
	for (uint64_t n = len; len > 0; offset += n, len -= n, n = len) {
		held = held_at(t, offset, &n);
		if (held != NULL) {
			pthread_mutex_lock(&t->lock);
			memset(held, 0, n);
			pthread_mutex_unlock(&t->lock);
		} else if (!t->under->ops->zero(t->under, offset, n)) {
			return 0;
		}
	}
	return 1;
}

static void
ends_discard(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct target_ends *t = (struct target_ends *)m;

	/* A discard alone changes what a volume holds, too. */
	if (t->under->ops->discard == NULL || begin(t, &(struct err)ERR_INIT) != 0)
		return;
	for (uint64_t n = len; len > 0; offset += n, len -= n, n = len)
		if (held_at(t, offset, &n) == NULL)
			t->under->ops->discard(t->under, offset, n);
}

static void
ends_onward(struct target_medium *m)
{
	struct target_ends *t = (struct target_ends *)m;

	if (t->under->ops->onward != NULL)
		t->under->ops->onward(t->under);
}

static int
ends_settle(struct target_medium *m, struct err *err)
{
	struct target_ends *t = (struct target_ends *)m;

	return t->under->ops->settle(t->under, err);
}

/*
 * What makes it a volume is there when it is read back from the medium; else it shall be
 * none.
 */
static int
prove_ends(struct target_ends *t, struct err *err)
{
	static const uint8_t zeros[TARGET_END];
	struct target_medium *u = t->under;
	struct err ignored = ERR_INIT;
	uint8_t *is = malloc(2 * TARGET_END);
	int rc = -1;

	if (is == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (u->ops->read(u, 0, is, t->head, err) == 0 &&
	    u->ops->read(u, t->m.size - t->tail, is + t->head, t->tail, err) == 0)
		rc = memcmp(is, t->held, t->head + t->tail) == 0
			 ? 0
			 : err_set(err, ERR_CORRUPT,
			       "%s: its begin and end are not as written when read back",
			       t->m.path);
	if (rc != 0)
		(void)write_ends(t, zeros, NULL, &ignored);
	free(is);
	return rc;
}

static int
ends_finish(struct target_medium *m, struct err *err)
{
	struct target_ends *t = (struct target_ends *)m;

	if (t->begun &&
	    (write_ends(t, NULL, t->held + t->head, err) != 0 ||
		write_ends(t, t->held, NULL, err) != 0 || prove_ends(t, err) != 0))
		return -1;
	return t->under->ops->finish(t->under, err);
}

static void
ends_close(struct target_medium *m)
{
	struct target_ends *t = (struct target_ends *)m;

	t->under->ops->close(t->under);
	pthread_mutex_destroy(&t->lock);
	free(t->held);
	free(t);
}

static const struct target_medium_ops ends_ops = {
	.read = ends_read,
	.write = ends_write,
	.zero = ends_zero,
	.discard = ends_discard,
	.onward = ends_onward,
	.settle = ends_settle,
	.finish = ends_finish,
	.close = ends_close,
};

int
target_medium_ends(
    struct target_medium *under, struct target_medium **out, struct err *err)
{
	struct target_ends *t = calloc(1, sizeof(*t));
	uint64_t size = under->size;

	if (t == NULL || (t->held = malloc(2 * TARGET_END)) == NULL) {
		free(t);
		under->ops->close(under);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	t->m = *under;
	t->m.ops = &ends_ops;
	t->under = under;
	t->head = size < TARGET_END ? size : TARGET_END;
	t->tail = size - t->head < TARGET_END ? size - t->head : TARGET_END;
	pthread_mutex_init(&t->lock, NULL);
	/* What nobody writes stays as it was. */
	if (under->ops->read(under, 0, t->held, t->head, err) != 0 ||
	    under->ops->read(under, size - t->tail, t->held + t->head, t->tail, err) !=
		0) {
		ends_close(&t->m);
		return -1;
	}
	*out = &t->m;
	return 0;
}
