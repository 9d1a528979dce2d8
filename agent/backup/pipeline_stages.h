/*
 * pipeline_stages.h - inside the pipeline: what its threads share.
 *
 * A slab is a large buffer of bytes as read, with the list of what they are; it
 * goes reader -> hash -> plan, is held by the chunks that wait for an answer
 * to Have, and returns to the pool.  Chunks to be sent are copied from it into
 * group builders, so that a slab never waits for compression.
 */
#ifndef AGENT_BACKUP_PIPELINE_STAGES_H
#define AGENT_BACKUP_PIPELINE_STAGES_H

#include <pthread.h>
#include <stdatomic.h>

#include "agent/backup/pipeline.h"
#include "agent/map/chunker.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"

struct ahead;
struct cache;
struct cache_writer;
struct group_builder;
struct pipeline_keep;
struct queue;
struct reader;
struct seen;
struct tree_builder;

/* ----------------------------------------------------------------- limits -- */

#define PIPELINE_SLAB_LEN (1024u * 1024)
/* Before the bytes of a slab: the end of the last one's, not cut yet. */
#define PIPELINE_HEADROOM CHUNKER_MAX
#define PIPELINE_SLABS 14u
#define PIPELINE_ITEMS_MAX 1024u  /* Cuts in one slab. */
#define PIPELINE_PIECES_MAX 4096u /* Their pieces. */
#define PIPELINE_CHUNKS_MAX (PIPELINE_ITEMS_MAX + 128u)
/* Of the end of a region that is not cut yet: all but two have VOLMAP_GRAIN bytes. */
#define PIPELINE_CARRY_PIECES (CHUNKER_MAX / VOLMAP_GRAIN + 2u)
#define PIPELINE_BATCH_SLABS 4u		  /* Slabs that one question may hold. */
#define PIPELINE_BATCH_META (256u * 1024) /* Bytes of nodes in one question. */
#define PIPELINE_ASKED_MAX 2u		  /* Questions under way. */
#define PIPELINE_DATA_BUILDERS 4u
#define PIPELINE_META_BUILDERS 2u
/*
 * Bytes of volume that share groups: of a day's few changes one group could else reach
 * over all of it, and a restore would get it anew for each window (restore_window.h).
 */
#define PIPELINE_GROUP_REACH (4 * (uint64_t)TREE_SPAN_LEN)
#define PIPELINE_PACKERS 2u
#define PIPELINE_GROUPS_MAX 4u	    /* Packed and not yet sent. */
#define PIPELINE_PUTS_MAX 256u	    /* Sent and not yet stored. */
#define PIPELINE_PENDING_MAX 65536u /* Chunks that another host is sending. */
#define PIPELINE_PENDING_BYTES (4u * 1024 * 1024)
#define PIPELINE_SEEN_BITS 16u /* 2^16 ids of 32 bytes. */
#define PIPELINE_SPAN_BITS 16u /* Ids of one span: at most 16384 extents. */

/* ------------------------------------------------------------------ slabs -- */

/* What the base point says of a chunk, and what is done with that (pipeline_keep.c). */
enum pipeline_keep_what {
	KEEP_NOTHING, /* It says nothing, or it changed: read it. */
	KEEP_IT,
	KEEP_PROVE /* It could be kept: read it and see that it is the same. */
};

struct pipeline_kept {
	int zero;
	struct chunk_id id; /* Unless zero. */
};

/* A part of what the reader read, in order of the walk. */
struct pipeline_item {
	enum volmap_kind kind;
	int goes_on;	       /* STREAM, REGION: continues the last slab's last item. */
	int last;	       /* STREAM, REGION: the range ends with it. */
	uint64_t offset, len;  /* The position; bytes in this slab. */
	uint32_t at;	       /* Where its bytes are in mem. */
	uint32_t piece, count; /* DATA, REGION: which of the slab's pieces. */
	int replay;	       /* Not read: an interrupted run has named it. */
	uint8_t reason;	       /* EXCLUDED: enum extent_reason. */
	enum pipeline_keep_what keep; /* DATA; KEEP_IT: not read either. */
	struct pipeline_kept kept;
};

enum pipeline_chunk_kind {
	CHUNK_IS_HOLE,
	CHUNK_IS_EXCLUDED,
	CHUNK_IS_ZERO,
	CHUNK_IS_DATA,
	CHUNK_IS_REPLAY /* DATA, or (count 0) a STREAM, that is not read again. */
};

/* What the hash thread made of it. */
struct pipeline_chunk {
	enum pipeline_chunk_kind kind;
	uint64_t offset, len; /* The position: all below it has come; whole length. */
	uint32_t at;
	uint32_t piece, count; /* None for HOLE and EXCLUDED. */
	uint8_t reason;	       /* EXCLUDED: enum extent_reason. */
	int kept;	       /* Not read: the base point has it. */
	struct chunk_id id;
};

struct pipeline_slab {
	struct queue *home; /* Of free slabs. */
	atomic_uint refs;
	uint32_t used; /* Bytes of mem, headroom included. */
	uint32_t items_n, pieces_n, chunks_n;
	uint32_t region_n; /* Of the pieces: those that the hasher will cut anew. */
	struct pipeline_item items[PIPELINE_ITEMS_MAX];
	struct volmap_piece
	    pieces[PIPELINE_PIECES_MAX + PIPELINE_CHUNKS_MAX + PIPELINE_CARRY_PIECES];
	struct pipeline_chunk chunks[PIPELINE_CHUNKS_MAX];
	uint8_t mem[PIPELINE_HEADROOM + PIPELINE_SLAB_LEN];
};

void pipeline_slab_drop(struct pipeline_slab *s);

/* -------------------------------------------------------------- questions -- */

