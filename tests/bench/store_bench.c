/*
 * What the store's journal, catalog, claims and commit cost.
 * usage: store_bench DIR [POINTS]: makes a store in DIR/store and leaves it there.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "storage/store.h"

#define CHUNK_LEN 65536u
#define ASK 4096u
#define SPANS 6400u

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void
must(int ret, const struct err *err)
{
	if (ret == 0)
		return;
	fprintf(stderr, "%s: %s\n", err_name(err->code), err->text);
	exit(1);
}

struct agent {
	struct store_lease *lease;
	struct group_builder *b;
	struct codec *codec;
	struct buf bytes;
};

static void
flush(struct agent *a, struct err *err)
{
	struct group g;

	if (group_builder_count(a->b) == 0)
		return;
	must(group_builder_finish(a->b, a->codec, 1, &a->bytes, err), err);
	must(group_parse(a->bytes.p, a->bytes.len, &g, err), err);
	must(store_put(a->lease, &g, err), err);
}

static int
emit(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct agent *a = arg;

	if (group_builder_full(a->b, len))
		flush(a, err);
	return group_builder_add(a->b, id, p, len, err);
}

/*
 * A tree of `spans` spans, all different: two chunks in turn, a hole and a zero
 * whose places say which span it is.  Span `odd` has its hole elsewhere.
 */
static struct chunk_id
make_tree(struct agent *a, struct store *s, uint64_t spans,
    const struct chunk_id chunks[2], uint64_t odd, struct err *err)
{
	struct tree_root root = { .size = spans * TREE_SPAN_LEN,
		.sector_size = 512,
		.fs = "raw",
		.provider = "offline" };
	struct tree_builder *t = tree_builder_new(store_keys(s), &root, emit, a);
	const uint64_t blocks = TREE_SPAN_LEN / CHUNK_LEN;
	struct chunk_id id;

	for (uint64_t n = 0; n < spans * blocks; n++) {
		uint64_t span = n / blocks, block = n % blocks;
		struct extent e = { .kind = EXTENT_DATA,
			.len = CHUNK_LEN,
			.offset = n * CHUNK_LEN,
			.chunk_len = CHUNK_LEN,
			.id = chunks[n % 2] };

		if (block == (span + (span == odd)) % blocks)
			e.kind = EXTENT_HOLE;
		else if (block == span / blocks)
			e.kind = EXTENT_ZERO;
		must(tree_builder_add(t, &e, err), err);
	}
	must(tree_builder_finish(t, &id, err), err);
	tree_builder_free(t);
	flush(a, err);
	return id;
}

static void
bench_points(struct store *s, uint32_t points)
{
	static const char *const names[] = { "C" };
	struct buf bad = BUF_INIT(4096), data = BUF_INIT(4096), meta = BUF_INIT(4096);
	struct store_point *p = calloc(1, sizeof(*p));
	static uint8_t content[2][CHUNK_LEN];
	struct err err = ERR_INIT;
	struct agent a = { .codec = codec_new(), .bytes = BUF_INIT(GROUP_LEN_MAX) };
	enum store_commit_result result;
	struct store_base base;
	struct chunk_id chunks[2];
	double start;

	must(store_lease_open(s, "bench", STORE_BACKUP, &a.lease, &err), &err);
	must(store_backup_begin(a.lease, names, 1, &base, &bad, &err), &err);
	a.b = group_builder_new(CHUNK_DATA);
	for (int i = 0; i < 2; i++) {
		content[i][0] = (uint8_t)i;
		chunk_id_of(store_keys(s), CHUNK_DATA, content[i], CHUNK_LEN, &chunks[i]);
		must(group_builder_add(a.b, &chunks[i], content[i], CHUNK_LEN, &err),
		    &err);
	}
	flush(&a, &err);
	group_builder_free(a.b);
	a.b = group_builder_new(CHUNK_META);
	p->volumes_count = 1;
	memcpy(p->volumes[0].name, "C", 2);
	p->volumes[0].root_id = make_tree(&a, s, SPANS, chunks, UINT64_MAX, &err);
	start = now();
	must(store_commit(a.lease, p, &result, &data, &meta, &err), &err);
	printf("commit of %u new spans (100 GiB in 64 KiB chunks): %.3f s\n", SPANS,
	    now() - start);
	store_lease_close(a.lease);

	must(store_lease_open(s, "bench", STORE_BACKUP, &a.lease, &err), &err);
	must(store_backup_begin(a.lease, names, 1, &base, &bad, &err), &err);
	p->volumes[0].root_id = make_tree(&a, s, SPANS, chunks, 4711, &err);
	start = now();
	must(store_commit(a.lease, p, &result, &data, &meta, &err), &err);
	printf("commit with one span changed: %.1f ms\n", (now() - start) * 1e3);
	start = now();
	for (uint32_t i = 0; i < points; i++)
		must(store_commit(a.lease, p, &result, &data, &meta, &err), &err);
	printf("commit with nothing changed: %.2f ms each over %u\n",
	    (now() - start) * 1e3 / points, points);
	store_lease_close(a.lease);
	group_builder_free(a.b);
	codec_free(a.codec);
	buf_free(&a.bytes);
	buf_free(&bad);
	buf_free(&data);
	buf_free(&meta);
	free(p);
}

static void
bench_have(struct store *s)
{
	struct chunk_id *ids = malloc(ASK * sizeof(*ids));
	uint8_t *answers = malloc(ASK);
	struct err err = ERR_INIT;
	struct store_lease *l;
	double start;
	uint32_t n = 0;

	must(store_lease_open(s, "bench", STORE_BACKUP, &l, &err), &err);
	start = now();
	for (uint32_t round = 0; round < 200; round++) {
		for (uint32_t i = 0; i < ASK; i++, n++)
			chunk_id_of(store_keys(s), CHUNK_DATA, &n, sizeof(n), &ids[i]);
		must(store_have(l, CHUNK_DATA, ids, ASK, answers, &err), &err);
	}
	printf("have, not there and claimed: %.2f us an id (with naming it), %u ids\n",
	    (now() - start) * 1e6 / n, n);
	start = now();
	store_lease_close(l);
	printf("closing a lease of %u claims: %.1f ms\n", n, (now() - start) * 1e3);
	free(ids);
	free(answers);
}

int
main(int argc, char **argv)
{
	uint32_t points = argc > 2 ? (uint32_t)atoi(argv[2]) : 1000;
	struct err err = ERR_INIT;
	struct store *s;
	char dir[4096];
	double start;

	if (argc < 2) {
		fprintf(stderr, "usage: store_bench DIR [POINTS]\n");
		return 2;
	}
	(void)snprintf(dir, sizeof(dir), "%.4000s/store", argv[1]);
	must(store_init(dir, &err), &err);
	must(store_open(dir, &s, &err), &err);
	bench_points(s, points);
	bench_have(s);
	store_close(s);
	start = now();
	must(store_open(dir, &s, &err), &err);
	printf("open with %u points: %.3f s\n", points, now() - start);
	store_close(s);
	(void)snprintf(dir, sizeof(dir), "%.4000s/store/catalog.db", argv[1]);
	(void)remove(dir);
	(void)snprintf(dir, sizeof(dir), "%.4000s/store", argv[1]);
	start = now();
	must(store_open(dir, &s, &err), &err);
	printf("open, catalog made anew: %.3f s\n", now() - start);
	store_close(s);
	return 0;
}
