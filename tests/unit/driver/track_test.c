/* Tracking: the store's bytes are those of TRACKING.md, what changed is reported across
   starts with sectors of both sizes and from small to huge, and a commit is of one
   generation alone.  What a power cut leaves is the model's: tests/driver/track_model. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include "driver/core/bits.h"
#include "driver/core/track.h"
#include "driver/core/track_format.h"
#include "driver/core/volume.h"

#define BLOCK ((uint64_t)1 << HOTCOPY_TRACK_SHIFT)
#define REGION ((uint64_t)1 << TRACK_REGION_SHIFT)
#define STORE_AT (BLOCK * 2)

/* Two extents of a volume that has nothing else but zeros. */
struct disk {
	struct volume *volume;
	struct track *t;
	uint8_t *store;
	uint64_t bytes;
	struct hotcopy_extent extent[2];
	unsigned writes, fail_at; /* the number of one that fails; 0: none */
	unsigned lost;
	pthread_mutex_t mutex;
};

static int
disk_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	struct disk *d = device;

	memset(buffer, 0, length);
	pthread_mutex_lock(&d->mutex);
	if (d->store != NULL && offset >= STORE_AT && offset < STORE_AT + d->bytes)
		memcpy(buffer, d->store + (offset - STORE_AT), length);
	pthread_mutex_unlock(&d->mutex);
	return 0;
}

static int
disk_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	struct disk *d = device;
	int rc = 0;

	if (!through || offset < STORE_AT || offset + length > STORE_AT + d->bytes)
		abort();
	pthread_mutex_lock(&d->mutex);
	d->writes++;
	if (d->writes == d->fail_at)
		rc = -1;
	else
		memcpy(d->store + (offset - STORE_AT), buffer, length);
	pthread_mutex_unlock(&d->mutex);
	return rc;
}

static void
disk_forward(void *device, struct held *h)
{
	(void)device;
	(void)h;
}

static void
disk_make(struct disk *d, uint64_t length, uint32_t sector, bool stored)
{
	static const struct volume_ops ops = { disk_read, disk_write, disk_forward };

	memset(d, 0, sizeof(*d));
	pthread_mutex_init(&d->mutex, NULL);
	d->volume = volume_make(&ops, d, 1, length, sector);
	assert_non_null(d->volume);
	if (!stored)
		return;
	d->bytes = track_store_bytes(length);
	assert_true((d->store = calloc(1, d->bytes)) != NULL);
	/* In the middle of a part; the second lies before the first. */
	d->extent[0].length = 3 * 4096;
	d->extent[1].length = d->bytes - 3 * 4096;
	d->extent[0].offset = STORE_AT + d->extent[1].length;
	d->extent[1].offset = STORE_AT;
}

static void
lost(void *who, enum hotcopy_reason why)
{
	struct disk *d = who;

	(void)why;
	d->lost++;
}

static void
disk_open(struct disk *d, bool create)
{
	struct hotcopy_track how = { .flags = create ? HOTCOPY_TRACK_CREATE : 0,
		.extents = d->store != NULL ? 2 : 0 };
	struct track_notice notice = { lost, d };

	memset(how.guid, 0x11, sizeof(how.guid));
	memset(how.nonce, 0x22, sizeof(how.nonce));
	track_free(d->t);
	d->t = track_open(d->volume, &how, d->extent, notice);
	assert_non_null(d->t);
}

static void
disk_end(struct disk *d)
{
	track_free(d->t);
	volume_gone(d->volume);
	volume_free(d->volume);
	pthread_mutex_destroy(&d->mutex);
	free(d->store);
}

static void
write_at(struct disk *d, uint64_t offset, uint32_t length)
{
	while (!track_write(d->t, offset, length))
		track_log(d->t, offset, length);
}

static enum hotcopy_tracking
state_of(const struct disk *d)
{
	struct track_facts f;

	track_facts(d->t, &f);
	return f.state;
}

static uint64_t
changed(const struct disk *d)
{
	struct track_facts f;

	track_facts(d->t, &f);
	return f.changed;
}

static bool
reported(const struct disk *d, bool now, uint64_t block)
{
	uint8_t byte;

	track_report(d->t, now, block & ~(uint64_t)7, 8, &byte);
	return (byte >> (block & 7) & 1) != 0;
}

static uint64_t
cut(struct disk *d, uint8_t fill)
{
	uint8_t nonce[HOTCOPY_NONCE];
	uint64_t number;

	memset(nonce, fill, sizeof(nonce));
	number = track_cut(d->t, nonce);
	assert_int_equal(track_cut_store(d->t), 0);
	return number;
}

