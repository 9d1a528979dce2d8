/*
 * An offline Windows on another machine: which drivers start, which are made to, and
 * what is left alone.  The hives are made here, by libhivex.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"
#include "rescue/adapt.h"
#include "rescue/adapt_files.h"
#include "tests/unit/rescue/hive_image.h"

#define AHCI "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"
#define VIRTIO_BLK "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00"
#define NVME "pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02"
#define RAID "pci:v00001000d0000005Fsv00001028sd00001F4Bbc01sc04i00"
#define NIC "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"

struct world {
	char dir[64], config[128], hive[160], copy[160];
	struct layout_device devices[8];
	struct adapt_job job;
	struct adapt_report *r;
	struct err err;
};

static void
make_dirs(const char *root, const char *path)
{
	char whole[256];

	snprintf(whole, sizeof(whole), "mkdir -p %s/%s", root, path);
	assert_int_equal(system(whole), 0);
}

static void
make_file(const struct world *w, const char *path)
{
	char whole[256];
	FILE *f;

	snprintf(whole, sizeof(whole), "%s/%s", w->dir, path);
	assert_non_null(f = fopen(whole, "w"));
	fputs("MZ", f);
	fclose(f);
}

static void
service(hive_h *h, const char *name, uint32_t start, const char *image)
{
	char path[128];

	snprintf(path, sizeof(path), "ControlSet002\\Services\\%s", name);
	hive_number(h, path, "Start", start);
	hive_number(h, path, "Type", 1);
	if (image != NULL)
		hive_text(h, path, "ImagePath", hive_t_expand_string, image);
}

/* As Windows 8 and later name the driver of a PCI id. */
static void
package(hive_h *h, const char *inf, const char *id, const char *driver)
{
	char path[256], name[64];

	snprintf(path, sizeof(path), "DriverDatabase\\DeviceIds\\PCI\\%s", id);
	hive_set(h, hive_key(h, path), inf, hive_t_REG_BINARY, "\1\377\0\0", 4);
	snprintf(name, sizeof(name), "%s_amd64_0123456789abcdef", inf);
	snprintf(path, sizeof(path), "DriverDatabase\\DriverInfFiles\\%s", inf);
	hive_text(h, path, "", hive_t_multiple_strings, name);
	snprintf(path, sizeof(path),
	    "DriverDatabase\\DriverPackages\\%s\\Descriptors\\PCI\\%s", name, id);
	hive_text(h, path, "Configuration", hive_t_string, "Install_NT");
	snprintf(path, sizeof(path),
	    "DriverDatabase\\DriverPackages\\%s\\Configurations\\Install_NT", name);
	hive_text(h, path, "Service", hive_t_string, driver);
}

static void
fill_hive(const char *path, int database)
{
	hive_h *h;

	hive_make(path);
	assert_non_null(h = hivex_open(path, HIVEX_OPEN_WRITE));
	/* After a start by the last known good set the two may differ. */
	hive_number(h, "Select", "Current", database ? 1 : 2);
	if (database)
		hive_number(h, "Select", "Default", 2);
	hive_key(h, "ControlSet001\\Services\\storahci");
	service(h, "disk", 0, "\\SystemRoot\\System32\\drivers\\disk.sys");
	service(h, "storahci", 3, "\\SystemRoot\\System32\\drivers\\storahci.sys");
	hive_number(h, "ControlSet002\\Services\\storahci\\StartOverride", "0", 3);
	service(h, "stornvme", 0, "System32\\drivers\\stornvme.sys");
	service(h, "viostor", 4, NULL);
	service(h, "megasas9", 3, "\\??\\C:\\Windows\\System32\\drivers\\megasas9.sys");
	service(h, "e1d", 3, "System32\\drivers\\e1d.sys");
	hive_key(h, "ControlSet002\\Control\\CriticalDeviceDatabase");
	if (database) {
		package(
		    h, "megasas9.inf", "VEN_1000&DEV_005F&SUBSYS_1F4B1028", "megasas9");
		package(h, "mshdc.inf", "CC_0106", "storahci");
		package(h, "net.inf", "VEN_8086&DEV_10D3", "e1d");
	} else {
		hive_text(h,
		    "ControlSet002\\Control\\CriticalDeviceDatabase\\PCI#VEN_1000&DEV_"
		    "005F",
		    "Service", hive_t_string, "megasas9");
	}
	assert_int_equal(hivex_commit(h, NULL, 0), 0);
	assert_int_equal(hivex_close(h), 0);
}

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->r = malloc(sizeof(*w->r));
	strcpy(w->dir, "/tmp/hf-adapt-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	/* Names as they were typed by somebody. */
	make_dirs(w->dir, "WINDOWS/system32/Config");
	make_dirs(w->dir, "WINDOWS/system32/DRIVERS");
	snprintf(w->config, sizeof(w->config), "%s/WINDOWS/system32/Config", w->dir);
	snprintf(w->hive, sizeof(w->hive), "%s/system", w->config);
	snprintf(w->copy, sizeof(w->copy), "%s/SYSTEM.holdfast", w->config);
	make_file(w, "WINDOWS/system32/DRIVERS/disk.sys");
	make_file(w, "WINDOWS/system32/DRIVERS/StorAHCI.sys");
	make_file(w, "WINDOWS/system32/DRIVERS/megasas9.sys");
	make_file(w, "WINDOWS/system32/DRIVERS/stornvme.sys");
	fill_hive(w->hive, 1);
	w->job.root = w->dir;
	w->job.devices = w->devices;
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -rf %s", w->dir);
	(void)system(cmd);
	free(w->r);
	free(w);
	return 0;
}

