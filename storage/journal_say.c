#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "storage/journal_record.h"
#include "storage/store_restores.h"

#define SAY_TIME_MAX 40

static int say(char out[JOURNAL_WHAT_MAX], const char *fmt, ...) ERR_PRINTF(2, 3);

static int
say(char out[JOURNAL_WHAT_MAX], const char *fmt, ...)
{
	va_list ap;
	size_t n;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(out, JOURNAL_WHAT_MAX, fmt, ap);
	va_end(ap);
	if (len < JOURNAL_WHAT_MAX)
		return 1;
	/* Back to where a character began. */
	for (n = JOURNAL_WHAT_MAX - 1; n > 0 && ((uint8_t)out[n - 1] & 0xc0) == 0x80;)
		n--;
	out[n > 0 ? n - 1 : 0] = '\0';
	return 1;
}

static int
say_stubs(const struct journal_stubs *s, char what[JOURNAL_WHAT_MAX])
{
	char list[200] = "";
	size_t len = 0;

	for (uint32_t i = 0; i < s->n; i++) {
		if (len + 30 > sizeof(list)) {
			(void)snprintf(list + len, sizeof(list) - len, " ...");
			break;
		}
		len += (size_t)snprintf(list + len, sizeof(list) - len, " %llu",
		    (unsigned long long)s->sequences[i]);
	}
	return say(what, "pruned %u point%s of '%s':%s", s->n, s->n == 1 ? "" : "s",
	    s->host, list);
}

static int
say_policy(const struct store_policy *p, char what[JOURNAL_WHAT_MAX])
{
	const char *scope = p->scope == STORE_POLICY_GROUP  ? "group "
			    : p->scope == STORE_POLICY_HOST ? "host "
							    : "";
	const char *name = p->scope == STORE_POLICY_DEFAULT ? "all hosts" : p->name;
	const struct store_rules *w = &p->rules;

	if (!p->set)
		return say(what, "removed the policy of %s%s", scope, name);
	return say(what,
	    "set the policy of %s%s: last %u, hourly %u, daily %u, weekly %u, monthly %u,"
	    " yearly %u, within %llu s, at least %u, verified %u, verified within %llu s",
	    scope, name, w->last, w->hourly, w->daily, w->weekly, w->monthly, w->yearly,
	    (unsigned long long)w->within_s, w->min_points, w->min_verified,
	    (unsigned long long)w->verified_s);
}

static void
say_time(int64_t us, char out[SAY_TIME_MAX])
{
	time_t t = (time_t)(us / 1000000);
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(out, SAY_TIME_MAX, "%Y-%m-%d %H:%M:%S UTC", &tm) == 0)
		(void)snprintf(out, SAY_TIME_MAX, "%lld s", (long long)t);
}

static int
say_mark(
    enum journal_type type, const struct journal_mark *m, char what[JOURNAL_WHAT_MAX])
{
	unsigned long long n = m->sequence;
	char when[SAY_TIME_MAX];

	switch (type) {
	case JOURNAL_HOLD:
		return say(what, "holds %s/%llu: %s", m->host, n, m->text);
	case JOURNAL_UNHOLD:
		return say(what, "released %s/%llu: %s", m->host, n, m->text);
	case JOURNAL_LOCK:
		say_time(m->when_us, when);
		return say(what, "locked %s/%llu until %s", m->host, n, when);
	case JOURNAL_FORGET:
		return say(what, "forgot %s/%llu: %s", m->host, n, m->text);
	case JOURNAL_BRAKE:
		if (m->text[0] == '\0')
			return say(what, "cleared the brake of '%s'", m->host);
		return say(what, "'%s' is not pruned any more: %s", m->host, m->text);
	default:
		return 0;
	}
}

/* The first bytes of a machine's hash: enough to tell two apart. */
static void
say_machine(const uint8_t machine[STORE_HASH_LEN], char out[9])
{
	(void)snprintf(
	    out, 9, "%02x%02x%02x%02x", machine[0], machine[1], machine[2], machine[3]);
}

static int
say_restore(const struct store_restore *r, char what[JOURNAL_WHAT_MAX])
{
	const uint8_t *m = r->mac;
	char point[40], by[40] = "a token", when[SAY_TIME_MAX];

	(void)snprintf(point, sizeof(point),
	    r->sequence != 0 ? "point %llu" : "the latest point",
	    (unsigned long long)r->sequence);
	if (r->by_mac)
		(void)snprintf(by, sizeof(by), "MAC %02x:%02x:%02x:%02x:%02x:%02x", m[0],
		    m[1], m[2], m[3], m[4], m[5]);
	say_time(r->ends_us, when);
	return say(what, "allowed one restore of '%s', %s%s, by %s, to begin until %s",
	    r->host, point, r->only ? " and no other" : "", by, when);
}

static int
say_redeemed(const struct journal_redeemed *d, char what[JOURNAL_WHAT_MAX])
{
	static const uint8_t none[STORE_SERIAL_LEN];
	char machine[9];

	say_machine(d->machine, machine);
	if (memcmp(d->serial, none, sizeof(none)) == 0)
		return say(what,
		    "restore %llu: machine %s may restore %s/%llu, confirmed by its code",
		    (unsigned long long)d->id, machine, d->host,
		    (unsigned long long)d->sequence);
	return say(what, "restore %llu: machine %s was let in to restore %s/%llu",
	    (unsigned long long)d->id, machine, d->host, (unsigned long long)d->sequence);
}

static int
say_restored(const struct journal_restored *o, char what[JOURNAL_WHAT_MAX])
{
	return say(what, "restore %llu of '%s' %s%s%s", (unsigned long long)o->id,
	    o->host, o->how == STORE_RESTORE_DONE ? "is done" : "was ended",
	    o->text[0] != '\0' ? ": " : "", o->text);
}

int
journal_say(
    const struct journal_event *e, char who[STORE_NAME_MAX], char what[JOURNAL_WHAT_MAX])
{
	const char *name = e->u.mark.who;
	int said;

	if (e->type == JOURNAL_STUB) {
		name = e->u.stubs.who;
		said = say_stubs(&e->u.stubs, what);
	} else if (e->type == JOURNAL_POLICY) {
		name = e->u.policy.who;
		said = say_policy(&e->u.policy, what);
	} else if (e->type == JOURNAL_RESTORE) {
		name = e->u.restore.who;
		said = say_restore(&e->u.restore, what);
	} else if (e->type == JOURNAL_REDEEMED) {
		name =
		    e->u.redeemed.who[0] != '\0' ? e->u.redeemed.who : e->u.redeemed.host;
		said = say_redeemed(&e->u.redeemed, what);
	} else if (e->type == JOURNAL_RESTORED) {
		name =
		    e->u.restored.who[0] != '\0' ? e->u.restored.who : e->u.restored.host;
		said = say_restored(&e->u.restored, what);
	} else {
		said = say_mark(e->type, &e->u.mark, what);
	}
	if (said)
		(void)snprintf(
		    who, STORE_NAME_MAX, "%s", name[0] != '\0' ? name : "store");
	return said;
}
