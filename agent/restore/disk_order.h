/*
 * disk_order.h - "restore that disk there": from a person's words to a restored disk.
 *
 * For both command lines: finds the point and the disk, measures the target, makes the
 * plan, runs it and shows how far it is.
 */
#ifndef AGENT_RESTORE_DISK_ORDER_H
#define AGENT_RESTORE_DISK_ORDER_H

#include <stdint.h>

#include "agent/host/progress.h"
#include "agent/restore/disk_restore.h"

struct disk_order {
	int (*dial)(
	    void *arg, struct dial *out, struct err *err); /* As disk_restore.h. */
	void *dial_arg;
	const char *host;  /* "": the session's own. */
	uint64_t sequence; /* 0: the newest with a disk. */
	const char *disk;  /* "": the only one. */
	const char *target;
	unsigned flags; /* DISK_RESTORE_* */
	int extend;
	uint64_t size; /* Of a new image file; 0: as long as the disk was. */
	uint32_t retry_s;
	enum progress_mode mode;
	/*
	 * For those that fit volumes to partitions (rescue/fit.h); NULL: nobody does.
	 * Called with the wish before there is a plan, with both before they are run.
	 */
	int (*wish)(void *arg, const struct disk_restore_point *p, unsigned disk,
	    struct disk_plan_wish *wish, struct err *err);
	void (*attach)(
	    void *arg, const struct disk_plan *plan, struct disk_restore_job *job);
	void *fit_arg;
	void (*say)(void *arg, const char *line);
	void *say_arg;
	struct stop *stop; /* May be NULL. */
};

struct disk_order_result {
	char host[RESTORE_NAME_MAX];
	uint64_t sequence;
	char disk[LAYOUT_NAME_MAX];
	uint64_t old_size;
	unsigned partitions;
	/* What --extend made longer; 0: nothing. */
	unsigned longer;
	uint64_t longer_bytes; /* What it has now. */
	struct disk_restore_result run;
};

/* Run it.  Besides what disk_restore.h has: ERR_NOTFOUND names the disks there are. */
int disk_order_run(
    const struct disk_order *o, struct disk_order_result *out, struct err *err);

/* One line about it for people, or a JSON object, to standard output. */
void
disk_order_print(const struct disk_order *o, const struct disk_order_result *r, int json);

#endif /* AGENT_RESTORE_DISK_ORDER_H */
