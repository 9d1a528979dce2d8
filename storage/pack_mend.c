#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/erasure_code.h>

#include "proto/base/err.h"
#include "proto/chunk/blake3.h"
#include "storage/pack_format.h"
#include "storage/pack_parity.h"

#define PIECE_LEN (1024u * 1024)
#define SMALL_LEN 4096u
#define STRIPE_MAX 255u

struct mend {
	uint8_t *file; /* As it was read; where it could not be, zeros. */
	uint64_t len;
	int unread; /* Some of it could not. */
	struct parity_head h;
	uint8_t *data;	  /* What is covered, with zeros to the last block's end. */
	uint8_t *parity;  /* With heads and tables. */
	uint8_t *is_bad;  /* By block. */
	uint8_t *factors; /* m * k */
	uint8_t *room;	  /* Of 2 * m blocks. */
	uint8_t *tables;  /* Of ISA-L; for m rows. */
	uint8_t *zeros;	  /* A block that is not there. */
};

static void
mend_free(struct mend *x)
{
	free(x->file);
	free(x->data);
	free(x->parity);
	free(x->is_bad);
	free(x->factors);
	free(x->room);
	free(x->tables);
	free(x->zeros);
}

/* -------------------------------------------------------------------- reading -- */

/* What the disk does not give is zeros: whether that is right, the hashes say. */
static void
read_piece(struct mend *x, struct fs_file *f, uint64_t at, size_t len)
{
	struct err why = ERR_INIT;
	size_t got;

	if (fs_pread(f, x->file + at, len, at, &got, &why) == 0)
		return;
	for (size_t n = 0; n < len; n += SMALL_LEN) {
		size_t some = len - n < SMALL_LEN ? len - n : SMALL_LEN;

		err_clear(&why);
		if (fs_pread(f, x->file + at + n, some, at + n, &got, &why) != 0) {
			memset(x->file + at + n, 0, some);
			x->unread = 1;
		}
	}
}

static int
read_file(struct mend *x, struct fs_file *f, struct err *err)
{
	if (fs_size(f, &x->len, err) != 0)
		return -1;
	if (x->len > PACK_LEN_MAX)
		x->len = PACK_LEN_MAX; /* What was hung on is no pack's. */
	if ((x->file = calloc(1, (size_t)x->len + 1)) == NULL)
		return err_set(err, ERR_NOMEM, "no memory to mend %s", f->name);
	for (uint64_t at = 0; at < x->len; at += PIECE_LEN)
		read_piece(x, f, at,
		    x->len - at < PIECE_LEN ? (size_t)(x->len - at) : PIECE_LEN);
	return 0;
}

/*
 * The last head that stands where it says, so that one that came in the data counts
 * only if both of ours are gone; then it is left to the pack's record to refuse it.
 */
static int
find_head(struct mend *x, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN])
{
	uint64_t at = x->len < PARITY_HEAD_LEN ? 0 : x->len - PARITY_HEAD_LEN;
	struct err ignored = ERR_INIT;

	for (at -= at % PACK_ALIGN; at >= PACK_HEADER_LEN; at -= PACK_ALIGN) {
		if (memcmp(x->file + at, "HFY1", 4) != 0)
			continue;
		err_clear(&ignored);
		if (pack_parity_parse_head(x->file + at, &x->h, &ignored) == 0 &&
		    x->h.no == no && memcmp(x->h.store, store, PACK_STORE_ID_LEN) == 0 &&
		    (at == x->h.data_end ||
			at == (uint64_t)x->h.data_end + x->h.len - PARITY_HEAD_LEN))
			return 1;
	}
	return 0;
}

/* The bytes `from` the file that are there. */
static void
take(const struct mend *x, uint8_t *to, uint64_t from, size_t len)
{
	if (from < x->len)
		memcpy(to, x->file + from,
		    x->len - from < len ? (size_t)(x->len - from) : len);
}

static int
split(struct mend *x, struct err *err)
{
	const struct parity_head *h = &x->h;
	size_t rows = (size_t)h->k * h->m;

	x->data = calloc(parity_data_blocks(h), h->block);
	x->parity = calloc(1, h->len);
	x->is_bad = calloc(1, parity_blocks(h));
	x->factors = malloc(rows);
	x->room = malloc(2 * (size_t)h->m * h->block);
	x->tables = malloc(32 * rows + 32 * (size_t)h->m * h->m);
	x->zeros = calloc(1, h->block);
	if (x->data == NULL || x->parity == NULL || x->is_bad == NULL ||
	    x->factors == NULL || x->room == NULL || x->tables == NULL ||
	    x->zeros == NULL)
		return err_set(err, ERR_NOMEM, "no memory to mend a pack");
	take(x, x->data, 0, h->data_end);
	take(x, x->parity, h->data_end, h->len);
	take(x, x->data + h->data_end, (uint64_t)h->data_end + h->len, h->foot_len);
	pack_parity_factors(h, x->factors);
	free(x->file);
	x->file = NULL;
	return 0;
}

