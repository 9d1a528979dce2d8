/*
 * ram_volume.h - volumes of memory under the core, for its tests: a host that writes
 * through the gate, and a disk that can be slow, wrong or stuck when a test says so.
 *
 * Nothing here waits by the clock: tests wait for conditions, with WAIT as the bound
 * after which a test has failed.
 */
#ifndef TESTS_UNIT_DRIVER_RAM_VOLUME_H
#define TESTS_UNIT_DRIVER_RAM_VOLUME_H

#include <assert.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "driver/core/env.h"
#include "driver/core/volume.h"

#define WAIT_SECONDS 60

/* How long a test waits for what must come: a minute, or what who seeds bugs says. */
static inline uint64_t
ram_patience_ms(void)
{
	const char *text = getenv("RAM_PATIENCE_MS");

	return text != NULL ? strtoull(text, NULL, 10) : WAIT_SECONDS * 1000;
}

struct ram_write;

struct ram {
	struct volume *volume;
	uint8_t *data;
	uint64_t length;
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	/* Set by tests, within the mutex. */
	bool reads_stick, writes_stick, forward_sticks, io_write_fails, io_sticks;
	uint64_t fails_from, fails_to; /* reads of these bytes */
	unsigned let_read;	       /* the number of one that does not stick */
	/* Counted. */
	unsigned reads, reads_stuck, io_stuck, forwarded, forwards_stuck, finished;
	struct ram_write *stuck;
};

/* One write of the host; lives until ram_finished. */
struct ram_write {
	struct held held;
	struct ram *ram;
	uint64_t offset;
	uint32_t length;
	uint8_t fill;
	bool finished;
	bool was_held;
	struct ram_write *next;
};

static inline struct timespec
ram_latest(void)
{
	struct timespec until;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += (time_t)(ram_patience_ms() / 1000);
	return until;
}

/* As long as it holds, but no longer than a test may wait. */
#define ram_spin_while(condition)                                            \
	do {                                                                 \
		uint64_t ram_until_ = env_now() + ram_patience_ms() * 10000; \
		while (condition) {                                          \
			if (env_now() > ram_until_)                          \
				abort();                                     \
			sched_yield();                                       \
		}                                                            \
	} while (0)

/* Waits, within the mutex, for a change; a test that waits too long has failed. */
static inline void
ram_change(struct ram *r)
{
	struct timespec until = ram_latest();

	if (pthread_cond_timedwait(&r->changed, &r->mutex, &until) != 0)
		abort();
}

#define ram_until(r, condition)                    \
	do {                                       \
		pthread_mutex_lock(&(r)->mutex);   \
		while (!(condition))               \
			ram_change(r);             \
		pthread_mutex_unlock(&(r)->mutex); \
	} while (0)

#define ram_set(r, change)                             \
	do {                                           \
		pthread_mutex_lock(&(r)->mutex);       \
		change;                                \
		pthread_cond_broadcast(&(r)->changed); \
		pthread_mutex_unlock(&(r)->mutex);     \
	} while (0)

static inline int
ram_read(void *device, uint64_t offset, void *buffer, uint32_t length)
{
	struct ram *r = device;
	unsigned number;
	int result = 0;

	assert(length <= VOLUME_IO_MAX && offset + length <= r->length);
	pthread_mutex_lock(&r->mutex);
	number = ++r->reads;
	memcpy(buffer, r->data + offset, length); /* before it sticks: stale bytes */
	if (r->reads_stick) {
		r->reads_stuck++;
		pthread_cond_broadcast(&r->changed);
		while (r->reads_stick && r->let_read != number)
			ram_change(r);
		r->reads_stuck--;
		memcpy(buffer, r->data + offset, length);
	}
	if (offset < r->fails_to && r->fails_from < offset + length)
		result = -1;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
	return result;
}

