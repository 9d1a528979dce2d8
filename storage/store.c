#include "storage/store.h"

#include <errno.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/gc_mutant.h"
#include "storage/fs_overlay.h"
#include "storage/index.h"
#include "storage/journal.h"
#include "storage/lease.h"
#include "storage/store_heads.h"
#include "storage/store_options.h"
#include "storage/store_packs.h"
#include "storage/store_reader.h"
#include "storage/store_space.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

#define LOCK_NAME "lock"
#define DOMAIN_SECRET ".domain"
/* What opening may put right in memory where the store is read-only. */
#define CHANGES_MAX (UINT64_C(512) << 20)

/* ------------------------------------------------------------------- making -- */

int
store_init_fs(struct fs *fs, struct err *err)
{
	struct journal_event e = { .type = JOURNAL_MADE };
	struct journal *j = NULL;
	uint8_t domain[CHUNK_KEY_LEN];
	struct store_keys_of of;
	int failed;

	if (store_keys_begin(fs, &of, err) != 0)
		return -1;
	randombytes_buf(domain, sizeof(domain));
	memcpy(e.u.made, of.store, sizeof(e.u.made));
	failed = fs_mkdir(fs, PACK_DIR, err) != 0 || fs_mkdir(fs, INDEX_DIR, err) != 0 ||
		 fs_sync_dir(fs, ".", err) != 0 ||
		 journal_create(fs, of.store, of.journal, err) != 0 ||
		 journal_open(fs, of.store, of.journal, NULL, &j, NULL, err) != 0 ||
		 journal_append(j, &e, NULL, err) != 0;
	if (!failed) {
		e.type = JOURNAL_SECRET;
		failed = store_keys_wrap(&of, DOMAIN_SECRET, domain, sizeof(domain),
			     &e.u.secret, err) != 0 ||
			 journal_append(j, &e, NULL, err) != 0;
	}
	journal_close(j);
	failed = failed || store_keys_finish(fs, err) != 0;
	sodium_memzero(&of, sizeof(of));
	sodium_memzero(domain, sizeof(domain));
	return failed ? -1 : 0;
}

int
store_init(const char *dir, struct err *err)
{
	struct fs *fs;
	int ret;

	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		return err_os(err, errno, "cannot make %s", dir);
	if (fs_open_dir(dir, &fs, err) != 0)
		return -1;
	ret = store_init_fs(fs, err);
	fs_free(fs);
	return ret == 0 ? 0 : err_context(err, "cannot make a store in %s", dir);
}

/* ------------------------------------------------------------------ opening -- */

/* Add a few words to what store_opened() says. */
static void ERR_PRINTF(2, 3) remark(struct store *s, const char *fmt, ...)
{
	size_t n = strlen(s->opened);
	va_list ap;

	if (n > 0 && n + 3 < sizeof(s->opened)) {
		memcpy(s->opened + n, "; ", 3);
		n += 2;
	}
	va_start(ap, fmt);
	(void)vsnprintf(s->opened + n, sizeof(s->opened) - n, fmt, ap);
	va_end(ap);
}

int
store_take(struct fs *fs, struct fs_file **out, struct err *err)
{
	char text[32] = "", others[32] = "";
	struct err ignored = ERR_INIT;
	struct fs_file *f;
	size_t got = 0;

	if (fs_open(fs, LOCK_NAME, FS_WRITE | FS_CREATE, &f, err) != 0)
		return -1;
	if (fs_lock(f, err) != 0) {
		if (err->code == ERR_BUSY) {
			(void)fs_pread(f, others, sizeof(others) - 1, 0, &got, &ignored);
			others[strcspn(others, "\n")] = '\0';
			err_clear(err);
			(void)err_set(err, ERR_BUSY, "the store is in use by process %s",
			    others[0] != '\0' ? others : "(unknown)");
		}
		fs_close(f);
		return -1;
	}
	(void)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	/* For people only: failing to write it harms nothing. */
	if (fs_truncate(f, 0, &ignored) == 0)
		(void)fs_pwrite(f, text, strlen(text), 0, &ignored);
	*out = f;
	return 0;
}

/* All packs there are, after recovery. */
struct found_packs {
	struct store *s;
	uint32_t *no;
	uint8_t *sealed;
	size_t n, cap;
	struct err *err;
};

