/*
 * hotcopy_place_win32.h - a volume by any path that the agent knows it by.
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_PLACE_WIN32_H
#define AGENT_HOTCOPY_HOTCOPY_PLACE_WIN32_H

#include <wchar.h>

struct err;

#define HOTCOPY_PLACE_MAX 1024

/*
 * "C:", "\\?\Volume{...}\", "\\.\NAME", a directory that a volume is mounted at: as
 * CreateFile() opens the volume itself, without a backslash at its end, which would be
 * its root directory.  ERR_NOTFOUND, ERR_LIMIT.
 */
int hotcopy_place(const char *path, wchar_t out[HOTCOPY_PLACE_MAX], struct err *err);

#endif /* AGENT_HOTCOPY_HOTCOPY_PLACE_WIN32_H */
