/*
 * golden.h - one of each structure of version 1, always the same: what the
 * files in tests/golden/v1 are made from (tools/golden_main.c) and held against
 * (unit/server/golden_test.c).
 *
 * zstd's output may differ between its versions, so groups that have any are
 * only made once; what holds them (packs) takes them from their files.
 */
#ifndef TESTS_GOLDEN_GOLDEN_H
#define TESTS_GOLDEN_GOLDEN_H

#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/group_format.h"
#include "proto/chunk/tree.h"
#include "proto/chunk/tree_format.h"
#include "storage/escrow.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/pack_format.h"
#include "storage/store_escrow.h"
#include "tests/golden/golden_learned.h"

#define GOLDEN_DIR "tests/golden/v1/"
#define GOLDEN_MAX (8u * 1024 * 1024)
#define GOLDEN_SIZE (3ull * TREE_SPAN_LEN - 512) /* Of the volume. */

static const uint8_t golden_store[16] = "golden store, 1";
static const uint8_t golden_domain[CHUNK_KEY_LEN] = "the golden dedup domain's  key.";
static const uint8_t golden_master[32] = "the golden store's master key..";

#define GOLDEN_MUST(call)                                                           \
	do {                                                                        \
		struct err err = ERR_INIT;                                          \
		if ((call) != 0) {                                                  \
			(void)fprintf(stderr, "golden: %s: %s\n", #call, err.text); \
			abort();                                                    \
		}                                                                   \
	} while (0)

/* The content of GOLDEN_DIR/name. */
static inline void
golden_read(const char *name, struct buf *out)
{
	char path[200];
	uint8_t *to;
	FILE *f;

	(void)snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
	buf_clear(out);
	if ((f = fopen(path, "rb")) == NULL) {
		(void)fprintf(stderr, "golden: no %s\n", path);
		abort();
	}
	for (;;) {
		struct err err = ERR_INIT;
		size_t got;

		to = buf_room(out, 65536, &err);
		assert(to != NULL);
		if ((got = fread(to, 1, 65536, f)) == 0)
			break;
		out->len += got;
	}
	(void)fclose(f);
}

/* ------------------------------------------------------------------- groups -- */

/* Chunk `n`: noise, or (odd) text that zstd makes short. */
static inline size_t
golden_chunk(unsigned n, uint8_t out[4096])
{
	size_t len = 200 + 37 * n;
	uint32_t x = n + 1;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525u + 1013904223u;
		out[i] = n % 2 == 1 ? (uint8_t)("golden "[i % 7]) : (uint8_t)(x >> 24);
	}
	return len;
}

static inline void
golden_group_of(enum chunk_kind kind, const uint8_t *const p[], const size_t len[],
    unsigned n, struct buf *out)
{
	struct group_builder *b = group_builder_new(kind);
	struct codec *c = codec_new();
	struct chunk_keys keys;
	struct chunk_id id;

	assert(b != NULL && c != NULL);
	chunk_keys_init(&keys, golden_domain);
	for (unsigned i = 0; i < n; i++) {
		chunk_id_of(&keys, kind, p[i], len[i], &id);
		GOLDEN_MUST(group_builder_add(b, &id, p[i], len[i], &err));
	}
	GOLDEN_MUST(group_builder_finish(b, c, 3, out, &err));
	group_builder_free(b);
	codec_free(c);
}

static inline void
golden_group(unsigned first, struct buf *out)
{
	uint8_t bytes[3][4096];
	const uint8_t *p[3] = { bytes[0], bytes[1], bytes[2] };
	size_t len[3];

	for (unsigned i = 0; i < 3; i++)
		len[i] = golden_chunk(first + 2 * i, bytes[i]);
	golden_group_of(CHUNK_DATA, p, len, 3, out);
}

static inline void
golden_group_raw(struct buf *out)
{
	golden_group(0, out);
}

static inline void
golden_group_zstd(struct buf *out)
{
	golden_group(1, out);
}

