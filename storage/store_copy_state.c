#include "storage/store_copy_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/pack.h"

#define TELL_MS 500

static int64_t
now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int
tell(struct store_copying *c, const char *problem, struct err *err)
{
	if (!c->stopped && c->config->tell != NULL)
		c->stopped = c->config->tell(c->config->arg, &c->r, problem) != 0;
	return c->stopped ? err_set(err, ERR_CANCELED, "stopped") : 0;
}

int
store_copy_problem(struct store_copying *c, const char *text, struct err *err)
{
	c->r.problems++;
	return tell(c, text, err);
}

int
store_copy_bad(void *arg, uint32_t offset, const struct err *why)
{
	struct store_copying *c = arg;
	struct err ignored = ERR_INIT;
	char text[STORE_TEXT_MAX];

	(void)snprintf(text, sizeof(text), "pack %08x is damaged at %u: %.150s", c->no,
	    offset, why->text);
	return store_copy_problem(c, text, &ignored);
}

int
store_copy_step(void *arg, uint64_t bytes, struct err *err)
{
	struct store_copying *c = arg;
	struct timespec pause = { 0, 20000000 };
	int64_t now = now_ms();

	if (c->began_ms == 0)
		c->began_ms = c->told_ms = now;
	c->r.bytes += bytes;
	c->paced += bytes;
	do {
		if (now - c->told_ms >= TELL_MS) {
			c->told_ms = now;
			if (tell(c, NULL, err) != 0)
				return -1;
		}
		if (c->config->max_rate == 0 || c->paced / c->config->max_rate * 1000 <=
						    (uint64_t)(now - c->began_ms))
			return 0;
		(void)nanosleep(&pause, NULL);
		now = now_ms();
	} while (1);
}

int
store_copy_each(struct store_copying *c,
    int (*each)(void *arg, uint32_t no, struct err *err), void *arg, struct err *err)
{
	int ret = 0;

	for (uint32_t no = 1; ret == 0 && no <= c->m.highest && no != 0; no++)
		if (pack_set_has(&c->m.alive, no) && !pack_set_has(&c->m.gone, no))
			ret = each(arg, no, err);
	return ret;
}

struct reading {
	struct store_copy_moment *m;
	uint64_t last; /* The sequence to end at. */
	struct journal_event *e;
	struct err *err;
};

static int
take_record(void *arg, const struct journal_record *r)
{
	struct reading *rd = arg;
	struct store_copy_moment *m = rd->m;
	struct journal_event *e = rd->e;

	if (r->end.sequence > rd->last)
		return 1;
	m->sequence = r->end.sequence;
	m->time_us = r->end.time_us;
	if (r->type != JOURNAL_PACK && r->type != JOURNAL_REMOVED)
		return 0;
	if (journal_decode(r->type, r->payload, r->len, e, rd->err) != 0)
		return -1;
	if (r->type == JOURNAL_REMOVED)
		return pack_set_add(&m->gone, e->u.removed, rd->err);
	if (e->u.pack.no > m->highest)
		m->highest = e->u.pack.no;
	return pack_set_add(&m->alive, e->u.pack.no, rd->err);
}

int
store_copy_packs(struct store_copy_moment *m, struct journal *j,
    const struct journal_place *until, struct err *err)
{
	struct reading rd = { .m = m, .last = until->sequence, .err = err };
	struct journal_place start;
	int ret;

	store_copy_moment_clear(m);
	if ((rd.e = calloc(1, sizeof(*rd.e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read the journal");
	journal_start(j, &start);
	ret = journal_each(j, &start, take_record, &rd, err);
	free(rd.e);
	return ret < 0 ? -1 : 0;
}

static int
count_one(void *arg, uint32_t no, struct err *err)
{
	struct store_copying *c = arg;

	(void)no;
	(void)err;
	c->r.packs_total++;
	return 0;
}

void
store_copy_begin(struct store_copying *c)
{
	struct err ignored = ERR_INIT;

	c->r.sequence = c->m.sequence;
	c->r.time_us = c->m.time_us;
	c->r.packs_total = 0;
	(void)store_copy_each(c, count_one, c, &ignored);
}

struct listing {
	struct pack_set *there;
	struct err *err;
};

static int
list_one(void *arg, uint32_t no, int sealed)
{
	struct listing *l = arg;

	return sealed ? pack_set_add(l->there, no, l->err) : 0;
}

int
store_copy_list(struct store_copying *c, struct err *err)
{
	struct listing l = { &c->there, err };

	pack_set_clear(&c->there);
	return pack_list(c->to, list_one, &l, err);
}

void
store_copy_moment_clear(struct store_copy_moment *m)
{
	pack_set_clear(&m->alive);
	pack_set_clear(&m->gone);
	memset(m, 0, sizeof(*m));
}

void
store_copying_free(struct store_copying *c)
{
	store_copy_moment_clear(&c->m);
	pack_set_clear(&c->there);
}
