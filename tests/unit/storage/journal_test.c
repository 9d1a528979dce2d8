/* The journal: what was acknowledged is there, in order, or damage is named. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/fs_fault.h"
#include "storage/journal.h"

static const uint8_t store_id[JOURNAL_STORE_LEN] = "a store's  name";
static const uint8_t key[32] = "the journal's key, of 32 bytes.";

#define ok(call)                                             \
	do {                                                 \
		if ((call) != 0)                             \
			fail_msg("%s: %s", #call, err.text); \
	} while (0)

static void
audit(struct journal_event *e, unsigned n)
{
	memset(e, 0, sizeof(*e));
	e->type = JOURNAL_AUDIT;
	(void)snprintf(e->u.note.who, sizeof(e->u.note.who), "operator-%u", n % 7);
	(void)snprintf(e->u.note.what, sizeof(e->u.note.what), "did thing number %u", n);
}

static int
append(struct journal *j, unsigned n, struct err *err)
{
	struct journal_event *e = malloc(sizeof(*e));
	int ret;

	assert_non_null(e);
	audit(e, n);
	ret = journal_append(j, e, NULL, err);
	free(e);
	return ret;
}

/* Counts records and checks that they are audit entries 0, 1, 2 ... */
static int
count_record(void *arg, const struct journal_record *r)
{
	struct journal_event *e = malloc(sizeof(*e)), *want = malloc(sizeof(*want));
	struct err err = ERR_INIT;
	unsigned *n = arg;

	assert_non_null(e);
	assert_non_null(want);
	assert_int_equal(journal_decode(r->type, r->payload, r->len, e, &err), 0);
	audit(want, *n);
	assert_string_equal(e->u.note.who, want->u.note.who);
	assert_string_equal(e->u.note.what, want->u.note.what);
	assert_int_equal(r->end.sequence, *n + 1);
	(*n)++;
	free(e);
	free(want);
	return 0;
}

static unsigned
count(struct journal *j)
{
	struct err err = ERR_INIT;
	struct journal_place start;
	unsigned n = 0;

	journal_start(j, &start);
	ok(journal_each(j, &start, count_record, &n, &err));
	return n;
}

static struct fs_fault *
made(unsigned records)
{
	struct fs_fault *ff = fs_fault_new(1);
	struct err err = ERR_INIT;
	struct journal *j;

	assert_non_null(ff);
	ok(journal_create(fs_fault_fs(ff), store_id, key, &err));
	ok(journal_open(fs_fault_fs(ff), store_id, key, NULL, &j, NULL, &err));
	for (unsigned i = 0; i < records; i++)
		ok(append(j, i, &err));
	assert_int_equal(count(j), records);
	journal_close(j);
	return ff;
}

static int
open_it(struct fs_fault *ff, struct journal **j, uint64_t *cut, struct err *err)
{
	*j = NULL;
	return journal_open(fs_fault_fs(ff), store_id, key, NULL, j, cut, err);
}

static void
test_records_come_back_in_order(void **state)
{
	struct fs_fault *ff = made(300);
	struct err err = ERR_INIT;
	struct journal *j;
	uint64_t cut;

	(void)state;
	ok(open_it(ff, &j, &cut, &err));
	assert_int_equal(cut, 0);
	assert_int_equal(count(j), 300);
	ok(append(j, 300, &err));
	assert_int_equal(count(j), 301);
	journal_close(j);
	fs_fault_free(ff);
}

