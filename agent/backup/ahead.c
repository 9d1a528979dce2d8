#include "agent/backup/ahead.h"

#include <stdlib.h>

#include "proto/base/err.h"
#include "proto/chunk/tree.h"

struct ahead {
	struct extent *heap; /* heap[0] is the lowest; children of i at 2i+1, 2i+2. */
	size_t count, cap, max;
};

struct ahead *
ahead_new(size_t max)
{
	struct ahead *a = calloc(1, sizeof(*a));

	if (a != NULL)
		a->max = max;
	return a;
}

void
ahead_free(struct ahead *a)
{
	if (a == NULL)
		return;
	free(a->heap);
	free(a);
}

size_t
ahead_count(const struct ahead *a)
{
	return a->count;
}

static int
grow(struct ahead *a, struct err *err)
{
	size_t cap = a->cap == 0 ? 256 : a->cap * 2;
	struct extent *heap;

	if (a->count == a->max)
		return err_set(
		    err, ERR_LIMIT, "more than %zu pieces of files lie ahead", a->max);
	if (cap > a->max)
		cap = a->max;
	if ((heap = realloc(a->heap, cap * sizeof(*heap))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	a->heap = heap;
	a->cap = cap;
	return 0;
}

int
ahead_push(struct ahead *a, const struct extent *e, struct err *err)
{
	size_t i, up;

	if (a->count == a->cap && grow(a, err) != 0)
		return -1;
	for (i = a->count++; i > 0; i = up) {
		up = (i - 1) / 2;
		if (a->heap[up].offset <= e->offset)
			break;
		a->heap[i] = a->heap[up];
	}
	a->heap[i] = *e;
	return 0;
}

int
ahead_pop(struct ahead *a, uint64_t offset, struct extent *out)
{
	struct extent last;
	size_t i, child;

	if (a->count == 0 || a->heap[0].offset >= offset)
		return 0;
	*out = a->heap[0];
	last = a->heap[--a->count];
	for (i = 0; (child = 2 * i + 1) < a->count; i = child) {
		if (child + 1 < a->count &&
		    a->heap[child + 1].offset < a->heap[child].offset)
			child++;
		if (last.offset <= a->heap[child].offset)
			break;
		a->heap[i] = a->heap[child];
	}
	a->heap[i] = last;
	return 1;
}
