/*
 * The index's files: the first byte chooses a manifest, a run's tail, or a whole
 * run, which is then searched and read through.  What is accepted must be what
 * writing would make again.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/index_run.h"
#include "storage/index_view.h"

#define TAIL_HASHED 64u

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

static void
take_manifest(const uint8_t *p, size_t len)
{
	struct buf again = BUF_INIT(INDEX_MANIFEST_MAX);
	static struct index_run runs[INDEX_RUNS_MAX];
	static struct index_view v;
	struct index_manifest m;
	struct err err = ERR_INIT;

	if (index_view_parse(p, len, &m, &err) != 0) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		return;
	}
	memset(&v, 0, sizeof(v));
	for (uint32_t i = 0; i < m.n_runs; i++) {
		runs[i].f.no = m.runs[i];
		runs[i].f.entries = m.entries[i];
		v.runs[i] = &runs[i];
	}
	v.n_runs = m.n_runs;
	v.next_run = m.next_run;
	v.optional = m.optional;
	v.covered = m.covered;
	v.bad = m.bad;
	v.n_bad = m.n_bad;
	must(index_view_format(&v, m.store, m.damaged, &again, &err) == 0);
	must(again.len == len && memcmp(again.p, p, len) == 0);
	buf_free(&again);
	index_view_free_manifest(&m);
}

static void
take_tail(const uint8_t *p, size_t len)
{
	struct index_run_footer f;
	struct err err = ERR_INIT;
	uint8_t again[INDEX_FOOTER_LEN];
	uint64_t file_len = len;

	/* As if the blocks were there. */
	if (len >= INDEX_FOOTER_LEN)
		file_len += (uint64_t)load_le32(p + len - INDEX_FOOTER_LEN + 12) *
			    INDEX_BLOCK_LEN;
	if (index_run_check_tail(p, len, file_len, &f, &err) != 0) {
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
		return;
	}
	index_run_format_footer(&f, p, p + (size_t)f.blocks * INDEX_FENCE_LEN, again);
	must(memcmp(again, p + len - sizeof(again), sizeof(again)) == 0);
}

static int
any(const void *arg, const struct pack_entry *e)
{
	(void)arg;
	(void)e;
	return 1;
}

static int
none(const void *arg, const struct pack_entry *e)
{
	(void)arg;
	(void)e;
	return 0;
}

static void
search(const struct index_run *r)
{
	struct index_run_reader rd;
	struct err err = ERR_INIT;
	const uint8_t *e;
	uint8_t last[INDEX_ENTRY_LEN], *line;
	struct pack_entry found;
	struct chunk_id id;
	uint32_t n = 0;

	must(index_run_reader_open(&rd, r, &err) == 0);
	while (n++ < 200 && index_run_reader_next(&rd, &e, &err) == 0 && e != NULL) {
		uint8_t same[INDEX_ENTRY_LEN];

		memcpy(id.b, e, sizeof(id.b));
		index_run_decode(e, &found);
		index_run_encode(&found, same);
		must(memcmp(same, e, sizeof(same)) == 0);
		(void)index_run_order(last, e);
		memcpy(last, e, sizeof(last));
		must(index_run_find(r, &id, any, NULL, &found, &err) >= 0 ||
		     err.code == ERR_CORRUPT);
		err_clear(&err);
		must(index_run_find(r, &id, none, NULL, &found, &err) <= 0);
		err_clear(&err);
		line = r->filter +
		       (index_run_filter_line(r->filter, r->f.lines, id.b) - r->filter);
		(void)index_run_filter_has(line, id.b);
		index_run_filter_add(r->filter, r->f.lines, id.b);
		must(index_run_filter_has(line, id.b));
		id.b[0] ^= 0x80;
		(void)index_run_find(r, &id, any, NULL, &found, &err);
		err_clear(&err);
	}
	index_run_reader_close(&rd);
}

static void
take_run(const uint8_t *p, size_t len)
{
	static struct fs_fault *ff;
	struct err err = ERR_INIT;
	struct index_run *r;
	struct fs_file *f;
	uint8_t block[INDEX_BLOCK_LEN];
	uint32_t count;

	if (ff == NULL) {
		must((ff = fs_fault_new(1)) != NULL);
		must(fs_mkdir(fs_fault_fs(ff), INDEX_DIR, &err) == 0);
	}
	if (len >= INDEX_BLOCK_LEN && index_run_check_block(p, 0, 0, &count, &err) == 0) {
		memcpy(block, p, sizeof(block));
		index_run_seal_block(block, 0, count);
		must(load_le16(block + 20) == count);
	}
	err_clear(&err);
	must(fs_open(fs_fault_fs(ff), "index/00000001.run", FS_WRITE | FS_CREATE, &f,
		 &err) == 0);
	must(fs_truncate(f, 0, &err) == 0 && fs_pwrite(f, p, len, 0, &err) == 0);
	fs_close(f);
	if (index_run_open(fs_fault_fs(ff), 1, store, &r, &err) == 0) {
		must(index_run_disk(r) == len);
		search(r);
		index_run_unref(r);
	} else
		must(err.code == ERR_CORRUPT || err.code == ERR_UNSUPPORTED);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	uint8_t *exact;

	if (len < 1)
		return 0;
	must((exact = malloc(len)) != NULL);
	memcpy(exact, p + 1, len - 1);
	if (p[0] % 3 == 0)
		take_manifest(exact, len - 1);
	else if (p[0] % 3 == 1)
		take_tail(exact, len - 1);
	else
		take_run(exact, len - 1);
	free(exact);
	return 0;
}

/* Make the hash of a tail right, where its counts say it is. */
static void
fix_tail(uint8_t *p, size_t len)
{
	uint8_t *footer = p + len - INDEX_FOOTER_LEN;
	uint64_t n;

	if (len < INDEX_FOOTER_LEN)
		return;
	n = (uint64_t)load_le32(footer + 12) * INDEX_FENCE_LEN +
	    (uint64_t)load_le32(footer + 24) * INDEX_LINE_LEN + TAIL_HASHED;
	if (n <= len - BLAKE3_OUT_LEN)
		blake3(footer + TAIL_HASHED - n, n, NULL, footer + TAIL_HASHED,
		    BLAKE3_OUT_LEN);
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	len = LLVMFuzzerMutate(p, len, max);
	if (seed % 16 == 0 || len < 1 + BLAKE3_OUT_LEN)
		return len;
	if (p[0] % 3 == 0)
		blake3(p + 1, len - 1 - BLAKE3_OUT_LEN, NULL, p + len - BLAKE3_OUT_LEN,
		    BLAKE3_OUT_LEN);
	else {
		fix_tail(p + 1, len - 1);
		for (size_t at = 1; p[0] % 3 == 2 && seed % 8 != 1 &&
				    at + INDEX_BLOCK_LEN + INDEX_FOOTER_LEN < len;
		     at += INDEX_BLOCK_LEN)
			blake3(p + at + 16, INDEX_BLOCK_LEN - 16, NULL, p + at, 16);
	}
	return len;
}
