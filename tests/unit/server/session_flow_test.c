/* Peers that are slow, deaf, silent, rude or many. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "proto/base/bytes.h"
#include "tests/unit/server/live.h"

static struct live live;
static struct live_peer agent, admin;

#define IMAGE (6u * 1024 * 1024)

static uint8_t *image;

static int
setup(void **state)
{
	(void)state;
	live_start(&live);
	live_peer(&live, CERT_AGENT, "h1", &agent);
	live_peer(&live, CERT_ADMIN, "root", &admin);
	image = malloc(IMAGE);
	live_noise(image, IMAGE, 11);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	free(image);
	live_peer_free(&agent);
	live_peer_free(&admin);
	live_stop(&live);
	return 0;
}

/* Someone else's session works: the server goes on. */
static void
server_goes_on(void)
{
	Wire__GetStats m = WIRE__GET_STATS__INIT;
	struct live_session s;
	ProtobufCMessage *reply;
	struct err err = ERR_INIT;

	live_dial(&live, &admin, &s);
	live_ok(channel_call(s.ch, &m.base, MSG_STATS, &reply, &err));
	msg_free(reply);
	live_hangup(&s);
}

/* Points of as many volumes as there may be: `n` of them, all of one tree. */
static void
fat_points(const struct chunk_id *root, uint32_t n)
{
	static char names[STORE_VOLUMES_MAX][STORE_NAME_MAX];
	const char *list[STORE_VOLUMES_MAX];
	struct buf bad = BUF_INIT(1000), data = BUF_INIT(1000), meta = BUF_INIT(1000);
	struct store_base bases[STORE_VOLUMES_MAX];
	struct store_point *p = calloc(1, sizeof(*p));
	struct store *store = server_store(live.server);
	enum store_commit_result result;
	struct store_lease *l;
	struct err err = ERR_INIT;

	assert_non_null(p);
	for (uint32_t i = 0; i < STORE_VOLUMES_MAX; i++) {
		(void)snprintf(names[i], sizeof(names[i]), "%063u", i);
		list[i] = names[i];
	}
	live_ok(store_lease_open(store, "h1", STORE_BACKUP, &l, &err));
	live_ok(store_backup_begin(l, list, STORE_VOLUMES_MAX, bases, &bad, &err));
	for (uint32_t k = 0; k < n; k++) {
		memset(p, 0, sizeof(*p));
		p->volumes_count = STORE_VOLUMES_MAX;
		for (uint32_t i = 0; i < STORE_VOLUMES_MAX; i++) {
			memcpy(p->volumes[i].name, names[i], STORE_NAME_MAX);
			p->volumes[i].root_id = *root;
		}
		live_ok(store_commit(l, p, &result, &data, &meta, &err));
		assert_int_equal(result, STORE_COMMITTED);
	}
	store_lease_close(l);
	free(p);
}

/* A list longer than a session may have waiting goes in rounds: whole, in order, once. */
static void
a_long_list_goes_in_rounds(void **state)
{
	enum { POINTS = 400 };
	Wire__ListPoints m = WIRE__LIST_POINTS__INIT;
	uint64_t request, next = POINTS + 1;
	struct live_session s;
	struct channel_frame f = { 0 };
	struct chunk_id root;
	struct err err = ERR_INIT;
	size_t bytes = 0;

	(void)state;
	live_dial(&live, &agent, &s);
	live_ok(live_begin(&s, "list", IMAGE, &err));
	live_ok(live_send_image(&s, image, IMAGE, &root, &err));
	live_ok(live_commit(&s, "list", &root, &f, &err));
	free(f.payload);
	fat_points(&root, POINTS);
	live_ok(channel_send(s.ch, &m.base, &request, &err));
	do {
		ProtobufCMessage *reply;
		const Wire__Points *points;

		live_ok(channel_wait(s.ch, request, LIVE_MS, &f, &err));
		live_ok(msg_unpack(
		    &(struct frame){ f.kind, f.flags, f.request, f.payload, f.len },
		    &reply, &err));
		points = (const Wire__Points *)reply;
		for (size_t i = 0; i < points->n_points; i++, next--)
			assert_int_equal(points->points[i]->sequence, next);
		msg_free(reply);
		free(f.payload);
		bytes += f.len;
	} while (f.flags & FRAME_MORE);
	assert_int_equal(next, 0);
	assert_true(bytes > 2 * 1024 * 1024); /* SESSION_ROUND */

	/* A limit counts over rounds, too. */
	m.limit = POINTS - 3;
	live_ok(channel_send(s.ch, &m.base, &request, &err));
	for (size_t seen = 0, more = 1; more; more = f.flags & FRAME_MORE) {
		ProtobufCMessage *reply;

		live_ok(channel_wait(s.ch, request, LIVE_MS, &f, &err));
		live_ok(msg_unpack(
		    &(struct frame){ f.kind, f.flags, f.request, f.payload, f.len },
		    &reply, &err));
		seen += ((const Wire__Points *)reply)->n_points;
		if (!(f.flags & FRAME_MORE))
			assert_int_equal(seen, POINTS - 3);
		msg_free(reply);
		free(f.payload);
	}
	live_hangup(&s);
}

