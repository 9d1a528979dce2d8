#include "storage/pack_set.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

#define PAGE_PACKS 4096u

int
pack_set_add(struct pack_set *set, uint32_t no, struct err *err)
{
	uint32_t page = no / PAGE_PACKS, bit = no % PAGE_PACKS, n;
	uint64_t **pages;

	if (page >= set->n) {
		n = page + 1 > 2 * set->n ? page + 1 : 2 * set->n;
		if ((pages = realloc(set->pages, n * sizeof(*pages))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for a set of packs");
		memset(pages + set->n, 0, (n - set->n) * sizeof(*pages));
		set->pages = pages;
		set->n = n;
	}
	if (set->pages[page] == NULL &&
	    (set->pages[page] = calloc(PAGE_PACKS / 64, sizeof(uint64_t))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a set of packs");
	set->pages[page][bit / 64] |= (uint64_t)1 << bit % 64;
	return 0;
}

int
pack_set_has(const struct pack_set *set, uint32_t no)
{
	uint32_t page = no / PAGE_PACKS, bit = no % PAGE_PACKS;

	return page < set->n && set->pages[page] != NULL &&
	       (set->pages[page][bit / 64] >> bit % 64 & 1) != 0;
}

void
pack_set_clear(struct pack_set *set)
{
	for (uint32_t i = 0; i < set->n; i++)
		free(set->pages[i]);
	free(set->pages);
	set->pages = NULL;
	set->n = 0;
}
