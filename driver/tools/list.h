/*
 * list.h - the driver's volumes as it tells them.
 */
#ifndef DRIVER_TOOLS_LIST_H
#define DRIVER_TOOLS_LIST_H

#include <windows.h>

#include <stdint.h>

#include "driver/abi/hotcopy.h"

/* All volumes, in memory that the caller frees; NULL: said why. */
struct hotcopy_volumes *list_read(HANDLE h);
/* One of them; -1: said why. */
int list_find(HANDLE h, uint64_t volume, struct hotcopy_volume *out);

#endif /* DRIVER_TOOLS_LIST_H */
