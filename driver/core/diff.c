/* diff.c - where copies lie: slots of memory, slots of extents, and who may have them. */
#include "driver/core/diff_inside.h"

#include <stddef.h>
#include "driver/core/atomic.h"

/* Slots rise with their addresses, so that one is found by its buffer. */
static void
arena_sort(struct diff *d, uint8_t *block)
{
	uint32_t at = d->arenas++;

	for (; at > 0 && d->arena[at - 1] > block; at--)
		d->arena[at] = d->arena[at - 1];
	d->arena[at] = block;
}

static int
memory_make(struct diff *d, uint64_t bytes)
{
	uint64_t arenas = bytes >> DIFF_ARENA_SHIFT, slots;
	uint32_t each = 1u << (DIFF_ARENA_SHIFT - d->shift), slot = 0;

	if (arenas == 0) {
		arenas = 1;
		each = (uint32_t)bytes >> d->shift;
	}
	slots = arenas * each;
	if (slots == 0 || arenas > DIFF_MAP_PLACES_MAX >> 8 ||
	    slots > SIZE_MAX / 2 / sizeof(*d->memory))
		return -1;
	d->memory_slots = (uint32_t)slots;
	d->memory = env_alloc((size_t)slots * sizeof(*d->memory));
	d->arena = env_alloc((size_t)arenas * sizeof(*d->arena));
	if (d->memory == NULL || d->arena == NULL)
		return -1;
	d->overhead += slots * sizeof(*d->memory) + arenas * sizeof(*d->arena);
	while (d->arenas < arenas) {
		/* Hundreds of MiB, which nobody reads before a copy lies there. */
		uint8_t *block = env_alloc_bare((size_t)each << d->shift);

		if (block == NULL)
			return -1;
		arena_sort(d, block);
	}
	for (uint32_t a = 0; a < arenas; a++)
		for (uint32_t i = 0; i < each; i++, slot++) {
			d->memory[slot].buffer = d->arena[a] + ((size_t)i << d->shift);
			d->memory[slot].next = slot + 1;
		}
	d->memory[slot - 1].next = DIFF_NO_SLOT;
	return 0;
}

struct diff *
diff_make(uint64_t memory, uint32_t chunk_shift)
{
	struct diff *d;

	if (chunk_shift < HOTCOPY_CHUNK_SHIFT_MIN ||
	    chunk_shift > HOTCOPY_CHUNK_SHIFT_MAX)
		return NULL;
	d = env_alloc(sizeof(*d));
	if (d == NULL)
		return NULL;
	d->shift = chunk_shift;
	d->head = d->tail = DIFF_NO_SLOT;
	d->overhead = sizeof(*d);
	env_lock_init(&d->lock);
	env_event_init(&d->work, ENV_ONE);
	env_event_init(&d->freed, ENV_ONE);
	env_event_init(&d->bounced, ENV_ONE);
	env_event_init(&d->quiet, ENV_STAYS);
	if (memory_make(d, memory) == 0 && diff_map_make(&d->map, d->memory_slots) == 0)
		return d;
	diff_free(d);
	return NULL;
}

void
diff_free(struct diff *d)
{
	if (d == NULL)
		return;
	if (d->started) {
		unsigned old = env_lock_take(&d->lock);

		d->stop = true;
		env_lock_give(&d->lock, old);
		env_event_set(&d->work);
		env_thread_join(&d->writer);
	}
	for (uint32_t i = 0; i < d->arenas; i++)
		env_free(d->arena[i]);
	for (uint32_t i = 0; i < d->areas; i++)
		env_free(d->area[i]);
	for (unsigned i = 0; i < DIFF_READERS; i++)
		env_free(d->bounce[i]);
	env_free(d->gather);
	env_free(d->arena);
	env_free(d->memory);
	env_free(d->disk);
	diff_map_free(&d->map);
	diff_slots_free(&d->room);
	env_event_done(&d->work);
	env_event_done(&d->freed);
	env_event_done(&d->bounced);
	env_event_done(&d->quiet);
	env_free(d);
}

/* Extents: each call's are an area of their own, which is complete before it is seen. */

static bool
run_owns(const struct diff_area *area, uint64_t offset, uint64_t length)
{
	uint32_t low = 0, high = area->runs;

	/* The first run that ends behind the offset. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct diff_run *r = &area->run[middle];

		if (r->offset + r->length <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	return low < area->runs && (area->run[low].offset <= offset ||
				       area->run[low].offset - offset < length);
}

bool
diff_owns(const struct diff *d, const struct volume *at, uint64_t offset, uint64_t length)
{
	uint32_t areas = atomic_get(&d->areas);

	for (uint32_t i = 0; length > 0 && i < areas; i++)
		if (d->area[i]->at == at && run_owns(d->area[i], offset, length))
			return true;
	return false;
}

static bool
extents_fit(const struct diff *d, const struct volume *at,
    const struct hotcopy_extent *extent, uint32_t extents)
{
	uint64_t length = volume_length(at), end = 0;
	uint32_t sector = volume_sector(at);

	if (extents == 0 || extents > HOTCOPY_EXTENTS_MAX || sector > 1u << d->shift)
		return false;
	for (uint32_t i = 0; i < extents; i++) {
		const struct hotcopy_extent *e = &extent[i];

		if (e->length == 0 || e->offset < end || e->offset > length ||
		    e->length > length - e->offset ||
		    ((e->offset | e->length) & (sector - 1)) != 0 ||
		    diff_owns(d, at, e->offset, e->length))
			return false;
		end = e->offset + e->length;
	}
	return true;
}

static struct diff_area *
area_make(const struct diff *d, struct volume *at, const struct hotcopy_extent *extent,
    uint32_t extents)
{
	struct diff_area *a = env_alloc(sizeof(*a) + extents * sizeof(a->run[0]));
	uint64_t slots = 0;

	if (a == NULL)
		return NULL;
	a->at = at;
	a->first = d->room.count;
	a->runs = extents;
	for (uint32_t i = 0; i < extents; i++) {
		struct diff_run *r = &a->run[i];
		uint64_t whole = extent[i].length >> d->shift;

		/* What no map could hold is ours, but not used. */
		if (whole > DIFF_MAP_PLACES_MAX / 2 - a->first - slots)
			whole = DIFF_MAP_PLACES_MAX / 2 - a->first - slots;
		r->offset = extent[i].offset;
		r->length = extent[i].length;
		r->first = a->first + (uint32_t)slots;
		r->slots = (uint32_t)whole;
		slots += whole;
	}
	a->slots = (uint32_t)slots;
	return a;
}

