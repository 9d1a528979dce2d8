#include "agent/map/metacache.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/changes.h"
#include "agent/map/metacache_file.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"

/* Grains looked at together; what of them is read of the volume is one read. */
#define WINDOW 64u

/* Of beginnings of files, told in grains of the file: one tells of so many. */
#define HEADS (METACACHE_GRAIN * 4u)

struct heads {
	int has, dirty;
	uint64_t n; /* Which grain of them. */
	uint8_t p[METACACHE_GRAIN];
};

struct metacache {
	struct metacache_file *file;
	const struct changes *changes; /* NULL: nothing is known. */
	struct metacache_source src;
	struct metacache_facts facts;
	int off; /* The volume is too large for the file. */
	struct heads heads;
	uint8_t
	    *window; /* WINDOW grains, and one to compare with; while a map is made. */
};

int
metacache_new(const char *path, uint64_t max, struct metacache **out, struct err *err)
{
	struct metacache *c = calloc(1, sizeof(*c));

	if (max == 0)
		max = METACACHE_MAX;
	if (c == NULL || metacache_file_new(path, max, &c->file, err) != 0) {
		free(c);
		return err_set(err, ERR_NOMEM, "out of memory");
	}
	*out = c;
	return 0;
}

void
metacache_free(struct metacache *c)
{
	if (c == NULL)
		return;
	metacache_file_free(c->file);
	free(c->window);
	free(c);
}

