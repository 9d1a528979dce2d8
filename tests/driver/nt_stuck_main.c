/*
 * nt_stuck: disks below that do not answer, or answer with errors.  A copier that waits
 * for a read keeps nobody but the write it serves (P11); whatever fails, host writes go
 * on and keep their own status (P1); the image is right or lost, never wrong.
 */
#include "tests/driver/rig/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define LOST ((NTSTATUS)HOTCOPY_STATUS_LOST)

static struct scene scene;

static void
active(uint64_t memory, enum hotcopy_full full)
{
	struct scene *s = &scene;

	scene_start(s);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		for (uint64_t at = 0; at < SCENE_FREE; at += 65536)
			scene_write(s, v, at, 65536);
	SCENE_REQUIRE(s, scene_prepare(s, memory, full) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_freeze(s, 0, 1) == STATUS_SUCCESS);
}

static uint32_t
why(unsigned v)
{
	struct hotcopy_volume facts;

	if (!rig_facts(&scene.set.file, scene.set.volume[v], &facts))
		return 99;
	return facts.why;
}

/* Requests of all kinds while a read of the copier's own is stuck. */
static void
a_copier_is_stuck(bool surprise)
{
	struct scene *s = &scene;
	struct rig_disk *d = &s->rig.disk[0];
	struct scene_write first, second;
	struct rig_request event;
	struct hotcopy_event out;
	struct rig_file other;
	uint8_t unneeded[16] = { 0x10 }; /* chunk 4 */
	uint8_t sector[RIG_SECTOR];
	NTSTATUS status;

	active(4u << 20, HOTCOPY_FULL_DROP);
	SCENE_REQUIRE(s, rig_unneeded(&s->set, 0, 0, 64, unneeded) == STATUS_SUCCESS);
	rig_disk_hold(d, RIG_OWN_READS);
	scene_write_begin(s, &first, 0, 512, 4096);
	scene_write_begin(s, &second, 0, 2 * SCENE_CHUNK, 4096);
	SCENE_REQUIRE(s, rig_disk_waits(d, 1, shim_patience()));
	/* The shim's patience is the limit of each. */
	SCENE_REQUIRE(s, rig_io(d, IRP_MJ_READ, 0, sector, RIG_SECTOR) == STATUS_SUCCESS);
	SCENE_REQUIRE(
	    s, rig_io(d, IRP_MJ_READ, 9 * SCENE_CHUNK, sector, RIG_SECTOR) == 0);
	SCENE_REQUIRE(s, rig_flush(d) == STATUS_SUCCESS);
	scene_write(s, 0, 4 * SCENE_CHUNK, 4096); /* not needed */
	scene_write(s, 1, 0, 65536);		  /* the other volume */
	SCENE_REQUIRE(s, rig_pnp(d, IRP_MN_QUERY_REMOVE_DEVICE) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_pnp(d, IRP_MN_CANCEL_REMOVE_DEVICE) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_usage(d, DeviceUsageTypePaging, true) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_usage(d, DeviceUsageTypePaging, false) == STATUS_SUCCESS);
	rig_power(d, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD3);
	rig_power(d, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD0);
	SCENE_REQUIRE(s, rig_volume(d) != 0);
	SCENE_REQUIRE(s, rig_open(&other) == STATUS_SUCCESS);
	rig_call_begin(
	    &event, &s->set.file, HOTCOPY_IOCTL_WAIT_EVENT, &out, 0, sizeof(out));
	if (rig_done(&event, 50))
		scene_bad(s, "an event where nothing happened");
	rig_cancel(&event);
	SCENE_REQUIRE(s, rig_wait(&event, NULL) == STATUS_CANCELLED);
	rig_cleanup(&other);
	rig_close(&other);
	if (rig_done(&first.q, 0) || rig_done(&second.q, 0))
		scene_bad(s, "a write passed whose old bytes were not kept");
	if (surprise)
		SCENE_REQUIRE(s, rig_disk_surprise(&s->rig, 0) == STATUS_SUCCESS);
	rig_disk_hold(d, 0);
	status = scene_wrote(s, &first);
	SCENE_REQUIRE(s, NT_SUCCESS(status) != surprise);
	status = scene_wrote(s, &second);
	SCENE_REQUIRE(s, NT_SUCCESS(status) != surprise);
	if (surprise) {
		SCENE_REQUIRE(s, scene_image(s, 0, 0, 4096) == LOST);
		SCENE_REQUIRE(s, rig_disk_remove(&s->rig, 0) == STATUS_SUCCESS);
	} else {
		SCENE_REQUIRE(s, scene_image(s, 0, 0, 4 * SCENE_CHUNK) == STATUS_SUCCESS);
	}
	scene_stop(s);
}

