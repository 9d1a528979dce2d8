/*
 * What a later program may have written: what is required and unknown here is
 * refused by its number or name and left as it is; what is optional is ignored
 * and kept.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/bytes.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/group_format.h"
#include "storage/fs_fault.h"
#include "storage/index.h"
#include "storage/index_view.h"
#include "storage/journal.h"
#include "storage/pack_format.h"
#include "storage/store_retention.h"
#include "storage/store_state.h"
#include "tests/unit/storage/made_groups.h"

#define OPEN_NAME "packs/00000005.open"
#define PACK_NAME "packs/00000005.pack"

struct world {
	struct fs_fault *ff;
	struct fs *fs;
	struct buf file; /* What slurp() read. */
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
	assert_non_null(w->ff = fs_fault_new(1));
	w->fs = fs_fault_fs(w->ff);
	w->file.max = 32u * 1024 * 1024;
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	buf_free(&w->file);
	fs_fault_free(w->ff);
	free(w);
	return 0;
}

static void
slurp(struct world *w, const char *name)
{
	buf_clear(&w->file);
	ok(fs_slurp(w->fs, name, &w->file, &w->err));
}

static void
put(struct world *w, const char *name, const void *p, size_t len)
{
	struct fs_file *f;

	ok(fs_open(w->fs, name, FS_WRITE | FS_CREATE, &f, &w->err));
	ok(fs_truncate(f, 0, &w->err));
	ok(fs_pwrite(f, p, len, 0, &w->err));
	ok(fs_sync(f, &w->err));
	fs_close(f);
}

static void
put_back(struct world *w, const char *name)
{
	put(w, name, w->file.p, w->file.len);
}

/* The last call failed because of what this program does not know, and said so. */
static void
refused(struct world *w, int ret, const char *words)
{
	assert_int_equal(ret, -1);
	if (w->err.code != ERR_UNSUPPORTED || strstr(w->err.text, words) == NULL)
		fail_msg("not '%s': %s", words, w->err.text);
	assert_null(strchr(w->err.text, '\n'));
	err_clear(&w->err);
}

/* ------------------------------------------------------------------- format -- */

static int
open_store(struct world *w)
{
	struct store *s = NULL;
	int ret = store_open_fs(w->fs, NULL, NULL, &s, &w->err);

	if (ret == 0)
		store_close(s);
	return ret;
}

static void
format_with(struct world *w, const char *lines)
{
	char text[300];

	/* Before the last line, "end". */
	(void)snprintf(text, sizeof(text), "%.*s%send\n", (int)w->file.len - 4,
	    (const char *)w->file.p, lines);
	put(w, "format", text, strlen(text));
}

static void
test_a_store_names_the_features_that_it_needs(void **state)
{
	static const char *const nonsense[] = { "required \n", "optional Parity\n", "x\n",
		"optional parity", "optional a b\n",
		"optional abcdefghijklmnopqrstuvwxyz012345\n", "\n", "end\n" };
	struct world *w = *state;

	ok(store_init_fs(w->fs, &w->err));
	slurp(w, "format");
	format_with(w, "optional parity\noptional client-keys2\n");
	ok(open_store(w));
	format_with(w, "optional parity\nrequired client-keys\n");
	refused(w, open_store(w), "'client-keys'");
	for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
		format_with(w, nonsense[i]);
		assert_int_equal(open_store(w), -1);
		assert_int_equal(w->err.code, ERR_CORRUPT);
		err_clear(&w->err);
	}
	/* Cut short at a line's end: what it required may be gone. */
	put(w, "format", w->file.p, w->file.len - 4);
	assert_int_equal(open_store(w), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	err_clear(&w->err);
	format_with(w, "");
	ok(open_store(w));
}

/* A policy is set while the nth call dies; 1 if that is on record. */
static int
set_policy(struct world *w, uint64_t nth, int *fired)
{
	struct store_policy policy = { .set = 1, .rules = { .last = 3 } };
	struct store *s;
	int is;

	ok(store_init_fs(w->fs, &w->err));
	ok(store_open_fs(w->fs, NULL, NULL, &s, &w->err));
	fs_fault_arm(w->ff, nth, FS_FAULT_DIE);
	(void)store_policy_put(s, &policy, &w->err);
	*fired = fs_fault_fired(w->ff);
	err_clear(&w->err);
	store_close(s);
	fs_fault_restart(w->ff, 1);
	ok(store_open_fs(w->fs, NULL, NULL, &s, &w->err));
	is = store_policy_of(s, "", &policy, &w->err) == 0 && policy.set;
	err_clear(&w->err);
	store_close(s);
	return is;
}

