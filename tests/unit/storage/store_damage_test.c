/* Groups, footers and packs that rot or get lost: found, told, never served, healed. */
#include "proto/base/bytes.h"
#include "proto/chunk/blake3.h"
#include "tests/unit/storage/store_lease_rig.h"

struct problems {
	unsigned n;
	char text[4][400];
};

static int
hear(void *arg, const struct store_verify_report *r, const char *problem)
{
	struct problems *p = arg;

	(void)r;
	if (problem != NULL && p->n < 4)
		(void)snprintf(p->text[p->n++], sizeof(p->text[0]), "%s", problem);
	return 0;
}

static int
stop(void *arg, const struct store_verify_report *r, const char *problem)
{
	(void)arg;
	(void)r;
	(void)problem;
	return 1;
}

static void
test_a_rotten_group_is_found_told_and_healed(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct store_verify_report report;
	struct store_place place;
	struct problems problems = { 0 };
	struct chunk_id root, id;
	struct fs_file *f;
	uint8_t content[RIG_BLOCK], found, byte;
	struct store_stats stats;
	char name[64];

	rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
	h->p->volumes[0].root_id = root;
	rig_ok(commit(h, &result), &h->err);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_int_equal(report.points_checked, 1);
	assert_true(report.groups > 1);
	assert_int_equal(report.bytes, report.bytes_total);
	assert_int_equal(store_verify(h->s, 0, 1, stop, NULL, &report, &h->err), -1);
	assert_int_equal(h->err.code, ERR_CANCELED);
	err_clear(&h->err);

	/* Flip a bit in the data of the group that holds block 0. */
	rig_content(h->blocks[0], content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, &id, 1, &place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	rig_ok(fs_open(h->s->fs, name, FS_READ | FS_WRITE, &f, &h->err), &h->err);
	rig_ok(fs_read_all(f, &byte, 1, place.offset + 5000, &h->err), &h->err);
	byte ^= 8;
	rig_ok(fs_pwrite(f, &byte, 1, place.offset + 5000, &h->err), &h->err);
	fs_close(f);

	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(report.bad_groups, 1);
	assert_int_equal(problems.n, 2);
	assert_non_null(strstr(problems.text[0], "pack "));
	assert_non_null(strstr(problems.text[1], "alpha point 1 volume C"));
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, &id, 1, &place, &found, &h->err), &h->err);
	assert_int_equal(found, 0);
	rig_ok(store_stats(h->s, &stats, &h->err), &h->err);
	assert_int_equal(stats.quarantined, 1);

	/* The next backup hears of it, and sending it again heals it. */
	for (int again = 0; again < 2; again++) {
		static const char *const names[] = { "C" };
		struct store_base base;

		rig_agent_end(&h->a);
		store_lease_close(h->lease);
		store_close(h->s);
		h->lease = NULL;
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
		rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err),
		    &h->err);
		buf_clear(&h->bad);
		rig_ok(store_backup_begin(h->lease, names, 1, &base, &h->bad, &h->err),
		    &h->err);
		assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
		if (again) {
			assert_int_equal(h->bad.len, 0);
			break;
		}
		assert_true(h->bad.len >= CHUNK_ID_LEN);
		/* A tree that shares what is lost does not become a point. */
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_MISSING);
		assert_int_equal(h->data.len, h->bad.len);
		rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_COMMITTED);
		rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	}
}

/* Change the byte `back` bytes before a file's end. */
static void
spoil_end(const char *dir, const char *name, long back)
{
	char path[160];
	FILE *f;
	int c;

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_int_equal(fseek(f, -back, SEEK_END), 0);
	c = fgetc(f);
	assert_int_equal(fseek(f, -back, SEEK_END), 0);
	fputc(c ^ 1, f);
	fclose(f);
}

static void
test_a_lost_pack_or_footer_does_not_keep_the_store_shut(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct problems problems = { 0 };
	struct store_verify_report report;
	struct chunk_id root;
	char path[160];

	rig_ok(rig_volume_put(&h->a, &h->v, &root, &h->err), &h->err);
	h->p->volumes[0].root_id = root;
	rig_ok(commit(h, &result), &h->err);
	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	h->lease = NULL;
	store_close(h->s);
	/* The index gone and a footer rotten: its groups are found by walking. */
	(void)snprintf(path, sizeof(path), "%s/index/MANIFEST", h->dir);
	assert_int_equal(unlink(path), 0);
	spoil_end(h->dir, "packs/00000001.pack", 100);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	assert_non_null(strstr(store_opened(h->s), "damaged footer"));
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 1);
	store_close(h->s);
	/* The file gone: it is said, verify names the point. */
	(void)snprintf(path, sizeof(path), "%s/packs/00000001.pack", h->dir);
	assert_int_equal(unlink(path), 0);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	assert_non_null(strstr(store_opened(h->s), "1 PACKS ARE MISSING"));
	memset(&problems, 0, sizeof(problems));
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 2);
	assert_non_null(strstr(problems.text[1], "alpha point 1 volume C"));
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
}

