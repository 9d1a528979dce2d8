/* Copy-before-write: what was there at the cut is what is read, the host's writes go on
   whatever fails, and a chunk that nobody needs costs nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "driver/core/atomic.h"
#include "driver/core/bits.h"
#include "driver/core/copy.h"
#include "driver/core/diff.h"
#include "tests/unit/driver/ram_volume.h"

#define SHIFT 14
#define CHUNK (1u << SHIFT)
#define CHUNKS 64u
#define SIZE (CHUNKS * CHUNK)
#define MEMORY (1u << 20) /* all of it */
#define LATE (env_now() + (uint64_t)WAIT_SECONDS * 10000000)
#define HELPERS 3

struct frozen {
	struct ram ram;
	struct diff *diff;
	struct copy *copy;
	unsigned dropped, throttled;
	uint64_t why, where;
};

static void
tell(void *set, struct volume *v, enum hotcopy_event_code code, uint64_t argument)
{
	struct frozen *f = set;

	(void)v;
	pthread_mutex_lock(&f->ram.mutex);
	if (code == HOTCOPY_EVENT_DROPPED) {
		f->dropped++;
		f->why = argument;
	} else {
		f->throttled++;
		f->where = argument;
	}
	pthread_cond_broadcast(&f->ram.changed);
	pthread_mutex_unlock(&f->ram.mutex);
}

static void
room(void *set, struct volume *v)
{
	(void)set;
	(void)v;
}

static void
prepare(
    struct frozen *f, uint64_t size, uint64_t memory, uint32_t throttle_ms, bool lends)
{
	struct copy_want want = { .index = 3,
		.chunk_shift = SHIFT,
		.full = throttle_ms != 0 ? HOTCOPY_FULL_THROTTLE : HOTCOPY_FULL_DROP,
		.throttle_ms = throttle_ms,
		.copiers = 1 + HELPERS,
		.lends = lends,
		.notice = { tell, room, f } };

	memset(f, 0, sizeof *f);
	ram_make(&f->ram, 1, size, 1);
	f->diff = diff_make(memory, SHIFT);
	assert_non_null(f->diff);
	want.volume = f->ram.volume;
	want.diff = f->diff;
	f->copy = copy_make(&want);
	assert_non_null(f->copy);
	volume_helpers_start(f->ram.volume, HELPERS);
}

static void
cut(struct frozen *f)
{
	volume_gate_close(f->ram.volume);
	assert_true(volume_gate_drained(f->ram.volume, LATE));
	copy_begin(f->copy);
	volume_gate_open(f->ram.volume, f->copy);
}

static void
freeze(struct frozen *f)
{
	prepare(f, SIZE, 4 * MEMORY, 0, false);
	cut(f);
}

static void
release(struct frozen *f)
{
	volume_engine_remove(f->ram.volume);
	volume_helpers_stop(f->ram.volume);
	assert_int_equal(volume_state(f->ram.volume), HOTCOPY_IDLE);
	copy_free(f->copy);
	diff_free(f->diff);
	ram_end(&f->ram);
}

/* The image's bytes are all "fill". */
static void
assert_image(struct frozen *f, uint64_t offset, uint32_t length, uint8_t fill)
{
	uint8_t *out = malloc(length);

	assert_non_null(out);
	assert_int_equal(copy_read(f->copy, offset, out, length), COPY_OK);
	assert_true(ram_all(out, length, fill));
	free(out);
}

static enum copy_result
read_one(struct frozen *f, uint64_t chunk)
{
	uint8_t out[512];

	return copy_read(f->copy, chunk << SHIFT, out, sizeof out);
}

static void
first_write_is_held_and_the_image_stays(void **state)
{
	struct hotcopy_stats stats = { 0 };
	struct frozen f;

	(void)state;
	freeze(&f);
	assert_int_equal(volume_state(f.ram.volume), HOTCOPY_ACTIVE);
	assert_true(ram_write_now(&f.ram, CHUNK + 512, 4096, 2));
	assert_false(ram_write_now(&f.ram, CHUNK, 512, 3));
	assert_true(ram_all(f.ram.data + CHUNK + 512, 4096, 2));
	assert_image(&f, 0, SIZE, 1);
	assert_image(&f, CHUNK + 512, 512, 1);
	copy_stats(f.copy, &stats);
	assert_int_equal(stats.copied, 1);
	assert_int_equal(stats.needed, CHUNKS);
	assert_true(stats.reads_kept >= 2);
	assert_int_equal(stats.throttled, 0);
	release(&f);
}

