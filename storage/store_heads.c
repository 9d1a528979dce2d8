#include "storage/store_heads.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "storage/fs.h"
#include "storage/store_state.h"

#define NAME "packs.head"
#define LEN 80u
#define HASHED 48u
#define KINDS 2u

static const uint8_t magic[8] = { 'H', 'F', 'P', 'H', 'E', 'A', 'D', '1' };

struct store_heads {
	struct fs *fs;
	uint8_t store[16];
	pthread_mutex_t lock;
	struct fs_file *file;
	uint32_t no[KINDS];
	uint32_t end[KINDS];
};

/* What the last process said; a hint that does not hold says nothing. */
static void
load(struct store_heads *h)
{
	struct err ignored = ERR_INIT;
	uint8_t b[LEN], hash[BLAKE3_OUT_LEN];
	struct fs_file *f;
	size_t got = 0;

	if (fs_open(h->fs, NAME, FS_READ, &f, &ignored) != 0)
		return;
	if (fs_pread(f, b, sizeof(b), 0, &got, &ignored) == 0 && got == LEN) {
		blake3(b, HASHED, NULL, hash, sizeof(hash));
		if (memcmp(b, magic, sizeof(magic)) == 0 &&
		    memcmp(b + 8, h->store, sizeof(h->store)) == 0 &&
		    memcmp(b + HASHED, hash, sizeof(hash)) == 0) {
			for (unsigned i = 0; i < KINDS; i++) {
				h->no[i] = load_le32(b + 24 + 8 * i);
				h->end[i] = load_le32(b + 28 + 8 * i);
			}
		}
	}
	fs_close(f);
}

struct store_heads *
store_heads_new(struct fs *fs, const uint8_t store[16])
{
	struct store_heads *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return NULL;
	h->fs = fs;
	memcpy(h->store, store, sizeof(h->store));
	pthread_mutex_init(&h->lock, NULL);
	load(h);
	return h;
}

void
store_heads_free(struct store_heads *h)
{
	if (h == NULL)
		return;
	fs_close(h->file);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

void
store_heads_clear(struct store_heads *h)
{
	memset(h->no, 0, sizeof(h->no));
	memset(h->end, 0, sizeof(h->end));
}

uint64_t
store_heads_durable(struct store_heads *h, uint32_t no)
{
	for (unsigned i = 0; i < KINDS; i++)
		if (h->no[i] == no)
			return h->end[i];
	return 0;
}

void
store_heads_note(struct store_heads *h, int kind, uint32_t no, uint64_t end)
{
	unsigned i = kind == CHUNK_META;
	struct err ignored = ERR_INIT;
	uint8_t b[LEN] = { 0 };

	pthread_mutex_lock(&h->lock);
	if (no > h->no[i] || (no == h->no[i] && end > h->end[i])) {
		h->no[i] = no;
		h->end[i] = (uint32_t)end;
		memcpy(b, magic, sizeof(magic));
		memcpy(b + 8, h->store, sizeof(h->store));
		for (unsigned k = 0; k < KINDS; k++) {
			store_le32(b + 24 + 8 * k, h->no[k]);
			store_le32(b + 28 + 8 * k, h->end[k]);
		}
		blake3(b, HASHED, NULL, b + HASHED, BLAKE3_OUT_LEN);
		if (h->file != NULL ||
		    fs_open(h->fs, NAME, FS_WRITE | FS_CREATE, &h->file, &ignored) == 0)
			(void)fs_pwrite(h->file, b, sizeof(b), 0, &ignored);
	}
	pthread_mutex_unlock(&h->lock);
}

int
store_proven(void *store, const struct group *g)
{
	struct store *s = store;
	struct err ignored = ERR_INIT;
	struct codec *c = codec_new();
	uint8_t *plain = malloc(g->plain_len);
	int yes;

	yes = c != NULL && plain != NULL && group_decode(c, g, plain, &ignored) == 0 &&
	      group_prove(g, &s->keys, plain, &ignored) == 0;
	codec_free(c);
	free(plain);
	return yes;
}