/* Change `n` bytes of a file of the store; a negative offset counts from its end. */
static void
spoil(struct here *h, const char *name, int64_t offset, size_t n)
{
	struct fs_file *f;
	uint64_t len;
	uint8_t p[64];

	assert_true(n <= sizeof(p));
	rig_ok(fs_open(h->s->fs, name, FS_READ | FS_WRITE, &f, &h->err), &h->err);
	rig_ok(fs_size(f, &len, &h->err), &h->err);
	if (offset < 0)
		offset += (int64_t)len;
	rig_ok(fs_read_all(f, p, n, (uint64_t)offset, &h->err), &h->err);
	for (size_t i = 0; i < n; i++)
		p[i] ^= 0x55;
	rig_ok(fs_pwrite(f, p, n, (uint64_t)offset, &h->err), &h->err);
	fs_close(f);
}

/* Commit the volume, seal its packs; where block 0 lies, and its id. */
static void
commit_and_seal(struct here *h, struct store_place *place, struct chunk_id *id)
{
	enum store_commit_result result;
	uint8_t content[RIG_BLOCK], found;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(store_packs_seal(h->s->packs, &h->err), &h->err);
	rig_content(h->blocks[0], content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, id);
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, id, 1, place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
}

/* Begin again on what was just committed; with `reopen` after opening the store again. */
static void
begin_again(struct here *h, int reopen)
{
	static const char *const names[] = { "C" };
	struct store_base base;

	rig_agent_end(&h->a);
	store_lease_close(h->lease);
	h->lease = NULL;
	if (reopen) {
		store_close(h->s);
		h->s = NULL;
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	}
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	rig_ok(store_backup_begin(h->lease, names, 1, &base, &h->bad, &h->err), &h->err);
	assert_int_equal(base.known, 1);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
}

static void
test_a_loss_that_cannot_be_named_is_still_one(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct store_place place;
	struct chunk_id id;
	char name[64];

	commit_and_seal(h, &place, &id);
	rig_ok(store_quarantine(h->s, place.pack, place.offset, &h->err), &h->err);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	/* Neither the footer nor the group tells any more whose bytes they were. */
	spoil(h, name, -1, 1);
	spoil(h, name, place.offset, 4);
	begin_again(h, 1);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	assert_true(h->data.len > 0);
	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
}

