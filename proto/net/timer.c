#include "proto/net/timer.h"

#include <stdlib.h>

#include "proto/net/loop_uv.h"

struct timer {
	uv_timer_t uv;
	void (*fire)(void *arg);
	void *arg;
};

static void
fired(uv_timer_t *h)
{
	struct timer *t = h->data;

	t->fire(t->arg);
}

struct timer *
timer_new(struct loop *l, void (*fire)(void *arg), void *arg)
{
	struct timer *t;

	if ((t = calloc(1, sizeof(*t))) == NULL)
		return NULL;
	t->fire = fire;
	t->arg = arg;
	(void)uv_timer_init(loop_uv(l), &t->uv);
	t->uv.data = t;
	return t;
}

void
timer_set(struct timer *t, uint64_t ms, uint64_t repeat_ms)
{
	/* The loop's idea of now may be as old as the work it is doing. */
	uv_update_time(t->uv.loop);
	(void)uv_timer_start(&t->uv, fired, ms, repeat_ms);
}

static void
closed(uv_handle_t *h)
{
	free(h->data);
}

void
timer_free(struct timer *t)
{
	if (t != NULL)
		uv_close((uv_handle_t *)&t->uv, closed);
}
