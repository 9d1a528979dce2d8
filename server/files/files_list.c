#include "server/files/files_list.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/cli/cli.h"
#include "server/files/files_fs.h"
#include "server/files/files_text.h"
#include "server/files/files_walk.h"

#define DEPTH_MAX 256u
#define PATH_LIMIT 32768u

struct list {
	struct files_fs *fs;
	unsigned flags;
	struct files_met *met; /* Directories, with FILES_LIST_DEEP. */
	json_t *json;
	char path[PATH_LIMIT]; /* Below where the list began, with a slash; or "". */
	struct err *err;
};

static const char *
kind_name(enum files_kind k)
{
	static const char *const names[] = { "file", "directory", "link", "unreadable" };

	return names[k];
}

/* "rhsc-e": read-only, hidden, system, compressed, sparse, encrypted. */
static void
flags_text(unsigned flags, char out[7])
{
	static const char letters[] = "rhscpe";

	for (unsigned i = 0; i < 6; i++)
		out[i] = (flags >> i & 1u) != 0 ? letters[i] : '-';
	out[6] = '\0';
}

/* --------------------------------------------------------------------- one file -- */

static json_t *
text_json(const char *text)
{
	char clean[PATH_LIMIT + FILES_NAME_MAX];
	json_t *j = json_string(text);

	if (j != NULL || strlen(text) >= sizeof(clean))
		return j;
	files_text_clean(text, clean);
	return json_string(clean);
}

static int
add_stream(void *arg, const char *name, uint64_t size)
{
	json_t *s = json_object();

	(void)json_object_set_new(s, "name", text_json(name));
	(void)json_object_set_new(s, "bytes", json_integer((json_int_t)size));
	(void)json_array_append_new(arg, s);
	return 0;
}

static int
show_json(struct list *l, const char *path, const struct files_node *n)
{
	json_t *j = json_object(), *streams;
	char flags[7];

	flags_text(n->flags, flags);
	(void)json_object_set_new(j, "path", text_json(path));
	(void)json_object_set_new(j, "kind", json_string(kind_name(n->kind)));
	(void)json_object_set_new(j, "bytes", json_integer((json_int_t)n->size));
	(void)json_object_set_new(j, "modified",
	    cli_json_time(
		(int64_t)n->modified.tv_sec * 1000000 + n->modified.tv_nsec / 1000));
	(void)json_object_set_new(j, "links", json_integer(n->links));
	(void)json_object_set_new(j, "flags", json_string(flags));
	if (n->target[0] != '\0')
		(void)json_object_set_new(j, "target", text_json(n->target));
	if ((l->flags & FILES_LIST_STREAMS) != 0) {
		streams = json_array();
		(void)json_object_set_new(j, "streams", streams);
		if (l->fs->ops->streams(l->fs, n->ref, add_stream, streams, l->err) < 0) {
			json_decref(j);
			return -1;
		}
	}
	return json_array_append_new(l->json, j);
}

/* For on_stream: what the streams belong to. */
struct owner {
	const struct list *l;
	const char *path;
};

static void
show_line(const struct list *l, const char *facts, const char *path, const char *more)
{
	char clean[PATH_LIMIT + 2 * FILES_NAME_MAX];

	files_text_clean(path, clean);
	(void)printf(
	    "%s%s%s\n", (l->flags & FILES_LIST_LONG) != 0 ? facts : "", clean, more);
}

static int
on_stream(void *arg, const char *name, uint64_t size)
{
	const struct owner *o = arg;
	char facts[96], path[PATH_LIMIT + 2 * FILES_NAME_MAX];

	(void)snprintf(facts, sizeof(facts), "s------    - %14llu %-19s ",
	    (unsigned long long)size, "");
	(void)snprintf(path, sizeof(path), "%s:%s", o->path, name);
	show_line(o->l, facts, path, "");
	return 0;
}

