#include "proto/base/log.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_LEN 1024

static const char *const names[] = { "error", "warning", "info", "debug" };
static const int priorities[] = { 3, 4, 6, 7 };	/* As syslog counts them. */
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

void
log_event(enum log_level level, const char *fmt, ...)
{
	char text[LINE_MAX_LEN], line[LINE_MAX_LEN * 2], when[32];
	struct timespec now;
	struct tm tm;
	va_list ap;
	int n;

	if ((int)level > atomic_load(&level_max))
		return;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);

	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);

	if (atomic_load(&line_format) == LOG_JSON) {
		char quoted[LINE_MAX_LEN + LINE_MAX_LEN / 2];

		quote(quoted, sizeof(quoted), text);
		n = snprintf(line, sizeof(line),
		    "{\"time\":\"%s.%03ldZ\",\"level\":\"%s\",\"event\":\"%s\"}\n", when,
		    now.tv_nsec / 1000000, names[level], quoted);
	} else if (getenv("JOURNAL_STREAM") != NULL) {
		n = snprintf(line, sizeof(line), "<%d>%s\n", priorities[level], text);
	} else {
		n = snprintf(line, sizeof(line), "%s.%03ldZ %s: %s\n", when,
		    now.tv_nsec / 1000000, names[level], text);
	}
	if (n > 0 && (size_t)n >= sizeof(line))
		n = (int)sizeof(line) - 1;
	/* Nothing is left to tell when even the log cannot be written. */
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n) < 0)
		return;
}
