/*
 * backup_parts.h - what backup.c (views, sessions, commit), backup_volumes.c (the
 * pipeline's runs), backup_changes.c (what need not be read) and backup_remember.c (what
 * is kept here) share.  For them alone.
 */
#ifndef AGENT_BACKUP_BACKUP_PARTS_H
#define AGENT_BACKUP_BACKUP_PARTS_H

#include <stdint.h>

#include "agent/backup/backup.h"
#include "agent/backup/incremental.h"
#include "agent/backup/pipeline.h"
#include "agent/backup/uplink.h"
#include "agent/capture/capture.h"
#include "agent/capture/tracking.h"
#include "agent/host/settings.h"
#include "agent/host/state.h"
#include "agent/map/spill.h"
#include "agent/session/dial.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/chunk_id.h"

struct changes;

/* One backup, over as many sessions as it takes. */
struct backup {
	const struct state *st;
	const struct backup_options *o;
	struct backup_options own; /* Those, with settings that name what is there. */
	struct settings *chosen;   /* Anew each time that the view is. */
	const struct settings *configured;
	struct capture *capture;
	struct buf layout; /* As Commit has it. */
	uint64_t walked;   /* Bytes of all volumes, holes of disks too. */
	struct progress *progress;
	uint64_t started_us;
	int64_t frozen_at;
	int uplink_failed; /* The last failure was the server's side. */
	int moved;	   /* This session got as far as beginning. */
	unsigned views_lost;
	int may_freeze_again;
	int asked;		       /* A Commit was sent that was never answered. */
	uint8_t id[UPLINK_BACKUP_LEN]; /* By which the server knows it again. */
	struct backup_result *out;
	struct chunk_id roots[SETTINGS_VOLUMES_MAX];
	uint64_t done[SETTINGS_VOLUMES_MAX]; /* Spans that need not be read again. */
	int blind;			     /* No directory for what is remembered. */
	/* What is remembered of a volume could not be written: all of it, or the tree. */
	uint8_t lost[SETTINGS_VOLUMES_MAX], lost_tree[SETTINGS_VOLUMES_MAX];
	struct err lost_why;
	int ask_all; /* What the trees would tell is asked of the server; */
	int again;   /* another session is needed for that. */
	struct uplink_counts before; /* Of the sessions that were lost. */
	struct incremental_policy policy;
	struct incremental *inc[SETTINGS_VOLUMES_MAX]; /* NULL: all is read. */
	struct tracking_options track;
	struct changes *written[SETTINGS_VOLUMES_MAX]; /* volmap_source.written */
	int distrusted; /* This session ended since a list of changes was wrong. */
	char cache_dir[STATE_PATH_MAX];
	struct spill spill; /* In cache_dir, which is nobody's volume. */
};

/* Trees of one volume: of its newest point, of this session, of a session that was lost.
 */
struct backup_paths {
	char old[STATE_PATH_MAX], new[STATE_PATH_MAX], done[STATE_PATH_MAX];
};

/* What is under way in one session. */
struct backup_session {
	struct backup *b;
	struct dial dial;
	struct uplink up;
	struct uplink_base bases[SETTINGS_VOLUMES_MAX];
	struct buf bad;
	struct backup_paths paths;
};

/* A line for whoever listens. */
void backup_say(const struct backup *b, const char *line);

/* backup_volumes.c */

int backup_paths(
    const struct backup *b, unsigned i, struct backup_paths *out, struct err *err);

/* The pipeline's job for volume `i`; its strings are the session's. */
int backup_make_job(struct backup_session *s, unsigned i, uint64_t from,
    struct pipeline_job *job, struct err *err);

/* One line about several volumes: what each map had to say. */
void backup_add_note(char note[256], const char *volume, const char *text);

/* Read and send all volumes; b->roots are their trees. */
int backup_run_volumes(struct backup_session *s, struct err *err);

/* backup_remember.c */

/*
 * The point is made: keep what the next one needs.  A disk that does not take it costs
 * that one time, and is told of; nothing fails any more.
 */
void backup_remember(struct backup *b);

/* No point was made: by us, or by an agent that died and whose leavings only grow. */
void backup_forget(struct backup *b);

/* backup_changes.c */

/* How changes are tracked, before anything is frozen; freed with backup_close_changes(). */
int backup_track(struct backup *b, struct err *err);

/* What is remembered of each volume, if not everything is to be read. */
int backup_open_changes(struct backup *b, struct err *err);
void backup_close_changes(struct backup *b);

/* How the point was made, if it was made now: as Commit has it. */
const char *backup_captured(struct backup *b);

/* The server holds the point: note its generations, before the driver is told. */
int backup_note_generations(struct backup *b, struct err *err);

/* What a run of volume `i` was: its notes, and whether its list of changes was good. */
void backup_take_changes(struct backup_session *s, unsigned i,
    const struct pipeline_job *job, const struct pipeline_result *r);

/* The hidden full compare: the same tree must come of reading everything. */
int backup_check_changes(struct backup_session *s, unsigned i,
    const struct pipeline_job *job, struct err *err);

/* What the server lacks of volume `i` is something else by now: was it only kept? */
void backup_doubt_kept(struct backup *b, unsigned i);

/* What was not read of which volume; how many. */
unsigned
backup_kept_of(const struct backup *b, struct uplink_changes out[SETTINGS_VOLUMES_MAX]);

/* Lists of changes that were found wrong: the server must know before all else. */
int backup_mark_suspects(struct backup_session *s, struct err *err);

#endif /* AGENT_BACKUP_BACKUP_PARTS_H */