static int
commit(struct disk *d, uint64_t number, uint8_t fill)
{
	uint8_t nonce[HOTCOPY_NONCE];

	memset(nonce, fill, sizeof(nonce));
	return track_commit(d->t, number, nonce);
}

static int
abort_it(struct disk *d, uint64_t number, uint8_t fill)
{
	uint8_t nonce[HOTCOPY_NONCE];

	memset(nonce, fill, sizeof(nonce));
	return track_abort(d->t, number, nonce);
}

/* A volume whose server holds a generation. */
static void
disk_known(struct disk *d, uint64_t length, uint32_t sector)
{
	disk_make(d, length, sector, true);
	disk_open(d, true);
	assert_int_equal(state_of(d), HOTCOPY_TRACK_NEW);
	assert_int_equal(commit(d, cut(d, 3), 3), 0);
	assert_int_equal(state_of(d), HOTCOPY_TRACK_VALID);
	assert_int_equal(changed(d), 0);
}

static void
test_the_bytes_of_a_store_are_those_of_the_document(void **unused)
{
	/* Where the second extent lies first, the header is behind it. */
	struct disk d;
	const uint8_t *head, *cell;

	(void)unused;
	disk_known(&d, 3 * REGION - BLOCK, 512);
	write_at(&d, 2 * REGION + 5 * BLOCK, 4096);
	assert_int_equal(d.bytes, 28672);
	head = d.store + d.extent[1].length;
	assert_memory_equal(head, "Trck\1\0\1\0", 8);
	assert_int_equal(track_load32(head + 8), 0);
	assert_int_equal(track_load64(head + 16), 0x2222222222222222);
	assert_int_equal(track_load64(head + 24), 4); /* create twice, cut, commit */
	assert_int_equal(head[32], 0x11);
	assert_int_equal(track_load64(head + 48), 3 * REGION - BLOCK);
	assert_int_equal(track_load32(head + 56), 512);
	assert_int_equal(track_load32(head + 60), 0);
	assert_int_equal(track_load64(head + 64), 3);
	assert_int_equal(track_load64(head + 72), 2);
	assert_int_equal(head[80], 3);
	assert_int_equal(track_load64(head + 96), 2);
	assert_int_equal(head[104], 3);
	assert_int_equal(track_load32(head + 120), TRACK_NONE);
	assert_int_equal(track_load32(head + 124), TRACK_NONE);
	cell = head + 2 * 4096;
	assert_memory_equal(cell, "Trck\1\0\2\0", 8);
	assert_int_equal(track_load32(cell + 8), 16);
	assert_int_equal(track_load64(cell + 24), 3);
	assert_int_equal(cell[32], 4);
	/* Golden: the sum of the whole, which changes with any byte. */
	assert_int_equal(track_sum(1, d.store, (uint32_t)d.bytes), 0xf1abe24b5086b1e5u);
	disk_end(&d);
}

static void
test_what_changed_is_reported_after_a_clean_start_and_more_after_another(void **unused)
{
	static const uint32_t sectors[] = { 512, 1024, 4096 };
	struct disk d;

	(void)unused;
	for (unsigned i = 0; i < 3; i++) {
		disk_known(&d, 5 * REGION + 3 * BLOCK, sectors[i]);
		write_at(&d, 2 * REGION + 7 * BLOCK - 1, 2);
		write_at(&d, 5 * REGION + 2 * BLOCK, 1);
		assert_int_equal(track_clean(d.t), 0);
		disk_open(&d, false);
		assert_int_equal(state_of(&d), HOTCOPY_TRACK_VALID);
		assert_int_equal(changed(&d), 3);
		assert_true(reported(&d, true, 2 * 1024 + 6));
		assert_true(reported(&d, true, 2 * 1024 + 7));
		assert_true(reported(&d, true, 5 * 1024 + 2));
		/* The first write ends it. */
		write_at(&d, 3 * REGION, 1);
		disk_open(&d, false);
		assert_int_equal(state_of(&d), HOTCOPY_TRACK_RECOVERED);
		assert_int_equal(changed(&d), 3 + 1024);
		/* It is committed away. */
		assert_int_equal(commit(&d, cut(&d, 4), 4), 0);
		assert_int_equal(state_of(&d), HOTCOPY_TRACK_VALID);
		assert_int_equal(changed(&d), 0);
		assert_int_equal(d.lost, 0);
		disk_end(&d);
	}
}

