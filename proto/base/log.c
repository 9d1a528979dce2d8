#include "proto/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINE_MAX_LEN 1024

static const char *const names[] = { "error", "warning", "info", "debug" };
static const int priorities[] = { 3, 4, 6, 7 }; /* As syslog counts them. */
static atomic_int level_max = LOG_INFO;
static atomic_int line_format = LOG_TEXT;

void
log_setup(enum log_level most, enum log_format format)
{
	atomic_store(&level_max, most);
	atomic_store(&line_format, format);
}

/* Copy `text` as the inside of a JSON string; cut where `cap` ends. */
static void
quote(char *out, size_t cap, const char *text)
{
	size_t n = 0;

	for (; *text != '\0' && n + 7 < cap; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			out[n++] = '\\';
		if (c < 0x20)
			n += (size_t)snprintf(out + n, cap - n, "\\u%04x", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
}

/* Where events go; standard error without a function. */
static log_sink *sink_fn;
static void *sink_arg;

void
log_to(log_sink *sink, void *arg)
{
	sink_fn = sink;
	sink_arg = arg;
}

/* The line for `text`, with its newline; how long it is. */
static size_t
make_line(char *line, size_t cap, enum log_level level, const char *text)
{
	char quoted[LINE_MAX_LEN + LINE_MAX_LEN / 2], when[32];
	struct timespec now;
	struct tm tm;
	int n;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);

	if (atomic_load(&line_format) == LOG_JSON) {
		quote(quoted, sizeof(quoted), text);
		n = snprintf(line, cap,
		    "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\"}\n", when,
		    now.tv_nsec / 1000000, names[level], quoted);
	} else if (getenv("JOURNAL_STREAM") != NULL) {
		n = snprintf(line, cap, "<%d>%s\n", priorities[level], text);
	} else {
		n = snprintf(line, cap, "%s.%03ldZ %s: %s\n", when, now.tv_nsec / 1000000,
		    names[level], text);
	}
	return n < 0 ? 0 : (size_t)n >= cap ? cap - 1 : (size_t)n;
}

static void write_event(enum log_topic topic, enum log_level level, const char *fmt,
    va_list ap) ERR_PRINTF(3, 0);

static void
write_event(enum log_topic topic, enum log_level level, const char *fmt, va_list ap)
{
	char text[LINE_MAX_LEN], line[LINE_MAX_LEN * 2];
	struct log_entry e = { level, topic, text, line, 0 };

	if ((int)level > atomic_load(&level_max))
		return;
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	/* One event is one line, whatever words a peer sent. */
	for (char *p = text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
	e.line_len = make_line(line, sizeof(line), level, text);
	if (sink_fn != NULL)
		sink_fn(sink_arg, &e);
	/* Nothing is left to tell when even the log cannot be written. */
	else if (e.line_len > 0 && fwrite(line, 1, e.line_len, stderr) < e.line_len)
		return;
}

void
log_event(enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_event(LOG_OTHER, level, fmt, ap);
	va_end(ap);
}

void
log_about(enum log_topic topic, enum log_level level, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	write_event(topic, level, fmt, ap);
	va_end(ap);
}
