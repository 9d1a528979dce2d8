/*
 * progress.h - telling people (or programs) how far long work has come.
 *
 * Any thread counts; a thread of its own shows: on a terminal one line that is
 * redrawn, otherwise a line every five seconds, or JSON objects, one a line.
 */
#ifndef AGENT_HOST_PROGRESS_H
#define AGENT_HOST_PROGRESS_H

#include <stdint.h>

struct err;
struct progress;

enum progress_mode {
	PROGRESS_SILENT,
	PROGRESS_AUTO, /* To standard error: redrawn on a terminal, else plain lines. */
	PROGRESS_JSON  /* To standard output. */
};

enum progress_count {
	PROGRESS_READ, /* Bytes read from the source, or received for a restore. */
	PROGRESS_SENT, /* Bytes sent, or written to the target. */
	PROGRESS_COUNTS
};

/* Show `what` ("backup") over `total` bytes of volumes until progress_stop(). */
int progress_start(enum progress_mode mode, const char *what, uint64_t total,
    struct progress **out, struct err *err);

/* Stop showing, with a last line, and free.  NULL is allowed. */
void progress_stop(struct progress *p);

/* Bytes were read or sent.  `p` may be NULL in all of these. */
void progress_add(struct progress *p, enum progress_count which, uint64_t n);

/* The work has reached this byte of all volumes together. */
void progress_at(struct progress *p, uint64_t position);

/* Bytes as people read them: "1.5 GiB"; `out` has 24 bytes. */
void progress_bytes(uint64_t n, char out[24]);

/* Is standard error a terminal whose line can be redrawn?  (progress_SYSTEM.c) */
int progress_terminal(void);

#endif /* AGENT_HOST_PROGRESS_H */
