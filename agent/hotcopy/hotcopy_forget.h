/*
 * hotcopy_forget.h - the driver hears that a volume was written over.
 *
 * A restore to a whole disk passes the volumes' own stacks by, so the driver sees nothing
 * of it; and a tracking store that came back with a volume says what was true once.
 */
#ifndef AGENT_HOTCOPY_HOTCOPY_FORGET_H
#define AGENT_HOTCOPY_HOTCOPY_FORGET_H

struct err;

/*
 * What is tracked of the volume at `path` is worth nothing from now on: the next backup
 * compares all.  0 also where there is nothing to forget: no driver, or it is not above
 * that volume, or does not track it.  -1: it does, and could not be told; or it is of
 * another version and may.
 */
int hotcopy_forget(const char *path, struct err *err);

#endif /* AGENT_HOTCOPY_HOTCOPY_FORGET_H */
