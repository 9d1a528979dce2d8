/*
 * In the spill file a piece is a row of pages, all full but its last: 16 bytes
 * of the page's BLAKE3, then records.  A page that does not match is a failure
 * and never a wrong order: who reads what we give relies on it.
 */
#include "agent/map/sorter.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/sorter_order.h"
#include "agent/map/spill.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

/* Pieces merged at a time, and bytes of a page of each. */
#define FAN_IN_MAX 128u
#define PAGE_MAX 65536u
#define HASH_LEN 16u

/* Sorted records in the spill file. */
struct piece {
	uint64_t at; /* Byte of the file. */
	uint64_t count;
};

/* A place in a piece; `page` holds HASH_LEN + a page. */
struct reader {
	uint64_t at, left; /* The next page, and records from there on. */
	uint32_t pos, held;
	uint8_t *page;
};

struct file {
	void *handle; /* NULL: not opened. */
	uint64_t len;
	struct piece *piece;
	uint32_t count, room;
};

struct sorter {
	uint32_t record; /* Bytes. */
	uint32_t per_page, fan_in, held_max;
	const struct spill *spill;
	uint64_t count, spilled;
	int finished;

	uint8_t *buf; /* Records not in order yet; or all, if nothing was spilled. */
	uint32_t held, room, next;

	struct file file;
	uint8_t *out; /* A page on its way to the file. */
	struct reader reader[FAN_IN_MAX];
	uint32_t heap[FAN_IN_MAX]; /* Readers, the one with the lowest record first. */
	uint32_t readers, in_heap;
	int given; /* The first's record was given and is to be passed. */
};

struct sorter *
sorter_new(uint32_t record, size_t memory, const struct spill *spill)
{
	struct sorter *s = calloc(1, sizeof(*s));
	size_t page;

	assert(record >= 1 && record <= SORTER_RECORD_MAX);
	if (s == NULL)
		return NULL;
	s->record = record;
	s->spill = spill;
	s->held_max = (uint32_t)(memory / record > 1 ? memory / record : 1);
	s->fan_in = (uint32_t)(memory / (16 * (size_t)record + HASH_LEN));
	s->fan_in = s->fan_in < 3	     ? 2
		    : s->fan_in > FAN_IN_MAX ? FAN_IN_MAX
					     : s->fan_in - 1;
	page = memory / (s->fan_in + 1) / record;
	s->per_page = (uint32_t)(page > PAGE_MAX / record ? PAGE_MAX / record
				 : page > 1		  ? page
							  : 1);
	return s;
}

static void
file_close(struct sorter *s, struct file *f)
{
	if (f->handle != NULL)
		s->spill->ops->close(f->handle);
	free(f->piece);
	memset(f, 0, sizeof(*f));
}

static void
readers_free(struct sorter *s)
{
	for (uint32_t i = 0; i < s->readers; i++)
		free(s->reader[i].page);
	s->readers = s->in_heap = 0;
}

void
sorter_free(struct sorter *s)
{
	if (s == NULL)
		return;
	readers_free(s);
	file_close(s, &s->file);
	free(s->buf);
	free(s->out);
	free(s);
}

static int
no_memory(struct err *err)
{
	return err_set(err, ERR_NOMEM, "no memory to sort");
}

/* Bytes of a page of `n` records in a file. */
static uint32_t
page_len(const struct sorter *s, uint64_t n)
{
	return HASH_LEN + (uint32_t)n * s->record;
}

static uint32_t
page_records(const struct sorter *s, uint64_t left)
{
	return left < s->per_page ? (uint32_t)left : s->per_page;
}

/* ------------------------------------------------------------------ writing -- */

/* A new piece at the end of `f`, open for put_records(). */
static int
begin_piece(struct sorter *s, struct file *f, struct err *err)
{
	struct piece *grown;
	uint32_t room;

	if (f->handle == NULL &&
	    s->spill->ops->open(s->spill->arg, &f->handle, err) == -1)
		return -1;
	if (s->out == NULL && (s->out = malloc(page_len(s, s->per_page))) == NULL)
		return no_memory(err);
	if (f->count == f->room) {
		room = f->room + f->room / 2 + 16;
		if ((grown = realloc(f->piece, room * sizeof(*grown))) == NULL)
			return no_memory(err);
		f->piece = grown;
		f->room = room;
	}
	f->piece[f->count++] = (struct piece){ f->len, 0 };
	return 0;
}

