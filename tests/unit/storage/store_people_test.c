/* Hosts, operators, tokens and secrets: what was said stays said, also after opening
 * again. */
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

/* Forget the catalog: what comes back then is what the journal knows. */
static void
rebuild(struct here *h)
{
	char path[128];

	store_close(h->s);
	h->s = NULL;
	(void)snprintf(path, sizeof(path), "%s/catalog.db", h->dir);
	assert_int_equal(unlink(path), 0);
	rig_ok(store_open(h->dir, &h->s, &h->err), &h->err);
}

#define refused(h, call, want)                           \
	do {                                             \
		assert_int_equal((call), -1);            \
		assert_int_equal((h)->err.code, (want)); \
		assert_true((h)->err.text[0] != '\0');   \
		err_clear(&(h)->err);                    \
	} while (0)

static struct store_peer
peer(const char *name, uint8_t key, uint8_t serial)
{
	struct store_peer p = { .role = 1, .cert_ends_us = 5000000 };

	(void)snprintf(p.name, sizeof(p.name), "%s", name);
	(void)snprintf(p.program, sizeof(p.program), "agent 1");
	memset(p.key_hash, key, sizeof(p.key_hash));
	memset(p.serial, serial, sizeof(p.serial));
	return p;
}

static struct store_token
token(struct store *s, uint8_t hash, uint32_t uses)
{
	struct store_token t = { .uses_left = uses };

	memset(t.hash, hash, sizeof(t.hash));
	t.ends_us = store_now(s) + (int64_t)3600 * 1000000;
	(void)snprintf(t.group, sizeof(t.group), "office");
	(void)snprintf(t.networks, sizeof(t.networks), "10.0.0.0/8");
	return t;
}

static int
enrol(struct here *h, uint8_t hash, const struct store_peer *p, const char *cert,
    char got[STORE_BLOB_MAX])
{
	uint8_t token_hash[STORE_HASH_LEN], der[STORE_BLOB_MAX];
	size_t len = strlen(cert) + 1;
	int ret;

	memset(token_hash, hash, sizeof(token_hash));
	memcpy(der, cert, len);
	ret = store_enrol(h->s, token_hash, p, der, &len, &h->err);
	if (ret == 0)
		memcpy(got, der, len);
	return ret;
}

static void
test_secrets_come_back_and_are_not_in_the_clear(void **state)
{
	static const char secret[] = "a very private key that nobody may see";
	struct here *h = *state;
	uint8_t p[STORE_BLOB_MAX];
	char command[256];
	size_t len;

	refused(
	    h, store_secret_get(h->s, "ca", p, sizeof(p), &len, &h->err), ERR_NOTFOUND);
	rig_ok(
	    store_secret_put(h->s, "ca", (const uint8_t *)"older", 5, &h->err), &h->err);
	rig_ok(store_secret_put(
		   h->s, "ca", (const uint8_t *)secret, sizeof(secret), &h->err),
	    &h->err);
	rebuild(h);
	rig_ok(store_secret_get(h->s, "ca", p, sizeof(p), &len, &h->err), &h->err);
	assert_int_equal(len, sizeof(secret));
	assert_memory_equal(p, secret, sizeof(secret));
	refused(h, store_secret_get(h->s, "ca", p, 3, &len, &h->err), ERR_LIMIT);
	refused(h, store_secret_put(h->s, ".domain", p, 3, &h->err), ERR_DENIED);
	(void)snprintf(command, sizeof(command), "grep -rq 'very private' '%s'", h->dir);
	assert_int_not_equal(system(command), 0);
}