/* ------------------------------------------------------------------- the blocks -- */

static uint8_t *
block(const struct mend *x, uint32_t i)
{
	uint32_t n = parity_data_blocks(&x->h);

	if (i < n)
		return x->data + (size_t)i * x->h.block;
	return x->parity + parity_blocks_at(&x->h) + (size_t)(i - n) * x->h.block;
}

/* Does block `i` match one of the two tables?  Either may have been hit. */
static int
matches(const struct mend *x, uint32_t i, const uint8_t hash[BLAKE3_OUT_LEN])
{
	const uint8_t *first = x->parity + PARITY_HEAD_LEN;
	const uint8_t *second =
	    x->parity + x->h.len - PARITY_HEAD_LEN - parity_table_len(&x->h);
	size_t at = (size_t)i * PARITY_HASH_LEN;

	return memcmp(hash, first + at, PARITY_HASH_LEN) == 0 ||
	       memcmp(hash, second + at, PARITY_HASH_LEN) == 0;
}

static void
find_bad(struct mend *x, struct pack_mending *out)
{
	uint8_t hash[BLAKE3_OUT_LEN];

	out->blocks = parity_blocks(&x->h);
	for (uint32_t i = 0; i < out->blocks; i++) {
		blake3(block(x, i), x->h.block, NULL, hash, sizeof(hash));
		x->is_bad[i] = !matches(x, i, hash);
		out->bad += x->is_bad[i];
	}
}

/*
 * Solve for the `e` bad data blocks `lost` of stripe `t` with as many whole parity
 * blocks `with`: what the factors make of the blocks that are known is taken off each,
 * and what is left are the lost ones, times a part of Cauchy's matrix, which has an
 * inverse whatever part it is.
 */
static int
solve(struct mend *x, uint32_t t, const uint32_t *lost, const uint32_t *with, uint32_t e)
{
	const struct parity_head *h = &x->h;
	uint32_t n = parity_data_blocks(h);
	uint8_t *known[STRIPE_MAX], *left[STRIPE_MAX], *found[STRIPE_MAX];
	uint8_t *rows = malloc((size_t)e * h->k + 2 * (size_t)e * e), *part, *inverse;
	int ok;

	if (rows == NULL)
		return -1;
	part = rows + (size_t)e * h->k;
	inverse = part + (size_t)e * e;
	for (uint32_t j = 0; j < h->k; j++) {
		uint32_t i = j * h->stripes + t;

		known[j] = i < n && !x->is_bad[i] ? block(x, i) : x->zeros;
	}
	for (uint32_t r = 0; r < e; r++) {
		const uint8_t *row = x->factors + (size_t)with[r] * h->k;

		memcpy(rows + (size_t)r * h->k, row, h->k);
		for (uint32_t c = 0; c < e; c++)
			part[r * e + c] = row[lost[c]];
		left[r] = x->room + (size_t)r * h->block;
		found[r] = block(x, lost[r] * h->stripes + t);
	}
	ok = gf_invert_matrix(part, inverse, (int)e) == 0;
	if (ok) {
		ec_init_tables((int)h->k, (int)e, rows, x->tables);
		ec_encode_data((int)h->block, (int)h->k, (int)e, x->tables, known, left);
		for (uint32_t r = 0; r < e; r++) {
			const uint8_t *p = block(x, n + with[r] * h->stripes + t);

			for (uint32_t b = 0; b < h->block; b++)
				left[r][b] ^= p[b];
		}
		ec_init_tables((int)e, (int)e, inverse, x->tables);
		ec_encode_data((int)h->block, (int)e, (int)e, x->tables, left, found);
	}
	free(rows);
	return ok ? 0 : -1;
}

