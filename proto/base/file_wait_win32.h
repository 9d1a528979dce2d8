/*
 * file_wait_win32.h - what file_win32.c and file_names_win32.c share; for no one else.
 */
#ifndef PROTO_BASE_FILE_WAIT_WIN32_H
#define PROTO_BASE_FILE_WAIT_WIN32_H

/* Shared with everybody, so that a file may be renamed over and removed while open. */
#define FILE_WAIT_SHARED (FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE)

/*
 * Should what failed with `code` be tried once more?  Then some time has passed.  Start
 * with *waited_ms = 0.  Who holds a file gets FILE_WAIT_MS; "access denied" gets a
 * tenth: a file that is being removed says that, and so does one that is really denied.
 */
int file_wait(unsigned long code, unsigned *waited_ms);

#endif /* PROTO_BASE_FILE_WAIT_WIN32_H */
