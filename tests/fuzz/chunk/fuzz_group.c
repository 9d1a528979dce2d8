/*
 * Groups: every gate, on bytes that come from anywhere.  The mutator makes the
 * hash of the stored bytes right, so that the gates behind it are reached.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/group_format.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static void
must(int holds)
{
	if (!holds)
		abort();
}

struct tally {
	const struct group *g;
	uint32_t count;
	uint64_t bytes;
};

static int
count_one(void *arg, const struct group_entry *e)
{
	struct tally *t = arg;

	must(e->len > 0 && e->offset == t->bytes);
	t->count++;
	t->bytes += e->len;
	return 0;
}

static void
take(const struct group *g)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 9 };
	static struct codec *codec;
	struct tally t = { g, 0, 0 };
	struct group_entry last;
	struct chunk_keys keys;
	struct err err = ERR_INIT;
	uint8_t *plain;

	must(group_each(g, count_one, &t) == 0);
	must(t.count == g->count && t.bytes == g->plain_len);
	group_entry(g, g->count - 1, &last);
	must(last.offset + last.len == g->plain_len);
	if (group_check(g, &err) == -1) {
		must(err.code == ERR_CORRUPT);
		return;
	}
	/* One context for all runs: a hostile frame must not spoil the next. */
	must(codec != NULL || (codec = codec_new()) != NULL);
	must((plain = malloc(g->plain_len)) != NULL);
	chunk_keys_init(&keys, domain);
	if (group_decode(codec, g, plain, &err) == -1 ||
	    group_prove(g, &keys, plain, &err) == -1)
		must(err.code == ERR_CORRUPT);
	free(plain);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT, peek_err = ERR_INIT;
	size_t peeked = 0;
	struct group g;
	int r;

	r = group_parse(p, len, &g, &err);
	if (len >= GROUP_HEADER_LEN && group_peek(p, &peeked, &peek_err) == -1)
		must(r == -1 && peek_err.code == err.code);
	if (r == -1) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		return 0;
	}
	must(g.len == peeked && g.len <= len && g.len <= GROUP_LEN_MAX);
	take(&g);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	struct err err = ERR_INIT;
	size_t peeked;

	len = LLVMFuzzerMutate(p, len, max);
	if (seed % 16 != 0 && len >= GROUP_HEADER_LEN &&
	    group_peek(p, &peeked, &err) == 0 && peeked <= len)
		group_hash(p, peeked, p + AT_HASH);
	return len;
}
