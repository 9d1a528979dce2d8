#include <windows.h>

#include <stdio.h>
#include <stdlib.h>

#include "agent/cli/command.h"
#include "agent/cli/command_driver.h"
#include "agent/host/place.h"
#include "driver/setup/setup.h"
#include "proto/base/err.h"
#include "proto/base/winapi.h"

static void
tell(void *arg, int bad, const wchar_t *text)
{
	char *utf8 = winapi_utf8(text);

	(void)arg;
	if (utf8 != NULL && bad)
		command_say(NULL, utf8);
	else if (utf8 != NULL)
		puts(utf8);
	free(utf8);
}

/* Its error as ours. */
static int
fail(const struct setup_report *r, const char *what, struct err *err)
{
	char *utf8 = winapi_utf8(r->error);

	if (r->os == ERROR_ACCESS_DENIED)
		err_set(err, ERR_DENIED,
		    "%s: only an administrator may: open an elevated shell", what);
	else
		err_set(err,
		    r->os == ERROR_FILE_NOT_FOUND || r->os == ERROR_PATH_NOT_FOUND
			? ERR_NOTFOUND
			: ERR_IO,
		    "%s: %s", what, utf8 != NULL ? utf8 : "out of memory");
	err->os = (int)r->os;
	free(utf8);
	return -1;
}

/* What becomes a part of the kernel must be nobody's to change until then. */
static wchar_t *
trusted(const wchar_t *path, struct err *err)
{
	char real[PLACE_PATH_MAX], *utf8 = winapi_utf8(path);
	wchar_t *wide = NULL;

	if (utf8 == NULL)
		err_set(err, ERR_NOMEM, "out of memory");
	else if (place_trusted(utf8, real, err) != 0)
		err_context(err, "driver install");
	else if ((wide = winapi_wide(real)) == NULL)
		err_set(err, ERR_NOMEM, "out of memory");
	free(utf8);
	return wide;
}

int
command_driver_install(const char *dir, struct err *err)
{
	struct setup_report r = { .line = tell };
	wchar_t path[SETUP_PATH_MAX], *directory = NULL, *real;
	enum setup_result done;

	if (dir != NULL && (directory = winapi_path(dir)) == NULL)
		return err_set(err, ERR_LIMIT, "--dir %.100s: no such path", dir);
	done = setup_source(directory, path, &r);
	free(directory);
	if (done == SETUP_FAILED)
		return fail(&r, "driver install", err);
	if ((real = trusted(path, err)) == NULL)
		return -1;
	done = setup_install(real, &r);
	free(real);
	if (done == SETUP_FAILED)
		return fail(&r, "driver install", err);
	puts(
	    done == SETUP_DONE
		? "installed; restart the machine: volumes get the filter when they start"
		: "the driver that runs is replaced while the machine starts the next "
		  "time, and used from the start after that");
	return 0;
}

int
command_driver_remove(struct err *err)
{
	struct setup_report r = { .line = tell };

	switch (setup_remove(&r)) {
	case SETUP_FAILED:
		return fail(&r, "driver remove", err);
	case SETUP_LATER:
		puts("removed; the driver runs until the machine is restarted");
		return 0;
	case SETUP_NOTHING:
		puts("there was nothing of it");
		return 0;
	default:
		puts("removed");
		return 0;
	}
}
