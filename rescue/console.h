/*
 * console.h - a restore that nobody watches: lines on a console, or on several.
 *
 * Every line begins with "rescue: ".  Tests, and people who look for something in a
 * log, know these:
 *
 *	rescue: restoring HOST/N to DISK ...
 *	rescue: restored
 *	rescue: failed: REASON
 *	rescue: rebooting (or: powering off, ...)
 */
#ifndef RESCUE_CONSOLE_H
#define RESCUE_CONSOLE_H

#include "rescue/job.h"

/*
 * Do all of `config` (its front is ours) and say how it went; after a failure stay,
 * and try again when a key says so.  0: restored; -1: given up, which happens only
 * where nobody can press a key.
 */
int console_run(const struct job_config *config);

/* One line with the prefix, to standard output; what is not printable ASCII is '?'. */
void console_say(const char *line);

#endif /* RESCUE_CONSOLE_H */
