/*
 * metacache.h - what a map read of a volume, kept for the next map of it.
 *
 * A map needs the file system's own tables, a look at some of each large file's
 * beginning, and nothing else.  Where changes are tracked, what of it has not changed is
 * taken from here, so that only the changed parts of $MFT and $Bitmap are read of the
 * volume.  It stands between volmap and the frozen view (volmap_source.metacache): the
 * map is made the same way, of the same bytes.
 *
 *	metacache_new
 *	for each run:  metacache_begin -> (the map) -> metacache_end
 *	metacache_seal once the point is made
 *	metacache_free
 *
 * It belongs to one point's tree, by its root's id and sequence.  It is only a cache: what
 * it has is proven by hashes (metacache_format.h), a file that is damaged, another
 * point's or half written costs reading.  What is in the slice that is due (changes.h) is
 * read of the volume in any case, and compared; but for beginnings of files, which the
 * pipeline reads there.
 *
 * Its file is changed in place, so what is written is what changed: what a run writes is
 * marked newer, and counts only once it is sealed.  What a map did not ask for is not
 * kept any longer, and its room goes to what comes next.
 *
 * Memory is flat: 2.5 MiB while a map is made, 0.3 from metacache_end() on.
 */
#ifndef AGENT_MAP_METACACHE_H
#define AGENT_MAP_METACACHE_H

#include <stddef.h>
#include <stdint.h>

struct changes;
struct chunk_id;
struct chunk_keys;
struct err;
struct metacache;

/* The file has so many bytes at most, and leaves so many of its file system free. */
#define METACACHE_MAX (UINT64_C(8) << 30)
#define METACACHE_RESERVE (UINT64_C(1) << 30)

/* `path` is its file.  `max` 0: METACACHE_MAX bytes.  ERR_NOMEM. */
int
metacache_new(const char *path, uint64_t max, struct metacache **out, struct err *err);
void metacache_free(struct metacache *c);

/* The frozen view. */
struct metacache_source {
	int (*read)(void *arg, uint64_t offset, void *buf, size_t len, struct err *err);
	void *arg;
	uint64_t size; /* Bytes. */
};

/* What it may be used for; all is borrowed until metacache_end(). */
struct metacache_task {
	/* Whose it must be, and what changed since; either NULL: it is made anew. */
	const struct chunk_id *base;
	uint64_t sequence;
	const struct changes *changes;
	const struct chunk_keys *keys;
};

/*
 * The map of `src` (copied) is going to be made.  What was begun and not sealed is
 * given up.  -1 only without memory.
 */
int metacache_begin(struct metacache *c, const struct metacache_task *task,
    const struct metacache_source *src, struct err *err);

/* As metacache_source.read, whose `arg` is the struct metacache. */
int metacache_read(void *c, uint64_t offset, void *buf, size_t len, struct err *err);

/*
 * The same of the volume in any case, and not to be kept: for what no list tells of, as
 * Windows writes it around every filter (hiberfil.sys), and for what is not worth it.
 */
int metacache_read_past(void *c, uint64_t offset, void *buf, size_t len, struct err *err);

/*
 * Of `len` bytes at `offset`, how many from there on are known to be all ones, without
 * their being read?  As metacache_read(), it asks for them.
 */
size_t metacache_ones(struct metacache *c, uint64_t offset, size_t len);

/*
 * Does a dense file begin at `offset` (volmap_dense.h)?  1, 0, or -1 if that is not known;
 * and to have it known.
 */
int metacache_head(struct metacache *c, uint64_t offset);
void metacache_head_is(struct metacache *c, uint64_t offset, int dense);

/* The map is gone; `whole`: all of it was asked for, so it may be sealed. */
void metacache_end(struct metacache *c, int whole);

/*
 * What the last run read is the volume's at point `sequence`, whose tree has this root.
 * Best effort: a crash in between costs reading.
 */
void metacache_seal(struct metacache *c, const struct chunk_id *root, uint64_t sequence);

/* Nothing of it is to be used any more. */
void metacache_drop(struct metacache *c);

/* Of the run at hand, or the last. */
struct metacache_facts {
	uint64_t read_bytes;	/* Of the volume, */
	uint64_t known_bytes;	/* and instead of that, of what the base has. */
	uint64_t written_bytes; /* To its file, so far. */
	uint64_t memory;	/* Bytes held. */
	int stale;		/* What was due was not what is kept here, */
	uint64_t stale_at;	/* at this byte. */
	int full;		/* Not all could be kept. */
};
void metacache_facts(const struct metacache *c, struct metacache_facts *out);

#endif /* AGENT_MAP_METACACHE_H */
