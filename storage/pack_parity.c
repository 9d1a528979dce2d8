#include "storage/pack_parity.h"

#include <stdlib.h>
#include <string.h>

#include <isa-l/erasure_code.h>

#include "proto/base/bytes.h"
#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/fs.h"
#include "storage/pack_format.h"

#define VERSION 1
#define HEAD_HASHED (PARITY_HEAD_LEN - BLAKE3_OUT_LEN)
#define BLOCK_MIN 512u
#define BLOCK_MAX 65536u
#define STRIPE_MAX 255u	       /* Blocks of one: what GF(2^8) tells apart. */
#define STRIPES_AT_ONCE 8u     /* Their blocks are neighbours in the file. */
#define CHECK_LEN (256 * 1024) /* A multiple of BLOCK_MAX. */

static const char magic[4] = { 'H', 'F', 'Y', '1' };

/* ------------------------------------------------------------------ the head -- */

/* Data blocks of a stripe.  Even: then no factor is 1, and no parity a copy of data. */
static uint32_t
data_per_stripe(uint32_t blocks, uint32_t stripes)
{
	uint32_t k = (blocks + stripes - 1) / stripes;

	return k + k % 2;
}

static uint64_t
whole_len(const struct parity_head *h)
{
	uint64_t parity = (uint64_t)h->m * h->stripes;

	return 2 * (uint64_t)PARITY_HEAD_LEN +
	       2 * PARITY_HASH_LEN * (parity_data_blocks(h) + parity) + parity * h->block;
}

static int
is_too_long(const struct parity_head *h, uint64_t len)
{
	return len > PACK_PARITY_MAX || h->data_end + len + h->foot_len > PACK_LEN_MAX;
}

int
pack_parity_plan(struct parity_head *h, uint32_t percent)
{
	uint32_t n;
	uint64_t len;

	h->block = PARITY_BLOCK;
	n = parity_data_blocks(h);
	for (h->stripes = 1;; h->stripes++) {
		h->k = data_per_stripe(n, h->stripes);
		h->m = (h->k * percent + 99) / 100;
		if (h->k + h->m <= STRIPE_MAX)
			break;
	}
	len = whole_len(h);
	if (is_too_long(h, len))
		return -1;
	h->len = (uint32_t)len;
	return 0;
}

void
pack_parity_format_head(const struct parity_head *h, uint8_t out[PARITY_HEAD_LEN])
{
	memset(out, 0, PARITY_HEAD_LEN);
	memcpy(out, magic, sizeof(magic));
	store_le16(out + 4, VERSION);
	out[6] = (uint8_t)h->k;
	out[7] = (uint8_t)h->m;
	store_le32(out + 8, h->no);
	store_le32(out + 12, h->block);
	store_le32(out + 16, h->stripes);
	store_le32(out + 20, h->data_end);
	store_le32(out + 24, h->len);
	store_le32(out + 28, h->foot_len);
	memcpy(out + 32, h->store, PACK_STORE_ID_LEN);
	memcpy(out + 64, h->table, sizeof(h->table));
	memcpy(out + 96, h->sum, sizeof(h->sum));
	blake3(out, HEAD_HASHED, NULL, out + HEAD_HASHED, BLAKE3_OUT_LEN);
}

/* Are the lengths those of some pack, so that sums of them do not overflow? */
static int
is_sane(const struct parity_head *h)
{
	uint32_t n;

	if (h->block < BLOCK_MIN || h->block > BLOCK_MAX ||
	    (h->block & (h->block - 1)) != 0 || h->m == 0 || h->k < 2 ||
	    h->k + h->m > STRIPE_MAX || h->data_end < PACK_HEADER_LEN ||
	    h->data_end > PACK_LEN_MAX || h->data_end % PACK_ALIGN != 0 ||
	    h->foot_len < PACK_TRAILER_LEN + PACK_FOOTER_ENTRY_LEN ||
	    h->foot_len > PACK_LEN_MAX)
		return 0;
	n = parity_data_blocks(h);
	return h->stripes > 0 && h->stripes <= n &&
	       h->k == data_per_stripe(n, h->stripes) && h->len == whole_len(h) &&
	       !is_too_long(h, h->len);
}

int
pack_parity_parse_head(
    const uint8_t p[PARITY_HEAD_LEN], struct parity_head *out, struct err *err)
{
	uint8_t hash[BLAKE3_OUT_LEN];

	if (memcmp(p, magic, sizeof(magic)) != 0 || load_le16(p + 4) != VERSION)
		return err_set(err, ERR_CORRUPT, "not the head of a parity we know");
	blake3(p, HEAD_HASHED, NULL, hash, sizeof(hash));
	if (memcmp(hash, p + HEAD_HASHED, sizeof(hash)) != 0)
		return err_set(err, ERR_CORRUPT, "hash of the parity's head is wrong");
	out->k = p[6];
	out->m = p[7];
	out->no = load_le32(p + 8);
	out->block = load_le32(p + 12);
	out->stripes = load_le32(p + 16);
	out->data_end = load_le32(p + 20);
	out->len = load_le32(p + 24);
	out->foot_len = load_le32(p + 28);
	memcpy(out->store, p + 32, PACK_STORE_ID_LEN);
	memcpy(out->table, p + 64, sizeof(out->table));
	memcpy(out->sum, p + 96, sizeof(out->sum));
	for (unsigned i = 48; i < 64; i++)
		if (p[i] != 0)
			return err_set(
			    err, ERR_CORRUPT, "reserved bytes of a parity are not zero");
	if (!is_sane(out))
		return err_set(err, ERR_CORRUPT, "lengths of a parity are no pack's");
	return 0;
}

