/*
 * Page files by the root's index, tables, and what is free: whatever the volume holds,
 * what is told lies in it, in order and apart where that is said; and only a failing read
 * fails.  Input: sparse_image.h.
 */
#include "agent/map/changes.h"
#include "agent/map/ntfs_free.h"
#include "agent/map/ntfs_paging.h"
#include "agent/map/ntfs_tables.h"
#include "tests/fuzz/agent/sparse_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);

/* As sparse_decode() does with records. */
static void
protect_blocks(uint8_t *p, uint64_t size)
{
	for (uint64_t at = 0; at < size; at += 512) {
		uint32_t words = load_le16(p + at + 6);

		if (memcmp(p + at, "INDX", 4) == 0 && words > 1 &&
		    (words - 1) * 512ull <= size - at)
			image_protect(p + at, (words - 1) * 512);
	}
}

struct inside {
	uint64_t size, end;
};

static int
is_inside(void *arg, uint64_t offset, uint64_t len)
{
	const struct inside *i = arg;

	if (len == 0 || offset > i->size || len > i->size - offset)
		abort();
	return 0;
}

static void
is_next(void *arg, uint64_t offset, uint64_t len)
{
	struct inside *i = arg;

	(void)is_inside(arg, offset, len);
	if (offset < i->end)
		abort();
	i->end = offset + len;
}

static int
is_next_piece(void *arg, const struct ntfs_free_bits *b, struct err *err)
{
	struct inside *i = arg;

	(void)err;
	if (b->count == 0 || b->first != i->end || b->count > NTFS_FREE_PART * 8 ||
	    (b->first + b->count) * b->cluster_size > i->size)
		abort();
	i->end += b->count;
	return 0;
}

static void
look_at_bits(const uint8_t *image, uint64_t size, unsigned fail_at)
{
	struct cover_disk disk = { .p = image, .size = size, .fail_at = fail_at };
	const struct volmap_source src = {
		.read = cover_read, .arg = &disk, .size = size
	};
	struct inside in = { .size = size };
	struct err err = ERR_INIT;

	if (ntfs_free_bitmap(&src, is_next_piece, &in, &err) == -1 &&
	    err.code != ERR_CORRUPT && (err.code != ERR_IO || disk.reads < disk.fail_at))
		abort();
}

/* By all of it, and by a list of what was written. */
static void
look_at_free(const uint8_t *image, uint64_t size, unsigned fail_at)
{
	for (unsigned listed = 0; listed < 3; listed++) {
		struct cover_disk disk = { .p = image, .size = size, .fail_at = fail_at };
		const struct volmap_source src = {
			.read = cover_read, .arg = &disk, .size = size
		};
		struct inside in = { .size = size };
		struct changes *written = NULL;
		struct err err = ERR_INIT;
		int got;

		if (listed > 0) {
			if (changes_new(size, &written, &err) != 0)
				abort();
			for (uint64_t at = 0; at < size; at += 40960)
				changes_add(written, at, 1);
		}
		got = listed == 2 ? ntfs_tables(&src, is_inside, &in, &err)
				  : ntfs_free(&src, written, is_next, &in, &err);
		if (got == -1 && (err.code != ERR_IO || disk.reads < disk.fail_at))
			abort();
		changes_free(written);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	static struct ntfs_paging found;
	struct cover_disk disk = { .fail_at = len > 1 ? p[1] : 0 };
	struct err err = ERR_INIT;
	struct volmap_source src = { .read = cover_read, .arg = &disk };
	uint8_t *image = sparse_decode(p, len, &disk.size);
	int got;

	if (image == NULL)
		return 0;
	if ((p[0] & 1) == 0)
		protect_blocks(image, disk.size);
	disk.p = image;
	src.size = disk.size;
	got = ntfs_paging_find(&src, &found, &err);
	if (got == -1 && (err.code != ERR_IO || disk.reads < disk.fail_at))
		abort();
	for (unsigned i = 0; i < found.count; i++) {
		const struct volmap_unkept *e = &found.extent[i];

		if (got != 1 || e->len < VOLMAP_GRAIN || e->offset > disk.size ||
		    e->len > disk.size - e->offset ||
		    (i > 0 && e->offset < e[-1].offset + e[-1].len))
			abort();
	}
	look_at_free(image, disk.size, p[1]);
	look_at_bits(image, disk.size, p[1]);
	free(image);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	return sparse_mutate(p, len, max, seed);
}
