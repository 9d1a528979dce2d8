/*
 * A byte of a store rots: it is noticed and said, or it means nothing; what is listed
 * and what is restored is the truth, or a named error.
 *
 * Without an argument every nth byte of a small store is flipped; "once" flips each
 * byte once, its three masks taking turns; "every" flips each with all three, or as many
 * as [SECONDS] of CPU allow (0: all), of the files whose names begin with [PREFIX]
 * (./dev soak flip).
 */
#define _GNU_SOURCE /* memmem */
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/store_retention.h"
#include "tests/unit/storage/store_rig.h"

#define FILES_MAX 32
#define POINTS 3

static int every;      /* The long form: each byte, */
static unsigned times; /* with this many masks, */
static double seconds; /* of each of its two parts; 0: all bytes. */

static const char *only = "";

struct file {
	char name[FS_NAME_MAX];
	uint8_t *p;
	size_t len;
};

struct tally {
	char file[FS_NAME_MAX];
	unsigned flips, refused, opened_aloud, verified, lost, silent;
};

struct here {
	struct fs_fault *ff;
	struct fs *fs;
	struct err err;
	struct file files[FILES_MAX];
	size_t n;
	uint32_t blocks[POINTS][6];
	struct rig_volume v[POINTS];
	struct store_point *points[POINTS]; /* alpha 1, alpha 2, beta 1 */
	struct store_peer peers[2];
};

static const char *const hosts[POINTS] = { "alpha", "alpha", "beta" };

/* --------------------------------------------------------------- pictures of it -- */

static const char *listed_in;

static int
take_file(void *arg, const char *name)
{
	struct here *h = arg;
	struct file *f = &h->files[h->n];
	const uint8_t *p;

	(void)snprintf(f->name, sizeof(f->name), "%s%s%.40s",
	    listed_in[0] == '.' ? "" : listed_in, listed_in[0] == '.' ? "" : "/", name);
	if ((p = fs_fault_bytes(h->ff, f->name, &f->len)) == NULL)
		return 0; /* A directory. */
	assert_true(h->n < FILES_MAX);
	f->p = malloc(f->len + 1);
	assert_non_null(f->p);
	memcpy(f->p, p, f->len);
	h->n++;
	return 0;
}

/* All names there are now, as take_file() does. */
static void
take_picture(struct here *h)
{
	static const char *const dirs[] = { ".", "packs", "index" };

	for (size_t i = 0; i < h->n; i++)
		free(h->files[i].p);
	h->n = 0;
	for (size_t i = 0; i < 3; i++) {
		listed_in = dirs[i];
		rig_ok(fs_list(h->fs, dirs[i], take_file, h, &h->err), &h->err);
	}
}

struct extra {
	struct here *h;
	char names[FILES_MAX][FS_NAME_MAX];
	unsigned n;
};

static int
find_extra(void *arg, const char *name)
{
	struct extra *x = arg;
	char full[FS_NAME_MAX];
	size_t len;

	(void)snprintf(full, sizeof(full), "%s%s%.40s",
	    listed_in[0] == '.' ? "" : listed_in, listed_in[0] == '.' ? "" : "/", name);
	if (fs_fault_bytes(x->h->ff, full, &len) == NULL)
		return 0;
	for (size_t i = 0; i < x->h->n; i++)
		if (strcmp(x->h->files[i].name, full) == 0)
			return 0;
	assert_true(x->n < FILES_MAX);
	memcpy(x->names[x->n++], full, sizeof(full));
	return 0;
}

/* Everything is again as in the picture. */
static void
put_back(struct here *h)
{
	static const char *const dirs[] = { ".", "packs", "index" };
	struct extra x = { .h = h };
	struct fs_file *f;
	size_t len;

	for (size_t i = 0; i < 3; i++) {
		listed_in = dirs[i];
		rig_ok(fs_list(h->fs, dirs[i], find_extra, &x, &h->err), &h->err);
	}
	for (unsigned i = 0; i < x.n; i++)
		rig_ok(fs_unlink(h->fs, x.names[i], &h->err), &h->err);
	for (size_t i = 0; i < h->n; i++) {
		const struct file *want = &h->files[i];
		const uint8_t *p = fs_fault_bytes(h->ff, want->name, &len);

		if (p != NULL && len == want->len && memcmp(p, want->p, len) == 0)
			continue;
		rig_ok(fs_open(h->fs, want->name, FS_WRITE | FS_CREATE, &f, &h->err),
		    &h->err);
		rig_ok(fs_truncate(f, 0, &h->err), &h->err);
		rig_ok(fs_pwrite(f, want->p, want->len, 0, &h->err), &h->err);
		fs_close(f);
	}
	fs_fault_restart(h->ff, 0);
}

