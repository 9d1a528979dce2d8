/*
 * vss.h - one backup by Windows' Volume Shadow Copy Service, as its documentation has it.
 *
 * Portable: what to call, in which order, what to do when it fails.  The calls
 * themselves are behind `struct vss_ops` (vss_com_win32.c; a fake in the tests).
 *
 *	vss_new -> vss_freeze -> vss_device ... -> (the server's commit) -> vss_finish
 *	    -> vss_free
 *
 * One thread uses a session.  The sequence and its reasons: agent/DESIGN.md, "VSS".
 */
#ifndef AGENT_VSS_VSS_H
#define AGENT_VSS_VSS_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct stop;

/* An HRESULT. */
typedef uint32_t vss_code;

/* A GUID as it lies in memory: three little-endian numbers, then bytes. */
struct vss_id {
	uint8_t b[16];
};

#define VSS_VOLUMES_MAX 64 /* In one set: documented for AddToSnapshotSet. */
#define VSS_METHOD_MAX 368

/* A component of a writer; strings are malloc'd. */
struct vss_component {
	char *path, *name; /* Logical path, perhaps empty, and name. */
	int type;	   /* VSS_COMPONENT_TYPE */
	int selectable;	   /* For backup. */
	unsigned files;
	char **file; /* Where its files are: each place once, as volume_of() takes it. */
	unsigned inside; /* Of these places, on volumes of the set. */
	int outside;	 /* Files of it lie on no volume of the set. */
	int take;	 /* Explicitly: AddComponent(). */
};

/* A writer and what it says of itself. */
struct vss_writer {
	struct vss_id instance, id;
	char *name;
	int usage, source; /* VSS_USAGE_TYPE, VSS_SOURCE_TYPE */
	unsigned count;
	struct vss_component *components;
	unsigned taken; /* Components with `take`. */
	int answered;	/* Its status was told. */
};

/* What GetWriterStatus() says; `name` is malloc'd. */
struct vss_status {
	struct vss_id instance, id;
	char *name;
	int state; /* VSS_WRITER_STATE */
	vss_code failure;
};

/* Calls that go on by themselves: IVssAsync. */
enum vss_async {
	VSS_GATHER_METADATA,
	VSS_PREPARE,
	VSS_DO_SET,
	VSS_GATHER_STATUS,
	VSS_COMPLETE,
	VSS_ASYNCS
};

#define VSS_OK 0u
#define VSS_ASYNC_PENDING 0x00042309u
#define VSS_ASYNC_FINISHED 0x0004230Au
#define VSS_ASYNC_CANCELLED 0x0004230Bu
#define VSS_NOT_RESPONDING 0x80042319u /* VSS_E_WRITER_NOT_RESPONDING */

/* The calls, by the names that they have in messages (vss_call_name()). */
struct vss_ops {
	vss_code (*create)(void *arg);
	vss_code (*init)(void *arg);
	vss_code (*set_state)(void *arg, int bootable, int copy);
	vss_code (*set_context)(void *arg, uint32_t context);
	/* Begin an async; the one before is over. */
	vss_code (*start)(void *arg, enum vss_async what);
	/* Wait at most `ms` for it; `status` as QueryStatus() has it. */
	vss_code (*poll)(void *arg, uint32_t ms, vss_code *status);
	void (*cancel)(void *arg);
	vss_code (*writers)(void *arg, unsigned *count);
	vss_code (*writer)(void *arg, unsigned i, struct vss_writer *out);
	/* The name of the volume that holds `file`; -1: none does, or no local one. */
	int (*volume_of)(void *arg, const char *file, char *out, size_t cap);
	vss_code (*add_component)(
	    void *arg, const struct vss_writer *w, const struct vss_component *c);
	vss_code (*start_set)(void *arg);
	vss_code (*supported)(void *arg, const char *volume, int *yes);
	vss_code (*add_volume)(void *arg, const char *volume, unsigned i);
	vss_code (*statuses)(void *arg, unsigned *count);
	vss_code (*status)(void *arg, unsigned i, struct vss_status *out);
	/* Of the volume that was added as number `i`. */
	vss_code (*device)(void *arg, unsigned i, char *out, size_t cap);
	vss_code (*succeeded)(
	    void *arg, const struct vss_writer *w, const struct vss_component *c, int ok);
	vss_code (*abort)(void *arg);
	/* DeleteSnapshots() of the `count` volumes that were added; NULL: never asked. */
	vss_code (*discard)(void *arg, unsigned count);
	/* Release everything; nothing to do if there is nothing. */
	void (*close)(void *arg);
};

