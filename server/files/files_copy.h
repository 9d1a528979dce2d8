/*
 * files_copy.h - `holdfast cp`: files out of a point into a directory here.
 *
 * What the volume holds is foreign.  Nothing is written outside of the destination:
 * names that would lead out are refused, no link is followed below it, and none is
 * made.  A file is written under a name of its own and then renamed.
 */
#ifndef SERVER_FILES_FILES_COPY_H
#define SERVER_FILES_FILES_COPY_H

#include <stdint.h>

#include "agent/host/progress.h"

struct err;
struct files_fs;

#define FILES_COPY_DEEP 1u    /* Directories, with all below. */
#define FILES_COPY_FORCE 2u   /* Replace files that are there. */
#define FILES_COPY_STREAMS 4u /* Streams become files "NAME:STREAM". */

struct files_copy_job {
	struct files_fs *fs;
	const char *from; /* As files_walk_find() takes it. */
	const char *to;	  /* A directory, a new name, or "-": standard output. */
	unsigned flags;
	enum progress_mode mode;
	int (*stopped)(void *arg); /* Asked now and then; non-zero ends it. */
	void *arg;
};

struct files_copy_result {
	uint64_t files, dirs, bytes;
	uint64_t same;	  /* Files that were there with the same size and time. */
	uint64_t linked;  /* Further names of files that had been copied. */
	uint64_t skipped; /* Links. */
	uint64_t failed;  /* Each was said on standard error. */
};

/*
 * Copy.  What concerns one file is said, counted, and the rest goes on; -1 is for what
 * ends it all: ERR_NOTFOUND, ERR_EXISTS, ERR_NOSPACE, ERR_CANCELED, a lost server.
 */
int files_copy(
    const struct files_copy_job *job, struct files_copy_result *out, struct err *err);

#endif /* SERVER_FILES_FILES_COPY_H */
