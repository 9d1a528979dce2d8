/*
 * formats - tells what the code writes, for tests/lint/formats.py to hold
 * storage/FORMAT.md and proto/WIRE.md against.  Lines of tab-separated words:
 *
 *	struct NAME LENGTH HEX	a structure as our writers make it
 *	var NAME VALUE		what stands for a letter in its table
 *	value ROW NUMBER	in it, the row whose meaning begins so has this value
 *	bytes ROW HEX		... these bytes
 *	at ROW OFFSET SIZE	... lies there, as the parser finds it
 *	limit ROW NUMBER	... has this number among its limits
 *	text FILE NUMBER WHAT	somewhere in the document
 *	type NUMBER		a type of the journal's records
 *	reason NUMBER		a reason for what is excluded
 *	message NAME NUMBER	a limit in the row of a message
 */
#include "proto/tls/tls.h"
#include "storage/index_run.h"
#include "storage/index_view.h"
#include "storage/escrow.h"
#include "storage/pack_parity.h"
#include "storage/store_keys.h"
#include "tests/golden/golden_wire.h"

static const uint8_t id16[16] = "0123456789abcdef";

static void
hex(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		(void)printf("%02x", p[i]);
	(void)putchar('\n');
}

static void
begin(const char *name, size_t fixed, const uint8_t *p, size_t len)
{
	(void)printf("struct\t%s\t%zu\t", name, fixed);
	hex(p, len);
}

static void
var(const char *name, uint64_t v)
{
	(void)printf("var\t%s\t%llu\n", name, (unsigned long long)v);
}

static void
value(const char *row, uint64_t v)
{
	(void)printf("value\t%s\t%llu\n", row, (unsigned long long)v);
}

static void
bytes(const char *row, const void *p, size_t len)
{
	(void)printf("bytes\t%s\t", row);
	hex(p, len);
}

static void
at(const char *row, size_t offset, size_t size)
{
	(void)printf("at\t%s\t%zu\t%zu\n", row, offset, size);
}

static void
limit(const char *row, uint64_t n)
{
	(void)printf("limit\t%s\t%llu\n", row, (unsigned long long)n);
}

static void
text(const char *file, uint64_t n, const char *what)
{
	(void)printf("text\t%s\t%llu\t%s\n", file, (unsigned long long)n, what);
}

/*
 * Where is the field that a parser complains about with `words`?  Each byte in
 * turn gets a high bit; those that make it complain are the field.
 */
static void
probe(const char *row, const char *words, uint8_t *p, size_t len,
    int (*parse)(uint8_t *p, size_t len, struct err *err))
{
	size_t first = 0, n = 0;

	for (size_t i = 0; i < len; i++) {
		struct err err = ERR_INIT;
		uint8_t was = p[i];

		p[i] ^= 0x80;
		if (parse(p, len, &err) == -1 && err.code == ERR_UNSUPPORTED &&
		    strstr(err.text, words) != NULL) {
			first = n == 0 ? i : first;
			n = i - first + 1;
		}
		p[i] = was;
	}
	at(row, first, n);
}

/* ------------------------------------------------------------------- groups -- */

static void
tell_groups(void)
{
	struct buf b = BUF_INIT(GOLDEN_MAX), f = BUF_INIT(100);
	struct group g;

	GOLDEN_MUST(feature_add_field(&f, 0x1234, "abc", 3, &err));
	begin("Typed field", 0, f.p, f.len);
	var("n", 3);
	value("type", 0x1234);
	value("length", 3);
	bytes("value", "abc", 3);

	golden_group_later(&b);
	GOLDEN_MUST(group_parse(b.p, b.len, &g, &err));
	begin("Group", 0, b.p, b.len);
	var("n", g.count);
	var("f", g.fields_len);
	var("d", g.data_len);
	at("kind", AT_KIND, 1);
	at("codec", AT_CODEC, 1);
	at("cipher", AT_CIPHER, 1);
	at("required", AT_REQUIRED, 2);
	value("optional", g.optional);
	value("number of chunks", g.count);
	value("plain length", g.plain_len);
	value("stored length", g.data_len);
	at("key id", AT_KEY_ID, 4);
	value("length of the fields", g.fields_len);
	at("hash", AT_HASH, GROUP_HASH_LEN);
	at("entries", GROUP_HEADER_LEN, g.count * GROUP_ENTRY_LEN);
	bytes("fields", "\x05\x00\x04\x00\x00\x00more", 10);
	at("data", g.len - g.data_len, g.data_len);
	limit("number of chunks", GROUP_CHUNKS_MAX);
	limit("plain length", GROUP_PLAIN_MAX);
	limit("stored length", GROUP_CIPHER_MORE);
	limit("length of the fields", GROUP_FIELDS_MAX);
	begin("Group entry", GROUP_ENTRY_LEN, b.p + GROUP_HEADER_LEN, GROUP_ENTRY_LEN);
	at("name", 0, CHUNK_ID_LEN);
	value("length", golden_chunk(0, b.p));
	limit("length", CHUNK_DATA_MAX);
	limit("length", CHUNK_META_MAX);
	buf_free(&b);
	buf_free(&f);
}

