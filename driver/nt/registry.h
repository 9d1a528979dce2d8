/*
 * registry.h - the service's key and what lies below it.  Passive, all of it.
 *
 * Values are foreign bytes: of another type or size than asked for they count as absent.
 */
#ifndef DRIVER_NT_REGISTRY_H
#define DRIVER_NT_REGISTRY_H

#include <stdbool.h>
#include <stdint.h>
#include "driver/nt/compat.h"

/* Once, from DriverEntry: the service's key.  One longer than REGISTRY_PATH_MAX
   characters counts as none, and nothing below it can be had. */
#define REGISTRY_PATH_MAX 256u
void registry_begin(const UNICODE_STRING *path);

/* "sub" is below the service's key, NULL: that itself.  Made if it is not there and
   "make".  NULL: it cannot be had.  registry_close is the caller's; of NULL it is legal.
 */
HANDLE registry_open(const WCHAR *sub, bool make);
void registry_close(HANDLE key);

/* false: there is no such number. */
bool registry_number(HANDLE key, const WCHAR *name, uint32_t *value);
bool registry_put_number(HANDLE key, const WCHAR *name, uint32_t value);

/* REG_BINARY of at most "most" bytes; NULL: none, or no memory.  env_free is the
   caller's. */
uint8_t *registry_bytes(HANDLE key, const WCHAR *name, uint32_t most, uint32_t *size);
bool registry_put_bytes(HANDLE key, const WCHAR *name, const void *bytes, uint32_t size);

/* true: it is not there any more. */
bool registry_forget(HANDLE key, const WCHAR *name);
/* The key itself, with its values.  The handle is still to be closed. */
bool registry_forget_key(HANDLE key);

/* On the disk when it returns, if that can be said so early in a start. */
void registry_flush(HANDLE key);

#endif /* DRIVER_NT_REGISTRY_H */