/* The raw one as a later program may make it: an optional feature, a field. */
static inline void
golden_group_later(struct buf *out)
{
	static const uint8_t field[] = { 5, 0, 4, 0, 0, 0, 'm', 'o', 'r', 'e' };
	size_t at = GROUP_HEADER_LEN + 3 * GROUP_ENTRY_LEN;
	struct err err = ERR_INIT;

	golden_group_raw(out);
	assert(buf_room(out, sizeof(field), &err) != NULL);
	memmove(out->p + at + sizeof(field), out->p + at, out->len - at);
	memcpy(out->p + at, field, sizeof(field));
	out->len += sizeof(field);
	store_le32(out->p + AT_FIELDS_LEN, sizeof(field));
	store_le16(out->p + AT_OPTIONAL, 0x8001);
	group_hash(out->p, out->len, out->p + AT_HASH);
}

/* -------------------------------------------------------------------- trees -- */

struct golden_tree {
	struct buf node[8];
	unsigned n;
};

static inline int
golden_emit(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct golden_tree *t = arg;

	(void)id;
	assert(t->n < 8);
	t->node[t->n].max = GOLDEN_MAX;
	return buf_add(&t->node[t->n++], p, len, err);
}

/* Every kind of extent, and every way in which data is written. */
static inline void
golden_tree_make(struct golden_tree *t)
{
	struct tree_root root = { .size = GOLDEN_SIZE,
		.sector_size = 512,
		.fs = "ntfs",
		.provider = "vss",
		.grade = TREE_APPLICATION,
		.generation = 0x0102030405060708,
		.nonce = "golden's  nonce" };
	struct chunk_keys keys;
	struct tree_builder *b;
	struct chunk_id id;
	uint64_t at = 0;
	struct extent e[] = {
		{ .kind = EXTENT_DATA,
		    .len = 65536,
		    .chunk_len = 65536,
		    .id = { "whole" } },
		{ .kind = EXTENT_DATA,
		    .len = 4096,
		    .chunk_len = 9000,
		    .chunk_offset = 100,
		    .id = { "part" } },
		{ .kind = EXTENT_DATA,
		    .len = 4096,
		    .chunk_len = 9000,
		    .chunk_offset = 4904,
		    .id = { "part" } },
		{ .kind = EXTENT_HOLE, .len = 1 << 20 },
		{ .kind = EXTENT_ZERO, .len = 8192 },
		{ .kind = EXTENT_EXCLUDED, .len = 1 << 20, .reason = EXTENT_PAGEFILE },
		{ .kind = EXTENT_EXCLUDED, .len = 1 << 20, .reason = EXTENT_HIBERFIL },
		{ .kind = EXTENT_EXCLUDED, .len = 512, .reason = EXTENT_REASON_MAX },
		{ .kind = EXTENT_DATA,
		    .len = 262144,
		    .chunk_len = 262144,
		    .id = { "long" } },
		{ .kind = EXTENT_HOLE },
	};

	memset(t, 0, sizeof(*t));
	chunk_keys_init(&keys, golden_domain);
	assert((b = tree_builder_new(&keys, &root, golden_emit, t)) != NULL);
	for (unsigned i = 0; i < sizeof(e) / sizeof(e[0]); i++) {
		if (e[i].len == 0)
			e[i].len = (uint32_t)(GOLDEN_SIZE - at);
		e[i].offset = at;
		at += e[i].len;
		GOLDEN_MUST(tree_builder_add(b, &e[i], &err));
	}
	GOLDEN_MUST(tree_builder_finish(b, &id, &err));
	tree_builder_free(b);
	/* A leaf, one of hole, a shorter one, an inner node, the root. */
	assert(t->n == 5);
}

static inline void
golden_node(unsigned n, struct buf *out)
{
	struct golden_tree t;

	golden_tree_make(&t);
	buf_clear(out);
	GOLDEN_MUST(buf_add(out, t.node[n].p, t.node[n].len, &err));
	for (unsigned i = 0; i < t.n; i++)
		buf_free(&t.node[i]);
}

