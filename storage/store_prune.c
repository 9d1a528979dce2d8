#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/retention.h"
#include "storage/store_retention.h"
#include "storage/store_space.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

#define HOSTS_AT_ONCE 64u
#define LOOKS 4u
#define VOLUMES_MAX 1024u /* Of a host, by name: more are of one that plays. */
#define SECOND_US 1000000

/* One host being pruned. */
struct pruning {
	struct store *s;
	const char *who;
	int dry;
	struct err *err;
	int looked;
	uint64_t quarantines; /* Of the store when it was looked whether all is whole. */
	struct store_lease *lease; /* For looking at trees; NULL: all is whole. */
	struct store_nodes *checked;
	struct store_point *head; /* Room for the newest point of a volume. */
	uint64_t *bad;		  /* Sequences of points that are damaged, falling. */
	size_t n_bad, bad_cap;

	struct store_fate *fates;
	size_t n, cap;
	struct retention_point *points;
	struct retention_verdict *verdicts;
};

/* ------------------------------------------------------------------- damage -- */

static int
is_whole(struct pruning *p, const struct store_volume *v)
{
	struct buf data = BUF_INIT(CHUNK_ID_LEN), meta = BUF_INIT(CHUNK_ID_LEN);
	struct store_check check = { .lease = p->lease,
		.checked = p->checked,
		.data_ids = &data,
		.meta_ids = &meta };
	struct store_volume found;
	struct err why = ERR_INIT;
	int whole = 1;

	if (store_check_tree(&check, &v->root_id, &found, &why) != 0) {
		whole = 0;
		if (why.code != ERR_CORRUPT && why.code != ERR_UNSUPPORTED) {
			*p->err = why;
			whole = -1;
		}
	} else if (data.len + meta.len > 0) {
		whole = 0;
	}
	buf_free(&data);
	buf_free(&meta);
	return whole;
}

static int
look_at_point(void *arg, const struct store_point *point)
{
	struct pruning *p = arg;
	uint64_t *more;
	int whole = 1;

	for (uint32_t i = 0; whole > 0 && i < point->volumes_count; i++)
		whole = is_whole(p, &point->volumes[i]);
	if (whole != 0)
		return whole > 0 ? 0 : -1;
	if (p->n_bad == p->bad_cap) {
		p->bad_cap = p->bad_cap == 0 ? 16 : 2 * p->bad_cap;
		more = realloc(p->bad, p->bad_cap * sizeof(*more));
		if (more == NULL)
			return err_set(p->err, ERR_NOMEM, "no memory to prune");
		p->bad = more;
	}
	p->bad[p->n_bad++] = point->sequence;
	return 0;
}

static void
end_damage(struct pruning *p)
{
	store_lease_close(p->lease);
	store_nodes_free(p->checked);
	p->lease = NULL;
	p->checked = NULL;
}

/* Is anything lost at all?  Asked again whenever more was found to be. */
static int
begin_damage(struct pruning *p)
{
	uint64_t quarantines = atomic_load(&p->s->quarantines);
	struct chunk_id *bad = NULL;
	size_t n = 0;

	if (p->looked && p->quarantines == quarantines)
		return 0;
	end_damage(p);
	p->looked = 0;
	p->quarantines = quarantines;
	if (store_bad_ids(p->s, &bad, &n, p->err) != 0)
		return -1;
	free(bad);
	if (n > 0 || store_lost_unnamed(p->s)) {
		if ((p->checked = store_nodes_new(1u << 16)) == NULL)
			return err_set(p->err, ERR_NOMEM, "no memory to check trees");
		if (store_lease_open(p->s, "", STORE_READ, &p->lease, p->err) != 0)
			return -1;
	}
	p->looked = 1;
	return 0;
}

/*
 * Which of the host's points rest on something that is lost?  Trees are walked
 * only if anything is.
 */
