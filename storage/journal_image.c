#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/journal.h"
#include "storage/journal_parts.h"

#define PIECE_LEN (512u * 1024)

int
journal_parts_begin(struct fs *to, struct journal_parts *out, struct err *err)
{
	const unsigned flags = FS_WRITE | FS_CREATE;

	out->fs = to;
	if (fs_open(to, JOURNAL_NAME ".part", flags, &out->journal, err) != 0 ||
	    fs_open(to, JOURNAL_HEAD_NAME ".part", flags, &out->head, err) != 0)
		return -1;
	return fs_truncate(out->journal, 0, err) != 0 ? -1
						      : fs_truncate(out->head, 0, err);
}

/* Bytes that are durable under the name `part` become the file `name`. */
static int
put_part(
    struct fs *fs, const char *part, const char *name, struct fs_file *f, struct err *err)
{
	if (fs_sync(f, err) != 0 || fs_rename(fs, part, name, err) != 0)
		return -1;
	return fs_sync_dir(fs, ".", err);
}

int
journal_parts_put(
    struct journal_parts *p, const uint8_t head[JOURNAL_HEAD_LEN], struct err *err)
{
	/* The head last: it must never say more than the journal has. */
	if (fs_pwrite(p->head, head, JOURNAL_HEAD_LEN, 0, err) != 0 ||
	    put_part(p->fs, JOURNAL_NAME ".part", JOURNAL_NAME, p->journal, err) != 0)
		return -1;
	return put_part(
	    p->fs, JOURNAL_HEAD_NAME ".part", JOURNAL_HEAD_NAME, p->head, err);
}

void
journal_parts_end(struct journal_parts *p)
{
	fs_close(p->journal);
	fs_close(p->head);
	p->journal = p->head = NULL;
}

static int
hash_file(struct fs_file *f, uint64_t len, uint8_t *room, uint8_t hash[JOURNAL_HASH_LEN],
    struct err *err)
{
	struct blake3 h;

	blake3_init(&h, NULL);
	for (uint64_t at = 0; at < len;) {
		size_t n = len - at < PIECE_LEN ? (size_t)(len - at) : PIECE_LEN;

		if (fs_read_all(f, room, n, at, err) != 0)
			return -1;
		blake3_update(&h, room, n);
		at += n;
	}
	blake3_final(&h, hash, JOURNAL_HASH_LEN);
	return 0;
}

int
journal_image_hash(
    struct fs *fs, uint64_t len, uint8_t hash[JOURNAL_HASH_LEN], struct err *err)
{
	uint8_t *room = malloc(PIECE_LEN);
	struct fs_file *f = NULL;
	int failed;

	if (room == NULL)
		return err_set(err, ERR_NOMEM, "no memory to read a journal");
	failed = fs_open(fs, JOURNAL_NAME, FS_READ, &f, err) != 0 ||
		 hash_file(f, len, room, hash, err) != 0;
	fs_close(f);
	free(room);
	return failed ? -1 : 0;
}

/* All of it, to a file, and its hash on the way. */
static int
write_image(struct fs_file *f, const struct journal_image *im, journal_bytes bytes,
    void *arg, uint8_t *room, struct err *err)
{
	uint8_t hash[JOURNAL_HASH_LEN];
	struct blake3 h;

	blake3_init(&h, NULL);
	for (uint64_t at = 0; at < im->len;) {
		size_t n = im->len - at < PIECE_LEN ? (size_t)(im->len - at) : PIECE_LEN;

		if (bytes(arg, at, room, n, err) != 0 ||
		    fs_pwrite(f, room, n, at, err) != 0)
			return -1;
		blake3_update(&h, room, n);
		at += n;
	}
	blake3_final(&h, hash, sizeof(hash));
	if (memcmp(hash, im->hash, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "the journal came damaged");
	return 0;
}

int
journal_image_put(struct fs *to, const struct journal_image *im, journal_bytes bytes,
    void *arg, struct err *err)
{
	struct journal_parts parts = { 0 };
	uint8_t hash[JOURNAL_HASH_LEN], *room = malloc(PIECE_LEN);
	int failed;

	if (room == NULL)
		return err_set(err, ERR_NOMEM, "no memory to copy the journal");
	failed = journal_parts_begin(to, &parts, err) != 0 ||
		 write_image(parts.journal, im, bytes, arg, room, err) != 0 ||
		 fs_sync(parts.journal, err) != 0 ||
		 hash_file(parts.journal, im->len, room, hash, err) != 0;
	if (!failed && memcmp(hash, im->hash, sizeof(hash)) != 0)
		failed = err_set(err, ERR_CORRUPT,
		    "the journal reads back other bytes than were written");
	failed = failed || journal_parts_put(&parts, im->head, err) != 0;
	journal_parts_end(&parts);
	free(room);
	return failed ? -1 : 0;
}
