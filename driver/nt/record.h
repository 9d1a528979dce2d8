/*
 * record.h - where a volume's tracking store lies, as the registry keeps it from one
 * start of the machine to the next.
 *
 * Made when a TRACK has succeeded, read when the volume's device starts, before anything
 * can be written.  Bytes of the registry are foreign: a record that is not exactly right
 * is none.  No NT type, so that it is tested and fuzzed on any system.
 *
 *	offset	size	meaning
 *	0	4	"HCR1"
 *	4	4	size of the whole
 *	8	4	bytes of the identification, 1 ... RECORD_ID_MAX
 *	12	4	0
 *	16		the identification, with zeros to a multiple of 8
 *	...		struct hotcopy_track with its extents, as it was asked for, but
 *			volume, flags and nonce 0
 *
 * The identification is what the volume answers to IOCTL_MOUNTDEV_QUERY_UNIQUE_ID.  Words
 * are little-endian.
 */
#ifndef DRIVER_NT_RECORD_H
#define DRIVER_NT_RECORD_H

#include <stdint.h>

struct hotcopy_track;

#define RECORD_ID_MAX 512u
/* No record is longer. */
#define RECORD_MAX (16u + RECORD_ID_MAX + 56u + 16u * 4096u)

/* Of the record for "t", which control.h has checked; NULL: no memory, no extents, or the
   identification is too long.  env_free is the caller's. */
uint8_t *record_make(
    const void *id, uint32_t id_bytes, const struct hotcopy_track *t, uint32_t *size);

/* What was asked for, without CREATE; NULL: no record of this volume, or no memory.
   env_free is the caller's. */
struct hotcopy_track *
record_read(const void *record, uint32_t size, const void *id, uint32_t id_bytes);

/* The name of the registry's value: 16 digits and a 0.  Volumes may share one; the
   record tells them apart. */
#define RECORD_NAME 17
void record_name(const void *id, uint32_t id_bytes, char name[RECORD_NAME]);

#endif /* DRIVER_NT_RECORD_H */
