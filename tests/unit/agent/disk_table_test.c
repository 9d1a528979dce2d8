/*
 * Partition tables: those of sgdisk and sfdisk are read as they were made; the backup
 * serves when the primary is broken; hostile ones end, and lie nowhere they cannot.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/agent/disk_image.h"

#define SIZE (64 * MIB)

struct world {
	struct disk_image d;
	struct disk_table *t;
	struct err err;
	char path[64];
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->d = disk_image_new(SIZE);
	w->t = calloc(1, sizeof(*w->t));
	strcpy(w->path, "/tmp/hf-table-XXXXXX");
	close(mkstemp(w->path));
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	unlink(w->path);
	free(w->d.p);
	free(w->t);
	free(w);
	return 0;
}

/* Run a tool on a file of SIZE bytes and take what it wrote. */
static void
made_by(struct world *w, const char *command)
{
	char cmd[1024];
	FILE *f;

	assert_int_equal(truncate(w->path, 0), 0);
	assert_int_equal(truncate(w->path, SIZE), 0);
	snprintf(cmd, sizeof(cmd), "PATH=$PATH:/usr/sbin:/sbin; f=%s; %s > %s.out 2>&1",
	    w->path, command, w->path);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
	snprintf(cmd, sizeof(cmd), "%s.out", w->path);
	unlink(cmd);
	f = fopen(w->path, "r");
	assert_int_equal(fread(w->d.p, 1, SIZE, f), SIZE);
	fclose(f);
}

static void
parse(struct world *w, uint32_t sector_size)
{
	assert_int_equal(disk_image_parse(&w->d, sector_size, w->t, &w->err), 0);
}

static const struct layout_partition *
numbered(const struct world *w, unsigned number)
{
	for (unsigned i = 0; i < w->t->count; i++)
		if (w->t->partitions[i].number == number)
			return &w->t->partitions[i];
	fail_msg("no partition %u", number);
	return NULL;
}

#define WINDOWS                                                                   \
	"sgdisk -U 11111111-2222-4333-8444-555555550001 -n 1:2048:+8M -t 1:ef00 " \
	"-n 2:0:+4M -t 2:0c01 -n 4:0:+8M -t 4:2700 -A 4:set:0 -A 4:set:63 "       \
	"-n 3:0:0 -t 3:0700 -c '3:Büro \xF0\x9F\x96\xA5' "                       \
	"-u 3:C0000000-0000-4000-8000-000000000003 $f"

static void
a_gpt_of_sgdisk_is_read(void **state)
{
	struct world *w = *state;
	const struct layout_partition *p;
	char guid[37];

	made_by(w, WINDOWS);
	parse(w, 0);
	assert_int_equal(w->t->kind, LAYOUT_GPT);
	assert_int_equal(w->t->sector_size, 512);
	assert_int_equal(w->t->count, 4);
	assert_string_equal(w->t->note, "");
	layout_guid(w->t->id, guid);
	assert_string_equal(guid, "11111111-2222-4333-8444-555555550001");
	assert_int_equal(numbered(w, 1)->role, LAYOUT_ESP);
	assert_int_equal(numbered(w, 2)->role, LAYOUT_MSR);
	p = numbered(w, 4);
	assert_int_equal(p->role, LAYOUT_RECOVERY);
	assert_true(p->attributes == (UINT64_C(1) | UINT64_C(1) << 63));
	p = numbered(w, 3);
	assert_int_equal(p->role, LAYOUT_DATA);
	assert_string_equal(p->label, "Büro \xF0\x9F\x96\xA5");
	layout_guid(p->id, guid);
	assert_string_equal(guid, "C0000000-0000-4000-8000-000000000003");
	assert_true(p->offset == 21 * MIB);
	assert_true(p->offset + p->length == SIZE - 33 * 512);
}

static void
the_backup_serves_when_the_primary_is_broken(void **state)
{
	/* In the header, in its sum, in the entries, all of it. */
	static const struct {
		size_t at, len;
	} broken[] = { { 512 + 40, 1 }, { 512 + 16, 1 }, { 1024 + 33, 1 },
		{ 512, 33 * 512 } };
	struct world *w = *state;

	for (size_t i = 0; i < 4; i++) {
		made_by(w, WINDOWS);
		for (size_t k = 0; k < broken[i].len; k++)
			w->d.p[broken[i].at + k] ^= 0x5a;
		parse(w, 512);
		assert_int_equal(w->t->kind, LAYOUT_GPT);
		assert_int_equal(w->t->count, 4);
		assert_true(w->t->backup);
		assert_string_not_equal(w->t->note, "");
		/* Both: it is no disk with a table any more. */
		w->d.p[SIZE - 512 + 24] ^= 1;
		parse(w, 512);
		assert_int_equal(w->t->kind, LAYOUT_NO_TABLE);
		assert_int_equal(w->t->count, 0);
	}
}