/* Mend stripe `t`; -1 if it has lost too much. */
static int
mend_stripe(struct mend *x, uint32_t t)
{
	const struct parity_head *h = &x->h;
	uint32_t n = parity_data_blocks(h), lost[STRIPE_MAX], with[STRIPE_MAX];
	uint32_t e = 0, have = 0;

	for (uint32_t j = 0; j < h->k; j++)
		if (j * h->stripes + t < n && x->is_bad[j * h->stripes + t])
			lost[e++] = j;
	for (uint32_t r = 0; r < h->m && have < e; r++)
		if (!x->is_bad[n + r * h->stripes + t])
			with[have++] = r;
	if (have < e)
		return -1;
	return e == 0 ? 0 : solve(x, t, lost, with, e);
}

/* Is all that is covered, to the last byte, what it was when the pack was sealed? */
static int
is_proven(const struct mend *x, int *failed)
{
	uint32_t n = parity_data_blocks(&x->h);
	uint8_t *all = malloc((size_t)n * BLAKE3_OUT_LEN), sum[sizeof(x->h.sum)];

	if (all == NULL) {
		*failed = 1;
		return 0;
	}
	for (uint32_t i = 0; i < n; i++)
		blake3(block(x, i), x->h.block, NULL, all + (size_t)i * BLAKE3_OUT_LEN,
		    BLAKE3_OUT_LEN);
	blake3(all, (size_t)n * BLAKE3_OUT_LEN, NULL, sum, sizeof(sum));
	free(all);
	return memcmp(sum, x->h.sum, sizeof(sum)) == 0;
}

/* -------------------------------------------------------------------- replacing -- */

static int
refuse(void *arg, uint32_t offset, const struct err *why)
{
	struct err *err = arg;

	(void)offset;
	*err = *why;
	return 1;
}

/* The new file is a pack, all of whose groups are whole, and the one that is known. */
static int
check_new(struct fs_file *f, const struct parity_head *h, const struct pack_stats *known,
    struct err *err)
{
	struct pack p = { .file = f, .sealed = 1 };
	uint8_t header[PACK_HEADER_LEN];
	struct pack_stats is;

	if (fs_read_all(f, header, sizeof(header), 0, err) != 0 ||
	    pack_parse_header(header, &p.header, err) != 0 ||
	    pack_each_entry(&p, NULL, NULL, &is, err) != 0)
		return -1;
	if (p.header.no != h->no ||
	    memcmp(p.header.store, h->store, PACK_STORE_ID_LEN) != 0 ||
	    (known != NULL &&
		(is.chunks != known->chunks || is.groups != known->groups ||
		    is.plain != known->plain || is.stored != known->stored)))
		return err_set(err, ERR_CORRUPT, "what parity gives is another pack");
	if (pack_scrub(&p, refuse, err, err) != 0)
		return -1;
	return pack_parity_check(f, &p.header, h->data_end, h->len, err) == 1 ? 0 : -1;
}

/*
 * The file as it was sealed.  Its parity is made again of the groups as they are read
 * back, so that what differs is seen.
 */
static int
write_new(const struct mend *x, struct fs_file *f, const struct pack_stats *known,
    struct err *err)
{
	struct parity_head again = x->h;
	const uint8_t *foot = x->data + x->h.data_end;

	if (fs_truncate(f, 0, err) != 0 ||
	    fs_pwrite(f, x->data, x->h.data_end, 0, err) != 0 ||
	    pack_parity_write(f, &again, foot, err) != 0)
		return -1;
	if (memcmp(again.sum, x->h.sum, sizeof(again.sum)) != 0 ||
	    memcmp(again.table, x->h.table, sizeof(again.table)) != 0)
		return err_set(
		    err, ERR_CORRUPT, "%s: parity is not what it was", f->name);
	if (fs_pwrite(f, foot, x->h.foot_len, (uint64_t)x->h.data_end + x->h.len, err) !=
		0 ||
	    fs_sync(f, err) != 0)
		return -1;
	return check_new(f, &x->h, known, err);
}

static void
new_name(uint32_t no, char out[FS_NAME_MAX])
{
	(void)snprintf(out, FS_NAME_MAX, PACK_DIR "/%08x.new", (unsigned)no);
}

static int
replace(
    const struct mend *x, struct fs *fs, const struct pack_stats *known, struct err *err)
{
	char from[FS_NAME_MAX], to[FS_NAME_MAX];
	struct err ignored = ERR_INIT;
	struct fs_file *f;
	int ret;

	new_name(x->h.no, from);
	pack_name(x->h.no, 1, to);
	if (fs_open(fs, from, FS_WRITE | FS_CREATE, &f, err) != 0)
		return -1;
	ret = write_new(x, f, known, err);
	fs_close(f);
	if (ret == 0 && fs_rename(fs, from, to, err) == 0)
		return fs_sync_dir(fs, PACK_DIR, err);
	/* If this fails too, it is swept when the store is opened. */
	(void)fs_unlink(fs, from, &ignored);
	return -1;
}