static int
find_pack(void *arg, uint32_t no, int sealed)
{
	struct found_packs *f = arg;
	size_t cap = f->cap == 0 ? 64 : f->cap * 2;
	uint32_t *numbers;
	uint8_t *flags;

	if (f->n == f->cap) {
		if ((numbers = realloc(f->no, cap * sizeof(*numbers))) == NULL)
			return err_set(f->err, ERR_NOMEM, "no memory for %zu packs", cap);
		f->no = numbers;
		if ((flags = realloc(f->sealed, cap)) == NULL)
			return err_set(f->err, ERR_NOMEM, "no memory for %zu packs", cap);
		f->sealed = flags;
		f->cap = cap;
	}
	f->no[f->n] = no;
	f->sealed[f->n++] = (uint8_t)sealed;
	return 0;
}

struct recovering {
	struct store *s;
	uint32_t no;
};

/* Which groups they were nobody can say; that there were any must stay known. */
static int
record_loss(void *arg, struct err *err)
{
	const struct recovering *r = arg;
	struct journal_event e = { .type = JOURNAL_QUARANTINE };

	e.u.group.pack = r->no;
	return store_record(r->s, &e, NULL, err);
}

static int
is_proven(void *arg, const struct group *g)
{
	const struct recovering *r = arg;

	return store_proven(r->s, g);
}

/*
 * Remove what the journal says is removed: its file must never count again.  Their
 * numbers stay taken.
 */
static int
finish_removals(
    struct store *s, struct found_packs *f, uint32_t *highest, struct err *err)
{
	uint32_t gone = 0;
	size_t kept = 0;
	int is;

	if (catalog_removed_last(s->catalog, highest, err) != 0)
		return -1;
	if (!GC_HOLDS(GC_NUMBERS_STAY))
		*highest = 0;
	for (size_t i = 0; i < f->n; i++) {
		if ((is = store_finish_removal(s, f->no[i], err)) < 0)
			return -1;
		gone += (uint32_t)is;
		f->no[kept] = f->no[i];
		f->sealed[kept] = f->sealed[i];
		kept += !is;
	}
	f->n = kept;
	if (gone > 0)
		remark(s, "%u packs that nobody needs were removed", gone);
	return 0;
}

/* Finish what a crash left open; packs that held nothing are gone afterwards. */
static int
recover_packs(struct store *s, struct found_packs *f, uint32_t parity, struct err *err)
{
	uint32_t recovered = 0, damaged = 0;
	struct recovering of = { .s = s };
	struct pack_judge judge = { record_loss, is_proven, &of, 0, parity };
	struct pack_recovery r;
	uint64_t cut = 0, aside = 0;
	size_t kept = 0;

	for (size_t i = 0; i < f->n; i++) {
		memset(&r, 0, sizeof(r));
		of.no = f->no[i];
		judge.durable = store_heads_durable(s->heads, f->no[i]);
		if (!f->sealed[i] &&
		    pack_recover(s->fs, f->no[i], s->of.store, &judge, &r, err) != 0)
			return err_context(err, "pack %08x", f->no[i]);
		recovered += !f->sealed[i];
		cut += r.cut;
		aside += r.aside;
		damaged += r.damaged;
		if (f->sealed[i] || r.groups > 0)
			f->no[kept++] = f->no[i];
	}
	f->n = kept;
	store_heads_clear(s->heads);
	if (recovered > 0)
		remark(s, "%u packs were still open, %llu bytes of torn groups were cut",
		    recovered, (unsigned long long)cut);
	if (damaged > 0)
		remark(s, "%u damaged groups in them were left out: run verify --trees",
		    damaged);
	if (aside > 0)
		remark(s, "%llu bytes behind the damage are in packs/*.damaged",
		    (unsigned long long)aside);
	return 0;
}

static void
record_pack(void *arg, const struct journal_pack *p)
{
	struct journal_event e = { .type = JOURNAL_PACK };
	struct err ignored = ERR_INIT;

	e.u.pack = *p;
	/* Without it the next opening finds the pack and records it. */
	(void)store_record(arg, &e, NULL, &ignored);
}

/* A pack that the journal does not know: a crash came between seal and record. */
static int
record_found(struct store *s, uint32_t no, struct err *err)
{
	struct journal_event e = { .type = JOURNAL_PACK };
	struct pack_stats stats;
	struct pack *p = NULL;
	int failed;

	failed = pack_open(s->fs, no, s->of.store, &p, err) != 0 ||
		 pack_each_entry(p, NULL, NULL, &stats, err) != 0;
	if (!failed) {
		e.u.pack.no = no;
		e.u.pack.kind = (uint8_t)pack_kind(p);
		e.u.pack.chunks = stats.chunks;
		e.u.pack.groups = stats.groups;
		e.u.pack.plain = stats.plain;
		e.u.pack.stored = stats.stored;
		failed = store_record(s, &e, NULL, err) != 0;
	} else if (err->code == ERR_CORRUPT) {
		/* Damaged, but no reason to keep all other points from everybody. */
		remark(s, "pack %08x: %.80s", no, err->text);
		err_clear(err);
		failed = 0;
	}
	pack_close(p);
	return failed ? -1 : 0;
}

