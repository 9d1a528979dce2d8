/*
 * pipeline_replay.h - what an interrupted run over the same frozen view found.
 *
 * Its tree cache holds the leaves of the spans that it finished: the extents
 * there, and the ids in them, need not be read and named again; that the
 * server still has the chunks must be asked.
 */
#ifndef AGENT_BACKUP_PIPELINE_REPLAY_H
#define AGENT_BACKUP_PIPELINE_REPLAY_H

#include "agent/backup/pipeline_stages.h"

struct pipeline_replay;

/* Over p->done, which must be there.  NULL without memory. */
struct pipeline_replay *pipeline_replay_new(struct pipeline *p);
void pipeline_replay_free(struct pipeline_replay *r);

/*
 * What lies at `offset` (< p->done_end; never in a span before an earlier one):
 * the extent from there on.  ERR_CORRUPT if the file cannot tell.
 */
int pipeline_replay_at(
    struct pipeline_replay *r, uint64_t offset, struct extent *out, struct err *err);

#endif /* AGENT_BACKUP_PIPELINE_REPLAY_H */
