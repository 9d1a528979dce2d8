/* What the FAT parser makes of allocation tables, sound and unsound. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/map/changes.h"
#include "tests/unit/agent/fat_image.h"
#include "tests/unit/agent/volmap_cover.h"

/* One of each kind, with clusters of 4 KiB. */
static struct fat_image *
of_kind(unsigned bits)
{
	return fat_image_new(bits, bits == 12 ? 300 : bits == 16 ? 4100 : 1100, 8);
}

static struct cover *
map(const struct fat_image *v, int flushed)
{
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct err err = ERR_INIT;
	struct cover *c = cover_new(&disk, flushed, 0, &err);

	assert_non_null(c);
	return c;
}

/* Non-zero: clusters number [n, n + len) all have this letter. */
static int
are(const struct fat_image *v, const struct cover *c, uint32_t n, uint32_t len,
    char letter)
{
	return cover_all(c, v->data_at + (uint64_t)(n - 2) * v->cluster,
	    (uint64_t)len * v->cluster, letter);
}

static void
chains_are_files_and_the_rest_is_free(void **state)
{
	static const char *const name[] = { "fat12", "fat16", "fat32" };

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		struct fat_image *v = of_kind(i == 0 ? 12 : i == 1 ? 16 : 32);
		const struct volmap_cut *cut;
		struct cover *c;

		fat_image_chain(v, 3, 1, 200);
		fat_image_chain(v, 200, 10, 100);
		fat_image_chain(v, 100, 20, 0);
		fat_image_set(v, 50,
		    v->bits == 12   ? 0xff7
		    : v->bits == 16 ? 0xfff7
				    : 0x0ffffff7);
		c = map(v, 0);
		assert_string_equal(c->fs, name[i]);
		assert_string_equal(c->note, "");
		assert_true(cover_all(c, 0, v->data_at, 's'));
		assert_true(are(v, c, 2, 1, 'h'));
		assert_true(are(v, c, 3, 1, 'd'));
		assert_true(are(v, c, 50, 1, 's')); /* A bad one is nobody's. */
		assert_true(are(v, c, 51, 49, 'h'));
		assert_true(are(v, c, 100, 20, 'd'));
		assert_true(are(v, c, 200, 10, 'd'));
		assert_true(are(v, c, 210, v->clusters - 208, 'h'));
		assert_true(cover_all(c, v->size - 1024, 1024, 's'));
		/* 31 clusters of one file: two blocks, the first in three pieces. */
		assert_int_equal(c->data_cuts, 2);
		cut = &c->data[0];
		assert_int_equal(cut->len, VOLMAP_BLOCK);
		assert_int_equal(cut->count, 3);
		assert_int_equal(cut->piece[0].offset, v->data_at + v->cluster);
		assert_int_equal(cut->piece[1].offset, v->data_at + 198ull * v->cluster);
		assert_int_equal(cut->piece[2].offset, v->data_at + 98ull * v->cluster);
		cover_free(c);
		fat_image_free(v);
	}
}

static void
keeps_everything(struct fat_image *v, const char *word)
{
	struct cover *c = map(v, 0);

	assert_non_null(strstr(c->fs, "fat"));
	assert_non_null(strstr(c->note, word));
	assert_int_equal(cover_count(c, 'h'), 0);
	cover_free(c);
	fat_image_free(v);
}

static void
tables_that_make_no_sense_keep_everything(void **state)
{
	static const unsigned kinds[] = { 12, 16, 32 };
	struct fat_image *v;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		v = of_kind(kinds[i]); /* Two chains meet. */
		fat_image_chain(v, 10, 5, 100);
		fat_image_chain(v, 20, 5, 101);
		fat_image_chain(v, 100, 9, 0);
		keeps_everything(v, "no sense");

		v = of_kind(kinds[i]); /* A ring. */
		fat_image_chain(v, 10, 5, 10);
		keeps_everything(v, "no sense");

		v = of_kind(kinds[i]); /* A chain into free clusters. */
		fat_image_chain(v, 10, 5, 100);
		keeps_everything(v, "no sense");

		v = of_kind(kinds[i]); /* Out of the volume. */
		fat_image_chain(v, 10, 5, v->clusters + 2);
		keeps_everything(v, "no sense");

		v = of_kind(kinds[i]); /* To a cluster that is none. */
		fat_image_chain(v, 10, 5, 1);
		keeps_everything(v, "no sense");

		v = of_kind(kinds[i]);
		v->p[v->table_at + v->table_size + 100] ^= 1;
		keeps_everything(v, "differ");

		v = of_kind(kinds[i]);
		v->p[kinds[i] == 32 ? 65 : 37] |= 1;
		keeps_everything(v, "clean");

		if (kinds[i] == 12)
			continue;
		v = of_kind(kinds[i]);
		fat_image_set(v, 1, kinds[i] == 16 ? 0x7fff : 0x07ffffff);
		keeps_everything(v, "clean");
		v = of_kind(kinds[i]);
		fat_image_set(v, 1, kinds[i] == 16 ? 0xbfff : 0x0bffffff);
		keeps_everything(v, "clean");
	}
}

