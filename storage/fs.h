/*
 * fs.h - the files of one store: everything storage/ asks of a file system.
 *
 * All names are relative to the store's directory, at most one directory deep
 * ("packs/0000002a.pack").  Behind the calls is an ops table: the real one is
 * fs_open_dir(); tests use storage/fs_fault.h, which fails the nth call or cuts
 * the power.  What is durable when, nothing more than POSIX promises:
 *
 *	bytes and length of a file	after fs_sync() or fs_datasync() of it
 *	its name (create, rename, unlink)	after fs_sync_dir() of its directory
 *
 * After a failed sync the file's unsynced bytes must be taken for lost: trying
 * again proves nothing.  They may still be read, by the next process too, until
 * the power goes; who finds a file and is going to rely on it writes them again
 * first (fs_rewrite()).  Calls block and may be made from any thread; one
 * fs_file may be shared.  An interrupted call is retried inside.
 */
#ifndef STORAGE_FS_H
#define STORAGE_FS_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

/* Longest name, with its NUL. */
#define FS_NAME_MAX 64

enum fs_flags {
	FS_READ = 1,
	FS_WRITE = 2,	 /* Implies reading. */
	FS_CREATE = 4,	 /* With FS_WRITE: make it if it is not there. */
	FS_EXCLUSIVE = 8 /* With FS_CREATE: ERR_EXISTS if it is there. */
};

struct fs;
struct fs_file;

/* Called per name in a directory, without "." and ".."; non-zero ends it. */
typedef int (*fs_each)(void *arg, const char *name);

/*
 * What a file layer implements; users call the functions below.  A layer's own
 * structs start with struct fs and struct fs_file.
 */
struct fs_ops {
	int (*open)(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
	    struct err *err);
	void (*close)(struct fs_file *f);
	int (*pread)(struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got,
	    struct err *err);
	int (*pwrite)(struct fs_file *f, const void *p, size_t len, uint64_t offset,
	    struct err *err);
	int (*sync)(struct fs_file *f, int data_only, struct err *err);
	int (*truncate)(struct fs_file *f, uint64_t len, struct err *err);
	int (*size)(struct fs_file *f, uint64_t *len, struct err *err);
	/* As fs_allocate(); NULL: zeros are written. */
	int (*allocate)(struct fs_file *f, uint64_t len, struct err *err);
	int (*lock)(struct fs_file *f, struct err *err);
	int (*rename)(struct fs *fs, const char *from, const char *to, struct err *err);
	int (*unlink)(struct fs *fs, const char *name, struct err *err);
	int (*mkdir)(struct fs *fs, const char *name, struct err *err);
	int (*list)(
	    struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err);
	int (*sync_dir)(struct fs *fs, const char *dir, struct err *err);
	int (*space)(struct fs *fs, uint64_t *avail, uint64_t *total, struct err *err);
	void (*free)(struct fs *fs);
};

struct fs {
	const struct fs_ops *ops;
};

struct fs_file {
	struct fs *fs;
	char name[FS_NAME_MAX]; /* As opened, for messages. */
};

/* The real files below directory `path`, which must exist. */
int fs_open_dir(const char *path, struct fs **out, struct err *err);

/* All its files must be closed.  NULL is allowed. */
void fs_free(struct fs *fs);

/* Open file `name`; ERR_NOTFOUND, ERR_EXISTS, ERR_DENIED, ERR_IO, ERR_NOMEM. */
int fs_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err);

/* NULL is allowed.  Promises nothing about bytes not synced. */
void fs_close(struct fs_file *f);

/* Read up to `len` bytes; `*got` is less only at the end of the file. */
int fs_pread(struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got,
    struct err *err);

/* Read exactly `len` bytes; ERR_CORRUPT if the file ends before. */
int fs_read_all(struct fs_file *f, void *p, size_t len, uint64_t offset, struct err *err);

/* Write all of it, or fail with any part of it written. */
int
fs_pwrite(struct fs_file *f, const void *p, size_t len, uint64_t offset, struct err *err);

int fs_sync(struct fs_file *f, struct err *err);     /* Bytes, length, attributes. */
int fs_datasync(struct fs_file *f, struct err *err); /* Bytes and length. */
int fs_truncate(struct fs_file *f, uint64_t len, struct err *err);
int fs_size(struct fs_file *f, uint64_t *len, struct err *err);

/* Make an empty file `len` bytes long, taking the room on disk for all of them. */
int fs_allocate(struct fs_file *f, uint64_t len, struct err *err);

/*
 * Take the file for this process until it is closed; ERR_BUSY if another
 * fs_file, here or elsewhere, has it.  Ends with the process, however it ends.
 */
int fs_lock(struct fs_file *f, struct err *err);

/* Rename within one directory, replacing `to`. */
int fs_rename(struct fs *fs, const char *from, const char *to, struct err *err);
int fs_unlink(struct fs *fs, const char *name, struct err *err);

/* Make a directory; that it exists already is fine. */
int fs_mkdir(struct fs *fs, const char *name, struct err *err);

/*
 * Call `each` for every name in `dir` ("." for the store's own), in any order,
 * until it returns non-zero; that is returned.  -1 with `err` set if the list
 * cannot be had whole: an error is never an empty list.
 */
int fs_list(struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err);
int fs_sync_dir(struct fs *fs, const char *dir, struct err *err);

/* Bytes that we may still write, and bytes of the whole file system. */
int fs_space(struct fs *fs, uint64_t *avail, uint64_t *total, struct err *err);

/*
 * Replace file `name` in `dir` as a whole, durably: after a power cut at any
 * moment either the old or the new content is there.  Uses "<name>.new".
 */
int fs_replace(struct fs *fs, const char *dir, const char *name, const void *p,
    size_t len, struct err *err);

/*
 * Write what lies in `from`..`to` again, as it is, so that the next sync is about it
 * whatever became of those before.
 */
int fs_rewrite(struct fs_file *f, uint64_t from, uint64_t to, struct err *err);

/* Append all of a file to `out`; ERR_LIMIT if it does not fit. */
int fs_slurp(struct fs *fs, const char *name, struct buf *out, struct err *err);

#endif /* STORAGE_FS_H */