static void
test_a_peer_is_found_by_name_and_by_every_serial_it_had(void **state)
{
	struct store_peer p = peer("alpha", 1, 1), q;
	struct here *h = *state;

	refused(h, store_peer_by_name(h->s, "alpha", &q, &h->err), ERR_NOTFOUND);
	refused(h, store_peer_by_serial(h->s, p.serial, &q, &h->err), ERR_NOTFOUND);
	(void)snprintf(p.group, sizeof(p.group), "office");
	rig_ok(store_peer_put(h->s, &p, &h->err), &h->err);
	p = peer("alpha", 1, 2);
	(void)snprintf(p.group, sizeof(p.group), "elsewhere");
	rig_ok(store_peer_put(h->s, &p, &h->err), &h->err);
	for (int again = 0; again < 2; again++) {
		for (uint8_t serial = 1; serial <= 2; serial++) {
			uint8_t wanted[STORE_SERIAL_LEN];

			memset(wanted, serial, sizeof(wanted));
			rig_ok(store_peer_by_serial(h->s, wanted, &q, &h->err), &h->err);
			assert_string_equal(q.name, "alpha");
			assert_string_equal(q.group, "office");
			assert_int_equal(q.serial[0], 2);
			assert_int_equal(q.revoked, 0);
			assert_true(q.enrolled_us > 0);
		}
		rebuild(h);
	}
}

static void
test_a_revoked_name_has_no_certificate_that_counts(void **state)
{
	struct store_peer p = peer("alpha", 1, 1), q;
	struct here *h = *state;

	refused(h, store_peer_revoke(h->s, "alpha", &h->err), ERR_NOTFOUND);
	rig_ok(store_peer_put(h->s, &p, &h->err), &h->err);
	rig_ok(store_peer_revoke(h->s, "alpha", &h->err), &h->err);
	rig_ok(store_peer_revoke(h->s, "alpha", &h->err), &h->err);
	rebuild(h);
	rig_ok(store_peer_by_serial(h->s, p.serial, &q, &h->err), &h->err);
	assert_int_equal(q.revoked, 1);
	/* A renewal that raced with the revocation does not bring it back. */
	p = peer("alpha", 1, 2);
	refused(h, store_peer_put(h->s, &p, &h->err), ERR_DENIED);
	refused(h, store_peer_by_serial(h->s, p.serial, &q, &h->err), ERR_NOTFOUND);
}

static int
see_peer(void *arg, const struct store_peer *p)
{
	char(*names)[STORE_NAME_MAX] = arg;
	unsigned i = 0;

	while (names[i][0] != '\0')
		i++;
	memcpy(names[i], p->name, STORE_NAME_MAX);
	return strcmp(p->name, "host-150") == 0 ? 9 : 0;
}

static void
test_peers_are_listed_by_name(void **state)
{
	static char names[200][STORE_NAME_MAX];
	struct here *h = *state;

	for (int i = 139; i >= 0; i--) {
		char name[20];
		struct store_peer p;

		(void)snprintf(name, sizeof(name), "host-%03d", i);
		p = peer(name, (uint8_t)i, (uint8_t)i);
		rig_ok(store_peer_put(h->s, &p, &h->err), &h->err);
	}
	assert_int_equal(store_peers(h->s, see_peer, names, &h->err), 0);
	for (int i = 0; i < 140; i++) {
		char name[20];

		(void)snprintf(name, sizeof(name), "host-%03d", i);
		assert_string_equal(names[i], name);
	}
	assert_string_equal(names[140], "");
}

static void
test_seen_and_alarms(void **state)
{
	struct store_peer p = peer("alpha", 1, 1), q;
	struct here *h = *state;

	refused(h, store_peer_seen(h->s, "nobody", "x", &h->err), ERR_NOTFOUND);
	refused(h, store_peer_alarm(h->s, "nobody", "x", &h->err), ERR_NOTFOUND);
	rig_ok(store_peer_put(h->s, &p, &h->err), &h->err);
	rig_ok(store_peer_seen(h->s, "alpha", "agent 2", &h->err), &h->err);
	rig_ok(
	    store_peer_alarm(h->s, "alpha", "a copied key was seen", &h->err), &h->err);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_string_equal(q.program, "agent 2");
	assert_true(q.seen_us > 0);
	rebuild(h);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_string_equal(q.program, "agent 2");
	assert_true(q.seen_us > 0);
	assert_string_equal(q.alarm, "a copied key was seen");
	rig_ok(store_peer_alarm(h->s, "alpha", "", &h->err), &h->err);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_string_equal(q.alarm, "");
}

