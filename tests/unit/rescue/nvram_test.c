/* Boot entries go first, replace their like, and leave all others as they were. */
#include <dirent.h>
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
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "rescue/esp.h"
#include "rescue/nvram.h"

#define GLOBAL "-8be4df61-93ca-11d2-aa0d-00e098032b8c"

static char dir[64];
static struct nvram_entry entries[NVRAM_ENTRIES_MAX];

static int
setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/holdfast-nvram-XXXXXX");
	memset(entries, 0, sizeof(entries));
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
path_of(const char *name, char out[256])
{
	snprintf(out, 256, "%s/%s", dir, name);
}

static void
put(const char *name, const void *p, size_t len)
{
	char path[256];
	FILE *f;

	path_of(name, path);
	f = fopen(path, "wb");
	assert_non_null(f);
	assert_int_equal(fwrite(p, 1, len, f), len);
	assert_int_equal(fclose(f), 0);
}

static size_t
get(const char *name, uint8_t *out, size_t room)
{
	char path[256];
	size_t n;
	FILE *f;

	path_of(name, path);
	if ((f = fopen(path, "rb")) == NULL)
		return 0;
	n = fread(out, 1, room, f);
	fclose(f);
	return n;
}

/* An entry's bytes: a loader `path` on a partition whose GUID is all `id`. */
static size_t
option(const char *name, uint8_t id, const char *path, uint8_t *out)
{
	struct loadopt_drive d = { 1, 2048, 1000, { 0 } };
	struct buf b = BUF_INIT(LOADOPT_LEN_MAX);
	struct err err = ERR_INIT;
	size_t len;

	memset(d.id, id, sizeof(d.id));
	assert_int_equal(loadopt_make(name, &d, path, &b, &err), 0);
	len = b.len;
	memcpy(out, b.p, len);
	buf_free(&b);
	return len;
}

static void
have_entry(const char *file, const char *name, uint8_t id, const char *path)
{
	uint8_t raw[4 + LOADOPT_LEN_MAX] = { 7 };

	put(file, raw, 4 + option(name, id, path, raw + 4));
}

static void
want_entry(unsigned i, uint16_t number, const char *name, uint8_t id, const char *path)
{
	entries[i].number = number;
	entries[i].len = option(name, id, path, entries[i].option);
}

static void
have_order(unsigned n, const uint16_t *order)
{
	uint8_t raw[64] = { 7 };
	unsigned i;

	for (i = 0; i < n; i++)
		store_le16(raw + 4 + 2 * (size_t)i, order[i]);
	put("BootOrder" GLOBAL, raw, 4 + 2 * (size_t)n);
}

static void
order_is(unsigned n, const uint16_t *order)
{
	uint8_t raw[64];
	unsigned i;

	assert_int_equal(get("BootOrder" GLOBAL, raw, sizeof(raw)), 4 + 2 * n);
	assert_int_equal(load_le32(raw), 7);
	for (i = 0; i < n; i++)
		assert_int_equal(load_le16(raw + 4 + 2 * (size_t)i), order[i]);
}

static void
add(unsigned n)
{
	struct err err = ERR_INIT;

	if (nvram_add(dir, entries, n, &err) != 0)
		fail_msg("%s", err.text);
}

#define ORDER(...)                                                        \
	(unsigned)(sizeof((uint16_t[]){ __VA_ARGS__ }) / 2), (uint16_t[]) \
	{                                                                 \
		__VA_ARGS__                                               \
	}

static void
test_first_of_an_empty_machine(void **state)
{
	uint8_t raw[4 + LOADOPT_LEN_MAX];

	(void)state;
	want_entry(0, 3, "Windows Boot Manager", 1, "\\EFI\\x.efi");
	add(1);
	order_is(ORDER(3));
	assert_int_equal(get("Boot0003" GLOBAL, raw, sizeof(raw)), 4 + entries[0].len);
	assert_int_equal(load_le32(raw), 7);
	assert_memory_equal(raw + 4, entries[0].option, entries[0].len);
}

