#include "agent/capture/tracking.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium.h>

#include "agent/capture/tracking_store.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "proto/base/err.h"
#include "proto/base/wait.h"

#define MEMORY ((uint64_t)1 << 20) /* Of a set without an image: the least there is. */
#define BUSY_TRIES 15u		   /* For somebody else's set to end. */
#define BUSY_MS 200u
#define LIST_BITS ((uint64_t)1 << 25) /* Kept of one list: 4 MiB, as changes.h has it. */
#define NOT_IN_SET UINT32_MAX

struct tracked {
	char *path, *volume; /* And what it is called for good. */
	int known;	     /* The driver is above it, and it can be tracked. */
	uint64_t number, length;
	uint32_t index; /* In the set. */
	struct tracking_generation began, base;
	/* Nothing was to be concluded when it was looked at first, and so (enum
	   hotcopy_tracking, enum hotcopy_reason): whoever freezes may begin a generation
	   of his own before the cut, and commit it.  0: something was. */
	uint32_t doubt, doubt_why;
	char why[160];
	uint8_t *list; /* tracking_seen(): a bit for each 1 << shift bytes. */
	unsigned shift;
};

struct tracking {
	struct hotcopy_link *link; /* NULL: nothing is tracked. */
	int own_link;
	uint8_t nonce[HOTCOPY_NONCE];
	uint64_t set; /* That tells of changes; 0: none. */
	int own_set, distrusted, after_crash;
	unsigned count;
	struct tracked v[];
};

static const char *
why_word(uint32_t why)
{
	static const char *const words[] = {
		[HOTCOPY_WHY_NONE] = "nobody knows why",
		[HOTCOPY_WHY_NO_SPACE] = "no room for it",
		[HOTCOPY_WHY_READ_ERROR] = "the volume could not be read",
		[HOTCOPY_WHY_DIFF_ERROR] = "room for copies failed",
		[HOTCOPY_WHY_REMOVED] = "the volume went away",
		[HOTCOPY_WHY_RESIZED] = "the volume was resized",
		[HOTCOPY_WHY_UNKNOWN_WRITE] = "something wrote in an unknown way",
		[HOTCOPY_WHY_WRITTEN_INTO] = "its store was moved or overwritten",
		[HOTCOPY_WHY_POWER] = "the machine slept",
		[HOTCOPY_WHY_STORE_ERROR] = "its store failed",
		[HOTCOPY_WHY_STORE_DAMAGED] = "its store is damaged",
		[HOTCOPY_WHY_FOREIGN] = "another system may have written",
		[HOTCOPY_WHY_NO_MEMORY] = "no memory for it",
		[HOTCOPY_WHY_ASKED] = "a restore or a person said so",
	};

	return why < sizeof(words) / sizeof(words[0]) ? words[why] : "unknown reason";
}

/* No list of it: `what`, and `why` behind it or NULL. */
static void
give_up(struct tracked *v, const char *what, const char *why)
{
	v->base.number = 0;
	(void)snprintf(v->why, sizeof(v->why), "%.60s%s%.90s", what,
	    why != NULL ? ": " : "", why != NULL ? why : "");
}

static void
give_up_all(struct tracking *t, const char *what, const char *why)
{
	for (unsigned i = 0; i < t->count; i++)
		if (t->v[i].known)
			give_up(&t->v[i], what, why);
}

/* ---------------------------------------------------------------- looking -- */

/* Can it only be tracked anew?  Its store is not what it was, or not its own any more. */
static int
is_over(const struct hotcopy_volume *v)
{
	return v->tracking == HOTCOPY_TRACK_INVALID &&
	       (v->why == HOTCOPY_WHY_RESIZED || v->why == HOTCOPY_WHY_WRITTEN_INTO ||
		   v->why == HOTCOPY_WHY_STORE_ERROR ||
		   v->why == HOTCOPY_WHY_STORE_DAMAGED);
}

/* See to it that `v` is tracked; what it is now goes to `info`. */
static void
see_to(struct tracking *t, struct tracked *v, struct hotcopy_volume *info)
{
	struct err err = ERR_INIT;
	uint8_t nonce[HOTCOPY_NONCE];

	if (info->state == HOTCOPY_PASSING || info->state == HOTCOPY_REMOVED) {
		v->known = 0;
		give_up(v, "the driver only passes on what it is asked", NULL);
		return;
	}
	if (is_over(info) && hotcopy_untrack(t->link, v->number, &err) == 0) {
		tracking_store_drop(v->path);
		info->tracking = HOTCOPY_TRACK_OFF;
	}
	err_clear(&err);
	if (info->tracking != HOTCOPY_TRACK_OFF) {
		tracking_store_hold(v->path, info);
		return;
	}
	randombytes_buf(nonce, sizeof(nonce));
	if (tracking_store_begin(t->link, v->path, info, nonce, &err) != 0) {
		v->known = 0;
		give_up(v, "it cannot be tracked", err.text);
	}
}

