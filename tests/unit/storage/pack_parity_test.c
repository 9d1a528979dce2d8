/*
 * Parity: what is damaged within what it gives is byte for byte as it was sealed again,
 * whichever part of the file it hit; what is beyond it stays as it is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/fs_fault.h"
#include "storage/pack_parity.h"
#include "tests/unit/storage/made_groups.h"

#define NAME "packs/00000005.pack"
#define OPEN_NAME "packs/00000005.open"
#define NEW_NAME "packs/00000005.new"

struct world {
	struct fs_fault *ff;
	struct fs *fs;
	struct buf was; /* As it was sealed. */
	struct parity_head h;
	struct pack_stats stats;
	struct err err;
	uint64_t seed;
};

static uint32_t
any(struct world *w, uint32_t below)
{
	return (uint32_t)(made_mix(w->seed++) % below);
}

/* Put a group of `count` chunks that do not compress, of `len` bytes. */
static void
put(struct world *w, struct pack_writer *pw, uint32_t count, size_t len)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct codec *c = codec_new();
	uint8_t *bytes = malloc(len);
	struct chunk_keys keys;
	struct chunk_id id;
	struct group g;
	uint32_t offset;
	uint64_t to;

	assert_true(b != NULL && c != NULL && bytes != NULL);
	chunk_keys_init(&keys, domain);
	for (uint32_t i = 0; i < count; i++) {
		for (size_t at = 0; at < len; at++)
			bytes[at] = (uint8_t)made_mix(w->seed++);
		chunk_id_of(&keys, CHUNK_DATA, bytes, len, &id);
		assert_int_equal(group_builder_add(b, &id, bytes, len, &w->err), 0);
	}
	assert_int_equal(group_builder_finish(b, c, 1, &out, &w->err), 0);
	assert_int_equal(group_parse(out.p, out.len, &g, &w->err), 0);
	assert_int_equal(
	    pack_writer_append(pw, &g, &offset, &to, &w->err), PACK_APPENDED);
	assert_int_equal(pack_writer_sync(pw, to, &w->err), 0);
	group_builder_free(b);
	codec_free(c);
	buf_free(&out);
	free(bytes);
}

static void
remember(struct world *w)
{
	struct pack *p;

	buf_free(&w->was);
	w->was.max = PACK_LEN_MAX;
	assert_int_equal(fs_slurp(w->fs, NAME, &w->was, &w->err), 0);
	assert_int_equal(pack_open(w->fs, 5, made_store, &p, &w->err), 0);
	assert_int_equal(pack_each_entry(p, NULL, NULL, &w->stats, &w->err), 0);
	/* The collector may empty it. */
	assert_int_equal(w->stats.optional, 0);
	assert_int_equal(pack_check_parity(p, &w->err), 1);
	pack_close(p);
	assert_int_equal(
	    pack_parity_parse_head(w->was.p + w->stats.data_end, &w->h, &w->err), 0);
}

static void
begin(struct world *w, uint64_t seed, uint32_t groups, size_t len, uint32_t percent)
{
	struct pack_writer *pw;

	memset(w, 0, sizeof(*w));
	w->seed = seed << 32;
	assert_non_null(w->ff = fs_fault_new(seed));
	w->fs = fs_fault_fs(w->ff);
	made_dirs(w->fs);
	assert_int_equal(
	    pack_writer_open(w->fs, 5, CHUNK_DATA, made_store, &pw, &w->err), 0);
	pack_writer_parity(pw, percent);
	for (uint32_t i = 0; i < groups; i++)
		put(w, pw, 1 + i % 3, len);
	assert_int_equal(pack_writer_seal(pw, &w->err), 0);
	pack_writer_free(pw);
	remember(w);
}

static void
end(struct world *w)
{
	buf_free(&w->was);
	fs_fault_free(w->ff);
}

static uint8_t *
bytes(struct world *w)
{
	size_t len;
	uint8_t *p = fs_fault_bytes(w->ff, NAME, &len);

	assert_non_null(p);
	assert_int_equal(len, w->was.len);
	return p;
}

