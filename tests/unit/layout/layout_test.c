/* A machine's layout comes back as it was packed; what makes no sense is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"

static void
fill(struct layout *l)
{
	struct layout_disk *d = &l->disks[0];
	struct layout_partition *p = l->partitions;

	l->disks_count = 1;
	strcpy(d->name, "disk0");
	d->table = LAYOUT_GPT;
	d->boots = 1;
	d->size = 64u << 20;
	d->sector_size = 512;
	d->physical_size = 4096;
	memset(d->id, 0x5a, sizeof(d->id));
	strcpy(d->model, "QEMU HARDDISK");
	strcpy(d->serial, "QM00001");
	l->partitions_count = 2;
	p[0].number = 1;
	p[0].role = LAYOUT_ESP;
	p[0].volume = 1;
	p[0].offset = 1u << 20;
	p[0].length = 16u << 20;
	strcpy(p[0].label, "EFI system partition");
	p[1] = p[0];
	p[1].number = 2;
	p[1].role = LAYOUT_MSR;
	p[1].volume = LAYOUT_NO_VOLUME;
	p[1].offset = 17u << 20;
	p[1].attributes = UINT64_C(1) << 63;
	l->firmware = LAYOUT_UEFI;
	l->secure_boot = 1;
	strcpy(l->hostname, "web01");
	l->devices_count = 1;
	l->devices[0].kind = LAYOUT_STORAGE;
	strcpy(l->devices[0].modalias,
	    "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00");
	l->macs_count = 1;
	memcpy(l->macs[0], "\x52\x54\x00\x12\x34\x56", 6);
	l->entries_count = 1;
	l->entries[0].number = 3;
	l->entries[0].len = 5;
	memcpy(l->entries[0].option, "\1\2\3\4\5", 5);
}

static int
setup(void **state)
{
	struct layout *l = calloc(2, sizeof(*l));

	assert_non_null(l);
	fill(l);
	*state = l;
	return 0;
}

static int
teardown(void **state)
{
	free(*state);
	return 0;
}

static void
test_comes_back(void **state)
{
	struct layout *l = *state;
	struct buf b = BUF_INIT(65536);
	struct err err = ERR_INIT;

	assert_int_equal(layout_pack(l, &b, &err), 0);
	assert_int_equal(layout_parse(b.p, b.len, 2, &l[1], &err), 0);
	assert_memory_equal(&l[0], &l[1], sizeof(*l));
	assert_ptr_equal(layout_disk_find(l, ""), &l->disks[0]);
	assert_ptr_equal(layout_disk_find(l, "disk0"), &l->disks[0]);
	assert_null(layout_disk_find(l, "disk1"));
	buf_free(&b);
}

static void
test_every_cut_and_every_flip_is_refused_or_read(void **state)
{
	struct layout *l = *state;
	struct buf b = BUF_INIT(65536);
	struct err err = ERR_INIT;

	assert_int_equal(layout_pack(l, &b, &err), 0);
	for (size_t n = 1; n < b.len; n++) {
		uint8_t *exact = malloc(n); /* So that a sanitizer sees the end. */

		assert_non_null(exact);
		memcpy(exact, b.p, n);
		err_clear(&err);
		(void)layout_parse(exact, n, 2, &l[1], &err);
		free(exact);
	}
	for (size_t i = 0; i < b.len * 8; i++) {
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
		err_clear(&err);
		(void)layout_parse(b.p, b.len, 2, &l[1], &err);
		b.p[i / 8] ^= (uint8_t)(1u << i % 8);
	}
	buf_free(&b);
}

static void
refused(struct layout *l)
{
	struct buf b = BUF_INIT(65536);
	struct err err = ERR_INIT;

	assert_int_equal(layout_pack(l, &b, &err), 0);
	assert_int_equal(layout_parse(b.p, b.len, 2, &l[1], &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	buf_free(&b);
	memset(&l[0], 0, sizeof(*l));
	fill(l);
}

static void
test_what_makes_no_sense_is_refused(void **state)
{
	struct layout *l = *state;

	l->partitions[1].offset = 16u << 20; /* In the first. */
	refused(l);
	l->partitions[1].length = 64u << 20; /* Past the end. */
	refused(l);
	l->partitions[1].offset = UINT64_MAX - 511;
	refused(l);
	l->partitions[1].disk = 1;
	refused(l);
	l->partitions[0].volume = 2;
	refused(l);
	l->disks[0].volume = 2;
	refused(l);
	l->disks[0].sector_size = 520;
	refused(l);
	l->disks[0].name[0] = '\n';
	refused(l);
	l->disks[0].name[0] = '"';
	refused(l);
	l->firmware = 3;
	refused(l);
}

static void
test_texts_may_be_shown(void **state)
{
	/* Too long a form, a terminal's orders, a surrogate, cut short, no beginning. */
	static const char *const texts[][2] = { { "B\xC3\xBCro \xF0\x9F\x96\xA5",
						    "B\xC3\xBCro \xF0\x9F\x96\xA5" },
		{ "a\xC2\x9B"
		  "b",
		    "a??b" },
		{ "\xC2\xA0", "\xC2\xA0" }, { "\xC0\xAF", "??" },
		{ "\xED\xA0\x80", "???" }, { "\xE0\x80\x80", "???" },
		{ "\xF4\x90\x80\x80", "????" }, { "x\xE4\xBF", "x??" },
		{ "\x9B"
		  "1m",
		    "?1m" },
		{ "\xFF", "?" } };
	struct layout *l = *state;
	struct err err = ERR_INIT;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct buf b = BUF_INIT(65536);

		strcpy(l->partitions[0].label, texts[i][0]);
		assert_int_equal(layout_pack(l, &b, &err), 0);
		assert_int_equal(layout_parse(b.p, b.len, 2, &l[1], &err), 0);
		assert_string_equal(l[1].partitions[0].label, texts[i][1]);
		buf_free(&b);
	}
}

static void
test_guids_read_as_people_write_them(void **state)
{
	static const uint8_t esp[16] = { 0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11,
		0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b };
	char text[37];

	(void)state;
	layout_guid(esp, text);
	assert_string_equal(text, "C12A7328-F81F-11D2-BA4B-00A0C93EC93B");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_comes_back, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_every_cut_and_every_flip_is_refused_or_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_what_makes_no_sense_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_texts_may_be_shown, setup, teardown),
		cmocka_unit_test(test_guids_read_as_people_write_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
