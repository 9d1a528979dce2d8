/*
 * spans_parts.h - what spans.c (reading) and spans_write.c share.  For them alone.
 */
#ifndef AGENT_BACKUP_SPANS_PARTS_H
#define AGENT_BACKUP_SPANS_PARTS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "agent/backup/spans.h"
#include "agent/host/state.h"

#define AT_SPANS 896u	    /* In the header: spans, names, used, bag. */
#define SPANS_BAG_BEGIN 16u /* Where a bag's first record is. */

struct spans_facts {
	uint64_t spans, names, used;
	uint32_t bag;
};

const struct spans_facts *spans_facts(const struct spans *s);

/* Bytes of a path that name the volume. */
size_t spans_stem(const char *path);

/* ERR_LIMIT. */
int spans_bag_path(const char *path, const struct spans_kind *kind, uint32_t bag,
    char out[STATE_PATH_MAX], struct err *err);

/* One that is not sealed, and not hashed yet. */
void spans_make_header(
    uint8_t h[SPANS_HEADER], const struct spans_kind *kind, const struct spans_facts *f);
void spans_hash_header(uint8_t h[SPANS_HEADER]);

/* Of any tree, or of none: 1, or 0. */
int spans_load_header(const char *path, const struct spans_kind *kind,
    uint8_t h[SPANS_HEADER], struct spans_facts *out);

#endif /* AGENT_BACKUP_SPANS_PARTS_H */
