/* What a path of Windows names, and how CreateFile() wants it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "agent/disk/device.h"
#include "proto/base/err.h"

#define GUID "{4c1b02c1-d990-11dc-99ae-806e6f6e6963}"

static const struct {
	const char *path, *normal;
	enum device_kind kind;
} paths[] = {
	{ "C:", "\\\\.\\C:", DEVICE_VOLUME },
	{ "d:\\", "\\\\.\\d:", DEVICE_VOLUME },
	{ "e:/", "\\\\.\\e:", DEVICE_VOLUME },
	{ "\\\\.\\C:", "\\\\.\\C:", DEVICE_VOLUME },
	{ "\\\\.\\C:\\", "\\\\.\\C:", DEVICE_VOLUME },
	{ "//./C:", "\\\\.\\C:", DEVICE_VOLUME },
	{ "\\\\?\\C:", "\\\\?\\C:", DEVICE_VOLUME },
	{ "\\\\?\\Volume" GUID "\\", "\\\\?\\Volume" GUID, DEVICE_VOLUME },
	{ "\\\\?\\volume" GUID, "\\\\?\\volume" GUID, DEVICE_VOLUME },
	{ "\\\\.\\Volume" GUID, "\\\\.\\Volume" GUID, DEVICE_VOLUME },
	{ "\\?\?\\Volume" GUID "\\", "\\\\?\\Volume" GUID, DEVICE_VOLUME },
	{ "\\\\.\\HarddiskVolume3", "\\\\.\\HarddiskVolume3", DEVICE_VOLUME },
	{ "\\\\.\\PhysicalDrive0", "\\\\.\\PhysicalDrive0", DEVICE_DISK },
	{ "\\\\.\\PHYSICALDRIVE12", "\\\\.\\PHYSICALDRIVE12", DEVICE_DISK },
	{ "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy4",
	    "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy4", DEVICE_SNAPSHOT },
	{ "\\\\?\\GLOBALROOT\\Device\\Harddisk0\\Partition2",
	    "\\\\?\\GLOBALROOT\\Device\\Harddisk0\\Partition2", DEVICE_VOLUME },
	{ "\\\\?\\GLOBALROOT\\Device\\Harddisk1\\Partition0",
	    "\\\\?\\GLOBALROOT\\Device\\Harddisk1\\Partition0", DEVICE_DISK },
	{ "\\\\?\\GLOBALROOT\\Device\\HarddiskVolume7",
	    "\\\\?\\GLOBALROOT\\Device\\HarddiskVolume7", DEVICE_VOLUME },
	/* Files. */
	{ "", "", DEVICE_FILE },
	{ "C", "C", DEVICE_FILE },
	{ "C:x", "C:x", DEVICE_FILE },
	{ "1:", "1:", DEVICE_FILE },
	{ "C:\\\\", "C:\\\\", DEVICE_FILE },
	{ "C:\\image.img", "C:\\image.img", DEVICE_FILE },
	{ "disks/c.img", "disks/c.img", DEVICE_FILE },
	{ "\\\\server\\share\\c.img", "\\\\server\\share\\c.img", DEVICE_FILE },
	{ "\\\\?\\C:\\image.img", "\\\\?\\C:\\image.img", DEVICE_FILE },
	{ "\\\\?\\Volume" GUID "\\image.img", "\\\\?\\Volume" GUID "\\image.img",
	    DEVICE_FILE },
	{ "\\\\?\\Volume{4c1b", "\\\\?\\Volume{4c1b", DEVICE_FILE },
	{ "\\\\.\\PhysicalDrive", "\\\\.\\PhysicalDrive", DEVICE_FILE },
	{ "\\\\.\\PhysicalDrive0x", "\\\\.\\PhysicalDrive0x", DEVICE_FILE },
	{ "\\\\.\\pipe\\x", "\\\\.\\pipe\\x", DEVICE_FILE },
	{ "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy4\\a",
	    "\\\\?\\GLOBALROOT\\Device\\HarddiskVolumeShadowCopy4\\a", DEVICE_FILE },
};

static void
each_path_is_what_it_names(void **state)
{
	char out[256];

	(void)state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct err err = ERR_INIT;

		assert_int_equal(device_path_kind(paths[i].path), paths[i].kind);
		assert_int_equal(device_path(paths[i].path, out, sizeof(out), &err), 0);
		assert_string_equal(out, paths[i].normal);
	}
}

static void
a_path_without_room_is_an_error(void **state)
{
	struct err err = ERR_INIT;
	char out[7];

	(void)state;
	assert_int_equal(device_path("C:", out, sizeof(out), &err), 0);
	assert_int_equal(device_path("C:", out, sizeof(out) - 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_path_is_what_it_names),
		cmocka_unit_test(a_path_without_room_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
