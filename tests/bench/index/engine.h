/*
 * engine.h - what index_bench measures: our index, and others that could do its work.
 *
 * Key number n is a 32-byte id made from n; its value says where the chunk lies: pack
 * n / ENGINE_PACK + 1, groups of ENGINE_GROUP.  An engine that finds a key says so
 * with that value; the bench compares.  A call that fails ends the program.
 */
#ifndef TESTS_BENCH_INDEX_ENGINE_H
#define TESTS_BENCH_INDEX_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "storage/pack.h"

struct fs;

/* Chunks of a pack and of a group, and a group's bytes in the pack. */
#define ENGINE_PACK 1000u
#define ENGINE_GROUP 8u
#define ENGINE_GROUP_LEN (ENGINE_GROUP * 65536u)

extern const uint8_t engine_store[PACK_STORE_ID_LEN];

struct engine {
	const char *name;
	/* Open what is in `dir`: nothing, or keys 0 .. keys - 1.  `rebuild`: ours only.
	 */
	void *(*open)(const char *dir, uint64_t keys, int rebuild);
	/* One group; after the last of a pack its number. */
	void (*add)(void *e, const struct pack_entry *group, uint32_t n, uint32_t done);
	/* Wait until everything is written out and no merge is due. */
	void (*settle)(void *e);
	/* Up to ENGINE_BATCH ids; pack 0 is not found.  Any thread may ask. */
	void (*look)(void *e, const struct chunk_id *ids, size_t n, struct pack_loc *out);
	/* One line for people, JSON values inside. */
	void (*tell)(void *e);
	void (*close)(void *e);
};

#define ENGINE_BATCH 256u

extern const struct engine engine_holdfast, engine_rocksdb, engine_lmdb;

void engine_id(uint64_t n, struct chunk_id *id);
void engine_entry(uint64_t n, struct pack_entry *out);

/* A value as the others store it. */
#define ENGINE_VALUE_LEN 12u
void engine_pack_value(const struct pack_entry *e, uint8_t out[ENGINE_VALUE_LEN]);
void engine_unpack_value(const uint8_t p[ENGINE_VALUE_LEN], struct pack_loc *out);

/* Print and exit 2. */
_Noreturn void engine_die(const char *what, const char *why);

/*
 * From now on every "packs/NNNNNNNN.pack" of `fs`, one at a time, is there, with a
 * footer and no data: what the index asks of a pack, computed.
 */
void engine_packs(struct fs *fs);

#endif /* TESTS_BENCH_INDEX_ENGINE_H */
