/*
 * track_state.h - what the files of track.h share; nobody else's.
 *
 * Locks, in order: save.runner, save.owner (a word, see track_save.c), log.mutex,
 * memory.mutex.  memory.mutex is never held across I/O.
 */
#ifndef DRIVER_CORE_TRACK_STATE_H
#define DRIVER_CORE_TRACK_STATE_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/core/bits.h"
#include "driver/core/env.h"
#include "driver/core/track.h"
#include "driver/core/track_format.h"

/* Where the cells lie. */
struct track_place {
	struct hotcopy_extent *extent; /* as given: the order of the cells */
	struct hotcopy_extent *sorted; /* by offset */
	uint32_t extents;
	uint32_t open; /* atomic; 0: in memory alone, or never to be written again */
};

/* Under memory.mutex: what is known, durable or not. */
struct track_memory {
	struct env_mutex mutex;
	uint32_t epoch; /* of cuts, commits and aborts */
	uint32_t flags; /* TRACK_* but CLEAN and NTFS */
	enum hotcopy_reason why;
	bool kept;  /* previous holds something that is not committed */
	bool stale; /* the durable previous is another */
	uint64_t generation, base;
	uint8_t nonce[HOTCOPY_NONCE], base_nonce[HOTCOPY_NONCE];
};

/* Under log.mutex: what is durable. */
struct track_log_part {
	struct env_mutex mutex;
	struct track_head head; /* the last that was written */
	uint32_t newest;	/* the copy that has it */
	uint8_t *cell;		/* the log as it is on the disk */
	uint8_t *sector;	/* room for a header */
	uint64_t next;		/* the highest sequence that was used */
	bool saving;		/* a checkpoint is under way: regions are logged for it */
	bool torn;		/* torn cells wait to be written anew */
	uint32_t logged;	/* regions, for this checkpoint */
	uint64_t since;		/* when that was, by env_now */
};

enum track_save_step { TRACK_SAVE_NONE, TRACK_SAVE_MAPS, TRACK_SAVE_HEAD };

/* Under save.owner: a checkpoint under way. */
struct track_save {
	struct env_mutex runner;
	struct env_event freed;
	uint32_t owner; /* atomic: 1 while somebody takes a step */
	enum track_save_step step;
	bool clean;
	uint32_t epoch;
	uint32_t write[2], slot[2];
	uint64_t sequence[2];
	unsigned map;	/* 0: current, 1: previous */
	uint32_t at;	/* its next cell */
	uint8_t *piece; /* TRACK_PIECE */
	uint32_t finished;
	bool failed;
};

struct track {
	struct volume *volume;
	struct track_notice notice;
	uint64_t length;
	uint32_t sector;
	struct track_layout layout;
	struct track_place place;
	/* Swapped by a cut, when no write is in flight; track_write takes no lock. */
	struct bits current, previous;
	struct bits marks; /* regions that are logged durably */
	uint32_t due;	   /* atomic */
	uint32_t log_writes;
	struct track_memory memory;
	struct track_log_part log;
	struct track_save save;
};

#define TRACK_PIECE (64u << 10)
#define TRACK_PIECE_CELLS (TRACK_PIECE / TRACK_CELL)

/* track_store.c: cells on the disk; at most a piece; 0 or -1. */
int
track_store_place(struct track *t, const struct hotcopy_extent *extent, uint32_t extents);
int track_store_read(struct track *t, uint32_t cell, uint32_t cells, uint8_t *to);
/* Through to the disk; whole sectors are written, "from" has them. */
int
track_store_write(struct track *t, uint32_t cell, uint32_t cells, const uint8_t *from);
bool track_store_owns(const struct track *t, uint64_t offset, uint64_t last);

/* track_log.c.  log.mutex held: */
int track_log_head(struct track *t, struct track_head *h);
/* Tracking is INVALID from now on; true: tell the notice when no lock is held. */
bool track_log_lose(struct track *t, enum hotcopy_reason why, bool both);
void track_log_begin(struct track *t, bool forget);
/* After the header that names log.next. */
int track_log_end(struct track *t);
/* No lock held. */
void track_log_told(struct track *t, bool tell);
void track_log_mark_all(struct track *t);

/* track_save.c: a checkpoint from now on, whole. */
int track_save(struct track *t, bool clean);

/* track_print.c: of what other systems change when they write to a volume. */
struct track_print {
	bool ntfs;
	uint64_t boot, clean;
};
/* "buffer": TRACK_PIECE.  0s if it cannot be read. */
void track_print(struct track *t, bool clean, uint8_t *buffer, struct track_print *p);
/* Where NTFS keeps what we look at; false: no NTFS.  Of foreign bytes, no I/O. */
struct track_ntfs {
	uint64_t mft; /* offset, bytes */
	uint32_t record;
	uint32_t cluster;
};
bool track_print_boot(const uint8_t *boot, uint64_t length, struct track_ntfs *n);
bool track_print_log(
    const uint8_t *record, const struct track_ntfs *n, uint64_t length, uint64_t *offset);

#endif /* DRIVER_CORE_TRACK_STATE_H */
