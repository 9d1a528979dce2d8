/*
 * nt_chaos: cuts, cancelling and stress with the order of threads disturbed: yields and
 * short sleeps at every lock, event and shared word of the driver's.
 *
 *	nt_chaos [SEED [MILLISECONDS]]
 */
#include "tests/driver/nt_chaos_cuts.h"
#include "tests/driver/rig/round.h"

#include <stdio.h>
#include <stdlib.h>

#define CANCELS 150

static struct rig rig;
static struct load load;
static struct round work;

static void *
cancel_run(void *arg)
{
	rig_cancel(arg);
	return NULL;
}

/* A request that waits for an event is cancelled while its handle is cleaned up. */
static void
cancel_races(void)
{
	for (unsigned i = 0; i < CANCELS && load.bad == 0; i++) {
		struct rig_request q;
		struct rig_file file;
		struct hotcopy_event event;
		pthread_t thread;
		NTSTATUS status;

		if (rig_open(&file) != STATUS_SUCCESS)
			load_bad(&load, "no handle of the control device");
		rig_call_begin(
		    &q, &file, HOTCOPY_IOCTL_WAIT_EVENT, &event, 0, sizeof(event));
		if (pthread_create(&thread, NULL, cancel_run, &q) != 0)
			abort();
		rig_cleanup(&file);
		pthread_join(thread, NULL);
		status = rig_wait(&q, NULL);
		if (status != STATUS_CANCELLED)
			load_bad(
			    &load, "a cancelled request gives 0x%08x", (unsigned)status);
		rig_close(&file);
	}
}

int
main(int argc, char **argv)
{
	unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	unsigned ms = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1500;
	bool whole;

	if (!chaos_cuts(seed, ms / 3))
		return 1;
	if (rig_start(&rig, LOAD_VOLUMES, LOAD_LENGTH) != STATUS_SUCCESS ||
	    rig_disk_add(&rig, 8 * LOAD_MIB) != STATUS_SUCCESS)
		load_bad(&load, "the driver does not start");
	load.rig = &rig;
	for (unsigned v = 0; v < LOAD_VOLUMES; v++)
		rig.disk[v].late = true;
	load.trims = true;
	load.pause_us = 20;
	shim_chaos_on(seed);
	cancel_races();
	round_open(&work, &load, true, seed);
	load_start(&load, &rig, LOAD_WRITERS, seed);
	round_many(&work, &load, 5, ms);
	load_stop(&load);
	shim_chaos_off();
	load_disks_right(&load);
	round_close(&work);
	whole = rig_stop(&rig);
	round_tell(&work, &load);
	load_free(&load);
	return load.bad > 0 || !whole;
}
