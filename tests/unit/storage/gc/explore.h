/*
 * explore.h - a tiny world around a real store, for gc_explore: images of six chunks,
 * sessions, readers, a cycle, and a model of what must be there.
 *
 * explore_world.c makes images, opens and checks; explore_acts.c is what can happen.
 */
#ifndef TESTS_UNIT_STORAGE_GC_EXPLORE_H
#define TESTS_UNIT_STORAGE_GC_EXPLORE_H

#include <stddef.h>
#include <stdint.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/fs_fault.h"
#include "storage/store_gc.h"
#include "storage/store_state.h"

#define SPANS 3u
#define BLOCKS 2u   /* Data chunks a span. */
#define PATTERNS 6u /* What a span may be like. */
#define BLOCK_LEN 512u
#define ITEMS_MAX 16u
#define HOSTS 3u
#define SESSIONS 3u
#define READERS 2u
#define POINTS_MAX 256u
#define LOST_MAX 512u

/* What a session knows of a chunk. */
enum known { UNKNOWN, NEED, PENDING, HAVE, OURS, BASE, BLIND };

struct item {
	struct chunk_id id;
	enum chunk_kind kind;
	uint32_t len;
	uint8_t bytes[1024];
};

/* A volume: what its spans are like, and all chunks that makes. */
struct image {
	uint8_t spans[SPANS];
	struct chunk_id root_id;
	uint32_t n;
	struct item items[ITEMS_MAX];
};

struct session {
	struct store_lease *lease;
	uint32_t host;
	int begun, revoked, committed;
	int base; /* Its number among the points; -1. */
	struct image image;
	enum known known[ITEMS_MAX];
};

struct reader {
	struct store_lease *lease;
	int point; /* Pinned; -1. */
	int revoked, located;
	struct store_place place;
	struct chunk_id id; /* Of what was located. */
};

struct point {
	uint32_t host;
	uint64_t sequence;
	uint8_t spans[SPANS];
	int live;
};

struct world {
	uint64_t seed, random;
	struct fs_fault *ff;
	struct store *s;
	struct err err;
	int dead;	  /* The process died. */
	int quarantining; /* ... while something was quarantined. */
	int nested;
	const struct session *busy; /* In a call: hands off. */
	struct session sessions[SESSIONS];
	struct reader readers[READERS];
	struct point points[POINTS_MAX];
	uint32_t n_points;
	/* Begun and not answered when the process died: */
	struct point *committing, *pruning;
	struct store_gc *gc;
	struct chunk_id lost[LOST_MAX]; /* By quarantine, not by collecting. */
	uint32_t n_lost;
	struct store_point *p;
	struct codec *codec;
	struct buf data, meta, bad, bytes;
	char wrong[400]; /* What the store did that it must not. */
	uint64_t steps, acts, commits, condemned, removed, rewritten, crashes, recalled;
	int telling; /* What happens, to stdout. */
};

uint32_t world_draw(struct world *w, uint32_t n); /* 0..n-1 */
void world_wrong(struct world *w, const char *fmt, ...) ERR_PRINTF(2, 3);
void world_tell(const struct world *w, const char *fmt, ...) ERR_PRINTF(2, 3);
const char *world_host(uint32_t host);

int world_start(struct world *w, uint64_t seed);
void world_end(struct world *w);

/* A call failed: did the process die, was it an excuse?  Else it is wrong. */
void world_failed(struct world *w, const char *what);

/* After dying, or to restart cleanly. */
void world_restart(struct world *w, int power_cut);

void world_image(struct world *w, const uint8_t spans[SPANS], struct image *out);
void world_put_group(struct world *w, struct store_lease *l, enum chunk_kind kind,
    const struct item *const *items, uint32_t n);

/* Is it lost by quarantine, or waiting in a condemned pack to be recalled? */
int world_excused(struct world *w, const struct chunk_id *id);

/* Everything that must be there is found; with `deep` it is also read. */
void world_check(struct world *w, int deep);

/* Nobody holds anything any more: all that nobody needs goes. */
void world_drain(struct world *w);

/* One random thing happens; `inside`: another call is under way (and has the gate). */
void act(struct world *w, int inside, int gate);

/* Of all that was to be there: what cannot be found now was lost to a quarantine. */
void act_excuse(struct world *w);

#endif /* TESTS_UNIT_STORAGE_GC_EXPLORE_H */