void
pack_parity_factors(const struct parity_head *h, uint8_t *out)
{
	for (uint32_t r = 0; r < h->m; r++)
		for (uint32_t j = 0; j < h->k; j++)
			*out++ = gf_inv((uint8_t)((h->k + r) ^ j));
}

/* -------------------------------------------------------------------- writing -- */

struct writing {
	struct fs_file *f;
	struct parity_head *h;
	const uint8_t *foot;
	uint8_t *rows;	 /* k of them, each some neighbouring blocks. */
	uint8_t *parity; /* m of them. */
	uint8_t *factors, *tables;
	uint8_t *hashes; /* Of each block, whole. */
};

/* Bytes of what is covered; zeros behind its end. */
static int
read_covered(
    const struct writing *w, uint64_t at, uint8_t *to, size_t len, struct err *err)
{
	const struct parity_head *h = w->h;
	size_t n;

	if (at < h->data_end) {
		n = h->data_end - at < len ? (size_t)(h->data_end - at) : len;
		if (fs_read_all(w->f, to, n, at, err) != 0)
			return -1;
		at += n;
		to += n;
		len -= n;
	}
	at -= len > 0 ? h->data_end : 0;
	if (len > 0 && at < h->foot_len) {
		n = h->foot_len - at < len ? (size_t)(h->foot_len - at) : len;
		memcpy(to, w->foot + at, n);
		to += n;
		len -= n;
	}
	memset(to, 0, len);
	return 0;
}

static void
hash_blocks(const struct writing *w, uint32_t first, uint32_t end, uint32_t count,
    const uint8_t *p)
{
	for (uint32_t i = 0; i < count && first + i < end; i++)
		blake3(p + (size_t)i * w->h->block, w->h->block, NULL,
		    w->hashes + (size_t)(first + i) * BLAKE3_OUT_LEN, BLAKE3_OUT_LEN);
}

/* Stripes `t` to t + count - 1. */
static int
write_stripes(const struct writing *w, uint32_t t, uint32_t count, struct err *err)
{
	const struct parity_head *h = w->h;
	uint32_t n = parity_data_blocks(h), at = h->data_end + parity_blocks_at(h);
	size_t len = (size_t)count * h->block;
	uint8_t *data[STRIPE_MAX], *parity[STRIPE_MAX];

	for (uint32_t j = 0; j < h->k; j++) {
		uint32_t first = j * h->stripes + t;

		data[j] = w->rows + j * len;
		if (read_covered(w, (uint64_t)first * h->block, data[j], len, err) != 0)
			return -1;
		hash_blocks(w, first, n, count, data[j]);
	}
	for (uint32_t r = 0; r < h->m; r++)
		parity[r] = w->parity + r * len;
	ec_encode_data((int)len, (int)h->k, (int)h->m, w->tables, data, parity);
	for (uint32_t r = 0; r < h->m; r++) {
		uint32_t first = r * h->stripes + t;

		hash_blocks(w, n + first, UINT32_MAX, count, parity[r]);
		if (fs_pwrite(
			w->f, parity[r], len, at + (uint64_t)first * h->block, err) != 0)
			return -1;
	}
	return 0;
}

/* Heads and tables, once all blocks are known. */
static int
write_ends(const struct writing *w, struct err *err)
{
	struct parity_head *h = w->h;
	uint32_t n = parity_blocks(h), len = parity_table_len(h);
	uint8_t *p = malloc(2 * (size_t)PARITY_HEAD_LEN + len);
	uint8_t *table = p + PARITY_HEAD_LEN;
	int bad;

	if (p == NULL)
		return err_set(err, ERR_NOMEM, "no memory for parity");
	for (uint32_t i = 0; i < n; i++)
		memcpy(table + (size_t)i * PARITY_HASH_LEN,
		    w->hashes + (size_t)i * BLAKE3_OUT_LEN, PARITY_HASH_LEN);
	blake3(table, len, NULL, h->table, sizeof(h->table));
	blake3(w->hashes, (size_t)parity_data_blocks(h) * BLAKE3_OUT_LEN, NULL, h->sum,
	    sizeof(h->sum));
	pack_parity_format_head(h, p);
	memcpy(table + len, p, PARITY_HEAD_LEN);
	bad = fs_pwrite(w->f, p, PARITY_HEAD_LEN + (size_t)len, h->data_end, err) != 0 ||
	      fs_pwrite(w->f, table, PARITY_HEAD_LEN + (size_t)len,
		  (uint64_t)h->data_end + h->len - PARITY_HEAD_LEN - len, err) != 0;
	free(p);
	return bad ? -1 : 0;
}

