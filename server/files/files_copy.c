#include "server/files/files_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "server/files/files_fs.h"
#include "server/files/files_put.h"
#include "server/files/files_text.h"
#include "server/files/files_walk.h"

#define DEPTH_MAX 256u
#define PATH_LIMIT 32768u

struct copy {
	const struct files_copy_job *job;
	struct files_copy_result *out;
	struct files_fs *fs;
	struct files_put *put;
	struct files_met *met; /* Directories; files of several names, with the first. */
	uint64_t total, read;  /* Bytes: counted before, and done. */
	uint64_t needed;       /* Bytes that the destination must have at least. */
	struct progress *progress;
	char path[PATH_LIMIT]; /* Below the destination. */
	struct err *err;       /* What ends it all. */
};

/* What one file's failure is, if the rest can go on. */
static int
goes_on(const struct err *e)
{
	return e->code == ERR_CORRUPT || e->code == ERR_EXISTS ||
	       e->code == ERR_NOTFOUND || e->code == ERR_UNSUPPORTED ||
	       e->code == ERR_LIMIT || e->code == ERR_DENIED;
}

/* Say it and count it, or let it end all. */
static int
complain(struct copy *c, const char *path, struct err *why)
{
	char clean[PATH_LIMIT + FILES_NAME_MAX];

	if (!goes_on(why)) {
		*c->err = *why;
		return -1;
	}
	files_text_clean(path, clean);
	(void)fprintf(stderr, "holdfast: cp: %s: %s\n", clean, why->text);
	c->out->failed++;
	return 0;
}

static int
check_stop(struct copy *c)
{
	if (c->job->stopped == NULL || !c->job->stopped(c->job->arg))
		return 0;
	return err_set(c->err, ERR_CANCELED, "interrupted");
}

/* --------------------------------------------------------------------- one file -- */

static int
on_bytes(void *arg, uint64_t n)
{
	struct copy *c = arg;

	c->read += n;
	progress_add(c->progress, PROGRESS_READ, n);
	progress_at(c->progress, c->read < c->total ? c->read : c->total);
	return c->job->stopped != NULL && c->job->stopped(c->job->arg);
}

/* Content or a stream of `n` as entry `name` of directory `dir`. */
static int
copy_content(struct copy *c, int dir, const char *name, const struct files_node *n,
    const char *stream, uint64_t size, struct err *why)
{
	struct files_put_job job = { c->fs, n, stream, size, name,
		(c->job->flags & FILES_COPY_FORCE) != 0, on_bytes, c };
	uint64_t before = c->read;
	int rc = files_put_file(c->put, dir, &job, why);

	if (rc == 1) {
		/* It counts as read for who waits. */
		(void)on_bytes(c, size - (c->read - before));
		c->out->same++;
		return 0;
	}
	if (rc == 0) {
		c->out->files++;
		c->out->bytes += c->read - before;
	}
	return rc;
}

/* For on_stream. */
struct streaming {
	struct copy *c;
	int dir;
	const char *name;
	const struct files_node *n;
};

static int
on_stream(void *arg, const char *stream, uint64_t size)
{
	struct streaming *s = arg;
	char name[2 * FILES_NAME_MAX];
	struct err why = ERR_INIT;
	int rc;

	(void)snprintf(name, sizeof(name), "%s:%s", s->name, stream);
	if (!files_text_name_ok(name))
		rc = err_set(&why, ERR_UNSUPPORTED, "its name cannot be used here");
	else
		rc = copy_content(s->c, s->dir, name, s->n, stream, size, &why);
	return rc == 0 ? 0 : complain(s->c, name, &why);
}

static int
copy_file(struct copy *c, int dir, const char *name, const struct files_node *n)
{
	struct streaming s = { c, dir, name, n };
	struct err why = ERR_INIT;
	const char *first = n->links > 1 ? files_met_text(c->met, n->ref) : NULL, *before;
	int rc;

	if (first != NULL && files_put_link(c->put, first, dir, name,
				 (c->job->flags & FILES_COPY_FORCE) != 0) == 0) {
		c->out->linked++;
		return 0;
	}
	if (copy_content(c, dir, name, n, NULL, n->size, &why) != 0)
		return complain(c, c->path, &why);
	/* Only now: where it could not be copied another file may have its name. */
	if (n->links > 1 && files_met_add(c->met, n->ref, c->path, &before) < 0)
		return err_set(c->err, ERR_NOMEM, "out of memory");
	if ((c->job->flags & FILES_COPY_STREAMS) == 0)
		return 0;
	rc = c->fs->ops->streams(c->fs, n->ref, on_stream, &s, &why);
	if (c->err->code != ERR_NONE)
		return -1;
	return rc < 0 ? complain(c, c->path, &why) : 0;
}

