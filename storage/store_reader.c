#include "storage/store_reader.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/err.h"
#include "proto/chunk/codec.h"
#include "proto/chunk/group.h"
#include "storage/pack.h"

struct open_pack {
	struct pack *pack; /* NULL: free slot. */
	uint32_t no;
	unsigned users;
	int gone;      /* Its last user closes it; nobody new finds it. */
	uint64_t used; /* When; by rd->turn. */
};

/* A decoded group of nodes. */
struct decoded {
	uint32_t pack, offset;
	uint64_t used;
	uint32_t count;
	struct group_entry *entries;
	uint8_t *plain;
};

struct store_reader {
	struct fs *fs;
	uint8_t store[16];
	const struct chunk_keys *keys;
	pthread_mutex_t lock;
	uint64_t turn;
	struct open_pack packs[STORE_READER_PACKS];
	struct decoded *groups[STORE_READER_GROUPS];
	struct codec *spare; /* Taken by whoever decodes. */
};

struct store_reader *
store_reader_new(struct fs *fs, const uint8_t store[16], const struct chunk_keys *keys)
{
	struct store_reader *rd = calloc(1, sizeof(*rd));

	if (rd == NULL)
		return NULL;
	rd->fs = fs;
	rd->keys = keys;
	memcpy(rd->store, store, sizeof(rd->store));
	pthread_mutex_init(&rd->lock, NULL);
	return rd;
}

static void
decoded_free(struct decoded *d)
{
	if (d == NULL)
		return;
	free(d->entries);
	free(d->plain);
	free(d);
}

void
store_reader_free(struct store_reader *rd)
{
	if (rd == NULL)
		return;
	for (uint32_t i = 0; i < STORE_READER_PACKS; i++)
		pack_close(rd->packs[i].pack);
	for (uint32_t i = 0; i < STORE_READER_GROUPS; i++)
		decoded_free(rd->groups[i]);
	codec_free(rd->spare);
	pthread_mutex_destroy(&rd->lock);
	free(rd);
}

/* ------------------------------------------------------------------- packs -- */

/* The slot that holds pack `no`, one user more; NULL if none does. */
static struct open_pack *
use_open(struct store_reader *rd, uint32_t no)
{
	struct open_pack *found = NULL;

	pthread_mutex_lock(&rd->lock);
	for (uint32_t i = 0; i < STORE_READER_PACKS && found == NULL; i++)
		if (rd->packs[i].pack != NULL && rd->packs[i].no == no &&
		    !rd->packs[i].gone)
			found = &rd->packs[i];
	if (found != NULL) {
		found->users++;
		found->used = ++rd->turn;
	}
	pthread_mutex_unlock(&rd->lock);
	return found;
}

/* Keep `p` in a slot, as the least recently used idle one's; NULL if all are in use. */
static struct open_pack *
keep_open(struct store_reader *rd, struct pack *p)
{
	struct open_pack *slot = NULL;
	struct pack *old = NULL;

	pthread_mutex_lock(&rd->lock);
	for (uint32_t i = 0; i < STORE_READER_PACKS; i++) {
		struct open_pack *o = &rd->packs[i];

		if (o->users == 0 && (slot == NULL || o->used < slot->used))
			slot = o;
	}
	if (slot != NULL) {
		old = slot->pack;
		slot->pack = p;
		slot->no = pack_no(p);
		slot->users = 1;
		slot->gone = 0;
		slot->used = ++rd->turn;
	}
	pthread_mutex_unlock(&rd->lock);
	pack_close(old);
	return slot;
}

int
store_reader_group(struct store_reader *rd, const struct pack_loc *loc,
    const struct chunk_id *id, struct buf *out, struct group *g, struct err *err)
{
	struct open_pack *slot = use_open(rd, loc->pack);
	struct pack *p = NULL, *old = NULL;
	int failed;

	if (slot == NULL) {
		if (pack_open(rd->fs, loc->pack, rd->store, &p, err) != 0)
			return -1;
		slot = keep_open(rd, p);
	}
	failed = pack_read_group(slot != NULL ? slot->pack : p, loc, id, 1, out, g, err);
	if (slot != NULL) {
		pthread_mutex_lock(&rd->lock);
		slot->users--;
		if (slot->gone && slot->users == 0) {
			old = slot->pack;
			slot->pack = NULL;
			slot->gone = 0;
		}
		pthread_mutex_unlock(&rd->lock);
		pack_close(old);
	} else {
		pack_close(p);
	}
	return failed != 0 ? -1 : 0;
}

void
store_reader_forget(struct store_reader *rd, uint32_t no)
{
	pthread_mutex_lock(&rd->lock);
	for (uint32_t i = 0; i < STORE_READER_PACKS; i++) {
		struct open_pack *o = &rd->packs[i];

		if (o->pack == NULL || o->no != no)
			continue;
		if (o->users == 0) {
			pack_close(o->pack);
			o->pack = NULL;
		} else {
			o->gone = 1;
		}
	}
	for (uint32_t i = 0; i < STORE_READER_GROUPS; i++)
		if (rd->groups[i] != NULL && rd->groups[i]->pack == no) {
			decoded_free(rd->groups[i]);
			rd->groups[i] = NULL;
		}
	pthread_mutex_unlock(&rd->lock);
}

