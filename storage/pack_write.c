#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/group.h"
#include "storage/pack_format.h"

struct pack_writer {
	struct fs *fs;
	struct fs_file *file;
	struct pack_header header;

	pthread_mutex_t lock; /* Guards all below; held over writes, not over syncs. */
	pthread_cond_t synced_more;
	struct pack_toc toc;
	uint32_t parity; /* Per cent. */
	uint64_t end;	 /* Where the last group ends. */
	uint64_t synced; /* Bytes before this are durable. */
	int syncing;	 /* A thread is in fdatasync. */
	int sealing;	 /* No more appends. */
	int sealed;
	int broken; /* A sync failed, or the file's end is in doubt. */
};

int
pack_writer_open(struct fs *fs, uint32_t no, enum chunk_kind kind,
    const uint8_t store[PACK_STORE_ID_LEN], struct pack_writer **out, struct err *err)
{
	struct err ignored = ERR_INIT;
	uint8_t header[PACK_HEADER_LEN];
	char name[FS_NAME_MAX];
	struct pack_writer *w;
	struct fs_file *f;

	assert(no != 0);
	pack_name(no, 1, name);
	if (fs_open(fs, name, FS_READ, &f, &ignored) == 0) {
		fs_close(f);
		return err_set(err, ERR_EXISTS, "pack %08x exists", (unsigned)no);
	}
	if ((w = calloc(1, sizeof(*w))) == NULL)
		return err_set(err, ERR_NOMEM, "no memory for a pack writer");
	w->fs = fs;
	w->header.no = no;
	w->header.kind = kind;
	memcpy(w->header.store, store, PACK_STORE_ID_LEN);
	w->end = w->synced = PACK_HEADER_LEN;
	if (pthread_mutex_init(&w->lock, NULL) != 0 ||
	    pthread_cond_init(&w->synced_more, NULL) != 0)
		abort(); /* Cannot happen with default attributes. */

	pack_name(no, 0, name);
	if (fs_open(fs, name, FS_WRITE | FS_CREATE | FS_EXCLUSIVE, &w->file, err) != 0) {
		pack_writer_free(w);
		return -1;
	}
	pack_format_header(&w->header, header);
	if (fs_pwrite(w->file, header, sizeof(header), 0, err) != 0 ||
	    fs_sync(w->file, err) != 0 || fs_sync_dir(fs, PACK_DIR, err) != 0) {
		/* Holds nothing; if this fails too, pack_recover() removes it. */
		err_clear(&ignored);
		(void)fs_unlink(fs, name, &ignored);
		pack_writer_free(w);
		return -1;
	}
	*out = w;
	return 0;
}

void
pack_writer_free(struct pack_writer *w)
{
	if (w == NULL)
		return;
	fs_close(w->file);
	pack_toc_free(&w->toc);
	(void)pthread_cond_destroy(&w->synced_more);
	(void)pthread_mutex_destroy(&w->lock);
	free(w);
}

static int
is_full(const struct pack_writer *w)
{
	return w->sealing || w->end >= PACK_TARGET_LEN ||
	       w->toc.count >= PACK_TARGET_CHUNKS;
}

/* A write failed half way: put the file's end back where it was. */
static void
take_back(struct pack_writer *w)
{
	struct err ignored = ERR_INIT;

	if (fs_truncate(w->file, w->end, &ignored) != 0)
		w->broken = 1;
}

static int
append(struct pack_writer *w, const struct group *g, uint64_t at, struct err *err)
{
	static const uint8_t zeros[PACK_ALIGN];

	if (at > w->end &&
	    fs_pwrite(w->file, zeros, (size_t)(at - w->end), w->end, err) != 0)
		return -1;
	return fs_pwrite(w->file, g->bytes, g->len, at, err);
}

enum pack_append
pack_writer_append(struct pack_writer *w, const struct group *g, uint32_t *offset,
    uint64_t *end, struct err *err)
{
	enum pack_append ret = PACK_FAILED;
	uint64_t at;

	assert(g->kind == w->header.kind);
	(void)pthread_mutex_lock(&w->lock);
	at = pack_align(w->end);
	if (w->broken)
		(void)err_set(
		    err, ERR_IO, "%s: an earlier write or sync failed", w->file->name);
	else if (is_full(w))
		ret = PACK_FULL;
	else if (append(w, g, at, err) != 0)
		take_back(w);
	else if (pack_toc_add(&w->toc, w->header.no, (uint32_t)at, g, err) != 0)
		take_back(w);
	else {
		*offset = (uint32_t)at;
		*end = w->end = at + g->len;
		ret = PACK_APPENDED;
	}
	(void)pthread_mutex_unlock(&w->lock);
	return ret;
}