static void
bad_reads_are_refused(void **state)
{
	struct frozen f;
	uint8_t out[1024];

	(void)state;
	prepare(&f, SIZE + 512, 4 * MEMORY, 0, false);
	cut(&f);
	assert_int_equal(copy_read(f.copy, 1, out, 512), COPY_BAD);
	assert_int_equal(copy_read(f.copy, 0, out, 511), COPY_BAD);
	assert_int_equal(copy_read(f.copy, SIZE, out, 1024), COPY_BAD);
	assert_int_equal(copy_read(f.copy, UINT64_MAX - 511, out, 1024), COPY_BAD);
	assert_int_equal(copy_read(f.copy, SIZE, out, 512), COPY_OK);
	/* The last chunk is short: a copy of it ends with the volume, too. */
	assert_true(ram_write_now(&f.ram, SIZE, 512, 2));
	assert_image(&f, SIZE, 512, 1);
	assert_int_equal(copy_read(f.copy, SIZE, out, 1024), COPY_BAD);
	assert_int_equal(copy_done(f.copy, SIZE, 512), COPY_OK);
	assert_int_equal(copy_read(f.copy, SIZE, out, 512), COPY_NOT_KEPT);
	release(&f);
}

static void
what_is_not_needed_costs_nothing_and_is_never_served(void **state)
{
	uint8_t unneeded[2] = { 0x04, 0x80 };
	struct hotcopy_stats stats = { 0 };
	struct frozen f;

	(void)state;
	prepare(&f, SIZE, 4 * MEMORY, 0, false);
	copy_exclude(f.copy, 4 * CHUNK + 512, 2 * CHUNK); /* chunk 5 alone lies in it */
	cut(&f);
	assert_false(ram_write_now(&f.ram, 5 * CHUNK, CHUNK, 2));
	assert_true(ram_write_now(&f.ram, 4 * CHUNK, 512, 2));
	assert_int_equal(read_one(&f, 5), COPY_NOT_KEPT);
	assert_int_equal(copy_unneeded(f.copy, 8, 16, unneeded), COPY_OK);
	assert_false(ram_write_now(&f.ram, 10 * CHUNK, 512, 2));
	assert_false(ram_write_now(&f.ram, 23 * CHUNK, 512, 2));
	assert_true(ram_write_now(&f.ram, 22 * CHUNK, 512, 2));
	assert_int_equal(read_one(&f, 10), COPY_NOT_KEPT);
	assert_int_equal(read_one(&f, 23), COPY_NOT_KEPT);
	assert_int_equal(copy_unneeded(f.copy, CHUNKS - 15, 16, unneeded), COPY_BAD);
	copy_stats(f.copy, &stats);
	assert_int_equal(stats.needed, CHUNKS - 3);
	/* A copy that was made is forgotten, and gives its room back. */
	assert_int_equal(copy_done(f.copy, 22 * CHUNK, CHUNK + 512), COPY_OK);
	assert_int_equal(read_one(&f, 22), COPY_NOT_KEPT);
	assert_int_equal(copy_done(f.copy, 4 * CHUNK, CHUNK), COPY_OK);
	{
		struct diff_space space;

		diff_space(f.diff, &space);
		assert_int_equal(space.memory_used, 0);
	}
	release(&f);
}

