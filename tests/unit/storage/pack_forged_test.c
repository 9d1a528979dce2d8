/*
 * What an agent may put into the data of a group: whole groups, whole footers.  After
 * damage or a crash none of it is taken for the store's own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/bytes.h"
#include "storage/fs_fault.h"
#include "storage/pack_format.h"
#include "tests/unit/storage/made_groups.h"

#define OPEN_NAME "packs/00000005.open"
#define VICTIM 999

struct world {
	struct fs_fault *ff;
	struct fs *fs;
	struct pack_writer *pw;
	struct chunk_keys keys;
	struct err err;
};

static int
setup(void **state)
{
	static const uint8_t domain[CHUNK_KEY_LEN] = { 7 };
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_non_null(w->ff = fs_fault_new(1));
	w->fs = fs_fault_fs(w->ff);
	made_dirs(w->fs);
	chunk_keys_init(&w->keys, domain);
	assert_int_equal(
	    pack_writer_open(w->fs, 5, CHUNK_DATA, made_store, &w->pw, &w->err), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	fs_fault_free(w->ff);
	free(w);
	return 0;
}

/* A group of one chunk; `claim` is its name, NULL for its true one. */
static void
one_chunk(struct world *w, const struct chunk_id *claim, const uint8_t *p, size_t len,
    struct buf *out, struct group *g)
{
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct codec *c = codec_new();
	struct chunk_id id;

	assert_non_null(b);
	assert_non_null(c);
	chunk_id_of(&w->keys, CHUNK_DATA, p, len, &id);
	out->max = GROUP_LEN_MAX;
	assert_int_equal(
	    group_builder_add(b, claim != NULL ? claim : &id, p, len, &w->err), 0);
	assert_int_equal(group_builder_finish(b, c, 1, out, &w->err), 0);
	assert_int_equal(group_parse(out->p, out->len, g, &w->err), 0);
	group_builder_free(b);
	codec_free(c);
}

static uint32_t
append(struct world *w, const struct group *g)
{
	uint32_t offset;
	uint64_t end;

	assert_int_equal(
	    pack_writer_append(w->pw, g, &offset, &end, &w->err), PACK_APPENDED);
	assert_int_equal(pack_writer_sync(w->pw, end, &w->err), 0);
	return offset;
}

/* Bytes that no codec makes smaller. */
static void
noise(uint8_t *p, size_t len, uint64_t seed)
{
	for (size_t i = 0; i < len; i++)
		p[i] = (uint8_t)(made_mix(seed + i) >> 20);
}

static int
proven(void *arg, const struct group *g)
{
	struct world *w = arg;
	struct err ignored = ERR_INIT;
	struct codec *c = codec_new();
	uint8_t *plain = malloc(g->plain_len);
	int yes;

	assert_non_null(plain);
	yes = group_decode(c, g, plain, &ignored) == 0 &&
	      group_prove(g, &w->keys, plain, &ignored) == 0;
	free(plain);
	codec_free(c);
	return yes;
}

struct seen {
	unsigned n, victim;
};

static int
see(void *arg, const struct pack_entry *e)
{
	const struct chunk_id victim = made_id(VICTIM);
	struct seen *s = arg;

	s->n++;
	s->victim += chunk_id_cmp(&e->id, &victim) == 0;
	return 0;
}

static struct seen
recover(struct world *w, const struct pack_judge *judge, struct pack_recovery *r)
{
	struct seen s = { 0, 0 };
	struct pack *p;

	pack_writer_free(w->pw);
	assert_int_equal(pack_recover(w->fs, 5, made_store, judge, r, &w->err), 0);
	assert_int_equal(pack_open(w->fs, 5, made_store, &p, &w->err), 0);
	assert_int_equal(pack_each_entry(p, see, &s, NULL, &w->err), 0);
	pack_close(p);
	return s;
}