static void
test_others_stay(void **state)
{
	uint8_t before[4200], after[4200];
	size_t n;

	(void)state;
	have_entry("Boot0000" GLOBAL, "network", 9, "\\net");
	have_entry("Boot0003" GLOBAL, "another system", 8, "\\EFI\\other.efi");
	put("Boot00AF" GLOBAL, "\7\0\0\0rubbish", 11);
	have_order(ORDER(0, 3, 0xaf));
	n = get("Boot0003" GLOBAL, before, sizeof(before));
	want_entry(0, 3, "Windows", 1, "\\EFI\\x.efi");
	add(1);
	assert_int_equal(entries[0].number, 1); /* 3 is another's. */
	order_is(ORDER(1, 0, 3, 0xaf));
	assert_int_equal(get("Boot0003" GLOBAL, after, sizeof(after)), n);
	assert_memory_equal(before, after, n);
	assert_int_equal(get("Boot00AF" GLOBAL, after, sizeof(after)), 11);
}

static void
test_the_same_is_replaced(void **state)
{
	uint8_t raw[4200];

	(void)state;
	have_entry("Boot0000" GLOBAL, "network", 9, "\\net");
	have_entry(
	    "Boot0005" GLOBAL, "a much longer name than the new one", 1, "\\EFI\\X.EFI");
	have_order(ORDER(0, 5));
	want_entry(0, 2, "Windows", 1, "\\EFI\\x.efi");
	add(1);
	order_is(ORDER(5, 0));
	assert_int_equal(get("Boot0005" GLOBAL, raw, sizeof(raw)), 4 + entries[0].len);
	assert_int_equal(get("Boot0002" GLOBAL, raw, sizeof(raw)), 0);
	add(1); /* A second restore changes nothing. */
	order_is(ORDER(5, 0));
}

static void
test_twins_go(void **state)
{
	uint8_t raw[4200];
	int five, six;

	(void)state;
	have_entry("Boot0005" GLOBAL, "Windows", 1, "\\EFI\\x.efi");
	have_entry("Boot0006" GLOBAL, "Windows", 1, "\\EFI\\x.efi");
	have_order(ORDER(6, 5));
	want_entry(0, 2, "Windows", 1, "\\EFI\\x.efi");
	add(1);
	five = get("Boot0005" GLOBAL, raw, sizeof(raw)) > 0;
	six = get("Boot0006" GLOBAL, raw, sizeof(raw)) > 0;
	assert_int_equal(five + six, 1);
	order_is(ORDER(five ? 5 : 6));
}

static void
test_several_in_their_order(void **state)
{
	(void)state;
	have_entry("Boot0001" GLOBAL, "debian", 1, "\\EFI\\debian\\shimx64.efi");
	have_order(ORDER(1));
	want_entry(0, 4, "Windows", 1, "\\EFI\\x.efi");
	want_entry(1, 7, "debian", 1, "\\EFI\\debian\\shimx64.efi");
	want_entry(2, 4, "third", 1, "\\EFI\\y.efi");
	add(3);
	order_is(ORDER(4, 1, 0));
}

/* A shim that is told to start something else (fwupd's) is another entry. */
static void
test_other_data_is_another_entry(void **state)
{
	uint8_t raw[4 + LOADOPT_LEN_MAX] = { 7 };
	size_t n;

	(void)state;
	have_entry("Boot0001" GLOBAL, "debian", 1, "\\EFI\\debian\\shimx64.efi");
	n = 4 + option("updater", 1, "\\EFI\\debian\\shimx64.efi", raw + 4);
	memcpy(raw + n, "fwup", 4);
	put("Boot0002" GLOBAL, raw, n + 4);
	have_order(ORDER(2, 1));
	want_entry(0, 0, "debian", 1, "\\EFI\\debian\\shimx64.efi");
	add(1);
	order_is(ORDER(1, 2));
	assert_int_equal(get("Boot0002" GLOBAL, raw, sizeof(raw)), n + 4);
}

/* Two of the point that are alike find the two of the machine, each time again. */
static void
test_twins_of_the_point(void **state)
{
	(void)state;
	want_entry(0, 4, "one", 1, "\\EFI\\x.efi");
	want_entry(1, 7, "two", 1, "\\EFI\\x.efi");
	add(2);
	order_is(ORDER(4, 7));
	add(2);
	assert_int_equal(entries[0].number + entries[1].number, 4 + 7);
}

static void
cannot_add(unsigned n, const char *why)
{
	struct err err = ERR_INIT;

	assert_int_equal(nvram_add(dir, entries, n, &err), -1);
	if (strstr(err.text, why) == NULL)
		fail_msg("%s", err.text);
}

