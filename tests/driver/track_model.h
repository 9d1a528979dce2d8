/*
 * track_model.h - the real driver/core/track*.c against a disk that loses power.
 *
 * One thread and no clock, so a seed repeats a run.  A world is a volume, its store, the
 * agent and the server; a life is what happens between two starts of the machine.  The
 * power may go at any write to the store: of its cells of 512 bytes each is then old, new
 * or torn.  Host writes come in at every place where another processor's may.
 */
#ifndef TESTS_DRIVER_TRACK_MODEL_H
#define TESTS_DRIVER_TRACK_MODEL_H

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#define MODEL_STORE_MAX (64u << 10)
#define MODEL_STORE_AT ((uint64_t)32 << 20)

/* The disk and the machine: track_model_disk.c. */
struct volume {
	uint64_t length;
	uint32_t sector;
	uint32_t store_bytes;
	uint8_t disk[MODEL_STORE_MAX]; /* what a power cut leaves */
	uint8_t view[MODEL_STORE_MAX]; /* what is read */
	uint32_t lost_from, lost_to;   /* written, not through */
	uint64_t boot_stamp, log_stamp;
	unsigned cut_in;  /* writes until the power goes; 0: it stays */
	unsigned fail_in; /* until one fails */
	bool forbidden;	  /* nothing of ours may be written */
	bool broke;	  /* it was */
	jmp_buf power;
	/* Called where other processors may be seen; "locked": the log's mutex is held.
	 */
	void (*other)(void *who, bool locked);
	void *who;
	const void *log_mutex;
	bool log_held;
};

uint32_t model_random(uint32_t below);
void model_seed(uint64_t seed);
void model_memory_reset(void); /* as if the machine had stopped */
void model_rot(struct volume *v);

struct model_count {
	uint64_t lives, cuts_of_power, checks, recovered, valid, invalid;
	uint64_t truth,
	    exact; /* blocks, of VALID states without a crash since the base */
	uint64_t regions, regions_true; /* of RECOVERED states */
};
/* Lives of one world; false: a change was missed ("what" says how). */
bool
model_world(uint64_t seed, unsigned lives, struct model_count *count, const char **what);

#endif /* TESTS_DRIVER_TRACK_MODEL_H */
