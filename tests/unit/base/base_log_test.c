/* A sink gets what is said: its level, its topic, its text and the line. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/log.h"

struct seen {
	unsigned count;
	enum log_level level;
	enum log_topic topic;
	char text[2048], line[4096];
};

static void
note(void *arg, const struct log_entry *e)
{
	struct seen *s = arg;

	s->count++;
	s->level = e->level;
	s->topic = e->topic;
	assert_true(strlen(e->text) < sizeof(s->text));
	strcpy(s->text, e->text);
	assert_int_equal(strlen(e->line), e->line_len);
	assert_true(e->line_len < sizeof(s->line));
	strcpy(s->line, e->line);
}

static void
a_sink_gets_every_event_that_counts(void **state)
{
	struct seen s = { 0 };

	(void)state;
	log_setup(LOG_INFO, LOG_TEXT);
	log_to(note, &s);
	log_event(LOG_WARN, "disk %d is slow", 3);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.level, LOG_WARN);
	assert_int_equal(s.topic, LOG_OTHER);
	assert_string_equal(s.text, "disk 3 is slow");
	assert_non_null(strstr(s.line, "disk 3 is slow\n"));
	log_about(LOG_DONE, LOG_INFO, "point %u", 7u);
	assert_int_equal(s.count, 2);
	assert_int_equal(s.topic, LOG_DONE);
	log_event(LOG_DEBUG, "not asked for");
	assert_int_equal(s.count, 2);
	log_to(NULL, NULL);
}

static void
what_is_too_long_is_cut_and_json_stays_json(void **state)
{
	struct seen s = { 0 };
	char big[3000];

	(void)state;
	memset(big, '"', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	log_setup(LOG_INFO, LOG_JSON);
	log_to(note, &s);
	log_event(LOG_ERROR, "%s", big);
	assert_int_equal(s.count, 1);
	assert_int_equal(s.line[0], '{');
	assert_string_equal(s.line + strlen(s.line) - 3, "\"}\n");
	log_to(NULL, NULL);
	log_setup(LOG_INFO, LOG_TEXT);
}

static void
one_event_is_one_line(void **state)
{
	struct seen s = { 0 };

	(void)state;
	log_setup(LOG_INFO, LOG_TEXT);
	log_to(note, &s);
	log_event(LOG_WARN, "the server said %s", "no\r\n<0>2026 error: forged\x7f");
	assert_string_equal(s.text, "the server said no  <0>2026 error: forged ");
	assert_ptr_equal(strchr(s.line, '\n'), s.line + strlen(s.line) - 1);
	log_to(NULL, NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_sink_gets_every_event_that_counts),
		cmocka_unit_test(what_is_too_long_is_cut_and_json_stays_json),
		cmocka_unit_test(one_event_is_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