static int
cmp_no(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* Record the packs that were sealed just before a crash; count those that are lost. */
static int
compare_packs(struct store *s, struct found_packs *f, uint32_t *highest, struct err *err)
{
	struct journal_pack known[64];
	uint32_t n = 0, after = 0;
	size_t i = 0;

	if (f->n > 0)
		qsort(f->no, f->n, sizeof(f->no[0]), cmp_no);
	if (f->n > 0 && f->no[f->n - 1] > *highest)
		*highest = f->no[f->n - 1];
	/* `sealed` becomes: the catalog knows it. */
	if (f->n > 0)
		memset(f->sealed, 0, f->n);
	do {
		if (catalog_packs(s->catalog, after, known, 64, &n, err) != 0)
			return -1;
		for (uint32_t k = 0; k < n; k++) {
			after = known[k].no;
			while (i < f->n && f->no[i] < after)
				i++;
			if (i < f->n && f->no[i] == after)
				f->sealed[i] = 1;
			else
				s->lost_packs++;
		}
	} while (n == 64);
	if (after > *highest)
		*highest = after;
	if (s->lost_packs > 0)
		remark(s, "%u PACKS ARE MISSING: run verify", s->lost_packs);
	for (i = 0; i < f->n; i++)
		if (!f->sealed[i] && record_found(s, f->no[i], err) != 0)
			return -1;
	return 0;
}

static int
open_chunks(struct store *s, uint32_t parity, struct err *err)
{
	struct found_packs f = { .s = s, .err = err };
	struct store_packs_config config = {
		.fs = s->fs, .sealed = record_pack, .arg = s, .parity = parity
	};
	struct index_config ix = { 0 };
	struct index_opened found = { 0 };
	uint32_t highest = 0;
	int failed;

	memcpy(config.store, s->of.store, sizeof(config.store));
	memcpy(ix.store, s->of.store, sizeof(ix.store));
	s->judge.proven = store_proven;
	s->judge.arg = s;
	ix.judge = &s->judge;
	if ((s->heads = store_heads_new(s->fs, s->of.store)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the store");
	failed = pack_mend_sweep(s->fs, err) != 0 ||
		 pack_list(s->fs, find_pack, &f, err) != 0 ||
		 finish_removals(s, &f, &highest, err) != 0 ||
		 recover_packs(s, &f, parity, err) != 0 ||
		 compare_packs(s, &f, &highest, err) != 0 ||
		 index_open(s->fs, &ix, f.no, f.n, &s->index, &found, err) != 0;
	free(f.no);
	free(f.sealed);
	if (failed)
		return -1;
	if (found.rebuilt && f.n > 0)
		remark(s, "the index was made anew: %.100s", found.why);
	s->unnamed += found.damaged;
	if (found.damaged > 0)
		remark(s, "%u packs have a damaged footer, one is %08x", found.damaged,
		    found.damaged_pack);
	s->claims = lease_table_new(STORE_CLAIMS_MAX);
	s->reader = store_reader_new(s->fs, s->of.store, &s->keys);
	config.index = s->index;
	config.claims = s->claims;
	config.heads = s->heads;
	config.next_no = highest + 1;
	if (s->claims != NULL)
		s->packs = store_packs_new(&config);
	if (s->packs == NULL || s->reader == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the store");
	return store_load_bad(s, err);
}

static int
open_all(
    struct store *s, const char *catalog, const struct store_options *o, struct err *err)
{
	uint64_t cut = 0;
	size_t len;

	if (store_keys_load(s->fs, &s->of, err) != 0 ||
	    store_take(s->fs, &s->lock_file, err) != 0 ||
	    store_space_open(s, o, err) != 0 ||
	    journal_open(s->fs, s->of.store, s->of.journal, o->clock, &s->journal, &cut,
		err) != 0 ||
	    catalog_open(s->fs, catalog, s->of.store, s->of.catalog, s->journal,
		&s->catalog, s->catalog_why, err) != 0 ||
	    store_time_open(s, o, err) != 0 ||
	    store_secret_get(s, DOMAIN_SECRET, s->domain, sizeof(s->domain), &len, err) !=
		0)
		return -1;
	if (cut > 0)
		remark(s, "%llu torn bytes at the journal's end were cut",
		    (unsigned long long)cut);
	if (s->catalog_why[0] != '\0')
		remark(s, "the catalog was made anew: %.100s", s->catalog_why);
	if (len != sizeof(s->domain))
		return err_set(err, ERR_CORRUPT, "the domain key has %zu bytes", len);
	chunk_keys_init(&s->keys, s->domain);
	if (open_chunks(s, o->read_only ? 0 : o->parity, err) != 0)
		return -1;
	store_space_settle(s);
	return 0;
}

static struct store *
store_new(struct fs *fs)
{
	struct store *s = calloc(1, sizeof(*s));
	pthread_rwlockattr_t fair;

	if (s == NULL)
		return NULL;
	s->fs = s->under = fs;
	s->next_reader = (uint64_t)1 << 63;
	/* Who wants it alone must not be kept out by a stream of those who share. */
	(void)pthread_rwlockattr_init(&fair);
	(void)pthread_rwlockattr_setkind_np(
	    &fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
	(void)pthread_rwlock_init(&s->gate, &fair);
	(void)pthread_rwlockattr_destroy(&fair);
	pthread_mutex_init(&s->people, NULL);
	pthread_mutex_init(&s->leases_lock, NULL);
	pthread_mutex_init(&s->bad_lock, NULL);
	pthread_mutex_init(&s->leaving, NULL);
	pthread_mutex_init(&s->mending, NULL);
	pthread_mutex_init(&s->format_lock, NULL);
	for (uint32_t i = 0; i < STORE_HOST_LOCKS; i++)
		pthread_mutex_init(&s->hosts[i], NULL);
	return s;
}

int
store_open_with_fs(struct fs *fs, const char *catalog,
    const struct store_options *options, struct store **out, struct err *err)
{
	struct store *s;
	int again = 1;

	while (again) {
		if ((s = store_new(fs)) == NULL)
			return err_set(err, ERR_NOMEM, "no memory for the store");
		s->read_only = options->read_only;
		if ((!s->read_only ||
			fs_overlay_new(fs, CHANGES_MAX, &s->fs, err) == 0) &&
		    open_all(s, catalog, options, err) == 0) {
			*out = s;
			return 0;
		}
		/* What opening has to put right needs room: the reserve is for that. */
		again = err->code == ERR_NOSPACE && store_space_yield(s);
		store_close(s);
		if (again)
			err_clear(err);
	}
	return -1;
}

int
store_open_fs(struct fs *fs, const char *catalog, int64_t (*clock)(void),
    struct store **out, struct err *err)
{
	const struct store_options o = { .clock = clock };

	return store_open_with_fs(fs, catalog, &o, out, err);
}

int
store_open_with(const char *dir, const struct store_options *options, struct store **out,
    struct err *err)
{
	struct fs *fs;

	if (fs_open_dir(dir, &fs, err) != 0)
		return -1;
	if (store_open_with_fs(fs, CATALOG_NAME, options, out, err) != 0) {
		fs_free(fs);
		return err_context(err, "cannot open the store in %s", dir);
	}
	(*out)->owns_fs = 1;
	return 0;
}

int
store_open(const char *dir, struct store **out, struct err *err)
{
	const struct store_options o = STORE_OPTIONS_INIT;

	return store_open_with(dir, &o, out, err);
}

void
store_close(struct store *s)
{
	struct store_condemned *c;

	if (s == NULL)
		return;
	store_packs_free(s->packs);
	store_heads_free(s->heads);
	store_reader_free(s->reader);
	index_close(s->index);
	lease_table_free(s->claims);
	catalog_close(s->catalog);
	journal_close(s->journal);
	store_time_free(s->time);
	store_space_free(s->space);
	fs_close(s->lock_file);
	if (s->fs != s->under)
		fs_free(s->fs);
	if (s->owns_fs)
		fs_free(s->under);
	free(s->bad);
	while ((c = s->condemned) != NULL) {
		s->condemned = c->next;
		free(c);
	}
	(void)pthread_rwlock_destroy(&s->gate);
	for (uint32_t i = 0; i < STORE_HOST_LOCKS; i++)
		pthread_mutex_destroy(&s->hosts[i]);
	pthread_mutex_destroy(&s->format_lock);
	pthread_mutex_destroy(&s->mending);
	pthread_mutex_destroy(&s->leaving);
	pthread_mutex_destroy(&s->bad_lock);
	pthread_mutex_destroy(&s->leases_lock);
	pthread_mutex_destroy(&s->people);
	sodium_memzero(s, sizeof(*s));
	free(s);
}

/* -------------------------------------------------------------------- small -- */

const char *
store_opened(const struct store *s)
{
	return s->opened;
}

int64_t
store_now(struct store *s)
{
	return journal_now(s->journal);
}

const uint8_t *
store_domain_key(const struct store *s)
{
	return s->domain;
}

const struct chunk_keys *
store_keys(const struct store *s)
{
	return &s->keys;
}

/* In memory only, where the store is read-only: what opening and looking need. */
static int
may_pretend(enum journal_type type)
{
	return type == JOURNAL_SECRET || type == JOURNAL_AUDIT || type == JOURNAL_ALARM ||
	       type == JOURNAL_SEEN || type == JOURNAL_PACK ||
	       type == JOURNAL_QUARANTINE || type == JOURNAL_RELEASE ||
	       type == JOURNAL_VERIFIED || type == JOURNAL_CHECKED ||
	       type == JOURNAL_HURT || type == JOURNAL_STORE_ALARM ||
	       type == JOURNAL_SUSPECT ||
	       /* Machines may be restored from it; as long as it is open. */
	       type == JOURNAL_RESTORE || type == JOURNAL_REDEEMED ||
	       type == JOURNAL_RESTORED;
}

/* The feature whose name `format` must have before such a record is; -1: none. */
static int
feature_of(enum journal_type type)
{
	switch (type) {
	case JOURNAL_STUB:
	case JOURNAL_POLICY:
	case JOURNAL_HOLD:
	case JOURNAL_UNHOLD:
	case JOURNAL_LOCK:
	case JOURNAL_FORGET:
	case JOURNAL_VERIFIED:
	case JOURNAL_BRAKE:
		return 0;
	case JOURNAL_REMOVED:
	case JOURNAL_LEASE_REVOKED:
		return 1;
	case JOURNAL_RESTORE:
	case JOURNAL_REDEEMED:
	case JOURNAL_RESTORED:
		return 2;
	default:
		return -1;
	}
}

static int
require_for(struct store *s, enum journal_type type, struct err *err)
{
	static const char *const names[] = { "retention", "collect", "restore" };
	int feature = feature_of(type), failed = 0;

	/* What is read-only has such records in memory alone. */
	if (feature < 0 || s->read_only)
		return 0;
	pthread_mutex_lock(&s->format_lock);
	if ((s->required >> feature & 1) == 0) {
		failed = store_keys_require(s->fs, names[feature], err) != 0;
		if (!failed)
			s->required |= 1u << feature;
	}
	pthread_mutex_unlock(&s->format_lock);
	return failed ? -1 : 0;
}

static int
append(struct store *s, const struct journal_event *e, struct journal_place *place,
    struct err *err)
{
	return require_for(s, e->type, err) != 0 ||
		       journal_append(s->journal, e, place, err) != 0
		   ? -1
		   : 0;
}

int
store_record(struct store *s, const struct journal_event *e, struct journal_place *place,
    struct err *err)
{
	struct err later = ERR_INIT;
	/* What hosts begin or say is no reason to give the reserve up. */
	int needed = e->type != JOURNAL_LEASE_OPEN && e->type != JOURNAL_SEEN &&
		     e->type != JOURNAL_ALARM && e->type != JOURNAL_STORE_ALARM;

	if (s->read_only && !may_pretend(e->type))
		return err_set(err, ERR_DENIED, "the store is open read-only");
	if (append(s, e, place, err) != 0) {
		if (err->code != ERR_NOSPACE || !needed || !store_space_yield(s))
			return -1;
		err_clear(err);
		if (append(s, e, place, err) != 0)
			return -1;
	}
	if (catalog_follow(s->catalog, &later) != 0 && later.code == ERR_NOSPACE &&
	    store_space_yield(s)) {
		err_clear(&later);
		(void)catalog_follow(s->catalog, &later);
	}
	return 0;
}

int
store_stats(struct store *s, struct store_stats *out, struct err *err)
{
	struct index_stats ix;
	uint64_t total;

	memset(out, 0, sizeof(*out));
	if (catalog_stats(s->catalog, out, err) != 0 ||
	    fs_space(s->fs, &out->free_bytes, &total, err) != 0)
		return -1;
	store_packs_count(s->packs, out);
	index_stats(s->index, &ix);
	out->index_ram_bytes = ix.ram;
	out->quarantined = ix.quarantined;
	return 0;
}
