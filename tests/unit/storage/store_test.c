/* The store from making it to reading points back. */
#include <sys/stat.h>

#include "storage/fs.h"
#include "tests/unit/storage/store_rig.h"

struct here {
	char dir[64];
	struct store *s;
	struct err err;
};

static int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	rig_dir(h->dir);
	rig_ok(store_init(h->dir, &h->err), &h->err);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct here *h = *state;

	store_close(h->s);
	rig_remove(h->dir);
	free(h);
	return 0;
}

static void
reopen(struct here *h)
{
	store_close(h->s);
	h->s = NULL;
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
}

static void
remove_in(const char *dir, const char *name)
{
	char path[128];

	(void)snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

/* ------------------------------------------------------------- init and open -- */

static void
test_init_refuses_a_directory_that_is_not_empty(void **state)
{
	struct here *h = *state;
	char dir[64], path[128];
	FILE *f;

	assert_int_equal(store_init(h->dir, &h->err), -1);
	assert_int_equal(h->err.code, ERR_EXISTS);
	err_clear(&h->err);
	rig_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/letter.txt", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(store_init(dir, &h->err), -1);
	assert_int_equal(h->err.code, ERR_EXISTS);
	assert_non_null(strstr(h->err.text, "letter.txt"));
	err_clear(&h->err);
	rig_remove(dir);
	/* Its own files without the mark of an unfinished store are someone's. */
	rig_dir(dir);
	(void)snprintf(path, sizeof(path), "%s/keys", dir);
	f = fopen(path, "w");
	assert_non_null(f);
	fclose(f);
	assert_int_equal(store_init(dir, &h->err), -1);
	assert_int_equal(h->err.code, ERR_EXISTS);
	rig_remove(dir);
}

static void
test_init_makes_the_directory_and_keeps_keys_private(void **state)
{
	struct here *h = *state;
	char dir[64], path[128];
	struct stat st;

	rig_dir(dir);
	assert_int_equal(rmdir(dir), 0);
	rig_ok(store_init(dir, &h->err), &h->err);
	(void)snprintf(path, sizeof(path), "%s/keys", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	rig_remove(dir);
}

static void
test_opening_what_is_no_store_says_so(void **state)
{
	struct here *h = *state;
	struct store *s = NULL;
	char dir[64];

	rig_dir(dir);
	assert_int_equal(store_open(dir, &s, &h->err), -1);
	assert_int_equal(h->err.code, ERR_NOTFOUND);
	assert_null(s);
	rig_remove(dir);
}

static void
test_a_second_opening_is_refused(void **state)
{
	struct here *h = *state;
	struct store *s = NULL;
	char pid[32];

	assert_int_equal(store_open(h->dir, &s, &h->err), -1);
	assert_int_equal(h->err.code, ERR_BUSY);
	(void)snprintf(pid, sizeof(pid), "process %ld", (long)getpid());
	assert_non_null(strstr(h->err.text, pid));
}

static void
test_a_newer_format_is_refused(void **state)
{
	struct here *h = *state;
	char path[128], line[200];
	FILE *f;
	long at;

	store_close(h->s);
	h->s = NULL;
	(void)snprintf(path, sizeof(path), "%s/format", h->dir);
	f = fopen(path, "r+");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	at = ftell(f);
	assert_non_null(fgets(line, sizeof(line), f));
	assert_string_equal(line, "version 1\n");
	assert_int_equal(fseek(f, at, SEEK_SET), 0);
	fputs("version 7\n", f);
	fclose(f);
	assert_int_equal(store_open(h->dir, &h->s, &h->err), -1);
	assert_int_equal(h->err.code, ERR_UNSUPPORTED);
}

static void
test_damaged_keys_are_named(void **state)
{
	struct here *h = *state;
	char path[128];
	FILE *f;

	store_close(h->s);
	h->s = NULL;
	(void)snprintf(path, sizeof(path), "%s/keys", h->dir);
	for (long at = 0; at < 88; at++) {
		int c;

		f = fopen(path, "r+");
		assert_non_null(f);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		c = fgetc(f);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		fputc(c ^ 4, f);
		fclose(f);
		assert_int_equal(store_open(h->dir, &h->s, &h->err), -1);
		assert_int_equal(h->err.code, ERR_CORRUPT);
		assert_non_null(strstr(h->err.text, "keys"));
		err_clear(&h->err);
		f = fopen(path, "r+");
		assert_non_null(f);
		assert_int_equal(fseek(f, at, SEEK_SET), 0);
		fputc(c, f);
		fclose(f);
	}
}

static void
test_the_domain_key_stays_the_same(void **state)
{
	struct here *h = *state;
	uint8_t key[CHUNK_KEY_LEN];
	struct chunk_keys keys;

	memcpy(key, store_domain_key(h->s), sizeof(key));
	keys = *store_keys(h->s);
	reopen(h);
	assert_memory_equal(key, store_domain_key(h->s), sizeof(key));
	assert_memory_equal(&keys, store_keys(h->s), sizeof(keys));
}

/* -------------------------------------------------------------------- backup -- */

static void
test_a_volume_comes_back_as_it_was(void **state)
{
	static uint32_t blocks[1200];
	struct store_point *p = calloc(1, sizeof(*p)), *q = calloc(1, sizeof(*q));
	struct rig_volume v = { blocks, 1200 };
	struct here *h = *state;
	struct store_stats stats;

	assert_non_null(p);
	assert_non_null(q);
	rig_fill(blocks, 1200, 1);
	for (uint32_t i = 0; i < 1200; i += 7)
		blocks[i] = i % 3;
	rig_ok(rig_backup(h->s, "alpha", &v, p, &h->err), &h->err);
	assert_int_equal(p->sequence, 1);
	assert_string_equal(p->host, "alpha");
	assert_string_equal(p->volumes[0].fs, "raw");
	assert_int_equal(p->volumes[0].size, 1200u * RIG_BLOCK);
	assert_true(p->counts.stored_bytes > 0);
	rig_ok(rig_verify(h->s, p, 0, &v, &h->err), &h->err);
	reopen(h);
	rig_ok(store_point_get(h->s, "alpha", 0, q, &h->err), &h->err);
	assert_memory_equal(p, q, sizeof(*p));
	rig_ok(rig_verify(h->s, q, 0, &v, &h->err), &h->err);
	rig_ok(store_stats(h->s, &stats, &h->err), &h->err);
	assert_int_equal(stats.points, 1);
	assert_true(stats.unique_bytes >= p->volumes[0].data_bytes);
	assert_int_equal(stats.logical_bytes, p->volumes[0].data_bytes);
	free(p);
	free(q);
}

static void
test_points_form_a_chain_per_host(void **state)
{
	static uint32_t blocks[1100];
	struct store_point *p = calloc(4, sizeof(*p));
	struct rig_volume v = { blocks, 1100 };
	struct here *h = *state;
	uint8_t zeros[STORE_HASH_LEN] = { 0 };

	assert_non_null(p);
	rig_fill(blocks, 1100, 2);
	for (int i = 0; i < 3; i++) {
		blocks[100 + i] = 77u + (uint32_t)i;
		rig_ok(rig_backup(h->s, "alpha", &v, &p[i], &h->err), &h->err);
		assert_int_equal(p[i].sequence, i + 1);
	}
	assert_memory_equal(p[0].previous, zeros, STORE_HASH_LEN);
	assert_memory_equal(p[1].previous, p[0].record, STORE_HASH_LEN);
	assert_memory_equal(p[2].previous, p[1].record, STORE_HASH_LEN);
	assert_true(p[0].time_us < p[1].time_us && p[1].time_us < p[2].time_us);
	/* The second stored only what changed. */
	assert_true(p[1].counts.stored_bytes < p[0].counts.stored_bytes / 20);
	rig_ok(rig_backup(h->s, "beta", &v, &p[3], &h->err), &h->err);
	assert_int_equal(p[3].sequence, 1);
	assert_memory_equal(p[3].previous, zeros, STORE_HASH_LEN);
	assert_int_equal(p[3].counts.stored_bytes, 0);
	assert_int_equal(store_record_known(h->s, "alpha", p[1].record, &h->err), 1);
	assert_int_equal(store_record_known(h->s, "beta", p[1].record, &h->err), 0);
	assert_int_equal(store_record_known(h->s, "alpha", zeros, &h->err), 0);
	for (int i = 0; i < 3; i++) {
		blocks[100] = 77;
		blocks[101] = i >= 1 ? 78 : 2 * 1000003u + 101 + 3;
		blocks[102] = i >= 2 ? 79 : 2 * 1000003u + 102 + 3;
		rig_ok(rig_verify(h->s, &p[i], 0, &v, &h->err), &h->err);
	}
	free(p);
}

struct seen {
	unsigned n;
	uint64_t sequences[100];
	char hosts[100][STORE_NAME_MAX];
	int64_t last_us;
	unsigned stop_at;
};

static int
see_point(void *arg, const struct store_point *p)
{
	struct seen *s = arg;

	assert_true(s->n == 0 || p->time_us < s->last_us);
	s->last_us = p->time_us;
	s->sequences[s->n] = p->sequence;
	memcpy(s->hosts[s->n++], p->host, STORE_NAME_MAX);
	return s->n == s->stop_at ? 42 : 0;
}

static void
test_points_are_listed_newest_first(void **state)
{
	static uint32_t blocks[4];
	struct store_point *p = calloc(1, sizeof(*p));
	struct seen *seen = calloc(1, sizeof(*seen));
	struct rig_volume v = { blocks, 4 };
	struct here *h = *state;

	assert_non_null(p);
	assert_non_null(seen);
	rig_fill(blocks, 4, 3);
	for (uint32_t i = 0; i < 40; i++) {
		blocks[0] = 5000 + i;
		rig_ok(rig_backup(h->s, i % 4 == 3 ? "beta" : "alpha", &v, p, &h->err),
		    &h->err);
	}
	assert_int_equal(store_points(h->s, "alpha", INT64_MAX, see_point, seen, &h->err), 0);
	assert_int_equal(seen->n, 30);
	for (unsigned i = 0; i < 30; i++)
		assert_int_equal(seen->sequences[i], 30 - i);
	memset(seen, 0, sizeof(*seen));
	assert_int_equal(store_points(h->s, NULL, INT64_MAX, see_point, seen, &h->err), 0);
	assert_int_equal(seen->n, 40);
	assert_string_equal(seen->hosts[0], "beta");
	memset(seen, 0, sizeof(*seen));
	seen->stop_at = 20;
	assert_int_equal(store_points(h->s, NULL, INT64_MAX, see_point, seen, &h->err), 42);
	assert_int_equal(seen->n, 20);
	assert_int_equal(store_point_get(h->s, "alpha", 31, p, &h->err), -1);
	assert_int_equal(h->err.code, ERR_NOTFOUND);
	err_clear(&h->err);
	assert_int_equal(store_point_get(h->s, "nobody", 0, p, &h->err), -1);
	assert_int_equal(h->err.code, ERR_NOTFOUND);
	free(seen);
	free(p);
}

static void
test_a_volume_is_backed_up_by_one_lease_at_a_time(void **state)
{
	static const char *const cd[] = { "C", "D" }, *const d[] = { "D" },
				 *const e[] = { "E" };
	struct buf bad = BUF_INIT(1000);
	struct store_lease *a, *b, *other;
	struct store_base bases[2];
	struct here *h = *state;

	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &a, &h->err), &h->err);
	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &b, &h->err), &h->err);
	rig_ok(store_lease_open(h->s, "beta", STORE_BACKUP, &other, &h->err), &h->err);
	rig_ok(store_backup_begin(a, cd, 2, bases, &bad, &h->err), &h->err);
	assert_int_equal(bases[0].known, 0);
	assert_int_equal(store_backup_begin(b, d, 1, bases, &bad, &h->err), -1);
	assert_int_equal(h->err.code, ERR_BUSY);
	assert_non_null(strstr(h->err.text, "volume D of alpha"));
	err_clear(&h->err);
	rig_ok(store_backup_begin(b, e, 1, bases, &bad, &h->err), &h->err);
	rig_ok(store_backup_begin(other, d, 1, bases, &bad, &h->err), &h->err);
	store_lease_close(a);
	rig_ok(store_backup_begin(b, d, 1, bases, &bad, &h->err), &h->err);
	store_lease_close(b);
	store_lease_close(other);
	buf_free(&bad);
}

