/*
 * catalog_vfs.h - SQLite's files through fs.h, so that one layer has all of a store.
 *
 * Order: catalog_vfs_new(), sqlite3_open_v2() with its name, sqlite3_close(),
 * catalog_vfs_free().  For one connection that has the file for itself: there is
 * no shared memory, so WAL wants locking_mode=EXCLUSIVE set before it; fs_lock()
 * on the database keeps others out, SQLite's own locks mean nothing here.
 * Temporary files are refused: temp_store must be MEMORY.
 *
 * After a failed sync nothing more is written, synced or removed: who would go on
 * could move what is lost from the log into the database.  The files are then
 * what a power cut could have left, and catalog_vfs_failed() says so.
 */
#ifndef STORAGE_CATALOG_VFS_H
#define STORAGE_CATALOG_VFS_H

struct err;
struct fs;
struct catalog_vfs;

/* Register a VFS over `fs`, which is borrowed.  ERR_NOMEM. */
int catalog_vfs_new(struct fs *fs, struct catalog_vfs **out, struct err *err);

/* NULL is allowed; nothing may be open. */
void catalog_vfs_free(struct catalog_vfs *v);

/* What sqlite3_open_v2() is given. */
const char *catalog_vfs_name(const struct catalog_vfs *v);

/* Did a sync fail?  Then only new files help. */
int catalog_vfs_failed(const struct catalog_vfs *v);

/* What the layer said when a call last failed: SQLite keeps only a number. */
const struct err *catalog_vfs_error(const struct catalog_vfs *v);
void catalog_vfs_clear(struct catalog_vfs *v);

#endif /* STORAGE_CATALOG_VFS_H */
