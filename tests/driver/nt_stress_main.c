/*
 * nt_stress: writers on two volumes, snapshot sets one after the other, every byte of
 * every image judged; in the end a frozen disk is pulled out under them.
 *
 *	nt_stress [-s SEED] [-t MILLISECONDS] [-f PER_MILLE] [-c] [-p PAUSE_US] [-w
 * WRITERS]
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

/* All writers and copiers are at work when one of two frozen disks goes. */
static void
pulled_out(unsigned writers, unsigned seed)
{
	static struct load l;
	struct rig_wish wish = { .memory = 16 * LOAD_MIB, .chunk_shift = 14 };
	struct rig_set s = { 0 };
	struct hotcopy_stats stats = { 0 };
	struct rig_file image = { 0 };
	uint8_t sector[RIG_SECTOR];
	unsigned ms = 0;

	l.may_fail = true;
	l.trims = true;
	if (rig_start(&rig, LOAD_VOLUMES, LOAD_LENGTH) != STATUS_SUCCESS ||
	    rig_open(&s.file) != STATUS_SUCCESS || rig_open(&image) != STATUS_SUCCESS) {
		load_bad(&load, "the driver does not start again");
		return;
	}
	load_start(&l, &rig, writers, seed);
	if (!NT_SUCCESS(rig_prepare(&rig, &s, LOAD_VOLUMES, &wish)) ||
	    !NT_SUCCESS(rig_freeze(&s, 0, 8000, seed)) ||
	    !NT_SUCCESS(rig_bind(&s, &image, 0)))
		load_bad(&l, "PREPARE, FREEZE or BIND");
	while (stats.copied < 5 && l.bad == 0 && ms++ < shim_patience()) {
		usleep(1000);
		rig_stats(&s, 0, &stats);
	}
	if (!NT_SUCCESS(rig_disk_surprise(&rig, 0)))
		load_bad(&l, "SURPRISE_REMOVAL fails");
	while (__atomic_load_n(&l.failed, __ATOMIC_RELAXED) < 20 && l.bad == 0 &&
	       ms++ < shim_patience())
		usleep(1000);
	load_stop(&l);
	if (stats.copied < 5 || l.failed < 20)
		load_bad(&l, "nothing went on when a disk was pulled out");
	if (rig_image(&image, 0, sector, RIG_SECTOR) != (NTSTATUS)HOTCOPY_STATUS_LOST)
		load_bad(&l, "the image outlives its disk");
	/* What had been answered is there, on both. */
	load_disks_right(&l);
	rig_cleanup(&image);
	rig_close(&image);
	rig_cleanup(&s.file);
	rig_close(&s.file);
	if (!rig_stop(&rig))
		load_bad(&l, "something leaked");
	load.bad += l.bad;
	load_free(&l);
}

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
	if (whole && load.bad == 0)
		pulled_out(writers, seed);
	round_tell(&work, &load);
	load_free(&load);
	return load.bad > 0 || !whole;
}
