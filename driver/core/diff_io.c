/* diff_io.c - copies come, are written out by the area's thread, are read and go. */
#include "driver/core/diff_inside.h"

#include <stddef.h>
#include <string.h>
#include "driver/core/atomic.h"

#define LEAVE_LOOK 200000u /* 20 ms */

static uint64_t
key_of(uint32_t index, uint64_t chunk)
{
	return (uint64_t)index << 56 | chunk;
}

static uint32_t
slot_of(const struct diff *d, const void *buffer)
{
	uint32_t low = 0, high = d->memory_slots;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (d->memory[middle].buffer <= (const uint8_t *)buffer)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static void
wake(struct diff *d, unsigned whom)
{
	if (whom & DIFF_WAKE_WRITER)
		env_event_set(&d->work);
	if (whom & DIFF_WAKE_TAKER)
		env_event_set(&d->freed);
	if (whom & DIFF_WAKE_LEAVER)
		env_event_set(&d->quiet);
}

/* Begins when more than half of the memory is used and goes on until a quarter is, so
   that neighbours gather and what is soon forgotten is never written. */
static unsigned
drains(struct diff *d)
{
	if (d->queued == 0 || d->room.free == 0 || atomic_get(&d->failed))
		d->draining = false;
	else if (d->takers > 0 || d->memory_used > d->memory_slots / 2)
		d->draining = true;
	else if (d->memory_used <= d->memory_slots / 4)
		d->draining = false;
	return d->draining ? DIFF_WAKE_WRITER : 0;
}

/* The queue, oldest first. */

static void
queue_put(struct diff *d, uint32_t slot)
{
	d->memory[slot].before = d->tail;
	d->memory[slot].next = DIFF_NO_SLOT;
	if (d->tail == DIFF_NO_SLOT)
		d->head = slot;
	else
		d->memory[d->tail].next = slot;
	d->tail = slot;
	d->queued++;
}

static void
queue_remove(struct diff *d, uint32_t slot)
{
	uint32_t next = d->memory[slot].next, before = d->memory[slot].before;

	if (before == DIFF_NO_SLOT)
		d->head = next;
	else
		d->memory[before].next = next;
	if (next == DIFF_NO_SLOT)
		d->tail = before;
	else
		d->memory[next].before = before;
	d->queued--;
}

/* Nobody finds it any more: free, or when its readers have gone. */
static unsigned
memory_drop(struct diff *d, uint32_t slot)
{
	struct diff_memory *m = &d->memory[slot];

	m->slot.state = m->slot.readers > 0 ? DIFF_LEAVING : DIFF_FREE;
	if (m->slot.readers > 0)
		return 0;
	m->next = d->free;
	d->free = slot;
	d->memory_used--;
	return d->takers > 0 ? DIFF_WAKE_TAKER : 0;
}

static unsigned
disk_drop(struct diff *d, uint32_t slot)
{
	struct diff_slot *s = &d->disk[slot];

	s->state = s->readers > 0 ? DIFF_LEAVING : DIFF_FREE;
	if (s->readers > 0)
		return 0;
	diff_slots_give(&d->room, slot);
	return drains(d);
}

static bool
take(struct diff *d, void **buffer, unsigned *whom)
{
	uint32_t slot = d->free;

	if (slot == DIFF_NO_SLOT)
		return false;
	d->free = d->memory[slot].next;
	d->memory[slot].slot.state = DIFF_TAKEN;
	d->memory_used++;
	*buffer = d->memory[slot].buffer;
	/* One event may stand for several that were freed. */
	if (d->takers > 0 && d->free != DIFF_NO_SLOT)
		*whom |= DIFF_WAKE_TAKER;
	return true;
}

bool
diff_take(struct diff *d, void **buffer, uint64_t wait)
{
	uint64_t now = wait > 0 && wait != ENV_FOREVER ? env_now() : 0,
		 until = now + wait;
	bool taken, waits = false, over = wait == 0;

	if (until < now || wait == ENV_FOREVER)
		until = ENV_FOREVER;
	for (;;) {
		unsigned old = env_lock_take(&d->lock), whom = 0;

		if (waits)
			d->takers--;
		taken = take(d, buffer, &whom);
		waits = !taken && !over;
		if (waits) {
			d->takers++;
			whom |= drains(d);
		}
		env_lock_give(&d->lock, old);
		wake(d, whom);
		if (!waits)
			return taken;
		if (until != ENV_FOREVER)
			now = env_now();
		over = until != ENV_FOREVER && now >= until;
		if (!over)
			over = !env_event_wait(
			    &d->freed, until == ENV_FOREVER ? ENV_FOREVER : until - now);
	}
}

void
diff_put(struct diff *d, uint32_t index, uint64_t chunk, void *buffer)
{
	uint32_t slot = slot_of(d, buffer), there;
	uint64_t key = key_of(index, chunk);
	unsigned old = env_lock_take(&d->lock), whom;

	if (diff_map_find(&d->map, key, &there)) {
		whom = memory_drop(d, slot);
	} else {
		d->memory[slot].slot.state = DIFF_KEPT;
		diff_map_insert(&d->map, key, slot);
		queue_put(d, slot);
		whom = drains(d);
	}
	env_lock_give(&d->lock, old);
	wake(d, whom);
}

void
diff_give(struct diff *d, void *buffer)
{
	uint32_t slot = slot_of(d, buffer);
	unsigned old = env_lock_take(&d->lock), whom;

	whom = memory_drop(d, slot);
	env_lock_give(&d->lock, old);
	wake(d, whom);
}

void
diff_forget(struct diff *d, uint32_t index, uint64_t chunk)
{
	uint64_t key = key_of(index, chunk);
	unsigned old = env_lock_take(&d->lock), whom = 0;
	uint32_t place;

	if (diff_map_find(&d->map, key, &place)) {
		diff_map_remove(&d->map, key);
		if (place >= d->memory_slots) {
			whom = disk_drop(d, place - d->memory_slots);
		} else if (d->memory[place].slot.state == DIFF_WRITING) {
			d->memory[place].slot.state = DIFF_FORGOTTEN;
		} else {
			queue_remove(d, place);
			whom = memory_drop(d, place);
		}
	}
	env_lock_give(&d->lock, old);
	wake(d, whom);
}

/* Reading. */

static int
bounce_take(struct diff *d)
{
	for (;;) {
		unsigned old = env_lock_take(&d->lock);
		int n = d->bounces != 0 ? __builtin_ctz(d->bounces) : -1;
		bool more;

		if (n >= 0)
			d->bounces &= ~(1u << n);
		more = n >= 0 && d->bounces != 0;
		env_lock_give(&d->lock, old);
		if (more)
			env_event_set(&d->bounced);
		if (n >= 0)
			return n;
		(void)env_event_wait(&d->bounced, ENV_FOREVER);
	}
}

static void
bounce_give(struct diff *d, int n)
{
	unsigned old = env_lock_take(&d->lock);

	d->bounces |= 1u << n;
	env_lock_give(&d->lock, old);
	env_event_set(&d->bounced);
}

/* "out" is anybody's, and the disk's sectors may be larger than the volume's. */
static int
disk_read(struct diff *d, uint32_t slot, uint32_t from, uint8_t *out, uint32_t length)
{
	uint64_t offset;
	uint32_t behind;
	struct volume *at = diff_place(d, slot, &offset, &behind)->at;
	uint32_t inside = volume_sector(at) - 1;
	int n = bounce_take(d), r = 0;

	while (length > 0 && r == 0) {
		uint32_t begin = from & ~inside, skip = from - begin, size, some;

		some = length < VOLUME_IO_MAX - skip ? length : VOLUME_IO_MAX - skip;
		size = (skip + some + inside) & ~inside;
		r = volume_read(at, offset + begin, d->bounce[n], size);
		if (r == 0)
			memcpy(out, d->bounce[n] + skip, some);
		out += some;
		from += some;
		length -= some;
	}
	bounce_give(d, n);
	return r;
}

/* Counts I/O on the area's volume; false: it has gone. */
static bool
area_begin(struct diff_area *a)
{
	if (a->gone)
		return false;
	a->io++;
	return true;
}

static unsigned
area_end(struct diff_area *a)
{
	a->io--;
	return a->gone && a->io == 0 ? DIFF_WAKE_LEAVER : 0;
}

static struct diff_area *
area_of(const struct diff *d, uint32_t slot)
{
	uint64_t offset;
	uint32_t behind;

	return diff_place(d, slot, &offset, &behind);
}

enum diff_result
diff_get(struct diff *d, uint32_t index, uint64_t chunk, uint32_t from, void *out,
    uint32_t length)
{
	unsigned old = env_lock_take(&d->lock), whom = 0;
	enum diff_result result = DIFF_OK;
	struct diff_slot *slot;
	struct diff_area *area = NULL;
	uint32_t place, disk = 0;

	if (!diff_map_find(&d->map, key_of(index, chunk), &place)) {
		env_lock_give(&d->lock, old);
		return DIFF_NONE;
	}
	if (place >= d->memory_slots) {
		disk = place - d->memory_slots;
		area = area_of(d, disk);
		if (!area_begin(area)) {
			env_lock_give(&d->lock, old);
			return DIFF_ERROR;
		}
	}
	slot = area != NULL ? &d->disk[disk] : &d->memory[place].slot;
	slot->readers++;
	env_lock_give(&d->lock, old);

	if (area == NULL)
		memcpy(out, d->memory[place].buffer + from, length);
	else if (disk_read(d, disk, from, out, length) != 0)
		result = DIFF_ERROR;

	old = env_lock_take(&d->lock);
	slot->readers--;
	if (area != NULL)
		whom |= area_end(area);
	if (slot->readers == 0 && slot->state == DIFF_LEAVING)
		whom |= area != NULL ? disk_drop(d, disk) : memory_drop(d, place);
	env_lock_give(&d->lock, old);
	wake(d, whom);
	return result;
}

/* Writing: copies that the queue's head begins, into slots that are neighbours. */

struct batch {
	uint32_t memory[DIFF_GATHER_MAX];
	uint32_t slot, count;
	uint64_t offset;
	struct diff_area *area;
};

static bool
batch_take(struct diff *d, struct batch *b)
{
	uint32_t most = VOLUME_IO_MAX >> d->shift, behind;

	b->count = 0;
	if (!drains(d))
		return false;
	b->slot = diff_slots_lowest(&d->room);
	b->area = diff_place(d, b->slot, &b->offset, &behind);
	if (!area_begin(b->area))
		return false;
	if (most == 0)
		most = 1;
	if (most > behind)
		most = behind;
	do {
		uint32_t memory = d->head;

		queue_remove(d, memory);
		d->memory[memory].slot.state = DIFF_WRITING;
		diff_slots_take(&d->room, b->slot + b->count);
		d->disk[b->slot + b->count].state = DIFF_TAKEN;
		b->memory[b->count++] = memory;
	} while (b->count < most && d->queued > 0 &&
		 diff_slots_has(&d->room, b->slot + b->count));
	return true;
}

static int
batch_write(struct diff *d, const struct batch *b)
{
	uint64_t size = (uint64_t)b->count << d->shift;
	const uint8_t *from = d->memory[b->memory[0]].buffer;

	if (b->count > 1) {
		for (uint32_t i = 0; i < b->count; i++)
			memcpy(d->gather + ((size_t)i << d->shift),
			    d->memory[b->memory[i]].buffer, (size_t)1 << d->shift);
		from = d->gather;
	}
	for (uint64_t at = 0; at < size; at += VOLUME_IO_MAX) {
		uint32_t some =
		    size - at < VOLUME_IO_MAX ? (uint32_t)(size - at) : VOLUME_IO_MAX;

		if (volume_io_write(
			b->area->at, b->offset + at, from + at, some, false) != 0)
			return -1;
	}
	return 0;
}

/* The copy stays in memory if it could not be written. */
static unsigned
batch_end(struct diff *d, const struct batch *b, uint32_t i, bool written)
{
	uint32_t memory = b->memory[i], disk = b->slot + i;
	struct diff_memory *m = &d->memory[memory];

	if (m->slot.state == DIFF_FORGOTTEN)
		return disk_drop(d, disk) | memory_drop(d, memory);
	if (!written) {
		m->slot.state = DIFF_KEPT;
		queue_put(d, memory);
		return disk_drop(d, disk);
	}
	d->disk[disk].state = DIFF_KEPT;
	diff_map_move(&d->map, memory, d->memory_slots + disk);
	return memory_drop(d, memory);
}

static bool
write_some(struct diff *d)
{
	unsigned old = env_lock_take(&d->lock), whom = 0;
	bool some = !d->stop, written;
	struct batch b;

	some = some && batch_take(d, &b);
	env_lock_give(&d->lock, old);
	if (!some)
		return false;
	written = batch_write(d, &b) == 0;

	if (!written)
		atomic_put(&d->failed, 1);
	old = env_lock_take(&d->lock);
	for (uint32_t i = 0; i < b.count; i++)
		whom |= batch_end(d, &b, i, written);
	whom |= area_end(b.area);
	env_lock_give(&d->lock, old);
	wake(d, whom & ~(unsigned)DIFF_WAKE_WRITER);
	return true;
}

void
diff_io_run(void *arg)
{
	struct diff *d = arg;
	bool stop = false;

	while (!stop) {
		unsigned old;

		(void)env_event_wait(&d->work, ENV_FOREVER);
		while (write_some(d))
			;
		old = env_lock_take(&d->lock);
		stop = d->stop;
		env_lock_give(&d->lock, old);
	}
}

void
diff_leave(struct diff *d, struct volume *at)
{
	uint32_t areas = atomic_get(&d->areas), busy;

	do {
		unsigned old;

		env_event_clear(&d->quiet);
		old = env_lock_take(&d->lock);
		busy = 0;
		for (uint32_t i = 0; i < areas; i++)
			if (d->area[i]->at == at) {
				d->area[i]->gone = true;
				atomic_put(&d->failed, 1);
				busy += d->area[i]->io;
			}
		env_lock_give(&d->lock, old);
		/* Looks again: another who leaves may have cleared it. */
		if (busy > 0)
			(void)env_event_wait(&d->quiet, LEAVE_LOOK);
	} while (busy > 0);
}
