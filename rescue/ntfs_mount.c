#include "rescue/ntfs_mount.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "agent/map/ntfs_usage.h"
#include "agent/map/volmap.h"
#include "agent/restore/target.h"
#include "proto/base/err.h"
#include "rescue/child.h"
#include "rescue/view.h"

/* For ntfs-3g to write what it holds, after its mount is gone. */
#define SETTLE_MS (10u * 60 * 1000)

struct ntfs_mount {
	struct view *view;
	char dir[256];
	int made, mounted;
};

static int
read_window(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	return target_read(arg, offset, buf, len, err);
}

/* What ntfs-3g would do to a log with work left in it is to forget that work. */
static int
check_clean(struct target *window, uint64_t length, struct err *err)
{
	struct volmap_source src = {
		.read = read_window, .arg = window, .size = length, .sector_size = 512
	};
	struct ntfs_usage usage;
	int got = ntfs_usage(&src, &usage, err);

	if (got == 0)
		return err_set(err, ERR_UNSUPPORTED, "the volume is no NTFS");
	if (got < 0)
		return -1;
	if (!usage.log_clean)
		return err_set(err, ERR_UNSUPPORTED,
		    "the NTFS volume's journal has work left (it was in use): nothing in "
		    "it is changed");
	return 0;
}

/* The last thing it said, for the message. */
static void
keep_line(void *arg, const char *line)
{
	(void)snprintf(arg, 160, "%.150s", line);
}

static int
mount_it(struct ntfs_mount *m, int writable, struct err *err)
{
	const char *argv[] = { "ntfs-3g", "-o",
		writable ? "rw,norecover,noatime,nodev,nosuid"
			 : "ro,noatime,nodev,nosuid",
		view_path(m->view), m->dir, NULL };
	char said[160] = "";
	struct child_job job = { .argv = argv, .line = keep_line, .arg = said };
	const char *tmp = getenv("TMPDIR");
	int status;

	(void)snprintf(m->dir, sizeof(m->dir), "%s/holdfast-mount.XXXXXX",
	    tmp != NULL && tmp[0] == '/' && strlen(tmp) < 200 ? tmp : "/tmp");
	if (mkdtemp(m->dir) == NULL)
		return err_os(err, errno, "%s", m->dir);
	m->made = 1;
	if (child_run(&job, &status, err) != 0)
		return -1;
	if (view_failure(m->view, err) != 0)
		return -1;
	if (status != 0)
		return err_set(err, ERR_UNSUPPORTED,
		    "the NTFS volume cannot be mounted (ntfs-3g: %s)", said);
	m->mounted = 1;
	view_nameless(m->view);
	return 0;
}

int
ntfs_mount_open(struct target *window, uint64_t length, int writable,
    struct ntfs_mount **out, struct err *err)
{
	struct view_config config = { { read_window, window, length },
		writable ? window : NULL, length, 0, 1 };
	struct err why = ERR_INIT;
	struct ntfs_mount *m;

	if (writable && check_clean(window, length, err) != 0)
		return -1;
	if ((m = calloc(1, sizeof(*m))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (view_open(&config, &m->view, err) != 0 || mount_it(m, writable, err) != 0) {
		(void)ntfs_mount_close(m, &why);
		return -1;
	}
	*out = m;
	return 0;
}

const char *
ntfs_mount_path(const struct ntfs_mount *m)
{
	return m->dir;
}

int
ntfs_mount_close(struct ntfs_mount *m, struct err *err)
{
	int rc = 0;

	if (m->mounted && umount2(m->dir, 0) != 0) {
		rc = err_os(err, errno, "unmounting %s", m->dir);
		(void)umount2(m->dir, MNT_DETACH);
	}
	if (m->view != NULL && view_settle(m->view, SETTLE_MS) != 0 && rc == 0)
		rc = err_set(err, ERR_TIMEOUT, "ntfs-3g does not end");
	if (m->view != NULL && rc == 0)
		rc = view_failure(m->view, err);
	view_close(m->view);
	if (m->made)
		(void)rmdir(m->dir);
	free(m);
	return rc;
}
