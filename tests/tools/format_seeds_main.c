/*
 * format_seeds - makes the seed inputs of the fuzz targets of our own formats,
 * which are checked in: format_seeds DIRECTORY, from the top of the tree, puts
 * them into DIRECTORY/fuzz_group and so on.  Most are the golden files, as they
 * are and with one thing changed.
 */
#include "storage/index_run.h"
#include "storage/index_view.h"
#include "tests/golden/golden_wire.h"

#define FORMAT "holdfast store\nversion 1\nid 676f6c64656e2073746f72652c203100\n"

static const char *dir;

/* What the targets of packs and of the index take for their store's id. */
static const uint8_t fuzz_store[16] = "made for a test";

/* DIRECTORY/fuzz_TARGET/NAME: perhaps a byte that chooses, then `p`. */
static void
put(const char *target, const char *name, int first, const void *p, size_t len)
{
	char path[400];
	FILE *f;

	(void)snprintf(path, sizeof(path), "%s/fuzz_%s/%s", dir, target, name);
	if ((f = fopen(path, "wb")) == NULL)
		abort();
	if (first >= 0)
		(void)fputc(first, f);
	(void)fwrite(p, 1, len, f);
	if (fclose(f) != 0)
		abort();
}

/* ------------------------------------------------------------------- groups -- */

/* A golden group with the bytes at `at` changed, its hash right. */
static void
put_group(const char *name, const char *golden, size_t at, uint32_t value, size_t width)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);
	uint8_t raw[4];

	golden_read(golden, &b);
	store_le32(raw, value);
	memcpy(b.p + at, raw, width);
	group_hash(b.p, b.len, b.p + AT_HASH);
	put("group", name, -1, b.p, b.len);
	buf_free(&b);
}

static void
make_groups(void)
{
	static const struct {
		const char *name, *golden;
		size_t at;
		uint32_t value;
		size_t width;
	} made[] = { { "raw", "group-raw", 7, 0, 1 }, { "zstd", "group-zstd", 7, 0, 1 },
		{ "meta", "group-meta", 7, 0, 1 }, { "later", "group-later", 7, 0, 1 },
		{ "magic", "group-raw", 3, '0', 1 },
		{ "kind", "group-raw", AT_KIND, 3, 1 },
		{ "other_kind", "group-raw", AT_KIND, 2, 1 },
		{ "codec", "group-raw", AT_CODEC, 2, 1 },
		{ "cipher", "group-raw", AT_CIPHER, 1, 1 },
		{ "reserved", "group-raw", AT_RESERVED, 1, 1 },
		{ "required", "group-raw", AT_REQUIRED, 4, 2 },
		{ "none", "group-raw", AT_COUNT, 0, 4 },
		{ "empty", "group-raw", AT_PLAIN_LEN, 0, 4 },
		{ "sum", "group-raw", AT_PLAIN_LEN, 900, 4 },
		{ "stored", "group-zstd", AT_DATA_LEN, 9000, 4 },
		{ "key", "group-raw", AT_KEY_ID, 1, 4 },
		{ "fields", "group-raw", AT_FIELDS_LEN, 4097, 4 },
		{ "field_cut", "group-later", GROUP_HEADER_LEN + 3 * GROUP_ENTRY_LEN + 2,
		    99, 4 },
		{ "field_required", "group-later",
		    GROUP_HEADER_LEN + 3 * GROUP_ENTRY_LEN + 1, 0x80, 1 },
		{ "chunk_len", "group-raw", GROUP_HEADER_LEN + 32, 0, 4 },
		{ "wrong_id", "group-raw", GROUP_HEADER_LEN, 0, 4 },
		{ "bad_frame", "group-zstd", GROUP_HEADER_LEN + 3 * GROUP_ENTRY_LEN, 0,
		    4 } };
	struct buf b = BUF_INIT(GOLDEN_MAX);

	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
		put_group(made[i].name, made[i].golden, made[i].at, made[i].value,
		    made[i].width);
	golden_read("group-raw", &b);
	put("group", "cut_header", -1, b.p, GROUP_HEADER_LEN - 1);
	put("group", "cut_data", -1, b.p, b.len - 1);
	b.p[AT_HASH] ^= 1;
	put("group", "bad_hash", -1, b.p, b.len);
	buf_free(&b);
}

/* -------------------------------------------------------------------- trees -- */