static void
test_an_unfinished_backup_is_resumed_without_sending_again(void **state)
{
	static const char *const names[] = { "C" };
	static uint32_t blocks[200];
	struct store_point *p = calloc(1, sizeof(*p));
	struct rig_volume v = { blocks, 200 };
	struct buf bad = BUF_INIT(1000);
	struct here *h = *state;
	static const char *const others[] = { "D" };
	struct buf meta = BUF_INIT(1000);
	enum store_commit_result result;
	struct store_lease *l, *older;
	struct store_base base;
	struct rig_agent a;
	struct chunk_id root;

	assert_non_null(p);
	rig_fill(blocks, 200, 4);
	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &l, &h->err), &h->err);
	assert_int_equal(store_lease_resumed(l), 0);
	rig_ok(store_backup_begin(l, names, 1, &base, &bad, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&a, h->s, l), 0);
	rig_ok(rig_volume_put(&a, &v, &root, &h->err), &h->err);
	rig_agent_end(&a);
	store_lease_close(l);
	reopen(h);

	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &l, &h->err), &h->err);
	assert_int_equal(store_lease_resumed(l), 1);
	store_lease_close(l);
	rig_ok(store_lease_open(h->s, "beta", STORE_BACKUP, &l, &h->err), &h->err);
	assert_int_equal(store_lease_resumed(l), 0);
	store_lease_close(l);
	rig_ok(rig_backup(h->s, "alpha", &v, p, &h->err), &h->err);
	assert_int_equal(p->counts.stored_bytes, 0);

	/* A commit ends only the unfinished ones from before its own beginning. */
	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &older, &h->err), &h->err);
	rig_ok(store_backup_begin(older, others, 1, &base, &bad, &h->err), &h->err);
	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &l, &h->err), &h->err);
	rig_ok(store_backup_begin(l, names, 1, &base, &bad, &h->err), &h->err);
	assert_int_equal(rig_agent_start(&a, h->s, l), 0);
	rig_fill(blocks, 200, 5);
	rig_ok(rig_volume_put(&a, &v, &root, &h->err), &h->err);
	rig_agent_end(&a);
	store_lease_close(l);
	rig_fill(blocks, 200, 6);
	assert_int_equal(rig_agent_start(&a, h->s, older), 0);
	rig_ok(rig_volume_put(&a, &v, &p->volumes[0].root_id, &h->err), &h->err);
	memcpy(p->volumes[0].name, "D", 2);
	rig_ok(store_commit(older, p, &result, &bad, &meta, &h->err), &h->err);
	assert_int_equal(result, STORE_COMMITTED);
	rig_agent_end(&a);
	store_lease_close(older);
	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &l, &h->err), &h->err);
	assert_int_equal(store_lease_resumed(l), 1);
	store_lease_close(l);
	rig_fill(blocks, 200, 5);
	rig_ok(rig_backup(h->s, "alpha", &v, p, &h->err), &h->err);
	assert_int_equal(p->counts.stored_bytes, 0);

	rig_ok(store_lease_open(h->s, "alpha", STORE_BACKUP, &l, &h->err), &h->err);
	assert_int_equal(store_lease_resumed(l), 0);
	store_lease_close(l);
	buf_free(&bad);
	free(p);
}

