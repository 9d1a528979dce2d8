/*
 * spill_array.h - a spill (agent/map/spill.h) in memory, whose n-th call fails.
 */
#ifndef TESTS_UNIT_AGENT_SPILL_ARRAY_H
#define TESTS_UNIT_AGENT_SPILL_ARRAY_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/spill.h"
#include "proto/base/err.h"

struct spill_array {
	struct spill spill; /* Give this away. */
	unsigned files;	    /* Open now. */
	uint64_t opens, writes, reads;
	uint64_t fail_open, fail_write, fail_read; /* Which fails; 0: none. */
	uint64_t spoil_read; /* This one gives bytes that were never written. */
};

struct spill_array_file {
	struct spill_array *of;
	uint8_t *p;
	uint64_t len, room;
};

static inline int
spill_array_open(void *arg, void **out, struct err *err)
{
	struct spill_array *a = arg;
	struct spill_array_file *f;

	if (++a->opens == a->fail_open)
		return err_set(err, ERR_IO, "no such directory");
	f = calloc(1, sizeof(*f));
	assert(f != NULL);
	f->of = a;
	a->files++;
	*out = f;
	return 0;
}

static inline int
spill_array_write(void *file, uint64_t offset, const void *p, size_t len, struct err *err)
{
	struct spill_array_file *f = file;

	assert(offset == f->len);
	if (++f->of->writes == f->of->fail_write)
		return err_set(err, ERR_NOSPACE, "no space left");
	if (f->len + len > f->room) {
		f->room = 2 * (f->len + len);
		f->p = realloc(f->p, f->room);
		assert(f->p != NULL);
	}
	memcpy(f->p + offset, p, len);
	f->len += len;
	return 0;
}

static inline int
spill_array_read(void *file, uint64_t offset, void *p, size_t len, struct err *err)
{
	struct spill_array_file *f = file;

	assert(offset <= f->len && len <= f->len - offset);
	if (++f->of->reads == f->of->fail_read)
		return err_set(err, ERR_IO, "bad sector");
	memcpy(p, f->p + offset, len);
	if (f->of->reads == f->of->spoil_read)
		((uint8_t *)p)[len / 2] ^= 4;
	return 0;
}

static inline void
spill_array_close(void *file)
{
	struct spill_array_file *f = file;

	f->of->files--;
	free(f->p);
	free(f);
}

static inline void
spill_array_init(struct spill_array *a)
{
	static const struct spill_ops ops = { spill_array_open, spill_array_write,
		spill_array_read, spill_array_close };

	memset(a, 0, sizeof(*a));
	a->spill.ops = &ops;
	a->spill.arg = a;
}

#endif /* TESTS_UNIT_AGENT_SPILL_ARRAY_H */
