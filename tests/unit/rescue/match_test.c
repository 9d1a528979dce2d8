/* Disks are told apart by what they are, and what could be two is nobody's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "rescue/match.h"

#define G (UINT64_C(1) << 30)

static struct layout *l;
static struct machine m;
static struct match got;
static struct err err;
static char said[8192];

static int
setup(void **state)
{
	(void)state;
	l = calloc(1, sizeof(*l));
	memset(&m, 0, sizeof(m));
	err_clear(&err);
	said[0] = '\0';
	return l == NULL;
}

static int
teardown(void **state)
{
	(void)state;
	free(l);
	return 0;
}

static void
point(uint64_t size, const char *model, const char *serial)
{
	struct layout_disk *d = &l->disks[l->disks_count];

	sprintf(d->name, "disk%u", l->disks_count++);
	d->size = size;
	d->sector_size = 512;
	strcpy(d->model, model);
	strcpy(d->serial, serial);
}

static struct machine_disk *
disk(uint64_t size, const char *model, const char *serial)
{
	struct machine_disk *d = &m.disks[m.disks_count];

	sprintf(d->name, "sd%c", 'a' + (int)m.disks_count++);
	d->size = size;
	d->sector_size = 512;
	d->bus = "scsi";
	strcpy(d->model, model);
	strcpy(d->serial, serial);
	return d;
}

static int
fits(void *arg, unsigned which, const struct machine_disk *d, char why[MATCH_TEXT_MAX])
{
	(void)arg;
	if (d->sector_size != l->disks[which].sector_size)
		strcpy(why, "another sector size");
	else if (d->size < l->disks[which].size)
		strcpy(why, "too small");
	else
		return 1;
	return 0;
}

static void
say(void *arg, const char *line)
{
	(void)arg;
	strcat(strcat(said, line), "\n");
}

static int
find(void)
{
	return match_find(l, &m, fits, NULL, say, NULL, &got, &err);
}

static void
matched(unsigned which, int to, enum match_why why)
{
	assert_int_equal(got.to[which], to);
	assert_int_equal(got.why[which], why);
}

static void
says(const char *part)
{
	if (strstr(said, part) == NULL)
		fail_msg("nothing of '%s' in:\n%s", part, said);
}

static void
test_swapped_disks(void **state)
{
	(void)state;
	point(100 * G, "M", "S0");
	point(100 * G, "M", "S1");
	disk(100 * G, "M", "S1");
	disk(100 * G, "M", "S0");
	assert_int_equal(find(), 0);
	matched(0, 1, MATCH_SERIAL);
	matched(1, 0, MATCH_SERIAL);
}

static void
test_one_of_two_was_replaced(void **state)
{
	(void)state;
	point(100 * G, "M", "S0");
	point(100 * G, "M", "S1");
	disk(100 * G, "M", "new");
	disk(100 * G, "M", "S0");
	assert_int_equal(find(), 0);
	matched(0, 1, MATCH_SERIAL);
	matched(1, 0, MATCH_SIZE_MODEL);
}

static void
test_two_alike_without_serial_are_nobodys(void **state)
{
	(void)state;
	point(100 * G, "M", "S0");
	point(100 * G, "M", "S1");
	disk(100 * G, "M", "new1");
	disk(100 * G, "M", "new2");
	assert_int_equal(find(), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	says("disk0 (100 GiB, serial S0) has no place:");
	says("sda (100 GiB, serial new1): would do, but so would another");
	says("disk1");
}

static void
test_by_size(void **state)
{
	(void)state;
	point(100 * G, "M", "");
	point(200 * G, "M", "");
	disk(200 * G, "other", "x");
	disk(500 * G, "M", "y");
	disk(100 * G, "other", "z");
	assert_int_equal(find(), 0);
	matched(0, 2, MATCH_SIZE);
	matched(1, 0, MATCH_SIZE);
}

static void
test_model_decides_between_sizes(void **state)
{
	(void)state;
	point(100 * G, "M", "");
	disk(100 * G, "other", "x");
	disk(100 * G, "M", "y");
	assert_int_equal(find(), 0);
	matched(0, 1, MATCH_SIZE_MODEL);
}

/* disk1 fits only sdb; so disk0, which fits both, must be sda. */
static void
test_no_choice_left(void **state)
{
	(void)state;
	point(100 * G, "", "");
	point(300 * G, "", "");
	disk(150 * G, "", "");
	disk(400 * G, "", "");
	assert_int_equal(find(), 0);
	matched(0, 0, MATCH_ONLY);
	matched(1, 1, MATCH_ONLY);
}