static void
a_flushed_volume_need_not_be_clean(void **state)
{
	struct fat_image *v = of_kind(16);
	struct cover *c;

	(void)state;
	v->p[37] |= 1;
	c = map(v, 1);
	assert_string_equal(c->note, "");
	assert_true(cover_count(c, 'h') > 0);
	cover_free(c);
	fat_image_free(v);
}

/* Chains of single clusters that jump to and fro between the ends of a large table. */
static void
a_table_made_to_thrash_only_loses_its_files(void **state)
{
	struct fat_image *v = fat_image_new(32, 40000, 1);
	struct cover *c;

	(void)state;
	for (uint32_t i = 2; i < 9000; i++) {
		fat_image_set(v, i, 20000 + i);
		fat_image_set(v, 20000 + i, i + 1);
	}
	fat_image_set(v, 9000, 0x0fffffff);
	c = map(v, 0);
	assert_non_null(strstr(c->note, "told apart"));
	assert_int_equal(c->data_cuts, 0);
	/* What is free is still known. */
	assert_true(are(v, c, 9001, 10999, 'h'));
	cover_free(c);
	/* And that a file goes on where the table says free. */
	fat_image_set(v, 39000, 15000);
	c = map(v, 0);
	assert_int_equal(cover_count(c, 'h'), 0);
	cover_free(c);
	fat_image_free(v);
}

static void
not_fat(struct fat_image *v)
{
	struct cover *c = map(v, 0);

	assert_string_equal(c->fs, "raw");
	assert_int_equal(cover_count(c, 's'), v->size);
	cover_free(c);
	fat_image_free(v);
}

static void
whatever_is_not_fat_is_one_stream(void **state)
{
	static const uint8_t bitlocker[] =
	    "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01";
	static const struct {
		uint32_t at, value;
	} bad[] = { { 0, 0x33 }, { 2, 0 }, { 11, 1 }, { 12, 32 }, { 12, 0 }, { 13, 0 },
		{ 13, 3 }, { 14, 0 }, { 16, 0 }, { 16, 5 }, { 21, 0x12 }, { 22, 0 },
		{ 22, 1 }, { 35, 1 }, { 510, 0 } };
	struct fat_image *v;

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		v = of_kind(16);
		v->p[bad[i].at] = (uint8_t)bad[i].value;
		not_fat(v);
	}
	v = of_kind(16);
	memcpy(v->p + 3, "EXFAT   ", 8);
	not_fat(v);
	v = of_kind(32); /* Encrypted volumes that look like FAT to old systems. */
	memcpy(v->p + 424, bitlocker, 16);
	not_fat(v);
	v = of_kind(16);
	memcpy(v->p + 3, "-FVE-FS-", 8);
	not_fat(v);
	v = of_kind(16); /* More clusters than entries. */
	store_le32(v->p + 32, 16);
	not_fat(v);
	v = of_kind(16); /* Cut short. */
	v->size -= 4096;
	not_fat(v);
	v = of_kind(32); /* A root directory where FAT32 has none. */
	store_le16(v->p + 17, 16);
	not_fat(v);
}

static void
every_failing_read_is_reported(void **state)
{
	struct fat_image *v = of_kind(32);
	struct cover *c = NULL;
	struct cover_disk disk;
	uint64_t n;

	(void)state;
	fat_image_chain(v, 100, 20, 900);
	fat_image_chain(v, 900, 20, 0);
	for (n = 1; n < 100 && c == NULL; n++) {
		struct err err = ERR_INIT;

		disk = (struct cover_disk){ .p = v->p, .size = v->size, .fail_at = n };
		c = cover_new(&disk, 0, 0, &err);
		assert_int_equal(err.code, c == NULL ? ERR_IO : ERR_NONE);
	}
	assert_in_range(n, 5, 99);
	cover_free(c);
	fat_image_free(v);
}

/* Directories are not read, so it is all of a volume that is no larger than such are. */
static void
what_boot_loaders_may_write_is_told(void **state)
{
	struct fat_image *v = of_kind(32);
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct err err = ERR_INIT;
	struct cover *c;

	(void)state;
	assert_int_equal(changes_new(v->size, &disk.unheard, &err), 0);
	c = cover_within(&disk, NULL, 1, 0, &err);
	assert_non_null(c);
	assert_int_equal(changes_bytes(disk.unheard), v->size);
	changes_free(disk.unheard);
	cover_free(c);
	fat_image_free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(chains_are_files_and_the_rest_is_free),
		cmocka_unit_test(tables_that_make_no_sense_keep_everything),
		cmocka_unit_test(a_flushed_volume_need_not_be_clean),
		cmocka_unit_test(a_table_made_to_thrash_only_loses_its_files),
		cmocka_unit_test(whatever_is_not_fat_is_one_stream),
		cmocka_unit_test(what_boot_loaders_may_write_is_told),
		cmocka_unit_test(every_failing_read_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
