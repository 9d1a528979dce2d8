#include "server/session_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/chunk/group.h"
#include "proto/layout/layout.h"
#include "server/scratch.h"
#include "storage/store_space.h"
#include "storage/store_verify.h"

/* What Begun may say of bad chunks; with more, the base is as good as none. */
#define BAD_IDS_MAX (256u * 1024)
#define MISSING_MAX (16u * 1024 * 1024)

static int
check_begin(const Wire__Begin *m, struct err *err)
{
	if (m->n_volumes == 0 || m->n_volumes > STORE_VOLUMES_MAX)
		return err_set(err, ERR_PROTOCOL,
		    "a backup of %zu volumes: 1 to %d are possible", m->n_volumes,
		    STORE_VOLUMES_MAX);
	for (size_t i = 0; i < m->n_volumes; i++) {
		const char *name = m->volumes[i]->name;

		if (name[0] == '\0' || strlen(name) >= STORE_NAME_MAX)
			return err_set(err, ERR_PROTOCOL,
			    "a volume's name has 1 to %d bytes", STORE_NAME_MAX - 1);
		for (size_t k = 0; k < i; k++) {
			if (strcmp(name, m->volumes[k]->name) == 0)
				return err_set(err, ERR_PROTOCOL,
				    "two volumes are called '%s'", name);
		}
	}
	return 0;
}

static void
answer_begun(struct session_job *j, uint32_t n, struct store_base *bases, struct buf *bad)
{
	Wire__Begun m = WIRE__BEGUN__INIT;
	Wire__Base items[STORE_VOLUMES_MAX], *pointers[STORE_VOLUMES_MAX];
	size_t each = bad->len * n;

	for (uint32_t i = 0; i < n; i++) {
		wire__base__init(&items[i]);
		pointers[i] = &items[i];
		if (!bases[i].known || each > BAD_IDS_MAX)
			continue;
		items[i].sequence = bases[i].sequence;
		items[i].root_id.data = bases[i].root_id.b;
		items[i].root_id.len = CHUNK_ID_LEN;
		items[i].bad_ids.data = bad->p;
		items[i].bad_ids.len = bad->len;
	}
	m.n_bases = n;
	m.bases = pointers;
	m.resumed = store_lease_resumed(j->s->backup);
	session_reply(j, &m.base, 0);
}

void
session_begin_run(struct session_job *j)
{
	const Wire__Begin *m = (const Wire__Begin *)j->msg;
	struct session *s = j->s;
	struct store_base *bases = calloc(STORE_VOLUMES_MAX, sizeof(*bases));
	const char *names[STORE_VOLUMES_MAX];
	struct buf bad = BUF_INIT(MISSING_MAX);

	if (bases == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory to begin a backup");
		return;
	}
	if (check_begin(m, &j->err) != 0) {
		j->closing = 1;
		goto out;
	}
	s->begun = calloc(m->n_volumes, sizeof(*s->begun));
	if (s->begun == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory to begin a backup");
		goto out;
	}
	s->begun_count = (uint32_t)m->n_volumes;
	for (size_t i = 0; i < m->n_volumes; i++) {
		names[i] = m->volumes[i]->name;
		memcpy(s->begun[i], names[i], strlen(names[i]) + 1);
	}
	if (store_space_admit(s->world->store, &j->err) == 0 &&
	    store_lease_open(
		s->world->store, s->name, STORE_BACKUP, &s->backup, &j->err) == 0 &&
	    store_backup_begin(s->backup, names, s->begun_count, bases, &bad, &j->err) ==
		0)
		answer_begun(j, s->begun_count, bases, &bad);
	if (j->err.code != ERR_NONE) {
		store_lease_close(s->backup);
		free(s->begun);
		s->backup = NULL;
		s->begun = NULL;
	}
out:
	buf_free(&bad);
	free(bases);
}

void
session_begin_done(struct session_job *j)
{
	j->s->state = SESSION_RECEIVING;
	session_log(j->s, LOG_INFO, "backup of %u volume%s begins", j->s->begun_count,
	    j->s->begun_count == 1 ? "" : "s");
}

