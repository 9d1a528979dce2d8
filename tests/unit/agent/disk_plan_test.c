/*
 * Plans: a disk laid out anew is read back as it was planned, whatever changes its size;
 * what is refused is refused by the byte; boot sectors follow their partitions.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/agent/disk_image.h"

#define TAIL (33 * 512)

struct world {
	struct disk_image d, to;
	struct disk_table *t;
	struct layout *l;
	struct disk_plan *plan;
	struct disk_plan_wish *wish;
	uint64_t missing;
	struct err err;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->t = calloc(1, sizeof(*w->t));
	w->l = calloc(1, sizeof(*w->l));
	w->plan = calloc(1, sizeof(*w->plan));
	w->wish = calloc(1, sizeof(*w->wish));
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	free(w->d.p);
	free(w->to.p);
	free(w->t);
	free(w->l);
	free(w->plan);
	free(w->wish);
	free(w);
	return 0;
}

static void
add(struct world *w, unsigned number, uint8_t role, uint64_t offset, uint64_t length)
{
	struct layout_partition *p = &w->l->partitions[w->l->partitions_count++];

	memset(p, 0, sizeof(*p));
	p->number = (uint16_t)number;
	p->role = role;
	p->offset = offset;
	p->length = length;
	p->volume = role == LAYOUT_MSR || role == LAYOUT_EXTENDED
			? LAYOUT_NO_VOLUME
			: (uint8_t)w->l->partitions_count;
	memset(p->id, (int)(0x10 + number), 16);
	p->attributes = number * UINT64_C(0x1000000000000001);
	snprintf(p->label, sizeof(p->label), "Teil %u: \xC3\x9C\xF0\x9F\x96\xA5", number);
	memcpy(p->type,
	    role == LAYOUT_ESP	      ? disk_table_esp
	    : role == LAYOUT_MSR      ? disk_table_msr
	    : role == LAYOUT_RECOVERY ? disk_table_recovery
	    : role == LAYOUT_BOOT     ? disk_table_bios_boot
				      : (const uint8_t *)"0123456789abcdef",
	    16);
}

/* Bytes that tell where they are. */
static void
fill(struct disk_image *d)
{
	for (uint64_t i = 0; i + 8 <= d->size; i += 8)
		store_le64(d->p + i, i * 0x9e3779b97f4a7c15u);
}

/* Of Windows on 64 MiB: ESP 1-9, MSR 9-13, C: 13-50, WinRE 50-58; free to the end. */
static void
windows(struct world *w)
{
	memset(w->l, 0, sizeof(*w->l));
	w->d = disk_image_new(64 * MIB);
	fill(&w->d);
	w->l->disks_count = 1;
	strcpy(w->l->disks[0].name, "disk0");
	w->l->disks[0].table = LAYOUT_GPT;
	w->l->disks[0].size = w->d.size;
	w->l->disks[0].sector_size = 512;
	memset(w->l->disks[0].id, 0xd1, 16);
	add(w, 1, LAYOUT_ESP, MIB, 8 * MIB);
	add(w, 2, LAYOUT_MSR, 9 * MIB, 4 * MIB);
	add(w, 3, LAYOUT_DATA, 13 * MIB, 37 * MIB);
	add(w, 4, LAYOUT_RECOVERY, 50 * MIB, 8 * MIB);
	assert_int_equal(disk_image_gpt(w->l, &w->d, &w->err), 0);
}

static int
plan(struct world *w, uint64_t size, unsigned flags)
{
	err_clear(&w->err);
	w->wish->size = size;
	w->wish->flags = flags;
	w->missing = 0;
	return disk_plan_make(w->l, 0, w->wish, w->plan, &w->missing, &w->err);
}

