/* track_model_disk.c - the machine under the model: memory, "locks", the disk. */
#include <stdlib.h>
#include <string.h>

#include "driver/core/env.h"
#include "driver/core/volume.h"
#include "tests/driver/track_model.h"

#define CELL 512u
#define ARENA (256u << 10)

static uint64_t state;
static struct volume *now;
static union {
	uint64_t align;
	uint8_t byte[ARENA];
} arena;
static size_t used;

void
model_seed(uint64_t seed)
{
	state = seed * 0x9e3779b97f4a7c15u + 1;
}

uint32_t
model_random(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) * below >> 32);
}

void
model_memory_reset(void)
{
	used = 0;
}

void *
env_alloc(size_t bytes)
{
	void *p = arena.byte + used;

	bytes = (bytes + 15) & ~(size_t)15;
	if (bytes > ARENA - used)
		abort();
	used += bytes;
	return memset(p, 0, bytes);
}

void
env_free(void *p)
{
	(void)p;
}

static void
others(struct volume *v)
{
	if (v != NULL && v->other != NULL)
		v->other(v->who, v->log_held);
}

void
env_mutex_init(struct env_mutex *mutex)
{
	mutex->space[0] = 0;
}

void
env_mutex_take(struct env_mutex *mutex)
{
	others(now);
	if (mutex->space[0] != 0)
		abort();
	mutex->space[0] = 1;
	if (now != NULL && mutex == now->log_mutex)
		now->log_held = true;
}

void
env_mutex_give(struct env_mutex *mutex)
{
	mutex->space[0] = 0;
	if (now != NULL && mutex == now->log_mutex)
		now->log_held = false;
	others(now);
}

void
env_mutex_done(struct env_mutex *mutex)
{
	(void)mutex;
}

void
env_event_init(struct env_event *event, enum env_event_kind kind)
{
	(void)event;
	(void)kind;
}

void
env_event_set(struct env_event *event)
{
	(void)event;
}

void
env_event_done(struct env_event *event)
{
	(void)event;
}

bool
env_event_wait(struct env_event *event, uint64_t time)
{
	(void)event;
	(void)time;
	abort(); /* nobody else could end it */
}

uint64_t
env_now(void)
{
	return 0;
}

uint64_t
volume_length(const struct volume *v)
{
	now = (struct volume *)(uintptr_t)v;
	return v->length;
}

uint32_t
volume_sector(const struct volume *v)
{
	return v->sector;
}

static void
put(uint8_t *p, uint64_t v, unsigned bytes)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> 8 * i);
}

#define MFT ((uint64_t)64 << 10)
#define LOG ((uint64_t)128 << 10)

/* Just enough of an NTFS for the prints. */
static void
read_volume(const struct volume *v, uint64_t offset, uint8_t *to, uint32_t length)
{
	uint8_t *a = to + 2 * 1024 + 56;

	memset(to, 0, length);
	if (offset == 0) {
		memcpy(to + 3, "NTFS    ", 8);
		put(to + 11, 512, 2);
		to[13] = 8;
		put(to + 48, MFT >> 12, 8);
		to[64] = 0xf6;
		put(to + 72, v->boot_stamp, 8);
	} else if (offset == MFT) {
		memcpy(to + 2 * 1024, "FILE", 4);
		to[2 * 1024 + 20] = 56;
		put(a, 0x80, 4);
		a[4] = 72;
		a[8] = 1;
		a[32] = 64;
		a[64] = 0x11;
		a[65] = 4;
		a[66] = LOG >> 12;
	} else if (offset == LOG) {
		put(to + 8, v->log_stamp, 8);
	}
}

int
volume_read(struct volume *v, uint64_t offset, void *buffer, uint32_t length)
{
	others(v);
	if (offset >= MODEL_STORE_AT && offset < MODEL_STORE_AT + v->store_bytes)
		memcpy(buffer, v->view + (offset - MODEL_STORE_AT), length);
	else
		read_volume(v, offset, buffer, length);
	return 0;
}

/* What a cell is when the power goes while it is written. */
static void
tear(uint8_t *cell, const uint8_t *from)
{
	uint32_t kind = model_random(16), n = model_random(CELL);

	if (kind < 2) {
		memcpy(cell, from, n);
	} else if (kind < 4) {
		memcpy(cell + n, from + n, CELL - n);
	} else if (kind < 10) {
		memcpy(cell, from, CELL);
	}
}

static void
power_goes(struct volume *v)
{
	/* What was not through may be there or not, cell by cell. */
	for (uint32_t at = v->lost_from & ~(CELL - 1); at < v->lost_to; at += CELL)
		if (model_random(2))
			memcpy(v->disk + at, v->view + at, CELL);
	longjmp(v->power, 1);
}

int
volume_io_write(
    struct volume *v, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	uint32_t at = (uint32_t)(offset - MODEL_STORE_AT);
	const uint8_t *from = buffer;
	bool fails;

	if (offset < MODEL_STORE_AT || at + length > v->store_bytes ||
	    (at | length) % v->sector != 0)
		abort();
	if (v->forbidden)
		v->broke = true;
	others(v);
	fails = v->fail_in > 0 && --v->fail_in == 0;
	if (fails || (v->cut_in > 0 && --v->cut_in == 0)) {
		for (uint32_t i = 0; i < length; i += CELL)
			tear(v->disk + at + i, from + i);
		if (!fails)
			power_goes(v);
		memcpy(v->view + at, v->disk + at, length);
		return -1;
	}
	memcpy(v->view + at, from, length);
	if (through) {
		memcpy(v->disk + at, from, length);
	} else {
		if (v->lost_to == 0 || at < v->lost_from)
			v->lost_from = at;
		if (at + length > v->lost_to)
			v->lost_to = at + length;
	}
	others(v);
	return 0;
}

void
model_rot(struct volume *v)
{
	v->disk[model_random(v->store_bytes)] ^= (uint8_t)(1 + model_random(255));
}