static inline int
ram_io_write(
    void *device, uint64_t offset, const void *buffer, uint32_t length, bool through)
{
	struct ram *r = device;
	int result;

	(void)through;
	assert(length <= VOLUME_IO_MAX && offset + length <= r->length);
	pthread_mutex_lock(&r->mutex);
	r->io_stuck++;
	pthread_cond_broadcast(&r->changed);
	while (r->io_sticks)
		ram_change(r);
	r->io_stuck--;
	result = r->io_write_fails ? -1 : 0;
	if (result == 0)
		memcpy(r->data + offset, buffer, length);
	pthread_mutex_unlock(&r->mutex);
	return result;
}

/* The request is below the filter: now, or when the disk is let go. */
static inline void
ram_send(struct ram_write *w)
{
	struct ram *r = w->ram;
	bool stuck;

	pthread_mutex_lock(&r->mutex);
	stuck = r->writes_stick;
	if (stuck) {
		w->next = r->stuck;
		r->stuck = w;
		pthread_cond_broadcast(&r->changed);
	} else {
		memset(r->data + w->offset, w->fill, w->length);
	}
	pthread_mutex_unlock(&r->mutex);
	if (stuck)
		return;
	volume_write_done(r->volume);
	pthread_mutex_lock(&r->mutex);
	w->finished = true;
	r->finished++;
	pthread_cond_broadcast(&r->changed);
	pthread_mutex_unlock(&r->mutex);
}

static inline void
ram_let_writes(struct ram *r)
{
	struct ram_write *w, *next;

	pthread_mutex_lock(&r->mutex);
	r->writes_stick = false;
	w = r->stuck;
	r->stuck = NULL;
	pthread_mutex_unlock(&r->mutex);
	for (; w != NULL; w = next) {
		next = w->next;
		ram_send(w);
	}
}

static inline void
ram_forward(void *device, struct held *h)
{
	struct ram *r = device;

	pthread_mutex_lock(&r->mutex);
	r->forwarded++;
	r->forwards_stuck++;
	pthread_cond_broadcast(&r->changed);
	while (r->forward_sticks)
		ram_change(r);
	r->forwards_stuck--;
	pthread_mutex_unlock(&r->mutex);
	ram_send((struct ram_write *)h);
}

/* The host writes; true: it was held. */
static inline bool
ram_write(
    struct ram *r, struct ram_write *w, uint64_t offset, uint32_t length, uint8_t fill)
{
	*w = (struct ram_write){
		.ram = r, .offset = offset, .length = length, .fill = fill
	};
	if (volume_write_begin(r->volume, offset, length) == VOLUME_FORWARD) {
		ram_send(w);
		return false;
	}
	w->was_held = true;
	volume_hold(r->volume, &w->held, offset, length);
	return true;
}

static inline void
ram_finish(struct ram_write *w)
{
	ram_until(w->ram, w->finished);
}

/* Writes and waits for it; true: it was held. */
static inline bool
ram_write_now(struct ram *r, uint64_t offset, uint32_t length, uint8_t fill)
{
	struct ram_write w;
	bool held = ram_write(r, &w, offset, length, fill);

	ram_finish(&w);
	return held;
}

static inline void
ram_make(struct ram *r, uint64_t number, uint64_t length, uint8_t fill)
{
	static const struct volume_ops ops = { ram_read, ram_io_write, ram_forward };

	*r = (struct ram){ .length = length };
	pthread_mutex_init(&r->mutex, NULL);
	pthread_cond_init(&r->changed, NULL);
	r->data = malloc(length);
	assert(r->data != NULL);
	memset(r->data, fill, length);
	r->volume = volume_make(&ops, r, number, length, 512);
	assert(r->volume != NULL);
}

static inline void
ram_end(struct ram *r)
{
	volume_gone(r->volume);
	volume_free(r->volume);
	pthread_cond_destroy(&r->changed);
	pthread_mutex_destroy(&r->mutex);
	free(r->data);
}

static inline bool
ram_all(const uint8_t *bytes, uint64_t length, uint8_t fill)
{
	for (uint64_t i = 0; i < length; i++) {
		if (bytes[i] != fill)
			return false;
	}
	return true;
}

#endif /* TESTS_UNIT_DRIVER_RAM_VOLUME_H */
