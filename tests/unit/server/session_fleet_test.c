/* What an operator sees of many hosts and does to them: one host's trouble is its own. */
#include "storage/journal_record.h"
#include "storage/store_retention.h"
#include "storage/store_state.h"
#include "storage/store_verify.h"
#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer admin;

#define IMAGE (4u * LIVE_CHUNK)
#define HOSTS 130u /* More than one frame has. */

static uint8_t *image;

static int
setup(void **state)
{
	(void)state;
	live_start(&live);
	live_peer(&live, CERT_ADMIN, "boss", &admin);
	image = calloc(1, IMAGE);
	live_noise(image, IMAGE, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(image);
	live_peer_free(&admin);
	live_stop(&live);
	return 0;
}

static struct store *
store(void)
{
	return server_store(live.server);
}

/* A host that is in the books alone. */
static void
add_host(const char *name, const char *group)
{
	struct store_peer p = { .role = CERT_AGENT };
	struct err err = ERR_INIT;

	(void)snprintf(p.name, sizeof(p.name), "%s", name);
	(void)snprintf(p.group, sizeof(p.group), "%s", group);
	memcpy(p.serial, name, strlen(name) < 16 ? strlen(name) : 16);
	memcpy(p.key_hash, name, strlen(name));
	live_ok(store_peer_put(store(), &p, &err));
}

/* ----------------------------------------------------------------------- hosts -- */

/* One more backup of `peer`; with `proven` one that rests on a list of changes. */
static void
backup(struct live_session *s, uint64_t proven, const char *capture)
{
	Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };
	Wire__Changes c = WIRE__CHANGES__INIT, *changes[1] = { &c };
	Wire__Commit m = WIRE__COMMIT__INIT;
	Wire__Counts counts = WIRE__COUNTS__INIT;
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	struct chunk_id root;
	uint64_t request;

	live_ok(live_begin(s, "d", IMAGE, &err));
	live_ok(live_send_image(s, image, IMAGE, &root, &err));
	v.name = (char *)"d";
	v.root_id.data = root.b;
	v.root_id.len = CHUNK_ID_LEN;
	m.n_volumes = 1;
	m.volumes = list;
	counts.read_bytes = 7000;
	counts.sent_bytes = 70;
	m.counts = &counts;
	m.capture = (char *)(uintptr_t)capture;
	c.kept_bytes = 1000;
	c.proven_bytes = 10;
	c.slices = 100;
	c.proven = proven;
	m.changes = changes;
	m.n_changes = proven > 0;
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	live_ok(channel_wait(s->ch, request, LIVE_MS, &f, &err));
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
}

struct seen {
	unsigned hosts, backups;
	char last[STORE_NAME_MAX];
};

/* The list, in order; `look` at the host called "fleet". */
static void
list(struct live_session *s, int backups, struct seen *seen,
    void (*look)(const Wire__Host *h))
{
	Wire__ListHosts m = WIRE__LIST_HOSTS__INIT;
	struct err err = ERR_INIT;
	uint64_t request;

	memset(seen, 0, sizeof(*seen));
	m.backups = backups;
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	for (int more = 1; more;) {
		struct channel_frame f = { 0 };
		struct frame view;
		ProtobufCMessage *reply;
		const Wire__Hosts *hosts;

		live_ok(channel_wait(s->ch, request, LIVE_MS, &f, &err));
		more = (f.flags & FRAME_MORE) != 0;
		view = (struct frame){ f.kind, f.flags, f.request, f.payload, f.len };
		live_ok(msg_unpack(&view, &reply, &err));
		hosts = (const Wire__Hosts *)reply;
		for (size_t i = 0; i < hosts->n_hosts; i++) {
			const Wire__Host *h = hosts->hosts[i];

			assert_true(strcmp(h->name, seen->last) > 0);
			(void)snprintf(seen->last, sizeof(seen->last), "%s", h->name);
			seen->hosts++;
			seen->backups += (unsigned)h->n_backup;
			if (strcmp(h->name, "fleet") == 0)
				look(h);
		}
		msg_free(reply);
		free(f.payload);
	}
}

static void
look_at_the_last(const Wire__Host *h)
{
	const Wire__LastBackup *b;

	assert_int_equal(h->n_backup, 1);
	b = h->backup[0];
	assert_int_equal(b->sequence, 3);
	assert_string_equal(b->providers, "offline");
	assert_string_equal(b->capture, "hotcopy; changes by tracking");
	assert_int_equal(b->read_bytes, 7000);
	assert_int_equal(b->sent_bytes, 70);
	assert_int_equal(b->kept_bytes, 1000);
	assert_int_equal(b->proven_bytes, 10);
	assert_int_equal(b->slices, 100);
	assert_int_equal(b->proven, 1);
	assert_int_equal(b->whole, 1);
	assert_true(b->whole_us > 0 && b->whole_us < h->point_us);
	assert_int_equal(h->suspect, 0);
}

