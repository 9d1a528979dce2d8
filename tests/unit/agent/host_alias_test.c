/* Controllers as Linux names them, from Windows' ids; who a machine is, from SMBIOS. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "agent/host/host_alias.h"
#include "agent/host/host_smbios.h"
#include "proto/base/bytes.h"
#include "proto/layout/layout.h"

#define MAKE(ids, out) host_alias_make(ids "\0", sizeof(ids "\0"), out, sizeof(out))

static void
pci_ids_become_modaliases(void **state)
{
	char out[128];

	(void)state;
	/* An AHCI controller of QEMU's q35, as Windows lists its hardware ids. */
	assert_int_equal(MAKE("PCI\\VEN_8086&DEV_2922&SUBSYS_11001AF4&REV_02\0"
			      "PCI\\VEN_8086&DEV_2922&SUBSYS_11001AF4\0PCI\\VEN_8086&DEV_"
			      "2922&CC_010601\0"
			      "PCI\\VEN_8086&DEV_2922&CC_0106\0",
			     out),
	    1);
	assert_string_equal(out, "pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01");
	assert_int_equal(host_alias_kind(out), LAYOUT_STORAGE);
	/* The class may be among the compatible ids alone. */
	assert_int_equal(MAKE("PCI\\VEN_1AF4&DEV_1000&SUBSYS_00011AF4&REV_00\0"
			      "PCI\\VEN_1AF4&DEV_1000&REV_00\0PCI\\VEN_1AF4&CC_020000\0"
			      "PCI\\CC_0200\0",
			     out),
	    1);
	assert_string_equal(out, "pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00");
	assert_int_equal(host_alias_kind(out), LAYOUT_NETWORK);
	assert_int_equal(MAKE("PCI\\VEN_15ad&DEV_07c0&CC_0107\0", out), 1);
	assert_string_equal(out, "pci:v000015ADd000007C0sv00000000sd00000000bc01sc07i00");
	assert_int_equal(MAKE("PCI\\VEN_8086&DEV_1237\0PCI\\CC_060000\0", out), 1);
	assert_int_equal(host_alias_kind(out), LAYOUT_OTHER);
}

static void
vmbus_ids_become_modaliases(void **state)
{
	char out[128];

	(void)state;
	assert_int_equal(MAKE("VMBUS\\{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f}\0", out), 1);
	assert_string_equal(out, "vmbus:d96361baa104294db60572e2ffb1dc7f");
	assert_int_equal(host_alias_kind(out), LAYOUT_STORAGE);
	assert_int_equal(MAKE("VMBUS\\{F8615163-DF3E-46c5-913F-F2D2F965ED0E}\0", out), 1);
	assert_string_equal(out, "vmbus:635161f83edfc546913ff2d2f965ed0e");
	assert_int_equal(host_alias_kind(out), LAYOUT_NETWORK);
}

static void
what_is_neither_or_cut_has_no_alias(void **state)
{
	static const char ids[] =
	    "PCI\\VEN_8086&DEV_2922&SUBSYS_11001AF4&REV_02\0VMBUS\\{ba6163d9}\0";
	char out[128];

	(void)state;
	assert_int_equal(MAKE("", out), 0);
	assert_int_equal(MAKE("ROOT\\SYSTEM\0ACPI\\PNP0A03\0", out), 0);
	assert_int_equal(MAKE("PCI\\VEN_80&DEV_2922\0", out), 0);
	assert_int_equal(MAKE("PCI\\VEN_\0", out), 0);
	assert_int_equal(MAKE("PCI\\\0", out), 0);
	assert_int_equal(MAKE("VMBUS\\{ba6163d9-04a1-4d29-b605-72e2ffb1dc7}\0", out), 0);
	assert_int_equal(
	    MAKE("VMBUS\\{ba6163d9-04a1-4d29-b605-72e2ffb1dc7f0}\0", out), 0);
	/* No byte behind the end is read, wherever it is. */
	for (size_t len = 0; len < sizeof(ids); len++) {
		char *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, ids, len);
		assert_int_equal(host_alias_make(cut, len, out, sizeof(out)), len > 44);
		free(cut);
	}
	assert_int_equal(host_alias_make(ids, sizeof(ids), out, 53), 0);
	assert_int_equal(host_alias_make(ids, sizeof(ids), out, 54), 1);
}

