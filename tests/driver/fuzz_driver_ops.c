/*
 * fuzz_driver_ops: any sequence of requests against an exact model of two volumes and
 * their images.  Four bytes are a step: what, and three for where and how much.
 */
#include "tests/driver/rig/scene.h"

#include <stdio.h>
#include <stdlib.h>

#define LOST ((NTSTATUS)HOTCOPY_STATUS_LOST)
#define NOT_KEPT ((NTSTATUS)HOTCOPY_STATUS_NOT_KEPT)
#define CHUNKS ((SCENE_LENGTH + SCENE_CHUNK - 1) / SCENE_CHUNK)
#define SECTORS (SCENE_LENGTH / RIG_SECTOR)
#define STEPS_MAX 256u

enum phase { IDLE, PREPARED, FROZEN };

static struct scene scene;
static enum phase phase;
static bool faults;	   /* since the last cut: an image may be lost, a call may fail */
static bool host_may_fail; /* host writes are failed below */
static bool let_go[SCENE_VOLUMES][CHUNKS];
static uint64_t nonce;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(what) ((what) ? (void)0 : property(#what, __LINE__))
static void
property(const char *what, int line)
{
	fprintf(stderr, "PROPERTY FAILED: %s (line %d)\n", what, line);
	abort();
}

/* A range in the front of a volume, or near its very end. */
static void
place(const uint8_t *d, uint64_t *offset, uint32_t *length)
{
	uint32_t first = d[0] | (uint32_t)(d[1] & 7) << 8;
	uint32_t n = 1 + d[2];

	if (d[1] & 0x80)
		first += SECTORS - 200;
	first %= SECTORS;
	if (n > SECTORS - first)
		n = SECTORS - first;
	*offset = (uint64_t)first * RIG_SECTOR;
	*length = n * RIG_SECTOR;
}

/* The driver's own place. */
static bool
of_ours(uint64_t offset, uint32_t length)
{
	return offset + length > SCENE_FREE && offset < SCENE_DIFF + SCENE_DIFF_BYTES;
}

static void
step_write(const uint8_t *d, unsigned v)
{
	struct scene_write w;
	uint64_t offset;
	uint32_t length;

	place(d, &offset, &length);
	if (of_ours(offset, length))
		return;
	if (d[1] & 0x40) {
		scene_trim(&scene, v, offset, length);
		return;
	}
	scene_write_begin(&scene, &w, v, offset, length);
	REQUIRE(NT_SUCCESS(scene_wrote(&scene, &w)) != host_may_fail);
}

static void
step_image(const uint8_t *d, unsigned v)
{
	uint64_t offset;
	uint32_t length;
	NTSTATUS status;
	bool gone = false;

	place(d, &offset, &length);
	if (phase != FROZEN || of_ours(offset, length))
		return;
	for (uint64_t c = offset / SCENE_CHUNK; c <= (offset + length - 1) / SCENE_CHUNK;
	     c++)
		gone |= let_go[v][c];
	status = scene_image(&scene, v, offset, length);
	REQUIRE(!gone || !NT_SUCCESS(status));
	REQUIRE(faults || status == (gone ? NOT_KEPT : STATUS_SUCCESS));
}

static void
step_let_go(const uint8_t *d, unsigned v)
{
	uint8_t bits[CHUNKS / 8 + 1] = { 0 };
	uint64_t offset;
	uint32_t length;
	NTSTATUS status;

	place(d, &offset, &length);
	if (phase != FROZEN)
		return;
	if (d[1] & 0x20) {
		uint64_t c = offset / SCENE_CHUNK;

		bits[c / 8] = (uint8_t)(1u << c % 8);
		status = rig_unneeded(&scene.set, v, 0, CHUNKS, bits);
		if (NT_SUCCESS(status))
			let_go[v][c] = true;
	} else {
		status = rig_done_read(&scene.set, v, offset, length);
		for (uint64_t c = 0; c < CHUNKS && NT_SUCCESS(status); c++) {
			uint64_t end = (c + 1) * SCENE_CHUNK;

			if (end > SCENE_LENGTH)
				end = SCENE_LENGTH;
			if (c * SCENE_CHUNK >= offset && end <= offset + length)
				let_go[v][c] = true;
		}
	}
	REQUIRE(NT_SUCCESS(status) || faults);
}

static void
step_set(const uint8_t *d)
{
	NTSTATUS status;

	switch (phase) {
	case IDLE:
		/* Room for everything: nothing is lost but by a fault. */
		status = scene_prepare(&scene, 4u << 20, HOTCOPY_FULL_DROP);
		REQUIRE(NT_SUCCESS(status) || faults);
		if (!NT_SUCCESS(status))
			return;
		phase = PREPARED;
		if (d[0] & 1)
			status = rig_extents(&scene.set, HOTCOPY_IOCTL_DIFF_ADD,
			    d[0] >> 1 & 1, SCENE_DIFF, SCENE_DIFF_BYTES);
		REQUIRE(NT_SUCCESS(status) || faults);
		break;
	case PREPARED:
		memset(let_go, 0, sizeof(let_go));
		status = rig_freeze(&scene.set, HOTCOPY_FREEZE_GENERATION, 5000, ++nonce);
		REQUIRE(NT_SUCCESS(status) || faults);
		if (!NT_SUCCESS(status))
			return;
		/* Handles that cannot be had make no image: begin anew. */
		if (NT_SUCCESS(scene_frozen(&scene))) {
			phase = FROZEN;
			return;
		}
		REQUIRE(faults);
		scene_release(&scene);
		phase = IDLE;
		break;
	case FROZEN:
		scene_release(&scene);
		phase = IDLE;
		break;
	}
}

/* Bytes of the input's as a call.  Those that would change what the model knows if they
   were right are cut short. */
static void
step_raw(const uint8_t *d, size_t left)
{
	uint32_t code = HOTCOPY_CODE(3, d[0] % 20),
		 in = left > 200 ? 200 : (uint32_t)left;
	uint8_t buffer[256] = { 0 };
	uint32_t got;
	NTSTATUS status;

	/* It waits. */
	if (code == HOTCOPY_IOCTL_WAIT_EVENT)
		return;
	memcpy(buffer, d, in);
	if (code != HOTCOPY_IOCTL_ENUM && code != HOTCOPY_IOCTL_STATS && in > 7)
		in = 7;
	status = rig_call(&scene.set.file, code, buffer, in, sizeof(buffer), &got);
	REQUIRE(NT_SUCCESS(status) || got == 0);
}

static void
step_fault(const uint8_t *d, unsigned v)
{
	switch (d[0] % 4) {
	case 0:
		rig_disk_fail(&scene.rig.disk[v], RIG_OWN_READS | RIG_OWN_WRITES,
		    STATUS_IO_DEVICE_ERROR);
		host_may_fail = false;
		faults = true;
		rig_disk_fail(&scene.rig.disk[!v], 0, 0);
		break;
	case 1:
		shim_fail_random(d[1], d[2]);
		faults = true;
		break;
	case 2:
		for (unsigned i = 0; i < SCENE_VOLUMES; i++)
			rig_disk_fail(
			    &scene.rig.disk[i], RIG_HOST_WRITES, STATUS_CRC_ERROR);
		host_may_fail = true;
		break;
	default:
		shim_fail_off();
		for (unsigned i = 0; i < SCENE_VOLUMES; i++)
			rig_disk_fail(&scene.rig.disk[i], 0, 0);
		host_may_fail = false;
		if (phase == IDLE)
			faults = false;
		break;
	}
}

static void
step(const uint8_t *d, size_t left)
{
	static const UCHAR minor[] = { IRP_MN_QUERY_STOP_DEVICE,
		IRP_MN_CANCEL_STOP_DEVICE, IRP_MN_QUERY_REMOVE_DEVICE,
		IRP_MN_CANCEL_REMOVE_DEVICE };
	unsigned v = d[0] >> 7;

	switch (d[0] & 15) {
	case 5:
	case 6:
		step_set(d + 1);
		break;
	case 7:
	case 8:
	case 9:
		step_image(d + 1, v);
		break;
	case 10:
	case 11:
		step_let_go(d + 1, v);
		break;
	case 12:
		step_raw(d + 1, left - 1);
		break;
	case 13:
		step_fault(d + 1, v);
		break;
	case 14:
		rig_pnp(&scene.rig.disk[v], minor[d[1] % 4]);
		break;
	case 15:
		rig_flush(&scene.rig.disk[v]);
		break;
	default:
		step_write(d + 1, v);
		break;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scene_start(&scene);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
		scene.rig.disk[v].inline_ = true;
		rig_track(&scene.set.file, rig_volume(&scene.rig.disk[v]), true,
		    SCENE_STORE, SCENE_STORE_BYTES, ++nonce);
	}
	phase = IDLE;
	faults = host_may_fail = false;
	for (size_t at = 0; at + 4 <= size && at < 4 * STEPS_MAX; at += 4) {
		step(data + at, size - at);
		REQUIRE(scene.bad == 0);
	}
	shim_fail_off();
	scene_stop(&scene);
	REQUIRE(scene.bad == 0);
	return 0;
}
