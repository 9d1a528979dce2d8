#include "server/cli/cli_pull.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/wire/frame.h"
#include "server/cli/cli.h"
#include "storage/fs.h"
#include "storage/pack.h"

struct pull {
	struct store_copy_source src;
	struct fs fs;
	struct cli *c;
	struct fs *to; /* The copy. */

	/* What the last CopyOpen said. */
	struct store_copy_moment m;
	struct journal_image journal;
	uint8_t format[STORE_COPY_FORMAT_MAX];
	size_t format_len;
	int complete; /* All of it came. */
	int fresh;    /* Nobody has taken `m` yet. */

	uint64_t past;	       /* Bytes of the journal in the copy. */
	struct fs_file *known; /* The copy's, while a new one is made of it. */
	struct pack_set asked; /* Packs that were not there once. */

	/* The CopyRead under way: the piece in hand, and what is to follow. */
	uint64_t request, at, size;
	uint32_t no;
	int more;
	Wire__CopyBytes *piece;
	size_t used;
};

struct pulled_file {
	struct fs_file file;
	uint32_t no;
	uint64_t size;
};

static struct pull *
pull_of(struct fs *fs)
{
	return (struct pull *)((char *)fs - offsetof(struct pull, fs));
}

/* ------------------------------------------------------------- what there is -- */

static int
add_packs(struct pull *p, const ProtobufCBinaryData *b, struct err *err)
{
	if (b->len % 4 != 0)
		return err_set(err, ERR_PROTOCOL, "a list of packs cut inside a number");
	for (size_t i = 0; i < b->len; i += 4) {
		uint32_t no = load_le32(b->data + i);

		if (no <= p->m.highest)
			return err_set(err, ERR_PROTOCOL, "packs out of order");
		p->m.highest = no;
		if (pack_set_add(&p->m.alive, no, err) != 0)
			return -1;
	}
	return 0;
}

struct planning {
	struct pull *p;
	struct err *err;
};

static int
take_plan(void *arg, const ProtobufCMessage *m)
{
	const Wire__CopyPlan *a = (const Wire__CopyPlan *)m;
	struct planning *t = arg;
	struct pull *p = t->p;

	if (add_packs(p, &a->packs, t->err) != 0)
		return -1;
	if (a->store.len != sizeof(p->src.store) || a->journal_hash.len == 0 ||
	    a->journal_head.len == 0)
		return 0;
	memcpy(p->src.store, a->store.data, sizeof(p->src.store));
	memcpy(p->format, a->format.data, a->format.len);
	p->format_len = a->format.len;
	p->journal.len = a->journal_len;
	memcpy(p->journal.hash, a->journal_hash.data, sizeof(p->journal.hash));
	memcpy(p->journal.head, a->journal_head.data, sizeof(p->journal.head));
	if (a->past_hash.len != 0 && p->past <= a->journal_len) {
		p->journal.past_len = p->past;
		memcpy(p->journal.past, a->past_hash.data, sizeof(p->journal.past));
	}
	p->m.sequence = a->sequence;
	p->m.time_us = a->time_us;
	p->complete = 1;
	return 0;
}

/* Have the server hold what a copy of now needs, and say what that is. */
static int
ask_plan(struct pull *p, struct err *err)
{
	Wire__CopyOpen m = WIRE__COPY_OPEN__INIT;
	struct planning t = { p, err };

	store_copy_moment_clear(&p->m);
	memset(&p->journal, 0, sizeof(p->journal));
	p->complete = 0;
	m.past = p->past;
	if (cli_each(p->c, &m.base, MSG_COPY_PLAN, take_plan, &t, err) != 0 ||
	    err->code != ERR_NONE)
		return -1;
	if (!p->complete)
		return err_set(err, ERR_PROTOCOL, "the server did not say what to copy");
	p->fresh = 1;
	return 0;
}

/* ------------------------------------------------------------------- its bytes -- */

static void
drop_piece(struct pull *p)
{
	if (p->piece != NULL)
		msg_free(&p->piece->base);
	p->piece = NULL;
	p->used = 0;
}

/* Wait for the next piece. */
static int
next_piece(struct pull *p, struct err *err)
{
	struct channel_frame f = { 0 };
	ProtobufCMessage *m;

	drop_piece(p);
	if (!p->more)
		return err_set(err, ERR_PROTOCOL, "the server sent less than there is");
	p->more = 0;
	if (channel_wait(p->c->ch, p->request, 0, &f, err) != 0) {
		free(f.payload);
		return -1;
	}
	if (f.kind != MSG_COPY_BYTES) {
		free(f.payload);
		return err_set(
		    err, ERR_PROTOCOL, "the server answered with %s", msg_name(f.kind));
	}
	p->more = (f.flags & FRAME_MORE) != 0;
	if (cli_unpack(&f, &m, err) != 0)
		return -1;
	p->piece = (Wire__CopyBytes *)m;
	return 0;
}

