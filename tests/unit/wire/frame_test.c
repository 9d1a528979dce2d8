#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/wire/frame.h"

enum { FRAMES = 40, BODY_MAX = 9000 };

static uint8_t wire[1 << 20], body[FRAMES][BODY_MAX];

/* Fill `wire` with random frames; returns its length. */
static size_t
make_frames(struct frame in[FRAMES])
{
	size_t len = 0;

	for (int i = 0; i < FRAMES; i++) {
		in[i].kind = (uint16_t)rand();
		in[i].flags = rand() & FRAME_MORE;
		in[i].request = (uint64_t)rand() << 32 ^ (uint64_t)rand();
		in[i].len = rand() % 4 ? (size_t)(rand() % BODY_MAX) : 0;
		for (size_t k = 0; k < in[i].len; k++)
			body[i][k] = (uint8_t)rand();
		in[i].payload = body[i];
		frame_encode_header(&in[i], wire + len);
		len += FRAME_HEADER_LEN;
		memcpy(wire + len, body[i], in[i].len);
		len += in[i].len;
	}
	return len;
}

static void
same_frame(const struct frame *got, const struct frame *want)
{
	assert_int_equal(got->kind, want->kind);
	assert_int_equal(got->flags, want->flags);
	assert_int_equal(got->request, want->request);
	assert_int_equal(got->len, want->len);
	if (want->len == 0)
		assert_null(got->payload);
	else
		assert_memory_equal(got->payload, want->payload, want->len);
}

static void
frames_survive_any_cut(void **state)
{
	(void)state;
	for (unsigned seed = 1; seed <= 200; seed++) {
		struct frame in[FRAMES], got;
		struct err err = ERR_INIT;
		size_t len, pos = 0, seen = 0;
		struct frame_decoder *d = frame_decoder_new(BODY_MAX);

		srand(seed);
		len = make_frames(in);
		while (pos < len) {
			size_t n = 1 + (size_t)rand() % (seed % 2 ? 5000 : 40);

			if (n > len - pos)
				n = len - pos;
			pos += frame_decoder_feed(d, wire + pos, n);
			while (frame_decoder_next(d, &got, &err) == FRAME_NEXT_READY) {
				assert_true(seen < FRAMES);
				same_frame(&got, &in[seen++]);
			}
			assert_int_equal(err.code, ERR_NONE);
		}
		assert_int_equal(seen, FRAMES);
		frame_decoder_free(d);
	}
}

static void
feed_stops_at_the_end_of_a_frame(void **state)
{
	static const uint8_t two[] = { 1, 0, 0, 0, 25, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0,
		'a', 0, 0, 0, 0, 26, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0 };
	struct frame_decoder *d = frame_decoder_new(64);
	struct err err = ERR_INIT;
	struct frame f;

	(void)state;
	assert_int_equal(frame_decoder_next(d, &f, &err), FRAME_NEXT_WANT);
	assert_int_equal(frame_decoder_feed(d, two, sizeof(two)), 17);
	assert_int_equal(frame_decoder_feed(d, two + 17, sizeof(two) - 17), 0);
	assert_int_equal(frame_decoder_next(d, &f, &err), FRAME_NEXT_READY);
	assert_int_equal(f.kind, 25);
	assert_int_equal(frame_decoder_next(d, &f, &err), FRAME_NEXT_WANT);
	assert_int_equal(frame_decoder_feed(d, two + 17, 16), 16);
	assert_int_equal(frame_decoder_next(d, &f, &err), FRAME_NEXT_READY);
	assert_int_equal(f.kind, 26);
	assert_int_equal(f.len, 0);
	assert_null(f.payload);
	frame_decoder_free(d);
}

/* What a header says, and what must come of it with a limit of 64 bytes. */
static const struct {
	const char *name;
	uint32_t len;
	uint16_t flags;
	enum err_code code;
} headers[] = {
	{ "longest payload", 64, 0, ERR_NONE },
	{ "one byte more", 65, 0, ERR_LIMIT },
	{ "longest number", 0xffffffff, 0, ERR_LIMIT },
	{ "known flag", 0, FRAME_MORE, ERR_NONE },
	{ "unknown flag", 0, 2, ERR_PROTOCOL },
	{ "all flags", 0, 0xffff, ERR_PROTOCOL },
};

static void
bad_headers_are_refused_before_their_payload(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		uint8_t h[FRAME_HEADER_LEN] = { 0 };
		struct frame_decoder *d = frame_decoder_new(64);
		struct err err = ERR_INIT, again = ERR_INIT;
		struct frame f;
		enum frame_next next;

		store_le32(h, headers[i].len);
		store_le16(h + 6, headers[i].flags);
		assert_int_equal(frame_decoder_feed(d, h, sizeof(h)), sizeof(h));
		next = frame_decoder_next(d, &f, &err);
		if (err.code != headers[i].code)
			fail_msg(
			    "%s: %s (%s)", headers[i].name, err_name(err.code), err.text);
		if (headers[i].code != ERR_NONE) {
			/* It is final: takes nothing more, says the same again. */
			assert_int_equal(next, FRAME_NEXT_BROKEN);
			assert_int_equal(frame_decoder_feed(d, h, sizeof(h)), 0);
			assert_int_equal(
			    frame_decoder_next(d, &f, &again), FRAME_NEXT_BROKEN);
			assert_int_equal(again.code, err.code);
		}
		frame_decoder_free(d);
	}
	frame_decoder_free(NULL);
}

static void
limit_can_be_raised_later(void **state)
{
	uint8_t h[FRAME_HEADER_LEN] = { 65 };
	struct frame_decoder *d = frame_decoder_new(64);
	struct err err = ERR_INIT;
	struct frame f;

	(void)state;
	assert_int_equal(frame_decoder_feed(d, h, 8), 8);
	frame_decoder_limit(d, 65);
	assert_int_equal(frame_decoder_feed(d, h + 8, 8), 8);
	assert_int_equal(frame_decoder_next(d, &f, &err), FRAME_NEXT_WANT);
	assert_int_equal(err.code, ERR_NONE);
	assert_true(frame_decoder_inside(d));
	frame_decoder_free(d);
}

static void
decoder_knows_whether_it_is_inside_a_frame(void **state)
{
	uint8_t h[FRAME_HEADER_LEN] = { 0 };
	struct frame_decoder *d = frame_decoder_new(64);
	struct err err = ERR_INIT;
	struct frame f;

	(void)state;
	assert_false(frame_decoder_inside(d));
	assert_int_equal(frame_decoder_feed(d, h, 1), 1);
	assert_true(frame_decoder_inside(d));
	assert_int_equal(frame_decoder_feed(d, h + 1, 15), 15);
	assert_int_equal(frame_decoder_next(d, &f, &err), FRAME_NEXT_READY);
	assert_false(frame_decoder_inside(d));
	frame_decoder_free(d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_survive_any_cut),
		cmocka_unit_test(feed_stops_at_the_end_of_a_frame),
		cmocka_unit_test(bad_headers_are_refused_before_their_payload),
		cmocka_unit_test(limit_can_be_raised_later),
		cmocka_unit_test(decoder_knows_whether_it_is_inside_a_frame),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