static int
find_damaged(struct pruning *p, const char *host)
{
	p->n_bad = 0;
	if (begin_damage(p) != 0)
		return -1;
	if (p->lease == NULL)
		return 0;
	return store_points(p->s, host, INT64_MAX, look_at_point, p, p->err);
}

static int
falling(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x > *y ? -1 : *x < *y;
}

static int
is_damaged(const struct pruning *p, uint64_t sequence)
{
	return p->n_bad > 0 &&
	       bsearch(&sequence, p->bad, p->n_bad, sizeof(*p->bad), falling) != NULL;
}

/* ------------------------------------------------------------------ judging -- */

static int
take_kept(void *arg, const struct store_kept *k)
{
	struct pruning *p = arg;

	if (p->n == p->cap) {
		size_t cap = p->cap == 0 ? 64 : 2 * p->cap;
		struct store_fate *f = realloc(p->fates, cap * sizeof(*f));
		struct retention_point *r;
		struct retention_verdict *v;

		if (f == NULL)
			return err_set(p->err, ERR_NOMEM, "no memory to prune");
		p->fates = f;
		if ((r = realloc(p->points, cap * sizeof(*r))) == NULL)
			return err_set(p->err, ERR_NOMEM, "no memory to prune");
		p->points = r;
		if ((v = realloc(p->verdicts, cap * sizeof(*v))) == NULL)
			return err_set(p->err, ERR_NOMEM, "no memory to prune");
		p->verdicts = v;
		p->cap = cap;
	}
	memset(&p->fates[p->n], 0, sizeof(p->fates[0]));
	p->fates[p->n].kept = *k;
	/* What may be wrong takes the place of nothing that is right. */
	p->fates[p->n].damaged =
	    k->hurt || k->suspect_us != 0 || is_damaged(p, k->sequence);
	p->points[p->n] = (struct retention_point){ .time_us = k->time_us,
		.sequence = k->sequence,
		.held = k->held || store_is_restoring(p->s, k),
		.locked = store_is_locked(p->s, k),
		.verified = k->verified_us != 0,
		.damaged = p->fates[p->n].damaged };
	p->n++;
	return 0;
}

static void append(struct store_fate *f, const char *fmt, ...) ERR_PRINTF(2, 3);

static void
append(struct store_fate *f, const char *fmt, ...)
{
	size_t n = strlen(f->why);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(f->why + n, sizeof(f->why) - n, fmt, ap);
	va_end(ap);
}

static void
say_why(struct pruning *p, size_t i, const struct store_rules *rules)
{
	struct store_fate *f = &p->fates[i];
	time_t until = (time_t)(f->kept.locked_us / 1000000);
	char day[40] = "";
	struct tm tm;

	retention_say(rules, &p->points[i], &p->verdicts[i], &retention_local, f->why,
	    sizeof(f->why));
	if (f->kept.held)
		append(f, " [held by %s: %s]", f->kept.held_by, f->kept.held_why);
	if (p->points[i].locked) {
		if (localtime_r(&until, &tm) != NULL)
			(void)strftime(day, sizeof(day), "%Y-%m-%d %H:%M", &tm);
		append(f, " [locked until %s by %s]", day, f->kept.locked_by);
	}
	if (store_is_restoring(p->s, &f->kept))
		append(f, " [a restore of it is open]");
	if (f->kept.suspect_us != 0)
		append(f, " [suspect]");
	else if (f->damaged)
		append(f, " [damaged]");
}

/* The host's newest verified point, or its oldest. */
static struct store_ages
ages_of(const struct pruning *p)
{
	struct store_ages a = { 0 };

	for (size_t i = 0; i < p->n; i++) {
		int verified = p->points[i].verified && !p->points[i].damaged;

		if (i == 0 || verified)
			a = (struct store_ages){ verified, p->points[i].sequence,
				p->points[i].time_us };
	}
	return a;
}

