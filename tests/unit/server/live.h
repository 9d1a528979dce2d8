/*
 * live.h - a real server in this process, on a free port with a store of its
 * own, and peers of every role that speak real TLS to it.
 *
 *	live_start -> live_peer / live_dial ... -> live_stop
 */
#ifndef TESTS_UNIT_SERVER_LIVE_H
#define TESTS_UNIT_SERVER_LIVE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "proto/chunk/tree.h"
#include "proto/net/channel.h"
#include "proto/net/conn.h"
#include "proto/tls/cert.h"
#include "proto/tls/tls.h"
#include "proto/tls/token.h"
#include "proto/wire/frame.h"
#include "proto/wire/msg.h"
#include "server/authority.h"
#include "server/config.h"
#include "server/server.h"
#include "storage/store.h"
#include "storage/store_restores.h"

#define LIVE_MS 20000u
#define LIVE_CHUNK 65536u

/* Fail the test with the error's own words. */
#define live_ok(call)                                        \
	do {                                                 \
		if ((call) != 0)                             \
			fail_msg("%s: %s", #call, err.text); \
	} while (0)

struct live {
	char dir[64];
	struct config config;
	struct server *server;
	struct authority *authority;
};

struct live_peer {
	struct cert_key *key;
	struct cert_identity id;
	struct tls_config *tls;
	uint8_t machine[32];
	char name[CERT_NAME_MAX];
};

struct live_session {
	struct channel *ch;
	Wire__Welcome *welcome;
	struct chunk_keys keys;
};

static inline void
live_run(struct live *l)
{
	struct err err = ERR_INIT;

	live_ok(server_start(&l->config, &l->server, &err));
	live_ok(authority_open(server_store(l->server), &l->authority, &err));
}

static inline void
live_start(struct live *l)
{
	struct err err = ERR_INIT;
	struct store *s;

	memset(l, 0, sizeof(*l));
	(void)snprintf(l->dir, sizeof(l->dir), "%s/holdfast-live.XXXXXX",
	    getenv("TMPDIR") != NULL && strlen(getenv("TMPDIR")) < 30 ? getenv("TMPDIR")
								      : "/tmp");
	assert_non_null(mkdtemp(l->dir));
	config_defaults(&l->config);
	(void)snprintf(l->config.store, sizeof(l->config.store), "%s", l->dir);
	(void)snprintf(l->config.listen, sizeof(l->config.listen), "127.0.0.1:0");
	l->config.threads = 2;
	l->config.drain_s = 5;
	live_ok(store_init(l->dir, &err));
	live_ok(store_open(l->dir, &s, &err));
	live_ok(authority_create(s, "test", &err));
	store_close(s);
	live_run(l);
}

static inline void
live_halt(struct live *l)
{
	authority_free(l->authority);
	server_stop(l->server);
	l->authority = NULL;
	l->server = NULL;
}

static inline void
live_stop(struct live *l)
{
	char command[128];

	live_halt(l);
	(void)snprintf(command, sizeof(command), "rm -rf '%s'", l->dir);
	assert_int_equal(system(command), 0);
}

static inline void
live_peer_tls(struct live *l, struct live_peer *p)
{
	struct err err = ERR_INIT;

	tls_config_free(p->tls);
	live_ok(tls_config_client(p->id.cert.len > 0 ? &p->id : NULL,
	    authority_ca(l->authority), NULL, &p->tls, &err));
}

/* Let `p`, which has a certificate with these facts, restore the host of its name. */
static inline void
live_rescue(struct live *l, const struct live_peer *p, const struct cert_facts *facts)
{
	struct store *s = server_store(l->server);
	struct store_restore r = { .ends_us = store_now(s) + 3600000000 };
	struct store_redeem by = { .cert_ends_us = facts->not_after * 1000000 };
	struct err err = ERR_INIT;
	int resumed;

	(void)snprintf(r.host, sizeof(r.host), "%s", p->name);
	(void)snprintf(r.who, sizeof(r.who), "test");
	memcpy(r.token, facts->serial, sizeof(facts->serial));
	live_ok(store_restore_allow(s, &r, &err));
	memcpy(by.machine, p->machine, sizeof(by.machine));
	memcpy(by.key_hash, facts->key_hash, sizeof(by.key_hash));
	memcpy(by.serial, facts->serial, sizeof(by.serial));
	live_ok(store_restore_redeem(s, r.id, &by, &r, &resumed, &err));
}

/*
 * A peer of this role with a certificate that the store knows; a rescue's host must
 * have a point.
 */
static inline void
live_peer(struct live *l, enum cert_role role, const char *name, struct live_peer *p)
{
	struct cert *csr = calloc(1, sizeof(*csr));
	struct store_peer record = { .role = (int)role };
	struct cert_facts facts;
	struct err err = ERR_INIT;

	memset(p, 0, sizeof(*p));
	(void)snprintf(p->name, sizeof(p->name), "%s", name);
	live_ok(cert_key_new(&p->key, &err));
	p->id.key = p->key;
	if (role != CERT_NOBODY) {
		memset(p->machine, name[0], sizeof(p->machine));
		live_ok(cert_request(p->key, name, csr, &err));
		live_ok(authority_sign(
		    l->authority, csr, name, role, 3600, &p->id.cert, &facts, &err));
		(void)snprintf(record.name, sizeof(record.name), "%s", name);
		memcpy(record.serial, facts.serial, sizeof(record.serial));
		memcpy(record.key_hash, facts.key_hash, sizeof(record.key_hash));
		if (role == CERT_AGENT)
			memcpy(record.machine, p->machine, sizeof(record.machine));
		record.enrolled_us = store_now(server_store(l->server));
		record.cert_ends_us = facts.not_after * 1000000;
		if (role == CERT_RESCUE)
			live_rescue(l, p, &facts);
		else
			live_ok(store_peer_put(server_store(l->server), &record, &err));
	}
	live_peer_tls(l, p);
	free(csr);
}

static inline void
live_peer_free(struct live_peer *p)
{
	tls_config_free(p->tls);
	cert_key_free(p->key);
	memset(p, 0, sizeof(*p));
}

static inline void
live_open(struct live *l, const struct live_peer *p, const uint8_t *ticket,
    size_t ticket_len, struct channel **out)
{
	struct err err = ERR_INIT;

	live_ok(channel_open(server_address(l->server), p->tls, ticket, ticket_len, NULL,
	    LIVE_MS, out, &err));
}

/* Say Hello; 0, or -1 and the server's refusal in `err`. */
static inline int
live_hello(struct channel *ch, const struct live_peer *p, struct live_session *s,
    struct err *err)
{
	Wire__Hello m = WIRE__HELLO__INIT;
	ProtobufCMessage *reply;

	memset(s, 0, sizeof(*s));
	s->ch = ch;
	m.version = MSG_VERSION;
	m.program = (char *)"live test";
	m.machine.data = (uint8_t *)(uintptr_t)p->machine;
	m.machine.len = sizeof(p->machine);
	if (channel_call(ch, &m.base, MSG_WELCOME, &reply, err) != 0)
		return -1;
	s->welcome = (Wire__Welcome *)reply;
	if (s->welcome->domain_key.len == CHUNK_KEY_LEN)
		chunk_keys_init(&s->keys, s->welcome->domain_key.data);
	return 0;
}

static inline void
live_dial(struct live *l, const struct live_peer *p, struct live_session *s)
{
	struct err err = ERR_INIT;
	struct channel *ch;

	live_open(l, p, NULL, 0, &ch);
	live_ok(live_hello(ch, p, s, &err));
}

static inline void
live_hangup(struct live_session *s)
{
	channel_close(s->ch);
	if (s->welcome != NULL)
		msg_free(&s->welcome->base);
	memset(s, 0, sizeof(*s));
}

/* Send raw bytes as `kind` and expect Failed with `code` and `words` in it. */
static inline void
live_refused_raw(struct channel *ch, uint16_t kind, const void *p, size_t len,
    enum err_code code, const char *words)
{
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	uint64_t request;

	live_ok(channel_send_raw(ch, kind, p, len, &request, &err));
	if (channel_wait(ch, request, LIVE_MS, &f, &err) == 0)
		fail_msg("%s was answered by %s", msg_name(kind), msg_name(f.kind));
	if (err.code != code || strstr(err.text, words) == NULL)
		fail_msg("%s: %s '%s', expected %s '%s'", msg_name(kind),
		    err_name(err.code), err.text, err_name(code), words);
}

static inline void
live_refused(
    struct channel *ch, const ProtobufCMessage *m, enum err_code code, const char *words)
{
	struct buf b = BUF_INIT(MSG_LEN_MAX);
	struct err err = ERR_INIT;

	live_ok(msg_pack(m, &b, &err));
	live_refused_raw(ch, msg_kind_of(m), b.p, b.len, code, words);
	buf_free(&b);
}

/* The session has ended from the server's side. */
static inline void
live_over(struct channel *ch)
{
	Wire__GetStats m = WIRE__GET_STATS__INIT;
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	uint64_t request;

	for (int i = 0; i < 200; i++) {
		err_clear(&err);
		if (channel_send(ch, &m.base, &request, &err) != 0)
			return;
		err_clear(&err);
		if (channel_wait(ch, request, LIVE_MS, &f, &err) != 0 &&
		    err.code != ERR_DENIED)
			return;
		free(f.payload);
		f.payload = NULL;
	}
	fail_msg("the session goes on");
}

/* --------------------------------------------------------------- making images -- */

/* Content that zstd cannot fold away, from a seed. */
static inline void
live_noise(uint8_t *p, size_t n, uint64_t seed)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15u + 1;

	for (size_t i = 0; i < n; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p[i] = (uint8_t)(x >> 32);
	}
}

