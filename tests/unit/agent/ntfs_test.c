/* What the NTFS parser makes of volumes that no tool would make. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "agent/map/changes.h"
#include "tests/unit/agent/ntfs_map.h"

/* Map it, see a note with this word (or none), and that nothing is a hole. */
static void
keeps_everything(struct image *v, const char *word)
{
	struct cover *c = map(v);

	assert_string_equal(c->fs, "ntfs");
	assert_non_null(strstr(c->note, word));
	assert_int_equal(cover_count(c, 'h'), 0);
	done(v, c);
}

/* The same without doubts: only clusters from `lcn` on are holes. */
static void
leaves_out_free_clusters(struct image *v, uint64_t lcn)
{
	struct cover *c = map(v);

	assert_string_equal(c->note, "");
	assert_true(are(v, c, lcn, v->clusters - lcn, 'h'));
	done(v, c);
}

/* ----------------------------------------------------------------- cutting -- */

static void
free_clusters_are_holes_and_files_are_cut_in_blocks(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "a", RUNS({ f + 10, 40 }));
	c = map(v);
	assert_string_equal(c->fs, "ntfs");
	assert_string_equal(c->note, "");
	assert_true(are(v, c, f, 10, 'h'));
	assert_true(are(v, c, f + 10, 40, 'd'));
	assert_true(are(v, c, f + 50, v->clusters - f - 50, 'h'));
	/* The copy of the boot sector behind the last cluster is kept. */
	assert_true(cover_all(c, 400 * 4096, 512, 's'));
	for (uint32_t i = 0, n = 0; i < c->data_cuts; i++)
		if (c->data[i].offset >= (f + 10) * 4096ull) {
			assert_int_equal(c->data[i].len, n < 2 ? 65536 : 8 * 4096);
			assert_int_equal(
			    c->data[i].offset, (f + 10) * 4096ull + n++ * 65536ull);
		}
	done(v, c);
}

/* The DATA cut at this byte of the volume. */
static const struct volmap_cut *
cut_at(const struct cover *c, uint64_t offset)
{
	for (uint32_t i = 0; i < c->data_cuts; i++)
		if (c->data[i].offset == offset)
			return &c->data[i];
	return NULL;
}

static void
a_block_gathers_its_pieces_in_the_order_of_the_file(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	const struct volmap_cut *cut;
	struct cover *c;

	(void)state;
	/* The file's first part lies last; the hole in it is sparse. */
	image_file(v, 16, 5, "a",
	    RUNS({ f + 100, 3 }, { -1, 2 }, { f + 20, 4 }, { f + 60, 11 }));
	c = map(v);
	assert_non_null(cut = cut_at(c, (f + 20) * 4096ull));
	assert_int_equal(cut->count, 3);
	assert_int_equal(cut->len, 14 * 4096);
	assert_int_equal(cut->piece[0].offset, (f + 100) * 4096ull);
	assert_int_equal(cut->piece[1].offset, (f + 20) * 4096ull);
	assert_int_equal(cut->piece[2].offset, (f + 60) * 4096ull);
	assert_int_equal(cut->piece[2].len, 7 * 4096);
	/* What is left of the last run is the next block. */
	assert_non_null(cut = cut_at(c, (f + 67) * 4096ull));
	assert_int_equal(cut->len, 4 * 4096);
	done(v, c);
}

static void
data_ends_at_the_last_valid_byte_and_the_rest_is_kept(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct image_run *run = &(struct image_run){ f, 8 };
	uint64_t base = f * 4096ull;
	struct cover *c;
	uint8_t *a;

	(void)state;
	image_begin(v, 16, 1, 0);
	image_bits(v, f, 8, 1);
	a = image_attr(v, 16, 0x80, "", 0, RUNS(*run), 30000);
	store_le64(a + 56, 9001);
	c = map(v);
	assert_true(cover_all(c, base, 9001, 'd'));
	assert_true(cover_all(c, base + 9001, 8 * 4096 - 9001, 's'));
	assert_string_equal(c->note, "");
	done(v, c);
}

