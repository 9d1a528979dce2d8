/*
 * What a copy without a server rests on: the ranges of a volume in their order, the hashes
 * that know it again, and the thread that reads ahead.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "agent/clone/clone_feed.h"
#include "agent/clone/clone_proof.h"
#include "agent/clone/clone_ranges.h"
#include "agent/host/stop.h"
#include "proto/base/err.h"
#include "tests/unit/agent/ntfs_map.h"

#define MIB (1024u * 1024)

static struct err err = ERR_INIT;

static struct clone_ranges *
ranges_of(struct cover_disk *disk, const struct volmap_range *holes, unsigned count)
{
	struct volmap_source source = { .read = cover_read,
		.arg = disk,
		.size = disk->size,
		.sector_size = 512,
		.is_disk = holes != NULL,
		.holes = holes,
		.holes_count = count };
	struct clone_ranges *r = NULL;

	err_clear(&err);
	return clone_ranges_make(&source, &r, &err) == 0 ? r : NULL;
}

/* Every byte once, in order, neighbours of different kinds; and as the map says. */
static void
check_ranges(const struct clone_ranges *r, const struct cover *c)
{
	static const char letters[][5] = { "sdr", "h", "x" };
	struct clone_place place = { 0, 0 };
	uint64_t at = 0, bytes[CLONE_KINDS] = { 0 };
	int last = -1;
	struct clone_range n;

	while (clone_ranges_next(r, &place, &n)) {
		assert_true(n.offset == at && n.len > 0 && (int)n.kind != last);
		for (uint64_t i = 0; i < n.len; i++)
			assert_non_null(strchr(letters[n.kind], c->byte[at + i]));
		bytes[n.kind] += n.len;
		at += n.len;
		last = (int)n.kind;
	}
	assert_true(at == c->size);
	for (unsigned k = 0; k < CLONE_KINDS; k++)
		assert_true(bytes[k] == clone_ranges_bytes(r, (enum clone_kind)k));
}

/*
 * Five files of seven clusters: the i-th of file k lies in row (3i + k) % 7, so that blocks
 * begin anywhere and go on behind and ahead; one of them is a page file.
 */
static struct image *
scattered(unsigned seed)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);

	for (unsigned file = 0; file < 5; file++) {
		struct image_run runs[8] = { { 0, 0 } };

		for (unsigned i = 0; i < 7; i++)
			runs[i] = (struct image_run){
				f + ((i * 3 + file + seed) % 7) * 9 + file, 1
			};
		image_file(v, 16 + file, 5, file == 4 ? "pagefile.sys" : "file", runs);
	}
	image_finish(v);
	return v;
}

static void
ranges_are_the_map_in_the_volumes_order(void **state)
{
	unsigned excluded = 0;

	(void)state;
	for (unsigned seed = 0; seed < 7; seed++) {
		struct image *v = scattered(seed);
		struct cover_disk disk = { .p = v->p, .size = v->size };
		struct cover *c = map_with(v, 0, VOLMAP_PLAIN);
		struct clone_ranges *r = ranges_of(&disk, NULL, 0);

		assert_non_null(r);
		check_ranges(r, c);
		assert_true(clone_ranges_bytes(r, CLONE_HOLE) > 0);
		excluded += clone_ranges_bytes(r, CLONE_ZERO) > 0;
		clone_ranges_free(r);
		done(v, c);
	}
	assert_true(excluded > 0);
}

static void
a_disks_volumes_are_holes_of_it(void **state)
{
	static uint8_t bytes[MIB];
	static const struct volmap_range holes[] = { { 4096, 8192 }, { 12288, 512 },
		{ 500000, MIB - 500000 } };
	struct cover_disk disk = { .p = bytes, .size = MIB };
	struct clone_ranges *r = ranges_of(&disk, holes, 3);
	struct clone_place place = { 0, 0 };
	struct clone_range n;

	(void)state;
	assert_non_null(r);
	assert_true(clone_ranges_bytes(r, CLONE_HOLE) == 8192 + 512 + MIB - 500000);
	assert_int_equal(clone_ranges_next(r, &place, &n), 1);
	assert_true(n.kind == CLONE_DATA && n.len == 4096);
	assert_int_equal(clone_ranges_next(r, &place, &n), 1);
	assert_true(n.kind == CLONE_HOLE && n.offset == 4096 && n.len == 8704);
	assert_int_equal(clone_ranges_next(r, &place, &n), 1);
	assert_int_equal(clone_ranges_next(r, &place, &n), 1);
	assert_int_equal(clone_ranges_next(r, &place, &n), 0);
	clone_ranges_free(r);
}

