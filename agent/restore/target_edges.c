#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "agent/restore/target_medium.h"
#include "proto/base/err.h"

/*
 * Sectors that are put together at a time.  Parts that belong together come soon after
 * each other, since groups come in the order of the volume, nearly.
 */
#define SLOTS 2048u

/* A sector some of whose bytes are to be written. */
struct edge {
	uint64_t sector;
	uint32_t known;	  /* Bytes that are; 0: the slot is empty. */
	uint8_t *data;	  /* A sector. */
	uint8_t *present; /* A bit for each byte. */
};

struct target_edges {
	struct target_medium m;
	struct target_medium *under;
	uint32_t sector_size;
	pthread_mutex_t lock; /* Guards the slots, and their sectors below. */
	struct edge slots[SLOTS];
};

static struct edge *
slot_of(struct target_edges *t, uint64_t sector)
{
	return &t->slots[sector % SLOTS];
}

static int
has(const struct edge *e, uint32_t i)
{
	return e->present[i / 8] >> i % 8 & 1;
}

/* Under the lock: the sector goes where it belongs, the slot becomes empty. */
static int
write_out(struct target_edges *t, struct edge *e, struct err *err)
{
	uint8_t whole[TARGET_BLOCK];
	uint64_t at = e->sector * t->sector_size;

	if (e->known == 0)
		return 0;
	if (e->known < t->sector_size) {
		if (t->under->ops->read(t->under, at, whole, t->sector_size, err) != 0)
			return -1;
		for (uint32_t i = 0; i < t->sector_size; i++)
			if (!has(e, i))
				e->data[i] = whole[i];
	}
	e->known = 0;
	return t->under->ops->write(t->under, at, e->data, t->sector_size, err);
}

static int
make_slot(struct target_edges *t, struct edge *e, uint64_t sector, struct err *err)
{
	if (e->data == NULL &&
	    (e->data = malloc(t->sector_size + t->sector_size / 8)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (e->known > 0 && e->sector == sector)
		return 0;
	if (write_out(t, e, err) != 0)
		return -1;
	e->sector = sector;
	e->present = e->data + t->sector_size;
	memset(e->present, 0, t->sector_size / 8);
	return 0;
}

/* `len` bytes within one sector. */
static int
write_part(struct target_edges *t, uint64_t offset, const uint8_t *p, size_t len,
    struct err *err)
{
	uint64_t sector = offset / t->sector_size;
	uint32_t at = (uint32_t)(offset % t->sector_size);
	struct edge *e = slot_of(t, sector);
	int rc;

	pthread_mutex_lock(&t->lock);
	rc = make_slot(t, e, sector, err);
	for (uint32_t i = at; rc == 0 && i < at + len; i++) {
		e->data[i] = p[i - at];
		e->known += !has(e, i);
		e->present[i / 8] |= (uint8_t)(1u << i % 8);
	}
	if (rc == 0 && e->known == t->sector_size)
		rc = write_out(t, e, err);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

/* All of these sectors are somebody's who knows better than what was kept. */
static void
forget(struct target_edges *t, uint64_t offset, uint64_t len)
{
	uint64_t from = offset / t->sector_size, n = len / t->sector_size;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < SLOTS; i++)
		if (t->slots[i].known > 0 && t->slots[i].sector - from < n)
			t->slots[i].known = 0;
	pthread_mutex_unlock(&t->lock);
}

static int
edges_write(struct target_medium *m, uint64_t offset, const uint8_t *p, size_t len,
    struct err *err)
{
	struct target_edges *t = (struct target_edges *)m;
	uint32_t at = (uint32_t)(offset % t->sector_size);
	size_t n;

	for (; len > 0; offset += n, p += n, len -= n, at = 0) {
		n = t->sector_size - at;
		if (n > len)
			n = len;
		if (n < t->sector_size) {
			if (write_part(t, offset, p, n, err) != 0)
				return -1;
			continue;
		}
		n = len - len % t->sector_size;
		forget(t, offset, n);
		if (t->under->ops->write(t->under, offset, p, n, err) != 0)
			return -1;
	}
	return 0;
}

/* What is kept lies over what is there. */
static void
overlay(struct target_edges *t, uint64_t offset, uint8_t *out, size_t len)
{
	uint64_t at;

	pthread_mutex_lock(&t->lock);
	for (unsigned s = 0; s < SLOTS; s++) {
		const struct edge *e = &t->slots[s];

		at = e->sector * t->sector_size;
		if (e->known == 0 || at + t->sector_size <= offset || at >= offset + len)
			continue;
		for (uint32_t i = 0; i < t->sector_size; i++)
			if (has(e, i) && at + i >= offset && at + i < offset + len)
				out[at + i - offset] = e->data[i];
	}
	pthread_mutex_unlock(&t->lock);
}

static int
edges_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	struct target_edges *t = (struct target_edges *)m;
	uint8_t whole[TARGET_BLOCK];
	uint64_t begin = offset, first = offset;
	uint8_t *to = out;
	size_t left = len, n;
	uint32_t at;

	for (; left > 0; first += n, to += n, left -= n) {
		at = (uint32_t)(first % t->sector_size);
		n = left - left % t->sector_size;
		if (at == 0 && n > 0) {
			if (t->under->ops->read(t->under, first, to, n, err) != 0)
				return -1;
			continue;
		}
		n = t->sector_size - at < left ? t->sector_size - at : left;
		if (t->under->ops->read(
			t->under, first - at, whole, t->sector_size, err) != 0)
			return -1;
		memcpy(to, whole + at, n);
	}
	overlay(t, begin, out, len);
	return 0;
}

static int
edges_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct target_edges *t = (struct target_edges *)m;

	if (!t->under->ops->zero(t->under, offset, len))
		return 0;
	forget(t, offset, len);
	return 1;
}