static void
compressed_data_is_taken_by_whole_clusters(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_begin(v, 16, 1, 0);
	image_bits(v, f, 8, 1);
	store_le16(
	    image_attr(v, 16, 0x80, "", 0, RUNS({ f, 8 }, { -1, 8 }), 3000) + 12, 1);
	c = map(v);
	assert_true(are(v, c, f, 8, 'd'));
	done(v, c);
}

static void
large_clusters_have_coarse_ends(void **state)
{
	struct image *v = image_new(20, 2u << 20, 512, 1024, 32);
	uint32_t f = image_free_from(v);
	uint64_t base = (uint64_t)f * v->cluster;
	struct cover *c;

	(void)state;
	image_begin(v, 16, 1, 0);
	image_bits(v, f, 2, 1);
	image_attr(v, 16, 0x80, "", 0, RUNS({ f, 2 }), v->cluster + 100001);
	c = map(v);
	/* 2 MiB / 64 Ki: to the next 32 bytes. */
	assert_true(cover_all(c, base, v->cluster + 100032, 'd'));
	assert_true(cover_all(c, base + v->cluster + 100032, 1, 's'));
	assert_true(are(v, c, f + 2, 20 - f - 2, 'h'));
	done(v, c);
}

static void
crumbs_are_read_like_their_neighbours(void **state)
{
	struct image *v = image_new(2000, 512, 512, 1024, 32);
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	/* One cluster, seven free, a file of eight, seven free ... */
	image_file(v, 16, 5, "tiny", RUNS({ f, 1 }));
	image_file(v, 17, 5, "a", RUNS({ f + 8, 8 }));
	image_file(v, 18, 5, "b", RUNS({ f + 31, 8 }));
	image_file(v, 19, 5, "c", RUNS({ f + 47, 9 }));
	c = map(v);
	assert_true(are(v, c, f, 8, 's'));
	assert_true(are(v, c, f + 8, 8, 'd'));
	assert_true(are(v, c, f + 16, 15, 'h'));
	assert_true(are(v, c, f + 31, 8, 'd'));
	assert_true(are(v, c, f + 39, 8, 'h'));
	assert_true(are(v, c, f + 47, 9, 'd'));
	done(v, c);
}

static void
all_sizes_of_sectors_clusters_and_records_are_read(void **state)
{
	static const uint32_t kind[][3] = { { 512, 512, 1024 }, { 4096, 4096, 4096 },
		{ 65536, 512, 1024 }, { 4096, 512, 512 }, { 1024, 1024, 2048 },
		{ 131072, 1024, 4096 } };

	(void)state;
	for (size_t i = 0; i < sizeof(kind) / sizeof(kind[0]); i++) {
		struct image *v = image_new(500, kind[i][0], kind[i][1], kind[i][2], 20);
		uint32_t f = image_free_from(v);

		image_file(v, 16, 5, "a", RUNS({ f, 32 }));
		leaves_out_free_clusters(v, f + 32);
	}
}

/* --------------------------------------------------------------- the MFT -- */

/* Move what lies from record 32 on to another place: the MFT has two runs. */
static void
split_mft(struct image *v, uint32_t to)
{
	struct image_run first = { v->mft[0].lcn, 8 }, second = { to, v->mft[0].len - 8 };

	memcpy(image_cluster(v, to), image_record(v, 32), second.len * v->cluster);
	image_bits(v, (uint64_t)v->mft[0].lcn + 8, second.len, 0);
	image_bits(v, to, second.len, 1);
	v->mft[0] = first;
	v->mft[1] = second;
}

static void
a_fragmented_mft_is_followed(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	split_mft(v, f + 200);
	image_begin(v, 0, 1, 0);
	image_attr(v, 0, 0x80, "", 0, v->mft, 64 * 1024);
	image_file(v, 50, 5, "late", RUNS({ f + 300, 5 }));
	c = map(v);
	assert_string_equal(c->note, "");
	assert_true(are(v, c, f + 300, 5, 'd'));
	assert_true(are(v, c, f + 200, 8, 'd'));
	assert_true(are(v, c, f, 200, 'h'));
	done(v, c);
}

/* The second run of the MFT is told by record 17 only; the list by itself is `resident`
 * or not. */
