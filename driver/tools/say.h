/*
 * say.h - what hotcopyctl prints: to a console in its own characters, to a file or a pipe
 * as UTF-8.
 *
 * Formats are msvcrt's wide ones: %ls a wide string, %I64u 64 bits.  A line is at most
 * SAY_MAX characters and is cut there.
 */
#ifndef DRIVER_TOOLS_SAY_H
#define DRIVER_TOOLS_SAY_H

#include <stdbool.h>
#include <stdint.h>
#include <wchar.h>

#define SAY_MAX 1024

/* To standard output, as it is. */
void say_out(const wchar_t *format, ...);
/* "hotcopyctl: ...", a line to standard error; always -1. */
int say_error(const wchar_t *format, ...);
/* The same, with what Windows says of this error after it. */
int say_os_error(uint32_t error, const wchar_t *format, ...);
/* A line of progress, over the last one, if standard error is a console; else nothing. */
void say_progress(const wchar_t *format, ...);

#endif /* DRIVER_TOOLS_SAY_H */
