/*
 * The map of a volume that was frozen in the middle of its work: what nobody kept is
 * excluded and splits what lies around it, and what the log has yet to do is not lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/map/changes.h"
#include "agent/map/ntfs_free.h"
#include "proto/chunk/tree.h"
#include "tests/unit/agent/ntfs_map.h"

#ifdef __SANITIZE_ADDRESS__
#define ROUNDS(n) (((n) + 2) / 3)
#else
#define ROUNDS(n) (n)
#endif

#define RANGES 6u

static uint64_t x = 88172645463325252u;

static uint64_t
rnd(uint64_t n)
{
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return x % n;
}

/* A volume of `files` files in pieces, half of them dense; the log is not clean. */
static struct image *
busy(uint32_t files)
{
	struct image *v = image_new(1500, 4096, 512, 1024, 16 + files);
	uint32_t at = image_free_from(v);
	char name[8];

	for (uint32_t n = 0; n < files; n++) {
		struct image_run runs[5] = { { 0, 0 } };
		unsigned count = 1 + (unsigned)rnd(4);

		for (unsigned i = 0; i < count; i++) {
			uint32_t len = 1 + (uint32_t)rnd(n % 2 == 0 ? 90 : 12);

			at += (uint32_t)rnd(6);
			runs[i] = (struct image_run){ at, len };
			at += len;
			for (uint64_t b = 0; n % 2 == 0 && b < len * 4096ull; b++)
				image_cluster(v, (uint64_t)runs[i].lcn)[b] =
				    (uint8_t)(1 + rnd(255));
		}
		if (at > v->clusters - 400)
			break;
		/* Not in the order of the volume. */
		for (unsigned i = count - 1; i > 0; i--) {
			unsigned k = (unsigned)rnd(i + 1);
			struct image_run swap = runs[i];

			runs[i] = runs[k];
			runs[k] = swap;
		}
		snprintf(name, sizeof(name), "f%u", n);
		image_file(v, 16 + n, 5, name, runs);
	}
	image_log(v, 0, 1);
	image_finish(v);
	return v;
}

static struct cover *
cover(struct cover_disk *disk, int flushed)
{
	struct err err = ERR_INIT;
	struct cover *c = cover_new(disk, flushed, 0, &err);

	assert_non_null(c);
	return c;
}

/* Is there a cut that is this one? */
static int
has_cut(const struct cover *c, const struct volmap_cut *cut)
{
	for (uint32_t i = 0; i < c->data_cuts; i++) {
		const struct volmap_cut *d = &c->data[i];

		if (d->offset == cut->offset && d->len == cut->len &&
		    d->kind == cut->kind && d->count == cut->count &&
		    memcmp(d->piece, cut->piece, d->count * sizeof(*d->piece)) == 0)
			return 1;
	}
	return 0;
}

static int
inside(const struct volmap_unkept *r, uint64_t at)
{
	for (unsigned i = 0; i < RANGES; i++)
		if (at >= r[i].offset && at - r[i].offset < r[i].len)
			return 1;
	return 0;
}

static int
is_touched(const struct volmap_unkept *r, const struct volmap_cut *cut)
{
	for (uint32_t k = 0; k < cut->count; k++)
		for (unsigned i = 0; i < RANGES; i++)
			if (cut->piece[k].offset < r[i].offset + r[i].len &&
			    r[i].offset < cut->piece[k].offset + cut->piece[k].len)
				return 1;
	return 0;
}

/* In order and apart; now and then neighbours, at the begin and up to the end. */
static void
ranges(struct volmap_unkept *r, uint64_t size)
{
	uint64_t at = rnd(4) == 0 ? 0 : rnd(100000);

	for (unsigned i = 0; i < RANGES; i++) {
		r[i].offset = rnd(3) == 0 ? at : (at + 4095) / 4096 * 4096;
		r[i].len = VOLMAP_GRAIN + rnd(rnd(2) == 0 ? 9000 : size / 5);
		r[i].reason = rnd(2) == 0 ? EXTENT_PAGEFILE : EXTENT_SWAPFILE;
		if (r[i].offset + r[i].len > size - 8192 * (RANGES - 1 - i))
			r[i].len = size - 8192 * (RANGES - 1 - i) - r[i].offset;
		at = r[i].offset + r[i].len + (rnd(3) == 0 ? 0 : rnd(300000));
		if (at > size - 8192 * (RANGES - 1 - i))
			at = size - 8192 * (RANGES - 1 - i);
	}
}

