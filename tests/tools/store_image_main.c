/*
 * store_image - reads a volume out of a store with storage/ alone, no server:
 *
 *	store_image STORE HOST/SEQUENCE VOLUME	the image, to standard output
 *
 * STORE is opened as a server opens it, so it is changed: give a copy.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "storage/store.h"

struct reading {
	struct store *s;
	struct store_lease *lease;
	struct codec *codec;
	struct buf bytes;
	uint8_t *plain; /* Of the group that was decoded last. */
	struct err err;
};

static void
fail(const struct reading *r)
{
	(void)fprintf(stderr, "store_image: %s\n", r->err.text);
	exit(1);
}

struct wanted {
	const struct chunk_id *id;
	uint32_t offset;
};

static int
find(void *arg, const struct group_entry *e)
{
	struct wanted *w = arg;

	if (chunk_id_cmp(&e->id, w->id) != 0)
		return 0;
	w->offset = e->offset;
	return 1;
}

/* The bytes of a data extent. */
static const uint8_t *
content(struct reading *r, const struct extent *e)
{
	struct wanted w = { &e->id, 0 };
	struct store_place place;
	struct group g;
	uint8_t found = 0;

	if (store_locate(r->lease, CHUNK_DATA, &e->id, 1, &place, &found, &r->err) != 0)
		fail(r);
	if (!found) {
		(void)err_set(&r->err, ERR_NOTFOUND, "a chunk is not there");
		fail(r);
	}
	if (store_group(r->lease, &place, &r->bytes, &r->err) != 0 ||
	    group_parse(r->bytes.p, r->bytes.len, &g, &r->err) != 0 ||
	    group_decode(r->codec, &g, r->plain, &r->err) != 0 ||
	    group_prove(&g, store_keys(r->s), r->plain, &r->err) != 0)
		fail(r);
	if (group_each(&g, find, &w) != 1) {
		(void)err_set(&r->err, ERR_CORRUPT, "a chunk is not in its group");
		fail(r);
	}
	return r->plain + w.offset + e->chunk_offset;
}

static int
write_extent(void *arg, const struct extent *e)
{
	static const uint8_t zeros[4096];
	struct reading *r = arg;
	const uint8_t *p = e->kind == EXTENT_DATA ? content(r, e) : NULL;

	if (p != NULL)
		return fwrite(p, 1, e->len, stdout) != e->len;
	for (uint32_t left = e->len, n; left > 0; left -= n) {
		n = left < sizeof(zeros) ? left : sizeof(zeros);
		if (fwrite(zeros, 1, n, stdout) != n)
			return 1;
	}
	return 0;
}

int
main(int argc, char **argv)
{
	struct reading r = { .err = ERR_INIT, .bytes = BUF_INIT(GROUP_LEN_MAX) };
	struct store_point *p = malloc(sizeof(*p));
	char *slash = argc == 4 ? strchr(argv[2], '/') : NULL;
	struct tree_walk *w;
	uint32_t i;

	if (slash == NULL)
		return 2;
	*slash = '\0';
	r.codec = codec_new();
	r.plain = malloc(GROUP_PLAIN_MAX);
	if (store_open(argv[1], &r.s, &r.err) != 0 ||
	    store_lease_open(r.s, argv[2], STORE_READ, &r.lease, &r.err) != 0 ||
	    store_point_get(r.s, argv[2], strtoull(slash + 1, NULL, 10), p, &r.err) != 0)
		fail(&r);
	for (i = 0; i < p->volumes_count && strcmp(p->volumes[i].name, argv[3]) != 0; i++)
		continue;
	if (i == p->volumes_count)
		(void)err_set(&r.err, ERR_NOTFOUND, "no volume %.60s", argv[3]);
	if (i == p->volumes_count ||
	    tree_walk_open(&p->volumes[i].root_id, store_node, r.lease, &w, &r.err) != 0)
		fail(&r);
	for (uint64_t n = 0; n < tree_spans(p->volumes[i].size); n++)
		if (tree_walk_span(w, n, write_extent, &r, &r.err) != 0)
			fail(&r);
	tree_walk_close(w);
	store_lease_close(r.lease);
	store_close(r.s);
	codec_free(r.codec);
	buf_free(&r.bytes);
	free(r.plain);
	free(p);
	return fflush(stdout) == 0 ? 0 : 1;
}
