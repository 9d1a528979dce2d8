/*
 * setup.h - hotcopy.sys becomes a part of this Windows, and is taken out of it again; for
 * hotcopyctl and the agent.
 *
 * A filter that is named in a stack and has no file keeps Windows from starting.  So the
 * order is fixed: file, service, parameters, and the name last; removed the other way
 * round, and file and service stay as long as any place names it.  Filters are named in
 * UpperFilters and LowerFilters of the class, and of single devices, to which an upgrade
 * of Windows moves them (support.microsoft.com kb 976267), in every control set, for the
 * last known good one starts, too.
 *
 * Windows only; for administrators.  Wide strings, as driver/abi/names.h has them.
 */
#ifndef DRIVER_SETUP_SETUP_H
#define DRIVER_SETUP_SETUP_H

#include <stddef.h>
#include <stdint.h>

#define SETUP_TEXT_MAX 1024 /* Characters of one line, with its end. */
#define SETUP_PATH_MAX 1024

enum setup_result {
	SETUP_FAILED = -1, /* What was done stays done; either call may be repeated. */
	SETUP_DONE = 0,
	SETUP_LATER = 1,  /* Install: an older one runs until the start after the next;
			    remove: it runs until the next start. */
	SETUP_NOTHING = 2 /* Remove: there was nothing of it. */
};

struct setup_report {
	/* Each place that a removal looked into and changed, or could not (`bad`): a
	   line without its end.  NULL: nobody listens. */
	void (*line)(void *arg, int bad, const wchar_t *text);
	void *arg;
	wchar_t error[SETUP_TEXT_MAX]; /* Why it failed: one line. */
	uint32_t os;		       /* What Windows said; 0: we did. */
};

/* The driver's file in `directory`, or, with NULL, beside this program. */
int setup_source(
    const wchar_t *directory, wchar_t path[SETUP_PATH_MAX], struct setup_report *r);

/* Install the file, of this program's processor; again: it is replaced. */
enum setup_result setup_install(const wchar_t *path, struct setup_report *r);

enum setup_result setup_remove(struct setup_report *r);

#endif /* DRIVER_SETUP_SETUP_H */