/* A chunk asked for: its bytes are in a slab, or are a node of its own. */
struct pipeline_asked {
	const uint8_t *p; /* NULL: to be read again if it is needed. */
	uint32_t len, count;
	int kept; /* By the word of a list of changes. */
	const struct volmap_piece *pieces;
	struct pipeline_slab *slab; /* Referenced; NULL: `p` is malloc'ed. */
};

struct pipeline_batch {
	struct queue *home;
	enum chunk_kind kind;
	uint64_t request;
	size_t n, slabs, bytes;
	struct pipeline_slab *last_slab;
	struct chunk_id ids[UPLINK_IDS_MAX];
	struct pipeline_asked asked[UPLINK_IDS_MAX];
};

/* Let go of what it holds and return it to its pool. */
void pipeline_batch_drop(void *batch);

/* A chunk that another host is sending: ask again later. */
struct pipeline_pending {
	struct pipeline_pending *next;
	enum chunk_kind kind;
	struct chunk_id id;
	uint32_t len, count;
	int kept;		      /* By the word of a list of changes. */
	uint8_t *node;		      /* META: its bytes. */
	struct volmap_piece pieces[]; /* DATA: where to read it again. */
};

/* A group being filled, or waiting to be packed. */
struct pipeline_builder {
	enum chunk_kind kind;
	struct group_builder *group;
};

/* A group sent and not yet stored. */
struct pipeline_sent {
	uint64_t request;
	size_t len;
};

/* -------------------------------------------------------------- the whole -- */

#define PIPELINE_BATCHES (PIPELINE_ASKED_MAX + 4u)
#define PIPELINE_BUILDERS (PIPELINE_DATA_BUILDERS + PIPELINE_META_BUILDERS)
#define PIPELINE_BUFFERS (PIPELINE_GROUPS_MAX + PIPELINE_PACKERS + 1u)

/* What circulates through the queues, owned here so that giving up loses nothing. */
struct pipeline_pool {
	struct pipeline_slab *slabs[PIPELINE_SLABS];
	struct pipeline_batch *batches[PIPELINE_BATCHES];
	struct pipeline_builder builders[PIPELINE_BUILDERS];
	struct buf groups[PIPELINE_BUFFERS];
};

struct pipeline {
	const struct pipeline_job *job;
	struct volmap *map;
	struct reader *reader;	    /* The reader's own, while it runs. */
	struct pipeline_keep *keep; /* What is kept; NULL: all is read. */
	struct pipeline_pool pool;
	struct cache *done; /* What an interrupted run did; NULL: nothing. */
	uint64_t done_end;  /* Bytes of the volume that it covers. */
	struct extent tail; /* Its last extent; of length 0 if it did nothing. */

	struct queue *free_slabs, *read, *hashed;
	struct queue *free_batches, *asked;
	struct queue *free_builders[3], *full; /* By enum chunk_kind. */
	struct queue *free_groups, *packed, *sent;

	pthread_mutex_t lock;	/* Guards all below; nothing is locked under it. */
	pthread_cond_t changed; /* `window` or `failed` changed. */
	uint64_t in_window;	/* Bytes sent and not yet stored. */
	int failed, uplink_failed;
	int stale;	   /* It failed since the list of changes was wrong, */
	uint64_t stale_at; /* at this byte. */
	struct err why;
	unsigned packers;		   /* Still at work. */
	int cached;			   /* Planner: the base is at hand. */
	uint64_t kept_bytes, proven_bytes; /* Reader. */
	uint64_t map_bytes;		   /* Whoever opens the map, then the reader. */
	uint64_t spans;			   /* Planner: leaves made, and kept. */
	struct err tree_lost, shape_lost;  /* Planner; reader: why; or ERR_NONE. */
	uint64_t cpu_us[PIPELINE_STAGES];
	struct uplink_counts counts;
	struct chunk_id root_id;
};

/* Record the first failure and wake everyone.  `uplink`: the server's side failed. */
void pipeline_fail(struct pipeline *p, int uplink, const struct err *why);
int pipeline_failed(struct pipeline *p);

/* Fail: byte `at` is not what the base point has, though no change of it was listed. */
void pipeline_fail_stale(struct pipeline *p, uint64_t at);

/* If what the map was made of is not what the base point has: fail so; 1 or 0. */
int pipeline_map_stale(struct pipeline *p);

/* Add to the counts; each argument may be zeros. */
void pipeline_count(struct pipeline *p, const struct uplink_counts *more);

/* The threads' functions; `arg` is the pipeline. */
void *pipeline_reader(void *arg);
void *pipeline_hasher(void *arg);
void *pipeline_planner(void *arg);
void *pipeline_answerer(void *arg);
void *pipeline_packer(void *arg);
void *pipeline_sender(void *arg);
void *pipeline_receiver(void *arg);

/* At a thread's end: note its CPU time. */
void pipeline_done(struct pipeline *p, enum pipeline_stage stage);

/*
 * Make the map, and see what is kept of the base: p->map and p->keep.  Tables that did
 * not change come from job->metacache, if what is kept may be.
 */
int pipeline_map_open(struct pipeline *p, struct err *err);

/* Get ready not to read again what job->done_cache has. */
int pipeline_replay_open(struct pipeline *p, struct err *err);

/*
 * The map's `read`; `arg` is the pipeline.  What the reader has planned is read first, so
 * that a disk need not turn back: the map looks at what lies just behind it.
 */
int pipeline_map_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);

/* Read a scattered chunk of `len` bytes again. */
int pipeline_gather(const struct pipeline_job *job, const struct volmap_piece *pieces,
    uint32_t count, uint8_t *out, struct err *err);

#endif /* AGENT_BACKUP_PIPELINE_STAGES_H */
