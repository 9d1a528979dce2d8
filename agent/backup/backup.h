/*
 * backup.h - one recovery point of some volumes, through lost connections.
 *
 * Freezes the volumes once; then connects, runs the pipeline for each and
 * commits.  When the server is lost it comes back to it over the same frozen
 * view: what was stored before is still pinned there and not sent again.
 */
#ifndef AGENT_BACKUP_BACKUP_H
#define AGENT_BACKUP_BACKUP_H

#include <stdint.h>

#include "agent/backup/pipeline.h"
#include "agent/backup/uplink.h"
#include "agent/host/hooks.h"
#include "agent/host/progress.h"
#include "agent/host/settings.h"
#include "agent/host/state.h"

struct capture_disks;
struct err;
struct stop;

#define BACKUP_DISTRUSTED "a list of changes was wrong: "

struct backup_options {
	const struct settings *settings; /* Volumes, level, retry. */
	uint8_t machine[STATE_HASH_LEN];
	const struct capture_disks *disks; /* NULL: this system's. */
	const char *host_facts;		   /* A directory in place of /sys; NULL. */
	int no_cache;			   /* Ask for every chunk. */
	const char *changed_from; /* What changed since the newest point; NULL: look. */
	int check_changes; /* Read all as well, and compare: for tests and doubts. */
	size_t map_memory; /* Of a volume's map; 0: VOLMAP_MEMORY. */
	enum progress_mode mode;
	struct stop *stop; /* May be NULL. */
	/* Something people should read now: one line. */
	/* Lines that begin with BACKUP_DISTRUSTED are an alarm. */
	void (*say)(void *arg, const char *line);
	void (*say_script)(void *arg, const char *line); /* NULL: `say`. */
	void *say_arg;
};

struct backup_result {
	struct uplink_point point;
	struct uplink_counts counts;
	unsigned volumes;
	uint64_t volumes_bytes;		   /* Of a disk's image without its volumes. */
	unsigned attempts;		   /* Sessions that it took. */
	uint64_t wire_sent, wire_received; /* Bytes of TLS in all of them. */
	uint64_t cpu_us[PIPELINE_STAGES];
	uint64_t kept_bytes, proven_bytes; /* By lists of changes. */
	uint64_t map_bytes;		   /* Read to know what is where. */
	char note[256];
	char captured[512]; /* How the volumes were frozen, and why so; or "". */
	char grade[16];	    /* "exclusive", "application", "crash": of the weakest. */
	struct hooks_result pre, post; /* Of backup_with_scripts(). */
};

/*
 * Make one point.  The state must be locked.  Remembers the new head, the
 * trees, the sources' paths and what `status` shows.
 */
int backup_run(const struct state *st, const struct backup_options *options,
    struct backup_result *out, struct err *err);

/*
 * The same between the pre-script and the post-script of the settings (hooks.h), if
 * there are any, and kept awake meanwhile.  What a script says and how it ended goes
 * to `say_script`.  A point that was made stays made whatever the
 * post-script does.
 */
int backup_with_scripts(const struct state *st, const struct backup_options *options,
    struct backup_result *out, struct err *err);

#endif /* AGENT_BACKUP_BACKUP_H */
