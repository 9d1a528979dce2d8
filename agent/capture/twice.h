/*
 * twice.h - bytes of a disk that is in use and that nobody can freeze.
 *
 * A running Windows freezes volumes, not disks: partition tables, gaps, and partitions
 * that are no volumes are read as they are.  So each byte is read twice: what
 * twice_read() gave is noted by its hash, and twice_settled() reads it all again.  If
 * nothing differs, what was read is one state that the disk had, from the first read to
 * the last.
 */
#ifndef AGENT_CAPTURE_TWICE_H
#define AGENT_CAPTURE_TWICE_H

#include <stddef.h>
#include <stdint.h>

struct err;

struct twice;

struct twice_source {
	/* Exactly `len` bytes at `offset`; on any thread. */
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
};

/* `src` is copied, its `arg` lives as long.  NULL without memory. */
struct twice *twice_new(const struct twice_source *src);

/* Read and take note; any thread.  ERR_LIMIT: too many pieces to remember. */
int twice_read(struct twice *l, uint64_t offset, void *buf, size_t len, struct err *err);

/*
 * Has nothing of what was read changed?  1; 0: something has, and all notes are gone:
 * read it again; -1.  No other call meanwhile.
 */
int twice_settled(struct twice *l, struct err *err);

/* NULL is allowed. */
void twice_free(struct twice *l);

#endif /* AGENT_CAPTURE_TWICE_H */
