/*
 * blake3_bench - how fast each path of BLAKE3 is here, keyed, in GB (10^9) a
 * second on one core.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "proto/chunk/blake3.h"

static double
now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* The best of many short rounds, by CPU time: other work here may disturb some. */
static double
rate(const uint8_t *p, size_t len)
{
	uint8_t key[BLAKE3_KEY_LEN] = { 1 }, out[BLAKE3_OUT_LEN];
	size_t times = (size_t)(4u << 20) / len, i;
	double best = 0;
	int round;

	for (round = 0; round < 100; round++) {
		double start = now(), r;

		for (i = 0; i < times; i++) {
			blake3(p, len, key, out, sizeof(out));
			key[0] ^= out[0];
		}
		r = (double)(times * len) / (now() - start) / 1e9;
		if (r > best)
			best = r;
	}
	return best;
}

int
main(void)
{
	static const size_t lens[] = { 64, 1024, 4096, 16384, 65536, 262144, 1048576 };
	uint8_t *p = malloc(1048576);
	size_t i;
	int path;

	if (p == NULL)
		return 1;
	for (i = 0; i < 1048576; i++)
		p[i] = (uint8_t)(i * 7);
	printf("%-10s", "bytes");
	for (i = 0; i < sizeof(lens) / sizeof(*lens); i++)
		printf(" %8zu", lens[i]);
	printf("\n");
	for (path = 0; path < BLAKE3_PATHS; path++) {
		if (!blake3_path_usable((enum blake3_path)path))
			continue;
		blake3_path_force((enum blake3_path)path);
		printf("%-10s", blake3_path_name((enum blake3_path)path));
		for (i = 0; i < sizeof(lens) / sizeof(*lens); i++)
			printf(" %8.2f", rate(p, lens[i]));
		printf("\n");
	}
	free(p);
	return 0;
}
