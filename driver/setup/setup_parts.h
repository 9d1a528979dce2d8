/*
 * setup_parts.h - between setup.c (order, file, service), setup_filters.c (where the
 * registry names filters) and setup_text.c (words).
 */
#ifndef DRIVER_SETUP_SETUP_PARTS_H
#define DRIVER_SETUP_SETUP_PARTS_H

#include <windows.h>

#include "driver/setup/setup.h"

/* Why it failed; formats are msvcrt's wide ones.  SETUP_FAILED. */
int setup_fail(struct setup_report *r, const wchar_t *format, ...);
/* The same, with what Windows says of this error after it. */
int setup_fail_os(struct setup_report *r, DWORD error, const wchar_t *format, ...);
/* A line for who listens; with an `error` that is not 0 a bad one. */
void setup_tell(struct setup_report *r, DWORD error, const wchar_t *format, ...);

/* Names it at the end of the class' UpperFilters, above what is there.  0 or -1. */
int setup_filters_add(const wchar_t *service, struct setup_report *r);
/* Takes it out of all keys; how many it was in, and how many name it still.  0 or -1. */
int setup_filters_remove(
    const wchar_t *service, uint32_t *taken, uint32_t *left, struct setup_report *r);

#endif /* DRIVER_SETUP_SETUP_PARTS_H */
