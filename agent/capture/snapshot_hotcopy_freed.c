#include "agent/capture/snapshot_hotcopy_freed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/capture/snapshot_hotcopy.h"
#include "agent/map/changes.h"
#include "agent/map/ntfs_free.h"
#include "agent/map/spill.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define HEAD SNAPSHOT_HOTCOPY_FREED_HEAD
#define PIECE SNAPSHOT_HOTCOPY_FREED_PIECE
#define CLUSTERS_MAX (UINT64_C(1) << 32) /* NTFS has no more. */

struct hot_freed {
	uint64_t clusters;
	uint8_t *bits; /* All of them, or they are in: */
	struct spill spill;
	void *file;
};

/* -------------------------------------------------------------------- before the cut -- */

struct taking {
	hot_bitmap *bitmap;
	void *live;
	uint8_t *answer;	 /* HEAD + PIECE bytes. */
	const uint8_t *bits;	 /* In it, from the cluster on that was asked for. */
	uint64_t clusters, have; /* Of the volume; bits. */
};

static int
ask(struct taking *t, uint64_t first, struct err *err)
{
	uint64_t start, count, have;
	size_t got = 0;

	if (t->bitmap(t->live, first, t->answer, HEAD + PIECE, &got, err) != 0)
		return -1;
	if (got <= HEAD || got > HEAD + PIECE)
		return err_set(err, ERR_CORRUPT, "a bitmap of %zu bytes", got);
	start = load_le64(t->answer);
	count = load_le64(t->answer + 8);
	have = (uint64_t)(got - HEAD) * 8;
	have = have < count ? have : count;
	if (start > first || start % 8 != 0 || count > CLUSTERS_MAX ||
	    start + count > CLUSTERS_MAX || start + have <= first)
		return err_set(err, ERR_CORRUPT,
		    "%llu clusters from %llu on, where %llu was asked for",
		    (unsigned long long)count, (unsigned long long)start,
		    (unsigned long long)first);
	t->bits = t->answer + HEAD + (first - start) / 8;
	t->have = start + have - first;
	t->clusters = start + count;
	return 0;
}

static int
make_room(struct hot_freed *f, size_t memory, const struct spill *spill, struct err *err)
{
	uint64_t all = (f->clusters + 7) / 8;

	if (all <= memory) {
		f->bits = malloc((size_t)all);
		return f->bits != NULL ? 0 : err_set(err, ERR_NOMEM, "no memory");
	}
	if (spill == NULL)
		return err_set(err, ERR_NOSPACE, "no place for %llu bytes of bitmap",
		    (unsigned long long)all);
	f->spill = *spill;
	if (f->spill.ops->open(f->spill.arg, &f->file, err) == 0)
		return 0;
	f->file = NULL;
	return -1;
}

static int
keep(struct hot_freed *f, uint64_t at, const uint8_t *bits, size_t len, struct err *err)
{
	if (f->bits == NULL)
		return f->spill.ops->write(f->file, at, bits, len, err);
	memcpy(f->bits + at, bits, len);
	return 0;
}

static int
take_all(struct taking *t, struct hot_freed *f, size_t memory, const struct spill *spill,
    struct err *err)
{
	uint64_t first = 0;

	if (ask(t, 0, err) != 0)
		return -1;
	f->clusters = t->clusters;
	if (make_room(f, memory, spill, err) != 0)
		return -1;
	for (;;) {
		if (keep(f, first / 8, t->bits, (size_t)(t->have + 7) / 8, err) != 0)
			return -1;
		if ((first += t->have) >= f->clusters)
			return 0;
		if (ask(t, first, err) != 0)
			return -1;
		if (t->clusters != f->clusters)
			return err_set(err, ERR_CORRUPT, "its length changed meanwhile");
	}
}