static void
mft_by_list(int resident)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	uint8_t list[96];
	struct cover *c;

	split_mft(v, f + 200);
	entry(list, 0x10, 0, 0);
	entry(list + 32, 0x80, 0, 0);
	entry(list + 64, 0x80, 8, 17);
	image_begin(v, 0, 1, 0);
	if (resident) {
		image_resident(v, 0, 0x20, list, sizeof(list));
	} else {
		memcpy(image_cluster(v, f + 3), list, sizeof(list));
		image_bits(v, f + 3, 1, 1);
		image_attr(v, 0, 0x20, "", 0, RUNS({ f + 3, 1 }), sizeof(list));
	}
	store_le64(
	    image_attr(v, 0, 0x80, "", 0, RUNS(v->mft[0]), 64 * 1024) + 40, 64 * 1024);
	image_begin(v, 17, 1, 0);
	/* An extension of record 0 names it by its sequence number alone. */
	store_le64(image_record(v, 17) + 32, 1ull << 48);
	image_attr(v, 17, 0x80, "", 8, RUNS(v->mft[1]), 0);
	image_file(v, 50, 5, "late", RUNS({ f + 300, 5 }));
	c = map(v);
	assert_string_equal(c->note, "");
	assert_true(are(v, c, f + 300, 5, 'd'));
	assert_true(are(v, c, f + 100, 100, 'h'));
	done(v, c);
}

static void
an_mft_told_by_an_attribute_list_is_followed(void **state)
{
	(void)state;
	mft_by_list(1);
	mft_by_list(0);
}

static void
a_file_over_two_records_is_one_file(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	const struct volmap_cut *cut;
	struct cover *c;

	(void)state;
	/* The extension lies before its base, and its clusters too. */
	image_begin(v, 16, 1, 20);
	image_attr(v, 16, 0x80, "", 6, RUNS({ f + 10, 6 }), 0);
	image_begin(v, 20, 1, 0);
	store_le64(image_attr(v, 20, 0x80, "", 0, RUNS({ f + 50, 6 }), 12 * 4096) + 40,
	    12 * 4096);
	image_bits(v, f + 10, 6, 1);
	image_bits(v, f + 50, 6, 1);
	c = map(v);
	assert_string_equal(c->note, "");
	assert_non_null(cut = cut_at(c, (f + 10) * 4096ull));
	assert_int_equal(cut->count, 2);
	assert_int_equal(cut->piece[0].offset, (f + 50) * 4096ull);
	done(v, c);
}

/* More than seven bits can tell apart, none whole in the base record. */
static void
many_streams_of_one_file_do_not_clash(void **state)
{
	struct image *v = image_new(1000, 4096, 512, 4096, 64);
	uint32_t f = image_free_from(v), lcn = f + 5;
	struct cover *c;

	(void)state;
	image_begin(v, 16, 1, 0);
	for (uint32_t n = 0; n < 300; n++, lcn += 2) {
		char name[8];

		if (n % 30 == 0)
			image_begin(v, 17 + n / 30, 1, 16);
		(void)snprintf(name, sizeof(name), "s%u", n);
		image_attr(v, 17 + n / 30, 0x80, name, 0, RUNS({ lcn, 2 }), 2 * 4096);
		image_bits(v, lcn, 2, 1);
	}
	c = map(v);
	assert_string_equal(c->note, "");
	assert_true(are(v, c, f + 5, 600, 'd'));
	assert_true(cover_count(c, 'h') > 0);
	done(v, c);
}

/* ------------------------------------------------------------------- doubt -- */

static void
clusters_of_deleted_files_are_holes(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);

	(void)state;
	image_file(v, 16, 5, "gone", RUNS({ f, 30 }));
	image_bits(v, f, 30, 0);
	store_le16(image_record(v, 16) + 22, 0);
	leaves_out_free_clusters(v, f);
}

static void
clusters_of_a_file_are_kept_though_the_bitmap_lost_them(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "late bitmap", RUNS({ f, 30 }));
	image_bits(v, f, 30, 0);
	c = map(v);
	assert_true(are(v, c, f, 30, 'd'));
	done(v, c);
}

