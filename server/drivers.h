/*
 * drivers.h - which module of the rescue image drives a device.
 *
 * The image's modules.alias (rescue/DESIGN.md, "The image") is a table of patterns:
 *	alias PATTERN MODULE
 *	lacks-firmware MODULE	it does nothing without a file that is not in the image
 * A device's name ("pci:v00008086d...", "virtio:...", "vmbus:...", "usb:...") is
 * matched as modprobe does: by fnmatch's rules, '-' and '_' being the same outside
 * of brackets.  No I/O; the text is believed no further than its limits.
 */
#ifndef SERVER_DRIVERS_H
#define SERVER_DRIVERS_H

#include <stddef.h>

struct drivers;
struct err;

#define DRIVERS_TEXT_MAX (16u * 1024 * 1024) /* Bytes of a modules.alias. */
#define DRIVERS_LINE_MAX 1024u
#define DRIVERS_NAMES_MAX 128u /* Bytes of the names that drivers_find() gives. */

enum drivers_verdict {
	DRIVERS_NONE,	/* Nothing drives it. */
	DRIVERS_LACKED, /* Something would, if its firmware were there. */
	DRIVERS_FOUND
};

/* Read `len` bytes.  ERR_LIMIT, ERR_CORRUPT with the line; lines of other words count
 * not. */
int drivers_parse(const char *text, size_t len, struct drivers **out, struct err *err);
void drivers_free(struct drivers *d);

/* How many patterns there are. */
size_t drivers_count(const struct drivers *d);

/* `names`: the modules that match, "ahci, ata_generic", as many as fit; or "". */
enum drivers_verdict drivers_find(
    const struct drivers *d, const char *modalias, char names[DRIVERS_NAMES_MAX]);

/* Does `text` match `pattern`?  Steps are at most in the order of both lengths' product.
 */
int drivers_match(const char *pattern, const char *text);

#endif /* SERVER_DRIVERS_H */