static void
test_a_feature_is_required_before_its_first_record(void **state)
{
	static const char line[] = "\nrequired retention\nend\n";
	struct world *w = *state;
	int fired = 1, named = 0;
	uint64_t nth;

	for (nth = 1; fired; nth++) {
		int recorded, required;

		fs_fault_free(w->ff);
		assert_non_null(w->ff = fs_fault_new(nth));
		w->fs = fs_fault_fs(w->ff);
		recorded = set_policy(w, nth, &fired);
		slurp(w, "format");
		ok(buf_add(&w->file, "", 1, &w->err));
		required = strstr((const char *)w->file.p, line) != NULL;
		assert_true(required || !recorded);
		named += required && !recorded;
		assert_true(fired || recorded);
	}
	assert_true(named > 0 && nth > 6);
}

/* -------------------------------------------------------------------- packs -- */

/* A group as a later program makes it: with these bytes changed, and whole. */
static void
later_group(struct buf *out, struct group *g, size_t at, uint8_t value)
{
	struct err err = ERR_INIT;

	made_group(40, 3, out, g);
	out->p[at] = value;
	group_hash(out->p, out->len, out->p + AT_HASH);
	assert_int_equal(group_frame(out->p, out->len, g, &err), 0);
}

/* Pack 5 with a group of chunks 10..12, perhaps a later one's, and chunks 20, 21. */
static void
fill(struct world *w, size_t at, uint8_t value, int seal)
{
	struct buf b = BUF_INIT(GROUP_LEN_MAX);
	struct pack_writer *pw;
	struct group g;
	uint32_t offset;
	uint64_t to;

	made_dirs(w->fs);
	ok(pack_writer_open(w->fs, 5, CHUNK_DATA, made_store, &pw, &w->err));
	made_group(10, 3, &b, &g);
	assert_int_equal(
	    pack_writer_append(pw, &g, &offset, &to, &w->err), PACK_APPENDED);
	if (at > 0) {
		later_group(&b, &g, at, value);
		assert_int_equal(
		    pack_writer_append(pw, &g, &offset, &to, &w->err), PACK_APPENDED);
	}
	made_group(20, 2, &b, &g);
	assert_int_equal(
	    pack_writer_append(pw, &g, &offset, &to, &w->err), PACK_APPENDED);
	if (seal)
		ok(pack_writer_seal(pw, &w->err));
	pack_writer_free(pw);
	buf_free(&b);
}

static int
open_pack(struct world *w)
{
	struct pack *p;

	if (pack_open(w->fs, 5, made_store, &p, &w->err) != 0)
		return -1;
	pack_close(p);
	return 0;
}

static void
header_with(struct world *w, const char *name, size_t at, uint8_t value)
{
	uint8_t was = w->file.p[at];

	w->file.p[at] = value;
	blake3(
	    w->file.p, PACK_HEADER_LEN - 32, NULL, w->file.p + PACK_HEADER_LEN - 32, 32);
	put_back(w, name);
	w->file.p[at] = was;
}

