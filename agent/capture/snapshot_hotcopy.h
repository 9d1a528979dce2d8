/*
 * snapshot_hotcopy.h - what the files of the hotcopy provider share; for them alone.
 *
 *	snapshot_hotcopy.c		the set: taking hold, freezing, the end
 *	snapshot_hotcopy_around.c	the cut at the hold of VSS (around.h)
 *	snapshot_hotcopy_flush.c	before the cut: what was written since is known
 *	snapshot_hotcopy_room.c		room for copies on disks; what is not kept
 *	snapshot_hotcopy_paging.c	page files: found before the cut and after it
 *	snapshot_hotcopy_read.c		the image of one volume, at any alignment
 *	snapshot_hotcopy_freed.c	what was freed about then counts as written
 *	snapshot_hotcopy_unneeded.c	what is free needs no copy
 *	snapshot_hotcopy_event.c	the thread that hears how the room is
 *	snapshot_hotcopy_give.c		what is read is given up when room is short
 *	snapshot_hotcopy_ahead.c	copies of our own, of what writes wait for
 *	snapshot_hotcopy_{linux,win32}.c  what only the system can do with a volume
 *
 * One link owns the set; whatever ends the process ends that, too.  Each volume has a
 * link of its own, bound to its image.
 */
#ifndef AGENT_CAPTURE_SNAPSHOT_HOTCOPY_H
#define AGENT_CAPTURE_SNAPSHOT_HOTCOPY_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "agent/capture/snapshot.h"
#include "agent/capture/snapshot_hotcopy_freed.h"
#include "agent/host/settings.h"
#include "agent/map/volmap.h"
#include "driver/abi/hotcopy.h"

struct around;
struct changes;
struct err;
struct hot_ahead;
struct hot_set;
struct hotcopy_link;
struct hotcopy_pin;
struct ntfs_paging;
struct tracking;

/* Page files of a volume as the running system has them; compared with memcmp(). */
struct hot_look {
	struct {
		uint64_t size, made;
		int there;
	} file[3];
};

#define SNAPSHOT_HOTCOPY_AHEAD (16u << 20)

/* What only the system can do with a volume.  Tests put their own here. */
struct hot_system {
	/* The file system has written all that it held.  0; -1. */
	int (*flush)(const char *path, struct err *err);
	/* The volume as it is now: 1; 0: it cannot be read beside the driver; -1. */
	int (*open)(const char *path, void **out, struct err *err);
	int (*read)(void *live, uint64_t offset, void *buf, size_t len, struct err *err);
	void (*close)(void *live);
	void (*look)(const char *path, struct hot_look *out); /* Page files. */
	/* Of what open() gave.  NULL: no log here takes anything back. */
	hot_bitmap *bitmap;
	uint64_t (*memory)(void); /* Bytes that the machine has; NULL: not told. */
	int flushes;		  /* flush() is the file system's own word. */
	int lends_itself;	  /* A volume may hold copies of itself, in a file. */
	uint32_t ahead_max; /* Memory for copies of our own; 0: SNAPSHOT_HOTCOPY_AHEAD. */
};
extern const struct hot_system snapshot_hotcopy_here; /* This system's. */
extern const struct hot_system *snapshot_hotcopy_system;

/* A part of a unit that was read. */
struct hot_part {
	uint64_t unit;
	uint32_t from, to; /* Bytes; equal: none. */
};
#define HOT_PARTS 8u

struct hot_volume {
	struct hot_set *set;
	char *path;
	uint64_t number; /* The driver's. */
	unsigned index;	 /* In the set. */
	uint64_t length; /* Bytes. */
	uint32_t sector;
	struct hotcopy_link *link; /* Bound to its image. */
	uint64_t base;		   /* Generation before the flush; 0: none. */
	int flushed, written_known;
	struct hot_freed *before; /* Its bitmap before the flush, or NULL: */
	char freed_why[96];
	struct changes *freed;	    /* Since then, by the image; NULL: nothing. */
	struct ntfs_paging *paging; /* Before the cut; what was excluded.  Or NULL. */
	struct hot_look look;
	struct volmap_unkept *unkept; /* In order and apart. */
	unsigned unkept_count;
	/* Of what was read, by units of 1 << unit_shift; NULL: nothing is given up. */
	uint8_t *read, *given, *guarded;
	uint64_t units;
	unsigned unit_shift;
	struct hot_part part[HOT_PARTS];
	unsigned next_part;
	int told_free;	  /* Free chunks are not kept. */
	uint32_t dropped; /* enum hotcopy_reason, once it was told. */
};

struct hot_room {
	struct hotcopy_pin *pin;
	uint64_t at; /* The volume's number. */
	uint64_t bytes;
	int lent; /* The set that there is has all of it. */
};

struct hot_set {
	const struct snapshot_options *options;
	struct settings_hotcopy wishes;
	struct hotcopy_link *owner; /* Of the first volume's driver. */
	uint64_t number;	    /* The set's; 0: there is none. */
	unsigned count;
	struct hot_volume *volume[HOTCOPY_VOLUMES_MAX]; /* Once frozen. */
	unsigned rooms;
	struct hot_room room[HOTCOPY_VOLUMES_MAX];
	char room_note[96];  /* Room that could not be had. */
	char freed_note[96]; /* Why free space is not told from what was freed. */
	int paging_lost;     /* Page files moved each time: they are kept. */
	uint32_t chunk_shift;
	struct tracking *tracking;
	struct around *around; /* NULL: nobody was asked. */
	struct hotcopy_frozen frozen;
	int64_t frozen_at;
	char method[SNAPSHOT_METHOD_MAX];
	/* Events. */
	pthread_t thread;
	int has_thread;
	pthread_mutex_t lock; /* What was read and given up, reasons, and: */
	int stop, pressed;    /* To end; room was short once. */
	struct hot_ahead *ahead;
};