static void *
cleanup(void *arg)
{
	rig_cleanup(arg);
	return NULL;
}

/* The owner goes while the copier is stuck: nothing may be freed under the copier. */
static void
the_owner_goes_meanwhile(void)
{
	struct scene *s = &scene;
	struct scene_write write;
	pthread_t thread;

	active(4u << 20, HOTCOPY_FULL_DROP);
	rig_disk_hold(&s->rig.disk[0], RIG_OWN_READS);
	scene_write_begin(s, &write, 0, 512, 4096);
	SCENE_REQUIRE(s, rig_disk_waits(&s->rig.disk[0], 1, shim_patience()));
	if (pthread_create(&thread, NULL, cleanup, &s->set.file) != 0)
		abort();
	usleep(20000);
	rig_disk_hold(&s->rig.disk[0], 0);
	pthread_join(thread, NULL);
	SCENE_REQUIRE(s, scene_wrote(s, &write) == STATUS_SUCCESS);
	rig_close(&s->set.file);
	s->set.number = 0;
	scene_stop(s);
}

static void
reads_for_copies_fail(void)
{
	struct scene *s = &scene;
	struct hotcopy_event event;
	uint32_t got;

	active(4u << 20, HOTCOPY_FULL_DROP);
	rig_disk_fail(&s->rig.disk[0], RIG_OWN_READS, STATUS_DEVICE_DATA_ERROR);
	scene_write(s, 0, 512, 4096);
	scene_write(s, 0, 512, 65536);
	SCENE_REQUIRE(s, scene_image(s, 0, 0, 4096) == LOST);
	SCENE_REQUIRE(s, why(0) == HOTCOPY_WHY_READ_ERROR);
	SCENE_REQUIRE(s, rig_call(&s->set.file, HOTCOPY_IOCTL_WAIT_EVENT, &event, 0,
			     sizeof(event), &got) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, event.code == HOTCOPY_EVENT_DROPPED &&
			     event.argument == HOTCOPY_WHY_READ_ERROR);
	scene_stop(s);
}

static void
host_writes_fail(void)
{
	struct scene *s = &scene;
	struct scene_write write;

	active(4u << 20, HOTCOPY_FULL_DROP);
	rig_disk_fail(&s->rig.disk[0], RIG_HOST_WRITES, STATUS_CRC_ERROR);
	for (unsigned i = 0; i < 4; i++) {
		scene_write_begin(s, &write, 0, i * SCENE_CHUNK, 4096);
		SCENE_REQUIRE(s, scene_wrote(s, &write) == STATUS_CRC_ERROR);
	}
	rig_disk_fail(&s->rig.disk[0], 0, 0);
	scene_write(s, 0, 0, 65536);
	SCENE_REQUIRE(s, scene_image_all(s, 0) == STATUS_SUCCESS);
	scene_stop(s);
}

/* The diff area on the second volume fails: what is in memory stays right, then there is
   no room; the host never notices. */
static void
the_diff_area_fails(void)
{
	struct scene *s = &scene;
	NTSTATUS status;

	scene_start(s);
	scene_write(s, 0, 0, 65536);
	SCENE_REQUIRE(s, scene_prepare(s, 1u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_extents(&s->set, HOTCOPY_IOCTL_DIFF_ADD, 1, SCENE_DIFF,
			     SCENE_DIFF_BYTES) == 0);
	SCENE_REQUIRE(s, scene_freeze(s, 0, 1) == STATUS_SUCCESS);
	rig_disk_fail(&s->rig.disk[1], RIG_OWN_WRITES, STATUS_IO_DEVICE_ERROR);
	for (uint64_t at = 0; at + 65536 <= SCENE_FREE; at += 65536) {
		scene_write(s, 0, at, 65536);
		scene_write(s, 1, at, 65536);
		status = scene_image(s, 0, 0, 65536);
		SCENE_REQUIRE(s, status == STATUS_SUCCESS || status == LOST);
	}
	rig_disk_fail(&s->rig.disk[1], RIG_OWN_READS, STATUS_IO_DEVICE_ERROR);
	status = scene_image_all(s, 0);
	SCENE_REQUIRE(s, status == STATUS_SUCCESS || status == LOST);
	rig_disk_fail(&s->rig.disk[1], 0, 0);
	scene_stop(s);
}

/* The first write into a region must be logged, and cannot be: it passes all the same. */
static void
the_tracking_store_fails(void)
{
	struct scene *s = &scene;
	struct hotcopy_volume facts;
	uint64_t volume;

	scene_start(s);
	volume = rig_volume(&s->rig.disk[0]);
	SCENE_REQUIRE(s, rig_track(&s->set.file, volume, true, SCENE_STORE,
			     SCENE_STORE_BYTES, 3) == 0);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_freeze(s, HOTCOPY_FREEZE_GENERATION, 4) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_generation(&s->set.file, HOTCOPY_IOCTL_COMMIT, volume,
			     s->set.frozen.generation[0], 4) == STATUS_SUCCESS);
	scene_release(s);
	SCENE_REQUIRE(s, rig_facts(&s->set.file, volume, &facts));
	SCENE_REQUIRE(s, facts.tracking == HOTCOPY_TRACK_VALID);
	rig_disk_fail(&s->rig.disk[0], RIG_OWN_WRITES, STATUS_IO_DEVICE_ERROR);
	scene_write(s, 0, 0, 65536);
	scene_write(s, 0, SCENE_CHUNK, 4096);
	SCENE_REQUIRE(s, rig_facts(&s->set.file, volume, &facts));
	SCENE_REQUIRE(s, facts.tracking == HOTCOPY_TRACK_INVALID);
	rig_disk_fail(&s->rig.disk[0], 0, 0);
	scene_write(s, 0, 0, 65536);
	scene_stop(s);
}