/* -------------------------------------------------------------------- trees -- */

static void
tell_child(const uint8_t *p)
{
	struct tree_child c[TREE_FANOUT];
	struct buf b = BUF_INIT(GOLDEN_MAX);
	uint32_t n;

	golden_inner(&b);
	GOLDEN_MUST(
	    tree_parse_inner(b.p, b.len, GOLDEN_SIZE, TREE_SPAN_LEN, c, &n, &err));
	begin("Child", TREE_CHILD_LEN, p, TREE_CHILD_LEN);
	bytes("name", c[0].id.b, CHUNK_ID_LEN);
	value("hole", c[0].sums.hole);
	value("zero", c[0].sums.zero);
	value("excluded", c[0].sums.excluded);
	value("data", c[0].sums.data);
	buf_free(&b);
}

static void
tell_trees(void)
{
	struct buf b = BUF_INIT(GOLDEN_MAX);

	golden_root(&b);
	begin("Root", ROOT_LEN, b.p, b.len);
	value("sector size", 512);
	value("volume size", GOLDEN_SIZE);
	bytes("file system", "ntfs\0\0\0\0\0\0\0\0\0\0\0", 16);
	bytes("provider", "vss\0\0\0\0\0\0\0\0\0\0\0\0", 16);
	at("grade", ROOT_GRADE, 1);
	at("level", ROOT_LEVELS, 1);
	at("required", ROOT_REQUIRED, 2);
	at("optional", ROOT_OPTIONAL, 2);
	value("generation", 0x0102030405060708);
	bytes("nonce", "golden's  nonce", 16);
	at("top node", ROOT_TOP, TREE_CHILD_LEN);
	text("FORMAT.md", TREE_FIELDS_MAX, "fields of a root");
	golden_inner(&b);
	begin("Inner node", 0, b.p, b.len);
	var("n", 3);
	value("number of children", 3);
	at("children", TREE_NODE_HEADER_LEN, 3 * TREE_CHILD_LEN);
	limit("number of children", TREE_FANOUT);
	tell_child(b.p + TREE_NODE_HEADER_LEN);
	golden_leaf(&b);
	begin("Leaf", 0, b.p, b.len);
	value("number of extents", 10);
	at("extents", TREE_NODE_HEADER_LEN, b.len - TREE_NODE_HEADER_LEN);
	limit("number of extents", TREE_LEAF_EXTENTS_MAX);
	text("FORMAT.md", TREE_SPAN_LEN, "span");
	text("FORMAT.md", EXTENT_REASON_MAX, "reason");
	for (unsigned i = 0; i < EXTENT_REASONS; i++)
		(void)printf("reason\t%u\n", i);
	buf_free(&b);
}

/* -------------------------------------------------------------------- packs -- */

static int
parse_pack_header(uint8_t *p, size_t len, struct err *err)
{
	struct pack_header h;

	blake3(p, len - 32, NULL, p + len - 32, 32);
	return pack_parse_header(p, &h, err);
}

static int
parse_pack_footer(uint8_t *p, size_t len, struct err *err)
{
	struct pack_trailer t;

	blake3(p, len - 32, NULL, p + len - 32, 32);
	return pack_parse_footer(
	    p, len, load_le64(p + len - PACK_TRAILER_LEN + 40), &t, err);
}

