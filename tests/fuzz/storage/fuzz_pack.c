/*
 * Pack files: opened, walked, recovered, scrubbed, whatever their bytes are.
 * The first byte says whether the file is sealed; the mutator makes the hashes
 * of header, groups and footer right.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/group.h"
#include "proto/chunk/group_format.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/pack.h"

#define NO 5u

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

struct reading {
	struct pack *p;
	struct buf buf;
	uint32_t good, bad;
};

static int
read_one(void *arg, const struct pack_entry *e)
{
	struct reading *r = arg;
	struct err err = ERR_INIT;
	struct group g;

	must(e->loc.pack == NO);
	if (pack_read_group(r->p, &e->loc, &e->id, 1, &r->buf, &g, &err) == 0)
		r->good++;
	else {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		r->bad++;
	}
	return r->good + r->bad >= 64;
}

static int
count_bad(void *arg, uint32_t offset, const struct err *why)
{
	(void)offset;
	must(why->code != ERR_NONE);
	++*(uint32_t *)arg;
	return 0;
}

/* Read all that can be read; bad groups only where nobody vouched for them. */
static void
use(struct fs *fs, int vouched)
{
	struct reading r = { NULL, BUF_INIT(GROUP_LEN_MAX), 0, 0 };
	struct pack_recovery walked;
	struct err err = ERR_INIT;
	uint32_t bad = 0;

	if (pack_open(fs, NO, store, &r.p, &err) != 0) {
		must(!vouched);
		return;
	}
	must(pack_no(r.p) == NO);
	must(pack_walk(r.p, NULL, read_one, &r, &walked, &err) >= 0 ||
	     err.code == ERR_CORRUPT || (err.code == ERR_UNSUPPORTED && !vouched));
	must(r.bad == 0);
	err_clear(&err);
	if (pack_each_entry(r.p, read_one, &r, NULL, &err) < 0)
		must(!vouched && (err.code == ERR_CORRUPT || err.code == ERR_BUSY ||
				     err.code == ERR_UNSUPPORTED));
	err_clear(&err);
	must(pack_scrub(r.p, count_bad, &bad, &err) == 0 || !vouched);
	must(!vouched || (bad == 0 && r.bad == 0));
	pack_close(r.p);
	buf_free(&r.buf);
}

static int
count_packs(void *arg, uint32_t no, int sealed)
{
	must(no == NO);
	*(int *)arg += 1 + sealed;
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct fs_fault *ff;
	struct pack_recovery rec;
	struct err err = ERR_INIT;
	struct fs_file *f;
	struct fs *fs;
	int sealed, found = 0, left = 0;

	if (len < 1)
		return 0;
	if (ff == NULL) {
		must((ff = fs_fault_new(1)) != NULL);
		must(fs_mkdir(fs_fault_fs(ff), PACK_DIR, &err) == 0);
	}
	fs = fs_fault_fs(ff);
	sealed = p[0] & 1;
	must(fs_open(fs, sealed ? "packs/00000005.pack" : "packs/00000005.open",
		 FS_WRITE | FS_CREATE, &f, &err) == 0);
	if (len > 1)
		must(fs_pwrite(f, p + 1, len - 1, 0, &err) == 0);
	fs_close(f);
	use(fs, 0);
	must(pack_list(fs, count_packs, &found, &err) == 0 && found == 1 + sealed);
	if (!sealed && pack_recover(fs, NO, store, NULL, &rec, &err) == 0) {
		must(pack_list(fs, count_packs, &left, &err) == 0);
		must(left == (rec.groups > 0 ? 2 : 0));
		if (left == 2 && rec.cut < len)
			/* A footer that was whole already is taken at its word. */
			use(fs, rec.cut > 0);
		must(pack_remove(fs, NO, &err) == 0);
	} else
		err_clear(&err);
	must(pack_remove(fs, NO, &err) == 0);
	if (fs_unlink(fs, "packs/00000005.open", &err) != 0)
		err_clear(&err);
	/* What recovery set aside. */
	if (fs_unlink(fs, "packs/00000005.damaged", &err) != 0)
		err_clear(&err);
	(void)fs_sync_dir(fs, PACK_DIR, &err);
	fs_fault_restart(ff, 0);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	struct err err = ERR_INIT;
	size_t at = 1 + PACK_HEADER_LEN, n;

	len = LLVMFuzzerMutate(p, len, max);
	if (seed % 16 == 0 || len < at)
		return len;
	blake3(p + 1, PACK_HEADER_LEN - BLAKE3_OUT_LEN, NULL, p + at - BLAKE3_OUT_LEN,
	    BLAKE3_OUT_LEN);
	while (len - at >= GROUP_HEADER_LEN && group_peek(p + at, &n, &err) == 0 &&
	       n <= len - at) {
		if (seed % 8 != 1)
			group_hash(p + at, n, p + at + AT_HASH);
		at += (n + 7) / 8 * 8;
		if (at > len)
			break;
	}
	if (seed % 4 != 2 && len > at + PACK_TRAILER_LEN &&
	    load_le32(p + len - PACK_TRAILER_LEN + 20) <= len - 1 - PACK_TRAILER_LEN) {
		n = 1 + load_le32(p + len - PACK_TRAILER_LEN + 20);
		store_le64(p + len - PACK_TRAILER_LEN + 40, len - 1);
		blake3(p + n, len - n - BLAKE3_OUT_LEN, NULL, p + len - BLAKE3_OUT_LEN,
		    BLAKE3_OUT_LEN);
	}
	return len;
}
