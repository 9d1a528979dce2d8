#include "agent/backup/cache.h"

#include <stdlib.h>
#include <string.h>

#include "agent/backup/spans.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"

static const struct spans_kind kind = {
	.magic = { 'H', 'F', 'C', 'A', 'C', 'H', 'E', '2' },
	.bag = "nodes",
	.settled = "",
	.repeats = 1,
};

struct cache {
	struct chunk_keys keys;
	struct spans *spans;
	int damaged;
	uint64_t at, given;   /* Which record is in `record`; which was given last. */
	struct buf record;    /* An id, and its bytes. */
	struct chunk_id *ids; /* Of the named ones, once they were asked for. */
	uint64_t *places;
};

struct cache_writer {
	struct spans_writer *spans;
	struct cache *base;
	uint64_t names;
};

/* ----------------------------------------------------------------- naming -- */

/* As Windows has them: in small letters, also with an ending ("nul.txt"). */
static int
is_device(const char *name)
{
	static const char *const devices[] = { "con", "prn", "aux", "nul", "com", "lpt" };
	const size_t len = strcspn(name, ".");

	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		if (strncmp(name, devices[i], 3) == 0 &&
		    (i < 4 ? len == 3 : len == 4 && name[3] >= '0' && name[3] <= '9'))
			return 1;
	return 0;
}

void
cache_name(const char *volume, char out[CACHE_NAME_MAX])
{
	const char *from = volume;
	size_t n = 2;

	for (; *from != '\0' && n + 3 < CACHE_NAME_MAX; from++) {
		const int capital = *from >= 'A' && *from <= 'Z';

		/* A last dot is no part of a name on Windows. */
		if (capital || (*from == '.' && from[1] == '\0'))
			out[n++] = '^';
		out[n++] = capital ? (char)(*from - 'A' + 'a') : *from;
	}
	out[n] = '\0';
	out[0] = out[1] = '^'; /* Which is how nothing else begins. */
	if (!is_device(out + 2))
		memmove(out, out + 2, n - 1);
}

void
cache_volume(char *name)
{
	char *to = name;

	if (strncmp(name, "^^", 2) == 0)
		name += 2;
	for (; *name != '\0'; name++)
		if (*name != '^')
			*to++ = *name;
		else if (name[1] >= 'a' && name[1] <= 'z')
			*to++ = (char)(*++name - 'a' + 'A');
	*to = '\0';
}

/* ---------------------------------------------------------------- reading -- */

static int
open_spans(const char *path, const struct chunk_id *root, const struct chunk_keys *keys,
    struct cache **out, struct err *err)
{
	struct cache *c = calloc(1, sizeof(*c));
	int found;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->keys = *keys;
	c->record.max = SPANS_RECORD_MAX;
	found = spans_open(path, &kind, root, &c->spans, err);
	if (found == 1 && spans_count(c->spans) > 0) {
		*out = c;
		return 1;
	}
	cache_close(c);
	return found == -1 ? -1 : 0;
}

int
cache_open(const char *path, const struct chunk_id *root, const struct chunk_keys *keys,
    struct cache **out, struct err *err)
{
	return open_spans(path, root, keys, out, err);
}

int
cache_open_partial(
    const char *path, const struct chunk_keys *keys, struct cache **out, struct err *err)
{
	return open_spans(path, NULL, keys, out, err);
}

void
cache_close(struct cache *c)
{
	if (c == NULL)
		return;
	spans_close(c->spans);
	buf_free(&c->record);
	free(c->ids);
	free(c->places);
	free(c);
}

/* Have the record at `at`: 1, or 0. */
static int
load(struct cache *c, uint64_t at)
{
	if (at != 0 && at == c->at)
		return 1;
	c->at = 0;
	if (!spans_get(c->spans, at, &c->record) || c->record.len <= CHUNK_ID_LEN ||
	    c->record.len > CHUNK_ID_LEN + CHUNK_META_MAX)
		return 0;
	c->at = at;
	return 1;
}

static int
load_leaf(struct cache *c, uint64_t n)
{
	uint64_t count = spans_count(c->spans);

	return load(c, spans_at(c->spans, n < count ? n : count - 1));
}

/* Is what was loaded this node? */
static int
is_node(const struct cache *c, const struct chunk_id *id)
{
	return memcmp(c->record.p, id->b, CHUNK_ID_LEN) == 0;
}

/* Prove what was loaded, and copy it. */
static int
give(const struct cache *c, struct buf *out)
{
	const uint8_t *p = c->record.p + CHUNK_ID_LEN;
	size_t len = c->record.len - CHUNK_ID_LEN;
	struct err ignored = ERR_INIT;
	struct chunk_id real;

	chunk_id_of(&c->keys, CHUNK_META, p, len, &real);
	buf_clear(out);
	return is_node(c, &real) && buf_add(out, p, len, &ignored) == 0;
}

int
cache_leaf_is(struct cache *c, uint64_t n, const struct chunk_id *id)
{
	return !c->damaged && load_leaf(c, n) && is_node(c, id);
}