/* ------------------------------------------------------------------ directories -- */

static int
copy_dir(struct copy *c, int dir, const struct files_node *n, size_t len, unsigned depth);

static uint64_t
sum(uint64_t a, uint64_t b)
{
	return b > UINT64_MAX - a ? UINT64_MAX : a + b;
}

/* A file that will be copied, once for all its names. */
static int
count_file(struct copy *c, const struct files_node *n)
{
	const char *before;
	int rc = n->links > 1 ? files_met_add(c->met, n->ref, NULL, &before) : 1;

	if (rc < 0)
		return err_set(c->err, ERR_NOMEM, "out of memory");
	if (rc == 0)
		return 0;
	c->total = sum(c->total, n->size);
	/* Of a sparse or compressed file nobody knows what it needs. */
	if ((n->flags & (FILES_SPARSE | FILES_COMPRESSED)) == 0)
		c->needed = sum(c->needed, n->size);
	return 0;
}

/* With `dir` -1 only count. */
static int
visit(struct copy *c, int dir, const char *name, const struct files_node *n, size_t len,
    unsigned depth)
{
	struct err why = ERR_INIT;
	int below, rc;

	switch (n->kind) {
	case FILES_FILE:
		return dir < 0 ? count_file(c, n) : copy_file(c, dir, name, n);
	case FILES_LINK:
		c->out->skipped += dir >= 0;
		return 0;
	case FILES_OPAQUE:
		err_set(&why, ERR_UNSUPPORTED, "%.150s", n->target);
		return dir < 0 ? 0 : complain(c, c->path, &why);
	case FILES_DIR:
		break;
	}
	if (dir < 0)
		return copy_dir(c, -1, n, len, depth);
	if ((below = files_put_dir(dir, name, &why)) < 0)
		return complain(c, c->path, &why);
	c->out->dirs++;
	rc = copy_dir(c, below, n, len, depth);
	files_put_times(below, n);
	(void)close(below);
	return rc;
}

/* One entry of the directory whose path fills `len` bytes. */
static int
copy_entry(
    struct copy *c, int dir, const struct files_name *name, size_t len, unsigned depth)
{
	struct files_node *n = malloc(sizeof(*n));
	struct err why = ERR_INIT;
	size_t more = strlen(name->name);
	int rc = 0;

	if (n == NULL)
		return err_set(c->err, ERR_NOMEM, "out of memory");
	if (len + more + 2 > sizeof(c->path)) {
		free(n);
		err_set(&why, ERR_LIMIT, "its path is too long");
		return dir < 0 ? 0 : complain(c, name->name, &why);
	}
	memcpy(c->path + len, name->name, more + 1);
	if (!files_text_name_ok(name->name))
		err_set(&why, ERR_UNSUPPORTED, "its name cannot be used here");
	else if (c->fs->ops->stat(c->fs, name->ref, n, &why) == 0)
		rc = visit(c, dir, name->name, n, len + more, depth);
	if (why.code != ERR_NONE)
		rc = dir < 0 && goes_on(&why) ? 0 : complain(c, c->path, &why);
	free(n);
	return rc;
}

static int
copy_dir(struct copy *c, int dir, const struct files_node *n, size_t len, unsigned depth)
{
	struct files_name *names;
	struct err why = ERR_INIT;
	const char *before;
	size_t count;
	int rc = files_met_add(c->met, n->ref, NULL, &before);

	if (rc < 0)
		return err_set(c->err, ERR_NOMEM, "out of memory");
	if (rc == 0)
		err_set(&why, ERR_CORRUPT, "this directory is in two places");
	else if (depth > DEPTH_MAX)
		err_set(&why, ERR_LIMIT, "more than %u directories deep", DEPTH_MAX);
	if (why.code != ERR_NONE ||
	    files_walk_names(c->fs, n->ref, &names, &count, &why) != 0)
		return dir < 0 && goes_on(&why) ? 0 : complain(c, c->path, &why);
	if (len > 0)
		c->path[len++] = '/';
	rc = 0;
	for (size_t i = 0; i < count && rc == 0; i++) {
		if ((rc = check_stop(c)) == 0)
			rc = copy_entry(c, dir, &names[i], len, depth + 1);
	}
	files_walk_free(names, count);
	return rc;
}

