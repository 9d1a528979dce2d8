/* What a backup did not read is kept with its point; hosts mark their own suspects. */
#include <sys/stat.h>

#include "storage/store_verify.h"
#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer agent, other;

#define IMAGE (TREE_SPAN_LEN + 300u * 512)

static uint8_t *image;

static int
setup(void **state)
{
	(void)state;
	live_start(&live);
	live_peer(&live, CERT_AGENT, "h1", &agent);
	live_peer(&live, CERT_AGENT, "h2", &other);
	image = calloc(1, IMAGE);
	live_noise(image, 1024u * 1024, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(image);
	live_peer_free(&agent);
	live_peer_free(&other);
	live_stop(&live);
	return 0;
}

/* A backup of "d" whose Commit has these changes: its answer. */
static void
commit_with(struct live_session *s, Wire__Changes **changed, size_t changed_n,
    struct channel_frame *f, struct err *why)
{
	Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };
	Wire__Commit m = WIRE__COMMIT__INIT;
	Wire__Counts counts = WIRE__COUNTS__INIT;
	struct err err = ERR_INIT;
	struct chunk_id root;
	uint64_t request;

	memset(f, 0, sizeof(*f));
	live_ok(live_begin(s, "d", IMAGE, &err));
	live_ok(live_send_image(s, image, IMAGE, &root, &err));
	v.name = (char *)"d";
	v.root_id.data = root.b;
	v.root_id.len = CHUNK_ID_LEN;
	m.n_volumes = 1;
	m.volumes = list;
	m.counts = &counts;
	m.changes = changed;
	m.n_changes = changed_n;
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	(void)channel_wait(s->ch, request, LIVE_MS, f, why);
}

/* The newest point of a host, for its agent; msg_free() `*list`. */
static const Wire__Point *
newest(struct live_session *s, ProtobufCMessage **list)
{
	Wire__ListPoints ask = WIRE__LIST_POINTS__INIT;
	struct err err = ERR_INIT;

	ask.limit = 1;
	live_ok(channel_call(s->ch, &ask.base, MSG_POINTS, list, &err));
	assert_int_equal(((Wire__Points *)*list)->n_points, 1);
	return ((Wire__Points *)*list)->points[0];
}

static void
what_was_not_read_is_kept_with_the_point(void **state)
{
	Wire__Changes c[2] = { WIRE__CHANGES__INIT, WIRE__CHANGES__INIT };
	Wire__Changes *changed[2] = { &c[0], &c[1] };
	size_t changed_n;
	struct live_session s;
	struct channel_frame f;
	ProtobufCMessage *list;
	const Wire__Point *p;

	(void)state;
	c[0].kept_bytes = UINT64_MAX;
	c[0].proven_bytes = 5;
	c[0].slices = 1000;
	/* None; one; then of a volume that is none, and of one twice. */
	for (unsigned i = 0; i < 4; i++) {
		struct err err = ERR_INIT;

		changed_n = i < 2 ? i : i - 1;
		c[0].volume = i == 2 ? 1 : 0;
		live_dial(&live, &agent, &s);
		commit_with(&s, changed, changed_n, &f, &err);
		if (i < 2) {
			assert_int_equal(f.kind, MSG_COMMITTED);
			p = newest(&s, &list);
			assert_int_equal(p->n_changes, changed_n);
			assert_string_equal(p->suspect, "");
			if (i == 1) {
				assert_true(p->changes[0]->kept_bytes == UINT64_MAX);
				assert_int_equal(p->changes[0]->proven_bytes, 5);
				assert_int_equal(p->changes[0]->slices, 255);
			}
			msg_free(list);
		} else {
			assert_int_equal(err.code, ERR_PROTOCOL);
			assert_non_null(strstr(err.text, "changes of volume"));
		}
		free(f.payload);
		live_hangup(&s);
	}
}

static void
mark(struct live_session *s, uint64_t after, char *why)
{
	Wire__MarkSuspect m = WIRE__MARK_SUSPECT__INIT;
	struct err err = ERR_INIT;
	ProtobufCMessage *done;

	m.volume = (char *)"sus";
	m.after = after;
	m.text = why;
	live_ok(channel_call(s->ch, &m.base, MSG_DONE, &done, &err));
	msg_free(done);
}

