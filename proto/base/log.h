/*
 * log.h - one line an event, to standard error or to a sink.
 *
 * Only programs' main files, sessions and jobs log; everything below them
 * hands up a struct err.  Under journald (JOURNAL_STREAM is set) each line
 * starts with its priority as <N>; with LOG_JSON each line is one object.
 * Any thread may log; a line is written whole by one write().
 */
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include <stddef.h>

#include "proto/base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* What an event is about, for a sink that numbers them (agent/cli/eventlog_win32.h). */
enum log_topic {
	LOG_OTHER,
	LOG_STARTED,
	LOG_STOPPED,
	LOG_DONE,     /* A backup made its point. */
	LOG_FAILED,   /* A backup made none. */
	LOG_CAPTURED, /* How a point was captured, and why so. */
	LOG_ALARM,    /* Something that a person must look at. */
	LOG_SCRIPT    /* What a script before or after a backup did. */
};

/* Set what is written from now on; the default is LOG_INFO as LOG_TEXT. */
void log_setup(enum log_level most, enum log_format format);

/* Write one event: no newline at the end, no secrets in it. */
void log_event(enum log_level level, const char *fmt, ...) ERR_PRINTF(2, 3);

/* The same, and what it is about. */
void log_about(enum log_topic topic, enum log_level level, const char *fmt, ...)
    ERR_PRINTF(3, 4);

/* One event as a sink gets it; its strings live for the call. */
struct log_entry {
	enum log_level level;
	enum log_topic topic;
	const char *text; /* What was said. */
	const char *line; /* As it would be written, with its newline. */
	size_t line_len;
};

typedef void log_sink(void *arg, const struct log_entry *entry);

/*
 * From now on `sink` gets every event in place of standard error; NULL: standard
 * error again.  To be set while no other thread logs; called by any thread, several
 * at once.
 */
void log_to(log_sink *sink, void *arg);

#endif /* PROTO_BASE_LOG_H */
