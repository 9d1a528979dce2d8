#include <stdlib.h>
#include <string.h>

#include "agent/backup/spans_parts.h"
#include "agent/map/roll.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/chunk_id.h"

#define ROOM (64u * 1024)
#define NAMES_MAX ((size_t)64 << 20) /* One for 1024 spans, and some. */
/* What nobody uses is let be up to so much, however little is used. */
#define SLACK (1u << 20)

static const uint8_t bag_magic[8] = { 'H', 'F', 'S', 'P', 'A', 'N', 'S', '1' };

struct spans_writer {
	const struct spans_kind *kind;
	struct roll_writer *index;
	struct file *bag;
	int keeps;
	uint64_t last; /* What spans have for which nothing is put. */
	struct spans_facts facts;
	struct buf names;
	uint64_t at; /* Where `room` goes. */
	size_t held;
	uint8_t room[ROOM];
};

/* ------------------------------------------------------------------ beginning -- */

/* Which bag: the base's, or one that no point's index points to. */
static void
choose_bag(struct spans_writer *w, const char *path, const struct spans *base)
{
	char old[STATE_PATH_MAX], settled[STATE_PATH_MAX];
	struct err ignored = ERR_INIT;
	struct spans_facts facts;
	uint8_t h[SPANS_HEADER];
	struct file *f;
	uint64_t size;

	if (base != NULL &&
	    spans_bag_path(path, w->kind, spans_facts(base)->bag, old, &ignored) == 0 &&
	    file_open(old, 0, &f, &ignored) == 0) {
		w->keeps = file_size(f, &size, &ignored) == 0 &&
			   size / 2 <= spans_facts(base)->used + SLACK;
		file_close(f);
	}
	if (w->keeps) {
		w->facts.bag = spans_facts(base)->bag;
		return;
	}
	(void)snprintf(settled, sizeof(settled), "%.*s%s", (int)spans_stem(path), path,
	    w->kind->settled);
	w->facts.bag = spans_load_header(settled, w->kind, h, &facts) ? 1 - facts.bag : 0;
}

/* It may have records already: of the base, or of a session that was lost. */
static int
open_bag(struct spans_writer *w, const char *path, struct err *err)
{
	char bag[STATE_PATH_MAX];

	if (spans_bag_path(path, w->kind, w->facts.bag, bag, err) != 0 ||
	    file_open(bag, FILE_TO_WRITE | FILE_TO_MAKE, &w->bag, err) != 0 ||
	    file_size(w->bag, &w->at, err) != 0)
		return -1;
	if (w->at < SPANS_BAG_BEGIN) {
		w->at = 0;
		memcpy(w->room, bag_magic, sizeof(bag_magic));
		w->held = SPANS_BAG_BEGIN;
	}
	return 0;
}

int
spans_create(const char *path, const struct spans_kind *kind, const struct spans *base,
    struct spans_writer **out, struct err *err)
{
	struct spans_writer *w = calloc(1, sizeof(*w));
	struct err ignored = ERR_INIT;

	if (w == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	w->kind = kind;
	w->names.max = NAMES_MAX;
	choose_bag(w, path, base);
	if (open_bag(w, path, err) != 0 ||
	    roll_create(path, SPANS_HEADER, &w->index, err) != 0) {
		(void)spans_finish(w, NULL, &ignored);
		return -1;
	}
	*out = w;
	return 0;
}

int
spans_keeps(const struct spans_writer *w)
{
	return w->keeps;
}

/* -------------------------------------------------------------------- records -- */

static int
flush(struct spans_writer *w, struct err *err)
{
	if (file_write(w->bag, w->at, w->room, w->held, err) != 0)
		return -1;
	w->at += w->held;
	w->held = 0;
	return 0;
}

static int
write(struct spans_writer *w, const void *p, size_t len, struct err *err)
{
	const uint8_t *from = p;
	size_t n;

	for (; len > 0; from += n, len -= n) {
		if (w->held == ROOM && flush(w, err) != 0)
			return -1;
		n = len < ROOM - w->held ? len : ROOM - w->held;
		memcpy(w->room + w->held, from, n);
		w->held += n;
	}
	return 0;
}

int
spans_add(struct spans_writer *w, const void *head, size_t head_len, const void *p,
    size_t len, uint64_t *at, struct err *err)
{
	uint8_t b[4];

	*at = w->at + w->held;
	store_le32(b, (uint32_t)(head_len + len));
	if (write(w, b, sizeof(b), err) != 0 || write(w, head, head_len, err) != 0 ||
	    write(w, p, len, err) != 0)
		return -1;
	spans_keep(w, head_len + len);
	return 0;
}

void
spans_keep(struct spans_writer *w, size_t len)
{
	w->facts.used += 4 + len;
}

int
spans_put(struct spans_writer *w, uint64_t n, uint64_t at, struct err *err)
{
	uint8_t b[8];

	for (; w->facts.spans <= n; w->facts.spans++) {
		store_le64(b, w->facts.spans == n ? at : w->last);
		if (roll_add(w->index, b, sizeof(b), err) != 0)
			return -1;
	}
	if (w->kind->repeats)
		w->last = at;
	return 0;
}

int
spans_put_name(
    struct spans_writer *w, const struct chunk_id *id, uint64_t at, struct err *err)
{
	if (buf_add(&w->names, id->b, CHUNK_ID_LEN, err) != 0 ||
	    buf_add_le64(&w->names, at, err) != 0)
		return -1;
	w->facts.names++;
	return 0;
}

/* --------------------------------------------------------------------- ending -- */

int
spans_finish(struct spans_writer *w, const struct chunk_id *root, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint8_t h[SPANS_HEADER];
	int rc = 0;

	if (w == NULL)
		return 0;
	if (w->bag != NULL && flush(w, err) != 0)
		rc = -1;
	if (w->bag != NULL && file_finish(w->bag, rc == 0 ? err : &ignored) != 0)
		rc = -1;
	if (rc == 0 && w->index != NULL)
		rc = roll_add(w->index, w->names.p, w->names.len, err);
	err_clear(&ignored);
	spans_make_header(h, w->kind, &w->facts);
	if (root != NULL)
		memcpy(h + SPANS_ROOT, root->b, CHUNK_ID_LEN);
	spans_hash_header(h);
	/* One whose bag is not whole is nobody's. */
	if (roll_finish(w->index, rc == 0 ? h : NULL, rc == 0 ? err : &ignored) != 0)
		rc = -1;
	buf_free(&w->names);
	free(w);
	return rc;
}
