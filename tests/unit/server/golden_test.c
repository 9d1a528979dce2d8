/*
 * The golden files of version 1 (tests/golden/v1): each is read, means what it
 * did, and is what is still written today.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "storage/store_keys.h"
#include "tests/golden/golden_wire.h"

struct world {
	struct buf file, made;
	struct fs_fault *ff;
	struct fs *fs;
	struct err err;
};

#define ok(call)                                                \
	do {                                                    \
		if ((call) != 0)                                \
			fail_msg("%s: %s", #call, w->err.text); \
	} while (0)

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->file.max = w->made.max = GOLDEN_MAX;
	assert_non_null(w->ff = fs_fault_new(1));
	w->fs = fs_fault_fs(w->ff);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	buf_free(&w->file);
	buf_free(&w->made);
	fs_fault_free(w->ff);
	free(w);
	return 0;
}

static void
structures_are_written_as_they_were(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < GOLDEN_ITEMS; i++) {
		if (golden_items[i].once)
			continue;
		golden_read(golden_items[i].name, &w->file);
		golden_items[i].make(&w->made);
		if (w->file.len != w->made.len ||
		    memcmp(w->file.p, w->made.p, w->file.len) != 0)
			fail_msg("%s is not written as it was", golden_items[i].name);
	}
}

static void
groups_hold_what_they_did(void **state)
{
	static const struct {
		const char *name;
		unsigned first, codec, optional;
	} groups[] = { { "group-raw", 0, GROUP_RAW, 0 },
		{ "group-zstd", 1, GROUP_ZSTD, 0 },
		{ "group-later", 0, GROUP_RAW, 0x8001 } };
	static uint8_t plain[GROUP_PLAIN_MAX];
	struct codec *codec = codec_new();
	struct world *w = *state;
	struct chunk_keys keys;
	struct group_entry e;
	uint8_t want[4096];
	struct group g;

	chunk_keys_init(&keys, golden_domain);
	for (size_t i = 0; i < 3; i++) {
		golden_read(groups[i].name, &w->file);
		ok(group_parse(w->file.p, w->file.len, &g, &w->err));
		assert_int_equal(g.len, w->file.len);
		assert_int_equal(g.kind, CHUNK_DATA);
		assert_int_equal(g.codec, groups[i].codec);
		assert_int_equal(g.optional, groups[i].optional);
		assert_int_equal(g.count, 3);
		ok(group_check(&g, &w->err));
		ok(group_decode(codec, &g, plain, &w->err));
		ok(group_prove(&g, &keys, plain, &w->err));
		for (unsigned k = 0; k < 3; k++) {
			group_entry(&g, k, &e);
			assert_int_equal(
			    e.len, golden_chunk(groups[i].first + 2 * k, want));
			assert_memory_equal(plain + e.offset, want, e.len);
		}
	}
	golden_read("group-meta", &w->file);
	ok(group_parse(w->file.p, w->file.len, &g, &w->err));
	ok(group_check(&g, &w->err));
	ok(group_decode(codec, &g, plain, &w->err));
	ok(group_prove(&g, &keys, plain, &w->err));
	assert_true(g.kind == CHUNK_META && g.count == 5);
	golden_read("leaf", &w->file);
	assert_memory_equal(plain, w->file.p, w->file.len);
	codec_free(codec);
}

static int
take_extent(void *arg, const struct extent *e)
{
	struct extent **next = arg;

	*(*next)++ = *e;
	return 0;
}

static void
nodes_say_what_they_did(void **state)
{
	static struct tree_child child[TREE_FANOUT];
	struct extent e[16], *next = e;
	struct world *w = *state;
	struct tree_sums sums;
	struct tree_root r;
	uint32_t n;

	for (int later = 0; later < 2; later++) {
		golden_read(later ? "root-later" : "root", &w->file);
		ok(tree_parse_root(w->file.p, w->file.len, &r, &w->err));
		assert_true(r.size == GOLDEN_SIZE && r.sector_size == 512);
		assert_string_equal(r.fs, "ntfs");
		assert_string_equal(r.provider, "vss");
		assert_int_equal(r.grade, TREE_APPLICATION);
		assert_true(r.generation == 0x0102030405060708);
		assert_memory_equal(r.nonce, "golden's  nonce", 16);
		assert_int_equal(r.optional, later ? 0x8001 : 0);
		assert_int_equal(r.levels, 1);
	}
	golden_read("inner", &w->file);
	ok(tree_parse_inner(
	    w->file.p, w->file.len, GOLDEN_SIZE, TREE_SPAN_LEN, child, &n, &w->err));
	assert_int_equal(n, 3);
	assert_memory_equal(&child[0].sums.excluded, &r.top.sums.excluded, 8);

	golden_read("leaf", &w->file);
	ok(tree_parse_leaf(
	    w->file.p, w->file.len, 0, TREE_SPAN_LEN, take_extent, &next, &w->err));
	assert_int_equal(next - e, 10);
	assert_true(e[0].kind == EXTENT_DATA && e[0].len == 65536 && e[0].id.b[0] == 'w');
	assert_true(e[1].chunk_offset == 100 && e[1].chunk_len == 9000);
	assert_true(e[2].chunk_offset == 4904 && e[2].id.b[0] == 'p');
	assert_true(e[3].kind == EXTENT_HOLE && e[4].kind == EXTENT_ZERO);
	assert_true(e[5].kind == EXTENT_EXCLUDED && e[5].reason == EXTENT_PAGEFILE);
	assert_true(e[6].reason == EXTENT_HIBERFIL && e[7].reason == 63);
	assert_true(e[8].len == 262144 && e[8].chunk_len == 262144);
	ok(tree_node_sums(w->file.p, w->file.len, 0, 0, TREE_SPAN_LEN, &sums, &w->err));
	assert_true(sums.excluded == 2 * (1 << 20) + 512);
	assert_memory_equal(&sums, &child[0].sums, sizeof(sums));
}

/* ----------------------------------------------------------- files of a store -- */

