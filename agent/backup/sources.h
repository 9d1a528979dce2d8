/*
 * sources.h - what this host has backed up: never a target by accident.
 *
 * A file "sources" in the state: one line a volume, its name, a tab, its path.
 */
#ifndef AGENT_BACKUP_SOURCES_H
#define AGENT_BACKUP_SOURCES_H

#include "agent/host/settings.h"
#include "agent/host/state.h"

struct err;

/* Remember the paths of these volumes, in place of older ones of the same names. */
int
sources_note(const struct state *st, const struct settings *settings, struct err *err);

/*
 * Is `path` (any name of it: a link, another device node) a volume that was
 * backed up or is configured?  1 and its name, 0, -1.
 */
int sources_has(const struct state *st, const struct settings *settings, const char *path,
    char name[SETTINGS_NAME_MAX], struct err *err);

#endif /* AGENT_BACKUP_SOURCES_H */
