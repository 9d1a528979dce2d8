/*
 * cut_list.h - for cuts_bench: all cuts of a volume, by one of several ways.
 *
 * The real map says what is used and who owns it; the way `CUT_MAP` takes its
 * cuts as they are, the others cut the files that its plan knows anew.  The list
 * is in the order of the lowest byte of each cut, as the walk's.
 */
#ifndef TESTS_BENCH_CUTS_CUT_LIST_H
#define TESTS_BENCH_CUTS_CUT_LIST_H

#include <stddef.h>
#include <stdint.h>

#include "agent/map/chunker.h"
#include "agent/map/volmap.h"

enum cut_mode {
	CUT_MAP,    /* The map's own cuts. */
	CUT_OFFSET, /* Files at multiples of `block`. */
	CUT_CDC,    /* Files of `large` bytes and more by content, else as OFFSET. */
	CUT_TEXT,   /* As CDC, but only those that begin like text or a tar archive. */
	CUT_DENSE,  /* As CDC, but only those that begin with next to no zeros. */
	CUT_REGION, /* As DENSE, but each region decides for itself. */
	CUT_DISK,   /* All used bytes by content in the order of the disk. */
	CUT_RAW	    /* The whole volume by content. */
};

/* Order in which files below `tiny` bytes share chunks. */
enum tiny_order { TINY_DISK, TINY_MFT };

struct cut_way {
	enum cut_mode mode;
	uint32_t block, meta_block; /* Bytes; of files, and of what is none. */
	struct chunker_sizes file, stream;
	uint64_t large;	 /* Bytes. */
	uint64_t region; /* Bytes of a file after which cuts start anew; 0: never. */
	uint32_t alone;	 /* REGION: only those in one piece. */
	uint32_t tiny;	 /* Bytes; 0: each file alone. */
	enum tiny_order order;
};

struct cut_entry {
	enum volmap_kind kind; /* Never STREAM: that is DATA of one piece. */
	uint64_t offset, len;
	uint32_t piece, count;
};

struct cut_list {
	struct cut_entry *entry;
	struct volmap_piece *piece;
	size_t n, room, pieces, pieces_room;
	uint64_t files, by_content; /* Cut, and of those by content. */
	double gear_s;		    /* CPU seconds of the chunker. */
};

/* `image` is the volume, `size` bytes.  Ends the program where it cannot go on. */
void cut_list_make(
    struct cut_list *l, const struct cut_way *way, const uint8_t *image, uint64_t size);
void cut_list_free(struct cut_list *l);

/* CPU seconds of this thread. */
double cut_cpu(void);

#endif /* TESTS_BENCH_CUTS_CUT_LIST_H */