/* A page of `n` records, which are in s->out, to the end of the last piece. */
static int
put_page(struct sorter *s, struct file *f, uint32_t n, struct err *err)
{
	uint32_t len = page_len(s, n);

	if (len > SPILL_MAX - f->len)
		return err_set(err, ERR_LIMIT, "more than %llu bytes to sort",
		    (unsigned long long)SPILL_MAX);
	blake3(s->out + HASH_LEN, len - HASH_LEN, NULL, s->out, HASH_LEN);
	if (s->spill->ops->write(f->handle, f->len, s->out, len, err) == -1)
		return -1;
	f->len += len;
	s->spilled += len;
	f->piece[f->count - 1].count += n;
	return 0;
}

/* What is in memory becomes a piece. */
static int
spill_buf(struct sorter *s, struct err *err)
{
	uint32_t n;

	if (sorter_order(s->buf, s->held, s->record, err) == -1 ||
	    begin_piece(s, &s->file, err) == -1)
		return -1;
	for (uint32_t at = 0; at < s->held; at += n) {
		n = page_records(s, s->held - at);
		memcpy(s->out + HASH_LEN, s->buf + (size_t)at * s->record,
		    (size_t)n * s->record);
		if (put_page(s, &s->file, n, err) == -1)
			return -1;
	}
	s->held = 0;
	return 0;
}

/* Have room for one more record in memory. */
static int
make_room(struct sorter *s, struct err *err)
{
	uint8_t *grown;
	uint32_t room;

	if (s->held < s->room)
		return 0;
	if (s->held == s->held_max) {
		if (s->spill == NULL)
			return err_set(
			    err, ERR_LIMIT, "more than %u records to sort", s->held_max);
		return spill_buf(s, err);
	}
	room = s->room + s->room / 2 + 1024;
	if (room > s->held_max)
		room = s->held_max;
	if ((grown = realloc(s->buf, (size_t)room * s->record)) == NULL)
		return no_memory(err);
	s->buf = grown;
	s->room = room;
	return 0;
}

int
sorter_add(struct sorter *s, const uint8_t *record, struct err *err)
{
	assert(!s->finished);
	if (make_room(s, err) == -1)
		return -1;
	memcpy(s->buf + (size_t)s->held++ * s->record, record, s->record);
	s->count++;
	return 0;
}

/* ------------------------------------------------------------------ merging -- */

static const uint8_t *
record_of(const struct sorter *s, const struct reader *r)
{
	return r->page + HASH_LEN + (size_t)r->pos * s->record;
}

/* Go to the next record: 1, 0 at the piece's end, -1. */
static int
advance(struct sorter *s, struct reader *r, struct err *err)
{
	uint8_t hash[HASH_LEN];
	uint32_t len;

	if (++r->pos < r->held)
		return 1;
	if (r->left == 0)
		return 0;
	r->held = page_records(s, r->left);
	r->pos = 0;
	len = page_len(s, r->held);
	if (s->spill->ops->read(s->file.handle, r->at, r->page, len, err) == -1)
		return -1;
	blake3(r->page + HASH_LEN, len - HASH_LEN, NULL, hash, HASH_LEN);
	if (memcmp(hash, r->page, HASH_LEN) != 0)
		return err_set(err, ERR_CORRUPT,
		    "a temporary file does not hold what was written to it");
	r->at += len;
	r->left -= r->held;
	return 1;
}

/* The reader at place `at` may be too high for its place. */
static void
sink(struct sorter *s, uint32_t at)
{
	uint32_t child, it = s->heap[at];
	const uint8_t *mine = record_of(s, &s->reader[it]), *p, *q;

	while ((child = 2 * at + 1) < s->in_heap) {
		p = record_of(s, &s->reader[s->heap[child]]);
		if (child + 1 < s->in_heap) {
			q = record_of(s, &s->reader[s->heap[child + 1]]);
			if (memcmp(q, p, s->record) < 0) {
				child++;
				p = q;
			}
		}
		if (memcmp(p, mine, s->record) >= 0)
			break;
		s->heap[at] = s->heap[child];
		at = child;
	}
	s->heap[at] = it;
}

