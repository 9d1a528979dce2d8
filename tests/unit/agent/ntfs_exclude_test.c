/* What of an NTFS volume is left out: page files and the memory of a sleeping system. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "proto/chunk/tree.h"
#include "tests/unit/agent/ntfs_map.h"

/* Map a volume with this file in record 16, and count what is excluded. */
static uint64_t
excluded(struct image *v)
{
	struct cover *c = map(v);
	uint64_t n = cover_count(c, 'x');

	done(v, c);
	return n;
}

/* The reasons for which anything of it is excluded, a bit each. */
static unsigned
reasons(struct image *v)
{
	struct cover *c = map(v);
	unsigned all = c->reasons;

	done(v, c);
	return all;
}

static void
why_it_is_excluded_goes_with_it(void **state)
{
	static const struct {
		const char *name;
		unsigned why;
	} files[] = { { "PageFile.sys", EXTENT_PAGEFILE },
		{ "swapfile.sys", EXTENT_SWAPFILE },
		{ "hiberfil.sys", EXTENT_HIBERFIL } };
	struct image *v;
	uint32_t f;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		v = ordinary();
		image_file(v, 16, 5, files[i].name, RUNS({ image_free_from(v), 3 }));
		assert_int_equal(reasons(v), 1u << files[i].why);
	}
	/* Neighbours that are left out for different reasons stay apart. */
	v = ordinary();
	f = image_free_from(v);
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	image_file(v, 17, 5, "swapfile.sys", RUNS({ f + 3, 3 }));
	assert_int_equal(reasons(v), 1u << EXTENT_PAGEFILE | 1u << EXTENT_SWAPFILE);
}

static void
page_files_are_excluded(void **state)
{
	static const char *const names[] = { "pagefile.sys", "SwapFile.SYS",
		"hiberfil.sys" };
	struct image *v;
	uint32_t f;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		v = ordinary();
		f = image_free_from(v);
		image_file(v, 16, 5, names[i], RUNS({ f, 3 }, { f + 10, 4 }));
		assert_int_equal(excluded(v), 7 * 4096);
	}
	/* What lies behind the valid data is the file's too. */
	v = ordinary();
	image_begin(v, 16, 1, 0);
	image_name(v, 16, 5, "pagefile.sys", 3);
	image_bits(v, f, 9, 1);
	store_le64(image_attr(v, 16, 0x80, "", 0, RUNS({ f, 9 }), 9 * 4096) + 56, 0);
	assert_int_equal(excluded(v), 9 * 4096);
	/* A short name beside the long one is no second name. */
	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	image_name(v, 16, 5, "PAGEFI~1.SYS", 2);
	assert_int_equal(excluded(v), 3 * 4096);
}

static void
whatever_else_has_the_name_is_kept(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	uint8_t *p;

	(void)state;
	image_begin(v, 17, 3, 0);
	image_file(v, 16, 17, "pagefile.sys", RUNS({ f, 3 })); /* Not in the root. */
	assert_int_equal(excluded(v), 0);

	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	image_name(v, 16, 5, "precious", 1); /* A hard link. */
	assert_int_equal(excluded(v), 0);

	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	store_le16(image_record(v, 16) + 18, 2); /* A link that is not here. */
	assert_int_equal(excluded(v), 0);

	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }, { f + 6, 2 }));
	image_bits(v, f + 7, 1, 0); /* A cluster is not allocated. */
	assert_int_equal(excluded(v), 0);

	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }, { f + 6, 2 }));
	image_file(v, 17, 5, "other", RUNS({ f + 7, 1 })); /* Not its alone. */
	assert_int_equal(excluded(v), 0);

	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 16 }));
	p = image_record(v, 16);
	store_le16(p + 72 + load_le32(p + 76) + 12, 1); /* Compressed. */
	assert_int_equal(excluded(v), 0);

	v = ordinary(); /* Two unnamed streams: which of them is the file? */
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	image_attr(v, 16, 0x80, "", 0, RUNS({ f + 6, 2 }), 2 * 4096);
	image_bits(v, f + 6, 2, 1);
	assert_int_equal(excluded(v), 0);

	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys2", RUNS({ f, 3 }));
	image_file(v, 17, 5, "pagefile_sys", RUNS({ f + 3, 3 }));
	assert_int_equal(excluded(v), 0);

	v = ordinary(); /* A second stream of it. */
	image_begin(v, 16, 1, 0);
	image_name(v, 16, 5, "pagefile.sys", 3);
	image_bits(v, f, 3, 1);
	image_attr(v, 16, 0x80, "s", 0, RUNS({ f, 3 }), 3 * 4096);
	assert_int_equal(excluded(v), 0);
}

