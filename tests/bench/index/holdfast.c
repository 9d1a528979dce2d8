#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/index.h"
#include "tests/bench/index/engine.h"

struct ours {
	struct fs *fs;
	struct index *ix;
	struct index_opened opened;
};

static void
check(int bad, const struct err *err)
{
	if (bad)
		engine_die("holdfast", err->text);
}

static void *
ours_open(const char *dir, uint64_t keys, int rebuild)
{
	struct index_config config = { .rebuild = rebuild };
	struct ours *o = calloc(1, sizeof(*o));
	uint32_t n = (uint32_t)(keys / ENGINE_PACK), *packs = malloc((n + 1) * 4);
	struct err err = ERR_INIT;

	if (o == NULL || packs == NULL)
		engine_die("holdfast", "no memory");
	memcpy(config.store, engine_store, PACK_STORE_ID_LEN);
	for (uint32_t i = 0; i < n; i++)
		packs[i] = i + 1;
	check(fs_open_dir(dir, &o->fs, &err), &err);
	engine_packs(o->fs);
	check(index_open(o->fs, &config, packs, n, &o->ix, &o->opened, &err), &err);
	free(packs);
	return o;
}

static void
ours_add(void *e, const struct pack_entry *group, uint32_t n, uint32_t done)
{
	struct ours *o = e;
	struct err err = ERR_INIT;

	check(index_add(o->ix, group, n, &err), &err);
	if (done != 0)
		index_pack_done(o->ix, done);
}

static void
ours_settle(void *e)
{
	struct ours *o = e;
	struct err err = ERR_INIT;

	check(index_flush(o->ix, &err) || index_settle(o->ix, &err), &err);
}

static void
ours_look(void *e, const struct chunk_id *ids, size_t n, struct pack_loc *out)
{
	struct index_hit hits[ENGINE_BATCH];
	struct ours *o = e;
	struct err err = ERR_INIT;

	check(index_lookup(o->ix, ids, n, hits, &err), &err);
	for (size_t i = 0; i < n; i++)
		out[i] = hits[i].loc;
}

static void
ours_tell(void *e)
{
	struct ours *o = e;
	struct index_stats s;

	index_stats(o->ix, &s);
	printf(
	    "\"runs\": %u, \"flushes\": %llu, \"merges\": %llu, \"counted_ram\": %llu, "
	    "\"counted_disk\": %llu, \"most_held\": %llu, \"footers_read\": %u, "
	    "\"rebuilt\": %d",
	    s.runs, (unsigned long long)s.flushes, (unsigned long long)s.merges,
	    (unsigned long long)s.ram, (unsigned long long)s.disk,
	    (unsigned long long)s.most_held, o->opened.packs_read, o->opened.rebuilt);
}

static void
ours_close(void *e)
{
	struct ours *o = e;

	index_close(o->ix);
	fs_free(o->fs);
	free(o);
}

const struct engine engine_holdfast = { "holdfast", ours_open, ours_add, ours_settle,
	ours_look, ours_tell, ours_close };
