#include "proto/chunk/blake3.h"

#include <string.h>

#include "proto/base/bytes.h"
#include "proto/chunk/blake3_ops.h"

/*
 * The tree (section 2.4) grows from the left: the stack holds the chaining
 * values of complete subtrees, the largest lowest.  Two equal neighbours on
 * its top are only merged once more input is known to follow, for the last
 * merge of all is the root and needs the flag ROOT.
 */

/* Whole chunks that are hashed at once: 64 KiB, our own chunks' size. */
#define AT_ONCE 64u

static void
start(struct blake3 *h, const uint32_t key[8], uint8_t flags)
{
	memcpy(h->key, key, sizeof(h->key));
	h->flags = flags;
	h->block_len = 0;
	h->blocks = 0;
	h->depth = 0;
	h->chunks = 0;
}

static void
load_words(uint32_t out[8], const uint8_t p[32])
{
	size_t i;

	for (i = 0; i < 8; i++)
		out[i] = load_le32(p + 4 * i);
}

void
blake3_init(struct blake3 *h, const uint8_t key[BLAKE3_KEY_LEN])
{
	uint32_t words[8];

	if (key == NULL) {
		start(h, blake3_iv, 0);
		return;
	}
	load_words(words, key);
	start(h, words, BLAKE3_KEYED_HASH);
}

/* ------------------------------------------------------------ the stack -- */

static void
parent_block(
    uint8_t block[BLAKE3_BLOCK_LEN], const uint32_t left[8], const uint32_t right[8])
{
	size_t i;

	for (i = 0; i < 8; i++) {
		store_le32(block + 4 * i, left[i]);
		store_le32(block + BLAKE3_CV_LEN + 4 * i, right[i]);
	}
}

static unsigned
ones(uint64_t x)
{
	unsigned n = 0;

	for (; x != 0; x &= x - 1)
		n++;
	return n;
}

/* More follows: merge what the chunks behind us allow. */
static void
merge(struct blake3 *h)
{
	unsigned left = ones(h->chunks);

	while (h->depth > left) {
		uint8_t block[BLAKE3_BLOCK_LEN];
		uint32_t out[16];

		h->depth--;
		parent_block(block, h->stack[h->depth - 1], h->stack[h->depth]);
		blake3_compress(
		    h->key, block, BLAKE3_BLOCK_LEN, 0, h->flags | BLAKE3_PARENT, out);
		memcpy(h->stack[h->depth - 1], out, BLAKE3_CV_LEN);
	}
}

/* Add the chaining value of a complete subtree of `chunks` chunks. */
static void
push(struct blake3 *h, const uint32_t cv[8], size_t chunks)
{
	merge(h);
	memcpy(h->stack[h->depth++], cv, BLAKE3_CV_LEN);
	h->chunks += chunks;
}

/* ------------------------------------------------------ the open chunk -- */

static uint32_t
start_flag(const struct blake3 *h)
{
	return h->blocks == 0 ? BLAKE3_CHUNK_START : 0;
}

/* Add bytes to the open chunk; they fit.  The last block is kept: it may end it. */
static void
chunk_add(struct blake3 *h, const uint8_t *p, size_t len)
{
	while (len > 0) {
		size_t n;

		if (h->block_len == BLAKE3_BLOCK_LEN) {
			uint32_t out[16];

			blake3_compress(h->blocks == 0 ? h->key : h->chunk_cv, h->block,
			    BLAKE3_BLOCK_LEN, h->chunks, h->flags | start_flag(h), out);
			memcpy(h->chunk_cv, out, BLAKE3_CV_LEN);
			h->blocks++;
			h->block_len = 0;
		}
		n = BLAKE3_BLOCK_LEN - h->block_len;
		if (n > len)
			n = len;
		memcpy(h->block + h->block_len, p, n);
		h->block_len = (uint8_t)(h->block_len + n);
		p += n;
		len -= n;
	}
}

static size_t
chunk_len(const struct blake3 *h)
{
	return (size_t)h->blocks * BLAKE3_BLOCK_LEN + h->block_len;
}

/* The open chunk is full and more follows. */
static void
chunk_close(struct blake3 *h)
{
	uint32_t out[16];

	blake3_compress(h->chunk_cv, h->block, BLAKE3_BLOCK_LEN, h->chunks,
	    h->flags | BLAKE3_CHUNK_END, out);
	h->blocks = 0;
	h->block_len = 0;
	push(h, out, 1);
}

/* --------------------------------------------------------- whole chunks -- */

/*
 * Add the complete subtree over the next `n` chunks, a power of two that the
 * chunks behind us are a multiple of.  Its two halves are pushed apart, for it
 * may be the root.
 */
