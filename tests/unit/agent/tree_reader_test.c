/*
 * Reading a point at any place, from a real server in the same process: every byte as
 * it was, from many threads, within the memory given, through a server that goes away.
 */
#include "tests/unit/server/live.h"

#include <pthread.h>
#include <stdatomic.h>

#include "agent/session/dial.h"
#include "agent/tree/tree_reader.h"
#include "proto/tls/tls.h"
#include "storage/store_gc.h"
#include "storage/store_retention.h"

#define SPAN ((size_t)TREE_SPAN_LEN)
#define SIZE (4 * SPAN + 512 * 77)
#define WIDE ((uint64_t)1 << 40)
#define THREADS 6u

static struct live live;
static struct live_peer agent, reader;
static struct cert ca;
static char address[128];
static uint8_t *image;

static int
dial(void *arg, struct dial *out, struct err *err)
{
	struct live_session s;

	(void)arg;
	memset(out, 0, sizeof(*out));
	if (tls_config_client(&reader.id, &ca, NULL, &out->tls, err) != 0)
		return -1;
	if (channel_open(address, out->tls, NULL, 0, NULL, LIVE_MS, &out->ch, err) != 0 ||
	    live_hello(out->ch, &reader, &s, err) != 0) {
		dial_close(out);
		return -1;
	}
	out->keys = s.keys;
	msg_free(&s.welcome->base);
	return 0;
}

static struct tree_point *
open_point(const struct tree_point_config *more)
{
	struct tree_point_config config = *more;
	struct tree_point *p;
	struct err err = ERR_INIT;

	config.dial = dial;
	config.host = "h1";
	live_ok(tree_point_open(&config, &p, &err));
	return p;
}

/* A volume of 1 TiB with 64 KiB at its begin and at its end. */
static void
back_up_wide(struct live_session *s)
{
	struct tree_root facts = {
		.size = WIDE, .sector_size = 512, .fs = "raw", .provider = "offline"
	};
	struct live_nodes nodes = { s, group_builder_new(CHUNK_META) };
	struct group_builder *data = group_builder_new(CHUNK_DATA);
	struct tree_builder *tree = tree_builder_new(&s->keys, &facts, live_emit, &nodes);
	struct extent e = { .kind = EXTENT_DATA, .len = 65536, .chunk_len = 65536 };
	struct extent hole = { .kind = EXTENT_HOLE, .len = 1u << 30, .offset = 65536 };
	struct channel_frame f = { 0 };
	struct err err = ERR_INIT;
	struct chunk_id root;
	uint8_t answer = MSG_HAVE;

	live_ok(live_begin(s, "wide", WIDE, &err));
	chunk_id_of(&s->keys, CHUNK_DATA, image, 65536, &e.id);
	live_ok(live_have(s, CHUNK_DATA, &e.id, 1, &answer, &err));
	if (answer == MSG_NEED) {
		live_ok(group_builder_add(data, &e.id, image, 65536, &err));
		live_ok(live_put(s, data, &err));
	}
	live_ok(tree_builder_add(tree, &e, &err));
	for (; hole.offset < WIDE - 65536; hole.offset += hole.len) {
		if (hole.len > WIDE - 65536 - hole.offset)
			hole.len = (uint32_t)(WIDE - 65536 - hole.offset);
		live_ok(tree_builder_add(tree, &hole, &err));
	}
	e.offset = WIDE - 65536;
	live_ok(tree_builder_add(tree, &e, &err));
	live_ok(tree_builder_finish(tree, &root, &err));
	live_ok(live_commit(s, "wide", &root, &f, &err));
	assert_int_equal(f.kind, MSG_COMMITTED);
	free(f.payload);
	tree_builder_free(tree);
	group_builder_free(data);
	group_builder_free(nodes.b);
}

static int
group_up(void **state)
{
	struct live_session s;

	(void)state;
	live_start(&live);
	live_peer(&live, CERT_AGENT, "h1", &agent);
	live_peer(&live, CERT_RESTORER, "reader", &reader);
	ca = *authority_ca(live.authority);
	snprintf(address, sizeof(address), "%s", server_address(live.server));
	image = calloc(1, SIZE);
	/* Noise, with zeros in the first, all of the second span, and here and there. */
	live_noise(image, 9 * SPAN / 10, 1);
	live_noise(image + 2 * SPAN - 3000, 2 * SPAN + 3000, 2);
	live_noise(image + SIZE - 4000, 4000, 3);
	for (size_t at = 0; at < SIZE - 200000; at += 1300000)
		memset(image + at, 0, 150000);
	live_dial(&live, &agent, &s);
	live_backup(&s, "c", image, SIZE);
	back_up_wide(&s);
	live_hangup(&s);
	return 0;
}

