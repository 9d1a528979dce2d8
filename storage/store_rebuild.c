#include "storage/store_rebuild.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/store.h"
#include "storage/store_keys.h"
#include "storage/store_state.h"

/* A file that is there or not. */
static int
drop(struct fs *fs, const char *name, struct err *err)
{
	if (fs_unlink(fs, name, err) == 0)
		return 0;
	if (err->code != ERR_NOTFOUND)
		return -1;
	err_clear(err);
	return 0;
}

/* The first of the database's own files: it goes last, as the others are read with it. */
static int
drop_catalog(struct fs *fs, struct err *err)
{
	static const char *const names[] = { CATALOG_NAME "-wal",
		CATALOG_NAME "-shm", CATALOG_NAME "-journal",
		CATALOG_NAME };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (drop(fs, names[i], err) != 0)
			return -1;
	return fs_sync_dir(fs, ".", err);
}

struct run_name {
	char name[FS_NAME_MAX];
};

static int
find_run(void *arg, const char *name)
{
	struct run_name *r = arg;
	size_t n = strlen(name);

	if (n < 4 || strcmp(name + n - 4, ".run") != 0)
		return 0;
	(void)snprintf(r->name, sizeof(r->name), "%s/%.40s", INDEX_DIR, name);
	return 1;
}

/*
 * The manifest stays: it may know of a bad group that the journal does not.  That
 * its runs are gone makes the next opening read all footers.
 */
static int
drop_index(struct fs *fs, struct err *err)
{
	struct run_name r;
	int found;

	if (fs_mkdir(fs, INDEX_DIR, err) != 0)
		return -1;
	while ((found = fs_list(fs, INDEX_DIR, find_run, &r, err)) > 0)
		if (fs_unlink(fs, r.name, err) != 0)
			return -1;
	return found < 0 ? -1 : fs_sync_dir(fs, INDEX_DIR, err);
}

int
store_drop_caches(struct fs *fs, unsigned caches, struct err *err)
{
	struct store_keys_of of;
	struct fs_file *lock = NULL;
	struct journal *j = NULL;
	int failed;

	if (store_keys_load(fs, &of, err) != 0)
		return -1;
	failed = store_take(fs, &lock, err) != 0 ||
		 journal_open(fs, of.store, of.journal, NULL, &j, NULL, err) != 0;
	journal_close(j);
	sodium_memzero(&of, sizeof(of));
	if (!failed && (caches & STORE_CATALOG) != 0)
		failed = drop_catalog(fs, err) != 0;
	if (!failed && (caches & STORE_INDEX) != 0)
		failed = drop_index(fs, err) != 0;
	fs_close(lock);
	return failed ? -1 : 0;
}

int
store_rebuild(const char *dir, unsigned caches, struct store **out, struct err *err)
{
	struct fs *fs;
	int failed;

	if (fs_open_dir(dir, &fs, err) != 0)
		return -1;
	failed = store_drop_caches(fs, caches, err) != 0;
	fs_free(fs);
	if (failed)
		return err_context(err, "cannot rebuild the store in %.80s", dir);
	return store_open(dir, out, err);
}