static void
edges_discard(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct target_edges *t = (struct target_edges *)m;

	if (t->under->ops->discard != NULL)
		t->under->ops->discard(t->under, offset, len);
}

static void
edges_onward(struct target_medium *m)
{
	struct target_edges *t = (struct target_edges *)m;

	if (t->under->ops->onward != NULL)
		t->under->ops->onward(t->under);
}

static int
write_all_out(struct target_edges *t, struct err *err)
{
	int rc = 0;

	pthread_mutex_lock(&t->lock);
	for (unsigned i = 0; i < SLOTS && rc == 0; i++)
		rc = write_out(t, &t->slots[i], err);
	pthread_mutex_unlock(&t->lock);
	return rc;
}

static int
edges_settle(struct target_medium *m, struct err *err)
{
	struct target_edges *t = (struct target_edges *)m;

	return write_all_out(t, err) != 0 ? -1 : t->under->ops->settle(t->under, err);
}

static int
edges_finish(struct target_medium *m, struct err *err)
{
	struct target_edges *t = (struct target_edges *)m;

	return write_all_out(t, err) != 0 ? -1 : t->under->ops->finish(t->under, err);
}

static void
edges_close(struct target_medium *m)
{
	struct target_edges *t = (struct target_edges *)m;

	t->under->ops->close(t->under);
	for (unsigned i = 0; i < SLOTS; i++)
		free(t->slots[i].data);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

static const struct target_medium_ops edges_ops = {
	.read = edges_read,
	.write = edges_write,
	.zero = edges_zero,
	.discard = edges_discard,
	.onward = edges_onward,
	.settle = edges_settle,
	.finish = edges_finish,
	.close = edges_close,
};

int
target_medium_edges(struct target_medium *under, uint32_t sector_size,
    struct target_medium **out, struct err *err)
{
	struct target_edges *t = calloc(1, sizeof(*t));

	if (t == NULL || sector_size > TARGET_BLOCK || sector_size % 8 != 0) {
		under->ops->close(under);
		free(t);
		return t == NULL ? err_set(err, ERR_NOMEM, "out of memory")
				 : err_set(err, ERR_UNSUPPORTED,
				       "sectors of %u bytes are not written to",
				       (unsigned)sector_size);
	}
	t->m = *under;
	t->m.ops = &edges_ops;
	t->under = under;
	t->sector_size = sector_size;
	pthread_mutex_init(&t->lock, NULL);
	*out = &t->m;
	return 0;
}
