/* Volumes and disks as Windows tells of them, and which of them are backed up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/disk/volumes.h"
#include "agent/host/settings.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define GUID(n) "\\\\?\\Volume{" n "-d990-11dc-99ae-806e6f6e6963}\\"
#define G(n) "\\\\?\\Volume{" n "-d990-11dc-99ae-806e6f6e6963}"
#define GB (1024ull * 1024 * 1024)

/* -------------------------------------------------------------------- machines -- */

static struct volumes_disk *
disk(struct volumes *v, uint32_t number, uint8_t table)
{
	struct volumes_disk *d = &v->disks[v->disks_count++];

	d->number = number;
	d->size = 100 * GB;
	d->sector_size = 512;
	d->table = table;
	return d;
}

/* `paths` ends with two NULs. */
static struct volumes_volume *
volume(struct volumes *v, const char *guid, const char *paths, size_t paths_len,
    const char *label, uint32_t on, uint64_t offset)
{
	struct volumes_volume *one = &v->volumes[v->count++];

	strcpy(one->guid, guid);
	memcpy(one->paths, paths, paths_len);
	strcpy(one->label, label);
	strcpy(one->fs, "NTFS");
	one->size = 10 * GB;
	one->fixed = 1;
	one->extents_count = 1;
	one->extents[0].disk = on;
	one->extents[0].offset = offset;
	one->extents[0].length = one->size;
	return one;
}

#define VOLUME(v, n, paths, label, on, offset) \
	volume(v, GUID(n), paths "\0", sizeof(paths "\0"), label, on, offset)

/* Disk 0 with C:, D: and one without a letter; disk 1 with a mounted directory. */
static struct volumes *
machine(void)
{
	struct volumes *v = calloc(1, sizeof(*v));
	struct volumes_volume *c;

	assert_non_null(v);
	disk(v, 0, LAYOUT_GPT);
	disk(v, 1, LAYOUT_GPT);
	c = VOLUME(v, "00000001", "C:\\", "Windows", 0, GB);
	c->boot = 1;
	VOLUME(v, "00000002", "D:\\\0E:\\", "DATA", 0, 20 * GB);
	VOLUME(v, "00000003", "", "", 0, 40 * GB);
	VOLUME(v, "00000004", "C:\\mnt\\logs\\", "logs", 1, GB);
	return v;
}

static struct settings *
settings(const char *include, const char *exclude)
{
	struct settings *s = malloc(sizeof(*s));

	assert_non_null(s);
	settings_init(s);
	strcpy(s->include, include);
	strcpy(s->exclude, exclude);
	return s;
}

/* "disk0 disk1 C ...", names in order. */
static const char *
chosen(const struct settings *s)
{
	static char out[1024];
	const struct settings_volume *v;

	out[0] = '\0';
	for (unsigned i = 0; (v = settings_source(s, i)) != NULL; i++) {
		strcat(out, i > 0 ? " " : "");
		strcat(out, v->name);
	}
	return out;
}

static void
expect(struct volumes *v, const char *include, const char *exclude, const char *names,
    const char *note)
{
	struct settings *s = settings(include, exclude);
	struct err err = ERR_INIT;

	assert_int_equal(volumes_select(v, s, &err), 0);
	assert_string_equal(chosen(s), names);
	assert_string_equal(s->note, note);
	free(s);
}

static void
refuse(struct volumes *v, const char *include, const char *exclude, enum err_code code,
    const char *says)
{
	struct settings *s = settings(include, exclude);
	struct err err = ERR_INIT;

	assert_int_equal(volumes_select(v, s, &err), -1);
	assert_int_equal(err.code, code);
	if (strstr(err.text, says) == NULL)
		fail_msg("'%s' is not in '%s'", says, err.text);
	free(s);
}

/* --------------------------------------------------------------------- finding -- */

