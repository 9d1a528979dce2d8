#include "storage/store_space.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/fs.h"
#include "storage/journal.h"
#include "storage/store_options.h"
#include "storage/store_packs.h"
#include "storage/store_restores.h"
#include "storage/store_rollback.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

/* What opening may need: footers of two packs, a table of the index, the catalog's log.
 */
#define OPEN_ROOM (16u << 20)
/* A small disk keeps no more of itself than one part in so many. */
#define RESERVE_SHARE 50u

struct store_space {
	uint64_t wanted; /* Bytes of the reserve when it is there. */
	struct store_amount low_water;

	pthread_mutex_t lock;	/* Held while the reserve's file changes.  A leaf. */
	uint64_t held;		/* Bytes that it takes now. */
	int filled;		/* It has no holes: we made it, or have looked. */
	int low;		/* Below the low-water mark. */
	uint64_t avail, low_at; /* As last seen. */

	pthread_mutex_t noting; /* Before all locks but people's and hosts'. */
	char noted[STORE_TEXT_MAX];
};

static uint64_t
amount_of(const struct store_amount *a, uint64_t total)
{
	return a->permille != 0 ? total / 1000 * a->permille : a->bytes;
}

/* "1.5 GiB", for a line of text. */
static void
say_bytes(uint64_t n, char *out, size_t cap)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	double v = (double)n;
	size_t u = 0;

	for (; v >= 1024 && u + 1 < sizeof(units) / sizeof(units[0]); u++)
		v /= 1024;
	(void)snprintf(out, cap, u == 0 ? "%.0f %s" : "%.1f %s", v, units[u]);
}

/* ------------------------------------------------------------------ reserve -- */

/* Give all of it up; `lock` is held.  1 if that made room. */
static int
give_up_locked(struct store *s)
{
	struct store_space *sp = s->space;
	struct err ignored = ERR_INIT;
	struct fs_file *f = NULL;
	int gone;

	if (sp->held == 0)
		return 0;
	gone =
	    fs_open(s->fs, STORE_RESERVE_NAME, FS_READ | FS_WRITE, &f, &ignored) == 0 &&
	    fs_truncate(f, 0, &ignored) == 0;
	/* Some file systems have the room only when this is through. */
	if (gone)
		(void)fs_sync(f, &ignored);
	fs_close(f);
	if (gone)
		sp->held = 0;
	return gone;
}

static int
give_up(struct store *s)
{
	int gone;

	pthread_mutex_lock(&s->space->lock);
	gone = give_up_locked(s);
	pthread_mutex_unlock(&s->space->lock);
	return gone;
}

/* Make it as large as it should be; `lock` is held. */
static void
take_locked(struct store *s)
{
	struct store_space *sp = s->space;
	struct err ignored = ERR_INIT;
	struct fs_file *f = NULL;

	if (fs_open(s->fs, STORE_RESERVE_NAME, FS_READ | FS_WRITE | FS_CREATE, &f,
		&ignored) != 0)
		return;
	/* Too large by another configuration.  What is there stays: it may be all. */
	if ((sp->held <= sp->wanted || fs_truncate(f, 0, &ignored) == 0) &&
	    fs_allocate(f, sp->wanted, &ignored) == 0 && fs_sync(f, &ignored) == 0) {
		sp->held = sp->wanted;
		sp->filled = 1;
	} else {
		err_clear(&ignored);
		(void)fs_truncate(f, 0, &ignored);
		sp->held = 0;
	}
	fs_close(f);
}

/* Bytes of its file. */
static uint64_t
size_of_reserve(struct store *s)
{
	struct err ignored = ERR_INIT;
	struct fs_file *f = NULL;
	uint64_t len = 0;

	if (fs_open(s->fs, STORE_RESERVE_NAME, FS_READ, &f, &ignored) != 0)
		return 0;
	if (fs_size(f, &len, &ignored) != 0)
		len = 0;
	fs_close(f);
	return len;
}

void
store_space_settle(struct store *s)
{
	struct store_space *sp = s->space;
	struct err ignored = ERR_INIT;
	uint64_t avail, total;

	pthread_mutex_lock(&sp->lock);
	/* On a full disk somebody may have removed it by hand. */
	sp->held = size_of_reserve(s);
	if (sp->wanted == 0) {
		(void)give_up_locked(s);
	} else if (sp->held == sp->wanted && !sp->filled) {
		/* A copy of a store may have holes where room should be. */
		take_locked(s);
	} else if (sp->held != sp->wanted &&
		   fs_space(s->fs, &avail, &total, &ignored) == 0 &&
		   avail + sp->held >= 2 * sp->wanted) {
		/* Room for it, and as much again: else it would be gone at once. */
		take_locked(s);
	}
	pthread_mutex_unlock(&sp->lock);
}

int
store_space_yield(struct store *s)
{
	return s->space != NULL && give_up(s);
}

void
store_space_lend(struct store *s)
{
	struct err ignored = ERR_INIT;
	uint64_t avail, total;

	if (fs_space(s->fs, &avail, &total, &ignored) == 0 && avail < s->space->wanted)
		(void)give_up(s);
}

uint64_t
store_space_reserve(struct store *s)
{
	uint64_t held;

	pthread_mutex_lock(&s->space->lock);
	held = s->space->held;
	pthread_mutex_unlock(&s->space->lock);
	return held;
}

int
store_space_seal(struct store *s, struct err *err)
{
	return store_packs_seal(s->packs, err);
}

int
store_space_may_put(struct store *s, struct err *err)
{
	struct store_space *sp = s->space;
	int closed;

	pthread_mutex_lock(&sp->lock);
	closed = sp->wanted > 0 && sp->held == 0 && sp->avail < 2 * sp->wanted;
	pthread_mutex_unlock(&sp->lock);
	if (!closed)
		return 0;
	return err_set(err, ERR_NOSPACE,
	    "the store's disk is full: what is left is kept for pruning and collecting");
}

