/* Page files by the root directory's index alone; and nothing where anything is odd. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/map/ntfs_paging.h"
#include "proto/chunk/tree.h"
#include "tests/unit/agent/ntfs_index.h"
#include "tests/unit/agent/ntfs_map.h"

#define NONE INDEX_NO_CHILD

static struct ntfs_paging found;

/* Look at it, and it is gone. */
static int
look(struct image *v, uint64_t fail_at)
{
	struct cover_disk disk = { .p = v->p, .size = v->size, .fail_at = fail_at };
	const struct volmap_source src = {
		.read = cover_read, .arg = &disk, .size = v->size
	};
	struct err err = ERR_INIT;
	int got;

	memset(&found, 0xee, sizeof(found));
	got = ntfs_paging_find(&src, &found, &err);
	assert_int_equal(got == -1, fail_at != 0 && disk.reads >= fail_at);
	return got;
}

static int
look_at(struct image *v)
{
	int got;

	image_finish(v);
	got = look(v, 0);
	image_free(v);
	return got;
}

static void
is_extent(unsigned i, const struct image *v, uint64_t lcn, uint64_t len, uint8_t reason)
{
	assert_true(i < found.count);
	assert_int_equal(found.extent[i].offset, lcn * v->cluster);
	assert_int_equal(found.extent[i].len, len * v->cluster);
	assert_int_equal(found.extent[i].reason, reason);
}

/* Records 16, 17, 18 are the three files, each in two runs; `f` is where they begin. */
static struct image *
three(uint32_t *f)
{
	struct image *v = ordinary();

	*f = image_free_from(v);
	image_file(v, 16, 5, "pagefile.sys", RUNS({ *f + 40, 3 }, { *f, 5 }));
	image_file(v, 17, 5, "SWAPFILE.SYS", RUNS({ *f + 10, 2 }));
	image_file(v, 18, 5, "hiberfil.sys", RUNS({ *f + 20, 4 }, { *f + 24, 4 }));
	return v;
}

static void
in_the_record_itself(struct image *v)
{
	struct index_node n;

	index_begin(&n);
	index_entry(&n, 18, "hiberfil.sys", NONE);
	index_entry(&n, 16, "pagefile.sys", NONE);
	index_entry(&n, 17, "SWAPFILE.SYS", NONE);
	index_entry(&n, 0, NULL, NONE);
	index_root(v, &n);
}

/* A tree of two levels below the record: block 0 is in its middle. */
static void
in_blocks(struct image *v, uint32_t at)
{
	struct index_node n;

	index_begin(&n);
	index_entry(&n, 20, "nothing", 0);
	index_entry(&n, 0, NULL, 2);
	index_root(v, &n);
	index_blocks(v, RUNS({ at + 1, 2 }, { at, 1 }), 3);
	index_begin(&n);
	index_entry(&n, 18, "hiberfil.sys", NONE);
	index_entry(&n, 0, NULL, NONE);
	index_block(v, (uint64_t)(at + 2) * v->cluster, 1, &n);
	index_begin(&n);
	index_entry(&n, 19, "later", 1);
	index_entry(&n, 0, NULL, NONE);
	index_block(v, (uint64_t)(at + 1) * v->cluster, 0, &n);
	index_begin(&n);
	index_entry(&n, 16, "pagefile.sys", NONE);
	index_entry(&n, 17, "SWAPFILE.SYS", NONE);
	index_entry(&n, 0, NULL, NONE);
	index_block(v, (uint64_t)at * v->cluster, 2, &n);
}

static void
are_three(const struct image *v, uint32_t f)
{
	is_extent(0, v, f, 5, EXTENT_PAGEFILE);
	is_extent(1, v, f + 10, 2, EXTENT_SWAPFILE);
	is_extent(2, v, f + 20, 8, EXTENT_HIBERFIL);
	is_extent(3, v, f + 40, 3, EXTENT_PAGEFILE);
	assert_int_equal(found.count, 4);
}

static void
what_the_root_names_is_found_in_order(void **state)
{
	struct ntfs_paging before;
	struct image *v;
	uint32_t f;

	(void)state;
	v = three(&f);
	in_the_record_itself(v);
	image_finish(v);
	assert_int_equal(look(v, 0), 1);
	are_three(v, f);
	image_free(v);
	before = found;
	v = three(&f);
	in_blocks(v, f + 60);
	image_finish(v);
	assert_int_equal(look(v, 0), 1);
	are_three(v, f);
	assert_true(ntfs_paging_same(&before, &found));
	found.extent[3].len -= 4096;
	assert_false(ntfs_paging_same(&before, &found));
	image_free(v);
}

static void
a_read_that_fails_fails_the_search(void **state)
{
	struct image *v;
	uint32_t f, n;

	(void)state;
	v = three(&f);
	in_blocks(v, f + 60);
	image_finish(v);
	for (n = 1; look(v, n) == -1; n++)
		assert_int_equal(found.count, 0);
	/* Boot sector, two records, three blocks, three files. */
	assert_int_equal(n, 10);
	image_free(v);
}

