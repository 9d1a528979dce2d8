#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/map/changes.h"

/* A number and what follows it; 0 if there is none. */
static int
number(char **p, uint64_t *out)
{
	char *end;

	*p += strspn(*p, " \t");
	if (**p < '0' || **p > '9')
		return 0;
	errno = 0;
	*out = strtoumax(*p, &end, 0);
	*p = end;
	return errno == 0;
}

int
changes_take(struct changes *c, char *line)
{
	uint64_t offset, len;

	line[strcspn(line, "#\r")] = '\0';
	if (line[strspn(line, " \t")] == '\0')
		return 1;
	if (!number(&line, &offset) || !number(&line, &len) ||
	    line[strspn(line, " \t")] != '\0')
		return 0;
	changes_add(c, offset, len);
	return 1;
}