/* Begin to read file `no` at `at`, to its end; waits until something comes. */
static int
ask_bytes(struct pull *p, uint32_t no, uint64_t at, struct err *err)
{
	Wire__CopyRead m = WIRE__COPY_READ__INIT;

	if (p->more)
		return err_set(err, ERR_BUSY, "another file is being read");
	m.pack = no;
	m.offset = at;
	m.length = UINT64_MAX;
	p->no = no;
	p->at = at;
	p->more = 1;
	if (channel_send(p->c->ch, &m.base, &p->request, err) != 0 ||
	    next_piece(p, err) != 0) {
		p->more = 0;
		return -1;
	}
	p->size = p->piece->size;
	return 0;
}

/* Exactly `len` bytes, which follow those read last. */
static int
take_bytes(struct pull *p, uint8_t *to, size_t len, struct err *err)
{
	while (len > 0) {
		size_t n = p->piece != NULL ? p->piece->data.len - p->used : 0;

		if (n == 0) {
			if (next_piece(p, err) != 0)
				return -1;
			if (p->piece->size != p->size || p->piece->data.len == 0)
				return err_set(err, ERR_PROTOCOL,
				    "a file changed while it was read");
			continue;
		}
		n = n < len ? n : len;
		memcpy(to, p->piece->data.data + p->used, n);
		p->used += n;
		p->at += n;
		to += n;
		len -= n;
	}
	return 0;
}

/* ------------------------------------------------------------- packs, as files -- */

