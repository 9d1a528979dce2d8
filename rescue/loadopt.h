/*
 * loadopt.h - EFI_LOAD_OPTION: what a boot entry of UEFI says (UEFI 2.10, 3.1.3).
 *
 *	+0	4	attributes; bit 0: active
 *	+4	2	length of the device paths, n
 *	+6	m	description, UTF-16 with its NUL
 *	+6+m	n	device paths; the first one leads to the loader
 *	...		data for the loader
 *
 * Of the device paths only HD() and File() are looked into.  Pure; the bytes come
 * from a point or from a machine's NVRAM and may be anything.
 */
#ifndef RESCUE_LOADOPT_H
#define RESCUE_LOADOPT_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define LOADOPT_LEN_MAX 4096u
#define LOADOPT_TEXT_MAX 256u /* Of descriptions and paths as UTF-8, with the NUL. */

struct loadopt {
	uint32_t attributes;
	char description[LOADOPT_TEXT_MAX]; /* Control characters are '?'. */
	int has_drive;			    /* There is an HD() of GPT's kind. */
	size_t drive_at;		    /* Where in the bytes it begins. */
	uint32_t number;		    /* Of the partition. */
	uint64_t start, length;		    /* In sectors. */
	uint8_t id[16];			    /* The partition's GUID as on disk. */
	char path[LOADOPT_TEXT_MAX];	    /* Of File(): "\EFI\..."; "" if none. */
	const uint8_t *data; /* For the loader; in the bytes it came from. */
	size_t data_len;
};

/* Where a partition is now. */
struct loadopt_drive {
	uint32_t number;
	uint64_t start, length; /* In sectors. */
	uint8_t id[16];
};

/* Read one.  ERR_CORRUPT. */
int loadopt_parse(const uint8_t *p, size_t len, struct loadopt *out, struct err *err);

/*
 * Append the same entry with its HD() saying `drive`.  It must have one.
 * ERR_CORRUPT, ERR_NOMEM.
 */
int loadopt_moved(const uint8_t *p, size_t len, const struct loadopt_drive *drive,
    struct buf *out, struct err *err);

/* Append an active entry for a loader on `drive`; the texts are ASCII. */
int loadopt_make(const char *description, const struct loadopt_drive *drive,
    const char *path, struct buf *out, struct err *err);

/*
 * Non-zero: both start the same loader of the same partition with the same data,
 * whatever their name.  The data is what a shim or a kernel is told to do: what differs
 * by it alone starts something else.  The bytes of both are still there.
 */
int loadopt_same(const struct loadopt *a, const struct loadopt *b);

#endif /* RESCUE_LOADOPT_H */