static inline void
golden_leaf(struct buf *out)
{
	golden_node(0, out);
}

static inline void
golden_inner(struct buf *out)
{
	golden_node(3, out);
}

static inline void
golden_root(struct buf *out)
{
	golden_node(4, out);
}

static inline void
golden_root_later(struct buf *out)
{
	golden_node(4, out);
	store_le16(out->p + ROOT_OPTIONAL, 0x8001);
	GOLDEN_MUST(feature_add_field(out, 7, "more", 4, &err));
}

static inline void
golden_group_meta(struct buf *out)
{
	struct golden_tree t;
	const uint8_t *p[8];
	size_t len[8];

	golden_tree_make(&t);
	for (unsigned i = 0; i < t.n; i++) {
		p[i] = t.node[i].p;
		len[i] = t.node[i].len;
	}
	golden_group_of(CHUNK_META, p, len, t.n, out);
	for (unsigned i = 0; i < t.n; i++)
		buf_free(&t.node[i]);
}

/* -------------------------------------------------------------------- packs -- */

static inline void
golden_slurp(struct fs *fs, const char *name, struct buf *out)
{
	buf_clear(out);
	GOLDEN_MUST(fs_slurp(fs, name, out, &err));
}

/* Pack `no` of golden groups by name, in a file system of its own. */
static inline struct fs_fault *
golden_pack_of(const uint8_t store[PACK_STORE_ID_LEN], uint32_t no, enum chunk_kind kind,
    const char *const groups[], unsigned n, int seal, uint32_t parity)
{
	struct fs_fault *ff = fs_fault_new(1);
	struct buf b = BUF_INIT(GOLDEN_MAX);
	struct pack_writer *w;
	struct err why = ERR_INIT;
	uint32_t offset;
	uint64_t end;

	assert(ff != NULL);
	GOLDEN_MUST(fs_mkdir(fs_fault_fs(ff), PACK_DIR, &err));
	GOLDEN_MUST(pack_writer_open(fs_fault_fs(ff), no, kind, store, &w, &err));
	pack_writer_parity(w, parity);
	for (unsigned i = 0; i < n; i++) {
		struct group g;

		golden_read(groups[i], &b);
		GOLDEN_MUST(group_parse(b.p, b.len, &g, &err));
		if (pack_writer_append(w, &g, &offset, &end, &why) != PACK_APPENDED)
			abort();
	}
	if (seal)
		GOLDEN_MUST(pack_writer_seal(w, &err));
	pack_writer_free(w);
	buf_free(&b);
	return ff;
}

static inline struct fs_fault *
golden_pack_fs(
    uint32_t no, enum chunk_kind kind, const char *const groups[], unsigned n, int seal)
{
	return golden_pack_of(golden_store, no, kind, groups, n, seal, 0);
}

static const char *const golden_data_groups[] = { "group-raw", "group-zstd",
	"group-later" };
static const char *const golden_meta_groups[] = { "group-meta" };

static inline void
golden_pack_data(struct buf *out)
{
	struct fs_fault *ff = golden_pack_fs(1, CHUNK_DATA, golden_data_groups, 3, 1);

	golden_slurp(fs_fault_fs(ff), "packs/00000001.pack", out);
	fs_fault_free(ff);
}

static inline void
golden_pack_meta(struct buf *out)
{
	struct fs_fault *ff = golden_pack_fs(2, CHUNK_META, golden_meta_groups, 1, 1);

	golden_slurp(fs_fault_fs(ff), "packs/00000002.pack", out);
	fs_fault_free(ff);
}

/* Not sealed, and the last group torn. */
static inline void
golden_pack_open(struct buf *out)
{
	struct fs_fault *ff = golden_pack_fs(1, CHUNK_DATA, golden_data_groups, 3, 0);

	golden_slurp(fs_fault_fs(ff), "packs/00000001.open", out);
	out->len -= 10;
	fs_fault_free(ff);
}