static void
volumes_are_found_by_any_of_their_names(void **state)
{
	static const struct {
		const char *spec;
		unsigned at;
	} specs[] = { { "C:", 0 }, { "c:\\", 0 }, { "c:/", 0 }, { "\\\\.\\C:", 0 },
		{ "D:", 1 }, { "E:", 1 }, { GUID("00000002"), 1 }, { G("00000002"), 1 },
		{ "\\\\.\\volume{00000002-D990-11dc-99ae-806e6f6e6963}", 1 },
		{ GUID("00000003"), 2 }, { "C:\\mnt\\logs", 3 }, { "c:/MNT/logs/", 3 },
		{ "label:DATA", 1 }, { "label:data", 1 }, { "label:logs", 3 } };
	struct volumes *v = machine();
	const struct volumes_volume *out;

	(void)state;
	for (size_t i = 0; i < sizeof(specs) / sizeof(specs[0]); i++) {
		struct err err = ERR_INIT;

		if (volumes_find(v, specs[i].spec, &out, &err) != 0)
			fail_msg("%s", err.text);
		assert_ptr_equal(out, &v->volumes[specs[i].at]);
	}
	volumes_free(v);
}

static void
what_names_none_or_several_is_an_error(void **state)
{
	static const char *const none[] = { "F:", "", "\\", "C", "C:\\mnt",
		"label:", "label:DAT", "label:DATA1", "\\\\.\\PhysicalDrive0", "\\\\.\\",
		GUID("00000009") };
	struct volumes *v = machine();
	const struct volumes_volume *out;
	struct err err = ERR_INIT;

	(void)state;
	for (size_t i = 0; i < sizeof(none) / sizeof(none[0]); i++) {
		err_clear(&err);
		assert_int_equal(volumes_find(v, none[i], &out, &err), -1);
		assert_int_equal(err.code, ERR_NOTFOUND);
	}
	strcpy(v->volumes[3].label, "Data");
	err_clear(&err);
	assert_int_equal(volumes_find(v, "label:DATA", &out, &err), -1);
	assert_int_equal(err.code, ERR_EXISTS);
	assert_non_null(strstr(err.text, "D:\\, C:\\mnt\\logs\\"));
	volumes_free(v);
}

/* ------------------------------------------------------------------- selection -- */

static void
nothing_configured_is_the_whole_machine(void **state)
{
	struct volumes *v = machine();

	(void)state;
	expect(v, "", "", "disk0 disk1", "");
	expect(v, "all", "", "disk0 disk1", "");
	/* One volume less; all of a disk's volumes less. */
	expect(v, "", "D:", "disk0 disk1", "");
	expect(v, "all", "label:logs", "disk0", "C:\\mnt\\logs\\ is left out");
	volumes_free(v);
}

static void
who_is_left_out_need_not_be_there(void **state)
{
	static const char *const nonsense[] = { "F", "label:", "F:x", "all", "Windows",
		"\\\\.\\PhysicalDrive0", "\\\\?\\Volume", "\\\\.\\HarddiskVolume3", "D" };
	struct volumes *v = machine();

	(void)state;
	expect(
	    v, "", "F:", "disk0 disk1", "F: is excluded, and no volume of this machine");
	expect(v, "", GUID("00000009"), "disk0 disk1",
	    GUID("00000009") " is excluded, and no volume of this machine");
	expect(v, "all", "C:\\mnt\\x, label:logs, label:x", "disk0",
	    "C:\\mnt\\logs\\ is left out; C:\\mnt\\x is excluded, and no volume of this "
	    "machine; label:x is excluded, and no volume of this machine");
	/* However many are not there, what is left out indeed is said. */
	expect(v, "all", "f:, g:, h:, i:, j:, label:logs", "disk0",
	    "C:\\mnt\\logs\\ is left out; f: is excluded, and no volume of this machine; "
	    "g: is excluded, and no volume of this machine; "
	    "h: is excluded, and no volume of this machine; "
	    "i: is excluded, and no volume of this machine...");
	expect(v, "C:", "f:\\", "C", "f:\\ is excluded, and no volume of this machine");
	/* What cannot be meant is no name of an absent one. */
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		refuse(v, "", nonsense[i], ERR_NOTFOUND, nonsense[i]);
		refuse(v, "C:", nonsense[i], ERR_NOTFOUND, "exclude");
	}
	strcpy(v->volumes[3].label, "Data");
	refuse(v, "", "label:DATA", ERR_EXISTS, "several volumes");
	volumes_free(v);
}