/* ------------------------------------------------------------------- tokens -- */

static void
test_a_token_enrols_as_often_as_it_says(void **state)
{
	char cert[STORE_BLOB_MAX];
	struct here *h = *state;
	struct store_token t = token(h->s, 9, 2), back;
	struct store_peer a = peer("alpha", 1, 1), b = peer("beta", 2, 2),
			  c = peer("gamma", 3, 3), q;

	refused(h, enrol(h, 9, &a, "cert a", cert), ERR_NOTFOUND);
	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	rig_ok(enrol(h, 9, &a, "cert a", cert), &h->err);
	rig_ok(enrol(h, 9, &b, "cert b", cert), &h->err);
	assert_string_equal(cert, "cert b");
	refused(h, enrol(h, 9, &c, "cert c", cert), ERR_DENIED);
	rebuild(h);
	rig_ok(store_token_get(h->s, t.hash, &back, &h->err), &h->err);
	assert_int_equal(back.uses_left, 0);
	assert_string_equal(back.networks, "10.0.0.0/8");
	assert_int_equal(back.ends_us, t.ends_us);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_string_equal(q.group, "office");
	assert_int_equal(q.key_hash[0], 1);
}

static void
test_a_lost_reply_costs_nothing(void **state)
{
	char cert[STORE_BLOB_MAX];
	struct here *h = *state;
	struct store_token t = token(h->s, 9, 1), back;
	struct store_peer a = peer("alpha", 1, 1), again = peer("alpha", 1, 7), q;

	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	rig_ok(enrol(h, 9, &a, "the first", cert), &h->err);
	for (int i = 0; i < 3; i++) {
		rig_ok(enrol(h, 9, &again, "a newer one", cert), &h->err);
		assert_string_equal(cert, "the first");
		rig_ok(store_token_get(h->s, t.hash, &back, &h->err), &h->err);
		assert_int_equal(back.uses_left, 0);
		rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
		assert_int_equal(q.serial[0], 1);
		rebuild(h);
	}
	rig_ok(store_peer_revoke(h->s, "alpha", &h->err), &h->err);
	refused(h, enrol(h, 9, &again, "a newer one", cert), ERR_DENIED);
}

static void
test_an_expired_token_is_refused(void **state)
{
	char cert[STORE_BLOB_MAX];
	struct here *h = *state;
	struct store_token t = token(h->s, 9, 1);
	struct store_peer a = peer("alpha", 1, 1);

	t.ends_us = store_now(h->s) - 1;
	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	refused(h, enrol(h, 9, &a, "cert", cert), ERR_DENIED);
}

