/*
 * pipeline.h - one frozen volume on its way to the server.
 *
 *	reader -> hash -> plan -> (Have) -> answer -> pack, pack -> send -> receive
 *
 * Each word is a thread, each arrow a bounded queue; agent/DESIGN.md has the
 * picture with the limits.  The pipeline ends with every chunk and node of the
 * volume's tree stored or known; to make a point of it is the caller's.
 */
#ifndef AGENT_BACKUP_PIPELINE_H
#define AGENT_BACKUP_PIPELINE_H

#include <stddef.h>
#include <stdint.h>

#include "agent/backup/uplink.h"
#include "agent/map/volmap.h"
#include "proto/chunk/chunk_id.h"
#include "proto/chunk/tree.h"

struct changes;
struct err;
struct metacache;
struct progress;
struct stop;

struct pipeline_job {
	struct volmap_source source; /* The frozen volume. */
	unsigned map_flags;	     /* VOLMAP_* */
	struct volmap_limits map;    /* Of its map; memory 0: VOLMAP_MEMORY. */
	struct tree_root root;	     /* All but fs, levels, top. */
	const struct chunk_keys *keys;
	struct uplink up;	 /* Begun. */
	struct uplink_base base; /* Of this volume. */
	const uint8_t *bad;	 /* Ids of the bases that do not count as stored. */
	size_t bad_len;		 /* Bytes. */
	const char *old_cache;	 /* agent/backup/cache.h: the base's tree; NULL: none. */
	const char *new_cache;	 /* Where this tree's nodes go. */
	const char *done_cache;	 /* An interrupted run's new_cache over the same view, */
	uint64_t done_spans;	 /* and its `spans`: not read again; or NULL and 0. */
	struct changes
	    *changes;	       /* Since the base; NULL: all is read.  Doubts go there. */
	const char *old_shape; /* agent/backup/shape.h: the base's; NULL: none. */
	const char *new_shape; /* Where this tree's goes; NULL: nowhere. */
	struct metacache
	    *metacache; /* What the map reads is kept here, and taken; or NULL. */
	int level;	/* zstd's. */
	struct progress *progress; /* May be NULL. */
	uint64_t progress_from;	   /* Bytes of the volumes before this one. */
	struct stop *stop;	   /* May be NULL. */
};

/* Threads, for the CPU time of each. */
enum pipeline_stage {
	PIPELINE_READ,
	PIPELINE_HASH,
	PIPELINE_PLAN,
	PIPELINE_ANSWER,
	PIPELINE_PACK,
	PIPELINE_SEND,
	PIPELINE_RECEIVE,
	PIPELINE_STAGES
};

struct pipeline_result {
	struct chunk_id root_id;
	enum tree_grade grade;	     /* The job's, or that of a system that sleeps. */
	struct uplink_counts counts; /* duration_us is the caller's. */
	char note[256];		     /* From the map, or "". */
	int cached;		     /* The base's tree was at hand. */
	uint64_t spans;		     /* From the first, whose leaves are in new_cache. */
	int uplink_failed;	     /* After a failure: it was the server's side, */
	int stale;		     /* or the list of changes was wrong */
	uint64_t stale_at;	     /* at this byte: read all. */
	uint64_t kept_bytes;	     /* Not read: taken from the base. */
	uint64_t proven_bytes;	     /* Could be kept, but were read and are the same. */
	uint64_t map_bytes;	     /* Read by the map; not in counts.read_bytes; */
	uint64_t map_known_bytes;    /* and taken from the metacache. */
	/* What is remembered here of the volume could not be written, and was given up: */
	int tree_lost, shape_lost; /* new_cache; new_shape. */
	char lost[200];		   /* Why, or "". */
	uint64_t cpu_us[PIPELINE_STAGES];
};

/*
 * Run it.  A disk that does not take new_cache or new_shape fails nothing: neither is
 * anybody's then.  On failure `out` still has counts, spans and uplink_failed.  ERR_CANCELED
 * when stopped; ERR_SNAPSHOT_LOST if bytes read twice differ, or (`stale`) if what was
 * not listed as changed has changed; else what the source or the uplink said.
 */
int pipeline_run(
    const struct pipeline_job *job, struct pipeline_result *out, struct err *err);

/*
 * Send chunks that Commit named missing, found again by the new cache: reads
 * their extents (data) or takes the nodes (meta).  `ids` are sorted by this
 * call; those found are counted in `*sent`.  `*differs`: it failed since what was read is
 * not what the tree says; ERR_SNAPSHOT_LOST by itself may be the view's end, too.
 */
int pipeline_resend(const struct pipeline_job *job, struct chunk_id *data_ids,
    size_t data_n, struct chunk_id *meta_ids, size_t meta_n,
    const struct chunk_id *root_id, size_t *sent, int *differs, struct err *err);

/* "read", "hash" ...; static. */
const char *pipeline_stage_name(enum pipeline_stage stage);

#endif /* AGENT_BACKUP_PIPELINE_H */
