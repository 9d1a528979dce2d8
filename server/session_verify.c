#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "storage/store_verify.h"

/* Problems collected before a frame is sent, and how often one is sent anyway. */
#define PROBLEMS_MAX 32u
#define EVERY_MS 500

struct verify {
	struct session_job *j;
	int64_t told_ms;
	char text[PROBLEMS_MAX][STORE_TEXT_MAX];
	char *pointers[PROBLEMS_MAX];
	size_t count;
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void
fill(struct verify *v, Wire__VerifyReport *m, const struct store_verify_report *r)
{
	m->groups = r->groups;
	m->bytes = r->bytes;
	m->bytes_total = r->bytes_total;
	m->bad_groups = r->bad_groups;
	m->points_checked = r->points_checked;
	m->points_verified = r->points_verified;
	m->packs = r->packs;
	m->healed_groups = r->healed_groups;
	m->released_groups = r->released_groups;
	m->suspect_points = r->points_suspect;
	for (size_t i = 0; i < v->count; i++)
		v->pointers[i] = v->text[i];
	m->problems = v->pointers;
	m->n_problems = v->count;
}

static int
tell(void *arg, const struct store_verify_report *r, const char *problem)
{
	struct verify *v = arg;
	int64_t now = now_ms();

	if (problem != NULL) {
		size_t n = strlen(problem);

		if (n >= STORE_TEXT_MAX)
			n = STORE_TEXT_MAX - 1;
		memcpy(v->text[v->count], problem, n);
		v->text[v->count++][n] = '\0';
		session_log(v->j->s, LOG_ERROR, "verify: %s", problem);
	}
	if (v->count == PROBLEMS_MAX || now - v->told_ms >= EVERY_MS) {
		Wire__VerifyReport m = WIRE__VERIFY_REPORT__INIT;

		fill(v, &m, r);
		session_progress(v->j, &m.base);
		v->count = 0;
		v->told_ms = now;
	}
	return atomic_load(&v->j->s->gone);
}

void
session_verify_run(struct session_job *j)
{
	const Wire__Verify *m = (const Wire__Verify *)j->msg;
	struct store_verify_report r = { 0 };
	Wire__VerifyReport out = WIRE__VERIFY_REPORT__INIT;
	const struct store_verify_options o = {
		.sample = m->sample, .since_us = m->since_us, .trees = m->trees
	};
	struct verify *v;

	if (!(m->sample >= 0 && m->sample <= 1)) {
		(void)err_set(&j->err, ERR_PROTOCOL, "a sample is a share of 0 to 1");
		return;
	}
	v = calloc(1, sizeof(*v));
	if (v == NULL) {
		(void)err_set(&j->err, ERR_NOMEM, "no memory to verify");
		return;
	}
	v->j = j;
	v->told_ms = now_ms();
	if (store_audit(j->s->world->store, j->s->name, "began to verify the store",
		&j->err) == 0 &&
	    store_verify_with(j->s->world->store, &o, tell, v, &r, &j->err) == 0) {
		fill(v, &out, &r);
		session_reply(j, &out.base, 0);
		session_log(j->s, LOG_INFO, "verified %llu groups, %llu bad",
		    (unsigned long long)r.groups, (unsigned long long)r.bad_groups);
	}
	free(v);
}
