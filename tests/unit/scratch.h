/*
 * scratch.h - a private directory for a test's files, on any system: scratch_make() and
 * scratch_drop(), or as setup and teardown of a group whose *state is its path, so that
 * it goes also after a test that failed.
 */
#ifndef TESTS_UNIT_SCRATCH_H
#define TESTS_UNIT_SCRATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "proto/base/file.h"

#define SCRATCH_MAX 1024

/* "<dir>/<name>" into `out`, SCRATCH_MAX bytes. */
static inline void
scratch_path(const char *dir, const char *name, char *out)
{
	if (snprintf(out, SCRATCH_MAX, "%s/%s", dir, name) >= SCRATCH_MAX)
		abort();
}

/* Make one; `dir` has SCRATCH_MAX bytes.  Ends the program if it cannot. */
static inline void
scratch_make(char *dir)
{
	const char *top = getenv("TMPDIR");
	struct err err = ERR_INIT;
	static unsigned made;
	struct timespec now;

	if (top == NULL)
		top = getenv("TEMP");
	if (top == NULL)
		top = "/tmp";
	clock_gettime(CLOCK_REALTIME, &now);
	(void)snprintf(dir, SCRATCH_MAX, "%s/holdfast-test-%ld-%ld-%u", top,
	    (long)getpid(), (long)now.tv_nsec, made++);
	if (file_make_dir(dir, &err) != 0) {
		fprintf(stderr, "%s\n", err.text);
		exit(1);
	}
}

static inline int
scratch_remove(void *arg, const char *name, struct err *err)
{
	struct err ignored = ERR_INIT;
	char path[SCRATCH_MAX + 256];
	enum file_kind kind;

	(void)err;
	(void)snprintf(path, sizeof(path), "%s/%s", (const char *)arg, name);
	if (file_kind(path, &kind, &ignored) == 0 && kind == FILE_IS_DIR) {
		(void)file_list(path, scratch_remove, path, &ignored);
		err_clear(&ignored);
		(void)file_remove_dir(path, &ignored);
	} else {
		err_clear(&ignored);
		(void)file_remove(path, &ignored);
	}
	return 0;
}

/* Remove it with all that is in it. */
static inline void
scratch_drop(char *dir)
{
	struct err ignored = ERR_INIT;

	(void)file_list(dir, scratch_remove, dir, &ignored);
	err_clear(&ignored);
	(void)file_remove_dir(dir, &ignored);
}

static inline int
scratch_setup(void **state)
{
	*state = malloc(SCRATCH_MAX);
	scratch_make(*state);
	return 0;
}

static inline int
scratch_teardown(void **state)
{
	scratch_drop(*state);
	free(*state);
	return 0;
}

#endif /* TESTS_UNIT_SCRATCH_H */
