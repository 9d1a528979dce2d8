/*
 * match.h - which disk of the machine takes which disk of the point.
 *
 * Nothing is written to a disk that was neither matched here nor named by a person,
 * and a match is never a guess:
 *
 *	1. the same serial;
 *	2. the same size and model, and only one such on either side; then the same
 *	   size alone, likewise;
 *	3. no choice left: a disk of the point that only one free disk can take.
 *
 * Whatever stays open refuses the whole.  Pure.
 */
#ifndef RESCUE_MATCH_H
#define RESCUE_MATCH_H

#include <stddef.h>

#include "proto/layout/layout.h"
#include "rescue/machine.h"

struct err;

#define MATCH_TEXT_MAX 200u

enum match_why {
	MATCH_NOT,
	MATCH_SERIAL,
	MATCH_SIZE_MODEL,
	MATCH_SIZE,
	MATCH_ONLY,
	MATCH_NAMED /* By a person. */
};

struct match {
	int to[LAYOUT_DISKS_MAX]; /* By disk of the layout: index in the machine, -1. */
	enum match_why why[LAYOUT_DISKS_MAX];
};

/*
 * May disk `disk` of the point be written to `target` as to room and sectors?  1, or
 * 0 with the reason in `why`: "too small by 4096 bytes".
 */
typedef int match_fits(void *arg, unsigned disk, const struct machine_disk *target,
    char why[MATCH_TEXT_MAX]);

/* Leave all disks out; match_name() or match_find() follow. */
void match_clear(struct match *m);

/*
 * Find a place for every disk of `l`.  `say` gets one line for each disk that has
 * none, and for each disk of the machine why not that one; may be NULL.
 * ERR_NOTFOUND: nothing fits; ERR_EXISTS: more than one would do.
 */
int match_find(const struct layout *l, const struct machine *machine, match_fits *fits,
    void *fits_arg, void (*say)(void *arg, const char *line), void *say_arg,
    struct match *out, struct err *err);

/*
 * A person says that disk `name` of the point goes to `device`.  What cannot be is
 * refused all the same: ERR_NOTFOUND, ERR_EXISTS (taken), ERR_UNSUPPORTED (does
 * not fit, read-only).
 */
int match_name(const struct layout *l, const struct machine *machine, match_fits *fits,
    void *fits_arg, const char *name, const char *device, struct match *m,
    struct err *err);

/* "same serial"; static. */
const char *match_words(enum match_why why);

#endif /* RESCUE_MATCH_H */
