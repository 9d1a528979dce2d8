#include "agent/backup/spans.h"

#include <stdlib.h>
#include <string.h>

#include "agent/backup/spans_parts.h"
#include "agent/map/roll.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/chunk_id.h"

#define AT_HASH 992u
#define NAME_LEN (CHUNK_ID_LEN + 8u)
#define WINDOW 8192u /* Of the index, spans: 64 KiB. */
#define GUESS 16384u /* A record is read at once if it is no longer. */
#define NONE UINT64_MAX
#define SPANS_MAX (UINT64_C(1) << 40)

struct spans {
	struct file *index, *bag;
	uint8_t header[SPANS_HEADER];
	struct spans_facts facts;
	uint64_t window; /* The first span of those in `at`. */
	size_t window_n;
	uint8_t at[8 * WINDOW];
};

/* ----------------------------------------------------------------- the header -- */

int
spans_bag_path(const char *path, const struct spans_kind *kind, uint32_t bag,
    char out[STATE_PATH_MAX], struct err *err)
{
	size_t stem = spans_stem(path);

	if ((size_t)snprintf(out, STATE_PATH_MAX, "%.*s=%s%u", (int)stem, path, kind->bag,
		(unsigned)bag) < STATE_PATH_MAX)
		return 0;
	return err_set(err, ERR_LIMIT, "%s: path too long", path);
}

size_t
spans_stem(const char *path)
{
	size_t len = strlen(path);

	for (size_t i = len; i > 0 && path[i - 1] != '/' && path[i - 1] != '\\'; i--)
		if (path[i - 1] == '=')
			return i - 1;
	return len;
}

void
spans_make_header(
    uint8_t h[SPANS_HEADER], const struct spans_kind *kind, const struct spans_facts *f)
{
	memset(h, 0, SPANS_HEADER);
	memcpy(h, kind->magic, sizeof(kind->magic));
	store_le64(h + AT_SPANS, f->spans);
	store_le64(h + AT_SPANS + 8, f->names);
	store_le64(h + AT_SPANS + 16, f->used);
	store_le32(h + AT_SPANS + 24, f->bag);
}

void
spans_hash_header(uint8_t h[SPANS_HEADER])
{
	blake3(h, AT_HASH, NULL, h + AT_HASH, 32);
}

/* Is it one, and of the tree of `root` (or NULL)? */
static int
parse(const uint8_t h[SPANS_HEADER], const struct spans_kind *kind,
    const struct chunk_id *root, struct spans_facts *out)
{
	uint8_t hash[32];

	blake3(h, AT_HASH, NULL, hash, sizeof(hash));
	if (memcmp(h, kind->magic, sizeof(kind->magic)) != 0 ||
	    memcmp(h + AT_HASH, hash, sizeof(hash)) != 0 ||
	    (root != NULL && memcmp(h + SPANS_ROOT, root->b, CHUNK_ID_LEN) != 0))
		return 0;
	out->spans = load_le64(h + AT_SPANS);
	out->names = load_le64(h + AT_SPANS + 8);
	out->used = load_le64(h + AT_SPANS + 16);
	out->bag = load_le32(h + AT_SPANS + 24);
	return out->bag <= 1 && out->spans <= SPANS_MAX &&
	       out->names <= out->spans / 512 + 64;
}

int
spans_load_header(const char *path, const struct spans_kind *kind,
    uint8_t h[SPANS_HEADER], struct spans_facts *out)
{
	struct err ignored = ERR_INIT;
	struct file *f;
	int found;

	if (file_open(path, 0, &f, &ignored) != 0)
		return 0;
	found = file_read_all(f, 0, h, SPANS_HEADER, &ignored) == 0 &&
		parse(h, kind, NULL, out);
	file_close(f);
	return found;
}

/* -------------------------------------------------------------------- reading -- */

/* Is all there that the header counts?  Who makes room for it must not believe more. */
static int
is_whole(const struct spans *s)
{
	struct err ignored = ERR_INIT;
	uint64_t size;

	return file_size(s->index, &size, &ignored) == 0 &&
	       size >= SPANS_HEADER + 8 * s->facts.spans + NAME_LEN * s->facts.names;
}

