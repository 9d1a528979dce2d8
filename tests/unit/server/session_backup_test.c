/* Backing up and reading back, over real TLS, and every way to do it wrong. */
#include "proto/base/feature.h"
#include "proto/chunk/group_format.h"
#include "proto/layout/layout.h"
#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer agent, other, admin;

#define IMAGE (TREE_SPAN_LEN * 2 + 300u * 512)

/* Bytes of each span that are noise; the rest is zeros. */
#define NOISE (1024u * 1024)
#define DATA (2 * NOISE + 300u * 512)

static uint8_t *image;

static int
setup(void **state)
{
	(void)state;
	live_start(&live);
	live_peer(&live, CERT_AGENT, "h1", &agent);
	live_peer(&live, CERT_AGENT, "h2", &other);
	live_peer(&live, CERT_ADMIN, "root", &admin);
	image = calloc(1, IMAGE);
	for (size_t n = 0; n < 3; n++)
		live_noise(image + n * TREE_SPAN_LEN, n < 2 ? NOISE : 300u * 512, n);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(image);
	live_peer_free(&agent);
	live_peer_free(&other);
	live_peer_free(&admin);
	live_stop(&live);
	return 0;
}

/* ------------------------------------------------------------------- reading -- */

static void
fetch_root(
    struct live_session *s, const char *host, uint64_t sequence, struct tree_root *root)
{
	Wire__GetNodes m = WIRE__GET_NODES__INIT;
	struct channel_frame f;
	struct err err = ERR_INIT;
	uint64_t request;

	m.host = (char *)(uintptr_t)host;
	m.sequence = sequence;
	m.level = MSG_NODE_LEVEL_ROOT;
	m.count = 1;
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	live_ok(channel_wait(s->ch, request, LIVE_MS, &f, &err));
	assert_int_equal(f.kind, MSG_NODE);
	live_ok(tree_parse_root(f.payload, f.len, root, &err));
	free(f.payload);
}

struct leaf_check {
	const struct chunk_keys *keys;
	uint64_t at;
};

static int
check_extent(void *arg, const struct extent *e)
{
	struct leaf_check *c = arg;
	struct chunk_id id;

	assert_int_equal(e->offset, c->at);
	if (e->kind == EXTENT_DATA) {
		chunk_id_of(c->keys, CHUNK_DATA, image + e->offset, e->len, &id);
		assert_memory_equal(&id, &e->id, sizeof(id));
	} else {
		assert_int_equal(e->kind, EXTENT_ZERO);
		assert_true(live_zero(image + e->offset, e->len));
	}
	c->at += e->len;
	return 0;
}

static void
fetch_leaves(struct live_session *s, const char *host, const struct tree_root *root)
{
	uint64_t spans = tree_spans(root->size), request;
	struct leaf_check c = { &s->keys, 0 };
	Wire__GetNodes m = WIRE__GET_NODES__INIT;
	struct channel_frame f;
	struct err err = ERR_INIT;

	m.host = (char *)(uintptr_t)host;
	m.sequence = 1;
	m.count = (uint32_t)spans;
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	for (uint64_t n = 0; n < spans; n++) {
		live_ok(channel_wait(s->ch, request, LIVE_MS, &f, &err));
		assert_int_equal(f.kind, MSG_NODE);
		live_ok(tree_parse_leaf(f.payload, f.len, n * TREE_SPAN_LEN,
		    tree_covers(root->size, 0, n), check_extent, &c, &err));
		free(f.payload);
	}
	assert_int_equal(c.at, root->size);
}

