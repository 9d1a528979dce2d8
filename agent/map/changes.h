/*
 * changes.h - which parts of a volume may have changed since its last point.
 *
 * The one engine of incrementals that do not read everything, whoever tells it
 * what changed: the records of an NTFS (ntfs_compare.h), a list in a file, a driver.
 * It is advice and never truth.  The pipeline keeps what the base point's tree says of
 * a cut only where the map asks for the same cut again and nothing here touches it; and
 * of what it could keep it reads a slice in each run all the same (proof.h), to see that
 * the advice was good.
 *
 *	changes_new -> changes_add ... | changes_load -> (changes_doubt ...) -> pipeline
 *
 * Memory is flat: a bit for each grain of 4 KiB, on volumes above 128 GiB for each
 * grain of 2^n times that, 4 MiB at most.  What is called changed may be its neighbour;
 * never the other way round.
 */
#ifndef AGENT_MAP_CHANGES_H
#define AGENT_MAP_CHANGES_H

#include <stdint.h>

struct err;
struct changes;

/* Of a volume of `size` bytes; nothing has changed.  ERR_NOMEM. */
int changes_new(uint64_t size, struct changes **out, struct err *err);
void changes_free(struct changes *c);

/* Nothing has changed, nothing is doubted, nothing is to be proven. */
void changes_clear(struct changes *c);

/* The same, but what has changed stays. */
void changes_again(struct changes *c);

/* These bytes may have changed; what lies behind the volume's end is ignored. */
void changes_add(struct changes *c, uint64_t offset, uint64_t len);

/* May any of these bytes have changed?  1 or 0. */
int changes_touch(const struct changes *c, uint64_t offset, uint64_t len);

/*
 * How far, `len` bytes at most, all from `offset` on is as the byte there: all may have
 * changed, or nothing.  Bytes, > 0 unless `len` is 0.
 */
uint64_t changes_alike(const struct changes *c, uint64_t offset, uint64_t len);

/* Bytes of the grains that may have changed. */
uint64_t changes_bytes(const struct changes *c);

/* The list says nothing of bytes that no file owns: they are always read. */
void changes_only_owned(struct changes *c);
int changes_are_only_owned(const struct changes *c);

/*
 * The view was changed by others than those who write the volume, where the list says
 * nothing of it: it is of use only beside an NTFS whose map has no doubt about what is
 * whose.
 */
void changes_need_map(struct changes *c);
int changes_do_need_map(const struct changes *c);

/* All must be read; the first reason is kept.  "" as long as there is none. */
void changes_doubt(struct changes *c, const char *why);
const char *changes_why(const struct changes *c);

/*
 * Read of what could be kept the slice `which` of `slices`: what lies in every so
 * manieth mebibyte.  `slices` 0: nothing; 1: all.
 */
void changes_slice(struct changes *c, unsigned slices, unsigned which);
int changes_due(const struct changes *c, uint64_t offset);

/*
 * Add the ranges in a text file: "OFFSET LENGTH" in bytes, one a line that ends in LF or
 * CR LF, decimal (whatever zeros are in front) or 0x...; what follows a '#' is for people.
 * ERR_CORRUPT names the line, ERR_IO.
 */
int changes_load(struct changes *c, const char *path, struct err *err);

/* One line of such a file, which is changed by it: 1, or 0 if it makes no sense. */
int changes_take(struct changes *c, char *line);

#endif /* AGENT_MAP_CHANGES_H */