/* Sealed, with parity that nobody here knows. */
static inline void
golden_pack_parity(struct buf *out)
{
	const uint32_t parity = 64;
	struct err err = ERR_INIT;
	size_t end, foot;
	uint8_t *t;

	golden_pack_data(out);
	assert(buf_room(out, parity, &err) != NULL);
	end = load_le32(out->p + out->len - PACK_TRAILER_LEN + 20);
	foot = out->len - end;
	memmove(out->p + end + parity, out->p + end, foot);
	memset(out->p + end, 0x5a, parity);
	memcpy(out->p + end, "HFY1", 4);
	out->len += parity;
	t = out->p + out->len - PACK_TRAILER_LEN;
	store_le32(t + 76, parity);
	store_le64(t + 40, out->len);
	blake3(out->p + end + parity, foot - 32, NULL, t + 96, 32);
}

/* Sealed, with the parity of a tenth that it can be mended from. */
static inline void
golden_pack_mendable(struct buf *out)
{
	struct fs_fault *ff =
	    golden_pack_of(golden_store, 1, CHUNK_DATA, golden_data_groups, 3, 1, 10);

	golden_slurp(fs_fault_fs(ff), "packs/00000001.pack", out);
	fs_fault_free(ff);
}

/* -------------------------------------------------------------------- index -- */

/* The index of the golden data pack: manifest or run. */
static inline void
golden_index(const char *name, struct buf *out)
{
	struct fs_fault *ff = golden_pack_fs(1, CHUNK_DATA, golden_data_groups, 3, 1);
	struct fs *fs = fs_fault_fs(ff);
	struct index_config config = { 0 };
	const uint32_t packs[] = { 1 };
	struct index *ix;

	memcpy(config.store, golden_store, sizeof(config.store));
	GOLDEN_MUST(index_open(fs, &config, packs, 1, &ix, NULL, &err));
	GOLDEN_MUST(index_flush(ix, &err));
	GOLDEN_MUST(index_quarantine(ix, 1, PACK_HEADER_LEN, &err));
	index_close(ix);
	golden_slurp(fs, name, out);
	fs_fault_free(ff);
}

static inline void
golden_manifest(struct buf *out)
{
	golden_index("index/MANIFEST", out);
}

static inline void
golden_run(struct buf *out)
{
	golden_index("index/00000001.run", out);
}

/* ----------------------------------------------------------- format and keys -- */

static inline void
golden_format(struct buf *out)
{
	static const char text[] = "holdfast store\nversion 1\n"
				   "id 676f6c64656e2073746f72652c203100\n"
				   "optional seen-by-a-later-program\nend\n";

	buf_clear(out);
	GOLDEN_MUST(buf_add(out, text, strlen(text), &err));
}

static inline void
golden_keys(struct buf *out)
{
	uint8_t b[88] = "HFKEYS1\n";

	memcpy(b + 8, golden_store, 16);
	memcpy(b + 24, golden_master, 32);
	blake3(b, 56, NULL, b + 56, 32);
	buf_clear(out);
	GOLDEN_MUST(buf_add(out, b, sizeof(b), &err));
}

/* ------------------------------------------------------------------ journal -- */

static inline void
golden_peer(struct store_peer *p)
{
	(void)snprintf(p->name, sizeof(p->name), "web01");
	(void)snprintf(p->group, sizeof(p->group), "web");
	(void)snprintf(p->program, sizeof(p->program), "holdfast-agent 0.1.0");
	p->role = 1;
	memset(p->serial, 0x11, sizeof(p->serial));
	memset(p->key_hash, 0x22, sizeof(p->key_hash));
	memset(p->machine, 0x33, sizeof(p->machine));
	p->cert_ends_us = 1800000000000000;
}

