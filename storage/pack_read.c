#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/pack_format.h"

/* Open the sealed file or else the open one, which may become sealed meanwhile. */
static int
open_either(struct fs *fs, uint32_t no, struct fs_file **f, int *sealed, struct err *err)
{
	char name[FS_NAME_MAX];

	for (int round = 0; round < 3; round++) {
		*sealed = round != 1;
		pack_name(no, *sealed, name);
		if (fs_open(fs, name, FS_READ, f, err) == 0)
			return 0;
		if (err->code != ERR_NOTFOUND || round == 2)
			break;
		err_clear(err);
	}
	return -1;
}

int
pack_open(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    struct pack **out, struct err *err)
{
	uint8_t header[PACK_HEADER_LEN];
	struct pack *p;

	if ((p = calloc(1, sizeof(*p))) == NULL)
		return err_set(
		    err, ERR_NOMEM, "no memory to open pack %08x", (unsigned)no);
	if (open_either(fs, no, &p->file, &p->sealed, err) != 0 ||
	    fs_read_all(p->file, header, sizeof(header), 0, err) != 0)
		goto fail;
	if (pack_parse_header(header, &p->header, err) != 0) {
		(void)err_context(err, "%s", p->file->name);
		goto fail;
	}
	if (p->header.no != no ||
	    memcmp(p->header.store, store, PACK_STORE_ID_LEN) != 0) {
		(void)err_set(err, ERR_CORRUPT, "%s is another pack, or of another store",
		    p->file->name);
		goto fail;
	}
	*out = p;
	return 0;
fail:
	pack_close(p);
	return -1;
}

int
pack_open_damaged(struct fs *fs, uint32_t no, enum chunk_kind kind,
    const uint8_t store[PACK_STORE_ID_LEN], struct pack **out, struct err *err)
{
	struct pack *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(
		    err, ERR_NOMEM, "no memory to open pack %08x", (unsigned)no);
	if (open_either(fs, no, &p->file, &p->sealed, err) != 0) {
		pack_close(p);
		return -1;
	}
	p->header.no = no;
	p->header.kind = kind;
	memcpy(p->header.store, store, PACK_STORE_ID_LEN);
	*out = p;
	return 0;
}

void
pack_close(struct pack *p)
{
	if (p == NULL)
		return;
	fs_close(p->file);
	free(p);
}

uint32_t
pack_no(const struct pack *p)
{
	return p->header.no;
}

enum chunk_kind
pack_kind(const struct pack *p)
{
	return p->header.kind;
}

/* Does the group hold `id` at `place`? */
static int
check_place(
    const struct group *g, uint16_t place, const struct chunk_id *id, struct err *err)
{
	const uint8_t *e = g->bytes + GROUP_HEADER_LEN + (size_t)place * GROUP_ENTRY_LEN;
	char hex[2 * CHUNK_ID_LEN + 1];

	if (place < g->count && memcmp(e, id->b, CHUNK_ID_LEN) == 0)
		return 0;
	chunk_id_hex(id, hex);
	return err_set(
	    err, ERR_CORRUPT, "chunk %s is not at place %u of its group", hex, place);
}

static int
read_group(
    struct pack *p, uint32_t offset, struct buf *out, struct group *g, struct err *err)
{
	uint8_t *to;
	size_t len;

	buf_clear(out);
	if (offset < PACK_HEADER_LEN || offset % PACK_ALIGN != 0)
		return err_set(err, ERR_CORRUPT, "no group can start there");
	if ((to = buf_room(out, GROUP_HEADER_LEN, err)) == NULL ||
	    fs_read_all(p->file, to, GROUP_HEADER_LEN, offset, err) != 0 ||
	    group_peek(to, &len, err) != 0)
		return -1;
	if ((to = buf_room(out, len, err)) == NULL ||
	    fs_read_all(p->file, to, len, offset, err) != 0)
		return -1;
	out->len = len;
	if (group_frame(out->p, out->len, g, err) != 0)
		return -1;
	if (g->kind != p->header.kind)
		return err_set(
		    err, ERR_CORRUPT, "group is of the other kind than its pack");
	return 0;
}

/* Only a group that is whole may be called one of a later version. */
static int
check_known(const struct group *g, int check, struct err *err)
{
	struct err why = ERR_INIT;

	if (check && group_check(g, err) != 0)
		return -1;
	if (group_known(g, err) == 0)
		return 0;
	if (!check && group_check(g, &why) != 0)
		*err = why;
	return -1;
}

int
pack_read_group(struct pack *p, const struct pack_loc *loc, const struct chunk_id *id,
    int check, struct buf *out, struct group *g, struct err *err)
{
	if (read_group(p, loc->offset, out, g, err) == 0 &&
	    check_known(g, check, err) == 0 &&
	    (id == NULL || check_place(g, loc->place, id, err) == 0))
		return 0;
	return err_context(err, "%s at %u", p->file->name, (unsigned)loc->offset);
}

int
pack_copy_group(
    struct pack *p, uint32_t offset, struct buf *out, struct group *g, struct err *err)
{
	if (read_group(p, offset, out, g, err) == 0 && group_check(g, err) == 0)
		return 0;
	return err_context(err, "%s at %u", p->file->name, (unsigned)offset);
}

