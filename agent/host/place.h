/*
 * place.h - who else may change what lies at a path.
 *
 * The agent runs as root or LocalSystem, so a directory or a script that others may
 * write makes them root too.  The classical attack: C:\ProgramData lets anybody make
 * a directory, so one makes "Holdfast" before it is installed and stays its owner.
 */
#ifndef AGENT_HOST_PLACE_H
#define AGENT_HOST_PLACE_H

struct err;

/*
 * Make `dir` for administrators (and the system, root) alone, or see to it that it
 * is so: a directory of theirs that others may use gets its access list anew; an
 * empty one of somebody else goes and is made again; one of somebody else with
 * something in it, or a link, is ERR_DENIED with what to do.  `note` gets what a person
 * must know: that others could write what lies in it; else "".
 */
#define PLACE_NOTE_MAX 240
int place_make_private(const char *dir, char note[PLACE_NOTE_MAX], struct err *err);

/*
 * Only administrators (root, or who we are) can change the file `path`, put another
 * in its place or something beside it: 0, else ERR_DENIED with who can.  Links are
 * followed; `real` (PLACE_PATH_MAX bytes) gets where they end, which is what is to be
 * used.
 */
#define PLACE_PATH_MAX 4096
int place_trusted(const char *path, char *real, struct err *err);

/* What is wrong with an existing directory of ours, to be said; 0 if nothing is. */
int place_private(const char *dir, struct err *err);

#endif /* AGENT_HOST_PLACE_H */
