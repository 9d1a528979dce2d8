/*
 * What the records of an NTFS say of changes: a record that differs in one bit has its
 * clusters read, one that is the same keeps them, unless anything speaks against it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "agent/map/changes.h"
#include "agent/map/ntfs_compare.h"
#include "agent/map/volmap.h"
#include "proto/chunk/chunk_id.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/scratch.h"

#define CLUSTER 4096u
#define CLUSTERS 2048u
#define FIRST 24u /* Record of the first file. */
#define FILES 8u
#define LEN 16u /* Clusters of each. */
#define EPOCH (INT64_C(11644473600) * 10000000)

/* 2026-11-26 07:00 UTC, and a day that is long past, as NTFS counts. */
#define CUT_US (INT64_C(1795676400) * 1000000)
#define LONG_AGO (CUT_US * 10 + EPOCH - INT64_C(30) * 86400 * 10000000)

struct world {
	struct image *v;
	struct changes *list;
	struct ntfs_compare *compare;
	struct ntfs_compare_rules rules;
	struct chunk_keys keys;
	struct chunk_id base;
	char dir[SCRATCH_MAX], old[SCRATCH_MAX], new[SCRATCH_MAX];
	struct err err;
};

static int
read_image(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	const struct image *v = arg;

	if (offset + len > v->size)
		return err_set(err, ERR_LIMIT, "past the end");
	memcpy(buf, v->p + offset, len);
	return 0;
}

static void
times(uint8_t si[48], int64_t written, int64_t changed, uint32_t attributes)
{
	memset(si, 0, 48);
	store_le64(si, (uint64_t)written);
	store_le64(si + 8, (uint64_t)written);
	store_le64(si + 16, (uint64_t)changed);
	store_le64(si + 24, (uint64_t)written);
	store_le32(si + 32, attributes);
}

static uint64_t
lcn_of(const struct image *v, uint32_t n)
{
	return image_free_from(v) + 8 + n * (LEN + 4);
}

/* Eight plain files, long untouched; `odd` makes one of them something else. */
static struct image *
make(void (*odd)(struct image *v, uint32_t record))
{
	struct image *v = image_new(CLUSTERS, CLUSTER, 512, 1024, FIRST + FILES + 4);
	uint8_t si[48];

	times(si, LONG_AGO, LONG_AGO, 0x20);
	for (uint32_t n = 0; n < FILES; n++) {
		struct image_run runs[2] = { { (int64_t)lcn_of(v, n), LEN }, { 0, 0 } };

		image_file(v, FIRST + n, 5, "plain.txt", runs);
		image_resident(v, FIRST + n, 0x10, si, sizeof(si));
	}
	if (odd != NULL)
		odd(v, FIRST + 3);
	image_finish(v);
	return v;
}

static int
set_up(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 9 };
	struct world *w = calloc(1, sizeof(*w));

	scratch_make(w->dir);
	scratch_path(w->dir, "old", w->old);
	scratch_path(w->dir, "new", w->new);
	chunk_keys_init(&w->keys, domain);
	memset(w->base.b, 0x31, sizeof(w->base.b));
	w->rules = (struct ntfs_compare_rules){
		.large = 1 << 20, .recent_s = 86400, .types = "mdf vhdx software"
	};
	assert_int_equal(ntfs_compare_new(&w->rules, &w->compare, &w->err), 0);
	assert_int_equal(
	    changes_new((uint64_t)CLUSTERS * CLUSTER + 512, &w->list, &w->err), 0);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	ntfs_compare_free(w->compare);
	changes_free(w->list);
	image_free(w->v);
	scratch_drop(w->dir);
	free(w);
	return 0;
}

