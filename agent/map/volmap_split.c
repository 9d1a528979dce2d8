#include "agent/map/volmap_split.h"

#include <assert.h>

int
volmap_split_touches(
    const struct volmap_unkept *range, unsigned count, uint64_t offset, uint64_t len)
{
	unsigned low = 0, high = count, middle;

	/* The first that ends behind `offset`. */
	while (low < high) {
		middle = low + (high - low) / 2;
		if (range[middle].offset + range[middle].len <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < count && range[low].offset < offset + len;
}

/* Take `n` bytes from the front of the cut. */
static void
pass(struct volmap_split *s, uint64_t n)
{
	s->cut.offset += n;
	s->cut.len -= n;
}

/* The front of the cut that is not given yet is a range that nobody kept. */
static void
give_range(struct volmap_split *s, struct volmap_cut *out)
{
	const struct volmap_unkept *r = &s->range[s->at++];

	s->end = r->offset + r->len;
	*out = (struct volmap_cut){ .kind = VOLMAP_EXCLUDED,
		.offset = s->cut.offset,
		.len = s->end - s->cut.offset,
		.reason = r->reason };
}

/* As much of the cut as lies before the next range. */
static void
give_part(struct volmap_split *s, struct volmap_cut *out)
{
	uint64_t n = s->cut.len;

	if (s->at < s->count && s->range[s->at].offset - s->cut.offset < n)
		n = s->range[s->at].offset - s->cut.offset;
	*out = s->cut;
	out->len = n;
	if (out->count > 0) {
		s->piece.offset = s->cut.offset;
		s->piece.len = (uint32_t)n;
		out->piece = &s->piece;
	}
	pass(s, n);
}

/* See that there is a part of a cut which was not given yet: as volmap_next(). */
static int
fetch(struct volmap_split *s,
    int (*next)(void *arg, struct volmap_cut *out, struct err *err), void *arg,
    struct err *err)
{
	uint64_t given;
	int got;

	for (;;) {
		if (s->cut.len == 0 && (got = next(arg, &s->cut, err)) != 1) {
			s->cut.len = 0;
			return got;
		}
		given = s->end > s->cut.offset ? s->end - s->cut.offset : 0;
		pass(s, given < s->cut.len ? given : s->cut.len);
		if (s->cut.len > 0)
			return 1;
	}
}

int
volmap_split_next(struct volmap_split *s,
    int (*next)(void *arg, struct volmap_cut *out, struct err *err), void *arg,
    struct volmap_cut *out, struct err *err)
{
	int got = fetch(s, next, arg, err);

	if (got != 1)
		return got;
	if (s->cut.count > 1) {
		*out = s->cut;
		s->cut.len = 0;
		return 1;
	}
	while (s->at < s->count &&
	       s->range[s->at].offset + s->range[s->at].len <= s->cut.offset)
		s->at++;
	if (s->at < s->count && s->range[s->at].offset <= s->cut.offset)
		give_range(s, out);
	else
		give_part(s, out);
	assert(out->len > 0);
	return 1;
}
