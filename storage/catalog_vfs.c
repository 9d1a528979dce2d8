#include "storage/catalog_vfs.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/fs.h"

struct catalog_vfs {
	sqlite3_vfs vfs; /* First: SQLite hands us this. */
	struct fs *fs;
	char name[40];
	int failed;
	struct err last;
};

struct vfs_file {
	sqlite3_file base; /* First: SQLite hands us this. */
	struct catalog_vfs *v;
	struct fs_file *f;
	int fresh; /* Its name is not durable yet. */
};

static struct catalog_vfs *
of(sqlite3_vfs *vfs)
{
	return (struct catalog_vfs *)vfs;
}

/* SQLite's number for what the layer said; `rc` for all that has none of its own. */
static int
tell(struct catalog_vfs *v, const struct err *err, int rc)
{
	v->last = *err;
	switch (err->code) {
	case ERR_NOSPACE:
		return SQLITE_FULL;
	case ERR_NOMEM:
		return SQLITE_IOERR_NOMEM;
	case ERR_BUSY:
		return SQLITE_BUSY;
	default:
		return rc;
	}
}

/* ------------------------------------------------------------------ a file -- */

static int
file_close(sqlite3_file *file)
{
	fs_close(((struct vfs_file *)file)->f);
	return SQLITE_OK;
}

static int
file_read(sqlite3_file *file, void *p, int len, sqlite3_int64 offset)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct err err = ERR_INIT;
	size_t got;

	if (fs_pread(f->f, p, (size_t)len, (uint64_t)offset, &got, &err) != 0)
		return tell(f->v, &err, SQLITE_IOERR_READ);
	if (got == (size_t)len)
		return SQLITE_OK;
	memset((char *)p + got, 0, (size_t)len - got);
	return SQLITE_IOERR_SHORT_READ;
}

static int
file_write(sqlite3_file *file, const void *p, int len, sqlite3_int64 offset)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct err err = ERR_INIT;

	if (f->v->failed)
		return SQLITE_IOERR_WRITE;
	if (fs_pwrite(f->f, p, (size_t)len, (uint64_t)offset, &err) != 0)
		return tell(f->v, &err, SQLITE_IOERR_WRITE);
	return SQLITE_OK;
}

static int
file_truncate(sqlite3_file *file, sqlite3_int64 len)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct err err = ERR_INIT;

	if (f->v->failed)
		return SQLITE_IOERR_TRUNCATE;
	if (fs_truncate(f->f, (uint64_t)len, &err) != 0)
		return tell(f->v, &err, SQLITE_IOERR_TRUNCATE);
	return SQLITE_OK;
}

static int
file_sync(sqlite3_file *file, int flags)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct err err = ERR_INIT;
	int bad;

	if (f->v->failed)
		return SQLITE_IOERR_FSYNC;
	bad =
	    flags & SQLITE_SYNC_DATAONLY ? fs_datasync(f->f, &err) : fs_sync(f->f, &err);
	/* A log that may vanish by name holds nothing. */
	if (!bad && f->fresh)
		bad = fs_sync_dir(f->v->fs, ".", &err);
	if (bad) {
		f->v->failed = 1;
		(void)tell(f->v, &err, 0);
		return SQLITE_IOERR_FSYNC;
	}
	f->fresh = 0;
	return SQLITE_OK;
}

static int
file_size(sqlite3_file *file, sqlite3_int64 *len)
{
	struct vfs_file *f = (struct vfs_file *)file;
	struct err err = ERR_INIT;
	uint64_t n;

	if (fs_size(f->f, &n, &err) != 0)
		return tell(f->v, &err, SQLITE_IOERR_FSTAT);
	*len = (sqlite3_int64)n;
	return SQLITE_OK;
}

static int
file_lock(sqlite3_file *file, int how)
{
	(void)file;
	(void)how;
	return SQLITE_OK;
}

static int
file_reserved(sqlite3_file *file, int *yes)
{
	(void)file;
	*yes = 0;
	return SQLITE_OK;
}

static int
file_control(sqlite3_file *file, int op, void *arg)
{
	(void)file;
	(void)op;
	(void)arg;
	return SQLITE_NOTFOUND;
}

static int
file_sector(sqlite3_file *file)
{
	(void)file;
	return 4096;
}