/* A write that the disk keeps: FREEZE gives up in time, writes at the gate go on, and the
   set may be frozen afterwards. */
static void
the_gate_gives_up(void)
{
	struct scene *s = &scene;
	struct scene_write kept;
	NTSTATUS status;

	scene_start(s);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	rig_disk_hold(&s->rig.disk[0], RIG_HOST_WRITES);
	scene_write_begin(s, &kept, 0, 0, 4096);
	SCENE_REQUIRE(s, rig_disk_waits(&s->rig.disk[0], 1, shim_patience()));
	status = rig_freeze(&s->set, 0, 200, 1);
	SCENE_REQUIRE(s, status == STATUS_IO_TIMEOUT);
	SCENE_REQUIRE(s, scene_state(s, 0) == HOTCOPY_PREPARED);
	scene_write(s, 1, 0, 65536);
	rig_disk_hold(&s->rig.disk[0], 0);
	SCENE_REQUIRE(s, scene_wrote(s, &kept) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_freeze(s, 0, 1) == STATUS_SUCCESS);
	scene_write(s, 0, 0, 65536);
	SCENE_REQUIRE(s, scene_image_all(s, 0) == STATUS_SUCCESS);
	scene_stop(s);
}

/* The last chunk is copied in part: what lies behind in its buffer is nobody's to see. */
static void
the_end_of_a_volume(void)
{
	struct scene *s = &scene;
	uint8_t sectors[2 * RIG_SECTOR];

	active(4u << 20, HOTCOPY_FULL_DROP);
	scene_write(s, 0, SCENE_LENGTH - RIG_SECTOR, RIG_SECTOR);
	SCENE_REQUIRE(s,
	    scene_image(s, 0, SCENE_LENGTH - RIG_SECTOR, RIG_SECTOR) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, !NT_SUCCESS(rig_image(&s->image[0], SCENE_LENGTH - RIG_SECTOR,
			     sectors, 2 * RIG_SECTOR)));
	SCENE_REQUIRE(
	    s, !NT_SUCCESS(rig_image(&s->image[0], SCENE_LENGTH, sectors, RIG_SECTOR)));
	scene_stop(s);
}

#define FREEZE_MS 8000u

static NTSTATUS frozen;

static void *
freeze(void *arg)
{
	struct scene *s = arg;

	frozen = rig_freeze(&s->set, HOTCOPY_FREEZE_GENERATION, FREEZE_MS, 6);
	return NULL;
}