static void
doubt(struct tracked *v, uint32_t tracking, uint32_t why)
{
	if (tracking == HOTCOPY_TRACK_NEW)
		give_up(v, "tracking began with this point", NULL);
	else if (tracking == HOTCOPY_TRACK_INVALID)
		give_up(v, "tracking is invalid", why_word(why));
	else
		give_up(v, "tracking was switched off meanwhile", NULL);
}

/* What was committed last, and whether what is said since may be believed. */
static void
learn(const struct tracking *t, struct tracked *v, const struct hotcopy_volume *info)
{
	if (info->tracking != HOTCOPY_TRACK_VALID &&
	    info->tracking != HOTCOPY_TRACK_RECOVERED) {
		doubt(v, info->tracking, info->why);
		return;
	}
	v->base.number = info->generation;
	memcpy(v->base.nonce, info->nonce, sizeof(v->base.nonce));
	v->why[0] = '\0';
	if (info->generation == 0 || info->length != v->length)
		give_up(v, "the tracking changed meanwhile", NULL);
	else if (v->doubt != 0)
		doubt(v, v->doubt, v->doubt_why);
	else if (info->tracking == HOTCOPY_TRACK_RECOVERED && !t->after_crash)
		give_up(
		    v, "the machine crashed, and another system may have written", NULL);
}

static const struct hotcopy_volume *
find(const struct hotcopy_volumes *all, uint64_t number)
{
	for (uint32_t i = 0; i < all->given; i++)
		if (all->volume[i].volume == number)
			return &all->volume[i];
	return NULL;
}

/* After the cut: only now can the base not become another one. */
static void
learn_all(struct tracking *t)
{
	struct hotcopy_volumes *all;
	const struct hotcopy_volume *info;
	struct err err = ERR_INIT;

	if (hotcopy_list(t->link, &all, &err) != 0) {
		give_up_all(t, "the driver does not tell of its tracking", err.text);
		return;
	}
	for (unsigned i = 0; i < t->count; i++) {
		struct tracked *v = &t->v[i];

		if (!v->known)
			continue;
		if (v->began.number == 0 || (info = find(all, v->number)) == NULL)
			give_up(v, "it was not tracked when it was frozen", NULL);
		else
			learn(t, v, info);
	}
	free(all);
}

/* -------------------------------------------------------------- beginning -- */

/* The driver of the first volume that has one; none is no failure. */
static void
find_driver(struct tracking *t, struct hotcopy_link *l)
{
	struct err why = ERR_INIT;

	t->link = l;
	t->own_link = l == NULL;
	for (unsigned i = 0; i < t->count && t->link == NULL; i++)
		if (hotcopy_link_open(t->v[i].path, &t->link, &why) != 0) {
			t->link = NULL;
			err_clear(&why);
		}
}

/* Points that the server holds: only a generation that waits for it is committed, and
   that is a later one than the base. */
static void
commit_held(struct tracking *t, const struct hotcopy_volume *info,
    const struct tracking_options *o)
{
	struct err ignored = ERR_INIT;

	for (unsigned i = 0; i < o->held_count; i++) {
		if (o->held[i].number <= info->generation)
			continue;
		(void)hotcopy_commit(
		    t->link, info->volume, o->held[i].number, o->held[i].nonce, &ignored);
		err_clear(&ignored);
	}
}

static void
look_at(struct tracking *t, struct tracked *v, const struct hotcopy_volumes *all,
    const struct tracking_options *o)
{
	const struct hotcopy_volume *found;
	struct hotcopy_volume info;
	struct err ignored = ERR_INIT;

	if (hotcopy_link_volume(t->link, v->path, &v->number, &ignored) != 0 ||
	    (found = find(all, v->number)) == NULL)
		return;
	info = *found;
	v->known = 1;
	v->length = info.length;
	if ((v->volume = tracking_store_volume(v->path, v->number)) == NULL) {
		v->known = 0;
		give_up(v, "no memory", NULL);
		return;
	}
	see_to(t, v, &info);
	if (!v->known)
		return;
	commit_held(t, &info, o);
	if (hotcopy_find(t->link, v->number, &info, &ignored) == 0 &&
	    (info.tracking == HOTCOPY_TRACK_NEW ||
		info.tracking == HOTCOPY_TRACK_INVALID)) {
		v->doubt = info.tracking;
		v->doubt_why = info.why;
	}
}