/* ------------------------------------------------- TLS by hand, over a socket -- */

struct raw {
	int fd;
	struct tls *tls;
};

static int
raw_connect(int tiny)
{
	const char *at = server_address(live.server);
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct timeval patience = { .tv_sec = 20 };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_true(fd >= 0);
	to.sin_port = htons((uint16_t)atoi(strrchr(at, ':') + 1));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (tiny) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &one, sizeof(one));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &one, sizeof(one));
	}
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* Send what TLS has to say; 0, or -1 once the server takes no more. */
static int
raw_flush(struct raw *r)
{
	const uint8_t *p;
	size_t n;

	while ((n = tls_output(r->tls, &p)) > 0) {
		ssize_t w = send(r->fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return -1;
		tls_sent(r->tls, (size_t)w);
	}
	return 0;
}

static void
raw_open(struct raw *r, const struct live_peer *p, int tiny)
{
	uint8_t in[4096], plain[64];
	struct err err = ERR_INIT;
	size_t got;

	r->fd = raw_connect(tiny);
	r->tls = tls_new(p->tls);
	assert_non_null(r->tls);
	while (tls_read(r->tls, plain, sizeof(plain), &got, &err) == TLS_WANT &&
	       !tls_open(r->tls)) {
		ssize_t n;

		assert_int_equal(raw_flush(r), 0);
		n = recv(r->fd, in, sizeof(in), 0);
		assert_true(n > 0);
		live_ok(tls_input(r->tls, in, (size_t)n, &err));
	}
	assert_true(tls_open(r->tls));
	assert_int_equal(raw_flush(r), 0);
}

static int
raw_send(struct raw *r, const void *p, size_t n)
{
	struct err err = ERR_INIT;

	live_ok(tls_write(r->tls, p, n, &err));
	return raw_flush(r);
}

/* Send a frame whose header may lie about its length. */
static int
raw_frame(struct raw *r, uint16_t kind, uint16_t flags, uint32_t announced, const void *p,
    size_t n)
{
	uint8_t header[FRAME_HEADER_LEN] = { 0 };

	store_le32(header, announced);
	store_le16(header + 4, kind);
	store_le16(header + 6, flags);
	store_le64(header + 8, 1);
	if (raw_send(r, header, sizeof(header)) != 0)
		return -1;
	return n > 0 ? raw_send(r, p, n) : 0;
}

/* Read until the server closes; it must, within the socket's patience. */
static void
raw_until_closed(struct raw *r)
{
	static uint8_t in[65536];
	ssize_t n;

	while ((n = recv(r->fd, in, sizeof(in), 0)) > 0)
		;
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		fail_msg("the server did not close");
}

static void
raw_close(struct raw *r)
{
	tls_free(r->tls);
	(void)close(r->fd);
}

static void
frames_that_cannot_be_end_the_session(void **state)
{
	static const struct {
		uint16_t kind, flags;
		uint32_t announced;
	} cases[] = {
		{ MSG_HELLO, 0, UINT32_MAX },
		{ MSG_HELLO, 0, FRAME_PAYLOAD_MAX + 1 },
		{ MSG_HELLO, 0x8000, 0 },
		{ MSG_HELLO, FRAME_MORE, 0 },
		{ 9999, 0, 0 },
		{ 0, 0, 0 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct raw r;

		raw_open(&r, &agent, 0);
		(void)raw_frame(
		    &r, cases[i].kind, cases[i].flags, cases[i].announced, NULL, 0);
		raw_until_closed(&r);
		raw_close(&r);
	}
	server_goes_on();
}

static void
a_strangers_frames_must_be_small(void **state)
{
	struct live_peer nobody;
	struct raw r;

	(void)state;
	live_peer(&live, CERT_NOBODY, "", &nobody);
	raw_open(&r, &nobody, 0);
	(void)raw_frame(&r, MSG_HELLO, 0, 1024 * 1024, NULL, 0);
	raw_until_closed(&r);
	raw_close(&r);
	live_peer_free(&nobody);
	server_goes_on();
}

static void
streams_cut_anywhere_end_one_session_only(void **state)
{
	static const uint8_t zeros[64];
	struct raw r;

	(void)state;
	for (size_t cut = 0; cut < 40; cut += 3) {
		raw_open(&r, &agent, 0);
		if (cut < FRAME_HEADER_LEN)
			(void)raw_send(&r, zeros, cut);
		else
			(void)raw_frame(
			    &r, MSG_HELLO, 0, 1000, zeros, cut - FRAME_HEADER_LEN);
		raw_close(&r);
	}
	server_goes_on();
}

static void
what_is_no_tls_is_dropped(void **state)
{
	static const char http[] = "GET / HTTP/1.0\r\n\r\n";
	uint8_t noise[4000];

	(void)state;
	live_noise(noise, sizeof(noise), 5);
	for (int i = 0; i < 4; i++) {
		struct raw r = { raw_connect(0), NULL };

		if (i % 2 == 0)
			(void)send(r.fd, http, sizeof(http), MSG_NOSIGNAL);
		else
			(void)send(r.fd, noise, sizeof(noise), MSG_NOSIGNAL);
		raw_until_closed(&r);
		(void)close(r.fd);
	}
	server_goes_on();
}

/* ------------------------------------------------------------- slow and deaf -- */

static void
a_backup_gets_through_tiny_socket_buffers(void **state)
{
	const struct conn_limits limits = { .sndbuf = 1, .rcvbuf = 1 };
	struct live_session s;
	struct channel *ch;
	struct err err = ERR_INIT;

	(void)state;
	live_ok(channel_open(server_address(live.server), agent.tls, NULL, 0, &limits,
	    LIVE_MS, &ch, &err));
	live_ok(live_hello(ch, &agent, &s, &err));
	live_backup(&s, "tiny", image, 700 * 1024);
	live_hangup(&s);
}

/* Asks for all of it again and again and never reads an answer. */
static void
the_deaf_do_not_fill_our_memory(void **state)
{
	Wire__GetGroups m = WIRE__GET_GROUPS__INIT;
	Wire__Hello hello = WIRE__HELLO__INIT;
	struct live_session s;
	struct raw r[3];
	struct buf b = BUF_INIT(MSG_LEN_MAX), h = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;

	(void)state;
	live_dial(&live, &agent, &s);
	live_backup(&s, "deaf", image, IMAGE);
	live_hangup(&s);

	m.spans = 1;
	live_ok(msg_pack(&m.base, &b, &err));
	hello.version = MSG_VERSION;
	hello.machine.data = agent.machine;
	hello.machine.len = sizeof(agent.machine);
	live_ok(msg_pack(&hello.base, &h, &err));
	for (size_t k = 0; k < 3; k++) {
		struct timeval soon = { .tv_sec = 1 };

		raw_open(&r[k], &agent, 1);
		(void)setsockopt(r[k].fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
		(void)raw_frame(&r[k], MSG_HELLO, 0, (uint32_t)h.len, h.p, h.len);
		for (int i = 0; i < 200; i++) {
			if (raw_frame(&r[k], MSG_GET_GROUPS, 0, (uint32_t)b.len, b.p,
				b.len) != 0)
				break; /* The server has stopped reading: so it should. */
		}
	}
	server_goes_on();
	for (size_t k = 0; k < 3; k++)
		raw_close(&r[k]);
	buf_free(&b);
	buf_free(&h);
	server_goes_on();
}

static void
puts_beyond_the_window_wait_in_the_socket(void **state)
{
	struct config config = live.config;
	struct group_builder *b = group_builder_new(CHUNK_DATA);
	struct codec *codec = codec_new();
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct live_session s;
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	uint64_t requests[60];

	(void)state;
	config.window = 1 << 20;
	server_reload(live.server, &config);
	live_dial(&live, &agent, &s);
	assert_int_equal(s.welcome->window, 1 << 20);
	live_ok(live_begin(&s, "w", IMAGE, &err));
	/* Thirty megabytes at once, none of it awaited. */
	for (size_t i = 0; i < 60; i++) {
		struct chunk_id id;
		uint8_t *p = image + i % 8 * 65536;

		for (size_t k = 0; k < 8; k++) {
			p[0] = (uint8_t)i;
			p[1] = (uint8_t)k;
			chunk_id_of(&s.keys, CHUNK_DATA, p, 65536, &id);
			live_ok(group_builder_add(b, &id, p, 65536, &err));
		}
		live_ok(group_builder_finish(b, codec, 1, &out, &err));
		live_ok(
		    channel_send_raw(s.ch, MSG_PUT, out.p, out.len, &requests[i], &err));
	}
	for (size_t i = 0; i < 60; i++) {
		live_ok(channel_wait(s.ch, requests[i], LIVE_MS, &f, &err));
		assert_int_equal(f.kind, MSG_STORED);
		free(f.payload);
	}
	live_hangup(&s);
	server_reload(live.server, &live.config);
	group_builder_free(b);
	codec_free(codec);
	buf_free(&out);
}

static void
silence_ends_a_session_in_words(void **state)
{
	struct config config = live.config;
	struct channel_frame f = { 0 };
	struct live_session s;
	struct channel *ch;
	struct err err = ERR_INIT;

	(void)state;
	config.silence_s = 1;
	server_reload(live.server, &config);
	live_open(&live, &agent, NULL, 0, &ch);
	live_ok(live_hello(ch, &agent, &s, &err));
	assert_int_equal(channel_wait(ch, 0, LIVE_MS, &f, &err), -1);
	assert_int_equal(err.code, ERR_TIMEOUT);
	assert_non_null(strstr(err.text, "nothing moved"));
	live_hangup(&s);
	server_reload(live.server, &live.config);
}

/* ------------------------------------------------------------------- together -- */

struct fleet {
	pthread_t thread;
	struct live_peer peer;
	uint8_t *image;
	int done;
};

static void *
back_up(void *arg)
{
	struct fleet *f = arg;
	struct live_session s;
	struct err err = ERR_INIT;
	struct chunk_id root;
	struct channel_frame reply = { 0 };

	live_dial(&live, &f->peer, &s);
	if (live_begin(&s, "c", IMAGE, &err) == 0 &&
	    live_send_image(&s, f->image, IMAGE, &root, &err) == 0 &&
	    live_commit(&s, "c", &root, &reply, &err) == 0)
		f->done = reply.kind == MSG_COMMITTED;
	if (!f->done)
		(void)fprintf(stderr, "%s: %s\n", f->peer.name, err.text);
	free(reply.payload);
	live_hangup(&s);
	return NULL;
}

static void
many_at_once_store_each_chunk_about_once(void **state)
{
	enum { FLEET = 6 };
	static struct fleet fleet[FLEET];
	struct store_stats before, after;
	struct err err = ERR_INIT;

	(void)state;
	live_noise(image, IMAGE, 99);
	live_ok(store_stats(server_store(live.server), &before, &err));
	for (int i = 0; i < FLEET; i++) {
		char name[16];

		(void)snprintf(name, sizeof(name), "fleet%d", i);
		live_peer(&live, CERT_AGENT, name, &fleet[i].peer);
		fleet[i].image = image;
	}
	for (int i = 0; i < FLEET; i++)
		assert_int_equal(
		    pthread_create(&fleet[i].thread, NULL, back_up, &fleet[i]), 0);
	for (int i = 0; i < FLEET; i++) {
		assert_int_equal(pthread_join(fleet[i].thread, NULL), 0);
		live_peer_free(&fleet[i].peer);
	}
	for (int i = 0; i < FLEET; i++)
		assert_true(fleet[i].done);
	live_ok(store_stats(server_store(live.server), &after, &err));
	assert_in_range(
	    after.unique_bytes - before.unique_bytes, IMAGE, IMAGE * 105u / 100);
}

/* --------------------------------------------------------------------- damage -- */

static void
flip_in_packs(void)
{
	char path[400];
	struct dirent *e;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%s/packs", live.dir);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)) != NULL) {
		struct stat st;
		uint8_t byte;
		int fd;

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "%s/packs/%s", live.dir, e->d_name);
		fd = open(path, O_RDWR);
		assert_true(fd >= 0);
		assert_int_equal(fstat(fd, &st), 0);
		/* Among the last groups of a pack with data: the newest backup's. */
		if (st.st_size > 1000000) {
			assert_int_equal(pread(fd, &byte, 1, st.st_size - 500000), 1);
			byte ^= 1;
			assert_int_equal(pwrite(fd, &byte, 1, st.st_size - 500000), 1);
		}
		(void)close(fd);
	}
	(void)closedir(d);
}

static uint64_t
verify(struct live_session *s)
{
	Wire__Verify m = WIRE__VERIFY__INIT;
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	ProtobufCMessage *reply;
	uint64_t request, bad;
	int more;

	live_ok(channel_send(s->ch, &m.base, &request, &err));
	do {
		live_ok(channel_wait(s->ch, request, LIVE_MS, &f, &err));
		assert_int_equal(f.kind, MSG_VERIFY_REPORT);
		{
			const struct frame frame = { f.kind, f.flags, f.request,
				f.payload, f.len };

			live_ok(msg_unpack(&frame, &reply, &err));
		}
		more = (f.flags & FRAME_MORE) != 0;
		bad = ((Wire__VerifyReport *)reply)->bad_groups;
		msg_free(reply);
		free(f.payload);
	} while (more);
	return bad;
}

/* Read the newest point's groups; how many chunks were missing. */
static size_t
missing_of(struct live_session *a)
{
	Wire__GetGroups m = WIRE__GET_GROUPS__INIT;
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	ProtobufCMessage *reply;
	uint64_t request;
	size_t missing;

	m.spans = 1;
	live_ok(channel_send(a->ch, &m.base, &request, &err));
	for (;;) {
		live_ok(channel_wait(a->ch, request, LIVE_MS, &f, &err));
		if (f.kind == MSG_GROUPS_END)
			break;
		free(f.payload);
	}
	{
		const struct frame frame = { f.kind, f.flags, f.request, f.payload,
			f.len };

		live_ok(msg_unpack(&frame, &reply, &err));
		missing = ((Wire__GroupsEnd *)reply)->missing_ids.len;
		msg_free(reply);
	}
	free(f.payload);
	return missing / CHUNK_ID_LEN;
}

static void
damage_is_found_named_and_healed(void **state)
{
	struct live_session s, a;

	(void)state;
	live_dial(&live, &agent, &a);
	live_noise(image, IMAGE, 7);
	live_backup(&a, "dmg", image, IMAGE);
	live_dial(&live, &admin, &s);
	assert_int_equal(verify(&s), 0);
	flip_in_packs();
	assert_true(verify(&s) > 0);

	assert_true(missing_of(&a) > 0);

	/* The next backup of the same content heals it. */
	live_backup(&a, "dmg", image, IMAGE);
	assert_int_equal(missing_of(&a), 0);
	live_hangup(&a);
	live_hangup(&s);
}

/* ------------------------------------------------------------------------ ends -- */

static void
stopping_tells_those_who_are_at_work(void **state)
{
	struct channel_frame f = { 0 };
	struct live_session s;
	struct err err = ERR_INIT;
	time_t before = time(NULL);

	(void)state;
	live_dial(&live, &agent, &s);
	live_ok(live_begin(&s, "c", IMAGE, &err));
	live_halt(&live);
	assert_int_equal(channel_wait(s.ch, 0, LIVE_MS, &f, &err), -1);
	assert_int_equal(err.code, ERR_BUSY);
	assert_non_null(strstr(err.text, "stopping"));
	assert_true(time(NULL) - before < 15);
	live_hangup(&s);
	live_run(&live);
	server_goes_on();
}

/* Who has only just connected cannot be told, and must not bring the server down. */
static void
stopping_beside_a_handshake_is_a_stop_like_any(void **state)
{
	int fd = raw_connect(0);

	(void)state;
	/* Accepted before this one, in whose session it answers. */
	server_goes_on();
	live_halt(&live);
	(void)close(fd);
	live_run(&live);
	server_goes_on();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_long_list_goes_in_rounds),
		cmocka_unit_test(frames_that_cannot_be_end_the_session),
		cmocka_unit_test(a_strangers_frames_must_be_small),
		cmocka_unit_test(streams_cut_anywhere_end_one_session_only),
		cmocka_unit_test(what_is_no_tls_is_dropped),
		cmocka_unit_test(a_backup_gets_through_tiny_socket_buffers),
		cmocka_unit_test(the_deaf_do_not_fill_our_memory),
		cmocka_unit_test(puts_beyond_the_window_wait_in_the_socket),
		cmocka_unit_test(silence_ends_a_session_in_words),
		cmocka_unit_test(many_at_once_store_each_chunk_about_once),
		cmocka_unit_test(damage_is_found_named_and_healed),
		cmocka_unit_test(stopping_tells_those_who_are_at_work),
		cmocka_unit_test(stopping_beside_a_handshake_is_a_stop_like_any),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
