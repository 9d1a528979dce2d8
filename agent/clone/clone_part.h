/*
 * clone_part.h - one frozen volume, or a disk's image, on its way to its place.
 *
 *	clone_part_look -> clone_part_copy -> clone_part_check -> clone_part_free
 *
 * The volume is needed up to clone_part_copy() only.
 */
#ifndef AGENT_CLONE_CLONE_PART_H
#define AGENT_CLONE_CLONE_PART_H

#include <stdint.h>

struct capture_volume;
struct clone_proof;
struct clone_ranges;
struct err;
struct progress;
struct stop;
struct target;

struct clone_part {
	struct capture_volume *volume;
	struct clone_ranges *ranges;
	struct clone_proof *proof;
	struct target *to;
	int partly; /* Some of its bytes go nowhere (target_nowhere()): not looked at. */
};

/* What all parts have together. */
struct clone_work {
	int verify;	  /* Hash what is read. */
	int holes_zeroed; /* What is free was made zeros: it is looked at, too. */
	struct stop *stop;
	struct progress *progress; /* May be NULL. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
	uint64_t done; /* Bytes of data, for `progress`. */
	uint64_t zero; /* Bytes of data that are zeros, in blocks of 64 KiB. */
	uint64_t same; /* Bytes found right and left alone. */
	uint64_t checked;
};

/* Which of its bytes are what.  As clone_ranges_make(); ERR_CANCELED. */
int clone_part_look(struct clone_part *p, const struct clone_work *w, struct err *err);

/*
 * Copy it to `p->to`.  What is read live (capture_settled()) is read again while it
 * changes: ERR_BUSY after three times.
 */
int clone_part_copy(struct clone_part *p, struct clone_work *w, struct err *err);

/* Read it back from `p->to`, which is settled: ERR_CORRUPT where it is not the same. */
int clone_part_check(struct clone_part *p, struct clone_work *w, struct err *err);

void clone_part_free(struct clone_part *p);

#endif /* AGENT_CLONE_CLONE_PART_H */