static void
test_a_packs_header_is_refused_by_number(void **state)
{
	struct world *w = *state;
	struct pack_recovery r;

	fill(w, 0, 0, 0);
	slurp(w, OPEN_NAME);
	header_with(w, OPEN_NAME, 36, 0xff);
	ok(open_pack(w));
	header_with(w, OPEN_NAME, 33, 0x10);
	refused(w, open_pack(w), "feature 12");
	refused(w, pack_recover(w->fs, 5, made_store, NULL, &r, &w->err), "feature 12");
	header_with(w, OPEN_NAME, 12, 7);
	refused(w, open_pack(w), "domain 7");
	refused(w, pack_recover(w->fs, 5, made_store, NULL, &r, &w->err), "domain 7");
	header_with(w, OPEN_NAME, 4, 2);
	refused(w, open_pack(w), "version 2");
	/* Without the hash it is damage, not a later program. */
	w->file.p[33] = 0x10;
	put_back(w, OPEN_NAME);
	assert_int_equal(open_pack(w), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
}

static int
count(void *arg, const struct pack_entry *e)
{
	(void)e;
	++*(uint32_t *)arg;
	return 0;
}

static int
no_bad(void *arg, uint32_t offset, const struct err *why)
{
	(void)arg;
	fail_msg("group at %u: %s", (unsigned)offset, why->text);
	return 0;
}

/* Read pack 5 whole: how many chunks. */
static uint32_t
read_all(struct world *w)
{
	uint32_t n = 0;
	struct pack *p;

	ok(pack_open(w->fs, 5, made_store, &p, &w->err));
	ok(pack_each_entry(p, count, &n, NULL, &w->err));
	ok(pack_scrub(p, no_bad, NULL, &w->err));
	pack_close(p);
	return n;
}

/* The same pack with `parity` bytes of something between groups and entries. */
static void
with_parity(struct world *w, uint32_t parity)
{
	uint8_t *t = w->file.p + w->file.len - PACK_TRAILER_LEN;
	uint32_t end = load_le32(t + 20);
	size_t foot = w->file.len - end;

	assert_non_null(buf_room(&w->file, parity, &w->err));
	memmove(w->file.p + end + parity, w->file.p + end, foot);
	memset(w->file.p + end, 0x5a, parity);
	memcpy(w->file.p + end, "HFY1", 4);
	w->file.len += parity;
	t = w->file.p + w->file.len - PACK_TRAILER_LEN;
	store_le32(t + 76, parity);
	store_le64(t + 40, w->file.len);
	blake3(
	    w->file.p + end + parity, foot - 32, NULL, w->file.p + w->file.len - 32, 32);
}

static void
test_parity_is_stepped_over(void **state)
{
	struct world *w = *state;
	struct pack_recovery r;
	size_t len;

	fill(w, 0, 0, 1);
	assert_int_equal(read_all(w), 5);
	slurp(w, PACK_NAME);
	len = w->file.len;
	with_parity(w, 4096);
	put_back(w, PACK_NAME);
	assert_int_equal(read_all(w), 5);

	/* A crash came between footer and name. */
	ok(fs_rename(w->fs, PACK_NAME, OPEN_NAME, &w->err));
	ok(pack_recover(w->fs, 5, made_store, NULL, &r, &w->err));
	assert_int_equal(r.groups, 2);
	assert_int_equal(r.cut, 0);
	assert_int_equal(read_all(w), 5);

	/* It came before the trailer: parity is no group, and goes. */
	w->file.len -= 1;
	ok(fs_unlink(w->fs, PACK_NAME, &w->err));
	put_back(w, OPEN_NAME);
	ok(pack_recover(w->fs, 5, made_store, NULL, &r, &w->err));
	assert_int_equal(r.groups, 2);
	assert_int_equal(read_all(w), 5);
	slurp(w, PACK_NAME);
	assert_int_equal(w->file.len, len);
}

/* The header stays as it was; the footer is ours, with nothing that we do not know. */
static void
test_a_later_programs_open_pack_is_sealed_as_we_can(void **state)
{
	struct world *w = *state;
	struct pack_recovery r;

	fill(w, 0, 0, 0);
	slurp(w, OPEN_NAME);
	header_with(w, OPEN_NAME, 36, 0xff);
	ok(pack_recover(w->fs, 5, made_store, NULL, &r, &w->err));
	assert_int_equal(read_all(w), 5);
	slurp(w, PACK_NAME);
	assert_int_equal(w->file.p[36], 0xff);
	assert_int_equal(load_le32(w->file.p + w->file.len - PACK_TRAILER_LEN + 72), 0);
}

static void
test_a_packs_trailer_is_refused_by_number(void **state)
{
	struct world *w = *state;
	uint8_t *t;
	uint32_t end;
	struct pack *p;

	fill(w, 0, 0, 1);
	slurp(w, PACK_NAME);
	t = w->file.p + w->file.len - PACK_TRAILER_LEN;
	end = load_le32(t + 20);
	store_le32(t + 72, 0x80000000u);
	blake3(w->file.p + end, w->file.len - end - 32, NULL, t + 96, 32);
	put_back(w, PACK_NAME);
	assert_int_equal(read_all(w), 5);
	store_le32(t + 68, 0x80000000u);
	blake3(w->file.p + end, w->file.len - end - 32, NULL, t + 96, 32);
	put_back(w, PACK_NAME);
	ok(pack_open(w->fs, 5, made_store, &p, &w->err));
	refused(w, pack_each_entry(p, NULL, NULL, NULL, &w->err), "feature 31");
	pack_close(p);
}

/* A later program's group in an open pack is no torn tail: nothing is cut. */
static void
test_recovery_does_not_touch_what_it_does_not_know(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		const char *words;
	} later[] = { { AT_REQUIRED + 1, 2, "feature 9" }, { AT_CODEC, 2, "codec 2" },
		{ AT_CIPHER, 1, "cipher 1" } };
	struct world *w = *state;
	struct pack_recovery r;

	for (size_t i = 0; i < 3; i++) {
		struct buf was = BUF_INIT(1u << 20);

		fill(w, later[i].at, later[i].value, 0);
		ok(fs_slurp(w->fs, OPEN_NAME, &was, &w->err));
		refused(w, pack_recover(w->fs, 5, made_store, NULL, &r, &w->err),
		    later[i].words);
		slurp(w, OPEN_NAME);
		assert_int_equal(w->file.len, was.len);
		assert_memory_equal(w->file.p, was.p, was.len);
		ok(fs_unlink(w->fs, OPEN_NAME, &w->err));
		buf_free(&was);
	}
	/* Optional ones stay in the group. */
	fill(w, AT_OPTIONAL, 0x40, 0);
	ok(pack_recover(w->fs, 5, made_store, NULL, &r, &w->err));
	assert_int_equal(r.groups, 3);
	assert_int_equal(read_all(w), 8);
}

