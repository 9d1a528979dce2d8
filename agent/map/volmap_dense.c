/*
 * Offset	Size	A head, along the volume	A dense file, along the files
 * 0		4	LCN				owner
 * 4		4	owner				stream (1)
 * 8		1	stream				-
 */
#include "agent/map/volmap_dense.h"

#include <stdlib.h>
#include <string.h>

#include "agent/map/metacache.h"
#include "agent/map/sorter.h"
#include "agent/map/volmap.h"
#include "agent/map/volmap_marks.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"

#define HEAD_LEN 9u
#define FILE_LEN 5u

struct volmap_dense {
	size_t memory;
	const struct spill *spill;
	struct sorter *heads; /* Until they were looked at. */
	struct sorter *files; /* From then on. */
	uint64_t spilled;     /* By `heads`, when it is gone. */
	int has_next;
	uint8_t next[FILE_LEN];
};

/* Count the zeros among `len` bytes, those at even places and those at odd ones. */
static void
count_zeros(const uint8_t *p, size_t len, size_t zeros[2])
{
	const uint64_t low7 = 0x7f7f7f7f7f7f7f7f;
	uint64_t x, sums = 0;
	size_t i;

	/* Eight at a time; in `sums` each byte counts the zeros of its place. */
	for (i = 0; i + 8 <= len; i += 8) {
		x = load_le64(p + i);
		sums += ~((((x & low7) + low7) | x) | low7) >> 7;
		if (i % 1024 != 1016 && i + 16 <= len)
			continue;
		for (unsigned k = 0; k < 8; k++, sums >>= 8)
			zeros[k & 1] += sums & 0xff;
	}
	for (; i < len; i++)
		zeros[i & 1] += p[i] == 0;
}

/*
 * At most 1 in 64 of every second byte, be it the odd ones or the even: UTF-16 has
 * zeros in half of them.
 */
int
volmap_dense_bytes(const uint8_t *p, size_t len)
{
	size_t zeros[2] = { 0, 0 }, fewer;

	count_zeros(p, len, zeros);
	fewer = zeros[0] < zeros[1] ? zeros[0] : zeros[1];
	return fewer * 128 <= len;
}

int
volmap_dense_at(const struct volmap_source *source, uint64_t offset)
{
	struct metacache *c = source->metacache;
	uint8_t head[VOLMAP_DENSE_HEAD];
	struct err ignored = ERR_INIT;
	int dense, got;

	if (c != NULL && (dense = metacache_head(c, offset)) != -1)
		return dense;
	/* What it says is kept, not its bytes: these are a million pages of a volume. */
	got = c != NULL ? metacache_read_past(c, offset, head, sizeof(head), &ignored)
			: source->read(source->arg, offset, head, sizeof(head), &ignored);
	if (got != 0)
		return 0;
	dense = volmap_dense_bytes(head, sizeof(head));
	if (c != NULL)
		metacache_head_is(c, offset, dense);
	return dense;
}

struct volmap_dense *
volmap_dense_new(size_t memory, const struct spill *spill)
{
	struct volmap_dense *d = calloc(1, sizeof(*d));

	if (d == NULL || (d->heads = sorter_new(HEAD_LEN, memory / 2, spill)) == NULL) {
		free(d);
		return NULL;
	}
	d->memory = memory;
	d->spill = spill;
	return d;
}

void
volmap_dense_free(struct volmap_dense *d)
{
	if (d == NULL)
		return;
	sorter_free(d->heads);
	sorter_free(d->files);
	free(d);
}

int
volmap_dense_add(struct volmap_dense *d, const struct volmap_run *head, struct err *err)
{
	uint8_t record[HEAD_LEN];

	store_be32(record, head->lcn);
	store_be32(record + 4, head->owner);
	record[8] = head->stream;
	return sorter_add(d->heads, record, err);
}

static int
fetch(struct volmap_dense *d, struct err *err)
{
	const uint8_t *p;

	if ((d->has_next = sorter_next(d->files, &p, err)) == 1)
		memcpy(d->next, p, sizeof(d->next));
	return d->has_next == -1 ? -1 : 0;
}

int
volmap_dense_look(struct volmap_dense *d, const struct volmap_source *source,
    uint64_t base, uint32_t cluster_size, struct err *err)
{
	const uint8_t *p;
	int more;

	if ((d->files = sorter_new(FILE_LEN, d->memory / 2, d->spill)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a volume map");
	if (sorter_finish(d->heads, err) == -1)
		return -1;
	while ((more = sorter_next(d->heads, &p, err)) == 1)
		if (volmap_dense_at(
			source, base + (uint64_t)load_be32(p) * cluster_size) &&
		    sorter_add(d->files, p + 4, err) == -1)
			return -1;
	if (more == -1 || sorter_finish(d->files, err) == -1)
		return -1;
	d->spilled = sorter_spilled(d->heads);
	sorter_free(d->heads);
	d->heads = NULL;
	return fetch(d, err);
}

int
volmap_dense_has(struct volmap_dense *d, const struct volmap_run *run, struct err *err)
{
	uint8_t wanted[FILE_LEN];

	store_be32(wanted, run->owner);
	wanted[4] = run->stream;
	while (d->has_next == 1 && memcmp(d->next, wanted, sizeof(wanted)) < 0)
		if (fetch(d, err) == -1)
			return -1;
	return d->has_next == 1 && memcmp(d->next, wanted, sizeof(wanted)) == 0;
}

uint64_t
volmap_dense_memory(const struct volmap_dense *d)
{
	return sizeof(*d) + (d->heads != NULL ? sorter_memory(d->heads) : 0) +
	       (d->files != NULL ? sorter_memory(d->files) : 0);
}

uint64_t
volmap_dense_spilled(const struct volmap_dense *d)
{
	return d->spilled + (d->heads != NULL ? sorter_spilled(d->heads) : 0) +
	       (d->files != NULL ? sorter_spilled(d->files) : 0);
}
