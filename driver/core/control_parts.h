/*
 * control_parts.h - what control.c (who is there), control_set.c (the open set),
 * control_call.c (the calls) and control_check.c (are their bytes right) share.
 */
#ifndef DRIVER_CORE_CONTROL_PARTS_H
#define DRIVER_CORE_CONTROL_PARTS_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/core/control.h"
#include "driver/core/env.h"

#define CONTROL_RING 16u
#define CONTROL_FILES_MAX 256u

/* A volume that has joined. */
struct control_entry {
	struct control *control;
	struct volume *volume;
	uint64_t number;
	uint32_t users; /* calls inside */
	uint32_t paging;
	bool leaving; /* no call finds it any more */
	bool changes; /* TRACK or UNTRACK is inside */
	struct env_event idle;
	struct env_mutex change; /* the tracking is not taken away; held across I/O */
	struct env_mutex look;	 /* the same, for who only looks */
};

/* The open set, from the beginning of PREPARE to the end of set_free. */
struct control_set {
	struct set *set; /* NULL: being prepared */
	uint64_t number;
	struct control_file *owner;
	uint32_t users; /* calls inside, and 1 until it is ended */
	bool ended;	/* no call finds it any more; the last user frees it */
	bool freeing;
	uint32_t volumes;
	uint64_t volume[HOTCOPY_VOLUMES_MAX];
	uint64_t left; /* bit n: volume n is gone */
	uint64_t told; /* bit n: its drop, by control_drop */
	uint32_t reads[HOTCOPY_VOLUMES_MAX];
};

struct control_file {
	struct control_file *next;
	struct control *control;
	uint64_t bound; /* a set's number; 0: none */
	uint32_t index;
	bool closed;
	/* Asking for an event is one at a time: they are numbered in that order. */
	struct env_mutex asking;
	uint64_t sequence, set_sequence, events_of;
	/* The control's spin lock: events of no set. */
	struct hotcopy_event ring[CONTROL_RING];
	uint32_t events, lost, place;
};

struct control {
	struct control_notice notice;
	uint32_t build, flags;
	/* All of what follows and the entries' and set's words but where said; held for
	   a few instructions, no lock taken within it but "ring". */
	struct env_mutex mutex;
	struct control_entry *entry[HOTCOPY_ENUM_MAX]; /* by rising numbers */
	uint32_t entries;
	struct control_set *set; /* NULL: none is open */
	uint64_t sets;
	struct env_event gone;	/* the set has been freed */
	struct env_event quiet; /* a read or a user of the set has gone */
	struct env_lock ring;	/* files' rings and the list of files */
	struct control_file *files;
	uint32_t open;
};

/* control.c: entries are pinned while a call uses them. */
struct control_entry *control_pin(struct control *c, uint64_t number);
void control_unpin(struct control_entry *e);

/* control_set.c.  begin: the open set of this number, which stays until end. */
struct control_set *control_set_begin(struct control *c, uint64_t number);
void control_set_end(struct control *c, struct control_set *s);
enum set_result control_set_prepare(struct control_file *f,
    const struct hotcopy_prepare *p, struct hotcopy_prepared *out);
bool control_set_is_of(struct control_file *f, const struct control_set *s);
/* Its owner's wish; false: there is none of this owner and number (0: any). */
bool control_set_release(struct control_file *f, uint64_t number);
/* The volume has gone and no call uses it. */
void control_set_leave(struct control *c, struct volume *v, uint64_t number);
bool control_set_has(const struct control *c, uint64_t number); /* within the mutex */
enum set_result
control_set_read(struct control_file *f, uint64_t offset, void *out, uint32_t length);

/*
 * control_check.c: are the bytes of a call right, as far as they say so themselves?
 * "in" bytes of "buffer", "room" for the answer.  Extents: also whether they fit a
 * volume.
 */
enum set_result
control_check(uint32_t code, const void *buffer, uint32_t in, uint32_t room);
enum set_result control_check_extents(
    const struct volume *v, const struct hotcopy_extent *extent, uint32_t extents);

#endif /* DRIVER_CORE_CONTROL_PARTS_H */
