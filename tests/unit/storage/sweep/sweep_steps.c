/*
 * The crash table of storage/DESIGN.md against the calls that are really made.
 *
 * Its second column names calls: `[NOW: ]WHAT NAME[ after WHAT]`, where NOW is
 * what goes on (init, open, put, commit ...; nothing: any of it), NAME a pattern, and the
 * WHAT behind "after" the last call before it to the same name ("nothing": it is the
 * first).  Every call of a clean run must be in a row, and every call that a row names
 * must be made.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/storage/sweep/sweep.h"

#define CALLS_MAX 512u
#define LAST_MAX 256u
#define FIRST_ROW "| step | calls |"

struct call {
	char now[16], what[24], after[24], name[80];
	int in_table;
};

static struct call calls[CALLS_MAX];
static unsigned n_calls;

/* The last call to each name, in one run of a work. */
static struct {
	char name[80], what[24];
} last[LAST_MAX];
static unsigned n_last;

static const char *const whats[] = { "open", "write", "sync directory", "sync",
	"truncate", "rename", "remove", "make directory" };
#define WHATS (sizeof(whats) / sizeof(whats[0]))

/* Numbers mean nothing here: 0000002a becomes N. */
static void
without_number(const char *name, char out[80])
{
	size_t n = 0;

	while (*name != '\0' && n + 1 < 80) {
		size_t hex = strspn(name, "0123456789abcdef");

		if (hex >= 8) {
			out[n++] = 'N';
			name += hex;
		} else {
			out[n++] = *name++;
		}
	}
	out[n] = '\0';
}

void
sweep_steps_begin(void)
{
	n_last = 0;
}

void
sweep_steps_note(const char *now, const char *what, const char *name)
{
	struct call c;
	unsigned i;

	memset(&c, 0, sizeof(c));
	(void)snprintf(c.now, sizeof(c.now), "%s", now);
	(void)snprintf(c.what, sizeof(c.what), "%s", what);
	without_number(name, c.name);
	for (i = 0; i < n_last && strcmp(last[i].name, name) != 0; i++)
		continue;
	if (i == LAST_MAX)
		sweep_fail("more than %u names", LAST_MAX);
	(void)snprintf(
	    c.after, sizeof(c.after), "%s", i < n_last ? last[i].what : "nothing");
	(void)snprintf(last[i].name, sizeof(last[i].name), "%s", name);
	(void)snprintf(last[i].what, sizeof(last[i].what), "%s", what);
	n_last += i == n_last;
	for (i = 0; i < n_calls; i++)
		if (memcmp(&calls[i], &c, sizeof(c)) == 0)
			return;
	if (n_calls == CALLS_MAX)
		sweep_fail("more than %u different calls", CALLS_MAX);
	calls[n_calls++] = c;
}

void
sweep_steps_print(void)
{
	for (unsigned i = 0; i < n_calls; i++)
		printf("%s%s%s %s after %s\n", calls[i].now,
		    calls[i].now[0] != '\0' ? ": " : "", calls[i].what, calls[i].name,
		    calls[i].after);
}

/* -------------------------------------------------------------------- table -- */

/* Take `[NOW: ]WHAT NAME[ after WHAT]` apart, in place; 0 if it is not that. */
static int
take_apart(char *text, char **now, char **what, char **name, char **after)
{
	char *p;

	*now = *after = NULL;
	if ((p = strstr(text, ": ")) != NULL) {
		*now = text;
		*p = '\0';
		text = p + 2;
	}
	if ((p = strstr(text, " after ")) != NULL) {
		*after = p + 7;
		*p = '\0';
	}
	for (size_t i = 0; i < WHATS; i++) {
		size_t n = strlen(whats[i]);

		if (strncmp(text, whats[i], n) == 0 && text[n] == ' ') {
			*what = text;
			text[n] = '\0';
			*name = text + n + 1;
			return 1;
		}
	}
	return 0;
}

/* How many of the calls made are the one that a row names? */
static unsigned
count_made(char *text)
{
	char *now, *what, *name, *after;
	unsigned made = 0;

	if (!take_apart(text, &now, &what, &name, &after))
		return 0;
	for (unsigned i = 0; i < n_calls; i++) {
		struct call *c = &calls[i];

		if ((now == NULL || strcmp(now, c->now) == 0) &&
		    strcmp(what, c->what) == 0 && fnmatch(name, c->name, 0) == 0 &&
		    (after == NULL || strcmp(after, c->after) == 0)) {
			c->in_table = 1;
			made++;
		}
	}
	return made;
}

/* A row: its second column's code spans; how many are wrong. */
static int
check_row(char *line)
{
	char *step = line + 1, *column, *end, *p, copy[200];
	int wrong = 0, n = 0;

	if ((column = strchr(step, '|')) == NULL ||
	    (end = strchr(column + 1, '|')) == NULL)
		return 1;
	*column++ = *end = '\0';
	for (; (p = strchr(column, '`')) != NULL; n++) {
		char *close = strchr(p + 1, '`');

		if (close == NULL)
			break;
		*close = '\0';
		(void)snprintf(copy, sizeof(copy), "%s", p + 1);
		if (count_made(copy) == 0) {
			fprintf(stderr, "crash table, row \"%s\": nobody does `%s`\n",
			    step, p + 1);
			wrong++;
		}
		column = close + 1;
	}
	if (n == 0)
		fprintf(stderr, "crash table, row \"%s\" names no call\n", step);
	return wrong + (n == 0);
}

int
sweep_steps_check(const char *path)
{
	FILE *f = fopen(path, "r");
	int wrong = 0, rows = 0, in_table = 0;
	char line[2000];

	while (f != NULL && fgets(line, sizeof(line), f) != NULL) {
		if (strncmp(line, FIRST_ROW, strlen(FIRST_ROW)) == 0) {
			in_table = 1;
		} else if (line[0] != '|') {
			in_table = 0;
		} else if (in_table && strncmp(line, "| ---", 5) != 0) {
			wrong += check_row(line);
			rows++;
		}
	}
	if (f != NULL)
		fclose(f);
	for (unsigned i = 0; i < n_calls; i++)
		if (!calls[i].in_table) {
			fprintf(stderr,
			    "in no row of the crash table: %s: %s %s after %s\n",
			    calls[i].now, calls[i].what, calls[i].name, calls[i].after);
			wrong++;
		}
	printf(
	    "crash table: %d rows, %u different calls, %d wrong\n", rows, n_calls, wrong);
	return rows == 0 || wrong > 0 ? -1 : 0;
}