int
metacache_begin(struct metacache *c, const struct metacache_task *task,
    const struct metacache_source *src, struct err *err)
{
	static const char context[] = "Holdfast agent: pages of a volume's own tables";
	int may = task->base != NULL && task->changes != NULL;
	struct metacache_header wanted = { .sequence = task->sequence,
		.size = src->size };
	uint8_t key[METACACHE_KEY] = { 0 };

	c->changes = may ? task->changes : NULL;
	c->src = *src;
	c->off = src->size / METACACHE_PAGE >= METACACHE_HEADS;
	c->heads.has = 0;
	memset(&c->facts, 0, sizeof(c->facts));
	if (may)
		wanted.root = *task->base;
	if (task->keys != NULL)
		blake3_derive_key(context, task->keys->meta, sizeof(task->keys->meta),
		    key, sizeof(key));
	if (c->window == NULL &&
	    (c->window = malloc((WINDOW + 1) * METACACHE_GRAIN)) == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	return metacache_file_open(c->file, key, may ? &wanted : NULL, err);
}

int
metacache_read_past(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct metacache *c = arg;

	c->facts.read_bytes += len;
	return c->src.read(c->src.arg, offset, buf, len, err);
}

/* --------------------------------------------------------------------- pages -- */

static uint32_t
page_of(uint64_t grain)
{
	return (uint32_t)(grain / METACACHE_GRAINS);
}

/*
 * Is this grain of the volume known as it is there?  So it is if it was read in this run,
 * or nothing says that it changed.
 */
static int
is_known(const struct metacache *c, uint64_t grain)
{
	int64_t slot = metacache_file_find(c->file, page_of(grain));
	uint16_t bit = (uint16_t)(1u << grain % METACACHE_GRAINS);

	if (slot == -1 || (metacache_file_known(c->file, (uint32_t)slot) & bit) == 0)
		return 0;
	if ((metacache_file_used(c->file, (uint32_t)slot) & bit) != 0)
		return 1;
	return c->changes != NULL &&
	       !changes_touch(c->changes, grain * METACACHE_GRAIN, METACACHE_GRAIN);
}

/* And is it to be read all the same, to see that it is? */
static int
is_due(const struct metacache *c, uint64_t grain)
{
	int64_t slot = metacache_file_find(c->file, page_of(grain));
	uint16_t bit = (uint16_t)(1u << grain % METACACHE_GRAINS);

	return c->changes != NULL && changes_due(c->changes, grain * METACACHE_GRAIN) &&
	       (metacache_file_used(c->file, (uint32_t)slot) & bit) == 0;
}

/* A known grain from the file: 1, or 0 if it is damaged. */
static int
get(struct metacache *c, uint64_t grain, uint8_t *p)
{
	int64_t slot = metacache_file_find(c->file, page_of(grain));
	unsigned g = (unsigned)(grain % METACACHE_GRAINS);

	return metacache_file_get(c->file, (uint32_t)slot, g, 1, p) != 0;
}

/* What was read of the volume is what was kept, or nothing is right any more. */
static int
prove(struct metacache *c, uint64_t grain, const uint8_t *p, struct err *err)
{
	uint8_t *kept = c->window + WINDOW * METACACHE_GRAIN;

	if (!is_known(c, grain) || !is_due(c, grain) || !get(c, grain, kept) ||
	    memcmp(p, kept, METACACHE_GRAIN) == 0)
		return 0;
	c->facts.stale = 1;
	c->facts.stale_at = grain * METACACHE_GRAIN;
	return err_set(err, ERR_SNAPSHOT_LOST,
	    "byte %llu of the file system's tables is not what was kept of it, though "
	    "nothing said that it changed",
	    (unsigned long long)c->facts.stale_at);
}

/* Keep grains [grain, grain + count), page by page. */
static void
put(struct metacache *c, uint64_t grain, unsigned count, const uint8_t *p)
{
	unsigned n, first;

	for (; count > 0; count -= n, grain += n, p += (size_t)n * METACACHE_GRAIN) {
		first = grain % METACACHE_GRAINS;
		n = count < METACACHE_GRAINS - first ? count : METACACHE_GRAINS - first;
		metacache_file_put(c->file, page_of(grain), first, n, p);
	}
}

/* Read grains of the volume, whose last may be cut off by its end, and keep them. */
static int
fetch(struct metacache *c, uint64_t grain, unsigned count, uint8_t *p, struct err *err)
{
	uint64_t at = grain * METACACHE_GRAIN, len = (uint64_t)count * METACACHE_GRAIN;

	if (len > c->src.size - at) {
		memset(p + (c->src.size - at), 0, len - (c->src.size - at));
		len = c->src.size - at;
	}
	if (metacache_read_past(c, at, p, (size_t)len, err) != 0)
		return -1;
	for (unsigned i = 0; i < count && c->changes != NULL; i++)
		if (prove(c, grain + i, p + (size_t)i * METACACHE_GRAIN, err) != 0)
			return -1;
	put(c, grain, count, p);
	return 0;
}

/*
 * Known grains from the file, within one page: returns how many of the first are good.
 */
static unsigned
recall(struct metacache *c, uint64_t grain, unsigned count, uint8_t *p)
{
	uint32_t slot = (uint32_t)metacache_file_find(c->file, page_of(grain));
	unsigned first = grain % METACACHE_GRAINS, n = 0;
	uint16_t used = metacache_file_used(c->file, slot);
	uint16_t good = metacache_file_get(c->file, slot, first, count, p);

	metacache_file_use(c->file, slot, good);
	for (; n < count && (good >> (first + n) & 1) != 0; n++)
		if ((used >> (first + n) & 1) == 0)
			c->facts.known_bytes += METACACHE_GRAIN;
	return n;
}

/* Of the next grains, how many are to come from the file, within one page? */
static unsigned
to_recall(const struct metacache *c, uint64_t grain, unsigned most)
{
	unsigned n = 0, room = METACACHE_GRAINS - (unsigned)(grain % METACACHE_GRAINS);

	while (n < most && n < room && is_known(c, grain + n) && !is_due(c, grain + n))
		n++;
	return n;
}

/* `count` grains into the window. */
static int
fill(struct metacache *c, uint64_t grain, unsigned count, struct err *err)
{
	unsigned at = 0, n, got;

	while (at < count) {
		n = to_recall(c, grain + at, count - at);
		got = n > 0 ? recall(c, grain + at, n, c->window + at * METACACHE_GRAIN)
			    : 0;
		at += got;
		if (n > 0 && got == n)
			continue;
		/* All up to the next that is known, and at least the one that was not. */
		for (n = 1; at + n < count && to_recall(c, grain + at + n, 1) == 0; n++)
			continue;
		if (fetch(c, grain + at, n, c->window + at * METACACHE_GRAIN, err) != 0)
			return -1;
		at += n;
	}
	return 0;
}

int
metacache_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct metacache *c = arg;
	struct err why = ERR_INIT;
	uint8_t *to = buf;
	uint64_t grain;
	size_t skip, n;
	unsigned count;

	if (c->off || offset > c->src.size || len > c->src.size - offset)
		return metacache_read_past(c, offset, buf, len, err);
	for (; len > 0; to += n, offset += n, len -= n) {
		grain = offset / METACACHE_GRAIN;
		skip = offset % METACACHE_GRAIN;
		n = WINDOW * METACACHE_GRAIN - skip;
		n = len < n ? len : n;
		count = (unsigned)((skip + n + METACACHE_GRAIN - 1) / METACACHE_GRAIN);
		if (fill(c, grain, count, &why) == 0) {
			memcpy(to, c->window + skip, n);
			continue;
		}
		/* It may be beside what was asked for that nothing can be read. */
		if (!c->facts.stale && (skip != 0 || n % METACACHE_GRAIN != 0))
			return metacache_read_past(c, offset, to, len, err);
		*err = why;
		return -1;
	}
	return 0;
}

