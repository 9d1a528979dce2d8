/*
 * RocksDB as one would set it up for this: no log, since footers give back what a
 * crash takes; filters of 12 bits and no compression, as ours; blocks of 4 KiB.
 */
#include <rocksdb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/index/engine.h"

struct rocks {
	rocksdb_t *db;
	rocksdb_column_family_handle_t *family;
	rocksdb_options_t *options;
	rocksdb_block_based_table_options_t *tables;
	rocksdb_cache_t *cache;
	rocksdb_writeoptions_t *writing;
	rocksdb_readoptions_t *reading;
	rocksdb_writebatch_t *batch;
};

static void
check(char *why)
{
	if (why != NULL)
		engine_die("rocksdb", why);
}

static void *
rocks_open(const char *dir, uint64_t keys, int rebuild)
{
	static const char *const names[] = { "default" };
	struct rocks *r = calloc(1, sizeof(*r));
	const rocksdb_options_t *options;
	char *why = NULL;

	(void)keys;
	(void)rebuild;
	if (r == NULL)
		engine_die("rocksdb", "no memory");
	r->options = rocksdb_options_create();
	r->tables = rocksdb_block_based_options_create();
	r->cache = rocksdb_cache_create_lru(64 << 20);
	rocksdb_block_based_options_set_block_cache(r->tables, r->cache);
	rocksdb_block_based_options_set_block_size(r->tables, 4096);
	rocksdb_block_based_options_set_filter_policy(
	    r->tables, rocksdb_filterpolicy_create_bloom_full(12));
	rocksdb_options_set_block_based_table_factory(r->options, r->tables);
	rocksdb_options_set_create_if_missing(r->options, 1);
	rocksdb_options_set_compression(r->options, rocksdb_no_compression);
	rocksdb_options_set_write_buffer_size(r->options, 16 << 20);
	rocksdb_options_set_max_open_files(r->options, -1);
	r->writing = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(r->writing, 1);
	r->reading = rocksdb_readoptions_create();
	r->batch = rocksdb_writebatch_create();
	options = r->options;
	r->db = rocksdb_open_column_families(
	    r->options, dir, 1, names, &options, &r->family, &why);
	check(why);
	return r;
}

static void
rocks_add(void *e, const struct pack_entry *group, uint32_t n, uint32_t done)
{
	uint8_t value[ENGINE_VALUE_LEN];
	struct rocks *r = e;
	char *why = NULL;

	for (uint32_t i = 0; i < n; i++) {
		engine_pack_value(&group[i], value);
		rocksdb_writebatch_put(r->batch, (const char *)group[i].id.b,
		    CHUNK_ID_LEN, (const char *)value, sizeof(value));
	}
	if (done == 0)
		return;
	rocksdb_write(r->db, r->writing, r->batch, &why);
	check(why);
	rocksdb_writebatch_clear(r->batch);
}

static int
is_busy(struct rocks *r)
{
	static const char *const of[] = { "rocksdb.num-running-compactions",
		"rocksdb.compaction-pending", "rocksdb.num-running-flushes",
		"rocksdb.mem-table-flush-pending" };
	uint64_t n = 0;

	for (size_t i = 0; i < sizeof(of) / sizeof(of[0]); i++)
		if (rocksdb_property_int(r->db, of[i], &n) == 0 && n > 0)
			return 1;
	return 0;
}

static void
rocks_settle(void *e)
{
	rocksdb_flushoptions_t *how = rocksdb_flushoptions_create();
	struct rocks *r = e;
	char *why = NULL;

	rocksdb_flush(r->db, how, &why);
	check(why);
	rocksdb_flushoptions_destroy(how);
	for (int quiet = 0; quiet < 3; quiet = is_busy(r) ? 0 : quiet + 1)
		(void)usleep(50000);
}

static void
rocks_look(void *e, const struct chunk_id *ids, size_t n, struct pack_loc *out)
{
	const char *keys[ENGINE_BATCH] = { NULL };
	size_t lens[ENGINE_BATCH] = { 0 }, len;
	rocksdb_pinnableslice_t *values[ENGINE_BATCH];
	char *whys[ENGINE_BATCH];
	struct rocks *r = e;

	for (size_t i = 0; i < n; i++) {
		keys[i] = (const char *)ids[i].b;
		lens[i] = CHUNK_ID_LEN;
	}
	rocksdb_batched_multi_get_cf(
	    r->db, r->reading, r->family, n, keys, lens, values, whys, 0);
	for (size_t i = 0; i < n; i++) {
		check(whys[i]);
		out[i].pack = 0;
		if (values[i] == NULL)
			continue;
		engine_unpack_value(
		    (const uint8_t *)rocksdb_pinnableslice_value(values[i], &len),
		    &out[i]);
		rocksdb_pinnableslice_destroy(values[i]);
	}
}

static void
rocks_tell(void *e)
{
	(void)e;
	printf("\"version\": \"7.8\"");
}

static void
rocks_close(void *e)
{
	struct rocks *r = e;

	rocksdb_column_family_handle_destroy(r->family);
	rocksdb_close(r->db);
	rocksdb_writebatch_destroy(r->batch);
	rocksdb_readoptions_destroy(r->reading);
	rocksdb_writeoptions_destroy(r->writing);
	rocksdb_block_based_options_destroy(r->tables);
	rocksdb_cache_destroy(r->cache);
	rocksdb_options_destroy(r->options);
	free(r);
}

const struct engine engine_rocksdb = { "rocksdb", rocks_open, rocks_add, rocks_settle,
	rocks_look, rocks_tell, rocks_close };