/* Put one group and wait for Stored; -1 and why in `err`. */
static inline int
live_put(struct live_session *s, struct group_builder *b, struct err *err)
{
	struct codec *codec = codec_new();
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct channel_frame f = { 0 };
	uint64_t request;
	int rc = -1;

	if (group_builder_finish(b, codec, 3, &out, err) == 0 &&
	    channel_send_raw(s->ch, MSG_PUT, out.p, out.len, &request, err) == 0 &&
	    channel_wait(s->ch, request, LIVE_MS, &f, err) == 0) {
		assert_int_equal(f.kind, MSG_STORED);
		rc = 0;
	}
	free(f.payload);
	buf_free(&out);
	codec_free(codec);
	return rc;
}

/* Ask for `n` chunks; the answers. */
static inline int
live_have(struct live_session *s, enum chunk_kind kind, const struct chunk_id *ids,
    size_t n, uint8_t *answers, struct err *err)
{
	Wire__Have m = WIRE__HAVE__INIT;
	ProtobufCMessage *reply;
	uint8_t *flat = malloc(n * CHUNK_ID_LEN);

	for (size_t i = 0; i < n; i++)
		memcpy(flat + i * CHUNK_ID_LEN, ids[i].b, CHUNK_ID_LEN);
	m.kind = kind;
	m.ids.data = flat;
	m.ids.len = n * CHUNK_ID_LEN;
	if (channel_call(s->ch, &m.base, MSG_HAVE_REPLY, &reply, err) != 0) {
		free(flat);
		return -1;
	}
	assert_int_equal(((Wire__HaveReply *)reply)->answers.len, n);
	memcpy(answers, ((Wire__HaveReply *)reply)->answers.data, n);
	msg_free(reply);
	free(flat);
	return 0;
}