/* Carry it out and read the table back: it must say what the plan does. */
static void
carry_out(struct world *w)
{
	free(w->to.p);
	w->to = disk_image_new(w->plan->size);
	assert_int_equal(disk_image_restore(&w->d, w->l, w->plan, &w->to, &w->err), 0);
	assert_int_equal(disk_image_parse(&w->to, 0, w->t, &w->err), 0);
	assert_string_equal(w->t->note, "");
	assert_int_equal(w->t->kind, w->l->disks[0].table);
	assert_memory_equal(w->t->id, w->l->disks[0].id, 16);
	assert_int_equal(w->t->count, w->plan->count);
	for (unsigned i = 0; i < w->plan->count; i++) {
		const struct disk_plan_part *p = &w->plan->parts[i];
		const struct layout_partition *was = &w->l->partitions[p->partition],
					      *is = &w->t->partitions[i];
		uint64_t len = p->length < p->from_length ? p->length : p->from_length;

		assert_int_equal(is->number, was->number);
		assert_true(is->offset == p->to && is->length == p->length);
		assert_memory_equal(is->type, was->type, 16);
		assert_memory_equal(is->id, was->id, 16);
		assert_true(is->attributes == was->attributes);
		assert_string_equal(is->label, was->label);
		if (p->role != LAYOUT_EXTENDED)
			assert_memory_equal(w->to.p + p->to, w->d.p + p->from, len);
	}
}

static void
backup_too(struct world *w)
{
	/* The primary away: the backup says the same. */
	memset(w->to.p + 512, 0, 34 * 512);
	assert_int_equal(disk_image_parse(&w->to, 512, w->t, &w->err), 0);
	assert_int_equal(w->t->count, w->plan->count);
	assert_true(w->t->backup);
}

static void
the_same_disk_is_the_same_bytes(void **state)
{
	struct world *w = *state;

	windows(w);
	assert_int_equal(plan(w, 64 * MIB, 0), 0);
	assert_true(w->plan->same);
	carry_out(w);
	assert_memory_equal(w->to.p, w->d.p, w->d.size);
}

static void
a_larger_disk_has_its_table_at_its_end(void **state)
{
	static const uint64_t more[] = { 512, 4096, 17 * 512, 34 * 512, MIB, 40 * MIB };
	struct world *w = *state;

	windows(w);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(plan(w, 64 * MIB + more[i], 0), 0);
		assert_false(w->plan->same);
		carry_out(w);
		for (unsigned k = 0; k < w->plan->count; k++)
			assert_true(
			    w->plan->parts[k].to == w->plan->parts[k].from &&
			    w->plan->parts[k].length == w->plan->parts[k].from_length);
		/* Gaps: before the first partition, MSR, behind the last. */
		assert_memory_equal(
		    w->to.p + 34 * 512, w->d.p + 34 * 512, MIB - 34 * 512);
		assert_memory_equal(w->to.p + 9 * MIB, w->d.p + 9 * MIB, 4 * MIB);
		assert_memory_equal(
		    w->to.p + 58 * MIB, w->d.p + 58 * MIB, 6 * MIB - TAIL);
		assert_memory_equal(w->to.p, w->d.p, 446);
		backup_too(w);
	}
}

static void
the_last_data_partition_takes_the_room(void **state)
{
	struct world *w = *state;

	windows(w);
	assert_int_equal(disk_plan_elastic(w->l, 0), 2);
	/* 64 MiB: 6 are free behind WinRE, of which the table needs a part. */
	assert_int_equal(plan(w, 64 * MIB, DISK_PLAN_EXTEND), 0);
	assert_false(w->plan->same);
	assert_true(w->plan->parts[2].length == 42 * MIB);
	assert_true(w->plan->parts[3].to == 55 * MIB);
	carry_out(w);
	assert_int_equal(plan(w, 100 * MIB, DISK_PLAN_EXTEND), 0);
	assert_true(w->plan->parts[2].to == 13 * MIB);
	assert_true(w->plan->parts[2].length == 78 * MIB);
	assert_true(
	    w->plan->parts[3].to == 91 * MIB && w->plan->parts[3].length == 8 * MIB);
	carry_out(w);
	backup_too(w);
}

