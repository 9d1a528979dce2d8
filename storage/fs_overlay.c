#include "storage/fs_overlay.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/fs.h"

#define BLOCK 16384u

struct block {
	uint64_t no;
	uint8_t bytes[BLOCK];
};

/* A file that is open, or differs from what is below. */
struct node {
	struct node *next;
	char name[FS_NAME_MAX];
	int named;     /* `name` leads to it; else it was removed. */
	int gone;      /* There is no such file: it only hides the one below. */
	unsigned refs; /* Open. */
	int locked;
	int dirty;	      /* Stays when it is closed. */
	struct fs_file *base; /* What is below it; or NULL. */
	uint64_t base_len;    /* That much of it counts. */
	uint64_t len;
	struct block **blocks; /* Written ones, by number. */
	size_t n, cap;
};

struct overlay {
	struct fs fs;
	struct fs *below;
	uint64_t used, max;
	pthread_mutex_t lock; /* All of it. */
	struct node *nodes;
	char (*dirs)[FS_NAME_MAX]; /* Made here. */
	size_t dirs_n;
};

struct overlay_file {
	struct fs_file file;
	struct node *node;
	int locks;
};

static struct overlay *
enter(struct fs *fs)
{
	struct overlay *o = (struct overlay *)fs;

	pthread_mutex_lock(&o->lock);
	return o;
}

static int
leave(struct overlay *o, int ret)
{
	pthread_mutex_unlock(&o->lock);
	return ret;
}

static struct node *
node_of(struct fs_file *f)
{
	return ((struct overlay_file *)f)->node;
}

/* -------------------------------------------------------------------- nodes -- */

static struct node *
find(struct overlay *o, const char *name)
{
	struct node *n;

	for (n = o->nodes; n != NULL; n = n->next)
		if (n->named && strcmp(n->name, name) == 0)
			return n;
	return NULL;
}

static void
drop_blocks(struct overlay *o, struct node *n, uint64_t from)
{
	while (n->n > 0 && n->blocks[n->n - 1]->no >= from) {
		free(n->blocks[--n->n]);
		o->used -= BLOCK;
	}
}

/* Free what nobody has open and no name leads to, or is as it is below. */
static void
settle(struct overlay *o, struct node *n)
{
	struct node **link;

	if (n->refs > 0 || (n->named && n->dirty))
		return;
	for (link = &o->nodes; *link != n; link = &(*link)->next)
		continue;
	*link = n->next;
	drop_blocks(o, n, 0);
	fs_close(n->base);
	free(n->blocks);
	free(n);
}

static struct node *
add(struct overlay *o, const char *name, struct err *err)
{
	struct node *n = calloc(1, sizeof(*n));

	if (n == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory for %s", name);
		return NULL;
	}
	(void)snprintf(n->name, sizeof(n->name), "%s", name);
	n->named = 1;
	n->next = o->nodes;
	o->nodes = n;
	return n;
}

/* The file's node, taken from below if it is there; NULL with ERR_NOTFOUND if not. */
static struct node *
look_up(struct overlay *o, const char *name, struct err *err)
{
	struct node *n = find(o, name);
	struct fs_file *base;

	if (n != NULL && !n->gone)
		return n;
	if (n != NULL) {
		(void)err_set(err, ERR_NOTFOUND, "open %s: it was removed", name);
		return NULL;
	}
	if (fs_open(o->below, name, FS_READ, &base, err) != 0)
		return NULL;
	n = add(o, name, err);
	if (n == NULL || fs_size(base, &n->base_len, err) != 0) {
		fs_close(base);
		if (n != NULL)
			settle(o, n);
		return NULL;
	}
	n->base = base;
	n->len = n->base_len;
	return n;
}

/* The name leads nowhere from now on; what is below it stays hidden. */
static int
hide(struct overlay *o, const char *name, struct err *err)
{
	struct node *n = find(o, name), *mark;

	if (n != NULL) {
		n->named = 0;
		settle(o, n);
	}
	if ((mark = add(o, name, err)) == NULL)
		return -1;
	mark->gone = mark->dirty = 1;
	return 0;
}

/* ------------------------------------------------------------------- blocks -- */