/* ------------------------------------------------------------------- VSS' hold -- */

/*
 * Have `freeze` called, with these flags more, while VSS holds all volumes, into
 * s->around.  `prepare`: the cut counts for nothing, make the set anew.
 */
int snapshot_hotcopy_cut_around(struct hot_set *s,
    int (*freeze)(struct hot_set *s, uint32_t flags, uint32_t hold_ms, struct err *err),
    int (*prepare)(struct hot_set *s, struct err *err), struct err *err);

/* ------------------------------------------------------------------------ flush -- */

/* Flush all volumes, so that what is written afterwards will be told. */
void snapshot_hotcopy_flush(struct hot_set *s);

/* After the cut: does what is told still reach back before the flush? */
void snapshot_hotcopy_flushed(struct hot_set *s);

/* As snapshot_provider's. */
int snapshot_hotcopy_written(void *volume,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err);

/* Before the last flush: take each volume's bitmap as its file system has it. */
void snapshot_hotcopy_take_live(struct hot_set *s);

/* After the cut: what was freed since then, or else what was written is not known. */
void snapshot_hotcopy_find_freed(struct hot_set *s);

/* Not 0 of `each` ends it with -1. */
int snapshot_hotcopy_tell_freed(const struct hot_volume *v,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg);
void snapshot_hotcopy_forget_freed(struct hot_volume *v);

/* What is free need not be kept; best effort.  And that it was wanted all the same. */
void snapshot_hotcopy_tell_free(struct hot_set *s);
void snapshot_hotcopy_free_was_wanted(const struct hot_volume *v);

/* ------------------------------------------------------------------------- room -- */

/* Take what the settings wish; what cannot be had is noted. */
void snapshot_hotcopy_take_rooms(struct hot_set *s);

/* Lend it to the set, which is prepared.  What is refused stays pinned: some of it may have
   been taken, and copies go there until the set ends. */
void snapshot_hotcopy_lend_rooms(struct hot_set *s);

uint64_t snapshot_hotcopy_room(const struct hot_set *s);
void snapshot_hotcopy_drop_rooms(struct hot_set *s);

/* The list of what nobody keeps of `v`: rooms, and these (NULL: none).  ERR_NOMEM. */
int snapshot_hotcopy_set_unkept(
    struct hot_volume *v, const struct ntfs_paging *seen, struct err *err);

/* As snapshot_provider's. */
unsigned snapshot_hotcopy_unkept(const void *volume, const struct volmap_unkept **out);

/* ---------------------------------------------------------------------- page files -- */

/* Find them on the live volumes; what is found is excluded from the prepared set. */
int snapshot_hotcopy_find_paging(struct hot_set *s, struct err *err);
int snapshot_hotcopy_exclude_paging(struct hot_set *s, struct err *err);

/* After the cut: 1: the same are there, and what is not kept is known; 0; -1. */
int snapshot_hotcopy_check_paging(struct hot_set *s, struct err *err);
void snapshot_hotcopy_forget_paging(struct hot_set *s);

/* ------------------------------------------------------------------------- read -- */

/* Bind a link to each volume's image. */
int snapshot_hotcopy_bind(struct hot_set *s, struct err *err);
void snapshot_hotcopy_unbind(struct hot_set *s);

/* As snapshot_provider's read. */
int snapshot_hotcopy_read(
    void *volume, uint64_t offset, void *buf, size_t len, struct err *err);

/* Is the image still there?  ERR_SNAPSHOT_LOST says why not. */
int snapshot_hotcopy_look(struct hot_volume *v, struct err *err);

/* ----------------------------------------------------------------------- pressure -- */

/* Begin to hear events; without a thread writes are not helped when room is short. */
void snapshot_hotcopy_listen(struct hot_set *s);
void snapshot_hotcopy_deafen(struct hot_set *s);

/* Lists of what was read, of volumes whose tables are known.  Best effort. */
void snapshot_hotcopy_watch(struct hot_set *s);

void snapshot_hotcopy_unwatch(struct hot_volume *v);

/* It was read for good. */
void snapshot_hotcopy_was_read(struct hot_volume *v, uint64_t offset, uint64_t len);

/* Was chunk `n` of it read for good? */
int snapshot_hotcopy_is_read(struct hot_volume *v, uint64_t n);

/* Was chunk `n` given up? */
int snapshot_hotcopy_is_given(struct hot_volume *v, uint64_t n);

/* Give up all that was read so far. */
void snapshot_hotcopy_give_up(struct hot_set *s);

/* A place for copies of our own.  NULL: no memory. */
struct hot_ahead *snapshot_hotcopy_ahead_new(const struct hot_set *s);
void snapshot_hotcopy_ahead_free(struct hot_ahead *a);

/* Keep a chunk (its bytes at `p`): 0; -1: there is no room. */
int snapshot_hotcopy_ahead_put(
    struct hot_ahead *a, struct hot_volume *v, uint64_t chunk, const uint8_t *p);

/* Part of a chunk that was kept: 1; 0: it never was; -1, ERR_SNAPSHOT_LOST: no more. */
int snapshot_hotcopy_ahead_get(struct hot_ahead *a, const struct hot_volume *v,
    uint64_t chunk, uint32_t from, void *out, uint32_t len, struct err *err);

#endif /* AGENT_CAPTURE_SNAPSHOT_HOTCOPY_H */
