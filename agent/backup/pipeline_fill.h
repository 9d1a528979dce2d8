/*
 * pipeline_fill.h - chunks that the server needs, copied into groups.
 */
#ifndef AGENT_BACKUP_PIPELINE_FILL_H
#define AGENT_BACKUP_PIPELINE_FILL_H

#include "agent/backup/pipeline_stages.h"

/* Where chunks of each kind are being collected; used by one thread. */
struct pipeline_fill {
	struct pipeline *p;
	struct pipeline_builder *builder[3]; /* By enum chunk_kind. */
	uint64_t reach;			     /* Which PIPELINE_GROUP_REACH they are of. */
	struct uplink_counts counts;
};

/* Add a chunk; a full group goes to the packers.  1, 0 if the pipeline has ended, -1. */
int pipeline_fill_add(struct pipeline_fill *f, enum chunk_kind kind,
    const struct chunk_id *id, const uint8_t *p, size_t len, struct err *err);

/*
 * The next chunk of data lies at byte `offset` of the volume: a group keeps to one
 * PIPELINE_GROUP_REACH.  1, 0 if the pipeline has ended.
 */
int pipeline_fill_move(struct pipeline_fill *f, uint64_t offset);

/* Send the packers what has been collected: 1, or 0 if the pipeline has ended. */
int pipeline_fill_flush(struct pipeline_fill *f);

#endif /* AGENT_BACKUP_PIPELINE_FILL_H */
