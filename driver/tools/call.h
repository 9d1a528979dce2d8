/*
 * call.h - calls to the driver, with what its answers mean in words.
 *
 * The control device is opened for overlapped use, so that one handle can wait for an
 * event while it is asked something else.
 */
#ifndef DRIVER_TOOLS_CALL_H
#define DRIVER_TOOLS_CALL_H

#include <windows.h>

#include <stdbool.h>
#include <stdint.h>

#include "driver/abi/hotcopy.h"

/* The NTSTATUS of a call that went well. */
#define CALL_OK 0u
#define CALL_LOST HOTCOPY_STATUS_LOST
#define CALL_NOT_KEPT HOTCOPY_STATUS_NOT_KEPT

/* \\.\HotCopy; NULL: said why. */
HANDLE call_open(void);
/* Fills a request's header. */
void call_header(struct hotcopy_header *h, size_t size);
/* Waits for the answer.  The NTSTATUS; "out" may be NULL, and is filled whole (*given
   bytes, where that is not NULL) or not at all. */
uint32_t call_device(HANDLE h, uint32_t code, void *in, size_t bytes, void *out,
    size_t room, uint32_t *given);
/* The same with a structure of fixed size each way; said what was asked for if it fails:
   -1. */
int call_do(HANDLE h, uint32_t code, void *in, size_t bytes, void *out, size_t room,
    const wchar_t *what);
/* A read at a place of a bound handle: its NTSTATUS; less than "length" is an error. */
uint32_t call_read(HANDLE h, uint64_t offset, void *out, uint32_t length);
const wchar_t *call_words(uint32_t status);

#endif /* DRIVER_TOOLS_CALL_H */