/* A byte of block's group rots, `at` of it, and the pack is still open. */
static void
left_out(struct here *h, uint32_t block, uint32_t at, const char *said)
{
	struct problems problems = { 0 };
	struct store_verify_report report;
	enum store_commit_result result;
	uint8_t content[RIG_BLOCK], found;
	struct store_place place;
	char name[64], command[200], copy[70];
	struct chunk_id id;

	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_content(h->blocks[block], content);
	chunk_id_of(h->a.keys, CHUNK_DATA, content, RIG_BLOCK, &id);
	rig_ok(
	    store_locate(h->lease, CHUNK_DATA, &id, 1, &place, &found, &h->err), &h->err);
	assert_int_equal(found, 1);
	(void)snprintf(name, sizeof(name), "packs/%08x.open", place.pack);
	spoil(h, name, place.offset + at, 1);
	/* As a kill leaves it: the pack is still open. */
	(void)snprintf(copy, sizeof(copy), "%s.2", h->dir);
	(void)snprintf(command, sizeof(command), "cp -r '%s' '%s'", h->dir, copy);
	assert_int_equal(system(command), 0);
	rig_remove(h->dir);
	memcpy(h->dir, copy, sizeof(h->dir) - 1);
	for (int round = 0; round < 2; round++) {
		begin_again(h, 1);
		if (round == 0)
			assert_non_null(strstr(store_opened(h->s), said));
		rig_ok(commit(h, &result), &h->err);
		assert_int_equal(result, STORE_MISSING);
		assert_true(h->data.len > 0);
		/* Missed by a point, it is not forgotten. */
		rig_ok(
		    store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
		assert_true(problems.n > 0);
		assert_true(store_lost_unnamed(h->s));
	}
	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
	/* Healed: once all is seen to be whole, nothing is lost any more. */
	problems.n = 0;
	rig_ok(store_verify(h->s, 0, 0, hear, &problems, &report, &h->err), &h->err);
	assert_true(store_lost_unnamed(h->s));
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(problems.n, 0);
	assert_false(store_lost_unnamed(h->s));
	begin_again(h, 1);
	assert_false(store_lost_unnamed(h->s));
}

static void
test_what_recovery_had_to_leave_out_is_missing(void **state)
{
	left_out(*state, 0, 5000, "1 damaged groups in them were left out");
}

/* Nothing follows it: only packs.head tells that it was not torn. */
static void
test_a_last_group_that_rotted_is_missing(void **state)
{
	left_out(*state, 2 * GROUP_PLAIN_TARGET / RIG_BLOCK - 1, 5000,
	    "1 damaged groups in them were left out");
}

/* Nor does a packs.head of a later time, or of a copy's, keep it from being told. */
static void
test_a_packs_head_that_is_ahead_hides_no_loss(void **state)
{
	struct here *h = *state;
	static const char *const names[] = { "C" };
	struct store_base base;
	uint8_t b[80];
	struct fs_file *f;

	store_lease_close(h->lease);
	h->lease = NULL;
	rig_agent_end(&h->a);
	memset(b, 0, sizeof(b));
	memcpy(b, "HFPHEAD1", 8);
	memcpy(b + 8, h->s->of.store, 16);
	for (unsigned i = 0; i < 2; i++) {
		store_le32(b + 24 + 8 * i, 0x7000);
		store_le32(b + 28 + 8 * i, 1 << 26);
	}
	blake3(b, 48, NULL, b + 48, 32);
	rig_ok(
	    fs_open(h->s->fs, "packs.head", FS_WRITE | FS_CREATE, &f, &h->err), &h->err);
	rig_ok(fs_pwrite(f, b, sizeof(b), 0, &h->err), &h->err);
	fs_close(f);
	store_close(h->s);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	rig_ok(
	    store_lease_open(h->s, "alpha", STORE_BACKUP, &h->lease, &h->err), &h->err);
	rig_ok(store_backup_begin(h->lease, names, 1, &base, &h->bad, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&h->a, h->s, h->lease), 0);
	left_out(h, 2 * GROUP_PLAIN_TARGET / RIG_BLOCK - 1, 5000,
	    "1 damaged groups in them were left out");
}

static void
test_what_recovery_had_to_set_aside_is_missing(void **state)
{
	struct here *h = *state;
	char path[128];

	left_out(h, 0, 1, "bytes behind the damage are in packs/*.damaged");
	(void)snprintf(path, sizeof(path), "%s/packs/00000001.damaged", h->dir);
	assert_int_equal(access(path, R_OK), 0);
}

static void
test_a_pack_that_verify_finds_lost_does_not_count(void **state)
{
	struct here *h = *state;
	enum store_commit_result result;
	struct store_verify_report report;
	struct problems problems = { 0 };
	struct store_place place;
	struct chunk_id id;
	uint8_t answer;
	char name[64];

	commit_and_seal(h, &place, &id);
	(void)snprintf(name, sizeof(name), "packs/%08x.pack", place.pack);
	if (h->blocks[0] % 2 == 0)
		spoil(h, name, 0, 4);
	else
		rig_ok(fs_unlink(h->s->fs, name, &h->err), &h->err);
	begin_again(h, 0);
	rig_ok(store_verify(h->s, 0, 1, hear, &problems, &report, &h->err), &h->err);
	assert_int_equal(report.bad_groups, 1);
	/* The pack is told, and the point that has lost it. */
	assert_int_equal(problems.n, 2);
	rig_ok(store_have(h->lease, CHUNK_DATA, &id, 1, &answer, &h->err), &h->err);
	assert_int_equal(answer, STORE_NEED);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_MISSING);
	rig_ok(rig_volume_put(&h->a, &h->v, &h->p->volumes[0].root_id, &h->err), &h->err);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	begin_again(h, 1);
	rig_ok(commit(h, &result), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_ok(rig_verify(h->s, h->p, 0, &h->v, &h->err), &h->err);
}

static void
test_a_pack_without_its_header_does_not_count(void **state)
{
	struct here *h = *state;

	h->blocks[0]++; /* The other half of the test above. */
	test_a_pack_that_verify_finds_lost_does_not_count(state);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_a_rotten_group_is_found_told_and_healed),
		T(test_a_lost_pack_or_footer_does_not_keep_the_store_shut),
		T(test_a_loss_that_cannot_be_named_is_still_one),
		T(test_what_recovery_had_to_leave_out_is_missing),
		T(test_a_last_group_that_rotted_is_missing),
		T(test_a_packs_head_that_is_ahead_hides_no_loss),
		T(test_what_recovery_had_to_set_aside_is_missing),
		T(test_a_pack_that_verify_finds_lost_does_not_count),
		T(test_a_pack_without_its_header_does_not_count),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
