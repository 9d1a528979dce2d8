/*
 * A VHDX target: qemu-img and a reader of our own find no fault in it and read the bytes
 * that were written, whatever the size, the sectors and the order; until it is finished
 * it is none.
 */
#include <fcntl.h>
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

#include "agent/restore/target.h"
#include "agent/restore/vhdx.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

struct world {
	char dir[64], vhdx[96], raw[96];
	struct target *t;
	struct err err;
};

static int
set_up(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	strcpy(w->dir, "/tmp/hf-vhdx-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->vhdx, sizeof(w->vhdx), "%s/disk.vhdx", w->dir);
	snprintf(w->raw, sizeof(w->raw), "%s/disk.raw", w->dir);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	unlink(w->vhdx);
	unlink(w->raw);
	rmdir(w->dir);
	free(w);
	return 0;
}

static void
shell(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("%s", cmd);
}

static void
open_ok(struct world *w, uint64_t size, uint32_t sector)
{
	if (target_open(
		w->vhdx, size, sector, TARGET_VHDX | TARGET_REPLACE, &w->t, &w->err) != 0)
		fail_msg("%s", w->err.text);
	assert_int_equal(target_fresh(w->t), 1);
	assert_int_equal(target_in_place(w->t), 0);
}

/* Write the same to the VHDX and to a raw file. */
static void
put(struct world *w, int raw, uint64_t offset, size_t len, int byte)
{
	uint8_t *p = malloc(len), *back = malloc(len);

	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(byte + (int)i * 3);
	assert_int_equal(target_write(w->t, offset, p, len, &w->err), 0);
	assert_int_equal(target_read(w->t, offset, back, len, &w->err), 0);
	assert_memory_equal(p, back, len);
	assert_int_equal(pwrite(raw, p, len, (off_t)offset), len);
	free(p);
	free(back);
}

static int
raw_of(struct world *w, uint64_t size)
{
	int fd = open(w->raw, O_RDWR | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/*
 * vhdx.py reads what the specification says.  QEMU knows no sectors of 4096 bytes, and
 * reads holes as long as data.
 */
static void
compare(struct world *w, uint64_t size, uint32_t sector)
{
	shell("tests/tools/vhdx.py %s %s", w->vhdx, w->raw);
	if (sector != 512)
		return;
	shell("qemu-img check -q -f vhdx %s", w->vhdx);
	if (size <= GIB)
		shell("qemu-img compare -q -f vhdx -F raw %s %s", w->vhdx, w->raw);
}

static void
qemu_reads_what_was_written(void **state)
{
	static const struct {
		uint64_t size;
		uint32_t sector;
	} cases[] = { { 512, 512 }, { 4096, 4096 }, { MIB, 512 }, { 2 * MIB, 512 },
		{ 2 * MIB + 512, 512 }, { 63 * MIB + 7 * 512, 512 },
		{ 64 * MIB + 4096, 4096 }, { 5 * GIB + 512, 512 },
		{ 9 * GIB + 4096, 4096 }, { 3 * TIB + 1024, 512 }, { 5 * TIB + 512, 512 },
		{ 15 * TIB, 4096 } };
	struct world *w = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t size = cases[i].size;
		int raw = raw_of(w, size);

		open_ok(w, size, cases[i].sector);
		/* The end first; then over a block's border; then the begin. */
		put(w, raw, size - 512, 512, 9);
		if (size >= 4 * MIB) {
			put(w, raw, size / 2 + 100, 3000, 5);
			put(w, raw, 2 * MIB - 700, 1400, 77);
		}
		if (size > 32 * MIB)
			put(w, raw, size - 32 * MIB - 100000, 200000, 3);
		/* Blocks on both sides of an entry of the sector bitmap. */
		if (size > 8 * GIB)
			put(w, raw, 4 * GIB - 5000, 10000, 1);
		put(w, raw, 0, 512, 40);
		if (target_finish(w->t, &w->err) != 0)
			fail_msg("%s", w->err.text);
		close(raw);
		compare(w, size, cases[i].sector);
	}
}

static void
an_empty_disk_is_small(void **state)
{
	struct world *w = *state;
	struct stat st;

	close(raw_of(w, 100 * GIB));
	open_ok(w, 100 * GIB, 512);
	assert_int_equal(target_zero(w->t, 0, 100 * GIB, &w->err), 0);
	assert_int_equal(target_hole(w->t, 0, 100 * GIB, &w->err), 0);
	assert_int_equal(target_finish(w->t, &w->err), 0);
	compare(w, 100 * GIB, 512);
	assert_int_equal(stat(w->vhdx, &st), 0);
	assert_true((uint64_t)st.st_size <= 5 * MIB);
}

static void
it_is_none_before_it_is_finished(void **state)
{
	struct world *w = *state;
	char partial[128];
	uint8_t head[8];
	int fd;

	snprintf(partial, sizeof(partial), "%s.partial", w->vhdx);
	open_ok(w, 10 * MIB, 512);
	assert_int_equal(target_write(w->t, 0, (const uint8_t *)"boot", 4, &w->err), 0);
	assert_int_equal(target_settle(w->t, &w->err), 0);
	assert_int_not_equal(access(w->vhdx, F_OK), 0);
	fd = open(partial, O_RDONLY);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, head, sizeof(head), 0), sizeof(head));
	close(fd);
	assert_int_not_equal(memcmp(head, "vhdxfile", 8), 0);
	target_abandon(w->t);
	assert_int_not_equal(access(partial, F_OK), 0);
}

