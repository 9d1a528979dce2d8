/*
 * scratch.h - memory for decoding one group, kept between uses.
 *
 * A worker takes one for a job and gives it back; there are never more than
 * workers that decode.
 */
#ifndef SERVER_SCRATCH_H
#define SERVER_SCRATCH_H

#include <stdint.h>

struct codec;
struct scratch_pool;

struct scratch {
	struct codec *codec;
	uint8_t *plain; /* Room for GROUP_PLAIN_MAX bytes. */
	struct scratch *next;
};

/* NULL without memory. */
struct scratch_pool *scratch_pool_new(void);

/* All must have been given back. */
void scratch_pool_free(struct scratch_pool *p);

/* NULL without memory. */
struct scratch *scratch_take(struct scratch_pool *p);
void scratch_give(struct scratch_pool *p, struct scratch *s);

#endif /* SERVER_SCRATCH_H */
