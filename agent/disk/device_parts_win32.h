/*
 * device_parts_win32.h - between device_win32.c (what a device is) and
 * device_io_win32.c (moving its bytes).
 */
#ifndef AGENT_DISK_DEVICE_PARTS_WIN32_H
#define AGENT_DISK_DEVICE_PARTS_WIN32_H

#include <windows.h>

#include "agent/disk/device.h"

struct device {
	HANDLE handle; /* Overlapped; unbuffered where `align` is more than 1. */
	enum device_kind kind;
	int locked;
	uint64_t size;
	uint32_t sector, physical;
	uint32_t align; /* What offsets, lengths and memory must be multiples of. */
	char *path;	/* As given, for people. */
	wchar_t *name;	/* Of a device: as the kernel calls it; or NULL. */
};

/* Is it the error of a device that is not there any more? */
int device_gone(unsigned long error);

/* As winapi_err(), and says what BitLocker's own errors mean. */
int device_err(const struct device *d, unsigned long error, const char *what, uint64_t at,
    struct err *err);

#endif /* AGENT_DISK_DEVICE_PARTS_WIN32_H */
