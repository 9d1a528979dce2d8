#include "storage/fs_fault.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/fs_fault_inode.h"

#define NAMES_MAX 4096
#define OPS_MAX 8192

struct name {
	char name[FS_NAME_MAX + 8];
	struct fs_fault_inode *live, *safe;
};

/* A change to a directory that is not durable yet. */
struct op {
	struct fs_fault_inode *made; /* For `to`; NULL: unlink `from`. */
	char from[FS_NAME_MAX + 8], to[FS_NAME_MAX + 8];
};

struct fs_fault {
	struct fs fs;
	pthread_mutex_t lock;
	struct fs_fault_inode *inodes;
	struct name names[NAMES_MAX];
	size_t n_names;
	struct op ops[OPS_MAX]; /* Oldest first. */
	size_t n_ops;
	uint64_t rng, calls, nth, room, used;
	enum fs_fault_kind kind;
	int fired, dead, count_reads, open_files;
	void (*watch)(void *arg, uint64_t nth, const char *what, const char *name);
	void *watch_arg;
};

struct fault_file {
	struct fs_file file;
	struct fs_fault_inode *inode;
	unsigned flags;
};

/*
 * Count a call; what it must meet.  -1 with err: fail having done nothing;
 * 1 with err: a write does half first.
 */
static int
meet(
    struct fs_fault *ff, int is_read, const char *what, const char *name, struct err *err)
{
	if (ff->dead)
		return err_os(err, EIO, "%s %s after the process died", what, name);
	if (is_read && !ff->count_reads)
		return 0;
	ff->calls++;
	if (ff->watch != NULL)
		ff->watch(ff->watch_arg, ff->calls, what, name);
	if (ff->calls != ff->nth || ff->kind == FS_FAULT_NONE)
		return 0;
	ff->fired = 1;
	if (ff->kind == FS_FAULT_DIE)
		ff->dead = 1;
	(void)err_os(err,
	    ff->kind == FS_FAULT_EIO || ff->kind == FS_FAULT_DIE ? EIO : ENOSPC,
	    "%s %s (armed)", what, name);
	return ff->kind == FS_FAULT_DIE || ff->kind == FS_FAULT_SHORT ? 1 : -1;
}

static struct name *
find(struct fs_fault *ff, const char *name)
{
	for (size_t i = 0; i < ff->n_names; i++)
		if (strcmp(ff->names[i].name, name) == 0)
			return &ff->names[i];
	return NULL;
}

static struct name *
find_or_add(struct fs_fault *ff, const char *name)
{
	struct name *n = find(ff, name);

	/* A name that means nothing any more is taken over. */
	for (size_t i = 0; n == NULL && i < ff->n_names; i++)
		if (ff->names[i].live == NULL && ff->names[i].safe == NULL)
			n = &ff->names[i];
	if (n == NULL) {
		assert(ff->n_names < NAMES_MAX);
		n = &ff->names[ff->n_names++];
		memset(n, 0, sizeof(*n));
	}
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	return n;
}

static int
in_dir(const char *name, const char *dir)
{
	const char *slash = strchr(name, '/');
	size_t len = strlen(dir);

	if (strcmp(dir, ".") == 0)
		return slash == NULL;
	return slash != NULL && (size_t)(slash - name) == len &&
	       memcmp(name, dir, len) == 0;
}

static void
log_op(struct fs_fault *ff, const char *from, const char *to, struct fs_fault_inode *made)
{
	struct op *op;

	assert(ff->n_ops < OPS_MAX);
	op = &ff->ops[ff->n_ops++];
	op->made = made;
	(void)snprintf(op->from, sizeof(op->from), "%s", from);
	(void)snprintf(op->to, sizeof(op->to), "%s", to);
}

static void
make_durable(struct fs_fault *ff, const struct op *op)
{
	if (op->made != NULL)
		find_or_add(ff, op->to)->safe = op->made;
	if (op->from[0] != '\0')
		find_or_add(ff, op->from)->safe = NULL;
}

/* Take the first `keep` pending changes of `dir`; forget the rest if told so. */
static void
settle_dir(struct fs_fault *ff, const char *dir, size_t keep, int forget)
{
	size_t out = 0;

	for (size_t i = 0; i < ff->n_ops; i++) {
		struct op op = ff->ops[i];

		if (!in_dir(op.made != NULL ? op.to : op.from, dir))
			ff->ops[out++] = op;
		else if (keep > 0) {
			make_durable(ff, &op);
			keep--;
		} else if (!forget)
			ff->ops[out++] = op;
	}
	ff->n_ops = out;
}

