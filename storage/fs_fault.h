/*
 * fs_fault.h - a store's files in memory, for tests that break things.
 *
 * Keeps what was written apart from what is durable (fs.h says when bytes and
 * names become so).  A test arms one fault at the nth call, runs, and then
 * either goes on (the fault passed), or "dies": every later call fails, the
 * test frees its objects, and opens the store again after fs_fault_restart(),
 * which keeps all that was written (kill -9) or cuts the power.
 *
 * After a failed sync the bytes that it was about can be read, and later syncs pass
 * over them and say yes, as real kernels do: they are lost when the power goes, unless
 * they were written again before a sync.
 *
 * A power cut keeps, chosen by the seed: of each file's unsynced bytes, any set
 * of 512-byte sectors and a length between the durable and the last; of each
 * directory's unsynced creates, renames and unlinks the first few.
 *
 * Every call that changes or syncs something counts; reading and listing count
 * when fs_fault_count_reads() asked for it.  Any thread may call.
 */
#ifndef STORAGE_FS_FAULT_H
#define STORAGE_FS_FAULT_H

#include <stddef.h>
#include <stdint.h>

struct fs;
struct fs_fault;

enum fs_fault_kind {
	FS_FAULT_NONE,
	FS_FAULT_EIO, /* The call fails, nothing done. */
	FS_FAULT_ENOSPC,
	FS_FAULT_SHORT, /* A write does its first half, then ENOSPC. */
	FS_FAULT_DIE	/* This and all later calls fail; a write may be half done. */
};

/* An empty store directory; NULL without memory. */
struct fs_fault *fs_fault_new(uint64_t seed);

/* Free it and its struct fs; files still open are a bug. */
void fs_fault_free(struct fs_fault *ff);

/* Its file layer; owned by `ff` (fs_free() on it does nothing). */
struct fs *fs_fault_fs(struct fs_fault *ff);

/* Arm: the `nth` counted call from now (1 is the next) meets `kind`. */
void fs_fault_arm(struct fs_fault *ff, uint64_t nth, enum fs_fault_kind kind);

/* Counted calls since the last arming or restart; non-zero if the fault came. */
uint64_t fs_fault_calls(struct fs_fault *ff);
int fs_fault_fired(struct fs_fault *ff);
void fs_fault_count_reads(struct fs_fault *ff, int yes);

/*
 * Tell of every counted call before it is made: its number as fs_fault_calls() counts,
 * what it does ("write", "sync", "rename", ...) and to which name (a rename's old one).
 * Under the layer's lock: `each` must not call it.  NULL ends it.
 */
void fs_fault_watch(struct fs_fault *ff,
    void (*each)(void *arg, uint64_t nth, const char *what, const char *name), void *arg);

/*
 * Another one with the same files, durable and not, and a `seed` of its own; no file
 * may be open, and nothing is armed.  So that many tests share what led to a state.
 */
struct fs_fault *fs_fault_copy(struct fs_fault *ff, uint64_t seed);

/* Writes fail with ENOSPC once files hold this many bytes; 0 for no limit. */
void fs_fault_set_room(struct fs_fault *ff, uint64_t bytes);

/* After dying, or at any quiet moment with all files closed: live again. */
void fs_fault_restart(struct fs_fault *ff, int power_cut);

/*
 * The bytes of a file, borrowed until the next call, for tests that flip them;
 * NULL if there is no such file.
 */
uint8_t *fs_fault_bytes(struct fs_fault *ff, const char *name, size_t *len);

#endif /* STORAGE_FS_FAULT_H */
