/*
 * restore.h - writing a volume of a recovery point to a file or device.
 *
 * Works over any session that may read the point: the agent's own, or an
 * operator's (server/cli uses this room as a library).  Every node is proven by
 * its id from the root down, every chunk by its own; what cannot be proven is
 * not written.  Holes are left alone on an existing target unless asked;
 * zero and excluded ranges are zeros afterwards, always.
 */
#ifndef AGENT_RESTORE_RESTORE_H
#define AGENT_RESTORE_RESTORE_H

#include <stdint.h>

#include "agent/host/progress.h"
#include "proto/wire/msg.h"

struct channel;
struct chunk_keys;
struct err;
struct stop;

#define RESTORE_NAME_MAX 64 /* Of hosts and volumes, with the NUL. */

/* Flags. */
#define RESTORE_DELTA 1u      /* Keep the target; write only what differs. */
#define RESTORE_FORCE 2u      /* Replace an existing file. */
#define RESTORE_ZERO_HOLES 4u /* Existing targets: what is free becomes zeros. */
#define RESTORE_DISCARD 8u    /* Devices: tell them what is free. */
#define RESTORE_VHDX 16u      /* A new file, as a virtual disk. */

struct restore_job {
	struct channel *ch; /* Greeted. */
	const struct chunk_keys *keys;
	const char *host;  /* "": the agent's own. */
	uint64_t sequence; /* 0: the newest. */
	const char *volume;
	const char *target; /* Path of a file or block device. */
	unsigned flags;
	enum progress_mode mode;
	struct stop *stop; /* May be NULL. */
	/* A line that people must read, before a byte is written; may be NULL. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

/*
 * Warn of a point that may not be what its volumes were, or rests on lists of changes
 * that nobody has proven yet.
 */
void restore_warn(
    const Wire__Point *p, void (*say)(void *arg, const char *line), void *say_arg);

struct restore_result {
	char host[RESTORE_NAME_MAX];
	uint64_t sequence;
	int64_t time_us;	 /* Of the point. */
	uint64_t size;		 /* Of the volume. */
	uint64_t received_bytes; /* Groups. */
	uint64_t written_bytes;	 /* To the target, zeros included. */
	uint64_t same_bytes;	 /* With RESTORE_DELTA: found right, left alone. */
	uint64_t duration_us;
};

/*
 * Run it.  Nothing is written before the target has passed target.h's checks.  A
 * file is written as "<target>.partial" and renamed when it is whole and synced;
 * on failure that is removed.  Devices and RESTORE_DELTA are written in place: a
 * failure leaves them half done, and the error says so.  ERR_NOTFOUND (no such
 * point, volume), ERR_EXISTS, ERR_BUSY, ERR_LIMIT (too small), ERR_CORRUPT (the
 * store has lost chunks), ERR_CANCELED.
 */
int
restore_run(const struct restore_job *job, struct restore_result *out, struct err *err);

/*
 * "12", "latest", and with `host` not NULL also "HOST/12", "HOST/latest": 0 is
 * the newest; host becomes "" if none is named.  ERR_NOTFOUND with one line.
 */
int restore_point(
    const char *text, char host[RESTORE_NAME_MAX], uint64_t *sequence, struct err *err);

/*
 * "raw" or "vhdx" (`text`); NULL: what the target's name says, vhdx if it ends so.
 * `*vhdx` is non-zero for vhdx.  ERR_UNSUPPORTED.
 */
int restore_format(const char *text, const char *target, int *vhdx, struct err *err);

#endif /* AGENT_RESTORE_RESTORE_H */
