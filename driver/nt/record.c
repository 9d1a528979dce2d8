#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "driver/abi/hotcopy.h"
#include "driver/core/env.h"
#include "driver/nt/record.h"

#define MAGIC 0x31524348u /* "HCR1" */
#define HEAD 16u

typedef char
    record_max_is_right[RECORD_MAX ==
				HEAD + RECORD_ID_MAX + sizeof(struct hotcopy_track) +
				    HOTCOPY_EXTENTS_MAX * sizeof(struct hotcopy_extent)
			    ? 1
			    : -1];

static uint32_t
track_size(uint32_t extents)
{
	return (uint32_t)(sizeof(struct hotcopy_track) +
			  extents * sizeof(struct hotcopy_extent));
}

static uint32_t
padded(uint32_t bytes)
{
	return (bytes + 7u) & ~7u;
}

uint8_t *
record_make(
    const void *id, uint32_t id_bytes, const struct hotcopy_track *t, uint32_t *size)
{
	uint32_t head[4] = { MAGIC, 0, id_bytes, 0 };
	struct hotcopy_track kept;
	uint8_t *record, *to;

	if (id_bytes == 0 || id_bytes > RECORD_ID_MAX || t->extents == 0 ||
	    t->extents > HOTCOPY_EXTENTS_MAX)
		return NULL;
	*size = head[1] = HEAD + padded(id_bytes) + track_size(t->extents);
	record = env_alloc(*size);
	if (record == NULL)
		return NULL;
	memcpy(record, head, sizeof(head));
	memcpy(record + HEAD, id, id_bytes);
	to = record + HEAD + padded(id_bytes);
	memset(&kept, 0, sizeof(kept));
	kept.h.size = track_size(t->extents);
	kept.h.abi = HOTCOPY_ABI;
	kept.extents = t->extents;
	memcpy(kept.guid, t->guid, sizeof(kept.guid));
	memcpy(to, &kept, sizeof(kept));
	memcpy(to + sizeof(kept), t->extent, t->extents * sizeof(t->extent[0]));
	return record;
}

/* Exactly what record_make would have made. */
static bool
is_right(const struct hotcopy_track *t, uint32_t size)
{
	static const uint8_t no_nonce[HOTCOPY_NONCE];

	if (t->h.size != size || t->h.abi != HOTCOPY_ABI || t->volume != 0 ||
	    t->flags != 0 || memcmp(t->nonce, no_nonce, sizeof(no_nonce)) != 0 ||
	    t->extents == 0 || t->extents > HOTCOPY_EXTENTS_MAX ||
	    track_size(t->extents) != size)
		return false;
	for (uint32_t i = 0; i < t->extents; i++)
		if (t->extent[i].length == 0 ||
		    t->extent[i].length > UINT64_MAX - t->extent[i].offset)
			return false;
	return true;
}

struct hotcopy_track *
record_read(const void *record, uint32_t size, const void *id, uint32_t id_bytes)
{
	const uint8_t *p = record;
	struct hotcopy_track *t;
	uint32_t head[4], before;

	if (size < HEAD || id_bytes == 0 || id_bytes > RECORD_ID_MAX)
		return NULL;
	memcpy(head, p, sizeof(head));
	before = HEAD + padded(id_bytes);
	if (head[0] != MAGIC || head[1] != size || head[2] != id_bytes || head[3] != 0 ||
	    size < before + track_size(1) ||
	    size > before + track_size(HOTCOPY_EXTENTS_MAX) ||
	    memcmp(p + HEAD, id, id_bytes) != 0)
		return NULL;
	t = env_alloc(size - before);
	if (t == NULL)
		return NULL;
	memcpy(t, p + before, size - before);
	if (is_right(t, size - before))
		return t;
	env_free(t);
	return NULL;
}

/* FNV-1a of 64 bits. */
void
record_name(const void *id, uint32_t id_bytes, char name[RECORD_NAME])
{
	const uint8_t *p = id;
	uint64_t hash = 0xcbf29ce484222325u;

	for (uint32_t i = 0; i < id_bytes; i++) {
		hash ^= p[i];
		hash *= 0x100000001b3u;
	}
	for (uint32_t i = 0; i < RECORD_NAME - 1; i++)
		name[i] = "0123456789abcdef"[hash >> (60 - 4 * i) & 15];
	name[RECORD_NAME - 1] = '\0';
}