static void
put_node(const char *name, int which, const char *golden, size_t at, int value)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);

	golden_read(golden, &b);
	if (value >= 0)
		b.p[at] = (uint8_t)value;
	put("tree", name, which, b.p, b.len);
	buf_free(&b);
}

static void
make_trees(void)
{
	static const uint8_t leaves[][20] = { { 'H', 'F', 'L', '1', 1, 0, 0, 0, 0, 0x80,
						  8 },
		{ 'H', 'F', 'L', '1', 2, 0, 0, 0, 0, 0x80, 4, 6, 0x80, 4 },
		{ 'H', 'F', 'L', '1', 1, 0, 0, 0, 4, 0x80, 8 } };
	static const size_t len[] = { 11, 14, 11 };
	struct golden_tree t;
	struct buf walk = BUF_INIT(GOLDEN_MAX);
	char name[20];

	put_node("root", 0, "root", 0, -1);
	put_node("root_later", 0, "root-later", 0, -1);
	put_node("root_field_required", 0, "root-later", ROOT_LEN + 1, 0x80);
	put_node("root_sector", 0, "root", ROOT_SECTOR + 1, 3);
	put_node("root_reserved", 0, "root", ROOT_RESERVED, 1);
	put_node("root_required", 0, "root", ROOT_REQUIRED, 1);
	put_node("root_grade", 0, "root", ROOT_GRADE, 3);
	put_node("root_levels", 0, "root", ROOT_LEVELS, 2);
	put_node("root_sums", 0, "root", ROOT_TOP + 32, 1);
	put_node("root_name", 0, "root", ROOT_FS + 10, 'x');
	put_node("inner", 1, "inner", 0, -1);
	put_node("inner_sums", 1, "inner", TREE_NODE_HEADER_LEN + 32, 1);
	put_node("inner_count", 1, "inner", TREE_NODE_COUNT, 4);
	put_node("leaf", 2, "leaf", 0, -1);
	put_node("not_leaf", 2, "leaf", 3, '0');
	for (size_t i = 0; i < 3; i++) {
		(void)snprintf(name, sizeof(name), "leaf_%zu", i);
		put("tree", name, 2, leaves[i], len[i]);
	}
	put("tree", "leaf_tail", 2, leaves[0], len[0] + 1);
	golden_tree_make(&t);
	GOLDEN_MUST(buf_add(&walk, t.node[4].p, t.node[4].len, &err));
	/* In the order in which a walk asks. */
	for (unsigned i = 0; i < 4; i++) {
		const struct buf *n = &t.node[i == 0 ? 3 : i - 1];

		GOLDEN_MUST(buf_add_le16(&walk, (uint16_t)n->len, &err));
		GOLDEN_MUST(buf_add(&walk, n->p, n->len, &err));
	}
	put("tree", "walk", 3, walk.p, walk.len);
	for (unsigned i = 0; i < t.n; i++)
		buf_free(&t.node[i]);
	buf_free(&walk);
}

/* -------------------------------------------------------------------- packs -- */

/* A golden pack as number 5 of the store that the targets know. */
static void
pack_for_fuzz(const char *golden, struct buf *b)
{
	size_t foot = 0;
	uint8_t *t;

	golden_read(golden, b);
	store_le32(b->p + 8, 5);
	memcpy(b->p + 16, fuzz_store, 16);
	blake3(b->p, PACK_HEADER_LEN - 32, NULL, b->p + PACK_HEADER_LEN - 32, 32);
	t = b->p + b->len - PACK_TRAILER_LEN;
	if (memcmp(t, "HFE1", 4) != 0)
		return;
	foot = load_le32(t + 20) + load_le32(t + 76);
	store_le32(t + 8, 5);
	memcpy(t + 48, fuzz_store, 16);
	blake3(b->p + foot, b->len - foot - 32, NULL, t + 96, 32);
}

/* Packs that are whole, damaged within their parity, and beyond it. */
static void
make_parity(void)
{
	struct fs_fault *ff =
	    golden_pack_of(fuzz_store, 5, CHUNK_DATA, golden_data_groups, 3, 1, 30);
	struct buf b = BUF_INIT(GOLDEN_MAX);
	uint32_t end, parity;

	golden_slurp(fs_fault_fs(ff), "packs/00000005.pack", &b);
	fs_fault_free(ff);
	put("parity", "whole", -1, b.p, b.len);
	b.p[1] ^= 1;
	put("parity", "header", -1, b.p, b.len);
	end = load_le32(b.p + b.len - PACK_TRAILER_LEN + 20);
	parity = load_le32(b.p + b.len - PACK_TRAILER_LEN + 76);
	b.p[end] ^= 1;
	put("parity", "header_head", -1, b.p, b.len);
	put("parity", "header_cut", -1, b.p, end + parity);
	b.p[end + 160 + 1] ^= 1;
	b.p[end + parity / 2] ^= 1;
	put("parity", "header_table", -1, b.p, b.len);
	memset(b.p, 7, end + parity / 2);
	put("parity", "beyond", -1, b.p, b.len);
	buf_free(&b);
}