/* -------------------------------------------------------------------- SMBIOS -- */

/* A table of a firmware structure, then the system's, then an end. */
static size_t
table(uint8_t *p, uint8_t major, uint8_t minor)
{
	static const uint8_t uuid[16] = { 0x44, 0x45, 0x4c, 0x4c, 0x42, 0x00, 0x10, 0x35,
		0x80, 0x51, 0xc4, 0xc0, 0x4f, 0x33, 0x38, 0x32 };
	static const char texts[] = "  QEMU \0Standard\x01PC\0v1\0";
	size_t n = 8;

	memset(p, 0, 8);
	p[1] = major;
	p[2] = minor;
	memcpy(p + n, "\0\x18\0\0\1\2\0\0\3", 9);
	memset(p + n + 9, 0, 15);
	memcpy(p + n + 24, "SeaBIOS\0rel\0", 13);
	n += 24 + 13;
	memset(p + n, 0, 27);
	p[n] = 1;
	p[n + 1] = 27;
	p[n + 4] = 1;
	p[n + 5] = 2;
	memcpy(p + n + 8, uuid, 16);
	memcpy(p + n + 27, texts, sizeof(texts));
	n += 27 + sizeof(texts);
	memcpy(p + n, "\x7f\4\0\0\0", 6);
	n += 6;
	store_le32(p + 4, (uint32_t)(n - 8));
	return n;
}

static void
a_machine_is_known_by_its_tables(void **state)
{
	static const uint8_t linux_has[16] = { 0x4c, 0x4c, 0x45, 0x44, 0x00, 0x42, 0x35,
		0x10, 0x80, 0x51, 0xc4, 0xc0, 0x4f, 0x33, 0x38, 0x32 };
	struct layout *l = calloc(1, sizeof(*l));
	uint8_t p[256];
	size_t n = table(p, 2, 8);

	(void)state;
	host_smbios_parse(p, n, l);
	assert_string_equal(l->vendor, "QEMU");
	assert_string_equal(l->product, "Standard?PC");
	assert_memory_equal(l->uuid, linux_has, 16);
	/* Before 2.6 the numbers stood as they are written. */
	n = table(p, 2, 5);
	host_smbios_parse(p, n, l);
	assert_int_equal(l->uuid[0], 0x44);
	free(l);
}

static void
tables_that_lie_end_where_they_end(void **state)
{
	struct layout *l = calloc(1, sizeof(*l));
	uint8_t p[256];
	size_t n = table(p, 3, 0);

	(void)state;
	for (size_t len = 0; len <= n; len++) {
		uint8_t *cut = malloc(len > 0 ? len : 1);

		memcpy(cut, p, len);
		host_smbios_parse(cut, len, l);
		free(cut);
	}
	for (size_t at = 0; at < n; at++)
		for (unsigned v = 0; v < 256; v += 5) {
			uint8_t *bad = malloc(n);

			memcpy(bad, p, n);
			bad[at] = (uint8_t)v;
			host_smbios_parse(bad, n, l);
			free(bad);
		}
	/* Not set is not there. */
	memset(l, 0xee, sizeof(*l));
	memset(p + 8 + 37 + 8, 0xff, 16);
	host_smbios_parse(p, n, l);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(l->uuid[i], 0);
	free(l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pci_ids_become_modaliases),
		cmocka_unit_test(vmbus_ids_become_modaliases),
		cmocka_unit_test(what_is_neither_or_cut_has_no_alias),
		cmocka_unit_test(a_machine_is_known_by_its_tables),
		cmocka_unit_test(tables_that_lie_end_where_they_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