/* Room is not cleared when it is made, and a copy may be written out whole. */
static void
behind_the_end_of_the_volume_are_zeros(void **state)
{
	void *buffer[CHUNKS];
	uint8_t copy[CHUNK];
	unsigned n = 0;
	struct frozen f;

	(void)state;
	prepare(&f, SIZE - 512, MEMORY, 0, false);
	for (; n < CHUNKS && diff_take(f.diff, &buffer[n], 0); n++)
		memset(buffer[n], 0xee, CHUNK);
	while (n > 0)
		diff_give(f.diff, buffer[--n]);
	cut(&f);
	assert_true(ram_write_now(&f.ram, SIZE - CHUNK, 512, 2));
	assert_true(ram_write_now(&f.ram, 0, 4 * CHUNK, 2));
	for (unsigned i = 0; i < 4; i++) {
		assert_int_equal(diff_get(f.diff, 3, i, 0, copy, CHUNK), DIFF_OK);
		assert_true(ram_all(copy, CHUNK, 1));
	}
	assert_int_equal(diff_get(f.diff, 3, CHUNKS - 1, 0, copy, CHUNK), DIFF_OK);
	assert_true(ram_all(copy, CHUNK - 512, 1));
	assert_true(ram_all(copy + CHUNK - 512, 512, 0));
	release(&f);
}

static void
only_what_changed_is_needed(void **state)
{
	struct bits changed;
	struct frozen f;

	(void)state;
	assert_int_equal(bits_make(&changed, SIZE >> HOTCOPY_TRACK_SHIFT), 0);
	bits_set(&changed, 2);
	bits_set(&changed, 3);
	bits_set(&changed, 15);
	freeze(&f);
	copy_only(f.copy, &changed);
	/* Backwards: no stream that would take neighbours along. */
	for (uint64_t i = CHUNKS; i-- > 0;) {
		bool is = i / 4 == 2 || i / 4 == 3 || i / 4 == 15;

		assert_int_equal(read_one(&f, i), is ? COPY_OK : COPY_NOT_KEPT);
		assert_int_equal(ram_write_now(&f.ram, i << SHIFT, 512, 2), is);
	}
	bits_free(&changed);
	release(&f);
}

static void
neighbours_are_read_once_where_a_stream_is(void **state)
{
	struct frozen f;

	(void)state;
	freeze(&f);
	/* One write over a window: one read. */
	assert_true(ram_write_now(&f.ram, 0, 4 * CHUNK, 2));
	assert_int_equal(f.ram.reads, 1);
	/* The chunk before is kept: what follows in the window comes along. */
	assert_true(ram_write_now(&f.ram, 4 * CHUNK, 4096, 2));
	assert_int_equal(f.ram.reads, 2);
	assert_false(ram_write_now(&f.ram, 7 * CHUNK, 4096, 2));
	/* Alone in the middle: that chunk alone. */
	assert_true(ram_write_now(&f.ram, 20 * CHUNK, 4096, 2));
	assert_true(ram_write_now(&f.ram, 22 * CHUNK, 4096, 2));
	assert_int_equal(f.ram.reads, 4);
	assert_image(&f, 0, SIZE, 1);
	release(&f);
}

static void
failed_read_drops_the_image_and_not_the_write(void **state)
{
	struct frozen f;

	(void)state;
	freeze(&f);
	ram_set(&f.ram, f.ram.fails_from = 9 * CHUNK; f.ram.fails_to = 9 * CHUNK + 512);
	assert_int_equal(read_one(&f, 9), COPY_IO);
	assert_int_equal(read_one(&f, 8), COPY_OK);
	/* A bad sector among neighbours that nobody writes is no reason. */
	assert_true(ram_write_now(&f.ram, 7 * CHUNK, 512, 2));
	assert_true(ram_write_now(&f.ram, 8 * CHUNK, 512, 2));
	assert_int_equal(f.dropped, 0);
	assert_true(ram_write_now(&f.ram, 8 * CHUNK, 4 * CHUNK, 2));
	assert_true(ram_all(f.ram.data + 8 * CHUNK, 4 * CHUNK, 2));
	assert_int_equal(f.dropped, 1);
	assert_int_equal(f.why, HOTCOPY_WHY_READ_ERROR);
	assert_int_equal(read_one(&f, 0), COPY_LOST);
	assert_int_equal(copy_done(f.copy, 0, CHUNK), COPY_LOST);
	assert_false(ram_write_now(&f.ram, 30 * CHUNK, 512, 2));
	release(&f);
}