static void
what_fits_on_a_smaller_disk_goes_there(void **state)
{
	struct world *w = *state;

	windows(w);
	assert_int_equal(plan(w, 58 * MIB + TAIL, 0), 0);
	carry_out(w);
	backup_too(w);
	/* A byte less, a sector less, much less: so many are missing, and no fewer. */
	for (uint64_t less = 1; less < 58 * MIB; less = less * 7 + 3) {
		assert_int_equal(plan(w, 58 * MIB + TAIL - less, 0), -1);
		assert_int_equal(w->err.code, ERR_LIMIT);
		assert_true(w->missing == less);
	}
}

static void
partitions_shrink_as_far_as_they_may(void **state)
{
	struct world *w = *state;

	windows(w);
	w->wish->smallest[2] = 20 * MIB + 12345;
	assert_int_equal(plan(w, 50 * MIB, DISK_PLAN_SHRINK), 0);
	assert_true(w->plan->parts[2].length == 28 * MIB);
	assert_true(w->plan->parts[3].to == 41 * MIB);
	carry_out(w);
	backup_too(w);
	/* C: can give 16 MiB, whole ones. */
	assert_int_equal(plan(w, 42 * MIB + TAIL, DISK_PLAN_SHRINK), 0);
	assert_true(w->plan->parts[2].length == 21 * MIB);
	carry_out(w);
	assert_int_equal(plan(w, 42 * MIB + TAIL - 512, DISK_PLAN_SHRINK), -1);
	assert_true(w->missing == 512);
	assert_int_equal(plan(w, 30 * MIB, DISK_PLAN_SHRINK), -1);
	assert_true(w->missing == 12 * MIB + TAIL);
	/* Not asked for, not done. */
	assert_int_equal(plan(w, 50 * MIB, 0), -1);
	assert_true(w->missing == 8 * MIB + TAIL);
}

static void
other_sectors_are_refused(void **state)
{
	struct world *w = *state;

	windows(w);
	w->wish->sector_size = 4096;
	assert_int_equal(plan(w, 64 * MIB, 0), -1);
	assert_int_equal(w->err.code, ERR_UNSUPPORTED);
	w->wish->sector_size = 512;
	assert_int_equal(plan(w, 64 * MIB, 0), 0);
}

/*
 * 1 at 1-9, extended 10-50 with 5 at 11-21, 6 at 22-40 and 7 at 41-49 (its link out of
 * order), 2 (primary) at 50-56.
 */
static void
logical(struct world *w)
{
	const uint32_t m = 2048;
	uint8_t *base;

	w->d = disk_image_new(64 * MIB);
	fill(&w->d);
	for (unsigned i = 0; i < 64; i++)
		w->d.p[446 + i] = 0;
	mbr_put(w->d.p, 0, 7, m, 8 * m);
	w->d.p[446] = 0x80;
	mbr_put(w->d.p, 1, 0x17, 50 * m, 6 * m);
	mbr_put(w->d.p, 2, 0x0f, 10 * m, 40 * m);
	base = w->d.p + 10 * MIB;
	memset(base + 446, 0, 64);
	mbr_put(base, 0, 7, m, 10 * m);
	mbr_put(base, 1, 5, 30 * m, 10 * m);
	base = w->d.p + 40 * MIB;
	memset(base + 446, 0, 64);
	mbr_put(base, 0, 6, m, 8 * m);
	mbr_put(base, 1, 5, 11 * m + 100, 19 * m);
	base = w->d.p + 21 * MIB + 100 * 512;
	memset(base + 446, 0, 64);
	mbr_put(base, 0, 0x83, m - 100, 18 * m);
	assert_int_equal(disk_image_parse(&w->d, 512, w->t, &w->err), 0);
	assert_string_equal(w->t->note, "");
	assert_int_equal(w->t->count, 6);
	disk_image_layout(w->t, w->d.size, w->l);
}

