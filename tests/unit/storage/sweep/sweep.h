/*
 * sweep.h - every call of an operation to the file layer fails once, in every way.
 *
 * A *work* is one operation on a store (backup, seal, merge ...), with what leads to
 * the state that it starts in.  It is run once clean, to count its calls, and then
 * once for each call and each kind of fault.  After each the same is asked for
 * (sweep_check.c): the store opens, no acknowledged point is lost, what is there is
 * whole or the damage is named, nothing else is visible, the catalog is what the
 * journal says, and a new backup and its restore work.
 *
 * sweep_table.txt has the least number of calls of each work: with fewer, something
 * has left the layer and is not tested any more.
 */
#ifndef TESTS_UNIT_STORAGE_SWEEP_SWEEP_H
#define TESTS_UNIT_STORAGE_SWEEP_SWEEP_H

#include <stdint.h>

#include "proto/base/err.h"
#include "proto/chunk/chunk_id.h"

struct fs_fault;
struct store;

#define SWEEP_POINTS_MAX 48u

enum sweep_state {
	SWEEP_TRIED,   /* Begun; it may be there if its record was written. */
	SWEEP_ACKED,   /* It is there, whole. */
	SWEEP_LEAVING, /* Its removal was begun: whole, or not there. */
	SWEEP_GONE     /* Its removal was acknowledged: not there. */
};

struct sweep_point {
	const char *host;
	uint32_t n; /* Which content. */
	enum sweep_state state;
	uint64_t sequence; /* 0: not told. */
	struct chunk_id root;
};

/* A store and what we know of it. */
struct sweep {
	struct fs_fault *ff;
	struct store *s; /* NULL: closed. */
	struct sweep_point points[SWEEP_POINTS_MAX];
	unsigned n_points;
	int made;    /* Init was acknowledged. */
	int damaged; /* Bytes have rotted: points may have lost chunks, and it is said. */
	int mended;  /* ... but the work may have put all of it right. */
	int told;    /* Problems that the last sweep_verify() heard. */
	int kept;    /* The newest point of "alpha" is held and locked. */
	/* A restore, by its number: allowed, begun by a machine, done. */
	uint64_t allowed, begun, done;
	const char *now; /* For the crash table: what is going on. */
};

struct sweep_work {
	const char *name;
	/* Leads to the state; leaves the store closed.  NULL: an empty directory. */
	void (*before)(struct sweep *w);
	/* Meets the faults.  The store may be left open, also after a failure. */
	int (*run)(struct sweep *w, struct err *err);
};

extern const struct sweep_work *const sweep_works[];
extern const struct sweep_work sweep_work_prune, sweep_work_keep, sweep_work_gc,
    sweep_work_restore, sweep_work_rebuild, sweep_work_import, sweep_work_reserve,
    sweep_work_revoke, sweep_work_repair;

/* The operations, as works and checks use them. */
int sweep_init(struct sweep *w, struct err *err);
int sweep_open(struct sweep *w, struct err *err);
void sweep_close(struct sweep *w);

/* Back up content `n` as `host`, and note it. */
int sweep_backup(struct sweep *w, const char *host, uint32_t n, struct err *err);

/* store_verify() of everything. */
int sweep_verify(struct sweep *w, struct err *err);

/* Is point `p` what was backed up?  -1 and why not. */
int sweep_whole(struct sweep *w, const struct sweep_point *p, struct err *err);

/* As the above; for what leads to a state, where nothing may fail. */
void sweep_must(int ret, const struct err *err);

/* Kill the process or cut the power, with the store open or closed. */
void sweep_die(struct sweep *w, int power_cut);

/* After a fault: all of the above.  Says what is wrong and exits. */
void sweep_check(struct sweep *w);

/* Say which case it is, and how to run it again; exits with 1. */
_Noreturn void sweep_fail(const char *fmt, ...) ERR_PRINTF(1, 2);

/* The calls of clean runs, one run after the other ... */
void sweep_steps_begin(void);
void sweep_steps_note(const char *now, const char *what, const char *name);
/* ... against the crash table in `path`: 0 if they fit; else says what does not. */
int sweep_steps_check(const char *path);
void sweep_steps_print(void);

#endif /* TESTS_UNIT_STORAGE_SWEEP_SWEEP_H */
