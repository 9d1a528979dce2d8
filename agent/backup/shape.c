#include "agent/backup/shape.h"

#include <stdlib.h>
#include <string.h>

#include "agent/backup/proof.h"
#include "agent/map/chunker.h"
#include "agent/map/roll.h"
#include "agent/map/volmap.h"
#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "proto/chunk/chunk_id.h"

#define ENTRY_LEN 16u

/* Offsets in the header. */
enum { AT_ROOT = 8, AT_SLICES = 40, AT_NEXT = 44, AT_POINTS = 48, AT_HASH = 848 };

static const uint8_t magic[8] = { 'H', 'F', 'S', 'H', 'A', 'P', 'E', '1' };

struct shape_writer {
	struct roll_writer *roll;
};

struct shape {
	struct roll *roll;
	int has, more;		 /* Is there an entry in `at`, in `next`? */
	uint64_t at[2], next[2]; /* Offset and what it says. */
};

/* ---------------------------------------------------------------- writing -- */

int
shape_create(const char *path, struct shape_writer **out, struct err *err)
{
	struct shape_writer *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if (roll_create(path, ROLL_HEADER, &w->roll, err) != 0) {
		free(w);
		return -1;
	}
	*out = w;
	return 0;
}

/* What an entry says of the cut; 0 if it needs none. */
static uint64_t
said(const struct volmap_cut *cut)
{
	uint8_t b[12], hash[8];
	struct blake3 h;

	if (cut->kind == VOLMAP_HOLE || cut->kind == VOLMAP_EXCLUDED)
		return 0;
	if (cut->kind == VOLMAP_STREAM || (cut->kind == VOLMAP_REGION && cut->count == 1))
		return cut->len > CHUNKER_MIN ? cut->len << 1 | 1 : 0;
	if (cut->kind == VOLMAP_REGION || cut->count == 1)
		return 0;
	blake3_init(&h, NULL);
	for (uint32_t i = 0; i < cut->count; i++) {
		store_le64(b, cut->piece[i].offset);
		store_le32(b + 8, cut->piece[i].len);
		blake3_update(&h, b, sizeof(b));
	}
	blake3_final(&h, hash, sizeof(hash));
	return load_le64(hash) << 1;
}

int
shape_add(struct shape_writer *w, const struct volmap_cut *cut, struct err *err)
{
	uint64_t what = said(cut);
	uint8_t b[ENTRY_LEN];

	if (what == 0)
		return 0;
	store_le64(b, cut->offset);
	store_le64(b + 8, what);
	return roll_add(w->roll, b, sizeof(b), err);
}

int
shape_finish(struct shape_writer *w, struct err *err)
{
	int rc;

	if (w == NULL)
		return 0;
	rc = roll_finish(w->roll, NULL, err);
	free(w);
	return rc;
}

int
shape_seal(const char *path, const struct chunk_id *root, const struct proof *proof,
    struct err *err)
{
	uint8_t h[ROLL_HEADER] = { 0 };

	memcpy(h, magic, sizeof(magic));
	memcpy(h + AT_ROOT, root->b, CHUNK_ID_LEN);
	store_le32(h + AT_SLICES, proof->slices);
	store_le32(h + AT_NEXT, proof->next);
	for (unsigned i = 0; i < PROOF_SLICES_MAX; i++)
		store_le64(h + AT_POINTS + 8 * (size_t)i, proof->point[i]);
	blake3(h, AT_HASH, NULL, h + AT_HASH, 32);
	return roll_seal(path, h, err);
}

/* ---------------------------------------------------------------- reading -- */

static void
read_next(struct shape *s)
{
	uint8_t b[ENTRY_LEN];

	if ((s->more = roll_next(s->roll, b, sizeof(b)))) {
		s->next[0] = load_le64(b);
		s->next[1] = load_le64(b + 8);
	}
}

/* Is this a header of the tree of `root`?  What it says is proven then. */
static int
parse(const uint8_t *h, const struct chunk_id *root, struct proof *out)
{
	uint8_t hash[32];

	blake3(h, AT_HASH, NULL, hash, sizeof(hash));
	if (memcmp(h, magic, sizeof(magic)) != 0 ||
	    memcmp(h + AT_ROOT, root->b, CHUNK_ID_LEN) != 0 ||
	    memcmp(h + AT_HASH, hash, sizeof(hash)) != 0)
		return 0;
	out->slices = load_le32(h + AT_SLICES);
	out->next = load_le32(h + AT_NEXT);
	for (unsigned i = 0; i < PROOF_SLICES_MAX; i++)
		out->point[i] = load_le64(h + AT_POINTS + 8 * (size_t)i);
	return out->slices > 0 && out->slices <= PROOF_SLICES_MAX &&
	       out->next < out->slices;
}

int
shape_open(const char *path, const struct chunk_id *root, struct shape **out,
    struct proof *proof, struct err *err)
{
	uint8_t h[ROLL_HEADER];
	struct shape *s = calloc(1, sizeof(*s));
	struct proof said;
	int found;

	if (s == NULL)
		return err_set(err, ERR_NOMEM, "out of memory");
	if ((found = roll_open(path, h, &s->roll, err)) == 1)
		found = parse(h, root, &said);
	if (found != 1) {
		shape_close(s);
		return found;
	}
	if (proof != NULL)
		*proof = said;
	read_next(s);
	*out = s;
	return 1;
}

void
shape_close(struct shape *s)
{
	if (s == NULL)
		return;
	roll_close(s->roll);
	free(s);
}

/* Stand on the last entry at or before `offset`: 1, or 0 where there is none. */
static int
stand_on(struct shape *s, uint64_t offset)
{
	while (s->more && s->next[0] <= offset) {
		memcpy(s->at, s->next, sizeof(s->at));
		s->has = 1;
		read_next(s);
	}
	return s->has && s->at[0] <= offset;
}

int
shape_has(struct shape *s, const struct volmap_cut *cut)
{
	return stand_on(s, cut->offset) && s->at[0] == cut->offset &&
	       s->at[1] == said(cut);
}

uint64_t
shape_range_end(struct shape *s, uint64_t offset)
{
	uint64_t len;

	if (!stand_on(s, offset) || (s->at[1] & 1) == 0)
		return 0;
	len = s->at[1] >> 1;
	return offset - s->at[0] < len ? s->at[0] + len : 0;
}
