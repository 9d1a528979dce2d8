/*
 * What was read for good is given up when room is short, so that what was written since
 * the cut need not be kept for it.
 *
 * Only of volumes whose tables are known: a map reads these as it is made and while it is
 * walked, and then they are read once more as data, so they are never given up.  Of any
 * other (a whole disk, another file system) only what writes wait for is kept elsewhere.
 */
#include "agent/capture/snapshot_hotcopy.h"

#include <stdlib.h>
#include <string.h>

#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/map/ntfs_tables.h"
#include "proto/base/err.h"

#define UNITS_MAX ((uint64_t)1 << 25) /* 4 MiB a list. */

static int
is_set(const uint8_t *bits, uint64_t n)
{
	return bits[n / 8] >> n % 8 & 1;
}

static void
set(uint8_t *bits, uint64_t n)
{
	bits[n / 8] |= (uint8_t)(1u << n % 8);
}

/* It is read again and again. */
static int
guard(void *arg, uint64_t offset, uint64_t len)
{
	struct hot_volume *v = arg;

	if (offset >= v->length || len == 0)
		return 0;
	if (len > v->length - offset)
		len = v->length - offset;
	for (uint64_t n = offset >> v->unit_shift;
	     n <= (offset + len - 1) >> v->unit_shift; n++)
		set(v->guarded, n);
	return 0;
}

void
snapshot_hotcopy_unwatch(struct hot_volume *v)
{
	free(v->read);
	free(v->given);
	free(v->guarded);
	v->read = v->given = v->guarded = NULL;
}

static void
watch(struct hot_volume *v)
{
	const struct volmap_source src = {
		.read = snapshot_hotcopy_read, .arg = v, .size = v->length
	};
	struct err ignored = ERR_INIT;
	uint8_t *read;
	size_t bytes;

	v->unit_shift = v->set->chunk_shift;
	while (v->length >> v->unit_shift >= UNITS_MAX)
		v->unit_shift++;
	v->units = ((v->length - 1) >> v->unit_shift) + 1;
	bytes = (size_t)(v->units / 8 + 1);
	read = calloc(1, bytes);
	v->given = calloc(1, bytes);
	v->guarded = calloc(1, bytes);
	if (read != NULL && v->given != NULL && v->guarded != NULL &&
	    ntfs_tables(&src, guard, v, &ignored) == 1 && guard(v, 0, 1) == 0) {
		v->read = read;
		return;
	}
	free(read);
	snapshot_hotcopy_unwatch(v);
}

void
snapshot_hotcopy_watch(struct hot_set *s)
{
	if (s->options->keep_all)
		return;
	for (unsigned i = 0; i < s->count; i++)
		watch(s->volume[i]);
}

/* ---------------------------------------------------------------------- reading -- */

static uint32_t
unit_len(const struct hot_volume *v, uint64_t n)
{
	uint64_t left = v->length - (n << v->unit_shift);

	return left < (uint64_t)1 << v->unit_shift ? (uint32_t)left
						   : (uint32_t)1 << v->unit_shift;
}

/* Bytes [from, to) of a unit, which with those before them may be all. */
static void
add_part(struct hot_volume *v, uint64_t unit, uint32_t from, uint32_t to)
{
	struct hot_part *p = NULL;

	for (unsigned i = 0; i < HOT_PARTS && p == NULL; i++)
		if (v->part[i].unit == unit && v->part[i].from < v->part[i].to &&
		    v->part[i].from <= to && from <= v->part[i].to)
			p = &v->part[i];
	if (p == NULL) {
		p = &v->part[v->next_part++ % HOT_PARTS];
		*p = (struct hot_part){ unit, from, to };
	}
	p->from = from < p->from ? from : p->from;
	p->to = to > p->to ? to : p->to;
	if (p->to - p->from < unit_len(v, unit))
		return;
	set(v->read, unit);
	p->to = p->from;
}

void
snapshot_hotcopy_was_read(struct hot_volume *v, uint64_t offset, uint64_t len)
{
	uint64_t end = offset + len;

	if (v->read == NULL)
		return;
	(void)pthread_mutex_lock(&v->set->lock);
	while (offset < end) {
		uint64_t n = offset >> v->unit_shift, begin = n << v->unit_shift;
		uint64_t last = begin + unit_len(v, n);
		uint64_t to = end < last ? end : last;

		if (is_set(v->guarded, n) || is_set(v->read, n))
			;
		else if (offset == begin && to == last)
			set(v->read, n);
		else
			add_part(
			    v, n, (uint32_t)(offset - begin), (uint32_t)(to - begin));
		offset = to;
	}
	(void)pthread_mutex_unlock(&v->set->lock);
}

int
snapshot_hotcopy_is_read(struct hot_volume *v, uint64_t n)
{
	uint64_t unit = (n << v->set->chunk_shift) >> v->unit_shift;
	int is = 0;

	(void)pthread_mutex_lock(&v->set->lock);
	if (v->read != NULL)
		is = is_set(v->read, unit);
	(void)pthread_mutex_unlock(&v->set->lock);
	return is;
}

int
snapshot_hotcopy_is_given(struct hot_volume *v, uint64_t n)
{
	uint64_t unit = (n << v->set->chunk_shift) >> v->unit_shift;
	int is = 0;

	(void)pthread_mutex_lock(&v->set->lock);
	if (v->given != NULL)
		is = is_set(v->given, unit);
	(void)pthread_mutex_unlock(&v->set->lock);
	return is;
}

/* -------------------------------------------------------------------- giving up -- */

/* The next run of units that were read and not given, from `*n` on; they are given. */
static uint64_t
take_run(struct hot_volume *v, uint64_t *n)
{
	uint64_t count = 0;

	(void)pthread_mutex_lock(&v->set->lock);
	while (*n < v->units && (!is_set(v->read, *n) || is_set(v->given, *n))) {
		if (*n % 8 == 0 && (v->read[*n / 8] & ~v->given[*n / 8]) == 0)
			*n += 8;
		else
			++*n;
	}
	while (*n + count < v->units && is_set(v->read, *n + count) &&
	       !is_set(v->given, *n + count))
		set(v->given, *n + count++);
	(void)pthread_mutex_unlock(&v->set->lock);
	return count;
}

void
snapshot_hotcopy_give_up(struct hot_set *s)
{
	struct err ignored = ERR_INIT;

	for (unsigned i = 0; i < s->count; i++) {
		struct hot_volume *v = s->volume[i];
		uint64_t count;

		for (uint64_t n = 0; v->read != NULL && (count = take_run(v, &n)) > 0;
		     n += count) {
			uint64_t from = n << v->unit_shift, to = (n + count)
								 << v->unit_shift;

			/* What fails stays kept. */
			(void)hotcopy_done_read(s->owner, s->number, v->index, from,
			    (to < v->length ? to : v->length) - from, &ignored);
			err_clear(&ignored);
		}
	}
}
