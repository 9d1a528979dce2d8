#include "driver/nt/hold.h"
#include "driver/core/env.h"
#include "driver/nt/ctl.h"
#include "driver/nt/pass.h"

struct hold {
	struct hold *next;
	struct env_thread thread;
	struct filter *f;
	IRP *irp;
	uint32_t done; /* atomic: the thread is at its end */
};

static struct {
	struct env_lock lock;
	struct hold *first;
} holds;

void
hold_begin(void)
{
	env_lock_init(&holds.lock);
	holds.first = NULL;
}

/* One that is to be joined, out of the list; "all": also one that is not done. */
static struct hold *
take(bool all)
{
	unsigned old = env_lock_take(&holds.lock);
	struct hold **at = &holds.first, *h;

	while (*at != NULL && !all && atomic_get(&(*at)->done) == 0)
		at = &(*at)->next;
	h = *at;
	if (h != NULL)
		*at = h->next;
	env_lock_give(&holds.lock, old);
	return h;
}

static void
join(bool all)
{
	struct hold *h;

	while ((h = take(all)) != NULL) {
		env_thread_join(&h->thread);
		env_free(h);
	}
}

void
hold_end(void)
{
	join(true);
}

static NTSTATUS NTAPI
done(DEVICE_OBJECT *device, IRP *irp, PVOID context)
{
	(void)device;
	if (irp->PendingReturned)
		IoMarkIrpPending(irp);
	nt_leave(context);
	return STATUS_CONTINUE_COMPLETION;
}

static void
wait_and_send(struct filter *f, IRP *irp)
{
	ctl_hold(f->volume);
	IoCopyCurrentIrpStackLocationToNext(irp);
	IoSetCompletionRoutine(irp, done, f, TRUE, TRUE, TRUE);
	IoCallDriver(f->lower, irp);
}

static void
run(void *arg)
{
	struct hold *h = arg;

	wait_and_send(h->f, h->irp);
	atomic_put(&h->done, 1);
}

/* A frozen volume, or one that only passes, has no cut before it. */
static bool
may_wait(const struct filter *f)
{
	enum hotcopy_state state = volume_state(f->volume);

	return KeGetCurrentIrql() == PASSIVE_LEVEL &&
	       (state == HOTCOPY_IDLE || state == HOTCOPY_PREPARED);
}

NTSTATUS
hold_request(struct filter *f, IRP *irp)
{
	struct hold *h;
	unsigned old;

	if (!may_wait(f))
		return pass_request(f, irp);
	join(false);
	h = env_alloc(sizeof(*h));
	IoMarkIrpPending(irp);
	if (h != NULL) {
		h->f = f;
		h->irp = irp;
	}
	if (h == NULL || env_thread_start(&h->thread, run, h) != 0) {
		env_free(h);
		wait_and_send(f, irp);
		return STATUS_PENDING;
	}
	old = env_lock_take(&holds.lock);
	h->next = holds.first;
	holds.first = h;
	env_lock_give(&holds.lock, old);
	return STATUS_PENDING;
}