static struct fs_fault_inode *
make_inode(struct fs_fault *ff)
{
	struct fs_fault_inode *n = calloc(1, sizeof(*n));

	if (n == NULL)
		abort();
	n->next = ff->inodes;
	ff->inodes = n;
	return n;
}

static void
resize(struct fs_fault *ff, struct fs_fault_inode *n, size_t len)
{
	if (len > n->live_cap) {
		size_t cap = n->live_cap ? n->live_cap : 4096;

		while (cap < len)
			cap *= 2;
		if ((n->live = realloc(n->live, cap)) == NULL)
			abort();
		n->live_cap = cap;
	}
	if (len > n->live_len)
		memset(n->live + n->live_len, 0, len - n->live_len);
	ff->used += len;
	ff->used -= n->live_len;
	n->live_len = len;
	n->dirty = 1;
}

/* ------------------------------------------------------------------ calls -- */

static struct fs_fault *
enter(struct fs *fs)
{
	struct fs_fault *ff = (struct fs_fault *)fs;

	(void)pthread_mutex_lock(&ff->lock);
	return ff;
}

static int
leave(struct fs_fault *ff, int ret)
{
	(void)pthread_mutex_unlock(&ff->lock);
	return ret;
}

static int
fault_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	struct fs_fault *ff = enter(fs);
	struct name *n = find(ff, name);
	struct fault_file *f;
	const char *slash = strchr(name, '/');
	char dir[FS_NAME_MAX] = ".";
	int make = n == NULL || n->live == NULL;

	if (make && !(flags & FS_CREATE))
		return leave(ff, ff->dead ? meet(ff, 1, "open", name, err)
					  : err_os(err, ENOENT, "open %s", name));
	if (!make && (flags & FS_EXCLUSIVE))
		return leave(ff, err_os(err, EEXIST, "open %s", name));
	if (slash != NULL) {
		(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - name), name);
		n = find(ff, dir);
		if (n == NULL || n->live == NULL || !n->live->is_dir)
			return leave(ff, err_os(err, ENOENT, "open %s", name));
	}
	if (meet(ff, !make, "open", name, err) != 0)
		return leave(ff, -1);
	if ((f = calloc(1, sizeof(*f))) == NULL)
		abort();
	n = find_or_add(ff, name);
	if (make) {
		n->live = make_inode(ff);
		log_op(ff, "", name, n->live);
	}
	f->inode = n->live;
	f->flags = flags;
	ff->open_files++;
	*out = &f->file;
	return leave(ff, 0);
}

static void
fault_close(struct fs_file *file)
{
	struct fs_fault *ff = enter(file->fs);
	struct fault_file *f = (struct fault_file *)file;

	if (f->inode->locked_by == f)
		f->inode->locked_by = NULL;
	ff->open_files--;
	free(f);
	(void)leave(ff, 0);
}

static int
fault_pread(struct fs_file *file, void *p, size_t len, uint64_t offset, size_t *got,
    struct err *err)
{
	struct fs_fault *ff = enter(file->fs);
	const struct fs_fault_inode *n = ((struct fault_file *)file)->inode;

	if (meet(ff, 1, "read", file->name, err) != 0)
		return leave(ff, -1);
	if (offset >= n->live_len)
		len = 0;
	else if (len > n->live_len - offset)
		len = n->live_len - (size_t)offset;
	if (len > 0)
		memcpy(p, n->live + offset, len);
	*got = len;
	return leave(ff, 0);
}

static int
fault_pwrite(
    struct fs_file *file, const void *p, size_t len, uint64_t offset, struct err *err)
{
	struct fs_fault *ff = enter(file->fs);
	struct fault_file *f = (struct fault_file *)file;
	struct fs_fault_inode *n = f->inode;
	int met = meet(ff, 0, "write", file->name, err), ret = met == 0 ? 0 : -1;

	assert(f->flags & FS_WRITE);
	fs_fault_inode_rot(n);
	if (met == 0 && ff->room != 0 && offset + len > n->live_len &&
	    ff->used + (offset + len - n->live_len) > ff->room) {
		ret = err_os(err, ENOSPC, "write %s", file->name);
		met = 1;
	}
	/* A write cut short has done a part, often not a whole number of sectors. */
	if (met == 1)
		len = len / 2;
	if (met >= 0 && len > 0 && (ret == 0 || ff->room == 0)) {
		if (offset + len > n->live_len)
			resize(ff, n, (size_t)offset + len);
		memcpy(n->live + offset, p, len);
		n->dirty = 1;
		fs_fault_inode_regain(n, (size_t)offset, len);
	}
	return leave(ff, ret);
}

