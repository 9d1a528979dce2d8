/*
 * zstd frames: round trips, and nothing but one whole honest frame is taken.
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

#define LIMIT (4u * 1024 * 1024)

static uint8_t plain[1024 * 1024], back[1024 * 1024];

static void
fill(void)
{
	uint32_t x = 7;
	size_t i;

	for (i = 0; i < sizeof(plain); i++) {
		x = x * 1664525u + 1013904223u;
		plain[i] = (uint8_t)((x >> 24) & ((i >> 12) & 1 ? 0xff : 0x0f));
	}
}

static void
what_is_packed_comes_back(void **state)
{
	static const size_t lens[] = { 1, 2, 100, 65536, 65537, sizeof(plain) };
	static const int levels[] = { 1, 3, 19 };
	struct codec *c = codec_new();
	struct buf out = BUF_INIT(LIMIT);
	struct err err = ERR_INIT;
	size_t i, j;

	(void)state;
	assert_non_null(c);
	fill();
	for (i = 0; i < sizeof(lens) / sizeof(*lens); i++)
		for (j = 0; j < sizeof(levels) / sizeof(*levels); j++) {
			size_t before = out.len;

			if (before > LIMIT / 4)
				buf_clear(&out), before = 0;
			assert_int_equal(
			    codec_pack(c, levels[j], plain, lens[i], &out, &err), 0);
			memset(back, 0xaa, lens[i]);
			assert_int_equal(codec_unpack(c, out.p + before, out.len - before,
					     back, lens[i], &err),
			    0);
			assert_memory_equal(back, plain, lens[i]);
		}
	codec_free(c);
	codec_free(NULL);
	buf_free(&out);
}

/* What one level sets does not stay for the next. */
static void
levels_do_not_depend_on_those_before(void **state)
{
	struct codec *used = codec_new(), *fresh;
	struct buf a = BUF_INIT(LIMIT), b = BUF_INIT(LIMIT);
	struct err err = ERR_INIT;
	int level;

	(void)state;
	assert_non_null(used);
	fill();
	for (level = 1; level <= 7; level++) {
		buf_clear(&a);
		buf_clear(&b);
		assert_int_equal(codec_pack(used, 3, plain, 100000, &a, &err), 0);
		buf_clear(&a);
		assert_int_equal(
		    codec_pack(used, level, plain, sizeof(plain), &a, &err), 0);
		assert_non_null(fresh = codec_new());
		assert_int_equal(
		    codec_pack(fresh, level, plain, sizeof(plain), &b, &err), 0);
		assert_int_equal(a.len, b.len);
		assert_memory_equal(a.p, b.p, a.len);
		codec_free(fresh);
	}
	codec_free(used);
	buf_free(&a);
	buf_free(&b);
}

static void
refuse(struct codec *c, const uint8_t *p, size_t len, size_t plain_len)
{
	struct err err = ERR_INIT;

	assert_int_equal(codec_unpack(c, p, len, back, plain_len, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
}

static void
only_one_whole_frame_of_the_right_length_is_taken(void **state)
{
	struct codec *c = codec_new();
	struct buf out = BUF_INIT(LIMIT);
	struct err err = ERR_INIT;
	uint8_t *twice;
	size_t n;

	(void)state;
	assert_non_null(c);
	fill();
	assert_int_equal(codec_pack(c, 3, plain, 5000, &out, &err), 0);
	for (n = 0; n < out.len; n++)
		refuse(c, out.p, n, 5000);
	refuse(c, out.p, out.len, 4999);
	refuse(c, out.p, out.len, 5001);
	refuse(c, out.p, out.len, 0);
	assert_non_null(twice = malloc(2 * out.len));
	memcpy(twice, out.p, out.len);
	memcpy(twice + out.len, out.p, out.len);
	refuse(c, twice, 2 * out.len, 5000);
	refuse(c, twice, 2 * out.len, 10000);
	refuse(c, twice, out.len + 1, 5000);
	/* zstd itself would pass over a skippable frame. */
	store_le32(twice + out.len, 0x184d2a50);
	store_le32(twice + out.len + 4, 4);
	refuse(c, twice, out.len + 12, 5000);
	twice[0] ^= 1;
	refuse(c, twice, out.len, 5000);
	free(twice);
	/* The context is as good as new after all this. */
	assert_int_equal(codec_unpack(c, out.p, out.len, back, 5000, &err), 0);
	assert_memory_equal(back, plain, 5000);
	codec_free(c);
	buf_free(&out);
}

/* One raw block of 4 bytes, content size in 4 bytes, and the window we say. */
static void
a_frame_with_a_vast_window_is_refused(void **state)
{
	uint8_t frame[17] = { 0x28, 0xb5, 0x2f, 0xfd, 0x80, 0, 4, 0, 0, 0, 0x21, 0, 0,
		'a', 'b', 'c', 'd' };
	struct codec *c = codec_new();
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(c);
	frame[5] = (22 - 10) << 3;
	assert_int_equal(codec_unpack(c, frame, sizeof(frame), back, 4, &err), 0);
	assert_memory_equal(back, "abcd", 4);
	frame[5] = (23 - 10) << 3;
	refuse(c, frame, sizeof(frame), 4);
	frame[5] = 0xff;
	refuse(c, frame, sizeof(frame), 4);
	/* A skippable frame holds nothing. */
	store_le32(frame, 0x184d2a50);
	store_le32(frame + 4, sizeof(frame) - 8);
	refuse(c, frame, sizeof(frame), 0);
	refuse(c, frame, sizeof(frame), 4);
	codec_free(c);
}

static void
a_full_buffer_is_a_limit_not_a_crash(void **state)
{
	struct codec *c = codec_new();
	struct buf out = BUF_INIT(100);
	struct err err = ERR_INIT;

	(void)state;
	assert_non_null(c);
	assert_int_equal(codec_pack(c, 3, plain, 1000, &out, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	assert_int_equal(out.len, 0);
	codec_free(c);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_packed_comes_back),
		cmocka_unit_test(levels_do_not_depend_on_those_before),
		cmocka_unit_test(only_one_whole_frame_of_the_right_length_is_taken),
		cmocka_unit_test(a_frame_with_a_vast_window_is_refused),
		cmocka_unit_test(a_full_buffer_is_a_limit_not_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