/*
 * Behind a damaged group nothing is a later program's for sure: an agent may have
 * written it into the data of another.  It must not keep the store from opening,
 * and is kept beside it.
 */
static void
test_behind_damage_a_later_group_is_set_aside(void **state)
{
	struct world *w = *state;
	struct pack_recovery r;

	for (int torn = 0; torn < 2; torn++) {
		fill(w, AT_REQUIRED, 1, 0);
		slurp(w, OPEN_NAME);
		/* In the first group's data, and perhaps the last one torn. */
		w->file.p[PACK_HEADER_LEN + GROUP_HEADER_LEN + 3 * GROUP_ENTRY_LEN] ^= 1;
		w->file.len -= torn ? 5 : 0;
		put_back(w, OPEN_NAME);
		ok(pack_recover(w->fs, 5, made_store, NULL, &r, &w->err));
		assert_int_equal(r.groups, torn ? 0 : 1);
		assert_true(r.damaged > 0);
		assert_true(torn ? r.aside > 0 : r.aside == 0);
		if (!torn) {
			assert_int_equal(read_all(w), 2);
			ok(pack_remove(w->fs, 5, &w->err));
		}
	}
}

/* It can still be indexed and scrubbed; only its data stays closed. */
static void
test_a_later_group_in_a_sealed_pack_is_whole_and_not_read(void **state)
{
	struct world *w = *state;
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct pack_loc loc = { 5, 0, 0 };
	struct group g;
	struct pack *p;

	fill(w, AT_CIPHER, 1, 1);
	assert_int_equal(read_all(w), 8);
	ok(pack_open(w->fs, 5, made_store, &p, &w->err));
	loc.offset = PACK_HEADER_LEN;
	ok(pack_read_group(p, &loc, NULL, 1, &out, &g, &w->err));
	loc.offset = (uint32_t)pack_align(PACK_HEADER_LEN + g.len);
	refused(w, pack_read_group(p, &loc, NULL, 1, &out, &g, &w->err), "cipher 1");
	pack_close(p);
	buf_free(&out);
}

/* -------------------------------------------------------------------- index -- */

static void
test_the_manifest_is_refused_by_number_and_the_index_made_anew(void **state)
{
	struct world *w = *state;
	struct index_config config = { 0 };
	struct index_opened opened;
	struct index_manifest m;
	struct index *ix;
	const uint32_t packs[] = { 5 };

	fill(w, 0, 0, 1);
	memcpy(config.store, made_store, sizeof(config.store));
	ok(index_open(w->fs, &config, packs, 1, &ix, NULL, &w->err));
	index_close(ix);
	slurp(w, INDEX_MANIFEST);
	store_le32(w->file.p + 28, 5);
	blake3(w->file.p, w->file.len - 32, NULL, w->file.p + w->file.len - 32, 32);
	ok(index_view_parse(w->file.p, w->file.len, &m, &w->err));
	assert_int_equal(m.optional, 5);
	index_view_free_manifest(&m);
	store_le32(w->file.p + 24, 4);
	blake3(w->file.p, w->file.len - 32, NULL, w->file.p + w->file.len - 32, 32);
	refused(w, index_view_parse(w->file.p, w->file.len, &m, &w->err), "feature 2");
	put_back(w, INDEX_MANIFEST);
	ok(index_open(w->fs, &config, packs, 1, &ix, &opened, &w->err));
	assert_true(opened.rebuilt);
	assert_non_null(strstr(opened.why, "feature 2"));
	index_close(ix);
}

