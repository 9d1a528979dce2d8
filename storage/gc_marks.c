#include "storage/gc_marks.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"

struct gc_marks {
	struct gc_pack *packs;
	uint32_t n_packs, packs_cap;
	struct gc_group *groups; /* Of all packs; each pack's end in an entry more. */
	uint32_t n_groups, groups_cap;
	uint64_t bits;
	_Atomic uint64_t *live, *walked;
};

struct gc_marks *
gc_marks_new(void)
{
	return calloc(1, sizeof(struct gc_marks));
}

void
gc_marks_free(struct gc_marks *m)
{
	if (m == NULL)
		return;
	free(m->packs);
	free(m->groups);
	free((void *)m->live);
	free((void *)m->walked);
	free(m);
}

/* ------------------------------------------------------------------- making -- */

/* The chunks of a footer as offset and place; ids do not matter here. */
struct places {
	uint64_t *p; /* offset << 16 | place */
	uint32_t n;
};

static int
take_place(void *arg, const struct pack_entry *e)
{
	struct places *t = arg;

	t->p[t->n++] = (uint64_t)e->loc.offset << 16 | e->loc.place;
	return 0;
}

static int
cmp_place(const void *va, const void *vb)
{
	uint64_t a = *(const uint64_t *)va, b = *(const uint64_t *)vb;

	return (a > b) - (a < b);
}