/* Where block `no` is, or would be. */
static size_t
place(const struct node *n, uint64_t no)
{
	size_t lo = 0, hi = n->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (n->blocks[mid]->no < no)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* What is below the bytes from `at` on, zeros behind its end. */
static int
read_base(struct node *n, uint8_t *p, size_t len, uint64_t at, struct err *err)
{
	size_t got = 0, want = 0;

	if (n->base != NULL && at < n->base_len)
		want = n->base_len - at < len ? (size_t)(n->base_len - at) : len;
	if (want > 0 && fs_pread(n->base, p, want, at, &got, err) != 0)
		return -1;
	memset(p + got, 0, len - got);
	return 0;
}

/* The block to write to, filled with what it had. */
static struct block *
own_block(struct overlay *o, struct node *n, uint64_t no, struct err *err)
{
	size_t at = place(n, no);
	struct block *b, **more;

	if (at < n->n && n->blocks[at]->no == no)
		return n->blocks[at];
	if (o->used + BLOCK > o->max) {
		(void)err_set(err, ERR_NOSPACE,
		    "%s: the store is open read-only, and changes take more than %llu "
		    "MiB "
		    "of memory",
		    n->name, (unsigned long long)(o->max >> 20));
		return NULL;
	}
	if (n->n == n->cap) {
		more = realloc(n->blocks, (n->cap * 2 + 8) * sizeof(struct block *));
		if (more == NULL) {
			(void)err_set(err, ERR_NOMEM, "no memory to write %s", n->name);
			return NULL;
		}
		n->blocks = more;
		n->cap = n->cap * 2 + 8;
	}
	if ((b = malloc(sizeof(*b))) == NULL) {
		(void)err_set(err, ERR_NOMEM, "no memory to write %s", n->name);
		return NULL;
	}
	b->no = no;
	if (read_base(n, b->bytes, BLOCK, no * BLOCK, err) != 0) {
		free(b);
		return NULL;
	}
	memmove(n->blocks + at + 1, n->blocks + at, (n->n - at) * sizeof(struct block *));
	n->blocks[at] = b;
	n->n++;
	o->used += BLOCK;
	return b;
}

/* -------------------------------------------------------------------- calls -- */

static int
made_here(const struct overlay *o, const char *name)
{
	for (size_t i = 0; i < o->dirs_n; i++)
		if (strcmp(o->dirs[i], name) == 0)
			return 1;
	return 0;
}

static int
stop(void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return 1;
}

/* May a file of this name be made: is there a directory for it? */
static int
has_dir(const struct overlay *o, const char *name)
{
	const char *slash = strchr(name, '/');
	struct err ignored = ERR_INIT;
	char dir[FS_NAME_MAX];

	if (slash == NULL)
		return 1;
	(void)snprintf(dir, sizeof(dir), "%.*s", (int)(slash - name), name);
	return made_here(o, dir) || fs_list(o->below, dir, stop, NULL, &ignored) >= 0;
}

static int
overlay_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	struct overlay_file *f = calloc(1, sizeof(*f));
	struct overlay *o = enter(fs);
	struct node *n = NULL, *mark;
	int failed = 0;

	if (f == NULL)
		return leave(o, err_set(err, ERR_NOMEM, "no memory to open %s", name));
	n = look_up(o, name, err);
	if (n != NULL && (flags & FS_EXCLUSIVE)) {
		failed = err_set(err, ERR_EXISTS, "open %s: it is there", name) != 0;
		settle(o, n);
	} else if (n == NULL && err->code == ERR_NOTFOUND && (flags & FS_CREATE) &&
		   has_dir(o, name)) {
		err_clear(err);
		if ((mark = find(o, name)) != NULL) {
			mark->named = 0;
			settle(o, mark);
		}
		if ((n = add(o, name, err)) != NULL)
			n->dirty = 1;
	}
	if (n == NULL || failed) {
		free(f);
		return leave(o, -1);
	}
	n->refs++;
	f->node = n;
	*out = &f->file;
	return leave(o, 0);
}

static void
overlay_close(struct fs_file *f)
{
	struct overlay *o = enter(f->fs);
	struct node *n = node_of(f);

	if (((struct overlay_file *)f)->locks)
		n->locked = 0;
	n->refs--;
	settle(o, n);
	(void)leave(o, 0);
	free(f);
}

static int
overlay_pread(
    struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got, struct err *err)
{
	struct overlay *o = enter(f->fs);
	struct node *n = node_of(f);
	uint8_t *to = p;

	*got = 0;
	if (offset < n->len)
		*got = n->len - offset < len ? (size_t)(n->len - offset) : len;
	/* What was never changed is read without the lock. */
	if (n->n == 0) {
		(void)leave(o, 0);
		return read_base(n, p, *got, offset, err);
	}
	for (size_t done = 0, part; done < *got; done += part) {
		uint64_t at = offset + done;
		size_t in = (size_t)(at % BLOCK), k = place(n, at / BLOCK);

		part = BLOCK - in < *got - done ? BLOCK - in : *got - done;
		if (k < n->n && n->blocks[k]->no == at / BLOCK)
			memcpy(to + done, n->blocks[k]->bytes + in, part);
		else if (read_base(n, to + done, part, at, err) != 0)
			return leave(o, -1);
	}
	return leave(o, 0);
}