static void
test_a_name_is_its_keys_unless_the_token_may_replace_it(void **state)
{
	char cert[STORE_BLOB_MAX];
	struct here *h = *state;
	struct store_token t = token(h->s, 9, 5), r = token(h->s, 10, 5);
	struct store_peer a = peer("alpha", 1, 1), thief = peer("alpha", 2, 2),
			  heir = peer("alpha", 3, 3), other = peer("beta", 4, 4), q;

	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	(void)snprintf(r.replace_host, sizeof(r.replace_host), "alpha");
	rig_ok(store_token_put(h->s, &r, &h->err), &h->err);
	rig_ok(enrol(h, 9, &a, "a", cert), &h->err);
	refused(h, enrol(h, 9, &thief, "thief", cert), ERR_EXISTS);
	rig_ok(store_peer_revoke(h->s, "alpha", &h->err), &h->err);
	refused(h, enrol(h, 9, &thief, "thief", cert), ERR_EXISTS);
	rig_ok(enrol(h, 10, &heir, "heir", cert), &h->err);
	rebuild(h);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_int_equal(q.key_hash[0], 3);
	assert_int_equal(q.revoked, 0);
	/* The one before it stays out. */
	rig_ok(store_peer_by_serial(h->s, a.serial, &q, &h->err), &h->err);
	assert_int_equal(q.revoked, 1);
	rig_ok(store_peer_by_serial(h->s, heir.serial, &q, &h->err), &h->err);
	assert_int_equal(q.revoked, 0);
	rig_ok(enrol(h, 10, &other, "other", cert), &h->err);
	/* Taken over while it lived: the old key's certificate ends with it. */
	heir = peer("beta", 5, 5);
	(void)snprintf(r.replace_host, sizeof(r.replace_host), "beta");
	memset(r.hash, 11, sizeof(r.hash));
	rig_ok(store_token_put(h->s, &r, &h->err), &h->err);
	rig_ok(enrol(h, 11, &heir, "heir", cert), &h->err);
	rig_ok(store_peer_by_serial(h->s, other.serial, &q, &h->err), &h->err);
	assert_int_equal(q.revoked, 1);
	/* Nor does it come back by renewing, or by asking its token once more. */
	rig_ok(store_peer_by_name(h->s, "beta", &q, &h->err), &h->err);
	memset(q.serial, 6, sizeof(q.serial));
	memset(q.key_hash, 4, sizeof(q.key_hash));
	refused(h, store_peer_renew(h->s, other.serial, &q, &h->err), ERR_DENIED);
	refused(h, store_peer_renew(h->s, a.serial, &q, &h->err), ERR_DENIED);
	memset(q.serial, 99, sizeof(q.serial));
	refused(h, store_peer_renew(h->s, q.serial, &q, &h->err), ERR_NOTFOUND);
	refused(h, enrol(h, 10, &other, "other", cert), ERR_DENIED);
	rig_ok(store_peer_by_name(h->s, "beta", &q, &h->err), &h->err);
	assert_int_equal(q.key_hash[0], 5);
	memset(q.serial, 7, sizeof(q.serial));
	rig_ok(store_peer_renew(h->s, heir.serial, &q, &h->err), &h->err);
	rig_ok(store_peer_by_serial(h->s, q.serial, &q, &h->err), &h->err);
	assert_int_equal(q.revoked, 0);
}

static void
test_a_key_is_one_machines_unless_the_token_may_replace_it(void **state)
{
	char cert[STORE_BLOB_MAX];
	struct here *h = *state;
	struct store_token t = token(h->s, 9, 9), r = token(h->s, 10, 5);
	struct store_peer a = peer("alpha", 1, 1), copy = peer("alpha", 1, 2),
			  quiet = peer("beta", 2, 3), q;

	memset(a.machine, 1, sizeof(a.machine));
	memset(copy.machine, 2, sizeof(copy.machine));
	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	rig_ok(enrol(h, 9, &a, "a", cert), &h->err);
	/* Not by the token it was enrolled by, nor by another, nor by keeping quiet. */
	refused(h, enrol(h, 9, &copy, "copy", cert), ERR_DENIED);
	memset(t.hash, 11, sizeof(t.hash));
	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	refused(h, enrol(h, 11, &copy, "copy", cert), ERR_DENIED);
	memset(copy.machine, 0, sizeof(copy.machine));
	refused(h, enrol(h, 11, &copy, "copy", cert), ERR_DENIED);
	memset(copy.machine, 2, sizeof(copy.machine));
	/* Nor is it another name's. */
	memcpy(copy.name, "gamma", 6);
	refused(h, enrol(h, 11, &copy, "copy", cert), ERR_DENIED);
	memcpy(copy.name, "alpha", 6);
	rebuild(h);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_int_equal(q.machine[0], 1);
	assert_int_equal(store_peer_by_key(h->s, a.key_hash, "alpha", &q, &h->err), 0);
	assert_int_equal(store_peer_by_key(h->s, a.key_hash, "", &q, &h->err), 1);
	assert_string_equal(q.name, "alpha");
	/* The same machine again is no matter; the other one by an operator's word. */
	memset(a.serial, 4, sizeof(a.serial));
	rig_ok(enrol(h, 11, &a, "a again", cert), &h->err);
	(void)snprintf(r.replace_host, sizeof(r.replace_host), "alpha");
	rig_ok(store_token_put(h->s, &r, &h->err), &h->err);
	rig_ok(enrol(h, 10, &copy, "copy", cert), &h->err);
	rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
	assert_int_equal(q.machine[0], 2);
	refused(h, enrol(h, 9, &a, "a", cert), ERR_DENIED);
	/* Who never said what machine it is says so when it comes again. */
	rig_ok(enrol(h, 11, &quiet, "quiet", cert), &h->err);
	memset(quiet.machine, 3, sizeof(quiet.machine));
	memset(t.hash, 12, sizeof(t.hash));
	rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
	rig_ok(enrol(h, 12, &quiet, "quiet", cert), &h->err);
}