/* Fetch spans' groups: every group once; the plain bytes that came. */
static uint64_t
fetch_groups(struct live_session *s, const char *host, uint64_t first, uint32_t spans,
    const struct chunk_id *only)
{
	static uint8_t plain[GROUP_PLAIN_MAX];
	struct codec *codec = codec_new();
	Wire__GetGroups m = WIRE__GET_GROUPS__INIT;
	struct channel_frame f;
	struct err err = ERR_INIT;
	uint64_t request, bytes = 0;
	ProtobufCMessage *end;

	m.host = (char *)(uintptr_t)host;
	m.sequence = 1;
	m.first_span = first;
	m.spans = spans;
	if (only != NULL) {
		m.ids.data = (uint8_t *)(uintptr_t)only->b;
		m.ids.len = CHUNK_ID_LEN;
	}
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	for (;;) {
		struct group g;

		live_ok(channel_wait(s->ch, request, LIVE_MS, &f, &err));
		if (f.kind == MSG_GROUPS_END)
			break;
		assert_int_equal(f.kind, MSG_GROUP);
		live_ok(group_parse(f.payload, f.len, &g, &err));
		live_ok(group_check(&g, &err));
		live_ok(group_decode(codec, &g, plain, &err));
		live_ok(group_prove(&g, &s->keys, plain, &err));
		bytes += g.plain_len;
		free(f.payload);
	}
	{
		const struct frame frame = { f.kind, f.flags, f.request, f.payload,
			f.len };

		live_ok(msg_unpack(&frame, &end, &err));
		assert_int_equal(((Wire__GroupsEnd *)end)->missing_ids.len, 0);
		msg_free(end);
	}
	free(f.payload);
	codec_free(codec);
	return bytes;
}

static void
a_backup_reads_back_equal(void **state)
{
	struct live_session s, reader;
	struct tree_root root;
	struct chunk_id id;

	(void)state;
	live_dial(&live, &agent, &s);
	assert_int_equal(s.welcome->role, CERT_AGENT);
	assert_string_equal(s.welcome->name, "h1");
	assert_int_equal(s.welcome->head.len, 0);
	live_backup(&s, "c", image, IMAGE);
	fetch_root(&s, "", 1, &root);
	assert_int_equal(root.size, IMAGE);
	fetch_leaves(&s, "", &root);
	assert_int_equal(
	    fetch_groups(&s, "", 0, (uint32_t)tree_spans(IMAGE), NULL), DATA);
	chunk_id_of(&s.keys, CHUNK_DATA, image, LIVE_CHUNK, &id);
	assert_in_range(fetch_groups(&s, "h1", 0, 1, &id), LIVE_CHUNK, GROUP_PLAIN_MAX);
	live_hangup(&s);

	live_dial(&live, &admin, &reader);
	assert_int_equal(fetch_groups(&reader, "h1", 0, 3, NULL), DATA);
	live_hangup(&reader);
}

static void
the_same_again_costs_nothing_and_has_a_base(void **state)
{
	Wire__BeginVolume v = WIRE__BEGIN_VOLUME__INIT, *list[1] = { &v };
	Wire__Begin m = WIRE__BEGIN__INIT;
	ProtobufCMessage *reply;
	struct channel_frame f;
	struct live_session s;
	struct store_stats before, after;
	struct store *store = server_store(live.server);
	struct chunk_id root;
	struct err err = ERR_INIT;

	(void)state;
	live_ok(store_stats(store, &before, &err));
	live_dial(&live, &agent, &s);
	assert_int_equal(s.welcome->head.len, 32);
	v.name = (char *)"c";
	v.size = IMAGE;
	v.sector_size = 512;
	m.n_volumes = 1;
	m.volumes = list;
	live_ok(channel_call(s.ch, &m.base, MSG_BEGUN, &reply, &err));
	assert_int_equal(((Wire__Begun *)reply)->n_bases, 1);
	assert_int_equal(((Wire__Begun *)reply)->bases[0]->sequence, 1);
	live_ok(live_send_image(&s, image, IMAGE, &root, &err));
	assert_memory_equal(
	    root.b, ((Wire__Begun *)reply)->bases[0]->root_id.data, CHUNK_ID_LEN);
	msg_free(reply);
	live_ok(live_commit(&s, "c", &root, &f, &err));
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	live_hangup(&s);
	live_ok(store_stats(store, &after, &err));
	assert_int_equal(before.stored_bytes, after.stored_bytes);
	assert_int_equal(after.points, before.points + 1);
}

