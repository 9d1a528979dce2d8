#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "storage/store_state.h"

/* A node that is whole, in open addressing; `used` 0 is free. */
struct known_node {
	struct chunk_id id;
	uint64_t covered;
	struct tree_sums sums;
	uint32_t level;
	uint32_t used;
};

struct store_nodes {
	/* A missing chunk's id is the agent's choice: a key of ours spreads them. */
	uint8_t key[crypto_shorthash_KEYBYTES];
	uint32_t max, count, cap; /* cap: a power of two, or 0. */
	struct known_node *slots;
};

struct store_nodes *
store_nodes_new(uint32_t max)
{
	struct store_nodes *n = calloc(1, sizeof(*n));

	if (n == NULL)
		return NULL;
	n->max = max;
	randombytes_buf(n->key, sizeof(n->key));
	return n;
}

void
store_nodes_free(struct store_nodes *n)
{
	if (n == NULL)
		return;
	free(n->slots);
	free(n);
}

static struct known_node *
slot_of(const struct store_nodes *n, struct known_node *slots, uint32_t cap,
    const struct chunk_id *id, uint32_t level, uint64_t covered)
{
	uint8_t hash[crypto_shorthash_BYTES];
	uint32_t i;

	crypto_shorthash(hash, id->b, sizeof(id->b), n->key);
	i = load_le32(hash) & (cap - 1);
	while (slots[i].used && (slots[i].level != level || slots[i].covered != covered ||
				    chunk_id_cmp(&slots[i].id, id) != 0))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

int
store_nodes_get(const struct store_nodes *n, const struct chunk_id *id, uint32_t level,
    uint64_t covered, struct tree_sums *sums)
{
	const struct known_node *k;

	if (n == NULL || n->count == 0)
		return 0;
	k = slot_of(n, n->slots, n->cap, id, level, covered);
	if (!k->used)
		return 0;
	*sums = k->sums;
	return 1;
}

static int
grow(struct store_nodes *n)
{
	uint32_t cap = n->cap == 0 ? 256 : n->cap * 2;
	struct known_node *slots = calloc(cap, sizeof(*slots));

	if (slots == NULL)
		return -1;
	for (uint32_t i = 0; i < n->cap; i++)
		if (n->slots[i].used)
			*slot_of(n, slots, cap, &n->slots[i].id, n->slots[i].level,
			    n->slots[i].covered) = n->slots[i];
	free(n->slots);
	n->slots = slots;
	n->cap = cap;
	return 0;
}

void
store_nodes_add(struct store_nodes *n, const struct chunk_id *id, uint32_t level,
    uint64_t covered, const struct tree_sums *sums)
{
	struct known_node *k;

	if (n == NULL)
		return;
	/*
	 * Full: those met last are the ones worth knowing.  Who remembers nothing
	 * new walks a tree that shares its nodes in as many steps as it has leaves.
	 */
	if (n->count >= n->max && n->cap > 0) {
		memset(n->slots, 0, n->cap * sizeof(*n->slots));
		n->count = 0;
	}
	if ((n->count + 1) * 4 > n->cap * 3 && grow(n) != 0)
		return;
	k = slot_of(n, n->slots, n->cap, id, level, covered);
	if (k->used)
		return;
	k->id = *id;
	k->level = level;
	k->covered = covered;
	k->sums = *sums;
	k->used = 1;
	n->count++;
}
