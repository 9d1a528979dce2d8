/*
 * files_put.h - writing files and directories where nothing of a volume may lead
 * elsewhere: everything is relative to a directory that is open, and no link is
 * followed.
 */
#ifndef SERVER_FILES_FILES_PUT_H
#define SERVER_FILES_FILES_PUT_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct files_fs;
struct files_node;
struct files_put;

struct files_put *files_put_new(void); /* NULL without memory. */
void files_put_free(struct files_put *p);

/*
 * Open the directory that `to` means: `to` itself if it is one, else its parent, and
 * then its last name replaces `own` (`cap` bytes), which is what the file is called on
 * the volume ("": its root, for which `to` is made if it is missing).  The user's own
 * words: links in them are followed.  A descriptor, or -1.
 */
int files_put_open(const char *to, char *own, size_t cap, int is_dir, struct err *err);

/* Links made by files_put_link() are relative to this directory. */
int files_put_root(struct files_put *p, int dir, struct err *err);

/* Is there room for so many bytes?  ERR_NOSPACE. */
int files_put_room(int dir, uint64_t bytes, struct err *err);

/* Non-zero if nothing is there: no entry `name`, or with "" none at all. */
int files_put_fresh(int dir, const char *name);

/* Have all that was written below `dir` on the disk; what failed late is said here. */
int files_put_settle(int dir, struct err *err);

/* Make directory `name`, or open the one that is there; a descriptor, or -1. */
int files_put_dir(int dir, const char *name, struct err *err);
void files_put_times(int fd, const struct files_node *n);

struct files_put_job {
	struct files_fs *fs;
	const struct files_node *node;
	const char *stream; /* Or NULL. */
	uint64_t size;	    /* Of the content or the stream; UINT64_MAX: not known. */
	const char *name;
	int force;
	int (*bytes)(void *arg, uint64_t n); /* So many more; non-zero ends it. */
	void *arg;
};

/*
 * Copy a file to entry `name` of `dir`.  0; 1: one of that size and time is there
 * already; -1: ERR_EXISTS (another is, and not `force`) ...
 */
int files_put_file(
    struct files_put *p, int dir, const struct files_put_job *job, struct err *err);

/*
 * Make `name` another name of the file at `first`, below the root; 0, or -1 with all as
 * it was.
 */
int files_put_link(
    struct files_put *p, const char *first, int dir, const char *name, int force);

/* Print a file. */
int files_put_stdout(struct files_put *p, struct files_fs *fs, const struct files_node *n,
    const char *stream, int (*bytes)(void *arg, uint64_t n), void *arg, struct err *err);

#endif /* SERVER_FILES_FILES_PUT_H */
