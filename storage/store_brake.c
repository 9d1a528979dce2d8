#include "storage/brake.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_retention.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

/* Of a host that was never judged so many newest backups are. */
#define FIRST_LOOK 16u
#define DAY_S 86400

/* Put down what is the matter, or (empty text) that nothing is.  The lock is held. */
static int
record(struct store *s, const char *who, const char *host, uint64_t sequence,
    const char *text, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_BRAKE;
	(void)snprintf(e->u.mark.host, STORE_NAME_MAX, "%s", host);
	(void)snprintf(e->u.mark.who, STORE_NAME_MAX, "%s", who);
	(void)snprintf(e->u.mark.text, STORE_TEXT_MAX, "%s", text);
	e->u.mark.sequence = sequence;
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

/* Has too long nothing been found whole?  Clearing the brake gives as long again. */
static int
too_old(struct store *s, const struct store_rules *rules, const struct store_ages *newest,
    const struct store_brake *known, char text[STORE_TEXT_MAX])
{
	int64_t now = store_time_trusted(s), since = newest->time_us;
	uint64_t age_s;

	if (rules->verified_s == 0 || newest->time_us == 0)
		return 0;
	if (known->since_us > since)
		since = known->since_us;
	if (now <= since ||
	    (age_s = (uint64_t)(now - since) / 1000000) <= rules->verified_s)
		return 0;
	age_s = (uint64_t)(now - newest->time_us) / 1000000;
	(void)snprintf(text, STORE_TEXT_MAX,
	    "%s%llu, is %llu days %llu hours old, the policy allows %llu days %llu "
	    "hours: "
	    "verify it",
	    newest->verified ? "its newest verified point, "
			     : "no point was ever verified, and its oldest, ",
	    (unsigned long long)newest->sequence, (unsigned long long)(age_s / DAY_S),
	    (unsigned long long)(age_s % DAY_S / 3600),
	    (unsigned long long)(rules->verified_s / DAY_S),
	    (unsigned long long)(rules->verified_s % DAY_S / 3600));
	return 1;
}

int
store_brake_locked(struct store *s, const char *host, const struct store_rules *rules,
    const struct store_ages *newest, int dry, struct store_brake *b, struct err *err)
{
	struct brake_backup h[CATALOG_HISTORY_MAX];
	char text[STORE_TEXT_MAX];
	uint64_t after;
	uint32_t n;

	if (catalog_brake(s->catalog, host, b, err) < 0)
		return -1;
	if (b->text[0] != '\0')
		return 0;
	if (catalog_history(s->catalog, host, h, &n, err) != 0)
		return -1;
	after = b->sequence;
	if (after == 0 && n > FIRST_LOOK)
		after = h[n - 1 - FIRST_LOOK].sequence;
	if (!brake_judge(h, n, after, text) && !too_old(s, rules, newest, b, text))
		return 0;
	if (!dry && record(s, "", host, n > 0 ? h[n - 1].sequence : 0, text, err) != 0)
		return -1;
	(void)snprintf(b->text, sizeof(b->text), "%s", text);
	b->who[0] = '\0';
	b->since_us = store_now(s);
	return 1;
}

/* -------------------------------------------------------------------- calls -- */

struct looking {
	struct store_ages newest;
};

static int
look(void *arg, const struct store_kept *k)
{
	struct looking *l = arg;

	/* From the oldest on: the first of all, or the last verified one. */
	if (l->newest.time_us == 0 || k->verified_us != 0)
		l->newest =
		    (struct store_ages){ k->verified_us != 0, k->sequence, k->time_us };
	return 0;
}

int
store_brake_check(
    struct store *s, const char *host, struct store_brake *out, struct err *err)
{
	pthread_mutex_t *lock = store_host_lock(s, host);
	struct store_policy policy;
	struct looking l = { 0 };
	int ret;

	pthread_mutex_lock(lock);
	ret = store_policy_of(s, host, &policy, err);
	if (ret == 0 && policy.rules.verified_s > 0)
		ret = store_kept(s, host, look, &l, err);
	if (ret == 0)
		ret = store_brake_locked(s, host, &policy.rules, &l.newest, 0, out, err);
	pthread_mutex_unlock(lock);
	return ret;
}

int
store_brake_of(
    struct store *s, const char *host, struct store_brake *out, struct err *err)
{
	return catalog_brake(s->catalog, host, out, err) < 0 ? -1 : 0;
}

int
store_brake_clear(struct store *s, const char *who, const char *host, struct err *err)
{
	pthread_mutex_t *lock = store_host_lock(s, host);
	struct store_brake known;
	struct catalog_head head;
	int ret = -1;

	pthread_mutex_lock(lock);
	if (catalog_brake(s->catalog, host, &known, err) >= 0 &&
	    catalog_head(s->catalog, host, &head, err) == 0) {
		if (known.text[0] == '\0')
			(void)err_set(err, ERR_NOTFOUND, "'%s' is not braked", host);
		else
			ret = record(s, who, host, head.sequence, "", err);
	}
	pthread_mutex_unlock(lock);
	return ret;
}
