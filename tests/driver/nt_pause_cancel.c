/*
 * nt_pause_cancel.c - a request that waits for an event is cancelled while its handle is
 * cleaned up, with one of the two stopped at each of its points: it is completed once.
 * The shim ends the program at a second completion.
 */
#include "tests/driver/nt_pause.h"

#include <stdio.h>
#include <stdlib.h>
#include "tests/driver/rig/rig.h"

#define OTHER_MS 50

static struct rig rig;
static struct {
	unsigned nth, left;
	bool cleanup; /* it is stopped, not who cancels */
	KEVENT at, go, done;
	struct rig_request q;
	struct rig_file file;
} p;

static void *
act(void *arg)
{
	bool first = arg == NULL;

	if (first)
		shim_pause_at(p.nth, &p.at, &p.go);
	if (first == p.cleanup)
		rig_cleanup(&p.file);
	else
		rig_cancel(&p.q);
	if (first)
		p.left = shim_pause_at(0, NULL, NULL);
	KeSetEvent(first ? &p.at : &p.done, IO_NO_INCREMENT, FALSE);
	return NULL;
}

/* false: there is no nth point. */
static bool
stopped_at(unsigned nth, unsigned *bad)
{
	struct hotcopy_event event;
	pthread_t first, second;
	NTSTATUS status;

	p.nth = nth;
	KeInitializeEvent(&p.at, NotificationEvent, FALSE);
	KeInitializeEvent(&p.go, NotificationEvent, FALSE);
	KeInitializeEvent(&p.done, NotificationEvent, FALSE);
	if (rig_open(&p.file) != STATUS_SUCCESS)
		shim_bugcheck("no handle of the control device");
	rig_call_begin(&p.q, &p.file, HOTCOPY_IOCTL_WAIT_EVENT, &event, 0, sizeof(event));
	if (pthread_create(&first, NULL, act, NULL) != 0)
		abort();
	if (!shim_wait_ms(&p.at, shim_patience()))
		shim_bugcheck("a thread does not come to its point %u", nth);
	if (pthread_create(&second, NULL, act, &p) != 0)
		abort();
	shim_wait_ms(&p.done, OTHER_MS);
	KeSetEvent(&p.go, IO_NO_INCREMENT, FALSE);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	status = rig_wait(&p.q, NULL);
	if (status != STATUS_CANCELLED) {
		printf("BAD: a cancelled request gives 0x%08x at point %u\n",
		    (unsigned)status, nth);
		(*bad)++;
	}
	rig_close(&p.file);
	return p.left == 0;
}

unsigned
pause_cancels(void)
{
	unsigned bad = 0, n;

	if (rig_start(&rig, 1, 1u << 20) != STATUS_SUCCESS)
		bad++;
	for (unsigned i = 0; i < 2 && bad == 0; i++) {
		p.cleanup = i > 0;
		for (n = 1; n < PAUSE_POINTS_MAX && bad == 0 && stopped_at(n, &bad); n++)
			;
		printf("%u points of who %s, %u bad\n", n,
		    p.cleanup ? "cleans up" : "cancels", bad);
		bad += n < 3 || n == PAUSE_POINTS_MAX;
	}
	return bad + !rig_stop(&rig);
}
