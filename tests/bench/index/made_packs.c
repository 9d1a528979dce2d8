#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "storage/fs.h"
#include "storage/pack_format.h"
#include "tests/bench/index/engine.h"

/* The calls of the files that are there, and those with ours in front. */
static const struct fs_ops *real;
static struct fs_ops ops;

/* Header, nothing, footer. */
struct made_pack {
	struct fs_file file;
	uint8_t header[PACK_HEADER_LEN];
	uint8_t *foot;
	size_t foot_len;
	uint32_t foot_at;
};

static int
is_made(const char *name)
{
	return strncmp(name, PACK_DIR "/", sizeof(PACK_DIR)) == 0;
}

static int
make(uint32_t no, struct fs_file **out, struct err *err)
{
	struct pack_header h = { .no = no, .kind = CHUNK_DATA };
	struct made_pack *p = calloc(1, sizeof(*p));
	struct pack_toc toc = { .count = ENGINE_PACK };

	toc.entries = malloc(ENGINE_PACK * sizeof(*toc.entries));
	if (p == NULL || toc.entries == NULL) {
		free(p);
		free(toc.entries);
		return err_set(err, ERR_NOMEM, "no memory to make a pack");
	}
	memcpy(h.store, engine_store, PACK_STORE_ID_LEN);
	for (uint32_t i = 0; i < ENGINE_PACK; i++)
		engine_entry((uint64_t)(no - 1) * ENGINE_PACK + i, &toc.entries[i]);
	toc.groups = ENGINE_PACK / ENGINE_GROUP;
	toc.plain = (uint64_t)ENGINE_PACK * 65536;
	toc.stored = (uint64_t)toc.groups * ENGINE_GROUP_LEN;
	p->foot_at = PACK_HEADER_LEN + (uint32_t)toc.stored;
	pack_format_header(&h, p->header);
	p->foot = pack_format_footer(&h, p->foot_at, 0, &toc, &p->foot_len);
	free(toc.entries);
	*out = &p->file;
	return 0;
}

static int
any_open(struct fs *fs, const char *name, unsigned flags, struct fs_file **out,
    struct err *err)
{
	unsigned no;

	if (is_made(name) && sscanf(name, PACK_DIR "/%8x.pack", &no) == 1)
		return make(no, out, err);
	return real->open(fs, name, flags, out, err);
}

static void
any_close(struct fs_file *f)
{
	if (!is_made(f->name)) {
		real->close(f);
		return;
	}
	free(((struct made_pack *)f)->foot);
	free(f);
}

static int
any_pread(
    struct fs_file *f, void *p, size_t len, uint64_t offset, size_t *got, struct err *err)
{
	struct made_pack *m = (struct made_pack *)f;
	size_t at;

	if (!is_made(f->name))
		return real->pread(f, p, len, offset, got, err);
	memset(p, 0, len);
	*got = len;
	if (offset + len <= PACK_HEADER_LEN)
		memcpy(p, m->header + offset, len);
	else if (offset >= m->foot_at) {
		at = (size_t)(offset - m->foot_at);
		if (at > m->foot_len)
			at = m->foot_len;
		if (len > m->foot_len - at)
			*got = m->foot_len - at;
		memcpy(p, m->foot + at, *got);
	}
	return 0;
}

static int
any_size(struct fs_file *f, uint64_t *len, struct err *err)
{
	struct made_pack *m = (struct made_pack *)f;

	if (!is_made(f->name))
		return real->size(f, len, err);
	*len = m->foot_at + m->foot_len;
	return 0;
}

void
engine_packs(struct fs *fs)
{
	real = fs->ops;
	ops = *real;
	ops.open = any_open;
	ops.close = any_close;
	ops.pread = any_pread;
	ops.size = any_size;
	fs->ops = &ops;
}