static void
a_chain_goes_where_its_partitions_go(void **state)
{
	struct world *w = *state;

	logical(w);
	assert_int_equal(plan(w, 64 * MIB, 0), 0);
	carry_out(w);
	assert_memory_equal(w->to.p, w->d.p, w->d.size);
	/* The primary behind the extended one takes the room. */
	assert_int_equal(plan(w, 90 * MIB, DISK_PLAN_EXTEND), 0);
	assert_true(w->plan->parts[5].length == 40 * MIB);
	carry_out(w);
	/* No data partition: then the last logical one, and what follows moves. */
	w->l->partitions[5].role = LAYOUT_RECOVERY;
	assert_int_equal(plan(w, 90 * MIB, DISK_PLAN_EXTEND), 0);
	assert_true(w->plan->parts[4].length == 42 * MIB);
	assert_true(w->plan->parts[1].length == 74 * MIB);
	assert_true(w->plan->parts[5].to == 84 * MIB);
	carry_out(w);
	/* And one in the middle shrinks: link 6 stays, 7 and 2 move. */
	w->wish->smallest[3] = 8 * MIB;
	assert_int_equal(plan(w, 50 * MIB, DISK_PLAN_SHRINK), 0);
	assert_true(w->plan->parts[3].length == 12 * MIB);
	assert_true(w->plan->parts[4].to == 35 * MIB);
	assert_true(w->plan->parts[1].length == 34 * MIB);
	carry_out(w);
	/* The first one shrinks: the whole chain moves. */
	w->wish->smallest[3] = 0;
	w->wish->smallest[0] = 2 * MIB;
	assert_int_equal(plan(w, 51 * MIB, DISK_PLAN_SHRINK), 0);
	assert_true(w->plan->parts[1].to == 5 * MIB);
	carry_out(w);
}

/* What sgdisk and sfdisk think of tables that were made here. */
static void
verified_by(struct world *w, const char *command, const char *says)
{
	char path[] = "/tmp/hf-plan-XXXXXX", cmd[300];
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, w->to.p, w->to.size), (ssize_t)w->to.size);
	close(fd);
	snprintf(cmd, sizeof(cmd),
	    "PATH=$PATH:/usr/sbin:/sbin; %s %s 2>&1 | grep -q '%s'", command, path, says);
	if (system(cmd) != 0) {
		snprintf(
		    cmd, sizeof(cmd), "PATH=$PATH:/usr/sbin:/sbin; %s %s", command, path);
		(void)!system(cmd);
		unlink(path);
		fail_msg("%s", cmd);
	}
	unlink(path);
}

static void
others_find_nothing_wrong_with_it(void **state)
{
	static const uint64_t sizes[] = { 64 * MIB, 64 * MIB + 512, 71 * MIB, 130 * MIB };
	struct world *w = *state;

	windows(w);
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(plan(w, sizes[i / 2], i % 2 ? DISK_PLAN_EXTEND : 0), 0);
		carry_out(w);
		verified_by(w, "sgdisk -v", "^No problems found");
	}
	free(w->d.p);
	logical(w);
	w->l->partitions[5].role = LAYOUT_RECOVERY;
	for (size_t i = 0; i < 8; i++) {
		assert_int_equal(plan(w, sizes[i / 2], i % 2 ? DISK_PLAN_EXTEND : 0), 0);
		carry_out(w);
		verified_by(w, "sfdisk --verify", "^No errors detected");
	}
}