/* Also where the map has no room to tell files apart, at once or after a while. */
static void
clusters_of_files_that_are_not_told_apart_are_kept_too(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover_disk disk = { .p = v->p, .size = v->size };
	struct spill_array array;
	struct volmap_limits limits = { 150, NULL };
	struct err err = ERR_INIT;
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "late bitmap", RUNS({ f, 3 }, { f + 60, 9 }));
	image_bits(v, f, 70, 0);
	image_finish(v);
	for (uint64_t fail = 0; fail < 9; fail++) {
		spill_array_init(&array);
		array.fail_write = fail;
		limits.spill = fail > 0 ? &array.spill : NULL;
		c = cover_within(&disk, &limits, 0, 0, &err);
		assert_non_null(c);
		assert_true(cover_count(c, 'h') > 0);
		assert_true(fail > 2 || c->data_cuts == 0);
		assert_int_equal(cover_all(c, f * 4096ull, 3 * 4096, 'h'), 0);
		for (uint32_t i = 0; i < 9; i++)
			assert_int_not_equal(c->byte[(f + 60 + i) * 4096ull], 'h');
		cover_free(c);
	}
	image_free(v);

	/* Two owners are seen all the same. */
	v = ordinary();
	image_file(v, 16, 5, "a", RUNS({ f, 3 }, { f + 6, 9 }));
	image_file(v, 17, 5, "b", RUNS({ f + 14, 3 }));
	image_finish(v);
	disk = (struct cover_disk){ .p = v->p, .size = v->size };
	limits.spill = NULL;
	c = cover_within(&disk, &limits, 0, 0, &err);
	assert_non_null(c);
	assert_int_equal(cover_count(c, 'h'), 0);
	done(v, c);
}

static void
an_unclean_log_keeps_everything(void **state)
{
	struct image *v = ordinary();
	struct cover *c;

	(void)state;
	image_log(v, 0, 1);
	image_file(v, 16, 5, "pagefile.sys", RUNS({ image_free_from(v), 30 }));
	image_finish(v);
	c = map_with(v, 0, 0);
	assert_non_null(strstr(c->note, "$LogFile"));
	assert_int_equal(cover_count(c, 'h') + cover_count(c, 'x'), 0);
	cover_free(c);
	/* Unless the file system was flushed at the cut. */
	c = map_with(v, 1, 0);
	assert_string_equal(c->note, "");
	assert_true(cover_count(c, 'h') > 0);
	assert_int_equal(cover_count(c, 'x'), 30 * 4096);
	done(v, c);
}

static void
a_clean_log_is_believed(void **state)
{
	struct image *v = ordinary();

	(void)state;
	image_log(v, 1, 1);
	leaves_out_free_clusters(v, image_free_from(v));
}

static void
a_log_in_doubt_keeps_everything(void **state)
{
	struct image *v;
	uint8_t *log;

	(void)state;
	v = ordinary();
	image_log(v, 1, 2); /* Of the version that is only in use while mounted. */
	keeps_everything(v, "$LogFile");

	v = ordinary();
	image_log(v, 1, 1);
	image_cluster(v, (uint64_t)v->log.lcn + 1)[510] ^= 1; /* Torn. */
	keeps_everything(v, "$LogFile");

	for (int first = 0; first < 2; first++) { /* As new as each other. */
		v = ordinary();
		image_log(v, first, 1);
		for (uint64_t i = 0; i < 2; i++)
			store_le64(image_cluster(v, (uint64_t)v->log.lcn + i) + 128, 7);
		keeps_everything(v, "$LogFile");
	}

	v = ordinary();
	log = image_cluster(v, (uint64_t)v->log.lcn);
	log[2 * v->cluster - 1] = 0; /* Nearly all ones. */
	keeps_everything(v, "$LogFile");

	v = ordinary();
	image_log(v, 1, 1);
	store_le16(image_cluster(v, (uint64_t)v->log.lcn) + 24, 4090);
	keeps_everything(v, "$LogFile");

	v = ordinary();
	image_log(v, 1, 1);
	store_le32(image_cluster(v, (uint64_t)v->log.lcn) + 16, 3000);
	keeps_everything(v, "$LogFile");

	v = ordinary();
	image_begin(v, 2, 0, 0);
	keeps_everything(v, "$LogFile");

	v = ordinary();
	image_begin(v, 2, 1, 0);
	image_resident(v, 2, 0x80, "", 0);
	keeps_everything(v, "$LogFile");
}