/* What waited at the gate is in no image of that cut, and in the next one's report. */
static void
a_write_at_the_gate_is_of_the_next_generation(void)
{
	struct scene *s = &scene;
	struct scene_write kept, held;
	uint64_t until;
	uint8_t bit[8] = { 0 };
	pthread_t thread;

	scene_start(s);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		SCENE_REQUIRE(
		    s, rig_track(&s->set.file, rig_volume(&s->rig.disk[v]), true,
			   SCENE_STORE, SCENE_STORE_BYTES, 5) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	rig_disk_hold(&s->rig.disk[0], RIG_HOST_WRITES);
	scene_write_begin(s, &kept, 0, 0, 4096);
	SCENE_REQUIRE(s, rig_disk_waits(&s->rig.disk[0], 1, shim_patience()));
	if (pthread_create(&thread, NULL, freeze, s) != 0)
		abort();
	/* All gates are closed while one volume is waited for. */
	until = KeQueryInterruptTime() + (uint64_t)shim_patience() * 10000;
	for (;;) {
		scene_write_begin(s, &held, 1, 5 * 65536, 4096);
		if (!rig_done(&held.q, 150) || KeQueryInterruptTime() > until)
			break;
		scene_wrote(s, &held);
	}
	SCENE_REQUIRE(s, KeQueryInterruptTime() <= until);
	rig_disk_hold(&s->rig.disk[0], 0);
	pthread_join(thread, NULL);
	SCENE_REQUIRE(s, frozen == STATUS_SUCCESS);
	/* And it was told when that had ended, not by its limit. */
	SCENE_REQUIRE(
	    s, s->set.frozen.opened - s->set.frozen.closed < FREEZE_MS * 10000ull);
	/* The one that the disk kept is in the image, the one at the gate is not. */
	SCENE_REQUIRE(s, scene_wrote(s, &kept) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_frozen(s) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_wrote(s, &held) == STATUS_SUCCESS);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
		SCENE_REQUIRE(s, scene_image_all(s, v) == STATUS_SUCCESS);
		SCENE_REQUIRE(s,
		    rig_generation(&s->set.file, HOTCOPY_IOCTL_COMMIT, s->set.volume[v],
			s->set.frozen.generation[v], 6) == STATUS_SUCCESS);
	}
	scene_release(s);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_freeze(s, HOTCOPY_FREEZE_GENERATION, 7) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_changed(&s->set, 1, 0, 0, 17, bit) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, bit[0] & 1 << 5);
	/* And nothing that was not written. */
	SCENE_REQUIRE(s, (bit[0] & 0xdf) == 0);
	SCENE_REQUIRE(s, rig_changed(&s->set, 0, 0, 0, 17, bit) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, bit[0] == 0);
	scene_stop(s);
}

/* Memory is full: the write waits, an event says for what, DONE_READ lets it go. */
static void
a_throttled_write_waits_for_the_reader(void)
{
	struct scene *s = &scene;
	struct hotcopy_event event = { 0 };
	struct scene_write w;
	uint64_t at = 0;
	bool waits = false;
	unsigned chunks = 0;

	active(1u << 20, HOTCOPY_FULL_THROTTLE);
	for (unsigned v = 0; v < SCENE_VOLUMES && !waits; v++) {
		for (at = 0; at + SCENE_CHUNK <= SCENE_FREE && !waits;
		     at += SCENE_CHUNK) {
			scene_write_begin(s, &w, v, at, 4096);
			waits = !rig_done(&w.q, 2000);
			if (!waits)
				scene_wrote(s, &w);
			chunks++;
		}
	}
	SCENE_REQUIRE(s, waits);
	if (!waits) {
		scene_stop(s);
		return;
	}
	do
		SCENE_REQUIRE(s, rig_call(&s->set.file, HOTCOPY_IOCTL_WAIT_EVENT, &event,
				     0, sizeof(event), NULL) == STATUS_SUCCESS);
	while (event.code != HOTCOPY_EVENT_THROTTLED && s->bad == 0);
	SCENE_REQUIRE(s, scene_image(s, 0, 0, 65536) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_done_read(&s->set, 0, 0, 65536) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_wrote(s, &w) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_image(s, 0, 65536, 65536) == STATUS_SUCCESS);
	scene_stop(s);
}

static unsigned
tell(const char *name)
{
	printf("%s: %s\n", name, scene.bad == 0 ? "ok" : "BAD");
	fflush(stdout);
	return scene.bad;
}

static void
a_copiers_disk_hangs(void)
{
	a_copier_is_stuck(false);
}

static void
a_copiers_disk_is_pulled_out(void)
{
	a_copier_is_stuck(true);
}

static const struct {
	const char *name;
	void (*run)(void);
} scenes[] = {
	{ "a copier is stuck", a_copiers_disk_hangs },
	{ "a copier is stuck, its disk is pulled out", a_copiers_disk_is_pulled_out },
	{ "the owner goes meanwhile", the_owner_goes_meanwhile },
	{ "reads for copies fail", reads_for_copies_fail },
	{ "host writes fail", host_writes_fail },
	{ "the diff area fails", the_diff_area_fails },
	{ "the tracking store fails", the_tracking_store_fails },
	{ "the gate gives up", the_gate_gives_up },
	{ "the end of a volume", the_end_of_a_volume },
	{ "a write at the gate is of the next generation",
	    a_write_at_the_gate_is_of_the_next_generation },
	{ "a throttled write waits for the reader",
	    a_throttled_write_waits_for_the_reader },
};

/* Arguments: only scenes with these words in their names. */
static bool
wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strstr(name, argv[i]) != NULL)
			return true;
	return argc < 2;
}

int
main(int argc, char **argv)
{
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(scenes) / sizeof(*scenes); i++) {
		if (!wanted(scenes[i].name, argc, argv))
			continue;
		scenes[i].run();
		bad += tell(scenes[i].name);
	}
	return bad != 0;
}
