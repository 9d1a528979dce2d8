#include "agent/backup/cache.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/roll.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/blake3.h"

#define HEADER_LEN 80u
#define NODE_HEADER_LEN 44u

static const uint8_t magic[8] = { 'H', 'F', 'C', 'A', 'C', 'H', 'E', '1' };

struct cache_writer {
	struct roll_writer *roll;
	uint64_t nodes;
};

struct node {
	uint64_t span;
	uint32_t len;
	uint64_t at; /* Where its bytes are in the file. */
	struct chunk_id id;
};

/* A reader that goes forward only: the leaf it stands on and the one after. */
struct place {
	int has_leaf, has_next;
	struct node leaf, next;
};

struct cache {
	struct chunk_keys keys;
	struct file *f;
	uint64_t nodes;
	int damaged;
	int given; /* cache_leaf() gave by_span.leaf already. */
	struct place by_id, by_span;
	struct node *inner; /* Those without a span, once they were asked for. */
	size_t inner_n, inner_room;
	int inner_known;
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

/* ---------------------------------------------------------------- writing -- */

static void
make_header(uint8_t h[HEADER_LEN], const struct chunk_id *root, uint64_t nodes)
{
	memcpy(h, magic, sizeof(magic));
	memcpy(h + 8, root->b, CHUNK_ID_LEN);
	store_le64(h + 40, nodes);
	blake3(h, 48, NULL, h + 48, 32);
}

int
cache_create(const char *path, struct cache_writer **out, struct err *err)
{
	struct cache_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (roll_create(path, HEADER_LEN, &w->roll, err) != 0) {
		free(w);
		return -1;
	}
	*out = w;
	return 0;
}

int
cache_add(struct cache_writer *w, uint64_t span, const struct chunk_id *id,
    const uint8_t *p, size_t len, struct err *err)
{
	uint8_t h[NODE_HEADER_LEN];

	store_le32(h, (uint32_t)len);
	store_le64(h + 4, span);
	memcpy(h + 12, id->b, CHUNK_ID_LEN);
	if (roll_add(w->roll, h, sizeof(h), err) != 0 ||
	    roll_add(w->roll, p, len, err) != 0)
		return -1;
	w->nodes++;
	return 0;
}

int
cache_finish(struct cache_writer *w, const struct chunk_id *root, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint8_t h[HEADER_LEN];
	int rc;

	if (w == NULL)
		return 0;
	if (root != NULL)
		make_header(h, root, w->nodes);
	rc = roll_finish(w->roll, root != NULL ? h : NULL, root != NULL ? err : &ignored);
	free(w);
	/* Of what is only closed nothing was promised. */
	return root != NULL ? rc : 0;
}

/* ---------------------------------------------------------------- reading -- */

static int
read_at(const struct cache *c, uint64_t at, void *p, size_t len)
{
	struct err ignored = ERR_INIT;

	return file_read_all(c->f, at, p, len, &ignored) == 0;
}

/* The node whose header is at `at`: 1, or 0 at the end or where it is damaged. */
static int
node_at(const struct cache *c, uint64_t at, struct node *out)
{
	uint8_t h[NODE_HEADER_LEN];

	if (!read_at(c, at, h, sizeof(h)))
		return 0;
	out->len = load_le32(h);
	out->span = load_le64(h + 4);
	memcpy(out->id.b, h + 12, CHUNK_ID_LEN);
	out->at = at + NODE_HEADER_LEN;
	return out->len > 0 && out->len <= CHUNK_META_MAX;
}

static int
bytes_of(const struct cache *c, const struct node *n, struct buf *out)
{
	struct err ignored = ERR_INIT;
	struct chunk_id real;
	uint8_t *p;

	buf_clear(out);
	if ((p = buf_room(out, n->len, &ignored)) == NULL ||
	    !read_at(c, n->at, p, n->len))
		return 0;
	out->len = n->len;
	chunk_id_of(&c->keys, CHUNK_META, p, n->len, &real);
	return chunk_id_cmp(&real, &n->id) == 0;
}

/* Open the file and stand before its first node: 1, 0 if there is none, -1. */
static int
open_file(
    const char *path, const struct chunk_keys *keys, struct cache **out, struct err *err)
{
	struct cache *c = calloc(1, sizeof(*c));
	struct err ignored = ERR_INIT;

	if (c == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	c->keys = *keys;
	if (file_open(path, 0, &c->f, &ignored) != 0 ||
	    !node_at(c, HEADER_LEN, &c->by_id.next) || c->by_id.next.span != 0) {
		cache_close(c);
		return 0;
	}
	c->by_id.has_next = 1;
	c->by_span = c->by_id;
	*out = c;
	return 1;
}

int
cache_open(const char *path, const struct chunk_id *root, const struct chunk_keys *keys,
    struct cache **out, struct err *err)
{
	uint8_t h[HEADER_LEN], want[HEADER_LEN];
	struct cache *c;
	int found = open_file(path, keys, &c, err);

	if (found != 1)
		return found;
	found = read_at(c, 0, h, sizeof(h));
	if (found) {
		c->nodes = load_le64(h + 40);
		make_header(want, root, c->nodes);
		found = memcmp(h, want, sizeof(h)) == 0;
	}
	if (found)
		*out = c;
	else
		cache_close(c);
	return found;
}

int
cache_open_partial(
    const char *path, const struct chunk_keys *keys, struct cache **out, struct err *err)
{
	return open_file(path, keys, out, err);
}

void
cache_close(struct cache *c)
{
	if (c == NULL)
		return;
	file_close(c->f);
	free(c->inner);
	free(c);
}

/* Stand on the leaf of span `n`: 1, or 0 where there is none. */
static int
stand_on(const struct cache *c, struct place *pl, uint64_t n, int *moved)
{
	uint64_t at;

	*moved = 0;
	while (pl->has_next && pl->next.span <= n) {
		pl->leaf = pl->next;
		pl->has_leaf = 1;
		*moved = 1;
		do {
			at = pl->next.at + pl->next.len;
			pl->has_next = node_at(c, at, &pl->next);
		} while (pl->has_next && pl->next.span == CACHE_NO_SPAN);
	}
	return pl->has_leaf;
}

int
cache_leaf_is(struct cache *c, uint64_t n, const struct chunk_id *id)
{
	int moved;

	return !c->damaged && stand_on(c, &c->by_id, n, &moved) &&
	       chunk_id_cmp(&c->by_id.leaf.id, id) == 0;
}

int
cache_leaf(struct cache *c, uint64_t n, struct buf *out)
{
	int moved;

	if (c->damaged || !stand_on(c, &c->by_span, n, &moved))
		return 0;
	if (!moved && c->given)
		return 2;
	if (!bytes_of(c, &c->by_span.leaf, out)) {
		c->damaged = 1;
		return 0;
	}
	c->given = 1;
	return 1;
}

/* Find out which nodes have no span: few, since each is for up to 1024 others. */
static int
find_inner(struct cache *c, struct err *err)
{
	uint64_t at = HEADER_LEN;
	struct node n, *more;

	for (uint64_t i = 0; i < c->nodes && node_at(c, at, &n); i++, at = n.at + n.len) {
		if (n.span != CACHE_NO_SPAN)
			continue;
		if (c->inner_n == c->inner_room) {
			size_t room = 2 * c->inner_room + 64;

			if ((more = realloc(c->inner, room * sizeof(*more))) == NULL)
				return err_set(err, ERR_NOMEM, "out of memory");
			c->inner = more;
			c->inner_room = room;
		}
		c->inner[c->inner_n++] = n;
	}
	c->inner_known = 1;
	return 0;
}

int
cache_inner(void *arg, const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct cache *c = arg;

	if (!c->inner_known && find_inner(c, err) != 0)
		return -1;
	for (size_t i = 0; i < c->inner_n; i++)
		if (chunk_id_cmp(&c->inner[i].id, id) == 0 &&
		    bytes_of(c, &c->inner[i], out))
			return 0;
	return err_set(err, ERR_NOTFOUND, "tree cache: an inner node is missing");
}

int
cache_each(struct cache *c,
    int (*each)(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p,
	size_t len, struct err *err),
    void *arg, struct err *err)
{
	struct buf bytes = BUF_INIT(CHUNK_META_MAX);
	struct node n;
	uint64_t i, at = HEADER_LEN;
	int rc = 0;

	for (i = 0; i < c->nodes && rc == 0; i++) {
		if (!node_at(c, at, &n) || !bytes_of(c, &n, &bytes)) {
			rc = err_set(err, ERR_CORRUPT, "tree cache: node %llu is damaged",
			    (unsigned long long)i);
			break;
		}
		rc = each(arg, n.span, &n.id, bytes.p, bytes.len, err);
		at = n.at + n.len;
	}
	buf_free(&bytes);
	return rc;
}