static int
group_down(void **state)
{
	(void)state;
	free(image);
	live_peer_free(&agent);
	live_peer_free(&reader);
	live_stop(&live);
	return 0;
}

static void
server_away(void)
{
	live_halt(&live);
}

static void
server_back(void)
{
	snprintf(live.config.listen, sizeof(live.config.listen), "%s", address);
	live_run(&live);
}

/* ------------------------------------------------------------------------ reads -- */

struct readers {
	struct tree_reader *r;
	atomic_uint next, wrong;
	atomic_int stop;
	struct err err;
	unsigned reads; /* Of each thread; 0: until `stop`. */
};

static uint64_t
random_of(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* Reads of all lengths, from one byte to over a span's end. */
static void *
read_about(void *arg)
{
	struct readers *rs = arg;
	uint64_t x = 88172645463325252u + atomic_fetch_add(&rs->next, 1) * 7919;
	uint8_t *got = malloc(SPAN);

	for (unsigned i = 0; rs->reads == 0 ? !atomic_load(&rs->stop) : i < rs->reads;
	     i++) {
		size_t most = (size_t)1 << random_of(&x) % 22;
		size_t len = 1 + random_of(&x) % most, at = random_of(&x) % (SIZE - len);
		struct err err = ERR_INIT;

		if (tree_reader_read(rs->r, at, got, len, &err) != 0 ||
		    memcmp(got, image + at, len) != 0) {
			if (atomic_fetch_add(&rs->wrong, 1) == 0)
				rs->err = err;
		}
	}
	free(got);
	return NULL;
}

static void
read_by_many(struct tree_reader *r, unsigned reads, void (*meanwhile)(void))
{
	struct readers rs = { .r = r, .reads = meanwhile == NULL ? reads : 0 };
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, read_about, &rs), 0);
	if (meanwhile != NULL)
		meanwhile();
	atomic_store(&rs.stop, 1);
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (atomic_load(&rs.wrong) != 0)
		fail_msg("%u reads were wrong: %s", atomic_load(&rs.wrong), rs.err.text);
}

