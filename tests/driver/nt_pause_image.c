/*
 * nt_pause_image.c - an image is read while its bytes are written over, with one of the
 * two stopped at each of its points in turn: the image stays what it was.
 */
#include "tests/driver/nt_pause.h"

#include <stdio.h>
#include <stdlib.h>
#include "tests/driver/rig/scene.h"

/* The other goes on meanwhile; what keeps it waits for the stopped one, and is met after
   that. */
#define OTHER_MS 300
#define LOST ((NTSTATUS)HOTCOPY_STATUS_LOST)

static struct scene scene;
static struct {
	unsigned nth, left;
	bool copier; /* it is stopped, not the reader */
	bool drops;  /* no copy can be made: the image is lost, and the write passes */
	KEVENT at, go, done;
	NTSTATUS status, wrote;
	uint8_t got[4096], bytes[4096];
} p;

static void *
read_run(void *arg)
{
	(void)arg;
	if (!p.copier)
		shim_pause_at(p.nth, &p.at, &p.go);
	p.status = rig_image(&scene.image[0], SCENE_CHUNK, p.got, sizeof(p.got));
	if (!p.copier)
		p.left = shim_pause_at(0, NULL, NULL);
	KeSetEvent(p.copier ? &p.done : &p.at, IO_NO_INCREMENT, FALSE);
	return NULL;
}

static void *
write_run(void *arg)
{
	(void)arg;
	if (p.drops)
		rig_disk_fail(
		    &scene.rig.disk[0], RIG_OWN_READS, STATUS_DEVICE_DATA_ERROR);
	p.wrote = rig_io(
	    &scene.rig.disk[0], IRP_MJ_WRITE, SCENE_CHUNK, p.bytes, sizeof(p.bytes));
	if (p.drops)
		rig_disk_fail(&scene.rig.disk[0], 0, 0);
	if (p.copier)
		p.left = shim_pause_driver_off();
	KeSetEvent(p.copier ? &p.at : &p.done, IO_NO_INCREMENT, FALSE);
	return NULL;
}

/* false: there is no nth point. */
static bool
stopped_at(unsigned nth)
{
	struct scene *s = &scene;
	pthread_t first, second;

	p.nth = nth;
	memset(p.bytes, (int)nth, sizeof(p.bytes));
	KeInitializeEvent(&p.at, NotificationEvent, FALSE);
	KeInitializeEvent(&p.go, NotificationEvent, FALSE);
	KeInitializeEvent(&p.done, NotificationEvent, FALSE);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	SCENE_REQUIRE(s, scene_freeze(s, 0, nth) == STATUS_SUCCESS);
	if (p.copier)
		shim_pause_driver_at(nth, &p.at, &p.go);
	if (pthread_create(&first, NULL, p.copier ? write_run : read_run, NULL) != 0)
		abort();
	SCENE_REQUIRE(s, shim_wait_ms(&p.at, shim_patience()));
	if (pthread_create(&second, NULL, p.copier ? read_run : write_run, NULL) != 0)
		abort();
	shim_wait_ms(&p.done, OTHER_MS);
	KeSetEvent(&p.go, IO_NO_INCREMENT, FALSE);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	shim_pause_driver_gone();
	SCENE_REQUIRE(s, p.wrote == STATUS_SUCCESS);
	/* Right, or refused: lost, or the reader met the bad sector itself. */
	SCENE_REQUIRE(s, p.status == STATUS_SUCCESS || p.drops);
	if (p.status == STATUS_SUCCESS &&
	    memcmp(p.got, s->frozen[0] + SCENE_CHUNK, sizeof(p.got)) != 0)
		scene_bad(s, "what was read is not of the cut");
	memcpy(s->model[0] + SCENE_CHUNK, p.bytes, sizeof(p.bytes));
	SCENE_REQUIRE(s, scene_image(s, 0, SCENE_CHUNK, SCENE_CHUNK) ==
			     (p.drops ? LOST : STATUS_SUCCESS));
	if (s->bad > 0)
		printf(
		    "^ a %s stopped at point %u\n", p.copier ? "copier" : "reader", nth);
	scene_release(s);
	return p.left == 0;
}

static unsigned
all_points(bool copier, bool drops)
{
	unsigned n = 1;

	scene_start(&scene);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		scene.rig.disk[v].inline_ = true;
	p.copier = copier;
	p.drops = drops;
	while (n < PAUSE_POINTS_MAX && scene.bad == 0 && stopped_at(n))
		n++;
	/* Less than that is no request. */
	SCENE_REQUIRE(&scene, scene.bad > 0 || (n > 10 && n < PAUSE_POINTS_MAX));
	scene_stop(&scene);
	printf("%u points of a %s, %u bad\n", n, copier ? "copier" : "reader", scene.bad);
	return scene.bad;
}

unsigned
pause_readers(void)
{
	unsigned bad = all_points(false, false);

	return bad + all_points(false, true);
}

unsigned
pause_copiers(void)
{
	/* Points of the driver's threads are counted together: another thread may have
	   the one that matters. */
	unsigned bad = all_points(true, false);

	return bad + all_points(true, false) + all_points(true, false);
}
