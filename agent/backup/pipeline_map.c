#include <string.h>

#include "agent/backup/pipeline_reader.h"
#include "agent/map/changes.h"
#include "agent/map/metacache.h"
#include "agent/map/ntfs_compare.h"

/* That it failed is told once more when the slab is handed on. */
int
pipeline_map_read(void *arg, uint64_t offset, void *buf, size_t len, struct err *err)
{
	struct pipeline *p = arg;

	if (p->reader != NULL && pipeline_reader_flush(p->reader, err) != 0)
		return -1;
	p->map_bytes += len;
	return p->job->source.read(p->job->source.arg, offset, buf, len, err);
}

int
pipeline_map_stale(struct pipeline *p)
{
	struct metacache_facts f;

	if (p->job->metacache == NULL)
		return 0;
	metacache_facts(p->job->metacache, &f);
	if (f.stale)
		pipeline_fail_stale(p, f.stale_at);
	return f.stale;
}

/* Begin with what is kept of the tables: as the base has them (`known`), or anew. */
static int
begin_cache(struct pipeline *p, int known, struct err *err)
{
	const struct pipeline_job *job = p->job;
	const struct metacache_task task = { .base = known ? &job->base.root_id : NULL,
		.sequence = job->base.sequence,
		.changes = known ? job->changes : NULL,
		.keys = job->keys };
	const struct metacache_source src = { pipeline_map_read, p, job->source.size };

	if (job->metacache == NULL)
		return 0;
	return metacache_begin(job->metacache, &task, &src, err);
}

static int
open_map(struct pipeline *p, int known, struct err *err)
{
	struct volmap_limits limits = p->job->map;
	struct volmap_source source = p->job->source;

	if (limits.memory == 0)
		limits.memory = VOLMAP_MEMORY;
	source.read = pipeline_map_read;
	source.arg = p;
	source.metacache = p->job->metacache;
	source.unheard = p->job->changes;
	if (begin_cache(p, known, err) != 0)
		return -1;
	return volmap_open(&source, &limits, p->job->map_flags, &p->map, err);
}

/* May the list be used for tables?  One that tells of files' content only may not. */
static int
may_know(const struct pipeline_job *job)
{
	return job->metacache != NULL && job->changes != NULL && job->base.known &&
	       changes_why(job->changes)[0] == '\0' &&
	       !changes_are_only_owned(job->changes);
}

int
pipeline_map_open(struct pipeline *p, struct err *err)
{
	int known = may_know(p->job);

	if (open_map(p, known, err) != 0)
		return -1;
	if (pipeline_keep_open(p, &p->keep, err) != 0)
		return -1;
	if (!known || p->keep != NULL)
		return 0;
	/* The list is not believed after all, and it had a hand in this map. */
	volmap_close(p->map);
	p->map = NULL;
	if (p->job->source.compare != NULL)
		ntfs_compare_again(p->job->source.compare);
	return open_map(p, 0, err);
}