static int
fault_sync(struct fs_file *file, int data_only, struct err *err)
{
	struct fs_fault *ff = enter(file->fs);
	struct fs_fault_inode *n = ((struct fault_file *)file)->inode;

	(void)data_only;
	if (meet(ff, 0, "sync", file->name, err) != 0) {
		if (!ff->dead)
			fs_fault_inode_lose(n);
		return leave(ff, -1);
	}
	fs_fault_inode_harden(n);
	return leave(ff, 0);
}

static int
fault_truncate(struct fs_file *file, uint64_t len, struct err *err)
{
	struct fs_fault *ff = enter(file->fs);
	struct fs_fault_inode *n = ((struct fault_file *)file)->inode;

	if (meet(ff, 0, "truncate", file->name, err) != 0)
		return leave(ff, -1);
	fs_fault_inode_rot(n);
	if (len != n->live_len)
		resize(ff, n, (size_t)len);
	return leave(ff, 0);
}

static int
fault_size(struct fs_file *file, uint64_t *len, struct err *err)
{
	struct fs_fault *ff = enter(file->fs);

	if (meet(ff, 1, "stat", file->name, err) != 0)
		return leave(ff, -1);
	*len = ((struct fault_file *)file)->inode->live_len;
	return leave(ff, 0);
}

static int
fault_lock(struct fs_file *file, struct err *err)
{
	struct fs_fault *ff = enter(file->fs);
	struct fault_file *f = (struct fault_file *)file;

	if (meet(ff, 1, "lock", file->name, err) != 0)
		return leave(ff, -1);
	if (f->inode->locked_by != NULL && f->inode->locked_by != f)
		return leave(ff, err_set(err, ERR_BUSY, "%s is locked", file->name));
	f->inode->locked_by = f;
	return leave(ff, 0);
}

static int
fault_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
	struct fs_fault *ff = enter(fs);
	struct name *a = find(ff, from);
	struct fs_fault_inode *n;

	if (meet(ff, 0, "rename", from, err) != 0)
		return leave(ff, -1);
	if (a == NULL || a->live == NULL)
		return leave(ff, err_os(err, ENOENT, "rename %s", from));
	n = a->live;
	a->live = NULL;
	a = find_or_add(ff, to);
	if (a->live != NULL)
		ff->used -= a->live->live_len;
	a->live = n;
	log_op(ff, from, to, n);
	return leave(ff, 0);
}

static int
fault_unlink(struct fs *fs, const char *name, struct err *err)
{
	struct fs_fault *ff = enter(fs);
	struct name *a = find(ff, name);

	if (meet(ff, 0, "remove", name, err) != 0)
		return leave(ff, -1);
	if (a == NULL || a->live == NULL)
		return leave(ff, err_os(err, ENOENT, "remove %s", name));
	ff->used -= a->live->live_len;
	a->live = NULL;
	log_op(ff, name, "", NULL);
	return leave(ff, 0);
}

static int
fault_mkdir(struct fs *fs, const char *name, struct err *err)
{
	struct fs_fault *ff = enter(fs);
	struct name *a = find(ff, name);

	if (a != NULL && a->live != NULL)
		return leave(ff, 0);
	if (meet(ff, 0, "make directory", name, err) != 0)
		return leave(ff, -1);
	a = find_or_add(ff, name);
	a->live = make_inode(ff);
	a->live->is_dir = 1;
	log_op(ff, "", name, a->live);
	return leave(ff, 0);
}

static int
fault_list(struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err)
{
	struct fs_fault *ff = enter(fs);
	const struct name *d = find(ff, dir);
	char(*names)[FS_NAME_MAX + 8];
	size_t n = 0;
	int ret = 0;

	if (meet(ff, 1, "list", dir, err) != 0)
		return leave(ff, -1);
	if (strcmp(dir, ".") != 0 && (d == NULL || d->live == NULL || !d->live->is_dir))
		return leave(ff, err_os(err, ENOENT, "open directory %s", dir));
	if ((names = calloc(ff->n_names + 1, sizeof(*names))) == NULL)
		abort();
	for (size_t i = 0; i < ff->n_names; i++)
		if (ff->names[i].live != NULL && in_dir(ff->names[i].name, dir))
			memcpy(names[n++], ff->names[i].name, sizeof(*names));
	(void)leave(ff, 0);
	/* Unlocked: `each` may make calls of its own. */
	for (size_t i = 0; i < n && ret == 0; i++) {
		const char *slash = strchr(names[i], '/');

		ret = each(arg, slash != NULL ? slash + 1 : names[i]);
	}
	free(names);
	return ret;
}

