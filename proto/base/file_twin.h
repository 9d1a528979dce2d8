/*
 * file_twin.h - what file.c asks of file_linux.c and file_win32.c; for no one else.
 */
#ifndef PROTO_BASE_FILE_TWIN_H
#define PROTO_BASE_FILE_TWIN_H

#include <stdint.h>

struct file;

/* As FILE_TO_MAKE and FILE_TO_BEGIN, but everybody may read what is made: mode 0644. */
#define FILE_TWIN_SHOWN 0x10000u

/* The path it was opened by; lives as long as it. */
const char *file_twin_path(const struct file *f);

/* Zeros that take no room: 1, or 0 where the file system cannot, or did not. */
int file_twin_punch(struct file *f, uint64_t offset, uint64_t len);

#endif /* PROTO_BASE_FILE_TWIN_H */