/* ------------------------------------------------------------------ journal -- */

static const uint8_t key[32] = "a key for the journal of a test";

/* Append a record as a later program would, behind what is in the file. */
static void
append_later(struct world *w, uint16_t type, uint16_t required, const void *p, size_t len)
{
	struct journal_place at;
	struct journal *j;
	size_t from;

	ok(journal_open(w->fs, made_store, key, NULL, &j, NULL, &w->err));
	journal_end(j, &at);
	journal_close(j);
	slurp(w, JOURNAL_NAME);
	from = w->file.len;
	ok(journal_frame(
	    type, p, len, at.time_us + 1, at.sequence, key, &at, &w->file, &w->err));
	store_le16(w->file.p + from + 6, required);
	blake3(w->file.p + from, w->file.len - from - 32, key,
	    w->file.p + w->file.len - 32, 32);
	put_back(w, JOURNAL_NAME);
}

static void
new_journal(struct world *w)
{
	struct journal_event e = { .type = JOURNAL_MADE };
	struct journal *j;

	ok(journal_create(w->fs, made_store, key, &w->err));
	ok(journal_open(w->fs, made_store, key, NULL, &j, NULL, &w->err));
	ok(journal_append(j, &e, NULL, &w->err));
	journal_close(j);
}

static int
reopen(struct world *w)
{
	struct journal *j;

	if (journal_open(w->fs, made_store, key, NULL, &j, NULL, &w->err) != 0)
		return -1;
	journal_close(j);
	return 0;
}

/* The file is as it was put: an authentic record is never cut. */
static void
untouched(struct world *w)
{
	struct buf now = BUF_INIT(1u << 20);

	ok(fs_slurp(w->fs, JOURNAL_NAME, &now, &w->err));
	assert_int_equal(now.len, w->file.len);
	assert_memory_equal(now.p, w->file.p, now.len);
	buf_free(&now);
}

static void
test_a_record_of_a_required_kind_refuses_the_store(void **state)
{
	struct world *w = *state;

	for (uint16_t type = 64; type < 0x8000; type *= 2) {
		char words[20];

		new_journal(w);
		append_later(w, type, 0, "anything", 8);
		(void)snprintf(words, sizeof(words), "type %u:", type);
		refused(w, reopen(w), words);
		untouched(w);
	}
	new_journal(w);
	append_later(w, JOURNAL_MADE, 0x2000, made_store, sizeof(made_store));
	refused(w, reopen(w), "feature 13");
	untouched(w);
	new_journal(w);
	/* A field that must be known, behind a payload that is. */
	append_later(w, JOURNAL_REVOKE, 0, "\x01x\x05\x80\x00\x00\x00\x00", 8);
	refused(w, reopen(w), "field 5");
	untouched(w);
}

static int
count_records(void *arg, const struct journal_record *r)
{
	struct journal_event *e = malloc(sizeof(*e));
	struct err err = ERR_INIT;
	int *n = arg;

	assert_non_null(e);
	n[journal_decode(r->type, r->payload, r->len, e, &err)]++;
	free(e);
	return 0;
}

static void
test_a_record_of_an_optional_kind_is_skipped_and_kept(void **state)
{
	struct world *w = *state;
	struct journal_event e = { .type = JOURNAL_REVOKE };
	struct journal_place start;
	struct journal *j;
	int n[2] = { 0, 0 };

	new_journal(w);
	append_later(w, 0x8001, 0, "anything", 8);
	append_later(w, 0xffff, 0, "", 0);
	append_later(w, JOURNAL_REVOKE, 0, "\x01x\x05\x00\x01\x00\x00\x00y", 9);
	ok(journal_open(w->fs, made_store, key, NULL, &j, NULL, &w->err));
	ok(journal_append(j, &e, NULL, &w->err));
	journal_start(j, &start);
	ok(journal_each(j, &start, count_records, n, &w->err));
	assert_int_equal(n[0], 3);
	assert_int_equal(n[1], 2);
	journal_close(j);
}

