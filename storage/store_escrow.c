#include "storage/store_escrow.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/escrow.h"
#include "storage/fs.h"
#include "storage/journal.h"
#include "storage/store_options.h"
#include "storage/store_state.h"

/* --------------------------------------------------------------- into a store -- */

int
store_escrow_fits(struct fs *fs, const struct store_keys_of *k, struct err *err)
{
	uint8_t *p = malloc(JOURNAL_FILE_HEADER_LEN + JOURNAL_RECORD_MAX), store[16];
	uint8_t header[JOURNAL_FILE_HEADER_LEN];
	struct journal_place at;
	struct journal_record r;
	struct fs_file *f = NULL;
	uint32_t optional;
	size_t got = 0, need;
	int failed;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the journal");
	failed = store_keys_format(fs, store, err) != 0;
	if (!failed && memcmp(store, k->store, sizeof(store)) != 0)
		failed = err_set(err, ERR_DENIED, "these are the keys of another store");
	failed = failed || fs_open(fs, JOURNAL_NAME, FS_READ, &f, err) != 0 ||
		 fs_pread(f, p, JOURNAL_FILE_HEADER_LEN + JOURNAL_RECORD_MAX, 0, &got,
		     err) != 0;
	if (!failed && got < JOURNAL_FILE_HEADER_LEN)
		failed = err_set(err, ERR_CORRUPT, "journal: its header is cut off");
	failed = failed || journal_parse_header(p, store, &optional, err) != 0;
	if (!failed) {
		journal_file_header(store, optional, header, &at);
		if (journal_parse(p + JOURNAL_FILE_HEADER_LEN,
			got - JOURNAL_FILE_HEADER_LEN, k->journal, &at, &r,
			&need) != JOURNAL_WHOLE)
			failed = err_set(err, ERR_DENIED,
			    "the journal's first record is not authentic by these keys");
	}
	fs_close(f);
	free(p);
	return failed ? -1 : 0;
}

int
store_escrow_import(struct fs *fs, const struct store_keys_of *k, struct err *err)
{
	uint8_t b[STORE_KEYS_LEN];
	int failed;

	if (store_escrow_fits(fs, k, err) != 0)
		return -1;
	store_keys_encode(k, b);
	failed = fs_replace(fs, ".", STORE_KEYS_NAME, b, sizeof(b), err) != 0;
	sodium_memzero(b, sizeof(b));
	return failed ? -1 : 0;
}

/* ------------------------------------------------------- what the store knows -- */

static void
event(const struct store_keys_of *k, int kind, const char *who, struct journal_event *e)
{
	e->type = JOURNAL_KEY;
	e->u.key.what = (uint8_t)kind;
	escrow_check_of(k, e->u.key.check);
	(void)snprintf(e->u.key.who, sizeof(e->u.key.who), "%s", who);
}

int
store_escrow_last(struct store *s, struct store_escrow *out, struct err *err)
{
	uint8_t check[STORE_HASH_LEN];

	escrow_check_of(&s->of, check);
	return catalog_escrow(s->catalog, check, out, err);
}

int
store_escrow_note(struct store *s, int kind, const uint8_t check[STORE_HASH_LEN],
    const char *who, struct err *err)
{
	struct journal_event *e;
	uint8_t own[STORE_HASH_LEN];
	int ret;

	escrow_check_of(&s->of, own);
	if (sodium_memcmp(own, check, sizeof(own)) != 0)
		return err_set(
		    err, ERR_DENIED, "the keys exported are not those of this store");
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	event(&s->of, kind, who, e);
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

/* The clock, but for a time at which an opened store would not believe it. */
struct near {
	int64_t (*clock)(void);
	int64_t end_us; /* The last record's. */
};

static int64_t
near_now(void *arg)
{
	const struct near *n = arg;
	struct timespec ts = { 0 };
	int64_t now;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	now = n->clock != NULL ? n->clock()
			       : (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
	return now > n->end_us + STORE_CLOCK_JUMP_US ? n->end_us : now;
}

/* Nothing else of the store is open: its time (store_time.h) begins at this record. */
static int
append_alone(struct journal *j, int64_t (*clock)(void), const struct journal_event *e,
    struct err *err)
{
	struct journal_place end;
	struct near near = { .clock = clock };

	journal_end(j, &end);
	near.end_us = end.time_us;
	journal_set_clock(j, near_now, &near);
	return journal_append(j, e, NULL, err);
}

int
store_escrow_note_fs(
    struct fs *fs, int kind, const char *who, int64_t (*clock)(void), struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	struct fs_file *lock = NULL;
	struct store_keys_of of;
	struct journal *j = NULL;
	int failed;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	failed = store_keys_load(fs, &of, err) != 0;
	if (!failed) {
		event(&of, kind, who, e);
		failed =
		    store_take(fs, &lock, err) != 0 ||
		    journal_open(fs, of.store, of.journal, NULL, &j, NULL, err) != 0 ||
		    append_alone(j, clock, e, err) != 0;
	}
	journal_close(j);
	fs_close(lock);
	sodium_memzero(&of, sizeof(of));
	free(e);
	return failed ? -1 : 0;
}
