/*
 * adapt_files.h - files of a mounted Windows volume by names of any case.
 *
 * The volume is somebody else's: a link in it is never followed, it might lead out.
 */
#ifndef RESCUE_ADAPT_FILES_H
#define RESCUE_ADAPT_FILES_H

struct err;

/*
 * Open `path` ("Windows/System32/config") below the directory `root` (a descriptor)
 * with open()'s `flags`.  A descriptor; -1 with errno.
 */
int adapt_files_open(int root, const char *path, int flags);

/* Non-zero: there is such a file. */
int adapt_files_has(int root, const char *path);

/* Make a file `name` in the directory `dir` with the content of `from`; ERR_EXISTS. */
int adapt_files_copy(int dir, const char *name, int from, struct err *err);

/*
 * Put the whole content of `from` into `to` and sync it.  `*torn`: it failed when bytes
 * of `to` had changed already; a lack of room shows before.
 */
int adapt_files_replace(int to, int from, int *torn, struct err *err);

#endif /* RESCUE_ADAPT_FILES_H */