static void
test_the_journals_header_is_refused_by_number(void **state)
{
	struct world *w = *state;

	new_journal(w);
	slurp(w, JOURNAL_NAME);
	store_le32(w->file.p + 24, 0x100);
	blake3(w->file.p, 32, NULL, w->file.p + 32, 32);
	put_back(w, JOURNAL_NAME);
	refused(w, reopen(w), "feature 8");
	untouched(w);
	/* Not so if only a bit fell over: that is damage. */
	store_le32(w->file.p + 24, 0x300);
	put_back(w, JOURNAL_NAME);
	assert_int_equal(reopen(w), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	err_clear(&w->err);

	/* A journal that was begun with an optional one goes on. */
	new_journal(w);
	slurp(w, JOURNAL_NAME);
	w->file.len = JOURNAL_FILE_HEADER_LEN;
	store_le32(w->file.p + 28, 7);
	blake3(w->file.p, 32, NULL, w->file.p + 32, 32);
	put_back(w, JOURNAL_NAME);
	ok(fs_unlink(w->fs, JOURNAL_HEAD_NAME, &w->err));
	append_later(w, JOURNAL_MADE, 0, made_store, sizeof(made_store));
	ok(reopen(w));
}

/* -------------------------------------------------------------------- facts -- */

static void
test_facts_of_a_point_are_kept_whoever_knows_them(void **state)
{
	struct world *w = *state;
	struct journal_event *e = calloc(2, sizeof(*e));
	struct store_excluded sums[] = { { 1, 4096 }, { 3, UINT64_C(1) << 40 },
		{ 63, 1 } },
			      back[STORE_EXCLUDED_MAX];
	struct buf a = BUF_INIT(JOURNAL_PAYLOAD_MAX), b = BUF_INIT(JOURNAL_PAYLOAD_MAX);
	struct store_point *p = &e[0].u.point;

	assert_non_null(e);
	e[0].type = JOURNAL_POINT;
	p->volumes_count = 1;
	ok(store_facts_set_excluded(p, sums, 3, &w->err));
	/* A later program's fact behind ours. */
	memcpy(p->facts + p->facts_len, "\x09\x00\x02\x00\x00\x00hi", 8);
	p->facts_len += 8;
	ok(journal_encode(&e[0], &a, &w->err));
	ok(journal_decode(JOURNAL_POINT, a.p, a.len, &e[1], &w->err));
	assert_int_equal(e[1].u.point.facts_len, p->facts_len);
	assert_memory_equal(e[1].u.point.facts, p->facts, p->facts_len);
	ok(journal_encode(&e[1], &b, &w->err));
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	assert_int_equal(store_facts_excluded(&e[1].u.point, back), 3);
	assert_int_equal(back[1].reason, 3);
	assert_true(back[1].bytes == UINT64_C(1) << 40);

	/* The same fact, but one that has to be understood. */
	a.p[a.len - 7] = 0x80;
	refused(w, journal_decode(JOURNAL_POINT, a.p, a.len, &e[1], &w->err), "field 9");
	/* Reasons that do not rise, and one too high. */
	sums[1].reason = 1;
	assert_int_equal(store_facts_set_excluded(p, sums, 3, &w->err), -1);
	err_clear(&w->err);
	sums[1].reason = 2;
	sums[2].reason = 64;
	assert_int_equal(store_facts_set_excluded(p, sums, 3, &w->err), -1);
	err_clear(&w->err);
	/* Twice: which of them would count? */
	ok(store_facts_set_excluded(p, sums, 2, &w->err));
	ok(store_facts_check(p->facts, p->facts_len, &w->err));
	memcpy(p->facts + p->facts_len, p->facts, p->facts_len);
	assert_int_equal(
	    store_facts_check(p->facts, 2 * (size_t)p->facts_len, &w->err), -1);
	assert_int_equal(w->err.code, ERR_CORRUPT);
	err_clear(&w->err);
	free(e);
	buf_free(&a);
	buf_free(&b);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_store_names_the_features_that_it_needs),
		TEST(test_a_feature_is_required_before_its_first_record),
		TEST(test_a_packs_header_is_refused_by_number),
		TEST(test_a_later_programs_open_pack_is_sealed_as_we_can),
		TEST(test_a_packs_trailer_is_refused_by_number),
		TEST(test_parity_is_stepped_over),
		TEST(test_recovery_does_not_touch_what_it_does_not_know),
		TEST(test_behind_damage_a_later_group_is_set_aside),
		TEST(test_a_later_group_in_a_sealed_pack_is_whole_and_not_read),
		TEST(test_the_manifest_is_refused_by_number_and_the_index_made_anew),
		TEST(test_a_record_of_a_required_kind_refuses_the_store),
		TEST(test_a_record_of_an_optional_kind_is_skipped_and_kept),
		TEST(test_the_journals_header_is_refused_by_number),
		TEST(test_facts_of_a_point_are_kept_whoever_knows_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
