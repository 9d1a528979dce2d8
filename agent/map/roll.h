/*
 * roll.h - a file that is written once and read once, both from begin to end.
 *
 * What the agent remembers of a volume between two backups comes in such files, of
 * tens of megabytes: nothing of them is held in memory.  A header is written last of
 * all, once it is known to which point the file belongs; a file without one is nobody's.
 * Its length is the writer's wish; what is read by roll_open() has ROLL_HEADER bytes.
 */
#ifndef AGENT_MAP_ROLL_H
#define AGENT_MAP_ROLL_H

#include <stddef.h>
#include <stdint.h>

struct err;

#define ROLL_HEADER 1024u

struct roll_writer;

/* Start a file at `path`, replacing one; `header` bytes are kept.  ERR_IO, ERR_NOSPACE.
 */
int
roll_create(const char *path, size_t header, struct roll_writer **out, struct err *err);
int roll_add(struct roll_writer *w, const void *p, size_t len, struct err *err);

/*
 * Close it; frees `w`.  `header` NULL: zeros, until it is sealed.  NULL is allowed for
 * `w`.
 */
int roll_finish(struct roll_writer *w, const uint8_t *header, struct err *err);

/* Give a finished file its header. */
int roll_seal(const char *path, const uint8_t header[ROLL_HEADER], struct err *err);

struct roll;

/* Open it and read its header: 1, or 0 if there is none; -1 only without memory. */
int roll_open(
    const char *path, uint8_t header[ROLL_HEADER], struct roll **out, struct err *err);
void roll_close(struct roll *r);

/* The next `len` bytes: 1, or 0 where it ends or cannot be read. */
int roll_next(struct roll *r, void *p, size_t len);

#endif /* AGENT_MAP_ROLL_H */
