/*
 * suspect.h - the note that a list of changes was wrong: VOLUME=suspect beside the
 * volume's tree.
 *
 * It is made before anything else is done about it, and goes when a point has read all:
 * whatever ends in between, the server hears of it and nothing of then is kept.  One line:
 * whether the server knows (0 or 1), after which point all are suspect, how it was found.
 */
#ifndef AGENT_BACKUP_SUSPECT_H
#define AGENT_BACKUP_SUSPECT_H

#include <stdint.h>

struct err;
struct state;

struct suspect {
	int told;	/* The server knows. */
	uint64_t since; /* Points after this one; 0: all. */
	char how[160];
};

/* As file_store(). */
int suspect_store(const char *path, const struct suspect *s, struct err *err);

/*
 * 1; 0: there is none; -1 only without memory.  One that cannot be read is believed at its
 * worst, and `how` is a line of UTF-8 whatever lies there.
 */
int suspect_load(const char *path, struct suspect *out, struct err *err);

/*
 * Call `each` with those of a state directory and their volumes' names, until it returns
 * non-zero: that, or 0; -1 if they cannot be listed.
 */
int suspect_each(const struct state *st,
    int (*each)(void *arg, const char *volume, const struct suspect *s), void *arg,
    struct err *err);

#endif /* AGENT_BACKUP_SUSPECT_H */
