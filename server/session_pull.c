#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/wire/frame.h"
#include "storage/store_copy_source.h"

/* -------------------------------------------------------------- what there is -- */

static void
send_packs(struct session_job *j, uint8_t *list, size_t *n)
{
	Wire__CopyPlan m = WIRE__COPY_PLAN__INIT;

	m.packs.data = list;
	m.packs.len = *n * 4;
	session_reply(j, &m.base, FRAME_MORE);
	*n = 0;
}

static void
send_plan(struct session_job *j, struct store_copy_terms *t, uint8_t *list)
{
	const struct store_copy_moment *of = store_copy_hold_moment(j->s->pull);
	Wire__CopyPlan m = WIRE__COPY_PLAN__INIT;
	size_t n = 0;

	for (uint32_t no = 1; no <= of->highest && no != 0; no++) {
		if (!pack_set_has(&of->alive, no) || pack_set_has(&of->gone, no))
			continue;
		if (n == MSG_COPY_PACKS_MAX)
			send_packs(j, list, &n);
		store_le32(list + 4 * n++, no);
	}
	m.packs.data = list;
	m.packs.len = n * 4;
	m.store.data = t->store;
	m.store.len = sizeof(t->store);
	m.format.data = t->format;
	m.format.len = t->format_len;
	m.journal_len = t->journal.len;
	m.journal_hash.data = t->journal.hash;
	m.journal_hash.len = sizeof(t->journal.hash);
	m.journal_head.data = t->journal.head;
	m.journal_head.len = sizeof(t->journal.head);
	m.past_hash.data = t->journal.past;
	m.past_hash.len = t->journal.past_len > 0 ? sizeof(t->journal.past) : 0;
	m.sequence = of->sequence;
	m.time_us = of->time_us;
	session_reply(j, &m.base, 0);
}

void
session_pull_open_run(struct session_job *j)
{
	const Wire__CopyOpen *m = (const Wire__CopyOpen *)j->msg;
	struct store_copy_terms *terms = calloc(1, sizeof(*terms));
	uint8_t *list = malloc(4 * MSG_COPY_PACKS_MAX);
	struct session *s = j->s;
	int first = s->pull == NULL;

	store_copy_hold_close(s->pull);
	s->pull = NULL;
	if (terms == NULL || list == NULL)
		(void)err_set(&j->err, ERR_NOMEM, "no memory to copy");
	else if ((!first || session_audit(j, "began to copy the store elsewhere, to %s",
				s->address) == 0) &&
		 store_copy_hold_open(
		     s->world->store, m->past, terms, &s->pull, &j->err) == 0)
		send_plan(j, terms, list);
	free(list);
	free(terms);
}

/* ------------------------------------------------------------------- its bytes -- */

struct pulling {
	uint64_t at, end; /* The end is not known before the first piece. */
	uint8_t piece[MSG_COPY_DATA_MAX];
};

static struct pulling *
begin(struct session_job *j)
{
	const Wire__CopyRead *m = (const Wire__CopyRead *)j->msg;
	struct pulling *p = NULL;

	if (j->s->pull == NULL)
		(void)err_set(&j->err, ERR_DENIED, "CopyOpen comes before CopyRead");
	else if ((p = malloc(sizeof(*p))) == NULL)
		(void)err_set(&j->err, ERR_NOMEM, "no memory to copy");
	else {
		p->at = m->offset;
		p->end = m->length > UINT64_MAX - m->offset ? UINT64_MAX
							    : m->offset + m->length;
		j->state = p;
		j->state_free = free;
	}
	return p;
}

void
session_pull_read_run(struct session_job *j)
{
	const Wire__CopyRead *m = (const Wire__CopyRead *)j->msg;
	struct pulling *p = j->state != NULL ? j->state : begin(j);
	size_t got;
	int last = 0;

	/* Some at a time: what is made is sent before more is. */
	while (p != NULL && !last && j->err.code == ERR_NONE &&
	       j->out_bytes < SESSION_ROUND) {
		Wire__CopyBytes out = WIRE__COPY_BYTES__INIT;
		size_t want = p->end - p->at < sizeof(p->piece) ? (size_t)(p->end - p->at)
								: sizeof(p->piece);

		if (store_copy_hold_read(j->s->pull, m->pack, p->at, p->piece, want, &got,
			&out.size, &j->err) != 0)
			return;
		p->at += got;
		last = p->at >= p->end || p->at == out.size;
		out.data.data = p->piece;
		out.data.len = got;
		session_reply(j, &out.base, last ? 0 : FRAME_MORE);
	}
	j->more = !last && j->err.code == ERR_NONE;
}