int
pack_parity_write(
    struct fs_file *f, struct parity_head *h, const uint8_t *foot, struct err *err)
{
	uint32_t some = h->stripes < STRIPES_AT_ONCE ? h->stripes : STRIPES_AT_ONCE;
	size_t factors = (size_t)h->k * h->m;
	struct writing w = { .f = f, .h = h, .foot = foot };
	int ret = 0;

	w.rows = malloc((size_t)h->k * some * h->block);
	w.parity = malloc((size_t)h->m * some * h->block);
	w.factors = malloc(factors);
	w.tables = malloc(32 * factors);
	w.hashes = malloc((size_t)parity_blocks(h) * BLAKE3_OUT_LEN);
	if (w.rows == NULL || w.parity == NULL || w.factors == NULL || w.tables == NULL ||
	    w.hashes == NULL) {
		ret = err_set(err, ERR_NOMEM, "no memory for parity");
	} else {
		pack_parity_factors(h, w.factors);
		ec_init_tables((int)h->k, (int)h->m, w.factors, w.tables);
	}
	for (uint32_t t = 0; ret == 0 && t < h->stripes; t += some)
		ret = write_stripes(
		    &w, t, h->stripes - t < some ? h->stripes - t : some, err);
	if (ret == 0)
		ret = write_ends(&w, err);
	free(w.rows);
	free(w.parity);
	free(w.factors);
	free(w.tables);
	free(w.hashes);
	return ret;
}

/* ------------------------------------------------------------------- checking -- */

/* Hold the parity blocks against the table; `room` has CHECK_LEN bytes. */
static int
check_blocks(struct fs_file *f, const struct parity_head *h, const uint8_t *table,
    uint8_t *room, struct err *err)
{
	uint32_t left = h->m * h->stripes, some = CHECK_LEN / h->block;
	uint64_t at = (uint64_t)h->data_end + parity_blocks_at(h);
	const uint8_t *want = table + (size_t)parity_data_blocks(h) * PARITY_HASH_LEN;
	uint8_t hash[BLAKE3_OUT_LEN];

	for (; left > 0; left -= some) {
		if (some > left)
			some = left;
		if (fs_read_all(f, room, (size_t)some * h->block, at, err) != 0)
			return -1;
		for (uint32_t i = 0; i < some; i++, want += PARITY_HASH_LEN) {
			blake3(room + (size_t)i * h->block, h->block, NULL, hash,
			    sizeof(hash));
			if (memcmp(hash, want, PARITY_HASH_LEN) != 0)
				return err_set(err, ERR_CORRUPT,
				    "%s: a parity block is bad", f->name);
		}
		at += (uint64_t)some * h->block;
	}
	return 0;
}

static int
check_tables(struct fs_file *f, const struct parity_head *h, const uint8_t *head,
    uint8_t *room, struct err *err)
{
	uint32_t len = parity_table_len(h);
	uint8_t hash[BLAKE3_OUT_LEN], *last = room + len;
	uint64_t end = (uint64_t)h->data_end + h->len - PARITY_HEAD_LEN - len;

	if (fs_read_all(f, room, len, h->data_end + PARITY_HEAD_LEN, err) != 0 ||
	    fs_read_all(f, last, len + (size_t)PARITY_HEAD_LEN, end, err) != 0)
		return -1;
	blake3(room, len, NULL, hash, sizeof(hash));
	if (memcmp(hash, h->table, sizeof(hash)) != 0 || memcmp(room, last, len) != 0 ||
	    memcmp(last + len, head, PARITY_HEAD_LEN) != 0)
		return err_set(
		    err, ERR_CORRUPT, "%s: tables of its parity are bad", f->name);
	return 0;
}

int
pack_parity_check(struct fs_file *f, const struct pack_header *of, uint32_t at,
    uint32_t len, struct err *err)
{
	uint8_t head[PARITY_HEAD_LEN], *room, *table;
	struct parity_head h;
	uint32_t table_len;
	int ret = -1;

	if (len < 2 * PARITY_HEAD_LEN)
		return err_set(err, ERR_CORRUPT, "%s: parity is too short", f->name);
	if (fs_read_all(f, head, sizeof(head), at, err) != 0 ||
	    pack_parity_parse_head(head, &h, err) != 0)
		return err_context(err, "%s", f->name);
	if (h.no != of->no || memcmp(h.store, of->store, PACK_STORE_ID_LEN) != 0 ||
	    h.data_end != at || h.len != len)
		return err_set(err, ERR_CORRUPT, "%s: parity is another pack's", f->name);
	table_len = parity_table_len(&h);
	room = malloc(CHECK_LEN);
	table = malloc(2 * (size_t)table_len + PARITY_HEAD_LEN);
	if (room == NULL || table == NULL)
		(void)err_set(err, ERR_NOMEM, "no memory to check parity");
	else if (check_tables(f, &h, head, table, err) == 0 &&
		 check_blocks(f, &h, table, room, err) == 0)
		ret = 1;
	free(room);
	free(table);
	return ret;
}
