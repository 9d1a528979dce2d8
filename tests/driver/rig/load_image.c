/* load_image.c - what images and disks must be. */
#include "tests/driver/rig/load.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define WORDS (RIG_SECTOR / 8)
#define TOLD_MAX 10u

void
load_bad(struct load *l, const char *format, ...)
{
	va_list args;

	if (__atomic_add_fetch(&l->bad, 1, __ATOMIC_RELAXED) > TOLD_MAX)
		return;
	va_start(args, format);
	fputs("BAD: ", stdout);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void
load_cut_begin(struct load *l, struct load_cut *cut)
{
	for (unsigned v = 0; v < LOAD_VOLUMES; v++)
		for (uint32_t s = 0; s < LOAD_SECTORS; s++)
			cut->low[v][s] =
			    __atomic_load_n(&l->done[v][s], __ATOMIC_SEQ_CST);
	cut->pair_low = __atomic_load_n(&l->pair_done, __ATOMIC_SEQ_CST);
}

void
load_cut_end(struct load *l, struct load_cut *cut)
{
	cut->high = (__atomic_load_n(&l->sequence, __ATOMIC_SEQ_CST) + 1) << 1;
}

static bool
zeros(const uint64_t *w)
{
	for (unsigned i = 0; i < WORDS; i++)
		if (w[i] != 0)
			return false;
	return true;
}

/* Was this sector trimmed by a request with a stamp in [low, high)? */
static bool
trimmed(struct load *l, unsigned v, uint32_t s, uint64_t low, uint64_t high)
{
	bool found = false;

	pthread_mutex_lock(&l->lock);
	for (uint32_t i = 0; i < l->trim_count && i < LOAD_TRIMS && !found; i++) {
		const struct load_trim *t = &l->trim[i];

		found = t->volume == v && t->stamp >= low && t->stamp < high &&
			s >= t->first && s < t->first + t->sectors;
	}
	pthread_mutex_unlock(&l->lock);
	return found;
}

static void
check_sector(
    struct load *l, const struct load_cut *cut, unsigned v, uint32_t s, const uint64_t *w)
{
	uint64_t low = cut->low[v][s];

	if (zeros(w)) {
		if (low != 0 && (low & 1) == 0 && !trimmed(l, v, s, low, cut->high))
			load_bad(l,
			    "LOST: volume %u, sector %u is zero, %lu was completed", v, s,
			    (unsigned long)low);
		return;
	}
	for (unsigned i = 2; i < WORDS; i++) {
		if (w[i] != w[0]) {
			load_bad(l, "TORN: volume %u, sector %u", v, s);
			return;
		}
	}
	if (w[1] != ((uint64_t)v << 32 | s))
		load_bad(l, "MOVED: volume %u, sector %u is of %lx", v, s,
		    (unsigned long)w[1]);
	else if (w[0] >= cut->high)
		load_bad(l,
		    "AFTER THE CUT: volume %u, sector %u has %lu, the last was %lu", v, s,
		    (unsigned long)w[0], (unsigned long)cut->high);
	else if (w[0] < low)
		load_bad(l, "LOST: volume %u, sector %u has %lu, %lu was completed", v, s,
		    (unsigned long)w[0], (unsigned long)low);
}

static bool
written_by_writers(uint64_t offset)
{
	return offset < LOAD_COLD || offset >= LOAD_TAIL + LOAD_BLOCK;
}

void
load_check(struct load *l, const struct load_cut *cut, unsigned volume,
    const uint8_t *image, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += RIG_SECTOR) {
		uint64_t w[WORDS];

		memcpy(w, image + (at - from), RIG_SECTOR);
		if (written_by_writers(at))
			check_sector(l, cut, volume, (uint32_t)(at / RIG_SECTOR), w);
		else if (at >= LOAD_COLD && at < LOAD_DIFF && !zeros(w))
			load_bad(l, "volume %u: bytes where nobody wrote", volume);
	}
}

void
load_check_pair(struct load *l, const struct load_cut *cut, const uint8_t *image0,
    const uint8_t *image1)
{
	uint64_t a, b;

	memcpy(&a, image0 + LOAD_TAIL, sizeof(a));
	memcpy(&b, image1 + LOAD_TAIL, sizeof(b));
	if (b > a || a > b + 1)
		load_bad(l, "CROSS-VOLUME: the first has %lu, the second %lu",
		    (unsigned long)a, (unsigned long)b);
	if (b < cut->pair_low)
		load_bad(l, "LOST: pair %lu was completed, the image has %lu",
		    (unsigned long)cut->pair_low, (unsigned long)b);
}

bool
load_disks_right(struct load *l)
{
	unsigned before = l->bad;

	for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
		for (uint32_t s = 0; s < LOAD_SECTORS; s++) {
			uint64_t at = (uint64_t)s * RIG_SECTOR, done = l->done[v][s];
			uint64_t w[WORDS];

			if (!written_by_writers(at))
				continue;
			rig_disk_peek(&l->rig->disk[v], at, w, RIG_SECTOR);
			if (done & 1 ? !zeros(w) : w[0] != done)
				load_bad(l,
				    "the disk of volume %u has %lu in sector %u, not %lu",
				    v, (unsigned long)w[0], s, (unsigned long)done);
		}
	}
	return l->bad == before;
}