static void
must_be(struct world *w, const uint8_t *p, size_t len)
{
	size_t is;
	uint8_t *now = fs_fault_bytes(w->ff, NAME, &is);

	assert_int_equal(is, len);
	assert_memory_equal(now, p, len);
	assert_null(fs_fault_bytes(w->ff, NEW_NAME, &is));
}

static int
mend(struct world *w, int dry)
{
	struct pack_mending m;

	assert_int_equal(pack_mend(w->fs, 5, made_store, &w->stats, dry, &m, &w->err), 0);
	return (int)m.state;
}

static void
must_mend(struct world *w)
{
	assert_int_equal(mend(w, 1), PACK_MENDED);
	assert_int_equal(mend(w, 0), PACK_MENDED);
	must_be(w, w->was.p, w->was.len);
	assert_int_equal(mend(w, 0), PACK_WHOLE);
}

static void
spoil(struct world *w, size_t at, size_t len)
{
	uint8_t *p = bytes(w);

	for (size_t i = at; i < at + len && i < w->was.len; i++)
		p[i] ^= (uint8_t)(1 + any(w, 255));
}

/* A burst of nearly all that parity is for, anywhere; then the same in two. */
static void
test_bursts_within_the_parity_are_mended(void **state)
{
	static const uint32_t percents[] = { 1, 3, 10, 30 };
	struct world w;

	(void)state;
	for (size_t i = 0; i < sizeof(percents) / sizeof(percents[0]); i++) {
		begin(&w, 100 + i, 30, 24000, percents[i]);
		uint32_t can = w.h.m * w.h.stripes, edge = 2 * w.h.stripes;
		uint32_t blocks = can > edge ? can - edge : 1;

		assert_true(can * 100 >= percents[i] * parity_data_blocks(&w.h));
		for (int round = 0; round < 8; round++) {
			size_t len = (size_t)blocks * w.h.block - w.h.block + 1;

			spoil(&w, any(&w, (uint32_t)(w.was.len - len)), len);
			must_mend(&w);
		}
		for (int round = 0; blocks > 8 && round < 8; round++) {
			size_t len = (size_t)(blocks / 2 - edge) * w.h.block;

			spoil(&w, any(&w, (uint32_t)(w.was.len - len)), len);
			spoil(&w, any(&w, (uint32_t)(w.was.len - len)), len);
			if (mend(&w, 0) == PACK_BEYOND) /* A head and a table in each. */
				memcpy(bytes(&w), w.was.p, w.was.len);
			must_be(&w, w.was.p, w.was.len);
		}
		end(&w);
	}
}

/* Exactly what the code gives: m blocks of each stripe, and not one more. */
static void
test_any_m_blocks_of_each_stripe(void **state)
{
	struct world w;
	uint8_t *kept;

	(void)state;
	begin(&w, 7, 30, 24000, 10);
	uint32_t n = parity_data_blocks(&w.h), all = n + w.h.m * w.h.stripes, t0 = 0;

	assert_true(w.h.stripes > 1 && w.h.m > 5);
	for (int round = 0; round < 6; round++) {
		for (uint32_t t = 0; t < w.h.stripes; t++)
			for (uint32_t lost = 0; lost < w.h.m;) {
				uint32_t i = any(&w, all);
				uint32_t stripe = (i < n ? i : i - n) % w.h.stripes;
				size_t at = i < n
						? (size_t)i * w.h.block
						: w.h.data_end + parity_blocks_at(&w.h) +
						      (size_t)(i - n) * w.h.block;

				/* A block on the border is hit on one side. */
				if (i < n && at >= w.h.data_end)
					at += w.h.len;
				if (stripe != t || at >= w.was.len ||
				    bytes(&w)[at] != w.was.p[at])
					continue;
				bytes(&w)[at] ^= 0x10;
				lost++;
			}
		if (round % 2 == 0) {
			must_mend(&w);
			continue;
		}
		/* One more. */
		for (uint32_t j = 0;; j++) {
			size_t at = (size_t)(j * w.h.stripes + t0) * w.h.block;

			assert_true(at < w.h.data_end);
			if (bytes(&w)[at] == w.was.p[at]) {
				bytes(&w)[at] ^= 1;
				break;
			}
		}
		assert_non_null(kept = malloc(w.was.len));
		memcpy(kept, bytes(&w), w.was.len);
		assert_int_equal(mend(&w, 1), PACK_BEYOND);
		assert_int_equal(mend(&w, 0), PACK_BEYOND);
		must_be(&w, kept, w.was.len);
		free(kept);
		memcpy(bytes(&w), w.was.p, w.was.len);
	}
	end(&w);
}

