/*
 * sparse_image.h - a small volume as a fuzz input: what is not zero in it.
 *
 *	0	1	flags: 1 leave fixups as they are, 2 flushed, 4 keep all
 *	1	1	which read fails; 0: none
 *	2	2	sectors of the volume (512 bytes), at most SPARSE_SECTORS_MAX
 *	4	-	items: sector (2), length (2), bytes
 *
 * Fixups are put in after decoding, so that mutations of records are not
 * thrown away at the parser's door.
 */
#ifndef TESTS_FUZZ_AGENT_SPARSE_IMAGE_H
#define TESTS_FUZZ_AGENT_SPARSE_IMAGE_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/map/changes.h"
#include "agent/map/ntfs_usage.h"
#include "proto/base/bytes.h"
#include "tests/unit/agent/ntfs_image.h"
#include "tests/unit/agent/volmap_cover.h"

/* Enough for the smallest FAT16. */
#define SPARSE_SECTORS_MAX 4400u
#define SPARSE_HEAD 4u

size_t LLVMFuzzerMutate(uint8_t *p, size_t len, size_t max);

/* Length of the item at `p`, or 0 if none is there. */
static inline size_t
sparse_item(const uint8_t *p, size_t len)
{
	return len >= 4 && load_le16(p + 2) <= len - 4 ? 4 + (size_t)load_le16(p + 2) : 0;
}

/* The volume; malloc, NULL if there is none. */
static inline uint8_t *
sparse_decode(const uint8_t *in, size_t len, uint64_t *size)
{
	size_t at = SPARSE_HEAD, n, offset, fits;
	uint32_t words;
	uint8_t *p;

	if (len < SPARSE_HEAD || load_le16(in + 2) == 0)
		return NULL;
	*size = load_le16(in + 2) % (SPARSE_SECTORS_MAX + 1) * 512ull;
	if (*size == 0 || (p = calloc(1, *size)) == NULL)
		return NULL;
	for (; (n = sparse_item(in + at, len - at)) > 0; at += n) {
		offset = load_le16(in + at) * 512ull;
		fits = offset < *size ? *size - offset : 0;
		memcpy(p + (fits > 0 ? offset : 0), in + at + 4,
		    n - 4 < fits ? n - 4 : fits);
	}
	for (offset = 0; (in[0] & 1) == 0 && offset < *size; offset += 512) {
		words = load_le16(p + offset + 6);
		if ((memcmp(p + offset, "FILE", 4) == 0 ||
			memcmp(p + offset, "RSTR", 4) == 0) &&
		    words > 1 && (words - 1) * 512ull <= *size - offset)
			image_protect(p + offset, (words - 1) * 512);
	}
	return p;
}

/* What ntfs_usage() makes of it keeps to itself. */
static inline void
sparse_usage(const struct cover_disk *disk)
{
	struct cover_disk again = { .p = disk->p, .size = disk->size };
	struct volmap_source src = {
		.read = cover_read, .arg = &again, .size = disk->size, .sector_size = 512
	};
	struct ntfs_usage usage;
	struct err err = ERR_INIT;
	int got = ntfs_usage(&src, &usage, &err);

	if (got == 1 && (usage.used > usage.clusters || usage.last > usage.clusters ||
			    usage.last < usage.used))
		abort();
	if (got == -1 && err.code != ERR_CORRUPT)
		abort();
}

/* Map the volume; every rule of the map is asserted on the way. */
static inline void
sparse_run(const uint8_t *in, size_t len)
{
	struct cover_disk disk = { .fail_at = len > 1 ? in[1] : 0 };
	struct err err = ERR_INIT;
	struct cover *c;
	uint8_t *p = sparse_decode(in, len, &disk.size);

	if (p == NULL)
		return;
	disk.p = p;
	sparse_usage(&disk);
	if (changes_new(disk.size, &disk.unheard, &err) != 0)
		abort();
	c = cover_new(
	    &disk, (in[0] & 2) != 0, (in[0] & 4) != 0 ? VOLMAP_KEEP_ALL : 0, &err);
	if (c != NULL)
		cover_free(c);
	else if (err.code != ERR_IO || disk.reads < disk.fail_at)
		abort();
	changes_free(disk.unheard);
	free(p);
}

/* Change the bytes of one item, its place kept; now and then anything at all. */
static inline size_t
sparse_mutate(uint8_t *in, size_t len, size_t max, unsigned seed)
{
	size_t at = SPARSE_HEAD, n, count = 0, pick, got;

	while (at <= len && (n = sparse_item(in + at, len - at)) > 0) {
		at += n;
		count++;
	}
	if (count == 0 || seed % 8 == 0)
		return LLVMFuzzerMutate(in, len, max);
	if (seed % 61 == 1) {
		in[seed / 61 % 2] = (uint8_t)(seed >> 16);
		return len;
	}
	pick = seed / 61 % count;
	for (at = SPARSE_HEAD; pick > 0; pick--)
		at += sparse_item(in + at, len - at);
	n = sparse_item(in + at, len - at) - 4;
	if (n == 0)
		return len;
	got = LLVMFuzzerMutate(in + at + 4, n, n);
	memset(in + at + 4 + got, 0, n - got);
	return len;
}

#endif /* TESTS_FUZZ_AGENT_SPARSE_IMAGE_H */