static inline int
live_begin(struct live_session *s, const char *volume, uint64_t size, struct err *err)
{
	Wire__BeginVolume v = WIRE__BEGIN_VOLUME__INIT, *list[1] = { &v };
	Wire__Begin m = WIRE__BEGIN__INIT;
	ProtobufCMessage *reply;

	v.name = (char *)(uintptr_t)volume;
	v.size = size;
	v.sector_size = 512;
	m.n_volumes = 1;
	m.volumes = list;
	if (channel_call(s->ch, &m.base, MSG_BEGUN, &reply, err) != 0)
		return -1;
	msg_free(reply);
	return 0;
}

struct live_nodes {
	struct live_session *s;
	struct group_builder *b;
};

static inline int
live_emit(
    void *arg, const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	struct live_nodes *n = arg;
	uint8_t answer;

	/* Whoever claimed it may be waiting for us: sending it twice does no harm. */
	if (live_have(n->s, CHUNK_META, id, 1, &answer, err) != 0)
		return -1;
	if (answer == MSG_HAVE)
		return 0;
	if (group_builder_add(n->b, id, p, len, err) != 0)
		return -1;
	return live_put(n->s, n->b, err);
}

static inline int
live_zero(const uint8_t *p, size_t n)
{
	return p[0] == 0 && memcmp(p, p + 1, n - 1) == 0;
}

/*
 * Chunks that another session had claimed: ask until they are there, or until
 * that session is gone and they are ours to send.
 */