static int
overlay_pwrite(
    struct fs_file *f, const void *p, size_t len, uint64_t offset, struct err *err)
{
	struct overlay *o = enter(f->fs);
	struct node *n = node_of(f);
	struct block *b;

	n->dirty = 1;
	for (size_t done = 0, part; done < len; done += part) {
		uint64_t at = offset + done;
		size_t in = (size_t)(at % BLOCK);

		part = BLOCK - in < len - done ? BLOCK - in : len - done;
		if ((b = own_block(o, n, at / BLOCK, err)) == NULL)
			return leave(o, -1);
		memcpy(b->bytes + in, (const uint8_t *)p + done, part);
		if (at + part > n->len)
			n->len = at + part;
	}
	return leave(o, 0);
}

static int
overlay_sync(struct fs_file *f, int data_only, struct err *err)
{
	(void)f;
	(void)data_only;
	(void)err;
	return 0;
}

static int
overlay_truncate(struct fs_file *f, uint64_t len, struct err *err)
{
	struct overlay *o = enter(f->fs);
	struct node *n = node_of(f);
	size_t k;

	(void)err;
	n->dirty = 1;
	if (len < n->len) {
		drop_blocks(o, n, (len + BLOCK - 1) / BLOCK);
		k = place(n, len / BLOCK);
		if (k < n->n && n->blocks[k]->no == len / BLOCK)
			memset(n->blocks[k]->bytes + len % BLOCK, 0, BLOCK - len % BLOCK);
		if (len < n->base_len)
			n->base_len = len;
	}
	n->len = len;
	return leave(o, 0);
}

static int
overlay_size(struct fs_file *f, uint64_t *len, struct err *err)
{
	struct overlay *o = enter(f->fs);

	(void)err;
	*len = node_of(f)->len;
	return leave(o, 0);
}

/* Below, if the file is there: who writes must not do so now.  A mount may not lock. */
static int
overlay_lock(struct fs_file *f, struct err *err)
{
	struct overlay *o = enter(f->fs);
	struct overlay_file *of = (struct overlay_file *)f;
	struct node *n = node_of(f);
	int ret = 0;

	if (n->locked && !of->locks)
		return leave(
		    o, err_set(err, ERR_BUSY, "%s is locked by another", f->name));
	if (n->base != NULL && fs_lock(n->base, err) != 0) {
		if (err->code == ERR_BUSY)
			ret = -1;
		else
			err_clear(err);
	}
	/* What is below must stay open, or the lock ends. */
	n->dirty = 1;
	if (ret == 0)
		n->locked = of->locks = 1;
	return leave(o, ret);
}

static int
overlay_unlink(struct fs *fs, const char *name, struct err *err)
{
	struct overlay *o = enter(fs);
	struct node *n = look_up(o, name, err);

	if (n == NULL)
		return leave(o, -1);
	return leave(o, hide(o, name, err));
}

static int
overlay_rename(struct fs *fs, const char *from, const char *to, struct err *err)
{
	struct overlay *o = enter(fs);
	struct node *n = look_up(o, from, err), *old;

	if (n == NULL)
		return leave(o, -1);
	if (n->refs == 0 && !n->dirty)
		n->dirty = 1; /* It must live until it has its new name. */
	if ((old = find(o, to)) != NULL && old != n) {
		old->named = 0;
		settle(o, old);
	}
	n->dirty = 1;
	(void)snprintf(n->name, sizeof(n->name), "%s", to);
	if (find(o, from) == NULL && hide(o, from, err) != 0)
		return leave(o, -1);
	return leave(o, 0);
}

static int
overlay_mkdir(struct fs *fs, const char *name, struct err *err)
{
	struct overlay *o = enter(fs);
	void *more;

	if (made_here(o, name))
		return leave(o, 0);
	more = realloc(o->dirs, (o->dirs_n + 1) * sizeof(o->dirs[0]));
	if (more == NULL)
		return leave(o, err_set(err, ERR_NOMEM, "no memory for %s", name));
	o->dirs = more;
	(void)snprintf(o->dirs[o->dirs_n++], FS_NAME_MAX, "%s", name);
	return leave(o, 0);
}

/* ------------------------------------------------------------------ listing -- */

