/* Room for copies on disks, and what of an image nobody keeps. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/hotcopy/hotcopy_pin.h"
#include "agent/map/ntfs_paging.h"
#include "proto/base/err.h"
#include "proto/chunk/tree.h"

#define ROOM_STEP ((uint64_t)1 << 20) /* Bytes: a multiple of any chunk. */
#define MAPS_SHARE 32u		      /* Of the machine's memory, for one room. */
#define MAPS_BYTES 20u
#define MAPS_CHUNK ((uint64_t)16 << 10)

/* The first one that could not be had; the freeze goes on with memory. */
static void
note(struct hot_set *s, const struct err *err)
{
	if (s->room_note[0] == '\0')
		(void)snprintf(s->room_note, sizeof(s->room_note), "%.90s", err->text);
}

/* The driver's maps of it are memory that is never paged: about 20 bytes a chunk of 16 KiB
   (driver/core/DESIGN.md, "The diff area"). */
static uint64_t
bounded(uint64_t bytes)
{
	uint64_t memory = snapshot_hotcopy_system->memory != NULL
			      ? snapshot_hotcopy_system->memory()
			      : 0,
		 most = memory / MAPS_SHARE / MAPS_BYTES * MAPS_CHUNK;

	return most > 0 && bytes > most ? most : bytes;
}

static void
take(struct hot_set *s, const char *path, uint64_t of)
{
	uint64_t bytes = of / 100 * s->wishes.room_percent;
	struct hot_room *r = &s->room[s->rooms];
	struct err err = ERR_INIT;

	bytes = bounded(bytes);
	bytes = (bytes + ROOM_STEP - 1) / ROOM_STEP * ROOM_STEP;
	hotcopy_pin_clean(path);
	if (hotcopy_link_volume(s->owner, path, &r->at, &err) != 0 ||
	    hotcopy_pin_open(path, HOTCOPY_PIN_ROOM, bytes, &r->pin, &err) != 0) {
		r->pin = NULL;
		note(s, &err);
		return;
	}
	r->bytes = bytes;
	s->rooms++;
}

void
snapshot_hotcopy_take_rooms(struct hot_set *s)
{
	uint64_t all = 0;

	if (strcmp(s->wishes.room, "none") == 0)
		return;
	for (unsigned i = 0; i < s->count; i++)
		all += s->volume[i]->length;
	if (strcmp(s->wishes.room, SETTINGS_AUTO) != 0)
		take(s, s->wishes.room, all);
	else if (snapshot_hotcopy_system->lends_itself)
		for (unsigned i = 0; i < s->count; i++)
			take(s, s->volume[i]->path, s->volume[i]->length);
}

void
snapshot_hotcopy_lend_rooms(struct hot_set *s)
{
	const struct hotcopy_extent *extent;
	struct err err = ERR_INIT;

	for (unsigned i = 0; i < s->rooms; i++) {
		struct hot_room *r = &s->room[i];
		unsigned n = hotcopy_pin_extents(r->pin, &extent);

		/* Many extents are several calls: of one that fails the driver has what
		   came before.  Were the file let go now, these clusters would soon be
		   somebody's, and copies would be written over what he keeps there. */
		r->lent =
		    hotcopy_add_room(s->owner, s->number, r->at, extent, n, &err) == 0;
		if (!r->lent)
			note(s, &err);
		err_clear(&err);
	}
}

uint64_t
snapshot_hotcopy_room(const struct hot_set *s)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < s->rooms; i++)
		bytes += s->room[i].lent ? s->room[i].bytes : 0;
	return bytes;
}

void
snapshot_hotcopy_drop_rooms(struct hot_set *s)
{
	for (unsigned i = 0; i < s->rooms; i++)
		hotcopy_pin_close(s->room[i].pin);
	s->rooms = 0;
}

/* ------------------------------------------------------------- what is not kept -- */

static int
by_offset(const void *a, const void *b)
{
	const struct volmap_unkept *x = a, *y = b;

	return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* In order, neighbours joined, none below what a map can tell apart.  0: they overlap. */
static unsigned
arrange(struct volmap_unkept *e, unsigned count)
{
	unsigned n = 0, kept = 0;

	qsort(e, count, sizeof(*e), by_offset);
	for (unsigned i = 0; i < count; i++) {
		struct volmap_unkept *last = n > 0 ? &e[n - 1] : NULL;

		if (last != NULL && e[i].offset < last->offset + last->len)
			return 0;
		if (last != NULL && e[i].reason == last->reason &&
		    e[i].offset == last->offset + last->len)
			last->len += e[i].len;
		else
			e[n++] = e[i];
	}
	for (unsigned i = 0; i < n; i++)
		if (e[i].len >= VOLMAP_GRAIN)
			e[kept++] = e[i];
	return kept;
}

int
snapshot_hotcopy_set_unkept(
    struct hot_volume *v, const struct ntfs_paging *seen, struct err *err)
{
	unsigned count = seen != NULL ? seen->count : 0, n = 0;
	const struct hotcopy_extent *extent;
	const struct hot_set *s = v->set;

	for (unsigned i = 0; i < s->rooms; i++)
		if (s->room[i].at == v->number)
			count += hotcopy_pin_extents(s->room[i].pin, &extent);
	free(v->unkept);
	v->unkept = NULL;
	v->unkept_count = 0;
	if (count == 0)
		return 0;
	if ((v->unkept = calloc(count, sizeof(*v->unkept))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for what is not kept");
	for (unsigned i = 0; seen != NULL && i < seen->count; i++)
		v->unkept[n++] = seen->extent[i];
	for (unsigned i = 0; i < s->rooms; i++) {
		unsigned k = 0, of = hotcopy_pin_extents(s->room[i].pin, &extent);

		for (; s->room[i].at == v->number && k < of; k++)
			v->unkept[n++] = (struct volmap_unkept){ extent[k].offset,
				extent[k].length, EXTENT_HOTCOPY };
	}
	v->unkept_count = arrange(v->unkept, n);
	if (v->unkept_count == 0 && seen != NULL)
		return snapshot_hotcopy_set_unkept(v, NULL, err);
	return 0;
}

unsigned
snapshot_hotcopy_unkept(const void *volume, const struct volmap_unkept **out)
{
	const struct hot_volume *v = volume;

	*out = v->unkept;
	return v->unkept_count;
}
