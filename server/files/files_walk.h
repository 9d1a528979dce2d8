/*
 * files_walk.h - finding files by their path, and lists of names in order.
 */
#ifndef SERVER_FILES_FILES_WALK_H
#define SERVER_FILES_FILES_WALK_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct files_fs;
struct files_node;

/*
 * The file at `path`: names with '/' or '\' between, "" the root.  A last name with
 * ':' that is no file's own may name a stream of it: `*stream` is then where that
 * begins in `path`, else NULL.  `*name` is where the last name begins.  ERR_NOTFOUND
 * says which part is not there.
 */
int files_walk_find(struct files_fs *fs, const char *path, struct files_node *out,
    const char **name, const char **stream, struct err *err);

struct files_name {
	char *name;
	uint64_t ref;
};

/* Entries of a directory, sorted by name; malloc: files_walk_free(). */
int files_walk_names(struct files_fs *fs, uint64_t dir, struct files_name **out,
    size_t *count, struct err *err);
void files_walk_free(struct files_name *names, size_t count);

/* A set of refs, each with a text or NULL: what was met before. */
struct files_met;

struct files_met *files_met_new(void); /* NULL without memory. */
void files_met_free(struct files_met *m);

/*
 * Add `ref` with a copy of `text` unless it is there.  1: it was added; 0: it was there
 * and `*before` is its text (borrowed); -1: no memory.
 */
int
files_met_add(struct files_met *m, uint64_t ref, const char *text, const char **before);

/* The text of `ref` (borrowed), or NULL. */
const char *files_met_text(const struct files_met *m, uint64_t ref);

#endif /* SERVER_FILES_FILES_WALK_H */
