/*
 * files_list.h - `holdfast ls`.
 */
#ifndef SERVER_FILES_FILES_LIST_H
#define SERVER_FILES_FILES_LIST_H

struct err;
struct files_fs;

#define FILES_LIST_LONG 1u
#define FILES_LIST_JSON 2u
#define FILES_LIST_STREAMS 4u
#define FILES_LIST_DEEP 8u /* Directories below, too. */

/* Print what is at `path` to standard output: a directory's entries, or the file. */
int files_list(struct files_fs *fs, const char *path, unsigned flags, struct err *err);

#endif /* SERVER_FILES_FILES_LIST_H */
