/*
 * name.h - how people and Windows call a volume, and the driver's number for it.
 *
 * A VOLUME of the command line: C:, a directory that a volume is mounted at,
 * \\?\Volume{...}, any device path \\.\NAME, or #N, the driver's own number.
 */
#ifndef DRIVER_TOOLS_NAME_H
#define DRIVER_TOOLS_NAME_H

#include <windows.h>

#include <stdint.h>

#define NAME_MAX 512

/* The path that CreateFile opens the volume itself by; -1: said why. */
int name_path(const wchar_t *word, wchar_t path[NAME_MAX]);
/* Its GUID as its bytes lie in memory; all 0 if it has none. */
int name_guid(const wchar_t *word, uint8_t guid[16]);
/* The driver's number for it; -1: said why (not there, or no filter above it). */
int name_volume(const wchar_t *word, uint64_t *volume);

/* Every volume that Windows knows: its path, its letters and mount points in one line,
   and the driver's number, 0 where the filter is not above it.  -1: said why. */
typedef void
name_each_fn(void *arg, const wchar_t *path, const wchar_t *mounted, uint64_t volume);
int name_each(name_each_fn *each, void *arg);

#endif /* DRIVER_TOOLS_NAME_H */