static void
full_drops_at_once_if_so_wished(void **state)
{
	struct frozen f;
	unsigned i;

	(void)state;
	prepare(&f, 2 * MEMORY, MEMORY, 0, false);
	cut(&f);
	for (i = 2 * MEMORY / CHUNK; i > 0 && f.dropped == 0; i--)
		assert_true(ram_write_now(&f.ram, (uint64_t)(i - 1) * CHUNK, 512, 2));
	assert_int_equal(f.why, HOTCOPY_WHY_NO_SPACE);
	assert_in_range(2 * MEMORY / CHUNK - i, 32, MEMORY / CHUNK + 1);
	assert_true(ram_all(f.ram.data + (uint64_t)i * CHUNK, 512, 2));
	assert_int_equal(f.throttled, 0);
	release(&f);
}

/* Fills all but lets the last write hang for want of room; gives its chunk. */
static unsigned
fill(struct frozen *f, struct ram_write *w)
{
	prepare(f, 2 * MEMORY, MEMORY, WAIT_SECONDS * 1000, false);
	cut(f);
	for (unsigned i = 0;; i++) {
		bool done;

		assert_true(i < 2 * MEMORY / CHUNK);
		ram_write(&f->ram, w, (uint64_t)i * CHUNK, 512, 2);
		ram_until(&f->ram, w->finished || f->throttled == 1);
		pthread_mutex_lock(&f->ram.mutex);
		done = w->finished;
		pthread_mutex_unlock(&f->ram.mutex);
		if (!done)
			return i;
	}
}

static void
throttled_write_goes_on_when_its_chunk_was_read(void **state)
{
	struct ram_write w, other;
	struct frozen f;
	unsigned i;

	(void)state;
	i = fill(&f, &w);
	assert_int_equal(f.where, (uint64_t)i * CHUNK);
	assert_image(&f, (uint64_t)i * CHUNK, 512, 1);
	assert_int_equal(copy_done(f.copy, (uint64_t)i * CHUNK, CHUNK), COPY_OK);
	ram_finish(&w);
	assert_int_equal(f.dropped, 0);
	/* Another goes on when there is room, and its chunk is kept. */
	ram_write(&f.ram, &other, (uint64_t)(i + 1) * CHUNK, 512, 2);
	ram_until(&f.ram, f.throttled == 2);
	assert_int_equal(copy_done(f.copy, 0, CHUNK), COPY_OK);
	ram_finish(&other);
	assert_int_equal(f.dropped, 0);
	assert_image(&f, (uint64_t)(i + 1) * CHUNK, CHUNK, 1);
	release(&f);
}

static void
throttled_write_goes_on_when_the_image_is_dropped(void **state)
{
	struct ram_write w;
	struct frozen f;

	(void)state;
	fill(&f, &w);
	copy_drop(f.copy, HOTCOPY_WHY_ASKED);
	ram_finish(&w);
	assert_int_equal(f.why, HOTCOPY_WHY_ASKED);
	copy_drop(f.copy, HOTCOPY_WHY_READ_ERROR);
	assert_int_equal(copy_dropped(f.copy), HOTCOPY_WHY_ASKED);
	assert_int_equal(f.dropped, 1);
	release(&f);
}

static void
throttled_write_goes_on_when_the_device_goes(void **state)
{
	struct ram_write w;
	struct frozen f;

	(void)state;
	fill(&f, &w);
	volume_gone(f.ram.volume);
	ram_finish(&w);
	assert_int_equal(f.why, HOTCOPY_WHY_REMOVED);
	volume_engine_remove(f.ram.volume);
	volume_helpers_stop(f.ram.volume);
	copy_free(f.copy);
	diff_free(f.diff);
	ram_end(&f.ram);
}

/* 100 writes at once, and the limit is one write's: not a hundred times as long. */
static void
throttling_ends_in_time_with_a_drop(void **state)
{
	static struct ram_write w[2 * MEMORY / CHUNK];
	unsigned held = 0;
	struct frozen f;

	(void)state;
	prepare(&f, 2 * MEMORY, MEMORY, 300, false);
	cut(&f);
	for (unsigned i = 2 * MEMORY / CHUNK; i-- > 0;)
		held += ram_write(&f.ram, &w[i], (uint64_t)i * CHUNK, 512, 2);
	for (unsigned i = 0; i < 2 * MEMORY / CHUNK; i++)
		ram_finish(&w[i]);
	assert_int_equal(f.dropped, 1);
	assert_int_equal(f.why, HOTCOPY_WHY_NO_SPACE);
	assert_true(f.throttled >= 1 && f.throttled <= 1 + HELPERS);
	assert_true(volume_longest_hold(f.ram.volume) >= 2900000);
	assert_int_equal(volume_held(f.ram.volume), held);
	release(&f);
}

