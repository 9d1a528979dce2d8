/* diff_map.c - open addressing, one cell after the other, removal by shifting back. */
#include "driver/core/diff_map.h"

#include <stddef.h>
#include "driver/core/env.h"

/* At most three of four cells are ever full, so that runs stay short. */
static unsigned
logarithm(uint32_t places)
{
	unsigned log = 4;

	while (((uint64_t)3 << log) / 4 < places)
		log++;
	return log;
}

uint64_t
diff_map_bytes(uint32_t places)
{
	return ((uint64_t)sizeof(uint32_t) << logarithm(places)) +
	       (uint64_t)places * sizeof(uint64_t);
}

int
diff_map_make(struct diff_map *m, uint32_t places)
{
	unsigned log;

	*m = (struct diff_map){ 0 };
	if (places > DIFF_MAP_PLACES_MAX || diff_map_bytes(places) > SIZE_MAX / 2)
		return -1;
	log = logarithm(places);
	m->cell = env_alloc(sizeof(uint32_t) << log);
	m->key = env_alloc((places > 0 ? places : 1) * sizeof(uint64_t));
	m->mask = (1u << log) - 1;
	m->shift = 32 - log;
	if (m->cell != NULL && m->key != NULL)
		return 0;
	diff_map_free(m);
	return -1;
}

void
diff_map_free(struct diff_map *m)
{
	env_free(m->cell);
	env_free(m->key);
	*m = (struct diff_map){ 0 };
}

/* Where a key belongs.  Neighbours are asked for one after the other, so the highest bits
   of a product scatter them enough. */
static uint32_t
home(const struct diff_map *m, uint64_t key)
{
	uint32_t low = (uint32_t)key, high = (uint32_t)(key >> 32);

	return ((low ^ high * 0x85ebca6bu) * 0x9e3779b1u) >> m->shift;
}

/* The cell of the key, or the empty one where it would go. */
static uint32_t
cell_of(const struct diff_map *m, uint64_t key)
{
	uint32_t at = home(m, key);

	while (m->cell[at] != 0 && m->key[m->cell[at] - 1] != key)
		at = (at + 1) & m->mask;
	return at;
}

bool
diff_map_find(const struct diff_map *m, uint64_t key, uint32_t *place)
{
	uint32_t at = cell_of(m, key);

	if (m->cell[at] == 0)
		return false;
	*place = m->cell[at] - 1;
	return true;
}

void
diff_map_insert(struct diff_map *m, uint64_t key, uint32_t place)
{
	m->key[place] = key;
	/* The key of an empty place is not looked at, so this finds the end of the run.
	 */
	m->cell[cell_of(m, key)] = place + 1;
}

void
diff_map_remove(struct diff_map *m, uint64_t key)
{
	uint32_t hole = cell_of(m, key), at = hole;

	for (;;) {
		uint32_t from;

		at = (at + 1) & m->mask;
		if (m->cell[at] == 0)
			break;
		/* It may move into the hole if its home is not behind the hole. */
		from = home(m, m->key[m->cell[at] - 1]);
		if (((at - from) & m->mask) < ((at - hole) & m->mask))
			continue;
		m->cell[hole] = m->cell[at];
		hole = at;
	}
	m->cell[hole] = 0;
}

void
diff_map_move(struct diff_map *m, uint32_t from, uint32_t to)
{
	uint64_t key = m->key[from];
	uint32_t at = cell_of(m, key);

	m->key[to] = key;
	m->cell[at] = to + 1;
}
