/*
 * What a machine is, read from a directory that looks like /sys: what is there is
 * taken, what is missing or nonsense is left out, and never is it a failure.
 */
#define _GNU_SOURCE /* nftw */
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "agent/host/host_facts.h"
#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/layout/layout.h"

#define EFI "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

struct world {
	char dir[64];
	struct layout *l;
	struct err err;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	w->l = calloc(1, sizeof(*w->l));
	strcpy(w->dir, "/tmp/hf-facts-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	*state = w;
	return 0;
}

static int
take_away(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	nftw(w->dir, take_away, 8, FTW_DEPTH | FTW_PHYS);
	free(w->l);
	free(w);
	return 0;
}

/* A file below the directory, which is made. */
static void
file(const struct world *w, const char *name, const void *p, size_t len)
{
	char path[400];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", w->dir, name);
	for (char *s = path + 1; (s = strchr(s, '/')) != NULL; s++) {
		*s = '\0';
		mkdir(path, 0700);
		*s = '/';
	}
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	fclose(f);
}

static void
text(const struct world *w, const char *name, const char *line)
{
	file(w, name, line, strlen(line));
}

static void
driver(const struct world *w, const char *device, const char *name)
{
	char path[400], to[100];

	snprintf(path, sizeof(path), "%s/%s/driver", w->dir, device);
	snprintf(to, sizeof(to), "../../../../bus/pci/drivers/%s", name);
	assert_int_equal(symlink(to, path), 0);
}

#define AHCI "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01"
#define E1000 "pci:v00008086d000010D3sv00008086sd00000000bc02sc00i00"
#define VGA "pci:v00001234d00001111sv00001AF4sd00001100bc03sc00i00"

static void
a_machine(const struct world *w)
{
	text(w, "class/dmi/id/product_uuid", "4c4c4544-0042-3510-8033-b8c04f4e3732\n");
	text(w, "class/dmi/id/sys_vendor", "QEMU \n");
	text(w, "class/dmi/id/product_name", "Standard \x01PC\n");
	text(w, "bus/pci/devices/0000:00:1f.2/modalias", AHCI "\n");
	driver(w, "bus/pci/devices/0000:00:1f.2", "ahci");
	text(w, "bus/pci/devices/0000:00:02.0/modalias", E1000 "\n");
	text(w, "bus/pci/devices/0000:00:01.0/modalias", VGA "\n");
	text(w, "bus/virtio/devices/virtio0/modalias", "virtio:d00000002v00001AF4\n");
	text(w, "bus/vmbus/devices/a/modalias",
	    "vmbus:635161f83edfc546913ff2d2f965ed0e\n");
	text(w, "class/net/eth0/address", "52:54:00:12:34:56\n");
	text(w, "class/net/eth0/device/x", "");
	text(w, "class/net/lo/address", "00:00:00:00:00:00\n");
	text(w, "class/net/eth1/address", "nonsense\n");
	text(w, "class/net/eth1/device/x", "");
}

static void
what_is_there_is_taken(void **state)
{
	static const uint8_t uuid[16] = { 0x4c, 0x4c, 0x45, 0x44, 0, 0x42, 0x35, 0x10,
		0x80, 0x33, 0xb8, 0xc0, 0x4f, 0x4e, 0x37, 0x32 };
	static const uint8_t mac[6] = { 0x52, 0x54, 0, 0x12, 0x34, 0x56 };
	struct world *w = *state;

	a_machine(w);
	host_facts_read(w->dir, w->l);
	assert_int_equal(w->l->firmware, LAYOUT_BIOS);
	assert_memory_equal(w->l->uuid, uuid, 16);
	assert_string_equal(w->l->vendor, "QEMU");
	assert_string_equal(w->l->product, "Standard ?PC");
	assert_int_equal(w->l->devices_count, 4);
	assert_string_equal(w->l->devices[0].modalias, E1000);
	assert_int_equal(w->l->devices[0].kind, LAYOUT_NETWORK);
	assert_string_equal(w->l->devices[0].driver, "");
	assert_string_equal(w->l->devices[1].modalias, AHCI);
	assert_int_equal(w->l->devices[1].kind, LAYOUT_STORAGE);
	assert_string_equal(w->l->devices[1].driver, "ahci");
	assert_int_equal(w->l->devices[2].kind, LAYOUT_STORAGE);
	assert_int_equal(w->l->devices[3].kind, LAYOUT_NETWORK);
	assert_int_equal(w->l->macs_count, 1);
	assert_memory_equal(w->l->macs[0], mac, 6);
}

/* A disk with a GPT, on which partition 1 has this GUID. */
static void
a_disk(struct layout *l, unsigned disk, uint8_t guid)
{
	struct layout_partition *p = &l->partitions[l->partitions_count++];

	l->disks_count = disk + 1;
	snprintf(l->disks[disk].name, sizeof(l->disks[disk].name), "disk%u", disk);
	l->disks[disk].table = LAYOUT_GPT;
	l->disks[disk].size = 1 << 30;
	l->disks[disk].sector_size = 512;
	l->disks[disk].boots = 1;
	p->disk = (uint16_t)disk;
	p->number = 1;
	p->offset = 1 << 20;
	p->length = 1 << 20;
	p->volume = LAYOUT_NO_VOLUME;
	memset(p->id, guid, 16);
}

/* An entry whose path has the partition with this GUID, as efivarfs gives it. */
static void
entry(const struct world *w, unsigned number, uint8_t guid)
{
	uint8_t v[4 + 4 + 2 + 4 + 42 + 4] = { 7, 0, 0, 0, 1, 0, 0, 0, 46, 0, 'W', 0, 0, 0,
		4, 1, 42, 0, 1 };
	char name[100];

	memset(v + 14 + 24, guid, 16);
	v[14 + 40] = v[14 + 41] = 2;
	memcpy(v + 14 + 42, "\x7f\xff\x04", 3);
	snprintf(name, sizeof(name), "firmware/efi/efivars/Boot%04X" EFI, number);
	file(w, name, v, sizeof(v));
}

static void
boot_entries_of_our_disks_are_kept_in_order(void **state)
{
	struct world *w = *state;

	a_machine(w);
	a_disk(w->l, 0, 0xaa);
	a_disk(w->l, 1, 0xbb);
	file(w, "firmware/efi/efivars/SecureBoot" EFI, "\6\0\0\0\1", 5);
	/* Another disk's, ours, one that is not there, ours once more. */
	file(w, "firmware/efi/efivars/BootOrder" EFI, "\7\0\0\0\x03\0\x1a\0\x09\0\x02\0",
	    12);
	entry(w, 3, 0xcc);
	entry(w, 0x1a, 0xbb);
	entry(w, 2, 0xbb);
	host_facts_read(w->dir, w->l);
	assert_int_equal(w->l->firmware, LAYOUT_UEFI);
	assert_int_equal(w->l->secure_boot, 1);
	assert_int_equal(w->l->entries_count, 2);
	assert_int_equal(w->l->entries[0].number, 0x1a);
	assert_int_equal(w->l->entries[1].number, 2);
	assert_int_equal(w->l->entries[0].len, 56);
	/* They say what boots. */
	assert_int_equal(w->l->disks[0].boots, 0);
	assert_int_equal(w->l->disks[1].boots, 1);
}

static void
nothing_there_is_nothing_known(void **state)
{
	struct world *w = *state;
	struct layout none;

	memset(&none, 0, sizeof(none));
	host_facts_read(w->dir, w->l);
	assert_memory_equal(w->l, &none, sizeof(none));
	text(w, "class/dmi/id/product_uuid", "4c4c4544-0042\n");
	text(w, "class/dmi/id/sys_vendor", "");
	file(w, "firmware/efi/efivars/BootOrder" EFI, "\7\0", 2);
	host_facts_read(w->dir, w->l);
	assert_int_equal(w->l->uuid[0], 0);
	assert_int_equal(w->l->entries_count, 0);
}

static void
what_does_not_fit_is_left_out(void **state)
{
	struct buf b = BUF_INIT(LAYOUT_LEN_MAX);
	struct layout *back = calloc(1, sizeof(*back));
	struct world *w = *state;

	a_disk(w->l, 0, 0xaa);
	w->l->partitions[0].volume = 0;
	w->l->firmware = LAYOUT_UEFI;
	w->l->devices_count = LAYOUT_DEVICES_MAX;
	for (unsigned i = 0; i < LAYOUT_DEVICES_MAX; i++)
		memset(w->l->devices[i].modalias, 'm', LAYOUT_TEXT_MAX - 1);
	w->l->entries_count = LAYOUT_ENTRIES_MAX;
	for (unsigned i = 0; i < LAYOUT_ENTRIES_MAX; i++)
		w->l->entries[i].len = LAYOUT_ENTRY_MAX;
	assert_int_equal(host_facts_pack(w->l, &b, &w->err), 0);
	assert_int_equal(layout_parse(b.p, b.len, 1, back, &w->err), 0);
	assert_int_equal(back->partitions_count, 1);
	assert_int_equal(back->firmware, LAYOUT_UEFI);
	assert_int_equal(back->entries_count, 0);
	assert_in_range(back->devices_count, 40, LAYOUT_DEVICES_MAX - 1);
	/* As many partitions as there may be, with the longest names: still a backup. */
	buf_clear(&b);
	w->l->partitions_count = LAYOUT_PARTITIONS_MAX;
	w->l->disks[0].size = LAYOUT_PARTITIONS_MAX * 512;
	for (unsigned i = 0; i < LAYOUT_PARTITIONS_MAX; i++) {
		w->l->partitions[i] = w->l->partitions[0];
		w->l->partitions[i].offset = i * UINT64_C(512);
		w->l->partitions[i].length = 512;
		memset(w->l->partitions[i].label, 'n', 108);
	}
	assert_int_equal(host_facts_pack(w->l, &b, &w->err), 0);
	assert_int_equal(layout_parse(b.p, b.len, 1, back, &w->err), 0);
	assert_int_equal(back->partitions_count, LAYOUT_PARTITIONS_MAX);
	assert_int_equal(back->devices_count, 0);
	assert_int_equal(strlen(back->partitions[0].label), 108);
	assert_string_equal(back->partitions[LAYOUT_PARTITIONS_MAX - 1].label, "");
	buf_free(&b);
	free(back);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_there_is_taken),
		TEST(boot_entries_of_our_disks_are_kept_in_order),
		TEST(nothing_there_is_nothing_known),
		TEST(what_does_not_fit_is_left_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