struct reader {
	struct frozen *f;
	uint8_t out[CHUNK];
	enum copy_result result;
};

static void *
read_chunk_8(void *arg)
{
	struct reader *r = arg;

	r->result = copy_read(r->f->copy, 8 * CHUNK, r->out, CHUNK);
	return NULL;
}

/* The limit counts from when the write came, not from when a thread had time for it. */
static void
time_in_the_queue_counts(void **state)
{
	uint64_t limit = (uint64_t)WAIT_SECONDS * 10000000, begun;
	struct frozen f;
	void *buffer;

	(void)state;
	prepare(&f, SIZE, MEMORY, WAIT_SECONDS * 1000, false);
	while (diff_take(f.diff, &buffer, 0))
		;
	begun = env_now();
	copy_before(f.copy, 0, 512, begun > limit ? begun - limit : 0);
	assert_int_equal(f.why, HOTCOPY_WHY_NO_SPACE);
	assert_true(begun <= limit || env_now() - begun < limit / 2);
	release(&f);
}

/* The image is lost while a reader hangs in the disk: what the disk then gives may be
   new. */
static void
reader_of_a_lost_image_gets_nothing(void **state)
{
	struct reader reader;
	pthread_t t;
	struct frozen f;

	(void)state;
	freeze(&f);
	ram_set(&f.ram, f.ram.reads_stick = true);
	reader.f = &f;
	pthread_create(&t, NULL, read_chunk_8, &reader);
	ram_until(&f.ram, f.ram.reads_stuck == 1);
	copy_drop(f.copy, HOTCOPY_WHY_ASKED);
	assert_false(ram_write_now(&f.ram, 8 * CHUNK, 512, 2));
	ram_set(&f.ram, f.ram.reads_stick = false);
	pthread_join(t, NULL);
	assert_int_equal(reader.result, COPY_LOST);
	release(&f);
}

static void
a_chunk_is_copied_once_for_all_who_wait(void **state)
{
	struct ram_write w[4], other;
	struct frozen f;

	(void)state;
	freeze(&f);
	ram_set(&f.ram, f.ram.reads_stick = true);
	for (unsigned i = 0; i < 3; i++)
		assert_true(ram_write(&f.ram, &w[i], 8 * CHUNK + i * 512, 512, 2));
	ram_until(&f.ram, f.ram.reads_stuck == 1);
	/* A copy elsewhere does not wait for it. */
	assert_true(ram_write(&f.ram, &other, 40 * CHUNK, 512, 2));
	ram_until(&f.ram, f.ram.reads_stuck == 2);
	assert_int_equal(f.ram.reads, 2);
	ram_set(&f.ram, f.ram.reads_stick = false);
	for (unsigned i = 0; i < 3; i++)
		ram_finish(&w[i]);
	ram_finish(&other);
	assert_int_equal(f.ram.reads, 2);
	assert_image(&f, 0, SIZE, 1);
	release(&f);
}

/* A reader hangs in the disk, a write is let through meanwhile, and then the disk gives
   the new bytes. */
static void
reader_takes_the_copy_that_was_made_meanwhile(void **state)
{
	struct reader reader;
	struct ram_write w;
	pthread_t t;
	struct frozen f;

	(void)state;
	freeze(&f);
	ram_set(&f.ram, f.ram.reads_stick = true);
	reader.f = &f;
	pthread_create(&t, NULL, read_chunk_8, &reader);
	ram_until(&f.ram, f.ram.reads_stuck == 1);
	assert_true(ram_write(&f.ram, &w, 8 * CHUNK, 512, 2));
	ram_until(&f.ram, f.ram.reads_stuck == 2);
	ram_set(&f.ram, f.ram.let_read = 2); /* the copier's */
	ram_finish(&w);
	assert_int_equal(f.ram.data[8 * CHUNK], 2);
	ram_set(&f.ram, f.ram.reads_stick = false);
	pthread_join(t, NULL);
	assert_int_equal(reader.result, COPY_OK);
	assert_true(ram_all(reader.out, CHUNK, 1));
	release(&f);
}