static void
test_any_byte_of_a_small_pack(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 3, 3, 200, 1);
	assert_int_equal(w.h.k, 2);
	assert_int_equal(w.h.m, 1);
	assert_int_equal(mend(&w, 0), PACK_WHOLE);
	for (size_t at = 0; at < w.was.len; at++) {
		/* Parity blocks are all alike. */
		if (at > w.h.data_end + 300 && at < w.h.data_end + w.h.len - 300)
			at += 96;
		bytes(&w)[at] ^= (uint8_t)(1u << at % 8);
		assert_int_equal(mend(&w, 0), PACK_MENDED);
		must_be(&w, w.was.p, w.was.len);
	}
	end(&w);
}

/* Damage in the parity's own parts, alone and with damage of the data. */
static void
test_the_parity_itself(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 4, 12, 24000, 10);
	uint32_t table = parity_table_len(&w.h), at = w.h.data_end, tail = at + w.h.len;
	const uint32_t places[][2] = { { at, PARITY_HEAD_LEN },
		{ tail - PARITY_HEAD_LEN, PARITY_HEAD_LEN },
		{ at + PARITY_HEAD_LEN, table },
		{ tail - PARITY_HEAD_LEN - table, table + PARITY_HEAD_LEN },
		{ at + parity_blocks_at(&w.h), w.h.m * w.h.stripes * w.h.block } };

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		struct pack *p;

		spoil(&w, places[i][0], places[i][1]);
		assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
		assert_int_equal(pack_check_parity(p, &w.err), -1);
		assert_int_equal(w.err.code, ERR_CORRUPT);
		err_clear(&w.err);
		pack_close(p);
		must_mend(&w);
		if (i == 4)
			continue;
		spoil(&w, places[i][0], places[i][1]);
		spoil(&w, 0, 3 * w.h.block); /* With the pack's header. */
		spoil(&w, w.was.len - 200, 200);
		must_mend(&w);
	}
	/* Both heads: no parity is found any more. */
	spoil(&w, places[0][0], 4);
	spoil(&w, places[1][0], 4);
	spoil(&w, 300, 1);
	assert_int_equal(mend(&w, 0), PACK_NO_PARITY);
	end(&w);
}

static void
test_a_file_too_short_or_too_long(void **state)
{
	struct fs_file *f;
	struct world w;

	(void)state;
	begin(&w, 5, 12, 24000, 10);
	for (int round = 0; round < 3; round++) {
		assert_int_equal(fs_open(w.fs, NAME, FS_WRITE, &f, &w.err), 0);
		/* The footer is gone; so is the tail of the parity; something more. */
		uint64_t len = round == 0   ? w.was.len - w.h.foot_len - 3
			       : round == 1 ? w.h.data_end + w.h.len - 9000
					    : w.was.len + 4097;

		assert_int_equal(fs_truncate(f, len, &w.err), 0);
		fs_close(f);
		must_mend(&w);
	}
	end(&w);
}

