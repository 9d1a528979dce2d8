#include "storage/store_audit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/journal.h"
#include "storage/store_state.h"

struct story {
	struct store_chain *chain;
	int (*each)(void *arg, const struct store_entry *e);
	void *arg;
	struct journal_event *event;
	struct store_entry entry;
	struct err *err;
};

/* Does this record tell who did what?  Fills in the entry. */
static int
tell(const struct journal_event *ev, struct store_entry *e)
{
	switch (ev->type) {
	case JOURNAL_AUDIT:
		(void)snprintf(e->who, sizeof(e->who), "%s", ev->u.note.who);
		(void)snprintf(e->what, sizeof(e->what), "%s", ev->u.note.what);
		return 1;
	case JOURNAL_ALARM:
		(void)snprintf(e->who, sizeof(e->who), "%s", ev->u.note.who);
		(void)snprintf(e->what, sizeof(e->what),
		    ev->u.note.what[0] != '\0' ? "alarm: %s" : "its alarm was cleared",
		    ev->u.note.what);
		return 1;
	case JOURNAL_STORE_ALARM:
		(void)snprintf(e->who, sizeof(e->who), "store");
		(void)snprintf(e->what, sizeof(e->what),
		    ev->u.notice.text[0] != '\0' ? "alarm: %s" : "an alarm is over",
		    ev->u.notice.text);
		return 1;
	case JOURNAL_TOKEN_USE:
		(void)snprintf(e->who, sizeof(e->who), "%s", ev->u.use.peer.name);
		(void)snprintf(e->what, sizeof(e->what), "was enrolled by a token%s",
		    ev->u.use.replaces ? ", replacing the host of this name" : "");
		return 1;
	case JOURNAL_PEER:
		(void)snprintf(e->who, sizeof(e->who), "%s", ev->u.peer.name);
		(void)snprintf(e->what, sizeof(e->what), "was given a certificate");
		return 1;
	default:
		return journal_say(ev, e->who, e->what);
	}
}

static int
take(void *arg, const struct journal_record *r)
{
	struct story *st = arg;
	int known, ret = 0;

	known = journal_decode(r->type, r->payload, r->len, st->event, st->err);
	if (known < 0)
		return -1;
	st->entry.sequence = r->end.sequence;
	st->entry.time_us = r->end.time_us;
	if (known == 0 && st->each != NULL && tell(st->event, &st->entry))
		ret = st->each(st->arg, &st->entry);
	st->chain->bytes = r->end.offset;
	st->chain->sequence = r->end.sequence;
	st->chain->time_us = r->end.time_us;
	memcpy(st->chain->head, r->end.hash, sizeof(st->chain->head));
	return ret;
}

int
store_audit_each(struct store *s, struct store_chain *chain,
    int (*each)(void *arg, const struct store_entry *e), void *arg, struct err *err)
{
	struct story *st = calloc(1, sizeof(*st));
	struct journal_place from;
	int ret;

	if (st == NULL || (st->event = malloc(sizeof(*st->event))) == NULL) {
		free(st);
		return err_set(err, ERR_NOMEM, "no memory to read the journal");
	}
	st->chain = chain;
	st->each = each;
	st->arg = arg;
	st->err = err;
	if (chain->bytes == 0) {
		journal_start(s->journal, &from);
	} else {
		from.offset = chain->bytes;
		from.sequence = chain->sequence;
		from.time_us = chain->time_us;
		memcpy(from.hash, chain->head, sizeof(from.hash));
	}
	ret = journal_each(s->journal, &from, take, st, err);
	free(st->event);
	free(st);
	return ret;
}
