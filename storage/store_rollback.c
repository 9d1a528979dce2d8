#include "storage/store_rollback.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "storage/catalog.h"
#include "storage/journal.h"
#include "storage/store_restores.h"
#include "storage/store_space.h"
#include "storage/store_state.h"
#include "storage/store_time.h"

void
store_seen_now(struct store *s, uint8_t out[STORE_SEEN_LEN])
{
	struct journal_place end;

	journal_end(s->journal, &end);
	store_le64(out, end.offset);
	store_le64(out + 8, end.sequence);
	memcpy(out + 16, end.hash, sizeof(end.hash));
}

int
store_seen_known(struct store *s, const uint8_t seen[STORE_SEEN_LEN], struct err *err)
{
	struct journal_place place = { .offset = load_le64(seen),
		.sequence = load_le64(seen + 8) };

	memcpy(place.hash, seen + 16, sizeof(place.hash));
	return journal_knows(s->journal, &place, err);
}

static int
note_own(struct store *s, const char *text, struct err *err)
{
	struct journal_event *e = calloc(1, sizeof(*e));
	int ret;

	if (e == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a journal record");
	e->type = JOURNAL_STORE_ALARM;
	e->u.notice.kind = STORE_NOTICE_ROLLBACK;
	e->u.notice.trusted_us = store_time_trusted(s);
	(void)snprintf(e->u.notice.text, sizeof(e->u.notice.text), "%s", text);
	ret = store_record(s, e, NULL, err);
	free(e);
	return ret;
}

int
store_rollback_note(struct store *s, const char *host, const char *what, struct err *err)
{
	char text[STORE_TEXT_MAX];
	struct store_peer p;

	if (store_peer_by_name(s, host, &p, err) != 0)
		return -1;
	(void)snprintf(text, sizeof(text),
	    "it saw %s that is not here: was an older copy of the store put back?", what);
	/* One that stands stays, and a host that says this and that adds nothing. */
	if (p.alarm[0] == '\0' && store_peer_alarm(s, host, text, err) != 0)
		return -1;
	if (store_rollback_stands(s, text))
		return 0;
	(void)snprintf(text, sizeof(text),
	    "%s saw %s that is not here: was an older copy of the store put back?", host,
	    what);
	return note_own(s, text, err);
}

int
store_notice_stands(struct store *s, uint32_t kind, char text[STORE_TEXT_MAX])
{
	struct err ignored = ERR_INIT;
	struct catalog_notice n;

	if (catalog_notice(s->catalog, kind, &n, &ignored) != 0 || n.text[0] == '\0')
		return 0;
	memcpy(text, n.text, sizeof(n.text));
	return 1;
}

int
store_rollback_stands(struct store *s, char text[STORE_TEXT_MAX])
{
	return store_notice_stands(s, STORE_NOTICE_ROLLBACK, text);
}

static int
note_own_end(struct store *s, struct err *err)
{
	return note_own(s, "", err);
}

/* If an alarm of the store's own stands: an operator has seen to it. */
static int
clear_own(struct store *s, const char *who, int stands, const char *text,
    int (*end)(struct store *s, struct err *err), int *cleared, struct err *err)
{
	char what[STORE_TEXT_MAX];

	if (!stands)
		return 0;
	*cleared = 1;
	(void)snprintf(what, sizeof(what), "cleared: %.200s", text);
	return store_audit(s, who, what, err) != 0 || end(s, err) != 0 ? -1 : 0;
}

int
store_alarm_clear(struct store *s, const char *name, const char *who, struct err *err)
{
	char text[STORE_TEXT_MAX], what[STORE_TEXT_MAX];
	struct store_peer p;
	int cleared = 0;

	if (s->read_only)
		return err_set(err, ERR_DENIED, "the store is open read-only");
	if (name[0] == '\0') {
		if (clear_own(s, who, store_rollback_stands(s, text), text, note_own_end,
			&cleared, err) != 0 ||
		    clear_own(s, who, store_restores_alarmed(s, text), text,
			store_restores_calm, &cleared, err) != 0)
			return -1;
		return cleared ? 0 : err_set(err, ERR_NOTFOUND, "no alarm to clear");
	}
	if (store_peer_by_name(s, name, &p, err) != 0)
		return -1;
	if (p.alarm[0] == '\0')
		return err_set(err, ERR_NOTFOUND, "'%s' has no alarm", name);
	(void)snprintf(what, sizeof(what), "cleared of '%s': %.150s", name, p.alarm);
	return store_audit(s, who, what, err) != 0 ||
		       store_peer_alarm(s, name, "", err) != 0
		   ? -1
		   : 0;
}