/* A head that is planted in the data, and both of ours gone: not that pack's. */
static void
test_a_planted_head_is_refused(void **state)
{
	uint8_t head[PARITY_HEAD_LEN], *kept;
	struct pack_mending m;
	struct parity_head h;
	struct world w, other;
	int ret;

	(void)state;
	/* A whole pack of the same number, small enough to lie within ours. */
	begin(&other, 9, 2, 300, 10);
	begin(&w, 6, 12, 24000, 10);
	spoil(&w, w.h.data_end, 4);
	spoil(&w, w.h.data_end + w.h.len - PARITY_HEAD_LEN, 4);
	memcpy(bytes(&w), other.was.p, other.was.len);
	assert_non_null(kept = malloc(w.was.len));
	memcpy(kept, bytes(&w), w.was.len);
	ret = pack_mend(w.fs, 5, made_store, &w.stats, 0, &m, &w.err);
	assert_int_equal(ret, -1);
	assert_int_equal(w.err.code, ERR_CORRUPT);
	err_clear(&w.err);
	must_be(&w, kept, w.was.len);
	/* One that does not stand where it says is none. */
	h = other.h;
	h.data_end += 8;
	h.len = 0;
	pack_parity_format_head(&h, head);
	memcpy(bytes(&w) + other.h.data_end, head, sizeof(head));
	memcpy(bytes(&w) + other.h.data_end + other.h.len - sizeof(head), head,
	    sizeof(head));
	assert_int_equal(mend(&w, 0), PACK_NO_PARITY);
	free(kept);
	end(&w);
	end(&other);
}

/* Any call of a mending fails, or is the last one: the old file, or the right one. */
static void
test_faults_while_mending(void **state)
{
	static const enum fs_fault_kind kinds[] = { FS_FAULT_EIO, FS_FAULT_ENOSPC,
		FS_FAULT_SHORT, FS_FAULT_DIE, FS_FAULT_DIE };
	struct pack_mending m;
	struct world w;
	unsigned mended = 0, kept_old = 0;
	uint8_t *old;

	(void)state;
	begin(&w, 8, 4, 5000, 10);
	spoil(&w, 700, 10);
	assert_non_null(old = malloc(w.was.len));
	memcpy(old, bytes(&w), w.was.len);
	for (unsigned kind = 0; kind < 5; kind++) {
		struct fs_fault *first = w.ff;
		int fired = 1;

		for (uint64_t nth = 1; fired; nth++) {
			size_t len;

			fs_fault_restart(first, 0);
			assert_non_null(w.ff = fs_fault_copy(first, 50 + nth));
			w.fs = fs_fault_fs(w.ff);
			fs_fault_count_reads(w.ff, 1);
			fs_fault_arm(w.ff, nth, kinds[kind]);
			err_clear(&w.err);
			int ret = pack_mend(w.fs, 5, made_store, &w.stats, 0, &m, &w.err);
			fired = fs_fault_fired(w.ff);
			assert_true(fired || ret == 0);
			fs_fault_arm(w.ff, 0, FS_FAULT_NONE);
			fs_fault_restart(w.ff, kind == 4);
			fs_fault_count_reads(w.ff, 0);
			const uint8_t *now = fs_fault_bytes(w.ff, NAME, &len);

			assert_int_equal(len, w.was.len);
			int is_old = memcmp(now, old, len) == 0;

			assert_true(is_old || memcmp(now, w.was.p, len) == 0);
			/* What was said to be mended survives the power. */
			assert_false(is_old && ret == 0 && m.state == PACK_MENDED);
			kept_old += (unsigned)is_old;
			mended += (unsigned)!is_old;
			err_clear(&w.err);
			assert_int_equal(pack_mend_sweep(w.fs, &w.err), 0);
			assert_int_equal(mend(&w, 0), is_old ? PACK_MENDED : PACK_WHOLE);
			must_be(&w, w.was.p, w.was.len);
			fs_fault_free(w.ff);
		}
		w.ff = first;
	}
	assert_true(mended > 5 && kept_old > 50);
	free(old);
	end(&w);
}

static int
count(void *arg, const struct pack_entry *e)
{
	(void)e;
	++*(uint32_t *)arg;
	return 0;
}

