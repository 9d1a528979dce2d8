#include "agent/backup/sources.h"

#include <stdlib.h>
#include <string.h>

#include "agent/disk/target_check.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

/*
 * Go through the lines of `file` (ended by a NUL): the next line's name and
 * path, or 0.  Cuts the line into its parts.
 */
static int
next_line(char **at, char **name, char **path)
{
	char *line = *at, *end, *tab;

	while (*line != '\0') {
		end = line + strcspn(line, "\n");
		*at = *end == '\0' ? end : end + 1;
		*end = '\0';
		if ((tab = strchr(line, '\t')) != NULL) {
			*tab = '\0';
			*name = line;
			*path = tab + 1;
			return 1;
		}
		line = *at;
	}
	return 0;
}

/* The file's text with a NUL; "" if there is none. */
static int
load(const struct state *st, struct buf *out, struct err *err)
{
	if (state_read(st, "sources", out, err) < 0)
		return -1;
	return buf_add_u8(out, 0, err);
}

static int
add_line(struct buf *out, const char *name, const char *path, struct err *err)
{
	/* A path with a newline cannot be kept; nothing else is lost by that. */
	if (strchr(path, '\n') != NULL)
		return 0;
	if (buf_add(out, name, strlen(name), err) != 0 ||
	    buf_add_u8(out, '\t', err) != 0 || buf_add(out, path, strlen(path), err) != 0)
		return -1;
	return buf_add_u8(out, '\n', err);
}

static int
named(const struct settings *s, const char *name)
{
	const struct settings_volume *v;

	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++)
		if (strcmp(v->name, name) == 0)
			return 1;
	return 0;
}

int
sources_note(const struct state *st, const struct settings *settings, struct err *err)
{
	struct buf was = BUF_INIT(STATE_FILE_MAX), old = BUF_INIT(STATE_FILE_MAX),
		   new = BUF_INIT(STATE_FILE_MAX);
	char *real = NULL, *at, *name, *path;
	const struct settings_volume *v;
	int rc = -1;

	/* Its lines are cut apart below. */
	if (load(st, &old, err) != 0 || buf_add(&was, old.p, old.len - 1, err) != 0)
		goto out;
	at = (char *)old.p;
	while (next_line(&at, &name, &path))
		if (!named(settings, name) && add_line(&new, name, path, err) != 0)
			goto out;
	for (unsigned i = 0; (v = settings_source(settings, i)) != NULL; i++) {
		free(real);
		real = target_check_name(v->path);
		if (real != NULL && add_line(&new, v->name, real, err) != 0)
			goto out;
	}
	rc = was.len == new.len && (new.len == 0 || memcmp(was.p, new.p, new.len) == 0)
		 ? 0
		 : state_write(st, "sources", new.p, new.len, 0600, err);
out:
	free(real);
	buf_free(&was);
	buf_free(&old);
	buf_free(&new);
	return rc;
}

int
sources_has(const struct state *st, const struct settings *settings, const char *path,
    char name[SETTINGS_NAME_MAX], struct err *err)
{
	struct buf old = BUF_INIT(STATE_FILE_MAX);
	const struct settings_volume *v;
	char *at, *which, *source;
	int found = 0;

	for (unsigned i = 0; !found && (v = settings_source(settings, i)) != NULL; i++)
		if (target_check_same(v->path, path)) {
			strcpy(name, v->name);
			found = 1;
		}
	if (!found && load(st, &old, err) != 0)
		found = -1;
	at = (char *)old.p;
	while (found == 0 && next_line(&at, &which, &source))
		if (strlen(which) < SETTINGS_NAME_MAX &&
		    target_check_same(source, path)) {
			strcpy(name, which);
			found = 1;
		}
	buf_free(&old);
	return found;
}
