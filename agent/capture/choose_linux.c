#include "agent/capture/choose.h"

#include <string.h>

#include "agent/hotcopy/hotcopy_link.h"

/* Whoever freezes a device here holds it for itself. */
enum choose_kind
choose_kind_of(const char *path)
{
	return strncmp(path, HOTCOPY_PLACE, strlen(HOTCOPY_PLACE)) == 0 ? CHOOSE_VOLUME
									: CHOOSE_FILE;
}

int
choose_databases(char *out, size_t cap)
{
	if (cap > 0)
		out[0] = '\0';
	return 1;
}