static void
a_dirty_volume_keeps_everything(void **state)
{
	static const uint8_t dirty[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 3, 1, 1, 0 };
	struct image *v = ordinary();

	(void)state;
	image_begin(v, 3, 1, 0);
	image_resident(v, 3, 0x70, dirty, sizeof(dirty));
	keeps_everything(v, "dirty");

	v = ordinary();
	image_begin(v, 3, 1, 0);
	keeps_everything(v, "$Volume");
}

static void
a_bitmap_in_doubt_keeps_everything(void **state)
{
	struct image *v = ordinary();

	(void)state;
	store_le64(image_record(v, 6) + 72 + 48, 20); /* Data size. */
	keeps_everything(v, "$Bitmap");

	v = ordinary();
	store_le64(image_record(v, 6) + 72 + 56, 20); /* Valid size. */
	keeps_everything(v, "$Bitmap");

	v = ordinary();
	image_begin(v, 6, 0, 0);
	keeps_everything(v, "$Bitmap");

	v = ordinary(); /* Sparse: bits that are nowhere say nothing. */
	image_begin(v, 6, 1, 0);
	image_attr(v, 6, 0x80, "", 0, RUNS({ -1, 1 }), 50);
	keeps_everything(v, "$Bitmap");
}

static void
damaged_records_keep_everything(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	uint8_t *p;

	(void)state;
	image_begin(v, 16, 1, 0);
	memcpy(image_record(v, 16), "BAAD", 4);
	keeps_everything(v, "MFT");

	v = ordinary(); /* Torn: the fixups do not match. */
	image_file(v, 16, 5, "a", RUNS({ f, 3 }));
	store_le16(image_record(v, 16) + 6, 9);
	keeps_everything(v, "MFT");

	v = ordinary(); /* A run past the end of the volume. */
	image_file(v, 16, 5, "a", RUNS({ f, 3 }));
	p = image_record(v, 16);
	store_le32(p + load_le32(p + 24) - 8 - 16 + 1, 1u << 30);
	keeps_everything(v, "MFT");

	v = ordinary(); /* An attribute longer than its record. */
	image_file(v, 16, 5, "a", RUNS({ f, 3 }));
	store_le32(image_record(v, 16) + 72 + 4, 2000);
	keeps_everything(v, "MFT");

	v = ordinary(); /* More runs than it says to have. */
	image_file(v, 16, 5, "a", RUNS({ f, 3 }, { f + 9, 3 }));
	p = image_record(v, 16);
	store_le64(p + 72 + load_le32(p + 76) + 24, 3);
	keeps_everything(v, "MFT");
}

static void
clusters_with_two_owners_are_streams_and_keep_everything(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "a", RUNS({ f, 30 }));
	image_file(v, 17, 5, "b", RUNS({ f + 10, 5 }));
	image_file(v, 18, 5, "c", RUNS({ f + 40, 5 }));
	c = map(v);
	assert_non_null(strstr(c->note, "two owners"));
	assert_int_equal(cover_count(c, 'h'), 0);
	assert_true(are(v, c, f, 30, 's'));
	assert_true(are(v, c, f + 40, 5, 'd'));
	done(v, c);
}

static void
a_file_that_maps_a_place_twice_is_a_stream(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	/* Base and extension both tell of VCN 0. */
	image_begin(v, 16, 1, 20);
	image_attr(v, 16, 0x80, "", 0, RUNS({ f + 10, 6 }), 0);
	store_le64(image_record(v, 16) + 72 + 40, 0);
	image_begin(v, 20, 1, 0);
	store_le64(image_attr(v, 20, 0x80, "", 0, RUNS({ f + 50, 6 }), 12 * 4096) + 40,
	    12 * 4096);
	c = map(v);
	assert_true(are(v, c, f + 10, 6, 's'));
	assert_true(are(v, c, f + 50, 6, 's'));
	done(v, c);
}

/* ------------------------------------------------------------ not a volume -- */