/* An order that cannot be read is not replaced by ours alone. */
static void
test_an_order_that_cannot_be_read(void **state)
{
	static uint8_t raw[4 + 1026] = { 7 };
	char path[256];

	(void)state;
	want_entry(0, 4, "Windows", 1, "\\EFI\\x.efi");
	put("BootOrder" GLOBAL, raw, sizeof(raw));
	cannot_add(1, "BootOrder");
	assert_int_equal(get("BootOrder" GLOBAL, raw, sizeof(raw)), sizeof(raw));
	path_of("BootOrder" GLOBAL, path);
	unlink(path);
	assert_int_equal(mkdir(path, 0700), 0); /* read() gives an error. */
	cannot_add(1, "BootOrder");
	assert_int_equal(get("Boot0004" GLOBAL, raw, sizeof(raw)), 0);
}

/* A firmware that has no room left: all others stay, of ours nothing is left. */
static void
test_full(void **state)
{
	struct rlimit before, little;
	uint8_t raw[64];

	(void)state;
	have_entry("Boot0000" GLOBAL, "network", 9, "\\net");
	have_order(ORDER(0));
	want_entry(0, 1, "one", 1, "\\EFI\\x.efi");
	want_entry(1, 2, "two", 1, "\\EFI\\a-longer-name-than-the-other.efi");
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	little = before;
	little.rlim_cur = 4 + entries[0].len;
	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &little), 0);
	cannot_add(2, "Boot0002");
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	order_is(ORDER(0));
	assert_true(get("Boot0000" GLOBAL, raw, sizeof(raw)) > 0);
	assert_int_equal(get("Boot0001" GLOBAL, raw, sizeof(raw)), 0);
	assert_int_equal(get("Boot0002" GLOBAL, raw, sizeof(raw)), 0);
}

static void
test_no_such_directory(void **state)
{
	struct err err = ERR_INIT;

	(void)state;
	want_entry(0, 4, "Windows", 1, "\\EFI\\x.efi");
	assert_int_equal(nvram_add("/nonexistent/efivars", entries, 1, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
}

/* ----------------------------------------------------------------------- ESP -- */

static void
make(const char *name)
{
	char path[256];

	path_of(name, path);
	assert_int_equal(mkdir(path, 0755), 0);
}

static void
test_loaders(void **state)
{
	struct esp_loader l[ESP_LOADERS_MAX];

	(void)state;
	assert_int_equal(esp_loaders(dir, l), 0);
	make("efi");
	make("efi/microsoft");
	make("efi/microsoft/Boot");
	make("efi/debian");
	make("efi/Boot");
	put("efi/Boot/bootx64.efi", "f", 1);
	put("efi/debian/grubx64.efi", "g", 1);
	put("efi/debian/shimx64.efi", "s", 1);
	assert_int_equal(esp_loaders(dir, l), 1);
	assert_string_equal(l[0].path, "\\EFI\\debian\\shimx64.efi");
	assert_string_equal(l[0].description, "debian");
	put("efi/microsoft/Boot/BOOTMGFW.EFI", "w", 1);
	assert_int_equal(esp_loaders(dir, l), 2);
	assert_string_equal(l[0].path, "\\EFI\\Microsoft\\Boot\\bootmgfw.efi");
	assert_string_equal(l[0].description, "Windows Boot Manager");
}

static void
test_fallback(void **state)
{
	struct err err = ERR_INIT;
	uint8_t raw[16];

	(void)state;
	make("EFI");
	make("EFI/x");
	put("EFI/x/l.efi", "loader", 6);
	assert_int_equal(esp_fallback(dir, "\\EFI\\y.efi", &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	assert_int_equal(esp_fallback(dir, "\\EFI\\..\\..\\etc\\passwd", &err), -1);
	err_clear(&err);
	assert_int_equal(esp_fallback(dir, "\\efi\\X\\L.EFI", &err), 1);
	assert_int_equal(get("EFI/BOOT/BOOTX64.EFI", raw, sizeof(raw)), 6);
	put("EFI/BOOT/BOOTX64.EFI", "own", 3);
	assert_int_equal(esp_fallback(dir, "\\EFI\\x\\l.efi", &err), 0);
	assert_int_equal(get("EFI/BOOT/BOOTX64.EFI", raw, sizeof(raw)), 3);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_first_of_an_empty_machine),
		TEST(test_others_stay),
		TEST(test_the_same_is_replaced),
		TEST(test_twins_go),
		TEST(test_several_in_their_order),
		TEST(test_other_data_is_another_entry),
		TEST(test_twins_of_the_point),
		TEST(test_an_order_that_cannot_be_read),
		TEST(test_full),
		TEST(test_no_such_directory),
		TEST(test_loaders),
		TEST(test_fallback),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