static void
put(struct world *w, const char *golden, const char *name)
{
	struct fs_file *f;

	golden_read(golden, &w->file);
	ok(fs_open(w->fs, name, FS_WRITE | FS_CREATE, &f, &w->err));
	ok(fs_truncate(f, 0, &w->err));
	ok(fs_pwrite(f, w->file.p, w->file.len, 0, &w->err));
	fs_close(f);
}

static int
no_bad(void *arg, uint32_t offset, const struct err *why)
{
	(void)arg;
	fail_msg("group at %u: %s", (unsigned)offset, why->text);
	return 0;
}

static void
read_pack(struct world *w, uint32_t no, enum chunk_kind kind, uint32_t chunks)
{
	struct pack_stats stats;
	struct pack *p;

	ok(pack_open(w->fs, no, golden_store, &p, &w->err));
	assert_int_equal(pack_kind(p), kind);
	ok(pack_each_entry(p, NULL, NULL, &stats, &w->err));
	assert_int_equal(stats.chunks, chunks);
	ok(pack_scrub(p, no_bad, NULL, &w->err));
	pack_close(p);
}

/* Its parity is read and made as it was: with a block spoiled, all of it comes back. */
static void
a_pack_is_mended(void **state)
{
	struct world *w = *state;
	struct pack_mending m;
	struct buf now = BUF_INIT(GOLDEN_MAX), was = BUF_INIT(GOLDEN_MAX);
	struct pack *p;
	struct fs_file *f;

	ok(fs_mkdir(w->fs, PACK_DIR, &w->err));
	put(w, "pack-mendable.pack", "packs/00000001.pack");
	read_pack(w, 1, CHUNK_DATA, 9);
	ok(fs_slurp(w->fs, "packs/00000001.pack", &was, &w->err));
	ok(pack_open(w->fs, 1, golden_store, &p, &w->err));
	assert_int_equal(pack_check_parity(p, &w->err), 1);
	pack_close(p);
	ok(fs_open(w->fs, "packs/00000001.pack", FS_WRITE, &f, &w->err));
	ok(fs_pwrite(f, was.p + 1, 1000, 0, &w->err));
	fs_close(f);
	ok(pack_mend(w->fs, 1, golden_store, NULL, 0, &m, &w->err));
	assert_int_equal(m.state, PACK_MENDED);
	ok(fs_slurp(w->fs, "packs/00000001.pack", &now, &w->err));
	assert_int_equal(now.len, was.len);
	assert_memory_equal(now.p, was.p, was.len);
	buf_free(&now);
	buf_free(&was);
}

