/*
 * file.h - files as both systems have them: what state, caches, spills and image
 * files need, and no more.  Paths are UTF-8 (on Windows of either slash, and of
 * any length).  Raw volumes and disks are not for this header.
 *
 * An open file may be read, written, renamed over and removed by others at the
 * same time, on Windows too, but where FILE_ALONE says otherwise.  A virus scanner
 * or an indexer that holds a file for a moment is waited for, at most FILE_WAIT_MS.
 *
 * Every function sets ERR_NOTFOUND, ERR_EXISTS, ERR_DENIED, ERR_BUSY (others hold
 * it), ERR_NOSPACE or ERR_IO, with the path in the message.
 */
#ifndef PROTO_BASE_FILE_H
#define PROTO_BASE_FILE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;
struct file;

/* How long an open, a rename or a removal waits for one who holds the file. */
#define FILE_WAIT_MS 2000u

/* ---------------------------------------------------------------- opening -- */

/* None of these: to read what is there. */
#define FILE_TO_WRITE 1u /* Also to write. */
#define FILE_TO_MAKE 2u	 /* Made if it is missing: private, as mode 0600. */
#define FILE_TO_BEGIN 4u /* Made: ERR_EXISTS where there is one. */
#define FILE_TO_EMPTY 8u /* What it held goes. */
#define FILE_NO_LINK 16u /* The last part of the path must be no link. */
#define FILE_ALONE 32u	 /* Windows: nobody else may open it meanwhile. */
#define FILE_UNNAMED \
	64u /* `path` is a directory: a file in it, gone with the last close. */
#define FILE_IN_ORDER 128u /* Advice: it is read from its begin to its end. */

int file_open(const char *path, unsigned flags, struct file **out, struct err *err);
void file_close(struct file *f);

/* As file_close(), and says what closing had to say (a full disk over a network). */
int file_finish(struct file *f, struct err *err);

/* ------------------------------------------- an open file, from any thread -- */

int file_size(const struct file *f, uint64_t *out, struct err *err);

/* What is there, at most `len` bytes from byte `offset`: *got is less only at the end. */
int file_read(const struct file *f, uint64_t offset, void *p, size_t len, size_t *got,
    struct err *err);

/* All `len` bytes; a file that ends before is ERR_IO. */
int file_read_all(
    const struct file *f, uint64_t offset, void *p, size_t len, struct err *err);

/* All `len` bytes; past the end it grows. */
int
file_write(struct file *f, uint64_t offset, const void *p, size_t len, struct err *err);

/* Make it `size` bytes long; what is new reads as zeros. */
int file_truncate(struct file *f, uint64_t size, struct err *err);

/* From now on ranges never written cost no room, where the file system can do that. */
void file_make_sparse(struct file *f);

/* Make `len` bytes zeros, without room where possible; the size stays. */
int file_zero(struct file *f, uint64_t offset, uint64_t len, struct err *err);

/* What was written is on the medium when this returns. */
int file_sync(struct file *f, struct err *err);

/*
 * Hold it against every other file_lock() until it is closed or the process ends:
 * ERR_BUSY at once if another handle does, also one of this process.  Reads and
 * writes are not hindered.
 */
int file_lock(struct file *f, struct err *err);

/* Bytes that may still be written to its file system by us. */
int file_room(const struct file *f, uint64_t *out, struct err *err);

/* The descriptor or HANDLE behind it, for calls that are not here; stays the file's. */
intptr_t file_handle(const struct file *f);

/* ------------------------------------------------------------ whole files -- */

/* The whole file into `out` (replaced): 1, or 0 if there is none, or -1. */
int file_load(const char *path, struct buf *out, struct err *err);

/*
 * Replace or make `path`: after a crash it is the old or the new, and the new once
 * this returned.  Goes over "<path>.tmp".  `mode` is as chmod's; on Windows a new
 * file has its directory's access list.
 */
int
file_store(const char *path, const void *p, size_t len, unsigned mode, struct err *err);

/*
 * Rename a synced file, in one directory, over another or none; durable when this
 * returns.
 */
int file_replace(const char *from, const char *to, struct err *err);

/* Likewise, but a crash may undo it, or leave neither: for what may be lost. */
int file_rename(const char *from, const char *to, struct err *err);

/* Remove a file: 1, or 0 if there was none, or -1. */
int file_remove(const char *path, struct err *err);

/* ------------------------------------------------------------ directories -- */

/* Make it, for us (and administrators) only; that it exists is fine. */
int file_make_dir(const char *path, struct err *err);

/* Remove an empty one. */
int file_remove_dir(const char *path, struct err *err);

/*
 * Call `each` with the names in it ("." and ".." not), in no order, until it returns
 * non-zero: returns that, 0, or -1 (`each` that returns -1 sets `err` itself).
 */
int file_list(const char *dir, int (*each)(void *arg, const char *name, struct err *err),
    void *arg, struct err *err);

/* ------------------------------------------------------------------- paths -- */

enum file_kind {
	FILE_IS_NOTHING, /* No such path. */
	FILE_IS_FILE,
	FILE_IS_DIR,
	FILE_IS_DEVICE, /* A block device; on Windows a volume or disk: \\.\, \\?\Volume.
			 */
	FILE_IS_OTHER,
};

/* -1 where that cannot be told. */
int file_kind(const char *path, enum file_kind *out, struct err *err);

/* Do both lead to one file, whatever they are called?  Of none: are they written alike?
 */
int file_same(const char *a, const char *b);

/* The full path, without links where the system tells; malloc'ed; NULL: no such file. */
char *file_real_path(const char *path);

#endif /* PROTO_BASE_FILE_H */