int
snapshot_hotcopy_freed_take(hot_bitmap *bitmap, void *live, size_t memory,
    const struct spill *spill, struct hot_freed **out, struct err *err)
{
	struct taking t = { .bitmap = bitmap, .live = live };
	struct hot_freed *f = calloc(1, sizeof(*f));
	int rc = -1;

	if (f == NULL || (t.answer = malloc(HEAD + PIECE)) == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory for a bitmap");
	else
		rc = take_all(&t, f, memory, spill, err);
	free(t.answer);
	if (rc == 0)
		*out = f;
	else
		snapshot_hotcopy_freed_free(f);
	return rc;
}

void
snapshot_hotcopy_freed_free(struct hot_freed *f)
{
	if (f == NULL)
		return;
	if (f->file != NULL)
		f->spill.ops->close(f->file);
	free(f->bits);
	free(f);
}

/* --------------------------------------------------------------------- after the cut -- */

struct finding {
	const struct hot_freed *f;
	struct changes *out;
	uint8_t was[NTFS_FREE_PART];
};

/* Bits from byte `at` on; clusters that were not there then count as allocated. */
static int
was_bits(struct finding *n, uint64_t at, uint32_t len, struct err *err)
{
	const struct hot_freed *f = n->f;
	const uint64_t all = (f->clusters + 7) / 8;
	uint32_t known = at >= all ? 0 : all - at < len ? (uint32_t)(all - at) : len;

	memset(n->was, 0xff, len);
	if (known == 0)
		return 0;
	if (f->bits != NULL)
		memcpy(n->was, f->bits + at, known);
	else if (f->spill.ops->read(f->file, at, n->was, known, err) != 0)
		return -1;
	if (at + known == all && f->clusters % 8 != 0)
		n->was[known - 1] |= (uint8_t)(0xffu << f->clusters % 8);
	return 0;
}

static int
compare(void *arg, const struct ntfs_free_bits *now, struct err *err)
{
	struct finding *n = arg;
	uint32_t bytes = (now->count + 7) / 8, from, i = 0;

	if (was_bits(n, now->first / 8, bytes, err) != 0)
		return -1;
	for (uint32_t k = 0; k < bytes; k++)
		n->was[k] &= (uint8_t)~now->bits[k];
	while (i < now->count) {
		if (i % 8 == 0 && n->was[i / 8] == 0) {
			i += 8;
			continue;
		}
		for (from = i; i < now->count && (n->was[i / 8] >> i % 8 & 1) != 0;)
			i++;
		if (from < i)
			changes_add(n->out, (now->first + from) * now->cluster_size,
			    (uint64_t)(i - from) * now->cluster_size);
		else
			i++;
	}
	return 0;
}

int
snapshot_hotcopy_freed_find(const struct hot_freed *f, const struct volmap_source *src,
    struct changes **out, struct err *err)
{
	struct finding *n = malloc(sizeof(*n));
	int got = -1;

	*out = NULL;
	if (n == NULL)
		return err_set(err, ERR_NOMEM, "no memory to compare bitmaps");
	n->f = f;
	if (changes_new(src->size, &n->out, err) == 0) {
		got = ntfs_free_bitmap(src, compare, n, err);
		if (got == 1)
			*out = n->out;
		else
			changes_free(n->out);
	}
	free(n);
	return got;
}

/* ------------------------------------------------------------------- volumes of a set -- */

static void
forget(struct hot_volume *v)
{
	snapshot_hotcopy_freed_free(v->before);
	v->before = NULL;
}

static void
take_live(struct hot_volume *v)
{
	const struct hot_system *system = snapshot_hotcopy_system;
	struct err why = ERR_INIT;
	void *live;
	int got;

	if ((got = system->open(v->path, &live, &why)) == 1) {
		(void)snapshot_hotcopy_freed_take(system->bitmap, live,
		    SNAPSHOT_HOTCOPY_FREED_MEMORY, v->set->options->spill, &v->before,
		    &why);
		system->close(live);
	} else if (got == 0) {
		(void)err_set(&why, ERR_UNSUPPORTED, "it cannot be read as it is now");
	}
	(void)snprintf(v->freed_why, sizeof(v->freed_why), "%.95s", why.text);
	err_clear(&why);
}

void
snapshot_hotcopy_take_live(struct hot_set *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		forget(s->volume[i]);
		if (snapshot_hotcopy_system->bitmap != NULL)
			take_live(s->volume[i]);
	}
}

/* Without a live bitmap: is there one that it would be needed for? */
static int
has_bitmap(void *arg, const struct ntfs_free_bits *now, struct err *err)
{
	const struct hot_volume *v = arg;

	(void)now;
	return err_set(err, ERR_UNSUPPORTED, "%s", v->freed_why);
}

static void
find_freed(struct hot_volume *v)
{
	const struct volmap_source src = {
		.read = snapshot_hotcopy_read, .arg = v, .size = v->length
	};
	struct err why = ERR_INIT;
	int got;

	if (v->before != NULL)
		got = snapshot_hotcopy_freed_find(v->before, &src, &v->freed, &why);
	else
		got = ntfs_free_bitmap(&src, has_bitmap, v, &why);
	if (got == -1) {
		v->written_known = 0;
		(void)snprintf(
		    v->set->freed_note, sizeof(v->set->freed_note), "%.95s", why.text);
	}
	err_clear(&why);
}

void
snapshot_hotcopy_find_freed(struct hot_set *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		struct hot_volume *v = s->volume[i];

		if (v->written_known && snapshot_hotcopy_system->bitmap != NULL)
			find_freed(v);
		forget(v);
	}
}

int
snapshot_hotcopy_tell_freed(const struct hot_volume *v,
    int (*each)(void *arg, uint64_t offset, uint64_t len), void *arg)
{
	uint64_t len;

	for (uint64_t at = 0; v->freed != NULL && at < v->length; at += len) {
		len = changes_alike(v->freed, at, v->length - at);
		if (changes_touch(v->freed, at, 1) && each(arg, at, len) != 0)
			return -1;
	}
	return 0;
}

void
snapshot_hotcopy_forget_freed(struct hot_volume *v)
{
	forget(v);
	changes_free(v->freed);
	v->freed = NULL;
}