static void
sectors_of_4096_bytes_are_told_by_where_the_gpt_lies(void **state)
{
	struct layout *l = calloc(1, sizeof(*l));
	struct world *w = *state;

	l->disks_count = l->partitions_count = 1;
	strcpy(l->disks[0].name, "d");
	l->disks[0].table = LAYOUT_GPT;
	l->disks[0].size = SIZE;
	l->disks[0].sector_size = 4096;
	l->partitions[0].number = 3;
	l->partitions[0].volume = 1;
	l->partitions[0].offset = MIB;
	l->partitions[0].length = 5 * MIB;
	memset(l->partitions[0].type, 7, 16);
	assert_int_equal(disk_image_gpt(l, &w->d, &w->err), 0);
	parse(w, 0);
	assert_int_equal(w->t->sector_size, 4096);
	assert_int_equal(w->t->count, 1);
	assert_true(numbered(w, 3)->offset == MIB && numbered(w, 3)->length == 5 * MIB);
	/* A device knows better. */
	parse(w, 512);
	assert_int_equal(w->t->kind, LAYOUT_NO_TABLE);
	free(l);
}

#define LOGICAL                                                                \
	"printf 'label: dos\\nlabel-id: 0x12345678\\nstart=2048, size=16384, " \
	"type=7, bootable\\nstart=20480, size=90112, type=f\\n"                \
	"start=22528, size=8192, type=7\\nstart=32768, size=8192, type=6\\n"   \
	"start=43008, size=65536, type=83\\n' | sfdisk -q $f"

static void
an_mbr_of_sfdisk_is_read_with_its_chain(void **state)
{
	static const unsigned numbers[] = { 1, 2, 5, 6, 7 };
	static const uint64_t starts[] = { 2048, 20480, 22528, 32768, 43008 };
	struct world *w = *state;

	made_by(w, LOGICAL);
	parse(w, 0);
	assert_int_equal(w->t->kind, LAYOUT_MBR);
	assert_int_equal(w->t->count, 5);
	assert_string_equal(w->t->note, "");
	assert_int_equal(load_le32(w->t->id), 0x12345678);
	for (unsigned i = 0; i < 5; i++) {
		assert_int_equal(w->t->partitions[i].number, numbers[i]);
		assert_true(w->t->partitions[i].offset == starts[i] * 512);
	}
	assert_int_equal(w->t->partitions[0].role, LAYOUT_BOOT);
	assert_int_equal(w->t->partitions[1].role, LAYOUT_EXTENDED);
	assert_int_equal(w->t->partitions[4].type[0], 0x83);
	assert_true(w->t->partitions[4].length == 65536 * 512);
}

/* Links: a primary extended partition and a chain of `n`, each of 10 sectors. */
static void
chain(struct world *w, unsigned n)
{
	mbr_put(w->d.p, 0, 5, 100, 100000);
	for (unsigned i = 0; i < n; i++) {
		uint8_t *link = w->d.p + (100 + 20 * i) * 512;

		mbr_put(link, 0, 7, 5, 10);
		if (i + 1 < n)
			mbr_put(link, 1, 5, 20 * (i + 1), 20);
	}
}

static void
a_chain_that_is_no_chain_ends(void **state)
{
	struct world *w = *state;
	uint8_t *third = w->d.p + 140 * 512;

	chain(w, 5);
	parse(w, 512);
	assert_int_equal(w->t->count, 6);
	/* A ring, a link to itself, out of its partition, behind the disk. */
	static const uint32_t to[] = { 20, 40, 99999 + 1, 0xfffffff0u };

	for (size_t i = 0; i < 4; i++) {
		mbr_put(third, 1, 5, to[i], 20);
		parse(w, 512);
		assert_int_equal(w->t->count, 4);
		assert_string_not_equal(w->t->note, "");
	}
	mbr_put(third, 1, 5, 60, 20);
	third[510] = 0;
	parse(w, 512);
	assert_int_equal(w->t->count, 3);
	assert_string_not_equal(w->t->note, "");
	/* Longer than a host may have partitions. */
	memset(w->d.p, 0, MIB);
	chain(w, 500);
	parse(w, 512);
	assert_int_equal(w->t->count, LAYOUT_PARTITIONS_MAX);
	assert_string_not_equal(w->t->note, "");
}

static void
what_lies_over_another_or_outside_is_left_out(void **state)
{
	struct world *w = *state;

	/* Of two over each other neither: each may hold what the other calls free. */
	mbr_put(w->d.p, 0, 7, 2048, 2048);
	mbr_put(w->d.p, 1, 7, 3000, 2048);
	mbr_put(w->d.p, 2, 7, 8192, 2048);
	parse(w, 512);
	assert_int_equal(w->t->kind, LAYOUT_MBR);
	assert_int_equal(w->t->count, 1);
	assert_int_equal(w->t->partitions[0].number, 3);
	assert_string_not_equal(w->t->note, "");
	/* One over all others; over the table; behind the end. */
	mbr_put(w->d.p, 1, 7, 1, SIZE / 512 - 1);
	parse(w, 512);
	assert_int_equal(w->t->count, 0);
	mbr_put(w->d.p, 1, 7, 0, 100);
	mbr_put(w->d.p, 3, 7, SIZE / 512 - 1, 2);
	parse(w, 512);
	assert_int_equal(w->t->count, 2);
	assert_string_not_equal(w->t->note, "");
}