static inline int
live_pending(struct live_session *s, const uint8_t *image, size_t size,
    const size_t *pending, size_t n, struct group_builder *data, struct err *err)
{
	const struct timespec wait = { .tv_nsec = 5000000 };

	for (size_t i = 0; i < n; i++) {
		size_t len =
		    size - pending[i] < LIVE_CHUNK ? size - pending[i] : LIVE_CHUNK;
		uint8_t answer = MSG_PENDING;
		struct chunk_id id;

		chunk_id_of(&s->keys, CHUNK_DATA, image + pending[i], len, &id);
		for (int tries = 0; answer == MSG_PENDING && tries < 60000; tries++) {
			if (live_have(s, CHUNK_DATA, &id, 1, &answer, err) != 0)
				return -1;
			if (answer == MSG_PENDING)
				(void)nanosleep(&wait, NULL);
		}
		if (answer == MSG_PENDING)
			return err_set(err, ERR_TIMEOUT, "a chunk stays pending");
		if (answer == MSG_NEED &&
		    (group_builder_add(data, &id, image + pending[i], len, err) != 0 ||
			live_put(s, data, err) != 0))
			return -1;
	}
	return 0;
}

/* Send all chunks of an image and its tree; the root's id.  For a begun session. */
static inline int
live_send_image(struct live_session *s, const uint8_t *image, size_t size,
    struct chunk_id *root, struct err *err)
{
	struct tree_root facts = { .size = size,
		.sector_size = 512,
		.fs = "raw",
		.provider = "offline",
		.grade = TREE_EXCLUSIVE };
	struct live_nodes nodes = { s, group_builder_new(CHUNK_META) };
	struct group_builder *data = group_builder_new(CHUNK_DATA);
	struct tree_builder *tree = tree_builder_new(&s->keys, &facts, live_emit, &nodes);
	size_t *pending = calloc(size / LIVE_CHUNK + 1, sizeof(*pending)), waits = 0;
	int rc = 0;

	for (size_t at = 0; at < size && rc == 0; at += LIVE_CHUNK) {
		uint32_t n = (uint32_t)(size - at < LIVE_CHUNK ? size - at : LIVE_CHUNK);
		struct extent e = {
			.kind = EXTENT_DATA, .len = n, .offset = at, .chunk_len = n
		};
		uint8_t answer = MSG_HAVE;

		if (live_zero(image + at, n)) {
			e.kind = EXTENT_ZERO;
			e.chunk_len = 0;
		} else {
			chunk_id_of(&s->keys, CHUNK_DATA, image + at, n, &e.id);
			rc = live_have(s, CHUNK_DATA, &e.id, 1, &answer, err);
		}
		if (rc == 0 && answer == MSG_PENDING)
			pending[waits++] = at;
		if (rc == 0 && answer == MSG_NEED)
			rc = group_builder_add(data, &e.id, image + at, n, err);
		if (rc == 0 && group_builder_count(data) > 0 &&
		    (group_builder_full(data, LIVE_CHUNK) || at + n == size))
			rc = live_put(s, data, err);
		if (rc == 0)
			rc = tree_builder_add(tree, &e, err);
	}
	if (rc == 0 && group_builder_count(data) > 0)
		rc = live_put(s, data, err);
	if (rc == 0)
		rc = live_pending(s, image, size, pending, waits, data, err);
	if (rc == 0)
		rc = tree_builder_finish(tree, root, err);
	free(pending);
	tree_builder_free(tree);
	group_builder_free(data);
	group_builder_free(nodes.b);
	return rc;
}

static inline int
live_commit(struct live_session *s, const char *volume, const struct chunk_id *root,
    struct channel_frame *f, struct err *err)
{
	Wire__CommitVolume v = WIRE__COMMIT_VOLUME__INIT, *list[1] = { &v };
	Wire__Commit m = WIRE__COMMIT__INIT;
	Wire__Counts counts = WIRE__COUNTS__INIT;
	uint64_t request;

	v.name = (char *)(uintptr_t)volume;
	v.root_id.data = (uint8_t *)(uintptr_t)root->b;
	v.root_id.len = CHUNK_ID_LEN;
	m.n_volumes = 1;
	m.volumes = list;
	m.counts = &counts;
	if (channel_send(s->ch, &m.base, &request, err) != 0)
		return -1;
	return channel_wait(s->ch, request, LIVE_MS, f, err);
}

/* A whole backup of one image. */
static inline void
live_backup(struct live_session *s, const char *volume, const uint8_t *image, size_t size)
{
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	struct chunk_id root;

	live_ok(live_begin(s, volume, size, &err));
	live_ok(live_send_image(s, image, size, &root, &err));
	live_ok(live_commit(s, volume, &root, &f, &err));
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
}

#endif /* TESTS_UNIT_SERVER_LIVE_H */