static void
points_survive_a_restart_of_the_server(void **state)
{
	struct live_session s;
	Wire__ListPoints m = WIRE__LIST_POINTS__INIT;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	(void)state;
	live_halt(&live);
	live_run(&live);
	live_dial(&live, &agent, &s);
	live_ok(channel_call(s.ch, &m.base, MSG_POINTS, &reply, &err));
	assert_int_equal(((Wire__Points *)reply)->n_points, 2);
	assert_int_equal(((Wire__Points *)reply)->points[0]->sequence, 2);
	assert_int_equal(((Wire__Points *)reply)->points[0]->previous.len, 32);
	msg_free(reply);
	assert_int_equal(fetch_groups(&s, "", 0, 3, NULL), DATA);
	live_hangup(&s);
}

/* ------------------------------------------------------------------ refusals -- */

static void
an_agent_sees_only_itself(void **state)
{
	Wire__ListPoints list = WIRE__LIST_POINTS__INIT;
	Wire__GetNodes nodes = WIRE__GET_NODES__INIT;
	Wire__GetGroups groups = WIRE__GET_GROUPS__INIT;
	struct live_session s;

	(void)state;
	live_dial(&live, &other, &s);
	list.host = nodes.host = groups.host = (char *)"h1";
	nodes.level = MSG_NODE_LEVEL_ROOT;
	nodes.count = groups.spans = 1;
	nodes.sequence = groups.sequence = 1;
	live_refused(s.ch, &list.base, ERR_DENIED, "that host only");
	live_refused(s.ch, &nodes.base, ERR_DENIED, "that host only");
	live_refused(s.ch, &groups.base, ERR_DENIED, "that host only");
	live_hangup(&s);
}

static void
policy_may_forbid_agents_to_restore(void **state)
{
	Wire__GetGroups groups = WIRE__GET_GROUPS__INIT;
	struct config config = live.config;
	struct live_session s;

	(void)state;
	live_dial(&live, &agent, &s);
	config.agents_may_restore = 0;
	server_reload(live.server, &config);
	groups.spans = 1;
	live_refused(s.ch, &groups.base, ERR_DENIED, "agents-may-restore");
	server_reload(live.server, &live.config);
	assert_int_equal(fetch_groups(&s, "", 0, 3, NULL), DATA);
	live_hangup(&s);
}

static void
what_is_not_there_is_said(void **state)
{
	Wire__GetNodes nodes = WIRE__GET_NODES__INIT;
	Wire__GetGroups groups = WIRE__GET_GROUPS__INIT;
	struct live_session s;
	uint8_t strange[CHUNK_ID_LEN] = { 9 };

	(void)state;
	live_dial(&live, &agent, &s);
	nodes.count = groups.spans = 1;
	nodes.sequence = 99;
	live_refused(s.ch, &nodes.base, ERR_NOTFOUND, "");
	nodes.sequence = 1;
	nodes.volume = 1;
	live_refused(s.ch, &nodes.base, ERR_NOTFOUND, "volumes");
	nodes.volume = 0;
	nodes.level = 2;
	live_refused(s.ch, &nodes.base, ERR_NOTFOUND, "level");
	nodes.level = 0;
	nodes.first = 3;
	live_refused(s.ch, &nodes.base, ERR_NOTFOUND, "nodes");
	nodes.first = UINT64_MAX;
	live_refused(s.ch, &nodes.base, ERR_NOTFOUND, "nodes");
	groups.first_span = 3;
	live_refused(s.ch, &groups.base, ERR_NOTFOUND, "spans");
	groups.first_span = UINT64_MAX;
	live_refused(s.ch, &groups.base, ERR_NOTFOUND, "spans");
	groups.first_span = 0;
	groups.ids.data = strange;
	groups.ids.len = sizeof(strange);
	live_refused(s.ch, &groups.base, ERR_NOTFOUND, "not in those spans");
	live_hangup(&s);
}

