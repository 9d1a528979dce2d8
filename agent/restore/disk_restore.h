/*
 * disk_restore.h - one disk of a recovery point onto a disk or into an image file.
 *
 *	disk_restore_find -> disk_plan_make -> disk_restore_run
 *
 * The old table is made invalid first, the new one is written last: a disk that is
 * half written does not boot.  Between them the disk's image and its volumes are
 * written, several at a time, each over a session of its own.  A session that is
 * lost is dialled again and its volume goes on at the span where it was.
 */
#ifndef AGENT_RESTORE_DISK_RESTORE_H
#define AGENT_RESTORE_DISK_RESTORE_H

#include <stdint.h>

#include "agent/disk/disk_plan.h"
#include "agent/restore/restore.h"
#include "proto/chunk/chunk_id.h"
#include "proto/layout/layout.h"

struct channel;
struct dial;
struct err;
struct stop;
struct target;
struct target_skip;

/* Flags. */
#define DISK_RESTORE_DELTA 1u	/* Keep the target; write only what differs. */
#define DISK_RESTORE_FORCE 2u	/* Replace an existing file. */
#define DISK_RESTORE_VERIFY 4u	/* Read all back and prove it by its ids. */
#define DISK_RESTORE_DISCARD 8u /* Devices: tell them what is free. */
#define DISK_RESTORE_ZERO_HOLES 16u
#define DISK_RESTORE_VHDX 32u /* A new file, as a virtual disk. */

#define DISK_RESTORE_SESSIONS 3u
#define DISK_RESTORE_RETRY_S (24u * 3600)

#define DISK_RESTORE_VOLUMES_MAX 128u

/* A point that has disks; large (220 KB): on the heap. */
struct disk_restore_point {
	char host[RESTORE_NAME_MAX];
	uint64_t sequence;
	int64_t time_us;
	struct layout layout;
	char doubt[512]; /* As restore_warn() says it; or "". */
	unsigned volumes;
	struct disk_restore_volume {
		char name[RESTORE_NAME_MAX];
		char fs[16];
		uint64_t size, data_bytes; /* As the list of points tells. */
		struct chunk_id root_id;
	} volume[DISK_RESTORE_VOLUMES_MAX];
};

/*
 * The point of `host` ("": the session's own) numbered `sequence`; 0: the newest that
 * has a disk.  `out` is on the heap.  ERR_NOTFOUND.
 */
int disk_restore_find(struct channel *ch, const char *host, uint64_t sequence,
    struct disk_restore_point *out, struct err *err);

enum disk_restore_stage {
	DISK_RESTORE_WRITING,
	DISK_RESTORE_VERIFYING,
	DISK_RESTORE_WAITING, /* For the server, which is gone. */
	DISK_RESTORE_FINISHING
};

struct disk_restore_progress {
	enum disk_restore_stage stage;
	uint64_t done, total;	    /* Bytes of image and volumes. */
	uint64_t written, received; /* Bytes, to the target and from the server. */
};

struct disk_restore_job {
	/*
	 * Gives a session that may read the point: greeted, its `keys` set; closed by
	 * dial_close(), which keeps a ticket only if `st` is set.  Called on several
	 * threads.  A failure that dial_may_retry() is tried again.
	 */
	int (*dial)(void *arg, struct dial *out, struct err *err);
	void *dial_arg;
	const struct disk_restore_point *point;
	const struct disk_plan *plan;
	const char *target; /* Path of a file or block device. */
	unsigned flags;
	unsigned sessions; /* 0: DISK_RESTORE_SESSIONS. */
	uint32_t retry_s;  /* How long a lost server is waited for. */
	/* Now and then, and at each change of stage; on any thread, one at a time. */
	void (*progress)(void *arg, const struct disk_restore_progress *p);
	void *progress_arg;
	/*
	 * Partition `partition` (index in the layout) is about to be written, and
	 * `window` is where: what is written there now, and said in `skip` (it has none;
	 * valid until part_done or the restore's end), is left out afterwards.  NULL:
	 * nothing.  On any thread, one at a time.
	 */
	int (*part_begin)(void *arg, unsigned partition, struct target *window,
	    struct target_skip *skip, struct err *err);
	/*
	 * Partition `partition` is written, and so far as it became
	 * shorter cut off; `window` is the partition on the new disk.  What is to be
	 * changed in it is changed here (a file system that was shrunk or extended).
	 * NULL: nothing.  On any thread, one at a time.
	 */
	int (*part_done)(
	    void *arg, unsigned partition, struct target *window, struct err *err);
	void *part_arg;				  /* Of both. */
	void (*say)(void *arg, const char *line); /* For people; may be NULL. */
	void *say_arg;
	struct stop *stop; /* May be NULL. */
	/* What goes on after a failure, for its message; NULL: "--delta goes on". */
	const char *go_on;
};

struct disk_restore_result {
	uint64_t size;		 /* Of the target. */
	uint64_t bytes;		 /* Of image and volumes that were walked. */
	uint64_t received_bytes; /* Groups. */
	uint64_t written_bytes;	 /* To the target, zeros included. */
	uint64_t same_bytes;	 /* With DISK_RESTORE_DELTA: found right, left alone. */
	uint64_t duration_us;
	unsigned lost; /* Sessions that were lost on the way. */
};

/*
 * Run it.  The target's checks are those of target.h, of partitions on it too.  A new
 * file is written as "<target>.partial"; it becomes plan.size bytes long.  A device or
 * DISK_RESTORE_DELTA is written in place: after a failure the disk has no table, and
 * the error says so; run again with DISK_RESTORE_DELTA to go on.  ERR_CORRUPT also if
 * verifying found what is not as the point says.
 */
int disk_restore_run(
    const struct disk_restore_job *job, struct disk_restore_result *out, struct err *err);

/*
 * Bytes and logical sector size of a disk or image file; a file that is not there has
 * 0 bytes, and a file's sector size is 0.
 */
int disk_restore_measure(
    const char *path, uint64_t *size, uint32_t *sector_size, struct err *err);

#endif /* AGENT_RESTORE_DISK_RESTORE_H */