static void
nothing_is_told_of_a_volume_that_makes_no_sense(void **state)
{
	struct index_node n;
	struct image *v;
	uint32_t f;

	(void)state;
	v = three(&f);
	assert_int_equal(look_at(v), 0); /* Without an index. */
	v = three(&f);
	in_blocks(v, f + 60);
	memcpy(v->p + (uint64_t)(f + 62) * v->cluster, "BAAD", 4);
	assert_int_equal(look_at(v), 0);
	/* A ring: a child that was seen. */
	v = three(&f);
	in_blocks(v, f + 60);
	index_begin(&n);
	index_entry(&n, 18, "hiberfil.sys", 0);
	index_entry(&n, 0, NULL, NONE);
	index_block(v, (uint64_t)(f + 62) * v->cluster, 1, &n);
	assert_int_equal(look_at(v), 0);
	/* A child outside. */
	v = three(&f);
	index_begin(&n);
	index_entry(&n, 0, NULL, 7);
	index_root(v, &n);
	assert_int_equal(look_at(v), 0);
	/* No last entry. */
	v = three(&f);
	index_begin(&n);
	index_entry(&n, 16, "pagefile.sys", NONE);
	index_root(v, &n);
	assert_int_equal(look_at(v), 0);
	/* The directory has an attribute list. */
	v = three(&f);
	image_resident(v, 5, 0x20, "", 0);
	in_the_record_itself(v);
	assert_int_equal(look_at(v), 0);
	v = three(&f);
	memset(v->p, 0, 512);
	assert_int_equal(look(v, 0), 0);
	image_free(v);
}

/* Of the page file; the other two are told all the same. */
static void
without_page_file(struct image *v)
{
	in_the_record_itself(v);
	assert_int_equal(look_at(v), 1);
	assert_int_equal(found.count, 2);
	assert_int_equal(found.extent[0].reason, EXTENT_SWAPFILE);
	assert_int_equal(found.extent[1].reason, EXTENT_HIBERFIL);
}

static void
odd_files_are_not_told(void **state)
{
	struct image *v;
	uint8_t *p;
	uint32_t f;

	(void)state;
	v = three(&f);
	store_le16(image_record(v, 16) + 16, 2); /* Another file has the record now. */
	without_page_file(v);
	v = three(&f);
	image_name(v, 16, 5, "other", 1);
	without_page_file(v);
	v = three(&f);
	image_begin(v, 16, 1, 0);
	image_name(v, 16, 7, "pagefile.sys", 3);
	image_attr(v, 16, 0x80, "", 0, RUNS({ f, 5 }), 5 * 4096);
	without_page_file(v);
	v = three(&f);
	image_resident(v, 16, 0x20, "", 0);
	without_page_file(v);
	v = three(&f);
	image_resident(v, 16, 0x80, "second", 6);
	without_page_file(v);
	for (unsigned flags = 1; flags <= 0x8000; flags <<= 1) {
		v = three(&f);
		image_begin(v, 16, 1, 0);
		image_name(v, 16, 5, "pagefile.sys", 3);
		p = image_attr(v, 16, 0x80, "", 0, RUNS({ f, 5 }), 5 * 4096);
		store_le16(p + 12, (uint16_t)flags);
		without_page_file(v);
	}
	v = three(&f);
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 2 }, { -1, 2 }));
	without_page_file(v);
	v = three(&f);
	image_begin(v, 16, 0, 0); /* Not in use. */
	in_the_record_itself(v);
	image_finish(v);
	assert_int_not_equal(look(v, 0), -1);
	for (unsigned i = 0; i < found.count; i++)
		assert_int_not_equal(found.extent[i].reason, EXTENT_PAGEFILE);
	image_free(v);
}

/* Where NTFS makes short names, the driver's store has one. */
static void
a_short_name_is_no_second_one(void **state)
{
	struct index_node n;
	struct image *v;
	uint32_t f;

	(void)state;
	for (unsigned odd = 0; odd < 4; odd++) {
		v = ordinary();
		f = image_free_from(v);
		image_file(v, 16, 5, "$Holdfast.track", RUNS({ f, 4 }));
		if (odd < 3)
			image_name(v, 16, odd == 1 ? 7 : 5, "$HOLDF~1.TRA", 2);
		if (odd >= 2)
			image_name(v, 16, 5, "$HOLDF~2.TRA", odd == 2 ? 2 : 1);
		index_begin(&n);
		index_entry(&n, 16, "$Holdfast.track", NONE);
		index_entry(&n, 16, "$HOLDF~1.TRA", NONE);
		index_entry(&n, 0, NULL, NONE);
		index_root(v, &n);
		image_finish(v);
		assert_int_equal(look(v, 0), 1);
		assert_int_equal(found.count, odd == 0);
		if (odd == 0)
			is_extent(0, v, f, 4, EXTENT_HOTCOPY);
		image_free(v);
	}
}

static void
two_of_one_name_or_one_place_are_not_told(void **state)
{
	struct index_node n;
	struct image *v;
	uint32_t f;

	(void)state;
	v = three(&f);
	index_begin(&n);
	index_entry(&n, 16, "pagefile.sys", NONE);
	index_entry(&n, 17, "PageFile.sys", NONE);
	index_entry(&n, 0, NULL, NONE);
	index_root(v, &n);
	assert_int_equal(look_at(v), 1);
	assert_int_equal(found.count, 0);
	/* Clusters of two files: it cannot be told whose they are. */
	v = three(&f);
	image_file(v, 17, 5, "SWAPFILE.SYS", RUNS({ f + 4, 3 }));
	in_the_record_itself(v);
	assert_int_equal(look_at(v), 1);
	assert_int_equal(found.count, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_the_root_names_is_found_in_order),
		cmocka_unit_test(a_read_that_fails_fails_the_search),
		cmocka_unit_test(nothing_is_told_of_a_volume_that_makes_no_sense),
		cmocka_unit_test(odd_files_are_not_told),
		cmocka_unit_test(a_short_name_is_no_second_one),
		cmocka_unit_test(two_of_one_name_or_one_place_are_not_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
