#include "server/session_state.h"

#include "storage/store_escrow.h"
#include "storage/store_rollback.h"

void
session_escrow_run(struct session_job *j)
{
	const Wire__NoteEscrow *m = (const Wire__NoteEscrow *)j->msg;
	Wire__Done done = WIRE__DONE__INIT;

	if (store_escrow_note(j->s->world->store, (int)m->kind, m->check.data, j->s->name,
		&j->err) == 0 &&
	    session_audit(j, "exported the store's keys, %s",
		m->kind == STORE_ESCROW_SEALED ? "sealed" : "plain") == 0)
		session_reply(j, &done.base, 0);
}

void
session_alarm_run(struct session_job *j)
{
	const Wire__ClearAlarm *m = (const Wire__ClearAlarm *)j->msg;
	Wire__Done done = WIRE__DONE__INIT;

	if (store_alarm_clear(j->s->world->store, m->host, j->s->name, &j->err) != 0)
		return;
	session_log(j->s, LOG_WARN, "cleared an alarm of %s",
	    m->host[0] != '\0' ? m->host : "the store");
	session_reply(j, &done.base, 0);
}
