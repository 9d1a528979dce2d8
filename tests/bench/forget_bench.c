/*
 * forget_bench [PACKS [DIRECTORY]] - what many packs cost the index's manifest.
 *
 * PACKS packs of ten chunks each; half of them, drawn at random, leave at once, which
 * makes as many gaps as there can be on average.  CPU of the process and wall time of
 * each step; makes its own directory and removes it.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/index.h"

#define CHUNKS 10u
#define BATCH 256u

static struct err err = ERR_INIT;
static struct fs *fs;
static struct index *ix;
static struct index_config config;
static double wall0, cpu0;

static uint64_t
mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static void
make_id(uint64_t n, struct chunk_id *id)
{
	for (uint64_t k = 0; k < 4; k++) {
		uint64_t v = mix(n * 4 + k);

		memcpy(id->b + 8 * k, &v, 8);
	}
}

static void
check(int bad)
{
	if (bad) {
		fprintf(stderr, "forget_bench: %s\n", err.text);
		exit(1);
	}
}

static double
cpu(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static double
wall(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void
start(void)
{
	wall0 = wall();
	cpu0 = cpu();
}

static void
report(const char *what, double of, const char *unit, double scale)
{
	printf("%-44s %10.3f %s CPU %10.3f wall\n", what, (cpu() - cpu0) / of * scale,
	    unit, (wall() - wall0) / of * scale);
	(void)fflush(stdout);
}

static int
remove_file(void *arg, const char *name)
{
	char full[FS_NAME_MAX + 16];

	(void)arg;
	(void)snprintf(full, sizeof(full), INDEX_DIR "/%.60s", name);
	(void)fs_unlink(fs, full, &err);
	return 0;
}

static void
add_all(uint32_t packs)
{
	struct pack_entry e[CHUNKS];

	memset(e, 0, sizeof(e));
	for (uint32_t p = 1; p <= packs; p++) {
		for (uint32_t i = 0; i < CHUNKS; i++) {
			make_id((uint64_t)p * CHUNKS + i, &e[i].id);
			e[i].loc.pack = p;
			e[i].loc.offset = 96;
			e[i].loc.place = (uint16_t)i;
			e[i].len = 1;
			e[i].kind = CHUNK_DATA;
		}
		check(index_add(ix, e, CHUNKS, &err));
		index_pack_done(ix, p);
	}
	check(index_flush(ix, &err));
	check(index_settle(ix, &err));
}

static void
look(const char *what, uint32_t packs, const uint8_t *gone)
{
	struct chunk_id ids[BATCH];
	struct index_hit hits[BATCH];
	uint64_t of[BATCH];
	uint32_t n = 200000;

	start();
	for (uint32_t at = 0; at < n; at += BATCH) {
		for (uint32_t i = 0; i < BATCH; i++) {
			of[i] = CHUNKS + mix(at + i) % ((uint64_t)packs * CHUNKS);
			make_id(of[i], &ids[i]);
		}
		check(index_lookup(ix, ids, BATCH, hits, &err));
		for (uint32_t i = 0; i < BATCH; i++)
			if ((hits[i].loc.pack == 0) != gone[of[i] / CHUNKS]) {
				fprintf(stderr, "forget_bench: a wrong answer\n");
				exit(1);
			}
	}
	report(what, n, "us", 1e6);
}

int
main(int argc, char **argv)
{
	uint32_t packs = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 100000, n = 0;
	uint32_t *nos = malloc(((size_t)packs + 1) * sizeof(*nos));
	uint8_t *gone = calloc((size_t)packs + 2, 1);
	struct index_stats before, after;
	char dir[200], sub[220];

	(void)snprintf(
	    dir, sizeof(dir), "%.150s/forget_bench.XXXXXX", argc > 2 ? argv[2] : "/tmp");
	if (packs == 0 || nos == NULL || gone == NULL || mkdtemp(dir) == NULL) {
		fprintf(stderr, "usage: forget_bench [PACKS [DIRECTORY]]\n");
		return 2;
	}
	check(fs_open_dir(dir, &fs, &err));
	check(index_open(fs, &config, NULL, 0, &ix, NULL, &err));
	add_all(packs);
	index_stats(ix, &before);
	look("look up, one range of packs", packs, gone);
	for (uint32_t p = 1; p <= packs; p++)
		if (mix(p + 7) & 1) {
			nos[n++] = p;
			gone[p] = 1;
		}
	start();
	check(index_forget_packs(ix, nos, n, &err));
	report("half of the packs leave at once", 1, "ms", 1e3);
	index_stats(ix, &after);
	printf("%-44s %10llu bytes more in memory\n", "",
	    (unsigned long long)(after.ram - before.ram));
	start();
	check(index_forget_packs(ix, nos, 1, &err));
	report("one leaves, as each change of the manifest", 1, "ms", 1e3);
	look("look up, half gone", packs, gone);
	n = 0;
	for (uint32_t p = 1; p <= packs; p++)
		if (!gone[p])
			nos[n++] = p;
	index_close(ix);
	start();
	check(index_open(fs, &config, nos, n, &ix, NULL, &err));
	report("open again", 1, "ms", 1e3);
	look("look up, after opening", packs, gone);
	index_close(ix);
	(void)fs_list(fs, INDEX_DIR, remove_file, NULL, &err);
	fs_free(fs);
	free(nos);
	free(gone);
	(void)snprintf(sub, sizeof(sub), "%s/" INDEX_DIR, dir);
	(void)rmdir(sub);
	(void)rmdir(dir);
	return 0;
}
