/*
 * uplink.h - the server as a backup sees it, behind an ops table.
 *
 * The pipeline knows this and no network: uplink_channel() makes one of a
 * session with a server, tests make one of a few arrays.  Asking and waiting
 * are two calls, so that much can be under way at once; any thread may call,
 * and each request is waited for once.
 *
 *	begin -> have / put ... -> commit
 */
#ifndef AGENT_BACKUP_UPLINK_H
#define AGENT_BACKUP_UPLINK_H

#include <stddef.h>
#include <stdint.h>

#include "agent/host/state.h"
#include "proto/chunk/chunk_id.h"
#include "proto/chunk/tree.h"

struct buf;
struct channel;
struct err;

/* Longest list of ids in one question: MSG_IDS_MAX. */
#define UPLINK_IDS_MAX 4096u

#define UPLINK_BACKUP_LEN 16

enum uplink_have { UPLINK_NEED = 0, UPLINK_HAVE = 1, UPLINK_PENDING = 2 };

struct uplink_volume {
	const char *name;
	uint64_t size;
	uint32_t sector_size;
};

/* The volume's newest point, pinned while the session lives. */
struct uplink_base {
	int known;
	struct chunk_id root_id;
	uint64_t sequence;
};

/* What was done; see Counts in holdfast.proto. */
struct uplink_counts {
	uint64_t read_bytes, sent_bytes, new_bytes, known_bytes, zero_bytes, hole_bytes,
	    excluded_bytes, chunks, new_chunks, duration_us;
	uint64_t excluded_by[EXTENT_REASONS]; /* By enum extent_reason. */
};

/* Of a volume, what was not read by the word of a list (agent/map/changes.h). */
struct uplink_changes {
	unsigned volume; /* Of the commit's. */
	uint64_t kept_bytes, proven_bytes;
	unsigned slices;
	uint64_t proven; /* The newest point up to which all of it is. */
};

struct uplink_commit {
	unsigned count;
	const char *const *names; /* Of the volumes, and their roots. */
	const struct chunk_id *roots;
	int64_t frozen_at_us;
	struct uplink_counts counts;
	const char *note;
	const uint8_t *layout; /* proto/layout's fields, or none. */
	size_t layout_len;
	const char *capture;		      /* How it was frozen; or "". */
	const struct uplink_changes *changes; /* Volumes rise. */
	unsigned changes_count;
	uint8_t backup[UPLINK_BACKUP_LEN]; /* Its id: the same one is one point. */
};

struct uplink_point {
	uint64_t sequence;
	int64_t time_us;
	uint8_t record[STATE_HASH_LEN];
	uint64_t stored_bytes;
};

enum uplink_commit_result { UPLINK_COMMITTED, UPLINK_MISSING };

struct uplink_ops {
	/*
	 * Begin a point of `n` volumes; `bases` has room for them, `bad` gets ids
	 * (32 bytes each) of the bases' chunks that do not count as stored.
	 */
	int (*begin)(void *arg, const struct uplink_volume *volumes, unsigned n,
	    struct uplink_base *bases, struct buf *bad, int *resumed, struct err *err);

	/* Ask for at most UPLINK_IDS_MAX chunks; then wait: a byte (enum uplink_have)
	 * each. */
	int (*have)(void *arg, enum chunk_kind kind, const struct chunk_id *ids, size_t n,
	    uint64_t *request, struct err *err);
	int (*have_wait)(
	    void *arg, uint64_t request, uint8_t *answers, size_t n, struct err *err);

	/* Send a group; then wait until it is stored.  The caller keeps the window. */
	int (*put)(void *arg, const uint8_t *group, size_t len, uint64_t *request,
	    struct err *err);
	int (*put_wait)(void *arg, uint64_t request, struct err *err);

	/* Make the point.  UPLINK_MISSING: ids (32 bytes each) to send first. */
	int (*commit)(void *arg, const struct uplink_commit *c,
	    enum uplink_commit_result *result, struct uplink_point *out,
	    struct buf *data_ids, struct buf *meta_ids, struct err *err);

	/* The host's points of `volume` after sequence `after` are suspect: `why`. */
	int (*suspect)(void *arg, const char *volume, uint64_t after, const char *why,
	    struct err *err);

	/* Make every waiting and later call fail with ERR_CANCELED; from any thread. */
	void (*cancel)(void *arg);
};

/* Copyable; borrows `arg`. */
struct uplink {
	const struct uplink_ops *ops;
	void *arg;
	uint64_t window; /* Bytes of groups that may wait to be stored. */
};

/* The uplink over a session; `ch` must outlive it. */
struct uplink uplink_channel(struct channel *ch, uint64_t window);

#endif /* AGENT_BACKUP_UPLINK_H */
