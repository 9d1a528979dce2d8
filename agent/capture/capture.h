/*
 * capture.h - what one backup reads: volumes, and disks as several of them.
 *
 * A disk is frozen once.  Its volumes are windows of that one view: NAME is the disk's
 * image, with holes where its partitions are volumes; NAME.1, NAME.2 ... are these, by
 * the partitions' numbers.  Partitions that hold nothing by themselves (MSR, extended)
 * stay in the image, as do all of a disk when there would be too many volumes.
 *
 * A disk that is in use (capture_disks.h) is joined from its volumes' snapshots, matched
 * to partitions by where they lie, and from what is read live for the rest.  The same
 * names, the same bytes: who restores it cannot tell.
 *
 *	capture_begin (or capture_new -> capture_freeze) -> capture_read ...
 *	    -> capture_finish -> capture_free
 */
#ifndef AGENT_CAPTURE_CAPTURE_H
#define AGENT_CAPTURE_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/capture/capture_disks.h"
#include "agent/capture/choose.h"
#include "agent/capture/snapshot.h"
#include "agent/capture/tracking.h"
#include "agent/host/settings.h"
#include "agent/map/volmap.h"
#include "proto/layout/layout.h"

struct changes;
struct err;
struct hotcopy_link;
struct twice;

struct capture_volume {
	char name[SETTINGS_NAME_MAX];
	uint64_t size;		      /* Bytes. */
	struct snapshot_volume *view; /* Of its first bytes; NULL: of none. */
	uint64_t view_offset, view_size;
	struct twice *live; /* Of the others; NULL: there are none, or they are zeros. */
	uint64_t live_offset; /* Of the volume's first byte on the disk. */
	struct snapshot_info info;
	uint32_t sector_size;
	int is_disk; /* With a table of its own; then what is elsewhere: */
	struct volmap_range *holes;
	unsigned holes_count;
	struct tracking *tracking;    /* Of the view; NULL: there is none. */
	struct volmap_unkept *unkept; /* capture_unkept() */
};

/* A disk of the settings: frozen as one, or joined. */
struct capture_source {
	struct snapshot_volume *view; /* Of all; NULL: joined from these: */
	struct capture_disk disk;
	struct snapshot_volume *pieces[LAYOUT_PARTITIONS_MAX]; /* Or NULL. */
	struct twice *table; /* Its table, which must be the same in the end. */
};

/* Large: on the heap. */
struct capture {
	struct snapshot *snapshot;
	struct settings_hotcopy hotcopy; /* As its snapshot has them. */
	struct hotcopy_link *driver;	 /* NULL: its provider tracks, or nobody. */
	struct tracking_options track;	 /* Of this, made by the capture itself: */
	struct tracking *tracking;
	unsigned frozen; /* Volumes of the snapshot. */
	struct snapshot_volume
	    *views[SETTINGS_VOLUMES_MAX]; /* Of the settings' volumes. */
	struct capture_source *disks[SETTINGS_DISKS_MAX];
	int64_t frozen_at; /* As snapshot_info. */
	unsigned count;
	struct capture_volume volumes[SETTINGS_VOLUMES_MAX];
	struct layout layout; /* Disks and partitions. */
	int devices;	      /* Something of it is a device: this is a machine. */
	char note[256];	      /* What tables had to say. */
	struct choice choice; /* Who freezes it: the provider's name for the roots. */
	char method[512];     /* How it was frozen and why so: a line for the point. */
};

/*
 * Choose a provider (the settings' word) and take hold of all that the settings name.
 * `options` as snapshot_open() has them; the settings may make it a copy, and where
 * changes are tracked nobody may repair files in the view: no list would name that.
 * `disks`: capture_disks_system.
 */
int capture_new(const struct settings *s, const struct snapshot_options *options,
    const struct capture_disks *disks, struct capture **out, struct err *err);

/* Freeze it, read the disks' tables, make the list of volumes. */
int capture_freeze(
    struct capture *c, const struct settings *s, uint32_t timeout_ms, struct err *err);

/*
 * Both; where `auto` took vss and that failed for good, hotcopy may stand in, as choose.h
 * has it, and the method says so.  Freed by the caller in any case.
 */
int capture_begin(const struct settings *s, const struct snapshot_options *options,
    const struct capture_disks *disks, uint32_t timeout_ms, struct capture **out,
    struct err *err);

/* As volmap_source.read; `arg` is a struct capture_volume. */
int capture_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);

/*
 * Was what was read of this volume live one state of it?  1, also of what was frozen; 0:
 * it has changed meanwhile, read all of it again; -1.
 */
int capture_settled(struct capture_volume *v, struct err *err);

/*
 * What is known of this volume's changes (agent/capture/tracking.h).  A provider that
 * does not track is no hindrance: the generation then ends before it freezes.
 *
 * Nonces are as roots have them, and so is that in `info`: mixed with the volume they are
 * of and where it begins there.  All volumes of one cut have the driver's number and nonce
 * in common: names that change places, or a partition that moved, would else pass for
 * what they were.
 */
void capture_tracked(const struct capture_volume *v, struct tracking_view *out);

/* The generation that began at its cut as the driver knows it; number 0: none. */
void capture_began(const struct capture_volume *v, struct tracking_generation *out);

/*
 * Add what changed since the base generation, at the volume's own places; what is read
 * live counts as changed.
 */
int capture_changed(struct capture_volume *v, struct changes *out, struct err *err);

/* As snapshot_written(), at the volume's own places, into `out`. */
int capture_written(struct capture_volume *v, struct changes *out, struct err *err);

/* As snapshot_unkept(), at the volume's own places; the capture's. */
unsigned capture_unkept(struct capture_volume *v, const struct volmap_unkept **out);

/* A list of changes was found wrong: as tracking_distrust(). */
void capture_distrust(struct capture *c);

/* As snapshot_confirm(). */
int capture_confirm(struct capture *c, struct err *err);

/* As snapshot_finish(): `ok` only once the server has acknowledged the point. */
int capture_finish(struct capture *c, int ok, struct err *err);

/* NULL is allowed. */
void capture_free(struct capture *c);

#endif /* AGENT_CAPTURE_CAPTURE_H */
