#include "storage/pack_format.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/pack_parity.h"

void
pack_name(uint32_t no, int sealed, char out[FS_NAME_MAX])
{
	(void)snprintf(out, FS_NAME_MAX, PACK_DIR "/%08x.%s", (unsigned)no,
	    sealed ? "pack" : "open");
}

void
pack_entries(
    uint32_t pack, uint32_t offset, const struct group *g, struct pack_entry *out)
{
	const uint8_t *p = g->bytes + GROUP_HEADER_LEN;

	/* group_entry() sums lengths on each call; here ids and lengths are enough. */
	for (uint32_t i = 0; i < g->count; i++, p += GROUP_ENTRY_LEN) {
		memcpy(out[i].id.b, p, CHUNK_ID_LEN);
		out[i].loc.pack = pack;
		out[i].loc.offset = offset;
		out[i].loc.place = (uint16_t)i;
		out[i].len = load_le32(p + CHUNK_ID_LEN);
		out[i].kind = g->kind;
	}
}

/* ---------------------------------------------------------------- chunks -- */

int
pack_toc_add(struct pack_toc *toc, uint32_t no, uint32_t offset, const struct group *g,
    struct err *err)
{
	if (toc->count + g->count > toc->cap) {
		uint32_t cap = toc->cap != 0 ? 2 * toc->cap : 1024;
		struct pack_entry *p;

		while (cap < toc->count + g->count)
			cap *= 2;
		if ((p = realloc(toc->entries, cap * sizeof(*p))) == NULL)
			return err_set(
			    err, ERR_NOMEM, "no memory for %u chunks of a pack", cap);
		toc->entries = p;
		toc->cap = cap;
	}
	pack_entries(no, offset, g, toc->entries + toc->count);
	toc->count += g->count;
	toc->groups++;
	toc->plain += g->plain_len;
	toc->stored += g->len;
	return 0;
}

void
pack_toc_free(struct pack_toc *toc)
{
	free(toc->entries);
	memset(toc, 0, sizeof(*toc));
}

/* --------------------------------------------------------------- footer -- */

int
pack_load_footer(struct fs_file *f, const struct pack_header *h, uint8_t **p,
    struct pack_trailer *t, struct err *err)
{
	uint8_t trailer[PACK_TRAILER_LEN], *all = NULL;
	uint64_t len;
	size_t n;

	if (fs_size(f, &len, err) != 0)
		return -1;
	if (len < PACK_HEADER_LEN + PACK_TRAILER_LEN)
		return err_set(err, ERR_CORRUPT, "%s is too short for a footer", f->name);
	if (fs_read_all(f, trailer, sizeof(trailer), len - sizeof(trailer), err) != 0)
		return -1;
	if (pack_parse_trailer(trailer, len, t, err) != 0)
		return err_context(err, "%s", f->name);
	if (t->of.no != h->no || t->of.kind != h->kind ||
	    memcmp(t->of.store, h->store, PACK_STORE_ID_LEN) != 0)
		return err_set(err, ERR_CORRUPT,
		    "%s: footer and header are of different packs", f->name);
	n = (size_t)(len - pack_entries_at(t));
	if ((all = malloc(n)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the footer of %s", f->name);
	if (fs_read_all(f, all, n, len - n, err) != 0) {
		free(all);
		return -1;
	}
	if (pack_parse_footer(all, n, len, t, err) != 0) {
		free(all);
		return err_context(err, "%s", f->name);
	}
	*p = all;
	return 0;
}

/* --------------------------------------------------------------- sealing -- */

/* 0: written, and the footer is `*foot`; -1: there is no parity, for whatever reason. */
static int
write_parity(struct fs_file *f, const struct pack_header *own, uint32_t data_end,
    struct pack_toc *toc, uint32_t percent, uint8_t **foot, size_t *len)
{
	struct parity_head h = { .no = own->no, .data_end = data_end };
	struct pack_header with = *own;
	struct err ignored = ERR_INIT;

	h.foot_len = toc->count * PACK_FOOTER_ENTRY_LEN + PACK_TRAILER_LEN;
	memcpy(h.store, own->store, PACK_STORE_ID_LEN);
	if (percent == 0 || pack_parity_plan(&h, percent) != 0)
		return -1;
	with.optional = PACK_OPTIONAL_PARITY;
	if ((*foot = pack_format_footer(&with, data_end, h.len, toc, len)) == NULL)
		return -1;
	if (pack_parity_write(f, &h, *foot, &ignored) == 0 &&
	    fs_pwrite(f, *foot, *len, (uint64_t)data_end + h.len, &ignored) == 0)
		return 0;
	free(*foot);
	return -1;
}

int
pack_write_footer(struct fs_file *f, const struct pack_header *h, uint32_t data_end,
    struct pack_toc *toc, uint32_t parity, struct err *err)
{
	struct pack_header own = *h;
	uint8_t *foot;
	size_t len;
	int bad;

	assert(toc->count > 0);
	/* What a later program began has in its trailer only what we know. */
	own.optional = 0;
	/* Also where the last groups end: parity covers the padding behind them. */
	if (fs_truncate(f, data_end, err) != 0)
		return -1;
	if (write_parity(f, &own, data_end, toc, parity, &foot, &len) == 0) {
		free(foot);
		return 0;
	}
	/* A full disk, say: better sealed without than not sealed. */
	if ((foot = pack_format_footer(&own, data_end, 0, toc, &len)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for the footer of %s", f->name);
	bad = (parity > 0 && fs_truncate(f, data_end, err) != 0) ||
	      fs_pwrite(f, foot, len, data_end, err) != 0;
	free(foot);
	return bad ? -1 : 0;
}

int
pack_publish(struct fs *fs, struct fs_file *f, uint32_t no, struct err *err)
{
	char from[FS_NAME_MAX], to[FS_NAME_MAX];

	pack_name(no, 0, from);
	pack_name(no, 1, to);
	/* The name says that all of it is there. */
	if (fs_sync(f, err) != 0 || fs_rename(fs, from, to, err) != 0)
		return -1;
	return fs_sync_dir(fs, PACK_DIR, err);
}
