/*
 * index_rig.h - an index over files in memory, beside a plain list of what it holds.
 *
 * check() asks for every id: it must be found exactly if a copy counts, at a place
 * where it lies.
 */
#ifndef TESTS_UNIT_STORAGE_INDEX_RIG_H
#define TESTS_UNIT_STORAGE_INDEX_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "storage/fs_fault.h"
#include "storage/index.h"
#include "tests/unit/storage/made_groups.h"

#define PACKS_MAX 400
#define COPIES_MAX 20000
#define CHUNKS 3000

enum pack_state { PACK_NONE, PACK_FILLING, PACK_SEALED, PACK_FORGOTTEN };

struct copy {
	uint64_t chunk;
	struct pack_entry e;
	int bad;
};

struct model {
	struct fs_fault *ff;
	struct fs *fs;
	struct index *ix;
	struct index_config config;
	enum pack_state packs[PACKS_MAX];
	uint32_t next_pack;
	struct pack_writer *pw; /* The one being filled. */
	uint32_t n_copies;
	struct buf buf;
	struct err err;
	uint64_t rng;
	struct copy copies[COPIES_MAX];
};

static struct model m;
static struct chunk_id ids[CHUNKS];
static struct index_hit hits[CHUNKS];

static inline uint64_t
draw(uint64_t below)
{
	m.rng = made_mix(m.rng);
	return m.rng % below;
}

static inline void
begin(uint64_t seed)
{
	/* All but the copies, which are many. */
	memset(&m, 0, offsetof(struct model, copies));
	assert_non_null(m.ff = fs_fault_new(seed));
	m.fs = fs_fault_fs(m.ff);
	m.rng = seed;
	m.next_pack = 1;
	m.buf.max = GROUP_LEN_MAX;
	memcpy(m.config.store, made_store, PACK_STORE_ID_LEN);
	m.config.mem_entries = 64;
	m.config.fan_in = 3;
	made_dirs(m.fs);
}

static inline int
make_ids(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < CHUNKS; i++)
		ids[i] = made_id(i);
	return 0;
}

static inline void
end(void)
{
	index_close(m.ix);
	pack_writer_free(m.pw);
	buf_free(&m.buf);
	fs_fault_free(m.ff);
}

static inline size_t
list_packs(uint32_t *out)
{
	size_t n = 0;

	/* Not in order: the index must not care. */
	for (uint32_t i = PACKS_MAX; i-- > 1;)
		if (m.packs[i] == PACK_SEALED)
			out[n++] = i;
	return n;
}

static inline struct index_opened
open_index(void)
{
	struct index_opened opened;
	uint32_t packs[PACKS_MAX];
	size_t n = list_packs(packs);

	assert_int_equal(
	    index_open(m.fs, &m.config, packs, n, &m.ix, &opened, &m.err), 0);
	return opened;
}

/* Every chunk's truth against the index. */
static inline void
check(void)
{
	static uint8_t want[CHUNKS];
	static uint8_t right[CHUNKS];

	memset(want, 0, sizeof(want));
	memset(right, 0, sizeof(right));
	assert_int_equal(index_lookup(m.ix, ids, CHUNKS, hits, &m.err), 0);
	for (uint32_t i = 0; i < m.n_copies; i++) {
		const struct copy *c = &m.copies[i];
		const struct index_hit *h = &hits[c->chunk];

		if (m.packs[c->e.loc.pack] == PACK_FORGOTTEN || c->bad)
			continue;
		want[c->chunk] = 1;
		right[c->chunk] |= h->loc.pack == c->e.loc.pack &&
				   h->loc.offset == c->e.loc.offset &&
				   h->loc.place == c->e.loc.place && h->len == c->e.len &&
				   h->kind == c->e.kind;
	}
	for (uint64_t i = 0; i < CHUNKS; i++) {
		assert_int_equal(hits[i].loc.pack != 0, want[i]);
		assert_int_equal(right[i], want[i]);
	}
}

/* A group of `n` chunks from `first` into the pack being filled, and the index. */
static inline void
add_group(uint64_t first, uint32_t n)
{
	struct pack_entry e[64];
	struct group g;
	uint32_t offset;
	uint64_t to;

	if (m.pw == NULL) {
		m.packs[m.next_pack] = PACK_FILLING;
		assert_int_equal(pack_writer_open(m.fs, m.next_pack++, CHUNK_DATA,
				     made_store, &m.pw, &m.err),
		    0);
	}
	made_group(first, n, &m.buf, &g);
	assert_int_equal(
	    pack_writer_append(m.pw, &g, &offset, &to, &m.err), PACK_APPENDED);
	assert_int_equal(pack_writer_sync(m.pw, to, &m.err), 0);
	pack_entries(pack_writer_no(m.pw), offset, &g, e);
	assert_int_equal(index_add(m.ix, e, n, &m.err), 0);
	for (uint32_t i = 0; i < n; i++) {
		m.copies[m.n_copies].chunk = first + i;
		m.copies[m.n_copies].bad = 0;
		m.copies[m.n_copies++].e = e[i];
	}
}

static inline void
seal(void)
{
	uint32_t no;

	if (m.pw == NULL)
		return;
	no = pack_writer_no(m.pw);
	assert_int_equal(pack_writer_seal(m.pw, &m.err), 0);
	pack_writer_free(m.pw);
	m.pw = NULL;
	m.packs[no] = PACK_SEALED;
	index_pack_done(m.ix, no);
}

static inline uint32_t
some_sealed_pack(void)
{
	uint32_t packs[PACKS_MAX];
	size_t n = list_packs(packs);

	return n == 0 ? 0 : packs[draw(n)];
}

static inline void
set_bad(int bad)
{
	uint32_t i = m.n_copies > 0 ? (uint32_t)draw(m.n_copies) : 0;
	struct pack_loc loc;

	if (m.n_copies == 0)
		return;
	loc = m.copies[i].e.loc;
	assert_int_equal(
	    (bad ? index_quarantine : index_release)(m.ix, loc.pack, loc.offset, &m.err),
	    0);
	for (i = 0; i < m.n_copies; i++)
		if (m.copies[i].e.loc.pack == loc.pack &&
		    m.copies[i].e.loc.offset == loc.offset)
			m.copies[i].bad = bad;
}

/* Close or kill, then make the store as an opening finds it. */
static inline void
reopen(int kill)
{
	struct pack_recovery r;
	uint32_t no = m.pw != NULL ? pack_writer_no(m.pw) : 0;

	if (kill)
		/* From here on nothing reaches the disk. */
		fs_fault_arm(m.ff, 1, FS_FAULT_DIE);
	index_close(m.ix);
	m.ix = NULL;
	pack_writer_free(m.pw);
	m.pw = NULL;
	fs_fault_restart(m.ff, kill == 2);
	if (no != 0) {
		assert_int_equal(
		    pack_recover(m.fs, no, made_store, NULL, &r, &m.err), 0);
		m.packs[no] = PACK_SEALED;
	}
	assert_int_equal(open_index().damaged, 0);
}

#endif /* TESTS_UNIT_STORAGE_INDEX_RIG_H */