static void
test_reading_goes_on_from_any_place(void **state)
{
	struct fs_fault *ff = made(3);
	struct journal_place middle, end, wrong;
	struct err err = ERR_INIT;
	struct journal *j;
	unsigned n = 3;

	(void)state;
	ok(open_it(ff, &j, NULL, &err));
	journal_end(j, &middle);
	ok(append(j, 3, &err));
	ok(append(j, 4, &err));
	ok(journal_each(j, &middle, count_record, &n, &err));
	assert_int_equal(n, 5);
	journal_end(j, &end);
	ok(journal_each(j, &end, count_record, &n, &err));
	assert_int_equal(n, 5);

	wrong = middle;
	wrong.hash[3] ^= 1;
	assert_int_equal(journal_each(j, &wrong, count_record, &n, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	err_clear(&err);
	wrong = end;
	wrong.offset += 100;
	assert_int_equal(journal_each(j, &wrong, count_record, &n, &err), -1);
	assert_int_equal(err.code, ERR_NOTFOUND);
	journal_close(j);
	fs_fault_free(ff);
}

/* Make a file exactly these bytes. */
static void
set_file(struct fs_fault *ff, const char *name, const uint8_t *p, size_t len)
{
	struct err err = ERR_INIT;
	struct fs_file *f;

	ok(fs_open(fs_fault_fs(ff), name, FS_WRITE | FS_CREATE, &f, &err));
	ok(fs_truncate(f, 0, &err));
	if (len > 0)
		ok(fs_pwrite(f, p, len, 0, &err));
	ok(fs_sync(f, &err));
	fs_close(f);
}

static uint8_t *
copy_file(struct fs_fault *ff, const char *name, size_t *len)
{
	const uint8_t *p = fs_fault_bytes(ff, name, len);
	uint8_t *copy = malloc(*len + 1);

	assert_non_null(p);
	assert_non_null(copy);
	memcpy(copy, p, *len);
	return copy;
}

/*
 * A journal as a crash leaves it: the head as it was before the last record,
 * which is cut anywhere or has a byte changed.
 */
static void
test_torn_at_any_byte_of_the_last_record_it_opens_without_it(void **state)
{
	struct fs_fault *ff = made(5);
	size_t before, len, head_len;
	struct err err = ERR_INIT;
	uint8_t *whole, *head;
	struct journal *j;
	uint64_t cut;

	(void)state;
	(void)fs_fault_bytes(ff, JOURNAL_NAME, &before);
	head = copy_file(ff, JOURNAL_HEAD_NAME, &head_len);
	ok(open_it(ff, &j, NULL, &err));
	ok(append(j, 5, &err));
	journal_close(j);
	whole = copy_file(ff, JOURNAL_NAME, &len);

	for (size_t n = before; n < len; n++) {
		for (int flip = 0; flip < 2; flip++) {
			whole[n] ^= (uint8_t)flip;
			set_file(ff, JOURNAL_NAME, whole, flip ? len : n);
			set_file(ff, JOURNAL_HEAD_NAME, head, head_len);
			whole[n] ^= (uint8_t)flip;
			ok(open_it(ff, &j, &cut, &err));
			assert_int_equal(cut, (flip ? len : n) - before);
			assert_int_equal(count(j), 5);
			ok(append(j, 5, &err));
			assert_int_equal(count(j), 6);
			journal_close(j);
		}
	}
	free(whole);
	free(head);
	fs_fault_free(ff);
}

static void
test_a_changed_byte_anywhere_is_damage_when_it_was_acknowledged(void **state)
{
	struct fs_fault *ff = made(4);
	struct err err = ERR_INIT;
	size_t len, head_len;
	uint8_t *whole, *head;
	struct journal *j;

	(void)state;
	whole = copy_file(ff, JOURNAL_NAME, &len);
	head = copy_file(ff, JOURNAL_HEAD_NAME, &head_len);
	for (size_t n = 0; n < len; n++) {
		whole[n] ^= 0x10;
		set_file(ff, JOURNAL_NAME, whole, len);
		set_file(ff, JOURNAL_HEAD_NAME, head, head_len);
		whole[n] ^= 0x10;
		assert_int_equal(open_it(ff, &j, NULL, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		if (n >= JOURNAL_FILE_HEADER_LEN)
			assert_non_null(strstr(err.text, "damaged at"));
		err_clear(&err);
	}
	/* Cut anywhere, too. */
	for (size_t n = 0; n < len; n++) {
		set_file(ff, JOURNAL_NAME, whole, n);
		set_file(ff, JOURNAL_HEAD_NAME, head, head_len);
		assert_int_equal(open_it(ff, &j, NULL, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		err_clear(&err);
	}
	free(whole);
	free(head);
	fs_fault_free(ff);
}

static void
test_without_its_head_damage_before_the_end_is_still_found(void **state)
{
	struct fs_fault *ff = made(6);
	struct err err = ERR_INIT;
	struct journal *j;
	uint8_t *whole;
	size_t len, one;

	(void)state;
	whole = copy_file(ff, JOURNAL_NAME, &len);
	one = (len - JOURNAL_FILE_HEADER_LEN) / 6;
	/* The last record proves those two before it were durable. */
	for (size_t n = JOURNAL_FILE_HEADER_LEN; n < JOURNAL_FILE_HEADER_LEN + 4 * one;
	     n += 3) {
		whole[n] ^= 0x40;
		set_file(ff, JOURNAL_NAME, whole, len);
		set_file(ff, JOURNAL_HEAD_NAME, whole, 0);
		whole[n] ^= 0x40;
		assert_int_equal(open_it(ff, &j, NULL, &err), -1);
		assert_int_equal(err.code, ERR_CORRUPT);
		if (n >= JOURNAL_FILE_HEADER_LEN + one)
			assert_non_null(strstr(err.text, "good records follow"));
		err_clear(&err);
	}
	free(whole);
	fs_fault_free(ff);
}

static void
test_a_flipped_head_is_only_advice(void **state)
{
	struct fs_fault *ff = made(2);
	struct err err = ERR_INIT;
	struct journal *j;
	uint8_t *head;
	size_t len;

	(void)state;
	head = copy_file(ff, JOURNAL_HEAD_NAME, &len);
	for (size_t n = 0; n < len; n++) {
		head[n] ^= 1;
		set_file(ff, JOURNAL_HEAD_NAME, head, len);
		head[n] ^= 1;
		ok(open_it(ff, &j, NULL, &err));
		assert_int_equal(count(j), 2);
		journal_close(j);
	}
	free(head);
	fs_fault_free(ff);
}

static void
test_an_older_journal_put_in_place_is_noticed(void **state)
{
	struct fs_fault *ff = made(3);
	struct err err = ERR_INIT;
	struct journal *j;
	uint8_t *older;
	size_t len;

	(void)state;
	older = copy_file(ff, JOURNAL_NAME, &len);
	ok(open_it(ff, &j, NULL, &err));
	ok(append(j, 3, &err));
	journal_close(j);
	set_file(ff, JOURNAL_NAME, older, len);
	assert_int_equal(open_it(ff, &j, NULL, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	free(older);
	fs_fault_free(ff);
}

static void
test_another_stores_or_keys_journal_is_refused(void **state)
{
	static const uint8_t other[32] = "another key";
	struct fs_fault *ff = made(3);
	struct err err = ERR_INIT;
	struct journal *j = NULL;

	(void)state;
	assert_int_equal(
	    journal_open(fs_fault_fs(ff), store_id, other, NULL, &j, NULL, &err), -1);
	assert_null(j);
	fs_fault_free(ff);
}

static void
test_a_full_disk_fails_the_append_and_nothing_else(void **state)
{
	struct fs_fault *ff = made(2);
	struct err err = ERR_INIT;
	struct journal *j;

	(void)state;
	for (int kind = FS_FAULT_ENOSPC; kind <= FS_FAULT_SHORT; kind++) {
		unsigned n;

		ok(open_it(ff, &j, NULL, &err));
		n = count(j);
		fs_fault_arm(ff, 1, (enum fs_fault_kind)kind);
		assert_int_equal(append(j, n, &err), -1);
		assert_int_equal(err.code, ERR_NOSPACE);
		err_clear(&err);
		assert_int_equal(count(j), n);
		ok(append(j, n, &err));
		journal_close(j);
		ok(open_it(ff, &j, NULL, &err));
		assert_int_equal(count(j), n + 1);
		journal_close(j);
	}
	fs_fault_free(ff);
}

static void
test_after_a_failed_sync_it_takes_nothing_more(void **state)
{
	struct fs_fault *ff = made(2);
	struct err err = ERR_INIT;
	struct journal *j;

	(void)state;
	ok(open_it(ff, &j, NULL, &err));
	fs_fault_arm(ff, 2, FS_FAULT_EIO);
	assert_int_equal(append(j, 2, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	err_clear(&err);
	assert_int_equal(append(j, 2, &err), -1);
	assert_int_equal(err.code, ERR_IO);
	err_clear(&err);
	journal_close(j);
	fs_fault_restart(ff, 1);
	ok(open_it(ff, &j, NULL, &err));
	assert_in_range(count(j), 2, 3);
	journal_close(j);
	fs_fault_free(ff);
}

/* A power cut at any call, with any outcome for what was not synced. */
static void
test_a_power_cut_at_any_call_loses_nothing_acknowledged(void **state)
{
	unsigned cuts = 0;

	(void)state;
	for (uint64_t seed = 1; seed <= 12; seed++) {
		for (uint64_t nth = 1; nth < 60; nth++) {
			struct fs_fault *ff = fs_fault_new(seed * 1000 + nth);
			struct err err = ERR_INIT;
			unsigned acknowledged = 0;
			struct journal *j;

			ok(journal_create(fs_fault_fs(ff), store_id, key, &err));
			ok(open_it(ff, &j, NULL, &err));
			ok(append(j, acknowledged++, &err));
			fs_fault_arm(ff, nth, FS_FAULT_DIE);
			while (acknowledged < 15 && append(j, acknowledged, &err) == 0)
				acknowledged++;
			cuts += fs_fault_fired(ff) ? 1 : 0;
			journal_close(j);
			fs_fault_restart(ff, 1);
			err_clear(&err);
			ok(open_it(ff, &j, NULL, &err));
			assert_in_range(count(j), acknowledged, acknowledged + 1);
			journal_close(j);
			fs_fault_free(ff);
		}
	}
	assert_true(cuts > 400);
}

static int64_t fake_clock = 1000000;

static int64_t
read_fake_clock(void)
{
	return fake_clock;
}

static void
test_time_never_goes_back(void **state)
{
	struct fs_fault *ff = made(0);
	struct journal_place a, b;
	struct err err = ERR_INIT;
	struct journal_event *e = malloc(sizeof(*e));
	struct journal *j;
	int64_t now;

	(void)state;
	assert_non_null(e);
	audit(e, 0);
	ok(journal_open(fs_fault_fs(ff), store_id, key, read_fake_clock, &j, NULL, &err));
	fake_clock = 50000000;
	ok(journal_append(j, e, &a, &err));
	assert_int_equal(a.time_us, 50000000);
	fake_clock = 1000;
	assert_true(journal_now(j) > a.time_us);
	ok(journal_append(j, e, &b, &err));
	assert_true(b.time_us > a.time_us);
	journal_close(j);
	ok(journal_open(fs_fault_fs(ff), store_id, key, read_fake_clock, &j, NULL, &err));
	now = journal_now(j);
	assert_true(now > b.time_us);
	fake_clock = 90000000;
	assert_int_equal(journal_now(j), 90000000);
	fake_clock = 60000000;
	assert_int_equal(journal_now(j), 90000000);
	journal_close(j);
	free(e);
	fs_fault_free(ff);
}

/* ---------------------------------------------------------------- threads -- */

struct appender {
	pthread_t thread;
	struct journal *j;
	unsigned done;
};

static void *
append_many(void *arg)
{
	struct appender *a = arg;
	struct journal_event *e = malloc(sizeof(*e));
	struct err err = ERR_INIT;

	audit(e, 1);
	while (a->done < 100 && journal_append(a->j, e, NULL, &err) == 0)
		a->done++;
	free(e);
	return NULL;
}

static int
count_any(void *arg, const struct journal_record *r)
{
	(void)r;
	++*(unsigned *)arg;
	return 0;
}

static void
test_many_threads_share_syncs_and_all_is_there(void **state)
{
	struct fs_fault *ff = made(0);
	struct appender a[8];
	struct journal_place start;
	struct err err = ERR_INIT;
	struct journal *j;
	unsigned n = 0;

	(void)state;
	ok(open_it(ff, &j, NULL, &err));
	for (int i = 0; i < 8; i++) {
		a[i].j = j;
		a[i].done = 0;
		assert_int_equal(
		    pthread_create(&a[i].thread, NULL, append_many, &a[i]), 0);
	}
	for (int i = 0; i < 8; i++) {
		pthread_join(a[i].thread, NULL);
		assert_int_equal(a[i].done, 100);
	}
	journal_close(j);
	ok(open_it(ff, &j, NULL, &err));
	journal_start(j, &start);
	ok(journal_each(j, &start, count_any, &n, &err));
	assert_int_equal(n, 800);
	journal_close(j);
	fs_fault_free(ff);
}

/* --------------------------------------------------------------- payloads -- */

static void
round_trip(const struct journal_event *e)
{
	struct buf a = BUF_INIT(JOURNAL_PAYLOAD_MAX), b = BUF_INIT(JOURNAL_PAYLOAD_MAX);
	struct journal_event *back = malloc(sizeof(*back));
	struct err err = ERR_INIT;

	assert_non_null(back);
	ok(journal_encode(e, &a, &err));
	ok(journal_decode((uint16_t)e->type, a.p, a.len, back, &err));
	ok(journal_encode(back, &b, &err));
	assert_int_equal(a.len, b.len);
	assert_memory_equal(a.p, b.p, a.len);
	/* One byte less or more is not that record. */
	assert_int_equal(
	    journal_decode((uint16_t)e->type, a.p, a.len - 1, back, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	err_clear(&err);
	ok(buf_add_u8(&a, 0, &err));
	assert_int_equal(journal_decode((uint16_t)e->type, a.p, a.len, back, &err), -1);
	assert_int_equal(err.code, ERR_CORRUPT);
	free(back);
	buf_free(&a);
	buf_free(&b);
}

static void
test_every_type_of_record_reads_back(void **state)
{
	struct journal_event *e = calloc(1, sizeof(*e));

	(void)state;
	assert_non_null(e);
	for (int type = JOURNAL_MADE; type <= JOURNAL_BRAKE; type++) {
		memset(e, 0, sizeof(*e));
		memset(&e->u, 'x', 200);
		e->type = (enum journal_type)type;
		switch (type) {
		case 23:
			continue; /* Others' numbers. */
		case JOURNAL_STUB:
			memset(&e->u, 0, sizeof(e->u));
			memcpy(e->u.stubs.host, "host", 5);
			e->u.stubs.n = JOURNAL_STUBS_MAX;
			for (uint32_t i = 0; i < JOURNAL_STUBS_MAX; i++)
				e->u.stubs.sequences[i] = (uint64_t)i << 33;
			break;
		case JOURNAL_POLICY:
			memset(&e->u, 0, sizeof(e->u));
			memset(e->u.policy.name, 'g', STORE_NAME_MAX - 1);
			e->u.policy.scope = STORE_POLICY_HOST;
			e->u.policy.rules.yearly = 7;
			break;
		case JOURNAL_SECRET:
			memset(&e->u, 0, sizeof(e->u));
			memcpy(e->u.secret.name, "ca", 3);
			e->u.secret.len = sizeof(e->u.secret.wrapped);
			break;
		case JOURNAL_TOKEN_USE:
			memset(&e->u, 0, sizeof(e->u));
			memcpy(e->u.use.peer.name, "host", 5);
			e->u.use.cert_len = STORE_BLOB_MAX;
			e->u.use.replaces = 1;
			break;
		case JOURNAL_POINT:
			memset(&e->u, 0, sizeof(e->u));
			e->u.point.volumes_count = STORE_VOLUMES_MAX;
			for (uint32_t i = 0; i < STORE_VOLUMES_MAX; i++) {
				memset(
				    e->u.point.volumes[i].name, 'v', STORE_NAME_MAX - 1);
				e->u.point.volumes[i].size = i;
			}
			memset(e->u.point.note, 'n', STORE_TEXT_MAX - 1);
			break;
		default:
			break;
		}
		round_trip(e);
	}
	free(e);
}

static void
test_unknown_types_are_of_a_newer_version(void **state)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	struct err err = ERR_INIT;

	(void)state;
	assert_int_equal(journal_decode(77, (const uint8_t *)"", 0, e, &err), -1);
	assert_int_equal(err.code, ERR_UNSUPPORTED);
	free(e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_come_back_in_order),
		cmocka_unit_test(test_reading_goes_on_from_any_place),
		cmocka_unit_test(
		    test_torn_at_any_byte_of_the_last_record_it_opens_without_it),
		cmocka_unit_test(
		    test_a_changed_byte_anywhere_is_damage_when_it_was_acknowledged),
		cmocka_unit_test(
		    test_without_its_head_damage_before_the_end_is_still_found),
		cmocka_unit_test(test_a_flipped_head_is_only_advice),
		cmocka_unit_test(test_an_older_journal_put_in_place_is_noticed),
		cmocka_unit_test(test_another_stores_or_keys_journal_is_refused),
		cmocka_unit_test(test_a_full_disk_fails_the_append_and_nothing_else),
		cmocka_unit_test(test_after_a_failed_sync_it_takes_nothing_more),
		cmocka_unit_test(test_a_power_cut_at_any_call_loses_nothing_acknowledged),
		cmocka_unit_test(test_time_never_goes_back),
		cmocka_unit_test(test_many_threads_share_syncs_and_all_is_there),
		cmocka_unit_test(test_every_type_of_record_reads_back),
		cmocka_unit_test(test_unknown_types_are_of_a_newer_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
