/*
 * Groups: what is built is parsed, checked, decoded and proven; what was
 * changed on the way is not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/group_format.h"

static const uint8_t domain[CHUNK_KEY_LEN] = { 9 };

struct world {
	struct chunk_keys keys;
	struct codec *codec;
	struct buf out;
	uint8_t *plain; /* What went in. */
	uint8_t *back;	/* GROUP_PLAIN_MAX bytes, for what comes out. */
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	size_t i;

	assert_non_null(w);
	chunk_keys_init(&w->keys, domain);
	assert_non_null(w->codec = codec_new());
	w->out.max = GROUP_LEN_MAX;
	assert_non_null(w->plain = malloc(GROUP_PLAIN_MAX));
	assert_non_null(w->back = malloc(GROUP_PLAIN_MAX));
	for (i = 0; i < GROUP_PLAIN_MAX; i++)
		w->plain[i] = (uint8_t)(i >> 4);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	codec_free(w->codec);
	buf_free(&w->out);
	free(w->plain);
	free(w->back);
	free(w);
	return 0;
}

static void
scramble(struct world *w)
{
	uint32_t x = 5;
	size_t i;

	for (i = 0; i < GROUP_PLAIN_MAX; i++) {
		x = x * 1664525u + 1013904223u;
		w->plain[i] = (uint8_t)(x >> 24);
	}
}

/* A group of `n` chunks of `len` bytes in w->out. */
static void
build(struct world *w, enum chunk_kind kind, uint32_t n, size_t len)
{
	struct group_builder *b = group_builder_new(kind);
	struct err err = ERR_INIT;
	struct chunk_id id;
	uint32_t i;

	assert_non_null(b);
	for (i = 0; i < n; i++) {
		chunk_id_of(&w->keys, kind, w->plain + i * len, len, &id);
		assert_int_equal(
		    group_builder_add(b, &id, w->plain + i * len, len, &err), 0);
	}
	assert_int_equal(group_builder_count(b), n);
	assert_int_equal(group_builder_plain(b), n * len);
	assert_int_equal(group_builder_finish(b, w->codec, 1, &w->out, &err), 0);
	assert_int_equal(group_builder_count(b), 0);
	assert_int_equal(group_builder_plain(b), 0);
	group_builder_free(b);
}

/* All gates; ERR_NONE, or why it was refused. */
static enum err_code
take(struct world *w, const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;
	struct group g;

	if (group_parse(p, len, &g, &err) == 0 && group_check(&g, &err) == 0 &&
	    group_decode(w->codec, &g, w->back, &err) == 0)
		(void)group_prove(&g, &w->keys, w->back, &err);
	return err.code;
}

static void
what_is_built_comes_back(void **state)
{
	static const struct {
		enum chunk_kind kind;
		uint32_t n;
		size_t len;
	} cases[] = {
		{ CHUNK_DATA, 1, 1 },
		{ CHUNK_DATA, 8, 65536 },
		{ CHUNK_DATA, 4096, 512 },
		{ CHUNK_DATA, 8, CHUNK_DATA_MAX },
		{ CHUNK_META, 2, CHUNK_META_MAX },
		{ CHUNK_META, 3, 777 },
	};
	struct world *w = *state;
	size_t i, peeked;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		for (i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
			struct err err = ERR_INIT;
			struct group g;

			build(w, cases[i].kind, cases[i].n, cases[i].len);
			assert_int_equal(take(w, w->out.p, w->out.len), ERR_NONE);
			assert_memory_equal(w->back, w->plain, cases[i].n * cases[i].len);
			assert_int_equal(group_peek(w->out.p, &peeked, &err), 0);
			assert_int_equal(peeked, w->out.len);
			assert_int_equal(group_parse(w->out.p, w->out.len, &g, &err), 0);
			assert_int_equal(g.kind, cases[i].kind);
			assert_int_equal(g.count, cases[i].n);
			assert_int_equal(g.codec,
			    pass == 1 || cases[i].len == 1 ? GROUP_RAW : GROUP_ZSTD);
		}
		scramble(w); /* Now compression does not pay. */
	}
}

static int
third(void *arg, const struct group_entry *e)
{
	struct group_entry *out = arg;

	*out = *e;
	return e->offset == 2000 ? 42 : 0;
}