/* Look at w->v as the map does; the list is what it says afterwards. */
static void
look(struct world *w)
{
	const struct ntfs_compare_task task = { .changes = w->list,
		.old_path = w->old,
		.base = &w->base,
		.new_path = w->new,
		.keys = &w->keys,
		.cut_us = CUT_US };
	struct volmap_source src = { .read = read_image,
		.arg = w->v,
		.size = w->v->size,
		.sector_size = 512,
		.compare = w->compare };
	struct volmap *map;

	changes_clear(w->list);
	changes_only_owned(w->list);
	ntfs_compare_task(w->compare, &task);
	if (volmap_open(&src, NULL, 0, &map, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_string_equal(volmap_fs(map), "ntfs");
	volmap_close(map);
}

/* What was seen is what the newest point has. */
static void
becomes_base(struct world *w)
{
	w->base.b[0]++;
	if (ntfs_compare_seal(w->compare, &w->base, &w->err) != 0 ||
	    file_replace(w->new, w->old, &w->err) != 0)
		fail_msg("%s", w->err.text);
}

static int
is_read(const struct world *w, uint32_t n)
{
	return changes_touch(w->list, lcn_of(w->v, n) * CLUSTER, LEN * CLUSTER);
}

static void
only_read(const struct world *w, uint32_t which)
{
	for (uint32_t n = 0; n < FILES; n++)
		if (is_read(w, n) != (n == which))
			fail_msg("file %u is%s read", n, is_read(w, n) ? "" : " not");
}

static void
replace(struct world *w, struct image *v)
{
	if (w->v != NULL)
		image_free(w->v);
	w->v = v;
}

/* --------------------------------------------------------------------------- */

static void
a_record_that_is_the_same_is_not_read(void **state)
{
	struct world *w = *state;

	replace(w, make(NULL));
	look(w);
	assert_string_not_equal(changes_why(w->list), "");
	becomes_base(w);
	look(w);
	assert_string_equal(changes_why(w->list), "");
	only_read(w, FILES);
	/* The file system's own are, always. */
	assert_true(
	    changes_touch(w->list, (uint64_t)w->v->mft[0].lcn * CLUSTER, CLUSTER));
	assert_true(changes_touch(w->list, (uint64_t)w->v->log.lcn * CLUSTER, CLUSTER));
}

static void
any_bit_of_a_record_counts(void **state)
{
	struct world *w = *state;

	replace(w, make(NULL));
	look(w);
	becomes_base(w);
	/* Magic and the flag of being in use are others' tests. */
	for (uint32_t at = 24; at < 1024; at += 7) {
		uint8_t *p = image_record(w->v, FIRST + 5) + at;

		/* What the fixups guard would make the record torn. */
		if (at % 512 >= 510 || (at >= 42 && at < 56))
			continue;
		*p ^= 0x10;
		look(w);
		*p ^= 0x10;
		if (changes_why(w->list)[0] == '\0')
			assert_true(is_read(w, 5));
	}
	/* The number that is written with a record each time. */
	uint8_t *record = image_record(w->v, FIRST + 5);
	uint16_t place = load_le16(record + 4);

	store_le16(record + place, 8);
	store_le16(record + 510, 8);
	store_le16(record + 1022, 8);
	look(w);
	assert_string_equal(changes_why(w->list), "");
	only_read(w, 5);
}

/* What makes a file doubtful though its record never changes. */
static void
named_mdf(struct image *v, uint32_t n)
{
	image_name(v, n, 5, "Sales.MDF", 3);
}
static void
named_as_a_hive(struct image *v, uint32_t n)
{
	image_name(v, n, 5, "SOFTWARE", 3);
}
static void
is_system(struct image *v, uint32_t n)
{
	uint8_t si[48];

	times(si, LONG_AGO, LONG_AGO, 0x26);
	image_resident(v, n, 0x10, si, sizeof(si));
}
static void
lately_written(struct image *v, uint32_t n)
{
	uint8_t si[48];

	times(si, CUT_US * 10 + EPOCH - 100, LONG_AGO, 0x20);
	image_resident(v, n, 0x10, si, sizeof(si));
}
static void
lately_changed(struct image *v, uint32_t n)
{
	uint8_t si[48];

	times(si, LONG_AGO, CUT_US * 10 + EPOCH - INT64_C(86399) * 10000000, 0x20);
	image_resident(v, n, 0x10, si, sizeof(si));
}
static void
half_written(struct image *v, uint32_t n)
{
	struct image_run runs[2] = { { (int64_t)lcn_of(v, 3), LEN }, { 0, 0 } };
	uint8_t si[48];

	times(si, LONG_AGO, LONG_AGO, 0x20);
	image_file(v, n, 5, "plain.txt", runs);
	image_resident(v, n, 0x10, si, sizeof(si));
	/* The last attribute but one is the data: find it by its type. */
	for (uint8_t *a = image_record(v, n) + load_le16(image_record(v, n) + 20);
	     load_le32(a) != 0xffffffff; a += load_le32(a + 4))
		if (load_le32(a) == 0x80)
			store_le64(a + 56, 100);
}
static void
allocated_ahead(struct image *v, uint32_t n)
{
	half_written(v, n);
	for (uint8_t *a = image_record(v, n) + load_le16(image_record(v, n) + 20);
	     load_le32(a) != 0xffffffff; a += load_le32(a + 4))
		if (load_le32(a) == 0x80) {
			store_le64(a + 48, 2 * CLUSTER);
			store_le64(a + 56, 2 * CLUSTER);
		}
}
static void
compressed(struct image *v, uint32_t n)
{
	half_written(v, n);
	for (uint8_t *a = image_record(v, n) + load_le16(image_record(v, n) + 20);
	     load_le32(a) != 0xffffffff; a += load_le32(a + 4))
		if (load_le32(a) == 0x80) {
			store_le64(a + 56, load_le64(a + 48));
			store_le16(a + 12, 1);
		}
}
static void
has_a_list(struct image *v, uint32_t n)
{
	image_resident(v, n, 0x20, "", 0);
}
static void
reparses(struct image *v, uint32_t n)
{
	image_resident(v, n, 0xc0, "12345678", 8);
}

static void
what_is_doubtful_is_always_read(void **state)
{
	static void (*const odd[])(struct image * v, uint32_t n) = { named_mdf,
		named_as_a_hive, is_system, lately_written, lately_changed, half_written,
		allocated_ahead, compressed, has_a_list, reparses };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
		replace(w, make(odd[i]));
		look(w);
		becomes_base(w);
		look(w);
		assert_string_equal(changes_why(w->list), "");
		if (!is_read(w, 3))
			fail_msg("oddity %zu is not read", i);
		only_read(w, 3);
	}
	/* Large by the rules: all of them. */
	replace(w, make(NULL));
	w->rules.large = LEN * CLUSTER;
	look(w);
	becomes_base(w);
	look(w);
	for (uint32_t n = 0; n < FILES; n++)
		assert_true(is_read(w, n));
	w->rules.large = 0;
	look(w);
	only_read(w, FILES);
	/* Not one that is as old as that. */
	replace(w, make(lately_written));
	w->rules.recent_s = 0;
	look(w);
	becomes_base(w);
	look(w);
	only_read(w, FILES);
}

static void
another_volume_or_state_is_doubted(void **state)
{
	struct world *w = *state;

	replace(w, make(lately_changed));
	look(w);
	becomes_base(w);
	/* Put back: its newest record is older. */
	replace(w, make(NULL));
	look(w);
	assert_string_equal(
	    changes_why(w->list), "the volume was put back to an earlier state");
	/* The same by its log's numbers. */
	replace(w, make(NULL));
	store_le64(image_record(w->v, FIRST) + 8, 5000);
	look(w);
	becomes_base(w);
	store_le64(image_record(w->v, FIRST) + 8, 4999);
	look(w);
	assert_string_equal(
	    changes_why(w->list), "the volume was put back to an earlier state");
	/* Formatted anew: another serial number. */
	look(w);
	becomes_base(w);
	w->v->p[72] ^= 1;
	look(w);
	assert_string_not_equal(changes_why(w->list), "");
	w->v->p[72] ^= 1;
	look(w);
	assert_string_equal(changes_why(w->list), "");
	/* Of another point. */
	w->base.b[3] ^= 1;
	look(w);
	assert_string_not_equal(changes_why(w->list), "");
	w->base.b[3] ^= 1;
	/* A record that is torn. */
	image_record(w->v, FIRST + 2)[510] ^= 1;
	look(w);
	assert_string_equal(changes_why(w->list), "the MFT is damaged");
}

static void
records_behind_those_remembered_are_read(void **state)
{
	struct world *w = *state;
	struct err err = ERR_INIT;
	struct file *f;

	replace(w, make(NULL));
	look(w);
	becomes_base(w);
	/* The roll ends before the last four files. */
	assert_int_equal(file_open(w->old, FILE_TO_WRITE, &f, &err), 0);
	assert_int_equal(file_truncate(f, 1024 + 8 * (FIRST + FILES - 4), &err), 0);
	file_close(f);
	look(w);
	for (uint32_t n = 0; n < FILES; n++)
		assert_int_equal(is_read(w, n), n >= FILES - 4);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(a_record_that_is_the_same_is_not_read),
		TEST(any_bit_of_a_record_counts),
		TEST(what_is_doubtful_is_always_read),
		TEST(another_volume_or_state_is_doubted),
		TEST(records_behind_those_remembered_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
