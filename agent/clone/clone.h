/*
 * clone.h - a volume or disk copied to another place, without a server.
 *
 * The source is frozen as a backup freezes it (agent/capture: where vss fails for good
 * hotcopy may stand in), the target is checked and
 * written as a restore writes it (agent/restore/target.h), and between the two goes what
 * the map calls data.  A disk goes with its table, its gaps and all its volumes, of one
 * cut.  Then the copy is read back and held against the hashes of what was read
 * (clone_proof.h); the source is read once and let go before that.
 */
#ifndef AGENT_CLONE_CLONE_H
#define AGENT_CLONE_CLONE_H

#include <stdint.h>

#include "agent/host/progress.h"

struct capture_disks;
struct err;
struct stop;

struct clone_job {
	const char *from, *to;
	int whole;	      /* `from` is a disk or its image. */
	const char *provider; /* As in the settings; NULL: auto. */
	unsigned flags;	      /* RESTORE_DELTA and others of agent/restore/restore.h. */
	int verify;
	enum progress_mode mode;
	struct stop *stop; /* May be NULL. */
	/* A line that people must read; may be NULL. */
	void (*say)(void *arg, const char *line);
	void *say_arg;
	const struct capture_disks *disks; /* NULL: the system's. */
};

struct clone_result {
	uint64_t size;		 /* Of the source. */
	unsigned partitions;	 /* Of a disk. */
	uint64_t data_bytes;	 /* Read of the source; of these: */
	uint64_t zero_bytes;	 /* in whole blocks of 64 KiB of zeros. */
	uint64_t hole_bytes;	 /* Free: left as a restore leaves it. */
	uint64_t excluded_bytes; /* Left out: zeros. */
	uint64_t written_bytes;	 /* To the target, zeros included. */
	uint64_t same_bytes;	 /* With RESTORE_DELTA: found right, left alone. */
	uint64_t checked_bytes;	 /* Read back. */
	uint64_t duration_us;
	int64_t frozen_at; /* Microseconds since 1970-01-01 UTC. */
	char grade[16];	   /* "exclusive", "application", "crash": of its weakest part. */
	char provider[16]; /* That froze it, */
	char captured[512]; /* and how it came to be so. */
	char note[256];	    /* What maps and tables had to say, or "". */
};

/*
 * Run it.  A new file becomes `to` when it is whole, on the medium and proven; until then
 * it is "<to>.partial", and after a failure it is gone.  What is written in place is half
 * written after a failure, and the error says so.  A frozen view that is lost is frozen
 * twice more, but for the offline provider's, which somebody has written to.
 *
 * ERR_EXISTS (a file; the source itself), ERR_BUSY (in use; `to` lies on the source),
 * ERR_LIMIT (too small), ERR_NOSPACE, ERR_SNAPSHOT_LOST, ERR_CORRUPT (not the same when
 * read back), ERR_CANCELED, what freezing gave.
 */
int clone_run(const struct clone_job *job, struct clone_result *out, struct err *err);

#endif /* AGENT_CLONE_CLONE_H */
