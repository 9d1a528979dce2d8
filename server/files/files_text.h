/*
 * files_text.h - names and link targets as Windows keeps them, for people here.
 *
 * Parses foreign bytes and does no I/O.
 */
#ifndef SERVER_FILES_FILES_TEXT_H
#define SERVER_FILES_FILES_TEXT_H

#include <stddef.h>
#include <stdint.h>

/*
 * `units` units of little-endian UTF-16 as UTF-8 with a NUL; lone surrogates as three
 * bytes each, as they would be without their other half.  -1 if `cap` bytes are too few
 * or a NUL is among them.
 */
int files_text_from_utf16(const uint8_t *p, size_t units, char *out, size_t cap);

/* The reverse; units, or -1 if it is not UTF-8 (but for such surrogates) or too long. */
int files_text_to_utf16(const char *text, uint8_t *out, size_t cap_units);

enum files_reparse {
	FILES_REPARSE_LINK, /* `out` is where it leads. */
	FILES_REPARSE_OTHER /* `out` is what it is, in words. */
};

/* What the data of a reparse point say. */
enum files_reparse
files_text_reparse(const uint8_t *p, size_t len, char *out, size_t cap);

/*
 * May an entry called so be made in a directory of ours?  Not "", "." and "..", none
 * with a slash, none longer than a name may be.  Non-zero if it may.
 */
int files_text_name_ok(const char *name);

/* For a terminal: control characters and broken UTF-8 become '?'; `out` as long. */
void files_text_clean(const char *text, char *out);

#endif /* SERVER_FILES_FILES_TEXT_H */
