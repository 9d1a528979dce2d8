/*
 * load.h - writers whose every write is known, and what an image of their volumes must
 * then be.
 *
 * Every write draws a stamp from one sequence and fills its sectors with it.  As from a
 * file system, no two requests under way touch the same block.  A sector of an image must
 * have a stamp that was completed last before FREEZE was called, or a later one that had
 * begun before FREEZE returned (P2, P3); two volumes of one set must agree on the order
 * of a pair of writes (P4); two images of committed generations may differ only where the
 * second one's report says so (P5); and in the end the disk must have what was completed
 * last (P1).
 *
 * Places on each volume: writers have [0, LOAD_COLD) and [LOAD_TAIL, end); nobody
 * writes [LOAD_COLD, LOAD_DIFF); the diff area and the tracking store may be put into
 * what follows.
 */
#ifndef TESTS_DRIVER_RIG_LOAD_H
#define TESTS_DRIVER_RIG_LOAD_H

#include "tests/driver/rig/rig.h"

#define LOAD_VOLUMES 2
#define LOAD_WRITERS 6
#define LOAD_MIB (1u << 20)
#define LOAD_COLD (2 * LOAD_MIB)
#define LOAD_DIFF (LOAD_COLD + 64 * 1024)
#define LOAD_DIFF_BYTES (LOAD_MIB - 64 * 1024)
#define LOAD_STORE (3 * LOAD_MIB)
#define LOAD_STORE_BYTES (256u * 1024)
#define LOAD_TAIL (LOAD_STORE + LOAD_STORE_BYTES)
/* Ends in the middle of a chunk and of a tracking block. */
#define LOAD_LENGTH (4 * LOAD_MIB + 5 * RIG_SECTOR)
#define LOAD_SECTORS (LOAD_LENGTH / RIG_SECTOR)
#define LOAD_BLOCK 4096u
#define LOAD_BLOCKS ((LOAD_LENGTH + LOAD_BLOCK - 1) / LOAD_BLOCK)
#define LOAD_TRIMS 65536u

struct load_trim {
	uint64_t stamp;
	uint32_t volume, first, sectors;
};

struct load {
	struct rig *rig;
	unsigned seed;
	bool may_fail;	   /* faults are about: writes may */
	bool trims;	   /* some requests are TRIM */
	unsigned pause_us; /* between two writes of a writer */
	uint32_t run;
	uint64_t sequence;
	uint64_t writes, failed, reads, pairs;
	uint64_t done[LOAD_VOLUMES][LOAD_SECTORS]; /* stamps, completed last */
	uint64_t pair_done;
	pthread_mutex_t lock;
	pthread_cond_t freed;
	bool busy[LOAD_VOLUMES][LOAD_BLOCKS];
	struct load_trim trim[LOAD_TRIMS];
	uint32_t trim_count;
	pthread_t writer[LOAD_WRITERS], pair;
	unsigned writers;
	unsigned bad;
};

void load_start(struct load *l, struct rig *r, unsigned writers, unsigned seed);
void load_stop(struct load *l);
void load_free(struct load *l);
/* The disks have what was completed last. */
bool load_disks_right(struct load *l);
void
load_bad(struct load *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What was known at a freeze: begin before FREEZE, end when it has returned. */
struct load_cut {
	uint64_t low[LOAD_VOLUMES][LOAD_SECTORS], high;
	uint64_t pair_low;
};
void load_cut_begin(struct load *l, struct load_cut *cut);
void load_cut_end(struct load *l, struct load_cut *cut);
/* "image" is all of a volume; excluded tells whether diff area and store are left out. */
void load_check(struct load *l, const struct load_cut *cut, unsigned volume,
    const uint8_t *image, uint64_t from, uint64_t to);
void load_check_pair(struct load *l, const struct load_cut *cut, const uint8_t *image0,
    const uint8_t *image1);

#endif /* TESTS_DRIVER_RIG_LOAD_H */
