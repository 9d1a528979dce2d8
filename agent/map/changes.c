#include "agent/map/changes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

#define GRAIN_MIN 4096u
#define BITS_MAX (UINT64_C(32) << 20)
#define SLICE_LEN (UINT64_C(1) << 20)
#define ROOM 4096u /* For a line, and some of the next. */

struct changes {
	uint64_t size;
	unsigned shift;		/* A grain has 2^shift bytes. */
	unsigned slices, which; /* To be proven. */
	int only_owned, need_map;
	char why[160];
	size_t words;
	uint64_t bits[];
};

int
changes_new(uint64_t size, struct changes **out, struct err *err)
{
	unsigned shift = 12;
	struct changes *c;
	size_t words;

	while (((size - 1) >> shift) + 1 > BITS_MAX)
		shift++;
	words = (size_t)(((size - 1) >> shift) / 64 + 1);
	if ((c = calloc(1, sizeof(*c) + words * sizeof(c->bits[0]))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a list of changes");
	c->size = size;
	c->shift = shift;
	c->words = words;
	*out = c;
	return 0;
}

void
changes_free(struct changes *c)
{
	free(c);
}

void
changes_clear(struct changes *c)
{
	memset(c->bits, 0, c->words * sizeof(c->bits[0]));
	changes_again(c);
}

void
changes_again(struct changes *c)
{
	c->slices = c->which = 0;
	c->only_owned = c->need_map = 0;
	c->why[0] = '\0';
}

/* The grains [*first, *last] that the bytes lie in; 0 if they lie in none. */
static int
grains(const struct changes *c, uint64_t offset, uint64_t len, uint64_t *first,
    uint64_t *last)
{
	if (len == 0 || offset >= c->size)
		return 0;
	if (len > c->size - offset)
		len = c->size - offset;
	*first = offset >> c->shift;
	*last = (offset + len - 1) >> c->shift;
	return 1;
}

/* The bits of word `w` that are in [first, last]. */
static uint64_t
mask(uint64_t w, uint64_t first, uint64_t last)
{
	uint64_t m = ~UINT64_C(0);

	if (w == first / 64)
		m &= ~UINT64_C(0) << first % 64;
	if (w == last / 64)
		m &= ~UINT64_C(0) >> (63 - last % 64);
	return m;
}

void
changes_add(struct changes *c, uint64_t offset, uint64_t len)
{
	uint64_t first, last;

	if (!grains(c, offset, len, &first, &last))
		return;
	for (uint64_t w = first / 64; w <= last / 64; w++)
		c->bits[w] |= mask(w, first, last);
}

int
changes_touch(const struct changes *c, uint64_t offset, uint64_t len)
{
	uint64_t first, last;

	if (!grains(c, offset, len, &first, &last))
		return 0;
	for (uint64_t w = first / 64; w <= last / 64; w++)
		if ((c->bits[w] & mask(w, first, last)) != 0)
			return 1;
	return 0;
}

uint64_t
changes_alike(const struct changes *c, uint64_t offset, uint64_t len)
{
	uint64_t first, last, g, word, end;
	int set;

	if (!grains(c, offset, len, &first, &last))
		return len;
	set = c->bits[first / 64] >> first % 64 & 1;
	for (g = first; g <= last; g++) {
		/* Of each word what is otherwise; whole words that are not are passed. */
		word = set ? ~c->bits[g / 64] : c->bits[g / 64];
		if (g % 64 == 0 && word == 0)
			g += 63;
		else if ((word >> g % 64 & 1) != 0)
			break;
	}
	if (g > last && (!set || offset + len <= c->size))
		return len;
	end = g << c->shift < c->size ? g << c->shift : c->size;
	return end - offset < len ? end - offset : len;
}

uint64_t
changes_bytes(const struct changes *c)
{
	uint64_t n = 0, w;

	for (size_t i = 0; i < c->words; i++)
		for (w = c->bits[i]; w != 0; w &= w - 1)
			n++;
	n <<= c->shift;
	return n < c->size ? n : c->size;
}

void
changes_only_owned(struct changes *c)
{
	c->only_owned = 1;
}

int
changes_are_only_owned(const struct changes *c)
{
	return c->only_owned;
}

void
changes_need_map(struct changes *c)
{
	c->need_map = 1;
}

int
changes_do_need_map(const struct changes *c)
{
	return c->need_map;
}

void
changes_doubt(struct changes *c, const char *why)
{
	if (c->why[0] == '\0')
		(void)snprintf(c->why, sizeof(c->why), "%s", why);
}

const char *
changes_why(const struct changes *c)
{
	return c->why;
}

void
changes_slice(struct changes *c, unsigned slices, unsigned which)
{
	c->slices = slices;
	c->which = which;
}

int
changes_due(const struct changes *c, uint64_t offset)
{
	return c->slices > 0 && offset / SLICE_LEN % c->slices == c->which;
}

/* The lines of a file, one at a time; the first `from` of `held` bytes are done with. */
struct lines {
	struct file *f;
	uint64_t at; /* In the file, behind what is held. */
	size_t from, held;
	unsigned long n; /* Lines given. */
	char room[ROOM + 1];
};

/* The next line, ended by a NUL: 1, 0 at the end, -1.  NULL: too long, or no text. */
static int
next_line(struct lines *l, char **out, struct err *err)
{
	char *end = memchr(l->room + l->from, '\n', l->held - l->from);
	size_t got;

	if (end == NULL) {
		memmove(l->room, l->room + l->from, l->held - l->from);
		l->held -= l->from;
		l->from = 0;
		if (file_read(
			l->f, l->at, l->room + l->held, ROOM - l->held, &got, err) != 0)
			return -1;
		l->at += got;
		l->held += got;
		end = memchr(l->room, '\n', l->held);
	}
	if (l->held == l->from)
		return 0;
	l->n++;
	*out = l->room + l->from;
	if (end == NULL && l->held < ROOM)
		end = l->room + l->held;
	/* Bytes 0 are what a crash leaves of a list: who knows what was there. */
	if (end == NULL || memchr(*out, '\0', (size_t)(end - *out)) != NULL) {
		*out = NULL;
		return 1;
	}
	l->from = end < l->room + l->held ? (size_t)(end - l->room) + 1 : l->held;
	*end = '\0';
	return 1;
}

int
changes_load(struct changes *c, const char *path, struct err *err)
{
	struct lines *l = calloc(1, sizeof(*l));
	char *line;
	int rc = -1;

	if (l == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (file_open(path, FILE_IN_ORDER, &l->f, err) == 0) {
		while ((rc = next_line(l, &line, err)) == 1)
			if (line == NULL || !changes_take(c, line)) {
				rc = err_set(err, ERR_CORRUPT,
				    "%s:%lu: a range is two numbers of bytes: OFFSET "
				    "LENGTH",
				    path, l->n);
				break;
			}
		file_close(l->f);
	}
	free(l);
	return rc;
}
