#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/frame.h"
#include "storage/store_audit.h"
#include "storage/store_time.h"

#define BATCH 256u

/* A walk through the journal, in rounds like a list of points. */
struct telling {
	struct session_job *j;
	const Wire__ListAudit *m;
	struct store_chain chain;
	struct store_entry entries[BATCH];
	uint32_t count;
	int full;
};

static void
flush(struct telling *t, int last)
{
	Wire__Audit m = WIRE__AUDIT__INIT;
	Wire__AuditEntry items[BATCH], *pointers[BATCH];

	for (uint32_t i = 0; i < t->count; i++) {
		wire__audit_entry__init(&items[i]);
		items[i].sequence = t->entries[i].sequence;
		items[i].time_us = t->entries[i].time_us;
		items[i].who = t->entries[i].who;
		items[i].what = t->entries[i].what;
		pointers[i] = &items[i];
	}
	m.n_entries = t->count;
	m.entries = pointers;
	if (last) {
		m.sequence = t->chain.sequence;
		m.time_us = t->chain.time_us;
		m.bytes = t->chain.bytes;
		m.head.data = t->chain.head;
		m.head.len = sizeof(t->chain.head);
	}
	session_reply(t->j, &m.base, last ? 0 : FRAME_MORE);
	t->count = 0;
}

static int
collect(void *arg, const struct store_entry *e)
{
	struct telling *t = arg;

	if (atomic_load(&t->j->s->gone))
		return 1;
	if (t->m->check || e->time_us < t->m->since_us ||
	    (t->m->who[0] != '\0' && strcmp(t->m->who, e->who) != 0))
		return 0;
	t->entries[t->count++] = *e;
	if (t->count < BATCH)
		return 0;
	flush(t, 0);
	t->full = t->j->out_bytes >= SESSION_ROUND;
	return t->full || t->j->err.code != ERR_NONE;
}

void
session_audit_run(struct session_job *j)
{
	struct telling *t = j->state;

	if (t == NULL) {
		if ((t = calloc(1, sizeof(*t))) == NULL) {
			(void)err_set(&j->err, ERR_NOMEM, "no memory for a list");
			return;
		}
		j->state = t;
		j->state_free = free;
		t->j = j;
		t->m = (const Wire__ListAudit *)j->msg;
	}
	t->full = 0;
	if (store_audit_each(j->s->world->store, &t->chain, collect, t, &j->err) < 0)
		return;
	j->more = t->full;
	if (!t->full)
		flush(t, 1);
}

void
session_clock_run(struct session_job *j)
{
	Wire__Done done = WIRE__DONE__INIT;

	if (store_time_accept(j->s->world->store, j->s->name, &j->err) != 0)
		return;
	session_log(j->s, LOG_WARN, "accepted the server's clock");
	session_reply(j, &done.base, 0);
}
