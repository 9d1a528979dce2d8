/*
 * pin.h - a file whose clusters stay where they are, as the extents of its volume that
 * the driver takes for a diff area or a tracking store.
 *
 * NTFS only: elsewhere a cluster's number says nothing about its place.  While the pin
 * is open the file cannot be deleted, shortened or moved (FSCTL_MARK_HANDLE,
 * MARK_HANDLE_PROTECT_CLUSTERS); a file that pin_open made goes with it.
 */
#ifndef DRIVER_TOOLS_PIN_H
#define DRIVER_TOOLS_PIN_H

#include <windows.h>

#include <stdbool.h>
#include <stdint.h>

#include "driver/abi/hotcopy.h"

struct pin {
	HANDLE file, volume;
	wchar_t path[512]; /* of the volume */
	struct hotcopy_extent *extent;
	uint32_t extents;
};

/* "make" bytes: the file must not exist yet and is made so large; 0: it must exist.
   "keep": what was made stays when the pin is closed. */
int pin_open(struct pin *p, const wchar_t *file, uint64_t make, bool keep);
/* A zeroed pin may be closed. */
void pin_close(struct pin *p);

#endif /* DRIVER_TOOLS_PIN_H */
