#include "agent/map/volmap_claims.h"

#include <stdlib.h>

struct volmap_claims {
	size_t len;	/* Bytes of bits. */
	unsigned shift; /* A bit is for 2^shift clusters. */
	uint32_t left;	/* Clusters that may be claimed yet. */
	uint8_t bits[];
};

struct volmap_claims *
volmap_claims_new(uint32_t clusters, size_t memory)
{
	struct volmap_claims *c;
	unsigned shift = 0;

	while (shift < 31 && (clusters >> shift) / 8 > memory)
		shift++;
	if ((c = calloc(1, sizeof(*c) + (clusters >> shift) / 8 + 1)) == NULL)
		return NULL;
	c->len = (clusters >> shift) / 8 + 1;
	c->shift = shift;
	c->left = clusters;
	return c;
}

void
volmap_claims_free(struct volmap_claims *c)
{
	free(c);
}

static int
is_set(const struct volmap_claims *c, uint32_t bit)
{
	return c->bits[bit / 8] >> bit % 8 & 1;
}

int
volmap_claims_add(struct volmap_claims *c, uint32_t first, uint32_t count)
{
	uint32_t bit = first >> c->shift, last = (first + (count - 1)) >> c->shift;
	int alone = count <= c->left;

	for (; alone && bit <= last; bit++) {
		alone = c->shift > 0 || !is_set(c, bit);
		c->bits[bit / 8] |= (uint8_t)(1u << bit % 8);
	}
	c->left -= alone ? count : 0;
	return alone;
}

int
volmap_claims_at(const struct volmap_claims *c, uint32_t first, uint32_t *count)
{
	uint32_t bit = first >> c->shift, last = (first + (*count - 1)) >> c->shift;
	int set = is_set(c, bit);

	while (bit < last && is_set(c, bit + 1) == set)
		bit++;
	if (bit < last)
		*count = (uint32_t)(((uint64_t)bit + 1) << c->shift) - first;
	return set;
}

uint64_t
volmap_claims_memory(const struct volmap_claims *c)
{
	return sizeof(*c) + c->len;
}