static void
nothing_is_excluded_when_asked_to_keep_all(void **state)
{
	struct image *v = ordinary();
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "pagefile.sys", RUNS({ image_free_from(v), 3 }));
	image_finish(v);
	c = map_with(v, 0, VOLMAP_KEEP_ALL);
	assert_int_equal(cover_count(c, 'x'), 0);
	assert_true(cover_count(c, 'h') > 0);
	cover_free(c);
	c = map_with(v, 0, VOLMAP_WHOLE);
	assert_string_equal(c->fs, "raw");
	assert_int_equal(cover_count(c, 's'), v->size);
	done(v, c);
}

#define AREA \
	"{01234567-0123-0123-0123-0123456789ab}{3808876b-c176-4e48-b7ae-04046e6cc752}"

static void
difference_areas_are_excluded_in_their_directory_alone(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_file(v, 16, 18, AREA, RUNS({ f, 3 })); /* Before its directory. */
	image_file(v, 17, 18, &AREA[38], RUNS({ f + 3, 3 }));
	image_begin(v, 18, 3, 0);
	image_name(v, 18, 5, "System Volume Information", 1);
	image_begin(v, 19, 3, 0);
	image_name(v, 19, 5, "Other", 1);
	image_file(v, 20, 19, AREA, RUNS({ f + 6, 3 }));
	c = map(v);
	assert_int_equal(cover_count(c, 'x'), 3 * 4096);
	assert_int_equal(c->reasons, 1u << EXTENT_SHADOW);
	done(v, c);
}

static void
memory_of_a_sleeping_system_is_excluded_and_all_else_kept(void **state)
{
	struct image *v;
	struct cover *c;
	uint32_t f;

	(void)state;
	for (int upper = 0; upper < 2; upper++) {
		v = ordinary();
		f = image_free_from(v);
		image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 3 }));
		image_file(v, 17, 5, "pagefile.sys", RUNS({ f + 3, 3 }));
		memcpy(image_cluster(v, f), upper ? "HIBR" : "hibr", 4);
		image_log(v, 0, 1);
		c = map(v);
		assert_int_equal(c->hibernated, 1);
		assert_int_equal(cover_count(c, 'h'), 0);
		assert_int_equal(cover_count(c, 'x'), 3 * 4096);
		assert_true(are(v, c, f, 3, 'x'));
		done(v, c);
	}
	/* Not if a cluster of it has another owner, or none can be ruled out. */
	for (int torn = 0; torn < 2; torn++) {
		v = ordinary();
		image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 3 }, { f + 9, 3 }));
		memcpy(image_cluster(v, f), "hibr", 4);
		image_file(v, 17, 5, "other", RUNS({ torn ? f + 5 : f + 2, 2 }));
		if (torn)
			memcpy(image_record(v, 17), "BAAD", 4);
		c = map(v);
		assert_int_equal(c->hibernated, 1);
		assert_int_equal(cover_count(c, 'x') + cover_count(c, 'h'), 0);
		done(v, c);
	}
	/* Awake: an ordinary volume. */
	v = ordinary();
	image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 3 }));
	c = map(v);
	assert_int_equal(c->hibernated, 0);
	assert_true(cover_count(c, 'h') > 0);
	done(v, c);
}

static void
a_system_that_may_still_be_resumed_sleeps_unless_it_flushed(void **state)
{
	static const char *const words[] = { "wake", "WAKE", "rstr", "RSTR" };
	struct image *v;
	struct cover *c;
	uint32_t f;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		v = ordinary();
		f = image_free_from(v);
		image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 3 }));
		memcpy(image_cluster(v, f), words[i], 4);
		c = map(v);
		assert_int_equal(c->hibernated, 1);
		assert_int_equal(cover_count(c, 'h'), 0);
		cover_free(c);
		c = map_with(v, 1, 0);
		assert_int_equal(c->hibernated, 0);
		assert_true(are(v, c, f, 3, 'x'));
		done(v, c);
	}
	/* A few bytes: the memory is on another volume. */
	v = ordinary();
	image_begin(v, 16, 1, 0);
	image_name(v, 16, 5, "hiberfil.sys", 3);
	image_resident(v, 16, 0x80, "where", 5);
	c = map(v);
	assert_int_equal(c->hibernated, 1);
	assert_int_equal(cover_count(c, 'h'), 0);
	done(v, c);
}

/* How the first bytes of a memory lie is of no account: what is not seen may sleep. */
static void
a_memory_that_cannot_be_looked_at_may_sleep(void **state)
{
	struct image *v;
	struct cover *c;
	uint8_t *p;
	uint32_t f;

	(void)state;
	v = ordinary();
	f = image_free_from(v);
	image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 16 }));
	p = image_record(v, 16);
	store_le16(p + 72 + load_le32(p + 76) + 12, 1); /* Compressed. */
	c = map(v);
	assert_int_equal(c->hibernated, 1);
	assert_int_equal(cover_count(c, 'h') + cover_count(c, 'x'), 0);
	cover_free(c);
	c = map_with(v, 1, 0); /* Somebody is awake. */
	assert_int_equal(c->hibernated, 0);
	done(v, c);
}