static void
a_source_that_cannot_be_read_is_no_list(void **state)
{
	struct image *v = scattered(3);
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct clone_ranges *r = ranges_of(&disk, NULL, 0);
	uint64_t reads = disk.reads;

	(void)state;
	assert_non_null(r);
	clone_ranges_free(r);
	assert_true(reads > 3);
	for (uint64_t n = 1; n <= reads; n++) {
		disk.reads = 0;
		disk.fail_at = n;
		assert_null(ranges_of(&disk, NULL, 0));
		assert_int_equal(err.code, ERR_IO);
	}
	image_free(v);
}

/* ------------------------------------------------------------------------- proof -- */

static uint8_t *
noise(size_t len)
{
	uint8_t *p = malloc(len);
	uint32_t random = 7;

	assert_non_null(p);
	for (size_t i = 0; i < len; i++) {
		random = random * 1664525 + 1013904223;
		p[i] = (uint8_t)(random >> 24);
	}
	return p;
}

static struct clone_proof *
proof_of(const uint8_t *p, size_t len, size_t step)
{
	struct clone_proof *proof = clone_proof_new(len);

	assert_non_null(proof);
	for (size_t at = 0, n; at < len; at += n) {
		n = step < len - at ? step : len - at;
		clone_proof_add(proof, p + at, n);
	}
	clone_proof_begin(proof);
	return proof;
}

/* As if the volume had a hole of 1 GiB in the middle of what is read back. */
static int
read_back(struct clone_proof *proof, const uint8_t *p, size_t len, size_t step)
{
	for (size_t at = 0, n; at < len; at += n) {
		n = step < len - at ? step : len - at;
		if (clone_proof_check(
			proof, at < len / 2 ? at : at + (1u << 30), p + at, n, &err) != 0)
			return -1;
	}
	return clone_proof_end(proof, &err);
}

