/*
 * hotcopy_extents_win32.h - where a file lies on its NTFS.
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_EXTENTS_WIN32_H
#define AGENT_HOTCOPY_HOTCOPY_EXTENTS_WIN32_H

#include <windows.h>

#include <stdint.h>

#include "driver/abi/hotcopy.h"

struct err;

/*
 * By bytes of the volume, rising, those that touch as one; malloc'ed.  `cluster` in bytes;
 * `shown` is the volume for messages.  ERR_UNSUPPORTED: it has holes, so it is sparse or
 * compressed; ERR_NOSPACE: more pieces than anybody wants; ERR_NOMEM, ERR_IO.
 */
int hotcopy_extents(HANDLE file, uint32_t cluster, const char *shown,
    struct hotcopy_extent **out, unsigned *count, struct err *err);

#endif /* AGENT_HOTCOPY_HOTCOPY_EXTENTS_WIN32_H */