static void
two_backups_of_a_volume_at_once_are_one_too_many(void **state)
{
	struct live_session a, b;
	struct err err = ERR_INIT;

	(void)state;
	live_dial(&live, &agent, &a);
	live_dial(&live, &agent, &b);
	live_ok(live_begin(&a, "c", IMAGE, &err));
	assert_int_equal(live_begin(&b, "c", IMAGE, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	err_clear(&err);
	live_ok(live_begin(&b, "d", IMAGE, &err));
	live_hangup(&a);
	live_hangup(&b);
	/* The end of a session frees its volume; how soon is the loop's affair. */
	for (int i = 0; i < 500; i++) {
		live_dial(&live, &agent, &a);
		err_clear(&err);
		if (live_begin(&a, "c", IMAGE, &err) == 0)
			break;
		live_hangup(&a);
	}
	live_hangup(&a);
	assert_int_equal(err.code, ERR_NONE);
}

/* Open an agent's session, in a backup if asked for, and break it by `kind`. */
static void
break_it(int begun, uint16_t kind, const void *p, size_t len, enum err_code code,
    const char *words)
{
	struct live_session s;
	struct err err = ERR_INIT;

	live_dial(&live, &other, &s);
	if (begun)
		live_ok(live_begin(&s, "x", IMAGE, &err));
	live_refused_raw(s.ch, kind, p, len, code, words);
	live_over(s.ch);
	live_hangup(&s);
}

static void
broken_order_ends_the_session_with_a_line(void **state)
{
	Wire__Commit commit = WIRE__COMMIT__INIT;
	Wire__Counts counts = WIRE__COUNTS__INIT;
	Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };
	Wire__Have have = WIRE__HAVE__INIT;
	uint8_t junk[5000], id[CHUNK_ID_LEN] = { 1 };
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;

	(void)state;
	memset(junk, 0xff, sizeof(junk));
	break_it(0, MSG_HELLO, NULL, 0, ERR_PROTOCOL, "Hello out of order");
	break_it(
	    0, MSG_PUT, junk, sizeof(junk), ERR_PROTOCOL, "Put out of order: no backup");
	break_it(1, MSG_PUT, NULL, 0, ERR_PROTOCOL, "Put without content");
	break_it(1, MSG_PUT, junk, sizeof(junk), ERR_CORRUPT, "");
	break_it(0, 9999, junk, 10, ERR_PROTOCOL, "9999");
	break_it(1, MSG_HAVE_ASK, junk, sizeof(junk), ERR_PROTOCOL, "");
	break_it(0, MSG_BEGIN, NULL, 0, ERR_PROTOCOL, "");

	have.kind = CHUNK_DATA;
	have.ids.data = id;
	have.ids.len = sizeof(id);
	live_ok(msg_pack(&have.base, &b, &err));
	break_it(0, MSG_HAVE_ASK, b.p, b.len, ERR_PROTOCOL, "no backup has begun");
	/* Field 2, the kind, is the last one: no such kind; and cut off. */
	b.p[b.len - 1] = 3;
	break_it(1, MSG_HAVE_ASK, b.p, b.len, ERR_PROTOCOL, "kind");
	break_it(1, MSG_HAVE_ASK, b.p, b.len - 1, ERR_PROTOCOL, "malformed");

	v.name = (char *)"y";
	v.root_id.data = id;
	v.root_id.len = sizeof(id);
	commit.counts = &counts;
	commit.volumes = list;
	commit.n_volumes = 1;
	live_ok(msg_pack(&commit.base, &b, &err));
	break_it(0, MSG_COMMIT, b.p, b.len, ERR_PROTOCOL, "no backup has begun");
	break_it(1, MSG_COMMIT, b.p, b.len, ERR_PROTOCOL, "not in Begin");
	buf_free(&b);
}

static void
a_wrong_volume_list_is_refused(void **state)
{
	Wire__BeginVolume v = WIRE__BEGIN_VOLUME__INIT, *list[2] = { &v, &v };
	Wire__Begin m = WIRE__BEGIN__INIT;
	char longest[100];
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;

	(void)state;
	v.name = (char *)"c";
	m.volumes = list;
	m.n_volumes = 2;
	live_ok(msg_pack(&m.base, &b, &err));
	break_it(0, MSG_BEGIN, b.p, b.len, ERR_PROTOCOL, "two volumes");
	m.n_volumes = 1;
	memset(longest, 'n', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	v.name = longest;
	live_ok(msg_pack(&m.base, &b, &err));
	break_it(0, MSG_BEGIN, b.p, b.len, ERR_PROTOCOL, "name");
	v.name = (char *)"";
	live_ok(msg_pack(&m.base, &b, &err));
	break_it(0, MSG_BEGIN, b.p, b.len, ERR_PROTOCOL, "name");
	buf_free(&b);
}

static void
a_chunk_that_is_not_its_id_is_refused_and_not_stored(void **state)
{
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct live_session s;
	struct chunk_id lie = { { 1, 2, 3, 4 } }, real;
	uint8_t answer;
	struct err err = ERR_INIT;

	(void)state;
	live_dial(&live, &other, &s);
	live_ok(live_begin(&s, "x", IMAGE, &err));
	live_ok(group_builder_add(b, &lie, "some bytes", 10, &err));
	assert_int_equal(live_put(&s, b, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	assert_non_null(strstr(err.text, "01020304"));
	live_over(s.ch);
	live_hangup(&s);

	err_clear(&err);
	live_dial(&live, &agent, &s);
	live_ok(live_begin(&s, "y", IMAGE, &err));
	chunk_id_of(&s.keys, CHUNK_DATA, "some bytes", 10, &real);
	live_ok(live_have(&s, CHUNK_DATA, &lie, 1, &answer, &err));
	assert_int_equal(answer, MSG_NEED);
	live_ok(live_have(&s, CHUNK_DATA, &real, 1, &answer, &err));
	assert_int_equal(answer, MSG_NEED);
	live_hangup(&s);
	group_builder_free(b);
}

/* Optional or not: what is stored must have been understood by who stored it. */
static void
a_group_with_what_the_server_does_not_know_is_refused(void **state)
{
	static const uint8_t field[] = { 1, 0, 0, 0, 0, 0 };
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct codec *codec = codec_new();
	struct err err = ERR_INIT;
	struct chunk_id id = { { 9 } };
	uint8_t put[200];
	size_t len, at = GROUP_HEADER_LEN + GROUP_ENTRY_LEN;

	(void)state;
	live_ok(group_builder_add(b, &id, "some bytes", 10, &err));
	live_ok(group_builder_finish(b, codec, 3, &out, &err));
	for (int i = 0; i < 2; i++) {
		len = out.len;
		assert_true(len + sizeof(field) <= sizeof(put));
		memcpy(put, out.p, len);
		if (i == 0) {
			put[10] = 1; /* An optional feature. */
		} else {
			put[28] = sizeof(field);
			memmove(put + at + sizeof(field), put + at, len - at);
			memcpy(put + at, field, sizeof(field));
			len += sizeof(field);
		}
		group_hash(put, len, put + 32);
		break_it(1, MSG_PUT, put, len, ERR_UNSUPPORTED, "optional features");
	}
	group_builder_free(b);
	codec_free(codec);
	buf_free(&out);
}

static void
a_commit_of_what_is_not_there_says_what_is_missing(void **state)
{
	struct chunk_id nowhere = { { 7, 7, 7 } };
	struct channel_frame f = { 0 };
	struct live_session s;
	ProtobufCMessage *m;
	struct err err = ERR_INIT;

	(void)state;
	live_dial(&live, &other, &s);
	live_ok(live_begin(&s, "x", IMAGE, &err));
	live_ok(live_commit(&s, "x", &nowhere, &f, &err));
	assert_int_equal(f.kind, MSG_MISSING);
	{
		const struct frame frame = { f.kind, f.flags, f.request, f.payload,
			f.len };

		live_ok(msg_unpack(&frame, &m, &err));
		assert_int_equal(((Wire__Missing *)m)->meta_ids.len, CHUNK_ID_LEN);
		assert_memory_equal(
		    ((Wire__Missing *)m)->meta_ids.data, nowhere.b, CHUNK_ID_LEN);
		msg_free(m);
	}
	free(f.payload);
	/* The backup goes on, and may still end well. */
	live_ok(live_send_image(&s, image, 100 * 512, &nowhere, &err));
	live_ok(live_commit(&s, "x", &nowhere, &f, &err));
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	/* Once. */
	{
		Wire__Commit again = WIRE__COMMIT__INIT;
		Wire__Counts counts = WIRE__COUNTS__INIT;
		Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };

		v.name = (char *)"x";
		v.root_id.data = nowhere.b;
		v.root_id.len = CHUNK_ID_LEN;
		again.counts = &counts;
		again.volumes = list;
		again.n_volumes = 1;
		live_refused(s.ch, &again.base, ERR_PROTOCOL, "no backup has begun");
	}
	live_hangup(&s);
}

/* ------------------------------------------------------------------- layouts -- */

/* A layout of one disk of IMAGE bytes whose image is volume `volume`. */
static void
layout_of(unsigned volume, struct buf *out)
{
	struct layout *l = calloc(1, sizeof(*l));
	struct err err = ERR_INIT;

	l->disks_count = 1;
	strcpy(l->disks[0].name, "disk0");
	l->disks[0].volume = (uint8_t)volume;
	l->disks[0].size = IMAGE;
	l->disks[0].sector_size = 512;
	l->firmware = LAYOUT_UEFI;
	buf_clear(out);
	live_ok(layout_pack(l, out, &err));
	free(l);
}

/* How those who commit with commit_with() say that they froze it. */
static const char *captured = "";

/* A backup of "d" whose Commit has this layout: its answer. */
static void
commit_with(struct live_session *s, const struct buf *layout, struct channel_frame *f,
    struct err *why)
{
	struct err err = ERR_INIT;
	Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };
	Wire__Commit m = WIRE__COMMIT__INIT;
	Wire__Excluded excluded = WIRE__EXCLUDED__INIT, *left_out[1] = { &excluded };
	Wire__Counts counts = WIRE__COUNTS__INIT;
	struct chunk_id root;
	uint64_t request;

	memset(f, 0, sizeof(*f));
	live_ok(live_begin(s, "d", IMAGE, &err));
	live_ok(live_send_image(s, image, IMAGE, &root, &err));
	v.name = (char *)"d";
	v.root_id.data = root.b;
	v.root_id.len = CHUNK_ID_LEN;
	excluded.reason = EXTENT_PAGEFILE;
	excluded.bytes = 77;
	counts.excluded = left_out;
	counts.n_excluded = 1;
	m.n_volumes = 1;
	m.volumes = list;
	m.counts = &counts;
	m.layout.data = layout->p;
	m.layout.len = layout->len;
	m.capture = (char *)(uintptr_t)captured;
	live_ok(channel_send(s->ch, &m.base, &request, &err));
	(void)channel_wait(s->ch, request, LIVE_MS, f, why);
}

static void
a_layout_is_given_back_to_who_asks(void **state)
{
	Wire__ListPoints ask = WIRE__LIST_POINTS__INIT;
	struct buf layout = BUF_INIT(LAYOUT_LEN_MAX);
	struct err err = ERR_INIT;
	struct live_session s;
	struct channel_frame f;
	ProtobufCMessage *m;

	(void)state;
	live_dial(&live, &agent, &s);
	layout_of(0, &layout);
	commit_with(&s, &layout, &f, &err);
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	for (int with = 0; with < 2; with++) {
		const Wire__Point *p;

		ask.layout = with;
		ask.limit = 1;
		live_ok(channel_call(s.ch, &ask.base, MSG_POINTS, &m, &err));
		assert_int_equal(((Wire__Points *)m)->n_points, 1);
		p = ((Wire__Points *)m)->points[0];
		assert_int_equal(p->layout.len, with ? layout.len : 0);
		if (with)
			assert_memory_equal(p->layout.data, layout.p, layout.len);
		/* What was left out is kept beside it. */
		assert_int_equal(p->counts->n_excluded, 1);
		assert_int_equal(p->counts->excluded[0]->bytes, 77);
		msg_free(m);
	}
	live_hangup(&s);
	buf_free(&layout);
}

/* The text that the newest point has. */
static void
expect_capture(struct live_session *s, const char *text)
{
	Wire__ListPoints ask = WIRE__LIST_POINTS__INIT;
	struct err err = ERR_INIT;
	ProtobufCMessage *m;

	ask.limit = 1;
	live_ok(channel_call(s->ch, &ask.base, MSG_POINTS, &m, &err));
	assert_string_equal(((Wire__Points *)m)->points[0]->capture, text);
	msg_free(m);
}

static void
how_a_point_was_frozen_is_kept_as_far_as_there_is_room(void **state)
{
	struct buf layout = BUF_INIT(LAYOUT_LEN_MAX);
	struct err err = ERR_INIT;
	struct live_session s;
	struct channel_frame f;
	char text[1001];

	(void)state;
	live_dial(&live, &agent, &s);
	layout_of(0, &layout);
	captured = "vss: full, 2 attempts (writers were too slow)";
	commit_with(&s, &layout, &f, &err);
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	expect_capture(&s, captured);
	/* Two bytes each but the first: the 512th would be half of one. */
	memset(text, 'x', 1);
	for (size_t i = 1; i + 1 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	text[999] = '\0';
	captured = text;
	commit_with(&s, &layout, &f, &err);
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	text[511] = '\0';
	expect_capture(&s, text);
	/* An older agent says nothing. */
	captured = "";
	commit_with(&s, &layout, &f, &err);
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	expect_capture(&s, "");
	live_hangup(&s);
	buf_free(&layout);
}

static void
a_layout_that_makes_no_sense_is_refused(void **state)
{
	struct buf layout = BUF_INIT(LAYOUT_LEN_MAX);
	struct channel_frame f;
	struct live_session s;

	(void)state;
	/* Another volume, cut short, one byte flipped, other fields, no fields. */
	for (unsigned i = 0; i < 5; i++) {
		struct err err = ERR_INIT;

		layout_of(i == 0 ? 1 : 0, &layout);
		if (i == 1)
			layout.len -= 3;
		if (i == 2)
			layout.p[7] ^= 0x80;
		if (i == 3)
			live_ok(feature_add_field(&layout, 9, "x", 1, &err));
		if (i == 4)
			layout.len = 3;
		live_dial(&live, &agent, &s);
		commit_with(&s, &layout, &f, &err);
		assert_int_equal(err.code, ERR_PROTOCOL);
		assert_non_null(strstr(err.text, "the machine's layout"));
		free(f.payload);
		live_hangup(&s);
	}
	buf_free(&layout);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_backup_reads_back_equal),
		cmocka_unit_test(the_same_again_costs_nothing_and_has_a_base),
		cmocka_unit_test(points_survive_a_restart_of_the_server),
		cmocka_unit_test(an_agent_sees_only_itself),
		cmocka_unit_test(policy_may_forbid_agents_to_restore),
		cmocka_unit_test(what_is_not_there_is_said),
		cmocka_unit_test(two_backups_of_a_volume_at_once_are_one_too_many),
		cmocka_unit_test(broken_order_ends_the_session_with_a_line),
		cmocka_unit_test(a_wrong_volume_list_is_refused),
		cmocka_unit_test(a_group_with_what_the_server_does_not_know_is_refused),
		cmocka_unit_test(a_chunk_that_is_not_its_id_is_refused_and_not_stored),
		cmocka_unit_test(a_commit_of_what_is_not_there_says_what_is_missing),
		cmocka_unit_test(a_layout_is_given_back_to_who_asks),
		cmocka_unit_test(how_a_point_was_frozen_is_kept_as_far_as_there_is_room),
		cmocka_unit_test(a_layout_that_makes_no_sense_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
