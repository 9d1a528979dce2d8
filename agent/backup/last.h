/*
 * last.h - how the last backup ended, for `status`: last.json in the state directory.
 *
 *	{ what the last point was; nothing of it if there was none yet,
 *	  "failure": { "time_us", "reason", "interrupted", "count" } }
 *
 * "failure" is of the newest attempt that made no point, "count" how many there were
 * since the last point; a point takes it away.  That it cannot be written fails nothing:
 * the point counts, and the log has the reason.
 */
#ifndef AGENT_BACKUP_LAST_H
#define AGENT_BACKUP_LAST_H

struct backup_result;
struct err;
struct settings;
struct state;

/* A point was made.  As state_write(). */
int last_made(const struct state *st, const struct settings *settings,
    const struct backup_result *r, struct err *err);

/* None was, because of `why`. */
void last_failed(const struct state *st, const struct err *why);

/* What is kept, a json_t *; NULL if there is none. */
void *last_read(const struct state *st);

#endif /* AGENT_BACKUP_LAST_H */
