/*
 * logfile.h - a log of bounded size: DIR/holdfast.log and LOGFILE_OLD older ones,
 * holdfast.1.log the newest of them, none longer than LOGFILE_MAX.
 *
 * For a program that nobody reads the standard error of (the Windows service).  What
 * cannot be written is lost: a full disk must not stop a backup's last words elsewhere.
 */
#ifndef AGENT_HOST_LOGFILE_H
#define AGENT_HOST_LOGFILE_H

#include <stddef.h>
#include <stdint.h>

struct err;
struct logfile;

#define LOGFILE_MAX (4u * 1024 * 1024)
#define LOGFILE_OLD 4

/* Go on with the one that is there; `dir` is made if it is missing.  `max` 0: the usual.
 */
int logfile_open(const char *dir, uint64_t max, struct logfile **out, struct err *err);
void logfile_close(struct logfile *l);

/* One line with its newline; from any thread. */
void logfile_write(struct logfile *l, const char *line, size_t len);

#endif /* AGENT_HOST_LOGFILE_H */
