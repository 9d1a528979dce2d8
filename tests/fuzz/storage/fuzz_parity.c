/*
 * A sealed pack whose parity is anything, mended: whatever its bytes are, either it is a
 * pack afterwards that is whole, or it is as it was.  The mutator makes the hashes of
 * the heads right.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/pack_parity.h"

#define NAME "packs/00000005.pack"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

static const uint8_t store[PACK_STORE_ID_LEN] = "made for a test";

static void
must(int holds)
{
	if (!holds)
		abort();
}

/* Any head that is accepted is the one that would be written. */
static void
take_heads(const uint8_t *p, size_t len)
{
	uint8_t again[PARITY_HEAD_LEN];
	struct parity_head h;
	struct err err;

	for (size_t at = 0; at + PARITY_HEAD_LEN <= len; at += 8) {
		if (memcmp(p + at, "HFY1", 4) != 0)
			continue;
		err = (struct err)ERR_INIT;
		if (pack_parity_parse_head(p + at, &h, &err) != 0) {
			must(err.code == ERR_CORRUPT);
			continue;
		}
		pack_parity_format_head(&h, again);
		must(memcmp(p + at, again, sizeof(again)) == 0);
	}
}

static void
check(struct fs *fs)
{
	struct err err = ERR_INIT;
	struct pack *p;

	if (pack_open(fs, 5, store, &p, &err) != 0)
		return;
	if (pack_check_parity(p, &err) < 0)
		must(err.code == ERR_CORRUPT);
	pack_close(p);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct fs_fault *ff = fs_fault_new(1);
	struct err err = ERR_INIT;
	struct pack_mending m;
	struct fs_file *f;
	uint8_t *now;
	size_t is;
	int ret;

	must(ff != NULL);
	take_heads(p, len);
	must(fs_mkdir(fs_fault_fs(ff), PACK_DIR, &err) == 0);
	must(fs_open(fs_fault_fs(ff), NAME, FS_WRITE | FS_CREATE, &f, &err) == 0);
	must(fs_pwrite(f, p, len, 0, &err) == 0);
	fs_close(f);
	check(fs_fault_fs(ff));
	ret = pack_mend(fs_fault_fs(ff), 5, store, NULL, 0, &m, &err);
	must(ret == 0 || err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
	if (ret == 0 && m.state == PACK_MENDED) {
		must(pack_mend(fs_fault_fs(ff), 5, store, NULL, 0, &m, &err) == 0);
		must(m.state == PACK_WHOLE);
	} else {
		now = fs_fault_bytes(ff, NAME, &is);
		must(is == len && (len == 0 || memcmp(now, p, len) == 0));
	}
	must(fs_fault_bytes(ff, "packs/00000005.new", &is) == NULL);
	fs_fault_free(ff);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	len = LLVMFuzzerMutate(p, len, max);
	if (seed % 8 == 0)
		return len;
	for (size_t at = 0; at + PARITY_HEAD_LEN <= len; at += 8)
		if (memcmp(p + at, "HFY1", 4) == 0)
			blake3(p + at, PARITY_HEAD_LEN - BLAKE3_OUT_LEN, NULL,
			    p + at + PARITY_HEAD_LEN - BLAKE3_OUT_LEN, BLAKE3_OUT_LEN);
	return len;
}
