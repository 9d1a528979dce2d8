/*
 * nt_pause: a write is stopped at every point in turn where it touches a lock or a shared
 * word, and volumes are frozen meanwhile.  Either FREEZE waits for the write and gives
 * up, or the write is after the cut: then the image does not change when it goes on.  The
 * same for readers, copiers and cancelling: nt_pause.h.
 *
 *	nt_pause [write | read | copy | cancel]
 */
#include "tests/driver/nt_pause.h"
#include "tests/driver/rig/scene.h"

#include <stdio.h>
#include <stdlib.h>

#define TIMEOUT_MS 40
/* FREEZE is back within this if the stopped write keeps no lock from it. */
#define BACK_MS 400

static struct scene scene;
static struct {
	unsigned nth, left;
	KEVENT at, go, frozen;
	NTSTATUS status, freeze;
	uint8_t bytes[4096];
} w;

static void *
write_run(void *arg)
{
	(void)arg;
	shim_pause_at(w.nth, &w.at, &w.go);
	w.status = rig_io(
	    &scene.rig.disk[0], IRP_MJ_WRITE, SCENE_CHUNK, w.bytes, sizeof(w.bytes));
	w.left = shim_pause_at(0, NULL, NULL);
	KeSetEvent(&w.at, IO_NO_INCREMENT, FALSE);
	return NULL;
}

static void *
freeze_run(void *arg)
{
	(void)arg;
	w.freeze = rig_freeze(&scene.set, 0, TIMEOUT_MS, w.nth);
	KeSetEvent(&w.frozen, IO_NO_INCREMENT, FALSE);
	return NULL;
}

/* false: the write has no nth point. */
static bool
stopped_at(unsigned nth, unsigned *cuts)
{
	struct scene *s = &scene;
	pthread_t writer, freezer;
	bool back, image;

	w.nth = nth;
	memset(w.bytes, (int)nth, sizeof(w.bytes)); /* another each time */
	KeInitializeEvent(&w.at, NotificationEvent, FALSE);
	KeInitializeEvent(&w.go, NotificationEvent, FALSE);
	KeInitializeEvent(&w.frozen, NotificationEvent, FALSE);
	SCENE_REQUIRE(s, scene_prepare(s, 4u << 20, HOTCOPY_FULL_DROP) == STATUS_SUCCESS);
	if (pthread_create(&writer, NULL, write_run, NULL) != 0)
		abort();
	SCENE_REQUIRE(s, shim_wait_ms(&w.at, shim_patience()));
	if (pthread_create(&freezer, NULL, freeze_run, NULL) != 0)
		abort();
	back = shim_wait_ms(&w.frozen, BACK_MS);
	image = back && NT_SUCCESS(w.freeze) && NT_SUCCESS(scene_frozen(s));
	if (image) {
		/* What the disk has now is what the image is. */
		rig_disk_peek(&s->rig.disk[0], 0, s->frozen[0], SCENE_LENGTH);
		SCENE_REQUIRE(s, scene_image_all(s, 0) == STATUS_SUCCESS);
		(*cuts)++;
	}
	KeSetEvent(&w.go, IO_NO_INCREMENT, FALSE);
	pthread_join(writer, NULL);
	pthread_join(freezer, NULL);
	SCENE_REQUIRE(s, w.status == STATUS_SUCCESS);
	memcpy(s->model[0] + SCENE_CHUNK, w.bytes, sizeof(w.bytes));
	if (image)
		SCENE_REQUIRE(s, scene_image_all(s, 0) == STATUS_SUCCESS);
	if (s->bad > 0)
		printf("^ a write stopped at point %u\n", nth);
	scene_release(s);
	return w.left == 0;
}

static unsigned
pause_writes(void)
{
	unsigned n = 1, cuts = 0;

	scene_start(&scene);
	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		scene.rig.disk[v].inline_ = true;
	while (n < PAUSE_POINTS_MAX && scene.bad == 0 && stopped_at(n, &cuts))
		n++;
	/* Some points are before the count, some after: else nothing was tried. */
	SCENE_REQUIRE(&scene, scene.bad > 0 || (cuts > 1 && cuts < n));
	scene_stop(&scene);
	printf(
	    "%u points, %u cuts while a write was stopped, %u bad\n", n, cuts, scene.bad);
	return scene.bad;
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		unsigned (*run)(void);
	} parts[] = { { "write", pause_writes }, { "read", pause_readers },
		{ "copy", pause_copiers }, { "cancel", pause_cancels } };
	unsigned bad = 0;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (argc < 2 || strcmp(argv[1], parts[i].name) == 0)
			bad += parts[i].run();
	return bad != 0;
}
