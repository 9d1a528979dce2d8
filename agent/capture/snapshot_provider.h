/*
 * snapshot_provider.h - what a way of freezing must offer to snapshot.c.
 *
 * For implementers only; callers see snapshot.h.  A provider keeps its own state
 * per set and per volume; snapshot.c keeps the list of volumes, refuses duplicates,
 * checks every read request against the volume before the provider sees it, and keeps
 * this order:
 *
 *	open -> add (same) ... -> freeze -> read ..., confirm ...
 *	    -> finish -> close of each volume -> free
 *
 * Whatever failed, finish comes once (with `ok` 0) if freeze was called, close for each
 * volume that was added, and free last.
 */
#ifndef AGENT_CAPTURE_SNAPSHOT_PROVIDER_H
#define AGENT_CAPTURE_SNAPSHOT_PROVIDER_H

#include "agent/capture/snapshot.h"

struct snapshot_provider {
	const char *name; /* At most 15 bytes: it stands in each image's root. */

	/*
	 * Begin a set; `options` live as long as it.  NULL: the provider has no
	 * state per set, and gets NULL wherever `set` stands below.
	 */
	int (*open)(const struct snapshot_options *options, void **set, struct err *err);

	/* Get hold of `path`; `volume` is the provider's own.  Sets nothing else. */
	int (*add)(void *set, const char *path, void **volume, struct err *err);

	/* Non-zero if both are the same volume, whatever their paths are. */
	int (*same)(const void *volume, const void *other);

	/* Freeze `count` volumes at one instant and fill `infos` in the same order. */
	int (*freeze)(void *set, void **volumes, size_t count, uint32_t timeout_ms,
	    struct snapshot_info *infos, struct err *err);

	/* As snapshot_read(), within the volume, `len` > 0; on any thread. */
	int (*read)(
	    void *volume, uint64_t offset, void *buf, size_t len, struct err *err);

	/* As snapshot_unkept(); NULL: all is kept. */
	unsigned (*unkept)(const void *volume, const struct volmap_unkept **out);

	/* As snapshot_written(); NULL: nobody knows. */
	int (*written)(void *volume,
	    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg,
	    struct err *err);

	/* As snapshot_tracking(); NULL: it has none. */
	struct tracking *(*tracking)(const void *set);

	/* As snapshot_confirm(), for one volume. */
	int (*confirm)(void *volume, struct err *err);

	/* What snapshot_method() says behind the name; one line.  NULL: nothing. */
	const char *(*method)(const void *set);

	/* As snapshot_finish().  NULL: nobody needs to be told. */
	int (*finish)(void *set, int ok, struct err *err);

	/* Let a volume go and free it. */
	void (*close)(void *volume);

	/* Free the set; NULL if there is no open. */
	void (*free)(void *set);
};

/* The providers of this build, behind the last one NULL. */
extern const struct snapshot_provider *const snapshot_providers[];

extern const struct snapshot_provider snapshot_offline;
extern const struct snapshot_provider snapshot_vss; /* Windows. */
extern const struct snapshot_provider snapshot_hotcopy;

#endif /* AGENT_CAPTURE_SNAPSHOT_PROVIDER_H */