/* That point, if it counts: NULL if it may be wrong, or of no time yet. */
static struct retention_point *
good_point(const struct pruning *p, uint64_t sequence, int64_t now_us)
{
	size_t low = 0, high = p->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (p->points[mid].sequence < sequence)
			low = mid + 1;
		else
			high = mid;
	}
	return low < p->n && p->points[low].sequence == sequence &&
		       !p->points[low].damaged && p->points[low].time_us <= now_us
		   ? &p->points[low]
		   : NULL;
}

/*
 * By the newest point of the volume: a list of changes that is found wrong tomorrow makes
 * all behind what that says suspect.  If it read all of the volume it is good itself.
 */
static int
mark_proven(struct pruning *p, const char *host, const char *volume, int64_t now_us)
{
	struct catalog *c = p->s->catalog;
	struct retention_point *good = NULL;
	uint64_t at;

	if (catalog_volume_point(c, host, volume, INT64_MAX, &at, p->err) != 0)
		return -1;
	/* Most volumes are in the same points. */
	if ((at != p->head->sequence || strcmp(host, p->head->host) != 0) &&
	    store_point_get(p->s, host, at, p->head, p->err) != 0)
		return -1;
	at = store_facts_proven(p->head);
	while (at > 0 && good == NULL) {
		if (catalog_volume_point(c, host, volume, at, &at, p->err) != 0)
			return -1;
		if (at > 0 && (good = good_point(p, at, now_us)) == NULL)
			at--;
	}
	if (good != NULL)
		good->proven = 1;
	return 0;
}

/* Of each volume, for they may be backed up apart. */
static int
find_proven(struct pruning *p, const char *host, int64_t now_us)
{
	char volume[STORE_NAME_MAX] = "", next[STORE_NAME_MAX];
	int rc = 0;

	if (p->head == NULL && (p->head = calloc(1, sizeof(*p->head))) == NULL)
		return err_set(p->err, ERR_NOMEM, "no memory to prune");
	for (unsigned n = 0; n < VOLUMES_MAX; n++) {
		rc = catalog_volume_next(p->s->catalog, host, volume, next, p->err);
		if (rc <= 0 || mark_proven(p, host, next, now_us) != 0)
			break;
		memcpy(volume, next, sizeof(volume));
	}
	return rc < 0 || p->err->code != ERR_NONE ? -1 : 0;
}

/* Judge all points of the host as they are now.  Its lock is held. */
static int
judge(struct pruning *p, struct store_pruned *out)
{
	struct store_brake brake;
	struct store_ages newest;
	int64_t now;

	p->n = 0;
	/* Records of one moment may be a little later than it. */
	now = store_time_trusted(p->s) + SECOND_US;
	if (store_policy_of(p->s, out->host, &out->policy, p->err) != 0 ||
	    store_kept(p->s, out->host, take_kept, p, p->err) != 0 ||
	    find_proven(p, out->host, now) != 0)
		return -1;
	newest = ages_of(p);
	if (store_brake_locked(p->s, out->host, &out->policy.rules, &newest, p->dry,
		&brake, p->err) < 0 ||
	    retention_judge(&out->policy.rules, p->points, p->n, &retention_local, now,
		p->verdicts, p->err) != 0)
		return -1;
	memcpy(out->stopped, brake.text, sizeof(out->stopped));
	if (brake.text[0] == '\0' && !store_time_paused(p->s, out->stopped))
		out->stopped[0] = '\0';
	for (size_t i = 0; i < p->n; i++) {
		p->fates[i].stays = p->verdicts[i].rules != 0;
		out->stay += (uint32_t)p->fates[i].stays;
		out->go += (uint32_t)!p->fates[i].stays;
		say_why(p, i, &out->policy.rules);
	}
	return 0;
}

/* ------------------------------------------------------------------ pruning -- */

/* Let go what is to go.  The host's lock is held. */
static int
let_go(struct pruning *p, struct store_pruned *out)
{
	uint64_t batch[STORE_PRUNE_MAX];
	uint32_t n = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (!p->fates[i].stays)
			batch[n++] = p->fates[i].kept.sequence;
		if (n == 0 || (n < STORE_PRUNE_MAX && i + 1 < p->n))
			continue;
		if (store_prune_locked(p->s, p->who, out->host, batch, n, p->err) != 0)
			return -1;
		out->gone += n;
		n = 0;
	}
	return 0;
}