/*
 * Somebody's own work at the instant of the copies, in each attempt: `begin` directly
 * before DoSnapshotSet, `end` directly after it, well or not.  A failure of either is the
 * attempt's; `end`'s may pass.  `undo`: the attempt came to nothing after `begin`.
 */
struct vss_around {
	int (*begin)(void *arg, struct err *err);
	int (*end)(void *arg, struct err *err);
	void (*undo)(void *arg);
	void *arg;
};

struct vss_job {
	const struct vss_ops *ops;
	void *arg;
	unsigned count;
	const char *const *volumes; /* As VSS names them, with a '\' at the end. */
	int copy;		    /* VSS_BT_COPY, else VSS_BT_FULL. */
	int bootable;		    /* The running system's volume is among them. */
	int no_autorecovery, no_writers;
	unsigned attempts; /* At most. */
	uint32_t wait_ms;  /* Before trying again; the documented ten minutes. */
	const struct vss_around *around; /* NULL: nobody's. */
	struct stop *stop;
	void (*say)(void *arg, const char *line);
	void *say_arg;
};

struct vss;

/* `job`'s strings are borrowed.  NULL: no memory. */
struct vss *vss_new(const struct vss_job *job);

/*
 * Make the set of shadow copies, trying again where the documentation says that it may
 * help.  After a failure nothing is left behind and writers know (AbortBackup).
 */
int vss_freeze(struct vss *v, struct err *err);

/* The device object of volume `i`.  ERR_SNAPSHOT_LOST: there is no such copy any more. */
int vss_device(struct vss *v, unsigned i, char *out, size_t cap, struct err *err);

/*
 * Nobody needs the copies: let them go now if VSS will, else with vss_free().  Writers
 * wait for vss_finish() all the same.
 */
void vss_discard(struct vss *v);

/*
 * `ok`: each component has succeeded, BackupComplete.  Else AbortBackup.  Either way the
 * copies are gone with vss_free().  -1: the writers were not told, or one had trouble.
 */
int vss_finish(struct vss *v, int ok, struct err *err);

/* "full, 12 of 14 writers, 2 attempts (...)"; for the point. */
const char *vss_method(const struct vss *v);

/* Names of the databases' writers that were met, or "". */
const char *vss_databases(const struct vss *v);

/* Non-zero: files of a database are in the set, but not all, so that nobody flushed that
 * database. */
int vss_is_torn(const struct vss *v);

/* Abort what is under way and release.  NULL is allowed. */
void vss_free(struct vss *v);

/* ---------------------------------------------- what is told apart (vss_codes.c) -- */

enum vss_retry {
	VSS_NEVER,  /* It would fail again. */
	VSS_SOON,   /* Somebody else is making a set. */
	VSS_LATER,  /* Documented: wait ten minutes, at most three times. */
	VSS_UNKNOWN /* In no table. */
};

/* Does trying again help? */
enum vss_retry vss_retry_of(vss_code code);

/* "VSS_E_HOLD_WRITES_TIMEOUT (0x80042314)" in `out`. */
void vss_words(vss_code code, char *out, size_t cap);

/* Fill `err` from a code: "CALL: words: what it means". */
int vss_err(struct err *err, vss_code code, const char *call);

/* "failed at freeze" */
const char *vss_state_name(int state);
int vss_state_failed(int state);

/* Is it a database's: by its documented class id, or by its source type? */
int vss_is_database(const struct vss_writer *w);

/* "{A65FAA63-5EA8-4EBC-9DBD-A0C4DB26912A}" */
void vss_id_text(const struct vss_id *id, char out[39]);

/* ------------------------------------------------------ selection (vss_select.c) -- */

/*
 * Mark the components to take of a writer whose files' places are known (`inside`,
 * `outside`).  Returns how many.  A line in `why`, else "": files of this writer are in
 * the set that belong to nothing that is taken.
 */
unsigned vss_select(struct vss_writer *w, char *why, size_t cap);

/* Frees what it owns, not itself. */
void vss_writer_free(struct vss_writer *w);

#endif /* AGENT_VSS_VSS_H */