static void
entries_tell_place_and_length(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	struct group_entry e, f;
	struct chunk_id id;
	struct group g;

	build(w, CHUNK_DATA, 5, 1000);
	assert_int_equal(group_parse(w->out.p, w->out.len, &g, &err), 0);
	group_entry(&g, 4, &e);
	assert_int_equal(e.offset, 4000);
	assert_int_equal(e.len, 1000);
	chunk_id_of(&w->keys, CHUNK_DATA, w->plain + 4000, 1000, &id);
	assert_int_equal(chunk_id_cmp(&id, &e.id), 0);
	assert_int_equal(group_each(&g, third, &f), 42);
	assert_int_equal(f.offset, 2000);
}

static void
group_may_be_followed_by_others(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	struct buf two = BUF_INIT(2 * GROUP_LEN_MAX);
	struct group g;
	size_t first;

	build(w, CHUNK_DATA, 3, 100);
	first = w->out.len;
	assert_int_equal(buf_add(&two, w->out.p, w->out.len, &err), 0);
	build(w, CHUNK_META, 2, 200);
	assert_int_equal(buf_add(&two, w->out.p, w->out.len, &err), 0);
	assert_int_equal(group_parse(two.p, two.len, &g, &err), 0);
	assert_int_equal(g.len, first);
	assert_int_equal(group_check(&g, &err), 0);
	assert_int_equal(take(w, two.p + first, two.len - first), ERR_NONE);
	buf_free(&two);
}

/* No byte of a group may change unnoticed, nor any of it be missing. */
static void
every_changed_byte_is_noticed(void **state)
{
	struct world *w = *state;
	size_t i, n;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		build(w, CHUNK_DATA, 3, 50);
		for (i = 0; i < w->out.len; i++) {
			w->out.p[i] ^= 1;
			assert_int_not_equal(take(w, w->out.p, w->out.len), ERR_NONE);
			w->out.p[i] ^= 0x81;
			assert_int_not_equal(take(w, w->out.p, w->out.len), ERR_NONE);
			w->out.p[i] ^= 0x80;
		}
		for (n = 0; n < w->out.len; n++)
			assert_int_equal(take(w, w->out.p, n), ERR_CORRUPT);
		assert_int_equal(take(w, w->out.p, w->out.len), ERR_NONE);
		scramble(w);
	}
}

static enum err_code
take_patched(struct world *w, size_t at, uint32_t value, size_t width)
{
	uint8_t raw[4], saved[4];
	enum err_code code;
	size_t peeked;
	struct err err = ERR_INIT;

	store_le32(raw, value);
	memcpy(saved, w->out.p + at, width);
	memcpy(w->out.p + at, raw, width);
	group_hash(w->out.p, w->out.len, w->out.p + AT_HASH);
	code = take(w, w->out.p, w->out.len);
	/* What the header alone tells, peek tells too. */
	if (group_peek(w->out.p, &peeked, &err) == -1)
		assert_int_equal(err.code, code);
	memcpy(w->out.p + at, saved, width);
	return code;
}

/* A forger can fix the hash: the other gates stand without it. */
static void
lies_with_a_good_hash_are_refused(void **state)
{
	struct world *w = *state;
	size_t entry = GROUP_HEADER_LEN + CHUNK_ID_LEN;

	build(w, CHUNK_DATA, 3, 5000);
	assert_int_equal(take_patched(w, 0, 0x30474649, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_KIND, 0, 1), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_KIND, 3, 1), ERR_CORRUPT);
	/* The same bytes as another kind have other names. */
	assert_int_equal(take_patched(w, AT_KIND, CHUNK_META, 1), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_CODEC, 2, 1), ERR_UNSUPPORTED);
	assert_int_equal(take_patched(w, AT_CODEC, GROUP_RAW, 1), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_CIPHER, 1, 1), ERR_UNSUPPORTED);
	assert_int_equal(take_patched(w, AT_CIPHER, 0xff, 1), ERR_UNSUPPORTED);
	assert_int_equal(take_patched(w, AT_REQUIRED, 1, 2), ERR_UNSUPPORTED);
	assert_int_equal(take_patched(w, AT_OPTIONAL, 1, 2), ERR_NONE);
	assert_int_equal(take_patched(w, AT_KEY_ID, 1, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_RESERVED, 1, 1), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_FIELDS_LEN, 1, 4), ERR_CORRUPT);
	assert_int_equal(
	    take_patched(w, AT_FIELDS_LEN, GROUP_FIELDS_MAX + 1, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_COUNT, 0, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_COUNT, 2, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_COUNT, 4, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_COUNT, GROUP_CHUNKS_MAX + 1, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_COUNT, 0xffffffff, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_PLAIN_LEN, 0, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_PLAIN_LEN, 14999, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_PLAIN_LEN, 15001, 4), ERR_CORRUPT);
	assert_int_equal(
	    take_patched(w, AT_PLAIN_LEN, GROUP_PLAIN_MAX + 1, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_DATA_LEN, 0, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_DATA_LEN, 10, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, AT_DATA_LEN, 0xffffffff, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, entry, 0, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, entry, 5001, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, entry, CHUNK_DATA_MAX + 1, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, entry, 0xffffffff, 4), ERR_CORRUPT);
	assert_int_equal(take_patched(w, GROUP_HEADER_LEN, 0, 4), ERR_CORRUPT);
	assert_int_equal(
	    take_patched(w, GROUP_HEADER_LEN, load_le32(w->out.p + GROUP_HEADER_LEN), 4),
	    ERR_NONE);
}

