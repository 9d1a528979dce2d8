/*
 * brake.h - has a host begun to change as it never did?  A pure function.
 *
 * Malware that encrypts a host rewrites most of it, and what it writes does not
 * compress; who empties it leaves nothing that is new.  All show in the counts of
 * a backup, beside those of the backups before:
 *
 *	data	bytes of data in the volumes
 *	change	new plain bytes against the volumes' data, of which no more is
 *		believed than the median of those before
 *	ratio	bytes stored against new plain bytes
 *
 * A backup is out of line if one of these is far above the median of the up to
 * BRAKE_HISTORY backups before it: by six times the usual deviation from it (the
 * median of the deviations, scaled as for a normal distribution), and besides
 *
 *	change	three times the median and 10 % at least
 *	ratio	a quarter above the median and 0.85 at least; only where a
 *		hundredth of the data is new, and among backups with a mebibyte
 *		of new data, since little data says little
 *
 * or if its data is less than half of the least of theirs.
 *
 * With fewer than BRAKE_NEEDS backups before it nothing is judged.  The median
 * lets neither a first full backup nor one odd night spoil it.  Stored bytes are
 * counted by the server, new ones by the host: what it leaves out of these makes
 * the ratio larger, and less than was stored it is never believed.
 */
#ifndef STORAGE_BRAKE_H
#define STORAGE_BRAKE_H

#include <stddef.h>
#include <stdint.h>

#define BRAKE_HISTORY 32u
#define BRAKE_NEEDS 5u
#define BRAKE_TEXT_MAX 256u

/* One backup. */
struct brake_backup {
	uint64_t sequence;
	uint64_t logical; /* Bytes of data in its volumes. */
	uint64_t fresh;	  /* Plain bytes that were new. */
	uint64_t stored;  /* What these became. */
};

/*
 * Judge those of `n` backups, oldest first, that are younger than `after`.  1 for
 * the first that is out of line, with a line that gives the numbers; else 0.
 */
int brake_judge(
    const struct brake_backup *b, size_t n, uint64_t after, char text[BRAKE_TEXT_MAX]);

#endif /* STORAGE_BRAKE_H */