/*
 * Judge and let go, in one step for commits, holds and policies.  1 if something
 * was found damaged since it was looked for: to be called again.
 */
static int
judge_and_let_go(struct pruning *p, struct store_pruned *out)
{
	pthread_mutex_t *lock = store_host_lock(p->s, out->host);
	int ret;

	/* No group and no policy changes: what one keeps must not go after it was set. */
	if (!p->dry)
		pthread_mutex_lock(&p->s->people);
	pthread_mutex_lock(lock);
	ret = p->quarantines != atomic_load(&p->s->quarantines);
	if (ret == 0)
		ret = judge(p, out);
	store_pause(p->s, STORE_PAUSE_PRUNE);
	if (ret == 0 && !p->dry && out->go > 0 && out->stopped[0] == '\0')
		ret = let_go(p, out);
	pthread_mutex_unlock(lock);
	if (!p->dry)
		pthread_mutex_unlock(&p->s->people);
	return ret;
}

static int
prune_host(struct pruning *p, const char *host,
    int (*each)(void *arg, const struct store_pruned *p), void *arg)
{
	struct store_pruned *out = calloc(1, sizeof(*out));
	int ret = 1;

	if (out == NULL)
		return err_set(p->err, ERR_NOMEM, "no memory to prune");
	(void)snprintf(out->host, sizeof(out->host), "%s", host);
	for (unsigned i = 0; ret > 0 && i < LOOKS; i++) {
		/* Takes long where something is lost: a backup need not wait for it. */
		ret = find_damaged(p, host);
		if (ret == 0)
			ret = judge_and_let_go(p, out);
	}
	if (ret > 0)
		ret = err_set(p->err, ERR_BUSY,
		    "more and more is found damaged: nothing of it is pruned now");
	if (ret < 0) {
		(void)err_context(p->err, "%s", host);
	} else if (p->n > 0) {
		out->n = (uint32_t)p->n;
		out->fates = p->fates;
		ret = each(arg, out);
	}
	free(out);
	return ret;
}

/* What fails at one host is told at the end: those behind it come to their turn. */
static int
prune_all(
    struct pruning *p, int (*each)(void *arg, const struct store_pruned *p), void *arg)
{
	char names[HOSTS_AT_ONCE][STORE_NAME_MAX], after[STORE_NAME_MAX] = "";
	struct err first = ERR_INIT;
	uint32_t n = HOSTS_AT_ONCE;
	int ret = 0;

	while (ret == 0 && n == HOSTS_AT_ONCE) {
		ret =
		    catalog_hosts(p->s->catalog, after, names, HOSTS_AT_ONCE, &n, p->err);
		for (uint32_t i = 0; ret == 0 && i < n; i++) {
			memcpy(after, names[i], sizeof(after));
			ret = prune_host(p, names[i], each, arg);
			if (ret == 0 || p->err->code == ERR_NONE)
				continue;
			if (first.code == ERR_NONE)
				first = *p->err;
			err_clear(p->err);
			ret = 0;
		}
	}
	if (first.code == ERR_NONE)
		return ret;
	*p->err = first;
	return -1;
}

int
store_prune(struct store *s, const char *who, const char *host, int dry,
    int (*each)(void *arg, const struct store_pruned *p), void *arg, struct err *err)
{
	struct pruning p = { .s = s, .who = who, .dry = dry, .err = err };
	int ret;

	if (!dry)
		store_space_lend(s);
	ret = host != NULL ? prune_host(&p, host, each, arg) : prune_all(&p, each, arg);
	end_damage(&p);
	free(p.head);
	free(p.bad);
	free(p.fates);
	free(p.points);
	free(p.verdicts);
	return ret;
}
