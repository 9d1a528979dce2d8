/*
 * hostile - an enrolled agent that breaks the rules, one case a run.
 *
 *	hostile SERVER STATE-DIR MACHINE-ID CASE
 *
 * Speaks TLS over a plain blocking socket, so that it can send what the
 * product's own client never would.  Prints the server's Failed, "closed" or
 * what else came, as one line; the scenario judges it.  Exit 0 unless it could
 * not get as far as breaking the rule.
 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "agent/host/state.h"
#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "proto/tls/tls.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg.h"

static int fd = -1;
static struct tls *tls;
static struct frame_decoder *decoder;
static uint8_t pending[65536];
static size_t pending_at, pending_len;
static struct chunk_keys keys;
static uint64_t request;

static void
die(const struct err *err)
{
	fprintf(stderr, "hostile: %s\n", err->text);
	exit(3);
}

static void
dial(const char *server, int tiny)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM }, *found;
	char host[200];
	char *colon;
	int small = 1;

	(void)snprintf(host, sizeof(host), "%s", server);
	if ((colon = strrchr(host, ':')) == NULL)
		exit(3);
	*colon = '\0';
	if (getaddrinfo(host, colon + 1, &hints, &found) != 0)
		exit(3);
	fd = socket(found->ai_family, found->ai_socktype, 0);
	if (tiny) {
		(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
	}
	if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0) {
		perror("hostile: connect");
		exit(3);
	}
	freeaddrinfo(found);
}

/* Send what TLS has to say; 0 once the peer takes no more. */
static int
flush(void)
{
	const uint8_t *p;
	size_t n;

	while ((n = tls_output(tls, &p)) > 0) {
		ssize_t w = send(fd, p, n, MSG_NOSIGNAL);

		if (w <= 0)
			return 0;
		tls_sent(tls, (size_t)w);
	}
	return 1;
}

/* Decrypted bytes into pending[]; 0 at the end of the connection. */
static int
more(void)
{
	uint8_t raw[4096];
	struct err err = ERR_INIT;

	for (;;) {
		ssize_t n;

		switch (tls_read(tls, pending, sizeof(pending), &pending_len, &err)) {
		case TLS_DATA:
			pending_at = 0;
			return 1;
		case TLS_END:
		case TLS_FAILED:
			return 0;
		case TLS_WANT:
			break;
		}
		if (tls_open(tls) && pending_len == 0 && request == 0)
			return 1;	/* The handshake is done. */
		(void)flush();
		if ((n = recv(fd, raw, sizeof(raw), 0)) <= 0)
			return 0;
		if (tls_input(tls, raw, (size_t)n, &err) != 0)
			return 0;
	}
}

/* The next frame; 0 at the end. */
static int
next(struct frame *out)
{
	struct err err = ERR_INIT;

	for (;;) {
		switch (frame_decoder_next(decoder, out, &err)) {
		case FRAME_NEXT_READY:
			return 1;
		case FRAME_NEXT_BROKEN:
			return 0;
		case FRAME_NEXT_WANT:
			break;
		}
		if (pending_at == pending_len && !more())
			return 0;
		pending_at += frame_decoder_feed(decoder, pending + pending_at,
		    pending_len - pending_at);
	}
}

static void
send_bytes(const void *p, size_t n)
{
	struct err err = ERR_INIT;

	if (n > 0 && tls_write(tls, p, n, &err) != 0)
		die(&err);
	(void)flush();
}

static void
send_raw(uint16_t kind, const void *p, size_t len)
{
	struct frame f = { kind, 0, ++request, p, len };
	uint8_t header[FRAME_HEADER_LEN];

	frame_encode_header(&f, header);
	send_bytes(header, sizeof(header));
	send_bytes(p, len);
}

static void
send_msg(const ProtobufCMessage *m)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;

	if (msg_pack(m, &b, &err) != 0)
		die(&err);
	send_raw(msg_kind_of(m), b.p, b.len);
	buf_free(&b);
}

/* Print what comes until the connection ends or something else than Stored. */
static int
report(void)
{
	struct frame f;

	while (next(&f)) {
		struct err err = ERR_INIT;
		ProtobufCMessage *m;

		if (f.kind == MSG_STORED || f.kind == MSG_HAVE_REPLY)
			continue;
		if (f.kind == MSG_FAILED && msg_unpack(&f, &m, &err) == 0) {
			printf("failed: %s\n", ((Wire__Failed *)m)->text);
			msg_free(m);
		} else {
			printf("answered: %s\n", msg_name(f.kind));
		}
		return 0;
	}
	printf("closed\n");
	return 0;
}