static int
show(struct list *l, const char *path, const struct files_node *n)
{
	char facts[96], flags[7], more[FILES_TARGET_MAX + 8] = "";
	char clean[FILES_TARGET_MAX];
	struct owner owner = { l, path };

	if ((l->flags & FILES_LIST_JSON) != 0)
		return show_json(l, path, n);
	flags_text(n->flags, flags);
	(void)snprintf(facts, sizeof(facts), "%c%s %4u %14llu %s ", "-dl?"[n->kind],
	    flags, n -> links, (unsigned long long)n -> size,
	    cli_time((int64_t)n->modified.tv_sec * 1000000));
	files_text_clean(n->target, clean);
	if (n->kind == FILES_DIR)
		strcpy(more, "/");
	else if ((l->flags & FILES_LIST_LONG) != 0 && n->kind == FILES_LINK)
		(void)snprintf(more, sizeof(more), " -> %s", clean);
	else if ((l->flags & FILES_LIST_LONG) != 0 && n->kind == FILES_OPAQUE)
		(void)snprintf(more, sizeof(more), " (%s)", clean);
	show_line(l, facts, path, more);
	if ((l->flags & FILES_LIST_STREAMS) == 0)
		return 0;
	return l->fs->ops->streams(l->fs, n->ref, on_stream, &owner, l->err);
}

/* ------------------------------------------------------------------ directories -- */

static int list_dir(struct list *l, uint64_t dir, size_t len, unsigned depth);

/* One entry of the directory whose path fills the first `len` bytes. */
static int
list_entry(struct list *l, const struct files_name *name, size_t len, unsigned depth)
{
	struct files_node *n = malloc(sizeof(*n));
	struct err err = ERR_INIT;
	size_t more = strlen(name->name);
	const char *before;
	int rc = 0, known;

	if (n == NULL || len + more + 2 > sizeof(l->path)) {
		free(n);
		return err_set(l->err, ERR_LIMIT, "paths are too long");
	}
	memcpy(l->path + len, name->name, more + 1);
	if (l->fs->ops->stat(l->fs, name->ref, n, &err) != 0) {
		if (err.code != ERR_CORRUPT && err.code != ERR_NOTFOUND) {
			*l->err = err;
			free(n);
			return -1;
		}
		/* A damaged file hides no others. */
		memset(n, 0, sizeof(*n));
		n->kind = FILES_OPAQUE;
		(void)snprintf(n->target, sizeof(n->target), "%s", err.text);
	}
	rc = show(l, l->path, n);
	if (rc == 0 && n->kind == FILES_DIR && (l->flags & FILES_LIST_DEEP) != 0) {
		known = files_met_add(l->met, n->ref, NULL, &before);
		l->path[len + more] = '/';
		if (known == 1)
			rc = list_dir(l, n->ref, len + more + 1, depth + 1);
	}
	free(n);
	return rc;
}

static int
list_dir(struct list *l, uint64_t dir, size_t len, unsigned depth)
{
	struct files_name *names;
	size_t count;
	int rc = 0;

	if (depth > DEPTH_MAX)
		return err_set(
		    l->err, ERR_LIMIT, "more than %u directories deep", DEPTH_MAX);
	if (files_walk_names(l->fs, dir, &names, &count, l->err) != 0)
		return -1;
	for (size_t i = 0; i < count && rc == 0; i++)
		rc = list_entry(l, &names[i], len, depth);
	files_walk_free(names, count);
	return rc;
}

static int
list_all(struct list *l, const char *path, struct err *err)
{
	struct files_node *n = malloc(sizeof(*n));
	const char *name, *stream;
	int rc = -1;

	if (n == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (files_walk_find(l->fs, path, n, &name, &stream, err) == 0)
		rc = n->kind == FILES_DIR ? list_dir(l, n->ref, 0, 0) : show(l, name, n);
	free(n);
	return rc;
}

int
files_list(struct files_fs *fs, const char *path, unsigned flags, struct err *err)
{
	struct list *l = calloc(1, sizeof(*l));
	int rc = -1;

	if (l == NULL || (l->met = files_met_new()) == NULL) {
		free(l);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	l->fs = fs;
	l->flags = flags;
	l->json = json_array();
	l->err = err;
	rc = list_all(l, path, err);
	if (rc == 0 && (flags & FILES_LIST_JSON) != 0) {
		rc = cli_json_print(l->json, err);
		l->json = NULL;
	}
	json_decref(l->json);
	files_met_free(l->met);
	free(l);
	return rc;
}