/* ----------------------------------------------------------------------- truth -- */

static void
fill_store(struct here *h, struct store *s)
{
	struct store_token t = { .uses_left = 3, .ends_us = INT64_MAX };
	struct store_policy policy = { .scope = STORE_POLICY_DEFAULT, .set = 1 };

	for (int i = 0; i < POINTS; i++) {
		rig_fill(h->blocks[i], 6, i == 1 ? 1 : (uint32_t)i + 1);
		/* The second point shares all but one block with the first. */
		if (i == 1)
			h->blocks[i][2] = 77;
		h->blocks[i][3] = 0;
		h->blocks[i][4] = 1;
		h->blocks[i][5] = 2;
		h->v[i] = (struct rig_volume){ h->blocks[i], 6 };
		rig_ok(rig_backup(s, hosts[i], &h->v[i], h->points[i], &h->err), &h->err);
	}
	for (int i = 0; i < 2; i++) {
		struct store_peer *p = &h->peers[i];

		(void)snprintf(p->name, sizeof(p->name), "%s", i == 0 ? "alpha" : "beta");
		p->role = 1;
		memset(p->serial, 7 + i, sizeof(p->serial));
		memset(p->key_hash, 9 + i, sizeof(p->key_hash));
		p->cert_ends_us = INT64_MAX / 2;
		rig_ok(store_peer_put(s, p, &h->err), &h->err);
	}
	rig_ok(store_peer_revoke(s, "beta", &h->err), &h->err);
	rig_ok(store_token_put(s, &t, &h->err), &h->err);
	policy.rules.daily = 7;
	rig_ok(store_policy_put(s, &policy, &h->err), &h->err);
	rig_ok(store_hold(s, "boss", "alpha", 1, "a reason", &h->err), &h->err);
}

struct counted {
	struct here *h;
	unsigned n;
};

static int
same_point(void *arg, const struct store_point *p)
{
	struct counted *c = arg;
	unsigned found = 0;

	for (int i = 0; i < POINTS; i++)
		if (memcmp(p->record, c->h->points[i]->record, sizeof(p->record)) == 0) {
			assert_string_equal(p->host, hosts[i]);
			assert_memory_equal(&p->volumes[0].root_id,
			    &c->h->points[i]->volumes[0].root_id, CHUNK_ID_LEN);
			assert_int_equal(p->time_us, c->h->points[i]->time_us);
			found++;
		}
	assert_int_equal(found, 1);
	c->n++;
	return 0;
}

static int
same_peer(void *arg, const struct store_peer *p)
{
	struct counted *c = arg;
	const struct store_peer *want = &c->h->peers[c->n];

	assert_string_equal(p->name, want->name);
	assert_memory_equal(p->serial, want->serial, sizeof(p->serial));
	assert_int_equal(p->revoked, c->n == 1);
	assert_int_equal(p->cert_ends_us, want->cert_ends_us);
	c->n++;
	return 0;
}

/* What the journal says is listed as it is, however the catalog was. */
static void
must_list_the_truth(struct here *h, struct store *s)
{
	struct counted points = { h, 0 }, peers = { h, 0 };
	struct store_policy policy;
	struct store_kept kept;

	rig_ok(store_points(s, NULL, INT64_MAX, same_point, &points, &h->err), &h->err);
	assert_int_equal(points.n, POINTS);
	rig_ok(store_peers(s, same_peer, &peers, &h->err), &h->err);
	assert_int_equal(peers.n, 2);
	rig_ok(store_policy_of(s, "alpha", &policy, &h->err), &h->err);
	assert_int_equal(policy.rules.daily, 7);
	rig_ok(store_kept_one(s, "alpha", 1, &kept, &h->err), &h->err);
	assert_true(kept.held);
}

static int
count_problems(void *arg, const struct store_verify_report *r, const char *problem)
{
	(void)r;
	*(unsigned *)arg += problem != NULL;
	return 0;
}

static unsigned
verify(struct here *h, struct store *s)
{
	struct store_verify_report r;
	unsigned problems = 0;

	rig_ok(store_verify(s, 0, 1, count_problems, &problems, &r, &h->err), &h->err);
	return problems;
}

