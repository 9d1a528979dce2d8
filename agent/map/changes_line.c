#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "agent/map/changes.h"

/* A number and what follows it; 0 if there is none.  Zeros in front make it no octal one. */
static int
number(char **p, uint64_t *out)
{
	char *end;
	int base;

	*p += strspn(*p, " \t");
	if (**p < '0' || **p > '9')
		return 0;
	base = (*p)[0] == '0' && ((*p)[1] == 'x' || (*p)[1] == 'X') ? 16 : 10;
	errno = 0;
	*out = strtoumax(*p, &end, base);
	*p = end;
	return errno == 0;
}

int
changes_take(struct changes *c, char *line)
{
	uint64_t offset, len;
	const char *cr = strchr(line, '\r');

	/* Where lines end in it alone, all but the first range would go. */
	if (cr != NULL && cr[1] != '\0')
		return 0;
	line[strcspn(line, "#\r")] = '\0';
	if (line[strspn(line, " \t")] == '\0')
		return 1;
	if (!number(&line, &offset) || !number(&line, &len) ||
	    line[strspn(line, " \t")] != '\0')
		return 0;
	changes_add(c, offset, len);
	return 1;
}