/* A lease of its own commits `p` again, as an agent does that heard no answer. */
static int
commit_again(struct here *h, const char *host, struct store_point *p,
    enum store_commit_result want)
{
	static const char *const names[] = { "C" };
	struct buf bad = BUF_INIT(1000), data = BUF_INIT(1000), meta = BUF_INIT(1000);
	enum store_commit_result result = STORE_MISSING;
	struct store_lease *l;
	struct store_base base;
	int ret;

	rig_ok(store_lease_open(h->s, host, STORE_BACKUP, &l, &h->err), &h->err);
	rig_ok(store_backup_begin(l, names, 1, &base, &bad, &h->err), &h->err);
	ret = store_commit(l, p, &result, &data, &meta, &h->err);
	store_lease_close(l);
	if (ret == 0)
		assert_int_equal(result, want);
	return ret;
}

static void
test_a_commit_that_is_repeated_makes_no_second_point(void **state)
{
	static uint32_t blocks[50], others[50];
	struct rig_volume v = { blocks, 50 }, w = { others, 50 };
	struct store_point *first = calloc(1, sizeof(*first)), *p = calloc(1, sizeof(*p)),
			   *draft = calloc(1, sizeof(*draft));
	struct here *h = *state;

	assert_true(first != NULL && p != NULL && draft != NULL);
	rig_fill(blocks, 50, 1);
	rig_fill(others, 50, 2);
	/* So that its chunks are there; this one has no id. */
	rig_ok(rig_backup(h->s, "alpha", &v, p, &h->err), &h->err);
	draft->volumes_count = 1;
	memcpy(draft->volumes[0].name, "C", 2);
	draft->volumes[0].root_id = p->volumes[0].root_id;
	memset(draft->backup, 7, sizeof(draft->backup));
	*first = *draft;
	rig_ok(commit_again(h, "alpha", first, STORE_COMMITTED), &h->err);
	assert_int_equal(first->sequence, 2);

	*p = *draft;
	rig_ok(commit_again(h, "alpha", p, STORE_COMMITTED_BEFORE), &h->err);
	assert_int_equal(p->sequence, 2);
	assert_memory_equal(p->record, first->record, sizeof(p->record));
	assert_int_equal(p->time_us, first->time_us);

	/* Nor after a crash, and not only while it is the newest. */
	reopen(h);
	rig_ok(rig_backup(h->s, "alpha", &w, p, &h->err), &h->err);
	assert_int_equal(p->sequence, 3);
	*p = *draft;
	rig_ok(commit_again(h, "alpha", p, STORE_COMMITTED_BEFORE), &h->err);
	assert_memory_equal(p->record, first->record, sizeof(p->record));

	/* The id is the host's own, and of one set of volumes. */
	rig_ok(rig_backup(h->s, "beta", &w, p, &h->err), &h->err);
	draft->volumes[0].root_id = p->volumes[0].root_id;
	*p = *draft;
	assert_int_equal(commit_again(h, "alpha", p, STORE_COMMITTED_BEFORE), -1);
	assert_int_equal(h->err.code, ERR_PROTOCOL);
	err_clear(&h->err);
	*p = *draft;
	rig_ok(commit_again(h, "beta", p, STORE_COMMITTED), &h->err);
	assert_int_equal(p->sequence, 2);

	/* Without an id every commit is a point. */
	memset(draft->backup, 0, sizeof(draft->backup));
	*p = *draft;
	rig_ok(commit_again(h, "beta", p, STORE_COMMITTED), &h->err);
	assert_int_equal(p->sequence, 3);
	free(first);
	free(p);
	free(draft);
}