static void
what_was_read_is_known_again(void **state)
{
	static const size_t lengths[] = { 0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB + 77 };

	(void)state;
	for (unsigned i = 0; i < 6; i++) {
		uint8_t *p = noise(lengths[i] + 1);
		struct clone_proof *proof = proof_of(p, lengths[i], 70001);

		err_clear(&err);
		assert_int_equal(read_back(proof, p, lengths[i], 123457), 0);
		clone_proof_free(proof);
		/* What is missing or too much is as wrong as what is otherwise. */
		proof = proof_of(p, lengths[i], 70001);
		assert_int_equal(read_back(proof, p, lengths[i] + 1, MIB), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		clone_proof_free(proof);
		err_clear(&err);
		if (lengths[i] > 0) {
			proof = proof_of(p, lengths[i], 70001);
			assert_int_equal(read_back(proof, p, lengths[i] - 1, MIB), -1);
			assert_int_equal(err.code, ERR_CORRUPT);
			clone_proof_free(proof);
		}
		err_clear(&err);
		free(p);
	}
}

static void
a_bit_that_fell_over_is_named(void **state)
{
	static const struct {
		size_t at;
		const char *where;
	} bad[] = { { 0, "bytes 0 and 1048576" }, { MIB - 1, "bytes 0 and 1048576" },
		{ MIB, "bytes 1048576 and 1075838976" },
		{ 3 * MIB + 76, "bytes 1076887552 and 1076887629" } };
	const size_t len = 3 * MIB + 77;
	uint8_t *p = noise(len);

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct clone_proof *proof = proof_of(p, len, MIB);

		err_clear(&err);
		p[bad[i].at] ^= 0x10;
		assert_int_equal(read_back(proof, p, len, 4096), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		if (strstr(err.text, bad[i].where) == NULL)
			fail_msg("%s: '%s'", bad[i].where, err.text);
		p[bad[i].at] ^= 0x10;
		clone_proof_free(proof);
	}
	err_clear(&err);
	free(p);
}

static void
the_hashes_of_a_large_volume_are_few(void **state)
{
	static const uint64_t sizes[] = { 0, MIB, UINT64_C(255) << 30,
		UINT64_C(64) << 40 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct clone_proof *p = clone_proof_new(sizes[i]);

		assert_non_null(p);
		assert_true(sizes[i] / clone_proof_unit(p) < CLONE_PROOF_UNITS_MAX);
		assert_true(i == 3 || clone_proof_unit(p) == CLONE_PROOF_UNIT_MIN);
		clone_proof_free(p);
	}
}

/* -------------------------------------------------------------------------- feed -- */

/* A volume of data, a hole, data: more slabs than there are in a feed. */
static struct clone_ranges *
three_ranges(struct cover_disk *disk)
{
	static const struct volmap_range hole = { 5 * MIB + 512, 1000 * 512 };

	return ranges_of(disk, &hole, 1);
}

static void
slabs_come_in_order_until_reading_fails(void **state)
{
	const size_t size = 20 * MIB;
	uint8_t *p = noise(size);

	(void)state;
	for (unsigned fail_at = 0; fail_at < 12; fail_at++) {
		struct cover_disk disk = { .p = p, .size = size };
		struct clone_ranges *r = three_ranges(&disk);
		const struct clone_feed_job job = { r, 1u << CLONE_DATA, cover_read,
			&disk, NULL };
		struct clone_feed *f;
		struct clone_slab *s;
		uint64_t at = 0, holes = 0;
		int more;

		disk.fail_at = fail_at;
		disk.reads = 0;
		err_clear(&err);
		assert_int_equal(clone_feed_new(&job, &f, &err), 0);
		while ((more = clone_feed_next(f, &s, &err)) == 1) {
			assert_true(s->range.offset == at);
			at += s->range.len;
			if (s->range.kind == CLONE_DATA) {
				assert_true(s->range.len <= CLONE_SLAB &&
					    (at % CLONE_SLAB == 0 ||
						at == 5 * MIB + 512 || at == size));
				assert_memory_equal(
				    s->p, p + s->range.offset, (size_t)s->range.len);
			} else {
				holes++;
			}
			clone_feed_give(f, s);
		}
		clone_feed_free(f);
		clone_ranges_free(r);
		if (fail_at == 0) {
			assert_true(more == 0 && at == size && holes == 1);
		} else {
			assert_int_equal(more, -1);
			assert_int_equal(err.code, ERR_IO);
			assert_true(at < size);
		}
	}
	free(p);
}

static void
a_feed_ends_when_nobody_wants_more(void **state)
{
	const size_t size = 20 * MIB;
	uint8_t *p = noise(size);
	struct cover_disk disk = { .p = p, .size = size };
	struct clone_ranges *r = three_ranges(&disk);
	struct clone_feed_job job = { r, 1u << CLONE_DATA, cover_read, &disk, NULL };
	struct clone_feed *f;
	struct clone_slab *s;
	struct stop *stop = stop_new();

	(void)state;
	for (unsigned taken = 0; taken < 3; taken++) {
		err_clear(&err);
		assert_int_equal(clone_feed_new(&job, &f, &err), 0);
		for (unsigned i = 0; i < taken; i++) {
			assert_int_equal(clone_feed_next(f, &s, &err), 1);
			clone_feed_give(f, s);
		}
		clone_feed_free(f);
	}
	assert_non_null(stop);
	job.stop = stop;
	assert_int_equal(clone_feed_new(&job, &f, &err), 0);
	assert_int_equal(clone_feed_next(f, &s, &err), 1);
	stop_request(stop);
	clone_feed_give(f, s);
	for (int more = 1; more == 1;)
		if ((more = clone_feed_next(f, &s, &err)) == 1)
			clone_feed_give(f, s);
	assert_int_equal(err.code, ERR_CANCELED);
	clone_feed_free(f);
	stop_free(stop);
	clone_ranges_free(r);
	free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_are_the_map_in_the_volumes_order),
		cmocka_unit_test(a_disks_volumes_are_holes_of_it),
		cmocka_unit_test(a_source_that_cannot_be_read_is_no_list),
		cmocka_unit_test(what_was_read_is_known_again),
		cmocka_unit_test(a_bit_that_fell_over_is_named),
		cmocka_unit_test(the_hashes_of_a_large_volume_are_few),
		cmocka_unit_test(slabs_come_in_order_until_reading_fails),
		cmocka_unit_test(a_feed_ends_when_nobody_wants_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