void
session_have_run(struct session_job *j)
{
	const Wire__Have *m = (const Wire__Have *)j->msg;
	size_t n = m->ids.len / CHUNK_ID_LEN;
	Wire__HaveReply r = WIRE__HAVE_REPLY__INIT;
	struct chunk_id *ids;
	uint8_t *answers;

	if (n > MSG_IDS_MAX || m->ids.len % CHUNK_ID_LEN != 0 ||
	    (m->kind != CHUNK_DATA && m->kind != CHUNK_META)) {
		session_refuse(j, ERR_PROTOCOL, "Have: %zu bytes of ids of kind %u",
		    m->ids.len, m->kind);
		return;
	}
	ids = malloc((n + 1) * sizeof(*ids));
	answers = calloc(n + 1, 1);
	if (ids == NULL || answers == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for %zu ids", n);
	} else {
		for (size_t i = 0; i < n; i++)
			memcpy(ids[i].b, m->ids.data + i * CHUNK_ID_LEN, CHUNK_ID_LEN);
		if (store_have(j->s->backup, (enum chunk_kind)m->kind, ids, n, answers,
			&j->err) == 0) {
			r.answers.data = answers;
			r.answers.len = n;
			session_reply(j, &r.base, 0);
		}
	}
	free(ids);
	free(answers);
}

/* The three gates of group.h.  What passes them is what it says it is. */
static int
prove(struct session_job *j, struct group *g)
{
	const struct session_world *w = j->s->world;
	struct scratch *scratch;
	int rc = -1;

	if (group_parse(j->raw, j->raw_len, g, &j->err) != 0 ||
	    group_plain(g, &j->err) != 0)
		return -1;
	if (g->len != j->raw_len)
		return err_set(&j->err, ERR_CORRUPT, "%zu bytes follow the group",
		    j->raw_len - g->len);
	scratch = scratch_take(w->scratch);
	if (scratch == NULL)
		return err_set(&j->err, ERR_NOMEM, "no memory to decode a group");
	if (group_check(g, &j->err) == 0 &&
	    group_decode(scratch->codec, g, scratch->plain, &j->err) == 0 &&
	    group_prove(g, store_keys(w->store), scratch->plain, &j->err) == 0)
		rc = 0;
	scratch_give(w->scratch, scratch);
	return rc;
}

void
session_put_run(struct session_job *j)
{
	Wire__Stored m = WIRE__STORED__INIT;
	struct group g;

	/* Whatever goes wrong, what would follow rests on this group. */
	j->closing = 1;
	if (prove(j, &g) != 0 || store_put(j->s->backup, &g, &j->err) != 0)
		return;
	session_reply(j, &m.base, 0);
}

/* ------------------------------------------------------------------- the end -- */

static int
begun(const struct session *s, const char *name)
{
	for (uint32_t i = 0; i < s->begun_count; i++) {
		if (strcmp(s->begun[i], name) == 0)
			return 1;
	}
	return 0;
}

/* What was left out, by reason: the host's word, kept as a fact of the point. */
static int
draft_excluded(const Wire__Counts *c, struct store_point *p, struct err *err)
{
	struct store_excluded e[STORE_EXCLUDED_MAX];
	size_t n = 0;

	for (; n < c->n_excluded && n < STORE_EXCLUDED_MAX; n++) {
		if (n > 0 && c->excluded[n]->reason <= c->excluded[n - 1]->reason)
			return err_set(err, ERR_PROTOCOL,
			    "Commit: the reasons for leaving bytes out do not rise");
		e[n].reason = (uint8_t)c->excluded[n]->reason;
		e[n].bytes = c->excluded[n]->bytes;
	}
	return n > 0 ? store_facts_set_excluded(p, e, n, err) : 0;
}

