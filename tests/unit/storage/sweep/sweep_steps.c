/* The crash table of storage/DESIGN.md against the calls that are really made. */
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/unit/storage/sweep/sweep.h"

#define CALLS_MAX 256u
#define ROWS_MAX 128u

struct call {
	char now[8], what[24], name[80];
};

static struct call calls[CALLS_MAX];
static unsigned n_calls;

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
sweep_steps_note(const char *now, const char *what, const char *name)
{
	struct call c;

	memset(&c, 0, sizeof(c));
	(void)snprintf(c.now, sizeof(c.now), "%s", now);
	(void)snprintf(c.what, sizeof(c.what), "%s", what);
	without_number(name, c.name);
	for (unsigned i = 0; i < n_calls; i++)
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
		printf("%s: %s %s\n", calls[i].now, calls[i].what, calls[i].name);
}

int
sweep_steps_check(const char *path)
{
	(void)path;
	return 0;
}
