#include "server/files/files_walk.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "server/files/files_fs.h"

#define SEPARATORS "/\\"

/* ---------------------------------------------------------------------- paths -- */

/* One name on the way; a stream's only as the last. */
static int
step(struct files_fs *fs, uint64_t *at, const char *name, size_t len, const char **stream,
    struct err *err)
{
	char text[FILES_NAME_MAX], *colon;

	if (len >= sizeof(text))
		return err_set(err, ERR_NOTFOUND, "no such file: %.100s", name);
	memcpy(text, name, len);
	text[len] = '\0';
	if (fs->ops->lookup(fs, *at, text, at, err) == 0)
		return 0;
	if (err->code == ERR_NOTFOUND && name[len] == '\0' &&
	    (colon = strchr(text, ':')) != NULL && colon != text && colon[1] != '\0') {
		*colon = '\0';
		err_clear(err);
		*stream = name + (colon - text) + 1;
		if (fs->ops->lookup(fs, *at, text, at, err) == 0)
			return 0;
	}
	if (err->code != ERR_NOTFOUND)
		return err_context(err, "%.100s", text);
	err_clear(err);
	return err_set(err, ERR_NOTFOUND, "no '%.150s' there", text);
}

int
files_walk_find(struct files_fs *fs, const char *path, struct files_node *out,
    const char **name, const char **stream, struct err *err)
{
	uint64_t at = fs->root;
	size_t len;

	*stream = NULL;
	*name = "";
	for (path += strspn(path, SEPARATORS); *path != '\0';
	     path += strspn(path, SEPARATORS)) {
		len = strcspn(path, SEPARATORS);
		*name = path;
		if (step(fs, &at, path, len, stream, err) != 0)
			return -1;
		path += len;
	}
	return fs->ops->stat(fs, at, out, err);
}

/* ---------------------------------------------------------------------- names -- */

struct names {
	struct files_name *p;
	size_t count, cap;
};

static int
add_name(void *arg, const char *name, uint64_t ref)
{
	struct names *n = arg;
	struct files_name *p;

	if (n->count == n->cap) {
		size_t cap = n->cap == 0 ? 64 : n->cap * 2;

		if ((p = realloc(n->p, cap * sizeof(*p))) == NULL)
			return 1;
		n->p = p;
		n->cap = cap;
	}
	p = &n->p[n->count];
	if ((p->name = strdup(name)) == NULL)
		return 1;
	p->ref = ref;
	n->count++;
	return 0;
}

static int
by_name(const void *a, const void *b)
{
	return strcmp(
	    ((const struct files_name *)a)->name, ((const struct files_name *)b)->name);
}

int
files_walk_names(struct files_fs *fs, uint64_t dir, struct files_name **out,
    size_t *count, struct err *err)
{
	struct names n = { NULL, 0, 0 };
	int rc = fs->ops->list(fs, dir, add_name, &n, err);

	if (rc != 0) {
		files_walk_free(n.p, n.count);
		return rc > 0 ? err_set(err, ERR_NOMEM, "out of memory") : -1;
	}
	if (n.count > 0)
		qsort(n.p, n.count, sizeof(*n.p), by_name);
	*out = n.p;
	*count = n.count;
	return 0;
}

void
files_walk_free(struct files_name *names, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(names[i].name);
	free(names);
}

/* ------------------------------------------------------------------------ met -- */

struct met {
	uint64_t ref;
	char *text;
	int used;
};

struct files_met {
	struct met *slots; /* A power of two, at most half of them used. */
	size_t cap, count;
};

struct files_met *
files_met_new(void)
{
	struct files_met *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->cap = 256;
	if ((m->slots = calloc(m->cap, sizeof(*m->slots))) == NULL) {
		free(m);
		return NULL;
	}
	return m;
}

void
files_met_free(struct files_met *m)
{
	if (m == NULL)
		return;
	for (size_t i = 0; i < m->cap; i++)
		free(m->slots[i].text);
	free(m->slots);
	free(m);
}

static struct met *
slot_of(const struct files_met *m, uint64_t ref)
{
	size_t i = (size_t)(ref * 0x9E3779B97F4A7C15u >> 20) & (m->cap - 1);

	while (m->slots[i].used && m->slots[i].ref != ref)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

static int
grow(struct files_met *m)
{
	struct files_met bigger = { calloc(m->cap * 2, sizeof(*m->slots)), m->cap * 2,
		m->count };

	if (bigger.slots == NULL)
		return -1;
	for (size_t i = 0; i < m->cap; i++)
		if (m->slots[i].used)
			*slot_of(&bigger, m->slots[i].ref) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return 0;
}

int
files_met_add(struct files_met *m, uint64_t ref, const char *text, const char **before)
{
	struct met *s;

	if (m->count * 2 >= m->cap && grow(m) != 0)
		return -1;
	s = slot_of(m, ref);
	if (s->used) {
		*before = s->text;
		return 0;
	}
	if (text != NULL && (s->text = strdup(text)) == NULL)
		return -1;
	s->ref = ref;
	s->used = 1;
	m->count++;
	return 1;
}

const char *
files_met_text(const struct files_met *m, uint64_t ref)
{
	const struct met *s = slot_of(m, ref);

	return s->used ? s->text : NULL;
}
