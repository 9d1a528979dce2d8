/* scene.c - volumes with a model. */
#include "tests/driver/rig/scene.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define READ 65536u

void
scene_bad(struct scene *s, const char *format, ...)
{
	va_list args;

	s->bad++;
	va_start(args, format);
	fputs("BAD: ", stdout);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
}

void
scene_start(struct scene *s)
{
	memset(s, 0, sizeof(*s));
	s->dice = 1;
	if (rig_load(&s->rig) != STATUS_SUCCESS)
		scene_bad(s, "DriverEntry fails: no volume would start");
	for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
		s->model[v] = calloc(1, SCENE_LENGTH);
		s->frozen[v] = calloc(1, SCENE_LENGTH);
		if (s->model[v] == NULL || s->frozen[v] == NULL)
			abort();
		if (rig_disk_add(&s->rig, SCENE_LENGTH) != STATUS_SUCCESS)
			scene_bad(s, "a volume does not start");
		s->rig.disk[v].slow = false;
	}
	rig_open(&s->set.file);
}

void
scene_release(struct scene *s)
{
	for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
		if (s->image[v].device == NULL)
			continue;
		rig_cleanup(&s->image[v]);
		rig_close(&s->image[v]);
	}
	if (s->set.number != 0 && s->set.file.device != NULL)
		rig_release(&s->set);
	s->set.number = 0;
}

void
scene_stop(struct scene *s)
{
	scene_release(s);
	if (s->set.file.device != NULL) {
		rig_cleanup(&s->set.file);
		rig_close(&s->set.file);
	}
	scene_disks_right(s);
	if (!rig_stop(&s->rig))
		scene_bad(s, "something leaked");
	for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
		free(s->model[v]);
		free(s->frozen[v]);
	}
}

/* ---- The host ---- */
void
scene_write_begin(
    struct scene *s, struct scene_write *w, unsigned v, uint64_t offset, uint32_t length)
{
	w->v = v;
	w->offset = offset;
	w->length = length;
	w->bytes = malloc(length);
	if (w->bytes == NULL)
		abort();
	for (uint32_t i = 0; i < length; i++) {
		s->dice = s->dice * 1664525 + 1013904223;
		w->bytes[i] = (uint8_t)(s->dice >> 24) | 1;
	}
	rig_io_begin(&w->q, &s->rig.disk[v], IRP_MJ_WRITE, offset, w->bytes, length);
}

NTSTATUS
scene_wrote(struct scene *s, struct scene_write *w)
{
	NTSTATUS status = rig_wait(&w->q, NULL);

	if (NT_SUCCESS(status))
		memcpy(s->model[w->v] + w->offset, w->bytes, w->length);
	free(w->bytes);
	return status;
}

void
scene_write(struct scene *s, unsigned v, uint64_t offset, uint32_t length)
{
	struct scene_write w;
	NTSTATUS status;

	scene_write_begin(s, &w, v, offset, length);
	status = scene_wrote(s, &w);
	if (!NT_SUCCESS(status))
		scene_bad(s, "a host's write failed: 0x%08x", (unsigned)status);
}

void
scene_trim(struct scene *s, unsigned v, uint64_t offset, uint32_t length)
{
	NTSTATUS status = rig_trim(&s->rig.disk[v], offset, length);

	if (NT_SUCCESS(status))
		memset(s->model[v] + offset, 0, length);
	else
		scene_bad(s, "a host's TRIM failed: 0x%08x", (unsigned)status);
}

void
scene_disks_right(struct scene *s)
{
	for (unsigned v = 0; v < SCENE_VOLUMES; v++) {
		struct rig_disk *d = &s->rig.disk[v];

		if (d->pdo == NULL || d->gone)
			continue;
		/* Diff area and store are the driver's. */
		if (memcmp(d->bytes, s->model[v], SCENE_FREE) != 0 ||
		    memcmp(d->bytes + SCENE_DIFF + SCENE_DIFF_BYTES,
			s->model[v] + SCENE_DIFF + SCENE_DIFF_BYTES,
			SCENE_LENGTH - SCENE_DIFF - SCENE_DIFF_BYTES) != 0)
			scene_bad(s, "the disk of volume %u is not what was written", v);
	}
}

/* ---- Sets ---- */
NTSTATUS
scene_prepare(struct scene *s, uint64_t memory, enum hotcopy_full full)
{
	struct rig_wish wish = { .memory = memory,
		.chunk_shift = HOTCOPY_CHUNK_SHIFT_MIN,
		.full = full,
		.throttle_ms = 20000 };

	return rig_prepare(&s->rig, &s->set, SCENE_VOLUMES, &wish);
}

NTSTATUS
scene_frozen(struct scene *s)
{
	NTSTATUS status = STATUS_SUCCESS;

	for (unsigned v = 0; v < SCENE_VOLUMES; v++)
		memcpy(s->frozen[v], s->model[v], SCENE_LENGTH);
	for (unsigned v = 0; v < SCENE_VOLUMES && NT_SUCCESS(status); v++) {
		status = rig_open(&s->image[v]);
		if (NT_SUCCESS(status))
			status = rig_bind(&s->set, &s->image[v], v);
	}
	return status;
}

NTSTATUS
scene_freeze(struct scene *s, uint32_t flags, uint64_t nonce)
{
	NTSTATUS status = rig_freeze(&s->set, flags, 5000, nonce);

	return NT_SUCCESS(status) ? scene_frozen(s) : status;
}

NTSTATUS
scene_image(struct scene *s, unsigned v, uint64_t offset, uint32_t length)
{
	/* As readers' buffers may begin: of the second volume at an odd byte. */
	uint8_t *room = malloc((size_t)length + 1), *got = room + (v & 1);
	NTSTATUS status;

	if (room == NULL)
		abort();
	memset(room, 0xee, (size_t)length + 1);
	status = rig_image(&s->image[v], offset, got, length);
	if (NT_SUCCESS(status) && memcmp(got, s->frozen[v] + offset, length) != 0)
		scene_bad(s, "the image of volume %u at %lu is not the cut", v,
		    (unsigned long)offset);
	free(room);
	return status;
}

NTSTATUS
scene_image_all(struct scene *s, unsigned v)
{
	NTSTATUS status = STATUS_SUCCESS;
	uint64_t at = 0;

	while (at < SCENE_LENGTH && NT_SUCCESS(status)) {
		uint32_t n =
		    SCENE_LENGTH - at < READ ? (uint32_t)(SCENE_LENGTH - at) : READ;

		if (at < SCENE_FREE || at >= SCENE_DIFF + SCENE_DIFF_BYTES)
			status = scene_image(s, v, at, n);
		at += n;
	}
	return status;
}

uint32_t
scene_state(struct scene *s, unsigned v)
{
	struct hotcopy_volume facts;
	uint64_t number = s->set.volume[v];

	if (number == 0)
		number = rig_volume(&s->rig.disk[v]);
	return rig_facts(&s->set.file, number, &facts) ? facts.state : 99;
}
