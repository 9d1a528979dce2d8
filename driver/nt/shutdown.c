#include "driver/nt/shutdown.h"
#include "driver/core/atomic.h"

/*
 * "IoRegisterShutdownNotification": told before file systems are flushed; there the
 * registry may still be written.  "IoRegisterLastChanceShutdownNotification": after it;
 * no paged code or memory, no file I/O, so no registry.  Only the second is asked for
 * late, when there is something to write: Wine has no such routine.
 */
static struct {
	DEVICE_OBJECT *device; /* NULL: nobody is told */
	uint32_t last, come;   /* atomic */
} shutdown;

void
shutdown_begin(DEVICE_OBJECT *control)
{
	atomic_put(&shutdown.last, 0);
	atomic_put(&shutdown.come, 0);
	shutdown.device = NULL;
	if (control != NULL && NT_SUCCESS(IoRegisterShutdownNotification(control)))
		shutdown.device = control;
}

void
shutdown_end(void)
{
	/* Both, if there are both. */
	if (shutdown.device != NULL)
		IoUnregisterShutdownNotification(shutdown.device);
	shutdown.device = NULL;
}

void
shutdown_last_chance(void)
{
	if (shutdown.device != NULL && atomic_swap(&shutdown.last, 1) == 0)
		IoRegisterLastChanceShutdownNotification(shutdown.device);
}

bool
shutdown_comes(void)
{
	return atomic_swap(&shutdown.come, 1) == 0;
}