static void
make_packs(void)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);
	size_t foot, second;

	pack_for_fuzz("pack-torn.open", &b);
	put("pack", "torn", 0, b.p, b.len);
	put("pack", "header", 0, b.p, PACK_HEADER_LEN);
	pack_for_fuzz("pack-parity.pack", &b);
	put("pack", "parity", 1, b.p, b.len);
	put("pack", "parity_cut", 0, b.p, b.len - 1);
	foot = load_le32(b.p + b.len - PACK_TRAILER_LEN + 20) + 64;
	put("footer", "parity", 0, b.p + foot, b.len - foot);
	make_parity();
	pack_for_fuzz("pack-data.pack", &b);
	put("pack", "sealed", 1, b.p, b.len);
	put("pack", "finished", 0, b.p, b.len);
	foot = load_le32(b.p + b.len - PACK_TRAILER_LEN + 20);
	put("pack", "open", 0, b.p, foot);
	put("footer", "footer", 0, b.p + foot, b.len - foot);
	put("footer", "header", 1, b.p, PACK_HEADER_LEN);
	b.p[PACK_HEADER_LEN + 500] ^= 1;
	put("pack", "flipped_group", 1, b.p, b.len);
	put("pack", "damaged", 0, b.p, foot);
	/* The second group is of a later program. */
	pack_for_fuzz("pack-data.pack", &b);
	GOLDEN_MUST(group_peek(b.p + PACK_HEADER_LEN, &second, &err));
	second = (size_t)pack_align(PACK_HEADER_LEN + second);
	b.p[second + AT_REQUIRED] = 1;
	GOLDEN_MUST(group_peek(b.p + second, &foot, &err));
	group_hash(b.p + second, foot, b.p + second + AT_HASH);
	put("pack", "later_open", 0, b.p, b.len - 200);
	put("pack", "later_sealed", 1, b.p, b.len);
	for (int i = 0; i < 4; i++) {
		static const struct {
			const char *name;
			uint8_t at, value;
		} made[] = { { "version", 4, 2 }, { "required", 32, 1 },
			{ "domain", 12, 1 }, { "reserved", 50, 1 } };

		pack_for_fuzz("pack-data.pack", &b);
		b.p[made[i].at] = made[i].value;
		blake3(b.p, PACK_HEADER_LEN - 32, NULL, b.p + PACK_HEADER_LEN - 32, 32);
		put("footer", made[i].name, 1, b.p, PACK_HEADER_LEN);
	}
	buf_free(&b);
}

/* -------------------------------------------------------------------- index -- */

/* A manifest of two runs, three ranges, three groups; one number in it changed. */
static void
put_manifest(const char *name, size_t at, uint32_t value)
{
	static struct index_view v;
	struct index_run runs[2] = { 0 };
	struct index_range ranges[3] = { { 1, 2 }, { 9, 12 }, { 20, 20 } };
	struct index_bad bad[3] = { { 1, 96 }, { 1, 200 }, { 2, 96 } };
	struct buf b = BUF_INIT(GOLDEN_MAX);

	for (uint32_t i = 0; i < 2; i++) {
		runs[i].f.no = 7 + i;
		runs[i].f.entries = 1000;
		v.runs[i] = &runs[i];
	}
	v.n_runs = 2;
	v.next_run = 9;
	v.covered = (struct index_packs){ .r = ranges, .n = 3 };
	v.bad = bad;
	v.n_bad = 3;
	GOLDEN_MUST(index_view_format(&v, fuzz_store, 0, &b, &err));
	if (at > 0)
		store_le32(b.p + at, value);
	blake3(b.p, b.len - 32, NULL, b.p + b.len - 32, 32);
	put("index_run", name, 0, b.p, b.len);
	buf_free(&b);
}