static void
a_chain_in_somebody_elses_room_is_left_to_the_image(void **state)
{
	struct world *w = *state;

	/* A primary one over the extended one: what hangs on that goes with it. */
	chain(w, 5);
	mbr_put(w->d.p, 1, 7, 150, 5000);
	parse(w, 512);
	assert_int_equal(w->t->count, 0);
	assert_string_not_equal(w->t->note, "");
	/* A logical one over the next link: the free space of one, the table of others.
	 */
	memset(w->d.p, 0, MIB);
	chain(w, 5);
	mbr_put(w->d.p + 120 * 512, 0, 7, 5, 18);
	parse(w, 512);
	assert_int_equal(w->t->count, 1);
	assert_int_equal(w->t->partitions[0].role, LAYOUT_EXTENDED);
	assert_string_not_equal(w->t->note, "");
}

static void
logical_partitions_are_counted_not_links(void **state)
{
	struct world *w = *state;

	/* None in the second link, then two in one: as Linux counts. */
	chain(w, 4);
	memset(w->d.p + 120 * 512 + 446, 0, 16);
	parse(w, 512);
	assert_int_equal(w->t->count, 4);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(w->t->partitions[i].number, 4 + i);
	memset(w->d.p, 0, MIB);
	mbr_put(w->d.p, 0, 5, 100, 1000);
	mbr_put(w->d.p + 100 * 512, 0, 7, 5, 10);
	mbr_put(w->d.p + 100 * 512, 1, 7, 20, 10);
	parse(w, 512);
	assert_int_equal(w->t->count, 3);
	assert_int_equal(w->t->partitions[1].number, 5);
	assert_int_equal(w->t->partitions[2].number, 6);
}

/* The partition of WINDOWS's entry `i`, at these sectors, its table sound again. */
static void
move_entry(struct world *w, unsigned i, uint64_t first, uint64_t last, uint64_t usable)
{
	uint8_t *h = w->d.p + 512, *array = w->d.p + 1024;

	store_le64(array + 128 * i + 32, first);
	store_le64(array + 128 * i + 40, last);
	store_le64(h + 40, usable);
	store_le32(h + 88, disk_table_crc(0, array, 128 * 128));
	store_le32(h + 16, 0);
	store_le32(h + 16, disk_table_crc(0, h, 92));
}

static void
no_partition_lies_over_its_gpt(void **state)
{
	static const uint64_t at[][2] = { { 0, 100 }, { 1, 100 }, { 2, 2 }, { 33, 100 } };
	struct world *w = *state;

	made_by(w, WINDOWS);
	for (size_t i = 0; i < 4; i++) {
		move_entry(w, 0, at[i][0], at[i][1], 0);
		parse(w, 512);
		assert_int_equal(w->t->kind, LAYOUT_GPT);
		assert_false(w->t->backup);
		assert_int_equal(w->t->count, 3);
		assert_string_not_equal(w->t->note, "");
	}
	move_entry(w, 0, 34, 100, 0);
	parse(w, 512);
	assert_int_equal(w->t->count, 4);
}

static void
a_file_system_on_the_whole_disk_has_no_table(void **state)
{
	struct world *w = *state;

	made_by(w, "mkfs.vfat -F 16 $f");
	parse(w, 0);
	assert_int_equal(w->t->kind, LAYOUT_NO_TABLE);
	made_by(w, "mkntfs -q -Q -F -s 512 -p 0 -H 255 -S 63 $f");
	parse(w, 0);
	assert_int_equal(w->t->kind, LAYOUT_NO_TABLE);
	made_by(w, "true");
	parse(w, 0);
	assert_int_equal(w->t->kind, LAYOUT_NO_TABLE);
}

static void
a_read_that_fails_is_said(void **state)
{
	struct world *w = *state;

	made_by(w, LOGICAL);
	for (unsigned i = 1; i <= 4; i++) {
		w->d.fail_at = i;
		assert_int_equal(disk_image_parse(&w->d, 512, w->t, &w->err), -1);
		assert_int_equal(w->err.code, ERR_IO);
		err_clear(&w->err);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_gpt_of_sgdisk_is_read),
		TEST(the_backup_serves_when_the_primary_is_broken),
		TEST(sectors_of_4096_bytes_are_told_by_where_the_gpt_lies),
		TEST(an_mbr_of_sfdisk_is_read_with_its_chain),
		TEST(a_chain_that_is_no_chain_ends),
		TEST(what_lies_over_another_or_outside_is_left_out),
		TEST(a_chain_in_somebody_elses_room_is_left_to_the_image),
		TEST(logical_partitions_are_counted_not_links),
		TEST(no_partition_lies_over_its_gpt),
		TEST(a_file_system_on_the_whole_disk_has_no_table),
		TEST(a_read_that_fails_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
