/*
 * A Windows on an NTFS volume that is only a window of an image: its hive is changed
 * through ntfs-3g, all that was written is there when the mount is gone, and nothing
 * of the mount stays.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/restore/target.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"
#include "rescue/adapt.h"
#include "rescue/ntfs_mount.h"
#include "tests/unit/rescue/hive_image.h"

#define SIZE (UINT64_C(32) << 20)

static char dir[64], image[96], mnt[96];

static void
shell(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
#pragma GCC diagnostic pop
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
}

static void
make_hive(const char *path)
{
	hive_h *h;

	hive_make(path);
	assert_non_null(h = hivex_open(path, HIVEX_OPEN_WRITE));
	hive_number(h, "Select", "Current", 1);
	hive_number(h, "ControlSet001\\Services\\stornvme", "Start", 3);
	assert_int_equal(hivex_commit(h, NULL, 0), 0);
	assert_int_equal(hivex_close(h), 0);
}

static int
set_up(void **state)
{
	char path[256];

	(void)state;
	strcpy(dir, "/tmp/hf-mount-XXXXXX");
	assert_non_null(mkdtemp(dir));
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(mnt, sizeof(mnt), "%s/mnt", dir);
	assert_int_equal(mkdir(mnt, 0700), 0);
	shell("truncate -s %llu %s && mkntfs -q -F -Q %s >/dev/null 2>&1",
	    (unsigned long long)SIZE, image, image);
	shell("ntfs-3g %s %s", image, mnt);
	shell(
	    "mkdir -p %s/Windows/System32/config %s/Windows/System32/drivers", mnt, mnt);
	shell("echo MZ > %s/Windows/System32/drivers/stornvme.sys", mnt);
	snprintf(path, sizeof(path), "%s/Windows/System32/config/SYSTEM", mnt);
	make_hive(path);
	shell("umount %s", mnt);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	(void)umount(mnt);
	shell("rm -rf %s", dir);
	return 0;
}

static void
look(struct target *t, int change, struct adapt_report *r)
{
	static const struct layout_device nvme = {
		.modalias = "pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02"
	};
	struct adapt_job job = { NULL, &nvme, 1 };
	struct err err = ERR_INIT;
	struct ntfs_mount *m;
	char path[256];

	if (ntfs_mount_open(t, SIZE, change, &m, &err) != 0)
		fail_msg("%s", err.text);
	job.root = ntfs_mount_path(m);
	snprintf(path, sizeof(path), "%s", job.root);
	assert_int_equal(
	    change ? adapt_change(&job, r, &err) : adapt_look(&job, r, &err), 0);
	if (ntfs_mount_close(m, &err) != 0)
		fail_msg("%s", err.text);
	assert_int_equal(access(path, F_OK), -1);
}

static void
a_driver_is_enabled_in_a_hive_on_a_window(void **state)
{
	struct adapt_report *r = malloc(sizeof(*r));
	struct err err = ERR_INIT;
	struct target *t;

	(void)state;
	assert_int_equal(target_open(image, SIZE, 0, TARGET_KEEP, &t, &err), 0);
	look(t, 0, r);
	assert_int_equal(target_written(t), 0);
	assert_false(adapt_starts(r));
	look(t, 1, r);
	assert_true(adapt_starts(r));
	look(t, 0, r);
	assert_true(adapt_starts(r));
	assert_false(r->drivers[0].enabled);
	assert_int_equal(target_finish(t, &err), 0);
	shell("ntfsfix -n %s >/dev/null", image);
	shell(
	    "ntfs-3g -o ro %s %s && test -s %s/Windows/System32/config/SYSTEM.holdfast; "
	    "rc=$?; umount %s; exit $rc",
	    image, mnt, mnt, mnt);
	free(r);
}

static void
what_cannot_be_mounted_is_said_and_leaves_nothing(void **state)
{
	struct err err = ERR_INIT;
	struct ntfs_mount *m;
	struct target *t;

	(void)state;
	shell("dd if=/dev/zero of=%s bs=4096 count=1 conv=notrunc status=none", image);
	assert_int_equal(target_open(image, SIZE, 0, TARGET_KEEP, &t, &err), 0);
	assert_int_equal(ntfs_mount_open(t, SIZE, 0, &m, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(err.text, "cannot be mounted"));
	err_clear(&err);
	assert_int_equal(ntfs_mount_open(t, SIZE, 1, &m, &err), -1);
	assert_string_equal(err.text, "the volume is no NTFS");
	target_abandon(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_driver_is_enabled_in_a_hive_on_a_window),
		cmocka_unit_test(what_cannot_be_mounted_is_said_and_leaves_nothing),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
