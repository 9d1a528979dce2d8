/*
 * ntfs_compare.h - an NTFS tells what changed: its records as they were and are.
 *
 * Whoever changes a file also changes its record: times, sizes, runs, the sequence
 * numbers of the journals, and, whatever else is the same, the number by which the
 * record is protected against torn writes.  So of each record in use a hash of all its
 * bytes as they lie on the disk is kept with the point, and compared with the next
 * time: fields that somebody forgot, or that a system does not fill in, cannot be
 * missed.  What an equal record owns need not be read.
 *
 * It is advice, and unproven: writes through a mapping, times put back, and files that
 * stay open for long need not change a record at once.  So these are always read:
 * the file system's own files and all that is no plain file data; files of several
 * records; compressed, sparse and encrypted streams, and those with a reparse point;
 * system files; files that are large, or of a type in a list, or changed within some
 * hours before the cut, or that seem to be open: more is allocated than they have, or
 * not all of it was written yet; and whatever no file owns.
 *
 * The hashes lie in a roll (roll.h), 8 bytes a record, 40 MB for 5 million files:
 *
 *	+0	8	magic "HFMFTH_1"
 *	+8	32	id of the root of the point's tree
 *	+40	32	BLAKE3-256 of the boot sector
 *	+72	8	the newest time and
 *	+80	8	the highest LSN of its records: a volume on which either went
 *			back was put back
 *	+88	32	BLAKE3-256 of the bytes before; then zeros
 *	+1024	-	8 bytes a record: its hash; 0: not in use
 */
#ifndef AGENT_MAP_NTFS_COMPARE_H
#define AGENT_MAP_NTFS_COMPARE_H

#include <stdint.h>

struct changes;
struct chunk_id;
struct chunk_keys;
struct err;
struct ntfs;
struct ntfs_compare;
struct ntfs_record;

/* Which files are always read. */
struct ntfs_compare_rules {
	uint64_t large;	   /* Bytes; 0: however large, it says nothing. */
	uint32_t recent_s; /* Changed so many seconds before the cut; 0: the same. */
	const char
	    *types; /* "mdf vhdx sam": last parts of names, or names without any. */
};

/* `rules` is borrowed.  ERR_NOMEM. */
int ntfs_compare_new(
    const struct ntfs_compare_rules *rules, struct ntfs_compare **out, struct err *err);
void ntfs_compare_free(struct ntfs_compare *c);

/* What is compared with what, from now on; all is borrowed. */
struct ntfs_compare_task {
	struct changes *changes;     /* NULL: the hashes are only kept. */
	const char *old_path;	     /* Those of the newest point, */
	const struct chunk_id *base; /* by its root; NULL: there is none. */
	const char *new_path;
	const struct chunk_keys *keys;
	int64_t cut_us; /* When the volume was frozen, since 1970. */
};
void ntfs_compare_task(struct ntfs_compare *c, const struct ntfs_compare_task *task);

/* The map is made once more: what was found out of the records is not so. */
void ntfs_compare_again(struct ntfs_compare *c);

/* Was there an NTFS to compare since then?  1 or 0. */
int ntfs_compare_done(const struct ntfs_compare *c);

/* The new hashes are those of the tree of `root`. */
int ntfs_compare_seal(
    const struct ntfs_compare *c, const struct chunk_id *root, struct err *err);

/* ------------------------------------------------------ for ntfs_scan.c alone -- */

/* The records follow, once each and in order. */
int ntfs_compare_begin(struct ntfs_compare *c, const struct ntfs *v, struct err *err);

/* The next record, as it lies on the disk, in use or not. */
void ntfs_compare_raw(struct ntfs_compare *c, const uint8_t *p, uint32_t len);

/* The same, if it is in use and whole: record `n`. */
void ntfs_compare_record(struct ntfs_compare *c, const struct ntfs *v, uint32_t n,
    const struct ntfs_record *r);

/* That was the last; non-zero `damaged`: some made no sense. */
void ntfs_compare_end(struct ntfs_compare *c, int damaged);

#endif /* AGENT_MAP_NTFS_COMPARE_H */