/* ------------------------------------------------------------------- catalog -- */

static void
test_a_lost_or_ruined_catalog_is_made_again(void **state)
{
	static uint32_t blocks[10];
	struct store_point *p = calloc(1, sizeof(*p)), *q = calloc(1, sizeof(*q));
	struct rig_volume v = { blocks, 10 };
	struct here *h = *state;
	char path[128];
	FILE *f;

	assert_non_null(p);
	assert_non_null(q);
	rig_fill(blocks, 10, 5);
	rig_ok(rig_backup(h->s, "alpha", &v, p, &h->err), &h->err);
	for (int how = 0; how < 3; how++) {
		store_close(h->s);
		h->s = NULL;
		(void)snprintf(path, sizeof(path), "%s/catalog.db", h->dir);
		if (how == 0) {
			remove_in(h->dir, "catalog.db");
		} else {
			f = fopen(path, how == 1 ? "w" : "r+");
			assert_non_null(f);
			for (int i = 0; i < 30000; i++)
				fputc(i * 7 & 0xff, f);
			fclose(f);
		}
		rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
		if (how > 0)
			assert_non_null(
			    strstr(store_opened(h->s), "catalog was made anew"));
		else
			assert_string_equal(store_opened(h->s), "");
		rig_ok(store_point_get(h->s, "alpha", 0, q, &h->err), &h->err);
		assert_memory_equal(p, q, sizeof(*p));
	}
	free(p);
	free(q);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_init_refuses_a_directory_that_is_not_empty),
		T(test_init_makes_the_directory_and_keeps_keys_private),
		T(test_opening_what_is_no_store_says_so),
		T(test_a_second_opening_is_refused),
		T(test_a_newer_format_is_refused),
		T(test_damaged_keys_are_named),
		T(test_the_domain_key_stays_the_same),
		T(test_a_volume_comes_back_as_it_was),
		T(test_points_form_a_chain_per_host),
		T(test_points_are_listed_newest_first),
		T(test_a_volume_is_backed_up_by_one_lease_at_a_time),
		T(test_an_unfinished_backup_is_resumed_without_sending_again),
		T(test_a_commit_that_is_repeated_makes_no_second_point),
		T(test_a_lost_or_ruined_catalog_is_made_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