static void
guests_are_left_out_and_said(void **state)
{
	struct volumes *v = machine();
	struct volumes_disk *d = disk(v, 2, LAYOUT_MBR);

	(void)state;
	VOLUME(v, "00000005", "F:\\", "STICK", 2, GB);
	d->bus = 7;
	expect(v, "", "", "disk0 disk1",
	    "disk2 is removable, external or an image: left out");
	/* But by name. */
	expect(v, "F:", "", "F", "");
	/* A machine that runs from one is no guest's. */
	v->volumes[0].extents[0].disk = 2;
	expect(v, "", "", "disk0 disk1 disk2", "");
	volumes_free(v);
}

static void
of_dynamic_disks_the_volumes_are_read(void **state)
{
	struct volumes *v = machine();
	struct volumes_volume *x;

	(void)state;
	disk(v, 2, LAYOUT_GPT)->dynamic = 1;
	disk(v, 3, LAYOUT_GPT)->dynamic = 1;
	VOLUME(v, "00000005", "F:\\", "", 2, GB);
	x = VOLUME(v, "00000006", "G:\\", "", 2, 20 * GB);
	x->extents_count = 2;
	x->extents[1].disk = 3;
	expect(v, "", "", "F G disk0 disk1",
	    "disk2 is dynamic: its volumes are backed up, it is not laid out again; "
	    "disk3 "
	    "is dynamic: its volumes are backed up, it is not laid out again");
	/* Of a disk that is read the capture says it. */
	expect(v, "", "F:, C:", "G disk0 disk1",
	    "disk2 is dynamic: its volumes are backed up, it is not laid out again; "
	    "disk3 "
	    "is dynamic: its volumes are backed up, it is not laid out again; F:\\ is "
	    "left "
	    "out");
	volumes_free(v);
}

static void
pools_offline_and_bare_disks_are_said(void **state)
{
	struct volumes *v = machine();

	(void)state;
	disk(v, 2, LAYOUT_GPT)->pool = 1;
	disk(v, 3, LAYOUT_GPT)->offline = 1;
	disk(v, 4, LAYOUT_NO_TABLE);
	VOLUME(v, "00000005", "F:\\", "", 4, 0);
	VOLUME(v, "00000006", "G:\\", "", 3, GB);
	/* The space, a disk like others to Windows. */
	disk(v, 5, LAYOUT_GPT)->bus = 16;
	VOLUME(v, "00000007", "S:\\", "space", 5, GB);
	expect(v, "", "", "F disk0 disk1 disk5",
	    "disk2 belongs to a storage pool, which is not laid out again; disk3 is "
	    "offline: nothing of it is backed up; disk4 has no partition table: only its "
	    "volumes are backed up");
	volumes_free(v);
}

static void
a_disk_that_cannot_be_read_is_said_or_fails(void **state)
{
	struct volumes *v = machine();
	struct volumes_disk *d = disk(v, 2, LAYOUT_NO_TABLE);

	(void)state;
	d->unreadable = 1;
	strcpy(d->note, "CRC");
	expect(v, "", "", "disk0 disk1", "disk2 cannot be read: left out");
	v->volumes[0].extents[0].disk = 2;
	refuse(v, "", "", ERR_IO, "disk2: CRC");
	volumes_free(v);
}