/* A group lies in another's data; the other's length rots so that a walk meets it. */
static struct seen
walk_into_data(struct world *w, const struct pack_judge *judge, struct pack_recovery *r)
{
	const struct chunk_id victim = made_id(VICTIM);
	struct buf inner = BUF_INIT(GROUP_LEN_MAX), outer = BUF_INIT(GROUP_LEN_MAX);
	struct buf first = BUF_INIT(GROUP_LEN_MAX);
	uint8_t data[6000], *bytes;
	struct group gi, go, gf;
	uint32_t at;
	size_t len;

	noise(data, 300, 100000);
	one_chunk(w, &victim, data, 300, &inner, &gi);
	noise(data, sizeof(data), 0);
	/* The group's data begins 100 bytes behind its start. */
	memcpy(data + 2004, inner.p, inner.len);
	one_chunk(w, NULL, data, sizeof(data), &outer, &go);
	assert_int_equal(outer.len, 100 + sizeof(data));
	made_group(1, 2, &first, &gf);
	(void)append(w, &gf);
	at = append(w, &go);
	assert_non_null(bytes = fs_fault_bytes(w->ff, OPEN_NAME, &len));
	assert_memory_equal(bytes + at + 2104, inner.p, inner.len);
	bytes[at + 5] ^= 1; /* Of the other codec, which may be shorter. */
	store_le32(bytes + at + 20, 2004);
	buf_free(&inner);
	buf_free(&outer);
	buf_free(&first);
	return recover(w, judge, r);
}

static void
test_a_group_in_the_data_of_another_is_not_believed(void **state)
{
	struct world *w = *state;
	const struct pack_judge judge = { .proven = proven, .arg = w };
	struct pack_recovery r;
	struct seen s = walk_into_data(w, &judge, &r);

	assert_int_equal(s.victim, 0);
	assert_int_equal(s.n, 2);
	assert_true(r.damaged > 0);
	/* What the walk could not use is kept for people. */
	assert_true(r.aside > 0);
}

static void
test_without_a_judge_it_would_be(void **state)
{
	struct pack_recovery r;
	struct seen s = walk_into_data(*state, NULL, &r);

	assert_int_equal(s.victim, 1);
}

static void
test_a_footer_in_the_data_of_a_group_is_not_believed(void **state)
{
	struct world *w = *state;
	struct pack_header h = { .no = 5, .kind = CHUNK_DATA };
	struct buf first = BUF_INIT(GROUP_LEN_MAX), last = BUF_INIT(GROUP_LEN_MAX);
	struct buf lie = BUF_INIT(GROUP_LEN_MAX);
	const size_t before = 4100;
	struct pack_toc toc = { .entries = NULL };
	struct pack_recovery r;
	struct group g;
	struct seen s;
	uint8_t data[4100 + 216], *foot;
	size_t len;
	uint32_t at;

	made_group(1, 2, &first, &g);
	at = append(w, &g);
	/* Two chunks that never were, in the group that is there. */
	made_group(VICTIM, 2, &lie, &g);
	assert_int_equal(pack_toc_add(&toc, 5, at, &g, &w->err), 0);
	memcpy(h.store, made_store, sizeof(h.store));
	at = (uint32_t)pack_align(at + first.len);
	foot = pack_format_footer(&h, at + 100 + (uint32_t)before, 0, &toc, &len);
	assert_non_null(foot);
	assert_int_equal(len, 216);
	noise(data, before, 0);
	memcpy(data + before, foot, len);
	one_chunk(w, NULL, data, sizeof(data), &last, &g);
	assert_int_equal(last.len, 100 + sizeof(data));
	assert_int_equal(append(w, &g), at);
	free(foot);
	pack_toc_free(&toc);
	buf_free(&first);
	buf_free(&lie);
	buf_free(&last);
	s = recover(w, NULL, &r);
	assert_int_equal(s.victim, 0);
	assert_int_equal(s.n, 3);
	assert_int_equal(r.cut, 0);
}

/* What was acknowledged is not torn, even where nothing whole follows. */
static void
test_a_broken_last_group_that_was_durable_is_a_loss(void **state)
{
	struct world *w = *state;
	struct buf b = BUF_INIT(GROUP_LEN_MAX);
	struct pack_judge judge = { .proven = proven, .arg = w };
	struct pack_recovery r;
	struct group g;
	uint8_t *bytes;
	size_t len;

	made_group(1, 2, &b, &g);
	(void)append(w, &g);
	made_group(11, 2, &b, &g);
	(void)append(w, &g);
	buf_free(&b);
	assert_non_null(bytes = fs_fault_bytes(w->ff, OPEN_NAME, &len));
	bytes[len - 1] ^= 1;
	judge.durable = len;
	assert_int_equal(recover(w, &judge, &r).n, 2);
	assert_int_equal(r.damaged, 1);
	assert_true(r.aside > 0);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_group_in_the_data_of_another_is_not_believed),
		T(test_without_a_judge_it_would_be),
		T(test_a_footer_in_the_data_of_a_group_is_not_believed),
		T(test_a_broken_last_group_that_was_durable_is_a_loss),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