/* ------------------------------------------------------------------------- calls -- */

/* Anything that is not as it was sealed and that blocks do not tell. */
static int
ends_differ(const struct mend *x)
{
	uint32_t table = parity_table_len(&x->h);
	const uint8_t *first = x->parity, *last = x->parity + x->h.len - PARITY_HEAD_LEN;
	uint8_t head[PARITY_HEAD_LEN], hash[BLAKE3_OUT_LEN];

	pack_parity_format_head(&x->h, head);
	blake3(first + PARITY_HEAD_LEN, table, NULL, hash, sizeof(hash));
	return memcmp(first, head, sizeof(head)) != 0 ||
	       memcmp(last, head, sizeof(head)) != 0 ||
	       memcmp(hash, x->h.table, sizeof(hash)) != 0 ||
	       memcmp(first + PARITY_HEAD_LEN, last - table, table) != 0;
}

static int
mend_all(struct mend *x, struct fs *fs, const struct pack_stats *known, int dry,
    uint64_t len, struct pack_mending *out, struct err *err)
{
	int beyond = 0, failed = 0;

	if (split(x, err) != 0)
		return -1;
	find_bad(x, out);
	for (uint32_t t = 0; t < x->h.stripes; t++)
		beyond |= mend_stripe(x, t) != 0;
	if (beyond || !is_proven(x, &failed)) {
		out->state = PACK_BEYOND;
		return failed ? err_set(err, ERR_NOMEM, "no memory to mend a pack") : 0;
	}
	out->state = PACK_WHOLE;
	if (out->bad == 0 && !ends_differ(x) && !x->unread &&
	    len == (uint64_t)x->h.data_end + x->h.len + x->h.foot_len)
		return 0;
	if (!dry && replace(x, fs, known, err) != 0)
		return -1;
	out->state = PACK_MENDED;
	return 0;
}

int
pack_mend(struct fs *fs, uint32_t no, const uint8_t store[PACK_STORE_ID_LEN],
    const struct pack_stats *known, int dry, struct pack_mending *out, struct err *err)
{
	struct mend x = { .file = NULL };
	char name[FS_NAME_MAX];
	struct fs_file *f;
	uint64_t len = 0;
	int ret;

	memset(out, 0, sizeof(*out));
	out->state = PACK_NO_PARITY;
	pack_name(no, 1, name);
	if (fs_open(fs, name, FS_READ, &f, err) != 0)
		return -1;
	if ((ret = fs_size(f, &len, err)) == 0)
		ret = read_file(&x, f, err);
	fs_close(f);
	if (ret == 0 && find_head(&x, no, store))
		ret = mend_all(&x, fs, known, dry, len, out, err);
	else if (ret == 0 && x.unread)
		ret = err_set(err, ERR_IO, "%s: some of it cannot be read", name);
	mend_free(&x);
	return ret == 0 ? 0 : err_context(err, "mending pack %08x", (unsigned)no);
}

int
pack_check_parity(struct pack *p, struct err *err)
{
	struct pack_trailer t;
	uint8_t *foot;

	if (!p->sealed)
		return 0;
	if (pack_load_footer(p->file, &p->header, &foot, &t, err) != 0)
		return -1;
	free(foot);
	if ((t.of.optional & PACK_OPTIONAL_PARITY) == 0)
		return 0;
	return pack_parity_check(p->file, &p->header, t.data_end, t.parity_len, err);
}

static int
find_new(void *arg, const char *name)
{
	size_t n = strlen(name);

	/* "<number>.new", as new_name() makes it. */
	if (n != 12 || strspn(name, "0123456789abcdef") != 8 ||
	    strcmp(name + 8, ".new") != 0)
		return 0;
	(void)snprintf(arg, FS_NAME_MAX, PACK_DIR "/%.12s", name);
	return 1;
}

int
pack_mend_sweep(struct fs *fs, struct err *err)
{
	char name[FS_NAME_MAX];
	int found;

	while ((found = fs_list(fs, PACK_DIR, find_new, name, err)) > 0)
		if (fs_unlink(fs, name, err) != 0)
			return -1;
	return found < 0 ? -1 : 0;
}