/* The machine's layout: fields that make sense, and nothing else. */
static int
draft_layout(const Wire__Commit *m, struct store_point *p, struct err *err)
{
	struct layout *l;
	int rc;

	if (m->layout.len == 0)
		return 0;
	if ((l = malloc(sizeof(*l))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a layout");
	rc = layout_parse(m->layout.data, m->layout.len, p->volumes_count, l, err);
	free(l);
	if (rc == 0)
		rc = layout_only(m->layout.data, m->layout.len, err);
	if (rc == 0)
		rc = store_facts_add(p, m->layout.data, m->layout.len, err);
	if (rc == 0 || err->code == ERR_NOMEM)
		return rc;
	err->code = ERR_PROTOCOL;
	return err_context(err, "Commit");
}

/* What was not read, by the word of a list. */
static int
draft_changes(const Wire__Commit *m, struct store_point *p, struct err *err)
{
	struct store_changes c[STORE_VOLUMES_MAX];
	uint64_t proven = UINT64_MAX;
	size_t n = 0;

	for (; n < m->n_changes && n < STORE_VOLUMES_MAX; n++) {
		const Wire__Changes *from = m->changes[n];

		if (from->volume >= p->volumes_count ||
		    (n > 0 && from->volume <= c[n - 1].volume))
			return err_set(err, ERR_PROTOCOL,
			    "Commit: changes of volume %u, which is none or is told of "
			    "twice",
			    from->volume);
		c[n] = (struct store_changes){ (uint8_t)from->volume, from->kept_bytes,
			from->proven_bytes,
			from->slices < 255 ? (uint8_t)from->slices : 255 };
		if (from->proven < proven)
			proven = from->proven;
	}
	if (store_facts_set_changes(p, c, n, err) != 0)
		return -1;
	/* Of a volume that was read whole nothing is in doubt. */
	return n > 0 && proven > 0 ? store_facts_set_proven(p, proven, err) : 0;
}

/* What comes behind the excluded bytes, by type. */
static int
draft_facts(const Wire__Commit *m, struct store_point *p, struct err *err)
{
	return draft_layout(m, p, err) != 0 ||
		       store_facts_set_capture(p, m->capture, err) != 0
		   ? -1
		   : draft_changes(m, p, err);
}

static int
draft(struct session *s, const Wire__Commit *m, struct store_point *p, struct err *err)
{
	const Wire__Counts *c = m->counts;

	if (m->n_volumes != s->begun_count)
		return err_set(err, ERR_PROTOCOL, "Commit of %zu volumes, Begin had %u",
		    m->n_volumes, s->begun_count);
	(void)snprintf(p->host, sizeof(p->host), "%s", s->name);
	p->volumes_count = s->begun_count;
	for (uint32_t i = 0; i < s->begun_count; i++) {
		const Wire__CommitVolume *v = m->volumes[i];

		for (uint32_t k = 0; k < i; k++) {
			if (strcmp(p->volumes[k].name, v->name) == 0)
				return err_set(err, ERR_PROTOCOL,
				    "Commit names '%.60s' twice", v->name);
		}
		if (!begun(s, v->name) || v->root_id.len != CHUNK_ID_LEN)
			return err_set(err, ERR_PROTOCOL, "Commit of '%.60s': %s",
			    v->name,
			    v->root_id.len == CHUNK_ID_LEN ? "it was not in Begin"
							   : "no root");
		memcpy(p->volumes[i].name, v->name, strlen(v->name) + 1);
		memcpy(p->volumes[i].root_id.b, v->root_id.data, CHUNK_ID_LEN);
	}
	p->frozen_at_us = m->frozen_at_us;
	session_text(p->note, sizeof(p->note), m->note);
	if (m->backup.len == sizeof(p->backup))
		memcpy(p->backup, m->backup.data, sizeof(p->backup));
	if (c == NULL)
		return draft_facts(m, p, err);
	p->counts.read_bytes = c->read_bytes;
	p->counts.sent_bytes = c->sent_bytes;
	p->counts.new_bytes = c->new_bytes;
	p->counts.known_bytes = c->known_bytes;
	p->counts.zero_bytes = c->zero_bytes;
	p->counts.hole_bytes = c->hole_bytes;
	p->counts.excluded_bytes = c->excluded_bytes;
	p->counts.chunks = c->chunks;
	p->counts.new_chunks = c->new_chunks;
	p->counts.duration_us = c->duration_us;
	return draft_excluded(c, p, err) != 0 ? -1 : draft_facts(m, p, err);
}

void
session_suspect_run(struct session_job *j)
{
	const Wire__MarkSuspect *m = (const Wire__MarkSuspect *)j->msg;
	Wire__Done done = WIRE__DONE__INIT;
	struct session *s = j->s;
	char why[STORE_TEXT_MAX];

	if (!begun(s, m->volume)) {
		session_refuse(
		    j, ERR_PROTOCOL, "MarkSuspect of '%.60s': not in Begin", m->volume);
		return;
	}
	session_text(why, sizeof(why), m->text);
	if (store_suspect(s->world->store, s->name, m->volume, m->after, why, &j->err) !=
	    0)
		return;
	session_log(s, LOG_WARN, "points of volume %s after %llu are suspect: %s",
	    m->volume, (unsigned long long)m->after, why);
	session_reply(j, &done.base, 0);
}

static void
answer_missing(struct session_job *j, const struct buf *data, const struct buf *meta)
{
	const size_t most = (size_t)MSG_IDS_MAX * CHUNK_ID_LEN;
	Wire__Missing m = WIRE__MISSING__INIT;

	/* What does not fit is found missing by the next Commit. */
	m.data_ids.data = data->p;
	m.data_ids.len = data->len < most ? data->len : most;
	m.meta_ids.data = meta->p;
	m.meta_ids.len = meta->len < most ? meta->len : most;
	session_log(j->s, LOG_WARN, "commit: %zu chunks and %zu nodes are missing",
	    data->len / CHUNK_ID_LEN, meta->len / CHUNK_ID_LEN);
	session_reply(j, &m.base, 0);
}

static void
answer_committed(struct session_job *j, const struct store_point *p)
{
	struct session_point_room *room = malloc(sizeof(*room));
	Wire__Committed m = WIRE__COMMITTED__INIT;
	Wire__Point point;

	if (room == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for an answer");
		return;
	}
	session_point_fill(&point, p, room);
	m.point = &point;
	session_reply(j, &m.base, 0);
	free(room);
}

void
session_commit_run(struct session_job *j)
{
	const Wire__Commit *m = (const Wire__Commit *)j->msg;
	struct session *s = j->s;
	struct store_point *p = calloc(1, sizeof(*p));
	struct buf data = BUF_INIT(MISSING_MAX), meta = BUF_INIT(MISSING_MAX);
	enum store_commit_result result = STORE_MISSING;

	j->closing = 1;
	if (p == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory for a point");
		return;
	}
	if (draft(s, m, p, &j->err) != 0 ||
	    store_commit(s->backup, p, &result, &data, &meta, &j->err) != 0) {
		session_log(s, LOG_WARN, "commit failed: %s", j->err.text);
	} else if (result == STORE_MISSING) {
		answer_missing(j, &data, &meta);
	} else {
		if (result == STORE_COMMITTED)
			session_log(s, LOG_INFO,
			    "committed point %llu, %llu bytes stored",
			    (unsigned long long)p->sequence,
			    (unsigned long long)p->counts.stored_bytes);
		else
			session_log(s, LOG_INFO, "point %llu was committed before",
			    (unsigned long long)p->sequence);
		answer_committed(j, p);
		if (result == STORE_COMMITTED) {
			session_brake_look(s, s->name);
			session_check_look(s, s->name);
		}
		store_lease_close(s->backup);
		free(s->begun);
		s->backup = NULL;
		s->begun = NULL;
		s->begun_count = 0;
	}
	buf_free(&data);
	buf_free(&meta);
	free(p);
}

void
session_commit_done(struct session_job *j)
{
	/* Missing leaves the backup open for another try. */
	if (j->s->backup == NULL)
		j->s->state = SESSION_IDLE;
}
