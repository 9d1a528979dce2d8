/*
 * spill.h - room for what does not fit in memory: files without a name.
 *
 * sorter.h writes here and reads back; a test or a fuzzer puts an array behind
 * it.  The product's is a directory (spill_dir()): its files have no name, so
 * that nothing is left behind whatever happens, and mode 0600.
 */
#ifndef AGENT_MAP_SPILL_H
#define AGENT_MAP_SPILL_H

#include <stddef.h>
#include <stdint.h>

struct err;

/* One file may become this long (bytes). */
#define SPILL_MAX (UINT64_C(4) << 30)

/* spill_dir() leaves this much of its file system free (bytes). */
#define SPILL_RESERVE (UINT64_C(256) << 20)

/* Each fails as the file system does: ERR_NOSPACE, ERR_IO. */
struct spill_ops {
	int (*open)(void *arg, void **file, struct err *err);
	/* All `len` bytes at byte `offset`; written in order, from 0 on. */
	int (*write)(
	    void *file, uint64_t offset, const void *p, size_t len, struct err *err);
	/* Bytes that were written. */
	int (*read)(void *file, uint64_t offset, void *p, size_t len, struct err *err);
	void (*close)(void *file);
};

/* Copyable; may be used by several threads at once. */
struct spill {
	const struct spill_ops *ops;
	void *arg;
};

/* Spill into the directory `dir` (borrowed while `out` and its files are used). */
void spill_dir(struct spill *out, const char *dir);

#endif /* AGENT_MAP_SPILL_H */
