/* A machine is read from sysfs as Linux lays it out, and nothing else is a disk. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/err.h"
#include "rescue/machine.h"

static char dir[64];

static void
put(const char *path, const void *p, size_t len)
{
	char full[512], command[600];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", dir, path);
	snprintf(command, sizeof(command), "mkdir -p $(dirname %s)", full);
	assert_int_equal(system(command), 0);
	f = fopen(full, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static void
line(const char *path, const char *text)
{
	put(path, text, strlen(text));
}

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/holdfast-machine-XXXXXX");
	return mkdtemp(dir) == NULL;
}

static int
teardown(void **state)
{
	char command[128];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	return system(command);
}

static void
fill(void)
{
	char cd[32774];

	line("block/sda/size", "204800\n");
	line("block/sda/queue/logical_block_size", "512\n");
	line("block/sda/queue/physical_block_size", "4096\n");
	line("block/sda/queue/rotational", "1\n");
	line("block/sda/device/model", "WDC  WD10\x01 EZEX  \n");
	put("block/sda/device/vpd_pg80", "\0\x80\0\x0c    WD-1234 \0", 17);
	line("block/nvme10n1/size", "409600\n");
	line("block/nvme10n1/queue/logical_block_size", "4096\n");
	line("block/nvme10n1/device/serial", "S5Y0  \n");
	line("block/nvme2n1/size", "8\n");
	line("block/vda/size", "16\n");
	line("block/vda/serial", "disk0");
	line("block/vda/ro", "1\n");
	line("block/sdb/size", "100\n");
	line("block/sdb/removable", "1\n");
	memset(cd, 0, sizeof(cd));
	memcpy(cd + 32769, "CD001", 5);
	put("dev/sdb", cd, sizeof(cd));
	/* None of these. */
	line("block/loop0/size", "100\n");
	line("block/sr0/size", "100\n");
	line("block/ram0/size", "100\n");
	line("block/dm-0/size", "100\n");
	line("block/mmcblk0boot0/size", "100\n");
	line("block/nvme1c1n1/size", "100\n");
	line("block/nvme1c1n1/hidden", "1\n");
	line("block/sdz/size", "0\n");
	line("class/net/eth0/address", "52:54:00:12:34:56\n");
	line("class/net/eth0/device/vendor", "x");
	line("class/net/lo/address", "00:00:00:00:00:00\n");
	line("class/net/br0/address", "52:54:00:00:00:01\n");
}

static void
test_disks(void **state)
{
	static struct machine m;
	struct err err = ERR_INIT;
	char dev[80], text[MACHINE_TEXT_MAX];

	(void)state;
	fill();
	snprintf(dev, sizeof(dev), "%s/dev", dir);
	assert_int_equal(machine_read(dir, dev, &m, &err), 0);
	assert_int_equal(m.disks_count, 5);
	assert_string_equal(m.disks[0].name, "sda");
	assert_int_equal(m.disks[0].size, 204800 * 512);
	assert_int_equal(m.disks[0].sector_size, 512);
	assert_int_equal(m.disks[0].physical_size, 4096);
	assert_string_equal(m.disks[0].model, "WDC WD10 EZEX");
	assert_string_equal(m.disks[0].serial, "WD-1234");
	assert_true(m.disks[0].rotational && !m.disks[0].removable && !m.disks[0].medium);
	assert_string_equal(m.disks[1].name, "sdb");
	assert_true(m.disks[1].removable && m.disks[1].medium);
	assert_string_equal(m.disks[2].name, "vda");
	assert_string_equal(m.disks[2].serial, "disk0");
	assert_string_equal(m.disks[2].bus, "virtio");
	assert_true(m.disks[2].readonly);
	assert_string_equal(m.disks[3].name, "nvme2n1");
	assert_string_equal(m.disks[4].name, "nvme10n1");
	assert_int_equal(m.disks[4].sector_size, 4096);
	assert_string_equal(m.disks[4].serial, "S5Y0");
	assert_string_equal(m.disks[4].bus, "nvme");
	assert_int_equal(machine_find(&m, "vda"), 2);
	assert_int_equal(machine_find(&m, "vdb"), -1);
	machine_describe(&m.disks[0], text);
	assert_string_equal(text, "sda  100 MiB  scsi  WDC WD10 EZEX  serial WD-1234");
	assert_false(m.uefi);
	assert_int_equal(m.macs_count, 1);
	assert_memory_equal(m.macs[0], "\x52\x54\x00\x12\x34\x56", 6);
	line("firmware/efi/fw_platform_size", "64\n");
	assert_int_equal(machine_read(dir, dev, &m, &err), 0);
	assert_true(m.uefi);
}

static void
is_other(const struct machine_disk *d, const char *text)
{
	struct err err = ERR_INIT;

	assert_int_equal(machine_still(dir, "/nonexistent", d, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.text, text));
}

/* A name that went to another disk is not taken for the disk that had it. */
static void
test_a_name_is_no_disk(void **state)
{
	static struct machine m;
	struct err err = ERR_INIT;

	(void)state;
	fill();
	line("block/sda/diskseq", "7\n");
	assert_int_equal(machine_read(dir, "/nonexistent", &m, &err), 0);
	assert_int_equal(machine_still(dir, "/nonexistent", &m.disks[0], &err), 0);
	assert_int_equal(machine_still(dir, "/nonexistent", &m.disks[2], &err), 0);
	line("block/sda/diskseq", "8\n");
	is_other(&m.disks[0], "sda is another disk now");
	line("block/sda/diskseq", "7\n");
	line("block/sda/size", "204801\n");
	is_other(&m.disks[0], "sda is another disk now");
	line("block/vda/serial", "disk1");
	is_other(&m.disks[2], "vda is another disk now");
	line("block/vda/size", "0\n");
	is_other(&m.disks[2], "vda is gone");
}

/* The machine is known again by what does not change between two boots. */
static void
test_what_it_is_known_by(void **state)
{
	static struct machine m;
	struct err err = ERR_INIT;

	(void)state;
	fill();
	line("class/net/eth1/address", "00:1b:21:00:00:02\n");
	line("class/net/eth1/device/vendor", "x");
	line("class/net/eth2/address", "00:1b:21:00:00:01\n");
	line("class/net/eth2/device/vendor", "x");
	assert_int_equal(machine_read(dir, "/nonexistent", &m, &err), 0);
	assert_string_equal(m.uuid, "");
	assert_int_equal(m.macs_count, 3);
	assert_memory_equal(m.macs[0], "\x00\x1b\x21\0\0\1", 6);
	assert_memory_equal(m.macs[2], "\x52\x54\x00\x12\x34\x56", 6);
	line(MACHINE_UUID_PATH, "00000000-0000-0000-0000-000000000000\n");
	assert_int_equal(machine_read(dir, "/nonexistent", &m, &err), 0);
	assert_string_equal(m.uuid, "");
	line(MACHINE_UUID_PATH, "4c4c4544-0042-3510-8052-b4c04f4a3332\n");
	assert_int_equal(machine_read(dir, "/nonexistent", &m, &err), 0);
	assert_string_equal(m.uuid, "4c4c4544-0042-3510-8052-b4c04f4a3332");
}

static void
test_no_sysfs(void **state)
{
	static struct machine m;
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(machine_read("/nonexistent", "/dev", &m, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_disks, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_what_it_is_known_by, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_name_is_no_disk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_sysfs, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
