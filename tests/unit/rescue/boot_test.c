/* A restored machine's boot entries say where its partitions are now. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "rescue/boot.h"
#include "rescue/esp.h"

#define MIB (UINT64_C(1) << 20)

static char dir[64];
static struct layout *l;
static struct disk_plan *plan;
static struct boot_disk disk;
static struct nvram_entry *got;
static char said[4096];

/* A disk with an ESP whose GUID is all 7, which moves from 1 to 5 MiB. */
static int
setup(void **state)
{
	struct layout_partition *p;

	(void)state;
	strcpy(dir, "/tmp/holdfast-boot-XXXXXX");
	l = calloc(1, sizeof(*l));
	plan = calloc(1, sizeof(*plan));
	got = calloc(NVRAM_ENTRIES_MAX, sizeof(*got));
	if (mkdtemp(dir) == NULL || l == NULL || plan == NULL || got == NULL)
		return -1;
	said[0] = '\0';
	l->disks_count = 1;
	l->disks[0].table = LAYOUT_GPT;
	l->disks[0].sector_size = 512;
	l->partitions_count = 1;
	p = l->partitions;
	p->number = 2;
	p->role = LAYOUT_ESP;
	p->offset = MIB;
	p->length = 16 * MIB;
	memset(p->id, 7, sizeof(p->id));
	plan->count = 1;
	plan->parts[0].from = MIB;
	plan->parts[0].from_length = 16 * MIB;
	plan->parts[0].to = 5 * MIB;
	plan->parts[0].length = 16 * MIB;
	disk.plan = plan;
	disk.device = "/nonexistent";
	return 0;
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	free(l);
	free(plan);
	free(got);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

/* The point knows an entry for a partition whose GUID is all `id`. */
static void
know(uint16_t number, uint8_t id, const char *name)
{
	struct layout_entry *e = &l->entries[l->entries_count++];
	struct loadopt_drive d = { 2, 2048, 32768, { 0 } };
	struct buf b = BUF_INIT(LAYOUT_ENTRY_MAX);
	struct err err = ERR_INIT;

	memset(d.id, id, sizeof(d.id));
	assert_int_equal(loadopt_make(name, &d, "\\EFI\\x.efi", &b, &err), 0);
	e->number = number;
	e->len = (uint16_t)b.len;
	memcpy(e->option, b.p, b.len);
	buf_free(&b);
}

static void
test_saved_are_moved(void **state)
{
	struct err err = ERR_INIT;
	struct loadopt o;

	(void)state;
	know(4, 7, "Windows Boot Manager");
	know(5, 8, "on a disk that is not here");
	l->entries[l->entries_count++].len = 3; /* Rubbish. */
	assert_int_equal(boot_saved(l, &disk, 1, got), 1);
	assert_int_equal(got[0].number, 4);
	assert_int_equal(loadopt_parse(got[0].option, got[0].len, &o, &err), 0);
	assert_string_equal(o.description, "Windows Boot Manager");
	assert_int_equal(o.start, 5 * MIB / 512);
	assert_int_equal(o.length, 16 * MIB / 512);
	assert_int_equal(o.number, 2);
	assert_int_equal(boot_saved(l, &disk, 0, got), 0); /* Nothing was restored. */
}

static void
test_sectors_of_4096(void **state)
{
	struct err err = ERR_INIT;
	struct loadopt o;

	(void)state;
	l->disks[0].sector_size = 4096;
	know(4, 7, "x");
	assert_int_equal(boot_saved(l, &disk, 1, got), 1);
	assert_int_equal(loadopt_parse(got[0].option, got[0].len, &o, &err), 0);
	assert_int_equal(o.start, 5 * MIB / 4096);
}

static void
test_foreign_firmware(void **state)
{
	char why[200];

	(void)state;
	l->firmware = LAYOUT_UEFI;
	assert_false(boot_foreign(l, 1, why));
	assert_true(boot_foreign(l, 0, why));
	assert_non_null(strstr(why, "this machine was started by BIOS"));
	l->firmware = LAYOUT_BIOS;
	assert_true(boot_foreign(l, 1, why));
	l->firmware = LAYOUT_FIRMWARE_UNKNOWN;
	assert_false(boot_foreign(l, 1, why)); /* There is an ESP. */
	l->partitions_count = 0;
	assert_true(boot_foreign(l, 1, why));
}

static void
say(void *arg, const char *line)
{
	(void)arg;
	strcat(strcat(said, line), "\n");
}

static void
make(int fallback)
{
	struct boot_job job = { l, &disk, 1, dir, dir, fallback, say, NULL };

	said[0] = '\0';
	boot_make(&job);
}

static int
has(const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

static void
shell(const char *command)
{
	char line[256];

	snprintf(line, sizeof(line), "cd %s && %s", dir, command);
	assert_int_equal(system(line), 0);
}

/* Nothing is known: what lies on the ESP is named. */
static void
test_loaders_of_the_esp(void **state)
{
	(void)state;
	make(0);
	assert_non_null(strstr(said, "no loader found"));
	shell("mkdir -p EFI/Microsoft/Boot EFI/debian && echo x > "
	      "EFI/Microsoft/Boot/bootmgfw.efi && echo y > EFI/debian/grubx64.efi");
	make(0);
	assert_non_null(strstr(said, "Boot0000: Windows Boot Manager"));
	assert_non_null(strstr(said, "Boot0001: debian, \\EFI\\debian\\grubx64.efi"));
	assert_true(has("Boot0000-8be4df61-93ca-11d2-aa0d-00e098032b8c"));
	assert_true(has("BootOrder-8be4df61-93ca-11d2-aa0d-00e098032b8c"));
	assert_false(has("EFI/BOOT/BOOTX64.EFI"));
}

static void
test_fallback_on_request(void **state)
{
	(void)state;
	know(4, 7, "Windows Boot Manager");
	shell("mkdir -p EFI && echo x > EFI/x.efi");
	make(1);
	assert_true(has("EFI/BOOT/BOOTX64.EFI"));
	assert_true(has("Boot0004-8be4df61-93ca-11d2-aa0d-00e098032b8c"));
	make(1);
	assert_non_null(strstr(said, "was there already"));
}

/* The entry does not need the ESP to be seen. */
static void
test_without_esp(void **state)
{
	struct boot_job job = { l, &disk, 1, dir, NULL, 0, say, NULL };

	(void)state;
	know(4, 7, "Windows Boot Manager");
	boot_make(&job);
	assert_non_null(strstr(said, "boot entry Boot0004"));
	job.fallback_loader = 1;
	boot_make(&job);
	assert_non_null(strstr(said, "the ESP cannot be looked into"));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_saved_are_moved),
		TEST(test_sectors_of_4096),
		TEST(test_foreign_firmware),
		TEST(test_loaders_of_the_esp),
		TEST(test_fallback_on_request),
		TEST(test_without_esp),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