static void
look_at_suspects(const Wire__Host *h)
{
	assert_int_equal(h->suspect, 2);
	assert_int_equal(h->suspect_first, 2);
	assert_int_equal(h->suspect_last, 3);
	assert_true(h->suspect_us > h->point_us);
	assert_string_equal(h->alarm,
	    "what changed on its volume d was not all known: points 2 to 3 are suspect");
	assert_int_equal(h->n_backup, 0);
}

static void
hosts_tell_how_their_last_backup_was_made(void **state)
{
	Wire__MarkSuspect mark = WIRE__MARK_SUSPECT__INIT;
	struct live_session s, boss;
	struct live_peer agent;
	struct err err = ERR_INIT;
	ProtobufCMessage *done;
	struct seen seen;
	char name[32];

	(void)state;
	live_peer(&live, CERT_AGENT, "fleet", &agent);
	for (unsigned i = 0; i < HOSTS; i++) {
		(void)snprintf(name, sizeof(name), "host%03u", i);
		add_host(name, "");
	}
	live_dial(&live, &agent, &s);
	backup(&s, 0, "hotcopy");
	backup(&s, 1, "hotcopy; changes by tracking");
	backup(&s, 1, "hotcopy; changes by tracking");
	live_dial(&live, &admin, &boss);
	list(&boss, 1, &seen, look_at_the_last);
	assert_int_equal(seen.hosts, HOSTS + 1);
	assert_int_equal(seen.backups, 1);

	live_ok(live_begin(&s, "d", IMAGE, &err));
	mark.volume = (char *)"d";
	mark.after = 1;
	mark.text = (char *)"byte 7";
	live_ok(channel_call(s.ch, &mark.base, MSG_DONE, &done, &err));
	msg_free(done);
	list(&boss, 0, &seen, look_at_suspects);
	assert_int_equal(seen.hosts, HOSTS + 1);
	live_hangup(&s);
	live_hangup(&boss);
	live_peer_free(&agent);
}

/* Another alarm is not taken away, one like it says more. */
static void
an_alarm_of_suspects_grows_and_hides_no_other(void **state)
{
	struct err err = ERR_INIT;
	struct live_session s;
	struct live_peer agent;
	struct store_peer p;

	(void)state;
	live_peer(&live, CERT_AGENT, "alarmed", &agent);
	live_dial(&live, &agent, &s);
	backup(&s, 0, "hotcopy");
	backup(&s, 1, "hotcopy");
	live_ok(store_suspect(store(), "alarmed", "d", 1, "byte 1", &err));
	live_ok(store_peer_by_name(store(), "alarmed", &p, &err));
	assert_non_null(strstr(p.alarm, "volume d was not all known: point 2 is"));
	backup(&s, 1, "hotcopy");
	live_ok(store_suspect(store(), "alarmed", "d", 2, "byte 2", &err));
	live_ok(store_peer_by_name(store(), "alarmed", &p, &err));
	assert_non_null(strstr(p.alarm, "points 2 to 3 are suspect"));
	live_ok(store_peer_alarm(store(), "alarmed", "something else", &err));
	live_ok(store_suspect(store(), "alarmed", "d", 0, "byte 3", &err));
	live_ok(store_peer_by_name(store(), "alarmed", &p, &err));
	assert_string_equal(p.alarm, "something else");
	live_hangup(&s);
	live_peer_free(&agent);
}

/* -------------------------------------------------------------------- policies -- */

static void
set_policy(Wire__SetPolicy *m, const char *group, struct live_session *s, struct err *err)
{
	Wire__Policy p = WIRE__POLICY__INIT;
	Wire__Rules r = WIRE__RULES__INIT;
	ProtobufCMessage *done;

	err_clear(err);
	r.last = 1;
	p.scope = group != NULL;
	p.name = (char *)(uintptr_t)(group != NULL ? group : "");
	p.rules = &r;
	m->policy = &p;
	if (channel_call(s->ch, &m->base, MSG_DONE, &done, err) == 0)
		msg_free(done);
}