int
cache_leaf(struct cache *c, uint64_t n, struct buf *out)
{
	if (c->damaged || !load_leaf(c, n))
		return 0;
	if (c->given == c->at)
		return 2;
	if (!give(c, out)) {
		c->damaged = 1;
		return 0;
	}
	c->given = c->at;
	return 1;
}

/* Learn the names: few, since each is for up to 1024 spans. */
static int
load_names(struct cache *c, struct err *err)
{
	uint64_t n = spans_names(c->spans);

	if (c->ids != NULL)
		return 0;
	if (n > SIZE_MAX / 64 || (c->ids = calloc(n + 1, sizeof(*c->ids))) == NULL ||
	    (c->places = calloc(n + 1, sizeof(*c->places))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	for (uint64_t i = 0; i < n; i++)
		if (!spans_name(c->spans, i, &c->ids[i], &c->places[i]))
			break;
	return 0;
}

int
cache_inner(void *arg, const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct cache *c = arg;

	if (load_names(c, err) != 0)
		return -1;
	for (uint64_t i = 0; i < spans_names(c->spans); i++)
		if (chunk_id_cmp(&c->ids[i], id) == 0 && load(c, c->places[i]) &&
		    is_node(c, id) && give(c, out))
			return 0;
	return err_set(err, ERR_NOTFOUND, "tree cache: an inner node is missing");
}

/* Node of the record at `at`, proven, to `each`. */
static int
give_each(struct cache *c, uint64_t at, uint64_t span,
    int (*each)(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p,
	size_t len, struct err *err),
    void *arg, struct err *err)
{
	struct buf bytes = BUF_INIT(CHUNK_META_MAX);
	struct chunk_id id;
	int rc;

	if (!load(c, at) || !give(c, &bytes)) {
		buf_free(&bytes);
		return err_set(err, ERR_CORRUPT, "tree cache: a node is damaged");
	}
	memcpy(id.b, c->record.p, CHUNK_ID_LEN);
	rc = each(arg, span, &id, bytes.p, bytes.len, err);
	buf_free(&bytes);
	return rc;
}

int
cache_each(struct cache *c,
    int (*each)(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p,
	size_t len, struct err *err),
    void *arg, struct err *err)
{
	uint64_t last = 0, at;
	int rc = load_names(c, err);

	for (uint64_t n = 0; n < spans_count(c->spans) && rc == 0; n++, last = at)
		if ((at = spans_at(c->spans, n)) == 0 || at != last)
			rc = give_each(c, at, n, each, arg, err);
	for (uint64_t i = 0; i < spans_names(c->spans) && rc == 0; i++)
		rc = give_each(c, c->places[i], CACHE_NO_SPAN, each, arg, err);
	return rc;
}

/* ---------------------------------------------------------------- writing -- */

int
cache_create(
    const char *path, struct cache *base, struct cache_writer **out, struct err *err)
{
	struct cache_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (spans_create(
		path, &kind, base != NULL ? base->spans : NULL, &w->spans, err) != 0) {
		free(w);
		return -1;
	}
	if (spans_keeps(w->spans))
		w->base = base;
	*out = w;
	return 0;
}

/* Where the base has this very node, or 0. */
static uint64_t
find(struct cache_writer *w, uint64_t span, const struct chunk_id *id, const uint8_t *p,
    size_t len)
{
	struct cache *b = w->base;
	struct chunk_id named;
	uint64_t at;

	if (b == NULL || b->damaged)
		return 0;
	if (span != CACHE_NO_SPAN
		? !load_leaf(b, span)
		: !spans_name(b->spans, w->names, &named, &at) || !load(b, at))
		return 0;
	/* Its bytes, not its id: what rotted there is not to be kept for ever. */
	return is_node(b, id) && b->record.len == CHUNK_ID_LEN + len &&
		       memcmp(b->record.p + CHUNK_ID_LEN, p, len) == 0
		   ? b->at
		   : 0;
}

int
cache_add(struct cache_writer *w, uint64_t span, const struct chunk_id *id,
    const uint8_t *p, size_t len, struct err *err)
{
	uint64_t at = find(w, span, id, p, len);

	if (at != 0)
		spans_keep(w->spans, CHUNK_ID_LEN + len);
	else if (spans_add(w->spans, id->b, CHUNK_ID_LEN, p, len, &at, err) != 0)
		return -1;
	if (span != CACHE_NO_SPAN)
		return spans_put(w->spans, span, at, err);
	w->names++;
	return spans_put_name(w->spans, id, at, err);
}

int
cache_finish(struct cache_writer *w, const struct chunk_id *root, struct err *err)
{
	struct err ignored = ERR_INIT;
	int rc;

	if (w == NULL)
		return 0;
	rc = spans_finish(w->spans, root, root != NULL ? err : &ignored);
	free(w);
	/* Of what is only closed nothing was promised. */
	return root != NULL ? rc : 0;
}

int
cache_settle(const char *path, const char *settled, struct err *err)
{
	return spans_settle(path, settled, &kind, err);
}

void
cache_tidy(const char *settled)
{
	spans_tidy(settled, &kind);
}