/* Read by the set while a copier reads it: writes pass at once, the torn copy is never
   served. */
static void
copy_of_what_is_done_meanwhile_is_forgotten(void **state)
{
	struct ram_write w;
	struct diff_space space;
	struct frozen f;

	(void)state;
	freeze(&f);
	ram_set(&f.ram, f.ram.reads_stick = true);
	assert_true(ram_write(&f.ram, &w, 8 * CHUNK, 512, 2));
	ram_until(&f.ram, f.ram.reads_stuck == 1);
	assert_int_equal(copy_done(f.copy, 8 * CHUNK, CHUNK), COPY_OK);
	assert_false(ram_write_now(&f.ram, 8 * CHUNK + 512, 512, 3));
	ram_set(&f.ram, f.ram.reads_stick = false);
	ram_finish(&w);
	assert_int_equal(read_one(&f, 8), COPY_NOT_KEPT);
	diff_space(f.diff, &space);
	assert_int_equal(space.memory_used, 0);
	release(&f);
}

/* Nobody would give its room back: that was done when the image was dropped. */
static void
copy_of_what_is_dropped_meanwhile_is_forgotten(void **state)
{
	struct diff_space space;
	struct ram_write w;
	struct frozen f;

	(void)state;
	freeze(&f);
	ram_set(&f.ram, f.ram.reads_stick = true);
	assert_true(ram_write(&f.ram, &w, 0, 512, 2));
	ram_until(&f.ram, f.ram.reads_stuck == 1);
	copy_drop(f.copy, HOTCOPY_WHY_ASKED);
	copy_reclaim(f.copy);
	ram_set(&f.ram, f.ram.reads_stick = false);
	ram_finish(&w);
	diff_space(f.diff, &space);
	assert_int_equal(space.memory_used, 0);
	release(&f);
}

/* A bitmap is walked once for UNNEEDED, not once from each place of it to its end: with
   that this takes minutes. */
static void
unneeded_costs_what_it_covers(void **state)
{
	static const struct volume_ops none;
	static uint8_t ones[1u << 17];
	struct volume *v = volume_make(&none, NULL, 1, (uint64_t)1 << 40, 512);
	struct copy_want want = { .volume = v, .chunk_shift = SHIFT, .copiers = 1 };
	uint64_t last = ((uint64_t)1 << (40 - SHIFT)) - 1;
	struct hotcopy_stats stats;
	struct bits none_changed;
	clock_t begun;

	(void)state;
	assert_non_null(v);
	want.notice = (struct copy_notice){ tell, room, NULL, NULL };
	want.diff = diff_make(MEMORY, SHIFT);
	want.copiers = 1;
	memset(ones, 0xff, sizeof ones);
	for (int only = 0; only < 2; only++) {
		struct copy *c = copy_make(&want);

		assert_non_null(c);
		begun = clock();
		assert_int_equal(bits_make(&none_changed, (uint64_t)1 << 24), 0);
		if (only != 0) {
			copy_only(c, &none_changed);
		} else {
			for (uint64_t i = 0; i <= last; i += 1u << 20)
				assert_int_equal(
				    copy_unneeded(c, i, 1u << 20, ones), COPY_OK);
		}
		assert_true((clock() - begun) / CLOCKS_PER_SEC < 5);
		copy_stats(c, &stats);
		assert_int_equal(stats.needed, 0);
		bits_free(&none_changed);
		copy_free(c);
	}
	diff_free(want.diff);
	volume_gone(v);
	volume_free(v);
}

/* A tracking of a shorter volume says nothing of the rest: all is needed. */
static void
what_tracking_does_not_reach_is_needed(void **state)
{
	struct bits changed;
	struct frozen f;

	(void)state;
	freeze(&f);
	assert_int_equal(bits_make(&changed, SIZE / 65536 - 1), 0);
	copy_only(f.copy, &changed);
	assert_image(&f, 0, SIZE, 1);
	bits_free(&changed);
	assert_int_equal(bits_make(&changed, SIZE / 65536), 0);
	copy_only(f.copy, &changed);
	assert_int_equal(read_one(&f, 0), COPY_NOT_KEPT);
	bits_free(&changed);
	release(&f);
}

