/*
 * track_model_main.c - track_model [LIVES [SEED]]: so many lives of volumes; exits with 1
 * and a seed if a change was missed, 2 if all was reported far too coarsely.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/driver/track_model.h"

#define LIVES 1000000u
#define LIVES_OF_A_WORLD 24u
#define FEW 20000u /* too few to judge averages */

static double
share(uint64_t of, uint64_t all)
{
	return all == 0 ? 0 : (double)of / (double)all;
}

/* Everything always would pass without this. */
static int
judge(const struct model_count *c)
{
	double exact = share(c->exact, c->truth);
	double regions = share(c->regions, c->regions_true);
	double trusted = share(c->valid + c->recovered, c->checks);

	printf("%" PRIu64 " lives, %" PRIu64 " cuts of power, %" PRIu64
	       " checks: %.0f %% "
	       "trusted\n",
	    c->lives, c->cuts_of_power, c->checks, 100 * trusted);
	printf("reported for 1 changed: %.3f blocks (valid), %.2f regions (recovered)\n",
	    exact, regions);
	if (c->lives < FEW)
		return 0;
	if (exact > 1.02 || regions > 1.7 || trusted < 0.35) {
		printf("too coarse\n");
		return 2;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t lives = argc > 1 ? strtoull(argv[1], NULL, 10) : LIVES;
	uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	struct model_count count;
	const char *what = NULL;

	memset(&count, 0, sizeof(count));
	for (; count.lives < lives; seed++) {
		if (!model_world(seed, LIVES_OF_A_WORLD, &count, &what)) {
			printf("seed %" PRIu64 ": %s\n", seed, what);
			return 1;
		}
	}
	return judge(&count);
}