static inline void
golden_point(struct store_point *p)
{
	const struct store_excluded left_out[] = { { EXTENT_PAGEFILE, 1 << 20 },
		{ EXTENT_HIBERFIL, 1 << 20 }, { EXTENT_REASON_MAX, 512 } };

	(void)snprintf(p->host, sizeof(p->host), "web01");
	p->sequence = 7;
	p->frozen_at_us = 1700000000000001;
	(void)snprintf(p->note, sizeof(p->note), "C: the log is in doubt");
	memset(p->backup, 0x44, sizeof(p->backup));
	memset(p->previous, 0x55, sizeof(p->previous));
	p->counts = (struct store_counts){ 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
	p->volumes_count = 2;
	for (unsigned i = 0; i < 2; i++) {
		struct store_volume *v = &p->volumes[i];

		(void)snprintf(v->name, sizeof(v->name), "%c", 'C' + (int)i);
		memset(v->root_id.b, 0x66 + (int)i, sizeof(v->root_id.b));
		v->size = GOLDEN_SIZE;
		v->sector_size = 512;
		(void)snprintf(v->fs, sizeof(v->fs), "ntfs");
		(void)snprintf(v->provider, sizeof(v->provider), "vss");
		v->grade = 1;
		v->data_bytes = 12;
		v->hole_bytes = 13;
		v->zero_bytes = 14;
		v->excluded_bytes = 15;
	}
	GOLDEN_MUST(store_facts_set_excluded(p, left_out, 3, &err));
	/* And one that a later program added. */
	memcpy(p->facts + p->facts_len, "\x09\x00\x04\x00\x00\x00more", 10);
	p->facts_len += 10;
}

static inline int
golden_retention(unsigned type, struct journal_event *e)
{
	struct store_policy *p = &e->u.policy;
	struct journal_mark *m = &e->u.mark;

	switch (type) {
	case JOURNAL_STUB:
		(void)snprintf(e->u.stubs.host, STORE_NAME_MAX, "web01");
		(void)snprintf(e->u.stubs.who, STORE_NAME_MAX, "alice");
		e->u.stubs.n = 3;
		for (unsigned i = 0; i < 3; i++)
			e->u.stubs.sequences[i] = 4 + 2 * i;
		return 1;
	case JOURNAL_POLICY:
		p->scope = STORE_POLICY_GROUP;
		(void)snprintf(p->name, STORE_NAME_MAX, "web");
		(void)snprintf(p->who, STORE_NAME_MAX, "alice");
		p->set = 1;
		p->rules =
		    (struct store_rules){ 21, 22, 23, 24, 25, 26, 27000, 28, 29, 30000 };
		return 1;
	case JOURNAL_HOLD:
	case JOURNAL_UNHOLD:
	case JOURNAL_LOCK:
	case JOURNAL_FORGET:
	case JOURNAL_VERIFIED:
	case JOURNAL_BRAKE:
		(void)snprintf(m->host, STORE_NAME_MAX, "web01");
		m->sequence = 31 + type;
		if (type != JOURNAL_VERIFIED)
			(void)snprintf(m->who, STORE_NAME_MAX, "alice");
		if (type == JOURNAL_VERIFIED || type == JOURNAL_LOCK)
			m->when_us = 1700000000000004;
		else
			(void)snprintf(m->text, STORE_TEXT_MAX, "the case of 2026");
		return 1;
	default:
		return 0;
	}
}

/* What is recorded of restores. */
static inline int
golden_restores(unsigned type, struct journal_event *e)
{
	struct store_restore *r = &e->u.restore;
	struct journal_redeemed *d = &e->u.redeemed;
	struct journal_restored *o = &e->u.restored;

	switch (type) {
	case JOURNAL_RESTORE:
		(void)snprintf(r->host, STORE_NAME_MAX, "web01");
		(void)snprintf(r->who, STORE_NAME_MAX, "alice");
		memset(r->token, 0x21, sizeof(r->token));
		memcpy(r->mac, "\x52\x54\x00\x12\x34\x56", sizeof(r->mac));
		r->by_mac = 1;
		r->only = 1;
		r->sequence = 7;
		r->ends_us = 1700000000000006;
		return 1;
	case JOURNAL_REDEEMED:
		d->id = 33;
		(void)snprintf(d->host, STORE_NAME_MAX, "web01");
		(void)snprintf(d->who, STORE_NAME_MAX, "alice");
		d->sequence = 7;
		memset(d->machine, 0x22, sizeof(d->machine));
		memset(d->key_hash, 0x23, sizeof(d->key_hash));
		memset(d->serial, 0x24, sizeof(d->serial));
		d->cert_ends_us = 1700000000000007;
		return 1;
	case JOURNAL_RESTORED:
		o->id = 33;
		(void)snprintf(o->host, STORE_NAME_MAX, "web01");
		(void)snprintf(o->who, STORE_NAME_MAX, "alice");
		o->how = STORE_RESTORE_ENDED;
		(void)snprintf(o->text, STORE_TEXT_MAX, "the machine is lost");
		return 1;
	default:
		return 0;
	}
}

/* The event of a type, every field set; 0 if there is none. */
static inline int
golden_event(unsigned type, struct journal_event *e)
{
	memset(e, 0, sizeof(*e));
	e->type = (enum journal_type)type;
	switch (type) {
	case JOURNAL_MADE:
		memcpy(e->u.made, golden_store, sizeof(e->u.made));
		return 1;
	case JOURNAL_SECRET:
		(void)snprintf(e->u.secret.name, sizeof(e->u.secret.name), "ca");
		e->u.secret.len = 72;
		memset(e->u.secret.wrapped, 0x77, 72);
		return 1;
	case JOURNAL_PEER:
		golden_peer(&e->u.peer);
		return 1;
	case JOURNAL_SEEN:
		golden_peer(&e->u.peer);
		e->u.peer.seen_us = 1700000000000002;
		return 1;
	case JOURNAL_TOKEN:
		memset(e->u.token.hash, 0x12, sizeof(e->u.token.hash));
		e->u.token.uses_left = 3;
		e->u.token.ends_us = 1700000000000003;
		(void)snprintf(e->u.token.group, STORE_NAME_MAX, "web");
		(void)snprintf(e->u.token.replace_host, STORE_NAME_MAX, "web00");
		(void)snprintf(e->u.token.networks, STORE_TEXT_MAX, "10.0.0.0/8 ::1/128");
		return 1;
	case JOURNAL_TOKEN_USE:
		memset(e->u.use.token, 0x12, sizeof(e->u.use.token));
		golden_peer(&e->u.use.peer);
		e->u.use.cert_len = 40;
		memset(e->u.use.cert, 0x13, 40);
		e->u.use.replaces = 1;
		return 1;
	case JOURNAL_POINT:
		golden_point(&e->u.point);
		return 1;
	case JOURNAL_REVOKE:
	case JOURNAL_AUDIT:
	case JOURNAL_ALARM:
		(void)snprintf(e->u.note.who, sizeof(e->u.note.who), "alice");
		(void)snprintf(e->u.note.what, sizeof(e->u.note.what), "revoked web00");
		return 1;
	case JOURNAL_LEASE_OPEN:
	case JOURNAL_LEASE_CLOSE:
		e->u.lease.id = type == JOURNAL_LEASE_CLOSE ? 11 : 0;
		(void)snprintf(e->u.lease.host, sizeof(e->u.lease.host), "web01");
		return 1;
	case JOURNAL_PACK:
		e->u.pack.no = 1;
		e->u.pack.kind = 1;
		e->u.pack.chunks = 9;
		e->u.pack.groups = 3;
		e->u.pack.plain = 4000;
		e->u.pack.stored = 3000;
		return 1;
	case JOURNAL_QUARANTINE:
	case JOURNAL_RELEASE:
		e->u.group.pack = 1;
		e->u.group.offset = PACK_HEADER_LEN;
		return 1;
	case JOURNAL_REMOVED:
		e->u.removed = 7;
		return 1;
	case JOURNAL_LEASE_REVOKED:
		e->u.lease.id = 12;
		(void)snprintf(e->u.lease.host, STORE_NAME_MAX, "web01");
		return 1;
	default:
		return golden_restores(type, e) || golden_retention(type, e);
	}
}

static inline int64_t
golden_clock(void)
{
	return 1700000000000000;
}

static inline void
golden_journal_key(uint8_t key[32])
{
	blake3_derive_key(
	    "holdfast store v1: journal", golden_master, sizeof(golden_master), key, 32);
}

/* The types in each golden journal, as they came to be. */
#define GOLDEN_FIRST 0x1feffu	    /* 1 to 16 but for 8, as bits; 0 is set too. */
#define GOLDEN_RETENTION 0x63e0100u /* 8, 17 to 21, 25, 26 */

/* A record of each of these types, and one that a later program made and we may skip. */
static inline void
golden_journal_file(uint64_t types, const char *name, struct buf *out)
{
	struct fs_fault *ff = fs_fault_new(1);
	struct fs *fs = fs_fault_fs(ff);
	struct journal_event *e = malloc(sizeof(*e));
	struct journal_place end;
	struct buf all = BUF_INIT(GOLDEN_MAX);
	struct fs_file *f;
	struct journal *j;
	uint8_t key[32];

	assert(ff != NULL && e != NULL);
	golden_journal_key(key);
	GOLDEN_MUST(journal_create(fs, golden_store, key, &err));
	GOLDEN_MUST(journal_open(fs, golden_store, key, golden_clock, &j, NULL, &err));
	for (unsigned type = 1; type < 64; type++)
		if ((types >> type & 1) != 0 && golden_event(type, e))
			GOLDEN_MUST(journal_append(j, e, &end, &err));
	journal_close(j);
	golden_slurp(fs, JOURNAL_NAME, &all);
	GOLDEN_MUST(journal_frame(0x8001, (const uint8_t *)"more", 4, end.time_us + 1,
	    end.sequence, key, &end, &all, &err));
	GOLDEN_MUST(fs_open(fs, JOURNAL_NAME, FS_READ | FS_WRITE, &f, &err));
	GOLDEN_MUST(fs_pwrite(f, all.p, all.len, 0, &err));
	fs_close(f);
	/* Opening writes the head. */
	GOLDEN_MUST(journal_open(fs, golden_store, key, golden_clock, &j, NULL, &err));
	journal_close(j);
	golden_slurp(fs, name, out);
	buf_free(&all);
	free(e);
	fs_fault_free(ff);
}

static inline void
golden_journal(struct buf *out)
{
	golden_journal_file(GOLDEN_FIRST, JOURNAL_NAME, out);
}

static inline void
golden_journal_head(struct buf *out)
{
	golden_journal_file(GOLDEN_FIRST, JOURNAL_HEAD_NAME, out);
}

#define GOLDEN_RESTORE 0xe00000000u /* 33 to 35 */

static inline void
golden_journal_restore(struct buf *out)
{
	golden_journal_file(GOLDEN_RESTORE, JOURNAL_NAME, out);
}

#define GOLDEN_COLLECT 0x1400000u /* 22, 24 */

static inline void
golden_journal_collect(struct buf *out)
{
	golden_journal_file(GOLDEN_COLLECT, JOURNAL_NAME, out);
}

static inline void
golden_journal_retention(struct buf *out)
{
	golden_journal_file(GOLDEN_RETENTION, JOURNAL_NAME, out);
}

/* ---------------------------------------------------------------------- all -- */

struct golden_item {
	const char *name;
	void (*make)(struct buf *out);
	int once; /* Not made again: zstd's bytes are its own. */
};

/* -------------------------------------------------------------------- escrow -- */

#define GOLDEN_PASSPHRASE "a golden passphrase"

static inline void
golden_escrow(struct buf *out)
{
	static const struct escrow_cost cost = { 2, ESCROW_MEMORY_MIN };
	struct store_keys_of k;

	memcpy(k.store, golden_store, sizeof(k.store));
	memcpy(k.master, golden_master, sizeof(k.master));
	buf_clear(out);
	GOLDEN_MUST(escrow_seal(
	    &k, GOLDEN_PASSPHRASE, strlen(GOLDEN_PASSPHRASE), &cost, out, &err));
}

/* The payload of a record that `journal` has none of. */
static inline void
golden_record_key(struct buf *out)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	assert(e != NULL);
	e->type = JOURNAL_KEY;
	e->u.key.what = STORE_ESCROW_SEALED;
	memset(e->u.key.check, 0xc5, sizeof(e->u.key.check));
	memcpy(e->u.key.who, "admin", 6);
	buf_clear(out);
	GOLDEN_MUST(journal_encode(e, out, &err));
	free(e);
}