/* How many points cannot be restored; each of them says why, none is wrong. */
static unsigned
restore_all(struct here *h, struct store *s)
{
	struct err why = ERR_INIT;
	unsigned lost = 0;

	for (int i = 0; i < POINTS; i++) {
		err_clear(&why);
		if (rig_verify(s, h->points[i], 0, &h->v[i], &why) == 0)
			continue;
		if (why.code != ERR_CORRUPT && why.code != ERR_NOTFOUND)
			fail_msg("%s: %s", err_name(why.code), why.text);
		assert_true(why.text[0] != '\0');
		/* The reader may say so, the store must not have served it. */
		assert_null(strstr(why.text, "is another"));
		lost++;
	}
	return lost;
}

/* ----------------------------------------------------------------------- flips -- */

/* What only a store made whole again can do without: all others open nevertheless. */
static int
may_refuse(const char *name)
{
	return strcmp(name, "format") == 0 || strcmp(name, "keys") == 0 ||
	       strcmp(name, "journal") == 0;
}

static void
flip(struct here *h, const struct file *f, size_t at, uint8_t mask, struct tally *t)
{
	struct store *s = NULL;
	unsigned problems, lost;
	size_t len;

	put_back(h);
	fs_fault_bytes(h->ff, f->name, &len)[at] ^= mask;
	t->flips++;
	if (store_open_fs(h->fs, CATALOG_NAME, NULL, &s, &h->err) != 0) {
		if (!may_refuse(f->name) ||
		    (h->err.code != ERR_CORRUPT && h->err.code != ERR_UNSUPPORTED))
			fail_msg("%s at %zu ^ %02x: %s: %s", f->name, at, mask,
			    err_name(h->err.code), h->err.text);
		err_clear(&h->err);
		t->refused++;
		return;
	}
	must_list_the_truth(h, s);
	t->opened_aloud += store_opened(s)[0] != '\0';
	/* Whoever comes first, a reader or the scrub, the other agrees. */
	problems = at % 2 == 0 ? verify(h, s) : 0;
	lost = restore_all(h, s);
	if (at % 2 != 0)
		problems = verify(h, s);
	if (lost > 0 && problems == 0)
		fail_msg("%s at %zu ^ %02x: %u points are lost and nobody says so",
		    f->name, at, mask, lost);
	t->verified += problems > 0;
	t->lost += lost > 0;
	if (problems == 0 && store_opened(s)[0] == '\0')
		t->silent++;
	store_close(s);
}

/* A hint, the lock, and what a process keeps for a full disk: nobody rests on them. */
static int
means_nothing(const char *name)
{
	static const char *const names[] = { "journal.head", "packs.head", "lock",
		"reserve" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strcmp(name, names[i]) == 0)
			return 1;
	return 0;
}

static void
flip_all(struct here *h, const char *state)
{
	static const uint8_t masks[] = { 0x01, 0x80, 0xff };
	struct tally all = { .file = "all" };
	size_t total = 1;
	clock_t began;

	for (size_t i = 0; i < h->n; i++)
		total += h->files[i].len;

	for (size_t i = 0; i < h->n; i++) {
		struct file f = h->files[i];
		struct tally t = { .flips = 0 };
		/* SQLite's free pages are many; the rest is short. */
		size_t step = f.len > 100000 ? 1511 : f.len > 20000 ? 509 : 61;

		if (strncmp(f.name, only, strlen(only)) != 0)
			continue;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
		step *= 8;
#endif
		if (every)
			step = 1;

		/* A share of the time by length, from all over the file. */
		began = clock();
		for (size_t k = 0; k < f.len; k += step) {
			size_t at = every ? k * 1000003u % f.len : k;

			if (every && seconds > 0 &&
			    (double)(clock() - began) / CLOCKS_PER_SEC >
				2 + seconds * (double)f.len / (double)total)
				break;
			for (unsigned m = 0; m < times; m++)
				flip(h, &f, at, masks[(at / step + m) % 3], &t);
		}
		if (f.len > 0)
			printf(
			    "%s %-20s %7zu bytes %6u flips: %6u refused, %6u opened "
			    "aloud, %6u told by verify, %6u lose a point, %6u silent\n",
			    state, f.name, f.len, t.flips, t.refused, t.opened_aloud,
			    t.verified, t.lost, t.silent);
		/* Every byte of these is under a hash. */
		if (strcmp(f.name, "keys") == 0 || strcmp(f.name, "journal") == 0 ||
		    strcmp(f.name, "format") == 0)
			assert_int_equal(t.refused, t.flips);
		/* But for a few bytes between groups. */
		if (strncmp(f.name, "packs/", 6) == 0 && t.flips > 100)
			assert_true(t.silent * 50 < t.flips);
		if (means_nothing(f.name))
			assert_int_equal(t.lost + t.refused, 0);
		all.flips += t.flips;
		all.silent += t.silent;
	}
	printf("%s: %u flips, %u without effect\n", state, all.flips, all.silent);
}

