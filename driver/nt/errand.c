#include "driver/nt/errand.h"
#include "driver/core/env.h"

struct errand {
	struct errand *next;
	struct env_thread thread;
	void (*run)(void *who, IRP *irp);
	void *who;
	IRP *irp;
	uint32_t done; /* atomic: the thread is at its end */
};

static struct {
	struct env_lock lock;
	struct errand *first;
} errands;

void
errand_begin(void)
{
	env_lock_init(&errands.lock);
	errands.first = NULL;
}

/* One that is to be joined, out of the list; "all": also one that is not done. */
static struct errand *
take(bool all)
{
	unsigned old = env_lock_take(&errands.lock);
	struct errand **at = &errands.first, *e;

	while (*at != NULL && !all && atomic_get(&(*at)->done) == 0)
		at = &(*at)->next;
	e = *at;
	if (e != NULL)
		*at = e->next;
	env_lock_give(&errands.lock, old);
	return e;
}

static void
join(bool all)
{
	struct errand *e;

	while ((e = take(all)) != NULL) {
		env_thread_join(&e->thread);
		env_free(e);
	}
}

void
errand_end(void)
{
	join(true);
}

static void
go(void *arg)
{
	struct errand *e = arg;

	e->run(e->who, e->irp);
	atomic_put(&e->done, 1);
}

void
errand_start(void (*run)(void *who, IRP *irp), void *who, IRP *irp)
{
	struct errand *e;
	unsigned old;

	join(false);
	e = env_alloc(sizeof(*e));
	if (e != NULL) {
		e->run = run;
		e->who = who;
		e->irp = irp;
	}
	if (e == NULL || env_thread_start(&e->thread, go, e) != 0) {
		env_free(e);
		run(who, irp);
		return;
	}
	old = env_lock_take(&errands.lock);
	e->next = errands.first;
	errands.first = e;
	env_lock_give(&errands.lock, old);
}

/* Without a cancel routine of ours the I/O manager leaves the mark alone ("Canceling IRPs",
   learn.microsoft.com): who waits looks at it. */
bool
errand_cancelled(void *irp)
{
	return __atomic_load_n(&((IRP *)irp)->Cancel, __ATOMIC_SEQ_CST) != FALSE;
}
