/*
 * dump.h - a frozen image into a file.
 */
#ifndef DRIVER_TOOLS_DUMP_H
#define DRIVER_TOOLS_DUMP_H

#include <windows.h>

#include <stdint.h>

/* Reads all "length" bytes by a bound handle and writes them to a new file, sparse where
   the image is zero; where the driver kept nothing the file has zeros, and their number
   is said.  -1: said why, no file is left. */
int dump_image(HANDLE image, uint64_t length, const wchar_t *file);

#endif /* DRIVER_TOOLS_DUMP_H */