static void
what_nobody_kept_is_excluded_and_the_rest_is_as_it_was(void **state)
{
	struct volmap_unkept r[RANGES];
	uint32_t whole = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS(15); round++) {
		struct image *v = busy(30);
		struct cover_disk disk = { .p = v->p, .size = v->size };
		struct cover *before = cover(&disk, (int)round % 2), *after;

		ranges(r, v->size);
		disk.unkept = r;
		disk.unkept_count = RANGES;
		after = cover(&disk, (int)round % 2);
		for (uint64_t i = 0; i < v->size; i++)
			if (after->byte[i] != (inside(r, i) ? 'x' : before->byte[i]))
				fail_msg("byte %llu", (unsigned long long)i);
		/* What none of them touches is cut as it was. */
		for (uint32_t i = 0; i < before->data_cuts; i++)
			if (!is_touched(r, &before->data[i])) {
				assert_true(has_cut(after, &before->data[i]));
				whole += before->data[i].count > 1;
			}
		for (uint32_t i = 0; i < after->data_cuts; i++)
			assert_false(is_touched(r, &after->data[i]));
		cover_free(before);
		done(v, after);
	}
	assert_true(whole > 5);
}

static void
a_raw_volume_and_a_failing_read_are_no_exception(void **state)
{
	struct volmap_unkept r = { 8192, 5000, EXTENT_OTHER };
	struct image *v = busy(4);
	struct cover_disk disk = {
		.p = v->p, .size = v->size, .unkept = &r, .unkept_count = 1
	};
	struct err err = ERR_INIT;
	struct cover *c = cover_within(&disk, NULL, 1, VOLMAP_WHOLE, &err);

	(void)state;
	assert_non_null(c);
	assert_true(cover_all(c, 8192, 5000, 'x'));
	assert_int_equal(cover_count(c, 'x'), 5000);
	assert_int_equal(cover_count(c, 's'), v->size - 5000);
	assert_int_equal(c->reasons, 1u << EXTENT_OTHER);
	cover_free(c);
	disk.fail_at = 3;
	disk.reads = 0;
	assert_null(cover_within(&disk, NULL, 1, 0, &err));
	assert_int_equal(err.code, ERR_IO);
	image_free(v);
}

/* ------------------------------------------------------------- what was written -- */

static struct changes *
list(uint64_t size)
{
	struct err err = ERR_INIT;
	struct changes *c;

	assert_int_equal(changes_new(size, &c, &err), 0);
	return c;
}

/* Not to be a hole: the bitmap, a file, or a write says so. */
static void
only_what_nobody_wrote_is_a_hole(void **state)
{
	uint64_t holes = 0, saved = 0;

	(void)state;
	for (unsigned round = 0; round < ROUNDS(15); round++) {
		struct image *v = busy(20);
		struct cover_disk disk = { .p = v->p, .size = v->size };
		struct changes *w = list(v->size);
		struct cover *clean = cover(&disk, 1), *c;

		c = cover(&disk, 0);
		assert_int_equal(cover_count(c, 'h'), 0);
		cover_free(c);
		for (uint64_t n = rnd(12); n > 0; n--)
			changes_add(w, rnd(v->size), 1 + rnd(200000));
		disk.written = w;
		c = cover(&disk, 0);
		assert_string_equal(c->note, "");
		for (uint64_t at = 0; at < v->size; at += 4096) {
			uint64_t n = v->size - at < 4096 ? v->size - at : 4096;
			int was = cover_all(clean, at, n, 'h');
			int is = cover_all(c, at, n, 'h');

			assert_int_equal(is, was && !changes_touch(w, at, n));
			holes += (uint64_t)is;
			saved += was && !is;
		}
		changes_free(w);
		cover_free(clean);
		done(v, c);
	}
	assert_true(holes > ROUNDS(300) && saved > ROUNDS(300));
}