int
pack_writer_sync(struct pack_writer *w, uint64_t end, struct err *err)
{
	struct err why = ERR_INIT;
	uint64_t target;
	int bad;

	(void)pthread_mutex_lock(&w->lock);
	assert(end <= w->end);
	while (w->synced < end && !w->broken) {
		if (w->syncing) {
			/* Its target may be short of ours: look again then. */
			(void)pthread_cond_wait(&w->synced_more, &w->lock);
			continue;
		}
		w->syncing = 1;
		target = w->end;
		(void)pthread_mutex_unlock(&w->lock);
		bad = fs_datasync(w->file, &why);
		(void)pthread_mutex_lock(&w->lock);
		w->syncing = 0;
		if (bad)
			w->broken = 1;
		else
			w->synced = target;
		(void)pthread_cond_broadcast(&w->synced_more);
	}
	bad = w->synced < end;
	(void)pthread_mutex_unlock(&w->lock);
	if (!bad)
		return 0;
	if (why.code != ERR_NONE) {
		*err = why;
		return -1;
	}
	return err_set(err, ERR_IO, "%s: an earlier sync failed", w->file->name);
}

uint64_t
pack_writer_len(struct pack_writer *w)
{
	uint64_t len;

	(void)pthread_mutex_lock(&w->lock);
	len = w->end;
	(void)pthread_mutex_unlock(&w->lock);
	return len;
}

int
pack_writer_full(struct pack_writer *w)
{
	int full;

	(void)pthread_mutex_lock(&w->lock);
	full = is_full(w);
	(void)pthread_mutex_unlock(&w->lock);
	return full;
}

uint32_t
pack_writer_no(const struct pack_writer *w)
{
	return w->header.no;
}

uint32_t
pack_writer_groups(struct pack_writer *w)
{
	uint32_t n;

	(void)pthread_mutex_lock(&w->lock);
	n = w->toc.groups;
	(void)pthread_mutex_unlock(&w->lock);
	return n;
}

void
pack_writer_parity(struct pack_writer *w, uint32_t percent)
{
	(void)pthread_mutex_lock(&w->lock);
	w->parity = percent;
	(void)pthread_mutex_unlock(&w->lock);
}

/* Nothing was ever appended: the file goes. */
static int
discard(struct pack_writer *w, struct err *err)
{
	char name[FS_NAME_MAX];

	pack_name(w->header.no, 0, name);
	if (fs_unlink(w->fs, name, err) != 0)
		return -1;
	return fs_sync_dir(w->fs, PACK_DIR, err);
}

int
pack_writer_seal(struct pack_writer *w, struct err *err)
{
	uint64_t data_end;
	int ret;

	(void)pthread_mutex_lock(&w->lock);
	w->sealing = 1;
	while (w->syncing)
		(void)pthread_cond_wait(&w->synced_more, &w->lock);
	data_end = pack_align(w->end);
	/* The padding is made by extending the file: zeros. */
	if (w->broken)
		ret = err_set(
		    err, ERR_IO, "%s: an earlier write or sync failed", w->file->name);
	else if (w->sealed)
		ret = 0;
	else if (w->toc.count == 0) {
		if ((ret = discard(w, err)) != 0)
			w->broken = 1;
	} else if ((ret = pack_write_footer(w->file, &w->header, (uint32_t)data_end,
			&w->toc, w->parity, err)) == 0) {
		/* A failed sync may have lost what came before, too. */
		if ((ret = pack_publish(w->fs, w->file, w->header.no, err)) != 0)
			w->broken = 1;
	}
	if (ret == 0) {
		w->sealed = 1;
		w->synced = w->end;
	}
	(void)pthread_cond_broadcast(&w->synced_more);
	(void)pthread_mutex_unlock(&w->lock);
	return ret;
}