int
spans_open(const char *path, const struct spans_kind *kind, const struct chunk_id *root,
    struct spans **out, struct err *err)
{
	struct spans *s = calloc(1, sizeof(*s));
	struct err ignored = ERR_INIT;
	char bag[STATE_PATH_MAX];

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	s->window = NONE;
	if (file_open(path, 0, &s->index, &ignored) != 0 ||
	    file_read_all(s->index, 0, s->header, SPANS_HEADER, &ignored) != 0 ||
	    !parse(s->header, kind, root, &s->facts) || !is_whole(s) ||
	    spans_bag_path(path, kind, s->facts.bag, bag, &ignored) != 0 ||
	    file_open(bag, 0, &s->bag, &ignored) != 0) {
		spans_close(s);
		return 0;
	}
	*out = s;
	return 1;
}

void
spans_close(struct spans *s)
{
	if (s == NULL)
		return;
	if (s->index != NULL)
		file_close(s->index);
	if (s->bag != NULL)
		file_close(s->bag);
	free(s);
}

const uint8_t *
spans_header(const struct spans *s)
{
	return s->header;
}

const struct spans_facts *
spans_facts(const struct spans *s)
{
	return &s->facts;
}

uint64_t
spans_count(const struct spans *s)
{
	return s->facts.spans;
}

uint64_t
spans_names(const struct spans *s)
{
	return s->facts.names;
}

uint64_t
spans_at(struct spans *s, uint64_t n)
{
	struct err ignored = ERR_INIT;
	uint64_t left;

	if (n >= s->facts.spans)
		return 0;
	if (s->window == NONE || n < s->window || n - s->window >= s->window_n) {
		s->window = n - n % WINDOW;
		left = s->facts.spans - s->window;
		s->window_n = left < WINDOW ? (size_t)left : WINDOW;
		if (file_read_all(s->index, SPANS_HEADER + 8 * s->window, s->at,
			8 * s->window_n, &ignored) != 0)
			memset(s->at, 0, sizeof(s->at));
	}
	return load_le64(s->at + 8 * (n - s->window));
}

int
spans_get(struct spans *s, uint64_t at, struct buf *out)
{
	struct err ignored = ERR_INIT;
	uint8_t *p;
	size_t got;
	uint32_t len;

	buf_clear(out);
	if (at == 0 || at > NONE / 2 || (p = buf_room(out, GUESS, &ignored)) == NULL ||
	    file_read(s->bag, at, p, GUESS, &got, &ignored) != 0 || got < 4)
		return 0;
	len = load_le32(p);
	if (len == 0 || len > SPANS_RECORD_MAX)
		return 0;
	if (len <= got - 4) {
		memmove(p, p + 4, len);
	} else if ((p = buf_room(out, len, &ignored)) == NULL ||
		   file_read_all(s->bag, at + 4, p, len, &ignored) != 0) {
		return 0;
	}
	out->len = len;
	return 1;
}

int
spans_name(struct spans *s, uint64_t i, struct chunk_id *id, uint64_t *at)
{
	struct err ignored = ERR_INIT;
	uint8_t b[NAME_LEN];

	if (i >= s->facts.names ||
	    file_read_all(s->index, SPANS_HEADER + 8 * s->facts.spans + NAME_LEN * i, b,
		sizeof(b), &ignored) != 0)
		return 0;
	memcpy(id->b, b, CHUNK_ID_LEN);
	*at = load_le64(b + CHUNK_ID_LEN);
	return 1;
}

/* ----------------------------------------------------------------- afterwards -- */

int
spans_seal(const char *path, const struct spans_kind *kind, const struct chunk_id *root,
    const uint8_t owner[SPANS_OWNED], struct err *err)
{
	struct spans_facts facts;
	uint8_t h[SPANS_HEADER];

	if (!spans_load_header(path, kind, h, &facts))
		return err_set(err, ERR_CORRUPT, "%s: not what was written", path);
	memcpy(h + SPANS_ROOT, root->b, CHUNK_ID_LEN);
	memcpy(h + SPANS_OWNER, owner, SPANS_OWNED);
	spans_hash_header(h);
	return roll_seal(path, h, err);
}

void
spans_tidy(const char *settled, const struct spans_kind *kind)
{
	struct err ignored = ERR_INIT;
	struct spans_facts facts;
	uint8_t h[SPANS_HEADER];
	char bag[STATE_PATH_MAX];
	int found = spans_load_header(settled, kind, h, &facts);

	for (uint32_t i = 0; i < 2; i++) {
		err_clear(&ignored);
		if (!(found && facts.bag == i) &&
		    spans_bag_path(settled, kind, i, bag, &ignored) == 0)
			(void)file_remove(bag, &ignored);
	}
}

int
spans_settle(
    const char *path, const char *settled, const struct spans_kind *kind, struct err *err)
{
	int rc = file_rename(path, settled, err);

	spans_tidy(settled, kind);
	return rc;
}
