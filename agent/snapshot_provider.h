/*
 * snapshot_provider.h - what a way of freezing must offer to snapshot.c.
 *
 * For implementers only; callers see agent/snapshot.h.  A provider keeps its
 * own state per volume and, if it needs any, per set; snapshot.c keeps the list
 * of volumes, refuses duplicates, and checks every read request against the
 * volume before the provider sees it.
 */
#ifndef AGENT_SNAPSHOT_PROVIDER_H
#define AGENT_SNAPSHOT_PROVIDER_H

#include "agent/snapshot.h"

struct snapshot_provider {
	const char *name;

	/* Get hold of `path`; `volume` is the provider's own.  Sets nothing else. */
	int (*add)(const char *path, void **volume, struct err *err);

	/* Non-zero if both are the same volume, whatever their paths are. */
	int (*same)(const void *volume, const void *other);

	/* Freeze `count` volumes at one instant and fill `infos` in the same order. */
	int (*freeze)(void **volumes, size_t count, uint32_t timeout_ms,
	    struct snapshot_info *infos, struct err *err);

	/* As snapshot_read(), within the volume, `len` > 0; on any thread. */
	int (*read)(
	    void *volume, uint64_t offset, void *buf, size_t len, struct err *err);

	/* As snapshot_confirm(), for one volume. */
	int (*confirm)(void *volume, struct err *err);

	/* Let go and free. */
	void (*close)(void *volume, int ok);
};

/* The providers of this build. */
extern const struct snapshot_provider snapshot_offline;

#endif /* AGENT_SNAPSHOT_PROVIDER_H */
