/*
 * A radix sort from the first byte on, in place: each record is moved at most
 * once for each of its bytes, so an enemy finds no bad case, and nothing
 * recurses: what is left to do stands on a stack that cannot overflow.
 */
#include "agent/map/sorter_order.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/sorter.h"
#include "proto/base/err.h"

/* Fewer records than this are put in order one by one. */
#define FEW 24u

/* Records [from, from + n) agree in their first `depth` bytes. */
struct part {
	uint32_t from, n, depth;
};

struct todo {
	uint32_t n;
	struct part part[256 * SORTER_RECORD_MAX];
};

static int
in_order(const uint8_t *p, uint32_t n, uint32_t record)
{
	for (uint32_t i = 1; i < n; i++, p += record)
		if (memcmp(p, p + record, record) > 0)
			return 0;
	return 1;
}

static void
insert_each(uint8_t *p, uint32_t n, uint32_t record, uint32_t depth)
{
	uint8_t held[SORTER_RECORD_MAX];
	uint8_t *at;

	for (uint32_t i = 1; i < n; i++) {
		at = p + (size_t)i * record;
		if (memcmp(at - record + depth, at + depth, record - depth) <= 0)
			continue;
		memcpy(held, at, record);
		do {
			memcpy(at, at - record, record);
			at -= record;
		} while (at > p &&
			 memcmp(at - record + depth, held + depth, record - depth) > 0);
		memcpy(at, held, record);
	}
}

/* Bring each record of the part to its bucket; `end` has where each bucket ends. */
static void
distribute(
    uint8_t *p, uint32_t record, uint32_t depth, const uint32_t *count, uint32_t *end)
{
	uint8_t held[SORTER_RECORD_MAX], moved[SORTER_RECORD_MAX];
	uint32_t next[256], sum = 0, b, to;

	for (b = 0; b < 256; b++) {
		next[b] = sum;
		sum += count[b];
		end[b] = sum;
	}
	for (b = 0; b < 256; b++) {
		while (next[b] < end[b]) {
			memcpy(held, p + (size_t)next[b] * record, record);
			while ((to = held[depth]) != b) {
				uint8_t *place = p + (size_t)next[to]++ * record;

				memcpy(moved, place, record);
				memcpy(place, held, record);
				memcpy(held, moved, record);
			}
			memcpy(p + (size_t)next[b]++ * record, held, record);
		}
	}
}

/* Sort a part by its next byte; what then is not in order goes on the stack. */
static void
split(uint8_t *all, struct part it, uint32_t record, struct todo *todo)
{
	uint8_t *p = all + (size_t)it.from * record;
	uint32_t count[256], end[256], start, b;

	for (;; it.depth++) {
		if (it.depth == record)
			return;
		if (it.n < FEW) {
			insert_each(p, it.n, record, it.depth);
			return;
		}
		memset(count, 0, sizeof(count));
		for (uint32_t i = 0; i < it.n; i++)
			count[p[(size_t)i * record + it.depth]]++;
		if (count[p[it.depth]] < it.n)
			break;
	}
	distribute(p, record, it.depth, count, end);
	for (b = 0, start = 0; b < 256; start = end[b++])
		if (count[b] > 1) {
			assert(todo->n < sizeof(todo->part) / sizeof(todo->part[0]));
			todo->part[todo->n++] =
			    (struct part){ it.from + start, count[b], it.depth + 1 };
		}
}

int
sorter_order(uint8_t *p, uint32_t n, uint32_t record, struct err *err)
{
	struct todo *todo;

	assert(record >= 1 && record <= SORTER_RECORD_MAX);
	if (in_order(p, n, record))
		return 0;
	if ((todo = malloc(sizeof(*todo))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to sort");
	todo->n = 1;
	todo->part[0] = (struct part){ 0, n, 0 };
	while (todo->n > 0)
		split(p, todo->part[--todo->n], record, todo);
	free(todo);
	return 0;
}
