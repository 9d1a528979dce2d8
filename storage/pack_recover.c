#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/pack_format.h"
#include "storage/pack_parity.h"

/* A walk over the groups of a file. */
struct walk {
	struct fs_file *file;
	uint64_t file_len;
	const struct pack_header *header;
	const struct pack_judge *judge;
	struct buf bytes;
};

enum seen {
	SEEN_WHOLE,
	SEEN_BROKEN, /* Its header gives a length, but the bytes do not hold. */
	SEEN_LATER,  /* Whole, and made by a program that knows more; err says what. */
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
	if (group_frame(w->bytes.p, *len, g, &why) != 0 || g->kind != w->header->kind ||
	    group_check(g, &why) != 0)
		return SEEN_BROKEN;
	if (group_known(g, err) == 0)
		return SEEN_WHOLE;
	(void)err_context(err, "group at %u", (unsigned)at);
	return SEEN_LATER;
}

static int
is_proven(const struct walk *w, const struct group *g)
{
	return w->judge == NULL || w->judge->proven == NULL ||
	       w->judge->proven(w->judge->arg, g);
}

/*
 * A torn tail is what a power cut leaves.  A broken group with whole ones behind
 * it is damage of another kind: what follows was perhaps acknowledged, so the
 * walk goes on by the broken group's length.  It never looks for a magic among
 * the bytes: an agent chose those.
 *
 * A broken group's length may itself have rotted and have led into bytes that an
 * agent chose.  So from there on a group counts only if its chunks are what their
 * names say, which no agent can lie about.
 *
 * A group of a later program is no torn tail and not ours to judge: the walk
 * fails.  Not so behind a broken one: an agent must not be able to keep a store from
 * opening.
 */