/* ------------------------------------------------------------------- nodes -- */

static struct codec *
take_codec(struct store_reader *rd)
{
	struct codec *c;

	pthread_mutex_lock(&rd->lock);
	c = rd->spare;
	rd->spare = NULL;
	pthread_mutex_unlock(&rd->lock);
	return c != NULL ? c : codec_new();
}

static void
give_codec(struct store_reader *rd, struct codec *c)
{
	pthread_mutex_lock(&rd->lock);
	if (rd->spare == NULL) {
		rd->spare = c;
		c = NULL;
	}
	pthread_mutex_unlock(&rd->lock);
	codec_free(c);
}

static int
note_entry(void *arg, const struct group_entry *e)
{
	struct decoded *d = arg;

	d->entries[d->count++] = *e;
	return 0;
}

static struct decoded *
decode(struct store_reader *rd, const struct pack_loc *loc, const struct group *g,
    struct err *err)
{
	struct decoded *d = calloc(1, sizeof(*d));
	struct codec *c = take_codec(rd);
	int failed = 0;

	if (d != NULL) {
		d->pack = loc->pack;
		d->offset = loc->offset;
		d->entries = malloc(g->count * sizeof(*d->entries));
		d->plain = malloc(g->plain_len);
	}
	if (d == NULL || c == NULL || d->entries == NULL || d->plain == NULL)
		failed = err_set(err, ERR_NOMEM, "no memory for a group of nodes");
	else
		failed = group_decode(c, g, d->plain, err);
	if (failed != 0) {
		decoded_free(d);
		codec_free(c);
		return NULL;
	}
	(void)group_each(g, note_entry, d);
	give_codec(rd, c);
	return d;
}

/* Copy the node out of a decoded group; `lock` need not be held for a private one. */
static int
copy_node(const struct decoded *d, const struct pack_loc *loc, const struct chunk_id *id,
    struct buf *out, struct err *err)
{
	const struct group_entry *e;

	if (loc->place >= d->count || chunk_id_cmp(&d->entries[loc->place].id, id) != 0)
		return err_set(err, ERR_CORRUPT, "pack %u holds another chunk at %u",
		    loc->pack, loc->offset);
	e = &d->entries[loc->place];
	buf_clear(out);
	return buf_add(out, d->plain + e->offset, e->len, err);
}

/* 1 if it was there and copied, 0 if not, -1. */
static int
copy_cached(struct store_reader *rd, const struct pack_loc *loc,
    const struct chunk_id *id, struct buf *out, struct err *err)
{
	int ret = 0;

	pthread_mutex_lock(&rd->lock);
	for (uint32_t i = 0; i < STORE_READER_GROUPS && ret == 0; i++) {
		struct decoded *d = rd->groups[i];

		if (d == NULL || d->pack != loc->pack || d->offset != loc->offset)
			continue;
		d->used = ++rd->turn;
		ret = copy_node(d, loc, id, out, err) == 0 ? 1 : -1;
	}
	pthread_mutex_unlock(&rd->lock);
	return ret;
}

static void
keep_decoded(struct store_reader *rd, struct decoded *d)
{
	struct decoded *old;
	uint32_t oldest = 0;

	pthread_mutex_lock(&rd->lock);
	for (uint32_t i = 0; i < STORE_READER_GROUPS; i++) {
		if (rd->groups[i] == NULL) {
			oldest = i;
			break;
		}
		if (rd->groups[i]->used < rd->groups[oldest]->used)
			oldest = i;
	}
	old = rd->groups[oldest];
	d->used = ++rd->turn;
	rd->groups[oldest] = d;
	pthread_mutex_unlock(&rd->lock);
	decoded_free(old);
}

int
store_reader_node(struct store_reader *rd, const struct pack_loc *loc,
    const struct chunk_id *id, struct buf *out, struct err *err)
{
	struct buf bytes = BUF_INIT(GROUP_LEN_MAX);
	struct chunk_id found;
	struct decoded *d;
	struct group g;
	int cached;

	cached = copy_cached(rd, loc, id, out, err);
	if (cached < 0)
		return -1;
	if (cached == 0) {
		if (store_reader_group(rd, loc, id, &bytes, &g, err) != 0 ||
		    (d = decode(rd, loc, &g, err)) == NULL) {
			buf_free(&bytes);
			return -1;
		}
		buf_free(&bytes);
		if (copy_node(d, loc, id, out, err) != 0) {
			decoded_free(d);
			return -1;
		}
		keep_decoded(rd, d);
	}
	chunk_id_of(rd->keys, CHUNK_META, out->p, out->len, &found);
	if (chunk_id_cmp(&found, id) != 0)
		return err_set(err, ERR_CORRUPT, "a node in pack %u at %u is not its id",
		    loc->pack, loc->offset);
	return 0;
}