static inline void
golden_store_alarm(struct journal_event *e)
{
	memset(e, 0, sizeof(*e));
	e->type = JOURNAL_STORE_ALARM;
	e->u.notice.kind = 2;
	e->u.notice.trusted_us = 1700000000000004;
	(void)snprintf(e->u.notice.text, sizeof(e->u.notice.text), "the disk is full");
}

/* The same of an alarm of the store's own. */
static inline void
golden_record_alarm(struct buf *out)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	assert(e != NULL);
	golden_store_alarm(e);
	buf_clear(out);
	GOLDEN_MUST(journal_encode(e, out, &err));
	free(e);
}

/* Of what was learned of packs and points. */
static inline void
golden_record_of(void (*make)(struct journal_event *e), struct buf *out)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	assert(e != NULL);
	make(e);
	buf_clear(out);
	GOLDEN_MUST(journal_encode(e, out, &err));
	free(e);
}

static inline void
golden_record_checked(struct buf *out)
{
	golden_record_of(golden_checked, out);
}

static inline void
golden_record_hurt(struct buf *out)
{
	golden_record_of(golden_hurt, out);
}

static inline void
golden_record_suspect(struct buf *out)
{
	golden_record_of(golden_suspect, out);
}

/* In the order in which they are made: packs need groups. */
static const struct golden_item golden_items[] = {
	{ "group-raw", golden_group_raw, 0 },
	{ "group-zstd", golden_group_zstd, 1 },
	{ "group-later", golden_group_later, 0 },
	{ "group-meta", golden_group_meta, 1 },
	{ "root", golden_root, 0 },
	{ "root-later", golden_root_later, 0 },
	{ "inner", golden_inner, 0 },
	{ "leaf", golden_leaf, 0 },
	{ "pack-data.pack", golden_pack_data, 0 },
	{ "pack-meta.pack", golden_pack_meta, 0 },
	{ "pack-parity.pack", golden_pack_parity, 0 },
	{ "pack-mendable.pack", golden_pack_mendable, 0 },
	{ "pack-torn.open", golden_pack_open, 0 },
	{ "MANIFEST", golden_manifest, 0 },
	{ "run", golden_run, 0 },
	{ "format", golden_format, 0 },
	{ "keys", golden_keys, 0 },
	{ "journal", golden_journal, 0 },
	{ "journal.head", golden_journal_head, 0 },
	{ "journal-retention", golden_journal_retention, 0 },
	{ "journal-collect", golden_journal_collect, 0 },
	{ "journal-restore", golden_journal_restore, 0 },
	{ "escrow", golden_escrow, 1 },
	{ "record-23", golden_record_key, 0 },
	{ "record-28", golden_record_alarm, 0 },
	{ "record-27", golden_record_checked, 0 },
	{ "record-29", golden_record_hurt, 0 },
	{ "record-36", golden_record_suspect, 0 },
};

#define GOLDEN_ITEMS (sizeof(golden_items) / sizeof(golden_items[0]))

#endif /* TESTS_GOLDEN_GOLDEN_H */
