/*
 * files_fs.h - the files of a volume, whatever file system it has, read-only.
 *
 * A file is known by its `ref`; hard links of one file have the same.  What is read
 * here is foreign: names may be anything but empty, directories may lead to
 * themselves.  One thread at a time.
 */
#ifndef SERVER_FILES_FILES_FS_H
#define SERVER_FILES_FILES_FS_H

#include <stddef.h>
#include <stdint.h>
#include <time.h>

struct err;
struct tree_reader;

#define FILES_NAME_MAX 1024   /* Bytes of a name as UTF-8, with its NUL. */
#define FILES_TARGET_MAX 4096 /* Bytes of a link's target, with its NUL. */

enum files_kind {
	FILES_FILE,
	FILES_DIR,
	FILES_LINK,  /* A symbolic link or a junction; `target` says where to. */
	FILES_OPAQUE /* Its bytes cannot be read here; `target` says why. */
};

/* Bits of files_node.flags. */
#define FILES_READONLY 1u
#define FILES_HIDDEN 2u
#define FILES_SYSTEM 4u
#define FILES_COMPRESSED 8u
#define FILES_SPARSE 16u
#define FILES_ENCRYPTED 32u

struct files_node {
	uint64_t ref, size;
	enum files_kind kind;
	unsigned links, flags;
	struct timespec modified, accessed;
	char target[FILES_TARGET_MAX];
};

struct files_fs;
struct files_open;

/* What a file system must be able to do.  All fail with -1 and `err`. */
struct files_fs_ops {
	void (*close)(struct files_fs *fs);

	/* Entry `name` of a directory; ERR_NOTFOUND.  Case counts if both are there. */
	int (*lookup)(struct files_fs *fs, uint64_t dir, const char *name, uint64_t *ref,
	    struct err *err);

	/* Every entry, in any order, until `each` returns non-zero; returns that. */
	int (*list)(struct files_fs *fs, uint64_t dir,
	    int (*each)(void *arg, const char *name, uint64_t ref), void *arg,
	    struct err *err);

	int (*stat)(
	    struct files_fs *fs, uint64_t ref, struct files_node *out, struct err *err);

	/* Named streams beside a file's content. */
	int (*streams)(struct files_fs *fs, uint64_t ref,
	    int (*each)(void *arg, const char *name, uint64_t size), void *arg,
	    struct err *err);

	/* Content of a file, or of its stream `stream` (NULL: none), and its size. */
	int (*open)(struct files_fs *fs, uint64_t ref, const char *stream,
	    struct files_open **out, uint64_t *size, struct err *err);

	/* Exactly `len` bytes from `offset`, which are there. */
	int (*read)(struct files_open *o, uint64_t offset, void *out, size_t len,
	    struct err *err);
	void (*end)(struct files_open *o);
};

struct files_fs {
	const struct files_fs_ops *ops;
	uint64_t root;
};

/* NTFS; `r` must outlive it.  ERR_UNSUPPORTED if there is none, ERR_CORRUPT. */
int files_ntfs_open(struct tree_reader *r, struct files_fs **out, struct err *err);

/* Where a volume's bytes come from. */
struct files_bytes {
	int (*read)(void *arg, uint64_t offset, void *out, size_t len, struct err *err);
	void *arg;
	uint64_t size;
};

/*
 * FAT12, FAT16 and FAT32, with long names; `bytes` is copied, what it reads from must
 * outlive it.  NULL in `*out` if there is none; -1 only if that cannot be read.
 */
int
files_fat_open(const struct files_bytes *bytes, struct files_fs **out, struct err *err);

#endif /* SERVER_FILES_FILES_FS_H */
