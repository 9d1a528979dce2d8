#include "agent/backup/proof.h"

unsigned
proof_slices(unsigned percent)
{
	return (100 + percent - 1) / percent;
}

void
proof_all(struct proof *p, unsigned slices, uint64_t sequence)
{
	p->slices = slices;
	p->next = 0;
	for (unsigned i = 0; i < PROOF_SLICES_MAX; i++)
		p->point[i] = i < slices ? sequence : 0;
}

void
proof_next(struct proof *p, uint64_t sequence)
{
	p->point[p->next] = sequence;
	p->next = (p->next + 1) % p->slices;
}

void
proof_again(struct proof *p, unsigned slices)
{
	if (p->slices != slices)
		proof_all(p, slices, proof_since(p));
}

uint64_t
proof_since(const struct proof *p)
{
	uint64_t since = p->point[0];

	for (unsigned i = 1; i < p->slices; i++)
		if (p->point[i] < since)
			since = p->point[i];
	return since;
}