static void
device(struct world *w, const char *modalias)
{
	strcpy(w->devices[w->job.devices_count++].modalias, modalias);
}

static const struct adapt_driver *
driver(const struct world *w, const char *name)
{
	for (unsigned i = 0; i < w->r->drivers_count; i++)
		if (strcmp(w->r->drivers[i].name, name) == 0)
			return &w->r->drivers[i];
	fail_msg("no driver %s in the report", name);
	return NULL;
}

static size_t
read_all(const char *path, uint8_t *p, size_t cap)
{
	FILE *f = fopen(path, "r");
	size_t n;

	assert_non_null(f);
	n = fread(p, 1, cap, f);
	fclose(f);
	return n;
}

/* -------------------------------------------------------------------- tests -- */

static void
looking_says_what_lacks_and_changes_nothing(void **state)
{
	struct world *w = *state;
	static uint8_t before[1 << 20], after[1 << 20];
	size_t n = read_all(w->hive, before, sizeof(before));
	struct buf text = BUF_INIT(65536);

	device(w, AHCI);
	device(w, RAID);
	device(w, NIC);
	assert_int_equal(adapt_look(&w->job, w->r, &w->err), 0);
	assert_int_equal(w->r->control_set, 2);
	assert_true(w->r->database);
	assert_int_equal(driver(w, "disk")->start, 0);
	assert_true(driver(w, "storahci")->has_file);
	assert_true(driver(w, "storahci")->override);
	assert_string_equal(driver(w, "megasas9")->path, "System32/drivers/megasas9.sys");
	assert_int_equal(w->r->devices_count, 3);
	assert_true(w->r->devices[0].storage && !w->r->devices[0].starts);
	assert_true(w->r->devices[1].storage && !w->r->devices[1].starts);
	assert_false(w->r->devices[2].storage);
	assert_int_equal(w->r->devices[2].count, 1);
	assert_false(adapt_starts(w->r));
	assert_int_equal(adapt_print(w->r, &text, &w->err), 0);
	assert_int_equal(buf_add_u8(&text, 0, &w->err), 0);
	assert_non_null(strstr((char *)text.p,
	    "storage controller 1000:005F: megasas9 does not start at boot\n"));
	assert_non_null(strstr((char *)text.p, "Windows may not start here"));
	buf_free(&text);
	assert_int_equal(read_all(w->hive, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
	assert_int_equal(access(w->copy, F_OK), -1);
}

static void
adapting_enables_what_is_there_and_keeps_the_old_hive(void **state)
{
	struct world *w = *state;
	static uint8_t before[1 << 20], after[1 << 20], copy[1 << 20];
	size_t n = read_all(w->hive, before, sizeof(before)), m;

	device(w, AHCI);
	device(w, RAID);
	if (adapt_change(&w->job, w->r, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_true(driver(w, "storahci")->enabled);
	assert_true(driver(w, "megasas9")->enabled);
	assert_false(driver(w, "stornvme")->enabled); /* It was already. */
	assert_false(driver(w, "viostor")->enabled);  /* It has no file. */
	assert_true(adapt_starts(w->r));
	assert_int_equal(read_all(w->copy, copy, sizeof(copy)), n);
	assert_memory_equal(before, copy, n);

	/* As it is on the volume now. */
	assert_int_equal(adapt_look(&w->job, w->r, &w->err), 0);
	assert_int_equal(driver(w, "storahci")->start, 0);
	assert_false(driver(w, "storahci")->override);
	assert_int_equal(driver(w, "megasas9")->start, 0);
	assert_true(adapt_starts(w->r));
	m = read_all(w->hive, after, sizeof(after));
	assert_int_equal(load_le32(after + 4), load_le32(before + 4) + 1);
	assert_int_equal(load_le32(after + 8), load_le32(after + 4));

	/* Once more: nothing to do, nothing written, the first copy stays. */
	assert_int_equal(adapt_change(&w->job, w->r, &w->err), 0);
	assert_int_equal(read_all(w->hive, copy, sizeof(copy)), m);
	assert_memory_equal(after, copy, m);
	read_all(w->copy, copy, sizeof(copy));
	assert_memory_equal(before, copy, n);
}

static void
an_older_windows_is_told_which_driver_its_disk_needs(void **state)
{
	struct world *w = *state;
	hive_h *h;
	hive_node_h key;
	char *text;

	fill_hive(w->hive, 0);
	device(w, AHCI);
	device(w, RAID);
	assert_int_equal(adapt_change(&w->job, w->r, &w->err), 0);
	assert_false(w->r->database);
	assert_true(driver(w, "megasas9")->enabled);
	assert_true(adapt_starts(w->r));
	assert_non_null(h = hivex_open(w->hive, 0));
	key = hive_key(
	    h, "ControlSet002\\Control\\CriticalDeviceDatabase\\PCI#VEN_8086&DEV_2922");
	text = hivex_value_string(h, hivex_node_get_value(h, key, "Service"));
	assert_string_equal(text, "storahci");
	free(text);
	hivex_close(h);
}

static void
a_driver_without_its_file_is_no_driver(void **state)
{
	struct world *w = *state;

	device(w, VIRTIO_BLK);
	device(w, NVME);
	assert_int_equal(adapt_change(&w->job, w->r, &w->err), 0);
	assert_false(driver(w, "viostor")->has_file);
	assert_false(w->r->devices[0].starts);
	assert_true(w->r->devices[1].starts);
	assert_false(adapt_starts(w->r));
}

static void
a_hive_with_pending_logs_is_refused(void **state)
{
	struct world *w = *state;
	static uint8_t before[1 << 20], after[1 << 20];
	int fd = open(w->hive, O_RDWR | O_CLOEXEC);
	uint8_t head[512];
	size_t n;

	assert_int_equal(pread(fd, head, 512, 0), 512);
	store_le32(head + 4, load_le32(head + 4) + 1);
	hive_checksum(head);
	assert_int_equal(pwrite(fd, head, 512, 0), 512);
	close(fd);
	n = read_all(w->hive, before, sizeof(before));
	device(w, AHCI);
	assert_int_equal(adapt_change(&w->job, w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(w->err.text, "its logs hold changes"));
	assert_int_equal(read_all(w->hive, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
	assert_int_equal(access(w->copy, F_OK), -1);
}

static void
what_is_no_windows_is_said(void **state)
{
	struct world *w = *state;
	char cmd[512];

	assert_int_equal(truncate(w->hive, 4000), 0);
	assert_int_equal(adapt_look(&w->job, w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	err_clear(&w->err);
	assert_int_equal(truncate(w->hive, 100), 0);
	assert_int_equal(adapt_look(&w->job, w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	err_clear(&w->err);
	/* A link may lead anywhere: it is not followed. */
	snprintf(cmd, sizeof(cmd), "mv %s %s/elsewhere && ln -s %s/elsewhere %s",
	    w->config, w->dir, w->dir, w->config);
	assert_int_equal(system(cmd), 0);
	fill_hive(w->hive, 1);
	assert_int_equal(adapt_look(&w->job, w->r, &w->err), -1);
	err_clear(&w->err);
	snprintf(cmd, sizeof(cmd), "rm -rf %s/WINDOWS", w->dir);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(adapt_look(&w->job, w->r, &w->err), -1);
	assert_int_equal(w->err.code, ERR_NOTFOUND);
}

static void
names_of_pci_devices_match_what_they_say(void **state)
{
	static const struct {
		const char *name, *modalias;
		int match;
	} rows[] = {
		{ "VEN_8086&DEV_2922", AHCI, 1 },
		{ "ven_8086&dev_2922&subsys_11001af4&rev_02", AHCI, 1 },
		{ "VEN_8086&DEV_2922&SUBSYS_11001AF5", AHCI, 0 },
		{ "VEN_8086&DEV_2922&CC_0106", AHCI, 1 },
		{ "VEN_8086&DEV_2922&CC_0107", AHCI, 0 },
		{ "CC_0106", AHCI, 1 },
		{ "CC_010601", AHCI, 1 },
		{ "CC_010602", AHCI, 0 },
		{ "CC_01060", AHCI, 0 },
		{ "CC_0106", NVME, 0 },
		{ "VEN_8086", AHCI, 0 },
		{ "VEN_8086&REV_01", AHCI, 0 },
		{ "VEN_8086&CC_0106", AHCI, 1 },
		{ "", AHCI, 0 },
		{ "&", AHCI, 0 },
		{ "VEN_8086&DEV_2922&", AHCI, 0 },
		{ "VEN_8086&DEV_292", AHCI, 0 },
		{ "CC_0106", "usb:v00008086d00002922", 0 },
		{ "CC_0106", "pci:v00008086d0000292", 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((adapt_pci_match(rows[i].name, rows[i].modalias) > 0) !=
		    rows[i].match)
			fail_msg("%s and %s", rows[i].name, rows[i].modalias);
	assert_true(adapt_pci_match("VEN_8086&DEV_2922&SUBSYS_11001AF4", AHCI) >
		    adapt_pci_match("VEN_8086&DEV_2922", AHCI));
	assert_true(adapt_pci_match("VEN_8086&DEV_2922", AHCI) >
		    adapt_pci_match("CC_010601", AHCI));
}

static void
paths_of_images_stay_in_windows(void **state)
{
	static const struct {
		const char *image, *path;
	} rows[] = {
		{ "System32\\drivers\\a.sys", "System32/drivers/a.sys" },
		{ "\\SystemRoot\\system32\\a.sys", "system32/a.sys" },
		{ "%SystemRoot%\\System32\\a.sys", "System32/a.sys" },
		{ "\\??\\d:\\WINDOWS\\System32\\a.sys", "System32/a.sys" },
		{ "\\??\\d:\\Other\\a.sys", NULL },
		{ "\\SystemRoot\\..\\a.sys", NULL },
		{ "\\SystemRoot\\", NULL },
		{ "\\SystemRoot\\\\a", NULL },
		{ "System32\\a/b", NULL },
		{ "", NULL },
	};
	char out[256];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int rc = adapt_image_path(rows[i].image, out);

		assert_int_equal(rc, rows[i].path != NULL ? 0 : -1);
		if (rc == 0)
			assert_string_equal(out, rows[i].path);
	}
}

static int
file_of(const char *text, size_t len)
{
	char name[] = "/tmp/hf-hive-XXXXXX";
	int fd = mkstemp(name);

	assert_true(fd >= 0);
	assert_int_equal(unlink(name), 0);
	assert_int_equal(write(fd, text, len), (ssize_t)len);
	return fd;
}

/* The volume is full: the hive stays what it was, to the byte. */
static void
a_longer_hive_without_room_changes_nothing(void **state)
{
	static char old[9000], new[9000], is[9001];
	struct rlimit before, little;
	struct err err = ERR_INIT;
	int to, from, torn = 1;

	(void)state;
	memset(old, 'o', sizeof(old));
	memset(new, 'n', sizeof(new));
	to = file_of(old, 6000);
	from = file_of(new, 9000);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	little = before;
	little.rlim_cur = 7000;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	assert_int_equal(adapt_files_replace(to, from, &torn, &err), -1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_false(torn);
	assert_int_equal(pread(to, is, sizeof(is), 0), 6000);
	assert_memory_equal(is, old, 6000);
	err_clear(&err);
	assert_int_equal(adapt_files_replace(to, from, &torn, &err), 0);
	assert_int_equal(pread(to, is, sizeof(is), 0), 9000);
	assert_memory_equal(is, new, 9000);
	assert_int_equal(ftruncate(from, 100), 0);
	assert_int_equal(adapt_files_replace(to, from, &torn, &err), 0);
	assert_int_equal(pread(to, is, sizeof(is), 0), 100);
	close(to);
	close(from);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    looking_says_what_lacks_and_changes_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    adapting_enables_what_is_there_and_keeps_the_old_hive, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    an_older_windows_is_told_which_driver_its_disk_needs, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    a_driver_without_its_file_is_no_driver, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    a_hive_with_pending_logs_is_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    what_is_no_windows_is_said, set_up, tear_down),
		cmocka_unit_test(a_longer_hive_without_room_changes_nothing),
		cmocka_unit_test(names_of_pci_devices_match_what_they_say),
		cmocka_unit_test(paths_of_images_stay_in_windows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