static void
tell_parity_head(void)
{
	struct parity_head h = {
		.no = 0x010203, .data_end = 0x123458, .foot_len = 0x02b4
	};
	struct parity_head again;
	struct err err = ERR_INIT;
	uint8_t p[PARITY_HEAD_LEN];

	memcpy(h.store, id16, sizeof(h.store));
	memset(h.table, 0x51, sizeof(h.table));
	memset(h.sum, 0x52, sizeof(h.sum));
	assert(pack_parity_plan(&h, 10) == 0);
	pack_parity_format_head(&h, p);
	assert(pack_parity_parse_head(p, &again, &err) == 0);
	begin("Parity head", PARITY_HEAD_LEN, p, sizeof(p));
	value("version", 1);
	value("data blocks", h.k);
	value("parity blocks", h.m);
	value("number", h.no);
	value("bytes of a block", h.block);
	value("stripes", h.stripes);
	value("end of groups", h.data_end);
	value("parity bytes", h.len);
	value("bytes of entries", h.foot_len);
	bytes("store's id", id16, 16);
	bytes("table's hash", h.table, 32);
	bytes("sum", h.sum, 32);
	at("hash", PARITY_HEAD_LEN - 32, 32);
	limit("bytes of a block", PARITY_BLOCK);
	limit("parity bytes", PACK_PARITY_MAX);
	limit("parity bytes", 2 * PARITY_HEAD_LEN);
	limit("parity bytes", 2 * PARITY_HASH_LEN);
}

static void
tell_pack_footer(const struct pack_header *h)
{
	struct pack_entry e = { .loc = { 0, 0x012340, 0x0102 }, .len = 0x030405 };
	struct pack_entry two[2];
	struct pack_toc toc = { .entries = two,
		.count = 2,
		.groups = 1,
		.plain = 2 * (uint64_t)e.len,
		.stored = 0x010101 };
	const uint32_t end = 0x0babb8, parity = 0x0108;
	uint8_t *foot, *t;
	size_t len;

	memcpy(e.id.b, "the name of a chunk, 32 bytes...", 32);
	two[0] = two[1] = e;
	two[1].loc.place++;
	foot = pack_format_footer(h, end, parity, &toc, &len);
	assert(foot != NULL);
	begin("Pack entry", PACK_FOOTER_ENTRY_LEN, foot, PACK_FOOTER_ENTRY_LEN);
	bytes("name", e.id.b, 32);
	value("offset", e.loc.offset);
	value("place", e.loc.place);
	value("length", e.len);
	limit("offset", PACK_HEADER_LEN);
	limit("place", GROUP_CHUNKS_MAX - 1);
	t = foot + 2 * PACK_FOOTER_ENTRY_LEN;
	begin("Pack trailer", PACK_TRAILER_LEN, t, PACK_TRAILER_LEN);
	value("version", 1);
	value("kind", CHUNK_META);
	value("number", h->no);
	value("entries", 2);
	value("groups", 1);
	value("end of groups", end);
	value("plain bytes", toc.plain);
	value("stored bytes", toc.stored);
	value("length of the file", (uint64_t)end + parity + len);
	bytes("store's id", id16, 16);
	/* No reader takes any but 0: the writer leaves it zero, as the bytes show. */
	at("domain", 64, 4);
	value("optional", h->optional);
	value("parity", parity);
	at("hash", PACK_TRAILER_LEN - 32, 32);
	limit("entries", PACK_CHUNKS_MAX);
	limit("end of groups", PACK_TRAILER_LEN);
	limit("end of groups", PACK_FOOTER_ENTRY_LEN);
	limit("parity", PACK_PARITY_MAX);
	limit("stored bytes", PACK_HEADER_LEN);
	/* The offset that probe() would tell is that in the footer. */
	{
		uint8_t copy[PACK_TRAILER_LEN + 2 * PACK_FOOTER_ENTRY_LEN];
		size_t first = 0, n = 0;

		memcpy(copy, foot, sizeof(copy));
		for (size_t i = 2 * PACK_FOOTER_ENTRY_LEN; i < sizeof(copy); i++) {
			struct err err = ERR_INIT;

			copy[i] ^= 0x80;
			if (parse_pack_footer(copy, sizeof(copy), &err) == -1 &&
			    strstr(err.text, "feature") != NULL) {
				first = n == 0 ? i : first;
				n = i - first + 1;
			}
			copy[i] ^= 0x80;
		}
		at("required", first - 2 * PACK_FOOTER_ENTRY_LEN, n);
	}
	free(foot);
}

