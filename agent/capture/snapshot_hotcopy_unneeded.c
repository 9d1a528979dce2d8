/*
 * What is free needs no copy when it is written.  Told right after the cut, by the frozen
 * bitmap, and only where the file system itself says that it was flushed (agent/DESIGN.md
 * has why that is right).  Should a map want such bytes all the same, for a file was given
 * them and has not written there, the view is lost rather than guessed at, and this process
 * tells nothing any more.
 */
#include <stdatomic.h>
#include <stdlib.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/hotcopy/hotcopy_calls.h"
#include "agent/map/changes.h"
#include "agent/map/ntfs_free.h"
#include "proto/base/err.h"

#define BITS_MAX ((uint64_t)1 << 26) /* 8 MiB of them. */

static atomic_int was_wrong;

struct telling {
	const struct hot_volume *v;
	uint8_t *bits;
	uint64_t from, to; /* Free so far, without a gap. */
};

/* Chunks that lie in it whole. */
static void
end_range(struct telling *t)
{
	const unsigned shift = t->v->set->chunk_shift;
	uint64_t n = (t->from + (1u << shift) - 1) >> shift;

	for (; t->from < t->to && (n + 1) << shift <= t->to; n++)
		t->bits[n / 8] |= (uint8_t)(1u << n % 8);
}

static void
on_free(void *arg, uint64_t offset, uint64_t len)
{
	struct telling *t = arg;

	if (offset != t->to) {
		end_range(t);
		t->from = offset;
	}
	t->to = offset + len;
}

static int
add_written(void *arg, uint64_t offset, uint64_t len)
{
	changes_add(arg, offset, len);
	return 0;
}

/* What was written since before the flush; NULL with 1: it was flushed at the cut. */
static int
list_written(struct hot_volume *v, struct changes **out, struct err *err)
{
	*out = NULL;
	if (v->set->around != NULL)
		return 1;
	if (!snapshot_hotcopy_system->flushes || !v->written_known)
		return 0;
	if (changes_new(v->length, out, err) != 0)
		return -1;
	return snapshot_hotcopy_written(v, add_written, *out, err);
}

static void
tell(struct hot_volume *v)
{
	const struct volmap_source src = {
		.read = snapshot_hotcopy_read, .arg = v, .size = v->length
	};
	const uint64_t count = ((v->length - 1) >> v->set->chunk_shift) + 1;
	struct telling t = { .v = v };
	struct changes *written = NULL;
	struct err ignored = ERR_INIT;

	if (count > BITS_MAX || (t.bits = calloc(1, (size_t)(count / 8 + 1))) == NULL)
		return;
	if (list_written(v, &written, &ignored) == 1 &&
	    ntfs_free(&src, written, on_free, &t, &ignored) == 1) {
		end_range(&t);
		/* Before: of one that fails the driver may have heard a part. */
		v->told_free = 1;
		(void)hotcopy_unneeded(
		    v->set->owner, v->set->number, v->index, 0, count, t.bits, &ignored);
	}
	changes_free(written);
	free(t.bits);
}

void
snapshot_hotcopy_tell_free(struct hot_set *s)
{
	if (s->options->keep_all)
		return;
	for (unsigned i = 0; i < s->count && !atomic_load(&was_wrong); i++)
		tell(s->volume[i]);
}

void
snapshot_hotcopy_free_was_wanted(const struct hot_volume *v)
{
	if (v->told_free)
		atomic_store(&was_wrong, 1);
}