int
pack_each_entry(struct pack *p, int (*each)(void *arg, const struct pack_entry *e),
    void *arg, struct pack_stats *stats, struct err *err)
{
	struct pack_trailer t;
	struct pack_entry e;
	uint8_t *foot = NULL;
	int ret = 0;

	if (!p->sealed)
		return err_set(err, ERR_BUSY, "%s has no footer yet", p->file->name);
	if (pack_load_footer(p->file, &p->header, &foot, &t, err) != 0)
		return -1;
	if (stats != NULL) {
		*stats = t.stats;
		stats->data_end = t.data_end;
		stats->optional =
		    (t.of.optional & ~PACK_OPTIONAL_PARITY) | p->header.optional;
	}
	for (uint32_t i = 0; each != NULL && ret == 0 && i < t.stats.chunks; i++) {
		pack_footer_entry(foot, &t, i, &e);
		ret = each(arg, &e);
	}
	free(foot);
	return ret;
}

/* ---------------------------------------------------------------- scrub -- */

/* The footer's entries in the order they lie in the file. */
struct layout {
	struct pack_entry *e;
	uint32_t n;
};

static int
take_entry(void *arg, const struct pack_entry *e)
{
	struct layout *l = arg;

	l->e[l->n++] = *e;
	return 0;
}

static int
compare_places(const void *va, const void *vb)
{
	const struct pack_entry *a = va, *b = vb;

	if (a->loc.offset != b->loc.offset)
		return a->loc.offset < b->loc.offset ? -1 : 1;
	return (a->loc.place > b->loc.place) - (a->loc.place < b->loc.place);
}

/* Read one group and hold it against the `n` entries the footer has for it. */
static int
scrub_group(struct pack *p, const struct pack_entry *e, uint32_t n, struct buf *out,
    struct err *err)
{
	struct group g;
	struct pack_entry *is;
	int ret = 0;

	/* What the data means is not asked: that needs no codec and no key. */
	if (read_group(p, e->loc.offset, out, &g, err) != 0 || group_check(&g, err) != 0)
		return err_context(
		    err, "%s at %u", p->file->name, (unsigned)e->loc.offset);
	if (g.count != n)
		return err_set(
		    err, ERR_CORRUPT, "group has %u chunks, the footer %u", g.count, n);
	if ((is = malloc(n * sizeof(*is))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to scrub a group");
	pack_entries(p->header.no, e->loc.offset, &g, is);
	for (uint32_t i = 0; ret == 0 && i < n; i++)
		if (is[i].loc.place != e[i].loc.place || is[i].len != e[i].len ||
		    memcmp(is[i].id.b, e[i].id.b, CHUNK_ID_LEN) != 0)
			ret = err_set(
			    err, ERR_CORRUPT, "chunk %u is not what the footer says", i);
	free(is);
	return ret;
}

int
pack_scrub(struct pack *p, pack_bad bad, void *arg, struct err *err)
{
	struct buf out = BUF_INIT(GROUP_LEN_MAX);
	struct layout l = { NULL, 0 };
	struct pack_stats stats;
	uint32_t groups = 0;
	int ret = -1;

	if (pack_each_entry(p, NULL, NULL, &stats, err) != 0)
		return -1;
	if ((l.e = malloc(stats.chunks * sizeof(*l.e))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to scrub a pack");
	if (pack_each_entry(p, take_entry, &l, NULL, err) != 0)
		goto done;
	qsort(l.e, l.n, sizeof(*l.e), compare_places);
	for (uint32_t i = 0; i < l.n; i++)
		groups += i == 0 || l.e[i].loc.offset != l.e[i - 1].loc.offset;
	if (groups != stats.groups) {
		(void)err_set(err, ERR_CORRUPT, "%s: footer says %u groups and names %u",
		    p->file->name, stats.groups, groups);
		goto done;
	}

	ret = 0;
	for (uint32_t i = 0, n; ret == 0 && i < l.n; i += n) {
		struct err why = ERR_INIT;

		for (n = 1; i + n < l.n && l.e[i + n].loc.offset == l.e[i].loc.offset;
		     n++)
			;
		if (scrub_group(p, &l.e[i], n, &out, &why) == 0)
			continue;
		if (why.code == ERR_NOMEM) {
			*err = why;
			ret = -1;
		} else
			ret = bad(arg, l.e[i].loc.offset, &why);
	}
done:
	buf_free(&out);
	free(l.e);
	return ret;
}

/* ----------------------------------------------------------------- files -- */

struct lister {
	int (*each)(void *arg, uint32_t no, int sealed);
	void *arg;
};

static int
list_one(void *arg, const char *name)
{
	const struct lister *l = arg;
	uint32_t no = 0;
	int i;

	for (i = 0; i < 8; i++) {
		const char *digits = "0123456789abcdef", *d;

		if (name[i] == '\0' || (d = strchr(digits, name[i])) == NULL)
			return 0;
		no = no << 4 | (uint32_t)(d - digits);
	}
	if (no == 0)
		return 0;
	if (strcmp(name + 8, ".pack") == 0)
		return l->each(l->arg, no, 1);
	if (strcmp(name + 8, ".open") == 0)
		return l->each(l->arg, no, 0);
	return 0;
}

int
pack_list(struct fs *fs, int (*each)(void *arg, uint32_t no, int sealed), void *arg,
    struct err *err)
{
	struct lister l = { each, arg };

	return fs_list(fs, PACK_DIR, list_one, &l, err);
}

int
pack_remove(struct fs *fs, uint32_t no, struct err *err)
{
	char name[FS_NAME_MAX];

	pack_name(no, 1, name);
	if (fs_unlink(fs, name, err) != 0) {
		if (err->code != ERR_NOTFOUND)
			return -1;
		err_clear(err);
	}
	return fs_sync_dir(fs, PACK_DIR, err);
}