/* ---------------------------------------------------------------- the whole of it -- */

/* How many bytes it will be, for progress and to see that there is room. */
static int
measure(struct copy *c, const struct files_node *n)
{
	int rc;

	c->path[0] = '\0';
	rc = visit(c, -1, "", n, 0, 0);
	files_met_free(c->met);
	if ((c->met = files_met_new()) == NULL)
		return err_set(c->err, ERR_NOMEM, "out of memory");
	return rc;
}

static int
to_stdout(struct copy *c, const struct files_node *n, const char *stream)
{
	struct err why = ERR_INIT;

	if (n->kind != FILES_FILE)
		return err_set(c->err, ERR_UNSUPPORTED, "%s",
		    n->kind == FILES_DIR ? "a directory cannot be printed" : n->target);
	if (files_put_stdout(c->put, c->fs, n, stream, on_bytes, c, &why) != 0) {
		*c->err = why;
		return -1;
	}
	c->out->files = 1;
	return 0;
}

/*
 * That there is room is better said before than after hours; but what is there of a
 * copy that is gone on with needs none, and each file asks for its own.
 */
static int
begin(struct copy *c, int dir, const char *name)
{
	if (files_put_fresh(dir, name) && files_put_room(dir, c->needed, c->err) != 0)
		return -1;
	c->path[0] = '\0';
	return files_put_root(c->put, dir, c->err);
}

/* Into directory `dir` as `name`. */
static int
into(struct copy *c, int dir, const char *name, const struct files_node *n,
    const char *stream)
{
	struct err why = ERR_INIT;

	if (!files_text_name_ok(name))
		return err_set(c->err, ERR_UNSUPPORTED, "'%.80s' is no name", name);
	if (begin(c, dir, name) != 0)
		return -1;
	(void)snprintf(c->path, sizeof(c->path), "%s", name);
	if (stream == NULL)
		return visit(c, dir, name, n, strlen(name), 0);
	if (copy_content(c, dir, name, n, stream, UINT64_MAX, &why) != 0) {
		*c->err = why;
		return -1;
	}
	return 0;
}

static int
run(struct copy *c, struct files_node *n, struct err *err)
{
	const char *name, *stream;
	char own[FILES_NAME_MAX + 8];
	int dir, rc;

	if (files_walk_find(c->fs, c->job->from, n, &name, &stream, err) != 0)
		return -1;
	if (n->kind == FILES_DIR && (c->job->flags & FILES_COPY_DEEP) == 0)
		return err_set(err, ERR_UNSUPPORTED, "that is a directory: say -r");
	if (n->kind == FILES_LINK)
		return err_set(
		    err, ERR_UNSUPPORTED, "that is a link to %.150s", n->target);
	if (stream == NULL && measure(c, n) != 0)
		return -1;
	if (progress_start(c->job->mode, "copy", c->total, &c->progress, err) != 0)
		return -1;
	if (strcmp(c->job->to, "-") == 0)
		return to_stdout(c, n, stream);
	(void)snprintf(own, sizeof(own), "%.*s", (int)strcspn(name, "/\\"), name);
	dir = files_put_open(c->job->to, own, sizeof(own), n->kind == FILES_DIR, err);
	if (dir < 0)
		return -1;
	/* Of the root there is no name: its entries go into a directory that is there. */
	if (own[0] != '\0')
		rc = into(c, dir, own, n, stream);
	else if ((rc = begin(c, dir, "")) == 0)
		rc = copy_dir(c, dir, n, 0, 0);
	if (rc == 0 && c->out->files > 0)
		rc = files_put_settle(dir, err);
	(void)close(dir);
	return rc;
}

int
files_copy(
    const struct files_copy_job *job, struct files_copy_result *out, struct err *err)
{
	struct copy *c = calloc(1, sizeof(*c));
	struct files_node *n = malloc(sizeof(*n));
	int rc = -1;

	memset(out, 0, sizeof(*out));
	if (c == NULL || n == NULL || (c->met = files_met_new()) == NULL ||
	    (c->put = files_put_new()) == NULL) {
		err_set(err, ERR_NOMEM, "out of memory");
	} else {
		c->job = job;
		c->out = out;
		c->fs = job->fs;
		c->err = err;
		rc = run(c, n, err);
		progress_stop(c->progress);
	}
	if (c != NULL) {
		files_met_free(c->met);
		files_put_free(c->put);
	}
	free(c);
	free(n);
	return rc;
}