static void
test_a_large_log_has_many_cells_in_a_sector(void **unused)
{
	uint64_t region = 5 * TRACK_LOG_REGIONS + 17;
	struct disk d;

	(void)unused;
	/* 1 TiB: 16384 regions, 8 cells. */
	disk_known(&d, (uint64_t)1 << 40, 4096);
	write_at(&d, region * REGION, 4096);
	write_at(&d, (region + 1) * REGION - 1, 2);
	/* All regions of three cells and some. */
	track_log(d.t, REGION, (uint64_t)3 * TRACK_LOG_REGIONS * REGION);
	disk_open(&d, false);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_RECOVERED);
	assert_int_equal(changed(&d), 1024 * (2 + 3 * TRACK_LOG_REGIONS));
	assert_true(reported(&d, true, region * 1024 + 1023));
	assert_false(reported(&d, true, 1023));
	disk_end(&d);
}

static void
test_sizes_from_64_kib_to_256_tib(void **unused)
{
	static const uint64_t lengths[] = { 512, BLOCK, BLOCK + 512, (uint64_t)100 << 30,
		(uint64_t)64 << 40 };
	struct disk d;

	(void)unused;
	assert_int_equal(track_store_bytes(0), 0);
	assert_int_equal(track_store_bytes(TRACK_LENGTH_MAX + 1), 0);
	assert_true(track_store_bytes(TRACK_LENGTH_MAX) >> 20 < 2300);
	for (unsigned i = 0; i < 5; i++) {
		uint64_t length = lengths[i], last = (length - 1) >> HOTCOPY_TRACK_SHIFT;

		/* Four maps, less than 9 MiB a TiB. */
		assert_true(
		    track_store_bytes(length) <= 65536 + (length >> 17) + (length >> 19));
		disk_make(&d, length, 512, false);
		disk_open(&d, true);
		assert_int_equal(state_of(&d), HOTCOPY_TRACK_NEW);
		assert_true(reported(&d, true, last));
		assert_false(reported(&d, true, last + 1));
		/* The huge one has a bitmap of 128 MiB, which takes its time. */
		if (i < 4)
			assert_int_equal(commit(&d, cut(&d, 1), 1), 0);
		assert_true(track_write(d.t, length - 1, 1));
		assert_true(track_write(d.t, length, 4096)); /* nothing of ours */
		assert_true(track_write(d.t, UINT64_MAX - 5, 4096));
		if (i < 4) {
			(void)cut(&d, 2);
			assert_true(bits_get(track_previous(d.t), last));
			assert_int_equal(bits_number(track_previous(d.t)), 1);
		}
		disk_end(&d);
	}
}

static void
test_a_commit_is_of_one_generation_alone(void **unused)
{
	struct disk d;
	uint64_t n;

	(void)unused;
	disk_known(&d, 2 * REGION, 512);
	write_at(&d, 4 * BLOCK, 1);
	n = cut(&d, 7);
	write_at(&d, 9 * BLOCK, 1);
	assert_true(reported(&d, false, 4));
	assert_false(reported(&d, false, 9));
	assert_int_equal(commit(&d, n, 8), -1);
	assert_int_equal(commit(&d, n - 1, 7), -1);
	assert_int_equal(abort_it(&d, n, 8), -1);
	assert_int_equal(abort_it(&d, n, 7), 0);
	assert_int_equal(abort_it(&d, n, 7), 0);
	assert_int_equal(commit(&d, n, 7), -1);
	n = cut(&d, 9);
	assert_true(reported(&d, false, 4));
	assert_true(reported(&d, false, 9));
	/* After a start, too. */
	disk_open(&d, false);
	assert_true(reported(&d, false, 4));
	assert_int_equal(commit(&d, n, 9), 0);
	assert_int_equal(commit(&d, n, 9), 0);
	assert_int_equal(abort_it(&d, n, 9), -1);
	assert_int_equal(changed(&d), 0);
	disk_end(&d);
}

static void
test_what_cannot_be_believed_is_invalid(void **unused)
{
	struct disk d;

	(void)unused;
	disk_known(&d, 2 * REGION, 512);
	track_invalidate(d.t, HOTCOPY_WHY_ASKED);
	assert_int_equal(d.lost, 1);
	disk_open(&d, false);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_INVALID);
	assert_int_equal(changed(&d), 2048);
	/* Until a generation that begins later is committed. */
	assert_int_equal(commit(&d, cut(&d, 4), 4), 0);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_VALID);
	/* A foreign cell: not written to any more. */
	memset(d.store + 3 * 4096, 0x77, 512);
	disk_open(&d, false);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_INVALID);
	d.writes = 0;
	write_at(&d, REGION, 1);
	assert_int_equal(track_checkpoint(d.t), 0);
	assert_int_equal(d.writes, 0);
	/* Nor after the next start, whatever lies there then. */
	disk_open(&d, false);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_INVALID);
	disk_open(&d, true);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_NEW);
	disk_end(&d);
}

/* Found by the model: the copy that had failed was thought the newest, so the only good
   one was written over next. */
