/*
 * journal_parts.h - a journal and its head on the way into a copy, under names of
 * their own.  Private to storage/journal*.c.
 */
#ifndef STORAGE_JOURNAL_PARTS_H
#define STORAGE_JOURNAL_PARTS_H

#include <stdint.h>

#include "storage/journal.h"

struct err;
struct fs;
struct fs_file;

struct journal_parts {
	struct fs *fs;
	struct fs_file *journal, *head;
};

/* Both files, empty. */
int journal_parts_begin(struct fs *to, struct journal_parts *out, struct err *err);

/* Write the head, make all durable and give them their names. */
int journal_parts_put(
    struct journal_parts *p, const uint8_t head[JOURNAL_HEAD_LEN], struct err *err);
void journal_parts_end(struct journal_parts *p);

#endif /* STORAGE_JOURNAL_PARTS_H */