/* The buffers and the thread that only a disk needs. */
static int
disk_begin(struct diff *d)
{
	if (d->started)
		return 0;
	for (unsigned i = 0; i < DIFF_READERS; i++)
		if (d->bounce[i] == NULL &&
		    (d->bounce[i] = env_alloc(VOLUME_IO_MAX)) == NULL)
			return -1;
	if (d->gather == NULL && (d->gather = env_alloc(VOLUME_IO_MAX)) == NULL)
		return -1;
	d->bounces = (1u << DIFF_READERS) - 1;
	if (env_thread_start(&d->writer, diff_io_run, d) != 0)
		return -1;
	d->started = true;
	d->overhead += (DIFF_READERS + 1) * (uint64_t)VOLUME_IO_MAX;
	return 0;
}

/* What depends on the number of slots, made anew: no copy lies in the old. */
static int
disk_grow(struct diff *d, struct diff_area *a)
{
	uint32_t slots = d->room.count + a->slots;
	struct diff_slot *disk = env_alloc((slots > 0 ? slots : 1) * sizeof(*disk));
	struct diff_slots room, old_room;
	struct diff_slot *old_disk;
	struct diff_map map = { 0 }, old_map;
	unsigned old;

	if (diff_slots_make(&room, slots) != 0 || disk == NULL ||
	    diff_map_make(&map, d->memory_slots + slots) != 0) {
		env_free(disk);
		diff_slots_free(&room);
		return -1;
	}
	old = env_lock_take(&d->lock);
	old_map = d->map;
	old_disk = d->disk;
	old_room = d->room;
	d->map = map;
	d->disk = disk;
	d->room = room;
	d->overhead += sizeof(*a) + a->runs * sizeof(a->run[0]);
	d->area[d->areas] = a;
	env_lock_give(&d->lock, old);
	atomic_put(&d->areas, d->areas + 1);
	diff_map_free(&old_map);
	env_free(old_disk);
	diff_slots_free(&old_room);
	return 0;
}

int
diff_add(struct diff *d, struct volume *at, const struct hotcopy_extent *extent,
    uint32_t extents, enum hotcopy_reason *why)
{
	struct diff_area *a;

	*why = HOTCOPY_WHY_DIFF_ERROR;
	if (d->areas == DIFF_AREAS_MAX || !extents_fit(d, at, extent, extents))
		return -1;
	*why = HOTCOPY_WHY_NO_MEMORY;
	a = area_make(d, at, extent, extents);
	if (a == NULL)
		return -1;
	if (disk_begin(d) == 0 && disk_grow(d, a) == 0) {
		*why = HOTCOPY_WHY_NONE;
		return 0;
	}
	env_free(a);
	return -1;
}

struct diff_area *
diff_place(const struct diff *d, uint32_t slot, uint64_t *offset, uint32_t *behind)
{
	uint32_t low = 0, high = d->areas;
	struct diff_area *a;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (d->area[middle]->first <= slot)
			low = middle;
		else
			high = middle;
	}
	/* One without a whole chunk begins where the next does; the last of those is it.
	 */
	a = d->area[low];
	low = 0;
	high = a->runs;
	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (a->run[middle].first <= slot)
			low = middle;
		else
			high = middle;
	}
	*offset = a->run[low].offset + ((uint64_t)(slot - a->run[low].first) << d->shift);
	*behind = a->run[low].first + a->run[low].slots - slot;
	return a;
}

bool
diff_failed(const struct diff *d)
{
	return atomic_get(&d->failed) != 0;
}

void
diff_space(const struct diff *d, struct diff_space *space)
{
	/* The lock is no part of what "const" promises. */
	struct env_lock *lock = (struct env_lock *)(uintptr_t)&d->lock;
	unsigned old = env_lock_take(lock);

	space->used = (uint64_t)(d->room.count - d->room.free) << d->shift;
	space->size = (uint64_t)d->room.count << d->shift;
	space->memory_used = (uint64_t)d->memory_used << d->shift;
	space->memory_size = (uint64_t)d->memory_slots << d->shift;
	space->overhead = d->overhead + diff_map_bytes(d->memory_slots + d->room.count);
	if (d->room.count > 0)
		space->overhead += diff_slots_bytes(d->room.count) +
				   d->room.count * (uint64_t)sizeof(*d->disk);
	env_lock_give(lock, old);
}
