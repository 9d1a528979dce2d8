/*
 * winapi.h - between the agent's UTF-8 and Windows' wide strings and error numbers.
 *
 * Only in Windows builds, and only for *_win32.c.  Strings that are returned are the
 * caller's, to free().
 */
#ifndef PROTO_BASE_WINAPI_H
#define PROTO_BASE_WINAPI_H

#include <stddef.h>

#include "proto/base/err.h"

/*
 * As err_os() for what GetLastError() gave, or an HRESULT: the code is chosen from
 * it, the system's words (English where it has them) are added.  Returns -1.
 */
int
winapi_err(struct err *err, unsigned long code, const char *fmt, ...) ERR_PRINTF(3, 4);

/* The system's words for it in `out`, one line without a full stop, or "error 0x..". */
void winapi_words(unsigned long code, char *out, size_t size);

/* NULL: no memory, or `utf8` is not UTF-8. */
wchar_t *winapi_wide(const char *utf8);

/* NULL: no memory.  Half a surrogate pair, which file names may have, becomes U+FFFD. */
char *winapi_utf8(const wchar_t *wide);

/*
 * A path as the W calls take it: absolute, with "\\?\" in front if it is as long as
 * MAX_PATH and has none.  Device paths ("\\.\", "\\?\") stay as they are.  NULL as
 * winapi_wide().
 */
wchar_t *winapi_path(const char *utf8);

#endif /* PROTO_BASE_WINAPI_H */