static void
greet(const char *machine_path)
{
	Wire__Hello hello = WIRE__HELLO__INIT;
	uint8_t machine[STATE_HASH_LEN];
	struct err err = ERR_INIT;
	ProtobufCMessage *m;
	struct frame f;

	if (state_machine(machine_path, machine, &err) != 0)
		die(&err);
	hello.version = MSG_VERSION;
	hello.program = (char *)"hostile";
	hello.machine.data = machine;
	hello.machine.len = sizeof(machine);
	send_msg(&hello.base);
	if (!next(&f) || f.kind != MSG_WELCOME || msg_unpack(&f, &m, &err) != 0) {
		fprintf(stderr, "hostile: no Welcome\n");
		exit(3);
	}
	if (((Wire__Welcome *)m)->domain_key.len == CHUNK_KEY_LEN)
		chunk_keys_init(&keys, ((Wire__Welcome *)m)->domain_key.data);
	msg_free(m);
}

static void
begin(void)
{
	Wire__BeginVolume v = WIRE__BEGIN_VOLUME__INIT, *list[1] = { &v };
	Wire__Begin b = WIRE__BEGIN__INIT;
	struct frame f;

	v.name = (char *)"v";
	v.size = TREE_SPAN_LEN;
	v.sector_size = 512;
	b.volumes = list;
	b.n_volumes = 1;
	/* The case before may not be over yet at the server: it says busy then. */
	for (int i = 0; i < 200; i++) {
		const struct timespec moment = { 0, 50 * 1000 * 1000 };

		send_msg(&b.base);
		if (!next(&f))
			break;
		if (f.kind == MSG_BEGUN)
			return;
		(void)nanosleep(&moment, NULL);
	}
	fprintf(stderr, "hostile: no Begun\n");
	exit(3);
}

/* Send chunks as one group; `id` NULL: its right name. */
static void
put(enum chunk_kind kind, const struct chunk_id *id, const void *p, size_t len, int flip)
{
	struct group_builder *gb = group_builder_new(kind);
	struct codec *codec = codec_new();
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct err err = ERR_INIT;
	struct chunk_id right;

	chunk_id_of(&keys, kind, p, len, &right);
	if (group_builder_add(gb, id == NULL ? &right : id, p, len, &err) != 0 ||
	    group_builder_finish(gb, codec, 3, &out, &err) != 0)
		die(&err);
	if (flip)
		out.p[out.len - 1] ^= 1;
	send_raw(MSG_PUT, out.p, out.len);
	buf_free(&out);
	codec_free(codec);
	group_builder_free(gb);
}

static void
ask(enum chunk_kind kind, const struct chunk_id *id)
{
	Wire__Have have = WIRE__HAVE__INIT;

	have.kind = kind;
	have.ids.data = (uint8_t *)(uintptr_t)id->b;
	have.ids.len = CHUNK_ID_LEN;
	send_msg(&have.base);
}

/* What a tree case does to its nodes on the way. */
enum tree_case { TREE_GOOD, TREE_NO_LEAF, TREE_NO_DATA, TREE_SUMS, TREE_DATA_LEN };

static enum tree_case tree_case;
static struct chunk_id bent_id;

static int
emit(void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	int *nodes = arg, leaf = (*nodes)++ == 0;
	uint8_t bent[512];

	(void)err;
	if (leaf && tree_case == TREE_NO_LEAF)
		return 0;
	ask(CHUNK_META, id);
	if (!leaf && tree_case == TREE_SUMS && len <= sizeof(bent)) {
		/* The root's last byte belongs to its sums: FORMAT.md, "Trees". */
		memcpy(bent, p, len);
		bent[len - 1] ^= 1;
		chunk_id_of(&keys, CHUNK_META, bent, len, &bent_id);
		put(CHUNK_META, NULL, bent, len, 0);
		return 0;
	}
	put(CHUNK_META, NULL, p, len, 0);
	return 0;
}

static void
commit(enum tree_case what)
{
	static uint8_t data[65536];
	struct tree_root root = { .size = TREE_SPAN_LEN, .sector_size = 512, .fs = "raw",
		.provider = "offline" };
	struct extent e = { .kind = EXTENT_DATA, .len = sizeof(data), .chunk_len = sizeof(data) };
	Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };
	Wire__Commit c = WIRE__COMMIT__INIT;
	Wire__Counts counts = WIRE__COUNTS__INIT;
	struct err err = ERR_INIT;
	struct chunk_id id;
	struct tree_builder *b;
	int nodes = 0;

	tree_case = what;
	memset(data, 'h', sizeof(data));
	chunk_id_of(&keys, CHUNK_DATA, data, sizeof(data), &e.id);
	ask(CHUNK_DATA, &e.id);
	if (what != TREE_NO_DATA)
		put(CHUNK_DATA, NULL, data, sizeof(data), 0);
	else
		e.id.b[0] ^= 1;
	if (what == TREE_DATA_LEN)
		e.chunk_len += 100;
	b = tree_builder_new(&keys, &root, emit, &nodes);
	if (tree_builder_add(b, &e, &err) != 0)
		die(&err);
	e = (struct extent){ .kind = EXTENT_HOLE, .offset = sizeof(data),
		.len = TREE_SPAN_LEN - sizeof(data) };
	if (tree_builder_add(b, &e, &err) != 0 || tree_builder_finish(b, &id, &err) != 0)
		die(&err);
	if (what == TREE_SUMS)
		id = bent_id;
	tree_builder_free(b);
	v.name = (char *)"v";
	v.root_id.data = id.b;
	v.root_id.len = sizeof(id.b);
	c.volumes = list;
	c.n_volumes = 1;
	c.counts = &counts;
	send_msg(&c.base);
}

