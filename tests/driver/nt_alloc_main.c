/*
 * nt_alloc: everything once, and then again for every place in the driver that allocates,
 * with that place failing once.  The host never notices; nothing leaks; an image is right
 * or lost, and a call fails or works.
 *
 *	nt_alloc [FIRST [LAST]]
 */
#include "tests/driver/rig/scene.h"

#include <stdio.h>
#include <stdlib.h>

static struct scene scene;

/* Waiting for an event, and no more. */
static void
event_cancelled(struct scene *s)
{
	struct hotcopy_event out;
	struct rig_request q;

	if (s->set.file.device == NULL)
		return;
	rig_call_begin(&q, &s->set.file, HOTCOPY_IOCTL_WAIT_EVENT, &out, 0, sizeof(out));
	rig_cancel(&q);
	rig_wait(&q, NULL);
}

/* File systems say that they hold: nobody waits for it, or a FREEZE that gives up. */
static void
holds(struct scene *s)
{
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		if (rig_ioctl(&s->rig.disk[v], IOCTL_VOLSNAP_FLUSH_AND_HOLD_WRITES, NULL,
			0, 0, NULL) != STATUS_SUCCESS)
			scene_bad(s, "FLUSH_AND_HOLD_WRITES fails");
}

static void
copies(struct scene *s)
{
	DISK_COPY_DATA_PARAMETERS copy = { .SourceOffset.QuadPart = 0,
		.DestinationOffset.QuadPart = 20 * SCENE_CHUNK,
		.CopyLength.QuadPart = 4096 };

	scene_write(s, 0, 512, 40000 / RIG_SECTOR * RIG_SECTOR);
	scene_write(s, 1, 7 * SCENE_CHUNK, 65536);
	scene_trim(s, 0, 10 * SCENE_CHUNK, 2 * SCENE_CHUNK);
	if (NT_SUCCESS(rig_ioctl(
		&s->rig.disk[0], IOCTL_DISK_COPY_DATA, &copy, sizeof(copy), 0, NULL)))
		memcpy(s->model[0] + 20 * SCENE_CHUNK, s->model[0], 4096);
	else
		scene_bad(s, "a copy below fails");
}

static void
image(struct scene *s)
{
	uint8_t bit[16] = { 1 };
	struct hotcopy_stats stats;

	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		if (s->image[v].device != NULL)
			scene_image_all(s, v);
	copies(s);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		if (s->image[v].device != NULL)
			scene_image_all(s, v);
	rig_stats(&s->set, 0, &stats);
	rig_changed(&s->set, 0, 0, 0, 16, bit);
	bit[0] = 1;
	rig_unneeded(&s->set, 0, 0, 64, bit);
	rig_done_read(&s->set, 1, 0, 65536);
	rig_generation(&s->set.file, HOTCOPY_IOCTL_COMMIT, s->set.volume[0],
	    s->set.frozen.generation[0], 9);
}

static uint8_t kept[SCENE_LENGTH];

/* The machine is started again: the store of its first volume is found. */
static void
start_again(void)
{
	struct scene *s = &scene;
	unsigned bad = s->bad;

	rig_lay[0].bytes = kept;
	scene_start(s);
	rig_lay[0].bytes = NULL;
	memcpy(s->model[0], kept, sizeof(kept));
	shim_boot_done();
	copies(s);
	scene_stop(s);
	s->bad += bad;
}

static __attribute__((noinline)) void
everything(void)
{
	struct scene *s = &scene;
	struct rig_disk *d;
	NTSTATUS status = STATUS_UNSUCCESSFUL;

	shim_reg_clear();
	scene_start(s);
	shim_boot_done();
	d = &s->rig.disk[0];
	scene_write(s, 0, 0, 65536);
	scene_write(s, 1, 4096, 65536);
	if (s->set.file.device != NULL) {
		rig_track(
		    &s->set.file, rig_volume(d), true, SCENE_STORE, SCENE_STORE_BYTES, 8);
		scene_write(s, 0, 4096, 65536);
		status = scene_prepare(s, 1u << 20, HOTCOPY_FULL_DROP);
	}
	if (NT_SUCCESS(status)) {
		rig_extents(
		    &s->set, HOTCOPY_IOCTL_DIFF_ADD, 1, SCENE_DIFF, SCENE_DIFF_BYTES);
		rig_extents(
		    &s->set, HOTCOPY_IOCTL_EXCLUDE, 0, SCENE_DIFF, SCENE_DIFF_BYTES);
		status = scene_freeze(s, HOTCOPY_FREEZE_GENERATION, 9);
		copies(s);
		if (NT_SUCCESS(status))
			image(s);
	} else {
		copies(s);
	}
	event_cancelled(s);
	holds(s);
	scene_release(s);
	rig_usage(d, DeviceUsageTypePaging, true);
	rig_usage(d, DeviceUsageTypePaging, false);
	rig_power(d, IRP_MN_SET_POWER, SystemPowerState, PowerSystemSleeping3);
	rig_power(d, IRP_MN_SET_POWER, SystemPowerState, PowerSystemWorking);
	scene_write(s, 0, 8192, 4096);
	shim_shutdown(false);
	scene_write(s, 0, 8192, 4096);
	shim_shutdown(true);
	rig_disk_peek(d, 0, kept, sizeof(kept));
	scene_stop(s);
	start_again();
}

static void *
run_thread(void *arg)
{
	everything();
	return arg;
}

/* A site is known by its callers: in a thread of its own there are no others above. */
static unsigned
run(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run_thread, NULL) != 0)
		abort();
	pthread_join(thread, NULL);
	shim_fail_off();
	return scene.bad;
}

/* Some places are met by threads only in some order. */
#define TRIES 30

int
main(int argc, char **argv)
{
	unsigned first = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	unsigned last = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : ~0u;
	unsigned sites = 0, i = first, bad = 0, met = 0, tries = 0, found;
	bool recorded = false, happened;

	rig_lay[0].id = "a volume of the rig";
	rig_lay[1].id = "another";
	shim_fail_record();
	do {
		if (recorded)
			shim_fail_site(i);
		found = run();
		happened = recorded && shim_fail_happened();
		bad += found;
		if (found > 0 && recorded) {
			printf("^ with allocation %u of %u failing:\n", i, sites);
			fflush(stdout);
			shim_fail_tell(i);
		}
		if (!recorded) {
			recorded = true;
			sites = shim_fail_sites();
		} else if (happened || ++tries == TRIES) {
			met += happened;
			if (!happened) {
				printf("never met again: allocation %u\n", i);
				fflush(stdout);
				shim_fail_tell(i);
			}
			tries = 0;
			i++;
		}
	} while (i < sites && i <= last);
	printf("%u places that allocate, %u failed once, %u bad\n", sites, met, bad);
	return bad != 0 || sites == 0;
}
