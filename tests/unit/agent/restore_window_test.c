/* How wide the next window of a restore is: as wide as the pieces allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "agent/restore/restore_window.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"

/* Spans for the next window after one of `spans` spans with `pieces` pieces. */
static uint32_t
after(uint32_t spans, uint32_t pieces)
{
	struct restore_window *w = restore_window_new(0, spans);
	struct extent e = { .kind = EXTENT_DATA, .len = 512, .chunk_len = 512 };
	struct err err = ERR_INIT;
	uint32_t next;

	assert_non_null(w);
	/* Data is noted and nothing more: no target is needed. */
	for (uint32_t i = 0; i < pieces; i++, e.offset += e.len)
		assert_int_equal(restore_window_extent(w, NULL, &e, &err), 0);
	next = restore_window_next(w);
	restore_window_free(w);
	return next;
}

static void
few_pieces_double_it_up_to_a_gigabyte(void **state)
{
	(void)state;
	assert_int_equal(after(RESTORE_SPANS_MIN, 0), 2 * RESTORE_SPANS_MIN);
	assert_int_equal(after(8, RESTORE_PIECES / 2), 16);
	assert_int_equal(after(16, 100), 32);
	assert_int_equal(after(32, 100), RESTORE_SPANS_MAX);
	assert_int_equal(after(RESTORE_SPANS_MAX, 0), RESTORE_SPANS_MAX);
	assert_int_equal((uint64_t)RESTORE_SPANS_MAX * TREE_SPAN_LEN, 1u << 30);
	/* The last window of a volume may be short; what comes after it is not. */
	assert_int_equal(after(1, 0), RESTORE_SPANS_MIN);
}

static void
many_pieces_keep_it_to_what_memory_allows(void **state)
{
	(void)state;
	/* As many pieces a span as before are about RESTORE_PIECES. */
	assert_int_equal(after(32, RESTORE_PIECES), 32);
	assert_int_equal(after(32, RESTORE_PIECES * 3 / 4), 42);
	assert_int_equal(after(32, RESTORE_PIECES * 2), 16);
	assert_int_equal(after(64, RESTORE_PIECES * 4), 16);
	assert_int_equal(after(64, RESTORE_PIECES * 64), RESTORE_SPANS_MIN);
}

/* From the first window to the widest, and back when crumbs come. */
static void
windows_follow_what_the_volume_holds(void **state)
{
	uint32_t spans = RESTORE_SPANS_MIN, windows = 0, per_span = 100;

	(void)state;
	for (; spans < RESTORE_SPANS_MAX; windows++)
		spans = after(spans, spans * per_span);
	assert_int_equal(windows, 3);
	per_span = 4096;
	spans = after(spans, spans * per_span);
	assert_int_equal(spans, RESTORE_PIECES / per_span);
	assert_int_equal(after(spans, spans * per_span), spans);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_pieces_double_it_up_to_a_gigabyte),
		cmocka_unit_test(many_pieces_keep_it_to_what_memory_allows),
		cmocka_unit_test(windows_follow_what_the_volume_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
