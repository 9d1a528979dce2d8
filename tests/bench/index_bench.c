/*
 * index_bench ENGINE KEYS DIRECTORY [SEED] - the index, or another store of keys, at
 * size.  ENGINE is holdfast, rocksdb or lmdb (bench/index/).
 *
 * Adds KEYS (a multiple of 1000) as backups would, while another thread looks up; waits
 * for what goes on behind; asks for what is there and what is not; closes and opens
 * again; asks again with nothing of its files in the page cache.  Ours is then killed
 * while it writes and merges, opened, and (with REBUILD=1) made anew from footers.  A
 * JSON line each.  Every answer is compared.  The directory must be empty.
 *
 * `cpu` is of the process without the looking thread.  `blocked` of a look-up is time
 * in which it neither ran nor waited for a core: locks and disk.  `ram` and `peak`
 * are resident bytes beyond those at the start.
 */
#define _GNU_SOURCE /* mincore() */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/bytes.h"
#include "tests/bench/index/engine.h"

const uint8_t engine_store[PACK_STORE_ID_LEN] = "index_bench";

static const struct engine *engine;
static const char *dir;
static uint64_t seed = 1, base_rss;

_Noreturn void
engine_die(const char *what, const char *why)
{
	fprintf(stderr, "index_bench: %s: %s\n", what, why);
	exit(2);
}

static uint64_t
mix(uint64_t z)
{
	z += UINT64_C(0x9e3779b97f4a7c15);
	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

void
engine_id(uint64_t n, struct chunk_id *id)
{
	for (uint64_t k = 0; k < 4; k++) {
		uint64_t v = mix(n * 4 + k + (seed << 48));

		memcpy(id->b + 8 * k, &v, 8);
	}
}

static void
place(uint64_t n, struct pack_loc *loc)
{
	loc->pack = (uint32_t)(n / ENGINE_PACK) + 1;
	loc->offset = 96 + (uint32_t)(n % ENGINE_PACK / ENGINE_GROUP) * ENGINE_GROUP_LEN;
	loc->place = (uint16_t)(n % ENGINE_PACK % ENGINE_GROUP);
}

void
engine_entry(uint64_t n, struct pack_entry *out)
{
	memset(out, 0, sizeof(*out));
	engine_id(n, &out->id);
	place(n, &out->loc);
	out->len = 65536;
	out->kind = CHUNK_DATA;
}

void
engine_pack_value(const struct pack_entry *e, uint8_t out[ENGINE_VALUE_LEN])
{
	store_le32(out, e->loc.pack);
	store_le32(out + 4, e->loc.offset);
	store_le16(out + 8, e->loc.place);
	store_le16(out + 10, (uint16_t)(e->len / 64));
}

void
engine_unpack_value(const uint8_t p[ENGINE_VALUE_LEN], struct pack_loc *out)
{
	out->pack = load_le32(p);
	out->offset = load_le32(p + 4);
	out->place = load_le16(p + 8);
}

/* ------------------------------------------------------------- measuring -- */

static double
clock_of(clockid_t which)
{
	struct timespec t;

	(void)clock_gettime(which, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A number behind `key` in a file of /proc/self. */
static uint64_t
proc(const char *file, const char *key)
{
	unsigned long long v = 0;
	char line[256];
	FILE *f = fopen(file, "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, strlen(key)) == 0) {
			v = strtoull(line + strlen(key), NULL, 10);
			break;
		}
	if (f != NULL)
		(void)fclose(f);
	return v;
}

static void
write_file(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (write(fd, text, strlen(text)) < 0)
			fprintf(stderr, "index_bench: cannot write %s\n", name);
		(void)close(fd);
	}
}

/* Do `what` to every file of the store. */
static uint64_t
each_file(uint64_t (*what)(int fd, uint64_t len), const char *at, int deep)
{
	DIR *d = opendir(at);
	uint64_t sum = 0;
	struct dirent *e;
	struct stat st;
	char name[600];

	while (d != NULL && (e = readdir(d)) != NULL) {
		int fd;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "%.300s/%.255s", at, e->d_name);
		if ((fd = open(name, O_RDONLY | O_CLOEXEC)) < 0)
			continue;
		if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
			sum += what(fd, (uint64_t)st.st_size);
		else if (deep)
			sum += each_file(what, name, 0);
		(void)close(fd);
	}
	if (d != NULL)
		(void)closedir(d);
	return sum;
}

static uint64_t
disk_of(int fd, uint64_t len)
{
	struct stat st;

	(void)len;
	return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static uint64_t
drop_cached(int fd, uint64_t len)
{
	(void)len;
	(void)fdatasync(fd);
	return posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED) == 0;
}

/* Bytes that are in the page cache all the same. */
static uint64_t
cached_of(int fd, uint64_t len)
{
	size_t pages = (size_t)(len + 4095) / 4096;
	unsigned char *in = calloc(pages + 1, 1);
	uint64_t n = 0;
	void *p;

	if (len == 0 || in == NULL)
		return 0;
	p = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED && mincore(p, len, in) == 0)
		for (size_t i = 0; i < pages; i++)
			n += in[i] & 1;
	if (p != MAP_FAILED)
		(void)munmap(p, len);
	free(in);
	return n * 4096;
}