static void
subtree(struct blake3 *h, const uint8_t *p, size_t n)
{
	const struct blake3_ops *ops = blake3_ops_current();
	uint8_t cvs[AT_ONCE * BLAKE3_CV_LEN];
	uint32_t cv[8];
	size_t left = n, i;

	ops->chunks(p, n, h->key, h->chunks, h->flags, cvs);
	for (; left > 2; left /= 2)
		ops->parents(cvs, left / 2, h->key, h->flags, cvs);
	for (i = 0; i < left; i++) {
		load_words(cv, cvs + i * BLAKE3_CV_LEN);
		push(h, cv, n / left);
	}
}

void
blake3_update(struct blake3 *h, const void *data, size_t len)
{
	const uint8_t *p = data;

	if (len == 0)
		return;
	if (chunk_len(h) > 0) {
		size_t n = BLAKE3_CHUNK_LEN - chunk_len(h);

		if (n > len)
			n = len;
		chunk_add(h, p, n);
		p += n;
		len -= n;
		if (len == 0)
			return;
		chunk_close(h);
	}
	while (len > BLAKE3_CHUNK_LEN) {
		size_t n = AT_ONCE;

		while (n > len / BLAKE3_CHUNK_LEN || h->chunks % n != 0)
			n /= 2;
		subtree(h, p, n);
		p += n * BLAKE3_CHUNK_LEN;
		len -= n * BLAKE3_CHUNK_LEN;
	}
	if (len > 0)
		merge(h);
	chunk_add(h, p, len);
}

/* ------------------------------------------------------------ the output -- */

/* The root's input, from which any amount of output is made (section 2.6). */
struct root {
	uint32_t cv[8];
	uint8_t block[BLAKE3_BLOCK_LEN];
	uint32_t block_len;
	uint32_t flags;
};

static void
root_of(const struct blake3 *h, struct root *r)
{
	uint32_t out[16];
	unsigned depth = h->depth;

	memset(r->block, 0, sizeof(r->block));
	if (chunk_len(h) > 0 || depth == 0) {
		memcpy(r->cv, h->blocks == 0 ? h->key : h->chunk_cv, sizeof(r->cv));
		memcpy(r->block, h->block, h->block_len);
		r->block_len = h->block_len;
		r->flags = h->flags | start_flag(h) | BLAKE3_CHUNK_END;
	} else {
		/* Only update()'s halves leave nothing open: there are two. */
		depth -= 2;
		memcpy(r->cv, h->key, sizeof(r->cv));
		parent_block(r->block, h->stack[depth], h->stack[depth + 1]);
		r->block_len = BLAKE3_BLOCK_LEN;
		r->flags = h->flags | BLAKE3_PARENT;
	}
	while (depth > 0) {
		uint64_t counter = (r->flags & BLAKE3_PARENT) != 0 ? 0 : h->chunks;

		depth--;
		blake3_compress(r->cv, r->block, r->block_len, counter, r->flags, out);
		memcpy(r->cv, h->key, sizeof(r->cv));
		parent_block(r->block, h->stack[depth], out);
		r->block_len = BLAKE3_BLOCK_LEN;
		r->flags = h->flags | BLAKE3_PARENT;
	}
}

void
blake3_final(const struct blake3 *h, uint8_t *out, size_t out_len)
{
	struct root r;
	uint64_t counter;

	root_of(h, &r);
	for (counter = 0; out_len > 0; counter++) {
		uint8_t bytes[BLAKE3_BLOCK_LEN];
		uint32_t words[16];
		size_t n = out_len < sizeof(bytes) ? out_len : sizeof(bytes), i;

		blake3_compress(
		    r.cv, r.block, r.block_len, counter, r.flags | BLAKE3_ROOT, words);
		for (i = 0; i < 16; i++)
			store_le32(bytes + 4 * i, words[i]);
		memcpy(out, bytes, n);
		out += n;
		out_len -= n;
	}
}

/* -------------------------------------------------------------- one call -- */

void
blake3(const void *p, size_t len, const uint8_t key[BLAKE3_KEY_LEN], uint8_t *out,
    size_t out_len)
{
	struct blake3 h;

	blake3_init(&h, key);
	blake3_update(&h, p, len);
	blake3_final(&h, out, out_len);
}

void
blake3_derive_key(
    const char *context, const void *material, size_t len, uint8_t *out, size_t out_len)
{
	struct blake3 h;
	uint8_t key[BLAKE3_KEY_LEN];
	uint32_t words[8];

	start(&h, blake3_iv, BLAKE3_DERIVE_KEY_CONTEXT);
	blake3_update(&h, context, strlen(context));
	blake3_final(&h, key, sizeof(key));
	load_words(words, key);
	start(&h, words, BLAKE3_DERIVE_KEY_MATERIAL);
	blake3_update(&h, material, len);
	blake3_final(&h, out, out_len);
}