static void
packs_are_read_and_recovered(void **state)
{
	struct world *w = *state;
	struct pack_recovery r;

	ok(fs_mkdir(w->fs, PACK_DIR, &w->err));
	put(w, "pack-data.pack", "packs/00000001.pack");
	read_pack(w, 1, CHUNK_DATA, 9);
	put(w, "pack-parity.pack", "packs/00000001.pack");
	read_pack(w, 1, CHUNK_DATA, 9);
	put(w, "pack-meta.pack", "packs/00000002.pack");
	read_pack(w, 2, CHUNK_META, 5);
	ok(pack_remove(w->fs, 1, &w->err));
	put(w, "pack-torn.open", "packs/00000001.open");
	ok(pack_recover(w->fs, 1, golden_store, NULL, &r, &w->err));
	assert_int_equal(r.groups, 2);
	assert_true(r.cut > 0);
	read_pack(w, 1, CHUNK_DATA, 6);
}

static void
the_index_finds_what_it_did(void **state)
{
	struct index_config config = { 0 };
	const uint32_t packs[] = { 1 };
	struct index_opened opened;
	struct world *w = *state;
	struct chunk_keys keys;
	struct index_hit hit;
	uint8_t bytes[4096];
	struct chunk_id id;
	struct index *ix;
	size_t len;

	ok(fs_mkdir(w->fs, PACK_DIR, &w->err));
	ok(fs_mkdir(w->fs, INDEX_DIR, &w->err));
	put(w, "pack-data.pack", "packs/00000001.pack");
	put(w, "MANIFEST", "index/MANIFEST");
	put(w, "run", "index/00000001.run");
	memcpy(config.store, golden_store, sizeof(config.store));
	ok(index_open(w->fs, &config, packs, 1, &ix, &opened, &w->err));
	assert_true(!opened.rebuilt && opened.packs_read == 0);
	chunk_keys_init(&keys, golden_domain);
	/* Of the group in quarantine there is a second copy, the later one. */
	for (unsigned n = 0; n < 6; n++) {
		len = golden_chunk(n, bytes);
		chunk_id_of(&keys, CHUNK_DATA, bytes, len, &id);
		ok(index_lookup(ix, &id, 1, &hit, &w->err));
		assert_int_equal(hit.loc.pack, 1);
		assert_int_equal(hit.loc.place, n / 2);
		assert_true(hit.loc.offset > PACK_HEADER_LEN);
		assert_int_equal(hit.len, len);
	}
	index_close(ix);
}

static void
format_and_keys_are_read(void **state)
{
	struct world *w = *state;
	struct store_keys_of keys;
	uint8_t journal[32];

	put(w, "format", "format");
	put(w, "keys", "keys");
	ok(store_keys_load(w->fs, &keys, &w->err));
	assert_memory_equal(keys.store, golden_store, 16);
	assert_memory_equal(keys.master, golden_master, 32);
	golden_journal_key(journal);
	assert_memory_equal(keys.journal, journal, 32);
}

static void
an_escrow_file_is_read(void **state)
{
	struct world *w = *state;
	struct store_keys_of keys;

	golden_read("escrow", &w->file);
	ok(escrow_unseal(w->file.p, w->file.len, GOLDEN_PASSPHRASE,
	    strlen(GOLDEN_PASSPHRASE), &keys, &w->err));
	assert_memory_equal(keys.store, golden_store, 16);
	assert_memory_equal(keys.master, golden_master, 32);
}

/* ------------------------------------------------------------------ journal -- */

struct reading {
	struct world *w;
	uint64_t types;
	unsigned skipped;
	struct journal_event *e, *want;
};

static int
take_record(void *arg, const struct journal_record *r)
{
	struct buf a = BUF_INIT(JOURNAL_PAYLOAD_MAX), b = BUF_INIT(JOURNAL_PAYLOAD_MAX);
	struct reading *read = arg;
	struct world *w = read->w;

	if (journal_decode(r->type, r->payload, r->len, read->e, &w->err) == 1) {
		read->skipped++;
		return 0;
	}
	assert_int_equal(w->err.code, ERR_NONE);
	assert_true(golden_event(r->type, read->want));
	ok(journal_encode(read->want, &a, &w->err));
	assert_int_equal(a.len, r->len);
	assert_memory_equal(a.p, r->payload, a.len);
	ok(journal_encode(read->e, &b, &w->err));
	assert_int_equal(b.len, r->len);
	assert_memory_equal(b.p, r->payload, b.len);
	read->types |= (uint64_t)1 << r->type;
	buf_free(&a);
	buf_free(&b);
	return 0;
}

/* Read the golden journal `name`: it has these types, one record each. */
static void
read_journal(
    struct world *w, const char *name, uint64_t types, struct journal_place *last)
{
	struct reading read = {
		.w = w, .e = malloc(sizeof(*read.e)), .want = malloc(sizeof(*read.want))
	};
	struct journal_place start;
	struct journal *j;
	uint8_t key[32];
	uint64_t cut;