static void
a_policy_is_of_a_group_that_there_is(void **state)
{
	Wire__SetPolicy m = WIRE__SET_POLICY__INIT;
	Wire__NewToken t = WIRE__NEW_TOKEN__INIT;
	struct store_token late = { .uses_left = 1, .group = "gone" };
	struct err err = ERR_INIT;
	struct live_session s;
	ProtobufCMessage *reply;

	(void)state;
	live_dial(&live, &admin, &s);
	set_policy(&m, "web", &s, &err);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "there are no groups"));
	/* By a host; by a token that is open; one that has ended is none. */
	add_host("web01", "web");
	set_policy(&m, "web", &s, &err);
	assert_int_equal(err.code, ERR_NONE);
	t.group = (char *)"db";
	live_ok(channel_call(s.ch, &t.base, MSG_TOKEN_TEXT, &reply, &err));
	msg_free(reply);
	set_policy(&m, "db", &s, &err);
	assert_int_equal(err.code, ERR_NONE);
	late.ends_us = store_now(store()) - 1;
	memset(late.hash, 1, sizeof(late.hash));
	live_ok(store_token_put(store(), &late, &err));
	late = (struct store_token){ .group = "gone" };
	late.ends_us = store_now(store()) + 3600000000;
	memset(late.hash, 2, sizeof(late.hash));
	live_ok(store_token_put(store(), &late, &err));
	set_policy(&m, "gone", &s, &err);
	assert_int_equal(err.code, ERR_NOTFOUND);
	assert_non_null(strstr(err.text, "'gone'"));
	assert_non_null(strstr(err.text, "there are: db, web"));
	/* By a word; and what there is can always be removed. */
	m.new_group = 1;
	set_policy(&m, "gone", &s, &err);
	assert_int_equal(err.code, ERR_NONE);
	m.new_group = 0;
	m.remove = 1;
	set_policy(&m, "gone", &s, &err);
	assert_int_equal(err.code, ERR_NONE);
	set_policy(&m, "gone", &s, &err);
	assert_int_equal(err.code, ERR_NOTFOUND);
	live_hangup(&s);
}

/* --------------------------------------------------------------------- pruning -- */

/* Somebody holds a point of the third host between judging and letting go. */
static void
hold_between(void *arg, enum store_pause where)
{
	struct journal_event *e;
	struct err err = ERR_INIT;
	int *times = arg;

	if (where != STORE_PAUSE_PRUNE || ++*times != 3)
		return;
	e = calloc(1, sizeof(*e));
	assert_non_null(e);
	e->type = JOURNAL_HOLD;
	(void)snprintf(e->u.mark.host, STORE_NAME_MAX, "prune1");
	e->u.mark.sequence = 1;
	/* Longer than an error's text, which ends inside a character. */
	for (unsigned i = 0; i + 2 < STORE_TEXT_MAX; i += 2)
		memcpy(e->u.mark.text + i, "\xc3\xa4", 3);
	live_ok(store_record(store(), e, NULL, &err));
	free(e);
}

static void
what_fails_at_one_host_is_told_and_the_others_are_pruned(void **state)
{
	static const char *const names[] = { "prune1", "prune2", "prune3" };
	Wire__SetPolicy set = WIRE__SET_POLICY__INIT;
	Wire__Prune m = WIRE__PRUNE__INIT;
	struct live_peer agent;
	struct live_session s, boss;
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	unsigned failed = 0, gone = 0;
	uint64_t request;
	int times = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		live_peer(&live, CERT_AGENT, names[i], &agent);
		live_dial(&live, &agent, &s);
		live_backup(&s, "d", image, IMAGE);
		live_backup(&s, "d", image, IMAGE);
		live_hangup(&s);
		live_peer_free(&agent);
	}
	live_dial(&live, &admin, &boss);
	set_policy(&set, NULL, &boss, &err);
	assert_int_equal(err.code, ERR_NONE);
	store()->pause_arg = &times;
	store()->pause = hold_between;
	live_ok(channel_send(boss.ch, &m.base, &request, &err));
	while (channel_wait(boss.ch, request, LIVE_MS, &f, &err) == 0) {
		struct frame view = { f.kind, f.flags, f.request, f.payload, f.len };
		ProtobufCMessage *reply;
		const Wire__Pruned *p;

		live_ok(msg_unpack(&view, &reply, &err));
		p = (const Wire__Pruned *)reply;
		if (p->failed[0] != '\0') {
			assert_string_equal(p->host, "prune1");
			assert_non_null(strstr(p->failed, "prune1: "));
			failed++;
		} else if (strncmp(p->host, "prune", 5) == 0) {
			assert_string_not_equal(p->host, "prune1");
			gone += (unsigned)p->gone;
		}
		msg_free(reply);
		free(f.payload);
		memset(&f, 0, sizeof(f));
	}
	store()->pause = NULL;
	/* Nor does an older program take it for done. */
	assert_int_equal(err.code, ERR_DENIED);
	assert_non_null(strstr(err.text, "prune1: "));
	assert_int_equal(failed, 1);
	assert_int_equal(gone, 2);
	err_clear(&err);
	/* The session goes on, and next time all is well. */
	m.host = (char *)"prune1";
	m.dry = 1;
	live_ok(channel_send(boss.ch, &m.base, &request, &err));
	live_ok(channel_wait(boss.ch, request, LIVE_MS, &f, &err));
	free(f.payload);
	live_hangup(&boss);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hosts_tell_how_their_last_backup_was_made),
		cmocka_unit_test(an_alarm_of_suspects_grows_and_hides_no_other),
		cmocka_unit_test(a_policy_is_of_a_group_that_there_is),
		cmocka_unit_test(
		    what_fails_at_one_host_is_told_and_the_others_are_pruned),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