int
pack_walk_file(struct fs_file *f, const struct pack_header *h,
    const struct pack_judge *judge, struct pack_toc *toc, struct pack_recovery *out,
    uint64_t *end, struct err *err)
{
	struct walk w = { f, 0, h, judge, BUF_INIT(GROUP_LEN_MAX) };
	uint64_t at = PACK_HEADER_LEN;
	uint32_t suspects = 0;
	int doubt = 0;
	enum seen seen = SEEN_WHOLE;
	struct group g;
	size_t len = 0;

	*end = at;
	if (fs_size(f, &w.file_len, err) != 0)
		return -1;
	while (at < w.file_len && (seen = look(&w, at, &g, &len, err)) < SEEN_END) {
		if (seen == SEEN_WHOLE && doubt && !is_proven(&w, &g))
			seen = SEEN_BROKEN;
		if (seen == SEEN_LATER && !doubt) {
			seen = SEEN_FAILED;
			break;
		} else if (seen == SEEN_BROKEN || seen == SEEN_LATER) {
			suspects++;
			doubt = 1;
			if (seen == SEEN_LATER)
				err_clear(err);
		} else if (toc->count > PACK_CHUNKS_MAX - g.count ||
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

/* ------------------------------------------------------------------- damage -- */

/* Bytes of a tail that are searched at a time. */
#define SEARCH_LEN (64u * 1024)

/* Bytes of what looks like groups and is none, until it is damage anyway. */
#define SEARCH_MAX (256u * 1024 * 1024)

/*
 * Is there a whole group anywhere behind `from`?  1, 0, -1.  Only asked whether
 * what is cut is more than a torn end: what is found this way is never believed,
 * since an agent may have put a group into the data of another.
 */
static int
search(struct fs_file *f, const struct pack_header *h, uint64_t from, struct err *err)
{
	struct walk w = { f, 0, h, NULL, BUF_INIT(GROUP_LEN_MAX) };
	uint8_t *piece = malloc(SEARCH_LEN);
	size_t looked = 0;
	int found = 0;

	if (piece == NULL)
		return err_set(err, ERR_NOMEM, "no memory to search a pack");
	if (fs_size(f, &w.file_len, err) != 0)
		found = -1;
	for (uint64_t at = pack_align(from); found == 0 && at < w.file_len;
	     at += SEARCH_LEN) {
		struct group g;
		size_t got, len;

		if (fs_pread(f, piece, SEARCH_LEN, at, &got, err) != 0)
			found = -1;
		for (size_t i = 0; found == 0 && i + 4 <= got; i += PACK_ALIGN) {
			if (memcmp(piece + i, "HFG", 3) != 0)
				continue;
			switch (look(&w, at + i, &g, &len, err)) {
			case SEEN_LATER:
				err_clear(err);
				found = 1;
				break;
			case SEEN_WHOLE:
				found = 1;
				break;
			case SEEN_FAILED:
				found = -1;
				break;
			case SEEN_BROKEN:
				/* An agent may have made thousands of these. */
				looked += len;
				found = looked > SEARCH_MAX;
				break;
			case SEEN_END:
				break;
			}
		}
	}
	free(piece);
	buf_free(&w.bytes);
	return found;
}

/* A name for what is set aside of pack `no`, which no other file has. */
static int
name_aside(struct fs *fs, uint32_t no, char out[FS_NAME_MAX], struct err *err)
{
	struct err why = ERR_INIT;
	struct fs_file *f;

	for (unsigned n = 0; n < 100; n++) {
		int len =
		    snprintf(out, FS_NAME_MAX, PACK_DIR "/%08x.damaged", (unsigned)no);

		if (n > 0)
			(void)snprintf(
			    out + len, FS_NAME_MAX - (size_t)len, ".%u", n % 100);
		if (fs_open(fs, out, FS_READ, &f, &why) != 0) {
			if (why.code == ERR_NOTFOUND)
				return 0;
			*err = why;
			return -1;
		}
		fs_close(f);
	}
	return err_set(
	    err, ERR_EXISTS, "pack %08x was set aside 100 times", (unsigned)no);
}

/* Keep a copy of all behind `from`, durably. */
static int
copy_aside(struct fs *fs, struct fs_file *f, uint32_t no, uint64_t from, struct err *err)
{
	uint8_t *piece = malloc(SEARCH_LEN);
	char name[FS_NAME_MAX];
	struct fs_file *to = NULL;
	uint64_t at = from;
	size_t got = SEARCH_LEN;
	int ret = -1;

	if (piece == NULL)
		return err_set(err, ERR_NOMEM, "no memory to copy a pack");
	if (name_aside(fs, no, name, err) != 0 ||
	    fs_open(fs, name, FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &to, err) != 0)
		goto done;
	for (; got == SEARCH_LEN; at += got)
		if (fs_pread(f, piece, SEARCH_LEN, at, &got, err) != 0 ||
		    (got > 0 && fs_pwrite(to, piece, got, at - from, err) != 0))
			goto done;
	if (fs_sync(to, err) == 0 && fs_sync_dir(fs, PACK_DIR, err) == 0)
		ret = 0;
done:
	fs_close(to);
	free(piece);
	return ret;
}

/* Set a whole file aside, as it is. */
static int
move_aside(struct fs *fs, uint32_t no, int sealed, struct err *err)
{
	char from[FS_NAME_MAX], to[FS_NAME_MAX];

	pack_name(no, sealed, from);
	if (name_aside(fs, no, to, err) != 0 || fs_rename(fs, from, to, err) != 0)
		return -1;
	return fs_sync_dir(fs, PACK_DIR, err);
}

static int
tell(const struct pack_judge *j, struct err *err)
{
	return j != NULL && j->losing != NULL ? j->losing(j->arg, err) : 0;
}

/* What is behind `end` goes: is it all that a torn write leaves? */
static int
keep_damage(struct fs *fs, struct fs_file *f, const struct pack_header *h, uint64_t end,
    const struct pack_judge *l, struct pack_recovery *out, struct err *err)
{
	int holds = out->cut > 0 ? search(f, h, end, err) : 0;

	if (holds < 0)
		return -1;
	/* What was acknowledged was not torn. */
	if (l != NULL && l->durable > end)
		holds = 1;
	out->damaged += (uint32_t)holds;
	/* Once this is sealed nobody can see any more that there was damage. */
	if (out->damaged > 0 && tell(l, err) != 0)
		return -1;
	if (holds == 0 || out->cut == 0)
		return 0;
	out->aside = out->cut;
	return copy_aside(fs, f, h->no, end, err);
}

int
pack_set_aside(struct fs *fs, uint32_t no, struct err *err)
{
	return move_aside(fs, no, 1, err);
}

/* ----------------------------------------------------------------- recovery -- */

int
pack_walk(struct pack *p, const struct pack_judge *judge,
    int (*each)(void *arg, const struct pack_entry *e), void *arg,
    struct pack_recovery *out, struct err *err)
{
	struct pack_toc toc = { .entries = NULL };
	uint64_t end;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = pack_walk_file(p->file, &p->header, judge, &toc, out, &end, err);
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

/*
 * Did the crash come after the footer was written, so that only the name is missing?
 * The footer must be what was found by walking: `toc`, up to `end`.
 */
static int
is_finished(struct fs_file *f, const struct pack_header *h, struct pack_toc *toc,
    uint64_t end, struct pack_recovery *out, struct err *err)
{
	struct err why = ERR_INIT;
	struct pack_trailer t;
	uint8_t *foot = NULL, *ours;
	size_t len;
	int same;

	if (pack_load_footer(f, h, &foot, &t, &why) != 0) {
		if (why.code == ERR_CORRUPT)
			return 0;
		*err = why;
		return -1;
	}
	ours = pack_format_footer(h, t.data_end, t.parity_len, toc, &len);
	if (ours == NULL) {
		free(foot);
		return err_set(err, ERR_NOMEM, "no memory for a footer");
	}
	same = t.stats.chunks == toc->count && t.data_end == pack_align(end) &&
	       memcmp(ours, foot, (size_t)toc->count * PACK_FOOTER_ENTRY_LEN) == 0;
	/* A footer that names more is of groups that are lost, or no footer. */
	out->damaged += !same;
	/* Its parity may not have come as far as the footer: then it is made again. */
	if (same && (t.of.optional & PACK_OPTIONAL_PARITY) != 0 &&
	    pack_parity_check(f, h, t.data_end, t.parity_len, &why) < 0) {
		same = why.code == ERR_CORRUPT ? 0 : -1;
		if (same < 0)
			*err = why;
	}
	free(ours);
	free(foot);
	return same;
}

/*
 * What is kept may have been given up by the last process, after a sync that failed:
 * it is written again, so that it is durable before it is sealed.
 */
static int
recover_file(struct fs *fs, struct fs_file *f, const struct pack_header *h, uint64_t len,
    const struct pack_judge *l, struct pack_recovery *out, struct err *err)
{
	struct pack_toc toc = { .entries = NULL };
	uint64_t end;
	int ret = -1, finished;

	if (pack_walk_file(f, h, l, &toc, out, &end, err) != 0 ||
	    (finished = is_finished(f, h, &toc, end, out, err)) < 0)
		goto done;
	if (finished) {
		if (fs_rewrite(f, 0, len, err) == 0)
			ret = pack_publish(fs, f, h->no, err);
		goto done;
	}
	out->cut = len > end ? len - end : 0;
	if (keep_damage(fs, f, h, end, l, out, err) != 0)
		goto done;
	if (toc.count == 0)
		ret = remove_empty(fs, h->no, err);
	else if (fs_rewrite(f, 0, end, err) == 0 &&
		 pack_write_footer(f, h, (uint32_t)pack_align(end), &toc,
		     l != NULL ? l->parity : 0, err) == 0)
		ret = pack_publish(fs, f, h->no, err);
done:
	pack_toc_free(&toc);
	return ret;
}

int
pack_recover(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    const struct pack_judge *judge, struct pack_recovery *out, struct err *err)
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
		if (why.code == ERR_UNSUPPORTED) {
			ret = err_set(err, why.code, "%s: %s", name, why.text);
		} else if (len <= PACK_HEADER_LEN &&
			   (judge == NULL || judge->durable <= len)) {
			ret = remove_empty(fs, no, err);
		} else if (tell(judge, err) == 0 &&
			   (ret = move_aside(fs, no, 0, err)) == 0) {
			out->aside = len;
			out->damaged = 1;
		}
		goto done;
	}
	if (h.no != no || memcmp(h.store, store, PACK_STORE_ID_LEN) != 0) {
		(void)err_set(
		    err, ERR_CORRUPT, "%s is another pack, or of another store", name);
		goto done;
	}
	out->kind = h.kind;
	ret = recover_file(fs, f, &h, len, judge, out, err);
done:
	fs_close(f);
	return ret;
}
