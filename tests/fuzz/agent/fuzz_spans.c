/*
 * What the agent remembers of spans, in files that somebody else wrote: an index and a
 * bag, as a tree's nodes and as the shape of a map.  All that is given lies in the bag; nothing
 * of a tree is given that is not what its id says.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/backup/cache.h"
#include "agent/backup/proof.h"
#include "agent/backup/shape.h"
#include "agent/backup/spans.h"
#include "agent/map/volmap.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/file.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/tree.h"
#include "tests/unit/scratch.h"

static const struct spans_kind kind = {
	.magic = { 'F', 'U', 'Z', 'Z', 'S', 'P', 'A', 'N' },
	.bag = "spans",
	.settled = "=kept",
	.repeats = 1,
};

static char dir[SCRATCH_MAX];

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);

static void
clean(void)
{
	scratch_drop(dir);
}

static void
put(const char *name, const char *magic, const uint8_t *p, size_t len)
{
	char path[SCRATCH_MAX + 32];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	if ((f = fopen(path, "wb")) == NULL)
		abort();
	if (magic != NULL && len >= SPANS_HEADER) {
		uint8_t *copy = malloc(len);

		if (copy == NULL)
			abort();
		memcpy(copy, p, len);
		memcpy(copy, magic, 8);
		blake3(copy, 992, NULL, copy + 992, 32);
		(void)fwrite(copy, 1, len, f);
		free(copy);
	} else {
		(void)fwrite(p, 1, len, f);
	}
	(void)fclose(f);
}

static void
read_spans(const char *path, const struct chunk_id *root)
{
	struct buf out = BUF_INIT(SPANS_RECORD_MAX);
	uint8_t owner[SPANS_OWNED] = { 0 };
	struct err err = ERR_INIT;
	struct chunk_id id;
	char kept[SCRATCH_MAX + 32];
	struct spans *s;
	uint64_t at;

	if (spans_open(path, &kind, NULL, &s, &err) == 1) {
		for (uint64_t n = 0; n < spans_count(s) && n < 64; n++)
			if (spans_get(s, spans_at(s, n * 1021), &out))
				assert(out.len > 0 && out.len <= SPANS_RECORD_MAX);
		for (uint64_t n = 0; n <= spans_names(s) && n < 64; n++)
			(void)spans_name(s, n, &id, &at);
		assert(spans_header(s)[0] == 'F');
		spans_close(s);
	}
	(void)spans_seal(path, &kind, root, owner, &err);
	err_clear(&err);
	(void)snprintf(kept, sizeof(kept), "%s/c=kept", dir);
	(void)spans_settle(path, kept, &kind, &err);
	buf_free(&out);
}

static int
node(void *arg, uint64_t span, const struct chunk_id *id, const uint8_t *p, size_t len,
    struct err *err)
{
	struct chunk_id real;

	(void)span;
	(void)err;
	chunk_id_of(arg, CHUNK_META, p, len, &real);
	assert(chunk_id_cmp(&real, id) == 0);
	return 0;
}

static void
read_cache(const char *path, const struct chunk_id *root, const struct chunk_keys *keys)
{
	struct buf out = BUF_INIT(CHUNK_META_MAX);
	struct err err = ERR_INIT;
	struct cache *c;

	if (cache_open(path, root, keys, &c, &err) != 1)
		return;
	for (uint64_t n = 0; n < 70; n++) {
		(void)cache_leaf_is(c, n, root);
		(void)cache_leaf(c, n, &out);
	}
	(void)cache_inner(c, root, &out, &err);
	err_clear(&err);
	(void)cache_each(c, node, (void *)(uintptr_t)keys, &err);
	cache_close(c);
	buf_free(&out);
}

static void
read_shape(const char *path, const struct chunk_id *root)
{
	struct volmap_piece two[2] = { { 8192, 4096 }, { 65536, 4096 } };
	struct volmap_cut cut = {
		.kind = VOLMAP_DATA, .offset = 8192, .len = 8192, .count = 2, .piece = two
	};
	struct err err = ERR_INIT;
	struct proof proof;
	struct shape *s;
	uint64_t end;
	int ends;

	if (shape_open(path, root, &s, &proof, &err) != 1)
		return;
	assert(proof.slices > 0 && proof.slices <= PROOF_SLICES_MAX);
	for (uint64_t at = 0; at < 20 * TREE_SPAN_LEN; at += TREE_SPAN_LEN / 2) {
		end = shape_part_end(s, at, &ends);
		assert(end == 0 || end > at);
		cut.offset = at;
		(void)shape_has(s, &cut);
	}
	shape_close(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 1 };
	struct chunk_id root = { { 0 } };
	struct chunk_keys keys;
	char path[SCRATCH_MAX + 32];
	size_t index;

	if (dir[0] == '\0') {
		scratch_make(dir);
		(void)atexit(clean);
	}
	if (len < 2)
		return 0;
	index = load_le16(p);
	p += 2;
	len -= 2;
	if (index > len)
		index = len;
	if (index >= SPANS_HEADER)
		memcpy(root.b, p + SPANS_ROOT, CHUNK_ID_LEN);
	put("c", "HFCACHE2", p, index);
	put("c=shape", "HFSHAPE2", p, index);
	put("c=made", "FUZZSPAN", p, index);
	put("c=nodes0", NULL, p + index, len - index);
	put("c=cuts0", NULL, p + index, len - index);
	put("c=spans0", NULL, p + index, len - index);
	put("c=spans1", NULL, p + index, len - index);
	chunk_keys_init(&keys, domain);
	(void)snprintf(path, sizeof(path), "%s/c", dir);
	read_cache(path, &root, &keys);
	(void)snprintf(path, sizeof(path), "%s/c=shape", dir);
	read_shape(path, &root);
	(void)snprintf(path, sizeof(path), "%s/c=made", dir);
	read_spans(path, &root);
	return 0;
}