static void
make_manifests(void)
{
	put_manifest("manifest_more", 0, 0);
	put_manifest("manifest_magic", 1, 0);
	put_manifest("manifest_version", 4, 2);
	put_manifest("manifest_flags", 4, 0x20001);
	put_manifest("manifest_optional", 28, 7);
	put_manifest("manifest_counts", 36, 300);
	put_manifest("manifest_run_0", 48, 0);
	put_manifest("manifest_run_twice", 48, 8);
	put_manifest("manifest_ranges", 72, 30);
	put_manifest("manifest_bad", 96, 5);
}

static void
make_index(void)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);
	uint8_t *footer;
	size_t tail;

	golden_read("MANIFEST", &b);
	put("index_run", "manifest", 0, b.p, b.len);
	b.p[24] = 2;
	blake3(b.p, b.len - 32, NULL, b.p + b.len - 32, 32);
	put("index_run", "manifest_required", 0, b.p, b.len);
	golden_read("run", &b);
	footer = b.p + b.len - INDEX_FOOTER_LEN;
	memcpy(footer + 32, fuzz_store, 16);
	tail = b.len - INDEX_BLOCK_LEN;
	blake3(b.p + INDEX_BLOCK_LEN, tail - 32, NULL, footer + 64, 32);
	put("index_run", "run", 2, b.p, b.len);
	put("index_run", "tail", 1, b.p + INDEX_BLOCK_LEN, tail);
	footer[28] = 2;
	blake3(b.p + INDEX_BLOCK_LEN, tail - 32, NULL, footer + 64, 32);
	put("index_run", "tail_required", 1, b.p + INDEX_BLOCK_LEN, tail);
	buf_free(&b);
}

/* Three blocks, so that there is something to search. */
static void
make_blocks(void)
{
	const uint32_t n = 2 * INDEX_BLOCK_ENTRIES + 9, lines = index_run_filter_lines(n);
	struct index_run_footer f = {
		.no = 1, .blocks = 3, .lines = lines, .entries = n
	};
	size_t len = 3 * (INDEX_BLOCK_LEN + INDEX_FENCE_LEN) +
		     (size_t)lines * INDEX_LINE_LEN + INDEX_FOOTER_LEN;
	uint8_t *p = calloc(1, len), *fences = p + 3 * INDEX_BLOCK_LEN,
		*filter = fences + 3 * INDEX_FENCE_LEN;

	memcpy(f.store, fuzz_store, 16);
	for (uint32_t i = 0; i < n; i++) {
		struct pack_entry e = { .loc = { 5, 96 + 8 * i, (uint16_t)(i % 7) },
			.len = 1 + i,
			.kind = CHUNK_DATA };
		uint8_t *block = p + (size_t)(i / INDEX_BLOCK_ENTRIES) * INDEX_BLOCK_LEN;

		e.id.b[0] = (uint8_t)i;
		e.id.b[9] = (uint8_t)(i * 37);
		e.id.b[16] = (uint8_t)(i * 11);
		if (i % INDEX_BLOCK_ENTRIES == 0)
			fences[8 * (i / INDEX_BLOCK_ENTRIES) + 7] = (uint8_t)i;
		index_run_encode(&e,
		    block + INDEX_BLOCK_HEAD + i % INDEX_BLOCK_ENTRIES * INDEX_ENTRY_LEN);
		index_run_filter_add(filter, lines, e.id.b);
	}
	for (uint32_t i = 0; i < 3; i++)
		index_run_seal_block(p + (size_t)i * INDEX_BLOCK_LEN, i,
		    i < 2 ? INDEX_BLOCK_ENTRIES : n - 2 * INDEX_BLOCK_ENTRIES);
	index_run_format_footer(&f, fences, filter, p + len - INDEX_FOOTER_LEN);
	put("index_run", "blocks", 2, p, len);
	free(p);
}

/* ------------------------------------------------------------------ journal -- */

/* A record as the target's journal would have it, behind `at`. */
static void
record(uint16_t type, const uint8_t *p, size_t len, struct journal_place *at,
    struct buf *out)
{
	static const uint8_t key[32] = "fuzz";

	GOLDEN_MUST(journal_frame(
	    type, p, len, at->time_us + 1, at->sequence, key, at, out, &err));
}