/* Stand before the first record of pieces [first, first + n) together. */
static int
begin_merge(struct sorter *s, uint32_t first, uint32_t n, struct err *err)
{
	struct reader *r;

	readers_free(s);
	s->given = 0;
	for (uint32_t i = 0; i < n; i++) {
		r = &s->reader[i];
		memset(r, 0, sizeof(*r));
		if ((r->page = malloc(page_len(s, s->per_page))) == NULL)
			return no_memory(err);
		s->readers++;
		r->at = s->file.piece[first + i].at;
		r->left = s->file.piece[first + i].count;
		if (advance(s, r, err) == -1)
			return -1;
		s->heap[s->in_heap++] = i;
	}
	for (uint32_t i = s->in_heap / 2; i-- > 0;)
		sink(s, i);
	return 0;
}

static int
next_merged(struct sorter *s, const uint8_t **out, struct err *err)
{
	int more;

	if (s->in_heap > 0 && s->given) {
		if ((more = advance(s, &s->reader[s->heap[0]], err)) == -1)
			return -1;
		if (more == 0)
			s->heap[0] = s->heap[--s->in_heap];
		if (s->in_heap > 0)
			sink(s, 0);
	}
	if (s->in_heap == 0)
		return 0;
	s->given = 1;
	*out = record_of(s, &s->reader[s->heap[0]]);
	return 1;
}

/* Pieces [first, first + n) become one at the end of `to`. */
static int
merge_into(struct sorter *s, struct file *to, uint32_t first, uint32_t n, struct err *err)
{
	const uint8_t *p;
	uint32_t held = 0;
	int more;

	if (begin_piece(s, to, err) == -1 || begin_merge(s, first, n, err) == -1)
		return -1;
	while ((more = next_merged(s, &p, err)) == 1) {
		memcpy(s->out + HASH_LEN + (size_t)held * s->record, p, s->record);
		if (++held < s->per_page)
			continue;
		if (put_page(s, to, held, err) == -1)
			return -1;
		held = 0;
	}
	if (more == -1)
		return -1;
	return held > 0 ? put_page(s, to, held, err) : 0;
}

/* Until one merge takes all pieces. */
static int
merge_down(struct sorter *s, struct err *err)
{
	struct file to = { 0 };
	uint32_t n;

	while (s->file.count > s->fan_in) {
		for (uint32_t at = 0; at < s->file.count; at += n) {
			n = s->file.count - at < s->fan_in ? s->file.count - at
							   : s->fan_in;
			if (merge_into(s, &to, at, n, err) == -1) {
				file_close(s, &to);
				return -1;
			}
		}
		file_close(s, &s->file);
		s->file = to;
		memset(&to, 0, sizeof(to));
	}
	free(s->out);
	s->out = NULL;
	return 0;
}

/* ------------------------------------------------------------------ reading -- */

int
sorter_finish(struct sorter *s, struct err *err)
{
	s->finished = 1;
	if (s->file.count == 0)
		return sorter_order(s->buf, s->held, s->record, err);
	if (s->held > 0 && spill_buf(s, err) == -1)
		return -1;
	free(s->buf);
	s->buf = NULL;
	s->room = 0;
	if (merge_down(s, err) == -1)
		return -1;
	return begin_merge(s, 0, s->file.count, err);
}

int
sorter_rewind(struct sorter *s, struct err *err)
{
	assert(s->finished);
	s->next = 0;
	return s->file.count > 0 ? begin_merge(s, 0, s->file.count, err) : 0;
}

int
sorter_next(struct sorter *s, const uint8_t **out, struct err *err)
{
	assert(s->finished);
	if (s->file.count > 0)
		return next_merged(s, out, err);
	if (s->next == s->held)
		return 0;
	*out = s->buf + (size_t)s->next++ * s->record;
	return 1;
}

uint64_t
sorter_count(const struct sorter *s)
{
	return s->count;
}

uint64_t
sorter_memory(const struct sorter *s)
{
	return sizeof(*s) + (uint64_t)s->room * s->record +
	       (uint64_t)s->readers * page_len(s, s->per_page) +
	       s->file.room * sizeof(*s->file.piece) +
	       (s->out != NULL ? page_len(s, s->per_page) : 0);
}

uint64_t
sorter_spilled(const struct sorter *s)
{
	return s->spilled;
}