static void
what_it_cannot_hold_is_refused(void **state)
{
	struct world *w = *state;

	assert_int_equal(
	    target_open(w->vhdx, 64 * TIB + 512, 512, TARGET_VHDX, &w->t, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
	err_clear(&w->err);
	assert_int_equal(
	    target_open(w->vhdx, 4096 + 512, 4096, TARGET_VHDX, &w->t, &w->err), -1);
	assert_int_equal(w->err.code, ERR_LIMIT);
	err_clear(&w->err);
	assert_int_equal(
	    target_open(w->vhdx, MIB, 512, TARGET_VHDX | TARGET_KEEP, &w->t, &w->err),
	    -1);
	assert_int_equal(w->err.code, ERR_UNSUPPORTED);
	assert_non_null(strstr(w->err.text, "--delta"));
	err_clear(&w->err);
	assert_int_equal(
	    target_open("/dev/null", MIB, 512, TARGET_VHDX, &w->t, &w->err), -1);
	assert_int_equal(w->err.code, ERR_UNSUPPORTED);
	err_clear(&w->err);
	assert_int_equal(
	    target_open(w->vhdx, 64 * TIB, 4096, TARGET_VHDX, &w->t, &w->err), 0);
	target_abandon(w->t);
}

/* RFC 3720, B.4; and the number of entries of the document's own example sizes. */
static void
the_bytes_are_the_specification_s(void **state)
{
	static const uint8_t random[VHDX_RANDOM_LEN];
	uint8_t zeros[32] = { 0 }, ones[32], *p = malloc(VHDX_HEAD_LEN);
	struct err err = ERR_INIT;
	struct vhdx v;

	(void)state;
	memset(ones, 0xff, sizeof(ones));
	assert_int_equal(vhdx_crc(zeros, 32), 0x8a9136aa);
	assert_int_equal(vhdx_crc(ones, 32), 0x62a8ab43);
	assert_int_equal(vhdx_make(5 * GIB, 512, random, &v, &err), 0);
	assert_int_equal(v.blocks, 2560);
	/* 2^23 sectors of 512 bytes are 2048 blocks of 2 MiB. */
	assert_int_equal(vhdx_bat_at(&v, 2047), 2047 * 8);
	assert_int_equal(vhdx_bat_at(&v, 2048), 2049 * 8);
	assert_int_equal(vhdx_bat_entry(5 * MIB), 5 << 20 | 6);
	assert_int_equal(vhdx_bat_entry(0), 2);
	vhdx_head(&v, p);
	assert_memory_equal(p, "vhdxfile", 8);
	for (unsigned at = 64 * 1024; at < 5 * 64 * 1024; at += 64 * 1024) {
		size_t len = at < 3 * 64 * 1024 ? 4096 : 64 * 1024;
		uint32_t crc = load_le32(p + at + 4);

		store_le32(p + at + 4, 0);
		assert_int_equal(vhdx_crc(p + at, len), crc);
	}
	free(p);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(qemu_reads_what_was_written),
		TEST(an_empty_disk_is_small),
		TEST(it_is_none_before_it_is_finished),
		TEST(what_it_cannot_hold_is_refused),
		cmocka_unit_test(the_bytes_are_the_specification_s),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
