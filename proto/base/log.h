/*
 * log.h - one line an event, to standard error.
 *
 * Only programs' main files, sessions and jobs log; everything below them
 * hands up a struct err.  Under journald (JOURNAL_STREAM is set) each line
 * starts with its priority as <N>; with LOG_JSON each line is one object.
 * Any thread may log; a line is written whole by one write().
 */
#ifndef PROTO_BASE_LOG_H
#define PROTO_BASE_LOG_H

#include "proto/base/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
enum log_format { LOG_TEXT, LOG_JSON };

/* Set what is written from now on; the default is LOG_INFO as LOG_TEXT. */
void log_setup(enum log_level most, enum log_format format);

/* Write one event: no newline at the end, no secrets in it. */
void log_event(enum log_level level, const char *fmt, ...) ERR_PRINTF(2, 3);

#endif /* PROTO_BASE_LOG_H */