/* ------------------------------------------------------- the looking thread -- */

static struct looker {
	pthread_t thread;
	void *e;
	atomic_ullong added; /* Keys below are there. */
	atomic_int stop;
	double cpu; /* So far. */
	uint64_t n;
	double most_blocked, most_wall; /* Of a look-up of 256; since last asked. */
	uint64_t most_disk;
	pthread_mutex_t lock;
} looker = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* Seconds that the thread ran and waited for a core. */
static double
scheduled(int fd)
{
	char text[100];
	ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
	char *p = text;

	if (n <= 0)
		return 0;
	text[n] = '\0';
	return (double)strtoull(p, &p, 10) / 1e9 + (double)strtoull(p, &p, 10) / 1e9;
}

/* Ask for 256, every other of them there; the answers must be right. */
static void
look(void *e, uint64_t added, uint64_t draw, int hits, int misses)
{
	struct chunk_id ids[ENGINE_BATCH];
	struct pack_loc got[ENGINE_BATCH], want;
	uint64_t key[ENGINE_BATCH];
	uint32_t n = 0;

	for (uint32_t i = 0; i < ENGINE_BATCH; i++) {
		key[i] = mix(draw * ENGINE_BATCH + i) % added;
		if (!hits || (misses && i % 2))
			key[i] += UINT64_C(1) << 40;
		engine_id(key[i], &ids[i]);
	}
	engine->look(e, ids, ENGINE_BATCH, got);
	for (; n < ENGINE_BATCH; n++) {
		place(key[n], &want);
		if (key[n] >> 40
			? got[n].pack != 0
			: got[n].pack != want.pack || got[n].offset != want.offset ||
			      got[n].place != want.place)
			engine_die(engine->name, "a wrong answer");
	}
}

static void *
look_on(void *arg)
{
	struct looker *l = arg;
	int fd = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	double sample = 0;

	for (uint64_t n = 1; !atomic_load(&l->stop); n++) {
		uint64_t added = atomic_load(&l->added), disk = 0;
		double was = scheduled(fd), from = clock_of(CLOCK_MONOTONIC), wall;

		if (added > 0)
			look(l->e, added, n, 1, 1);
		wall = clock_of(CLOCK_MONOTONIC) - from;
		was = scheduled(fd) - was;
		if (from - sample > 0.5) {
			disk = each_file(disk_of, dir, 1);
			sample = from;
		}
		(void)pthread_mutex_lock(&l->lock);
		l->n++;
		if (wall - was > l->most_blocked)
			l->most_blocked = wall - was;
		if (wall > l->most_wall)
			l->most_wall = wall;
		if (disk > l->most_disk)
			l->most_disk = disk;
		l->cpu = clock_of(CLOCK_THREAD_CPUTIME_ID);
		(void)pthread_mutex_unlock(&l->lock);
		(void)usleep(2000);
	}
	(void)close(fd);
	return NULL;
}

