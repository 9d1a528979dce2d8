/*
 * nt_stress: writers on two volumes, snapshot sets one after the other, every byte of
 * every image judged.
 *
 *	nt_stress [-s SEED] [-t MILLISECONDS] [-f PER_MILLE] [-c] [-p PAUSE_US] [-w
 *WRITERS]
 *
 * -f: so many of 1000 allocations fail; -c: the order of threads is disturbed.
 */
#include "tests/driver/rig/round.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct rig rig;
static struct load load;
static struct round work;

int
main(int argc, char **argv)
{
	unsigned seed = 1, ms = 1500, fail = 0, writers = LOAD_WRITERS, rounds = 6;
	bool chaos = false, whole;
	int option;

	load.pause_us = 200;
	while ((option = getopt(argc, argv, "s:t:f:p:w:r:c")) != -1) {
		unsigned value = optarg == NULL ? 0 : (unsigned)strtoul(optarg, NULL, 10);

		switch (option) {
		case 's':
			seed = value;
			break;
		case 't':
			ms = value;
			break;
		case 'f':
			fail = value;
			break;
		case 'p':
			load.pause_us = value;
			break;
		case 'w':
			writers = value < LOAD_WRITERS ? value : LOAD_WRITERS;
			break;
		case 'r':
			rounds = value;
			break;
		case 'c':
			chaos = true;
			break;
		default:
			fprintf(
			    stderr, "nt_stress: no such option; see nt_stress_main.c\n");
			return 2;
		}
	}
	if (rig_start(&rig, LOAD_VOLUMES, LOAD_LENGTH) != STATUS_SUCCESS ||
	    rig_disk_add(&rig, 8 * LOAD_MIB) != STATUS_SUCCESS)
		load_bad(&load, "the driver does not start");
	load.rig = &rig;
	load.trims = true;
	round_open(&work, &load, true, seed);
	work.may_drop = fail > 0;
	load_start(&load, &rig, writers, seed);
	if (chaos)
		shim_chaos_on(seed);
	if (fail > 0)
		shim_fail_random(fail, seed);
	round_many(&work, &load, rounds, ms);
	shim_fail_off();
	load_stop(&load);
	shim_chaos_off();
	load_disks_right(&load);
	round_close(&work);
	whole = rig_stop(&rig);
	round_tell(&work, &load);
	load_free(&load);
	return load.bad > 0 || !whole;
}
