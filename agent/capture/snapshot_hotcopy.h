/*
 * snapshot_hotcopy.h - what the files of the hotcopy provider share; for them alone.
 *
 *	snapshot_hotcopy.c	the set: taking hold, freezing, the end
 *	snapshot_hotcopy_read.c	the image of one volume, at any alignment
 *
 * One link owns the set; whatever ends the process ends that, too.  Each volume has a
 * link of its own, bound to its image.
 */
#ifndef AGENT_CAPTURE_SNAPSHOT_HOTCOPY_H
#define AGENT_CAPTURE_SNAPSHOT_HOTCOPY_H

#include <stddef.h>
#include <stdint.h>

#include "agent/capture/snapshot.h"
#include "agent/host/settings.h"
#include "driver/abi/hotcopy.h"

struct err;
struct hot_set;
struct hotcopy_link;
struct tracking;

struct hot_volume {
	struct hot_set *set;
	char *path;
	uint64_t number; /* The driver's. */
	unsigned index;	 /* In the set. */
	uint64_t length; /* Bytes. */
	uint32_t sector;
	struct hotcopy_link *link; /* Bound to its image. */
};

struct hot_set {
	const struct snapshot_options *options;
	struct settings_hotcopy wishes;
	struct hotcopy_link *owner; /* Of the first volume's driver. */
	uint64_t number;	    /* The set's; 0: there is none. */
	unsigned count;
	struct hot_volume *volume[HOTCOPY_VOLUMES_MAX]; /* Once frozen. */
	uint32_t chunk_shift;
	struct tracking *tracking;
	struct hotcopy_frozen frozen;
	char method[SNAPSHOT_METHOD_MAX];
};

/* Bind a link to each volume's image. */
int snapshot_hotcopy_bind(struct hot_set *s, struct err *err);

/* As snapshot_provider's read. */
int snapshot_hotcopy_read(
    void *volume, uint64_t offset, void *buf, size_t len, struct err *err);

/* Is the image still there?  ERR_SNAPSHOT_LOST says why not. */
int snapshot_hotcopy_look(struct hot_volume *v, struct err *err);

#endif /* AGENT_CAPTURE_SNAPSHOT_HOTCOPY_H */
