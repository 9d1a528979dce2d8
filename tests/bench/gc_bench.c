/*
 * gc_bench - what a cycle costs in time and memory: gc_bench CHUNKS DIR
 *
 * Makes a store in DIR (removed before and after) with two points of CHUNKS / 2 chunks
 * each, in groups of eight as real ones; their content is empty and their names are
 * drawn.  Then one cycle in which all lives, and one after the first point was pruned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "storage/store_gc.h"
#include "storage/store_retention.h"

#define CHUNK 1024u
#define MUST(call)                                                                    \
	do {                                                                          \
		if ((call) != 0) {                                                    \
			(void)fprintf(stderr, "gc_bench: %s: %s\n", #call, err.text); \
			exit(1);                                                      \
		}                                                                     \
	} while (0)

static struct err err;
static uint64_t drawn;

struct maker {
	struct store_lease *lease;
	struct group_builder *data, *meta;
	struct codec *codec;
	struct buf bytes;
};

static void
flush(struct maker *m, struct group_builder *b)
{
	struct group g;

	if (group_builder_count(b) == 0)
		return;
	MUST(group_builder_finish(b, m->codec, 1, &m->bytes, &err));
	MUST(group_parse(m->bytes.p, m->bytes.len, &g, &err));
	MUST(store_put(m->lease, &g, &err));
}

static int
take_node(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *e)
{
	struct maker *m = arg;

	(void)e;
	if (group_builder_full(m->meta, len))
		flush(m, m->meta);
	MUST(group_builder_add(m->meta, id, p, len, &err));
	return 0;
}

static void
draw_id(struct chunk_id *id)
{
	for (size_t i = 0; i < CHUNK_ID_LEN; i += 8) {
		uint64_t x = (drawn += 0x9e3779b97f4a7c15u);

		x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
		x = (x ^ x >> 27) * 0x94d049bb133111ebu;
		x ^= x >> 31;
		memcpy(id->b + i, &x, 8);
	}
}

/* A point of `n` chunks. */
static void
back_up(struct store *s, const char *host, uint64_t n)
{
	static const char *const names[] = { "C" };
	static const uint8_t zeros[CHUNK];
	struct buf bad = BUF_INIT(4096), data = BUF_INIT(4096), meta = BUF_INIT(4096);
	struct store_point *p = calloc(1, sizeof(*p));
	struct tree_root root = {
		.size = n * CHUNK, .sector_size = 512, .fs = "raw", .provider = "offline"
	};
	enum store_commit_result result = STORE_MISSING;
	struct maker m = { .data = group_builder_new(CHUNK_DATA),
		.meta = group_builder_new(CHUNK_META),
		.codec = codec_new(),
		.bytes = BUF_INIT(GROUP_LEN_MAX) };
	struct tree_builder *tree;
	struct store_base base;

	MUST(store_lease_open(s, host, STORE_BACKUP, &m.lease, &err));
	MUST(store_backup_begin(m.lease, names, 1, &base, &bad, &err));
	tree = tree_builder_new(store_keys(s), &root, take_node, &m);
	for (uint64_t i = 0; i < n; i++) {
		struct extent e = { .kind = EXTENT_DATA,
			.offset = i * CHUNK,
			.len = CHUNK,
			.chunk_len = CHUNK };

		draw_id(&e.id);
		MUST(group_builder_add(m.data, &e.id, zeros, CHUNK, &err));
		if (group_builder_count(m.data) == 8)
			flush(&m, m.data);
		MUST(tree_builder_add(tree, &e, &err));
	}
	p->volumes_count = 1;
	memcpy(p->volumes[0].name, "C", 2);
	MUST(tree_builder_finish(tree, &p->volumes[0].root_id, &err));
	flush(&m, m.data);
	flush(&m, m.meta);
	MUST(store_commit(m.lease, p, &result, &data, &meta, &err));
	if (result != STORE_COMMITTED)
		exit(1);
	store_lease_close(m.lease);
	tree_builder_free(tree);
	group_builder_free(m.data);
	group_builder_free(m.meta);
	codec_free(m.codec);
	buf_free(&m.bytes);
	free(p);
}

/* Memory of this process now, KiB. */
static long
resident(void)
{
	char line[128];
	long kib = 0;
	FILE *f = fopen("/proc/self/status", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "VmRSS: %ld", &kib) == 1)
			break;
	if (f != NULL)
		(void)fclose(f);
	return kib;
}

static double
seconds(clockid_t of)
{
	struct timespec t;

	(void)clock_gettime(of, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int
watch(void *arg, const struct store_gc_report *r)
{
	long *most = arg, now = resident();

	(void)r;
	if (now > *most)
		*most = now;
	return 0;
}

static void
collect(struct store *s, const char *what)
{
	struct store_gc_report r;
	long before = resident(), most = before;
	double cpu = seconds(CLOCK_PROCESS_CPUTIME_ID), wall = seconds(CLOCK_MONOTONIC);

	MUST(store_gc(s, NULL, watch, &most, &r, &err));
	(void)printf(
	    "%-22s %10llu marked, %5llu nodes, %4u of %4u packs removed, %6.2f s "
	    "CPU, %6.2f s, %4ld MiB before, %4ld more at most\n",
	    what, (unsigned long long)r.chunks, (unsigned long long)r.nodes,
	    r.packs_removed, r.packs, seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu,
	    seconds(CLOCK_MONOTONIC) - wall, before / 1024, (most - before) / 1024);
	(void)fflush(stdout);
}

static void
clean(const char *dir)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	if (system(command) != 0)
		exit(1);
}

int
main(int argc, char **argv)
{
	uint64_t n = argc > 2 ? strtoull(argv[1], NULL, 10) : 0, first = 1;
	struct store *s;
	int status;
	pid_t pid;

	if (n < 2)
		return 2;
	clean(argv[2]);
	/* Made by another process: its memory is not to be measured. */
	if ((pid = fork()) == 0) {
		MUST(store_init(argv[2], &err));
		MUST(store_open(argv[2], &s, &err));
		back_up(s, "alpha", n / 2);
		back_up(s, "beta", n / 2);
		store_close(s);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
		return 1;
	MUST(store_open(argv[2], &s, &err));
	collect(s, "all lives:");
	MUST(store_prune_points(s, "bench", "alpha", &first, 1, &err));
	collect(s, "half of it is pruned:");
	store_close(s);
	clean(argv[2]);
	return 0;
}