static int
fault_sync_dir(struct fs *fs, const char *dir, struct err *err)
{
	struct fs_fault *ff = enter(fs);

	if (meet(ff, 0, "sync directory", dir, err) != 0)
		return leave(ff, -1);
	settle_dir(ff, dir, SIZE_MAX, 0);
	return leave(ff, 0);
}

static int
fault_space(struct fs *fs, uint64_t *avail, uint64_t *total, struct err *err)
{
	struct fs_fault *ff = enter(fs);

	if (meet(ff, 1, "ask for space", ".", err) != 0)
		return leave(ff, -1);
	*total = ff->room != 0 ? ff->room : UINT64_C(1) << 40;
	*avail = ff->used < *total ? *total - ff->used : 0;
	return leave(ff, 0);
}

static void
fault_free(struct fs *fs)
{
	(void)fs; /* fs_fault_free() does it. */
}

static const struct fs_ops fault_ops = {
	.open = fault_open,
	.close = fault_close,
	.pread = fault_pread,
	.pwrite = fault_pwrite,
	.sync = fault_sync,
	.truncate = fault_truncate,
	.size = fault_size,
	.lock = fault_lock,
	.rename = fault_rename,
	.unlink = fault_unlink,
	.mkdir = fault_mkdir,
	.list = fault_list,
	.sync_dir = fault_sync_dir,
	.space = fault_space,
	.free = fault_free,
};

/* ------------------------------------------------------------ for the test -- */

struct fs_fault *
fs_fault_new(uint64_t seed)
{
	struct fs_fault *ff = calloc(1, sizeof(*ff));

	if (ff == NULL)
		return NULL;
	ff->fs.ops = &fault_ops;
	ff->rng = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
	if (pthread_mutex_init(&ff->lock, NULL) != 0) {
		free(ff);
		return NULL;
	}
	return ff;
}

/* The copy of inode `of`: they are listed in the same order. */
static struct fs_fault_inode *
twin(const struct fs_fault *from, const struct fs_fault *to,
    const struct fs_fault_inode *of)
{
	struct fs_fault_inode *b = to->inodes;

	for (const struct fs_fault_inode *a = from->inodes; a != NULL && a != of;
	     a = a->next)
		b = b->next;
	return of == NULL ? NULL : b;
}

struct fs_fault *
fs_fault_copy(struct fs_fault *ff, uint64_t seed)
{
	struct fs_fault *to = fs_fault_new(seed);
	struct fs_fault_inode **at;

	if (to == NULL)
		return NULL;
	(void)enter(&ff->fs);
	assert(ff->open_files == 0 && !ff->dead);
	at = &to->inodes;
	for (const struct fs_fault_inode *i = ff->inodes; i != NULL; i = i->next) {
		if ((*at = malloc(sizeof(**at))) == NULL)
			abort();
		**at = *i;
		(*at)->live = fs_fault_copy_bytes(i->live, i->live_len);
		(*at)->live_cap = i->live_len + 1;
		(*at)->safe = fs_fault_copy_bytes(i->safe, i->safe_len);
		(*at)->lost = fs_fault_copy_bytes(i->lost, i->n_lost);
		at = &(*at)->next;
	}
	for (to->n_names = 0; to->n_names < ff->n_names; to->n_names++) {
		struct name *n = &to->names[to->n_names];

		*n = ff->names[to->n_names];
		n->live = twin(ff, to, n->live);
		n->safe = twin(ff, to, n->safe);
	}
	for (to->n_ops = 0; to->n_ops < ff->n_ops; to->n_ops++) {
		to->ops[to->n_ops] = ff->ops[to->n_ops];
		to->ops[to->n_ops].made = twin(ff, to, ff->ops[to->n_ops].made);
	}
	to->used = ff->used;
	(void)leave(ff, 0);
	return to;
}

void
fs_fault_free(struct fs_fault *ff)
{
	struct fs_fault_inode *n;

	if (ff == NULL)
		return;
	assert(ff->open_files == 0);
	while ((n = ff->inodes) != NULL) {
		ff->inodes = n->next;
		fs_fault_inode_free(n);
	}
	(void)pthread_mutex_destroy(&ff->lock);
	free(ff);
}

struct fs *
fs_fault_fs(struct fs_fault *ff)
{
	return &ff->fs;
}

