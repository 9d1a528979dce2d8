/*
 * capture.h - what one backup reads: volumes, and disks as several of them.
 *
 * A disk is frozen once.  Its volumes are windows of that one view: NAME is the disk's
 * image, with holes where its partitions are volumes; NAME.1, NAME.2 ... are these, by
 * the partitions' numbers.  Partitions that hold nothing by themselves (MSR, extended)
 * stay in the image, as do all of a disk when there would be too many volumes.
 *
 *	capture_new -> capture_freeze -> capture_read ... -> capture_finish ->
 *capture_free
 */
#ifndef AGENT_CAPTURE_H
#define AGENT_CAPTURE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/choose.h"
#include "agent/settings.h"
#include "agent/volmap.h"
#include "proto/layout/layout.h"

struct err;
struct snapshot;
struct snapshot_options;
struct snapshot_volume;

struct capture_volume {
	char name[SETTINGS_NAME_MAX];
	struct snapshot_volume *view;
	uint64_t offset, size; /* Bytes of the view. */
	uint32_t sector_size;
	int is_disk; /* With a table of its own; then what is elsewhere: */
	struct volmap_range *holes;
	unsigned holes_count;
};

struct capture {
	struct snapshot *snapshot;
	unsigned count;
	struct capture_volume volumes[SETTINGS_VOLUMES_MAX];
	struct layout layout; /* Disks and partitions. */
	int devices;	      /* Something of it is a device: this is a machine. */
	char note[256];	      /* What tables had to say. */
	struct choice choice; /* Who freezes it: the provider's name for the roots. */
	char method[512];     /* How it was frozen and why so: for the point. */
};

/*
 * Choose a provider (the settings' word) and take hold of all that the settings name.
 * `options` as snapshot_open() has them; the settings say the backup's type.
 */
int capture_new(const struct settings *s, const struct snapshot_options *options,
    struct capture **out, struct err *err);

/* Freeze it, read the disks' tables, make the list of volumes. */
int capture_freeze(
    struct capture *c, const struct settings *s, uint32_t timeout_ms, struct err *err);

/* As volmap_source.read; `arg` is a struct capture_volume. */
int capture_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);

/* As snapshot_finish(): `ok` only once the server has acknowledged the point. */
int capture_finish(struct capture *c, int ok, struct err *err);

/* NULL is allowed. */
void capture_free(struct capture *c);

#endif /* AGENT_CAPTURE_H */