/* Any call of a sealing is the last one: recovery seals, with its parity whole. */
static void
test_power_cuts_while_sealing(void **state)
{
	struct pack_judge judge = { .parity = 10 };
	unsigned with = 0, without = 0;
	int fired = 1;

	(void)state;
	for (uint64_t nth = 1; fired || nth < 20; nth++) {
		struct pack_recovery r;
		struct pack_writer *pw;
		uint32_t chunks = 0;
		struct pack *p;
		struct world w;
		size_t len;

		memset(&w, 0, sizeof(w));
		w.seed = 77;
		assert_non_null(w.ff = fs_fault_new(nth));
		w.fs = fs_fault_fs(w.ff);
		made_dirs(w.fs);
		assert_int_equal(
		    pack_writer_open(w.fs, 5, CHUNK_DATA, made_store, &pw, &w.err), 0);
		pack_writer_parity(pw, 10);
		for (int i = 0; i < 4; i++)
			put(&w, pw, 2, 6000);
		/* Odd ones a full disk, then power goes: sealed without. */
		fs_fault_arm(w.ff, nth, nth % 2 ? FS_FAULT_DIE : FS_FAULT_ENOSPC);
		int ret = pack_writer_seal(pw, &w.err);
		fired = fs_fault_fired(w.ff);
		pack_writer_free(pw);
		fs_fault_arm(w.ff, 0, FS_FAULT_NONE);
		fs_fault_restart(w.ff, 1);
		err_clear(&w.err);
		if (fs_fault_bytes(w.ff, OPEN_NAME, &len) != NULL) {
			assert_int_not_equal(ret, 0);
			assert_int_equal(
			    pack_recover(w.fs, 5, made_store, &judge, &r, &w.err), 0);
			assert_int_equal(r.damaged, 0);
			assert_int_equal(r.groups, 4);
		}
		assert_int_equal(pack_open(w.fs, 5, made_store, &p, &w.err), 0);
		assert_int_equal(pack_each_entry(p, count, &chunks, NULL, &w.err), 0);
		assert_int_equal(chunks, 8);
		int has = pack_check_parity(p, &w.err);

		pack_close(p);
		assert_true(has >= 0);
		with += (unsigned)has;
		without += (unsigned)!has;
		if (has) {
			remember(&w);
			spoil(&w, 0, 5000);
			must_mend(&w);
		}
		end(&w);
	}
	assert_true(with > 5 && without > 0);
}

static struct fs_ops sick;
static const struct fs_ops *well;

/* Sectors 2 and 30 of the pack cannot be read, however often one asks. */
static int
sick_pread(
    struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got, struct err *err)
{
	for (uint64_t bad = 8192; bad <= 122880; bad += 114688)
		if (strcmp(f->name, NAME) == 0 && offset < bad + 4096 &&
		    offset + len > bad)
			return err_set(
			    err, ERR_IO, "%s: the disk does not give it", f->name);
	return well->pread(f, p, len, offset, got, err);
}

static void
test_what_cannot_be_read_is_mended(void **state)
{
	struct world w;

	(void)state;
	begin(&w, 11, 12, 24000, 10);
	well = w.fs->ops;
	sick = *well;
	sick.pread = sick_pread;
	w.fs->ops = &sick;
	assert_int_equal(mend(&w, 0), PACK_MENDED);
	w.fs->ops = well;
	must_be(&w, w.was.p, w.was.len);
	end(&w);
}

#define TEST(name) cmocka_unit_test(name)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bursts_within_the_parity_are_mended),
		TEST(test_any_m_blocks_of_each_stripe),
		TEST(test_any_byte_of_a_small_pack),
		TEST(test_the_parity_itself),
		TEST(test_a_file_too_short_or_too_long),
		TEST(test_a_planted_head_is_refused),
		TEST(test_faults_while_mending),
		TEST(test_power_cuts_while_sealing),
		TEST(test_what_cannot_be_read_is_mended),
	};

	return cmocka_run_group_tests_name("pack_parity", tests, NULL, NULL);
}