/* ------------------------------------------------------------------ looking -- */

/* Ask the file system, and judge.  What the reserve should take does not count. */
static int
look(struct store *s, struct err *err)
{
	struct store_space *sp = s->space;
	uint64_t avail, total, missing;

	if (fs_space(s->fs, &avail, &total, err) != 0)
		return -1;
	pthread_mutex_lock(&sp->lock);
	sp->avail = avail;
	missing = sp->wanted - (sp->held < sp->wanted ? sp->held : sp->wanted);
	avail -= missing < avail ? missing : avail;
	sp->low_at = amount_of(&sp->low_water, total);
	/* It ends a little above where it began, lest it come and go. */
	if (sp->low)
		sp->low = avail < sp->low_at + sp->low_at / 16;
	else
		sp->low = avail < sp->low_at;
	pthread_mutex_unlock(&sp->lock);
	return 0;
}

static int
describe(struct store *s, char text[STORE_TEXT_MAX])
{
	struct store_space *sp = s->space;
	char has[32], mark[32];
	int lent, low;

	pthread_mutex_lock(&sp->lock);
	lent = sp->wanted > 0 && sp->held == 0 && sp->avail < 2 * sp->wanted;
	low = sp->low;
	say_bytes(sp->avail, has, sizeof(has));
	say_bytes(sp->low_at, mark, sizeof(mark));
	pthread_mutex_unlock(&sp->lock);
	text[0] = '\0';
	if (lent)
		(void)snprintf(text, STORE_TEXT_MAX,
		    "the store's disk is full (%s left) and the reserve is in use: "
		    "backups wait until there is room",
		    has);
	else if (low)
		(void)snprintf(text, STORE_TEXT_MAX,
		    "the store's disk has %s left, less than low-water (%s): no new "
		    "backup begins",
		    has, mark);
	return lent || low;
}

int
store_space_admit(struct store *s, struct err *err)
{
	char text[STORE_TEXT_MAX];

	if (s->read_only)
		return err_set(err, ERR_DENIED, "the store is open read-only");
	if (look(s, err) != 0)
		return -1;
	return describe(s, text) ? err_set(err, ERR_NOSPACE, "%s", text) : 0;
}

/* -------------------------------------------------------------- open, close -- */

int
store_space_open(struct store *s, const struct store_options *o, struct err *err)
{
	struct store_space *sp = calloc(1, sizeof(*sp));
	uint64_t avail, total;

	if (sp == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the store");
	pthread_mutex_init(&sp->lock, NULL);
	pthread_mutex_init(&sp->noting, NULL);
	s->space = sp;
	if (fs_space(s->fs, &avail, &total, err) != 0)
		return -1;
	sp->avail = avail;
	sp->low_water = o->low_water;
	sp->held = size_of_reserve(s);
	if (o->reserve == STORE_RESERVE_KEEP)
		sp->wanted = sp->held;
	else
		sp->wanted = o->reserve < total / RESERVE_SHARE ? o->reserve
								: total / RESERVE_SHARE;
	if (avail < OPEN_ROOM && avail < sp->wanted)
		(void)give_up(s);
	return 0;
}

void
store_space_free(struct store_space *sp)
{
	if (sp == NULL)
		return;
	pthread_mutex_destroy(&sp->noting);
	pthread_mutex_destroy(&sp->lock);
	free(sp);
}

/* ------------------------------------------------------------------ alarms -- */

uint32_t
store_alarms(struct store *s, struct store_alarm out[STORE_NOTICES_MAX])
{
	struct err ignored = ERR_INIT;
	uint32_t n = 0;

	if (store_time_paused(s, out[n].text))
		out[n++].kind = STORE_NOTICE_CLOCK;
	(void)look(s, &ignored);
	if (describe(s, out[n].text))
		out[n++].kind = STORE_NOTICE_SPACE;
	if (store_rollback_stands(s, out[n].text))
		out[n++].kind = STORE_NOTICE_ROLLBACK;
	if (store_restores_alarmed(s, out[n].text))
		out[n++].kind = STORE_NOTICE_GUESSES;
	return n;
}

/* Record that the alarm came or went; a full disk may have to do without. */
static int
note_space(struct store *s, const char *text, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_STORE_ALARM;
	e->u.notice.kind = STORE_NOTICE_SPACE;
	e->u.notice.trusted_us = store_time_trusted(s);
	(void)snprintf(e->u.notice.text, sizeof(e->u.notice.text), "%s", text);
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

void
store_tick(
    struct store *s, void (*tell)(void *arg, int over, const char *line), void *arg)
{
	struct store_space *sp = s->space;
	char said[STORE_TEXT_MAX], text[STORE_TEXT_MAX];
	struct err err = ERR_INIT;

	(void)store_time_tick(s, said, &err);
	if (said[0] != '\0')
		tell(arg, !store_time_paused(s, NULL), said);
	err_clear(&err);
	store_space_settle(s);
	if (look(s, &err) != 0) {
		tell(arg, 0, err.text);
		return;
	}
	pthread_mutex_lock(&sp->noting);
	/* The line has a number that moves: only its coming and going is new. */
	if (describe(s, text) != (sp->noted[0] != '\0')) {
		tell(arg, text[0] == '\0',
		    text[0] != '\0' ? text : "the store's disk has room again");
		memcpy(sp->noted, text, sizeof(sp->noted));
		(void)note_space(s, text, &err);
	}
	pthread_mutex_unlock(&sp->noting);
}