static void
tell_packs(void)
{
	struct pack_header h = {
		.no = 0x01020304, .kind = CHUNK_META, .optional = 0xa1b2c3d4
	};
	uint8_t p[PACK_HEADER_LEN];

	memcpy(h.store, id16, 16);
	pack_format_header(&h, p);
	begin("Pack header", PACK_HEADER_LEN, p, sizeof(p));
	value("version", 1);
	value("kind", CHUNK_META);
	value("number", h.no);
	probe("domain", "domain", p, sizeof(p), parse_pack_header);
	bytes("store's id", id16, 16);
	probe("required", "feature", p, sizeof(p), parse_pack_header);
	value("optional", h.optional);
	at("hash", PACK_HEADER_LEN - 32, 32);
	tell_pack_footer(&h);
	tell_parity_head();
	text("FORMAT.md", PACK_TARGET_LEN, "a writer's end");
	text("FORMAT.md", PACK_CHUNKS_MAX, "chunks of a pack");
	text("FORMAT.md", PACK_LEN_MAX, "length of a pack");
	text("FORMAT.md", PACK_HEADER_LEN, "where groups begin");
}

/* -------------------------------------------------------------------- index -- */

static int
parse_manifest(uint8_t *p, size_t len, struct err *err)
{
	struct index_manifest m;
	int ret;

	blake3(p, len - 32, NULL, p + len - 32, 32);
	ret = index_view_parse(p, len, &m, err);
	if (ret == 0)
		index_view_free_manifest(&m);
	return ret;
}

static void
tell_manifest(void)
{
	static struct index_view v;
	struct index_run runs[2] = { 0 };
	struct index_range ranges[3] = { { 1, 2 }, { 9, 12 }, { 20, 20 } };
	struct index_bad bad[4] = { { 1, 96 }, { 1, 200 }, { 2, 96 }, { 3, 96 } };
	struct buf b = BUF_INIT(GOLDEN_MAX);

	for (int i = 0; i < 2; i++) {
		runs[i].f.no = 7 + (uint32_t)i;
		runs[i].f.entries = 1000 + (uint64_t)i;
		v.runs[i] = &runs[i];
	}
	v.n_runs = 2;
	v.next_run = 0x01020304;
	v.optional = 0xa1b2c3d4;
	v.covered = (struct index_packs){ .r = ranges, .n = 3 };
	v.bad = bad;
	v.n_bad = 4;
	GOLDEN_MUST(index_view_format(&v, id16, 1, &b, &err));
	begin("Manifest", 0, b.p, b.len);
	var("r", 2);
	var("p", 3);
	var("q", 4);
	value("version", 1);
	value("damaged", 1);
	bytes("store's id", id16, 16);
	probe("required", "feature", b.p, b.len, parse_manifest);
	value("optional", v.optional);
	value("next", v.next_run);
	value("runs", 2);
	value("ranges", 3);
	value("quarantined", 4);
	at("for each run", 48, 24);
	at("first (4)", 72, 24);
	at("pack (4)", 96, 32);
	at("hash", b.len - 32, 32);
	limit("runs", INDEX_RUNS_MAX);
	limit("ranges", INDEX_RANGES_MAX);
	limit("quarantined", INDEX_QUARANTINE_MAX);
	buf_free(&b);
}

static int
parse_run_footer(uint8_t *p, size_t len, struct err *err)
{
	struct index_run_footer f;

	(void)len;
	return index_run_parse_footer(
	    p, load_le32(p + 12) * 4104ull + load_le32(p + 24) * 64ull + 96, &f, err);
}