/* A host's policy is its group's: the usual way back must not change it unsaid. */
static void
test_a_host_stays_in_its_group_unless_the_token_names_another(void **state)
{
	static const struct {
		const char *group, *replaces, *is;
	} steps[] = { { "db", "", "db" }, { "", "", "db" }, { "", "alpha", "db" },
		{ "web", "alpha", "web" }, { "", "alpha", "web" } };
	char cert[STORE_BLOB_MAX];
	struct here *h = *state;
	struct store_peer q;

	for (uint8_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		uint8_t key = steps[i].replaces[0] != '\0' ? i + 1 : 1;
		struct store_peer a = peer("alpha", key, (uint8_t)(i + 1));
		struct store_token t = token(h->s, (uint8_t)(20 + i), 5);

		(void)snprintf(t.group, sizeof(t.group), "%s", steps[i].group);
		(void)snprintf(
		    t.replace_host, sizeof(t.replace_host), "%s", steps[i].replaces);
		rig_ok(store_token_put(h->s, &t, &h->err), &h->err);
		rig_ok(enrol(h, (uint8_t)(20 + i), &a, "a", cert), &h->err);
		rebuild(h);
		rig_ok(store_peer_by_name(h->s, "alpha", &q, &h->err), &h->err);
		assert_string_equal(q.group, steps[i].is);
	}
}

static void
test_limits_are_kept(void **state)
{
	struct here *h = *state;
	uint8_t hash[STORE_HASH_LEN] = { 0 }, cert[STORE_BLOB_MAX] = { 0 };
	struct store_peer p = peer("", 1, 1);
	size_t len = STORE_BLOB_MAX + 1;

	refused(h, store_peer_put(h->s, &p, &h->err), ERR_LIMIT);
	p = peer("alpha", 1, 1);
	refused(h, store_enrol(h->s, hash, &p, cert, &len, &h->err), ERR_LIMIT);
}

static void
test_audit_entries_and_time_outlive_the_process(void **state)
{
	struct here *h = *state;
	int64_t before = store_now(h->s), after;

	rig_ok(store_audit(h->s, "admin", "made a token", &h->err), &h->err);
	reopen(h);
	after = store_now(h->s);
	assert_true(after > before);
}

int
main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(test_secrets_come_back_and_are_not_in_the_clear),
		T(test_a_peer_is_found_by_name_and_by_every_serial_it_had),
		T(test_a_revoked_name_has_no_certificate_that_counts),
		T(test_peers_are_listed_by_name),
		T(test_seen_and_alarms),
		T(test_a_token_enrols_as_often_as_it_says),
		T(test_a_lost_reply_costs_nothing),
		T(test_an_expired_token_is_refused),
		T(test_a_name_is_its_keys_unless_the_token_may_replace_it),
		T(test_a_key_is_one_machines_unless_the_token_may_replace_it),
		T(test_a_host_stays_in_its_group_unless_the_token_names_another),
		T(test_limits_are_kept),
		T(test_audit_entries_and_time_outlive_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