/* 1 if point `sequence` of a host is suspect, for `why` too. */
static int
is_suspect(const char *host, uint64_t sequence, const char *why)
{
	char text[STORE_TEXT_MAX];
	struct err err = ERR_INIT;
	int is =
	    store_point_suspect(server_store(live.server), host, sequence, text, &err);

	assert_true(is >= 0);
	if (is)
		assert_non_null(strstr(text, why));
	return is;
}

static uint64_t
journal_end(void)
{
	struct err err = ERR_INIT;
	struct store_peer p;
	struct stat st;
	char path[128];

	live_ok(store_peer_by_name(server_store(live.server), "h1", &p, &err));
	assert_non_null(strstr(p.alarm, "its volume sus was not all known"));
	snprintf(path, sizeof(path), "%s/journal", live.dir);
	assert_int_equal(stat(path, &st), 0);
	return (uint64_t)st.st_size;
}

static void
an_agent_marks_its_own_points_and_no_others(void **state)
{
	Wire__MarkSuspect m = WIRE__MARK_SUSPECT__INIT;
	char longest[256] = "";
	struct err err = ERR_INIT;
	struct live_session s;
	ProtobufCMessage *list;
	uint64_t first, before;

	(void)state;
	live_dial(&live, &other, &s);
	live_backup(&s, "sus", image, IMAGE);
	live_backup(&s, "sus", image, IMAGE);
	live_hangup(&s);
	live_dial(&live, &agent, &s);
	m.volume = (char *)"sus";
	live_backup(&s, "e", image, IMAGE);
	first = newest(&s, &list)->sequence;
	msg_free(list);
	live_backup(&s, "sus", image, IMAGE);
	live_backup(&s, "sus", image, IMAGE);
	live_backup(&s, "e", image, IMAGE);
	live_backup(&s, "sus", image, IMAGE);

	/* Of what was begun alone. */
	live_ok(live_begin(&s, "sus", IMAGE, &err));
	mark(&s, first + 1, (char *)"byte 7");
	assert_int_equal(is_suspect("h1", first + 1, ""), 0);
	assert_int_equal(is_suspect("h1", first + 2, "volume sus: byte 7"), 1);
	assert_int_equal(is_suspect("h1", first + 3, ""), 0);
	assert_int_equal(is_suspect("h1", first + 4, "volume sus: byte 7"), 1);
	assert_int_equal(is_suspect("h2", 1, ""), 0);
	assert_int_equal(is_suspect("h2", 2, ""), 0);
	before = journal_end();
	/* The same again, less, and what never was: no more records. */
	for (unsigned i = 0; i < 50; i++) {
		mark(&s, first + 1 + i % 8, (char *)"byte 8");
		mark(&s, UINT64_MAX - i, (char *)"byte 9");
	}
	assert_true(journal_end() == before);
	assert_int_equal(is_suspect("h1", first + 2, "byte 7"), 1);
	/* More; no words, and too many. */
	mark(&s, 0, (char *)"");
	assert_true(journal_end() > before);
	assert_int_equal(is_suspect("h1", first + 1, "was not all known"), 1);
	live_hangup(&s);
	live_dial(&live, &agent, &s);
	live_backup(&s, "sus", image, IMAGE);
	live_ok(live_begin(&s, "sus", IMAGE, &err));
	assert_int_equal(is_suspect("h1", first + 5, ""), 0);
	memset(longest, 'x', sizeof(longest) - 1);
	mark(&s, 0, longest);
	assert_int_equal(is_suspect("h1", first + 5, "xxxx"), 1);
	m.volume = (char *)"e";
	live_refused(s.ch, &m.base, ERR_PROTOCOL, "MarkSuspect of 'e': not in Begin");
	live_hangup(&s);

	/* It holds after a start, and with a catalog that is made anew. */
	for (int anew = 0; anew < 2; anew++) {
		char command[128];

		live_halt(&live);
		snprintf(command, sizeof(command), "rm %s/catalog*", live.dir);
		if (anew)
			assert_int_equal(system(command), 0);
		live_run(&live);
		assert_int_equal(is_suspect("h1", first, ""), 0);
		assert_int_equal(is_suspect("h1", first + 1, "xxxx"), 1);
		assert_int_equal(is_suspect("h1", first + 3, ""), 0);
		assert_int_equal(is_suspect("h1", first + 4, ""), 1);
		assert_int_equal(is_suspect("h1", first + 5, "xxxx"), 1);
		assert_int_equal(is_suspect("h2", 1, ""), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_not_read_is_kept_with_the_point),
		cmocka_unit_test(an_agent_marks_its_own_points_and_no_others),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
