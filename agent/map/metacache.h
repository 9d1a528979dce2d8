/*
 * metacache.h - what a map read of a volume, kept for the next map of it.
 *
 * A map needs the file system's own tables, some of each large file's beginning, and
 * nothing else.  Where changes are tracked, what of it has not changed is taken from
 * here, so that only the changed parts of $MFT and $Bitmap are read of the volume.  It
 * stands between volmap and the frozen view: the map is made the same way, of the same
 * bytes.
 *
 * It belongs to one point's tree, by its root's id.  It is only a cache: pages carry a
 * hash, a file that is damaged or another tree's costs reading.  A page of the slice that is due
 * (changes.h) is read of the volume in any case, and compared.
 */
#ifndef AGENT_MAP_METACACHE_H
#define AGENT_MAP_METACACHE_H

#include <stddef.h>
#include <stdint.h>

struct changes;
struct chunk_id;
struct err;
struct metacache;

struct metacache_source {
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	uint64_t size; /* Bytes. */
};

/*
 * `path` is its file.  `base` NULL, or `changes` NULL or in doubt: nothing of it is used,
 * and it is made anew.  `src` is copied, `changes` borrowed.  ERR_NOMEM; a file that
 * fails costs reading.
 */
int metacache_open(const char *path, const struct chunk_id *base,
    const struct changes *changes, const struct metacache_source *src,
    struct metacache **out, struct err *err);

/* As metacache_source.read, whose `arg` is the struct metacache. */
int metacache_read(void *c, uint64_t offset, void *buf, size_t len, struct err *err);

/* What was read of the volume, and what was not. */
struct metacache_facts {
	uint64_t read_bytes, known_bytes;
	uint64_t written_bytes; /* To its file. */
	int stale;		/* A page that was due was not what is kept here, */
	uint64_t stale_at;	/* at this byte. */
};
void metacache_facts(const struct metacache *c, struct metacache_facts *out);

/*
 * Close; with `root` what is kept is that tree's from now on: O(what changed) is written,
 * and a crash in between leaves the old one, or none.  Best effort; frees `c`, NULL is
 * allowed.
 */
void metacache_close(struct metacache *c, const struct chunk_id *root);

#endif /* AGENT_MAP_METACACHE_H */
