/*
 * nt_pnp: every PnP minor, power state and usage in every state of a volume; removal,
 * surprise or not, and the owner's death, from every state (P6, P10, P11).
 */
#include "tests/driver/rig/scene.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define GATE_MS 2500
#define IMAGE_LOST(status) ((status) == (NTSTATUS)HOTCOPY_STATUS_LOST)

enum state { IDLE, PREPARED, GATED, ACTIVE, DROPPED, STATES };
static const char *const state_names[STATES] = { "idle", "prepared", "gated", "active",
	"dropped" };

static struct scene scene;

/* A write that the disk keeps, FREEZE in a thread of its own that waits for it, and a
   write to the other volume that the gate keeps. */
static struct {
	struct scene_write kept, held;
	pthread_t thread;
	NTSTATUS frozen;
} gate;

static void *
gate_run(void *arg)
{
	(void)arg;
	gate.frozen = rig_freeze(&scene.set, 0, GATE_MS, 7);
	return NULL;
}

static void
gate_close(void)
{
	struct scene *s = &scene;

	rig_disk_hold(&s->rig.disk[0], RIG_HOST_WRITES);
	scene_write_begin(s, &gate.kept, 0, 0, 4096);
	SCENE_REQUIRE(s, rig_disk_waits(&s->rig.disk[0], 1, shim_patience()));
	if (pthread_create(&gate.thread, NULL, gate_run, NULL) != 0)
		abort();
	/* Closed is the gate when a write does not come back from it. */
	for (;;) {
		scene_write_begin(s, &gate.held, 1, 65536, 4096);
		if (!rig_done(&gate.held.q, 150))
			return;
		scene_wrote(s, &gate.held);
	}
}

/* "may_fail": the first disk is gone; "other": the second is. */
static void
gate_open(bool gone0, bool gone1)
{
	NTSTATUS kept, held;

	rig_disk_hold(&scene.rig.disk[0], 0);
	pthread_join(gate.thread, NULL);
	kept = scene_wrote(&scene, &gate.kept);
	held = scene_wrote(&scene, &gate.held);
	if ((!NT_SUCCESS(kept) && !gone0) || (!NT_SUCCESS(held) && !gone1))
		scene_bad(&scene, "a write around the gate failed: 0x%08x, 0x%08x",
		    (unsigned)kept, (unsigned)held);
}

static void
drop(void)
{
	struct scene *s = &scene;

	rig_disk_fail(&s->rig.disk[0], RIG_OWN_READS, STATUS_DEVICE_DATA_ERROR);
	scene_write(s, 0, 5 * SCENE_CHUNK, 4096);
	rig_disk_fail(&s->rig.disk[0], 0, 0);
	SCENE_REQUIRE(s, IMAGE_LOST(scene_image(s, 0, 0, 4096)));
}

static void
reach(enum state state)
{
	struct scene *s = &scene;

	scene_start(s);
	scene_write(s, 0, 512, 65536);
	scene_write(s, 1, 1024, 8192);
	if (state == IDLE)
		return;
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	if (state == GATED)
		gate_close();
	if (state == ACTIVE || state == DROPPED) {
		SCENE_REQUIRE(s, scene_freeze(s, 0, 7) == STATUS_SUCCESS);
		scene_write(s, 0, 2 * SCENE_CHUNK + 512, 4096);
	}
	if (state == DROPPED)
		drop();
}

/* What was true before must be true still. */
static void
still(enum state state)
{
	struct scene *s = &scene;

	if (state == GATED)
		return;
	scene_write(s, 0, 7 * SCENE_CHUNK, 4096);
	scene_write(s, 1, 7 * SCENE_CHUNK, 4096);
	if (state == ACTIVE)
		for (unsigned v = 0; v < SCENE_VOLUMES; v++)
			SCENE_REQUIRE(s, scene_image_all(s, v) == STATUS_SUCCESS);
	scene_disks_right(s);
}