static void
test_a_copy_of_the_header_that_failed_is_written_first(void **unused)
{
	struct disk d;
	uint8_t *a, *b, kept[512];

	(void)unused;
	disk_known(&d, 2 * REGION, 512);
	a = d.store + d.extent[1].length;
	b = a + 4096;
	d.writes = 0;
	d.fail_at = 2; /* no maps: the headers alone */
	assert_int_equal(track_checkpoint(d.t), 0);
	assert_int_equal(d.writes, 2);
	assert_int_not_equal(track_load64(a + 24), track_load64(b + 24));
	memcpy(kept, track_load64(a + 24) > track_load64(b + 24) ? a : b, 512);
	/* The next one ends after its first copy. */
	d.writes = 0;
	d.fail_at = 2;
	assert_int_equal(track_checkpoint(d.t), 0);
	assert_true(memcmp(kept, a, 512) == 0 || memcmp(kept, b, 512) == 0);
	disk_end(&d);
}

static void
test_wrong_extents_are_refused(void **unused)
{
	struct hotcopy_track how = { .flags = HOTCOPY_TRACK_CREATE, .extents = 2 };
	struct track_notice notice = { NULL, NULL };
	struct hotcopy_extent e[2];
	struct disk d;

	(void)unused;
	disk_make(&d, 2 * REGION, 4096, true);
	for (unsigned i = 0; i < 6; i++) {
		memcpy(e, d.extent, sizeof(e));
		if (i == 0)
			e[0].length -= 4096; /* too small */
		else if (i == 1)
			e[0].offset -= 4096; /* overlap */
		else if (i == 2)
			e[0].offset += 512;
		else if (i == 3)
			e[1].offset = 2 * REGION - 4096; /* past the end */
		else if (i == 4)
			e[1].length = UINT64_MAX - 4095;
		else
			e[0].length = 0;
		assert_null(track_open(d.volume, &how, e, notice));
	}
	assert_int_equal(d.writes, 0);
	disk_end(&d);
}

static void
test_the_host_in_our_extents_ends_the_store(void **unused)
{
	struct disk d;

	(void)unused;
	disk_known(&d, 2 * REGION, 512);
	assert_true(track_owns(d.t, STORE_AT - 1, 2));
	assert_false(track_owns(d.t, 0, STORE_AT));
	assert_false(track_owns(d.t, STORE_AT + d.bytes, 1));
	write_at(&d, STORE_AT + 512, 512);
	assert_int_equal(d.lost, 1);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_INVALID);
	d.writes = 0;
	assert_int_equal(commit(&d, cut(&d, 4), 4), 0);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_INVALID);
	assert_int_equal(d.writes, 0);
	disk_open(&d, false);
	assert_int_equal(state_of(&d), HOTCOPY_TRACK_INVALID);
	disk_end(&d);
}

#define THREADS 3u
#define ROUNDS 300u

static void *
writer(void *arg)
{
	struct disk *d = arg;

	for (unsigned n = 0; n < ROUNDS; n++)
		write_at(d, REGION + (uint64_t)(n * 37 % 4096) * BLOCK, 4096);
	return NULL;
}

static void
test_writes_go_on_while_checkpoints_are_made(void **unused)
{
	pthread_t thread[THREADS];
	struct disk d;

	(void)unused;
	disk_known(&d, 6 * REGION, 512);
	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, writer, &d), 0);
	for (unsigned n = 0; n < 40; n++) {
		assert_int_equal(
		    n % 4 == 0 ? track_clean(d.t) : track_checkpoint(d.t), 0);
		(void)track_work(d.t);
		(void)changed(&d);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	for (unsigned again = 0; again < 2; again++) {
		for (unsigned n = 0; n < ROUNDS; n++)
			assert_true(reported(&d, true, 1024 + n * 37 % 4096));
		disk_open(&d, false);
	}
	disk_end(&d);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_bytes_of_a_store_are_those_of_the_document),
		cmocka_unit_test(
		    test_what_changed_is_reported_after_a_clean_start_and_more_after_another),
		cmocka_unit_test(test_a_large_log_has_many_cells_in_a_sector),
		cmocka_unit_test(test_sizes_from_64_kib_to_256_tib),
		cmocka_unit_test(test_a_commit_is_of_one_generation_alone),
		cmocka_unit_test(test_what_cannot_be_believed_is_invalid),
		cmocka_unit_test(test_a_copy_of_the_header_that_failed_is_written_first),
		cmocka_unit_test(test_wrong_extents_are_refused),
		cmocka_unit_test(test_the_host_in_our_extents_ends_the_store),
		cmocka_unit_test(test_writes_go_on_while_checkpoints_are_made),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