static void
a_shadow_copy_needs_ntfs_and_room(void **state)
{
	struct volumes *v = machine();
	struct volumes_volume *one = &v->volumes[2];

	(void)state;
	assert_int_equal(volumes_freezable(one), 1);
	/* A recovery partition: hidden, small, full. */
	one->size = 499ull << 20;
	one->room = 26ull << 20;
	assert_int_equal(volumes_freezable(one), 0);
	one->room = 50ull << 20;
	assert_int_equal(volumes_freezable(one), 1);
	one->size = 900ull << 20;
	assert_int_equal(volumes_freezable(one), 0);
	one->room = 320ull << 20;
	assert_int_equal(volumes_freezable(one), 1);
	/* What people use is frozen, or fails aloud. */
	one->room = 0;
	strcpy(one->paths, "R:\\");
	assert_int_equal(volumes_freezable(one), 1);
	strcpy(one->fs, "FAT32");
	assert_int_equal(volumes_freezable(one), 0);
	one->fs[0] = '\0';
	assert_int_equal(volumes_freezable(one), 0);
	volumes_free(v);
}

static void
what_is_nowhere_is_said(void **state)
{
	struct volumes *v = machine();

	(void)state;
	VOLUME(v, "00000005", "R:\\", "ram", 0, 0)->extents_count = 0;
	expect(v, "", "", "disk0 disk1",
	    "R:\\ does not say how long it is or where: left out");
	v->volumes[4].fixed = 0;
	expect(v, "", "", "disk0 disk1", "");
	volumes_free(v);
}

static void
locked_volumes_are_an_error_until_left_out(void **state)
{
	struct volumes *v = machine();

	(void)state;
	v->volumes[1].bitlocker = VOLUMES_LOCKED;
	refuse(v, "", "", ERR_DENIED, "D:\\ is locked by BitLocker");
	refuse(v, "D:", "", ERR_DENIED, "D:\\ is locked by BitLocker");
	expect(v, "", "D:", "disk0 disk1", "");
	expect(v, "C:", "", "C", "");
	/* Nor does Windows say where it lies, or it is on no disk that is read whole. */
	v->volumes[1].size = 0;
	refuse(v, "", "", ERR_DENIED, "D:\\ is locked by BitLocker");
	v->volumes[1].extents_count = 0;
	refuse(v, "", "", ERR_DENIED, "D:\\ is locked by BitLocker");
	v->volumes[1].fixed = 0;
	expect(v, "", "", "disk0 disk1", "");
	volumes_free(v);
	v = machine();
	v->volumes[1].bitlocker = VOLUMES_UNLOCKED;
	/* Of a disk the capture says it. */
	expect(v, "", "", "disk0 disk1", "");
	expect(v, "D:", "", "D", "D:\\ is encrypted by BitLocker, its image is not");
	volumes_free(v);
}

static void
words_choose_volumes(void **state)
{
	struct volumes *v = machine();

	(void)state;
	expect(v, "C:, label:DATA ,C:\\mnt\\logs," GUID("00000003"), "",
	    "C D logs volume-00000003", "");
	refuse(v, "C:, F:", "", ERR_NOTFOUND, "F:");
	refuse(v, "C:, all", "", ERR_CORRUPT, "all");
	refuse(v, "C:, D:", "D:", ERR_EXISTS, "both included and excluded");
	/* Two with the same name stay apart, the same way each time. */
	strcpy(v->volumes[2].label, "logs");
	expect(v, "C:\\mnt\\logs, " GUID("00000003"), "", "logs logs-00000003", "");
	/* What no name may have. */
	strcpy(v->volumes[2].label, "my data/\xc3\xa9");
	expect(v, GUID("00000003"), "", "my_data___", "");
	volumes_free(v);
}

