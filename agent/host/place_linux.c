#include "agent/host/place.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"

_Static_assert(PLACE_PATH_MAX >= PATH_MAX, "what realpath() writes");

int
place_make_private(const char *dir, char note[PLACE_NOTE_MAX], struct err *err)
{
	struct err why = ERR_INIT;

	note[0] = '\0';
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return err_os(err, errno, "%s", dir);
	if (place_private(dir, &why) != 0)
		strcpy(note, why.text);
	return 0;
}

int
place_private(const char *dir, struct err *err)
{
	struct stat s;

	if (stat(dir, &s) != 0)
		return err_os(err, errno, "%s", dir);
	if (s.st_uid != 0 && s.st_uid != geteuid())
		return err_set(
		    err, ERR_DENIED, "%s: belongs to user %u", dir, (unsigned)s.st_uid);
	if ((s.st_mode & 022) != 0)
		return err_set(err, ERR_DENIED,
		    "%s: others may write it (mode %03o); say chmod go-w", dir,
		    (unsigned)(s.st_mode & 07777));
	return 0;
}

/* Whoever owns it or may write it can put something else there. */
static int
check(const char *path, int is_dir, struct err *err)
{
	struct stat s;

	if (lstat(path, &s) != 0)
		return err_os(err, errno, "%s", path);
	if (s.st_uid != 0 && s.st_uid != geteuid())
		return err_set(err, ERR_DENIED,
		    "belongs to user %u, not to root: chown root '%s'",
		    (unsigned)s.st_uid, path);
	/* In a sticky directory nobody touches what is not his. */
	if ((s.st_mode & 022) != 0 && !(is_dir && (s.st_mode & S_ISVTX) != 0))
		return err_set(err, ERR_DENIED,
		    "others than root may write it: chmod go-w '%s'", path);
	return 0;
}

int
place_trusted(const char *path, char *real, struct err *err)
{
	char dir[PLACE_PATH_MAX];
	struct stat s;
	char *slash;

	if (path[0] != '/')
		return err_set(err, ERR_DENIED, "%s: say the full path", path);
	if (realpath(path, real) == NULL || stat(real, &s) != 0)
		return err_os(err, errno, "%s", path);
	if (!S_ISREG(s.st_mode))
		return err_set(err, ERR_UNSUPPORTED, "%s: not a file", path);
	strcpy(dir, real);
	if (check(dir, 0, err) != 0)
		return err_context(err, "%s: not trusted", path);
	while ((slash = strrchr(dir, '/')) != NULL) {
		slash[slash == dir] = '\0';
		if (check(dir, 1, err) != 0)
			return err_context(err, "%s: not trusted", path);
		if (slash == dir)
			break;
	}
	return 0;
}