static void
test_a_flip_in_a_closed_store(void **state)
{
	struct here *h = *state;
	struct store *s;

	rig_ok(store_open_fs(h->fs, CATALOG_NAME, NULL, &s, &h->err), &h->err);
	fill_store(h, s);
	store_close(s);
	/* Opened and closed once more: as it lies for years. */
	rig_ok(store_open_fs(h->fs, CATALOG_NAME, NULL, &s, &h->err), &h->err);
	assert_string_equal(store_opened(s), "");
	store_close(s);
	take_picture(h);
	flip_all(h, "closed");
}

static void
test_a_flip_in_a_store_whose_process_was_killed(void **state)
{
	struct here *h = *state;
	struct store *s;

	rig_ok(store_open_fs(h->fs, CATALOG_NAME, NULL, &s, &h->err), &h->err);
	fill_store(h, s);
	take_picture(h);
	store_close(s);
	flip_all(h, "killed");
}

/* A picture of a store that was filled and closed. */
static void
close_filled(struct here *h)
{
	struct store *s;

	rig_ok(store_open_fs(h->fs, CATALOG_NAME, NULL, &s, &h->err), &h->err);
	fill_store(h, s);
	store_close(s);
	take_picture(h);
}

/*
 * What the long form found: names of functions in the catalog's own text of its tables,
 * and SQLite's header, whose byte 18 says who may write.
 */
static void
test_a_flip_in_what_the_catalog_says_of_itself(void **state)
{
	struct here *h = *state;
	struct tally t = { .flips = 0 };

	close_filled(h);
	for (size_t i = 0; i < h->n; i++) {
		struct file f = h->files[i];
		const uint8_t *at = f.p;

		if (strcmp(f.name, CATALOG_NAME) != 0)
			continue;
		while (t.flips < 5 && (at = memmem(at, f.len - (size_t)(at - f.p),
					   "row_mac(", 8)) != NULL)
			flip(h, &f, (size_t)(at++ - f.p), 0x01, &t);
		assert_int_equal(t.flips, 5);
		flip(h, &f, 18, 0x80, &t);
		assert_int_equal(t.opened_aloud, 6);
		for (size_t k = 0; k < 100; k++)
			flip(h, &f, k, 0xff, &t);
	}
	assert_int_equal(t.flips, 106);
}

/* A codec that nobody knows is a byte that rotted, and no later version's group. */
static void
test_a_flip_in_the_header_of_a_group(void **state)
{
	struct here *h = *state;
	struct tally t = { .flips = 0 };

	close_filled(h);
	for (size_t i = 0; i < h->n; i++) {
		struct file f = h->files[i];

		if (strncmp(f.name, "packs/", 6) != 0)
			continue;
		for (size_t k = 0; k < 32; k++)
			flip(h, &f, 96 + k, 0xff, &t);
	}
	assert_true(t.flips >= 64);
	assert_int_equal(t.verified, t.flips);
}

static int
setup(void **state)
{
	struct here *h = calloc(1, sizeof(*h));

	assert_non_null(h);
	h->ff = fs_fault_new(3);
	assert_non_null(h->ff);
	h->fs = fs_fault_fs(h->ff);
	for (int i = 0; i < POINTS; i++) {
		h->points[i] = calloc(1, sizeof(*h->points[i]));
		assert_non_null(h->points[i]);
	}
	rig_ok(store_init_fs(h->fs, &h->err), &h->err);
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct here *h = *state;

	for (size_t i = 0; i < h->n; i++)
		free(h->files[i].p);
	for (int i = 0; i < POINTS; i++)
		free(h->points[i]);
	fs_fault_free(h->ff);
	free(h);
	return 0;
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_a_flip_in_a_closed_store, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_flip_in_what_the_catalog_says_of_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_flip_in_the_header_of_a_group, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    test_a_flip_in_a_store_whose_process_was_killed, setup, teardown),
	};

	(void)setvbuf(stdout, NULL, _IOLBF, 0); /* It may take hours. */
	times = argc > 1 && strcmp(argv[1], "every") == 0 ? 3 : 1;
	every = times == 3 || (argc > 1 && strcmp(argv[1], "once") == 0);
	seconds = argc > 2 ? strtod(argv[2], NULL) / 2 : 0;
	only = argc > 3 ? argv[3] : "";
	return cmocka_run_group_tests(tests, NULL, NULL);
}