void
fs_fault_arm(struct fs_fault *ff, uint64_t nth, enum fs_fault_kind kind)
{
	(void)enter(&ff->fs);
	ff->calls = 0;
	ff->nth = nth;
	ff->kind = kind;
	ff->fired = 0;
	(void)leave(ff, 0);
}

uint64_t
fs_fault_calls(struct fs_fault *ff)
{
	uint64_t n;

	(void)enter(&ff->fs);
	n = ff->calls;
	(void)leave(ff, 0);
	return n;
}

int
fs_fault_fired(struct fs_fault *ff)
{
	(void)enter(&ff->fs);
	return leave(ff, ff->fired);
}

void
fs_fault_count_reads(struct fs_fault *ff, int yes)
{
	(void)enter(&ff->fs);
	ff->count_reads = yes;
	(void)leave(ff, 0);
}

void
fs_fault_watch(struct fs_fault *ff,
    void (*each)(void *arg, uint64_t nth, const char *what, const char *name), void *arg)
{
	(void)enter(&ff->fs);
	ff->watch = each;
	ff->watch_arg = arg;
	(void)leave(ff, 0);
}

void
fs_fault_set_room(struct fs_fault *ff, uint64_t bytes)
{
	(void)enter(&ff->fs);
	ff->room = bytes;
	(void)leave(ff, 0);
}

static void
cut_power(struct fs_fault *ff)
{
	char dir[FS_NAME_MAX + 8];
	struct fs_fault_inode *i;

	while (ff->n_ops > 0) {
		const struct op *op = &ff->ops[0];
		const char *name = op->made != NULL ? op->to : op->from;
		const char *slash = strchr(name, '/');
		size_t n = 0;

		(void)snprintf(dir, sizeof(dir), "%.*s",
		    slash != NULL ? (int)(slash - name) : 1, slash != NULL ? name : ".");
		for (size_t k = 0; k < ff->n_ops; k++)
			n += in_dir(ff->ops[k].made ? ff->ops[k].to : ff->ops[k].from,
				 dir) != 0;
		settle_dir(ff, dir, (size_t)fs_fault_draw(&ff->rng, n + 1), 1);
	}
	for (i = ff->inodes; i != NULL; i = i->next)
		if (i->dirty)
			fs_fault_inode_cut(&ff->rng, i);
	/* A file is gone with its directory. */
	for (size_t k = 0; k < ff->n_names; k++) {
		struct name *n = &ff->names[k];
		const char *slash = strchr(n->name, '/');
		const struct name *d;

		if (slash != NULL) {
			(void)snprintf(
			    dir, sizeof(dir), "%.*s", (int)(slash - n->name), n->name);
			if ((d = find(ff, dir)) == NULL || d->safe == NULL)
				n->safe = NULL;
		}
		n->live = n->safe;
	}
}

static int
is_named(const struct fs_fault *ff, const struct fs_fault_inode *i)
{
	for (size_t k = 0; k < ff->n_names; k++)
		if (ff->names[k].live == i || ff->names[k].safe == i)
			return 1;
	return 0;
}

void
fs_fault_restart(struct fs_fault *ff, int power_cut)
{
	struct fs_fault_inode **at = &ff->inodes, *i;

	(void)enter(&ff->fs);
	assert(ff->open_files == 0);
	if (power_cut)
		cut_power(ff);
	ff->dead = ff->fired = 0;
	ff->kind = FS_FAULT_NONE;
	ff->calls = ff->used = 0;
	while ((i = *at) != NULL) {
		int pending = 0;

		for (size_t k = 0; k < ff->n_ops; k++)
			pending |= ff->ops[k].made == i;
		if (!pending && !is_named(ff, i)) {
			*at = i->next;
			fs_fault_inode_free(i);
			continue;
		}
		i->locked_by = NULL;
		if (power_cut) {
			fs_fault_inode_forget(i);
			i->dirty = 1;
			fs_fault_inode_harden(i);
		}
		ff->used += i->live_len;
		at = &i->next;
	}
	(void)leave(ff, 0);
}

uint8_t *
fs_fault_bytes(struct fs_fault *ff, const char *name, size_t *len)
{
	const struct name *n;
	uint8_t *p = NULL;

	(void)enter(&ff->fs);
	if ((n = find(ff, name)) != NULL && n->live != NULL && !n->live->is_dir) {
		p = n->live->live;
		*len = n->live->live_len;
		n->live->shown = !n->live->dirty;
	}
	(void)leave(ff, 0);
	return p;
}