static void
start_looking(void *e, uint64_t added)
{
	looker.e = e;
	atomic_store(&looker.added, added);
	atomic_store(&looker.stop, 0);
	if (pthread_create(&looker.thread, NULL, look_on, &looker) != 0)
		engine_die("bench", "cannot start a thread");
}

static void
stop_looking(void)
{
	atomic_store(&looker.stop, 1);
	(void)pthread_join(looker.thread, NULL);
}

/* ----------------------------------------------------------------- phases -- */

static double wall0, cpu0, looked0;
static uint64_t written0;

static double
cpu_of_all(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void
begin_phase(void)
{
	write_file("/proc/self/clear_refs", "5");
	(void)pthread_mutex_lock(&looker.lock);
	looker.n = looker.most_disk = 0;
	looker.most_blocked = looker.most_wall = 0;
	looked0 = looker.cpu;
	(void)pthread_mutex_unlock(&looker.lock);
	written0 = proc("/proc/self/io", "write_bytes:");
	wall0 = clock_of(CLOCK_MONOTONIC);
	cpu0 = cpu_of_all();
}

/* `e` may be NULL: nothing is open. */
static void
end_phase(const char *name, uint64_t n, void *e)
{
	double wall = clock_of(CLOCK_MONOTONIC) - wall0, cpu = cpu_of_all() - cpu0;
	uint64_t rss = proc("/proc/self/status", "VmRSS:") * 1024;
	uint64_t peak = proc("/proc/self/status", "VmHWM:") * 1024;
	uint64_t disk = each_file(disk_of, dir, 1);

	(void)pthread_mutex_lock(&looker.lock);
	printf("{\"engine\": \"%s\", \"phase\": \"%s\", \"n\": %llu, \"wall\": %.3f, "
	       "\"cpu\": %.3f, \"ram\": %lld, \"peak\": %lld, \"disk\": %llu, "
	       "\"written\": %llu, \"looked\": %llu, \"blocked_ms\": %.2f, "
	       "\"longest_ms\": %.2f, \"most_disk\": %llu",
	    engine->name, name, (unsigned long long)n, wall, cpu - (looker.cpu - looked0),
	    (long long)(rss - base_rss), (long long)(peak - base_rss),
	    (unsigned long long)disk,
	    (unsigned long long)(proc("/proc/self/io", "write_bytes:") - written0),
	    (unsigned long long)looker.n, looker.most_blocked * 1e3,
	    looker.most_wall * 1e3, (unsigned long long)looker.most_disk);
	(void)pthread_mutex_unlock(&looker.lock);
	if (e != NULL) {
		printf(", ");
		engine->tell(e);
	}
	printf("}\n");
	(void)fflush(stdout);
}

static void
add(void *e, uint64_t from, uint64_t to)
{
	struct pack_entry group[ENGINE_GROUP];

	for (uint64_t i = from; i < to; i += ENGINE_GROUP) {
		uint64_t end = i + ENGINE_GROUP;

		for (uint32_t k = 0; k < ENGINE_GROUP; k++)
			engine_entry(i + k, &group[k]);
		engine->add(e, group, ENGINE_GROUP,
		    end % ENGINE_PACK == 0 ? group[0].loc.pack : 0);
		/* Others know a pack only whole. */
		if (end % ENGINE_PACK == 0)
			atomic_store(&looker.added, end);
	}
}

static void
ask(void *e, const char *name, uint64_t keys, uint64_t n, int hits)
{
	begin_phase();
	for (uint64_t i = 0; i < n; i += ENGINE_BATCH)
		look(e, keys, i + keys, hits, !hits);
	end_phase(name, (n + ENGINE_BATCH - 1) / ENGINE_BATCH * ENGINE_BATCH, e);
}

/* Nothing of the store's files stays in the page cache. */
static void
make_cold(void)
{
	uint64_t left;

	for (int i = 0; i < 20; i++) {
		(void)each_file(drop_cached, dir, 1);
		left = each_file(cached_of, dir, 1);
		if (left < 1 << 20)
			return;
		(void)usleep(100000);
	}
	fprintf(stderr, "index_bench: %llu bytes stay in the page cache\n",
	    (unsigned long long)left);
}

static void *
cold(uint64_t keys, const char *name, int hits)
{
	void *e;

	make_cold();
	/* What it needs in memory it reads now; its blocks it does not. */
	e = engine->open(dir, keys, 0);
	ask(e, name, keys, 20000, hits);
	return e;
}

/* Killed while the last of `more` keys are written out and merged. */
static void
killed(uint64_t keys, uint64_t more)
{
	int says[2];
	char c;
	pid_t child;
	void *e;

	if (pipe(says) != 0 || (child = fork()) < 0)
		engine_die("bench", "cannot fork");
	if (child == 0) {
		e = engine->open(dir, keys, 0);
		add(e, keys, keys + more);
		if (write(says[1], "x", 1) != 1)
			_exit(2);
		for (;;)
			(void)pause();
	}
	(void)close(says[1]);
	if (read(says[0], &c, 1) != 1)
		engine_die("bench", "the one to be killed died by itself");
	(void)kill(child, SIGKILL);
	(void)waitpid(child, NULL, 0);
	(void)close(says[0]);
	begin_phase();
	e = engine->open(dir, keys + more, 0);
	end_phase("open after a kill", keys + more, e);
	for (uint64_t i = 0; i < 1000000; i += ENGINE_BATCH)
		look(e, keys + more, i, 1, 1);
	for (uint64_t i = 0; i < more; i += ENGINE_PACK) {
		struct chunk_id id;
		struct pack_loc got;

		engine_id(keys + i, &id);
		engine->look(e, &id, 1, &got);
		if (got.pack != (keys + i) / ENGINE_PACK + 1)
			engine_die(engine->name, "a key was lost by a kill");
	}
	engine->close(e);
}

static void
rebuilt(uint64_t keys)
{
	void *e;

	begin_phase();
	e = engine->open(dir, keys, 1);
	engine->settle(e);
	end_phase("made anew", keys, e);
	ask(e, "hits, made anew", keys, 100000, 1);
	engine->close(e);
}

static void
measure(uint64_t keys)
{
	uint64_t n = keys < 1000000 ? keys : 1000000;
	void *e;

	base_rss = proc("/proc/self/status", "VmRSS:") * 1024;
	begin_phase();
	e = engine->open(dir, 0, 0);
	start_looking(e, 0);
	add(e, 0, keys);
	end_phase("add", keys, e);
	begin_phase();
	engine->settle(e);
	end_phase("settle", keys, e);
	begin_phase();
	(void)sleep(keys < 1000000 ? 1 : 5);
	end_phase("nothing but look-ups", 1, e);
	stop_looking();
	ask(e, "hits", keys, n, 1);
	ask(e, "misses", keys, n, 0);
	begin_phase();
	engine->close(e);
	e = engine->open(dir, keys, 0);
	end_phase("close and open", keys, e);
	engine->close(e);
	e = cold(keys, "hits, cold", 1);
	engine->close(e);
	e = cold(keys, "misses, cold", 0);
	engine->close(e);
	if (engine == &engine_holdfast) {
		killed(keys, 600000);
		if (getenv("REBUILD") != NULL)
			rebuilt(keys + 600000);
	}
}

int
main(int argc, char **argv)
{
	static const struct engine *const all[] = { &engine_holdfast, &engine_rocksdb,
		&engine_lmdb };
	uint64_t keys = argc > 3 ? strtoull(argv[2], NULL, 10) : 0;

	for (size_t i = 0; argc > 3 && i < sizeof(all) / sizeof(all[0]); i++)
		if (strcmp(all[i]->name, argv[1]) == 0)
			engine = all[i];
	if (engine == NULL || keys == 0 || keys % ENGINE_PACK != 0) {
		fprintf(stderr, "usage: index_bench ENGINE KEYS DIRECTORY [SEED]\n");
		return 2;
	}
	dir = argv[3];
	/* As holdfastd does: what is large goes back when it is freed. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
	(void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
	if (argc > 4)
		seed = strtoull(argv[4], NULL, 10) & 0xffff;
	measure(keys);
	return 0;
}