static void
what_is_read_anywhere_is_what_was_there(void **state)
{
	struct tree_point *p = open_point(&(struct tree_point_config){ 0 });
	struct tree_reader *r;
	struct err err = ERR_INIT;
	uint8_t byte;

	(void)state;
	assert_int_equal(tree_reader_open(p, "d", &r, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	/* The newest point has "wide" alone. */
	assert_int_equal(tree_point_sequence(p), 2);
	tree_point_close(p);
	p = open_point(&(struct tree_point_config){ .sequence = 1 });
	live_ok(tree_reader_open(p, "", &r, &err));
	assert_int_equal(tree_reader_size(r), SIZE);
	read_by_many(r, 60, NULL);
	assert_int_equal(tree_reader_read(r, SIZE, &byte, 1, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	err_clear(&err);
	assert_int_equal(tree_reader_read(r, UINT64_MAX, &byte, 1, &err), -1);
	tree_reader_close(r);
	tree_point_close(p);
}

static void
memory_keeps_to_its_limits(void **state)
{
	const struct tree_point_config config = {
		.sequence = 1, .cache_bytes = 3 * 1024 * 1024, .leaves_bytes = 100 * 1024
	};
	struct tree_point *p = open_point(&config);
	struct tree_point_counts n;
	struct tree_reader *r;
	struct err err = ERR_INIT;

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	read_by_many(r, 40, NULL);
	tree_point_counts(p, &n);
	assert_in_range(n.cache_most, 1, config.cache_bytes);
	/* A single node that is larger would be kept all the same; there is none. */
	assert_in_range(n.leaves_most, 1, config.leaves_bytes);
	tree_reader_close(r);
	tree_point_close(p);
}

static void
one_small_read_costs_one_group(void **state)
{
	struct tree_point *p = open_point(&(struct tree_point_config){ .sequence = 1 });
	struct tree_point_counts n;
	struct tree_reader *r;
	struct err err = ERR_INIT;
	uint8_t got[100];

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	live_ok(tree_reader_read(r, 3 * SPAN + 12345, got, sizeof(got), &err));
	assert_memory_equal(got, image + 3 * SPAN + 12345, sizeof(got));
	tree_point_counts(p, &n);
	assert_int_equal(n.groups, 1);
	assert_int_equal(n.sessions, 1);
	/* Again: nothing is asked for. */
	live_ok(tree_reader_read(r, 3 * SPAN + 12345, got, sizeof(got), &err));
	tree_point_counts(p, &n);
	assert_int_equal(n.groups, 1);
	tree_reader_close(r);
	tree_point_close(p);
}

static void
reading_forward_asks_ahead_and_for_nothing_twice(void **state)
{
	struct tree_point *p = open_point(&(struct tree_point_config){ .sequence = 1 });
	struct tree_point_counts n;
	struct tree_reader *r;
	struct err err = ERR_INIT;
	uint8_t *got = malloc(131072);
	uint64_t data = 0;

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	for (size_t at = 0; at < SIZE; at += 131072) {
		size_t len = SIZE - at < 131072 ? SIZE - at : 131072;

		live_ok(tree_reader_read(r, at, got, len, &err));
		assert_memory_equal(got, image + at, len);
	}
	for (size_t at = 0; at < SIZE; at += LIVE_CHUNK)
		data +=
		    live_zero(image + at, SIZE - at < LIVE_CHUNK ? SIZE - at : LIVE_CHUNK)
			? 0
			: LIVE_CHUNK;
	tree_point_counts(p, &n);
	assert_true(n.sessions > 1);
	/* Groups over a span's end may come for both. */
	assert_true(n.received_bytes < data + data / 8);
	assert_true(n.misses < n.hits);
	free(got);
	tree_reader_close(r);
	tree_point_close(p);
}

/* ---------------------------------------------------------------------- extents -- */

struct map {
	uint64_t next, data;
	unsigned n;
};

static int
on_range(void *arg, const struct tree_range *range)
{
	struct map *m = arg;

	assert_int_equal(range->offset, m->next);
	assert_true(range->len > 0);
	m->next += range->len;
	m->n++;
	if (range->kind == EXTENT_DATA)
		m->data += range->len;
	else if (range->offset + range->len <= SIZE)
		assert_true(live_zero(image + range->offset, range->len));
	return 0;
}

static void
extents_tell_of_all_zeros_and_of_no_data(void **state)
{
	struct tree_point *p = open_point(&(struct tree_point_config){ .sequence = 1 });
	struct tree_reader *r;
	struct map m = { 0, 0, 0 }, part = { 1000, 0, 0 };
	struct err err = ERR_INIT;

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	live_ok(tree_reader_extents(r, 0, SIZE, on_range, &m, &err));
	assert_int_equal(m.next, SIZE);
	assert_true(m.n > 20 && m.data < SIZE * 4 / 5);
	live_ok(tree_reader_extents(r, 1000, 3 * SPAN, on_range, &part, &err));
	assert_int_equal(part.next, 1000 + 3 * SPAN);
	assert_int_equal(tree_reader_extents(r, 1, SIZE, on_range, &part, &err), -1);
	assert_int_equal(err.code, ERR_LIMIT);
	tree_reader_close(r);
	tree_point_close(p);
}

static int
on_wide(void *arg, const struct tree_range *range)
{
	struct map *m = arg;

	assert_int_equal(range->offset, m->next);
	m->next += range->len;
	m->n++;
	m->data += range->kind == EXTENT_DATA ? range->len : 0;
	return 0;
}

static void
a_wide_hole_costs_no_leaves(void **state)
{
	struct tree_point *p = open_point(&(struct tree_point_config){ .no_ahead = 1 });
	struct tree_point_counts n;
	struct tree_reader *r;
	struct map m = { 0, 0, 0 };
	struct err err = ERR_INIT;
	uint8_t *got = malloc(65536);

	(void)state;
	live_ok(tree_reader_open(p, "wide", &r, &err));
	live_ok(tree_reader_read(r, WIDE - 65536, got, 65536, &err));
	assert_memory_equal(got, image, 65536);
	live_ok(tree_reader_read(r, WIDE / 2, got, 65536, &err));
	assert_true(live_zero(got, 65536));
	live_ok(tree_reader_extents(r, 0, WIDE, on_wide, &m, &err));
	assert_int_equal(m.next, WIDE);
	assert_int_equal(m.n, 3);
	assert_int_equal(m.data, 2 * 65536);
	tree_point_counts(p, &n);
	/* The top, the first and the last node of level 1, two leaves of a run. */
	assert_in_range(n.nodes, 3, 24);
	free(got);
	tree_reader_close(r);
	tree_point_close(p);
}

/* --------------------------------------------------------------- the server's end -- */

static void
away_and_back_twice(void)
{
	const struct timespec while_ = { 0, 200 * 1000000 };

	for (int i = 0; i < 2; i++) {
		nanosleep(&while_, NULL);
		server_away();
		nanosleep(&while_, NULL);
		server_back();
	}
	nanosleep(&while_, NULL);
}

static void
a_server_that_comes_back_costs_time_and_no_byte(void **state)
{
	struct tree_point *p = open_point(
	    &(struct tree_point_config){ .sequence = 1, .cache_bytes = 2 * 1024 * 1024 });
	struct tree_point_counts n;
	struct tree_reader *r;
	struct err err = ERR_INIT;

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	read_by_many(r, 0, away_and_back_twice);
	tree_point_counts(p, &n);
	assert_true(n.sessions >= 3);
	tree_reader_close(r);
	tree_point_close(p);
}

static void
one_that_stays_away_is_an_error_and_no_end(void **state)
{
	struct tree_point *p =
	    open_point(&(struct tree_point_config){ .sequence = 1, .retry_for_ms = 300 });
	struct tree_reader *r;
	struct err err = ERR_INIT;
	uint8_t got[512];

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	server_away();
	assert_int_equal(tree_reader_read(r, SPAN / 2, got, sizeof(got), &err), -1);
	assert_int_equal(err.code, ERR_IO);
	server_back();
	err_clear(&err);
	live_ok(tree_reader_read(r, SPAN / 2, got, sizeof(got), &err));
	assert_memory_equal(got, image + SPAN / 2, sizeof(got));
	tree_reader_close(r);
	tree_point_close(p);
}

static void *
cancel_soon(void *arg)
{
	const struct timespec while_ = { 0, 100 * 1000000 };

	nanosleep(&while_, NULL);
	tree_point_cancel(arg);
	return NULL;
}

static void
who_waits_can_be_called_off(void **state)
{
	struct tree_point *p = open_point(&(struct tree_point_config){ .sequence = 1 });
	struct tree_reader *r;
	struct err err = ERR_INIT;
	pthread_t other;
	uint8_t got[512];

	(void)state;
	live_ok(tree_reader_open(p, "c", &r, &err));
	server_away();
	assert_int_equal(pthread_create(&other, NULL, cancel_soon, p), 0);
	assert_int_equal(tree_reader_read(r, 0, got, sizeof(got), &err), -1);
	assert_int_equal(err.code, ERR_CANCELED);
	pthread_join(other, NULL);
	server_back();
	tree_reader_close(r);
	tree_point_close(p);
}

/* A reader holds its point: what is forgotten and collected meanwhile stays there. */
static void
a_point_that_is_forgotten_stays_readable(void **state)
{
	struct live_session s;
	struct tree_point *p;
	struct tree_reader *r;
	struct store *store;
	struct store_gc_config config = { .max_dead = 0.01 };
	struct store_gc_report report;
	struct err err = ERR_INIT;
	uint8_t *other = malloc(SPAN), *got = malloc(SPAN);

	(void)state;
	live_noise(other, SPAN, 99);
	live_dial(&live, &agent, &s);
	live_backup(&s, "other", other, SPAN);
	live_hangup(&s);
	/* So that its pack is sealed. */
	server_away();
	server_back();
	store = server_store(live.server);
	p = open_point(&(struct tree_point_config){ .no_ahead = 1 });
	live_ok(tree_reader_open(p, "other", &r, &err));
	live_ok(store_forget(
	    store, "root", tree_point_host(p), tree_point_sequence(p), "test", &err));
	live_ok(store_gc(store, &config, NULL, NULL, &report, &err));
	assert_int_equal(report.packs_removed, 0);
	live_ok(tree_reader_read(r, 0, got, SPAN, &err));
	assert_memory_equal(got, other, SPAN);
	tree_reader_close(r);
	tree_point_close(p);
	/* Nobody reads any more: it goes, once the server has seen that. */
	for (unsigned i = 0; i < LIVE_MS / 10; i++) {
		live_ok(store_gc(store, &config, NULL, NULL, &report, &err));
		if (report.packs_removed > 0)
			break;
		nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	}
	assert_true(report.packs_removed > 0);
	free(other);
	free(got);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_anywhere_is_what_was_there),
		cmocka_unit_test(memory_keeps_to_its_limits),
		cmocka_unit_test(one_small_read_costs_one_group),
		cmocka_unit_test(reading_forward_asks_ahead_and_for_nothing_twice),
		cmocka_unit_test(extents_tell_of_all_zeros_and_of_no_data),
		cmocka_unit_test(a_wide_hole_costs_no_leaves),
		cmocka_unit_test(a_server_that_comes_back_costs_time_and_no_byte),
		cmocka_unit_test(one_that_stays_away_is_an_error_and_no_end),
		cmocka_unit_test(who_waits_can_be_called_off),
		cmocka_unit_test(a_point_that_is_forgotten_stays_readable),
	};

	return cmocka_run_group_tests(tests, group_up, group_down);
}
