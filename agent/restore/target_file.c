#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/disk/target_check.h"
#include "agent/restore/target.h"
#include "agent/restore/target_medium.h"
#include "proto/base/err.h"
#include "proto/base/file.h"

struct target_file {
	struct target_medium m;
	struct file *f;
	char *partial; /* NULL: in place, or under its name already. */
};

static int
file_medium_read(
    struct target_medium *m, uint64_t offset, uint8_t *out, size_t len, struct err *err)
{
	return file_read_all(((struct target_file *)m)->f, offset, out, len, err);
}

static int
file_medium_write(struct target_medium *m, uint64_t offset, const uint8_t *p, size_t len,
    struct err *err)
{
	return file_write(((struct target_file *)m)->f, offset, p, len, err);
}

static int
file_medium_zero(struct target_medium *m, uint64_t offset, uint64_t len)
{
	struct err ignored = ERR_INIT;

	return file_zero(((struct target_file *)m)->f, offset, len, &ignored) == 0;
}

static void
file_medium_onward(struct target_medium *m)
{
	target_check_onward(file_handle(((struct target_file *)m)->f));
}

static int
file_medium_settle(struct target_medium *m, struct err *err)
{
	struct file *f = ((struct target_file *)m)->f;

	if (file_sync(f, err) != 0)
		return -1;
	target_check_forget(file_handle(f));
	return 0;
}

static int
file_medium_grow(struct target_medium *m, uint64_t size, struct err *err)
{
	return file_truncate(((struct target_file *)m)->f, size, err);
}

static int
file_medium_room(struct target_medium *m, uint64_t *out, struct err *err)
{
	return file_room(((struct target_file *)m)->f, out, err);
}

static int
file_medium_finish(struct target_medium *m, struct err *err)
{
	struct target_file *t = (struct target_file *)m;

	if (file_sync(t->f, err) != 0)
		return -1;
	if (t->partial == NULL)
		return 0;
	/* Still locked: nobody else's restore gets hold of it meanwhile. */
	if (file_replace(t->partial, m->path, err) != 0)
		return -1;
	free(t->partial);
	t->partial = NULL;
	return 0;
}

static void
file_medium_close(struct target_medium *m)
{
	struct target_file *t = (struct target_file *)m;
	struct err ignored = ERR_INIT;

	file_close(t->f);
	if (t->partial != NULL)
		(void)file_remove(t->partial, &ignored);
	free(t->partial);
	free(m->path);
	free(t);
}

static const struct target_medium_ops file_ops = {
	.read = file_medium_read,
	.write = file_medium_write,
	.zero = file_medium_zero,
	.onward = file_medium_onward,
	.settle = file_medium_settle,
	.grow = file_medium_grow,
	.room = file_medium_room,
	.finish = file_medium_finish,
	.close = file_medium_close,
};

static int
open_in_place(struct target_file *t, struct err *err)
{
	t->m.in_place = 1;
	if (file_open(t->m.path, FILE_TO_WRITE, &t->f, err) != 0 ||
	    target_check_lock(t->f, t->m.path, err) != 0)
		return -1;
	return file_truncate(t->f, t->m.size, err);
}

static int
open_partial(struct target_file *t, unsigned flags, struct err *err)
{
	size_t len = strlen(t->m.path) + sizeof(".partial");
	char *partial = malloc(len);

	if (partial == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	(void)snprintf(partial, len, "%s.partial", t->m.path);
	if (file_open(partial, FILE_TO_WRITE | FILE_TO_MAKE | FILE_NO_LINK, &t->f, err) !=
		0 ||
	    target_check_lock(t->f, partial, err) != 0) {
		free(partial);
		return -1;
	}
	/* From here on it is ours, also to remove. */
	t->partial = partial;
	t->m.fresh = 1;
	/* Windows attaches no virtual disk whose file is sparse (error 0xc03a001a). */
	if ((flags & TARGET_VHDX) == 0)
		file_make_sparse(t->f);
	if (file_truncate(t->f, 0, err) != 0)
		return -1;
	return file_truncate(t->f, t->m.size, err);
}

/* A file that exists: may it be written, and how? */
static int
check_existing(
    const struct target_file *t, enum file_kind kind, unsigned flags, struct err *err)
{
	struct file *f = NULL;
	uint64_t size = 0;
	int rc;

	if (kind != FILE_IS_FILE)
		return err_set(err, ERR_UNSUPPORTED,
		    "%s: neither a file nor a block device", t->m.path);
	/* Also what is only replaced must not be in use. */
	if (target_check_use(t->m.path, err) != 0 ||
	    file_open(t->m.path, FILE_TO_WRITE, &f, err) != 0)
		return -1;
	rc = file_size(f, &size, err);
	if (rc == 0 && size > 0 && (flags & (TARGET_KEEP | TARGET_REPLACE)) == 0)
		rc = err_set(err, ERR_EXISTS,
		    "%s: exists; --force replaces it, --delta rewrites what differs",
		    t->m.path);
	if (rc == 0)
		rc = target_check_lock(f, t->m.path, err);
	file_close(f);
	return rc;
}

static int
open_checked(struct target_file *t, unsigned flags, struct err *err)
{
	enum file_kind kind;

	if (file_kind(t->m.path, &kind, err) != 0)
		return -1;
	if (kind != FILE_IS_NOTHING) {
		if (check_existing(t, kind, flags, err) != 0)
			return -1;
		return (flags & TARGET_KEEP) != 0 ? open_in_place(t, err)
						  : open_partial(t, flags, err);
	}
	if (strncmp(t->m.path, "/dev/", 5) == 0)
		return err_set(err, ERR_NOTFOUND, "%s: no such device", t->m.path);
	if ((flags & TARGET_KEEP) != 0)
		return err_set(err, ERR_NOTFOUND,
		    "%s: there is nothing to compare with; leave out --delta", t->m.path);
	return open_partial(t, flags, err);
}

int
target_medium_file(const char *path, uint64_t size, unsigned flags,
    struct target_medium **out, struct err *err)
{
	struct target_file *t = calloc(1, sizeof(*t));

	/* A link is followed now, so that renaming replaces what it points to. */
	if (t != NULL && (t->m.path = file_real_path(path)) == NULL)
		t->m.path = strdup(path);
	if (t == NULL || t->m.path == NULL) {
		free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	t->m.ops = &file_ops;
	t->m.size = size;
	if (open_checked(t, flags, err) != 0) {
		file_medium_close(&t->m);
		return -1;
	}
	*out = &t->m;
	return 0;
}
