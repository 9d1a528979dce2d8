/*
 * vss_parts.h - between vss.c (the session), vss_calls.c (calls and asyncs) and
 * vss_gather.c (writers).
 */
#ifndef AGENT_VSS_VSS_PARTS_H
#define AGENT_VSS_VSS_PARTS_H

#include "agent/vss/vss.h"

enum vss_phase {
	VSS_IDLE,    /* There is no object. */
	VSS_CREATED, /* There is one; nobody needs to hear if it goes. */
	VSS_STARTED, /* Writers wait, or a set is being made: AbortBackup. */
	VSS_FROZEN
};

struct vss {
	struct vss_job job;
	enum vss_phase phase;
	unsigned tries;
	enum vss_retry retry; /* Of the last failure. */
	int around;	      /* The job's own work has begun in this attempt ... */
	int around_failed;    /* ... and was what failed. */
	unsigned writers_count, taken;
	struct vss_writer *writers;
	int torn;
	char outside[128]; /* Those that could not be taken whole. */
	char trouble[128]; /* Why it was tried again. */
	char databases[128];
	char method[VSS_METHOD_MAX];
};

/* ------------------------------------------------------------ calls (vss_calls.c) -- */

/* Is it a failure's code? */
int vss_bad(vss_code code);

/* "DoSnapshotSet" */
const char *vss_async_name(enum vss_async what);

/* Note how `call` failed, and whether trying again helps: -1. */
int vss_fail(struct vss *v, vss_code code, const char *call, struct err *err);

/* A call that ended when it returned: vss_fail() if that was a failure. */
int vss_call(struct vss *v, vss_code code, const char *name, struct err *err);

/* Begin an async and wait until it is over.  `heed`: being asked to stop ends it. */
int vss_run(struct vss *v, enum vss_async what, int heed, struct err *err);

/* One line for people. */
void vss_say(const struct vss *v, const char *line);

/* Append to a list of names in `to`. */
void vss_list(char *to, size_t cap, const char *name);

/* --------------------------------------------------------- writers (vss_gather.c) -- */

/* Who is there, and who takes part: AddComponent() for those who can. */
int vss_gather(struct vss *v, struct err *err);

/* Ask all writers how they are; -1 if one that takes part has failed or is gone. */
int vss_check(struct vss *v, const char *after, int heed, struct err *err);

/* Tell each component that took part; the first failure is kept, the others go on. */
int vss_tell(struct vss *v, struct err *err);

void vss_forget(struct vss *v);

#endif /* AGENT_VSS_VSS_PARTS_H */