struct names {
	struct overlay *o;
	const char *dir;
	char (*name)[FS_NAME_MAX];
	size_t n, cap;
	struct err *err;
};

static int
take_name(struct names *l, const char *name)
{
	void *more;

	if (l->n == l->cap) {
		more = realloc(l->name, (l->cap * 2 + 64) * sizeof(l->name[0]));
		if (more == NULL)
			return err_set(l->err, ERR_NOMEM, "no memory to list %s", l->dir);
		l->name = more;
		l->cap = l->cap * 2 + 64;
	}
	(void)snprintf(l->name[l->n++], FS_NAME_MAX, "%s", name);
	return 0;
}

/* The last part of a name that lies in `dir`, or NULL. */
static const char *
in_dir(const char *name, const char *dir)
{
	size_t n = strlen(dir);

	if (strcmp(dir, ".") == 0)
		return strchr(name, '/') == NULL ? name : NULL;
	return strncmp(name, dir, n) == 0 && name[n] == '/' ? name + n + 1 : NULL;
}

static int
from_below(void *arg, const char *name)
{
	struct names *l = arg;
	char whole[2 * FS_NAME_MAX];

	(void)snprintf(whole, sizeof(whole), "%s%s%.63s",
	    strcmp(l->dir, ".") == 0 ? "" : l->dir, strcmp(l->dir, ".") == 0 ? "" : "/",
	    name);
	/* Those that we know come from us. */
	return find(l->o, whole) != NULL ? 0 : take_name(l, name);
}

/* Directories made here that are not below. */
static int
list_dirs(struct overlay *o, struct names *l)
{
	int ret = 0;

	for (size_t i = 0; ret == 0 && i < o->dirs_n; i++) {
		size_t k = 0;

		while (k < l->n && strcmp(l->name[k], o->dirs[i]) != 0)
			k++;
		if (k == l->n)
			ret = take_name(l, o->dirs[i]);
	}
	return ret;
}

static int
overlay_list(struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err)
{
	struct overlay *o = enter(fs);
	struct names l = { .o = o, .dir = dir, .err = err };
	int ret = fs_list(o->below, dir, from_below, &l, err);

	if (ret != 0 && err->code == ERR_NOTFOUND && made_here(o, dir)) {
		err_clear(err);
		ret = 0;
	}
	for (struct node *n = o->nodes; ret == 0 && n != NULL; n = n->next)
		if (n->named && !n->gone && in_dir(n->name, dir) != NULL)
			ret = take_name(&l, in_dir(n->name, dir));
	if (ret == 0 && strcmp(dir, ".") == 0)
		ret = list_dirs(o, &l);
	(void)leave(o, 0);
	for (size_t i = 0; ret == 0 && i < l.n; i++)
		ret = each(arg, l.name[i]);
	free(l.name);
	return ret;
}

static int
overlay_sync_dir(struct fs *fs, const char *dir, struct err *err)
{
	(void)fs;
	(void)dir;
	(void)err;
	return 0;
}

/* Of the disk: that is what people ask for. */
static int
overlay_space(struct fs *fs, uint64_t *avail, uint64_t *total, struct err *err)
{
	return fs_space(((struct overlay *)fs)->below, avail, total, err);
}

static void
overlay_free(struct fs *fs)
{
	struct overlay *o = (struct overlay *)fs;

	while (o->nodes != NULL) {
		struct node *n = o->nodes;

		n->refs = 0;
		n->named = 0;
		settle(o, n);
	}
	pthread_mutex_destroy(&o->lock);
	free(o->dirs);
	free(o);
}

static const struct fs_ops overlay_ops = {
	.open = overlay_open,
	.close = overlay_close,
	.pread = overlay_pread,
	.pwrite = overlay_pwrite,
	.sync = overlay_sync,
	.truncate = overlay_truncate,
	.size = overlay_size,
	.lock = overlay_lock,
	.rename = overlay_rename,
	.unlink = overlay_unlink,
	.mkdir = overlay_mkdir,
	.list = overlay_list,
	.sync_dir = overlay_sync_dir,
	.space = overlay_space,
	.free = overlay_free,
};

int
fs_overlay_new(struct fs *below, uint64_t max, struct fs **out, struct err *err)
{
	struct overlay *o = calloc(1, sizeof(*o));

	if (o == NULL)
		return err_set(err, ERR_NOMEM, "no memory for files in memory");
	o->fs.ops = &overlay_ops;
	o->below = below;
	o->max = max;
	pthread_mutex_init(&o->lock, NULL);
	*out = &o->fs;
	return 0;
}
