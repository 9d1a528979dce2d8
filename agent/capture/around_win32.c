#include "agent/capture/around.h"

#include <stdlib.h>

#include "agent/vss/com_thread.h"
#include "agent/vss/vss_com.h"
#include "proto/base/err.h"

struct state {
	struct com_thread *thread;
	struct vss_com *com;
	struct err *err;
};

static int
on_open(void *arg)
{
	struct state *s = arg;

	return vss_com_new(&s->com, s->err);
}

static int
on_close(void *arg)
{
	struct state *s = arg;

	vss_com_free(s->com);
	return 0;
}

static void
state_close(void *state)
{
	struct state *s = state;

	if (s->thread != NULL)
		(void)com_thread_call(s->thread, on_close, s);
	com_thread_free(s->thread);
	free(s);
}

static int
state_open(void **state, struct err *err)
{
	struct state *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "no memory for VSS");
	s->err = err;
	if (com_thread_new(&s->thread, err) != 0 ||
	    com_thread_call(s->thread, on_open, s) != 0) {
		state_close(s);
		return -1;
	}
	*state = s;
	return 0;
}

static int
state_call(void *state, int (*fn)(void *arg), void *arg)
{
	return com_thread_call(((struct state *)state)->thread, fn, arg);
}

static void *
state_ops_arg(void *state)
{
	return ((struct state *)state)->com;
}

static const struct around_system vss = {
	.open = state_open,
	.call = state_call,
	.ops = &vss_com_ops,
	.ops_arg = state_ops_arg,
	.name = vss_com_volume,
	.boots = vss_com_boots,
	.close = state_close,
	.wait_ms = 10u * 60 * 1000,
};

const struct around_system *around_system = &vss;