/* A grain that need not be read is all ones: 1, and it was asked for; 0. */
static int
take_ones(struct metacache *c, uint64_t grain)
{
	uint16_t bit = (uint16_t)(1u << grain % METACACHE_GRAINS);
	uint32_t slot;

	if (to_recall(c, grain, 1) == 0)
		return 0;
	slot = (uint32_t)metacache_file_find(c->file, page_of(grain));
	if (!metacache_file_ones(c->file, slot, grain % METACACHE_GRAINS))
		return 0;
	if ((metacache_file_used(c->file, slot) & bit) == 0)
		c->facts.known_bytes += METACACHE_GRAIN;
	metacache_file_use(c->file, slot, bit);
	return 1;
}

size_t
metacache_ones(struct metacache *c, uint64_t offset, size_t len)
{
	uint64_t grain = offset / METACACHE_GRAIN;
	size_t n = 0;

	if (c->off || offset % METACACHE_GRAIN != 0 || offset > c->src.size ||
	    len > c->src.size - offset)
		return 0;
	while (n < len && take_ones(c, grain++))
		n += METACACHE_GRAIN;
	return n < len ? n : len;
}

/* --------------------------------------------------------------------- heads -- */

static void
heads_write(struct metacache *c)
{
	if (!c->heads.has || !c->heads.dirty)
		return;
	metacache_file_put(c->file,
	    METACACHE_HEADS + (uint32_t)(c->heads.n / METACACHE_GRAINS),
	    c->heads.n % METACACHE_GRAINS, 1, c->heads.p);
	c->heads.dirty = 0;
}

/* What changed since the base is not known. */
static void
forget_changed(struct metacache *c)
{
	uint64_t begin = c->heads.n * HEADS;

	for (uint64_t i = 0; i < HEADS; i++) {
		uint8_t *p = &c->heads.p[i / 4];
		unsigned two = 3u << i % 4 * 2;

		if ((*p & two) == 0 ||
		    !changes_touch(
			c->changes, (begin + i) * METACACHE_GRAIN, METACACHE_GRAIN))
			continue;
		*p &= (uint8_t)~two;
		c->heads.dirty = 1;
	}
}

static void
heads_load(struct metacache *c, uint64_t n)
{
	uint32_t page = METACACHE_HEADS + (uint32_t)(n / METACACHE_GRAINS);
	unsigned g = n % METACACHE_GRAINS;
	uint16_t bit = (uint16_t)(1u << g);
	int64_t slot;

	if (c->heads.has && c->heads.n == n)
		return;
	heads_write(c);
	c->heads.has = 1;
	c->heads.n = n;
	slot = metacache_file_find(c->file, page);
	if (slot == -1 || (metacache_file_known(c->file, (uint32_t)slot) & bit) == 0 ||
	    metacache_file_get(c->file, (uint32_t)slot, g, 1, c->heads.p) == 0) {
		memset(c->heads.p, 0, sizeof(c->heads.p));
		return;
	}
	if ((metacache_file_used(c->file, (uint32_t)slot) & bit) != 0)
		return;
	forget_changed(c);
	metacache_file_use(c->file, (uint32_t)slot, bit);
}

int
metacache_head(struct metacache *c, uint64_t offset)
{
	uint64_t grain = offset / METACACHE_GRAIN;
	unsigned two;

	if (c->off || offset % METACACHE_GRAIN != 0)
		return -1;
	heads_load(c, grain / HEADS);
	two = c->heads.p[grain % HEADS / 4] >> grain % 4 * 2 & 3;
	return two < 2 ? -1 : (int)(two & 1);
}

void
metacache_head_is(struct metacache *c, uint64_t offset, int dense)
{
	uint64_t grain = offset / METACACHE_GRAIN;
	uint8_t *p = &c->heads.p[grain % HEADS / 4];

	if (c->off || offset % METACACHE_GRAIN != 0)
		return;
	heads_load(c, grain / HEADS);
	*p &= (uint8_t) ~(3u << grain % 4 * 2);
	*p |= (uint8_t)((dense ? 3u : 2u) << grain % 4 * 2);
	c->heads.dirty = 1;
}

/* ------------------------------------------------------------------ the end -- */

void
metacache_end(struct metacache *c, int whole)
{
	heads_write(c);
	c->heads.has = 0;
	c->facts.full |= metacache_file_full(c->file);
	metacache_file_close(c->file, whole && !c->facts.stale && !c->off);
	free(c->window);
	c->window = NULL;
	c->changes = NULL;
}

void
metacache_seal(struct metacache *c, const struct chunk_id *root, uint64_t sequence)
{
	struct metacache_header h = {
		.root = *root, .sequence = sequence, .size = c->src.size
	};

	metacache_file_seal(c->file, &h);
}

void
metacache_drop(struct metacache *c)
{
	metacache_file_drop(c->file);
}

void
metacache_facts(const struct metacache *c, struct metacache_facts *out)
{
	*out = c->facts;
	out->full |= metacache_file_full(c->file);
	out->written_bytes = metacache_file_written(c->file);
	out->memory = sizeof(*c) + metacache_file_memory(c->file) +
		      (c->window != NULL ? (WINDOW + 1) * METACACHE_GRAIN : 0);
}