static void
make_journal(void)
{
	static const uint8_t id[16] = "fuzz";
	struct buf chain = BUF_INIT(GOLDEN_MAX), one = BUF_INIT(GOLDEN_MAX),
		   payload = BUF_INIT(GOLDEN_MAX);
	struct journal_event *e = malloc(sizeof(*e));
	uint8_t header[JOURNAL_FILE_HEADER_LEN];
	struct journal_place start, at, alone;
	char name[20];

	journal_file_header(id, 0, header, &start);
	at = start;
	for (unsigned type = 1; type < 64; type++) {
		buf_clear(&payload);
		if (!golden_event(type, e))
			continue;
		GOLDEN_MUST(journal_encode(e, &payload, &err));
		record((uint16_t)type, payload.p, payload.len, &at, &chain);
		buf_clear(&one);
		alone = start;
		record((uint16_t)type, payload.p, payload.len, &alone, &one);
		(void)snprintf(name, sizeof(name), "type_%02u", type);
		put("journal", name, -1, one.p, one.len);
	}
	record(0x8001, (const uint8_t *)"later", 5, &at, &chain);
	record(JOURNAL_REVOKE, (const uint8_t *)"\x01x\x05\x00\x00\x00\x00\x00", 8, &at,
	    &chain);
	record(77, (const uint8_t *)"later", 5, &at, &chain);
	put("journal", "chain", -1, chain.p, chain.len);
	put("journal", "cut", -1, chain.p, chain.len - 1);
	buf_free(&chain);
	buf_free(&one);
	buf_free(&payload);
	free(e);
}

/* ----------------------------------------------------------------- messages -- */

static void
make_messages(void)
{
	struct buf b = BUF_INIT(GOLDEN_MAX), in = BUF_INIT(GOLDEN_MAX);
	char name[64];

	for (size_t i = 0; i < GOLDEN_MESSAGES; i++) {
		ProtobufCMessage m = { .descriptor = golden_messages[i] };
		uint16_t kind = msg_kind_of(&m);

		golden_frame_name(kind, GOLDEN_FIRST_FRAME, name);
		golden_read(name, &b);
		buf_clear(&in);
		GOLDEN_MUST(buf_add_le16(&in, kind, &err));
		GOLDEN_MUST(
		    buf_add(&in, b.p + FRAME_HEADER_LEN, b.len - FRAME_HEADER_LEN, &err));
		(void)snprintf(name, sizeof(name), "all_of_%02u", kind);
		put("msg", name, -1, in.p, in.len);
	}
	/* Version 1, and two features in force. */
	put("msg", "welcome_features", -1,
	    "\x02\x00\x08\x01\x5a\x09"
	    "a-feature\x5a\x09z-feature",
	    26);
	buf_free(&b);
	buf_free(&in);
}

/* ------------------------------------------------------------ escrow and keys -- */

/* What the target of escrow files takes for the passphrase is GOLDEN_PASSPHRASE. */
static void
put_escrow(const char *name, size_t at, uint8_t value, int hashed)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);

	golden_read("escrow", &b);
	if (at > 0)
		b.p[at] = value;
	if (hashed)
		blake3(b.p, b.len - BLAKE3_OUT_LEN, NULL, b.p + b.len - BLAKE3_OUT_LEN,
		    BLAKE3_OUT_LEN);
	put("escrow", name, 0, b.p, b.len);
	buf_free(&b);
}

static void
make_escrow(void)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);

	put_escrow("sealed", 0, 0, 0);
	put_escrow("version", 6, '2', 1);
	put_escrow("required", 24, 1, 1);
	put_escrow("passes", 32, 200, 1);
	put_escrow("memory", 39, 1, 1);
	put_escrow("length", 80, 1, 1);
	put_escrow("forged", 90, 1, 1);
	put_escrow("damaged", 90, 1, 0);
	golden_read("keys", &b);
	put("escrow", "keys", 1, b.p, b.len);
	golden_read("format", &b);
	put("escrow", "format", 2, b.p, b.len);
	put("escrow", "format_required", 2, FORMAT "required collect\nend\n",
	    strlen(FORMAT "required collect\nend\n"));
	put("escrow", "format_later", 2, FORMAT "required later\nend\n",
	    strlen(FORMAT "required later\nend\n"));
	put("escrow", "format_cut", 2, FORMAT "opti", strlen(FORMAT "opti"));
	put("escrow", "format_version", 2, "holdfast store\nversion 2\n", 25);
	buf_free(&b);
}

int
main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	dir = argv[1];
	make_groups();
	make_trees();
	make_packs();
	make_index();
	make_manifests();
	make_blocks();
	make_journal();
	make_messages();
	make_escrow();
	return 0;
}