static void
counts_go_beyond_32_bits(void **state)
{
	struct atomic_count n = { UINT32_MAX - 1, 0 };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		assert_true(atomic_count_get(&n) == (uint64_t)UINT32_MAX - 1 + i);
		atomic_count_add(&n);
	}
}

static void
host_in_our_own_extents_drops(void **state)
{
	struct frozen f;

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		static const struct hotcopy_extent at[4] = { { 8 * CHUNK, 512 },
			{ 20 * CHUNK - 512, 512 }, { 16 * CHUNK, CHUNK },
			{ 0, (uint64_t)1 << 40 } };

		prepare(&f, SIZE, 4 * MEMORY, 0, i % 2 == 0);
		assert_int_equal(copy_forbid_room(f.copy, 2), 0);
		copy_forbid(f.copy, 16 * CHUNK, 4 * CHUNK);
		copy_forbid(f.copy, 8 * CHUNK, 512);
		copy_exclude(f.copy, 16 * CHUNK, 4 * CHUNK);
		cut(&f);
		ram_write_now(&f.ram, 8 * CHUNK + 512, 512, 2);
		ram_write_now(&f.ram, 16 * CHUNK - 512, 512, 2);
		ram_write_now(&f.ram, 20 * CHUNK, 512, 2);
		assert_int_equal(f.dropped, 0);
		/* A range beyond 32 bits, and beyond the volume. */
		if (at[i].length > SIZE) {
			struct held h;

			ram_set(&f.ram, f.ram.forward_sticks = true);
			assert_int_equal(
			    volume_range_begin(f.ram.volume, 0, at[i].length),
			    VOLUME_HOLD);
			copy_before(f.copy, 0, at[i].length, env_now());
			(void)h;
			ram_set(&f.ram, f.ram.forward_sticks = false);
		} else {
			assert_true(ram_write_now(&f.ram, at[i].offset, 512, 3));
		}
		assert_int_equal(f.dropped, 1);
		assert_int_equal(f.why, HOTCOPY_WHY_WRITTEN_INTO);
		release(&f);
	}
}

/* A held range keeps its place, however long: what it covers is copied, no byte less. */
static void
held_ranges_are_not_cut_short(void **state)
{
	static const struct hotcopy_extent range[] = { { 0, 512 }, { CHUNK - 512, 1024 },
		{ 3 * CHUNK + 1, CHUNK }, { SIZE - 512, 512 }, { 512, (uint64_t)1 << 30 },
		{ 62 * CHUNK + 512, UINT64_MAX }, { (uint64_t)1 << 60, 512 },
		{ SIZE, 512 }, { 5, 0 } };

	(void)state;
	for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
		struct hotcopy_stats stats = { 0 };
		uint64_t end = range[i].offset + range[i].length, chunks = 0;
		struct ram_write w = { 0 };
		struct frozen f;

		prepare(&f, SIZE, 4 * MEMORY, 0, false);
		w.ram = &f.ram;
		volume_gate_close(f.ram.volume);
		volume_hold(f.ram.volume, &w.held, range[i].offset, range[i].length);
		assert_true(volume_gate_drained(f.ram.volume, LATE));
		copy_begin(f.copy);
		/* It is counted by the core and uncounted by ram_send. */
		volume_gate_open(f.ram.volume, f.copy);
		ram_finish(&w);
		if (end < range[i].offset || end > SIZE)
			end = SIZE;
		if (range[i].offset < SIZE && range[i].length > 0)
			chunks = ((end - 1) >> SHIFT) - (range[i].offset >> SHIFT) + 1;
		copy_stats(f.copy, &stats);
		assert_int_equal(stats.copied, chunks);
		assert_int_equal(f.dropped, 0);
		release(&f);
	}
}

/* ------------------------------------------------------------------------ stress -- */

#define WRITERS 4
#define STRESS_SIZE (2u << 20)
#define WRITES 1500
#define READS 3000

struct writer {
	struct frozen *f;
	unsigned seed;
	pthread_t thread;
};

