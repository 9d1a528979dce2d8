#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "storage/fs.h"
#include "storage/store_copy.h"

/* Problems collected before a frame is sent. */
#define PROBLEMS_MAX 32u

struct copying {
	struct session_job *j;
	char text[PROBLEMS_MAX][STORE_TEXT_MAX];
	char *pointers[PROBLEMS_MAX];
	size_t count;
};

static void
fill(struct copying *c, Wire__CopyReport *m, const struct store_copy_report *r)
{
	m->packs = r->packs;
	m->packs_total = r->packs_total;
	m->packs_new = r->packs_new;
	m->packs_removed = r->packs_removed;
	m->bytes = r->bytes;
	m->bad = r->problems;
	m->sequence = r->sequence;
	m->time_us = r->time_us;
	for (size_t i = 0; i < c->count; i++)
		c->pointers[i] = c->text[i];
	m->problems = c->pointers;
	m->n_problems = c->count;
}

/* Comes twice a second, and for each problem. */
static int
tell(void *arg, const struct store_copy_report *r, const char *problem)
{
	struct copying *c = arg;

	if (problem != NULL) {
		session_text(c->text[c->count++], STORE_TEXT_MAX, problem);
		session_log(c->j->s, LOG_ERROR, "copy: %s", problem);
	}
	if (c->count == PROBLEMS_MAX || problem == NULL) {
		Wire__CopyReport m = WIRE__COPY_REPORT__INIT;

		fill(c, &m, r);
		session_progress(c->j, &m.base);
		c->count = 0;
	}
	return atomic_load(&c->j->s->gone);
}

static int
verify(struct session_job *j, const struct store_copy_config *config,
    struct store_copy_report *r)
{
	struct store *s = j->s->world->store;
	struct fs *fs = NULL;
	int rc = fs_open_dir(j->s->world->copy_to, &fs, &j->err);

	if (rc == 0)
		rc = store_copy_verify_own(s, fs, config, r, &j->err);
	fs_free(fs);
	return rc;
}

void
session_copy_run(struct session_job *j)
{
	const Wire__CopyStore *m = (const Wire__CopyStore *)j->msg;
	const struct session_world *w = j->s->world;
	struct store_copy_config config = { .tell = tell };
	Wire__CopyReport out = WIRE__COPY_REPORT__INIT;
	struct store_copy_report r = { 0 };
	struct copying *c;
	int rc;

	if (w->copy_to[0] == '\0') {
		(void)err_set(&j->err, ERR_UNSUPPORTED,
		    "the server has no place for a copy: `copy-to` in its configuration");
		return;
	}
	if ((c = calloc(1, sizeof(*c))) == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory to copy");
		return;
	}
	c->j = j;
	config.arg = c;
	config.max_rate = m->max_rate != 0 ? m->max_rate : w->copy_rate;
	rc = session_audit(
	    j, m->verify ? "began to verify the copy" : "began to copy the store");
	if (rc == 0)
		rc = m->verify
			 ? verify(j, &config, &r)
			 : store_copy_to(w->store, w->copy_to, &config, &r, &j->err);
	if (rc == 0) {
		fill(c, &out, &r);
		session_reply(j, &out.base, 0);
		session_log(j->s, LOG_INFO, "copy: %llu packs new, %llu problems",
		    (unsigned long long)r.packs_new, (unsigned long long)r.problems);
	}
	free(c);
}