struct telling {
	const struct cover *c;
	uint64_t bytes;
};

static void
is_hole(void *arg, uint64_t offset, uint64_t len)
{
	struct telling *t = arg;

	assert_true(cover_all(t->c, offset, len, 'h'));
	t->bytes += len;
}

/* Who is told that something is free need not keep it: the map must not want it. */
static void
told_are_holes(const struct cover_disk *disk, const struct cover *c)
{
	struct cover_disk copy = *disk;
	const struct volmap_source src = {
		.read = cover_read, .arg = &copy, .size = disk->size
	};
	struct telling t = { .c = c };
	struct err err = ERR_INIT;

	assert_int_equal(ntfs_free(&src, disk->written, is_hole, &t, &err), 1);
	assert_true(t.bytes > disk->size / 4);
}

/* Clusters smaller and larger than the grains in which writes are known. */
static void
clusters_of_any_size_are_kept_whole(void **state)
{
	static const uint32_t sizes[] = { 512, 1024, 4096, 16384 };

	(void)state;
	for (unsigned i = 0; i < 4; i++) {
		struct image *v = image_new(4000, sizes[i], 512, 1024, 32);
		struct cover_disk disk = { .p = v->p, .size = v->size };
		struct changes *w = list(v->size);
		struct cover *c;
		uint64_t at = 300000, begin, end;

		if (sizes[i] >= 2048)
			image_log(v, 0, 1);
		else
			memset(image_cluster(v, (uint64_t)v->log.lcn), 0x55, 1024);
		image_finish(v);
		changes_add(w, at, 1);
		disk.written = w;
		c = cover(&disk, 0);
		end = sizes[i] > 4096 ? sizes[i] : 4096;
		begin = at / end * end;
		end += begin;
		assert_string_equal(c->note, "");
		assert_true(cover_all(c, begin, end - begin, 's'));
		assert_int_equal(c->byte[begin - 1], 'h');
		assert_int_equal(c->byte[end], 'h');
		told_are_holes(&disk, c);
		changes_free(w);
		done(v, c);
	}
}

/* Made after the flush: neither bitmap nor MFT have it yet, and its bytes are there. */
static void
a_file_that_is_only_in_the_log_is_kept(void **state)
{
	struct image *v = busy(8);
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct changes *w = list(v->size);
	uint64_t at = (v->clusters - 200) * 4096ull;
	struct cover *c;

	(void)state;
	changes_add(w, at, 70 * 4096);
	disk.written = w;
	c = cover(&disk, 0);
	assert_true(cover_all(c, at, 70 * 4096, 's'));
	assert_true(cover_all(c, at + 70 * 4096, 4096, 'h'));
	cover_free(c);
	/* What else makes the bitmap doubtful does so still. */
	v->p[(uint64_t)v->mft[0].lcn * 4096 + 16 * 1024 + 510] ^= 0xff;
	c = cover(&disk, 0);
	assert_int_equal(cover_count(c, 'h'), 0);
	assert_string_not_equal(c->note, "");
	changes_free(w);
	done(v, c);
}

/* ------------------------------------------------------------ what is left out -- */

static struct image *
with_system_file(const char *name, const char *begin)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);

	image_file(v, 16, 5, name, RUNS({ f + 10, 40 }));
	memcpy(image_cluster(v, f + 10), begin, strlen(begin));
	image_log(v, 0, 1);
	image_finish(v);
	return v;
}