static void
a_sleeping_system_is_seen_though_its_runs_do_not_fit(void **state)
{
	const struct volmap_limits none = { 3 * 20, NULL };
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover_disk disk;
	struct err err = ERR_INIT;
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "hiberfil.sys", RUNS({ f, 3 }));
	memcpy(image_cluster(v, f), "hibr", 4);
	image_finish(v);
	disk = (struct cover_disk){ .p = v->p, .size = v->size };
	c = cover_within(&disk, &none, 0, 0, &err);
	assert_non_null(c);
	assert_int_equal(c->hibernated, 1);
	assert_int_equal(cover_count(c, 'h') + cover_count(c, 'x'), 0);
	done(v, c);
}

/* Record 16, whose name is in record 17, and its clusters [f, f + 3). */
static struct image *
name_away(const char *name, unsigned links, uint32_t f)
{
	struct image *v = ordinary();
	uint8_t list[96];

	entry(list, 0x10, 0, 16);
	entry(list + 32, 0x30, 0, 17);
	entry(list + 64, 0x80, 0, 16);
	image_begin(v, 16, 1, 0);
	image_resident(v, 16, 0x20, list, sizeof(list));
	image_attr(v, 16, 0x80, "", 0, RUNS({ f, 3 }), 3 * 4096);
	image_bits(v, f, 3, 1);
	image_begin(v, 17, 1, 16);
	image_name(v, 17, 5, name, 3);
	store_le16(image_record(v, 16) + 18, (uint16_t)links);
	store_le16(image_record(v, 17) + 18, 0);
	return v;
}

static void
a_name_in_an_extension_record_is_seen(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_free(v);
	assert_int_equal(excluded(name_away("pagefile.sys", 1, f)), 3 * 4096);
	assert_int_equal(excluded(name_away("pagefile.sys", 2, f)), 0);
	for (unsigned links = 1; links < 3; links++) {
		v = name_away("hiberfil.sys", links, f);
		memcpy(image_cluster(v, f), "hibr", 4);
		c = map(v);
		assert_int_equal(c->hibernated, 1);
		assert_int_equal(cover_count(c, 'h'), 0);
		assert_true(are(v, c, f, 3, links == 1 ? 'x' : 'd'));
		done(v, c);
	}
}

static void
clusters_that_only_a_strange_extension_gives_a_page_file_are_kept(void **state)
{
	struct image *v = ordinary();
	uint32_t f = image_free_from(v);

	(void)state;
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	image_begin(v, 17, 1, 16);
	image_attr(v, 17, 0x80, "", 3, RUNS({ f + 10, 5 }), 0);
	image_bits(v, f + 10, 5, 1);
	assert_int_equal(excluded(v), 0);

	/* Two files of that name: either may be somebody's. */
	v = ordinary();
	image_file(v, 16, 5, "pagefile.sys", RUNS({ f, 3 }));
	image_file(v, 17, 5, "PageFile.sys", RUNS({ f + 3, 3 }));
	assert_int_equal(excluded(v), 0);
}

static void
the_first_page_of_a_memory_is_left_out_though_its_run_is_short(void **state)
{
	struct image *v = image_new(2000, 512, 512, 1024, 32);
	uint32_t f = image_free_from(v);
	struct cover *c;

	(void)state;
	image_file(v, 16, 5, "hiberfil.sys", RUNS({ f + 20, 2 }, { f + 50, 60 }));
	memcpy(image_cluster(v, f + 20), "hibr", 4);
	c = map(v);
	assert_int_equal(c->hibernated, 1);
	assert_true(are(v, c, f + 20, 2, 'x'));
	assert_true(are(v, c, f + 50, 60, 'x'));
	done(v, c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_files_are_excluded),
		cmocka_unit_test(why_it_is_excluded_goes_with_it),
		cmocka_unit_test(whatever_else_has_the_name_is_kept),
		cmocka_unit_test(nothing_is_excluded_when_asked_to_keep_all),
		cmocka_unit_test(difference_areas_are_excluded_in_their_directory_alone),
		cmocka_unit_test(
		    memory_of_a_sleeping_system_is_excluded_and_all_else_kept),
		cmocka_unit_test(
		    a_system_that_may_still_be_resumed_sleeps_unless_it_flushed),
		cmocka_unit_test(a_memory_that_cannot_be_looked_at_may_sleep),
		cmocka_unit_test(a_sleeping_system_is_seen_though_its_runs_do_not_fit),
		cmocka_unit_test(a_name_in_an_extension_record_is_seen),
		cmocka_unit_test(
		    clusters_that_only_a_strange_extension_gives_a_page_file_are_kept),
		cmocka_unit_test(
		    the_first_page_of_a_memory_is_left_out_though_its_run_is_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
