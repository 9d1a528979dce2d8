/*
 * bootfile.h - what netboot.h serves, as far as it is text: the script for iPXE in
 * the words of the machine that asks, and the part of a file that it asks for.
 *
 * Everything here comes from strangers over plain HTTP.  No I/O.
 */
#ifndef SERVER_BOOTFILE_H
#define SERVER_BOOTFILE_H

#include <stddef.h>
#include <stdint.h>

struct buf;
struct err;

#define BOOTFILE_SCRIPT_MAX (64u * 1024) /* Bytes of a boot.ipxe. */

/*
 * Append to `out` the script `text` with every "holdfast.server=HOST:PORT" in it
 * leading to the host in `host_header` (a Host field, whose port is not used; NULL:
 * none), so that one directory serves any of the server's addresses.  A field that is
 * no plain host name or address changes nothing.
 */
int bootfile_readdress(const char *text, size_t len, const char *host_header,
    struct buf *out, struct err *err);

/*
 * A Range field (NULL: none) over a file of `size` bytes.  0: send all of it; 1: send
 * `*len` from `*from`; -1: there are no such bytes.  Anything but one range of bytes
 * counts as none, as HTTP allows.
 */
int bootfile_range(const char *field, uint64_t size, uint64_t *from, uint64_t *len);

#endif /* SERVER_BOOTFILE_H */