/* The log may have given its clusters to another file: who uses it must say so. */
static void
a_page_file_is_left_out_by_who_uses_it_alone(void **state)
{
	struct image *v = with_system_file("pagefile.sys", "");
	uint32_t f = image_free_from(v);
	struct volmap_unkept r = { (f + 10) * 4096ull, 40 * 4096ull, EXTENT_PAGEFILE };
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct changes *w = list(v->size);
	struct cover *c;

	(void)state;
	disk.written = w;
	c = cover(&disk, 0);
	assert_true(are(v, c, f + 10, 40, 'd'));
	assert_true(are(v, c, f, 10, 'h'));
	cover_free(c);
	disk.unkept = &r;
	disk.unkept_count = 1;
	c = cover(&disk, 0);
	assert_true(are(v, c, f + 10, 40, 'x'));
	assert_int_equal(c->reasons, 1u << EXTENT_PAGEFILE);
	assert_true(are(v, c, f, 10, 'h'));
	changes_free(w);
	done(v, c);
}

/* What volsnap writes is in no list; what any other would have written there is. */
static void
a_difference_area_is_left_out_if_nobody_wrote_there(void **state)
{
	static const char area[] = "{01234567-89ab-cdef-0123-456789abcdef}"
				   "{3808876b-c176-4e48-b7ae-04046e6cc752}";

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct image *v = ordinary();
		uint32_t f = image_free_from(v);
		struct cover_disk disk = { .p = v->p, .size = v->size };
		struct changes *w = list(v->size);
		struct cover *c;

		image_file(v, 16, 18, area, RUNS({ f + 10, 20 }, { f + 50, 5 }));
		image_begin(v, 18, 3, 0);
		image_name(v, 18, 5, "System Volume Information", 1);
		image_file(v, 20, 5, "pagefile.sys", RUNS({ f + 70, 3 }));
		image_log(v, 0, 1);
		image_finish(v);
		changes_add(w, (f + 9) * 4096ull, 4096);
		if (i == 1)
			changes_add(w, (f + 54) * 4096ull + 4095, 1);
		if (i == 2)
			changes_add(w, (f + 30) * 4096ull - 1, 1);
		disk.written = w;
		c = cover(&disk, 0);
		assert_string_equal(c->note, "");
		assert_true(are(v, c, f + 10, 20, i == 0 ? 'x' : 'd'));
		assert_true(are(v, c, f + 50, 5, i == 0 ? 'x' : 'd'));
		assert_true(are(v, c, f + 70, 3, 'd'));
		assert_true(are(v, c, f + 9, 1, 's'));
		changes_free(w);
		done(v, c);
	}
}

static void
memory_is_left_out_where_a_system_sleeps(void **state)
{
	static const char *const begins[] = { "hibr", "wake", "" };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct image *v = with_system_file("hiberfil.sys", begins[i]);
		uint32_t f = image_free_from(v);
		struct volmap_unkept r = { (f + 10) * 4096ull, 40 * 4096ull,
			EXTENT_HIBERFIL };
		struct cover_disk disk = { .p = v->p, .size = v->size };
		struct changes *w = list(v->size);
		struct cover *c;

		disk.written = w;
		c = cover(&disk, 0);
		assert_int_equal(c->hibernated, i == 0);
		assert_true(are(v, c, f + 10, 40, i == 0 ? 'x' : 'd'));
		assert_true(are(v, c, f, 10, i == 0 ? 's' : 'h'));
		cover_free(c);
		/* Not kept, so not to be looked at either: who left it out is awake. */
		disk.unkept = &r;
		disk.unkept_count = 1;
		c = cover(&disk, 0);
		assert_int_equal(c->hibernated, 0);
		assert_true(are(v, c, f + 10, 40, 'x'));
		assert_true(are(v, c, f, 10, 'h'));
		changes_free(w);
		done(v, c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_nobody_kept_is_excluded_and_the_rest_is_as_it_was),
		cmocka_unit_test(a_raw_volume_and_a_failing_read_are_no_exception),
		cmocka_unit_test(only_what_nobody_wrote_is_a_hole),
		cmocka_unit_test(clusters_of_any_size_are_kept_whole),
		cmocka_unit_test(a_file_that_is_only_in_the_log_is_kept),
		cmocka_unit_test(a_page_file_is_left_out_by_who_uses_it_alone),
		cmocka_unit_test(a_difference_area_is_left_out_if_nobody_wrote_there),
		cmocka_unit_test(memory_is_left_out_where_a_system_sleeps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
