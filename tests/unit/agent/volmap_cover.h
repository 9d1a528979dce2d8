/*
 * volmap_cover.h - walk a map over an array and look at what it covers: one
 * letter for each byte ('h' hole, 'x' excluded, 's' stream, 'd' data, 'r' region), while
 * every rule of agent/map/volmap.h about cuts is checked.
 */
#ifndef TESTS_UNIT_AGENT_VOLMAP_COVER_H
#define TESTS_UNIT_AGENT_VOLMAP_COVER_H

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/volmap.h"
#include "proto/base/err.h"
#include "tests/unit/agent/spill_array.h"

/* A volume in memory whose n-th read fails; 0: none does. */
struct cover_disk {
	const uint8_t *p;
	uint64_t size;
	uint64_t fail_at, reads;
	/* As in struct volmap_source. */
	const struct volmap_unkept *unkept;
	unsigned unkept_count;
	const struct changes *written;
	struct changes *unheard;
};

struct cover {
	char *byte; /* A letter for each byte of the volume. */
	uint64_t size;
	uint32_t data_cuts;
	struct volmap_cut *data; /* The DATA and REGION cuts, in order. */
	char fs[16], note[200];
	int hibernated;
	unsigned reasons; /* A bit for each reason for which something is excluded. */
};

static inline int
cover_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct cover_disk *d = arg;

	assert(offset <= d->size && len <= d->size - offset);
	if (++d->reads == d->fail_at)
		return err_set(err, ERR_IO, "bad sector");
	memcpy(buf, d->p + offset, len);
	return 0;
}

static inline void
cover_range(struct cover *c, uint64_t offset, uint64_t len, char letter)
{
	assert(len > 0 && offset <= c->size && len <= c->size - offset);
	/* Not covered twice: all of it is still zero. */
	assert(c->byte[offset] == 0 &&
	       memcmp(c->byte + offset, c->byte + offset + 1, len - 1) == 0);
	memset(c->byte + offset, letter, len);
}

static inline void
cover_data(struct cover *c, const struct volmap_cut *cut)
{
	uint64_t lowest = UINT64_MAX, sum = 0;
	int region = cut->kind == VOLMAP_REGION;
	struct volmap_piece *copy = malloc(cut->count * sizeof(*copy));

	assert(cut->count >= 1 && copy != NULL);
	assert(cut->count <= (region ? VOLMAP_REGION_PIECES_MAX : VOLMAP_PIECES_MAX));
	for (uint32_t i = 0; i < cut->count; i++) {
		assert(!region || i == 0 || i + 1 == cut->count ||
		       cut->piece[i].len >= VOLMAP_GRAIN);
		copy[i] = cut->piece[i];
		cover_range(
		    c, cut->piece[i].offset, cut->piece[i].len, region ? 'r' : 'd');
		sum += cut->piece[i].len;
		lowest = cut->piece[i].offset < lowest ? cut->piece[i].offset : lowest;
	}
	assert(lowest == cut->offset && sum == cut->len);
	assert(sum <= (region ? VOLMAP_REGION_LEN : VOLMAP_BLOCK));
	c->data = realloc(c->data, (c->data_cuts + 1) * sizeof(*c->data));
	assert(c->data != NULL);
	c->data[c->data_cuts] = *cut;
	c->data[c->data_cuts++].piece = copy;
}

/* The first byte from `at` on that is not covered. */
static inline uint64_t
cover_end(const struct cover *c, uint64_t at)
{
	return (uint64_t)((char *)memchr(c->byte + at, 0, c->size + 1 - at) - c->byte);
}

static inline void
cover_free(struct cover *c)
{
	for (uint32_t i = 0; i < c->data_cuts; i++)
		free((struct volmap_piece *)c->data[i].piece);
	free(c->byte);
	free(c->data);
	free(c);
}

