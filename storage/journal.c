#include "storage/journal.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/journal_parts.h"

/* Bytes read at once when going through the file; holds any record. */
#define WINDOW_LEN (1024u * 1024)
#define PENDING_MAX (4u * 1024 * 1024)

static const uint8_t head_magic[8] = { 'H', 'F', 'J', 'H', 'E', 'A', 'D', '1' };

/* A caller waiting for its record; lives on its stack, in a list. */
struct waiter {
	struct waiter *next;
	int done;
	struct err err;
};

struct journal {
	struct fs_file *file, *head;
	uint32_t optional; /* Features of the file. */
	uint8_t key[32], store[JOURNAL_STORE_LEN];
	int64_t (*clock)(void);

	pthread_mutex_t lock;		 /* Guards what follows. */
	int64_t (*own_clock)(void *arg); /* NULL: `clock`. */
	void *own_clock_arg;
	pthread_cond_t moved;	     /* A batch is through. */
	struct journal_place end;    /* Durable. */
	struct journal_place queued; /* Behind all of `pending`. */
	int64_t last_now;
	struct buf pending;
	struct waiter *waiters;
	int writing; /* A thread is writing a batch; `lock` is not held. */
	int broken;  /* What is in the file is in doubt. */
};

static int64_t
system_clock(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* -------------------------------------------------------------------- head -- */

/* Layout: magic 8, store id 16, offset 8, sequence 8, hash 32, MAC 32. */
static void
head_encode(
    const struct journal *j, const struct journal_place *at, uint8_t b[JOURNAL_HEAD_LEN])
{
	memcpy(b, head_magic, 8);
	memcpy(b + 8, j->store, JOURNAL_STORE_LEN);
	store_le64(b + 24, at->offset);
	store_le64(b + 32, at->sequence);
	memcpy(b + 40, at->hash, JOURNAL_HASH_LEN);
	blake3(b, 72, j->key, b + 72, JOURNAL_MAC_LEN);
}

/*
 * Written behind the journal's sync and not synced itself, so it never says
 * more than is durable.  It is advice: failing to write it loses only the
 * power to tell a torn tail from a damaged one.
 */
static void
head_write(struct journal *j, const struct journal_place *at)
{
	struct err ignored = ERR_INIT;
	uint8_t b[JOURNAL_HEAD_LEN];

	if (j->head == NULL)
		return;
	head_encode(j, at, b);
	(void)fs_pwrite(j->head, b, sizeof(b), 0, &ignored);
}

/* Read it; at->offset 0 if there is none that can be believed. */
static int
head_read(struct journal *j, struct journal_place *at, struct err *err)
{
	uint8_t b[JOURNAL_HEAD_LEN], mac[JOURNAL_MAC_LEN];
	size_t got;

	memset(at, 0, sizeof(*at));
	if (fs_pread(j->head, b, sizeof(b), 0, &got, err) != 0)
		return -1;
	if (got != sizeof(b) || memcmp(b, head_magic, 8) != 0 ||
	    memcmp(b + 8, j->store, JOURNAL_STORE_LEN) != 0)
		return 0;
	blake3(b, 72, j->key, mac, sizeof(mac));
	if (memcmp(mac, b + 72, sizeof(mac)) != 0)
		return 0;
	at->offset = load_le64(b + 24);
	at->sequence = load_le64(b + 32);
	memcpy(at->hash, b + 40, JOURNAL_HASH_LEN);
	return 0;
}

/* ------------------------------------------------------------ going through -- */

/* A window on the file that moves with the reader. */
struct window {
	struct fs_file *file;
	uint64_t limit; /* Nothing is read from here on. */
	uint64_t start; /* Where buf[0] lies. */
	size_t len;
	uint8_t *p;
};

/* Have at least `need` bytes from `offset` in the window, or all up to the limit. */
static int
window_fill(struct window *w, uint64_t offset, size_t need, struct err *err)
{
	size_t want, got;

	if (offset >= w->start && offset + need <= w->start + w->len)
		return 0;
	want = WINDOW_LEN;
	if (offset >= w->limit)
		want = 0;
	else if (w->limit - offset < want)
		want = (size_t)(w->limit - offset);
	w->start = offset;
	w->len = 0;
	if (want == 0)
		return 0;
	if (fs_pread(w->file, w->p, want, offset, &got, err) != 0)
		return -1;
	w->len = got;
	if (got != want)
		return err_set(err, ERR_IO, "journal became shorter while it was read");
	return 0;
}

/* Parse the record behind `at`; JOURNAL_SHORT only at the limit.  -1 for I/O errors. */
static int
window_record(struct window *w, const uint8_t key[32], const struct journal_place *at,
    struct journal_record *r, enum journal_parse *what, struct err *err)
{
	size_t need = JOURNAL_HEADER_LEN;

	for (int i = 0; i < 2; i++) {
		if (window_fill(w, at->offset, need, err) != 0)
			return -1;
		*what = journal_parse(w->p + (at->offset - w->start),
		    (size_t)(w->start + w->len - at->offset), key, at, r, &need);
		if (*what != JOURNAL_SHORT)
			return 0;
	}
	return 0;
}

/*
 * Is there a record behind `from` that was written when everything up to and
 * with `sequence` was durable?  1, 0 or -1.
 */
static int
window_proof_behind(struct window *w, const uint8_t key[32], uint64_t from,
    uint64_t sequence, struct err *err)
{
	struct journal_record r;
	size_t need, ahead;

	for (uint64_t at = from; at + JOURNAL_HEADER_LEN <= w->limit; at++) {
		ahead = JOURNAL_RECORD_MAX;
		if (w->limit - at < ahead)
			ahead = (size_t)(w->limit - at);
		if (window_fill(w, at, ahead, err) != 0)
			return -1;
		/* Most places cannot be a header: look before hashing. */
		if (load_le64(w->p + (at - w->start) + 8) <= sequence ||
		    load_le64(w->p + (at - w->start) + 8) - sequence > UINT32_MAX)
			continue;
		if (journal_parse(w->p + (at - w->start),
			(size_t)(w->start + w->len - at), key, NULL, &r,
			&need) == JOURNAL_WHOLE &&
		    r.durable >= sequence)
			return 1;
	}
	return 0;
}

/* -------------------------------------------------------------- open, close -- */

int
journal_create(struct fs *fs, const uint8_t store[JOURNAL_STORE_LEN],
    const uint8_t key[32], struct err *err)
{
	uint8_t header[JOURNAL_FILE_HEADER_LEN], b[JOURNAL_HEAD_LEN];
	struct journal of = { 0 };
	struct journal_place at;

	memcpy(of.store, store, JOURNAL_STORE_LEN);
	memcpy(of.key, key, sizeof(of.key));
	journal_file_header(store, 0, header, &at);
	head_encode(&of, &at, b);
	if (fs_replace(fs, ".", JOURNAL_NAME, header, sizeof(header), err) != 0)
		return -1;
	return fs_replace(fs, ".", JOURNAL_HEAD_NAME, b, sizeof(b), err);
}

/* Check that the chain passes through where the head says it was. */
static int
meets_head(
    const struct journal_place *at, const struct journal_place *head, struct err *err)
{
	if (at->offset != head->offset ||
	    (at->sequence == head->sequence &&
		memcmp(at->hash, head->hash, JOURNAL_HASH_LEN) == 0))
		return 0;
	return err_set(err, ERR_CORRUPT,
	    "journal is not the one that was written here: it differs at %llu",
	    (unsigned long long)at->offset);
}

/*
 * Records behind the known end count from now on: they become durable first.  A sync
 * of them may have failed before the last process ended; nobody can see that.
 */
static int
settle(struct journal *j, const struct journal_place *known, struct err *err)
{
	if (known->offset >= j->end.offset)
		return 0;
	return fs_rewrite(j->file, known->offset, j->end.offset, err) != 0 ||
		       fs_sync(j->file, err) != 0
		   ? -1
		   : 0;
}

/* Go through all records; cut a torn tail. */
static int
recover(struct journal *j, struct window *w, struct journal_event *room, uint64_t *cut,
    struct err *err)
{
	enum journal_parse what = JOURNAL_WHOLE;
	struct journal_place at = j->end, head;
	struct journal_record r;
	int proof;

	*cut = 0;
	if (head_read(j, &head, err) != 0)
		return -1;
	while (at.offset < w->limit) {
		if (meets_head(&at, &head, err) != 0 ||
		    window_record(w, j->key, &at, &r, &what, err) != 0)
			return -1;
		if (what != JOURNAL_WHOLE)
			break;
		/* Before anything is changed, and whatever a catalog has applied. */
		if (journal_check(&r, room, err) != 0)
			return err_context(err, "journal record %llu",
			    (unsigned long long)r.end.sequence);
		at = r.end;
	}
	if (meets_head(&at, &head, err) != 0)
		return -1;
	if (head.offset > at.offset)
		return err_set(err, ERR_CORRUPT,
		    "journal is damaged at %llu, before its known end at %llu",
		    (unsigned long long)at.offset, (unsigned long long)head.offset);
	j->end = at;
	if (at.offset == w->limit)
		return settle(j, &head, err);
	/* A store is made with records in its journal: all torn is none of ours. */
	if (at.sequence == 0)
		return err_set(err, ERR_CORRUPT,
		    "journal is damaged at %llu, its first record, or the keys are not "
		    "its own",
		    (unsigned long long)at.offset);
	proof = window_proof_behind(w, j->key, at.offset, at.sequence + 1, err);
	if (proof < 0)
		return -1;
	if (proof > 0)
		return err_set(err, ERR_CORRUPT,
		    "journal is damaged at %llu: good records follow",
		    (unsigned long long)at.offset);
	*cut = w->limit - at.offset;
	if (fs_truncate(j->file, at.offset, err) != 0 || fs_sync(j->file, err) != 0)
		return -1;
	return settle(j, &head, err);
}

static int
open_files(struct journal *j, struct fs *fs, struct window *w, struct err *err)
{
	uint8_t header[JOURNAL_FILE_HEADER_LEN];
	size_t got;

	if (fs_open(fs, JOURNAL_NAME, FS_READ | FS_WRITE, &j->file, err) != 0 ||
	    fs_open(fs, JOURNAL_HEAD_NAME, FS_READ | FS_WRITE | FS_CREATE, &j->head,
		err) != 0 ||
	    fs_size(j->file, &w->limit, err) != 0 ||
	    fs_pread(j->file, header, sizeof(header), 0, &got, err) != 0)
		return -1;
	if (got != sizeof(header))
		return err_set(err, ERR_CORRUPT, "journal: its header is cut off");
	if (journal_parse_header(header, j->store, &j->optional, err) != 0)
		return -1;
	journal_file_header(j->store, j->optional, header, &j->end);
	w->file = j->file;
	return 0;
}

int
journal_open(struct fs *fs, const uint8_t store[JOURNAL_STORE_LEN], const uint8_t key[32],
    int64_t (*clock)(void), struct journal **out, uint64_t *cut, struct err *err)
{
	struct window w = { 0 };
	struct journal_event *room = malloc(sizeof(*room));
	struct journal *j;
	uint64_t removed;
	int failed;

	if ((j = calloc(1, sizeof(*j))) == NULL || room == NULL ||
	    (w.p = malloc(WINDOW_LEN)) == NULL) {
		free(room);
		free(j);
		return err_set(err, ERR_NOMEM, "no memory for the journal");
	}
	memcpy(j->store, store, JOURNAL_STORE_LEN);
	memcpy(j->key, key, sizeof(j->key));
	j->clock = clock != NULL ? clock : system_clock;
	j->pending.max = PENDING_MAX + JOURNAL_RECORD_MAX;
	pthread_mutex_init(&j->lock, NULL);
	pthread_cond_init(&j->moved, NULL);
	failed =
	    open_files(j, fs, &w, err) != 0 || recover(j, &w, room, &removed, err) != 0;
	free(w.p);
	free(room);
	if (failed) {
		journal_close(j);
		return -1;
	}
	j->queued = j->end;
	head_write(j, &j->end);
	if (cut != NULL)
		*cut = removed;
	*out = j;
	return 0;
}

void
journal_close(struct journal *j)
{
	struct err ignored = ERR_INIT;

	if (j == NULL)
		return;
	assert(j->waiters == NULL);
	if (j->head != NULL)
		(void)fs_datasync(j->head, &ignored);
	fs_close(j->head);
	fs_close(j->file);
	buf_free(&j->pending);
	pthread_cond_destroy(&j->moved);
	pthread_mutex_destroy(&j->lock);
	memset(j->key, 0, sizeof(j->key));
	free(j);
}

/* ------------------------------------------------------------------- append -- */

static int64_t
now_locked(struct journal *j)
{
	int64_t now = j->own_clock != NULL ? j->own_clock(j->own_clock_arg) : j->clock();

	if (now <= j->queued.time_us)
		now = j->queued.time_us + 1;
	if (now < j->last_now)
		now = j->last_now;
	j->last_now = now;
	return now;
}

void
journal_set_clock(struct journal *j, int64_t (*clock)(void *arg), void *arg)
{
	pthread_mutex_lock(&j->lock);
	j->own_clock = clock;
	j->own_clock_arg = arg;
	pthread_mutex_unlock(&j->lock);
}

int64_t
journal_now(struct journal *j)
{
	int64_t now;

	pthread_mutex_lock(&j->lock);
	now = now_locked(j);
	pthread_mutex_unlock(&j->lock);
	return now;
}

static void
tell(struct waiter *w, const struct err *err)
{
	for (; w != NULL; w = w->next) {
		w->err = *err;
		w->done = 1;
	}
}

/*
 * A batch could not be written.  With it fails what was queued behind, as it
 * names the batch's records.  A full disk is survived if the file can be put
 * back as it was; after a failed sync nothing is certain (fs.h).
 */
static void
give_up(struct journal *j, struct waiter *batch, const struct err *why, int written)
{
	struct err second = ERR_INIT;

	if (why->code != ERR_NOSPACE || written ||
	    fs_truncate(j->file, j->end.offset, &second) != 0 ||
	    fs_datasync(j->file, &second) != 0)
		j->broken = 1;
	tell(batch, why);
	tell(j->waiters, why);
	j->waiters = NULL;
	buf_clear(&j->pending);
	j->queued = j->end;
}

/* Write and sync all that is pending.  `lock` is held, and let go meanwhile. */
static void
write_batch(struct journal *j)
{
	struct waiter *batch = j->waiters;
	struct journal_place end = j->queued;
	struct buf bytes = j->pending;
	struct err why = ERR_INIT;
	int failed, written;

	j->waiters = NULL;
	memset(&j->pending, 0, sizeof(j->pending));
	j->pending.max = bytes.max;
	j->writing = 1;
	pthread_mutex_unlock(&j->lock);

	written = fs_pwrite(j->file, bytes.p, bytes.len, j->end.offset, &why) == 0;
	failed = !written || fs_datasync(j->file, &why) != 0;
	if (!failed)
		head_write(j, &end);

	pthread_mutex_lock(&j->lock);
	j->writing = 0;
	if (failed) {
		(void)err_context(&why, "journal");
		give_up(j, batch, &why, written);
	} else {
		j->end = end;
		tell(batch, &why);
	}
	buf_free(&bytes);
	pthread_cond_broadcast(&j->moved);
}

int
journal_append(struct journal *j, const struct journal_event *e,
    struct journal_place *place, struct err *err)
{
	struct buf payload = BUF_INIT(JOURNAL_PAYLOAD_MAX);
	struct waiter self = { .err = ERR_INIT };
	int failed;

	if (journal_encode(e, &payload, err) != 0) {
		buf_free(&payload);
		return -1;
	}
	pthread_mutex_lock(&j->lock);
	while (j->pending.len > PENDING_MAX && !j->broken)
		pthread_cond_wait(&j->moved, &j->lock);
	if (j->broken)
		failed = err_set(err, ERR_IO,
		    "journal: an earlier write failed; the store must be opened again");
	else
		failed = journal_frame((uint16_t)e->type, payload.p, payload.len,
		    now_locked(j), j->end.sequence, j->key, &j->queued, &j->pending, err);
	if (!failed) {
		if (place != NULL)
			*place = j->queued;
		self.next = j->waiters;
		j->waiters = &self;
		while (!self.done) {
			if (j->writing)
				pthread_cond_wait(&j->moved, &j->lock);
			else
				write_batch(j);
		}
		failed = self.err.code != ERR_NONE;
		if (failed)
			*err = self.err;
	}
	pthread_mutex_unlock(&j->lock);
	buf_free(&payload);
	return failed ? -1 : 0;
}

/* -------------------------------------------------------------------- read -- */

void
journal_end(struct journal *j, struct journal_place *end)
{
	pthread_mutex_lock(&j->lock);
	*end = j->end;
	pthread_mutex_unlock(&j->lock);
}

int
journal_knows(struct journal *j, const struct journal_place *place, struct err *err)
{
	struct journal_place at = *place, end;
	struct window w = { .file = j->file };
	enum journal_parse what;
	struct journal_record r;
	int failed;

	at.time_us = INT64_MIN;
	journal_end(j, &end);
	if (at.offset < JOURNAL_FILE_HEADER_LEN || at.offset > end.offset)
		return 0;
	if (at.offset == end.offset)
		return at.sequence == end.sequence &&
		       memcmp(at.hash, end.hash, JOURNAL_HASH_LEN) == 0;
	/* The record behind it names its hash. */
	w.limit = end.offset;
	if ((w.p = malloc(WINDOW_LEN)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the journal");
	failed = window_record(&w, j->key, &at, &r, &what, err) != 0;
	free(w.p);
	return failed ? -1 : what == JOURNAL_WHOLE;
}

/* All records up to `until`, checked, to `take`, many at a time. */
static int
walk_records(struct journal *j, const struct journal_place *until,
    int (*take)(void *arg, const uint8_t *p, size_t len, uint64_t at, struct err *err),
    void *arg, struct err *err)
{
	struct window w = { .file = j->file, .limit = until->offset };
	struct journal_place at;
	enum journal_parse what;
	struct journal_record r;
	uint64_t from;
	int ret = -1;

	if ((w.p = malloc(WINDOW_LEN)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to copy the journal");
	journal_start(j, &at);
	while (at.offset < until->offset) {
		from = at.offset;
		/* As many as the window holds without moving, then taken at once. */
		do {
			if (window_record(&w, j->key, &at, &r, &what, err) != 0)
				goto out;
			if (what != JOURNAL_WHOLE) {
				(void)err_set(err, ERR_CORRUPT,
				    "journal is damaged at %llu",
				    (unsigned long long)at.offset);
				goto out;
			}
			at = r.end;
		} while (at.offset < until->offset &&
			 at.offset + JOURNAL_RECORD_MAX <= w.start + w.len);
		if (take(arg, w.p + (from - w.start), (size_t)(at.offset - from), from,
			err) != 0)
			goto out;
	}
	if (at.offset != until->offset || memcmp(at.hash, until->hash, JOURNAL_HASH_LEN))
		(void)err_set(err, ERR_CORRUPT, "journal has no such end to copy");
	else
		ret = 0;
out:
	free(w.p);
	return ret;
}

static int
take_to_file(void *arg, const uint8_t *p, size_t len, uint64_t at, struct err *err)
{
	return fs_pwrite(arg, p, len, at, err);
}

struct hashing {
	struct journal_image *im;
	struct blake3 h;
};

static int
take_to_hash(void *arg, const uint8_t *p, size_t len, uint64_t at, struct err *err)
{
	struct hashing *h = arg;
	uint64_t cut = h->im->past_len;
	size_t first = cut > at && cut - at <= len ? (size_t)(cut - at) : 0;

	(void)err;
	blake3_update(&h->h, p, first);
	if (first > 0)
		blake3_final(&h->h, h->im->past, sizeof(h->im->past));
	blake3_update(&h->h, p + first, len - first);
	return 0;
}

int
journal_image_of(struct journal *j, const struct journal_place *until, uint64_t past_len,
    struct journal_image *out, struct err *err)
{
	uint8_t header[JOURNAL_FILE_HEADER_LEN];
	struct hashing h = { .im = out };
	struct journal_place at;

	memset(out, 0, sizeof(*out));
	out->len = until->offset;
	out->past_len = past_len <= until->offset ? past_len : 0;
	head_encode(j, until, out->head);
	journal_file_header(j->store, j->optional, header, &at);
	blake3_init(&h.h, NULL);
	(void)take_to_hash(&h, header, sizeof(header), 0, err);
	if (walk_records(j, until, take_to_hash, &h, err) != 0)
		return -1;
	blake3_final(&h.h, out->hash, sizeof(out->hash));
	return 0;
}

int
journal_copy(
    struct journal *j, const struct journal_place *until, struct fs *to, struct err *err)
{
	uint8_t header[JOURNAL_FILE_HEADER_LEN], head[JOURNAL_HEAD_LEN];
	struct journal_parts parts = { 0 };
	struct journal_place at;
	int failed;

	journal_file_header(j->store, j->optional, header, &at);
	head_encode(j, until, head);
	failed = journal_parts_begin(to, &parts, err) != 0 ||
		 fs_pwrite(parts.journal, header, sizeof(header), 0, err) != 0 ||
		 walk_records(j, until, take_to_file, parts.journal, err) != 0 ||
		 journal_parts_put(&parts, head, err) != 0;
	journal_parts_end(&parts);
	return failed ? -1 : 0;
}

void
journal_start(const struct journal *j, struct journal_place *start)
{
	uint8_t header[JOURNAL_FILE_HEADER_LEN];

	journal_file_header(j->store, j->optional, header, start);
}

int
journal_each(struct journal *j, const struct journal_place *from,
    int (*each)(void *arg, const struct journal_record *r), void *arg, struct err *err)
{
	struct journal_place at = *from, end;
	struct window w = { .file = j->file };
	enum journal_parse what;
	struct journal_record r;
	int ret = 0;

	journal_end(j, &end);
	if (at.offset > end.offset ||
	    (at.offset == end.offset &&
		(at.sequence != end.sequence ||
		    memcmp(at.hash, end.hash, JOURNAL_HASH_LEN) != 0)))
		return err_set(err, ERR_NOTFOUND, "the journal has no such place");
	w.limit = end.offset;
	if ((w.p = malloc(WINDOW_LEN)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the journal");
	while (ret == 0 && at.offset < end.offset) {
		if (window_record(&w, j->key, &at, &r, &what, err) != 0) {
			ret = -1;
		} else if (what == JOURNAL_WHOLE) {
			ret = each(arg, &r);
			at = r.end;
		} else if (at.offset == from->offset) {
			ret = err_set(err, ERR_NOTFOUND, "the journal has no such place");
		} else {
			ret = err_set(err, ERR_CORRUPT, "journal is damaged at %llu",
			    (unsigned long long)at.offset);
		}
	}
	free(w.p);
	return ret;
}
