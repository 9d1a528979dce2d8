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

/*
 * Slice i of n is every n-th piece from the i-th on: of a multiple of n slices some are
 * wholly in it, of a part of n slices it is wholly in one.
 */
static uint64_t
proven(const struct proof *p, unsigned slices, unsigned i)
{
	uint64_t oldest = UINT64_MAX;

	if (slices % p->slices == 0)
		return p->point[i % p->slices];
	if (p->slices % slices != 0)
		return proof_since(p);
	for (; i < p->slices; i += slices)
		if (p->point[i] < oldest)
			oldest = p->point[i];
	return oldest;
}

void
proof_again(struct proof *p, unsigned slices)
{
	struct proof old = *p;

	if (old.slices == slices)
		return;
	proof_all(p, slices, 0);
	for (unsigned i = 0; i < slices; i++) {
		p->point[i] = proven(&old, slices, i);
		if (p->point[i] < p->point[p->next])
			p->next = i;
	}
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
