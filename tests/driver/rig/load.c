/* load.c - the writers. */
#include "tests/driver/rig/load.h"

#include <stdlib.h>
#include <unistd.h>

#define WORDS (RIG_SECTOR / 8)
#define WRITE_MAX (64u << 10)
/* Where the pair of ordered writes goes: one block at the head of the tail. */
#define PAIR LOAD_TAIL

static uint64_t
get64(const uint64_t *p)
{
	return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void
put64(uint64_t *p, uint64_t value)
{
	__atomic_store_n(p, value, __ATOMIC_SEQ_CST);
}

static unsigned
draw(unsigned *dice)
{
	*dice = *dice * 1664525 + 1013904223;
	return *dice >> 8;
}

/* Bit 0 of a stamp: TRIM. */
static uint64_t
stamp_new(struct load *l, bool trim)
{
	return (__atomic_add_fetch(&l->sequence, 1, __ATOMIC_SEQ_CST) << 1) | trim;
}

static bool
any_busy(struct load *l, unsigned v, uint32_t first, uint32_t last)
{
	for (uint32_t b = first; b <= last; b++)
		if (l->busy[v][b])
			return true;
	return false;
}

static void
range_take(struct load *l, unsigned v, uint32_t first, uint32_t last)
{
	pthread_mutex_lock(&l->lock);
	while (any_busy(l, v, first, last))
		pthread_cond_wait(&l->freed, &l->lock);
	for (uint32_t b = first; b <= last; b++)
		l->busy[v][b] = true;
	pthread_mutex_unlock(&l->lock);
}

static void
range_give(struct load *l, unsigned v, uint32_t first, uint32_t last)
{
	pthread_mutex_lock(&l->lock);
	for (uint32_t b = first; b <= last; b++)
		l->busy[v][b] = false;
	pthread_cond_broadcast(&l->freed);
	pthread_mutex_unlock(&l->lock);
}

/* A place: small hot one, anywhere in front, or the tail behind the pair's block. */
static void
place(unsigned *dice, uint32_t *first, uint32_t *sectors)
{
	uint32_t from = 0, to = LOAD_COLD / RIG_SECTOR, n;

	switch (draw(dice) % 4) {
	case 0:
		to = 128 * 1024 / RIG_SECTOR;
		break;
	case 1:
		from = (PAIR + LOAD_BLOCK) / RIG_SECTOR;
		to = LOAD_SECTORS;
		break;
	default:
		break;
	}
	n = 1 + draw(dice) % (draw(dice) % 4 == 0 ? WRITE_MAX / RIG_SECTOR : 16);
	*first = from + draw(dice) % (to - from);
	if (draw(dice) % 2) {
		*first = (*first & ~7u) < from ? from : *first & ~7u;
		n = (n + 7) & ~7u;
	}
	*sectors = n > to - *first ? to - *first : n;
}

static void
fill(uint64_t *buffer, unsigned v, uint32_t first, uint32_t sectors, uint64_t stamp)
{
	for (uint32_t s = 0; s < sectors; s++) {
		for (unsigned i = 0; i < WORDS; i++)
			buffer[s * WORDS + i] = stamp;
		buffer[s * WORDS + 1] = (uint64_t)v << 32 | (first + s);
	}
}

static NTSTATUS
trim(struct load *l, unsigned v, uint32_t first, uint32_t sectors, uint64_t stamp)
{
	pthread_mutex_lock(&l->lock);
	l->trim[l->trim_count++ % LOAD_TRIMS] =
	    (struct load_trim){ stamp, v, first, sectors };
	pthread_mutex_unlock(&l->lock);
	return rig_trim(&l->rig->disk[v], (uint64_t)first * RIG_SECTOR,
	    (uint64_t)sectors * RIG_SECTOR);
}

static void
one_write(struct load *l, unsigned *dice, uint64_t *buffer)
{
	unsigned v = draw(dice) % LOAD_VOLUMES;
	bool trims = l->trims && draw(dice) % 16 == 0;
	uint32_t first, sectors, b0, b1;
	uint64_t stamp;
	NTSTATUS status;

	place(dice, &first, &sectors);
	b0 = first * RIG_SECTOR / LOAD_BLOCK;
	b1 = ((first + sectors) * RIG_SECTOR - 1) / LOAD_BLOCK;
	range_take(l, v, b0, b1);
	stamp = stamp_new(l, trims);
	if (trims) {
		status = trim(l, v, first, sectors, stamp);
	} else {
		fill(buffer, v, first, sectors, stamp);
		status = rig_io(&l->rig->disk[v], IRP_MJ_WRITE,
		    (uint64_t)first * RIG_SECTOR, buffer, sectors * RIG_SECTOR);
	}
	if (NT_SUCCESS(status)) {
		for (uint32_t s = first; s < first + sectors; s++)
			put64(&l->done[v][s], stamp);
	} else {
		__atomic_add_fetch(&l->failed, 1, __ATOMIC_RELAXED);
		if (!l->may_fail)
			load_bad(l, "a host's %s failed: 0x%08x",
			    trims ? "TRIM" : "write", (unsigned)status);
	}
	__atomic_add_fetch(&l->writes, 1, __ATOMIC_RELAXED);
	range_give(l, v, b0, b1);
}

/* A file system says that it holds its writes, as under VSS; nobody asked for it. */
static void
one_hold(struct load *l, unsigned *dice)
{
	struct rig_disk *d = &l->rig->disk[draw(dice) % LOAD_VOLUMES];

	if (!NT_SUCCESS(
		rig_ioctl(d, IOCTL_VOLSNAP_FLUSH_AND_HOLD_WRITES, NULL, 0, 0, NULL)) &&
	    !l->may_fail)
		load_bad(l, "FLUSH_AND_HOLD_WRITES fails");
	rig_ioctl(d, IOCTL_VOLSNAP_RELEASE_WRITES, NULL, 0, 0, NULL);
}

/* What the host reads is not older than what it knows, while it writes. */
static void
one_read(struct load *l, unsigned *dice, uint64_t *buffer)
{
	unsigned v = draw(dice) % LOAD_VOLUMES;
	uint32_t first = draw(dice) % (LOAD_COLD / RIG_SECTOR - 8);
	uint64_t low = get64(&l->done[v][first]);
	NTSTATUS status = rig_io(&l->rig->disk[v], IRP_MJ_READ,
	    (uint64_t)first * RIG_SECTOR, buffer, 8 * RIG_SECTOR);

	if (!NT_SUCCESS(status)) {
		if (!l->may_fail)
			load_bad(l, "a host's read failed: 0x%08x", (unsigned)status);
		return;
	}
	if (buffer[0] != 0 && buffer[0] < low)
		load_bad(l, "the host reads an old sector");
	__atomic_add_fetch(&l->reads, 1, __ATOMIC_RELAXED);
}

struct writer {
	struct load *l;
	unsigned number;
};

static void *
writer_run(void *arg)
{
	struct writer w = *(struct writer *)arg;
	unsigned dice = w.l->seed * 31 + w.number * 7919 + 1;
	uint64_t *buffer = malloc(WRITE_MAX + LOAD_BLOCK);

	free(arg);
	if (buffer == NULL)
		abort();
	while (__atomic_load_n(&w.l->run, __ATOMIC_RELAXED)) {
		unsigned what = draw(&dice) % 64;

		if (what == 0)
			rig_flush(&w.l->rig->disk[draw(&dice) % LOAD_VOLUMES]);
		else if (what == 1)
			one_hold(w.l, &dice);
		else if (what < 6)
			one_read(w.l, &dice, buffer);
		else
			one_write(w.l, &dice, buffer);
		if (w.l->pause_us > 0)
			usleep(draw(&dice) % (2 * w.l->pause_us));
	}
	free(buffer);
	return NULL;
}

/* n to the first volume, then, when that is there, n to the second. */
static void *
pair_run(void *arg)
{
	struct load *l = arg;
	uint64_t *buffer = malloc(LOAD_BLOCK);

	if (buffer == NULL)
		abort();
	for (uint64_t n = 1; __atomic_load_n(&l->run, __ATOMIC_RELAXED); n++) {
		for (unsigned i = 0; i < LOAD_BLOCK / 8; i++)
			buffer[i] = n;
		for (unsigned v = 0; v < LOAD_VOLUMES; v++) {
			NTSTATUS status = rig_io(
			    &l->rig->disk[v], IRP_MJ_WRITE, PAIR, buffer, LOAD_BLOCK);

			if (!NT_SUCCESS(status) && !l->may_fail)
				load_bad(
				    l, "a host's write failed: 0x%08x", (unsigned)status);
		}
		put64(&l->pair_done, n);
		__atomic_add_fetch(&l->pairs, 1, __ATOMIC_RELAXED);
		if (l->pause_us > 0)
			usleep(l->pause_us);
	}
	free(buffer);
	return NULL;
}

void
load_start(struct load *l, struct rig *r, unsigned writers, unsigned seed)
{
	l->rig = r;
	l->seed = seed;
	l->run = 1;
	l->writers = writers;
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->freed, NULL);
	for (unsigned i = 0; i < writers; i++) {
		struct writer *w = malloc(sizeof(*w));

		if (w == NULL)
			abort();
		*w = (struct writer){ l, i };
		if (pthread_create(&l->writer[i], NULL, writer_run, w) != 0)
			abort();
	}
	if (pthread_create(&l->pair, NULL, pair_run, l) != 0)
		abort();
}

void
load_stop(struct load *l)
{
	__atomic_store_n(&l->run, 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < l->writers; i++)
		pthread_join(l->writer[i], NULL);
	pthread_join(l->pair, NULL);
}

void
load_free(struct load *l)
{
	pthread_cond_destroy(&l->freed);
	pthread_mutex_destroy(&l->lock);
}