static int
run(const char *what)
{
	static uint8_t junk[200000];
	uint8_t header[FRAME_HEADER_LEN] = { 0 };
	struct chunk_id wrong = { { 1, 2, 3 } };

	memset(junk, 'j', sizeof(junk));
	if (strcmp(what, "frame-too-long") == 0) {
		memset(header, 0xff, 4);
		header[4] = MSG_HAVE_ASK;
		send_bytes(header, sizeof(header));
	} else if (strcmp(what, "unknown-kind") == 0) {
		send_raw(9999, junk, 10);
	} else if (strcmp(what, "unknown-flags") == 0) {
		header[4] = MSG_HAVE_ASK;
		header[7] = 0x80;
		send_bytes(header, sizeof(header));
	} else if (strcmp(what, "truncated") == 0) {
		store_le32(header, 1000);
		header[4] = MSG_HAVE_ASK;
		send_bytes(header, sizeof(header));
		send_bytes(junk, 500);
		(void)shutdown(fd, SHUT_WR);
	} else if (strcmp(what, "garbage-message") == 0) {
		send_raw(MSG_HAVE_ASK, junk, 1000);
	} else if (strcmp(what, "hello-twice") == 0) {
		Wire__Hello hello = WIRE__HELLO__INIT;

		hello.version = MSG_VERSION;
		send_msg(&hello.base);
	} else if (strcmp(what, "put-before-begin") == 0) {
		put(CHUNK_DATA, NULL, junk, 4096, 0);
	} else if (strcmp(what, "commit-before-begin") == 0) {
		commit(TREE_GOOD);
	} else if (strcmp(what, "admin-message") == 0) {
		Wire__NewToken t = WIRE__NEW_TOKEN__INIT;

		send_msg(&t.base);
	} else if (strcmp(what, "wrong-chunk") == 0) {
		begin();
		put(CHUNK_DATA, &wrong, junk, 50000, 0);
	} else if (strcmp(what, "flipped-byte") == 0) {
		begin();
		put(CHUNK_DATA, NULL, junk, 50000, 1);
	} else if (strcmp(what, "not-a-group") == 0) {
		begin();
		send_raw(MSG_PUT, junk, 5000);
	} else if (strcmp(what, "tree-good") == 0) {
		begin();
		commit(TREE_GOOD);
	} else if (strcmp(what, "tree-missing-leaf") == 0) {
		begin();
		commit(TREE_NO_LEAF);
	} else if (strcmp(what, "tree-missing-data") == 0) {
		begin();
		commit(TREE_NO_DATA);
	} else if (strcmp(what, "tree-wrong-length") == 0) {
		begin();
		commit(TREE_DATA_LEN);
	} else if (strcmp(what, "tree-wrong-sums") == 0) {
		begin();
		commit(TREE_SUMS);
	} else if (strcmp(what, "deaf") == 0) {
		/* Ask without ever reading the answers, then vanish. */
		begin();
		for (int i = 0; i < 2000; i++)
			ask(CHUNK_DATA, &wrong);
		printf("deaf\n");
		exit(0);
	} else {
		fprintf(stderr, "hostile: no case '%s'\n", what);
		return 2;
	}
	return report();
}

int
main(int argc, char **argv)
{
	struct state_identity id;
	struct tls_config *config;
	struct err err = ERR_INIT;
	struct state *st;

	if (argc != 5) {
		fprintf(stderr, "usage: hostile SERVER STATE-DIR MACHINE-ID CASE\n");
		return 2;
	}
	(void)alarm(60);
	if (state_open(argv[2], &st, &err) != 0 || state_identity(st, &id, &err) != 1 ||
	    tls_config_client(&id.me, &id.ca, NULL, &config, &err) != 0)
		die(&err);
	dial(argv[1], strcmp(argv[4], "deaf") == 0);
	tls = tls_new(config);
	decoder = frame_decoder_new(FRAME_PAYLOAD_MAX);
	while (!tls_open(tls))
		if (!more())
			break;
	if (!tls_open(tls)) {
		fprintf(stderr, "hostile: no handshake\n");
		return 3;
	}
	(void)flush();
	request = 1;
	greet(argv[3]);
	return run(argv[4]);
}
