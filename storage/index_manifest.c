#include <stdlib.h>
#include <string.h>

#include "proto/base/buf.h"
#include "proto/base/bytes.h"
#include "proto/base/cursor.h"
#include "proto/base/err.h"
#include "proto/base/feature.h"
#include "proto/chunk/blake3.h"
#include "storage/index.h"
#include "storage/index_run.h"
#include "storage/index_view.h"

#define VERSION 1
#define FIXED_LEN 48u

static const uint8_t magic[4] = { 'H', 'F', 'M', '1' };

int
index_view_format(const struct index_view *v, const uint8_t store[PACK_STORE_ID_LEN],
    int damaged, struct buf *out, struct err *err)
{
	size_t start = out->len;
	uint8_t hash[BLAKE3_OUT_LEN];
	int bad;

	bad = buf_add(out, magic, 4, err) || buf_add_le16(out, VERSION, err) ||
	      buf_add_le16(out, damaged != 0, err) ||
	      buf_add(out, store, PACK_STORE_ID_LEN, err) || buf_add_le32(out, 0, err) ||
	      buf_add_le32(out, v->optional, err) ||
	      buf_add_le32(out, v->next_run, err) || buf_add_le32(out, v->n_runs, err) ||
	      buf_add_le32(out, v->covered.n, err) || buf_add_le32(out, v->n_bad, err);
	for (uint32_t i = 0; !bad && i < v->n_runs; i++)
		bad = buf_add_le32(out, v->runs[i]->f.no, err) ||
		      buf_add_le64(out, v->runs[i]->f.entries, err);
	for (uint32_t i = 0; !bad && i < v->covered.n; i++)
		bad = buf_add_le32(out, v->covered.r[i].first, err) ||
		      buf_add_le32(out, v->covered.r[i].last, err);
	for (uint32_t i = 0; !bad && i < v->n_bad; i++)
		bad = buf_add_le32(out, v->bad[i].pack, err) ||
		      buf_add_le32(out, v->bad[i].offset, err);
	if (bad)
		return -1;
	blake3(out->p + start, out->len - start, NULL, hash, sizeof(hash));
	return buf_add(out, hash, sizeof(hash), err);
}

void
index_view_free_manifest(struct index_manifest *m)
{
	free(m->covered.r);
	free(m->bad);
	memset(m, 0, sizeof(*m));
}

/* Runs, ranges and groups; limits and lengths were checked before. */
static int
parse_lists(struct cursor *c, struct index_manifest *out, struct err *err)
{
	for (uint32_t i = 0; i < out->n_runs; i++) {
		out->runs[i] = cursor_le32(c);
		out->entries[i] = cursor_le64(c);
		if (out->runs[i] == 0 || out->runs[i] >= out->next_run)
			return err_set(err, ERR_CORRUPT, "manifest names run %u",
			    (unsigned)out->runs[i]);
		for (uint32_t k = 0; k < i; k++)
			if (out->runs[k] == out->runs[i])
				return err_set(
				    err, ERR_CORRUPT, "manifest names a run twice");
	}
	for (uint32_t i = 0; i < out->covered.n; i++) {
		struct index_range *r = &out->covered.r[i];

		r->first = cursor_le32(c);
		r->last = cursor_le32(c);
		if (r->first == 0 || r->last < r->first ||
		    (i > 0 &&
			(uint64_t)out->covered.r[i - 1].last + 1 >= (uint64_t)r->first))
			return err_set(err, ERR_CORRUPT,
			    "range %u of a manifest is out of order", i);
	}
	for (uint32_t i = 0; i < out->n_bad; i++) {
		struct index_bad *b = &out->bad[i];

		b->pack = cursor_le32(c);
		b->offset = cursor_le32(c);
		if (i > 0 && (b->pack < b[-1].pack ||
				 (b->pack == b[-1].pack && b->offset <= b[-1].offset)))
			return err_set(err, ERR_CORRUPT,
			    "group %u of a manifest is out of order", i);
	}
	return 0;
}

int
index_view_parse(
    const uint8_t *p, size_t len, struct index_manifest *out, struct err *err)
{
	uint8_t hash[BLAKE3_OUT_LEN];
	struct cursor c;
	uint64_t want;

	memset(out, 0, sizeof(*out));
	if (len < FIXED_LEN + BLAKE3_OUT_LEN || memcmp(p, magic, 4) != 0)
		return err_set(err, ERR_CORRUPT, "not a manifest");
	if (load_le16(p + 4) != VERSION)
		return err_set(err, ERR_UNSUPPORTED,
		    "manifest version %u is newer than this program", load_le16(p + 4));
	blake3(p, len - BLAKE3_OUT_LEN, NULL, hash, sizeof(hash));
	if (memcmp(hash, p + len - BLAKE3_OUT_LEN, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "manifest hash does not hold");

	if (load_le16(p + 6) > 1)
		return err_set(err, ERR_CORRUPT, "manifest flags are not known");
	out->damaged = load_le16(p + 6);
	cursor_init(&c, p + 8, len - 8 - BLAKE3_OUT_LEN);
	cursor_copy(&c, out->store, PACK_STORE_ID_LEN);
	if (feature_check(cursor_le32(&c), INDEX_FEATURES, "manifest", err) != 0)
		return -1;
	out->optional = cursor_le32(&c);
	out->next_run = cursor_le32(&c);
	out->n_runs = cursor_le32(&c);
	out->covered.n = out->covered.cap = cursor_le32(&c);
	out->n_bad = cursor_le32(&c);
	want = 12 * (uint64_t)out->n_runs + 8 * ((uint64_t)out->covered.n + out->n_bad);
	if (out->n_runs > INDEX_RUNS_MAX || out->covered.n > INDEX_RANGES_MAX ||
	    out->n_bad > INDEX_QUARANTINE_MAX || want != c.left)
		return err_set(
		    err, ERR_CORRUPT, "manifest counts do not add up to its length");
	out->covered.r = malloc(((size_t)out->covered.n + 1) * sizeof(*out->covered.r));
	out->bad = malloc(((size_t)out->n_bad + 1) * sizeof(*out->bad));
	if (out->covered.r == NULL || out->bad == NULL) {
		index_view_free_manifest(out);
		return err_set(err, ERR_NOMEM, "no memory for the manifest");
	}
	if (parse_lists(&c, out, err) != 0) {
		index_view_free_manifest(out);
		return -1;
	}
	return 0;
}
