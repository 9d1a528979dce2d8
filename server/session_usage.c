#include "server/session_state.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/wire/frame.h"
#include "storage/store_usage.h"

#define BATCH 512u
#define EVERY_MS 500

struct asking {
	struct session_job *j;
	int64_t told_ms;
	struct store_use *uses;
	size_t n, cap;
	int lacking; /* No memory. */
};

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
tell(void *arg, uint64_t done, uint64_t total)
{
	struct asking *a = arg;
	Wire__Usage m = WIRE__USAGE__INIT;
	int64_t now = now_ms();

	if (now - a->told_ms >= EVERY_MS) {
		m.done = done;
		m.total = total;
		session_progress(a->j, &m.base);
		a->told_ms = now;
	}
	return atomic_load(&a->j->s->gone);
}

static void
keep(void *arg, const struct store_use *use)
{
	struct asking *a = arg;
	struct store_use *more;

	if (a->n == a->cap) {
		a->cap = a->cap * 2 + 16;
		more = realloc(a->uses, a->cap * sizeof(*more));
		if (more == NULL) {
			a->lacking = 1;
			return;
		}
		a->uses = more;
	}
	a->uses[a->n++] = *use;
}

static void
answer(struct asking *a, uint64_t missing)
{
	for (size_t at = 0, part; at == 0 || at < a->n; at += part) {
		Wire__Usage m = WIRE__USAGE__INIT;
		Wire__Use items[BATCH], *pointers[BATCH];

		part = a->n - at < BATCH ? a->n - at : BATCH;
		for (size_t i = 0; i < part; i++) {
			const struct store_use *u = &a->uses[at + i];

			wire__use__init(&items[i]);
			items[i].host = (char *)(uintptr_t)u->host;
			items[i].points = u->points;
			items[i].logical_bytes = u->logical_bytes;
			items[i].chunks = u->chunks;
			items[i].bytes = u->bytes;
			items[i].stored_bytes = u->stored;
			pointers[i] = &items[i];
		}
		m.n_uses = part;
		m.uses = pointers;
		m.missing = missing;
		session_reply(a->j, &m.base, at + part < a->n ? FRAME_MORE : 0);
		if (part == 0)
			return;
	}
}

void
session_usage_run(struct session_job *j)
{
	const Wire__GetUsage *m = (const Wire__GetUsage *)j->msg;
	struct asking a = { .j = j, .told_ms = now_ms() };
	struct store_usage u = {
		.host = m->host[0] != '\0' ? m->host : NULL,
		.sequence = m->sequence,
		.tell = tell,
		.arg = &a,
	};

	if (store_usage(j->s->world->store, &u, keep, &a, &j->err) == 0) {
		if (a.lacking)
			(void)err_set(&j->err, ERR_NOMEM, "no memory for a list");
		else
			answer(&a, u.missing);
	}
	free(a.uses);
}
