#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/pack_format.h"

/* A walk over the groups of a file. */
struct walk {
	struct fs_file *file;
	uint64_t file_len;
	const struct pack_header *header;
	struct buf bytes;
};

enum seen {
	SEEN_WHOLE,
	SEEN_BROKEN, /* Its header gives a length, but the bytes do not hold. */
	SEEN_END,    /* There is no telling how to go on. */
	SEEN_FAILED  /* err is set. */
};

/* Look at the group at `at`. */
static enum seen
look(struct walk *w, uint64_t at, struct group *g, size_t *len, struct err *err)
{
	struct err why = ERR_INIT;
	uint8_t *to;

	if (w->file_len - at < GROUP_HEADER_LEN)
		return SEEN_END;
	buf_clear(&w->bytes);
	if ((to = buf_room(&w->bytes, GROUP_HEADER_LEN, err)) == NULL ||
	    fs_read_all(w->file, to, GROUP_HEADER_LEN, at, err) != 0)
		return SEEN_FAILED;
	if (group_peek(to, len, &why) != 0 || *len > w->file_len - at)
		return SEEN_END;
	if ((to = buf_room(&w->bytes, *len, err)) == NULL ||
	    fs_read_all(w->file, to, *len, at, err) != 0)
		return SEEN_FAILED;
	w->bytes.len = *len;
	if (group_parse(w->bytes.p, *len, g, &why) == 0 && g->kind == w->header->kind &&
	    group_check(g, &why) == 0)
		return SEEN_WHOLE;
	return SEEN_BROKEN;
}

/*
 * A torn tail is what a power cut leaves.  A broken group with whole ones behind
 * it is damage of another kind: what follows was perhaps acknowledged, so the
 * walk goes on by the broken group's length.  It never looks for a magic among
 * the bytes: an agent chose those.
 */
int
pack_walk_file(struct fs_file *f, const struct pack_header *h, struct pack_toc *toc,
    struct pack_recovery *out, uint64_t *end, struct err *err)
{
	struct walk w = { f, 0, h, BUF_INIT(GROUP_LEN_MAX) };
	uint64_t at = PACK_HEADER_LEN;
	uint32_t suspects = 0;
	enum seen seen = SEEN_WHOLE;
	struct group g;
	size_t len = 0;

	*end = at;
	if (fs_size(f, &w.file_len, err) != 0)
		return -1;
	while (at < w.file_len && (seen = look(&w, at, &g, &len, err)) < SEEN_END) {
		if (seen == SEEN_BROKEN)
			suspects++;
		else if (toc->count > PACK_CHUNKS_MAX - g.count ||
			 at + len > PACK_TARGET_LEN + GROUP_LEN_MAX) {
			(void)err_set(
			    err, ERR_CORRUPT, "%s holds more than a pack may", f->name);
			seen = SEEN_FAILED;
			break;
		} else if (pack_toc_add(toc, h->no, (uint32_t)at, &g, err) != 0) {
			seen = SEEN_FAILED;
			break;
		} else {
			*end = at + len;
			out->damaged += suspects;
			suspects = 0;
		}
		at = pack_align(at + len);
	}
	buf_free(&w.bytes);
	out->groups = toc->groups;
	out->kind = h->kind;
	return seen == SEEN_FAILED ? -1 : 0;
}

int
pack_walk(struct pack *p, int (*each)(void *arg, const struct pack_entry *e), void *arg,
    struct pack_recovery *out, struct err *err)
{
	struct pack_toc toc = { .entries = NULL };
	uint64_t end;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = pack_walk_file(p->file, &p->header, &toc, out, &end, err);
	for (uint32_t i = 0; ret == 0 && i < toc.count; i++)
		ret = each(arg, &toc.entries[i]);
	pack_toc_free(&toc);
	return ret;
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
		if (why.code == ERR_CORRUPT)
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
	struct pack_toc toc = { .entries = NULL };
	uint64_t end;
	int ret = -1;

	switch (is_finished(f, h, out, err)) {
	case -1:
		return -1;
	case 1:
		return pack_publish(fs, f, h->no, err);
	}
	if (pack_walk_file(f, h, &toc, out, &end, err) != 0)
		goto done;
	out->cut = len > end ? len - end : 0;
	if (toc.count == 0)
		ret = remove_empty(fs, h->no, err);
	else if (pack_write_footer(f, h, (uint32_t)pack_align(end), &toc, err) == 0)
		ret = pack_publish(fs, f, h->no, err);
done:
	pack_toc_free(&toc);
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