	put(w, name, JOURNAL_NAME);
	golden_journal_key(key);
	ok(journal_open(w->fs, golden_store, key, golden_clock, &j, &cut, &w->err));
	assert_int_equal(cut, 0);
	journal_start(j, &start);
	ok(journal_each(j, &start, take_record, &read, &w->err));
	assert_int_equal(read.types, types);
	assert_int_equal(read.skipped, 1);
	journal_end(j, last);
	journal_close(j);
	free(read.e);
	free(read.want);
}

static void
every_type_of_record_says_what_it_did(void **state)
{
	struct world *w = *state;
	struct journal_place last;

	put(w, "journal.head", JOURNAL_HEAD_NAME);
	read_journal(w, "journal", GOLDEN_FIRST & ~(uint64_t)1, &last);
	put(w, "journal.head", JOURNAL_HEAD_NAME);
	assert_int_equal(load_le64(w->file.p + 24), last.offset);
	assert_int_equal(load_le64(w->file.p + 32), last.sequence);
	assert_memory_equal(w->file.p + 40, last.hash, 32);
	ok(fs_unlink(w->fs, JOURNAL_HEAD_NAME, &w->err));
	read_journal(w, "journal-retention", GOLDEN_RETENTION, &last);
	ok(fs_unlink(w->fs, JOURNAL_HEAD_NAME, &w->err));
	read_journal(w, "journal-collect", GOLDEN_COLLECT, &last);
	ok(fs_unlink(w->fs, JOURNAL_HEAD_NAME, &w->err));
	read_journal(w, "journal-restore", GOLDEN_RESTORE, &last);
}

static void
an_alarm_of_the_store_is_read_as_it_was(void **state)
{
	struct journal_event *e = calloc(2, sizeof(*e));
	struct world *w = *state;

	assert_non_null(e);
	golden_read("record-28", &w->file);
	golden_store_alarm(&e[1]);
	ok(journal_decode(JOURNAL_STORE_ALARM, w->file.p, w->file.len, &e[0], &w->err));
	assert_int_equal(e[0].u.notice.kind, e[1].u.notice.kind);
	assert_int_equal(e[0].u.notice.trusted_us, e[1].u.notice.trusted_us);
	assert_string_equal(e[0].u.notice.text, e[1].u.notice.text);
	free(e);
}

static void
what_verify_learned_is_read_as_it_was(void **state)
{
	struct journal_event *e = calloc(2, sizeof(*e));
	struct world *w = *state;

	assert_non_null(e);
	golden_read("record-27", &w->file);
	golden_checked(&e[1]);
	ok(journal_decode(JOURNAL_CHECKED, w->file.p, w->file.len, &e[0], &w->err));
	assert_int_equal(e[0].u.checked.when_us, e[1].u.checked.when_us);
	assert_int_equal(e[0].u.checked.n, 3);
	assert_memory_equal(e[0].u.checked.packs, e[1].u.checked.packs, 12);
	golden_read("record-29", &w->file);
	golden_hurt(&e[1]);
	ok(journal_decode(JOURNAL_HURT, w->file.p, w->file.len, &e[0], &w->err));
	assert_string_equal(e[0].u.mark.host, e[1].u.mark.host);
	assert_int_equal(e[0].u.mark.sequence, e[1].u.mark.sequence);
	assert_string_equal(e[0].u.mark.text, e[1].u.mark.text);
	golden_read("record-36", &w->file);
	golden_suspect(&e[1]);
	ok(journal_decode(JOURNAL_SUSPECT, w->file.p, w->file.len, &e[0], &w->err));
	assert_memory_equal(&e[0].u.suspect, &e[1].u.suspect, sizeof(e[0].u.suspect));
	free(e);
}

/* --------------------------------------------------------------------- wire -- */

/* Take the golden frame of a kind apart. */
static void
golden_frame_read(struct world *w, uint16_t kind, enum golden_age age,
    struct frame_decoder *d, struct frame *f)
{
	char name[64];

	golden_frame_name(kind, age, name);
	golden_read(name, &w->file);
	assert_int_equal(frame_decoder_feed(d, w->file.p, w->file.len), w->file.len);
	assert_int_equal(frame_decoder_next(d, f, &w->err), FRAME_NEXT_READY);
	assert_int_equal(f->kind, kind);
	assert_int_equal(f->flags, kind % 2 == 0 ? FRAME_MORE : 0);
	assert_true(f->request == 0x0102030405060700u + kind);
	assert_int_equal(f->len + FRAME_HEADER_LEN, w->file.len);
}

