/*
 * huge - a huge NTFS volume that is mostly computed (huge_volume.h).
 *
 *	huge make FILE SIZE CLUSTER FILES
 *		write it as a sparse image; HUGE_SAMPLES files have content
 *	huge check FILE SIZE CLUSTER FILES
 *		is that what the file holds?  Reads metadata, samples, and what the
 *		file system says is data
 *	huge map SIZE CLUSTER FILES [MEMORY DIR]
 *		map the volume without a file, in MEMORY bytes, spilling to DIR;
 *		prints what came of it on one line, with a hash of all cuts
 *	huge again SIZE CLUSTER FILES MEMORY DIR EVERY
 *		the same four times with what it reads kept in DIR (metacache.h): anew,
 *		with nothing changed, with one in EVERY 4 KiB of $MFT changed, and that
 *		once more without what was kept, which must have the same cuts
 */
#define _GNU_SOURCE /* SEEK_DATA */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/map/changes.h"
#include "agent/map/metacache.h"
#include "agent/map/spill.h"
#include "agent/map/volmap.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/chunk_id.h"
#include "tests/tools/huge_volume.h"

#define PIECE (1u << 20)

static struct huge volume;

static void
die(const char *why)
{
	(void)fprintf(stderr, "huge: %s\n", why);
	exit(1);
}

static void
volume_of(char **argv)
{
	if (!huge_init(&volume, strtoull(argv[0], NULL, 0),
		(uint32_t)strtoul(argv[1], NULL, 0), (uint32_t)strtoul(argv[2], NULL, 0)))
		die("there is no such volume");
}

static void
put(int fd, uint64_t offset, const uint8_t *p, size_t len)
{
	if (pwrite(fd, p, len, (off_t)offset) != (ssize_t)len)
		die("cannot write the image");
}

/* The file and run that sample `i` is. */
static uint32_t
sample(uint32_t i)
{
	return (uint32_t)((uint64_t)volume.files * i / HUGE_SAMPLES);
}

/* ------------------------------------------------------------- make, check -- */

/* Put or compare one range; in the file's data area zeros are not written. */
static void
each_range(int fd, int check, uint64_t offset, const uint8_t *p, size_t len)
{
	static uint8_t is[PIECE];

	if (!check) {
		put(fd, offset, p, len);
		return;
	}
	if (pread(fd, is, len, (off_t)offset) != (ssize_t)len ||
	    memcmp(is, p, len) != 0) {
		(void)fprintf(
		    stderr, "huge: differs in %zu bytes at %" PRIu64 "\n", len, offset);
		exit(1);
	}
}

static void
metadata(int fd, int check)
{
	uint64_t end = (uint64_t)volume.data * volume.cluster, at = 0;
	static uint8_t p[PIECE];
	size_t n;

	for (; at < end; at += n) {
		n = end - at < PIECE ? (size_t)(end - at) : PIECE;
		huge_read(&volume, at, p, n);
		each_range(fd, check, at, p, n);
	}
	huge_read(&volume, 0, p, 512);
	each_range(fd, check, volume.size - 512, p, 512);
}

static void
samples(int fd, int check)
{
	static uint8_t p[PIECE];
	struct image_run run;

	for (uint32_t i = 0; i < HUGE_SAMPLES * HUGE_RUNS; i++) {
		run = huge_run(&volume, sample(i / HUGE_RUNS), i % HUGE_RUNS);
		for (uint64_t c = 0; c < run.len; c++) {
			huge_fill(p, volume.cluster, (uint64_t)run.lcn + c);
			each_range(fd, check, ((uint64_t)run.lcn + c) * volume.cluster, p,
			    volume.cluster);
		}
	}
}

/* Bytes of the file that its file system holds. */
static uint64_t
held(int fd)
{
	uint64_t sum = 0;
	off_t at = 0, end;

	while ((at = lseek(fd, at, SEEK_DATA)) != -1) {
		end = lseek(fd, at, SEEK_HOLE);
		sum += (uint64_t)(end - at);
		at = end;
	}
	return sum;
}