static void
raw_with(struct image *v, const char *word)
{
	struct cover *c = map_with(v, 0, 0);

	assert_string_equal(c->fs, "raw");
	assert_non_null(strstr(c->note, word));
	assert_int_equal(cover_count(c, 's'), v->size);
	done(v, c);
}

static void
a_volume_that_cannot_be_read_is_one_stream(void **state)
{
	static const struct {
		uint32_t at, value;
		const char *word;
	} boot[] = { { 11, 100, "sector size" }, { 11, 8192, "sector size" },
		{ 13, 3, "cluster size" }, { 13, 0x90, "cluster size" },
		{ 13, 0, "cluster size" }, { 64, 0, "record size" },
		{ 64, 0xf0, "record size" }, { 64, 3, "record size" },
		{ 42, 1, "sectors" }, { 50, 7, "clusters" }, { 48, 399, "MFT" } };
	struct image *v;

	(void)state;
	for (size_t i = 0; i < sizeof(boot) / sizeof(boot[0]); i++) {
		v = ordinary();
		image_finish(v);
		if (boot[i].at == 11)
			store_le16(v->p + 11, (uint16_t)boot[i].value);
		else if (boot[i].at == 48)
			store_le64(v->p + 48, boot[i].value);
		else
			v->p[boot[i].at] = (uint8_t)boot[i].value;
		raw_with(v, boot[i].word);
	}
	v = ordinary();
	image_finish(v);
	v->size -= 8192; /* The volume was cut short. */
	raw_with(v, "more sectors");
	v = ordinary();
	image_finish(v);
	image_record(v, 0)[510] ^= 0x55;
	raw_with(v, "MFT");
	v = ordinary();
	image_begin(v, 0, 1, 0);
	image_finish(v);
	raw_with(v, "MFT");
	v = ordinary();
	image_finish(v);
	v->p[3] = 'X';
	raw_with(v, "");
}

/* Whatever read fails: an error, no crash, no leak, no half map. */
static void
every_failing_read_is_reported(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover_disk disk;
	struct cover *c = NULL;
	uint64_t n;

	(void)state;
	image_log(v, 1, 1);
	image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 3 }));
	image_finish(v);
	for (n = 1; n < 100 && c == NULL; n++) {
		struct err err = ERR_INIT;

		disk = (struct cover_disk){ .p = v->p, .size = v->size, .fail_at = n };
		c = cover_new(&disk, 0, 0, &err);
		assert_int_equal(err.code, c == NULL ? ERR_IO : ERR_NONE);
	}
	assert_in_range(n, 10, 99);
	done(v, c);
}

/* Clusters that are told of as written around every driver. */
static uint64_t
unheard(struct image *v, struct changes *list)
{
	struct cover_disk disk = { .p = v->p, .size = v->size, .unheard = list };
	struct err err = ERR_INIT;
	struct cover *c;

	image_finish(v);
	c = cover_within(&disk, NULL, 1, 0, &err);
	assert_non_null(c);
	cover_free(c);
	return changes_bytes(list) / 4096;
}

