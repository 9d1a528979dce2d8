/*
 * target_medium.h - what the bytes of a target lie on: a file, a device, or a format
 * over either.
 *
 * target.c knows what is to be written, zeroed and compared; a medium only how.  Any
 * number of threads call read, write, zero and discard, each for ranges of its own;
 * the others are the owner's, when nobody writes.
 */
#ifndef AGENT_RESTORE_TARGET_MEDIUM_H
#define AGENT_RESTORE_TARGET_MEDIUM_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct target_medium;

/* zero() and discard() get whole blocks of this many bytes. */
#define TARGET_BLOCK 4096u

struct target_medium_ops {
	int (*read)(struct target_medium *m, uint64_t offset, uint8_t *out, size_t len,
	    struct err *err);
	int (*write)(struct target_medium *m, uint64_t offset, const uint8_t *p,
	    size_t len, struct err *err);
	/* Make them zeros without writing them; zero: it cannot. */
	int (*zero)(struct target_medium *m, uint64_t offset, uint64_t len);
	/* Advice that nobody needs them; NULL: no such thing. */
	void (*discard)(struct target_medium *m, uint64_t offset, uint64_t len);
	/* Begin to put on the medium what was written; NULL: it is there. */
	void (*onward)(struct target_medium *m);
	/* All of it is there when this returns, and is read from there from now on. */
	int (*settle)(struct target_medium *m, struct err *err);
	/* Make it at least so long.  Files only. */
	int (*grow)(struct target_medium *m, uint64_t size, struct err *err);
	/* Bytes that may still be written; NULL: as many as it has. */
	int (*room)(struct target_medium *m, uint64_t *out, struct err *err);
	/* All is written: on the medium, under its name.  close() follows, also if not.
	 */
	int (*finish)(struct target_medium *m, struct err *err);
	/* Free it; what was not finished and has no name yet is removed. */
	void (*close)(struct target_medium *m);
};

/* What every medium begins with. */
struct target_medium {
	const struct target_medium_ops *ops;
	char *path;
	uint64_t size;	/* What may be written. */
	int fresh;	/* What is not written reads as zeros. */
	int in_place;	/* A failure leaves it half written. */
	char note[200]; /* What people should know of it; or "". */
};

/* A file, by TARGET_KEEP and TARGET_REPLACE: target_file.c. */
int target_medium_file(const char *path, uint64_t size, unsigned flags,
    struct target_medium **out, struct err *err);

/*
 * Does the path name a volume or disk?  1, 0 (a file, or nothing), -1.  And such a
 * one, which is checked and held; of `flags` TARGET_TWIN counts: target_device_*.c.
 */
int target_medium_is_device(const char *path, struct err *err);
int target_medium_device(const char *path, uint64_t size, unsigned flags,
    struct target_medium **out, struct err *err);

/*
 * Layers over a medium in place.  They own `under` from the call on, and close it when
 * they fail.
 *
 * Ends: what belongs to the first and last TARGET_END bytes is held in memory until
 * finish(), and from the first write on zeros are there: a volume that is half written
 * is mounted by nobody.  finish() writes the end, and the begin when all else is on the
 * medium.  target_ends.c
 */
#define TARGET_END (64u * 1024)
int target_medium_ends(
    struct target_medium *under, struct target_medium **out, struct err *err);

/*
 * Edges: `under` is read and written in whole sectors of at most TARGET_BLOCK bytes,
 * each by one thread.  What comes in parts is put together in memory, and read first
 * only if the rest of it does not come soon.  target_edges.c
 */
int target_medium_edges(struct target_medium *under, uint32_t sector_size,
    struct target_medium **out, struct err *err);

/*
 * A virtual disk of `size` bytes with such sectors in a new file, as TARGET_VHDX says:
 * target_vhdx.c.
 */
int target_medium_vhdx(const char *path, uint64_t size, uint32_t sector_size,
    unsigned flags, struct target_medium **out, struct err *err);

#endif /* AGENT_RESTORE_TARGET_MEDIUM_H */