int
tracking_begin(struct hotcopy_link *l, const char *const *paths, unsigned count,
    const struct tracking_options *o, struct tracking **out, struct err *err)
{
	struct tracking *t = calloc(1, sizeof(*t) + count * sizeof(t->v[0]));
	struct hotcopy_volumes *all = NULL;
	struct err why = ERR_INIT;
	unsigned i, tracked = 0;
	uint32_t build;

	for (i = 0; t != NULL && i < count; i++, t->count++)
		if ((t->v[i].path = strdup(paths[i])) == NULL)
			break;
	if (t == NULL || i < count) {
		tracking_free(t);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*out = t;
	t->after_crash = o->after_crash;
	randombytes_buf(t->nonce, sizeof(t->nonce));
	if (!o->on)
		return 0;
	find_driver(t, l);
	if (t->link == NULL)
		return 0;
	if (hotcopy_is_disabled(t->link, &build, &why) != 0 ||
	    hotcopy_list(t->link, &all, &why) != 0) {
		for (i = 0; i < count; i++)
			give_up(&t->v[i], "the driver is switched off", NULL);
		return 0;
	}
	for (i = 0; i < count; i++) {
		look_at(t, &t->v[i], all, o);
		tracked += (unsigned)t->v[i].known;
		if (tracked > HOTCOPY_VOLUMES_MAX) {
			t->v[i].known = 0;
			give_up(&t->v[i], "there are too many volumes", NULL);
		}
	}
	free(all);
	return 0;
}

/* ----------------------------------------------------------------- cutting -- */

static void
set_began(struct tracking *t, struct tracked *v, uint64_t number)
{
	v->began.number = number;
	memcpy(v->began.nonce, t->nonce, sizeof(v->began.nonce));
}

/* The set of what is tracked, of nobody else's if that ends soon. */
static int
prepare(struct tracking *t, const uint64_t *volumes, unsigned n, struct err *err)
{
	const struct hotcopy_wishes wishes = { .memory = MEMORY };
	struct hotcopy_prepared prepared;

	for (unsigned tries = 1;; tries++) {
		if (hotcopy_prepare(t->link, volumes, n, &wishes, &prepared, err) == 0) {
			t->set = prepared.set;
			t->own_set = 1;
			return 0;
		}
		if (err->code != ERR_BUSY || tries == BUSY_TRIES)
			return -1;
		err_clear(err);
		wait_ms(BUSY_MS);
	}
}

static void
release(struct tracking *t)
{
	struct err ignored = ERR_INIT;

	if (t->own_set)
		(void)hotcopy_release(t->link, t->set, &ignored);
	t->own_set = 0;
	t->set = 0;
}

void
tracking_cut(struct tracking *t)
{
	uint64_t volumes[HOTCOPY_VOLUMES_MAX];
	struct hotcopy_frozen frozen;
	struct err err = ERR_INIT;
	unsigned n = 0;

	for (unsigned i = 0; i < t->count; i++) {
		t->v[i].index = t->v[i].known ? n : NOT_IN_SET;
		if (t->v[i].known)
			volumes[n++] = t->v[i].number;
	}
	if (n == 0)
		return;
	if (prepare(t, volumes, n, &err) != 0 ||
	    hotcopy_freeze(t->link, t->set,
		HOTCOPY_FREEZE_CUT_ONLY | HOTCOPY_FREEZE_GENERATION, 0, 0, t->nonce,
		&frozen, &err) != 0) {
		give_up_all(t, "no generation could be begun", err.text);
		release(t);
		return;
	}
	for (unsigned i = 0; i < t->count; i++)
		if (t->v[i].known)
			set_began(t, &t->v[i], frozen.generation[t->v[i].index]);
	learn_all(t);
}

const uint8_t *
tracking_nonce(const struct tracking *t)
{
	return t->nonce;
}

void
tracking_frozen(struct tracking *t, uint64_t set, const struct hotcopy_frozen *f)
{
	t->set = set;
	for (unsigned i = 0; i < t->count; i++) {
		struct tracked *v = &t->v[i];

		v->index = i < f->volumes ? i : NOT_IN_SET;
		if (v->known && v->index != NOT_IN_SET)
			set_began(t, v, f->generation[i]);
	}
	if (t->link != NULL)
		learn_all(t);
}

/* ------------------------------------------------------------------- lists -- */

static int
take(void *arg, uint64_t offset, uint64_t len)
{
	struct tracked *v = arg;
	uint64_t end;

	if (offset >= v->length || len == 0)
		return 0;
	if (len > v->length - offset)
		len = v->length - offset;
	end = (offset + len - 1) >> v->shift;
	for (uint64_t n = offset >> v->shift; n <= end; n++)
		v->list[n >> 3] |= (uint8_t)(1u << (n & 7));
	return 0;
}

static int
take_list(struct tracking *t, struct tracked *v, struct err *err)
{
	uint64_t bits;

	for (v->shift = HOTCOPY_TRACK_SHIFT; v->length >> v->shift >= LIST_BITS;
	     v->shift++)
		;
	bits = (v->length >> v->shift) + 1;
	if ((v->list = calloc(1, (size_t)(bits / 8 + 1))) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	return hotcopy_changed(t->link, t->set, v->index, v->length, 1, take, v, err);
}

void
tracking_seen(struct tracking *t)
{
	struct err err = ERR_INIT;

	if (!t->own_set)
		return;
	for (unsigned i = 0; i < t->count; i++) {
		struct tracked *v = &t->v[i];

		if (v->base.number == 0 || take_list(t, v, &err) == 0)
			continue;
		give_up(v, "the driver tells of no changes", err.text);
		err_clear(&err);
	}
	release(t);
}

void
tracking_view(const struct tracking *t, unsigned i, struct tracking_view *out)
{
	memset(out, 0, sizeof(*out));
	out->why = "";
	if (i >= t->count)
		return;
	out->volume = t->v[i].volume;
	out->length = t->v[i].length;
	out->began = t->v[i].began;
	out->base = t->v[i].base;
	out->why = t->v[i].why;
}

/* What tracking_seen() took. */
static int
tell(const struct tracked *v, int (*each)(void *arg, uint64_t offset, uint64_t len),
    void *arg)
{
	uint64_t bits = ((v->length - 1) >> v->shift) + 1, from, n = 0, end;
	int rc;

	while (n < bits) {
		if ((v->list[n >> 3] >> (n & 7) & 1) == 0) {
			n += v->list[n >> 3] == 0 ? 8 - (n & 7) : 1;
			continue;
		}
		for (from = n; n < bits && (v->list[n >> 3] >> (n & 7) & 1) != 0; n++)
			;
		end = n << v->shift < v->length ? n << v->shift : v->length;
		if ((rc = each(arg, from << v->shift, end - (from << v->shift))) != 0)
			return rc;
	}
	return 0;
}

int
tracking_list(struct tracking *t, unsigned i,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg, struct err *err)
{
	struct tracked *v = i < t->count ? &t->v[i] : NULL;

	if (v == NULL || v->base.number == 0)
		return err_set(err, ERR_UNSUPPORTED, "there is no list of changes");
	if (v->list != NULL)
		return tell(v, each, arg);
	return hotcopy_changed(t->link, t->set, v->index, v->length, 0, each, arg, err);
}

/* --------------------------------------------------------------- the end -- */

void
tracking_distrust(struct tracking *t)
{
	t->distrusted = 1;
}

void
tracking_finish(struct tracking *t, int ok)
{
	struct err ignored = ERR_INIT;

	release(t);
	for (unsigned i = 0; i < t->count; i++) {
		struct tracked *v = &t->v[i];

		if (!v->known || v->began.number == 0)
			continue;
		if (ok)
			(void)hotcopy_commit(t->link, v->number, v->began.number,
			    v->began.nonce, &ignored);
		else
			(void)hotcopy_abort(t->link, v->number, v->began.number,
			    v->began.nonce, &ignored);
		err_clear(&ignored);
		if (!ok && t->distrusted)
			(void)hotcopy_invalidate(t->link, v->number, &ignored);
		err_clear(&ignored);
	}
}

void
tracking_free(struct tracking *t)
{
	if (t == NULL)
		return;
	if (t->link != NULL)
		release(t);
	if (t->own_link)
		hotcopy_link_close(t->link);
	for (unsigned i = 0; i < t->count; i++) {
		free(t->v[i].path);
		free(t->v[i].volume);
		free(t->v[i].list);
	}
	free(t);
}