static void *
write_anywhere(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < WRITES; i++) {
		uint32_t length = 512u << rand_r(&w->seed) % 9;
		uint64_t offset =
		    (uint64_t)(rand_r(&w->seed) % (STRESS_SIZE / 512)) * 512;

		if (offset + length > STRESS_SIZE)
			length = (uint32_t)(STRESS_SIZE - offset);
		ram_write_now(&w->f->ram, offset, length, (uint8_t)(2 + i % 250));
	}
	return NULL;
}

/* Bytes of the cut are 1, of later writes never: whatever is read must be all 1, or
   honestly not there. */
static void
image_holds_under_load(void **state)
{
	struct writer w[WRITERS];
	struct frozen f;
	unsigned seed = 7, read = 0;
	uint8_t *out = malloc(STRESS_SIZE);

	(void)state;
	prepare(&f, STRESS_SIZE, 4 * MEMORY, 0, false);
	cut(&f);
	for (unsigned i = 0; i < WRITERS; i++) {
		w[i] = (struct writer){ .f = &f, .seed = i };
		pthread_create(&w[i].thread, NULL, write_anywhere, &w[i]);
	}
	for (int i = 0; i < READS; i++) {
		uint32_t length = 512u << rand_r(&seed) % 10;
		uint64_t offset = (uint64_t)(rand_r(&seed) % (STRESS_SIZE / 512)) * 512;
		enum copy_result result;

		if (offset + length > STRESS_SIZE)
			length = (uint32_t)(STRESS_SIZE - offset);
		result = copy_read(f.copy, offset, out, length);
		if (result == COPY_OK) {
			assert_true(ram_all(out, length, 1));
			read++;
		} else {
			/* Nothing is missing before something was said to be done. */
			assert_true(i >= READS / 2);
			assert_int_equal(result, COPY_NOT_KEPT);
		}
		if (i >= READS / 2 && i % 50 == 49)
			assert_int_equal(
			    copy_done(f.copy, offset & ~(uint64_t)(CHUNK - 1), CHUNK),
			    COPY_OK);
	}
	for (unsigned i = 0; i < WRITERS; i++)
		pthread_join(w[i].thread, NULL);
	assert_true(read > 100);
	assert_int_equal(f.dropped, 0);
	for (uint64_t i = 0; i < STRESS_SIZE / CHUNK; i++) {
		enum copy_result result = copy_read(f.copy, i << SHIFT, out, CHUNK);

		assert_true(
		    result == COPY_OK ? ram_all(out, CHUNK, 1) : result == COPY_NOT_KEPT);
	}
	free(out);
	release(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_write_is_held_and_the_image_stays),
		cmocka_unit_test(bad_reads_are_refused),
		cmocka_unit_test(what_is_not_needed_costs_nothing_and_is_never_served),
		cmocka_unit_test(behind_the_end_of_the_volume_are_zeros),
		cmocka_unit_test(only_what_changed_is_needed),
		cmocka_unit_test(neighbours_are_read_once_where_a_stream_is),
		cmocka_unit_test(failed_read_drops_the_image_and_not_the_write),
		cmocka_unit_test(full_drops_at_once_if_so_wished),
		cmocka_unit_test(throttled_write_goes_on_when_its_chunk_was_read),
		cmocka_unit_test(throttled_write_goes_on_when_the_image_is_dropped),
		cmocka_unit_test(throttled_write_goes_on_when_the_device_goes),
		cmocka_unit_test(throttling_ends_in_time_with_a_drop),
		cmocka_unit_test(time_in_the_queue_counts),
		cmocka_unit_test(reader_of_a_lost_image_gets_nothing),
		cmocka_unit_test(a_chunk_is_copied_once_for_all_who_wait),
		cmocka_unit_test(reader_takes_the_copy_that_was_made_meanwhile),
		cmocka_unit_test(copy_of_what_is_done_meanwhile_is_forgotten),
		cmocka_unit_test(copy_of_what_is_dropped_meanwhile_is_forgotten),
		cmocka_unit_test(unneeded_costs_what_it_covers),
		cmocka_unit_test(what_tracking_does_not_reach_is_needed),
		cmocka_unit_test(counts_go_beyond_32_bits),
		cmocka_unit_test(host_in_our_own_extents_drops),
		cmocka_unit_test(held_ranges_are_not_cut_short),
		cmocka_unit_test(image_holds_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
