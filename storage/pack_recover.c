#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/pack_format.h"

/* A walk over the groups of an .open file. */
struct walk {
	struct fs_file *file;
	uint64_t file_len;
	const struct pack_header *header;
	struct buf bytes;
	struct pack_toc toc;
	uint64_t end;	  /* Where the last whole group ends. */
	uint32_t damaged; /* Broken groups before it. */
};

/*
 * The group at `at`: 1 if whole, 0 if its header gives a length but its bytes
 * do not hold, -2 if there is no telling how to go on, -1 with err.
 */
static int
look(struct walk *w, uint64_t at, struct group *g, size_t *len, struct err *err)
{
	struct err why = ERR_INIT;
	uint8_t *to;

	if (w->file_len - at < GROUP_HEADER_LEN)
		return -2;
	buf_clear(&w->bytes);
	if ((to = buf_room(&w->bytes, GROUP_HEADER_LEN, err)) == NULL ||
	    fs_read_all(w->file, to, GROUP_HEADER_LEN, at, err) != 0)
		return -1;
	if (group_peek(to, len, &why) != 0 || *len > w->file_len - at)
		return -2;
	if ((to = buf_room(&w->bytes, *len, err)) == NULL ||
	    fs_read_all(w->file, to, *len, at, err) != 0)
		return -1;
	w->bytes.len = *len;
	return group_parse(w->bytes.p, *len, g, &why) == 0 &&
	       g->kind == w->header->kind && group_check(g, &why) == 0;
}

/*
 * Find all whole groups.  A torn tail is what a power cut leaves.  A broken
 * group with whole ones behind it is damage of another kind: what follows was
 * perhaps acknowledged, so the walk goes on by the broken group's length.  It
 * never looks for a magic among the bytes: an agent chose those.
 */
static int
walk_groups(struct walk *w, struct err *err)
{
	uint64_t at = PACK_HEADER_LEN;
	uint32_t suspects = 0;
	struct group g;
	size_t len = 0;
	int is;

	w->end = at;
	while (at < w->file_len) {
		if ((is = look(w, at, &g, &len, err)) == -1)
			return -1;
		if (is == -2)
			break;
		if (is == 0)
			suspects++;
		else {
			if (w->toc.count > PACK_CHUNKS_MAX - g.count ||
			    at + len > PACK_TARGET_LEN + GROUP_LEN_MAX)
				return err_set(err, ERR_CORRUPT,
				    "%s holds more than a pack may", w->file->name);
			if (pack_toc_add(&w->toc, w->header->no, (uint32_t)at, &g, err) !=
			    0)
				return -1;
			w->end = at + len;
			w->damaged += suspects;
			suspects = 0;
		}
		at = pack_align(at + len);
	}
	return 0;
}

static int
remove_empty(struct fs *fs, uint32_t no, struct err *err)
{
	char name[FS_NAME_MAX];

	pack_name(no, 0, name);
	if (fs_unlink(fs, name, err) != 0)
		return -1;
	return fs_sync_dir(fs, PACK_DIR, err);
}

/* The crash came after the footer was written: only the name is missing. */
static int
is_finished(struct fs_file *f, const struct pack_header *h, struct pack_recovery *out,
    struct err *err)
{
	struct err why = ERR_INIT;
	struct pack_trailer t;
	uint8_t *foot = NULL;

	if (pack_load_footer(f, h, &foot, &t, &why) != 0) {
		if (why.code == ERR_CORRUPT || why.code == ERR_UNSUPPORTED)
			return 0;
		*err = why;
		return -1;
	}
	free(foot);
	out->groups = t.stats.groups;
	return 1;
}

static int
recover_file(struct fs *fs, struct fs_file *f, const struct pack_header *h, uint64_t len,
    struct pack_recovery *out, struct err *err)
{
	struct walk w = { .file = f, .file_len = len, .header = h };
	int ret = -1;

	switch (is_finished(f, h, out, err)) {
	case -1:
		return -1;
	case 1:
		/* Read whole does not mean durable: it may be in memory only. */
		return fs_sync(f, err) != 0 ? -1 : pack_publish(fs, h->no, err);
	}
	w.bytes.max = GROUP_LEN_MAX;
	if (walk_groups(&w, err) != 0)
		goto done;
	out->groups = w.toc.groups;
	out->damaged = w.damaged;
	out->cut = len > w.end ? len - w.end : 0;
	if (w.toc.count == 0)
		ret = remove_empty(fs, h->no, err);
	else
		ret = pack_finish(fs, f, h, (uint32_t)pack_align(w.end), &w.toc, err);
done:
	buf_free(&w.bytes);
	pack_toc_free(&w.toc);
	return ret;
}

int
pack_recover(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    struct pack_recovery *out, struct err *err)
{
	struct err why = ERR_INIT;
	uint8_t header[PACK_HEADER_LEN];
	struct pack_header h;
	struct fs_file *f = NULL;
	char name[FS_NAME_MAX];
	uint64_t len;
	size_t got;
	int ret = -1;

	memset(out, 0, sizeof(*out));
	pack_name(no, 1, name);
	if (fs_open(fs, name, FS_READ, &f, &why) == 0) {
		fs_close(f);
		return err_set(
		    err, ERR_EXISTS, "pack %08x is both open and sealed", (unsigned)no);
	}
	pack_name(no, 0, name);
	if (fs_open(fs, name, FS_WRITE, &f, err) != 0)
		return -1;
	if (fs_size(f, &len, err) != 0 ||
	    fs_pread(f, header, sizeof(header), 0, &got, err) != 0)
		goto done;
	err_clear(&why);
	if (got < sizeof(header) || pack_parse_header(header, &h, &why) != 0) {
		/* The header is durable before a group is appended. */
		out->cut = len;
		if (len <= PACK_HEADER_LEN && why.code != ERR_UNSUPPORTED)
			ret = remove_empty(fs, no, err);
		else
			ret = err_set(err, why.code, "%s: %s", name, why.text);
		goto done;
	}
	if (h.no != no || memcmp(h.store, store, PACK_STORE_ID_LEN) != 0) {
		(void)err_set(
		    err, ERR_CORRUPT, "%s is another pack, or of another store", name);
		goto done;
	}
	out->kind = h.kind;
	ret = recover_file(fs, f, &h, len, out, err);
done:
	fs_close(f);
	return ret;
}
