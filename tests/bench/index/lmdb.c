/*
 * LMDB as one would set it up for this: a transaction a pack, synced only at the end,
 * since footers give back what a crash takes; keys sorted within the transaction.
 */
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/index/engine.h"

struct tree {
	MDB_env *env;
	MDB_dbi dbi;
	struct pack_entry e[ENGINE_PACK];
	uint32_t n;
};

static void
check(int bad)
{
	if (bad != 0)
		engine_die("lmdb", mdb_strerror(bad));
}

static void *
tree_open(const char *dir, uint64_t keys, int rebuild)
{
	struct tree *t = calloc(1, sizeof(*t));
	MDB_txn *txn;

	(void)keys;
	(void)rebuild;
	if (t == NULL)
		engine_die("lmdb", "no memory");
	check(mdb_env_create(&t->env));
	check(mdb_env_set_mapsize(t->env, (size_t)256 << 30));
	check(mdb_env_open(t->env, dir, MDB_NOSYNC | MDB_NORDAHEAD, 0600));
	check(mdb_txn_begin(t->env, NULL, 0, &txn));
	check(mdb_dbi_open(txn, NULL, MDB_CREATE, &t->dbi));
	check(mdb_txn_commit(txn));
	return t;
}

static int
compare(const void *a, const void *b)
{
	return memcmp(((const struct pack_entry *)a)->id.b,
	    ((const struct pack_entry *)b)->id.b, CHUNK_ID_LEN);
}

static void
tree_add(void *e, const struct pack_entry *group, uint32_t n, uint32_t done)
{
	uint8_t bytes[ENGINE_VALUE_LEN];
	struct tree *t = e;
	MDB_txn *txn;

	memcpy(t->e + t->n, group, n * sizeof(*group));
	t->n += n;
	if (done == 0)
		return;
	qsort(t->e, t->n, sizeof(*t->e), compare);
	check(mdb_txn_begin(t->env, NULL, 0, &txn));
	for (uint32_t i = 0; i < t->n; i++) {
		MDB_val key = { CHUNK_ID_LEN, t->e[i].id.b };
		MDB_val value = { sizeof(bytes), bytes };

		engine_pack_value(&t->e[i], bytes);
		check(mdb_put(txn, t->dbi, &key, &value, 0));
	}
	check(mdb_txn_commit(txn));
	t->n = 0;
}

static void
tree_settle(void *e)
{
	check(mdb_env_sync(((struct tree *)e)->env, 1));
}

static void
tree_look(void *e, const struct chunk_id *ids, size_t n, struct pack_loc *out)
{
	struct tree *t = e;
	MDB_txn *txn;

	check(mdb_txn_begin(t->env, NULL, MDB_RDONLY, &txn));
	for (size_t i = 0; i < n; i++) {
		struct chunk_id id = ids[i];
		MDB_val key = { CHUNK_ID_LEN, id.b }, value;
		int got = mdb_get(txn, t->dbi, &key, &value);

		out[i].pack = 0;
		if (got == 0)
			engine_unpack_value(value.mv_data, &out[i]);
		else if (got != MDB_NOTFOUND)
			check(got);
	}
	mdb_txn_abort(txn);
}

static void
tree_tell(void *e)
{
	(void)e;
	printf("\"version\": \"%d.%d.%d\"", MDB_VERSION_MAJOR, MDB_VERSION_MINOR,
	    MDB_VERSION_PATCH);
}

static void
tree_close(void *e)
{
	struct tree *t = e;

	mdb_env_close(t->env);
	free(t);
}

const struct engine engine_lmdb = { "lmdb", tree_open, tree_add, tree_settle, tree_look,
	tree_tell, tree_close };
