/*
 * store_options.h - how a store is opened, where the defaults will not do.
 */
#ifndef STORAGE_STORE_OPTIONS_H
#define STORAGE_STORE_OPTIONS_H

#include <stdint.h>

struct err;
struct fs;
struct store;

/* Of space: so many bytes, or so many thousandths of the file system. */
struct store_amount {
	uint64_t bytes;
	uint32_t permille; /* If not 0, this counts. */
};

struct store_options {
	/*
	 * Nothing is written, not even a lock; what opening has to put right is put
	 * right in memory.  The store must not be open elsewhere: ERR_BUSY.
	 */
	int read_only;
	/* Bytes kept for a full disk; 0 for none; STORE_RESERVE_KEEP: as it is. */
	uint64_t reserve;
	struct store_amount low_water; /* No new backup begins below; 0 for none. */
	uint32_t parity; /* Per cent that packs sealed from now on get; 0: none. */
	/* How far the clock may be ahead of the last record; 0: it is believed. */
	int64_t clock_jump_us;

	/* NULL: the system's.  Microseconds: since 1970, since any moment. */
	int64_t (*clock)(void), (*monotonic)(void);
};

#define STORE_CLOCK_JUMP_US ((int64_t)7 * 86400 * 1000000)
#define STORE_RESERVE_KEEP UINT64_MAX

/* The reserve as it is, no low water, a week's jump. */
#define STORE_OPTIONS_INIT                                                          \
	{                                                                           \
		.reserve = STORE_RESERVE_KEEP, .clock_jump_us = STORE_CLOCK_JUMP_US \
	}

/* As store_open(). */
int store_open_with(const char *dir, const struct store_options *options,
    struct store **out, struct err *err);

/* As store_open_with(), on any file layer, which is borrowed. */
int store_open_with_fs(struct fs *fs, const char *catalog,
    const struct store_options *options, struct store **out, struct err *err);

#endif /* STORAGE_STORE_OPTIONS_H */