/* Walk it all; NULL if something was read that could not be (err says what). */
static inline struct cover *
cover_within(struct cover_disk *disk, const struct volmap_limits *limits, int flushed,
    unsigned flags, struct err *err)
{
	struct volmap_source source = { .read = cover_read,
		.arg = disk,
		.size = disk->size,
		.sector_size = 512,
		.flushed = flushed,
		.unkept = disk->unkept,
		.unkept_count = disk->unkept_count,
		.written = disk->written,
		.unheard = disk->unheard };
	struct cover *c = calloc(1, sizeof(*c));
	struct volmap_cut cut;
	struct volmap *m;
	uint64_t end = 0; /* Everything below was covered when the walk passed it. */
	int got;

	assert(c != NULL);
	c->size = disk->size;
	c->byte = calloc(1, c->size + 1);
	assert(c->byte != NULL);
	if (volmap_open(&source, limits, flags, &m, err) == -1) {
		cover_free(c);
		return NULL;
	}
	while ((got = volmap_next(m, &cut, err)) == 1) {
		/* The position is the first byte that is not covered yet. */
		end = cover_end(c, end);
		assert(cut.offset == end);
		assert(cut.kind == VOLMAP_EXCLUDED || cut.reason == 0);
		if (cut.kind == VOLMAP_EXCLUDED)
			c->reasons |= 1u << cut.reason;
		if (cut.kind == VOLMAP_DATA || cut.kind == VOLMAP_REGION)
			cover_data(c, &cut);
		else
			cover_range(c, cut.offset, cut.len, "hxs"[cut.kind]);
	}
	assert(got != 0 || cover_end(c, end) == c->size);
	strcpy(c->fs, volmap_fs(m));
	strcpy(c->note, volmap_note(m));
	c->hibernated = volmap_hibernated(m);
	volmap_close(m);
	if (got == 0)
		return c;
	cover_free(c);
	return NULL;
}

/* Both say the same of every byte, and their cuts are the same. */
static inline void
cover_same(const struct cover *a, const struct cover *b)
{
	assert(memcmp(a->byte, b->byte, a->size) == 0);
	assert(a->data_cuts == b->data_cuts && strcmp(a->note, b->note) == 0);
	for (uint32_t i = 0; i < a->data_cuts; i++) {
		assert(a->data[i].kind == b->data[i].kind);
		assert(a->data[i].len == b->data[i].len);
		assert(a->data[i].count == b->data[i].count);
		for (uint32_t k = 0; k < a->data[i].count; k++)
			assert(a->data[i].piece[k].offset == b->data[i].piece[k].offset &&
			       a->data[i].piece[k].len == b->data[i].piece[k].len);
	}
}

/*
 * Nowhere to spill: files are not told apart, yet no byte is left out for it.  Only
 * that a file claims a place of its own twice is not seen: this is no sign of a loss.
 */
static inline void
cover_without_spill(
    const struct cover *c, struct cover_disk *disk, int flushed, unsigned flags)
{
	struct volmap_limits none = { 150, NULL };
	struct err err = ERR_INIT;
	struct cover *other = cover_within(disk, &none, flushed, flags, &err);

	int crossed = strstr(c->note, "two owners") != NULL;

	assert(other != NULL && other->hibernated == c->hibernated);
	for (uint64_t i = 0; i < c->size; i++) {
		assert(other->byte[i] != 'h' || c->byte[i] == 'h' || crossed);
		assert(other->byte[i] != 'x' || c->byte[i] == 'x');
	}
	cover_free(other);
}

/* As cover_within() in the usual memory; nearly none makes no difference. */
static inline struct cover *
cover_new(struct cover_disk *disk, int flushed, unsigned flags, struct err *err)
{
	struct spill_array array;
	struct volmap_limits scant = { 150, &array.spill };
	struct cover *c = cover_within(disk, NULL, flushed, flags, err), *other;

	if (c == NULL || disk->fail_at != 0)
		return c;
	spill_array_init(&array);
	other = cover_within(disk, &scant, flushed, flags, err);
	assert(other != NULL && array.files == 0);
	cover_same(c, other);
	cover_free(other);
	cover_without_spill(c, disk, flushed, flags);
	return c;
}

/* Non-zero: all bytes of [offset, offset + len) have this letter. */
static inline int
cover_all(const struct cover *c, uint64_t offset, uint64_t len, char letter)
{
	for (uint64_t i = offset; i < offset + len; i++)
		if (c->byte[i] != letter)
			return 0;
	return 1;
}

static inline uint64_t
cover_count(const struct cover *c, char letter)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < c->size; i++)
		n += c->byte[i] == letter;
	return n;
}

#endif /* TESTS_UNIT_AGENT_VOLMAP_COVER_H */
