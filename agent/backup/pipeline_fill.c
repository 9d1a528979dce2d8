#include "agent/backup/pipeline_fill.h"

#include "proto/base/queue.h"

static int
submit(struct pipeline_fill *f, enum chunk_kind kind)
{
	struct pipeline_builder *b = f->builder[kind];

	f->builder[kind] = NULL;
	return b == NULL || queue_put(f->p->full, b, 1) == QUEUE_OK;
}

int
pipeline_fill_add(struct pipeline_fill *f, enum chunk_kind kind,
    const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err)
{
	void *item;

	if (f->builder[kind] != NULL &&
	    group_builder_full(f->builder[kind]->group, len) && !submit(f, kind))
		return 0;
	if (f->builder[kind] == NULL) {
		if (queue_get(f->p->free_builders[kind], &item) != QUEUE_OK)
			return 0;
		f->builder[kind] = item;
	}
	if (group_builder_add(f->builder[kind]->group, id, p, len, err) != 0)
		return -1;
	f->counts.new_bytes += len;
	f->counts.new_chunks += kind == CHUNK_DATA;
	return 1;
}

int
pipeline_fill_move(struct pipeline_fill *f, uint64_t offset)
{
	if (offset / PIPELINE_GROUP_REACH == f->reach)
		return 1;
	f->reach = offset / PIPELINE_GROUP_REACH;
	return submit(f, CHUNK_DATA);
}

int
pipeline_fill_flush(struct pipeline_fill *f)
{
	return submit(f, CHUNK_DATA) && submit(f, CHUNK_META);
}