static void
test_two_that_would_do(void **state)
{
	(void)state;
	point(100 * G, "", "");
	disk(150 * G, "", "");
	disk(400 * G, "", "");
	assert_int_equal(find(), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_non_null(strstr(err.text, "holdfast.disk=disk0=/dev/..."));
}

static void
test_nothing_fits(void **state)
{
	(void)state;
	point(100 * G, "", "");
	disk(50 * G, "", "");
	disk(200 * G, "", "")->sector_size = 4096;
	disk(200 * G, "", "")->readonly = 1;
	disk(200 * G, "", "")->medium = 1;
	disk(200 * G, "", "")->removable = 1;
	disk(200 * G, "", "")->bus = "usb"; /* Somebody's backups, perhaps. */
	assert_int_equal(find(), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	says("sda (50.0 GiB): too small");
	says("sdb (200 GiB): another sector size");
	says("sdc (200 GiB): read-only");
	says("sdd (200 GiB): the rescue system came from it");
	says("sde (200 GiB): removable: only if it is named");
	says("sdf (200 GiB): on USB: only if it is named");
}

static void
test_no_disk_at_all(void **state)
{
	(void)state;
	point(100 * G, "", "");
	assert_int_equal(find(), -1);
	says("shows no disk at all");
}

/* The disk with the serial is the one, even if it can take nothing now. */
static void
test_serial_is_never_passed_over(void **state)
{
	(void)state;
	point(100 * G, "", "S0");
	disk(50 * G, "", "S0");
	disk(100 * G, "", "other");
	assert_int_equal(find(), -1);
	says("sda has its serial, but: too small");
}

static void
test_two_paths_to_one_disk(void **state)
{
	(void)state;
	point(100 * G, "", "S0");
	disk(100 * G, "", "S0");
	disk(100 * G, "", "S0");
	assert_int_equal(find(), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	says("sda and sdb both have its serial S0");
}

/* Serials that a maker gave to all of its disks tell nothing. */
static void
test_a_serial_that_all_share(void **state)
{
	(void)state;
	point(100 * G, "", "0000");
	point(200 * G, "", "0000");
	disk(200 * G, "", "0000");
	disk(100 * G, "", "0000");
	assert_int_equal(find(), 0);
	matched(0, 1, MATCH_SIZE);
	matched(1, 0, MATCH_SIZE);
}

static void
test_removable_by_serial(void **state)
{
	(void)state;
	point(100 * G, "", "S0");
	disk(100 * G, "", "S0")->removable = 1;
	assert_int_equal(find(), 0);
	matched(0, 0, MATCH_SERIAL);
}

static int
name(const char *which, const char *device)
{
	err_clear(&err);
	return match_name(l, &m, fits, NULL, which, device, &got, &err);
}

static void
test_named(void **state)
{
	(void)state;
	point(100 * G, "", "");
	point(50 * G, "", "");
	disk(100 * G, "", "");
	disk(60 * G, "", "")->removable = 1;
	match_clear(&got);
	assert_int_equal(name("disk0", "sdb"), -1);
	assert_string_equal(err.text, "sdb cannot take disk0: too small");
	assert_int_equal(name("disk0", "sdx"), -1);
	assert_int_equal(name("diskX", "sda"), -1);
	assert_int_equal(name("disk0", "sda"), 0);
	assert_int_equal(name("disk1", "sda"), -1);
	assert_string_equal(err.text, "sda is to take disk0 already");
	assert_int_equal(name("disk1", "sdb"), 0);
	matched(0, 0, MATCH_NAMED);
	matched(1, 1, MATCH_NAMED);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_swapped_disks),
		TEST(test_one_of_two_was_replaced),
		TEST(test_two_alike_without_serial_are_nobodys),
		TEST(test_by_size),
		TEST(test_model_decides_between_sizes),
		TEST(test_no_choice_left),
		TEST(test_two_that_would_do),
		TEST(test_nothing_fits),
		TEST(test_no_disk_at_all),
		TEST(test_serial_is_never_passed_over),
		TEST(test_two_paths_to_one_disk),
		TEST(test_a_serial_that_all_share),
		TEST(test_removable_by_serial),
		TEST(test_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