static void
paths_that_name_volumes_become_theirs(void **state)
{
	struct volumes *v = machine();
	struct settings *s = settings("", "");
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(settings_add(s, "a=label:DATA", &err), 0);
	assert_int_equal(settings_add(s, "b=C:\\mnt\\logs\\", &err), 0);
	assert_int_equal(settings_add(s, "c=X:", &err), 0);
	assert_int_equal(settings_add(s, "d=C:\\image.img", &err), 0);
	assert_int_equal(volumes_select(v, s, &err), 0);
	assert_string_equal(s->volumes[0].path, GUID("00000002"));
	assert_string_equal(s->volumes[1].path, GUID("00000004"));
	assert_string_equal(s->volumes[2].path, "X:");
	assert_string_equal(s->volumes[3].path, "C:\\image.img");
	/* With words as well: both. */
	strcpy(s->include, "C:");
	assert_int_equal(volumes_select(v, s, &err), 0);
	assert_string_equal(chosen(s), "a b c d C");
	assert_int_equal(settings_add(s, "e=label:none", &err), 0);
	s->include[0] = '\0';
	assert_int_equal(volumes_select(v, s, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	free(s);
	volumes_free(v);
}

static void
nothing_there_is_an_error(void **state)
{
	struct volumes *v = calloc(1, sizeof(*v));

	(void)state;
	refuse(v, "", "", ERR_NOTFOUND, "no disk or volume");
	volumes_free(v);
}

static void
a_long_note_says_that_there_was_more(void **state)
{
	struct volumes *v = machine();
	struct settings *s = settings("", "");
	struct err err = ERR_INIT;
	size_t n;

	(void)state;
	for (unsigned i = 2; i < 40; i++)
		disk(v, i, LAYOUT_GPT)->pool = 1;
	assert_int_equal(volumes_select(v, s, &err), 0);
	n = strlen(s->note);
	assert_true(n < sizeof(s->note));
	assert_string_equal(s->note + n - 6, "ain...");
	free(s);
	volumes_free(v);
}

/* --------------------------------------------------------------------- answers -- */

static void
pieces_are_read_from_what_windows_answers(void **state)
{
	/* VOLUME_DISK_EXTENTS of a volume spanned over disks 1 and 2 (winioctl.h). */
	uint8_t p[56] = { 0 }, many[8 + 24 * (VOLUMES_EXTENTS_MAX + 1)];
	struct volumes_volume v = { .guid = "x" };
	struct err err = ERR_INIT;

	(void)state;
	store_le32(p, 2);
	store_le32(p + 8, 1);
	store_le64(p + 16, 1024 * 1024);
	store_le64(p + 24, 5 * GB);
	store_le32(p + 32, 2);
	store_le64(p + 40, 64512);
	store_le64(p + 48, 7 * GB);
	assert_int_equal(volumes_parse_extents(p, sizeof(p), &v, &err), 0);
	assert_int_equal(v.extents_count, 2);
	assert_null(volumes_piece(&v));
	assert_int_equal(v.extents[0].disk, 1);
	assert_int_equal(v.extents[0].offset, 1024 * 1024);
	assert_int_equal(v.extents[1].disk, 2);
	assert_int_equal(v.extents[1].length, 7 * GB);
	/* Cut anywhere, it is an error and nothing past its end is read. */
	for (size_t len = 0; len < sizeof(p); len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, p, len);
		err_clear(&err);
		assert_int_equal(volumes_parse_extents(cut, len, &v, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		free(cut);
	}
	err_clear(&err);
	store_le32(p, UINT32_MAX);
	assert_int_equal(volumes_parse_extents(p, sizeof(p), &v, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	memset(many, 1, sizeof(many));
	store_le32(many, VOLUMES_EXTENTS_MAX + 1);
	err_clear(&err);
	assert_int_equal(volumes_parse_extents(many, sizeof(many), &v, &err), 0);
	assert_int_equal(v.extents_count, VOLUMES_EXTENTS_MAX);
	err_clear(&err);
	store_le32(p, 1);
	store_le64(p + 16, UINT64_MAX);
	assert_int_equal(volumes_parse_extents(p, sizeof(p), &v, &err), -1);
}

static void
a_disks_descriptor_tells_model_and_serial(void **state)
{
	/* STORAGE_DEVICE_DESCRIPTOR (winioctl.h), texts behind its 36 bytes and more. */
	uint8_t p[96] = { 0 };
	struct volumes_disk d;

	(void)state;
	p[10] = 1;
	store_le32(p + 12, 40);
	memcpy(p + 40, "  NVMe  ", 9);
	store_le32(p + 16, 50);
	memcpy(p + 50, "SAMSUNG \x01 X ", 13);
	store_le32(p + 24, 70);
	memcpy(p + 70, "   S123", 8);
	p[28] = 17;
	volumes_parse_descriptor(p, sizeof(p), &d);
	assert_string_equal(d.model, "NVMe SAMSUNG ? X");
	assert_string_equal(d.serial, "S123");
	assert_int_equal(d.bus, 17);
	assert_int_equal(d.removable, 1);
	for (size_t len = 0; len <= sizeof(p); len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, p, len);
		volumes_parse_descriptor(cut, len, &d);
		free(cut);
	}
	/* Offsets to nowhere, texts without an end. */
	memset(p + 12, 0xff, 16);
	volumes_parse_descriptor(p, sizeof(p), &d);
	assert_string_equal(d.model, "");
	memset(p + 36, 'x', sizeof(p) - 36);
	store_le32(p + 16, 36);
	volumes_parse_descriptor(p, sizeof(p), &d);
	assert_int_equal(strlen(d.model), 60);
}

static void
page_files_are_read_from_the_registry(void **state)
{
	static const char existing[] =
	    "\\?\?\\C:\\pagefile.sys\0\\?\?\\d:\\pagefile.sys\0";
	static const char wished[] = "?:\\pagefile.sys\0E:\\page.sys 16 4096\0";

	(void)state;
	assert_int_equal(volumes_page_files(existing, sizeof(existing)), 1 << 2 | 1 << 3);
	assert_int_equal(volumes_page_files(wished, sizeof(wished)), 1 << 4);
	assert_int_equal(volumes_page_files("", 1), 0);
	assert_int_equal(volumes_page_files("", 0), 0);
	assert_int_equal(volumes_page_files("\\?\?\\", 4), 0);
	assert_int_equal(volumes_page_files("C", 1), 0);
}

static void
bitlocker_is_seen_on_the_disk(void **state)
{
	uint8_t sector[512] = { 0xeb, 0x58, 0x90 };
	static const uint8_t to_go[16] = { 0x3b, 0xd6, 0x67, 0x49, 0x29, 0x2e, 0xd8, 0x4a,
		0x83, 0x99, 0xf6, 0xa3, 0x39, 0xe3, 0xd0, 0x01 };

	(void)state;
	memcpy(sector + 3, "NTFS    ", 8);
	assert_int_equal(volumes_encrypted(sector), 0);
	memcpy(sector + 3, "-FVE-FS-", 8);
	assert_int_equal(volumes_encrypted(sector), 1);
	memcpy(sector + 3, "MSWIN4.1", 8);
	assert_int_equal(volumes_encrypted(sector), 0);
	memcpy(sector + 424, to_go, 16);
	assert_int_equal(volumes_encrypted(sector), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(volumes_are_found_by_any_of_their_names),
		cmocka_unit_test(what_names_none_or_several_is_an_error),
		cmocka_unit_test(nothing_configured_is_the_whole_machine),
		cmocka_unit_test(who_is_left_out_need_not_be_there),
		cmocka_unit_test(guests_are_left_out_and_said),
		cmocka_unit_test(of_dynamic_disks_the_volumes_are_read),
		cmocka_unit_test(pools_offline_and_bare_disks_are_said),
		cmocka_unit_test(a_disk_that_cannot_be_read_is_said_or_fails),
		cmocka_unit_test(a_shadow_copy_needs_ntfs_and_room),
		cmocka_unit_test(what_is_nowhere_is_said),
		cmocka_unit_test(locked_volumes_are_an_error_until_left_out),
		cmocka_unit_test(words_choose_volumes),
		cmocka_unit_test(paths_that_name_volumes_become_theirs),
		cmocka_unit_test(nothing_there_is_an_error),
		cmocka_unit_test(a_long_note_says_that_there_was_more),
		cmocka_unit_test(pieces_are_read_from_what_windows_answers),
		cmocka_unit_test(a_disks_descriptor_tells_model_and_serial),
		cmocka_unit_test(page_files_are_read_from_the_registry),
		cmocka_unit_test(bitlocker_is_seen_on_the_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