/* What SQLite takes for granted on Unix, too: a torn write hurts no byte outside it. */
static int
file_traits(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods file_methods = {
	.iVersion = 1,
	.xClose = file_close,
	.xRead = file_read,
	.xWrite = file_write,
	.xTruncate = file_truncate,
	.xSync = file_sync,
	.xFileSize = file_size,
	.xLock = file_lock,
	.xUnlock = file_lock,
	.xCheckReservedLock = file_reserved,
	.xFileControl = file_control,
	.xSectorSize = file_sector,
	.xDeviceCharacteristics = file_traits,
};

/* --------------------------------------------------------------- the files -- */

/* 1 if it is there, and its length. */
static int
look(struct catalog_vfs *v, const char *name, uint64_t *len, struct err *err)
{
	struct fs_file *f;
	int bad;

	*len = 0;
	if (fs_open(v->fs, name, FS_READ, &f, err) != 0) {
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
		return 0;
	}
	bad = fs_size(f, len, err);
	fs_close(f);
	return bad ? -1 : 1;
}

static int
vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *did)
{
	struct vfs_file *f = (struct vfs_file *)file;
	unsigned how = flags & SQLITE_OPEN_READWRITE ? FS_WRITE : FS_READ;
	struct err err = ERR_INIT;
	uint64_t len;
	int is;

	f->base.pMethods = NULL;
	if (name == NULL)
		return SQLITE_CANTOPEN;
	f->v = of(vfs);
	if ((is = look(f->v, name, &len, &err)) < 0)
		return tell(f->v, &err, SQLITE_CANTOPEN);
	f->fresh = !is;
	if (!is && (flags & SQLITE_OPEN_CREATE))
		how |= FS_CREATE;
	if (fs_open(f->v->fs, name, how, &f->f, &err) != 0)
		return tell(f->v, &err, SQLITE_CANTOPEN);
	if ((flags & SQLITE_OPEN_MAIN_DB) && (how & FS_WRITE) &&
	    fs_lock(f->f, &err) != 0) {
		fs_close(f->f);
		return tell(f->v, &err, SQLITE_CANTOPEN);
	}
	f->base.pMethods = &file_methods;
	if (did != NULL)
		*did = flags;
	return SQLITE_OK;
}

static int
vfs_delete(sqlite3_vfs *vfs, const char *name, int sync_dir)
{
	struct catalog_vfs *v = of(vfs);
	struct err err = ERR_INIT;

	if (v->failed)
		return SQLITE_IOERR_DELETE;
	if (fs_unlink(v->fs, name, &err) != 0)
		return err.code == ERR_NOTFOUND ? SQLITE_IOERR_DELETE_NOENT
						: tell(v, &err, SQLITE_IOERR_DELETE);
	if (sync_dir && fs_sync_dir(v->fs, ".", &err) != 0) {
		v->failed = 1;
		(void)tell(v, &err, 0);
		return SQLITE_IOERR_DIR_FSYNC;
	}
	return SQLITE_OK;
}

/* As on Unix an empty file does not count. */
static int
vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *yes)
{
	struct err err = ERR_INIT;
	uint64_t len;
	int is = look(of(vfs), name, &len, &err);

	if (is < 0)
		return tell(of(vfs), &err, SQLITE_IOERR_ACCESS);
	*yes = is && (flags != SQLITE_ACCESS_EXISTS || len > 0);
	return SQLITE_OK;
}

static int
vfs_full_name(sqlite3_vfs *vfs, const char *name, int cap, char *out)
{
	(void)vfs;
	return snprintf(out, (size_t)cap, "%s", name) < cap ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* Chance and time are the system's. */
static int
vfs_random(sqlite3_vfs *vfs, int len, char *out)
{
	sqlite3_vfs *real = vfs->pAppData;

	return real->xRandomness(real, len, out);
}

static int
vfs_sleep(sqlite3_vfs *vfs, int us)
{
	sqlite3_vfs *real = vfs->pAppData;

	return real->xSleep(real, us);
}

static int
vfs_time(sqlite3_vfs *vfs, double *days)
{
	sqlite3_vfs *real = vfs->pAppData;

	return real->xCurrentTime(real, days);
}

static int
vfs_error(sqlite3_vfs *vfs, int cap, char *text)
{
	if (cap > 0)
		(void)snprintf(text, (size_t)cap, "%s", of(vfs)->last.text);
	return of(vfs)->last.os;
}

/* -------------------------------------------------------------- registering -- */

int
catalog_vfs_new(struct fs *fs, struct catalog_vfs **out, struct err *err)
{
	struct catalog_vfs *v = calloc(1, sizeof(*v));
	sqlite3_vfs *real = sqlite3_vfs_find(NULL);

	if (v == NULL || real == NULL) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory for the catalog's files");
	}
	v->fs = fs;
	/* Found by name: each needs one of its own. */
	(void)snprintf(v->name, sizeof(v->name), "holdfast-%p", (void *)v);
	v->vfs.iVersion = 1;
	v->vfs.szOsFile = (int)sizeof(struct vfs_file);
	v->vfs.mxPathname = FS_NAME_MAX;
	v->vfs.zName = v->name;
	v->vfs.pAppData = real;
	v->vfs.xOpen = vfs_open;
	v->vfs.xDelete = vfs_delete;
	v->vfs.xAccess = vfs_access;
	v->vfs.xFullPathname = vfs_full_name;
	v->vfs.xRandomness = vfs_random;
	v->vfs.xSleep = vfs_sleep;
	v->vfs.xCurrentTime = vfs_time;
	v->vfs.xGetLastError = vfs_error;
	if (sqlite3_vfs_register(&v->vfs, 0) != SQLITE_OK) {
		free(v);
		return err_set(err, ERR_NOMEM, "no memory for the catalog's files");
	}
	*out = v;
	return 0;
}

void
catalog_vfs_free(struct catalog_vfs *v)
{
	if (v == NULL)
		return;
	(void)sqlite3_vfs_unregister(&v->vfs);
	free(v);
}

const char *
catalog_vfs_name(const struct catalog_vfs *v)
{
	return v->name;
}

int
catalog_vfs_failed(const struct catalog_vfs *v)
{
	return v->failed;
}

const struct err *
catalog_vfs_error(const struct catalog_vfs *v)
{
	return &v->last;
}

void
catalog_vfs_clear(struct catalog_vfs *v)
{
	v->failed = 0;
	v->last = (struct err)ERR_INIT;
}