static void
tell_runs(void)
{
	struct pack_entry e = { .loc = { 0x01020304, 8 * 0x050607, 0x0899 },
		.len = 0x0a0b0c,
		.kind = CHUNK_META };
	struct index_run_footer f = { .no = 0x01020304,
		.blocks = 3,
		.lines = 5,
		.entries = 250,
		.optional = 0xa1b2c3d4 };
	uint8_t block[INDEX_BLOCK_LEN] = { 0 }, footer[INDEX_FOOTER_LEN],
		fences[3 * INDEX_FENCE_LEN] = { 0 }, filter[5 * INDEX_LINE_LEN] = { 0 };
	uint8_t *entry = block + INDEX_BLOCK_HEAD;

	memcpy(e.id.b, "the name of a chunk, 32 bytes...", 32);
	index_run_encode(&e, entry);
	index_run_encode(&e, entry + INDEX_ENTRY_LEN);
	index_run_seal_block(block, 0x01020304, 2);
	begin("Run block", INDEX_BLOCK_LEN, block, sizeof(block));
	var("c", 2);
	at("hash", 0, 16);
	value("number", 0x01020304);
	value("entries", 2);
	bytes("the entries", entry, 2 * INDEX_ENTRY_LEN);
	at("zeros", 24 + 88, 4072 - 88);
	limit("entries", INDEX_BLOCK_ENTRIES);
	begin("Run entry", INDEX_ENTRY_LEN, entry, INDEX_ENTRY_LEN);
	bytes("name", e.id.b, 32);
	value("pack's number", e.loc.pack);
	value("offset", e.loc.offset / 8);
	value("place", e.loc.place | (unsigned)e.kind << 12);
	value("length", e.len);
	memcpy(f.store, id16, 16);
	index_run_format_footer(&f, fences, filter, footer);
	begin("Run footer", INDEX_FOOTER_LEN, footer, sizeof(footer));
	value("version", 1);
	value("number", f.no);
	value("blocks", f.blocks);
	value("entries", f.entries);
	value("lines", f.lines);
	probe("required", "feature", footer, sizeof(footer), parse_run_footer);
	bytes("store's id", id16, 16);
	value("optional", f.optional);
	at("hash", 64, 32);
	limit("entries", INDEX_BLOCK_ENTRIES);
	limit("lines", INDEX_BLOCK_LEN + INDEX_FENCE_LEN);
	limit("lines", INDEX_LINE_LEN);
	limit("lines", INDEX_FOOTER_LEN);
}

/* ------------------------------------------------------------ keys, journal -- */

static int
parse_journal_header(uint8_t *p, size_t len, struct err *err)
{
	uint32_t optional;

	(void)len;
	blake3(p, 32, NULL, p + 32, 32);
	return journal_parse_header(p, id16, &optional, err);
}

static void
tell_escrow(void)
{
	static const struct escrow_cost cost = { 3, ESCROW_MEMORY_MIN };
	struct buf b = BUF_INIT(ESCROW_LEN_MAX);
	struct store_keys_of k;

	memcpy(k.store, id16, sizeof(k.store));
	memcpy(k.master, golden_master, sizeof(k.master));
	GOLDEN_MUST(escrow_seal(
	    &k, GOLDEN_PASSPHRASE, strlen(GOLDEN_PASSPHRASE), &cost, &b, &err));
	begin("Escrow", 0, b.p, b.len);
	var("s", b.len - 84 - 32);
	bytes("store's id", id16, 16);
	at("required", 24, 4);
	at("optional", 28, 4);
	value("passes", cost.passes);
	value("memory", cost.memory_kib);
	at("salt", 40, 16);
	at("nonce", 56, 24);
	value("length", b.len - 84 - 32);
	at("sealed", 84, b.len - 84 - 32);
	at("hash", b.len - 32, 32);
	limit("passes", ESCROW_PASSES_MAX);
	limit("memory", ESCROW_MEMORY_MIN);
	limit("memory", ESCROW_MEMORY_MAX);
	limit("length", b.len - 84 - 32);
	limit("length", b.len - 84 - 32 + ESCROW_FIELDS_MAX);
	text("FORMAT.md", ESCROW_PASSPHRASE_MIN, "a passphrase");
	text("FORMAT.md", ESCROW_PASSPHRASE_MAX, "a passphrase");
	buf_free(&b);
}

