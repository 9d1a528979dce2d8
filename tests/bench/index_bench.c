/*
 * index_bench [KEYS [DIRECTORY]] - what the index costs: adding, hits, misses.
 *
 * Random keys, 1000 to a pack, 8 to a group, as a backup adds them; then
 * look-ups of 256 at once.  CPU is of the whole process, merges included; the
 * files are in the page cache.  Makes its own directory and removes it.
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

#define PACK_KEYS 1000u
#define BATCH 256u
#define LOOKUPS 1000000u

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

static double
wall(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double
cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void
die(const struct err *err)
{
	fprintf(stderr, "index_bench: %s\n", err->text);
	exit(1);
}

static double wall0, cpu0;

static void
start(void)
{
	wall0 = wall();
	cpu0 = cpu();
}

static void
report(const char *what, uint64_t n)
{
	double c = cpu() - cpu0, w = wall() - wall0;

	printf("%-34s %9llu keys  %7.2f s wall  %6.2f us wall/key  %6.2f us CPU/key\n",
	    what, (unsigned long long)n, w, w / (double)n * 1e6, c / (double)n * 1e6);
	fflush(stdout);
}

static void
add_all(struct index *ix, uint64_t keys, struct err *err)
{
	struct pack_entry e[8];
	double worst = 0, t;

	for (uint64_t i = 0; i < keys; i += 8) {
		uint32_t pack = (uint32_t)(i / PACK_KEYS) + 1;

		for (uint32_t k = 0; k < 8; k++) {
			make_id(i + k, &e[k].id);
			e[k].loc.pack = pack;
			e[k].loc.offset = 64 + 8 * (uint32_t)(i % PACK_KEYS);
			e[k].loc.place = (uint16_t)k;
			e[k].len = 65536;
			e[k].kind = CHUNK_DATA;
		}
		t = wall();
		if (index_add(ix, e, 8, err) != 0)
			die(err);
		if ((i + 8) % PACK_KEYS == 0)
			index_pack_done(ix, pack);
		t = wall() - t;
		worst = t > worst ? t : worst;
	}
	report("add, 8 at once", keys);
	printf("  longest add %.1f ms\n", worst * 1e3);
	if (index_flush(ix, err) != 0 || index_settle(ix, err) != 0)
		die(err);
	report("add, flushed and merged", keys);
}

static void
look_up(struct index *ix, const char *what, uint64_t from, uint64_t range, int want,
    struct err *err)
{
	static struct chunk_id ids[BATCH];
	static struct index_hit hits[BATCH];
	uint64_t n = 0, found = 0;
	double worst = 0, t;

	start();
	for (; n < LOOKUPS; n += BATCH) {
		for (uint32_t i = 0; i < BATCH; i++)
			make_id(from + mix(n + i) % range, &ids[i]);
		t = wall();
		if (index_lookup(ix, ids, BATCH, hits, err) != 0)
			die(err);
		t = wall() - t;
		worst = t > worst ? t : worst;
		for (uint32_t i = 0; i < BATCH; i++)
			found += hits[i].loc.pack != 0;
	}
	report(what, n);
	printf("  longest batch %.1f ms\n", worst * 1e3);
	if (found != (want ? n : 0)) {
		fprintf(stderr, "index_bench: %llu found\n", (unsigned long long)found);
		exit(1);
	}
}

static int
remove_file(void *arg, const char *name)
{
	char full[FS_NAME_MAX + 16];
	struct err ignored = ERR_INIT;

	(void)snprintf(full, sizeof(full), INDEX_DIR "/%.60s", name);
	(void)fs_unlink(arg, full, &ignored);
	return 0;
}

int
main(int argc, char **argv)
{
	uint64_t keys = argc > 1 ? strtoull(argv[1], NULL, 10) / 8000 * 8000 : 4000000;
	struct index_config config = { .mem_entries = 0 };
	struct index_stats s;
	struct index *ix;
	struct err err = ERR_INIT;
	struct fs *fs;
	uint32_t *packs, n_packs = (uint32_t)(keys / PACK_KEYS);
	char dir[200], sub[220];

	(void)snprintf(
	    dir, sizeof(dir), "%.150s/index_bench.XXXXXX", argc > 2 ? argv[2] : "/tmp");
	if (keys == 0 || mkdtemp(dir) == NULL || (packs = calloc(n_packs, 4)) == NULL) {
		fprintf(stderr, "usage: index_bench [KEYS [DIRECTORY]]\n");
		return 2;
	}
	for (uint32_t i = 0; i < n_packs; i++)
		packs[i] = i + 1;
	if (fs_open_dir(dir, &fs, &err) != 0 ||
	    index_open(fs, &config, NULL, 0, &ix, NULL, &err) != 0)
		die(&err);
	start();
	add_all(ix, keys, &err);
	look_up(ix, "hits", 0, keys, 1, &err);
	look_up(ix, "misses", keys * 10, keys, 0, &err);
	index_stats(ix, &s);
	printf("%u runs, %.1f B/key on disk, %.2f B/key in memory, %llu flushes, %llu "
	       "merges\n",
	    s.runs, (double)s.disk / (double)keys, (double)s.ram / (double)keys,
	    (unsigned long long)s.flushes, (unsigned long long)s.merges);
	index_close(ix);
	start();
	if (index_open(fs, &config, packs, n_packs, &ix, NULL, &err) != 0)
		die(&err);
	report("open again", keys);
	index_close(ix);
	(void)fs_list(fs, INDEX_DIR, remove_file, fs, &err);
	fs_free(fs);
	free(packs);
	(void)snprintf(sub, sizeof(sub), "%s/" INDEX_DIR, dir);
	(void)rmdir(sub);
	(void)rmdir(dir);
	return 0;
}