static int
make(char **argv)
{
	int fd = open(argv[0], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	volume_of(argv + 1);
	if (fd == -1 || ftruncate(fd, (off_t)volume.size) == -1)
		die("cannot make the image");
	metadata(fd, 0);
	samples(fd, 0);
	(void)printf("{\"size\":%" PRIu64 ",\"files\":%u,\"extents\":%" PRIu64
		     ",\"data\":%" PRIu64 ",\"held\":%" PRIu64 "}\n",
	    volume.size, volume.files, (uint64_t)volume.files * HUGE_RUNS,
	    (uint64_t)volume.data * volume.cluster, held(fd));
	return close(fd) == 0 ? 0 : 1;
}

/* A copy that holds more than metadata and samples (and a little) made zeros to data. */
static int
check(char **argv)
{
	int fd = open(argv[0], O_RDONLY | O_CLOEXEC);
	uint64_t most;

	volume_of(argv + 1);
	most = (uint64_t)volume.data * volume.cluster +
	       (uint64_t)HUGE_SAMPLES * HUGE_RUNS * (4 * volume.cluster + 131072) +
	       131072;
	if (fd == -1 || lseek(fd, 0, SEEK_END) != (off_t)volume.size)
		die("the copy has another size");
	metadata(fd, 1);
	samples(fd, 1);
	if (held(fd) > most)
		die("the copy holds more than the volume");
	return close(fd) == 0 ? 0 : 1;
}

/* --------------------------------------------------------------------- map -- */

struct tally {
	uint64_t cuts, data_cuts, pieces, scattered, sum, position;
	struct blake3 hash;
};

static double
cpu_s(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* What was read of the volume, and what it took to compute it. */
static uint64_t read_bytes;
static double read_cpu_s;
/* In one of so many 4 KiB of $MFT a byte of the record changed that says nothing. */
static uint64_t every;

static uint64_t
mft_at(void)
{
	return (uint64_t)volume.mft.lcn * volume.cluster;
}

static int
read_volume(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	uint64_t end = mft_at() + volume.mft.len * volume.cluster, at;
	double before = cpu_s();
	uint8_t *p = buf;

	(void)err;
	huge_read(arg, offset, buf, len);
	read_bytes += len;
	for (at = mft_at() + 40; every > 0 && at < end; at += every * 4096)
		if (at >= offset && at < offset + len)
			p[at - offset] ^= 0x55;
		else if (at < offset)
			at += (offset - at) / (every * 4096) * (every * 4096);
		else
			break;
	read_cpu_s += cpu_s() - before;
	return 0;
}

static void
count(struct tally *t, const struct volmap_cut *cut)
{
	uint8_t head[24];

	store_le32(head, (uint32_t)cut->kind);
	store_le32(head + 4, cut->count);
	store_le64(head + 8, cut->offset);
	store_le64(head + 16, cut->len);
	blake3_update(&t->hash, head, sizeof(head));
	for (uint32_t i = 0; i < cut->count; i++) {
		store_le64(head, cut->piece[i].offset);
		store_le64(head + 8, cut->piece[i].len);
		blake3_update(&t->hash, head, 16);
	}
	if (t->cuts > 0 && cut->offset <= t->position)
		die("the walk does not go up");
	t->position = cut->offset;
	t->cuts++;
	t->data_cuts += cut->kind == VOLMAP_DATA;
	t->pieces += cut->count;
	t->scattered += cut->count > 1;
	t->sum += cut->len;
}

/* The most that was ever resident, of this program alone: ru_maxrss outlives an exec. */
static long
peak_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = 0;

	while (f != NULL && kib == 0 && fgets(line, sizeof(line), f) != NULL)
		(void)sscanf(line, "VmHWM: %ld", &kib);
	if (f == NULL || kib == 0)
		die("cannot tell how much memory was used");
	(void)fclose(f);
	return kib;
}

static void
print_map(const struct volmap *m, const struct tally *t, double opened, double walked)
{
	struct volmap_stats stats;
	uint8_t hash[16];

	volmap_stats(m, &stats);
	blake3_final(&t->hash, hash, sizeof(hash));
	(void)printf("{\"runs\":%" PRIu64 ",\"cuts\":%" PRIu64 ",\"data_cuts\":%" PRIu64
		     ",\"pieces\":%" PRIu64 ",\"scattered\":%" PRIu64
		     ",\"spilled\":%" PRIu64 ",\"held\":%" PRIu64
		     ",\"open_cpu_s\":%.2f,\"walk_cpu_s\":%.2f,\"rss_kib\":%ld"
		     ",\"note\":\"%s\",\"hash\":\"",
	    stats.runs, t->cuts, t->data_cuts, t->pieces, t->scattered, stats.spilled,
	    stats.memory, opened, walked, peak_kib(), volmap_note(m));
	for (size_t i = 0; i < sizeof(hash); i++)
		(void)printf("%02x", hash[i]);
	(void)printf("\"}\n");
}

static int
map(char **argv, const char *memory, const char *dir)
{
	struct volmap_limits limits = { VOLMAP_MEMORY, NULL };
	struct spill spill;
	struct tally t = { 0 };
	struct err err = ERR_INIT;
	struct volmap_cut cut;
	struct volmap *m;
	double opened;
	int more;

	volume_of(argv);
	if (memory != NULL) {
		spill_dir(&spill, dir);
		limits.memory = strtoull(memory, NULL, 0);
		limits.spill = &spill;
	}
	blake3_init(&t.hash, NULL);
	if (volmap_open(&(struct volmap_source){ .read = read_volume,
			    .arg = &volume,
			    .size = volume.size,
			    .sector_size = 512 },
		&limits, 0, &m, &err) == -1)
		die(err.text);
	opened = cpu_s();
	while ((more = volmap_next(m, &cut, &err)) == 1)
		count(&t, &cut);
	if (more == -1)
		die(err.text);
	if (t.sum != volume.size)
		die("the cuts do not cover the volume");
	print_map(m, &t, opened, cpu_s() - opened);
	volmap_close(m);
	return 0;
}

/* All cuts of the volume as it is, which are hashed; CPU seconds, but for its reading. */
static double
walk(struct metacache *c, const struct volmap_limits *limits, uint8_t hash[16])
{
	struct tally t = { 0 };
	struct err err = ERR_INIT;
	double before = cpu_s();
	struct volmap_cut cut;
	struct volmap *m;
	int more;

	read_bytes = 0;
	read_cpu_s = 0;
	blake3_init(&t.hash, NULL);
	if (volmap_open(&(struct volmap_source){ .read = read_volume,
			    .arg = &volume,
			    .size = volume.size,
			    .sector_size = 512,
			    .metacache = c },
		limits, 0, &m, &err) == -1)
		die(err.text);
	while ((more = volmap_next(m, &cut, &err)) == 1)
		count(&t, &cut);
	if (more == -1 || t.sum != volume.size)
		die("the cuts do not cover the volume");
	blake3_final(&t.hash, hash, 16);
	volmap_close(m);
	return cpu_s() - before - read_cpu_s;
}

static void
print_again(const char *step, double cpu, double sealing, const struct metacache_facts *f)
{
	(void)printf("{\"map\":\"%s\",\"read\":%" PRIu64 ",\"known\":%" PRIu64
		     ",\"written\":%" PRIu64
		     ",\"cpu_s\":%.2f,\"seal_cpu_s\":%.2f,\"cache_held\":%" PRIu64
		     ",\"rss_kib\":%ld}\n",
	    step, read_bytes, f->known_bytes, f->written_bytes, cpu, sealing, f->memory,
	    peak_kib());
	(void)fflush(stdout);
}

static int
again(char **argv)
{
	static const char *const steps[] = { "anew", "unchanged", "changed", "without" };
	struct chunk_id root = { { 1 } };
	struct chunk_keys keys = { { 0 }, { 0 } };
	struct volmap_limits limits = { strtoull(argv[3], NULL, 0), NULL };
	struct metacache_facts f, sealed;
	struct metacache *c;
	struct changes *list;
	struct spill spill;
	struct err err = ERR_INIT;
	uint8_t hash[4][16];
	char path[4096];
	double cpu, sealing;

	volume_of(argv);
	spill_dir(&spill, argv[4]);
	limits.spill = &spill;
	(void)snprintf(path, sizeof(path), "%s/tables", argv[4]);
	if (metacache_new(path, 0, &c, &err) != 0 ||
	    changes_new(volume.size, &list, &err) != 0)
		die(err.text);
	for (unsigned i = 0; i < 4; i++) {
		const struct metacache_source src = { read_volume, &volume, volume.size };
		const struct metacache_task task = { .base = i == 0 ? NULL : &root,
			.sequence = i,
			.changes = i == 0 ? NULL : list,
			.keys = &keys };

		if (i == 2) {
			every = strtoull(argv[5], NULL, 0);
			for (uint64_t at = 0; at < volume.mft.len * volume.cluster;
			     at += every * 4096)
				changes_add(list, mft_at() + at, 4096);
		}
		cpu = cpu_s();
		if (i < 3 && metacache_begin(c, &task, &src, &err) != 0)
			die(err.text);
		cpu = cpu_s() - cpu + walk(i < 3 ? c : NULL, &limits, hash[i]);
		metacache_facts(c, &f);
		sealing = cpu_s();
		if (i < 3)
			metacache_end(c, 1);
		if (i < 3)
			metacache_seal(c, &root, i + 1);
		sealing = cpu_s() - sealing;
		metacache_facts(c, &sealed);
		f.written_bytes = sealed.written_bytes;
		if (i == 3)
			memset(&f, 0, sizeof(f));
		print_again(steps[i], cpu, sealing, &f);
	}
	metacache_drop(c);
	metacache_free(c);
	changes_free(list);
	if (memcmp(hash[0], hash[1], 16) != 0 || memcmp(hash[2], hash[3], 16) != 0)
		die("what was kept makes other cuts");
	return 0;
}

int
main(int argc, char **argv)
{
	if (argc == 6 && strcmp(argv[1], "make") == 0)
		return make(argv + 2);
	if (argc == 6 && strcmp(argv[1], "check") == 0)
		return check(argv + 2);
	if ((argc == 5 || argc == 7) && strcmp(argv[1], "map") == 0)
		return map(
		    argv + 2, argc == 7 ? argv[5] : NULL, argc == 7 ? argv[6] : NULL);
	if (argc == 8 && strcmp(argv[1], "again") == 0)
		return again(argv + 2);
	(void)fprintf(stderr, "usage: huge make|check FILE SIZE CLUSTER FILES\n"
			      "       huge map SIZE CLUSTER FILES [MEMORY DIR]\n"
			      "       huge again SIZE CLUSTER FILES MEMORY DIR EVERY\n");
	return 2;
}
