/*
 * filters.h - where the registry names filters of volumes: UpperFilters and LowerFilters
 * of the class, and of single devices, to which an upgrade of Windows moves them
 * (support.microsoft.com kb 976267), in every control set, for the last known good one
 * starts, too.
 *
 * A filter that is named and has no file keeps Windows from starting: names come last and
 * go first.
 */
#ifndef DRIVER_TOOLS_FILTERS_H
#define DRIVER_TOOLS_FILTERS_H

#include <windows.h>

#include <stdbool.h>
#include <stdint.h>

/* Names it at the end of the class' UpperFilters, above what is there.  -1: said why. */
int filters_add(const wchar_t *service);
/* Takes it out of all keys; *left: how many name it still (said of each). -1: said why.
 */
int filters_remove(const wchar_t *service, uint32_t *left);

#endif /* DRIVER_TOOLS_FILTERS_H */