/* Lengths are judged before anything is read by them, however much follows. */
static void
parse_alone_refuses_lengths_that_do_not_fit(void **state)
{
	static const struct {
		size_t at;
		uint32_t value;
	} lies[] = {
		{ AT_DATA_LEN, 15000 },
		{ AT_DATA_LEN, 15001 },
		{ AT_PLAIN_LEN, 14999 },
		{ AT_PLAIN_LEN, 15001 },
		{ AT_COUNT, 2 },
		{ GROUP_HEADER_LEN + CHUNK_ID_LEN, 4999 },
		{ GROUP_HEADER_LEN + CHUNK_ID_LEN, 5001 },
		{ GROUP_HEADER_LEN + CHUNK_ID_LEN, 0 },
	};
	struct world *w = *state;
	struct err err = ERR_INIT;
	uint8_t *room;
	struct group g;
	size_t i;

	build(w, CHUNK_DATA, 3, 5000);
	for (i = 0; i < sizeof(lies) / sizeof(*lies); i++) {
		assert_non_null(room = calloc(1, GROUP_LEN_MAX));
		memcpy(room, w->out.p, w->out.len);
		assert_int_equal(group_parse(room, GROUP_LEN_MAX, &g, &err), 0);
		store_le32(room + lies[i].at, lies[i].value);
		assert_int_equal(group_parse(room, GROUP_LEN_MAX, &g, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		err_clear(&err);
		free(room);
	}
}

static void
builder_keeps_its_limits(void **state)
{
	struct world *w = *state;
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct err err = ERR_INIT;
	struct chunk_id id;
	uint32_t i;

	memset(&id, 0, sizeof(id));
	assert_non_null(b);
	assert_int_equal(group_builder_full(b, GROUP_PLAIN_MAX), 0);
	assert_int_not_equal(group_builder_full(b, GROUP_PLAIN_MAX + 1), 0);
	assert_int_equal(group_builder_add(b, &id, w->plain, 0, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	assert_int_equal(
	    group_builder_add(b, &id, w->plain, CHUNK_DATA_MAX + 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	for (i = 0; i < 8; i++) {
		assert_int_equal(group_builder_full(b, CHUNK_DATA_MAX),
		    i >= GROUP_PLAIN_TARGET / CHUNK_DATA_MAX);
		assert_int_equal(
		    group_builder_add(b, &id, w->plain, CHUNK_DATA_MAX, &err), 0);
	}
	assert_int_equal(group_builder_add(b, &id, w->plain, 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	assert_int_equal(group_builder_count(b), 8);
	assert_int_equal(group_builder_finish(b, w->codec, 1, &w->out, &err), 0);
	for (i = 0; i < GROUP_CHUNKS_MAX; i++) {
		assert_int_equal(group_builder_full(b, 1), 0);
		assert_int_equal(group_builder_add(b, &id, w->plain, 1, &err), 0);
	}
	assert_int_not_equal(group_builder_full(b, 1), 0);
	assert_int_equal(group_builder_add(b, &id, w->plain, 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	group_builder_free(b);
	group_builder_free(NULL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    what_is_built_comes_back, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    entries_tell_place_and_length, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    group_may_be_followed_by_others, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    every_changed_byte_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    lies_with_a_good_hash_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    parse_alone_refuses_lengths_that_do_not_fit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    builder_keeps_its_limits, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
