#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/pack_format.h"

#define PIECE_LEN (1u << 20)

static void
part_name(uint32_t no, char out[FS_NAME_MAX])
{
	(void)snprintf(out, FS_NAME_MAX, PACK_DIR "/%08x.part", (unsigned)no);
}

static int
copy_bytes(const struct pack_copying *c, struct fs_file *from, struct fs_file *to,
    uint64_t len, uint8_t *room, uint8_t hash[BLAKE3_OUT_LEN], struct err *err)
{
	struct blake3 h;

	blake3_init(&h, NULL);
	for (uint64_t at = 0; at < len;) {
		size_t n = len - at < PIECE_LEN ? (size_t)(len - at) : PIECE_LEN;

		if (fs_read_all(from, room, n, at, err) != 0 ||
		    fs_pwrite(to, room, n, at, err) != 0 || c->step(c->arg, n, err) != 0)
			return -1;
		if (c->once)
			blake3_update(&h, room, n);
		at += n;
	}
	blake3_final(&h, hash, BLAKE3_OUT_LEN);
	return 0;
}

/* Read back what was written: it has the hash that it had when it came. */
static int
compare_hash(struct fs_file *to, uint64_t len, uint8_t *room,
    const uint8_t hash[BLAKE3_OUT_LEN], struct err *err)
{
	uint8_t again[BLAKE3_OUT_LEN];
	struct blake3 h;

	blake3_init(&h, NULL);
	for (uint64_t at = 0; at < len;) {
		size_t n = len - at < PIECE_LEN ? (size_t)(len - at) : PIECE_LEN;

		if (fs_read_all(to, room, n, at, err) != 0)
			return -1;
		blake3_update(&h, room, n);
		at += n;
	}
	blake3_final(&h, again, sizeof(again));
	return memcmp(hash, again, sizeof(again)) == 0
		   ? 0
		   : err_set(err, ERR_IO, "%s reads back other bytes than were written",
			 to->name);
}

/* Read both again: what a disk gives back is what counts. */
static int
compare_bytes(struct fs_file *from, struct fs_file *to, uint64_t len, uint8_t *room,
    struct err *err)
{
	for (uint64_t at = 0; at < len;) {
		size_t n = len - at < PIECE_LEN / 2 ? (size_t)(len - at) : PIECE_LEN / 2;

		if (fs_read_all(from, room, n, at, err) != 0 ||
		    fs_read_all(to, room + PIECE_LEN / 2, n, at, err) != 0)
			return -1;
		if (memcmp(room, room + PIECE_LEN / 2, n) != 0)
			return err_set(err, ERR_IO,
			    "%s reads back other bytes than were written, at %llu",
			    to->name, (unsigned long long)at);
		at += n;
	}
	return 0;
}

/* Groups, by the footer; a bad footer or header is told as offset 0. */
static int
check_groups(
    const struct pack_copying *c, uint32_t no, struct fs_file *f, struct err *err)
{
	struct pack p = { .file = f, .sealed = 1 };
	uint8_t header[PACK_HEADER_LEN];
	struct err why = ERR_INIT;

	if (fs_read_all(f, header, sizeof(header), 0, &why) == 0 &&
	    pack_parse_header(header, &p.header, &why) == 0 &&
	    (p.header.no != no ||
		memcmp(p.header.store, c->store, PACK_STORE_ID_LEN) != 0))
		(void)err_set(&why, ERR_CORRUPT, "another pack, or of another store");
	if (why.code == ERR_NONE && pack_scrub(&p, c->bad, c->arg, &why) == 0)
		return 0;
	if (why.code == ERR_NONE)
		return err_set(err, ERR_CANCELED, "stopped");
	if (why.code == ERR_CORRUPT)
		return c->bad(c->arg, 0, &why) == 0
			   ? 0
			   : err_set(err, ERR_CANCELED, "stopped");
	*err = why;
	return -1;
}

int
pack_copy(const struct pack_copying *c, uint32_t no, uint64_t *len, struct err *err)
{
	char name[FS_NAME_MAX], part[FS_NAME_MAX];
	struct fs_file *from = NULL, *to = NULL;
	uint8_t *room = malloc(PIECE_LEN), hash[BLAKE3_OUT_LEN];
	int failed;

	pack_name(no, 1, name);
	part_name(no, part);
	if (room == NULL)
		return err_set(err, ERR_NOMEM, "no memory to copy a pack");
	failed = fs_open(c->from, name, FS_READ, &from, err) != 0 ||
		 fs_size(from, len, err) != 0;
	if (!failed && *len > PACK_LEN_MAX)
		failed = err_set(err, ERR_LIMIT, "%s is longer than any pack", name);
	failed = failed || fs_open(c->to, part, FS_WRITE | FS_CREATE, &to, err) != 0 ||
		 fs_truncate(to, 0, err) != 0 ||
		 copy_bytes(c, from, to, *len, room, hash, err) != 0 ||
		 fs_sync(to, err) != 0 ||
		 (c->once ? compare_hash(to, *len, room, hash, err)
			  : compare_bytes(from, to, *len, room, err)) != 0 ||
		 check_groups(c, no, to, err) != 0 ||
		 fs_rename(c->to, part, name, err) != 0 ||
		 fs_sync_dir(c->to, PACK_DIR, err) != 0;
	fs_close(from);
	fs_close(to);
	free(room);
	return failed ? -1 : 0;
}

struct part_found {
	char name[FS_NAME_MAX];
};

static int
find_part(void *arg, const char *name)
{
	struct part_found *f = arg;
	size_t n = strlen(name);

	if (n < 5 || strcmp(name + n - 5, ".part") != 0)
		return 0;
	(void)snprintf(f->name, sizeof(f->name), PACK_DIR "/%.40s", name);
	return 1;
}

int
pack_copy_sweep(struct fs *to, struct err *err)
{
	struct part_found f;
	int found;

	while ((found = fs_list(to, PACK_DIR, find_part, &f, err)) > 0)
		if (fs_unlink(to, f.name, err) != 0)
			return -1;
	return found < 0 ? -1 : 0;
}