static void
tell_journal(void)
{
	struct journal_place start = { 0 }, place;
	struct journal_event *e = malloc(sizeof(*e));
	struct buf b = BUF_INIT(GOLDEN_MAX);
	uint8_t header[JOURNAL_FILE_HEADER_LEN], key[32];
	uint64_t end;

	golden_keys(&b);
	begin("Keys", 88, b.p, b.len);
	bytes("store's id", golden_store, 16);
	bytes("master key", golden_master, 32);
	at("hash", 56, 32);

	tell_escrow();

	journal_file_header(id16, 0xa1b2c3d4, header, &start);
	begin("Journal header", JOURNAL_FILE_HEADER_LEN, header, sizeof(header));
	bytes("store's id", id16, 16);
	probe("required", "feature", header, sizeof(header), parse_journal_header);
	value("optional", 0xa1b2c3d4);
	at("hash", 32, 32);

	golden_journal_key(key);
	buf_clear(&b);
	place = start;
	place.sequence = 0x0102030405060707;
	GOLDEN_MUST(journal_frame(0x0a0b, (const uint8_t *)"payload", 7,
	    0x1112131415161718, 0x2122232425262728, key, &place, &b, &err));
	begin("Record", 0, b.p, b.len);
	var("n", 7);
	value("length", 7);
	value("type", 0x0a0b);
	at("required", 6, 2);
	value("sequence", 0x0102030405060708);
	value("time", 0x1112131415161718);
	value("durable", 0x2122232425262728);
	bytes("previous", start.hash, 32);
	bytes("payload", "payload", 7);
	at("MAC", b.len - JOURNAL_MAC_LEN, JOURNAL_MAC_LEN);
	limit("length", JOURNAL_PAYLOAD_MAX);

	golden_journal(&b);
	end = b.len;
	golden_journal_head(&b);
	begin("Journal head", 104, b.p, b.len);
	bytes("store's id", golden_store, 16);
	value("length", end);
	value("sequence", 16);
	at("hash", 40, 32);
	at("MAC", 72, 32);
	for (uint16_t type = JOURNAL_MADE; type < JOURNAL_OPTIONAL; type++) {
		struct err why = ERR_INIT;

		if (journal_decode(type, (const uint8_t *)"", 0, e, &why) == 0 ||
		    why.code != ERR_UNSUPPORTED)
			(void)printf("type\t%u\n", type);
	}
	free(e);
	text("FORMAT.md", STORE_FACTS_MAX, "facts");
	text("FORMAT.md", STORE_BLOB_MAX + 64, "a wrapped secret");
	text("FORMAT.md", JOURNAL_OPTIONAL, "optional types");
	buf_free(&b);
}

/* --------------------------------------------------------------------- wire -- */

static void
tell_wire(void)
{
	struct frame f = { 0x0102, FRAME_MORE, 0x1112131415161718, (const uint8_t *)"abc",
		3 };
	static const struct {
		const char *name;
		uint64_t n;
	} limits[] = { { "Begin", MSG_VOLUMES_MAX }, { "Begun", MSG_VOLUMES_MAX },
		{ "Have", MSG_IDS_MAX }, { "Put", GROUP_LEN_MAX },
		{ "Commit", MSG_VOLUMES_MAX }, { "Commit", EXTENT_REASON_MAX },
		{ "Missing", MSG_IDS_MAX }, { "Points", MSG_VOLUMES_MAX },
		{ "GetNodes", MSG_NODES_MAX }, { "GetNodes", MSG_NODE_LEVEL_ROOT },
		{ "Node", CHUNK_META_MAX }, { "GetGroups", MSG_SPANS_MAX },
		{ "GetGroups", MSG_IDS_MAX } };
	uint8_t p[FRAME_HEADER_LEN + 3];

	frame_encode_header(&f, p);
	memcpy(p + FRAME_HEADER_LEN, "abc", 3);
	begin("Frame", 0, p, sizeof(p));
	var("n", 3);
	value("length", 3);
	value("kind", f.kind);
	value("flags", f.flags);
	value("request", f.request);
	bytes("payload", "abc", 3);
	limit("length", FRAME_PAYLOAD_MAX);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++)
		(void)printf("message\t%s\t%llu\n", limits[i].name,
		    (unsigned long long)limits[i].n);
	text("WIRE.md", MSG_LEN_MAX, "a message");
	text("WIRE.md", MSG_TEXT_MAX, "a string");
	(void)printf("word\tWIRE.md\t`%s`\n", TLS_ALPN);
	(void)printf("word\tWIRE.md\tThe wire, version %u\n", MSG_VERSION);
	(void)printf("word\tFORMAT.md\tversion %u\n", STORE_FORMAT_VERSION);
}

int
main(void)
{
	tell_groups();
	tell_trees();
	tell_packs();
	tell_manifest();
	tell_runs();
	tell_journal();
	tell_wire();
	return 0;
}
