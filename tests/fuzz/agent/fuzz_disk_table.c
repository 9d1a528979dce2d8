/*
 * Partition tables of any bytes: reading ends, what it finds is a layout that the wire
 * takes, and a plan for another size stays within both disks.
 * Input: sparse_image.h, whose second byte is the sector size (0: unknown, 1: 512, else
 * 4096) and first, bit 0, leaves the GPT's sums as they are.
 */
#include <assert.h>

#include "proto/base/buf.h"
#include "tests/fuzz/agent/sparse_image.h"
#include "tests/unit/agent/disk_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t len);
size_t LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed);

/* Sums of what calls itself a header in sector `at`, and of its entries, made right. */
static void
mend(struct disk_image *d, uint64_t at)
{
	uint8_t *h = d->p + at;
	uint64_t entries, len;
	uint32_t header;

	if (at + 512 > d->size || memcmp(h, "EFI PART", 8) != 0)
		return;
	header = load_le32(h + 12);
	entries = load_le64(h + 72);
	len = (uint64_t)load_le32(h + 80) * load_le32(h + 84);
	for (unsigned ss = 512; ss <= 4096; ss *= 8)
		if (entries < d->size / ss && len <= d->size - entries * ss &&
		    (ss == 512 || at % 4096 == 0))
			store_le32(h + 88, disk_table_crc(0, d->p + entries * ss, len));
	if (header < 92 || header > 512)
		return;
	store_le32(h + 16, 0);
	store_le32(h + 16, disk_table_crc(0, h, header));
}

/* Every byte that a plan touches lies on its disk, and the table that it makes is sound.
 */
static void
try_plan(struct disk_image *d, const struct layout *l, uint64_t size, unsigned flags)
{
	struct disk_plan_piece pieces[DISK_PLAN_PIECES_MAX];
	struct disk_plan *plan = calloc(1, sizeof(*plan));
	struct disk_plan_wish *wish = calloc(1, sizeof(*wish));
	struct disk_plan_table t;
	struct err err = ERR_INIT;
	uint64_t missing = 0;

	wish->size = size;
	wish->flags = flags;
	for (unsigned i = 0; i < l->partitions_count; i++)
		wish->smallest[i] = 4096;
	if (disk_plan_make(l, 0, wish, plan, &missing, &err) != 0) {
		assert(missing > 0 || err.code != ERR_LIMIT);
	} else {
		unsigned n = disk_plan_pieces(plan, l, pieces);

		for (unsigned i = 0; i < n; i++)
			assert(pieces[i].length > 0 &&
			       pieces[i].from + pieces[i].length <= d->size &&
			       pieces[i].to + pieces[i].length <= size);
		for (unsigned i = 0; i < plan->count; i++)
			assert(plan->parts[i].length > 0 &&
			       plan->parts[i].to + plan->parts[i].length <= size);
		for (unsigned i = 0; i < plan->count; i++) {
			const struct disk_plan_part *q = &plan->parts[i];
			uint8_t sector[512];

			assert(disk_plan_part(plan, q->partition) == q);
			memcpy(sector, d->p + q->from, sizeof(sector));
			(void)disk_plan_hidden(sector, 512, q->from, q->to);
			(void)disk_plan_hidden(
			    sector, 512, load_le32(sector + 28) * 512ull, q->to + 512);
		}
		err_clear(&err);
		if (disk_plan_table(l, plan, image_read_at, d, &t, &err) == 0) {
			for (unsigned i = 0; i < t.count; i++)
				assert(t.at[i].offset + t.at[i].len <= size);
			disk_plan_table_free(&t);
		}
	}
	free(plan);
	free(wish);
}

static void
try_layout(struct disk_image *d, const struct disk_table *t)
{
	struct layout *l = calloc(1, sizeof(*l)), *back = calloc(1, sizeof(*back));
	struct buf b = BUF_INIT(LAYOUT_LEN_MAX);
	struct err err = ERR_INIT;

	disk_image_layout(t, d->size, l);
	/* Too long is all that may be wrong with it. */
	if (layout_pack(l, &b, &err) == 0)
		assert(
		    layout_parse(b.p, b.len, LAYOUT_PARTITIONS_MAX + 1, back, &err) == 0);
	else
		assert(err.code == ERR_LIMIT);
	for (unsigned flags = 0; flags <= DISK_PLAN_SHRINK; flags++) {
		try_plan(d, l, d->size, flags);
		try_plan(d, l, d->size + 5 * MIB, flags);
		try_plan(d, l, d->size / 2, flags);
	}
	buf_free(&b);
	free(l);
	free(back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	struct disk_table *t = calloc(1, sizeof(*t));
	struct disk_image d = { NULL, 0, 0, 0 };
	struct err err = ERR_INIT;

	d.p = sparse_decode(p, len, &d.size);
	if (d.p != NULL) {
		for (uint64_t at = 512; (p[0] & 1) == 0 && at < d.size; at += 512)
			mend(&d, at);
		d.size -= p[1] > 1 ? d.size % 4096 : 0;
		if (d.size > 0 && disk_image_parse(&d,
				      p[1] == 0	  ? 0
				      : p[1] == 1 ? 512
						  : 4096,
				      t, &err) == 0)
			try_layout(&d, t);
	}
	free(d.p);
	free(t);
	return 0;
}

size_t
LLVMFuzzerCustomMutator(uint8_t *p, size_t len, size_t max, unsigned seed)
{
	return sparse_mutate(p, len, max, seed);
}