static int
room(struct gc_marks *m, uint32_t groups, struct err *err)
{
	uint64_t cap;
	void *p;

	if (m->n_packs == m->packs_cap) {
		cap = m->packs_cap == 0 ? 64 : (uint64_t)m->packs_cap * 3 / 2;
		if ((p = realloc(m->packs, cap * sizeof(*m->packs))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for %llu packs",
			    (unsigned long long)cap);
		m->packs = p;
		m->packs_cap = (uint32_t)cap;
	}
	if (m->n_groups + groups > m->groups_cap) {
		cap = (uint64_t)m->n_groups + m->n_groups / 4 + groups;
		if (cap > UINT32_MAX)
			cap = UINT32_MAX;
		if ((p = realloc(m->groups, cap * sizeof(*m->groups))) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for %llu groups",
			    (unsigned long long)cap);
		m->groups = p;
		m->groups_cap = (uint32_t)cap;
	}
	return 0;
}

int
gc_marks_add(struct gc_marks *m, struct pack *p, struct err *err)
{
	struct places t = { NULL, 0 };
	struct pack_stats stats;
	struct gc_pack *to;
	uint32_t bit = 0;
	int ret = -1;

	if (pack_each_entry(p, NULL, NULL, &stats, err) != 0)
		return -1;
	if ((t.p = malloc(((size_t)stats.chunks + 1) * sizeof(*t.p))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a pack's chunks");
	/* A group has a chunk at least, and each pack one entry more than groups. */
	if (m->bits + stats.chunks + m->n_packs + 1 > UINT32_MAX) {
		(void)err_set(err, ERR_LIMIT, "more than 2^32 chunks");
		goto done;
	}
	if (pack_each_entry(p, take_place, &t, NULL, err) != 0 ||
	    room(m, stats.groups + 1, err) != 0)
		goto done;
	qsort(t.p, t.n, sizeof(*t.p), cmp_place);
	to = &m->packs[m->n_packs];
	memset(to, 0, sizeof(*to));
	to->no = pack_no(p);
	to->kind = pack_kind(p);
	to->first_group = m->n_groups;
	to->first_bit = (uint32_t)m->bits;
	to->stored = stats.data_end - PACK_HEADER_LEN;
	to->optional = stats.optional;
	for (uint32_t i = 0; i < t.n; i++) {
		uint32_t offset = (uint32_t)(t.p[i] >> 16);
		struct gc_group *g = &m->groups[to->first_group + to->groups];

		if (i > 0 && (g - 1)->offset == offset) {
			/* Places of a group have no gaps in a whole footer. */
			if ((t.p[i] & 0xffff) != bit - (g - 1)->first) {
				(void)err_set(err, ERR_CORRUPT,
				    "pack %08x: its footer leaves out a chunk", to->no);
				goto done;
			}
			bit++;
			continue;
		}
		if (to->groups == stats.groups || (t.p[i] & 0xffff) != 0) {
			(void)err_set(err, ERR_CORRUPT,
			    "pack %08x: its footer does not name its groups", to->no);
			goto done;
		}
		g->offset = offset;
		g->first = bit++;
		to->groups++;
	}
	to->chunks = bit;
	m->groups[to->first_group + to->groups].offset = stats.data_end;
	m->groups[to->first_group + to->groups].first = bit;
	m->n_groups += to->groups + 1;
	m->bits += bit;
	m->n_packs++;
	ret = 0;
done:
	free(t.p);
	return ret;
}

int
gc_marks_ready(struct gc_marks *m, struct err *err)
{
	size_t words = (size_t)(m->bits / 64 + 1);

	m->live = calloc(words, sizeof(*m->live));
	m->walked = calloc(words, sizeof(*m->walked));
	if (m->live == NULL || m->walked == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the marks of %llu chunks",
		    (unsigned long long)m->bits);
	return 0;
}

/* ------------------------------------------------------------------ marking -- */

struct gc_pack *
gc_marks_packs(struct gc_marks *m, uint32_t *n)
{
	*n = m->n_packs;
	return m->packs;
}

struct gc_pack *
gc_marks_pack(struct gc_marks *m, uint32_t no)
{
	uint32_t lo = 0, hi = m->n_packs;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (m->packs[mid].no < no)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < m->n_packs && m->packs[lo].no == no ? &m->packs[lo] : NULL;
}

const struct gc_group *
gc_marks_groups(const struct gc_marks *m, const struct gc_pack *p)
{
	return &m->groups[p->first_group];
}

/* The number of a chunk's bit; 0 if it has none. */
static int
bit_of(struct gc_marks *m, const struct pack_loc *loc, uint64_t *bit)
{
	const struct gc_pack *p = gc_marks_pack(m, loc->pack);
	const struct gc_group *g;
	uint32_t lo = 0, hi;

	if (p == NULL)
		return 0;
	g = gc_marks_groups(m, p);
	hi = p->groups;
	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;

		if (g[mid].offset < loc->offset)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == p->groups || g[lo].offset != loc->offset ||
	    loc->place >= g[lo + 1].first - g[lo].first)
		return 0;
	*bit = (uint64_t)p->first_bit + g[lo].first + loc->place;
	return 1;
}

static int
set(_Atomic uint64_t *bits, uint64_t bit)
{
	uint64_t mask = (uint64_t)1 << bit % 64;

	return (atomic_fetch_or(&bits[bit / 64], mask) & mask) != 0;
}

static int
get(const _Atomic uint64_t *bits, uint64_t bit)
{
	return (atomic_load(&bits[bit / 64]) >> bit % 64 & 1) != 0;
}

int
gc_marks_live(struct gc_marks *m, const struct pack_loc *loc)
{
	uint64_t bit;

	return bit_of(m, loc, &bit) ? set(m->live, bit) : -1;
}

int
gc_marks_walked(struct gc_marks *m, const struct pack_loc *loc)
{
	uint64_t bit;

	return bit_of(m, loc, &bit) ? set(m->walked, bit) : -1;
}

int
gc_marks_is_walked(struct gc_marks *m, const struct pack_loc *loc)
{
	uint64_t bit;

	return bit_of(m, loc, &bit) ? get(m->walked, bit) : -1;
}

/* ----------------------------------------------------------------- counting -- */

static uint32_t
count(const struct gc_marks *m, uint64_t from, uint64_t to)
{
	uint32_t n = 0;

	while (from < to && from % 64 != 0)
		n += (uint32_t)get(m->live, from++);
	for (; from + 64 <= to; from += 64)
		n += (uint32_t)__builtin_popcountll(atomic_load(&m->live[from / 64]));
	while (from < to)
		n += (uint32_t)get(m->live, from++);
	return n;
}

uint32_t
gc_marks_count(const struct gc_marks *m, const struct gc_pack *p)
{
	return count(m, p->first_bit, (uint64_t)p->first_bit + p->chunks);
}

uint32_t
gc_marks_count_group(const struct gc_marks *m, const struct gc_pack *p, uint32_t i)
{
	const struct gc_group *g = gc_marks_groups(m, p);

	return count(m, (uint64_t)p->first_bit + g[i].first,
	    (uint64_t)p->first_bit + g[i + 1].first);
}

int
gc_marks_is_live(
    const struct gc_marks *m, const struct gc_pack *p, uint32_t i, uint32_t place)
{
	const struct gc_group *g = gc_marks_groups(m, p);

	return get(m->live, (uint64_t)p->first_bit + g[i].first + place);
}

uint64_t
gc_marks_ram(const struct gc_marks *m)
{
	return sizeof(*m) + (uint64_t)m->packs_cap * sizeof(*m->packs) +
	       (uint64_t)m->groups_cap * sizeof(*m->groups) + 2 * (m->bits / 64 + 1) * 8;
}