static int
pulled_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	struct pull *p = pull_of(fs);
	struct pulled_file *f;
	unsigned no;
	int end = 0;

	if (flags != FS_READ || sscanf(name, PACK_DIR "/%8x.pack%n", &no, &end) != 1 ||
	    end == 0)
		return err_set(err, ERR_DENIED, "%.60s is not to be read here", name);
	if ((f = calloc(1, sizeof(*f))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a file");
	if (ask_bytes(p, (uint32_t)no, 0, err) != 0) {
		free(f);
		return -1;
	}
	f->no = (uint32_t)no;
	f->size = p->size;
	*out = &f->file;
	return 0;
}

static void
pulled_close(struct fs_file *f)
{
	free(f);
}

static int
pulled_size(struct fs_file *f, uint64_t *len, struct err *err)
{
	(void)err;
	*len = ((struct pulled_file *)f)->size;
	return 0;
}

static int
pulled_pread(struct fs_file *file, void *to, size_t len, uint64_t offset, size_t *got,
    struct err *err)
{
	struct pulled_file *f = (struct pulled_file *)file;
	struct pull *p = pull_of(file->fs);

	if (f->no != p->no || offset != p->at)
		return err_set(err, ERR_UNSUPPORTED, "%s is read in order", file->name);
	*got = len < f->size - offset ? len : (size_t)(f->size - offset);
	return take_bytes(p, to, *got, err);
}

static int
pulled_list(struct fs *fs, const char *dir, fs_each each, void *arg, struct err *err)
{
	const struct store_copy_moment *m = &pull_of(fs)->m;
	char name[FS_NAME_MAX];
	int ret = 0;

	if (strcmp(dir, PACK_DIR) != 0)
		return err_set(err, ERR_DENIED, "%.60s is not to be listed here", dir);
	for (uint32_t no = 1; ret == 0 && no <= m->highest && no != 0; no++) {
		if (!pack_set_has(&m->alive, no))
			continue;
		(void)snprintf(name, sizeof(name), "%08x.pack", (unsigned)no);
		ret = each(arg, name);
	}
	return ret;
}

static const struct fs_ops pulled_fs = { .open = pulled_open,
	.close = pulled_close,
	.pread = pulled_pread,
	.size = pulled_size,
	.list = pulled_list };

/* ------------------------------------------------------------------ the source -- */

static int
pull_begin(struct store_copy_source *src, struct fs *to, struct err *err)
{
	struct pull *p = (struct pull *)src;
	struct fs_file *f;

	p->to = to;
	if (fs_open(to, JOURNAL_NAME, FS_READ, &f, err) == 0) {
		int failed = fs_size(f, &p->past, err) != 0;

		fs_close(f);
		if (failed)
			return -1;
	} else if (err->code != ERR_NOTFOUND) {
		return -1;
	}
	err_clear(err);
	return ask_plan(p, err);
}

static int
pull_format(struct store_copy_source *src, struct buf *out, struct err *err)
{
	const struct pull *p = (const struct pull *)src;

	return buf_add(out, p->format, p->format_len, err);
}

static int
pull_is_past(struct store_copy_source *src, struct fs *to, struct err *err)
{
	struct pull *p = (struct pull *)src;
	uint8_t hash[JOURNAL_HASH_LEN];

	if (p->past == 0)
		return 1;
	if (p->journal.past_len != p->past)
		return 0;
	if (journal_image_hash(to, p->past, hash, err) != 0)
		return -1;
	return memcmp(hash, p->journal.past, sizeof(hash)) == 0;
}

struct hearing {
	struct store_copy_moment *m;
	struct err *err;
};

/* A pack that was of the store once, and is not now, was removed. */
static int
note_gone(void *arg, uint32_t no, int sealed)
{
	struct hearing *h = arg;

	if (!sealed || pack_set_has(&h->m->alive, no))
		return 0;
	return pack_set_add(&h->m->gone, no, h->err);
}

static int
pull_hold(struct store_copy_source *src, struct store_copy_moment *out, struct err *err)
{
	struct pull *p = (struct pull *)src;
	struct hearing h = { out, err };

	if (!p->fresh && ask_plan(p, err) != 0)
		return -1;
	p->fresh = 0;
	store_copy_moment_clear(out);
	out->sequence = p->m.sequence;
	out->time_us = p->m.time_us;
	out->highest = p->m.highest;
	/* Ours stays for pulled_list(). */
	for (uint32_t no = 1; no <= p->m.highest && no != 0; no++)
		if (pack_set_has(&p->m.alive, no) &&
		    pack_set_add(&out->alive, no, err) != 0)
			return -1;
	return pack_list(p->to, note_gone, &h, err) != 0 ? -1 : 0;
}

/* The next plan says whether it is to be there; twice named and not there is lost. */
static int
pull_removed(struct store_copy_source *src, uint32_t no, struct err *err)
{
	struct pull *p = (struct pull *)src;

	if (pack_set_has(&p->asked, no))
		return 0;
	return pack_set_add(&p->asked, no, err) != 0 ? -1 : 1;
}

/* What the copy has is taken from there: it was found to be the same. */
static int
pull_journal_bytes(void *arg, uint64_t at, uint8_t *to, size_t len, struct err *err)
{
	struct pull *p = arg;
	size_t here = 0;

	if (at < p->past) {
		here = len < p->past - at ? len : (size_t)(p->past - at);
		if (fs_read_all(p->known, to, here, at, err) != 0)
			return -1;
	}
	if (here == len)
		return 0;
	if ((p->no != 0 || p->at != at + here) && ask_bytes(p, 0, at + here, err) != 0)
		return -1;
	return take_bytes(p, to + here, len - here, err);
}

static int
pull_journal(struct store_copy_source *src, struct fs *to, struct err *err)
{
	struct pull *p = (struct pull *)src;
	int failed;

	/* No pack: what is read next is asked for. */
	p->no = UINT32_MAX;
	if (p->past > p->journal.len)
		return err_set(err, ERR_PROTOCOL, "the journal became shorter");
	failed = p->past > 0 && fs_open(to, JOURNAL_NAME, FS_READ, &p->known, err) != 0;
	failed =
	    failed || journal_image_put(to, &p->journal, pull_journal_bytes, p, err) != 0;
	fs_close(p->known);
	p->known = NULL;
	return failed ? -1 : 0;
}

int
cli_pull_open(struct cli *c, struct store_copy_source **out, struct err *err)
{
	static const struct store_copy_source_ops ops = { pull_begin, pull_format,
		pull_is_past, pull_hold, pull_removed, pull_journal };
	struct pull *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory to copy");
	p->c = c;
	p->fs.ops = &pulled_fs;
	p->src.ops = &ops;
	p->src.fs = &p->fs;
	p->src.far = 1;
	*out = &p->src;
	return 0;
}

void
cli_pull_close(struct store_copy_source *src)
{
	struct pull *p = (struct pull *)src;

	if (p == NULL)
		return;
	drop_piece(p);
	store_copy_moment_clear(&p->m);
	pack_set_clear(&p->asked);
	free(p);
}