static void
minors(enum state state)
{
	static const UCHAR minor[] = { IRP_MN_QUERY_REMOVE_DEVICE,
		IRP_MN_CANCEL_REMOVE_DEVICE, IRP_MN_QUERY_STOP_DEVICE,
		IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_QUERY_DEVICE_RELATIONS,
		IRP_MN_QUERY_INTERFACE, IRP_MN_QUERY_CAPABILITIES, 0x0a, 0x0b, 0x0c, 0x0d,
		0x0f, 0x10, 0x11, 0x12, 0x13, IRP_MN_QUERY_PNP_DEVICE_STATE, 0x15, 0x18,
		IRP_MN_DEVICE_ENUMERATED, 0x1f, IRP_MN_QUERY_STOP_DEVICE,
		IRP_MN_STOP_DEVICE, IRP_MN_START_DEVICE };
	struct scene *s = &scene;
	struct rig_disk *d = &s->rig.disk[0];

	reach(state);
	for (size_t i = 0; i < ARRAYSIZE(minor); i++) {
		unsigned before = d->minors[minor[i]];
		NTSTATUS status = rig_pnp(d, minor[i]);
		bool known = minor[i] <= IRP_MN_CANCEL_STOP_DEVICE ||
			     minor[i] == IRP_MN_QUERY_CAPABILITIES;

		if (d->minors[minor[i]] != before + 1)
			scene_bad(s, "%s: minor 0x%02x came down %u times",
			    state_names[state], minor[i], d->minors[minor[i]] - before);
		if (status != (known ? STATUS_SUCCESS : STATUS_NOT_SUPPORTED))
			scene_bad(s, "%s: minor 0x%02x gives 0x%08x", state_names[state],
			    minor[i], (unsigned)status);
	}
	still(state);
	if (state == GATED)
		gate_open(false, false);
	scene_stop(s);
}

/* DO_POWER_PAGABLE goes with the first special file and comes back with the last. */
static void
usages(enum state state)
{
	struct scene *s = &scene;
	struct rig_disk *d = &s->rig.disk[0];
	PDEVICE_OBJECT top;

	reach(state);
	top = shim_device_top(d->pdo);
	SCENE_REQUIRE(s, top->Flags & DO_POWER_PAGABLE);
	SCENE_REQUIRE(s, rig_usage(d, DeviceUsageTypePaging, true) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, (top->Flags & DO_POWER_PAGABLE) == 0);
	SCENE_REQUIRE(
	    s, rig_usage(d, DeviceUsageTypeHibernation, true) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_usage(d, DeviceUsageTypeDumpFile, true) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_usage(d, DeviceUsageTypePaging, false) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, (top->Flags & DO_POWER_PAGABLE) == 0);
	SCENE_REQUIRE(
	    s, rig_usage(d, DeviceUsageTypeHibernation, false) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, rig_usage(d, DeviceUsageTypeDumpFile, false) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, top->Flags & DO_POWER_PAGABLE);
	still(state);
	if (state == GATED)
		gate_open(false, false);
	scene_stop(s);
}

/* Sleep drops the image, device power and the question do not; I/O goes on after both. */
static void
powers(enum state state, bool old)
{
	struct scene *s = &scene;
	struct rig_disk *d = &s->rig.disk[0];
	NTSTATUS status = STATUS_SUCCESS;

	shim_os(old ? 5 : 10, old ? 2 : 0);
	reach(state);
	rig_power(d, IRP_MN_QUERY_POWER, DevicePowerState, PowerDeviceD3);
	rig_power(d, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD3);
	rig_power(d, IRP_MN_SET_POWER, DevicePowerState, PowerDeviceD0);
	rig_power(d, IRP_MN_WAIT_WAKE, SystemPowerState, PowerSystemSleeping1);
	/* A question is no sleep yet, and may be answered with no. */
	rig_power(d, IRP_MN_QUERY_POWER, SystemPowerState, PowerSystemSleeping3);
	still(state);
	rig_power(d, IRP_MN_SET_POWER, SystemPowerState, PowerSystemSleeping3);
	rig_power(d, IRP_MN_SET_POWER, SystemPowerState, PowerSystemWorking);
	if (state == GATED)
		gate_open(false, false);
	for (unsigned i = 0; state == ACTIVE && !IMAGE_LOST(status); i++) {
		status = scene_image(s, 0, 0, 4096);
		if (i > shim_patience()) {
			scene_bad(s, "an image outlives sleep");
			break;
		}
		usleep(1000);
	}
	scene_write(s, 0, 9 * SCENE_CHUNK, 4096);
	scene_write(s, 1, 9 * SCENE_CHUNK, 4096);
	scene_stop(s);
	shim_os(10, 0);
}