static void
a_layout_that_cannot_be_is_refused(void **state)
{
	struct world *w = *state;
	struct disk_image blank;
	struct disk_plan_table t;

	windows(w);
	assert_int_equal(disk_plan_make(w->l, 1, w->wish, w->plan, NULL, &w->err), -1);
	w->l->partitions[0].offset = 0;
	assert_int_equal(plan(w, 64 * MIB, 0), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	/*
	 * Where the new table's entries must lie; numbers that no table has: before a
	 * byte is written, not after all were.
	 */
	w->l->partitions[0].offset = 1024;
	assert_int_equal(plan(w, 70 * MIB, 0), -1);
	assert_int_equal(w->err.code, ERR_UNSUPPORTED);
	assert_int_equal(plan(w, 64 * MIB, 0), 0);
	w->l->partitions[0].offset = MIB;
	w->l->partitions[0].number = 0;
	assert_int_equal(plan(w, 70 * MIB, 0), -1);
	w->l->partitions[0].number = 65535;
	assert_int_equal(plan(w, 100 * MIB, 0), -1);
	/* Nor is one made that has none. */
	blank = disk_image_new(64 * MIB);
	w->l->partitions[0].number = 1;
	assert_int_equal(plan(w, 70 * MIB, 0), 0);
	w->l->partitions[0].number = 0;
	assert_int_equal(
	    disk_plan_table(w->l, w->plan, image_read_at, &blank, &t, &w->err), -1);
	free(blank.p);
}

#define TIB (UINT64_C(1) << 40)

static void
an_mbr_ends_where_its_numbers_do(void **state)
{
	struct world *w = *state;

	w->l->disks_count = 1;
	strcpy(w->l->disks[0].name, "disk0");
	w->l->disks[0].table = LAYOUT_MBR;
	w->l->disks[0].size = TIB;
	w->l->disks[0].sector_size = 512;
	add(w, 1, LAYOUT_DATA, MIB, TIB - MIB);
	assert_int_equal(plan(w, 3 * TIB, DISK_PLAN_EXTEND), 0);
	assert_true(w->plan->parts[0].length == 2 * TIB - 2 * MIB);
	/* One that ends above it, as Linux makes them: the disk itself is large enough.
	 */
	w->l->disks[0].size = 3 * TIB;
	add(w, 2, LAYOUT_DATA, TIB, 2 * TIB - MIB);
	w->l->partitions[0].length = TIB - MIB;
	assert_int_equal(plan(w, 3 * TIB, DISK_PLAN_EXTEND), 0);
	assert_true(w->plan->same);
	assert_int_equal(plan(w, 4 * TIB, DISK_PLAN_EXTEND), 0);
	assert_true(w->plan->parts[1].length == 2 * TIB - MIB);
	assert_int_equal(plan(w, 3 * TIB - MIB, 0), 0);
	assert_int_equal(plan(w, 3 * TIB - MIB - 512, 0), -1);
	assert_true(w->missing == 512);
}

static void
boot_sectors_follow_their_partitions(void **state)
{
	static const struct {
		size_t at;
		const char *mark;
	} kinds[] = { { 3, "NTFS    " }, { 54, "FAT16   " }, { 82, "FAT32   " } };
	uint8_t s[512];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		memset(s, 0, sizeof(s));
		s[510] = 0x55;
		s[511] = 0xaa;
		memcpy(s + kinds[i].at, kinds[i].mark, 8);
		store_le32(s + 28, 2048);
		assert_true(disk_plan_hidden(s, 512, MIB, 3 * MIB));
		assert_int_equal(load_le32(s + 28), 3 * 2048);
		/* Told otherwise by somebody who knows better, it stays. */
		assert_false(disk_plan_hidden(s, 512, MIB, 5 * MIB));
		assert_int_equal(load_le32(s + 28), 3 * 2048);
	}
	memset(s + 82, 'x', 8);
	store_le32(s + 28, 2048);
	assert_false(disk_plan_hidden(s, 512, MIB, 3 * MIB));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_same_disk_is_the_same_bytes),
		TEST(a_larger_disk_has_its_table_at_its_end),
		TEST(the_last_data_partition_takes_the_room),
		TEST(what_fits_on_a_smaller_disk_goes_there),
		TEST(partitions_shrink_as_far_as_they_may),
		TEST(other_sectors_are_refused),
		TEST(a_chain_goes_where_its_partitions_go),
		TEST(others_find_nothing_wrong_with_it),
		TEST(a_layout_that_cannot_be_is_refused),
		TEST(an_mbr_ends_where_its_numbers_do),
		TEST(boot_sectors_follow_their_partitions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
