/*
 * ntfs_usage.h - how full an NTFS volume is and how it was left, by its own bytes.
 *
 * Cheap: the boot sector, some records and `$Bitmap` are read, nothing else.
 */
#ifndef AGENT_MAP_NTFS_USAGE_H
#define AGENT_MAP_NTFS_USAGE_H

#include <stdint.h>

struct err;
struct volmap_source;

struct ntfs_usage {
	uint32_t sector_size, cluster_size; /* Bytes. */
	uint32_t clusters, used;	    /* Of the volume; of them allocated. */
	uint32_t last;			    /* One past the last allocated one. */
	uint64_t hidden;  /* Sectors before the partition, as the boot sector says. */
	uint64_t sectors; /* As the boot sector says: without its backup at the end. */
	int log_clean;	  /* `$LogFile` has no work left. */
	int dirty;	  /* Windows will check the volume when it next starts. */
	unsigned major, minor; /* Version of NTFS. */
};

/*
 * Look at a volume (volmap.h; `flushed` is not looked at).  1: done; 0: no NTFS; -1:
 * ERR_CORRUPT, or what `read` gave.
 */
int ntfs_usage(const struct volmap_source *src, struct ntfs_usage *out, struct err *err);

#endif /* AGENT_MAP_NTFS_USAGE_H */