/* The first volume goes; the second and its handles stay. */
static void
removal(enum state state, bool surprise)
{
	struct scene *s = &scene;
	struct rig_disk *d = &s->rig.disk[0];
	uint8_t byte[RIG_SECTOR];

	reach(state);
	if (surprise) {
		SCENE_REQUIRE(s, rig_disk_surprise(&s->rig, 0) == STATUS_SUCCESS);
		SCENE_REQUIRE(
		    s, !NT_SUCCESS(rig_io(d, IRP_MJ_READ, 0, byte, RIG_SECTOR)));
	}
	if (state == GATED)
		gate_open(surprise, false);
	if (surprise)
		SCENE_REQUIRE(
		    s, !NT_SUCCESS(rig_io(d, IRP_MJ_WRITE, 0, byte, RIG_SECTOR)));
	SCENE_REQUIRE(s, rig_disk_remove(&s->rig, 0) == STATUS_SUCCESS);
	if (state == ACTIVE) {
		SCENE_REQUIRE(s, IMAGE_LOST(scene_image(s, 0, 0, 4096)));
		SCENE_REQUIRE(s, scene_image_all(s, 1) == STATUS_SUCCESS);
	}
	scene_write(s, 1, 3 * SCENE_CHUNK, 65536);
	if (state == ACTIVE)
		SCENE_REQUIRE(s, scene_image_all(s, 1) == STATUS_SUCCESS);
	scene_stop(s);
}

static void *
owner_dies(void *arg)
{
	(void)arg;
	rig_cleanup(&scene.set.file);
	return NULL;
}

/* The owner's handle is cleaned up by another thread while its FREEZE waits; no gate
   stays closed longer than it may. */
static void
death(enum state state)
{
	struct scene *s = &scene;
	pthread_t thread;

	reach(state);
	if (pthread_create(&thread, NULL, owner_dies, NULL) != 0)
		abort();
	if (state == GATED) {
		/* The write at the gate passes though the disk still keeps the other. */
		if (!rig_done(&gate.held.q, GATE_MS + 4000))
			scene_bad(s, "a gate stays closed after its owner's death");
		gate_open(false, false);
	}
	pthread_join(thread, NULL);
	s->set.number = 0;
	scene_write(s, 0, 3 * SCENE_CHUNK, 65536);
	scene_write(s, 1, 3 * SCENE_CHUNK, 65536);
	if (state == ACTIVE)
		SCENE_REQUIRE(s, !NT_SUCCESS(scene_image(s, 0, 0, 4096)));
	rig_close(&s->set.file);
	/* Another may begin. */
	SCENE_REQUIRE(s, rig_open(&s->set.file) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	scene_stop(s);
}

int
main(int argc, char **argv)
{
	unsigned bad = 0;
	const char *only = argc > 1 ? argv[1] : NULL;

	for (int i = 0; i < STATES; i++) {
		enum state state = (enum state)i;
		const char *name = state_names[i];

		if (only != NULL && strcmp(only, name) != 0)
			continue;
		minors(state);
		bad += scene.bad;
		usages(state);
		bad += scene.bad;
		powers(state, false);
		bad += scene.bad;
		powers(state, true);
		bad += scene.bad;
		removal(state, false);
		bad += scene.bad;
		removal(state, true);
		bad += scene.bad;
		death(state);
		bad += scene.bad;
		printf("%s: %u bad so far\n", name, bad);
		fflush(stdout);
	}
	return bad != 0;
}