static void
hold_against(struct world *w, const ProtobufCMessageDescriptor *of, enum golden_age age)
{
	struct frame_decoder *d = frame_decoder_new(FRAME_PAYLOAD_MAX);
	ProtobufCMessage *m;
	struct frame f;

	golden_frame_read(w, golden_kind(of), age, d, &f);
	ok(msg_unpack(&f, &m, &w->err));
	if (golden_message(m, age) != 0)
		fail_msg("%s: a field is not what it was", msg_name(f.kind));
	ok(msg_pack(m, &w->made, &w->err));
	assert_int_equal(w->made.len, f.len);
	if (f.len > 0)
		assert_memory_equal(w->made.p, f.payload, f.len);
	msg_free(m);
	frame_decoder_free(d);
}

static void
every_message_is_read_and_written_as_it_was(void **state)
{
	for (size_t i = 0; i < GOLDEN_MESSAGES; i++)
		hold_against(*state, golden_messages[i], GOLDEN_FIRST_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN; i++)
		hold_against(*state, golden_grown[i], GOLDEN_SECOND_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_AGAIN; i++)
		hold_against(*state, golden_grown_again[i], GOLDEN_THIRD_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_MORE; i++)
		hold_against(*state, golden_grown_more[i], GOLDEN_FOURTH_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_FURTHER; i++)
		hold_against(*state, golden_grown_further[i], GOLDEN_FIFTH_FRAME);
	for (size_t i = 0; i < GOLDEN_GROWN_BEYOND; i++)
		hold_against(*state, golden_grown_beyond[i], GOLDEN_SIXTH_FRAME);
}

static void
look_for_fields(const ProtobufCMessageDescriptor *of)
{
	char name[80];

	for (unsigned k = 0; k < of->n_fields; k++) {
		(void)golden_of_name(of, of->fields[k].name, name);
		if (!golden_has_field(name, GOLDEN_SIXTH_FRAME))
			fail_msg("%s is in no golden frame", name);
		if (of->fields[k].type == PROTOBUF_C_TYPE_MESSAGE)
			look_for_fields(of->fields[k].descriptor);
	}
}

/* Nothing is on the wire that no golden frame has. */
static void
every_kind_and_field_is_in_a_golden_frame(void **state)
{
	char name[64], path[200];

	(void)state;
	for (size_t i = 0; i < GOLDEN_MESSAGES; i++)
		look_for_fields(golden_messages[i]);
	for (unsigned kind = 0; kind < 1024; kind++) {
		if (strcmp(msg_name((uint16_t)kind), "unknown") == 0)
			continue;
		golden_frame_name((uint16_t)kind, GOLDEN_FIRST_FRAME, name);
		(void)snprintf(path, sizeof(path), GOLDEN_DIR "%s", name);
		if (access(path, R_OK) != 0)
			fail_msg(
			    "there is no golden frame of %s", msg_name((uint16_t)kind));
	}
}

static void
raw_frames_carry_what_they_did(void **state)
{
	static const struct {
		uint16_t kind;
		const char *name;
	} raw[] = { { MSG_PUT, "group-zstd" }, { MSG_GROUP, "group-raw" },
		{ MSG_NODE, "inner" } };
	struct frame_decoder *d = frame_decoder_new(FRAME_PAYLOAD_MAX);
	struct world *w = *state;
	struct frame f;

	for (size_t i = 0; i < 3; i++) {
		assert_true(msg_is_raw(raw[i].kind));
		golden_frame_read(w, raw[i].kind, GOLDEN_FIRST_FRAME, d, &f);
		golden_read(raw[i].name, &w->made);
		assert_int_equal(f.len, w->made.len);
		assert_memory_equal(f.payload, w->made.p, f.len);
	}
	frame_decoder_free(d);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(structures_are_written_as_they_were),
		TEST(groups_hold_what_they_did),
		TEST(nodes_say_what_they_did),
		TEST(packs_are_read_and_recovered),
		TEST(a_pack_is_mended),
		TEST(the_index_finds_what_it_did),
		TEST(format_and_keys_are_read),
		TEST(an_escrow_file_is_read),
		TEST(every_type_of_record_says_what_it_did),
		TEST(an_alarm_of_the_store_is_read_as_it_was),
		TEST(what_verify_learned_is_read_as_it_was),
		TEST(every_message_is_read_and_written_as_it_was),
		TEST(every_kind_and_field_is_in_a_golden_frame),
		TEST(raw_frames_carry_what_they_did),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