static void
what_no_driver_sees_written_is_told(void **state)
{
	static const struct {
		const char *name;
		int told;
	} files[] = { { "BootStat.dat", 1 }, { "BCD", 1 }, { "bcd.log1", 1 },
		{ "hiberfil.sys", 1 }, { "{3808876B-c176-4e48-b7ae-04046e6cc752}", 1 },
		{ "{01234567-89ab-cdef-0123-456789abcdef}"
		  "{3808876b-c176-4e48-b7ae-04046e6cc752}",
		    1 },
		{ "$Boot", 1 }, { "{3808876b-c176-4e48-b7ae-04046e6cc753}", 0 },
		{ "bootstat.dat2", 0 }, { "bcd.log3", 0 }, { "pagefile.sys", 0 } };
	struct changes *list;
	uint8_t entries[3 * 32];
	struct err err = ERR_INIT;
	struct image *v;
	uint32_t f;

	(void)state;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		v = ordinary();
		f = image_free_from(v);
		assert_int_equal(changes_new(v->size, &list, &err), 0);
		image_file(v, 20, 17, files[i].name, RUNS({ f + 5, 3 }, { f, 2 }));
		assert_int_equal(unheard(v, list), files[i].told ? 5 : 0);
		assert_int_equal(changes_touch(list, f * 4096ull, 1), files[i].told);
		assert_int_equal(
		    changes_touch(list, (f + 7) * 4096ull, 4096), files[i].told);
		changes_free(list);
		image_free(v);
	}
	/* One that nobody here could read: compressed, with a hole. */
	v = ordinary();
	f = image_free_from(v);
	assert_int_equal(changes_new(v->size, &list, &err), 0);
	image_begin(v, 20, 1, 0);
	image_name(v, 20, 17, "bootstat.dat", 3);
	store_le16(image_attr(v, 20, 0x80, "", 0,
		       RUNS({ f, 3 }, { -1, 13 }, { f + 9, 2 }), 18 * 4096) +
		       12,
	    1);
	image_bits(v, f, 3, 1);
	image_bits(v, f + 9, 2, 1);
	assert_int_equal(unheard(v, list), 5);
	assert_true(changes_touch(list, (f + 10) * 4096ull, 1));
	changes_free(list);
	image_free(v);
	/* Its name in one record, its content in two others. */
	v = ordinary();
	f = image_free_from(v);
	assert_int_equal(changes_new(v->size, &list, &err), 0);
	entry(entries, 0x30, 0, 21);
	entry(entries + 32, 0x80, 0, 22);
	entry(entries + 64, 0x80, 4, 21);
	image_begin(v, 20, 1, 0);
	image_resident(v, 20, 0x20, entries, sizeof(entries));
	image_begin(v, 21, 1, 20);
	image_name(v, 21, 5, "bootstat.dat", 3);
	image_attr(v, 21, 0x80, "", 4, RUNS({ f + 20, 2 }), 0);
	image_begin(v, 22, 1, 20);
	store_le64(
	    image_attr(v, 22, 0x80, "", 0, RUNS({ f, 4 }), 6 * 4096) + 40, 6 * 4096);
	image_bits(v, f, 4, 1);
	image_bits(v, f + 20, 2, 1);
	assert_int_equal(unheard(v, list), 6);
	assert_true(changes_touch(list, (f + 21) * 4096ull, 1));
	changes_free(list);
	image_free(v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_clusters_are_holes_and_files_are_cut_in_blocks),
		cmocka_unit_test(a_block_gathers_its_pieces_in_the_order_of_the_file),
		cmocka_unit_test(data_ends_at_the_last_valid_byte_and_the_rest_is_kept),
		cmocka_unit_test(compressed_data_is_taken_by_whole_clusters),
		cmocka_unit_test(large_clusters_have_coarse_ends),
		cmocka_unit_test(crumbs_are_read_like_their_neighbours),
		cmocka_unit_test(all_sizes_of_sectors_clusters_and_records_are_read),
		cmocka_unit_test(a_fragmented_mft_is_followed),
		cmocka_unit_test(an_mft_told_by_an_attribute_list_is_followed),
		cmocka_unit_test(a_file_over_two_records_is_one_file),
		cmocka_unit_test(clusters_of_deleted_files_are_holes),
		cmocka_unit_test(clusters_of_a_file_are_kept_though_the_bitmap_lost_them),
		cmocka_unit_test(clusters_of_files_that_are_not_told_apart_are_kept_too),
		cmocka_unit_test(an_unclean_log_keeps_everything),
		cmocka_unit_test(a_clean_log_is_believed),
		cmocka_unit_test(a_log_in_doubt_keeps_everything),
		cmocka_unit_test(a_dirty_volume_keeps_everything),
		cmocka_unit_test(a_bitmap_in_doubt_keeps_everything),
		cmocka_unit_test(damaged_records_keep_everything),
		cmocka_unit_test(
		    clusters_with_two_owners_are_streams_and_keep_everything),
		cmocka_unit_test(a_file_that_maps_a_place_twice_is_a_stream),
		cmocka_unit_test(many_streams_of_one_file_do_not_clash),
		cmocka_unit_test(what_no_driver_sees_written_is_told),
		cmocka_unit_test(a_volume_that_cannot_be_read_is_one_stream),
		cmocka_unit_test(every_failing_read_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
